"""What the monitor sees beside the run: disk and journal, looked at now and then."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from maker.monitor.conditions import Surroundings

LOOK_SECONDS: Final = 10.0  # two system calls; a disk fills slowly
JOURNAL_FILES: Final = ("journal.sqlite", "journal.sqlite-wal")


@attrs.define
class Surveyor:
    """Looks at a state folder, at most every LOOK_SECONDS; `wall` gives unix seconds, as the file system does."""

    state_folder: Path
    wall: Callable[[], float]
    looked_at: float = -math.inf
    disk_free_bytes: int | None = None
    written_at: float | None = None

    def look(self) -> Surroundings:
        """Say what was seen last."""
        now = self.wall()
        if not 0 <= now - self.looked_at < LOOK_SECONDS:
            self.looked_at = now
            self.disk_free_bytes = disk_free_bytes(self.state_folder)
            self.written_at = written_at(self.state_folder)
        age = None if self.written_at is None else max(0.0, now - self.written_at)
        return Surroundings(self.disk_free_bytes, age)


def disk_free_bytes(folder: Path) -> int | None:
    """What a user without privileges may still write there; None: it cannot be told."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def written_at(folder: Path) -> float | None:
    """When the journal was last written to, unix seconds; None: there is none."""
    moments = []
    for name in JOURNAL_FILES:
        try:
            moments.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(moments, default=None)
