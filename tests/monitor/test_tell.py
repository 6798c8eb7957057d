"""`tell`: what comes on stdin is told to the targets; at its end it ends, soon, whatever a target does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from maker.app.alert_config import Severity
from maker.monitor import tell as room
from maker.monitor.tell import END_SECONDS_MAX, Read, a_delivery, notice, tell
from tests.monitor.doors import LOST, OK, Door, delivery, told
from tests.support.hook import TARGET, VARIABLE, Hook

LEAN = 'mode = "live"\naccount = "desk"\nlevels = "nonsense"\n'


def line(name: str = "left_quotes_pulled", severity: str = "critical", sentence: str = "so it is") -> bytes:
    return json.dumps({"name": name, "severity": severity, "sentence": sentence}).encode() + b"\n"


def reader(*chunks: bytes) -> Read:
    left = [*chunks, b""]

    async def read() -> bytes:
        await trio.sleep(0.1)
        return left.pop(0)

    return read


def test_a_process_tells_by_the_configurations_targets_alone(tmp_path: Path) -> None:
    """Over real pipes and sockets, with nonsense elsewhere in the configuration and no key of the bot's anywhere."""
    conf = tmp_path / "live.toml"
    conf.write_text(LEAN + TARGET)
    with Hook() as hook:
        ended = subprocess.run(
            [sys.executable, "-m", "maker", "tell", str(conf)],
            input=line()
            + b"no JSON\n"
            + line("no_such_alert")
            + line("watch_again", "critical", "ocx_sk_canary reads"),
            env={**os.environ, VARIABLE: hook.url},
            capture_output=True,
            timeout=60,
        )
    assert ended.returncode == 0, ended.stderr
    assert hook.names() == ["left_quotes_pulled", "watch_again"]
    first, last = hook.told
    assert (first["severity"], first["phase"], first["account"], first["mode"]) == (
        "critical",
        "happens",
        "desk",
        "live",
    )
    assert f"cancel-all {conf}" in first["what_to_do"]
    assert (last["phase"], last["sentence"]) == ("ends", "ocx_sk_[redacted] reads")
    assert ended.stderr.count(b"a line that is none") == 2
    assert b"canary" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAN, "no [alerts.targets] can be reached"),
        (LEAN + TARGET, "MAKER_TEST_HOOK"),
        ("mode = ", "not valid TOML"),
    ],
)
def test_where_nobody_can_be_told_it_says_so(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "stay_behind", bool)
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "live.toml").write_text(text)
    assert room.main([str(tmp_path / "live.toml")], reader(line())) == 78
    assert said in capfd.readouterr().err
    assert room.main([]) == 2


def test_a_mistake_costs_no_target_that_is_right(tmp_path: Path) -> None:
    """Another's kind is none, a threshold is none: the one that can be told is."""
    tree: dict[str, Any] = {
        "mode": "live",
        "account": "desk",
        "alerts": {
            "feed_down_seconds": "long",
            "targets": {"bad": {"kind": "pigeon"}, "good": {"kind": "webhook", "url_env": "X"}},
        },
    }
    made = a_delivery(tree, {"X": "https://example.invalid/hook"})
    assert [one.wants.name for one in made.targets] == ["good"]
    assert made.broken


def test_each_host_looks_in_its_own_folder_of_credentials(tmp_path: Path) -> None:
    """Both hosts have one file, which names one unit's."""
    (tmp_path / "alerts-url").write_text("https://example.invalid/hook\n")
    (tmp_path / "alerts-url").chmod(0o600)
    url_file = "/run/credentials/maker.service/alerts-url"
    tree = {"alerts": {"targets": {"ops": {"kind": "webhook", "url_file": url_file}}}}
    assert a_delivery(tree, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).targets
    assert not a_delivery(tree, {}).targets


def test_a_line_is_cut_and_named() -> None:
    made = notice(line("start_refused", "warning", "x" * 5000), "n-1", "conf/live.toml", 7.0)
    assert (made.severity, len(made.sentence), made.at, made.phase) == (Severity.WARNING, 600, 7.0, "happens")
    assert "conf/live.toml" in made.todo


async def test_what_fails_once_is_tried_again_before_it_ends(autojump_clock: trio.testing.MockClock) -> None:
    """One line and the end of stdin: the second try arrives, a line in two pieces is one."""
    door = Door([LOST, OK])
    whole = line()
    assert await tell(delivery(told("a", door)), reader(whole[:9], whole[9:-1]), "CONF") == 0
    assert door.names == ["left_quotes_pulled"] * 2
    assert trio.current_time() < 3.0


async def test_a_target_that_hangs_holds_it_for_its_time_alone(autojump_clock: trio.testing.MockClock) -> None:
    well, hangs = Door(), Door([3600.0])
    assert await tell(delivery(told("a", hangs), told("b", well)), reader(line()), "CONF") == 0, "somebody was told"
    assert trio.current_time() == pytest.approx(END_SECONDS_MAX, abs=0.5)
    assert await tell(delivery(told("a", Door([3600.0]))), reader(line()), "CONF") == 1, "nobody was"


async def test_who_does_not_want_to_know_is_no_failure(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    made = delivery(told("a", door, Severity.CRITICAL))
    assert await tell(made, reader(line("watch_again", "info")), "CONF") == 0
    assert door.told == []
