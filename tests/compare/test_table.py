"""What is printed: every figure in its column, a losing result as it is, and the claim judged seed by seed."""

from __future__ import annotations

import json
from decimal import Decimal

import attrs
import pytest

from maker.compare.counterpart import SPREAD_TOLERANCE
from maker.compare.result import Inventory, Markout, Money, Pair, Quotes, Result
from maker.compare.table import COUNTERPART, as_object, is_matched, rows, tables, verdict

BASE = Result(
    model="glft",
    seed=0,
    seconds=7200,
    money=Money(
        profit=Decimal(10),
        spread=Decimal(30),
        inventory=Decimal(-25),
        fees=Decimal(-4),
        funding=Decimal(-1),
        mark_gap=Decimal(0),
    ),
    drawdown=12.5,
    inventory=Inventory(mean=0.01, deviation=0.1, low=-0.15, high=0.2, limit=0.4),
    quotes=Quotes(
        half_spread_bps=2.5,
        two_sided_share=0.987,
        quoted_share=1.0,
        requests=1200,
        ladders=1199,
        pulls=(("NO_FAIR_VALUE", 3),),
    ),
    fills=(("noise", 50), ("touch", 2), ("informed", 8)),
    volume=1000.0,
    markouts=(Markout(1, 2.0), Markout(5, 1.5), Markout(30, 1.25), Markout(60, -0.75)),
    markouts_informed=(Markout(1, 0.5), Markout(5, -1.75), Markout(30, None), Markout(60, None)),
    digest="d",
    drawn="w",
)


def of(model: str = "glft", seed: int = 0, profit: int = 10, deviation: float = 0.1, half: float = 2.5) -> Result:
    return attrs.evolve(
        BASE,
        model=model,
        seed=seed,
        money=attrs.evolve(BASE.money, profit=Decimal(profit)),
        inventory=attrs.evolve(BASE.inventory, deviation=deviation, low=-deviation, high=deviation),
        quotes=attrs.evolve(BASE.quotes, half_spread_bps=half),
    )


def pair(seed: int = 0, *, ours: float = 0.1, theirs: float = 0.2, half: float = 2.5, profit: int = 10) -> Pair:
    return Pair(of(seed=seed, deviation=ours, profit=profit), of("unskewed", seed, 5, theirs, half), 2)


def words(text: str, name: str) -> list[str]:
    """The cells of the first line that begins with a name."""
    return next(line for line in text.splitlines() if line.strip().startswith(name))[22:].split()


def test_every_figure_has_its_column() -> None:
    text = tables([pair(0), pair(1, profit=-30)], "BTC", "USDC")
    money, inventory, flow = (part for part in text.split("\n\n")[:3])
    assert words(money, "glft") == ["-10.0", "20.0", "-30.0", "+30.0", "-25.0", "-4.0", "-1.0", "+0.0", "12.5"]
    assert words(money, COUNTERPART)[:3] == ["+5.0", "0.0", "+5.0"]
    assert words(inventory, "glft") == [
        *("+0.0100", "0.1000", "0.1005", "25.1%", "-0.1000", "+0.1000", "2.500", "98.7%", "10.0", "3.0")
    ]
    assert words(flow, "glft") == ["60", "50", "2", "8", "+2.00", "+1.50", "+1.25", "-0.75", "-1.75"]
    assert "limit 0.4 BTC" in inventory
    assert inventory.splitlines()[1].split("  ")[-1].strip() == "pulls"
    for name in ("mean, BTC", "dev., BTC", "rms, BTC", "rms/limit", "95 %, BTC", "half, bp", "req./min"):
        assert f" {name}" in inventory.splitlines()[1]
    assert "2 h, mean of 2 seeds" in money


def test_lines_and_headings_stand_under_each_other() -> None:
    lines = tables([pair(0), Pair(of("unskewed"), None, 0)], "BTC", "USDC").splitlines()
    widths = {len(line) for line in lines if line.startswith("  ") and ":" not in line}
    assert widths == {22 + 9 * 11, 22 + 10 * 11}
    assert max(widths) <= 132


