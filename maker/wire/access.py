"""Answers about keys -> facts. Raises ValueError when an answer makes no sense."""

from __future__ import annotations

import re
from typing import Final

import attrs

from maker.wire import ocx
from maker.wire.stream import unix_ms

KEY_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,128}")  # it becomes part of a path


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
