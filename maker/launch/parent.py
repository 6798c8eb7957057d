"""The parent process: starts venue and maker, passes signals on, watches, and says how it ended.

Venue and maker each get a session of their own, so that a terminal's Ctrl-C reaches only this process, which passes it
to the maker alone: the practice exchange must outlive a maker exactly as the real one would. The maker is watched by
its pidfd, which sees its death in under a millisecond and cannot be held open by a helper that inherited a pipe.

What the maker inherits: `--result-fd`, where it writes one JSON object at its end; `--owner-fd`, whose end of file
tells it that we are gone; the lock of the state folder, which so outlives a killed parent while the maker unwinds; and
the stop signals BLOCKED, so that one that comes while it is still importing waits until its receiver is open and it
unblocks them, instead of killing it without a report.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from maker.guard import settings
from maker.launch import report

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
VENUE_READY_SECONDS_MAX = 10.0  # it listens within 0.5 s; an overloaded machine twenty times that
VENUE_STOP_SECONDS_MAX = 5.0  # it only has to write its files
MAKER_STOP_SECONDS_MAX = 30.0  # twice the 15 s within which the maker promises to have ended
MAKER_START_SECONDS_MAX = 60.0  # what `--for` does not count: loading markets, reconciling
POLL_SECONDS_MAX = 3600.0  # poll() takes milliseconds in 31 bits
PIPE_READ_BYTES = 1 << 16  # a pipe holds no more
MESSAGE_BYTES_MAX = 1 << 20  # a ready line has 200 bytes, a result of four markets 1 KB
LOG_LINE_BYTES_MAX = 4096  # a pipe that polls writable takes this much without blocking (PIPE_BUF)

Process = subprocess.Popen[bytes]


class Refusal(Exception):
    """The run must not start; nothing was placed. The message is one sentence."""


class Venue(NamedTuple):
    """The running practice exchange."""

    process: Process
    venue_url: str
    reference_url: str


def run(configuration: Path, for_seconds: float | None) -> report.Report:
    """Run the bot to its end and return how it ended; a refusal to start is such an end, and no exception."""
    try:
        with contextlib.ExitStack() as stack:
            return run_in(settings.parent_settings(configuration), for_seconds, stack)
    except (settings.SettingsError, Refusal) as problem:
        log("refused", str(problem))
        return report.without_maker(report.REFUSED_TO_START, str(problem))


def run_in(wanted: settings.ParentSettings, for_seconds: float | None, stack: contextlib.ExitStack) -> report.Report:
    """Run with all that must be undone on `stack`: undone in the reverse order, whatever happens."""
    lock = hold_lock(wanted.state_folder, stack)
    signals = catch_signals(stack)
    venue = start_venue(wanted, signals, stack) if wanted.is_paper else None
    result_reader, result_writer = os.pipe2(os.O_CLOEXEC)
    owner_reader, owner_writer = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, result_reader)
    stack.callback(os.close, owner_writer)
    os.set_blocking(result_reader, False)
    command = ["maker-process", str(wanted.configuration)]
    command += ["--result-fd", str(result_writer), "--owner-fd", str(owner_reader)]
    command += [] if for_seconds is None else ["--for", f"{for_seconds:.3f}s"]
    command += [] if venue is None else ["--venue-url", venue.venue_url, "--reference-url", venue.reference_url]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    maker = start(command, pass_fds=(result_writer, owner_reader, lock))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    stack.callback(end, maker, MAKER_STOP_SECONDS_MAX)  # an error of our own: it still gets the time to pull its quotes
    os.close(result_writer)
    os.close(owner_reader)
    log("started", f"the maker runs as process {maker.pid}.")
    write_status(wanted.state_folder / "run.json", maker, venue, stack)
    stop_at = None if for_seconds is None else seconds_now() + for_seconds + MAKER_START_SECONDS_MAX
    result = watch(pidfd(maker, stack), venue and pidfd(venue.process, stack), signals, result_reader, stop_at)
    return report.from_maker(result, maker.wait())


def watch(maker: int, venue: int | None, signals: int, result_reader: int, stop_at: float | None) -> bytes:
    """Pass signals on until the maker has ended, and return what it wrote as its result. All by descriptors.

    A maker that was told to stop, or whose time is up, and does not end is killed: it promised to end by itself long
    before, so whatever it still does cannot be trusted.
    """
    result = b""
    kill_at: float | None = None
    waiting = select.poll()
    for one in (maker, venue, signals, result_reader):
        if one is not None:
            waiting.register(one, select.POLLIN)
    while True:
        next_at = stop_at if kill_at is None else kill_at
        wait_seconds = POLL_SECONDS_MAX if next_at is None else min(max(0.0, next_at - seconds_now()), POLL_SECONDS_MAX)
        ready = {one for one, _ in waiting.poll(wait_seconds * 1000)}
        told = [number for number in read_available(signals) if number in STOP_SIGNALS]
        if kill_at is None and stop_at is not None and seconds_now() >= stop_at:
            log("overdue", "the maker's time is up and it still runs: telling it to stop.")
            told.append(signal.SIGTERM)
        for number in told:
            signal.pidfd_send_signal(maker, number)
            kill_at = seconds_now() + MAKER_STOP_SECONDS_MAX if kill_at is None else kill_at
        if result_reader in ready:
            chunk = read_available(result_reader)
            result += chunk
            if not chunk or len(result) > MESSAGE_BYTES_MAX:
                waiting.unregister(result_reader)
        if maker in ready:
            return result + read_available(result_reader)
        if venue is not None and venue in ready:
            waiting.unregister(venue)
            log("venue gone", "the practice exchange has ended while the maker runs.")
        if kill_at is not None and seconds_now() >= kill_at:
            log("killed", f"the maker did not end within {MAKER_STOP_SECONDS_MAX:g} s of being told to.")
            signal.pidfd_send_signal(maker, signal.SIGKILL)
            return b""


def hold_lock(folder: Path, stack: contextlib.ExitStack) -> int:
    """Create the state folder, take its lock and return the descriptor that holds it. Raises Refusal."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "maker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refusal(f"another maker is running, or still unwinding, in {folder}: stop it first.") from None
    except OSError as problem:
        raise Refusal(f"cannot use the state folder {folder}: {problem.strerror}.") from None
    return lock


