"""The HTTP server: literal bytes over in-memory streams, deadlines in virtual time, and once over a socket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio
import trio.testing

from maker.edge.http_listener import serve_tcp
from maker.edge.http_messages import Answer, EventStreamResponse, Handler, Limits, Moment, Request, Response, Send
from maker.edge.http_server import serve_connection

DATE = b"Date: Sun, 22 Nov 2026 06:58:39 GMT\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"


def fixed_clock() -> Moment:
    return Moment(1795330719.25, 1000.5)


@attrs.define
class Server:
    """One served connection: the client's end, what was reported, and what reached the handler."""

    client: trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]
    finished: trio.Event
    reports: list[tuple[str, BaseException]]
    requests: list[Request]

    async def send(self, data: bytes) -> None:
        await self.client.send_all(data)

    async def receive(self) -> bytes:
        return bytes(await self.client.receive_some(1 << 20))

    async def receive_until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            piece = await self.receive()
            assert piece, f"the connection closed after {data!r}"
            data += piece
        return data

    async def receive_rest(self) -> bytes:
        data = b""
        while piece := await self.receive():
            data += piece
        return data


@asynccontextmanager
async def served(
    handler: Handler,
    limits: Limits | None = None,
    pair: Callable[[], tuple[trio.StapledStream, trio.StapledStream]] = trio.testing.memory_stream_pair,  # type: ignore[type-arg]
) -> AsyncIterator[Server]:
    """Serve one in-memory connection; afterwards the client closes and the connection must end by itself."""
    client, stream = pair()
    server = Server(client, trio.Event(), [], [])

    async def keep(request: Request) -> Answer:
        server.requests.append(request)
        return await handler(request)

    async def serve() -> None:
        await serve_connection(
            stream, keep, report=lambda *found: server.reports.append(found), limits=limits, clock=fixed_clock
        )
        server.finished.set()

    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield server
            await trio.aclose_forcefully(client)


async def echo(request: Request) -> Answer:
    return Response(200, (("X-Path", request.path),), request.body or b"none")


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 " + status + b"\r\n" + DATE + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def refusal(status: bytes, message: bytes) -> bytes:
    body = message + b"\n"
    head = (
        b"HTTP/1.1 " + status + b"\r\n" + DATE + TEXT + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    )
    return head + body


GET = b"GET /a%20b?x=1&y=&x=2 HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\nVia: p\r\nVia: q\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"


async def test_request_and_answer() -> None:
    """A request arrives decoded and dated, its answer in one piece, and the connection takes the next."""
    async with served(echo) as server:
        await server.send(GET)
        assert await server.receive() == answer(b"none", b"X-Path: /a b")
        await server.send(POST)
        assert await server.receive() == answer(b"abc", b"X-Path: /p")
        first, second = server.requests
        assert first == Request(
            "GET",
            "/a b",
            {"x": "2", "y": ""},
            {"host": "h", "x-api-key": "k", "via": "p, q"},
            b"",
            "memory",
            fixed_clock(),
            fixed_clock(),
        )
        assert (second.method, second.body) == ("POST", b"abc")
    assert server.finished.is_set()
    assert server.reports == []


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_request_in_pieces(size: int) -> None:
    """Chunking of the bytes changes nothing, chunked bodies included."""
    chunked = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    async with served(echo) as server:
        for request in (POST, chunked):
            for start in range(0, len(request), size):
                await server.send(request[start : start + size])
            assert (await server.receive()).endswith(b"\r\n\r\nabc")


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent at once are answered one after the other, and a closing one is the last."""
    closing = GET.replace(b"Via: p", b"Connection: close")
    async with served(echo) as server:
        await server.send(POST + GET + POST + closing + POST)
        everything = await server.receive_rest()
        expected = answer(b"abc", b"X-Path: /p") + answer(b"none", b"X-Path: /a b") + answer(b"abc", b"X-Path: /p")
        assert everything.startswith(expected)
        assert everything.count(b"HTTP/1.1 200 OK") == 4
        assert b"Connection: close" in everything[len(expected) :]
        assert len(server.requests) == 4


async def test_on_sent_follows_the_send() -> None:
    """`on_sent` is called once, when the last byte of the answer was taken and not before."""
    calls: list[str] = []

    async def handler(request: Request) -> Answer:
        return Response(200, (), b"x", on_sent=lambda: calls.append("sent"))

    async with served(handler, pair=trio.testing.lockstep_stream_pair) as server:
        await server.send(GET)
        expected = answer(b"x")
        assert await server.client.receive_some(len(expected) - 1) == expected[:-1]
        await trio.testing.wait_all_tasks_blocked()
        assert calls == []
        assert await server.receive() == b"x"
        await trio.testing.wait_all_tasks_blocked()
        assert calls == ["sent"]


async def test_head_and_unknown_methods_reach_the_handler() -> None:
    """HEAD gets the head of the answer only; a method nobody knows is the handler's to refuse."""

    async def handler(request: Request) -> Answer:
        return Response(200 if request.method == "HEAD" else 405, (), b"body")

    async with served(handler) as server:
        await server.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await server.receive() == answer(b"body")[: -len(b"body")]
        await server.send(b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await server.receive() == answer(b"body", status=b"405 Method Not Allowed")
        await server.send(b"CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await server.receive() == answer(b"body", status=b"405 Method Not Allowed")
    assert server.reports == []


async def test_old_clients() -> None:
    """HTTP/1.0 is answered and closed."""
    async with served(echo) as server:
        await server.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await server.receive_rest()).endswith(b"\r\n\r\nnone")


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /?a=%ff HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /?" + b"&".join([b"a=1"] * 40) + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
        ),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 501 Not Implemented\r\n"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        (b"GET /" + b"x" * 20_000, b"HTTP/1.1 431 "),
    ],
)
async def test_malformed_requests(request_bytes: bytes, expected: bytes) -> None:
    """A broken rule is answered with its status, the connection ends, and no handler sees the request."""
    async with served(echo) as server:
        await server.send(request_bytes)
        received = await server.receive_rest()
        assert received.startswith(expected)
        assert b"\r\nConnection: close\r\n" in received
        assert server.requests == []
    assert server.finished.is_set()
    assert server.reports == []


