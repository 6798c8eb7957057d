"""Watches one maker: its death by pidfd, its heartbeats by the link, its last word by a pipe, and kills it if need be.

What to make of what is seen is `maker.guard.watch.Judge`'s to say; here are its eyes and hands.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from maker.guard.exchange import seconds_now
from maker.guard.watch import Ended, Judge
from maker.launch import latch
from maker.launch.reloading import RELOAD_SIGNAL
from maker.launch.start import KILLED_SECONDS_MAX

ROUTINE_SECONDS = 60.0  # between two looks at the exchange's name
MESSAGE_BYTES_MAX = 4096  # a heartbeat has 100
RESULT_BYTES_MAX = 1 << 20  # a result of four markets has 1 KB


class Watch:
    """One maker's watch; all by descriptors, in one thread."""

    def __init__(
        self, maker: int, link: socket.socket, signals: int, result: int, folder: Path, hang_seconds_max: float
    ) -> None:
        self.maker, self.link, self.signals, self.result, self.folder = maker, link, signals, result, folder
        self.judge = Judge(hang_seconds_max, seconds_now())
        self.routine: Callable[[], object] = bool
        self.say: Callable[[str, str], object] = lambda *_words: None
        self.reload: Callable[[], object] = bool  # asked for by a signal
        self.tend: Callable[[], object] = bool  # whatever else is under way, at every look
        self.armed: Callable[[], object] = bool  # it may place orders; at each heartbeat
        self.takes: Callable[[bytes], bool] = lambda _message: False  # a message that is no heartbeat
        self.written = b""

    def run(self) -> Ended:
        """Watch until the maker has ended, if need be by our hand."""
        waiting = select.poll()
        for one in (self.maker, self.link.fileno(), self.signals, self.result):
            waiting.register(one, select.POLLIN)
        slept, routine_at = suspended_seconds(), seconds_now()
        while True:
            ready = {one for one, _ in waiting.poll(self.judge.look_seconds(seconds_now()) * 1000)}
            if self.result in ready and not self.read_result():
                waiting.unregister(self.result)
            if self.link.fileno() in ready and not self.hear():
                waiting.unregister(self.link.fileno())
                self.judge.hung_up(seconds_now())
            if self.maker in ready:
                self.read_result()
                return self.judge.ended(self.written, "")
            now = seconds_now()
            if trouble := self.judge.trouble(now, suspended_seconds() - slept):
                return self.kill(trouble)
            self.pass_on(now)
            self.tend()
            if now >= routine_at:
                routine_at = now + ROUTINE_SECONDS
                self.routine()

    def kill(self, why: str) -> Ended:
        """Kill the maker, and return how it ended: within its time, also when it cannot end (a disk hangs).

        Nothing of its program runs again after SIGKILL; what it had on the wire is for the tail of the pull.
        """
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.maker, signal.SIGKILL)
        select.select([self.maker], [], [], KILLED_SECONDS_MAX)
        return self.judge.ended(b"", why)

    def hear(self) -> bool:
        """Answer every heartbeat that is there; False at the end of the link."""
        try:
            while data := self.link.recv(MESSAGE_BYTES_MAX):
                if self.takes(data):
                    continue
                if answer := self.judge.heard(data, seconds_now()):
                    self.link.send(answer)
                    self.armed()
        except OSError as problem:  # any other is as its end
            return isinstance(problem, BlockingIOError)
        return False

    def pass_on(self, now: float) -> None:
        """Pass stop signals on, and look for the kill file until it is seen."""
        why = latch.read(self.folder) if self.judge.obey_at == math.inf else None
        if why is not None:
            self.say("kill file", f"quotes are to be pulled: {why}.")
        signals = read_available(self.signals)
        if RELOAD_SIGNAL in signals:
            self.reload()
        for number in self.judge.told(signals, why is not None, now):
            signal.pidfd_send_signal(self.maker, number)

    def read_result(self) -> bool:
        """Take what the result's pipe holds; False at its end, or when it is no result any more."""
        chunk = read_available(self.result)
        self.written += chunk
        return bool(chunk) and len(self.written) <= RESULT_BYTES_MAX


def read_available(reader: int) -> bytes:
    """Return what a non-blocking pipe holds now; empty at its end and when there is nothing."""
    try:
        return os.read(reader, 1 << 16)
    except BlockingIOError:
        return b""


def suspended_seconds() -> float:
    """Return how long this machine has slept since it booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
