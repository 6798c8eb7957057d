"""The exchange's values in OCX's spelling: requests read into them, records written out of them.

The words are `maker.wire.ocx`'s; the numbers are read and written here, so that a slip in the client's way of reading
numbers is not repeated on this side.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from maker.paper.candles import Candle
from maker.paper.keys import KeyRecord
from maker.paper.market import FeeTier, MarketListing, MarketStatistics
from maker.paper.money import plain
from maker.paper.orders import (
    BalanceRecord,
    BulkRequest,
    MarketTrade,
    OrderRecord,
    OrderRequest,
    OwnTrade,
    PositionRecord,
    PreviewResult,
    QuoteLevel,
)
from maker.wire import ocx

NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")  # fixed decimal; the exchange judges its size
TRADING_STATUS: Final = {"trading": "active"}  # ASSUMED: "active" where the market trades; the other words are ours

T = TypeVar("T")


class Refused(Exception):
    """A request refused before the exchange saw it: HTTP status, code, and a sentence."""

    def __init__(self, status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


# -- reading ------------------------------------------------------------------------------------------------------


def read_body(body: bytes, shape: type[T]) -> T:
    """Read a JSON body; raises Refused 400 where it is none of that shape."""
    try:
        return ocx.decode(body, shape)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "INVALID_BODY", f"the body is malformed: {error}") from error


def read_number(text: str, code: str) -> Decimal:
    """Read a number in fixed decimal; raises Refused 400."""
    if not NUMBER.fullmatch(text):
        raise Refused(400, code, "numbers are strings in fixed decimal")
    return Decimal(text)


def read_optional(text: str | None, code: str) -> Decimal | None:
    """Read a number that may be left out."""
    return None if text is None else read_number(text, code)


def order_request(wire: ocx.OrderRequest) -> OrderRequest:
    """Read one order."""
    return OrderRequest(
        market_id=wire.market_id,
        side=wire.side,
        type=wire.type,
        quantity=read_number(wire.quantity, "INVALID_QUANTITY"),
        price=read_optional(wire.price, "INVALID_PRICE"),
        time_in_force=wire.time_in_force or "gtc",
        post_only=wire.post_only or False,
        reduce_only=wire.reduce_only or False,
        margin_mode=wire.margin_mode or "cross",
        client_order_id=wire.client_order_id,
        stop_price=read_optional(wire.stop_price, "INVALID_PRICE"),
        take_profit_price=read_optional(wire.take_profit_price, "INVALID_PRICE"),
        stop_loss_price=read_optional(wire.stop_loss_price, "INVALID_PRICE"),
    )


def quote_level(wire: ocx.Quote) -> QuoteLevel:
    """Read one level of a ladder."""
    return QuoteLevel(
        side=wire.side,
        price=read_number(wire.price, "INVALID_PRICE"),
        quantity=read_number(wire.quantity, "INVALID_QUANTITY"),
        client_order_id=wire.client_order_id,
        time_in_force=wire.time_in_force or "gtc",
        post_only=wire.post_only or False,
        reduce_only=wire.reduce_only or False,
        margin_mode=wire.margin_mode or "cross",
    )


def bulk_request(wire: ocx.BulkRequest) -> BulkRequest:
    """Read a ladder."""
    return BulkRequest(
        market_id=wire.market_id,
        quote_id=wire.quote_id,
        cancel_all=wire.cancel_all,
        quotes=tuple(quote_level(quote) for quote in wire.quotes),
    )


# -- writing ------------------------------------------------------------------------------------------------------


def iso(unix_ms: int) -> str:
    """Write a time as REST has it: ISO-8601 UTC with milliseconds."""
    seconds, milliseconds = divmod(unix_ms, 1000)
    return f"{whole_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=64)  # what is written at once is of a few seconds
def whole_second(unix_seconds: int) -> str:
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def optional(number: Decimal | None) -> str | None:
    """Write a number that may be missing."""
    return None if number is None else plain(number)


def amount(number: Decimal) -> str:
    """Write a reckoned amount: without the zeros that products and quotients of decimals end in."""
    text = plain(number)
    return text.rstrip("0").rstrip(".") if "." in text else text


def market(listing: MarketListing, *, older_fields: bool) -> ocx.Market:
    """Write one row of the listing, with or without the older site's fields."""
    spec = listing.spec
    row = ocx.Market(
        id=spec.market_id,
        symbol=spec.market_id,
        market_type=spec.market_type,
        base_symbol=spec.base,
        quote_symbol=spec.quote,
        mark_price=amount(listing.mark_price),
        price_decimals=spec.price_decimals,
        size_decimals=spec.size_decimals,
        expiry=spec.expiry,
        index_market_id=spec.index_market_id,
    )
    if not older_fields:
        return row
    return msgspec.structs.replace(
        row,
        market_id=spec.market_id,
        base=spec.base,
        quote=spec.quote,
        type=spec.market_type,
        trading_status=TRADING_STATUS.get(listing.trading_status, listing.trading_status),
        tick_size=plain(spec.tick_size),
        step_size=plain(spec.step_size),
        min_quantity=plain(spec.quantity_min),
        price_band_low=plain(listing.price_band_low),
        price_band_high=plain(listing.price_band_high),
        taker_fee_bps=plain(spec.taker_fee_bps),
        maker_fee_bps=plain(spec.maker_fee_bps),
        funding_interval_ms=spec.funding_interval_ms,
        funding_max_rate_bps=plain(spec.funding_rate_max_bps),
    )


