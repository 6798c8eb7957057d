"""Units: text and counts are the same number, hostile texts are not numbers, and rounding goes where its name says."""

from __future__ import annotations

import re
from decimal import Decimal, Inexact, getcontext
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk import units
from maker.desk.units import (
    BPS,
    DECIMAL_TEXT_CHARACTERS_MAX,
    SUBTICKS,
    Grid,
    Scale,
    Side,
    bps_of,
    decimal_exact,
    exact,
    fixed_decimal,
    scaled_parts,
    ticks_down,
    ticks_up,
)

from .scripted import quick, thorough

ON_THE_WIRE = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)  # S19, as SAFETY states it

steps = st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 5_000), st.integers(-2, 10))
counts = st.integers(-(10**12), 10**12)
amounts = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=12)


@given(steps, counts)
@thorough
def test_a_count_survives_its_text_exactly(step: Decimal, count: int) -> None:
    """S19: what is written is a fixed decimal, equals step times count exactly, and reads back as the count."""
    scale = Scale(step)
    text = scale.text(count)
    assert ON_THE_WIRE.fullmatch(text)
    assert Fraction(text) == Fraction(step) * count
    assert scale.count(text) == count
    assert scale.text(count) == text, "the remembered text is the same text"
    assert scale.value(count) == Decimal(text)


@given(steps, st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?", fullmatch=True))
@thorough
def test_a_text_is_a_count_only_on_the_grid(step: Decimal, text: str) -> None:
    """A text off the grid is refused; one on it, with whatever zeros behind, is its exact quotient: first and again."""
    steps_exact = Fraction(text) / Fraction(step)
    scale = Scale(step)
    for _ in range(2):
        if steps_exact.denominator == 1:
            assert scale.count(text) == steps_exact
        else:
            with pytest.raises(ValueError, match="multiple"):
                scale.count(text)


HOSTILE = [
    "",
    " ",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "sNaN",
    "1_000",
    "+1",
    "1e5",
    "1E5",
    "1.",
    ".5",
    "-",
    "--1",
    "- 1",
    " 1",
    "1 ",
    "1\n",
    "\t1",
    "01",
    "00",
    "-01",
    "00.5",
    "1.5.5",
    "1,5",
    "0x10",
    "１",  # full-width one
    "١",  # Arabic-Indic one
    "1٠",
    "²",
    "1\u2028",
    "1\x00",
    "9" * 50,
    "0." + "0" * 50,
    "1" * (DECIMAL_TEXT_CHARACTERS_MAX + 1),
]


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text)[:20] for text in HOSTILE])
def test_hostile_texts_are_refused(text: str) -> None:
    """S19: ASCII digits, no exponent, no plus, no separators, no leading zeros, no novel length."""
    for read in (fixed_decimal, decimal_exact, Scale(Decimal("0.1")).count):
        with pytest.raises(ValueError, match="not a fixed decimal"):
            read(text)


@given(st.text(max_size=45))
@quick
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    """Garbage parses or raises our error, nothing else."""
    try:
        value = decimal_exact(text)
    except ValueError:
        assert not ON_THE_WIRE.fullmatch(text) or len(text) > DECIMAL_TEXT_CHARACTERS_MAX
    else:
        assert ON_THE_WIRE.fullmatch(text)
        assert value == Decimal(text)
        assert value.is_finite()


def test_the_longest_text_is_still_exact() -> None:
    """Reading never goes through the decimal context: 40 characters stay 40 characters."""
    text = "1" * 20 + "." + "3" * 19
    assert len(text) == DECIMAL_TEXT_CHARACTERS_MAX
    assert str(decimal_exact(text)) == text
    assert Scale(Decimal("1E-19")).count(text) == int(text.replace(".", ""))


