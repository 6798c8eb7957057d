"""One run of one model, and the pair: the model, and a fixed one without skew at the same mean quoted half-spread.

What a fixed model quotes differs from its parameter by what the ladder adds (rounding, the reference's own spread, the
least edge): a probe of an hour tells how much, and the counterpart runs at the parameter that should meet the model's
mean. Where it misses by more than SPREAD_TOLERANCE it runs again, corrected, CORRECTIONS_MAX times.
"""

from __future__ import annotations

import gc
import random
from decimal import Decimal
from typing import Final

import attrs

from maker.app.config import Config
from maker.compare.history import arrivals, draw_path
from maker.compare.ledger import Ledger
from maker.compare.result import Pair, Result
from maker.compare.seat import Seat
from maker.compare.street import Street
from maker.compare.variants import HALF_SPREAD_DIGITS, UNSKEWED, fixed, is_fixed
from maker.paper.exchange import Exchange
from maker.paper.market import MarketSpec
from maker.paper.prices import prehistory
from maker.paper.state import ExchangeSettings
from maker.storms.core_heap import START_MS, Heap

DEPOSIT: Final = Decimal(100_000)
SPREAD_TOLERANCE: Final = 0.05  # of the model's mean quoted half-spread
CORRECTIONS_MAX: Final = 2
PROBE_SECONDS: Final = 3600


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


def play_pair(match: Match) -> Pair:
    """Play a model and its counterpart. Raises Unexplained."""
    model = play(match)
    market_id = match.spec.market_id
    wanted = model.quotes.half_spread_bps
    if is_fixed(match.config, market_id) or not wanted:
        return Pair(model, None, 0)

    def counterpart(half_spread_bps: float, seconds: int) -> Result:
        parameter = Decimal(half_spread_bps).quantize(HALF_SPREAD_DIGITS)
        config = fixed(match.config, market_id, parameter)
        return play(attrs.evolve(match, model=UNSKEWED, config=config, seconds=seconds))

    parameter, runs = wanted, 1
    found = counterpart(parameter, min(PROBE_SECONDS, match.seconds))
    for _ in range(CORRECTIONS_MAX + 1):
        parameter = max(0.0, parameter + wanted - found.quotes.half_spread_bps)
        found = counterpart(parameter, match.seconds)
        runs += 1
        if abs(found.quotes.half_spread_bps / wanted - 1) <= SPREAD_TOLERANCE:
            break
    return Pair(model, found, runs)
