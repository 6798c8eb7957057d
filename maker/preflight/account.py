"""Our account: what the key shows, fees, rate limit, margin against the limits, losses, and what is not ours.

What is asked beside reads is a preview, which changes nothing, and only where the configuration lets a run ask it.
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from functools import partial
from typing import Final

import trio

from maker.app import budget_file
from maker.app.config import Config
from maker.app.previews import PREVIEW_SECONDS_MAX
from maker.app.startup import add_markets, make_engine, refuse_elsewhere, refuse_strangers, spec_of
from maker.desk.budget import Left
from maker.desk.engine import Engine
from maker.desk.events import MarketStats, PreviewOrder
from maker.desk.identity import Identity
from maker.desk.margin import CONSEQUENCE, Step, step_of
from maker.desk.units import BPS, Side
from maker.errors import OcxError, Refused, StartRefused, Unauthorized
from maker.preflight import api_key, standing
from maker.preflight.setting import Known
from maker.preflight.verdict import Finding, failed, ok, unknown, warning
from maker.wire import access, ocx, orders, reads

PREVIEW_BELOW_BPS: Final = Decimal(20)  # the mark: the order asked about would rest, and pay the maker fee
HOUR_SECONDS: Final = 3600.0
MARGIN_FIX: Final = "Deposit, close positions, or lower position_limit, position_value_max and value_max."


async def show_key(known: Known) -> None:
    """Read something with the key, then what is known of it. Raises OcxError for trouble that is not the key's."""
    try:
        await known.read(ocx.BALANCES, reads.balance)
    except (Unauthorized, Refused) as refusal:
        if refusal.status not in api_key.REFUSALS:
            raise
        known.key_told = api_key.KeyTold(known.key, refusal)
        return
    try:
        listed = await known.reads.get_once(ocx.API_KEYS, access.keys)  # once: it need not be answered
        known.key_told = api_key.told_of(known.key, listed, known.ways.wall())
    except OcxError as error:
        known.key_told = api_key.untold(known.key, error)
    except ValueError:
        known.key_told = api_key.KeyTold(known.key, untold="the exchange's list of keys cannot be read")


async def credentials(known: Known) -> Finding:
    """Whether the exchange accepts the key. What else it said of it is for the checks that follow."""
    await show_key(known)
    assert known.key_told is not None, "shown"
    return api_key.credentials(known.key_told)


async def about_key(known: Known, judge: str) -> Finding:
    """Expiry, pinned addresses or scope, by what the exchange said of the key."""
    assert known.key_told is not None, "credentials come first"
    if judge == api_key.EXPIRY:
        return api_key.expiry(known.key_told, known.ways.wall())
    return api_key.pins(known.key_told) if judge == api_key.PINS else api_key.scope(known.key_told)


# -- fees and requests --------------------------------------------------------------------------------------------


async def fees(known: Known) -> Finding:
    """What our trades cost. Raises StartRefused where nobody says it."""
    try:
        known.tier = await known.read(ocx.FEES, reads.fee_tier)
    except (Refused, ValueError):  # no such page, or in a form that we do not know: the listing states fees too
        known.tier = None
    if known.tier is not None:
        return ok(f"Our tier: {in_words(*known.tier)}.")
    stated: list[str] = []
    for market_id in known.config.markets:
        spec = spec_of(market_id, known.listing[market_id], None)
        stated.append(f"{market_id} {in_words(spec.maker_fee_bps, spec.taker_fee_bps)}")
    said = f"Which fee tier is ours is not told; a run takes the listing's fees: {'; '.join(stated)}."
    return unknown(said, "Compare with the exchange's page of fees.")


def in_words(maker_bps: Decimal, taker_bps: Decimal) -> str:
    rebate = " (a rebate)" if maker_bps < 0 else ""
    return f"maker {maker_bps:f} bp{rebate}, taker {taker_bps:f} bp"


