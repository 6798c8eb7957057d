"""Every call that changes something for a user: from the request's body to the answer's bytes, without waiting.

One function, `perform`, decided by the marketplace and the call alone: the same calls at the same times have the same
effects and answers. Serving a request and replaying one from the state's log are therefore the same thing.

Everything here but the transfer is the rate-limited order path. (OCX names single orders, cancel, modify, quotes,
quotes/bulk and cancel-all; that positions/close counts too is ASSUMED.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import attrs
import msgspec

from maker.paper import spelling
from maker.paper.marketplace import Marketplace
from maker.paper.orders import BulkResult, CancelScope, OrderRecord
from maker.paper.ratelimit import reset_header
from maker.paper.rejection import Rejection
from maker.paper.spelling import Refused, read_body, read_number, read_optional
from maker.paper.switches import Switches
from maker.wire import ocx

Headers = tuple[tuple[str, str], ...]

# Families of the older site's error bodies; the documentation gives the field, not its words: ASSUMED.
FAMILIES: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    422: "UnprocessableEntity",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}
JSON: Final = (("Content-Type", "application/json"),)


@attrs.frozen
class Call:
    """One request that changes something, as the log keeps it."""

    user_id: str
    path: str
    body: bytes
    now_ms: int


@attrs.frozen
class Outcome:
    """What a call answers. It may be a new key or a session's cookie: its repr shows neither."""

    status: int
    body: bytes = attrs.field(repr=False)
    headers: Headers = attrs.field(default=JSON, repr=False)


def perform(place: Marketplace, call: Call) -> Outcome:
    """Do what a call asks and return its answer, refusals included; its path must be one that `find` knows."""
    found = find(call.path)
    assert found is not None, "only calls with a known path are performed"
    action, order_id, is_limited = found
    switches = place.exchange.settings.switches
    now_ms = place.at(call.now_ms)
    try:
        if is_limited:
            place.exchange.charge(call.user_id, now_ms)
        answer = ocx.encode(action(place, attrs.evolve(call, now_ms=now_ms), order_id))
        outcome = Outcome(200, answer)
    except (Rejection, Refused) as refusal:
        outcome = refused(refusal, switches)
    if is_limited:
        state = place.exchange.rate_state(call.user_id, now_ms)
        rate_headers = (
            (ocx.LIMIT_HEADER, str(state.limit)),
            (ocx.REMAINING_HEADER, str(state.remaining)),
            (ocx.RESET_HEADER, reset_header(state, now_ms, switches.rate_limit_reset)),
        )
        outcome = attrs.evolve(outcome, headers=outcome.headers + rate_headers)
    return outcome


