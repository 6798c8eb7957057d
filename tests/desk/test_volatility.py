"""Volatility: what it finds in a walk, that one jump does not move it, and that it is never zero."""

from __future__ import annotations

import math
import random
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.volatility import JUMP_SIGMAS, Volatility, VolatilitySettings

from .scripted import START, dec, quick

SETTINGS = VolatilitySettings(
    volatility_grid_seconds=1.0,
    volatility_half_life_seconds=120.0,
    volatility_samples_min=30,
    volatility_bps_min=dec("0.1"),
)
PRICE = 10**12
HOUR = 3600.0  # unix seconds: the end of the candles below


def walked(seconds: int, sigma: float, *, seed: int = 1, step: float = 1.0) -> tuple[Volatility, int, float]:
    """An estimator that has seen a walk of this standard deviation a second; the last price, and when."""
    rng, volatility, price, now = random.Random(seed), Volatility(SETTINGS), float(PRICE), START
    for _ in range(round(seconds / step)):
        now += step
        price *= math.exp(rng.gauss(0.0, sigma * math.sqrt(step)))
        volatility.sample(round(price), now)
    return volatility, round(price), now


@pytest.mark.parametrize("sigma", [1e-5, 7e-5, 1e-3])
@pytest.mark.parametrize("step", [0.1, 1.0, 2.5])
def test_it_finds_the_volatility_of_a_walk(sigma: float, step: float) -> None:
    """Whatever the pace at which prices come: returns are taken on the grid, over the time that passed."""
    volatility, _, _ = walked(3600, sigma, step=step)
    assert volatility.sigma == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("jump", [1.001, 1.05, 0.5, 3.0])
def test_one_jump_of_any_size_hardly_moves_it(jump: float) -> None:
    """The bound: one sample of JUMP_SIGMAS² variances at the weight of one grid step."""
    volatility, price, now = walked(1800, 7e-5)
    before = volatility.sigma
    volatility.sample(round(price * jump), now + 1)
    weight = 1 - 0.5 ** (1 / SETTINGS.volatility_half_life_seconds)
    assert before < volatility.sigma <= before * math.sqrt(1 + JUMP_SIGMAS**2 * weight)
    assert volatility.sigma < 1.05 * before


def test_a_market_that_has_become_restless_is_followed() -> None:
    """Ten times the volatility: more than half of it after two minutes."""
    volatility, price, now = walked(1800, 2e-5)
    rng = random.Random(2)
    for second in range(120):
        price = round(price * math.exp(rng.gauss(0.0, 2e-4)))
        volatility.sample(price, now + 1 + second)
    assert volatility.sigma > 1e-4


def test_it_is_silent_until_it_has_seen_enough_and_wild_beginnings_do_not_count() -> None:
    """The median of the first returns: two of thirty that are jumps leave it as it is."""
    rng, price = random.Random(3), float(PRICE)
    volatility = Volatility(SETTINGS)
    for second in range(30):
        price *= math.exp(rng.gauss(0.0, 7e-5)) * (1.01 if second in (5, 20) else 1)
        volatility.sample(round(price), START + second)
        assert f"{second} of 30" in volatility.waiting
    volatility.sample(round(price), START + 30)
    assert not volatility.waiting
    assert 3e-5 < volatility.sigma < 1.5e-4


def test_more_often_than_the_grid_changes_nothing() -> None:
    seldom, often = Volatility(SETTINGS), Volatility(SETTINGS)
    for second in range(200):
        price = PRICE + (second * 7919) % 1000 * 10**6
        seldom.sample(price, START + second)
        for part in (0.0, 0.3, 0.6):
            often.sample(price if part == 0.0 else price * 2, START + second + part)
    assert seldom.variance == often.variance


def test_across_a_gap_there_is_no_return() -> None:
    """The feed was away for a minute and the price is another: that is no volatility."""
    volatility, price, now = walked(600, 7e-5)
    before = volatility.variance
    volatility.sample(price * 2, now + 60)
    assert volatility.variance == before
    volatility.sample(price * 2 + 1, now + 61)
    assert volatility.variance is not None
    assert before is not None
    assert volatility.variance < before, "from there on it goes on"


def test_a_dead_market_is_at_the_floor() -> None:
    """hummingbot #5771: a bot that divides by no volatility is stuck. 0.1 bp a minute here."""
    volatility = Volatility(SETTINGS)
    for second in range(40):
        volatility.sample(PRICE, START + second)
    assert volatility.sigma * math.sqrt(60) * 10_000 == pytest.approx(0.1)


