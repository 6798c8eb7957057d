"""What a run says of itself in `run.json`, for whoever comes from outside: where the practice exchange listens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from maker.launch.lock import alive

LOSSES_FILE = "losses.json"  # in the state folder: what the runs have lost so far (`maker.app.losses`)
MONITOR_SOCKET = "monitor.sock"  # in the state folder: where the maker tells the monitor what it does
RUN_FILE = "run.json"
RUN_FILE_BYTES_MAX = 1 << 16  # it has 300


class Practice(NamedTuple):
    """A practice exchange that is there."""

    url: str
    pid: int
    reference_url: str

    @property
    def has_ended(self) -> bool:
        """Whether it has gone since, and whatever rested on it."""
        return not alive(self.pid)


def practice(folder: Path) -> Practice | None:
    """Return the practice exchange of the run in this state folder; None: there is none. A killed run leaves a file."""
    try:
        with (folder / RUN_FILE).open("rb") as file:
            said = json.loads(file.read(RUN_FILE_BYTES_MAX))
        found = Practice(str(said["venue_url"]), int(said["venue_pid"]), str(said["reference_url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if found.has_ended else found


def keys_in_use(folder: Path) -> tuple[str, ...] | None:
    """Return the ids of the keys that a run in this state folder quotes with, or may: two while one is changed.

    Empty: it runs with one that nobody knows. None: no run is alive.
    """
    try:
        with (folder / RUN_FILE).open("rb") as file:
            said = json.loads(file.read(RUN_FILE_BYTES_MAX))
        pids = (said["guard_pid"], said["maker_pid"])
        known = (said.get("key_id"), said.get("next_key_id"))
        return tuple(str(one) for one in known if one) if any(alive(pid) for pid in pids) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def none_runs(folder: Path) -> str:
    """Say that there is none, as a sentence."""
    return f"No practice exchange is running for this configuration (by {folder / RUN_FILE}): nothing can rest."
