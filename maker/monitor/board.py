"""The view that all pages show: one at a time, only the latest. Who reads slowly misses some; nobody waits for them."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from maker.edge.http_messages import EventStreamResponse, Response, Send

HEARTBEAT_SECONDS: Final = 10.0  # between two signs of life, should there be nothing new
RETRY: Final = b"retry: 2000\n\n"  # milliseconds after which a page that lost us comes back
HEARTBEAT: Final = b": heartbeat\n\n"
CROWDED_SECONDS: Final = 10  # after which somebody who found no place may ask again


@attrs.define
class Board:
    """What is shown now, and to how many."""

    clients_max: int
    event: bytes = b""  # as it goes out; empty: nothing is shown yet
    version: int = 0
    clients: int = 0
    refused: int = 0  # for want of a place
    changed: trio.Event = attrs.field(factory=trio.Event)
    sent: dict[object, int] = attrs.field(factory=dict)  # the version that each client was sent last
    sending: trio.Event = attrs.field(factory=trio.Event)  # set and made anew whenever that changes

    def post(self, view: bytes) -> None:
        """Show another view: one line of JSON."""
        assert b"\n" not in view, "a line of an event stream"
        self.event = b"event: view\ndata: " + view + b"\n\n"
        self.version += 1
        self.changed.set()
        self.changed = trio.Event()

    def open(self) -> EventStreamResponse | Response:
        """A new client's event stream, or why it gets none."""
        if self.clients >= self.clients_max:
            self.refused += 1
            retry = ("Retry-After", str(CROWDED_SECONDS))
            return Response(503, (("Content-Type", "text/plain; charset=utf-8"), retry), b"too many pages are open\n")
        self.clients += 1
        return EventStreamResponse(self.follow, on_end=self.leave)

    def leave(self) -> None:
        self.clients -= 1

    async def follow(self, send: Send) -> None:
        """Send what is shown, and whatever follows it, until cancelled."""
        client = object()
        self.sent[client] = 0
        try:
            await send(RETRY)
            while True:
                if self.sent[client] != self.version:
                    version, event = self.version, self.event
                    await send(event)
                    self.note(client, version)
                    continue
                changed = self.changed
                with trio.move_on_after(HEARTBEAT_SECONDS) as waiting:
                    await changed.wait()
                if waiting.cancelled_caught:
                    await send(HEARTBEAT)
        finally:
            self.note(client, None)

    def note(self, client: object, version: int | None) -> None:
        """Note what a client was sent; None: it is gone."""
        if version is None:
            self.sent.pop(client, None)
        else:
            self.sent[client] = version
        self.sending.set()
        self.sending = trio.Event()

    async def wait_sent(self) -> None:
        """Wait until every client was sent what is shown now. One that does not read is waited for: bound it."""
        while any(version != self.version for version in self.sent.values()):
            await self.sending.wait()
