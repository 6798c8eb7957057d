"""What a run has lost, kept for the next one: through the supervisor, over a restart, and every text that is none."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from maker.app import supervisor
from maker.app.config import Config
from maker.app.losses import KEEP_SECONDS, Keeper, parse, restore, spell
from maker.desk.breakers import Losses, Lost
from maker.desk.deadman import Reason
from maker.desk.units import Side
from maker.edge.lasting import DirectFile
from maker.errors import ExitCode, StartRefused
from maker.launch import latch
from maker.launch.running import LOSSES_FILE
from tests.app.site import a_recorder
from tests.app.whole import World, config, running
from tests.desk.scripted import ALL_MARKETS, FAIR_TICKS, START_MS, a_fill, at_position, dec, quick

LOST = Lost(dec("1000.5"), dec("12.25"), 20_000, dec("-3"))
SECONDS_MAX = 30.0
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)


def lasting(state_folder: Path, **account: object) -> Config:
    """One whose account outlives the run."""
    settings = config(state_folder, account=account)
    assert settings.paper is not None
    return attrs.evolve(settings, paper=attrs.evolve(settings.paper, state="venue.json"))


# -- the text


@given(equity=amounts, fallen=amounts.map(abs), day=st.none() | st.integers(0, 10**6), today=amounts)
@quick
def test_what_is_spelled_is_read_again_exactly(
    equity: Decimal, fallen: Decimal, day: int | None, today: Decimal
) -> None:
    lost = Lost(equity, fallen, day, today)
    assert parse(spell(lost).encode()) == lost


WRONG: list[object] = ["", "x", [], "NaN", "-Infinity", True]
GOOD = json.loads(spell(LOST))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        spell(LOST)[:-1],
        *(json.dumps({**GOOD, key: value}) for key in GOOD for value in WRONG),
        json.dumps({**GOOD, "fallen": "-1"}),
    ],
)
def test_anything_else_refuses_to_start(text: str, tmp_path: Path) -> None:
    """Nobody knows what was lost: that is for a person, not for a guess of nothing."""
    (tmp_path / LOSSES_FILE).write_text(text)
    with pytest.raises(StartRefused, match="say `clear`"):
        restore(lasting(tmp_path), Losses(ALL_MARKETS))


def test_no_file_is_a_first_run(tmp_path: Path) -> None:
    losses = Losses(ALL_MARKETS)
    restore(lasting(tmp_path), losses)
    assert losses.before is None


def test_a_practice_exchange_that_keeps_nothing_begins_anew(tmp_path: Path) -> None:
    """Its account is another one with each run."""
    (tmp_path / LOSSES_FILE).write_text(spell(LOST))
    losses = Losses(ALL_MARKETS)
    restore(config(tmp_path), losses)
    assert losses.before is None
    restore(lasting(tmp_path), losses)
    assert losses.before == LOST


# -- while it runs


def test_it_is_written_now_and_then_and_only_when_it_changed(tmp_path: Path) -> None:
    losses, told = Losses(ALL_MARKETS), a_recorder()
    file = DirectFile(tmp_path / LOSSES_FILE)
    keeper = Keeper(losses, file, told.recorder)
    keeper.look(0.0)
    assert not file.path.exists(), "nothing is known yet"
    losses.judge(dec("-5"), START_MS)
    keeper.look(KEEP_SECONDS - 0.1)
    assert not file.path.exists()
    keeper.look(KEEP_SECONDS)
    assert parse(file.path.read_bytes()).fallen == 5
    file.path.unlink()
    keeper.look(2 * KEEP_SECONDS)
    assert not file.path.exists(), "it has not changed"
    losses.judge(dec("-6"), START_MS)
    keeper.close()
    assert parse(file.path.read_bytes()).fallen == 6


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    losses, told = Losses(ALL_MARKETS), a_recorder()
    keeper = Keeper(losses, DirectFile(tmp_path / "gone" / LOSSES_FILE), told.recorder)
    for number in range(5):
        losses.judge(Decimal(-number), START_MS)
        keeper.look(number * KEEP_SECONDS)
    assert [line["event"] for line in told.lines].count("not kept") == 1


async def lose(world: World, ticks: int) -> None:
    """Long 0.1 and so many ticks down, at 0.01 a tick; told to stop in the same moment, and taken down."""
    world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
    world.price(FAIR_TICKS - ticks)
    await trio.sleep(1.5)  # a poll of the mark; the file is looked at each 2 s, so the last of it is for the way out
    if not world.ended.is_set():
        await world.signals.send(15)
    with trio.fail_after(SECONDS_MAX):
        await world.ended.wait()
    await supervisor.take_down(world.run)


async def test_s21_row_16_what_a_run_lost_counts_in_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Each run loses 6 and ends as asked; the second one is stopped at 10, though it lost only 6 itself."""
    settings = lasting(tmp_path, drawdown_max=dec("10"), daily_loss_max=dec("100000"))
    for number, reason in enumerate((Reason.STOP_ASKED, Reason.DRAWDOWN)):
        async with running(settings, monkeypatch) as world:
            world.run.host = attrs.evolve(world.run.host, lasting=DirectFile)  # no thread beside a virtual clock
            with trio.fail_after(SECONDS_MAX):
                await world.until_quoted()
            await lose(world, 600)
            assert world.run.stop is not None
            assert world.run.stop.reason is reason
        kept = parse((tmp_path / LOSSES_FILE).read_bytes())
        assert 6 * (number + 1) <= kept.fallen < 7 * (number + 1), "and the fee"
    assert latch.read(tmp_path) is not None
    latch.clear(tmp_path)
    (tmp_path / LOSSES_FILE).unlink()
    async with running(settings, monkeypatch) as world:
        with trio.fail_after(SECONDS_MAX):
            await world.until_quoted()


async def test_row_30_a_file_that_cannot_be_read_refuses_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    (tmp_path / LOSSES_FILE).write_text("{")
    async with running(lasting(tmp_path), monkeypatch) as world:
        with trio.fail_after(SECONDS_MAX):
            await world.ended.wait()
        assert world.result is not None
        assert world.result.exit_code == ExitCode.REFUSED_TO_START
        assert LOSSES_FILE in world.result.reason
        assert not [seen for seen in world.site.log if seen.method == "POST"]
