"""A storm's record as a person reads it: a line an entry, with what rested, the position and the state around it.

Shown are the landmarks that led there, the entries just before the violation and a few after it. Orders that change
together are one line; reads in untroubled times, heartbeats of the simulation and the like are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Final

import attrs

from maker.storms import record as kinds
from maker.storms.outcome import Violation
from maker.storms.record import Entry, Record

LANDMARKS_MAX: Final = 12  # before the lines that are shown whole
BEFORE_MAX: Final = 36
AFTER_MAX: Final = 8  # with the header this makes sixty lines: one screen
WHAT_CHARACTERS: Final = 74
FIELD_CHARACTERS_MAX: Final = 60  # of one value: a detail may quote an answer

LANDMARKS: Final = (
    kinds.Quoting, kinds.FaultBegan, kinds.FaultEnded, kinds.QuietBegan, kinds.BrokenRead, kinds.Tripped, kinds.Rearmed,
    kinds.Signalled, kinds.Raised, kinds.JournalLost, kinds.KillFileWritten, kinds.Armed, kinds.Died, kinds.GuardGone,
    kinds.GuardPulled, kinds.Ended, kinds.Exited, kinds.SecretSeen, kinds.WorldEnded,
)  # fmt: skip
UNTOLD: Final = (kinds.Counted, kinds.DuplicateRead)


@attrs.define
class State:
    """What held after an entry, by the entries alone."""

    orders: dict[str, Decimal] = attrs.field(factory=dict)  # remaining, by order
    positions: dict[str, Decimal] = attrs.field(factory=dict)  # signed, by market: change since the start
    maker: str = "starting"
    on_the_way: dict[int, kinds.Left] = attrs.field(factory=dict)  # writes that were not answered, nor given up

    def take(self, entry: Entry) -> None:
        match entry:
            case kinds.Order():
                if entry.action == "removed" or not entry.remaining:
                    self.orders.pop(entry.order_id, None)
                else:
                    self.orders[entry.order_id] = entry.remaining
            case kinds.Trade():
                signed = entry.quantity if entry.side == "buy" else -entry.quantity
                self.positions[entry.market_id] = self.positions.get(entry.market_id, Decimal(0)) + signed
            case kinds.Left() if entry.is_write:
                self.on_the_way[entry.request] = entry
            case kinds.Got() | kinds.Lost():
                self.on_the_way.pop(entry.request, None)
            case _:
                pass
        self.maker = state_after(entry, self.maker)

    def shown(self) -> tuple[str, str, str]:
        held = [f"{market.removesuffix('-PERP')} {size:+}" for market, size in sorted(self.positions.items()) if size]
        on_the_way = f"+{len(self.on_the_way)}" if self.on_the_way else ""
        return f"{len(self.orders)}{on_the_way}", " ".join(held) or "flat", self.maker


def state_after(entry: Entry, before: str) -> str:
    """The maker's state in a word or two."""
    match entry:
        case kinds.Quoting() | kinds.Rearmed():
            return "quoting"
        case kinds.Tripped():
            return f"{'latched' if entry.latched else 'pulled'} {entry.reason}"
        case kinds.Died():
            return "dead"
        case kinds.Ended():
            return f"ended {entry.code}"
        case kinds.Exited():
            return f"exited {entry.code}"
        case _:
            return before


@attrs.frozen
class Line:
    """One line of the trace."""

    at: float
    what: str
    before: tuple[str, str, str]  # what rested, the position, the maker's state
    after: tuple[str, str, str]
    landmark: bool

    def text(self) -> str:
        columns = [now if was == now else f"{was} > {now}" for was, now in zip(self.before, self.after, strict=True)]
        what = " ".join(self.what.split())  # a detail may quote an answer of many lines
        what = what if len(what) <= WHAT_CHARACTERS else what[: WHAT_CHARACTERS - 1] + "…"
        return f"{self.at:10.3f}  {what:{WHAT_CHARACTERS}}  {columns[0]:>9}  {columns[1]:22}  {columns[2]}".rstrip()


def trace(record: Record, violation: Violation | None = None) -> str:
    """Show how it came to a violation, or, without one, how the storm ended; at most some sixty lines."""
    until = violation.at if violation else float("inf")
    lines, left_out = told(record)
    first_after = next((index for index, line in enumerate(lines) if line.at > until), len(lines))
    first = max(0, first_after - BEFORE_MAX)
    landmarks = [line for line in lines[:first] if line.landmark][-LANDMARKS_MAX:]
    header = f"{'seconds':>10}  {'what happened':{WHAT_CHARACTERS}}  {'rests':>9}  {'position':22}  maker"
    shown = [header, *(line.text() for line in landmarks)]
    if first:
        shown.append(
            f"{'…':>10}  {first - len(landmarks)} lines before are not shown, nor in all {left_out} entries of reads"
        )
    shown += [line.text() for line in lines[first:first_after]]
    if violation:
        shown.append(f"{violation.at:10.3f}  >>> {violation.name}: {' '.join(violation.sentence.split())}")
        shown += [line.text() for line in lines[first_after : first_after + AFTER_MAX]]
    return "\n".join(shown)


