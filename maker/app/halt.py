"""How quotes are pulled: one trip, one halt, used by every way out and by every recoverable pause.

`Switch.trip` is one synchronous block: latch, so that no write begins after it, then cancel-all on a warm panic lane,
without an await. `halt` follows in its own time: cancel-all acknowledged (a hedge on the second lane when no answer
comes), again if a write ended after the first one began, again through the tail if a write's outcome is unknown, then
open orders read back empty twice. It needs the key and the route and nothing else: no market data, no limiter, no pool,
no name look-up, no thread, no log, no journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import attrs
import trio

from maker.desk.deadman import Trip
from maker.edge.answer import Answer
from maker.edge.lane import Lane, NotSent
from maker.errors import OutcomeUnknown
from maker.wire import ocx
from maker.wire.reads import open_orders

HEDGE_SECONDS: Final = 0.5  # no answer to a cancel-all: the same on the other lane
ATTEMPT_SECONDS_MAX: Final = 3.0  # one call, connecting included
RETRY_SECONDS_MIN: Final = 0.1  # between failed attempts, doubled up to the next
RETRY_SECONDS_MAX: Final = 2.0
READ_GAP_SECONDS: Final = 0.25  # between the two empty reads
TAIL_SECONDS: Final = (0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # when to pull again after an unknown outcome
WARM_SECONDS: Final = 5.0  # between two authenticated reads that keep the panic lanes warm, alternating
WARM_READ_SECONDS_MAX: Final = 1.0  # for one of them: the lane is not idle meanwhile
EMPTY_BODY: Final = b"{}"


class Latched(AssertionError):
    """A write was about to begin after the trip: our own mistake, never the exchange's."""


@attrs.define
class Panic:
    """Two lanes that carry nothing but cancel-all and the reads that prove it. They share nothing with quoting."""

    lanes: tuple[Lane, Lane]
    on_answer: Callable[[Answer], None] = lambda _answer: None  # rate-limit headers are seen here too
    on_warmed: Callable[[], None] = lambda: None  # another round of `keep_warm` is done
    request: bytes = attrs.field(init=False, repr=False)  # the prebuilt cancel-all: it carries the key
    fired: Lane | None = None  # the lane whose answer to a fired cancel-all is still to be read
    cancels_sent: int = 0
    warming: trio.CancelScope | None = None  # of the read under way that keeps a lane warm
    resting: int | None = None  # orders seen by the last read back

    def __attrs_post_init__(self) -> None:
        self.request = self.lanes[0].build("POST", ocx.CANCEL_ALL, EMPTY_BODY)

    def fire(self) -> bool:
        """Send cancel-all without waiting, on whichever lane is warm and idle; False when none is."""
        for lane in self.lanes:
            if lane.send_bytes_nowait(self.request):
                self.fired = lane
                self.cancels_sent += 1
                return True
        return False

    async def keep_warm(self) -> None:
        """Prove key and route again and again, one lane after the other, so that one is always idle."""
        while True:
            for lane in self.lanes:
                with (
                    trio.move_on_after(WARM_READ_SECONDS_MAX) as self.warming,
                    suppress(NotSent, OutcomeUnknown, trio.BusyResourceError),
                ):
                    await lane.call("GET", ocx.ORDERS)  # a lane that fails closes itself; the next round dials again
                self.warming = None
                self.on_warmed()
                await trio.sleep(WARM_SECONDS / len(self.lanes))

    async def cancel_all(self) -> None:
        """Return once a cancel-all is acknowledged: answer awaited, hedged, repeated. Bounded by the caller."""
        if self.warming is not None:
            self.warming.cancel(reason="the lane is needed")
        pause = RETRY_SECONDS_MIN
        while not await self.hedged():
            await trio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    async def hedged(self) -> bool:
        """One round: the fired answer or a call on the first lane, after a moment the same on the second."""
        first, second = self.lanes
        if self.fired is second:
            first, second = second, first
        acknowledged = False
        failed = trio.Event()  # one lane failed: the other does not wait for the hedge's moment

        async def attempt(lane: Lane, after_seconds: float) -> None:
            nonlocal acknowledged
            with trio.move_on_after(after_seconds):
                await failed.wait()
            if await self.one_cancel(lane):
                acknowledged = True
                nursery.cancel_scope.cancel(reason="a cancel-all was acknowledged")
            failed.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, first, 0.0)
            nursery.start_soon(attempt, second, HEDGE_SECONDS)
        return acknowledged

    async def one_cancel(self, lane: Lane) -> bool:
        """One cancel-all on one lane; True when the exchange acknowledged it."""
        fired = self.fired is lane
        if not fired:
            self.cancels_sent += 1
        with trio.move_on_after(ATTEMPT_SECONDS_MAX):
            try:
                if fired:
                    self.fired = None
                    answer = await lane.answer()
                else:
                    answer = await lane.call("POST", ocx.CANCEL_ALL, EMPTY_BODY)
            except (NotSent, trio.BusyResourceError):
                self.cancels_sent -= 1
                return False
            except OutcomeUnknown:
                return False
            self.on_answer(answer)
            return 200 <= answer.status < 300
        return False

    async def read_back(self) -> int | None:
        """Count the account's open orders; None when there was no answer to believe."""
        for lane in self.lanes:
            with trio.move_on_after(ATTEMPT_SECONDS_MAX):
                try:
                    answer = await lane.call("GET", ocx.ORDERS)
                    if answer.status == 200:
                        self.resting = len(open_orders(answer.body))
                        return self.resting
                except (NotSent, OutcomeUnknown, trio.BusyResourceError, ValueError):
                    continue
        return None

    async def verified_empty(self) -> bool:
        """Whether two reads, a moment apart, both show nothing resting."""
        if await self.read_back() != 0:
            return False
        await trio.sleep(READ_GAP_SECONDS)
        return await self.read_back() == 0

    def forget(self) -> None:
        """What an earlier halt read says nothing about now."""
        self.resting = None

    def close(self) -> None:
        for lane in self.lanes:
            lane.close()


