"""A record with its index: one pass over the entries, so that no checker needs more than one of its own.

A *place* is an entry's index in the record. Two things at the same instant are told apart by it: the order of the
entries is the order in which they happened.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Final, cast

import attrs

from maker.storms.outcome import Violation
from maker.storms.record import (
    MAKER,
    Answered,
    Applied,
    Died,
    Ended,
    Entry,
    FaultBit,
    Got,
    Kind,
    Left,
    Lost,
    Order,
    Raised,
    Record,
    Signalled,
    StoodStill,
    Terms,
    Tripped,
)
from maker.wire import ocx

NOTICE_SECONDS: Final = 0.05  # within which a thing that happened must have been acted upon (S10)
ORDER_PATHS: Final = frozenset({ocx.ORDERS, ocx.QUOTES_BULK, ocx.QUOTES, ocx.CANCEL_ALL, ocx.POSITIONS_CLOSE})
MICROSECOND: Final = 1e-6  # seconds: sums of floats


@attrs.define
class Verdict:
    """What one checker found, and how often it had something to judge."""

    name: str
    judged: int = 0
    violations: list[Violation] = attrs.field(factory=list)

    def broken(self, at: float, sentence: str) -> None:
        self.violations.append(Violation(self.name, at, sentence))


@attrs.define
class Life:
    """One request."""

    left: Left
    place: int
    lost_place: int | None = None
    applied: Applied | None = None
    applied_place: int | None = None
    applied_times: int = 0
    answered: Answered | None = None
    got: Got | None = None
    got_place: int | None = None
    bitten: bool = False  # a fault happened to it

    @property
    def done(self) -> bool:
        """Whether a 2xx reached the client."""
        return self.got is not None and 200 <= self.got.status < 300

    @property
    def effective(self) -> bool:
        """Whether the exchange did what was asked."""
        return self.applied is not None and 200 <= self.applied.status < 300

    @property
    def applied_at(self) -> float:
        """When it had its effect; never: inf."""
        return math.inf if self.applied is None else self.applied.at

    @property
    def code(self) -> str:
        """Of a refusal, as its client was told."""
        return (self.answered.code if self.answered is not None else "") or (self.applied.code if self.applied else "")

    @property
    def definite(self) -> bool:
        """Whether its client was told what became of it."""
        return self.got is not None and self.got.status < 500

    @property
    def settled_place(self) -> int | None:
        """From where on it cannot land any more, and its client may know it; None: unknown to the end."""
        places = [] if self.lost_place is None else [self.lost_place]
        if self.got_place is not None and (self.definite or self.applied is not None):
            places.append(self.got_place)
        return min(places, default=None)

    @property
    def name(self) -> str:
        """For a sentence."""
        what = f"{self.left.method} {self.left.path}"
        of = " ".join(part for part in (self.left.quote_id, self.left.market_id) if part)
        return f"request {self.left.request} ({what}{', ' + of if of else ''})"


@attrs.frozen
class Sweep:
    """An acknowledged cancel of everything: one cancel-all, or one for each market."""

    place: int  # at which the (first) request left
    at: float
    got_place: int


@attrs.define
class Case:
    """A record, its entries by kind, and its requests by number."""

    record: Record
    by_kind: dict[type[Entry], list[tuple[int, Entry]]] = attrs.field(factory=dict)
    ats: list[float] = attrs.field(factory=list)
    lives: dict[int, Life] = attrs.field(factory=dict)  # in the order in which they left
    sweeps: list[Sweep] = attrs.field(factory=list)  # in the order of their acknowledgement
    rested: dict[str, tuple[list[float], list[int]]] = attrs.field(factory=dict)  # market: when, how many from then on
    stalls: list[tuple[float, float]] = attrs.field(factory=list)  # the maker stood still: from, to
    connections: dict[int, int] = attrs.field(factory=dict)  # where each first carried a request
    gone_place: int = 0  # the maker ended or died; else the record's end
    gone_at: float = 0.0

    @classmethod
    def of_record(cls, record: Record) -> Case:
        """Index a record."""
        case = cls(record)
        open_orders: dict[str, set[str]] = {}
        swept: dict[str, Life] = {}  # by market: the last scoped cancel acknowledged
        gone: tuple[int, float] | None = None
        for place, entry in enumerate(record.entries):
            case.by_kind.setdefault(type(entry), []).append((place, entry))
            case.ats.append(entry.at)
            match entry:
                case Left():
                    case.lives[entry.request] = Life(entry, place)
                    case.connections.setdefault(entry.connection, place)
                case Lost() | Applied() | Answered() | Got() | FaultBit():
                    life = case.lives.get(-1 if entry.request is None else entry.request)
                    if life is not None:
                        case.live(life, place, entry, swept)
                case Order():
                    ids = open_orders.setdefault(entry.market_id, set())
                    (ids.discard if entry.action == "removed" else ids.add)(entry.order_id)
                    times, counts = case.rested.setdefault(entry.market_id, ([], []))
                    times.append(entry.at)
                    counts.append(len(ids))
                case StoodStill() if not entry.asleep:
                    case.stalls.append((entry.at - entry.seconds, entry.at))
                case Ended() | Died():
                    gone = gone or (place, entry.at)
                case _:
                    pass
        case.gone_place, case.gone_at = gone or (len(case.ats), case.ats[-1] if case.ats else 0.0)
        return case

    def live(
        self, life: Life, place: int, entry: Lost | Applied | Answered | Got | FaultBit, swept: dict[str, Life]
    ) -> None:
        """Book what became of a request."""
        match entry:
            case Lost():
                life.lost_place = place
            case Applied():
                life.applied, life.applied_place = entry, place
                life.applied_times += 1
            case Answered():
                life.answered = entry
            case FaultBit():
                life.bitten = True
            case Got():
                life.got, life.got_place = entry, place
                if not life.done:
                    return
                if life.left.is_cancel_all:
                    self.sweeps.append(Sweep(life.place, life.left.at, place))
                elif is_cancel(life.left) and life.left.market_id:
                    swept[life.left.market_id] = life
                    if all(market_id in swept for market_id in self.terms.markets):
                        first = min((swept[one] for one in self.terms.markets), key=lambda one: one.place)
                        self.sweeps.append(Sweep(first.place, first.left.at, place))

    @property
    def terms(self) -> Terms:
        return self.record.terms

    @property
    def ends_at(self) -> float:
        return self.ats[-1] if self.ats else 0.0

    def of(self, kind: type[Kind]) -> list[tuple[int, Kind]]:
        """The entries of one kind with their places, in order."""
        return cast(list[tuple[int, Kind]], self.by_kind.get(kind, []))

    def first(self, kind: type[Kind]) -> Kind | None:
        return next((entry for _, entry in self.of(kind)), None)

    def place_at(self, at: float) -> int:
        """The first place whose entry is not before an instant."""
        return bisect_left(self.ats, at)

    def writes(self) -> list[Life]:
        """What can create or enlarge orders, in the order in which it left."""
        return [life for life in self.lives.values() if life.left.is_write]

    def resting(self, market_id: str, at: float) -> int:
        """Orders of ours on a market at the end of an instant."""
        times, counts = self.rested.get(market_id, ([], []))
        index = bisect_right(times, at) - 1
        return counts[index] if index >= 0 else 0

    def least_resting(self, market_id: str, since: float, until: float) -> int:
        """The fewest orders of ours on a market at the end of any instant of a span."""
        times, _counts = self.rested.get(market_id, ([], []))
        moments = times[bisect_right(times, since) : bisect_right(times, until)]
        return min(self.resting(market_id, at) for at in (since, *moments))

    def stood(self, since: float, until: float) -> float:
        """Seconds of a span in which the maker stood still: it cannot answer for these."""
        return sum(max(0.0, min(until, ended) - max(since, began)) for began, ended in self.stalls)


Checker = Callable[[Case], Verdict]


def is_order_path(left: Left) -> bool:
    """Whether a request counts for the rate limit of the order path."""
    if left.method == "GET" or left.path == ocx.PREVIEW:
        return False
    return left.path in ORDER_PATHS or left.path.startswith(f"{ocx.ORDERS}/")


def is_cancel(left: Left) -> bool:
    """Whether a request can only take orders away: a cancel of any scope, or an empty ladder that replaces one."""
    if left.path == ocx.CANCEL_ALL or (left.path.startswith(f"{ocx.ORDERS}/") and left.path.endswith("/cancel")):
        return True
    return left.path == ocx.QUOTES_BULK and left.cancels and not left.quotes


def is_reducing(left: Left) -> bool:
    """Whether a request can only make a position smaller."""
    if left.quotes:
        return all(quote.reduce_only for quote in left.quotes)
    return left.path == ocx.POSITIONS_CLOSE or (left.path == ocx.ORDERS and b'"reduceOnly":true' in left.body)


def is_ladder(left: Left) -> bool:
    """Whether a request is a ladder of the maker's with at least one order."""
    return left.owner == MAKER and bool(left.quotes)


def seconds(value: float) -> str:
    """For a sentence: 3 digits are what an operator can use."""
    return f"{value:.3f} s"


def each(case: Case, *kinds: type[Entry]) -> list[tuple[int, Entry]]:
    """The entries of some kinds with their places, in order: sorted runs, which Python's sort merges in linear time."""
    return sorted((one for kind in kinds for one in case.of(kind)), key=itemgetter(0))


def named(entry: Entry) -> str:
    """For a sentence."""
    match entry:
        case Tripped():
            return f"{entry.reason} at {seconds(entry.at)}"
        case Signalled():
            return f"signal {entry.number} at {seconds(entry.at)}"
        case Raised():
            return f"an error in {entry.where} at {seconds(entry.at)}"
        case _:
            return f"{type(entry).__name__} at {seconds(entry.at)}"
