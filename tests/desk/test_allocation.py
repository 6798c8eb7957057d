"""Which market a request goes to: what one saves, what it has to save, deadlines, and what a ladder is for."""

from __future__ import annotations

import math
import random
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from maker.desk.allocation import (
    PRICE_MAX,
    PRICE_MIN,
    Shape,
    TokenPrice,
    endangered,
    spend_of,
    worth_of,
)
from maker.desk.budget import Spend
from maker.desk.ladder import Ladder, Level
from maker.desk.units import SUBTICKS, Side

from .scripted import quick, thorough


def a_ladder(bids: int, asks: int, *, reduce_only: Side | None = None) -> Ladder:
    """So many lots a side."""
    bid, ask = ((Level(ticks, lots),) if lots else () for ticks, lots in ((999, bids), (1001, asks)))
    return Ladder(bid, ask, reduce_only)


# -- worth


def test_the_worth_of_a_request_is_what_an_ideal_threshold_would_pay_for_it() -> None:
    """The formula's own premise, played: at the threshold where worth meets the price, cost plus price is least.

    A random walk is requoted at ±b, a request costs p: w b / 3 + p sigma² / b² is least where w b³ / (6 sigma²) = p.
    """
    sigma, weight, price = 0.5, 3.0, 40.0

    def cost(threshold: float) -> float:
        return weight * threshold / 3 + price * sigma**2 / threshold**2

    best = min((step / 1000 for step in range(100, 10_000)), key=cost)
    assert worth_of(weight * best, best, sigma, math.inf) == pytest.approx(price, rel=0.01)


def test_the_premise_itself_a_threshold_costs_a_third_of_its_rate() -> None:
    """A walk of steps of one tenth of the threshold: mean cost rate b / 3, and b² / sigma² steps a request."""
    rng, moved, cost, requests, steps = random.Random(1), 0, 0, 0, 400_000
    for _ in range(steps):
        moved += rng.choice((-1, 1))
        cost += abs(moved)
        if abs(moved) == 10:
            moved, requests = 0, requests + 1
    assert cost / steps == pytest.approx(10 / 3, rel=0.05)
    assert steps / requests == pytest.approx(100, rel=0.05)


def test_worth_grows_with_the_move_and_falls_with_volatility() -> None:
    """Of two markets that cost the same now, the request lasts longer on the calmer one."""
    assert worth_of(10, 2e-4, 1e-4, 30) < worth_of(15, 3e-4, 1e-4, 30)
    assert worth_of(10, 2e-4, 1e-4, 30) > worth_of(10, 2e-4, 2e-4, 30)
    assert worth_of(10, 0.0, 1e-4, 30) == 0
    assert worth_of(10, 2e-4, 0.0, 30) == 300, "no longer than a ladder may stand"


# -- the price of a request


def test_the_price_rises_while_tokens_are_short_and_falls_while_they_are_not() -> None:
    price = TokenPrice()
    for second in range(60):
        price.move(0.0, 6, float(second))
    dear = price.value
    assert dear > 100 * PRICE_MIN
    assert not price.affords(dear / 2, 3.0, 6)
    assert price.affords(dear / 2, 5.6, 6), "a full bucket is lost if it is not used"
    assert price.affords(dear, 1.0, 6)
    for second in range(60, 200):
        price.move(6.0, 6, float(second))
    assert price.value == PRICE_MIN


def test_with_half_a_bucket_the_price_stands_still() -> None:
    price = TokenPrice(1000.0)
    for second in range(50):
        price.move(3.0, 6, float(second))
    assert price.value == 1000.0


@given(st.lists(st.tuples(st.floats(-10, 20), st.floats(-5, 1e6)), max_size=60))
@quick
def test_the_price_keeps_within_bounds(script: list[tuple[float, float]]) -> None:
    price, now = TokenPrice(), 0.0
    for tokens, seconds in script:
        now += seconds
        price.move(tokens, 6, now)
        assert PRICE_MIN <= price.value <= PRICE_MAX


