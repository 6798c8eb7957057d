"""The ladder one market should have: where caps, margin, funding, model and other people's prices meet.

Each of those is worked out in a room of its own; here they are put together, in the order in which they bind. Nothing
here is trusted: what comes out has passed `margin.refusal` and `risk.approve`, or is not sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs

from maker.desk.account import MarketAccount
from maker.desk.events import Liquidity, MarketSpec
from maker.desk.fair import FairValue, NoFair
from maker.desk.ladder import Ladder, LadderInputs, Level, build, in_band, whole_sizes
from maker.desk.margin import EVERYTHING, Allowed, exits, refusal, side_room
from maker.desk.market import MarketDesk
from maker.desk.pricing import Quoted
from maker.desk.risk import (
    AccountLimits,
    ApprovedLadder,
    Limits,
    Refused,
    Surroundings,
    approve,
    cap_lots,
    order_lots_max,
    outside_collars,
    room_lots,
)
from maker.desk.units import Side, ticks_down

# True of a ramp under way, and of one that cannot begin: its clock starts with a ladder, and this is why there is none.
RAMP_WAITS: Final = (
    "caps are at {} of themselves until ramp_seconds after a first ladder; raise ramp_ratio if none fits"
)


def want(
    market: MarketDesk,
    limits: AccountLimits,
    other_markets_value: Decimal,
    ramp: Decimal,
    now: float,
    allowed: Allowed = EVERYTHING,
) -> ApprovedLadder | Refused | None:
    """The ladder this market should have, if margin and risk allow it; None when there is nothing to do.

    `ramp` is the share of the position caps that holds now. Where it leaves room for less than a whole ladder, its
    innermost levels are quoted, the last of them smaller, down to the exchange's minimum; for less than that, none.
    """
    fair = market.fair.value(now)
    if isinstance(fair, NoFair):
        return None
    market.setbacks.refusals.recover(now)
    account = market.account
    spec, worst_fee_bps = account.spec, market.terms.worst_fee_bps(Liquidity.MAKER, account.spec.maker_fee_bps)
    lots_min = market.lots_min(now)
    if worst_fee_bps != spec.maker_fee_bps or lots_min != spec.lots_min:
        spec = attrs.evolve(spec, maker_fee_bps=worst_fee_bps, lots_min=lots_min)
    bid, ask = market.book.best_of_others(account.own_levels(Side.BUY), account.own_levels(Side.SELL))
    earlier = market.jumps.earlier(now)
    around = Surroundings(bid, ask, other_markets_value, market.fair.index_subticks, earlier, ramp)
    cap = cap_lots(account, fair, market.limits, limits, around)
    if abs(account.position_lots) >= market.limit_lots:  # only exits are left, reduce-only, and no ramp is for them
        cap = market.limit_lots
    market.pricing.rested(fair, account.resting.values(), now)
    prices = priced(market, fair, now)
    inputs = LadderInputs(
        fair=fair,
        reservation_subticks=prices.reservation_subticks,
        half_bid_subticks=prices.half_bid_subticks,
        half_ask_subticks=prices.half_ask_subticks,
        position_lots=account.position_lots,
        best_bid_of_others=bid,
        best_ask_of_others=ask,
        room_bid_lots=side_lots(market, Side.BUY, cap, allowed),
        room_ask_lots=side_lots(market, Side.SELL, cap, allowed),
        size_factor=Fraction(1) if allowed.reducing_only else market.setbacks.refusals.size_factor,
    )
    ladder = build(spec, market.ladder_settings, inputs)
    if allowed.reducing_only:
        ladder = exits(ladder, account)
    ladder = acceptable(ladder, account, fair, market.limits, around, lots_min)
    market.nothing, market.outside_band = "", False
    if ladder.empty and not account.exposed:
        market.outside_band = not in_band(account.spec, ticks_down(fair.subticks))
        market.nothing = allowed.why or left_out(market, spec, inputs, around) or why_empty(market, inputs, ramp)
        return None
    short = refusal(ladder, account, allowed)
    if short:
        return Refused(short)
    return approve(ladder, account, fair, market.limits, limits, around)


def acceptable(
    ladder: Ladder, account: MarketAccount, fair: FairValue, limits: Limits, around: Surroundings, lots_min: int
) -> Ladder:
    """What of a ladder risk would take, level by level: none outside a collar, none larger than one order may be.

    One level too far out must not cost the others: least of all those of the side that works the position off.
    """

    def kept(side: Side) -> Iterator[Level]:
        for level in ladder.side(side):
            if outside_collars(level.ticks, fair, limits, around):
                return  # those after it are further out
            lots = min(level.lots, order_lots_max(account, level.ticks, limits))
            if lots >= max(1, lots_min):
                yield Level(level.ticks, lots)

    return Ladder(tuple(kept(Side.BUY)), tuple(kept(Side.SELL)), ladder.reduce_only)


def side_lots(market: MarketDesk, side: Side, cap: int, allowed: Allowed) -> int:
    """What one side's ladder may have, as caps, margin and what it refused allow; exits are not held down."""
    settings, step, whole = market.ladder_settings, market.account.spec.grid.size.step, 0
    if allowed.factor < 1:
        whole = sum(whole_sizes(settings.level_size, settings.size_growth, settings.levels, step, Fraction(1)))
    room = side_room(market.account, side, allowed, whole, room_lots(market.account, market.limits, side, cap))
    exits_alone = allowed.reducing_only or abs(market.account.position_lots) >= market.limit_lots
    return room if exits_alone else market.setbacks.refusals.room(side, room)


