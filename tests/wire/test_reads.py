"""Answers of the reads: both sites' spellings to exact facts, and ValueError, nothing else, for what makes no sense."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from maker.desk.terms import Terms
from maker.desk.units import Grid, Side
from maker.wire import ocx, reads

BTC_GRID = Grid.of(Decimal("0.1"), Decimal("0.001"))
GRIDS = {"BTC-PERP": BTC_GRID, "ETH-PERP": Grid.of(Decimal("0.01"), Decimal("0.01"))}
DEEP = b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"

CURRENT_MARKET: dict[str, Any] = {
    "id": "BTC-PERP",
    "symbol": "BTC-PERP",
    "marketType": "perp",
    "baseSymbol": "BTC",
    "quoteSymbol": "USDC",
    "markPrice": "50000.1",
    "priceDecimals": 1,
    "sizeDecimals": 3,
    "expiry": None,
}
OLDER_MARKET: dict[str, Any] = {
    "marketId": "BTC-PERP",
    "base": "BTC",
    "quote": "USDC",
    "type": "PERP",
    "tradingStatus": "active",
    "tickSize": "0.5",
    "stepSize": "0.002",
    "minQuantity": "0.005",
    "priceBandLow": "45000.2",
    "priceBandHigh": "55000.3",
    "takerFeeBps": "5",
    "makerFeeBps": "-0.5",
    "fundingIntervalMs": 300000,
    "fundingMaxRateBps": 25,
}


def packed(value: Any) -> bytes:
    return json.dumps(value).encode()


def spec_of(row: dict[str, Any], maker: Decimal | None = None, taker: Decimal | None = None) -> MarketSpec:
    rows = reads.markets(packed([row]))
    return reads.market_spec("BTC-PERP", rows["BTC-PERP"], maker, taker)


# -- markets ------------------------------------------------------------------------------------------------------


def test_the_current_spelling_derives_its_grid_from_the_decimals() -> None:
    """Without the older fields: no band and no minimum stated, fees from the tier."""
    assert spec_of(CURRENT_MARKET, Decimal("-0.5"), Decimal(5)) == MarketSpec(
        "BTC-PERP", BTC_GRID, 0, None, None, Decimal("-0.5"), Decimal(5)
    )


def test_the_older_spelling_states_its_grid() -> None:
    """Minimum rounded up to a lot, the band rounded inwards to ticks, fees of the market."""
    assert spec_of(OLDER_MARKET) == MarketSpec(
        "BTC-PERP", Grid.of(Decimal("0.5"), Decimal("0.002")), 3, 90_001, 110_000, Decimal("-0.5"), Decimal(5)
    )


def test_where_both_are_stated_the_steps_win() -> None:
    """A tick of 0.5 has one decimal, but a price of one decimal need not be on it."""
    spec = spec_of({**CURRENT_MARKET, **OLDER_MARKET})
    assert spec.grid == Grid.of(Decimal("0.5"), Decimal("0.002"))
    assert spec.lots_min == 3


def test_the_accounts_tier_wins_over_the_markets_fees() -> None:
    spec = spec_of(OLDER_MARKET, Decimal("-1"), Decimal("4.5"))
    assert (spec.maker_fee_bps, spec.taker_fee_bps) == (Decimal("-1"), Decimal("4.5"))


def test_fees_as_json_numbers_are_exact() -> None:
    spec = spec_of({**OLDER_MARKET, "makerFeeBps": -0.1, "takerFeeBps": 5})
    assert (spec.maker_fee_bps, spec.taker_fee_bps) == (Decimal("-0.1"), Decimal(5))


def test_no_decimals_are_whole_steps() -> None:
    assert spec_of({**CURRENT_MARKET, "priceDecimals": 0, "sizeDecimals": 0}, Decimal(0), Decimal(0)).grid == Grid.of(
        Decimal(1), Decimal(1)
    )


def test_types_and_states_in_either_spelling() -> None:
    rows = reads.markets(
        packed(
            [
                {"id": "A", "marketType": "spot"},
                {"marketId": "B", "type": "FUTURE", "tradingStatus": "halted"},
                {"id": "C"},
                {"symbol": "nameless"},
                {"id": "D", "marketType": "perp", "tradingStatus": "ACTIVE"},
            ]
        )
    )
    assert {name: (reads.market_type(row), reads.is_active(row)) for name, row in rows.items()} == {
        "A": ("spot", True),
        "B": ("future", False),
        "C": ("", True),
        "D": ("perp", True),
    }


@pytest.mark.parametrize("word", ["Active", "OPEN", "Trading", "live", "ONLINE", "Enabled"])
def test_a_market_trades_whatever_the_capitals(word: str) -> None:
    assert reads.is_active(ocx.Market(trading_status=word))


@pytest.mark.parametrize("word", ["Halted", "post_only", "closed", "active ", ""])
def test_a_market_of_a_state_we_do_not_know_does_not_trade(word: str) -> None:
    assert not reads.is_active(ocx.Market(trading_status=word))


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    "row",
    [
        without(OLDER_MARKET, "makerFeeBps"),
        without(OLDER_MARKET, "takerFeeBps"),
        without(CURRENT_MARKET, "priceDecimals") | {"makerFeeBps": "0", "takerFeeBps": "0"},
        without(CURRENT_MARKET, "sizeDecimals") | {"makerFeeBps": "0", "takerFeeBps": "0"},
        {**OLDER_MARKET, "tickSize": "0"},
        {**OLDER_MARKET, "tickSize": "-0.1"},
        {**OLDER_MARKET, "tickSize": "1e-1"},
        {**OLDER_MARKET, "stepSize": "NaN"},
        {**OLDER_MARKET, "stepSize": "0.0"},
        {**OLDER_MARKET, "minQuantity": "a few"},
        {**OLDER_MARKET, "priceBandLow": "Infinity"},
        {**OLDER_MARKET, "priceBandHigh": "1e5"},
        {**OLDER_MARKET, "makerFeeBps": "free"},
        {**OLDER_MARKET, "makerFeeBps": "NaN"},
        {**OLDER_MARKET, "takerFeeBps": "Infinity"},
        {**OLDER_MARKET, "takerFeeBps": "1_0"},
        {**OLDER_MARKET, "takerFeeBps": " 5"},
        without(OLDER_MARKET, "tickSize") | {"priceDecimals": 10**9},
        without(OLDER_MARKET, "tickSize") | {"priceDecimals": -(10**9)},
    ],
    ids=lambda row: str(sorted(set(map(str, row.items())) - set(map(str, OLDER_MARKET.items()))))[:60],
)
def test_a_listing_that_makes_no_sense(row: dict[str, Any]) -> None:
    """ValueError and nothing else: it is what the callers handle, at the start and while quoting."""
    with pytest.raises(ValueError):
        spec_of(row)


# -- fees ---------------------------------------------------------------------------------------------------------

TIER = {"tier": "MM", "minVolume30d": "0", "makerFeeBps": "-0.25", "takerFeeBps": "4"}


def test_our_tier_is_the_one_named() -> None:
    body = packed({"current": "MM", "tiers": [{**TIER, "tier": "standard", "makerFeeBps": "1"}, TIER]})
    assert reads.fee_tier(body) == (Decimal("-0.25"), Decimal(4))


def test_a_tier_in_json_numbers_is_exact() -> None:
    numbers = {**TIER, "minVolume30d": 1000000, "makerFeeBps": -0.1, "takerFeeBps": 4}
    for tier in (numbers, without(numbers, "minVolume30d")):
        assert reads.fee_tier(packed({"tiers": [tier], "current": "MM"})) == (Decimal("-0.1"), Decimal(4))


@pytest.mark.parametrize(
    "fees", [{"tiers": [TIER]}, {"tiers": [TIER], "current": None}, {"tiers": [TIER], "current": "x"}, {"tiers": []}]
)
def test_no_tier_of_ours(fees: dict[str, Any]) -> None:
    """Without a key, or of a tier not listed: the market's own fees count then."""
    assert reads.fee_tier(packed(fees)) is None


