"""Long series made short enough to draw, without losing what the eye looks for: the extremes, the gaps, the ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

POINTS_MAX: Final = 600  # a series: a chart is about as many pixels wide

Point = Sequence[Any]  # its time, then values; a value may be None


def thinned(points: Sequence[Point], *, low: int = 1, high: int = 1, points_max: int = POINTS_MAX) -> list[Point]:
    """Return at most `points_max` of the points, in their order.

    First and last are kept, and of each stretch between them the least value in column `low`, the greatest in column
    `high`, and one that has no value where there is one, so that a gap stays a gap.
    """
    if len(points) <= points_max:
        return list(points)
    stretches = max(1, (points_max - 2) // 3)
    kept = [0]
    inner = len(points) - 2
    for number in range(stretches):
        begin, end = 1 + number * inner // stretches, 1 + (number + 1) * inner // stretches
        kept += sorted(chosen(points, begin, end, low, high))
    return [points[index] for index in [*kept, len(points) - 1]]


def chosen(points: Sequence[Point], begin: int, end: int, low: int, high: int) -> set[int]:
    """The places of a stretch that are kept."""
    places = range(begin, end)
    lows = [place for place in places if points[place][low] is not None]
    highs = [place for place in places if points[place][high] is not None]
    found = set[int]()
    if lows:
        found.add(min(lows, key=lambda place: points[place][low]))
    if highs:
        found.add(max(highs, key=lambda place: points[place][high]))
    gap = next((place for place in places if None in points[place][1:]), None)
    return found if gap is None else found | {gap}
