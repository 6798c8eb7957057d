"""The invariants of what is believed and what is kept: freshness, sequence, agreement, secrets, growth, sameness."""

from __future__ import annotations

import math
from typing import Final

from maker.storms.case import MICROSECOND, NOTICE_SECONDS, Case, Verdict, each, is_ladder, seconds
from maker.storms.record import (
    BrokenRead,
    Compared,
    Counted,
    Died,
    Ended,
    Got,
    Left,
    Raised,
    Rearmed,
    Record,
    ReferenceBroken,
    SecretSeen,
    Signalled,
    SnapshotRead,
    StoodStill,
    Trade,
    Tripped,
    WorldEnded,
)
from maker.wire import ocx

PAUSE_SECONDS: Final = 0.05  # by which a ladder may be older than the decision that made it
STILL_SECONDS: Final = 0.6  # the maker bears half a second, and may notice a beat of 0.05 s later
TOLD_SECONDS: Final = 2.0  # after a change of position: a stream heard later than that has told of it
DISAGREEMENTS: Final = ("POSITION_UNEXPLAINED", "OVERFILLED")
GROWTH_MAX: Final = 2
LOG_SECONDS_MAX: Final = 0.001  # by which a log sink may move a request


def s4_fresh(case: Case) -> Verdict:
    verdict = Verdict("S4")
    terms = case.terms
    halted = False
    stood: StoodStill | None = None  # what came in meanwhile looks fresh and is not: quotes must be pulled first
    broken_at: dict[str, float] = {}  # by market: in that very instant the parser has not seen yet what was read
    feed_broken_at: float | None = None  # a reference feed's, likewise
    for _, left in each(case, Left, StoodStill, BrokenRead, ReferenceBroken, Tripped, Rearmed):
        match left:
            case BrokenRead():
                broken_at[left.market_id] = left.at
            case ReferenceBroken():
                feed_broken_at = left.at
            case StoodStill() if not halted and left.seconds > STILL_SECONDS:
                stood = left
            case Tripped():
                halted, stood = True, None
            case Rearmed():
                halted = False
            case _:
                pass
        if not isinstance(left, Left):
            continue
        sight = left.sight
        if sight is None or not is_ladder(left):
            continue
        verdict.judged += 1
        problems = []
        if stood is not None:
            problems.append(f"nothing was pulled for the {seconds(stood.seconds)} for which its maker stood still")
        if sight.stream_connection is None:
            problems.append("no stream of its market is open")
        elif not sight.stream_sound and broken_at.get(left.market_id) != left.at:
            problems.append("its stream is not live")
        if sight.stream_age > terms.stream_fresh_seconds_max + PAUSE_SECONDS:
            problems.append(f"its stream was last heard {seconds(sight.stream_age)} ago")
        is_gone_now = sight.reference_age == math.inf and feed_broken_at == left.at  # too few are open any more
        if sight.reference_age > terms.reference_stale_seconds_max + PAUSE_SECONDS and not is_gone_now:
            problems.append(f"its reference price is {seconds(sight.reference_age)} old")
        if problems:
            verdict.broken(left.at, f"{case.lives[left.request].name} left while {', '.join(problems)}")
    return verdict


def s5_sequence(case: Case) -> Verdict:
    verdict = Verdict("S5")
    connection: dict[str, int] = {}  # of the last snapshot
    broken: dict[str, BrokenRead] = {}
    halted = False
    halted_place: int | None = None
    read_place = -1  # the last read of its trades left here, and is answered
    unheeded: BrokenRead | None = None
    for place, entry in each(
        case, Left, Got, BrokenRead, SnapshotRead, Tripped, Rearmed, Signalled, Raised, Ended, Died, WorldEnded
    ):
        if place > case.gone_place:
            break
        if unheeded is not None and entry.at > unheeded.at + NOTICE_SECONDS + case.stood(unheeded.at, entry.at):
            sentence = f"the stream of {unheeded.market_id} broke ({unheeded.what}), and quotes were not pulled"
            verdict.broken(unheeded.at, sentence)
            unheeded = None
        match entry:
            case Got() if (life := case.lives.get(entry.request)) is not None and life.left.path == ocx.TRADES:
                read_place = life.place if life.done else read_place
            case SnapshotRead():
                connection[entry.market_id] = entry.connection
                if entry.market_id in broken and entry.connection > broken[entry.market_id].connection:
                    del broken[entry.market_id]
            case BrokenRead() if entry.connection >= connection.get(entry.market_id, 0):
                verdict.judged += 1
                broken[entry.market_id] = entry
                if entry.exposed and not halted:
                    unheeded = unheeded or entry
            case Tripped() | Signalled() | Raised() | Ended() | Died():
                halted_place = halted_place if halted else place
                halted, unheeded = True, None
            case Rearmed():
                halted = False
                if halted_place is not None and read_place < halted_place:
                    verdict.broken(entry.at, "writes may begin again, and no trades were read since the pull")
            case Left() if is_ladder(entry):
                verdict.judged += 1
                life, why = case.lives[entry.request], broken.get(entry.market_id)
                if why is not None and why.at == entry.at:
                    continue  # in that very instant the parser has not seen yet what was read
                if why is not None:
                    verdict.broken(
                        entry.at, f"{life.name} left after {why.what} at {seconds(why.at)}, and no later snapshot"
                    )
                elif entry.market_id not in connection:
                    verdict.broken(entry.at, f"{life.name} left before any snapshot of its market was read")
    return verdict


