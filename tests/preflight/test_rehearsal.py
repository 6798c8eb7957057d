"""Whether the guard could do its work here: the real watch, over a process that hangs; its route to the exchange."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from maker.errors import ExitCode
from maker.guard.exchange import NoAnswer
from maker.launch.settings import parent_settings
from maker.preflight import rehearsal
from maker.preflight.verdict import Verdict
from tests.preflight.scripted import live_example
from tests.support.venue_script import Say, ScriptedExchange, order
from tests.support.wires import descriptors

KEY = "ocx_sk_canary_0123456789"


def children() -> set[str]:
    """Processes of ours that are there, zombies among them."""
    mine = f" {os.getpid()} "
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after = path.read_text().rpartition(")")[2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if after.startswith((f" S{mine}", f" R{mine}", f" Z{mine}", f" T{mine}", f" D{mine}")):
            found.add(path.parent.name)
    return found


def test_a_process_that_hangs_is_watched_and_killed() -> None:
    """Really: by pidfd, heartbeats and SIGKILL; nothing of it stays."""
    before = children(), descriptors()
    found = rehearsal.guard()
    assert (found.verdict, "killed it and saw it dead" in found.said) == (Verdict.OK, True), found
    assert (children(), descriptors()) == before


@pytest.mark.parametrize("call", ["pidfd_open", "pipe2"])
def test_a_machine_that_lacks_what_it_takes(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_words: object, **_more: object) -> Any:
        raise OSError(errno.ENOSYS, "Function not implemented")

    before = children()
    monkeypatch.setattr(os, call, lacks)
    found = rehearsal.guard()
    monkeypatch.undo()
    assert (found.verdict, found.exit_code) == (Verdict.FAILED, ExitCode.REFUSED_TO_START)
    assert "Function not implemented" in found.said
    assert "pidfds" in found.fix
    assert children() == before


def test_no_room_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: object, **_more: object) -> Any:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", full)
    assert "temporarily unavailable" in rehearsal.guard().said


def test_no_socket_that_keeps_messages_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_words: object, **_more: object) -> Any:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(socket, "socketpair", lacks)
    assert "Protocol not supported" in rehearsal.guard().said


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import time; time.sleep(60)", "did not speak within"),
        ("raise SystemExit(3)", "did not speak within"),
        (f"{rehearsal.STANDS_STILL.replace('time.sleep(3600)', 'raise SystemExit')}", "ended by itself"),
    ],
)
def test_a_process_that_behaves_otherwise(program: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never begins, and ones that end: no watch was proved by them."""
    monkeypatch.setattr(rehearsal, "STANDS_STILL", program)
    monkeypatch.setattr(rehearsal, "BEGIN_SECONDS_MAX", 0.5 if "sleep" in program else 10.0)
    found = rehearsal.guard()
    assert (found.verdict, words in found.said) == (Verdict.FAILED, True), found


# -- its route ----------------------------------------------------------------------------------------------------


def test_the_guard_reads_by_its_own_means(tmp_path: Path) -> None:
    """One read, with the key, on a connection of its own: nothing is cancelled."""
    with ScriptedExchange([order(number=1), order(number=2, prefix="other")]) as exchange:
        wanted = parent_settings(live_example(tmp_path, exchange.url))
        found = rehearsal.route(wanted, exchange.url, KEY)
        assert (found.verdict, "orders of ours that rest: 1" in found.said) == (Verdict.OK, True)
        assert [(one.method, one.path) for one in exchange.requests] == [("GET", "/perps/orders")]
        assert exchange.requests[0].headers["x-api-key"] == KEY


@pytest.mark.parametrize("said", [Say(503), Say(200, b"<html>"), Say(drop=True)])
def test_a_route_that_does_not_lead_there(said: Say, tmp_path: Path) -> None:
    with ScriptedExchange(script=lambda _request: said) as exchange:
        wanted = parent_settings(live_example(tmp_path, exchange.url))
        with pytest.raises(NoAnswer):
            rehearsal.route(wanted, exchange.url, KEY)


def test_a_name_that_only_the_guard_cannot_find(tmp_path: Path) -> None:
    wanted = parent_settings(live_example(tmp_path, "https://no-such-host.invalid"))
    with pytest.raises(NoAnswer, match=r"no address for no-such-host\.invalid"):
        rehearsal.route(wanted, "https://no-such-host.invalid", KEY)
