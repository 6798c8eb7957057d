"""The practice exchange in the storm: served on in-memory connections, its record kept, the weather let in.

The exchange, its traders, its HTTP and event streams and its reference feed are the real ones (`maker.paper`). Around
them: every request gets its number where it leaves the client, every effect is noted by the exchange's own witness, and
every answer and event passes the weather, which may lose it, change it or answer itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

import attrs
import msgspec
import trio

from maker.edge.http_messages import Answer, EventStreamResponse, Limits, Moment, Request, Response, Send
from maker.edge.http_server import serve_connection
from maker.paper.exchange import Exchange
from maker.paper.marketplace import reference_symbol
from maker.paper.orders import CancelScope
from maker.paper.reference_feed import serve_reference_stream
from maker.paper.venue import Venue, VenueSettings, open_venue
from maker.paper.witness import Witness
from maker.storms import record as r
from maker.storms.sight import REFERENCE, Seen
from maker.storms.weather import DELTA, EMPTY, SNAPSHOT, Change, Weather
from maker.storms.wires import ClientEnd, Link, ServerEnd
from maker.wire import limits, ocx

HTTP: Final = "http"
METHODS: Final = (b"GET /", b"POST ", b"DELET")
LIMITS: Final = Limits(idle_seconds_max=600.0)
SERVER_ERROR_MARK: Final = "the storm's own server failed"


class StormWitness(Witness):
    """The exchange's witness, whose lines become entries of the record."""

    def __init__(self, site: Site, clock: Callable[[], Moment]) -> None:
        super().__init__(None, clock)
        self.site = site
        self.number = 0  # of the request under way

    @property
    def is_writing(self) -> bool:
        return True

    def begin(self, request: Request) -> int:
        return self.number

    def apply(self, number: int, status: int, **facts: object) -> None:
        self.site.performed(number, status)

    def ack(self, number: int) -> None:
        return

    def end(self, number: int) -> None:
        return

    def write(self, kind: str, moment: Moment | None = None, /, **facts: object) -> None:
        return

    def sample(self, market_id: str, **prices: str | None) -> None:
        return

    def change(self, facts: dict[str, object]) -> None:
        self.site.changed(facts)


