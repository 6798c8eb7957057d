"""Fills, and what each was worth a little later: by day, by market, and by market, side and level.

Levels, fair values and markouts are of journals from schema 2 on; what an older one lacks is counted as not known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.profit import Tally
from maker.desk.units import Side, exact
from maker.report.reading import Reader, Row, amount_or_none, damaged, exact_amount, text, whole
from maker.report.runs import Runs, Window
from maker.report.since import DAY_MS

ZERO: Final = Decimal(0)
FILLS: Final = (
    "SELECT f.rowid, f.run_id, f.at_unix_ms, f.market, f.trade_id, f.client_order_id, f.side, f.price_quote, "
    "f.size_base, f.fee_quote"
)
DETAILS: Final = (
    ", d.at_unix_ms, d.quote_id, d.level, d.liquidity, d.fair_price_quote, d.mark_price_quote, m.horizon_seconds, "
    "m.markout_quote, m.markout_bps"
)
ROWS_A_FILL: Final = 8  # four markouts, each looked up
NO_DETAILS: Final = (None,) * 9
# Driven by the fills, so that both joins go by the trade's index, page after page.
JOINS: Final = (
    " FROM fills AS f LEFT JOIN fill_details AS d ON d.trade_id = f.trade_id AND d.run_id = f.run_id "
    "AND d.market = f.market AND d.rowid <= :details LEFT JOIN markouts AS m ON m.trade_id = f.trade_id "
    "AND m.run_id = f.run_id AND m.market = f.market AND m.rowid <= :markouts"
)
WITHIN: Final = " WHERE f.rowid BETWEEN :low AND :high AND f.at_unix_ms >= :since ORDER BY f.rowid"


@attrs.frozen
class Fill:
    """One fill and all that is known of it; None where it is not."""

    run_id: str
    at_ms: int  # the exchange's clock
    market: str
    trade_id: str
    client_order_id: str
    side: Side
    price: Decimal  # quote
    size: Decimal  # base
    fee: Decimal  # quote; negative: a rebate
    booked_ms: int | None = None  # our clock
    quote_id: str = ""
    level: int = 0  # 1 innermost; 0: not known
    liquidity: str = ""
    fair: Decimal | None = None
    mark: Decimal | None = None
    markouts: dict[float, tuple[Decimal | None, Decimal | None]] = attrs.field(factory=dict)  # horizon -> quote, bps

    @property
    def value(self) -> Decimal:
        """Price times size, quote currency."""
        with exact():
            return self.price * self.size

    @property
    def edge(self) -> Decimal | None:
        """What it was better than fair value, quote currency; None: there was none."""
        if self.fair is None:
            return None
        with exact():
            return self.side.sign * (self.fair - self.price) * self.size


@attrs.define
class Flow:
    """Fills added up."""

    fills: int = 0
    buys: int = 0
    makers: int = 0  # of those whose liquidity is known
    takers: int = 0
    volume: Decimal = ZERO  # quote
    fees: Decimal = ZERO  # quote, paid
    edge: Decimal = ZERO  # quote, of the fills with a fair value
    edge_volume: Decimal = ZERO  # their volume

    def add(self, fill: Fill) -> None:
        self.fills += 1
        self.buys += fill.side is Side.BUY
        self.makers += fill.liquidity == "maker"
        self.takers += fill.liquidity == "taker"
        with exact():
            self.volume += fill.value
            self.fees += fill.fee
            if fill.edge is not None:
                self.edge += fill.edge
                self.edge_volume += fill.value


@attrs.define
class Spot:
    """The fills of one side within one bucket, as one spot of a drawing."""

    size: Decimal = ZERO
    value: Decimal = ZERO

    @property
    def price(self) -> float:
        """Mean over sizes."""
        return float(self.value) / float(self.size) if self.size else 0.0


@attrs.define
class Fills:
    """All fills within the window."""

    days: dict[tuple[int, str], Flow] = attrs.field(factory=dict)  # (begin of the day, market)
    markets: dict[str, Flow] = attrs.field(factory=dict)
    levels: dict[tuple[str, Side, int], int] = attrs.field(factory=dict)  # fills by market, side and level
    markouts: dict[tuple[str, Side, int, float], Tally] = attrs.field(factory=dict)  # ... and horizon
    spots: dict[tuple[str, int, Side], Spot] = attrs.field(factory=dict)  # (market, bucket, side)
    delays: dict[str, list[float]] = attrs.field(factory=dict)  # market -> seconds from a fill until we booked it
    after_profit: int = 0  # booked after the last row of profit of their run: in no profit

    @property
    def horizons(self) -> list[float]:
        return sorted({horizon for *_, horizon in self.markouts})

    def add(self, fill: Fill, window: Window, told_until_ms: dict[str, int]) -> None:
        """Count a fill wherever it counts."""
        day = fill.at_ms // DAY_MS * DAY_MS
        self.days.setdefault((day, fill.market), Flow()).add(fill)
        self.markets.setdefault(fill.market, Flow()).add(fill)
        key = fill.market, fill.side, fill.level
        self.levels[key] = self.levels.get(key, 0) + 1
        for horizon, (quote, bps) in fill.markouts.items():
            tally = self.markouts.setdefault((*key, horizon), Tally())
            if quote is None or bps is None:
                tally.missing += 1
                continue
            tally.count += 1
            with exact():
                tally.quote += quote
                tally.bps += bps
        spot = self.spots.setdefault((fill.market, window.bucket(fill.at_ms), fill.side), Spot())
        with exact():
            spot.size += fill.size
            spot.value += fill.value
        if fill.booked_ms is not None:
            self.delays.setdefault(fill.market, []).append((fill.booked_ms - fill.at_ms) / 1000)
        booked_ms = fill.at_ms if fill.booked_ms is None else fill.booked_ms
        self.after_profit += booked_ms > told_until_ms.get(fill.run_id, 0)


def read_fills(
    reader: Reader,
    window: Window,
    runs: Runs,
    told_until_ms: dict[str, int],
    on_fill: Callable[[Fill], None] = lambda _fill: None,
) -> Fills:
    """Read every fill within the window, and show each to `on_fill`, in the order of writing. Raises Unreadable."""
    fills = Fills()
    for fill in each(reader, runs):
        fills.add(fill, window, told_until_ms)
        on_fill(fill)
    return fills


def each(reader: Reader, runs: Runs) -> Iterator[Fill]:
    """Yield every fill within the window. Raises Unreadable."""
    detailed = reader.has("fill_details") and reader.has("markouts")
    query = FILLS + (DETAILS + JOINS if detailed else " FROM fills AS f") + WITHIN
    until = {"details": reader.last["fill_details"], "markouts": reader.last["markouts"]} if detailed else {}
    for page in reader.pages("fills", query, share=ROWS_A_FILL, **until):
        for _, rows in itertools.groupby(page, key=lambda row: row[0]):
            yield fill_of([row if detailed else row + NO_DETAILS for row in rows], runs)


def fill_of(rows: list[Row], runs: Runs) -> Fill:
    """One fill out of its rows, of which there is one for each of its markouts. Raises Unreadable."""
    _, run_id, at_ms, market, trade_id, client_order_id, side, price, size, fee, *more = rows[0]
    booked_ms, quote_id, level, liquidity, fair, mark, *_ = more
    if side not in ("buy", "sell"):
        raise damaged("fills", side)
    if booked_ms is not None:
        runs.seen(run_id, booked_ms, "fill_details")
    markouts = {}
    for *_, horizon, quote, bps in rows:
        if horizon is not None:
            if not isinstance(horizon, float):
                raise damaged("markouts", horizon)
            markouts[horizon] = amount_or_none(quote, "markouts"), amount_or_none(bps, "markouts")
    return Fill(
        runs.of(run_id, "fills").run_id,
        whole(at_ms, "fills"),
        text(market, "fills"),
        text(trade_id, "fills"),
        text(client_order_id, "fills"),
        Side(side),
        exact_amount(price, "fills"),
        exact_amount(size, "fills"),
        exact_amount(fee, "fills"),
        booked_ms,
        "" if quote_id is None else text(quote_id, "fill_details"),
        0 if level is None else whole(level, "fill_details"),
        "" if liquidity is None else text(liquidity, "fill_details"),
        amount_or_none(fair, "fill_details"),
        amount_or_none(mark, "fill_details"),
        markouts,
    )