def catch_signals(stack: contextlib.ExitStack) -> int:
    """Turn stop signals into bytes in a pipe, so that one poll waits for everything, and return its reader."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer, warn_on_full_buffer=False))
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            stack.callback(signal.signal, number, signal.signal(number, lambda _number, _frame: None))
    return reader


def start(command: list[str], *, pass_fds: tuple[int, ...] = (), stdout: int = subprocess.DEVNULL) -> Process:
    """Start `python -m maker COMMAND` in a session of its own, with our stderr and without our stdin."""
    words = [sys.executable, "-m", "maker", *command]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, pass_fds=pass_fds, start_new_session=True)


def start_venue(wanted: settings.ParentSettings, signals: int, stack: contextlib.ExitStack) -> Venue:
    """Start the practice exchange and return it once it says where it listens. Raises Refusal."""
    command = ["venue", "--conf", str(wanted.configuration), "--owner-pid", str(os.getpid())]
    process = start([*command, "--port", str(wanted.venue_port)], stdout=subprocess.PIPE)
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
            raise Refusal("stopped by a signal before anything was placed.")
        chunk = os.read(reader, PIPE_READ_BYTES)
        line += chunk
        if not chunk or len(line) > MESSAGE_BYTES_MAX:
            raise Refusal("the practice exchange did not start: its log above says why.")
    try:
        said = json.loads(line)
        return Venue(process, str(said["venue_url"]), str(said["reference_url"]))
    except (ValueError, TypeError, KeyError):
        raise Refusal(f"the practice exchange did not say where it listens, but {line[:200]!r}.") from None


def write_status(path: Path, maker: Process, venue: Venue | None, stack: contextlib.ExitStack) -> None:
    """Say in one file, replaced atomically and removed at the end, which processes run and where they listen."""
    fields = {
        "guard_pid": os.getpid(),
        "maker_pid": maker.pid,
        "venue_pid": venue.process.pid if venue else None,
        "venue_url": venue.venue_url if venue else None,
        "monitor_url": None,
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_text(json.dumps(fields) + "\n", encoding="utf-8")
        unfinished.rename(path)
    except OSError as problem:  # a full disk: people miss a file, the maker is watched all the same
        log("no status", f"cannot write {path}: {problem.strerror}.")
    stack.callback(path.unlink, missing_ok=True)


def read_available(reader: int) -> bytes:
    """Return what a non-blocking pipe holds now; empty at its end and when there is nothing."""
    try:
        return os.read(reader, PIPE_READ_BYTES)
    except BlockingIOError:
        return b""


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
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def log(event: str, sentence: str) -> None:
    """Say one thing on stderr, or nothing if that would block: a full pipe must never hold the one who watches."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    fields = {"time": now, "level": "info", "event": event, "process": "guard", "sentence": sentence}
    try:
        line = f"{event}: {sentence}" if os.isatty(2) else json.dumps(fields, ensure_ascii=False)
        content = line.encode()[: LOG_LINE_BYTES_MAX - 1] + b"\n"
        if select.select([], [2], [], 0)[1]:
            os.write(2, content)
    except OSError:
        pass  # stderr is closed: nobody listens, and that is no reason to stop watching


def seconds_now() -> float:
    """Return seconds on the clock that also counts suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
