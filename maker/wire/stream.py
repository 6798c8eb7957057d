"""One OCX event stream as a state machine: bytes in, desk facts out, or StreamBroken for good.

A connection starts with a snapshot; after it `eventSeq` and the SSE `id:` both grow by one with every event. An event
we have applied already (same number and `eventId`, still remembered) is counted and ignored; any other number out of
line is a gap, for there is no resume: the machine stays broken and the caller reconnects. Comments are the heartbeat.

    EXPECT_SNAPSHOT --snapshot--> LIVE --delta--> LIVE
    either --gap, regress, malformed, event: error, delta before snapshot--> BROKEN
"""

from __future__ import annotations

import enum
import re
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.events import (
    Event,
    Fill,
    Levels,
    Liquidity,
    MarketSpec,
    PositionSeen,
    StreamDelta,
    StreamHeard,
    StreamSnapshot,
)
from maker.desk.units import Grid, Side, decimal_exact
from maker.errors import StreamBroken, StreamFault
from maker.wire import ocx
from maker.wire.redaction import without_secrets
from maker.wire.sse import Comment, EventStreamParser, ServerSentEvent

EVENTS_REMEMBERED_MAX: Final = 512  # the longest replay we take for a replay and not for a gap
LINE_ID: Final = re.compile(r"[0-9]{1,18}", re.ASCII)  # beyond a 64-bit counter it is no sequence number
SNAPSHOT: Final = "snapshot"
CHANGES: Final = frozenset({"delta", "update"})
ERROR: Final = "error"
NO_TEXT: Final = "\ufffd"  # what a decoder puts for bytes that are no UTF-8: something was changed on the way


class StreamState(enum.Enum):
    """Where a connection stands."""

    EXPECT_SNAPSHOT = "expect snapshot"
    LIVE = "live"
    BROKEN = "broken"


@attrs.define
class MarketStream:
    """One connection to /perps/stream/events. Make a new one for every connection."""

    spec: MarketSpec
    parser: EventStreamParser = attrs.field(factory=EventStreamParser)
    state: StreamState = StreamState.EXPECT_SNAPSHOT
    sequence: int = 0  # eventSeq of the last event applied
    line_id: int | None = None  # the SSE id of the last event applied, where it is a number
    remembered: deque[tuple[int, str]] = attrs.field(factory=lambda: deque(maxlen=EVENTS_REMEMBERED_MAX))
    duplicates: int = 0

    def feed(self, data: bytes) -> list[Event]:
        """Turn bytes into facts. Raises StreamBroken, and ever after."""
        if self.state is StreamState.BROKEN:
            raise StreamBroken(StreamFault.MALFORMED, "the stream is broken already")
        try:
            return [
                StreamHeard(self.spec.market_id) if isinstance(item, Comment) else self.event(item)
                for item in self.parser.feed(data)
            ]
        except StreamBroken:
            self.state = StreamState.BROKEN
            raise

    def event(self, item: ServerSentEvent) -> Event:
        """One event to one fact."""
        if NO_TEXT in item.data or NO_TEXT in item.event:
            raise StreamBroken(StreamFault.MALFORMED, "bytes that are no UTF-8")
        if item.event == ERROR:
            raise StreamBroken(StreamFault.CLOSED, f"the exchange said: {stream_error(item.data)}")
        if item.event != SNAPSHOT and item.event not in CHANGES:
            return self.unknown(item)
        try:
            envelope = ocx.decode(item.data.encode(), ocx.Envelope)
        except ValueError as error:
            raise StreamBroken(StreamFault.MALFORMED, str(error)) from error
        if not self.in_order(item, envelope):
            self.duplicates += 1
            return StreamHeard(self.spec.market_id)
        try:
            return self.fact(item.event == SNAPSHOT, envelope)
        except (ValueError, ArithmeticError) as error:
            raise StreamBroken(StreamFault.MALFORMED, str(error)) from error

    def unknown(self, item: ServerSentEvent) -> Event:
        """A kind of event we do not know says nothing we rely on, but it may take a number of the sequence."""
        if self.state is StreamState.LIVE:
            try:
                numbered = ocx.decode(item.data.encode(), ocx.Numbered)
            except ValueError:
                return StreamHeard(self.spec.market_id)
            if not self.in_order(item, numbered):
                self.duplicates += 1
        return StreamHeard(self.spec.market_id)

    def in_order(self, item: ServerSentEvent, envelope: ocx.Envelope | ocx.Numbered) -> bool:
        """Whether to apply an event: False for one applied already. Raises StreamBroken for a gap."""
        sequence = envelope.event_seq
        if (sequence, envelope.event_id) in self.remembered:
            return False
        line_id = int(item.last_event_id) if LINE_ID.fullmatch(item.last_event_id) else None
        if self.state is StreamState.EXPECT_SNAPSHOT:
            if item.event != SNAPSHOT:
                raise StreamBroken(StreamFault.GAP, f"{item.event} {sequence} came before the snapshot")
        elif item.event == SNAPSHOT:
            raise StreamBroken(StreamFault.GAP, "a second snapshot on one connection: something was lost between")
        elif sequence != self.sequence + 1:
            raise StreamBroken(StreamFault.GAP, f"eventSeq {sequence} after {self.sequence}")
        elif self.line_id is not None and line_id != self.line_id + 1:
            raise StreamBroken(StreamFault.GAP, f"id {item.last_event_id!r} after {self.line_id}")
        self.state = StreamState.LIVE
        self.sequence = sequence
        self.line_id = line_id
        self.remembered.append((sequence, envelope.event_id))
        return True

    def fact(self, is_snapshot: bool, envelope: ocx.Envelope) -> StreamSnapshot | StreamDelta:
        payload, grid, market_id = envelope.payload, self.spec.grid, self.spec.market_id
        book = payload.book or None
        for stated in (payload.market_id, book.market_id if book else None):
            if stated and stated != market_id:
                raise ValueError(f"an event of {stated} on the stream of {market_id}")
        bids = book_levels(grid, book.bids) if book else ()
        asks = book_levels(grid, book.asks) if book else ()
        fills = tuple(fill(grid, trade) for trade in payload.trades or [] if trade.market_id == market_id)
        positions = tuple(position(grid, row) for row in payload.positions or [] if row.market_id == market_id)
        if is_snapshot:
            if book is None:
                raise ValueError("a snapshot without a book")
            return StreamSnapshot(market_id, envelope.engine_ts, bids, asks, fills, positions)
        removed = tuple(payload.removed_ids or [])
        return StreamDelta(market_id, envelope.engine_ts, bids, asks, fills, positions, removed)


