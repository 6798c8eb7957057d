"""API keys of the practice exchange: who a secret belongs to, what it may do, and from where.

Only digests of secrets are kept, as a real exchange would. Minting and revoking over HTTP need a signed-in session.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

from maker.paper.rejection import Rejection

SCOPES: Final = ("read", "trade")
PAPER_TRADE_SECRET: Final = "ocx_sk_paper_trade"  # noqa: S105  # a published practice secret, it guards nothing
PAPER_READ_SECRET: Final = "ocx_sk_paper_read"  # noqa: S105  # the same
KEY_ID_PREFIX: Final = "ocx_kid_"
KEYS_MAX: Final = 1000  # on one exchange: far above what people make, low enough to bound memory


@attrs.frozen(kw_only=True)
class KeyRecord:
    """One key, without its secret."""

    key_id: str  # ocx_kid_…: safe to log
    user_id: str
    name: str
    scope: str = attrs.field(validator=attrs.validators.in_(SCOPES))
    created_ms: int
    allowed_addresses: tuple[str, ...] = ()  # empty: any address
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    last_used_address: str | None = None

    def status(self, now_ms: int) -> str:
        """Tell `active`, `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        if self.expires_ms is not None and now_ms >= self.expires_ms:
            return "expired"
        return "active"


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@attrs.define
class KeyRing:
    """All keys, by the digest of their secret."""

    by_digest: dict[str, KeyRecord] = attrs.field(factory=dict)

    def add(self, name: str, record: KeyRecord) -> None:
        """Take in a new key by its digest; raises ValueError when the secret is taken or the ring is full."""
        if name in self.by_digest or len(self.by_digest) >= KEYS_MAX:
            raise ValueError("the secret is taken or the ring is full")
        self.by_digest[name] = record

    def lookup(self, secret: str) -> KeyRecord | None:
        """Find a key by its secret, whatever its status."""
        return self.by_digest.get(digest(secret))

    def authorize(self, secret: str, *, scope: str, address: str, now_ms: int) -> KeyRecord:
        """Return the key if it may act now, and note its use.

        `scope` is what the call needs; a trade key may also read. Raises Rejection: 401 KEY_UNKNOWN or KEY_EXPIRED,
        409 KEY_REVOKED, 403 IP_NOT_ALLOWED or INSUFFICIENT_SCOPE.
        """
        name = digest(secret)
        record = self.by_digest.get(name)
        if record is None:
            raise Rejection("KEY_UNKNOWN", "no such API key")
        status = record.status(now_ms)
        if status == "revoked":
            raise Rejection("KEY_REVOKED", "this API key was revoked")
        if status == "expired":
            raise Rejection("KEY_EXPIRED", "this API key has expired")
        if record.allowed_addresses and address not in record.allowed_addresses:
            raise Rejection("IP_NOT_ALLOWED", "this API key may not be used from this address")
        if scope == "trade" and record.scope != "trade":
            raise Rejection("INSUFFICIENT_SCOPE", "this call needs a key with scope trade")
        record = attrs.evolve(record, last_used_ms=now_ms, last_used_address=address)
        self.by_digest[name] = record
        return record

    def of_user(self, user_id: str) -> tuple[KeyRecord, ...]:
        """List a user's keys, oldest first."""
        return tuple(record for record in self.by_digest.values() if record.user_id == user_id)

    def revoke(self, key_id: str, now_ms: int) -> bool:
        """Revoke a key at once; False when there is none."""
        for name, record in self.by_digest.items():
            if record.key_id == key_id:
                if record.revoked_ms is None:
                    self.by_digest[name] = attrs.evolve(record, revoked_ms=now_ms)
                return True
        return False
