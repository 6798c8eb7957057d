"""Links that are cut or fall silent between the maker and the exchange, or the reference feed."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
import trio

from maker.drills.processes import now_ms, until
from maker.drills.proxy import SWALLOW, Link, event_streams, everything, lying
from maker.drills.record import BULK
from maker.drills.stage import Stage
from tests.live.stage import GIVE_UP_SOON, staged
from tests.live.support import MARKETS, measure

NOTICED_MS_MAX: Final = 500.0  # after a reset
STALE_MS_MAX: Final = 2_000.0  # conf/paper.toml, stale_seconds_max
SILENT_MS_MAX: Final = 23_500.0  # 1.5 heartbeats and a second
FRESH_MS_MAX: Final = 20_000.0  # no new ladder on a stream unheard for this long
BACK_SECONDS_MAX: Final = 60.0
HEDGE_MS_MAX: Final = 750.0  # no answer for half a second: the same on the other lane
TAIL_MS: Final = 8_000.0  # conf/paper.toml, tail_seconds_max
WRITE_MS: Final = 3_000.0  # conf/paper.toml, write_seconds_max
POSITION_LIMITS: Final = {"BTC-PERP": Decimal("0.4"), "ETH-PERP": Decimal(6)}  # conf/paper.toml


async def finish(stage: Stage) -> None:
    """Stop the maker, then `finished`."""
    stage.maker.process.send(signal.SIGTERM)
    await finished(stage)


async def finished(stage: Stage) -> None:
    """The maker has ended well and agrees with the record to the last trade; no limit was ever overstepped."""
    code = await stage.maker.process.wait()
    stage.record.refresh()
    result = stage.maker.result
    assert (code, result["verified_empty"]) == (0, True), (result, stage.maker.log[-3000:])
    assert stage.record.resting() == {}
    sums = stage.record.positions()
    assert {m: Decimal(p) for m, p in result["position"].items()} == {m: sums.get(m, Decimal(0)) for m in MARKETS}
    assert result["fills"] == len(stage.record.own_trades())
    assert [call.status for call in stage.record.calls() if call.status == 429] == []
    for market, limit in POSITION_LIMITS.items():
        assert abs(sums.get(market, Decimal(0))) <= limit
    assert journaled_fills(stage) == {trade["tradeId"] for trade in stage.record.own_trades()}


def journaled_fills(stage: Stage) -> set[str]:
    """Trade ids in the journal."""
    journal = sqlite3.connect(stage.folder / "journal.sqlite")
    try:
        return {row[0] for row in journal.execute("SELECT trade_id FROM fills")}
    finally:
        journal.close()


def said(stage: Stage, word: str) -> int:
    """How often the log has an event of this name."""
    return stage.maker.log.count(f'"event":"{word}"')


async def every_link_reset(folder: Path) -> None:
    """Every connection to the exchange is reset and comes back at once: pulled at once, and quoting again."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        at = now_ms()
        stage.exchange.cut()
        stage.exchange.mend()

        def begun() -> float | None:
            stage.record.refresh()
            cancels = stage.record.cancels(at)
            return cancels[0].begin if cancels else None

        begun_at = await until(begun, 5.0, f"a cancel-all; the log: {stage.maker.log[-2000:]}")
        assert measure("every connection reset -> cancel-all at the venue", begun_at - at) <= NOTICED_MS_MAX
        back_at = await stage.maker.quoting(since=begun_at, seconds=BACK_SECONDS_MAX)
        measure("every connection reset -> quoting again", back_at - at)
        emptied_at = stage.record.emptied_at(at)
        assert emptied_at is not None
        assert emptied_at < back_at
        await finish(stage)


async def every_link_away(folder: Path) -> None:
    """The link is away for seconds: noticed at once, tried with pauses, and quoting once it is back."""
    away_seconds = 6.0
    async with staged(folder) as stage:
        await stage.maker.quoting()
        pulls = said(stage, "pulling")
        at = now_ms()
        stage.exchange.cut()
        await until(lambda: said(stage, "pulling") > pulls, 2.0, "the maker says that it pulls")
        assert measure("link away -> the maker says that it pulls", now_ms() - at) <= NOTICED_MS_MAX
        await trio.sleep(away_seconds)  # the length of the outage: part of the scene
        mended = now_ms()
        stage.exchange.mend()
        back_at = await stage.maker.quoting(since=mended, seconds=BACK_SECONDS_MAX)
        measure("link back -> quoting again", back_at - mended)
        emptied_at = stage.record.emptied_at(mended)
        assert emptied_at is not None
        assert emptied_at < back_at, "quoted again before what had rested was cancelled"
        await finish(stage)


