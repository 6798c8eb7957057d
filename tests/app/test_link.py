"""The link to the guard: heartbeats are earned, leave to quote is this run's own, and its end is noticed."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.app.link import ANSWER_SECONDS_MAX, BEAT_SECONDS, MESSAGE_BYTES_MAX, Answer, GuardLink


@attrs.define
class Ends:
    """Both ends of a link, and what the maker says of itself."""

    guard: socket.socket
    link: GuardLink
    why_not: str | None = None
    writes: tuple[int, float | None] = (0, None)

    def heard(self) -> list[dict[str, Any]]:
        """Every heartbeat that has arrived."""
        beats: list[dict[str, Any]] = []
        with contextlib.suppress(BlockingIOError):
            while data := self.guard.recv(4096):
                beats.append(json.loads(data))
        return beats


@pytest.fixture
def ends() -> Iterator[Ends]:
    guard, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guard.setblocking(False)
    ours.setblocking(False)
    made: list[Ends] = []
    link = GuardLink(ours, "e1", lambda: made[0].writes, lambda: made[0].why_not)
    made.append(Ends(guard, link))
    yield made[0]
    guard.close()
    link.raw.close()


async def test_heartbeats_go_out_and_say_what_is_in_flight(ends: Ends, autojump_clock: object) -> None:
    ends.writes = (1, 12.5)
    with trio.move_on_after(BEAT_SECONDS * 3.5):
        await ends.link.beat()
    beats = ends.heard()
    assert len(beats) == 4
    assert beats[0] == {"epoch": "e1", "in_flight": 1, "last_write": 12.5, "ending": False}


async def test_a_heartbeat_that_is_not_earned_is_not_sent(ends: Ends, autojump_clock: object) -> None:
    """Heartbeats from a free-running timer would keep a wedged maker alive (H20)."""
    ends.why_not = "the quoting cycle is 2.0 s late"
    with trio.move_on_after(BEAT_SECONDS * 10):
        await ends.link.beat()
    assert ends.heard() == []
    assert ends.link.withheld == "the quoting cycle is 2.0 s late"


async def test_leave_to_quote_is_this_runs_own(ends: Ends) -> None:
    """S20: only this epoch's ARMED arms; anything else is nothing."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.link.listen)
        for message in (b'{"armed": "e0"}', b"{}", b"[]", b"nonsense", b"\xff"):
            ends.guard.send(message)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not ends.link.armed.is_set()
        ends.guard.send(b'{"armed": "e1"}')
        with trio.fail_after(2.0):
            await ends.link.armed.wait()
        nursery.cancel_scope.cancel(reason="seen")


async def test_the_guards_end_is_noticed(ends: Ends) -> None:
    ends.guard.close()
    with trio.fail_after(2.0):
        await ends.link.listen()


async def test_a_guard_that_answers_no_more_is_as_gone(ends: Ends, autojump_clock: trio.testing.MockClock) -> None:
    """S20: a guard that hangs could not pull either; one that answers is kept."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.link.beat)
        with trio.move_on_after(ANSWER_SECONDS_MAX * 4) as kept:
            nursery.start_soon(answer_all, ends, ANSWER_SECONDS_MAX * 2)
            await ends.link.listen()
        nursery.cancel_scope.cancel(reason="seen")
    assert not kept.cancelled_caught
    assert ANSWER_SECONDS_MAX * 3 - 1.0 <= trio.current_time() - began <= ANSWER_SECONDS_MAX * 3 + 1.0


async def answer_all(ends: Ends, seconds: float) -> None:
    """Be a guard for so long."""
    with trio.move_on_after(seconds):
        while True:
            for beat in ends.heard():
                ends.guard.send(json.dumps({"armed": beat["epoch"]}).encode())
            await trio.sleep(BEAT_SECONDS)


async def test_a_guard_that_does_not_read_holds_nobody(ends: Ends) -> None:
    """A full socket: the beat is dropped, and the loop goes on."""
    for _ in range(10_000):
        ends.link.send(ending=False)
    assert ends.heard()
    ends.guard.close()
    ends.link.send(ending=True)


@pytest.mark.parametrize("letter", ["x", '"', "\\", "\x01", "\n", "\u2028", "\N{PARTY POPPER}", "\udc80"])
async def test_an_answer_arrives_whole_whatever_is_quoted_in_it(ends: Ends, letter: str) -> None:
    """What is cut is no answer, and the guard kills for it: a file may hold any letters, and so may an exchange."""
    ends.link.tell(Answer(1, False, letter * 5000, "a" * 64, "ocx_kid_" + "k" * 64))
    data = ends.guard.recv(MESSAGE_BYTES_MAX + 1)
    assert len(data) <= MESSAGE_BYTES_MAX
    assert json.loads(data)["reloaded"] == 1
