"""Cancelled, and struck by an error, at every step: not one may leave an order behind (F47, F48; H1, H6).

Each of the `scenarios` is performed once untouched, which says how many steps the maker makes in its window; then again
for each of them, with one or two blows (`stepped`). Whatever fell where:

    S1   in the end nothing of ours rests on the exchange, by its own books;
    S2   no ladder leaves after a trip, nor after a cancellation, nor once the task in which an error came up is gone;
    S3   the exit code does not say that quotes may rest; nor that a run was clean which was struck before its end;
    S14  every error is named in the result or in the log, no task outlives the maker, and nothing but cancellation
         comes out of its main function;
    S15  the maker is gone in time;
    H1   unless an error hit the last halt itself, the maker did it alone: when it was gone nothing rested or was on its
         way, and the end that it reported was a verified one;
    L7   the world ended.

An error where trio-websocket reads, opens or closes is, to the maker, a connection lost: the library tells no more, or
later, and the run goes on. What rests and what the exit code says is judged all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from maker.app.config import Config, load
from maker.errors import ConfigError, ExitCode
from maker.storms import record as r
from maker.storms.audit import digest
from maker.storms.invariants import judge
from maker.storms.outcome import Violation
from maker.storms.scenarios import ENDING, QUOTING, SCENARIOS, START, shortened
from maker.storms.schedule import Schedule
from maker.storms.stepped import CANCEL, RAISE, Blow, SteppedWorld, Striker, Struck
from maker.storms.terms import narrowed
from maker.storms.virtual import run_virtual
from maker.storms.workers import Failure, perform_all
from maker.storms.world import state_folder

KINDS: Final = {  # what falls, one after the other
    "cancel": (CANCEL,),
    "raise": (RAISE,),
    "cancel, raise": (CANCEL, RAISE),
    "raise, raise": (RAISE, RAISE),
    "raise, cancel": (RAISE, CANCEL),
}
SECOND_STEPS_MAX: Final = 120  # from the first blow to the second: a way out has about so many
JUDGED: Final = frozenset({"S1", "S2", "S3", "S15"})  # of the storms' invariants: those that a world this short meets
UNWIND_SECONDS_MAX: Final = 1.0  # S14: of the task in which an error came up
GONE_SECONDS_MAX: Final = 15.0  # S15
SEED: Final = 1
WORLD_SECONDS_MAX: Final = 120.0  # of real time for one world, which takes a seventh of one: a hung one is told


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
    blows: tuple[Struck, ...] = ()  # that fell
    violations: tuple[Violation, ...] = ()
    code: int | None = None  # of the whole run
    digest: str = ""
    steps: range = range(0)  # of an untouched world's window
    simulated_seconds: float = 0.0
    crashed: str = ""  # an error of the simulation's own

    @property
    def sound(self) -> bool:
        return not self.violations and not self.crashed


def perform(config: Config, case: Case) -> StepOutcome:
    """Perform one world and judge it."""
    scenario = SCENARIOS[case.scenario]
    schedule = Schedule(seed=SEED, markets=scenario.markets, step_ms=scenario.step_ms, faults=scenario.faults)
    with state_folder() as folder:
        chosen = narrowed(shortened(config), scenario.markets, folder)
        world = SteppedWorld(chosen, schedule, striker=Striker(deque(blows(case))), seconds=scenario.seconds)
        crashed = ""
        try:
            run_virtual(world.run, schedule.seed, world.connect)
        except Exception:  # noqa: BLE001 - whatever breaks the simulation is told with the case it broke on
            crashed = traceback.format_exc()
        crashed += "\n".join(world.weather.troubles)
        exited = next(world.record.of(r.Exited), None)
        return StepOutcome(
            case=case,
            blows=tuple(world.striker.struck),
            violations=() if crashed else tuple(violations(world)),
            code=None if exited is None else exited.code,
            digest=digest(world.record),
            steps={
                START: range(1, world.quoting_step + 1),
                QUOTING: range(world.quoting_step + 1, world.ending_step + 1),
                ENDING: range(world.ending_step + 1, world.ended_step + 1),
            }[scenario.window],
            simulated_seconds=world.ended_at,
            crashed=crashed,
        )


def blows(case: Case) -> Iterator[Blow]:
    """What falls in this case; the second at a step that is the case's own."""
    step = case.step
    for kind in KINDS.get(case.kind, ()):
        yield Blow(step, kind)
        step += random.Random(f"second:{case.scenario}:{case.kind}:{case.step}").randint(1, SECOND_STEPS_MAX)


