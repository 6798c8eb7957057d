"""Start and end processes: maker and practice exchange, each in a session of its own, with our stderr.

A terminal's Ctrl-C so reaches only the parent, which passes it to the maker alone: the practice exchange must outlive a
maker exactly as the real one would.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from maker.guard.exchange import seconds_now
from maker.guard.watch import STOP_SIGNALS
from maker.launch.reloading import RELOAD_SIGNAL
from maker.launch.report import REFUSED_TO_START
from maker.launch.settings import ParentSettings
from maker.launch.terminal import ERASE, can_draw

VENUE_READY_SECONDS_MAX = 10.0  # it listens within 0.5 s; an overloaded machine twenty times that
VENUE_STOP_SECONDS_MAX = 5.0  # it only has to write its files
PIPE_READ_BYTES = 1 << 16  # a pipe holds no more
MESSAGE_BYTES_MAX = 1 << 20  # a ready line has 200 bytes
LOG_LINE_BYTES_MAX = 4096  # a pipe that polls writable takes this much without blocking (PIPE_BUF)
KILLED_SECONDS_MAX = 2.0  # SIGKILL ends a process within milliseconds, and one that waits for a disk that hangs never
STATUS_SECONDS_MAX = 0.5  # for somebody who is writing run.json to a disk that hangs
REMOVE_SECONDS_MAX = 2.0  # to take it away, that wait included
OOM_SCORE = "500"  # when memory runs out the kernel takes the maker, and we are left to pull its quotes

Process = subprocess.Popen[bytes]


class Refusal(Exception):
    """The run must not start; nothing was placed. The message is one sentence."""

    def __init__(self, sentence: str, exit_code: int = REFUSED_TO_START) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class Venue(NamedTuple):
    """The running practice exchange."""

    process: Process
    venue_url: str
    reference_url: str


def start(
    command: list[str],
    *,
    pass_fds: tuple[int, ...] = (),
    stdout: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start `python -m maker COMMAND` in a session of its own, with our stderr and without our stdin.

    `environment`: None: ours. Raises OSError.
    """
    words = [sys.executable, "-m", "maker", *command]
    # For good: a supervisor may send it to every process of ours, and it is meant for us alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (RELOAD_SIGNAL,))
    try:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stdout, pass_fds=pass_fds, start_new_session=True, env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_maker(command: list[str], pass_fds: tuple[int, ...]) -> Process:
    """Start the maker with the stop signals BLOCKED: one that comes while it imports waits until it listens."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process = start(command, pass_fds=pass_fds)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    return process


def start_venue(wanted: ParentSettings, signals: int, stack: contextlib.ExitStack, words: Sequence[str] = ()) -> Venue:
    """Start the practice exchange and return it once it says where it listens. Raises Refusal.

    `words` of the command `venue` win over the configuration.
    """
    command = ["venue", "--conf", str(wanted.configuration), "--owner-pid", str(os.getpid())]
    process = start([*command, "--port", str(wanted.venue_port), *words], stdout=subprocess.PIPE)
    stack.callback(end, process, VENUE_STOP_SECONDS_MAX)
    assert process.stdout is not None  # it is the pipe asked for
    reader = process.stdout.fileno()
    line = b""
    deadline = seconds_now() + VENUE_READY_SECONDS_MAX
    while b"\n" not in line:
        ready, _, _ = select.select([reader, signals], [], [], max(0.0, deadline - seconds_now()))
        if not ready:
            raise Refusal(f"the practice exchange was not ready after {VENUE_READY_SECONDS_MAX:g} s.")
        if signals in ready:
            if any(number in STOP_SIGNALS for number in os.read(signals, PIPE_READ_BYTES)):
                raise Refusal("stopped by a signal before anything was placed.")
            continue
        chunk = os.read(reader, PIPE_READ_BYTES)
        line += chunk
        if not chunk or len(line) > MESSAGE_BYTES_MAX:
            raise Refusal("the practice exchange did not start: its log above says why.")
    try:
        said = json.loads(line)
        return Venue(process, str(said["venue_url"]), str(said["reference_url"]))
    except (ValueError, TypeError, KeyError):
        raise Refusal(f"the practice exchange did not say where it listens, but {line[:200]!r}.") from None


class Status:
    """run.json: which processes run and where they listen. Replaced as a whole, and gone at the end."""

    def __init__(self, path: Path, fields: dict[str, Any]) -> None:
        self.path, self.fields = path, fields
        self.writing = threading.Lock()
        self.is_over = False

    def tell(self, **fields: Any) -> None:
        """Write it, with these fields changed; from any thread. A full disk is said, and changes nothing else."""
        with self.writing:
            self.fields |= fields
            if self.is_over:
                return
            unfinished = self.path.with_suffix(".part")
            try:
                unfinished.write_text(json.dumps(self.fields) + "\n", encoding="utf-8")
                unfinished.rename(self.path)
            except OSError as problem:  # people miss a file, the maker is watched all the same
                log("no status", f"cannot write {self.path}: {problem.strerror}.")

    def end(self) -> None:
        """Take it away, for good, and within its time: a disk that hangs must not hold the exit code."""
        self.is_over = True
        thread = threading.Thread(target=self.remove, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # none is to be had now
            self.remove()
        else:
            thread.join(REMOVE_SECONDS_MAX)

    def remove(self) -> None:
        held = self.writing.acquire(timeout=STATUS_SECONDS_MAX)
        try:
            self.path.unlink(missing_ok=True)
        except OSError as problem:  # whoever reads it looks whether its processes live
            log("no status", f"cannot remove {self.path}: {problem.strerror}.")
        finally:
            if held:
                self.writing.release()


def write_status(
    path: Path, maker: Process, venue: Venue | None, key_id: str, config_sha256: str, stack: contextlib.ExitStack
) -> Status:
    """Say in one file, replaced atomically and removed at the end, which processes run and where they listen.

    `key_id` is that of the key in use, "" where it is not known: `keys revoke` spares it. A reload amends the file.
    """
    status = Status(
        path,
        {
            "guard_pid": os.getpid(),
            "maker_pid": maker.pid,
            "venue_pid": venue.process.pid if venue else None,
            "venue_url": venue.venue_url if venue else None,
            "reference_url": venue.reference_url if venue else None,
            "monitor_pid": None,
            "monitor_url": None,
            "key_id": key_id or None,
            "config_sha256": config_sha256,
            "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )
    stack.callback(status.end)
    status.tell()
    return status


def pidfd(process: Process, stack: contextlib.ExitStack) -> int:
    """Return a descriptor that becomes readable when the process ends, and never means another one."""
    descriptor = os.pidfd_open(process.pid)
    stack.callback(os.close, descriptor)
    return descriptor


def end(process: Process, grace_seconds: float) -> None:
    """Make sure that a process of ours has ended: SIGTERM and, after the grace, SIGKILL."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    killed(process, KILLED_SECONDS_MAX)
    if process.stdout is not None:
        process.stdout.close()


def killed(process: Process, seconds: float) -> int:
    """Kill a process that has not ended, and return its exit code; it is waited for this long, and never again.

    One that is still there then (it waits for a disk that hangs) counts as killed: nothing of its program runs again.
    """
    process.kill()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.returncode = -signal.SIGKILL  # known from here on: no later call sends or waits
        return process.returncode


def log(event: str, sentence: str, *, level: str = "info", process: str = "guard") -> None:
    """Say one thing on stderr, or nothing if that would block: a full pipe must never hold the one who watches."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    fields = {"time": now, "level": level, "event": event, "process": process, "sentence": sentence}
    try:
        line = f"{event}: {sentence}" if os.isatty(2) else json.dumps(fields, ensure_ascii=False)
        line = ERASE + line if can_draw(2) else line
        content = line.encode(errors="replace")[: LOG_LINE_BYTES_MAX - 1] + b"\n"
        if select.select([], [2], [], 0)[1]:
            os.write(2, content)
    except OSError:
        pass  # stderr is closed: nobody listens, and that is no reason to stop watching
