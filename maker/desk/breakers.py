"""Circuit breakers on money: losses, and fills that come faster than a market may trade.

Losses are counted against the best moment (a drawdown is a loss even after a good morning) and against the start of the
exchange's day. Both outlive the run: what was lost so far is kept in a file, or a maker that crashes and comes back
would begin every time with a whole allowance. A run begins with what the one before it had lost. Between two runs a
fall of the account's equity counts as lost too, whatever caused it, money taken out included, as it does within a run;
a rise does not count, so that a deposit buys no new allowance; within a run neither does what comes in beyond any
funding (`maker.desk.balances`). `clear` forgets all of it.

One reading of a mark that no fair value confirms is neither a loss nor a best moment: of what the profit can be, by it
and by the reading before, the nearest to what it was is judged. A crash is seen with the next reading all the same.

While some position cannot be valued surely, a loss is judged that is certain: one beyond the limits whatever of the
known prices that position is worth. Such a profit is an estimate, so it is no best moment and begins no day.

Fills are counted as Deribit's market-maker protection counts them: size and value traded on both sides within an
interval, by the exchange's own time, so that a late report of old fills is no burst. Beyond either the market is pulled
and frozen for a time, or until a person clears it. Too many fills on one side always wait for a person (RTS 6 15(3)).
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import attrs

from maker.desk.deadman import Reason
from maker.desk.events import Fill
from maker.desk.risk import AccountLimits, Limits
from maker.desk.units import Grid, Side

DAY_MS = 86_400_000  # of the exchange's clock: its days are UTC's


@attrs.frozen
class Lost:
    """What of a run's losses outlives it; quote currency."""

    equity: Decimal  # of the account when this was counted: balance and positions at mark
    fallen: Decimal  # below the best moment, never negative
    day: int | None  # days since 1970 of the exchange's clock; None: it had not told the time
    today: Decimal  # lost since that day began; negative: won


@attrs.define
class Losses:
    """The account's profit since the start, its best moment, and where it stood when the day began; quote currency."""

    limits: AccountLimits
    peak: Decimal = Decimal(0)
    day: int | None = None  # days since 1970; None: the exchange has not told the time yet
    day_start: Decimal = Decimal(0)
    profit: Decimal = Decimal(0)  # as last judged
    before: Lost | None = None  # of the run before, not counted in yet: that needs our equity now
    counted: Lost | None = None  # as of the last judgement

    def restore(self, before: Lost) -> None:
        """Begin with what an earlier run had lost. To be called before the first judgement."""
        assert self.counted is None, "restored after profits were judged"
        self.before = before

    def snapshot(self) -> Lost | None:
        """What is to be kept for the next run; None before anything was judged."""
        return self.counted

    def nearest(self, least: Decimal, most: Decimal, equity_start: Decimal) -> Decimal:
        """Of what the profit can be now, the nearest to what it was."""
        was = self.profit if self.before is None else self.before.equity - equity_start
        return max(least, min(most, was))

    def judge(
        self, profit: Decimal, exchange_ms: int | None, equity_start: Decimal = Decimal(0)
    ) -> tuple[Reason, str] | None:
        """Take the profit as it is now; the reason to stop when it is one. `equity_start`: of the account, quote."""
        self.profit, equity = profit, equity_start + profit
        if self.before is not None:
            self.carry(self.before, profit, equity)
        day = None if exchange_ms is None else exchange_ms // DAY_MS
        if day is not None and (self.day is None or day > self.day):
            if self.day is not None:
                self.day_start = profit
            self.day = day
        self.peak = max(self.peak, profit)
        fallen, lost = self.peak - profit, self.day_start - profit
        self.counted = Lost(equity, fallen, self.day, lost)
        return self.beyond(fallen, lost)

    def certain(self, most: Decimal, exchange_ms: int | None) -> tuple[Reason, str] | None:
        """Judge by the most that the profit can be while it is not known: the reason to stop, if even that is one.

        Nothing is noted. Before a first judgement, or where a day began since the last one, what that would be compared
        with is not known.
        """
        if self.counted is None:
            return None
        day_began = self.day is not None and exchange_ms is not None and exchange_ms // DAY_MS > self.day
        found = self.beyond(self.peak - most, Decimal(0) if day_began else self.day_start - most)
        return None if found is None else (found[0], f"at least {found[1]}")

    def beyond(self, fallen: Decimal, lost: Decimal) -> tuple[Reason, str] | None:
        """The limit that is broken by so much, quote, below the best moment and lost today."""
        if fallen > self.limits.drawdown_max:
            return Reason.DRAWDOWN, f"{fallen:.2f} below its best, drawdown_max is {self.limits.drawdown_max}"
        if lost > self.limits.daily_loss_max:
            return Reason.DAILY_LOSS, f"{lost:.2f} lost, daily_loss_max is {self.limits.daily_loss_max}"
        return None

    def paid_in(self, amount: Decimal) -> None:
        """Money was paid in since the start: it is in `equity_start` from now on. It hides no loss between two runs."""
        if self.before is not None:
            self.before = attrs.evolve(self.before, equity=self.before.equity + amount)

    def carry(self, before: Lost, profit: Decimal, equity: Decimal) -> None:
        """Count in the run before, and what the account lost between the two."""
        between = max(Decimal(0), before.equity - equity)
        self.peak = profit + before.fallen + between
        self.day, self.day_start = before.day, profit + before.today + between
        self.before = None


