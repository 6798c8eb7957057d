"""What must hold between the values of a configuration; a broken relation refuses to start, naming field and fix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from maker.app.values import positive, require
from maker.desk.budget import LIMIT_MAX, RESERVE_CALLS, WINDOW_SECONDS, BudgetSettings
from maker.desk.ladder import distances
from maker.desk.margin import BALANCE_READ_SECONDS_MAX
from maker.desk.spread import Fixed, Volatility
from maker.errors import ConfigError
from maker.wire.references import venues

if TYPE_CHECKING:
    from maker.app.config import Config
    from maker.app.market_config import Market
    from maker.app.reference_config import Reference

LEVELS_MAX: Final = 20  # a side
GROWTH_MAX: Final = 10  # of sizes from level to level
HANG_SECONDS_MIN: Final = 1.0  # four heartbeats: less would kill a maker for one slow collection of garbage
PREVIEW_SECONDS_MIN: Final = 5.0  # a read like any other, and yet one that the exchange has to reckon for
PINGS_MIN: Final = 1.5  # between two pings and a lost one: a source that is alive is never stale
FAIR_MAX: Final = {  # beyond these the guards of fair value guard nothing
    "index_stale_seconds_max": 15,
    "outlier_bps_max": 500,
    "basis_bps_max": 500,
    "mark_index_bps_max": 500,
}
STALE_SECONDS_MAX: Final = 10.0  # a reference price older than this is no price, whatever the configuration says
WINDOW_SECONDS_MAX: Final = 600.0  # ten minutes back; longer, and a collar is a price limit


def relations(config: Config) -> None:
    """What must hold between the values. Raises ConfigError."""
    if not config.markets:
        raise ConfigError("market", "no market is configured.", "Add a [market.NAME] table.")
    if not config.references:
        raise ConfigError("reference", "no reference feed is configured.", "Add a [reference.NAME] table.")
    for section_name in ("halt", "guard"):
        positive(getattr(config, section_name), section_name)
    require(config.cycle.requote_bps > 0, "cycle.requote_bps", "must be above 0.", "Try 1.0.")
    require(config.cycle.requote_seconds_min > 0, "cycle.requote_seconds_min", "must be above 0.", "Try 0.3.")
    require(
        config.cycle.quote_age_seconds_max > config.cycle.requote_seconds_min,
        "cycle.quote_age_seconds_max",
        "must be above cycle.requote_seconds_min.",
        "Try 20.",
    )
    budget = config.budget
    require(0 < budget.reserve_ratio < 1, "budget.reserve_ratio", "must be between 0 and 1.", "Try 0.2.")
    require(
        budget.requests_per_minute > 2 * RESERVE_CALLS,
        "budget.requests_per_minute",
        f"must be above {2 * RESERVE_CALLS}: {RESERVE_CALLS} requests are kept for cancels at least.",
        "OCX's standard tier is 120.",
    )
    require(
        budget.requests_per_minute <= LIMIT_MAX,
        "budget.requests_per_minute",
        f"must be at most {LIMIT_MAX}: no tier is that large.",
        "OCX's standard tier is 120.",
    )
    require(budget.burst >= 1, "budget.burst", "must be 1 or more.", "Try 6.")
    kept = budget.reserve(budget.requests_per_minute)
    spendable = budget.requests_per_minute - kept - budget.burst
    refreshes = len(config.markets) * WINDOW_SECONDS / config.cycle.quote_age_seconds_max
    name, most = most_kept(budget, refreshes)
    require(
        spendable > 0,
        f"budget.{name}",
        f"leaves nothing to quote with: of {budget.requests_per_minute} requests a minute {kept} are kept for cancels "
        f"and {budget.burst} may be spent in a burst.",
        f"It may be at most {most}.",
    )
    require(
        0 <= budget.reduce_ratio < 1 - budget.reserve_ratio,
        "budget.reduce_ratio",
        "must not be negative, and leave something besides budget.reserve_ratio.",
        "Try 0.05.",
    )
    require(
        refreshes <= spendable,
        "cycle.quote_age_seconds_max",
        f"makes {len(config.markets)} markets need {refreshes:.0f} requests a minute for their age alone, and only "
        f"{spendable} are neither kept for cancels nor spent in a burst.",
        f"Raise it to {math.ceil(len(config.markets) * WINDOW_SECONDS / spendable)}, quote fewer markets, or "
        "state the larger tier you have in budget.requests_per_minute.",
    )
    for name in ("value_max", "drawdown_max", "daily_loss_max"):
        require(getattr(config.limits, name) > 0, f"limits.{name}", "must be above 0.", "Give it in quote currency.")
    ramp_seconds, ramp_ratio = config.limits.ramp_seconds, config.limits.ramp_ratio
    require(ramp_seconds >= 0, "limits.ramp_seconds", "must not be negative.", "Try 300; 0: no ramp.")
    require(0 < ramp_ratio <= 1, "limits.ramp_ratio", "must be above 0 and at most 1.", "Try 0.1; 1: no ramp.")
    margin_relations(config)
    halt = config.halt
    require(
        halt.halt_seconds_max > halt.tail_seconds_max + halt.settle_seconds_max,
        "halt.halt_seconds_max",
        "must be above halt.tail_seconds_max plus halt.settle_seconds_max, or the tail cannot be finished.",
        "Try 15 with a tail of 8.",
    )
    guard = config.guard
    require(
        guard.tail_seconds >= guard.write_delay_seconds_max,
        "guard.tail_seconds",
        "must be at least guard.write_delay_seconds_max: a ladder could land after the last cancel-all.",
        "Try 60 for both.",
    )
    require(
        guard.hang_seconds_max >= HANG_SECONDS_MIN,
        "guard.hang_seconds_max",
        f"must be {HANG_SECONDS_MIN} or more: heartbeats come every quarter of a second.",
        "Try 3.",
    )
    require(
        guard.give_up_seconds > guard.tail_seconds,
        "guard.give_up_seconds",
        "must be above guard.tail_seconds, or the tail cannot be finished.",
        "Try 600.",
    )
    if config.paper is not None:
        presets = ("quiet", "normal", "busy")
        require(config.paper.preset in presets, "paper.preset", "is not known.", f"One of {', '.join(presets)}.")
        for venue in config.paper.references:
            require(
                venue.name in config.references,
                f"paper.references.{venue.name}",
                "is no [reference], so that nobody would listen to it.",
                f"One of {', '.join(config.references)}.",
            )
    for name, one in config.markets.items():
        market_relations(f"market.{name}", one)
        fair_relations(f"market.{name}", one, config.references)


def most_kept(budget: BudgetSettings, refreshes: float) -> tuple[str, float]:
    """Which key takes most of a minute's requests from quotes, and what it may be at most for so many refreshes."""
    limit = budget.requests_per_minute
    kept, needed = budget.reserve(limit), math.ceil(min(refreshes, limit))
    if budget.burst >= kept:
        return "burst", max(1, limit - kept - needed)
    return "reserve_ratio", math.floor(100 * max(RESERVE_CALLS, limit - budget.burst - needed) / limit) / 100


