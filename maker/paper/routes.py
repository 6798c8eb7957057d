"""The exchange's HTTP: which call a request is, who asks, and the answer.

One handler for `edge.http_server`. Everything but the event streams is answered without waiting for anything.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from maker.edge.http_messages import Answer, EventStreamResponse, Request, Response
from maker.paper import order_path, reads
from maker.paper.keeper import Keeper
from maker.paper.keys import KeyRecord
from maker.paper.order_path import Call, Outcome, refused
from maker.paper.reads import Question, Read
from maker.paper.rejection import Rejection
from maker.paper.spelling import Refused
from maker.paper.streams import KINDS, StreamKind, Streams
from maker.wire import ocx

NO_KEY: Final = "none"  # nobody's key is looked at
MAY_HAVE_KEY: Final = "may"  # answered to anybody; a key that comes along must be good
NEEDS_KEY: Final = "needs"  # either scope

READS: Final[dict[tuple[str, str], tuple[Read, str]]] = {
    ("GET", ocx.MARKETS): (reads.markets, NO_KEY),
    ("GET", ocx.ORDERBOOK): (reads.orderbook, NO_KEY),
    ("GET", ocx.MARKET_STATS): (reads.market_stats, NO_KEY),
    ("GET", ocx.FEES): (reads.fees, MAY_HAVE_KEY),
    ("GET", ocx.TRADES): (reads.trades, MAY_HAVE_KEY),
    ("GET", ocx.OHLC): (reads.ohlc, NO_KEY),
    ("GET", ocx.ORDERS): (reads.open_orders, NEEDS_KEY),
    ("GET", ocx.POSITIONS): (reads.positions, NEEDS_KEY),
    ("GET", ocx.BALANCES): (reads.balances, NEEDS_KEY),
    ("GET", ocx.WALLET_BALANCE): (reads.wallet_balance, NEEDS_KEY),
    ("POST", ocx.PREVIEW): (reads.preview, NEEDS_KEY),
}
SIGN_IN: Final = frozenset({ocx.AUTH_NONCE, ocx.AUTH_SIWE})
SESSION_ONLY: Final = {
    ("POST", ocx.API_KEYS),
    ("GET", ocx.API_KEYS),
    ("DELETE", ocx.API_KEYS),
    ("POST", ocx.AUTH_LOGOUT),
}
BEARER: Final = "bearer "


@attrs.define
class Routes:
    """Answer requests for one venue."""

    keeper: Keeper
    streams: Streams

    async def handle(self, request: Request) -> Answer:
        """Answer one request; refusals are answers too, in the exchange's own form."""
        witness = self.keeper.witness
        number = witness.begin(request)
        now_ms = self.keeper.now_ms()
        try:
            answer = self._answer(request, number, now_ms)
        except (Rejection, Refused) as refusal:
            answer = refused(refusal, self.keeper.place.exchange.settings.switches)
            witness.apply(number, answer.status)
        if isinstance(answer, Outcome):
            return Response(answer.status, answer.headers, answer.body, on_sent=partial(witness.ack, number))
        witness.flush()
        return answer

    def refuse(self, status: int, message: str) -> Response:
        """Put a refusal of the HTTP server itself (a malformed or oversized request) into the exchange's form."""
        code = HTTP_CODES.get(status, "HTTP_ERROR")
        outcome = refused(Refused(status, code, message), self.keeper.place.exchange.settings.switches)
        return Response(outcome.status, outcome.headers, outcome.body)

    def _answer(self, request: Request, number: int, now_ms: int) -> Outcome | EventStreamResponse:
        """Find the call and make it; raises Rejection or Refused."""
        method, path = request.method, request.path
        if method == "POST" and order_path.find(path) is not None:
            key = self._authorize(request, "trade", now_ms)
            return self.keeper.perform(Call(key.user_id, path, request.body, now_ms), number, key.key_id)
        kind = KINDS.get(path)
        if kind is not None and method == "GET":
            return self._stream(kind, request, number, now_ms)
        known, argument = split_argument(path)
        found = READS.get((method, known))
        if found is not None:
            read, key_rule = found
            asker = None
            if key_rule == NEEDS_KEY or (key_rule == MAY_HAVE_KEY and secret_of(request) is not None):
                asker = self._authorize(request, "read", now_ms).user_id
            question = Question(self.keeper.place.exchange, argument, request.query, request.body, asker, now_ms)
            outcome = Outcome(200, ocx.encode(read(question)))
            self.keeper.witness.apply(number, outcome.status)
            return outcome
        if method == "POST" and path in SIGN_IN:
            raise Refused(503, "SIGN_IN_NOT_AVAILABLE", "this practice exchange has no sign-in yet: use its API keys")
        allowed = methods(path)
        if (method, known) in SESSION_ONLY and method in allowed:
            raise Refused(401, "SESSION_REQUIRED", "only a signed-in session may do this, never an API key")
        if allowed:
            raise Refused(405, "METHOD_NOT_ALLOWED", f"{method} is not for {path}", (("Allow", ", ".join(allowed)),))
        raise Refused(404, "NOT_FOUND", f"there is no {path}")

    def _authorize(self, request: Request, scope: str, now_ms: int) -> KeyRecord:
        """Return the key a request came with; raises Refused 401 or what the exchange raises for a bad one."""
        secret = secret_of(request)
        if secret is None:
            raise Refused(401, "UNAUTHENTICATED", f"an API key is needed, as {ocx.KEY_HEADER} or as a bearer token")
        return self.keeper.place.exchange.authorize(secret, scope=scope, address=request.peer, now_ms=now_ms)

    def _stream(self, kind: StreamKind, request: Request, number: int, now_ms: int) -> EventStreamResponse:
        """Open an event stream."""
        secret = ""
        user_id = None
        if kind.needs_key:
            secret = secret_of(request) or ""
            user_id = self._authorize(request, "read", now_ms).user_id
        run = self.streams.open(kind, request.query, user_id, secret)
        witness = self.keeper.witness
        witness.apply(number, 200, userId=user_id)
        return EventStreamResponse(run, on_end=partial(witness.end, number))


HTTP_CODES: Final = {
    400: "MALFORMED_REQUEST",
    408: "REQUEST_TIMEOUT",
    413: "BODY_TOO_LARGE",
    431: "HEAD_TOO_LARGE",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "TOO_SLOW",
}


def secret_of(request: Request) -> str | None:
    """Return the key of a request: an Authorization header wins, and what is no bearer token is no key."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        return request.headers.get(ocx.KEY_HEADER)
    if authorization[: len(BEARER)].lower() != BEARER:
        return ""
    return authorization[len(BEARER) :].strip()


def split_argument(path: str) -> tuple[str, str]:
    """Split off the last part of a path where it names a market or a key."""
    parent, _, argument = path.rpartition("/")
    return (parent, argument) if parent in (ocx.ORDERBOOK, ocx.API_KEYS) and argument else (path, "")


def methods(path: str) -> list[str]:
    """List the methods a path knows, none for an unknown path."""
    known, argument = split_argument(path)
    found = {method for method, name in [*READS, *SESSION_ONLY] if name == known}
    if known == ocx.API_KEYS:
        found &= {"DELETE"} if argument else {"GET", "POST"}
    if order_path.find(path) is not None or path in SIGN_IN:
        found.add("POST")
    if path in KINDS:
        found.add("GET")
    return sorted(found)
