"""A model's prices, position and parameters -> the ladder we want: levels, shrink, exits, and every bound on a price.

Levels go outward from the innermost price of a side in steps of `level_step_bps`, each `step_growth` times the one
before. All are moved out by how unsure the fair value is, bids rounded down and asks up, never nearer to fair than
`edge_bps_min` plus the maker fee (a rebate is a negative fee), never through fair value or other people's best price:
where one of these holds the innermost level out, the steps go outward from there.
The side that adds to the position shrinks from the soft limit on to nothing at the limit; with `widen_bps` it first
moves outward by as much, until halfway, and shrinks from there. Beyond the limit only the reducing side is left,
reduce-only, never more than the position itself.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

import attrs

from maker.desk.events import MarketSpec
from maker.desk.fair import FairValue
from maker.desk.units import BPS, SUBTICKS, Side, bps_of, ticks_down, ticks_up

SIZES_MAX: Final = 4096  # tables remembered: one for each size factor, that is for each position beyond the soft limit


@attrs.frozen
class LadderSettings:
    """Of one market; sizes in base units, spreads in basis points of fair value."""

    levels: int  # a side
    level_step_bps: Decimal  # from the innermost level to the second
    step_growth: Decimal  # each step outward is this much wider than the one before; 1: even steps
    level_size: Decimal
    size_growth: Decimal  # each level outward is this much larger; 1: flat
    edge_bps_min: Decimal  # after the maker fee, against fair value
    position_limit: Decimal
    position_soft_ratio: Decimal  # of the limit, from where the adding side widens, then shrinks
    widen_bps: Decimal  # the adding side moves out by so much before it shrinks; 0: it shrinks at once


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

    @property
    def sizes(self) -> tuple[int, ...]:
        """Lots of each level, both sides."""
        return tuple(level.lots for side in Side for level in self.side(side))


@attrs.frozen
class LadderInputs:
    """All that a ladder depends on besides its settings."""

    fair: FairValue
    reservation_subticks: int  # what the model would have the position at
    half_bid_subticks: int | None  # from there to the innermost bid; None: the model quotes no bid
    half_ask_subticks: int | None
    position_lots: int  # signed
    best_bid_of_others: int | None  # ticks
    best_ask_of_others: int | None
    room_bid_lots: int  # what one side may still add, worst case counted
    room_ask_lots: int
    size_factor: Fraction  # 1, or less after a margin refusal


def build(spec: MarketSpec, settings: LadderSettings, inputs: LadderInputs) -> Ladder:
    """Compute the ladder; empty sides where nothing may be quoted."""
    limit_lots = spec.grid.size.count_down(settings.position_limit)
    position = inputs.position_lots
    beyond = abs(position) >= limit_lots
    adding = Side.BUY if position > 0 else Side.SELL
    sides: dict[Side, tuple[Level, ...]] = {}
    for side in Side:
        room = inputs.room_bid_lots if side is Side.BUY else inputs.room_ask_lots
        factor, wider = inputs.size_factor, Fraction(0)
        if factor != 1:
            room = int(room * factor)  # room decides the size too, and must shrink with it
        if beyond:
            # Exits keep their size whatever the margin says: they only ever reduce.
            factor = Fraction(0) if side is adding else Fraction(1)
            room = min(inputs.room_bid_lots if side is Side.BUY else inputs.room_ask_lots, abs(position))
        elif position and side is adding:
            smaller, wider = lean(abs(position), limit_lots, settings)
            factor *= smaller
        half = inputs.half_bid_subticks if side is Side.BUY else inputs.half_ask_subticks
        if half is None and not (beyond and side is not adding):
            sides[side] = ()
            continue
        # An exit is quoted whatever the model says: at the least distance that the bounds leave.
        sizes = level_sizes(spec, settings, factor, room)
        half = (half or 0) + int(bps_of(inputs.fair.subticks, settings.widen_bps) * wider)
        sides[side] = place(spec, settings, inputs, side, inputs.reservation_subticks - side.sign * half, sizes)
    return Ladder(sides[Side.BUY], sides[Side.SELL], reduce_only=adding.opposite if beyond else None)


def lean(position_lots: int, limit_lots: int, settings: LadderSettings) -> tuple[Fraction, Fraction]:
    """Size factor of the adding side, and how much of `widen_bps` it is moved out.

    Up to the soft limit (1, 0). Then the size falls in a line to 0 at the limit; with `widen_bps` the move out rises in
    a line to 1 at the middle between soft limit and limit, and only from there on the size falls.
    """
    ratio, soft = Fraction(position_lots, limit_lots), Fraction(settings.position_soft_ratio)
    if ratio <= soft:
        return Fraction(1), Fraction(0)
    if not settings.widen_bps:
        return max(Fraction(0), (1 - ratio) / (1 - soft)), Fraction(0)
    middle = (1 + soft) / 2
    return max(Fraction(0), min(Fraction(1), (1 - ratio) / (1 - middle))), min(
        Fraction(1), (ratio - soft) / (middle - soft)
    )


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
    spec: MarketSpec, settings: LadderSettings, inputs: LadderInputs, side: Side, innermost: int, sizes: list[int]
) -> tuple[Level, ...]:
    """Give each size its tick: outward, strictly apart, inside no bound; outside the price band it is dropped."""
    fair, sign = inputs.fair.subticks, side.sign
    edge = max(Decimal(0), settings.edge_bps_min + spec.maker_fee_bps)
    nearest = round_away(fair - sign * bps_of(fair, edge), side)
    if side is Side.SELL:
        nearest = max(nearest, ticks_down(fair) + 1)  # where a rebate leaves no edge, both sides would meet at fair
    others = inputs.best_ask_of_others if side is Side.BUY else inputs.best_bid_of_others
    if others is not None:
        nearest = min(nearest, others - 1) if side is Side.BUY else max(nearest, others + 1)
    # Where a bound holds the innermost level out, the others keep their distance from it: at one price all of them
    # would go to one taker, at the least edge there is.
    first = innermost - sign * inputs.fair.half_width_subticks
    first = min(first, nearest * SUBTICKS) if side is Side.BUY else max(first, nearest * SUBTICKS)
    outward = distances(settings.level_step_bps, settings.step_growth, settings.levels)
    levels: list[Level] = []
    for bps, lots in zip(outward, sizes, strict=False):
        ticks = round_away(first - sign * bps_of(fair, bps), side)
        if levels:  # two levels never share a tick
            after = levels[-1].ticks - sign
            ticks = min(ticks, after) if side is Side.BUY else max(ticks, after)
        if in_band(spec, ticks):
            levels.append(Level(ticks, lots))
    return tuple(levels)


@lru_cache(maxsize=SIZES_MAX)
def distances(step: Decimal, growth: Decimal, levels: int) -> tuple[Decimal, ...]:
    """How far out of the innermost level each level is, basis points."""
    return tuple(sum((step * growth**inner for inner in range(index)), Decimal(0)) for index in range(levels))


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
