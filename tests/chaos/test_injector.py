"""The promises again, with faults that none of our code injects (F2, F5, F26, F29, S1, S3, L6)."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from maker.drills.processes import TRADE_KEY, MakerRun, VenueProcess, cleaned, now_ms, start_maker, start_venue, until
from maker.drills.record import BULK, CANCEL_ALL
from tests.chaos.injector import DROP, RESET, dropped, haproxy, own_network, why_no_haproxy, why_no_netfilter
from tests.chaos.world import EAGER, EAGER_WORDS, verified_by
from tests.live.stage import live_conf
from tests.live.support import KEY_ENV

AWAY_SECONDS: Final = 2.0
BACK_SECONDS_MAX: Final = 60.0
SHORT: Final = {  # nothing is late here: the tail need not be long
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 1.0",
    r"^tail_seconds = .*$": "tail_seconds = 3.0",
    r"^tail_seconds_max = .*$": "tail_seconds_max = 3.0",
}

NO_NETFILTER: Final = why_no_netfilter()
NO_HAPROXY: Final = why_no_haproxy()
needs_netfilter = pytest.mark.skipif(bool(NO_NETFILTER), reason=NO_NETFILTER or "there is")
needs_haproxy = pytest.mark.skipif(bool(NO_HAPROXY), reason=NO_HAPROXY or "there is")


@contextlib.asynccontextmanager
async def venue_in(folder: Path) -> AsyncIterator[VenueProcess]:
    venue = await start_venue(folder, *EAGER_WORDS)
    try:
        yield venue
    finally:
        venue.process.kill()


@contextlib.asynccontextmanager
async def quoting(folder: Path, venue: VenueProcess, port: int) -> AsyncIterator[MakerRun]:
    """A maker that reaches the exchange by this port, and quotes."""
    conf = live_conf(folder, port, venue.reference_port, replace={**EAGER, **SHORT})
    with cleaned(start_maker(folder, conf, record=venue.record, environment={KEY_ENV: TRADE_KEY})) as maker:
        await maker.quoting()
        yield maker


def said(maker: MakerRun, event: str) -> Callable[[], bool]:
    """Whether the log has one more event of this name than now."""
    name = f'"event":"{event}"'
    before = maker.log.count(name)
    return lambda: maker.log.count(name) > before


@needs_netfilter
async def test_killed_while_no_packet_passes(tmp_path: Path) -> None:
    """The guard of a killed maker tries on through a silent network, and is done once it speaks again."""
    with own_network():
        async with venue_in(tmp_path) as venue, quoting(tmp_path, venue, venue.port) as maker:
            with dropped(venue.port, DROP):
                at = now_ms()
                maker.signal_maker(signal.SIGKILL)
                await trio.sleep(AWAY_SECONDS)  # the length of the outage: part of the scene
                venue.record.refresh()
                assert venue.record.cancels(at) == [], "no packet passed"
                assert venue.record.resting()
            assert await maker.process.wait() == 70, maker.log[-3000:]
            assert maker.result["verified_empty"] is True
            assert verified_by(venue.record, at) == ""


@needs_netfilter
async def test_told_to_stop_while_every_packet_is_reset(tmp_path: Path) -> None:
    """A cut link is noticed and tried again: told to stop meanwhile, it still ends verified."""
    with own_network():
        async with venue_in(tmp_path) as venue, quoting(tmp_path, venue, venue.port) as maker:
            at = now_ms()
            pulling = said(maker, "pulling")
            with dropped(venue.port, RESET):
                await until(pulling, 10.0, "it says that it pulls")
                maker.process.send(signal.SIGTERM)
                await trio.sleep(AWAY_SECONDS)  # the length of the outage: part of the scene
            assert await maker.process.wait() == 0, maker.log[-3000:]
            assert maker.result["verified_empty"] is True
            assert verified_by(venue.record, at) == ""


@needs_haproxy
async def test_ladders_throttled_then_cancel_all_unavailable(tmp_path: Path) -> None:
    """429 to ladders costs quotes for a while and no more; 503 to cancel-all is survived by another route."""
    async with venue_in(tmp_path) as venue, haproxy(tmp_path, venue.port) as between:
        async with quoting(tmp_path, venue, between.port) as maker:
            with between.answering(429, BULK):
                await until(said(maker, "ladder throttled"), 30.0, "a ladder is throttled")
            await maker.quoting(since=now_ms(), seconds=BACK_SECONDS_MAX)
            with between.answering(503, CANCEL_ALL):
                at = now_ms()
                maker.process.send(signal.SIGTERM)
                assert await maker.process.wait() == 0, maker.log[-3000:]
            assert maker.result["verified_empty"] is True
            venue.record.refresh()
            assert venue.record.cancels(at) == [], "none came through"
            assert venue.record.resting() == {}


@needs_haproxy
async def test_killed_while_cancel_all_is_throttled(tmp_path: Path) -> None:
    """At 429 only waiting helps: the guard of a killed maker waits as asked, and is done once it is let."""
    async with venue_in(tmp_path) as venue, haproxy(tmp_path, venue.port) as between:
        async with quoting(tmp_path, venue, between.port) as maker:
            with between.answering(429, CANCEL_ALL):
                at = now_ms()
                maker.signal_maker(signal.SIGKILL)
                await trio.sleep(AWAY_SECONDS)  # how long it is throttled: part of the scene
                venue.record.refresh()
                assert venue.record.cancels(at) == [], "none came through"
            assert await maker.process.wait() == 70, maker.log[-3000:]
            assert maker.result["verified_empty"] is True
            assert verified_by(venue.record, at) == ""
