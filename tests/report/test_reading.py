"""The journal read: whatever file is there is told as what it is, and nobody who writes it ever waits for us."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from maker.edge.journal import SqliteJournal
from maker.edge.records import MIGRATIONS, Run, StateChange
from maker.report import reading as room
from maker.report.reading import Moved, Reader, Unreadable, reading
from maker.report.whole import gather
from tests.edge.test_journal import EVERY_ROW
from tests.report.journals import DAY, NOON, Told, a_run, in_file, in_memory, schema

WAIT_SECONDS_MAX = 20.0
STATES = "SELECT sentence FROM states WHERE rowid BETWEEN :low AND :high ORDER BY rowid"


def states(count: int, start_ms: int = NOON, step_ms: int = 1000) -> list[StateChange]:
    return [StateChange(start_ms + at * step_ms, "maker", "state", str(at)) for at in range(count)]


def sentences(reader: Reader) -> list[str]:
    return [sentence for page in reader.pages("states", STATES) for (sentence,) in page]


def report_of(path: Path) -> object:
    with reading(path) as reader:
        return gather(reader, None, NOON + DAY)


# -- what kind of file it is ---------------------------------------------------------------------------------------


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"There is no journal .*: no run with this configuration has begun yet."):
        report_of(tmp_path / "journal.sqlite")
    assert list(tmp_path.iterdir()) == [], "and none is made"


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.touch()
    with reading(path) as reader:
        assert reader.schema == 0
        report = gather(reader, None, NOON)
    assert report.sentence == "Nothing has happened: the journal tells of no run in this time."
    assert report.notes == [
        "The journal is of schema 0: a maker made the file and wrote nothing; the next run brings it up to date."
    ]


@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        ((), "is no SQLite file, so no journal."),
        (("CREATE TABLE bookmarks (url TEXT)",), "is an SQLite file, but no journal of maker's."),
        (
            (f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "CREATE TABLE runs (run_id TEXT)"),
            f"was written by a newer maker (schema {len(MIGRATIONS) + 1}): report with that one.",
        ),
    ],
)
def test_other_files(tmp_path: Path, statements: tuple[str, ...], sentence: str) -> None:
    path = tmp_path / "journal.sqlite"
    if not statements:
        path.write_text("price,size\n" * 1000)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    with pytest.raises(Unreadable) as problem:
        report_of(path)
    assert str(problem.value).endswith(sentence)
    assert str(path) in str(problem.value)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="is no file, so no journal"):
        report_of(tmp_path)


@pytest.mark.parametrize("table", [table for tables in room.TABLES for table in tables])
def test_a_journal_that_lacks_a_table_is_damaged(tmp_path: Path, table: str) -> None:
    path = in_file(tmp_path / "journal.sqlite", [])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"DROP TABLE {table}")
    with pytest.raises(Unreadable, match=f"is damaged: it has no table {table}"):
        report_of(path)


def test_damage_anywhere_is_told_or_read_around(tmp_path: Path) -> None:
    """Bytes overwritten at a hundred places: a report, or one sentence; never another error."""
    whole = in_file(tmp_path / "whole.sqlite", [Told(a_run(), states(2000))]).read_bytes()
    rng, told = random.Random(5), set()
    path = tmp_path / "journal.sqlite"
    for _ in range(100):
        at, length = rng.randrange(100, len(whole)), rng.choice((1, 16, 4096))
        path.write_bytes(whole[:at] + rng.randbytes(length) + whole[at + length :])
        try:
            report_of(path)
        except Unreadable as problem:
            told.add(str(problem).partition(str(path))[2][:11])
    assert " is damaged" in told


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    whole = in_file(tmp_path / "whole.sqlite", [Told(a_run(), states(2000))]).read_bytes()
    path = tmp_path / "journal.sqlite"
    path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
    with pytest.raises(Unreadable, match=r"is damaged .*: copy it away"):
        report_of(path)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE profit SET equity_quote = '1e5'", "table profit holds '1e5'"),
        ("UPDATE profit SET equity_quote = 'NaN'", "table profit holds 'NaN'"),
        ("UPDATE profit SET mark_price_quote = x'00'", "table profit holds \"b'"),
        ("UPDATE attribution SET spread_quote = ''", "table attribution holds ''"),
        ("UPDATE fills SET side = 'hold'", "table fills holds 'hold'"),
        ("UPDATE fills SET at_unix_ms = 'noon'", "table fills holds 'noon'"),
        ("UPDATE fills SET run_id = 'nobody'", "table fills holds 'nobody'"),
        ("UPDATE markouts SET horizon_seconds = 'soon'", "table markouts holds 'soon'"),
        ("UPDATE fill_details SET level = 'top'", "table fill_details holds 'top'"),
        ("UPDATE quotes SET bid_price_quote = 'high'", "table quotes holds 'high'"),
        ("UPDATE quotes SET at_unix_ms = 1.5", "table quotes holds '1.5'"),
        ("UPDATE requests SET spent = 'many'", "table requests holds 'many'"),
        ("UPDATE ladder_outcomes SET answer_seconds = 'late'", "table ladder_outcomes holds 'late'"),
        ("UPDATE states SET sentence = x'ff', state = 'pulling'", "table states holds"),
        ("UPDATE runs SET started_at_unix_ms = 'then'", "table runs holds 'then'"),
        ("UPDATE run_ends SET exit_code = 'fine'", "table run_ends holds 'fine'"),
    ],
)
def test_what_no_maker_writes_is_damage(tmp_path: Path, statement: str, told: str) -> None:
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(started_ms=0), EVERY_ROW)])
    report_of(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement)
        connection.commit()
    with pytest.raises(Unreadable) as problem:
        report_of(path)
    assert str(problem.value).startswith(f"The journal is damaged: {told}")


def test_a_journal_held_by_another_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BUSY_SECONDS_MAX", 0.01)
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), states(3))])
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("INSERT INTO states VALUES ('run-1', 1, 'a', 'b', 'c')")
        with pytest.raises(Unreadable, match="is held by another program"):
            report_of(path)


# -- beside a maker ------------------------------------------------------------------------------------------------


def test_reading_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """No byte of the journal, no file beside it: another user's report must not be in the next maker's way."""
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), states(500))])
    before = path.read_bytes(), path.stat().st_mtime_ns
    with reading(path) as reader:
        assert len(sentences(reader)) == 500
        assert sorted(os.listdir(tmp_path)) == ["journal.sqlite"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(os.listdir(tmp_path)) == ["journal.sqlite"]


def a_maker(path: Path, run_id: str = "run-1") -> SqliteJournal:
    return SqliteJournal(path, Run(run_id, NOON, "paper", "practice", "ab" * 32, "0.1.0"))


def put(maker: SqliteJournal, rows: list[StateChange]) -> None:
    """Rows that are on the disk when this returns."""
    for row in rows:
        maker.put(row)
    while maker.statistics().rows_written < maker.statistics().rows_put:
        assert maker.lost is None


def test_a_running_maker_s_rows_are_read_as_they_were_when_reading_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PAGE_ROWS", 10)
    path = tmp_path / "journal.sqlite"
    maker = a_maker(path)
    put(maker, states(35))
    with reading(path) as reader:
        found = []
        for page in reader.pages("states", STATES):
            found += page
            put(maker, states(20))
    assert found == [(str(at),) for at in range(35)]
    assert maker.close(WAIT_SECONDS_MAX)


class Held(Reader):
    """What must not be: one statement for the whole table, read row by row."""

    def pages(self, table: str, query: str, *, share: int = 1, **_parameters: object):  # type: ignore[no-untyped-def]
        last = self.last[table]
        for row in self.connection.execute(query, {"low": 0, "high": last}):
            yield [row]


@pytest.mark.parametrize("kind", [Reader, Held])
def test_no_checkpoint_ever_waits_for_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Reader]
) -> None:
    """Between any two pages the write-ahead log can be folded back whole and emptied, as the maker's own end does it.

    A reader that holds its statement would forbid just that: the log would grow for as long as it reads.
    """
    monkeypatch.setattr(room, "PAGE_ROWS", 100)
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), states(1000))])
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0.0)) as maker:
        maker.execute("INSERT INTO states VALUES ('run-1', 1, 'a', 'b', 'c')")
        busy = []
        with reading(path) as found:
            reader = kind(found.path, found.connection, found.schema, found.last)
            for _ in reader.pages("states", STATES):
                maker.execute("INSERT INTO states VALUES ('run-1', 1, 'a', 'b', 'c')")
                ((is_busy, _, _),) = maker.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                busy.append(bool(is_busy))
    assert len(busy) >= 10
    assert any(busy) == (kind is Held)


def test_a_whole_report_holds_nothing_between_its_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, for every statement that a report makes."""
    monkeypatch.setattr(room, "PAGE_ROWS", 100)
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), states(1000))])
    original = Reader.all
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0.0)) as maker:
        maker.execute("INSERT INTO states VALUES ('run-1', 1, 'a', 'b', 'c')")
        busy = []

        def all_and_look(self: Reader, query: str, parameters: Mapping[str, object] | None = None) -> list[room.Row]:
            rows = original(self, query, parameters)
            maker.execute("INSERT INTO states VALUES ('run-1', 1, 'a', 'b', 'c')")
            ((is_busy, _, _),) = maker.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            busy.append(bool(is_busy))
            return rows

        monkeypatch.setattr(Reader, "all", all_and_look)
        report_of(path)
    assert len(busy) > 30
    assert not any(busy)


