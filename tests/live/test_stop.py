"""Every way out of a run: pulled first, read back empty, and said truly."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from maker.drills.processes import MakerRun, cleaned, now_ms, start_maker, start_venue, until
from maker.drills.record import Call, Record
from tests.live.stage import GIVE_UP_SOON, live_conf, paper_conf, staged
from tests.live.support import MARKETS, measure

FIRE_MS_MAX = 100.0  # from a signal at the parent to the first byte of cancel-all at the venue, two hops
KILLED_MS_MAX = 250.0  # kill -9 to the first byte of cancel-all; 100 alone, more beside three other scenes on two cores
HUNG_MS_MAX = 3600.0  # guard.hang_seconds_max of 3 s and as much again as for a kill, beside other scenes
EMPTY_MS_MAX = 3000.0  # until nothing rests
STOP_MS_MAX = 2000.0  # a healthy exchange is left, read back empty, within this
OVERTAKE_MS = 20.0  # two connections: the venue may see a ladder sent before the cancel-all this much after it
READ_GAP_MS = 250.0
LEAN_SECONDS = 0.005  # between two Ctrl-C of somebody who leans on the keys

Played = Callable[[str], None]


def first_cancel(record: Record, since: float) -> Call:
    """The first cancel-all of the halt."""
    record.refresh()
    cancels = record.cancels(since)
    assert cancels, "no cancel-all was ever begun"
    return cancels[0]


def check_order(record: Record, since: float) -> Call:
    """Cancel-all first, no ladder after it, a cancel-all with its effect after the last ladder's, then two empty reads.

    Effects count, not `ack`: that is noted once an answer has left, when the next request may be on its way already.
    Returns the first cancel-all.
    """
    first = first_cancel(record, since)
    late = record.ladders(first.begin + OVERTAKE_MS)
    assert late == [], f"ladders begun after the cancel-all of {first.begin}"
    last_write = max((c.apply or c.begin for c in record.ladders()), default=0.0)
    acknowledged = [c for c in record.cancels(since) if c.ack and c.apply and c.apply >= last_write]
    assert acknowledged, "no cancel-all had its effect after the last ladder's"
    cancelled_at = acknowledged[0].apply or 0.0
    reads = [
        c
        for c in record.calls()
        if (c.method, c.path) == ("GET", "/perps/orders") and c.begin >= cancelled_at and c.ack
    ]
    assert all(record.resting(read.apply or 0.0) == {} for read in reads[-2:])
    assert len(reads) >= 2
    assert reads[-1].begin - reads[0].begin >= READ_GAP_MS, "the reads were less than 250 ms apart"
    assert record.resting() == {}
    return first


def check_result(maker: MakerRun, record: Record, code: int, *, verified: bool = True) -> dict[str, Any]:
    """The result is what the process ended with and what the record shows."""
    result = maker.result
    assert result["exit_code"] == maker.process.popen.returncode == code, (result, maker.log[-2000:])
    assert result["verified_empty"] is verified
    if verified:
        assert result["open_orders"] == 0
        position = {market: record.positions().get(market, Decimal(0)) for market in MARKETS}
        assert {m: Decimal(p) for m, p in result["position"].items()} == position
    assert not (maker.folder / "run.json").exists()
    return result


async def told(folder: Path, numbers: list[int], every_seconds: float) -> None:
    """Signals at the parent while quoting."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await maker.quoting()
        at = now_ms()
        for number in numbers:
            if not maker.process.ended:
                maker.process.send(number)
                await trio.sleep(every_seconds)  # the script of this scene, not a wait for anything
        await maker.process.wait()
        ended_ms = now_ms() - at
        first = check_order(maker.record, at)
        result = check_result(maker, maker.record, 0)
        assert measure("signal at the parent -> cancel-all at the venue", first.begin - at) <= FIRE_MS_MAX
        gone_at = maker.record.emptied_at(at)
        assert gone_at is not None
        measure("signal at the parent -> nothing rests", gone_at - at)
        assert (
            measure("signal at the parent -> parent ended", ended_ms)
            <= STOP_MS_MAX + every_seconds * len(numbers) * 1000
        )
        assert signal.Signals(numbers[0]).name in result["reason"]


