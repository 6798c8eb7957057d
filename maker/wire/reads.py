"""Answers of the exchange's reads -> desk facts. Each raises ValueError when an answer makes no sense."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from maker.desk.events import (
    AccountRead,
    BalanceRead,
    Fill,
    Liquidity,
    MarketSpec,
    MarketStats,
    OrderSeen,
    PositionSeen,
    PreviewOrder,
    PreviewRead,
)
from maker.desk.units import Grid, Side, decimal_exact
from maker.wire import ocx
from maker.wire.stream import fill, position, unix_ms

PERPS = "perps"
QUOTE_ASSETS = frozenset({"USDC", "USD", "USDT"})  # ASSUMED: what the perpetuals of an account are quoted in
Row = TypeVar("Row")

DECIMALS_MAX = 18  # of a price or size; tokens have no more
GONE = ocx.ENDED | {"filled"}  # an order of any other status may rest
TRADES = frozenset({"active", "open", "trading", "live", "online", "enabled"})  # a market of any other status does not


def markets(body: bytes) -> dict[str, ocx.Market]:
    """All listed markets by id, in either site's spelling. An odd row says nothing against the others: left out.

    ValueError where no row is left.
    """
    rows, odd = sifted(ocx.decode(body, list[msgspec.Raw]), lambda row: ocx.decode(row, ocx.Market))
    if odd and not rows:
        raise odd[0][1]
    return {market_id: row for row in rows if (market_id := row.id or row.market_id)}


def sifted(
    rows: Iterable[msgspec.Raw | bytes], read: Callable[[bytes], Row]
) -> tuple[list[Row], list[tuple[bytes, ValueError]]]:
    """Read each row by itself: those that can be read, and the others with what is wrong with them."""
    good: list[Row] = []
    odd: list[tuple[bytes, ValueError]] = []
    for raw in map(bytes, rows):
        try:
            good.append(read(raw))
        except ValueError as error:
            odd.append((raw, error))
    return good, odd


def unless_odd(
    rows: Iterable[msgspec.Raw], read: Callable[[bytes], Row], may_be_ours: Callable[[bytes], bool]
) -> list[Row]:
    """Read each row by itself, leaving out odd ones that surely are not ours; ValueError for any other odd one."""
    good, odd = sifted(rows, read)
    for row, error in odd:
        if may_be_ours(row):
            raise error
    return good


def market_type(row: ocx.Market) -> str:
    """spot, perp or future."""
    return (row.market_type or row.type or "").lower()


def is_active(row: ocx.Market) -> bool:
    """Whether it trades; a site that does not say is taken to mean yes, a word that we do not know to mean no."""
    return row.trading_status is None or row.trading_status.lower() in TRADES


def market_spec(
    market_id: str, row: ocx.Market, maker_fee_bps: Decimal | None, taker_fee_bps: Decimal | None
) -> MarketSpec:
    """The market's grid, minimum and band: from the older site's fields, else derived from the decimals.

    Fees: the tier of the account where it is known, else the market's own; ValueError when neither is stated.
    """
    tick = grid_step("tickSize", row.tick_size, row.price_decimals)
    lot = grid_step("stepSize", row.step_size, row.size_decimals)
    grid = Grid.of(tick, lot)
    maker = maker_fee_bps if maker_fee_bps is not None else optional_decimal(row.maker_fee_bps)
    taker = taker_fee_bps if taker_fee_bps is not None else optional_decimal(row.taker_fee_bps)
    if maker is None or taker is None:
        raise ValueError(f"{market_id}: the exchange states no fees")
    return MarketSpec(
        market_id=market_id,
        grid=grid,
        lots_min=grid.size.count_up(decimal_exact(row.min_quantity)) if row.min_quantity else 0,
        band_low_ticks=grid.price.count_up(decimal_exact(row.price_band_low)) if row.price_band_low else None,
        band_high_ticks=grid.price.count_down(decimal_exact(row.price_band_high)) if row.price_band_high else None,
        maker_fee_bps=maker,
        taker_fee_bps=taker,
    )


def closes(body: bytes) -> tuple[tuple[float, Decimal], ...]:
    """The closing prices of candles with their unix seconds, oldest first.

    A candle without a trade, and of one price, is a last close carried on: as if there were none.
    """
    rows = ocx.decode(body, list[ocx.Candle])
    moved = (row for row in rows if decimal_exact(row.volume) or decimal_exact(row.high) != decimal_exact(row.low))
    return tuple(sorted((unix_ms(row.time) / 1000, decimal_exact(row.close)) for row in moved))


def grid_step(name: str, stated: str | None, decimals: int | None) -> Decimal:
    if stated:
        return decimal_exact(stated)
    if decimals is None or not 0 <= decimals <= DECIMALS_MAX:
        raise ValueError(f"the exchange states neither {name} nor decimals it could be derived from")
    return Decimal(1).scaleb(-decimals)


def optional_decimal(value: str | float | None) -> Decimal | None:
    """A rate, where one is stated."""
    return None if value is None else rate(value)


def rate(value: str | float) -> Decimal:
    """A rate that may be a string or a JSON number."""
    return decimal_exact(str(value))


def fee_tier(body: bytes) -> tuple[Decimal, Decimal] | None:
    """Our maker and taker fee in basis points; None where the answer does not say which tier is ours."""
    fees = ocx.decode(body, ocx.Fees)
    for tier in fees.tiers:
        if tier.tier == fees.current:
            return rate(tier.maker_fee_bps), rate(tier.taker_fee_bps)
    return None


def open_orders(body: bytes) -> tuple[OrderSeen, ...]:
    """Everything of the account that rests."""
    rows: ocx.OpenOrders | list[ocx.OrderState] = ocx.decode_union(body, ocx.OpenOrders | list[ocx.OrderState])
    states = rows.orders if isinstance(rows, ocx.OpenOrders) else rows
    return tuple(
        OrderSeen(
            state.market_id,
            state.id or "",
            state.client_order_id,
            Side(state.side),
            decimal_exact(state.price or "0"),
            decimal_exact(state.quantity if state.remaining_quantity is None else state.remaining_quantity),
        )
        for state in states
        if state.status.lower() not in GONE
    )


def of_markets(body: bytes, shape: type[Row], market_ids: Container[str]) -> list[Row]:
    """Rows that each name a market. Raises ValueError for an odd one that may be of `market_ids`."""
    rows = ocx.decode(body, list[msgspec.Raw])
    return unless_odd(rows, lambda row: ocx.decode(row, shape), lambda row: is_of(row, market_ids))


def positions(body: bytes, grids: Mapping[str, Grid]) -> tuple[PositionSeen, ...]:
    """Positions in the markets we know. An odd row that names another market is left out, as a good one is."""
    rows = of_markets(body, ocx.PositionRow, grids)
    return tuple(position(grids[row.market_id], row) for row in rows if row.market_id in grids)


def open_positions(body: bytes) -> list[tuple[ocx.PositionRow, Decimal]]:
    """Every open position of the account, in whatever market, with its size in base units, signed. ValueError."""
    rows = [(row, open_size(row)) for row in ocx.decode(body, list[ocx.PositionRow])]
    return [(row, size) for row, size in rows if size]


def open_size(row: ocx.PositionRow) -> Decimal:
    """A position's size in base units, signed; 0: it is closed, or flat. ValueError."""
    size = decimal_exact(row.quantity)
    if size < 0:
        raise ValueError(f"position {row.id} has quantity {row.quantity}")
    return size * Side(row.side).sign if size and row.status.lower() != ocx.CLOSED else Decimal(0)