def margin_relations(config: Config) -> None:
    margin = config.margin
    steps = ("warn", "shrink", "reduce_only", "flatten")
    above = Decimal(1)
    for step in steps:
        name = f"headroom_{step}_ratio"
        ratio = getattr(margin, name)
        require(0 < ratio < above, f"limits.{name}", f"must be above 0 and below {above}: each step is lower.", "")
        above = ratio
    require(
        0 <= margin.margin_reserve_ratio < 1, "limits.margin_reserve_ratio", "must be from 0 to below 1.", "Try 0.1."
    )
    require(0 < margin.margin_ratio <= 1, "limits.margin_ratio", "must be above 0 and at most 1.", "Try 0.1.")
    require(
        margin.balance_stale_seconds_max > BALANCE_READ_SECONDS_MAX,
        "limits.balance_stale_seconds_max",
        f"must be above {BALANCE_READ_SECONDS_MAX}: the balance is read each 10 s, and a read may take 3.",
        "Try 45: three reads may fail.",
    )
    require(
        margin.preview_seconds == 0 or margin.preview_seconds >= PREVIEW_SECONDS_MIN,
        "limits.preview_seconds",
        f"must be 0 (never) or at least {PREVIEW_SECONDS_MIN}.",
        "Try 60.",
    )


def market_relations(path: str, one: Market) -> None:
    ladder, limits = one.ladder, one.limits
    require(1 <= ladder.levels <= LEVELS_MAX, f"{path}.levels", f"must be 1 to {LEVELS_MAX}.", "Try 4.")
    for name in ("level_step_bps", "level_size", "position_limit"):
        require(getattr(ladder, name) > 0, f"{path}.{name}", "must be above 0.", "")
    for name in ("edge_bps_min", "widen_bps"):
        require(getattr(ladder, name) >= 0, f"{path}.{name}", "must not be negative.", "")
    growth_fits = 1 <= ladder.size_growth <= GROWTH_MAX
    require(growth_fits, f"{path}.size_growth", f"must be 1 to {GROWTH_MAX}.", "1 keeps sizes flat.")
    steps_fit = 1 <= ladder.step_growth <= GROWTH_MAX
    require(steps_fit, f"{path}.step_growth", f"must be 1 to {GROWTH_MAX}.", "1 keeps steps even.")
    require(
        0 <= ladder.position_soft_ratio < 1, f"{path}.position_soft_ratio", "must be from 0 to below 1.", "Try 0.5."
    )
    largest = ladder.level_size * ladder.size_growth ** (ladder.levels - 1)
    require(
        largest <= limits.order_size_max,
        f"{path}.order_size_max",
        f"is below the outermost level's size of {largest.normalize():f}.",
        "Raise it, or lower level_size, size_growth or levels.",
    )
    require(
        ladder.level_size <= ladder.position_limit / 2,
        f"{path}.position_limit",
        "must be at least twice level_size: a ladder and the one that replaces it must both fit.",
        "Raise it or lower level_size.",
    )
    sizes = (ladder.level_size * ladder.size_growth**level for level in range(ladder.levels))
    both_sides = 2 * sum(sizes, Decimal(0))
    require(
        limits.open_size_max >= both_sides,
        f"{path}.open_size_max",
        f"is below {both_sides.normalize():f}: one side of a ladder and of the one that replaces it must both fit.",
        "Raise it, or lower level_size, size_growth or levels.",
    )
    require(
        limits.burst_size_max >= both_sides,
        f"{path}.burst_size_max",
        f"is below {both_sides.normalize():f}, one ladder: a market that sweeps it once would stop us for a person.",
        "Raise it to several ladders.",
    )
    require(limits.burst_seconds > 0, f"{path}.burst_seconds", "must be above 0.", "Try 10.")
    freeze = limits.burst_freeze_seconds
    require(freeze >= 0, f"{path}.burst_freeze_seconds", "must not be negative.", "0: until a person clears it.")
    require(
        limits.burst_fills_max >= 2 * ladder.levels,
        f"{path}.burst_fills_max",
        f"is below {2 * ladder.levels}, two sweeps of one side: an ordinary trade would stop us for a person.",
        "Raise it to several ladders.",
    )
    for name in ("order_value_max", "position_value_max", "burst_value_max"):
        require(getattr(limits, name) > 0, f"{path}.{name}", "must be above 0.", "Give it in quote currency.")
    require(
        limits.position_value_max >= limits.order_value_max,
        f"{path}.position_value_max",
        "is below order_value_max: no order of that value could ever be placed.",
        "Raise it, or lower order_value_max.",
    )
    inner = Decimal(0)
    match one.spread_model:  # how far another model reaches depends on the price and its volatility
        case Fixed(half_spread_bps=half, skew_bps=skew) | Volatility(half_spread_bps_min=half, skew_bps=skew):
            inner = half + skew
        case _:
            pass
    held_out = ladder.edge_bps_min > inner + ladder.widen_bps  # the innermost level, by the edge, whatever the model
    outward = distances(ladder.level_step_bps, ladder.step_growth, ladder.levels + 1)[-1]
    reach = outward + max(inner + ladder.widen_bps, ladder.edge_bps_min)
    for name in ("collar_bps", "index_collar_bps", "window_collar_bps"):
        require(
            reach < getattr(limits, name),
            f"{path}.{name}",
            f"is below {reach} bp, as far as the skewed ladder itself may reach"
            + (f": edge_bps_min holds its innermost level {ladder.edge_bps_min} bp out." if held_out else "."),
            f"Raise the collar or {'lower edge_bps_min' if held_out else 'narrow the ladder'}.",
        )
    for name in ("window_seconds", "jump_bps", "jump_seconds", "jump_confirm_seconds"):
        require(getattr(limits, name) > 0, f"{path}.{name}", "must be above 0.", "")
    require(
        limits.window_seconds <= WINDOW_SECONDS_MAX,
        f"{path}.window_seconds",
        f"must be at most {WINDOW_SECONDS_MAX:.0f}: after a move that stays, nothing is quoted for so long.",
        "Try 20.",
    )
    require(
        limits.jump_seconds <= limits.window_seconds,
        f"{path}.jump_seconds",
        "must be at most window_seconds: a jump is a fast move, the window's collar is for slower ones.",
        "Try 5 within a window of 20.",
    )
    require(
        limits.jump_confirm_seconds <= WINDOW_SECONDS_MAX,
        f"{path}.jump_confirm_seconds",
        f"must be at most {WINDOW_SECONDS_MAX:.0f}: nothing is quoted for so long.",
        "Try 5.",
    )
    lean = one.funding.funding_lean_ratio
    require(
        0 <= lean <= ladder.position_soft_ratio,
        f"{path}.funding_lean_ratio",
        "must be from 0 to position_soft_ratio: beyond it the ladder shrinks away from where it should lean.",
        "0 is no lean.",
    )
    require(
        one.funding.funding_rate_min >= 0, f"{path}.funding_rate_min", "must not be negative.", "Both signs are meant."
    )


