"""Positions on the way out: closed only where reason, configuration and a verified exchange say so, and in time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.app.close_out import CLOSE_SECONDS_MAX, close_positions
from maker.app.config import Config
from maker.app.wiring import Run
from maker.desk.deadman import Reason, Trip
from maker.desk.margin import FlattenPolicy
from maker.desk.units import Side
from maker.errors import ExitCode
from maker.launch import latch
from maker.wire import ocx
from tests.app.practising import Practice
from tests.app.runs import CONFIG, a_run
from tests.app.site import Behaviour, Site, Stage, reset, saying, silent, staged
from tests.app.test_closing import Account, bodies
from tests.app.whole import World, config, running
from tests.desk.scripted import BTC, FAIR_TICKS, Desk, a_fill, at_position, dec, market

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

ENDS_SECONDS_MAX = 15.0  # S15
LOST = Trip(Reason.DRAWDOWN, "as scripted")
LOSSES = {"drawdown_max": dec("100000"), "daily_loss_max": dec("10")}
CLOSING = attrs.evolve(CONFIG, margin=attrs.evolve(CONFIG.margin, flatten=FlattenPolicy.HALT))


def policy(folder: Path, flatten: FlattenPolicy = FlattenPolicy.HALT) -> Config:
    settings = config(folder, account=LOSSES)
    return attrs.evolve(settings, margin=attrs.evolve(settings.margin, flatten=flatten))


async def lose(world: World) -> Account:
    """Long 0.1, and 11 down: more than may be lost in a day."""
    account = Account(world.site, {BTC: Decimal("0.1")})
    world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
    world.price(FAIR_TICKS - 1_100)
    with trio.fail_after(ENDS_SECONDS_MAX + 2):
        await world.ended.wait()
    return account


def order_path(site: Site) -> list[str]:
    writes = {ocx.CANCEL_ALL, ocx.QUOTES_BULK, ocx.POSITIONS_CLOSE}
    return [one.path for one in site.log if one.path in writes or one.path == ocx.ORDERS]


# -- through the whole supervisor


async def test_after_a_loss_positions_are_closed_once_the_exchange_reads_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """Checklist 16, S3, S24: cancel-all, two empty reads, then the close; read back again; still 70 and latched."""
    settings = policy(tmp_path)
    async with running(settings, monkeypatch) as world:
        await world.until_quoted()
        account = await lose(world)
        assert account.held == {BTC: 0}
        assert world.result is not None
        assert world.result.reason.startswith(Reason.DAILY_LOSS.sentence)
        assert world.result.reason.endswith(f"; closed {BTC} 0.1")
        assert (world.result.exit_code, world.result.verified_empty) == (ExitCode.FAILED_EMPTY, True)
        said = latch.read(tmp_path)
        assert said is not None
        assert "daily_loss" in said
        asked = order_path(world.site)
        closed_at = asked.index(ocx.POSITIONS_CLOSE)
        pulled_at = max(index for index, path in enumerate(asked[:closed_at]) if path == ocx.CANCEL_ALL)
        assert asked[pulled_at:closed_at].count(ocx.ORDERS) >= 2, "closed before it was read back empty"
        assert asked[closed_at + 1 :].count(ocx.ORDERS) >= 2, "and read back again"
        assert ocx.QUOTES_BULK not in asked[pulled_at:]


@pytest.mark.parametrize("flatten", FlattenPolicy)
async def test_a_run_that_is_asked_to_stop_keeps_its_positions(
    flatten: FlattenPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    async with running(policy(tmp_path, flatten), monkeypatch) as world:
        await world.until_quoted()
        account = Account(world.site, {BTC: Decimal("0.1")})
        world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
        await world.signals.send(15)
        with trio.fail_after(ENDS_SECONDS_MAX):
            await world.ended.wait()
        assert account.held == {BTC: Decimal("0.1")}
        assert world.result is not None
        assert world.result.reason.endswith("SIGTERM")


async def test_by_default_a_loss_leaves_positions_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    assert CONFIG.margin.flatten is FlattenPolicy.NEVER
    async with running(policy(tmp_path, FlattenPolicy.NEVER), monkeypatch) as world:
        await world.until_quoted()
        account = await lose(world)
        assert account.held == {BTC: Decimal("0.1")}
        assert not world.site.seen(ocx.POSITIONS_CLOSE)


async def test_a_close_that_hangs_costs_no_time_that_the_halt_may_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """S15: fifteen seconds from the trip to the end, whatever becomes of the positions; what is left is said."""
    async with running(policy(tmp_path), monkeypatch) as world:
        await world.until_quoted()
        for path in (ocx.POSITIONS_CLOSE, f"{ocx.ORDERBOOK}/{BTC}"):
            world.site.script(path, *[silent] * 50)
        await lose(world)
        pulled = next(one for one in world.switch.seen if one.trip.reason is Reason.DAILY_LOSS)
        assert trio.current_time() - pulled.at <= ENDS_SECONDS_MAX
        assert world.result is not None
        assert "THEY MAY BE OPEN" in world.result.reason
        assert (world.result.exit_code, world.result.verified_empty) == (ExitCode.FAILED_EMPTY, True)


async def test_nothing_is_closed_while_orders_may_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    """S3: an exchange that keeps showing an order is never verified; pulling it is all there is time for."""
    async with running(policy(tmp_path), monkeypatch) as world:
        await world.until_quoted()
        (stuck, *_) = world.site.resting

        async def shows_one(seen: Any, stream: Any) -> None:
            await saying({"orders": [stuck]})(seen, stream)

        Account(world.site, {BTC: Decimal("0.1")})
        world.delta(a_fill("t1", Side.BUY, 100), positions=(at_position(100),))
        world.price(FAIR_TICKS - 1_100)
        world.site.usual[ocx.ORDERS] = shows_one
        with trio.fail_after(ENDS_SECONDS_MAX + 2):
            await world.ended.wait()
        assert world.result is not None
        assert world.result.exit_code == ExitCode.UNVERIFIED
        assert not world.site.seen(ocx.POSITIONS_CLOSE)


# -- the closing itself, against the scripted account


async def closing(stage: Stage, seconds: float = 14.0, **fields: Any) -> Run:
    """A run that has lost and was read back empty, until its positions were seen to."""
    run = a_run(stage, armed=True, **{"stop": LOST, **fields})
    run.config = CLOSING
    run.report.verified_empty = True
    try:
        await close_positions(run, trio.current_time() + seconds)
    finally:
        run.quoting_lane.close()
    return run


async def test_what_the_close_leaves_goes_by_reduce_only_orders_that_cannot_rest(autojump_clock: Clock) -> None:
    """`Account` refuses anything that could open a position, turn one over or rest."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("-0.100")}, taken_by_close=Decimal("0.040"))
        run = await closing(stage)
        assert account.held == {BTC: 0}
        assert [body["quantity"] for body in bodies(stage.site, ocx.ORDERS)] == ["0.060"]
        assert run.closed == f"closed {BTC} -0.100"


