"""Whether processes are there: real ones, dead ones, zombies, and a number that was given again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maker.launch.running import RUN_FILE
from maker.monitor.observation import Life
from maker.monitor.processes import Processes, began, run_fields


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def a_run(folder: Path, guard: object, maker: object) -> None:
    (folder / RUN_FILE).write_text(json.dumps({"guard_pid": guard, "maker_pid": maker}))


def test_a_run_is_followed_to_its_end(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    """Unknown before any run; alive; gone when it died, as a zombie already, and after run.json went; then the next."""
    processes = Processes(tmp_path)
    assert processes.look() == (Life.UNKNOWN, Life.UNKNOWN)
    a_run(tmp_path, os.getpid(), other.pid)
    assert processes.look() == (Life.ALIVE, Life.ALIVE)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and not waited for: a zombie
    assert processes.look() == (Life.GONE, Life.ALIVE)
    other.communicate()
    (tmp_path / RUN_FILE).unlink()
    assert processes.look() == (Life.GONE, Life.ALIVE), "the last run is still the one that is looked at"
    a_run(tmp_path, os.getpid(), os.getpid())
    assert processes.look() == (Life.ALIVE, Life.ALIVE)


def test_a_number_that_was_given_again_is_not_our_process(tmp_path: Path) -> None:
    """A process of the same number that began later is another one."""
    proc = tmp_path / "proc"
    (proc / "77").mkdir(parents=True)
    stat = "77 (a) b) {state} " + " ".join(str(number) for number in range(4, 22)) + " {began} 0 0"
    (proc / "77" / "stat").write_text(stat.format(state="S", began=1000))
    a_run(tmp_path, 77, 77)
    processes = Processes(tmp_path, proc)
    assert processes.look() == (Life.ALIVE, Life.ALIVE)
    (proc / "77" / "stat").write_text(stat.format(state="S", began=2000))
    assert processes.look() == (Life.GONE, Life.GONE)


def test_a_maker_that_died_before_it_was_looked_at_is_gone(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    other.kill()
    other.communicate()
    a_run(tmp_path, os.getpid(), other.pid)
    assert Processes(tmp_path).look() == (Life.GONE, Life.ALIVE)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"guard_pid": "x", "maker_pid": null}', "[" * 100_000])
def test_a_run_file_that_is_none_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN_FILE).write_text(text)
    assert Processes(tmp_path).look() == (Life.UNKNOWN, Life.UNKNOWN)
    assert isinstance(run_fields(tmp_path), dict)


def test_a_process_began_once() -> None:
    assert began(os.getpid()) == began(os.getpid()) is not None
    assert began(2**22 + 1) is None
