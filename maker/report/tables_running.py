"""Tables of how it ran: quotes, ladders, requests, halts, latency, runs."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from maker.report import words
from maker.report.ladders import PERCENTILES, Latency
from maker.report.quoting import SPREAD_BOUNDS_BPS
from maker.report.since import DAY_MS
from maker.report.table import Column, Kind, Table, Value
from maker.report.whole import Report

ALL: Final = "all"
TOTAL: Final = "total"
OUTCOMES: Final = ("applied", "refused", "throttled", "unauthorized", "unknown", "unsent")  # of a ladder


def quotes(report: Report) -> Table:
    """What rested, by market."""
    rows: list[tuple[Value, ...]] = []
    for market in report.quoting.markets:
        uptime = report.quoting.of_market(market)
        parts = (uptime.both, uptime.one, uptime.nothing)
        shares = [Fraction(part, uptime.told) if uptime.told else None for part in parts]
        rows.append((market, uptime.told / 1000, *shares, report.quoting.spread_bps(market)))
    columns = (
        Column("market", "market"),
        Column("told_seconds", "time", Kind.SPAN),
        Column("two_sided", "both sides", Kind.SHARE),
        Column("one_sided", "one side", Kind.SHARE),
        Column("nothing", "nothing", Kind.SHARE),
        Column("spread_bps", "spread, bp", Kind.WIDTH),
    )
    note = (
        "Of the time that a maker ran, as it knew it; from a pull on nothing counts as quoted. Spread: our innermost "
        "ask less our innermost bid, of their middle, over the time that both rested."
    )
    return Table("quotes", "Uptime of quotes", columns, rows, note)


def spreads(report: Report) -> Table:
    """Time at each spread: as many columns as classes that were ever met."""
    markets = [market for market in report.quoting.markets if market in report.quoting.spreads]
    met = [
        index
        for index in range(len(SPREAD_BOUNDS_BPS) + 1)
        if any(report.quoting.spreads[market][index] for market in markets)
    ]
    rows: list[tuple[Value, ...]] = []
    for index in met:
        low, high = spread_class(index)
        shares = []
        for market in markets:
            classes = report.quoting.spreads[market]
            shares.append(Fraction(classes[index], sum(classes)))
        rows.append((spread_words(low, high), *shares))
    columns = (Column("spread_bps", "spread, bp"), *(Column(market, market, Kind.SHARE) for market in markets))
    return Table("spreads", "Time at each spread", columns, rows, "Of the time that both sides rested.")


def spread_class(index: int) -> tuple[Decimal, Decimal | None]:
    """From which spread on a class counts, and below which; basis points."""
    low = SPREAD_BOUNDS_BPS[index - 1] if index else Decimal(0)
    return low, SPREAD_BOUNDS_BPS[index] if index < len(SPREAD_BOUNDS_BPS) else None


def spread_words(low: Decimal, high: Decimal | None) -> str:
    return f"{low:f} and more" if high is None else f"{low:f} to {high:f}"


# -- ladders and requests ------------------------------------------------------------------------------------------


def ladders(report: Report) -> Table:
    """What became of ladders, by market."""
    markets = report.ladders.markets
    shown = [*markets, ALL] if len(markets) > 1 else markets
    rows: list[tuple[Value, ...]] = []
    for market in shown:
        counts = [report.ladders.count(outcome, None if market == ALL else market) for outcome in (None, *OUTCOMES)]
        rows.append((market, *counts))
    columns = (
        Column("market", "market"),
        Column("ladders", "ladders", Kind.COUNT),
        *(Column(outcome, outcome, Kind.COUNT) for outcome in OUTCOMES),
    )
    note = "A ladder is one request that replaces all quotes of a market; unsent: it never left."
    return Table("ladders", "Ladders", columns, rows, note, totals=len(shown) - len(markets))


def requests(report: Report) -> Table:
    """Order-path requests by day."""
    minutes = report.requests.minutes
    told = [run for run in report.runs if run.rows.get("requests")]
    alive: dict[int, int] = {}
    for run in told:
        for bucket, length in report.window.pieces(run.started_ms, run.last_ms):
            begin = bucket // DAY_MS * DAY_MS
            alive[begin] = alive.get(begin, 0) + length
    rows: list[tuple[Value, ...]] = []
    days: list[int | None] = [*report.requests.by_day()]
    totals = int(len(days) > 1)
    for day in (*days, *[None] * totals):
        mine = {minute: many for minute, many in minutes.items() if day in (None, minute // DAY_MS * DAY_MS)}
        running_minutes = (sum(alive.values()) if day is None else alive.get(day, 0)) / 60_000
        busiest, most = max(mine.items(), key=lambda one: (one[1], -one[0]))
        total = sum(mine.values())
        rows.append(
            (TOTAL if day is None else day, total, total / running_minutes if running_minutes else None, most, busiest)
        )
    columns = (
        Column("day", "day", Kind.DAY),
        Column("requests", "requests", Kind.COUNT),
        Column("requests_per_minute", "a minute", Kind.WIDTH),
        Column("busiest_minute_requests", "busiest", Kind.COUNT),
        Column("busiest_minute", "minute", Kind.MOMENT),
    )
    note = (
        "Order-path requests of the maker, cancels included, to five seconds; not those of the guard or a red button."
    )
    if report.requests.limit_per_minute is not None:
        limit, throttles = report.requests.limit_per_minute, words.count(report.requests.throttles)
        note += f" The limit was last {limit} a minute; answered 429: {throttles}."
    return Table("requests", "Requests used", columns, rows, note, totals=totals)


# -- halts ---------------------------------------------------------------------------------------------------------


def halts_by_cause(report: Report) -> Table:
    """Pulls by cause."""
    rows: list[tuple[Value, ...]] = []
    for cause in report.halts.by_cause():
        empty = Latency.of(one.empty_seconds for one in cause.halts if one.empty_seconds is not None)
        known = [one.without_seconds for one in cause.halts if one.without_seconds is not None]
        rows.append(
            (
                cause.cause,
                len(cause.halts),
                empty.percentiles[0],
                empty.percentiles[-1],
                sum(known) if known else None,
                max(known, default=None),
            )
        )
    columns = (
        Column("cause", "cause"),
        Column("halts", "times", Kind.COUNT),
        Column("empty_seconds_median", "read back empty", Kind.SPAN),
        Column("empty_seconds_longest", "at most", Kind.SPAN),
        Column("without_seconds", "without quotes", Kind.SPAN),
        Column("without_seconds_longest", "longest", Kind.SPAN),
    )
    note = (
        "Every pull of all quotes. Until the exchange was read back empty: half of them within the first figure (the "
        "last pull of a run: until its end, at most). Without quotes: until the next ladder, pull or end of the run."
    )
    return Table("halts_by_cause", "Halts by cause", columns, rows, note)


def halts(report: Report) -> Table:
    """Each pull, the newest first."""
    rows: list[tuple[Value, ...]] = [
        (one.at_ms, one.sentence, one.empty_seconds, one.without_seconds, one.cause, one.run_id)
        for one in reversed(report.halts.halts)
    ]
    columns = (
        Column("at", "at, UTC", Kind.MOMENT),
        Column("sentence", "why"),
        Column("empty_seconds", "read back empty", Kind.SPAN),
        Column("without_seconds", "without quotes", Kind.SPAN),
        Column("cause", "cause", detail=True),
        Column("run_id", "run", detail=True),
    )
    return Table("halts", "Halts", columns, rows, "The newest first.", most_important_first=True)


def reasons(report: Report) -> Table:
    """Why markets were not quoted, the longest first."""
    rows: list[tuple[Value, ...]] = [
        (market, sentence, length_ms / 1000)
        for (market, sentence), length_ms in sorted(report.halts.reasons.items(), key=lambda one: (-one[1], one[0]))
        if length_ms
    ]
    columns = (Column("market", "market"), Column("reason", "reason"), Column("seconds", "time", Kind.SPAN))
    note = (
        "As the maker said it when it looked, pulls included; the longest first. Figures within a reason are left out."
    )
    return Table("not_quoting", "Why a market was not quoted", columns, rows, note, most_important_first=True)


# -- latency and runs ----------------------------------------------------------------------------------------------


def latency(report: Report) -> Table:
    """Latencies by what was waited for."""
    found: list[tuple[str, str, Latency]] = []
    by_market = report.ladders.seconds
    if len(by_market) > 1:
        found.append(("ladder answered", ALL, Latency.of(one for many in by_market.values() for one in many)))
    found += [("ladder answered", market, Latency.of(many)) for market, many in sorted(by_market.items())]
    pulls = [one.empty_seconds for one in report.halts.halts if one.empty_seconds is not None]
    if pulls:
        found.append(("pulled, read back empty", ALL, Latency.of(pulls)))
    found += [("fill told", market, Latency.of(many)) for market, many in sorted(report.fills.delays.items())]
    columns = (
        Column("what", "from, to"),
        Column("market", "market"),
        Column("count", "times", Kind.COUNT),
        *(
            Column(f"p{percent}_seconds", "longest" if percent == 100 else f"{percent} %", Kind.LATENCY)
            for percent in PERCENTILES
        ),
    )
    note = (
        "Nearest rank. A ladder: from its first byte to the answer. A fill: from the exchange's time of it until we "
        "booked it, on two clocks."
    )
    rows = [(what, market, one.count, *one.percentiles) for what, market, one in found]
    return Table("latency", "Latency", columns, rows, note)


def runs(report: Report) -> Table:
    """Each run, the newest first."""
    rows: list[tuple[Value, ...]] = [
        (
            run.started_ms,
            (run.last_ms - run.started_ms) / 1000,
            "no end recorded" if run.ended_ms is None else run.reason,
            None if run.exit_code is None else str(run.exit_code),
            None if run.verified_empty is None else ("yes" if run.verified_empty else "NO"),
            f"{run.mode}, {run.account}",
            run.version,
            run.config_sha256[:12],
            run.run_id,
        )
        for run in reversed(report.runs)
    ]
    columns = (
        Column("started", "started, UTC", Kind.MOMENT),
        Column("seconds", "lasted", Kind.SPAN),
        Column("reason", "ended"),
        Column("exit_code", "exit code"),
        Column("verified_empty", "read back empty"),
        Column("account", "account"),
        Column("version", "version", detail=True),
        Column("config_sha256", "configuration"),
        Column("run_id", "run"),
    )
    return Table("runs", "Runs", columns, rows, "The newest first.", most_important_first=True)
