"""The second host's watcher over real processes: quiet beside a maker that works, and there when nobody else is."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from maker.drills import processes
from maker.drills.processes import TRADE_KEY, MakerRun, Process, cleaned, now_ms, start_maker, until
from maker.launch import settings
from maker.watcher.bounds import bounds
from tests.live.stage import staged
from tests.live.support import KEY_ENV, measure

BRISK = {  # the shortest times that make sense, so that a scene need not wait for a minute
    r"^quote_age_seconds_max = .*$": "quote_age_seconds_max = 3.0",
    r"^write_seconds_max = .*$": "write_seconds_max = 1.0",
    r"^tail_seconds_max = .*$": "tail_seconds_max = 1.0",
    r"^settle_seconds_max = .*$": "settle_seconds_max = 0.5",
    r"^halt_seconds_max = .*$": "halt_seconds_max = 3.0",
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 1.0",
    r"^tail_seconds = .*$": "tail_seconds = 1.0",
    r"^margin_seconds = .*$": "margin_seconds = 5.0",
    r"^poll_seconds = .*$": "poll_seconds = 1.0",
}
START_SECONDS_MAX = 60.0  # to the first quotes, on a machine that does other things
QUIET_SECONDS = 4.0  # of quoting, each of two runs
BUSY_SECONDS = 10.0  # a machine that does other things meanwhile; no part of the promise


def events(watcher: Process) -> list[str]:
    return [json.loads(line)["event"] for line in watcher.log().splitlines()]


async def power_loss(maker: MakerRun) -> None:
    """Guard and maker gone at once, with no last word of either."""
    maker.process.send(signal.SIGSTOP)
    maker.signal_maker(signal.SIGSTOP)
    maker.process.kill()
    maker.signal_maker(signal.SIGKILL)
    await until(lambda: maker.has_ended("maker_pid"), 5.0, "the maker's end")


def test_a_watcher_pulls_what_a_lost_host_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet through quoting and a restart; after the power loss everything is gone in the promised time, read back."""
    monkeypatch.setattr(processes, "START_SECONDS_MAX", START_SECONDS_MAX)

    async def scene() -> None:
        async with staged(tmp_path, replace=BRISK) as stage:
            conf, record = stage.maker.conf, stage.record
            promised = bounds(settings.load(conf))
            words = ["-m", "maker", "watch", str(conf), "--json"]
            watcher = Process.start(words, tmp_path, "watcher", {KEY_ENV: TRADE_KEY})
            try:
                await stage.maker.quoting(seconds=START_SECONDS_MAX)
                await trio.sleep(QUIET_SECONDS)
                stage.maker.process.send(signal.SIGTERM)
                assert await stage.maker.process.wait() == 0
                again = start_maker(tmp_path, conf, record=record, environment={KEY_ENV: TRADE_KEY})
                with cleaned(again):
                    await again.quoting(now_ms(), START_SECONDS_MAX)
                    await trio.sleep(QUIET_SECONDS)
                    assert set(events(watcher)) <= {"watching", "reading", "alive"}, watcher.log()
                    await power_loss(again)
                    at = now_ms()
                    record.refresh()
                    resting = record.resting()
                    assert resting, "a host that is lost leaves its quotes"
                    placed = {line["orderId"]: line["t"] for line in record.placed()}
                    oldest = min(placed[name] for name in resting)
                    wait = promised.pulled_seconds_max + BUSY_SECONDS
                    await until(lambda: "pulled" in events(watcher), wait, f"the pull; {watcher.log()}")
                    record.refresh()
                    assert record.resting() == {}
                    gone_at = emptied(record.emptied_at, at)
                    took = measure("power loss: oldest quote placed -> nothing rests", gone_at - oldest) / 1000
                    assert promised.rest_seconds_max < took <= promised.pulled_seconds_max + BUSY_SECONDS
                watcher.send(signal.SIGTERM)
                assert await watcher.wait() == 0
            finally:
                watcher.kill()
            said: dict[str, Any] = json.loads(watcher.out.read_text())
            assert (said["exit_code"], said["pulls"], said["orders_of_ours"]) == (0, 1, 0)
            assert TRADE_KEY not in watcher.log() + watcher.out.read_text()

    trio.run(scene)


def emptied(emptied_at: Callable[[float], float | None], since: float) -> float:
    """When nothing rested any more, unix milliseconds."""
    at = emptied_at(since)
    assert at is not None
    return at