@pytest.mark.parametrize("maker", ["NaN", "free", "1e-1", "", None, True, [], 1e-9])
def test_a_fee_that_is_none(maker: object) -> None:
    with pytest.raises(ValueError):
        reads.fee_tier(packed({"tiers": [{**TIER, "makerFeeBps": maker}], "current": "MM"}))


# -- open orders --------------------------------------------------------------------------------------------------

ORDER: dict[str, Any] = {
    "id": "O1",
    "marketId": "BTC-PERP",
    "clientOrderId": "mk-1",
    "side": "buy",
    "price": "50000.1",
    "quantity": "0.020",
    "filledQuantity": "0.005",
    "remainingQuantity": "0.015",
    "status": "partially_filled",
}
SEEN = OrderSeen("BTC-PERP", "O1", "mk-1", Side.BUY, Decimal("50000.1"), Decimal("0.015"))


@pytest.mark.parametrize("body", [packed({"orders": [ORDER], "next": None}), packed([ORDER])], ids=["object", "array"])
def test_open_orders_in_either_shape(body: bytes) -> None:
    assert reads.open_orders(body) == (SEEN,)


@pytest.mark.parametrize("body", [b'{"orders":[]}', b"[]"])
def test_nothing_rests(body: bytes) -> None:
    assert reads.open_orders(body) == ()


