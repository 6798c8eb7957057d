"""The report for programs: comma-separated values, one file a table and each fill, and one JSON object.

Figures are exact and carry their units in the names of their columns; an empty cell is not known, or none. Sums of rows
are left out: whoever reads can add.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TextIO

import attrs

from maker.desk.profit import HORIZONS_SECONDS
from maker.report.fills import Fill
from maker.report.profit import Money
from maker.report.since import as_text, day_text
from maker.report.table import Kind, Table, Value
from maker.report.tables import tables
from maker.report.whole import Report

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # begins of a text that a spreadsheet would take for a formula
FLOAT_DIGITS: Final = 9
FILL_COLUMNS: Final = (
    "at", "booked_at", "market", "side", "price_quote", "size_base", "fee_quote", "liquidity", "level",
    "fair_price_quote", "mark_price_quote",
    *(f"markout_{horizon:g}s_{unit}" for horizon in HORIZONS_SECONDS for unit in ("quote", "bps")),
    "trade_id", "client_order_id", "quote_id", "run_id",
)  # fmt: skip


class CannotWrite(Exception):
    """A file cannot be written; the message is one sentence."""


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write a file beside its place and move it there when it is whole. Raises CannotWrite, and leaves the old one."""
    unfinished = path.with_name(f".{path.name}.new")
    try:
        try:
            with open(unfinished, "w", encoding="utf-8", newline="") as file:
                yield file
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as problem:
        raise CannotWrite(f"{path} cannot be written: {problem.strerror or problem}.") from problem


def folder_made(path: Path) -> Path:
    """Make a folder where there is none. Raises CannotWrite."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CannotWrite(f"The folder {path} cannot be made: {problem.strerror}.") from problem
    return path


# -- comma-separated values ----------------------------------------------------------------------------------------


class FillFile:
    """Every fill as it is read: a journal of years has more of them than memory."""

    def __init__(self, file: TextIO) -> None:
        self.writer = csv.writer(file, lineterminator="\n")
        self.writer.writerow(FILL_COLUMNS)

    def add(self, fill: Fill) -> None:
        markouts: list[Value] = []
        for horizon in HORIZONS_SECONDS:
            markouts.extend(fill.markouts.get(horizon, (None, None)))
        values: tuple[Value, ...] = (
            moment(fill.at_ms),
            None if fill.booked_ms is None else moment(fill.booked_ms),
            fill.market,
            fill.side.value,
            fill.price,
            fill.size,
            fill.fee,
            fill.liquidity,
            fill.level or None,
            fill.fair,
            fill.mark,
            *markouts,
            fill.trade_id,
            fill.client_order_id,
            fill.quote_id,
            fill.run_id,
        )
        self.writer.writerow([cell(value) for value in values])


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Write a file a table into a folder that is there. Raises CannotWrite."""
    written = []
    for table in tables(report):
        path = folder / f"{table.key}.csv"
        with replacing(path) as file:
            file.write(as_csv(table))
        written.append(path)
    return written


def as_csv(table: Table) -> str:
    """A table without its sums."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.key for column in table.columns)
    for row in own_rows(table):
        writer.writerow([cell(exact(value, column.kind)) for column, value in zip(table.columns, row, strict=True)])
    return text.getvalue()


def own_rows(table: Table) -> list[tuple[Value, ...]]:
    """The rows without those that are sums of others."""
    return list(table.rows[: len(table.rows) - table.totals])


def cell(value: Value) -> str:
    """A value as a cell. A text of somebody else's that a spreadsheet would run gets a quote before it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return str(plain(value))


def exact(value: Value, kind: Kind) -> Value:
    """A value as it is, but times as text."""
    if isinstance(value, int) and kind is Kind.DAY:
        return day_text(value)
    if isinstance(value, int) and kind is Kind.MOMENT:
        return moment(value)
    return value


def moment(at_ms: int) -> str:
    """A moment as ISO 8601 to the millisecond."""
    day, _, clock = as_text(at_ms).partition(" ")
    return f"{day}T{clock}.{at_ms % 1000:03d}Z" if clock else day


def plain(value: Value) -> str | int | float | None:
    """A value as JSON and CSV have it: amounts as exact decimal text, shares and lengths as numbers."""
    match value:
        case Decimal():
            return f"{value:f}"
        case float() | Fraction():
            return round(float(value), FLOAT_DIGITS)
        case _:
            return value


# -- JSON ----------------------------------------------------------------------------------------------------------


def as_object(report: Report) -> dict[str, Any]:
    """Everything but the single fills."""
    total = report.profit.total
    return {
        "journal": str(report.path),
        "schema": report.schema,
        "since": moment(report.window.since_ms),
        "until": moment(report.window.until_ms - 1),
        "notes": list(report.notes),
        "total": {"profit_quote": plain(total.profit), **money_fields(total)},
        "tables": {table.key: rows_as_objects(table) for table in tables(report)},
    }


def money_fields(money: Money) -> Mapping[str, object]:
    return {
        f"{name.replace('untold', 'spread_and_inventory')}_quote": plain(value)
        for name, value in attrs.asdict(money).items()
    }


def rows_as_objects(table: Table) -> list[dict[str, Any]]:
    return [
        {column.key: plain(exact(value, column.kind)) for column, value in zip(table.columns, row, strict=True)}
        for row in own_rows(table)
    ]
