"""Telling people of a start that came to no maker: its monitor, which would, starts with the maker.

Live alone, where somebody is to be told, and not at a terminal, where somebody reads it. All of it happens in a thread,
last of all, and is waited for TELL_SECONDS_MAX at the most: a disk, a process or a network that hangs changes neither
the exit code nor what is printed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from maker.guard.exchange import seconds_now
from maker.launch import report, settings, telling
from maker.launch.start import KILLED_SECONDS_MAX, Process, log
from maker.launch.threads import in_thread

REFUSALS_FILE = "refusals.json"  # in the state folder: what was told of them, and when
TELL_SECONDS_MAX = 15.0
LOOK_SECONDS = 0.05
TOLD_CODES = (report.UNVERIFIED, report.CREDENTIALS, report.REFUSED_TO_START)
NOT_TOLD = (1, 2, report.REFUSED_TO_START)  # ends of `tell` after which nobody knows
ASKED_FOR = "stopped by a signal"  # a start that a person ended: no news


class Refusals:
    """One start's; `with_maker` once a maker of it was armed."""

    def __init__(self, configuration: Path) -> None:
        self.configuration = configuration
        self.with_maker = False
        self.process: Process | None = None
        self.over = threading.Event()  # nobody waits any more

    def maker_beats(self, state_folder: Path) -> None:
        """A maker is there: from here on its monitor tells, and what was told before is over."""
        if not self.with_maker:
            self.with_maker = True
            in_thread(telling.Memory(state_folder / REFUSALS_FILE).forget)

    def are_told(self, ended: report.Report) -> bool:
        """Whether this end may be one that people must be told of."""
        if self.with_maker or ended.exit_code not in TOLD_CODES:
            return False
        return not str(ended.fields["reason"]).startswith(ASKED_FOR) and not os.isatty(2)

    def tell(self, ended: report.Report, stopped: Callable[[float], bool]) -> None:
        """Tell of an end without a maker; `stopped` waits so many seconds, and says whether a stop signal came."""
        thread = in_thread(lambda: self.work(ended.exit_code, str(ended.fields["reason"])))
        ends_at = seconds_now() + TELL_SECONDS_MAX
        while thread is not None and thread.is_alive() and seconds_now() < ends_at:
            if stopped(LOOK_SECONDS):
                break
        self.over.set()
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(OSError):
                self.process.kill()
            if thread is not None:
                thread.join(KILLED_SECONDS_MAX)

    def work(self, exit_code: int, reason: str) -> None:
        """The thread's whole life."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            tree = settings.load(self.configuration)
        except settings.SettingsError:
            return  # it does not say whom
        python = telling.interpreter()
        if not telling.wants_alerts(tree) or not python:
            return
        memory = None
        with contextlib.suppress(settings.SettingsError):
            memory = telling.Memory(settings.state_folder(tree) / REFUSALS_FILE)
        if memory is not None and not memory.take(exit_code, reason, time.time()):
            return
        code = self.deliver(python, telling.without_keys(tree, os.environ), f"exit code {exit_code}: {reason}")
        if code in NOT_TOLD:
            log("not told", "nobody could be told of this start.", level="warning")
            if memory is not None:
                memory.undo()

    def deliver(self, python: str, environment: dict[str, str], sentence: str) -> int:
        """Start the process with its one line, and return its exit code; 1: it could not be started."""
        if self.over.is_set():
            return 1
        try:
            self.process = telling.start(python, self.configuration.resolve(), environment)
            assert self.process.stdin is not None  # it is a pipe
            with self.process.stdin as pipe:
                pipe.write(telling.line("start_refused", "critical", sentence))
            if self.over.is_set():  # meanwhile
                self.process.kill()
            return self.process.wait()
        except (OSError, subprocess.SubprocessError) as problem:
            log("not told", f"the process that tells alerts cannot be started: {problem}.", level="warning")
            return 1
