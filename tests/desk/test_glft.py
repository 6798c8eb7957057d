"""Guéant, Lehalle and Fernandez-Tapia 2013: known points, another way to the same table, and its edges."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.glft import (
    LOTS_MAX,
    QUOTES_MAX,
    SETTLED_MIN,
    SLOPE_MAX,
    GlftClosed,
    GlftExact,
    hit_share,
    propagated,
    rounded,
    settled,
    slope_at,
    slopes,
)
from maker.desk.spread import Situation

from .scripted import quick, thorough
from .situations import below_and_above, bitcoin, glft_example, magnitudes, risk_aversions, situations

EXACT = GlftExact(risk_aversion=0.01, horizon_seconds=600.0, rolling=False, step_ratio=0.0)
CLOSED = GlftClosed(risk_aversion=0.01)
MS_MAX = 10.0  # for a table that nobody remembers: it is computed on the event loop


# -- known points -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "exact", "closed"),
    [
        (0.0, (3.313045, 3.313045), (3.312915, 3.312915)),
        (5.0, (3.653479, 2.972522), (3.652244, 2.973586)),
    ],
)
def test_known_points(inventory: float, exact: tuple[float, float], closed: tuple[float, float]) -> None:
    """sigma = 0.3, A = 0.9, k = 0.3, gamma = 0.01, T = 600, Q = 30, computed apart from this program; 5e-6."""
    situation = glft_example(inventory)
    assert below_and_above(EXACT.spread(situation), 100.0) == pytest.approx(exact, abs=5e-6)
    assert below_and_above(CLOSED.spread(situation), 100.0) == pytest.approx(closed, abs=5e-6)


def test_half_the_table_and_the_whole_matrix_say_the_same() -> None:
    """The definition itself, v = exp(-M T) 1 over n = -Q..Q, by a series that knows no symmetry and no squaring."""
    attraction, spreading, lots_max = 0.0405, 40.0, 6  # alpha T, eta T
    whole = by_uniformisation(attraction, spreading, lots_max)
    assert whole[lots_max:] == pytest.approx(whole[lots_max::-1])  # even
    wanted = [math.log(a / b) for a, b in pairwise(whole[lots_max:])]
    assert slopes(attraction, spreading, lots_max) == pytest.approx(wanted, rel=1e-8)


@given(attraction=magnitudes(-4, 1), spreading=magnitudes(-3, 2), lots_max=st.integers(1, 12))
@thorough
def test_tables_over_all_magnitudes(attraction: float, spreading: float, lots_max: int) -> None:
    """Stiff or slack, early or late: seven digits of every ln(v_n / v_n+1), also where v_n is 1e-100 of v_0."""
    whole = by_uniformisation(attraction, spreading, lots_max)
    wanted = [math.log(a / b) for a, b in pairwise(whole[lots_max:])]
    assert slopes(attraction, spreading, lots_max) == pytest.approx(wanted, rel=1e-7, abs=1e-9)


def by_uniformisation(attraction: float, spreading: float, lots_max: int) -> list[float]:
    """exp(-M T) 1 as a Poisson sum of powers of a positive matrix: slow, and every term of it is positive."""
    lots = range(-lots_max, lots_max + 1)
    rate = attraction * lots_max**2 + 2 * spreading
    term = [1.0] * len(lots)
    total = list(term)
    order = 0
    while any(part > 1e-17 * whole for part, whole in zip(term, total, strict=True)):
        order += 1
        padded = [0.0, *term, 0.0]
        term = [
            ((rate - attraction * n**2) * padded[i + 1] + spreading * (padded[i] + padded[i + 2])) / order
            for i, n in enumerate(lots)
        ]
        total = [whole + part for whole, part in zip(total, term, strict=True)]
        if max(total) > 1e200:
            term, total = [x * 1e-200 for x in term], [x * 1e-200 for x in total]
    return total


def test_exact_and_closed_form_meet_far_from_the_limit() -> None:
    """A long horizon and a limit far away are what the closed form is the limit of (2013, section 4)."""
    for inventory in (-2.0, 0.0, 1.0, 4.0):
        situation = attrs.evolve(glft_example(inventory), seconds_left=20_000.0)
        exact = below_and_above(EXACT.spread(situation), 100.0)
        assert exact == pytest.approx(below_and_above(CLOSED.spread(situation), 100.0), abs=2e-3)


def test_negative_offsets_are_the_models_right() -> None:
    """Long enough, the ask is below fair value: the ladder's least edge is what keeps it out, not the model."""
    wild = attrs.evolve(glft_example(25.0), volatility=3.0)
    for model in (EXACT, CLOSED):
        _, ask = below_and_above(model.spread(wild), 100.0)
        assert ask < -5