OVER = ("filled", "cancelled", "canceled", "CANCELED", "rejected", "expired")


def test_what_is_over_does_not_rest() -> None:
    """Should the read list past orders too."""
    over = [{**ORDER, "status": status} for status in OVER]
    assert reads.open_orders(packed([*over, {**ORDER, "status": "open"}, *over])) == (SEEN,)


def test_orders_of_others_and_of_other_markets_are_seen() -> None:
    """A foreign order has no id of ours; all markets count for an empty account."""
    foreign = {**without(ORDER, "clientOrderId", "price"), "marketId": "X", "side": "sell"}
    assert reads.open_orders(packed([foreign])) == (
        OrderSeen("X", "O1", None, Side.SELL, Decimal(0), Decimal("0.015")),
    )


@pytest.mark.parametrize("status", ["new", "accepted", "pending", "pending_cancel", "OPEN", "untriggered", ""])
def test_an_order_of_unknown_status_rests(status: str) -> None:
    """S3: the statuses are our guess. An order that the exchange lists is not read as "empty" for a word we lack."""
    assert len(reads.open_orders(packed([{**ORDER, "status": status}]))) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"1",
        b'{"orders":null}',
        b'{"orders":{}}',
        b"[{}]",
        b"[null]",
        b'{"error":"X"}',
        b"<html>",
        packed([{**ORDER, "side": "long"}]),
        packed([{**ORDER, "price": "NaN"}]),
        packed([{**ORDER, "remainingQuantity": "1e9"}]),
        packed([without(ORDER, "status")]),
        packed([ORDER])[:-1],
        DEEP,
    ],
    ids=lambda body: repr(body)[-30:],
)
def test_open_orders_that_make_no_sense(body: bytes) -> None:
    """Never "nothing rests": ValueError, and the reader knows that it does not know."""
    with pytest.raises(ValueError):
        reads.open_orders(body)


# -- positions, trades, balances ----------------------------------------------------------------------------------

POSITION: dict[str, Any] = {
    "id": "P1",
    "marketId": "BTC-PERP",
    "side": "buy",
    "quantity": "0.020",
    "entryPrice": "50000.123456",
    "realizedPnl": "-3.25",
    "status": "open",
}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, PositionSeen("BTC-PERP", "P1", 20, Decimal("50000.123456"), Decimal("-3.25"))),
        ({"side": "sell"}, PositionSeen("BTC-PERP", "P1", -20, Decimal("50000.123456"), Decimal("-3.25"))),
        ({"status": "closed"}, PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25"))),
        ({"status": "CLOSED"}, PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25"))),
        (
            {"status": "closed", "side": "", "quantity": "0"},
            PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25")),
        ),
        ({"quantity": "0"}, PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25"))),
        ({"realizedPnl": None}, PositionSeen("BTC-PERP", "P1", 20, Decimal("50000.123456"), Decimal(0))),
        (
            {"quantity": "0", "side": "flat", "entryPrice": None},
            PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25")),
        ),
        ({"quantity": "0", "side": None}, PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25"))),
        ({"quantity": "0", "entryPrice": ""}, PositionSeen("BTC-PERP", "P1", 0, Decimal(0), Decimal("-3.25"))),
    ],
    ids=[
        "long",
        "short",
        "closed",
        "CLOSED",
        "closed without side",
        "open at nothing",
        "no profit",
        "flat",
        "no side",
        "no entry price",
    ],
)
def test_positions(change: dict[str, Any], seen: PositionSeen) -> None:
    assert reads.positions(packed([{**POSITION, **change}]), GRIDS) == (seen,)


def test_positions_elsewhere_are_left_out() -> None:
    """A market we do not quote, whatever its grid."""
    assert reads.positions(packed([{**POSITION, "marketId": "X", "quantity": "0.00000001"}, POSITION]), GRIDS) == (
        PositionSeen("BTC-PERP", "P1", 20, Decimal("50000.123456"), Decimal("-3.25")),
    )


def test_open_positions_elsewhere_are_told_by_market() -> None:
    """Signed base units, off any grid of ours; none that is closed or flat, and none of a market of ours."""
    other = {**POSITION, "marketId": "X"}
    rows = [POSITION, {**other, "quantity": "0.00000001"}, {**other, "side": "sell"}, {**other, "status": "CLOSED"}]
    rows += [{**other, "quantity": "0", "side": None, "entryPrice": None}]
    assert reads.elsewhere(packed(rows), GRIDS) == (("X", Decimal("0.00000001")), ("X", Decimal("-0.02")))


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "-0.02"},
        {"quantity": "0.0001"},
        {"quantity": None},
        {"side": "short"},
        {"side": None},
        {"entryPrice": "NaN"},
        {"entryPrice": None},
        {"realizedPnl": "1e2"},
        {"marketId": None},
        {"marketId": 7},
    ],
    ids=str,
)
def test_positions_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        reads.positions(packed([{**POSITION, **change}]), GRIDS)


