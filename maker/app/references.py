"""The reference feeds: one WebSocket connection a venue, its messages read by the venue's adapter. Each reconnects.

The stream under a connection is ours, and is closed whatever happens: trio-websocket leaves it open after a reset, and
where its handshake is cut short. No closing handshake is made: whoever broke the feed, there is nothing left to say.
"""

from __future__ import annotations

import math
import random
import ssl
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NoReturn

import attrs
import h11
import trio
import trio_websocket

from maker.app import feeds
from maker.app.addresses import taken_apart
from maker.app.feeds import Backoff, Door, Inlet, broken_if_silent
from maker.desk.events import ReferenceLost
from maker.errors import StreamBroken, StreamFault
from maker.wire.references import venues
from maker.wire.references.adapter import MESSAGE_BYTES_MAX, Adapter
from maker.wire.references.described import Described

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
PORTS: Final = {"ws": 80, "wss": 443}
LOST: Final = (  # what a venue, or the way to it, may do to a connection
    trio_websocket.ConnectionClosed,
    trio_websocket.HandshakeError,
    h11.ProtocolError,
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


@attrs.frozen
class Venue:
    """One reference feed, as it is connected to."""

    source: str  # the name of its [reference.NAME]
    url: str
    symbols: tuple[str, ...]
    silent_seconds_max: float
    venue: str = venues.PRACTICE
    described: Described | None = None
    ssl_context: ssl.SSLContext | None = None  # None: the machine's certificate store is trusted


async def run_reference(venue: Venue, inlet: Inlet, rng: random.Random) -> NoReturn:
    """Keep one reference feed."""
    backoff = Backoff(rng)
    while True:
        began = trio.current_time()
        try:
            await follow_reference(venue, inlet)
        except StreamBroken as broken:
            inlet.deliver(ReferenceLost(venue.source, str(broken)))
        await trio.sleep(backoff.next_pause(trio.current_time() - began))


async def follow_reference(venue: Venue, inlet: Door) -> NoReturn:
    """One connection, until it breaks. Raises StreamBroken."""
    adapter = venues.adapter(venue.venue, venue.source, venue.symbols, venue.described)
    with broken_if_silent(feeds.CONNECT_SECONDS_MAX) as scope:
        try:
            parts = taken_apart(adapter.address(venue.url))
            assert parts.hostname is not None, "checked with the configuration"
            stream = await dial(parts.hostname, parts.port or PORTS[parts.scheme], parts.scheme, venue.ssl_context)
        except (OSError, ValueError) as error:  # ValueError: a host that the look-up cannot even ask for
            raise lost(error) from error
        resource = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        ours: BaseException | None = None
        try:
            async with trio.open_nursery() as reader:
                try:
                    socket = await trio_websocket.wrap_client_stream(
                        reader, stream, parts.netloc, resource, max_message_size=MESSAGE_BYTES_MAX
                    )
                    await listen(socket, adapter, inlet, scope, venue.silent_seconds_max)
                except BaseException as error:
                    ours = error
                    raise
        except BaseExceptionGroup as group:
            raise broken_by(group, ours) from group
        finally:
            with trio.CancelScope(shield=True):  # a cancellation here would take the place of the error under way
                await trio.aclose_forcefully(stream)
    raise AssertionError("left a connection without a reason")


async def dial(host: str, port: int, scheme: str, ssl_context: ssl.SSLContext | None) -> Stream:
    """Connect; the TLS handshake is made with the first bytes. Raises OSError."""
    if scheme == "ws":
        return await trio.open_tcp_stream(host, port)
    context = ssl_context or machine_store()
    return await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context, https_compatible=True)


@lru_cache
def machine_store() -> ssl.SSLContext:
    """Trust what the machine trusts: read once, for it holds the loop up for 30 ms."""
    return ssl.create_default_context()


async def listen(
    socket: trio_websocket.WebSocketConnection,
    adapter: Adapter,
    inlet: Door,
    scope: trio.CancelScope,
    silent_seconds_max: float,
) -> NoReturn:
    """Ask for what is wanted, then hand on what comes; ask a quiet venue for a sign of life."""
    for text in adapter.opening():
        await socket.send_message(text)
    ping_at = math.inf if adapter.ping is None else trio.current_time() + adapter.ping_seconds
    while True:
        message: str | bytes | None = None
        with trio.move_on_at(ping_at):
            message = await socket.get_message()
        if message is None:
            ping = adapter.ping
            assert ping is not None, "only a ping's time ends the wait"
            await socket.send_message(ping)
            ping_at = trio.current_time() + adapter.ping_seconds
            continue
        scope.deadline = trio.current_time() + silent_seconds_max
        try:
            facts = adapter.parse(message)
        except StreamBroken as broken:  # said before the connection is closed: that takes its time
            inlet.deliver(ReferenceLost(adapter.source, str(broken)))
            raise
        for fact in facts:
            inlet.deliver(fact)


def broken_by(group: BaseExceptionGroup[BaseException], ours: BaseException | None) -> BaseException:
    """The one error that a connection's end comes to: an unexpected one of our own, else what broke the stream.

    What the library's reader makes of a venue's bytes, whatever it is, breaks the stream and no more. A cancellation
    among others may be left out: whoever cancelled is told again at the next await.
    """
    leaves = list(flat(group))
    errors = [error for error in leaves if not isinstance(error, trio.Cancelled)]
    if not errors:
        return leaves[0]
    if ours is not None and not isinstance(ours, (trio.Cancelled, *LOST)):
        return ours
    return lost(*errors)


def flat(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from flat(error)
        else:
            yield error


def lost(*errors: BaseException) -> StreamBroken:
    """The feed is closed, and why: the library's own reader may know more than whoever waited for it."""
    told = ", after ".join(repr(one) for error in errors for one in (error, error.__cause__) if one is not None)
    return StreamBroken(StreamFault.CLOSED, f"reference feed: {told}")
