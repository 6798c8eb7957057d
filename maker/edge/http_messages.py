"""What an HTTP handler is given and what it answers, and the limits one connection keeps to."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, unquote

import attrs


@attrs.frozen
class Limits:
    """What one connection may use. Seconds and bytes."""

    head_bytes_max: int = 16 * 1024  # request line and headers; a key, a few ids and a proxy's headers fit ten times
    body_bytes_max: int = 256 * 1024  # a ladder of 2 x 250 levels is about 100 kB
    query_fields_max: int = 32  # the longest documented query has four
    head_seconds_max: float = 10.0  # first byte to whole head, and accept to first whole head: stops a dripping client
    idle_seconds_max: float = 75.0  # between requests; above a client's usual 60, so that the client closes first
    request_seconds_max: float = 30.0  # first byte to last byte of the answer
    write_seconds_max: float = 5.0  # one piece of an event stream: who reads nothing for so long has lost the book
    linger_seconds_max: float = 1.0  # reading on after a refusal, so that the answer is not lost to a reset
    linger_bytes_max: int = 1 << 20
    connections_max: int = 512  # per listener; below the usual 1,024 descriptors of a process


@attrs.frozen
class Moment:
    """One reading of both clocks, in seconds."""

    unix_seconds: float
    boot_seconds: float  # CLOCK_BOOTTIME: never set back, and counts suspended time


def moment_now() -> Moment:
    """Read the clocks of this machine."""
    return Moment(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


@attrs.frozen
class Request:
    """One whole request; its body is read before the handler sees it. Its repr shows nothing that may be a secret."""

    method: str
    path: str  # percent-decoded, without the query
    query: Mapping[str, str]  # a repeated name keeps its last value
    headers: Mapping[str, str] = attrs.field(repr=False)  # lower-case names; a repeated name's values joined by ", "
    body: bytes = attrs.field(repr=False)
    peer: str  # the client's address, or what the caller named an in-memory stream
    began: Moment  # when the first byte was seen; for a pipelined request, when its turn came
    head_read: Moment  # when the head was complete


@attrs.frozen
class Response:
    """One whole answer, written in one send. `on_sent` is called once the system has taken all of it."""

    status: int
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    on_sent: Callable[[], None] | None = None


Send = Callable[[bytes], Awaitable[None]]


@attrs.frozen
class EventStreamResponse:
    """A 200 `text/event-stream` that lasts as long as `run` does, or until the client is gone.

    `run` gets `send(bytes)`; when the client left or stopped reading, `run` is cancelled. Its return ends the stream.
    `on_end` is called once the stream is over, however it ended.
    """

    run: Callable[[Send], Awaitable[None]]
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    on_end: Callable[[], None] | None = None


Answer = Response | EventStreamResponse
Handler = Callable[[Request], Awaitable[Answer]]
Report = Callable[[str, BaseException], None]
Refusal = Callable[[int, str], Response]  # how a status and a sentence are put into an answer


class RequestRefused(Exception):
    """A request that is answered with `status` and ends its connection, because what follows it cannot be trusted."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def split_target(target: str, fields_max: int) -> tuple[str, dict[str, str]]:
    """Split a request target into its decoded path and query. Raises RequestRefused (400) where they do not decode."""
    if not target.startswith(("/", "*")):
        _, _, rest = target.partition("://")  # absolute form, as a proxy's client sends it
        target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("?")
    try:
        fields = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=fields_max)
        return unquote(path, errors="strict"), dict(fields)
    except ValueError as error:
        raise RequestRefused(400, f"the request target is malformed: {error}") from error


def error_response(status: int, message: str) -> Response:
    """Return the server's own refusal as plain text: what the handler's callers speak is not known here."""
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), f"{message}\n".encode())