TRADE: dict[str, Any] = {
    "id": "T1",
    "marketId": "BTC-PERP",
    "side": "buy",
    "price": "50000.1",
    "quantity": "0.020",
    "liquidity": "maker",
    "createdAt": "2026-11-22T10:00:00.123Z",
}
FILL = Fill("BTC-PERP", "T1", Side.BUY, 500_001, 20, Liquidity.MAKER, 1_795_341_600_123)


def test_own_trades_come_oldest_first() -> None:
    """By time, then by id; of all our markets; others left out."""
    rows = [
        {**TRADE, "id": "A9", "createdAt": "2026-11-22T10:00:00.124Z", "orderId": "O1", "clientOrderId": "mk-1"},
        {**TRADE, "id": "T2"},
        {**TRADE, "marketId": "X", "price": "any"},
        TRADE,
        {**TRADE, "id": "T0", "marketId": "ETH-PERP", "price": "3000.01", "createdAt": "2026-11-22T11:00:00.122+01:00"},
    ]
    fills = reads.own_trades(packed(rows), GRIDS)
    assert [fill.trade_id for fill in fills] == ["T0", "T1", "T2", "A9"]
    assert fills[1] == FILL
    assert (fills[3].order_id, fills[3].client_order_id) == ("O1", "mk-1")
    assert fills[0].ticks == 300_001


@pytest.mark.parametrize(
    "change",
    [
        {"createdAt": "now"},
        {"createdAt": "2026-11-22T10:00:00"},
        {"price": "0"},
        {"quantity": "-0.02"},
        {"liquidity": "?"},
        {"side": "BUY "},
    ],
    ids=str,
)
def test_trades_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        reads.own_trades(packed([{**TRADE, **change}]), GRIDS)


@pytest.mark.parametrize(
    "odd",
    [{"marketId": "BTC-USDC-SPOT", "quantity": "1"}, {"marketId": "X", "id": 7, "price": 0.1, "quantity": {}}],
    ids=str,
)
def test_an_odd_row_of_another_market_hides_no_row_of_ours(odd: object) -> None:
    """A spot market's rows need not look like a perpetual's, and say nothing against them."""
    assert len(reads.positions(packed([odd, POSITION]), GRIDS)) == 1
    assert reads.elsewhere(packed([odd, POSITION]), GRIDS) == ()
    assert reads.own_trades(packed([odd, TRADE]), GRIDS) == (FILL,)


@pytest.mark.parametrize("odd", [{"marketId": "ETH-PERP"}, {"quantity": "1"}, {"marketId": None}, [], None, 7], ids=str)
def test_an_odd_row_that_may_be_ours_is_not_left_out(odd: object) -> None:
    with pytest.raises(ValueError):
        reads.positions(packed([POSITION, odd]), GRIDS)
    with pytest.raises(ValueError):
        reads.elsewhere(packed([POSITION, odd]), GRIDS)
    with pytest.raises(ValueError):
        reads.own_trades(packed([TRADE, odd]), GRIDS)


