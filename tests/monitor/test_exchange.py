"""The exchange's own word: what is read, when, and what is said where it cannot be. Scripted answers, virtual time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing

from maker.edge.client import Client
from maker.monitor.exchange import READ_SECONDS, READ_SECONDS_MAX, REFUSED_SECONDS, ExchangeReader, held
from maker.monitor.observation import PositionHeld
from maker.wire import ocx
from tests.app.site import Site, saying

Clock = trio.testing.MockClock
URL = "http://ocx.test"
ORDER = {
    "id": "o1", "marketId": "OTHER-PERP", "clientOrderId": "mk-abc-1", "side": "buy", "price": "9.5", "quantity": "2",
    "remainingQuantity": "1.5", "status": "open", "type": "limit", "reduceOnly": False, "postOnly": True,
    "createdAt": "2026-11-28T12:00:00Z",
}  # fmt: skip


def a_position(**changes: Any) -> dict[str, Any]:
    one = {
        "id": "p1", "marketId": "BTC-PERP", "side": "sell", "quantity": "0.5", "entryPrice": "50000",
        "realizedPnl": "0", "status": "open",
    }  # fmt: skip
    return {**one, **changes}


@contextlib.asynccontextmanager
async def reading(url: str = URL) -> AsyncIterator[tuple[Site, ExchangeReader]]:
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        site.usual[ocx.POSITIONS] = saying([a_position()])
        where = [url]

        def connect(base_url: str) -> Client:
            client = site.client()
            client.base_url = base_url
            return client

        reader = ExchangeReader(connect, lambda: where[0], wall=lambda: 1000.0 + trio.current_time())
        nursery.start_soon(reader.run)
        try:
            yield site, reader
        finally:
            nursery.cancel_scope.cancel(reason="the test is over")


async def turns(count: float) -> None:
    await trio.sleep(count * READ_SECONDS + 0.01)


async def test_orders_and_positions_are_read_again_and_again(autojump_clock: Clock) -> None:
    """Each with the moment at which it was asked for."""
    async with reading() as (site, reader):
        await turns(0)
        seen = reader.seen
        assert seen.orders == ()
        assert seen.positions == (PositionHeld("BTC-PERP", Decimal("-0.5"), Decimal(50000)),)
        assert (seen.orders_at, seen.positions_at, seen.why_not) == (1000.0, 1000.0, "")
        site.usual[ocx.ORDERS] = saying([ORDER])
        await turns(1)
        assert reader.seen.orders is not None
        (order,) = reader.seen.orders
        assert (order.market_id, order.remaining) == ("OTHER-PERP", Decimal("1.5"))
        assert reader.seen.orders_at == 1000.0 + READ_SECONDS


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        (ocx.ORDERS, saying({"error": "X"}, 503), "cannot be read: answer 503"),
        (ocx.ORDERS, saying("nonsense"), "cannot be read"),
        (ocx.POSITIONS, saying([{"id": "p1"}]), "cannot be read"),
        (ocx.POSITIONS, saying([a_position(quantity="-1")]), "has quantity -1"),
        (ocx.POSITIONS, saying([a_position(side="up")]), "cannot be read"),
    ],
)
async def test_a_read_that_fails_keeps_what_was_known(
    autojump_clock: Clock, path: str, answer: Any, words: str
) -> None:
    """With the time of that, and why; the next one that goes well clears it."""
    async with reading() as (site, reader):
        await turns(0)
        before = reader.seen
        site.script(path, answer)
        await turns(1)
        assert words in reader.seen.why_not
        assert (reader.seen.orders, reader.seen.positions) == (before.orders, before.positions)
        assert reader.seen.positions_at == before.positions_at
        await turns(1)
        assert reader.seen.why_not == ""


async def test_a_key_that_is_refused_is_said_and_asked_rarely(autojump_clock: Clock) -> None:
    async with reading() as (site, reader):
        site.usual[ocx.ORDERS] = saying({"error": "FORBIDDEN"}, 403)
        await turns(3)
        assert "refuses the monitor's key (403)" in reader.seen.why_not
        assert "'read'" in reader.seen.why_not
        asked = len(site.seen(ocx.ORDERS))
        await trio.sleep(REFUSED_SECONDS - 4 * READ_SECONDS)
        assert len(site.seen(ocx.ORDERS)) == asked


async def test_an_exchange_that_hangs_is_given_up_in_time(autojump_clock: Clock) -> None:
    async with reading() as (site, reader):

        async def hang(*_words: object) -> Any:
            await trio.sleep_forever()

        site.usual[ocx.ORDERS] = hang
        await trio.sleep(READ_SECONDS_MAX + 0.1)
        assert "not answered within 3 s" in reader.seen.why_not


async def test_without_a_run_there_is_no_practice_exchange_to_ask(autojump_clock: Clock) -> None:
    async with reading("") as (site, reader):
        await turns(1)
        assert "no run is known" in reader.seen.why_not
        assert not site.log


async def test_without_a_key_nothing_is_asked(autojump_clock: Clock) -> None:
    reader = ExchangeReader(None, lambda: URL)
    with trio.move_on_after(100.0):
        await reader.run()
    assert "no read key is configured" in reader.seen.why_not
    assert reader.seen.orders is None


def test_closed_positions_are_none() -> None:
    flat = a_position(quantity="0", side=None, entryPrice=None)
    rows = [a_position(status="CLOSED"), flat, a_position(side="buy")]
    assert held(json.dumps(rows).encode()) == (PositionHeld("BTC-PERP", Decimal("0.5"), Decimal(50000)),)
