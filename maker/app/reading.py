"""The account reads, with their retries: what rests, and positions, trades and balance that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import trio

from maker.desk.events import AccountRead, OpenOrdersRead
from maker.desk.units import Grid
from maker.edge.client import Client
from maker.errors import OutcomeUnknown, Throttled
from maker.wire import ocx, reads

READ_SECONDS_MAX: Final = 3.0  # one read, connecting included
READ_RETRY_SECONDS: Final = 0.25  # doubled with each failure in a row
READ_RETRY_SECONDS_MAX: Final = 4.0
OWN_TRADES_READ: Final = "1000"  # ASSUMED: `limit`, the newest so many


@attrs.define
class AccountReader:
    """The account reads, with their retries."""

    client: Client
    grids: Mapping[str, Grid]

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """One read, repeated until it succeeds. Raises Unauthorized, or Refused for what will not get better."""
        pause = READ_RETRY_SECONDS
        while True:
            try:
                return await self.get_once(path, params)
            except (OutcomeUnknown, Throttled):
                await trio.sleep(pause)
                pause = min(pause * 2, READ_RETRY_SECONDS_MAX)

    async def get_once(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """One read, once. Raises OcxError; a timeout is an OutcomeUnknown."""
        answer = None
        with trio.move_on_after(READ_SECONDS_MAX):
            answer = await self.client.get(path, params)
        if answer is None:
            raise OutcomeUnknown(f"{path} was not answered within {READ_SECONDS_MAX} s")
        if answer.status != 200:
            raise ocx.refusal(answer.status, answer.body, 1.0)
        return answer.body

    async def open_orders(self) -> OpenOrdersRead:
        """What rests, once. Raises OcxError, or ValueError for an answer that makes no sense."""
        return OpenOrdersRead(reads.open_orders(await self.get_once(ocx.ORDERS)))

    async def whole(self) -> AccountRead:
        """Positions, own trades and balance, consistent with each other: positions are the same before and after."""
        while True:
            before = reads.positions(await self.get(ocx.POSITIONS), self.grids)
            fills = reads.own_trades(await self.get(ocx.TRADES, {"limit": OWN_TRADES_READ}), self.grids)
            balance = reads.balance(await self.get(ocx.BALANCES))
            after = reads.positions(await self.get(ocx.POSITIONS), self.grids)
            if before == after:
                return reads.account(after, fills, balance)
