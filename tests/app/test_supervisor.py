"""How a run ends: what pulls, in which order, and what the result may claim."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.app import supervisor
from maker.app.config import load
from maker.app.supervisor import Route, Run, conclude, describe, first_cause, reason_of
from maker.desk.deadman import Reason, Trip
from maker.edge.endpoint import Endpoint
from maker.errors import ExitCode, MakerError, Refused, StartRefused, Unauthorized
from maker.guard import latch
from tests.app.site import Stage, staged
from tests.desk.scripted import BTC, Desk

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

CONFIG = load(Path(__file__).parents[2] / "conf" / "paper.toml", "http://ocx.test", "ws://ocx.test")
ENDPOINT = Endpoint("ocx.test", 80, None, "", ((socket.AF_INET, ("192.0.2.1", 80)),))
ASKED = Trip(Reason.STOP_ASKED, "SIGTERM")
BUG = ZeroDivisionError("a bug")
FORBIDDEN = Unauthorized(401, "NO", "expired")
GROUP = ExceptionGroup("tasks", [ExceptionGroup("more", [FORBIDDEN]), ValueError("later")])


def a_run(stage: Stage, **fields: Any) -> Run:
    lane = stage.site.lane("quoting")
    return Run(
        config=CONFIG,
        recorder=stage.told.recorder,
        engine=stage.desk.engine,
        switch=stage.switch,
        client=stage.client,
        route=Route("http://ocx.test", ENDPOINT),
        quoting_lane=lane,
        quoting=trio.CancelScope(),
        rng=random.Random(0),
        **fields,
    )


def exposed() -> Desk:
    desk = Desk.ready()
    desk.quote()
    return desk


# -- what a run ends with


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize(
    ("armed", "stop", "error", "code"),
    [
        (True, ASKED, None, ExitCode.CLEAN),
        (True, Trip(Reason.TIME_UP, ""), None, ExitCode.CLEAN),
        (True, Trip(Reason.OWNER_GONE, ""), None, ExitCode.FAILED_EMPTY),
        (True, Trip(Reason.JOURNAL_LOST, "disk full"), None, ExitCode.FAILED_EMPTY),
        (True, Trip(Reason.CREDENTIALS, "401"), FORBIDDEN, ExitCode.CREDENTIALS),
        (True, Trip(Reason.UNHANDLED_ERROR, "a bug"), BUG, ExitCode.FAILED_EMPTY),
        (True, ASKED, BUG, ExitCode.FAILED_EMPTY),  # it was stopping as asked when it failed
        (True, None, BUG, ExitCode.FAILED_EMPTY),
        (True, None, None, ExitCode.FAILED_EMPTY),
        (False, ASKED, None, ExitCode.REFUSED_TO_START),
        (False, Trip(Reason.OWNER_GONE, ""), None, ExitCode.REFUSED_TO_START),
        (False, None, StartRefused("beside foreign orders"), ExitCode.REFUSED_TO_START),
        (False, None, ExceptionGroup("g", [StartRefused("no scope", ExitCode.CREDENTIALS)]), ExitCode.CREDENTIALS),
        (False, None, FORBIDDEN, ExitCode.CREDENTIALS),
        (False, None, GROUP, ExitCode.CREDENTIALS),
        (False, None, BUG, ExitCode.REFUSED_TO_START),
        (False, None, trio.TooSlowError(), ExitCode.REFUSED_TO_START),
    ],
)
async def test_the_exit_code_of_every_end(
    armed: bool, stop: Trip | None, error: Exception | None, code: ExitCode, verified: bool, autojump_clock: Clock
) -> None:
    """S3: 0 only when stopped as asked and read back empty; 75 whenever quotes may rest, whatever else happened."""
    async with staged() as stage:
        run = a_run(stage, armed=armed, stop=stop)
        run.report.verified_empty = verified
        result = conclude(run, error)
    expected = ExitCode.UNVERIFIED if armed and not verified else code
    assert result.exit_code == expected
    assert result.verified_empty is verified
    assert ("quotes may rest" in result.reason) == (expected == ExitCode.UNVERIFIED)
    if stop is not None:
        assert result.reason.startswith(stop.sentence)
    if result.exit_code == ExitCode.CLEAN:
        assert verified
        assert error is None
    if stop is ASKED and error is BUG and verified:
        assert "ZeroDivisionError: a bug" in result.reason  # S14: no cause is lost


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_ends_with_its_own_code_and_never_clean_unverified(
    reason: Reason, autojump_clock: Clock
) -> None:
    async with staged() as stage:
        for verified in (True, False):
            run = a_run(stage, armed=True, stop=Trip(reason, "x"))
            run.report.verified_empty = verified
            code = conclude(run, None).exit_code
            wanted = reason.value.exit_code if reason.value.exit_code is not None else ExitCode.FAILED_EMPTY
            assert code == (wanted if verified else ExitCode.UNVERIFIED)


async def test_the_figures_of_the_result(autojump_clock: Clock) -> None:
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True, stop=ASKED)
        run.leave(ASKED)
        run.report.open_orders = 0
        run.report.unknown_write_at = 1234.5
        result = conclude(run, None)
        assert attrs.asdict(result)["unknown_write_at"] == 1234.5  # the parent finishes the tail
        assert (result.quotes_sent, result.halts, result.open_orders) == (1, 1, 0)
        assert result.position == {"BTC-PERP": "0.000"}
        assert Decimal(result.pnl) == 0
        assert attrs.asdict(result).keys() >= {"reason", "exit_code", "verified_empty", "fills"}


def test_a_group_is_told_by_its_first_leaf() -> None:
    """H5: exceptions come grouped."""
    assert first_cause(GROUP) is FORBIDDEN
    assert reason_of(GROUP) is Reason.CREDENTIALS
    assert reason_of(BUG) is Reason.UNHANDLED_ERROR
    assert describe(GROUP) == str(FORBIDDEN)
    assert describe(BUG) == "ZeroDivisionError: a bug"
    assert f"{supervisor.START_SECONDS_MAX:.0f} s" in describe(trio.TooSlowError())
    assert issubclass(Refused, MakerError)


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
