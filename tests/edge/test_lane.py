"""The lane: one request at a time, and after anything unclear a closed connection."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from maker.edge import answer as answer_room
from maker.edge.lane import Connection, Lane, LaneState, NotSent
from maker.errors import ConfigError, OutcomeUnknown
from tests.support.wires import (
    MemoryConnection,
    MemoryExchange,
    Script,
    answer_bytes,
    answering,
    cancelled_at_wait,
    echo_path,
    read_request,
)

KEY = "ocx_sk_canary_0123456789"


@contextlib.asynccontextmanager
async def lane_to(*scripts: Script | Exception, takes: int | None = None) -> AsyncIterator[tuple[Lane, MemoryExchange]]:
    """A lane whose connections play `scripts` in turn, the last for ever."""
    async with trio.open_nursery() as nursery:
        exchange = MemoryExchange(nursery, *scripts, takes=takes)
        lane = Lane("test", exchange.dial, "ocx.test", {"x-api-key": KEY}, base_path="/v1", clock=trio.current_time)
        yield lane, exchange
        lane.close()
        nursery.cancel_scope.cancel()
        assert exchange.open_connections == 0


async def raw_script(stream: trio.abc.Stream, *pieces: bytes) -> None:
    await read_request(stream)
    for piece in pieces:
        await stream.send_all(piece)


# -- what is sent and what comes back -----------------------------------------------------------------------------


async def test_a_request_is_one_write_and_its_answer_comes_back() -> None:
    """Head and body leave together, spelled exactly so."""
    async with lane_to(
        answering(answer_bytes(422, b'{"error":"X"}', "X-RateLimit-Remaining: 7", "X-A: 1", "x-a: 2"))
    ) as (
        lane,
        exchange,
    ):
        answer = await lane.call("POST", "/perps/quotes/bulk", b'{"a":1}')
        assert exchange.connections[0].sent == (
            b"POST /v1/perps/quotes/bulk HTTP/1.1\r\nhost: ocx.test\r\nx-api-key: " + KEY.encode() + b"\r\n"
            b'content-type: application/json\r\ncontent-length: 7\r\n\r\n{"a":1}'
        )
        assert answer.status == 422
        assert answer.body == b'{"error":"X"}'
        assert answer.headers["x-ratelimit-remaining"] == "7"
        assert answer.headers["x-a"] == "1, 2"


def test_heads_without_a_body() -> None:
    """A GET states no length, a POST without a body states zero."""
    lane = Lane("test", MemoryExchange.dial, "h:1", {})  # type: ignore[arg-type]
    assert lane.build("GET", "/a?b=c") == b"GET /a?b=c HTTP/1.1\r\nhost: h:1\r\n\r\n"
    assert lane.build("POST", "/a") == b"POST /a HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n"


async def test_one_connection_serves_many_requests() -> None:
    """Keep-alive: ten calls, one connect, each its own answer."""
    async with lane_to(echo_path) as (lane, exchange):
        for n in range(10):
            assert (await lane.call("GET", f"/{n}")).body == f"/v1/{n}".encode()
        assert len(exchange.connections) == 1
        statistics = lane.statistics()
        assert (statistics.connects, statistics.requests, statistics.answers) == (1, 10, 10)
        assert statistics.state is LaneState.IDLE


@pytest.mark.parametrize(
    "whole",
    [
        answer_bytes(200, b'{"x":"' + "é".encode() + b'"}'),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + answer_bytes(200, b"x"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_an_answer_in_single_bytes_is_the_same_answer(
    whole: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """Cut anywhere, an answer is the same, and the connection goes on."""

    async def in_one(stream: trio.abc.Stream) -> None:
        while True:
            await raw_script(stream, whole)

    async def in_bytes(stream: trio.abc.Stream) -> None:
        while True:
            await read_request(stream)
            for n in range(len(whole)):
                await stream.send_all(whole[n : n + 1])
                await trio.sleep(0.01)

    async with lane_to(in_one) as (lane, _):
        expected = await lane.call("GET", "/")
    async with lane_to(in_bytes) as (lane, exchange):
        for _ in range(2):
            assert await lane.call("GET", "/") == expected
        assert len(exchange.connections) == 1


async def test_the_largest_answers_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits are limits, not one less."""
    body = b"b" * answer_room.BODY_BYTES_MAX
    filler = "x" * (answer_room.HEAD_BYTES_MAX - 200)
    async with lane_to(answering(answer_bytes(200, body, f"X-Filler: {filler}"))) as (lane, _):
        assert (await lane.call("GET", "/")).body == body


