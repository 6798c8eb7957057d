"""Coinbase Advanced Trade, channel `ticker`: the best bid and ask at every match, prices as strings, no key needed.

https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels (Ticker, Heartbeats). The
channel `level2` would state every change but begins with the whole book, megabytes of it.

Between two matches the best bid and ask may move unseen. So heartbeats, which come every second and keep subscriptions
open, are no sign that our price still stands: without a match within `stale_seconds_max` this source is left out. A
product in USDC is answered as its twin in USD: name the one in USD ("BTC-USD").
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import msgspec

from maker.wire.references.adapter import NOTHING, Adapter, Fact, moment, side, written

TICKER: Final = "ticker"
HEARTBEATS: Final = "heartbeats"


class Kind(msgspec.Struct, frozen=True):
    """Enough of a message to tell its kind."""

    channel: str = ""
    type: str = ""
    message: str = ""


class Ticker(msgspec.Struct, frozen=True):
    """A best bid and ask; a side that is empty is an empty text."""

    product_id: str
    best_bid: str
    best_bid_quantity: str
    best_ask: str
    best_ask_quantity: str


class TickerEvent(msgspec.Struct, frozen=True):
    """Some of them."""

    tickers: list[Ticker]


class Tickers(msgspec.Struct, frozen=True):
    """One message of the channel, and when, as ISO 8601 text: it stands here, not in each ticker."""

    events: list[TickerEvent]
    timestamp: msgspec.Raw = NOTHING


kinds: Final = msgspec.json.Decoder(Kind)
messages: Final = msgspec.json.Decoder(Tickers)


@attrs.define
class Coinbase(Adapter):
    """Spot."""

    url: ClassVar[str] = "wss://advanced-trade-ws.coinbase.com"

    def opening(self) -> tuple[str, ...]:
        return (
            written({"type": "subscribe", "product_ids": self.symbols, "channel": TICKER}),
            written({"type": "subscribe", "channel": HEARTBEATS}),
        )

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        kind = kinds.decode(message)
        if kind.type == "error":
            raise self.refused(kind.message)
        if not kind.channel:
            raise ValueError("a message of no channel")
        if kind.channel != TICKER:
            return ()
        read = messages.decode(message)
        stated_at = moment(read.timestamp)
        return tuple(self.fact(one, stated_at) for event in read.events for one in event.tickers)

    def fact(self, one: Ticker, stated_at: float | None) -> Fact:
        bid = side([(one.best_bid, one.best_bid_quantity)] if one.best_bid and one.best_bid_quantity else ())
        ask = side([(one.best_ask, one.best_ask_quantity)] if one.best_ask and one.best_ask_quantity else ())
        return self.quote(one.product_id, *bid, *ask, stated_at)
