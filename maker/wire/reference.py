"""Messages of a reference venue -> desk facts. So far only the practice exchange's own feed."""

from __future__ import annotations

from typing import Final

import msgspec

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.desk.units import decimal_exact
from maker.errors import StreamBroken, StreamFault
from maker.wire.references.adapter import NOTHING, moment

MESSAGE_BYTES_MAX: Final = 65_536  # a best bid and ask is 200 bytes; a larger message is not one


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """What we send after connecting."""

    op: str = "subscribe"
    symbols: list[str]


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message: `type` bbo carries a best bid and ask, `heartbeat` only says that the feed lives."""

    type: str
    symbol: str = ""
    bid: str = ""
    bid_size: str = ""
    ask: str = ""
    ask_size: str = ""
    ts: msgspec.Raw = NOTHING  # milliseconds; any value: a time is a help, not a need
    seq: int = 0


decoder = msgspec.json.Decoder(Message)


def subscription(symbols: list[str]) -> str:
    """The message that asks for symbols."""
    return msgspec.json.encode(Subscribe(symbols=symbols)).decode()


def parse(source: str, message: str | bytes) -> ReferenceQuote | ReferenceHeard:
    """One message of the feed we call `source` to one fact; raises StreamBroken when it is not one of a feed's."""
    try:
        read = decoder.decode(message)
        if read.type != "bbo":
            return ReferenceHeard(source)
        return ReferenceQuote(
            source,
            read.symbol,
            decimal_exact(read.bid),
            decimal_exact(read.bid_size),
            decimal_exact(read.ask),
            decimal_exact(read.ask_size),
            moment(read.ts),
        )
    except (ValueError, RecursionError) as error:
        raise StreamBroken(StreamFault.MALFORMED, f"reference feed: {error}") from error
