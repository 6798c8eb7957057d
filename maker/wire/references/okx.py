"""OKX v5, channel `bbo-tbt`: every change of the best bid or ask, at most every 10 ms, prices as strings.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel (bbo-tbt) and #overview-websocket:
text `ping` is answered by text `pong`; a connection silent for 30 s is closed. Sizes of derivatives are contracts.
Symbols are instrument ids: "BTC-USDT", "BTC-USDT-SWAP".
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import msgspec

from maker.wire.references.adapter import NOTHING, Adapter, Fact, moment, side, written

CHANNEL: Final = "bbo-tbt"
PING: Final = "ping"
PONG: Final = "pong"


class Argument(msgspec.Struct, frozen=True, rename="camel"):
    """Which subscription a message belongs to."""

    channel: str = ""
    inst_id: str = ""


class Kind(msgspec.Struct, frozen=True):
    """Enough of a message to tell its kind."""

    event: str = ""
    code: str = ""
    msg: str = ""
    arg: Argument | None = None


class Book(msgspec.Struct, frozen=True):
    """Levels, of which price and size are the first two, and when they were so, in milliseconds as text."""

    bids: list[list[str]]
    asks: list[list[str]]
    ts: msgspec.Raw = NOTHING


class Books(msgspec.Struct, frozen=True):
    """One message of the channel."""

    data: list[Book]


kinds: Final = msgspec.json.Decoder(Kind)
books: Final = msgspec.json.Decoder(Books)


@attrs.define
class Okx(Adapter):
    """Spot and derivatives alike."""

    url: ClassVar[str] = "wss://ws.okx.com:8443/ws/v5/public"

    @property
    def ping(self) -> str | None:
        return PING

    def opening(self) -> tuple[str, ...]:
        wanted = [{"channel": CHANNEL, "instId": symbol} for symbol in self.symbols]
        return (written({"op": "subscribe", "args": wanted}),)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        if message in {PONG, PONG.encode()}:
            return self.heard
        kind = kinds.decode(message)
        if kind.event == "error":
            raise self.refused(f"{kind.code} {kind.msg}")
        if kind.event:
            return self.heard if kind.event == "subscribe" else ()
        if kind.arg is None:
            raise ValueError("a message of no channel")
        if kind.arg.channel != CHANNEL:
            return ()
        symbol = kind.arg.inst_id
        return tuple(
            self.quote(symbol, *side(one.bids), *side(one.asks), moment(one.ts)) for one in books.decode(message).data
        )
