"""The event streams: cadence, heartbeats, what a client can rebuild from them, and that none holds up another."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing

from maker.paper.venue import VenueSettings
from maker.wire.sse import Comment, ServerSentEvent
from tests.paper.venue_kit import READ, TRADE, OpenStream, VenueClient, ladder, running_venue

EVENTS = "/perps/stream/events?marketId=BTC-PERP"


Side = dict[str, tuple[str, str]]  # size and total by price


def apply_levels(side: Side, levels: list[dict[str, str]]) -> None:
    for level in levels:
        if level["size"] == "0":
            del side[level["price"]]  # a level that is removed was there
        else:
            told = level["size"], level["total"]
            assert side.get(level["price"]) != told, "nothing of this level changed"
            side[level["price"]] = told


def best_first(side: Side, *, reverse: bool) -> list[tuple[str, str, str]]:
    rows = ((price, size, total) for price, (size, total) in side.items())
    return sorted(rows, key=lambda row: Decimal(row[0]), reverse=reverse)


def with_totals(levels: list[tuple[Decimal, Decimal]]) -> list[tuple[str, str, str]]:
    totals = itertools.accumulate(size for _, size in levels)
    return [(str(price), str(size), str(total)) for (price, size), total in zip(levels, totals, strict=True)]


@pytest.mark.parametrize(
    ("target", "name", "depth", "interval_ms"),
    [
        ("/perps/book-stream?marketId=BTC-PERP&depth=3&intervalMs=50", "update", 3, 50),
        ("/perps/book-stream?marketId=BTC-PERP", "update", 25, 100),
        (EVENTS + "&depth=5&intervalMs=100", "delta", 5, 100),
        (EVENTS, "delta", 25, 500),
    ],
)
async def test_client_rebuilds_the_book(
    target: str, name: str, depth: int, interval_ms: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Applying every event gives exactly the best levels, with what all levels up to each add up to.

    Numbers are consecutive, and events keep their distance.
    """
    async with running_venue(VenueSettings(preset="busy", seed=3)) as client:
        stream = await client.stream(target)
        bids: Side = {}
        asks: Side = {}
        times = []
        for number in range(1, 40):
            event = await stream.next()
            assert isinstance(event, ServerSentEvent)
            found = json_of(event)
            assert event.event == found["eventType"] == ("snapshot" if number == 1 else name)
            assert (found["eventSeq"], event.last_event_id) == (number, str(number))
            times.append(found["engineTs"])
            book = found["payload"]["book"]
            apply_levels(bids, book["bids"])
            apply_levels(asks, book["asks"])
            shown_bids, shown_asks = client.venue.keeper.place.exchange.book_levels("BTC-PERP", depth)
            assert book["sequence"] == client.venue.keeper.place.exchange.book_sequence("BTC-PERP")
            assert best_first(bids, reverse=True) == with_totals(shown_bids)
            assert best_first(asks, reverse=False) == with_totals(shown_asks)
        gaps = [after - before for before, after in itertools.pairwise(times[1:])]
        assert min(gaps) >= interval_ms - 1  # whole milliseconds
        assert all(gap % interval_ms in (0, 1, interval_ms - 1) for gap in gaps)
        await stream.close()


async def test_levels_behind_a_change_are_sent_for_their_total(autojump_clock: trio.testing.MockClock) -> None:
    """A change moves the total of every level behind it, down to the depth; in front of it nothing is said again."""
    async with running_venue() as client:
        for price in ("59990", "59980", "59970", "59960", "59950"):
            client.crowd("buy", "BTC-PERP", price, "1")
        stream = await client.stream("/perps/book-stream?marketId=BTC-PERP&depth=4")
        await stream.next()
        client.crowd("buy", "BTC-PERP", "59980", "0.5")
        book = (await stream.next_json())["payload"]["book"]
        assert [(row["price"], row["size"], row["total"]) for row in book["bids"]] == [
            ("59980.0", "1.5000", "2.5000"),
            ("59970.0", "1.0000", "3.5000"),
            ("59960.0", "1.0000", "4.5000"),
        ]
        assert book["asks"] == []
        await stream.close()


