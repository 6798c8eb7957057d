"""The end of a run whose maker, disk or guard fails in a way of its own: it is pulled for, and the exit code comes."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.launch.scripted import WAIT_SECONDS_MAX, Scripted, ScriptedRun, finish, is_alive
from tests.support.venue_script import ScriptedExchange, order

# As a maker in state D, which waits for a disk that hangs: no signal has an effect that anybody sees.
CANNOT_BE_KILLED = """
import signal, subprocess
send = signal.pidfd_send_signal
signal.pidfd_send_signal = lambda maker, number: None if number == signal.SIGKILL else send(maker, number)
subprocess.Popen.send_signal = lambda _process, _number: None
"""


def test_a_maker_that_cannot_be_killed_is_pulled_for_and_holds_no_exit(
    scripted: Scripted, exchange: ScriptedExchange
) -> None:
    """Nothing of its program runs after SIGKILL: it counts as killed, and is waited for once, for a moment."""
    run = scripted("armed:silent", mode="live")
    process = run.start(limits=CANNOT_BE_KILLED)
    run.wait_for("armed")
    exchange.resting = [order(number=7)]
    assert process.wait(WAIT_SECONDS_MAX) == 70
    assert process.stdout is not None
    result = json.loads(process.stdout.read())  # stderr is still the maker's too
    assert result["verified_empty"] is True
    assert "no heartbeat came in time" in result["reason"]
    assert exchange.resting == []
    assert is_alive(int((run.folder / "pid_of_maker-process").read_text()))


def killed_beside(run: ScriptedRun, limits: str = "") -> tuple[int, dict[str, object]]:
    """Have a maker die while something rests, and return how its run ended."""
    process = run.start(limits=limits)
    maker_pid = run.status()["maker_pid"]
    run.exchange.resting = [order(number=7)]
    os.kill(maker_pid, signal.SIGKILL)
    code, result = finish(process)
    assert run.exchange.resting == []
    return code, result


def test_a_lock_file_that_cannot_be_written_holds_no_pull(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """S10: the disk hangs (here: a pipe that nobody reads) when whoever comes next is to be told that we are ending."""
    run = scripted("armed:waits")
    process = run.start()
    maker_pid = run.status()["maker_pid"]
    (run.folder / "state" / "maker.lock").unlink()
    os.mkfifo(run.folder / "state" / "maker.lock")
    exchange.resting = [order(number=7)]
    os.kill(maker_pid, signal.SIGKILL)
    code, result = finish(process)
    assert (code, result["verified_empty"], exchange.resting) == (70, True, [])


LOG_HANGS = """
import threading
say = parent.log
parent.log = lambda event, *words: threading.Event().wait() if event == "pulling" else say(event, *words)
"""


def test_a_log_that_hangs_holds_no_pull(scripted: Scripted) -> None:
    """S10: stderr may be a file on the disk that hangs."""
    code, result = killed_beside(scripted("armed:waits"), LOG_HANGS)
    assert (code, result["verified_empty"]) == (70, True)


def test_a_run_json_that_cannot_be_removed_holds_no_exit(scripted: Scripted) -> None:
    run = scripted("reports")
    hangs = "import threading; start.Path.unlink = lambda *_words, **_more: threading.Event().wait()"
    assert finish(run.start(limits=hangs))[0] == 0
    assert (run.folder / "state" / "run.json").exists()


WATCH_FAILS = """
import pathlib
def fail(_watch, _now):
    if pathlib.Path("fail").exists():
        raise ZeroDivisionError("as scripted")
parent.Watch.pass_on = fail
"""


def test_a_watch_that_fails_is_the_makers_end(scripted: Scripted, exchange: ScriptedExchange) -> None:
    """A bug of ours: nobody watches the maker any more, so it is killed and pulled for, and the sentence says why."""
    run = scripted("armed:waits")
    process = run.start(limits=WATCH_FAILS)
    maker_pid = run.status()["maker_pid"]
    exchange.resting = [order(number=7)]
    (run.folder / "fail").touch()
    output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    result = json.loads(output.splitlines()[-1])
    assert (process.returncode, result["exit_code"], result["verified_empty"]) == (70, 70, True)
    assert "its guard failed (ZeroDivisionError('as scripted'))" in result["reason"]
    assert exchange.resting == []
    assert not is_alive(maker_pid)
    assert b"Traceback" in errors
    assert (run.folder / "state" / "crashes").exists()


JUDGE_FAILS = """
judge = report.judge
report.judge = lambda ended, *words: judge(ended, *words) if ended.killed_for else 1 // 0
"""


@pytest.mark.parametrize("behaviour", ["armed:reports", "armed:fails"])
def test_a_last_word_that_cannot_be_judged_is_pulled_for(scripted: Scripted, behaviour: str) -> None:
    """It may have said anything: what it left is not known."""
    code, result = finish(scripted(behaviour).start(limits=JUDGE_FAILS))
    assert (code, result["verified_empty"]) == (70, True)
    assert "its guard failed (ZeroDivisionError" in result["reason"]
