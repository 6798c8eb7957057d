"""What must come about: quotes gone after a feed is lost, quoting again after faults, a quick end, an end at all.

These are promises of a healthy exchange. Where a request was on a slow wire, was met by a fault, or no connection could
be made, the maker is not to blame for the time it took; nor for time in which it did not run.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from typing import Final
from urllib.parse import parse_qs

from maker.storms.case import MICROSECOND, NOTICE_SECONDS, Case, Life, Verdict, each, seconds
from maker.storms.record import (
    GUARD,
    MAKER,
    BrokenRead,
    DialFailed,
    Died,
    Ended,
    Entry,
    Exited,
    FaultBegan,
    FeedSilent,
    Got,
    GuardGone,
    JournalLost,
    KillFileWritten,
    Order,
    QuietBegan,
    Raised,
    Rearmed,
    ReferenceBroken,
    Signalled,
    StoodStill,
    Tripped,
    WorldEnded,
)
from maker.storms.safety_halt import DIAL_PAUSE_SECONDS
from maker.wire import ocx

GONE_SECONDS: Final = 0.5  # after a feed was seen to be lost
SILENCE_SLACK_SECONDS: Final = 1.0  # after the longest silence
RECOVERED_SECONDS: Final = 60.0  # after the faults have stopped
STOPPED_SECONDS: Final = 2.0
GUARD_SECONDS: Final = 0.1
CONNECTS_MAX: Final = 12
CONNECTS_SECONDS: Final = 60.0
EMPTY_SECONDS: Final = 10.0  # on top of the tail: the exchange answers, and still the account is not empty
THROTTLED: Final = 429


def l1_feed_loss(case: Case) -> Verdict:
    """That no ladder leaves on a silent feed is S4."""
    verdict = Verdict("L1")
    terms = case.terms
    cancels = [life for life in case.lives.values() if life.left.owner == MAKER and life.left.is_cancel_all]
    left_at = [life.left.at for life in cancels]
    writes = case.writes()
    pulled = pulled_spans(case)
    for place, entry in each(case, BrokenRead, ReferenceBroken, FeedSilent):
        match entry:
            case FeedSilent():
                stream = entry.feed == "stream"
                longest = terms.stream_silent_seconds_max if stream else terms.reference_stale_seconds_max
                at, gone_by = entry.since + longest, entry.since + longest + SILENCE_SLACK_SECONDS
                what, markets = f"the {entry.feed} of {entry.market_id} fell silent", [entry.market_id]
                if gone_by > entry.at:
                    continue
            case BrokenRead() | ReferenceBroken() if entry.exposed:
                at, gone_by = entry.at, entry.at + GONE_SECONDS
                if isinstance(entry, BrokenRead):
                    what, markets = f"the stream of {entry.market_id} broke ({entry.what})", [entry.market_id]
                else:
                    what, markets = "the reference feed broke", list(terms.markets)
            case _:
                continue
        span = bisect_left(pulled, (at,)) - 1
        if span >= 0 and at < pulled[span][1]:
            continue  # quotes are being pulled already, for what came before
        gone_by += case.stood(at, gone_by)
        if place > case.gone_place or gone_by > min(alive_until(case), case.ends_at):
            continue
        verdict.judged += 1
        # New quotes may rest again by then, once the old ones were gone.
        left = {market_id: case.least_resting(market_id, at, gone_by) for market_id in markets}
        if not any(left.values()):
            continue
        index = bisect_left(left_at, at)
        while index < len(cancels) and cancels[index].place < place and not isinstance(entry, FeedSilent):
            index += 1  # of the same instant, and before it
        first = cancels[index] if index < len(cancels) else None
        if excused(case, first, writes, at, gone_by):
            continue
        rest = ", ".join(f"{count} on {market_id}" for market_id, count in left.items() if count)
        verdict.broken(gone_by, f"{what} at {seconds(at)}, and at {seconds(gone_by)} orders rest still: {rest}")
    return verdict


def pulled_spans(case: Case) -> list[tuple[float, ...]]:
    """From each trip to its re-arm."""
    spans: list[tuple[float, ...]] = []
    began: float | None = None
    for _, entry in each(case, Tripped, Rearmed):
        if isinstance(entry, Tripped):
            began = entry.at if began is None else began
        elif began is not None:
            spans.append((began, entry.at))
            began = None
    return spans if began is None else [*spans, (began, math.inf)]


def excused(case: Case, first: Life | None, writes: list[Life], at: float, gone_by: float) -> bool:
    """Whether orders rest by no fault of the maker's: the cancel-all was under way or met a fault, or none could be."""
    for _, failed in case.of(DialFailed):
        if failed.owner == MAKER and failed.began_at <= gone_by and failed.at >= at:
            return True
    for life in reversed(writes):  # one that was under way may land after the cancel-all: the tail takes it
        if life.left.at < at - case.terms.write_delay_seconds_max:
            break
        if life.left.at <= at and life.applied is not None and life.applied.at > at:
            return True
    if first is None:
        return False
    if case.connections[first.left.connection] == first.place and first.left.at <= at + (
        NOTICE_SECONDS + case.terms.connect_seconds_max
    ):
        return True  # a connection had to be made: S10 judges that
    return first.left.at <= gone_by and (first.bitten or not first.effective or first.applied_at > gone_by)


