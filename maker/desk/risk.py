"""Hard limits. `approve` is the only maker of an ApprovedLadder, and only an ApprovedLadder is ever sent.

The ladder is built to fit; this room does not trust that. It knows nothing of why a price was chosen.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.desk.account import MarketAccount
from maker.desk.fair import FairValue, beyond
from maker.desk.ladder import Ladder, in_band
from maker.desk.units import SUBTICKS, Side

WHOLE: Final = Decimal(1)  # of a cap: no ramp


@attrs.frozen
class Limits:
    """Of one market; nothing can raise them while the program runs, and only a person can lower them."""

    position_limit: Decimal  # base, either side, worst case counted
    order_size_max: Decimal  # base, one order
    order_value_max: Decimal  # quote, one order
    open_size_max: Decimal  # base, one side: all that may still fill there, the ladder and what it replaces together
    position_value_max: Decimal  # quote, either side, worst case counted, at fair value
    collar_bps: Decimal  # no price further than this from fair value
    index_collar_bps: Decimal  # ... from the exchange's own index
    window_collar_bps: Decimal  # ... from the fair value of `window_seconds` ago
    window_seconds: float
    jump_bps: Decimal  # fair value moved this far within `jump_seconds`: frozen until the new level is confirmed
    jump_seconds: float
    jump_confirm_seconds: float  # the new level must hold within `jump_bps` for so long
    burst_size_max: Decimal  # base, both sides: more than this filled within `burst_seconds` pulls
    burst_value_max: Decimal  # quote, both sides, likewise
    burst_seconds: float
    burst_freeze_seconds: float  # after these two the market is not quoted for so long; 0: until a person clears it
    burst_fills_max: int  # on one side within `burst_seconds`: more always stop for a person


@attrs.frozen
class AccountLimits:
    """Of the whole account."""

    value_max: Decimal  # quote: sum over markets of the larger worst-case position at fair value
    drawdown_max: Decimal  # quote: lost since the best moment of the run, then stop for a person
    daily_loss_max: Decimal  # quote: lost since the exchange's day began, or since the start; then stop for a person
    ramp_seconds: float  # from the first ladder of a run on, positions are capped at ...
    ramp_ratio: Decimal  # ... this share of position_limit, position_value_max and value_max; 1: no ramp


@attrs.frozen
class Refused:
    """The ladder must not be sent, and why."""

    reason: str


@attrs.frozen(eq=False)
class Seal:
    """Says which ladder was approved, so that it cannot be moved to another."""

    ladder: Ladder


def sealed(instance: ApprovedLadder, _attribute: object, value: object) -> None:
    assert isinstance(value, Seal), "only risk.approve makes an ApprovedLadder"
    assert value.ladder is instance.ladder, "only risk.approve makes an ApprovedLadder"


@attrs.frozen
class ApprovedLadder:
    """A ladder that passed every limit."""

    ladder: Ladder
    seal: object = attrs.field(validator=sealed, repr=False)


@attrs.frozen
class Surroundings:
    """What the ladder will meet: prices of others, where fair value was, the other markets' worst case, the ramp."""

    best_bid_of_others: int | None  # ticks
    best_ask_of_others: int | None
    other_markets_value: Decimal  # quote
    index_subticks: int | None  # the exchange's index; None: it has stated none
    earlier_subticks: int | None  # fair value `window_seconds` ago; None: none was known yet
    ramp: Decimal = WHOLE  # share of the position caps that holds now


def value_of(account: MarketAccount, lots: int, fair: FairValue) -> Decimal:
    """Value of so many lots at fair value, in quote currency."""
    return account.spec.grid.notional(1, lots) * fair.subticks / SUBTICKS


