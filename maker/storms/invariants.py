"""The oracle's table: every invariant by its name, with the sentence it stands for and the checker that judges it.

A record is indexed once; each checker then goes over it at most once more. What two runs of one schedule must have in
common (S17, S22) is in `PAIRED`: nothing within one record shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from maker.storms import (
    liveness,
    safety_exposure,
    safety_halt,
    safety_ladders,
    safety_orders,
    safety_runs,
    safety_streams,
)
from maker.storms.case import Case, Checker, Verdict
from maker.storms.outcome import Violation
from maker.storms.record import Record

VIOLATIONS_MAX: Final = 20  # of one invariant in one storm: the first ones tell, and a storm's outcome stays small


@attrs.frozen
class Invariant:
    """One row."""

    statement: str
    checker: Checker


@attrs.frozen
class Pair:
    """One row that compares two records."""

    statement: str
    compare: Callable[[Record, Record], Verdict]


INVARIANTS: Final = {
    "S1": Invariant("no order rests 70 s after the exit, unless exit 75 says so", safety_halt.s1_no_orphan),
    "S2": Invariant("no write leaves after a trip, before its re-arm", safety_halt.s2_halt_latch),
    "S3": Invariant("exit 0 or 70, or a re-arm: all cancelled, read empty twice", safety_halt.s3_verified_exit),
    "S4": Invariant("a ladder leaves only on fresh inputs of live streams", safety_streams.s4_fresh),
    "S5": Invariant("a broken stream pulls, and quotes only after a later snapshot", safety_streams.s5_sequence),
    "S6": Invariant("the maker's books equal the exchange's when all is still", safety_streams.s6_agreement),
    "S7": Invariant("the worst case of all that may fill is within the limits", safety_exposure.s7_worst_case),
    "S8": Invariant("every order is on the grid, small, near, and crosses nobody", safety_orders.s8_sane_order),
    "S9": Invariant("the request budget holds, and its reserve is for cancels", safety_orders.s9_budget),
    "S10": Invariant("a cancel-all leaves within 50 ms of a trip, and a connect", safety_halt.s10_cancel_first),
    "S11": Invariant("a refused ladder is read back, changed, and made smaller", safety_ladders.s11_rejection),
    "S12": Invariant("one effect a ladder; after an unknown outcome pulled and read", safety_ladders.s12_one_effect),
    "S13": Invariant("one run writes at a time, and a dead one not at all", safety_runs.s13_one_writer),
    "S14": Invariant("cancelled tasks end within 1 s, and every error is named", safety_runs.s14_no_swallow),
    "S15": Invariant("the maker is gone 15 s after the reason to leave", safety_runs.s15_bounded),
    "S16": Invariant("an intent is in the journal before its ladder leaves", safety_ladders.s16_journal),
    "S18": Invariant("the key stands nowhere", safety_streams.s18_secrets),
    "S19": Invariant("amounts are plain decimals, and mean what they say", safety_orders.s19_exact_money),
    "S20": Invariant("no ladder without an armed guard; a lost one pulls", safety_runs.s20_armed),
    "S21": Invariant("a latched trip leaves word for the next start", safety_runs.s21_latched),
    "S23": Invariant("tasks and connections do not grow", safety_streams.s23_no_growth),
    "S24": Invariant("while anything is in doubt, only cancels, reads and exits", safety_halt.s24_only_what_we_quote),
    "L1": Invariant("a lost feed's quotes are gone in 0.5 s, a silent one's in 23.5", liveness.l1_feed_loss),
    "L2": Invariant("every market is quoted again within 60 s of quiet", liveness.l2_recovery),
    "L3": Invariant("a signal in a healthy world: verified empty in 2 s, exit 0", liveness.l3_stopped),
    "L4": Invariant("a dead maker's guard cancels within 0.1 s, a hung one's in time", liveness.l4_guard),
    "L5": Invariant("at most 12 connects a minute and stream", liveness.l5_reconnects),
    "L6": Invariant("where the exchange answers, a trip ends in an empty account", liveness.l6_empty_in_the_end),
    "L7": Invariant("every world ends", liveness.l7_ends),
}
PAIRED: Final = {
    "S17": Pair("a blocked log moves no request by more than 1 ms", safety_streams.s17_log_isolation),
    "S22": Pair("the same seed gives the same record", safety_streams.s22_determinism),
}


def judge(record: Record) -> tuple[list[Violation], dict[str, int]]:
    """Return what did not hold, and how often each invariant had something to judge."""
    case = Case.of_record(record)
    violations: list[Violation] = []
    judged: dict[str, int] = {}
    for name, invariant in INVARIANTS.items():
        verdict = invariant.checker(case)
        assert verdict.name == name, "the table names what its checkers judge"
        violations += verdict.violations[:VIOLATIONS_MAX]
        judged[name] = verdict.judged
    return violations, judged
