"""Money: fees, positions, balances, margin, funding, liquidation, mark and statistics."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.paper import spelling
from maker.paper.exchange import Exchange
from maker.paper.margin import SCENARIOS, Exposure, initial_margin, maintenance_margin
from maker.paper.market import MARK_DISTANCE_MAX_BPS, default_markets, funding_rate, mark_price, price_band
from maker.paper.money import is_ordinary, plain
from maker.paper.orders import CancelScope
from maker.paper.state import INSURANCE, ExchangeSettings
from tests.paper.exchange_kit import (
    BTC,
    ETH,
    FUTURE,
    MAKERS,
    MARKETS,
    NOW,
    SPOT,
    TAKERS,
    D,
    bulk,
    crowd,
    level,
    make,
    place,
    refused,
    resting,
)

MINUTE = 60_000


def buy(exchange: Exchange, price: str, quantity: str, market_id: str = BTC) -> None:
    """Buy from a crowd that quotes exactly that."""
    crowd(exchange, "sell", price, quantity, market_id)
    assert place(exchange, "buy", price, quantity, market_id).status == "filled"


def sell(exchange: Exchange, price: str, quantity: str, market_id: str = BTC) -> None:
    """Sell to a crowd that quotes exactly that."""
    crowd(exchange, "buy", price, quantity, market_id)
    assert place(exchange, "sell", price, quantity, market_id).status == "filled"


def perps(exchange: Exchange) -> tuple[Decimal, Decimal, Decimal]:
    (bucket,) = [each for each in exchange.balances(exchange.user_id) if each.bucket == "perps"]
    return bucket.balance, bucket.unrealized_pnl, bucket.equity


def test_a_position_from_open_through_average_and_part_to_close() -> None:
    """Entry is the average, realised profit comes from what is closed, the id lives from open to close."""
    exchange = make()
    user = exchange.user_id
    buy(exchange, "60000", "1")
    buy(exchange, "60003", "2")
    (position,) = exchange.positions(user)
    assert (position.side, position.quantity, position.entry_price) == ("buy", D(3), D(60002))
    assert (position.realized_pnl, position.status, position.version) == (D(0), "open", 2)
    sell(exchange, "60012", "1")
    (position,) = exchange.positions(user)
    assert (position.quantity, position.entry_price, position.realized_pnl) == (D(2), D(60002), D(10))
    sell(exchange, "60012", "2")
    assert exchange.positions(user, open_only=True) == ()
    (closed,) = exchange.positions(user)
    assert (closed.position_id, closed.status, closed.side) == (position.position_id, "closed", "buy")
    assert (closed.quantity, closed.realized_pnl) == (D(0), D(30))
    assert exchange.positions_version(user) == 4
    assert exchange.positions(user, since_version=4) == ()


def test_unrealised_profit_is_measured_from_the_entry() -> None:
    """Long and short, at the mark; the balance is what is settled."""
    exchange = make()
    buy(exchange, "60000", "2")
    exchange.set_index(BTC, D("60100"))
    assert perps(exchange) == (D("99940"), D(200), D("100140"))
    sell(exchange, "60100", "3")
    exchange.set_index(BTC, D("60090"))
    fees = (D("120000") + D("180300")) * D("0.0005")
    assert perps(exchange) == (D("100200") - fees, D(10), D("100210") - fees)


def test_a_flip_closes_one_position_and_opens_another() -> None:
    """Through zero the profit is the old position's, and the new one starts clean at the trade's price."""
    exchange = make()
    user = exchange.user_id
    buy(exchange, "60000", "1")
    sell(exchange, "60010", "3")
    closed, opened = exchange.positions(user)
    assert (closed.status, closed.realized_pnl) == ("closed", D(10))
    assert (opened.status, opened.side, opened.quantity, opened.entry_price) == ("open", "sell", D(2), D(60010))
    assert opened.realized_pnl == 0
    assert closed.position_id != opened.position_id
    assert len(exchange.positions(user, since_version=1)) == 2
    assert exchange.positions(user, market_id=ETH) == ()
    buy(exchange, "60000", "1")
    assert exchange.positions(user, open_only=True)[0].realized_pnl == D(10)


def test_an_average_that_does_not_end_is_rounded_to_28_digits_and_equity_is_not() -> None:
    """A third is cut at 28 digits where it is shown; equity is exact all the same."""
    exchange = make(deposit="1000000")
    buy(exchange, "60000", "1")
    buy(exchange, "60000.5", "2")
    (position,) = exchange.positions(exchange.user_id)
    assert plain(position.entry_price) == "60000.33333333333333333333333"
    cash = D("1000000") - D("180001") - D("180001") * D("0.0005")
    assert exchange.equity(exchange.user_id) == cash + 3 * exchange.mark(BTC)
    balance, unrealized, equity = perps(exchange)
    assert balance + unrealized == equity == exchange.equity(exchange.user_id)


def test_realised_profit_is_exact_where_the_average_is_not() -> None:
    """A close pays out what is left of the cost: over a position's life nothing is lost to the rounded average."""
    exchange = make(deposit="1000000")
    user = exchange.user_id
    buy(exchange, "60000", "0.001")
    buy(exchange, "60000.5", "0.002")
    sell(exchange, "60001", "0.001")  # two thirds of a thousandth: no decimal ends it
    (position,) = exchange.positions(user)
    assert plain(position.entry_price) == "60000.33333333333333333333333"
    assert plain(position.realized_pnl) == "0.000666666666666667"
    sell(exchange, "60001", "0.002")
    (closed,) = exchange.positions(user)
    assert spelling.amount(closed.realized_pnl) == "0.002"
    assert perps(exchange)[1] == 0


