"""What is drawn: the same law as the practice exchange's, and nothing that a quote could change."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from itertools import islice, pairwise, takewhile

import pytest

from maker.compare.history import AHEAD_SECONDS, MORE_SECONDS, Arrival, arrivals, draw_path
from maker.paper.prices import BASIS_BPS_MAX, PATH_PRESETS
from maker.paper.traders import CROWD_PRESETS, TAKE_NOTIONAL_MAX

START = Decimal(60_000)
HOURS = 3600  # seconds


def within(preset: str, seconds: int, informed: float | None = None) -> list[Arrival]:
    return list(takewhile(lambda one: one.at_ms < seconds * 1000, arrivals("BTC-PERP", preset, 1, informed)))


@pytest.mark.parametrize("preset", sorted(PATH_PRESETS))
def test_a_minute_has_the_presets_volatility(preset: str) -> None:
    """One-minute log returns over eight paths of a day: within a fifth of the practice exchange's figure."""
    squares = []
    for seed in range(8):
        prices = draw_path("BTC-PERP", START, preset, seed, 24 * HOURS).reference
        squares += [math.log(after / before) ** 2 for before, after in zip(prices, prices[60:], strict=False)][::60]
    found = math.sqrt(sum(squares) / len(squares)) * 10_000
    assert found == pytest.approx(PATH_PRESETS[preset].volatility_bps, rel=0.2)


def test_the_index_stays_within_its_basis() -> None:
    path = draw_path("BTC-PERP", START, "busy", 3, 24 * HOURS)
    apart = [abs(index / price - 1) * 10_000 for index, price in zip(path.index, path.reference, strict=True)]
    assert max(apart) <= BASIS_BPS_MAX + 0.01
    assert max(apart) > 1.0
    assert set(path.regime) == {0, 1, 2}


def test_a_path_is_the_beginning_of_a_longer_one_and_sees_past_its_end() -> None:
    """A probe of an hour meets the same hour as the whole run; what takers and markouts look ahead for is there."""
    short, long = (draw_path("BTC-PERP", START, "normal", 5, seconds) for seconds in (600, 1200))
    assert long.reference[: len(short.reference)] == short.reference
    assert long.index[: len(short.index)] == short.index
    assert len(short.reference) == 600 + MORE_SECONDS + 1
    assert MORE_SECONDS >= AHEAD_SECONDS == 2


def test_seeds_and_presets_are_histories_of_their_own() -> None:
    paths = {draw_path("BTC-PERP", START, preset, seed, 60).reference for preset in PATH_PRESETS for seed in range(3)}
    assert len(paths) == 9
    assert within("busy", 60) == within("busy", 60)
    first = {tuple(islice(arrivals("BTC-PERP", "busy", seed), 20)) for seed in range(5)}
    assert len(first) == 5


@pytest.mark.parametrize("preset", sorted(CROWD_PRESETS))
def test_takers_come_as_often_as_measured(preset: str) -> None:
    """Rate, share of noise, reach A exp(-k delta), sides and informed looks, over ten hours."""
    numbers = CROWD_PRESETS[preset]
    hours = 10
    found = within(preset, hours * HOURS)
    kinds = Counter(one.kind for one in found)
    market_orders = kinds["noise"] + kinds["touch"]
    assert market_orders / (hours * 60) == pytest.approx(numbers.market_orders_per_minute, rel=0.06)
    assert kinds["noise"] / market_orders == pytest.approx(numbers.noise_share, rel=0.06)
    assert kinds["informed"] / (hours * HOURS) == pytest.approx(2 * numbers.informed_per_second, rel=0.05)
    reach = [one.reach * 10_000 for one in found if one.kind == "noise"]
    assert sum(reach) / len(reach) == pytest.approx(1 / numbers.decay_per_bp, rel=0.06)
    assert sum(one.buys for one in found) / len(found) == pytest.approx(0.5, abs=0.02)
    assert max(one.notional for one in found) <= TAKE_NOTIONAL_MAX
    assert [one.at_ms for one in found] == sorted(one.at_ms for one in found)


def test_gaps_between_market_orders_cluster() -> None:
    """Standard deviation over mean is 2.5, as measured; a Poisson process would have 1."""
    times = [one.at_ms for one in within("normal", 20 * HOURS) if one.kind != "informed"]
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation / mean == pytest.approx(2.5, rel=0.1)


def test_without_informed_takers_the_others_are_the_same() -> None:
    with_them, without = within("busy", 600), within("busy", 600, informed=0.0)
    assert without == [one for one in with_them if one.kind != "informed"]
    assert len(without) < len(with_them)
