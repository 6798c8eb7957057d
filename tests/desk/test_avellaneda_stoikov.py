"""Avellaneda and Stoikov 2008: the closed-form points of their section 3.3, and what Delta and the horizon mean."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.avellaneda_stoikov import AvellanedaStoikov, fill_margin
from maker.desk.spread import Situation

from .scripted import thorough
from .situations import below_and_above, magnitudes, papers, risk_aversions, situations

PAPERS = AvellanedaStoikov(risk_aversion=0.1, horizon_seconds=1.0, rolling=False)


def total(model: AvellanedaStoikov, situation: Situation) -> float:
    return sum(below_and_above(model.spread(situation), situation.fair))


def test_the_papers_points() -> None:
    """Equations 29 and 30 at s = 100, sigma = 2, gamma = 0.1, k = 1.5: 1.690770 at t = 0, 1.290770 at T, 0.4 a unit."""
    assert total(PAPERS, papers()) == pytest.approx(1.690770, abs=5e-7)
    assert total(PAPERS, attrs.evolve(papers(), seconds_left=0.0)) == pytest.approx(1.290770, abs=5e-7)
    assert PAPERS.spread(papers(1.0)).reservation == pytest.approx(99.6)
    assert PAPERS.spread(papers(-3.0)).reservation == pytest.approx(101.2)
    half_way = attrs.evolve(papers(1.0), seconds_left=0.5)
    assert PAPERS.spread(half_way).reservation == pytest.approx(99.8)


@pytest.mark.parametrize(("gamma", "spread"), [(0.01, 1.35), (0.1, 1.49), (1.0, 3.02)])
def test_the_average_spreads_of_the_papers_tables(gamma: float, spread: float) -> None:
    """Tables 1 to 3 (Quantitative Finance 8(3), pp. 222-223): averaged over the session, here at 200 midpoints."""
    model = AvellanedaStoikov(gamma, 1.0, rolling=False)
    steps = [total(model, attrs.evolve(papers(), seconds_left=0.9975 - 0.005 * step)) for step in range(200)]
    assert sum(steps) / 200 == pytest.approx(spread, abs=0.005)


def test_a_rolling_horizon_never_ends() -> None:
    rolling = attrs.evolve(PAPERS, rolling=True)
    for seconds in (0.0, 0.3, 7.0):
        assert rolling.spread(attrs.evolve(papers(1.0), seconds_left=seconds)) == PAPERS.spread(papers(1.0))


@given(risk_aversion=risk_aversions, situation=situations(), factor=magnitudes(-3, 3), rolling=st.booleans())
@thorough
def test_the_unit_of_base_does_not_matter(
    risk_aversion: float, situation: Situation, factor: float, rolling: bool
) -> None:
    """Amounts in thousandths, and gamma with them: the same prices. Without Delta in the formula they would differ."""
    spread = AvellanedaStoikov(risk_aversion, 60.0, rolling).spread(situation)
    thousandths = attrs.evolve(situation, inventory=situation.inventory * factor, size=situation.size * factor)
    same = AvellanedaStoikov(risk_aversion / factor, 60.0, rolling).spread(thousandths)
    close = 1e-9 * (situation.fair + abs(spread.reservation))
    assert same.reservation == pytest.approx(spread.reservation, abs=close)
    assert same.bid == pytest.approx(spread.bid, rel=1e-9)


def test_bold_asks_for_one_over_k() -> None:
    """ln(1 + x) / x towards 1: a tiny gamma must not end in 0 / 0 or in noise."""
    assert fill_margin(1e-18, 1.0, 1.5) == pytest.approx(1 / 1.5, rel=1e-12)
    assert fill_margin(0.1, 1.0, 1.5) == pytest.approx(0.6453852, abs=5e-8)  # 10 ln(16/15)


@pytest.mark.parametrize("field", ["risk_aversion", "horizon_seconds"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_parameter_is_named(field: str, value: float) -> None:
    good: dict[str, Any] = {"risk_aversion": 0.1, "horizon_seconds": 1.0}
    with pytest.raises(ValueError, match=rf"^{field}: is .* and must be above 0\. .*[Tt]ry"):
        AvellanedaStoikov(**good | {field: value})
