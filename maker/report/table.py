"""A table: exact values with the kind of each column, which every form of the report writes in its own way."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs

from maker.report import words
from maker.report.since import as_text, day_text

Value = str | int | float | Decimal | Fraction | None


class Kind(enum.Enum):
    """What a column holds, and so how it is written; None is always "not known, or none"."""

    TEXT = "text"
    DAY = "day"  # int: ms of UTC since 1970
    MOMENT = "moment"  # the same
    AMOUNT = "amount"  # Decimal: gained or lost, quote currency
    VOLUME = "volume"  # Decimal: quote currency
    COUNT = "count"  # int
    SHARE = "share"  # 0 to 1
    BPS = "bps"  # signed: positive is good for us
    WIDTH = "width"  # basis points without a sign
    SPAN = "span"  # seconds
    LATENCY = "latency"  # seconds


LEFT: Final = (Kind.TEXT, Kind.DAY, Kind.MOMENT)  # aligned where words are


@attrs.frozen
class Column:
    """A column: `key` is its name for programs, unit last."""

    key: str
    title: str
    kind: Kind = Kind.TEXT
    detail: bool = False  # for programs alone


@attrs.frozen
class Table:
    """A table; its last `totals` rows are sums of those above."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]
    note: str = ""
    totals: int = 0
    most_important_first: bool = False  # so that a person need not see all of it

    def shown(self) -> Table:
        """Without what is for programs alone."""
        return self.without(*(column.key for column in self.columns if column.detail))

    def without_empty(self, *keys: str) -> Table:
        """Without those of these columns that hold nothing."""
        held = {column.key for at, column in enumerate(self.columns) if any(row[at] is not None for row in self.rows)}
        return self.without(*(key for key in keys if key not in held))

    def without(self, *keys: str) -> Table:
        """Without these columns."""
        kept = [at for at, column in enumerate(self.columns) if column.key not in keys]
        rows = [tuple(row[at] for at in kept) for row in self.rows]
        return attrs.evolve(self, columns=tuple(self.columns[at] for at in kept), rows=rows)

    def written(self) -> list[list[str]]:
        """Every value for people; the amounts of a table with as many decimals, so that they can be added by eye."""
        amounts = [
            value
            for row in self.rows
            for column, value in zip(self.columns, row, strict=True)
            if column.kind is Kind.AMOUNT and isinstance(value, Decimal)
        ]
        decimals = words.decimals_for(amounts)
        return [
            [written(value, column.kind, decimals) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]


def written(value: Value, kind: Kind, decimals: int) -> str:
    """A value for people."""
    match kind, value:
        case _, None:
            return words.NONE
        case Kind.DAY, int():
            return day_text(value)
        case Kind.MOMENT, int():
            return as_text(value)
        case Kind.AMOUNT, Decimal():
            return words.amount(value, decimals)
        case Kind.VOLUME, Decimal():
            return words.volume(value)
        case Kind.COUNT, int():
            return words.count(value)
        case Kind.SHARE, float() | Fraction() | int():
            return words.share(value)
        case Kind.BPS, float() | Decimal():
            return words.bps(value)
        case Kind.WIDTH, float():
            return f"{value:.2f}"
        case Kind.SPAN, float():
            return words.span(value)
        case Kind.LATENCY, float():
            return words.milliseconds(value)
        case _:
            return str(value)
