"""What happens to accounts and keys beside the order path, as the state's log keeps it: wallets, new keys, revocations.

A deed is decided by its fields and the marketplace alone, as a call is, so a restart lets it happen again. A secret is
never in one: a key is known by its digest from the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from maker.paper.marketplace import Marketplace

WALLET: Final = "wallet"  # address: the account of a wallet, opened at its first sign-in
KEY: Final = "key"  # user_id, digest, name, scope, allowed_addresses, expires_ms
REVOKE: Final = "revoke"  # key_id


@attrs.frozen
class Deed:
    """One such thing; its fields are JSON-able."""

    kind: str
    now_ms: int
    fields: Mapping[str, Any]


def do(place: Marketplace, deed: Deed) -> str:
    """Do it, and return the id of the user or key it was done to. Raises ValueError where there is no room."""
    exchange, fields = place.exchange, deed.fields
    now_ms = place.at(deed.now_ms)
    match deed.kind:
        case "wallet":
            return exchange.open_wallet(fields["address"], now_ms)
        case "key":
            return exchange.add_digest(
                fields["user_id"],
                fields["digest"],
                name=fields["name"],
                scope=fields["scope"],
                now_ms=now_ms,
                allowed_addresses=tuple(fields["allowed_addresses"]),
                expires_ms=fields["expires_ms"],
            ).key_id
        case "revoke":
            exchange.revoke_key(fields["key_id"], now_ms)
            return str(fields["key_id"])
        case _:
            raise ValueError(f"no such deed: {deed.kind}")
