"""The other traders of one market, seeded: the flow our quotes meet on the practice exchange.

Four kinds, because a quoter's profit is the sum of what each does to it:

- noise takers arrive at random and reach a random distance from mid, so that a quote at delta basis points is hit at
  the rate lambda(delta) = A·exp(−k·delta) per side (Avellaneda and Stoikov 2008, Quantitative Finance 8(3)): they pay
  the spread;
- touch takers are the rest of a venue's market orders, several times as many: they take a quote only within a fraction
  of a basis point of mid, and pay next to nothing;
- informed takers know where the reference will be LOOKAHEAD_STEPS on, and take every quote that will then be wrong by
  more than their cost: they are what a spread must pay for, and a paper profit without them is fantasy;
- background makers rest a thin book some way from the index, follow it late and seldom, and give the market a mid
  and a depth without us.

Takers never look at whose quote it is. Noise and touch takers share one clock whose arrivals cluster.

Random draws and what follows from them are floats; every price and quantity that leaves is a Decimal on the market's
grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Final, Literal

import attrs

from maker.paper.prices import STEP_MS, pack_random, read_field, seeded, unpack_random

STEP_SECONDS: Final = STEP_MS / 1000
SNAPSHOT_VERSION: Final = 1

# Arrivals are a renewal process with hyperexponential gaps: mostly short ones, and a few long silences. "Balanced
# means" (each of the two kinds of gap makes up half the time) leaves the coefficient of variation as only parameter.
GAP_VARIATION: Final = 2.5  # standard deviation over mean of the time between market orders; measured
GAP_SHORT_SHARE: Final = (1 + math.sqrt((GAP_VARIATION**2 - 1) / (GAP_VARIATION**2 + 1))) / 2

TAKE_NOTIONAL_MU: Final = 5.64  # log of the median order size in USD; measured
TAKE_NOTIONAL_SIGMA: Final = 1.84  # measured
TAKE_NOTIONAL_MAX: Final = 50_000.0  # USD; one order in 410 is cut here: a log-normal knows sizes that no account has
TOUCH_DECAY_PER_BP: Final = 20.0  # touch takers reach 0.05 bp from mid on average: half a wide tick

LEVELS: Final = 8  # background quotes a side
NEAREST_BPS: Final = 5.0  # from the index; outside of what a quoter that wants to trade would quote
FARTHEST_BPS: Final = 40.0
DISTANCE_JITTER: Final = 0.1  # each new quote stands within ± this share of its level's distance
QUOTE_NOTIONAL_MIN: Final = 1_000.0  # USD, uniform between these two at the innermost level,
QUOTE_NOTIONAL_MAX: Final = 4_000.0
QUOTE_NOTIONAL_GROWTH: Final = 0.5  # and larger by this share of it with each level outward
INDEX_LAG_SECONDS: Final = 0.5  # background makers see an exponential average of the index with this time constant
REQUOTE_PER_SECOND: Final = 0.1  # per quote, when nothing is wrong with it: 1.6 requotes a second over all
REQUOTE_STALE_PER_SECOND: Final = 2.0  # per quote that is gone, or off its place by more than
STALE_SHARE: Final = 0.4  # this share of its distance

_BPS: Final = 1e-4

Side = Literal["buy", "sell"]
Trader = Literal["noise", "touch", "informed", "background"]


@attrs.frozen
class CrowdPreset:
    """Hold how many takers there are. Units: seconds, basis points from mid, orders."""

    intensity_per_second: float  # A: noise takers that reach at least mid, per side
    decay_per_bp: float  # k
    market_orders_per_minute: float  # noise and touch together, both sides
    informed_per_second: float  # per second during which a wrong quote rests, i.e. how soon and how often it is hit
    informed_cost_bps: float  # a quote must be wrong by more than this to be worth taking

    @property
    def noise_share(self) -> float:
        """Return the share of market orders that are noise takers; the rest are touch takers."""
        return 2 * self.intensity_per_second * 60 / self.market_orders_per_minute


# A, k and the orders a minute as measured on recordings of a mid-size BTC perp venue, 57 h: its quiet half, all of it,
# its busiest tenth. The informed columns are our own choice, not measured: a wrong quote rests about 2 s at most before
# the reference has caught up, so at these rates 63, 86 and 98 % of them are hit.
CROWD_PRESETS: Final[Mapping[str, CrowdPreset]] = {
    "quiet": CrowdPreset(0.049, 2.29, 48, informed_per_second=0.5, informed_cost_bps=0.5),
    "normal": CrowdPreset(0.082, 1.00, 59, informed_per_second=1.0, informed_cost_bps=0.5),
    "busy": CrowdPreset(0.353, 0.85, 108, informed_per_second=2.0, informed_cost_bps=0.5),
}


@attrs.frozen
class CrowdView:
    """Hold what the crowd sees at one step; all prices in quote currency."""

    best_bid: Decimal | None  # of the exchange's whole book, everybody's orders included
    best_ask: Decimal | None
    index: Decimal  # now: path.index(step)
    reference: Decimal  # now: path.price(step)
    reference_ahead: Decimal  # path.price(step + LOOKAHEAD_STEPS)

    def mid(self) -> Decimal:
        """Return the book's mid, or the index while the book has only one side."""
        if self.best_bid is None or self.best_ask is None:
            return self.index
        return (self.best_bid + self.best_ask) / 2