@attrs.define(eq=False)
class Site:
    """The exchange and every connection to it."""

    start_soon: Callable[..., None]  # of the world's nursery: every connection is served by a task of its own
    weather: Weather
    record: r.Record
    clock: Callable[[], Moment]
    venue: Venue = attrs.field(init=False)
    witness: StormWitness = attrs.field(init=False)
    requests: int = 0
    links: dict[int, Link] = attrs.field(factory=dict)  # by number, in the order in which they were dialled
    in_flight: dict[int, r.Left] = attrs.field(factory=dict)  # ladders that left and are neither applied nor lost
    unanswered: dict[int, r.Left] = attrs.field(factory=dict)  # requests that left and were not handled
    seen: Seen = attrs.field(init=False)  # what of it has reached the maker
    stream_of: dict[str, Link] = attrs.field(factory=dict)  # the newest event stream of each market
    feed_of: dict[str, Link] = attrs.field(factory=dict)  # the newest connection to each reference feed
    ladders: dict[str, int] = attrs.field(factory=dict)  # applied, with orders, by market
    orders: dict[str, str] = attrs.field(factory=dict)  # ids of our resting orders -> market
    trades: int = 0
    maker_stands_still: bool = False  # its process is dead, or stands still for good: it reaches nobody
    touched_at: float = 0.0  # our account last changed
    last_got_at: float = 0.0  # the maker last had a whole answer

    @classmethod
    def open(
        cls,
        start_soon: Callable[..., None],
        weather: Weather,
        record: r.Record,
        clock: Callable[[], Moment],
        settings: VenueSettings,
    ) -> Site:
        """Open the exchange; nothing is served before something dials."""
        site = cls(start_soon, weather, record, clock)
        site.seen = Seen(site)
        site.witness = StormWitness(site, clock)
        site.venue = open_venue(settings, clock=clock, witness=site.witness)
        weather.site = site
        return site

    @property
    def exchange(self) -> Exchange:
        return self.venue.keeper.place.exchange

    @property
    def user_id(self) -> str:
        return self.exchange.user_id

    @property
    def exposed(self) -> bool:
        """Whether an order of ours rests, or a ladder may still land."""
        return bool(self.orders or self.in_flight)

    def exposed_on(self, market_id: str) -> bool:
        """Whether an order of ours rests on a market, or a ladder for it may still land."""
        return market_id in self.orders.values() or any(left.market_id == market_id for left in self.in_flight.values())

    def is_under_way(self) -> bool:
        """Whether anything is on its way between maker and exchange."""
        open_links = [link for link in self.links.values() if link.client is not None and not link.client.closed]
        return bool(self.in_flight or self.unanswered) or any(
            link.up.parcels or link.down.parcels for link in open_links if link.port == HTTP
        )

    # -- what the exchange did

    def performed(self, number: int, status: int) -> None:
        self.record.add(r.Applied(at=trio.current_time(), request=number, status=status))
        left = self.in_flight.pop(number, None)
        if left is not None and 200 <= status < 300:
            self.ladders[left.market_id] = self.ladders.get(left.market_id, 0) + 1

    def lose(self, number: int, why: str) -> None:
        """A request will never arrive."""
        if self.unanswered.pop(number, None) is not None:
            self.in_flight.pop(number, None)
            self.record.add(r.Lost(at=trio.current_time(), request=number, why=why))

    def changed(self, facts: dict[str, Any]) -> None:
        """Take one change of our account from the exchange."""
        at = self.touched_at = trio.current_time()
        if facts["kind"] == "order":
            if not str(facts.get("clientOrderId") or "").startswith(self.weather.prefix):
                return  # somebody else's
            order_id = str(facts["orderId"])
            if facts["action"] == "removed":
                self.orders.pop(order_id, None)
            else:
                self.orders[order_id] = str(facts["marketId"])
            self.record.add(
                r.Order(
                    at=at,
                    market_id=str(facts["marketId"]),
                    order_id=order_id,
                    client_order_id=str(facts.get("clientOrderId") or ""),
                    side=str(facts["side"]),
                    price=Decimal(str(facts["price"])),
                    remaining=Decimal(str(facts["remaining"])),
                    action=str(facts["action"]),
                    reason=str(facts.get("reason") or ""),
                )
            )
        elif facts["kind"] == "trade":
            self.trades += 1
            ours_took, ours_made = facts["takerUserId"] == self.user_id, facts["makerUserId"] == self.user_id
            other = "sell" if facts["takerSide"] == "buy" else "buy"
            name = str(facts["takerClientOrderId" if ours_took else "makerClientOrderId"] or "")
            self.record.add(
                r.Trade(
                    at=at,
                    market_id=str(facts["marketId"]),
                    trade_id=str(facts["tradeId"]),
                    side=str(facts["takerSide"]) if ours_took else other,
                    price=Decimal(str(facts["price"])),
                    quantity=Decimal(str(facts["quantity"])),
                    client_order_id=name,
                    self_trade=ours_took and ours_made,
                    foreign=not name.startswith(self.weather.prefix),
                )
            )

    def cancel_ours(self, market_id: str) -> None:
        """Take our orders of one market away, as an exchange may that refuses what should replace them."""
        keeper = self.venue.keeper
        self.exchange.cancel_all(self.user_id, CancelScope(market_id=market_id), keeper.now_ms())

    # -- connections

    async def dial(self, owner: str, port: str) -> ClientEnd:
        """Connect. Raises OSError; may take for ever."""
        began = trio.current_time()
        if owner == r.MAKER and self.maker_stands_still:
            await trio.sleep_forever()
        try:
            await trio.sleep(self.weather.dial_seconds())
            await self.weather.dialling(owner, port)
        except BaseException:
            if port == HTTP:
                self.record.add(r.DialFailed(at=trio.current_time(), owner=owner, began_at=began))
            raise
        link = Link(len(self.links), owner, port, self.weather.latency, self.leaving, self.seen.heard)
        link.up.on_dropped = partial(self.dropped, link)
        end = ClientEnd(link)
        link.client = end
        self.links[link.number] = link
        self.weather.dialled(link)
        self.start_soon(self.serve, link)
        return end

    async def serve(self, link: Link) -> None:
        stream = ServerEnd(link)
        report = partial(self.weather.crashed, SERVER_ERROR_MARK)
        if link.port == HTTP:
            peer = str(link.number)
            handle = partial(self.handle, link)
            await serve_connection(
                stream,
                handle,
                report=report,
                limits=LIMITS,
                peer=peer,
                clock=self.clock,
                refusal=self.venue.routes.refuse,
            )
        else:
            await serve_reference_stream(FeedEnd(link, self), self.venue.keeper, report=report)
        self.dropped(link)

    def dropped(self, link: Link) -> None:
        """Nothing more of a connection arrives: its requests are lost, but for one being handled."""
        while link.pending:
            self.lose(link.pending.popleft(), "its connection was gone")

    def die(self, owner: str) -> None:
        """A process is gone, and its connections with it."""
        self.maker_stands_still = self.maker_stands_still or owner == r.MAKER
        for link in self.links.values():
            if link.owner == owner and link.client is not None:
                link.client.die()

    # -- requests

    def leaving(self, link: Link, data: bytes) -> bool:
        """Note a request in the instant in which its first byte leaves."""
        if link.port == REFERENCE and data.startswith(b"GET /"):
            link.source = data.split(b" ", 2)[1].decode().rpartition("/")[2]
            self.feed_of[link.source] = link
        if link.port != HTTP or data[:5] not in METHODS:
            return True
        self.requests += 1
        left = self.read_request(link, self.requests, data)
        self.record.add(left)
        link.pending.append(left.request)
        self.unanswered[left.request] = left
        if left.is_write:
            self.in_flight[left.request] = left
        if left.path == ocx.STREAM_EVENTS and link.owner == r.MAKER:
            link.market_id = left.market_id
            self.stream_of[left.market_id] = link
        self.weather.left(link, left)
        return True

    def read_request(self, link: Link, number: int, data: bytes) -> r.Left:
        head, _, body = data.partition(b"\r\n\r\n")
        method, target = head[: head.index(b"\r\n")].decode("latin-1").split(" ")[:2]
        path, _, query = target.partition("?")
        facts: dict[str, Any] = {}
        if path == ocx.STREAM_EVENTS:
            facts["market_id"] = dict(part.split("=") for part in query.split("&")).get("marketId", "")
        elif path in (ocx.QUOTES_BULK, ocx.CANCEL_ALL) and body:
            asked = msgspec.json.decode(body)
            facts["market_id"] = asked.get("marketId", "")
            if path == ocx.QUOTES_BULK:
                quotes = tuple(
                    r.Quote(
                        client_order_id=quote["clientOrderId"],
                        side=quote["side"],
                        price=quote["price"],
                        quantity=quote["quantity"],
                        reduce_only=quote.get("reduceOnly", False),
                        post_only=quote.get("postOnly", False),
                    )
                    for quote in asked["quotes"]
                )
                facts |= {"quote_id": asked["quoteId"], "cancels": asked.get("cancelAll", False), "quotes": quotes}
                if quotes and link.owner == r.MAKER:
                    facts["sight"] = self.seen.sight(asked["marketId"])
        at = trio.current_time()
        return r.Left(
            at=at,
            request=number,
            connection=link.number,
            owner=link.owner,
            method=method,
            path=path,
            query=query,
            body=body,
            **facts,
        )

    async def handle(self, link: Link, request: Request) -> Answer:
        """Answer one request, as the weather lets it."""
        number = link.pending.popleft()
        left = self.unanswered[number]
        change = await self.weather.arriving(link, left)
        self.unanswered.pop(number, None)
        if change is not None and change.instead is not None:
            self.unanswered[number] = left
            self.lose(number, f"the exchange answered {change.instead.status} without doing it")
            answer: Answer = change.instead
        else:
            self.witness.number = number
            answer = await self.venue.routes.handle(request)
            if change is not None and isinstance(answer, Response):
                answer = change.after(answer)
        if isinstance(answer, EventStreamResponse):
            return attrs.evolve(answer, run=partial(self.stream, link, left, answer))
        shown = count_orders(answer.body) if left.path == ocx.ORDERS and answer.status == 200 else None
        fault = change.name if change is not None else ""
        headers = {name.lower(): value for name, value in answer.headers}
        budget = limits.seen(headers, self.clock().unix_seconds)
        self.record.add(
            r.Answered(
                at=trio.current_time(),
                request=number,
                status=answer.status,
                fault=fault,
                open_orders=shown,
                code=code_of(answer) if answer.status >= 400 or left.quotes else "",
                retry_seconds=self.asked_to_wait(answer, change),
                remaining=None if budget is None else budget.remaining,
                reset_seconds=0.0 if budget is None else budget.reset_seconds,
            )
        )
        return attrs.evolve(answer, on_sent=partial(self.sent, link, number, answer.status))

    def asked_to_wait(self, answer: Response, change: Change | None) -> float | None:
        """What a 429 asks for, in seconds; None where it does not say."""
        if answer.status != 429:
            return None
        if change is not None:
            return change.wait_seconds
        return float(json.loads(answer.body)["retryAfterMs"]) / 1000

    def sent(self, link: Link, number: int, status: int) -> None:
        link.down.mark(partial(self.got, link, number, status))

    def got(self, link: Link, number: int, status: int) -> None:
        self.record.add(r.Got(at=trio.current_time(), request=number, status=status))
        if link.owner == r.MAKER:
            self.last_got_at = trio.current_time()

    # -- streams

    async def stream(self, link: Link, left: r.Left, answer: EventStreamResponse, send: Send) -> None:
        """Run an event stream, each event through the weather."""
        market_id = left.market_id

        async def send_event(data: bytes) -> None:
            for piece, meaning in self.weather.event(link, market_id, data):
                link.partial = link.partial or meaning == EMPTY
                known = meaning in (SNAPSHOT, DELTA) and not link.partial
                seen = self.seen.others_best(market_id) if known else None
                await send(piece)
                link.down.mark(partial(self.seen.read_event, link, market_id, meaning, seen))

        try:
            await answer.run(send_event)
        finally:
            self.ended(link)

    def ended(self, link: Link) -> None:
        """A feed's last byte is under way."""
        link.down.mark(partial(self.seen.cut, link))


class FeedEnd(ServerEnd):
    """The reference feed's end: what is sent is known, so that what was read is."""

    def __init__(self, link: Link, site: Site) -> None:
        super().__init__(link)
        self.site = site

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await super().send_all(data)
        place = self.site.venue.keeper.place
        quotes = place.reference_quotes()
        mids = {
            spec.market_id: (quotes[symbol].bid + quotes[symbol].ask) / 2
            for spec in place.exchange.settings.markets
            if (symbol := reference_symbol(spec)) in quotes
        }
        self.link.down.mark(partial(self.site.seen.read_mids, self.link.source, mids))


def count_orders(body: bytes) -> int | None:
    """How many orders an answer shows; None when it is no list of them."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    rows = found.get("orders") if isinstance(found, dict) else found
    return len(rows) if isinstance(rows, list) else None


def code_of(answer: Response) -> str:
    """The code of a refusal; of a ladder taken in part, that of the first level refused."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    rows = [row for row in found.get("orders", ()) if isinstance(row, dict)] if answer.status < 400 else []
    codes = [str(row["code"]) for row in rows if row.get("code")]
    if codes or answer.status < 400:
        return codes[0] if codes else ""
    return str(found.get("code") or found.get("error") or "")
