"""The exchange's side of the core world: requests that arrive and are answered, event streams, and a slow market.

The practice exchange is the real one; so are the bytes of requests, answers and events. The network is a latency for
each way, drawn from the seed, and what the faults make of it. The market moves every few seconds and not twenty times a
second: what is tested here is sequence and accounting, and a fill is a fill.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import attrs
import msgspec

from maker.paper.order_path import JSON, Call, Headers, Outcome, perform
from maker.paper.reads import Question
from maker.paper.streams import HEARTBEAT, HEARTBEAT_SECONDS, AccountPart, BookPart
from maker.storms.core_checks import Told
from maker.storms.core_faults import InForce
from maker.storms.core_market import (
    BROKEN_BODIES,
    CROSSING_SECONDS,
    CROSSING_SHARE,
    DEPTH,
    REFUSALS,
    SERVER_ERRORS,
    STREAM_SECONDS,
    Street,
)
from maker.wire import ocx, sse


@attrs.define(eq=False)
class Request:
    """One request of the order path, from its first byte to its answer."""

    number: int
    path: str
    body: bytes
    market_id: str  # of a ladder; empty: the cancel-all
    on_answer: Callable[[Outcome], None]


@attrs.define(eq=False)
class Connection:
    """One market's event stream, as the exchange serves it."""

    number: int
    market_id: str
    book: BookPart
    account: AccountPart
    sequence: int = 0
    started: bool = False  # its snapshot has left
    is_open: bool = True  # at the exchange
    ticking: bool = False  # a look at what changed is planned
    on_way: int = 0  # events sent and not arrived
    last_at: int = 0  # ms: when the last one sent arrives; a connection keeps order
    sent_at: int = 0  # ms
    damaged: bool = False  # an event of it is lost: it can only break
    kept: list[ocx.OwnTrade] = attrs.field(factory=list)  # fills told later than their position
    sent: deque[tuple[bytes, Told]] = attrs.field(factory=lambda: deque(maxlen=20))