async def told_until_ended(folder: Path) -> None:
    """Somebody leans on Ctrl-C until the prompt comes back."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await maker.quoting()
        at = now_ms()
        with trio.fail_after(20.0):
            while not maker.process.ended:
                maker.process.send(signal.SIGINT)
                await trio.sleep(LEAN_SECONDS)
        check_order(maker.record, at)
        check_result(maker, maker.record, 0)


async def told_before_quoting(folder: Path) -> None:
    """A signal while the maker starts: it ends without having placed anything, and says so."""
    venue = await start_venue(folder)
    try:
        maker = start_maker(
            folder,
            live_conf(folder, venue.port, venue.reference_port),
            record=venue.record,
            environment={"MAKER_TEST_KEY": "ocx_sk_paper_trade"},
        )
        with cleaned(maker):
            await maker.started()
            maker.process.send(signal.SIGTERM)
            code = await maker.process.wait(10.0)
            venue.record.refresh()
            assert venue.record.placed() == []
            assert venue.record.resting() == {}
            assert (code, maker.result["verified_empty"]) in ((78, False), (0, True))
            assert "SIGTERM" in maker.result["reason"] or "signal" in maker.result["reason"]
    finally:
        venue.process.kill()


async def parent_killed(folder: Path) -> None:
    """The parent is gone: the maker pulls its quotes by itself."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await maker.quoting()
        at = now_ms()
        maker.process.kill()
        await until(lambda: maker.has_ended("maker_pid"), 10.0, "the maker's end")
        check_order(maker.record, at)
        gone_at = maker.record.emptied_at(at)
        assert gone_at is not None
        assert measure("kill -9 of the parent -> nothing rests", gone_at - at) <= EMPTY_MS_MAX
        assert not maker.has_ended("venue_pid"), "the exchange must outlive its owner"


async def maker_killed(folder: Path) -> None:
    """The maker is gone without a word: the guard pulls at once, through the tail, and reads back empty (H25, L4)."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await maker.quoting()
        at = now_ms()
        maker.signal_maker(signal.SIGKILL)
        assert await maker.process.wait() == 70
        maker.record.refresh()
        cancels = maker.record.cancels(at)
        assert measure("kill -9 of the maker -> cancel-all at the venue", cancels[0].begin - at) <= KILLED_MS_MAX
        assert [round((c.begin - cancels[0].begin) / 1000) for c in cancels] == [0, 0, 1, 2, 4, 8]
        assert maker.record.ladders(at) == []
        assert maker.record.empty_from(cancels[0].begin) is not None
        result = maker.result
        assert (result["exit_code"], result["verified_empty"], result["open_orders"]) == (70, True, 0)
        assert "killed by signal 9" in result["reason"]


async def maker_hangs(folder: Path) -> None:
    """The maker stands still: killed for good, then pulled (H21, L4)."""
    with cleaned(start_maker(folder, paper_conf(folder))) as maker:
        await maker.quoting()
        at = now_ms()
        maker.signal_maker(signal.SIGSTOP)
        assert await maker.process.wait() == 70
        maker.record.refresh()
        first = maker.record.cancels(at)[0]
        assert measure("maker stopped -> cancel-all at the venue", first.begin - at) <= HUNG_MS_MAX
        assert maker.has_ended("maker_pid")
        assert maker.record.ladders(at) == []
        assert maker.record.resting() == {}
        assert maker.result["verified_empty"] is True
        assert "no heartbeat" in maker.result["reason"]


async def restarted_after_kill(folder: Path) -> None:
    """What a killed maker left is swept before the next one places anything."""
    async with staged(folder) as stage:
        await stage.maker.quoting()
        stage.maker.process.send(signal.SIGSTOP)  # so that neither can still pull when the other dies
        stage.maker.signal_maker(signal.SIGKILL)
        stage.maker.process.kill()
        await until(lambda: stage.maker.has_ended("maker_pid"), 5.0, "the maker's end")
        stage.record.refresh()
        orphans = set(stage.record.resting())
        assert orphans, "both killed while quoting leave quotes"
        at = now_ms()
        conf = stage.folder / "run.toml"
        again = start_maker(folder, conf, record=stage.record, environment={"MAKER_TEST_KEY": "ocx_sk_paper_trade"})
        with cleaned(again):
            quoting_at = await again.quoting(since=at)
            swept = [line for line in stage.record.kind("order") if line["orderId"] in orphans and line["t"] >= at]
            assert {line["orderId"] for line in swept if line["action"] == "removed"} == orphans
            assert max(line["t"] for line in swept) < stage.record.placed(at)[0]["t"] <= quoting_at
            again.process.send(signal.SIGTERM)
            await again.process.wait()
            stage.record.refresh()
            assert stage.record.resting() == {}
            # Fills from before the kill are part of the position found, and of no run's own count.
            positions = {m: stage.record.positions().get(m, Decimal(0)) for m in MARKETS}
            assert {m: Decimal(p) for m, p in again.result["position"].items()} == positions


async def broken(folder: Path, what: str) -> None:
    """An exception in a task: pulled, verified, 70, and the reason names it."""
    entry = ("-m", "tests.live.planted", what)
    with cleaned(start_maker(folder, paper_conf(folder), entry=entry)) as maker:
        await maker.quoting()
        at = now_ms() - 1000.0
        if what == "signals":
            maker.process.send(signal.SIGTERM)
        await maker.process.wait()
        first = check_order(maker.record, ladder_before_end(maker.record, at))
        result = check_result(maker, maker.record, 70)
        assert "PlantedError: planted" in result["reason"]
        assert first.ack is not None


def ladder_before_end(record: Record, at: float) -> float:
    """When the last ladder began: the halt's cancel-alls come after it, or up to a moment before."""
    record.refresh()
    return max((call.begin for call in record.ladders()), default=at) - OVERTAKE_MS