def moves_of_ten_bp(every: int, seconds: int, volatility: Volatility, *, seed: int = 5) -> float:
    """A price that stands still but for moves of 10 bp either way, at random seconds; returns how volatile it is."""
    rng, price = random.Random(seed), float(PRICE)
    for second in range(seconds):
        if rng.random() < 1 / every:
            price *= math.exp(rng.choice((-1e-3, 1e-3)))
        volatility.sample(round(price), START + second)
    return 1e-3 / math.sqrt(every)


@pytest.mark.parametrize("every", [2, 5, 18, 30, 60])
def test_a_thin_market_is_as_volatile_as_its_rare_moves_make_it(every: int) -> None:
    """With a return a grid step, fifteen of sixteen of them nothing, it would decay to the floor whatever the truth."""
    volatility = Volatility(SETTINGS)
    volatility.variance = (1e-3) ** 2 / every
    sigma = moves_of_ten_bp(every, 7_200, volatility)
    assert 0.5 * sigma < volatility.sigma < 1.6 * sigma


def test_a_thin_market_begins_with_what_its_moves_say() -> None:
    """No candles: the median is of returns, not of the steps between them, most of which are nothing."""
    for seed in range(20):
        volatility = Volatility(SETTINGS)
        sigma = moves_of_ten_bp(3, 31, volatility, seed=seed)
        assert not volatility.waiting
        assert 0.5 * sigma < volatility.sigma < 3 * sigma


def test_one_jump_in_a_dead_beginning_is_no_volatility() -> None:
    volatility = Volatility(SETTINGS)
    for second in range(31):
        volatility.sample(PRICE if second < 17 else PRICE * 2, START + second)
    assert volatility.variance == volatility.floor


def test_candles_of_a_thin_market_warm_it_up() -> None:
    """Three of four minutes close where the one before did."""
    volatility = Volatility(SETTINGS)
    closes = [(60.0 * minute, dec("50000") + 50 * (minute // 4 % 2)) for minute in range(60)]
    assert volatility.warm_up(closes, HOUR)
    assert volatility.sigma * math.sqrt(240) == pytest.approx(1e-3 / math.sqrt(0.4549), rel=0.01)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(-2, 2)), max_size=80))
@quick
def test_it_is_always_a_number_above_nothing(moves: list[tuple[float, float]]) -> None:
    volatility, price, now = Volatility(attrs.evolve(SETTINGS, volatility_samples_min=3)), float(PRICE), START
    for elapsed, move in moves:
        now += elapsed
        price = min(max(price * math.exp(move), 1.0), 1e30)
        volatility.sample(round(price), now)
    if not volatility.waiting:
        assert 0 < volatility.sigma < math.inf


# -- candles


def candles(sigma: float, minutes: int = 60, *, skip: int = 0) -> list[tuple[float, Decimal]]:
    rng, price, rows = random.Random(4), 50_000.0, []
    for minute in range(minutes):
        price *= math.exp(rng.gauss(0.0, sigma * math.sqrt(60)))
        rows.append((60.0 * minute, Decimal(str(round(price, 1)))))
    return rows[:1] + rows[1 + skip :]


def test_candles_warm_it_up() -> None:
    volatility = Volatility(SETTINGS)
    assert volatility.warm_up(candles(7e-5), HOUR)
    assert volatility.sigma == pytest.approx(7e-5, rel=0.35)


def test_too_few_candles_say_nothing() -> None:
    volatility = Volatility(SETTINGS)
    assert not volatility.warm_up(candles(7e-5, 10), HOUR)
    assert not volatility.warm_up([], HOUR)
    assert volatility.waiting


def test_a_gap_between_candles_is_no_return() -> None:
    """Ten returns are needed: of eleven closes with a gap of an hour among them there are nine."""
    assert Volatility(SETTINGS).warm_up(candles(7e-5, 11), HOUR)
    assert not Volatility(SETTINGS).warm_up(candles(7e-5, 71, skip=60), HOUR)


def test_candles_of_long_ago_leave_it_cold() -> None:
    """A market that last traded yesterday is learnt anew; what reaches into the last hour counts."""
    rows = candles(7e-5)
    end = rows[-1][0] + 60
    for age, is_warm in ((0, True), (50 * 60, True), (50 * 60 + 1, False), (3600, False), (86_400, False)):
        volatility = Volatility(SETTINGS)
        assert volatility.warm_up(rows, end + age) is is_warm
        assert ("volatility is not known yet" in volatility.waiting) is not is_warm
    part, alone = Volatility(SETTINGS), Volatility(SETTINGS)
    part.warm_up(candles(1e-3, 5) + [(at + 3600, close) for at, close in rows], end + 3600)
    alone.warm_up(rows, end)
    assert part.variance == alone.variance, "what came before does not count"


def test_what_was_seen_is_worth_more_than_candles() -> None:
    volatility, _, _ = walked(100, 7e-5)
    before = volatility.variance
    assert not volatility.warm_up(candles(1e-3), HOUR)
    assert volatility.variance == before
