"""Hyperliquid, subscription `bbo`: the best bid and ask whenever a block changes them, prices as strings.

https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions (WsBbo, WsLevel) and
…/websocket/timeouts-and-heartbeats: {"method":"ping"} is answered by {"channel":"pong"}; a connection to which the
venue sends nothing for 60 s is closed. An empty side is null. Symbols are coins: "BTC".
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import msgspec

from maker.wire.references.adapter import NOTHING, Adapter, Fact, moment, side, written

CHANNEL: Final = "bbo"
PING: Final = written({"method": "ping"})
GREETING: Final = "Websocket connection established."  # plain text, as its own client knows it


class Kind(msgspec.Struct, frozen=True):
    """Enough of a message to tell its kind."""

    channel: str


class Failure(msgspec.Struct, frozen=True):
    """Why a subscription was refused."""

    data: str


class Level(msgspec.Struct, frozen=True):
    """One level."""

    px: str
    sz: str


class Bbo(msgspec.Struct, frozen=True):
    """Bid and ask of one coin, and when, in milliseconds."""

    coin: str
    bbo: tuple[Level | None, Level | None]
    time: msgspec.Raw = NOTHING


class Message(msgspec.Struct, frozen=True):
    """One message of the channel."""

    data: Bbo


kinds: Final = msgspec.json.Decoder(Kind)
failures: Final = msgspec.json.Decoder(Failure)
messages: Final = msgspec.json.Decoder(Message)


@attrs.define
class Hyperliquid(Adapter):
    """Perpetuals and spot."""

    url: ClassVar[str] = "wss://api.hyperliquid.xyz/ws"

    @property
    def ping(self) -> str | None:
        return PING

    def opening(self) -> tuple[str, ...]:
        wanted = [{"type": CHANNEL, "coin": symbol} for symbol in self.symbols]
        return tuple(written({"method": "subscribe", "subscription": one}) for one in wanted)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        if message in {GREETING, GREETING.encode()}:
            return ()
        kind = kinds.decode(message)
        if kind.channel == "error":
            raise self.refused(failures.decode(message).data)
        if kind.channel == CHANNEL:
            one = messages.decode(message).data
            bid, ask = (side([(level.px, level.sz)] if level is not None else ()) for level in one.bbo)
            return (self.quote(one.coin, *bid, *ask, moment(one.time)),)
        return self.heard if kind.channel in {"pong", "subscriptionResponse"} else ()
