"""Single orders: what is accepted, how it matches, and every refusal with its status."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest

from maker.paper.exchange import Exchange
from maker.paper.orders import CancelScope, OrderRequest
from maker.paper.registry import OPEN_ORDERS_MAX
from tests.paper.exchange_kit import (
    BTC,
    ETH,
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
    request,
    resting,
)


def test_a_limit_order_rests_and_shows_in_the_book() -> None:
    """A limit order away from the market rests whole; the book aggregates it and counts one change."""
    exchange = make()
    crowd(exchange, "buy", "59900", "1")
    order = place(exchange, "buy", "59900.0", "0.25", client_order_id="a")
    assert (order.status, order.filled, order.remaining, order.average_price) == ("open", D(0), D("0.25"), None)
    assert str(order.price) == "59900.0"
    assert str(order.quantity) == "0.250"
    assert exchange.book_levels(BTC, 5) == ([(D("59900"), D("1.25"))], [])
    assert exchange.book_sequence(BTC) == 2
    assert exchange.best(BTC) == (D("59900"), None)


def test_price_then_time() -> None:
    """The best price trades first, and at one price the oldest order."""
    exchange = make()
    first = crowd(exchange, "sell", "60010", "0.1")
    ours = place(exchange, "sell", "60010", "0.1")
    best = crowd(exchange, "sell", "60005", "0.1")
    taken = crowd(exchange, "buy", "60010", "0.25", account=TAKERS, time_in_force="ioc")
    assert taken.average_price == D("60008")
    prices = [(trade.price, trade.quantity, trade.side) for trade in exchange.market_trades(BTC)]
    assert prices == [
        (D("60005"), D("0.1"), "buy"),
        (D("60010"), D("0.1"), "buy"),
        (D("60010"), D("0.05"), "buy"),
    ]
    assert best.order_id not in exchange.state.registries["makers"].open
    assert first.order_id not in exchange.state.registries["makers"].open
    assert exchange.order(exchange.user_id, ours.order_id).remaining == D("0.05")


def test_a_taker_trades_at_the_resting_price_and_rests_the_remainder() -> None:
    """A gtc order takes what it crosses at the maker's price, then rests at its own."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    order = place(exchange, "buy", "60001", "0.3", client_order_id="t")
    assert (order.status, order.filled, order.remaining) == ("open", D("0.1"), D("0.2"))
    assert exchange.best(BTC) == (D("60001"), None)
    (trade,) = exchange.own_trades(exchange.user_id)
    assert (trade.price, trade.liquidity, trade.client_order_id) == (D("60000"), "taker", "t")
    assert trade.fee == D("60000") * D("0.1") * D("5") / 10_000


@pytest.mark.parametrize("time_in_force", ["ioc", "fok"])
def test_ioc_and_fok_never_rest(time_in_force: str) -> None:
    """An ioc takes what is there and expires; a fok that cannot fill whole takes nothing."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    order = place(exchange, "buy", "60000", "0.3", time_in_force=time_in_force)
    assert (order.status, order.reason, order.remaining) == ("cancelled", "expired", D(0))
    assert order.filled == (D("0.1") if time_in_force == "ioc" else D(0))
    assert resting(exchange) == []


def test_fok_fills_whole_across_levels() -> None:
    """A fok that the book can fill does fill, over several levels."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    crowd(exchange, "sell", "60000.5", "0.2")
    assert place(exchange, "buy", "60000.5", "0.3", time_in_force="fok").status == "filled"


def test_market_order_stops_at_the_band_and_ignores_a_price() -> None:
    """A market order walks the book within the price band; what is left expires, and a price given is not used."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    crowd(exchange, "sell", "63000", "0.1")
    exchange.set_index(BTC, D("58000"))  # the band now ends at 60900
    order = place(exchange, "buy", "1", "1", type="market")
    assert (order.status, order.reason, order.filled, order.price) == ("cancelled", "expired", D("0.1"), None)
    assert place(exchange, "buy", None, "1").filled == 0


def test_self_trade_prevention_cancels_the_incoming_remainder() -> None:
    """The incoming order trades up to our own resting order and its remainder is cancelled there."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    place(exchange, "sell", "60001", "0.1")
    crowd(exchange, "sell", "60002", "0.1")
    order = place(exchange, "buy", "60002", "0.3")
    assert (order.status, order.reason, order.filled) == ("cancelled", "self_trade", D("0.1"))
    assert resting(exchange) == [("sell", "60001.0", "0.100")]
    fok = place(exchange, "buy", "60002", "0.2", time_in_force="fok")
    assert (fok.filled, fok.reason) == (D(0), "expired")  # our own order does not count as something to fill with