@attrs.frozen
class CrowdOrder:
    """Hold one order of the crowd: "take" is limit IOC, "quote" limit GTC post-only, "cancel" the end of a quote.

    A background maker is not told what became of its quote: a refused quote, and the cancel of one that is gone, are to
    be ignored.
    """

    kind: Literal["take", "quote", "cancel"]
    side: Side
    price: Decimal  # on the market's tick; of a cancel: the quote's own
    quantity: Decimal  # on the market's step, at least its minimum; of a cancel: the quote's own as first placed
    tag: str  # unique within one crowd for its life, ASCII, at most 20 characters; of a cancel: the quote's own
    trader: Trader  # makers and takers need different accounts, or self-trade prevention keeps them apart


@attrs.define
class _Slot:
    """Hold the place of one background quote, and the quote that was last put there."""

    side: Side
    distance_bps: float
    level: int
    quote: CrowdOrder | None = None

    def is_gone(self, view: CrowdView) -> bool:
        """Return whether the quote certainly rests no more: it would be better than the book's best."""
        if self.quote is None:
            return True
        if self.side == "buy":
            return view.best_bid is None or self.quote.price > view.best_bid
        return view.best_ask is None or self.quote.price < view.best_ask

    def is_off_place(self, seen_index: float) -> bool:
        assert self.quote is not None
        ideal = seen_index * (1 + (-self.distance_bps if self.side == "buy" else self.distance_bps) * _BPS)
        return abs(float(self.quote.price) / ideal - 1) > STALE_SHARE * self.distance_bps * _BPS


def _slots() -> list[_Slot]:
    ratio = (FARTHEST_BPS / NEAREST_BPS) ** (1 / (LEVELS - 1))
    sides: tuple[Side, Side] = ("buy", "sell")
    return [_Slot(side, NEAREST_BPS * ratio**level, level) for level in range(LEVELS) for side in sides]


