"""What happens to an accepted order: it trades, rests, shrinks, goes.

Self-trade prevention: an incoming order that reaches a resting order of the same user stops there, and what is left
of it is cancelled; the resting order stays as it is. (Other exchanges offer this as "cancel newest"; OCX documents
nothing: ASSUMED.)

Reduce-only: after every single fill the owner's resting reduce-only orders are cut, newest first, to what the
position still allows, so that no fill of one of them can increase a position.
"""

from __future__ import annotations

from decimal import Decimal

from maker.paper.accounts import Account
from maker.paper.money import BASIS_POINTS, ZERO
from maker.paper.orders import OPPOSITE, MarketTrade, Order, OrderRequest, OwnTrade
from maker.paper.state import ExchangeState, Market, reducible


def accept(state: ExchangeState, user_id: str, request: OrderRequest, quote_id: str | None, now_ms: int) -> Order:
    """Make an order of a request that passed every check, on the grid's decimals; its clientOrderId is now used."""
    market = state.markets[request.market_id]
    spec = market.spec
    if request.type == "market" or request.price is None:
        price = market.band[1] if request.side == "buy" else market.band[0]
    else:
        price = request.price
    if request.client_order_id is not None and user_id in state.windows:
        state.registries[user_id].client_order_ids.add(request.client_order_id)
    quantity = request.quantity.quantize(spec.step_size)
    return Order(
        order_id=state.ids.make(now_ms),
        client_order_id=request.client_order_id,
        quote_id=quote_id,
        user_id=user_id,
        market_id=request.market_id,
        side=request.side,
        type=request.type,
        price=price.quantize(spec.tick_size),
        quantity=quantity,
        remaining=quantity,
        time_in_force=request.time_in_force,
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        margin_mode=request.margin_mode,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def execute(state: ExchangeState, order: Order, now_ms: int) -> None:
    """Match an accepted order as far as it goes, then rest it or end it; the order tells the outcome.

    A reduce-only order whose allowance is gone by now (an earlier level of the same bulk traded) is cancelled whole.
    """
    market = state.markets[order.market_id]
    rests = order.type == "limit" and order.time_in_force == "gtc"
    if order.reduce_only:
        # One that does not rest may claim the whole position: each of its fills cuts the resting ones.
        others = () if rests else tuple(state.registries[order.user_id].reduce_only.get(order.market_id, ()))
        if order.remaining > reducible(state, order.user_id, order.market_id, order.side, others):
            end(state, order, "cancelled", "reduce_only", now_ms)
            return
    if order.time_in_force == "fok":
        filled, _ = market.book.sweep(order.side, order.price, order.remaining, order.user_id)
        if filled < order.remaining:
            end(state, order, "cancelled", "expired", now_ms)
            return
    opposite = market.book.half(OPPOSITE[order.side])
    while order.remaining:
        front = opposite.front()
        if front is None or not opposite.crosses(order.price, front.price):
            break
        if front.user_id == order.user_id:
            end(state, order, "cancelled", "self_trade", now_ms)
            return
        trade(state, market, order, front, min(order.remaining, front.remaining), now_ms)
    if not order.remaining:
        end(state, order, "filled", None, now_ms)
    elif not rests:
        end(state, order, "cancelled", "expired", now_ms)
    else:
        market.book.add(order)
        state.registries[order.user_id].rest(order)
        state.report_order("placed", order, order.reason, now_ms)
        order.reason = None


def end(state: ExchangeState, order: Order, status: str, reason: str | None, now_ms: int) -> None:
    """Finish an order that rests in no book."""
    order.status = status
    order.reason = reason
    order.updated_ms = now_ms
    if state.accounts[order.user_id].kind == "user":
        state.registries[order.user_id].finish(order)


def remove(state: ExchangeState, order: Order, reason: str, now_ms: int) -> None:
    """Take a resting order out of its book and finish it: cancelled, replaced, reduce_only or liquidated."""
    withdraw(state, order, reason, now_ms)
    end(state, order, "cancelled", reason, now_ms)


def withdraw(state: ExchangeState, order: Order, reason: str, now_ms: int) -> None:
    """Take a resting order out of its book; its owner may put it back or end it."""
    left = order.remaining
    state.markets[order.market_id].book.reduce(order, left)
    state.registries[order.user_id].unrest(order)
    state.report_order("removed", order, reason, now_ms)
    order.remaining = left


def reduce(state: ExchangeState, order: Order, quantity: Decimal, reason: str, now_ms: int) -> None:
    """Make a resting order smaller by `quantity`, less than it has left; it keeps its place in the queue."""
    assert quantity < order.remaining
    state.markets[order.market_id].book.reduce(order, quantity)
    order.quantity -= quantity
    order.updated_ms = now_ms
    state.report_order("reduced", order, reason, now_ms)


def trade(state: ExchangeState, market: Market, taker: Order, maker: Order, quantity: Decimal, now_ms: int) -> None:
    """Settle one fill at the resting order's price, with both owners, the book, the tape and the witness."""
    price = maker.price
    trade_id = state.ids.make(now_ms)
    market.trade_count += 1
    market.last = price
    market.candles.add(price, quantity, now_ms)
    market.tape.append(
        MarketTrade(
            trade_id=trade_id,
            index=market.trade_count,
            market_id=market.spec.market_id,
            side=taker.side,
            price=price,
            quantity=quantity,
            created_ms=now_ms,
        )
    )
    for order in (taker, maker):
        order.filled += quantity
        order.filled_value += price * quantity
        order.updated_ms = now_ms
    taker.remaining -= quantity
    market.book.reduce(maker, quantity)
    fees = [
        _settle(state, market, order, liquidity, trade_id, quantity, price, now_ms)
        for order, liquidity in ((taker, "taker"), (maker, "maker"))
    ]
    if taker.user_id in state.windows or maker.user_id in state.windows:
        state.report(
            "trade",
            now_ms,
            tradeId=trade_id,
            marketId=market.spec.market_id,
            price=price,
            quantity=quantity,
            takerSide=taker.side,
            takerUserId=taker.user_id,
            takerOrderId=taker.order_id,
            takerClientOrderId=taker.client_order_id,
            takerFee=fees[0],
            makerUserId=maker.user_id,
            makerOrderId=maker.order_id,
            makerClientOrderId=maker.client_order_id,
            makerFee=fees[1],
        )
    if maker.remaining:
        state.report_order("reduced", maker, "filled", now_ms)
    else:
        state.registries[maker.user_id].unrest(maker)
        state.report_order("removed", maker, "filled", now_ms)
        end(state, maker, "filled", None, now_ms)
    for order in (taker, maker):
        cut_reduce_only(state, order.user_id, order.market_id, now_ms)


def _settle(
    state: ExchangeState,
    market: Market,
    order: Order,
    liquidity: str,
    trade_id: str,
    quantity: Decimal,
    price: Decimal,
    now_ms: int,
) -> Decimal:
    """Book one owner's side of a trade and return the fee, negative for a rebate, exact and unrounded."""
    account: Account = state.accounts[order.user_id]
    value = price * quantity
    bps = market.spec.taker_fee_bps if liquidity == "taker" else market.spec.maker_fee_bps
    fee = value * bps * BASIS_POINTS
    account.move(order.market_id, order.side, price, quantity, now_ms, state.ids)
    account.fees_paid += fee
    account.trade_count += 1
    if account.kind == "user":
        account.add_volume(value, now_ms)
        account.trades.append(
            OwnTrade(
                trade_id=trade_id,
                index=account.trade_count,
                market_id=order.market_id,
                side=order.side,
                price=price,
                quantity=quantity,
                liquidity=liquidity,
                fee=fee,
                order_id=order.order_id,
                client_order_id=order.client_order_id,
                created_ms=now_ms,
            )
        )
    return fee


def cut_reduce_only(state: ExchangeState, user_id: str, market_id: str, now_ms: int) -> None:
    """Cut a user's resting reduce-only orders to what the position allows, newest first."""
    orders = state.registries[user_id].reduce_only.get(market_id)
    if not orders:
        return
    side = next(iter(orders.values())).side  # they all close the same position, so they share a side
    allowed = reducible(state, user_id, market_id, side, tuple(orders))
    excess = sum((order.remaining for order in orders.values()), ZERO) - allowed
    for order in reversed(list(orders.values())):
        if excess <= 0:
            return
        if order.remaining <= excess:
            excess -= order.remaining
            remove(state, order, "reduce_only", now_ms)
        else:
            reduce(state, order, excess, "reduce_only", now_ms)
            return
