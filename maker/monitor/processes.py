"""Whether the processes of a run are there, by run.json and the kernel: what a process says of itself is not asked.

A number is given again once its process is gone, so that it is kept together with the moment at which its process
began. A process that has ended and is not waited for yet (a zombie) is gone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs

from maker.launch.running import RUN_FILE, RUN_FILE_BYTES_MAX
from maker.monitor.observation import Life

PROC: Final = Path("/proc")


@attrs.frozen
class Process:
    """One process of a run; `began` in the kernel's ticks since boot, None: it was gone when first looked at."""

    pid: int
    began: str | None


def began(pid: int, proc: Path = PROC) -> str | None:
    """When a process began; None for one that is gone, or only waits to be waited for."""
    try:
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, began_ticks = fields[0], fields[19]  # proc(5): fields 3 and 22
    return None if state in ("Z", "X") else began_ticks


@attrs.define
class Processes:
    """Guard and maker of the last run that its folder told of."""

    folder: Path
    proc: Path = PROC
    guard: Process | None = None
    maker: Process | None = None

    def look(self) -> tuple[Life, Life]:
        """Return what is known of maker and guard, in this order, now."""
        fields = run_fields(self.folder)
        self.guard = self.told(fields.get("guard_pid"), self.guard)
        self.maker = self.told(fields.get("maker_pid"), self.maker)
        return self.life(self.maker), self.life(self.guard)

    def told(self, pid: Any, before: Process | None) -> Process | None:
        """Take what run.json names now; while it names nothing, the last one stays."""
        if not isinstance(pid, int) or (before is not None and before.pid == pid and before.began is not None):
            return before
        return Process(pid, began(pid, self.proc))

    def life(self, process: Process | None) -> Life:
        if process is None:
            return Life.UNKNOWN
        there = process.began is not None and began(process.pid, self.proc) == process.began
        return Life.ALIVE if there else Life.GONE


def run_fields(folder: Path) -> dict[str, Any]:
    """Return what run.json says; empty where there is none to be read."""
    try:
        with (folder / RUN_FILE).open("rb") as file:
            said = json.loads(file.read(RUN_FILE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