def test_a_trade_off_the_grid_is_older_than_the_grid() -> None:
    """One trade from before a change of the grid must not keep us from reading the others."""
    assert len(reads.own_trades(packed([{**TRADE, "price": "50000.15"}, TRADE]), GRIDS)) == 1


BUCKET = {
    "bucket": "perps",
    "asset": "USDC",
    "balance": "1000.25",
    "available": "-0.5",
    "equity": "999",
    "unrealizedPnl": "-1.25",
    "marginUsed": "10",
}


def test_the_perps_bucket_is_the_balance() -> None:
    body = packed({"balances": [{**BUCKET, "bucket": "wallet", "balance": "7"}, BUCKET]})
    assert reads.balance(body) == BalanceRead(Decimal("1000.25"), Decimal("-0.5"), Decimal(999))


@pytest.mark.parametrize(
    "odd",
    [{"bucket": "spot", "asset": "BTC", "balance": "1"}, {**BUCKET, "bucket": "options", "equity": None}],
    ids=str,
)
def test_an_odd_row_of_another_bucket_hides_no_perps(odd: object) -> None:
    assert reads.balance(packed({"balances": [odd, BUCKET]})).equity == Decimal(999)


@pytest.mark.parametrize("odd", [{"bucket": "perps"}, {"balance": "1"}, {"bucket": None}, None, 7], ids=str)
def test_an_odd_row_that_may_be_of_the_perps_bucket_is_not_left_out(odd: object) -> None:
    with pytest.raises(ValueError):
        reads.balance(packed({"balances": [BUCKET, odd]}))


@pytest.mark.parametrize("asset", ["USDC", "usdc", "USD", "USDT"])
def test_of_several_assets_the_quote_currency_is_the_balance(asset: str) -> None:
    """Half a bitcoin that stood first was taken for an equity of 0.5."""
    rows = [{**BUCKET, "asset": "BTC", "equity": "0.5"}, {**BUCKET, "asset": asset}, {**BUCKET, "asset": None}]
    for body in (rows, rows[::-1]):
        assert reads.balance(packed({"balances": body})).equity == Decimal(999)


@pytest.mark.parametrize("asset", ["USDC", "EURC", "", None])
def test_a_single_balance_is_taken_whatever_its_asset(asset: object) -> None:
    assert reads.balance(packed({"balances": [{**BUCKET, "asset": asset}]})).equity == Decimal(999)


@pytest.mark.parametrize("assets", [["BTC", "ETH"], ["USDC", "USD"], ["USDC", "USDC"], [None, None], [None, "BTC"]])
def test_a_balance_that_would_have_to_be_guessed(assets: list[object]) -> None:
    with pytest.raises(ValueError, match=f"cannot be told: {assets[0]}, {assets[1]}"):
        reads.balance(packed({"balances": [{**BUCKET, "asset": asset} for asset in assets]}))


@pytest.mark.parametrize("name", ["asset", "unrealizedPnl", "marginUsed"])
def test_what_is_not_needed_of_a_balance_need_not_be_stated(name: str) -> None:
    for body in (without(BUCKET, name), {**BUCKET, name: None}):
        assert reads.balance(packed({"balances": [body]})).equity == Decimal(999)


@pytest.mark.parametrize(
    "balances", [[], [{**BUCKET, "bucket": "spot"}], [{**BUCKET, "balance": "NaN"}], [without(BUCKET, "available")], {}]
)
def test_a_balance_that_is_not_there(balances: object) -> None:
    with pytest.raises(ValueError):
        reads.balance(packed({"balances": balances}))


# -- previews -----------------------------------------------------------------------------------------------------

ASKED = PreviewOrder("BTC-PERP", Side.SELL, 500_010, 20)
PREVIEWED = {
    "notional": "1000.02",
    "marginRequired": "60.0012",
    "estFee": "-0.02",
    "feeBps": "-0.2",
    "feeRole": "maker",
    "approved": False,
    "reason": "INSUFFICIENT_MARGIN",
    "rolling30dVolume": "123456.7",
}


def test_a_preview() -> None:
    """Also of an order that would be refused: what it would take is stated all the same."""
    assert reads.preview(ASKED, packed(PREVIEWED)) == PreviewRead(
        "BTC-PERP",
        Side.SELL,
        Decimal("1000.02"),
        Decimal("60.0012"),
        Decimal("-0.2"),
        Liquidity.MAKER,
        Decimal("123456.7"),
    )


