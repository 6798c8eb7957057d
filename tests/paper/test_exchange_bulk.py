"""Ladders: the atomic replace, and each position of the switches about it."""

from __future__ import annotations

import pytest

from maker.paper.bulk import LEVELS_MAX
from maker.paper.exchange import Exchange
from maker.paper.orders import BulkRequest, BulkResult, CancelScope
from maker.paper.registry import QUOTE_ANSWERS_MAX
from maker.paper.rejection import STATUS_OF_CODE
from maker.paper.switches import Switches
from tests.paper.exchange_kit import BTC, ETH, NOW, SPOT, TAKERS, D, bulk, crowd, level, make, place, refused, resting


def send(exchange: Exchange, request: BulkRequest) -> BulkResult:
    return exchange.place_bulk(exchange.user_id, request, NOW)


def test_replace_takes_away_all_resting_quotes_of_that_market_and_no_other_order() -> None:
    """The old ladder goes, partly filled levels too; single orders and other markets stay; the answer says both."""
    exchange = make()
    place(exchange, "buy", "59000", "0.1", client_order_id="single")
    send(exchange, bulk("eth", level("buy", "2990", "1", "e"), market_id=ETH))
    send(exchange, bulk("q1", level("buy", "59900", "0.2", "b1"), level("sell", "60100", "0.2", "a1")))
    crowd(exchange, "sell", "59900", "0.1", account=TAKERS)
    result = send(exchange, bulk("q2", level("buy", "59890", "0.2", "b2"), level("sell", "60090", "0.2", "a2")))
    assert [order.client_order_id for order in result.cancelled] == ["b1", "a1"]
    assert [(order.status, order.reason) for order in result.cancelled] == [("cancelled", "replaced")] * 2
    assert result.cancelled[0].filled == D("0.1")
    assert [(order.client_order_id, order.status, order.quote_id) for order in result.orders] == [
        ("b2", "open", "q2"),
        ("a2", "open", "q2"),
    ]
    assert resting(exchange) == [
        ("buy", "59000.0", "0.100"),
        ("buy", "2990.0", "1.000"),
        ("buy", "59890.0", "0.200"),
        ("sell", "60090.0", "0.200"),
    ]


def test_without_cancel_all_levels_are_added() -> None:
    """`cancelAll: false` leaves the resting quotes where they are."""
    exchange = make()
    send(exchange, bulk("q1", level("buy", "59900", "0.2")))
    result = send(exchange, bulk("q2", level("buy", "59890", "0.2"), cancel_all=False))
    assert result.cancelled == ()
    assert len(resting(exchange)) == 2


def test_an_empty_ladder_is_a_cancel() -> None:
    """An atomic replace with nothing takes the old quotes away, whatever the margin."""
    exchange = make()
    send(exchange, bulk("q1", level("buy", "59900", "0.2")))
    assert send(exchange, bulk("q2")).orders == ()
    assert resting(exchange) == []


def test_post_only_is_judged_without_the_quotes_that_go() -> None:
    """A new bid may stand where our own old ask was; it may not cross a single order of ours, or the crowd."""
    exchange = make()
    send(exchange, bulk("q1", level("sell", "60000", "0.1")))
    assert send(exchange, bulk("q2", level("buy", "60010", "0.1"))).orders[0].status == "open"
    exchange.cancel_all(exchange.user_id, CancelScope(), NOW)
    place(exchange, "sell", "60000", "0.1")
    refused("POST_ONLY_WOULD_CROSS", 422, lambda: send(exchange, bulk("q3", level("buy", "60010", "0.1"))))
    exchange.cancel_all(exchange.user_id, CancelScope(), NOW)
    crowd(exchange, "sell", "60000", "0.1")
    refused("POST_ONLY_WOULD_CROSS", 422, lambda: send(exchange, bulk("q4", level("buy", "60010", "0.1"))))


def test_a_ladder_that_crosses_itself_is_refused() -> None:
    """A later level may not cross an earlier one of the same request, on either side."""
    exchange = make()
    for first, second in ((("buy", "60010"), ("sell", "60000")), (("sell", "60000"), ("buy", "60000"))):
        request = bulk("q", level(*first, "0.1"), level(*second, "0.1"))
        refused("POST_ONLY_WOULD_CROSS", 422, lambda request=request: send(exchange, request))  # type: ignore[misc]
    assert resting(exchange) == []


