"""A start that comes to no maker is told to people: once, then ever more rarely; its exit code is what it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from maker.launch.refusals import TELL_SECONDS_MAX
from maker.launch.telling import Memory
from tests.launch.scripted import REAL, Scripted, ScriptedRun, finish
from tests.support.hook import TARGET, VARIABLE, Hook
from tests.support.venue_script import Say, ScriptedExchange, order

FOREIGN = order() | {"clientOrderId": "somebody-else"}


def telling_run(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, hook: Hook, behaviour: str = "reports"
) -> ScriptedRun:
    """A live run whose targets are told by the real process."""
    run = scripted(behaviour, mode="live")
    shutil.rmtree(run.folder / "maker" / "app")
    shutil.rmtree(run.folder / "maker" / "monitor")
    for name in ("app", "monitor", "desk", "wire", "edge"):
        shutil.copytree(REAL / name, run.folder / "maker" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REAL / "errors.py", run.folder / "maker" / "errors.py")
    with (run.folder / "conf.toml").open("a") as file:
        file.write(TARGET)
    monkeypatch.setenv(VARIABLE, hook.url)
    return run


def remembered(run: ScriptedRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "state" / "refusals.json").read_text())
    return found


@pytest.mark.parametrize(
    ("status", "code", "words"), [(401, 77, "exit code 77"), (0, 78, "not ours"), (404, 75, "quotes that an earlier")]
)
def test_each_refusal_is_told_once_for_many_retries(
    status: int, code: int, words: str, scripted: Scripted, exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real process: exit code and last line are what they were; another start soon after tells nothing."""
    if status:
        exchange.script = lambda _one: Say(status)
    else:
        exchange.resting[:] = [FOREIGN]
    with Hook() as hook:
        run = telling_run(scripted, monkeypatch, hook)
        limits = "fire_drill.DRILL_SECONDS_MAX = 0.5"
        for _ in range(2):
            ended, result = finish(run.start(limits=limits))
            assert (ended, result["exit_code"], result["verified_empty"]) == (code, code, False)
            assert result["reason"] in hook.told[0]["sentence"]
        assert hook.names() == ["start_refused"]
        assert words in hook.told[0]["sentence"]
        assert remembered(run)[str(code)]["tellings"] == 1
        (run.folder / "state" / "refusals.json").write_text("{ nonsense")
        finish(run.start(limits=limits))
        assert hook.names() == ["start_refused"] * 2, "what cannot be read was not told"


