"""Fair value of one market: the reference venue's price plus a slow basis to OCX's index.

OCX's index comes from the CME futures curve while a reference venue trades spot or an offshore perpetual, so the two
differ by a basis that moves slowly. We follow the fast reference and add an exponential average of `index - reference`.
OCX's mark never enters: it follows the book we quote in. No price is better than a wrong price: NoFair says why.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import attrs

from maker.desk.events import MarketStats, ReferenceQuote
from maker.desk.units import BPS, Grid, bps_of


class PriceFrom(enum.Enum):
    """How one price is read off a best bid and ask."""

    MID = "mid"
    MICRO = "micro"  # weighted by the opposite size: (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


@attrs.frozen
class FairSettings:
    """Of one market."""

    reference_symbol: str
    price_from: PriceFrom
    stale_seconds_max: float  # the reference feed, heartbeats included
    index_stale_seconds_max: float  # the index, which is polled
    basis_half_life_seconds: float
    basis_bps_max: Decimal  # beyond it one of the two prices is wrong
    mark_index_bps_max: Decimal  # OCX itself is unhealthy beyond it


@attrs.frozen
class FairValue:
    """`subticks`: the price; `half_width_subticks`: how unsure we are of it, either side."""

    subticks: int
    half_width_subticks: int
    age_seconds: float


@attrs.frozen
class NoFair:
    """There is no fair value, and why: `stale` where quotes that rest must be pulled for it."""

    reason: str


@attrs.define
class FairValueEstimator:
    """Follows one market's reference and index."""

    grid: Grid
    settings: FairSettings
    reference_subticks: int | None = None
    reference_half_spread_subticks: int = 0
    heard_at: float | None = None  # our clock
    index_subticks: int | None = None
    index_at: float | None = None
    mark_subticks: int | None = None
    basis_subticks: int | None = None
    judged: tuple[int, int, int, int] | None = None  # the prices last judged: asked many times between two changes
    apart: str = ""  # what was wrong with them

    def quote(self, quote: ReferenceQuote, now: float) -> None:
        """Take a best bid and ask of the reference venue; a crossed or empty one is no price."""
        self.heard_at = now
        if not 0 < quote.bid < quote.ask or quote.bid_size < 0 or quote.ask_size < 0:
            self.reference_subticks = None
            return
        price = (quote.bid + quote.ask) / 2
        sizes = quote.bid_size + quote.ask_size
        if self.settings.price_from is PriceFrom.MICRO and sizes > 0:
            price = (quote.bid * quote.ask_size + quote.ask * quote.bid_size) / sizes
        self.reference_subticks = self.grid.subticks(price)
        self.reference_half_spread_subticks = self.grid.subticks((quote.ask - quote.bid) / 2)
        if self.basis_subticks is None:
            self.sample_basis(1.0, now)

    def heard(self, now: float) -> None:
        """The feed is alive though nothing changed."""
        if self.heard_at is not None:
            self.heard_at = now
            if self.basis_subticks is None:
                self.sample_basis(1.0, now)

    def lost(self) -> None:
        """The feed is down: its last price counts for nothing."""
        self.reference_subticks = None

    def stats(self, stats: MarketStats, now: float) -> None:
        """Take OCX's index and mark, and sample the basis."""
        elapsed = now - self.index_at if self.index_at is not None else 0.0
        self.index_subticks = self.grid.subticks(stats.index)
        self.mark_subticks = self.grid.subticks(stats.mark)
        self.index_at = now
        self.sample_basis(1 - 0.5 ** (max(0.0, elapsed) / self.settings.basis_half_life_seconds), now)

    def sample_basis(self, weight: float, now: float) -> None:
        """Move the basis towards what index and reference say now. The first sample counts whole.

        A sample beyond `basis_bps_max` is a moment at which one of the two had moved and the other had not: averaged
        in, it would spoil the fair value for half-lives after both have come to rest. So it teaches nothing; where
        there is nothing better it stands, gives no fair value, and the next sample replaces it whole.
        """
        if self.reference_subticks is None or self.index_subticks is None or self.fresh_for_seconds(now) < 0:
            return  # the difference of two moments is no basis
        sample = self.index_subticks - self.reference_subticks
        limit = bps_of(self.index_subticks, self.settings.basis_bps_max)
        if self.basis_subticks is None or abs(self.basis_subticks) > limit:
            self.basis_subticks = sample
        elif abs(sample) <= limit:
            self.basis_subticks += round((sample - self.basis_subticks) * weight)

    def fresh_for_seconds(self, now: float) -> float:
        """Seconds until the inputs are stale; negative when they are."""
        if self.heard_at is None or self.index_at is None:
            return -1.0
        return min(
            self.heard_at + self.settings.stale_seconds_max - now,
            self.index_at + self.settings.index_stale_seconds_max - now,
        )

    def value(self, now: float) -> FairValue | NoFair:
        """The fair value now, or why there is none."""
        settings = self.settings
        if self.heard_at is None or self.reference_subticks is None:
            return NoFair(f"the reference feed has no price for {settings.reference_symbol}")
        age = now - self.heard_at
        if age > settings.stale_seconds_max:
            return NoFair(f"the reference feed has been silent for {age:.1f} s (limit {settings.stale_seconds_max} s)")
        if self.index_at is None or self.index_subticks is None or self.basis_subticks is None:
            return NoFair("the exchange has not stated its index yet")
        index_age = now - self.index_at
        if index_age > settings.index_stale_seconds_max:
            return NoFair(f"the index is {index_age:.1f} s old (limit {settings.index_stale_seconds_max} s)")
        assert self.mark_subticks is not None
        prices = (self.reference_subticks, self.basis_subticks, self.index_subticks, self.mark_subticks)
        if prices != self.judged:
            self.judged, self.apart = prices, self.judge(*prices)
        if self.apart:
            return NoFair(self.apart)
        fair = self.reference_subticks + self.basis_subticks
        return FairValue(fair, self.reference_half_spread_subticks, max(0.0, age))

    def judge(self, reference: int, basis: int, index: int, mark: int) -> str:
        """Why these prices (subticks) make no fair value; empty when they do."""
        settings = self.settings
        if beyond(mark, index, settings.mark_index_bps_max):
            return f"mark and index are more than {settings.mark_index_bps_max} bp apart"
        if abs(basis) > bps_of(index, settings.basis_bps_max):
            return f"index and reference are more than {settings.basis_bps_max} bp apart"
        if beyond(reference + basis, index, settings.basis_bps_max):  # the slow basis hides a reference that jumped
            return f"fair value and index are more than {settings.basis_bps_max} bp apart"
        return ""


def beyond(subticks: int, base_subticks: int, bps: Decimal) -> bool:
    """Whether two prices are further apart than `bps` of the second."""
    return abs(subticks - base_subticks) * BPS > bps * base_subticks
