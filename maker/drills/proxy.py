"""A TCP proxy between the maker and whatever it speaks to: passes, cuts (RST), holds silent without an end, or lies.

Where the exchange speaks TLS the proxy does too, on either side, so that it can tell requests apart: it shows the
exchange's own certificate to the maker.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final

import attrs
import trio

CHUNK_BYTES: Final = 64 * 1024
CHUNK_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,8}")  # of HTTP's chunked bodies
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s; close() then sends RST

Chooser = Callable[[bytes], bool]
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
SWALLOW: Final = b"\0"  # instead of an answer: the request passes on, its answer does not come back


def everything(_opening: bytes) -> bool:
    """Choose every connection."""
    return True


def event_streams(opening: bytes) -> bool:
    """Choose connections whose first request asks for an event stream."""
    return opening.startswith((b"GET /perps/stream/", b"GET /perps/book-stream"))


def whole_chunks(piece: bytes) -> bool:
    """Whether a piece is nothing but whole chunks of a body, so that losing it loses events and breaks no framing."""
    while piece:
        size, end, rest = piece.partition(b"\r\n")
        if not end or not CHUNK_SIZE.fullmatch(size) or rest[(length := int(size, 16)) : length + 2] != b"\r\n":
            return False
        piece = rest[length + 2 :]
    return True


@attrs.define(eq=False)
class Link:
    """One connection through the proxy."""

    client: Stream
    scope: trio.CancelScope
    sending: trio.Lock = attrs.field(factory=trio.Lock)  # a lie must not cut into an answer on its way
    server: Stream | None = None
    opening: bytes = b""  # the first bytes the client sent
    swallows: bool = False
    opened_at: float = attrs.field(factory=trio.current_time)


@attrs.define(eq=False)
class Proxy:
    """`port` is where it listens. A client of ours sends each request in one piece, so a piece is a request."""

    target_port: int
    port: int = 0
    is_cut: bool = False
    chosen: Chooser | None = None  # connections held silent; None: all pass
    lie: Callable[[bytes], bytes | None] | None = None  # a request's answer instead of the server's; None: passes on
    lies_told: int = 0
    delay_seconds: Callable[[bytes], float] = lambda _request: 0.0  # how long a request is on its way
    loses: Callable[[Link, bytes], bool] = lambda _link, _piece: False  # whether a piece to the maker is lost
    shown: ssl.SSLContext | None = None  # to the maker; None: plain
    trusting: ssl.SSLContext | None = None  # of the server; None: plain
    released: trio.Event = attrs.field(factory=trio.Event)
    links: set[Link] = attrs.field(factory=set)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once `port` is known."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()  # it listens already: connections wait in the kernel until served
        await trio.serve_listeners(self.serve, listeners)

    def cut(self) -> None:
        """Reset every connection, and each new one, until `mend`."""
        self.is_cut = True
        for link in list(self.links):
            link.scope.cancel(reason="the proxy cuts its links")

    def mend(self) -> None:
        """Pass again."""
        self.is_cut = False

    def hold(self, chosen: Chooser) -> None:
        """Pass no more bytes, either way and without any end, on the chosen connections, new ones included."""
        self.chosen = chosen

    def release(self) -> None:
        """Pass on what was held, and everything else."""
        self.chosen = None
        released, self.released = self.released, trio.Event()
        released.set()

    async def serve(self, raw: trio.SocketStream) -> None:
        """Carry one connection to its end. The top of one connection: its errors end it."""
        with trio.CancelScope() as scope:
            client = (
                raw if self.shown is None else trio.SSLStream(raw, self.shown, server_side=True, https_compatible=True)
            )
            link = Link(client, scope)
            self.links.add(link)
            try:
                await self.carry(link)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self.links.discard(link)
                for stream in (link.client, link.server):
                    if stream is not None:
                        reset(stream)

    async def carry(self, link: Link) -> None:
        if self.is_cut:
            return
        link.opening = bytes(await link.client.receive_some(CHUNK_BYTES))
        await self.wait_passing(link)
        raw = await trio.open_tcp_stream("127.0.0.1", self.target_port)
        link.server = (
            raw
            if self.trusting is None
            else trio.SSLStream(raw, self.trusting, server_hostname="127.0.0.1", https_compatible=True)
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.upwards, link, link.server, nursery.cancel_scope)
            nursery.start_soon(self.downwards, link, link.server, nursery.cancel_scope)

    async def upwards(self, link: Link, server: Stream, over: trio.CancelScope) -> None:
        """From the maker."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            data = link.opening
            while data:
                await self.wait_passing(link)
                lie = self.lie(data) if self.lie is not None else None
                if lie is not None:
                    self.lies_told += 1
                link.swallows = lie == SWALLOW
                if lie is None or link.swallows:
                    await trio.sleep(self.delay_seconds(data))
                    await server.send_all(data)
                else:
                    async with link.sending:
                        await link.client.send_all(lie)
                data = bytes(await link.client.receive_some(CHUNK_BYTES))
        over.cancel(reason="the maker ended the connection")

    async def downwards(self, link: Link, server: Stream, over: trio.CancelScope) -> None:
        """To the maker."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := bytes(await server.receive_some(CHUNK_BYTES)):
                await self.wait_passing(link)
                if not link.swallows and not self.loses(link, data):
                    async with link.sending:
                        await link.client.send_all(data)
        over.cancel(reason="the other side ended the connection")

    async def wait_passing(self, link: Link) -> None:
        while self.chosen is not None and self.chosen(link.opening):
            await self.released.wait()


def reset(stream: Stream) -> None:
    """Close at once and tell the peer by RST."""
    raw = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    raw.socket.close()


def answer(status: int, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    """An HTTP answer as bytes."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def lying(to: bytes, *lies: bytes) -> Callable[[bytes], bytes | None]:
    """Answer the next requests that begin so with these lies, one after the other; then pass."""
    left = list(lies)

    def lie(request: bytes) -> bytes | None:
        return left.pop(0) if left and request.startswith(to) else None

    return lie
