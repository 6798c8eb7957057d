"""Volatility of the fair value: squared returns on a fixed grid, averaged exponentially, deaf to a single jump.

A return is taken when at least a grid step has passed since the last one, over the time that really passed. A squared
return counts for at most JUMP_SIGMAS² of the variance so far: one jump of any size moves the estimate by a few per
cent, while a market that has really become restless is followed within some dozen samples, for the bound grows with the
estimate (winsorised as in realised-variance filters, e.g. Andersen, Dobrev and Schaumburg 2012).

A price that stands still is no return yet: the next one counts over the whole time since the last change, up to
QUIET_GRIDS_MAX grid steps. Were each step of a thin market a return of its own, most of them nothing, the bound would
cut the rest and the estimate decay to the floor whatever the truth. The fewer returns, the more each of them moves it.

Before there is an estimate, the median of the first squared returns makes one: for a normal distribution it is
MEDIAN_OF_SQUARES of their mean, and half of them may be wild. One-minute candles of the exchange warm it up in the same
way, so that the first quote need not wait. A floor keeps a dead market from looking free of risk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import attrs

JUMP_SIGMAS: Final = 4.0  # a squared return beyond so many standard deviations counts as one of so many
MEDIAN_OF_SQUARES: Final = 0.4549  # median of a chi-squared variable with one degree of freedom: its mean is 1
GAP_GRIDS_MAX: Final = 30.0  # grid steps without a price, then the next one begins anew: across a gap is no return
QUIET_GRIDS_MAX: Final = 20.0  # grid steps at one price, then standing still is a return too: of nothing
CANDLE_RETURNS_MIN: Final = 10
CANDLE_GAP_SECONDS_MAX: Final = 300.0
MINUTE_SECONDS: Final = 60.0
CANDLE_AGE_SECONDS_MAX: Final = 3600.0  # since its end; an hour is what a start reads: older is another market


@attrs.frozen
class VolatilitySettings:
    """Of one market."""

    volatility_grid_seconds: float  # between two returns
    volatility_half_life_seconds: float  # of the average
    volatility_samples_min: int  # prices on the grid before there is an estimate, where candles give none
    volatility_bps_min: Decimal  # floor: standard deviation of a one-minute return, basis points


@attrs.define
class Volatility:
    """Follows one price; in relative terms, so that the price's own unit does not matter."""

    settings: VolatilitySettings
    variance: float | None = None  # of log returns, per second; None while it warms up
    first: list[float] = attrs.field(factory=list)  # squared returns per second, until there is an estimate
    seen: int = 0  # prices taken until then, but for the first
    last: tuple[int, float] | None = None  # price at the end of the last return, and when
    looked_at: float = -math.inf  # when a price was last taken, changed or not

    def due(self, now: float) -> bool:
        """Whether a grid step has passed since the last price taken."""
        return now - self.looked_at >= self.settings.volatility_grid_seconds

    def sample(self, price: int, now: float) -> None:
        """Take a positive price when one is due; more often changes nothing."""
        assert price > 0, "a price is positive"
        if not self.due(now):
            return
        grid, last = self.settings.volatility_grid_seconds, self.last
        is_gap, self.looked_at = now - self.looked_at > GAP_GRIDS_MAX * grid, now
        if last is None or is_gap:
            self.last = (price, now)
            return
        elapsed = now - last[1]
        if self.variance is None:
            self.seen += 1
        is_enough = self.variance is None and self.seen >= self.settings.volatility_samples_min
        if price != last[0] or elapsed >= QUIET_GRIDS_MAX * grid or is_enough:
            self.last = (price, now)
            self.take(math.log(price / last[0]) ** 2 / elapsed, elapsed)
        if is_enough:
            self.begin(self.first)

    def take(self, rate: float, elapsed: float) -> None:
        """Take one squared return per second, seen over so many seconds."""
        if self.variance is None:
            self.first.append(rate)
            return
        bounded = min(rate, JUMP_SIGMAS**2 * self.variance)
        weight = 1 - 0.5 ** (elapsed / self.settings.volatility_half_life_seconds)
        self.variance = max(self.floor, self.variance + (bounded - self.variance) * weight)

    def begin(self, rates: Sequence[float]) -> None:
        """Make the first estimate; there is at least one rate."""
        self.variance = max(self.floor, lower_median(rates) / MEDIAN_OF_SQUARES)
        self.first.clear()

    def warm_up(self, closes: Sequence[tuple[float, Decimal]], unix_now: float) -> bool:
        """Begin with what closing prices say, each with its minute's unix seconds, oldest first; False: too few.

        Those of long before `unix_now` say nothing: half a minute of prices of our own is worth more than a market that
        traded yesterday. Two with too long a time between them make no return: where nobody traded there is no candle.
        """
        closes = [one for one in closes if unix_now - one[0] - MINUTE_SECONDS <= CANDLE_AGE_SECONDS_MAX]
        rates: list[float] = []
        pairs = 0
        (since, price), *_ = closes or [(0.0, Decimal(0))]  # the close that the next return counts from
        for (before_at, before), (at, close) in itertools.pairwise(closes):
            if not 0 < at - before_at <= CANDLE_GAP_SECONDS_MAX or close <= 0 or before <= 0:
                since, price = at, close
                continue
            pairs += 1
            if close != price or at - since >= QUIET_GRIDS_MAX * MINUTE_SECONDS:
                rates.append(math.log(close / price) ** 2 / (at - since))
                since, price = at, close
        if self.variance is not None or pairs < CANDLE_RETURNS_MIN:
            return False
        self.begin(rates or [0.0])
        return True

    @property
    def floor(self) -> float:
        """The least variance, per second."""
        return float(self.settings.volatility_bps_min / 10_000) ** 2 / MINUTE_SECONDS

    @property
    def waiting(self) -> str:
        """Why there is no estimate yet; empty when there is."""
        if self.variance is not None:
            return ""
        return f"volatility is not known yet: {self.seen} of {self.settings.volatility_samples_min} prices seen"

    @property
    def sigma(self) -> float:
        """Standard deviation of the relative return over one second. There must be an estimate."""
        assert self.variance is not None, self.waiting
        return math.sqrt(self.variance)


def lower_median(rates: Sequence[float]) -> float:
    """The middle one, or the smaller of the two in the middle: of two returns, one may be a jump."""
    return sorted(rates)[(len(rates) - 1) // 2]
