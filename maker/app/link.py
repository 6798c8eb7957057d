"""The maker's end of the link to its guard: heartbeats that it earns, leave to quote, news that the guard is gone.

A heartbeat goes out a few times a second, but only while nothing speaks against it: a loop that hangs sends none, and a
critical task that has not checked in holds them back. The guard answers the first one ARMED, with this run's epoch;
before that nothing may be placed. The link's end means that nobody would pull our quotes if we died: leave.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Final

import attrs
import trio

BEAT_SECONDS: Final = 0.25  # the guard kills after guard.hang_seconds_max without one
MESSAGE_BYTES_MAX: Final = 4096


@attrs.define
class GuardLink:
    """One run's link; `close` when nothing is written any more."""

    raw: socket.socket
    epoch: str  # of this run, as in its clientOrderIds
    writes: Callable[[], tuple[int, float | None]]  # ladders in flight; when the last one left, seconds of BOOTTIME
    why_not: Callable[[], str | None]  # why no heartbeat is earned now; None: it is
    armed: trio.Event = attrs.field(factory=trio.Event)
    withheld: str = ""  # why the last heartbeat was not sent

    @classmethod
    def over(
        cls,
        descriptor: int,
        epoch: str,
        writes: Callable[[], tuple[int, float | None]],
        why_not: Callable[[], str | None],
    ) -> GuardLink:
        """Take over the descriptor that the guard passed us."""
        raw = socket.socket(fileno=descriptor)
        raw.setblocking(False)
        return cls(raw, epoch, writes, why_not)

    async def beat(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            self.withheld = self.why_not() or ""
            if not self.withheld:
                self.send(ending=False)
            await trio.sleep(BEAT_SECONDS)

    async def listen(self) -> None:
        """Take the guard's leave to quote; return when the guard is gone."""
        while True:
            await trio.lowlevel.wait_readable(self.raw)
            try:
                data = self.raw.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            if self.is_leave(data):
                self.armed.set()

    def is_leave(self, data: bytes) -> bool:
        """Whether a message arms this very run."""
        try:
            said = json.loads(data)
        except ValueError:
            return False
        return isinstance(said, dict) and said.get("armed") == self.epoch

    def send(self, *, ending: bool) -> None:
        """Send one heartbeat without waiting; `ending`: quotes are dealt with, only files are still to be written."""
        in_flight, last_write = self.writes()
        beat = {"epoch": self.epoch, "in_flight": in_flight, "last_write": last_write, "ending": ending}
        try:
            self.raw.send(json.dumps(beat).encode())
        except OSError:  # full: the guard is held up and has enough to read; gone: `listen` sees it
            return
