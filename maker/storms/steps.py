"""Cancelled, and struck by an error, at every step: not one may leave an order behind (F47, F48; H1, H6).

A scenario is a short fair-weather world with one thing going on in it: a start, quoting with fills, a reconnect, a
ladder on its way, a pull with a read back, the way out. Performed once untouched, it says how many steps the maker makes
in its window; then it is performed again for each of them, with one or two blows (`stepped`). Whatever fell where:

    S1   in the end nothing of ours rests on the exchange, by its own books;
    S2   no ladder leaves after a cancellation, nor after an error once its task has unwound;
    S3   the exit code says neither that quotes may rest nor, of a run that was struck, that it was clean;
    S14  every error is named in the result or in the log, no task outlives the maker, and nothing but cancellation
         comes out of its main function;
    S15  the maker is gone in time;
    H1   unless an error hit the last halt itself, the maker did it alone: when it was gone nothing rested or was on its
         way, and what it reported was a verified end.

The configuration is the user's, but for the waits after an unknown outcome: they are shortened, as are the delays.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import attrs

from maker.app.config import Config, load
from maker.errors import ConfigError, ExitCode
from maker.storms import record as r
from maker.storms.invariants import judge
from maker.storms.outcome import Violation
from maker.storms.schedule import Fault, Schedule
from maker.storms.stepped import CANCEL, RAISE, Blow, SteppedWorld, Striker
from maker.storms.virtual import run_virtual
from maker.storms.world import digest, narrowed

KINDS: Final = {  # what falls, one after the other
    "cancel": (CANCEL,),
    "raise": (RAISE,),
    "cancel, raise": (CANCEL, RAISE),
    "raise, raise": (RAISE, RAISE),
    "raise, cancel": (RAISE, CANCEL),
}
SECOND_STEPS_MAX: Final = 120  # from the first blow to the second: a way out has about so many
JUDGED_HERE: Final = frozenset({"S1", "S2", "S3", "S15"})  # of the storms' invariants, where a world is this short
UNWIND_SECONDS_MAX: Final = 1.0  # S14: of the task in which an error came up
GONE_SECONDS_MAX: Final = 15.0  # S15
TAIL_SECONDS: Final = 1.0  # after an unknown outcome; above every delay below
SETTLE_SECONDS: Final = 0.3  # below the delay of a late ladder: its outcome becomes unknown
DELAY_SECONDS: Final = 0.5
SEED: Final = 1

QUOTING, ENDING, ENDED = "quoting", "ending", "ended"


@attrs.frozen(kw_only=True)
class Scenario:
    """One short world, and its window: the steps at which blows fall."""

    name: str
    window: str  # START: to the first ladders; QUOTING: from there to the signal; ENDING: from there to the end
    seconds: float  # from the first ladders to the signal
    faults: tuple[Fault, ...] = ()
    markets: int = 1
    step_ms: int = 200


def once(row: str, name: str, at: float, **words: str) -> Fault:
    return Fault(row=row, name=name, at=at, numbers={"times": 1.0}, words=words)


def late(name: str) -> Fault:
    return Fault(row="F6", name=name, at=0.0, seconds=60.0, numbers={"delay_seconds": DELAY_SECONDS})


RESETS: Final = (
    once("F16", "feed_ended", 0.1, target="stream", form="reset"),
    once("F16", "feed_ended", 1.2, target="reference", form="end"),
)
FAILED: Final = attrs.evolve(
    once("F29", "server_error_after", 0.0, target="ladder", form="html"), numbers={"times": 1.0, "status": 502.0}
)

SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario(name="start", window="start", seconds=0.0),
        Scenario(name="steady", window=QUOTING, seconds=1.6),
        Scenario(name="two markets", window=QUOTING, seconds=1.0, markets=2),
        Scenario(name="reconnect", window=QUOTING, seconds=2.6, faults=RESETS),
        Scenario(name="in flight", window=QUOTING, seconds=1.6, faults=(late("late_answers"),)),
        Scenario(name="late landing", window=QUOTING, seconds=1.6, faults=(late("late_ladders"),)),
        Scenario(name="read back", window=QUOTING, seconds=2.8, faults=(FAILED,)),
        Scenario(name="halt", window=ENDING, seconds=0.6),
        Scenario(name="halt in flight", window=ENDING, seconds=0.8, faults=(late("late_ladders"),)),
    )
}


@attrs.frozen
class Case:
    """One world to perform."""

    scenario: str
    kind: str = ""  # of KINDS; empty: untouched
    step: int = 0


@attrs.frozen(kw_only=True)
class StepOutcome:
    """What came of one."""

    case: Case
    blows: tuple[str, ...]  # that fell: step, kind, where
    violations: tuple[Violation, ...]
    code: int | None  # of the whole run
    digest: str
    window: tuple[int, int]  # steps of an untouched world
    simulated_seconds: float
    trip_seconds: float  # from an error to the pull
    crashed: str = ""  # an error of the simulation's own


def perform(config: Config, case: Case) -> StepOutcome:
    """Perform one world and judge it."""
    scenario = SCENARIOS[case.scenario]
    schedule = Schedule(seed=SEED, markets=scenario.markets, step_ms=scenario.step_ms, faults=scenario.faults)
    folder = Path(tempfile.mkdtemp(prefix="maker-steps-"))
    try:
        chosen = narrowed(shortened(config), scenario.markets, folder)
        world = SteppedWorld(chosen, schedule, striker=Striker(deque(blows(case))), seconds=scenario.seconds)
        crashed = ""
        try:
            run_virtual(world.run, schedule.seed, world.connect)
        except Exception:  # noqa: BLE001 - whatever breaks the simulation is told with the case it broke on
            crashed = traceback.format_exc()
        crashed += "\n".join(world.weather.troubles)
        return concluded(case, world, crashed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shortened(config: Config) -> Config:
    """The configuration with short waits after an unknown outcome."""
    halt = attrs.evolve(config.halt, tail_seconds_max=TAIL_SECONDS, settle_seconds_max=SETTLE_SECONDS)
    guard = attrs.evolve(config.guard, tail_seconds=TAIL_SECONDS, write_delay_seconds_max=TAIL_SECONDS)
    return attrs.evolve(config, halt=halt, guard=guard)


def blows(case: Case) -> Iterator[Blow]:
    """What falls in this case; the second at a step that is the case's own."""
    step = case.step
    for kind in KINDS.get(case.kind, ()):
        yield Blow(step, kind)
        step += random.Random(f"second:{case.scenario}:{case.kind}:{case.step}").randint(1, SECOND_STEPS_MAX)


