"""When quotes were pulled, why, until when; and why a market was not quoted otherwise.

A pull begins with its sentence in `states` and is over when the exchange was read back empty, which is told there too;
quotes are back with the next ladder that was applied. The last pull of a run lasts to its end. Of a run that was killed
no pull is told: whoever killed it pulled nothing, and its guard, who did, writes no journal.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from maker.desk.deadman import Reason
from maker.report.reading import Reader, text
from maker.report.runs import Runs, Window

PULLING, PULLED, QUOTING, NOT_QUOTING = "pulling", "pulled", "quoting", "not quoting"  # as the maker's record has them
VERIFIED: Final = "read back empty"  # ends the sentence of a pull that is over
ASKED: Final = tuple(reason.sentence for reason in (Reason.STOP_ASKED, Reason.TIME_UP, Reason.KILLED))
NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
CAUSES: Final = tuple(sorted((reason.sentence for reason in Reason), key=len, reverse=True))
STATES: Final = (
    "SELECT run_id, at_unix_ms, scope, state, sentence FROM states WHERE rowid BETWEEN :low AND :high ORDER BY rowid"
)


def cause_of(sentence: str) -> str:
    """The reason of a pull without what was seen: one for all pulls of its kind, of older makers' as far as told."""
    for cause in CAUSES:
        if sentence == cause or sentence.startswith(f"{cause}: "):
            return cause
    return sentence.partition(": ")[0]


@attrs.define
class Halt:
    """One pull."""

    run_id: str
    at_ms: int
    sentence: str
    empty_ms: int | None = None  # when the exchange was known to be empty
    again_ms: int | None = None  # when a ladder was applied again, or the next pull began; None: the run ended first
    end_ms: int | None = None  # of the run, where that came first; None: not recorded

    @property
    def cause(self) -> str:
        return cause_of(self.sentence)

    @property
    def asked(self) -> bool:
        """Whether a person or the clock wanted the run to end."""
        return self.cause in ASKED

    @property
    def empty_seconds(self) -> float | None:
        """From the pull until the exchange was read back empty; None: not told."""
        return None if self.empty_ms is None else max(0, self.empty_ms - self.at_ms) / 1000

    @property
    def without_seconds(self) -> float | None:
        """From the pull until quotes were back, or the run over; None: not recorded."""
        end_ms = self.end_ms if self.again_ms is None else self.again_ms
        return None if end_ms is None else max(0, end_ms - self.at_ms) / 1000


@attrs.define
class Cause:
    """All pulls for one reason."""

    cause: str
    halts: list[Halt] = attrs.field(factory=list)

    @property
    def without_seconds(self) -> float:
        """Together, as far as recorded."""
        return sum(one.without_seconds or 0.0 for one in self.halts)


@attrs.define
class Halts:
    """All pulls within the window, and the time that markets were not quoted by what was said of it."""

    halts: list[Halt] = attrs.field(factory=list)
    reasons: dict[tuple[str, str], int] = attrs.field(factory=dict)  # (market, sentence without figures) -> ms
    waiting: dict[str, list[Halt]] = attrs.field(factory=dict)  # run -> those whose next ladder is still looked for

    def by_cause(self) -> list[Cause]:
        """The reason with most pulls first."""
        found: dict[str, Cause] = {}
        for one in self.halts:
            found.setdefault(one.cause, Cause(one.cause)).halts.append(one)
        return sorted(found.values(), key=lambda cause: (-len(cause.halts), cause.cause))

    def applied(self, run_id: str, at_ms: int) -> None:
        """A ladder was applied: the pulls before it are over. To be called in the order of writing."""
        waiting = self.waiting.get(run_id, [])
        while waiting:
            one = waiting[0]
            # Until it is known to be empty, what is answered is a ladder of before the pull, late.
            over_ms = one.again_ms if one.empty_ms is None else one.empty_ms
            if over_ms is None or at_ms < over_ms:
                break
            del waiting[0]
            one.again_ms = at_ms if one.again_ms is None else min(one.again_ms, at_ms)

    def finish(self, runs: Runs) -> None:
        """Let the pulls that no ladder followed last to the end of their run, where that was recorded."""
        for one in self.halts:
            one.end_ms = runs.by_id[one.run_id].ended_ms
            if one.empty_ms is None and one.again_ms is None and runs.by_id[one.run_id].verified_empty:
                one.empty_ms = one.end_ms


@attrs.define
class Said:
    """What was last said of a market."""

    at_ms: int
    sentence: str  # empty: it is quoted


def read_halts(reader: Reader, window: Window, runs: Runs) -> tuple[Halts, dict[tuple[str, str], Said]]:
    """Read the pulls, and what was said last of each run's markets, which holds until the run's end.

    Raises Unreadable.
    """
    halts = Halts()
    last: dict[str, Halt] = {}
    said: dict[tuple[str, str], Said] = {}
    for page in reader.pages("states", STATES):
        for run_id, at_ms, scope, state, sentence in page:
            runs.seen(run_id, at_ms, "states")
            if state == PULLING:
                one = Halt(run_id, at_ms, text(sentence, "states"))
                before = last.get(run_id)
                if before is not None:
                    before.again_ms = at_ms  # the next ladder may have come before: the earlier of the two counts
                last[run_id] = one
                if at_ms >= window.since_ms:
                    halts.halts.append(one)
                    halts.waiting.setdefault(run_id, []).append(one)
            elif state == PULLED and run_id in last and text(sentence, "states").endswith(VERIFIED):
                last[run_id].empty_ms = at_ms
            elif state in (QUOTING, NOT_QUOTING):
                key = run_id, text(scope, "states")
                book_reason(halts, key, said.get(key), at_ms, window)
                without_figures = NUMBERS.sub("…", text(sentence, "states"))
                said[key] = Said(at_ms, "" if state == QUOTING else without_figures)
    return halts, said


def book_reason(halts: Halts, key: tuple[str, str], said: Said | None, end_ms: int, window: Window) -> None:
    """Add the time for which a market was not quoted to what was said of it."""
    if said is None or not said.sentence:
        return
    length_ms = sum(piece for _, piece in window.pieces(said.at_ms, end_ms))
    reason = key[1], said.sentence
    halts.reasons[reason] = halts.reasons.get(reason, 0) + length_ms


def finish_reasons(halts: Halts, said: dict[tuple[str, str], Said], runs: Runs, window: Window) -> None:
    """What was said last holds until the end of its run. To be called when all tables have been read."""
    for key, one in said.items():
        book_reason(halts, key, one, runs.by_id[key[0]].last_ms, window)
