"""The journal read as it was at one moment, without ever standing in its writer's way.

Tables are append-only, so one short look at each table's last row fixes what there is; everything later is read in
pages up to there, each page a statement of its own that is fetched whole. Between two pages nothing is held: a
checkpoint never waits longer than for one page, and the write-ahead log does not grow because somebody reads.

The connection is read-only and migrates nothing. A journal that nobody has open is read as *immutable*, so that no
`-shm` and `-wal` are left behind under another user's name; should a maker start meanwhile, the reading begins anew.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs

from maker.desk.units import DECIMAL_TEXT
from maker.edge.journal import APPLICATION_ID
from maker.edge.records import MIGRATIONS

PAGE_ROWS: Final = 5_000  # a page takes some 20 ms: so long may a checkpoint have to leave a piece to the next one
STRIDE_ROWS: Final = 5_000  # between two looks at the time, when walking back to where the window begins
CLOCK_SLACK_MS: Final = 86_400_000  # rows follow each other in time, but for a clock that was set
BUSY_SECONDS_MAX: Final = 5.0  # a tool that holds the file for itself is waited for this long
ATTEMPTS_MAX: Final = 3  # of reading a journal that a maker began to write meanwhile
CREATED: Final = re.compile(r"CREATE TABLE (\w+)")
TABLES: Final = tuple(  # of each schema version
    tuple(found[1] for statement in statements if (found := CREATED.match(statement))) for statements in MIGRATIONS
)

Row = tuple[Any, ...]


class Unreadable(Exception):
    """The journal cannot be reported on: what it is and what to do, in one sentence."""


class Moved(Exception):
    """A maker began to write while the journal was read as one that nobody writes: read it again."""


@attrs.define
class Reader:
    """One journal as it was when the reading began."""

    path: Path
    connection: sqlite3.Connection
    schema: int  # 0: the file is empty
    last: Mapping[str, int]  # greatest row of each table that is there; 0: it has none
    since_ms: int = 0  # earlier rows are of no interest, but for what they say of the moment itself
    first: dict[str, int] = attrs.field(factory=dict)  # the row from which on each table is read

    def has(self, table: str) -> bool:
        """Whether the journal's schema has a table."""
        return table in self.last

    def all(self, query: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """One statement, fetched whole: nothing is held afterwards. Raises Unreadable."""
        try:
            return self.connection.execute(query, parameters or {}).fetchall()
        except sqlite3.Error as problem:
            raise unreadable(self.path, problem) from problem

    def pages(self, table: str, query: str, *, share: int = 1, **parameters: object) -> Iterator[list[Row]]:
        """Yield what a query finds in each page of a table, in the order of writing.

        The query names the table's rows as `rowid BETWEEN :low AND :high`; it may read `:since`. It sees rows of up to
        CLOCK_SLACK_MS before that, for what was so when the window began. A query that finds `share` rows for each of
        the table's own has as many times smaller pages. Raises Unreadable.
        """
        if not self.has(table):
            return
        low, last, length = self.first_row(table), self.last[table], max(1, PAGE_ROWS // share)
        next_row = f"SELECT min(rowid) FROM {table} WHERE rowid BETWEEN :low AND :last"  # noqa: S608 - a name of ours
        while True:
            ((found,),) = self.all(next_row, {"low": low, "last": last})
            if found is None:
                return
            low, high = found, min(found + length - 1, last)
            yield self.all(query, {"low": low, "high": high, "since": self.since_ms, **parameters})
            low = high + 1

    def first_row(self, table: str) -> int:
        """The row of a table at which to begin: safely before the window, so that a row from before it is seen."""
        if table not in self.first:
            row = self.last[table] if self.since_ms > CLOCK_SLACK_MS else 0
            query = f"SELECT at_unix_ms FROM {table} WHERE rowid <= :row ORDER BY rowid DESC LIMIT 1"  # noqa: S608 - ours
            while row > 0:
                found = self.all(query, {"row": row})
                if not found or whole(found[0][0], table) < self.since_ms - CLOCK_SLACK_MS:
                    break
                row -= STRIDE_ROWS
            self.first[table] = max(0, row)
        return self.first[table]

    def before(self, table: str, columns: str, run_id: str, market: str) -> Row | None:
        """The last row of a run and market before those that `pages` shows; None: there is none. Raises Unreadable.

        Rows of a run stand together, so the search ends where another run's begin.
        """
        query = (
            f"SELECT {columns} FROM {table} WHERE rowid BETWEEN :low AND :high AND run_id = :run AND "  # noqa: S608
            "market = :market ORDER BY rowid DESC LIMIT 1"
        )
        owner = f"SELECT run_id FROM {table} WHERE rowid <= :high ORDER BY rowid DESC LIMIT 1"  # noqa: S608 - names of ours
        high = self.first_row(table) - 1
        while high > 0:
            if self.all(owner, {"high": high}) != [(run_id,)]:
                return None
            low = max(1, high - PAGE_ROWS + 1)
            found = self.all(query, {"low": low, "high": high, "run": run_id, "market": market})
            if found:
                return found[0]
            high = low - 1
        return None

    def last_at_ms(self) -> int:
        """The time of the newest row; 0: there is none."""
        newest = 0
        for table, row in self.last.items():
            column = "started_at_unix_ms" if table == "runs" else "at_unix_ms"
            query = f"SELECT {column} FROM {table} WHERE rowid = :row"  # noqa: S608 - names of ours
            for (at_ms,) in self.all(query, {"row": row}):
                if table != "fills":  # the exchange's clock
                    newest = max(newest, whole(at_ms, table))
        return newest


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a journal for reading. Raises Unreadable; and Moved at the end, where all that was read is void."""
    if not path.exists():
        raise Unreadable(f"There is no journal {path}: no run with this configuration has begun yet.")
    if not path.is_file():
        raise Unreadable(f"{path} is no file, so no journal.")
    alive = is_open(path)
    before = stamp(path)
    connection = connect(path, immutable=not alive)
    try:
        yield reader_of(path, connection)
    except Unreadable:
        if not alive and has_moved(path, before):  # what was read were pieces of two moments
            raise Moved from None
        raise
    finally:
        connection.close()
    if not alive and has_moved(path, before):
        raise Moved


def is_open(path: Path) -> bool:
    """Whether somebody writes, or died writing: then the newest rows are in a file beside it."""
    for ending in ("-wal", "-journal"):
        with contextlib.suppress(OSError):
            if path.with_name(path.name + ending).stat().st_size > 0:
                return True
    return False


def has_moved(path: Path, before: tuple[int, int, int]) -> bool:
    """Whether somebody has begun to write since."""
    return is_open(path) or stamp(path) != before


def stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written to, or replaced. Raises Unreadable."""
    try:
        found = path.stat()
    except OSError as problem:
        raise Unreadable(f"The journal {path} cannot be read: {problem.strerror}.") from problem
    return found.st_ino, found.st_size, found.st_mtime_ns


def connect(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Connect read-only. Raises Unreadable."""
    words = "?mode=ro&immutable=1" if immutable else "?mode=ro"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}{words}", uri=True, timeout=BUSY_SECONDS_MAX, isolation_level=None
        )
    except sqlite3.Error as problem:
        raise unreadable(path, problem) from problem
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def reader_of(path: Path, connection: sqlite3.Connection) -> Reader:
    """See what kind of file this is, and where each table ends at this moment. Raises Unreadable."""
    try:
        connection.execute("BEGIN")
        ((schema,),) = connection.execute("PRAGMA user_version").fetchall()
        ((owner,),) = connection.execute("PRAGMA application_id").fetchall()
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        last = {}
        for table in names.intersection(itertools.chain(*TABLES)):
            query = f"SELECT max(rowid) FROM {table}"  # noqa: S608 - names of ours
            last[table] = connection.execute(query).fetchone()[0] or 0
        connection.execute("COMMIT")
    except sqlite3.Error as problem:
        raise unreadable(path, problem) from problem
    if schema > len(MIGRATIONS):
        raise Unreadable(f"The journal {path} was written by a newer maker (schema {schema}): report with that one.")
    if names and owner != APPLICATION_ID:
        raise Unreadable(f"{path} is an SQLite file, but no journal of maker's.")
    if missing := sorted(set(itertools.chain(*TABLES[:schema])) - names):
        raise Unreadable(f"The journal {path} is damaged: it has no table {missing[0]}.")
    return Reader(path, connection, schema, last)


def unreadable(path: Path, problem: sqlite3.Error) -> Unreadable:
    """Say what is wrong with the file, and what to do."""
    text = str(problem)
    if "not a database" in text:
        return Unreadable(f"{path} is no SQLite file, so no journal.")
    if "malformed" in text or "corrupt" in text:
        return Unreadable(
            f"The journal {path} is damaged ({text}): copy it away, and take out of the copy what can be read with "
            f"`sqlite3 COPY .recover`."
        )
    if "locked" in text or "busy" in text:
        return Unreadable(f"The journal {path} is held by another program: close that, or report on a copy.")
    if "unable to open" in text or "readonly" in text:
        return Unreadable(f"The journal {path} cannot be opened ({text}): report as the user whose maker writes it.")
    return Unreadable(f"The journal {path} cannot be read: {text}.")


# -- values that the maker writes, and no others -------------------------------------------------------------------


def whole(value: object, where: str) -> int:
    """A whole number. Raises Unreadable."""
    if not isinstance(value, int):
        raise damaged(where, value)
    return value


def text(value: object, where: str) -> str:
    """A text. Raises Unreadable."""
    if not isinstance(value, str):
        raise damaged(where, value)
    return value


def exact_amount(value: object, where: str) -> Decimal:
    """A decimal text as the amount it means. Raises Unreadable."""
    if not isinstance(value, str) or DECIMAL_TEXT.fullmatch(value) is None:
        raise damaged(where, value)
    return Decimal(value)


def amount_or_none(value: object, where: str) -> Decimal | None:
    """The same, or nothing. Raises Unreadable."""
    return None if value is None else exact_amount(value, where)


def damaged(where: str, value: object) -> Unreadable:
    return Unreadable(f"The journal is damaged: table {where} holds {str(value)[:40]!r}, which no maker writes there.")