def test_a_part_that_divides_evenly_is_exact_at_once() -> None:
    """Half of a cost without an exact average is exact: a short of three, closed one and a half."""
    exchange = make(deposit="1000000")
    sell(exchange, "60000", "0.002")
    sell(exchange, "60000.5", "0.004")
    buy(exchange, "60001", "0.003")
    (position,) = exchange.positions(exchange.user_id)
    assert spelling.amount(position.realized_pnl) == "-0.002"
    assert position.entry_price == D("60000.33333333333333333333333")


def test_fees_and_rebates_are_exact() -> None:
    """A taker pays five basis points, a maker earns half of one, unrounded; both count towards the volume."""
    exchange = make()
    user = exchange.user_id
    crowd(exchange, "sell", "60000.5", "0.001")
    place(exchange, "buy", "60000.5", "0.001")
    place(exchange, "buy", "59999.5", "0.001")
    crowd(exchange, "sell", "59999.5", "0.001", account=TAKERS)
    taker, maker = exchange.own_trades(user)
    assert (taker.liquidity, taker.fee) == ("taker", D("0.03000025"))
    assert (maker.liquidity, maker.fee) == ("maker", D("-0.002999975"))
    assert (taker.index, maker.index, exchange.own_trade_count(user)) == (1, 2, 2)
    assert exchange.own_trades(user, since_index=1) == (maker,)
    assert exchange.own_trades(user, limit=1) == (maker,)
    assert exchange.own_trades(user, market_id=ETH) == ()
    assert exchange.volume_30d(user, NOW) == D("60.0005") + D("59.9995")
    assert exchange.volume_30d(user, NOW + 30 * 24 * 60 * MINUTE) == 0


