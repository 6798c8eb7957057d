"""What the watcher says, told to people: which of its lines, how often, and by a process that it never waits for.

    lines     what the watcher says goes to its log, and here; `hear` only keeps what is to be told: no clock of a disk
              or of a process is in the way of the cancel-all that follows a line
    act       in its pauses, the first of which comes after that cancel-all: a thread starts the process and writes
    process   `maker.monitor.tell`, with packages and the targets' secrets; started when there is something to tell,
              again after it ended, a few times with pauses. What it was given shortly before it died is told again

Without packages the watcher watches as ever, and says once what is missing.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from maker.guard.exchange import seconds_now
from maker.launch import settings, telling
from maker.launch.start import Process
from maker.launch.threads import in_thread
from maker.watcher.steps import CREDENTIALS, Ended, Say

PULLED, BLIND, AGAIN = "left_quotes_pulled", "watch_blind", "watch_again"  # as maker.monitor.catalogue
BEGINS = {"pulling": PULLED, "NOT VERIFIED": BLIND, "KEY REFUSED": BLIND, "cannot look": BLIND, "FAILED": BLIND}
ENDS = {"pulled": ("pulling", "NOT VERIFIED"), "reading": ("KEY REFUSED", "cannot look"), "alive": tuple(BEGINS)}
PATIENCE_SECONDS = {"cannot look": 300.0}  # a network comes back; told once it has lasted so long
EARLY_SECONDS = 5.0  # lines come every five minutes, and a reminder must not miss one by a moment
FORGET_SECONDS = 3600.0  # since it was last the case: what comes then is told as new
WAITING_MAX = 64
REFUSED_CODES = (CREDENTIALS, 78)
REFUSALS_FILE = "refusals.json"
RUNTIME = "RUNTIME_DIRECTORY"  # systemd's, kept over restarts: a start that is refused every half minute is told seldom

RESTART_SECONDS = (1.0, 10.0, 60.0)  # before the second, third and fourth start in a row ...
AWAY_SECONDS = 3600.0  # ... then it stays away for so long; and one that lived so long was no failure
AGAIN_SECONDS = 60.0  # what was written to it so shortly before it died is told again
LOOK_SECONDS, IDLE_SECONDS = 0.2, 5.0  # between two looks after it
STOP_SECONDS_MAX = 5.0  # at the end, to tell what is left; one that hangs is killed then


class Case:
    """One kind of trouble: since when, when last, and what was told."""

    def __init__(self, now: float) -> None:
        self.since = self.heard_at = now
        self.told_at, self.tellings = now, 0
        self.is_told = False  # that it is the case; not yet that it is over
        self.is_over = False


class Alerts:
    """Which of the watcher's lines are told. Pure."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}

    def hear(self, event: str, sentence: str, now: float) -> list[bytes]:
        """Take a line, and return what is to be told."""
        if event in ENDS:
            return self.end(ENDS[event], sentence)
        if event not in BEGINS:
            return []
        case = self.cases.get(event)
        if case is None or now - case.heard_at > FORGET_SECONDS:
            case = self.cases[event] = Case(now)
        elif case.is_over:
            case.since, case.is_over = now, False
        case.heard_at = now
        if now - case.since < PATIENCE_SECONDS.get(event, 0.0) - EARLY_SECONDS:
            return []
        if case.tellings and now - case.told_at < telling.remind_seconds(case.tellings) - EARLY_SECONDS:
            return []
        case.told_at, case.tellings, case.is_told = now, case.tellings + 1, True
        return [telling.line(BEGINS[event], "critical", sentence)]

    def end(self, events: tuple[str, ...], sentence: str) -> list[bytes]:
        """What was told is over: that is told to everybody who was told that it began."""
        over = [case for event, case in self.cases.items() if event in events]
        was_told = any(case.is_told for case in over)
        for case in over:
            case.is_over, case.is_told = True, False
        return [telling.line(AGAIN, "critical", sentence)] if was_told else []


class Given(NamedTuple):
    """A line that was written to the process."""

    at: float
    line: bytes


