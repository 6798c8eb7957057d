"""Records made by hand: a small language for what a maker, its guard and the exchange do, step by virtual step."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs

from maker.storms.record import (
    GUARD,
    MAKER,
    Answered,
    Applied,
    Armed,
    BrokenRead,
    Compared,
    Counted,
    Ended,
    Entry,
    Exited,
    Got,
    Intended,
    Left,
    Lost,
    MarketTerms,
    Order,
    QuietBegan,
    Quote,
    Quoting,
    Rearmed,
    Record,
    Sight,
    Signalled,
    SnapshotRead,
    Terms,
    Trade,
    Tripped,
    WorldEnded,
)
from maker.wire import ocx

BTC, ETH = "BTC-PERP", "ETH-PERP"
EPOCH = "mk-abcdefgh"
LANE, PANIC, OTHER_PANIC, POLLS, GUARDS = 1, 2, 3, 4, 90  # connections
STEP = 0.01  # seconds: of a request from one station to the next
SIGHT = Sight(
    stream_connection=10,
    stream_age=0.1,
    stream_sound=True,
    reference_age=0.2,
    best_bid=Decimal("99.8"),
    best_ask=Decimal("100.2"),
    index=Decimal(100),
    reference_mids=(Decimal(100),),
)
MARKET = MarketTerms(
    tick=Decimal("0.1"),
    lot=Decimal("0.5"),
    position_limit=Decimal(10),
    order_size_max=Decimal(4),
    order_value_max=Decimal(500),
    collar_bps=Decimal(60),
)
TERMS = Terms(
    markets={BTC: MARKET, ETH: MARKET},
    value_max=Decimal(1500),
    tail_seconds=8.0,
    give_up_seconds=600.0,
    hang_seconds_max=3.0,
    reference_stale_seconds_max=2.0,
    stream_fresh_seconds_max=20.0,
    stream_silent_seconds_max=22.5,
    halt_seconds_max=14.0,
    write_delay_seconds_max=4.0,
    reserve=26,
    requests_per_minute=120,
)


def quotes(number: int, bid: str = "99.9", ask: str = "100.1", size: str = "1", **more: Any) -> tuple[Quote, ...]:
    """One bid and one ask, either of which may be "" for none."""
    return tuple(
        Quote(
            client_order_id=f"{EPOCH}-{number}{side[0]}",
            side=side,
            price=price,
            quantity=size,
            reduce_only=more.get("reduce_only", False),
            post_only=more.get("post_only", True),
        )
        for side, price in (("buy", bid), ("sell", ask))
        if price
    )


@attrs.define
class Story:
    """A record as it grows."""

    record: Record = attrs.field(factory=lambda: Record(TERMS))
    now: float = 0.0
    requests: int = 0
    sent: dict[int, Left] = attrs.field(factory=dict)
    stream: int = 10  # the last event stream's connection
    resting: dict[str, list[tuple[str, Quote]]] = attrs.field(factory=lambda: {BTC: [], ETH: []})

    def add(self, kind: type[Entry], **fields: Any) -> None:
        self.record.add(kind(at=self.now, **fields))

    def wait(self, seconds: float = STEP) -> None:
        self.now += seconds

    # -- requests

    def left(self, method: str, path: str, **fields: Any) -> int:
        """A request leaves; the rest of its life is the caller's."""
        self.requests += 1
        facts: dict[str, Any] = {"owner": MAKER, "connection": POLLS} | fields
        left = Left(at=self.now, request=self.requests, method=method, path=path, **facts)
        self.sent[self.requests] = left
        self.record.add(left)
        return self.requests

    def answer(self, request: int, status: int = 200, **fields: Any) -> None:
        """It is answered, and the answer arrives."""
        self.wait()
        self.add(Answered, request=request, status=status, **fields)
        self.wait()
        self.add(Got, request=request, status=status)

    def ladder_leaves(self, market_id: str = BTC, *, intend: bool = True, **fields: Any) -> int:
        """A ladder leaves."""
        number = self.requests + 1
        words = {
            name: fields.pop(name) for name in ("bid", "ask", "size", "reduce_only", "post_only") if name in fields
        }
        quote_id = fields.pop("quote_id", f"{EPOCH}-q{number}")
        if intend:
            self.add(Intended, quote_id=quote_id)
        fields = {
            "connection": LANE,
            "market_id": market_id,
            "quote_id": quote_id,
            "cancels": True,
            "quotes": quotes(number, **words),
            "sight": SIGHT,
        } | fields
        return self.left("POST", ocx.QUOTES_BULK, **fields)

    def ladder_lands(self, request: int, status: int = 200, code: str = "") -> None:
        """It has its effect: what rested on its market is replaced."""
        self.add(Applied, request=request, status=status, code=code)
        if status >= 300:
            return
        left = self.sent[request]
        self.remove(left.market_id, "replaced")
        for quote in left.quotes:
            order_id = f"o-{quote.client_order_id}"
            self.resting[left.market_id].append((order_id, quote))
            self.order(left.market_id, order_id, quote, Decimal(quote.quantity), "placed")

    def ladder(self, market_id: str = BTC, status: int = 200, code: str = "", **fields: Any) -> int:
        """A ladder's whole life."""
        request = self.ladder_leaves(market_id, **fields)
        self.wait()
        self.ladder_lands(request, status, code)
        self.answer(request, status, code=code)
        return request

    def cancel_all(self, *, effect: bool = True, status: int = 200, **fields: Any) -> int:
        """A cancel-all's whole life."""
        market_id = fields.get("market_id", "")
        one = fields.pop("client_order_id", "")
        body = b'{"marketId":"%s"}' % market_id.encode() if market_id else b"{}"
        body = b'{"clientOrderId":"%s"}' % one.encode() if one else body
        request = self.left("POST", ocx.CANCEL_ALL, **({"connection": PANIC, "body": body} | fields))
        self.wait()
        self.add(Applied, request=request, status=status)
        if effect and status < 300:
            for market in [market_id] if market_id else [BTC, ETH]:
                self.remove(market, "cancelled")
        self.answer(request, status)
        return request

    def read(self, shown: int | None = None, **fields: Any) -> int:
        """A read of open orders; it shows what rests unless told otherwise."""
        request = self.left("GET", ocx.ORDERS, **({"connection": PANIC} | fields))
        rests = sum(len(orders) for orders in self.resting.values())
        self.answer(request, open_orders=rests if shown is None else shown)
        return request

    # -- the exchange

    def order(
        self, market_id: str, order_id: str, quote: Quote, remaining: Decimal, action: str, reason: str = ""
    ) -> None:
        self.add(
            Order,
            market_id=market_id,
            order_id=order_id,
            client_order_id=quote.client_order_id,
            side=quote.side,
            price=Decimal(quote.price),
            remaining=remaining,
            action=action,
            reason=reason,
        )

    def resting_again(self, market_id: str) -> None:
        """An order that nobody sees rests."""
        self.order(market_id, "ghost", quotes(999)[0], Decimal(1), "placed")

    def remove(self, market_id: str, reason: str) -> None:
        for order_id, quote in self.resting[market_id]:
            self.order(market_id, order_id, quote, Decimal(0), "removed", reason)
        self.resting[market_id] = []

    def fill(self, market_id: str = BTC, number: int = 0, **fields: Any) -> None:
        """An order of ours is filled whole."""
        order_id, quote = self.resting[market_id].pop(number)
        facts = {"trade_id": f"t{len(self.record.entries)}", "side": quote.side, "price": Decimal(quote.price)}
        facts |= {"quantity": Decimal(quote.quantity), "client_order_id": quote.client_order_id}
        self.add(Trade, market_id=market_id, **(facts | fields))
        self.order(market_id, order_id, quote, Decimal(0), "removed", "filled")

    def somebody_trades(self, side: str, quantity: str, market_id: str = BTC, *, taken_over: bool = False) -> None:
        """Somebody else on the account trades."""
        self.add(
            Trade,
            market_id=market_id,
            trade_id=f"f{len(self.record.entries)}",
            side=side,
            price=Decimal(100),
            quantity=Decimal(quantity),
            foreign=True,
            taken_over=taken_over,
        )

    # -- chapters

    def snapshots(self) -> None:
        """Both markets' streams are asked for and begin."""
        for market_id in (BTC, ETH):
            self.stream += 1
            request = self.left("GET", ocx.STREAM_EVENTS, connection=self.stream, query=f"marketId={market_id}")
            self.wait()
            self.add(Answered, request=request, status=200)
            self.add(SnapshotRead, market_id=market_id, connection=self.stream)

    def start(self) -> Story:
        """Sweeps, the guard's word, streams, a first ladder on both markets."""
        for owner, connection in ((GUARD, GUARDS), (MAKER, PANIC)):
            self.cancel_all(owner=owner, connection=connection)
            self.read(owner=owner, connection=connection)
            self.wait(0.3)
            self.read(owner=owner, connection=connection)
        self.add(Armed)
        self.snapshots()
        self.ladder(BTC)
        self.ladder(ETH)
        self.add(Quoting)
        self.wait(1.0)
        return self

    def trip(self, reason: str = "STREAM_BROKEN", *, recoverable: bool = True, latched: bool = False) -> None:
        self.add(Tripped, reason=reason, detail="", recoverable=recoverable, latched=latched)

    def rearm(self) -> None:
        """Trades are read back, and writes may begin again."""
        request = self.left("GET", ocx.TRADES)
        self.add(Answered, request=request, status=200)
        self.add(Got, request=request, status=200)
        self.add(Rearmed)

    def proven_empty(self) -> None:
        """Two reads."""
        self.read()
        self.wait(0.25)
        self.read()

    def breaks(self, market_id: str = BTC, *, exposed: bool = True) -> None:
        """A market's stream is read to have broken."""
        self.add(
            BrokenRead, market_id=market_id, connection=self.stream - (market_id == BTC), what="gap", exposed=exposed
        )

    def pulls(self) -> Story:
        """A stream breaks: trip, halt, new streams."""
        self.breaks()
        self.trip()
        self.cancel_all()
        self.proven_empty()
        self.snapshots()
        return self

    def recovers(self) -> Story:
        """As above, and quoting again."""
        self.pulls()
        self.wait(0.5)
        self.rearm()
        self.ladder(BTC, bid="99.8")
        self.ladder(ETH, bid="99.8")
        return self

    def quiet(self) -> Story:
        """The faults are over; everything is quoted and still."""
        self.add(QuietBegan)
        for cycles in (1, 9):
            self.wait(1.0)
            self.ladder(BTC)
            self.ladder(ETH)
            self.add(Counted, tasks=12, connections=7, cycles=cycles)
            for market_id in (BTC, ETH):
                self.add(Compared, market_id=market_id, differences=())
        self.wait(1.0)
        return self

    def told(self, *, healthy: bool = True) -> Story:
        """A signal comes, and everything is pulled."""
        rests = sum(len(orders) for orders in self.resting.values())
        self.add(Signalled, number=15, resting=rests, healthy=healthy)
        self.trip("STOP_ASKED", recoverable=False)
        self.cancel_all()
        self.proven_empty()
        return self

    def end(self, code: int, *, verified_empty: bool = True, **fields: Any) -> None:
        """The maker ends by itself."""
        facts = {"reason": "stopped as asked", "unwound_seconds": 0.0} | fields
        self.add(Ended, code=code, verified_empty=verified_empty, **facts)

    def ends(self, code: int = 0, **fields: Any) -> Record:
        """The maker ends by itself, and so does everything."""
        self.end(code, **fields)
        return self.over(code)

    def over(self, code: int, *, incident: bool = False) -> Record:
        """The run is over, and so is the world."""
        self.add(Exited, code=code, incident=incident)
        self.wait(80.0)
        self.add(WorldEnded)
        return self.record

    def lost(self, request: int) -> None:
        self.add(Lost, request=request, why="reset")


def clean() -> Record:
    """A run in which every checker has something to judge, and nothing is wrong."""
    story = Story().start()
    story.fill()
    story.recovers().quiet().told()
    return story.ends()
