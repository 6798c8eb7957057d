"""An exchange at the other end of a wire: scripted, in memory or on a loopback socket; and counting descriptors."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs
import trio
import trio.testing

REQUEST_BYTES_MAX = 1024 * 1024
SETTLE_SECONDS_MAX = 5.0  # real time the kernel and the other tasks may need; reached only by a failing test


class MemoryConnection:
    """A `Connection` whose other end is `server`, a Trio stream."""

    def __init__(self, takes: int | None = None) -> None:
        self.takes = takes  # bytes one send_nowait hands over; None: all
        self.rest = b""
        self.sent = bytearray()
        self.closed = False
        self.arrived = bytearray()
        self.ended = False
        self.broken: OSError | None = None
        self.stirred = trio.Event()
        self.to_server = trio.testing.MemoryReceiveStream()
        self.server = ServerEnd(self)

    def stir(self) -> None:
        self.stirred.set()
        self.stirred = trio.Event()

    def send_nowait(self, data: bytes) -> int:
        if self.closed or self.broken or self.takes == 0:
            return 0
        taken = len(data) if self.takes is None else min(len(data), self.takes)
        self.hand_over(data[:taken])
        self.rest = data[taken:]
        return taken

    def hand_over(self, data: bytes) -> None:
        self.sent += data
        with contextlib.suppress(trio.ClosedResourceError):
            self.to_server.put_data(data)

    async def send_rest(self) -> None:
        while self.rest:
            await trio.lowlevel.checkpoint()
            if self.closed:
                raise trio.ClosedResourceError
            if self.broken:
                raise self.broken
            taken = len(self.rest) if self.takes is None else self.takes
            self.hand_over(self.rest[:taken])
            self.rest = self.rest[taken:]

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            if self.arrived:
                received = bytes(self.arrived)
                self.arrived.clear()
                return received
            if self.broken:
                raise self.broken
            if self.ended:
                return b""
            await self.stirred.wait()

    def peer_closed(self) -> bool:
        return bool(self.arrived) or self.ended or self.broken is not None

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.stir()
            self.to_server.put_eof()


class ServerEnd(trio.abc.Stream):
    """The exchange's end of a `MemoryConnection`."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.connection.closed:
            raise trio.BrokenResourceError
        self.connection.arrived += data
        self.connection.stir()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.connection.to_server.receive_some(max_bytes))

    async def aclose(self) -> None:
        self.connection.ended = True
        self.connection.stir()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        self.connection.broken = ConnectionResetError(104, "Connection reset by peer")
        self.connection.stir()


Script = Callable[[trio.abc.Stream], Awaitable[None]]


class MemoryExchange:
    """Dials itself: each connection plays the next script (the last one for ever after); an error refuses."""

    def __init__(self, nursery: trio.Nursery, *scripts: Script | Exception, takes: int | None = None) -> None:
        self.nursery = nursery
        self.scripts = list(scripts)
        self.takes = takes
        self.connections: list[MemoryConnection] = []

    async def dial(self) -> MemoryConnection:
        await trio.lowlevel.checkpoint()
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, Exception):
            raise script
        connection = MemoryConnection(self.takes)
        self.connections.append(connection)
        self.nursery.start_soon(play, script, connection.server)
        return connection

    @property
    def open_connections(self) -> int:
        return sum(not connection.closed for connection in self.connections)


async def play(script: Script, stream: trio.abc.Stream) -> None:
    """Play a script; a client that goes away ends it quietly."""
    async with stream:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            await script(stream)


@attrs.define
class LoopbackExchange:
    port: int
    accepted: int = 0
    open_connections: int = 0


@contextlib.asynccontextmanager
async def loopback(script: Script) -> AsyncIterator[LoopbackExchange]:
    """Play a script to each connection on a port of 127.0.0.1."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        exchange = LoopbackExchange(listeners[0].socket.getsockname()[1])

        async def one(stream: trio.SocketStream) -> None:
            exchange.accepted += 1
            exchange.open_connections += 1
            try:
                await play(script, stream)
            finally:
                exchange.open_connections -= 1

        nursery.start_soon(trio.serve_listeners, one, listeners)
        yield exchange
        nursery.cancel_scope.cancel()


async def read_request(stream: trio.abc.Stream) -> bytes:
    """Return one whole request, head and body; raise `EOFError` when the client is done."""
    request = b""
    while b"\r\n\r\n" not in request:
        received = await stream.receive_some(65536)
        if not received:
            raise EOFError
        request += bytes(received)
    head, _, _ = request.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    assert length <= REQUEST_BYTES_MAX
    while len(request) < len(head) + 4 + length:
        received = await stream.receive_some(65536)
        if not received:
            raise EOFError
        request += bytes(received)
    return request


def answer_bytes(status: int = 200, body: bytes = b"{}", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def answering(*answers: bytes) -> Script:
    """Answer each request with the next of `answers`, then end the connection."""

    async def script(stream: trio.abc.Stream) -> None:
        for answer in answers:
            await read_request(stream)
            await stream.send_all(answer)

    return script


async def echo_path(stream: trio.abc.Stream) -> None:
    """Answer every request with its own path as the body."""
    while True:
        request = await read_request(stream)
        await stream.send_all(answer_bytes(200, request.split(b" ", 2)[1]))


class CancelAtWait(trio.abc.Instrument):
    """Cancel `scope` while `task` waits in its n-th await from now."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, wait: int) -> None:
        self.task, self.scope, self.left = task, scope, wait

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def cancelled_at_wait(wait: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Do `work`, cancelled in its n-th await (0: before it starts); return False if it ended before that."""
    with trio.CancelScope() as scope:
        instrument = CancelAtWait(trio.lowlevel.current_task(), scope, wait)
        trio.lowlevel.add_instrument(instrument)
        try:
            if wait == 0:
                scope.cancel()
            await work()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.asynccontextmanager
async def same_descriptors() -> AsyncIterator[None]:
    """No descriptor more afterwards, once the other ends have noticed, and without the collector's help."""
    gc.collect()
    gc.disable()
    try:
        before = descriptors()
        yield
        with trio.move_on_after(SETTLE_SECONDS_MAX):
            while descriptors() != before:
                await trio.lowlevel.checkpoint()
        assert descriptors() == before
    finally:
        gc.enable()
