"""The journal: exact money, append-only, never in the loop's way, and always a true prefix of what happened."""

from __future__ import annotations

import hashlib
import json
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from maker.edge import journal as room
from maker.edge.journal import JournalStatistics, MemoryJournal, SqliteJournal
from maker.edge.records import (
    MIGRATIONS,
    Attribution,
    Fill,
    FillDetail,
    LadderIntent,
    LadderOutcome,
    Markout,
    PositionSeen,
    Profit,
    QuotesSeen,
    Reload,
    ReloadChange,
    RequestsSpent,
    Row,
    Run,
    RunEnd,
    StateChange,
)
from maker.errors import StartRefused

RUN = Run("run-1", 1_700_000_000_000, "paper", "practice", "ab" * 32, "0.1.0", "mk", "BTC-PERP glft")
EVERY_ROW: tuple[Row, ...] = (
    StateChange(1, "BTC-PERP", "quoting", "Everything is fresh."),
    LadderIntent(2, "q1", "BTC-PERP", Decimal("65000.25"), Decimal("-0.5"), b'[{"side":"buy"}]'),
    LadderOutcome(3, "q1", "BTC-PERP", "applied", "", 0.0125),
    LadderOutcome(4, "q2", "BTC-PERP", "unknown", "no answer", None),
    Fill(5, "BTC-PERP", "t1", "o1", "mk1", "buy", Decimal("64999.5"), Decimal("0.0001"), Decimal("-0.0000000325")),
    PositionSeen(6, "BTC-PERP", Decimal("-0.4999"), "stream"),
    Profit(7, "BTC-PERP", Decimal(1), Decimal(2), Decimal("1E+3"), Decimal("1E-9"), Decimal(0), Decimal("1002")),
    RunEnd(8, "SIGTERM", 0, verified_empty=True),
    FillDetail(9, "BTC-PERP", "t1", "q1", 2, "maker", Decimal("65000.0000001"), Decimal("65001")),
    FillDetail(9, "BTC-PERP", "t2", "", 0, "taker", None, None),
    Markout(10, "BTC-PERP", "t1", 30.0, Decimal("-1E-9"), Decimal("-0.0001")),
    Markout(10, "BTC-PERP", "t1", 60.0, None, None),
    Attribution(
        11,
        "BTC-PERP",
        Decimal("1E+3"),
        Decimal("-0.000000000000000000000000000000000000001"),
        Decimal("-0.5"),
        Decimal(0),
        Decimal("999.499999999999999999999999999999999999999"),
        Decimal(0),
        3,
    ),
    QuotesSeen(12, "BTC-PERP", Decimal("64999.5"), Decimal("65000.5")),
    QuotesSeen(13, "BTC-PERP", None, Decimal("1E+5")),
    RequestsSpent(14, 17, 1, 120),
    Reload(15, True, "ab", "changed: market.BTC-PERP.models.wide from nothing"),
    ReloadChange(15, "market.BTC-PERP.models.wide", None, "1"),
    Reload(16, False, "", "nothing was changed"),
)
NO_SUCH_TIME = StateChange(2**70, "maker", "state", "SQLite's integers have 64 bits")
WAIT_SECONDS_MAX = 20.0


def states(count: int, start: int = 0) -> Iterator[StateChange]:
    return (StateChange(number, "maker", "state", f"number {number}") for number in range(start, start + count))


