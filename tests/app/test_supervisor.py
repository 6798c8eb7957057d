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
from tests.app.test_startup import order as an_order
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


def a_position(**changes: str) -> dict[str, str]:
    """A row of the exchange's positions, in a market that is not configured."""
    row = {"id": "p1", "marketId": "ETH-PERP", "side": "buy", "quantity": "100", "entryPrice": "3000", "status": "open"}
    return {**row, **changes}


async def test_a_position_that_no_limit_would_count_refuses_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """S6: its market's table was deleted while it was held. What an earlier run left resting is swept all the same."""
    async with running(config(tmp_path), monkeypatch) as world:
        world.site.resting = [an_order("mk-old-1")]
        short = a_position(id="p2", marketId="SOL-PERP", side="sell", quantity="0.5")
        world.site.usual[ocx.POSITIONS] = saying([a_position(), short])
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.ended.wait()
        assert world.result is not None
        assert world.result.exit_code == ExitCode.REFUSED_TO_START
        assert world.result.reason == (
            "the account has positions in markets that are not configured (ETH-PERP 100, SOL-PERP -0.5): no limit "
            "counts them. Configure the market, close the position (`flatten`, or positions/close), or give the bot a "
            "sub-account of its own."
        )
        assert world.site.resting == []
        assert world.site.seen(ocx.QUOTES_BULK) == []


@pytest.mark.parametrize("changes", [{"status": "closed"}, {"quantity": "0"}], ids=str)
async def test_a_position_elsewhere_that_is_over_refuses_nothing(
    changes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    async with running(config(tmp_path), monkeypatch) as world:
        world.site.usual[ocx.POSITIONS] = saying([a_position(**changes)])
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.until_quoted()


async def test_a_position_that_appears_elsewhere_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """The account is read at each pull; quoting goes on, for what is configured is as well as before."""
    async with running(config(tmp_path), monkeypatch) as world:
        await world.until_quoted()
        for quantity in ("100", "120"):
            world.site.usual[ocx.POSITIONS] = saying([a_position(quantity=quantity)])
            since = trio.current_time()
            world.lose_stream()
            with trio.fail_after(60.0):
                while not world.switch.latched:
                    await trio.sleep(0.05)
                world.snapshot()
                await world.until_quoted(since)
        told = [line for line in world.told.lines if "not configured" in line.get("sentence", "")]
        assert [(line["log_level"], line["scope"]) for line in told] == [("warning", "positions elsewhere")]
        assert "(ETH-PERP 100)" in told[0]["sentence"]
