"""Connections in memory, with the time bytes take: what the maker's lanes, reads and feeds hold instead of sockets.

A connection is two pipes. What is put into a pipe arrives later, in order, and goes on arriving after the sender has
closed its end, as it does in a kernel: a ladder whose lane was closed may still land. A reset throws away what is on
its way. Readers are woken once, by the arrival, so a quiet connection costs nothing.

`mark` notes what it means that the reader has read so far; nobody but the oracle looks at it.
"""

from __future__ import annotations

import errno
import math
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from maker.storms.virtual import Alarm

RECEIVE_BYTES_MAX: Final = 16 * 1024  # one read, as the maker's real connections do it


@attrs.define(eq=False)
class Parcel:
    """Bytes on their way; b"": the end."""

    arrives_at: float
    data: bytes


@attrs.define(eq=False)
class Pipe:
    """One direction of a connection."""

    on_dropped: Callable[[], None] = lambda: None  # what was on its way will never arrive
    parcels: deque[Parcel] = attrs.field(factory=deque)
    last_at: float = 0.0  # arrival of the last parcel: order is kept
    put_bytes: int = 0
    taken_bytes: int = 0
    marks: deque[tuple[int, Callable[[], None]]] = attrs.field(factory=deque)
    reader: Alarm = attrs.field(factory=Alarm)  # set to the next arrival
    broken: OSError | None = None
    ended: bool = False  # the reader has read the end
    reading_ended: bool = False  # nobody reads here any more
    swallows: bool = False  # half-open: nothing arrives any more, and nobody is told

    def put(self, data: bytes, seconds: float) -> None:
        """Send; it arrives after `seconds`, and not before what was sent earlier."""
        if self.broken is not None or self.reading_ended or self.swallows:
            if data:
                self.on_dropped()
            return
        self.last_at = max(self.last_at, trio.current_time() + seconds)
        self.parcels.append(Parcel(self.last_at, data))
        self.put_bytes += len(data)
        if self.reader.task is not None and len(self.parcels) == 1:
            self.reader.move(self.last_at)

    def mark(self, meaning: Callable[[], None]) -> None:
        """Have `meaning` called once all that was put until now has been read."""
        if self.broken is None and not self.swallows:
            self.marks.append((self.put_bytes, meaning))

    def reset(self) -> None:
        """Break: what is on its way is lost, and the reader is told at once."""
        if self.broken is None:
            self.broken = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self.drop()
            self.wake()

    def drop(self) -> None:
        """Throw away what is on its way."""
        if any(parcel.data for parcel in self.parcels):
            self.on_dropped()
        self.parcels.clear()
        self.marks.clear()

    def swallow(self) -> None:
        """From here on nothing arrives, and neither end is told."""
        self.drop()
        self.swallows = True

    def stop_reading(self) -> None:
        """The reader has closed its end."""
        self.reading_ended = True
        self.drop()
        self.wake()

    def wake(self) -> None:
        self.reader.ring()

    @property
    def arrived(self) -> bool:
        """Whether a read would return, or raise, at once."""
        if self.broken is not None or self.ended:
            return True
        return bool(self.parcels) and self.parcels[0].arrives_at <= trio.current_time()

    async def take(self, bytes_max: int) -> bytes:
        """Return the next bytes, b"" at the end; raise `OSError` when broken."""
        await trio.lowlevel.checkpoint()
        while not self.arrived:
            if self.reading_ended:
                raise trio.ClosedResourceError
            await self.reader.wait(self.parcels[0].arrives_at if self.parcels else math.inf)
        if self.reading_ended:
            raise trio.ClosedResourceError
        return self.take_nowait(bytes_max)

    def take_nowait(self, bytes_max: int) -> bytes:
        if self.broken is not None:
            raise self.broken
        taken = bytearray()
        now = trio.current_time()
        while self.parcels and self.parcels[0].arrives_at <= now and len(taken) < bytes_max:
            parcel = self.parcels[0]
            if not parcel.data:
                if taken:
                    break
                self.ended = True
                self.parcels.clear()
                break
            room = bytes_max - len(taken)
            taken += parcel.data[:room]
            if len(parcel.data) > room:
                parcel.data = parcel.data[room:]
            else:
                self.parcels.popleft()
        self.taken_bytes += len(taken)
        while self.marks and self.marks[0][0] <= self.taken_bytes:
            self.marks.popleft()[1]()
        return bytes(taken)