# -- judging ------------------------------------------------------------------------------------------------------


def violations(world: SteppedWorld) -> Iterator[Violation]:
    """What did not hold."""
    struck, record, end = world.striker.struck, world.record, world.ended_at
    yield from (one for one in judge(record)[0] if one.name in JUDGED)
    site = world.site
    rests = sum(len(site.exchange.open_orders(site.user_id, market_id)) for market_id in world.config.markets)
    if rests or site.in_flight:
        yield Violation("S1", end, f"{rests} orders rest, {len(site.in_flight)} ladders are on their way")
    exited = next(record.of(r.Exited), None)
    if exited is None or world.left_resting is None:
        yield Violation("L7", end, "the maker or its guard did not end")
        return
    if exited.code == ExitCode.UNVERIFIED:
        yield Violation("S3", exited.at, "exit code 75, and the exchange could be reached all the time")
    if exited.code == ExitCode.CLEAN and not all(one.in_take_down or one.in_library for one in struck):
        yield Violation("S3", exited.at, f"exit code 0 of a run that was struck: {struck[0].where}")
    if world.left_tasks:
        yield Violation("S14", end, f"tasks outlived the maker: {', '.join(world.left_tasks)}")
    yield from latch_forgotten(record)
    if struck:
        yield from after_blows(world)


def latch_forgotten(record: r.Record) -> Iterator[Violation]:
    """Ladders that left between a trip and its re-arm, in the order in which it happened."""
    tripped: r.Tripped | None = None
    for entry in record.entries:
        match entry:
            case r.Tripped():
                tripped = entry
            case r.Rearmed():
                tripped = None
            case r.Left() if tripped is not None and entry.is_write and entry.owner == r.MAKER:
                yield Violation("S2", entry.at, f"a ladder left after {tripped.reason} at {tripped.at:.3f} s")
            case _:
                pass


def after_blows(world: SteppedWorld) -> Iterator[Violation]:
    """What did not hold of what must follow a blow."""
    struck, record = world.striker.struck, world.record
    errors = [one for one in struck if one.kind == RAISE]
    said = "\n".join([*world.recorder.lines, world.crash, *(ended.reason for ended in record.of(r.Ended))])
    for one in errors:
        if one.text not in said and not one.in_library:
            yield Violation("S14", world.gone_at, f"the error of step {one.step} in {one.where} is named nowhere")
    if world.crash and len(errors) == len(struck):
        yield Violation("S14", world.gone_at, f"the main function raised: {world.crash[-300:]}")
    ending = [one for one in struck if not one.in_library]
    if ending:
        quiet_at = ending[0].at + (UNWIND_SECONDS_MAX if ending[0].kind == RAISE else 0.0)
        for left in record.of(r.Left):
            if left.is_write and left.owner == r.MAKER and left.at > quiet_at:
                yield Violation("S2", left.at, f"a ladder left {left.at - ending[0].at:.3f} s after the blow")
        if world.gone_at > ending[0].at + GONE_SECONDS_MAX:
            yield Violation("S15", world.gone_at, f"it was gone {world.gone_at - ending[0].at:.1f} s after the blow")
    if any(one.in_halt for one in struck):
        return
    if world.left_resting or world.left_flying:
        left_over = f"{world.left_resting} orders rested, {world.left_flying} ladders were on their way"
        yield Violation("H1", world.gone_at, f"when the maker was gone {left_over}")
    for ended in record.of(r.Ended):
        if ended.code != ExitCode.REFUSED_TO_START and not ended.verified_empty:
            yield Violation("H1", ended.at, f"the maker could not verify its end: {ended.reason}")


# -- many of them -------------------------------------------------------------------------------------------------


def cases(config: Config, scenarios: Iterable[str], every: int) -> Iterator[Case]:
    """Every so-manieth step of each scenario, each kind of blow beginning at another one."""
    for name in scenarios:
        steps = perform(config, Case(name)).steps
        for turn, kind in enumerate(KINDS):
            yield from (Case(name, kind, step) for step in steps[turn % every :: every])


