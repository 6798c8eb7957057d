"""Previews beside quoting: what is asked and learnt, how seldom after a refusal, and that nothing waits for one."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from maker.app.previews import PREVIEW_SECONDS_MAX, REFUSED_SECONDS_MAX, REFUSED_SECONDS_MIN, run_previews
from maker.desk.units import Side
from maker.wire import ocx
from tests.app.practising import Practice
from tests.app.site import PREVIEW, Behaviour, Stage, reset, saying, silent, staged
from tests.app.whole import config, running
from tests.desk.scripted import BTC, MARGIN, Desk, dec, spec

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

SECONDS = 60.0
ASKING = attrs.evolve(MARGIN, preview_seconds=SECONDS)


@asynccontextmanager
async def asking() -> AsyncIterator[Stage]:
    """A desk that quotes, and the service that asks for it."""
    desk = Desk.ready(margin=ASKING)
    desk.quote()
    async with staged(desk) as stage:
        stage.nursery.start_soon(run_previews, stage.client, {BTC: spec()}, stage.inlet)
        yield stage


async def test_the_innermost_order_of_each_side_is_asked_about_each_interval(autojump_clock: Clock) -> None:
    """The documented five fields, numbers as texts; no id, for nothing is placed."""
    async with asking() as stage:
        await trio.sleep(2 * SECONDS)
        asked = stage.site.seen(ocx.PREVIEW)
        assert [json.loads(one.body) for one in asked[:2]] == [
            {"marketId": BTC, "side": "buy", "type": "limit", "price": "49974.9", "quantity": "0.010"},
            {"marketId": BTC, "side": "sell", "type": "limit", "price": "50025.1", "quantity": "0.010"},
        ]
        assert [round(one.at) for one in asked] == [1, 1, 61, 61]
        assert stage.desk.market().terms.margin_ratio(dec("0.5"), SECONDS, stage.inlet.now()) == dec("0.06")


async def test_without_an_interval_nothing_is_asked(autojump_clock: Clock) -> None:
    desk = Desk.ready()
    desk.quote()
    async with staged(desk) as stage:
        stage.nursery.start_soon(run_previews, stage.client, {BTC: spec()}, stage.inlet)
        await trio.sleep(10 * SECONDS)
        assert stage.site.log == []


@pytest.mark.parametrize(
    "answer",
    [
        saying(b"<html>"),
        saying({**PREVIEW, "marginRequired": "NaN"}),
        saying({**PREVIEW, "feeRole": "both"}),
        saying({"error": "X"}, 503),
        reset,
        silent,
    ],
    ids=["garbage", "no number", "no role", "503", "reset", "silent"],
)
async def test_an_answer_that_is_lost_or_makes_no_sense_teaches_nothing(
    answer: Behaviour, autojump_clock: Clock
) -> None:
    """And the next is asked in its own time."""
    async with asking() as stage:
        stage.site.script(ocx.PREVIEW, answer, answer)
        await trio.sleep(SECONDS - 1)
        assert stage.desk.market().terms.ratios == {}
        assert len(stage.site.seen(ocx.PREVIEW)) == 2
        await trio.sleep(SECONDS)
        assert set(stage.desk.market().terms.ratios) == set(Side)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 429])
async def test_a_refusal_is_said_and_asked_ever_more_seldom(status: int, autojump_clock: Clock) -> None:
    """A key that may quote and not preview must not end the run: nothing is raised, and quoting knows nothing of it."""
    async with asking() as stage:
        stage.site.usual[ocx.PREVIEW] = saying({"error": "NO"}, status)
        await trio.sleep(4 * 3600)
        times = stage.site.times(ocx.PREVIEW)
        pauses = [round(later - before) for before, later in itertools.pairwise(times)]
        assert pauses[0] == pytest.approx(REFUSED_SECONDS_MIN, abs=2)
        assert pauses == sorted(pauses)
        assert pauses[-1] == pytest.approx(REFUSED_SECONDS_MAX, abs=2)
        assert [line["event"] for line in stage.told.lines] == ["refused"]
        assert stage.desk.engine.holding is None


async def test_no_ladder_waits_for_a_preview_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """The whole supervisor: previews never answer, ladders go out as without them, and the way out takes no longer."""
    times: list[list[float]] = []
    for answer in (saying(PREVIEW), silent):
        settings = config(tmp_path)
        async with running(settings, monkeypatch) as world:
            world.site.usual[ocx.PREVIEW] = answer
            await world.until_quoted()
            world.wild = True
            await trio.sleep(10.0)
            times.append([round(one.at, 2) for one in world.ladders()])
            assert world.site.seen(ocx.PREVIEW)
            began = trio.current_time()
            await world.signals.send(15)
            await world.ended.wait()
            assert trio.current_time() - began <= 2.0
    assert len(times[0]) > 5
    assert len(times[1]) == len(times[0])
    gaps = [later - before for before, later in itertools.pairwise(times[1])]
    assert max(gaps) < PREVIEW_SECONDS_MAX


async def test_the_practice_exchange_teaches_its_own_ratio(autojump_clock: Clock) -> None:
    """Its scenarios take six per cent of an order's value at mark; a preview has no effect, and no token."""
    async with asking() as stage:
        practice = Practice(stage.site)
        mark = practice.place.exchange.state.markets[BTC].mark()
        await trio.sleep(2.0)
        taught, _ = stage.desk.market().terms.ratios[Side.BUY]
        assert taught == Decimal("0.06") * mark / Decimal("49974.9")
        assert stage.desk.market().terms.volume_30d == 0
        assert practice.resting == []
        state = practice.place.exchange.rate_state(practice.user, practice.place.now_ms)
        assert state.remaining == state.limit
