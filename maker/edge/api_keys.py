"""API keys made, listed and revoked, through a session: a key can never do any of it.

Each raises OcxError as `Session.call`, and ValueError for an answer that makes no sense. After an OutcomeUnknown a
key may have been made whose secret nobody knows: list, and revoke it.
"""

from __future__ import annotations

from maker.edge.session import Session
from maker.wire import access, ocx


async def created(session: Session, wanted: ocx.ApiKeyRequest) -> access.NewKey:
    """Make a key."""
    return access.new_key((await session.call("POST", ocx.API_KEYS, ocx.encode(wanted))).body)


async def listed(session: Session) -> tuple[access.KeySeen, ...]:
    """Return the account's keys."""
    return access.keys((await session.call("GET", ocx.API_KEYS)).body)


async def revoked(session: Session, key_id: str) -> None:
    """Revoke a key, at once."""
    await session.call("DELETE", f"{ocx.API_KEYS}/{access.checked_id(key_id)}")
