"""How late a venue's quotes reach us, beyond what is usual: the time that the venue states against our own clock.

The two clocks need not agree. What is compared is the difference between them, with the least of the last minutes: a
backlog in our own sockets or on the way makes quotes that arrive all the time older and older, and nothing else shows
it. A venue whose clock is set back looks late for as long as that least is remembered, LEAST_SECONDS at the most.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

LEAST_SECONDS: Final = 600.0  # the least difference is remembered for half as long at least, and this at the most
HOLD_SECONDS: Final = 5.0  # without another quote the last one's lateness is forgotten: nothing waits any more


@attrs.define
class Lag:
    """One venue's."""

    seconds: float = 0.0  # of the last quote that stated its time
    at: float = -math.inf  # when that came, our clock
    least: float = math.inf  # of the differences since `turned_at` ...
    least_before: float = math.inf  # ... and of as long before
    turned_at: float = -math.inf

    def quoted(self, stated_at: float | None, now: float) -> None:
        """Take the time that a quote states, unix seconds by the venue's clock; `now` by our own, whatever its zero."""
        if stated_at is None:
            return
        difference = now - stated_at
        if not 0 <= now - self.turned_at < LEAST_SECONDS / 2:
            is_long_ago = not 0 <= now - self.turned_at < LEAST_SECONDS
            self.least_before = math.inf if is_long_ago else self.least
            self.least, self.turned_at = math.inf, now
        self.least = min(self.least, difference)
        self.seconds, self.at = difference - min(self.least, self.least_before), now

    def left(self, now: float) -> float:
        """Seconds that our last price is older than its arrival says."""
        return self.seconds if now - self.at <= HOLD_SECONDS else 0.0
