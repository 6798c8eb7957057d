"""A violation, ready to be looked at: its seed, a smaller storm that breaks the same, and how it came to it.

Shrinking performs a storm many times, so it is a worker's job like any other, and only for some of what was found: each
invariant's first, and a few more. What is not shrunk is written down as it was drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from maker.storms import workers
from maker.storms.campaign import STORM_SECONDS_MAX, Build, Performers
from maker.storms.outcome import Outcome, Violation
from maker.storms.schedule import Schedule, as_fields
from maker.storms.shrink import TRIES_MAX, shrink
from maker.storms.trace import trace
from maker.storms.workers import Failure

SHRUNK_MAX: Final = 8  # seeds: somebody will look at the first two
SECONDS_MAX: Final = 300.0  # of real time for one: all tries, a slow storm's two seconds each
REPEATED: Final = "S22"  # judged by comparison, not by one storm


@attrs.frozen
class Finding:
    """What a storm broke, and the smallest storm known that breaks it."""

    seed: int
    violation: Violation
    schedule: Schedule
    trace: str = ""
    note: str = ""  # how far it was shrunk, or why not


def explain(build: Build, drawn: Mapping[int, Outcome], processes: int, going_on: Callable[[], bool]) -> list[Finding]:
    """Shrink and trace the most telling of these, by seed, and return all. Raises workers.CannotWork."""
    found = {seed: Finding(seed, first(outcome), outcome.schedule) for seed, outcome in sorted(drawn.items())}
    chosen = telling(found)

    def done(seed: int, finding: Finding | Failure) -> None:
        if isinstance(finding, Failure):
            finding = attrs.evolve(found[seed], note=f"not shrunk: {finding.sentence}")
        found[seed] = finding

    workers.perform_all(
        partial(explaining, build, {seed: drawn[seed] for seed in chosen}),
        chosen,
        processes=processes,
        seconds_max=SECONDS_MAX,
        done=done,
        going_on=going_on,
    )
    return list(found.values())


def first(outcome: Outcome) -> Violation:
    """The violation that a storm is known for: its first, but for the one that no single storm shows."""
    return min(outcome.violations, key=lambda one: (one.name == REPEATED, one.at))


def telling(found: dict[int, Finding]) -> list[int]:
    """The seeds that are worth shrinking: first of each invariant, then others."""
    firsts = {finding.violation.name: seed for seed, finding in reversed(found.items())}
    ordered = sorted(found, key=lambda seed: (firsts[found[seed].violation.name] != seed, seed))
    return ordered[:SHRUNK_MAX]


def explaining(build: Build, drawn: Mapping[int, Outcome]) -> Callable[[int], Finding]:
    """How a worker explains the seeds it is given."""
    performers = build()
    return lambda seed: explained(performers, seed, drawn[seed])


def explained(performers: Performers, seed: int, outcome: Outcome) -> Finding:
    """Shrink a storm, and trace what is left of it."""
    violation, again = first(outcome), performers.again
    if again is None:
        return Finding(seed, violation, outcome.schedule, note="not shrunk: this kind keeps no record")
    if violation.name == REPEATED:
        return Finding(seed, violation, outcome.schedule, trace(again(outcome.schedule)[1], violation), "not shrunk")
    small = shrink(outcome, violation.name, lambda schedule: again(schedule)[0])
    _outcome, record = again(small.schedule)
    counts = f"{len(outcome.schedule.faults)} faults drawn, {len(small.schedule.faults)} left after {small.tries} tries"
    ended = "" if small.tries < TRIES_MAX else ", the most there are"
    return Finding(seed, small.violation, small.schedule, trace(record, small.violation), counts + ended)


def tell(build: Build, job: int | Schedule, going_on: Callable[[], bool]) -> tuple[Outcome, str] | Failure:
    """Perform one storm, of a seed or as it is given, in a worker; return its outcome and trace."""
    told: list[tuple[Outcome, str] | Failure] = []
    workers.perform_all(
        partial(telling_of, build),
        [job],
        processes=1,
        seconds_max=2 * STORM_SECONDS_MAX,
        done=lambda _job, answer: told.append(answer),
        going_on=going_on,
    )
    return told[0] if told else Failure("stopped before its end")


def telling_of(build: Build) -> Callable[[int | Schedule], tuple[Outcome, str]]:
    performers = build()

    def perform(job: int | Schedule) -> tuple[Outcome, str]:
        if performers.again is None:
            assert isinstance(job, int)
            return performers.storm(job), "this kind keeps no record"
        schedule = performers.storm(job).schedule if isinstance(job, int) else job
        outcome, record = performers.again(schedule)
        return outcome, trace(record, first(outcome) if outcome.violations else None)

    return perform


# -- on paper -----------------------------------------------------------------------------------------------------


def as_json(schedule: Schedule) -> str:
    """A schedule as `--schedule FILE` reads it."""
    return json.dumps(as_fields(schedule))


def page(finding: Finding, how: str) -> str:
    """All that is known, for people."""
    one = finding.violation
    parts = [f"seed {finding.seed}: {one.name} at {one.at:.3f} s: {one.sentence}", f"again: {how}", finding.note]
    parts += [f"schedule: {as_json(finding.schedule)}", finding.trace]
    return "\n".join(part for part in parts if part) + "\n"


def write(path: Path, finding: Finding, how: str) -> None:
    """Write the page, and the schedule beside it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(finding, how), encoding="utf-8")
    path.with_suffix(".json").write_text(as_json(finding.schedule) + "\n", encoding="utf-8")
