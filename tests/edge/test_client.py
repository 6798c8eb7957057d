"""Reads and event streams: httpx on our own connections, and nothing left behind by a cancelled one."""

from __future__ import annotations

import contextlib
import gzip
import traceback
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from maker.edge import answer as answer_room
from maker.edge import client as client_room
from maker.edge.client import Client
from maker.errors import ConfigError, OutcomeUnknown, StreamBroken, StreamFault
from maker.wire import ocx
from tests.support.wires import (
    MemoryExchange,
    Script,
    answer_bytes,
    answering,
    cancelled_at_wait,
    echo_path,
    loopback,
    read_request,
    same_descriptors,
)

KEY = "ocx_sk_canary_0123456789"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def client_to(*scripts: Script | Exception, reads: int = 8) -> AsyncIterator[tuple[Client, MemoryExchange]]:
    """A client whose connections play `scripts` in turn, the last for ever; all closed at the end."""
    async with trio.open_nursery() as nursery:
        exchange = MemoryExchange(nursery, *scripts)
        client = Client("http://ocx.test/v1", {"x-api-key": KEY}, None, connections_max=reads, dial=exchange.dial)
        yield client, exchange
        await client.aclose()
        nursery.cancel_scope.cancel()
        assert exchange.open_connections == 0


# -- reads --------------------------------------------------------------------------------------------------------


async def test_a_read_sends_our_headers_and_returns_any_status() -> None:
    async with client_to(answering(answer_bytes(404, b'{"error":"X"}', "X-A: 1", "x-a: 2"))) as (client, exchange):
        answer = await client.get("/perps/orderbook/BTC-PERP", {"depth": "25"})
        assert (answer.status, answer.body, answer.headers["x-a"]) == (404, b'{"error":"X"}', "1, 2")
        request = bytes(exchange.connections[0].sent)
        assert request.startswith(b"GET /v1/perps/orderbook/BTC-PERP?depth=25 HTTP/1.1\r\nHost: ocx.test\r\n")
        assert b"x-api-key: " + KEY.encode() + b"\r\n" in request
        assert b"accept-encoding: identity\r\n" in request


async def test_a_question_is_put_as_json_and_answered_like_a_read() -> None:
    async with client_to(answering(answer_bytes(200, b"x"))) as (client, exchange):
        assert (await client.ask(ocx.PREVIEW, b'{"side":"buy"}')).body == b"x"
        request = bytes(exchange.connections[0].sent)
        assert request.startswith(b"POST /v1/perps/orders/preview HTTP/1.1\r\n")
        assert b"content-type: application/json\r\n" in request.lower()
        assert request.endswith(b'\r\n\r\n{"side":"buy"}')


@pytest.mark.parametrize("path", [ocx.ORDERS, ocx.QUOTES_BULK, ocx.CANCEL_ALL, ocx.POSITIONS_CLOSE])
async def test_nothing_that_changes_something_goes_this_way(path: str) -> None:
    """An order here would pass latch, limits and journal by."""
    async with client_to(answering(answer_bytes(200, b"x"))) as (client, exchange):
        with pytest.raises(AssertionError, match="goes by a lane"):
            await client.ask(path, b"{}")
        assert exchange.connections == []


async def test_reads_in_turn_share_a_connection_and_reads_at_once_do_not() -> None:
    """Each read has its own answer; never more connections than reads at once; the rest wait their turn outside."""
    async with client_to(echo_path, reads=3) as (client, exchange):

        async def read(path: str) -> None:
            assert (await client.get(path)).body == b"/v1" + path.encode()

        for n in range(5):
            await read(f"/{n}")
        assert len(exchange.connections) == 1
        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(read, f"/{n}")
        assert len(exchange.connections) == 3


async def test_a_kept_connection_that_ended_is_replaced() -> None:
    """H9 for reads: the exchange closes after each answer without saying so."""
    async with client_to(answering(answer_bytes(200, b"x"))) as (client, exchange):
        for n in range(1, 4):
            assert (await client.get("/")).body == b"x"
            await trio.testing.wait_all_tasks_blocked()
            assert len(exchange.connections) == n


async def test_redirects_cookies_and_packed_bodies_are_left_alone() -> None:
    """A redirect is an answer, a cookie is not kept, a body comes as it was sent."""
    packed = gzip.compress(b"x" * 100)
    moved = answer_bytes(307, b"", "Location: http://evil.test/", "Set-Cookie: astra_session=jwt")
    async with client_to(answering(moved, answer_bytes(200, packed, "Content-Encoding: gzip"))) as (client, exchange):
        assert (await client.get("/")).status == 307
        assert (await client.get("/")).body == packed
        assert len(exchange.connections) == 1
        assert b"cookie" not in bytes(exchange.connections[0].sent).lower()


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"\x16\x03\x01 no HTTP " + KEY.encode(),
        b"HTTP/1.1 200 OK\r\n%s: \x00\r\n\r\n" % KEY.encode(),
        answer_bytes(200, b"x" * (answer_room.BODY_BYTES_MAX + 1)),
    ],
    ids=[
        "nothing",
        "half a head",
        "half a body",
        "half a chunk",
        "bad chunk",
        "long head",
        "noise",
        "echo",
        "too large",
    ],
)
@pytest.mark.parametrize("ends_with", ["FIN", "RST"])
async def test_an_answer_that_did_not_come_whole(bad: bytes, ends_with: str) -> None:
    """OutcomeUnknown without quoting the other side, the connection gone, the next read on a new one."""

    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(bad)
        if ends_with == "RST":
            await trio.testing.wait_all_tasks_blocked()
            stream.reset()  # type: ignore[attr-defined]

    async with client_to(script, echo_path) as (client, exchange):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.get("/perps/positions")
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert "/perps/positions" in str(caught.value)
        assert exchange.open_connections == 0
        assert (await client.get("/next")).body == b"/v1/next"


