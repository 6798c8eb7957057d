"""A small file, always whole, that holds the newest text put. A plain thread writes it: nobody waits for a disk.

Texts that are put faster than the disk takes them are passed over: only the newest counts. Each is written beside the
file, brought to the disk and moved into its place, so that at any crash point the file is one whole text that was put.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol


class Lasting(Protocol):
    """What the loop needs: somewhere to put a text, and to know when it does not arrive."""

    @property
    def failed(self) -> str:
        """Why the last text could not be written; empty when it was."""

    def put(self, text: str) -> None:
        """Keep this text instead of the last one. Never waits and never raises."""

    def close(self, deadline_seconds: float) -> bool:
        """Write what was put last, for at most so many seconds; return whether it has been kept."""


class LastingFile:
    """A file kept by a thread of its own, which ends with `close` or with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed = ""
        self.newest: str | None = None  # put and not yet taken by the writer
        self.is_closing = False
        self.changed = threading.Condition()
        self.writer = threading.Thread(target=self.write_until_closed, name="lasting", daemon=True)
        self.writer.start()

    def put(self, text: str) -> None:
        """Keep this text; see Lasting."""
        with self.changed:  # the writer holds it only to take a text, never while it writes
            self.newest = text
            self.changed.notify()

    def close(self, deadline_seconds: float) -> bool:
        """Write what was put last; see Lasting. Holds the calling thread: the last act of a run."""
        with self.changed:
            self.is_closing = True
            self.changed.notify()
        self.writer.join(deadline_seconds)
        return not self.writer.is_alive() and not self.failed

    def write_until_closed(self) -> None:
        """Write each newest text until told to close. The writer thread's whole life."""
        while True:
            with self.changed:
                while self.newest is None and not self.is_closing:
                    self.changed.wait()
                text, self.newest = self.newest, None
            if text is None:
                return
            self.failed = write_whole(self.path, text)


class DirectFile:
    """The same without a thread, for runs in virtual time: written when it is put."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed = ""

    def put(self, text: str) -> None:
        """Write this text now."""
        self.failed = write_whole(self.path, text)

    def close(self, _deadline_seconds: float) -> bool:
        """Return whether the last text has been kept."""
        return not self.failed


def write_whole(path: Path, text: str) -> str:
    """Replace a file's text, whole or not at all. Return why it could not be, empty when it was."""
    unfinished = path.with_name(f"{path.name}.new")
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as problem:
        return f"{path.name} cannot be written: {problem.strerror}"
    return ""