@pytest.mark.parametrize("step", ["0", "-0.1", "NaN", "Infinity"])
def test_a_grid_step_is_a_positive_number(step: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        scaled_parts(Decimal(step))


@pytest.mark.parametrize(
    ("step", "count", "text"),
    [("0.05", 3, "0.15"), ("1", 12, "12"), ("1E+1", 3, "30"), ("0.001", -5, "-0.005"), ("25", 0, "0")],
)
def test_texts_a_reader_can_check(step: str, count: int, text: str) -> None:
    assert Scale(Decimal(step)).text(count) == text


def test_what_is_remembered_is_bounded() -> None:
    """A feed of ever new prices does not grow memory."""
    scale = Scale(Decimal("0.1"))
    for count in range(units.CACHE_ENTRIES_MAX + 10):
        assert scale.count(scale.text(count)) == count
    assert len(scale.counts) <= units.CACHE_ENTRIES_MAX
    assert len(scale.texts) <= units.CACHE_ENTRIES_MAX


@given(steps, amounts)
@quick
def test_amounts_round_down_and_up_as_named(step: Decimal, amount: Decimal) -> None:
    """count_down is the floor and count_up the ceiling, on both sides of zero."""
    exact = Fraction(amount) / Fraction(step)
    assert Scale(step).count_down(amount) == floor(exact)
    assert Scale(step).count_up(amount) == ceil(exact)


@pytest.mark.parametrize("text", ["9" * 40, "1" + "0" * 39, "0." + "9" * 38])
def test_an_amount_of_any_length_the_wire_accepts_is_counted(text: str) -> None:
    """What `decimal_exact` lets through never raises an arithmetic error later: it is somebody's order size."""
    amount = decimal_exact(text)
    scale = Scale(Decimal("0.001"))
    assert scale.count_up(amount) == ceil(Fraction(amount) / Fraction("0.001"))
    assert scale.count_down(amount) == floor(Fraction(amount) / Fraction("0.001"))


@given(st.integers(-(10**15), 10**15))
@quick
def test_ticks_round_away_from_fair(subticks: int) -> None:
    """Down is at or below by less than a tick, up at or above."""
    assert 0 <= subticks - ticks_down(subticks) * SUBTICKS < SUBTICKS
    assert 0 <= ticks_up(subticks) * SUBTICKS - subticks < SUBTICKS


@given(st.integers(-(10**15), 10**15), st.decimals(-500, 500, places=6))
@quick
def test_basis_points_are_never_fewer_than_asked(subticks: int, bps: Decimal) -> None:
    """bps_of rounds up, by less than one subtick."""
    exact = Fraction(subticks) * Fraction(bps) / BPS
    assert 0 <= bps_of(subticks, bps) - exact < 1


@given(steps, steps, st.integers(1, 10**8), st.integers(1, 10**8))
@quick
def test_notional_is_exact(tick: Decimal, lot: Decimal, ticks: int, lots: int) -> None:
    value = Grid.of(tick, lot).notional(ticks, lots)
    assert Fraction(value) == Fraction(tick) * ticks * Fraction(lot) * lots


@given(st.integers(1, 5_000), st.integers(0, 6), st.decimals(0, 10**7, places=6))
@quick
def test_subticks_are_the_nearest_millionth_of_a_tick(digits: int, places: int, price: Decimal) -> None:
    grid = Grid.of(Decimal(digits).scaleb(-places), Decimal("0.001"))
    whole = Fraction(price) / Fraction(grid.price.step) * SUBTICKS
    subticks = grid.subticks(price)
    assert abs(subticks - whole) <= Fraction(1, 2) + Fraction(1, 10**6)
    assert abs(Fraction(grid.subticks_price(subticks)) - Fraction(price)) <= Fraction(grid.price.step) / SUBTICKS


LONGEST = st.integers(-(10**40), 10**40).flatmap(
    lambda digits: st.integers(0, 38).map(lambda places: Decimal(f"{digits}E-{places}"))
)


@given(st.lists(st.lists(LONGEST, min_size=1, max_size=5), max_size=20))
@quick
def test_money_is_summed_exactly_whatever_texts_may_come(products: list[list[Decimal]]) -> None:
    """Five factors of the longest texts, and any sum of them; in basis points too."""
    total, expected = Decimal(0), Fraction(0)
    with exact():
        for factors in products:
            product, fraction = Decimal(1), Fraction(1)
            for factor in factors:
                product, fraction = product * factor, fraction * Fraction(factor)
            total, expected = total + product / BPS, expected + fraction / BPS
    assert Fraction(total) == expected


def test_what_cannot_be_exact_raises_and_nothing_stays_changed() -> None:
    before = getcontext().copy()
    with pytest.raises(Inexact), exact():
        Decimal(1) / Decimal(3)
    assert (getcontext().prec, getcontext().traps) == (before.prec, before.traps)
    with exact():
        Decimal(1) + Decimal("1E-900")


def test_sides() -> None:
    """A buy moves the position up; opposites are opposite."""
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY
