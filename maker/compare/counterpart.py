"""The counterpart of skewed models: a fixed one without skew at the same mean quoted half-spread.

All counterparts of a seed differ in one parameter, and the models of a configuration quote about as wide. So those of a
seed whose mean half-spreads lie within GROUP_RATIO_MAX of each other share one, aimed at the group's middle: over six
hours all five of the paper configuration do, over one hour all but one, while the calibration is still learning.

What a fixed model quotes differs from its parameter by what the ladder adds (rounding, the reference's own spread, the
least edge): a probe tells how much, and the counterpart runs at the parameter that should meet the middle. Where it
misses any member by more than SPREAD_TOLERANCE it runs again, corrected, CORRECTIONS_MAX times.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import attrs

from maker.compare.match import Match, play
from maker.compare.result import Result
from maker.compare.variants import HALF_SPREAD_DIGITS, UNSKEWED, fixed, skews

SPREAD_TOLERANCE: Final = 0.05  # of a model's mean quoted half-spread
GROUP_RATIO_MAX: Final = 1.06  # largest over smallest: the middle is 2.9 % off either, and an aim may miss it by 2 %
CORRECTIONS_MAX: Final = 2
PROBE_SECONDS: Final = 1800  # over these the mean was 0.6 % off that of half a day, over a quarter of an hour 1.4 %


@attrs.frozen
class Group:
    """Models of one seed that quote about as wide, and share a counterpart."""

    match: Match  # of one of them: the counterpart is the same whichever it is
    wanted: tuple[tuple[str, float], ...]  # mean quoted half-spread by model, basis points, the smallest first

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(model for model, _ in self.wanted)

    @property
    def ratio(self) -> float:
        """The largest half-spread over the smallest."""
        return self.wanted[-1][1] / self.wanted[0][1]

    @property
    def middle(self) -> float:
        """As far off the smallest as off the largest, each by its own measure: their harmonic mean."""
        smallest, largest = self.wanted[0][1], self.wanted[-1][1]
        return 2 * smallest * largest / (smallest + largest)

    def is_met(self, half_spread_bps: float) -> bool:
        """Whether who quotes so wide can be held against every one of them."""
        return all(abs(half_spread_bps / wanted - 1) <= SPREAD_TOLERANCE for _, wanted in self.wanted)


@attrs.frozen
class Counterpart:
    """What a group is held against."""

    result: Result
    runs: int  # it took to find its half-spread, the probe included
    seconds: int  # simulated, in all of them


def needs_counterpart(match: Match, result: Result) -> bool:
    """Whether a model skews, and quoted on both sides at a time."""
    return not result.quotes.silence and skews(match.config, match.spec)


def grouped(played: Iterable[tuple[Match, Result]]) -> list[Group]:
    """Share out those who need a counterpart, seed by seed, from the narrowest on; as few groups as can be."""
    needy = [(match, result.quotes.half_spread_bps) for match, result in played if needs_counterpart(match, result)]
    groups: list[Group] = []
    for match, half_spread_bps in sorted(needy, key=lambda one: (one[0].seed, one[1])):
        member = (match.model, half_spread_bps)
        last = groups[-1] if groups and groups[-1].match.seed == match.seed else None
        if last is not None and half_spread_bps / last.wanted[0][1] <= GROUP_RATIO_MAX:
            groups[-1] = attrs.evolve(last, wanted=(*last.wanted, member))
        else:
            groups.append(Group(match, (member,)))
    return groups


def unskewed(match: Match, half_spread_bps: float, seconds: int) -> Match:
    """A match of the counterpart with this parameter; of the model in it nothing is left."""
    config = fixed(match.config, match.spec.market_id, Decimal(half_spread_bps).quantize(HALF_SPREAD_DIGITS))
    return attrs.evolve(match, model=UNSKEWED, config=config, seconds=seconds)


def find_counterpart(group: Group) -> Counterpart:
    """Play a group's counterpart: a probe, then the whole until it meets them all. Raises Unexplained."""
    whole = group.match.seconds
    parameter, runs, seconds = group.middle, 0, 0
    while True:
        length = whole if runs else min(PROBE_SECONDS, whole)
        found = play(unskewed(group.match, parameter, length))
        runs += 1
        seconds += found.seconds
        half_spread_bps = found.quotes.half_spread_bps
        if runs == 2 + CORRECTIONS_MAX or (length == whole and group.is_met(half_spread_bps)):
            return Counterpart(found, runs, seconds)
        parameter = max(0.0, parameter + group.middle - half_spread_bps)
