"""Drawings as SVG, small enough to read on a phone: no script, no address, colours by class for light and dark.

Every drawing has a title and says in words what it shows; series differ by dash or shape as well as by colour. Nothing
here knows what a report is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

import attrs

from maker.report.since import DAY_MS, as_text

WIDTH, HEIGHT = 320.0, 170.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 8.0, 8.0, 20.0
TICKS_MAX: Final = 5  # on an axis; a label takes some 40 of the 320
TIME_STEPS_MS: Final = tuple(
    seconds * 1000 for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
)
DAY_STEPS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000)
SPACE: Final = 0.08  # of the values' range, above and below them

Point = tuple[float, float]


@attrs.frozen
class Line:
    """A series of points in order; `style` chooses colour and dash, 0 is the one that matters most."""

    name: str
    style: int
    points: Sequence[Point]
    step: bool = False  # a value holds until the next
    gap: float = math.inf  # points further apart than this are not joined


@attrs.frozen
class Marks:
    """Points of their own: `up` and `down` triangles are told apart without colours."""

    name: str
    style: int
    points: Sequence[Point]
    up: bool = True


@attrs.frozen
class Axes:
    """From values to places in the drawing."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * (self.bottom - self.top)


def axes_of(x_range: tuple[float, float], values: Iterable[float], *, from_zero: bool = False) -> Axes:
    """Axes on which every value has its place."""
    known = [*values, *([0.0] if from_zero else [])] or [0.0]
    low, high = min(known), max(known)
    space = (high - low) * SPACE or abs(high) * SPACE or 1.0
    bottom = 0.0 if from_zero and low >= 0 else low - space
    x_low, x_high = x_range
    return Axes(x_low, max(x_high, x_low + 1.0), bottom, high + space)


def drawing(name: str, title: str, told: str, body: Sequence[str], height: float = HEIGHT) -> str:
    """An SVG element with what it shows in words. `name` is unique among the drawings of its page."""
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-labelledby="drawn-{name} told-{name}">'
        f'<title id="drawn-{name}">{escape(title)}</title><desc id="told-{name}">{escape(told)}</desc>'
        f"{''.join(body)}</svg>"
    )


# -- axes ----------------------------------------------------------------------------------------------------------


def round_step(length: float, ticks_max: int = TICKS_MAX) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides a length into few enough steps."""
    if length <= 0 or not math.isfinite(length):
        return 1.0
    power = 10.0 ** math.floor(math.log10(length / ticks_max))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if length / (power * factor) <= ticks_max)


def value_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round values within a range, with as many digits as tell them apart."""
    step = round_step(high - low)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(number * step, short(number * step, decimals)) for number in range(first, last + 1)]


