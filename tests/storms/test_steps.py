"""Every step of the maker's cancelled and struck by an error: nothing rests, and the classic defects are found."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import attrs
import pytest
import trio
import trio_websocket

from maker.app.config import Config, load
from maker.app.halt import HaltReport, Switch, halt
from maker.app.references import broken_by
from maker.app.wiring import Run
from maker.desk.deadman import Trip
from maker.errors import StreamBroken
from maker.guard.exchange import Pulled
from maker.storms import steps
from maker.storms.scenarios import SCENARIOS
from maker.storms.stepped import RAISE, Blow
from maker.storms.steps import KINDS, Case, StepOutcome, campaign, cases, perform
from maker.storms.warden import Warden

CONFIGURATION = Path(__file__).resolve().parents[2] / "conf" / "paper.toml"
EVERY = 4  # of each scenario's steps, for each kind of blow: some 2,100 worlds
# httpx leaves the empty body of a request that was cancelled while it was sent: httpcore does not close it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx._content.ByteStream:ResourceWarning")


@pytest.fixture(scope="module")
def config() -> Config:
    return load(CONFIGURATION)


def found(config: Config, scenario: str, kind: str, every: int) -> Iterator[str]:
    """The names of the violations, step by step."""
    for step in perform(config, Case(scenario)).steps[::every]:
        outcome = perform(config, Case(scenario, kind, step))
        assert not outcome.crashed
        yield from (violation.name for violation in outcome.violations)


# -- what must hold -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_scenario_is_one_history(config: Config, scenario: str) -> None:
    """S22: the same steps and the same record twice, or step k would be another line of code each time."""
    one, other = perform(config, Case(scenario)), perform(config, Case(scenario))
    assert (one.digest, one.steps, one.code, one.violations) == (other.digest, other.steps, 0, ())
    assert len(one.steps) > 90


@pytest.fixture(scope="module")
def chosen(config: Config) -> list[Case]:
    return list(cases(config, SCENARIOS, EVERY))


def test_the_cases_are_of_every_kind(chosen: list[Case]) -> None:
    assert len(chosen) == len(set(chosen)) >= 2_000
    assert {(one.scenario, one.kind) for one in chosen} == {(name, kind) for name in SCENARIOS for kind in KINDS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_step_leaves_an_orphan(config: Config, chosen: list[Case], scenario: str) -> None:
    """F47, F48, H1: cancelled from outside and struck by errors, once and twice, at every so-manieth step."""
    here = [one for one in chosen if one.scenario == scenario]
    done = campaign(config, here, len(os.sched_getaffinity(0)))
    assert [attrs.asdict(one) for one in done if not one.sound] == []
    assert [one.case for one in done] == here
    # Blows fell nearly everywhere, second ones too, within the last halt, and where ladders are late while one was out.
    assert sum(bool(one.blows) for one in done) >= 0.95 * len(done)
    twice = Counter(one.case.kind for one in done if len(one.blows) == 2)
    assert all(twice[kind] for kind, falls in KINDS.items() if len(falls) == 2), twice
    struck = [blow for one in done for blow in one.blows]
    assert any(blow.in_halt for blow in struck)
    if scenario == "late ladders":
        assert sum(blow.ladders_flying > 0 for blow in struck) >= 0.5 * len(done)
    assert {one.code for one in done} <= {0, 70, 78}


def test_an_error_within_the_way_out_is_named_beside_that_of_the_halt(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S14: halt, "raise, raise", step 252: the second error took the first one's place, and nobody heard of it."""
    outcomes: list[StepOutcome] = []
    for step in perform(config, Case("halt")).steps[:4]:
        for later in range(10, 60, 10):
            falls = (Blow(step, RAISE), Blow(step + later, RAISE))
            monkeypatch.setattr(steps, "blows", lambda _case, falls=falls: falls)
            outcomes.append(perform(config, Case("halt", "raise, raise", step)))
    main = [one for one in outcomes if one.blows[0].where.startswith("maker ") and not one.blows[0].in_halt]
    assert any(one.blows[-1].in_halt for one in main)
    assert all(one.sound for one in outcomes), [one.violations for one in outcomes]


