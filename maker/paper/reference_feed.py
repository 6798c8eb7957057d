"""Reference venues: best bid and ask of each underlying over a WebSocket, JSON text messages, numbers as strings.

The path of the URL says which: `/NAME` is the venue of that name (`maker.paper.reference_venues`), which may disagree,
lag and die. Every other path is a venue that tells the reference path as it is.

    client:  {"op": "subscribe", "symbols": ["BTC-USD", "ETH-USD"]}
    server:  {"type": "bbo", "symbol": "BTC-USD", "bid": "60011.9", "bidSize": "1.2345", "ask": "60012.2",
              "askSize": "0.8124", "ts": 1795330719250, "seq": 1}
    server:  {"type": "heartbeat", "ts": 1795330720250, "seq": 2}
    server:  {"type": "error", "code": "UNKNOWN_SYMBOL", "message": "…"}, and then it closes

After a subscription each of its symbols is sent at once; then on change, at most 20 a second, and every second if
nothing changed. A further subscription replaces the one before. `seq` counts the connection's messages from 1, `ts` is
unix milliseconds. A heartbeat comes every second, subscribed or not. A client that subscribes to nothing for
SUBSCRIBE_SECONDS_MAX, or does not read for SEND_SECONDS_MAX, is dropped.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, NoReturn
from urllib.parse import unquote

import attrs
import msgspec
import trio
import trio_websocket

from maker.edge.http_listener import encrypted
from maker.edge.http_messages import Report
from maker.paper.keeper import Keeper
from maker.paper.money import plain
from maker.paper.prices import STEP_MS, ReferenceQuote
from maker.paper.reference_venues import CLOSED, ReferenceVenue

REPEAT_SECONDS: Final = 1.0  # longest silence about a symbol, and between heartbeats
SUBSCRIBE_SECONDS_MAX: Final = 10.0  # handshake and first subscription, each
SEND_SECONDS_MAX: Final = 5.0  # one message: who reads nothing for so long has no use for prices
CLOSE_SECONDS_MAX: Final = 1.0
MESSAGE_BYTES_MAX: Final = 4096  # of a client: a subscription to every symbol is some hundred
MESSAGES_MAX: Final = 8  # of a client not yet looked at
SYMBOLS_MAX: Final = 100
CONNECTIONS_MAX: Final = 64  # at once
POLL_SECONDS: Final = STEP_MS / 1000
NO_VENUES: Final[Mapping[str, ReferenceVenue]] = MappingProxyType({})


class Subscription(msgspec.Struct):
    """What a client sends."""

    op: str
    symbols: list[str]


class Bbo(msgspec.Struct, rename="camel", tag="bbo", tag_field="type"):
    """A best bid and ask."""

    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    ts: int
    seq: int


class Heartbeat(msgspec.Struct, tag="heartbeat", tag_field="type"):
    """The feed lives."""

    ts: int
    seq: int


class Failure(msgspec.Struct, tag="error", tag_field="type"):
    """The connection ends, and why."""

    code: str
    message: str


ENCODE: Final = msgspec.json.Encoder().encode
DECODER: Final = msgspec.json.Decoder(Subscription)


async def serve_reference_stream(
    stream: trio.abc.Stream, keeper: Keeper, *, report: Report, venues: Mapping[str, ReferenceVenue] = NO_VENUES
) -> None:
    """Serve one connection to its end and close it; raises only cancellation. `venues` by name."""
    try:
        await serve_one(stream, keeper, venues)
    except Exception as error:  # noqa: BLE001 - the top of one connection: it ends here, the feed goes on
        report("a connection to the reference feed ended: it could not be served", error)
    finally:
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            await stream.aclose()


async def serve_one(stream: trio.abc.Stream, keeper: Keeper, venues: Mapping[str, ReferenceVenue]) -> None:
    """Shake hands, then listen and talk at once until either ends."""
    async with trio.open_nursery() as nursery:
        try:
            with trio.move_on_after(SUBSCRIBE_SECONDS_MAX) as handshake:
                request = await trio_websocket.wrap_server_stream(
                    nursery, stream, message_queue_size=MESSAGES_MAX, max_message_size=MESSAGE_BYTES_MAX
                )
                connection = await request.accept()
            if not handshake.cancelled_caught:
                await Feed(connection, keeper, venues.get(asked_for(request.path))).run()
        except (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio.BrokenResourceError):
            pass  # the client left, or was no WebSocket client
        nursery.cancel_scope.cancel(reason="the reference connection is over; its reader has nothing to read")


def asked_for(target: str) -> str:
    """Read a venue's name off the target of a request: its path without the slash."""
    return unquote(target.partition("?")[0].removeprefix("/"))