async def rate_limit(known: Known) -> Finding:
    """Compare the configured number of requests with what the exchange states, or a run has last counted with."""
    configured = known.config.budget.requests_per_minute
    if known.stated is not None:
        return stated_limit(configured, known.stated.limit, known.stated.remaining)
    left = budget_file.read(known.config.state_folder / budget_file.BUDGET_FILE)
    return untold_limit(configured, left, known.ways.wall())


def stated_limit(configured: int, limit: int, remaining: int) -> Finding:
    """By the headers of an answer."""
    said = (
        f"The exchange states {limit} requests a minute ({remaining} left), budget.requests_per_minute is {configured}."
    )
    if limit < configured:
        return failed(
            said, f"Write {limit}, which quote_age_seconds_max must fit; or have the larger tier granted first."
        )
    if limit > configured:
        return warning(said, f"Write {limit}, if the whole of it is this bot's: more requests, fresher quotes.")
    return ok(said)


def untold_limit(configured: int, left: Left | None, unix_seconds: float) -> Finding:
    """By what the last run left, where reads state no limit: they are not limited."""
    none = "No answer to a read states a limit"
    fix = "The first cancel-all of a start tells; until then the configured number is taken."
    if left is None:
        return unknown(f"{none}, and no run has left one; budget.requests_per_minute is {configured}.", fix)
    hours = max(0.0, unix_seconds - left.at) / HOUR_SECONDS
    said = (
        f"{none}; the last run, {hours:.1f} h ago, counted with {left.limit} a minute, budget.requests_per_minute is "
    )
    if left.limit < configured:
        return warning(f"{said}{configured}.", f"Write {left.limit}, unless a larger tier was granted since.")
    return ok(f"{said}{configured}.")


# -- margin and losses --------------------------------------------------------------------------------------------


async def margin(known: Known) -> Finding:
    """Read the account as a start does, and compare what is free with the steps and with what the limits may take."""
    config = known.config
    engine = make_engine(config, Identity.of(config.order_prefix, secrets.randbits(64)))
    add_markets(engine, config, known.specs)
    known.reads.grids = {market_id: spec.grid for market_id, spec in known.specs.items()}
    for market_id in known.specs:
        await mark(known, engine, market_id)
    refusal = ""
    if config.margin.preview_seconds:
        for market_id in known.specs:
            refusal = await preview(known, engine, market_id) or refusal
    now = trio.current_time()
    engine.baseline(await known.reads.whole(), now)
    known.engine = engine
    finding = margin_finding(engine, config, now)
    if refusal and finding.verdict.passes:
        fix = "Set preview_seconds = 0 if the key may not ask: margin_ratio is then what is reckoned with."
        return warning(f"{finding.said} {refusal}", fix)
    return finding


async def mark(known: Known, engine: Engine, market_id: str) -> None:
    """Give a market the exchange's mark. Raises OcxError, ValueError."""
    read = partial(reads.market_stats, market_id=market_id)
    rows = await known.read(ocx.MARKET_STATS, read, {"marketId": market_id})
    found: list[MarketStats] = [row for row in rows if row.market_id == market_id]
    if not found:
        raise ValueError(f"{ocx.MARKET_STATS} tells nothing of {market_id}")
    engine.markets[market_id].worth.marked(found[0].mark)


async def preview(known: Known, engine: Engine, market_id: str) -> str:
    """Let a preview teach a market's margin and fees. Returns why the exchange refused; empty when it did not."""
    market = engine.markets[market_id]
    spec = market.account.spec
    assert market.worth.mark is not None, "marked first"
    below = market.worth.mark * (1 - PREVIEW_BELOW_BPS / BPS)
    ticks, lots = spec.grid.price.count_down(below), spec.grid.size.count_down(market.ladder_settings.level_size)
    asked = PreviewOrder(market_id, Side.BUY, ticks, lots)
    assert known.client is not None, "the listing was read with it"
    with trio.move_on_after(PREVIEW_SECONDS_MAX):
        try:
            answer = await known.client.ask(ocx.PREVIEW, orders.preview_body(spec, asked))
            if answer.status != 200:
                return f"A preview for {market_id} is answered {answer.status}."
            market.previewed(reads.preview(asked, answer.body), trio.current_time())
        except (OcxError, ValueError):
            return f"A preview for {market_id} has no answer that makes sense."
        return ""
    return f"A preview for {market_id} is not answered."


