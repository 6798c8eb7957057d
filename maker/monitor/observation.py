"""What the monitor sees of a run at one moment, and what may be made of it.

The maker's word (its last datagram and how old it is), the processes, the latch, and the exchange's own word, each as
it was last heard. They may contradict each other: telling is the rules' business, and no rule changes anything.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from decimal import Decimal

import attrs

from maker.desk.events import OrderSeen
from maker.wire.live import State


class Life(enum.Enum):
    """What is known of a process."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"  # nobody has told which process it is, or was


@attrs.frozen
class PositionHeld:
    """A position as the exchange states it."""

    market_id: str
    base: Decimal  # signed, + long
    entry: Decimal | None  # quote per base, the exchange's average


@attrs.frozen
class ExchangeSeen:
    """What the exchange itself said last: the whole account, orders of others included."""

    orders: tuple[OrderSeen, ...] | None = None  # None: never read
    orders_at: float | None = None  # unix seconds at which the answer was asked for: it shows no older state
    positions: tuple[PositionHeld, ...] | None = None  # None: never read; markets without a position may be missing
    positions_at: float | None = None  # unix seconds, as above
    why_not: str = ""  # why the last attempt to read either failed, or why none is made; empty: it went well


@attrs.frozen
class Observation:
    """Everything that is seen at `now`."""

    now: float  # unix seconds
    state: State | None  # the maker's last word; None: none was heard
    state_age_seconds: float | None  # since it was sent, suspended time included; None: none was heard
    maker: Life
    guard: Life
    latched: str  # what the kill file says; empty: there is none
    run_id: str  # of the last state heard; empty: none was heard
    exchange: ExchangeSeen
    key_scope: str  # of the monitor's key: read | none (it reads nothing)


@attrs.frozen
class Findings:
    """What one rule makes of an observation, as the page shows it: JSON values only."""

    audit: Mapping[str, object] | None = None  # None: this rule audits nothing
    alerts: tuple[Mapping[str, object], ...] = ()  # all that stand now, the worst first


# Called about once a second, in the monitor's loop: it must return at once. One that raises is shown as an alert.
Rule = Callable[[Observation], Findings]
