"""How quotes are pulled: one trip, one halt, used by every way out and by every recoverable pause.

`Switch.trip` is one synchronous block: latch, so that no write begins after it, then cancel-all on a warm panic lane,
without an await. `halt` follows in its own time: cancel-all acknowledged, again if a write ended after the first one
began, again through the tail if a write's outcome is unknown, then open orders read back empty twice. It needs the key
and the route and nothing else: no market data, no limiter, no pool, no name look-up, no thread, no log, no journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from maker.app.panic import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN, UNSCOPED_ROUNDS, Panic
from maker.desk.deadman import Trip
from maker.edge.lane import boot_seconds

TAIL_SECONDS: Final = (0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # when to pull again after an unknown outcome


class Latched(AssertionError):
    """A write was about to begin after the trip: our own mistake, never the exchange's."""


@attrs.define
class Switch:
    """The latch before every write, and what is known of the writes around a trip."""

    panic: Panic
    settle_seconds_max: float
    wake: Callable[[], None] = lambda: None
    clock: Callable[[], float] = boot_seconds  # seconds of CLOCK_BOOTTIME, which another process can compare
    tripped: Trip | None = None  # latched while set
    final: bool = False  # a trip that ends the run came: never re-armed
    trips: int = 0
    fired_at: float | None = None  # the loop's clock, for latency figures
    write_scope: trio.CancelScope | None = None  # of the write in flight
    write_over_trip: bool = False  # a write was in flight at the trip: the first cancel-all may have been overtaken
    write_began_at: float | None = None  # of the last one; `clock`
    unknown_write_at: float | None = None  # when the last one of unknown outcome began; `clock`; never forgotten

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
            self.write_began_at = self.clock()
            try:
                yield scope
            finally:
                self.write_scope = None

    def answer_lost(self) -> None:
        """The write under way has no answer to trust: it may land at any time from here on."""
        self.unknown_write_at = self.write_began_at

    def rearm(self) -> None:
        """Writes may begin again; only after a verified halt, and never once the run is to end."""
        if self.final:
            return
        self.tripped = None
        self.write_over_trip = False


@attrs.define
class HaltReport:
    """How far a halt came; filled in as it goes, so that a deadline does not lose it."""

    verified_empty: bool = False
    open_orders: int | None = None  # None: never read
    cancels_sent: int = 0
    seconds: float = 0.0
    unknown_write_at: float | None = None  # of the last write of unknown outcome: its begin, seconds of CLOCK_BOOTTIME


async def last_halt(switch: Switch, tail_seconds_max: float, halt_seconds_max: float, report: HaltReport) -> None:
    """The halt of a way out: nothing cancels it but its own deadline, and no deadline replaces the reason to leave."""
    with trio.move_on_after(halt_seconds_max, shield=True):
        await halt(switch, tail_seconds_max, report)


async def halt(switch: Switch, tail_seconds_max: float, report: HaltReport) -> None:
    """Pull everything and read it back empty. Returns only when verified; the deadline is the caller's, and shielded.

    Statement one is the cancel-all. The tail runs only after a write of unknown outcome, which may land late, and only
    until that write is `tail_seconds_max` old. Raises an error of our own bookkeeping on the way, once all is verified.
    """
    panic = switch.panic
    began = trio.current_time()
    report.unknown_write_at = switch.unknown_write_at
    panic.forget()
    try:
        pulled_at = await panic.cancel_all()
        if switch.write_over_trip:
            pulled_at = await panic.cancel_all()
        for at in tail(switch, tail_seconds_max, began):
            if pulled_at < at:  # else a 429 kept us waiting past this moment, and that cancel-all was later still
                await trio.sleep(max(0.0, at - trio.current_time()))
                pulled_at = await panic.cancel_all()
        pause = RETRY_SECONDS_MIN
        pulled = 1  # acknowledged, and orders may rest
        while not await panic.verified_empty():
            await trio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)
            if panic.resting:
                await panic.cancel_all(in_vain=pulled % UNSCOPED_ROUNDS == 0)
                pulled += 1
        report.verified_empty = True
    finally:
        report.open_orders = panic.resting
        report.cancels_sent = panic.cancels_sent
        report.seconds = trio.current_time() - began
    trouble, panic.trouble = panic.trouble, None
    if trouble is not None:
        raise trouble


def tail(switch: Switch, tail_seconds_max: float, began: float) -> list[float]:
    """When to pull again, on the loop's clock: at growing distances, last when nothing can land any more."""
    if switch.unknown_write_at is None:
        return []
    ends_at = trio.current_time() + switch.unknown_write_at + tail_seconds_max - switch.clock()
    return [*(began + one for one in TAIL_SECONDS if began + one < ends_at - RETRY_SECONDS_MIN), ends_at]
