"""The exchange's own word, by a key of the monitor's own that may only read: what rests, and what is held.

Of the whole account, whatever our markets are. Each read notes when it was asked for, since it shows no older state.
One that fails leaves what was known, and says why; where the key itself is refused, it is asked more rarely.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

import attrs
import trio

from maker.desk.units import decimal_exact
from maker.edge.client import Client
from maker.errors import ConfigError, OcxError, OutcomeUnknown, Unauthorized
from maker.monitor.observation import ExchangeSeen, PositionHeld
from maker.wire import ocx, reads

READ_SECONDS: Final = 3.0  # between two rounds of reads
READ_SECONDS_MAX: Final = 3.0  # one read, connecting included
REFUSED_SECONDS: Final = 30.0  # between two rounds while the key is refused
CONNECTIONS_MAX: Final = 2
THROTTLED_SECONDS: Final = 5.0  # for a 429 that does not say how long

NOT_YET: Final = ExchangeSeen(why_not="the exchange has not been read yet")

Read = TypeVar("Read")


@attrs.define
class ExchangeReader:
    """Keeps `seen` up to date. `base_url` may change with the run; empty: there is nobody to ask."""

    connect: Callable[[str], Client] | None  # with our key, to a base URL; None: there is no key, so nothing is read
    base_url: Callable[[], str]
    on_read: Callable[[], object] = lambda: None
    wall: Callable[[], float] = time.time
    seen: ExchangeSeen = NOT_YET
    client: Client | None = None

    async def run(self) -> NoReturn:
        """Read until cancelled. Raises nothing: what fails is said in `seen`."""
        if self.connect is None:
            why_not = "no read key is configured ([monitor] key_env or key_file): the exchange is not asked"
            self.seen = ExchangeSeen(why_not=why_not)
            await trio.sleep_forever()
        try:
            while True:
                began = trio.current_time()
                pause = await self.round()
                self.on_read()
                await trio.sleep(max(0.0, began + pause - trio.current_time()))
        finally:
            await self.leave()
        raise AssertionError("left without being cancelled")

    async def round(self) -> float:
        """Read once, and return how long to wait until the next time, seconds from the begin of this one."""
        assert self.connect is not None, "without a key nothing is read"
        url = self.base_url()
        if not url:
            self.fail("no run is known, so there is no practice exchange to ask")
            return READ_SECONDS
        try:
            if self.client is None or self.client.base_url != url:
                await self.leave()
                self.client = self.connect(url)
            orders_at = self.wall()
            orders = await self.read(ocx.ORDERS, reads.open_orders)
            self.seen = attrs.evolve(self.seen, orders=orders, orders_at=orders_at)
            positions_at = self.wall()
            positions = await self.read(ocx.POSITIONS, held)
            self.seen = attrs.evolve(self.seen, positions=positions, positions_at=positions_at, why_not="")
        except Unauthorized as refused:
            self.fail(f"the exchange refuses the monitor's key ({refused.status}): it must have the scope 'read'")
            return REFUSED_SECONDS
        except (OcxError, ConfigError, ValueError) as problem:
            self.fail(f"the exchange cannot be read: {problem}")
            return max(READ_SECONDS, getattr(problem, "seconds", 0.0))
        return READ_SECONDS

    async def read(self, path: str, parse: Callable[[bytes], Read]) -> Read:
        """One read. Raises OcxError, ValueError."""
        assert self.client is not None, "made by the round"
        with trio.move_on_after(READ_SECONDS_MAX):
            answer = await self.client.get(path)
            if answer.status != 200:
                raise ocx.refusal(answer.status, answer.body, THROTTLED_SECONDS)
            return parse(answer.body)
        raise OutcomeUnknown(f"{path} was not answered within {READ_SECONDS_MAX:g} s")

    def fail(self, why_not: str) -> None:
        self.seen = attrs.evolve(self.seen, why_not=why_not)

    async def leave(self) -> None:
        """Close the connections that are open."""
        if self.client is not None:
            await self.client.aclose()
            self.client = None


def connector(secret: str, ssl_context: ssl.SSLContext | None) -> Callable[[str], Client]:
    """What connects with a key."""

    def connect(base_url: str) -> Client:
        return Client(base_url, {ocx.KEY_HEADER: secret}, ssl_context, connections_max=CONNECTIONS_MAX)

    return connect


def held(body: bytes) -> tuple[PositionHeld, ...]:
    """Every position of the account, in any market. Raises ValueError for what makes no sense."""
    rows = reads.open_positions(body)
    return tuple(PositionHeld(row.market_id, size, decimal_exact(row.entry_price or "")) for row, size in rows)