def test_post_only_rests_or_is_refused() -> None:
    """A post-only order at a price that would take is refused, one tick away it rests."""
    exchange = make()
    crowd(exchange, "sell", "60000", "1")
    refused("POST_ONLY_WOULD_CROSS", 422, lambda: place(exchange, "buy", "60000", "0.1", post_only=True))
    assert place(exchange, "buy", "59999.5", "0.1", post_only=True).status == "open"


BAD = [
    ("INVALID_SIDE", 400, {"side": "bid"}),
    ("INVALID_TYPE", 400, {"type": "stop"}),
    ("INVALID_TIME_IN_FORCE", 400, {"time_in_force": "day"}),
    ("INVALID_MARGIN_MODE", 400, {"margin_mode": "portfolio"}),
    ("INVALID_QUANTITY", 400, {"quantity": D("0")}),
    ("INVALID_QUANTITY", 400, {"quantity": D("-1")}),
    ("INVALID_QUANTITY", 400, {"quantity": D("NaN")}),
    ("INVALID_QUANTITY", 400, {"quantity": D("1E+30")}),
    ("INVALID_PRICE", 400, {"price": D("0")}),
    ("INVALID_PRICE", 400, {"price": D("Infinity")}),
    ("INVALID_PRICE", 400, {"price": D("60000." + "0" * 30 + "1")}),
    ("INVALID_PRICE", 400, {"price": None}),
    ("INVALID_COMBINATION", 400, {"post_only": True, "time_in_force": "ioc"}),
    ("INVALID_COMBINATION", 400, {"post_only": True, "type": "market"}),
    ("INVALID_CLIENT_ORDER_ID", 400, {"client_order_id": ""}),
    ("INVALID_CLIENT_ORDER_ID", 400, {"client_order_id": "x" * 65}),
    ("INVALID_CLIENT_ORDER_ID", 400, {"client_order_id": "a b"}),
    ("MARKET_NOT_FOUND", 404, {"market_id": "DOGE-PERP"}),
    ("MARKET_NOT_TRADABLE", 422, {"market_id": SPOT}),
    ("CONDITIONAL_ORDERS_UNSUPPORTED", 422, {"stop_price": D("59000")}),
    ("CONDITIONAL_ORDERS_UNSUPPORTED", 422, {"take_profit_price": D("59000")}),
    ("CONDITIONAL_ORDERS_UNSUPPORTED", 422, {"stop_loss_price": D("59000")}),
    ("OFF_TICK", 422, {"price": D("59000.25")}),
    ("OFF_STEP", 422, {"quantity": D("0.0005")}),
    ("ABOVE_MAXIMUM", 422, {"quantity": D("100.001")}),
    ("PRICE_OUT_OF_BAND", 422, {"price": D("56999.5")}),
    ("PRICE_OUT_OF_BAND", 422, {"price": D("63000.5")}),
    ("REDUCE_ONLY_WOULD_INCREASE", 422, {"reduce_only": True}),
    ("INSUFFICIENT_MARGIN", 422, {"quantity": D("50")}),
]


@pytest.mark.parametrize(("code", "status", "change"), BAD)
def test_each_refusal_has_its_status_and_changes_nothing(code: str, status: int, change: dict[str, object]) -> None:
    """Each documented kind of refusal: its code, its status, and the state as it was."""
    exchange = make()
    fields: dict[str, object] = {"market_id": BTC, "side": "buy", "price": D("59000"), "quantity": D("0.1"), **change}
    before = exchange.dump()

    def call() -> object:
        return exchange.place_order(exchange.user_id, _request(fields), NOW)

    refused(code, status, call)
    assert exchange.dump() == before


def _request(fields: dict[str, object]) -> OrderRequest:
    return OrderRequest(**fields)  # type: ignore[arg-type]


def test_band_edges_are_inside() -> None:
    """Both ends of the band may be quoted."""
    exchange = make()
    assert place(exchange, "buy", "57000", "0.1").status == "open"
    assert place(exchange, "sell", "63000", "0.1").status == "open"


def test_below_minimum() -> None:
    """A size on the step but under the minimum is refused by name."""
    exchange = make(markets=(attrs.evolve(MARKETS[0], quantity_min=D("0.01")),))
    refused("BELOW_MINIMUM", 422, lambda: place(exchange, "buy", "59000", "0.009"))


