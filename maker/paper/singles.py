"""The order path's calls for one order, cancel-all, and the preview."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.paper import admission
from maker.paper.execution import accept, execute, reduce, remove, withdraw
from maker.paper.margin import initial_margin
from maker.paper.money import BASIS_POINTS, ZERO
from maker.paper.orders import (
    MARGIN_MODES,
    OPPOSITE,
    CancelScope,
    Order,
    OrderRequest,
    PreviewResult,
)
from maker.paper.rejection import Rejection
from maker.paper.state import ExchangeState, Market, reducible

BUSINESS: Final = (409, 422)  # statuses that a preview answers with "not approved" instead of refusing


def place(state: ExchangeState, user_id: str, request: OrderRequest, now_ms: int) -> Order:
    """Accept and execute one order; raises Rejection. An id is used up only by an accepted order."""
    admission.check_words(request)
    market = state.market(request.market_id)
    _check_business(state, user_id, market, request)
    order = accept(state, user_id, request, None, now_ms)
    execute(state, order, now_ms)
    return order


def _check_business(state: ExchangeState, user_id: str, market: Market, request: OrderRequest) -> None:
    """Raise a 409 or 422 Rejection unless a well-formed order may be accepted; changes nothing."""
    registry = state.registries[user_id]
    admission.check_new_id(registry, request.client_order_id)
    admission.check_trading(market)
    admission.check_unconditional(request)
    price = request.price if request.type == "limit" else None
    admission.check_grid(market, price, request.quantity)
    if request.reduce_only:
        left = reducible(state, user_id, request.market_id, request.side)
        admission.check_reduce_only(request.quantity, left)
    if request.post_only and price is not None:
        admission.check_post_only(market, request.side, price)
    admission.check_room(registry, 1)
    state.check_margin(user_id, admission.wants(market, request))


def modify(
    state: ExchangeState, user_id: str, order_id: str, price: Decimal | None, quantity: Decimal | None, now_ms: int
) -> Order:
    """Change a resting order's price or total quantity (filled part included), under its old id.

    Smaller at the same price keeps its place in the queue; anything else goes to the back, and may trade. Raises
    Rejection, and then the order stands as it was.
    """
    registry = state.registries[user_id]
    if price is None and quantity is None:
        raise Rejection("INVALID_COMBINATION", "a modification names a price or a quantity")
    if price is not None:
        admission.check_amount(price, "INVALID_PRICE")
    if quantity is not None:
        admission.check_amount(quantity, "INVALID_QUANTITY")
    order = registry.find_open(order_id)
    market = state.markets[order.market_id]
    admission.check_trading(market)
    new_price = order.price if price is None else price
    new_quantity = order.quantity if quantity is None else quantity
    admission.check_grid(market, new_price, new_quantity)
    left = new_quantity - order.filled
    if left <= 0:
        raise Rejection("INVALID_QUANTITY", "that much is filled already")
    if new_price == order.price and left <= order.remaining:
        if left < order.remaining:
            reduce(state, order, order.remaining - left, "modified", now_ms)
        return order
    gone = {order_id}
    if order.reduce_only:
        admission.check_reduce_only(left, reducible(state, user_id, order.market_id, order.side, gone))
    else:
        state.check_margin(user_id, ((order.market_id, order.side, new_price, left),), gone)
    if order.post_only:
        admission.check_post_only(market, order.side, new_price)
    withdraw(state, order, "modified", now_ms)
    order.price = new_price.quantize(market.spec.tick_size)
    order.quantity = new_quantity.quantize(market.spec.step_size)
    order.remaining = left.quantize(market.spec.step_size)
    order.updated_ms = now_ms
    order.reason = "modified"
    execute(state, order, now_ms)
    return order


def cancel(state: ExchangeState, user_id: str, order_id: str, now_ms: int) -> Order:
    """Cancel one order, in a halted market too; raises Rejection ORDER_NOT_FOUND or ORDER_NOT_OPEN."""
    order = state.registries[user_id].find_open(order_id)
    remove(state, order, "cancelled", now_ms)
    return order


def find_cancel_all(state: ExchangeState, user_id: str, scope: CancelScope) -> list[Order]:
    """List what a cancel-all takes; raises Rejection for an unknown market or margin mode, not for an unknown id."""
    if scope.market_id is not None:
        state.market(scope.market_id)
    if scope.margin_mode is not None and scope.margin_mode not in MARGIN_MODES:
        raise Rejection("INVALID_MARGIN_MODE", f"must be one of {', '.join(MARGIN_MODES)}")
    return state.registries[user_id].matching(scope)


def close_position(state: ExchangeState, user_id: str, market_id: str, quantity: Decimal | None, now_ms: int) -> Order:
    """Close a position, or `quantity` of it, with a reduce-only market order; raises Rejection.

    Resting reduce-only orders do not stand in its way: they shrink as it fills. It trades within the price band and
    what the book cannot fill expires, so the position may stay open in part. Smaller than the market's minimum is
    allowed, on the step.
    """
    market = state.market(market_id)
    if quantity is not None:
        admission.check_amount(quantity, "INVALID_QUANTITY")
    admission.check_trading(market)
    position = state.accounts[user_id].quantity(market_id)
    if not position:
        raise Rejection("NO_POSITION", "there is no position to close")
    size = abs(position) if quantity is None else quantity
    if quantity is not None:
        admission.check_grid(market, None, quantity, minimum=False)
        admission.check_reduce_only(quantity, abs(position))
    request = OrderRequest(
        market_id=market_id,
        side=OPPOSITE["buy" if position > 0 else "sell"],
        type="market",
        quantity=size,
        time_in_force="ioc",
        reduce_only=True,
    )
    order = accept(state, user_id, request, None, now_ms)
    execute(state, order, now_ms)
    return order


def preview(state: ExchangeState, user_id: str, request: OrderRequest, now_ms: int) -> PreviewResult:
    """Tell what an order would cost and whether it would be accepted; raises Rejection for 400 and 404 only.

    A market order is valued at what the book would fill, the rest at the mark.
    """
    admission.check_words(request)
    market = state.market(request.market_id)
    reason = None
    try:
        _check_business(state, user_id, market, request)
    except Rejection as refusal:
        if refusal.status not in BUSINESS:
            raise
        reason = refusal.code
    limit = request.price if request.type == "limit" else None
    if limit is None:
        edge = market.band[1] if request.side == "buy" else market.band[0]
        filled, value = market.book.sweep(request.side, edge, request.quantity, user_id)
        notional = value + (request.quantity - filled) * market.mark()
    else:
        notional = limit * request.quantity
    takes = limit is None or market.book.would_cross(request.side, limit)
    fee_bps = market.spec.taker_fee_bps if takes else market.spec.maker_fee_bps
    before = initial_margin(state.exposures(user_id))
    after = initial_margin(state.exposures(user_id, admission.wants(market, request)))
    return PreviewResult(
        notional=notional,
        margin_required=max(ZERO, after - before),
        estimated_fee=notional * fee_bps * BASIS_POINTS,
        fee_bps=fee_bps,
        fee_role="taker" if takes else "maker",
        approved=reason is None,
        reason=reason,
        volume_30d=state.accounts[user_id].volume(now_ms),
    )


def place_crowd(state: ExchangeState, user_id: str, request: OrderRequest, now_ms: int) -> Order | None:
    """Accept and execute an order of the crowd, which has no margin and no limits; None where it may not rest here."""
    market = state.markets[request.market_id]
    try:
        admission.check_words(request)
        admission.check_trading(market)
        admission.check_grid(market, request.price, request.quantity)
        if request.post_only and request.price is not None:
            admission.check_post_only(market, request.side, request.price)
    except Rejection:
        return None
    order = accept(state, user_id, attrs.evolve(request, client_order_id=None), None, now_ms)
    execute(state, order, now_ms)
    return order
