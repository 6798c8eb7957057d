"""The counterpart: as wide as the models that share it, the same whichever it is drawn from, and found in few runs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import attrs
import pytest

from maker.compare import counterpart
from maker.compare.counterpart import (
    CORRECTIONS_MAX,
    GROUP_RATIO_MAX,
    PROBE_SECONDS,
    SPREAD_TOLERANCE,
    Group,
    find_counterpart,
    grouped,
    needs_counterpart,
    unskewed,
)
from maker.compare.match import Match, play
from maker.compare.result import Result
from maker.compare.variants import UNSKEWED
from maker.desk.spread import Fixed
from tests.compare.scenes import MARKET, MODELS, a_pair, match, quoting

WHOLE = 2 * PROBE_SECONDS


def group_of(*half_spreads: float, seconds: int = WHOLE) -> Group:
    """The group of models that quote so wide; fails where it is not one."""
    ones = [match(name, seconds=seconds) for name in MODELS[: len(half_spreads)]]
    [group] = grouped([(one, quoting(one, wide)) for one, wide in zip(ones, half_spreads, strict=True)])
    return group


def ladder(asked: list[tuple[float, int]], quotes: Callable[[float, int], float]) -> Callable[[Match], Result]:
    """Play by a rule: what is quoted at this parameter over so many seconds. Notes what was asked."""

    def play_by_rule(one: Match) -> Result:
        model = one.config.markets[MARKET].spread_model
        assert isinstance(model, Fixed)
        assert one.model == UNSKEWED
        assert not model.skew_bps
        asked.append((float(model.half_spread_bps), one.seconds))
        return quoting(one, quotes(*asked[-1]))

    return play_by_rule


# -- whose it is


def test_it_quotes_as_wide_and_has_no_skew() -> None:
    """The real thing, of twenty minutes: shorter than a probe, which then is the whole run."""
    pair = a_pair()
    assert pair.fixed is not None
    assert pair.fixed.model == UNSKEWED
    assert pair.fixed.seconds == pair.model.seconds
    assert abs(pair.spread_ratio - 1) <= SPREAD_TOLERANCE
    assert pair.fixed.drawn == pair.model.drawn
    assert pair.fixed.digest != pair.model.digest
    assert 1 <= pair.runs <= 2 + CORRECTIONS_MAX


def test_it_is_the_same_whichever_model_it_is_drawn_from() -> None:
    """Nothing of the model is left in its configuration, and its history is the same to the last digit."""
    drawn = [unskewed(match(name), 2.5, 120) for name in MODELS]
    assert all(one == drawn[0] for one in drawn)
    assert len({play(one).digest for one in (drawn[0], drawn[-1])}) == 1
    assert play(unskewed(match(), 2.6, 120)).digest != play(drawn[0]).digest, "but not at another half-spread"


def test_only_who_is_skewed_and_quotes_needs_one() -> None:
    plain, skewed = match(skew_bps=Decimal(0)), match("glft")
    assert needs_counterpart(skewed, quoting(skewed, 2.5))
    assert not needs_counterpart(plain, quoting(plain, 2.5))
    assert not needs_counterpart(skewed, quoting(skewed, 0.0))
    assert grouped([(plain, quoting(plain, 2.5)), (skewed, quoting(skewed, 0.0))]) == []


# -- who shares one


@pytest.mark.parametrize(
    ("half_spreads", "expected"),
    [
        ([2.0, 2.02, 2.04, 2.06, 2.08], [[2.0, 2.02, 2.04, 2.06, 2.08]]),
        ([2.08, 3.0, 2.0, 3.15, 2.04], [[2.0, 2.04, 2.08], [3.0, 3.15]]),
        ([2.0, 2.1, 2.2, 2.3, 2.4], [[2.0, 2.1], [2.2, 2.3], [2.4]]),  # a chain is not one group
        ([2.0, 2.119, 2.0, 2.121, 9.0], [[2.0, 2.0, 2.119], [2.121], [9.0]]),
    ],
)
def test_models_that_quote_about_as_wide_are_grouped(half_spreads: list[float], expected: list[list[float]]) -> None:
    """From the narrowest on, whatever the order they were played in; everybody is in one group."""
    ones = [(match(name), wide) for name, wide in zip(MODELS, half_spreads, strict=True)]
    groups = grouped([(one, quoting(one, wide)) for one, wide in ones])
    assert [[wide for _, wide in group.wanted] for group in groups] == expected
    assert sorted(member for group in groups for member in group.wanted) == sorted(
        (one.model, wide) for one, wide in ones
    )


def test_seeds_are_not_mixed() -> None:
    """Two models on three seeds, all as wide: three groups of two."""
    ones = [match(name, seed=seed) for name in MODELS[:2] for seed in (2, 0, 1)]
    groups = grouped([(one, quoting(one, 2.5)) for one in ones])
    assert [(group.match.seed, group.models) for group in groups] == [(seed, MODELS[:2]) for seed in range(3)]


def test_the_middle_of_a_group_leaves_room_for_a_miss() -> None:
    """Of the widest group there can be, the middle is 2.9 % off either end, and may be missed by 2 % more."""
    widest = group_of(2.0, 2.0 * GROUP_RATIO_MAX)
    off = [widest.middle / wanted - 1 for _, wanted in widest.wanted]
    assert off[0] == pytest.approx(-off[1]) == pytest.approx(0.0291, abs=1e-4)
    for miss in (-0.02, 0.0, 0.02):
        assert widest.is_met(widest.middle * (1 + miss))
    for miss in (-0.023, 0.023):
        assert not widest.is_met(widest.middle * (1 + miss))
    assert group_of(2.0, 2.0).middle == 2.0


def test_all_of_a_group_must_be_met() -> None:
    """Within 5 % of the one, beyond it of the other: not met, either way round."""
    both = group_of(2.0, 2.05)
    assert both.is_met(1.95)
    assert both.is_met(2.09)
    assert not both.is_met(1.94), "within 5 % of 2 alone"
    assert not both.is_met(2.11), "within 5 % of 2.05 alone"


# -- how it is found


def test_a_probe_that_aims_well_is_followed_by_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder adds 1 bp: the middle of 4 and 4.1 is asked, then 1 less."""
    asked: list[tuple[float, int]] = []
    monkeypatch.setattr(counterpart, "play", ladder(asked, lambda parameter, _: parameter + 1.0))
    group = group_of(4.0, 4.1)
    found = find_counterpart(group)
    middle = round(group.middle, 4)
    assert middle == 4.0494
    assert asked == [(middle, PROBE_SECONDS), (round(middle - 1, 4), WHOLE)]
    assert (found.runs, found.seconds) == (2, PROBE_SECONDS + WHOLE)
    assert found.result.quotes.half_spread_bps == pytest.approx(group.middle, abs=1e-3)


