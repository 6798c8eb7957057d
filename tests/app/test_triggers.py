"""The dead-man's table, row by row, through the whole supervisor in virtual time: it fires, pulls first, and then?

Parametrised over the table itself: a row without a case here fails. Each case makes its row fire in a run that quotes;
what must follow is read from the row. Numbers in the names are rows of the risk layer's checklist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio
import trio.testing

from maker.app.key_expiry import KeyExpiry
from maker.desk.deadman import Reason
from maker.desk.events import BudgetSeen
from maker.desk.spread import Situation, Spread
from maker.desk.units import Side
from maker.edge.journal import MemoryJournal
from maker.errors import ExitCode
from maker.launch import key, latch
from maker.wire import ocx
from tests.app.site import BALANCES, Seen, reset, saying
from tests.app.whole import WALL, World, config, http_date, running
from tests.desk.scripted import BTC, FAIR_TICKS, a_fill, at_position, dec

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

FIRES_SECONDS_MAX: Final = 31.0  # the slowest row is the age of quotes, 1.5 of 20 s
RESUMES_SECONDS_MAX: Final = 60.0  # L2
ENDS_SECONDS_MAX: Final = 15.0  # S15


@attrs.frozen
class Case:
    """How one row is made to fire."""

    fire: Callable[[World], Awaitable[None]]
    market: dict[str, Any] = attrs.field(factory=dict)  # limits of the market that differ
    account: dict[str, Any] = attrs.field(factory=dict)
    for_seconds: float = float("inf")
    before: tuple[Reason, ...] = ()  # rows that fire on the way


async def nothing(_world: World) -> None:
    """Waiting is enough."""


async def stale(world: World) -> None:
    world.reference_on = False


async def mark_runs_away(world: World) -> None:
    world.price(FAIR_TICKS, mark_ticks=FAIR_TICKS + 10_000)


async def price_jumps(world: World) -> None:
    """50 bp at once, everywhere: nothing disagrees with anything, and nobody knows yet whether it is true."""
    world.price(FAIR_TICKS + 2_500)


async def stream_lost(world: World) -> None:
    world.lose_stream()


async def stream_silent(world: World) -> None:
    world.stream_on = False


def ladders_get(*answers: Any) -> Callable[[World], Awaitable[None]]:
    async def fire(world: World) -> None:
        world.site.script(ocx.QUOTES_BULK, *answers)
        world.wild = True

    return fire


async def halted(world: World) -> None:
    world.listing("halted")
    await ladders_get(saying({"error": "MARKET_HALTED", "message": "no"}, 409))(world)


async def budget_gone(world: World) -> None:
    world.door.deliver(BudgetSeen(120, 24, 50.0))


async def stranger(world: World) -> None:
    """Found by the read that a ladder refused for whatever reason makes due."""
    world.site.resting.append({**world.site.resting[0], "id": "o9", "clientOrderId": "stranger-1"})
    await ladders_get(saying({"error": "TOO_SMALL", "message": "no"}, 422))(world)


async def position_moves(world: World, *, stays: bool) -> None:
    if stays:
        row = {"id": "p1", "marketId": BTC, "side": "buy", "quantity": "0.007", "entryPrice": "50000"}
        world.site.usual[ocx.POSITIONS] = saying([{**row, "realizedPnl": "0", "status": "open"}])
    world.delta(positions=(at_position(7),))


async def filled_twice(world: World) -> None:
    """The same order, whole, under two trade ids."""
    order = next(iter(world.run.engine.markets[BTC].account.resting.values()))
    lots = order.lots
    fills = [a_fill(name, order.side, lots, client_order_id=order.client_order_id) for name in ("t1", "t2")]
    world.delta(*fills, positions=(at_position(2 * lots * order.side.sign),))


async def beyond_the_limit(world: World) -> None:
    world.delta(a_fill("t1", Side.BUY, 401), positions=(at_position(401),))


async def bought_and_sold(world: World) -> None:
    fills = [a_fill("t1", Side.BUY, 120), a_fill("t2", Side.SELL, 120), a_fill("t3", Side.BUY, 120)]
    for each in fills[:-1]:
        world.delta(each, positions=(at_position(120 if each.side is Side.BUY else 0),))
    assert not world.switch.latched, "0.24 is what it may trade"
    world.delta(fills[-1], positions=(at_position(120),))


async def bought_and_sold_again(world: World) -> None:
    """It ends flat, as the account that is read back says."""
    world.delta(a_fill("t1", Side.BUY, 120), positions=(at_position(120),))
    assert not world.switch.latched
    world.delta(a_fill("t2", Side.SELL, 120), positions=(at_position(0),))


async def up_and_down(world: World) -> None:
    """Long 0.1: 11 up, 11 down. Nothing is lost since the start but the fee, and too much since the best moment."""
    world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
    for ticks in (FAIR_TICKS + 1_100, FAIR_TICKS):
        world.price(ticks)
        await trio.sleep(2.0)


async def down(world: World) -> None:
    world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
    world.price(FAIR_TICKS - 1_100)


async def margin_gone(world: World) -> None:
    """A position, and nearly nothing of the equity is free, however often it is read."""
    world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
    (row,) = BALANCES["balances"]
    world.site.usual[ocx.BALANCES] = saying({"balances": [{**row, "available": "500"}]})


def unseen(boot: float, monotonic: float, wall: float) -> Callable[[World], Awaitable[None]]:
    async def fire(world: World) -> None:
        world.pass_unseen(boot, monotonic, wall)

    return fire


async def skewed(world: World) -> None:
    world.site.fields = (f"Date: {http_date(WALL + 30)}",)
    world.wild = True


async def journal_lost(world: World) -> None:
    journal = world.told.recorder.journal
    assert isinstance(journal, MemoryJournal)
    journal.lost = "disk full"


async def key_ends(world: World) -> None:
    """Twenty seconds of its life are left beyond what the guard may need: the wall clock passes that by itself."""
    run, guard = world.run, world.run.config.guard
    wall = run.pulse.wall
    needed = key.seconds_needed(guard.give_up_seconds, guard.tail_seconds)
    run.expiry = KeyExpiry(wall() + needed + 20.0, needed, run.recorder, wall, run.leave)


async def limits_lowered(world: World) -> None:
    """Smaller levels, and an order may be no larger than the largest of them: what rests is."""
    size, most = dec("0.002"), dec("0.004")
    world.shelf.put(f"market.{BTC}.level_size", size, ladder={"level_size": size})
    world.shelf.put(f"market.{BTC}.order_size_max", most, limits={"order_size_max": most})
    world.ask()


async def key_changed(world: World) -> None:
    world.site.key = ""
    world.shelf.kept = key.Key("ocx_sk_another", "ocx_kid_2", "trade", float("inf"))
    world.ask()


async def a_bug(world: World) -> None:
    world.bug = ZeroDivisionError("a bug")


async def guard_dies(world: World) -> None:
    world.guard.close()


async def signalled(world: World) -> None:
    await world.signals.send(15)


async def killed_by_hand(world: World) -> None:
    (world.folder / latch.KILL_FILE).touch()


MARGIN = saying({"error": "INSUFFICIENT_MARGIN", "message": "no"}, 422)
TOO_SMALL = saying({"error": "TOO_SMALL", "message": "no"}, 422)
NEVER: Final = dec("100000")

CASES: Final[dict[Reason, Case]] = {
    Reason.REFERENCE_STALE: Case(stale),
    Reason.NO_FAIR_VALUE: Case(mark_runs_away),
    Reason.PRICE_JUMP: Case(price_jumps),
    Reason.STREAM_BROKEN: Case(stream_lost),
    Reason.STREAM_SILENT: Case(stream_silent),
    Reason.OUTCOME_UNKNOWN: Case(ladders_get(reset)),
    Reason.ORDERS_FAILING: Case(ladders_get(TOO_SMALL, TOO_SMALL, TOO_SMALL)),
    Reason.QUOTES_TOO_OLD: Case(budget_gone),
    Reason.MARGIN_REFUSED: Case(ladders_get(MARGIN, MARGIN, MARGIN)),
    Reason.MARKET_HALTED: Case(halted),
    Reason.ORDERS_DISAGREE: Case(stranger),
    Reason.POSITION_DISAGREES: Case(partial(position_moves, stays=False)),
    Reason.POSITION_UNEXPLAINED: Case(partial(position_moves, stays=True), before=(Reason.POSITION_DISAGREES,)),
    Reason.OVERFILLED: Case(filled_twice),
    Reason.POSITION_LIMIT: Case(beyond_the_limit),
    Reason.BURST: Case(bought_and_sold_again, market={"burst_size_max": dec("0.239"), "burst_freeze_seconds": 5.0}),
    Reason.REPEATED_EXECUTION: Case(
        bought_and_sold, market={"burst_size_max": dec("0.240"), "burst_freeze_seconds": 0.0}
    ),
    Reason.DRAWDOWN: Case(up_and_down, account={"drawdown_max": dec("10"), "daily_loss_max": NEVER}),
    Reason.DAILY_LOSS: Case(down, account={"drawdown_max": NEVER, "daily_loss_max": dec("10")}),
    Reason.MARGIN_HEADROOM: Case(margin_gone),
    Reason.LOOP_LAG: Case(unseen(0.7, 0.7, 0.7)),
    Reason.SUSPENDED: Case(unseen(60.0, 0.0, 60.0)),
    Reason.CLOCK_JUMPED: Case(unseen(0.0, 0.0, -3600.0)),
    Reason.CLOCK_SKEW: Case(skewed),
    Reason.JOURNAL_LOST: Case(journal_lost),
    Reason.CREDENTIALS: Case(ladders_get(saying({"error": "NO"}, 401))),
    Reason.KEY_EXPIRES: Case(key_ends),
    Reason.UNHANDLED_ERROR: Case(a_bug),
    Reason.OWNER_GONE: Case(guard_dies),
    Reason.LIMITS_LOWERED: Case(limits_lowered),
    Reason.KEY_CHANGED: Case(key_changed),
    Reason.STOP_ASKED: Case(signalled),
    Reason.TIME_UP: Case(nothing, for_seconds=5.0),
    Reason.KILLED: Case(killed_by_hand),
}
CHECKLIST: Final = {
    Reason.PRICE_JUMP: 2,
    Reason.BURST: 4,
    Reason.REPEATED_EXECUTION: 4,
    Reason.KILLED: 9,
    Reason.REFERENCE_STALE: 13,
    Reason.POSITION_UNEXPLAINED: 14,
    Reason.OVERFILLED: 15,
    Reason.DRAWDOWN: 16,
    Reason.DAILY_LOSS: 16,
    Reason.MARGIN_HEADROOM: 8,
    Reason.CLOCK_SKEW: 19,
}


def named(reason: Reason) -> str:
    row = f"row_{CHECKLIST[reason]}_" if reason in CHECKLIST else ""
    return row + reason.name.lower()


@pytest.mark.parametrize("reason", Reason, ids=named)
async def test_each_row_fires_pulls_first_and_ends_as_it_says(
    reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """S2, S3, S10, S15, S21, L2: for whatever row is in the table."""
    assert reason in CASES, f"{reason.name} is in the table, and nothing here makes it fire"
    case, row = CASES[reason], reason.value
    settings = config(tmp_path, case.market, case.account)
    async with running(settings, monkeypatch, for_seconds=case.for_seconds) as world:
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.until_quoted()
        await case.fire(world)
        with trio.move_on_after(FIRES_SECONDS_MAX):
            while reason not in [one.trip.reason for one in world.switch.seen]:
                await trio.sleep(0.01)
        fired = [one.trip.reason for one in world.switch.seen]
        assert [*fired[: len(case.before) + 1]] == [*case.before, reason], world.told.lines[-5:]
        before = world.switch.seen[0].request
        for one in world.switch.seen[: len(case.before) + 1]:
            assert one.bytes_left, "the first bytes of a trip are the unscoped cancel-all, in the same step"
            assert one.latched_before == (reason is Reason.KILLED), "the kill file is written after the cancel-all"
        if row.exit_code is None:
            await resumes(world, before)
        else:
            await ends(world, reason, before)
    if row.latched:
        await stays_shut(settings, reason, monkeypatch)


class Quits:
    """A model of the user's own that says `sys.exit()` where none of the trial's situations led it."""

    def spread(self, situation: Situation) -> Spread:
        raise SystemExit(3)


async def test_a_model_that_asks_to_end_the_program_ends_the_run_as_any_bug_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """S2, H6, checklist 23: pulled first, read back empty, 70 and a sentence; not an end without a result."""
    async with running(config(tmp_path), monkeypatch) as world:
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.until_quoted()
        world.run.engine.markets[BTC].pricing.model = Quits()
        world.wild = True
        before = len(world.site.log)
        await ends(world, Reason.UNHANDLED_ERROR, before)
        assert world.result is not None
        assert world.result.reason.endswith("RuntimeError: it asks to end the program: SystemExit(3)")


def writes(world: World, before: int) -> list[Seen]:
    """What was written to the exchange since it had seen so many requests."""
    return [seen for seen in world.site.log[before:] if seen.method == "POST" and seen.path != ocx.PREVIEW]


async def resumes(world: World, before: int) -> None:
    """Pulled and verified, read back; quoting again without a person; no word left for the next start."""
    with trio.fail_after(ENDS_SECONDS_MAX):
        while not (posts := writes(world, before)) or world.site.resting:
            await trio.sleep(0.01)
    assert (posts[0].path, posts[0].body, posts[0].query) == (ocx.CANCEL_ALL, b"{}", "")
    pulls = len(world.switch.seen)
    healed_at = trio.current_time()
    world.heal()
    with trio.fail_after(RESUMES_SECONDS_MAX):
        await world.until_quoted(since=healed_at)
    reads = [seen.path for seen in world.site.log[before:]]
    assert reads.index(ocx.POSITIONS) < reads.index(ocx.QUOTES_BULK), "quoted before the account was read back"
    assert reads[: reads.index(ocx.QUOTES_BULK)].count(ocx.ORDERS) >= 2, "quoted before it was read back empty"
    assert len(world.switch.seen) == pulls
    assert world.run.stop is None
    assert latch.read(world.folder) is None
    await world.signals.send(15)
    with trio.fail_after(ENDS_SECONDS_MAX):
        await world.ended.wait()
    assert world.result is not None
    assert world.result.exit_code == ExitCode.CLEAN
    assert latch.read(world.folder) is None


async def ends(world: World, reason: Reason, before: int) -> None:
    """Verified empty, nothing written after the pull, its own exit code, and the kill file exactly where it latches."""
    with trio.fail_after(ENDS_SECONDS_MAX):
        await world.ended.wait()
    assert world.result is not None
    assert world.result.exit_code == reason.value.exit_code
    assert world.result.verified_empty
    assert world.site.resting == []
    assert world.result.reason.startswith(reason.sentence)
    posts = writes(world, before)
    assert {(seen.path, seen.body, seen.query) for seen in posts} == {(ocx.CANCEL_ALL, b"{}", "")}
    said = latch.read(world.folder)
    assert (said is not None) == reason.latched
    if reason.latched and reason is not Reason.KILLED:
        assert said is not None
        assert world.result.reason in said
        assert reason.name.lower() in said


async def stays_shut(settings: Any, reason: Reason, monkeypatch: pytest.MonkeyPatch) -> None:
    """S21, row 9: the next start places nothing, cancels nothing and says why, until a person clears it."""
    async with running(settings, monkeypatch) as world:
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.ended.wait()
        assert world.result is not None
        assert world.result.exit_code == ExitCode.REFUSED_TO_START
        assert world.result.reason.startswith(latch.BY_HAND if reason is Reason.KILLED else reason.sentence)
        assert not [seen for seen in world.site.log if seen.method == "POST"]
    latch.clear(settings.state_folder)
    async with running(settings, monkeypatch) as world:
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.until_quoted()