def test_a_maker_that_begins_meanwhile_has_it_read_again(tmp_path: Path) -> None:
    """Read as a file that nobody writes, it would be pieces of two moments."""
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), states(5))])
    with pytest.raises(Moved), reading(path):
        maker = a_maker(path, "run-2")
    with reading(path) as reader:  # with a maker alive, its end alone is no reason to read again
        assert maker.close(WAIT_SECONDS_MAX)
        assert reader.last["runs"] == 2
    assert path.with_name("journal.sqlite-wal").stat().st_size > 0, "nothing is lost of a maker that ends beside us"
    a_maker(path, "run-3").close(WAIT_SECONDS_MAX)
    with pytest.raises(Moved), reading(path):
        assert a_maker(path, "run-4").close(WAIT_SECONDS_MAX)


def test_an_error_of_a_file_that_moved_is_no_damage(tmp_path: Path) -> None:
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), states(5))])

    def torn() -> None:
        with reading(path):
            os.utime(path, ns=(1, 1))
            raise Unreadable("pages of two moments")

    with pytest.raises(Moved):
        torn()


def test_the_rows_of_a_torn_run_are_a_true_prefix(tmp_path: Path) -> None:
    """The files of a maker that was killed, its log cut at any byte: what was committed before is read, in order."""
    path = tmp_path / "maker" / "journal.sqlite"
    path.parent.mkdir()
    maker = a_maker(path)
    for part in range(8):
        put(maker, states(50, start_ms=NOON + part))
    log = path.with_name("journal.sqlite-wal").read_bytes()
    main = path.read_bytes()
    assert maker.close(WAIT_SECONDS_MAX)
    lengths = []
    for cut in range(32, len(log) + 1, len(log) // 12):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "journal.sqlite").write_bytes(main)
        (folder / "journal.sqlite-wal").write_bytes(log[:cut])
        with reading(folder / "journal.sqlite") as reader:
            found = sentences(reader) if reader.has("states") else []
            assert found == [str(at % 50) for at in range(len(found))]
            lengths.append(len(found))
        shutil.rmtree(folder)
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]


