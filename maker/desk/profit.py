"""Where the profit came from, and what each fill was worth a little later.

Two books tell what a market earned. One looks at what is there: cash, and the position at the exchange's mark. The
other, kept here, looks at what happened and never at the first:

    a fill of q (signed, base) at price p, fair value f, mark m    spread += q(f - p), inventory += q(m - f), fees
    a new mark                                                     inventory += position x (new mark - old mark)
    funding learnt                                                 funding

Summed over all that happened this is the change of equity, term by term, so the two are compared after each fact that
changes either. All of it is exact (see `units.exact`): a difference in the last digit is an error of ours.

A markout is what a fill was worth at the fair value so many seconds later. Takers who know more show as markouts that
fall with the horizon, however good the spread looked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs

from maker.desk.events import Fill, MarketSpec
from maker.desk.units import BPS, SUBTICKS, Grid, Side, exact

HORIZONS_SECONDS: Final = (1.0, 5.0, 30.0, 60.0)  # after a fill was booked, our clock
GRACE_SECONDS: Final = 1.0  # past a horizon: a fair value this late still counts, a later one is none
WAITING_FILLS_MAX: Final = 10_000  # a market and horizon: 160 fills/s for the longest horizon; 4 MB
UNTAKEN_MAX: Final = 10_000  # markouts that nobody has taken yet, as where there is no journal; the oldest are dropped
BPS_STEP: Final = Decimal("0.0001")  # markouts in basis points are rounded to this, half to even


@attrs.frozen
class BookedFill:
    """A fill, and what was known when it was booked."""

    fill: Fill
    booked_at: float = 0.0  # seconds of our clock
    quote_id: str = ""  # of the ladder that its order belonged to; empty: not known
    level: int = 0  # of that ladder's side, 1 innermost; 0: not known
    fair_subticks: int | None = None
    mark: Decimal | None = None  # quote per base


# -- attribution


@attrs.frozen
class Attribution:
    """What changed equity since the start, quote currency: gains positive, costs negative, so that they simply add."""

    spread: Decimal = Decimal(0)
    inventory: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)  # negative: paid
    funding: Decimal = Decimal(0)  # negative: paid; live an estimate, see DeskState.funding_paid
    fills_at_mark: int = 0  # fills whose spread was taken against the mark, for there was no fair value

    @property
    def total(self) -> Decimal:
        """The change of equity, if all is well."""
        with exact():
            return self.spread + self.inventory + self.fees + self.funding

    @property
    def text(self) -> str:
        """All of it as words for a log."""
        return (
            f"spread {self.spread:f}, inventory {self.inventory:f}, fees {self.fees:f}, funding {self.funding:f}:"
            f" together {self.total:f}"
        )


def summed(parts: Iterable[Attribution]) -> Attribution:
    """The attribution of an account from those of its markets."""
    total = Attribution()
    with exact():
        for part in parts:
            total = Attribution(
                total.spread + part.spread,
                total.inventory + part.inventory,
                total.fees + part.fees,
                total.funding + part.funding,
                total.fills_at_mark + part.fills_at_mark,
            )
    return total


@attrs.define
class AttributionBook:
    """One market's book of what happened. It means nothing before the first mark."""

    grid: Grid
    position_lots: int = 0  # signed: found at the start, and our fills since
    mark: Decimal | None = None
    spread: Decimal = Decimal(0)
    inventory: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)  # negative: paid
    fills_at_mark: int = 0
    unmarked_lots: int = 0  # signed, of fills from before the first mark: their spread lacks this much at that mark

    def begin(self, position_lots: int) -> None:
        """Take the position found at the start: it earns from the first mark on."""
        self.position_lots = position_lots

    def filled(self, booked: BookedFill, spec: MarketSpec) -> None:
        """Book a fill once, under the fees of this moment."""
        fill = booked.fill
        lots = fill.side.sign * fill.lots
        self.position_lots += lots
        with exact():
            self.fees -= self.grid.notional(fill.ticks, fill.lots) * spec.fee_bps(fill.liquidity) / BPS
            paid, size = self.grid.notional(fill.ticks, lots), self.grid.size.value(lots)
            if self.mark is None:
                self.fills_at_mark += 1
                self.unmarked_lots += lots
                self.spread -= paid
            elif booked.fair_subticks is None:
                self.fills_at_mark += 1
                self.spread += size * self.mark - paid
            else:
                fair = self.grid.subticks_price(booked.fair_subticks)
                self.spread += size * fair - paid
                self.inventory += size * (self.mark - fair)

    def marked(self, mark: Decimal) -> None:
        """Take the exchange's mark, quote per base."""
        with exact():
            if self.mark is None:
                self.spread += self.grid.size.value(self.unmarked_lots) * mark
                self.unmarked_lots = 0
            else:
                self.inventory += self.grid.size.value(self.position_lots) * (mark - self.mark)
        self.mark = mark

    def attribution(self, funding: Decimal = Decimal(0)) -> Attribution:
        """As it stands now; `funding` is the account's, where this market is the one to show it."""
        return Attribution(self.spread, self.inventory, self.fees, funding, self.fills_at_mark)


