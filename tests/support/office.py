"""The maker's client and the practice exchange, wired together in memory and in virtual time: two cores compared."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import attrs
import trio

from maker.edge.client import Client, Standby
from maker.edge.http_server import serve_connection
from maker.edge.session import Session, Terms
from maker.paper.venue import VenueSettings
from tests.golden.transcript import START_MS
from tests.paper.venue_kit import VenueClient, running_venue, virtual_clock
from tests.support.wallets import HeldWallet
from tests.support.wires import MemoryExchange

URL: Final = "http://venue"
TERMS: Final = Terms("venue", URL, 1)


def wall() -> float:
    """The virtual clock as unix seconds, as the exchange has it."""
    return START_MS / 1000 + trio.current_time()


@attrs.define
class Office:
    """A venue, and who speaks to it."""

    venue: VenueClient
    network: MemoryExchange
    clients: list[Client] = attrs.field(factory=list)

    def client(self, headers: Mapping[str, str] | None = None, standby: Standby | None = None) -> Client:
        made = Client(URL, headers or {}, None, dial=self.network.dial, standby=standby)
        self.clients.append(made)
        return made

    def session(self, wallet: HeldWallet | None = None, **more: Any) -> Session:
        return Session(self.client(), wallet or HeldWallet(), more.pop("terms", TERMS), **{"wall": wall, **more})

    @property
    def sent(self) -> bytes:
        """Everything that was sent, on all connections."""
        return b"".join(bytes(connection.sent) for connection in self.network.connections)


@contextlib.asynccontextmanager
async def open_office(settings: VenueSettings | None = None, peer: str = "192.0.2.1") -> AsyncIterator[Office]:
    """Run a venue with clients of ours; the test must run under a mock clock."""
    async with running_venue(settings) as venue, trio.open_nursery() as nursery:

        async def serve(stream: trio.abc.Stream) -> None:
            routes = venue.venue.routes

            def report(_message: str, error: BaseException) -> None:
                venue.reports.append(error)

            await serve_connection(
                stream, routes.handle, report=report, peer=peer, clock=virtual_clock, refusal=routes.refuse
            )

        office = Office(venue, MemoryExchange(nursery, serve))
        yield office
        for client in office.clients:
            await client.aclose()
        nursery.cancel_scope.cancel(reason="the test is over")
