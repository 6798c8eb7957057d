"""The key: whether the exchange accepts it, and what can be learnt of its scope, its expiry and its pinned addresses.

OCX tells these to signed-in sessions (`GET /perps/me/api-keys`); whether a key may ask too is not settled, so it is
tried, and where a wallet stands by, its session asks. Where nobody may, what `keys create` noted beside the key is
taken; and without that an accepted read still proves much: a known key, not revoked, not expired, and used from where
it may be. What no read can prove is that it may trade; then the first cancel-all of a start does.

Which of several keys is ours is told by the id that is noted beside it. Without one, as no answer names the key that
asked, it is the only active one, or else the only one that was used just now. ASSUMED: that `lastUsedAt` is kept up to
the second.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import attrs

from maker.errors import ExitCode, OcxError, Refused, Unauthorized
from maker.launch.key import Key
from maker.preflight.verdict import Finding, failed, not_made, ok, unknown, warning
from maker.wire import ocx
from maker.wire.access import KeySeen

DAY_SECONDS: Final = 86_400.0
EXPIRY_WARN_DAYS: Final = 14.0  # long enough for whoever mints keys to be on holiday
USED_SECONDS_MAX: Final = 30.0  # ago: all our reads of the key so far, and a clock that is a little off
TRADE: Final = "trade"

CREDENTIALS: Final = "credentials"  # the checks, by name
EXPIRY: Final = "expiry"
PINS: Final = "pinned addresses"
SCOPE: Final = "scope"
ACCEPTED: Final = (CREDENTIALS, EXPIRY, PINS, SCOPE)  # all of them: the key is accepted here
MAKE: Final = "python3 run.py keys create CONF --scope trade"
BY_NOTE: Final = ", by what its file says"
BY_HAND: Final = "See `python3 run.py keys list CONF`, or the exchange's own page of keys."
BY_CANCEL: Final = f"{BY_HAND} A start proves it by its first cancel-all, and ends with code 77 where it may not."


class Trouble(enum.Enum):
    """What a refusal blames."""

    EXPIRED = "expired"
    ADDRESS = "address"
    SCOPE = "scope"
    KEY = "key"  # unknown, revoked, or a reason that we have no name for


REFUSALS: Final = (401, 403, 409)  # as documented: not authenticated, wrong scope or address, a key that was revoked
CODES: Final = {
    ocx.KEY_EXPIRED: Trouble.EXPIRED,
    ocx.IP_NOT_ALLOWED: Trouble.ADDRESS,
    ocx.INSUFFICIENT_SCOPE: Trouble.SCOPE,
}


@attrs.frozen
class KeyTold:
    """What the exchange said of our key, and what is noted beside it."""

    noted: Key = attrs.field(factory=partial(Key, ""))
    refusal: Unauthorized | Refused | None = None  # of an authenticated read; None: it was answered
    own: KeySeen | None = None
    untold: str = ""  # why `own` is not known

    @property
    def trouble(self) -> Trouble | None:
        return None if self.refusal is None else CODES.get(self.refusal.code, Trouble.KEY)

    @property
    def best(self) -> Key:
        """What is known of the key, but for its secret: by the exchange, else by its notes."""
        if self.own is None:
            return self.noted
        expires_at = math.inf if self.own.expires_at is None else self.own.expires_at
        return Key("", self.own.key_id, self.own.scope, expires_at, self.own.allowed_ips)

    @property
    def by(self) -> str:
        """Who says so; empty for the exchange."""
        return "" if self.own else BY_NOTE


def ours(keys: Iterable[KeySeen], unix_seconds: float) -> KeySeen | None:
    """Which of the account's keys we have just used; None where that cannot be told."""
    active = [key for key in keys if key.status == "active"]
    if len(active) == 1:
        return active[0]
    lately = [key for key in active if used_ago(key, unix_seconds) <= USED_SECONDS_MAX]
    return lately[0] if len(lately) == 1 else None


def used_ago(key: KeySeen, unix_seconds: float) -> float:
    """Seconds since a key was last used; infinity: never."""
    return math.inf if key.last_used_at is None else unix_seconds - key.last_used_at


