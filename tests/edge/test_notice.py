"""The door for notices: one request, one answer's head, bounded; and nothing of the address in any error."""

from __future__ import annotations

import contextlib
import ssl
import traceback
from collections.abc import AsyncIterator

import pytest
import trio

from maker.edge import notice as notice_room
from maker.edge.lane import NotSent
from maker.edge.notice import REPLY_SECONDS_MAX, Post, Reply, address
from maker.errors import ConfigError, OutcomeUnknown
from tests.support.wires import (
    MemoryExchange,
    Script,
    answer_bytes,
    answering,
    cancelled_at_wait,
    loopback,
    read_request,
)

SECRET = "T0CANARY/B0/x-canary-secret"
HOST = "canary-host.example"
URL = f"https://{HOST}/services/{SECRET}?key=canary-key"
NOW = 1_800_000_000.0


@contextlib.asynccontextmanager
async def post_to(*scripts: Script | Exception, **headers: str) -> AsyncIterator[tuple[Post, MemoryExchange]]:
    async with trio.open_nursery() as nursery:
        target = MemoryExchange(nursery, *scripts)
        yield Post(address(URL), None, headers, dial=target.dial), target
        nursery.cancel_scope.cancel()
        assert target.open_connections == 0


def saying(data: bytes) -> Script:
    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(data)

    return script


async def test_a_notice_is_one_request_with_nothing_added() -> None:
    async with post_to(answering(answer_bytes(200, b"ok")), authorization="Bearer t") as (post, target):
        assert await post.send(b'{"a":1}', NOW) == Reply(200, None)
        head, _, body = bytes(target.connections[0].sent).partition(b"\r\n\r\n")
        assert body == b'{"a":1}'
        assert head.split(b"\r\n") == [
            f"POST /services/{SECRET}?key=canary-key HTTP/1.1".encode(),
            f"host: {HOST}".encode(),
            b"user-agent: maker",
            b"content-type: application/json",
            b"content-length: 7",
            b"accept-encoding: identity",
            b"connection: close",
            b"authorization: Bearer t",
        ]


async def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    moved = answer_bytes(307, b"", "Location: http://evil.test/", "Set-Cookie: a=b")
    async with post_to(answering(moved, moved)) as (post, target):
        for _ in range(2):
            assert not (await post.send(b"{}", NOW)).is_taken
        assert len(target.connections) == 2  # each notice has its own
        assert b"cookie" not in bytes(target.connections[1].sent).lower()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",  # no length: to the end of the connection
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_it_is_delivered_when_the_status_says_so(answer: bytes) -> None:
    """Whatever becomes of the body: sending it again would say it twice."""
    async with post_to(saying(answer)) as (post, _):
        assert (await post.send(b"{}", NOW)).is_taken


@pytest.mark.parametrize(
    ("head", "body", "seconds"),
    [
        ("Retry-After: 7", b"", 7.0),
        ("Retry-After: 0.5", b"", 0.5),
        ("Retry-After: Fri, 15 Jan 2027 08:00:30 GMT", b"", 30.0),
        ("X: y", b'{"message":"slow","retry_after":1.25,"global":false}', 1.25),
        ("X: y", b'{"ok":false,"error_code":429,"parameters":{"retry_after":9}}', 9.0),
        ("Retry-After: 3", b'{"retry_after": 5}', 5.0),
        ("Retry-After: -3", b'{"retry_after": true}', None),
        ("Retry-After: soon", b'[{"retry_after": 5}]', None),
        ("X: y", b'{"retry_after": 1e400}', None),
        ("X: y", b'{"retry_after": 1' + b"0" * 400 + b"}", None),
        ("X: y", b"[" * 10_000, None),
        ("X: y", b'{"retry_after": 9e9}', notice_room.WAIT_SECONDS_MAX),
    ],
)
async def test_how_long_to_wait_is_read_in_every_form(head: str, body: bytes, seconds: float | None) -> None:
    async with post_to(saying(answer_bytes(429, body, head))) as (post, _):
        assert await post.send(b"{}", NOW) == Reply(429, seconds)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"\x16\x03\x01 " + SECRET.encode(),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_an_outcome_unknown(answer: bytes) -> None:
    async with post_to(saying(answer)) as (post, _):
        with pytest.raises(OutcomeUnknown) as caught:
            await post.send(b"{}", NOW)
        assert "canary" not in "".join(traceback.format_exception(caught.value)).replace("canary_", "")


async def test_a_refusals_body_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    """One that drips counts by its head; so does one that is long."""

    async def drip(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 429 Slow\r\nRetry-After: 4\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.5)

    long = answer_bytes(400, b"x" * 100_000)
    async with post_to(drip, saying(long)) as (post, _):
        began = trio.current_time()
        assert await post.send(b"{}", NOW) == Reply(429, 4.0)
        assert trio.current_time() - began <= REPLY_SECONDS_MAX
        assert await post.send(b"{}", NOW) == Reply(400, None)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ConnectionRefusedError(111, f"Connection refused by {HOST}"), "the connection was refused"),
        (NotSent(f"no address for {HOST}: nope"), "its name has no address"),
        (ssl.SSLCertVerificationError(1, f"CERTIFICATE_VERIFY_FAILED for {HOST}"), "its certificate is not accepted"),
        (OSError(113, f"whatever {SECRET}"), "no connection"),
    ],
)
async def test_no_error_shows_where_it_goes(failure: Exception, said: str) -> None:
    """Not in words, not in its context, not in a repr: the host may be as secret as the path."""
    async with post_to(failure) as (post, _):
        with pytest.raises(NotSent) as caught:
            await post.send(b"{}", NOW)
        assert str(caught.value) == f"cannot connect: {said}"
        assert caught.value.__context__ is None
        assert "canary" not in repr(post) + repr(post.where) + repr(caught.value)


async def test_a_connection_that_takes_nothing_or_breaks(autojump_clock: trio.testing.MockClock) -> None:
    async def broken(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        stream.reset()  # type: ignore[attr-defined]

    async with post_to(broken) as (post, _):
        with pytest.raises(OutcomeUnknown, match="the connection was lost before the answer"):
            await post.send(b"{}", NOW)


async def test_cancelled_at_any_await_it_leaves_nothing_open() -> None:
    wait = 0
    while True:
        async with post_to(answering(answer_bytes(200))) as (post, target):
            cancelled = await cancelled_at_wait(wait, lambda: post.send(b"{}", NOW))
            assert target.open_connections == 0
        if not cancelled:
            break
        wait += 1
    assert wait > 2


async def test_over_a_real_socket() -> None:
    async with loopback(answering(answer_bytes(200))) as target:
        post = Post(address(f"http://127.0.0.1:{target.port}/hook"), None)
        with trio.fail_after(10):
            assert (await post.send(b"{}", NOW)).is_taken


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example/x",
        "http://canary-host.example/x",
        "ftp://canary-host.example/x",
        "https://user:canary@host.example/x",
        "https://host.example/x#canary",
        "https://host.example/canary x",
        "https://host.example/canary\r\nX: y",
        "https://host.example:99999/canary",
        "https://[canary/x",
        "https://host.example/" + "canary" * 1_000,
    ],
)
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        address(url)
    assert "canary" not in "".join(traceback.format_exception(caught.value)).replace("test_what", "")
    assert caught.value.__context__ is None


def test_plain_text_stays_on_this_machine() -> None:
    assert address("http://127.0.0.1:8080/x").target == "/x"
    assert address("https://host.example").target == "/"


def test_a_token_is_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        Post(address(URL), None, {"authorization": "Bearer canary\r\nX: y"})
    assert "canary" not in str(caught.value)
