"""The other routes by which quotes are pulled, as the requests to send: nothing here sends or waits.

    by market               cancel-all scoped by `marketId`, for each market of ours and each the read back named
    by order                cancel-all scoped by `clientOrderId`, for what the read back saw, else what may rest
    an empty ladder         quotes/bulk with cancelAll and no quotes. ASSUMED: that replaces a ladder by nothing

In this order, and only where the unscoped cancel-all did not do: it takes one request for everything, these many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import attrs

from maker.desk.budget import SCOPED_ORDERS_MAX
from maker.desk.events import OrderSeen
from maker.wire import ocx

Build = Callable[[str, str, bytes], bytes]  # method, path and body -> a request's bytes
Request = Callable[[], bytes]  # made anew for each attempt: the key may change, and no quoteId is ever sent twice
Seen = tuple[OrderSeen, ...] | None  # by the last read back; None: it got no answer


@attrs.define
class Routes:
    """What the routes need to know of the account. No request is kept: it would carry the key of when it was made."""

    build: Build
    markets: tuple[str, ...] = ()  # ours
    may_rest: Callable[[], Iterable[str]] = lambda: ()  # clientOrderIds, should no read tell
    new_quote_id: Callable[[], str] | None = None  # for an empty ladder; None: that route is closed
    named: int = 0  # orders named so far: where the next round of them begins

    def scoped(self, *, market_id: str | None = None, client_order_id: str | None = None) -> bytes:
        body = ocx.CancelAllRequest(market_id=market_id, client_order_id=client_order_id)
        return self.build("POST", ocx.CANCEL_ALL, ocx.encode(body))

    def rounds(self) -> tuple[Callable[[Seen], tuple[list[Request], bool]], ...]:
        """Each route in turn: its requests, and whether they cover all that is known to rest."""
        return (self.by_market, self.by_order, self.by_ladder)

    def by_market(self, seen: Seen) -> tuple[list[Request], bool]:
        return [partial(self.scoped, market_id=one) for one in self.where(seen)], True

    def by_order(self, seen: Seen) -> tuple[list[Request], bool]:
        """A limited number at a time, each round going on where the last one ended."""
        if seen is None:
            names = list(self.may_rest())
        else:
            names = [order.client_order_id for order in seen if order.client_order_id]
        start = self.named % len(names) if names else 0
        some = (names[start:] + names[:start])[:SCOPED_ORDERS_MAX]
        self.named += len(some)
        whole = seen is not None and len(some) == len(seen)
        return [partial(self.scoped, client_order_id=one) for one in some], whole

    def by_ladder(self, seen: Seen) -> tuple[list[Request], bool]:
        if self.new_quote_id is None:
            return [], False
        return [partial(self.empty_ladder, one, self.new_quote_id) for one in self.where(seen)], True

    def empty_ladder(self, market_id: str, new_quote_id: Callable[[], str]) -> bytes:
        """It can create no order, so the latch does not bar it."""
        body = ocx.BulkRequest(market_id=market_id, quote_id=new_quote_id(), cancel_all=True, quotes=[])
        return self.build("POST", ocx.QUOTES_BULK, ocx.encode(body))

    def where(self, seen: Seen) -> list[str]:
        """The markets in which orders were seen, then the rest of ours: a window may end before a round does."""
        return list(dict.fromkeys((*(order.market_id for order in seen or ()), *self.markets)))
