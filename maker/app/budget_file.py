"""What is left of the request budget, from one run to the next: a small file in the state folder.

A maker that was killed may have spent all of a window just before, and its guard's cancels came on top; CLOCK_BOOTTIME
may have begun anew. So what is left is put down about once a second, on the wall clock, where nobody waits for a disk.
A file that is missing, damaged, of an earlier program or from another clock says nothing, and then `Budget.recall`
assumes the worst: an exchange that states its limit in headers corrects that with its answer to the first sweep,
another is left alone for a window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from maker.app.record import Recorder
from maker.desk.budget import LIMIT_MAX, Budget, Left
from maker.edge.lasting import Lasting

BUDGET_FILE: Final = "budget.json"
KEEP_SECONDS: Final = 1.0  # between two texts: what is spent meanwhile is assumed after a kill -9
CLOSE_SECONDS_MAX: Final = 0.5  # for the last text, when the run is over
FILE_BYTES_MAX: Final = 4096  # ours has 250
NUMBER_MAX: Final = 1e12  # no time or count in it is as large


@attrs.define
class BudgetKeeper:
    """Keeps the budget of one run while it runs."""

    budget: Budget
    file: Lasting
    recorder: Recorder
    wall: Callable[[], float]
    kept_at: float = -math.inf  # our clock

    def look(self, now: float) -> None:
        """Put down what is left, now and then. A file that cannot be written is said, once."""
        if now - self.kept_at < KEEP_SECONDS:
            return
        self.kept_at = now
        self.file.put(spell(self.budget.left(now, self.wall())))
        if self.file.failed:
            self.recorder.state("budget", "not kept", f"{self.file.failed}: the next start would assume the worst")

    def close(self, now: float) -> None:
        """Put down the last of it: nothing is sent any more. Holds the loop for a moment at most: the run is over."""
        self.file.put(spell(self.budget.left(now, self.wall(), closed=True)))
        self.file.close(CLOSE_SECONDS_MAX)


def recall(folder: Path, budget: Budget, recorder: Recorder, now: float, unix_seconds: float) -> None:
    """Begin with what the last run left."""
    left = read(folder / BUDGET_FILE)
    budget.recall(left, now, unix_seconds)
    if left is None:
        sentence = "nobody knows what was spent before: no quotes before the exchange states it, or for a minute"
        recorder.info("budget", sentence)


def read(path: Path) -> Left | None:
    """Return what the last run left; None where nobody can say."""
    try:
        with path.open("rb") as file:
            return parse(file.read(FILE_BYTES_MAX))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def parse(data: bytes) -> Left:
    """Read the file's text. Raises ValueError, KeyError, TypeError or RecursionError for anything else."""
    said = json.loads(data)
    left = Left(**{field.name: said[field.name] for field in attrs.fields(Left)})
    counts: tuple[object, ...] = (left.limit, left.remaining, left.configured, left.learned or 0)
    times: tuple[object, ...] = (left.at, left.window_ends_at, left.throttled_until, left.pace, left.tokens)
    flag: object = left.closed
    typed = all(type(one) is int for one in counts) and all(type(one) in (int, float) for one in times)
    if not typed or not isinstance(flag, bool):
        raise TypeError("a figure of another type")
    if not all(math.isfinite(one) and abs(one) < NUMBER_MAX for one in attrs.astuple(left) if one is not None):
        raise ValueError("a figure that cannot be")
    limits = (left.limit, left.configured, 1 if left.learned is None else left.learned)
    if not (0 <= left.remaining <= left.limit and 0 < left.pace <= 1 and all(0 <= one <= LIMIT_MAX for one in limits)):
        raise ValueError("no budget was ever like this")
    return left


def spell(left: Left) -> str:
    """Write the file's text."""
    return json.dumps(attrs.asdict(left)) + "\n"