def read(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def wait_until_written(journal: SqliteJournal, rows: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while journal.statistics().rows_written < rows:
        assert time.monotonic() < deadline, journal.lost
        select.select([], [], [], 0.002)


def test_every_kind_of_row_arrives_exact(tmp_path: Path) -> None:
    """Money is plain decimal text; every row has its run; nothing is rounded and nothing has an exponent."""
    path = tmp_path / "journal.sqlite3"
    journal = SqliteJournal(path, RUN)
    for row in EVERY_ROW:
        journal.put(row)
    assert journal.close(WAIT_SECONDS_MAX)
    assert journal.statistics() == JournalStatistics(rows_put=len(EVERY_ROW), rows_written=len(EVERY_ROW))
    assert read(path, "SELECT * FROM runs") == [attrs.astuple(RUN)]
    assert read(path, "SELECT * FROM fills") == [
        ("run-1", 5, "BTC-PERP", "t1", "o1", "mk1", "buy", "64999.5", "0.0001", "-0.0000000325")
    ]
    assert read(path, "SELECT levels_json, position_base FROM ladders") == [('[{"side":"buy"}]', "-0.5")]
    assert read(path, "SELECT quote_id, outcome, answer_seconds FROM ladder_outcomes") == [
        ("q1", "applied", 0.0125),
        ("q2", "unknown", None),
    ]
    assert read(path, "SELECT cash_quote, fees_quote FROM profit") == [("1000", "0.000000001")]
    assert read(path, "SELECT * FROM positions") == [("run-1", 6, "BTC-PERP", "-0.4999", "stream")]
    assert read(path, "SELECT scope, state, sentence FROM states") == [("BTC-PERP", "quoting", "Everything is fresh.")]
    assert read(path, "SELECT * FROM run_ends") == [("run-1", 8, "SIGTERM", 0, 1)]
    assert read(path, "SELECT * FROM fill_details") == [
        ("run-1", 9, "BTC-PERP", "t1", "q1", 2, "maker", "65000.0000001", "65001"),
        ("run-1", 9, "BTC-PERP", "t2", "", 0, "taker", None, None),
    ]
    assert read(path, "SELECT * FROM markouts") == [
        ("run-1", 10, "BTC-PERP", "t1", 30.0, "-0.000000001", "-0.0001"),
        ("run-1", 10, "BTC-PERP", "t1", 60.0, None, None),
    ]
    assert read(path, "SELECT applied, config_sha256 FROM reloads") == [(1, "ab"), (0, "")]
    assert read(path, "SELECT key, old, new FROM reload_changes") == [("market.BTC-PERP.models.wide", None, "1")]
    [(*_, spread, inventory, fees, funding, equity, residual, at_mark)] = read(path, "SELECT * FROM attribution")
    assert (spread, fees, funding, residual, at_mark) == ("1000", "-0.5", "0", "0", 3)
    assert (inventory, equity) == (f"-0.{'0' * 38}1", f"999.4{'9' * 38}")
    assert read(path, "SELECT * FROM quotes") == [
        ("run-1", 12, "BTC-PERP", "64999.5", "65000.5"),
        ("run-1", 13, "BTC-PERP", None, "100000"),
    ]
    assert read(path, "SELECT * FROM requests") == [("run-1", 14, 17, 1, 120)]


def test_a_second_run_appends(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    for number in (1, 2):
        journal = SqliteJournal(path, attrs.evolve(RUN, run_id=f"run-{number}"))
        journal.put(next(states(1)))
        assert journal.close(WAIT_SECONDS_MAX)
    assert read(path, "SELECT run_id FROM states") == [("run-1",), ("run-2",)]
    assert read(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert not path.with_name(path.name + "-wal").exists()  # a clean end leaves one file


def test_a_reader_sees_rows_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    journal = SqliteJournal(path, RUN)
    for row in states(3):
        journal.put(row)
    wait_until_written(journal, 3)
    assert read(path, "SELECT count(*) FROM states") == [(3,)]
    assert journal.close(WAIT_SECONDS_MAX)


def test_rows_put_while_the_writer_works_keep_their_order(tmp_path: Path) -> None:
    """More than one batch: the order in the file is the order of put."""
    path = tmp_path / "journal.sqlite3"
    journal = SqliteJournal(path, RUN)
    for row in states(3_500):
        journal.put(row)
    assert journal.close(WAIT_SECONDS_MAX)
    assert read(path, "SELECT at_unix_ms FROM states ORDER BY rowid") == [(number,) for number in range(3_500)]


def test_the_limits_keep_their_relations() -> None:
    """Batches end within the promised tenth of a second, and the queue holds more than one of them."""
    assert room.COLLECT_SECONDS <= 0.1
    assert room.BATCH_ROWS_MAX < room.QUEUE_ROWS_MAX


def test_a_disk_that_stands_still_costs_the_loop_nothing_and_then_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tool holds the file: put goes on at memory speed until the queue is full; then lost, said once."""
    monkeypatch.setattr(room, "QUEUE_ROWS_MAX", 2_000)
    monkeypatch.setattr(room, "BATCH_ROWS_MAX", 1_000)
    path = tmp_path / "journal.sqlite3"
    reasons: list[str] = []
    journal = SqliteJournal(path, RUN, reasons.append)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    slowest = 0.0
    for row in states(5_000):
        before = time.thread_time()
        journal.put(row)
        slowest = max(slowest, time.thread_time() - before)
    assert slowest < 0.05
    assert reasons == [journal.lost]
    assert "2000 rows wait" in reasons[0]
    assert not journal.close(0.0)
    holder.execute("ROLLBACK")
    holder.close()
    journal.writer.join(WAIT_SECONDS_MAX)
    kept = [number for (number,) in read(path, "SELECT at_unix_ms FROM states ORDER BY rowid")]
    assert 2_000 <= len(kept) <= 3_000
    assert kept == list(range(len(kept)))


def test_a_file_held_too_long_is_a_lost_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BUSY_SECONDS_MAX", 0.05)
    path = tmp_path / "journal.sqlite3"
    reasons: list[str] = []
    journal = SqliteJournal(path, RUN, reasons.append)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    journal.put(next(states(1)))
    journal.writer.join(WAIT_SECONDS_MAX)
    holder.close()
    assert "database is locked" in reasons[0]
    journal.put(next(states(1)))  # after the loss: no error, no effect
    assert not journal.close(1.0)
    assert read(path, "SELECT count(*) FROM states") == [(0,)]


def test_a_row_that_cannot_be_written_ends_the_journal(tmp_path: Path) -> None:
    """What was put before it may be kept, what was put after it never: the file stays a prefix."""
    path = tmp_path / "journal.sqlite3"
    journal = SqliteJournal(path, RUN)
    for row in (*states(3), NO_SUCH_TIME, *states(3, start=3)):
        journal.put(row)
    assert not journal.close(WAIT_SECONDS_MAX)
    assert journal.lost is not None
    assert read(path, "SELECT count(*) FROM states WHERE at_unix_ms > 2") == [(0,)]


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    connection = room.open_database(tmp_path / "journal.sqlite3", RUN)
    with pytest.raises(OverflowError):
        room.write_batch(connection, RUN.run_id, [*states(3), NO_SUCH_TIME])
    room.write_batch(connection, RUN.run_id, list(states(2)))
    assert connection.execute("SELECT at_unix_ms FROM states").fetchall() == [(0,), (1,)]
    connection.close()


WRITER = """
import sys
from pathlib import Path
from maker.edge.journal import SqliteJournal
from maker.edge.records import Run, StateChange

journal = SqliteJournal(Path(sys.argv[1]), Run("child", 0, "paper", "a", "c", "v"))
number = 0
while journal.lost is None:
    for _ in range(50):
        journal.put(StateChange(number, "maker", "state", "x" * 200))
        number += 1
    while journal.statistics().rows_written < number - 5_000 and journal.lost is None:
        pass
    print(journal.statistics().rows_written, flush=True)
print(journal.lost, flush=True)
"""


@pytest.mark.parametrize("kill_after_rows", [1, 1_000, 6_000])
def test_kill_at_any_point_leaves_a_true_prefix(tmp_path: Path, kill_after_rows: int) -> None:
    """kill -9 of a writer at full speed: what was committed is there, in order, without a hole, and a run goes on."""
    path = tmp_path / "journal.sqlite3"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        committed = 0
        while committed < kill_after_rows:
            committed = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    assert read(path, "PRAGMA integrity_check") == [("ok",)]
    kept = [number for (number,) in read(path, "SELECT at_unix_ms FROM states ORDER BY rowid")]
    assert len(kept) >= committed
    assert kept == list(range(len(kept)))
    journal = SqliteJournal(path, RUN)
    journal.put(next(states(1)))
    assert journal.close(WAIT_SECONDS_MAX)
    assert read(path, "SELECT count(*) FROM states") == [(len(kept) + 1,)]


def test_a_full_disk_is_a_lost_journal_and_a_true_prefix(tmp_path: Path) -> None:
    """The file may not grow past 1 MB: the writer says so, and what it wrote before is whole."""
    path = tmp_path / "journal.sqlite3"
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    ended = subprocess.run([sys.executable, "-c", limit + WRITER, str(path)], capture_output=True, text=True)
    *counts, reason = ended.stdout.splitlines()
    assert reason.startswith("The journal is lost: ")
    kept = [number for (number,) in read(path, "SELECT at_unix_ms FROM states ORDER BY rowid")]
    assert kept == list(range(len(kept)))
    assert len(kept) >= int(counts[-1]) > 0


def test_files_that_are_no_journal_refuse_the_start(tmp_path: Path) -> None:
    """Neither a stranger's file nor a newer schema nor a missing folder is touched: one sentence each."""
    text = tmp_path / "text"
    text.write_text("not a database, " * 100)
    with pytest.raises(StartRefused, match="cannot be used: file is not a database"):
        SqliteJournal(text, RUN)
    newer = tmp_path / "newer"
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StartRefused, match="written by a newer maker"):
        SqliteJournal(newer, RUN)
    with pytest.raises(StartRefused, match="cannot be opened"):
        SqliteJournal(tmp_path / "no such folder" / "journal.sqlite3", RUN)
    path = tmp_path / "journal.sqlite3"
    assert SqliteJournal(path, RUN).close(WAIT_SECONDS_MAX)
    with pytest.raises(StartRefused, match="UNIQUE"):
        SqliteJournal(path, RUN)  # the same run twice


RELEASED_SHA256 = (  # a released schema stays
    "ce717e3ab1b9fd5e53aa3b5a5026fccdf2ac8978540bab1818bddb3909a5632c",
    "c1a0bf7739f7e537b7b0f4774f92ed0e150e246fc036a2fb6fe309ec4917d3f6",
)


@pytest.mark.parametrize("version", range(1, len(RELEASED_SHA256) + 1))
def test_a_released_schema_is_never_changed(version: int) -> None:
    """Files of it are out there: what they lack comes as a version of its own."""
    statements = "\n".join(MIGRATIONS[version - 1])
    assert hashlib.sha256(statements.encode()).hexdigest() == RELEASED_SHA256[version - 1]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_file_of_an_older_schema_gains_what_was_added_and_keeps_its_rows(tmp_path: Path, version: int) -> None:
    """Written with an older schema, then opened by a run of today: old rows as they were, new tables in use."""
    path = tmp_path / "journal.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    for statements in MIGRATIONS[:version]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {room.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("INSERT INTO runs VALUES ('old', 1, 'paper', 'practice', 'ab', '0.1.0')")
    connection.execute("INSERT INTO fills VALUES ('old', 1, 'BTC-PERP', 't0', '', '', 'buy', '1', '2', '0')")
    connection.close()
    journal = SqliteJournal(path, RUN)
    for row in EVERY_ROW:
        journal.put(row)
    assert journal.close(WAIT_SECONDS_MAX)
    assert read(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert read(path, "SELECT run_id, trade_id, price_quote FROM fills") == [
        ("old", "t0", "1"),
        ("run-1", "t1", "64999.5"),
    ]
    known = "SELECT run_id, version, order_prefix, models FROM runs"
    assert read(path, known) == [("old", "0.1.0", "", ""), ("run-1", "0.1.0", "mk", "BTC-PERP glft")]
    joined = "SELECT fills.trade_id, level FROM fills LEFT JOIN fill_details USING (run_id, trade_id)"
    assert read(path, joined) == [("t0", None), ("t1", 2)]
    for table, rows in (("markouts", 2), ("attribution", 1), ("quotes", 2), ("requests", 1), ("reload_changes", 1)):
        assert read(path, f"SELECT count(*) FROM {table} WHERE run_id = 'run-1'") == [(rows,)]
        assert read(path, f"SELECT count(*) FROM {table}") == [(rows,)]


def test_an_older_file_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later schema version is applied once, to what an earlier one wrote, and keeps its rows."""
    path = tmp_path / "journal.sqlite3"
    first = SqliteJournal(path, RUN)
    first.put(next(states(1)))
    assert first.close(WAIT_SECONDS_MAX)
    monkeypatch.setattr(room, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE states ADD COLUMN mood TEXT",)))
    for number in (2, 3):
        assert SqliteJournal(path, attrs.evolve(RUN, run_id=f"run-{number}")).close(WAIT_SECONDS_MAX)
    assert read(path, "SELECT sentence, mood FROM states") == [("number 0", None)]
    assert read(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite3"
    assert SqliteJournal(path, RUN).close(WAIT_SECONDS_MAX)
    broken = ("ALTER TABLE states ADD COLUMN mood TEXT", "ALTER TABLE no_such_table ADD COLUMN mood TEXT")
    monkeypatch.setattr(room, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(StartRefused, match="no_such_table"):
        SqliteJournal(path, attrs.evolve(RUN, run_id="run-2"))
    assert read(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert "mood" not in json.dumps(read(path, "SELECT sql FROM sqlite_master"))


def test_the_journal_in_memory_keeps_what_is_put_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MEMORY_ROWS_MAX", len(EVERY_ROW))
    journal = MemoryJournal(RUN)
    for row in EVERY_ROW:
        journal.put(row)
    assert journal.rows == list(EVERY_ROW)
    assert journal.close(0.0)
    journal.put(EVERY_ROW[0])
    assert journal.lost is not None
    assert journal.rows == list(EVERY_ROW)
    assert not journal.close(0.0)
