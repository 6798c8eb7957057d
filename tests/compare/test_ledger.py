"""The judge's arithmetic, on trades made by hand."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from maker.compare.history import MORE_SECONDS, Path
from maker.compare.ledger import Hit, Ledger, Unexplained, markout, quantile
from maker.paper.exchange import Exchange
from maker.paper.market import default_markets
from maker.paper.orders import OrderRequest
from maker.paper.state import ExchangeSettings
from maker.storms.core_heap import START_MS

MARKET = "BTC-PERP"
TAKERS = "takers"


@pytest.fixture
def exchange() -> Exchange:
    made = Exchange(ExchangeSettings(markets=default_markets()[:1]), now_ms=START_MS)
    made.open_crowd(TAKERS)
    return made


@pytest.fixture
def ledger(exchange: Exchange) -> Ledger:
    prices = tuple(60_000 + second for second in range(MORE_SECONDS + 10))
    return Ledger(exchange, MARKET, Path(Decimal(1), prices, prices, (0,) * len(prices)), Decimal(100_000))


def trade(exchange: Exchange, side: str, price: str, quantity: str, now_ms: int = START_MS) -> None:
    """We rest at a price and somebody takes it."""
    opposite = {"buy": "sell", "sell": "buy"}[side]
    request = OrderRequest(market_id=MARKET, side=side, price=Decimal(price), quantity=Decimal(quantity))
    exchange.place_order(exchange.user_id, request, now_ms)
    exchange.place_crowd_order(
        TAKERS, MARKET, opposite, Decimal(price), Decimal(quantity), time_in_force="ioc", now_ms=now_ms
    )


def test_a_round_trip_is_taken_apart(exchange: Exchange, ledger: Ledger) -> None:
    """Buy 1 at 59,990 with the index at 60,000; it falls to 59,950; sell 1 at 59,960: 10 + 10 - 50, less rebates."""
    trade(exchange, "buy", "59990", "1")
    assert ledger.look("noise")
    exchange.set_index(MARKET, Decimal(59_950))
    trade(exchange, "sell", "59960", "1")
    assert ledger.look("informed")
    assert not ledger.look("noise")
    money = ledger.money()
    assert (money.spread, money.inventory) == (Decimal(20), Decimal(-50))
    assert money.fees == -(Decimal(59_990) + Decimal(59_960)) / 20_000
    assert money.profit == -30 - money.fees
    assert money.funding == money.mark_gap == 0


def test_what_is_held_is_valued_at_the_index_and_then_at_the_mark(exchange: Exchange, ledger: Ledger) -> None:
    trade(exchange, "sell", "60010", "2")
    ledger.look("noise")
    exchange.set_index(MARKET, Decimal(60_005))
    for side, price in (("buy", "60000"), ("sell", "60020")):  # a mid of 60,010: the mark
        exchange.place_crowd_order(TAKERS, MARKET, side, Decimal(price), Decimal(1), now_ms=START_MS)
    money = ledger.money()
    assert (money.spread, money.inventory, money.mark_gap) == (Decimal(20), Decimal(-10), Decimal(-10))


def test_funding_is_told_apart(exchange: Exchange, ledger: Ledger) -> None:
    trade(exchange, "buy", "60000", "1")
    ledger.look("noise")
    for side, price in (("buy", "60010"), ("sell", "60020")):  # the mark is above the index: longs pay
        exchange.place_crowd_order(TAKERS, MARKET, side, Decimal(price), Decimal(1), now_ms=START_MS)
    exchange.advance(START_MS + 300_000)
    ledger.funded()
    money = ledger.money()
    assert money.funding > 0
    assert money.profit == money.spread + money.inventory - money.fees - money.funding + money.mark_gap


def test_money_from_nowhere_is_unexplained(exchange: Exchange, ledger: Ledger) -> None:
    """A part that is missing, or a fill that was not looked at, voids the run."""
    trade(exchange, "buy", "59990", "1")
    with pytest.raises(Unexplained, match="parts add up to"):
        ledger.money()
    ledger.look("noise")
    ledger.money()
    exchange.state.accounts[exchange.user_id].deposited += Decimal("0.000001")
    with pytest.raises(Unexplained):
        ledger.money()


def test_drawdown_is_the_deepest_fall_from_the_best(exchange: Exchange, ledger: Ledger) -> None:
    """Short 1 at 60,010 while the path rises by 1 a second from 60,000: 10 at best (and a rebate), then falling."""
    trade(exchange, "sell", "60010", "1")
    ledger.look("noise")
    for _ in range(6):
        ledger.sample()
    rebate = 60_010 / 20_000
    assert ledger.peak == pytest.approx(10 + rebate)
    assert ledger.drawdown == pytest.approx(5)
    assert ledger.held == {-10_000: 6}


def test_quotes_are_measured_while_both_sides_rest(exchange: Exchange, ledger: Ledger) -> None:
    ledger.sample()
    for side, price in (("buy", "59990"), ("buy", "59980")):
        request = OrderRequest(market_id=MARKET, side=side, price=Decimal(price), quantity=Decimal(1))
        exchange.place_order(exchange.user_id, request, START_MS)
    ledger.sample()
    assert (ledger.quoted_seconds, ledger.two_sided_seconds) == (1, 0)
    request = OrderRequest(market_id=MARKET, side="sell", price=Decimal(60_014), quantity=Decimal(1))
    exchange.place_order(exchange.user_id, request, START_MS)
    ledger.sample()
    result = ledger.result("m", 1, Decimal(4))
    assert (ledger.quoted_seconds, ledger.two_sided_seconds) == (2, 1)
    assert result.quotes.half_spread_bps == pytest.approx(12 / 60_002 * 10_000)
    assert result.quotes.two_sided_share == pytest.approx(1 / 3)


def test_markouts_weigh_by_value_and_know_their_kind() -> None:
    prices = (100, 101, 102, *range(103, 200))
    path = Path(Decimal(1), prices, prices, (0,) * 100)
    hits = [Hit(0, 1, 100.0, 300.0, "noise"), Hit(1, -1, 101.0, 100.0, "informed")]
    both = markout(hits, path, 1, "").bps
    assert both == pytest.approx((300 * 100 - 100 * (102 / 101 - 1) * 10_000) / 400)
    assert markout(hits, path, 1, "informed").bps == pytest.approx(-(102 / 101 - 1) * 10_000)
    assert markout(hits, path, 1, "touch").bps is None


def test_quantiles_count_time() -> None:
    held = Counter({-5: 5, 0: 90, 7: 5})
    assert (quantile(held, 0.05), quantile(held, 0.06), quantile(held, 0.95), quantile(held, 0.96)) == (-5, 0, 0, 7)
    assert quantile(Counter(), 0.5) == 0
