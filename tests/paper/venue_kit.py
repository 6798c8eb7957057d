"""A venue for tests: in memory, in virtual time, spoken to in real HTTP bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import h11
import trio
import trio.testing

from maker.edge.http_messages import Limits, Moment
from maker.edge.http_server import serve_connection
from maker.paper.marketplace import MAKERS, TAKERS
from maker.paper.venue import Venue, VenueSettings, open_venue
from maker.wire.sse import Comment, EventStreamParser, ServerSentEvent
from tests.golden.transcript import START_MS

TRADE: Final = {"x-api-key": "ocx_sk_paper_trade"}
READ: Final = {"x-api-key": "ocx_sk_paper_read"}


def virtual_clock() -> Moment:
    """Read the virtual clock as both clocks of a machine."""
    seconds = trio.current_time()
    return Moment(START_MS / 1000 + seconds, 5000 + seconds)


def known_entropy() -> Callable[[int], bytes]:
    """Return a source of bytes that are the same in every run: nonces, tokens and secrets can be written down."""
    numbers = itertools.count()
    return lambda size: hashlib.sha256(f"venue {next(numbers)}".encode()).digest()[:size]


@attrs.frozen
class Answered:
    """One whole answer."""

    status: int
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"])


def request_bytes(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = {"Host": "venue", **headers}
    if body or method == "POST":
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@attrs.define
class OpenStream:
    """A client's end of one event stream."""

    client: trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]
    protocol: h11.Connection
    status: int
    headers: dict[str, str]
    parser: EventStreamParser = attrs.field(factory=EventStreamParser)
    found: list[ServerSentEvent | Comment] = attrs.field(factory=list)
    is_over: bool = False

    async def receive(self) -> bytes:
        """Return the next bytes of the body, b"" at its end and ever after."""
        if self.is_over:
            return b""
        while (event := self.protocol.next_event()) is h11.NEED_DATA:
            self.protocol.receive_data(bytes(await self.client.receive_some(65536)))
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        self.is_over = True
        return b""

    async def next(self) -> ServerSentEvent | Comment:
        """Return the next event or comment."""
        while not self.found:
            data = await self.receive()
            assert data, "the stream is over"
            self.found += self.parser.feed(data)
        return self.found.pop(0)

    async def next_json(self) -> Any:
        """Return the next event's data."""
        event = await self.next()
        assert isinstance(event, ServerSentEvent), event
        return json.loads(event.data)

    async def close(self) -> None:
        await trio.aclose_forcefully(self.client)


@attrs.define
class VenueClient:
    """Someone who speaks HTTP to a venue, each request on a connection of its own."""

    venue: Venue
    nursery: trio.Nursery
    reports: list[BaseException] = attrs.field(factory=list)
    limits: Limits = attrs.field(factory=Limits)

    def connect(
        self,
        peer: str = "192.0.2.1",
        pair: Callable[[], tuple[Any, Any]] = trio.testing.memory_stream_pair,
    ) -> trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]:
        """Open a connection served by the venue."""
        client, stream = pair()

        async def serve() -> None:
            await serve_connection(
                stream,
                self.venue.routes.handle,
                report=lambda _, error: self.reports.append(error),
                limits=self.limits,
                peer=peer,
                clock=virtual_clock,
                refusal=self.venue.routes.refuse,
            )

        self.nursery.start_soon(serve)
        return client  # type: ignore[no-any-return]

    async def call(
        self,
        method: str,
        target: str,
        body: object = b"",
        headers: Mapping[str, str] | None = None,
        peer: str = "192.0.2.1",
    ) -> Answered:
        """Make one call and return its answer; anything but bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.connect(peer) as client:
            await client.send_all(request_bytes(method, target, headers or {}, data))
            return await read_answer(client, method)

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answered:
        return await self.call("GET", target, headers=headers)

    async def post(self, target: str, body: object = b"", headers: Mapping[str, str] | None = None) -> Answered:
        return await self.call("POST", target, body, TRADE if headers is None else headers)

    async def stream(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        pair: Callable[[], tuple[Any, Any]] = trio.testing.memory_stream_pair,
    ) -> OpenStream:
        """Open an event stream and return once its head is there."""
        client = self.connect(pair=pair)
        await client.send_all(request_bytes("GET", target, TRADE if headers is None else headers, b""))
        protocol = h11.Connection(h11.CLIENT)
        protocol.send(h11.Request(method="GET", target=target, headers=[("Host", "venue")]))
        protocol.send(h11.EndOfMessage())
        while (event := protocol.next_event()) is h11.NEED_DATA:
            protocol.receive_data(bytes(await client.receive_some(65536)))
        assert isinstance(event, h11.Response)
        return OpenStream(client, protocol, event.status_code, plain_headers(event))

    def crowd(self, side: str, market_id: str, price: str, quantity: str, time_in_force: str = "gtc") -> str:
        """Let someone else place an order, and return its id."""
        placed = self.venue.keeper.place.exchange.place_crowd_order(
            TAKERS if time_in_force == "ioc" else MAKERS,  # who rests and who takes: nobody trades with himself
            market_id,
            side,
            Decimal(price),
            Decimal(quantity),
            time_in_force=time_in_force,
            now_ms=self.venue.keeper.now_ms(),
        )
        assert placed is not None, "the crowd's order was refused"
        return placed.order_id


def plain_headers(event: h11.Response) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in event.headers}


async def read_answer(client: trio.abc.ReceiveStream, method: str = "GET") -> Answered:
    """Read one answer with a length."""
    protocol = h11.Connection(h11.CLIENT)
    protocol.send(h11.Request(method=method, target="/", headers=[("Host", "venue")]))
    protocol.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = b""
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(bytes(await client.receive_some(65536)))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return Answered(head.status_code, plain_headers(head), body)
        else:
            raise AssertionError(f"the connection ended: {event}")


@asynccontextmanager
async def running_venue(settings: VenueSettings | None = None) -> AsyncIterator[VenueClient]:
    """Run a venue in memory; the test must run under a mock clock."""
    venue = open_venue(settings or VenueSettings(preset="still"), clock=virtual_clock, entropy=known_entropy())
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(venue.keeper.run_steps)
            client = VenueClient(venue, nursery)
            yield client
            nursery.cancel_scope.cancel(reason="the test is over")
    finally:
        venue.keeper.close()
    assert client.reports == []


def record_lines(path: Path) -> list[dict[str, Any]]:
    """Read a record."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ladder(quote_id: str, *levels: tuple[str, str, str], market_id: str = "BTC-PERP", **more: object) -> dict[str, Any]:
    """Write a bulk request of (side, price, quantity) levels."""
    quotes = [
        {"side": side, "price": price, "quantity": quantity, "clientOrderId": f"{quote_id}-{number}", "postOnly": True}
        for number, (side, price, quantity) in enumerate(levels)
    ]
    return {"marketId": market_id, "quoteId": quote_id, "cancelAll": True, "quotes": quotes, **more}
