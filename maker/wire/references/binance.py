"""Binance, spot and USD-M futures: `<symbol>@bookTicker`, every change of the best bid or ask, prices as strings.

Spot: https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md (Individual Symbol Book Ticker
Streams, Live Subscribing/Unsubscribing, Error Messages). USD-M:
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams (Individual Symbol Book
Ticker Streams), whose streams of the book are at /public since 2026.

USD-M states the time of the event, `E`; spot's book ticker states none. Symbols are upper case in messages ("BTCUSDT":
so in the configuration) and lower case in stream names. No heartbeat is documented but WebSocket's own ping, so we ask
for the list of our subscriptions, which also says if one is gone. An unknown symbol is accepted and then silent: it
never gets a price. After 24 hours Binance closes the connection.
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import msgspec

from maker.desk.units import decimal_exact
from maker.wire.references.adapter import NOTHING, Adapter, Fact, moment, written

SUBSCRIBE_ID: Final = 1
LIST_ID: Final = 2
BOOK_TICKER: Final = "bookTicker"
LIST: Final = written({"method": "LIST_SUBSCRIPTIONS", "id": LIST_ID})


class Failure(msgspec.Struct, frozen=True):
    """Why a request was refused."""

    code: int = 0
    msg: str = ""


class Kind(msgspec.Struct, frozen=True):
    """Enough of a message to tell its kind; spot's book ticker has no `e`."""

    e: str = BOOK_TICKER
    u: int | None = None
    s: str | None = None
    id: int | str | None = None
    result: list[str] | None = None
    error: Failure | None = None
    code: int | None = None
    msg: str = ""


class BookTicker(msgspec.Struct, frozen=True, rename={"symbol": "s", "bid": "b", "ask": "a", "at": "E"}):
    """A best bid and ask, and when, in milliseconds; spot does not say when."""

    symbol: str
    bid: str
    ask: str
    bid_size: str = msgspec.field(name="B")
    ask_size: str = msgspec.field(name="A")
    at: msgspec.Raw = NOTHING


kinds: Final = msgspec.json.Decoder(Kind)
tickers: Final = msgspec.json.Decoder(BookTicker)


@attrs.define
class Binance(Adapter):
    """Spot. `wss://data-stream.binance.vision/ws` is the same feed where only market data may be reached."""

    url: ClassVar[str] = "wss://stream.binance.com:9443/ws"

    @property
    def ping(self) -> str | None:
        return LIST

    @property
    def streams(self) -> list[str]:
        return [f"{symbol.lower()}@{BOOK_TICKER}" for symbol in self.symbols]

    def opening(self) -> tuple[str, ...]:
        return (written({"method": "SUBSCRIBE", "params": self.streams, "id": SUBSCRIBE_ID}),)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        kind = kinds.decode(message)
        if kind.error is not None or kind.code is not None:
            raise self.refused(kind.error.msg if kind.error is not None else kind.msg)
        if kind.e == BOOK_TICKER and (kind.u is not None or kind.s is not None):
            one = tickers.decode(message)
            bid, bid_size = decimal_exact(one.bid), decimal_exact(one.bid_size)
            ask, ask_size = decimal_exact(one.ask), decimal_exact(one.ask_size)
            return (self.quote(one.symbol, bid, bid_size, ask, ask_size, moment(one.at)),)
        if kind.id == LIST_ID:
            gone = [stream for stream in self.streams if stream not in (kind.result or ())]
            if gone:
                raise self.refused(f"no longer subscribed to {', '.join(gone)}")
        return self.heard if kind.id is not None else ()


@attrs.define
class BinanceUsdm(Binance):
    """USD-M futures: perpetuals such as BTCUSDT; messages as spot's, and their time."""

    url: ClassVar[str] = "wss://fstream.binance.com/public/ws"
