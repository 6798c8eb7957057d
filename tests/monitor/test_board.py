"""The latest view for every page: at once, the newest only, signs of life, a bound on pages, and slow readers dropped.

Over in-memory streams through the real HTTP server, in virtual time.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import trio
import trio.testing

from maker.edge.http_messages import Answer, Limits, Request, Response
from maker.edge.http_server import serve_connection
from maker.monitor.board import CROWDED_SECONDS, HEARTBEAT_SECONDS, Board

Clock = trio.testing.MockClock
GET = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
WRITE_SECONDS_MAX = 5.0


class Reader:
    """A page: what it has received and not read yet."""

    def __init__(self, stream: trio.StapledStream) -> None:  # type: ignore[type-arg]
        self.stream, self.text = stream, b""

    async def event(self) -> bytes:
        """The next event or comment, without its end."""
        while b"\n\n" not in self.text:
            piece = bytes(await self.stream.receive_some(1 << 16))
            assert piece, "the stream ended"
            self.text += piece
        one, _, self.text = self.text.partition(b"\n\n")
        return one.rpartition(b"\r\n")[2]  # without the frame that carries it


@contextlib.asynccontextmanager
async def open_pages(board: Board, count: int, *, lockstep: bool = False) -> AsyncIterator[list[Reader]]:
    """So many pages, each past the answer's head."""
    pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair

    async def handle(_request: Request) -> Answer:
        return board.open()

    async with trio.open_nursery() as nursery:
        readers = []
        for _ in range(count):
            client, server = pair()
            limits = Limits(write_seconds_max=WRITE_SECONDS_MAX)
            nursery.start_soon(serve, server, handle, limits)
            await client.send_all(GET)
            readers.append(Reader(client))
            if not lockstep:
                assert await readers[-1].event() == b"retry: 2000"
        yield readers
        nursery.cancel_scope.cancel(reason="the test is over")


async def serve(stream: trio.abc.Stream, handle, limits: Limits) -> None:  # type: ignore[no-untyped-def]
    await serve_connection(stream, handle, report=lambda *_found: None, limits=limits)


async def test_a_page_gets_what_is_shown_and_what_follows(autojump_clock: Clock) -> None:
    board = Board(8)
    board.post(b'{"n":1}')
    async with open_pages(board, 1) as (page,):
        assert await page.event() == b'event: view\ndata: {"n":1}'
        board.post(b'{"n":2}')
        assert await page.event() == b'event: view\ndata: {"n":2}'


async def test_only_the_latest_is_sent(autojump_clock: Clock) -> None:
    """Views that were posted while nobody ran are one: the last."""
    board = Board(8)
    async with open_pages(board, 2) as pages:
        for number in range(100):
            board.post(b'{"n":%d}' % number)
        for page in pages:
            assert await page.event() == b'event: view\ndata: {"n":99}'


async def test_a_quiet_stream_shows_signs_of_life(autojump_clock: Clock) -> None:
    board = Board(8)
    async with open_pages(board, 1) as (page,):
        began = trio.current_time()
        assert await page.event() == b": heartbeat"
        assert trio.current_time() - began == HEARTBEAT_SECONDS


async def test_one_page_too_many_is_told_so_and_a_place_is_free_again(autojump_clock: Clock) -> None:
    """503 with the time after which to ask again; who leaves makes room."""
    board = Board(2)
    async with open_pages(board, 2) as (first, _second):
        refused = board.open()
        assert isinstance(refused, Response)
        assert refused.status == 503
        assert ("Retry-After", str(CROWDED_SECONDS)) in refused.headers
        assert (board.clients, board.refused) == (2, 1)
        await first.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert board.clients == 1
    assert board.clients == 0


async def test_a_page_that_does_not_read_is_dropped_and_holds_nobody_up(autojump_clock: Clock) -> None:
    """It takes nothing: after the server's deadline its place is free, while another page got every view in time."""
    board = Board(8)
    async with open_pages(board, 1, lockstep=True), open_pages(board, 1) as (other,):
        assert board.clients == 2
        for number in range(10):
            board.post(b'{"n":%d}' % number)
            assert await other.event() == b'event: view\ndata: {"n":%d}' % number
            await trio.sleep(1.0)
        assert board.clients == 1, "the one that does not read is gone"


async def test_the_last_view_is_waited_for_until_each_page_has_it(autojump_clock: Clock) -> None:
    """One that reads gets it; one that does not is waited for until it is dropped, or until the caller has enough."""
    board = Board(8)
    async with open_pages(board, 1) as (page,):
        board.post(b'{"n":1}')
        await board.wait_sent()
        assert await page.event() == b'event: view\ndata: {"n":1}'
        async with open_pages(board, 1, lockstep=True) as (slow,):
            assert await slow.event() == b"retry: 2000"
            board.post(b'{"n":2}')
            with trio.move_on_after(0.3) as patience:
                await board.wait_sent()
            assert patience.cancelled_caught
            assert await page.event() == b'event: view\ndata: {"n":2}'
            await board.wait_sent()
            assert trio.current_time() >= WRITE_SECONDS_MAX
    assert board.sent == {}
