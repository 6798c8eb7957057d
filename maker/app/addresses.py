"""What a configuration may name as an address, and whom a TLS client trusts there."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from maker.errors import ConfigError


def url_scheme(field: str, url: str, schemes: tuple[str, ...]) -> None:
    """Refuse what is no URL of these schemes; plain text only to this machine."""
    try:
        parts = taken_apart(url)
    except ValueError as error:
        raise ConfigError(field, f"is {url!r}: {error}.", f"Write {schemes[0]}://host.") from error
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(field, f"is {url!r}.", f"Write {schemes[0]}://host.")
    if parts.scheme == schemes[1] and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigError(
            field, f"is {url!r}, not encrypted.", f"Write {schemes[0]}://; only this machine may do without."
        )


def taken_apart(url: str) -> SplitResult:
    """Split a URL. Raises ValueError for what could not even be looked up or asked for: libraries would, later."""
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError("0 is no port")
    if " " in parts.netloc or not parts.netloc.isprintable():
        raise ValueError("its host has a space or a control character")
    for name in (parts.netloc, parts.hostname or ""):  # one goes into the request, the other to the look-up
        try:
            name.encode("idna")
        except UnicodeError as error:
            raise ValueError("a part of its host, between dots, is empty or too long") from error
    if not (parts.path + parts.query).isascii():
        raise ValueError("its path has other letters than ASCII")
    return parts


def trusted(field: str, ca_file: str) -> ssl.SSLContext | None:
    """What a TLS client trusts; None: the machine's own store. Raises ConfigError."""
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=Path(ca_file).expanduser())
    except (OSError, RuntimeError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "strerror", None) or str(error)
        problem, fix = f"is not a file of PEM certificates: {why}.", "Without it the machine's own store is trusted."
        raise ConfigError(field, problem, fix) from error
