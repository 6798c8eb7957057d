"""A and k from our own fills: found when they are there, held to the prior when not, bounded and never NaN."""

from __future__ import annotations

import math
import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.intensity import (
    DECAY_FACTOR_MAX,
    DISTANCE_BPS_MAX,
    RATE_FACTOR_MAX,
    Intensity,
    IntensitySettings,
    Statistics,
    best_rate,
    decay_per_quote,
)
from maker.desk.units import Side

from .scripted import thorough
from .situations import magnitudes

SETTINGS = IntensitySettings(fill_rate_per_second=0.08, fill_decay_per_bp=1.0)
LEVELS_BPS = (0.5, 1.0, 2.0, 3.5, 5.0)


def observed(settings: IntensitySettings, rate: float, decay: float, seconds: float, seed: int = 1) -> Intensity:
    """Let a market with this A and k hit quotes at all levels, both sides, a second at a time."""
    chance, seen = random.Random(seed), Intensity(settings)
    for _ in range(int(seconds)):
        for side in Side:
            for level in LEVELS_BPS:
                distance = level + chance.uniform(-0.3, 0.3)  # fair value moves under a resting quote
                seen.rested(side, distance, 1.0)
                if chance.random() < rate * math.exp(-decay * distance):
                    seen.filled(side, distance)
    return seen


def test_without_evidence_the_configured_values_stand() -> None:
    nothing = Intensity(SETTINGS).statistics()
    assert nothing.fill_rate_per_second == pytest.approx(0.08, rel=1e-9)
    assert nothing.fill_decay_per_bp == pytest.approx(1.0, rel=1e-8)
    assert attrs.astuple(nothing)[2:] == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(("rate", "decay"), [(0.08, 1.0), (0.353, 0.85), (0.049, 2.29), (0.26, 0.4), (0.31, 1.72)])
def test_a_market_is_found_whatever_was_configured(rate: float, decay: float) -> None:
    """The recordings' markets (A per second, k per bp), from a start that is wrong by half an order of magnitude."""
    settings = IntensitySettings(rate * 3, decay / 2, fill_prior_count=10, fill_memory_count=4000)
    found = observed(settings, rate, decay, seconds=20_000).statistics()
    fills = found.fills_bought + found.fills_sold
    assert fills > 300
    # Three standard errors: of A about 2 / sqrt(n), as its own and that of k times a mean distance; of k 1.5 / sqrt(n).
    assert found.fill_rate_per_second == pytest.approx(rate, rel=6 / math.sqrt(fills) + 0.02)
    assert found.fill_decay_per_bp == pytest.approx(decay, rel=4.5 / math.sqrt(fills) + 0.02)
    assert found.prior_ratio == pytest.approx(10 / (10 + fills))


def test_the_likelihood_is_greatest_there() -> None:
    """The definition itself: no A or k beside the estimate explains prior and fills better."""
    seen = observed(SETTINGS, 0.2, 0.7, seconds=1000)
    found = seen.statistics()

    def likelihood(rate: float, decay: float) -> float:
        total = 0.0
        fills = sum(seen.fills.values())
        total += fills * math.log(rate) - decay * seen.fills_bps
        for bucket, seconds in seen.seconds.items():
            total -= rate * seconds * math.exp(-decay * seen.seconds_bps[bucket] / seconds)
        total -= 30 / 2 * (math.log(rate / 0.08) ** 2 + (decay / 1.0 - 1) ** 2)
        return total

    best = likelihood(found.fill_rate_per_second, found.fill_decay_per_bp)
    for more, steeper in ((1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99), (1.01, 1.01), (0.99, 0.99)):
        assert likelihood(found.fill_rate_per_second * more, found.fill_decay_per_bp * steeper) < best


@given(st.floats(0, 1e4), st.floats(0, 1e7), st.sampled_from([0.5, 30.0, 1e4]))
def test_the_best_rate_is_where_fills_and_exposure_agree(fills: float, seconds: float, prior_count: float) -> None:
    """Fills less those expected, less the pull of the prior, is nothing to the last digits; or A is at its bound."""
    settings = attrs.evolve(SETTINGS, fill_prior_count=prior_count, fill_memory_count=1e5)
    rate, prior = best_rate(settings, fills, seconds), settings.fill_rate_per_second
    left = fills - rate * seconds - prior_count * math.log(rate / prior)
    if rate >= prior * RATE_FACTOR_MAX * (1 - 1e-9):
        assert left >= -1e-6
    elif rate <= prior / RATE_FACTOR_MAX * (1 + 1e-9):
        assert left <= 1e-6
    else:
        assert abs(left) <= 1e-9 * (fills + rate * seconds + 10 * prior_count)


def test_the_prior_fades() -> None:
    """A wrong prior counts whole at first, ever less, and hardly in the end: evidence as A = 0.2, k = 1 deals it."""
    wrong = IntensitySettings(0.02, 3.0, fill_memory_count=1e9)
    off: list[float] = []
    weights: list[float] = []
    for hits in (0, 3, 10, 100, 1000):
        seen = Intensity(wrong)
        for level in LEVELS_BPS:
            seen.rested(Side.BUY, level, hits / 0.2 * math.exp(level))
            for _ in range(hits):
                seen.filled(Side.BUY, level)
        found = seen.statistics()
        off.append(abs(found.fill_decay_per_bp - 1) + abs(found.fill_rate_per_second / 0.2 - 1))
        weights.append(found.prior_ratio)
    assert weights == pytest.approx([1, 30 / 45, 30 / 80, 30 / 530, 30 / 5030])
    assert off == sorted(off, reverse=True)
    assert off[0] == pytest.approx(2.9)
    assert off[-1] == pytest.approx(0.053, abs=0.005)  # information of 5000 such fills against the prior's pull


