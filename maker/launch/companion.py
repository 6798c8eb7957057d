"""The monitor beside a maker that runs: started after it, told to end last, and never waited for in between.

All of it happens in a thread of its own: starting a process, reading its pipe, writing where it listens into run.json.
A disk that hangs, a monitor that hangs or dies at once change nothing for whoever watches the maker. It is started
again a few times, with pauses, unless it says itself that there is no use.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maker.guard.exchange import seconds_now
from maker.launch.start import MESSAGE_BYTES_MAX, Process, log, start
from maker.launch.threads import in_thread

RESTART_SECONDS = (1.0, 10.0, 60.0)  # before the second, third and fourth start in a row; then it stays away
HEALTHY_SECONDS = 3600.0  # one that lived this long was no failure: the pauses begin anew
STOP_SECONDS_MAX = (
    3.0  # to send what is on its way and to take its line off the terminal; one that hangs is killed then
)
KILLED_SECONDS_MAX = 1.0
OF_NO_USE = (0, 2, 77, 78)  # ended as asked, usage, credentials, refused to start: as maker.errors.ExitCode


class Companion:
    """One run's monitor; `said` is told, in our thread, what run.json should say of it."""

    def __init__(self, words: list[str], environment: Mapping[str, str], said: Callable[[dict[str, Any]], object]):
        self.words, self.environment, self.said = words, environment, said
        self.process: Process | None = None
        self.ending = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start it, and return at once."""
        self.thread = in_thread(self.live)

    def end(self) -> None:
        """Have it end, within its time."""
        self.ending.set()
        if self.thread is None:
            return
        self.signal(signal.SIGTERM)
        self.thread.join(STOP_SECONDS_MAX)
        if self.thread.is_alive():
            log("monitor killed", f"it was told to end and did not within {STOP_SECONDS_MAX:g} s.")
            self.signal(signal.SIGKILL)
            self.thread.join(KILLED_SECONDS_MAX)

    def signal(self, number: int) -> None:
        process = self.process
        if process is not None:
            with contextlib.suppress(OSError):
                process.send_signal(number)

    def live(self) -> None:
        """The thread's whole life."""
        # Signals are the main thread's, the alarms of its calls above all. The monitor inherits this, and undoes it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        failures = 0
        while not self.ending.is_set():
            began = seconds_now()
            try:
                self.process = start(self.words, stdout=subprocess.PIPE, environment=self.environment)
            except OSError as problem:
                log("no monitor", f"it cannot be started: {problem}.")
                return
            if self.ending.is_set():  # told to end while it was being started
                self.signal(signal.SIGTERM)
            code = self.follow(self.process)
            if self.ending.is_set():
                return
            self.said({"monitor_pid": None, "monitor_url": None})
            failures = 1 if seconds_now() - began > HEALTHY_SECONDS else failures + 1
            if code in OF_NO_USE or failures > len(RESTART_SECONDS):
                log("no monitor", f"it ended with code {code} and is not started again; quoting goes on.")
                return
            pause = RESTART_SECONDS[failures - 1]
            log("monitor gone", f"it ended with code {code} and is started again in {pause:g} s; quoting goes on.")
            self.ending.wait(pause)

    def follow(self, process: Process) -> int:
        """Read what it says until it has ended, and return its exit code."""
        assert process.stdout is not None  # it is the pipe asked for
        with process.stdout as pipe:
            while line := pipe.readline(MESSAGE_BYTES_MAX):
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    said = json.loads(line)
                    url, token_file = str(said["monitor_url"]), Path(said["token_file"])
                    self.said({"monitor_pid": process.pid, "monitor_url": url})
                    log("monitor", f"the status page is at {url} (the token of its kill button: {token_file}).")
        return process.wait()