def refused(refusal: Rejection | Refused, switches: Switches) -> Outcome:
    """Return the answer for a refusal, in the current or the older site's form."""
    headers: Headers = JSON
    retry_after_ms = None
    if isinstance(refusal, Refused):
        headers += refusal.headers
    elif refusal.retry_after_ms is not None:
        retry_after_ms = refusal.retry_after_ms
        headers += (("Retry-After", str(-(-retry_after_ms // 1000))),)
    body = ocx.ErrorBody(error=refusal.code, message=refusal.message, retry_after_ms=retry_after_ms)
    if switches.error_body == "older":
        body = msgspec.structs.replace(body, error=FAMILIES.get(refusal.status, "Error"), code=refusal.code)
    return Outcome(refusal.status, ocx.encode(body), headers)


Action = Callable[[Marketplace, Call, str], msgspec.Struct]


def find(path: str) -> tuple[Action, str, bool] | None:
    """Return what a POST to a path does, the order's id in the path, and whether it is rate limited."""
    action = ACTIONS.get(path)
    if action is not None:
        return action, "", path != ocx.WALLET_TRANSFER
    match = ONE_ORDER.fullmatch(path)
    if match is None:
        return None
    return (cancel if match["verb"] == "cancel" else modify), match["id"], True


def is_one_order(path: str) -> bool:
    """Say whether a path is a single order's own: cancel or modify."""
    return ONE_ORDER.fullmatch(path) is not None


def bulk(place: Marketplace, call: Call, _: str) -> ocx.BulkAnswer:
    """quotes/bulk: a ladder."""
    request = spelling.bulk_request(read_body(call.body, ocx.BulkRequest))
    return bulk_answer(place, place.exchange.place_bulk(call.user_id, request, call.now_ms), call.now_ms)


def quotes(place: Marketplace, call: Call, _: str) -> ocx.BulkAnswer:
    """quotes: one bid and one ask. ASSUMED: both and a quoteId are needed, and they replace what rests."""
    wire = read_body(call.body, ocx.QuotesRequest)
    if wire.bid is None or wire.ask is None or wire.quote_id is None:
        raise Refused(400, "INVALID_BODY", "a quote has a quoteId, a bid and an ask")
    bid, ask = spelling.quote_level(wire.bid), spelling.quote_level(wire.ask)
    result = place.exchange.place_quotes(call.user_id, wire.market_id, wire.quote_id, bid, ask, now_ms=call.now_ms)
    return bulk_answer(place, result, call.now_ms)


def bulk_answer(place: Marketplace, result: BulkResult, now_ms: int) -> ocx.BulkAnswer:
    """Write what a ladder did: every level, or counts only."""
    tells_orders = place.exchange.settings.switches.bulk_answer == "orders"
    return ocx.BulkAnswer(
        market_id=result.market_id,
        quote_id=result.quote_id,
        cancelled=len(result.cancelled),
        orders=[spelling.order(row) for row in result.orders] if tells_orders else None,
        engine_ts=now_ms,
    )


def order(place: Marketplace, call: Call, _: str) -> ocx.OrderState:
    """One order."""
    request = spelling.order_request(read_body(call.body, ocx.OrderRequest))
    return spelling.order(place.exchange.place_order(call.user_id, request, call.now_ms))


def cancel(place: Marketplace, call: Call, order_id: str) -> ocx.OrderState:
    """Cancel one order; a body is not looked at."""
    return spelling.order(place.exchange.cancel_order(call.user_id, order_id, call.now_ms))


def modify(place: Marketplace, call: Call, order_id: str) -> ocx.OrderState:
    """Change one order."""
    wire = read_body(call.body, ocx.ModifyRequest)
    price = read_optional(wire.price, "INVALID_PRICE")
    quantity = read_optional(wire.quantity, "INVALID_QUANTITY")
    record: OrderRecord = place.exchange.modify_order(
        call.user_id, order_id, price=price, quantity=quantity, now_ms=call.now_ms
    )
    return spelling.order(record)


def cancel_all(place: Marketplace, call: Call, _: str) -> ocx.CancelAllAnswer:
    """cancel-all: an empty body means everything; the effect may come after the answer."""
    wire = read_body(call.body, ocx.CancelAllRequest) if call.body else ocx.CancelAllRequest()
    scope = CancelScope(
        market_id=wire.market_id,
        quote_id=wire.quote_id,
        client_order_id=wire.client_order_id,
        margin_mode=wire.margin_mode,
    )
    if place.exchange.settings.switches.cancel_all_answer == "before":
        result = place.exchange.find_cancel_all(call.user_id, scope)
        place.delay_cancel_all(call.user_id, scope)
    else:
        result = place.exchange.cancel_all(call.user_id, scope, call.now_ms)
    return ocx.CancelAllAnswer(cancelled=len(result.orders))


def close(place: Marketplace, call: Call, _: str) -> ocx.OrderState:
    """positions/close: whole, or the given quantity."""
    wire = read_body(call.body, ocx.CloseRequest)
    quantity = read_optional(wire.quantity, "INVALID_QUANTITY")
    return spelling.order(place.exchange.close_position(call.user_id, wire.market_id, quantity, call.now_ms))


def transfer(place: Marketplace, call: Call, _: str) -> ocx.Balances:
    """wallet/transfer: answers all buckets. ASSUMED shape."""
    wire = read_body(call.body, ocx.TransferRequest)
    amount = read_number(wire.amount, "INVALID_AMOUNT")
    rows = place.exchange.transfer(call.user_id, wire.from_, wire.to, amount, call.now_ms)
    return ocx.Balances(balances=[spelling.balance(row) for row in rows])


ONE_ORDER: Final = re.compile(rf"{ocx.ORDERS}/(?P<id>[^/]+)/(?P<verb>cancel|modify)")
ACTIONS: Final[dict[str, Action]] = {
    ocx.QUOTES_BULK: bulk,
    ocx.QUOTES: quotes,
    ocx.ORDERS: order,
    ocx.CANCEL_ALL: cancel_all,
    ocx.POSITIONS_CLOSE: close,
    ocx.WALLET_TRANSFER: transfer,
}