def campaign(
    config: Config,
    chosen: Sequence[Case],
    jobs: int,
    progress: Callable[[StepOutcome], None] = lambda _outcome: None,
) -> list[StepOutcome]:
    """Perform them all, in so many processes; one is this one."""
    found: dict[Case, StepOutcome] = {}

    def done(case: Case, outcome: StepOutcome | Failure) -> None:
        if isinstance(outcome, Failure):
            outcome = StepOutcome(case=case, crashed=f"{outcome.sentence} {outcome.detail}")
        found[case] = outcome
        progress(outcome)

    if jobs == 1:
        for case in chosen:
            done(case, perform(config, case))
    else:
        build = partial(performer, config)
        perform_all(build, chosen, processes=jobs, seconds_max=WORLD_SECONDS_MAX, done=done, going_on=lambda: True)
    return [found[case] for case in chosen]


def performer(config: Config) -> Callable[[Case], StepOutcome]:
    """What a process does with its cases."""
    return partial(perform, config)


def main(argv: list[str]) -> int:
    """Perform the worlds of a configuration; return 0 when all is well, 1 when not, 2 or 78 as everywhere."""
    words = argparse.ArgumentParser(prog="run.py simulate --steps", description="Strike the maker at every step.")
    words.add_argument("configuration", type=Path)
    words.add_argument("--scenario", choices=list(SCENARIOS), help="only this one")
    words.add_argument("--every", type=int, default=1, metavar="K", help="every K-th step; 1 is all of them")
    words.add_argument("--kind", choices=list(KINDS), help="with --step: one world, with this blow")
    words.add_argument("--step", type=int, metavar="N", help="only this step")
    words.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="processes")
    words.add_argument("--json", action="store_true", help="end with one JSON object")
    asked = words.parse_args(argv)
    if asked.every < 1 or asked.jobs < 1 or (asked.step is None) != (asked.kind is None):
        words.error("--every and --jobs are at least 1; --kind and --step go together")
    try:
        config = load(asked.configuration)
    except ConfigError as wrong:
        sys.stderr.write(f"configuration: {wrong}\n")
        return ExitCode.REFUSED_TO_START
    names = [asked.scenario] if asked.scenario else list(SCENARIOS)
    chosen = list(cases(config, names, asked.every)) if asked.step is None else [Case(names[0], asked.kind, asked.step)]
    done: list[StepOutcome] = []

    def told(outcome: StepOutcome) -> None:
        done.append(outcome)
        if sys.stderr.isatty() or len(done) == len(chosen):
            sys.stderr.write(f"\r{len(done)} of {len(chosen)} worlds")
            sys.stderr.flush()

    campaign(config, chosen, min(asked.jobs, len(chosen)), told)
    sys.stderr.write("\n")
    told_of = summary(done)
    sys.stdout.write(json.dumps(told_of) + "\n" if asked.json else as_text(told_of))
    return ExitCode.CLEAN if not told_of["violations"] else ExitCode.FAILURES_FOUND


def summary(done: Sequence[StepOutcome]) -> dict[str, Any]:
    """What came of all of them, as JSON-able values."""
    worlds, struck = Counter(one.case.scenario for one in done), Counter(one.case.scenario for one in done if one.blows)
    rows = [{"scenario": name, "worlds": worlds[name], "struck": struck[name]} for name in worlds]
    found = [
        attrs.asdict(one.case)
        | {"what": [f"{each.name} at {each.at:.3f} s: {each.sentence}" for each in one.violations] or [one.crashed]}
        | {"blows": [f"{each.kind} at step {each.step} in {each.where}" for each in one.blows]}
        for one in done
        if not one.sound
    ]
    return {"worlds": len(done), "scenarios": rows, "violations": found}


def as_text(told: dict[str, Any]) -> str:
    lines = [f"{row['scenario']:16} {row['worlds']:6} worlds, {row['struck']:6} struck" for row in told["scenarios"]]
    for one in told["violations"]:
        lines.append(f"{one['scenario']}, {one['kind']}, step {one['step']}: {'; '.join(one['what'])}")
        lines.append(f"    {'; '.join(one['blows'])}")
    lines.append(f"{told['worlds']} worlds, {len(told['violations'])} with a violation")
    return "\n".join(lines) + "\n"
