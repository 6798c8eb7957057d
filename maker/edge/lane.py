"""The order path: one warm keep-alive HTTP/1.1 connection, one request at a time, no pool, no queue, no timeout.

    lane = Lane("quoting", endpoint.dial, endpoint.host_header, headers, base_path=endpoint.base_path)

`endpoint` comes from `maker.edge.endpoint.resolve`, once and ahead; anything else that can dial a `Connection` will do.
Deadlines are the caller's and total: `with trio.move_on_after(seconds): await lane.call(...)`.

What a caller may believe afterwards, and nothing else:

    Answer           complete, its length stated by the sender; any status
    NotSent          not one byte left: nothing was applied
    OutcomeUnknown   bytes left and no answer can be trusted: applied or not, never retried as it is
    cancelled        as OutcomeUnknown

After the last two of these the connection is closed, unless not a byte had left: nobody ever reads the rest of someone
else's answer. States:

    CLOSED --connect--> CONNECTING --> IDLE --request--> SENT --answer--> IDLE (or CLOSED, if either side said so)
    any state --close(), error, cancellation--> CLOSED

`send_bytes_nowait` is the synchronous door: head and body in one write, without an await, callable from any code that
runs on the loop's thread. It refuses (False) rather than waits; whoever used it calls `answer` later, or `close`. What
must be fresh when it leaves goes through this door: `call` may connect first, and that takes time.
"""

from __future__ import annotations

import contextlib
import enum
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final, Protocol

import attrs
import trio

from maker.edge.answer import Answer, read_answer
from maker.errors import ConfigError, OcxError, OutcomeUnknown

REQUEST_BYTES_MAX: Final = 256 * 1024  # a ladder is some KB; more than the kernel takes in one write would wait

METHOD: Final = re.compile(r"GET|POST|PUT|PATCH|DELETE")  # HEAD frames its answer differently: not spoken here
PATH: Final = re.compile(r"/[!-~]*")
FIELD_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
FIELD_VALUE: Final = re.compile(r"[!-~]([ !-~]*[!-~])?")


class NotSent(OcxError):
    """Not one byte of the request left this machine: nothing was applied."""


class Connection(Protocol):
    """One byte stream to the exchange, with a synchronous way to send. Its repr must not show what was sent.

    `OSError` says that it is broken, `trio.ClosedResourceError` that it was closed under the caller.
    """

    def send_nowait(self, data: bytes) -> int:
        """Hand what fits to the kernel at once and keep the rest; return the bytes handed over, 0 if none. No raise."""

    async def send_rest(self) -> None:
        """Send what `send_nowait` kept, if anything; raise `OSError` or `trio.ClosedResourceError`."""

    async def receive_some(self) -> bytes:
        """Return the next bytes, b"" at an orderly end; raise `OSError` or `trio.ClosedResourceError`."""

    def peer_closed(self) -> bool:
        """Say at once whether the peer of an idle connection has ended it, or spoken out of turn."""

    def close(self) -> None:
        """Close at once; may be repeated."""


def boot_seconds() -> float:
    """Return seconds since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise `ConfigError`, which shows no value, for a header that is not one line of printable ASCII."""
    for name, value in headers.items():
        if not FIELD_NAME.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            problem, fix = "is not one line of printable ASCII.", "Look for a stray space or line end in its value."
            raise ConfigError(f"header {name!r}", problem, fix)


