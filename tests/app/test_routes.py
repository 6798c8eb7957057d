"""The other routes: what they ask for, and that an exchange which reads them as documented does it."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from functools import partial
from typing import NoReturn

import pytest
import trio.testing

from maker.app.panic import Panic
from maker.app.routes import Routes
from maker.desk.budget import SCOPED_ORDERS_MAX
from maker.desk.events import OrderSeen
from maker.desk.units import Side
from maker.edge.lane import Lane
from maker.wire.reads import open_orders
from tests.paper.venue_kit import READ, TRADE, VenueClient, ladder, read_answer, running_venue

MARKETS = ("BTC-PERP", "ETH-PERP")
BTC = (("buy", "59990", "0.01"), ("sell", "60010", "0.01"))
ETH = (("buy", "2990", "0.1"),)


async def no_dial() -> NoReturn:
    raise AssertionError("nothing is sent here")


def some_routes() -> Routes:
    lane = Lane("panic", no_dial, "venue", TRADE)
    ids = (f"mk-q{number}" for number in itertools.count())
    return Routes(lane.build, MARKETS, lambda: ["mk-1", "mk-2"], partial(next, ids))


def seen(*names: str | None, market_id: str = "BTC-PERP") -> tuple[OrderSeen, ...]:
    return tuple(OrderSeen(market_id, "id", name, Side.BUY, Decimal(1), Decimal(1)) for name in names)


def body(request: bytes) -> dict[str, object]:
    decoded: dict[str, object] = json.loads(request.partition(b"\r\n\r\n")[2])
    return decoded


async def resting(client: VenueClient) -> list[str]:
    answer = await client.get("/perps/orders", READ)
    return sorted(order.client_order_id or "" for order in open_orders(answer.body))


@pytest.mark.parametrize("route", [0, 1, 2], ids=["by market", "by order", "by ladder"])
async def test_each_route_alone_empties_the_practice_exchange(
    route: int, autojump_clock: trio.testing.MockClock
) -> None:
    """H26: byte for byte as they leave; after each request less rests, after the last one nothing."""
    async with running_venue() as client:
        await client.post("/perps/quotes/bulk", ladder("q1", *BTC))
        await client.post("/perps/quotes/bulk", ladder("q2", *ETH, market_id="ETH-PERP"))
        rests = await resting(client)
        assert rests == ["q1-0", "q1-1", "q2-0"]
        read = open_orders((await client.get("/perps/orders", READ)).body)
        requests, whole = some_routes().rounds()[route](read)
        assert whole
        for request in requests:
            async with client.connect() as connection:
                await connection.send_all(request())
                assert (await read_answer(connection, "POST")).status == 200
            before, rests = rests, await resting(client)
            assert len(rests) < len(before)
        assert rests == []


def test_markets_in_which_orders_were_seen_come_first() -> None:
    requests, whole = some_routes().by_market(seen("x", market_id="SOL-PERP"))
    assert [body(request()) for request in requests] == [{"marketId": name} for name in ("SOL-PERP", *MARKETS)]
    assert whole


def test_every_route_carries_the_key_in_use() -> None:
    """The key may be changed while we run, and the old one is revoked then: also between a plan and its requests."""
    lanes = Lane("panic-1", no_dial, "venue", TRADE), Lane("panic-2", no_dial, "venue", TRADE)
    panic = Panic(lanes, routes=Routes(lanes[0].build, MARKETS, lambda: ["mk-1"], lambda: "mk-q0"))
    planned = [request for route in panic.routes.rounds() for request in route(None)[0]]
    assert len(planned) == 5
    panic.use({"x-api-key": "ocx_sk_new"})
    again = [request for route in panic.routes.rounds() for request in route(None)[0]]
    for request in (*planned, *again):
        assert b"\r\nx-api-key: ocx_sk_new\r\n" in request()


def test_orders_are_named_a_few_at_a_time_in_turn() -> None:
    """A round has an end, and no order is left out for ever."""
    routes = some_routes()
    names = [f"mk-{number}" for number in range(SCOPED_ORDERS_MAX + 3)]
    first, whole = routes.by_order(seen(*names))
    second, _ = routes.by_order(seen(*names))
    assert not whole
    assert [body(request())["clientOrderId"] for request in first] == names[:SCOPED_ORDERS_MAX]
    assert [body(request())["clientOrderId"] for request in second][:3] == names[SCOPED_ORDERS_MAX:]


def test_naming_orders_covers_all_only_when_each_was_seen_and_has_a_name() -> None:
    """S3: what we believe rests is no proof of what does."""
    routes = some_routes()
    assert routes.by_order(seen("mk-1"))[1]
    assert not routes.by_order(seen("mk-1", None))[1]
    requests, whole = routes.by_order(None)
    assert [body(request())["clientOrderId"] for request in requests] == ["mk-1", "mk-2"]
    assert not whole


def test_an_empty_ladder_has_a_new_name_each_time_it_is_sent() -> None:
    """S12: a quoteId is never sent twice, not even by a hedge."""
    [one, _], _ = some_routes().by_ladder(())
    first, second = body(one()), body(one())
    assert first == {"marketId": "BTC-PERP", "quoteId": "mk-q0", "cancelAll": True, "quotes": []}
    assert second["quoteId"] != first["quoteId"]


def test_without_names_for_ladders_that_route_is_closed() -> None:
    routes = some_routes()
    routes.new_quote_id = None
    assert routes.by_ladder(seen("mk-1")) == ([], False)
