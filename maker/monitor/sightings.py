"""What maker and exchange said lately, with when each was true: what the audit compares.

All times are unix seconds of this machine's clock, on which maker and monitor both run. What a read shows was true at
some moment from `asked_at` to `answered_at`; what a state says was the maker's belief at `at`. A clock that is set, or
a monitor that stood still, makes such times worthless: then everything is forgotten and the audit begins anew.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import attrs

from maker.desk.identity import Identity
from maker.desk.units import decimal_exact
from maker.monitor.observation import Observation
from maker.wire.live import State

STATES_KEPT: Final = 256  # at most one an observation: four minutes
READS_KEPT: Final = 64
CLOCK_SECONDS: Final = 1.0  # between a state's own time and when it was received: more is a clock that was set
GAP_SECONDS: Final = 30.0  # between two observations: more is a monitor that stood still, or a clock that was set
QUOTING: Final = "quoting"


class Level(NamedTuple):
    """Where an order rests; a ladder has one order at each."""

    market_id: str
    side: str
    price: Decimal


@attrs.frozen
class Said:
    """The maker's word at one moment."""

    at: float
    is_quoting: bool
    quotes: Counter[Level]
    accepted_at: Mapping[str, float]  # market -> since when the ladder that rests has rested, or before
    positions: Mapping[str, tuple[Decimal, int]]  # market -> base, fills since the run began


@attrs.frozen
class OrdersRead:
    """The exchange's word about orders."""

    asked_at: float
    answered_at: float  # or earlier
    ours: Mapping[str, Level]  # by the exchange's id
    foreign: Mapping[str, Level]


@attrs.frozen
class PositionsRead:
    """The exchange's word about positions; what is not in it is none."""

    asked_at: float
    answered_at: float  # or earlier
    base: Mapping[str, Decimal]


@attrs.define
class Sightings:
    """A short history of both."""

    order_prefix: str
    states: deque[Said] = attrs.field(factory=lambda: deque(maxlen=STATES_KEPT))
    orders: deque[OrdersRead] = attrs.field(factory=lambda: deque(maxlen=READS_KEPT))
    positions: deque[PositionsRead] = attrs.field(factory=lambda: deque(maxlen=READS_KEPT))
    run_id: str = ""
    seen_at: float | None = None

    def take(self, seen: Observation) -> bool:
        """Add what is new in an observation; False: everything before it was forgotten."""
        kept = self.seen_at is None or 0 <= seen.now - self.seen_at <= GAP_SECONDS
        if not kept:
            self.states.clear()
            self.orders.clear()
            self.positions.clear()
        self.seen_at = seen.now
        if seen.run_id != self.run_id:
            self.states.clear()
            self.run_id = seen.run_id
        if seen.state is not None and seen.state_age_seconds is not None:
            fits = abs(seen.now - seen.state_age_seconds - seen.state.sent_at) <= CLOCK_SECONDS
            if fits and (not self.states or seen.state.sent_at > self.states[-1].at):
                self.states.append(said(seen.state))
        exchange = seen.exchange
        asked_at = exchange.orders_at
        if exchange.orders is not None and asked_at is not None and is_newer(asked_at, self.orders, seen.now):
            identity = Identity.of(self.order_prefix, 0)
            ours: dict[str, Level] = {}
            foreign: dict[str, Level] = {}
            for order in exchange.orders:
                level = Level(order.market_id, order.side.value, order.price)
                name = order.order_id or order.client_order_id or str(level)
                (ours if identity.is_ours(order.client_order_id) else foreign)[name] = level
            self.orders.append(OrdersRead(asked_at, seen.now, ours, foreign))
        asked_at = exchange.positions_at
        if exchange.positions is not None and asked_at is not None and is_newer(asked_at, self.positions, seen.now):
            base: dict[str, Decimal] = {}
            for held in exchange.positions:
                base[held.market_id] = base.get(held.market_id, Decimal(0)) + held.base
            self.positions.append(PositionsRead(asked_at, seen.now, base))
        return kept

    def said_by(self, moment: float) -> Said | None:
        """The newest word of a quoting maker that is not younger than a moment."""
        return next((one for one in reversed(self.states) if one.is_quoting and one.at <= moment), None)


def is_newer(asked_at: float, reads: deque[OrdersRead] | deque[PositionsRead], now: float) -> bool:
    """Whether this read is another than the last one, and of a time that can be."""
    return asked_at <= now and now - asked_at <= GAP_SECONDS and (not reads or asked_at > reads[-1].asked_at)


def said(state: State) -> Said:
    """Read the maker's word; what is no number is left out."""
    quotes: Counter[Level] = Counter()
    accepted_at: dict[str, float] = {}
    positions: dict[str, tuple[Decimal, int]] = {}
    for market in state.markets:
        for quote in market.quotes:
            if (price := number(quote.price)) is not None:
                quotes[Level(market.market_id, quote.side, price)] += 1
        if market.quotes and market.quotes_age_seconds is not None:
            accepted_at[market.market_id] = state.sent_at - market.quotes_age_seconds
        if (position := number(market.position)) is not None:
            positions[market.market_id] = (position, market.fills)
    return Said(state.sent_at, state.state == QUOTING, quotes, accepted_at, positions)


def number(text: str) -> Decimal | None:
    """The value of decimal text, whatever its trailing zeros; None: it is none."""
    try:
        return decimal_exact(text)
    except ValueError:
        return None
