"""Whether this process and this machine can be trusted, and the watches that look: loop, clocks, kill file, journal.

After a pause (SIGSTOP, a suspended machine, a starved processor) whatever waited in the sockets is taken for fresh: its
age begins when it is read. A watch that runs beside the quoting cycle may come too late for that (of 80 pauses, 38 runs
quoted first). So `Pulse.unsteady` is asked inline, before every decision and on CLOCK_BOOTTIME, by the cycle itself;
the watch below asks it too, for quotes that rest while nothing is decided.

The same `Pulse` says whether heartbeats to the guard are earned: the loop turns, and each critical task has come by.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NoReturn

import attrs
import trio

from maker.app.feeds import Inlet
from maker.app.record import Recorder
from maker.desk.deadman import Reason, Trip
from maker.edge.lane import boot_seconds
from maker.launch import latch

WATCH_SECONDS: Final = 0.2  # between two looks of the watch, at the kill file too: five times a second
BEAT_SECONDS: Final = 0.05  # between two beats of the loop
LAG_SECONDS_MAX: Final = 0.5  # the longest collection of garbage measured here took 0.14 s
SUSPEND_SECONDS_MAX: Final = 2.0  # by which BOOTTIME may get ahead of MONOTONIC between two looks (H22)
CLOCK_JUMP_SECONDS_MAX: Final = 1.0  # of wall clock against BOOTTIME between two looks; NTP slews it (H23)
SKEW_WARN_SECONDS: Final = 2.0  # of our wall clock from the exchange's `Date`
SKEW_SECONDS_MAX: Final = 5.0
SKEW_ANSWERS: Final = 3  # in a row: a single late answer is late, not skewed

QUOTING: Final = "the quoting cycle"
WATCH: Final = "the watch"
PANIC: Final = "the warming of the panic lanes"
WITHIN_SECONDS: Final = {  # that a critical task must come by again, unless it says how long its work may take
    QUOTING: 5.0,  # connecting may take 3, waiting 1
    WATCH: 1.0,
    PANIC: 8.0,  # it comes every 2.5, and every 3.5 when its reads hang
}

Clock = Callable[[], float]


@attrs.define
class Pulse:
    """What this process knows of its own health. Every clock counts seconds."""

    boot: Clock = boot_seconds  # CLOCK_BOOTTIME
    monotonic: Clock = time.monotonic  # stands still in suspend
    wall: Clock = time.time
    beat_at: float | None = None  # boot clock; None: the loop is not measured yet
    lag_seconds: float = 0.0  # of the last beat
    worst_seconds: float = 0.0  # since `unsteady` was last asked
    largest_seconds: float = 0.0  # since `take_largest` was last asked
    slept: float | None = None  # boot minus monotonic when last looked at
    epoch: float | None = None  # wall minus boot when last looked at
    due: dict[str, float] = attrs.field(factory=dict)  # boot clock: when each critical task must have come by again
    only: str = ""  # the one task that still counts; empty: all do

    def beat(self) -> None:
        """The loop has turned."""
        now = self.boot()
        self.lag_seconds = self.lag(now)
        self.worst_seconds = max(self.worst_seconds, self.lag_seconds)
        self.largest_seconds = max(self.largest_seconds, self.lag_seconds)
        self.beat_at = now

    def lag(self, now: float) -> float:
        """Seconds by which the next beat is late."""
        return 0.0 if self.beat_at is None else max(0.0, now - self.beat_at - BEAT_SECONDS)

    def take_largest(self) -> float:
        """The largest lag of a beat since this was last asked, for people."""
        taken, self.largest_seconds = self.largest_seconds, 0.0
        return taken

    def unsteady(self) -> tuple[Reason, str] | None:
        """Why nothing that came in lately may be taken for fresh, told once; None: this process ran all the time."""
        now, monotonic, wall = self.boot(), self.monotonic(), self.wall()
        lag, self.worst_seconds = max(self.worst_seconds, self.lag(now)), 0.0
        slept, self.slept = self.slept, now - monotonic
        epoch, self.epoch = self.epoch, wall - now
        if slept is not None and self.slept - slept > SUSPEND_SECONDS_MAX:
            return Reason.SUSPENDED, f"for {self.slept - slept:.1f} s"
        if epoch is not None and abs(self.epoch - epoch) > CLOCK_JUMP_SECONDS_MAX:
            return Reason.CLOCK_JUMPED, f"by {self.epoch - epoch:+.1f} s"
        if lag > LAG_SECONDS_MAX:
            return Reason.LOOP_LAG, f"for {lag:.2f} s"
        return None

    def check_in(self, name: str, seconds: float | None = None) -> None:
        """A critical task comes by; it must again within its usual time, or `seconds` where its work takes longer."""
        self.due[name] = self.boot() + (WITHIN_SECONDS[name] if seconds is None else seconds)

    def only_halting(self, seconds: float) -> None:
        """From here on nothing is due but the halt, within so long: an error may have ended every other task."""
        self.only = QUOTING  # one that comes by for the last time in this very turn does not count either
        self.check_in(QUOTING, seconds)

    def healthy(self, now: float) -> str | None:
        """Why no heartbeat is earned at `now` (boot clock); None: the loop turns and each critical task came by lately.

        A task that has never come by has not begun yet: the start has its own deadline.
        """
        if self.beat_at is None:
            return "the loop is not measured yet"
        lag = max(self.lag_seconds, self.lag(now))
        if lag > LAG_SECONDS_MAX:
            return f"the loop lags {lag:.2f} s"
        for name, due in self.due.items():
            if now > due and self.only in ("", name):
                return f"{name} is {now - due:.1f} s late"
        return None


@attrs.define
class Skew:
    """Our wall clock against the exchange's, as its answers tell: RTS 25 wants to know, and so do signatures."""

    seconds: float | None = None  # as last seen; ours is ahead when positive
    beyond: int = 0  # answers in a row

    def seen(self, headers: Mapping[str, str], wall: float) -> Trip | None:
        """Take an answer's `Date`, which counts whole seconds. A Trip when we can no longer claim to know the time."""
        try:
            said = parsedate_to_datetime(headers.get("date", "")).timestamp() + 0.5
        except (TypeError, ValueError, OverflowError):  # overflow: of a zone with an absurd number of hours
            return None
        self.seconds = wall - said
        self.beyond = self.beyond + 1 if abs(self.seconds) > SKEW_SECONDS_MAX else 0
        if self.beyond < SKEW_ANSWERS:
            return None
        return Trip(Reason.CLOCK_SKEW, f"ours differs by {self.seconds:+.1f} s")

    @property
    def warning(self) -> str:
        """What to say of it; empty when it is small."""
        if self.seconds is None or abs(self.seconds) <= SKEW_WARN_SECONDS:
            return ""
        return f"this machine's clock differs from the exchange's by {self.seconds:+.1f} s: see to its time service"


