"""Hung servers, time that runs out, a key that is missing or echoed: the checks end, and claim nothing. All virtual."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from maker.launch.key import Key
from maker.preflight import sequence
from maker.preflight.api_key import CREDENTIALS, EXPIRY, PINS, SCOPE
from maker.preflight.sequence import CHECK_SECONDS_MAX
from maker.preflight.setting import EXCHANGE, KEY, LISTING, MARGIN, TLS
from maker.preflight.verdict import Verdict, failed
from maker.wire import ocx
from tests.app.site import KEY as SECRET
from tests.app.site import Seen, saying, silent
from tests.preflight.provoked import (
    ALPHA,
    BETA,
    CLOCK,
    ELSEWHERE,
    FEEDS,
    FOREIGN,
    GAMMA,
    GRID,
    MARKET,
    OF_ACCOUNT,
    RATE,
    STREAM,
    hung,
)
from tests.preflight.scripted import LISTED, a_scene, examined
from tests.support.wires import ServerEnd

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real


async def test_an_exchange_that_takes_connections_and_never_answers(autojump_clock: Clock, tmp_path: Path) -> None:
    """Each check that asks it ends by its own deadline, the others are not made, and feeds are tried all the same."""
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        for path in list(scene.site.usual):
            scene.site.usual[path] = silent
        rows = await examined(scene)
        assert [name for name in rows if scene.verdict(name) is Verdict.FAILED] == [LISTING, CREDENTIALS, CLOCK]
        assert {scene.verdict(name) for name in FEEDS} == {Verdict.OK}
        assert trio.current_time() <= 3 * CHECK_SECONDS_MAX
        nursery.cancel_scope.cancel()


async def test_an_exchange_that_drips(autojump_clock: Clock, tmp_path: Path) -> None:
    """A byte a second defeats deadlines per read, and not these."""

    async def drip(_seen: Seen, stream: ServerEnd) -> None:
        while True:
            await stream.send_all(b"H")
            await trio.sleep(1.0)

    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        for path in list(scene.site.usual):
            scene.site.usual[path] = drip
        await examined(scene)
        assert scene.verdict(LISTING) is Verdict.FAILED
        assert trio.current_time() <= 3 * CHECK_SECONDS_MAX
        nursery.cancel_scope.cancel()


async def test_all_feeds_dead_take_no_longer_than_one(autojump_clock: Clock, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        scene.feeds.otherwise = dict.fromkeys(("alpha", "beta", "gamma"), hung)
        await examined(scene)
        assert {scene.verdict(name) for name in FEEDS} == {Verdict.FAILED}
        assert trio.current_time() <= CHECK_SECONDS_MAX + 2.0
        nursery.cancel_scope.cancel()


async def test_the_time_for_all_checks_ends(
    autojump_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is left then is not made, says so, and is no pass; the one under way is cut short."""
    monkeypatch.setattr(sequence, "ALL_SECONDS_MAX", 25.0)
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        scene.site.usual |= dict.fromkeys((ocx.MARKET_STATS, ocx.API_KEYS, ocx.FEES, ocx.STREAM_EVENTS), silent)
        rows = await examined(scene)
        over = [name for name, row in rows.items() if "the time for all checks, 25 s, was over" in row.finding.said]
        assert over == [RATE, MARGIN, FOREIGN, ELSEWHERE, ALPHA, BETA, GAMMA]
        assert {scene.verdict(name) for name in over} == {Verdict.NOT_MADE}
        assert "It did not end within 3.2" in rows[STREAM].finding.said
        assert trio.current_time() <= 25.0
        nursery.cancel_scope.cancel()


async def test_without_a_key_what_is_public_is_checked(autojump_clock: Clock, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        scene.key, scene.site.key = Key(""), ""
        scene.before = {KEY: failed("There is none.", "Give one.")}
        await examined(scene)
        assert {scene.verdict(name) for name in (EXCHANGE, TLS, LISTING, CLOCK, MARKET, GRID)} == {Verdict.OK}
        unmade = {name for name in scene.rows if scene.verdict(name) is Verdict.NOT_MADE}
        assert unmade == {CREDENTIALS, EXPIRY, PINS, SCOPE} | OF_ACCOUNT
        nursery.cancel_scope.cancel()


async def test_a_key_that_the_exchange_echoes_is_not_shown(autojump_clock: Clock, tmp_path: Path) -> None:
    """Nor are control characters that would paint on the terminal; `examined` looks for the key in every row."""
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        echo = {"error": f"NO_{SECRET}", "message": f"\x1b[2J{SECRET} and its half {SECRET[:14]}"}
        scene.site.usual[ocx.BALANCES] = saying(echo, 403)
        scene.site.usual[ocx.MARKETS] = saying([{**LISTED, "tradingStatus": f"\x1b[31m{SECRET}"}])
        rows = await examined(scene)
        text = "".join(row.line for row in rows.values())
        assert SECRET[:14] not in text
        assert "\x1b" not in text
        assert "[a key]" in rows[CREDENTIALS].line
        nursery.cancel_scope.cancel()


async def test_connections_are_closed(autojump_clock: Clock, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        await examined(scene)
        assert scene.site.connections
        assert [one for one in scene.site.connections if not one.closed] == []
        nursery.cancel_scope.cancel()