@pytest.mark.parametrize("field", ["notional", "marginRequired", "feeBps", "feeRole", "rolling30dVolume"])
@pytest.mark.parametrize("value", ["NaN", "1e5", 5, "both"])
def test_a_preview_that_makes_no_sense(field: str, value: object) -> None:
    with pytest.raises(ValueError):
        reads.preview(ASKED, packed({**PREVIEWED, field: value}))


@pytest.mark.parametrize("field", ["notional", "marginRequired", "feeBps", "feeRole"])
def test_a_preview_without_what_it_is_asked_for(field: str) -> None:
    for body in (without(PREVIEWED, field), {**PREVIEWED, field: None}):
        with pytest.raises(ValueError):
            reads.preview(ASKED, packed(body))


@pytest.mark.parametrize("field", ["rolling30dVolume", "estFee", "approved", "reason"])
def test_a_preview_teaches_margin_and_fee_whatever_else_it_leaves_out(field: str) -> None:
    """The name of the rolling volume is a guess: under another one, no preview taught anything."""
    for body in (without(PREVIEWED, field), {**PREVIEWED, field: None}):
        read = reads.preview(ASKED, packed(body))
        assert (read.notional, read.margin_required) == (Decimal("1000.02"), Decimal("60.0012"))
        assert (read.fee_bps, read.liquidity) == (Decimal("-0.2"), Liquidity.MAKER)
        assert (read.volume_30d is None) is (field == "rolling30dVolume")


def test_a_volume_that_is_not_stated_is_not_told() -> None:
    read = reads.preview(ASKED, packed(without(PREVIEWED, "rolling30dVolume")))
    assert Terms().learn(read, Decimal(5), 0.0) == "BTC-PERP: the maker fee is now -0.2 bp, it was 5 bp"


def test_the_reads_together() -> None:
    seen = PositionSeen("BTC-PERP", "P1", 20, Decimal(1), Decimal(0))
    assert reads.account([seen], iter([FILL]), BalanceRead(Decimal(3), Decimal(2), Decimal(4))) == AccountRead(
        (seen,), (FILL,), Decimal(3), Decimal(2), Decimal(4)
    )


# -- market stats -------------------------------------------------------------------------------------------------

STATS = {
    "marketId": "BTC-PERP",
    "markPrice": "50000.12",
    "indexPrice": "49999.5",
    "fundingRate": "-0.0001",
    "high24h": "51000",
    "openInterest": None,
}
READ = MarketStats("BTC-PERP", Decimal("50000.12"), Decimal("49999.5"), Decimal("-0.0001"))


def test_stats_of_one_or_of_several() -> None:
    assert reads.market_stats(packed(STATS)) == (READ,)
    assert reads.market_stats(packed([STATS, {**STATS, "marketId": "X"}])) == (
        READ,
        MarketStats("X", READ.mark, READ.index, READ.funding_rate),
    )
    assert reads.market_stats(b"[]") == ()


@pytest.mark.parametrize(
    "change", [{"markPrice": "NaN"}, {"indexPrice": 50000}, {"fundingRate": "1e-4"}, {"marketId": None}], ids=str
)
def test_stats_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        reads.market_stats(packed({**STATS, **change}))


@pytest.mark.parametrize("stated", [{}, {"fundingRate": None}, {"fundingRate": ""}], ids=["absent", "null", "empty"])
def test_stats_of_a_market_without_funding(stated: dict[str, Any]) -> None:
    """A dated future has none: its mark and index are as good as any."""
    row = {name: value for name, value in STATS.items() if name != "fundingRate"} | stated
    assert reads.market_stats(packed(row)) == (MarketStats("BTC-PERP", READ.mark, READ.index, None),)
    assert reads.market_stats(packed([row, STATS]))[1] == READ


ODD_ROWS: list[Any] = [
    {**STATS, "marketId": "NEW-PERP", "markPrice": None, "indexPrice": None},
    {"marketId": "NEW-PERP"},
    {**STATS, "marketId": None},
    {**STATS, "marketId": "NEW-PERP", "indexPrice": "1e5"},
    None,
    [],
    7,
]


@pytest.mark.parametrize("odd", [None, [], 7, {"id": 7}, {"id": "NEW-PERP", "tickSize": 0.1}], ids=str)
def test_an_odd_row_of_the_listing_hides_no_other(odd: object) -> None:
    """A market of a kind that is not known yet kept the bands of all from being read, and every start from starting."""
    assert list(reads.markets(packed([odd, {"id": "BTC-PERP"}]))) == ["BTC-PERP"]
    with pytest.raises(ValueError):
        reads.markets(packed([odd]))


