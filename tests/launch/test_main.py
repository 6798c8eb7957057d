"""`python -m maker run`: stop signals before anybody listens, and the last line whatever stdout is."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maker.guard.watch import STOP_SIGNALS
from maker.launch.reloading import RELOAD_SIGNAL
from tests.launch.scripted import WAIT_SECONDS_MAX, Scripted, finish

LETTERS = "caf\u00e9 \u2026 \udc80"  # as the script has them


def opened(pipe: Path) -> int:
    """The writing end of a named pipe, once somebody reads it."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        select.select([], [], [], 0.002)
    raise AssertionError(f"nobody reads {pipe}")


def refused_by(number: int, process: subprocess.Popen[bytes], pipe: Path, content: bytes) -> None:
    """Send a signal while a process reads from a pipe, give it what it reads, and see it end before any maker."""
    writer = opened(pipe)
    process.send_signal(number)
    os.write(writer, content)
    os.close(writer)
    code, result = finish(process)
    assert (code, result["reason"]) == (78, "stopped by a signal before anything was placed.")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_while_the_configuration_is_read_is_heard(scripted: Scripted, number: signal.Signals) -> None:
    """Nobody listens yet: it waits, and the run ends before anything is started."""
    run = scripted("reports")
    conf = run.folder / "conf.toml"
    content = conf.read_bytes()
    conf.unlink()
    os.mkfifo(conf)
    refused_by(number, run.start(), conf, content)
    assert not (run.folder / "maker_argv").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_guard_imports_is_heard(scripted: Scripted, number: signal.Signals) -> None:
    """From the program's first lines on it waits: the rest of its rooms take a while to load."""
    run = scripted("reports")
    os.mkfifo(run.folder / "importing")
    with (run.folder / "maker" / "launch" / "__init__.py").open("a") as file:
        file.write('\nopen("importing").read()\n')
    refused_by(number, run.start(), run.folder / "importing", b"")


def test_what_is_refused_ends_as_ever_with_a_signal_beside(scripted: Scripted) -> None:
    run = scripted("reports")
    conf = run.folder / "conf.toml"
    conf.unlink()
    os.mkfifo(conf)
    process = run.start()
    writer = opened(conf)
    process.send_signal(signal.SIGTERM)
    os.write(writer, b"mode =")
    os.close(writer)
    code, result = finish(process)
    assert code == 78
    assert "not valid TOML" in result["reason"]


def test_nothing_is_started_with_a_signal_blocked_that_it_waits_for(scripted: Scripted) -> None:
    """The maker gets stop signals blocked on purpose, the practice exchange none; the guard itself hears all."""
    run = scripted("waits")
    process = run.start()
    run.status()
    blocked = {name: json.loads((run.folder / f"blocked_of_{name}").read_text()) for name in ("venue", "maker-process")}
    assert blocked == {"venue": [RELOAD_SIGNAL], "maker-process": sorted((*STOP_SIGNALS, RELOAD_SIGNAL))}
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("SigBlk")] == ["0" * 16]
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_letters_that_stdout_lacks_change_no_exit_code(scripted: Scripted, encoding: str, words: list[str]) -> None:
    """A reason may hold what its encoding, or none, can spell."""
    run = scripted("fails in letters")
    ended = subprocess.run(
        [sys.executable, "-m", "maker", "run", "conf.toml", *words],
        cwd=run.folder,
        env=run.environment() | {"PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert ended.returncode == 70, ended.stderr
    if words:
        assert json.loads(ended.stdout)["reason"] == LETTERS
    else:
        assert ended.stdout.startswith(f"Stopped: {LETTERS}.".encode(encoding, errors="backslashreplace"))


def test_a_stdout_closed_from_the_start_changes_no_exit_code(scripted: Scripted) -> None:
    run = scripted("fails")
    program = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "maker", "run", "conf.toml"]
    ended = subprocess.run(program, cwd=run.folder, env=run.environment(), stderr=subprocess.PIPE)
    assert ended.returncode == 70, ended.stderr