def test_levels_that_may_take_do() -> None:
    """Levels without post-only take, ioc and fok included; the same rules as for single orders."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.1")
    crowd(exchange, "sell", "60001", "0.1")
    result = send(
        exchange,
        bulk(
            "q",
            level("buy", "60000", "0.05", post_only=False),
            level("buy", "60000", "0.06", post_only=False, time_in_force="ioc"),
            level("buy", "60001", "0.2", post_only=False, time_in_force="fok"),
        ),
    )
    assert [(order.status, order.filled) for order in result.orders] == [
        ("filled", D("0.05")),
        ("cancelled", D("0.05")),
        ("cancelled", D(0)),
    ]


def test_reduce_only_levels_share_one_allowance() -> None:
    """Reduce-only levels together may close the position once; the quotes that go do not count."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.5")
    place(exchange, "buy", "60000", "0.5")
    exits = [level("sell", "60100", "0.3", reduce_only=True), level("sell", "60101", "0.2", reduce_only=True)]
    send(exchange, bulk("q1", *exits))
    send(exchange, bulk("q2", *exits))
    over = [*exits, level("sell", "60102", "0.001", reduce_only=True)]
    refused("REDUCE_ONLY_WOULD_INCREASE", 422, lambda: send(exchange, bulk("q3", *over)))
    refused("REDUCE_ONLY_WOULD_INCREASE", 422, lambda: send(exchange, bulk("q4", *exits, cancel_all=False)))
    assert resting(exchange) == [("sell", "60100.0", "0.300"), ("sell", "60101.0", "0.200")]


def test_a_reduce_only_level_whose_position_an_earlier_level_closed_is_cancelled() -> None:
    """What an earlier level of the same request closed, a reduce-only level cannot close again."""
    exchange = make()
    crowd(exchange, "sell", "60000", "0.5")
    place(exchange, "buy", "60000", "0.5")
    crowd(exchange, "buy", "59990", "0.4")
    result = send(
        exchange,
        bulk(
            "q",
            level("sell", "59990", "0.4", post_only=False, time_in_force="ioc"),
            level("sell", "60100", "0.5", reduce_only=True),
        ),
    )
    assert [(order.status, order.reason) for order in result.orders] == [("filled", None), ("cancelled", "reduce_only")]


GOOD = level("buy", "59000", "0.1")
MALFORMED = [
    ("INVALID_SIDE", bulk("q1", GOOD, level("bid", "59000", "0.1"))),
    ("INVALID_PRICE", bulk("q1", GOOD, level("buy", "-1", "0.1"))),
    ("INVALID_QUANTITY", bulk("q1", GOOD, level("buy", "59000", "0"))),
    ("INVALID_TIME_IN_FORCE", bulk("q1", GOOD, level("buy", "59000", "1", time_in_force="x", post_only=False))),
    ("INVALID_MARGIN_MODE", bulk("q1", GOOD, level("buy", "59000", "1", margin_mode="x"))),
    ("INVALID_QUOTE_ID", bulk("", GOOD)),
    ("INVALID_QUOTE_ID", bulk("q" * 65, GOOD)),
    ("TOO_MANY_QUOTES", bulk("q1", *[GOOD] * (LEVELS_MAX + 1))),
    ("MARKET_NOT_FOUND", bulk("q1", GOOD, market_id="X")),
    ("MARKET_NOT_TRADABLE", bulk("q1", GOOD, market_id=SPOT)),
]


@pytest.mark.parametrize("switch", ["whole", "level"])
@pytest.mark.parametrize(("code", "request_"), MALFORMED)
def test_malformed_levels_and_names_refuse_the_whole(code: str, request_: BulkRequest, switch: str) -> None:
    """What is wrong with the request as such refuses all of it, in both positions of the level switch."""
    exchange = make(level_refusal=switch)
    send(exchange, bulk("q0", level("buy", "59900", "0.1")))
    before = exchange.dump()
    refused(code, STATUS_OF_CODE[code], lambda: send(exchange, request_))
    assert exchange.dump() == before


