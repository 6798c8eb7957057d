"""The maker's side of the core world: its real engine and wire rooms, and the rooms of `maker.app` played small.

What the app does between the engine and the exchange (send, wait, halt, read back, reconnect, poll) is done here in the
same order and with the same limits, on the event heap. Cancel-all leaves within the step that trips; a halt reads back
empty twice; after a reason that ends the run a person looks for a few seconds, and a new run starts from what it finds.
"""

from __future__ import annotations

from functools import partial

import attrs

from maker.app import feeds, quoter, startup
from maker.desk.deadman import Reason
from maker.desk.engine import WAIT_SECONDS_MAX, WAIT_SECONDS_MIN
from maker.desk.events import (
    PlaceLadder,
    ReadAccount,
    ReadOrders,
    ReferenceLost,
    StreamDelta,
    StreamLost,
    StreamSnapshot,
    Wait,
)
from maker.desk.identity import Identity
from maker.errors import StreamBroken, StreamFault
from maker.paper import reads as paper_reads
from maker.storms.core_checks import RESTARTED, Told
from maker.storms.core_hand import IDLE_SECONDS, NEWS, PACES, PERSON_SECONDS, STATS_SECONDS, Feed, Hand
from maker.storms.core_heap import Nap, Steps, Task
from maker.storms.core_venue import Connection
from maker.wire import reads, reference
from maker.wire.stream import MarketStream


