"""The three event streams: a snapshot, then what changed, at most once an interval and only if something did.

Each connection keeps what it last sent and works out the difference itself, so that nothing of one connection can hold
up another; a client that does not read is dropped by the HTTP server. `eventSeq` and the SSE id count the connection's
events from 1. An idle connection hears `:heartbeat` every HEARTBEAT_SECONDS.

The book a connection sees is the best `depth` levels of each side: a level that falls out of them is sent as size "0"
like one that is gone, and sent again when it comes back. A level's `total` is the size of all levels up to it, so a
change is followed by the levels behind it, whose totals moved.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import partial
from itertools import accumulate
from typing import Final, Protocol

import attrs
import trio

from maker.edge.http_messages import Send
from maker.paper import spelling
from maker.paper.accounts import OWN_TRADES_MAX
from maker.paper.exchange import Exchange
from maker.paper.keeper import Keeper
from maker.paper.money import plain
from maker.paper.orders import OwnTrade
from maker.paper.reads import DEPTH_DEFAULT, boolean, integer, required_market
from maker.wire import ocx, sse

HEARTBEAT_SECONDS: Final = 15.0  # documented: about every 15 s on an idle stream
HEARTBEAT: Final = sse.encode_comment("heartbeat")
SNAPSHOT_TRADES_MAX: Final = 50  # own trades in a snapshot; a client reads older ones back

Side = dict[Decimal, tuple[Decimal, Decimal]]  # size and total by price, best first


@attrs.frozen
class StreamKind:
    """One of the streams: what it carries, and the documented ranges of its parameters."""

    needs_key: bool
    change: str  # name of its events after the snapshot
    depth_max: int | None  # None: no book
    has_account: bool
    has_one_market: bool
    interval_ms: int
    interval_ms_min: int
    interval_ms_max: int


KINDS: Final = {
    ocx.STREAM_BOOK: StreamKind(
        needs_key=False,
        change="update",
        depth_max=100,
        has_account=False,
        has_one_market=True,
        interval_ms=100,
        interval_ms_min=50,
        interval_ms_max=2000,
    ),
    ocx.STREAM_EVENTS: StreamKind(
        needs_key=True,
        change="delta",
        depth_max=250,
        has_account=True,
        has_one_market=True,
        interval_ms=500,
        interval_ms_min=100,
        interval_ms_max=5000,
    ),
    ocx.STREAM_USER: StreamKind(
        needs_key=True,
        change="delta",
        depth_max=None,
        has_account=True,
        has_one_market=False,
        interval_ms=250,
        interval_ms_min=100,
        interval_ms_max=5000,
    ),
}


class StreamTrouble(Exception):
    """The exchange ends a stream from its side; said as `event: error` before it closes."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.error = ocx.StreamError(code=code, message=message, retryable=retryable)


Ended = Callable[[int], StreamTrouble | None]  # the credential's trouble at a time, unix milliseconds; None: it is good


class Part(Protocol):
    """Something a stream carries, which remembers what it said last."""

    def whole(self) -> dict[str, object]:
        """Return the payload's fields as of now."""

    def changes(self) -> dict[str, object]:
        """Return the payload's fields that tell what changed since the last call, none if nothing did."""


@attrs.define
class BookPart:
    """One market's book to a depth."""

    exchange: Exchange
    market_id: str
    depth: int
    sequence: int = -1
    bids: Side = attrs.field(factory=dict)
    asks: Side = attrs.field(factory=dict)

    def whole(self) -> dict[str, object]:
        """Return the book from the best level to the depth."""
        return self.changes()

    def changes(self) -> dict[str, object]:
        """Return the levels that changed."""
        sequence = self.exchange.book_sequence(self.market_id)
        if sequence == self.sequence:
            return {}
        first = self.sequence < 0
        self.sequence = sequence
        bids, asks = (with_totals(levels) for levels in self.exchange.book_levels(self.market_id, self.depth))
        changed_bids, changed_asks = difference(self.bids, bids), difference(self.asks, asks)
        self.bids, self.asks = bids, asks
        if not (first or changed_bids or changed_asks):
            return {}  # it changed out of sight
        return {"book": self._book(changed_bids, changed_asks)}

    def _book(self, bids: list[ocx.Level], asks: list[ocx.Level]) -> ocx.StreamBook:
        return ocx.StreamBook(market_id=self.market_id, sequence=self.sequence, bids=bids, asks=asks)


def with_totals(levels: list[tuple[Decimal, Decimal]]) -> Side:
    """Add to each level, best first, the sum of the sizes up to it."""
    totals = accumulate(size for _, size in levels)
    return {price: (size, total) for (price, size), total in zip(levels, totals, strict=True)}


def difference(old: Side, new: Side) -> list[ocx.Level]:
    """List the levels that are new or have another size or total, best first, then those gone, as size "0"."""
    changed = [
        ocx.Level(price=plain(price), size=plain(size), total=plain(total))
        for price, (size, total) in new.items()
        if old.get(price) != (size, total)
    ]
    changed += [ocx.Level(price=plain(price), size="0", total="0") for price in old if price not in new]
    return changed


