"""What of a report is drawn: each picture with its title, its words and its legend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs

from maker.desk.units import Side, exact
from maker.report import charts, words
from maker.report.charts import Line, Marks
from maker.report.fills import Spot
from maker.report.ladders import MINUTE_MS, Latency
from maker.report.quoting import SPREAD_BOUNDS_BPS
from maker.report.since import day_text
from maker.report.whole import Report

PARTS: Final = (("spread", 1), ("inventory", 2), ("fees", 3), ("funding", 4), ("untold", 5), ("residual", 5))
MARKETS_MAX: Final = 5  # as many lines as can be told apart
LATENCY_EDGES_MS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
SPOTS_MAX: Final = 48  # marks of one side, side by side
HALT_TICKS_MAX: Final = 200  # drawn: more would be a wall


@attrs.frozen
class Picture:
    """An SVG element, and which series are in it: name, style, and shape (line, area, up, down)."""

    title: str
    svg: str
    legend: Sequence[tuple[str, int, str]] = ()


def span_of(report: Report) -> tuple[float, float]:
    return float(report.window.since_ms), float(report.window.until_ms)


def money(report: Report) -> list[Picture]:
    """Profit over time, what made it, and day by day."""
    profit = report.profit
    if not profit.made:
        return []
    total = float(profit.total.profit)
    told = f"Profit since the begin of the report; it ends at {total:+,.4f} in quote currency."
    parts = [(name, style) for name, style in PARTS if any(getattr(one, name) for one in profit.made.values())]
    lines = [Line("profit", 0, curve(report, None))]
    lines += [Line(name, style, curve_of_part(report, name)) for name, style in parts]
    found = [
        Picture(
            "Profit and what made it",
            charts.over_time("profit", "Profit and what made it", told, span_of(report), lines),
            [(line.name, line.style, "line") for line in lines],
        )
    ]
    if len(profit.markets) > 1:
        ranked = sorted(profit.markets, key=lambda market: -abs(profit.of_market(market).profit))
        shown = sorted(ranked[:MARKETS_MAX])
        lines = [Line(market, 1 + at, curve(report, market)) for at, market in enumerate(shown)]
        title = "Profit by market" if len(ranked) <= MARKETS_MAX else f"Profit of the {MARKETS_MAX} largest markets"
        told = "; ".join(f"{market} ends at {float(profit.of_market(market).profit):+,.4f}" for market in shown)
        found.append(
            Picture(
                title,
                charts.over_time("markets", title, told, span_of(report), lines),
                [(line.name, line.style, "line") for line in lines],
            )
        )
    days = sorted({day for day, _ in profit.by_day()})
    if len(days) > 1:
        by_day = [[one for (day, _), one in profit.by_day().items() if day == which] for which in days]
        columns = [
            (name, style, [float(sum(getattr(one, name) for one in ones)) for ones in by_day]) for name, style in parts
        ]
        labels = [day_text(day)[5:] for day in days]
        told = "A column a day: gains above zero, costs below; the mark is their sum."
        found.append(
            Picture(
                "Profit by day",
                charts.stacked("days", "Profit by day", told, labels, columns),
                [(name, style, "area") for name, style in parts],
            )
        )
    return found


def curve(report: Report, market: str | None) -> list[charts.Point]:
    return grown(report, [(bucket, float(value)) for bucket, value in report.profit.curve(market)])


def curve_of_part(report: Report, name: str) -> list[charts.Point]:
    """One part of the profit, summed over time and markets."""
    steps: dict[int, float] = {}
    for (_, bucket), made in sorted(report.profit.made.items(), key=lambda one: one[0][1]):
        steps[bucket] = steps.get(bucket, 0.0) + float(getattr(made, name))
    return grown(report, zip(steps, itertools.accumulate(steps.values()), strict=True))


def grown(report: Report, ends: Iterable[tuple[int, float]]) -> list[charts.Point]:
    """A sum that grows within each of these buckets to the value at its end, and is flat where none is."""
    found = [(float(report.window.since_ms), 0.0)]
    for bucket, value in ends:
        if bucket > found[-1][0]:
            found.append((float(bucket), found[-1][1]))
        found.append((end_of(report, bucket), value))
    return found


# -- one market ----------------------------------------------------------------------------------------------------


def market(report: Report, name: str, number: int) -> list[Picture]:
    """A market's price with our fills, its inventory, its spreads and its markouts."""
    found = []
    held = sorted((bucket, one) for (market_id, bucket), one in report.profit.held.items() if market_id == name)
    if held:
        found += [price(report, name, number, held), inventory(report, name, number, held)]
    if name in report.quoting.spreads:
        found.append(spread_times(report, name, number))
    if any(key[0] == name and tally.count for key, tally in report.fills.markouts.items()):
        found.append(markouts(report, name, number))
    return found