async def test_a_market_that_is_not_ours_is_left_alone(autojump_clock: Clock) -> None:
    """Its positions are nobody's of this run: the red button takes them, the policy does not."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.1"), "DOGE-PERP": Decimal(5)})
        await closing(stage)
        assert account.held == {BTC: 0, "DOGE-PERP": 5}


async def test_what_nobody_takes_is_said_and_the_exchange_read_back(autojump_clock: Clock) -> None:
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.1")}, taken_by_close=Decimal(0), bids=[], asks=[])
        began = trio.current_time()
        run = await closing(stage)
        assert account.held == {BTC: Decimal("0.1")}
        assert "THEY MAY BE OPEN" in run.closed
        assert run.report.verified_empty
        assert trio.current_time() - began <= CLOSE_SECONDS_MAX + 1


async def test_what_cancels_may_need_is_not_spent_on_closing(autojump_clock: Clock) -> None:
    """H26: at the reserve nothing but a cancel-all leaves."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.1")})
        stage.desk.budget_seen(stage.desk.engine.budget.reserve, reset_seconds=60.0)
        run = await closing(stage)
        assert not stage.site.seen(ocx.POSITIONS_CLOSE)
        assert account.held == {BTC: Decimal("0.1")}
        assert "THEY MAY BE OPEN" in run.closed