def elsewhere(body: bytes, market_ids: Container[str]) -> tuple[tuple[str, Decimal], ...]:
    """Open positions in all other markets, each with its size as `open_positions`; an odd row is as in `positions`."""

    def read(row: bytes) -> tuple[str, Decimal]:
        stated = ocx.decode(row, ocx.PositionRow)
        return stated.market_id, Decimal(0) if stated.market_id in market_ids else open_size(stated)

    rows = unless_odd(ocx.decode(body, list[msgspec.Raw]), read, lambda row: is_of(row, market_ids))
    return tuple((market_id, size) for market_id, size in rows if size)


def own_trades(body: bytes, grids: Mapping[str, Grid]) -> tuple[Fill, ...]:
    """Own trades in the markets we know, oldest first, as `positions`.

    One off today's grid is older than it, and than this run.
    """
    rows = of_markets(body, ocx.OwnTrade, grids)
    ours = [(grids[row.market_id], row) for row in rows if row.market_id in grids]
    fills = [fill(grid, row) for grid, row in ours if fits(grid, row)]
    return tuple(sorted(fills, key=lambda one: (one.at_ms, one.trade_id)))


def fits(grid: Grid, row: ocx.OwnTrade) -> bool:
    """Whether a trade's price and size are on the grid; ValueError for what is no number."""
    price, size = decimal_exact(row.price), decimal_exact(row.quantity)
    return grid.price.count_down(price) == grid.price.count_up(price) and grid.size.count_down(
        size
    ) == grid.size.count_up(size)