class Teller:
    """Hears what the watcher says; `start` starts the process (None: nobody is told)."""

    def __init__(
        self,
        say: Say,
        start: Callable[[], Process] | None,
        memory: telling.Memory | None = None,
        now: Callable[[], float] = seconds_now,
    ) -> None:
        self.log, self.start, self.memory, self.now = say, start, memory, now
        self.alerts = Alerts()
        self.waiting: collections.deque[bytes] = collections.deque()
        self.given: collections.deque[Given] = collections.deque(maxlen=WAITING_MAX)
        self.thread: threading.Thread | None = None
        self.stirred, self.ending = threading.Event(), threading.Event()
        self.process: Process | None = None
        self.began, self.start_at = 0.0, 0.0  # of the process; not before then
        self.failures = 0  # in a row

    def say(self, event: str, sentence: str, *, level: str = "info") -> None:
        """Tell one line of log, and keep what people are to be told. Never raises, never waits."""
        self.log(event, sentence, level=level)
        try:
            if self.start is not None and len(self.waiting) < WAITING_MAX:
                self.waiting += self.alerts.hear(event, sentence, self.now())
        except Exception:  # noqa: BLE001 - a bug here must not end the pull that is about to begin
            traceback.print_exc()

    def act(self) -> None:
        """Have what waits be told; in a pause."""
        if self.waiting and (self.thread is None or not self.thread.is_alive()):
            self.thread = in_thread(self.live)
        self.stirred.set()

    def refused(self, ended: Ended) -> None:
        """Keep that a start was refused: where it can be remembered, or else each restart would tell it."""
        if self.start is None or ended.exit_code not in REFUSED_CODES or self.memory is None or os.isatty(2):
            return
        if self.memory.take(ended.exit_code, ended.sentence, time.time()):
            sentence = f"it ended with exit code {ended.exit_code}: {ended.sentence}"
            self.waiting.append(telling.line(BLIND, "critical", sentence))

    def accepted(self) -> None:
        """The start is over: what was told of refusals before is too."""
        if self.memory is not None:
            in_thread(self.memory.forget)

    def end(self) -> None:
        """Have what is left be told, within its time."""
        self.ending.set()
        self.act()
        if self.thread is not None:
            self.thread.join(STOP_SECONDS_MAX)
        process = self.process
        if process is not None and process.returncode is None:
            self.log("alerts killed", f"what tells alerts did not end within {STOP_SECONDS_MAX:g} s.", level="warning")
            with contextlib.suppress(OSError):
                process.kill()

    # -- the thread

    def live(self) -> None:
        """The thread's whole life."""
        # Signals are the main thread's, the alarms of its calls above all; the process inherits this.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self.look():
            self.stirred.wait(LOOK_SECONDS if self.waiting or self.ending.is_set() else IDLE_SECONDS)
            self.stirred.clear()

    def look(self) -> bool:
        """Look after the process once; True: there is nothing more to do."""
        now = self.now()
        if self.process is not None and self.process.poll() is not None:
            self.gone(f"it ended with code {self.process.returncode}", now)
        if self.process is None and self.waiting and now >= self.start_at and self.start is not None:
            self.began = now
            try:
                self.process = self.start()
            except OSError as problem:
                self.gone(f"it cannot be started: {problem}", now)
        if self.process is not None:
            self.write(self.process, now)
        if not self.ending.is_set() or (self.waiting and self.process is not None):
            return False
        if self.process is None:
            return True
        if self.process.stdin is not None:
            self.process.stdin.close()  # it tells what it has, and ends
        return self.process.poll() is not None

    def write(self, process: Process, now: float) -> None:
        """Write what waits, as far as the pipe takes it."""
        assert process.stdin is not None  # it is a pipe
        while self.waiting:
            line = self.waiting.popleft()
            try:
                os.write(process.stdin.fileno(), line)
            except OSError:  # full, or it is about to end
                self.waiting.appendleft(line)
                return
            self.given.append(Given(now, line))

    def gone(self, why: str, now: float) -> None:
        """It has ended by itself: what it may not have told waits again, and it is started later."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None
        self.waiting.extendleft(one.line for one in reversed(self.given) if now - one.at < AGAIN_SECONDS)
        self.given.clear()
        self.failures = 1 if now - self.began > AWAY_SECONDS else self.failures + 1
        pause = AWAY_SECONDS
        if self.failures <= len(RESTART_SECONDS):
            pause = RESTART_SECONDS[self.failures - 1]
        else:
            self.failures = 0
        self.start_at = now + pause
        self.log(
            "no alerts",
            f"{why}; what tells alerts is started again in {pause:g} s; watching goes on.",
            level="error",
        )


def a_teller(configuration: Path, environment: Mapping[str, str], say: Say) -> Teller:
    """Return a configuration's; one that tells nobody where it names nobody, or nothing here can."""
    try:
        tree = settings.load(configuration)
    except settings.SettingsError:
        return Teller(say, None)
    if not telling.wants_alerts(tree):
        return Teller(say, None)
    python = telling.interpreter()
    if not python:
        run = settings.PROJECT_FOLDER / "run.py"
        say(
            "no alerts",
            f"Alerts need packages, which are not here: nobody is told. `sudo python3 {run} run --help` makes them.",
            level="warning",
        )
        return Teller(say, None)
    folder = environment.get(RUNTIME, "")
    memory = telling.Memory(Path(folder) / REFUSALS_FILE) if folder else None
    theirs = telling.without_keys(tree, environment)
    return Teller(say, lambda: telling.start(python, configuration.resolve(), theirs), memory)
