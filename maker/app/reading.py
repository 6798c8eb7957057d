"""The account reads, with their retries: what rests, and positions, trades and balance that belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

import attrs
import trio

from maker.desk.events import AccountRead, OpenOrdersRead, PositionSeen
from maker.desk.units import Grid
from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.errors import OcxError, OutcomeUnknown, Unauthorized
from maker.wire import ocx, reads

READ_SECONDS_MAX: Final = 3.0  # one read, connecting included
READ_RETRY_SECONDS: Final = 0.25  # doubled with each failure in a row
READ_RETRY_SECONDS_MAX: Final = 4.0
OWN_TRADES_READ: Final = "1000"  # ASSUMED: `limit`, the newest so many

Read = TypeVar("Read")


@attrs.define
class AccountReader:
    """The account reads, with their retries."""

    client: Client
    grids: Mapping[str, Grid]
    tell: Callable[[str], None] = lambda _sentence: None  # why a read has to be repeated
    on_answer: Callable[[Answer], None] = lambda _answer: None  # each answer, of any status

    async def get(self, path: str, parse: Callable[[bytes], Read], params: Mapping[str, str] | None = None) -> Read:
        """One read, repeated until it succeeds and makes sense; bounded by the caller. Raises Unauthorized."""
        pause = READ_RETRY_SECONDS
        while True:
            try:
                return await self.get_once(path, parse, params)
            except Unauthorized:
                raise
            except (OcxError, ValueError) as error:
                self.tell(f"{path} cannot be read, trying again: {error}")
                await trio.sleep(pause)
                pause = min(pause * 2, READ_RETRY_SECONDS_MAX)

    async def get_once(
        self, path: str, parse: Callable[[bytes], Read], params: Mapping[str, str] | None = None
    ) -> Read:
        """One read, once. Raises OcxError (a time-out is an OutcomeUnknown), ValueError for what makes no sense."""
        answer = None
        with trio.move_on_after(READ_SECONDS_MAX):
            answer = await self.client.get(path, params)
        if answer is None:
            raise OutcomeUnknown(f"{path} was not answered within {READ_SECONDS_MAX} s")
        self.on_answer(answer)
        if answer.status != 200:
            raise ocx.refusal(answer.status, answer.body, READ_RETRY_SECONDS)
        return parse(answer.body)

    async def open_orders(self) -> OpenOrdersRead:
        """What rests, once. Raises as `get_once`."""
        return OpenOrdersRead(await self.get_once(ocx.ORDERS, reads.open_orders))

    async def whole(self) -> AccountRead:
        """Positions, own trades and balance, consistent with each other: positions are the same before and after.

        Those in markets that are not ours are none of that: they may change all the time.
        """
        while True:
            before, _ = await self.get(ocx.POSITIONS, self.positions)
            fills = await self.get(ocx.TRADES, partial(reads.own_trades, grids=self.grids), {"limit": OWN_TRADES_READ})
            balance = await self.get(ocx.BALANCES, reads.balance)
            after, others = await self.get(ocx.POSITIONS, self.positions)
            if before == after:
                return reads.account(after, fills, balance, others)

    def positions(self, body: bytes) -> tuple[tuple[PositionSeen, ...], tuple[tuple[str, Decimal], ...]]:
        """Read positions in our markets, and in all others. Raises ValueError."""
        return reads.positions(body, self.grids), reads.elsewhere(body, self.grids)
