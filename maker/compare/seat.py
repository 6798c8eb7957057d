"""The maker's seat in a comparison: the real engine, ladder, account and budget, at the end of a wire with latency.

Facts and ladders are handed over as what they mean instead of as bytes; what takes time in life takes it here. A way
takes 25 ms at the median, one in fifty twenty times as long. The reference is the first to tell of a move; the stream
tells of the book and of fills at its own cadence, in order; index and mark are polled; a ladder arrives late and its
answer later still, counted by the exchange's own rate limit. A trip pulls everything, reads back, and quotes again as
`maker.app` does; after one that asks for a person, a person comes in five minutes.

Nothing fails here: no answer is lost, no feed breaks. That is what storms are for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import attrs

from maker.app import feeds, quoter, startup
from maker.app.config import Config
from maker.compare.ledger import OWN, Ledger
from maker.desk.deadman import Trip
from maker.desk.engine import WAIT_SECONDS_MAX, Engine
from maker.desk.events import (
    AccountRead,
    BudgetSeen,
    Event,
    Fill,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    Levels,
    Liquidity,
    MarketSpec,
    MarketStats,
    OpenOrdersRead,
    PlacedOrder,
    PlaceLadder,
    PositionSeen,
    ReadAccount,
    ReadEmpty,
    ReadOrders,
    ReferenceHeard,
    ReferenceQuote,
    StreamDelta,
    StreamHeard,
    StreamSnapshot,
    Wait,
)
from maker.desk.identity import Identity
from maker.desk.units import Side
from maker.paper import reads as paper_reads
from maker.paper.exchange import Exchange
from maker.paper.market import funding_rate
from maker.paper.orders import BulkRequest, BulkResult, CancelScope, OrderRecord, OwnTrade, PositionRecord, QuoteLevel
from maker.paper.prices import ReferenceQuote as Quote
from maker.paper.reads import Question
from maker.paper.rejection import Rejection
from maker.storms.core_heap import Heap
from maker.storms.core_market import DEPTH, LATENCY_SECONDS, SLOW_FACTOR, SLOW_SHARE, STREAM_SECONDS
from maker.wire import ocx, reads

WAY_SECONDS_MAX: Final = 0.9  # the slowest way: an answer is back before any configuration calls it lost
HEARD_SECONDS: Final = 0.4  # the reference feed's heartbeats, told when somebody looks
STATS_SECONDS: Final = 5.0  # between two polls of index and mark; the basis they teach moves over minutes
ACCOUNT_POLL_SECONDS: Final = 30.0  # between two polls of listing and balance, before the balance goes stale
PERSON_SECONDS: Final = 300.0  # from a stop that asks for a person to the next start

Told = dict[int, int]  # lots by ticks: one side of the book as the stream last told it


@attrs.define(eq=False)
class Seat:
    """One maker of one market."""

    config: Config
    heap: Heap
    exchange: Exchange
    ledger: Ledger
    market_id: str
    symbols: Mapping[str, str]  # of the market, by reference feed
    net: random.Random  # latencies
    rng: random.Random  # pauses
    engine: Engine = attrs.field(init=False)
    spec: MarketSpec = attrs.field(init=False)
    run: int = 0  # one more after each stop that asked for a person
    writing: bool = False  # a ladder is on its way, or its answer is
    reading: bool = False
    pulling: bool = False
    final: bool = False  # a person must come
    alarm: int = 0  # the turn of the last alarm set: earlier ones have been moved
    heard_at: float = 0.0
    # the stream
    ticking: bool = False  # a look at what changed is planned
    arrives_at: int = 0  # ms: when its last event does; a connection keeps order
    told: tuple[Told, Told] = ({}, {})
    told_sequence: int = -1
    told_trades: int = 0
    told_positions: int = 0

    # -- a run

    def begin(self) -> None:
        """A new run, from what it finds: nothing rests."""
        self.run += 1
        self.writing = self.reading = self.pulling = self.final = False
        self.engine = startup.make_engine(self.config, Identity.of(self.config.order_prefix, self.rng.getrandbits(60)))
        rows = reads.markets(self.read(paper_reads.markets))
        tier = reads.fee_tier(self.read(paper_reads.fees)) or (None, None)
        self.spec = reads.market_spec(self.market_id, rows[self.market_id], *tier)
        startup.add_markets(self.engine, self.config, {self.market_id: self.spec})
        self.engine.baseline(self.account(), self.heap.now)
        candles = self.read(paper_reads.ohlc, marketId=self.market_id, interval="1m", limit=startup.CANDLES_READ)
        self.engine.markets[self.market_id].fair.volatility.warm_up(reads.closes(candles), self.heap.unix_ms / 1000)
        self.told = ({}, {})
        self.snapshot()
        if self.run == 1:
            self.poll()
            self.poll_account()
        else:
            self.tell(self.stats())
        self.think()

    def read(self, call: Callable[[Question], object], **query: str) -> bytes:
        """A read's answer as of now, its bytes and all: these are few."""
        return ocx.encode(call(Question(self.exchange, "", query, b"", self.ledger.user, self.heap.unix_ms)))

    def account(self) -> AccountRead:
        grids = {self.market_id: self.spec.grid}
        return reads.account(
            reads.positions(self.read(paper_reads.positions), grids),
            reads.own_trades(self.read(paper_reads.trades, limit="100"), grids),
            reads.balance(self.read(paper_reads.balances)),
        )

    def way(self) -> float:
        """Seconds of one way."""
        seconds = LATENCY_SECONDS * self.net.lognormvariate(0.0, 0.6)
        return min(WAY_SECONDS_MAX, seconds * SLOW_FACTOR if self.net.random() < SLOW_SHARE else seconds)

    # -- facts

    def deliver(self, event: Event) -> None:
        """Book a fact, and pull when it asks for that."""
        trip = self.engine.apply(event, self.heap.now)
        if trip is not None:
            self.pull(trip)

    def tell(self, event: Event) -> None:
        """A fact on its way, for this run only."""
        self.heap.after(self.way(), partial(self.arrived, self.run, event))

    def arrived(self, run: int, event: Event) -> None:
        if run == self.run:
            self.deliver(event)

    def referenced(self, quote: Quote) -> None:
        """The reference venue says a price: it is on its way."""
        self.heap.after(self.way(), partial(self.referred, quote))

    def referred(self, quote: Quote) -> None:
        """It has arrived. Of several sources, every one says the same."""
        self.heard_at = self.heap.now
        for source, symbol in self.symbols.items():
            self.deliver(ReferenceQuote(source, symbol, quote.bid, quote.bid_size, quote.ask, quote.ask_size))
        self.think()

    def stats(self) -> MarketStats:
        market = self.exchange.state.markets[self.market_id]
        mark = self.exchange.mark(self.market_id)
        return MarketStats(self.market_id, mark, market.index, funding_rate(market.spec, mark, market.index))

    def poll(self) -> None:
        """Index and mark, and a sign of life of the stream."""
        self.tell(self.stats())
        self.send(StreamHeard(self.market_id))
        often = min(STATS_SECONDS, *(one.fair.index_stale_seconds_max / 2 for one in self.config.markets.values()))
        self.heap.after(often, self.poll)

    def poll_account(self) -> None:
        """The listing, whose bands move with the index, and the balance."""
        tier = feeds.own_tier(self.read(paper_reads.fees))
        for listed in feeds.relisted(self.read(paper_reads.markets), {self.market_id: self.spec}, tier):
            self.tell(listed)
        for balance in feeds.balances(self.read(paper_reads.balances)):
            self.tell(balance)
        self.heap.after(ACCOUNT_POLL_SECONDS, self.poll_account)

    # -- the stream

    def stir(self) -> None:
        """Something may have changed: look at the next beat."""
        if not self.ticking:
            self.ticking = True
            self.heap.after(STREAM_SECONDS, self.tick)

    def tick(self) -> None:
        """Send what changed since the last event."""
        self.ticking = False
        bids, asks = self.book_changes()
        fills, positions, removed = self.account_changes()
        if bids or asks or fills or positions or removed:
            self.send(StreamDelta(self.market_id, self.heap.unix_ms, bids, asks, fills, positions, removed))

    def snapshot(self) -> None:
        """Send everything, as a new connection begins."""
        bids, asks = self.book_changes(whole=True)
        self.account_changes()
        held = tuple(self.position(row) for row in self.exchange.positions(self.ledger.user, open_only=True))
        self.send(StreamSnapshot(self.market_id, self.heap.unix_ms, bids, asks, (), held))

    def send(self, event: StreamDelta | StreamSnapshot | StreamHeard) -> None:
        due = max(self.arrives_at, self.heap.ms + int(self.way() * 1000))
        self.arrives_at = due
        self.heap.at(due, partial(self.streamed, self.run, event))

    def streamed(self, run: int, event: StreamDelta | StreamSnapshot | StreamHeard) -> None:
        if run != self.run:
            return
        self.deliver(event)
        if self.engine.new_fills:
            self.engine.take_fills()
            self.think()

    def book_changes(self, *, whole: bool = False) -> tuple[Levels, Levels]:
        """Levels that are new or have another size, then those gone as size 0, of the best DEPTH a side."""
        sequence = self.exchange.book_sequence(self.market_id)
        if sequence == self.told_sequence and not whole:
            return (), ()
        self.told_sequence = sequence
        price, size = self.spec.grid.price.step, self.spec.grid.size.step
        bids, asks = (
            {int(at / price): int(much / size) for at, much in levels}
            for levels in self.exchange.book_levels(self.market_id, DEPTH)
        )
        old_bids, old_asks = self.told
        self.told = (bids, asks)
        if whole:
            return tuple(bids.items()), tuple(asks.items())
        return changes(old_bids, bids), changes(old_asks, asks)

    def account_changes(self) -> tuple[tuple[Fill, ...], tuple[PositionSeen, ...], tuple[str, ...]]:
        """New fills, changed positions, and the ids of those closed."""
        user, exchange = self.ledger.user, self.exchange
        count, version = exchange.own_trade_count(user), exchange.positions_version(user)
        if (count, version) == (self.told_trades, self.told_positions):
            return (), (), ()
        trades = exchange.own_trades(user, since_index=self.told_trades)
        rows = exchange.positions(user, since_version=self.told_positions)
        self.told_trades, self.told_positions = count, version
        closed = tuple(row.position_id for row in rows if row.status == "closed")
        return tuple(map(self.fill, trades)), tuple(self.position(row) for row in rows), closed

    def fill(self, trade: OwnTrade) -> Fill:
        grid = self.spec.grid
        return Fill(
            trade.market_id,
            trade.trade_id,
            Side(trade.side),
            int(trade.price / grid.price.step),
            int(trade.quantity / grid.size.step),
            Liquidity(trade.liquidity),
            trade.created_ms,
            trade.order_id,
            trade.client_order_id,
        )

    def position(self, row: PositionRecord) -> PositionSeen:
        lots = int(row.quantity / self.spec.grid.size.step) * Side(row.side).sign
        return PositionSeen(row.market_id, row.position_id, lots, row.entry_price, row.realized_pnl)

    # -- the cycle

    def think(self) -> None:
        """Ask the engine what is next, unless something is on its way already."""
        if self.pulling or self.writing or self.reading:
            return
        now = self.heap.now
        if now - self.heard_at >= HEARD_SECONDS:
            self.heard_at = now
            for source in self.symbols:
                self.engine.apply(ReferenceHeard(source), now)
        trip = self.engine.watch(now)
        if trip is not None:
            self.pull(trip)
            return
        match self.engine.decide(now):
            case PlaceLadder() as action:
                self.place(action)
            case ReadOrders():
                self.reading = True
                self.heap.after(self.way(), self.read_orders)
            case ReadAccount():
                self.reading = True
                self.heap.after(self.way() + self.way(), self.read_account)
            case Wait(seconds=seconds) if seconds < WAIT_SECONDS_MAX:
                self.think_after(seconds)
            case Wait():
                pass  # the next price is a second away at most
        if self.engine.notes:
            self.engine.take_notes()

    def think_after(self, seconds: float) -> None:
        self.alarm += 1
        self.heap.after(seconds, partial(self.rung, self.alarm))

    def rung(self, alarm: int) -> None:
        if alarm == self.alarm:
            self.think()

    def read_orders(self) -> None:
        """The exchange answers what rests; the answer takes its way back."""
        event = OpenOrdersRead(reads.open_orders(self.read(paper_reads.open_orders)))
        self.heap.after(self.way(), partial(self.read_back, self.run, event))

    def read_account(self) -> None:
        self.heap.after(self.way(), partial(self.read_back, self.run, self.account()))

    def read_back(self, run: int, event: Event) -> None:
        if run != self.run:
            return
        self.reading = False
        self.deliver(event)
        self.think()

    # -- ladders

    def place(self, action: PlaceLadder) -> None:
        """A ladder leaves."""
        grid = self.spec.grid
        quotes = tuple(
            QuoteLevel(
                side=order.side.value,
                price=grid.price.value(order.ticks),
                quantity=grid.size.value(order.lots),
                client_order_id=order.client_order_id,
                post_only=True,
                reduce_only=order.reduce_only,
            )
            for order in action.orders
        )
        request = BulkRequest(market_id=self.market_id, quote_id=action.quote_id, cancel_all=True, quotes=quotes)
        self.writing = True
        self.heap.after(self.way(), partial(self.apply, request))

    def apply(self, request: BulkRequest) -> None:
        """It arrives, is counted, and has its effect; the answer leaves."""
        now_ms = self.heap.unix_ms
        outcome: Event
        try:
            self.exchange.charge(self.ledger.user, now_ms)
            self.ledger.sent(f"ladder {len(request.quotes)}", now_ms)
            outcome = placed(self.exchange.place_bulk(self.ledger.user, request, now_ms), now_ms)
            self.ledger.ladders += 1
        except Rejection as refusal:
            outcome = refused(request, refusal)
        self.ledger.look(OWN)
        self.stir()
        self.heap.after(self.way(), partial(self.answered, self.budget(), outcome))

    def budget(self) -> BudgetSeen:
        now_ms = self.heap.unix_ms
        state = self.exchange.rate_state(self.ledger.user, now_ms)
        return BudgetSeen(state.limit, state.remaining, max(0, state.reset_ms - now_ms) / 1000)

    def answered(self, seen: BudgetSeen, outcome: Event) -> None:
        self.writing = False
        self.deliver(seen)
        self.deliver(outcome)
        if self.pulling:
            self.cancel_all()  # one more: that ladder may have landed after the first
        else:
            self.think()

    # -- pulling

    def pull(self, trip: Trip) -> None:
        """Cancel everything, at once; what is in flight is waited for, and cancelled too."""
        self.final = self.final or not trip.reason.recoverable
        self.ledger.pulled(trip.reason.name, self.heap.unix_ms)
        if self.pulling:
            return
        self.pulling = True
        self.cancel_all()

    def cancel_all(self) -> None:
        self.engine.budget.cancel_spent(self.heap.now)
        self.heap.after(self.way(), partial(self.cancelled, self.writing))

    def cancelled(self, was_writing: bool) -> None:
        """It arrives."""
        now_ms = self.heap.unix_ms
        try:
            self.exchange.charge(self.ledger.user, now_ms)
        except Rejection as refusal:
            self.heap.after((refusal.retry_after_ms or 1000) / 1000 + self.way(), partial(self.cancelled, was_writing))
            return
        self.ledger.sent("cancel-all", now_ms)
        self.exchange.cancel_all(self.ledger.user, CancelScope(), now_ms)
        self.stir()
        if not was_writing:  # else the ladder's answer asks for another
            self.heap.after(self.way() * 3 + STREAM_SECONDS, self.emptied)

    def emptied(self) -> None:
        """Read back empty, and the account with it; then quote again, or wait for a person."""
        self.deliver(ReadEmpty())
        self.deliver(self.account())
        if self.final:
            self.heap.after(PERSON_SECONDS, self.begin)
        elif self.engine.account_read_due:
            self.heap.after(quoter.RETRY_SECONDS * 2, self.emptied)
        else:
            pause = self.rng.uniform(quoter.RESUME_SECONDS_MIN, quoter.RESUME_SECONDS_MAX)
            self.heap.after(pause, self.resume)

    def resume(self) -> None:
        if self.final:
            self.heap.after(PERSON_SECONDS, self.begin)
            return
        self.engine.resume()
        self.reading = self.pulling = False
        self.think()


def changes(old: Told, new: Told) -> Levels:
    """What a stream says of one side: levels that changed, then those that are gone."""
    changed = [(ticks, lots) for ticks, lots in new.items() if old.get(ticks) != lots]
    return (*changed, *((ticks, 0) for ticks in old if ticks not in new))


def placed(result: BulkResult, now_ms: int) -> LadderPlaced:
    """What a ladder's answer says."""
    return LadderPlaced(result.market_id, result.quote_id, tuple(map(level, result.orders)), now_ms)


def level(record: OrderRecord) -> PlacedOrder:
    code = record.reason or record.status if record.status in ("rejected", "cancelled") else None
    return PlacedOrder(record.client_order_id or "", record.order_id or None, record.status == "open", code)


def refused(request: BulkRequest, refusal: Rejection) -> LadderThrottled | LadderRefused:
    if refusal.status == 429:
        return LadderThrottled(request.market_id, request.quote_id, (refusal.retry_after_ms or 1000) / 1000)
    return LadderRefused(request.market_id, request.quote_id, refusal.status, refusal.code, refusal.message)