def short(value: float, decimals: int) -> str:
    """A value on an axis: 950, 1.5k, 59.85k, 12M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            digits = decimals + round(math.log10(size))
            text = f"{value / size:,.{min(digits, 4)}f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + unit
    return f"{value:z,.{decimals}f}"


def time_ticks(low_ms: float, high_ms: float) -> list[tuple[float, str]]:
    """Round moments of UTC within a range: times, and at midnight the day."""
    length = high_ms - low_ms
    step = next((one for one in TIME_STEPS_MS if length / one <= TICKS_MAX), 0)
    if not step:
        step = DAY_MS * next(one for one in DAY_STEPS if length / (DAY_MS * one) <= TICKS_MAX)
    found = []
    for number in range(math.ceil(low_ms / step), math.floor(high_ms / step) + 1):
        day, _, clock = as_text(number * step).partition(" ")
        found.append((float(number * step), day[5:] if clock == "00:00:00" else clock[: 8 if step < 60_000 else 5]))
    return found


def y_axis(axes: Axes) -> list[str]:
    """Lines across at round values, the one at zero a little stronger."""
    parts = []
    for value, label in value_ticks(axes.y_low, axes.y_high):
        at = axes.y(value)
        kind = "zero" if abs(value) < 1e-12 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 5:g}" y="{at + 3.5:.1f}">{escape(label)}</text>')
    return parts


def x_labels(axes: Axes, ticks: Iterable[tuple[float, str]], height: float = HEIGHT) -> list[str]:
    """Labels below, moved inwards where they would stand out."""
    parts = []
    for value, label in ticks:
        at = axes.x(value)
        where = "mid" if LEFT + 12 < at < WIDTH - 22 else ("end" if at > WIDTH / 2 else "begin")
        parts.append(f'<text class="tick {where}" x="{at:.1f}" y="{height - 5:g}">{escape(label)}</text>')
    return parts


# -- drawings ------------------------------------------------------------------------------------------------------


def over_time(
    name: str,
    title: str,
    told: str,
    x_range: tuple[float, float],
    lines: Sequence[Line],
    marks: Sequence[Marks] = (),
    limit: float | None = None,
) -> str:
    """Lines over time (milliseconds of UTC), with marks on them and a line that should not be passed."""
    points = [*(line.points for line in lines), *(one.points for one in marks)]
    values = [y for series in points for _, y in series] + ([] if limit is None else [limit])
    axes = axes_of(x_range, values, from_zero=limit is not None)
    body = [*y_axis(axes), *x_labels(axes, time_ticks(*x_range))]
    if limit is not None:
        at = axes.y(limit)
        body.append(f'<line class="limit" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
    body += [path(axes, line) for line in reversed(lines) if line.points]
    body += [triangle(axes, series, point) for series in marks for point in series.points]
    return drawing(name, title, told, body)


def path(axes: Axes, line: Line) -> str:
    """A line through its points; a single one is a dot."""
    if len(line.points) == 1:
        x, y = line.points[0]
        return f'<circle class="f{line.style}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.5"/>'
    pieces: list[str] = []
    before = -math.inf
    for x, y in line.points:
        place = axes.x(x), axes.y(y)
        if x - before > line.gap or not pieces:
            pieces.append(f"M{place[0]:.1f} {place[1]:.1f}")
        else:
            pieces.append(f"H{place[0]:.1f}V{place[1]:.1f}" if line.step else f"L{place[0]:.1f} {place[1]:.1f}")
        before = x
    return f'<path class="l{line.style}" d="{"".join(pieces)}"/>'


def triangle(axes: Axes, marks: Marks, point: Point) -> str:
    x, y = axes.x(point[0]), axes.y(point[1])
    tip, base = (-3.5, 2.5) if marks.up else (3.5, -2.5)
    return (
        f'<path class="f{marks.style}" '
        f'd="M{x:.1f} {y + tip:.1f}L{x + 3.2:.1f} {y + base:.1f}L{x - 3.2:.1f} {y + base:.1f}Z"/>'
    )


def by_class(name: str, title: str, told: str, edges: Sequence[str], shares: Sequence[float]) -> str:
    """Bars of shares (0 to 1) of classes side by side; `edges` are the bounds between them, one more than bars."""
    axes = axes_of((0.0, float(len(shares))), [share * 100 for share in shares], from_zero=True)
    body = y_axis(axes)
    for number, share in enumerate(shares):
        left, right = axes.x(number) + 1, axes.x(number + 1) - 1
        top = axes.y(share * 100)
        body.append(
            f'<rect class="f1" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{axes.bottom - top:.1f}"><title>{escape(edges[number])} to '
            f"{escape(edges[number + 1] or 'more')}: {share * 100:.1f} %</title></rect>"
        )
    every = max(1, math.ceil(len(edges) / 12))
    body += x_labels(axes, [(float(at), edge) for at, edge in enumerate(edges) if at % every == 0])
    return drawing(name, title, told, body)


def stacked(
    name: str, title: str, told: str, labels: Sequence[str], parts: Sequence[tuple[str, int, Sequence[float]]]
) -> str:
    """A column for each label: gains above zero, costs below, and their sum as a mark. `parts`: name, style, values."""
    sums = [sum(values[at] for _, _, values in parts) for at in range(len(labels))]
    tops = [sum(max(0.0, values[at]) for _, _, values in parts) for at in range(len(labels))]
    lows = [sum(min(0.0, values[at]) for _, _, values in parts) for at in range(len(labels))]
    axes = axes_of((0.0, float(len(labels))), [*tops, *lows, 0.0])
    body = y_axis(axes)
    for at, label in enumerate(labels):
        left, right = axes.x(at + 0.15), axes.x(at + 0.85)
        above = below = 0.0
        for part, style, values in parts:
            begin = above if values[at] >= 0 else below
            end = begin + values[at]
            above, below = (end, below) if values[at] >= 0 else (above, end)
            top, bottom = axes.y(max(begin, end)), axes.y(min(begin, end))
            body.append(
                f'<rect class="f{style}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}"><title>{escape(label)}, {escape(part)}: {values[at]:+,.4f}</title></rect>'
            )
        at_sum = axes.y(sums[at])
        body.append(f'<line class="sum" x1="{left - 2:.1f}" x2="{right + 2:.1f}" y1="{at_sum:.1f}" y2="{at_sum:.1f}"/>')
    every = max(1, math.ceil(len(labels) / 7))
    body += x_labels(axes, [(at + 0.5, label) for at, label in enumerate(labels) if at % every == 0])
    return drawing(name, title, told, body)


def strips(
    name: str,
    title: str,
    told: str,
    x_range: tuple[float, float],
    rows: Sequence[tuple[str, Sequence[tuple[float, float, float, float]]]],
    ticks: Sequence[tuple[float, str]] = (),
) -> str:
    """A strip a row over time, filled as high as its share. Of each piece: begin, end, share whole, share half done.

    `ticks` are moments that are marked through all strips, with a sentence each.
    """
    row_height, gap = 20.0, 16.0
    height = TOP + len(rows) * (row_height + gap) + BOTTOM
    axes = Axes(x_range[0], max(x_range[1], x_range[0] + 1.0), 0.0, 1.0)
    body = []
    for number, (label, pieces) in enumerate(rows):
        top = TOP + number * (row_height + gap) + gap - 4
        body.append(f'<text class="tick begin" x="{LEFT:g}" y="{top - 3:.1f}">{escape(label)}</text>')
        body.append(f'<rect class="empty" x="{LEFT:g}" y="{top:.1f}" width="{WIDTH - LEFT - RIGHT:g}" height="20"/>')
        for begin, end, whole, half in pieces:
            left, width = axes.x(begin), max(0.3, axes.x(end) - axes.x(begin) + 0.1)
            bottom = top + row_height
            for share, style in ((whole, "f3"), (half, "f2")):
                if share > 0:
                    bottom -= share * row_height
                    body.append(
                        f'<rect class="{style}" x="{left:.1f}" y="{bottom:.1f}" width="{width:.1f}" '
                        f'height="{share * row_height:.1f}"/>'
                    )
    for at, sentence in ticks:
        body.append(
            f'<line class="halt" x1="{axes.x(at):.1f}" x2="{axes.x(at):.1f}" y1="{TOP:g}" '
            f'y2="{height - BOTTOM:.1f}"><title>{escape(sentence)}</title></line>'
        )
    body += x_labels(axes, time_ticks(*x_range), height)
    return drawing(name, title, told, body, height)
