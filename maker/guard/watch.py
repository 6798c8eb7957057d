"""Watches the maker: its death by pidfd, its health by heartbeats that it has to earn, and what people ask for.

The maker sends `{"epoch", "in_flight", "last_write", "ending"}` on a socket that nobody else holds, a few times a
second while all its critical tasks do their work. Each is answered ARMED: before the first it may place nothing.
A maker that falls silent, babbles, hangs up without ending, does not end when told to, or wakes from a suspended
machine is killed: what it still does cannot be trusted, and whoever called `run` pulls its quotes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from maker.guard import latch
from maker.guard.exchange import seconds_now

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
LOOK_SECONDS = 0.25  # between two looks at clocks and the kill file
START_SECONDS_MAX = 60.0  # to the first heartbeat: importing and connecting, on an overloaded machine
STOP_SECONDS_MAX = 20.0  # told to stop, the maker promises to have ended within 15
ENDING_SECONDS_MAX = 10.0  # quotes are gone: the last read, journal and log are written
HANG_UP_SECONDS_MAX = 1.0  # between the end of the link and the end of the process
KILL_FILE_SECONDS = 0.5  # the maker obeys the file too, and its own sentence is the better one
SUSPEND_SECONDS_MAX = 2.0  # BOOTTIME ahead of MONOTONIC: the machine slept
ROUTINE_SECONDS = 60.0  # between two looks at the exchange's name
MESSAGE_BYTES_MAX = 4096  # a heartbeat has 100
RESULT_BYTES_MAX = 1 << 20  # a result of four markets has 1 KB


class Ended(NamedTuple):
    """How the maker ended: `result` is what it wrote, `killed_for` why it had to be killed ("": it was not)."""

    result: bytes
    killed_for: str
    armed: bool  # it was allowed to place orders
    last_beat: dict[str, Any]


class Watch:
    """One maker's watch; all by descriptors, in one thread."""

    def __init__(
        self, maker: int, link: socket.socket, signals: int, result: int, folder: Path, hang_seconds_max: float
    ) -> None:
        self.maker, self.link, self.signals, self.result, self.folder = maker, link, signals, result, folder
        self.hang_seconds_max = hang_seconds_max
        self.stop_at: float | None = None  # when its time is up
        self.routine: Callable[[], object] = bool
        self.say: Callable[[str, str], object] = lambda *_words: None
        self.written = b""
        self.beat: dict[str, Any] = {}
        self.beat_due = seconds_now() + START_SECONDS_MAX
        self.kill_at: float | None = None
        self.kill_for = ""
        self.kill_file_seen_at: float | None = None

    def run(self) -> Ended:
        """Watch until the maker has ended, if need be by our hand."""
        waiting = select.poll()
        for one in (self.maker, self.link.fileno(), self.signals, self.result):
            waiting.register(one, select.POLLIN)
        slept, routine_at = suspended_seconds(), seconds_now()
        while True:
            ready = {one for one, _ in waiting.poll(LOOK_SECONDS * 1000)}
            trouble = ""
            if self.result in ready and not self.read_result():
                waiting.unregister(self.result)
            if self.link.fileno() in ready and not self.hear():
                waiting.unregister(self.link.fileno())
                self.end_within(HANG_UP_SECONDS_MAX, "it hung up and did not end")
            if self.maker in ready:
                self.read_result()
                return Ended(self.written, "", bool(self.beat), self.beat)
            now = seconds_now()
            if self.beat and self.beat.get("epoch") is None:
                trouble = "it sent a heartbeat that is none"
            elif now > self.beat_due:
                trouble = "no heartbeat came in time"
            elif suspended_seconds() - slept > SUSPEND_SECONDS_MAX:
                trouble = "the machine slept"
            elif self.kill_at is not None and now >= self.kill_at:
                trouble = self.kill_for
            if trouble:
                signal.pidfd_send_signal(self.maker, signal.SIGKILL)
                select.select([self.maker], [], [])
                return Ended(b"", trouble, bool(self.beat), self.beat)
            self.pass_on(now)
            if now >= routine_at:
                routine_at = now + ROUTINE_SECONDS
                self.routine()

    def hear(self) -> bool:
        """Take every heartbeat that is there; False at the end of the link."""
        try:
            while data := self.link.recv(MESSAGE_BYTES_MAX):
                first = not self.beat
                self.beat, epoch = read_beat(data), self.beat.get("epoch")
                if not first and epoch != self.beat["epoch"]:
                    self.beat["epoch"] = None
                self.beat_due = seconds_now() + (ENDING_SECONDS_MAX if self.beat["ending"] else self.hang_seconds_max)
                if self.beat["epoch"] is not None:
                    self.link.send(json.dumps({"armed": self.beat["epoch"]}).encode())
        except OSError as problem:  # any other is as its end
            return isinstance(problem, BlockingIOError)
        return False

    def pass_on(self, now: float) -> None:
        """Pass stop signals on, and stop the maker for the kill file or when its time is up."""
        told = [number for number in read_available(self.signals) if number in STOP_SIGNALS]
        if self.kill_file_seen_at is None and (why := latch.read(self.folder)) is not None:
            self.kill_file_seen_at = now
            self.say("kill file", f"quotes are to be pulled: {why}.")
        overdue = self.stop_at is not None and now >= self.stop_at
        obey = self.kill_file_seen_at is not None and now >= self.kill_file_seen_at + KILL_FILE_SECONDS
        if self.kill_at is None and (overdue or obey):
            told.append(signal.SIGTERM)
        for number in told:
            signal.pidfd_send_signal(self.maker, number)
            self.end_within(STOP_SECONDS_MAX, "it was told to stop and did not end")

    def end_within(self, seconds: float, otherwise: str) -> None:
        """Have the maker end in time; the earlier demand stands."""
        if self.kill_at is None or seconds_now() + seconds < self.kill_at:
            self.kill_at, self.kill_for = seconds_now() + seconds, otherwise

    def read_result(self) -> bool:
        """Take what the result's pipe holds; False at its end, or when it is no result any more."""
        chunk = read_available(self.result)
        self.written += chunk
        return bool(chunk) and len(self.written) <= RESULT_BYTES_MAX


def read_beat(data: bytes) -> dict[str, Any]:
    """Return a heartbeat's fields; `epoch` is None for one that is none."""
    try:
        said = json.loads(data)
        return {
            "epoch": str(said["epoch"]),
            "in_flight": int(said["in_flight"]),
            "last_write": None if said["last_write"] is None else float(said["last_write"]),
            "ending": bool(said["ending"]),
        }
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"epoch": None, "ending": False}


def read_available(reader: int) -> bytes:
    """Return what a non-blocking pipe holds now; empty at its end and when there is nothing."""
    try:
        return os.read(reader, 1 << 16)
    except BlockingIOError:
        return b""


def suspended_seconds() -> float:
    """Return how long this machine has slept since it booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
