"""The invariants of a run as a whole: one writer, an end in time, no error lost, a guard beside it, a latch left."""

from __future__ import annotations

from typing import Final

from maker.storms.case import (
    MICROSECOND,
    NOTICE_SECONDS,
    Case,
    Verdict,
    each,
    is_ladder,
    named,
    seconds,
)
from maker.storms.record import (
    MAKER,
    Armed,
    Died,
    Ended,
    Entry,
    Exited,
    GuardGone,
    GuardPulled,
    KillFileWritten,
    Left,
    Order,
    Raised,
    Rearmed,
    Signalled,
    Tripped,
)

UNWIND_SECONDS_MAX: Final = 1.0
AS_ASKED: Final = ("STOP_ASKED", "TIME_UP", "KILLED")  # reasons to end with code 0
END_SLACK_SECONDS: Final = 1.0  # on top of the longest halt: 15 s with the default of 14


def s13_one_writer(case: Case) -> Verdict:
    verdict = Verdict("S13")
    gone: Entry | None = None
    closed = True  # the last run's tail is over
    epoch = ""
    for _, entry in each(case, Left, Died, Ended, GuardPulled, Exited):
        match entry:
            case Died() | Ended():
                gone, closed = gone or entry, False
            case GuardPulled() | Exited():
                closed = True
            case Left() if entry.owner == MAKER:
                names = [quote.client_order_id for quote in entry.quotes] + ([entry.quote_id] if entry.quote_id else [])
                epochs = sorted({name.rpartition("-")[0] for name in names})
                verdict.judged += bool(names) or gone is not None
                new = [one for one in epochs if one != epoch]
                life = case.lives[entry.request]
                if gone is not None and not (new and closed):
                    verdict.broken(entry.at, f"{life.name} left after its maker was gone at {seconds(gone.at)}")
                elif len(epochs) > 1 or (epoch and new and not (gone is not None and closed)):
                    verdict.broken(
                        entry.at, f"{life.name} is of the epochs {epochs} while {epoch or 'one of them'} writes"
                    )
                if new and closed:
                    gone = None
                epoch = epochs[-1] if epochs else epoch
    return verdict


def s14_no_swallow(case: Case) -> Verdict:
    verdict = Verdict("S14")
    ended = case.first(Ended)
    if ended is None:
        return verdict
    verdict.judged = 1
    if ended.unwound_seconds > UNWIND_SECONDS_MAX + case.stood(ended.at - ended.unwound_seconds, ended.at):
        verdict.broken(ended.at, f"a task went on for {seconds(ended.unwound_seconds)} after it was cancelled")
    for place, tripped in case.of(Tripped):
        if tripped.reason == "UNHANDLED_ERROR" and not any(at < place for at, _ in case.of(Raised)):
            verdict.broken(tripped.at, f"an error that nobody planted ended it: {tripped.detail}")
    final = next((tripped for _, tripped in case.of(Tripped) if not tripped.recoverable), None)
    if ended.code == 0 and (case.of(Raised) or (final is not None and final.reason not in AS_ASKED)):
        why = named(final) if final is not None else named(case.of(Raised)[0][1])
        verdict.broken(ended.at, f"its own code is 0 after {why}")
    for _, raised in case.of(Raised):
        verdict.judged += 1
        if raised.at <= ended.at and raised.text not in ended.causes:
            verdict.broken(
                ended.at, f"the error {raised.text} raised in {raised.where} at {seconds(raised.at)} is named nowhere"
            )
    return verdict


def s15_bounded(case: Case) -> Verdict:
    verdict = Verdict("S15")
    limit = case.terms.halt_seconds_max + END_SLACK_SECONDS
    for place, entry in each(case, Signalled, Raised, Tripped):
        if place > case.gone_place or (isinstance(entry, Tripped) and entry.recoverable):
            continue
        verdict.judged = 1
        took = case.gone_at - entry.at - case.stood(entry.at, case.gone_at)
        if took > limit + MICROSECOND and not case.of(Died):
            verdict.broken(case.gone_at, f"the maker was still there {seconds(took)} after {named(entry)}")
        break
    return verdict


def s20_armed(case: Case) -> Verdict:
    verdict = Verdict("S20")
    armed, halted = False, False
    resting: set[str] = set()
    unheeded: GuardGone | None = None
    for place, entry in each(case, Left, Armed, Tripped, Rearmed, Signalled, Raised, GuardGone, Order, Ended, Died):
        if unheeded is not None and entry.at > unheeded.at + NOTICE_SECONDS + case.stood(unheeded.at, entry.at):
            verdict.broken(unheeded.at, f"the guard was gone at {seconds(unheeded.at)}, and quotes were not pulled")
            unheeded = None
        match entry:
            case Armed():
                armed = True
            case Tripped() | Signalled() | Raised() | Ended() | Died():
                halted, unheeded = True, None
            case Rearmed():
                halted = False
            case Order():
                (resting.discard if entry.action == "removed" else resting.add)(entry.order_id)
            case GuardGone():
                verdict.judged += 1
                if resting and not halted and place < case.gone_place:
                    unheeded = entry
            case Left() if is_ladder(entry):
                verdict.judged += 1
                if not armed:
                    verdict.broken(entry.at, f"{case.lives[entry.request].name} left before the guard was armed")
    if unheeded is not None and case.ends_at > unheeded.at + NOTICE_SECONDS:
        verdict.broken(unheeded.at, f"the guard was gone at {seconds(unheeded.at)}, and quotes were not pulled")
    return verdict


def s21_latched(case: Case) -> Verdict:
    verdict = Verdict("S21")
    due: Tripped | None = None
    written = False
    for _, entry in each(case, Tripped, KillFileWritten, Ended, Died):
        match entry:
            case Tripped() if entry.latched:
                verdict.judged += 1
                due = None if written else entry
            case KillFileWritten():
                written, due = True, None
            case Died():
                due = None
            case Ended() if due is not None:
                verdict.broken(entry.at, f"the maker ended without latching for {named(due)}")
                due = None
    return verdict
