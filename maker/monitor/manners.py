"""What every answer of the monitor's server keeps to, whoever asks: names, methods, headers.

A page of somebody else's may make a browser send requests here, by a name of its own that leads to this machine (DNS
rebinding): only our names are answered. It may not read an answer (no CORS), put us into a frame, or have us load
anything from elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Final

import attrs

from maker.edge.http_messages import Answer, Request, Response, error_response

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SECURITY: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
UNCACHED: Final = ("Cache-Control", "no-store")


def names(address: str, host_name: str) -> frozenset[str]:
    """The names that we answer to, as a Host header spells them, without a port."""
    ip = ipaddress.ip_address(address)
    own = f"[{ip}]" if ip.version == 6 else str(ip)
    return frozenset({*LOCAL_NAMES, own, host_name.lower()} - {""})


def url(address: str, port: int) -> str:
    """Where the page is."""
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def is_ours(host: str, known: Collection[str]) -> bool:
    """Whether a Host header names us; with any port, for a tunnel has one of its own."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or port.endswith("]"):  # without a port; an IPv6 address holds colons too
        name = host.strip().lower()
    return name in known and (not colon or port.endswith("]") or port.isdigit())


def refusal(request: Request, known: Collection[str], allowed: Collection[str]) -> Response | None:
    """Why a request is not looked at; None: it is. `allowed`: the methods of its path, none where there is no such."""
    if not is_ours(request.headers.get("host", ""), known):
        return error_response(421, "this is not the name of this server")
    origin = request.headers.get("origin")
    if origin is not None and not is_ours(origin.partition("://")[2], known):
        return error_response(403, "a page of another origin asks")
    if not allowed:
        return error_response(404, "there is nothing here")
    if request.method not in allowed:
        said = error_response(405, f"only {', '.join(sorted(allowed))}")
        return attrs.evolve(said, headers=(*said.headers, ("Allow", ", ".join(sorted(allowed)))))
    return None


def mannered(answer: Answer) -> Answer:
    """An answer with what all have in common."""
    has_cache = any(name == "Cache-Control" for name, _ in answer.headers) or not isinstance(answer, Response)
    return attrs.evolve(answer, headers=(*answer.headers, *SECURITY, *(() if has_cache else (UNCACHED,))))


def refused(status: int, message: str) -> Response:
    """The HTTP server's own refusals, in our form."""
    said = error_response(status, message)
    return attrs.evolve(said, headers=(*said.headers, *SECURITY, UNCACHED))


def number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number of a query, from 1 to `most`. Raises ValueError."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not 1 <= int(text) <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}")
    return int(text)
