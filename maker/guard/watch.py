"""What to make of the maker while it runs: its heartbeats, which it has to earn, and what people ask of it.

The maker sends `{"epoch", "in_flight", "last_write", "ending"}` on a socket that nobody else holds, a few times a
second while all its critical tasks do their work. Each is answered ARMED: before the first it may place nothing.
A maker that falls silent, babbles, hangs up without ending, does not end when told to, or wakes from a suspended
machine is killed: what it still does cannot be trusted, and whoever watched it pulls its quotes.

Nothing here touches a process, a socket or a clock: `maker.launch.watching` has those, and does as `Judge` says.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterable
from typing import Any, NamedTuple

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
START_SECONDS_MAX = 60.0  # to the first heartbeat: importing and connecting, on an overloaded machine
STOP_SECONDS_MAX = 20.0  # told to stop, the maker promises to have ended within 15
ENDING_SECONDS_MAX = 10.0  # quotes are gone: the last read, journal and log are written
HANG_UP_SECONDS_MAX = 1.0  # between the end of the link and the end of the process
KILL_FILE_SECONDS = 0.5  # the maker obeys the file too, and its own sentence is the better one
LOOK_SECONDS = 0.25  # between two looks at clocks and the kill file
DUE_SECONDS = 0.01  # past the moment at which something falls due
SUSPEND_SECONDS_MAX = 2.0  # BOOTTIME ahead of MONOTONIC: the machine slept


class Ended(NamedTuple):
    """How the maker ended: `result` is what it wrote, `killed_for` why it had to be killed ("": it was not)."""

    result: bytes
    killed_for: str
    armed: bool  # it was allowed to place orders
    last_beat: dict[str, Any]


class Judge:
    """What to make of one maker, and what to do: no descriptor, no clock. Each `now` is in seconds of `seconds_now`."""

    def __init__(self, hang_seconds_max: float, now: float) -> None:
        self.hang_seconds_max = hang_seconds_max
        self.beat: dict[str, Any] = {}
        self.beat_due = now + START_SECONDS_MAX
        self.stop_at = self.obey_at = math.inf  # when its time is up; when the kill file counts
        self.kill_at, self.kill_for = math.inf, ""

    def heard(self, data: bytes, now: float) -> bytes:
        """Take a heartbeat and return the answer; empty when it is none, or of another run."""
        before, self.beat = self.beat, read_beat(data)
        if before and before["epoch"] != self.beat["epoch"]:
            self.beat["epoch"] = None
        self.beat_due = now + (ENDING_SECONDS_MAX if self.beat["ending"] else self.hang_seconds_max)
        return b"" if self.beat["epoch"] is None else json.dumps({"armed": self.beat["epoch"]}).encode()

    def hung_up(self, now: float) -> None:
        """Note the end of the link."""
        self.end_within(HANG_UP_SECONDS_MAX, "it hung up and did not end", now)

    def told(self, signals: Iterable[int], latched: bool, now: float) -> list[int]:
        """Return the signals to pass on: stop signals, and SIGTERM for the kill file or when its time is up."""
        passed = [number for number in signals if number in STOP_SIGNALS]
        if latched:
            self.obey_at = min(self.obey_at, now + KILL_FILE_SECONDS)
        if self.kill_at == math.inf and now >= min(self.stop_at, self.obey_at):
            passed.append(signal.SIGTERM)
        if passed:
            self.end_within(STOP_SECONDS_MAX, "it was told to stop and did not end", now)
        return passed

    def end_within(self, seconds: float, otherwise: str, now: float) -> None:
        """Have the maker end in time; the earlier demand stands."""
        if now + seconds < self.kill_at:
            self.kill_at, self.kill_for = now + seconds, otherwise

    def trouble(self, now: float, slept_seconds: float) -> str:
        """Return why it must be killed now; "": it need not."""
        if self.beat and self.beat["epoch"] is None:
            return "it sent a heartbeat that is none"
        if slept_seconds > SUSPEND_SECONDS_MAX:
            return "the machine slept"  # told first: heartbeats are late for it too
        if now > self.beat_due:
            return "no heartbeat came in time"
        return self.kill_for if now >= self.kill_at else ""

    def look_seconds(self, now: float) -> float:
        """Return for how long nothing falls due: whoever waits looks again then at the latest."""
        due = min(self.beat_due, self.kill_at) - now
        return min(LOOK_SECONDS, max(0.0, due) + DUE_SECONDS)

    def ended(self, result: bytes, killed_for: str) -> Ended:
        """Return how it ended; one that was killed has said nothing that counts."""
        return Ended(b"" if killed_for else result, killed_for, bool(self.beat), self.beat)


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
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return {"epoch": None, "ending": False}