def json_of(event: ServerSentEvent) -> Any:
    return json.loads(event.data)


async def test_heartbeats(autojump_clock: trio.testing.MockClock) -> None:
    """An idle stream says `:heartbeat` every 15 s, and an event starts the wait anew."""
    async with running_venue() as client:
        stream = await client.stream(EVENTS + "&intervalMs=100")
        await stream.next()
        for beats in range(1, 4):
            assert await stream.next() == Comment("heartbeat")
            assert trio.current_time() == pytest.approx(15 * beats, abs=0.1)
        await trio.sleep(10)
        client.crowd("buy", "BTC-PERP", "59990", "0.1")
        event = await stream.next()
        assert isinstance(event, ServerSentEvent)
        spoken = trio.current_time()
        assert await stream.next() == Comment("heartbeat")
        assert trio.current_time() - spoken == pytest.approx(15, abs=0.1)
        await stream.close()


async def test_nothing_changed_nothing_said(autojump_clock: trio.testing.MockClock) -> None:
    """A change out of sight, and a change undone within the interval, are no events."""
    async with running_venue() as client:
        client.crowd("buy", "BTC-PERP", "59990", "0.1")
        stream = await client.stream("/perps/book-stream?marketId=BTC-PERP&depth=1")
        await stream.next()
        client.crowd("buy", "BTC-PERP", "59980", "0.1")
        await trio.sleep(1)
        await client.post("/perps/quotes/bulk", ladder("q1", ("buy", "59995", "0.1")))
        await client.post("/perps/orders/cancel-all")
        assert await stream.next() == Comment("heartbeat")
        await stream.close()


async def test_fills_come_once_on_every_stream(autojump_clock: trio.testing.MockClock) -> None:
    """Each connection hears each fill exactly once, in its own numbering, whoever else listens; other markets' not."""
    async with running_venue(VenueSettings(preset="busy", seed=5)) as client:
        streams = {
            "btc": await client.stream(EVENTS + "&intervalMs=100"),
            "btc slowly": await client.stream(EVENTS + "&intervalMs=5000", READ),
            "eth": await client.stream("/perps/stream/events?marketId=ETH-PERP"),
            "all": await client.stream("/perps/stream/user"),
        }
        heard: dict[str, Counter[str]] = {name: Counter() for name in streams}
        async with trio.open_nursery() as nursery:
            for name, stream in streams.items():
                nursery.start_soon(count_fills, stream, heard[name])
            for number in range(30):
                await quote_around_mid(client, "BTC-PERP", number)
                await quote_around_mid(client, "ETH-PERP", number)
                await trio.sleep(4)
            await trio.sleep(6)
            nursery.cancel_scope.cancel(reason="the listeners have heard enough")
        fills = (await client.get("/perps/trades?limit=1000", READ)).json
        expected = {
            market_id: {row["id"] for row in fills if row["marketId"] == market_id}
            for market_id in ("BTC-PERP", "ETH-PERP")
        }
        assert all(expected.values()), "nothing was filled: nothing was tested"
        assert set(heard["btc"]) == set(heard["btc slowly"]) == expected["BTC-PERP"]
        assert set(heard["eth"]) == expected["ETH-PERP"]
        assert set(heard["all"]) == expected["BTC-PERP"] | expected["ETH-PERP"]
        assert {count for counter in heard.values() for count in counter.values()} == {1}
        for stream in streams.values():
            await stream.close()


async def count_fills(stream: OpenStream, heard: Counter[str]) -> None:
    while True:
        event = await stream.next()
        if isinstance(event, ServerSentEvent):
            heard.update(row["id"] for row in json_of(event)["payload"].get("trades", []))


