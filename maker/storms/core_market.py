"""The market around the core world's exchange: an index that moves every few seconds, a crowd, and a taker.

Twenty steps a second, as the practice exchange makes, would cost a hundred times as much. What is tested here is
sequence and accounting, and a fill is a fill.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

import attrs

from maker.paper.exchange import Exchange
from maker.paper.market import MarketSpec as PaperSpec
from maker.paper.marketplace import STILL, Marketplace, reference_symbol
from maker.paper.prices import prehistory
from maker.paper.state import ExchangeSettings
from maker.paper.switches import Switches
from maker.storms.core_checks import Judge
from maker.storms.core_faults import Faults
from maker.storms.core_heap import START_MS, Heap

CROSSING_SHARE: Final = 0.12  # of our ladders meet a trade while they are on their way, or just after
CROSSING_SECONDS: Final = 0.12
CROWD: Final = "crowd"  # quotes beside ours
TAKERS: Final = "takers"  # trade with us
MOVE_SECONDS: Final = 26.0  # between two moves of a market, on average
STREAM_SECONDS: Final = 0.1  # the fastest documented cadence
LATENCY_SECONDS: Final = 0.025  # one way, median
SLOW_SHARE: Final = 0.02  # of the ways are this much slower
SLOW_FACTOR: Final = 20.0
DEPTH: Final = 25
CALM: Final = "normal"  # how restless the hour before was
BROKEN_BODIES: Final = (b"<html>Bad gateway</html>", b"", b'{"marketId":"BTC-PERP","quoteId":')
REFUSALS: Final = ((400, "INVALID_BODY"), (404, "MARKET_NOT_FOUND"), (409, "CONFLICTING_STATE"), (422, "TOO_SMALL"))
SERVER_ERRORS: Final = (500, 502, 503)


@attrs.define(eq=False)
class Street:
    """The exchange and what moves it besides us."""

    heap: Heap
    faults: Faults
    judge: Judge
    place: Marketplace
    market_ids: tuple[str, ...]
    net: random.Random  # latencies
    flow: random.Random  # the market
    open_only: bool  # how streams state a closed position: only by its id, or as a row too
    on_reference: Callable[[bytes], None] = lambda _message: None
    index_ticks: dict[str, int] = attrs.field(factory=dict)
    basis: dict[str, Decimal] = attrs.field(factory=dict)  # reference over index
    crowd: dict[str, list[str]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.exchange.open_crowd(CROWD)
        self.exchange.open_crowd(TAKERS)
        for market_id in self.market_ids:
            spec = self.spec(market_id)
            self.index_ticks[market_id] = int(spec.index_start / spec.tick_size)
            self.basis[market_id] = 1 + Decimal(self.flow.randint(-10, 10)) / 10_000
            self.crowd[market_id] = []
            self.requote(market_id)
            self.heap.after(self.flow.uniform(0.5, MOVE_SECONDS), partial(self.move, market_id))

    @property
    def exchange(self) -> Exchange:
        return self.place.exchange

    @property
    def user(self) -> str:
        return self.exchange.user_id

    def spec(self, market_id: str) -> PaperSpec:
        return self.exchange.state.markets[market_id].spec

    def latency(self) -> float:
        """Seconds of one way."""
        seconds = LATENCY_SECONDS * self.net.lognormvariate(0.0, 0.6)
        return min(0.9, seconds * SLOW_FACTOR if self.net.random() < SLOW_SHARE else seconds)

    def stir(self) -> None:
        """Something may have changed: the streams, where there are any, have to look."""

    def move(self, market_id: str) -> None:
        """The index moves a little, the crowd quotes around it, and now and then somebody trades with us."""
        flow = self.flow
        self.heap.after(flow.expovariate(1 / MOVE_SECONDS), partial(self.move, market_id))
        self.set_index(market_id, self.index_ticks[market_id] * (1 + flow.gauss(0.0, 0.0002)))
        self.exchange.advance(self.heap.unix_ms)
        if flow.random() < 0.5:
            self.requote(market_id)
        if flow.random() < 0.5:
            self.take(market_id, flow.choice(("buy", "sell")), flow.uniform(0.1, 2.0), levels=flow.randint(1, 3))
        self.stir()

    def crossing(self, market_id: str) -> None:
        """A trade with us, whatever the index does: it meets the old ladder, the new one, or none."""
        self.take(market_id, self.flow.choice(("buy", "sell")), self.flow.uniform(0.1, 2.0), levels=1)
        self.stir()

    def set_index(self, market_id: str, ticks: float) -> None:
        self.index_ticks[market_id] = max(1000, round(ticks))
        self.exchange.set_index(market_id, self.index(market_id))
        self.reference(market_id)

    def index(self, market_id: str) -> Decimal:
        return self.spec(market_id).tick_size * self.index_ticks[market_id]

    def reference(self, market_id: str) -> None:
        """The reference venue says its best bid and ask."""
        if self.faults.holds("reference_silent"):
            return
        price = (self.index(market_id) * self.basis[market_id]).quantize(Decimal("0.0001"))
        half = (price / 20_000).quantize(Decimal("0.0001"))
        symbol = reference_symbol(self.spec(market_id))
        message = (
            f'{{"type":"bbo","symbol":"{symbol}","bid":"{price - half}","bidSize":"1","ask":"{price + half}",'
            f'"askSize":"1"}}'
        ).encode()
        self.heap.after(self.latency(), partial(self.on_reference, message))

    def requote(self, market_id: str) -> None:
        """The crowd's best bid and ask, new."""
        spec, flow, now_ms = self.spec(market_id), self.flow, self.heap.unix_ms
        for order_id in self.crowd[market_id]:
            self.exchange.cancel_crowd_order(CROWD, order_id, now_ms)
        self.crowd[market_id] = []
        for side, sign in (("buy", -1), ("sell", 1)):
            away = max(1, int(self.index_ticks[market_id] * flow.uniform(0.0003, 0.0012)))
            price = spec.tick_size * (self.index_ticks[market_id] + sign * away)
            quantity = spec.quantity_min * flow.randint(10, 500)
            placed = self.exchange.place_crowd_order(
                CROWD, market_id, side, price, quantity, post_only=True, now_ms=now_ms
            )
            if placed is not None:
                self.crowd[market_id].append(placed.order_id)

    def take(self, market_id: str, side: str, share: float, *, levels: int) -> bool:
        """Somebody takes from us: `share` of our best level's size, reaching so many of our levels."""
        if self.faults.holds("stream_heartbeats", market_id):
            return False  # while a stream only beats, nothing happens: that is what its silence says
        resting = [order for order in self.ours(market_id) if order.side != side]
        if not resting:
            return False
        resting.sort(key=lambda order: order.price, reverse=side == "sell")
        reached = resting[:levels]
        spec = self.spec(market_id)
        wanted = reached[0].remaining * Decimal(str(round(share * levels, 2)))
        lots = max(1, int(wanted / spec.quantity_min))
        self.exchange.place_crowd_order(
            TAKERS,
            market_id,
            side,
            reached[-1].price,
            spec.quantity_min * lots,
            time_in_force="ioc",
            now_ms=self.heap.unix_ms,
        )
        return True

    def ours(self, market_id: str) -> list[Any]:
        """Our resting orders of a market, the exchange's own objects."""
        return [
            order for order in self.exchange.state.registries[self.user].open.values() if order.market_id == market_id
        ]


def make_place(markets: tuple[PaperSpec, ...], seed: int, switches: Switches, deposit: Decimal) -> Marketplace:
    """The exchange with nothing around it."""
    settings = ExchangeSettings(seed=seed, markets=markets, switches=switches, perps_deposit=deposit)
    place = Marketplace(settings, preset=STILL, start_ms=START_MS)
    for spec in markets:
        closes = prehistory(spec.market_id, spec.index_start, CALM, seed)
        place.exchange.state.market(spec.market_id).candles.before(closes, START_MS)
    return place
