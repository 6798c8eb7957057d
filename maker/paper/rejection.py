"""How the practice exchange says no: one exception, one table of codes with their HTTP status."""

from __future__ import annotations

from typing import Final

# The order of the families is the order in which a request is checked. Codes that the documentation names are
# spelled as there; the others are ours, in the same style (ASSUMED).
STATUS_OF_CODE: Final[dict[str, int]] = {
    # 400: malformed, invalid enum, insufficient bucket: fix it, never retry unchanged
    "INVALID_SIDE": 400,
    "INVALID_TYPE": 400,
    "INVALID_TIME_IN_FORCE": 400,
    "INVALID_MARGIN_MODE": 400,
    "INVALID_PRICE": 400,
    "INVALID_QUANTITY": 400,
    "INVALID_COMBINATION": 400,  # fields that are each valid but contradict each other
    "INVALID_CLIENT_ORDER_ID": 400,
    "INVALID_QUOTE_ID": 400,
    "INVALID_PARAMETER": 400,
    "TOO_MANY_QUOTES": 400,
    "INVALID_BUCKET": 400,
    "INVALID_AMOUNT": 400,
    "INSUFFICIENT_BUCKET": 400,
    # 401, 403: who asks, and whether they may
    "KEY_UNKNOWN": 401,
    "KEY_EXPIRED": 401,
    "INSUFFICIENT_SCOPE": 403,
    "IP_NOT_ALLOWED": 403,
    # 404: no such thing
    "MARKET_NOT_FOUND": 404,
    "ORDER_NOT_FOUND": 404,
    # 409: conflicts with what already is
    "DUPLICATE_CLIENT_ORDER_ID": 409,
    "DUPLICATE_QUOTE_ID": 409,
    "ORDER_NOT_OPEN": 409,
    "MARKET_HALTED": 409,
    "KEY_REVOKED": 409,
    # 422: understood, and refused for business reasons
    "CONDITIONAL_ORDERS_UNSUPPORTED": 422,
    "MARKET_NOT_TRADABLE": 422,
    "OFF_TICK": 422,
    "OFF_STEP": 422,
    "BELOW_MINIMUM": 422,
    "ABOVE_MAXIMUM": 422,
    "PRICE_OUT_OF_BAND": 422,
    "REDUCE_ONLY_WOULD_INCREASE": 422,
    "POST_ONLY_WOULD_CROSS": 422,
    "TOO_MANY_OPEN_ORDERS": 422,
    "NO_POSITION": 422,
    "INSUFFICIENT_MARGIN": 422,
    # 429
    "RATE_LIMITED": 429,
}


class Rejection(Exception):
    """The exchange refuses a request; `status` and `code` are what the client sees."""

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{STATUS_OF_CODE[code]} {code}: {message}")
        self.status: Final = STATUS_OF_CODE[code]
        self.code: Final = code
        self.message: Final = message
        self.retry_after_ms: Final = retry_after_ms  # milliseconds; only with RATE_LIMITED
