"""The reference feed over in-memory streams: subscriptions, cadence, refusals."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing
import trio_websocket

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.paper.reference_feed import MESSAGE_BYTES_MAX, serve_reference_stream
from maker.paper.reference_venues import CLOSED, ReferenceVenue
from maker.paper.venue import VenueSettings
from maker.wire import reference
from tests.paper.venue_kit import VenueClient, running_venue

SYMBOLS = ["BTC-USD", "ETH-USD", "SOL-USD"]


@asynccontextmanager
async def feed(
    preset: str = "busy", path: str = "/", *venues: ReferenceVenue
) -> AsyncIterator[tuple[VenueClient, trio_websocket.WebSocketConnection]]:
    """Connect to the feed of a running venue."""
    async with running_venue(VenueSettings(preset=preset, seed=3)) as client:
        async with trio.open_nursery() as nursery:
            ours, theirs = trio.testing.memory_stream_pair()

            async def serve() -> None:
                await serve_reference_stream(
                    theirs,
                    client.venue.keeper,
                    report=lambda _, error: failed.append(error),
                    venues={each.name: each for each in venues},
                )

            failed: list[BaseException] = []
            nursery.start_soon(serve)
            connection = await trio_websocket.wrap_client_stream(nursery, ours, "venue", path)  # type: ignore[arg-type]  # any stream does
            yield client, connection
            await ours.aclose()
            await trio.sleep(2)
            nursery.cancel_scope.cancel(reason="the test is over")
        assert failed == []


async def subscribe(connection: trio_websocket.WebSocketConnection, symbols: list[str]) -> None:
    await connection.send_message(json.dumps({"op": "subscribe", "symbols": symbols}))


async def listen(connection: trio_websocket.WebSocketConnection, seconds: float) -> list[tuple[float, Any]]:
    """Return what comes within some seconds, with its time."""
    heard = []
    with trio.move_on_after(seconds):
        while True:
            message = json.loads(await connection.get_message())
            heard.append((trio.current_time(), message))
    return heard


async def listen_to_end(connection: trio_websocket.WebSocketConnection) -> list[tuple[float, Any]]:
    """Return what comes until the connection is closed."""
    heard = []
    with contextlib.suppress(trio_websocket.ConnectionClosed):
        while True:
            heard.append((trio.current_time(), json.loads(await connection.get_message())))
    return heard


async def test_quotes_come_on_change(autojump_clock: trio.testing.MockClock) -> None:
    """At most 20 a second a symbol, at least one, numbered without gaps, strings, the bid below the ask."""
    async with feed() as (_, connection):
        await subscribe(connection, SYMBOLS)
        heard = await listen(connection, 30)
        assert [message["seq"] for _, message in heard] == list(range(1, len(heard) + 1))
        assert {message["type"] for _, message in heard} == {"bbo", "heartbeat"}
        for symbol in SYMBOLS:
            own = [(at, message) for at, message in heard if message.get("symbol") == symbol]
            gaps = [after[0] - before[0] for before, after in itertools.pairwise(own)]
            assert min(gaps) > 0.04
            assert max(gaps) <= 1.05
            assert 30 < len(own) <= 601
            for _, message in own:
                assert all(isinstance(message[name], str) for name in ("bid", "bidSize", "ask", "askSize"))
                assert float(message["bid"]) < float(message["ask"])
        beats = [at for at, message in heard if message["type"] == "heartbeat"]
        assert len(beats) == pytest.approx(29, abs=2)


async def test_the_makers_parser_reads_it(autojump_clock: trio.testing.MockClock) -> None:
    """What the feed says is what the client side takes for quotes and heartbeats."""
    async with feed() as (client, connection):
        await connection.send_message(reference.subscription(["BTC-USD"]))
        quote = reference.parse("alpha", await connection.get_message())
        shown = client.venue.keeper.place.reference_quotes()["BTC-USD"]
        assert quote == ReferenceQuote("alpha", "BTC-USD", shown.bid, shown.bid_size, shown.ask, shown.ask_size)
        facts = [reference.parse("alpha", json.dumps(message)) for _, message in await listen(connection, 2)]
        assert any(isinstance(fact, ReferenceHeard) for fact in facts)


async def test_a_later_subscription_replaces_the_first(autojump_clock: trio.testing.MockClock) -> None:
    """Only what was asked for last is sent, at once."""
    async with feed() as (_, connection):
        await subscribe(connection, ["BTC-USD"])
        await listen(connection, 1)
        await subscribe(connection, ["ETH-USD", "ETH-USD"])
        await trio.sleep(0.1)
        heard = [message for _, message in await listen(connection, 2)]
        symbols = [message["symbol"] for message in heard if message["type"] == "bbo"]
        assert "ETH-USD" in symbols
        assert "BTC-USD" not in symbols[symbols.index("ETH-USD") :]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", "MALFORMED"),
        ("[" * 3000, "MALFORMED"),
        ('{"op":"unsubscribe","symbols":["BTC-USD"]}', "MALFORMED"),
        ('{"op":"subscribe","symbols":[]}', "MALFORMED"),
        ('{"op":"subscribe","symbols":["DOGE-USD"]}', "UNKNOWN_SYMBOL"),
    ],
)
async def test_refusals(message: str, code: str, autojump_clock: trio.testing.MockClock) -> None:
    """What is no subscription is answered with an error, and the connection closes."""
    async with feed() as (_, connection):
        await connection.send_message(message)
        answer = json.loads(await connection.get_message())
        assert (answer["type"], answer["code"]) == ("error", code)
        with pytest.raises(trio_websocket.ConnectionClosed):
            await connection.get_message()


async def test_silent_client(autojump_clock: trio.testing.MockClock) -> None:
    """A client that never subscribes hears heartbeats for ten seconds, then why it is dropped."""
    async with feed() as (_, connection):
        kinds = []
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                kinds.append(json.loads(await connection.get_message())["type"])
        assert set(kinds[:-1]) == {"heartbeat"}
        assert kinds[-1] == "error"
        assert trio.current_time() == pytest.approx(10, abs=0.2)


async def test_oversized_message(autojump_clock: trio.testing.MockClock) -> None:
    """A message beyond the limit ends the connection with the code for that, unread."""
    async with feed() as (_, connection):
        await connection.send_message("x" * (MESSAGE_BYTES_MAX + 1))
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                await connection.get_message()
        assert connection.closed is not None
        assert connection.closed.code == 1009


async def test_no_websocket_client(autojump_clock: trio.testing.MockClock) -> None:
    """A client that speaks something else, or nothing, is closed, and nothing is reported."""
    async with running_venue() as client:
        for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b""):
            ours, theirs = trio.testing.memory_stream_pair()
            if data:
                await ours.send_all(data)
            with trio.fail_after(30):
                await serve_reference_stream(theirs, client.venue.keeper, report=lambda *_: pytest.fail("reported"))


# -- venues that differ

FAR = ReferenceVenue(name="beta", offset_bps=Decimal(100))
MORTAL = ReferenceVenue(name="gamma", dies_per_hour=60.0, dead_seconds=20.0)


def mids(heard: list[tuple[float, Any]]) -> list[float]:
    return [(float(message["bid"]) + float(message["ask"])) / 2 for _, message in heard if message["type"] == "bbo"]


@pytest.mark.parametrize(
    ("path", "differs"),
    [("/beta", True), ("/beta?since=1", True), ("/b%65ta", True), ("/", False), ("/gamma", False), ("/beta/x", False)],
)
async def test_the_path_of_the_url_tells_the_venue(
    path: str, differs: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """A name that is not configured is a venue like the plain one: any name works on any practice exchange."""
    async with feed("quiet", path, FAR) as (client, connection):
        await subscribe(connection, ["BTC-USD"])
        told = mids(await listen(connection, 2))[-1]
        shown = client.venue.keeper.place.reference_quotes()["BTC-USD"]
        assert abs(told / float(shown.bid) - (1.01 if differs else 1.0)) < 0.001


async def test_a_lagging_venue_tells_what_was_told(autojump_clock: trio.testing.MockClock) -> None:
    """The prices of the plain venue, a second later."""
    times: list[dict[str, float]] = []
    for path in ("/", "/late"):
        autojump_clock.jump(-trio.current_time() % 100)  # both from the same phase of a step
        async with feed("busy", path, ReferenceVenue(name="late", lag_seconds=1.0)) as (_, connection):
            began = trio.current_time()
            await subscribe(connection, ["BTC-USD"])
            first: dict[str, float] = {}
            for at, message in await listen(connection, 10):
                if message["type"] == "bbo":
                    first.setdefault(message["bid"] + message["ask"], at - began)
            times.append(first)
    plain, late = times
    both = [late[price] - plain[price] for price in plain if price in late and plain[price] > 0.5]
    assert len(both) > 50
    assert all(lag == pytest.approx(1.0, abs=0.06) for lag in both)


async def test_a_dead_venue_is_silent_and_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    """No price and no heartbeat for so long, the connection open; then all of it again at once, numbered on."""
    async with feed("busy", "/gamma", MORTAL) as (_, connection):
        await subscribe(connection, ["BTC-USD"])
        heard = await listen(connection, 180)
        times = [at for at, _ in heard]
        gaps = [after - before for before, after in itertools.pairwise(times) if after - before > 2]
        assert len(gaps) in (2, 3)
        assert all(gap == pytest.approx(20, abs=0.2) or gap > 20 for gap in gaps)
        assert [message["seq"] for _, message in heard] == list(range(1, len(heard) + 1))
        assert connection.closed is None


async def test_who_comes_while_it_is_dead_hears_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """The handshake is answered: only silence tells. So a client that reconnects must not take that for life."""
    async with feed("busy", "/gamma", MORTAL) as (client, connection):
        await subscribe(connection, ["BTC-USD"])
        while not client.venue.keeper.place.is_dead(MORTAL):
            client.venue.keeper.now_ms()
            await trio.sleep(0.05)
        await listen(connection, 0.1)
        await subscribe(connection, ["ETH-USD"])
        assert await listen(connection, 15) == []
        assert {message["symbol"] for _, message in await listen(connection, 10) if "symbol" in message} == {"ETH-USD"}


async def test_a_venue_that_closes(autojump_clock: trio.testing.MockClock) -> None:
    """Connections end when it dies, with nothing said, and new ones end at once until it is back."""
    mortal = ReferenceVenue(name="gamma", dies_per_hour=60.0, dead_seconds=20.0, dead_way=CLOSED)
    async with feed("busy", "/gamma", mortal) as (client, connection):
        await subscribe(connection, ["BTC-USD"])
        with trio.fail_after(70):
            heard = [message["type"] for _, message in await listen_to_end(connection)]
        assert set(heard) == {"bbo", "heartbeat"}
        assert client.venue.keeper.place.is_dead(mortal)
        assert connection.closed is not None
        assert connection.closed.code == 1000
        async with trio.open_nursery() as nursery:
            ours, theirs = trio.testing.memory_stream_pair()

            async def serve() -> None:
                keeper = client.venue.keeper
                await serve_reference_stream(
                    theirs, keeper, report=lambda *_: pytest.fail("reported"), venues={"gamma": mortal}
                )

            nursery.start_soon(serve)
            again = await trio_websocket.wrap_client_stream(nursery, ours, "venue", "/gamma")  # type: ignore[arg-type]
            began = trio.current_time()
            with pytest.raises(trio_websocket.ConnectionClosed):
                await again.get_message()
            assert trio.current_time() - began < 0.5
            nursery.cancel_scope.cancel(reason="the test is over")
