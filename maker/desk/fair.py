"""Fair value of one market: what several reference venues say, each plus its slow basis to OCX's index.

OCX's index comes from the CME futures curve while a reference venue trades spot or an offshore perpetual, so the two
differ by a basis that moves slowly. We follow the fast references and add to each an exponential average of `index -
reference`. Of these prices the stale are left out, then the outliers, and the rest are combined by weight; fewer than
`sources_min` reference venues left is no fair value. The index may count as one more source (`index_weight`). OCX's
mark never enters: it follows the book we quote in. No price is better than a wrong price: NoFair says why.

How unsure we are (`half_width`): the larger of how far the sources used are from what they say together and half the
narrowest of their own spreads, plus sigma times the square root of their age. A quote is as old as its feed has been
silent, and by how much later than usual it came (`lag`).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from decimal import Decimal

import attrs

from maker.desk.consensus import Combine, Priced, combined, outliers
from maker.desk.events import MarketStats, ReferenceQuote
from maker.desk.lag import Lag
from maker.desk.units import BPS, Grid, bps_of
from maker.desk.volatility import Volatility, VolatilitySettings

BASIS_FIRST_SECONDS = 1.0  # what the first sample of a basis counts for: the index is read once a second
AGE_STEPS_PER_BP = 10  # what age adds is rounded to such steps: a ladder must not move because a moment has passed


class PriceFrom(enum.Enum):
    """How one price is read off a best bid and ask."""

    MID = "mid"
    MICRO = "micro"  # weighted by the opposite size: (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


@attrs.frozen
class SourceSettings:
    """One reference venue as a source of one market."""

    symbol: str  # what the venue calls it
    stale_seconds_max: float  # the venue's feed silent for so long, heartbeats included: left out
    weight: Decimal = Decimal(1)
    unchanged_seconds_max: float = math.inf  # alive, and no other best bid, ask or size of them for so long: left out


@attrs.frozen
class FairSettings:
    """Of one market."""

    sources: Mapping[str, SourceSettings]  # by the name of their [reference.NAME]
    sources_min: int  # fewer left: no fair value
    combine: Combine
    outlier_bps_max: Decimal  # from the median of the other sources; further away is left out
    price_from: PriceFrom
    index_weight: Decimal  # of OCX's own index as one more source; 0: it only sets the basis
    index_stale_seconds_max: float  # the index, which is polled
    basis_half_life_seconds: float
    basis_bps_max: Decimal  # beyond it one of the two prices is wrong
    mark_index_bps_max: Decimal  # OCX itself is unhealthy beyond it


@attrs.frozen
class FairValue:
    """`subticks`: the price; `half_width_subticks`: how unsure we are of it, either side."""

    subticks: int
    half_width_subticks: int
    age_seconds: float  # of the sources used, by weight
    sigma: float = 0.0  # standard deviation of the relative return over one second


@attrs.frozen
class NoFair:
    """There is no fair value, and why: `stale` where a source or the index has gone silent."""

    reason: str
    stale: bool = False


@attrs.frozen
class SourceState:
    """One source as it counts now, for people: `left_out` says why it does not; empty when it does."""

    name: str
    price_subticks: int | None  # basis included
    basis_subticks: int | None
    age_seconds: float | None
    left_out: str


@attrs.define
class Source:
    """One reference venue's last price of this market, and its basis."""

    name: str
    settings: SourceSettings
    price_subticks: int | None = None
    half_spread_subticks: int = 0
    heard_at: float | None = None  # our clock
    quoted: ReferenceQuote | None = None
    changed_at: float = math.inf  # our clock: since when it is `quoted`, whatever heartbeats and repetitions came since
    lag: Lag = attrs.field(factory=Lag)
    basis_subticks: int | None = None
    basis_at: float = -math.inf  # last compared with the index
    basis_weight: float = 0.0  # of the samples in the average; 1 once they go back many half-lives

    def fresh(self, now: float) -> bool:
        return self.heard_at is not None and self.age(now) <= self.settings.stale_seconds_max

    def age(self, now: float) -> float:
        """Seconds since the venue stated, or last vouched for, our price. It must have been heard of."""
        assert self.heard_at is not None
        return max(0.0, now - self.heard_at) + self.lag.left(now)

    def left_out(self, index: int, basis_bps_max: Decimal, now: float) -> str:
        """Why it cannot be used whatever the others say."""
        limit = bps_of(index, basis_bps_max)
        if self.heard_at is None or self.price_subticks is None:
            return f"{self.name} has no price for {self.settings.symbol}"
        if not self.fresh(now):
            most, late = self.settings.stale_seconds_max, self.lag.left(now)
            if now - self.heard_at <= most:
                return f"{self.name} reaches us {late:.1f} s later than usual (limit {most} s)"
            return f"{self.name} has been silent for {now - self.heard_at:.1f} s (limit {most} s)"
        if self.stands_still(now):
            most = self.settings.unchanged_seconds_max
            return f"{self.name} is alive and its price has not changed for {most} s: its market may stand still"
        if self.basis_subticks is None or abs(self.basis_subticks) > limit:
            return f"{self.name} and index are more than {basis_bps_max} bp apart"
        if abs(self.price_subticks + self.basis_subticks - index) > limit:  # the slow basis hides a price that jumped
            return f"{self.name} plus its basis and index are more than {basis_bps_max} bp apart"
        return ""

    def stands_still(self, now: float) -> bool:
        """Whether its signs of life vouch for a price that is too old to be one."""
        return now - self.changed_at > self.settings.unchanged_seconds_max

    def silent(self, now: float) -> bool:
        """Whether it is left out for want of news."""
        return not self.fresh(now) or self.stands_still(now)


