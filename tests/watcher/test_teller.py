"""What people are told of the watcher's lines, how often, and that none of it is ever in the way of a cancel-all."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maker.guard.exchange import Exchange
from maker.launch import key, telling
from maker.watcher import teller as room
from maker.watcher.host import Host, Wanted
from maker.watcher.steps import CLEAN, Ended
from maker.watcher.teller import Alerts, Teller, a_teller
from tests.support.hook import TARGET, VARIABLE, Hook
from tests.support.venue_script import ScriptedExchange, order
from tests.watcher.test_command import KEY, KEY_ENV, conf
from tests.watcher.test_host import BOUNDS, OLD, Clock, dated

LATE_SECONDS_MAX = 0.5  # from the read that shows an old order to the cancel-all, on a machine that does other things


def names(told: list[bytes]) -> list[str]:
    return [json.loads(one)["name"] for one in told]


def nothing(*_words: object, **_more: object) -> None:
    pass


def child(program: str) -> Callable[[], subprocess.Popen[bytes]]:
    """A process in the teller's place; `-S` starts soon."""

    def start() -> subprocess.Popen[bytes]:
        made = subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, bufsize=0)
        assert made.stdin is not None
        os.set_blocking(made.stdin.fileno(), False)
        return made

    return start


# -- which lines


def test_a_pull_is_told_at_once_and_so_is_its_end() -> None:
    alerts = Alerts()
    assert names(alerts.hear("pulling", "they are old", 0.0)) == ["left_quotes_pulled"]
    (over,) = alerts.hear("pulled", "nothing rests", 1.0)
    assert json.loads(over) == {"name": "watch_again", "severity": "critical", "sentence": "nothing rests"}
    assert alerts.hear("pulled", "again", 2.0) == [], "its end is told once"
    assert alerts.hear("watching", "", 3.0) == alerts.hear("reading", "", 3.0) == alerts.hear("alive", "", 3.0) == []


def test_the_same_again_is_told_ever_more_rarely() -> None:
    """Pulls each minute (a configuration that differs), verified each time: told after 5, 10, 20 minutes … 4 hours."""
    alerts, at = Alerts(), list[float]()
    for minute in range(24 * 60):
        if names(alerts.hear("pulling", "", minute * 60.0)):
            at.append(minute)
            assert names(alerts.hear("pulled", "", minute * 60.0 + 1))
        else:
            assert alerts.hear("pulled", "", minute * 60.0 + 1) == []
    assert [later - earlier for earlier, later in itertools.pairwise(at)] == [
        5,
        10,
        20,
        40,
        80,
        160,
        240,
        240,
        240,
        240,
    ]
    assert names(alerts.hear("pulling", "", 24 * 3600.0 + 2 * 3600.0)) == ["left_quotes_pulled"], (
        "as new, after a while"
    )


@pytest.mark.parametrize("event", ["NOT VERIFIED", "KEY REFUSED", "FAILED"])
def test_whoever_is_blind_says_so(event: str) -> None:
    alerts = Alerts()
    assert names(alerts.hear(event, "x", 0.0)) == ["watch_blind"]
    assert names(alerts.hear("alive", "x", 1.0)) == ["watch_again"]


def test_a_network_is_told_once_it_has_failed_for_five_minutes() -> None:
    """One that is back before that is told neither as gone nor as back; the clock begins anew each time."""
    alerts = Alerts()
    assert alerts.hear("cannot look", "x", 0.0) == []
    assert alerts.hear("reading", "x", 299.0) == []
    assert alerts.hear("cannot look", "x", 310.0) == []
    assert names(alerts.hear("cannot look", "x", 610.0)) == ["watch_blind"]
    assert names(alerts.hear("reading", "x", 611.0)) == ["watch_again"]


# -- never in the way


def watched(teller: Teller, exchange: ScriptedExchange) -> list[float]:
    """Pull once beside a teller; return when the old order was read and when everything was cancelled."""
    exchange.resting[:] = [order() | OLD]
    at: list[float] = []

    def script(one: Any) -> Any:
        at.append(time.monotonic())
        return dated(exchange)(one)

    exchange.script = script
    clock = Clock(20.0)
    wanted = Wanted(BOUNDS, "mk", Exchange(exchange.url, KEY), lambda: key.Key(KEY))
    host = Host(wanted, clock.wait, {}, now=lambda: clock.now, say=teller.say, beside=teller)
    assert host.watch().exit_code == CLEAN
    assert exchange.resting == []
    assert [one.method for one in exchange.requests[:2]] == ["GET", "POST"]
    return at[:2]


def slow_start() -> subprocess.Popen[bytes]:
    time.sleep(3.0)
    raise OSError("no")


def no_start() -> subprocess.Popen[bytes]:
    raise OSError("no such program")


