"""Bybit v5, topic `orderbook.1.<symbol>`: the best level of either side, prices as strings.

https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook and https://bybit-exchange.github.io/docs/v5/ws/connect
A *snapshot* is the whole truth and comes again after 3 s without a change, under the same update id `u`. Depth 1 is
documented to send only snapshots; a *delta*, as other depths send and as this one once did, is understood too: a size
of 0 takes a price away, any other is the new best. A delta before a snapshot, or older than what we have, is a gap.

The address says which market: linear perpetuals by default, /v5/public/spot for spot.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Final

import attrs
import msgspec

from maker.desk.units import decimal_exact
from maker.errors import StreamBroken, StreamFault
from maker.wire.references.adapter import NOTHING, ZERO, Adapter, Fact, moment, written

TOPIC: Final = "orderbook.1."
PING: Final = written({"op": "ping"})
Best = tuple[Decimal, Decimal]  # price and size
NONE: Final[Best] = (ZERO, ZERO)


class Kind(msgspec.Struct, frozen=True):
    """Enough of a message to tell its kind."""

    topic: str = ""
    op: str = ""
    success: bool = True
    ret_msg: str = ""


class Book(msgspec.Struct, frozen=True):
    """Levels of one symbol (price, size), and the number of the update."""

    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int


class Update(msgspec.Struct, frozen=True):
    """One message of the topic, and when it was made, in milliseconds: also one that says that nothing changed."""

    type: str
    data: Book
    ts: msgspec.Raw = NOTHING


kinds: Final = msgspec.json.Decoder(Kind)
updates: Final = msgspec.json.Decoder(Update)


@attrs.define
class Bybit(Adapter):
    """Linear perpetuals unless the address says otherwise."""

    url: ClassVar[str] = "wss://stream.bybit.com/v5/public/linear"

    books: dict[str, tuple[Best, Best, int]] = attrs.field(factory=dict)  # bid, ask and update id, by symbol

    @property
    def ping(self) -> str | None:
        return PING

    def opening(self) -> tuple[str, ...]:
        return (written({"op": "subscribe", "args": [TOPIC + symbol for symbol in self.symbols]}),)

    def read(self, message: str | bytes) -> tuple[Fact, ...]:
        kind = kinds.decode(message)
        if not kind.success:
            raise self.refused(kind.ret_msg)
        if kind.topic.startswith(TOPIC):
            return (self.update(updates.decode(message)),)
        if not kind.topic and not kind.op:
            raise ValueError("a message of no topic")
        return self.heard if kind.op in {"ping", "pong", "subscribe"} else ()  # a ping is answered as "ping" or "pong"

    def update(self, update: Update) -> Fact:
        """Apply a snapshot or a delta; raise StreamBroken for a gap, ValueError for what makes no sense."""
        book = update.data
        if update.type == "snapshot":
            bid, ask = changed(NONE, book.b), changed(NONE, book.a)
        elif update.type == "delta":
            if book.s not in self.books:
                raise StreamBroken(StreamFault.GAP, f"{self.source}: a delta of {book.s[:40]!r} before its snapshot")
            old_bid, old_ask, last = self.books[book.s]
            if book.u <= last:
                raise StreamBroken(StreamFault.GAP, f"{self.source}: update {book.u} of {book.s} after {last}")
            bid, ask = changed(old_bid, book.b), changed(old_ask, book.a)
        else:
            raise ValueError(f"an update of type {update.type[:40]!r}")
        quote = self.quote(book.s, *bid, *ask, moment(update.ts))
        self.books[book.s] = bid, ask, book.u
        return quote


def changed(best: Best, levels: list[tuple[str, str]]) -> Best:
    """Apply the levels of one side to its best one; raise ValueError for more than one level at depth 1."""
    read = [(decimal_exact(price), decimal_exact(size)) for price, size in levels]
    there = [level for level in read if level[1] > 0]
    if len(there) > 1:
        raise ValueError(f"{len(there)} levels at depth 1")
    if there:
        return there[0]
    return NONE if any(price == best[0] for price, _ in read) else best
