"""Some drills end to end, over plain TCP and TLS, and what is said of those that fail, skip or cannot be done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from maker.drills import command, scene
from maker.drills.command import Row, judged, perform
from maker.drills.configuration import KEY_ENV, prepare
from maker.drills.processes import now_ms
from maker.drills.scene import Drill, Finding, Scene, set_scene
from maker.drills.table import BY_NAME
from maker.launch import lock
from maker.launch.settings import parent_settings

PROJECT = Path(__file__).parents[2]
CONF = PROJECT / "conf"
CANARY = "ocx_sk_canary"


def drilled(*words: str, **environment: str) -> tuple[int, list[str], dict[str, Any]]:
    """Run the command as users do; return exit code, lines, and the object in the last one."""
    ended = subprocess.run(
        [sys.executable, "-m", "maker", "drill", *words, "--json"],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = ended.stdout.splitlines()
    assert CANARY not in ended.stdout + ended.stderr
    return ended.returncode, lines, json.loads(lines[-1])


def test_end_to_end(tmp_path: Path) -> None:
    """A live configuration passes two drills, one over TLS; a line and a row each, by the exchange's record."""
    wanted = ["kill_9", "sigterm_tls"]
    code, lines, said = drilled(
        str(CONF / "live.example.toml"), "--only", *wanted, OCX_API_KEY=CANARY, TMPDIR=str(tmp_path)
    )
    assert code == said["exit_code"] == 0, lines
    assert sorted(row["name"] for row in said["drills"]) == wanted
    for row in said["drills"]:
        assert row["passed"]
        assert row["no_quotes_ms"] > 0
        assert row["value_ms"] <= row["limit_ms"]
        assert [line for line in lines if line.startswith(row["name"] + " ") and " pass " in line]
    assert list(tmp_path.iterdir()) == [], "what passed is kept"


async def test_no_process_is_given_the_users_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S18: neither the bot nor the exchange has the user's key in its environment, and both speak to this machine."""
    monkeypatch.setenv("OCX_API_KEY", CANARY)
    async with set_scene(tmp_path, BY_NAME["sigterm"], prepare(CONF / "live.example.toml")) as ready:
        pids = [ready.maker.status["maker_pid"], ready.maker.process.popen.pid, ready.stage.venue.process.popen.pid]
        for pid in pids:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert not [one for one in environment if CANARY.encode() in one]
        assert f"{KEY_ENV}=ocx_sk_paper_trade".encode() in Path(f"/proc/{pids[0]}/environ").read_bytes()
        ready.must_rest()
        held = lock.account_lock(parent_settings(ready.maker.conf))
        os.close(held.descriptor)
        assert held.path.exists()
    assert not held.path.exists(), "this machine still knows the drill's account"


async def test_quotes_that_stay_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that does nothing about a fault fails its drill, in one sentence."""
    monkeypatch.setattr(scene, "SEEN_SECONDS_MAX", 0.3)

    async def nothing_happens(on: Scene) -> Finding:
        return await on.pulled(now_ms(), 200.0)

    settings = prepare(CONF / "live.example.toml")
    row = await perform(Drill("stays", nothing_happens), settings, tmp_path, lambda: None)
    assert not row.passed
    assert row.sentence == "not within 0.5 s: a cancel-all, and nothing that rests"
    assert "FAIL" in row.line()


@pytest.mark.parametrize(("limit_ms", "passed"), [(12.0, True), (11.9, False)])
def test_too_slow_is_a_failure(limit_ms: float, passed: bool) -> None:
    """The limit is kept, or the drill has failed and says so with its figures."""
    row = judged(Row("a"), Finding(3.0, 12.0, limit_ms, "first cancel-all"))
    assert (row.passed, bool(row.sentence)) == (passed, not passed)
    assert f"first cancel-all 12.0 ms, limit {limit_ms:g} ms" in row.line()
    assert (" pass " in row.line(), " FAIL " in row.line()) == (passed, not passed)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([Row("a", passed=True)], 0),
        ([Row("a", passed=True), Row("b", skipped="no openssl")], 0),
        ([Row("a", passed=True), Row("b", sentence="orders rest")], 1),
        ([Row("a", cannot_quote=True, sentence="it ended")], 78),
    ],
)
def test_exit_codes(
    rows: list[Row], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 when all that was done passed, 1 when one failed, 78 when nothing could be drilled."""

    async def performed(_drills: object, _settings: object, _folder: object, done: Any) -> None:
        for row in rows:
            done(row)

    monkeypatch.setattr(command, "perform_all", performed)
    assert command.main([str(CONF / "paper.toml"), "--json"]) == code
    lines = capsys.readouterr().out.splitlines()
    said = json.loads(lines[-1])
    assert said["exit_code"] == code
    assert [row["name"] for row in said["drills"]] == [row.name for row in rows]


def test_what_cannot_be_drilled_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(CONF / "paper.toml"), "--only", "earthquake"]) == 2
    assert "there is no drill earthquake" in capsys.readouterr().out
    (tmp_path / "broken.toml").write_text('mode = "live"\n')
    assert command.main([str(tmp_path / "broken.toml")]) == 78
    assert "configuration:" in capsys.readouterr().out


async def test_what_is_missing_skips_by_name(tmp_path: Path) -> None:
    """Without what it needs a drill is not done, is named, and does not count as failed."""
    drill = Drill("sigterm_tls", BY_NAME["sigterm"].fault, needs=lambda: "the command openssl is not installed")
    row = await perform(drill, prepare(CONF / "paper.toml"), tmp_path, lambda: None)
    assert row.line().split(maxsplit=2) == ["sigterm_tls", "skip", "the command openssl is not installed"]
    assert list(tmp_path.iterdir()) == []


def test_told_to_stop_it_ends_what_it_started(tmp_path: Path) -> None:
    """In the middle of a drill: within a moment neither bot nor exchange is left, nor what they wrote; and it is 1."""
    command = [sys.executable, "-m", "maker", "drill", str(CONF / "live.example.toml"), "--only", "sigterm", "--json"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE) as drill:
        deadline = time.monotonic() + 30
        while not (found := list(tmp_path.glob("*/sigterm/run.json"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        status = json.loads(found[0].read_text())
        drill.send_signal(signal.SIGTERM)
        assert drill.stdout is not None
        said = json.loads(drill.stdout.read().splitlines()[-1])
        assert drill.wait(20) == said["exit_code"] == 1
    assert "stopped after 0 of 1" in said["reason"]
    while [pid for pid in (status["guard_pid"], status["maker_pid"]) if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True).stdout