def fair_relations(path: str, one: Market, references: Mapping[str, Reference]) -> None:
    """What fair value and volatility are made of."""
    fair = one.fair
    require(bool(fair.sources), f"{path}.sources", "has no source.", "Add a table for one of [reference.NAME].")
    for name, source in fair.sources.items():
        where = f"{path}.sources.{name}"
        require(name in references, where, f"is not a [reference.{name}].", f"One of {', '.join(references)}.")
        positive(source, where)
        require(bool(source.symbol), f"{where}.symbol", "is empty.", "Write what the venue calls it.")
        require(
            source.stale_seconds_max <= STALE_SECONDS_MAX,
            f"{where}.stale_seconds_max",
            f"must be at most {STALE_SECONDS_MAX}.",
            "Try 3.",
        )
        speaks = venues.adapter(references[name].venue, name, (), references[name].described)
        require(
            speaks.ping is None or source.stale_seconds_max >= PINGS_MIN * speaks.ping_seconds,
            f"{where}.stale_seconds_max",
            f"must be at least {PINGS_MIN * speaks.ping_seconds:g}: a quiet venue is asked for a sign of life every "
            f"{speaks.ping_seconds:g} s, and would be stale between two answers.",
            "Try 3.",
        )
        require(
            source.unchanged_seconds_max >= source.stale_seconds_max,
            f"{where}.unchanged_seconds_max",
            "must be at least stale_seconds_max.",
            "Try 60; without it heartbeats vouch for a price however old.",
        )
    require(
        1 <= fair.sources_min <= len(fair.sources),
        f"{path}.sources_min",
        f"must be 1 to {len(fair.sources)}, as many sources as there are.",
        "With three sources try 2.",
    )
    require(fair.index_weight >= 0, f"{path}.index_weight", "must not be negative.", "0: it only sets the basis.")
    require(fair.basis_half_life_seconds > 0, f"{path}.basis_half_life_seconds", "must be above 0.", "")
    for name, most in FAIR_MAX.items():
        require(0 < getattr(fair, name) <= most, f"{path}.{name}", f"must be above 0 and at most {most}.", "")
    positive(one.volatility, path)
    require(
        one.volatility.volatility_half_life_seconds > one.volatility.volatility_grid_seconds,
        f"{path}.volatility_half_life_seconds",
        "must be above volatility_grid_seconds.",
        "Try 300.",
    )
