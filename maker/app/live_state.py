"""The run as `maker.wire.live` tells it, put together out of what the rooms know. Looks only: nothing is changed.

Whatever the engine books while quoting is taken from there. Three things it is not told on the way out, since nothing
quotes any more: that quotes are being pulled for good, that the exchange was read back empty, and why. They are the
switch's, the halt's and the run's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from maker.desk.account import MarketAccount
from maker.desk.fair import FairValue, SourceState
from maker.desk.margin import Step
from maker.desk.market import MarketDesk
from maker.desk.profit import Attribution
from maker.desk.units import BPS, SUBTICKS, Side
from maker.wire import live, ocx

if TYPE_CHECKING:
    from maker.app.record import Recorder
    from maker.app.wiring import Run

MONEY_DECIMALS: Final = 8  # as in the result of a run
PRICE_PARTS: Final = 100  # a price between ticks is told to this part of a tick
QUOTED: Final = "both sides are quoted, or as much as position and margin allow"
NOT_YET: Final = "its first ladder is due"
STARTING: Final = "the exchange is being read and swept; nothing is placed yet"
STEPS: Final = {
    Step.AMPLE: "ample",
    Step.WARN: "warn",
    Step.SHRINK: "shrink",
    Step.REDUCE_ONLY: "reduce only",
    Step.FLATTEN: "flatten",
}


def rounded(amount: Decimal) -> Decimal:
    """An amount with no more decimals than people read, and none added."""
    exponent = amount.as_tuple().exponent
    return amount if isinstance(exponent, int) and exponent >= -MONEY_DECIMALS else round(amount, MONEY_DECIMALS)


def money(amount: Decimal) -> str:
    """Quote currency as text."""
    return ocx.fixed(rounded(amount))


def profit(made: Attribution) -> live.Profit:
    """What made a profit; the parts are rounded, and the total is theirs."""
    parts = [rounded(part) for part in (made.spread, made.inventory, made.fees, made.funding)]
    spread, inventory, fees, funding = (ocx.fixed(part) for part in parts)
    total = ocx.fixed(sum(parts, Decimal(0)))
    return live.Profit(total=total, spread=spread, inventory=inventory, fees=fees, funding=funding)


# -- the run ------------------------------------------------------------------------------------------------------


def state_and_sentence(run: Run, *, ended: bool, quoted: Mapping[str, str]) -> tuple[str, str]:
    """The state of the run and why; `quoted`: each market with the sentence that says why it is not, empty if it is.

    `ended`: the nurseries are coming down, whatever nobody has told.
    """
    switch, report = run.switch, run.report
    if run.stop is not None or switch.final or ended:
        trip = run.stop or switch.tripped
        why = trip.sentence if trip is not None else "it did not come to quoting"
        if not run.armed:
            return "ending", f"{why}; nothing was placed"
        return "ending", f"{why}; {'read back empty' if report.verified_empty else 'quotes are being pulled'}"
    if not run.armed:
        return "starting", STARTING
    if switch.tripped is not None:
        return "pulling", switch.tripped.sentence
    out = [f"{market_id}: {why}" for market_id, why in quoted.items() if why]
    if not out:
        said = {1: f"{next(iter(quoted))} is quoted", 2: "both markets are quoted"}
        return "quoting", said.get(len(quoted), f"all {len(quoted)} markets are quoted")
    if len(out) < len(quoted):
        return "quoting", f"{len(quoted) - len(out)} of {len(quoted)} markets are quoted. {'; '.join(out)}"
    return "not quoting", "; ".join(out)


def pulled_for(run: Run) -> str:
    """Why every market's quotes are pulled or about to be; empty while they are not."""
    trip = run.stop or run.switch.tripped
    return f"quotes are pulled: {trip.sentence}" if trip is not None else ""


def budget(run: Run, now: float) -> live.Budget:
    """Requests of the order path."""
    known = run.engine.budget
    left = known.remaining if now < known.window_ends_at else known.limit
    return live.Budget(
        limit=known.limit, left=float(left), reserve=float(known.reserve), spent=known.spent, throttled=known.throttles
    )


def account(run: Run) -> live.Account:
    """Money of the whole account."""
    engine = run.engine
    reading, counted = engine.margin.reading, engine.losses.counted
    limits = engine.account_limits
    marked = any(market.worth.mark is not None for market in engine.markets.values())
    return live.Account(
        balance=None if engine.balance is None else money(engine.balance),
        equity=None if reading is None else money(reading.equity),
        available=None if engine.available is None else money(engine.available),
        headroom=None if reading is None else float(engine.margin.headroom),
        margin_step=STEPS[engine.margin.step],
        profit=profit(engine.attribution()) if marked else None,
        drawdown=None if counted is None else money(counted.fallen),
        drawdown_max=money(limits.drawdown_max),
        loss_today=None if counted is None else money(max(Decimal(0), counted.today)),
        loss_day_max=money(limits.daily_loss_max),
    )


