"""The exchange dies while quoted on, and comes back from its state file on the same ports."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
import trio

from maker.drills.processes import TRADE_KEY, cleaned, now_ms, start_maker, start_venue, until
from tests.live.stage import live_conf
from tests.live.support import KEY_ENV, MARKETS, measure

NOTICED_MS_MAX = 500.0
BACK_SECONDS_MAX = 60.0
QUOTE_SECONDS = 6.0  # on either side of the restart: time for trades


async def restarted(folder: Path, away_seconds: float) -> None:
    """Noticed at once; what had rested is cancelled before anything new; quoting again; position equals the record.

    No clientOrderId and no quoteId comes twice, and at the end nothing rests.
    """
    state = str(folder / "venue-state.json")
    first = await start_venue(folder, "--state", state)
    second = first
    try:
        conf = live_conf(folder, first.port, first.reference_port)
        maker = start_maker(folder, conf, record=first.record, environment={KEY_ENV: TRADE_KEY})
        with cleaned(maker):
            await maker.quoting()
            await trio.sleep(QUOTE_SECONDS)
            pulls = maker.log.count('"event":"pulling"')
            at = now_ms()
            first.process.kill()
            await until(lambda: maker.log.count('"event":"pulling"') > pulls, 2.0, "the maker says that it pulls")
            assert measure("exchange killed -> the maker says that it pulls", now_ms() - at) <= NOTICED_MS_MAX
            first.record.refresh()
            orphans = set(first.record.resting())
            assert orphans, "quotes must rest when the exchange dies, or this proves nothing"
            await trio.sleep(away_seconds)
            restarted = now_ms()
            ports = {"port": first.port, "reference_port": first.reference_port}
            second = await start_venue(folder, "--state", state, **ports)
            listening = now_ms()
            back_at = await maker.quoting(since=listening, seconds=BACK_SECONDS_MAX)
            measure("exchange listens again -> quoting again", back_at - listening)
            await trio.sleep(QUOTE_SECONDS)
            maker.process.send(signal.SIGTERM)
            code = await maker.process.wait()
            record = first.record
            record.refresh()
            result = maker.result
            assert (code, result["verified_empty"]) == (0, True), (result, maker.log[-3000:])
            starts = list(record.kind("start"))
            assert [start["resumed"] for start in starts] == [False, True]
            assert {order["orderId"] for order in starts[1]["resting"]} == orphans, "the venue lost orders"
            removed = [line for line in record.kind("order") if line["orderId"] in orphans and line["t"] >= restarted]
            assert {line["orderId"] for line in removed if line["action"] == "removed"} == orphans
            assert max(line["t"] for line in removed) <= record.placed(restarted)[0]["t"]
            sums = record.positions()
            assert {m: Decimal(p) for m, p in result["position"].items()} == {
                market: sums.get(market, Decimal(0)) for market in MARKETS
            }
            trades = [trade["tradeId"] for trade in record.own_trades()]
            assert result["fills"] == len(set(trades)) == len(trades)
            order_ids = [line["clientOrderId"] for line in record.placed()]
            assert len(set(order_ids)) == len(order_ids)
            quote_ids = [json.loads(call.body)["quoteId"] for call in record.ladders() if call.body]
            assert len(set(quote_ids)) == len(quote_ids)
            assert record.resting() == {}
            assert [call for call in record.calls() if call.status == 429] == []
    finally:
        first.process.kill()
        second.process.kill()


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "at once": partial(restarted, away_seconds=0.0),
    "after five seconds": partial(restarted, away_seconds=5.0),
}


@pytest.mark.parametrize("scene", SCENES)
def test_exchange_comes_back(scene: str, played: Callable[[str], None]) -> None:
    """Noticed, recovered, quoting again; what rested before is cancelled first, and nothing is counted twice."""
    played(scene)
