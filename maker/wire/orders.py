"""Our ladders out, what became of them in."""

from __future__ import annotations

from maker.desk.events import (
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    MarketSpec,
    PlacedOrder,
    PlaceLadder,
    PreviewOrder,
)
from maker.errors import OutcomeUnknown, Refused, Throttled, Unauthorized
from maker.wire import ocx

LadderOutcome = LadderPlaced | LadderRefused | LadderThrottled | LadderUnknown

FILLED = "filled"


def ladder_body(spec: MarketSpec, action: PlaceLadder) -> bytes:
    """The body of quotes/bulk: an atomic replace. Every quote is post-only good-till-cancel."""
    quotes = ladder_quotes(spec, action)
    return ocx.encode(
        ocx.BulkRequest(market_id=action.market_id, quote_id=action.quote_id, cancel_all=True, quotes=quotes)
    )


def ladder_quotes(spec: MarketSpec, action: PlaceLadder) -> list[ocx.Quote]:
    price, size = spec.grid.price.text, spec.grid.size.text
    return [
        ocx.Quote(
            side=order.side.value,
            price=price(order.ticks),
            quantity=size(order.lots),
            client_order_id=order.client_order_id,
            time_in_force="gtc",
            post_only=True,
            reduce_only=order.reduce_only,
        )
        for order in action.orders
    ]


def preview_body(spec: MarketSpec, asked: PreviewOrder) -> bytes:
    """The body of orders/preview: the documented five fields, no id and no flag."""
    price, size = spec.grid.price.text(asked.ticks), spec.grid.size.text(asked.lots)
    side, kind = asked.side.value, "limit"
    return ocx.encode(ocx.PreviewRequest(market_id=asked.market_id, side=side, type=kind, price=price, quantity=size))


def levels_json(spec: MarketSpec, action: PlaceLadder) -> bytes:
    """The levels exactly as they go out, for the journal."""
    return ocx.encode(ladder_quotes(spec, action))


def ladder_outcome(action: PlaceLadder, status: int, body: bytes, wait_seconds: float) -> LadderOutcome:
    """Read the answer to a ladder. Raises Unauthorized; anything that is not clearly one or the other is unknown.

    A 409 for a duplicate id means an earlier request with it was applied, which cannot be by us: unknown as well.
    """
    if not 200 <= status < 300:
        error = ocx.refusal(status, body, wait_seconds)
        match error:
            case Unauthorized():
                raise error
            case Throttled():
                return LadderThrottled(action.market_id, action.quote_id, error.seconds)
            case Refused(code=ocx.DUPLICATE_CLIENT_ORDER_ID):
                return LadderUnknown(action.market_id, action.quote_id, str(error))
            case Refused():
                return LadderRefused(action.market_id, action.quote_id, error.status, error.code, error.message)
            case OutcomeUnknown():
                return LadderUnknown(action.market_id, action.quote_id, str(error))
    try:
        answer = told(body)
    except ValueError as error:
        return LadderUnknown(action.market_id, action.quote_id, f"answer {status} is not readable: {error}")
    if not answers(action, answer):
        return LadderUnknown(action.market_id, action.quote_id, "the answer is an error, or not for this ladder")
    orders = None if answer.orders is None else tuple(placed(order) for order in answer.orders if order.client_order_id)
    return LadderPlaced(action.market_id, action.quote_id, orders, answer.engine_ts)


def told(body: bytes) -> ocx.BulkTold:
    """Read a success in either shape. Raises ValueError."""
    answer: ocx.BulkTold | list[ocx.BulkLevel] = ocx.decode_union(body, ocx.BulkTold | list[ocx.BulkLevel])
    return ocx.BulkTold(orders=answer) if isinstance(answer, list) else answer


def answers(action: PlaceLadder, answer: ocx.BulkTold) -> bool:
    """Whether a success is one, and surely this ladder's: by its market, its own id, or an order's; none is another's.

    An object that names none of them may be any page's, or say that nothing was done in words that we do not know.
    """
    if answer.error is not None:
        return False
    if answer.market_id not in (None, action.market_id) or answer.quote_id not in (None, action.quote_id):
        return False
    if answer.market_id or answer.quote_id:
        return True
    named = {order.client_order_id for order in action.orders}
    return any(order.client_order_id in named for order in answer.orders or ())


def placed(order: ocx.BulkLevel) -> PlacedOrder:
    """One level's fate: refused (with a code), filled at once (neither code nor resting), else resting."""
    status = order.status.lower()
    code = (order.code or order.reason or order.status) if status in ocx.ENDED else None
    return PlacedOrder(order.client_order_id or "", order.id, code is None and status != FILLED, code)
