"""How old each resting order of ours is, as well as two clocks can tell that were never compared.

Of each order is known, on this host's clock (CLOCK_BOOTTIME: it counts suspended time, and no wall clock is asked):

    seen     since when it has been in every read: it is at least so old
    unseen   when the last read began that did not show it: it is at most so old; not known for the first read's

and on the exchange's: its `createdAt`, and the `Date` of the answer that lists it. Their difference is the age if the
exchange's engine and its HTTP server have the same time. Where an order shows that they have not, because it would be
older than `unseen` allows, what is too much is taken off its age and all that follow; and no age is below what `seen`
proves. So no clock that is wrong, of either host or of the exchange, makes a young order old by more than the
time between two reads. (But for orders that the very first read shows: of these the exchange's clock alone tells.)

Without `createdAt` or `Date`, `seen` is all there is: an order is then pulled later by at most one poll, and after a
start of the watcher as if it had just been placed.

Orders are told apart by clientOrderId, which a maker never uses twice: an exchange that keeps an order's id or time
when a ladder replaces it makes nothing older. One that is missing in a read and there again in the next (a reader of
the exchange's that lags) is still the same one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

CLIENT_ORDER_ID, CREATED_AT, MARKET_ID = "clientOrderId", "createdAt", "marketId"  # as maker.wire.ocx
AHEAD_TELL_SECONDS = 5.0  # by which the exchange's clocks must contradict ours before it is worth a sentence
FORGET_SECONDS = 120.0  # after which an order that is in no read any more is forgotten


class Order(NamedTuple):
    """One resting order of ours; times on this host's clock, seconds."""

    name: str  # its clientOrderId
    market_id: str
    seen: float
    unseen: float  # -infinity: not known
    created: float | None  # on the exchange's clock, unix seconds


class Ages:
    """The orders of ours that the last read showed."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.orders: dict[str, Order] = {}
        self.missing: dict[str, tuple[float, Order]] = {}  # in none since then
        self.foreign = 0  # orders in the last read that are not ours
        self.read_at: float | None = None  # when the last read began; None: never read
        self.dated: tuple[float, float] | None = None  # the exchange's clock at the last read, and ours after it
        self.ahead = 0.0  # seconds by which the exchange's `Date` is proven to run ahead of its `createdAt`

    def is_ours(self, name: object) -> bool:
        """Whether a clientOrderId is of this instance, of whichever run: as `maker.desk.identity`."""
        return isinstance(name, str) and name.startswith(f"{self.prefix}-")

    def saw(self, rows: Iterable[Mapping[str, Any]], asked: float, answered: float, date: str) -> None:
        """Take a read of all that rests: when it was asked for and answered, and the answer's `Date`."""
        unseen = -math.inf if self.read_at is None else self.read_at
        found: dict[str, Order] = {}
        known = {name: one for name, (_, one) in self.missing.items()} | self.orders
        self.foreign = 0
        for row in rows:
            name = row.get(CLIENT_ORDER_ID)
            if not isinstance(name, str) or not self.is_ours(name):
                self.foreign += 1
                continue
            created = unix_seconds(row.get(CREATED_AT))
            found[name] = known.get(name) or Order(name, str(row.get(MARKET_ID, "")), answered, unseen, created)
        gone = {name: (asked, one) for name, one in self.orders.items()} | self.missing
        self.missing = {
            name: (since, one)
            for name, (since, one) in gone.items()
            if name not in found and asked - since < FORGET_SECONDS
        }
        self.orders, self.read_at = found, asked
        told = http_seconds(date)
        if told is None:
            self.dated = None
            return
        self.dated = told, answered
        for one in found.values():
            if one.created is not None:
                self.ahead = max(self.ahead, told - one.created - (answered - one.unseen))

    def age(self, order: Order, now: float) -> float:
        """Return an order's age in seconds at `now`: never less than proven, seldom more than true."""
        least = now - order.seen
        if self.dated is None or order.created is None:
            return least
        told, answered = self.dated
        return max(least, told + now - answered - order.created - self.ahead)

    def oldest(self, now: float) -> float:
        """Return the age of our oldest order in seconds; 0 when none rests."""
        return max((self.age(one, now) for one in self.orders.values()), default=0.0)

    def older(self, seconds: float, now: float) -> list[Order]:
        """Return those of our orders that are older, the oldest first."""
        aged = sorted((-self.age(one, now), one) for one in self.orders.values())
        return [one for age, one in aged if -age > seconds]


def unix_seconds(value: object) -> float | None:
    """Return a REST time as unix seconds; None for what is none. ASSUMED of an open order: `createdAt` is there."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    return None


def http_seconds(text: str) -> float | None:
    """Return a `Date` header as unix seconds, whole ones, never ahead; None for what is none."""
    with contextlib.suppress(ValueError, TypeError, OverflowError, IndexError):
        return parsedate_to_datetime(text).timestamp()
    return None
