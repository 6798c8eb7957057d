"""One market's order book: price first, then time.

The book holds orders and says who is next; it does not trade. Whoever trades asks for the front of a half, settles
the fill with both owners, and tells the book, one fill at a time: a fill can shrink another order of the same owner
before the next one is matched.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from decimal import Decimal

import attrs

from maker.paper.money import ZERO
from maker.paper.orders import OPPOSITE, Order


@attrs.define(eq=False)
class Level:
    """The orders at one price, oldest first, and the sum of what they have left."""

    orders: dict[str, Order] = attrs.field(factory=dict)
    total: Decimal = ZERO


@attrs.define(eq=False)
class HalfBook:
    """One side of a book."""

    side: str
    levels: dict[Decimal, Level] = attrs.field(factory=dict)
    prices: list[Decimal] = attrs.field(factory=list)  # ascending on both sides

    def best(self) -> Decimal | None:
        """Return the best price, None when empty."""
        if not self.prices:
            return None
        return self.prices[-1] if self.side == "buy" else self.prices[0]

    def best_first(self) -> Iterator[Decimal]:
        """Walk the prices from the best outward."""
        return reversed(self.prices) if self.side == "buy" else iter(self.prices)

    def front(self) -> Order | None:
        """Return the order that is next to trade."""
        price = self.best()
        return None if price is None else next(iter(self.levels[price].orders.values()))

    def crosses(self, price: Decimal, resting: Decimal) -> bool:
        """Tell whether an order on the other side at `price` would trade with one of ours at `resting`."""
        return price <= resting if self.side == "buy" else price >= resting

    def add(self, order: Order) -> None:
        """Rest an order behind the others at its price."""
        assert order.side == self.side
        assert order.remaining > 0
        level = self.levels.get(order.price)
        if level is None:
            level = self.levels[order.price] = Level()
            insort(self.prices, order.price)
        assert order.order_id not in level.orders
        level.orders[order.order_id] = order
        level.total += order.remaining

    def reduce(self, order: Order, quantity: Decimal) -> None:
        """Take `quantity` off a resting order, which keeps its place; at nothing left it leaves the book."""
        assert 0 < quantity <= order.remaining
        level = self.levels[order.price]
        order.remaining -= quantity
        level.total -= quantity
        if not order.remaining:
            del level.orders[order.order_id]
            if not level.orders:
                assert not level.total
                del self.levels[order.price]
                del self.prices[bisect_left(self.prices, order.price)]

    def top(self, depth: int) -> list[tuple[Decimal, Decimal]]:
        """Return up to `depth` levels, best first, as (price, size)."""
        levels = self.levels
        found: list[tuple[Decimal, Decimal]] = []
        for price in self.best_first():
            if len(found) == depth:
                break
            found.append((price, levels[price].total))
        return found


@attrs.define(eq=False)
class OrderBook:
    """Both sides and the number of changes so far."""

    sequence: int = 0
    bids: HalfBook = attrs.field(factory=lambda: HalfBook("buy"))
    asks: HalfBook = attrs.field(factory=lambda: HalfBook("sell"))

    def half(self, side: str) -> HalfBook:
        """Return the side an order of `side` rests on."""
        return self.bids if side == "buy" else self.asks

    def add(self, order: Order) -> None:
        """Rest an order; the caller has matched it, so it must not cross."""
        best = self.half(OPPOSITE[order.side]).best()
        assert best is None or not self.half(OPPOSITE[order.side]).crosses(order.price, best)
        self.half(order.side).add(order)
        self.sequence += 1

    def reduce(self, order: Order, quantity: Decimal) -> None:
        """Take `quantity` off a resting order."""
        self.half(order.side).reduce(order, quantity)
        self.sequence += 1

    def would_cross(self, side: str, price: Decimal, ignored: Collection[str] = ()) -> bool:
        """Tell whether an order would trade at once, were the orders with the `ignored` ids not there."""
        half = self.half(OPPOSITE[side])
        for resting in half.best_first():
            if not half.crosses(price, resting):
                return False
            if not ignored or any(order_id not in ignored for order_id in half.levels[resting].orders):
                return True
        return False

    def sweep(self, side: str, price: Decimal, quantity: Decimal, user_id: str) -> tuple[Decimal, Decimal]:
        """Tell how much an order would trade at once, and for what value, without trading.

        It stops at the first order of the same user, as the matching does.
        """
        half = self.half(OPPOSITE[side])
        filled = value = ZERO
        for resting in half.best_first():
            if not half.crosses(price, resting):
                break
            for order in half.levels[resting].orders.values():
                if filled == quantity or order.user_id == user_id:
                    return filled, value
                part = min(order.remaining, quantity - filled)
                filled += part
                value += part * resting
        return filled, value