@attrs.define
class Feed:
    """One connection: what it asked for and what it was last told."""

    connection: trio_websocket.WebSocketConnection
    keeper: Keeper
    venue: ReferenceVenue | None = None  # None: tells the reference path as it is
    symbols: tuple[str, ...] = ()
    told: dict[str, tuple[ReferenceQuote, float]] = attrs.field(factory=dict)  # with when, seconds of Trio's clock
    sequence: int = 0

    async def run(self) -> None:
        """Listen and talk until the client leaves, or does something wrong."""
        async with trio.open_nursery() as nursery:

            async def until_over(part: Callable[[], Awaitable[None]]) -> None:
                with contextlib.suppress(trio_websocket.ConnectionClosed):
                    await part()
                nursery.cancel_scope.cancel(reason="one direction of the reference connection is over")

            nursery.start_soon(until_over, self._talk)
            await until_over(self._listen)
        with trio.move_on_after(CLOSE_SECONDS_MAX):
            await self.connection.aclose()

    async def _listen(self) -> None:
        """Take subscriptions; returns after refusing one, or when none came."""
        with trio.move_on_after(SUBSCRIBE_SECONDS_MAX):
            if not await self._subscribe(await self.connection.get_message()):
                return
        if not self.symbols:
            await self._send(Failure("NOT_SUBSCRIBED", f"no subscription within {SUBSCRIBE_SECONDS_MAX:g} s"))
            return
        while await self._subscribe(await self.connection.get_message()):
            pass

    async def _subscribe(self, message: str | bytes) -> bool:
        """Read one subscription; False after refusing it."""
        known = self.keeper.place.reference_quotes()
        try:
            wanted = DECODER.decode(message)
        except (ValueError, RecursionError):
            wanted = Subscription("", [])
        if wanted.op != "subscribe" or not 0 < len(wanted.symbols) <= SYMBOLS_MAX:
            await self._send(Failure("MALFORMED", 'send {"op": "subscribe", "symbols": […]}'))
            return False
        unknown = [symbol for symbol in wanted.symbols if symbol not in known]
        if unknown:
            await self._send(Failure("UNKNOWN_SYMBOL", f"there is no {unknown[0][:20]}, only {', '.join(known)}"))
            return False
        self.symbols = tuple(dict.fromkeys(wanted.symbols))
        self.told.clear()
        return True

    async def _talk(self) -> None:
        """Send what changed, what must be repeated, and heartbeats; returns when nobody reads or the venue closes."""
        beat_at = trio.current_time() + REPEAT_SECONDS
        while True:
            now_ms = self.keeper.now_ms()
            if self.venue is not None and self.keeper.place.is_dead(self.venue):
                if self.venue.dead_way == CLOSED:
                    return
                await self._wait()
                continue
            quotes = self.keeper.place.reference_quotes(self.venue)
            for symbol in self.symbols:
                quote = quotes[symbol]
                last, at = self.told.get(symbol, (None, 0.0))
                if quote == last and trio.current_time() - at < REPEAT_SECONDS - POLL_SECONDS / 2:
                    continue
                self.told[symbol] = (quote, trio.current_time())
                if not await self._send(self._bbo(symbol, quote, now_ms)):
                    return
            if trio.current_time() >= beat_at:
                beat_at = trio.current_time() + REPEAT_SECONDS
                self.sequence += 1
                if not await self._send(Heartbeat(now_ms, self.sequence)):
                    return
            await self._wait()

    async def _wait(self) -> None:
        """Wait for the next step."""
        await trio.sleep(max(POLL_SECONDS, self.keeper.place.step_ms / 1000))

    def _bbo(self, symbol: str, quote: ReferenceQuote, now_ms: int) -> Bbo:
        self.sequence += 1
        return Bbo(
            symbol=symbol,
            bid=plain(quote.bid),
            bid_size=plain(quote.bid_size),
            ask=plain(quote.ask),
            ask_size=plain(quote.ask_size),
            ts=now_ms,
            seq=self.sequence,
        )

    async def _send(self, message: msgspec.Struct) -> bool:
        """Send one message; False when the client does not read. Raises trio_websocket.ConnectionClosed."""
        with trio.move_on_after(SEND_SECONDS_MAX) as scope:
            await self.connection.send_message(ENCODE(message).decode())
        return not scope.cancelled_caught


async def serve_reference_tcp(
    port: int,
    keeper: Keeper,
    *,
    report: Report,
    venues: Mapping[str, ReferenceVenue] = NO_VENUES,
    host: str = "127.0.0.1",
    ssl_context: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Listen and serve the feed until cancelled; the bound port is the task's started value. Raises OSError."""
    connections = 0

    async def serve(raw: trio.SocketStream) -> None:
        nonlocal connections
        if connections >= CONNECTIONS_MAX:
            await trio.aclose_forcefully(raw)
            return
        connections += 1
        try:
            stream = raw if ssl_context is None else await encrypted(raw, ssl_context, SUBSCRIBE_SECONDS_MAX)
            if stream is not None:
                await serve_reference_stream(stream, keeper, report=report, venues=venues)
        finally:
            connections -= 1

    listeners = await trio.open_tcp_listeners(port, host=host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(serve, listeners)
    raise AssertionError("serve_listeners returns only by cancellation")
