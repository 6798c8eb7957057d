"""Ladders: several levels placed in one request, and the atomic replace.

`cancelAll: true` takes away all of the user's resting quotes on the market (orders that came in a quote; single
orders stay: ASSUMED) and places the new levels, as one operation. Every level is judged before anything changes,
against the book as the request finds it, without the quotes that are to be replaced, and with the earlier levels of
the same request standing at their prices. What a refusal then does is two switches' business: `level_refusal` and
`margin_refusal`. Malformed levels (400) and used clientOrderIds (409) refuse the whole in every position.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.paper import admission
from maker.paper.execution import accept, execute, remove
from maker.paper.money import ZERO
from maker.paper.orders import BulkRequest, BulkResult, Order, OrderRecord, OrderRequest
from maker.paper.rejection import Rejection
from maker.paper.state import ExchangeState, Market, reducible

LEVELS_MAX: Final = 100  # levels of one bulk, both sides together (ASSUMED)


def place_bulk(state: ExchangeState, user_id: str, bulk: BulkRequest, now_ms: int) -> BulkResult:
    """Place a ladder; raises Rejection as documented for the order path."""
    registry = state.registries[user_id]
    switches = state.settings.switches
    levels = _as_requests(bulk)
    market = state.market(bulk.market_id)
    if bulk.quote_id in registry.quote_ids and switches.repeated_quote_id != "accept":
        first = registry.answers.get(bulk.quote_id)
        if switches.repeated_quote_id == "replay" and first is not None:
            return attrs.evolve(first, replayed=True)
        raise Rejection("DUPLICATE_QUOTE_ID", "this quoteId was used before")
    seen: set[str] = set()
    for level in levels:
        admission.check_new_id(registry, level.client_order_id)
        if level.client_order_id is not None:
            if level.client_order_id in seen:
                raise Rejection("DUPLICATE_CLIENT_ORDER_ID", "two levels share a clientOrderId")
            seen.add(level.client_order_id)
    admission.check_trading(market)

    old = registry.quotes(bulk.market_id) if bulk.cancel_all else []
    gone = {order.order_id for order in old}
    refusals = _judge(state, market, user_id, levels, gone)
    if refusals and switches.level_refusal == "whole":
        number, refusal = min(refusals.items())
        raise Rejection(refusal.code, f"level {number}: {refusal.message}")
    accepted = [level for number, level in enumerate(levels) if number not in refusals]
    admission.check_room(registry, len(accepted) - len(old))
    one_by_one = False
    try:
        state.check_margin(user_id, [want for level in accepted for want in admission.wants(market, level)], gone)
    except Rejection:
        if switches.margin_refusal == "atomic":
            raise
        if switches.margin_refusal == "cancels_first":
            for order in old:
                remove(state, order, "cancelled", now_ms)
            _use_quote_id(state, user_id, bulk.quote_id)
            raise
        one_by_one = True

    cancelled = []
    for order in old:
        remove(state, order, "replaced", now_ms)
        cancelled.append(order.record())
    records: list[Order | OrderRecord] = []
    for number, level in enumerate(levels):
        problem = refusals.get(number)
        if problem is None and one_by_one:
            try:
                state.check_margin(user_id, admission.wants(market, level))
            except Rejection as refusal:
                problem = refusal
        if problem is not None:
            records.append(_refused(user_id, level, bulk.quote_id, problem, now_ms))
            continue
        order = accept(state, user_id, level, bulk.quote_id, now_ms)
        execute(state, order, now_ms)
        records.append(order)
    result = BulkResult(
        market_id=bulk.market_id,
        quote_id=bulk.quote_id,
        orders=tuple(each.record() if isinstance(each, Order) else each for each in records),
        cancelled=tuple(cancelled),
    )
    _use_quote_id(state, user_id, bulk.quote_id)
    if switches.repeated_quote_id == "replay":
        registry.answer(result)
    return result


def _as_requests(bulk: BulkRequest) -> list[OrderRequest]:
    """Spell levels as order requests; raises a 400 Rejection for a malformed one or too many."""
    admission.check_name(bulk.quote_id, "INVALID_QUOTE_ID")
    if len(bulk.quotes) > LEVELS_MAX:
        raise Rejection("TOO_MANY_QUOTES", f"{LEVELS_MAX} levels are the limit")
    levels = []
    for quote in bulk.quotes:
        level = OrderRequest(
            market_id=bulk.market_id,
            side=quote.side,
            price=quote.price,
            quantity=quote.quantity,
            client_order_id=quote.client_order_id,
            time_in_force=quote.time_in_force,
            post_only=quote.post_only,
            reduce_only=quote.reduce_only,
            margin_mode=quote.margin_mode,
        )
        admission.check_words(level)
        levels.append(level)
    return levels


def _judge(
    state: ExchangeState, market: Market, user_id: str, levels: list[OrderRequest], gone: set[str]
) -> dict[int, Rejection]:
    """Find the levels that fail a business check, by their number; changes nothing."""
    refusals: dict[int, Rejection] = {}
    highest_bid: Decimal | None = None  # of the accepted earlier levels that may come to rest
    lowest_ask: Decimal | None = None
    claimed = ZERO  # by the accepted earlier reduce-only levels
    for number, level in enumerate(levels):
        assert level.price is not None
        try:
            admission.check_grid(market, level.price, level.quantity)
            if level.reduce_only:
                left = reducible(state, user_id, level.market_id, level.side, gone)
                admission.check_reduce_only(level.quantity, max(ZERO, left - claimed))
            if level.post_only:
                admission.check_post_only(market, level.side, level.price, gone)
                crosses_ask = level.side == "buy" and lowest_ask is not None and level.price >= lowest_ask
                crosses_bid = level.side == "sell" and highest_bid is not None and level.price <= highest_bid
                if crosses_ask or crosses_bid:
                    raise Rejection("POST_ONLY_WOULD_CROSS", "would cross an earlier level of the same request")
        except Rejection as refusal:
            refusals[number] = refusal
            continue
        if level.reduce_only:
            claimed += level.quantity
        if level.time_in_force != "gtc":
            continue
        if level.side == "buy":
            highest_bid = level.price if highest_bid is None else max(highest_bid, level.price)
        else:
            lowest_ask = level.price if lowest_ask is None else min(lowest_ask, level.price)
    return refusals


def _refused(user_id: str, level: OrderRequest, quote_id: str, problem: Rejection, now_ms: int) -> OrderRecord:
    """Record a level that was refused where the others were not."""
    return OrderRecord(
        order_id="",
        client_order_id=level.client_order_id,
        quote_id=quote_id,
        user_id=user_id,
        market_id=level.market_id,
        side=level.side,
        type=level.type,
        price=level.price,
        quantity=level.quantity,
        filled=ZERO,
        remaining=ZERO,
        average_price=None,
        time_in_force=level.time_in_force,
        post_only=level.post_only,
        reduce_only=level.reduce_only,
        margin_mode=level.margin_mode,
        status="rejected",
        reason=problem.code,
        message=problem.message,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def _use_quote_id(state: ExchangeState, user_id: str, quote_id: str) -> None:
    """Remember that a bulk under this quoteId had its effect."""
    memory = state.registries[user_id].quote_ids
    if quote_id not in memory:
        memory.add(quote_id)
