"""Kraken, WebSocket v2, channel `ticker` with event_trigger `bbo`: every change of the best prices, as JSON numbers.

https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ticker (and /heartbeat, /status, /ping beside it).
Numbers are read digit by digit (`exact`). A change of size alone is not sent, so sizes may be older than prices. A
heartbeat comes every second in which nothing else does, on the whole connection: beside a busy symbol a quiet one hears
none, so we ping. {"method":"ping"} is answered by {"method":"pong"}. Symbols are "BTC/USD", not "XBT/USD".
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import msgspec

from maker.wire.references.adapter import Adapter, Fact, written
from maker.wire.references.exact import exact_raw

TICKER: Final = "ticker"
PING: Final = written({"method": "ping"})
ONLINE: Final = "online"  # the others (cancel_only, maintenance, post_only): nothing is matched, so prices say nothing


class Kind(msgspec.Struct, frozen=True):
    """Enough of a message to tell its kind."""

    channel: str = ""
    method: str = ""
    success: bool = True
    error: str | None = None


class Ticker(msgspec.Struct, frozen=True):
    """A best bid and ask; numbers as they were written.

    Of late it has a `timestamp`, of which the document does not say what it times. It may be the last trade: not read.
    """

    symbol: str
    bid: msgspec.Raw
    bid_qty: msgspec.Raw
    ask: msgspec.Raw
    ask_qty: msgspec.Raw


class Tickers(msgspec.Struct, frozen=True):
    """One message of the channel `ticker`."""

    data: list[Ticker]


class Status(msgspec.Struct, frozen=True):
    """How the exchange is."""

    system: str


class Statuses(msgspec.Struct, frozen=True):
    """One message of the channel `status`."""

    data: list[Status]


kinds: Final = msgspec.json.Decoder(Kind)
tickers: Final = msgspec.json.Decoder(Tickers)
statuses: Final = msgspec.json.Decoder(Statuses)


@attrs.define
class Kraken(Adapter):
    """Spot."""

    url: ClassVar[str] = "wss://ws.kraken.com/v2"

    @property
    def ping(self) -> str | None:
        return PING

    def opening(self) -> tuple[str, ...]:
        wanted = {"channel": TICKER, "symbol": self.symbols, "event_trigger": "bbo", "snapshot": True}
        return (written({"method": "subscribe", "params": wanted}),)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        kind = kinds.decode(message)
        if not kind.success or kind.error:
            raise self.refused(kind.error)
        if kind.channel == TICKER:
            return tuple(self.fact(one) for one in tickers.decode(message).data)
        if kind.channel == "status":
            for one in statuses.decode(message).data:
                if one.system != ONLINE:
                    raise self.refused(f"its system is {one.system}")
            return ()
        if not kind.channel and not kind.method:
            raise ValueError("a message of no channel")
        return self.heard if kind.channel == "heartbeat" or kind.method in {"subscribe", "pong"} else ()

    def fact(self, one: Ticker) -> Fact:
        bid, bid_size = exact_raw(one.bid), exact_raw(one.bid_qty)
        ask, ask_size = exact_raw(one.ask), exact_raw(one.ask_qty)
        return self.quote(one.symbol, bid, bid_size, ask, ask_size)