@pytest.mark.parametrize(
    "broken",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer canary\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key canary\r\n\r\n",
        b"GET /canary of HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
    ],
)
async def test_a_refusal_does_not_repeat_what_was_sent(broken: bytes) -> None:
    """S18: h11 quotes what it dislikes, and that may be a header with a key in it."""
    async with served(echo) as server:
        await server.send(broken)
        answered = await server.receive_rest()
        assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answered.lower().partition(b"\r\n\r\n")[2].startswith(b"illegal")
        assert b"canary" not in answered


async def test_no_message_shows_its_headers_or_body() -> None:
    """S18: whoever logs one logs no key, no cookie, no new secret."""
    request = Request("GET", "/", {}, {"x-api-key": "canary"}, b"canary", "h", fixed_clock(), fixed_clock())
    shown = [request, Response(200, (("Set-Cookie", "canary"),), b"canary")]
    assert "canary" not in repr([*shown, EventStreamResponse(trio.sleep_forever, (("Set-Cookie", "canary"),))])  # type: ignore[arg-type]


async def test_body_limit() -> None:
    """A body of the limit passes; one byte more is refused, announced or counted."""
    limits = Limits(body_bytes_max=1000)
    head = b"POST / HTTP/1.1\r\nHost: h\r\n"
    expected = refusal(b"413 Request Entity Too Large", b"the request body is longer than 1000 bytes")
    async with served(echo, limits) as server:
        await server.send(head + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)
        assert (await server.receive()).endswith(b"\r\n\r\n" + b"x" * 1000)
        await server.send(head + b"Content-Length: 1001\r\n\r\n")
        assert await server.receive_rest() == expected
    async with served(echo, limits) as server:
        await server.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1f4\r\n" + b"x" * 500 + b"\r\n")
        await server.send(b"1f4\r\n" + b"x" * 500 + b"\r\n1\r\nx\r\n")
        assert await server.receive_rest() == expected
    assert len(server.requests) == 0


