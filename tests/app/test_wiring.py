"""How a run is wired and left: what pulls, and in which order."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from maker.app.causes import first_cause
from maker.app.result import conclude
from maker.app.wiring import Route, may_rest, wire
from maker.desk.budget import RESERVE_CALLS
from maker.desk.deadman import Reason, Trip
from maker.edge.answer import Answer
from maker.edge.endpoint import resolve
from maker.errors import ExitCode
from maker.launch import latch
from tests.app.runs import ASKED, BUG, CONFIG, ENDPOINT, FORBIDDEN, GROUP, a_run, exposed
from tests.app.site import KEY, a_recorder, staged
from tests.desk.scripted import BTC, Desk

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real


# -- leaving


async def test_leaving_pulls_in_the_same_step_and_cancels_quoting(autojump_clock: Clock) -> None:
    """S10: latch, cancel-all, and only then the unwinding."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        run.leave(ASKED)
        assert stage.switch.latched
        assert stage.switch.final
        assert b"cancel-all" in stage.panic_sent
        assert run.quoting.cancel_called


async def test_the_first_reason_is_the_one_reported(autojump_clock: Clock) -> None:
    """H3, S14: four more signals and an error change nothing."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        run.leave(ASKED)
        for _ in range(4):
            run.leave(Trip(Reason.STOP_ASKED, "SIGINT"))
        run.leave(Trip(Reason.UNHANDLED_ERROR, "a bug"))
        assert run.stop is ASKED
        assert stage.switch.trips == 1
        assert stage.panic_sent.count(b"cancel-all") == 1
        assert len([line for line in stage.told.lines if line["event"] == "pulling"]) == 1


async def test_leaving_before_anything_rests_cancels_nothing_at_the_exchange(autojump_clock: Clock) -> None:
    """Foreign orders may rest: nothing is pulled before the start was allowed."""
    async with staged() as stage:
        run = a_run(stage)
        run.leave(ASKED)
        assert not stage.switch.latched
        assert stage.panic_sent == b""
        assert run.quoting.cancel_called
        assert "before anything was placed" in conclude(run, None).reason


async def test_a_kill_file_that_cannot_be_written_is_said_and_changes_nothing_else(
    tmp_path: Path, autojump_clock: Clock
) -> None:
    """A full disk, a folder that is gone: the cancel-all has left and the run ends with its own code all the same."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        run.config = attrs.evolve(CONFIG, state_folder=tmp_path / "gone")
        run.leave(Trip(Reason.DRAWDOWN, "12 below its best"))
        assert b"cancel-all" in stage.panic_sent
        assert run.quoting.cancel_called
        [line] = [line for line in stage.told.lines if line["event"] == "not latched"]
        assert "12 below its best" in line["sentence"]
        run.report.verified_empty = True
        assert conclude(run, None).exit_code == ExitCode.FAILED_EMPTY