@attrs.define(eq=False)
class Maker(Hand):
    """The quoting cycle, run after run, and the feeds."""

    def __attrs_post_init__(self) -> None:
        self.engine = startup.make_engine(self.config, Identity.of(self.config.order_prefix, 0))
        self.pace_seconds = self.rng.choice(PACES)
        self.venue.on_stream = self.streamed
        self.venue.on_closed = lambda conn: self.lost(conn, StreamFault.CLOSED, "the exchange ended the stream")
        self.venue.on_reference = self.referenced
        self.task = Task(self.heap, self.life())
        self.task.start()
        Task(self.heap, self.polls()).start()

    # -- the quoting cycle

    def life(self) -> Steps:
        """One run after another."""
        while True:
            yield from self.start()
            while not self.final:
                if self.tripped is not None:
                    yield from self.recover()
                elif not self.watch():
                    yield from self.step()
            yield from self.halt()
            self.quoting = False
            for feed in self.feeds.values():
                if feed.conn is not None:
                    feed.conn.is_open = False
                    feed.conn = None
            yield Nap(self.rng.uniform(*PERSON_SECONDS))

    def start(self) -> Steps:
        """The listing, a sweep, the account as it is; then the feeds."""
        self.run += 1
        self.tripped, self.final, self.write_over_trip, self.unknown_write_at = None, False, False, None
        self.fired = None
        self.pulled_at.clear()
        engine = startup.make_engine(self.config, Identity.of(self.config.order_prefix, self.rng.getrandbits(60)))
        self.engine = engine
        rows = reads.markets(self.venue.read(paper_reads.markets, {}))
        tier = reads.fee_tier(self.venue.read(paper_reads.fees, {})) or (None, None)
        self.specs = {one: reads.market_spec(one, rows[one], *tier) for one in self.config.markets}
        startup.add_markets(engine, self.config, self.specs)
        yield from self.halt()
        read = None
        while read is None:
            read = yield from self.whole()
        engine.baseline(read, self.heap.now)
        for market_id, market in engine.markets.items():
            query = {"marketId": market_id, "interval": "1m", "limit": startup.CANDLES_READ}
            market.fair.volatility.warm_up(
                reads.closes(self.venue.read(paper_reads.ohlc, query)), self.heap.unix_ms / 1000
            )
        self.judge.began(self.run, self.engine, self.specs)
        self.heard_at = 0.0
        self.quoting = True
        for market_id, spec in self.specs.items():
            feed = self.feeds[market_id] = Feed(spec, feeds.Backoff(self.rng))
            self.connect(feed)
            self.venue.reference(market_id)
            for row in reads.market_stats(self.venue.read(paper_reads.market_stats, {"marketId": market_id})):
                self.judge.polled(row)
                self.deliver(row)

    def step(self) -> Steps:
        """One turn of the cycle."""
        self.decided_at = self.heap.now
        match self.engine.decide(self.heap.now):
            case PlaceLadder() as action:
                yield from self.place(action)
            case ReadOrders():
                read = yield from self.read_orders()
                if read is None:
                    yield Nap(quoter.RETRY_SECONDS)
                    self.failing()
                else:
                    self.deliver(read)
            case ReadAccount():
                whole = yield from self.whole()
                if whole is not None:
                    self.deliver(whole)
            case Wait(seconds=seconds):
                seconds = max(self.pace_seconds, seconds) if seconds < WAIT_SECONDS_MAX else self.idle_seconds()
                yield Nap(seconds, NEWS)
        self.engine.take_notes()

    def idle_seconds(self) -> float:
        """Until something is due by its age alone."""
        now, seconds = self.heap.now, IDLE_SECONDS
        for market in self.engine.markets.values():
            age_max = self.config.cycle.quote_age_seconds_max
            for due in (market.quoted_at + age_max, market.setbacks.hold_until, market.frozen_until):
                if due > now:
                    seconds = min(seconds, due - now + WAIT_SECONDS_MIN)
        return max(WAIT_SECONDS_MAX, seconds)

    def failing(self) -> None:
        """Reads fail: repeatedly, pull. (The app counts three in a row; one is enough here, and no less safe.)"""
        trip = self.engine.trip(Reason.ORDERS_FAILING, "open orders cannot be read")
        if trip is not None:
            self.pull(trip)

    @property
    def idle(self) -> bool:
        """Whether the cycle waits for news, with nothing pulled and nothing in flight."""
        nap = self.task.nap
        return self.quoting and self.tripped is None and self.write is None and nap is not None and nap.until == NEWS

    # -- feeds

    def connect(self, feed: Feed) -> None:
        """A new connection, and a new machine for it."""
        if self.feeds.get(feed.spec.market_id) is not feed or not self.quoting:
            return
        feed.began = feed.heard_at = self.heap.now
        conn = self.venue.connect(feed.spec.market_id)
        if conn is None:
            self.deliver(StreamLost(feed.spec.market_id, StreamFault.CLOSED, "answer 503"))
            self.reconnect(feed)
            return
        feed.conn, feed.stream = conn, MarketStream(feed.spec)
        self.heap.after(feeds.CONNECT_SECONDS_MAX + 0.001, partial(self.listen, feed, conn))

    def reconnect(self, feed: Feed) -> None:
        pause = feed.backoff.next_pause(self.heap.now - feed.began)
        self.heap.after(pause, partial(self.connect, feed))

    def listen(self, feed: Feed, conn: Connection) -> None:
        """Look whether a connection fell silent: its deadline is moved by every byte."""
        if feed.conn is not conn:
            return
        silent = (
            self.config.cycle.stream_silent_seconds_max if feed.heard_at > feed.began else feeds.CONNECT_SECONDS_MAX
        )
        left = feed.heard_at + silent - self.heap.now
        if left <= 0:
            self.lost(conn, StreamFault.SILENT, "neither data nor heartbeat")
        else:
            self.heap.after(left + 0.001, partial(self.listen, feed, conn))

    def streamed(self, conn: Connection, data: bytes, told: Told | None) -> None:
        """Bytes came: of the connection we hold, or of one we left."""
        feed = self.feeds.get(conn.market_id)
        if feed is None or feed.conn is not conn or feed.stream is None:
            return
        feed.heard_at = self.heap.now
        self.touch()
        verdict = self.judge.expect(conn.number, told, data) if told is not None else ""
        applied, broken = 0, ""
        try:
            for event in feed.stream.feed(data):
                if isinstance(event, StreamSnapshot | StreamDelta):
                    self.deliver(event)
                    applied += 1
                else:
                    self.deliver(event)
        except StreamBroken as error:
            broken = error.detail
            self.lost(conn, error.fault, error.detail)
        if told is not None:
            self.judge.came(told, verdict, applied, broken)
        self.watch()

    def lost(self, conn: Connection, fault: StreamFault, detail: str) -> None:
        """The stream broke: say so first, then leave it."""
        feed = self.feeds.get(conn.market_id)
        if feed is None or feed.conn is not conn:
            return
        feed.conn = feed.stream = None
        self.deliver(StreamLost(conn.market_id, fault, detail))
        self.judge.gone(conn.market_id, restarted=detail.startswith(RESTARTED))
        conn.is_open = False
        self.reconnect(feed)

    def referenced(self, message: bytes) -> None:
        if self.quoting:
            self.judge.reference(message)
            for source in self.sources:
                self.deliver(reference.parse(source, message))
            self.watch()

    def reference_lost(self) -> None:
        if self.quoting:
            for source in self.sources:
                self.deliver(ReferenceLost(source, "neither message nor heartbeat"))

    def polls(self) -> Steps:
        """Mark and index, the balance, the listing."""
        balance_at = listing_at = self.heap.now
        while True:
            yield Nap(STATS_SECONDS)
            if not self.quoting:
                continue
            run = self.run
            for market_id in self.specs:
                body = self.venue.read(paper_reads.market_stats, {"marketId": market_id})
                yield Nap(self.venue.latency())
                self.tell(run, reads.market_stats(body))
            if self.heap.now >= balance_at:
                balance_at = self.heap.now + 3 * feeds.BALANCE_SECONDS
                self.tell(run, (yield from self.fetch(paper_reads.balances, feeds.balances)))
            halted = any(market.halted for market in self.engine.markets.values())
            if halted or self.heap.now >= listing_at:
                listing_at = self.heap.now + feeds.LISTING_SECONDS
                self.tell(run, (yield from self.fetch(paper_reads.markets, self.relisted)))
            self.watch()

    def relisted(self, body: bytes) -> object:
        return feeds.relisted(body, self.specs, feeds.own_tier(self.venue.read(paper_reads.fees, {})))

    def tell(self, run: int, rows: object) -> None:
        """Book what a poll brought, if the run that asked still quotes."""
        if run == self.run and self.quoting and isinstance(rows, tuple):
            for row in rows:
                self.judge.polled(row)
                self.deliver(row)
