"""The command: its words, its lines, its JSON object, its end by a signal; and the order of all checks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from maker import __main__ as program
from maker.app import cli
from maker.app.feeds import Door
from maker.app.references import Venue
from maker.errors import ExitCode
from maker.launch import latch
from maker.preflight import command, local, rehearsal
from maker.preflight.sequence import Sequence
from maker.preflight.setting import THIS_WAY, Ways
from maker.preflight.verdict import Verdict, ok
from tests.preflight.scripted import live_example
from tests.preflight.test_local import KEY, a_conf


@pytest.fixture(autouse=True)
def the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKER_TEST_KEY", KEY)


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], dict[str, Any]]:
    """Check in this process; return the exit code, the lines, and the object of the last one."""
    code = program.main(["check", *words, "--json"])
    shown = capsys.readouterr()
    assert KEY not in shown.out + shown.err
    *lines, last = shown.out.splitlines()
    said: dict[str, Any] = json.loads(last)
    assert said["exit_code"] == code
    assert len(said["checks"]) == len(lines)
    return code, lines, said


def test_a_bad_configuration_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = a_conf(tmp_path, ("level_size = 0.02", "level_sise = 0.02"))
    code, lines, said = checked(capsys, str(conf))
    assert code == ExitCode.REFUSED_TO_START
    assert lines[0].startswith("FAILED    configuration         market.BTC-PERP.level_sise: is not a known key.")
    assert all(line.startswith("not made  ") for line in lines[1:])
    assert said["checks"][0]["fix"] == "Did you mean level_size?"
    assert said["reason"].endswith("a start would be refused.")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("words", "shown"), [(["--help"], 0), ([], 2), (["a", "b"], 2), (["a", "--fast"], 2)])
def test_its_words(words: list[str], shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == shown
    assert "check" in "".join(capsys.readouterr())


def test_it_is_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["fly"])
    assert " check," in capsys.readouterr().err


def test_nobody_listens_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything of this machine is checked, with the real guard; of the exchange nothing can be, feeds neither."""
    nowhere = 'url = "ws://127.0.0.1:1"\nsilent_seconds_max'
    conf = live_example(tmp_path, "http://127.0.0.1:1", ("silent_seconds_max", nowhere))
    code, _, said = checked(capsys, str(conf))
    rows = {row["name"]: row["verdict"] for row in said["checks"]}
    here = ("configuration", "key", "state folder", "journal", "disk", "descriptors", "guard", "latch", "lock")
    assert {rows[name] for name in here} <= {"ok", "warning"}
    assert rows["exchange"] == "failed"
    feeds = {f"reference.{name}" for name in ("binance", "okx", "kraken")}
    assert {rows[name] for name in feeds} == {"failed"}
    others = {name: verdict for name, verdict in rows.items() if name not in {*here, "exchange", *feeds}}
    assert set(others.values()) == {"not made"}
    assert code == ExitCode.REFUSED_TO_START
    assert "practice exchange" not in rows
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("change", "name"),
    [("key", "key"), ("folder", "state folder"), ("journal", "journal"), ("guard", "guard"), ("kill", "latch")],
)
def test_each_failure_of_this_machine_fails_alone(
    change: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fails, with the code that `run` would end with; the others of this machine are made all the same."""
    conf, folder = live_example(tmp_path, "https://ocx.test"), tmp_path / "state"
    monkeypatch.setattr(rehearsal, "guard", lambda: ok("As scripted."))
    if change == "folder":
        folder.write_text("")
    else:
        folder.mkdir()
    if change == "key":
        monkeypatch.delenv("MAKER_TEST_KEY")
    if change == "journal":
        (folder / "journal.sqlite").write_text("somebody's notes\n" * 100)
    if change == "kill":
        latch.write(folder, "drawdown", "lost too much")
    if change == "guard":
        monkeypatch.undo()
        monkeypatch.setenv("MAKER_TEST_KEY", KEY)
        monkeypatch.setattr(
            os, "pidfd_open", lambda _pid: (_ for _ in ()).throw(OSError(38, "Function not implemented"))
        )
    sequence = Sequence(lambda _row: None)
    found = local.configured(conf)
    sequence.make("configuration", lambda: local.configuration(found))
    command.of_this_machine(found, sequence, THIS_WAY)
    verdicts = {row.name: row.finding for row in sequence.rows}
    assert [one for one, finding in verdicts.items() if finding.verdict is Verdict.FAILED] == [name]
    assert verdicts[name].exit_code is ExitCode.REFUSED_TO_START
    assert verdicts[name].fix
    unmade = [one for one, finding in verdicts.items() if finding.verdict is Verdict.NOT_MADE]
    assert unmade == (["journal", "latch", "lock"] if change == "folder" else [])


def test_a_bug_is_said_and_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bug() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(rehearsal, "guard", bug)
    assert command.main([str(live_example(tmp_path, "https://ocx.test"))]) == ExitCode.FAILURES_FOUND
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == "Failed after 6 checks, by a bug of ours: ZeroDivisionError."
    assert "Traceback" in shown.err


def test_a_reader_that_has_gone_changes_no_exit_code(tmp_path: Path) -> None:
    conf = a_conf(tmp_path, ("level_size = 0.02", "level_sise = 0.02"))
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = [sys.executable, "-m", "maker", "check", str(conf)]
    ended = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2])
    os.close(write_end)
    assert ended.returncode == ExitCode.REFUSED_TO_START
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how far it came, claims nothing, and leaves the handlers as it found them."""

    def told() -> Any:
        signal.raise_signal(number)
        time.sleep(30)

    monkeypatch.setattr(rehearsal, "guard", told)
    before = [signal.getsignal(one) for one in (signal.SIGINT, *command.AS_CTRL_C)]
    assert command.main([str(live_example(tmp_path, "https://ocx.test"))]) == ExitCode.FAILURES_FOUND
    assert capsys.readouterr().out.splitlines()[-1] == "Stopped after 6 checks."
    assert [signal.getsignal(one) for one in (signal.SIGINT, *command.AS_CTRL_C)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_waits_for_others_ends_it(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trio hands it on in a group, out of the nursery of the feeds: it is the same end."""

    async def told(_venue: Venue, _door: Door) -> None:
        signal.raise_signal(number)
        await trio.sleep(30)

    conf = live_example(tmp_path, "http://127.0.0.1:1")
    assert command.main([str(conf)], Ways(follow_reference=told)) == ExitCode.FAILURES_FOUND
    shown = capsys.readouterr()
    assert re.fullmatch(r"Stopped after [0-9]+ checks\.", shown.out.splitlines()[-1])
    assert "Traceback" not in shown.err
    assert "FAILED    reference" not in shown.out