@attrs.define
class FairValueEstimator:
    """Follows one market's references and index."""

    grid: Grid
    settings: FairSettings
    volatility_settings: VolatilitySettings
    sources: dict[str, Source] = attrs.field(init=False)
    weights: dict[str, int] = attrs.field(init=False)  # whole numbers in the proportions asked for
    index_weight: int = attrs.field(init=False)
    volatility: Volatility = attrs.field(init=False)
    index_subticks: int | None = None
    index_at: float | None = None
    mark_subticks: int | None = None
    version: int = 0  # of the prices above
    judged: tuple[int, float, FairValue | NoFair] | None = None  # the last answer: asked many times at one moment

    def __attrs_post_init__(self) -> None:
        self.sources = {name: Source(name, one) for name, one in self.settings.sources.items()}
        asked = [*(one.weight for one in self.settings.sources.values()), self.settings.index_weight]
        scale = 10 ** max(0, *(-exponent_of(weight) for weight in asked))
        self.weights = {name: int(one.weight * scale) for name, one in self.settings.sources.items()}
        self.index_weight = int(self.settings.index_weight * scale)
        self.volatility = Volatility(self.volatility_settings)

    # -- facts

    def follows(self, quote: ReferenceQuote) -> bool:
        """Whether a quote is of one of our sources."""
        source = self.sources.get(quote.source)
        return source is not None and source.settings.symbol == quote.symbol

    def quote(self, quote: ReferenceQuote, now: float) -> None:
        """Take a best bid and ask of a reference venue; a crossed or empty one is no price."""
        source = self.sources.get(quote.source)
        if source is None or source.settings.symbol != quote.symbol:
            return
        self.version += 1
        source.heard_at = now
        if quote != source.quoted:  # to repeat it, or to state it anew after a break, is a sign of life and no more
            source.quoted, source.changed_at = quote, now
        source.lag.quoted(quote.stated_at, now)
        if not 0 < quote.bid < quote.ask or quote.bid_size < 0 or quote.ask_size < 0:
            source.price_subticks = None
            return
        price = (quote.bid + quote.ask) / 2
        sizes = quote.bid_size + quote.ask_size
        if self.settings.price_from is PriceFrom.MICRO and sizes > 0:
            price = (quote.bid * quote.ask_size + quote.ask * quote.bid_size) / sizes
        source.price_subticks = self.grid.subticks(price)
        source.half_spread_subticks = self.grid.subticks((quote.ask - quote.bid) / 2)
        # A basis of before a long silence is as good as none, and the next look at the index may be a second away.
        if source.basis_subticks is None or now - source.basis_at > self.settings.basis_half_life_seconds:
            self.sample_basis(source, now)
        self.sample_volatility(now)

    def heard(self, name: str, now: float) -> None:
        """A feed is alive though nothing changed."""
        source = self.sources.get(name)
        if source is not None and source.heard_at is not None:
            self.version += 1
            source.heard_at = now
            if source.basis_subticks is None:
                self.sample_basis(source, now)
            self.sample_volatility(now)

    def lost(self, name: str) -> None:
        """A feed is down: its last price counts for nothing."""
        source = self.sources.get(name)
        if source is not None:
            self.version += 1
            source.price_subticks = None

    def stats(self, stats: MarketStats, now: float) -> None:
        """Take OCX's index and mark, and sample each basis."""
        self.version += 1
        self.index_subticks = self.grid.subticks(stats.index)
        self.mark_subticks = self.grid.subticks(stats.mark)
        self.index_at = now
        for source in self.sources.values():
            self.sample_basis(source, now)
        self.sample_volatility(now)

    def sample_basis(self, source: Source, now: float) -> None:
        """Move a source's basis towards what index and reference say now.

        An exponential average corrected for having begun empty (as Adam's, Kingma and Ba 2015), at first a plain mean:
        a first sample of a second in which one of the two had moved is soon one of many. Each counts by the time since
        this source's last one; after more than a half-life the average begins anew.

        A sample beyond `basis_bps_max` is such a moment too, and would spoil the fair value for half-lives. So it
        teaches nothing; where there is nothing better it stands, gives no fair value, and the next replaces it whole.
        """
        if source.price_subticks is None or self.index_subticks is None:
            return
        if not source.fresh(now) or not self.index_fresh(now):
            return  # the difference of two moments is no basis
        elapsed, source.basis_at, half_life = now - source.basis_at, now, self.settings.basis_half_life_seconds
        sample = self.index_subticks - source.price_subticks
        limit = bps_of(self.index_subticks, self.settings.basis_bps_max)
        if source.basis_subticks is None or abs(source.basis_subticks) > limit or elapsed > half_life:
            source.basis_subticks, source.basis_weight = sample, faded(BASIS_FIRST_SECONDS / half_life)
        elif abs(sample) <= limit:
            weight = faded(max(0.0, elapsed) / half_life)
            source.basis_weight += (1 - source.basis_weight) * weight
            source.basis_subticks += round((sample - source.basis_subticks) * weight / source.basis_weight)

    def sample_volatility(self, now: float) -> None:
        """Take a return when one is due and there is a price."""
        if self.volatility.due(now):
            price = self.price(now)
            if not isinstance(price, NoFair):
                self.volatility.sample(price[0], now)

    # -- what follows

    def index_fresh(self, now: float) -> bool:
        return self.index_at is not None and now - self.index_at <= self.settings.index_stale_seconds_max

    def value(self, now: float) -> FairValue | NoFair:
        """The fair value now, or why there is none."""
        if self.judged is not None and self.judged[:2] == (self.version, now):
            return self.judged[2]
        answer = self.reckon(now)
        self.judged = (self.version, now, answer)
        return answer

    def reckon(self, now: float) -> FairValue | NoFair:
        price = self.price(now)
        if isinstance(price, NoFair):
            return price
        if self.volatility.waiting:
            return NoFair(self.volatility.waiting)
        fair, width, age = price
        sigma = self.volatility.sigma
        step = bps_of(fair, Decimal(1)) // AGE_STEPS_PER_BP or 1
        return FairValue(fair, width + round(fair * sigma * math.sqrt(age) / step) * step, age, sigma)

    def price(self, now: float) -> tuple[int, int, float] | NoFair:
        """Price and uncertainty without age (both subticks), and age in seconds; or why there is none."""
        settings = self.settings
        if self.index_at is None or self.index_subticks is None:
            return NoFair("the exchange has not stated its index yet", stale=True)
        if self.index_subticks <= 0:
            return NoFair("the exchange states an index of nothing")
        if not self.index_fresh(now):
            most = settings.index_stale_seconds_max
            return NoFair(f"the index is {now - self.index_at:.1f} s old (limit {most} s)", stale=True)
        assert self.mark_subticks is not None
        index = self.index_subticks
        if beyond(self.mark_subticks, index, settings.mark_index_bps_max):
            return NoFair(f"mark and index are more than {settings.mark_index_bps_max} bp apart")
        kept, left_out = self.usable(now)
        if sum(one.name != "" for one in kept) < settings.sources_min:
            stale = any(one.silent(now) for one in self.sources.values())
            few = f"{settings.sources_min} reference feeds are needed: " if settings.sources_min > 1 else ""
            return NoFair(f"{few}{'; '.join(dict.fromkeys(left_out.values()))}", stale)
        fair = combined(settings.combine, kept)
        apart = max(abs(one.price - fair) for one in kept)
        width = max(apart, min(one.half_spread for one in kept if one.name))
        weights = sum(one.weight for one in kept)
        return fair, width, sum(one.age * one.weight for one in kept) / weights

    def usable(self, now: float) -> tuple[list[Priced], dict[str, str]]:
        """The sources that count, and why the others do not, by name. OCX's own index goes without a name."""
        assert self.index_subticks is not None
        assert self.index_at is not None
        kept: list[Priced] = []
        left_out: dict[str, str] = {}
        for name, source in self.sources.items():
            why = source.left_out(self.index_subticks, self.settings.basis_bps_max, now)
            if why:
                left_out[name] = why
                continue
            assert source.price_subticks is not None
            assert source.basis_subticks is not None
            price = source.price_subticks + source.basis_subticks
            kept.append(Priced(name, price, self.weights[name], source.half_spread_subticks, source.age(now)))
        if self.index_weight:
            age = max(0.0, now - self.index_at)
            kept.append(Priced("", self.index_subticks, self.index_weight, 0, age))
        most = self.settings.outlier_bps_max
        gone = outliers(kept, bps_of(self.index_subticks, most))
        nobody = f"no majority of {len(kept)} sources agrees within {most} bp" if len(gone) == len(kept) else ""
        for one in gone:
            kept.remove(one)
            left_out[one.name] = nobody or f"{one.name or 'the index'} is more than {most} bp from the other sources"
        return kept, left_out

    def states(self, now: float) -> tuple[SourceState, ...]:
        """Each source as it counts now, for people."""
        left_out = self.usable(now)[1] if self.index_at is not None else {}
        return tuple(
            SourceState(
                name,
                None
                if one.price_subticks is None or one.basis_subticks is None
                else one.price_subticks + one.basis_subticks,
                one.basis_subticks,
                None if one.heard_at is None else one.age(now),
                left_out.get(name, "" if self.index_at is not None else "the exchange has not stated its index yet"),
            )
            for name, one in self.sources.items()
        )


def exponent_of(weight: Decimal) -> int:
    exponent = weight.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a weight is a finite number"
    return exponent


def faded(half_lives: float) -> float:
    """What is gone after so many half-lives, of 1; never nothing, however few they are."""
    return -math.expm1(-math.log(2) * half_lives)


def beyond(subticks: int, base_subticks: int, bps: Decimal) -> bool:
    """Whether two prices are further apart than `bps` of the second."""
    return abs(subticks - base_subticks) * BPS > bps * base_subticks