def test_nobody_reached_is_told_at_the_next_start(
    scripted: Scripted, exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.resting[:] = [FOREIGN]
    with Hook() as hook:
        run = telling_run(scripted, monkeypatch, hook)
        monkeypatch.setenv(VARIABLE, "no address")
        assert finish(run.start())[0] == 78
        monkeypatch.setenv(VARIABLE, hook.url)
        assert finish(run.start())[0] == 78
        assert hook.names() == ["start_refused"]


def test_a_state_folder_that_cannot_be_used_changes_no_exit_code(
    scripted: Scripted, exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hook() as hook:
        run = telling_run(scripted, monkeypatch, hook)
        (run.folder / "state").write_text("a file")
        ended, result = finish(run.start())
        assert (ended, result["exit_code"]) == (78, 78)
        assert hook.names() == ["start_refused"]


# -- bounds, with a process in the real one's place


def with_teller(run: ScriptedRun, program: str) -> None:
    with (run.folder / "conf.toml").open("a") as file:
        file.write(TARGET)
    (run.folder / "maker" / "monitor" / "tell.py").write_text(f"def main(_words):\n    {program}\n")


HANGS = "import os, time; open('pid_of_tell', 'w').write(str(os.getpid())); time.sleep(60)"


def test_a_process_that_hangs_is_waited_for_so_long_and_no_longer(
    scripted: Scripted, exchange: ScriptedExchange
) -> None:
    exchange.resting[:] = [FOREIGN]
    run = scripted("reports", mode="live")
    with_teller(run, HANGS)
    began = time.monotonic()
    limits = "from maker.launch import refusals; refusals.TELL_SECONDS_MAX = 3.0"
    ended, result = finish(run.start(limits=limits))
    took = time.monotonic() - began
    assert (ended, result["exit_code"]) == (78, 78)
    assert 3.0 <= took < 3.0 + 10.0
    assert TELL_SECONDS_MAX == 15.0
    assert not Path(f"/proc/{(run.folder / 'pid_of_tell').read_text()}").exists(), "it is killed"
    assert remembered(run)["78"]["tellings"] == 1, "somebody may have been told"


def test_a_stop_signal_ends_the_wait(scripted: Scripted, exchange: ScriptedExchange) -> None:
    exchange.resting[:] = [FOREIGN]
    run = scripted("reports", mode="live")
    with_teller(run, HANGS)
    process = run.start()
    run.wait_for("pid_of_tell")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 78
    assert time.monotonic() - began < 5.0


NOTES = "open('was_told', 'w').write('x'); return 0"


def test_a_maker_that_beats_ends_it_and_tells_nothing(scripted: Scripted) -> None:
    """Its monitor tells from here on; what was remembered is gone."""
    run = scripted("armed:unverified", mode="live")
    with_teller(run, NOTES)
    (run.folder / "state").mkdir()
    Memory(run.folder / "state" / "refusals.json").take(75, "it was so", time.time())
    finish(run.start())
    assert (run.folder / "armed").exists()
    assert not (run.folder / "state" / "refusals.json").exists()
    assert not (run.folder / "was_told").exists()


@pytest.mark.parametrize("without", ["live", "targets", "terminal"])
def test_where_nobody_is_to_be_told_nothing_is_started(
    without: str, scripted: Scripted, exchange: ScriptedExchange
) -> None:
    exchange.resting[:] = [FOREIGN]
    run = scripted("reports", mode="paper" if without == "live" else "live")
    with_teller(run, NOTES)
    text = (run.folder / "conf.toml").read_text()
    if without == "targets":
        (run.folder / "conf.toml").write_text(text.replace(TARGET, ""))
    if without != "terminal":
        assert finish(run.start())[0] in (0, 78)
    else:
        leader, follower = os.openpty()
        process = run.start(stderr=follower)
        assert finish(process)[0] == 78
        os.close(leader)
        os.close(follower)
    assert not (run.folder / "was_told").exists()
    assert not (run.folder / "state" / "refusals.json").exists()


# -- what is remembered


def test_the_same_words_wait_longer_each_time(tmp_path: Path) -> None:
    """Numbers in them make no difference; other words wait for the first pause alone; another code not at all."""
    memory, at = Memory(tmp_path / "refusals.json"), 1_800_000_000.0
    told = [minute for minute in range(600) if memory.take(75, f"after {minute}.5 s, nothing", at + minute * 60)]
    assert told == [0, 5, 15, 35, 75, 155, 315, 555]
    assert memory.take(77, "the key", at + 600 * 60)
    assert memory.take(75, "something else", at + 600 * 60)
    assert not memory.take(75, "and something else", at + 604 * 60)
    assert memory.take(75, "and something else", at - 1.0), "a clock that was set back silences nobody"
    memory.undo()
    assert memory.take(75, "and something else", at + 900 * 60)


def test_nothing_that_stands_there_is_believed_or_feared(tmp_path: Path) -> None:
    path = tmp_path / "refusals.json"
    for content in (b"", b"[]", b'{"75": 3}', b'{"75": {"words": "", "told_at": "x", "tellings": 1}}', b"\xff" * 9000):
        path.write_bytes(content)
        assert Memory(path).take(75, "x", 1.0)
    path.unlink()
    os.mkfifo(path)
    assert Memory(path).take(75, "x", 1.0)
    assert Memory(tmp_path / "nowhere" / "refusals.json").take(75, "x", 1.0)