def cap_lots(
    account: MarketAccount, fair: FairValue, limits: Limits, all_markets: AccountLimits, around: Surroundings
) -> int:
    """Lots either side's worst case may come to now: the tightest of size, value, and what the account has left.

    At the start of a run all three are a share of themselves. It caps what adds to a position; exits never ask it.
    """
    left = min(
        limits.position_value_max * around.ramp, all_markets.value_max * around.ramp - around.other_markets_value
    )
    a_lot = value_of(account, 1, fair)
    by_value = int(left // a_lot) if left > 0 and a_lot > 0 else 0
    return min(account.spec.grid.size.count_down(limits.position_limit * around.ramp), by_value)


def order_lots_max(account: MarketAccount, ticks: int, limits: Limits) -> int:
    """Lots that one order at a price may have at most, by size and by value; the exchange's minimum is no matter."""
    grid = account.spec.grid
    by_value = int(limits.order_value_max // grid.notional(ticks, 1))
    return min(grid.size.count_down(limits.order_size_max), by_value)


def room_lots(account: MarketAccount, limits: Limits, side: Side, cap: int) -> int:
    """Lots a ladder may have on one side now: what is left of the cap once everything that may fill has filled.

    At most half of what the position alone leaves, so that a ladder and the one that replaces it always both fit; the
    same of the open size. A side that reduces has its position to go through before it adds.
    """
    pick = max if side is Side.BUY else min
    position = side.sign * pick(account.position_lots, account.position_summed_lots)
    left = cap - position
    may_fill = account.may_fill_lots(side)
    open_max = account.spec.grid.size.count_down(limits.open_size_max)
    return max(0, min(left - may_fill, left // 2, open_max - may_fill, open_max // 2))


def beyond_limit(account: MarketAccount, limits: Limits) -> str:
    """Say how far the position is beyond its limit; empty when it is not.

    `approve` counts everything that may fill, so our own orders cannot bring it there. A position found beyond the
    limit, at the start or when the limit was lowered, may be worked off, never grown. Only a position that our fills
    explain is judged: one they do not has a reason of its own.
    """
    if not account.explained:
        return ""
    limit = account.spec.grid.size.count_down(limits.position_limit)
    for side in Side:
        found = side.sign * account.position_found_lots[side]
        allowed = max(limit, side.sign * account.position_start_lots, found)
        if side.sign * account.position_lots > allowed:
            size = account.spec.grid.size
            return f"{size.text(account.position_lots)}, allowed are {size.text(side.sign * allowed)}"
    return ""


def approve(
    ladder: Ladder,
    account: MarketAccount,
    fair: FairValue,
    limits: Limits,
    all_markets: AccountLimits,
    around: Surroundings,
) -> ApprovedLadder | Refused:
    """Check a ladder against every limit. Worst case: what may still fill of the old ladders fills beside it."""
    spec = account.spec
    grid = spec.grid
    if ladder.bids and ladder.asks and ladder.bids[0].ticks >= ladder.asks[0].ticks:
        return Refused("own best bid is not below own best ask")
    if ladder.bids and around.best_ask_of_others is not None and ladder.bids[0].ticks >= around.best_ask_of_others:
        return Refused("a bid would cross the book")
    if ladder.asks and around.best_bid_of_others is not None and ladder.asks[0].ticks <= around.best_bid_of_others:
        return Refused("an ask would cross the book")
    for side in Side:
        previous: int | None = None
        for level in ladder.side(side):
            if level.lots < max(1, spec.lots_min):
                return Refused(f"size of {level.lots} lots is below the minimum")
            if grid.size.value(level.lots) > limits.order_size_max:
                return Refused(f"size {grid.size.text(level.lots)} is above order_size_max")
            if grid.notional(level.ticks, level.lots) > limits.order_value_max:
                return Refused(f"value {grid.notional(level.ticks, level.lots)} is above order_value_max")
            if not in_band(spec, level.ticks):
                return Refused(f"price {grid.price.text(level.ticks)} is outside the exchange's band")
            outside = outside_collars(level.ticks, fair, limits, around)
            if outside:
                return Refused(f"price {grid.price.text(level.ticks)} is outside the collar around {outside}")
            if previous is not None and (previous - level.ticks) * side.sign <= 0:
                return Refused("levels are not sorted outward")
            previous = level.ticks
    return approve_exposure(ladder, account, fair, limits, all_markets, around)


def outside_collars(ticks: int, fair: FairValue, limits: Limits, around: Surroundings) -> str:
    """Name what a price is too far from; empty when it is near enough to all of it.

    An index that was never stated refuses: whoever prices without one has not looked.
    """
    subticks = ticks * SUBTICKS
    if beyond(subticks, fair.subticks, limits.collar_bps):
        return "fair value"
    if around.index_subticks is None or beyond(subticks, around.index_subticks, limits.index_collar_bps):
        return "the exchange's index"
    if around.earlier_subticks is not None and beyond(subticks, around.earlier_subticks, limits.window_collar_bps):
        return f"the fair value of {limits.window_seconds:g} s ago"
    return ""


def approve_exposure(
    ladder: Ladder,
    account: MarketAccount,
    fair: FairValue,
    limits: Limits,
    all_markets: AccountLimits,
    around: Surroundings,
) -> ApprovedLadder | Refused:
    """The part of `approve` that counts positions and what may still fill: resting, in flight, superseded, and this.

    A side whose worst case is still no position of its own only reduces: caps on positions, and the ramp on them, do
    not hold it. The cap on open size holds every side.
    """
    size = account.spec.grid.size
    limit = size.count_down(limits.position_limit * around.ramp)
    open_max = size.count_down(limits.open_size_max)
    worst_value = Decimal(0)
    for side in Side:
        adds = ladder.lots(side)
        if not adds:
            continue
        if account.may_fill_lots(side) + adds > open_max:
            return Refused(f"open size on the {side.value} side is above open_size_max {limits.open_size_max}")
        if ladder.reduce_only is side:
            if adds > -side.sign * account.position_lots:
                return Refused("reduce-only orders add up to more than the position")
            continue
        worst = side.sign * account.worst_position_lots(side) + adds
        if worst <= 0:
            continue
        if worst > limit:
            return Refused(f"worst case {worst} lots on the {side.value} side is above the limit of {limit}")
        worst_value = max(worst_value, value_of(account, worst, fair))
    if worst_value > limits.position_value_max * around.ramp:
        return Refused(f"worst case is above position_value_max {limits.position_value_max}")
    if worst_value and worst_value + around.other_markets_value > all_markets.value_max * around.ramp:
        return Refused(f"worst case over all markets is above value_max {all_markets.value_max}")
    return ApprovedLadder(ladder, seal=Seal(ladder))
