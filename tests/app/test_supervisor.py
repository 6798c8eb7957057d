"""The nurseries and what comes after them; that every row of the table goes through them is in test_triggers."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from maker.app.result import conclude
from maker.app.supervisor import FINAL_READ_SECONDS_MAX, take_down
from maker.errors import ExitCode
from maker.wire import ocx
from tests.app.runs import ASKED, a_run
from tests.app.site import saying, staged
from tests.app.whole import config, running

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

ENDS_SECONDS_MAX = 15.0  # S15


async def test_signals_that_come_during_the_halt_do_not_break_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """H3: the receiver stays open around the cleanup; the one that came first is the reason reported."""
    async with running(config(tmp_path), monkeypatch) as world:
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.until_quoted()
            for number in (15, 2, 2, 1, 3):
                await world.signals.send(number)
                await trio.sleep(0.1)
            await world.ended.wait()
        assert world.result is not None
        assert world.result.exit_code == ExitCode.CLEAN
        assert world.result.reason.endswith("SIGTERM")
        assert world.site.resting == []


async def test_a_final_read_that_fails_costs_its_figures_only(autojump_clock: Clock) -> None:
    """The verified end is worth more."""
    async with staged() as stage:
        stage.site.usual[ocx.POSITIONS] = saying({"error": "NO"}, 401)
        run = a_run(stage, armed=True, stop=ASKED)
        run.report.verified_empty = True
        await take_down(run)
        assert [line for line in stage.told.lines if line["event"] == "no final read"]
        assert conclude(run, None).exit_code == ExitCode.CLEAN


async def test_a_final_read_that_hangs_is_given_up(autojump_clock: Clock) -> None:
    async with staged() as stage:

        async def silent(*_words: object) -> None:
            await trio.sleep_forever()

        stage.client.get = silent  # type: ignore[assignment,method-assign]
        run = a_run(stage, armed=True, stop=ASKED)
        run.report.verified_empty = True
        began = trio.current_time()
        await take_down(run)
        assert trio.current_time() - began == pytest.approx(FINAL_READ_SECONDS_MAX)