@attrs.define(eq=False, repr=False)
class Link:
    """One connection, as both ends and the weather between them see it."""

    number: int
    owner: str  # who dialled: record.MAKER or record.GUARD
    port: str  # "http" or "reference"
    latency: Callable[[Link, str, bytes], list[tuple[float, bytes]]]  # "up" or "down": seconds and pieces
    leaving: Callable[[Link, bytes], bool]  # told of each send of the client; False: it takes no byte
    on_heard: Callable[[Link], None] = lambda _link: None  # the client is about to read a byte, or to close
    up: Pipe = attrs.field(factory=Pipe)  # to the server
    down: Pipe = attrs.field(factory=Pipe)  # to the client
    pending: deque[int] = attrs.field(factory=deque)  # requests that left and have not been handled
    market_id: str = ""  # of an event stream
    source: str = ""  # of a reference feed: its name, once its client has asked for it
    heard_at: float | None = None  # the client last read a byte
    sound: bool = False  # an event stream: the snapshot was read, and nothing since that breaks its sequence
    server_gone: bool = False
    client: ClientEnd | None = None
    doom: str = ""  # what a fault will do to it: before, answer, half_close, truncate, corrupt
    target: str = ""  # what its last request was
    partial: bool = False  # an event stream that began with less than the book: what its reader sees is not known
    mumbles: bool = False  # an event stream: what it sends from here on never makes a whole event
    missed: str = ""  # an event stream: what reading its next event will mean

    def send_up(self, data: bytes) -> None:
        for seconds, piece in self.latency(self, "up", data):
            self.up.put(piece, seconds)

    def send_down(self, data: bytes) -> None:
        for seconds, piece in self.latency(self, "down", data):
            self.down.put(piece, seconds)

    def reset(self) -> None:
        """Both directions break at once; what is on its way is lost."""
        self.up.reset()
        self.down.reset()

    def swallow(self) -> None:
        """Half-open: the peer is gone and nobody says so."""
        self.up.swallow()
        self.down.swallow()


@attrs.define(eq=False, repr=False)
class ClientEnd:
    """The dialler's end: a `maker.edge.lane.Connection`."""

    link: Link
    closed: bool = False
    is_ghost: bool = False  # its process is dead: whatever still runs of it reaches nobody

    def send_nowait(self, data: bytes) -> int:
        if self.closed or self.is_ghost or self.link.down.broken or not self.link.leaving(self.link, data):
            return 0
        self.link.send_up(data)
        return len(data)

    async def send_rest(self) -> None:
        """Everything is taken at once."""
        await trio.lowlevel.checkpoint()
        if self.closed:
            raise trio.ClosedResourceError
        if self.link.down.broken:
            raise self.link.down.broken

    async def receive_some(self) -> bytes:
        if self.closed:
            raise trio.ClosedResourceError
        data = await self.link.down.take(RECEIVE_BYTES_MAX)
        if data:
            self.link.on_heard(self.link)
            self.link.heard_at = trio.current_time()
        return data

    def peer_closed(self) -> bool:
        return self.link.down.arrived

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.link.on_heard(self.link)
            self.link.up.put(b"", 0.0)
            self.link.down.stop_reading()

    def die(self) -> None:
        """The process is gone: the kernel sends what it has taken and says goodbye; nobody reads here any more."""
        self.close()
        self.is_ghost = True


class ClientStream(trio.abc.Stream):
    """The dialler's end as a Trio stream, for trio-websocket."""

    def __init__(self, end: ClientEnd) -> None:
        self.end = end

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.end.closed:
            raise trio.ClosedResourceError
        if data and not self.end.send_nowait(bytes(data)):
            raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self.end.receive_some()
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        self.end.close()
        await trio.lowlevel.checkpoint()


class ServerEnd(trio.abc.HalfCloseableStream):
    """The exchange's end."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.link.server_gone:
            raise trio.ClosedResourceError
        if self.link.up.broken or (self.link.up.ended and self.link.down.reading_ended):
            raise trio.BrokenResourceError
        self.link.send_down(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self.link.up.take(max_bytes or RECEIVE_BYTES_MAX)
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self.link.down.put(b"", 0.0)

    async def aclose(self) -> None:
        if not self.link.server_gone:
            self.link.server_gone = True
            self.link.down.put(b"", 0.0)
            self.link.up.stop_reading()
        await trio.lowlevel.checkpoint()
