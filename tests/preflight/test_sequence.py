"""One check after another: deadlines, what builds on what, and what each error means."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest
import trio
import trio.testing

from maker.errors import (
    ConfigError,
    ExitCode,
    OutcomeUnknown,
    Refused,
    StartRefused,
    StreamBroken,
    StreamFault,
    Throttled,
    Unauthorized,
)
from maker.guard.exchange import NoAnswer
from maker.preflight import sequence as room
from maker.preflight.sequence import Sequence, finding_of
from maker.preflight.verdict import Finding, Row, Verdict, failed, ok, unknown, warning

Clock = trio.testing.MockClock

REFUSED, BAD_KEY = ExitCode.REFUSED_TO_START, ExitCode.CREDENTIALS


def raising(error: Exception) -> Callable[[], Finding]:
    def check() -> Finding:
        raise error

    return check


def fine() -> Finding:
    return ok("Fine.")


def test_rows_are_told_as_they_are_known() -> None:
    told: list[Row] = []
    sequence = Sequence(told.append)
    assert sequence.make("one", fine)
    assert [row.name for row in told] == ["one"]
    assert told == sequence.rows


@pytest.mark.parametrize("finding", [failed("No.", "Mend."), None])
def test_what_builds_on_a_failure_is_not_made(finding: Finding | None) -> None:
    """Nor what builds on what was not made; the sentence names the check."""
    sequence = Sequence(lambda _row: None)
    if finding is None:
        sequence.not_made("nobody asked", "first")
    else:
        assert not sequence.make("first", lambda: finding)
    bug = raising(AssertionError("it was made"))
    assert not sequence.make("second", bug, "first")
    assert not sequence.make("third", bug, "second")
    assert [row.finding.said for row in sequence.rows[1:]] == [
        "Not made: first did not pass.",
        "Not made: second did not pass.",
    ]


@pytest.mark.parametrize("finding", [ok("a"), warning("a", "b"), unknown("a", "b")])
def test_what_passes_bars_nothing(finding: Finding) -> None:
    sequence = Sequence(lambda _row: None)
    sequence.note("first", finding)
    assert sequence.make("second", fine, "first")


def test_building_on_what_comes_later_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Sequence(lambda _row: None).make("second", fine, "first")


def test_a_check_that_blocks_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHECK_SECONDS_MAX", 0.05)
    sequence = Sequence(lambda _row: None)
    began = time.monotonic()

    def blocks() -> Finding:
        time.sleep(30)
        return fine()

    assert not sequence.make("first", blocks)
    assert time.monotonic() - began < 10
    assert "within 0.05 s" in sequence.rows[0].finding.said
    assert sequence.make("second", fine)


def test_no_check_begins_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ALL_SECONDS_MAX", 0.0)
    sequence = Sequence(lambda _row: None)
    assert not sequence.make("first", fine)
    assert sequence.rows[0].finding.verdict is Verdict.NOT_MADE
    assert "was over" in sequence.rows[0].finding.said


async def test_a_check_that_waits_is_ended(autojump_clock: Clock) -> None:
    sequence = Sequence(lambda _row: None, clock=trio.current_time)

    async def hang() -> Finding:
        await trio.sleep_forever()
        raise AssertionError

    assert not await sequence.wait("first", hang)
    assert trio.current_time() == pytest.approx(10.0)
    assert sequence.rows[0].finding.verdict is Verdict.FAILED


async def test_a_cancellation_is_not_a_finding(autojump_clock: Clock) -> None:
    """Ctrl-C ends the checks, and no row claims to have been made."""
    sequence = Sequence(lambda _row: None, clock=trio.current_time)

    async def hang() -> Finding:
        await trio.sleep_forever()
        raise AssertionError

    with trio.move_on_after(1.0):
        await sequence.wait("first", hang)
    assert sequence.rows == []


def test_a_bug_is_no_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        Sequence(lambda _row: None).make("first", raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("error", "said", "fix", "code"),
    [
        (
            ConfigError("market.X.levels", "must be 1 to 20.", "Try 4."),
            "market.X.levels: must be 1 to 20.",
            "Try 4.",
            REFUSED,
        ),
        (ConfigError("market.X.levels", "must be above 0.", ""), "market.X.levels", "explains every key", REFUSED),
        (StartRefused("It is latched.", fix="Clear it."), "It is latched.", "Clear it.", REFUSED),
        (StartRefused("No key.", BAD_KEY), "No key.", "check again", BAD_KEY),
        (Unauthorized(403, "NO", "not you"), "The exchange answers 403 NO: not you.", "scope trade", BAD_KEY),
        (Refused(404, "NOT_FOUND", ""), "The exchange answers 404 NOT_FOUND.", "check again", REFUSED),
        (Throttled(2.5), "wait 2.5 s", "Wait", REFUSED),
        (OutcomeUnknown("GET /x: cut short"), "GET /x: cut short.", "reaches it", REFUSED),
        (StreamBroken(StreamFault.GAP, "a jump"), "Gap: a jump.", "reaches it", REFUSED),
        (NoAnswer("no whole answer within 2 s"), "No whole answer within 2 s.", "holds it up", REFUSED),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x.", "Mend", REFUSED),
        (OSError("no room"), "no room.", "Mend", REFUSED),
        (ValueError("no perps balance"), "makes no sense: no perps balance.", "reaches it", REFUSED),
    ],
)
def test_what_each_error_means(error: Exception, said: str, fix: str, code: ExitCode) -> None:
    found = finding_of(error)
    assert found.verdict is Verdict.FAILED
    assert said in found.said
    assert fix in found.fix
    assert found.exit_code is code


@pytest.mark.parametrize("error", [StartRefused("No.", fix="Yes."), OSError(5, "EIO"), NoAnswer("late")])
def test_errors_of_a_check_are_its_findings(error: Exception) -> None:
    sequence = Sequence(lambda _row: None)
    assert not sequence.make("first", raising(error))
    assert sequence.rows[0].finding == finding_of(error)


async def test_errors_of_a_check_that_waits_are_its_findings(autojump_clock: Clock) -> None:
    sequence = Sequence(lambda _row: None, clock=trio.current_time)

    async def check(error: Exception) -> Finding:
        raise error

    for error in (Refused(404, "X", ""), ValueError("odd"), OSError(5, "EIO")):
        assert not await sequence.wait(str(error), partial(check, error))
        assert sequence.rows[-1].finding == finding_of(error)
