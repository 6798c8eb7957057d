"""The parent process with real children: what it starts, what it passes on, and what it says when they end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launch.scripted import ScriptedRun, finish, is_alive

Scripted = Callable[..., ScriptedRun]
DOCUMENTED = {
    "reason", "exit_code", "verified_empty", "open_orders", "quotes_sent", "fills", "position", "pnl", "halts",
}  # fmt: skip


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Scripted]:
    made: list[ScriptedRun] = []

    def make(behaviour: str, **more: str) -> ScriptedRun:
        made.append(ScriptedRun(tmp_path, behaviour, **more))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()


def test_the_makers_result_is_the_last_line_and_the_exit_code(scripted: Scripted) -> None:
    """A run prints what the maker reported, with every documented key, and ends with its code."""
    run = scripted("reports")
    code, result = finish(run.start("--for", "1.5m"))
    assert code == 0
    assert set(result) >= DOCUMENTED
    assert (result["quotes_sent"], result["position"], result["verified_empty"]) == (7, {"BTC-PERP": "0.5"}, True)
    words = result["argv"]
    assert words[words.index("--for") + 1] == "90.000s"
    assert words[words.index("--venue-url") + 1] == "http://127.0.0.1:1"
    assert words[words.index("--reference-url") + 1] == "ws://127.0.0.1:2"
    assert os.path.isabs(words[2])


def test_paper_mode_starts_the_venue_and_stops_it(scripted: Scripted) -> None:
    """The practice exchange learns whose it is, and is told to stop after the maker has ended."""
    run = scripted("waits")
    process = run.start()
    status = run.status()
    words = json.loads((run.folder / "venue_argv").read_text())
    assert words[words.index("--owner-pid") + 1] == str(process.pid)
    assert words[words.index("--port") + 1] == "0"
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    assert (run.folder / "venue_stopped").exists()
    assert not is_alive(status["venue_pid"])


def test_live_mode_starts_no_venue(scripted: Scripted) -> None:
    run = scripted("reports", mode="live")
    code, result = finish(run.start())
    assert code == 0
    assert "--venue-url" not in result["argv"]
    assert not (run.folder / "venue_argv").exists()


def test_run_json_names_the_processes_and_goes_away(scripted: Scripted) -> None:
    """While it runs, state/run.json holds the documented fields; afterwards it is gone."""
    run = scripted("waits")
    process = run.start()
    status = run.status()
    assert set(status) == {"guard_pid", "maker_pid", "venue_pid", "venue_url", "monitor_url", "started_at"}
    assert status["guard_pid"] == process.pid
    assert is_alive(status["maker_pid"])
    assert is_alive(status["venue_pid"])
    assert (status["venue_url"], status["monitor_url"]) == ("http://127.0.0.1:1", None)
    assert status["started_at"].endswith("+00:00")
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert not (run.folder / "state" / "run.json").exists()


def test_children_have_sessions_of_their_own(scripted: Scripted) -> None:
    """A terminal's Ctrl-C reaches the parent alone: neither child is in its session."""
    run = scripted("waits")
    process = run.start()
    status = run.status()
    assert os.getsid(status["maker_pid"]) == status["maker_pid"]
    assert os.getsid(status["venue_pid"]) == status["venue_pid"]
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_each_stop_signal_is_passed_on_as_it_came(scripted: Scripted, number: signal.Signals) -> None:
    run = scripted("waits")
    process = run.start()
    run.status()
    process.send_signal(number)
    code, result = finish(process)
    assert (code, result["signal"]) == (0, number)


def test_a_signal_while_the_maker_is_still_importing_waits(scripted: Scripted) -> None:
    """Stop signals reach the maker blocked, so an early one is delivered when it unblocks, and kills nothing."""
    run = scripted("slow_to_import")
    process = run.start()
    maker_pid = run.status()["maker_pid"]
    process.send_signal(signal.SIGTERM)
    pending = f"/proc/{maker_pid}/status"
    while int(next(line for line in Path(pending).read_text().splitlines() if line.startswith("ShdPnd"))[7:], 16) == 0:
        os.sched_yield()  # until the parent has passed it on
    (run.folder / "go").touch()
    code, result = finish(process)
    assert (code, result["signals"]) == (0, [signal.SIGTERM])


def test_a_killed_maker_is_never_a_clean_end(scripted: Scripted) -> None:
    """Without a report nobody knows what rests: 75, and the reason says so."""
    code, result = finish(scripted("killed").start())
    assert (code, result["exit_code"], result["verified_empty"], result["open_orders"]) == (75, 75, False, None)
    assert result["reason"].startswith("the maker ended without a report: quotes may rest")
    assert "signal 9" in result["reason"]


def test_kill_from_outside_is_noticed(scripted: Scripted) -> None:
    run = scripted("waits")
    process = run.start()
    os.kill(run.status()["maker_pid"], signal.SIGKILL)
    code, result = finish(process)
    assert (code, result["verified_empty"]) == (75, False)


