"""What the exchange remembers of one user's orders: the open ones, the lately finished ones, and the ids used."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

import attrs

from maker.paper.money import ZERO
from maker.paper.orders import OPPOSITE, BulkResult, CancelScope, Order, OrderRecord
from maker.paper.rejection import Rejection

OPEN_ORDERS_MAX: Final = 500  # a user: far above any ladder, low enough that one client cannot slow the book
FINISHED_ORDERS_MAX: Final = 2_000  # records a user, so that a late cancel hears 409 rather than 404
CLIENT_ORDER_IDS_MAX: Final = 200_000  # a user, about 30 MB: hours of full ladders; the oldest are forgotten beyond it
QUOTE_IDS_MAX: Final = 50_000  # a user: more than a day at two a second
QUOTE_ANSWERS_MAX: Final = 50  # answers a user kept for replay; an older repeated quoteId is refused instead


@attrs.define(eq=False)
class IdMemory:
    """A set that forgets its oldest members."""

    limit: int
    known: set[str] = attrs.field(factory=set)
    order: deque[str] = attrs.field(factory=deque)

    def __contains__(self, name: str) -> bool:
        return name in self.known

    def add(self, name: str) -> None:
        """Remember a name that is not yet known."""
        assert name not in self.known
        self.known.add(name)
        self.order.append(name)
        if len(self.order) > self.limit:
            self.known.remove(self.order.popleft())


@attrs.define(eq=False)
class OrderRegistry:
    """One user's orders and ids."""

    open: dict[str, Order] = attrs.field(factory=dict)  # resting orders by id, oldest first
    reduce_only: dict[str, dict[str, Order]] = attrs.field(factory=dict)  # by market: the reduce-only ones of `open`
    finished: dict[str, OrderRecord] = attrs.field(factory=dict)
    client_order_ids: IdMemory = attrs.field(factory=lambda: IdMemory(CLIENT_ORDER_IDS_MAX))
    quote_ids: IdMemory = attrs.field(factory=lambda: IdMemory(QUOTE_IDS_MAX))
    answers: dict[str, BulkResult] = attrs.field(factory=dict)  # by quoteId, kept only where a switch asks for it

    def rest(self, order: Order) -> None:
        """Note that an order rests in a book."""
        self.open[order.order_id] = order
        if order.reduce_only:
            self.reduce_only.setdefault(order.market_id, {})[order.order_id] = order

    def unrest(self, order: Order) -> None:
        """Note that an order rests no longer."""
        del self.open[order.order_id]
        if order.reduce_only:
            orders = self.reduce_only[order.market_id]
            del orders[order.order_id]
            if not orders:
                del self.reduce_only[order.market_id]

    def finish(self, order: Order) -> None:
        """Keep the last record of an order that is no longer open."""
        self.finished[order.order_id] = order.record()
        if len(self.finished) > FINISHED_ORDERS_MAX:
            del self.finished[next(iter(self.finished))]

    def answer(self, result: BulkResult) -> None:
        """Keep an answer for replay."""
        self.answers[result.quote_id] = result
        if len(self.answers) > QUOTE_ANSWERS_MAX:
            del self.answers[next(iter(self.answers))]

    def find_open(self, order_id: str) -> Order:
        """Return an open order; raises Rejection ORDER_NOT_OPEN for a finished one, else ORDER_NOT_FOUND."""
        order = self.open.get(order_id)
        if order is not None:
            return order
        if order_id in self.finished:
            raise Rejection("ORDER_NOT_OPEN", f"order {order_id} is {self.finished[order_id].status}")
        raise Rejection("ORDER_NOT_FOUND", "no such order")

    def matching(self, scope: CancelScope) -> list[Order]:
        """List the open orders a cancel-all of that scope takes, oldest first."""
        return [
            order
            for order in self.open.values()
            if scope.market_id in (None, order.market_id)
            and scope.quote_id in (None, order.quote_id)
            and scope.client_order_id in (None, order.client_order_id)
            and scope.margin_mode in (None, order.margin_mode)
        ]

    def quotes(self, market_id: str) -> list[Order]:
        """List what an atomic replace takes away: the market's resting orders that came in a quote."""
        return [order for order in self.open.values() if order.quote_id is not None and order.market_id == market_id]

    def reducible(self, market_id: str, side: str, position: Decimal, ignored: frozenset[str]) -> Decimal:
        """Return how much more of a position reduce-only orders of `side` may still close.

        What other resting reduce-only orders already claim is taken off, except those with `ignored` ids.
        """
        if not position or side != OPPOSITE["buy" if position > 0 else "sell"]:
            return ZERO
        claimed = sum(
            (
                order.remaining
                for order in self.reduce_only.get(market_id, {}).values()
                if order.order_id not in ignored
            ),
            ZERO,
        )
        return max(ZERO, abs(position) - claimed)