@pytest.mark.parametrize(
    ("fields", "verified"),
    [({"stop": Trip(Reason.REPEATED_EXECUTION, "")}, True), ({"stop": None}, True), ({}, False)],
    ids=["a reason that does not close", "an error", "not verified"],
)
async def test_nothing_is_sent_where_the_policy_does_not_apply(
    fields: dict[str, Any], verified: bool, autojump_clock: Clock
) -> None:
    async with staged() as stage:
        Account(stage.site, {BTC: Decimal("0.1")})
        run = a_run(stage, armed=True, **{"stop": LOST, **fields})
        run.config = CLOSING
        run.report.verified_empty = verified
        await close_positions(run, trio.current_time() + 14.0)
        assert stage.site.log == []
        assert run.closed == ""


@pytest.mark.parametrize("answer", [reset, saying({"error": "NO", "message": "scope"}, 403)], ids=["reset", "403"])
async def test_a_close_that_fails_ends_in_a_sentence(answer: Behaviour, autojump_clock: Clock) -> None:
    """Reset: tried again, for each only reduces. 403: nothing helps, and that is what is said."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.1")})
        stage.site.script(ocx.POSITIONS_CLOSE, answer)
        if answer is reset:
            stage.site.script(f"{ocx.ORDERBOOK}/{BTC}", reset)
        run = await closing(stage)
        assert (account.held[BTC] == 0) == (answer is reset)
        assert ("NOT DONE" in run.closed) == (answer is not reset)


async def test_cancelled_from_outside_it_still_goes_on(autojump_clock: Clock) -> None:
    """It runs in the way out, whose scope is cancelled already."""
    async with staged() as stage:
        account = Account(stage.site, {BTC: Decimal("0.1")})
        with trio.CancelScope() as scope:
            scope.cancel(reason="quoting has ended")
            await closing(stage)
        assert account.held == {BTC: 0}


# -- the practice exchange on the other side


async def test_the_practice_exchange_ends_flat(autojump_clock: Clock) -> None:
    """Checklist 16: a long and a short position, of the exchange's own arithmetic, both gone; nothing rests."""
    names = ("BTC-PERP", "ETH-PERP")
    async with staged(Desk.ready(*(market(name) for name in names))) as stage:
        practice = Practice(stage.site)
        practice.trade("BTC-PERP", "buy", "0.05")
        practice.trade("ETH-PERP", "sell", "0.7")
        run = await closing(stage)
        assert [practice.position(name) for name in names] == [0, 0]
        assert run.closed == "closed BTC-PERP 0.0500, ETH-PERP -0.700"
        assert run.report.verified_empty
        for body in bodies(stage.site, ocx.ORDERS):
            assert (body["reduceOnly"], body["timeInForce"]) == (True, "ioc")


async def test_more_than_the_book_holds_is_closed_as_far_as_it_reaches_and_never_turned_over(
    autojump_clock: Clock,
) -> None:
    async with staged() as stage:
        practice = Practice(stage.site, deposit=Decimal(10_000_000))
        practice.trade("BTC-PERP", "sell", "2")
        before = practice.position("BTC-PERP")
        assert before < 0
        await closing(stage)
        assert before <= practice.position("BTC-PERP") <= 0
        assert practice.resting == []
