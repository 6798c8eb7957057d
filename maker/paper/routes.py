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
from maker.paper.office import Office, key_of, token_of
from maker.paper.order_path import Call, Outcome, refused
from maker.paper.reads import Question, Read
from maker.paper.rejection import Rejection
from maker.paper.spelling import Refused
from maker.paper.streams import KINDS, StreamKind, Streams, StreamTrouble
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
OFFICE: Final = {
    ("POST", ocx.AUTH_NONCE),
    ("POST", ocx.AUTH_SIWE),
    ("POST", ocx.AUTH_LOGOUT),
    ("POST", ocx.API_KEYS),
    ("GET", ocx.API_KEYS),
    ("DELETE", ocx.API_KEYS),
}
# What the switch session_wanted is about.
ACCOUNT_READS: Final = frozenset(
    {ocx.POSITIONS, ocx.BALANCES, ocx.TRADES, ocx.WALLET_BALANCE, ocx.STREAM_EVENTS, ocx.STREAM_USER}
)
SESSION: Final = "session"  # in the record, where a key would have its id


@attrs.frozen
class Asker:
    """Who a request comes from."""

    user_id: str
    name: str  # the key's id, or SESSION
    secret: str = attrs.field(repr=False)  # the key or token itself, to look at again while a stream lasts


@attrs.define
class Routes:
    """Answer requests for one venue."""

    keeper: Keeper
    streams: Streams
    office: Office

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
            asker = self._authorize(request, "trade", now_ms)
            return self.keeper.perform(Call(asker.user_id, path, request.body, now_ms), number, asker.name)
        kind = KINDS.get(path)
        if kind is not None and method == "GET":
            return self._stream(kind, request, number, now_ms)
        known, argument = split_argument(path)
        found = READS.get((method, known))
        if found is not None:
            read, key_rule = found
            user_id = None
            if key_rule == NEEDS_KEY or (key_rule == MAY_HAVE_KEY and has_credential(request)):
                user_id = self._authorize(request, "read", now_ms).user_id
            question = Question(self.keeper.place.exchange, argument, request.query, request.body, user_id, now_ms)
            outcome = Outcome(200, ocx.encode(read(question)))
            self.keeper.witness.apply(number, outcome.status)
            return outcome
        allowed = methods(path)
        administer = self.office.find(method, known)
        if administer is not None and method in allowed:
            outcome = administer(request, argument, now_ms)
            self.keeper.witness.apply(number, outcome.status)
            return outcome
        if allowed:
            raise Refused(405, "METHOD_NOT_ALLOWED", f"{method} is not for {path}", (("Allow", ", ".join(allowed)),))
        raise Refused(404, "NOT_FOUND", f"there is no {path}")

    def _authorize(self, request: Request, scope: str, now_ms: int) -> Asker:
        """Return whom a request came from; raises Refused 401 or 403, or what the exchange raises for a bad key."""
        token = token_of(request)
        if token is not None:  # a session may do everything
            return Asker(self.office.signed_in(request, now_ms).user_id, SESSION, token)
        key = key_of(request)
        if key is None:
            raise Refused(401, "UNAUTHENTICATED", f"an API key is needed, as {ocx.KEY_HEADER} or as a bearer token")
        exchange = self.keeper.place.exchange
        record = exchange.authorize(key, scope=scope, address=request.peer, now_ms=now_ms)
        if wants_session(exchange.settings.switches.session_wanted, request.method, request.path):
            raise Refused(403, "SESSION_REQUIRED", "this call wants a signed-in session, not an API key")
        return Asker(record.user_id, record.key_id, key)

    def _stream(self, kind: StreamKind, request: Request, number: int, now_ms: int) -> EventStreamResponse:
        """Open an event stream."""
        asker = self._authorize(request, "read", now_ms) if kind.needs_key else None
        user_id = None if asker is None else asker.user_id
        run = self.streams.open(kind, request.query, user_id, partial(self._trouble, asker))
        witness = self.keeper.witness
        witness.apply(number, 200, userId=user_id)
        return EventStreamResponse(run, on_end=partial(witness.end, number))

    def _trouble(self, asker: Asker | None, now_ms: int) -> StreamTrouble | None:
        """Return why a stream must end because of whom it was opened for: the key or session is good no longer."""
        if asker is None:
            return None
        if asker.name == SESSION:
            if self.office.desk.find(asker.secret, now_ms) is not None:
                return None
            return StreamTrouble("SESSION_ENDED", "this session has ended", retryable=False)
        record = self.keeper.place.exchange.lookup(asker.secret)
        status = "revoked" if record is None else record.status(now_ms)
        if status == "active":
            return None
        return StreamTrouble(f"KEY_{status.upper()}", f"this API key is {status}", retryable=False)


HTTP_CODES: Final = {
    400: "MALFORMED_REQUEST",
    408: "REQUEST_TIMEOUT",
    413: "BODY_TOO_LARGE",
    431: "HEAD_TOO_LARGE",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "TOO_SLOW",
}


def has_credential(request: Request) -> bool:
    """Say whether a request comes with a key or a session, good or not."""
    return token_of(request) is not None or key_of(request) is not None


def wants_session(switch: str, method: str, path: str) -> bool:
    """Say whether a call refuses keys, under this position of the switch session_wanted."""
    is_single = method == "POST" and (path in (ocx.ORDERS, ocx.POSITIONS_CLOSE) or order_path.is_one_order(path))
    return (switch in ("reads", "both") and path in ACCOUNT_READS) or (switch in ("singles", "both") and is_single)


def split_argument(path: str) -> tuple[str, str]:
    """Split off the last part of a path where it names a market or a key."""
    parent, _, argument = path.rpartition("/")
    return (parent, argument) if parent in (ocx.ORDERBOOK, ocx.API_KEYS) and argument else (path, "")


def methods(path: str) -> list[str]:
    """List the methods a path knows, none for an unknown path."""
    known, argument = split_argument(path)
    found = {method for method, name in [*READS, *OFFICE] if name == known}
    if known == ocx.API_KEYS:
        found &= {"DELETE"} if argument else {"GET", "POST"}
    if order_path.find(path) is not None:
        found.add("POST")
    if path in KINDS:
        found.add("GET")
    return sorted(found)
