"""What we own and what may still fill: own orders, fills, position and cash of one market.

An order of ours is in exactly one of three places: `pending` (its ladder left, no answer yet, or an answer we cannot
trust), `resting` (answered), `superseded` (a later replace removed it, but a fill from before that replace may not have
been reported yet). All three count towards the worst case; a fill counts once, by trade id, wherever its order is.
The exchange's position is authoritative; the one we sum from fills must agree with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

import attrs

from maker.desk.events import (
    Fill,
    LevelOrder,
    MarketSpec,
    OpenOrdersRead,
    OrderSeen,
    PlacedOrder,
    PositionSeen,
)
from maker.desk.units import BPS, Side, exact

TRADE_IDS_MAX = 50_000  # remembered a market: far more than any snapshot or read-back repeats
ORDERS_REMEMBERED = 20_000  # orders of a market whose size we know: hours of replacing, and fills are late by seconds
FILL_REPORT_SECONDS_MAX = 1.0  # ASSUMED: a stream heard this long after an effect has reported the fills before it


@attrs.define
class OwnOrder:
    """One level of ours, with what is still open of it."""

    client_order_id: str
    side: Side
    ticks: int
    lots: int  # open
    reduce_only: bool
    quote_id: str
    order_id: str | None = None
    placed_ms: int | None = None  # exchange time of the ladder it came with; None: not stated
    gone_ms: int | None = None  # superseded: exchange time of what removed it; None: not stated
    gone_at: float = 0.0  # superseded: our time of the answer that said so
    read_lots: int | None = None  # open as last read back; fills from before may still be reported
    read_at: float = 0.0


@attrs.frozen
class Origin:
    """The ladder that an order came with, and its place there."""

    quote_id: str = ""  # empty: not known
    level: int = 0  # of its side, 1 innermost; 0: not known


@attrs.define
class TradeIds:
    """The last trade ids seen, bounded, oldest forgotten first."""

    known: set[str] = attrs.field(factory=set)
    order: deque[str] = attrs.field(factory=deque)

    def is_new(self, trade_id: str) -> bool:
        """Remember an id; say whether it was new."""
        if trade_id in self.known:
            return False
        self.known.add(trade_id)
        self.order.append(trade_id)
        if len(self.order) > TRADE_IDS_MAX:
            self.known.discard(self.order.popleft())
        return True


@attrs.define
class MarketAccount:
    """Our side of one market."""

    spec: MarketSpec
    position_lots: int = 0  # signed, as the exchange last said
    position_summed_lots: int = 0  # signed, from fills since the last account read
    position_start_lots: int = 0  # signed, as found at the start of the run
    # Signed, a side: how far it was, or could come, beyond a limit when that was lowered; 0: it was not beyond.
    position_found_lots: dict[Side, int] = attrs.field(factory=lambda: dict.fromkeys(Side, 0))
    entry_start: Decimal = Decimal(0)  # quote per base, of that position
    entry_price: Decimal = Decimal(0)
    held: dict[str, PositionSeen] = attrs.field(factory=dict)  # open positions by id; one, but for a flip
    resting: dict[str, OwnOrder] = attrs.field(factory=dict)  # by clientOrderId
    pending: dict[str, OwnOrder] = attrs.field(factory=dict)
    superseded: dict[str, OwnOrder] = attrs.field(factory=dict)
    guessed: list[tuple[OwnOrder, Fill]] = attrs.field(factory=list)  # by price, while a ladder was on its way
    trade_ids: TradeIds = attrs.field(factory=TradeIds)
    finished: TradeIds = attrs.field(factory=TradeIds)  # clientOrderIds of orders filled whole
    asked: dict[str, int] = attrs.field(factory=dict)  # clientOrderId -> lots asked for and not filled; oldest first
    origins: dict[str, Origin] = attrs.field(factory=dict)  # by clientOrderId, oldest first; as many as `asked`
    overfilled: str = ""  # what was filled beyond what we asked for, by an order of ours or of somebody else
    cash: Decimal = Decimal(0)  # quote, since start: -sign * price * size - fees
    fees: Decimal = Decimal(0)  # quote paid; negative: rebates
    volume: Decimal = Decimal(0)  # quote traded
    fills: int = 0
    duplicate_fills: int = 0

    # -- ladders

    def begin(self, quote_id: str, orders: Iterable[LevelOrder]) -> None:
        """A ladder is about to leave, each side best level first: from here on its levels may fill."""
        assert not self.pending, "one write in flight a market"
        self.guessed.clear()
        levels = dict.fromkeys(Side, 0)
        for order in orders:
            levels[order.side] += 1
            self.origins[order.client_order_id] = Origin(quote_id, levels[order.side])
            self.pending[order.client_order_id] = OwnOrder(
                order.client_order_id, order.side, order.ticks, order.lots, order.reduce_only, quote_id
            )
            self.asked[order.client_order_id] = order.lots
        while len(self.asked) > ORDERS_REMEMBERED:
            del self.asked[next(iter(self.asked))]
        while len(self.origins) > ORDERS_REMEMBERED:
            del self.origins[next(iter(self.origins))]

    def placed(self, orders: tuple[PlacedOrder, ...] | None, engine_ms: int | None, now: float) -> bool:
        """The replace was applied: the old ladder is superseded, of the new one rest those the answer names.

        Without names (None) all of the ladder is taken to rest. False: an order read must say what rests.
        """
        guessed = self.guessed if engine_ms is not None else []
        for order, fill in guessed:  # whose they were is asked again below, now that it is known when the old one went
            order.lots += fill.lots
            self.resting[order.client_order_id] = order
        self.supersede(self.resting, engine_ms, now)
        for order in self.pending.values():
            order.placed_ms = engine_ms
        for _, fill in guessed:
            self.reduce(fill)
        if orders is None:
            self.resting, self.pending = self.pending, {}
            return False
        answered = {order.client_order_id: order for order in orders}
        complete = True
        for client_order_id, order in self.pending.items():
            answer = answered.get(client_order_id)
            if answer is None:
                complete = False
                self.resting[client_order_id] = order
            elif answer.resting:
                order.order_id = answer.order_id
                self.resting[client_order_id] = order
            elif answer.code is None:  # filled at once: the fill itself has yet to be reported
                order.order_id, order.gone_ms, order.gone_at = answer.order_id, engine_ms, now
                self.superseded[client_order_id] = order
        self.pending = {}
        return complete

    def supersede(self, orders: dict[str, OwnOrder], engine_ms: int | None, now: float) -> None:
        """These rest no more, but fills from before `engine_ms` may still be reported."""
        for client_order_id, order in orders.items():
            order.gone_ms, order.gone_at = engine_ms, now
            self.superseded[client_order_id] = order
        orders.clear()

    def not_placed(self) -> None:
        """The ladder in flight is known not to rest. The old one is left as it was."""
        self.pending.clear()

    def orders_read(self, read: OpenOrdersRead, now: float) -> tuple[OrderSeen, ...]:
        """Make `resting` what the exchange says rests on this market; return the orders that were not known.

        To be called only while no write is in flight.
        """
        known = {**self.superseded, **self.resting, **self.pending}
        self.supersede(self.resting, None, now)
        self.supersede(self.pending, None, now)
        unknown: list[OrderSeen] = []
        for order in read.orders:
            if order.market_id != self.spec.market_id:
                continue
            own = known.get(order.client_order_id or "")
            if own is None and order.client_order_id in self.finished.known:
                continue  # filled while the read was on its way
            if own is None:
                unknown.append(order)
                continue
            own.order_id = order.order_id
            # What is missing from it was filled: those fills come by the stream, and take it off when they do.
            own.read_lots, own.read_at = self.spec.grid.size.count_up(order.remaining), now
            # A fill that was told while the read was on its way, by its order's name, is off it for good.
            named = self.asked.get(own.client_order_id, own.read_lots)
            own.lots = max(own.lots, min(own.read_lots, named))
            self.resting[own.client_order_id] = own
            self.superseded.pop(own.client_order_id, None)
        return tuple(unknown)

    def heard(self, engine_ms: int | None, now: float) -> None:
        """The stream has reported all fills up to here: forget what was gone before, believe what was read before."""
        for order in self.resting.values():
            if order.read_lots is not None and now - order.read_at >= FILL_REPORT_SECONDS_MAX:
                order.lots, order.read_lots = min(order.lots, order.read_lots), None
        for client_order_id, order in list(self.superseded.items()):
            if order.gone_ms is not None and engine_ms is not None:
                passed = engine_ms > order.gone_ms
            else:
                passed = now - order.gone_at >= FILL_REPORT_SECONDS_MAX
            if passed:
                del self.superseded[client_order_id]

    def knows(self, client_order_id: str) -> bool:
        """Whether an order of this name may rest, or a read may show it though it was filled."""
        places = (self.resting, self.pending, self.superseded, self.finished.known)
        return any(client_order_id in names for names in places)

    def nothing_rests(self) -> None:
        """Verified empty: no order of ours can fill any more (fills not yet reported come by trade id)."""
        self.resting.clear()
        self.pending.clear()
        self.superseded.clear()

    # -- fills and position

    def fill(self, fill: Fill) -> bool:
        """Book a fill once; say whether it was new."""
        if not self.trade_ids.is_new(fill.trade_id):
            self.duplicate_fills += 1
            return False
        with exact():
            value = self.spec.grid.notional(fill.ticks, fill.lots)
            fee = value * self.spec.fee_bps(fill.liquidity) / BPS
            self.cash -= fill.side.sign * value + fee
            self.fees += fee
            self.volume += value
        self.fills += 1
        self.position_summed_lots += fill.side.sign * fill.lots
        self.reduce(fill)
        self.compare_with_asked(fill)
        return True

    def compare_with_asked(self, fill: Fill) -> None:
        """Keep what is left of what we asked for, wherever the order is by now; note a fill beyond it (Knight, 2012).

        A fill that names no order, or one of before our memory, cannot be compared.
        """
        left = self.asked.get(fill.client_order_id or "")
        if left is None or fill.client_order_id is None:
            return
        self.asked[fill.client_order_id] = left - fill.lots
        if left < fill.lots:
            over = self.spec.grid.size.text(fill.lots - left)
            self.overfilled = f"{over} beyond order {fill.client_order_id}, trade {fill.trade_id}"

    def origin(self, fill: Fill) -> Origin:
        """The ladder a fill's order came with, while we remember it. To be asked before the fill is booked."""
        name = fill.client_order_id
        if name is None:
            found = self.order_of(fill)
            name = found[1].client_order_id if found is not None else ""
        return self.origins.get(name, Origin())

    def order_of(self, fill: Fill) -> tuple[dict[str, OwnOrder], OwnOrder] | None:
        """The order a fill belongs to, and where it is: by clientOrderId, by order id, else by side and price."""
        # Superseded first: where ids are missing, the order that counts longer must not lose its lots to an older one.
        for orders in (self.superseded, self.resting, self.pending):
            order = orders.get(fill.client_order_id or "")
            if order is None and fill.client_order_id is None:
                order = next((own for own in orders.values() if belongs(own, fill)), None)
            if order is not None:
                return orders, order
        return None

    def reduce(self, fill: Fill) -> None:
        """Take a fill off the order it belongs to."""
        found = self.order_of(fill)
        if found is not None:
            orders, order = found
            if self.pending and orders is self.resting and fill.order_id is fill.client_order_id is None:
                self.guessed.append((order, fill))
            order.lots -= fill.lots
            if order.lots <= 0:
                del orders[order.client_order_id]
                self.finished.is_new(order.client_order_id)

    def position(self, seen: PositionSeen) -> None:
        """The exchange's own statement of our position."""
        if seen.lots:
            self.held[seen.position_id] = seen
        else:
            self.held.pop(seen.position_id, None)
        self.sum_positions()

    def positions_removed(self, position_ids: Iterable[str]) -> None:
        """What the exchange no longer lists is flat. A flip closes one position and opens another."""
        for position_id in position_ids:
            self.held.pop(position_id, None)
        self.sum_positions()

    def positions_whole(self, positions: Iterable[PositionSeen]) -> None:
        """Take a complete statement (snapshot or read): what it does not name is flat."""
        self.held = {
            seen.position_id: seen for seen in positions if seen.market_id == self.spec.market_id and seen.lots
        }
        self.sum_positions()

    def sum_positions(self) -> None:
        self.position_lots = sum(seen.lots for seen in self.held.values())
        self.entry_price = next((seen.entry_price for seen in self.held.values()), Decimal(0))

    @property
    def explained(self) -> bool:
        """Whether the fills we know add up to the position the exchange states."""
        return self.position_lots == self.position_summed_lots

    # -- worst case

    @property
    def exposed(self) -> bool:
        """Whether an order of ours rests or may rest."""
        return bool(self.resting or self.pending)

    def may_fill_lots(self, side: Side) -> int:
        """Lots of one side that may still fill, wherever their orders are."""
        lots = 0
        for orders in (self.resting, self.pending, self.superseded):
            for order in orders.values():
                if order.side is side:
                    lots += order.lots
        return lots

    def worst_position_lots(self, side: Side) -> int:
        """Signed position if everything of one side fills; of two statements of the position the worse counts."""
        pick = max if side is Side.BUY else min
        return pick(self.position_lots, self.position_summed_lots) + side.sign * self.may_fill_lots(side)

    def innermost(self, side: Side) -> int | None:
        """Ticks of our best order of a side that rests, as far as we know; None: none does."""
        ticks = [order.ticks for order in self.resting.values() if order.side is side]
        return max(ticks, key=lambda one: side.sign * one, default=None)

    def own_levels(self, side: Side) -> dict[int, int]:
        """Our lots in the book by ticks, the superseded ones included: the book may still show them."""
        levels: dict[int, int] = {}
        for orders in (self.resting, self.pending, self.superseded):
            for order in orders.values():
                if order.side is side:
                    levels[order.ticks] = levels.get(order.ticks, 0) + order.lots
        return levels


def belongs(order: OwnOrder, fill: Fill) -> bool:
    """Whether a fill without clientOrderId is this order's: by its order id, else by side, price and time.

    A fill older than the ladder is its predecessor's, however late it is told; one later than what removed the ladder
    is its successor's, however early that is told.
    """
    if fill.order_id is not None and order.order_id is not None:
        return order.order_id == fill.order_id
    before = order.placed_ms is not None and fill.at_ms < order.placed_ms
    after = order.gone_ms is not None and fill.at_ms > order.gone_ms
    return order.side is fill.side and order.ticks == fill.ticks and not before and not after
