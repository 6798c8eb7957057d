"""The command as people give it: what it prints, what it writes, its exit codes; beside a maker that runs."""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from maker import __main__ as program
from maker.edge.journal import SqliteJournal
from maker.edge.records import Run, StateChange
from maker.errors import ExitCode
from maker.report import command
from maker.report.reading import ATTEMPTS_MAX, Reader, Row
from tests.report.journals import DAY, NOON, Told, a_run, in_file
from tests.report.test_text import GOLDEN, a_story

PROJECT = Path(__file__).parents[2]


def a_configuration(folder: Path, *, with_journal: bool = True) -> Path:
    """One that names a state folder and would start no maker."""
    state = folder / "state"
    state.mkdir()
    if with_journal:
        in_file(state / command.JOURNAL_FILE, a_story())
    path = folder / "maker.toml"
    path.write_text(f'state_folder = "{state}"\nno_such_key = 1\n')
    return path


def report(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = command.main(list(words), now_ms=lambda: NOON + DAY)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_without_a_word_more_it_is_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the configuration only the state folder counts: what no longer starts a maker can be reported on."""
    code, out, err = report(capsys, str(a_configuration(tmp_path)))
    assert (code, err) == (ExitCode.CLEAN, "")
    journal = str(tmp_path / "state" / "journal.sqlite")
    assert out == GOLDEN.read_text(encoding="utf-8").replace("journal.sqlite", journal)


def test_as_files_it_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, folder = tmp_path / "report.html", tmp_path / "tables"
    words = (str(a_configuration(tmp_path)), "--html", str(html), "--csv", str(folder))
    code, out, _ = report(capsys, *words)
    assert code == ExitCode.CLEAN
    assert out.splitlines()[-2:] == [
        f"Written: {html}",
        f"Written: 13 files in {folder}: {', '.join(['fills.csv', *(f'{key}.csv' for key in KEYS)])}",
    ]
    assert html.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in folder.iterdir()) == sorted(["fills.csv", *(f"{key}.csv" for key in KEYS)])
    assert len((folder / "fills.csv").read_text().splitlines()) == 3


KEYS = (
    *("profit", "fills_by_market", "markouts", "quotes", "spreads", "ladders", "requests", "halts_by_cause", "halts"),
    *("not_quoting", "latency", "runs"),
)


def test_as_json_it_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = report(capsys, str(a_configuration(tmp_path)), "--json")
    said = json.loads(out)
    assert (code, said["exit_code"], err) == (0, 0, "")
    assert said["reason"].startswith("-1,197.89 in 12 h 00 min of running")
    assert tuple(said["tables"]) == KEYS
    assert said["total"]["profit_quote"] == "-1197.891"


@pytest.mark.parametrize(("since", "runs"), [("24h", 1), ("2026-11-28", 2), ("2026-11-28T11:00", 1), ("27h", 2)])
def test_since_a_moment(tmp_path: Path, capsys: pytest.CaptureFixture[str], since: str, runs: int) -> None:
    _, out, _ = report(capsys, str(a_configuration(tmp_path)), "--since", since, "--json")
    assert len(json.loads(out)["tables"]["runs"]) == runs


def test_since_now_nothing_has_happened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = report(capsys, str(a_configuration(tmp_path)), "--since", "1h")
    assert code == ExitCode.CLEAN
    assert out.splitlines()[1] == "Nothing has happened: the journal tells of no run in this time."


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("change", "words", "code", "sentence"),
    [
        ("", ["--since", "yesterday"], ExitCode.USAGE, "--since 'yesterday' is not understood: it takes a date"),
        ("", ["--since", "2027-01-01"], ExitCode.USAGE, "--since '2027-01-01' lies in the future"),
        ("no journal", [], ExitCode.FAILURES_FOUND, "There is no journal "),
        ("damaged", [], ExitCode.FAILURES_FOUND, "The journal "),
        ("", ["--html", "/dev/null/report.html"], ExitCode.FAILURES_FOUND, "/dev/null/report.html cannot be written"),
        ("", ["--csv", "/dev/null/tables"], ExitCode.FAILURES_FOUND, "The folder /dev/null/tables cannot be made"),
        ("no configuration", [], ExitCode.REFUSED_TO_START, "configuration: cannot read the configuration"),
        ("no state folder", [], ExitCode.REFUSED_TO_START, "configuration: state_folder must be a path"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_an_exit_code(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
    words: list[str],
    code: ExitCode,
    sentence: str,
    as_json: bool,
) -> None:
    conf = a_configuration(tmp_path)
    journal = tmp_path / "state" / "journal.sqlite"
    if change == "no journal":
        journal.unlink()
    elif change == "damaged":
        journal.write_bytes(journal.read_bytes()[:8192])
    elif change == "no configuration":
        conf.unlink()
    elif change == "no state folder":
        conf.write_text('mode = "paper"\n')
    ended, out, err = report(capsys, str(conf), *words, *(["--json"] if as_json else []))
    assert ended == code
    told = json.loads(out)["reason"] if as_json else err.removeprefix("report: ")
    assert told.startswith(sentence)
    assert told.count("\n") == (0 if as_json else 1)
    assert (err == "") if as_json else (out == "")


def test_a_maker_that_keeps_starting_meanwhile_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again as often as promised; then a sentence. Once is enough when nobody starts any more."""
    conf = a_configuration(tmp_path)
    journal = tmp_path / "state" / "journal.sqlite"
    original, starts = Reader.last_at_ms, [2]

    def starting(self: Reader) -> int:
        if starts[0]:
            starts[0] -= 1
            journal.touch()
        return original(self)

    monkeypatch.setattr(Reader, "last_at_ms", starting)
    assert report(capsys, str(conf))[0] == ExitCode.CLEAN
    assert starts[0] == 0
    starts[0] = 100
    code, _, err = report(capsys, str(conf))
    assert code == ExitCode.FAILURES_FOUND
    assert f"was replaced or begun {ATTEMPTS_MAX} times while it was read" in err
    assert starts[0] == 100 - ATTEMPTS_MAX


def test_a_running_maker_s_journal_is_reported_and_it_never_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real writer goes on between any two reads of the report, and loses nothing."""
    conf = a_configuration(tmp_path, with_journal=False)
    path = tmp_path / "state" / "journal.sqlite"
    maker = SqliteJournal(path, Run("run-1", NOON, "paper", "practice", "ab" * 32, "0.1.0"))
    maker.put(StateChange(NOON + 1000, "maker", "pulling", "a market's event stream broke: A"))
    while maker.statistics().rows_written < 1:
        assert maker.lost is None
    original = Reader.all

    def all_while_it_writes(self: Reader, query: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        before = maker.statistics().rows_written
        maker.put(StateChange(NOON + 2000, "maker", "note", "later"))
        while maker.statistics().rows_written == before:
            assert maker.lost is None
        return original(self, query, parameters)

    monkeypatch.setattr(Reader, "all", all_while_it_writes)
    code, out, _ = report(capsys, str(conf))
    assert code == ExitCode.CLEAN
    assert "quotes pulled 1 time, 1 unasked" in out
    assert "has no end: it is running, or was killed." in out
    assert maker.close(20.0)
    with closing(sqlite3.connect(path)) as journal:
        assert journal.execute("SELECT count(*) FROM states").fetchone() == (maker.statistics().rows_put,)


def test_a_reader_that_has_gone_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report CONF | head -1`."""

    class Gone:
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    assert command.main([str(a_configuration(tmp_path))], now_ms=lambda: NOON + DAY) == ExitCode.CLEAN
    monkeypatch.undo()
    capsys.readouterr()


def test_it_is_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Help tells what a newcomer needs, the README too."""
    with pytest.raises(SystemExit) as ended:
        program.main(["report", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in ("--since", "--html", "--csv", "--json", "24h", "UTC", "exit codes"):
        assert word in text
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert "run.py report CONF" in readme
    assert "| `quotes`, `requests` |" in readme


@pytest.mark.parametrize("words", [[], ["a.toml", "b.toml"], ["a.toml", "--sinse", "24h"], ["a.toml", "--since"]])
def test_words_that_mean_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["report", *words])
    assert ended.value.code == ExitCode.USAGE
    capsys.readouterr()


def test_it_needs_neither_key_nor_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `report` opens the journal and no socket."""

    def never(*_words: Any, **_more: Any) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", never)
    conf = a_configuration(tmp_path, with_journal=False)
    in_file(tmp_path / "state" / "journal.sqlite", [Told(a_run())])
    assert command.main([str(conf), "--json"], now_ms=lambda: NOON + DAY) == ExitCode.CLEAN