@pytest.mark.parametrize(
    "start",
    [child("import time; time.sleep(60)"), child("raise SystemExit(1)"), no_start, slow_start],
    ids=["hangs", "dies at once", "cannot be started", "its disk hangs"],
)
def test_no_process_makes_the_cancel_all_later(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started before the cancel-all; what is started then holds up nothing; the end has its time."""
    monkeypatch.setattr(room, "STOP_SECONDS_MAX", 1.0)
    started: list[float] = []

    def noted() -> Any:
        started.append(time.monotonic())
        return start()

    teller = Teller(nothing, noted)
    with ScriptedExchange([]) as exchange:
        read_at, cancelled_at = watched(teller, exchange)
    assert cancelled_at - read_at < LATE_SECONDS_MAX
    began = time.monotonic()
    teller.end()
    assert time.monotonic() - began < 1.0 + LATE_SECONDS_MAX
    assert started
    assert min(started) > cancelled_at
    if teller.process is not None:
        teller.process.wait(5.0)


def test_a_bug_in_it_ends_no_pull(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_words: object) -> list[bytes]:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Alerts, "hear", broken)
    with ScriptedExchange([]) as exchange:
        watched(Teller(nothing, no_start), exchange)
    assert "planted" in capsys.readouterr().err


# -- the process


def test_one_that_dies_is_started_again_a_few_times_and_told_anew() -> None:
    """With pauses, then not for an hour; what it was given before it died is not lost."""
    now, lines, made = [0.0], list[str](), list[subprocess.Popen[bytes]]()

    def start() -> subprocess.Popen[bytes]:
        made.append(child("import sys; sys.stdin.readline(); raise SystemExit(1)")())
        return made[-1]

    def say(event: str, sentence: str, *, level: str = "info") -> None:
        lines.append(sentence)

    teller = Teller(say, start, now=lambda: now[0])
    teller.say("pulling", "old")
    for pause in (0.0, 1.0, 10.0, 60.0):
        now[0] += pause
        teller.look()
        made[-1].wait(30.0)
        teller.look()
        assert names(list(teller.waiting)) == ["left_quotes_pulled"]
    teller.look()
    now[0] += 3000.0
    teller.look()
    assert len(made) == 4
    assert "in 3600 s" in lines[-1]
    now[0] += 700.0
    teller.look()
    assert len(made) == 5
    made[-1].wait(30.0)
    teller.look()
    assert teller.process is None


def test_a_start_that_is_refused_is_told_where_it_can_be_remembered(tmp_path: Path) -> None:
    """Each restart is another process: without a place to remember, none tells."""
    ended = Ended(77, "the key must have the scope 'trade'")
    for memory, told in (
        (telling.Memory(tmp_path / "refusals.json"), 1),
        (telling.Memory(tmp_path / "refusals.json"), 0),
        (None, 0),
    ):
        teller = Teller(nothing, no_start, memory)
        teller.refused(ended)
        assert len(teller.waiting) == told
    Teller(nothing, no_start, telling.Memory(tmp_path / "refusals.json")).refused(Ended(0, "as asked"))
    assert json.loads((tmp_path / "refusals.json").read_text())["77"]["tellings"] == 1


def test_without_packages_it_says_once_what_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "interpreter", str)
    lines: list[tuple[str, str]] = []
    say: Any = lambda event, sentence, **_level: lines.append((event, sentence))  # noqa: E731
    path = conf(tmp_path, "https://api.ocx.global", (r"^\[watch\].*$", f"{TARGET}\n[watch]"))
    teller = a_teller(path, {}, say)
    teller.say("pulling", "old")
    teller.act()
    teller.end()
    assert [event for event, _ in lines] == ["no alerts", "pulling"]
    assert "run.py run --help" in lines[0][1]
    assert a_teller(conf(tmp_path, "https://api.ocx.global"), {}, say).start is None, "no targets: nothing is said"
    assert len(lines) == 2


def test_over_real_processes_a_pull_is_told(tmp_path: Path) -> None:
    """The command as it is typed: the webhook hears of the pull and of its end; neither key nor URL is shown."""
    pulled = threading.Event()
    with ScriptedExchange([order() | OLD]) as exchange, Hook() as hook:
        exchange.script = dated(exchange)
        path = conf(tmp_path, exchange.url, (r"^\[watch\].*$", f"{TARGET}\n[watch]"))
        environment = {**os.environ, KEY_ENV: KEY, VARIABLE: hook.url}
        with subprocess.Popen(
            [sys.executable, "-m", "maker", "watch", str(path), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        ) as process:
            try:
                hook.wait(2)
                pulled.set()
                began = time.monotonic()
                process.terminate()
                out, log = process.communicate(timeout=60)
                assert time.monotonic() - began < room.STOP_SECONDS_MAX + 5.0
            finally:
                process.kill()
    assert (process.returncode, json.loads(out)["pulls"]) == (0, 1), log
    assert hook.names() == ["left_quotes_pulled", "watch_again"]
    assert "their maker has left them" in hook.told[0]["sentence"]
    assert KEY not in out + log + json.dumps(hook.told)
    assert "canary" not in log