def test_balances_name_four_buckets_and_transfers_move_between_them() -> None:
    """Perps carries equity and margin; only what margin leaves free can be moved away."""
    exchange = make()
    user = exchange.user_id
    assert [each.bucket for each in exchange.balances(user)] == ["wallet", "perps", "options", "spot"]
    buy(exchange, "60000", "1")
    wallet, bucket, _, _ = exchange.balances(user)
    assert (wallet.balance, wallet.available, wallet.margin_used) == (D(500), D(500), D(0))
    assert bucket.margin_used == D("3600")  # six per cent of 60000
    assert bucket.equity == D("100000") - D("30")
    assert bucket.available == bucket.equity - D("3600")
    exchange.transfer(user, "wallet", "perps", D("500"), NOW)
    exchange.transfer(user, "perps", "options", D("96870"), NOW)
    wallet, bucket, options, _ = exchange.balances(user)
    assert (wallet.balance, bucket.available, options.balance) == (D(0), D(0), D("96870"))
    for code, source, target, amount in (
        ("INSUFFICIENT_BUCKET", "perps", "wallet", "0.01"),
        ("INSUFFICIENT_BUCKET", "options", "wallet", "96870.01"),
        ("INVALID_BUCKET", "perps", "perps", "1"),
        ("INVALID_BUCKET", "perps", "bank", "1"),
        ("INVALID_BUCKET", "bank", "perps", "1"),
        ("INVALID_AMOUNT", "options", "perps", "-1"),
        ("INVALID_AMOUNT", "options", "perps", "NaN"),
    ):
        refused(code, 400, lambda s=source, t=target, a=amount: exchange.transfer(user, s, t, D(a), NOW))  # type: ignore[misc]


def test_margin_counts_the_worse_side_of_open_orders() -> None:
    """Bids and asks do not add up: only one side can become the worst position."""
    exchange = make()
    place(exchange, "buy", "59900", "20")
    place(exchange, "sell", "60100", "20")
    (bucket,) = [each for each in exchange.balances(exchange.user_id) if each.bucket == "perps"]
    assert bucket.margin_used == D("20") * exchange.mark(BTC) * D("0.06")
    refused("INSUFFICIENT_MARGIN", 422, lambda: place(exchange, "buy", "59900", "8"))
    assert place(exchange, "buy", "59900", "7.7").status == "open"


def test_equity_equal_to_the_requirement_is_enough() -> None:
    """The gate refuses the first cent too little, not the last cent enough."""
    exchange = make(deposit="3600")
    assert place(exchange, "buy", "59000", "1").status == "open"
    refused("INSUFFICIENT_MARGIN", 422, lambda: place(exchange, "buy", "59000", "0.001"))
    short = make(deposit="3599.99")
    refused("INSUFFICIENT_MARGIN", 422, lambda: place(short, "buy", "59000", "1"))


def test_resting_reduce_only_orders_need_no_margin() -> None:
    """An exit beside asks that could turn the position adds nothing to what the asks need."""
    exchange = make()
    user = exchange.user_id
    buy(exchange, "60000", "1")
    place(exchange, "sell", "60100", "3")
    used = exchange.balances(user)[1].margin_used
    assert used == D(2) * 60000 * D("0.06")
    place(exchange, "sell", "60101", "1", reduce_only=True)
    assert exchange.balances(user)[1].margin_used == used


def test_margin_nets_within_an_underlying_and_adds_between_them() -> None:
    """A long perpetual against a short future of the same coin needs nothing; another coin adds."""
    exchange = make()
    user = exchange.user_id
    buy(exchange, "60000", "10")
    sell(exchange, "60000", "10", FUTURE)
    assert exchange.balances(user)[1].margin_used == 0
    buy(exchange, "3000", "10", ETH)
    assert exchange.balances(user)[1].margin_used == D("1800")


def test_margin_formula_by_hand() -> None:
    """Worst scenario over both directions, entry losses included, against numbers worked out by hand."""
    exposure = Exposure(underlying="X", mark=D(100), position=D(10))
    assert initial_margin([exposure]) == D(60)
    assert maintenance_margin([exposure]) == D(30)
    exposure.add_order("sell", D(100), D(30))  # worst: all sold, twenty short, price up
    assert initial_margin([exposure]) == D(120)
    exposure.add_order("buy", D(104), D(30))  # worst: forty long, price down, and four lost on each bought
    assert initial_margin([exposure]) == D(40) * 6 + D(30) * 4
    assert maintenance_margin([exposure]) == D(30)
    assert initial_margin([]) == 0


