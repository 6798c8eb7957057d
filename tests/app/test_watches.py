"""What tells a process that ran from one that stood still, and heartbeats that are earned from those that are not."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from maker.app import watches
from maker.app.watches import PANIC, QUOTING, WATCH, Pulse, Skew, Watch, measure_lag
from maker.desk.deadman import Reason, Trip
from maker.desk.events import PlaceLadder
from maker.launch import latch
from tests.app.site import staged
from tests.app.test_quoter import quoting
from tests.app.whole import WALL, http_date
from tests.desk.scripted import START, Desk

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real


@attrs.define
class Clocks:
    """Three clocks that the test moves."""

    boot: float = START
    monotonic: float = START / 2
    wall: float = WALL

    def pulse(self) -> Pulse:
        return Pulse(lambda: self.boot, lambda: self.monotonic, lambda: self.wall)

    def run(self, seconds: float) -> None:
        self.boot, self.monotonic, self.wall = self.boot + seconds, self.monotonic + seconds, self.wall + seconds


def beating() -> tuple[Clocks, Pulse]:
    clocks = Clocks()
    pulse = clocks.pulse()
    pulse.beat()
    assert pulse.unsteady() is None
    return clocks, pulse


# -- pauses and clocks


def test_a_loop_that_turns_is_steady() -> None:
    clocks, pulse = beating()
    for _ in range(100):
        clocks.run(watches.BEAT_SECONDS + 0.01)
        pulse.beat()
        assert pulse.unsteady() is None
    assert pulse.lag_seconds == pytest.approx(0.01)


@pytest.mark.parametrize("beat_first", [True, False])
def test_a_loop_that_stood_still_is_seen_by_whoever_asks_first(beat_first: bool) -> None:
    """H20, H21: the cycle that decides before the next beat sees it, and the watch after a beat does too; told once."""
    clocks, pulse = beating()
    clocks.run(watches.LAG_SECONDS_MAX + watches.BEAT_SECONDS + 0.01)
    if beat_first:
        pulse.beat()
    assert pulse.unsteady() == (Reason.LOOP_LAG, "for 0.51 s")
    pulse.beat()
    pulse.unsteady()
    clocks.run(0.01)
    assert pulse.unsteady() is None


def test_a_suspended_machine_is_one_whose_monotonic_clock_stood_still() -> None:
    """H22: BOOTTIME goes on. Two seconds are told from a pause of the process by the other clock."""
    clocks, pulse = beating()
    clocks.boot += 2.1
    clocks.wall += 2.1
    assert pulse.unsteady() == (Reason.SUSPENDED, "for 2.1 s")
    pulse.beat()
    pulse.unsteady()
    assert pulse.unsteady() is None


@pytest.mark.parametrize("jump", [-3600.0, 262.0, 1.1])
def test_a_wall_clock_that_jumps_is_told_and_one_that_is_slewed_is_not(jump: float) -> None:
    """H23, F36."""
    clocks, pulse = beating()
    for _ in range(1000):
        clocks.run(0.05)
        clocks.wall += 0.05 * 0.0005  # as fast as NTP slews
        pulse.beat()
        assert pulse.unsteady() is None
    clocks.wall += jump
    assert pulse.unsteady() == (Reason.CLOCK_JUMPED, f"by {jump:+.1f} s")
    assert pulse.unsteady() is None


# -- heartbeats


def test_heartbeats_are_earned_by_every_critical_task_and_a_loop_that_turns() -> None:
    """None only while the loop turns and each task has come by lately; else it says which has not."""
    clocks = Clocks()
    pulse = clocks.pulse()
    assert pulse.healthy(clocks.boot) == "the loop is not measured yet"
    pulse.beat()
    assert pulse.healthy(clocks.boot) is None, "before the tasks begin the start has a deadline of its own"
    for name in (QUOTING, WATCH, PANIC):
        pulse.check_in(name)
    for late in (QUOTING, WATCH, PANIC):
        for _ in range(int(watches.WITHIN_SECONDS[late] / 0.05) + 2):
            clocks.run(0.05)
            pulse.beat()
            for name in {QUOTING, WATCH, PANIC} - {late}:
                pulse.check_in(name)
        said = pulse.healthy(clocks.boot)
        assert said is not None
        assert said.startswith(f"{late} is")
        pulse.check_in(late)
        assert pulse.healthy(clocks.boot) is None
    clocks.run(1.0)
    assert pulse.healthy(clocks.boot) == "the loop lags 0.95 s", "though no task is late yet"


def test_a_task_may_say_that_its_work_takes_longer() -> None:
    clocks, pulse = beating()
    pulse.check_in(QUOTING, 15.0)
    for seconds, well in ((14.9, True), (0.2, False)):
        clocks.run(seconds)
        pulse.beat()
        pulse.lag_seconds = 0.0
        assert (pulse.healthy(clocks.boot) is None) == well


def test_in_the_last_halt_one_task_alone_earns_heartbeats() -> None:
    """The others may have ended by the error that began it."""
    clocks, pulse = beating()
    pulse.check_in(WATCH)
    pulse.only_halting(15.0)
    pulse.check_in(WATCH)
    for seconds, well in ((14.9, True), (0.2, False)):
        clocks.run(seconds)
        pulse.beat()
        pulse.lag_seconds = 0.0
        assert (pulse.healthy(clocks.boot) is None) == well


async def test_the_loop_is_measured_by_a_task_that_sleeps_and_compares(autojump_clock: Clock) -> None:
    clocks = Clocks()
    pulse = Pulse(lambda: clocks.boot + trio.current_time())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measure_lag, pulse)
        await trio.sleep(1.0)
        assert pulse.lag_seconds == pytest.approx(0.0, abs=1e-6)
        clocks.boot += 3.0
        await trio.sleep(watches.BEAT_SECONDS)
        assert pulse.worst_seconds == pytest.approx(3.0)
        nursery.cancel_scope.cancel(reason="seen")


# -- S4: freshness where the request is made


async def test_row_13_after_a_pause_nothing_is_decided_on_what_waited_in_the_sockets(autojump_clock: Clock) -> None:
    """S4, H21: the process is stopped for a minute. What waited looks fresh, for its age begins when it is read.

    Inline: the cycle that turns before any watch has run decides nothing, and pulls. With the watch alone, the control
    arm, it quotes: so this test can fail.
    """
    ladders = {}
    for inline in (True, False):
        async with quoting() as one:
            pulse = Pulse(one.quoter.now, one.quoter.now, one.quoter.now)
            pulse.beat()
            if inline:
                one.quoter.inlet.unsteady = pulse.unsteady
            one.clock_ahead.append(60.0)
            one.stage.desk.now = one.quoter.now()
            one.stage.desk.later(0.0)  # the backlog: heartbeats, index and a reference of a minute ago, read just now
            one.stage.desk.reference()
            await one.quoter.step()
            ladders[inline] = [action for _, _, action in one.engine.decided if isinstance(action, PlaceLadder)]
            if inline:
                assert one.stage.switch.tripped is not None
                assert one.stage.switch.tripped.reason is Reason.LOOP_LAG
    assert ladders[True] == []
    assert len(ladders[False]) == 1, "without the look inline nothing would have kept it"


def test_row_13_stale_inputs_are_refused_at_the_decision_and_not_beside_it() -> None:
    """S4: no watch runs at all here. The control arm decides at the time of the last look, as a watchdog would."""
    for seconds, what in ((2.1, "reference"), (20.1, "stream")):
        desk = Desk.ready()
        looked_at = desk.now
        desk.now += seconds
        if what == "stream":
            desk.reference()
            desk.stats()
        assert not isinstance(desk.engine.decide(desk.now), PlaceLadder)
        assert isinstance(desk.engine.decide(looked_at), PlaceLadder)


# -- the exchange's clock


def test_row_19_a_skewed_clock_warns_at_two_seconds_and_stops_at_five() -> None:
    """By three answers in a row: one answer that came late is late, not skewed. `Date` counts whole seconds."""
    skew = Skew()
    for seconds, warns, stops in ((0.0, False, False), (2.0, False, False), (3.0, True, False), (-3.0, True, False)):
        for _ in range(5):
            assert skew.seen({"date": http_date(WALL)}, WALL + 0.5 + seconds) is None
            assert bool(skew.warning) == warns
            assert not stops
    late = {"date": http_date(WALL)}
    assert [skew.seen(late, WALL + 8) for _ in range(2)] == [None, None]
    assert skew.seen(late, WALL) is None
    assert [skew.seen(late, WALL - 8) for _ in range(2)] == [None, None]
    trip = skew.seen(late, WALL - 8)
    assert trip is not None
    assert trip.sentence == "this machine's clock is not the exchange's: ours differs by -8.5 s"


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Tue, 99 Nov 2023 00:00:00 GMT",
        "0",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_an_answer_without_a_date_says_nothing(date: str) -> None:
    skew = Skew()
    assert skew.seen({"date": date}, WALL) is None
    assert skew.seen({}, WALL) is None
    assert skew.seconds is None


# -- the kill file


def test_row_9_a_kill_file_is_found_whatever_is_in_it(tmp_path: Path) -> None:
    assert latch.read(tmp_path) is None
    assert latch.read(tmp_path / "nowhere") is None
    (tmp_path / latch.KILL_FILE).touch()
    assert latch.read(tmp_path) == latch.BY_HAND
    latch.clear(tmp_path)
    latch.write(tmp_path, "cancel_all", "cancelled by hand")
    said = latch.read(tmp_path)
    assert said is not None
    assert said.startswith("cancelled by hand (cancel_all, ")
    latch.clear(tmp_path)
    (tmp_path / latch.KILL_FILE).symlink_to(tmp_path / "gone")
    assert latch.read(tmp_path) is not None, "whoever put a broken link there meant something"


def test_row_9_looking_costs_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H14: with none left, a look that opens the file would take its own failure for a kill file."""

    def no_more(*_args: object, **_kwargs: object) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", no_more)
    monkeypatch.setattr(Path, "open", no_more)
    assert latch.read(tmp_path) is None


async def test_row_9_the_kill_file_is_looked_for_at_least_four_times_a_second(
    tmp_path: Path, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    original = latch.read

    def counted(folder: Path) -> str | None:
        looks.append(trio.current_time())
        return original(folder)

    monkeypatch.setattr(latch, "read", counted)
    trips: list[Trip] = []
    async with staged() as stage:
        watch = Watch(stage.inlet, Pulse(), stage.told.recorder, tmp_path, trips.append)
        stage.nursery.start_soon(partial(watch.run))
        await trio.sleep(10)
        assert len(looks) > 40
        assert trips == []
        (tmp_path / latch.KILL_FILE).touch()
        await trio.sleep(0.25)
        assert trips[0] == Trip(Reason.KILLED, latch.BY_HAND)
