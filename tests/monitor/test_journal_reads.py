"""Short reads of a journal that is being written, of one that is closed, and of what is none."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from maker.edge import records
from maker.edge.journal import SqliteJournal
from maker.edge.records import MIGRATIONS, PositionSeen
from maker.monitor import journal_reads
from maker.monitor.journal_reads import Unreadable, short
from tests.report.journals import NOON, Told, a_run, in_file

FEW = 7


def positions(count: int, every_ms: int = 1000) -> list[PositionSeen]:
    return [PositionSeen(NOON + number * every_ms, "BTC-PERP", Decimal(number), "stream") for number in range(count)]


def read(path: Path, since_ms: int) -> list[str]:
    with short(path) as journal:
        return [base for (base,) in journal.rows("positions", "position_base", since_ms)]


def until_written(journal: SqliteJournal, rows: int) -> None:
    while journal.statistics().rows_written < rows:
        os.sched_yield()


@pytest.mark.parametrize("since", [0, 1, 499, 500, 501, 999])
def test_a_window_begins_where_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since: int) -> None:
    """Over many pages, each row once, none too early; also exactly at a row, just before and just after one."""
    monkeypatch.setattr(journal_reads, "PAGE_ROWS", FEW)
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), positions(100))])
    assert read(path, NOON + since * 100) == [str(number) for number in range(-(-since // 10), 100)]
    assert read(path, NOON + 99_001) == []
    assert read(path, 0)[0] == "0"


def test_too_many_rows_are_taken_evenly_and_the_newest_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_reads, "ROWS_MAX", 10)
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), positions(95))])
    assert read(path, NOON) == [str(number) for number in range(4, 95, 10)]


def test_what_was_so_before_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded look back, oldest first."""
    monkeypatch.setattr(journal_reads, "PAGE_ROWS", FEW)
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), positions(100))])
    with short(path) as journal:
        found = journal.before("positions", "position_base", NOON + 50_000)
        assert [base for (base,) in found] == [str(number) for number in range(43, 50)]
        assert journal.before("positions", "position_base", NOON) == []
        assert [base for (base,) in journal.latest("positions", "position_base", 2)] == ["99", "98"]


def test_tables_that_an_older_journal_lacks_are_empty(tmp_path: Path) -> None:
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), positions(3))], version=1)
    with short(path) as journal:
        assert journal.rows("quotes", "market", 0) == []
        assert journal.latest("quotes", "market", 5) == []
        assert journal.before("quotes", "market", NOON) == []
        assert len(journal.rows("positions", "market", 0)) == 3
    assert len(MIGRATIONS) > 1


def test_a_closed_journal_is_read_without_leaving_anything(tmp_path: Path) -> None:
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), positions(3))])
    assert len(read(path, 0)) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["journal.sqlite"]


def test_a_journal_under_its_writer_is_read_and_its_checkpoint_does_not_wait(tmp_path: Path) -> None:
    """Rows are seen while the maker writes them; between two statements, and afterwards, nothing is held.

    A checkpoint that truncates the log is one that nobody who reads stood in the way of.
    """
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path, a_run())
    for row in positions(50):
        journal.put(row)
    until_written(journal, 50)
    with short(path) as reading:
        assert len(reading.rows("positions", "market", 0)) == 50
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "somebody held it up"
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reading.connection.execute("DELETE FROM positions")
    journal.put(records.RunEnd(NOON, "over", 0, verified_empty=True))
    assert journal.close(5.0)


def test_a_statement_left_open_would_hold_the_checkpoint_up(tmp_path: Path) -> None:
    """The same check sees a reader that does not fetch its statement whole: it can fail."""
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path, a_run())
    for row in positions(500):
        journal.put(row)
    until_written(journal, 500)
    with short(path) as reading:
        cursor = reading.connection.execute("SELECT market FROM positions")
        cursor.fetchone()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 1
        cursor.close()
    assert journal.close(5.0)


@pytest.mark.parametrize("content", [None, b"", b"no database at all, whatever its name says" * 20])
def test_what_is_no_journal_is_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "journal.sqlite"
    if content is not None:
        path.write_bytes(content)
    if content == b"":  # an empty file is an empty database
        assert read(path, 0) == []
        return
    with pytest.raises(Unreadable, match="no journal yet" if content is None else "cannot be read"):
        read(path, 0)