sizes = st.decimals(0, 100, places=3)
exposures = st.lists(
    st.builds(
        Exposure,
        underlying=st.sampled_from(["X", "Y"]),
        mark=st.decimals(1, 1000, places=2),
        position=st.decimals(-100, 100, places=3),
        bids=sizes,
        asks=sizes,
        entry_bids=sizes,
        entry_asks=sizes,
    ),
    max_size=5,
)


@given(exposures)
def test_no_scenario_is_worse_than_the_two_outermost(found: list[Exposure]) -> None:
    """Margin looks at two of the sixteen, for a loss is convex in the move."""
    whole = D(0)
    for underlying in ("X", "Y"):
        group = [each for each in found if each.underlying == underlying]
        whole += max(D(0), *(sum((each.loss(scenario) for each in group), D(0)) for scenario in SCENARIOS))
    assert initial_margin(found) == whole


def test_reduce_only_passes_the_gate_when_nothing_else_does() -> None:
    """Under water a user may still reduce, in a ladder too, and may not add."""
    exchange = make(deposit="3700")
    user = exchange.user_id
    buy(exchange, "60000", "1")
    exchange.set_index(BTC, D("59900"))
    refused("INSUFFICIENT_MARGIN", 422, lambda: place(exchange, "buy", "59000", "0.01"))
    assert place(exchange, "sell", "60100", "0.5", reduce_only=True).status == "open"
    exits = bulk("q", level("sell", "60050", "0.5", reduce_only=True))
    assert exchange.place_bulk(user, exits, NOW).orders[0].status == "open"
    assert exchange.close_position(user, BTC, D("0.1"), NOW).status == "cancelled"  # nobody there, but let through


def test_a_market_order_is_gated_at_what_the_book_would_charge() -> None:
    """A market order into a thin book counts the price it would pay, and only what it would get."""
    exchange = make(deposit="650")
    crowd(exchange, "sell", "60000", "0.1")
    crowd(exchange, "sell", "63000", "0.1")
    refused("INSUFFICIENT_MARGIN", 422, lambda: place(exchange, "buy", None, "0.2"))
    assert place(exchange, "buy", None, "0.1").status == "filled"


@pytest.mark.parametrize(
    ("bid", "ask", "mark"),
    [
        (None, None, "60000"),
        ("59990", None, "60000"),
        (None, "60010", "60000"),
        ("59990", "60020", "60005"),
        ("59999.5", "60000", "59999.75"),
        ("59800", "60200", "60000"),  # 66 bp wide: not healthy
        ("60590", "60600", "60595"),  # 99 bp away
        ("60600", "60610", "60000"),  # 101 bp away: not near the index
    ],
)
def test_the_mark_follows_a_healthy_mid_near_the_index(bid: str | None, ask: str | None, mark: str) -> None:
    """Two-sided, tight and near: the mid; anything else: the index."""
    assert D(100) == MARK_DISTANCE_MAX_BPS
    best = [None if each is None else D(each) for each in (bid, ask)]
    assert mark_price(D("60000"), *best) == D(mark)


def test_bands_move_with_the_index_on_the_tick() -> None:
    """Five per cent either side, rounded inwards to the tick."""
    assert price_band(D("60000"), D("0.5")) == (D("57000"), D("63000"))
    assert price_band(D("60001.23"), D("0.5")) == (D("57001.5"), D("63001.0"))
    exchange = make()
    exchange.set_index(BTC, D("50000"))
    listing = exchange.listing(BTC)
    assert (listing.price_band_low, listing.price_band_high) == (D("47500"), D("52500"))
    with pytest.raises(ValueError, match="index"):
        exchange.set_index(BTC, D("0"))
    with pytest.raises(ValueError, match="index"):
        exchange.set_index(BTC, D("NaN"))