async def streams_silent(folder: Path) -> None:
    """Event streams fall silent without an end while orders pass: nothing rests in time, and never over the limit.

    Mostly the quotes are pulled. Unreported fills count against the limit, though, so the ladders may have shrunk to
    nothing before: then there is nothing to pull, and the record says the same.
    """
    async with staged(folder) as stage:
        await stage.maker.quoting()
        at = now_ms()
        stage.exchange.hold(event_streams)
        silent = [f'"scope":"{market}","sentence":"its stream broke (silent' for market in MARKETS]
        await until(lambda: all(line in stage.maker.log for line in silent), 26.0, "both are said to be silent")

        def gone() -> float | None:
            stage.record.refresh()
            return stage.record.empty_from(at)

        gone_at = await until(gone, 2.0, "nothing rests")
        if said(stage, "pulling"):
            assert stage.record.cancels(at), "said, and not done"
        assert measure("streams silent -> nothing rests", gone_at - at) <= SILENT_MS_MAX
        late = stage.record.ladders(at + FRESH_MS_MAX)
        assert late == [], "a ladder on a stream unheard for more than 20 s"
        released = now_ms()
        stage.exchange.release()
        await stage.maker.quoting(since=released, seconds=BACK_SECONDS_MAX)
        await finish(stage)


async def reference_reset(folder: Path) -> None:
    """The reference feed is reset and away: pulled at once, and quoting once it is back."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        at = now_ms()
        stage.reference.cut()

        def begun() -> float | None:
            stage.record.refresh()
            cancels = stage.record.cancels(at)
            return cancels[0].begin if cancels else None

        begun_at = await until(begun, 5.0, "a cancel-all")
        assert measure("reference feed reset -> cancel-all at the venue", begun_at - at) <= NOTICED_MS_MAX
        await trio.sleep(2.0)  # the length of the outage: part of the scene
        stage.record.refresh()
        assert stage.record.ladders(begun_at + 20.0) == [], "quoted without a reference"
        mended = now_ms()
        stage.reference.mend()
        await stage.maker.quoting(since=mended, seconds=BACK_SECONDS_MAX)
        await finish(stage)


async def reference_silent(folder: Path) -> None:
    """The reference feed falls silent without an end: pulled within its limit, and quoting once it speaks again."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        at = now_ms()
        stage.reference.hold(everything)

        def begun() -> float | None:
            stage.record.refresh()
            cancels = stage.record.cancels(at)
            return cancels[0].begin if cancels else None

        begun_at = await until(begun, 8.0, "a cancel-all")
        assert measure("reference feed silent -> cancel-all at the venue", begun_at - at) <= STALE_MS_MAX + 500.0
        stage.record.refresh()
        last = max((call.begin for call in stage.record.ladders()), default=at)
        assert last - at <= STALE_MS_MAX
        released = now_ms()
        stage.reference.release()
        await stage.maker.quoting(since=released, seconds=BACK_SECONDS_MAX)
        await finish(stage)


async def everything_silent(folder: Path) -> None:
    """No byte passes to the exchange, nor any end: 75 when told to stop, in time; nothing is claimed."""
    async with staged(folder, replace=GIVE_UP_SOON) as stage:
        await stage.maker.quoting()
        stage.exchange.hold(everything)
        at = now_ms()
        stage.maker.process.send(signal.SIGTERM)
        assert await stage.maker.process.wait(35.0) == 75
        assert measure("SIGTERM with a silent exchange -> exit 75", now_ms() - at) <= 30_000.0
        assert stage.maker.result["verified_empty"] is False


async def slow_start(folder: Path) -> None:
    """A slow answer to the first read on a panic lane is no reason to give up the start."""
    async with staged(folder, hold=first_order_read) as stage:
        await stage.maker.started()
        await until(lambda: held_reads(stage) or None, 10.0, "the first read is held")
        held_at = trio.current_time()
        await until(
            lambda: stage.maker.process.ended or trio.current_time() - held_at > 0.7 or None, 5.0, "a slow moment"
        )
        stage.exchange.release()
        await stage.maker.quoting()
        await finish(stage)