def test_one_seed_has_no_error_and_no_fill_no_markout() -> None:
    none = attrs.evolve(BASE, markouts=(Markout(1, None),) * 4, markouts_informed=(Markout(1, None),) * 4)
    text = tables([Pair(none, None, 0)], "BTC", "USDC")
    assert words(text, "glft")[1] == "-"
    assert words(text.split("\n\n")[2], "glft")[4:] == ["-"] * 5
    assert "nothing to hold against" in text
    assert tables([], "BTC", "USDC") == "nothing was played to its end"


def test_a_result_that_loses_is_printed_as_it_is() -> None:
    """A model with a wider band and less money says NO, and its sentence counts it."""
    loser = pair(1, ours=0.3, theirs=0.2, profit=-50)
    text = tables([pair(0), loser], "BTC", "USDC")
    line = [one for one in text.splitlines() if one.endswith(" NO")]
    assert len(line) == 1
    assert "-50.0" in line[0]
    assert "on 1 of 2 seeds, more profit on 1" in text


@pytest.mark.parametrize(("ours", "theirs", "is_tighter"), [(0.1, 0.2, True), (0.2, 0.2, False), (0.21, 0.2, False)])
def test_tighter_is_smaller_in_mean_square_and_no_further_out(ours: float, theirs: float, is_tighter: bool) -> None:
    assert pair(ours=ours, theirs=theirs).is_tighter is is_tighter
    wide = pair(ours=0.1, theirs=0.2)
    wide = attrs.evolve(wide, model=attrs.evolve(wide.model, inventory=attrs.evolve(wide.model.inventory, high=0.9)))
    assert not wide.is_tighter


def test_a_band_far_from_zero_is_not_tight() -> None:
    """At 0.38 of a limit of 0.4 all the time, to the hundredth: that is no position to be proud of."""
    stuck = attrs.evolve(BASE.inventory, mean=0.38, deviation=0.01, low=0.365, high=0.395)
    around_zero = attrs.evolve(BASE.inventory, mean=0.0, deviation=0.05, low=-0.08, high=0.08)
    one = Pair(attrs.evolve(BASE, inventory=stuck), attrs.evolve(of("unskewed"), inventory=around_zero), 2)
    assert not one.is_tighter
    assert one.fixed is not None
    assert Pair(one.fixed, one.model, 2).is_tighter
    row = as_object([one])[0]["model"]["inventory"]
    assert (row["mean"], row["deviation"], row["reach"]) == (0.38, 0.01, 0.395)
    assert row["root_mean_square"] == pytest.approx(0.3801, abs=1e-4)
    mirrored = attrs.evolve(stuck, mean=-0.38, low=-0.395, high=-0.365)
    assert (mirrored.root_mean_square, mirrored.reach) == (stuck.root_mean_square, stuck.reach)


def test_what_is_not_as_wide_is_not_judged() -> None:
    """A counterpart 5 % off still counts, one beyond does not, for or against."""
    assert is_matched(pair(half=2.5 * (1 + SPREAD_TOLERANCE) - 1e-9))
    missed = pair(half=2.5 * (1 - SPREAD_TOLERANCE) - 0.01)
    assert not is_matched(missed)
    assert "on 0 of 0 seeds" in verdict("glft", [missed])
    assert "on 1 no fixed half-spread met the model's" in verdict("glft", [missed])
    assert "not judged" in tables([missed], "BTC", "USDC")
    assert as_object([missed])[0]["tighter"] is None