def test_funding_is_exchanged_every_five_minutes_and_sums_to_zero() -> None:
    """Longs pay shorts at a positive rate, into a ledger of its own, exactly once a period."""
    exchange = make()
    user = exchange.user_id
    due = exchange.statistics(BTC, NOW).next_funding_ms
    assert due % 300_000 == 0
    assert NOW < due <= NOW + 300_000
    buy(exchange, "60000", "2")
    crowd(exchange, "buy", "60059.5", "1")
    crowd(exchange, "sell", "60060.5", "1")
    equity = exchange.equity(user)
    exchange.advance(due - 1)
    assert exchange.funding_history(user) == ()
    exchange.advance(due)
    exchange.advance(due + 1)
    (payment,) = exchange.funding_history(user)
    assert (payment.rate, payment.mark, payment.position) == (D("0.001"), D("60060"), D(2))
    assert payment.paid == D("120.12")
    assert exchange.equity(user) == equity - D("120.12")
    assert sum(account.funding_paid for account in exchange.state.accounts.values()) == 0
    exchange.advance(due + 3_000_000)  # after a long stop: one period, not ten
    assert len(exchange.funding_history(user)) == 2
    assert exchange.statistics(BTC, NOW).next_funding_ms == due + 3_300_000


def test_funding_is_capped_and_shorts_pay_below_the_index() -> None:
    """The rate stops at 25 basis points either way; a negative one is paid by shorts; futures have none."""
    spec = MARKETS[0]
    assert funding_rate(spec, D("60300"), D("60000")) == D("0.0025")
    assert funding_rate(spec, D("59700"), D("60000")) == D("-0.0025")
    assert funding_rate(spec, D("60000.01"), D("60000")) == D("0.0000001667")
    assert funding_rate(MARKETS[2], D("60300"), D("60000")) == 0
    exchange = make()
    sell(exchange, "60000", "1")
    crowd(exchange, "buy", "59939.5", "1")
    crowd(exchange, "sell", "59940.5", "1")
    exchange.advance(NOW + 300_000)
    (payment,) = exchange.funding_history(exchange.user_id)
    assert payment.paid == D("59.94")  # short, negative rate: pays


def test_liquidation_under_maintenance() -> None:
    """Orders go, positions pass to the insurance account at the mark, no trade is seen, and it is recorded."""
    changes: list[dict[str, object]] = []
    exchange = make(deposit="3700", on_change=changes.append)
    user = exchange.user_id
    buy(exchange, "60000", "1")
    place(exchange, "sell", "60100", "0.5", reduce_only=True)
    trades = exchange.own_trade_count(user)
    version = exchange.positions_version(user)
    exchange.set_index(BTC, D("58150"))  # equity 1820, maintenance 1744.5
    exchange.advance(NOW)
    assert exchange.liquidations(user) == ()
    exchange.set_index(BTC, D("58050"))  # equity 1720, maintenance 1741.5
    exchange.advance(NOW)
    (record,) = exchange.liquidations(user)
    assert (record.position, record.mark, record.equity) == (D(1), D("58050"), D("1720"))
    assert record.maintenance == D("1741.5")
    assert resting(exchange) == []
    assert exchange.positions(user, open_only=True) == ()
    (closed,) = exchange.positions(user, since_version=version)
    assert (closed.status, closed.realized_pnl) == ("closed", D("-1950"))
    assert exchange.own_trade_count(user) == trades
    assert exchange.trade_count(BTC) == 1
    assert exchange.equity(user) == D("1720")
    assert exchange.state.accounts[INSURANCE].quantity(BTC) == 1
    assert [change["kind"] for change in changes[-2:]] == ["order", "liquidation"]
    assert changes[-2]["reason"] == "liquidated"
    told = changes[-1]
    assert (told["nowMs"], told["userId"], told["marketId"]) == (NOW, user, BTC)
    amounts = [told[name] for name in ("position", "mark", "equity", "maintenance")]
    assert [D(str(amount)) for amount in amounts] == [D(1), D("58050"), D("1720"), D("1741.5")]
    assert all(isinstance(amount, str) for amount in amounts)
    exchange.advance(NOW)
    assert len(exchange.liquidations(user)) == 1