# -- feeds --------------------------------------------------------------------------------------------------------


def feeds(run: Run, recorder: Recorder, sources: Iterable[SourceState]) -> tuple[live.Feed, ...]:
    """Each reference feed that a market reads, in the order of the configuration; `sources`: of all markets."""
    by_name: dict[str, list[SourceState]] = {}
    for one in sources:
        by_name.setdefault(one.name, []).append(one)
    return tuple(feed(name, by_name[name], recorder) for name in run.config.references if name in by_name)


def feed(name: str, sources: list[SourceState], recorder: Recorder) -> live.Feed:
    """One feed: stale where a market leaves it out, whatever for."""
    ages = [one.age_seconds for one in sources if one.age_seconds is not None]
    left_out = "; ".join(dict.fromkeys(one.left_out for one in sources if one.left_out))
    if name in recorder.down:
        state = "down"
        left_out = left_out or "its connection is lost"
    elif not ages:
        state, left_out = "down", left_out or "it has told no price yet"
    else:
        state = "stale" if left_out else "live"
    return live.Feed(name=name, state=state, sentence=left_out, age_seconds=min(ages, default=None))


# -- markets ------------------------------------------------------------------------------------------------------


def why_not(run: Run, market: MarketDesk, now: float) -> str:
    """Why a market is not quoted now, as a sentence; empty while something of ours rests there and may."""
    why = pulled_for(run) or run.engine.not_quoting(market, now) or market.nothing
    return why or ("" if market.account.resting else NOT_YET)


def market(run: Run, one: MarketDesk, why: str, made: Attribution | None, now: float) -> live.Market:
    """One market; `why` as of `why_not`, `made` its attribution once it has a mark."""
    held, worth, grid = one.account, one.worth, one.account.spec.grid
    fair = one.fair.value(now)
    rests = bool(held.resting) and not run.report.verified_empty
    size, lots = grid.size, held.position_lots
    mark = worth.mark
    return live.Market(
        market_id=one.market_id,
        state="not quoting" if why else "quoting",
        sentence=why or QUOTED,
        tick=ocx.fixed(grid.price.step),
        fair=fair_text(one, fair.subticks) if isinstance(fair, FairValue) else None,
        fair_half_width_bps=(fair.half_width_subticks / fair.subticks * BPS if isinstance(fair, FairValue) else None),
        no_fair="" if isinstance(fair, FairValue) else fair.reason,
        mark=None if mark is None else ocx.fixed(mark),
        best_bid=best(one, one.book.best_bid),
        best_ask=best(one, one.book.best_ask),
        quotes=quotes(held) if rests else (),
        quotes_age_seconds=max(0.0, now - one.quoted_at) if rests else None,
        position=size.text(lots),
        position_max=ocx.fixed(one.limits.position_limit),
        position_value=None if mark is None else money(size.value(abs(lots)) * mark),
        position_value_max=money(one.limits.position_value_max),
        entry=money(held.entry_price) if lots else None,
        unrealized=None if mark is None else money(worth.unrealized),
        profit=None if made is None else profit(made),
        fills=held.fills,
        maker_fee_bps=ocx.fixed(held.spec.maker_fee_bps),
        taker_fee_bps=ocx.fixed(held.spec.taker_fee_bps),
        stream="live" if one.live else "down",
        stream_age_seconds=None if one.heard_at is None else max(0.0, now - one.heard_at),
    )


def fair_text(one: MarketDesk, subticks: int) -> str:
    """A price between ticks."""
    hundredths = round(subticks * PRICE_PARTS / SUBTICKS)
    return ocx.fixed(one.account.spec.grid.price.step * hundredths / PRICE_PARTS)


def best(one: MarketDesk, ticks: int | None) -> str | None:
    """A best price of the book; None also while the book is not known."""
    return one.account.spec.grid.price.text(ticks) if one.live and ticks is not None else None


def quotes(held: MarketAccount) -> tuple[live.Quote, ...]:
    """What rests, bids first, innermost first on either side."""
    price, size = held.spec.grid.price, held.spec.grid.size
    ranked = sorted(held.resting.values(), key=lambda own: (own.side is Side.SELL, -own.side.sign * own.ticks))
    return tuple(
        live.Quote(side=own.side.value, price=price.text(own.ticks), size=size.text(own.lots)) for own in ranked
    )


def expiry(expires_at: float | None) -> float | None:
    """When a key expires, unix seconds; None for never, and where it is not known."""
    return expires_at if expires_at is not None and math.isfinite(expires_at) else None
