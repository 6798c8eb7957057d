"""Avellaneda and Stoikov's tables come out of the house's own model, all three of them, from one piece of code."""

from __future__ import annotations

import math

import attrs
import pytest

from maker.app.tables import PUBLISHED, STEPS, simulate

PATHS = 4000
# Deviations of a sample of 1,000 are themselves 2.2 % unsure, twice that for the paper's own draw of a fat-tailed one;
# its symmetric profit deviations, 12.7 and 12.8, are 6 to 7 % below what 200,000 paths give (13.47 at gamma 0.1).
DEVIATION_RATIO = 0.10
PAPERS_PATHS = 1000


@pytest.mark.parametrize("gamma", sorted(PUBLISHED))
def test_the_published_tables(gamma: float) -> None:
    """Tables 1 to 3 (Quantitative Finance 8(3), pp. 222-223), means within four standard errors of both samples."""
    spread, *published = PUBLISHED[gamma]
    found = simulate(gamma, PATHS, seed=1)
    for row, theirs in zip((found.inventory, found.symmetric), published, strict=True):
        assert isinstance(theirs, tuple)
        profit, profit_deviation, inventory, inventory_deviation = theirs
        unsure = 4 * math.sqrt(1 / PATHS + 1 / PAPERS_PATHS)
        assert row.average_spread == pytest.approx(spread, abs=0.012)
        assert row.profit_mean == pytest.approx(profit, abs=unsure * row.profit_deviation)
        assert row.profit_deviation == pytest.approx(profit_deviation, rel=DEVIATION_RATIO)
        assert row.final_inventory_mean == pytest.approx(inventory, abs=unsure * row.final_inventory_deviation)
        assert row.final_inventory_deviation == pytest.approx(inventory_deviation, rel=DEVIATION_RATIO)


def test_table_1_to_the_digit_that_many_paths_give() -> None:
    """64.88, 6.55, 2.93 and 68.22, 13.47, 8.40 with 200,000 paths: within three standard errors of ours."""
    found = simulate(0.1, PATHS, seed=2)
    wanted = {found.inventory: (64.88, 6.55, 2.93), found.symmetric: (68.22, 13.47, 8.40)}
    for row, (profit, profit_deviation, inventory_deviation) in wanted.items():
        assert row.profit_mean == pytest.approx(profit, abs=3 * profit_deviation / math.sqrt(PATHS))
        for found_deviation, deviation in (
            (row.profit_deviation, profit_deviation),
            (row.final_inventory_deviation, inventory_deviation),
        ):
            assert found_deviation == pytest.approx(deviation, rel=3 * 1.3 / math.sqrt(2 * PATHS))


def test_the_point_of_the_paper() -> None:
    """The skew costs a little profit and takes most of the risk, the more of both the more risk is disliked.

    At gamma = 0.01 the two profits are 0.2 apart in the paper, less than a thousand paths can tell.
    """
    bold, middle, timid = (simulate(gamma, 1000, seed=3) for gamma in (0.01, 0.1, 1.0))
    for one in (bold, middle, timid):
        assert one.inventory.profit_deviation < 0.75 * one.symmetric.profit_deviation
    costs = [one.symmetric.profit_mean - one.inventory.profit_mean for one in (bold, middle, timid)]
    assert costs == sorted(costs)
    assert costs[1] > 0
    inventories = [one.inventory.final_inventory_deviation for one in (bold, middle, timid)]
    assert inventories == sorted(inventories, reverse=True)


def test_the_same_words_give_the_same_table() -> None:
    again = simulate(0.1, 50, seed=7)
    assert simulate(0.1, 50, seed=7) == again
    assert simulate(0.1, 50, seed=8) != again


def test_half_of_it_is_the_average_of_the_formula() -> None:
    """gamma sigma^2 T (1 + 1 / steps) / 2 + 2 / gamma ln(1 + gamma / k): quotes stand at each step's beginning."""
    formula = 0.4 * (1 + 1 / STEPS) / 2 + 20 * math.log1p(0.1 / 1.5)
    assert attrs.astuple(simulate(0.1, 2, 1).symmetric)[0] == pytest.approx(formula)