def book_levels(grid: Grid, levels: list[ocx.Level]) -> Levels:
    """Levels to (ticks, lots), exactly; ValueError off the grid."""
    price, size = grid.price.count, grid.size.count
    return tuple([(price(level.price), size(level.size)) for level in levels])


def fill(grid: Grid, trade: ocx.OwnTrade) -> Fill:
    """A trade of ours to a fact; ValueError when it makes no sense."""
    lots = grid.size.count(trade.quantity)
    ticks = grid.price.count(trade.price)
    if lots <= 0 or ticks <= 0:
        raise ValueError(f"trade {trade.id} has price {trade.price} and quantity {trade.quantity}")
    return Fill(
        trade.market_id,
        trade.id,
        Side(trade.side),
        ticks,
        lots,
        Liquidity(trade.liquidity),
        unix_ms(trade.created_at),
        trade.order_id,
        trade.client_order_id,
    )


def position(grid: Grid, row: ocx.PositionRow) -> PositionSeen:
    """A position row to a fact; a closed one is flat, whatever quantity it still shows, and a flat one has no side."""
    lots = grid.size.count(row.quantity)
    if lots < 0:
        raise ValueError(f"position {row.id} has quantity {row.quantity}")
    realized = Decimal(0) if row.realized_pnl is None else decimal_exact(row.realized_pnl)
    if not lots or row.status.lower() == ocx.CLOSED:
        return PositionSeen(row.market_id, row.id, 0, Decimal(0), realized)
    entry = decimal_exact(row.entry_price or "")
    return PositionSeen(row.market_id, row.id, Side(row.side).sign * lots, entry, realized)


def unix_ms(moment: str) -> int:
    """ISO-8601 UTC text to unix milliseconds; ValueError when it is not one."""
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError(f"a time without zone: {moment!r}")
    try:
        return round(parsed.astimezone(UTC).timestamp() * 1000)
    except OverflowError as error:
        raise ValueError(f"a time outside the calendar: {moment!r}") from error


def stream_error(data: str) -> str:
    try:
        error = ocx.decode(data.encode(), ocx.StreamError)
    except ValueError:
        return without_secrets(data)[:200]
    return without_secrets(f"{error.code} {error.message}")
