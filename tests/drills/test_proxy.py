"""The proxy's own tricks: what is lost is whole, what is delayed arrives."""

from __future__ import annotations

import pytest
import trio

from maker.drills.proxy import Link, Proxy, whole_chunks


@pytest.mark.parametrize(
    ("piece", "whole"),
    [
        (b"5\r\nhello\r\n", True),
        (b"5\r\nhello\r\n1\r\n.\r\n", True),
        (b"A\r\n0123456789\r\n", True),
        (b"5\r\nhel", False),
        (b"hello\r\n", False),
        (b"5\r\nhello\r\n1\r\n.", False),
        (b"HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n", False),
        (b"-5\r\nhello\r\n", False),
    ],
)
def test_whole_chunks(piece: bytes, whole: bool) -> None:
    assert whole_chunks(piece) is whole


async def test_a_delayed_request_lets_others_pass_and_arrives() -> None:
    """One connection's request is on its way while another's is answered; a lost piece is gone, the next comes."""

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        proxy = Proxy(listeners[0].socket.getsockname()[1])
        await nursery.start(proxy.run)
        late = trio.Event()
        proxy.delay_seconds = lambda request: 0.2 if request == b"late" else 0.0
        slow, quick = [await trio.open_tcp_stream("127.0.0.1", proxy.port) for _ in range(2)]
        await slow.send_all(b"late")

        async def wait_late() -> None:
            assert await slow.receive_some() == b"late"
            late.set()

        nursery.start_soon(wait_late)
        await quick.send_all(b"quick")
        assert await quick.receive_some() == b"quick"
        assert not late.is_set()
        with trio.fail_after(5.0):
            await late.wait()
        lost: list[Link] = []

        def loses(link: Link, piece: bytes) -> bool:
            if piece == b"lost":
                lost.append(link)
            return piece == b"lost"

        proxy.loses = loses
        await quick.send_all(b"lost")
        with trio.fail_after(5.0):
            while not lost:
                await trio.sleep(0.01)
        await quick.send_all(b"kept")
        assert await quick.receive_some() == b"kept"
        for stream in (slow, quick):
            await stream.aclose()
        nursery.cancel_scope.cancel()