@attrs.define
class AccountPart:
    """One user's fills and positions, in one market or in all."""

    exchange: Exchange
    user_id: str
    market_id: str | None
    open_only: bool
    trade_index: int = 0
    version: int = 0

    def whole(self) -> dict[str, object]:
        """Return the newest fills, oldest first, and the positions."""
        trades = self.exchange.own_trades(self.user_id, market_id=self.market_id, limit=SNAPSHOT_TRADES_MAX)
        positions = self.exchange.positions(self.user_id, market_id=self.market_id, open_only=self.open_only)
        self.trade_index = self.exchange.own_trade_count(self.user_id)
        self.version = self.exchange.positions_version(self.user_id)
        return {
            "trades": [self._trade(row) for row in trades],
            "positions": [spelling.position(row) for row in positions],
        }

    def changes(self) -> dict[str, object]:
        """Return new fills and changed positions; with open_only, a closed one is only named as removed."""
        count = self.exchange.own_trade_count(self.user_id)
        version = self.exchange.positions_version(self.user_id)
        if (count, version) == (self.trade_index, self.version):
            return {}
        if count - self.trade_index > OWN_TRADES_MAX:
            raise StreamTrouble("STREAM_LAGGED", "more trades than are kept happened in between", retryable=True)
        trades = self.exchange.own_trades(
            self.user_id, since_index=self.trade_index, market_id=self.market_id, limit=count
        )
        rows = self.exchange.positions(self.user_id, since_version=self.version, market_id=self.market_id)
        self.trade_index, self.version = count, version
        closed = [row for row in rows if row.status == "closed"]
        shown = [row for row in rows if not (self.open_only and row.status == "closed")]
        found: dict[str, object] = {
            "trades": [self._trade(row) for row in trades],
            "positions": [spelling.position(row) for row in shown],
            "removed_ids": [row.position_id for row in closed],
        }
        return {name: value for name, value in found.items() if value}

    def _trade(self, row: OwnTrade) -> ocx.OwnTrade:
        return spelling.own_trade(row, name_orders=self.exchange.settings.switches.trades_name_orders)


@attrs.define
class Streams:
    """Open event streams for one venue."""

    keeper: Keeper
    run: int = 0  # which run of the state file this is: a higher number than every one before
    opened: int = 0

    def open(
        self, kind: StreamKind, query: Mapping[str, str], user_id: str | None, ended: Ended
    ) -> Callable[[Send], Awaitable[None]]:
        """Check a stream's parameters and return what runs it, until `ended` says why its credential is good no longer.

        Raises Refused 400 or Rejection 404.
        """
        exchange = self.keeper.place.exchange
        interval_ms = integer(query, "intervalMs", kind.interval_ms, kind.interval_ms_min, kind.interval_ms_max)
        parts: list[Part] = []
        market_id = required_market(query) if kind.has_one_market else None
        if market_id is not None:
            exchange.index(market_id)  # an unknown one is refused
            if kind.depth_max is not None:
                parts.append(BookPart(exchange, market_id, integer(query, "depth", DEPTH_DEFAULT, 1, kind.depth_max)))
        if kind.has_account:
            assert user_id is not None, "a stream with an account needs a key"
            parts.append(AccountPart(exchange, user_id, market_id, boolean(query, "openOnly", default=False)))
        self.opened += 1
        name = f"evt_{self.keeper.place.start_ms}_{self.run}_{self.opened}"
        stream = OneStream(self.keeper, kind, parts, market_id, ended, name)
        return partial(stream.run, interval_ms / 1000)


@attrs.define
class OneStream:
    """One connection's stream."""

    keeper: Keeper
    kind: StreamKind
    parts: list[Part]
    market_id: str | None
    ended: Ended
    name: str
    sequence: int = 0

    async def run(self, interval_seconds: float, send: Send) -> None:
        """Send the snapshot, then changes and heartbeats, until the exchange has a reason to end the stream."""
        try:
            now_ms = self.keeper.now_ms()
            whole: dict[str, object] = {}
            for part in self.parts:
                whole |= part.whole()
            await send(self._event("snapshot", now_ms, whole))
            spoken = next_at = trio.current_time()
            while True:
                next_at = max(next_at + interval_seconds, trio.current_time())
                await trio.sleep_until(next_at)
                now_ms = self.keeper.now_ms()
                trouble = self.ended(now_ms)
                if trouble is not None:
                    raise trouble
                changed: dict[str, object] = {}
                for part in self.parts:
                    changed |= part.changes()
                if changed:
                    await send(self._event(self.kind.change, now_ms, changed))
                    spoken = trio.current_time()
                elif trio.current_time() - spoken >= HEARTBEAT_SECONDS - interval_seconds / 2:
                    await send(HEARTBEAT)
                    spoken = trio.current_time()
        except StreamTrouble as trouble:
            await send(sse.encode("error", ocx.encode(trouble.error).decode()))

    def _event(self, name: str, now_ms: int, fields: dict[str, object]) -> bytes:
        self.sequence += 1
        envelope = ocx.Envelope(
            event_id=f"{self.name}_{self.sequence}",
            event_type=name,
            event_seq=self.sequence,
            engine_ts=now_ms,
            source_ts=None,
            payload=ocx.StreamPayload(market_id=self.market_id, **fields),  # type: ignore[arg-type]  # by name, above
        )
        return sse.encode(name, ocx.encode(envelope).decode(), str(self.sequence))
