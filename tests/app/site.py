"""The whole exchange as far as the maker's services see it: scripted, in memory, in virtual time."""

from __future__ import annotations

import contextlib
import io
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

import attrs
import structlog
import trio

from maker.app.feeds import Inlet
from maker.app.halt import Switch
from maker.app.panic import Panic
from maker.app.reading import AccountReader
from maker.app.record import Recorder
from maker.desk.events import Event
from maker.edge.client import Client
from maker.edge.journal import MemoryJournal
from maker.edge.lane import Lane
from maker.edge.records import Row, Run
from maker.wire import ocx
from tests.desk.scripted import START, Desk, spec
from tests.support.wires import MemoryConnection, ServerEnd, answer_bytes, play, read_request

KEY: Final = "ocx_sk_canary_0123456789"
URL: Final = "http://ocx.test"
BALANCES: Final = {
    "balances": [
        {
            "bucket": "perps",
            "asset": "USD",
            "balance": "10000",
            "available": "9000",
            "equity": "10000",
            "unrealizedPnl": "0",
            "marginUsed": "0",
        }
    ]
}
PREVIEW: Final = {
    "notional": "1000",
    "marginRequired": "60",
    "estFee": "0.1",
    "feeBps": "1",
    "feeRole": "maker",
    "approved": True,
    "rolling30dVolume": "0",
}
MARKET: Final = {
    "id": "BTC-PERP",
    "marketType": "perp",
    "tradingStatus": "active",
    "tickSize": "0.1",
    "stepSize": "0.001",
    "minQuantity": "0.001",
    "makerFeeBps": "1",
    "takerFeeBps": "5",
}
CANDLES: Final = [
    {"time": f"2026-01-05T00:{minute:02d}:00.000Z", "volume": "1"}
    | dict.fromkeys(("open", "high", "low", "close"), "50000.0")
    for minute in range(20)
]  # trades at one price: volatility at its floor
STATS: Final = {"marketId": "BTC-PERP", "markPrice": "50000", "indexPrice": "50000", "fundingRate": "0"}


@attrs.define
class Seen:
    """One request as the exchange saw it, with the seconds of the virtual clock."""

    at: float
    method: str
    path: str
    query: str
    body: bytes
    connection: MemoryConnection
    head: str = attrs.field(default="", repr=False)  # its header fields, the key among them

    @property
    def key(self) -> str:
        """The key it came with."""
        return self.head.lower().partition("x-api-key: ")[2].partition("\r\n")[0]


Behaviour = Callable[[Seen, ServerEnd], Awaitable[None]]


