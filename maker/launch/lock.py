"""One writer: locks on the state folder and on the account, and what the runs before left behind in the folder.

A lock lives as long as any process holds its descriptor: the maker inherits it, so that it outlives a killed parent
while the maker unwinds. The file says who holds it and whether that run is ending; one that is gets waited for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from maker.launch import latch
from maker.launch.settings import ParentSettings

LOCK_FOLDERS = ("/run/lock", tempfile.gettempdir())  # of this machine, for every user: the first that can be used
POLL_SECONDS = 0.1
ORPHAN_SECONDS_MAX = 30.0  # a maker whose parent is gone has unwound within 15
STATE_LOCK = "maker.lock"  # in the state folder
CRASHES = "crashes"  # in the state folder: unix time of each death of a maker, a line each
CRASH_BYTES_MAX = 1 << 16
BACKOFF_SECONDS_MAX = 60.0


class Taken(Exception):
    """Somebody else holds the lock and goes on holding it; the message is one sentence."""


class Lock:
    """A held lock; `ending` tells whoever comes next that waiting helps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = open_shared(path)

    def hold(self, what: str, give_up_seconds: float, told: Callable[[], bool], say: Callable[[str], object]) -> None:
        """Take the lock; wait for a run that is ending. Raises Taken, also when `told` to stop, and OSError."""
        began, said = time.monotonic(), False
        while not self.attempt():
            state = self.holder()
            orphan = not alive(state.get("pid"))
            patience = ORPHAN_SECONDS_MAX if orphan else give_up_seconds if state.get("ending") else 0.0
            if time.monotonic() - began >= patience:
                raise Taken(f"another maker is running, or still unwinding, {what}: stop it first.")
            if told():
                raise Taken("stopped by a signal before anything was placed.")
            if not said:
                say(f"an earlier run {what} is still pulling its quotes: waiting for it.")
                said = True
            time.sleep(POLL_SECONDS)
        self.describe(ending=False, started=False)

    def attempt(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def holder(self) -> dict[str, object]:
        return holder(self.path)

    def describe(self, *, ending: bool, started: bool = True) -> None:
        """Write who holds it, and whether a maker of his was started; one that somebody else owns stays as it is."""
        with contextlib.suppress(OSError):
            self.path.write_text(json.dumps({"pid": os.getpid(), "ending": ending, "started": started}) + "\n")


def holder(path: Path) -> dict[str, object]:
    """Return what a lock's file says of who holds it, or held it last; nothing where there is no such file."""
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(path.read_bytes())
        return said if isinstance(said, dict) else {}
    return {}


def open_shared(path: Path) -> int:
    """Open or make a lock file; one of another user is opened for reading, which is enough to lock. Raises OSError."""
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            if flags == os.O_RDONLY or problem.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM):
                raise
    raise AssertionError("the last way either opens or raises")


def account_lock(wanted: ParentSettings) -> Lock:
    """Open the lock of a live account: one writer on this machine, whatever its state folder. Raises OSError."""
    problem: OSError | None = None
    for path in account_paths(wanted):
        try:
            return Lock(path)
        except OSError as error:
            problem = error
    assert problem is not None
    raise problem


def account_paths(wanted: ParentSettings) -> list[Path]:
    """Return where the lock of a live account may be, the best place first."""
    name = hashlib.sha256(f"{wanted.base_url}\n{wanted.account}".encode()).hexdigest()[:16]
    return [Path(folder) / f"maker-{name}.lock" for folder in LOCK_FOLDERS]


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock now. Makes no file and takes nothing from anybody. Raises OSError.

    A start in this very moment may find it shared by us for microseconds: it tries again, since the holder that the
    file names is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def alive(pid: object) -> bool:
    """Whether a process of this number runs; it may be another one by now, which only costs waiting less."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return True
    return os.path.exists(f"/proc/{pid}")


# -- crashes ------------------------------------------------------------------------------------------------------


def crashes(folder: Path, window_seconds: float) -> int:
    """Count the deaths of the last so many seconds."""
    with contextlib.suppress(OSError):
        with (folder / CRASHES).open("rb") as file:
            lines = file.read(CRASH_BYTES_MAX).split()
        times = [float(line) for line in lines if line.replace(b".", b"", 1).isdigit()]
        return sum(1 for at in times if time.time() - at < window_seconds)
    return 0


def crashed(folder: Path, wanted: ParentSettings) -> None:
    """Note a death; too many in a short time latch. Raises OSError."""
    window = wanted.guard.crash_window_seconds
    with (folder / CRASHES).open("a", encoding="ascii") as file:
        file.write(f"{time.time():.3f}\n")
    count = crashes(folder, window)
    if count >= wanted.guard.crashes_max:
        latch.write(folder, "crash loop", f"the maker died {count} times within {window:g} s: find out why")


def backoff_seconds(folder: Path, window_seconds: float) -> float:
    """How long to wait before starting again after deaths: nothing after the first, then 2, 4, 8 … s."""
    count = crashes(folder, window_seconds)
    return 0.0 if count < 2 else min(2.0 ** (count - 1), BACKOFF_SECONDS_MAX)