# -- pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "stride"), [(1, 1), (7, 3), (100, 50), (10_000, 5_000)])
@pytest.mark.parametrize("days", [0.0, 0.5, 2.0, 9.5, 40.0])
def test_a_window_s_rows_are_all_read_and_not_many_more(
    monkeypatch: pytest.MonkeyPatch, page: int, stride: int, days: float
) -> None:
    """A row an hour for ten days: from a day before the window, to the stride."""
    monkeypatch.setattr(room, "PAGE_ROWS", page)
    monkeypatch.setattr(room, "STRIDE_ROWS", stride)
    reader = in_memory([Told(a_run(), states(240, step_ms=3_600_000))])
    reader.since_ms = NOON + round(days * DAY) if days else 0
    found = [int(sentence) for sentence in sentences(reader)]
    wanted = min(239, max(0, round(days * 24) - 24))
    assert found == list(range(found[0], 240))
    assert wanted - stride - 1 <= found[0] <= wanted
    reader.connection.close()


def test_rows_that_are_missing_are_passed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file repaired from pieces may have its rows far apart."""
    monkeypatch.setattr(room, "PAGE_ROWS", 10)
    reader = in_memory([Told(a_run(), states(3))])
    reader.connection.execute("UPDATE states SET rowid = 2000000000000 WHERE rowid = 3")
    reader = attrs.evolve(reader, last={**reader.last, "states": 2_000_000_000_000}, first={})
    assert sentences(reader) == ["0", "1", "2"]
    reader.connection.close()


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_what_a_run_said_last_before_the_window_is_found(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """Of this run and no other, however far back; nothing where the run began later."""
    monkeypatch.setattr(room, "PAGE_ROWS", page)
    monkeypatch.setattr(room, "STRIDE_ROWS", 1)
    rows = [StateChange(NOON + at * 3_600_000, "maker", "state", f"{at}") for at in range(100)]
    reader = in_memory([Told(a_run("old"), rows[:20]), Told(a_run("new"), rows[20:])])
    connection = reader.connection
    connection.execute("ALTER TABLE states RENAME COLUMN scope TO market")
    connection.execute("UPDATE states SET market = 'A' WHERE rowid = 31")
    reader.since_ms = NOON + 90 * 3_600_000
    first = reader.first_row("states")
    assert 60 <= first <= 67
    assert reader.before("states", "sentence", "new", "maker") == (str(first - 2),)
    assert reader.before("states", "sentence", "new", "A") == ("30",)
    assert reader.before("states", "sentence", "new", "B") is None
    assert reader.before("states", "sentence", "old", "maker") is None
    connection.close()


def test_an_older_schema_has_fewer_tables() -> None:
    for version in range(1, len(MIGRATIONS) + 1):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        schema(connection, version)
        reader = room.reader_of(Path("journal"), connection)
        assert reader.schema == version
        assert reader.has("attribution") == (version >= 2)
        assert reader.has("quotes") == (version >= 3)
        assert list(reader.pages("quotes", "SELECT 1")) == []
        connection.close()
