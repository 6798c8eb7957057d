"""Every match in two waves over the cores: the models alone, then a counterpart for those that quote about as wide.

Who stops the first wave has all models of some seeds; who stops either has every model's result that is there, and is
told whose counterpart is missing. Of the second wave the widest groups go first: they are the likeliest to be run
again, and whoever runs long should not begin last.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import attrs

from maker.compare import table
from maker.compare.counterpart import Counterpart, Group, find_counterpart, grouped, needs_counterpart
from maker.compare.match import Match, play
from maker.compare.result import Pair, Result
from maker.compare.variants import skews
from maker.storms.progress import BAR_CHARACTERS, Progress, duration
from maker.storms.workers import CannotWork, Failure, perform_all

SECONDS_A_DAY_MAX: Final = 3_000.0  # of real time, for a probe and its runs: thirty times what two of them take
SECONDS_MIN: Final = 300.0

Key: TypeAlias = tuple[str, int]  # a model's name and the seed


@attrs.define
class Played:
    """What has been played so far."""

    matches: Sequence[Match]
    results: dict[Key, Result] = attrs.field(factory=dict)
    groups: Sequence[Group] | None = None  # None: the first wave is not over
    counterparts: dict[Key, Counterpart] = attrs.field(factory=dict)  # by each model that shares it
    failures: list[tuple[Match | Group, Failure]] = attrs.field(factory=list)
    ended: list[Group] = attrs.field(factory=list)  # whether or not it came to something
    skewed: dict[str, bool] = attrs.field(factory=dict)  # models that were asked
    simulated_seconds: int = 0  # every run once, probes and corrections included
    seconds: float = 0.0  # of real time

    def alone(self, match: Match, outcome: Result | Failure) -> None:
        """Book a job of the first wave."""
        if isinstance(outcome, Failure):
            self.failures.append((match, outcome))
            return
        self.results[match.model, match.seed] = outcome
        self.simulated_seconds += outcome.seconds

    def shared(self, group: Group, outcome: Counterpart | Failure) -> None:
        """Book a job of the second."""
        self.ended.append(group)
        if isinstance(outcome, Failure):
            self.failures.append((group, outcome))
            return
        self.counterparts.update({(model, group.match.seed): outcome for model in group.models})
        self.simulated_seconds += outcome.seconds

    @property
    def playable(self) -> list[tuple[Match, Result]]:
        """Every match that came to something, in the order given."""
        keys = {(match.model, match.seed): match for match in self.matches}
        return [(match, self.results[key]) for key, match in keys.items() if key in self.results]

    @property
    def pairs(self) -> list[Pair]:
        """Every model's result that is there, with its counterpart where that is there too."""
        return [self.pair(match, result) for match, result in self.playable]

    def pair(self, match: Match, result: Result) -> Pair:
        found = self.counterparts.get((match.model, match.seed))
        if found is None:
            return Pair(result, None, 0, missing=needs_counterpart(match, result))
        return Pair(result, found.result, found.runs)

    @property
    def hours(self) -> float:
        """Simulated."""
        return self.simulated_seconds / 3600

    @property
    def pace(self) -> float:
        """Simulated hours a minute."""
        return 60 * self.hours / self.seconds if self.seconds else 0.0

    @property
    def counterpart_count(self) -> int:
        """Of the second wave's jobs; while the first is under way, one a seed that has a skewed model."""
        if self.groups is not None:
            return len(self.groups)
        return len({match.seed for match in self.matches if self.skews(match)})

    def skews(self, match: Match) -> bool:
        """Whether a match's model does, asked once: a model is the same on every seed."""
        if match.model not in self.skewed:
            self.skewed[match.model] = skews(match.config, match.spec)
        return self.skewed[match.model]

    def line(self) -> str:
        """How far it is, in at most a hundred characters."""
        alone = len(self.results) + sum(isinstance(job, Match) for job, _ in self.failures)
        done, size = alone + len(self.ended), len(self.matches) + self.counterpart_count
        bar = "#" * int(done / size * BAR_CHARACTERS)
        left = duration((size - done) * self.seconds / done if done else float("nan"))
        failed = f", {len(self.failures)} FAILED" if self.failures else ""
        counts = f"{alone}/{len(self.matches)} models, {len(self.ended)}/{self.counterpart_count} fixed"
        return f"[{bar:{BAR_CHARACTERS}}] {counts}  {self.pace:.0f} simulated h/min{failed}  {left} left"


