"""A user's money and positions.

Money is cash flow: a purchase takes price x quantity out, a sale brings it in, and so

    equity = deposited + traded - fees_paid - funding_paid + sum of position x mark

holds exactly, with no division anywhere. Over all accounts `traded` and `funding_paid` sum to zero at every moment,
and so do the positions of each market. A position carries what it cost: closing a part takes that part of the cost out,
rounded to 18 decimals where it does not end, and the last part takes the rest. So

    traded = sum of realised profits - sum of costs of what is open

holds exactly too. Average entry prices are shown, rounded to 28 digits, and nothing is reckoned from them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import attrs

from maker.paper.candles import DAY_MS
from maker.paper.identifiers import UlidSource
from maker.paper.money import ZERO, ratio, share
from maker.paper.orders import SIGN, FundingRecord, LiquidationRecord, OwnTrade, PositionRecord

BUCKETS: Final = ("wallet", "perps", "options", "spot")
OWN_TRADES_MAX: Final = 10_000  # trades a user: hours of busy quoting, for reading back after a reconnect
CLOSED_POSITIONS_MAX: Final = 100  # positions a user: streams poll every 250 ms and need the ones closed since
FUNDING_RECORDS_MAX: Final = 4_032  # payments a user: a week of two markets
LIQUIDATIONS_MAX: Final = 1_000
VOLUME_DAYS: Final = 30  # documented: rolling 30-day volume; ours counts whole days of UTC, today included


@attrs.define(eq=False)
class Position:
    """An open position; `quantity` is signed and never zero."""

    position_id: str
    market_id: str
    quantity: Decimal
    cost: Decimal  # quote units, signed as the quantity: what was paid for what is still open
    entry_price: Decimal
    opened_ms: int
    updated_ms: int
    version: int
    realized_pnl: Decimal = ZERO


@attrs.define(eq=False)
class Account:
    """One owner of money, positions and trades."""

    user_id: str
    kind: str  # user | crowd | insurance; only users are margined, limited, reported and remembered in detail
    deposited: Decimal = ZERO  # into the perps bucket, less what was transferred away
    traded: Decimal = ZERO
    fees_paid: Decimal = ZERO  # negative: more rebates than fees
    funding_paid: Decimal = ZERO  # negative: received more than paid
    buckets: dict[str, Decimal] = attrs.field(factory=lambda: {"wallet": ZERO, "options": ZERO, "spot": ZERO})
    positions: dict[str, Position] = attrs.field(factory=dict)  # by market
    positions_version: int = 0  # one more with each change of any position
    closed: deque[PositionRecord] = attrs.field(factory=lambda: deque(maxlen=CLOSED_POSITIONS_MAX))
    trade_count: int = 0
    trades: deque[OwnTrade] = attrs.field(factory=lambda: deque(maxlen=OWN_TRADES_MAX))
    funding: deque[FundingRecord] = attrs.field(factory=lambda: deque(maxlen=FUNDING_RECORDS_MAX))
    liquidations: deque[LiquidationRecord] = attrs.field(factory=lambda: deque(maxlen=LIQUIDATIONS_MAX))
    volume_by_day: dict[int, Decimal] = attrs.field(factory=dict)  # quote units by day number since 1970

    def cash(self) -> Decimal:
        """Return the perps bucket's money, positions not counted."""
        return self.deposited + self.traded - self.fees_paid - self.funding_paid

    def equity(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Return cash and positions at the marks given by market."""
        return self.cash() + sum((each.quantity * marks[name] for name, each in self.positions.items()), ZERO)

    def unrealized(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Return what closing at the marks would realise."""
        return sum((each.quantity * marks[name] - each.cost for name, each in self.positions.items()), ZERO)

    def quantity(self, market_id: str) -> Decimal:
        """Return the signed position, zero when there is none."""
        position = self.positions.get(market_id)
        return ZERO if position is None else position.quantity

    def move(self, market_id: str, side: str, price: Decimal, quantity: Decimal, now_ms: int, ids: UlidSource) -> None:
        """Buy or sell at a price: the cash flow, and the position with its average entry and realised profit.

        Through zero the old position closes and another opens, with an id of its own.
        """
        signed = SIGN[side] * quantity
        self.traded -= signed * price
        self.positions_version += 1
        position = self.positions.get(market_id)
        if position is None:
            self._open(market_id, signed, price, now_ms, ids)
            return
        position.updated_ms = now_ms
        position.version = self.positions_version
        if (position.quantity > 0) == (signed > 0):
            position.cost += price * signed
            position.quantity += signed
            position.entry_price = ratio(position.cost, position.quantity)
            return
        closing = min(quantity, abs(position.quantity)) * SIGN[side]
        is_part = bool(position.quantity + closing)
        cost = share(position.cost, -closing, position.quantity) if is_part else position.cost
        position.realized_pnl -= price * closing + cost
        if is_part:
            position.cost -= cost
            position.quantity += closing
            return
        record = self.record(position)
        self.closed.append(attrs.evolve(record, quantity=ZERO, status="closed"))
        del self.positions[market_id]
        if signed != closing:
            self._open(market_id, signed - closing, price, now_ms, ids)

    def _open(self, market_id: str, signed: Decimal, price: Decimal, now_ms: int, ids: UlidSource) -> None:
        self.positions[market_id] = Position(
            position_id=ids.make(now_ms),
            market_id=market_id,
            quantity=signed,
            cost=price * signed,
            entry_price=price,
            opened_ms=now_ms,
            updated_ms=now_ms,
            version=self.positions_version,
        )

    def record(self, position: Position) -> PositionRecord:
        """Take a frozen snapshot of an open position."""
        return PositionRecord(
            position_id=position.position_id,
            user_id=self.user_id,
            market_id=position.market_id,
            side="buy" if position.quantity > 0 else "sell",
            quantity=abs(position.quantity),
            entry_price=position.entry_price,
            realized_pnl=position.realized_pnl,
            status="open",
            opened_ms=position.opened_ms,
            updated_ms=position.updated_ms,
            version=position.version,
        )

    def add_volume(self, value: Decimal, now_ms: int) -> None:
        """Count traded value towards the rolling volume."""
        day = now_ms // DAY_MS
        self.volume_by_day[day] = self.volume_by_day.get(day, ZERO) + value
        for old in [each for each in self.volume_by_day if each <= day - VOLUME_DAYS]:
            del self.volume_by_day[old]

    def volume(self, now_ms: int) -> Decimal:
        """Return the value traded in the last thirty days, quote units."""
        day = now_ms // DAY_MS
        return sum((value for each, value in self.volume_by_day.items() if each > day - VOLUME_DAYS), ZERO)