def saying(body: object, status: int = 200, *fields: str) -> Behaviour:
    """Answer with JSON, or with bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def behave(_seen: Seen, stream: ServerEnd) -> None:
        await stream.send_all(answer_bytes(status, data, *fields))

    return behave


def after(seconds: float, then: Behaviour) -> Behaviour:
    async def behave(seen: Seen, stream: ServerEnd) -> None:
        await trio.sleep(seconds)
        await then(seen, stream)

    return behave


async def silent(_seen: Seen, _stream: ServerEnd) -> None:
    await trio.sleep_forever()


async def reset(_seen: Seen, stream: ServerEnd) -> None:
    stream.reset()
    await trio.sleep_forever()


@attrs.define(eq=False)
class Site:
    """An exchange whose answers are scripted by path; where the script is at its end, the usual ones follow."""

    nursery: trio.Nursery
    usual: dict[str, Behaviour] = attrs.field(factory=dict)
    scripts: dict[str, deque[Behaviour]] = attrs.field(factory=dict)
    log: list[Seen] = attrs.field(factory=list)
    resting: list[dict[str, Any]] = attrs.field(factory=list)
    connections: list[MemoryConnection] = attrs.field(factory=list)
    refusals: int = 0  # so many connections are refused
    dial_seconds: float = 0.0
    fields: tuple[str, ...] = ()  # header fields of an answer to a ladder
    key: str = KEY  # that every request must carry; empty: whoever asks has none

    def __attrs_post_init__(self) -> None:
        self.usual = {
            ocx.MARKETS: saying([MARKET]),
            ocx.FEES: saying({"tiers": []}),
            ocx.MARKET_STATS: saying(STATS),
            ocx.OHLC: saying(CANDLES),
            ocx.POSITIONS: saying([]),
            ocx.TRADES: saying([]),
            ocx.BALANCES: saying(BALANCES),
            ocx.PREVIEW: saying(PREVIEW),
            ocx.ORDERS: self.list_orders,
            ocx.CANCEL_ALL: self.cancel_all,
            ocx.QUOTES_BULK: self.bulk,
            ocx.STREAM_EVENTS: saying({"error": "UNSCRIPTED"}, 503),
        }

    def script(self, path: str, *behaviours: Behaviour) -> None:
        self.scripts.setdefault(path, deque()).extend(behaviours)

    def seen(self, path: str) -> list[Seen]:
        return [one for one in self.log if one.path == path]

    def times(self, path: str) -> list[float]:
        return [round(one.at, 3) for one in self.seen(path)]

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.log]

    async def dial(self) -> MemoryConnection:
        await trio.sleep(self.dial_seconds)
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError(111, "Connection refused")
        connection = MemoryConnection()
        self.connections.append(connection)
        self.nursery.start_soon(play, partial(self.serve, connection), connection.server)
        return connection

    async def serve(self, connection: MemoryConnection, stream: trio.abc.Stream) -> None:
        assert isinstance(stream, ServerEnd)
        while True:
            raw = await read_request(stream)
            head, _, body = raw.partition(b"\r\n\r\n")
            assert not self.key or f"x-api-key: {self.key}".encode() in head.lower()
            method, target = head.decode().split(" ", 2)[:2]
            path, _, query = target.partition("?")
            seen = Seen(trio.current_time(), method, path, query, body, connection, head.decode())
            self.log.append(seen)
            script = self.scripts.get(path)
            await (script.popleft() if script else self.usual[path])(seen, stream)

    async def list_orders(self, seen: Seen, stream: ServerEnd) -> None:
        await saying({"orders": self.resting})(seen, stream)

    async def cancel_all(self, seen: Seen, stream: ServerEnd) -> None:
        self.resting.clear()
        await saying({"cancelled": 1})(seen, stream)

    async def bulk(self, seen: Seen, stream: ServerEnd) -> None:
        """Replace, as asked."""
        asked = json.loads(seen.body)
        self.resting = [
            {
                "id": f"id-{quote['clientOrderId']}",
                "marketId": asked["marketId"],
                "clientOrderId": quote["clientOrderId"],
                "side": quote["side"],
                "price": quote["price"],
                "quantity": quote["quantity"],
                "status": "open",
            }
            for quote in asked["quotes"]
        ]
        answer = {"marketId": asked["marketId"], "quoteId": asked["quoteId"], "orders": self.resting}
        await saying(answer, 200, *self.fields)(seen, stream)

    def client(self) -> Client:
        return Client(URL, {"x-api-key": KEY}, None, dial=self.dial)

    def lane(self, name: str) -> Lane:
        return Lane(name, self.dial, "ocx.test", {"x-api-key": KEY}, clock=trio.current_time)


@attrs.define
class Told:
    """What a recorder said: lines of the log, rows of the journal."""

    recorder: Recorder
    capture: structlog.testing.LogCapture
    journal: MemoryJournal

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self.capture.entries]

    def rows(self, kind: type[Row]) -> list[Any]:
        return [row for row in self.journal.rows if isinstance(row, kind)]


def a_recorder() -> Told:
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(
        structlog.PrintLogger(io.StringIO()),
        processors=[capture],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    journal = MemoryJournal(Run("run", 0, "paper", "paper", "0", "0"))
    return Told(Recorder(log, journal), capture, journal)


@attrs.define
class Witness(Inlet):
    """The real door for facts, noting each one as it comes."""

    facts: list[tuple[float, Event]] = attrs.field(factory=list)
    look: Callable[[Event], None] = lambda _event: None  # asked after each fact, in the same step

    def deliver(self, event: Event) -> None:
        self.facts.append((round(trio.current_time(), 3), event))
        Inlet.deliver(self, event)
        self.look(event)

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for _, event in self.facts if isinstance(event, kinds)]


@attrs.define(eq=False)
class Stage:
    """A site, a desk that could quote BTC-PERP, and what stands between them."""

    site: Site
    desk: Desk
    told: Told
    switch: Switch
    inlet: Witness
    client: Client
    reader: AccountReader
    nursery: trio.Nursery
    wakes: list[float]

    @property
    def panic_sent(self) -> bytes:
        return b"".join(bytes(lane.connection.sent) for lane in self.switch.panic.lanes if lane.connection is not None)  # type: ignore[attr-defined]


def now() -> float:
    """The desk's clock, moved by the virtual one."""
    return START + trio.current_time()


@contextlib.asynccontextmanager
async def staged(desk: Desk | None = None, *, warm: bool = True) -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        own = desk or Desk.ready()
        told = a_recorder()
        told.recorder.engine = own.engine
        switch = Switch(Panic((site.lane("panic-1"), site.lane("panic-2"))), 1.0, clock=trio.current_time)
        if warm:
            for lane in switch.panic.lanes:
                await lane.connect()
        wakes: list[float] = []
        inlet = Witness(own.engine, switch, told.recorder, now, lambda: wakes.append(trio.current_time()))
        client = site.client()
        reader = AccountReader(client, {"BTC-PERP": spec().grid})
        yield Stage(site, own, told, switch, inlet, client, reader, nursery, wakes)
        switch.panic.close()
        await client.aclose()
        nursery.cancel_scope.cancel(reason="the test is over")
