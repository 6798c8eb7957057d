"""The monitor beside a run: started after the maker, told to end last, started again a few times, and never in the way.

The real parent with a scripted maker and a scripted monitor.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maker.launch import companion
from maker.launch.start import Status
from tests.launch.scripted import KEY, WAIT_SECONDS_MAX, Scripted, ScriptedRun, finish, is_alive


def status_with(run: ScriptedRun, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """run.json once it is as wanted."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        told: dict[str, Any] = json.loads((run.folder / "state" / "run.json").read_text())
        if condition(told):
            return told
        assert time.monotonic() < deadline, told
        select.select([], [], [], 0.01)


def test_it_is_started_after_the_maker_and_ended_last(scripted: Scripted) -> None:
    """run.json says where it listens; the log too; it gets no signal of the maker's, and outlives it."""
    run = scripted("armed:waits", monitor="serves")
    process = run.start()
    run.status()
    told = status_with(run, lambda told: told["monitor_url"] is not None)
    assert told["monitor_url"] == "http://127.0.0.1:3/"
    assert is_alive(told["monitor_pid"])
    words = json.loads((run.folder / "monitor_argv").read_text())
    assert words[1] == "monitor"
    assert words[words.index("--owner-pid") + 1] == str(process.pid)
    assert "--status" not in words, "stderr is a pipe"
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert (process.returncode, json.loads(output.splitlines()[-1])["exit_code"]) == (0, 0)
    assert (run.folder / "monitor_stopped").exists()
    assert not is_alive(told["monitor_pid"])
    assert not (run.folder / "state" / "run.json").exists()
    assert b"the status page is at http://127.0.0.1:3/" in errors


def test_what_may_trade_is_not_in_its_environment(scripted: Scripted) -> None:
    """The variable with the bot's key is taken out; one that is the monitor's own stays."""
    run = scripted("waits", mode="live", monitor="serves")
    process = run.start()
    run.wait_for("monitor_ready")
    seen = json.loads((run.folder / "monitor_environment").read_text())
    assert "SCRIPTED_KEY" not in seen
    assert KEY not in seen.values()
    assert "PATH" in seen
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_signals_of_the_parents_calls_are_not_its_threads(scripted: Scripted) -> None:
    """The thread that starts it blocks them all: an alarm must interrupt the call that it was set for."""
    run = scripted("waits", monitor="serves")
    process = run.start()
    run.wait_for("monitor_ready")
    blocked = json.loads((run.folder / "monitor_ready").read_text())
    assert {signal.SIGALRM, signal.SIGTERM} <= set(blocked)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_one_that_dies_is_started_again_a_few_times(scripted: Scripted) -> None:
    """With pauses, and then no more; the run goes on all the while, and its result is its own."""
    run = scripted("armed:waits", monitor="dies")
    process = run.start(limits="companion.RESTART_SECONDS = (0.01, 0.01, 0.01)")
    maker_pid = run.status()["maker_pid"]
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (run.folder / "monitor_begun").read_text() != "xxxx" if (run.folder / "monitor_begun").exists() else True:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
    assert is_alive(maker_pid)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert json.loads(output.splitlines()[-1])["exit_code"] == 0
    assert errors.count(b'"monitor gone"') == 3
    assert (run.folder / "monitor_begun").read_text() == "xxxx"


