"""How often our own quotes are hit, and how fast that falls with distance: A and k, estimated while we quote.

The models take fills of a quote at distance delta from fair value as a Poisson process of intensity
`lambda(delta) = A exp(-k delta)`. Here is what a maker knows about it without anybody's trade feed: for how long his
quotes rested at which distance (exposure), and at which distances they were hit. Two doors: `rested` and `filled`.

Estimation is maximum likelihood, not Guéant 2017's regression of ln lambda on delta: a distance at which nothing was
hit yet has no logarithm and would be left out, though it is what tells most about k, and a distance that was hit once
would weigh as much as one that was hit a hundred times. With T_j seconds of exposure at distance d_j, N fills at a mean
distance D, the logarithm of the likelihood is `N ln A - k N D - A sum T_j exp(-k d_j)`.

The prior: n fills (`fill_prior_count`) at well-spread distances would tell ln A to 1 / sqrt(n) and k to k / sqrt(n), so
that is how sure we are of the configured A0 and k0: `-n/2 (ln A / A0)^2 - n/2 (k / k0 - 1)^2` is added. Beside N real
fills it weighs n against N, however wrong it is. (Imagined fills with their exposure would be simpler, but an A0 ten
times too low imagines an exposure of ten times their weight.) The sum is concave in ln A and k together, so there is
one maximum, finite whatever was seen: for each k the best A by Newton's method, and k by halving.

For markets change, what was seen is halved whenever it reaches `fill_memory_count` fills; and no estimate leaves the
bounds around the configured values, for a model must not be led into absurdity by an odd hour.

Two sides share A and k, as the models have it; the fills of each are counted so that a lopsided market shows. Distances
outside 0 to DISTANCE_BPS_MAX are ignored, exposure and fills alike, which leaves the estimate of the rest as it was: at
fair value and beyond it the flow is a multiple of the exponential and would be taken for a steep k.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from maker.desk.spread import above_zero
from maker.desk.units import BPS, Side

BUCKET_BPS: Final = 0.25  # exposure is summed in steps of this; each keeps its own mean distance
DISTANCE_BPS_MAX: Final = 50.0
RATE_FACTOR_MAX: Final = 100.0  # an estimated A is within this factor of the configured one
DECAY_FACTOR_MAX: Final = 10.0  # likewise k
HALVINGS: Final = 30  # of the interval for ln k: eight digits
NEWTON_STEPS: Final = 20  # for ln A, within its bounds: 5 either way, at least 1 a step from above
NEWTON_SETTLED: Final = 1e-12  # of ln A: the step after one so small is beyond a float's last digit
RESTED_RATIO_MAX: Final = 0.01  # an estimate stands until exposure has grown by this, or a fill comes


@attrs.frozen
class IntensitySettings:
    """Of one market."""

    fill_rate_per_second: float  # A that we start from: hits a second of one quote at fair value
    fill_decay_per_bp: float  # k that we start from
    fill_prior_count: float = 30.0  # fills that the two values above are worth; more: slower to learn
    fill_memory_count: float = 400.0  # fills remembered: A is known to a tenth then, and newer ones tell more

    def __attrs_post_init__(self) -> None:
        above_zero(self, "fill_rate_per_second", "Try 0.08, a mid-size BTC perpetual.")
        above_zero(self, "fill_decay_per_bp", "Try 1.")
        above_zero(self, "fill_prior_count", "Try 30; a large number learns nothing.")
        above_zero(self, "fill_memory_count", "Try 400.")
        if self.fill_memory_count < self.fill_prior_count:
            raise ValueError(
                f"fill_memory_count: is {self.fill_memory_count}, less than fill_prior_count, so that nothing would "
                "ever outweigh the prior. Raise it to several times fill_prior_count."
            )


@attrs.frozen
class Statistics:
    """A and k as they are used now, and what they stand on."""

    fill_rate_per_second: float
    fill_decay_per_bp: float
    fills_bought: float  # remembered; halved from time to time, hence no whole number
    fills_sold: float
    seconds: float  # of exposure: two quotes that rest for a second are two
    prior_ratio: float  # weight of the configured values: 1 at the start, towards 0

    def fill_decay(self, fair: float) -> float:
        """Return k per quote currency, as a `Situation` has it, at a fair value in quote currency."""
        return decay_per_quote(self.fill_decay_per_bp, fair)


def decay_per_quote(decay_per_bp: float, fair: float) -> float:
    """Return k per quote currency: one basis point is `fair / 10,000` of it."""
    return decay_per_bp * BPS / fair


@attrs.define
class Intensity:
    """Follows one market."""

    settings: IntensitySettings
    seconds: dict[int, float] = attrs.field(factory=dict)  # exposure by bucket
    seconds_bps: dict[int, float] = attrs.field(factory=dict)  # ... times distance
    seconds_total: float = 0.0
    fills: dict[Side, float] = attrs.field(factory=lambda: dict.fromkeys(Side, 0.0))
    fills_bps: float = 0.0  # sum of their distances
    stands: Statistics | None = None  # the last estimate, as long as it holds

    def rested(self, side: Side, distance_bps: float, seconds: float) -> None:
        """Count one quote's rest at a distance from fair value, outward positive. No order of calls is asked for."""
        assert side in Side
        assert math.isfinite(seconds), "clocks are finite"
        if seconds <= 0 or not 0 <= distance_bps < DISTANCE_BPS_MAX:
            return
        bucket = int(distance_bps / BUCKET_BPS)
        self.seconds[bucket] = self.seconds.get(bucket, 0.0) + seconds
        self.seconds_bps[bucket] = self.seconds_bps.get(bucket, 0.0) + seconds * distance_bps
        self.seconds_total += seconds
        if self.stands is not None and self.seconds_total > self.stands.seconds * (1 + RESTED_RATIO_MAX):
            self.stands = None

    def filled(self, side: Side, distance_bps: float) -> None:
        """Count one quote that was hit: once an order, however many partial fills, at its distance when it was hit."""
        if not 0 <= distance_bps < DISTANCE_BPS_MAX:
            return
        self.fills[side] += 1
        self.fills_bps += distance_bps
        self.stands = None
        if sum(self.fills.values()) >= self.settings.fill_memory_count:
            self.forget_half()

    def forget_half(self) -> None:
        """Halve all that was seen, so that what comes weighs twice as much: averages stay as they are."""
        for counts in (self.seconds, self.seconds_bps):
            for bucket in counts:
                counts[bucket] /= 2
        for side in Side:
            self.fills[side] /= 2
        self.fills_bps /= 2
        self.seconds_total /= 2

    def statistics(self) -> Statistics:
        """Return the estimate: remembered until there is more to it, for it costs a millisecond."""
        if self.stands is None:
            self.stands = self.estimate()
        return self.stands

    def estimate(self) -> Statistics:
        """Maximise the likelihood of the room's theory, within the bounds."""
        settings = self.settings
        exposure = [(self.seconds_bps[bucket] / seconds, seconds) for bucket, seconds in self.seconds.items()]
        seen = sum(self.fills.values())
        low, high = settings.fill_decay_per_bp / DECAY_FACTOR_MAX, settings.fill_decay_per_bp * DECAY_FACTOR_MAX
        rate, decay, exp = settings.fill_rate_per_second, settings.fill_decay_per_bp, math.exp
        for _ in range(HALVINGS):
            decay = math.sqrt(low * high)
            weighed = weighed_bps = 0.0
            for distance, seconds in exposure:
                weight = seconds * exp(-decay * distance)
                weighed += weight
                weighed_bps += distance * weight
            rate = best_rate(settings, seen, weighed)
            expected_bps = rate * weighed_bps
            pull = settings.fill_prior_count * (1 - decay / settings.fill_decay_per_bp) / settings.fill_decay_per_bp
            if expected_bps - self.fills_bps + pull > 0:  # the likelihood still rises with k
                low = decay
            else:
                high = decay
        return Statistics(
            fill_rate_per_second=rate,
            fill_decay_per_bp=decay,
            fills_bought=self.fills[Side.BUY],
            fills_sold=self.fills[Side.SELL],
            seconds=self.seconds_total,
            prior_ratio=settings.fill_prior_count / (settings.fill_prior_count + seen),
        )


def best_rate(settings: IntensitySettings, fills: float, seconds: float) -> float:
    """Find the likeliest A for one k, `seconds` being exposure times exp(-k d): within its bounds."""
    prior = settings.fill_rate_per_second
    bound = math.log(RATE_FACTOR_MAX)
    above = 0.0  # ln A / A0
    for _ in range(NEWTON_STEPS):
        expected, before = prior * math.exp(above) * seconds, above
        rise = fills - expected - settings.fill_prior_count * above
        above = min(max(above + rise / (expected + settings.fill_prior_count), -bound), bound)
        if abs(above - before) < NEWTON_SETTLED:
            break
    return min(max(prior * math.exp(above), prior / RATE_FACTOR_MAX), prior * RATE_FACTOR_MAX)