Held = Sequence[tuple[int, tuple[Decimal, Decimal]]]  # bucket -> position and mark


def end_of(report: Report, bucket: int) -> float:
    return float(min(bucket + report.window.bucket_ms, report.window.until_ms))


def gap(report: Report) -> float:
    """Milliseconds without a row after which nobody was there to write one."""
    return 2.5 * max(report.window.bucket_ms, 10_000)


def price(report: Report, name: str, number: int, held: Held) -> Picture:
    line = Line("mark", 0, [(end_of(report, bucket), float(mark)) for bucket, (_, mark) in held], gap=gap(report))
    marks = [
        Marks("we bought", 1, spots(report, name, Side.BUY), up=True),
        Marks("we sold", 2, spots(report, name, Side.SELL), up=False),
    ]
    flow = report.fills.markets.get(name)
    told = f"The exchange's mark, and {words.plural(flow.fills if flow else 0, 'fill')} of ours at their mean prices."
    svg = charts.over_time(f"price-{number}", f"{name}: price and our fills", told, span_of(report), [line], marks)
    return Picture("Price and our fills", svg, [("mark", 0, "line"), ("we bought", 1, "up"), ("we sold", 2, "down")])


def spots(report: Report, name: str, side: Side) -> list[charts.Point]:
    """Fills of one side at their mean prices, near ones together, so that they can be seen apart."""
    window = report.window
    length = max(window.bucket_ms, math.ceil((window.until_ms - window.since_ms) / SPOTS_MAX))
    sums: dict[int, Spot] = {}
    for (market_id, bucket, which), spot in report.fills.spots.items():
        if market_id == name and which is side:
            one = sums.setdefault((bucket - window.since_ms) // length, Spot())
            with exact():
                one.size, one.value = one.size + spot.size, one.value + spot.value
    begin, end = span_of(report)
    middles = ((begin + (number + 0.5) * length, spot.price) for number, spot in sorted(sums.items()))
    return [(min(max(at, begin), end), price) for at, price in middles]


def inventory(report: Report, name: str, number: int, held: Held) -> Picture:
    points = [(end_of(report, bucket), float(position)) for bucket, (position, _) in held]
    least, most = min(y for _, y in points), max(y for _, y in points)
    told = f"Our position in base currency: from {least:g} to {most:g}, last {points[-1][1]:g}."
    line = Line("position", 1, points, step=True, gap=gap(report))
    svg = charts.over_time(f"inventory-{number}", f"{name}: inventory", told, span_of(report), [line])
    return Picture("Inventory", svg)


def spread_times(report: Report, name: str, number: int) -> Picture:
    classes = report.quoting.spreads[name]
    met = [at for at, length in enumerate(classes) if length]
    first, last = met[0], met[-1]
    bounds = ["0", *(f"{bound:f}" for bound in SPREAD_BOUNDS_BPS), ""]
    shares = [length / sum(classes) for length in classes[first : last + 1]]
    mean = report.quoting.spread_bps(name) or 0.0
    told = f"Share of the time that both sides rested, by our spread in basis points; {mean:.2f} on average."
    edges = bounds[first : last + 2]
    return Picture(
        "Time at each spread, bp",
        charts.by_class(f"spread-{number}", f"{name}: time at each spread", told, edges, shares),
    )


def markouts(report: Report, name: str, number: int) -> Picture:
    """Mean markout of each side by horizon, all levels together."""
    horizons = report.fills.horizons
    lines, told = [], []
    for side, style in ((Side.BUY, 1), (Side.SELL, 2)):
        points = []
        for at, horizon in enumerate(horizons):
            tallies = [
                tally
                for (market_id, which, _, one), tally in report.fills.markouts.items()
                if (market_id, which, one) == (name, side, horizon) and tally.count
            ]
            if tallies:
                mean = float(
                    sum((Fraction(one.bps) for one in tallies), Fraction(0)) / sum(one.count for one in tallies)
                )
                points.append((at + 0.5, mean))
                told.append(f"{side.value} after {horizon:g} s: {mean:+.2f}")
        if points:
            lines.append(Line(f"{side.value}s", style, points))
    axes = charts.axes_of((0.0, float(len(horizons))), [y for line in lines for _, y in line.points] + [0.0])
    labels = [(at + 0.5, f"{horizon:g} s") for at, horizon in enumerate(horizons)]
    body = [*charts.y_axis(axes), *charts.x_labels(axes, labels), *(charts.path(axes, line) for line in lines)]
    dots = [Line(line.name, line.style, [point]) for line in lines for point in line.points]
    body += [charts.path(axes, dot) for dot in dots]
    svg = charts.drawing(f"markouts-{number}", f"{name}: mean markouts, basis points", "; ".join(told), body)
    return Picture("Markouts, bp", svg, [(line.name, line.style, "line") for line in lines])


# -- how it ran ----------------------------------------------------------------------------------------------------


def uptime(report: Report) -> list[Picture]:
    """Strips of what rested, with the halts that nobody asked for."""
    quoting, window = report.quoting, report.window
    if not quoting.markets:
        return []
    rows, told = [], []
    for name in quoting.markets:
        pieces = []
        for (market_id, bucket), one in sorted(quoting.uptime.items(), key=lambda item: item[0][1]):
            if market_id == name:
                begin, end = max(bucket, window.since_ms), end_of(report, bucket)
                length = max(1.0, end - begin)
                pieces.append((float(begin), end, one.both / length, one.one / length))
        rows.append((name, pieces))
        whole = quoting.of_market(name)
        told.append(f"{name} {words.share(Fraction(whole.both, whole.told) if whole.told else 0.0)}")
    unasked = [one for one in report.halts.halts if not one.asked][:HALT_TICKS_MAX]
    ticks = [(float(one.at_ms), one.sentence) for one in unasked]
    sentence = f"Time with both sides resting: {', '.join(told)}. {words.plural(len(unasked), 'halt')} drawn."
    svg = charts.strips("uptime", "What rested", sentence, span_of(report), rows, ticks)
    legend = [("both sides", 3, "area"), ("one side", 2, "area"), ("halt", 6, "line")]
    return [Picture("What rested", svg, legend)]


def requests(report: Report) -> list[Picture]:
    """Requests a minute against the limit."""
    minutes, window = report.requests.minutes, report.window
    if not minutes:
        return []
    length = max(window.bucket_ms, MINUTE_MS)
    sums: dict[int, int] = {}
    for minute, many in minutes.items():
        bucket = minute // length * length
        sums[bucket] = sums.get(bucket, 0) + many
    first, last = min(sums), max(sums)
    points = [
        (float(min(max(at, window.since_ms), window.until_ms)), sums.get(at, 0) / (length / MINUTE_MS))
        for at in range(first, last + 1, length)
    ]
    points.append((float(min(last + length, window.until_ms)), points[-1][1]))
    limit = report.requests.limit_per_minute
    told = f"Order-path requests a minute; {report.requests.total:,} together; the limit is {limit}."
    svg = charts.over_time(
        "requests", "Requests a minute", told, span_of(report), [Line("requests", 1, points, step=True)], limit=limit
    )
    return [Picture("Requests a minute", svg, [("requests", 1, "line"), ("limit", 6, "line")])]


def latency(report: Report) -> list[Picture]:
    """How soon ladders were answered."""
    seconds = [one for many in report.ladders.seconds.values() for one in many]
    if not seconds:
        return []
    counts = [0] * (len(LATENCY_EDGES_MS) + 1)
    for one in seconds:
        counts[next((at for at, edge in enumerate(LATENCY_EDGES_MS) if one * 1000 < edge), len(LATENCY_EDGES_MS))] += 1
    met = [at for at, many in enumerate(counts) if many]
    first, last = met[0], met[-1]
    edges = ["0", *(charts.short(edge, 0) if edge >= 1 else f"{edge:g}" for edge in LATENCY_EDGES_MS), ""]
    summary = Latency.of(seconds)
    median, worst = summary.percentiles[0] or 0.0, summary.percentiles[-1] or 0.0
    told = f"Share by time to the answer: median {words.milliseconds(median)}, longest {words.milliseconds(worst)}."
    shares = [many / len(seconds) for many in counts[first : last + 1]]
    svg = charts.by_class("latency", "Time to a ladder's answer", told, edges[first : last + 2], shares)
    return [Picture("Time to a ladder's answer, ms", svg)]
