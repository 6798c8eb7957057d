"""The venue's state on disk: a checkpoint of everything, and a log of what happened since.

A checkpoint takes from a millisecond (a fresh exchange) to some tens (full histories), too long to write before each
answer. But a marketplace is decided by what happened to it, so a line in a log before each call and each step says as
much, in microseconds, and a restart makes the same calls and steps again: nothing that was answered is lost when the
process dies. Lines are handed to the kernel, not forced to the disk: they survive the process, not the machine.

    FILE              {"generation": g, "settings": …, "marketplace": …}, replaced as a whole
    FILE.<g>.log      what happened after checkpoint g:  {"step": n} | {"shift": ms} | {"call": […]} | {"deed": […]}

A new checkpoint starts its log first, then takes FILE's place; a process that dies between the two leaves both logs,
and the second goes on where the first ends.
"""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from maker.errors import StartRefused
from maker.paper import deeds
from maker.paper.deeds import Deed
from maker.paper.marketplace import Marketplace
from maker.paper.order_path import Call, perform
from maker.paper.state import ExchangeSettings

FILE_MODE: Final = 0o600  # it holds digests of keys
SHOWN_CHARACTERS_MAX: Final = 80  # of a line that cannot be read


class StateUnusable(StartRefused):
    """A state file that this venue cannot go on from; the sentence says why and what to do."""


@attrs.define
class StateFile:
    """One venue's state file, locked against a second venue for as long as the process lives."""

    path: Path
    checkpointed: int = 0  # generation of the checkpoint on disk
    generation: int = 0  # of the newest log
    log: int | None = None  # descriptor of the log being written
    lock: int | None = None

    def log_path(self, generation: int) -> Path:
        """Return where the log after a checkpoint is."""
        return self.path.with_name(f"{self.path.name}.{generation}.log")

    def load(self, settings: ExchangeSettings, preset: str) -> Marketplace | None:
        """Go on from what the file says, None where there is none; raises StateUnusable and lets go of the file."""
        with ExitStack() as undo:
            undo.callback(self.close)
            self._take_lock()
            place = self._load(settings, preset)
            undo.pop_all()
            return place

    def _load(self, settings: ExchangeSettings, preset: str) -> Marketplace | None:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            for stale in self.path.parent.glob(f"{glob.escape(self.path.name)}.[0-9]*.log"):
                stale.unlink()  # of a checkpoint that was moved away
            return None
        try:
            written: dict[str, Any] = msgspec.json.decode(data)
            self.checkpointed = self.generation = written["generation"]
            place = Marketplace.restore(settings, written["marketplace"], preset=preset)
            entries = self._entries()
        except (ValueError, KeyError, TypeError) as error:
            sentence = f"{self.path} is not a state this venue can go on from ({error}); move it away to start anew"
            raise StateUnusable(sentence) from error
        if entries and written["settings"] != fingerprint(settings):
            raise StateUnusable(
                f"{self.path} was left by a venue that died under other settings; start once with the old ones, "
                "or move it away to start anew"
            )
        for entry in entries:
            replay(place, entry)
        return place

    def _take_lock(self) -> None:
        self.lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_WRONLY | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateUnusable(f"{self.path} is in use by another venue") from error

    def _entries(self) -> list[dict[str, Any]]:
        """Read the logs since the checkpoint; a last line cut short was of something that never happened."""
        entries: list[dict[str, Any]] = []
        self.generation -= 1
        while (name := self.log_path(self.generation + 1)).exists():
            self.generation += 1
            entries += [msgspec.json.decode(line) for line in name.read_bytes().split(b"\n")[:-1]]
        self.generation = max(self.generation, self.checkpointed)
        return entries

    def note_step(self, number: int) -> None:
        """Log a step that is about to be made."""
        self._append({"step": number})

    def note_shift(self, later_ms: int) -> None:
        """Log that all coming steps are put off."""
        self._append({"shift": later_ms})

    def note_call(self, call: Call) -> None:
        """Log a call that is about to be performed."""
        self._append({"call": [call.user_id, call.path, call.body.decode("latin-1"), call.now_ms]})

    def note_deed(self, deed: Deed) -> None:
        """Log a deed that is about to be done."""
        self._append({"deed": [deed.kind, deed.now_ms, dict(deed.fields)]})

    def _append(self, entry: dict[str, object]) -> None:
        if self.log is not None:
            data = msgspec.json.encode(entry) + b"\n"
            while data:
                data = data[os.write(self.log, data) :]

    def begin(self, place: Marketplace) -> Callable[[], None]:
        """Start the next generation's log, and return what writes its checkpoint: safe to call in a thread.

        What happens from here on goes into the new log, so the checkpoint may be written while the venue goes on.
        """
        generation = self.generation + 1
        data = msgspec.json.encode(
            {
                "generation": generation,
                "settings": fingerprint(place.exchange.settings),
                "marketplace": place.snapshot(),
            }
        )
        self._open_log(generation)
        self.generation = generation

        def write() -> None:
            replace_file(self.path, data)
            for old in range(self.checkpointed, generation):
                self.log_path(old).unlink(missing_ok=True)
            self.checkpointed = generation

        return write

    def _open_log(self, generation: int) -> None:
        if self.log is not None:
            os.close(self.log)
        self.log = os.open(self.log_path(generation), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, FILE_MODE)

    def close(self) -> None:
        """Close the log and give the lock back."""
        for descriptor in (self.log, self.lock):
            if descriptor is not None:
                os.close(descriptor)
        self.log = self.lock = None


def fingerprint(settings: ExchangeSettings) -> dict[str, object]:
    """Return what decides how calls are performed, for comparison."""
    return {name: str(value) for name, value in attrs.asdict(settings, recurse=False).items()}


def replay(place: Marketplace, entry: dict[str, Any]) -> None:
    """Let one logged thing happen again; raises StateUnusable where the log does not fit the state."""
    match entry:
        case {"step": int() as number}:
            if number != place.steps:
                raise StateUnusable(f"the state's log has step {number} where step {place.steps} is due")
            place.step()
        case {"shift": int() as later_ms}:
            place.shift(later_ms)
        case {"call": [str() as user_id, str() as path, str() as body, int() as now_ms]}:
            perform(place, Call(user_id, path, body.encode("latin-1"), now_ms))
        case {"deed": [str() as kind, int() as now_ms, dict() as fields]}:
            with suppress(ValueError):  # there was no room for it then either
                deeds.do(place, Deed(kind, now_ms, fields))
        case _:
            raise StateUnusable(f"the state's log has a line of no known kind: {str(entry)[:SHOWN_CHARACTERS_MAX]}")


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside it, forced to the disk, renamed over it."""
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
