"""The report on a terminal."""

from __future__ import annotations

from typing import Final

from maker.report.since import as_text
from maker.report.table import LEFT, Table
from maker.report.tables import tables
from maker.report.whole import Report

ROWS_MAX: Final = 10  # of a table that has its most important rows first
TEXT_CHARACTERS_MAX: Final = 72  # of one value: a sentence of the exchange may be longer than any terminal
INDENT: Final = "  "


def text(report: Report) -> str:
    """All of it, without a line's end behind the last line."""
    window = report.window
    parts = [
        f"{report.path}, schema {report.schema}: {as_text(window.since_ms)} to {as_text(window.until_ms - 1)} UTC",
        report.sentence,
        *report.notes,
    ]
    if report.runs:
        for table in tables(report):
            parts += ["", *lines(table.shown())]
    return "\n".join(parts)


def lines(table: Table) -> list[str]:
    """A table's title, its figures in columns, and what they are."""
    if not table.rows:
        return [f"{table.title}: none"]
    rows = [[clean(value) for value in row] for row in table.written()]
    hidden = 0
    if table.most_important_first and len(rows) > ROWS_MAX:
        rows, hidden = rows[:ROWS_MAX], len(rows) - ROWS_MAX
    titles = [column.title for column in table.columns]
    widths = [max(len(row[at]) for row in [titles, *rows]) for at in range(len(titles))]
    left = [column.kind in LEFT for column in table.columns]

    def line(row: list[str]) -> str:
        cells = (
            value.ljust(width) if is_left else value.rjust(width)
            for value, width, is_left in zip(row, widths, left, strict=True)
        )
        return (INDENT + INDENT.join(cells)).rstrip()

    found = [table.title, line(titles), *map(line, rows)]
    if hidden:
        found.append(f"{INDENT}and {hidden} more: --csv has all of them")
    if table.note:
        found += wrapped(table.note)
    return found


def wrapped(note: str, width: int = 118) -> list[str]:
    """A note in lines of so many characters."""
    found, line = [], INDENT.rstrip()
    for word in note.split():
        if len(line) + 1 + len(word) > width:
            found.append(line)
            line = INDENT.rstrip()
        line += f" {word}" if line else f"{INDENT}{word}"
    return [*found, line]


def clean(value: str) -> str:
    """A value that cannot move the cursor, however the exchange worded it, nor push the other columns away."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in value)
    return plain if len(plain) <= TEXT_CHARACTERS_MAX else f"{plain[: TEXT_CHARACTERS_MAX - 1]}…"
