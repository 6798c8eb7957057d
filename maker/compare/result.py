"""What one run came to: plain values that travel between processes."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

import attrs

NOTHING_QUOTED: Final = "quoted nothing"
NEVER_BOTH_SIDES: Final = "never quoted on both sides"


@attrs.frozen
class Money:
    """The profit and its parts, quote units: profit = spread + inventory - fees - funding + mark_gap, exactly."""

    profit: Decimal  # the exchange's equity less the deposit
    spread: Decimal  # captured against the index at each fill
    inventory: Decimal  # the position's revaluation at the index
    fees: Decimal  # paid; negative: rebates
    funding: Decimal  # paid; negative: received
    mark_gap: Decimal  # what is still held, at the mark instead of at the index


@attrs.frozen
class Inventory:
    """The position over the run, sampled once a second, base units."""

    mean: float
    deviation: float  # standard
    low: float  # 5 % of the time it was below or at this
    high: float  # ... and 95 %
    limit: float

    @property
    def root_mean_square(self) -> float:
        """Around zero: a position that stands still far out has no deviation, and all of its risk."""
        return math.hypot(self.mean, self.deviation)

    @property
    def share(self) -> float:
        """Root mean square as a share of the limit."""
        return self.root_mean_square / self.limit

    @property
    def reach(self) -> float:
        """How far out it was for all but the outermost 5 % on either side: the farther of both quantiles from zero."""
        return max(abs(self.low), abs(self.high))


@attrs.frozen
class Quotes:
    """What rested, sampled once a second, and what it took."""

    half_spread_bps: float  # mean while both sides rested: half of best ask less best bid
    two_sided_share: float  # of the time
    quoted_share: float  # of the time at least one side rested
    requests: int  # of the order path, as the exchange counted them
    ladders: int  # applied
    pulls: tuple[tuple[str, int], ...]  # by reason

    @property
    def silence(self) -> str:
        """Why there is no half-spread that anything could be held against; empty where both sides rested at a time."""
        if self.half_spread_bps > 0:
            return ""
        return NEVER_BOTH_SIDES if self.quoted_share > 0 else NOTHING_QUOTED


@attrs.frozen
class Markout:
    """Where the index stood after our fills."""

    seconds: int
    bps: float | None  # None: nothing was filled


@attrs.frozen
class Result:
    """One model on one seed."""

    model: str
    seed: int
    seconds: int  # simulated
    money: Money
    drawdown: float  # quote units: the deepest fall of equity at the index from its best, sampled once a second
    inventory: Inventory
    quotes: Quotes
    fills: tuple[tuple[str, int], ...]  # by kind of taker
    volume: float  # quote units
    markouts: tuple[Markout, ...]
    markouts_informed: tuple[Markout, ...]
    digest: str  # of everything that happened: one seed, one history
    drawn: str  # of path and arrivals: the same for every model of a seed

    @property
    def fill_count(self) -> int:
        return sum(count for _, count in self.fills)


@attrs.frozen
class Pair:
    """A model and its fixed, unskewed counterpart on the same seed, which other models may share."""

    model: Result
    fixed: Result | None  # None: the model does not skew, or never quoted on both sides, or it is missing
    runs: int  # it took to find the counterpart's half-spread, the probe included: played once for all who share it
    missing: bool = False  # it needs a counterpart, and none was played to its end

    @property
    def spread_ratio(self) -> float:
        """Mean quoted half-spread of the counterpart over the model's; 1: the same."""
        if self.fixed is None or not self.model.quotes.half_spread_bps:
            return 1.0
        return self.fixed.quotes.half_spread_bps / self.model.quotes.half_spread_bps

    @property
    def is_tighter(self) -> bool:
        """Whether the model held its inventory nearer to zero: smaller in root mean square, and no further a reach."""
        if self.fixed is None:
            return False
        ours, theirs = self.model.inventory, self.fixed.inventory
        return ours.root_mean_square < theirs.root_mean_square and ours.reach <= theirs.reach