async def final_read_broken(folder: Path) -> None:
    """The report's last read fails in an unforeseen way: that is no reason to doubt what was verified."""
    entry = ("-m", "tests.live.planted", "final read")
    with cleaned(start_maker(folder, paper_conf(folder), entry=entry)) as maker:
        await maker.quoting()
        at = now_ms()
        maker.process.send(signal.SIGTERM)
        code = await maker.process.wait()
        check_order(maker.record, at)
        assert code in (0, 70), maker.log[-2000:]
        assert maker.result["verified_empty"] is True


async def unreachable_at_the_end(folder: Path) -> None:
    """The exchange cannot be reached any more when told to stop: the guard tries on, then 75, and no claim."""
    async with staged(folder, replace=GIVE_UP_SOON) as stage:
        await stage.maker.quoting()
        stage.exchange.cut()
        stage.maker.process.send(signal.SIGTERM)
        at = now_ms()
        assert await stage.maker.process.wait(35.0) == 75
        assert measure("SIGTERM with no way to the exchange -> exit 75", now_ms() - at) <= 30_000.0
        result = stage.maker.result
        assert result["verified_empty"] is False
        assert "QUOTES MAY REST" in result["reason"]


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "unreachable at the end": unreachable_at_the_end,
    **{
        number.name: partial(told, numbers=[number], every_seconds=0.0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    },
    "SIGINT twice": partial(told, numbers=[signal.SIGINT] * 2, every_seconds=0.05),
    "five signals": partial(
        told,
        numbers=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT],
        every_seconds=0.05,
    ),
    "SIGINT until it ends": told_until_ended,
    "before the first quote": told_before_quoting,
    "parent killed": parent_killed,
    "maker killed": maker_killed,
    "maker hangs": maker_hangs,
    "started again after a kill": restarted_after_kill,
    **{
        f"error in {what}": partial(broken, what=what)
        for what in ("poll", "stream", "reference", "ladder", "clock", "signals", "warm")
    },
    "error in the final read": final_read_broken,
}


@pytest.mark.parametrize("scene", SCENES)
def test_every_way_out(scene: str, played: Played) -> None:
    """Cancel-all comes first, no ladder begins after it, the exchange is read back empty, the exit code is true."""
    played(scene)