def s6_agreement(case: Case) -> Verdict:
    verdict = Verdict("S6")
    for _, compared in case.of(Compared):
        verdict.judged += 1
        if compared.differences:
            verdict.broken(compared.at, f"{compared.market_id}: the books differ: {'; '.join(compared.differences)}")
    foreign = False
    taken: dict[str, Trade] = {}  # by market: a position that changed and that no trade explains
    for _, entry in each(case, Trade, Tripped, Left):
        match entry:
            case Trade() if entry.foreign:
                foreign = True
                if entry.taken_over:
                    taken[entry.market_id] = entry
            case Tripped() if entry.reason in DISAGREEMENTS:
                verdict.judged += 1
                if not foreign:
                    verdict.broken(entry.at, f"{entry.reason}, but every trade was its own: {entry.detail}")
            case Left() if is_ladder(entry) and entry.market_id in taken and entry.sight is not None:
                verdict.judged += 1
                change, told_at = taken[entry.market_id], entry.at - entry.sight.stream_age
                if told_at > change.at + TOLD_SECONDS:
                    verdict.broken(
                        entry.at,
                        f"{case.lives[entry.request].name} left {seconds(entry.at - change.at)} after "
                        f"{change.quantity} of the position were taken over, which no fill explains",
                    )
            case _:
                pass
    return verdict


def s17_log_isolation(free: Record, blocked: Record) -> Verdict:
    """Compare two runs of one schedule: in the second the log's sink takes nothing. Not judged within one record."""
    verdict = Verdict("S17")
    ours, theirs = list(free.of(Left)), list(blocked.of(Left))
    for one, other in zip(ours, theirs, strict=False):
        verdict.judged += 1
        same = (one.owner, one.method, one.path, one.body) == (other.owner, other.method, other.path, other.body)
        if not same or abs(one.at - other.at) > LOG_SECONDS_MAX + MICROSECOND:
            verdict.broken(
                other.at,
                f"with its log blocked, {other.method} {other.path} left at {seconds(other.at)}; with a free one "
                f"{one.method} {one.path} at {seconds(one.at)}",
            )
            return verdict
    if len(ours) != len(theirs):
        verdict.broken(0.0, f"{len(theirs)} requests left with the log blocked, {len(ours)} with a free one")
    return verdict


def s18_secrets(case: Case) -> Verdict:
    verdict = Verdict("S18", judged=len(case.of(WorldEnded)))
    for _, seen in case.of(SecretSeen):
        verdict.broken(seen.at, f"the key stands in {seen.where}")
    return verdict


def s22_determinism(first: Record, second: Record) -> Verdict:
    """Compare two runs of one schedule. Not judged within one record."""
    verdict = Verdict("S22", judged=1)
    for place, (one, other) in enumerate(zip(first.entries, second.entries, strict=False)):
        if one != other:
            verdict.broken(one.at, f"entry {place} was {one} and is {other}")
            return verdict
    if len(first.entries) != len(second.entries):
        verdict.broken(0.0, f"there were {len(first.entries)} entries and are {len(second.entries)}")
    return verdict


def s23_no_growth(case: Case) -> Verdict:
    verdict = Verdict("S23")
    counted = [entry for _, entry in case.of(Counted)]
    if len(counted) < 2:
        return verdict
    verdict.judged = 1
    first, last = counted[0], counted[-1]
    for what in ("tasks", "connections"):
        before, after = getattr(first, what), getattr(last, what)
        if abs(after - before) > GROWTH_MAX:
            verdict.broken(last.at, f"{before} {what} after {first.cycles} cycles, {after} after {last.cycles}")
    return verdict