async def test_the_kill_file_is_written_after_the_cancel_all_has_left(
    tmp_path: Path, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H6: a disk that hangs holds up nothing that pulls."""
    left: list[bool] = []
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        monkeypatch.setattr(latch, "write", lambda *_: left.append(b"cancel-all" in stage.panic_sent))
        run.leave(Trip(Reason.REPEATED_EXECUTION, BTC))
        assert left == [True]


@pytest.mark.parametrize("first", [ASKED, Trip(Reason.STREAM_BROKEN, "BTC-PERP")])
async def test_a_latched_reason_latches_whatever_came_before_it(
    first: Trip, tmp_path: Path, autojump_clock: Clock
) -> None:
    """S21: a loss that is seen while a signal is being obeyed is a loss all the same."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        run.config = attrs.evolve(CONFIG, state_folder=tmp_path)
        if first.reason.recoverable:
            stage.switch.trip(first)
        else:
            run.leave(first)
        assert latch.read(tmp_path) is None
        run.leave(Trip(Reason.DAILY_LOSS, "12 lost"))
        said = latch.read(tmp_path)
        assert said is not None
        assert "12 lost" in said
        assert stage.switch.final


async def test_the_desk_is_told_what_this_machines_time_is_again_and_again(autojump_clock: Clock) -> None:
    """An event of the exchange is held against it; this machine's clock may be set meanwhile."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        for wall in (5_000.0, 7_000.0):
            run.pulse.wall = lambda wall=wall: wall  # type: ignore[misc]
            run.keep(1_000.0)
            assert run.engine.unix_ahead_seconds == wall - 1_000.0


# -- errors of services


@pytest.mark.parametrize("error", [BUG, FORBIDDEN, GROUP, KeyboardInterrupt(), SystemExit(3), MemoryError()])
async def test_an_error_pulls_before_anything_unwinds(error: BaseException, autojump_clock: Clock) -> None:
    """H5, H6: the cancel-all is on the wire before the first `finally` of any sibling runs."""
    order: list[str] = []
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)

        async def fails() -> None:
            await trio.sleep(1)
            raise error

        async def sibling() -> None:
            try:
                await trio.sleep_forever()
            finally:
                order.append("pulled" if b"cancel-all" in stage.panic_sent else "unwound first")

        with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - the nursery raises, at its end
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run.guarded, fails)
                nursery.start_soon(run.guarded, sibling)
                await trio.testing.wait_all_tasks_blocked()
        assert order == ["pulled"]
        assert first_cause(caught.value) is first_cause(error)
        assert run.stop is not None
        assert run.stop.reason is (Reason.CREDENTIALS if error in (FORBIDDEN, GROUP) else Reason.UNHANDLED_ERROR)


async def test_cancellation_is_no_error(autojump_clock: Clock) -> None:
    """H4: it passes, pulls nothing and is no reason to leave; from inside a nursery of the service's own as well."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)

        async def service() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep_forever()

        for each in (trio.sleep_forever, service):
            with trio.move_on_after(1) as scope:
                await run.guarded(each)
            assert scope.cancelled_caught
        assert run.stop is None
        assert not stage.switch.latched


async def test_a_service_that_ends_is_no_error(autojump_clock: Clock) -> None:
    async with staged() as stage:
        run = a_run(stage, armed=True)
        await run.guarded(partial(trio.sleep, 1))
        assert run.stop is None


# -- wiring


async def test_the_panic_lanes_are_told_what_they_need(autojump_clock: Clock) -> None:
    """H26: the engine's own budget, our markets, names for ladders that never come twice, and what may rest."""
    run = wire(CONFIG, KEY, Route("http://127.0.0.1:1", await resolve("http://127.0.0.1:1")), a_recorder().recorder)
    panic = run.switch.panic
    assert panic.budget is run.engine.budget
    assert panic.budget.reserve >= RESERVE_CALLS
    assert panic.routes.markets == tuple(CONFIG.markets)
    assert panic.routes.new_quote_id == run.engine.identity.quote_id
    assert list(panic.routes.may_rest()) == []
    desk = Desk.ready()
    pending = desk.quote()
    assert may_rest(desk.engine) == [order.client_order_id for order in pending.orders]
    await run.client.aclose()


async def test_the_limit_is_learned_from_the_order_path_and_not_from_who_stands_before_it(
    autojump_clock: Clock,
) -> None:
    """A gateway's 503 that states 10 requests a minute is no tier of ours."""
    async with staged() as stage:
        run = a_run(stage, armed=False)
        budget = run.engine.budget
        stated = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1"}
        run.on_answer(Answer(503, stated, b""))
        assert (budget.limit, budget.doubted_until) == (120, None)
        for status in (200, 422, 429):
            run.on_answer(Answer(status, {**stated, "x-ratelimit-limit": str(1000 + status)}, b""))
            assert budget.limit == 1000 + status


async def test_makers_of_one_machine_are_late_by_different_shares() -> None:
    """Each run's own epoch decides, so that the same run is the same again."""
    shares = []
    for _ in range(2):
        run = wire(CONFIG, KEY, Route("http://127.0.0.1:1", await resolve("http://127.0.0.1:1")), a_recorder().recorder)
        share = run.engine.budget.jitter()
        assert 0 < share < 1
        assert share == random.Random(run.engine.identity.epoch).random()
        shares.append(share)
        await run.client.aclose()
    assert shares[0] != shares[1]


# -- where the exchange is


@contextlib.contextmanager
def looking_up(monkeypatch: pytest.MonkeyPatch, *answers: object) -> Iterator[list[float]]:
    """Script the look-ups of names; each answer is a list of addresses, an error, or None for one that hangs."""
    left, times = list(answers), []

    async def look_up(_host: str, port: int) -> tuple[tuple[int, tuple[str, int]], ...]:
        times.append(trio.current_time())
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, list)
        return tuple((socket.AF_INET, (address, port)) for address in answer)

    monkeypatch.setattr("maker.edge.endpoint.look_up", look_up)
    yield times


async def test_a_route_keeps_its_last_good_addresses(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """H12: a look-up that fails or hangs changes nothing; one that answers is followed."""
    route = Route("http://ocx.test", ENDPOINT)
    answers = (socket.gaierror(-2, "no such name"), None, ["192.0.2.7"], None)
    with looking_up(monkeypatch, *answers) as times:
        kept = []
        with trio.move_on_after(4 * 60 + 10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(route.keep_resolved)
                for _ in range(4):
                    await trio.sleep(59.0)
                    kept.append(route.endpoint.addresses[0][1][0])
                    await trio.sleep(4.0)
        assert kept == ["192.0.2.1", "192.0.2.1", "192.0.2.7", "192.0.2.7"]
        assert route.endpoint.addresses[0][1][0] == "192.0.2.7"
        assert times == [60.0, 120.0, 182.0, 242.0]  # the one that hung was given up after 2 s