async def flapping(folder: Path) -> None:
    """The link breaks again and again, at no good moment: once it holds, everything adds up."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        for pause_seconds in (0.05, 0.7, 1.9, 0.3, 2.6, 0.0, 1.1, 0.5):
            stage.exchange.cut()
            await trio.sleep(0.1)
            stage.exchange.mend()
            await trio.sleep(pause_seconds)  # the rhythm of the breaks: part of the scene
        await stage.maker.quoting(since=now_ms(), seconds=BACK_SECONDS_MAX)
        for ids in (
            [line["clientOrderId"] for line in stage.record.placed()],
            [json.loads(call.body)["quoteId"] for call in stage.record.ladders() if call.body],
        ):
            assert len(set(ids)) == len(ids)
        await finish(stage)


async def one_panic_lane_silent(folder: Path) -> None:
    """The lane that carries the first cancel-all has died without an end: the other one takes over in half a second."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        lane = next(link for link in sorted(stage.exchange.links, key=age) if first_order_read(link.opening))
        lane.opening = b"chosen"
        stage.exchange.hold(lambda opening: opening == b"chosen")
        at = now_ms()
        stage.maker.process.send(signal.SIGTERM)
        assert await stage.maker.process.wait() == 0
        assert stage.maker.result["verified_empty"] is True
        stage.record.refresh()
        begun_at = stage.record.cancels(at)[0].begin
        assert measure("signal, one panic lane silent -> cancel-all at the venue", begun_at - at) <= HEDGE_MS_MAX
        assert stage.record.resting() == {}


def age(link: Link) -> float:
    return link.opened_at


async def told_while_away(folder: Path) -> None:
    """Told to stop while the link is away; it comes back within the halt's time: verified after all."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.cut()
        stage.maker.process.send(signal.SIGTERM)
        await trio.sleep(3.0)  # the length of the outage: part of the scene
        mended = now_ms()
        stage.exchange.mend()
        assert await stage.maker.process.wait() == 0
        measure("link back during the halt -> ended", now_ms() - mended)
        await finished(stage)


async def told_during_the_tail(folder: Path) -> None:
    """Told to stop while an unknown outcome is still being waited for: the tail is finished first, then 0."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.exchange.lie = lying(f"POST {BULK}".encode(), SWALLOW)
        pulls = said(stage, "pulling")
        await until(lambda: said(stage, "pulling") > pulls or None, 30.0, "the maker says that it pulls")
        at = now_ms()
        await trio.sleep(1.5)  # into the tail: part of the scene
        told = now_ms()
        stage.maker.process.send(signal.SIGTERM)
        assert await stage.maker.process.wait() == 0
        assert measure("told during the tail of an unknown outcome -> ended", now_ms() - told) <= 15_000.0
        stage.record.refresh()
        last = stage.record.cancels(at)[-1].begin
        # It began when the ladder left, which was given WRITE_MS to be answered before anybody pulled.
        assert last - at >= TAIL_MS - WRITE_MS - 500.0, "the tail was cut short"
        assert stage.record.ladders(at) == []
        await finished(stage)


async def never_any_reference(folder: Path) -> None:
    """The reference feed is never there: nothing is placed, the sentence says why, and it stops cleanly."""
    async with staged(folder) as stage:
        stage.reference.cut()
        await stage.maker.started()
        await until(
            lambda: '"scope":"reference alpha"' in stage.maker.log or None, 10.0, "the log says that it is down"
        )
        stage.maker.process.send(signal.SIGTERM)
        assert await stage.maker.process.wait() == 0
        stage.record.refresh()
        assert stage.record.placed() == []
        assert stage.maker.result["verified_empty"] is True


def held_reads(stage: Stage) -> int:
    return sum(first_order_read(link.opening) for link in stage.exchange.links)


def first_order_read(opening: bytes) -> bool:
    """The warming read of a panic lane: it begins with it, and unlike the guard's keeps its connection."""
    return opening.startswith(b"GET /perps/orders HTTP") and b"connection: close" not in opening.lower()


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {  # the long ones first
    "streams silent": streams_silent,
    "everything silent": everything_silent,
    "told during the tail": told_during_the_tail,
    "flapping": flapping,
    "every link away": every_link_away,
    "reference silent": reference_silent,
    "told while away": told_while_away,
    "reference reset": reference_reset,
    "every link reset": every_link_reset,
    "slow start": slow_start,
    "one panic lane silent": one_panic_lane_silent,
    "never any reference": never_any_reference,
}


@pytest.mark.parametrize("scene", SCENES)
def test_links(scene: str, played: Callable[[str], None]) -> None:
    """Noticed in time, nothing rests meanwhile, quoting again afterwards, and the position is the record's."""
    played(scene)