def margin_finding(engine: Engine, config: Config, now: float) -> Finding:
    """What is free now, and what would be, were every market at its limit; by the steps of the configuration."""
    reading = engine.margin.reading
    assert reading is not None, "the account was read"
    if reading.equity <= 0:
        return failed(f"The account has no equity ({reading.equity:f}).", "Deposit into the perps bucket.")
    at_limits = 1 - margin_at_limits(engine, config, now) / reading.equity
    settings = config.margin
    now_step, limit_step = (step_of(free, Step.AMPLE, settings) for free in (engine.margin.headroom, at_limits))
    said = f"Of an equity of {reading.equity:.2f}, {percent(engine.margin.headroom)} are free{consequence(now_step)}; "
    said += f"with every market at its limit {percent(at_limits)} would be{consequence(limit_step)}."
    if now_step >= Step.SHRINK or limit_step >= Step.REDUCE_ONLY:
        return failed(said, MARGIN_FIX)
    if now_step >= Step.WARN or at_limits < max(settings.headroom_shrink_ratio, settings.margin_reserve_ratio):
        return warning(said, MARGIN_FIX)
    return ok(said)


def consequence(step: Step) -> str:
    return "" if step is Step.AMPLE else f" ({CONSEQUENCE[step]})"


def percent(ratio: Decimal) -> str:
    return f"{ratio * 100:.1f} %"


def margin_at_limits(engine: Engine, config: Config, now: float) -> Decimal:
    """Initial margin in quote currency with each market at position_limit or position_value_max, all at value_max.

    Markets add up, as the margin gate has it; where value_max is what binds, it is taken by those that need most.
    """
    wanted: list[tuple[Decimal, Decimal]] = []  # margin to value, and value
    for market_id, market in engine.markets.items():
        limits = config.markets[market_id].limits
        lot_value = market.price(now) * market.account.spec.grid.size.step
        value = min(limits.position_limit * market.price(now), limits.position_value_max)
        ratio = engine.lot_margin(market, now) / lot_value if lot_value else config.margin.margin_ratio
        wanted.append((ratio, value))
    left, needed = config.limits.value_max, Decimal(0)
    for ratio, value in sorted(wanted, reverse=True):
        taken = min(value, left)
        needed, left = needed + ratio * taken, left - taken
    return needed


async def losses(known: Known) -> Finding:
    """What of the loss limits earlier runs have used up. Raises StartRefused."""
    assert known.engine is not None, "margin comes first"
    reading = known.engine.margin.reading
    assert reading is not None, "the account was read"
    return standing.losses(known.config, reading.equity, known.ways.wall())


# -- what is not ours ---------------------------------------------------------------------------------------------


async def foreign_orders(known: Known) -> Finding:
    """Whether anything rests that is not ours. Raises StartRefused where that refuses a start."""
    resting = await known.read(ocx.ORDERS, reads.open_orders)
    identity = Identity.of(known.config.order_prefix, 0)
    own = sum(identity.is_ours(order.client_order_id) for order in resting)
    try:
        refuse_strangers(resting, identity)
    except StartRefused:
        if known.config.foreign_orders == "refuse":
            raise
        said = f"Orders on the account that are not ours: {len(resting) - own}."
        return warning(said, 'A start cancels them, since foreign_orders = "cancel".')
    if own:
        return ok(f"None; orders of ours that rest: {own}, of a run that goes on, or the next start sweeps them.")
    return ok("None, and none of ours rests.")


async def foreign_positions(known: Known) -> Finding:
    """Whether a position is open in a market that is not configured. Raises StartRefused, as a start would."""
    refuse_elsewhere(await known.read(ocx.POSITIONS, partial(reads.elsewhere, market_ids=known.config.markets)))
    return ok("None in a market that is not configured.")
