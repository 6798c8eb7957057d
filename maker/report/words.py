"""How figures are written for people: rounded, aligned by the reader's eye, never with an exponent."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

NONE: Final = "-"  # a figure that is not known, or that there is none of
DECIMALS: Final = 4  # of amounts in quote currency, while they are small
DECIMALS_LARGE: Final = 2
LARGE: Final = 1_000  # from here on the smaller decimals are noise


def decimals_for(amounts: Iterable[Decimal]) -> int:
    """How many decimals a column of amounts is shown with."""
    return DECIMALS_LARGE if any(abs(amount) >= LARGE for amount in amounts) else DECIMALS


def amount(value: Decimal, decimals: int = DECIMALS) -> str:
    """A gain or a loss: always with its sign."""
    text = f"{value:+z,.{decimals}f}"
    return text if text.strip("+0.") else text[1:]


def volume(value: Decimal, decimals: int = DECIMALS_LARGE) -> str:
    return f"{value:z,.{decimals}f}"


def share(value: Fraction | float) -> str:
    """A part of a whole, as a percentage; only all of it is called 100.0 %, and only nothing of it 0.0 %."""
    if 0 < value < 0.0005:
        return "<0.1 %"
    if value < 1:
        value = min(float(value), 0.9994)
    return f"{float(value) * 100:.1f} %"


def bps(value: Decimal | float) -> str:
    text = f"{value:+z.2f}"
    return text if text.strip("+0.") else text[1:]


def milliseconds(seconds: float) -> str:
    """A latency: three digits that matter."""
    value = seconds * 1000
    if abs(value) >= 100:
        return f"{value:,.0f} ms"
    return f"{value:.1f} ms" if abs(value) >= 10 else f"{value:.2f} ms"


def span(seconds: float) -> str:
    """How long something took, in its two largest units."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"


def count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """`1 fill`, `2 fills`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
