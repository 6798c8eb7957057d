"""What one market is worth: cash, and the position at the exchange's mark; and the second book that must agree.

Everything is told relative to the start of the run, in quote currency, and exact (see `units.exact`). Nothing here
decides anything: losses are judged in `breakers`, for the whole account.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.desk.account import MarketAccount
from maker.desk.fair import FairValue, FairValueEstimator, NoFair, beyond
from maker.desk.profit import AttributionBook, BookedFill, Markouts
from maker.desk.risk import Limits
from maker.desk.units import BPS, exact

VALUED_SECONDS: Final = 5.0  # the last sure price may be the present one for so long; then the exchange has moved on


@attrs.define
class Worth:
    """One market's."""

    account: MarketAccount
    mark: Decimal | None = None
    mark_before: Decimal | None = None  # the reading before that
    mark_start: Decimal | None = None  # the first one seen
    valued: Decimal | None = None  # the last mark that we would quote by, whether there was a position or not ...
    valued_at: float = 0.0  # ... and when, our clock
    attribution: AttributionBook = attrs.field(init=False)
    markouts: Markouts = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.attribution = AttributionBook(self.account.spec.grid)
        self.markouts = Markouts(self.account.spec.grid)

    def filled(self, booked: BookedFill) -> None:
        """Book a fill once, under the fees of this moment."""
        self.attribution.filled(booked, self.account.spec)
        self.markouts.add(booked)

    def marked(self, mark: Decimal) -> None:
        """Take the exchange's mark."""
        self.mark_before, self.mark = self.mark, mark
        if self.mark_start is None:
            self.mark_start = mark
        self.attribution.marked(mark)

    @property
    def cash_from_flat(self) -> Decimal:
        """Cash since the start as if the position found then had been bought at the first mark, quote, fees paid."""
        with exact():
            start = self.account.spec.grid.size.value(self.account.position_start_lots)
            return self.account.cash - start * (self.mark_start or Decimal(0))

    @property
    def equity_change(self) -> Decimal:
        """Profit since the start in quote currency: fees included, funding not, position at mark."""
        with exact():
            position = self.account.spec.grid.size.value(self.account.position_lots)
            return self.cash_from_flat + position * (self.mark or Decimal(0))

    def doubt(self, fair: FairValueEstimator, now: float) -> Decimal:
        """What the profit would be more by at the mark of the reading before; 0 where a fair value confirms the last.

        Mark and index come in one row, so both may be wrong. Where there is a fair value, other venues agree with them.
        """
        if self.mark is None or self.mark_before is None or isinstance(fair.value(now), FairValue):
            return Decimal(0)
        with exact():
            return self.account.spec.grid.size.value(self.account.position_lots) * (self.mark_before - self.mark)

    @property
    def value(self) -> Decimal:
        """What the position is worth, either side: at mark, or else at its entry price; quote."""
        account, price = self.account, self.account.entry_price if self.mark is None else self.mark
        with exact():
            return abs(account.spec.grid.size.value(account.position_lots) * price)

    @property
    def unexplained_value(self) -> Decimal:
        """Value at mark, quote, of the part of the position that the exchange states and our fills do not explain."""
        with exact():
            lots = self.account.position_lots - self.account.position_summed_lots
            return self.account.spec.grid.size.value(lots) * (self.mark or Decimal(0))

    def does_not_add_up(self) -> str:
        """Compare the change of equity with what made it; the sentence for the log where they differ.

        A position that our fills do not explain is no error of the books: for it the desk pulls and reads back.
        """
        if self.mark is None:
            return ""
        made, unexplained = self.attribution.attribution(), self.unexplained_value
        with exact():
            residual = self.equity_change - made.total - unexplained
        if not residual:
            return ""
        return (
            f"the profit does not add up: {made.text}, but equity changed by {self.equity_change:f}, of it"
            f" {unexplained:f} by a position that no fill explains: {residual:f} comes from nowhere"
        )

    @property
    def balance_change(self) -> Decimal:
        """What our own fills did to the exchange's balance: cash plus the position at its entry price."""
        account = self.account
        size = account.spec.grid.size
        with exact():
            start = size.value(account.position_start_lots) * account.entry_start
            return account.cash + size.value(account.position_lots) * account.entry_price - start

    @property
    def unrealized_start(self) -> Decimal:
        """What the position found at the start was worth beyond its entry price, at the first mark; quote."""
        account = self.account
        if not account.position_start_lots or self.mark_start is None:
            return Decimal(0)
        with exact():
            return account.spec.grid.size.value(account.position_start_lots) * (self.mark_start - account.entry_start)

    @property
    def unrealized(self) -> Decimal:
        """What closing the position at mark would realise, quote; 0 before there is a mark."""
        account = self.account
        with exact():
            gained = Decimal(0) if self.mark is None else self.mark - account.entry_price
            return account.spec.grid.size.value(account.position_lots) * gained

    def known(self, fair: FairValueEstimator, now: float) -> bool:
        """Whether the figures above can be judged: fills and position agree, and the mark is one we would quote by."""
        if not self.account.explained or (self.account.position_start_lots and self.mark_start is None):
            return False
        return not self.account.position_lots or self.priced(fair, now)

    def priced(self, fair: FairValueEstimator, now: float) -> bool:
        """Whether the mark is one we would quote by. A first mark is not, unless a fair value confirms it."""
        if fair.index_subticks is None or fair.mark_subticks is None or not fair.index_fresh(now):
            return False
        if self.mark_before is None and isinstance(fair.value(now), NoFair):
            return False
        return not beyond(fair.mark_subticks, fair.index_subticks, fair.settings.mark_index_bps_max)

    def follow(self, fair: FairValueEstimator, now: float) -> None:
        """Note the last sure price, after a fact that could bring one."""
        if self.priced(fair, now):
            self.valued, self.valued_at = self.mark, now

    def most(self, fair: FairValueEstimator, limits: Limits, now: float) -> Decimal | None:
        """`equity_change` where it is not known: the most that it can be; None where nothing says what that is.

        By the best for us of what anybody says of the price: the last two marks, the index, the reference venues, and
        for VALUED_SECONDS the last sure price. Of an index gone silent it is old, and may have moved since: by
        `jump_bps` in each `jump_seconds`, for a faster move is a jump.
        """
        if self.known(fair, now):
            return self.equity_change + max(Decimal(0), self.doubt(fair, now))
        if not self.account.explained or self.valued is None or self.mark is None or fair.index_subticks is None:
            return None
        grid, lots = self.account.spec.grid, self.account.position_lots
        sources = [one for one in fair.sources.values() if not one.silent(now)]
        with exact():
            prices = [self.mark, grid.subticks_price(fair.index_subticks)]
            prices += [self.mark_before] if self.mark_before is not None else []
            prices += [
                grid.subticks_price(one.price_subticks + one.basis_subticks)
                for one in sources
                if one.price_subticks is not None and one.basis_subticks is not None
            ]
            prices += [self.valued] if now - self.valued_at <= VALUED_SECONDS else []
            best = max(prices) if lots > 0 else min(prices)
            if not fair.index_fresh(now):
                assert fair.index_at is not None, "it has an index"
                moves = 1 + int((now - fair.index_at) // limits.jump_seconds)
                moved = best * limits.jump_bps * moves / BPS
                best = best + moved if lots > 0 else max(Decimal(0), best - moved)
            return self.equity_change + grid.size.value(lots) * (best - self.mark)
