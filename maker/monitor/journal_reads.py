"""Short reads of the journal that a maker is writing: read-only, bounded, and nothing held between two of them.

A checkpoint of the write-ahead log waits for whoever reads an old state of it. So every statement here is fetched whole
before the next begins, looks at no more than PAGE_ROWS rows, and the connection is closed at the end of one question.
Where a window holds more than ROWS_MAX rows of a table, every second, third, … of them is taken.

A journal that nobody has open is read as *immutable*, so that no `-shm` and `-wal` are left behind.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs

PAGE_ROWS: Final = 5_000  # of one statement: some 10 ms
ROWS_MAX: Final = 20_000  # of one table in one answer
BUSY_SECONDS_MAX: Final = 1.0  # a tool that holds the file for itself

Row = tuple[Any, ...]


class Unreadable(Exception):
    """The journal cannot be read now; the message is one sentence."""


@attrs.frozen
class Short:
    """One question's connection."""

    connection: sqlite3.Connection
    tables: frozenset[str]

    def all(self, statement: str, **parameters: object) -> list[Row]:
        """One statement, fetched whole. Raises sqlite3.Error."""
        return self.connection.execute(statement, parameters).fetchall()

    def last_row(self, table: str) -> int:
        """The greatest row of a table; 0: it has none, or there is no such table."""
        if table not in self.tables:
            return 0
        return int(self.all(f"SELECT max(rowid) FROM {table}")[0][0] or 0)  # noqa: S608 - a name of ours

    def first_row(self, table: str, since_ms: int, last: int) -> int:
        """The first row not before `since_ms`, by halving: rows follow each other in time, but for a clock set back."""
        low, high = 1, last + 1
        query = f"SELECT at_unix_ms FROM {table} WHERE rowid >= :row ORDER BY rowid LIMIT 1"  # noqa: S608 - ours
        while low < high:
            middle = (low + high) // 2
            found = self.all(query, row=middle)
            if found and found[0][0] < since_ms:
                low = middle + 1
            else:
                high = middle
        return low

    def rows(self, table: str, columns: str, since_ms: int, where: str = "", **parameters: object) -> list[Row]:
        """Rows of a window, in the order of writing; of too many, evenly chosen ones."""
        last = self.last_row(table)
        first = self.first_row(table, since_ms, last)
        stride = -(-(last - first + 1) // ROWS_MAX)
        query = (
            f"SELECT {columns} FROM {table} WHERE rowid BETWEEN :low AND :high AND at_unix_ms >= :since "  # noqa: S608
            f"AND (:last - rowid) % :stride = 0 {where} ORDER BY rowid"
        )
        found: list[Row] = []
        for low in range(first, last + 1, PAGE_ROWS):
            page = {"low": low, "high": min(last, low + PAGE_ROWS - 1), "last": last, "stride": stride}
            found += self.all(query, **page, since=since_ms, **parameters)
        return found

    def latest(self, table: str, columns: str, limit: int, where: str = "", **parameters: object) -> list[Row]:
        """The latest rows of a table, newest first, among its last ROWS_MAX."""
        last = self.last_row(table)
        query = (
            f"SELECT {columns} FROM {table} WHERE rowid BETWEEN :low AND :last {where} "  # noqa: S608 - names of ours
            "ORDER BY rowid DESC LIMIT :limit"
        )
        return self.all(query, low=last - ROWS_MAX + 1, last=last, limit=limit, **parameters) if last else []

    def before(self, table: str, columns: str, since_ms: int) -> list[Row]:
        """The PAGE_ROWS rows before a window, oldest first: what was so when it began."""
        last = self.last_row(table)
        first = self.first_row(table, since_ms, last)
        query = f"SELECT {columns} FROM {table} WHERE rowid BETWEEN :low AND :high ORDER BY rowid"  # noqa: S608 - ours
        return self.all(query, low=first - PAGE_ROWS, high=first - 1) if first > 1 else []


@contextlib.contextmanager
def short(path: Path) -> Iterator[Short]:
    """Open a journal for one question. Raises Unreadable, also for what goes wrong within."""
    if not path.is_file():
        raise Unreadable("there is no journal yet: no run has begun")
    connection: sqlite3.Connection | None = None
    try:
        words = "?mode=ro" if is_open(path) else "?mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}{words}",
            uri=True,
            timeout=BUSY_SECONDS_MAX,
            isolation_level=None,
            check_same_thread=True,
        )
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        yield Short(connection, frozenset(name for (name,) in names))
    except (sqlite3.Error, TypeError, ValueError) as problem:  # the latter: a value that no maker writes
        raise Unreadable(f"the journal cannot be read: {problem}") from problem
    finally:
        if connection is not None:
            connection.close()


def is_open(path: Path) -> bool:
    """Whether somebody writes, or died writing: then the newest rows are in a file beside it."""
    with contextlib.suppress(OSError):
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    return False
