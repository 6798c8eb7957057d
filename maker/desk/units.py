"""Sides, and prices and sizes as exact integers on a market's grid.

Inside the desk a price is a whole number of *ticks* and a size a whole number of *lots* (the market's price and size
steps). A fair value falls between ticks: it is held in *subticks*, millionths of a tick, an integer too, so that a
ladder is the same on every machine and no float ever decides which tick an order rests on. Rounding is always named:
down, up, or away from fair (a bid down, an ask up).
"""

from __future__ import annotations

import enum
import re
from contextlib import AbstractContextManager
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext
from typing import Final

import attrs

SUBTICKS: Final = 1_000_000  # subticks a tick
BPS: Final = 10_000  # basis points in one

# What may stand for a number on the wire (S19): ASCII digits, no exponent, no sign but a minus, no leading zeros.
DECIMAL_TEXT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
DECIMAL_TEXT_CHARACTERS_MAX: Final = 40  # no price or size of any venue is longer; bounds the work on hostile input
CACHE_ENTRIES_MAX: Final = 1_024  # distinct texts remembered a market: a minute of a busy book, 200 kB


# For money that must add up to the last digit. A product has at most five factors, texts of no more than
# DECIMAL_TEXT_CHARACTERS_MAX digits: no sum of them comes near this many, and one that did would raise, not round.
EXACT_DIGITS_MAX: Final = 1_000
EXACT: Final = Context(prec=EXACT_DIGITS_MAX, traps=[DivisionByZero, Inexact, InvalidOperation, Overflow])


def exact() -> AbstractContextManager[Context]:
    """Within it sums, products and quotients by powers of ten are exact; whatever would be rounded raises Inexact."""
    return localcontext(EXACT)


class Side(enum.Enum):
    """Which side of the book an order rests on."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell: the direction a fill moves the position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


def fixed_decimal(text: str) -> str:
    """Pass a fixed-decimal string through; raise ValueError for anything else (NaN, exponent, `+`, `1_000`, spaces)."""
    if len(text) > DECIMAL_TEXT_CHARACTERS_MAX or DECIMAL_TEXT.fullmatch(text) is None:
        raise ValueError(f"not a fixed decimal: {text[:DECIMAL_TEXT_CHARACTERS_MAX]!r}")
    return text


def decimal_exact(text: str) -> Decimal:
    """Read a fixed-decimal string as the Decimal it means; raise ValueError as `fixed_decimal`."""
    return Decimal(fixed_decimal(text))


def scaled_parts(unit: Decimal) -> tuple[int, int]:
    """Split a step such as 0.05 into (5, 2): mantissa and number of decimals. Raise ValueError unless positive."""
    if not unit.is_finite() or unit <= 0:
        raise ValueError(f"a grid step must be a positive number, not {unit}")
    exponent = unit.as_tuple().exponent
    assert isinstance(exponent, int)
    decimals = max(0, -exponent)
    mantissa = int(unit.scaleb(decimals))
    while decimals and mantissa % 10 == 0:  # 0.10 is 0.1
        mantissa, decimals = mantissa // 10, decimals - 1
    return mantissa, decimals


@attrs.frozen
class Scale:
    """One dimension of a grid: text <-> whole number of steps, exactly, with the texts remembered."""

    step: Decimal
    mantissa: int = attrs.field(init=False)
    decimals: int = attrs.field(init=False)
    counts: dict[str, int] = attrs.field(init=False, factory=dict, eq=False, repr=False)
    texts: dict[int, str] = attrs.field(init=False, factory=dict, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        mantissa, decimals = scaled_parts(self.step)
        object.__setattr__(self, "mantissa", mantissa)
        object.__setattr__(self, "decimals", decimals)

    def count(self, text: str) -> int:
        """Whole steps in a decimal text; raise ValueError when malformed or off the grid."""
        known = self.counts.get(text)
        if known is not None:
            return known
        whole, _, part = fixed_decimal(text).partition(".")
        padded = part.rstrip("0").ljust(self.decimals, "0")
        count, rest = divmod(int(whole + padded), self.mantissa)
        if rest or len(padded) > self.decimals:
            raise ValueError(f"{text} is not a multiple of {self.step}")
        if len(self.counts) >= CACHE_ENTRIES_MAX:
            self.counts.clear()
        self.counts[text] = count
        return count

    def text(self, count: int) -> str:
        """Write a whole number of steps as a fixed decimal, without exponent."""
        known = self.texts.get(count)
        if known is not None:
            return known
        scaled = count * self.mantissa
        if self.decimals == 0:
            written = str(scaled)
        else:
            whole, part = divmod(abs(scaled), 10**self.decimals)
            written = f"{'-' if scaled < 0 else ''}{whole}.{part:0{self.decimals}d}"
        if len(self.texts) >= CACHE_ENTRIES_MAX:
            self.texts.clear()
        self.texts[count] = written
        return written

    def value(self, count: int) -> Decimal:
        """The exact decimal of a whole number of steps."""
        return self.step * count

    def count_down(self, amount: Decimal) -> int:
        """Whole steps not above an amount."""
        numerator, denominator = amount.as_integer_ratio()
        return numerator * int(10**self.decimals) // (denominator * self.mantissa)

    def count_up(self, amount: Decimal) -> int:
        """Whole steps not below an amount."""
        return -self.count_down(amount.copy_negate())


@attrs.frozen
class Grid:
    """A market's price and size steps: ticks for prices, lots for sizes."""

    price: Scale
    size: Scale

    @classmethod
    def of(cls, tick: Decimal, lot: Decimal) -> Grid:
        """Build a grid from the market's tick size (quote per base) and step size (base)."""
        return cls(Scale(tick), Scale(lot))

    def notional(self, ticks: int, lots: int) -> Decimal:
        """Exact value in quote currency of `lots` at `ticks`."""
        return self.price.step * self.size.step * (ticks * lots)

    def subticks(self, price: Decimal) -> int:
        """A price between ticks, rounded half-even to a millionth of a tick (an estimate, never an order's price)."""
        return int((price / self.price.step * SUBTICKS).to_integral_value())

    def subticks_price(self, subticks: int) -> Decimal:
        """Back from subticks to a price in quote currency."""
        return self.price.step * subticks / SUBTICKS


def ticks_down(subticks: int) -> int:
    """The tick at or below: where a bid goes, away from fair."""
    return subticks // SUBTICKS


def ticks_up(subticks: int) -> int:
    """The tick at or above: where an ask goes, away from fair."""
    return -(-subticks // SUBTICKS)


def bps_of(subticks: int, bps: Decimal) -> int:
    """`bps` basis points of a price, in subticks, rounded up so that an edge is never smaller than asked."""
    numerator, denominator = bps.as_integer_ratio()
    return -(-subticks * numerator // (BPS * denominator))