def statistics(row: MarketStatistics) -> ocx.MarketStats:
    """Write one market's statistics."""
    return ocx.MarketStats(
        market_id=row.market_id,
        mark_price=amount(row.mark),
        index_price=amount(row.index),
        funding_rate=amount(row.funding_rate),
        next_funding_at=iso(row.next_funding_ms),
        open_interest=plain(row.open_interest),
        last=optional(row.last),
        high24h=optional(row.high_24h),
        low24h=optional(row.low_24h),
        volume24h=plain(row.volume_24h),
        change24h=optional(row.change_24h),
    )


def fee_tier(row: FeeTier) -> ocx.FeeTier:
    """Write one fee tier."""
    return ocx.FeeTier(
        tier=row.tier,
        min_volume30d=plain(row.volume_min),
        maker_fee_bps=plain(row.maker_fee_bps),
        taker_fee_bps=plain(row.taker_fee_bps),
    )


def public_trade(row: MarketTrade) -> ocx.PublicTrade:
    """Write one trade of the tape."""
    return ocx.PublicTrade(
        id=row.trade_id,
        market_id=row.market_id,
        side=row.side,
        price=plain(row.price),
        quantity=plain(row.quantity),
        created_at=iso(row.created_ms),
    )


def own_trade(row: OwnTrade, *, name_orders: bool) -> ocx.OwnTrade:
    """Write one fill, with or without the order it belongs to."""
    return ocx.OwnTrade(
        id=row.trade_id,
        market_id=row.market_id,
        side=row.side,
        price=plain(row.price),
        quantity=plain(row.quantity),
        liquidity=row.liquidity,
        created_at=iso(row.created_ms),
        order_id=row.order_id if name_orders else None,
        client_order_id=row.client_order_id if name_orders else None,
    )


def candle(row: Candle) -> ocx.Candle:
    """Write one candle."""
    return ocx.Candle(
        time=iso(row.start_ms),
        open=plain(row.open),
        high=plain(row.high),
        low=plain(row.low),
        close=plain(row.close),
        volume=plain(row.volume),
    )


def order(row: OrderRecord) -> ocx.OrderState:
    """Write one order, or one level of a bulk that never became one."""
    return ocx.OrderState(
        id=row.order_id or None,
        market_id=row.market_id,
        client_order_id=row.client_order_id,
        quote_id=row.quote_id,
        side=row.side,
        type=sys.intern(row.type),
        price=optional(row.price),
        quantity=plain(row.quantity),
        filled_quantity=plain(row.filled),
        remaining_quantity=plain(row.remaining),
        status="partially_filled" if row.status == "open" and row.filled else row.status,
        # msgspec leaves a default out only where it is the very same object: a word that came off the wire is not
        time_in_force=sys.intern(row.time_in_force),
        post_only=row.post_only,
        reduce_only=row.reduce_only,
        margin_mode=sys.intern(row.margin_mode),
        code=row.reason,
        created_at=iso(row.created_ms),
    )


def position(row: PositionRecord) -> ocx.Position:
    """Write one position."""
    return ocx.Position(
        id=row.position_id,
        market_id=row.market_id,
        side=row.side,
        quantity=plain(row.quantity),
        entry_price=amount(row.entry_price),
        realized_pnl=amount(row.realized_pnl),
        status=row.status,
    )


def api_key(row: KeyRecord, now_ms: int) -> ocx.ApiKey:
    """Write one key."""
    return ocx.ApiKey(
        id=row.key_id,
        name=row.name,
        scope=row.scope,
        allowed_ips=list(row.allowed_addresses),
        expires_at=optional_iso(row.expires_ms),
        created_at=iso(row.created_ms),
        revoked_at=optional_iso(row.revoked_ms),
        last_used_at=optional_iso(row.last_used_ms),
        last_used_ip=row.last_used_address,
        status=row.status(now_ms),
    )


def optional_iso(unix_ms: int | None) -> str | None:
    """Write a time that may be absent."""
    return None if unix_ms is None else iso(unix_ms)


def balance(row: BalanceRecord) -> ocx.Balance:
    """Write one bucket."""
    return ocx.Balance(
        bucket=row.bucket,
        asset=row.asset,
        balance=amount(row.balance),
        available=amount(row.available),
        equity=amount(row.equity),
        unrealized_pnl=amount(row.unrealized_pnl),
        margin_used=amount(row.margin_used),
    )


def preview(result: PreviewResult) -> ocx.PreviewAnswer:
    """Write what an order would cost."""
    return ocx.PreviewAnswer(
        notional=amount(result.notional),
        margin_required=amount(result.margin_required),
        est_fee=amount(result.estimated_fee),
        fee_bps=plain(result.fee_bps),
        fee_role=result.fee_role,
        approved=result.approved,
        rolling30d_volume=amount(result.volume_30d),
        reason=result.reason,
    )
