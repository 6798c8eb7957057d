"""Hard limits. `approve` is the only maker of an ApprovedLadder, and only an ApprovedLadder is ever sent.

The ladder is built to fit; this room does not trust that. It knows nothing of why a price was chosen.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from maker.desk.account import MarketAccount
from maker.desk.fair import FairValue, beyond
from maker.desk.ladder import Ladder, in_band
from maker.desk.units import SUBTICKS, Side


@attrs.frozen
class Limits:
    """Of one market; nothing can raise them while the program runs."""

    position_limit: Decimal  # base, either side, worst case counted
    order_size_max: Decimal  # base, one order
    order_value_max: Decimal  # quote, one order
    collar_bps: Decimal  # no price further than this from fair value
    burst_size_max: Decimal  # base, both sides: more than this filled within the next line's time stops for a person
    burst_seconds: float


@attrs.frozen
class AccountLimits:
    """Of the whole account."""

    value_max: Decimal  # quote: sum over markets of the larger worst-case position at fair value
    drawdown_max: Decimal  # quote: lost since the best moment of the run, then stop for a person
    daily_loss_max: Decimal  # quote: lost since the exchange's day began, or since the start; then stop for a person


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
    """What the ladder will meet: other people's best prices and the other markets' worst case."""

    best_bid_of_others: int | None  # ticks
    best_ask_of_others: int | None
    other_markets_value: Decimal  # quote


def room_lots(account: MarketAccount, limits: Limits, side: Side) -> int:
    """Lots one side may add now: what is left of the limit once everything that may fill has filled.

    At most half of what the position alone leaves, so that a ladder and the one that replaces it always both fit.
    """
    limit = account.spec.grid.size.count_down(limits.position_limit)
    pick = max if side is Side.BUY else min
    position = side.sign * pick(account.position_lots, account.position_summed_lots)
    left = limit - position
    return max(0, min(left - account.may_fill_lots(side), left // 2))


def beyond_limit(account: MarketAccount, limits: Limits) -> str:
    """Say how far the position is beyond its limit; empty when it is not.

    `approve` counts everything that may fill, so our own orders cannot bring it there. A position found beyond the
    limit at the start may be worked off, never grown. Only a position that our fills explain is judged: one they do not
    has a reason of its own.
    """
    if not account.explained:
        return ""
    limit = account.spec.grid.size.count_down(limits.position_limit)
    for side in Side:
        allowed = max(limit, side.sign * account.position_start_lots)
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
            if beyond(level.ticks * SUBTICKS, fair.subticks, limits.collar_bps):
                return Refused(f"price {grid.price.text(level.ticks)} is outside the collar around fair value")
            if previous is not None and (previous - level.ticks) * side.sign <= 0:
                return Refused("levels are not sorted outward")
            previous = level.ticks
    return approve_exposure(ladder, account, fair, limits, all_markets, around)


def approve_exposure(
    ladder: Ladder,
    account: MarketAccount,
    fair: FairValue,
    limits: Limits,
    all_markets: AccountLimits,
    around: Surroundings,
) -> ApprovedLadder | Refused:
    """The part of `approve` that counts positions."""
    limit = account.spec.grid.size.count_down(limits.position_limit)
    worst_value = Decimal(0)
    for side in Side:
        adds = ladder.lots(side)
        worst = side.sign * account.worst_position_lots(side) + adds
        reducing = ladder.reduce_only is side
        if reducing:
            if adds > -side.sign * account.position_lots:
                return Refused("reduce-only orders add up to more than the position")
        elif adds and worst > limit:
            return Refused(f"worst case {worst} lots on the {side.value} side is above the limit of {limit}")
        if adds and not reducing and worst > 0:
            worst_value = max(worst_value, account.spec.grid.notional(1, max(0, worst)) * fair.subticks / SUBTICKS)
    if worst_value and worst_value + around.other_markets_value > all_markets.value_max:
        return Refused(f"worst case over all markets is above value_max {all_markets.value_max}")
    return ApprovedLadder(ladder, seal=Seal(ladder))
