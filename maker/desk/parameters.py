"""Other parameters while the desk runs: every copy of them replaced in one call, and what rests judged by the new ones.

`take` is called between two decisions, never within one. Which parameters may change, and in which direction, is not
decided here (`maker.app.reload_rules`); nor is anything of it quoted here: the next decision builds its ladder by what
holds then. What rests was built by what held before. Where a limit is lower now than what rests, or than what may still
fill of it, the engine must pull it at once: no quote outlives the limit that allowed it. A position found beyond its
new limit may be worked off and not grown, as one that was found so at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import attrs

from maker.desk.budget import BudgetSettings
from maker.desk.deadman import Reason, Trip
from maker.desk.fair import FairSettings, FairValue
from maker.desk.funding import FundingSettings
from maker.desk.intensity import IntensitySettings
from maker.desk.ladder import LadderSettings
from maker.desk.margin import MarginSettings
from maker.desk.market import CycleSettings, MarketDesk
from maker.desk.risk import AccountLimits, Limits, Surroundings, outside_collars, value_of
from maker.desk.spread import SpreadModel
from maker.desk.state import DeskState
from maker.desk.units import Side
from maker.desk.volatility import VolatilitySettings

CHANGED = "its parameters changed"


@attrs.frozen
class MarketParameters:
    """One market's; its grid, its book and its account stay what they are."""

    fair: FairSettings
    volatility: VolatilitySettings
    intensity: IntensitySettings
    ladder: LadderSettings
    limits: Limits
    funding: FundingSettings
    model: SpreadModel
    model_name: str


@attrs.frozen
class Parameters:
    """All that may be another while the desk runs. The markets are those it has."""

    cycle: CycleSettings
    budget: BudgetSettings
    limits: AccountLimits
    margin: MarginSettings
    markets: Mapping[str, MarketParameters]


def take(desk: DeskState, new: Parameters, now: float) -> Trip | None:
    """Replace all parameters at once. A Trip: what rests is beyond a limit that was lowered, pull it.

    Losses and bursts are not judged here: `Engine.broken` does that by the limits it finds.
    """
    assert new.markets.keys() == desk.markets.keys(), "other markets need another start"
    everywhere = (desk.account_limits, desk.margin_settings) != (new.limits, new.margin)
    lowered = [one for one in desk.markets.values() if everywhere or one.limits != new.markets[one.market_id].limits]
    for market in lowered:
        find_position(market, new.markets[market.market_id].limits)
    desk.cycle = new.cycle
    desk.account_limits = desk.losses.limits = new.limits
    desk.margin_settings = new.margin
    desk.notes.extend(desk.margin.take(new.margin))
    desk.budget.settings = new.budget
    desk.budget.tokens = min(desk.budget.tokens, float(new.budget.burst))
    for market in desk.markets.values():
        if take_market(market, new.markets[market.market_id]) or everywhere:
            market.looked, market.disturbed = None, market.disturbed or CHANGED
    for market in lowered:
        beyond = resting_beyond(market, new.limits, desk.ramp(now), now)
        if beyond:
            return desk.trip(Reason.LIMITS_LOWERED, f"{market.market_id}: {beyond}", exposed=True)
    worst = sum((one.worst_value(now) for one in desk.markets.values()), Decimal(0))
    most = new.limits.value_max * desk.ramp(now)
    if everywhere and worst > most and any(adds(one, side) for one in desk.markets.values() for side in Side):
        return desk.trip(Reason.LIMITS_LOWERED, f"the worst case over all markets is {worst:.2f}, value_max is {most}")
    return None


def find_position(market: MarketDesk, limits: Limits) -> None:
    """Note how far the position is, or may come by what rests, beyond a limit that is about to hold."""
    account, most = market.account, market.account.spec.grid.size.count_down(limits.position_limit)
    worst = {side: side.sign * account.worst_position_lots(side) for side in Side}
    account.position_found_lots = {side: side.sign * lots if lots > most else 0 for side, lots in worst.items()}


def take_market(market: MarketDesk, new: MarketParameters) -> bool:
    """Replace one market's; say whether any of them is another one."""
    held = MarketParameters(
        market.fair.settings,
        market.fair.volatility_settings,
        market.pricing.intensity_settings,
        market.ladder_settings,
        market.limits,
        market.funding,
        market.pricing.model,
        market.pricing.name,
    )
    market.fair.settings, market.fair.judged = new.fair, None
    for name, source in market.fair.sources.items():
        source.settings = new.fair.sources[name]
    market.fair.volatility_settings = market.fair.volatility.settings = new.volatility
    if market.pricing.intensity_settings != new.intensity:
        market.pricing.intensity.stands = None
    market.pricing.intensity_settings = market.pricing.intensity.settings = new.intensity
    market.ladder_settings, market.funding = new.ladder, new.funding
    market.limits = market.jumps.limits = market.burst.limits = new.limits
    market.pricing.model, market.pricing.name = new.model, new.model_name
    return held != new


def resting_beyond(market: MarketDesk, all_markets: AccountLimits, ramp: Decimal, now: float) -> str:
    """Say how what rests, or may still land, is beyond the market's limits as they are now; empty when it is not."""
    account, limits, grid = market.account, market.limits, market.account.spec.grid
    fair = market.fair.value(now)
    around = Surroundings(None, None, Decimal(0), market.fair.index_subticks, market.jumps.earlier(now))
    for order in (*account.resting.values(), *account.pending.values()):
        if grid.size.value(order.lots) > limits.order_size_max:
            return f"an order of {grid.size.text(order.lots)} rests, order_size_max is {limits.order_size_max}"
        if grid.notional(order.ticks, order.lots) > limits.order_value_max:
            worth = grid.notional(order.ticks, order.lots)
            return f"an order worth {worth:.2f} rests, order_value_max is {limits.order_value_max}"
        outside = outside_collars(order.ticks, fair, limits, around) if isinstance(fair, FairValue) else ""
        if outside:
            return f"an order at {grid.price.text(order.ticks)} is outside the collar around {outside}"
    position_max = grid.size.count_down(limits.position_limit * ramp)
    for side in Side:
        lots = account.may_fill_lots(side)
        if grid.size.value(lots) > limits.open_size_max:
            return f"{grid.size.text(lots)} may fill on the {side.value} side, open_size_max is {limits.open_size_max}"
        worst = side.sign * account.worst_position_lots(side)
        if not adds(market, side) or worst <= 0:
            continue
        if worst > position_max:
            most = grid.size.text(side.sign * position_max)
            return f"the position may come to {grid.size.text(side.sign * worst)}, allowed are {most}"
        value_max = min(limits.position_value_max, all_markets.value_max) * ramp
        if isinstance(fair, FairValue) and value_of(account, worst, fair) > value_max:
            return f"the position may come to a value of {value_of(account, worst, fair):.2f}, allowed are {value_max}"
    return ""


def adds(market: MarketDesk, side: Side) -> bool:
    """Whether anything may fill on a side that is no exit."""
    account = market.account
    orders = (*account.resting.values(), *account.pending.values(), *account.superseded.values())
    return any(one.side is side and not one.reduce_only for one in orders)
