"""The kill file: while it exists nothing quotes, and nothing starts, until a person removes it by `clear`.

Anybody may make it, `touch` included. It survives restarts: a limit that was broken at three stays broken at four.
"""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

KILL_FILE = "kill"
FILE_BYTES_MAX = 4096  # ours has 200 bytes; whatever else was put there is not read to its end
BY_HAND = "the kill file was put there by hand"


def read(folder: Path) -> str | None:
    """Return why nothing may quote, as a sentence; None: no kill file. One that cannot be read still counts.

    While there is none a look costs no descriptor: there may be none left.
    """
    path = f"{folder}/{KILL_FILE}"
    try:
        os.lstat(path)
        with open(path, "rb", opener=without_waiting) as file:
            said = json.loads(file.read(FILE_BYTES_MAX))
        return f"{said['sentence']} ({said['reason']}, {said['at']})"
    except FileNotFoundError:
        return BY_HAND if os.path.islink(path) else None  # a link to nowhere is somebody's doing all the same
    except OSError as problem:
        return f"the kill file cannot be read ({problem.strerror})"
    except (ValueError, KeyError, TypeError):
        return BY_HAND


def without_waiting(path: str, flags: int) -> int:
    """Open as `open` does, but wait for nobody to write into a pipe of that name."""
    return os.open(path, flags | os.O_NONBLOCK)


def write(folder: Path, reason: str, sentence: str) -> None:
    """Latch: make the file, whole or not at all, unless there is one: the first cause stays. Raises OSError."""
    fields = {"reason": reason, "sentence": sentence, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    unfinished = folder / f"{KILL_FILE}.{os.getpid()}"
    try:
        unfinished.write_text(json.dumps(fields) + "\n", encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, folder / KILL_FILE)
    finally:
        unfinished.unlink(missing_ok=True)


def clear(folder: Path) -> str | None:
    """Remove the file and return what it said; None: there was none. Raises OSError."""
    said = read(folder)
    (folder / KILL_FILE).unlink(missing_ok=True)
    return said