def concluded(case: Case, world: SteppedWorld, crashed: str) -> StepOutcome:
    window = {
        "start": (1, world.quoting_step),
        QUOTING: (world.quoting_step + 1, world.ending_step),
        ENDING: (world.ending_step + 1, world.ended_step),
    }[SCENARIOS[case.scenario].window]
    exited = next(world.record.of(r.Exited), None)
    raised = next((one.at for one in world.striker.struck if one.kind == RAISE), None)
    tripped = next((one.at for one in world.record.of(r.Tripped) if not one.recoverable), None)
    return StepOutcome(
        case=case,
        blows=tuple(f"{one.kind} at step {one.step}, {one.at:.3f} s, in {one.where}" for one in world.striker.struck),
        violations=() if crashed else tuple(violations(world)),
        code=None if exited is None else exited.code,
        digest=digest(world.record),
        window=window,
        simulated_seconds=world.ended_at,
        trip_seconds=max(0.0, tripped - raised) if raised is not None and tripped is not None else 0.0,
        crashed=crashed,
    )


def violations(world: SteppedWorld) -> Iterator[Violation]:
    """What did not hold."""
    struck, record, end = world.striker.struck, world.record, world.ended_at
    yield from (one for one in judge(record)[0] if one.name in JUDGED_HERE)
    rests = [row for market_id in world.config.markets for row in world.site.exchange.open_orders(world.site.user_id, market_id)]
    if rests or world.site.in_flight:
        yield Violation("S1", end, f"{len(rests)} orders rest, {len(world.site.in_flight)} ladders are on their way")
    exited = next(record.of(r.Exited), None)
    if exited is None or world.left_resting is None:
        yield Violation("L7", end, "the maker or its guard did not end")
        return
    if exited.code == ExitCode.UNVERIFIED:
        yield Violation("S3", exited.at, "exit code 75, and the exchange could be reached all the time")
    if exited.code == ExitCode.CLEAN and not all(one.in_take_down for one in struck):
        yield Violation("S3", exited.at, f"exit code 0 of a run that was struck: {struck[0].where}")
    if world.left_tasks:
        yield Violation("S14", end, f"tasks outlived the maker: {', '.join(world.left_tasks)}")
    if not struck:
        return
    yield from after_blows(world)


def after_blows(world: SteppedWorld) -> Iterator[Violation]:
    """What did not hold of what must follow a blow."""
    struck, record = world.striker.struck, world.record
    first = struck[0]
    quiet_at = first.at + (UNWIND_SECONDS_MAX if first.kind == RAISE else 0.0)
    for left in record.of(r.Left):
        if left.is_write and left.owner == r.MAKER and left.at > quiet_at:
            yield Violation("S2", left.at, f"a ladder left {left.at - first.at:.3f} s after the blow")
    said = [*world.recorder.lines, world.crash, *(str(one.causes) for one in record.of(r.Ended))]
    for planted in world.happenings.planted:
        if not any(planted in one for one in said):
            yield Violation("S14", world.gone_at, f"the error {planted} is named nowhere")
    if world.crash and not any(one.kind == CANCEL for one in struck):
        yield Violation("S14", world.gone_at, f"it ended with a traceback: {world.crash}")
    if world.gone_at > first.at + GONE_SECONDS_MAX:
        yield Violation("S15", world.gone_at, f"it was gone {world.gone_at - first.at:.1f} s after the blow")
    if any(one.in_halt for one in struck):
        return
    if world.left_resting or world.left_flying:
        left = f"{world.left_resting} orders rested, {world.left_flying} ladders were on their way"
        yield Violation("H1", world.gone_at, f"when the maker was gone {left}")
    for ended in record.of(r.Ended):
        if ended.code != ExitCode.REFUSED_TO_START and not ended.verified_empty:
            yield Violation("H1", ended.at, f"the maker could not verify its end: {ended.reason}")


# -- many of them -------------------------------------------------------------------------------------------------


def cases(config: Config, scenarios: Iterable[str], every: int, kinds: Iterable[str] = tuple(KINDS)) -> Iterator[Case]:
    """Every so-manieth step of each scenario, each kind beginning at another one."""
    for name in scenarios:
        first, last = perform(config, Case(name)).window
        for turn, kind in enumerate(kinds):
            for step in range(first + turn * every // len(KINDS), last + 1, every):
                yield Case(name, kind, step)


def campaign(
    config: Config,
    chosen: Iterable[Case],
    jobs: int = 1,
    progress: Callable[[StepOutcome], None] = lambda _outcome: None,
) -> list[StepOutcome]:
    """Perform them all, on so many cores."""
    done: list[StepOutcome] = []
    one = partial(perform, config)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for outcome in pool.map(one, chosen, chunksize=8) if jobs > 1 else map(one, chosen):
            done.append(outcome)
            progress(outcome)
    return done
