"""Many storms and one judgement: what was met, what was judged, and whether a green means anything.

Seeds go to every core in any order; everything here adds up the same whatever that order was, and the hash of hashes
is taken in the order of the seeds. A part of the seeds is performed twice, the second time in new processes, whose hash
seeds are others: a history that depends on more than its seed is a violation like any other (S22).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import attrs

from maker.storms import workers
from maker.storms.outcome import Outcome, Violation
from maker.storms.record import Record
from maker.storms.requirements import RARE_FROM, VOID_RATIO_MAX, Needs
from maker.storms.schedule import Schedule
from maker.storms.workers import Failure

STORM_SECONDS_MAX: Final = 120.0  # of real time: a storm takes a fraction of one
TWICE_EVERY: Final = 100  # seeds: this one and the first are performed again

Performer = Callable[[Schedule], Outcome]


@attrs.frozen
class Performers:
    """How storms are performed, made in the process that performs them."""

    storm: Callable[[int], Outcome]  # of a seed
    again: Callable[[Schedule], tuple[Outcome, Record]] | None = None  # None: this kind keeps no record


Build = Callable[[], Performers]  # can be pickled


@attrs.frozen
class Requirement:
    """One thing a campaign must have met."""

    name: str
    sentence: str
    met: bool
    required: bool  # of a campaign of this size


@attrs.define
class Tally:
    """What is known so far. Storms that do not count add violations and time, but are no evidence."""

    needs: Needs
    size: int  # storms asked for
    done: int = 0
    void: Counter[str] = attrs.field(factory=Counter)  # by reason
    simulated_seconds: float = 0.0
    ladders: int = 0
    fills: int = 0
    bites: Counter[str] = attrs.field(factory=Counter)  # by class of faults
    bitten: Counter[str] = attrs.field(factory=Counter)  # storms in which it bit
    reached: Counter[str] = attrs.field(factory=Counter)  # storms, by mark
    checked: Counter[str] = attrs.field(factory=Counter)  # by invariant
    violated: dict[int, Outcome] = attrs.field(factory=dict)  # by seed
    failures: dict[int, Failure] = attrs.field(factory=dict)  # by seed: storms that came to nothing
    digests: dict[int, str] = attrs.field(factory=dict)  # by seed
    repeated: int = 0  # seeds performed twice
    seconds: float = 0.0  # of real time, repetitions not counted

    def add(self, seed: int, outcome: Outcome | Failure) -> None:
        self.done += 1
        if isinstance(outcome, Outcome) and outcome.crashed:
            last = outcome.crashed.strip().splitlines()[-1]
            outcome = Failure(f"crashed: {last}", outcome.crashed)
        if isinstance(outcome, Failure):
            self.failures[seed] = outcome
            return
        self.digests[seed] = outcome.digest
        self.simulated_seconds += outcome.simulated_seconds
        self.ladders += outcome.ladders
        self.fills += outcome.fills
        if outcome.violations:
            self.violated[seed] = outcome
        if outcome.void:
            self.void[outcome.void] += 1
            return
        self.bites.update(outcome.faults)
        self.bitten.update(name for name, times in outcome.faults.items() if times)
        self.reached.update(outcome.reached)
        self.checked.update(outcome.checked)

    def compare(self, seed: int, again: Outcome | Failure) -> None:
        """Take a seed's second performance."""
        if isinstance(again, Failure) or again.crashed:
            why = again.sentence if isinstance(again, Failure) else again.crashed
            self.failures[seed] = Failure(f"performed a second time: {why}")
            return
        self.repeated += 1
        self.checked["S22"] += 1
        if again.digest != self.digests[seed]:
            sentence = f"performed twice, two histories: {self.digests[seed]} and {again.digest}"
            before = self.violated.get(seed, again)
            different = Violation("S22", again.simulated_seconds, sentence)
            self.violated[seed] = attrs.evolve(before, violations=(*before.violations, different))

    @property
    def counted(self) -> int:
        return self.done - len(self.failures) - self.void.total()

    @property
    def hash_of_hashes(self) -> str:
        """Of every seed with its digest, in the order of the seeds."""
        lines = "".join(f"{seed} {digest}\n" for seed, digest in sorted(self.digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def violations(self) -> list[tuple[int, Violation]]:
        """Each with its seed, in the order of the seeds."""
        return [(seed, one) for seed, outcome in sorted(self.violated.items()) for one in outcome.violations]

    def requirements(self) -> list[Requirement]:
        """Judge what a green of this campaign would mean."""
        required = self.size >= self.needs.required_from
        demanded = dict.fromkeys(self.needs.rare, self.size >= RARE_FROM and required)
        void = self.void.total()
        done = max(1, self.done - len(self.failures))
        judged = [
            Requirement("something_counts", "at least one storm counts", self.counted > 0, not self.needs.alone),
            Requirement(
                "void", f"at most {VOID_RATIO_MAX:.0%} of the storms are void", void / done <= VOID_RATIO_MAX, required
            ),
        ]
        judged += [
            Requirement(f"fault_{name}", f"{row} {name} bit", self.bites[name] > 0, demanded.get(name, required))
            for name, row in self.needs.faults.items()
        ]
        judged += [
            Requirement(name, sentence, self.reached[name] > 0, demanded.get(name, required))
            for name, sentence in self.needs.marks.items()
        ]
        judged += [
            Requirement(f"judged_{name}", f"{name} had something to judge", self.checked[name] > 0, required)
            for name in self.needs.invariants
        ]
        return judged

    @property
    def unmet(self) -> list[Requirement]:
        return [one for one in self.requirements() if one.required and not one.met]

    @property
    def passed(self) -> bool:
        return self.done == self.size and not self.violated and not self.failures and not self.unmet


def run(
    build: Build,
    seeds: Sequence[int],
    needs: Needs,
    *,
    processes: int,
    clock: Callable[[], float],
    going_on: Callable[[Tally], bool],
    seconds_max: float = STORM_SECONDS_MAX,
) -> Tally:
    """Perform every seed, and some of them twice. `going_on` is asked again and again; its no ends the campaign.

    Raises workers.CannotWork.
    """
    tally = Tally(needs, len(seeds))
    began = clock()

    def more() -> bool:
        tally.seconds = clock() - began
        return going_on(tally)

    perform(build, seeds, processes=processes, seconds_max=seconds_max, done=tally.add, going_on=more)
    tally.seconds = clock() - began
    twice = [seed for seed in seeds[::TWICE_EVERY] if seed in tally.digests]
    if tally.done == tally.size:
        going = partial(going_on, tally)
        perform(build, twice, processes=processes, seconds_max=seconds_max, done=tally.compare, going_on=going)
    return tally


def perform(
    build: Build,
    seeds: Iterable[int],
    *,
    processes: int,
    seconds_max: float,
    done: Callable[[int, Outcome | Failure], None],
    going_on: Callable[[], bool],
) -> None:
    workers.perform_all(
        partial(storm_of, build), seeds, processes=processes, seconds_max=seconds_max, done=done, going_on=going_on
    )


def storm_of(build: Build) -> Callable[[int], Outcome]:
    return build().storm
