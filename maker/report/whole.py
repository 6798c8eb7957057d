"""All of a report: the journal read table by table, and what each says put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from maker.edge.records import MIGRATIONS
from maker.report import words
from maker.report.fills import Fill, Fills, read_fills
from maker.report.halts import Halts, finish_reasons, read_halts
from maker.report.ladders import Ladders, Requests, read_ladders, read_requests
from maker.report.profit import Profit, read_profit
from maker.report.quoting import Quoting, read_quotes
from maker.report.reading import Reader
from maker.report.runs import Run, Runs, Window
from maker.report.since import as_text

LACKS: Final = {  # by schema: what its journals cannot tell
    0: "a maker made the file and wrote nothing",
    1: "it tells neither what made the profit nor levels and markouts, and no uptime, spreads and requests",
    2: "it tells no uptime, spreads and requests",
    3: "it tells no reloads",
    4: "it tells of no start which models it quoted with",
}


@attrs.frozen
class Report:
    """What happened in a window of time."""

    path: Path
    schema: int
    window: Window
    now_ms: int
    runs: list[Run]
    profit: Profit
    fills: Fills
    quoting: Quoting
    ladders: Ladders
    requests: Requests
    halts: Halts
    notes: list[str]  # what is not known, and why

    @property
    def markets(self) -> list[str]:
        """Every market that anything is told of."""
        return sorted({*self.profit.markets, *self.fills.markets, *self.quoting.markets, *self.ladders.markets})

    @property
    def alive_ms(self) -> int:
        """For how long a maker ran within the window."""
        return sum(length for run in self.runs for _, length in self.window.pieces(run.started_ms, run.last_ms))

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        if not self.runs:
            return "Nothing has happened: the journal tells of no run in this time."
        total = self.profit.total.profit
        told = [
            f"{words.amount(total, words.decimals_for([total]))} in {words.span(self.alive_ms / 1000)} of running",
            words.plural(sum(one.fills for one in self.fills.markets.values()), "fill"),
        ]
        uptimes = [self.quoting.of_market(market) for market in self.quoting.markets]
        if known := sum(one.told for one in uptimes):
            told.append(f"both sides quoted {words.share(sum(one.both for one in uptimes) / known)} of the time")
        unasked = sum(not one.asked for one in self.halts.halts)
        pulled = f"pulled {words.plural(len(self.halts.halts), 'time')}, {unasked or 'never'} unasked"
        told.append(f"quotes {pulled if self.halts.halts else 'never pulled'}")
        return "; ".join(told) + "."


def gather(
    reader: Reader, since_ms: int | None, now_ms: int, on_fill: Callable[[Fill], None] = lambda _fill: None
) -> Report:
    """Read a journal from a moment on, or (None) whole; each fill is shown to `on_fill`. Raises Unreadable."""
    reader.since_ms = since_ms or 0
    runs = Runs.read(reader)
    first_ms = min((run.started_ms for run in runs.by_id.values()), default=now_ms)
    begin_ms = first_ms if since_ms is None else since_ms
    window = Window.of(begin_ms, max(begin_ms, reader.last_at_ms()) + 1)
    profit = read_profit(reader, window, runs)
    fills = read_fills(reader, window, runs, profit.told_until_ms, on_fill)
    halts, said = read_halts(reader, window, runs)
    ladders = read_ladders(reader, window, runs, halts)
    quotes = read_quotes(reader, window, runs)
    requests = read_requests(reader, window, runs)
    quoting = quotes.finish(runs, window)
    halts.finish(runs)
    finish_reasons(halts, said, runs, window)
    report = Report(
        path=reader.path,
        schema=reader.schema,
        window=window,
        now_ms=now_ms,
        runs=runs.within(window),
        profit=profit,
        fills=fills,
        quoting=quoting,
        ladders=ladders,
        requests=requests,
        halts=halts,
        notes=[],
    )
    report.notes.extend(notes(report))
    return report


def notes(report: Report) -> list[str]:
    """What this journal cannot tell, sentence by sentence."""
    found = []
    if report.schema < len(MIGRATIONS):
        found.append(
            f"The journal is of schema {report.schema}: {LACKS[report.schema]}; the next run brings it up to date."
        )
    newest = max((run.started_ms for run in report.runs), default=0)
    for run in report.runs:
        if run.ended_ms is None:
            what = "is running, or was killed" if run.started_ms == newest else "was killed"
            ago = words.span(max(0, report.now_ms - run.last_ms) / 1000)
            found.append(
                f"Run {run.run_id} of {as_text(run.started_ms)} has no end: it {what}. Its last row is of "
                f"{as_text(run.last_ms)}, {ago} ago."
            )
    return found + notes_on_figures(report)


def notes_on_figures(report: Report) -> list[str]:
    """What single figures lack."""
    found, profit = [], report.profit
    silent = [run for run in report.runs if run.rows.get("ladders") and not run.rows.get("quotes")]
    if silent:
        found.append(
            f"What rested and how many requests it took was not recorded in {words.plural(len(silent), 'run')} "
            "of before schema 3: uptime, spreads and requests leave them out."
        )
    if profit.total.untold:
        found.append("Of runs of before schema 2, spread and inventory are told together.")
    if profit.total.residual:
        found.append(
            f"{words.amount(profit.total.residual)} of the profit is the worth of positions that were told before "
            "their fills: its parts follow later, or never where the run was killed."
        )
    if profit.fills_at_mark:
        found.append(
            f"The spread of {words.plural(profit.fills_at_mark, 'fill')} was taken against the mark, for there was no "
            "fair value."
        )
    if report.fills.after_profit:
        found.append(
            f"{words.plural(report.fills.after_profit, 'fill')} came after the last row of profit of a run: what they "
            "made is in no figure of profit."
        )
    if len(report.runs) > 1 and any(position for position, _ in report.profit.held.values()):
        found.append("What a position earned or lost between two runs, while no maker ran, is in no figure of profit.")
    return found
