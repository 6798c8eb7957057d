"""What happens by itself: funding when it is due, and liquidation of whoever is under maintenance margin."""

from __future__ import annotations

from maker.paper.execution import remove
from maker.paper.margin import maintenance_margin
from maker.paper.market import funding_rate
from maker.paper.money import ZERO
from maker.paper.orders import OPPOSITE, FundingRecord, LiquidationRecord
from maker.paper.state import INSURANCE, ExchangeState, Market


def exchange_funding(state: ExchangeState, now_ms: int) -> None:
    """Exchange funding in every perpetual whose time has come, once however late it is.

    Each account pays position x mark x rate, so longs pay shorts at a positive rate, and as positions sum to zero so
    do the payments, exactly. Periods missed while nobody called (the exchange was down) are not made up for.
    """
    for market in state.markets.values():
        if now_ms < market.next_funding_ms:
            continue
        market.next_funding_ms = next_boundary(now_ms, market.spec.funding_interval_ms)
        if market.spec.market_type == "perp":
            _exchange(state, market, now_ms)


def next_boundary(now_ms: int, interval_ms: int) -> int:
    """Return the first multiple of an interval after now, in unix milliseconds."""
    return now_ms - now_ms % interval_ms + interval_ms


def _exchange(state: ExchangeState, market: Market, now_ms: int) -> None:
    mark = market.mark()
    rate = funding_rate(market.spec, mark, market.index)
    if not rate:
        return
    market_id = market.spec.market_id
    for account in state.accounts.values():
        position = account.quantity(market_id)
        if not position:
            continue
        paid = position * mark * rate
        account.funding_paid += paid
        if account.kind != "user":
            continue
        account.funding.append(
            FundingRecord(
                user_id=account.user_id,
                market_id=market_id,
                rate=rate,
                position=position,
                mark=mark,
                paid=paid,
                at_ms=now_ms,
            )
        )
        state.report(
            "funding",
            now_ms,
            userId=account.user_id,
            marketId=market_id,
            rate=rate,
            position=position,
            mark=mark,
            paid=paid,
        )


def liquidate(state: ExchangeState, now_ms: int) -> None:
    """Take over everything of each user whose equity is under maintenance margin.

    All orders are cancelled, then each position passes to the insurance account at the mark: the user's position
    changes without a trade. A deficit stays with the user.
    """
    marks = state.marks()
    for account in state.accounts.values():
        if account.kind != "user" or not account.positions:
            continue
        equity = account.equity(marks)
        maintenance = maintenance_margin(state.exposures(account.user_id))
        if equity >= maintenance:
            continue
        # Fixed before our own orders leave the books, so that the marks which broke the margin are the ones paid.
        paid_marks = {market_id: marks[market_id] for market_id in account.positions}
        for order in list(state.registries[account.user_id].open.values()):
            remove(state, order, "liquidated", now_ms)
        for market_id, mark in paid_marks.items():
            position = account.quantity(market_id)
            side = "buy" if position > ZERO else "sell"
            account.move(market_id, OPPOSITE[side], mark, abs(position), now_ms, state.ids)
            state.accounts[INSURANCE].move(market_id, side, mark, abs(position), now_ms, state.ids)
            account.liquidations.append(
                LiquidationRecord(
                    user_id=account.user_id,
                    market_id=market_id,
                    position=position,
                    mark=mark,
                    equity=equity,
                    maintenance=maintenance,
                    at_ms=now_ms,
                )
            )
            state.report(
                "liquidation",
                now_ms,
                userId=account.user_id,
                marketId=market_id,
                position=position,
                mark=mark,
                equity=equity,
                maintenance=maintenance,
            )