class LaneState(enum.Enum):
    """Where the one connection is; transitions at the top of this file."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    IDLE = "idle"
    SENT = "sent"  # a request is out, its answer not yet whole


@attrs.frozen
class LaneStatistics:
    """A snapshot; counts since the lane was made."""

    state: LaneState
    connects: int
    requests: int  # that left, whole or in part
    answers: int  # that came back whole
    last_answer_at: float | None  # by the lane's clock (seconds of CLOCK_BOOTTIME)


@attrs.define(eq=False, repr=False)
class Lane:
    """One connection's worth of requests. `headers` may hold the key: neither they nor a request is ever shown."""

    name: str
    dial: Callable[[], Awaitable[Connection]]  # raises NotSent; leaves nothing open when it fails or is cancelled
    host_header: str
    headers: Mapping[str, str]
    base_path: str = attrs.field(default="", kw_only=True)  # put before every path
    clock: Callable[[], float] = attrs.field(default=boot_seconds, kw_only=True)
    fixed_head: bytes = attrs.field(init=False)
    connection: Connection | None = attrs.field(init=False, default=None)
    state: LaneState = attrs.field(init=False, default=LaneState.CLOSED)
    occupied: bool = attrs.field(init=False, default=False)  # a task is inside connect, answer or call
    connects: int = attrs.field(init=False, default=0)
    requests: int = attrs.field(init=False, default=0)
    answers: int = attrs.field(init=False, default=0)
    last_answer_at: float | None = attrs.field(init=False, default=None)
    last_request_at: float | None = attrs.field(
        init=False, default=None
    )  # by the lane's clock; even if it was not whole

    def __attrs_post_init__(self) -> None:
        self.use(self.headers)

    def use(self, headers: Mapping[str, str]) -> None:
        """Send these headers from the next `build` on; a connection that is there stays. Raises `ConfigError`."""
        fields = {"host": self.host_header, **headers}
        check_headers(fields)
        self.headers = headers
        self.fixed_head = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("ascii")

    def __repr__(self) -> str:
        return f"<Lane {self.name} {self.state.value}>"

    # -- the synchronous door --------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a request could be sent this instant: connected, nothing outstanding, the peer still there."""
        connection = self.connection
        return self.state is LaneState.IDLE and connection is not None and not connection.peer_closed()

    def build(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return head and body as the bytes to send, key included; raise `NotSent` for what cannot be a request."""
        target = self.base_path + path
        if not METHOD.fullmatch(method) or not PATH.fullmatch(target):
            raise NotSent(f"lane {self.name}: not a method and a path: {method!r} {path!r}")
        head = f"{method} {target} HTTP/1.1\r\n".encode("ascii") + self.fixed_head
        if body:
            head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        else:
            head += b"\r\n" if method == "GET" else b"content-length: 0\r\n\r\n"
        if len(head) + len(body) > REQUEST_BYTES_MAX:
            raise NotSent(f"lane {self.name}: a request of {len(head) + len(body)} bytes is over {REQUEST_BYTES_MAX}")
        return head + body

    def send_nowait(self, method: str, path: str, body: bytes = b"") -> bool:
        """Build and send without waiting; see `send_bytes_nowait`."""
        return self.send_bytes_nowait(self.build(method, path, body))

    def send_bytes_nowait(self, request: bytes) -> bool:
        """Send what `build` made without waiting. False: not a byte left, take another lane. True: call `answer`."""
        connection = self.connection
        if connection is None or self.state is not LaneState.IDLE or connection.peer_closed():
            return False
        return self.put(connection, request)

    # -- the waiting doors -----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect unless a sound connection is there; raise `NotSent`, or `trio.BusyResourceError` while in use."""
        with self.alone():
            await self.ensure_connected()

    async def answer(self) -> Answer:
        """Wait for the answer to what `send_nowait` sent; raise `OutcomeUnknown`, or `trio.BusyResourceError`."""
        with self.alone(sent=True):
            assert self.state is not LaneState.IDLE, "no request is out"
            return await self.take_answer()

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Connect if needed, send in one write, return the answer.

        Raises `NotSent`, `OutcomeUnknown`, and `trio.BusyResourceError` where another request is under way: a lane is
        no queue.
        """
        request = self.build(method, path, body)
        with self.alone():
            connection = await self.ensure_connected()
            # A task that is cancelled already sends nothing; one that is not goes on without letting another run.
            await trio.lowlevel.checkpoint_if_cancelled()
            if not self.put(connection, request):
                raise NotSent(f"lane {self.name}: the connection took no byte")
            return await self.take_answer()

    def close(self) -> None:
        """Close at once; may be repeated. A task waiting for an answer gets `OutcomeUnknown`."""
        connection, self.connection, self.state = self.connection, None, LaneState.CLOSED
        if connection is not None:
            connection.close()

    def statistics(self) -> LaneStatistics:
        """Return counts and state now."""
        return LaneStatistics(
            state=self.state,
            connects=self.connects,
            requests=self.requests,
            answers=self.answers,
            last_answer_at=self.last_answer_at,
        )

    # -- inside ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alone(self, *, sent: bool = False) -> Iterator[None]:
        """Refuse a second task; `sent` says that the caller comes for the answer of a request that is out."""
        if self.occupied or (self.state is LaneState.SENT and not sent):
            raise trio.BusyResourceError(f"lane {self.name}: another request is under way")
        self.occupied = True
        try:
            yield
        finally:
            self.occupied = False

    async def ensure_connected(self) -> Connection:
        if self.connection is not None:
            if not self.connection.peer_closed():
                return self.connection
            self.close()
        self.state = LaneState.CONNECTING
        try:
            connection = await self.dial()
        except OSError as error:
            self.close()
            raise NotSent(f"lane {self.name}: {error}") from error
        except BaseException:
            self.close()
            raise
        if self.state is not LaneState.CONNECTING:  # close() was called meanwhile, and means it
            connection.close()
            raise NotSent(f"lane {self.name}: closed while connecting")
        self.connection, self.state = connection, LaneState.IDLE
        self.connects += 1
        return connection

    def put(self, connection: Connection, request: bytes) -> bool:
        """Send on an idle connection; False, and closed, when the kernel took no byte."""
        self.last_request_at = self.clock()
        if not connection.send_nowait(request):
            self.close()
            return False
        self.state = LaneState.SENT
        self.requests += 1
        return True

    async def take_answer(self) -> Answer:
        connection = self.connection
        if connection is None:
            raise OutcomeUnknown(f"lane {self.name}: closed before the answer")
        try:
            await connection.send_rest()
            answer, reusable = await read_answer(connection.receive_some)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.close()
            raise OutcomeUnknown(f"lane {self.name}: connection lost before the answer: {error}") from error
        except OutcomeUnknown as error:
            self.close()
            raise OutcomeUnknown(f"lane {self.name}: {error}") from None
        except BaseException:
            self.close()
            raise
        self.answers += 1
        self.last_answer_at = self.clock()
        if self.connection is connection:  # else somebody called close() in the last instant
            if reusable:
                self.state = LaneState.IDLE
            else:
                self.close()
        return answer