class Crowd:
    """Make one market's other traders act, step by step."""

    def __init__(
        self,
        market_id: str,
        preset: str,
        seed: int,
        *,
        tick: Decimal,
        step: Decimal,
        minimum: Decimal,
        informed_per_second: float | None = None,
    ) -> None:
        """Start before step 0 on a market's grid: `tick` in quote currency, `step` and `minimum` in base.

        `informed_per_second` overrides the preset's, 0 for none. Raises ValueError for an unknown preset or a bad grid.
        """
        if preset not in CROWD_PRESETS:
            raise ValueError(f"unknown preset {preset!r}: one of {', '.join(CROWD_PRESETS)}")
        if not all(value.is_finite() and value > 0 for value in (tick, step, minimum)) or minimum % step:
            raise ValueError(f"{market_id}: tick {tick}, step {step}, minimum {minimum} are no grid")
        self.market_id = market_id
        self.preset = preset
        self.seed = seed
        self._tick, self._step, self._minimum = tick, step, minimum
        self._numbers = CROWD_PRESETS[preset]
        if informed_per_second is not None:
            if not 0 <= informed_per_second < math.inf:
                raise ValueError(f"informed_per_second must be 0 or more, not {informed_per_second}")
            self._numbers = attrs.evolve(self._numbers, informed_per_second=float(informed_per_second))
        self._random = seeded(f"crowd:{market_id}:{preset}", seed)
        self._next_step = 0
        self._tags = 0  # given out so far
        self._gap_seconds = self._draw_gap()  # from the beginning of the next step to the next market order
        self._seen_index: float | None = None
        self._slots = _slots()

    def step(self, n: int, view: CrowdView) -> list[CrowdOrder]:
        """Return the orders of step `n` in the order they arrive; raise ValueError unless steps come one by one from 0.

        Informed takers come first: they are faster than those who would move their quotes away.
        """
        if n != self._next_step:
            raise ValueError(f"step {n} of {self.market_id} after step {self._next_step - 1}")
        self._next_step += 1
        return [*self._informed(view), *self._market_orders(view), *self._background(view)]

    def _informed(self, view: CrowdView) -> Iterator[CrowdOrder]:
        """Take, within their cost, what the reference's next move will have made a bargain.

        The limit is the last price that still is one, so that a large order sweeps all levels that are wrong.
        """
        index_ahead = view.index * view.reference_ahead / view.reference
        cost = Decimal(str(self._numbers.informed_cost_bps)) / 10_000
        chance = 1 - math.exp(-self._numbers.informed_per_second * STEP_SECONDS)
        pay_most, receive_least = index_ahead * (1 - cost), index_ahead * (1 + cost)
        if view.best_ask is not None and view.best_ask < pay_most and self._random.random() < chance:
            yield self._take("buy", pay_most, "informed")
        if view.best_bid is not None and view.best_bid > receive_least and self._random.random() < chance:
            yield self._take("sell", receive_least, "informed")

    def _market_orders(self, view: CrowdView) -> Iterator[CrowdOrder]:
        while self._gap_seconds < STEP_SECONDS:
            self._gap_seconds += self._draw_gap()
            is_noise = self._random.random() < self._numbers.noise_share
            decay = self._numbers.decay_per_bp if is_noise else TOUCH_DECAY_PER_BP
            reach = Decimal(self._random.expovariate(decay) * _BPS)
            side: Side = "buy" if self._random.random() < 0.5 else "sell"
            limit = view.mid() * (1 + reach if side == "buy" else 1 - reach)
            yield self._take(side, limit, "noise" if is_noise else "touch")
        self._gap_seconds -= STEP_SECONDS

    def _background(self, view: CrowdView) -> Iterator[CrowdOrder]:
        index = float(view.index)
        if self._seen_index is None:
            for slot in self._slots:
                yield from self._requote(slot, index, view)
            self._seen_index = index
            return
        self._seen_index += (index - self._seen_index) * (1 - math.exp(-STEP_SECONDS / INDEX_LAG_SECONDS))
        for slot in self._slots:
            is_stale = slot.is_gone(view) or slot.is_off_place(self._seen_index)
            rate = REQUOTE_STALE_PER_SECOND if is_stale else REQUOTE_PER_SECOND
            if self._random.random() < rate * STEP_SECONDS:
                yield from self._requote(slot, self._seen_index, view)

    def _requote(self, slot: _Slot, seen_index: float, view: CrowdView) -> Iterator[CrowdOrder]:
        """Cancel a place's quote and put a new one, never through the other side of the book: these traders only make.

        Two new quotes of one step cannot meet either: a bid stands below the seen index and an ask above, or they give
        way outwards.
        """
        if slot.quote is not None:
            yield attrs.evolve(slot.quote, kind="cancel")
            slot.quote = None
        distance = slot.distance_bps * self._random.uniform(1 - DISTANCE_JITTER, 1 + DISTANCE_JITTER) * _BPS
        notional = self._random.uniform(QUOTE_NOTIONAL_MIN, QUOTE_NOTIONAL_MAX)
        if slot.side == "buy":
            price = self._floor(Decimal(seen_index * (1 - distance)))
            if view.best_ask is not None:
                price = min(price, view.best_ask - self._tick)
        else:
            price = self._ceiling(Decimal(seen_index * (1 + distance)))
            if view.best_bid is not None:
                price = max(price, view.best_bid + self._tick)
        if price > 0:
            quantity = self._quantity(notional * (1 + QUOTE_NOTIONAL_GROWTH * slot.level), price)
            slot.quote = CrowdOrder("quote", slot.side, price, quantity, self._tag("b"), "background")
            yield slot.quote

    def _take(self, side: Side, limit: Decimal, trader: Trader) -> CrowdOrder:
        price = max(self._floor(limit) if side == "buy" else self._ceiling(limit), self._tick)
        notional = min(self._random.lognormvariate(TAKE_NOTIONAL_MU, TAKE_NOTIONAL_SIGMA), TAKE_NOTIONAL_MAX)
        return CrowdOrder("take", side, price, self._quantity(notional, price), self._tag(trader[0]), trader)

    def _tag(self, letter: str) -> str:
        self._tags += 1
        return f"{letter}{self._tags}"

    def _draw_gap(self) -> float:
        """Draw the seconds between two market orders."""
        share = GAP_SHORT_SHARE if self._random.random() < GAP_SHORT_SHARE else 1 - GAP_SHORT_SHARE
        return self._random.expovariate(2 * share * self._numbers.market_orders_per_minute / 60)

    def _floor(self, price: Decimal) -> Decimal:
        return (price / self._tick).to_integral_value(ROUND_FLOOR) * self._tick

    def _ceiling(self, price: Decimal) -> Decimal:
        return (price / self._tick).to_integral_value(ROUND_CEILING) * self._tick

    def _quantity(self, notional: float, price: Decimal) -> Decimal:
        steps = (Decimal(notional) / price / self._step).to_integral_value(ROUND_FLOOR)
        return max(steps * self._step, self._minimum)

    def snapshot(self) -> dict[str, object]:
        """Return the whole state as JSON-able values; `restore` continues with the same future."""
        quotes = [slot.quote for slot in self._slots]
        return {
            "version": SNAPSHOT_VERSION,
            "market_id": self.market_id,
            "preset": self.preset,
            "seed": self.seed,
            "tick": str(self._tick),
            "step": str(self._step),
            "minimum": str(self._minimum),
            "informed_per_second": self._numbers.informed_per_second,
            "next_step": self._next_step,
            "tags": self._tags,
            "gap_seconds": self._gap_seconds,
            "seen_index": self._seen_index,
            "quotes": [quote and [str(quote.price), str(quote.quantity), quote.tag] for quote in quotes],
            "random": pack_random(self._random),
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Crowd:
        """Return the crowd that `snapshot` described; raise ValueError if `state` is not such a snapshot."""
        if state.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"snapshot: version {state.get('version')!r} of a crowd is not {SNAPSHOT_VERSION}")
        crowd = cls(
            read_field(state, "market_id", str),
            read_field(state, "preset", str),
            read_field(state, "seed", int),
            tick=_decimal(state.get("tick")),
            step=_decimal(state.get("step")),
            minimum=_decimal(state.get("minimum")),
            informed_per_second=read_field(state, "informed_per_second", float),
        )
        crowd._next_step = read_field(state, "next_step", int)
        crowd._tags = read_field(state, "tags", int)
        crowd._gap_seconds = read_field(state, "gap_seconds", float)
        seen_index = state.get("seen_index")
        crowd._seen_index = None if seen_index is None else read_field(state, "seen_index", float)
        crowd._random = unpack_random(state.get("random"))
        quotes = read_field(state, "quotes", list)
        if len(quotes) != len(crowd._slots):
            raise ValueError(f"snapshot: {len(quotes)} background quotes, not {len(crowd._slots)}")
        for slot, quote in zip(crowd._slots, quotes, strict=True):
            match quote:
                case None:
                    slot.quote = None
                case [str() as price, str() as quantity, str() as tag]:
                    slot.quote = CrowdOrder("quote", slot.side, _decimal(price), _decimal(quantity), tag, "background")
                case _:
                    raise ValueError(f"snapshot: not a background quote: {quote!r}")
        return crowd


def _decimal(value: object) -> Decimal:
    try:
        return Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation as error:
        raise ValueError(f"snapshot: not a number: {value!r}") from error
