"""Whoever carries the steps out: real sockets against a scripted exchange, pauses that end when told, and bugs."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maker.guard.exchange import Exchange
from maker.launch import key
from maker.launch.account import Stopped
from maker.watcher import host as room
from maker.watcher.bounds import Bounds
from maker.watcher.host import Host, Wanted
from maker.watcher.notify import SOCKET
from maker.watcher.steps import CLEAN, UNVERIFIED, Watcher
from tests.support.venue_script import ORDERS, Say, ScriptedExchange, order

KEY = "ocx_sk_canary_watch"
BOUNDS = Bounds(rest_seconds_max=20.0, margin_seconds=10.0, poll_seconds=5.0)
OLD = {"createdAt": "2020-01-01T00:00:00.000Z"}
DATED = ("Date: Sat, 28 Nov 2026 12:00:00 GMT",)


class Clock:
    """Time that passes only while somebody waits; told to stop after so many seconds."""

    def __init__(self, stop_seconds: float) -> None:
        self.now, self.stop_at = 0.0, stop_seconds
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.now >= self.stop_at


def hosted(
    exchange: ScriptedExchange, stop_seconds: float = 20.0, keys: list[str] | None = None, notify: str = ""
) -> tuple[Host, Clock, list[tuple[str, str, str]]]:
    """A host that watches a scripted exchange; and its clock, and its lines."""
    clock, lines = Clock(stop_seconds), list[tuple[str, str, str]]()
    ours = Exchange(exchange.url, KEY)

    def read_key() -> key.Key:
        if not keys:
            raise key.NoKey("watch.key_file", "cannot be read.", "Check it.")
        return key.Key(keys.pop(0))

    def say(event: str, sentence: str, *, level: str = "info") -> None:
        lines.append((event, sentence, level))

    wanted = Wanted(BOUNDS, "mk", ours, read_key)
    return Host(wanted, clock.wait, {SOCKET: notify}, now=lambda: clock.now, say=say), clock, lines


def datagrams(listener: socket.socket) -> Iterator[str]:
    """What has arrived."""
    with contextlib.suppress(BlockingIOError):
        while True:
            yield listener.recv(4096).decode()


def dated(exchange: ScriptedExchange) -> Any:
    """Answer reads with a date, as a real server does."""
    return lambda one: Say(200, json.dumps(exchange.resting).encode(), DATED) if one.path == ORDERS else None


def test_old_orders_are_pulled_by_real_calls() -> None:
    """The date comes with the answer, the key with each request, and told to stop it ends well."""
    with ScriptedExchange([order() | OLD, order("ETH-PERP", 2) | OLD]) as exchange:
        exchange.script = dated(exchange)
        host, clock, lines = hosted(exchange)
        ended = host.watch()
        assert ended.exit_code == CLEAN
        assert exchange.resting == []
        assert [one.is_unscoped for one in exchange.cancels] == [True]
        assert exchange.requests[0].headers["x-api-key"] == KEY
        assert [event for event, _, _ in lines][:4] == ["watching", "reading", "pulling", "pulled"]
        assert 20.0 <= clock.now < 21.0, "told to stop, a pause ends"
        assert KEY not in str(lines)


def test_the_promise_is_told_in_numbers() -> None:
    with ScriptedExchange() as exchange:
        host, _, lines = hosted(exchange)
        host.watch()
    said = lines[0][1]
    for part in ("mk-…", "each 5 s", "older than 30 s (20 s by the configuration, and a margin of 10 s)", "it is 44 s"):
        assert part in said


def test_systemd_hears_of_it_before_each_call_and_in_each_pause(tmp_path: Path) -> None:
    """Ready after the first look, alive at least every few seconds, and what is seen in one line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, ScriptedExchange([order()]) as exchange:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        host, clock, _ = hosted(exchange, 15.0, notify=str(tmp_path / "notify"))
        host.watch()
        heard = list(datagrams(listener))
    assert heard[0] == "WATCHDOG=1"
    ready = next(one for one in heard if "READY=1" in one)
    assert "STATUS=1 orders of ours rest, the oldest 0 s of 30 s" in ready
    assert len(heard) > 6
    assert max(clock.waits) <= room.BEAT_SECONDS