async def measure_lag(pulse: Pulse) -> NoReturn:
    """Beat: sleep a short time, and let the pulse compare."""
    while True:
        pulse.beat()
        await trio.sleep(BEAT_SECONDS)


@attrs.define
class Watch:
    """What is looked at a few times a second, whatever else happens."""

    inlet: Inlet
    pulse: Pulse
    recorder: Recorder
    state_folder: Path
    leave: Callable[[Trip], None]
    keep: Callable[[float], None] = lambda _now: None  # what outlives the run, told the time

    async def run(self, for_seconds: float = math.inf) -> NoReturn:
        """Look at time, process, kill file and journal, and at the time asked for."""
        ends_at = trio.current_time() + for_seconds
        while True:
            self.pulse.check_in(WATCH)
            self.look()
            if trio.current_time() >= ends_at:
                ends_at = math.inf
                self.leave(Trip(Reason.TIME_UP, ""))
            await trio.sleep(min(WATCH_SECONDS, max(0.0, ends_at - trio.current_time())))

    def look(self) -> None:
        """One look. Pulling comes before writing anything down."""
        self.inlet.watch()
        killed = latch.read(self.state_folder)
        if killed is not None:
            self.leave(Trip(Reason.KILLED, killed))
        if self.recorder.journal_lost:
            self.leave(Trip(Reason.JOURNAL_LOST, self.recorder.journal_lost))
        now = self.pulse.boot()
        self.recorder.sample(now)
        self.recorder.vitals(now)
        self.keep(now)