@pytest.mark.parametrize("demand", [1.7, 4.0, 20.0])
def test_spending_meets_the_refill_whatever_is_asked_for(demand: float) -> None:
    """Requests of random worth come faster than tokens do: nearly every token is used, on the worthier ones."""
    rng, price, tokens, spent, bought, asked = random.Random(3), TokenPrice(), 6.0, 0, 0.0, 0.0
    step, refill, seconds = 0.1, 1.6, 3600
    for index in range(round(seconds / step)):
        tokens = min(6.0, tokens + refill * step)
        price.move(tokens, 6, index * step)
        for _ in range(rng.random() < demand * step % 1 or 0 + int(demand * step)):
            worth = rng.lognormvariate(6, 1.5)
            asked += worth / (demand * seconds)
            if tokens >= 1 and price.affords(worth, tokens, 6):
                tokens, spent, bought = tokens - 1, spent + 1, bought + worth
    assert spent / (refill * seconds) > 0.9
    if demand > 2 * refill:
        assert bought / spent > 1.2 * asked


# -- deadlines


def capacity(bucket: float, rate: float, now: float, until: float) -> float:
    return bucket + rate * (until - now)


STEP = 0.125  # seconds; a fraction of floats that adds up exactly


@given(
    st.lists(st.integers(0, 200).map(lambda steps: steps * STEP), min_size=1, max_size=12).map(sorted),
    st.integers(0, 6),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.lists(st.booleans(), min_size=201, max_size=201),
)
@thorough
def test_a_request_spent_on_worth_never_costs_a_deadline_that_could_be_met(
    deadlines: list[float], tokens: int, rate: float, wishes: list[bool]
) -> None:
    """None starves: where tokens and refill meet every deadline, any wishes besides leave each of them met."""
    assume(all(count <= tokens + int(rate * at) for count, at in enumerate(deadlines, 1)))
    left, bucket = list(deadlines), float(tokens)
    for index, wish in enumerate(wishes):
        now = index * STEP
        bucket = min(6.0, bucket + rate * STEP) if index else bucket
        while left and bucket >= 1 and (left[0] <= now or endangered(left, partial(capacity, bucket, rate, now))):
            left.pop(0)
            bucket -= 1
        if wish and bucket >= 1:
            bucket -= 1
        assert not left or left[0] > now, f"{left[0]} is not met"


def test_endangered_counts_every_deadline() -> None:
    """Three in three seconds with one request a second: no request is free; with a spare one there is."""
    assert endangered([1.0, 2.0, 3.0], lambda until: until)
    assert not endangered([1.0, 2.0, 3.0], lambda until: until + 1)
    assert endangered([9.0, 9.0, 9.0, 9.0], lambda until: 4.5)
    assert not endangered([], lambda until: 0.0)


# -- what a ladder is for

SPENDS = [
    (a_ladder(5, 5), None, 0, Spend.ADD),
    (a_ladder(5, 5), a_ladder(5, 5), 0, Spend.REPRICE),
    (a_ladder(3, 5), a_ladder(5, 5), 0, Spend.REPRICE),  # flat: neither side adds to anything
    (a_ladder(3, 5), a_ladder(5, 5), 9, Spend.REDUCE),
    (a_ladder(5, 3), a_ladder(5, 5), 9, Spend.REPRICE),  # the side that reduces shrank
    (a_ladder(5, 3), a_ladder(5, 5), -9, Spend.REDUCE),
    (a_ladder(0, 5), a_ladder(5, 5), 9, Spend.REDUCE),
    (a_ladder(0, 0), a_ladder(5, 5), 0, Spend.REDUCE),
    (a_ladder(0, 5, reduce_only=Side.SELL), None, 20, Spend.REDUCE),
]


@pytest.mark.parametrize(("wanted", "resting", "position", "spend"), SPENDS)
def test_what_a_ladder_is_for(wanted: Ladder, resting: Ladder | None, position: int, spend: Spend) -> None:
    assert spend_of(wanted, resting, position) is spend


def test_the_classes_stand_in_their_order() -> None:
    """PRICING: cancel > reduce > reprice > add."""
    assert sorted(Spend) == [Spend.CANCEL, Spend.REDUCE, Spend.REPRICE, Spend.ADD]


def test_the_shape_of_a_ladder() -> None:
    fair = 1000 * SUBTICKS
    assert Shape.of(a_ladder(5, 3), fair, 2.0) == Shape(fair, float(SUBTICKS), 10.0, 6.0)
    assert Shape.of(a_ladder(0, 3), fair, 2.0) == Shape(fair, float(SUBTICKS), 0.0, 6.0)
    assert Shape.of(a_ladder(0, 0), fair, 2.0) == Shape(fair, float(SUBTICKS), 0.0, 0.0)
