"""HTTP/1.1 served on any Trio stream: a request in, a whole response or an event stream out.

One connection is one call of `serve_connection`, on a socket, through TLS or in memory alike. It ends for exactly these
reasons: the client went away or asked to close; nothing came for too long; the request broke a rule (answered with its
status first); the client does not read what we send; the handler failed (answered 500 if nothing was sent yet). None of
them touches another connection.

Every wait has a deadline and every buffer a limit, all of them fields of `Limits`. Requests sent ahead of their answers
(pipelining) are answered in order: the next is looked at only when the one before is done.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import h11
import trio

from maker.edge.http_messages import (
    EventStreamResponse,
    Handler,
    Limits,
    Moment,
    Refusal,
    Report,
    Request,
    RequestRefused,
    Response,
    error_response,
    moment_now,
    split_target,
)

RECEIVE_BYTES = 16 * 1024  # one read; a request of ours fits in one
QUOTED = re.compile(r"[: ]*\b(bytearray\()?b['\"].*", re.DOTALL)  # as Python shows bytes, to the end of the message
CLOSE_SECONDS_MAX = 1.0  # saying goodbye in TLS to a peer that may be gone


def unquoted(error: h11.RemoteProtocolError) -> str:
    """Say what h11 disliked without the bytes that it quotes: they may be a header with a key or a token in it."""
    return QUOTED.sub("", str(error))


@lru_cache(maxsize=4)  # all answers of a second say the same
def date_of(unix_seconds: int) -> str:
    """Write a time as HTTP does."""
    return formatdate(unix_seconds, usegmt=True)


async def serve_connection(
    stream: trio.abc.Stream,
    handler: Handler,
    *,
    report: Report,
    limits: Limits | None = None,
    peer: str = "memory",
    clock: Callable[[], Moment] = moment_now,
    refusal: Refusal = error_response,
) -> None:
    """Serve one connection to its end and close it. Raises only cancellation; a handler's failure is reported.

    `refusal` puts the server's own refusals (malformed, too large, too slow, failed) into the callers' form.
    """
    connection = Connection(stream, handler, limits or Limits(), peer, clock, refusal)
    try:
        await connection.serve()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the client left in the middle of something
    except Exception as error:  # noqa: BLE001 - the top of one connection: it ends here, the server goes on
        report(f"a connection from {peer} ended: its request could not be served", error)
        await connection.answer_failure()
    finally:
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            await stream.aclose()


class Connection:
    """One connection's state: the protocol machine and the stream under it."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        handler: Handler,
        limits: Limits,
        peer: str,
        clock: Callable[[], Moment],
        refusal: Refusal,
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._limits = limits
        self._peer = peer
        self._clock = clock
        self._refusal = refusal
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes_max)

    async def serve(self) -> None:
        """Answer requests one by one until the connection should end."""
        fresh = True
        try:
            while await self._wait_for_request(fresh) and await self._serve_request():
                self._h11.start_next_cycle()
                fresh = False
        except h11.RemoteProtocolError as error:
            await self._refuse(RequestRefused(error.error_status_hint, unquoted(error)))
        except RequestRefused as refused:
            await self._refuse(refused)

    async def answer_failure(self) -> None:
        """Answer 500 if no answer has begun and the client still listens."""
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            with trio.move_on_after(self._limits.write_seconds_max):
                # A client already gone learns nothing; the failure itself is reported.
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._write_response(self._refusal(500, "the server failed on this request"), close=True)

    async def _wait_for_request(self, fresh: bool) -> bool:
        """Wait for a request's first byte; False when the client closed or stayed silent too long."""
        if self._h11.trailing_data[0]:
            return True  # sent ahead of the answer before
        seconds = self._limits.head_seconds_max if fresh else self._limits.idle_seconds_max
        with trio.move_on_after(seconds):
            data = await self._stream.receive_some(RECEIVE_BYTES)
            if data:
                self._h11.receive_data(bytes(data))
            return bool(data)
        if fresh:
            raise RequestRefused(408, f"no request within {seconds:g} s")
        return False

    async def _serve_request(self) -> bool:
        """Read one request and answer it; True when the connection can carry another."""
        began = self._clock()
        deadline = trio.current_time() + self._limits.request_seconds_max
        with trio.move_on_at(deadline) as reading:
            request = await self._read_request(began)
        if reading.cancelled_caught:
            raise RequestRefused(408, f"no whole request within {self._limits.request_seconds_max:g} s")
        with trio.move_on_at(deadline) as handling:
            answer = await self._handler(request)
        if handling.cancelled_caught:
            raise RequestRefused(503, f"no answer within {self._limits.request_seconds_max:g} s")
        if isinstance(answer, EventStreamResponse):
            try:
                await self._stream_events(answer)
            finally:
                if answer.on_end is not None:
                    answer.on_end()
            return False
        with trio.move_on_after(self._limits.write_seconds_max) as writing:
            await self._write_response(answer, close=False, head_only=request.method == "HEAD")
        return not writing.cancelled_caught and self._h11.our_state is h11.DONE

    async def _read_request(self, began: Moment) -> Request:
        """Read one request whole. Raises RequestRefused or h11.RemoteProtocolError where it breaks a rule."""
        with trio.move_on_after(self._limits.head_seconds_max) as scope:
            event = await self._next_event()
        if scope.cancelled_caught:
            raise RequestRefused(408, f"no whole request head within {self._limits.head_seconds_max:g} s")
        assert isinstance(event, h11.Request), "bytes arrived, so h11 gives a request or raises"
        head_read = self._clock()
        fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
        head_bytes = len(event.target) + sum(len(name) + len(value) + 4 for name, value in fields)
        if head_bytes > self._limits.head_bytes_max:  # h11 checks only heads that do not come in one piece
            raise RequestRefused(431, f"the request head is longer than {self._limits.head_bytes_max} bytes")
        headers: dict[str, str] = {}
        for name, value in fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if int(headers.get("content-length", "0")) > self._limits.body_bytes_max:
            raise self._too_large()
        path, query = split_target(event.target.decode("ascii"), self._limits.query_fields_max)
        body = await self._read_body()
        return Request(event.method.decode("ascii"), path, query, headers, body, self._peer, began, head_read)

    async def _read_body(self) -> bytes:
        """Read to the end of the message; raises RequestRefused (413) at the limit, announced or not."""
        body = bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), "after a head h11 gives data, then the end"
            body += event.data
            if len(body) > self._limits.body_bytes_max:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> RequestRefused:
        return RequestRefused(413, f"the request body is longer than {self._limits.body_bytes_max} bytes")

    async def _next_event(self) -> object:
        """Return h11's next event, reading as it asks."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self._stream.send_all(self._bytes(h11.InformationalResponse(status_code=100, headers=[])))
            self._h11.receive_data(bytes(await self._stream.receive_some(RECEIVE_BYTES)))
        return event

    def _bytes(self, event: h11.Event) -> bytes:
        data = self._h11.send(event)
        assert data is not None, "only the end of the connection has no bytes"
        return data

    def _head(self, status: int, headers: tuple[tuple[str, str], ...], *, close: bool) -> bytes:
        """Return an answer's head, dated."""
        fields = [("Date", date_of(int(self._clock().unix_seconds))), *headers]
        if close:
            fields.append(("Connection", "close"))
        reason = HTTPStatus(status).phrase.encode()
        return self._bytes(h11.Response(status_code=status, headers=fields, reason=reason))

    async def _write_response(self, response: Response, *, close: bool, head_only: bool = False) -> None:
        """Write one answer in one send and call its `on_sent`."""
        length = ("Content-Length", str(len(response.body)))
        data = self._head(response.status, (*response.headers, length), close=close)
        if response.body and not head_only:
            data += self._bytes(h11.Data(data=response.body))
        data += self._bytes(h11.EndOfMessage())
        await self._stream.send_all(data)
        if response.on_sent is not None:
            response.on_sent()

    async def _refuse(self, refused: RequestRefused) -> None:
        """Answer a refusal, then read on a little: closing on unread bytes would reset, and lose the answer."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        with trio.move_on_after(self._limits.write_seconds_max) as scope:
            await self._write_response(self._refusal(refused.status, refused.message), close=True)
        if scope.cancelled_caught or not isinstance(self._stream, trio.abc.HalfCloseableStream):
            return
        with trio.move_on_after(self._limits.linger_seconds_max):
            await self._stream.send_eof()
            await self._discard_until_end()

    async def _discard_until_end(self) -> None:
        """Read and forget until the client closes, resets, or has sent too much."""
        discarded = 0
        try:
            while discarded <= self._limits.linger_bytes_max and (
                data := await self._stream.receive_some(RECEIVE_BYTES)
            ):
                discarded += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _stream_events(self, answer: EventStreamResponse) -> None:
        """Run an event stream until it returns, the client leaves, or the client stops reading."""
        headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), *answer.headers)
        async with trio.open_nursery() as nursery:

            async def write(data: bytes) -> None:
                with trio.move_on_after(self._limits.write_seconds_max):
                    try:
                        await self._stream.send_all(data)
                        return
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        pass
                nursery.cancel_scope.cancel(reason="the event stream's client is gone or does not read")
                await trio.sleep_forever()  # the cancellation arrives here

            async def send(data: bytes) -> None:
                await write(self._bytes(h11.Data(data=data)))

            async def watch_client() -> None:
                await self._discard_until_end()
                nursery.cancel_scope.cancel(reason="the event stream's client closed")

            nursery.start_soon(watch_client)
            await write(self._head(200, headers, close=True))
            await answer.run(send)
            await write(self._bytes(h11.EndOfMessage()))
            nursery.cancel_scope.cancel(reason="the event stream ended by itself")