def test_a_long_pause_is_cut_so_that_systemd_hears() -> None:
    with ScriptedExchange() as exchange:
        host, clock, _ = hosted(exchange, 1000.0)
        host.pause(35.0)
    assert clock.waits == [10.0, 10.0, 10.0, 5.0]


def test_a_key_in_its_place_is_taken() -> None:
    """Refused, it looks where the key is kept: an unreadable place is said, the same key is no news, another is."""
    with ScriptedExchange() as exchange:
        good = "ocx_sk_good"
        exchange.script = lambda one: None if one.headers["x-api-key"] == good else Say(401)
        host, _, lines = hosted(exchange, 400.0, keys=[KEY, good])
        host.watcher.accepted = True
        assert host.watch().exit_code == CLEAN
        assert [one.headers["x-api-key"] for one in exchange.reads[:3]] == [KEY, KEY, good]
        assert [event for event, _, _ in lines][:4] == ["watching", "KEY REFUSED", "key", "reading"]
        host, _, lines = hosted(exchange, 100.0)
        host.watcher.accepted = True
        assert host.watch().exit_code == UNVERIFIED
        assert "watch.key_file: cannot be read." in {event: text for event, text, _ in lines}["no key"]
        assert good not in str(lines)


def test_a_key_that_is_no_good_at_the_start_ends_it() -> None:
    with ScriptedExchange() as exchange:
        exchange.script = lambda _one: Say(403)
        host, _, _ = hosted(exchange)
        with pytest.raises(Stopped) as stopped:
            host.watch()
        assert stopped.value.exit_code == 77


def test_a_bug_of_ours_ends_one_watcher_and_not_the_watching(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is loud, what was known is forgotten, and the next one watches; a start that is over does not come again."""
    bugs = [ZeroDivisionError("planted"), ZeroDivisionError("planted")]
    honest = Watcher.look

    def look(self: Watcher) -> Any:
        if self.accepted and bugs:
            raise bugs.pop()
        return honest(self)

    monkeypatch.setattr(Watcher, "look", look)
    with ScriptedExchange([order()]) as exchange:
        host, clock, lines = hosted(exchange, 60.0)
        first = host.watcher
        assert host.watch().exit_code == CLEAN
    assert [event for event, _, _ in lines].count("FAILED") == 2
    assert host.watcher is not first
    assert host.watcher.accepted
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert clock.now >= 2 * room.BUG_SECONDS


def test_a_bug_does_not_bring_the_start_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that was good and is refused after a bug ends nothing: 77 is for the start alone."""
    bugs = [ZeroDivisionError("planted")]
    honest = Watcher.look

    def look(self: Watcher) -> Any:
        if self.accepted and bugs:
            raise bugs.pop()
        return honest(self)

    monkeypatch.setattr(Watcher, "look", look)
    with ScriptedExchange() as exchange:
        exchange.script = lambda _one: None if bugs else Say(401)
        host, _, lines = hosted(exchange, 600.0)
        assert host.watch().exit_code == UNVERIFIED
    assert "KEY REFUSED" in [event for event, _, _ in lines]
    assert "planted" in capsys.readouterr().err


def test_a_bug_when_told_to_stop_is_75(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Watcher) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Watcher, "look", broken)
    with ScriptedExchange() as exchange:
        host, _, _ = hosted(exchange)
        host.is_told = True
        assert host.watch().exit_code == UNVERIFIED


def test_the_name_is_looked_up_again_without_being_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time with patience; then once a minute, in a thread; after a failure of all of it, again."""
    asked: list[float] = []
    honest = Exchange.look_up

    def look_up(self: Exchange, wait_seconds: float = 3.0) -> bool:
        asked.append(wait_seconds)
        return honest(self, wait_seconds)

    monkeypatch.setattr(Exchange, "look_up", look_up)
    with ScriptedExchange() as exchange:
        host, _, _ = hosted(exchange, 150.0)
        host.watch()
    assert asked == [3.0, 0.0, 0.0]


def test_an_exchange_that_is_gone_is_waited_for() -> None:
    with ScriptedExchange([order() | OLD]) as exchange:
        host, clock, lines = hosted(exchange, 60.0)
    assert host.watch().exit_code == UNVERIFIED
    assert "cannot look" in [event for event, _, _ in lines]
    assert clock.now >= 60
