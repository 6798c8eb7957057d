"""The maker's end of the link to its guard: heartbeats that it earns, leave to quote, news that the guard is gone.

A heartbeat goes out a few times a second, but only while nothing speaks against it: a loop that hangs sends none, and a
critical task that has not checked in holds them back. The guard answers each one ARMED, with this run's epoch; before
the first nothing may be placed. It also asks for reloads, each of which is answered. The link's end, or heartbeats that
stay without an answer, mean that nobody would pull our quotes if we died: leave.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import trio

BEAT_SECONDS: Final = 0.25  # the guard kills after guard.hang_seconds_max without one
ANSWER_SECONDS_MAX: Final = 5.0  # twenty heartbeats: a guard that is starved for longer could not pull in time either
MESSAGE_BYTES_MAX: Final = 4096
SENTENCE_LETTERS_MAX: Final = 800  # of an answer: it must fit into one message, four bytes a letter at the most


@attrs.frozen
class Asked:
    """What the guard asks for."""

    number: int  # of this reload, for its answer
    key_digest: str  # of the key that the guard read; "" where a key is not kept in a file


@attrs.frozen
class Answer:
    """What came of it, for the guard and for people."""

    number: int
    ok: bool
    sentence: str
    sha256: str = ""  # of the configuration that is in force now
    key_id: str = ""  # of the key that is in use now, where it is another one


@attrs.define
class GuardLink:
    """One run's link; `close` when nothing is written any more."""

    raw: Any  # a non-blocking socket, or what has its `send`, `recv` and `close`
    epoch: str  # of this run, as in its clientOrderIds
    writes: Callable[[], tuple[int, float | None]]  # ladders in flight; when the last one left, seconds of BOOTTIME
    why_not: Callable[[], str | None]  # why no heartbeat is earned now; None: it is
    readable: Callable[[Any], Awaitable[None]] = trio.lowlevel.wait_readable
    armed: trio.Event = attrs.field(factory=trio.Event)
    unanswered_at: float | None = None  # the loop's clock: when the first heartbeat left since the last answer
    on_reload: Callable[[Asked], None] = lambda _asked: None
    withheld: str = ""  # why the last heartbeat was not sent

    async def beat(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            self.withheld = self.why_not() or ""
            if not self.withheld:
                self.send(ending=False)
            await trio.sleep(BEAT_SECONDS)

    async def listen(self) -> None:
        """Take the guard's leave to quote; return when the guard is gone, or has not answered for too long."""
        while not self.is_overdue():
            with trio.move_on_after(BEAT_SECONDS) as waiting:
                await self.readable(self.raw)
            if waiting.cancelled_caught:
                continue
            try:
                data = self.raw.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            if self.is_leave(data):
                self.unanswered_at = None
                self.armed.set()
            elif (asked := asked_to_reload(data)) is not None:
                self.on_reload(asked)

    def is_overdue(self) -> bool:
        """Whether heartbeats have stayed without an answer for too long."""
        since = self.unanswered_at
        return since is not None and trio.current_time() - since > ANSWER_SECONDS_MAX

    def is_leave(self, data: bytes) -> bool:
        """Whether a message arms this very run."""
        try:
            said = json.loads(data)
        except ValueError:
            return False
        return isinstance(said, dict) and said.get("armed") == self.epoch

    def tell(self, answer: Answer) -> None:
        """Say what came of a reload."""
        letters = (one if one.isprintable() else " " for one in answer.sentence[:SENTENCE_LETTERS_MAX])
        fields = {
            "reloaded": answer.number,
            "ok": answer.ok,
            "sentence": "".join(letters),
            "sha256": answer.sha256,
            "key_id": answer.key_id,
        }
        with contextlib.suppress(OSError):  # an answer that is missing has the guard keep both keys
            self.raw.send(json.dumps(fields, ensure_ascii=False).encode())

    def send(self, *, ending: bool) -> None:
        """Send one heartbeat without waiting; `ending`: quotes are dealt with, only files are still to be written."""
        in_flight, last_write = self.writes()
        beat = {"epoch": self.epoch, "in_flight": in_flight, "last_write": last_write, "ending": ending}
        with contextlib.suppress(OSError):  # full: the guard has enough to read; gone: `listen` sees it
            self.raw.send(json.dumps(beat).encode())
        if self.unanswered_at is None and not ending:
            self.unanswered_at = trio.current_time()


def asked_to_reload(data: bytes) -> Asked | None:
    """Read a message that asks for a reload; None: it is another one."""
    try:
        said = json.loads(data)
        return Asked(int(said["reload"]), str(said["key_digest"]))
    except (ValueError, TypeError, KeyError):
        return None