async def test_a_refused_connection() -> None:
    async with client_to(ConnectionRefusedError(111, "Connection refused"), echo_path) as (client, _):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.get("/")
        assert "refused" in str(caught.value)
        assert (await client.get("/")).status == 200


async def test_a_drip_fed_read_meets_the_total_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """H10: there is no deadline per read for a drip to satisfy."""

    async def drip(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        for byte in answer_bytes(200, b"x" * 1000):
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.2)

    async with client_to(drip) as (client, exchange):
        start = trio.current_time()
        with trio.move_on_after(1) as scope:
            await client.get("/")
        assert scope.cancelled_caught
        assert trio.current_time() - start == pytest.approx(1)
        assert exchange.open_connections == 0


async def test_cancelled_in_every_await_no_read_is_the_worse_for_it() -> None:
    """Cold and warm: nothing stays open but idle connections, and as many reads as allowed still go through."""
    for warm in (False, True):
        wait, cancelled = 0, True
        async with client_to(echo_path, reads=2) as (client, exchange):
            while cancelled:
                if warm:
                    await client.get("/warm")
                else:
                    await client.aclose()
                cancelled = await cancelled_at_wait(wait, lambda: client.get("/first"))
                assert exchange.open_connections == len(client.idle) <= 2
                async with trio.open_nursery() as nursery:
                    for _ in range(4):
                        nursery.start_soon(client.get, "/second")
                wait += 1
            assert wait > 3


async def test_a_storm_of_cancelled_reads_blocks_nothing() -> None:
    """H8, encode/httpcore #1093: contended reads cancelled at each of many moments, then all slots work."""
    async with client_to(echo_path, reads=3) as (client, exchange):
        for moment in range(60):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    for _ in range(9):
                        nursery.start_soon(client.get, "/storm")
                    for _ in range(moment):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(client.get, "/after")
        assert client.reads.borrowed_tokens == 0
        assert exchange.open_connections == len(client.idle) <= 3


async def test_reads_over_a_real_socket() -> None:
    """Looked up, read, cancelled while waiting, read again: no descriptor more."""

    async def script(stream: trio.abc.Stream) -> None:
        while True:
            request = await read_request(stream)
            if b"/silent" in request:
                await read_request(stream)  # until the client is gone
            await stream.send_all(answer_bytes(200, b"x"))

    async with loopback(script) as exchange, same_descriptors():
        client = Client(f"http://127.0.0.1:{exchange.port}", {}, None)
        for _ in range(3):
            assert (await client.get("/")).body == b"x"
            with trio.move_on_after(0.01) as scope:
                await client.get("/silent")
            assert scope.cancelled_caught
        await client.aclose()


def test_what_cannot_be_right_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        Client("ocx.test", {}, None)
    with pytest.raises(ConfigError) as caught:
        Client("http://ocx.test", {"x-api-key": KEY + "\n"}, None)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("path", ["http://evil.test/", "//evil.test/", "perps", ""])
async def test_a_path_cannot_name_another_host(path: str) -> None:
    async with client_to(echo_path) as (client, exchange):
        with pytest.raises(AssertionError):
            await client.get(path)
        assert exchange.connections == []


async def test_the_network_is_ours_and_no_tls_context_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails loudly should httpx rename what OneConnection replaces."""
    monkeypatch.setattr(httpx, "create_ssl_context", None)
    async with client_to(echo_path) as (client, exchange):
        await client.get("/")
        assert len(exchange.connections) == 1
        assert KEY not in repr(client) + repr(client.idle[0]) + repr(exchange.connections[0])


# -- streams ------------------------------------------------------------------------------------------------------


async def test_a_stream_gives_its_bytes_as_they_come() -> None:
    """Each piece when it is sent, then b"" at the end and after it; on a connection of its own."""
    go_on = trio.Event()

    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(HEAD)
        await stream.send_all(chunk(b":heartbeat\n\n"))
        await go_on.wait()
        await stream.send_all(chunk(b"data: 1\n") + chunk(b"\n") + b"0\r\n\r\n")

    async with client_to(script) as (client, exchange):
        async with client.stream("/perps/stream/events", {"marketId": "BTC-PERP", "depth": "25"}) as events:
            assert events.status == 200
            assert events.headers["content-type"] == "text/event-stream"
            assert await events.receive_some() == b":heartbeat\n\n"
            go_on.set()
            assert await events.receive_some() + await events.receive_some() == b"data: 1\n\n"
            assert await events.receive_some() == b""
            assert await events.receive_some() == b""
        request = bytes(exchange.connections[0].sent)
        assert request.startswith(b"GET /v1/perps/stream/events?marketId=BTC-PERP&depth=25 HTTP/1.1\r\n")
        assert b"accept: text/event-stream\r\n" in request
        assert client.idle == []


async def test_a_stream_read_to_its_end_does_not_keep_its_connection() -> None:
    """Though the exchange would: a stream's connection is its own."""
    async with client_to(echo_path) as (client, exchange):
        async with client.stream("/short") as events:
            assert await events.receive_some() == b"/v1/short"
            assert await events.receive_some() == b""
        assert exchange.open_connections == 0