def test_no_ladder_follows_a_cancelled_one(config: Config) -> None:
    """S2: two markets, "cancel", step 307: behind the shield of one market's ladder the other one's left as well."""
    outcomes = [
        perform(config, Case("two markets", "cancel", step)) for step in perform(config, Case("two markets")).steps
    ]
    flying = [one for one in outcomes if one.blows[0].ladders_flying]
    assert len(flying) >= 5
    assert all(one.sound for one in flying), [one.violations for one in flying]


def test_what_broke_the_library_is_told() -> None:
    """S14: start, "raise", step 130: an error in trio-websocket's own reader was only "reference feed: closed"."""
    closed, broke = trio_websocket.ConnectionClosed(None), KeyError("the library's own")
    told = broken_by(BaseExceptionGroup("the connection", [closed, broke]), closed)
    assert isinstance(told, StreamBroken)
    assert "the library's own" in told.detail
    assert isinstance(broken_by(BaseExceptionGroup("the connection", [broke, closed]), broke), KeyError), "one of ours"


# -- that a defect is found ---------------------------------------------------------------------------------------


def test_a_halt_without_its_shield_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: an unshielded await on the way out."""

    async def unshielded(switch: Switch, tail_seconds_max: float, halt_seconds_max: float, report: HaltReport) -> None:
        with trio.move_on_after(halt_seconds_max):
            await halt(switch, tail_seconds_max, report)

    monkeypatch.setattr("maker.app.supervisor.last_halt", unshielded)
    assert "H1" in found(config, "steady", "cancel", 40)


def test_a_journal_before_the_cancel_all_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """H6, H17: a disk that is full, and what comes first on the way out writes to it."""

    async def journal_first(*_parts: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("No space left on device")

    monkeypatch.setattr("maker.app.supervisor.last_halt", journal_first)
    for kind in ("cancel", "raise"):
        assert "H1" in found(config, "steady", kind, 40)


def test_a_forgotten_latch_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """H3, S3: a second trip fires again, into the halt of the first one; here the signal after an error."""

    def trip(switch: Switch, trip: Trip) -> None:
        switch.final = switch.final or not trip.reason.recoverable
        switch.panic.fire()
        switch.wake()

    monkeypatch.setattr(Switch, "trip", trip)
    assert "H1" in found(config, "read back", "raise", -2)


def test_a_swallowed_error_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """H4, S14: a task ends with an error, and the run goes on as if it were one task less."""

    async def swallowing(_run: Run, service: Callable[[], Awaitable[object]]) -> None:
        with contextlib.suppress(Exception):
            await service()

    monkeypatch.setattr(Run, "guarded", swallowing)
    assert "S14" in found(config, "steady", "raise", 20)


def test_a_way_out_without_a_halt_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: that the guard pulls afterwards does not make it the maker's own work."""
    monkeypatch.setattr("maker.app.supervisor.last_halt", nothing)
    assert "H1" in found(config, "late ladders", "cancel", 40)


def test_a_guard_that_claims_too_much_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1, S3: nobody pulls, and the exit code says that all is well."""
    monkeypatch.setattr("maker.app.supervisor.last_halt", nothing)

    async def claimed(*_parts: object) -> Pulled:
        await trio.lowlevel.checkpoint()
        return Pulled(True, 0, 1, "")

    monkeypatch.setattr(Warden, "pull", claimed)
    assert "S1" in found(config, "steady", "cancel", 40)


async def nothing(*_parts: object) -> None:
    await trio.lowlevel.checkpoint()


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(CONFIGURATION), "--scenario", "halt", "--kind", "cancel", "--step", "260", "--jobs", "1"]
    assert steps.main(words) == 0
    assert "1 worlds, 0 with a violation" in capsys.readouterr().out


def test_the_command_refuses_what_is_no_configuration(tmp_path: Path) -> None:
    assert steps.main([str(tmp_path / "none.toml")]) == 78
    with pytest.raises(SystemExit, match="2"):
        steps.main([str(CONFIGURATION), "--step", "3"])


def test_a_violation_is_told_with_its_case(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maker.app.supervisor.last_halt", nothing)
    step = perform(config, Case("steady")).steps[40]
    told = steps.summary([perform(config, Case("steady", "cancel", step))])
    assert "H1" in str(told["violations"][0]["what"])
    assert f"steady, cancel, step {step}: H1" in steps.as_text(told)
