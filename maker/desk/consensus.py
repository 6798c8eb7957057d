"""One price out of several: who is left out for standing apart, and what the rest say together."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs


class Combine(enum.Enum):
    """How one price is made of several; both by weight."""

    MEDIAN = "median"
    MEAN = "mean"


@attrs.frozen
class Priced:
    """A source that may count: its price with its basis."""

    name: str
    price: int
    weight: int
    half_spread: int
    age: float


def outliers(priced: Sequence[Priced], limit: int) -> list[Priced]:
    """Those further than `limit` from the median of the rest: the worst first, then the rest among themselves.

    Where no majority of them agrees all are: of two that disagree, of three with one in the middle, or of two against
    two, nobody knows which is right.
    """
    found: list[Priced] = []
    rest = list(priced)
    while len(rest) > 1:
        away = [abs(2 * one.price - twice_median([other.price for other in rest if other is not one])) for one in rest]
        worst = max(away)
        if worst <= 2 * limit:
            break
        gone = [one for one, far in zip(rest, away, strict=True) if far == worst]
        found.extend(gone)
        rest = [one for one in rest if one not in gone]
    return found if 2 * len(rest) > len(priced) else list(priced)


def combined(how: Combine, priced: Sequence[Priced]) -> int:
    return weighted_median(priced) if how is Combine.MEDIAN else weighted_mean(priced)


def twice_median(prices: Sequence[int]) -> int:
    """Twice the median, so that it is whole."""
    ordered = sorted(prices)
    return ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]


def weighted_median(priced: Sequence[Priced]) -> int:
    """The price at which half of the weight lies on either side; between two, their middle."""
    ordered = sorted(priced, key=lambda one: one.price)
    whole = sum(one.weight for one in ordered)
    below = 0
    for index, one in enumerate(ordered):
        below += one.weight
        if 2 * below > whole:
            return one.price
        if 2 * below == whole:
            return (one.price + ordered[index + 1].price) // 2
    raise AssertionError("weights are positive")


def weighted_mean(priced: Sequence[Priced]) -> int:
    return sum(one.price * one.weight for one in priced) // sum(one.weight for one in priced)
