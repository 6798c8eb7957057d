"""Answers that the exchange would not have given: every form of refusal, error and nonsense."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import attrs

from maker.edge.http_messages import Response
from maker.wire import ocx

if TYPE_CHECKING:
    from maker.storms.weather import Active

JSON: Final = (("Content-Type", "application/json"),)
HTML: Final = (("Content-Type", "text/html"),)
PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"

Headers = tuple[tuple[str, str], ...]

# Every form in which a 429 may say how long to wait: seconds asked for, now in unix seconds -> headers, body fields.
THROTTLE_FORMS: Final[dict[str, Callable[[float, float], tuple[Headers, dict[str, Any]]]]] = {
    "retry_after": lambda wait, _now: ((("Retry-After", f"{wait:.0f}"),), {}),
    "retry_after_date": lambda wait, now: ((("Retry-After", formatdate(now + wait, usegmt=True)),), {}),
    "retry_after_ms": lambda wait, _now: ((), {"retryAfterMs": round(wait * 1000)}),
    "both": lambda wait, _now: ((("Retry-After", f"{wait:.0f}"),), {"retryAfterMs": round(wait * 1000)}),
    "reset_seconds": lambda wait, _now: ((("X-RateLimit-Reset", f"{wait:.0f}"),), {}),
    "reset_unix": lambda wait, now: ((("X-RateLimit-Reset", f"{now + wait:.0f}"),), {}),
    "reset_unix_ms": lambda wait, now: ((("X-RateLimit-Reset", f"{(now + wait) * 1000:.0f}"),), {}),
    "draft": lambda wait, _now: ((("RateLimit", f'"default";r=0;t={wait:.0f}'),), {}),
    "silent": lambda _wait, _now: ((), {}),
    "nonsense": lambda _wait, _now: ((("Retry-After", "soon"), ("X-RateLimit-Reset", "-1")), {}),
}


def error(status: int, code: str, message: str = "", headers: Headers = (), **fields: object) -> Response:
    """A refusal in the exchange's own form."""
    body = json.dumps({"error": code, "message": message or code.lower(), **fields}).encode()
    return Response(status, (*JSON, *headers), body)


def throttle_seconds(active: Active) -> float:
    """What a 429 asks for: whole seconds, so that every form says the same."""
    return float(math.ceil(active.number("wait_seconds")))


def answer_instead(active: Active, unix_seconds: float) -> Response:
    """What is answered while nothing is performed."""
    match active.name:
        case "throttled":
            wait = throttle_seconds(active)
            headers, fields = THROTTLE_FORMS[active.word("form")](wait, unix_seconds)
            return error(429, "RATE_LIMITED", headers=headers, **fields)
        case "unauthorized":
            status = int(active.number("status"))
            return error(status, "KEY_UNKNOWN" if status == 401 else "IP_NOT_ALLOWED")
        case "margin_refused":
            return error(422, ocx.INSUFFICIENT_MARGIN, "the ladder needs more margin than is free")
        case "margin_refused_after_cancel":
            return error(422, ocx.INSUFFICIENT_MARGIN, "the old ladder was cancelled, the new one needs more margin")
        case "refused":
            return error(int(active.number("status")), "INVALID_REQUEST")
        case "maintenance_refuses":
            return error(503, "MAINTENANCE")
        case "stream_refused" | "server_error":
            return failing(int(active.number("status")), active.word("form"))
        case _:
            assert active.name == "odd_answer", active.name
            return odd(active.word("form"))


def failing(status: int, form: str) -> Response:
    """A server error in one of its forms."""
    if form == "html":
        return Response(status, HTML, PAGE)
    if form == "empty":
        return Response(status)
    return error(status, "INTERNAL_ERROR")


def odd(form: str) -> Response:
    """An answer that is none of those documented."""
    match form:
        case "redirect":
            return Response(307, (("Location", "http://elsewhere.test/"),))
        case "moved":
            return Response(301, (("Location", "http://elsewhere.test/"),))
        case "huge_headers":
            return Response(502, tuple((f"X-Padding-{number}", "x" * 900) for number in range(60)), PAGE)
        case "html_200":
            return Response(200, HTML, PAGE)
        case _:
            return Response(200, JSON, b'{"orders": "none", "positions": 7')


def spoiled_answer(active: Active, answer: Response) -> Response:
    """What is answered after all was performed."""
    match active.name:
        case "server_error_after":
            return failing(int(active.number("status")), active.word("form"))
        case "odd_answer_after":
            return odd(active.word("form"))
        case "fewer_orders_named":
            found = json.loads(answer.body) if answer.status == 200 else {}
            if isinstance(found.get("orders"), list) and len(found["orders"]) > 1:
                found["orders"] = found["orders"][: max(1, len(found["orders"]) // 3)]
                return attrs.evolve(answer, body=json.dumps(found).encode())
            return answer
        case _:
            assert active.name == "keep_alive_closed", active.name
            return attrs.evolve(answer, headers=(*answer.headers, ("Connection", "close")))