def told(record: Record) -> tuple[list[Line], int]:
    """Return the lines worth telling, in order, and how many entries were left out."""
    state = State()
    lines: list[Line] = []
    left_out = 0
    reads: set[int] = set()  # requests that were left out at their start; only asked whether it holds one
    for entries in together(record.entries):
        before = state.shown()
        for entry in entries:
            state.take(entry)
        if is_left_out(entries[0], state, reads):
            left_out += 1
            continue
        landmark = isinstance(entries[0], LANDMARKS)
        lines.append(Line(entries[0].at, words_of(entries), before, state.shown(), landmark))
    return lines, left_out


def together(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Orders that change alike at one moment are one event; everything else is one by itself."""
    numbered = enumerate(entries)

    def alike(one: tuple[int, Entry]) -> object:
        number, entry = one
        if isinstance(entry, kinds.Order):
            return entry.at, entry.market_id, entry.action, entry.reason
        return number

    for _key, group in groupby(numbered, alike):
        yield [entry for _number, entry in group]


def is_left_out(entry: Entry, state: State, reads: set[int]) -> bool:
    """Say whether nobody needs it: a read while quoting, unless a fault changed its answer."""
    match entry:
        case kinds.Left():
            if entry.is_read and state.maker == "quoting":
                reads.add(entry.request)
            return entry.request in reads
        case kinds.Applied() | kinds.Got():
            return entry.request in reads
        case kinds.Answered():
            return entry.request in reads and not entry.fault
        case kinds.Compared():
            return not entry.differences
        case _:
            return isinstance(entry, UNTOLD)


# -- in words -----------------------------------------------------------------------------------------------------


def words_of(entries: list[Entry]) -> str:
    """One event in a few words."""
    entry = entries[0]
    match entry:
        case kinds.Left():
            return f"#{entry.request} {entry.owner} sends {request_words(entry)}"
        case kinds.Applied():
            return f"#{entry.request} applied: {entry.status} {entry.code}".rstrip()
        case kinds.Answered():
            seen = "" if entry.open_orders is None else f", shows {entry.open_orders} open"
            return f"#{entry.request} answered: {entry.status}{seen}" + (f" by {entry.fault}" if entry.fault else "")
        case kinds.Got():
            return f"#{entry.request} answer read: {entry.status}"
        case kinds.Lost():
            return f"#{entry.request} will never arrive: {entry.why}"
        case kinds.Order():
            return order_words([one for one in entries if isinstance(one, kinds.Order)])
        case kinds.Trade():
            whose = " of somebody else" if entry.foreign else ""
            return f"trade{whose} {entry.market_id}: {entry.side} {entry.quantity} at {entry.price}"
        case kinds.FaultBegan():
            return f"FAULT {entry.index} begins: {entry.row} {entry.name}"
        case kinds.FaultBit():
            at = "" if entry.request is None else f" #{entry.request}"
            return f"FAULT {entry.index} bites{at}: {entry.name}"
        case kinds.FaultEnded():
            return f"FAULT {entry.index} is over: {entry.name}"
        case _:
            return other_words(entry)


def request_words(entry: kinds.Left) -> str:
    """What is asked for."""
    if entry.is_cancel_all:
        return "CANCEL-ALL"
    if entry.quote_id or entry.quotes:
        sides = [f"{side} {len(one)} from {one[0]}" for side in ("buy", "sell") if (one := prices(entry, side))]
        how = "replaces all" if entry.cancels else "adds"
        return f"ladder {entry.market_id}, {how}: {'; '.join(sides) or 'empty'}"
    query = f"?{entry.query}" if entry.query else ""
    return f"{entry.method} {entry.path}{query} {entry.market_id}".rstrip()


def prices(entry: kinds.Left, side: str) -> list[str]:
    return [quote.price for quote in entry.quotes if quote.side == side]


def order_words(orders: list[kinds.Order]) -> str:
    first = orders[0]
    reason = f" ({first.reason})" if first.reason else ""
    if len(orders) == 1:
        return f"order {first.action}{reason} {first.market_id}: {first.side} {first.remaining} at {first.price}"
    sides = [f"{count} {side}" for side in ("buy", "sell") if (count := sum(one.side == side for one in orders))]
    return f"{len(orders)} orders {first.action}{reason} {first.market_id}: {', '.join(sides)}"


def other_words(entry: Entry) -> str:
    """By its name and fields: what is seldom needs no words of its own."""
    values = [
        f"{field.name} {str(value)[:FIELD_CHARACTERS_MAX]}"
        for field in attrs.fields(type(entry))
        if field.name != "at" and (value := getattr(entry, field.name)) not in ("", (), None)
    ]
    name = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(entry).__name__).strip()
    return f"{name.upper()}{': ' if values else ''}{', '.join(values)}"