async def test_continue_is_sent_when_asked_for() -> None:
    """A client that waits for leave to send its body gets it; one with too large a body gets the refusal instead."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    async with served(echo) as server:
        await server.send(head % 3)
        assert await server.receive() == b"HTTP/1.1 100 \r\n\r\n"
        await server.send(b"abc")
        assert (await server.receive()).endswith(b"\r\n\r\nabc")
        await server.send(head % 1_000_000)
        assert (await server.receive_rest()).startswith(b"HTTP/1.1 413 ")


async def test_silent_client(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing, or half a head, within the head's time: 408 and the end."""
    for beginning in (b"", b"GET / HT"):
        start = trio.current_time()
        async with served(echo) as server:
            await server.send(beginning) if beginning else None
            assert (await server.receive_rest()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert trio.current_time() - start == pytest.approx(10)


async def test_dripping_client(autojump_clock: trio.testing.MockClock) -> None:
    """A byte a second does not hold a connection beyond the limits of the head and of the whole request."""

    async def drip(server: Server, data: bytes) -> None:
        for index in range(len(data)):
            await trio.sleep(1)
            try:
                await server.send(data[index : index + 1])
            except trio.BrokenResourceError:
                return

    for prefix, seconds in ((b"", 10), (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", 30)):
        async with served(echo) as server, trio.open_nursery() as nursery:
            start = trio.current_time()
            if prefix:
                await server.send(prefix)
            nursery.start_soon(drip, server, b"G" * 60)
            assert (await server.receive_rest()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert trio.current_time() - start == pytest.approx(seconds, abs=1.1)
            assert server.requests == []


async def test_idle_keep_alive_ends_silently(autojump_clock: trio.testing.MockClock) -> None:
    """Between requests the client has the idle time; then the connection closes without a word."""
    async with served(echo) as server:
        await server.send(GET)
        await server.receive()
        await trio.sleep(74)
        await server.send(GET)
        await server.receive()
        start = trio.current_time()
        assert await server.receive_rest() == b""
        assert trio.current_time() - start == pytest.approx(75)


async def test_slow_handler(autojump_clock: trio.testing.MockClock) -> None:
    """A handler beyond the request's time is cancelled and answered for."""

    async def handler(request: Request) -> Answer:
        await trio.sleep_forever()
        raise AssertionError

    async with served(handler) as server:
        await server.send(GET)
        assert await server.receive_rest() == refusal(b"503 Service Unavailable", b"no answer within 30 s")
        assert trio.current_time() == pytest.approx(30)


async def test_client_that_does_not_read_its_answer(autojump_clock: trio.testing.MockClock) -> None:
    """An answer that is not taken within the write time ends the connection."""
    async with served(echo, pair=trio.testing.lockstep_stream_pair) as server:
        await server.send(GET)
        await server.finished.wait()
        assert trio.current_time() == pytest.approx(5)
    assert server.reports == []


async def test_failing_handler_ends_one_connection() -> None:
    """A handler's exception is reported, answered 500, and ends the connection."""

    async def handler(request: Request) -> Answer:
        raise ValueError("boom")

    async with served(handler) as server:
        await server.send(GET + GET)
        assert await server.receive_rest() == refusal(
            b"500 Internal Server Error", b"the server failed on this request"
        )
        ((message, error),) = server.reports
        assert message == "a connection from memory ended: its request could not be served"
        assert isinstance(error, ValueError)
        assert len(server.requests) == 1


async def test_failing_handler_of_a_gone_client() -> None:
    """A failure whose client is gone is still reported, and raises nothing."""

    async def handler(request: Request) -> Answer:
        await trio.aclose_forcefully(server.client)
        raise ValueError("boom")

    async with served(handler) as server:
        await server.send(GET)
        await server.finished.wait()
    assert [str(error) for _, error in server.reports] == ["boom"]


async def test_cancellation_passes_and_closes() -> None:
    """Cancelling the server cancels the handler and closes the stream."""
    client, stream = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def handler(request: Request) -> Answer:
            nursery.cancel_scope.cancel(reason="the test stops the server in the middle of a request")
            await trio.sleep_forever()
            raise AssertionError

        await client.send_all(GET)
        await serve_connection(stream, handler, report=lambda *_: pytest.fail("reported"))
    assert nursery.cancel_scope.cancelled_caught
    assert await client.receive_some() == b""


# -- event streams ------------------------------------------------------------------------------------------------

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    + DATE
    + b"Content-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n"
    + b"Transfer-Encoding: chunked\r\n\r\n"
)


def streaming(run: Callable[[Send], Awaitable[None]]) -> Handler:
    async def handler(request: Request) -> Answer:
        return EventStreamResponse(run)

    return handler


async def test_event_stream_runs_to_its_end() -> None:
    """The head comes at once, each piece as a chunk, and the return of `run` ends stream and connection."""

    async def run(send: Send) -> None:
        await send(b"data: 1\n\n")
        await trio.testing.wait_all_tasks_blocked()
        await send(b":heartbeat\n\n")

    async with served(streaming(run)) as server:
        await server.send(GET + GET)
        assert await server.receive_rest() == STREAM_HEAD + b"9\r\ndata: 1\n\n\r\nc\r\n:heartbeat\n\n\r\n0\r\n\r\n"
        assert len(server.requests) == 1


@pytest.mark.parametrize("beginning", [b"G", b"\r", GET[:-2], POST[:-1]])
async def test_client_that_leaves_in_the_middle(beginning: bytes) -> None:
    """Half a request and an end of stream: answered for whoever still reads, and nobody's failure."""
    async with served(echo) as server:
        await server.send(beginning)
        await server.client.send_eof()
        assert (await server.receive_rest()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert server.reports == []
    assert server.requests == []


@pytest.mark.parametrize("how", ["close", "half-close"])
async def test_event_stream_ends_when_the_client_leaves(how: str) -> None:
    """A silent stream notices at once that its client left, and cancels `run`."""
    ended = trio.Event()

    async def run(send: Send) -> None:
        try:
            await send(b"data: 1\n\n")
            await trio.sleep_forever()
        finally:
            ended.set()

    async with served(streaming(run)) as server:
        await server.send(GET)
        await server.receive_until(b"data: 1\n\n\r\n")
        if how == "close":
            await trio.aclose_forcefully(server.client)
        else:
            await server.client.send_eof()
        await ended.wait()
        await server.finished.wait()
    assert server.reports == []


async def test_event_stream_drops_a_slow_consumer(autojump_clock: trio.testing.MockClock) -> None:
    """A client that stops reading is dropped after the write time, even where `run` has tasks of its own."""
    sent: list[float] = []

    async def run(send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            while True:
                await send(b"data: 1\n\n")
                sent.append(trio.current_time())

    async with served(streaming(run), pair=trio.testing.lockstep_stream_pair) as server:
        await server.send(GET)
        await server.receive_until(b"data: 1\n\n\r\n")
        await server.finished.wait()
        assert sent == [0.0]
        assert trio.current_time() == pytest.approx(5)
    assert server.reports == []


async def test_event_stream_failure_is_reported() -> None:
    """A failing `run` breaks the chunked body off, so that no client takes it for a proper end."""

    async def run(send: Send) -> None:
        await send(b"data: 1\n\n")
        raise ValueError("boom")

    async with served(streaming(run)) as server:
        await server.send(GET)
        assert await server.receive_rest() == STREAM_HEAD + b"9\r\ndata: 1\n\n\r\n"
    ((_, error),) = server.reports
    assert isinstance(error, ExceptionGroup)
    assert [str(inner) for inner in error.exceptions] == ["boom"]


# -- sockets ------------------------------------------------------------------------------------------------------


async def test_over_a_socket() -> None:
    """One bad connection ends and the server goes on; a stopped server's port is free at once."""
    failures: list[str] = []

    async def handler(request: Request) -> Answer:
        if request.path == "/fail":
            raise ValueError("boom")
        return Response(200, (), f"{request.method} {request.path} {request.peer}".encode())

    port = 0
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(
                lambda task_status, port=port: serve_tcp(
                    port, handler, report=lambda message, _: failures.append(message), task_status=task_status
                )
            )
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                assert (await client.get("/a")).text == "GET /a 127.0.0.1"
                assert (await client.get("/fail")).status_code == 500
                assert (await client.post("/b", content=b"x" * 300_000)).status_code == 413
                assert (await client.get("/c")).text == "GET /c 127.0.0.1"
            nursery.cancel_scope.cancel(reason="the test is over")
    assert failures == ["a connection from 127.0.0.1 ended: its request could not be served"] * 2


async def test_too_many_connections() -> None:
    """A connection beyond the limit is closed at once; when one ends, the next is served."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            lambda task_status: serve_tcp(
                0, echo, report=lambda *_: None, limits=Limits(connections_max=1), task_status=task_status
            )
        )
        first = await trio.open_tcp_stream("127.0.0.1", port)
        await first.send_all(GET)
        assert (await first.receive_some()).startswith(b"HTTP/1.1 200 OK")
        async with await trio.open_tcp_stream("127.0.0.1", port) as second:
            assert await second.receive_some() == b""
        await first.aclose()
        with trio.fail_after(5):
            while True:
                async with await trio.open_tcp_stream("127.0.0.1", port) as third:
                    try:
                        await third.send_all(GET)
                        if (await third.receive_some()).startswith(b"HTTP/1.1 200 OK"):
                            break
                    except trio.BrokenResourceError:
                        continue
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_plain_text_on_a_tls_port() -> None:
    """A client that does not speak TLS is closed, and the listener goes on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # no certificate: every handshake fails
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            lambda task_status: serve_tcp(
                0, echo, report=lambda *_: pytest.fail("reported"), ssl_context=context, task_status=task_status
            )
        )
        for _ in range(2):
            async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                await client.send_all(GET)
                try:
                    received = await client.receive_some()
                except trio.BrokenResourceError:
                    received = b""
                assert not received.startswith(b"HTTP")
        nursery.cancel_scope.cancel(reason="the test is over")
