"""The invariants of every way out: who may write after a trip, how quotes are pulled, and what an exit may claim.

What begins a promise: a trip, a signal, a task's error. A recoverable trip's ends with its re-arm, any other never.
Time in which the maker's process did not run counts against nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from maker.storms.case import (
    MICROSECOND,
    NOTICE_SECONDS,
    Case,
    Life,
    Verdict,
    each,
    is_cancel,
    is_ladder,
    is_reducing,
    named,
    seconds,
)
from maker.storms.record import (
    MAKER,
    Applied,
    BrokenRead,
    DialFailed,
    Died,
    Ended,
    Entry,
    Exited,
    Got,
    GuardGone,
    GuardPulled,
    JournalLost,
    KillFileWritten,
    Left,
    Lost,
    Order,
    Raised,
    Rearmed,
    Signalled,
    SnapshotRead,
    Tripped,
    WorldEnded,
)
from maker.wire import ocx

ORPHAN_SECONDS: Final = 70.0  # after the exit, or the last write applied: then nothing rests
READ_GAP_SECONDS: Final = 0.25  # between two reads that prove an empty account
LOOK_SECONDS: Final = 1.0  # a kill file and a lost journal are looked for five times a second; a lag below 0.5 s passes
CLOCK_SECONDS: Final = 0.05  # between a write's begin as its maker noted it and its first byte
DIAL_PAUSE_SECONDS: Final = 2.0  # the longest between two attempts to connect
GIVE_UP_SLACK_SECONDS: Final = 3.0  # the guard's last attempt may end before its time is up, and wait no more
CLAIMS_EMPTY: Final = (0, 70)  # exit codes that say: read back empty
UNVERIFIED: Final = 75


def s1_no_orphan(case: Case) -> Verdict:
    verdict = Verdict("S1")
    exited, ended = case.first(Exited), case.first(Ended) or case.first(Died)
    out = exited or ended
    if out is None:
        return verdict
    alone = case.first(GuardGone) is not None and not (isinstance(ended, Ended) and ended.verified_empty)
    if alone and exited is None:
        return verdict  # both are gone: what is left is the next start's to sweep
    verdict.judged = 1
    delay = case.terms.write_delay_seconds_max
    too_late: set[str] = set()  # orders of writes that were longer on their way than anybody promised for
    last_write_at = 0.0
    for life in case.writes():
        if life.applied is None:
            continue
        if life.applied.at - life.left.at > delay + MICROSECOND:
            too_late.update(quote.client_order_id for quote in life.left.quotes)
        else:
            last_write_at = max(last_write_at, life.applied.at)
    due = max(out.at, last_write_at) + ORPHAN_SECONDS
    resting: dict[str, Order] = {}
    for _, order in case.of(Order):
        if order.at > due:
            break
        if order.action == "removed":
            resting.pop(order.order_id, None)
        elif order.client_order_id not in too_late:
            resting[order.order_id] = order
    if not resting:
        return verdict
    one = next(iter(resting.values()))
    sentence = (
        f"{len(resting)} orders rest {seconds(min(due, case.ends_at) - out.at)} after the exit at {seconds(out.at)}, "
        f"such as {one.side} {one.remaining} at {one.price} on {one.market_id} ({one.client_order_id})"
    )
    if exited is not None and exited.code == UNVERIFIED:
        pulled = case.first(GuardPulled)
        tried = 0.0 if pulled is None else pulled.at - case.gone_at
        if exited.incident and (alone or tried >= case.terms.give_up_seconds - GIVE_UP_SLACK_SECONDS):
            return verdict
        missing = "there is no incident record" if not exited.incident else f"the guard tried for {seconds(tried)} only"
        sentence += f"; exit 75 does not excuse it: {missing}"
    verdict.broken(min(due, case.ends_at), sentence)
    return verdict


def s2_halt_latch(case: Case) -> Verdict:
    verdict = Verdict("S2")
    tripped: Tripped | None = None
    final = False
    no_write_after, noticed = math.inf, ""
    for _, entry in each(case, Left, Tripped, Rearmed, Signalled, Raised, GuardGone, JournalLost, KillFileWritten):
        match entry:
            case Tripped():
                tripped = tripped or entry
                final = final or not entry.recoverable
            case Rearmed():
                tripped = tripped if final else None
            case Signalled() | Raised() | GuardGone() | JournalLost() | KillFileWritten():
                looked_for = isinstance(entry, JournalLost | KillFileWritten)
                after = entry.at + (LOOK_SECONDS if looked_for else NOTICE_SECONDS)
                if after < no_write_after:
                    no_write_after, noticed = after, f"{type(entry).__name__} at {seconds(entry.at)}"
            case Left() if entry.is_write:
                verdict.judged += 1
                why = f"{tripped.reason} at {seconds(tripped.at)}" if tripped is not None else ""
                if not why and entry.at > no_write_after + case.stood(no_write_after - LOOK_SECONDS, entry.at):
                    why = noticed
                if why:
                    verdict.broken(entry.at, f"{case.lives[entry.request].name} left after {why}")
    return verdict


def s3_verified_exit(case: Case) -> Verdict:
    verdict = Verdict("S3")
    rearmed_empty(case, verdict)
    exits = [(place, entry) for place, entry in case.of(Exited) if entry.code in CLAIMS_EMPTY]
    if not exits:
        return verdict
    verdict.judged += 1
    exit_place, exited = exits[0]
    after, last = -1, "no write at all"  # a cancel-all must have left after this place
    for life in case.writes():
        if life.place > exit_place:
            break
        places = [case.place_at(life.left.at + case.terms.tail_seconds - CLOCK_SECONDS) - 1]
        if life.settled_place is not None:
            places.append(life.settled_place)
        ended = max(life.place, min(places))
        if ended > after:
            after, last = ended, life.name
    pulled = [sweep.got_place for sweep in case.sweeps if sweep.place > after and sweep.got_place < exit_place]
    since = [life for life in case.lives.values() if life.place > after and is_cancel(life.left)]
    if not pulled and any(life.left.is_cancel_all for life in since):
        # Asked to cancel everything, the exchange would not; so what rested was cancelled one by one, and is read too.
        pulled = [life.got_place for life in since if life.done and life.got_place and life.got_place < exit_place]
    claim = f"exit {exited.code} at {seconds(exited.at)}"
    if not pulled:
        verdict.broken(exited.at, f"{claim}: no acknowledged cancel-all left after the end, or the tail, of {last}")
        return verdict
    acknowledged = min(pulled)
    after_it = (life for life in case.lives.values() if life.place > acknowledged)
    reads = empty_reads(life for life in after_it if life.got_place is not None and life.got_place < exit_place)
    if reads < 2:
        found = "one empty read" if reads else "no empty read"
        verdict.broken(exited.at, f"{claim}: {found} came after the cancel-all, not two {READ_GAP_SECONDS} s apart")
    return verdict


def rearmed_empty(case: Case, verdict: Verdict) -> None:
    """A re-arm claims what an exit does: everything was cancelled since the trip, and read back empty.

    A cancel of any scope counts: where the unscoped one did not do, what rested was cancelled one by one.
    """
    tripped: int | None = None
    acknowledged: int | None = None
    reads: list[Life] = []  # of open orders, all after that
    for place, entry in each(case, Tripped, Rearmed, Got):
        match entry:
            case Tripped() if tripped is None:
                tripped, acknowledged, reads = place, None, []
            case Got() if tripped is not None and entry.request in case.lives:
                life = case.lives[entry.request]
                if acknowledged is not None and life.place > acknowledged:
                    reads.append(life)
                elif acknowledged is None and is_cancel(life.left) and life.done and life.place > tripped:
                    acknowledged = place
            case Rearmed() if tripped is not None:
                verdict.judged += 1
                at = f"re-armed at {seconds(entry.at)}"
                if acknowledged is None:
                    verdict.broken(entry.at, f"{at}: no cancel-all of the halt was acknowledged")
                elif empty_reads(reads) < 2:
                    verdict.broken(entry.at, f"{at}: not read empty twice since the cancel-all")
                tripped = None
            case _:
                pass


def empty_reads(lives: Iterable[Life]) -> int:
    """How many reads of all open orders, far enough apart, showed none in a row: at most two count."""
    first: float | None = None  # when the first of them was answered
    proven = False
    for life in lives:
        read = life.left.is_read and life.left.path == ocx.ORDERS and "marketId" not in life.left.query
        if not read or life.answered is None or not life.done or life.answered.open_orders is None:
            continue
        if life.answered.open_orders:
            first, proven = None, False
        elif first is None:
            first = life.answered.at
        else:
            proven = proven or life.left.at - first >= READ_GAP_SECONDS - MICROSECOND
    return 2 if proven else int(first is not None)


def s10_cancel_first(case: Case) -> Verdict:
    verdict = Verdict("S10")
    terms = case.terms
    open_orders: set[str] = set()
    under_way: dict[int, Left] = {}  # writes that may still land
    final, halted = False, False
    since: Entry | None = None  # what a cancel-all is awaited for
    began_place = 0
    extra = 0.0  # until when no connection could be made
    kinds = (Order, Left, Lost, Applied, Tripped, Rearmed, Signalled, Raised, DialFailed, Died, Ended, WorldEnded)
    for place, entry in each(case, *kinds):
        match entry:
            case Order():
                (open_orders.discard if entry.action == "removed" else open_orders.add)(entry.order_id)
            case Lost() | Applied():
                under_way.pop(entry.request, None)
            case Left() if entry.is_write:
                under_way[entry.request] = entry
            case Left() if entry.owner == MAKER and entry.is_cancel_all and since is not None:
                warm = case.connections[entry.connection] < began_place
                allowed = NOTICE_SECONDS + (0.0 if warm else terms.connect_seconds_max)
                due = max(since.at, extra) + allowed + case.stood(since.at, entry.at)
                if entry.at > due + MICROSECOND:
                    verdict.broken(
                        entry.at,
                        f"{case.lives[entry.request].name} left {seconds(entry.at - since.at)} after "
                        f"{named(since)}, on a connection that was {'open' if warm else 'made for it'}",
                    )
                since = None
            case Tripped() | Signalled() | Raised():
                final = final or not (isinstance(entry, Tripped) and entry.recoverable)
                may_rest = bool(open_orders) or any(
                    entry.at - left.at <= terms.write_delay_seconds_max for left in under_way.values()
                )
                if not halted and may_rest and place < case.gone_place:
                    verdict.judged += 1
                    since, began_place, extra = entry, place, 0.0
                halted = True
            case Rearmed():
                halted = final
            case DialFailed() if since is not None and entry.owner == MAKER:
                extra = max(extra, entry.at + DIAL_PAUSE_SECONDS)
            case Died():
                since = None
            case Ended() | WorldEnded() if since is not None:
                due = max(since.at, extra) + NOTICE_SECONDS + terms.connect_seconds_max + case.stood(since.at, entry.at)
                if entry.at > due or (isinstance(entry, Ended) and not extra):
                    verdict.broken(entry.at, f"no cancel-all left after {named(since)}, though orders could rest")
                since = None
    return verdict


def s24_only_what_we_quote(case: Case) -> Verdict:
    """Ladders are judged by S2, S5, S11 and S12; here is whatever else the maker may send."""
    verdict = Verdict("S24")
    tripped: Tripped | None = None
    broken: set[str] = set()
    last: Life | None = None
    swept = 0  # sweeps acknowledged so far
    for place, entry in each(case, Left, Tripped, Rearmed, BrokenRead, SnapshotRead):
        match entry:
            case Tripped():
                tripped = tripped or entry
            case Rearmed():
                tripped = None
            case BrokenRead():
                broken.add(entry.market_id)
            case SnapshotRead():
                broken.discard(entry.market_id)
            case Left() if entry.owner == MAKER and is_ladder(entry):
                last = case.lives[entry.request]
            case Left() if entry.owner == MAKER and not entry.is_read:
                verdict.judged += 1
                while swept < len(case.sweeps) and case.sweeps[swept].got_place < place:
                    swept += 1
                answered = last is None or (last.definite and (last.got_place or 0) < place)
                pulled = swept > 0 and last is not None and case.sweeps[swept - 1].place > last.place
                states = [
                    *([named(tripped)] if tripped is not None else []),
                    *(f"the stream of {market_id} broke" for market_id in sorted(broken)),
                    *([] if last is None or answered or pulled else [f"the unknown outcome of {last.name}"]),
                ]
                if states and not is_cancel(entry) and not is_reducing(entry):
                    verdict.broken(entry.at, f"{case.lives[entry.request].name} left after {'; '.join(states)}")
    return verdict