def test_a_used_client_order_id_refuses_the_whole() -> None:
    """A clientOrderId of the replaced ladder, or one that two levels share, is 409 and nothing changes."""
    exchange = make(level_refusal="level")
    send(exchange, bulk("q1", level("buy", "59900", "0.1", "a")))
    before = exchange.dump()
    used = bulk("q2", level("buy", "59900", "0.1", "b"), level("buy", "59890", "0.1", "a"))
    refused("DUPLICATE_CLIENT_ORDER_ID", 409, lambda: send(exchange, used))
    twice = bulk("q2", level("buy", "59900", "0.1", "b"), level("buy", "59890", "0.1", "b"))
    refused("DUPLICATE_CLIENT_ORDER_ID", 409, lambda: send(exchange, twice))
    assert exchange.dump() == before


BAD_LEVELS = [
    ("OFF_TICK", level("buy", "59900.1", "0.1", "bad")),
    ("OFF_STEP", level("buy", "59900", "0.0001", "bad")),
    ("ABOVE_MAXIMUM", level("buy", "59900", "101", "bad")),
    ("PRICE_OUT_OF_BAND", level("buy", "50000", "0.1", "bad")),
    ("POST_ONLY_WOULD_CROSS", level("buy", "60050", "0.1", "bad")),
    ("REDUCE_ONLY_WOULD_INCREASE", level("buy", "59900", "0.1", "bad", reduce_only=True)),
]


@pytest.mark.parametrize(("code", "bad"), BAD_LEVELS)
def test_level_refusal_whole(code: str, bad: object) -> None:
    """Switch level_refusal=whole: one bad level is 422, names its place, and nothing changes."""
    exchange = make(level_refusal="whole")
    crowd(exchange, "sell", "60050", "1")
    send(exchange, bulk("q1", level("buy", "59950", "0.1", "old")))
    before = exchange.dump()
    request = bulk("q2", level("buy", "59940", "0.1", "good"), bad)  # type: ignore[arg-type]
    refusal = refused(code, 422, lambda: send(exchange, request))
    assert refusal.message.startswith("level 1: ")
    assert exchange.dump() == before


@pytest.mark.parametrize(("code", "bad"), BAD_LEVELS)
def test_level_refusal_level(code: str, bad: object) -> None:
    """Switch level_refusal=level: the bad level is answered as rejected, the others stand, the old ladder is gone."""
    exchange = make(level_refusal="level")
    crowd(exchange, "sell", "60050", "1")
    send(exchange, bulk("q1", level("buy", "59950", "0.1", "old")))
    request = bulk("q2", bad, level("buy", "59940", "0.1", "good"))  # type: ignore[arg-type]
    result = send(exchange, request)
    assert [(order.client_order_id, order.status, order.reason) for order in result.orders] == [
        ("bad", "rejected", code),
        ("good", "open", None),
    ]
    assert result.orders[0].order_id == ""
    assert result.orders[0].message
    assert resting(exchange) == [("buy", "59940.0", "0.100")]
    again = bulk("q3", level("buy", "59940", "0.1", "bad"))
    assert send(exchange, again).orders[0].status == "open"  # a rejected level has not used its id up


def test_margin_refusal_atomic() -> None:
    """Switch margin_refusal=atomic: 422, the old ladder stays, and the quoteId is still free."""
    exchange = make(margin_refusal="atomic")
    send(exchange, bulk("q1", level("buy", "59950", "1", "old")))
    before = exchange.dump()
    refused("INSUFFICIENT_MARGIN", 422, lambda: send(exchange, bulk("q2", level("buy", "59940", "30"))))
    assert exchange.dump() == before
    assert send(exchange, bulk("q2", level("buy", "59940", "1"))).orders[0].status == "open"


def test_margin_refusal_cancels_first() -> None:
    """Switch margin_refusal=cancels_first: 422, the old ladder is gone, nothing was placed, the quoteId is used."""
    exchange = make(margin_refusal="cancels_first")
    send(exchange, bulk("q1", level("buy", "59950", "1", "old")))
    refused("INSUFFICIENT_MARGIN", 422, lambda: send(exchange, bulk("q2", level("buy", "59940", "30", "new"))))
    assert resting(exchange) == []
    refused("DUPLICATE_QUOTE_ID", 409, lambda: send(exchange, bulk("q2", level("buy", "59940", "1"))))
    assert send(exchange, bulk("q3", level("buy", "59940", "1", "new"))).orders[0].status == "open"