@attrs.define
class FundingBook:
    """Funding as each read of the balance shows it: what fills do not explain of the balance's change, summed."""

    received: Decimal = Decimal(0)  # since the start, quote; negative: paid
    balance: Decimal = Decimal(0)  # at the last read
    explained: Decimal = Decimal(0)  # at the last read: its change since the start, by fills
    judged: Decimal = Decimal(0)  # of `received`: looked through for money paid in

    def begin(self, balance: Decimal) -> None:
        """Take the balance found at the start."""
        self.balance = balance

    def read(self, balance: Decimal, explained: Decimal) -> None:
        """Take a later balance, and what fills explain of its change since the start."""
        with exact():
            self.received += (balance - self.balance) - (explained - self.explained)
        self.balance, self.explained = balance, explained

    def unjudged(self) -> Decimal:
        """What was received since this was asked last."""
        with exact():
            change = self.received - self.judged
        self.judged = self.received
        return change


# -- markouts


@attrs.frozen
class Markout:
    """What a fill was worth at a horizon: positive is good for us. None: there was no fair value then."""

    booked: BookedFill
    horizon_seconds: float
    quote: Decimal | None  # quote currency: side x size x (fair value then - price of the fill), before fees
    bps: Decimal | None  # of the price of the fill


@attrs.frozen
class MarkoutStatistics:
    """All markouts of one side, level and horizon."""

    side: Side
    level: int  # 1 innermost; 0: not known
    horizon_seconds: float
    count: int  # with a fair value
    missing: int  # without
    quote: Decimal  # sum
    bps_mean: Decimal | None  # over fills, not over sizes; None: count is 0


@attrs.define
class Tally:
    """The sums behind one MarkoutStatistics."""

    count: int = 0
    missing: int = 0
    quote: Decimal = Decimal(0)
    bps: Decimal = Decimal(0)

    @property
    def bps_mean(self) -> Decimal | None:
        """Mean over fills, to BPS_STEP."""
        return rounded(Fraction(self.bps) / self.count) if self.count else None


@attrs.define
class Markouts:
    """Fills of one market that wait for their horizons, and the figures of those that came."""

    grid: Grid
    horizons_seconds: tuple[float, ...] = HORIZONS_SECONDS
    waiting: tuple[deque[BookedFill], ...] = attrs.field(init=False)  # one a horizon, oldest first
    due_at: float = float("inf")  # our clock: nothing to look for before
    untaken: deque[Markout] = attrs.field(factory=lambda: deque(maxlen=UNTAKEN_MAX))
    tallies: dict[tuple[Side, int, float], Tally] = attrs.field(factory=dict)  # as many as a ladder has levels

    def __attrs_post_init__(self) -> None:
        self.waiting = tuple(deque() for _ in self.horizons_seconds)

    def add(self, booked: BookedFill) -> None:
        """Wait for a fill's horizons."""
        for horizon, waiting in zip(self.horizons_seconds, self.waiting, strict=True):
            if len(waiting) >= WAITING_FILLS_MAX:
                self.settle(waiting.popleft(), horizon, None)
            waiting.append(booked)
        self.plan()

    def look(self, since: float, now: float, fair_at: Callable[[float], int | None]) -> None:
        """Settle what has become due: to be called with each fact, before it changes anything.

        From `since`, the fact before, until `now` nothing changed, so `fair_at(t)` tells the fair value in subticks, or
        None, at any moment t between the two as it was known at that moment: a markout is of its horizon exactly,
        however late we are called. Where there was none at the horizon, the first within GRACE_SECONDS counts.
        """
        for horizon, waiting in zip(self.horizons_seconds, self.waiting, strict=True):
            while waiting and waiting[0].booked_at + horizon <= now:
                due_at = waiting[0].booked_at + horizon
                fair = fair_at(max(since, due_at))  # where there was none then, news must bring it
                if fair is None and now <= due_at + GRACE_SECONDS:
                    break
                self.settle(waiting.popleft(), horizon, fair)
        self.plan()

    def plan(self) -> None:
        heads = zip(self.horizons_seconds, self.waiting, strict=True)
        due = (waiting[0].booked_at + horizon for horizon, waiting in heads if waiting)
        self.due_at = min(due, default=float("inf"))

    def settle(self, booked: BookedFill, horizon: float, fair: int | None) -> None:
        markout = marked_out(self.grid, booked, horizon, fair)
        tally = self.tallies.setdefault((booked.fill.side, booked.level, horizon), Tally())
        if markout.quote is None or markout.bps is None:
            tally.missing += 1
        else:
            tally.count += 1
            with exact():
                tally.quote += markout.quote
                tally.bps += markout.bps
        self.untaken.append(markout)

    def take(self) -> list[Markout]:
        """Markouts settled since the last call."""
        taken = list(self.untaken)
        self.untaken.clear()
        return taken

    def statistics(self) -> tuple[MarkoutStatistics, ...]:
        """By side, level and horizon, in that order."""
        return tuple(
            MarkoutStatistics(*key, tally.count, tally.missing, tally.quote, tally.bps_mean)
            for key, tally in sorted(self.tallies.items(), key=lambda item: (item[0][0].value, *item[0][1:]))
        )


def marked_out(grid: Grid, booked: BookedFill, horizon: float, fair_subticks: int | None) -> Markout:
    """The markout of a fill at a fair value in subticks. A fill at no price has no basis points, so it has none."""
    fill = booked.fill
    if fair_subticks is None or fill.ticks <= 0:
        return Markout(booked, horizon, None, None)
    better = fill.side.sign * (fair_subticks - fill.ticks * SUBTICKS)  # subticks
    with exact():
        quote = grid.subticks_price(better) * grid.size.value(fill.lots)
    return Markout(booked, horizon, quote, rounded(Fraction(better * BPS, fill.ticks * SUBTICKS)))


def rounded(bps: Fraction) -> Decimal:
    """Basis points to BPS_STEP, half to even, however large."""
    with exact():
        return round(bps / Fraction(BPS_STEP)) * BPS_STEP
