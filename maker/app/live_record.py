"""What nobody remembers but onlookers ask for: when quotes were last pulled and why, and how long answers took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from maker.desk.deadman import Trip
from maker.edge.records import unix_ms

ANSWERS_MAX: Final = 256  # ladders: two minutes of the standard tier


@attrs.define
class LiveRecord:
    """One run's; `changed` is called whenever something happened that an onlooker should see at once."""

    answers: deque[float] = attrs.field(factory=lambda: deque(maxlen=ANSWERS_MAX))  # seconds, the latest last
    pulled_for: str = ""  # name of the reason of the last pull, as in the kill file; empty: there was none
    pulled_at: float | None = None  # unix seconds
    changed: Callable[[], None] = lambda: None

    def pulled(self, trip: Trip) -> None:
        """Cancel-all has left."""
        self.pulled_for, self.pulled_at = trip.reason.name.lower(), unix_ms() / 1000
        self.changed()

    def answered(self, seconds: float) -> None:
        """A ladder's answer came, so long after its first byte left."""
        self.answers.append(seconds)

    def percentiles(self) -> tuple[float, float] | tuple[None, None]:
        """The median and the 99th percentile of recent answers, seconds, by nearest rank; None: there was none."""
        if not self.answers:
            return None, None
        ranked = sorted(self.answers)
        return ranked[(len(ranked) - 1) // 2], ranked[-(len(ranked) // 100) - 1]
