"""What the parent decides after the maker's end, without a maker: pull or not, how long, and what to end with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maker.guard.exchange import Pulled
from maker.guard.watch import Ended
from maker.launch import report

NOW, TAIL_SECONDS = 5000.0, 60.0


def verdict(
    fields: dict[str, Any] | None, code: int = 0, killed_for: str = "", *, armed: bool = True
) -> report.Verdict:
    result = b"" if fields is None else json.dumps({"reason": "SIGTERM", "exit_code": 0, **fields}).encode()
    return report.judge(Ended(result, killed_for, armed, {}), code, TAIL_SECONDS, NOW)


def test_a_proven_end_is_believed() -> None:
    seen = verdict({"verified_empty": True, "open_orders": 0, "unknown_write_at": 0})
    assert (seen.pulls, seen.is_death, seen.report.exit_code) == (False, False, 0)
    assert "unknown_write_at" not in seen.report.fields


@pytest.mark.parametrize(
    ("fields", "code", "killed_for", "why"),
    [
        (None, -9, "", "was killed by signal 9"),
        (None, 1, "", "ended with code 1"),
        ({"verified_empty": True}, -9, "", "reported exit code 0 but was killed by signal 9"),
        (None, -9, "the machine slept", "the maker was killed: the machine slept"),
    ],
)
def test_a_death_is_pulled_through_the_whole_tail(
    fields: dict[str, Any] | None, code: int, killed_for: str, why: str
) -> None:
    """H25, S1: what it had on its way nobody knows."""
    seen = verdict(fields, code, killed_for)
    assert (seen.pulls, seen.is_death, seen.tail_seconds) == (True, True, TAIL_SECONDS)
    assert (seen.report.exit_code, seen.exit_code_if_empty) == (report.UNVERIFIED, report.FAILED_EMPTY)
    assert why in seen.report.fields["reason"]


def test_a_death_before_it_was_armed_needs_no_tail_but_a_pull() -> None:
    seen = verdict(None, 1, armed=False)
    assert (seen.pulls, seen.tail_seconds) == (True, 0.0)


@pytest.mark.parametrize(("age", "left"), [(0.5, 59.5), (59.0, 1.0), (60.0, 0.0), (300.0, 0.0)])
def test_a_write_without_answer_gets_what_is_left_of_its_tail(age: float, left: float) -> None:
    """S1: verified by the maker, yet it may land until then."""
    seen = verdict({"verified_empty": True, "unknown_write_at": NOW - age})
    assert (seen.pulls, seen.tail_seconds, seen.is_death) == (left > 0.0, left, False)


@pytest.mark.parametrize(("armed", "placed", "pulls"), [(True, True, True), (True, False, False), (False, True, False)])
def test_an_end_that_was_not_verified_is_pulled_if_anything_can_rest(armed: bool, placed: bool, pulls: bool) -> None:
    fields = {"verified_empty": False, "exit_code": 75, "exit_code_if_empty": 0, "may_have_placed": placed}
    seen = verdict(fields, 75, armed=armed)
    assert (seen.pulls, seen.exit_code_if_empty, seen.report.exit_code) == (pulls, 0, 75)


def test_a_result_that_cannot_be_read_is_a_death() -> None:
    seen = report.judge(Ended(b"[" * 100_000, "", True, {}), 0, TAIL_SECONDS, NOW)
    assert (seen.pulls, seen.is_death) == (True, True)


@pytest.mark.parametrize("moment", ["NaN", "Infinity", "-Infinity", "1" + "0" * 400])
def test_a_result_with_a_moment_that_cannot_be_is_a_death(moment: str) -> None:
    """S1: it counts how long a write may still land."""
    said = f'{{"exit_code": 0, "verified_empty": true, "unknown_write_at": {moment}}}'.encode()
    seen = report.judge(Ended(said, "", True, {}), 0, TAIL_SECONDS, NOW)
    assert (seen.pulls, seen.is_death, seen.tail_seconds) == (True, True, TAIL_SECONDS)


def test_read_back_empty_earns_the_makers_code() -> None:
    before = verdict({"verified_empty": False, "exit_code": 75, "exit_code_if_empty": 0}, 75)
    last, sentence = report.after_pull(before, Pulled(True, 0, 3, ""), 1.25)
    assert (last.exit_code, last.fields["exit_code"], last.fields["verified_empty"]) == (0, 0, True)
    assert sentence == "the guard cancelled everything (3 times acknowledged) and read back empty in 1.2 s"
    assert last.fields["reason"] == f"SIGTERM; {sentence}"


def test_not_read_back_empty_is_75_whatever_the_maker_said() -> None:
    """S1: quotes may rest, and it says so."""
    before = verdict({"verified_empty": True, "unknown_write_at": NOW})
    last, sentence = report.after_pull(before, Pulled(False, 2, 3, "silence"), 600.0)
    assert (last.exit_code, last.fields["verified_empty"], last.fields["open_orders"]) == (75, False, 2)
    assert sentence.endswith("in 600 s (silence): QUOTES MAY REST")