def test_statistics_candles_and_the_tape() -> None:
    """Everything computed from trades: last, high, low, change, volume of a day; candles by minute and more."""
    exchange = make()
    empty = exchange.statistics(BTC, NOW)
    assert (empty.last, empty.high_24h, empty.volume_24h, empty.open_interest) == (None, None, D(0), D(0))
    start = NOW - NOW % (5 * MINUTE)
    for minutes, price in ((0, "60000"), (0, "60010"), (1, "59990"), (5, "60005")):
        at = start + minutes * MINUTE
        crowd(exchange, "sell", price, "0.5", now_ms=at)
        crowd(exchange, "buy", price, "0.5", account=TAKERS, now_ms=at)
    now = start + 6 * MINUTE
    numbers = exchange.statistics(BTC, now)
    assert (numbers.last, numbers.high_24h, numbers.low_24h) == (D("60005"), D("60010"), D("59990"))
    assert (numbers.change_24h, numbers.volume_24h, numbers.open_interest) == (D("5"), D("2"), D("2"))
    assert (numbers.mark, numbers.index, numbers.funding_rate) == (D("60000"), D("60000"), D(0))
    candles = exchange.candles(BTC)
    assert [(candle.start_ms - start) // MINUTE for candle in candles] == [0, 1, 5]
    first = candles[0]
    assert (first.open, first.high, first.low, first.close) == (D("60000"), D("60010"), D("60000"), D("60010"))
    assert (first.volume, first.trades) == (D("1.0"), 2)
    fives = exchange.candles(BTC, interval_ms=5 * MINUTE)
    assert [(candle.open, candle.close, candle.trades) for candle in fives] == [
        (D("60000"), D("59990"), 3),
        (D("60005"), D("60005"), 1),
    ]
    assert exchange.candles(BTC, limit=1) == candles[-1:]
    for interval, limit in ((1000, 1), (90_000, 1), (MINUTE, 0), (MINUTE, 10**6)):
        refused("INVALID_PARAMETER", 400, lambda i=interval, n=limit: exchange.candles(BTC, interval_ms=i, limit=n))  # type: ignore[misc]
    tomorrow = exchange.statistics(BTC, now + 86_400_000)
    assert (tomorrow.last, tomorrow.high_24h, tomorrow.volume_24h) == (D("60005"), None, D(0))
    assert [trade.index for trade in exchange.market_trades(BTC, since_index=1, limit=2)] == [3, 4]
    assert exchange.trade_count(BTC) == 4


def test_histories_are_bounded() -> None:
    """Tape, candles, own trades and closed positions keep their limits."""
    exchange = make()
    account = exchange.state.accounts[exchange.user_id]
    market = exchange.state.markets[BTC]
    for history in (
        account.trades,
        account.closed,
        account.funding,
        account.liquidations,
        market.tape,
        market.candles.minutes,
    ):
        assert history.maxlen is not None
    for minute in range(1500):
        market.candles.add(D(1), D(1), NOW + minute * MINUTE)
    assert len(market.candles.minutes) == 1441
    for day in range(100):
        account.add_volume(D(1), NOW + day * 86_400_000)
    assert account.volume(NOW + 99 * 86_400_000) == 30
    assert len(account.volume_by_day) == 30


def test_listed_markets_and_fees() -> None:
    """The default listing: three perpetuals that trade, a future and a spot market that are only listed."""
    exchange = Exchange(ExchangeSettings(), now_ms=NOW)
    assert exchange.market_ids() == ("BTC-PERP", "ETH-PERP", "SOL-PERP", "BTC-USDC-2027-06-25", "BTC-USDC-SPOT")
    status = {each.spec.market_id: (each.spec.market_type, each.trading_status) for each in exchange.listings()}
    assert status["BTC-PERP"] == ("perp", "trading")
    assert status["BTC-USDC-2027-06-25"] == ("future", "closed")
    assert status["BTC-USDC-SPOT"] == ("spot", "closed")
    btc = exchange.listing("BTC-PERP").spec
    assert (btc.price_decimals, btc.size_decimals, btc.tick_size, btc.quantity_min) == (1, 4, D("0.1"), D("0.0010"))
    assert (btc.funding_interval_ms, btc.funding_rate_max_bps) == (300_000, D(25))
    assert exchange.listing("BTC-USDC-2027-06-25").spec.expiry == "2027-06-25"
    (tier,) = exchange.fee_tiers()
    assert (tier.tier, tier.maker_fee_bps, tier.taker_fee_bps) == ("standard", D("-0.5"), D(5))
    assert tier.market_ids == exchange.market_ids()
    paying = default_markets(maker_fee_bps=D(1), taker_fee_bps=D(7))
    assert {(spec.maker_fee_bps, spec.taker_fee_bps) for spec in paying} == {(D(1), D(7))}
    refused("MARKET_NOT_FOUND", 404, lambda: exchange.book_levels("X", 5))
    refused("MARKET_NOT_FOUND", 404, lambda: exchange.statistics("X", NOW))
    refused("MARKET_NOT_FOUND", 404, lambda: exchange.open_orders(exchange.user_id, "X"))


def test_nonsense_markets_and_settings_are_refused() -> None:
    """A spec or a setting that makes no sense does not start an exchange."""
    good = MARKETS[0]
    for change in (
        {"tick_size": D(0)},
        {"step_size": D("-1")},
        {"quantity_min": D("0.0015")},
        {"quantity_min": D("101"), "quantity_max": D("100")},
        {"market_type": "swap"},
        {"index_start": D("NaN")},
    ):
        with pytest.raises(ValueError, match=r"."):
            attrs.evolve(good, **change)
    for settings in (
        {"markets": ()},
        {"markets": (good, good)},
        {"rate_limit_per_minute": 0},
        {"perps_deposit": D(-1)},
    ):
        with pytest.raises(ValueError, match=r"."):
            ExchangeSettings(**settings)


def test_numbers_are_spelled_in_fixed_decimal() -> None:
    """Never an exponent, never a negative zero."""
    assert [plain(D(text)) for text in ("1E+3", "1E-7", "-0", "-0.00", "60000.50")] == [
        "1000",
        "0.0000001",
        "0",
        "0.00",
        "60000.50",
    ]
    assert [is_ordinary(D(text)) for text in ("1", "1E+17", "1E+18", "1E-18", "1E-19", "NaN", "-Infinity")] == [
        True,
        True,
        False,
        True,
        False,
        False,
        False,
    ]


def test_nothing_in_the_exchange_is_left_after_everybody_cancels() -> None:
    """Books, registries and reduce-only lists are empty once all orders are gone."""
    exchange = make()
    buy(exchange, "60000", "1")
    place(exchange, "sell", "60100", "0.5", reduce_only=True)
    order = crowd(exchange, "sell", "60200", "1")
    exchange.cancel_crowd_order(MAKERS, order.order_id, NOW)
    exchange.cancel_all(exchange.user_id, CancelScope(), NOW)
    book = exchange.state.markets[BTC].book
    assert (book.asks.levels, book.asks.prices, book.bids.levels, book.bids.prices) == ({}, [], {}, [])
    for registry in exchange.state.registries.values():
        assert (registry.open, registry.reduce_only) == ({}, {})
    assert exchange.listing(SPOT).mark_price == D("60000")
