"""Fair value, position and parameters -> the ladder we want: spread, skew, shrink, levels.

The reservation price is fair value moved against the position, `fair - ratio * skew_bps`, ratio being position over
limit: long, both sides move down, so that we sell sooner. Levels go outward from `half_spread_bps` around it in steps
of `level_step_bps`, bids rounded down and asks up, never nearer to fair than `edge_bps_min` plus the maker fee, never
through other people's best price. The side that adds to the position shrinks from the soft limit on to nothing at the
limit; beyond the limit only the reducing side is left, reduce-only, never more than the position itself.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

import attrs

from maker.desk.events import MarketSpec
from maker.desk.fair import FairValue
from maker.desk.units import BPS, Side, bps_of, ticks_down, ticks_up

SIZES_MAX: Final = 4096  # tables remembered: one for each size factor, that is for each position beyond the soft limit


@attrs.frozen
class LadderSettings:
    """Of one market; sizes in base units, spreads in basis points of fair value."""

    levels: int  # a side
    half_spread_bps: Decimal  # innermost level to reservation price
    level_step_bps: Decimal
    level_size: Decimal
    size_growth: Decimal  # each level outward is this much larger; 1: flat
    edge_bps_min: Decimal  # after the maker fee, against fair value
    skew_bps: Decimal  # at the full position limit
    position_limit: Decimal
    position_soft_ratio: Decimal  # of the limit, from where the adding side shrinks


@attrs.frozen
class Level:
    ticks: int
    lots: int


@attrs.frozen
class Ladder:
    """What we want to rest, best level first. `reduce_only` side: exits beyond the limit."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    reduce_only: Side | None = None

    @property
    def empty(self) -> bool:
        return not self.bids and not self.asks

    def side(self, side: Side) -> tuple[Level, ...]:
        return self.bids if side is Side.BUY else self.asks

    def lots(self, side: Side) -> int:
        """All lots of one side."""
        return sum(level.lots for level in self.side(side))


@attrs.frozen
class LadderInputs:
    """All that a ladder depends on besides its settings."""

    fair: FairValue
    position_lots: int  # signed
    best_bid_of_others: int | None  # ticks
    best_ask_of_others: int | None
    room_bid_lots: int  # what one side may still add, worst case counted
    room_ask_lots: int
    size_factor: Fraction  # 1, or less after a margin refusal


def build(spec: MarketSpec, settings: LadderSettings, inputs: LadderInputs) -> Ladder:
    """Compute the ladder; empty sides where nothing may be quoted."""
    fair = inputs.fair.subticks
    limit_lots = spec.grid.size.count_down(settings.position_limit)
    position = inputs.position_lots
    reservation = fair - bps_of(fair, settings.skew_bps) * position // limit_lots
    beyond = abs(position) >= limit_lots
    adding = Side.BUY if position > 0 else Side.SELL
    sides: dict[Side, tuple[Level, ...]] = {}
    for side in Side:
        room = inputs.room_bid_lots if side is Side.BUY else inputs.room_ask_lots
        factor = inputs.size_factor
        if factor != 1:
            room = int(room * factor)  # room decides the size too, and must shrink with it
        if beyond:
            # Exits keep their size whatever the margin says: they only ever reduce.
            factor = Fraction(0) if side is adding else Fraction(1)
            room = min(inputs.room_bid_lots if side is Side.BUY else inputs.room_ask_lots, abs(position))
        elif position and side is adding:
            factor *= shrink(abs(position), limit_lots, settings.position_soft_ratio)
        sizes = level_sizes(spec, settings, factor, room)
        sides[side] = place(spec, settings, inputs, side, reservation, sizes)
    return Ladder(sides[Side.BUY], sides[Side.SELL], reduce_only=adding.opposite if beyond else None)


def shrink(position_lots: int, limit_lots: int, soft_ratio: Decimal) -> Fraction:
    """Size factor of the adding side: 1 up to the soft limit, falling in a line to 0 at the limit."""
    ratio = Fraction(position_lots, limit_lots)
    soft = Fraction(soft_ratio)
    if ratio <= soft:
        return Fraction(1)
    return max(Fraction(0), (1 - ratio) / (1 - soft))


def level_sizes(spec: MarketSpec, settings: LadderSettings, factor: Fraction, room_lots: int) -> list[int]:
    """Lots of each level, innermost first; outer levels go first when room is short, small ones are left out."""
    sizes: list[int] = []
    for wanted in whole_sizes(settings.level_size, settings.size_growth, settings.levels, spec.grid.size.step, factor):
        lots = min(wanted, room_lots)
        if lots < spec.lots_min or lots <= 0:
            break
        sizes.append(lots)
        room_lots -= lots
    return sizes


@lru_cache(maxsize=SIZES_MAX)
def whole_sizes(size: Decimal, growth: Decimal, levels: int, step: Decimal, factor: Fraction) -> tuple[int, ...]:
    """Lots of each level with all the room in the world: a table, for exact fractions cost more than all the rest."""
    base, grown = Fraction(size) / Fraction(step) * factor, Fraction(growth)
    return tuple(int(base * grown**index) for index in range(levels))


def place(
    spec: MarketSpec, settings: LadderSettings, inputs: LadderInputs, side: Side, reservation: int, sizes: list[int]
) -> tuple[Level, ...]:
    """Give each size its tick: outward, strictly apart, inside no bound; outside the price band it is dropped."""
    fair, sign = inputs.fair.subticks, side.sign
    fee = spec.maker_fee_bps if spec.maker_fee_bps > 0 else Decimal(0)  # a rebate widens the edge, never the price
    nearest = round_away(fair - sign * bps_of(fair, settings.edge_bps_min + fee), side)
    others = inputs.best_ask_of_others if side is Side.BUY else inputs.best_bid_of_others
    if others is not None:
        nearest = min(nearest, others - 1) if side is Side.BUY else max(nearest, others + 1)
    half = bps_of(fair, settings.half_spread_bps) + inputs.fair.half_width_subticks
    step = bps_of(fair, settings.level_step_bps)
    levels: list[Level] = []
    for index, lots in enumerate(sizes):
        ticks = round_away(reservation - sign * (half + index * step), side)
        ticks = min(ticks, nearest) if side is Side.BUY else max(ticks, nearest)
        if levels:  # two levels never share a tick
            after = levels[-1].ticks - sign
            ticks = min(ticks, after) if side is Side.BUY else max(ticks, after)
        if in_band(spec, ticks):
            levels.append(Level(ticks, lots))
    return tuple(levels)


def round_away(subticks: int, side: Side) -> int:
    """A bid down, an ask up: away from fair."""
    return ticks_down(subticks) if side is Side.BUY else ticks_up(subticks)


def in_band(spec: MarketSpec, ticks: int) -> bool:
    """Whether the exchange would take this price at all."""
    low = spec.band_low_ticks if spec.band_low_ticks is not None else 1
    return max(1, low) <= ticks and (spec.band_high_ticks is None or ticks <= spec.band_high_ticks)


def moved_bps(ladder: Ladder, other: Ladder) -> Decimal:
    """Largest move between the innermost levels of two ladders, in basis points; a side come or gone is infinite."""
    worst = Decimal(0)
    for side in Side:
        ours, theirs = ladder.side(side), other.side(side)
        if bool(ours) != bool(theirs):
            return Decimal("Infinity")
        if ours:
            worst = max(worst, Decimal(abs(ours[0].ticks - theirs[0].ticks) * BPS) / ours[0].ticks)
    return worst