def test_a_report_that_the_end_belies_is_not_believed(scripted: Scripted) -> None:
    """A maker that said 'clean' and was then killed did not finish what it said; its figures are still shown."""
    code, result = finish(scripted("killed_after_report").start())
    assert (code, result["exit_code"], result["verified_empty"], result["quotes_sent"]) == (75, 75, False, 7)
    assert "reported exit code 0 but was killed by signal 9" in result["reason"]


def test_half_a_report_is_none(scripted: Scripted) -> None:
    code, result = finish(scripted("garbage").start())
    assert (code, result["verified_empty"]) == (75, False)


def test_the_makers_own_failure_code_is_kept(scripted: Scripted) -> None:
    code, result = finish(scripted("fails").start())
    assert (code, result["reason"]) == (70, "a task failed")


def test_a_report_larger_than_a_pipe_arrives_whole(scripted: Scripted) -> None:
    code, result = finish(scripted("large").start())
    assert (code, len(result["reason"])) == (0, 300_000)


def test_a_second_run_in_the_same_state_folder_is_refused(scripted: Scripted) -> None:
    run = scripted("waits")
    first = run.start()
    status = run.status()
    code, result = finish(run.start())
    assert (code, result["exit_code"]) == (78, 78)
    assert "another maker is running" in result["reason"]
    assert is_alive(status["maker_pid"])
    first.send_signal(signal.SIGTERM)
    assert finish(first)[0] == 0


def test_the_lock_outlives_a_killed_parent_while_the_maker_unwinds(scripted: Scripted) -> None:
    """kill -9 of the parent: the maker learns it by the end of file, and nobody else may start until it has ended."""
    run = scripted("orphan")
    process = run.start()
    maker_end = os.pidfd_open(run.status()["maker_pid"])
    process.kill()
    run.wait_for("owner_gone")
    assert finish(run.start())[0] == 78
    (run.folder / "go").touch()
    with (run.folder / "state" / "maker.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # granted once the maker has ended
    assert select.select([maker_end], [], [], 5.0)[0]  # it closes its files a moment before it is gone
    os.close(maker_end)


@pytest.mark.parametrize(
    ("venue", "words"),
    [("venue_ends", "did not start"), ("venue_babbles", "where it listens"), ("venue_silent", "not ready after 0.5 s")],
)
def test_without_a_venue_no_maker_starts(scripted: Scripted, venue: str, words: str) -> None:
    run = scripted("reports", venue=venue)
    code, result = finish(run.start(limits="parent.VENUE_READY_SECONDS_MAX = 0.5"))
    assert code == 78
    assert words in result["reason"]
    assert not (run.folder / "maker_argv").exists()


def test_a_signal_while_the_venue_starts_ends_the_run(scripted: Scripted) -> None:
    run = scripted("reports", venue="venue_silent")
    process = run.start()
    run.wait_for("venue_argv")
    process.send_signal(signal.SIGTERM)
    code, result = finish(process)
    assert code == 78
    assert "before anything was placed" in result["reason"]
    assert not (run.folder / "maker_argv").exists()


def test_a_maker_that_does_not_end_is_killed(scripted: Scripted) -> None:
    run = scripted("hangs")
    process = run.start(limits="parent.MAKER_STOP_SECONDS_MAX = 0.3")
    maker_pid = run.status()["maker_pid"]
    process.send_signal(signal.SIGTERM)
    code, result = finish(process)
    assert (code, result["verified_empty"]) == (75, False)
    assert not is_alive(maker_pid)


def test_a_maker_that_overstays_its_time_is_told_to_stop(scripted: Scripted) -> None:
    """`--for` is the maker's to keep; if it does not, the parent stops it as SIGTERM would."""
    run = scripted("waits")
    code, result = finish(run.start("--for", "0.1s", limits="parent.MAKER_START_SECONDS_MAX = 0.3"))
    assert (code, result["signal"]) == (0, signal.SIGTERM)


def test_a_full_stderr_does_not_hold_the_parent(scripted: Scripted) -> None:
    """Nobody reads our log: the run ends all the same, with its result."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 4096):
            pass
    os.set_blocking(writer, True)
    code, result = finish(scripted("reports").start(stderr=writer))
    os.close(reader)
    os.close(writer)
    assert (code, result["quotes_sent"]) == (0, 7)


def test_a_closed_stdout_changes_no_exit_code(scripted: Scripted) -> None:
    run = scripted("waits")
    process = run.start()
    run.status()
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stderr is not None
    process.stderr.close()


def test_a_state_folder_that_cannot_be_is_refused(scripted: Scripted) -> None:
    run = scripted("reports")
    (run.folder / "state").write_text("a file")
    code, result = finish(run.start())
    assert code == 78
    assert "cannot use the state folder" in result["reason"]


def test_for_people_it_is_three_lines(scripted: Scripted) -> None:
    run = scripted("fails")
    ended = subprocess.run(
        [sys.executable, "-m", "maker", "run", "conf.toml"],
        cwd=run.folder,
        env=run.environment(),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 70
    assert ended.stdout.startswith("Stopped: a task failed. The exchange was NOT verified empty: quotes may rest")
    assert len(ended.stdout.splitlines()) == 3
