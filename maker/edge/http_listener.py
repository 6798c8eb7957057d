"""Listening for HTTP on TCP, plain or in TLS: each accepted connection becomes one `serve_connection`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import NoReturn

import trio

from maker.edge.http_messages import Handler, Limits, Moment, Refusal, Report, error_response, moment_now
from maker.edge.http_server import serve_connection

SEND_BUFFER_BYTES = 128 * 1024  # kernel's per connection: larger would hide a client that stopped reading for minutes


async def serve_tcp(
    port: int,
    handler: Handler,
    *,
    report: Report,
    host: str = "127.0.0.1",
    ssl_context: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    clock: Callable[[], Moment] = moment_now,
    refusal: Refusal = error_response,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Listen on `host` and serve every connection until cancelled; the bound port is the task's started value.

    The address is reused at once after a restart. Raises OSError where it cannot be bound.
    """
    bounds = limits or Limits()
    connections = 0

    async def serve(raw: trio.SocketStream) -> None:
        nonlocal connections
        if connections >= bounds.connections_max:
            await trio.aclose_forcefully(raw)
            return
        connections += 1
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            peer = peer_address(raw)
            stream = raw if ssl_context is None else await encrypted(raw, ssl_context, bounds.head_seconds_max)
            if stream is not None:
                await serve_connection(
                    stream, handler, report=report, limits=bounds, peer=peer, clock=clock, refusal=refusal
                )
        finally:
            connections -= 1

    listeners = await trio.open_tcp_listeners(port, host=host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(serve, listeners)
    raise AssertionError("serve_listeners returns only by cancellation")


def peer_address(stream: trio.SocketStream) -> str:
    """Return the client's address, or "gone" where it already left."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "gone"


async def encrypted(
    raw: trio.SocketStream, context: ssl.SSLContext, seconds_max: float
) -> trio.SSLStream[trio.SocketStream] | None:
    """Return the stream inside TLS, or None after closing it where the handshake failed or took too long."""
    stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
    with trio.move_on_after(seconds_max):
        try:
            await stream.do_handshake()
            return stream
        except trio.BrokenResourceError:
            pass  # not TLS, or no certificate the client accepts
    await trio.aclose_forcefully(raw)
    return None
