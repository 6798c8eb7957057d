"""What the core world's maker does with the exchange: facts in, ladders out, reads, and the halt, as `maker.app` does.

In the same order and with the same limits: cancel-all leaves within the step that trips, a halt ends with two empty
reads, an unknown outcome has its tail.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Final

import attrs

from maker.app import feeds, quoter, reading
from maker.app.config import Config
from maker.app.halt import TAIL_SECONDS
from maker.app.panic import ATTEMPT_SECONDS_MAX, READ_GAP_SECONDS, RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from maker.desk.deadman import Trip
from maker.desk.engine import Engine
from maker.desk.events import (
    AccountRead,
    Event,
    LadderUnknown,
    MarketSpec,
    MarketStats,
    OpenOrdersRead,
    PlaceLadder,
    ReadEmpty,
    ReferenceHeard,
    StreamDelta,
    StreamHeard,
)
from maker.errors import OcxError
from maker.paper import reads as paper_reads
from maker.paper.order_path import Outcome
from maker.storms.core_checks import Judge
from maker.storms.core_faults import Faults
from maker.storms.core_heap import Heap, Nap, Steps, Task
from maker.storms.core_venue import Connection, Venue
from maker.wire import limits, ocx, orders, reads
from maker.wire.stream import MarketStream

IDLE_SECONDS: Final = 25.0  # a wait of the engine's longest is stretched to this: nothing changes meanwhile but ages
NEWS_SECONDS: Final = 0.05  # from news to the next decision, at the least
PACES: Final = (
    0.1,
    0.5,
    1.0,
    1.5,
)  # seconds between two decisions, one of these a schedule: news between costs nothing
HEARD_SECONDS: Final = 0.4  # the reference feed's heartbeats, told when somebody looks
STATS_SECONDS: Final = 9.0  # between two polls of mark and index; they are too old at ten
PERSON_SECONDS: Final = (3.0, 12.0)  # to look at why a run ended, and to start the next
ANSWER, NEWS = "answer", "news"


def of_no_urgency(event: Event) -> bool:
    """Whether the next decision may be the next one due: the book alone moves with the index, which is told too."""
    match event:
        case StreamDelta(fills=(), positions=(), removed_position_ids=()) | StreamHeard() | MarketStats():
            return True
        case _:
            return False


@attrs.define(eq=False)
class Write:
    """The ladder in flight."""

    action: PlaceLadder
    began: float
    deadline: float
    outcome: Outcome | None = None


@attrs.define(eq=False)
class Feed:
    """One market's stream as the maker holds it."""

    spec: MarketSpec
    backoff: feeds.Backoff
    conn: Connection | None = None
    stream: MarketStream | None = None
    began: float = 0.0
    heard_at: float = 0.0


@attrs.define(eq=False)
class Hand:
    """Engine, latch, and what is on its way."""

    config: Config
    heap: Heap
    venue: Venue
    faults: Faults
    judge: Judge
    rng: random.Random
    engine: Engine = attrs.field(init=False)
    run: int = 0  # of this schedule: one more after each reason that ends a run
    specs: dict[str, MarketSpec] = attrs.field(factory=dict)
    feeds: dict[str, Feed] = attrs.field(factory=dict)
    quoting: bool = False  # started, and not ended
    tripped: Trip | None = None
    final: bool = False
    write: Write | None = None
    write_over_trip: bool = False
    unknown_write_at: float | None = None
    fired: deque[Outcome] | None = None  # where the answer to the trip's own cancel-all will be
    heard_at: float = 0.0
    pulled_at: deque[float] = attrs.field(factory=deque)
    task: Task = attrs.field(init=False)
    trips: dict[str, int] = attrs.field(factory=dict)
    decided_at: float = 0.0
    pace_seconds: float = attrs.field(init=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the reference feeds: in this world all say the same."""
        return tuple(self.config.references)

    # -- one door for facts

    def touch(self) -> None:
        """Before anything is looked at: a feed that lives has been heard."""
        now = self.heap.now
        if now - self.heard_at >= HEARD_SECONDS and not self.faults.holds("reference_silent"):
            self.heard_at = now
            for source in self.sources:
                self.engine.apply(ReferenceHeard(source), now)

    def deliver(self, event: Event) -> None:
        trip = self.engine.apply(event, self.heap.now)
        if trip is not None:
            self.pull(trip)
        if self.engine.new_fills:
            self.judge.booked(self.engine.take_fills())
        if not of_no_urgency(event):
            self.task.wake(NEWS, max(NEWS_SECONDS, self.decided_at + self.pace_seconds - self.heap.now))

    def watch(self) -> bool:
        """Look at the clocks; say whether quotes are being pulled for it."""
        if not self.quoting:
            return False
        self.touch()
        trip = self.engine.watch(self.heap.now)
        if trip is not None:
            self.pull(trip)
        return trip is not None

    def look(self) -> None:
        """`watch`, at a moment planned for it."""
        self.watch()

    def pull(self, trip: Trip) -> None:
        """Latch and fire, in one step."""
        self.final = self.final or not trip.reason.recoverable
        self.trips[trip.reason.name] = self.trips.get(trip.reason.name, 0) + 1
        self.judge.note(f"trip {trip.sentence}")
        if self.tripped is None:
            self.tripped = trip
            self.fired = self.fire()
            if self.write is not None:
                self.write_over_trip = True
                settled = self.heap.now + self.config.halt.settle_seconds_max
                self.write.deadline = min(self.write.deadline, settled)
                self.task.wake(ANSWER)
        self.task.wake(NEWS)

    # -- the order path

    def fire(self) -> deque[Outcome]:
        """A cancel-all leaves; its answer comes into what is returned."""
        box: deque[Outcome] = deque()
        self.engine.budget.cancel_spent(self.heap.now)
        self.judge.cancel_left()

        def answered(outcome: Outcome) -> None:
            self.learn(outcome, cancel=True)
            box.append(outcome)
            self.task.wake(ANSWER)

        request = self.venue.send(ocx.CANCEL_ALL, b"{}", "", answered)
        self.judge.note(f"cancel-all {request.number}")
        return box

    def learn(self, outcome: Outcome, *, cancel: bool = False) -> float:
        """The rate limit as an answer states it; seconds to wait after a 429."""
        headers = {name.lower(): value for name, value in outcome.headers}
        unix = self.heap.unix_ms / 1000
        seen = limits.seen(headers, unix)
        wait = limits.wait_seconds(headers, outcome.body, unix)
        if cancel and outcome.status == 429:
            self.engine.budget.throttled(wait, self.heap.now)
        if seen is not None:
            self.deliver(seen)
        self.judge.answered(outcome)
        return wait

    def cancel_all(self) -> Generator[Nap, None, float]:
        """Until one is acknowledged; returns when that was."""
        pause = RETRY_SECONDS_MIN
        while True:
            box, self.fired = (self.fired if self.fired is not None else self.fire()), None
            deadline = self.heap.now + ATTEMPT_SECONDS_MAX
            while not box and self.heap.now < deadline:
                yield Nap(deadline - self.heap.now, ANSWER)
            if box and 200 <= box[0].status < 300:
                self.judge.cancel_acknowledged()
                return self.heap.now
            wait = pause
            if box and box[0].status == 429:
                headers = {name.lower(): value for name, value in box[0].headers}
                wait = limits.wait_seconds(headers, box[0].body, self.heap.unix_ms / 1000)
            yield Nap(wait)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    def place(self, action: PlaceLadder) -> Steps:
        """Send one ladder and book its outcome."""
        spec, now = self.specs[action.market_id], self.heap.now
        body = orders.ladder_body(spec, action)
        self.write = write = Write(action, now, now + self.config.halt.write_seconds_max)

        def answered(outcome: Outcome) -> None:
            if self.write is write:
                write.outcome = outcome
                self.task.wake(ANSWER)

        number = self.venue.requests + 1
        self.judge.left(number, action.market_id, body, self.config.markets[action.market_id])
        self.venue.send(ocx.QUOTES_BULK, body, action.market_id, answered)
        while write.outcome is None and self.heap.now < write.deadline:
            yield Nap(write.deadline - self.heap.now, ANSWER)
        told: orders.LadderOutcome = LadderUnknown(action.market_id, action.quote_id, "no answer in time")
        if write.outcome is not None:
            wait = self.learn(write.outcome)
            told = orders.ladder_outcome(action, write.outcome.status, write.outcome.body, wait)
        if isinstance(told, LadderUnknown):
            self.unknown_write_at = write.began
        self.judge.got(number, write.outcome)
        self.write = None
        self.deliver(told)
        self.judge.booked_as_placed(self.engine.ladders_placed)

    # -- reads

    def fetch(
        self, call: Callable[[paper_reads.Question], object], parse: Callable[[bytes], object], **query: str
    ) -> Generator[Nap, None, object]:
        """One read, once; None when it failed."""
        yield Nap(self.venue.latency())
        if self.faults.bite("reads_fail"):
            yield Nap(self.venue.latency())
            return None
        body = self.venue.read(call, query)
        yield Nap(self.venue.latency())
        try:
            return parse(body)
        except (OcxError, ValueError):
            return None

    def whole(self) -> Generator[Nap, None, AccountRead | None]:
        """Positions, trades and balance that belong together; None when it took too long."""
        grids = {market_id: spec.grid for market_id, spec in self.specs.items()}
        positions = partial(reads.positions, grids=grids)
        deadline = self.heap.now + quoter.ACCOUNT_SECONDS_MAX
        while self.heap.now < deadline:
            before = yield from self.fetch(paper_reads.positions, positions)
            own = partial(reads.own_trades, grids=grids)
            fills = yield from self.fetch(paper_reads.trades, own, limit=reading.OWN_TRADES_READ)
            balance = yield from self.fetch(paper_reads.balances, reads.balance)
            after = yield from self.fetch(paper_reads.positions, positions)
            if before is not None and before == after and fills is not None and balance is not None:
                return reads.account(after, fills, balance)  # type: ignore[arg-type]
            yield Nap(reading.READ_RETRY_SECONDS)
        return None

    def read_orders(self) -> Generator[Nap, None, OpenOrdersRead | None]:
        """What rests, once."""
        yield Nap(self.venue.latency())
        if self.faults.bite("reads_fail"):
            yield Nap(self.venue.latency())
            return None
        body = self.venue.read(paper_reads.open_orders, {})
        read_at = self.heap.ms
        yield Nap(self.venue.latency())
        self.judge.orders_read(read_at)
        return OpenOrdersRead(reads.open_orders(body))

    # -- the halt

    def halt(self) -> Steps:
        """Pull everything and read it back empty twice."""
        began = self.heap.now
        pulled_at = yield from self.cancel_all()
        if self.write_over_trip:
            pulled_at = yield from self.cancel_all()
        if self.unknown_write_at is not None:
            ends_at = self.unknown_write_at + self.config.recoverable_halt.tail_seconds_max
            tail = [began + at for at in TAIL_SECONDS if began + at < ends_at - RETRY_SECONDS_MIN]
            for at in [*tail, ends_at] if ends_at > began else [ends_at]:
                if pulled_at < at:
                    yield Nap(max(0.0, at - self.heap.now))
                    pulled_at = yield from self.cancel_all()
        pause = RETRY_SECONDS_MIN
        while True:
            first = yield from self.read_orders()
            if first is not None and not first.orders:
                yield Nap(READ_GAP_SECONDS)
                second = yield from self.read_orders()
                if second is not None and not second.orders:
                    return
            yield Nap(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)
            if first is None or first.orders:
                yield from self.cancel_all()

    def recover(self) -> Steps:
        """After a trip: halt, read back, wait a moment, quote again; or end the run."""
        yield from self.halt()
        self.engine.account_read_due = self.engine.account_read_due or "quotes were pulled"
        self.deliver(ReadEmpty())
        self.judge.read_empty()
        if not self.final:
            yield from self.pause_if_flapping()
        while self.engine.account_read_due and not self.final:
            read = yield from self.whole()
            if read is not None:
                self.deliver(read)
            yield Nap(self.rng.uniform(quoter.RESUME_SECONDS_MIN, quoter.RESUME_SECONDS_MAX))
        if self.final:
            return
        self.engine.resume()
        self.tripped, self.write_over_trip = None, False

    def pause_if_flapping(self) -> Steps:
        now = self.heap.now
        self.pulled_at.append(now)
        while self.pulled_at[0] < now - quoter.FLAP_SECONDS:
            self.pulled_at.popleft()
        too_many = len(self.pulled_at) - quoter.FLAP_PULLS_MAX
        if too_many > 0:
            longest = min(quoter.FLAP_PAUSE_SECONDS_MAX, quoter.RESUME_SECONDS_MAX * 2**too_many)
            yield Nap(self.rng.uniform(longest / 2, longest))
