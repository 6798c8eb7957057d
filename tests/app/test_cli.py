"""The commands as processes: exit codes, and the result on the parent's pipe."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maker.app import cli
from maker.app.result import Result
from maker.errors import ExitCode

PROJECT = Path(__file__).parents[2]
SECONDS_MAX = 20.0


def a_conf(folder: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    text = (PROJECT / "conf" / "paper.toml").read_text()
    path = folder / "conf.toml"
    path.write_text(change(text.replace('state_folder = "state"', f'state_folder = "{folder / "state"}"')))
    return path


def maker_process(conf: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run it as its parent does, but for a parent that is gone at once; return code, result and log."""
    result_read, result_write = os.pipe()
    link, makers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.close()
    try:
        command = [sys.executable, "-m", "maker", "maker-process", str(conf)]
        command += ["--result-fd", str(result_write), "--guard-fd", str(makers_end.fileno()), *words]
        passed = (result_write, makers_end.fileno())
        ended = subprocess.run(command, cwd=PROJECT, pass_fds=passed, capture_output=True, timeout=SECONDS_MAX)
        os.close(result_write)
        with os.fdopen(result_read, "rb") as pipe:
            return ended.returncode, json.loads(pipe.read()), ended.stderr.decode()
    finally:
        makers_end.close()


@pytest.mark.parametrize("words", [[], ["fly"], ["run"], ["--help"]])
def test_an_unknown_command_is_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    name = words[0] if words else ""
    assert (
        shown.err
        == f"unknown command {name!r}. There are: run, check, reload, monitor, venue, drill, simulate, compare, price, "
        "report, keys, alert-test, cancel-all, flatten, clear, watch, test; each takes --help.\n"
    )


def test_a_bad_configuration_is_told_to_the_parent(tmp_path: Path) -> None:
    conf = a_conf(tmp_path, lambda text: text.replace("level_size = 0.02", "level_sise = 0.02"))
    code, result, log = maker_process(conf)
    assert code == result["exit_code"] == ExitCode.REFUSED_TO_START
    assert result["reason"].startswith("configuration: ")
    assert "level_sise" in result["reason"]
    assert (result["verified_empty"], result["quotes_sent"], result["open_orders"]) == (False, 0, None)
    assert "Traceback" not in log
    assert not (tmp_path / "state").exists()


def test_an_exchange_that_is_not_there_and_a_parent_that_is_gone(tmp_path: Path) -> None:
    """Leaves at once: nothing was placed, and nothing is claimed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        urls = ("--venue-url", f"http://127.0.0.1:{port}", "--reference-url", f"ws://127.0.0.1:{port}")
        code, result, log = maker_process(a_conf(tmp_path), *urls)
    assert code == result["exit_code"] == ExitCode.REFUSED_TO_START
    assert result["reason"] == "the guard, our parent process, is gone before anything was placed"
    assert result["verified_empty"] is False
    assert "Traceback" not in log
    assert (tmp_path / "state" / "journal.sqlite").exists()


def test_a_wrong_switch_of_the_practice_exchange_refuses() -> None:
    command = [sys.executable, "-m", "maker", "venue", "--margin-refusal", "sometimes", "--port", "0"]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=SECONDS_MAX)
    assert ended.returncode == ExitCode.REFUSED_TO_START
    assert ended.stdout == b""
    assert b"margin_refusal" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_the_result_survives_a_parent_that_reads_nothing() -> None:
    """A closed pipe is no error."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        cli.report(write_end, Result(reason="x"))
    finally:
        os.close(write_end)
