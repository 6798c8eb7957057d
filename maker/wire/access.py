"""Answers about sign-in and keys -> facts: nonce, session, keys. Each raises ValueError when an answer makes no sense.

A session is a JWT in a cookie. Its claims are read for its end alone, unverified: whose it is and whether it is good is
the exchange's business. No fact here shows a secret or a token in its `repr`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Final

import attrs

from maker.wire import ocx
from maker.wire.stream import unix_ms

# Repeated Set-Cookie lines come joined by commas, and an Expires date has one of its own: only our cookie is looked at.
COOKIE: Final = re.compile(rf"(?:^|[,;]\s*){ocx.SESSION_COOKIE}=\"?([^\s\",;]+)\"?([^,]*)")
MAX_AGE: Final = re.compile(r";\s*max-age=([0-9]{1,10})(?:;|$|\s)", re.IGNORECASE)
NONCE: Final = re.compile(r"[A-Za-z0-9]{8,128}")  # EIP-4361 asks for eight at least; no nonce is longer than a text
KEY_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,128}")  # it becomes part of a path


@attrs.frozen
class Session:
    """One session: a bearer token, and when it ends."""

    token: str = attrs.field(repr=False)
    ends_at: float  # unix seconds


@attrs.frozen(kw_only=True)
class KeySeen:
    """What the exchange tells of one key; times are unix seconds."""

    key_id: str
    name: str
    scope: str
    allowed_ips: tuple[str, ...]  # none: any address
    expires_at: float | None  # None: never
    created_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    last_used_ip: str | None
    status: str  # active | expired | revoked


@attrs.frozen
class NewKey:
    """A key that was just made: the one time that its secret is told."""

    key_id: str
    secret: str = attrs.field(repr=False)


def nonce(body: bytes) -> str:
    """Return the nonce to sign."""
    found = ocx.decode(body, ocx.NonceAnswer).nonce
    if NONCE.fullmatch(found) is None:
        raise ValueError("the nonce is not what EIP-4361 allows")
    return found


def session(headers: Mapping[str, str], now: float) -> Session:
    """Return the session that an answer to sign-in brings; `now` is unix seconds.

    It ends when the token says (`exp`), else the cookie (`Max-Age`), else after the documented seven days.
    """
    found = COOKIE.search(headers.get("set-cookie", ""))
    if found is None:
        raise ValueError(f"the answer to sign-in sets no cookie {ocx.SESSION_COOKIE}")
    token, more = found[1], found[2]
    if not token.isascii() or not token.isprintable():
        raise ValueError("the session's token is no header's value")
    ends_at = expiry_claim(token)
    if ends_at is None:
        age = MAX_AGE.search(more)
        ends_at = now + (int(age[1]) if age else ocx.SESSION_SECONDS)
    return Session(token, ends_at)


def expiry_claim(token: str) -> float | None:
    """Return the `exp` claim of a JWT, unix seconds; None for another token, or one that does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        text = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(text, parse_int=float)  # a whole number too large for a float is infinite, no OverflowError
    except (ValueError, RecursionError):  # binascii.Error and UnicodeDecodeError among them
        return None
    found = claims.get("exp") if isinstance(claims, dict) else None
    return found if isinstance(found, float) and math.isfinite(found) and found > 0 else None


def new_key(body: bytes) -> NewKey:
    """Return the key that was made."""
    found = ocx.decode(body, ocx.ApiKeyCreated)
    checked_id(found.id)
    secret = found.secret
    if not secret.startswith(ocx.KEY_PREFIX) or not secret.isascii() or any(c.isspace() for c in secret):
        raise ValueError("the new key's secret is not what OCX documents")
    return NewKey(found.id, secret)


def keys(body: bytes) -> tuple[KeySeen, ...]:
    """Return the account's keys, as the exchange orders them."""
    return tuple(
        KeySeen(
            key_id=checked_id(row.id),
            name=row.name,
            scope=row.scope.lower(),
            allowed_ips=tuple(row.allowed_ips),
            expires_at=seconds(row.expires_at),
            created_at=seconds(row.created_at),
            revoked_at=seconds(row.revoked_at),
            last_used_at=seconds(row.last_used_at),
            last_used_ip=row.last_used_ip,
            status=row.status.lower(),
        )
        for row in ocx.decode(body, ocx.ApiKeys).keys
    )


def checked_id(key_id: str) -> str:
    """Return a key's id; ValueError for what could not stand in a path."""
    if KEY_ID.fullmatch(key_id) is None:
        raise ValueError("a key's id is no id")
    return key_id


def seconds(moment: str | None) -> float | None:
    """Return the unix seconds of a time that may be absent."""
    return None if moment is None else unix_ms(moment) / 1000
