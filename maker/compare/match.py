"""One run of one model on one seed: the real maker, the real exchange and a market of its own, until time is up."""

from __future__ import annotations

import gc
import random
from decimal import Decimal
from typing import Final

import attrs

from maker.app.config import Config
from maker.compare.history import arrivals, draw_path
from maker.compare.ledger import Ledger
from maker.compare.result import Result
from maker.compare.seat import Seat
from maker.compare.street import Street
from maker.paper.exchange import Exchange
from maker.paper.market import MarketSpec
from maker.paper.prices import prehistory
from maker.paper.state import ExchangeSettings
from maker.storms.core_heap import START_MS, Heap

DEPOSIT: Final = Decimal(100_000)


@attrs.frozen
class Match:
    """One model on one seed: what a worker is given."""

    model: str
    config: Config
    spec: MarketSpec
    preset: str
    seed: int
    seconds: int


def play(match: Match) -> Result:
    """Play one run; the same match is the same history. Raises Unexplained."""
    collects = gc.isenabled()
    gc.disable()  # a world is one great cycle, let go whole when it is over
    try:
        return played(match)
    finally:
        if collects:
            gc.enable()


def played(match: Match) -> Result:
    spec, seed = match.spec, match.seed
    market_id = spec.market_id
    sources = match.config.markets[market_id].fair.sources
    path = draw_path(market_id, spec.index_start, match.preset, seed, match.seconds)
    heap = Heap()
    requests = match.config.budget.requests_per_minute
    settings = ExchangeSettings(seed=seed, markets=(spec,), rate_limit_per_minute=requests, perps_deposit=DEPOSIT)
    exchange = Exchange(settings, now_ms=START_MS)
    before = prehistory(market_id, spec.index_start, match.preset, seed)
    exchange.state.market(market_id).candles.before(before, START_MS)
    exchange.set_index(market_id, path.index[0] * path.grid)
    ledger = Ledger(exchange, market_id, path, DEPOSIT)
    takers = arrivals(market_id, match.preset, seed)
    street = Street(heap, exchange, spec, match.preset, path, takers, ledger, seed)
    net, rng = (random.Random(f"compare {name} {seed}") for name in ("net", "maker"))
    symbols = {name: source.symbol for name, source in sources.items()}
    seat = Seat(match.config, heap, exchange, ledger, market_id, symbols, net, rng)
    street.on_reference, street.on_change = seat.referenced, seat.stir
    street.begin()
    seat.referenced(street.quote())
    seat.begin()
    until_ms = match.seconds * 1000
    while heap.step(until_ms):
        pass
    return ledger.result(match.model, seed, match.config.markets[market_id].ladder.position_limit)