def told_of(noted: Key, keys: Iterable[KeySeen], unix_seconds: float) -> KeyTold:
    """What a list of the account's keys tells of ours."""
    if noted.key_id:
        own = next((key for key in keys if key.key_id == noted.key_id), None)
        return KeyTold(noted, own=own, untold="" if own else f"the account has no key {noted.key_id}, as its file says")
    own = ours(keys, unix_seconds)
    return KeyTold(noted, own=own, untold="" if own else "several keys are active, and which is ours is not told")


def untold(noted: Key, error: OcxError) -> KeyTold:
    """What a refused list tells: nothing, and that is no trouble."""
    status = f" ({error.status})" if isinstance(error, Unauthorized | Refused) else ""
    return KeyTold(noted, untold=f"keys are listed for signed-in sessions only{status}")


# -- a line each --------------------------------------------------------------------------------------------------


def credentials(told: KeyTold) -> Finding:
    """Whether the exchange knows this key, and it was not revoked."""
    if told.trouble is Trouble.KEY:
        refusal = told.refusal
        assert refusal is not None, "there is no trouble without one"
        revoked = refusal.code == ocx.KEY_REVOKED
        fix = "It was revoked: put a new key in its place." if revoked else "Is this the key that was minted, whole?"
        return failed(f"A read with this key is answered {refusal}.", fix, ExitCode.CREDENTIALS)
    if told.own is None:
        return ok("The exchange knows the key.")
    return ok(f"The exchange knows the key {told.own.key_id} ({told.own.name!r}).")


def expiry(told: KeyTold, unix_seconds: float) -> Finding:
    """How long the key lasts."""
    if told.trouble is Trouble.EXPIRED:
        return failed("The key has expired.", f"Put a new one in its place: {MAKE}.", ExitCode.CREDENTIALS)
    if told.trouble is not None:
        return not_made(f"{blamed(told.trouble)} did not pass")
    expires_at = told.best.expires_at
    if expires_at is None:
        return unknown(f"It has not expired; until when it lasts is not told: {told.untold}.", BY_HAND)
    if math.isinf(expires_at):
        return warning(f"It never expires{told.by}.", f"A key that leaks should die by itself: {MAKE} --days 90.")
    days = (expires_at - unix_seconds) / DAY_SECONDS
    said = f"It expires in {days:.1f} days, on {datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d %H:%M} UTC{told.by}."
    return ok(said) if days > EXPIRY_WARN_DAYS else warning(said, f"Make the next one in time: {MAKE}.")


def pins(told: KeyTold) -> Finding:
    """Whether the key may be used from here, and whether from anywhere else."""
    if told.trouble is Trouble.ADDRESS:
        fix = "Pin the address that this machine is seen as from outside, or use one that is pinned."
        return failed("The key may not be used from this machine's address.", fix, ExitCode.CREDENTIALS)
    if told.trouble is not None:
        return not_made(f"{blamed(told.trouble)} did not pass")
    allowed_ips = told.best.allowed_ips
    if allowed_ips is None:
        return unknown(f"It may be used from here; from where else is not told: {told.untold}.", BY_HAND)
    here = f"; we are seen as {told.own.last_used_ip}" if told.own and told.own.last_used_ip else ""
    if not allowed_ips:
        fix = f"Take one that is pinned to this machine's address: {MAKE} --ip ADDRESS."
        return warning(f"It may be used from anywhere{here}{told.by}.", fix)
    return ok(f"It is pinned to {', '.join(allowed_ips)}{here}{told.by}.")


def scope(told: KeyTold) -> Finding:
    """Whether the key may trade."""
    own_scope = told.best.scope
    if told.trouble is Trouble.SCOPE or own_scope == "read":
        fix = f"One of scope read is for whoever only looks on. For quoting: {MAKE}."
        return failed("The key may read and not trade: it cannot quote.", fix, ExitCode.CREDENTIALS)
    if told.trouble is not None:
        return not_made(f"{blamed(told.trouble)} did not pass")
    if own_scope == TRADE:
        return ok(f"It may trade{told.by}.")
    why = f"the exchange calls it {own_scope!r}" if own_scope else told.untold
    return unknown(f"It may read; whether it may trade is not told: {why}.", BY_CANCEL)


def blamed(trouble: Trouble) -> str:
    """The check that a refusal failed."""
    checks = {Trouble.EXPIRED: EXPIRY, Trouble.ADDRESS: PINS, Trouble.SCOPE: SCOPE, Trouble.KEY: CREDENTIALS}
    return checks[trouble]
