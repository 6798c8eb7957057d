"""A practice exchange for tests, with two crowd accounts, and short words for orders."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from maker.paper.exchange import Exchange
from maker.paper.market import MarketSpec
from maker.paper.orders import BulkRequest, OrderRecord, OrderRequest, QuoteLevel
from maker.paper.rejection import Rejection
from maker.paper.state import ChangeSink, ExchangeSettings
from maker.paper.switches import Switches

NOW = 1_700_000_000_000
BTC = "BTC-PERP"
ETH = "ETH-PERP"
FUTURE = "BTC-USDC-2027-06-25"
SPOT = "BTC-USDC-SPOT"
MAKERS = "makers"
TAKERS = "takers"
D = Decimal


def market(market_id: str, kind: str, base: str, index: str, *, tradable: bool = True, **more: object) -> MarketSpec:
    return MarketSpec(
        market_id=market_id,
        market_type=kind,
        base=base,
        tick_size=D("0.5"),
        step_size=D("0.001"),
        quantity_min=D("0.001"),
        quantity_max=D("100"),
        index_start=D(index),
        tradable=tradable,
        **more,  # type: ignore[arg-type]
    )


MARKETS = (
    market(BTC, "perp", "BTC", "60000"),
    market(ETH, "perp", "ETH", "3000"),
    market(FUTURE, "future", "BTC", "60000"),
    market(SPOT, "spot", "BTC", "60000", tradable=False),
)


def make(
    *,
    deposit: str = "100000",
    limit: int = 120,
    markets: tuple[MarketSpec, ...] = MARKETS,
    on_change: ChangeSink | None = None,
    **switches: object,
) -> Exchange:
    settings = ExchangeSettings(
        seed=7,
        markets=markets,
        perps_deposit=D(deposit),
        wallet_deposit=D("500"),
        rate_limit_per_minute=limit,
        switches=Switches(**switches),  # type: ignore[arg-type]
    )
    exchange = Exchange(settings, now_ms=NOW, on_change=on_change)
    exchange.open_crowd(MAKERS)
    exchange.open_crowd(TAKERS)
    return exchange


def request(side: str, price: str | None, quantity: str, market_id: str = BTC, **more: object) -> OrderRequest:
    return OrderRequest(
        market_id=market_id,
        side=side,
        type=str(more.pop("type", "limit" if price else "market")),
        price=None if price is None else D(price),
        quantity=D(quantity),
        **more,  # type: ignore[arg-type]
    )


def place(
    exchange: Exchange, side: str, price: str | None, quantity: str, market_id: str = BTC, **more: object
) -> OrderRecord:
    return exchange.place_order(exchange.user_id, request(side, price, quantity, market_id, **more), NOW)


def crowd(
    exchange: Exchange,
    side: str,
    price: str | None,
    quantity: str,
    market_id: str = BTC,
    *,
    account: str = MAKERS,
    time_in_force: str = "gtc",
    now_ms: int = NOW,
) -> OrderRecord:
    record = exchange.place_crowd_order(
        account,
        market_id,
        side,
        None if price is None else D(price),
        D(quantity),
        time_in_force=time_in_force,
        now_ms=now_ms,
    )
    assert record is not None
    return record


def level(side: str, price: str, quantity: str, name: str | None = None, **more: object) -> QuoteLevel:
    post_only = bool(more.pop("post_only", True))
    return QuoteLevel(
        side=side,
        price=D(price),
        quantity=D(quantity),
        client_order_id=name,
        post_only=post_only,
        **more,  # type: ignore[arg-type]
    )


def bulk(quote_id: str, *levels: QuoteLevel, market_id: str = BTC, cancel_all: bool = True) -> BulkRequest:
    return BulkRequest(market_id=market_id, quote_id=quote_id, cancel_all=cancel_all, quotes=levels)


def resting(exchange: Exchange, market_id: str | None = None) -> list[tuple[str, str, str]]:
    """Show our resting orders as (side, price, remaining), oldest first."""
    return [
        (order.side, str(order.price), str(order.remaining))
        for order in exchange.open_orders(exchange.user_id, market_id)
    ]


def refused(code: str, status: int, call: Callable[[], object]) -> Rejection:
    """Check that a call is refused with a code and a status."""
    with pytest.raises(Rejection) as caught:
        call()
    assert (caught.value.code, caught.value.status) == (code, status)
    return caught.value