def priced(market: MarketDesk, fair: FairValue, now: float) -> Quoted:
    """What the model would quote at this moment: as if the position we lean towards were none."""
    exchange_ms = market.engine_ms + int((now - market.engine_at) * 1000)
    limit = market.account.spec.grid.size.count_down(market.ladder_settings.position_limit)
    position = market.account.position_lots
    if (target := market.target_lots()) and abs(position) < limit:
        position = max(1 - limit, min(limit - 1, position - target))
    return market.pricing.quote(fair, position, market.whole_lots, limit, exchange_ms)


def left_out(market: MarketDesk, spec: MarketSpec, inputs: LadderInputs, around: Surroundings) -> str:
    """Say so where nothing is quoted only because of the sizes that were learned to be too small."""
    account = market.account
    if spec.lots_min == account.spec.lots_min:
        return ""
    whole = build(account.spec, market.ladder_settings, inputs)
    if acceptable(whole, account, inputs.fair, market.limits, around, account.spec.lots_min).empty:
        return ""
    least = spec.grid.size.text(spec.lots_min)
    return f"the exchange refused an order for what may be its size: for now none below {least} is sent"


def why_empty(market: MarketDesk, inputs: LadderInputs, ramp: Decimal) -> str:
    """Why a ladder has no level at all, in the order in which it is built: price, size, and what either must pass."""
    spec, fair, name = market.account.spec, inputs.fair, market.pricing.name
    bid, ask = (None if half is None else 0 for half in (inputs.half_bid_subticks, inputs.half_ask_subticks))
    asked = abs(inputs.position_lots) < market.limit_lots  # beyond the limit exits are quoted whatever the model says
    if asked and bid is None and ask is None:
        return f"model {name} gives no price on either side"
    anywhere = attrs.evolve(
        inputs, reservation_subticks=fair.subticks, half_bid_subticks=bid, half_ask_subticks=ask
    )  # only sizes can keep a level from there
    unbounded = attrs.evolve(spec, band_low_ticks=None, band_high_ticks=None)
    if build(unbounded, market.ladder_settings, anywhere).empty:
        one_sided = asked and None in (bid, ask)
        where = "on the only side that it prices" if one_sided else "on either side"
        early = f"; {RAMP_WAITS.format(ramp)}" if ramp != 1 else ""
        return f"limits and margin leave model {name} no room for a single level {where}{early}"
    if not market.outside_band:
        return f"of model {name} no level is inside band and collars, and within the limits of one order"
    text = spec.grid.price.text
    low, high = ("open" if one is None else text(one) for one in (spec.band_low_ticks, spec.band_high_ticks))
    price = f"fair value {text(ticks_down(fair.subticks))}"
    return f"{price} is outside the exchange's price band ({low} to {high}) for model {name}; reading the listing again"
