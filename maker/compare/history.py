"""What happens whatever we quote: the price path and the takers' wishes. One seed, one history.

The practice exchange moves twenty times a second; days of that, for each model again, would take days. Here prices step
once a second by the same law (`paper.prices`: volatility, regimes, jumps, basis) and takers are events that want what
`paper.traders` lets them want: A exp(-k delta), clustered arrivals, order sizes. Every number of chance is drawn in an
order that no quote can change, so two models of one seed meet the same path, the same takers at the same moments with
the same reach and the same size: a difference between them is theirs. What a taker gets depends on the book, what a
taker wants never does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal

import attrs

from maker.paper.prices import (
    BASIS_BPS_MAX,
    BASIS_HALF_LIFE_SECONDS,
    BASIS_MEAN_BPS_MAX,
    BASIS_SPREAD_BPS,
    GRID_DIGITS,
    LOOKAHEAD_STEPS,
    PATH_PRESETS,
    REGIMES,
    STEPS_PER_SECOND,
    draw_jump,
    seeded,
    step_sigmas,
    time_shares,
)
from maker.paper.traders import (
    CROWD_PRESETS,
    GAP_SHORT_SHARE,
    TAKE_NOTIONAL_MAX,
    TAKE_NOTIONAL_MU,
    TAKE_NOTIONAL_SIGMA,
    TOUCH_DECAY_PER_BP,
    CrowdPreset,
)

AHEAD_SECONDS: Final = LOOKAHEAD_STEPS // STEPS_PER_SECOND  # how far informed takers see
MARKOUT_SECONDS: Final = (1, 5, 30, 60)
MORE_SECONDS: Final = max(AHEAD_SECONDS, *MARKOUT_SECONDS)  # of path after the end: what is asked for beyond it
BPS: Final = 1e-4

Kind = Literal["noise", "touch", "informed"]
KINDS: Final[tuple[Kind, ...]] = ("noise", "touch", "informed")


@attrs.frozen
class Path:
    """A market's reference and index, one value a second from 0 on; prices are whole numbers of `grid`."""

    grid: Decimal  # quote units: some fifty of them are one step of the calmest path
    reference: tuple[int, ...]
    index: tuple[int, ...]
    regime: tuple[int, ...]


def draw_path(symbol: str, start_price: Decimal, preset: str, seed: int, seconds: int) -> Path:
    """Draw `seconds` of path and MORE_SECONDS beyond; raises KeyError for an unknown preset."""
    law = PATH_PRESETS[preset]
    generator = seeded(f"compare path:{symbol}:{preset}", seed)
    gauss, dwell = generator.gauss, generator.expovariate
    sigmas = tuple(sigma * math.sqrt(STEPS_PER_SECOND) for sigma in step_sigmas(law))
    jump_seconds = 3600.0 / law.jumps_per_hour
    keep = 0.5 ** (1.0 / BASIS_HALF_LIFE_SECONDS)
    noise_bps = BASIS_SPREAD_BPS * math.sqrt(1.0 - keep**2)
    grid = Decimal(1).scaleb(start_price.adjusted() - GRID_DIGITS)

    regime = generator.choices(range(len(REGIMES)), time_shares())[0]
    regime_ends = dwell(1.0 / REGIMES[regime].dwell_seconds_mean)
    jump_at = dwell(1.0 / jump_seconds)
    basis_mean = basis = generator.uniform(-BASIS_MEAN_BPS_MAX, BASIS_MEAN_BPS_MAX)
    price = float(start_price / grid)
    references: list[int] = []
    indices: list[int] = []
    regimes: list[int] = []
    for second in range(seconds + MORE_SECONDS + 1):
        if second:
            while second >= regime_ends:
                regime = generator.choices(range(len(REGIMES)), REGIMES[regime].next_weights)[0]
                regime_ends += dwell(1.0 / REGIMES[regime].dwell_seconds_mean)
            move = gauss(0.0, sigmas[regime])
            while second >= jump_at:
                move += draw_jump(law, generator)
                jump_at += dwell(1.0 / jump_seconds)
            price = max(1.0, price * (1.0 + move))
            basis = basis_mean + (basis - basis_mean) * keep + gauss(0.0, noise_bps)
            basis = min(max(basis, -BASIS_BPS_MAX), BASIS_BPS_MAX)
        references.append(round(price))
        indices.append(round(price * (1.0 + basis * BPS)))
        regimes.append(regime)
    return Path(grid, tuple(references), tuple(indices), tuple(regimes))


@attrs.frozen
class Arrival:
    """A taker comes, and what it wants."""

    at_ms: int  # since the start
    kind: Kind
    buys: bool
    reach: float  # from mid, a fraction of it; of an informed taker: nothing, its price is what it knows
    notional: float  # quote units


def arrivals(market_id: str, preset: str, seed: int, informed_per_second: float | None = None) -> Iterator[Arrival]:
    """Draw every taker in order of time, without end; `informed_per_second` in place of the preset's, 0 for none."""
    numbers = CROWD_PRESETS[preset]
    if informed_per_second is not None:
        numbers = attrs.evolve(numbers, informed_per_second=informed_per_second)
    name = f"{market_id}:{preset}"
    streams = [market_orders(name, numbers, seed)]
    if numbers.informed_per_second > 0:
        streams += [informed(name, numbers, seed, buys) for buys in (True, False)]
    return heapq.merge(*streams, key=lambda one: one.at_ms)


def market_orders(name: str, numbers: CrowdPreset, seed: int) -> Iterator[Arrival]:
    """Noise and touch takers: one renewal process with hyperexponential gaps (`paper.traders`)."""
    generator = seeded(f"compare takers:{name}", seed)
    rate = numbers.market_orders_per_minute / 60
    seconds = 0.0
    while True:
        share = GAP_SHORT_SHARE if generator.random() < GAP_SHORT_SHARE else 1 - GAP_SHORT_SHARE
        seconds += generator.expovariate(2 * share * rate)
        is_noise = generator.random() < numbers.noise_share
        reach = generator.expovariate(numbers.decay_per_bp if is_noise else TOUCH_DECAY_PER_BP) * BPS
        buys = generator.random() < 0.5
        notional = generator.lognormvariate(TAKE_NOTIONAL_MU, TAKE_NOTIONAL_SIGMA)
        kind: Kind = "noise" if is_noise else "touch"
        yield Arrival(int(seconds * 1000), kind, buys, reach, min(notional, TAKE_NOTIONAL_MAX))


def informed(name: str, numbers: CrowdPreset, seed: int, buys: bool) -> Iterator[Arrival]:
    """Informed takers of one side look at the book at these moments, whatever stands in it."""
    generator = seeded(f"compare informed:{name}:{buys}", seed)
    seconds = 0.0
    while True:
        seconds += generator.expovariate(numbers.informed_per_second)
        notional = generator.lognormvariate(TAKE_NOTIONAL_MU, TAKE_NOTIONAL_SIGMA)
        yield Arrival(int(seconds * 1000), "informed", buys, 0.0, min(notional, TAKE_NOTIONAL_MAX))
