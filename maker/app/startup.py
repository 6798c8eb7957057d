"""The way in: load markets and fees, refuse to start beside foreign orders, sweep, take the account as it is.

Positions that no limit would count refuse it too.

What refuses a start is a function of its own where it needs no exchange: `check` asks the same questions one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import trio

from maker.app.config import Config
from maker.app.panic import ATTEMPT_SECONDS_MAX, RETRY_SECONDS_MIN, Panic, Said
from maker.app.reading import AccountReader
from maker.desk.account import MarketAccount
from maker.desk.budget import Budget
from maker.desk.engine import Engine
from maker.desk.events import MarketSpec, OrderSeen
from maker.desk.identity import Identity
from maker.desk.market import MarketSettings
from maker.desk.risk import WHOLE, AccountLimits, Limits
from maker.desk.units import decimal_exact
from maker.edge.answer import Answer
from maker.errors import ExitCode, OcxError, OutcomeUnknown, Refused, StartRefused, Throttled, Unauthorized
from maker.launch import latch
from maker.wire import ocx, reads

WARM_UP_SECONDS_MAX: Final = 5.0  # for reading candles: who has none yet learns by watching
CANDLES_READ: Final = "60"  # ASSUMED: `limit`, the newest so many; an hour is as long as volatility remembers
LADDERS_HELD: Final = 2  # by any cap: a ladder takes half of it, so that the one which replaces it fits beside it
START_SECONDS_MAX: Final = 30.0  # listing, account and sweep: a start that takes longer has no healthy exchange


def make_engine(config: Config, identity: Identity) -> Engine:
    """An engine without markets yet."""
    return Engine(
        identity=identity,
        cycle=config.cycle,
        account_limits=config.limits,
        budget=Budget(config.budget),
        margin_settings=config.margin,
    )


def refuse_latched(state_folder: Path) -> None:
    """Refuse to start while the kill file is there (S21). Raises StartRefused."""
    said = latch.read(state_folder)
    if said is not None:
        raise StartRefused(f"{said}.", fix="Nothing starts before a person has looked and run `clear`.")


async def read_markets(reader: AccountReader, config: Config) -> dict[str, MarketSpec]:
    """Our markets as the exchange lists them, at our fee tier. Raises StartRefused or OcxError."""
    rows = await reader.get(ocx.MARKETS, reads.markets)
    tier = await own_fee_tier(reader)
    specs = {market_id: spec_of(market_id, tradable(market_id, rows), tier) for market_id in config.markets}
    for market_id, spec in specs.items():
        refuse_small(spec, config.markets[market_id].ladder.level_size)
        refuse_narrow(spec, config.markets[market_id].limits, config.limits, mark_of(rows[market_id]))
    return specs


def tradable(market_id: str, rows: Mapping[str, ocx.Market]) -> ocx.Market:
    """One of our markets in the exchange's listing. Raises StartRefused when it is none that can be quoted now."""
    row = rows.get(market_id)
    if row is None:
        listed = f"It lists {', '.join(rows)}."
        raise StartRefused(f"market.{market_id}: the exchange lists no such market.", fix=listed)
    if reads.market_type(row) != "perp":
        kind = f"market.{market_id} is of type {reads.market_type(row)!r}: only perpetuals are quoted."
        raise StartRefused(kind, fix="Remove it.")
    if not reads.is_active(row):
        status = f"market.{market_id}: the exchange says it is {row.trading_status}."
        raise StartRefused(status, fix="Try again later.")
    return row


def spec_of(market_id: str, row: ocx.Market, tier: tuple[Decimal, Decimal] | None) -> MarketSpec:
    """A market's grid and our fees; `tier`: maker and taker fee in basis points, None: the listing's. Raises
    StartRefused.
    """
    try:
        return reads.market_spec(market_id, row, *(tier or (None, None)))
    except ValueError as error:
        raise StartRefused(f"the exchange's listing cannot be read: {error}") from error


def refuse_small(spec: MarketSpec, level_size: Decimal) -> None:
    """Refuse levels that the exchange would; `level_size` in base units. Raises StartRefused."""
    lots_min = max(1, spec.lots_min)
    if spec.grid.size.count_down(level_size) < lots_min:
        least = spec.grid.size.text(lots_min)
        small = f"market.{spec.market_id}.level_size is {level_size}, below the exchange's minimum of {least}."
        raise StartRefused(small, fix="Raise it.")


def mark_of(row: ocx.Market) -> Decimal | None:
    """A market's mark as the listing states it; None where it states none that can be read."""
    try:
        return (decimal_exact(row.mark_price) if row.mark_price else None) or None
    except ValueError:
        return None