@given(risk_aversion=risk_aversions, situation=situations(), factor=magnitudes(-3, 3))
@thorough
def test_the_unit_of_base_does_not_matter(risk_aversion: float, situation: Situation, factor: float) -> None:
    """Guéant 2017's Delta: amounts in thousandths, and gamma with them, give the same prices."""
    other = attrs.evolve(
        situation,
        inventory=situation.inventory * factor,
        size=situation.size * factor,
        inventory_max=situation.inventory_max * factor,
    )
    close = 1e-7 * situation.fair
    for model in (GlftExact(risk_aversion, 60.0, step_ratio=0.0), GlftClosed(risk_aversion)):
        spread = model.spread(situation)
        same = attrs.evolve(model, risk_aversion=risk_aversion / factor).spread(other)
        assert same.reservation == pytest.approx(spread.reservation, abs=close + 1e-7 * abs(spread.reservation))


# -- the limit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [EXACT, CLOSED, GlftExact(0.01, 600.0)])
def test_nothing_is_added_at_the_limit(model: GlftExact | GlftClosed) -> None:
    """No bid at q = Q, no ask at q = -Q (2013, proposition 3), beyond neither; the reducing side stays."""
    for inventory in (29.0, 29.5, 29.999):
        assert model.spread(glft_example(inventory)).bid is not None
        assert model.spread(glft_example(-inventory)).ask is not None
    for inventory in (30.0, 30.2, 45.0):
        long, short = model.spread(glft_example(inventory)), model.spread(glft_example(-inventory))
        assert (long.bid, short.ask) == (None, None)
        assert long.ask is not None
        assert short.bid is not None


def test_a_limit_that_is_no_multiple_rounds_down() -> None:
    """10.9 quotes: at 10 another one would pass the limit; 0.4 / 0.02 is 20 whatever floats make of it."""
    odd = attrs.evolve(glft_example(10.0), inventory_max=10.9)
    assert EXACT.spread(odd).bid is None
    assert EXACT.spread(attrs.evolve(odd, inventory=9.9)).bid is not None
    assert EXACT.spread(bitcoin(0.39)).bid is not None
    assert EXACT.spread(bitcoin(0.4)).bid is None
    assert EXACT.spread(bitcoin(0.1 + 0.1 + 0.1 + 0.1)).bid is None


def test_a_limit_below_one_quote_still_reduces() -> None:
    small = attrs.evolve(glft_example(1.0), inventory_max=0.4)
    assert EXACT.spread(small).ask is not None
    assert EXACT.spread(small).bid is None


# -- between, beyond, at the edge of floats -----------------------------------------------------------------------


def test_inventory_between_two_quotes_lies_on_the_line() -> None:
    """A partial fill leaves 2.25 quotes: three quarters of the way from 3 to 2."""
    two, three, between = (below_and_above(EXACT.spread(glft_example(q)), 100.0) for q in (2.0, 3.0, 2.25))
    for side in (0, 1):
        assert between[side] == pytest.approx(0.75 * two[side] + 0.25 * three[side])


def test_beyond_the_table_its_last_line_goes_on() -> None:
    table = (1.0, 3.0, 6.0)
    wanted = {0.0: 0.0, 0.25: 0.5, 0.5: 1.0, 1.0: 2.0, 1.5: 3.0, 2.5: 6.0, 3.5: 9.0, 4.5: 12.0}
    for lots, slope in wanted.items():
        assert slope_at(table, lots) == pytest.approx(slope)
        assert slope_at(table, -lots) == pytest.approx(-slope)
    assert slope_at((1.0,), 2.0) == pytest.approx(4.0)  # Q = 1: the line through 0


@given(ratio=magnitudes(-5, 3), times=st.floats(1, 3, allow_nan=False), lots_max=st.integers(1, 30))
@thorough
def test_a_settled_table_is_the_exact_one(ratio: float, times: float, lots_max: int) -> None:
    """From SETTLED_MIN on the continued fraction and the squared series agree to a millionth: no seam between them."""
    spreading = times * SETTLED_MIN / 4 / math.sqrt(ratio)
    weights = propagated(ratio * spreading, spreading, lots_max)
    wanted = [math.log(inner / outer) for inner, outer in pairwise(weights)]
    assert settled(ratio, lots_max) == pytest.approx(wanted, rel=1e-6)
    assert slopes(ratio * spreading, spreading, lots_max)[0] == pytest.approx(wanted[0], rel=1e-6)


@given(ratio=magnitudes(-5, 1), share=magnitudes(-4, 0), lots_max=st.integers(LOTS_MAX + 1, 70))
@quick
def test_many_quotes_and_a_short_horizon_lean_to_less_inventory(ratio: float, share: float, lots_max: int) -> None:
    """Never less skew than the exact solution; two fifths more at most, and what the limit alone would ask."""
    spreading = share * SETTLED_MIN / 4 / math.sqrt(ratio)
    weights = propagated(ratio * spreading, spreading, lots_max)
    walls = settled(0.0, lots_max)
    for n, slope in enumerate(slopes(ratio * spreading, spreading, lots_max)):
        exact = math.log(weights[n] / weights[n + 1])
        assert exact * (1 - 1e-6) <= slope <= 1.4 * exact + walls[n]
        assert walls[n] < math.log(2) + 1e-9


