"""Figures as people read them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from maker.report import words


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0", "0.0000"),
        ("-0", "0.0000"),
        ("0.00004", "0.0000"),
        ("-0.00004", "0.0000"),
        ("0.00006", "+0.0001"),
        ("-12.5", "-12.5000"),
        ("1234567.891", "+1,234,567.8910"),
        ("1" + "0" * 40 + ".5", "+10" + ",000" * 13 + ".5000"),
    ],
)
def test_an_amount_has_its_sign_and_no_zero_has_one(value: str, written: str) -> None:
    assert words.amount(Decimal(value)) == written


def test_amounts_of_a_thousand_have_fewer_decimals() -> None:
    assert words.decimals_for([Decimal("999.9"), Decimal("-3")]) == 4
    assert words.decimals_for([Decimal("-1000"), Decimal("3")]) == 2
    assert words.decimals_for([]) == 4


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Fraction(1), "100.0 %"),
        (0.99999, "99.9 %"),
        (0.5, "50.0 %"),
        (0.0, "0.0 %"),
        (1e-9, "<0.1 %"),
        (0.0005, "0.1 %"),
        (Fraction(1, 3), "33.3 %"),
    ],
)
def test_only_all_is_called_all_and_only_nothing_nothing(value: float, written: str) -> None:
    assert words.share(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0.00 s"),
        (9.994, "9.99 s"),
        (10.2, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (86399.0, "23 h 59 min"),
        (90_000.0, "1 d 01 h"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds: float, written: str) -> None:
    assert words.span(seconds) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(0.000_123, "0.12 ms"), (0.0123, "12.3 ms"), (0.5, "500 ms"), (-0.0021, "-2.10 ms")]
)
def test_a_latency_has_three_digits(seconds: float, written: str) -> None:
    assert words.milliseconds(seconds) == written


def test_the_rest() -> None:
    assert words.volume(Decimal("1234.567")) == "1,234.57"
    assert (words.bps(-0.004), words.bps(Decimal("0.005")), words.bps(-1.25)) == ("0.00", "0.00", "-1.25")
    assert (words.plural(1, "fill"), words.plural(2000, "fill")) == ("1 fill", "2,000 fills")