@attrs.define
class Switch:
    """The latch before every write, and what is known of the writes around a trip."""

    panic: Panic
    settle_seconds_max: float
    wake: Callable[[], None] = lambda: None
    tripped: Trip | None = None  # latched while set
    final: bool = False  # a trip that ends the run came: never re-armed
    trips: int = 0
    fired_at: float | None = None  # the loop's clock, for latency figures
    write_scope: trio.CancelScope | None = None  # of the write in flight
    write_over_trip: bool = False  # a write was in flight at the trip: the first cancel-all may have been overtaken
    outcome_unknown: bool = False  # of a write since the exchange was last read back empty

    @property
    def latched(self) -> bool:
        """Whether no write may begin."""
        return self.tripped is not None

    def trip(self, trip: Trip) -> None:
        """Latch and fire. Later trips change nothing: the first cause is the one reported."""
        self.final = self.final or not trip.reason.recoverable
        if self.tripped is not None:
            return
        self.tripped = trip
        self.panic.fire()
        self.trips += 1
        self.fired_at = trio.current_time()
        if self.write_scope is not None:
            self.write_over_trip = True
            self.write_scope.deadline = min(self.write_scope.deadline, self.fired_at + self.settle_seconds_max)
        self.wake()

    @contextmanager
    def writing(self, seconds_max: float) -> Iterator[trio.CancelScope]:
        """Around one write that can create orders. Shielded: a write is never abandoned half-way, only given up."""
        if self.tripped is not None:
            raise Latched(f"a write after the trip: {self.tripped.sentence}")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + seconds_max) as scope:
            self.write_scope = scope
            try:
                yield scope
            finally:
                self.write_scope = None

    def rearm(self) -> None:
        """Writes may begin again; only after a verified halt, and never once the run is to end."""
        if self.final:
            return
        self.tripped = None
        self.write_over_trip = False
        self.outcome_unknown = False


@attrs.define
class HaltReport:
    """How far a halt came; filled in as it goes, so that a deadline does not lose it."""

    verified_empty: bool = False
    open_orders: int | None = None  # None: never read
    cancels_sent: int = 0
    seconds: float = 0.0


async def halt(switch: Switch, tail_seconds_max: float, report: HaltReport) -> None:
    """Pull everything and read it back empty. Returns only when verified; the deadline is the caller's, and shielded.

    Statement one is the cancel-all. The tail runs only after a write of unknown outcome: such a write may land late.
    """
    panic = switch.panic
    began = trio.current_time()
    panic.forget()
    try:
        await panic.cancel_all()
        if switch.write_over_trip:
            await panic.cancel_all()
        if switch.outcome_unknown:
            for at in (*(seconds for seconds in TAIL_SECONDS if seconds < tail_seconds_max), tail_seconds_max):
                await trio.sleep(max(0.0, began + at - trio.current_time()))
                await panic.cancel_all()
        pause = RETRY_SECONDS_MIN
        while not await panic.verified_empty():
            await trio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)
            if panic.resting:
                await panic.cancel_all()
        report.verified_empty = True
    finally:
        report.open_orders = panic.resting
        report.cancels_sent = panic.cancels_sent
        report.seconds = trio.current_time() - began
