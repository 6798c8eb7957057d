"""What happened, for good: SQLite behind one plain thread and a bounded queue.

`put` only places a row in memory, so neither a slow nor a full disk is ever felt by the loop. Rows are written in the
order they were put, in short transactions; the first one that cannot be written, or finds no room in the queue, ends
the journal: `lost` says why, nothing later is written, and the file stays a true prefix of what happened. A maker
without a journal must not quote, so whoever runs the loop treats `lost` as a reason to pull quotes.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import attrs

from maker.edge.records import MIGRATIONS, Row, Run
from maker.errors import StartRefused

QUEUE_ROWS_MAX = 20_000  # two markets put some 10 rows/s: half an hour of a disk that stands still, about 10 MB
COLLECT_SECONDS = 0.05  # rows wait this long for company: 20 commits/s, and all that a kill -9 may lose
BATCH_ROWS_MAX = 1_000  # one transaction
BUSY_SECONDS_MAX = 30.0  # a user's tool that holds the file is waited for this long, then the journal is lost
LOOK_SECONDS_MAX = 2.0  # the same, for whoever only looks whether a run could go on with the file
MEMORY_ROWS_MAX = 1_000_000  # in-memory journals of simulated days
APPLICATION_ID = 0x6D6B7231  # "mkr1": lets `file` and a stranger tell whose database this is


class Journal(Protocol):
    """What the loop needs: somewhere to put rows, and to know when they no longer arrive."""

    @property
    def lost(self) -> str | None:
        """Why rows are no longer kept, as a sentence; None while all is well."""

    def put(self, row: Row) -> None:
        """Keep a row. Never waits and never raises; after `lost` it does nothing."""

    def close(self, deadline_seconds: float) -> bool:
        """Write what is queued, for at most so many seconds; return whether everything put has been kept."""


@attrs.frozen
class JournalStatistics:
    """A snapshot of counts."""

    rows_put: int
    rows_written: int  # committed: a crash no longer loses them


class SqliteJournal:
    """A journal file that any SQLite tool can open; a second run appends.

    `on_lost(sentence)` is called once, from the thread that noticed: the loop's own when the queue is full, the
    writer's when the disk fails. Raises StartRefused when the file cannot be opened.
    """

    def __init__(self, path: Path, run: Run, on_lost: Callable[[str], None] = lambda _sentence: None) -> None:
        self.path = path
        self.run_id = run.run_id
        self.on_lost = on_lost
        self.lost: str | None = None
        self.losing = threading.Lock()
        self.rows: queue.SimpleQueue[Row | None] = queue.SimpleQueue()  # None: close
        self.rows_put = 0
        self.rows_written = 0
        self.is_closing = False
        self.connection = open_database(path, run)
        self.writer = threading.Thread(target=self.write_until_closed, name="journal", daemon=True)
        self.writer.start()

    def put(self, row: Row) -> None:
        """Keep a row; see Journal. Call from one thread only."""
        if self.lost is not None or self.is_closing:
            return
        if self.rows.qsize() >= QUEUE_ROWS_MAX:
            self.lose(f"{QUEUE_ROWS_MAX} rows wait to be written: the disk does not keep up.")
            return
        self.rows_put += 1
        self.rows.put(row)

    def close(self, deadline_seconds: float) -> bool:
        """Write what is queued; see Journal. Holds the calling thread: the last act of a run."""
        self.is_closing = True
        self.rows.put(None)
        self.writer.join(deadline_seconds)
        return not self.writer.is_alive() and self.lost is None and self.rows_written == self.rows_put

    def statistics(self) -> JournalStatistics:
        return JournalStatistics(rows_put=self.rows_put, rows_written=self.rows_written)

    def lose(self, why: str) -> None:
        with self.losing:
            if self.lost is not None:
                return
            self.lost = f"The journal is lost: {why}"
        self.on_lost(self.lost)

    def write_until_closed(self) -> None:
        """Write batches until told to close or one fails. The writer thread's whole life."""
        try:
            while True:
                batch, is_last = self.take_batch()
                if batch:
                    write_batch(self.connection, self.run_id, batch)
                    self.rows_written += len(batch)
                if is_last:
                    break
        except Exception as problem:  # noqa: BLE001 - the top of this thread: whatever it is, it ends the journal
            self.lose(f"{self.path} could not be written ({problem}).")
        finally:
            self.connection.close()  # folds the write-ahead log back into one file

    def take_batch(self) -> tuple[list[Row], bool]:
        """Wait for a row and return it with what comes shortly after, and whether this is the end."""
        batch: list[Row] = []
        row = self.rows.get()
        deadline = time.monotonic() + COLLECT_SECONDS
        while row is not None:
            batch.append(row)
            if len(batch) >= BATCH_ROWS_MAX:
                return batch, False
            try:
                row = self.rows.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, False
        return batch, True


class MemoryJournal:
    """A journal without a file or a thread, for runs in virtual time."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows: list[Row] = []
        self.lost: str | None = None

    def put(self, row: Row) -> None:
        """Keep a row; see Journal."""
        if len(self.rows) >= MEMORY_ROWS_MAX:
            self.lost = f"The journal is lost: {MEMORY_ROWS_MAX} rows in memory."
        if self.lost is None:
            self.rows.append(row)

    def close(self, deadline_seconds: float) -> bool:
        """Return whether everything put has been kept; there is nothing to wait for."""
        return self.lost is None


def open_database(path: Path, run: Run) -> sqlite3.Connection:
    """Open or create the file, bring its schema up to date and append the run. Raises StartRefused."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as problem:
        raise StartRefused(f"The journal {path} cannot be opened: {problem}.") from None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk; only this thread waits for it
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, path)
        insert(connection, Run.table, [field.name for field in attrs.fields(Run)], [attrs.astuple(run)])
    except sqlite3.Error as problem:
        connection.close()
        raise unusable(path, problem) from None
    except StartRefused:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the migrations that the file lacks, each whole or not at all. Raises StartRefused, sqlite3.Error."""
    version = schema_version(connection, path)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return which migrations a file has. Raises StartRefused when a newer maker wrote it, sqlite3.Error."""
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        newer = f"The journal {path} was written by a newer maker (schema {version})."
        raise StartRefused(newer, fix="Use that one, or move it away to begin a new one.")
    return version


def refuse_unusable(path: Path) -> None:
    """Refuse a file that a run could not go on with, changing nothing. Raises StartRefused."""
    if not path.exists():
        return
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=LOOK_SECONDS_MAX, uri=True)
        with contextlib.closing(connection):
            schema_version(connection, path)
    except sqlite3.Error as problem:
        raise unusable(path, problem) from None


def unusable(path: Path, problem: sqlite3.Error) -> StartRefused:
    return StartRefused(f"The journal {path} cannot be used: {problem}.", fix="Move it away to begin a new one.")


def write_batch(connection: sqlite3.Connection, run_id: str, batch: Sequence[Row]) -> None:
    """Write rows in one transaction, in their order. Raises sqlite3.Error, with nothing of the batch written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for row in batch:
            columns = [field.name for field in attrs.fields(type(row))]
            insert(connection, row.table, ["run_id", *columns], [(run_id, *attrs.astuple(row, recurse=False))])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert(connection: sqlite3.Connection, table: str, columns: list[str], rows: list[tuple[object, ...]]) -> None:
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of ours, no data
    connection.executemany(statement, [tuple(as_column(value) for value in row) for row in rows])


def as_column(value: object) -> object:
    """Return a value as SQLite keeps it: decimals as plain text without an exponent, bytes as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.decode()
    return value