async def quote_around_mid(client: VenueClient, market_id: str, number: int) -> None:
    exchange = client.venue.keeper.place.exchange
    index, tick = exchange.index(market_id), exchange.listing(market_id).spec.tick_size
    low, high = (index * share // tick * tick for share in (Decimal("0.9999"), Decimal("1.0001")))
    levels = (("buy", str(low), "0.01"), ("sell", str(high), "0.01"))
    await client.post("/perps/quotes/bulk", ladder(f"{market_id}-{number}", *levels, market_id=market_id))


async def test_positions_follow(autojump_clock: trio.testing.MockClock) -> None:
    """A position opens, grows, turns over and closes; with openOnly, what closed is only named."""
    async with running_venue() as client:
        client.crowd("buy", "BTC-PERP", "59990", "5")
        client.crowd("sell", "BTC-PERP", "60010", "5")
        everything = await client.stream("/perps/stream/user?intervalMs=100")
        open_only = await client.stream("/perps/stream/user?intervalMs=100&openOnly=true")
        await everything.next()
        await open_only.next()
        ids: list[str] = []
        for side, quantity, rows, names in (
            ("buy", "0.1", [("buy", "0.1000", "open")], []),
            ("buy", "0.2", [("buy", "0.3000", "open")], []),
            ("sell", "0.5", [("buy", "0", "closed"), ("sell", "0.2000", "open")], [0]),
            ("buy", "0.2", [("sell", "0", "closed")], [1]),
        ):
            order = {"marketId": "BTC-PERP", "type": "market", "side": side, "quantity": quantity}
            assert (await client.post("/perps/orders", order)).json["status"] == "filled"
            told = (await everything.next_json())["payload"]
            briefly = (await open_only.next_json())["payload"]
            assert [(row["side"], row["quantity"], row["status"]) for row in told["positions"]] == rows
            ids += [row["id"] for row in told["positions"] if row["id"] not in ids]
            assert told.get("removedIds", []) == briefly.get("removedIds", []) == [ids[number] for number in names]
            shown = [row for row in told["positions"] if row["status"] == "open"]
            assert briefly.get("positions", []) == shown
            assert told["trades"] == briefly["trades"]
        await everything.close()
        await open_only.close()


async def test_liquidation_is_a_position_without_a_fill(autojump_clock: trio.testing.MockClock) -> None:
    """Below maintenance the position is gone, and no trade explains it."""
    async with running_venue() as client:
        client.crowd("sell", "BTC-PERP", "60000", "30")
        order = {"marketId": "BTC-PERP", "type": "market", "side": "buy", "quantity": "20"}
        assert (await client.post("/perps/orders", order)).json["status"] == "filled"
        stream = await client.stream("/perps/stream/user?intervalMs=100")
        (before,) = (await stream.next_json())["payload"]["positions"]
        client.venue.keeper.place.exchange.set_index("BTC-PERP", Decimal(56000))
        payload = (await stream.next_json())["payload"]
        assert payload["removedIds"] == [before["id"]]
        assert "trades" not in payload
        assert (await client.get("/perps/positions", READ)).json == []
        await stream.close()


async def test_key_revoked_before_the_stream(autojump_clock: trio.testing.MockClock) -> None:
    """A revoked key opens nothing."""
    async with running_venue() as client:
        exchange = client.venue.keeper.place.exchange
        trade_key, _ = exchange.keys(exchange.user_id)
        exchange.revoke_key(trade_key.key_id, client.venue.keeper.now_ms())
        refused = await client.get(EVENTS, TRADE)
        assert (refused.status, refused.code) == (409, "KEY_REVOKED")


async def test_slow_consumer_is_dropped_alone(autojump_clock: trio.testing.MockClock) -> None:
    """A client that stops reading is dropped within the write time; meanwhile the others hear everything."""
    async with running_venue(VenueSettings(preset="busy", seed=3)) as client:
        quick = await client.stream("/perps/book-stream?marketId=BTC-PERP&intervalMs=100")
        slow = await client.stream("/perps/book-stream?marketId=BTC-PERP", pair=trio.testing.lockstep_stream_pair)
        await quick.next()
        last = trio.current_time()
        while last < 20:
            await quick.next()
            assert trio.current_time() - last < 4.5, "the busy market moves more often than that"
            last = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await slow.client.send_all(b"x")
        await quick.close()


async def test_heads_are_those_of_event_streams(autojump_clock: trio.testing.MockClock) -> None:
    """The content type is exact, and nothing may keep a copy."""
    async with running_venue() as client:
        stream = await client.stream("/perps/book-stream?marketId=BTC-PERP")
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        await stream.close()
