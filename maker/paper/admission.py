"""What an order must satisfy before it is accepted, in the order in which it is checked.

400 malformed, 404 unknown market, 409 duplicate or halted, 422 business: grid, band, reduce-only, post-only. Margin
comes last and is the state's own question.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Final

from maker.paper.money import is_ordinary, plain
from maker.paper.orders import MARGIN_MODES, SIDES, TIMES_IN_FORCE, TYPES, OrderRequest
from maker.paper.registry import OPEN_ORDERS_MAX, OrderRegistry
from maker.paper.rejection import Rejection
from maker.paper.state import Market, Want

ID_LENGTH_MAX: Final = 64  # characters of a clientOrderId or quoteId (ASSUMED)
SWEEP_LEVELS_MAX: Final = 1_000  # levels of the other side that a market order is reckoned against


def check_words(request: OrderRequest) -> None:
    """Raise a 400 Rejection unless every field is well formed and none contradicts another."""
    for value, known, code in (
        (request.side, SIDES, "INVALID_SIDE"),
        (request.type, TYPES, "INVALID_TYPE"),
        (request.time_in_force, TIMES_IN_FORCE, "INVALID_TIME_IN_FORCE"),
        (request.margin_mode, MARGIN_MODES, "INVALID_MARGIN_MODE"),
    ):
        if value not in known:
            raise Rejection(code, f"must be one of {', '.join(known)}")
    check_amount(request.quantity, "INVALID_QUANTITY")
    if request.type == "limit":
        if request.price is None:
            raise Rejection("INVALID_PRICE", "a limit order needs a price")
        check_amount(request.price, "INVALID_PRICE")
    if request.post_only and (request.type == "market" or request.time_in_force != "gtc"):
        raise Rejection("INVALID_COMBINATION", "a post-only order is a limit order that rests: gtc")
    if request.client_order_id is not None:
        check_name(request.client_order_id, "INVALID_CLIENT_ORDER_ID")


def check_amount(value: Decimal, code: str) -> None:
    """Raise a 400 Rejection unless a price, size or sum is finite, positive and of sane length."""
    if not is_ordinary(value) or value <= 0:
        raise Rejection(code, "must be a positive decimal")


def check_name(name: str, code: str) -> None:
    """Raise a 400 Rejection unless a client's id is printable ASCII without spaces, 1 to 64 characters."""
    if not (0 < len(name) <= ID_LENGTH_MAX and name.isascii() and name.isprintable() and " " not in name):
        raise Rejection(code, f"1 to {ID_LENGTH_MAX} printable ASCII characters")


def check_new_id(registry: OrderRegistry, client_order_id: str | None) -> None:
    """Raise Rejection DUPLICATE_CLIENT_ORDER_ID for an id that an accepted order of this user has used."""
    if client_order_id is not None and client_order_id in registry.client_order_ids:
        raise Rejection("DUPLICATE_CLIENT_ORDER_ID", "this clientOrderId was used before")


def check_trading(market: Market) -> None:
    """Raise a Rejection while a market takes no orders."""
    if not market.spec.tradable:
        raise Rejection("MARKET_NOT_TRADABLE", f"{market.spec.market_id} is listed only")
    if market.halted:
        raise Rejection("MARKET_HALTED", f"{market.spec.market_id} is halted")


def check_room(registry: OrderRegistry, resting_more: int) -> None:
    """Raise Rejection TOO_MANY_OPEN_ORDERS where a user would have more than the limit."""
    if len(registry.open) + resting_more > OPEN_ORDERS_MAX:
        raise Rejection("TOO_MANY_OPEN_ORDERS", f"{OPEN_ORDERS_MAX} open orders are the limit")


def check_grid(market: Market, price: Decimal | None, quantity: Decimal, *, minimum: bool = True) -> None:
    """Raise a 422 Rejection unless price and size lie on the grid, within the limits and the price band."""
    spec = market.spec
    if quantity % spec.step_size:
        raise Rejection("OFF_STEP", f"quantity {plain(quantity)} is not a multiple of {plain(spec.step_size)}")
    if minimum and quantity < spec.quantity_min:
        raise Rejection("BELOW_MINIMUM", f"quantity {plain(quantity)} is below {plain(spec.quantity_min)}")
    if quantity > spec.quantity_max:
        raise Rejection("ABOVE_MAXIMUM", f"quantity {plain(quantity)} is above {plain(spec.quantity_max)}")
    if price is None:
        return
    if price % spec.tick_size:
        raise Rejection("OFF_TICK", f"price {plain(price)} is not a multiple of {plain(spec.tick_size)}")
    low, high = market.band
    if not low <= price <= high:
        raise Rejection("PRICE_OUT_OF_BAND", f"price {plain(price)} is outside {plain(low)} to {plain(high)}")


def check_post_only(market: Market, side: str, price: Decimal, ignored: Collection[str] = ()) -> None:
    """Raise Rejection POST_ONLY_WOULD_CROSS where the order would take; `ignored` orders count as gone."""
    if market.book.would_cross(side, price, ignored):
        raise Rejection("POST_ONLY_WOULD_CROSS", f"a {side} at {plain(price)} would take")


def check_reduce_only(quantity: Decimal, reducible: Decimal) -> None:
    """Raise Rejection REDUCE_ONLY_WOULD_INCREASE where an order is larger than what is left to close."""
    if quantity > reducible:
        raise Rejection("REDUCE_ONLY_WOULD_INCREASE", f"{plain(reducible)} can be closed, {plain(quantity)} asked")


def check_unconditional(request: OrderRequest) -> None:
    """Raise Rejection CONDITIONAL_ORDERS_UNSUPPORTED for stop, take-profit and stop-loss prices."""
    if any(price is not None for price in (request.stop_price, request.take_profit_price, request.stop_loss_price)):
        raise Rejection("CONDITIONAL_ORDERS_UNSUPPORTED", "this practice exchange has no conditional orders")


def wants(market: Market, request: OrderRequest) -> tuple[Want, ...]:
    """Tell what of a request the margin gate must count: nothing of a reduce-only order.

    A limit order counts whole, at its price. A market order counts with what the book would fill now, at the prices
    it would pay.
    """
    if request.reduce_only:
        return ()
    if request.price is not None and request.type == "limit":
        return ((market.spec.market_id, request.side, request.price, request.quantity),)
    edge = market.band[1] if request.side == "buy" else market.band[0]
    wanted = []
    left = request.quantity
    for price, size in market.book.half("sell" if request.side == "buy" else "buy").top(SWEEP_LEVELS_MAX):
        if not left or (price > edge if request.side == "buy" else price < edge):
            break
        part = min(size, left)
        wanted.append((market.spec.market_id, request.side, price, part))
        left -= part
    return tuple(wanted)
