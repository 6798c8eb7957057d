"""The market of a comparison: the real exchange, a price that steps once a second, takers and a thin background.

Each second: the ledger looks at what rested, the index moves, the reference venue's quote leaves for the maker; half a
second later the background follows. Takers come when their history says so, and look at the book as they find it:

- noise and touch takers pay up to their reach from the book's mid;
- informed takers know the reference two seconds ahead and pay up to what the index will then be worth, less their cost;
- background makers keep eight quotes a side from 5 to 40 bp, off their place for a second or so after a move.

Who does not reach a quote does not trouble the exchange: its order would have expired without effect.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Final

import attrs

from maker.compare.history import AHEAD_SECONDS, BPS, Arrival, Path
from maker.compare.ledger import Ledger
from maker.paper.exchange import Exchange
from maker.paper.market import MarketSpec
from maker.paper.prices import REGIMES, SIZE_NOTIONAL_MAX, SIZE_NOTIONAL_MIN, TICK_DIGITS, seeded
from maker.paper.prices import ReferenceQuote as Quote
from maker.paper.traders import (
    CROWD_PRESETS,
    DISTANCE_JITTER,
    FARTHEST_BPS,
    INDEX_LAG_SECONDS,
    LEVELS,
    NEAREST_BPS,
    QUOTE_NOTIONAL_GROWTH,
    QUOTE_NOTIONAL_MAX,
    QUOTE_NOTIONAL_MIN,
    REQUOTE_STALE_PER_SECOND,
    STALE_SHARE,
)
from maker.storms.core_heap import Heap

MAKERS: Final = "makers"  # two accounts of the crowd: one would not trade with itself
TAKERS: Final = "takers"
FOLLOW_MS: Final = 500  # after the price: the background is late
REQUOTE_PER_SECOND: Final = 1 / 60  # of a quote with which nothing is wrong: seldom, for each costs the same as a fill
REQUOTE_CHANCE: Final = 1 - math.exp(-REQUOTE_PER_SECOND)  # within a second
REQUOTE_STALE_CHANCE: Final = 1 - math.exp(-REQUOTE_STALE_PER_SECOND)
SEEN_SHARE: Final = 1 - math.exp(-1 / INDEX_LAG_SECONDS)  # of the index's move, within a second
ADVANCE_SECONDS: Final = 5  # between two looks at funding and liquidations: divides funding's five minutes
WANTED: Final = struct.Struct("<q8s?dd")  # an arrival, as the fingerprint of what was drawn takes it
SIZE_SPREAD: Final = math.log(SIZE_NOTIONAL_MAX / SIZE_NOTIONAL_MIN)


@attrs.define(eq=False)
class Place:
    """Where one background quote stands."""

    buys: bool
    distance: float  # from the index, a fraction
    growth: float  # of its size with each level outward
    order_id: str = ""
    price: float = 0.0


def places() -> list[Place]:
    ratio = (FARTHEST_BPS / NEAREST_BPS) ** (1 / (LEVELS - 1))
    return [
        Place(buys, NEAREST_BPS * ratio**level * BPS, 1 + QUOTE_NOTIONAL_GROWTH * level)
        for level in range(LEVELS)
        for buys in (True, False)
    ]


@attrs.define(eq=False)
class Street:
    """One market and everybody on it but us."""

    heap: Heap
    exchange: Exchange
    spec: MarketSpec
    preset: str
    path: Path
    takers: Iterator[Arrival]
    ledger: Ledger
    seed: int
    on_reference: Callable[[Quote], None] = lambda _quote: None  # leaves the reference venue
    on_change: Callable[[], None] = lambda: None  # the book or our account may have changed
    second: int = 0
    places: list[Place] = attrs.field(factory=places)
    seen_index: float = 0.0
    background: random.Random = attrs.field(init=False)
    sizes: random.Random = attrs.field(init=False)
    cost: float = attrs.field(init=False)
    tick: float = attrs.field(init=False)
    grid: float = attrs.field(init=False)  # of the path
    reference_tick: Decimal = attrs.field(init=False)
    halves: tuple[Decimal, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        name = f"{self.spec.market_id}:{self.preset}"
        self.background = seeded(f"compare background:{name}", self.seed)
        self.sizes = seeded(f"compare sizes:{name}", self.seed)
        self.cost = CROWD_PRESETS[self.preset].informed_cost_bps * BPS
        self.tick, self.grid = float(self.spec.tick_size), float(self.path.grid)
        self.reference_tick = Decimal(1).scaleb(self.spec.index_start.adjusted() - TICK_DIGITS)
        self.halves = tuple(Decimal(str(regime.spread_bps)) / 20_000 for regime in REGIMES)
        self.exchange.open_crowd(MAKERS)
        self.exchange.open_crowd(TAKERS)

    @property
    def market_id(self) -> str:
        return self.spec.market_id

    def begin(self) -> None:
        """Put the background in its places and let time pass."""
        self.seen_index = float(self.exchange.index(self.market_id))
        self.follow(first=True)
        self.heap.after(1.0, self.step)
        self.next_taker()

    # -- the price

    def step(self) -> None:
        """A second is over."""
        self.ledger.sample()
        self.second += 1
        self.exchange.set_index(self.market_id, self.path.index[self.second] * self.path.grid)
        if self.second % ADVANCE_SECONDS == 0:
            self.exchange.advance(self.heap.unix_ms)
            self.ledger.funded()
        self.on_reference(self.quote())
        self.heap.at(self.heap.ms + FOLLOW_MS, self.follow)
        self.heap.at(self.heap.ms + 1000, self.step)

    def quote(self) -> Quote:
        """The reference venue's best bid and ask, rounded outward to its tick."""
        mid = self.path.reference[self.second] * self.path.grid
        half = mid * self.halves[self.path.regime[self.second]]
        tick = self.reference_tick
        bid = (mid - half) // tick * tick
        ask = -(-(mid + half) // tick) * tick
        bid_size, ask_size = (
            Decimal(round(SIZE_NOTIONAL_MIN * math.exp(SIZE_SPREAD * self.sizes.random()))) / mid for _ in range(2)
        )
        return Quote(bid, round(bid_size, 4), ask, round(ask_size, 4))

    # -- takers

    def next_taker(self) -> None:
        one = next(self.takers)
        self.heap.at(one.at_ms, partial(self.take, one))

    def take(self, one: Arrival) -> None:
        """A taker looks at the book, and takes what it wants of it."""
        self.ledger.drawn.update(WANTED.pack(one.at_ms, one.kind.encode(), one.buys, one.reach, one.notional))
        best_bid, best_ask = self.exchange.best(self.market_id)
        best = best_ask if one.buys else best_bid
        if best is not None:
            limit = self.limit(one, best_bid, best_ask)
            if limit >= float(best) if one.buys else limit <= float(best):
                ticks = math.floor(limit / self.tick) if one.buys else math.ceil(limit / self.tick)
                self.trade(one, self.spec.tick_size * max(1, ticks))
        self.next_taker()

    def limit(self, one: Arrival, best_bid: Decimal | None, best_ask: Decimal | None) -> float:
        """The worst price a taker pays."""
        sign = 1 if one.buys else -1
        if one.kind == "informed":
            now, path = self.second, self.path
            ahead = path.index[now] * path.reference[now + AHEAD_SECONDS] / path.reference[now] * self.grid
            return ahead * (1 - sign * self.cost)
        if best_bid is None or best_ask is None:
            mid = float(self.exchange.index(self.market_id))
        else:
            mid = float(best_bid + best_ask) / 2
        return mid * (1 + sign * one.reach)

    def trade(self, one: Arrival, price: Decimal) -> None:
        self.exchange.place_crowd_order(
            TAKERS,
            self.market_id,
            "buy" if one.buys else "sell",
            price,
            self.quantity(one.notional, float(price)),
            time_in_force="ioc",
            now_ms=self.heap.unix_ms,
        )
        self.ledger.look(one.kind)
        self.on_change()

    def quantity(self, notional: float, price: float) -> Decimal:
        """A value in base units, on the step, at least the minimum."""
        return max(self.spec.quantity_min, self.spec.step_size * int(notional / price / float(self.spec.step_size)))

    # -- the background

    def follow(self, *, first: bool = False) -> None:
        """Each background maker looks at its quote; three draws each, whatever it finds."""
        index = float(self.exchange.index(self.market_id))
        self.seen_index += (index - self.seen_index) * SEEN_SHARE
        resting = self.exchange.state.registries[MAKERS].open
        draw, changed = self.background.random, False
        for place in self.places:
            drawn, jitter, size = draw(), draw(), draw()
            gone = place.order_id not in resting
            ideal = self.seen_index * (1 - place.distance if place.buys else 1 + place.distance)
            stale = gone or abs(place.price / ideal - 1) > STALE_SHARE * place.distance
            if first or drawn < (REQUOTE_STALE_CHANCE if stale else REQUOTE_CHANCE):
                self.requote(place, gone, jitter, size)
                changed = True
        if changed:
            self.on_change()

    def requote(self, place: Place, gone: bool, jitter: float, size: float) -> None:
        """Cancel a place's quote and put a new one, never through the other side of the book."""
        now_ms, tick = self.heap.unix_ms, self.spec.tick_size
        if not gone:
            self.exchange.cancel_crowd_order(MAKERS, place.order_id, now_ms)
        place.order_id = ""
        away = place.distance * (1 + DISTANCE_JITTER * (2 * jitter - 1))
        notional = (QUOTE_NOTIONAL_MIN + (QUOTE_NOTIONAL_MAX - QUOTE_NOTIONAL_MIN) * size) * place.growth
        best_bid, best_ask = self.exchange.best(self.market_id)
        if place.buys:
            price = tick * math.floor(self.seen_index * (1 - away) / self.tick)
            price = price if best_ask is None else min(price, best_ask - tick)
        else:
            price = tick * math.ceil(self.seen_index * (1 + away) / self.tick)
            price = price if best_bid is None else max(price, best_bid + tick)
        placed = self.exchange.place_crowd_order(
            MAKERS,
            self.market_id,
            "buy" if place.buys else "sell",
            price,
            self.quantity(notional, float(price)),
            post_only=True,
            now_ms=now_ms,
        )
        if placed is not None:
            place.order_id, place.price = placed.order_id, float(price)
