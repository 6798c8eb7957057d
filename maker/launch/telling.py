"""Starting the process that tells people (`maker.monitor.tell`), for whoever has no monitor; and not telling too often.

What is told here are alerts that repeat: a service that is started again every few seconds, a watcher that looks again.
The first is told at once, the next after 5, 10, 20 … minutes, up to four hours, as the monitor's reminders are.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maker.launch.settings import PROJECT_FOLDER
from maker.launch.start import Process

VENV = PROJECT_FOLDER / ".venv"
MADE = VENV / "made"  # run.py's word that the packages are there
SENTENCE_CHARACTERS_MAX = 600  # of any alert; a line is below 4096 bytes, so written whole or not at all
REMIND_SECONDS = 300.0  # to the first reminder of what is critical; each later one after twice as long ...
REMIND_SECONDS_MAX = 14_400.0  # ... up to this
DOUBLINGS_MAX = 16
MEMORY_BYTES_MAX = 4096  # ours has 200
NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
SYSTEMDS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")  # meant for its owner


def wants_alerts(tree: Mapping[str, Any]) -> bool:
    """Whether a configuration quotes live and names somebody to tell."""
    alerts = tree.get("alerts")
    return tree.get("mode") == "live" and isinstance(alerts, dict) and bool(alerts.get("targets"))


def without_keys(tree: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment less what may trade or look, and what is meant for its owner alone."""
    tables = (tree.get(name) for name in ("exchange", "watch", "monitor"))
    hidden = {str(table.get("key_env")) for table in tables if isinstance(table, dict)}
    return {name: value for name, value in environment.items() if name not in hidden and name not in SYSTEMDS}


def interpreter() -> str:
    """A Python that has the packages: the project's own, or ours; empty: there is none."""
    own = VENV / "bin" / "python"
    if MADE.exists() and os.access(own, os.X_OK):
        return str(own)
    return sys.executable if importlib.util.find_spec("trio") is not None else ""


def start(python: str, configuration: Path, environment: Mapping[str, str]) -> Process:
    """Start it; what is to be told goes to its stdin, which is non-blocking. Raises OSError.

    From a thread with all signals blocked, which it inherits: whoever stops a whole service means its owner.
    """
    # vfork would hold every thread of ours until the program is loaded, from a disk that may hang: the
    # standard library documents this switch.
    subprocess._USE_VFORK = False  # type: ignore[misc]
    process = subprocess.Popen(
        [python, "-m", "maker", "tell", str(configuration)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=dict(environment),
    )
    assert process.stdin is not None  # it is the pipe asked for
    os.set_blocking(process.stdin.fileno(), False)
    return process


def line(name: str, severity: str, sentence: str) -> bytes:
    """Spell one alert as the process reads it."""
    fields = {"name": name, "severity": severity, "sentence": sentence[:SENTENCE_CHARACTERS_MAX]}
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n"


def remind_seconds(tellings: int) -> float:
    """From one telling to the next, after so many."""
    return float(min(REMIND_SECONDS_MAX, REMIND_SECONDS * 2 ** min(max(0, tellings - 1), DOUBLINGS_MAX)))


class Memory:
    """A small file that says what was told of ends with which code: over restarts. Unreadable: nothing was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before: dict[str, Any] = {}

    def take(self, exit_code: int, sentence: str, now: float) -> bool:
        """Whether it is to be told now (unix seconds); if so, that is noted.

        The same again: after ever longer. Other words with that code: not before the first of these pauses is over.
        """
        self.before = self.read()
        words, told = NUMBERS.sub("", sentence)[:SENTENCE_CHARACTERS_MAX], self.before.get(str(exit_code))
        tellings = 0
        if told is not None:
            since = now - told["told_at"]
            if 0 <= since < (remind_seconds(told["tellings"]) if told["words"] == words else REMIND_SECONDS):
                return False
            is_same = told["words"] == words and 0 <= since < 2 * REMIND_SECONDS_MAX
            tellings = told["tellings"] if is_same else 0
        self.write({**self.before, str(exit_code): {"words": words, "told_at": now, "tellings": tellings + 1}})
        return True

    def undo(self) -> None:
        """Nobody could be told: as before."""
        self.write(self.before)

    def forget(self) -> None:
        """What was the matter is over."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
                said = json.loads(file.read(MEMORY_BYTES_MAX))
            return {
                str(int(code)): {
                    "words": str(one["words"]),
                    "told_at": float(one["told_at"]),
                    "tellings": max(0, int(one["tellings"])),
                }
                for code, one in said.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return {}

    def write(self, fields: Mapping[str, Any]) -> None:
        """Write it, whole or not at all."""
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            try:
                unfinished.write_text(json.dumps(fields) + "\n", encoding="utf-8")
                unfinished.rename(self.path)
            finally:
                unfinished.unlink(missing_ok=True)