def test_one_that_refuses_is_left_alone(scripted: Scripted) -> None:
    run = scripted("armed:waits", monitor="refuses")
    process = run.start()
    run.status()
    run.wait_for("monitor_begun")
    time_to_look = time.monotonic() + 0.5
    while time.monotonic() < time_to_look:
        select.select([], [], [], 0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert (run.folder / "monitor_begun").read_text() == "x"
    assert errors.count(b'"no monitor"') == 1
    assert b"quoting goes on" in errors


def test_one_that_is_killed_is_started_again_and_changes_nothing(scripted: Scripted) -> None:
    """run.json says that it is gone, and where the next one listens."""
    run = scripted("armed:waits", monitor="serves")
    process = run.start(limits="companion.RESTART_SECONDS = (0.3, 0.3, 0.3)")
    run.status()
    first = status_with(run, lambda told: told["monitor_url"] is not None)["monitor_pid"]
    os.kill(first, signal.SIGKILL)
    status_with(run, lambda told: told["monitor_url"] is None)
    second = status_with(run, lambda told: told["monitor_url"] is not None)["monitor_pid"]
    assert second != first
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_one_that_hangs_holds_the_end_no_longer_than_its_time(scripted: Scripted) -> None:
    """Everything else is over by then: it is killed, and the result is printed with its code."""
    run = scripted("armed:waits", monitor="hangs")
    process = run.start(limits="companion.STOP_SECONDS_MAX = 0.3")
    run.status()
    pid = status_with(run, lambda told: told["monitor_url"] is not None)["monitor_pid"]
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert json.loads(output.splitlines()[-1])["exit_code"] == 0
    assert not is_alive(pid)
    assert b'"monitor killed"' in errors


def test_a_maker_that_dies_is_pulled_for_with_a_hung_monitor_beside(
    scripted: Scripted,
) -> None:
    """The guard's work comes first, whatever state the monitor is in."""
    run = scripted("armed:waits", monitor="hangs")
    process = run.start(limits="companion.STOP_SECONDS_MAX = 0.3")
    maker_pid = run.status()["maker_pid"]
    status_with(run, lambda told: told["monitor_url"] is not None)
    os.kill(maker_pid, signal.SIGKILL)
    code, result = finish(process)
    assert (code, result["verified_empty"]) == (70, True)
    assert len(run.exchange.requests) > 4


@pytest.mark.parametrize(("words", "expected"), [((), True), (("--no-status",), False)])
def test_the_line_is_drawn_on_a_terminal_unless_told_not_to(
    scripted: Scripted, words: tuple[str, ...], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    run = scripted("waits", monitor="serves")
    reader, writer = pty.openpty()
    process = run.start(*words, stderr=writer)
    os.close(writer)
    run.wait_for("monitor_argv")
    run.wait_for("monitor_ready")
    assert ("--status" in json.loads((run.folder / "monitor_argv").read_text())) is expected
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    os.close(reader)


# -- run.json, from two threads


def test_run_json_is_gone_for_good_once_it_is_over(tmp_path: Path) -> None:
    status = Status(tmp_path / "run.json", {"a": 1})
    status.tell()
    status.tell(b=2)
    assert json.loads((tmp_path / "run.json").read_text()) == {"a": 1, "b": 2}
    status.end()
    status.tell(c=3)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_hangs_does_not_hold_the_end(tmp_path: Path) -> None:
    status = Status(tmp_path / "run.json", {})
    status.tell()
    with status.writing:
        began = time.monotonic()
        status.end()
        assert time.monotonic() - began < 5
    assert not (tmp_path / "run.json").exists()


def test_the_parent_waits_longer_than_services_may_take() -> None:
    from maker.monitor.lookout import DELIVER_SECONDS_MAX

    assert companion.STOP_SECONDS_MAX > DELIVER_SECONDS_MAX


FAILS_ONCE_IT_IS_THERE = """
import pathlib, time
def fail(watch):
    while not all(pathlib.Path(name).exists() for name in ("monitor_ready", "maker_ready")):
        time.sleep(0.01)
    raise ZeroDivisionError("as scripted")
parent.Watch.run = fail
companion.STOP_SECONDS_MAX = 60.0
"""


def test_after_an_error_of_our_own_the_maker_is_told_before_any_monitor_is_waited_for(scripted: Scripted) -> None:
    """Nobody watches it any more: it pulls its quotes at once, however long a monitor takes to end."""
    run = scripted("waits", monitor="hangs")
    run.start(limits=FAILS_ONCE_IT_IS_THERE)
    maker_pid = run.status()["maker_pid"]
    run.wait_for("monitor_ready")
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while is_alive(maker_pid):
        assert time.monotonic() < deadline, "it was left alone"
        select.select([], [], [], 0.01)