def test_duplicate_client_order_id_is_refused_for_ever() -> None:
    """An id that an accepted order used is refused after that order is gone; one of a refused order is free."""
    exchange = make()
    order = place(exchange, "buy", "59000", "0.1", client_order_id="one")
    exchange.cancel_order(exchange.user_id, order.order_id, NOW)
    refused("DUPLICATE_CLIENT_ORDER_ID", 409, lambda: place(exchange, "buy", "59000", "0.1", client_order_id="one"))
    refused("OFF_TICK", 422, lambda: place(exchange, "buy", "59000.1", "0.1", client_order_id="two"))
    assert place(exchange, "buy", "59000", "0.1", client_order_id="two").status == "open"


def test_another_user_has_ids_and_orders_of_its_own() -> None:
    """One user's ids and orders mean nothing for another."""
    exchange = make()
    other = exchange.open_user(perps_deposit=D("1000"), now_ms=NOW)
    order = place(exchange, "buy", "59000", "0.1", client_order_id="one")
    theirs = exchange.place_order(other, request("buy", "59000", "0.01", client_order_id="one"), NOW)
    refused("ORDER_NOT_FOUND", 404, lambda: exchange.cancel_order(other, order.order_id, NOW))
    exchange.cancel_all(other, CancelScope(), NOW)
    assert [each.order_id for each in exchange.open_orders(exchange.user_id)] == [order.order_id]
    assert exchange.order(other, theirs.order_id).status == "cancelled"


def test_cancel_knows_unknown_from_finished() -> None:
    """Cancelling an unknown order is 404, one that is filled or cancelled already 409."""
    exchange = make()
    order = place(exchange, "buy", "59000", "0.1")
    crowd(exchange, "sell", "59000", "0.1", account=TAKERS)
    refused("ORDER_NOT_OPEN", 409, lambda: exchange.cancel_order(exchange.user_id, order.order_id, NOW))
    refused("ORDER_NOT_FOUND", 404, lambda: exchange.cancel_order(exchange.user_id, "nothing", NOW))


def test_halted_market_takes_no_orders_and_cancels_still_work() -> None:
    """A halt refuses orders, ladders, changes and closes with 409; cancels go through; a resume ends it."""
    exchange = make()
    order = place(exchange, "buy", "59000", "0.1")
    other = place(exchange, "buy", "59001", "0.1")
    exchange.halt_market(BTC)
    user = exchange.user_id
    assert exchange.listing(BTC).trading_status == "halted"
    refused("MARKET_HALTED", 409, lambda: place(exchange, "buy", "59000", "0.1"))
    refused("MARKET_HALTED", 409, lambda: exchange.place_bulk(user, bulk("q", level("buy", "59000", "0.1")), NOW))
    refused(
        "MARKET_HALTED",
        409,
        lambda: exchange.modify_order(user, order.order_id, price=D("59002"), quantity=None, now_ms=NOW),
    )
    refused("MARKET_HALTED", 409, lambda: exchange.close_position(user, BTC, None, NOW))
    assert exchange.place_crowd_order(TAKERS, BTC, "sell", None, D("0.1"), now_ms=NOW) is None
    assert exchange.cancel_order(user, order.order_id, NOW).status == "cancelled"
    assert len(exchange.cancel_all(user, CancelScope(), NOW).orders) == 1
    assert exchange.order(user, other.order_id).reason == "cancelled"
    exchange.resume_market(BTC)
    assert place(exchange, "buy", "59000", "0.1").status == "open"