# -- connections that end -----------------------------------------------------------------------------------------


async def test_a_connection_closed_while_idle_is_replaced_before_the_next_request() -> None:
    """H9: the exchange closes a kept connection; the next call connects again and sends once."""
    async with lane_to(answering(answer_bytes(200, b"1")), answering(answer_bytes(200, b"2"))) as (lane, exchange):
        assert (await lane.call("POST", "/a")).body == b"1"
        await trio.testing.wait_all_tasks_blocked()
        assert not lane.ready
        assert not lane.send_nowait("POST", "/b")
        assert (await lane.call("POST", "/b")).body == b"2"
        assert [connection.sent.count(b"POST") for connection in exchange.connections] == [1, 1]
        assert exchange.connections[0].closed


async def test_bytes_nobody_asked_for_end_the_connection() -> None:
    """What comes on an idle connection (a 408 before its end) would be taken for the next answer."""

    async def talkative(stream: trio.abc.Stream) -> None:
        await raw_script(stream, answer_bytes(200, b"asked"))
        await stream.send_all(answer_bytes(408, b"not asked"))
        await trio.sleep_forever()

    async with lane_to(talkative, echo_path) as (lane, _):
        assert (await lane.call("GET", "/")).body == b"asked"
        await trio.testing.wait_all_tasks_blocked()
        assert not lane.ready
        assert (await lane.call("GET", "/mine")).body == b"/v1/mine"