async def test_a_stream_that_is_refused_shows_its_answer() -> None:
    async with client_to(answering(answer_bytes(401, b'{"error":"UNAUTHORIZED"}'))) as (client, _):
        async with client.stream("/perps/stream/user") as events:
            assert events.status == 401
            assert await events.receive_some() == b'{"error":"UNAUTHORIZED"}'


@pytest.mark.parametrize("fault", ["refused", "no head", "noise", "cut", "reset"])
async def test_a_stream_that_breaks(fault: str) -> None:
    """StreamBroken(CLOSED) wherever it happens, without the other side's words."""

    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        if fault == "noise":
            await stream.send_all(KEY.encode() + b"\r\n\r\n")
        if fault in ("cut", "reset"):
            await stream.send_all(HEAD + chunk(b":heartbeat\n\n") + b"9\r\nda")
        if fault == "reset":
            await trio.testing.wait_all_tasks_blocked()
            stream.reset()  # type: ignore[attr-defined]

    async with client_to(ConnectionRefusedError(111, "refused") if fault == "refused" else script) as (
        client,
        exchange,
    ):

        async def read_all() -> None:
            async with client.stream("/perps/book-stream") as events:
                while await events.receive_some():
                    pass

        with pytest.raises(StreamBroken) as caught:
            await read_all()
        assert caught.value.fault is StreamFault.CLOSED
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert exchange.open_connections == 0


async def endless(stream: trio.abc.Stream) -> None:
    await read_request(stream)
    await stream.send_all(HEAD)
    while True:
        await stream.send_all(chunk(b"data: 1\n\n") * 3)
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("chunks_read", [0, 1, 2])
async def test_a_stream_left_early_is_closed_at_once(chunks_read: int) -> None:
    """By leaving or by an error of the reader's own, which comes through as it is; no warning from the collector."""
    async with client_to(endless) as (client, exchange):
        async with client.stream("/") as events:
            for _ in range(chunks_read):
                assert await events.receive_some() == b"data: 1\n\n"
        assert exchange.open_connections == 0

        async def fail_midway() -> None:
            async with client.stream("/") as events:
                for _ in range(chunks_read):
                    await events.receive_some()
                raise KeyError

        with pytest.raises(KeyError):
            await fail_midway()
        assert exchange.open_connections == 0


async def test_a_stream_cancelled_in_every_await_is_closed() -> None:
    wait, cancelled = 0, True

    async def read_three() -> None:
        async with client.stream("/") as events:
            for _ in range(6):
                await events.receive_some()

    async with client_to(endless) as (client, exchange):
        while cancelled:
            cancelled = await cancelled_at_wait(wait, read_three)
            assert exchange.open_connections == 0
            wait += 1
        assert wait > 5


async def test_streams_never_use_up_the_reads() -> None:
    """H7: thirty streams open, one read allowed at a time, and it goes through."""

    async def script(stream: trio.abc.Stream) -> None:
        request = await read_request(stream)
        if b"/stream" in request:
            await stream.send_all(HEAD + chunk(b":heartbeat\n\n"))
            await trio.sleep_forever()
        await stream.send_all(answer_bytes(200, b"read"))
        await trio.sleep_forever()

    async with client_to(script, reads=1) as (client, exchange):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(30):
                events = await stack.enter_async_context(client.stream("/stream"))
                assert await events.receive_some() == b":heartbeat\n\n"
            assert (await client.get("/")).body == b"read"
            assert exchange.open_connections == 31
        assert exchange.open_connections == len(client.idle) == 1


async def test_streams_over_a_real_socket() -> None:
    """Fifty streams opened, read and cancelled: no descriptor more."""
    async with loopback(endless) as exchange, same_descriptors():
        client = Client(f"http://127.0.0.1:{exchange.port}", {}, None)
        for n in range(50):
            with trio.CancelScope() as scope:
                async with client.stream("/") as events:
                    for _ in range(n % 5):
                        assert await events.receive_some() == b"data: 1\n\n"
                    scope.cancel()
                    while True:
                        await events.receive_some()
            assert scope.cancelled_caught
        assert exchange.accepted == 50


def test_the_limits_are_what_the_program_was_told() -> None:
    assert Client("http://ocx.test", {}, None).reads.total_tokens == client_room.CONNECTIONS_MAX