def test_cancel_all_scopes() -> None:
    """Each scope takes exactly what it names; several narrow each other; none takes everything in all markets."""

    def filled() -> Exchange:
        exchange = make()
        place(exchange, "buy", "59000", "0.1", client_order_id="a")
        place(exchange, "buy", "59001", "0.1", client_order_id="b", margin_mode="isolated")
        place(exchange, "buy", "2990", "0.1", ETH, client_order_id="c")
        exchange.place_bulk(exchange.user_id, bulk("q1", level("sell", "60100", "0.1", "d")), NOW)
        exchange.place_bulk(exchange.user_id, bulk("q2", level("sell", "60101", "0.1", "e"), cancel_all=False), NOW)
        return exchange

    for scope, taken in (
        (CancelScope(), "abcde"),
        (CancelScope(market_id=BTC), "abde"),
        (CancelScope(market_id=ETH), "c"),
        (CancelScope(quote_id="q1"), "d"),
        (CancelScope(client_order_id="b"), "b"),
        (CancelScope(margin_mode="isolated"), "b"),
        (CancelScope(margin_mode="cross"), "acde"),
        (CancelScope(market_id=ETH, client_order_id="a"), ""),
        (CancelScope(quote_id="unknown"), ""),
    ):
        exchange = filled()
        found = exchange.find_cancel_all(exchange.user_id, scope)
        assert "".join(str(order.client_order_id) for order in found.orders) == taken
        assert len(exchange.open_orders(exchange.user_id)) == 5  # looking changed nothing
        result = exchange.cancel_all(exchange.user_id, scope, NOW)
        assert "".join(str(order.client_order_id) for order in result.orders) == taken
        assert {order.status for order in result.orders} <= {"cancelled"}
        assert len(exchange.open_orders(exchange.user_id)) == 5 - len(taken)
    exchange = filled()
    user = exchange.user_id
    refused("MARKET_NOT_FOUND", 404, lambda: exchange.cancel_all(user, CancelScope(market_id="X"), NOW))
    refused("INVALID_MARGIN_MODE", 400, lambda: exchange.cancel_all(user, CancelScope(margin_mode="x"), NOW))


def test_modify_smaller_keeps_its_place_and_anything_else_loses_it() -> None:
    """A smaller size at the same price stays first in the queue; a larger one goes behind."""
    exchange = make()
    user = exchange.user_id
    ours = place(exchange, "buy", "59000", "0.3")
    crowd(exchange, "buy", "59000", "0.3")
    smaller = exchange.modify_order(user, ours.order_id, price=None, quantity=D("0.2"), now_ms=NOW)
    assert (smaller.order_id, smaller.quantity, smaller.remaining) == (ours.order_id, D("0.2"), D("0.2"))
    crowd(exchange, "sell", "59000", "0.1", account=TAKERS)
    assert exchange.order(user, ours.order_id).filled == D("0.1")
    exchange.modify_order(user, ours.order_id, price=None, quantity=D("0.4"), now_ms=NOW)
    assert resting(exchange) == [("buy", "59000.0", "0.300")]
    crowd(exchange, "sell", "59000", "0.3", account=TAKERS)
    assert exchange.order(user, ours.order_id).filled == D("0.1")  # the crowd's order was first this time


def test_modify_may_trade_and_refusals_leave_the_order_alone() -> None:
    """A new price may take; a refused change leaves the order where and as it was."""
    exchange = make()
    user = exchange.user_id
    crowd(exchange, "sell", "60000", "0.1")
    ours = place(exchange, "buy", "59000", "0.1")
    posted = place(exchange, "buy", "59001", "0.1", post_only=True)
    before = exchange.dump()

    def change(order_id: str, price: str | None, quantity: str | None) -> object:
        return exchange.modify_order(
            user,
            order_id,
            price=None if price is None else D(price),
            quantity=None if quantity is None else D(quantity),
            now_ms=NOW,
        )

    refused("INVALID_COMBINATION", 400, lambda: change(ours.order_id, None, None))
    refused("INVALID_PRICE", 400, lambda: change(ours.order_id, "-1", None))
    refused("INVALID_QUANTITY", 400, lambda: change(ours.order_id, None, "0"))
    refused("ORDER_NOT_FOUND", 404, lambda: change("x", "59000", None))
    refused("OFF_TICK", 422, lambda: change(ours.order_id, "59000.1", None))
    refused("OFF_STEP", 422, lambda: change(ours.order_id, None, "0.0001"))
    refused("PRICE_OUT_OF_BAND", 422, lambda: change(ours.order_id, "50000", None))
    refused("POST_ONLY_WOULD_CROSS", 422, lambda: change(posted.order_id, "60000", None))
    refused("INSUFFICIENT_MARGIN", 422, lambda: change(ours.order_id, None, "60"))
    assert exchange.dump() == before
    assert exchange.modify_order(user, ours.order_id, price=D("60000"), quantity=None, now_ms=NOW).status == "filled"


def test_modify_below_the_filled_part_is_refused() -> None:
    """A total that is filled already cannot be asked for."""
    exchange = make()
    ours = place(exchange, "buy", "59000", "0.3")
    crowd(exchange, "sell", "59000", "0.2", account=TAKERS)
    refused(
        "INVALID_QUANTITY",
        400,
        lambda: exchange.modify_order(exchange.user_id, ours.order_id, price=None, quantity=D("0.2"), now_ms=NOW),
    )


def _long(exchange: Exchange, quantity: str) -> None:
    crowd(exchange, "sell", "60000", quantity)
    place(exchange, "buy", "60000", quantity)