@pytest.mark.parametrize(
    "whole",
    [
        answer_bytes(200, b"x", "Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        answer_bytes(200, b"x") + b"HTTP/1.1 200 OK\r\n",
    ],
    ids=["close", "HTTP/1.0", "more bytes than the answer"],
)
async def test_an_answer_after_which_nothing_may_follow(whole: bytes) -> None:
    """The answer counts; the connection does not live on."""

    async def script(stream: trio.abc.Stream) -> None:
        await raw_script(stream, whole)
        await trio.sleep_forever()

    async with lane_to(script, echo_path) as (lane, exchange):
        assert (await lane.call("GET", "/")).body == b"x"
        assert lane.state is LaneState.CLOSED
        assert exchange.connections[0].closed
        assert (await lane.call("GET", "/2")).body == b"/v1/2"


BAD_ANSWERS = {
    "ends at once": b"",
    "ends in the status line": b"HTTP/1.1 200",
    "ends in the head": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
    "ends in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
    "ends in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "ends before the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "states no length": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a bad header": b"HTTP/1.1 200 OK\r\nContent Length: 3\r\n\r\nabc",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a head too large": b"HTTP/1.1 200 OK\r\nX: " + b"x" * answer_room.HEAD_BYTES_MAX,
    "a body too large": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    + b"x" * (answer_room.BODY_BYTES_MAX + 1),
    "chunks too large": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 5,
    "1xx without end": b"HTTP/1.1 100 Continue\r\n\r\n" * (answer_room.INFORMATIONAL_MAX + 1),
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
@pytest.mark.parametrize("cut", [True, False], ids=["then ends", "then resets"])
async def test_an_answer_that_cannot_be_trusted_leaves_the_outcome_unknown(bad: bytes, cut: bool) -> None:
    """Whatever is wrong with the answer: OutcomeUnknown, a closed connection, and the next call has a new one."""

    async def script(stream: trio.abc.Stream) -> None:
        await raw_script(stream, bad)
        if not cut:
            await trio.testing.wait_all_tasks_blocked()
            stream.reset()  # type: ignore[attr-defined]

    async with lane_to(script, echo_path) as (lane, exchange):
        with pytest.raises(OutcomeUnknown):
            await lane.call("POST", "/perps/quotes/bulk", b"{}")
        assert lane.state is LaneState.CLOSED
        assert exchange.connections[0].closed
        assert lane.statistics().answers == 0
        assert (await lane.call("POST", "/next")).body == b"/v1/next"


@pytest.mark.parametrize("name", [name for name in BAD_ANSWERS if not name.startswith("ends ")])
async def test_what_is_wrong_already_is_not_waited_upon(name: str, autojump_clock: trio.testing.MockClock) -> None:
    """An exchange that sends nonsense and then keeps the connection open is found out by the nonsense."""

    async def script(stream: trio.abc.Stream) -> None:
        await raw_script(stream, BAD_ANSWERS[name])
        await trio.sleep_forever()

    async with lane_to(script) as (lane, _):
        with trio.fail_after(1), pytest.raises(OutcomeUnknown):
            await lane.call("POST", "/")


async def test_eight_informational_answers_are_still_an_answer() -> None:
    flood = b"HTTP/1.1 100 Continue\r\n\r\n" * answer_room.INFORMATIONAL_MAX
    async with lane_to(answering(flood + answer_bytes(200, b"x"))) as (lane, _):
        assert (await lane.call("GET", "/")).body == b"x"


async def test_nothing_is_sent_when_the_dial_fails() -> None:
    """NotSent, twice as good: the same lane connects once the exchange is back."""
    async with lane_to(ConnectionRefusedError(111, "refused"), NotSent("no address"), echo_path) as (lane, _):
        for _attempt in range(2):
            with pytest.raises(NotSent):
                await lane.call("GET", "/")
            assert lane.state is LaneState.CLOSED
        assert (await lane.call("GET", "/")).body == b"/v1/"


async def test_a_drip_fed_answer_meets_the_total_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """H10: a byte each 0.2 s never ends the call's one second early or late."""

    async def drip(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        for byte in answer_bytes(200, b"x" * 1000):
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.2)

    async with lane_to(drip) as (lane, exchange):
        start = trio.current_time()
        with trio.move_on_after(1) as scope:
            await lane.call("POST", "/")
        assert scope.cancelled_caught
        assert trio.current_time() - start == pytest.approx(1)
        assert lane.state is LaneState.CLOSED
        assert exchange.connections[0].closed


# -- the synchronous door -----------------------------------------------------------------------------------------


async def test_the_synchronous_door_sends_before_anything_else_runs() -> None:
    """The bytes are at the other end when send_bytes_nowait returns; the answer is read later."""
    async with lane_to(echo_path) as (lane, exchange):
        cancel_all = lane.build("POST", "/perps/orders/cancel-all", b"{}")
        assert not lane.send_bytes_nowait(cancel_all)  # not connected: refuses, does not wait
        await lane.connect()
        assert lane.statistics().state is LaneState.IDLE
        with trio.testing.assert_no_checkpoints():
            assert lane.send_bytes_nowait(cancel_all)
        assert exchange.connections[0].sent == cancel_all
        assert not lane.ready
        assert not lane.send_bytes_nowait(cancel_all)  # one at a time
        assert (await lane.answer()).body == b"/v1/perps/orders/cancel-all"
        assert lane.statistics().state is LaneState.IDLE


async def test_a_connection_that_takes_nothing_is_refused_and_closed() -> None:
    """Zero bytes handed over: the caller may use another lane, since this one can never send them any more."""
    async with lane_to(echo_path, takes=0) as (lane, exchange):
        await lane.connect()
        assert not lane.send_nowait("POST", "/")
        assert exchange.connections[0].closed
        with pytest.raises(NotSent):
            await lane.call("POST", "/")
        assert lane.statistics().requests == 0


async def test_what_the_kernel_did_not_take_at_once_follows() -> None:
    """A request taken three bytes at a time arrives whole."""
    async with lane_to(echo_path, takes=3) as (lane, exchange):
        request = lane.build("POST", "/slow", b"x" * 1000)
        await lane.connect()
        assert lane.send_bytes_nowait(request)
        assert exchange.connections[0].sent == request[:3]
        assert (await lane.answer()).body == b"/v1/slow"
        assert exchange.connections[0].sent == request


async def test_a_sender_that_gives_up_its_answer_closes_the_lane() -> None:
    """Sent and never answered: busy until closed, then OutcomeUnknown for whoever still asks."""
    async with lane_to(echo_path) as (lane, _):
        await lane.connect()
        assert lane.send_nowait("POST", "/")
        with pytest.raises(trio.BusyResourceError):
            await lane.call("POST", "/")
        with pytest.raises(trio.BusyResourceError):
            await lane.connect()
        lane.close()
        lane.close()
        with pytest.raises(OutcomeUnknown):
            await lane.answer()
        assert (await lane.call("GET", "/x")).body == b"/v1/x"


async def test_an_answer_nobody_asked_for_is_our_own_mistake() -> None:
    async with lane_to(echo_path) as (lane, _):
        await lane.connect()
        with pytest.raises(AssertionError):
            await lane.answer()


# -- two tasks, cancellation, closing -----------------------------------------------------------------------------


async def test_two_tasks_at_once_is_an_error_not_a_queue() -> None:
    """The second is told so at once, and the first does not notice."""
    release = trio.Event()

    async def slow(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await release.wait()
        await stream.send_all(answer_bytes(200, b"first"))

    async with lane_to(slow) as (lane, _):
        async with trio.open_nursery() as nursery:

            async def first() -> None:
                assert (await lane.call("GET", "/1")).body == b"first"

            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            for second in (lane.call("GET", "/2"), lane.connect(), lane.answer()):
                with pytest.raises(trio.BusyResourceError):
                    await second
            assert not lane.send_nowait("GET", "/2")
            release.set()


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_cancelled_at_every_step_nobody_reads_the_rest_of_it(warm: bool) -> None:
    """Cancel call() at each of its steps: afterwards the lane is closed, or idle and at the start of a new answer."""
    step = 0
    states = set()
    while True:
        async with lane_to(echo_path, takes=20) as (lane, exchange):
            if warm:
                await lane.connect()
            cancelled = await cancelled_at_wait(step, lambda: lane.call("POST", "/first", b"x" * 200))
            if cancelled:
                states.add(lane.state)
                sent = sum(len(connection.sent) for connection in exchange.connections)
                assert lane.state in (LaneState.CLOSED, LaneState.IDLE)
                assert exchange.open_connections == (lane.state is LaneState.IDLE)
                assert lane.state is LaneState.CLOSED or sent == 0
            assert (await lane.call("POST", "/second")).body == b"/v1/second"
            assert exchange.open_connections == 1
        if not cancelled:
            break
        step += 1
    assert step > 10
    assert LaneState.CLOSED in states


async def test_a_task_cancelled_already_sends_nothing() -> None:
    """A quoter cancelled by the trip must not get one more ladder out, nor cost the warm connection."""
    async with lane_to(echo_path) as (lane, exchange):
        await lane.connect()
        with trio.CancelScope() as scope:
            scope.cancel()
            await lane.call("POST", "/perps/quotes/bulk", b"{}")
        assert exchange.connections[0].sent == b""
        assert lane.ready


async def test_close_while_waiting_for_the_answer() -> None:
    async def silent(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await trio.sleep_forever()

    async with lane_to(silent) as (lane, _):
        async with trio.open_nursery() as nursery:

            async def caller() -> None:
                with pytest.raises(OutcomeUnknown):
                    await lane.call("POST", "/")

            nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            lane.close()
        assert lane.state is LaneState.CLOSED


async def test_close_while_connecting_sends_nothing() -> None:
    """What the dial then brings is closed, and nothing is sent on it."""
    connection = MemoryConnection()
    release = trio.Event()

    async def dial() -> Connection:
        await release.wait()
        return connection

    lane = Lane("test", dial, "ocx.test", {})
    async with trio.open_nursery() as nursery:

        async def caller() -> None:
            with pytest.raises(NotSent):
                await lane.call("POST", "/")

        nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        lane.close()
        release.set()
    assert connection.closed
    assert connection.sent == b""
    assert lane.state is LaneState.CLOSED


async def test_close_in_the_instant_of_the_answer() -> None:
    """The answer counts; the lane stays closed."""
    async with lane_to(echo_path) as (lane, exchange):
        await lane.connect()
        assert lane.send_nowait("GET", "/x")
        await trio.testing.wait_all_tasks_blocked()  # the answer has arrived
        connection = exchange.connections[0]
        whole, received = connection.receive_some, b""

        async def receive_and_close() -> bytes:
            nonlocal received
            received = await whole()
            lane.close()
            return received

        connection.receive_some = receive_and_close  # type: ignore[method-assign]
        assert (await lane.answer()).body == b"/v1/x"
        assert lane.state is LaneState.CLOSED


# -- what never shows, and what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "echo",
    [
        b"HTTP/1.1 200 OK\r\n%s: oops : \x00\r\n\r\n",
        b"%s",
        b"HTTP/1.1 %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
    ],
)
async def test_the_key_never_shows(echo: bytes) -> None:
    """S18: not in a repr, not in an error, not even when the exchange sends our own request back."""

    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(echo % KEY.encode())

    async with lane_to(script) as (lane, exchange):
        await lane.connect()
        assert KEY not in repr(lane) + str(lane) + repr(exchange.connections[0]) + repr(lane.statistics())
        with pytest.raises(OutcomeUnknown) as caught:
            await lane.call("POST", "/", b"{}")
        assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_an_answer_does_not_show_its_text() -> None:
    async with lane_to(answering(answer_bytes(200, b'{"secret":"ocx_sk_new"}', "Set-Cookie: jwt"))) as (lane, _):
        answer = await lane.call("GET", "/")
        assert repr(answer) == "Answer(status=200, body=<23 bytes>)"


@pytest.mark.parametrize("value", [KEY + "\n", KEY + "\r\nx: y", " " + KEY, "", "ké", "a\x00"])
def test_a_header_that_would_break_the_head_is_refused_unseen(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Lane("test", MemoryExchange.dial, "ocx.test", {"x-api-key": value})  # type: ignore[arg-type]
    assert KEY not in str(caught.value)
    assert "x-api-key" in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "a"), ("GET", "/a b"), ("GET", "/a\r\nx: y"), ("GET", "/é"), ("HEAD", "/"), ("get", "/"), ("GET /x", "/")],
)
async def test_what_is_no_request_is_not_sent(method: str, path: str) -> None:
    """An id from outside may be part of a path: it must not become a header, nor stop the program."""
    async with lane_to(echo_path) as (lane, exchange):
        await lane.connect()
        lane.base_path = ""
        with pytest.raises(NotSent):
            await lane.call(method, path)
        with pytest.raises(NotSent):
            lane.send_nowait(method, path)
        assert exchange.connections[0].sent == b""
        assert lane.ready


async def test_a_request_too_large_is_not_sent() -> None:
    async with lane_to(echo_path) as (lane, _):
        with pytest.raises(NotSent):
            await lane.call("POST", "/", b"x" * 300_000)


async def test_statistics_say_when_the_last_answer_came(autojump_clock: trio.testing.MockClock) -> None:
    async with lane_to(echo_path) as (lane, _):
        assert lane.statistics().last_answer_at is None
        await trio.sleep(5)
        await lane.call("GET", "/")
        assert lane.statistics().last_answer_at == trio.current_time()
