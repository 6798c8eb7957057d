"""Every table of a report, in the order in which a person reads."""

from __future__ import annotations

from maker.report import tables_running, tables_trading
from maker.report.table import Table
from maker.report.whole import Report


def tables(report: Report) -> list[Table]:
    """All of them, empty ones too: that there was nothing is told as well."""
    return [
        tables_trading.profit(report),
        tables_trading.fills(report),
        tables_trading.markouts(report),
        tables_running.quotes(report),
        tables_running.spreads(report),
        tables_running.ladders(report),
        tables_running.requests(report),
        tables_running.halts_by_cause(report),
        tables_running.halts(report),
        tables_running.reasons(report),
        tables_running.latency(report),
        tables_running.runs(report),
    ]