def test_reduce_only_counts_other_resting_ones() -> None:
    """Reduce-only orders together never claim more than the position, and only on its closing side."""
    exchange = make()
    _long(exchange, "0.5")
    assert place(exchange, "sell", "60100", "0.3", reduce_only=True).status == "open"
    refused("REDUCE_ONLY_WOULD_INCREASE", 422, lambda: place(exchange, "sell", "60101", "0.3", reduce_only=True))
    refused("REDUCE_ONLY_WOULD_INCREASE", 422, lambda: place(exchange, "buy", "59000", "0.1", reduce_only=True))
    assert place(exchange, "sell", "60101", "0.2", reduce_only=True).status == "open"


def test_reduce_only_shrinks_with_the_position_newest_first() -> None:
    """When the position shrinks, the newest reduce-only orders are cut first; at zero all are gone."""
    exchange = make()
    _long(exchange, "0.5")
    first = place(exchange, "sell", "60100", "0.3", reduce_only=True)
    second = place(exchange, "sell", "60101", "0.2", reduce_only=True)
    crowd(exchange, "buy", "59999", "0.6")
    place(exchange, "sell", "59999", "0.1")
    assert resting(exchange) == [("sell", "60100.0", "0.300"), ("sell", "60101.0", "0.100")]
    place(exchange, "sell", "59999", "0.2")
    assert resting(exchange) == [("sell", "60100.0", "0.200")]
    assert exchange.order(exchange.user_id, second.order_id).reason == "reduce_only"
    place(exchange, "sell", "59999", "0.3")  # through zero
    assert resting(exchange) == []
    assert exchange.order(exchange.user_id, first.order_id).reason == "reduce_only"
    (position,) = exchange.positions(exchange.user_id, open_only=True)
    assert (position.side, position.quantity) == ("sell", D("0.1"))


def test_reduce_only_is_cut_between_two_fills_of_one_incoming_order() -> None:
    """One sweep that fills our ordinary ask first finds our reduce-only ask already cut."""
    exchange = make()
    _long(exchange, "0.5")
    place(exchange, "sell", "60100", "0.4")
    place(exchange, "sell", "60101", "0.5", reduce_only=True)
    crowd(exchange, "buy", "60101", "2", account=TAKERS)
    assert exchange.positions(exchange.user_id, open_only=True) == ()
    assert resting(exchange) == []
    assert exchange.best(BTC) == (D("60101"), None)


def test_modify_of_a_reduce_only_order_counts_the_others() -> None:
    """A reduce-only order may not grow past what the others leave."""
    exchange = make()
    _long(exchange, "0.5")
    place(exchange, "sell", "60100", "0.3", reduce_only=True)
    order = place(exchange, "sell", "60101", "0.1", reduce_only=True)
    user = exchange.user_id
    refused(
        "REDUCE_ONLY_WOULD_INCREASE",
        422,
        lambda: exchange.modify_order(user, order.order_id, price=None, quantity=D("0.3"), now_ms=NOW),
    )
    assert exchange.modify_order(user, order.order_id, price=None, quantity=D("0.2"), now_ms=NOW).status == "open"


def test_close_position_whole_in_part_and_through_resting_exits() -> None:
    """A close trades at market and never past zero; resting reduce-only orders shrink out of its way."""
    exchange = make()
    user = exchange.user_id
    refused("MARKET_NOT_FOUND", 404, lambda: exchange.close_position(user, "X", None, NOW))
    refused("NO_POSITION", 422, lambda: exchange.close_position(user, BTC, None, NOW))
    _long(exchange, "0.5")
    place(exchange, "sell", "60100", "0.5", reduce_only=True)
    crowd(exchange, "buy", "59990", "0.3")
    refused("INVALID_QUANTITY", 400, lambda: exchange.close_position(user, BTC, D("-1"), NOW))
    refused("OFF_STEP", 422, lambda: exchange.close_position(user, BTC, D("0.0001"), NOW))
    refused("REDUCE_ONLY_WOULD_INCREASE", 422, lambda: exchange.close_position(user, BTC, D("0.6"), NOW))
    part = exchange.close_position(user, BTC, D("0.1"), NOW)
    assert (part.status, part.filled, part.reduce_only) == ("filled", D("0.1"), True)
    assert resting(exchange) == [("sell", "60100.0", "0.400")]
    rest = exchange.close_position(user, BTC, None, NOW)
    assert (rest.status, rest.reason, rest.filled) == ("cancelled", "expired", D("0.2"))
    crowd(exchange, "buy", "59990", "5")
    assert exchange.close_position(user, BTC, None, NOW).status == "filled"
    assert exchange.positions(user, open_only=True) == ()
    assert resting(exchange) == []
    assert exchange.best(BTC)[0] == D("59990")