def balance(body: bytes) -> BalanceRead:
    """The perps bucket. An odd row that names another bucket says nothing against it."""
    rows = ocx.decode(body, ocx.BalanceRows).balances
    stated = unless_odd(rows, lambda row: ocx.decode(row, ocx.Balance), is_perps)
    row = in_quote([row for row in stated if row.bucket == PERPS])
    return BalanceRead(decimal_exact(row.balance), decimal_exact(row.available), decimal_exact(row.equity))


def in_quote(rows: list[ocx.Balance]) -> ocx.Balance:
    """The only row; of several, one per asset, the only one in a quote currency. ValueError for none, and for a choice.

    Of several rows, one that names no asset might be their sum or any asset's: it is not chosen.
    """
    if not rows:
        raise ValueError("the exchange states no perps balance")
    found = rows if len(rows) == 1 else [row for row in rows if (row.asset or "").upper() in QUOTE_ASSETS]
    if len(found) != 1:
        assets = ", ".join(str(row.asset) for row in rows)
        raise ValueError(f"which of several perps balances is the quote currency's cannot be told: {assets}")
    return found[0]


def account(
    seen: Iterable[PositionSeen],
    fills: Iterable[Fill],
    perps: BalanceRead,
    others: tuple[tuple[str, Decimal], ...] = (),
) -> AccountRead:
    """Put the three reads together; `others` as from `elsewhere`."""
    return AccountRead(tuple(seen), tuple(fills), perps.balance, perps.available, perps.equity, others)


def preview(asked: PreviewOrder, body: bytes) -> PreviewRead:
    """What an order would take; ValueError also where the exchange names neither role, for then the fee is nobody's."""
    answer = ocx.decode(body, ocx.PreviewAnswer)
    return PreviewRead(
        asked.market_id,
        asked.side,
        decimal_exact(answer.notional),
        decimal_exact(answer.margin_required),
        decimal_exact(answer.fee_bps),
        Liquidity(answer.fee_role.lower()),
        None if answer.rolling30d_volume is None else decimal_exact(answer.rolling30d_volume),
    )


def market_stats(body: bytes, market_id: str = "") -> tuple[MarketStats, ...]:
    """Mark, index and funding rate: of one market or of several, each row read by itself.

    A row that makes no sense is left out, for it says nothing against the others. ValueError where no row is left, and
    where none is of `market_id`, if that is given.
    """
    several = body.lstrip().startswith(b"[")
    good, left_out = sifted(ocx.decode(body, list[msgspec.Raw]) if several else [body], market_stats_row)
    odd = [error for row, error in left_out if not market_id or is_of(row, (market_id,))]
    if market_id and all(one.market_id != market_id for one in good):
        raise ValueError(f"no good row of {market_id}" + (f": {odd[0]}" if odd else "")) from (odd[0] if odd else None)
    if odd and not good:
        raise odd[0]
    return tuple(good)


def market_stats_row(body: bytes) -> MarketStats:
    """One market's; what is not stated of its funding is not known."""
    row = ocx.decode(body, ocx.MarketStats)
    rate = decimal_exact(row.funding_rate) if row.funding_rate else None
    return MarketStats(row.market_id, decimal_exact(row.mark_price), decimal_exact(row.index_price), rate)


def is_of(row: bytes, market_ids: Container[str]) -> bool:
    """Whether an odd row is one of these markets', or may be: it does not say whose it is."""
    try:
        return ocx.decode(row, ocx.MarketOf).market_id in market_ids
    except ValueError:
        return True


def is_perps(row: bytes) -> bool:
    """Whether an odd row is of the perps bucket, or may be: it does not say of which it is."""
    try:
        return ocx.decode(row, ocx.BucketOf).bucket == PERPS
    except ValueError:
        return True
