"""Circuit breakers on money: losses, and fills that come faster than a market may trade.

Losses are counted against the best moment of the run (a drawdown is a loss even after a good morning) and against the
start of the exchange's day, or of the run where that is later. Fills are counted as Deribit's market-maker protection
counts them: the size traded on either side within an interval, by the exchange's own time, so that a late report of old
fills is no burst.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import attrs

from maker.desk.deadman import Reason
from maker.desk.events import Fill
from maker.desk.risk import AccountLimits

DAY_MS = 86_400_000  # of the exchange's clock: its days are UTC's


@attrs.define
class Losses:
    """The account's profit since the start, its best moment, and where it stood when the day began; quote currency."""

    limits: AccountLimits
    peak: Decimal = Decimal(0)
    day: int | None = None  # days since 1970; None: the exchange has not told the time yet
    day_start: Decimal = Decimal(0)

    def judge(self, profit: Decimal, exchange_ms: int | None) -> tuple[Reason, str] | None:
        """Take the profit as it is now; the reason to stop when it is one."""
        day = None if exchange_ms is None else exchange_ms // DAY_MS
        if day is not None and (self.day is None or day > self.day):
            if self.day is not None:
                self.day_start = profit
            self.day = day
        self.peak = max(self.peak, profit)
        fallen = self.peak - profit
        if fallen > self.limits.drawdown_max:
            return Reason.DRAWDOWN, f"{fallen:.2f} below its best, drawdown_max is {self.limits.drawdown_max}"
        lost = self.day_start - profit
        if lost > self.limits.daily_loss_max:
            return Reason.DAILY_LOSS, f"{lost:.2f} lost, daily_loss_max is {self.limits.daily_loss_max}"
        return None


@attrs.define
class Burst:
    """What one market traded lately."""

    seconds: float
    lots_max: int
    fills: deque[tuple[int, int]] = attrs.field(factory=deque)  # exchange's unix ms, lots
    lots: int = 0  # sum of the above

    def add(self, fill: Fill) -> None:
        """Count a fill; forget those an interval older than the newest."""
        self.fills.append((fill.at_ms, fill.lots))
        self.lots += fill.lots
        newest = max(at_ms for at_ms, _ in self.fills)
        kept = deque((at_ms, lots) for at_ms, lots in self.fills if at_ms > newest - self.seconds * 1000)
        if len(kept) != len(self.fills):
            self.fills, self.lots = kept, sum(lots for _, lots in kept)

    @property
    def exceeded(self) -> bool:
        return self.lots > self.lots_max
