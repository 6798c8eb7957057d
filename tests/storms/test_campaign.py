"""Many storms add up to one judgement, whatever the order in which they end; and a green means what it says."""

from __future__ import annotations

import itertools
import time

import attrs
import pytest

from maker.desk.deadman import Reason
from maker.storms import campaign
from maker.storms.campaign import Build, Tally
from maker.storms.catalogue import CLASSES
from maker.storms.outcome import Outcome, Violation
from maker.storms.requirements import (
    ELSEWHERE,
    INVARIANTS,
    JUDGED_BY_CORE,
    MARKS,
    RARE_FROM,
    Needs,
    needs_of_core,
    needs_of_world,
)
from maker.storms.workers import Failure
from tests.storms import scripted
from tests.storms.scripted import NEEDS, SMALL, outcome, schedule


def tallied(size: int, needs: Needs, **changes: object) -> Tally:
    """A campaign of so many storms, seed 3 changed."""
    tally = Tally(needs, size)
    for seed in range(size):
        tally.add(seed, outcome(schedule(seed), **(changes if seed == 3 else {})))
    tally.compare(0, outcome(schedule(0)))
    return tally


def unmet(tally: Tally) -> list[str]:
    return [one.name for one in tally.unmet]


def run(build: Build, size: int, processes: int = 2, needs: Needs = NEEDS, seconds_max: float = 60.0) -> Tally:
    return campaign.run(
        build,
        range(size),
        needs,
        processes=processes,
        clock=time.monotonic,
        going_on=lambda _tally: True,
        seconds_max=seconds_max,
    )


def test_the_same_seeds_add_up_to_the_same() -> None:
    """S22: hash of hashes and figures are the same on one core and on two; a part was performed twice."""
    first, second = run(scripted.sound, 120, processes=1), run(scripted.sound, 120)
    assert first.hash_of_hashes == second.hash_of_hashes
    assert attrs.evolve(first, seconds=0.0) == attrs.evolve(second, seconds=0.0)
    assert first.repeated == 2
    assert first.passed
    assert first.seconds > 0
    assert (first.done, first.ladders, first.bites["gap"], first.bitten["gap"]) == (120, 2400, 120, 120)


def test_the_hash_is_that_of_every_seed_with_its_digest() -> None:
    """The order in which storms end does not matter; a digest, a seed or their pairing does."""

    def hashed(*pairs: tuple[int, str]) -> str:
        tally = Tally(NEEDS, len(pairs))
        for seed, digest in pairs:
            tally.add(seed, outcome(schedule(seed), digest=digest))
        return tally.hash_of_hashes

    assert hashed((0, "a"), (1, "b")) == hashed((1, "b"), (0, "a"))
    different = [hashed((0, "a"), (1, "b")), hashed((0, "b"), (1, "a")), hashed((0, "a"), (2, "b")), hashed((0, "a"))]
    assert len(set(different)) == 4


def test_a_history_that_depends_on_its_process_is_a_violation() -> None:
    """S22 breaks when a second performance, in another process, differs."""
    tally = run(scripted.forgetful, 3, needs=SMALL)
    assert [(seed, one.name) for seed, one in tally.violations] == [(0, "S22")]
    assert not tally.passed


def test_no_storm_is_lost() -> None:
    """One that hangs, kills its worker, raises or says that it crashed is named and fails the campaign."""
    tally = run(scripted.mishaps, 20, seconds_max=1.0)
    assert sorted(tally.failures) == [2, scripted.HANGS, scripted.DIES, scripted.RAISES]
    assert tally.failures[2].sentence == "crashed: KeyError: 'x'"
    assert tally.done == 20
    assert sorted(tally.digests) == sorted(set(range(20)) - set(tally.failures))
    assert not tally.passed


def test_all_is_well_only_when_everything_was_met() -> None:
    assert tallied(40, SMALL).passed


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"void": "no fill"}, []),  # one of forty: 2.5 %
        ({"violations": (Violation("S1", 1.0, "one rests"),)}, []),
        ({"crashed": "KeyError"}, []),
    ],
)
def test_what_fails_a_campaign(changes: dict[str, object], missing: list[str]) -> None:
    """A violation or a crash fails it even in one storm of many; one void storm does not."""
    tally = tallied(40, SMALL, **changes)
    assert unmet(tally) == missing
    assert tally.passed is ("void" in changes)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"faults": {"refuse": 1, "reset": 1, "gap": 0}}, "fault_gap"),
        ({"reached": frozenset()}, "exit_75"),
        ({"checked": {"S1": 1}}, "judged_S2"),
    ],
)
def test_what_was_never_met_is_missed(change: dict[str, object], missing: str) -> None:
    """A class of faults that never bit, a mark never reached, an invariant never judged."""
    tally = Tally(SMALL, 2)
    for seed in range(2):
        tally.add(seed, outcome(schedule(seed), **change))
    tally.compare(0, outcome(schedule(0), **change))
    assert unmet(tally) == [missing]
    assert not tally.passed