def test_silence_is_evidence_too() -> None:
    """Quotes that rest for hours without a hit: A falls, and nothing divides by no fills."""
    seen = Intensity(SETTINGS)
    for hours in (1, 2, 8):
        before = seen.statistics().fill_rate_per_second
        seen.rested(Side.BUY, 1.0, hours * 3600.0)
        assert seen.statistics().fill_rate_per_second < before
    assert seen.statistics().fill_rate_per_second >= 0.08 / RATE_FACTOR_MAX


def test_what_was_long_ago_is_forgotten() -> None:
    """A market that trebles: after as many fills as are remembered the estimate is the new one's."""
    settings = attrs.evolve(SETTINGS, fill_prior_count=10.0, fill_memory_count=1000.0)
    seen = observed(settings, 0.08, 1.0, seconds=8000)
    chance = random.Random(2)
    for _ in range(6000):
        for side in Side:
            for level in LEVELS_BPS:
                seen.rested(side, level, 1.0)
                if chance.random() < 0.24 * math.exp(-level):
                    seen.filled(side, level)
    found = seen.statistics()
    assert found.fill_rate_per_second == pytest.approx(0.24, rel=0.3)
    assert found.fills_bought + found.fills_sold < 1000


def test_sides_are_counted_apart() -> None:
    seen = Intensity(SETTINGS)
    for _ in range(3):
        seen.filled(Side.BUY, 1.0)
    seen.filled(Side.SELL, 2.0)
    assert (seen.statistics().fills_bought, seen.statistics().fills_sold) == (3.0, 1.0)


@pytest.mark.parametrize("distance", [-0.01, -5.0, DISTANCE_BPS_MAX, 1e9, math.nan, math.inf])
def test_what_is_not_meant_is_ignored(distance: float) -> None:
    """Through fair value, or so far out that it says nothing: neither exposure nor fills. NaN is no distance."""
    seen = Intensity(SETTINGS)
    seen.rested(Side.BUY, distance, 100.0)
    seen.filled(Side.BUY, distance)
    seen.rested(Side.BUY, 1.0, 0.0)
    seen.rested(Side.BUY, 1.0, -3.0)
    assert seen.statistics() == Intensity(SETTINGS).statistics()


@given(
    settings=st.builds(IntensitySettings, magnitudes(-5, 2), magnitudes(-2, 1), magnitudes(-1, 2), st.just(100.0)),
    happenings=st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.booleans(),
            st.floats(-1, 60, allow_nan=False),
            st.one_of(magnitudes(-6, 7), st.just(0.0)),
        ),
        max_size=60,
    ),
)
@thorough
def test_estimates_are_bounded_and_never_nan(
    settings: IntensitySettings, happenings: list[tuple[Side, bool, float, float]]
) -> None:
    """Fills without exposure, exposure without fills, all at one distance, beyond belief: a usable A and k."""
    seen = Intensity(settings)
    for side, hit, distance, seconds in happenings:
        if hit:
            seen.filled(side, distance)
        else:
            seen.rested(side, distance, seconds)
        found = seen.statistics()
        rate, decay = settings.fill_rate_per_second, settings.fill_decay_per_bp
        assert rate / RATE_FACTOR_MAX <= found.fill_rate_per_second <= rate * RATE_FACTOR_MAX
        assert decay / DECAY_FACTOR_MAX * (1 - 1e-9) <= found.fill_decay_per_bp
        assert found.fill_decay_per_bp <= decay * DECAY_FACTOR_MAX * (1 + 1e-9)
        assert 0 < found.prior_ratio <= 1
        assert found.fills_bought + found.fills_sold < settings.fill_memory_count


def test_an_estimate_stands_until_there_is_more_to_it() -> None:
    """It is asked for at every decision; a moment's rest is no news, a hundredth more exposure or a fill is."""
    seen = observed(SETTINGS, 0.08, 1.0, seconds=500)
    found = seen.statistics()
    seen.rested(Side.BUY, 1.0, 1.0)
    assert seen.statistics() is found
    seen.rested(Side.BUY, 1.0, found.seconds * 0.011)
    later = seen.statistics()
    assert later is not found
    seen.filled(Side.SELL, 1.0)
    assert seen.statistics().fills_sold == later.fills_sold + 1


def test_k_per_quote_currency() -> None:
    """At 60,000 a basis point is 6: k of 1 per bp is a sixth per dollar."""
    assert decay_per_quote(1.0, 60_000.0) == pytest.approx(1 / 6)
    assert Statistics(0.08, 2.0, 0, 0, 0, 1).fill_decay(60_000.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("fill_rate_per_second", 0.0), ("fill_decay_per_bp", -1.0), ("fill_prior_count", 0.0), ("fill_memory_count", 29.0),
     ("fill_memory_count", math.nan)],
)  # fmt: skip
def test_a_wrong_parameter_is_named_with_its_fix(name: str, value: float) -> None:
    good: dict[str, Any] = {"fill_rate_per_second": 0.08, "fill_decay_per_bp": 1.0}
    with pytest.raises(ValueError, match=rf"^{name}: is .*(Try|Raise) "):
        IntensitySettings(**good | {name: value})
