"""What a campaign must have met before its green means anything, as data: invariants, marks, and from which size on.

An invariant that was never judged and a danger that never came up are no evidence. A mark is a text that an outcome
carries in `reached`; a class of faults is met when it bit. A small campaign cannot meet everything: below
`REQUIRED_FROM` storms the table says what was met and demands nothing but that something counted, and what is `RARE`
is demanded from `RARE_FROM` on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from maker.desk.deadman import Reason

REQUIRED_FROM: Final = 1_000  # storms: all but what is rare is met by one of two hundred
RARE_FROM: Final = 10_000
RARE: Final = frozenset({"exchange_gone", "exit_75"})  # ten minutes without an exchange: drawn in one of four hundred
VOID_RATIO_MAX: Final = 0.05  # of storms that do not count: more, and the weather is not what it should be

# S17 is not here: the log's thread and pipe are real (tests/app/test_logs.py, the drill blocked_stdout).
INVARIANTS: Final[Mapping[str, str]] = {
    "S1": "no orphan: after the end and the last write nothing rests, or the incident is told",
    "S2": "nothing is written after quotes were pulled",
    "S3": "exit code 0 only after a cancel-all was acknowledged and two reads came back empty",
    "S4": "no ladder on a stale, silent or unsound input",
    "S5": "no gap in a sequence is passed over, no fill counts twice",
    "S6": "once nothing is on its way, orders, position and cash agree with the exchange",
    "S7": "whatever may still fill keeps within position, value and margin limits",
    "S8": "every order is on the grid, within its limits and collar, and never crosses",
    "S9": "the exchange never throttles us of its own accord, and the reserve is kept",
    "S10": "once something is wrong, cancel-all leaves before anything else",
    "S11": "a refused or unknown ladder is never booked as placed, nor sent again as it was",
    "S12": "one ladder has one effect; a quote id is never sent twice",
    "S13": "one writer at a time",
    "S14": "no task outlives its cancellation, no error is lost",
    "S15": "the way out is bounded in time",
    "S16": "a ladder's intent is in the journal before it leaves",
    "S18": "the key's text is nowhere but in the request that needs it",
    "S19": "every number on the wire is exact",
    "S20": "nothing rests without an armed guard",
    "S21": "a latched stop survives the restart",
    "S22": "the same seed gives the same history",
    "S23": "tasks and connections do not grow",
    "S24": "while in doubt, only cancels, reads and orders that reduce",
    "L1": "a lost or silent feed pulls its quotes in time",
    "L2": "once faults are over it quotes again, with the exact position",
    "L3": "told to stop in a healthy world it ends verified within two seconds",
    "L4": "a dead or hung maker's quotes are cancelled in time",
    "L5": "reconnects back off",
    "L6": "an exchange that can be reached ends up empty",
    "L7": "every world ends",
}
JUDGED_BY_CORE: Final = frozenset({"S5", "S6", "S7", "S8", "S9", "S11", "S12", "S19", "S22"})

# Reasons that no storm can be relied on to bring about: tests/app/test_triggers.py fires every one of them.
ELSEWHERE: Final = frozenset(
    {
        Reason.OVERFILLED,  # the exchange would have to fill more than was asked
        Reason.POSITION_DISAGREES,  # its positions would have to move without a trade
        Reason.POSITION_UNEXPLAINED,
        Reason.POSITION_LIMIT,  # the worst case is counted ahead, so only somebody else's fills get there
        Reason.PRICE_JUMP,  # few jumps are large enough and yet no disagreement with the index: those pull before it
        Reason.BURST,  # how much is too much at once is the configuration's
        Reason.REPEATED_EXECUTION,
        Reason.DRAWDOWN,  # so are the losses that are too many
        Reason.DAILY_LOSS,
        Reason.MARGIN_HEADROOM,  # and how much of it must be free
        Reason.STREAM_SILENT,  # the reader's own timer comes a moment before, as a broken stream
        Reason.KEY_EXPIRES,  # the practice keys never do
        Reason.KEY_CHANGED,  # reloads are drawn for seeds of their own: tests/storms/test_reloads.py
        Reason.LIMITS_LOWERED,
        Reason.TIME_UP,  # a storm is told to stop by signals and by the kill file
    }
)
MARKS: Final[Mapping[str, str]] = {
    "cancel_all_429": "a cancel-all itself was throttled",
    "cancel_all_401": "a cancel-all itself was not authorized",
    "cancel_all_5xx": "a cancel-all itself met a failing exchange",
    "second_signal_in_cleanup": "a second signal came while quotes were being pulled",
    "late_write_after_cancel_all": "a ladder landed after the first cancel-all",
    "resync_during_halt": "a stream was read anew during the halt",
    "snapshot_older_than_deltas": "a snapshot was older than the deltas that had come",
    "stream_fell_silent": "a stream sent nothing, or nothing whole, for one and a half heartbeats",
    "both_feeds_lost": "stream and reference were lost at once",
    "exit_75": "a run ended that could not verify",
    "guard_trip_died": "the guard acted: the maker died",
    "guard_trip_hung": "the guard acted: no heartbeat came in time",
    "guard_trip_hung_up": "the guard acted: the maker hung up and did not end",
    "guard_trip_overstayed": "the guard acted: the maker was told to stop and did not end",
    "guard_trip_slept": "the guard acted: the machine slept",
    **{f"trip_{reason.name}": f"quotes were pulled: {reason.sentence}" for reason in Reason if reason not in ELSEWHERE},
}


@attrs.frozen(kw_only=True)
class Needs:
    """What one kind of campaign must meet. Empty: nothing of that sort."""

    invariants: Mapping[str, str]  # name to statement, in the table's order
    faults: Mapping[str, str] = attrs.field(factory=dict)  # name of a class to its row in the catalogue
    marks: Mapping[str, str] = attrs.field(factory=dict)
    required_from: int = REQUIRED_FROM  # storms
    rare: frozenset[str] = frozenset()  # of faults and marks: these are required from `RARE_FROM` on
    alone: bool = False  # one storm that somebody chose: it need not even count


def needs_of_world(faults: Mapping[str, str]) -> Needs:
    """Of the whole program, with the catalogue of faults: name of a class to its row."""
    return Needs(invariants=INVARIANTS, faults=faults, marks=MARKS, rare=RARE)


def needs_of_core() -> Needs:
    """Of engine and exchange alone: neither wires nor tasks nor a guard."""
    return Needs(invariants={name: what for name, what in INVARIANTS.items() if name in JUDGED_BY_CORE})
