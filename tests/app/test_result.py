"""How a run ends: what the result may claim."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
import trio
import trio.testing

from maker.app.halt import halt
from maker.app.quoter import Quoter
from maker.app.result import conclude
from maker.desk.deadman import Reason, Trip
from maker.desk.units import Side
from maker.errors import ExitCode, StartRefused
from tests.app.runs import ASKED, BUG, CONFIG, FORBIDDEN, GROUP, a_run, exposed
from tests.app.site import staged
from tests.desk.scripted import resting

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real


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
    if armed:
        assert result.exit_code_if_empty == code, "what the guard ends with once it has read back empty"
    assert ("quotes may rest" in result.reason) == (expected == ExitCode.UNVERIFIED)
    if stop is not None:
        assert result.reason.startswith(stop.sentence)
    if result.exit_code == ExitCode.CLEAN:
        assert verified
        assert error is None
    if stop is ASKED and error is BUG and verified:
        assert "ZeroDivisionError: a bug" in result.reason  # S14: no cause is lost


async def test_s3_an_order_seen_after_the_exchange_was_read_back_empty_is_no_clean_end(autojump_clock: Clock) -> None:
    """S3: by the reads that keep the lanes warm, until the very end. What a later read back proved gone is gone."""
    async with staged(exposed()) as stage:
        run = a_run(stage, armed=True)
        quoter = Quoter(
            run.engine,
            stage.switch,
            run.quoting_lane,
            stage.reader,
            run.recorder,
            {},
            CONFIG.halt,
            run.rng,
            run.on_answer,
        )
        run.leave(ASKED)
        await halt(stage.switch, 0.0, run.report)
        assert (conclude(run, None).exit_code, run.report.verified_empty) == (ExitCode.CLEAN, True)
        quoter.look_for_strangers(resting([("late", Side.BUY, 1, 1)]).orders)
        result = conclude(run, None)
        assert (result.exit_code, result.exit_code_if_empty) == (ExitCode.UNVERIFIED, ExitCode.CLEAN)
        assert (result.verified_empty, result.open_orders) == (False, None)
        assert result.reason.endswith("BTC-PERP late was seen after the exchange was read back empty: quotes may rest")
        await trio.sleep(1.0)
        await halt(stage.switch, 0.0, run.report)
        assert conclude(run, None).exit_code is ExitCode.CLEAN


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
        assert result.attribution == dict.fromkeys(("spread", "inventory", "fees", "funding"), "0.00000000")
        assert attrs.asdict(result).keys() >= {"reason", "exit_code", "verified_empty", "fills"}