def test_margin_refusal_partial() -> None:
    """Switch margin_refusal=partial: levels are placed in the given order while they fit, a later smaller one too."""
    exchange = make(margin_refusal="partial")  # 100000 covers 27.7 BTC at six per cent of 60000
    send(exchange, bulk("q1", level("buy", "59950", "20", "old")))
    result = send(
        exchange,
        bulk(
            "q2",
            level("buy", "59940", "20", "a"),
            level("buy", "59930", "20", "b"),
            level("buy", "59920", "7", "c"),
            level("sell", "60100", "25", "d"),
        ),
    )
    assert [(order.client_order_id, order.status, order.reason) for order in result.orders] == [
        ("a", "open", None),
        ("b", "rejected", "INSUFFICIENT_MARGIN"),
        ("c", "open", None),
        ("d", "open", None),
    ]
    assert len(resting(exchange)) == 3


def test_the_ladder_that_goes_needs_no_margin() -> None:
    """A replace is measured without the quotes it replaces; adding is measured with them."""
    exchange = make()
    send(exchange, bulk("q1", level("buy", "59950", "25")))
    send(exchange, bulk("q2", level("buy", "59940", "25")))
    refused(
        "INSUFFICIENT_MARGIN", 422, lambda: send(exchange, bulk("q3", level("buy", "59940", "25"), cancel_all=False))
    )


def test_repeated_quote_id_refuse() -> None:
    """Switch repeated_quote_id=refuse: 409, and nothing changes."""
    exchange = make()
    send(exchange, bulk("q1", level("buy", "59950", "1", "a")))
    before = exchange.dump()
    refused("DUPLICATE_QUOTE_ID", 409, lambda: send(exchange, bulk("q1", level("buy", "59940", "1", "b"))))
    assert exchange.dump() == before


def test_repeated_quote_id_replay() -> None:
    """Switch repeated_quote_id=replay: the first answer again, also for the very same request, with no effect."""
    exchange = make(repeated_quote_id="replay")
    request = bulk("q0", level("buy", "59950", "1", "a"))
    first = send(exchange, request)
    before = exchange.dump()
    again = send(exchange, request)
    assert (again.orders, again.replayed) == (first.orders, True)
    assert exchange.dump() == before
    for number in range(QUOTE_ANSWERS_MAX):
        send(exchange, bulk(f"q{number + 1}", level("buy", "59950", "1")))
    refused("DUPLICATE_QUOTE_ID", 409, lambda: send(exchange, request))  # the first answer is no longer kept


def test_repeated_quote_id_accept() -> None:
    """Switch repeated_quote_id=accept: as if it were new."""
    exchange = make(repeated_quote_id="accept")
    send(exchange, bulk("q1", level("buy", "59950", "1", "a")))
    result = send(exchange, bulk("q1", level("buy", "59940", "1", "b")))
    assert [order.client_order_id for order in result.cancelled] == ["a"]
    assert resting(exchange) == [("buy", "59940.0", "1.000")]


def test_place_quotes_is_a_ladder_of_one_bid_and_one_ask() -> None:
    """Two levels, sides as named, replacing like a bulk."""
    exchange = make()
    user = exchange.user_id
    send(exchange, bulk("q1", level("buy", "59950", "1")))
    bid, ask = level("buy", "59940", "1"), level("sell", "60060", "1")
    refused("INVALID_SIDE", 400, lambda: exchange.place_quotes(user, BTC, "q2", ask, bid, now_ms=NOW))
    assert len(exchange.place_quotes(user, BTC, "q2", bid, ask, now_ms=NOW).cancelled) == 1
    assert exchange.place_quotes(user, BTC, "q3", bid, ask, cancel_all=False, now_ms=NOW).cancelled == ()
    assert len(resting(exchange)) == 4


@pytest.mark.parametrize(
    "field",
    ["margin_refusal", "level_refusal", "repeated_quote_id", "cancel_all_answer", "bulk_answer", "error_body"],
)
def test_switches_refuse_unknown_positions(field: str) -> None:
    """A misspelt position does not start an exchange."""
    with pytest.raises(ValueError, match=field):
        Switches(**{field: "perhaps"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate_limit_reset"):
        Switches(rate_limit_reset="minutes")
    with pytest.raises(TypeError):
        Switches(older_market_fields="no")  # type: ignore[arg-type]
