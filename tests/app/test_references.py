"""The reference feeds: lost at once, connected to again, asked for signs of life, no descriptor left behind."""

from __future__ import annotations

import base64
import contextlib
import functools
import gc
import hashlib
import json
import random
import re
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import attrs
import pytest
import trio
import trio_websocket

from maker.app import feeds
from maker.app.references import Venue, follow_reference, run_reference
from maker.desk.events import Event, ReferenceHeard, ReferenceLost, ReferenceQuote
from maker.errors import StreamBroken, StreamFault
from maker.wire.references.adapter import Fact
from maker.wire.references.okx import Okx
from maker.wire.references.practice import Practice
from tests.app.site import staged
from tests.app.test_feeds import exposed
from tests.desk.scripted import VENUE
from tests.support.wires import descriptors, loopback, read_request


def venue(url: str, *, silent_seconds_max: float = 2.0) -> Venue:
    return Venue(VENUE, url, ("BTC",), silent_seconds_max)


@contextlib.contextmanager
def collected() -> Iterator[None]:
    """Collect at the end what the WebSocket library left open: one test judges that, the others do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


Session = Callable[[trio_websocket.WebSocketConnection], Awaitable[None]]
BBO = '{"type":"bbo","symbol":"BTC","bid":"49999","bidSize":"1","ask":"50001","askSize":"2","ts":1,"seq":1}'
REAL_SECONDS_MAX = 5.0  # a failing test's end


async def with_reference(session: Session, client: Callable[[str], Awaitable[None]]) -> None:
    """Serve a reference feed while the client does its part."""

    async def serve(request: trio_websocket.WebSocketRequest) -> None:
        await session(await request.accept())

    with collected(), trio.fail_after(REAL_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            start = functools.partial(trio_websocket.serve_websocket, serve, "127.0.0.1", 0, None)
            server = await nursery.start(start)
            await client(f"ws://127.0.0.1:{server.port}")
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("garbage", ["{", '{"type":"bbo","symbol":"BTC","bid":"NaN"}', "[" * 5000, '{"no":"type"}'])
async def test_a_malformed_reference_is_lost_before_its_connection_closes(garbage: str) -> None:
    """L1: said and pulled at once; the closing handshake takes its own time."""
    sockets: list[trio_websocket.WebSocketConnection] = []
    asked: list[str | bytes] = []

    async def session(socket: trio_websocket.WebSocketConnection) -> None:
        sockets.append(socket)
        asked.append(await socket.get_message())
        for message in (BBO, '{"type":"heartbeat"}', garbage):
            await socket.send_message(message)
        await trio.sleep_forever()

    async with staged(exposed()) as stage:
        at_loss: list[tuple[bool, bool]] = []

        def look(event: Event) -> None:
            if isinstance(event, ReferenceLost):
                at_loss.append((b"cancel-all" in stage.panic_sent, sockets[0].closed is None))

        stage.inlet.look = look

        async def client(url: str) -> None:
            with pytest.raises(StreamBroken) as caught:
                await follow_reference(venue(url), stage.inlet)
            assert caught.value.fault is StreamFault.MALFORMED

        await with_reference(session, client)
        kinds = [type(event) for _, event in stage.inlet.facts]
        assert kinds == [ReferenceQuote, ReferenceHeard, ReferenceLost]
        assert at_loss == [(True, True)]
        assert json.loads(asked[0]) == {"op": "subscribe", "symbols": ["BTC"]}


async def silent_session(socket: trio_websocket.WebSocketConnection) -> None:
    await socket.send_message(BBO)
    await trio.sleep_forever()


async def closing_session(socket: trio_websocket.WebSocketConnection) -> None:
    await socket.get_message()
    await socket.aclose(1001, "going")


async def large_session(socket: trio_websocket.WebSocketConnection) -> None:
    await socket.get_message()
    await socket.send_message(" " * 70_000)
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("session", "fault"),
    [(silent_session, StreamFault.SILENT), (closing_session, StreamFault.CLOSED), (large_session, StreamFault.CLOSED)],
)
async def test_a_reference_that_falls_silent_or_closes_is_broken(session: Session, fault: StreamFault) -> None:
    async with staged() as stage:

        async def client(url: str) -> None:
            with pytest.raises(StreamBroken) as caught:
                await follow_reference(venue(url, silent_seconds_max=0.05), stage.inlet)
            assert caught.value.fault is fault

        await with_reference(session, client)


HANDSHAKE_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)\r", re.IGNORECASE)
HANDSHAKE_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3


def frame(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, len(data)]) + data


async def with_raw_reference(says: bytes, client: Callable[[str], Awaitable[None]], *, upgrade: bool = True) -> None:
    """Serve a reference feed that says these bytes and from then on neither hears nor answers anything."""

    async def script(stream: trio.abc.Stream) -> None:
        request = await read_request(stream)
        head = b""
        if upgrade:
            key = HANDSHAKE_KEY.search(request)
            assert key is not None
            accept = base64.b64encode(hashlib.sha1(key[1] + HANDSHAKE_SUFFIX).digest())
            head = b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
            head += b"\r\n\r\n"
        await stream.send_all(head + says)
        await trio.sleep_forever()

    with collected(), trio.fail_after(REAL_SECONDS_MAX):
        async with loopback(script) as exchange:
            await client(f"ws://127.0.0.1:{exchange.port}")


@pytest.mark.parametrize(
    ("says", "upgrade"),
    [
        (frame(BBO) + frame("{"), True),
        (b"\xff\xff\xff\xff", True),
        (b"\x81\x02\xff\xfe", True),
        (b"\x88\x02\x03\xe8", True),
        (b"\x88\x02\x00\x00", True),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", False),
        (b"\x00\x01\x02\r\n\r\n", False),
    ],
    ids=["malformed, deaf", "no frame", "no UTF-8", "close", "bad close", "503", "no HTTP"],
)
async def test_whatever_a_reference_does_it_is_a_broken_stream(
    says: bytes, upgrade: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1, L2: no behaviour of the feed may end the run: it is lost, and connected to again."""
    monkeypatch.setattr(feeds, "CONNECT_SECONDS_MAX", 0.3)
    async with staged() as stage:

        async def client(url: str) -> None:
            with pytest.raises(StreamBroken):
                await follow_reference(venue(url), stage.inlet)

        await with_raw_reference(says, client, upgrade=upgrade)


