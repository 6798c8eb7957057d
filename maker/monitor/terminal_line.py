"""Keeps the status line on the terminal that a run writes its log to.

The monitor draws it, of all processes: a terminal that was stopped (Ctrl-S, a dead connection) holds whoever writes to
it, and here nobody waits for that. Within the monitor it is a thread that waits, and only the latest line is kept for
it. Each drawing is one write: back to the line's begin, the line, the rest of the old one erased; no newline, so that
whoever logs erases it and writes there (`maker.launch.terminal`).
"""

from __future__ import annotations

import contextlib
import os
import threading

from maker.launch.terminal import ERASE

COLUMNS_DEFAULT = 80


class TerminalLine:
    """One terminal's line; `draw` never waits."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.line: str | None = None  # to be drawn
        self.is_writing = False
        self.is_over = False
        self.changed = threading.Condition()
        threading.Thread(target=self.draw_for_ever, name="status line", daemon=True).start()

    @property
    def columns(self) -> int:
        """How wide the terminal is now."""
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self.descriptor).columns or COLUMNS_DEFAULT
        return COLUMNS_DEFAULT

    def draw(self, line: str) -> None:
        """Draw this as soon as the terminal takes it, unless a later one comes before."""
        with self.changed:
            self.line = line
            self.changed.notify_all()

    def end(self, seconds: float) -> bool:
        """Take the line away, for good; wait for that so long at most, and say whether it was done."""
        with self.changed:
            self.is_over, self.line = True, ""
            self.changed.notify_all()
            return self.changed.wait_for(lambda: self.line is None and not self.is_writing, seconds)

    def draw_for_ever(self) -> None:
        """The thread's whole life."""
        while True:
            with self.changed:
                self.is_writing = False
                self.changed.notify_all()
                if self.is_over and self.line is None:
                    return
                self.changed.wait_for(lambda: self.line is not None)
                line, self.line, self.is_writing = self.line, None, True
            try:
                os.write(self.descriptor, f"{ERASE}{line}".encode())
            except OSError:  # the terminal is gone, or takes nothing now: the next line may fare better
                continue