def test_a_missing_counterpart_is_said_and_not_judged() -> None:
    """A row without the other side, a sentence that counts it, and a mean that says over how many seeds it is."""
    alone = attrs.evolve(pair(1), fixed=None, runs=0, missing=True)
    text = tables([pair(0), alone], "BTC", "USDC")
    [line] = [one for one in text.splitlines() if one.endswith("missing") and "seeds" not in one]
    assert line.split() == ["glft", "1", "2.500", "-", "0.1005", "-", "0.1000", "-", "+10.0", "-", "missing"]
    assert "on 1 of 1 seeds, more profit on 1; on 1 its counterpart is missing" in text
    assert [row.name for row in rows([pair(0), alone])] == ["glft", "= fixed, 1/2 seeds"]
    assert not is_matched(alone)
    row = as_object([alone])[0]
    assert (row["fixed"], row["missing"], row["matched"], row["tighter"]) == (None, True, False, None)
    text = tables([alone], "BTC", "USDC")
    assert "on 0 of 0 seeds, more profit on 0; on 1 its counterpart is missing" in text
    assert "nothing to hold against" not in text


def silent(seed: int = 0, *, share: float = 0.0, model: str = "glft") -> Pair:
    """A model that never quoted on both sides, and on one for this share of the time."""
    quotes = attrs.evolve(BASE.quotes, half_spread_bps=0.0, two_sided_share=0.0, quoted_share=share)
    return Pair(attrs.evolve(of(model, seed), quotes=quotes), None, 0)


def test_a_model_that_quoted_nothing_is_said_and_not_judged() -> None:
    """Nor one that quoted one side alone: no half-spread, no match, and the sentence counts the seeds of either."""
    text = tables([pair(0), silent(1), silent(2, share=0.5)], "BTC", "USDC")
    lines = {line.split()[1]: line.split() for line in text.split("\n\n")[-1].splitlines() if " glft  " in line}
    assert [lines[seed][2] for seed in ("0", "1", "2")] == ["2.500", "-", "-"]
    assert [lines[seed][-1] for seed in ("0", "1", "2")] == ["yes", "nothing", "side"]
    assert "on 1 of 1 seeds, more profit on 1; it quoted nothing on 1; it never quoted on both sides on 1" in text
    assert "no fixed half-spread met" not in text
    rows_ = as_object([pair(0), silent(1), silent(2, share=0.5)])
    assert [(row["matched"], row["tighter"]) for row in rows_] == [(True, True), (None, None), (None, None)]
    assert words(text.split("\n\n")[1], "glft")[6] == "2.500", "the mean of the seeds that have one"


def test_a_model_that_never_quoted_both_sides_on_any_seed_has_its_own_sentence() -> None:
    text = tables([silent(0), silent(1, share=1.0)], "BTC", "USDC")
    assert "no model of these that quoted on both sides is skewed" in text
    assert text.endswith(
        "  glft: it quoted nothing on 1; it never quoted on both sides on 1 of 2 seeds: there is nothing to judge"
    )
    assert words(text.split("\n\n")[1], "glft")[6] == "-"
    both = tables([pair(0), silent(0, model="mine")], "BTC", "USDC")
    assert both.endswith("  mine: it quoted nothing on 1 of 1 seeds: there is nothing to judge")


def test_a_model_without_skew_is_held_against_nothing() -> None:
    plain = Pair(of("mine.py:Wide"), None, 0)
    assert as_object([plain])[0]["matched"] is None
    assert "mine.py:Wide" not in tables([pair(0), plain], "BTC", "USDC").split("each skewed model")[1]


def test_rows_keep_the_models_order_and_sort_seeds() -> None:
    found = rows([pair(1), Pair(of("unskewed", 0), None, 0), pair(0), Pair(of("unskewed", 1), None, 0)])
    assert [row.name for row in found] == ["glft", COUNTERPART, "unskewed"]
    assert [one.seed for one in found[0].results] == [0, 1]


def test_programs_get_a_row_a_match() -> None:
    row = json.loads(json.dumps(as_object([pair(3)])))[0]
    assert (row["model"]["seed"], row["tighter"], row["matched"], row["runs"]) == (3, True, True, 2)
    assert row["missing"] is False
    assert row["model"]["money"]["inventory"] == "-25"
    assert row["model"]["markouts"] == {"1": 2.0, "5": 1.5, "30": 1.25, "60": -0.75}
    assert row["fixed"]["model"] == "unskewed"
    assert row["model"]["quotes"]["pulls"] == {"NO_FAIR_VALUE": 3}