@pytest.mark.parametrize("odd", ODD_ROWS, ids=str)
def test_an_odd_row_hides_no_other(odd: object) -> None:
    """One market that was listed and not priced yet hid the index of all."""
    for body in (packed([odd, STATS]), b" \n" + packed([STATS, odd])):
        assert reads.market_stats(body) == reads.market_stats(body, "BTC-PERP") == (READ,)
    with pytest.raises(ValueError):
        reads.market_stats(packed([odd]))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([{**STATS, "indexPrice": None}, {**STATS, "marketId": "X"}], "indexPrice"),
        ([{**STATS, "marketId": "X", "markPrice": "1e3"}, {**STATS, "indexPrice": "1e5"}], "1e5"),
        ([{**STATS, "marketId": "X"}], "no good row of BTC-PERP"),
        ([], "no good row of BTC-PERP"),
        ({**STATS, "markPrice": None}, "markPrice"),
    ],
)
def test_what_is_wrong_with_the_row_that_was_asked_for_is_told(body: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        reads.market_stats(packed(body), "BTC-PERP")


# -- anything -----------------------------------------------------------------------------------------------------


def specs(body: bytes) -> None:
    for market_id, row in reads.markets(body).items():
        reads.market_type(row)
        reads.is_active(row)
        spec = reads.market_spec(market_id, row, None, None)
        assert spec.maker_fee_bps.is_finite()


READERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (specs, packed([CURRENT_MARKET | OLDER_MARKET, OLDER_MARKET])),
    (reads.fee_tier, packed({"tiers": [TIER], "current": "MM"})),
    (reads.open_orders, packed({"orders": [ORDER]})),
    (reads.open_orders, packed([ORDER])),
    (lambda body: reads.positions(body, GRIDS), packed([POSITION])),
    (lambda body: reads.own_trades(body, GRIDS), packed([TRADE])),
    (reads.balance, packed({"balances": [BUCKET]})),
    (reads.market_stats, packed([STATS])),
    (reads.market_stats, packed(STATS)),
]
ODD_TEXTS = ["NaN", "1e9", "-", "Infinity", "-1", "0", "", "9" * 40, "1_000", "x", "9999-12-31T23:59:59.999+00:00"]
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(ODD_TEXTS))


@pytest.mark.parametrize("number", range(len(READERS)))
def test_every_reader_reads_its_example(number: int) -> None:
    """The counterpart of the garbage below."""
    reader, body = READERS[number]
    reader(body)


def test_a_candle_that_only_carries_the_last_close_on_is_none() -> None:
    """No trade and one price: it says that nobody was there, not that the market stood still."""
    traded = {"time": "2026-01-05T00:00:00.000Z", "open": "1", "high": "1", "low": "1", "close": "1", "volume": "2"}
    carried = {**traded, "time": "2026-01-05T00:01:00.000Z", "volume": "0"}
    quoted = {**carried, "time": "2026-01-05T00:02:00.000Z", "high": "3", "close": "3"}
    closes = reads.closes(json.dumps([traded, carried, quoted]).encode())
    assert [close for _, close in closes] == [Decimal(1), Decimal(3)]


@pytest.mark.parametrize("number", range(len(READERS)))
def test_deep_nesting(number: int) -> None:
    """The JSON reader's own way of giving up is a ValueError here too."""
    for body in (DEEP, b"[" + DEEP + b"]"):
        with pytest.raises(ValueError):
            READERS[number][0](body)


@settings(max_examples=300)
@given(st.sampled_from(READERS), st.data())
def test_mutated_values(case: tuple[Callable[[bytes], object], bytes], data: st.DataObject) -> None:
    """Any value anywhere in the JSON replaced: a fact or ValueError."""
    reader, body = case
    tree = json.loads(body)
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(ODD)
        break
    only_value_error(reader, packed(tree))


@given(st.sampled_from(READERS), st.data())
def test_mutated_bytes(case: tuple[Callable[[bytes], object], bytes], data: st.DataObject) -> None:
    reader, body = case
    mutated = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    only_value_error(reader, bytes(mutated))


def only_value_error(reader: Callable[[bytes], object], body: bytes) -> None:
    try:
        reader(body)
    except ValueError:
        return
