"""A violation's storm becomes smaller and breaks the same; nothing else is taken for it."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.storms.outcome import Outcome, Violation
from maker.storms.schedule import Fault, Schedule
from maker.storms.shrink import TRIES_MAX, shrink
from tests.storms.scripted import outcome

HERE = Violation("S2", 7.5, "a ladder left after the trip")
ELSE = Violation("S1", 9.0, "one rests")


def storm(*names: str) -> Schedule:
    faults = tuple(Fault(row="F1", name=name, at=4.0 + index, seconds=8.0) for index, name in enumerate(names))
    return Schedule(seed=17, markets=2, step_ms=100, faults=faults, stop_at=30.0)


def names(schedule: Schedule) -> set[str]:
    return {fault.name for fault in schedule.faults}


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_only_what_is_needed_remains(needed: list[bool]) -> None:
    """Whichever faults a violation needs, exactly these remain, and it is performed no more often than allowed."""
    wanted = {str(number) for number, is_needed in enumerate(needed) if is_needed}
    performed = 0

    def perform(candidate: Schedule) -> Outcome:
        nonlocal performed
        performed += 1
        return outcome(candidate, violations=(ELSE, HERE) if wanted <= names(candidate) else (ELSE,))

    drawn = storm(*map(str, range(len(needed))))
    small = shrink(perform(drawn), "S2", perform)
    assert names(small.schedule) == wanted
    assert small.violation == HERE
    assert small.tries == performed - 1 <= TRIES_MAX
    assert small.schedule.seed == 17


def test_what_remains_is_shortened() -> None:
    """Faults last no longer and come no later than they must, in one market, without an end in between."""

    def perform(candidate: Schedule) -> Outcome:
        long = [one for one in candidate.faults if one.seconds >= 1.5 and one.at >= 1.0]
        return outcome(candidate, violations=(attrs.evolve(HERE, at=long[0].at),) if long else ())

    small = shrink(perform(storm("reset")), "S2", perform)
    (fault,) = small.schedule.faults
    assert (fault.seconds, fault.at) == (2.0, 1.0)
    assert (small.schedule.markets, small.schedule.stop_at) == (1, None)
    assert small.violation.at == fault.at, "the violation is the smaller storm's"


def test_another_finding_is_not_taken_for_it() -> None:
    """A smaller storm that breaks another invariant, or crashes the simulation, is not smaller."""

    def perform(candidate: Schedule) -> Outcome:
        if names(candidate) >= {"a", "b", "c"}:
            return outcome(candidate, violations=(HERE,))
        if len(candidate.faults) == 2:
            return outcome(candidate, violations=(ELSE,))
        return outcome(candidate, violations=(HERE,), crashed="KeyError")

    drawn = storm("a", "b", "c")
    assert names(shrink(perform(drawn), "S2", perform).schedule) == {"a", "b", "c"}


def test_no_fault_remains_that_could_go() -> None:
    """One that can only go once a later one has gone does go."""

    def perform(candidate: Schedule) -> Outcome:
        left = names(candidate)
        found = left >= {"b", "c"} and ("later" not in left or "first" in left)
        return outcome(candidate, violations=(HERE,) if found else ())

    assert names(shrink(perform(storm("first", "b", "c", "later")), "S2", perform).schedule) == {"b", "c"}


@pytest.mark.parametrize("tries_max", [0, 1, 7])
def test_it_gives_up_in_time(tries_max: int) -> None:
    """At the most so many tries; what it has by then still breaks."""
    performed: list[Schedule] = []

    def perform(candidate: Schedule) -> Outcome:
        performed.append(candidate)
        return outcome(candidate, violations=(HERE,) if len(candidate.faults) >= 4 else ())

    drawn = storm(*"abcdefgh")
    small = shrink(perform(drawn), "S2", perform, tries_max)
    assert len(performed) == 1 + small.tries == 1 + tries_max
    assert small.schedule in performed
    assert perform(small.schedule).violations


def test_nothing_is_performed_twice() -> None:
    performed: list[str] = []

    def perform(candidate: Schedule) -> Outcome:
        performed.append(repr(candidate))
        return outcome(candidate, violations=(HERE,) if {"b", "g"} <= names(candidate) else ())

    shrink(outcome(storm(*"abcdefgh"), violations=(HERE,)), "S2", perform)
    assert len(performed) == len(set(performed))