async def leaves_no_descriptor(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect sixteen times, without the collector's help."""
    monkeypatch.setattr(feeds, "CONNECT_SECONDS_MAX", 0.05)

    async def client(url: str) -> None:
        async with staged() as stage:
            gc.collect()
            gc.disable()
            try:
                before = descriptors()
                for _ in range(16):
                    with pytest.raises(StreamBroken):
                        await follow_reference(venue(url, silent_seconds_max=0.05), stage.inlet)
                await trio.sleep(0.05)  # the server closes its ends
                assert descriptors() <= before + 1  # of the last one
            finally:
                gc.enable()

    await with_reference(session, client)


@pytest.mark.parametrize("session", [closing_session, large_session])
async def test_a_reference_that_breaks_leaves_no_descriptor(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """S23, H11: the library leaves a closed one's socket to be forgotten."""
    await leaves_no_descriptor(session, monkeypatch)


async def test_a_handshake_that_is_cut_short_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """S23, storm seed 47: the library knew no connection yet, and the socket stayed open."""
    monkeypatch.setattr(feeds, "CONNECT_SECONDS_MAX", 0.05)

    async def deaf(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.receive_some()  # until the client hangs up

    async with staged() as stage, loopback(deaf) as exchange:
        gc.collect()
        gc.disable()
        try:
            before = descriptors()
            for _ in range(8):
                with pytest.raises(StreamBroken):
                    await follow_reference(venue(f"ws://127.0.0.1:{exchange.port}"), stage.inlet)
            await trio.sleep(0.05)
            assert descriptors() <= before + 1
        finally:
            gc.enable()


async def test_a_quiet_venue_is_asked_for_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its answers is heard, so that a price that stands still stays fresh (S4)."""
    monkeypatch.setattr(Okx, "ping_seconds", 0.02)
    asked: list[str | bytes] = []

    async def session(socket: trio_websocket.WebSocketConnection) -> None:
        asked.append(await socket.get_message())
        while True:
            asked.append(await socket.get_message())
            await socket.send_message("pong")

    async with staged() as stage:
        heard = trio.Event()

        def look(_event: Event) -> None:
            if len(stage.inlet.facts) == 3:
                heard.set()

        stage.inlet.look = look

        async def client(url: str) -> None:
            async with trio.open_nursery() as nursery:
                okx = attrs.evolve(venue(url, silent_seconds_max=1.0), venue="okx", symbols=("BTC-USDT",))
                nursery.start_soon(follow_reference, okx, stage.inlet)
                await heard.wait()
                nursery.cancel_scope.cancel()

        await with_reference(session, client)
        assert [event for _, event in stage.inlet.facts][:3] == [ReferenceHeard(VENUE)] * 3
        assert json.loads(asked[0])["op"] == "subscribe"
        assert asked[1:4] == ["ping"] * 3


async def test_a_bug_in_an_adapter_is_no_broken_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we do not expect must end the run, not be connected to again and again."""

    def bug(_self: Practice, _message: str | bytes) -> tuple[Fact, ...]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Practice, "parse", bug)

    async def session(socket: trio_websocket.WebSocketConnection) -> None:
        await socket.get_message()
        await socket.send_message(BBO)
        await trio.sleep_forever()

    async with staged() as stage:

        async def client(url: str) -> None:
            with pytest.raises(ZeroDivisionError):
                await follow_reference(venue(url), stage.inlet)

        await with_reference(session, client)


async def test_a_reference_that_is_nowhere_is_said_to_be_lost() -> None:
    """L1: nobody listens; the desk hears of it and quotes are pulled."""
    with trio.socket.socket() as free:
        await free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
        async with staged(exposed()) as stage:
            with trio.CancelScope() as scope:
                stage.inlet.look = lambda _event: scope.cancel()
                with trio.fail_after(REAL_SECONDS_MAX):
                    await run_reference(venue(url), stage.inlet, random.Random(0))
            assert [type(event) for _, event in stage.inlet.facts] == [ReferenceLost]
            assert b"cancel-all" in stage.panic_sent


@pytest.mark.parametrize(
    "url", ["ws://stream..test/", f"ws://{'a' * 64}.test/", "ws://a\0b/", "ws://127.0.0.1:999999/", "ws://[::1/"]
)
async def test_an_address_that_cannot_be_looked_up_is_a_lost_feed(url: str) -> None:
    """L1: a symbol may be part of an address, so that not all of it is known when the configuration is read."""
    async with staged() as stage:
        with trio.fail_after(REAL_SECONDS_MAX), pytest.raises(StreamBroken) as caught:
            await follow_reference(venue(url), stage.inlet)
        assert caught.value.fault is StreamFault.CLOSED


async def test_a_look_up_that_knows_no_such_name_at_all_is_a_lost_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """L1: whatever the library makes of a name."""

    async def no_look_up(*_words: object) -> NoReturn:
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr(trio, "open_tcp_stream", no_look_up)
    async with staged() as stage:
        with pytest.raises(StreamBroken, match="label empty"):
            await follow_reference(venue("ws://venue.test"), stage.inlet)