def alive_until(case: Case) -> float:
    """When the maker ended, died, or began to hang."""
    died = case.first(Died)
    hung = died.hang_began_at if died is not None else None
    return case.gone_at if hung is None else min(case.gone_at, hung)


def l2_recovery(case: Case) -> Verdict:
    """That the books agree at the end is S6."""
    verdict = Verdict("L2")
    quiet = case.first(QuietBegan)
    if quiet is None:
        return verdict
    due = quiet.at + RECOVERED_SECONDS + case.stood(quiet.at, case.ends_at)
    quoted = {
        life.left.market_id
        for life in case.writes()
        if life.effective and quiet.at <= life.applied_at <= due and life.left.owner == MAKER
    }
    missing = [market_id for market_id in case.terms.markets if market_id not in quoted]
    told = ended_by_at(case)
    if missing and min(told, case.ends_at) <= due:
        return verdict  # it was told to stop, or the world's time was up, before it had to
    verdict.judged = 1
    if missing:
        verdict.broken(due, f"{', '.join(missing)}: not quoted again {RECOVERED_SECONDS:g} s after the faults stopped")
    return verdict


def ended_by_at(case: Case) -> float:
    """When the first thing happened after which the maker need not quote any more."""
    kinds = (Signalled, Raised, GuardGone, JournalLost, KillFileWritten, Tripped, Ended, Died)
    for _, entry in each(case, *kinds):
        if not (isinstance(entry, Tripped) and entry.recoverable):
            return entry.at
    return math.inf


def l3_stopped(case: Case) -> Verdict:
    verdict = Verdict("L3")
    asked = next(iter(case.of(Signalled)), None)
    if asked is None or not asked[1].healthy or asked[0] > case.gone_place or case.of(Died):
        return verdict
    place, signalled = asked
    fault = next((entry for at, entry in case.of(FaultBegan) if at > place), None)
    if fault is not None and fault.at <= case.gone_at:
        return verdict
    ended, exited = case.first(Ended), case.first(Exited)
    took = case.gone_at - signalled.at - case.stood(signalled.at, case.gone_at)
    if ended is None and took <= STOPPED_SECONDS:
        return verdict
    verdict.judged = 1
    problems = []
    if took > STOPPED_SECONDS + MICROSECOND:
        problems.append(f"it took {seconds(took)}")
    if ended is not None and (ended.code or not ended.verified_empty):
        problems.append(f"its own code is {ended.code} and verified_empty {ended.verified_empty}")
    if exited is not None and exited.code:
        problems.append(f"the run's code is {exited.code}")
    if problems:
        sentence = f"signal {signalled.number} at {seconds(signalled.at)} in a healthy world: {'; '.join(problems)}"
        verdict.broken(case.gone_at, sentence)
    return verdict


