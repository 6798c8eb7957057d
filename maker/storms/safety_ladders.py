"""The invariants of a ladder's life: its intent, its one effect, and what follows when it was refused or lost."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.storms.case import (
    Case,
    Life,
    Verdict,
    each,
    is_ladder,
    seconds,
)
from maker.storms.record import (
    Got,
    Intended,
    JournalLost,
    Left,
    Quote,
    Tripped,
)
from maker.storms.safety_halt import LOOK_SECONDS
from maker.storms.safety_orders import AMOUNT, THROTTLED
from maker.wire import ocx

MARGIN_TRIES_MAX: Final = 3
MARGIN_HOLD_SECONDS: Final = 25.0  # after so many; the maker waits 30
MARGIN_MEMORY_SECONDS: Final = 45.0  # for which a ladder must stay smaller; the maker's sizes grow again after 60
DENIED: Final = (401, 403)


@attrs.define
class Refusal:
    """A market's last ladder that was not accepted."""

    life: Life
    reread: bool  # open orders were read since


def s11_rejection(case: Case) -> Verdict:
    """429 says that nothing was done: no read is due. What was lost altogether is judged by S12."""
    verdict = Verdict("S11")
    refusals: dict[str, Refusal] = {}
    tries: dict[str, int] = {}  # ladders in a row whose margin was refused
    tried_at: dict[str, float] = {}
    for _, entry in each(case, Left, Got):
        life = case.lives.get(entry.request) if isinstance(entry, Left | Got) else None
        if life is None:
            continue
        market_id = life.left.market_id
        match entry:
            case Got() if is_ladder(life.left) and entry.status not in (THROTTLED, *DENIED):
                margin = life.code == ocx.INSUFFICIENT_MARGIN
                tries[market_id] = tries.get(market_id, 0) + 1 if margin else 0
                tried_at[market_id] = entry.at
                if margin or not life.done:
                    refusals[market_id] = Refusal(life, reread=life.done)
            case Got() if life.left.path == ocx.ORDERS and life.left.is_read and life.done:
                for refusal in refusals.values():
                    refusal.reread = refusal.reread or life.place > (refusal.life.got_place or 0)
            case Left() if is_ladder(entry) and market_id in refusals:
                verdict.judged += 1
                refused = refusals.pop(market_id)
                at = refused.life.got.at if refused.life.got is not None else 0.0
                since = f"{refused.life.name}, refused at {seconds(at)} ({refused.life.code or 'no code'})"
                if not refused.reread:
                    verdict.broken(entry.at, f"{life.name} left with no read of open orders since {since}")
                if refused.life.definite and content(entry.quotes) == content(refused.life.left.quotes):
                    verdict.broken(entry.at, f"{life.name} is the same ladder as {since}")
                elif tries.get(market_id, 0) and entry.at - at < MARGIN_MEMORY_SECONDS:
                    largest, before = largest_size(entry.quotes), largest_size(refused.life.left.quotes)
                    if largest is not None and before is not None and largest >= before:
                        verdict.broken(
                            entry.at, f"{life.name} has a size of {largest}, not below the {before} of {since}"
                        )
                if tries.get(market_id, 0) >= MARGIN_TRIES_MAX:
                    if entry.at < tried_at[market_id] + MARGIN_HOLD_SECONDS:
                        verdict.broken(entry.at, f"{life.name} is try {tries[market_id] + 1} in a row after {since}")
                    tries[market_id] = 0
    return verdict


def content(quotes: tuple[Quote, ...]) -> list[tuple[str, str, str, bool]]:
    """What a ladder asks for, names aside."""
    return sorted((quote.side, quote.price, quote.quantity, quote.reduce_only) for quote in quotes)


def largest_size(quotes: tuple[Quote, ...]) -> Decimal | None:
    """Of the orders that need margin."""
    sizes = (Decimal(quote.quantity) for quote in quotes if not quote.reduce_only and AMOUNT.fullmatch(quote.quantity))
    return max(sizes, default=None)


def s12_one_effect(case: Case) -> Verdict:
    verdict = Verdict("S12")
    quote_ids: set[str] = set()
    order_ids: set[str] = set()
    last: Life | None = None
    sweeps = iter(case.sweeps)
    coming = next(sweeps, None)
    pulled: int | None = None  # a sweep that left after `last` was acknowledged here
    read = False  # and open orders were read after that
    for place, entry in each(case, Left, Got):
        life = case.lives.get(entry.request) if isinstance(entry, Left | Got) else None
        if life is None:
            continue
        if isinstance(entry, Got):
            while coming is not None and coming.got_place <= place:
                if last is not None and coming.place > last.place and pulled is None:
                    pulled = coming.got_place
                coming = next(sweeps, None)
            is_read = life.left.is_read and life.left.path == ocx.ORDERS and life.done
            read = read or (is_read and pulled is not None and life.place > pulled)
            continue
        left = life.left
        if left.quote_id:
            if left.quote_id in quote_ids:
                verdict.broken(left.at, f"{life.name}: this quoteId was sent before")
            quote_ids.add(left.quote_id)
        if not is_ladder(left):
            continue
        verdict.judged += 1
        names = {quote.client_order_id for quote in left.quotes}
        if names & order_ids or len(names) < len(left.quotes):
            verdict.broken(left.at, f"{life.name}: a clientOrderId was sent before")
        order_ids |= names
        if life.applied_times > 1:
            verdict.broken(left.at, f"{life.name} had its effect {life.applied_times} times")
        if last is not None and not (last.definite and (last.got_place or 0) < place) and not read:
            missing = "no read of open orders" if pulled is not None else "no acknowledged cancel-all"
            verdict.broken(left.at, f"{life.name} left with {missing} since the unknown outcome of {last.name}")
        last, pulled, read = life, None, False
    return verdict


def s16_journal(case: Case) -> Verdict:
    verdict = Verdict("S16")
    intended: set[str] = set()
    lost: JournalLost | None = None
    heeded = False  # quotes are pulled, for whatever reason
    for _, entry in each(case, Left, Intended, JournalLost, Tripped):
        if lost is not None and not heeded and entry.at > lost.at + LOOK_SECONDS + case.stood(lost.at, entry.at):
            break
        match entry:
            case Intended():
                intended.add(entry.quote_id)
            case JournalLost():
                verdict.judged += 1
                lost = lost or entry
            case Tripped():
                heeded = heeded or lost is not None or not entry.recoverable
            case Left() if is_ladder(entry) and lost is None:
                verdict.judged += 1
                if entry.quote_id not in intended:
                    verdict.broken(
                        entry.at, f"{case.lives[entry.request].name} left before its intent was in the journal"
                    )
    if lost is not None and not heeded:
        until = min(case.gone_at, case.ends_at)
        if until > lost.at + LOOK_SECONDS + case.stood(lost.at, until):
            verdict.broken(lost.at, f"the journal was lost at {seconds(lost.at)}, and quotes were not pulled")
    return verdict