@attrs.define(eq=False)
class Venue(Street):
    """The exchange, its market and its wires."""

    on_stream: Callable[[Connection, bytes, Told | None], None] = lambda _conn, _data, _told: None
    on_closed: Callable[[Connection], None] = lambda _conn: None
    requests: int = 0
    in_flight: int = 0
    connections: int = 0
    streams: dict[str, Connection] = attrs.field(factory=dict)
    last_of: dict[str, Connection] = attrs.field(factory=dict)  # the connection before

    # -- the order path

    def send(self, path: str, body: bytes, market_id: str, on_answer: Callable[[Outcome], None]) -> Request:
        """A request leaves its client."""
        self.requests += 1
        request = Request(self.requests, path, body, market_id, on_answer)
        delay = self.latency()
        if request.market_id:
            if self.flow.random() < CROSSING_SHARE:
                self.heap.after(self.flow.uniform(0.0, CROSSING_SECONDS), partial(self.crossing, market_id))
            if self.faults.bite("ladder_lost"):
                self.judge.lost(request.number)
                return request
            late = self.faults.bite("ladder_late")
            if late is not None:
                delay += 0.5 + 3.0 * late.size
        else:
            fails = self.faults.bite("cancel_all_fails")
            if fails is not None and fails.fault.words["way"] == "first":
                return request
            if fails is not None:
                self.in_flight += 1
                status = 429 if fails.fault.words["way"] == "second" else 503
                self.answer(request, self.refusal(status, "TRY_LATER", fails), delay * 2)
                return request
        self.in_flight += 1
        self.heap.after(delay, partial(self.arrive, request))
        return request

    def arrive(self, request: Request) -> None:
        """A request is performed, and its answer leaves."""
        faults, outcome = self.faults, None
        back = self.latency()
        if request.market_id:
            if fault := faults.bite("throttled"):
                outcome = self.refusal(429, "RATE_LIMITED", fault)
            elif fault := faults.bite("server_error_before"):
                outcome = Outcome(SERVER_ERRORS[int(fault.size * 3)], BROKEN_BODIES[int(fault.size * 3)])
            elif fault := faults.bite("refused"):
                status, code = REFUSALS[int(fault.size * len(REFUSALS))]
                outcome = self.refusal(status, code, fault)
        if outcome is not None:
            self.judge.lost(request.number)  # it has had all the effect it will have: none
            self.answer(request, outcome, back)
            return
        outcome = self.perform(request)
        if request.market_id:
            self.judge.applied(request.number, outcome.status, len(outcome.body))
            if faults.bite("answer_lost"):
                self.in_flight -= 1
                return
            if fault := faults.bite("server_error_after"):
                outcome = Outcome(SERVER_ERRORS[int(fault.size * 3)], BROKEN_BODIES[int(fault.size * 3)])
            elif outcome.status == 200 and (fault := faults.bite("answer_broken")):
                outcome = attrs.evolve(outcome, body=BROKEN_BODIES[int(fault.size * 3)])
            elif outcome.status == 200 and (fault := faults.bite("answer_partial")):
                outcome = self.partly_told(outcome, fault)
            if fault := faults.bite("answer_late"):
                back += 0.2 + 5.0 * fault.size
        self.answer(request, outcome, back)

    def perform(self, request: Request) -> Outcome:
        """The exchange's own doing; a squeezed margin is one that falls short for this one ladder."""
        account = self.exchange.state.accounts[self.user]
        squeezed = Decimal(0)
        if request.market_id and (fault := self.faults.bite("margin_squeeze")):
            squeezed = account.deposited * Decimal(str(round(0.97 + 0.03 * fault.size, 4)))
        account.deposited -= squeezed
        outcome = perform(self.place, Call(self.user, request.path, request.body, self.heap.unix_ms))
        account.deposited += squeezed
        for late in self.place.delayed:  # the switch cancel_all_answer="before"
            self.in_flight += 1
            self.heap.after(0.15, partial(self.cancel_late, late.user_id, late.scope))
        self.place.delayed.clear()
        self.stir()
        return outcome

    def cancel_late(self, user_id: str, scope: Any) -> None:
        self.in_flight -= 1
        self.exchange.cancel_all(user_id, scope, self.heap.unix_ms)
        self.stir()

    def answer(self, request: Request, outcome: Outcome, back: float) -> None:
        def got() -> None:
            self.in_flight -= 1
            request.on_answer(outcome)

        self.heap.after(back, got)

    def refusal(self, status: int, code: str, fault: InForce) -> Outcome:
        """An answer that a gateway before the exchange might give."""
        wait_ms = int(500 + 9_500 * fault.size)
        headers: Headers = JSON
        body = ocx.ErrorBody(error=code, message="storm")
        if status == 429:
            way = fault.fault.words["way"]
            if way == "first":
                headers += (("Retry-After", str(-(-wait_ms // 1000))),)
            elif way == "second":
                body = msgspec.structs.replace(body, retry_after_ms=wait_ms)
            else:
                headers += ((ocx.RESET_HEADER, str(-(-(self.heap.unix_ms + wait_ms) // 1000))),)
        return Outcome(status, ocx.encode(body), headers)

    @staticmethod
    def partly_told(outcome: Outcome, fault: InForce) -> Outcome:
        """An answer that leaves levels out, though they rest."""
        answer = ocx.decode(outcome.body, ocx.BulkAnswer)
        if not answer.orders:
            return outcome
        kept = answer.orders[: int(fault.size * len(answer.orders))]
        return attrs.evolve(outcome, body=ocx.encode(msgspec.structs.replace(answer, orders=kept)))

    def read(self, call: Callable[[Question], object], query: dict[str, str]) -> bytes:
        """Answer a read as of now."""
        return ocx.encode(call(Question(self.exchange, "", query, b"", self.user, self.heap.unix_ms)))

    # -- streams

    def connect(self, market_id: str) -> Connection | None:
        """A client connects; None: refused."""
        if self.faults.holds("stream_closed", market_id):
            return None
        self.connections += 1
        book = BookPart(self.exchange, market_id, DEPTH)
        account = AccountPart(self.exchange, self.user, market_id, self.open_only)
        conn = Connection(self.connections, market_id, book, account)
        old = self.streams.get(market_id)
        if old is not None:
            old.is_open = False
            self.last_of[market_id] = old
        self.streams[market_id] = conn
        if not self.faults.holds("stream_silent", market_id):
            self.heap.after(self.latency(), partial(self.open, conn))
        return conn

    def open(self, conn: Connection) -> None:
        """The snapshot leaves, whole and first, unless a fault is about it."""
        if not conn.is_open:
            return
        fields = conn.book.whole() | conn.account.whole()
        if self.faults.bite("delta_first", conn.market_id):
            conn.started, conn.damaged = True, True
            self.event(conn, "delta", {"trades": []})
            return
        sound = True
        if self.faults.bite("snapshot_crossed", conn.market_id):
            book = fields["book"]
            if book.bids and book.asks:  # type: ignore[attr-defined]
                crossed = [msgspec.structs.replace(book.asks[0], size="1"), *book.bids]  # type: ignore[attr-defined]
                fields["book"] = msgspec.structs.replace(book, bids=crossed)  # type: ignore[type-var]
                sound = False
        fault = self.faults.bite("snapshot_old", conn.market_id)
        if fault is None:
            self.snapshot(conn, fields, sound)
        else:
            self.heap.after(0.5 + 3.5 * fault.size, partial(self.snapshot, conn, fields, sound))

    def snapshot(self, conn: Connection, fields: dict[str, object], sound: bool) -> None:
        if not conn.is_open:
            return
        conn.started = True
        conn.damaged = not sound
        self.event(conn, "snapshot", fields, sound=sound)
        old = self.last_of.get(conn.market_id)
        if old is not None and len(old.sent) > 1 and old.sent[-1][1].sequence > 2:
            fault = self.faults.bite("old_events", conn.market_id)
            if fault is not None:
                conn.damaged = True
                self.deliver(conn, *old.sent[-1])
        self.beat(conn)
        self.stir()

    def beat(self, conn: Connection) -> None:
        """A heartbeat whenever nothing was sent for so long."""
        if not conn.is_open:
            return
        idle = (self.heap.ms - conn.sent_at) / 1000
        if idle >= HEARTBEAT_SECONDS - 0.01:
            if not self.faults.holds("stream_silent", conn.market_id):
                self.deliver(conn, HEARTBEAT, None)
            conn.sent_at = self.heap.ms
            idle = 0.0
        self.heap.after(HEARTBEAT_SECONDS - idle, partial(self.beat, conn))

    def stir(self) -> None:
        """Something may have changed: have each stream look, at its cadence."""
        for conn in self.streams.values():
            if conn.is_open and conn.started and not conn.ticking and self.untold(conn):
                conn.ticking = True
                self.heap.after(STREAM_SECONDS, partial(self.tick, conn))

    def untold(self, conn: Connection) -> bool:
        """Whether a stream has something to say."""
        account = self.exchange.state.accounts[self.user]
        return (
            bool(conn.kept)
            or self.exchange.book_sequence(conn.market_id) != conn.book.sequence
            or (account.trade_count, account.positions_version) != (conn.account.trade_index, conn.account.version)
        )

    def stalled(self, market_id: str) -> bool:
        return self.faults.holds("stream_silent", market_id) or self.faults.holds("stream_heartbeats", market_id)

    def tick(self, conn: Connection) -> None:
        """Send what changed."""
        conn.ticking = False
        if not conn.is_open or self.stalled(conn.market_id):
            return
        fields = conn.book.changes() | conn.account.changes()
        kept, conn.kept = conn.kept, []
        if kept:
            fields["trades"] = [*kept, *fields.get("trades", [])]  # type: ignore[misc]
        elif fields.get("trades") and self.faults.bite("fills_reordered", conn.market_id):
            conn.kept = fields.pop("trades")  # type: ignore[assignment]
            self.heap.after(self.net.uniform(0.05, 0.6), self.stir)
        if fields:
            self.event(conn, "delta", fields)

    def event(self, conn: Connection, name: str, fields: dict[str, Any], *, sound: bool = True) -> None:
        """Number an event and send it."""
        if self.faults.bite("stream_regress", conn.market_id) and name == "delta":
            conn.sequence = 0 if conn.sequence < 6 else conn.sequence - 5
            conn.damaged = True
        conn.sequence += 1
        number = conn.sequence
        payload = ocx.StreamPayload(market_id=conn.market_id, **fields)
        envelope = ocx.Envelope(
            event_id=f"{conn.number}_{number}_{self.heap.ms}",
            event_type=name,
            event_seq=number,
            engine_ts=self.heap.unix_ms,
            payload=payload,
        )
        data = sse.encode(name, ocx.encode(envelope).decode(), str(number))
        bid, ask = self.others_best(conn.market_id)
        told = Told(conn.number, conn.market_id, name, number, envelope.event_id, sound, bid, ask)
        conn.sent.append((data, told))
        if name == "delta" and self.faults.bite("stream_gap", conn.market_id):
            conn.damaged = True
            if fields.get("trades"):  # while nothing moves, no later number shows that a fill was lost
                self.judge.displaced(conn.market_id)
            return
        self.deliver(conn, data, told)
        if name == "delta" and (fault := self.faults.bite("stream_duplicate", conn.market_id)):
            for again in list(conn.sent)[-1 - int(fault.size * 10) :]:
                self.deliver(conn, *again)

    def deliver(self, conn: Connection, data: bytes, told: Told | None) -> None:
        conn.sent_at = self.heap.ms
        conn.on_way += 1
        due = max(conn.last_at, self.heap.ms + int(self.latency() * 1000))

        def arrive() -> None:
            conn.on_way -= 1
            self.on_stream(conn, data, told)

        conn.last_at = self.heap.after((due - self.heap.ms) / 1000, arrive)

    def others_best(self, market_id: str) -> tuple[Decimal | None, Decimal | None]:
        """Best prices in the book that are not ours."""
        book = self.exchange.state.markets[market_id].book
        found: list[Decimal | None] = []
        for half in (book.bids, book.asks):
            best = None
            for price in half.best_first():
                if any(order.user_id != self.user for order in half.levels[price].orders.values()):
                    best = price
                    break
            found.append(best)
        return found[0], found[1]

    def close(self, conn: Connection) -> None:
        """The exchange ends a stream."""
        if conn.is_open:
            conn.is_open = False
            self.heap.after(self.latency(), partial(self.on_closed, conn))

    def quiet(self) -> bool:
        """Nothing is on its way to anybody, and everything was told."""
        return self.in_flight == 0 and all(
            conn.is_open and conn.started and not conn.damaged and not conn.on_way and not self.untold(conn)
            for conn in self.streams.values()
        )
