"""The practice exchange itself behind the scripted site: some paths are answered by it, in its own bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import attrs

from maker.paper import reads
from maker.paper.marketplace import Marketplace
from maker.paper.order_path import Call, perform
from maker.paper.reads import Question
from maker.paper.state import ExchangeSettings
from maker.paper.switches import Switches
from maker.wire import ocx
from tests.app.site import Seen, Site, saying
from tests.support.wires import ServerEnd

START_MS: Final = 1_700_000_000_000
READS: Final = {
    ocx.POSITIONS: reads.positions,
    ocx.BALANCES: reads.balances,
    ocx.MARKETS: reads.markets,
    ocx.PREVIEW: reads.preview,
}


@attrs.define
class Practice:
    """One user's account on a practice exchange with other traders in its books."""

    site: Site
    place: Marketplace = attrs.field(init=False)
    deposit: Decimal = Decimal(100_000)

    def __attrs_post_init__(self) -> None:
        settings = ExchangeSettings(seed=3, switches=Switches(), perps_deposit=self.deposit)
        self.place = Marketplace(settings, preset="busy", start_ms=START_MS)
        for _ in range(100):  # five seconds: the books fill
            self.place.step()
        for path in READS:
            self.site.usual[path] = self.read
        for market_id in self.place.exchange.state.markets:
            self.site.usual[f"{ocx.ORDERBOOK}/{market_id}"] = self.book
        for path in (ocx.POSITIONS_CLOSE, ocx.CANCEL_ALL, ocx.QUOTES_BULK):
            self.site.usual[path] = self.write
        self.site.usual[ocx.ORDERS] = self.orders

    @property
    def user(self) -> str:
        return self.place.exchange.user_id

    def position(self, market_id: str) -> Decimal:
        return self.place.exchange.state.accounts[self.user].quantity(market_id)

    @property
    def resting(self) -> list[Any]:
        return list(self.place.exchange.open_orders(self.user))

    def trade(self, market_id: str, side: str, quantity: str, **more: Any) -> Any:
        """Somebody at the same account sends an order by hand."""
        order = ocx.OrderRequest(market_id=market_id, side=side, quantity=quantity, type="market", **more)
        outcome = perform(self.place, Call(self.user, ocx.ORDERS, ocx.encode(order), self.place.now_ms))
        assert outcome.status == 200, outcome
        return outcome

    def ask(self, call: Any, argument: str = "", body: bytes = b"") -> bytes:
        return ocx.encode(call(Question(self.place.exchange, argument, {}, body, self.user, self.place.now_ms)))

    async def read(self, seen: Seen, stream: ServerEnd) -> None:
        await saying(self.ask(READS[seen.path], body=seen.body))(seen, stream)

    async def book(self, seen: Seen, stream: ServerEnd) -> None:
        await saying(self.ask(reads.orderbook, seen.path.rpartition("/")[2]))(seen, stream)

    async def orders(self, seen: Seen, stream: ServerEnd) -> None:
        if seen.method == "GET":
            await saying(self.ask(reads.open_orders))(seen, stream)
        else:
            await self.write(seen, stream)

    async def write(self, seen: Seen, stream: ServerEnd) -> None:
        outcome = perform(self.place, Call(self.user, seen.path, seen.body, self.place.now_ms))
        fields = [f"{name}: {value}" for name, value in outcome.headers]
        await saying(outcome.body, outcome.status, *fields)(seen, stream)