def l4_guard(case: Case) -> Verdict:
    verdict = Verdict("L4")
    died = case.first(Died)
    if died is None or (case.of(Ended) and case.first(Ended).at <= died.at):  # type: ignore[union-attr]
        return verdict
    if died.hang_began_at is not None:
        verdict.judged += 1
        hung = died.at - died.hang_began_at
        if hung > case.terms.hang_seconds_max + GUARD_SECONDS + MICROSECOND:
            verdict.broken(died.at, f"the maker hung for {seconds(hung)} before its guard killed it")
    since = died.at - case.terms.hang_seconds_max - GUARD_SECONDS
    stood = any(since <= still.at <= died.at for _, still in case.of(StoodStill))
    dead_task = any(
        raised.where.endswith(".watched") for _, raised in case.of(Raised)
    )  # perhaps that of the heartbeats
    if died.why == "no heartbeat came in time" and died.hang_began_at is None and not stood and not dead_task:
        verdict.broken(died.at, "its guard had to kill a maker that ran all the time and sent no heartbeat")
    guard_gone = case.first(GuardGone)
    if guard_gone is not None and guard_gone.at <= died.at + GUARD_SECONDS:
        return verdict
    first = next(
        (
            life.left.at
            for life in case.lives.values()
            if life.left.owner == GUARD and life.place > case.gone_place and life.left.is_cancel_all
        ),
        math.inf,
    )
    due = died.at + GUARD_SECONDS + case.terms.connect_seconds_max
    for _, failed in case.of(DialFailed):
        if failed.owner == GUARD and died.at <= failed.at <= first:
            due = failed.at + DIAL_PAUSE_SECONDS + case.terms.connect_seconds_max
    if first is math.inf and case.ends_at <= due:
        return verdict
    verdict.judged += 1
    if first > due + MICROSECOND:
        when = "never" if first is math.inf else f"{seconds(first - died.at)} later"
        verdict.broken(min(first, case.ends_at), f"the maker died at {seconds(died.at)}; its guard cancelled {when}")
    return verdict


def l5_reconnects(case: Case) -> Verdict:
    verdict = Verdict("L5")
    recent: dict[str, deque[float]] = {}
    for life in case.lives.values():
        left = life.left
        if left.owner != MAKER or left.path != ocx.STREAM_EVENTS:
            continue
        verdict.judged += 1
        market_id = left.market_id or parse_qs(left.query.removeprefix("?")).get("marketId", [""])[0]
        times = recent.setdefault(market_id, deque())
        times.append(left.at)
        while times[0] <= left.at - CONNECTS_SECONDS:
            times.popleft()
        if len(times) > CONNECTS_MAX:
            verdict.broken(left.at, f"the stream of {market_id} was asked for {len(times)} times within a minute")
    return verdict


def l6_empty_in_the_end(case: Case) -> Verdict:
    """Judged in the quiet, where the exchange answers: from each trip, or from the quiet's beginning if later."""
    verdict = Verdict("L6")
    quiet = case.first(QuietBegan)
    if quiet is None or (case.first(Died) is not None and case.first(GuardGone) is not None):
        return verdict  # where both were killed, the next start sweeps
    allowed = case.terms.tail_seconds + EMPTY_SECONDS
    resting: set[str] = set()
    since: Entry | None = None  # an account that must get empty
    due = wait_until = 0.0
    for _, entry in each(case, Order, Tripped, Died, Got, WorldEnded):
        if since is not None and entry.at > max(due, wait_until):
            verdict.broken(due, f"{len(resting)} orders rest still at {seconds(due)}, after {awaited(since)}")
            since = None
        match entry:
            case Order():
                (resting.discard if entry.action == "removed" else resting.add)(entry.order_id)
                since = since if resting else None
            case Tripped() | Died() if resting and since is None:
                since, due = entry, max(entry.at, quiet.at) + allowed
                verdict.judged += due <= case.ends_at
            case Got() if entry.status == THROTTLED and entry.request in case.lives:
                life = case.lives[entry.request]
                asked = life.answered.retry_seconds if life.answered is not None else None
                wait_until = max(wait_until, entry.at + (asked or 0.0) + EMPTY_SECONDS)
            case _:
                pass
    return verdict


def awaited(entry: Entry) -> str:
    what = f"the trip ({entry.reason})" if isinstance(entry, Tripped) else "the maker's death"
    return f"{what} at {seconds(entry.at)}, though the exchange answers"


def l7_ends(case: Case) -> Verdict:
    verdict = Verdict("L7", judged=1)
    ended = case.first(WorldEnded)
    if ended is None:
        verdict.broken(case.ends_at, "the world did not end")
    elif ended.stuck:
        verdict.broken(ended.at, f"the world could not end: {ended.stuck}")
    return verdict