@attrs.frozen
class Executed:
    """One fill as a burst counts it."""

    at_ms: int  # exchange's unix time
    told_at: float  # our clock
    side: Side
    lots: int
    value: Decimal  # quote


@attrs.define
class Burst:
    """What one market traded lately, and until when it is frozen for that."""

    grid: Grid
    limits: Limits
    fills: deque[Executed] = attrs.field(factory=deque)
    lots: int = 0  # sums of the above
    value: Decimal = Decimal(0)
    counts: dict[Side, int] = attrs.field(factory=lambda: dict.fromkeys(Side, 0))
    frozen_until: float = 0.0  # our clock
    froze: str = ""  # what for

    def add(self, fill: Fill, exchange_ms: int | None, now: float) -> None:
        """Count a fill; forget those an interval older than the newest.

        None is later than `exchange_ms`, the exchange's time as it told the fill (None: it has not told the time): one
        stamped ahead, or stamped before the exchange set its clock back, would keep all that follow from counting.
        """
        value = self.grid.notional(fill.ticks, fill.lots)
        self.fills.append(Executed(fill.at_ms, now, fill.side, fill.lots, value))
        latest_ms = fill.at_ms if exchange_ms is None else exchange_ms
        self.fills = deque(attrs.evolve(one, at_ms=min(one.at_ms, latest_ms)) for one in self.fills)
        self.forget(now)

    def forget(self, now: float) -> None:
        """Count no more what is an interval old: what was told then was traded before, whatever its stamp says.

        Also without another fill: limits that a reload tightens are for what is traded by now, not for hours ago.
        """
        seconds = self.limits.burst_seconds
        fills = [one for one in self.fills if now - one.told_at < seconds]
        oldest_ms = max((one.at_ms for one in fills), default=0) - seconds * 1000
        self.count(deque(one for one in fills if one.at_ms > oldest_ms))

    def count(self, fills: deque[Executed]) -> None:
        self.fills = fills
        self.lots = sum(one.lots for one in fills)
        self.value = sum((one.value for one in fills), Decimal(0))
        self.counts = {side: sum(one.side is side for one in fills) for side in Side}

    def exceeded(self, now: float) -> tuple[Reason, str] | None:
        """The reason to pull when too much was traded, with what was; None when it was not."""
        if self.fills:
            self.forget(now)
        limits, within = self.limits, f"within {self.limits.burst_seconds:g} s"
        for side, count in self.counts.items():
            if count > limits.burst_fills_max:
                what = f"{count} fills on the {side.value} side {within}, burst_fills_max is {limits.burst_fills_max}"
                return Reason.REPEATED_EXECUTION, what
        if self.grid.size.value(self.lots) > limits.burst_size_max:
            what = f"{self.grid.size.text(self.lots)} {within}, burst_size_max is {limits.burst_size_max}"
        elif self.value > limits.burst_value_max:
            what = f"a value of {self.value:.2f} {within}, burst_value_max is {limits.burst_value_max}"
        else:
            return None
        return (Reason.BURST if limits.burst_freeze_seconds else Reason.REPEATED_EXECUTION), what

    def freeze(self, what: str, now: float) -> None:
        """Freeze for the time configured, and count anew from nothing."""
        self.frozen_until, self.froze = now + self.limits.burst_freeze_seconds, what
        self.count(deque())

    def frozen(self, now: float) -> str:
        """Why the market is frozen, as a sentence; empty when it is not."""
        if now >= self.frozen_until:
            return ""
        return f"it traded too much ({self.froze}); frozen for another {self.frozen_until - now:.0f} s"