def play_all(matches: Sequence[Match], processes: int, going_on: Callable[[], bool]) -> Played:
    """Play every match on so many processes. Raises CannotWork where nothing could be played."""
    played, progress, began = Played(matches), Progress(sys.stderr), time.monotonic()
    shown_at = -progress.interval_seconds

    def still() -> bool:
        nonlocal shown_at
        played.seconds = time.monotonic() - began
        if played.seconds - shown_at >= progress.interval_seconds:
            shown_at = played.seconds
            progress.put(played.line())
        return going_on()

    seconds_max = max(SECONDS_MIN, matches[0].seconds / 86_400 * SECONDS_A_DAY_MAX)
    perform_all(player, matches, processes=processes, seconds_max=seconds_max, done=played.alone, going_on=still)
    played.groups = groups = sorted(grouped(played.playable), key=lambda group: -group.ratio)
    try:
        perform_all(finder, groups, processes=processes, seconds_max=seconds_max, done=played.shared, going_on=still)
    except CannotWork as cannot:  # the models have been played: they are shown
        for group in groups:
            if group not in played.ended:
                played.shared(group, Failure(str(cannot), cannot.detail))
    played.seconds = time.monotonic() - began
    progress.put(played.line())
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return played


def player() -> Callable[[Match], Result]:
    """What a worker of the first wave does."""
    return play


def finder() -> Callable[[Group], Counterpart]:
    """What a worker of the second does."""
    return find_counterpart


def problems(played: Played) -> list[str]:
    """What keeps the comparison from being sound, sentence by sentence."""
    found = []
    pairs = played.pairs
    failed: set[Key] = set()
    for job, failure in played.failures:
        if isinstance(job, Match):
            found.append(f"{job.model} on seed {job.seed}: {failure.sentence}")
        else:
            found.append(f"the counterpart of {', '.join(job.models)} on seed {job.match.seed}: {failure.sentence}")
            failed.update((model, job.match.seed) for model in job.models)
    missing = len(played.matches) - len(pairs) - sum(isinstance(job, Match) for job, _ in played.failures)
    if missing:
        found.append(f"stopped before the end: {missing} of {len(played.matches)} matches were not played")
    unheld = [pair for pair in pairs if pair.missing and (pair.model.model, pair.model.seed) not in failed]
    if unheld:
        found.append(f"stopped before the end: no counterpart was played for {named(unheld)}")
    drawn: dict[int, set[str]] = {}
    for pair in pairs:
        drawn.setdefault(pair.model.seed, set()).update(
            one.drawn for one in (pair.model, pair.fixed) if one is not None
        )
    unequal = [seed for seed, prints in drawn.items() if len(prints) > 1]
    if unequal:
        found.append(f"the models of seeds {unequal} did not meet the same market")
    silent = {silence: [pair for pair in pairs if pair.model.quotes.silence == silence] for silence in table.SILENCES}
    found += [f"{silence}: {named(its)}" for silence, its in silent.items() if its]
    unmatched = [pair for pair in pairs if pair.fixed is not None and not table.is_matched(pair)]
    if unmatched:
        found.append(f"no fixed half-spread met that of {named(unmatched)}")
    return found


def named(pairs: Sequence[Pair]) -> str:
    return ", ".join(f"{pair.model.model} on seed {pair.model.seed}" for pair in pairs)