def test_one_that_missed_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder adds 1 bp in the probe's time and 1.5 over the whole: 4 is asked, then 3, then 2.5, which makes 4."""
    asked: list[tuple[float, int]] = []
    rule = ladder(asked, lambda parameter, seconds: parameter + (1.0 if seconds == PROBE_SECONDS else 1.5))
    monkeypatch.setattr(counterpart, "play", rule)
    found = find_counterpart(group_of(4.0))
    assert asked == [(4.0, PROBE_SECONDS), (3.0, WHOLE), (2.5, WHOLE)]
    assert (found.runs, found.result.quotes.half_spread_bps) == (3, 4.0)


def test_one_that_missed_a_single_member_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.22 is within 5 % of 4.1 and not of 4: not good enough for both, and it would be for the one."""
    asked: list[tuple[float, int]] = []
    rule = ladder(asked, lambda parameter, seconds: parameter + (0.0 if seconds == PROBE_SECONDS else 0.17))
    monkeypatch.setattr(counterpart, "play", rule)
    assert find_counterpart(group_of(4.0, 4.1)).runs == 3
    assert find_counterpart(group_of(4.05)).runs == 2


def test_one_that_cannot_meet_the_spread_is_handed_over_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two corrections it is for the table to say that nothing was judged. No parameter is below nothing."""
    asked: list[tuple[float, int]] = []
    monkeypatch.setattr(counterpart, "play", ladder(asked, lambda _, __: 9.0))
    found = find_counterpart(group_of(4.0))
    assert found.result.quotes.half_spread_bps == 9.0
    assert found.runs == len(asked) == 2 + CORRECTIONS_MAX
    assert [seconds for _, seconds in asked] == [PROBE_SECONDS, *[WHOLE] * (1 + CORRECTIONS_MAX)]
    assert all(before > after or after == 0.0001 for (before, _), (after, _) in pairwise(asked))
    assert found.seconds == sum(seconds for _, seconds in asked)


def test_a_match_no_longer_than_a_probe_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be the probe is the whole run already: where it fits it is not played twice."""
    asked: list[tuple[float, int]] = []
    monkeypatch.setattr(counterpart, "play", ladder(asked, lambda parameter, _: parameter + 0.1))
    assert find_counterpart(group_of(4.0, seconds=60)).runs == 1
    assert asked == [(4.0, 60)]
    assert attrs.evolve(group_of(4.0), match=match(seconds=60)) == group_of(4.0, seconds=60)
