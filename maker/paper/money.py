"""Exact decimal arithmetic for the practice exchange.

Every amount here is a `decimal.Decimal`, and sums and products of amounts are never rounded: the exchange works
under `EXACT`, which raises `decimal.Inexact` where a result would not fit. The only roundings are the ones that go
through `ratio`, `share` and the grids, which name their precision.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from functools import wraps
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ZERO: Final = Decimal(0)
BASIS_POINTS: Final = Decimal("0.0001")  # a fraction per basis point; a product, so that fees need no division

# 80 digits: the longest true product is a price times a size, 72 digits, with room for sums of 10^8 of them.
EXACT: Final = Context(prec=80, traps=[Inexact, FloatOperation, InvalidOperation, DivisionByZero, Overflow])

# 28 digits, decimal's own default: what average entry prices and other quotients are rounded to.
_QUOTIENT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_DOWN: Final = Context(prec=80, rounding=ROUND_FLOOR, traps=[InvalidOperation, DivisionByZero, Overflow])
_UP: Final = Context(prec=80, rounding=ROUND_CEILING, traps=[InvalidOperation, DivisionByZero, Overflow])
_NEAREST: Final = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])

_SHARE: Final = Decimal(1).scaleb(-18)  # what the cost of a part of a position is rounded to

# An amount from outside may have this many decimals and leading digits, and no more: the border of exactness.
DECIMALS_MAX: Final = 18
DIGITS_MAX: Final = 18


def exactly(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under `EXACT`, so that a rounding raises instead of passing."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        outer = getcontext()
        if outer is EXACT:
            return function(*args, **kwargs)
        setcontext(EXACT)
        try:
            return function(*args, **kwargs)
        finally:
            setcontext(outer)

    return run


def ratio(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Divide, rounding half-even to 28 significant digits."""
    return _QUOTIENT.divide(numerator, denominator)


def share(whole: Decimal, part: Decimal, total: Decimal) -> Decimal:
    """Return whole x part / total, rounded half-even to 18 decimals; whoever divides a sum keeps the rest."""
    return round_to(_NEAREST.divide(_NEAREST.multiply(whole, part), total), _SHARE)


def round_to(value: Decimal, quantum: Decimal) -> Decimal:
    """Round half-even to the decimals of `quantum`."""
    return value.quantize(quantum, context=_NEAREST)


def grid_down(value: Decimal, grid: Decimal) -> Decimal:
    """Return the largest multiple of `grid` that is not above `value`."""
    return _DOWN.multiply(_DOWN.divide(value, grid).to_integral_value(context=_DOWN), grid)


def grid_up(value: Decimal, grid: Decimal) -> Decimal:
    """Return the smallest multiple of `grid` that is not below `value`."""
    return _UP.multiply(_UP.divide(value, grid).to_integral_value(context=_UP), grid)


def is_ordinary(value: Decimal) -> bool:
    """Tell whether a number from outside is finite and short enough to be reckoned with exactly."""
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent >= -DECIMALS_MAX and value.adjusted() < DIGITS_MAX


def plain(value: Decimal) -> str:
    """Spell a number in fixed decimal, never with an exponent, and zero without a sign."""
    return format(value or abs(value), "f")
