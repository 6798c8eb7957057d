"""What became of our ladders and how soon the exchange answered; and how many requests all of it took.

Latencies are of the maker's own clock, from the first byte of a ladder to its answer. A percentile is a latency that
was measured: the smallest that so many of all latencies do not exceed (nearest rank).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from maker.report.halts import Halts
from maker.report.reading import Reader, damaged, text, whole
from maker.report.runs import Runs, Window
from maker.report.since import DAY_MS

MINUTE_MS: Final = 60_000
PERCENTILES: Final = (50, 90, 99, 100)
OUTCOMES: Final = (
    "SELECT run_id, at_unix_ms, market, outcome, answer_seconds FROM ladder_outcomes "
    "WHERE rowid BETWEEN :low AND :high ORDER BY rowid"
)
# The last row of each minute, rows before the window apart from those in it.
REQUESTS: Final = (
    "SELECT max(rowid), run_id, at_unix_ms, spent, throttles, limit_per_minute FROM requests "
    "WHERE rowid BETWEEN :low AND :high GROUP BY run_id, at_unix_ms / 60000, at_unix_ms >= :since ORDER BY 1"
)


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Nearest rank among figures in order; None: there are none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@attrs.frozen
class Latency:
    """One kind of latency, seconds."""

    count: int
    percentiles: tuple[float | None, ...]  # as PERCENTILES

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency:
        ordered = sorted(seconds)
        return cls(len(ordered), tuple(percentile(ordered, percent) for percent in PERCENTILES))


@attrs.define
class Ladders:
    """Every ladder whose outcome is known."""

    outcomes: dict[tuple[str, str], int] = attrs.field(factory=dict)  # (market, outcome) -> how many
    seconds: dict[str, array[float]] = attrs.field(factory=dict)  # market -> until the answer

    @property
    def markets(self) -> list[str]:
        return sorted({market for market, _ in self.outcomes})

    def count(self, outcome: str | None, market: str | None = None) -> int:
        """Ladders of one outcome, or (None) of any; of one market, or of all."""
        return sum(
            many for (name, kind), many in self.outcomes.items() if outcome in (None, kind) and market in (None, name)
        )


def read_ladders(reader: Reader, window: Window, runs: Runs, halts: Halts) -> Ladders:
    """Read what became of each ladder within the window, and tell `halts` of those applied. Raises Unreadable."""
    found = Ladders()
    for page in reader.pages("ladder_outcomes", OUTCOMES):
        for run_id, at_ms, market, outcome, seconds in page:
            run = runs.seen(run_id, at_ms, "ladder_outcomes")
            run.rows["ladders"] = run.rows.get("ladders", 0) + 1
            if outcome == "applied":
                halts.applied(run_id, at_ms)
            if at_ms < window.since_ms:
                continue
            key = text(market, "ladder_outcomes"), text(outcome, "ladder_outcomes")
            found.outcomes[key] = found.outcomes.get(key, 0) + 1
            if seconds is not None:
                if not isinstance(seconds, float):
                    raise damaged("ladder_outcomes", seconds)
                found.seconds.setdefault(market, array("d")).append(seconds)
    return found


@attrs.define
class Requests:
    """Order-path requests, ladders and cancels, as the maker counted them."""

    minutes: dict[int, int] = attrs.field(factory=dict)  # begin of a minute, ms of UTC -> requests
    throttles: int = 0  # answered 429
    limit_per_minute: int | None = None  # as last stated; None: not recorded

    @property
    def total(self) -> int:
        return sum(self.minutes.values())

    @property
    def busiest(self) -> tuple[int, int] | None:
        """(begin of the minute, requests) of the busiest one; None: there were none."""
        return max(self.minutes.items(), key=lambda one: (one[1], -one[0]), default=None)

    def by_day(self) -> dict[int, int]:
        days: dict[int, int] = {}
        for minute, many in sorted(self.minutes.items()):
            day = minute // DAY_MS * DAY_MS
            days[day] = days.get(day, 0) + many
        return days


def read_requests(reader: Reader, window: Window, runs: Runs) -> Requests:
    """Read the requests spent within the window, minute by minute. Raises Unreadable."""
    found = Requests()
    latest: dict[str, tuple[int, int]] = {}
    for page in reader.pages("requests", REQUESTS):
        for _, run_id, at_ms, spent, throttles, limit in page:
            run = runs.seen(run_id, at_ms, "requests")
            run.rows["requests"] = run.rows.get("requests", 0) + 1
            before = latest.get(run_id, (0, 0))
            latest[run_id] = whole(spent, "requests"), whole(throttles, "requests")
            if at_ms < window.since_ms:
                continue
            minute = at_ms // MINUTE_MS * MINUTE_MS
            found.minutes[minute] = found.minutes.get(minute, 0) + latest[run_id][0] - before[0]
            found.throttles += latest[run_id][1] - before[1]
            found.limit_per_minute = whole(limit, "requests")
    return found