def test_void_storms_are_no_evidence() -> None:
    """More than one in twenty fails a campaign; what they met does not count, what they broke does."""
    tally = run(scripted.void, 20, needs=SMALL)
    assert tally.void == {"no fill": 2}
    assert unmet(tally) == ["void"]
    assert tally.bitten["gap"] == tally.counted == 18
    alone = Tally(SMALL, 1)
    alone.add(0, outcome(schedule(0), void="no fill", violations=(Violation("S1", 1.0, "one rests"),)))
    assert "something_counts" in unmet(alone)
    assert [one.name for _seed, one in alone.violations] == ["S1"]


@pytest.mark.parametrize(("size", "required"), [(9, False), (10, True)])
def test_a_small_campaign_need_not_meet_everything(size: int, required: bool) -> None:
    """Below the size at which it must be met it is said and not demanded; that something counts always is."""
    tally = Tally(attrs.evolve(NEEDS, required_from=10), size)
    for seed in range(size):
        tally.add(seed, outcome(schedule(seed), faults={}, reached=frozenset(), checked={}))
    assert unmet(tally) == (
        ["fault_refuse", "fault_reset", "fault_gap", "exit_75", "judged_S1", "judged_S2", "judged_S22"]
        if required
        else []
    )
    assert tally.passed is not required
    assert [one.name for one in tally.requirements() if one.required and one.met] == [
        "something_counts",
        *(["void"] if required else []),
    ]


@pytest.mark.parametrize(("size", "required"), [(RARE_FROM - 1, False), (RARE_FROM, True)])
def test_what_is_rare_is_demanded_of_a_large_campaign_alone(size: int, required: bool) -> None:
    """Whoever chooses a thousand seeds must not be told to have failed because none drew what one of 400 does."""
    tally = Tally(attrs.evolve(NEEDS, rare=frozenset({"gap", "exit_75"}), required_from=10), size)
    tally.add(0, outcome(schedule(0), faults={}, reached=frozenset(), checked={}))
    assert {"fault_refuse", "judged_S1"} <= set(unmet(tally))
    assert ({"fault_gap", "exit_75"} <= set(unmet(tally))) is required


def test_a_campaign_that_was_cut_short_has_not_passed() -> None:
    """Nobody can tell what the seeds that are missing would have shown."""
    asked = itertools.count()
    tally = campaign.run(
        scripted.sound,
        range(100_000),
        attrs.evolve(NEEDS, required_from=1_000_000),
        processes=2,
        clock=time.monotonic,
        going_on=lambda tally: next(asked) < 1_000 and not tally.done,
    )
    assert 0 < tally.done < 100_000
    assert tally.unmet == []
    assert not tally.passed


def test_a_second_performance_that_fails_is_a_failure() -> None:
    for again in (Failure("hung"), outcome(schedule(0), crashed="KeyError")):
        tally = Tally(NEEDS, 1)
        tally.add(0, outcome(schedule(0)))
        assert tally.passed
        tally.compare(0, again)
        assert not tally.passed


def test_what_is_required_is_complete() -> None:
    """Every invariant has a statement; each reason to pull quotes and each cause of the guard has its mark."""
    assert set(INVARIANTS) == ({f"S{n}" for n in range(1, 25)} | {f"L{n}" for n in range(1, 8)}) - {"S17"}
    assert {f"trip_{reason.name}" for reason in set(Reason) - ELSEWHERE} <= set(MARKS)
    assert len([name for name in MARKS if name.startswith("guard_trip_")]) == 5
    assert {"cancel_all_429", "cancel_all_401", "cancel_all_5xx", "exit_75"} <= set(MARKS)
    assert set(needs_of_core().invariants) == JUDGED_BY_CORE
    world = needs_of_world({"gap": "F20"})
    assert (world.required_from, set(world.faults), world.marks) == (1_000, {"gap"}, MARKS)
    assert world.rare <= set(MARKS) | {one.name for one in CLASSES}


def test_outcomes_say_what_they_are() -> None:
    """The scripted storms are whole: nothing passes here because a field was left out."""
    assert isinstance(scripted.breaks(schedule(1)), Outcome)
    assert scripted.breaks(schedule(1)).violations
    assert not scripted.breaks(schedule(1, "reset")).violations