def test_preview_says_what_it_would_cost_and_changes_nothing() -> None:
    """Notional, margin, fee and role for maker and taker; approval and its reason; no side effects."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    crowd(exchange, "sell", "60010", "0.1")
    place(exchange, "buy", "60000", "0.1", client_order_id="used")
    before = exchange.dump()
    user = exchange.user_id
    maker = exchange.preview(user, request("buy", "59900", "1"), NOW)
    assert (maker.notional, maker.fee_role, maker.fee_bps) == (D("59900"), "maker", D("-0.5"))
    assert maker.estimated_fee == D("-2.995")
    assert maker.margin_required == D("60000") * D("0.06")  # six per cent in the worst scenario, at the mark
    assert (maker.approved, maker.reason, maker.volume_30d) == (True, None, D("6000"))
    taker = exchange.preview(user, request("buy", "60010", "1"), NOW)
    assert (taker.fee_role, taker.fee_bps) == ("taker", D(5))
    market = exchange.preview(user, request("buy", None, "0.3"), NOW)
    assert market.notional == D("0.1") * D("60010") + D("0.2") * D("60000")
    for bad, code in (
        (request("buy", "59900.1", "1"), "OFF_TICK"),
        (request("buy", "59900", "90"), "INSUFFICIENT_MARGIN"),
        (request("buy", "60010", "1", post_only=True), "POST_ONLY_WOULD_CROSS"),
        (request("buy", "59900", "1", client_order_id="used"), "DUPLICATE_CLIENT_ORDER_ID"),
    ):
        answer = exchange.preview(user, bad, NOW)
        assert (answer.approved, answer.reason) == (False, code)
    refused("INVALID_SIDE", 400, lambda: exchange.preview(user, request("up", "59900", "1"), NOW))
    refused("MARKET_NOT_FOUND", 404, lambda: exchange.preview(user, request("buy", "1", "1", "X"), NOW))
    assert exchange.dump() == before


def test_open_orders_are_bounded() -> None:
    """One user cannot have more open orders than the limit."""
    exchange = make()
    for number in range(OPEN_ORDERS_MAX):
        place(exchange, "buy", str(57000 + number), "0.001")
    refused("TOO_MANY_OPEN_ORDERS", 422, lambda: place(exchange, "buy", "57000", "0.001"))
    levels = [level("buy", "57000", "0.001")]
    refused("TOO_MANY_OPEN_ORDERS", 422, lambda: exchange.place_bulk(exchange.user_id, bulk("q", *levels), NOW))


def test_the_crowd_is_unlimited_unmargined_and_refused_quietly() -> None:
    """The crowd trades without money; a price off the grid, out of band or unknown id is None or False."""
    exchange = make()
    assert crowd(exchange, "buy", "59000", "100").status == "open"
    assert exchange.place_crowd_order("makers", BTC, "buy", D("59000.1"), D("1"), now_ms=NOW) is None
    assert exchange.place_crowd_order("makers", BTC, "buy", D("1"), D("1"), now_ms=NOW) is None
    crossing = exchange.place_crowd_order("takers", BTC, "sell", D("59000"), D("1"), post_only=True, now_ms=NOW)
    assert crossing is None
    order = crowd(exchange, "buy", "58000", "1")
    assert exchange.cancel_crowd_order("makers", order.order_id, NOW) is True
    assert exchange.cancel_crowd_order("makers", order.order_id, NOW) is False
    with pytest.raises(ValueError, match="not an account of the crowd"):
        exchange.place_crowd_order(exchange.user_id, BTC, "buy", None, D("1"), now_ms=NOW)
    with pytest.raises(ValueError, match="not a user"):
        exchange.place_order("makers", request("buy", "59000", "1"), NOW)


def test_decimals_of_a_price_do_not_matter() -> None:
    """60000, 60000.00 and 6E+4 are one price and one level, shown on the market's own decimals."""
    exchange = make()
    for text in ("59000", "59000.00", "59E+3"):
        place(exchange, "buy", text, "1.0E-1")
    bids, _ = exchange.book_levels(BTC, 5)
    assert [(str(price), str(size)) for price, size in bids] == [("59000.0", "0.300")]
    assert Decimal(59000) == bids[0][0]