def test_many_quotes_settle_to_the_closed_form() -> None:
    """120 quotes to the limit, an hour: offsets of the closed form within 0.2 % where it is meant for."""
    for inventory in (0.0, 5.0, 10.0):
        many = attrs.evolve(glft_example(inventory), inventory_max=120.0, seconds_left=3600.0)
        exact = below_and_above(EXACT.spread(many), 100.0)
        assert exact == pytest.approx(below_and_above(CLOSED.spread(many), 100.0), rel=0.002)


@given(
    attraction=st.one_of(st.just(0.0), magnitudes(-20, 20)),
    spreading=st.one_of(st.just(0.0), magnitudes(-20, 20)),
    lots_max=st.integers(1, 400),
)
@thorough
def test_no_table_overflows_or_turns(attraction: float, spreading: float, lots_max: int) -> None:
    """Finite, never negative, never falling outward: even where v_Q is smaller than the smallest float."""
    table = slopes(attraction, spreading, lots_max)
    assert len(table) == lots_max
    assert all(math.isfinite(slope) and -1e-9 <= slope <= SLOPE_MAX for slope in table)
    assert all(outer >= inner - 1e-7 * (1 + inner) for inner, outer in pairwise(table))


def test_the_end_of_the_horizon_has_no_skew() -> None:
    """v = 1 at T: both sides at the fill margin."""
    end = attrs.evolve(glft_example(7.0), seconds_left=0.0)
    assert EXACT.spread(end).reservation == pytest.approx(100.0)
    rolling = attrs.evolve(EXACT, rolling=True)
    assert rolling.spread(end) == EXACT.spread(glft_example(7.0))


def test_the_share_of_hits_is_one_over_e_for_the_bold() -> None:
    assert hit_share(1e-12, 1.0, 1.0) == pytest.approx(1 / math.e, rel=1e-9)
    assert hit_share(1.0, 1.0, 1.0) == pytest.approx(0.25)


# -- remembered tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inventory", [0.0, 5.0, -12.0, 25.0])
@pytest.mark.parametrize("factor", [0.97, 1.0, 1.013])
def test_remembered_tables_move_a_skew_by_a_hundredth(inventory: float, factor: float) -> None:
    """Steps of 2 % against no rounding: what the reservation price may be off is 1 % of its distance from fair."""
    situation = attrs.evolve(glft_example(inventory), volatility=0.3 * factor)
    exact = EXACT.spread(situation).reservation
    near = GlftExact(0.01, 600.0, rolling=False).spread(situation).reservation
    assert near == pytest.approx(exact, abs=0.0101 * abs(exact - 100.0) + 1e-12)


def test_a_moving_price_needs_no_new_table() -> None:
    """k in quote currency follows fair value: 1 % of movement in 100 steps costs a few tables, not 100."""
    model = GlftExact(0.01, 600.0)
    slopes.cache_clear()
    for step in range(100):
        fair = 60_000.0 * (1 + step / 10_000)
        model.spread(attrs.evolve(bitcoin(0.1), fair=fair, fill_decay=10_000 / fair))
    assert slopes.cache_info().misses <= 3


def test_rounding_is_to_the_nearest_step() -> None:
    for value in (1e-9, 0.37, 1.0, 5e7):
        assert abs(math.log(rounded(value, 0.02) / value)) <= math.log(1.02) / 2 * (1 + 1e-9)
        assert rounded(value, 0.0) == value
    assert rounded(0.0, 0.02) == 0.0


@pytest.mark.parametrize("quotes", [30, LOTS_MAX, LOTS_MAX + 1, QUOTES_MAX, 1_000_000])
def test_a_table_takes_milliseconds(quotes: int) -> None:
    """tau = 600, nothing remembered: below 10 ms of processor time, for it is computed between two events."""
    situation = attrs.evolve(glft_example(5.0), inventory_max=float(quotes))
    best = math.inf
    for _ in range(40):
        slopes.cache_clear()
        begun = time.process_time()
        EXACT.spread(situation)
        best = min(best, 1000 * (time.process_time() - begun))
        if best < MS_MAX:
            return
    pytest.fail(f"{best:.1f} ms at best")


def test_the_edge_of_sense_costs_no_seconds() -> None:
    """alpha tau of 1e300, where nothing is quoted any more: some forty doublings and not a thousand."""
    slopes.cache_clear()
    begun = time.process_time()
    slopes(1e300, 1e-300, LOTS_MAX)
    assert time.process_time() - begun < 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    [("risk_aversion", 0.0), ("horizon_seconds", math.nan), ("step_ratio", -0.1), ("step_ratio", 0.6)],
)
def test_a_wrong_parameter_is_named(name: str, value: float) -> None:
    good: dict[str, Any] = {"risk_aversion": 0.01, "horizon_seconds": 600.0, "step_ratio": 0.02}
    with pytest.raises(ValueError, match=rf"^{name}: is .* must be .*[Tt]ry"):
        GlftExact(**good | {name: value})
    with pytest.raises(ValueError, match=r"^risk_aversion: is 0\.0 and must be above 0\."):
        GlftClosed(0.0)
