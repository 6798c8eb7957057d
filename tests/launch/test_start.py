"""Processes of ours and run.json, at their ends: within their time, whatever hangs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maker.launch import start
from maker.launch.start import Status

SLEEPS = "import sys, time; print(flush=True); time.sleep(3600)"


def sleeper() -> start.Process:
    """A process that would go on for an hour."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPS], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_one_that_cannot_be_killed_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second end of the same process, as the parent has it on its stack, finds it ended."""
    process = sleeper()
    with monkeypatch.context() as patched:
        patched.setattr(subprocess.Popen, "send_signal", lambda _process, _number: None)
        patched.setattr(start, "KILLED_SECONDS_MAX", 0.1)
        start.end(process, 0.1)
        assert process.returncode == -signal.SIGKILL
        began = time.monotonic()
        start.end(process, 60.0)
        assert time.monotonic() - began < 30.0
    process.returncode = None
    start.end(process, 0.0)
    assert process.returncode in (-signal.SIGTERM, -signal.SIGKILL)


def test_one_that_has_ended_keeps_its_exit_code() -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "raise SystemExit(7)"])
    process.wait()
    assert start.killed(process, 0.0) == 7


def test_run_json_that_cannot_be_removed_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A disk that has become read-only changes no exit code."""
    Status(tmp_path, {}).end()  # a folder is no file
    assert json.loads(capfd.readouterr().err)["event"] == "no status"