def refuse_narrow(spec: MarketSpec, one: Limits, all_markets: AccountLimits, mark: Decimal | None) -> None:
    """Refuse caps that leave no room for any ladder. Raises StartRefused.

    The ramp's clock begins with a run's first ladder: one that leaves no room for the least of them would last for
    ever. Values are asked for at the mark, where it is known.
    """
    share = all_markets.ramp_ratio if all_markets.ramp_seconds else WHOLE
    least = spec.grid.size.value(LADDERS_HELD * max(1, spec.lots_min))
    caps = [(f"market.{spec.market_id}.position_limit", one.position_limit, least)]
    if mark is not None:
        caps.append((f"market.{spec.market_id}.position_value_max", one.position_value_max, least * mark))
        caps.append(("limits.value_max", all_markets.value_max, least * mark))
    for name, cap, needed in caps:
        if cap * share < needed:
            begun = f" times limits.ramp_ratio {share:f}" if share != WHOLE else ""
            fix = f"Raise it{' or the ratio' if begun else ''}."
            narrow = f"{name} {cap:f}{begun} is below {needed.normalize():f}, two levels of the exchange's minimum: "
            raise StartRefused(f"{narrow}nothing could ever be quoted.", fix=fix)


async def refuse_foreign(reader: AccountReader, identity: Identity) -> None:
    """Refuse to start beside orders that are not ours; nothing is cancelled. Raises StartRefused or OcxError."""
    refuse_strangers(await reader.get(ocx.ORDERS, reads.open_orders), identity)


def refuse_strangers(resting: Iterable[OrderSeen], identity: Identity) -> None:
    """Refuse what rests and is not ours. Raises StartRefused, which names it."""
    foreign = [order for order in resting if not identity.is_ours(order.client_order_id)]
    if foreign:
        named = ", ".join(f"{order.market_id} {order.client_order_id or order.order_id}" for order in foreign)
        raise StartRefused(
            f"{len(foreign)} orders on the account are not ours ({named[:200]}): cancel-all would wipe them.",
            fix="Give the bot a sub-account of its own, or cancel them yourself.",
        )


def refuse_elsewhere(positions: Iterable[tuple[str, Decimal]]) -> None:
    """Refuse positions in markets that are not configured; sizes in base units, signed. Raises StartRefused."""
    named = ", ".join(f"{market_id} {size:f}" for market_id, size in positions)
    if named:
        raise StartRefused(
            f"the account has positions in markets that are not configured ({named[:200]}): no limit counts them.",
            fix="Configure the market, close the position (`flatten`, or positions/close), or give the bot a "
            "sub-account of its own.",
        )


async def sweep(panic: Panic) -> None:
    """Cancel whatever an earlier run left, and read back empty. Proves key, scope and route.

    Raises StartRefused when the key may not trade. Bounded by the caller.
    """
    pause = RETRY_SECONDS_MIN
    while True:
        answer = await one_cancel_all(panic)
        if answer is not None:
            if answer.status in (401, 403):
                raise StartRefused(
                    f"the exchange answers {answer.status} to cancel-all: the key must have the scope 'trade', be used "
                    "from a pinned address and not be expired or revoked.",
                    ExitCode.CREDENTIALS,
                )
            if 200 <= answer.status < 300 and await panic.verified_empty():
                return
        throttled = answer is not None and answer.status == 429
        await panic.wait(pause, Said.THROTTLED if throttled else Said.LOST)
        pause = min(pause * 2, 1.0)


async def one_cancel_all(panic: Panic) -> Answer | None:
    """One cancel-all on whichever panic lane carries it; None when neither got an answer."""
    for lane in panic.lanes:
        with trio.move_on_after(ATTEMPT_SECONDS_MAX):
            try:
                return await panic.call(lane, panic.request)
            except (OcxError, trio.BusyResourceError):  # busy: the read that keeps it warm is on its way
                continue
    return None


async def own_fee_tier(reader: AccountReader) -> tuple[Decimal, Decimal] | None:
    """Our fees where the exchange says which tier is ours; the listing states the standard ones anyway."""
    while True:
        try:
            return await reader.get_once(ocx.FEES, reads.fee_tier)
        except (Refused, ValueError):
            return None
        except (Throttled, OutcomeUnknown):
            await trio.sleep(RETRY_SECONDS_MIN)


async def warm_up(reader: AccountReader, engine: Engine, unix_now: float) -> None:
    """Begin each market's volatility with the exchange's candles. Without recent ones it is learnt from what comes."""
    with trio.move_on_after(WARM_UP_SECONDS_MAX):
        for market_id, market in engine.markets.items():
            query = {"marketId": market_id, "interval": "1m", "limit": CANDLES_READ}
            try:
                closes = await reader.get_once(ocx.OHLC, reads.closes, query)
            except Unauthorized:
                raise
            except (OcxError, ValueError) as error:
                reader.tell(f"{ocx.OHLC} cannot be read, volatility is learnt from the reference: {error}")
                continue
            market.fair.volatility.warm_up(closes, unix_now)


def add_markets(engine: Engine, config: Config, specs: dict[str, MarketSpec]) -> None:
    """Give the engine its markets."""
    for market_id, spec in specs.items():
        one = config.markets[market_id]
        rooms = (one.fair, one.volatility, one.ladder, one.limits, one.spread_model, one.model, one.intensity)
        engine.add_market(MarketSettings(MarketAccount(spec), *rooms, one.funding))
