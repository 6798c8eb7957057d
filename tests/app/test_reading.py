"""The account reads: what is tried again, how soon, and what is believed."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import pytest
import trio
import trio.testing

from maker.app import reading as room
from maker.errors import OutcomeUnknown, Refused, Unauthorized
from maker.wire import ocx, reads
from tests.app.site import BALANCES, Behaviour, reset, saying, silent, staged

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

POSITION = {
    "id": "p1",
    "marketId": "BTC-PERP",
    "side": "buy",
    "quantity": "0.010",
    "entryPrice": "50000",
    "realizedPnl": "0",
    "status": "open",
}


@pytest.mark.parametrize(
    "failure",
    [saying({"error": "X"}, 404), saying({"error": "X"}, 429), saying({"error": "X"}, 503), saying(b"<html>"), reset],
    ids=["404", "429", "503", "garbage 200", "reset"],
)
async def test_a_failed_read_is_repeated_with_growing_pauses(failure: Behaviour, autojump_clock: Clock) -> None:
    async with staged() as stage:
        told: list[str] = []
        stage.reader.tell = told.append
        stage.site.script(ocx.BALANCES, *[failure] * 7)
        read = await stage.reader.get(ocx.BALANCES, reads.balance)
        assert read == reads.balance(json.dumps(BALANCES).encode())
        times = stage.site.times(ocx.BALANCES)
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0])
        assert len(told) == 7
        assert all(ocx.BALANCES in sentence for sentence in told)


async def test_a_read_that_is_not_answered_is_repeated(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.BALANCES, silent)
        await stage.reader.get(ocx.BALANCES, reads.balance)
        assert stage.site.times(ocx.BALANCES) == [0.0, room.READ_SECONDS_MAX + room.READ_RETRY_SECONDS]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_forbidden_read_is_not_repeated(status: int, autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[ocx.BALANCES] = saying({"error": "NO"}, status)
        with pytest.raises(Unauthorized):
            await stage.reader.get(ocx.BALANCES, reads.balance)
        assert len(stage.site.log) == 1


async def test_a_read_with_a_revoked_key_is_not_repeated(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.usual[ocx.BALANCES] = saying({"error": "KEY_REVOKED"}, 409)
        with trio.move_on_after(60.0), pytest.raises(Unauthorized):
            await stage.reader.get(ocx.BALANCES, reads.balance)
        assert len(stage.site.log) == 1


async def test_one_read_of_the_orders_is_one_read(autojump_clock: Clock) -> None:
    async with staged() as stage:
        stage.site.script(ocx.ORDERS, saying({"error": "X"}, 404), silent, saying(b"{"))
        for error in (Refused, OutcomeUnknown, ValueError):
            with pytest.raises(error):
                await stage.reader.open_orders()
        assert len(stage.site.log) == 3
        assert (await stage.reader.open_orders()).orders == ()


async def test_a_whole_read_is_repeated_until_positions_agree(autojump_clock: Clock) -> None:
    """S6: positions, trades and balance that belong together."""
    async with staged() as stage:
        moved = {**POSITION, "quantity": "0.020"}
        stage.site.script(ocx.POSITIONS, saying([]), saying([POSITION]), saying([POSITION]), saying([moved]))
        stage.site.usual[ocx.POSITIONS] = saying([moved])
        read = await stage.reader.whole()
        assert stage.site.paths == [ocx.POSITIONS, ocx.TRADES, ocx.BALANCES, ocx.POSITIONS] * 3
        assert [(seen.position_id, seen.lots) for seen in read.positions] == [("p1", 20)]
        assert {seen.query for seen in stage.site.seen(ocx.TRADES)} == {f"limit={room.OWN_TRADES_READ}"}


async def test_positions_elsewhere_come_with_a_whole_read_and_hold_nothing_up(autojump_clock: Clock) -> None:
    """Somebody who trades there all the time keeps no read of ours from agreeing."""
    async with staged() as stage:
        other = {**POSITION, "marketId": "ETH-PERP", "side": "sell", "quantity": "100"}
        stage.site.script(ocx.POSITIONS, saying([POSITION, {**other, "quantity": "90"}]), saying([POSITION, other]))
        read = await stage.reader.whole()
        assert stage.site.paths == [ocx.POSITIONS, ocx.TRADES, ocx.BALANCES, ocx.POSITIONS]
        assert [seen.lots for seen in read.positions] == [10]
        assert read.elsewhere == (("ETH-PERP", Decimal(-100)),)
