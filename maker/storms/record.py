"""What happened in one storm, as the exchange and the wires saw it: never what the maker believes.

Everything is in the order in which it happened; `at` counts virtual seconds from the world's start. A request has one
number for its whole life: it leaves its client (`Left`), arrives and has its effect (`Applied`), is answered
(`Answered`), and its answer reaches the client whole (`Got`). What is missing did not happen. A request that can no
longer arrive is `Lost`; until then one that left may still be applied, whatever became of its connection.

The maker's own doings (`Tripped`, `Rearmed`, `Intended`, …) are noted by probes at its doors, so that the checkers know
when a promise begins; whether it was kept is judged by the exchange's entries alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, TypeVar

import attrs

from maker.wire import ocx

MAKER: Final = "maker"
GUARD: Final = "guard"


@attrs.frozen(kw_only=True)
class Entry:
    """One thing that happened."""

    at: float


# -- requests -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Quote:
    """One order of a ladder as it was sent: amounts are the very texts on the wire."""

    client_order_id: str
    side: str  # buy | sell
    price: str
    quantity: str
    reduce_only: bool
    post_only: bool


@attrs.frozen(kw_only=True)
class Sight:
    """What had reached the maker when a ladder left, by the wires: seconds since the last byte of each input."""

    stream_connection: int | None  # of the ladder's market: that from which bytes were last read; None: none is open
    stream_age: float  # data or heartbeat; inf: never
    stream_sound: bool  # its snapshot was read, and nothing that breaks the sequence since
    reference_age: float  # last message of a feed of this market's, of the sources_min'th that are fresh; inf: never
    best_bid: Decimal | None  # of the exchange's book as last read by the maker, its own orders included
    best_ask: Decimal | None
    index: Decimal | None  # of the exchange, at this instant
    reference_mids: tuple[Decimal, ...]  # as last read by the maker, of each feed


@attrs.frozen(kw_only=True)
class Left(Entry):
    """A request's first byte has left its client."""

    request: int
    connection: int
    owner: str  # MAKER or GUARD
    method: str
    path: str
    query: str = ""
    body: bytes = b""
    market_id: str = ""  # of a ladder, or of a scoped cancel-all
    quote_id: str = ""  # of a ladder
    cancels: bool = False  # of a ladder: cancelAll is true
    quotes: tuple[Quote, ...] = ()
    sight: Sight | None = None  # of a ladder of the maker's with at least one order

    @property
    def is_write(self) -> bool:
        """Whether it can create or enlarge orders."""
        return bool(self.quotes) or (self.method == "POST" and self.path == ocx.ORDERS)

    @property
    def is_cancel_all(self) -> bool:
        """Whether it is the unscoped cancel-all."""
        return self.path == ocx.CANCEL_ALL and self.body.strip() in (b"", b"{}")

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing: a preview places nothing, though it is a POST."""
        return self.method == "GET" or self.path == ocx.PREVIEW


@attrs.frozen(kw_only=True)
class Lost(Entry):
    """A request that left will never arrive."""

    request: int
    why: str


@attrs.frozen(kw_only=True)
class Applied(Entry):
    """The exchange performed a request, refusals of its own included: its effect stands between this and `Order`s."""

    request: int
    status: int
    code: str = ""  # of a refusal


@attrs.frozen(kw_only=True)
class Answered(Entry):
    """The exchange began to answer. `fault` names what made this another answer than the exchange's own."""

    request: int
    status: int
    fault: str = ""
    open_orders: int | None = None  # of a read of open orders: how many rows the answer shows
    code: str = ""  # of a refusal, as the answer states it; of a ladder taken in part, the first refused level's
    retry_seconds: float | None = None  # of a 429: how long its headers and body ask to wait; None: they do not say
    remaining: int | None = None  # requests left in the window, as its headers state; None: they do not
    reset_seconds: float = 0.0  # until that window ends, likewise


@attrs.frozen(kw_only=True)
class Got(Entry):
    """The answer reached the client whole."""

    request: int
    status: int


@attrs.frozen(kw_only=True)
class DialFailed(Entry):
    """An attempt to connect to the exchange ended without a connection: refused, or given up by its client."""

    owner: str  # MAKER or GUARD
    began_at: float


# -- the exchange's books -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Order(Entry):
    """A resting order of our account changed."""

    market_id: str
    order_id: str
    client_order_id: str
    side: str
    price: Decimal
    remaining: Decimal  # after it
    action: str  # placed | reduced | removed
    reason: str = ""  # filled, cancelled, replaced, …


@attrs.frozen(kw_only=True)
class Trade(Entry):
    """A trade of our account."""

    market_id: str
    trade_id: str
    side: str  # ours
    price: Decimal
    quantity: Decimal
    client_order_id: str = ""
    self_trade: bool = False
    foreign: bool = False  # not by an order of the maker's: somebody else on the account, or a liquidation
    taken_over: bool = False  # by the exchange, which tells of no trade: nothing but the position changes


# -- streams ------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SnapshotRead(Entry):
    """The maker read a whole snapshot of a market's stream."""

    market_id: str
    connection: int


@attrs.frozen(kw_only=True)
class BrokenRead(Entry):
    """The maker read something after which this stream must not be believed, or its end."""

    market_id: str
    connection: int
    what: str  # gap | regress | delta_first | crossed | malformed | ended
    exposed: bool  # orders of ours rested, or a ladder was on its way


@attrs.frozen(kw_only=True)
class DuplicateRead(Entry):
    """The maker read an event it had read before; to be ignored."""

    market_id: str
    connection: int


@attrs.frozen(kw_only=True)
class ReferenceBroken(Entry):
    """The maker read the end of a reference feed, or something that is no message of it."""

    exposed: bool  # as above, on a market that too few of its feeds are left to price


@attrs.frozen(kw_only=True)
class FeedSilent(Entry):
    """The maker read nothing of a feed from `since` until now, longer than it may quote on. Noted at the silence's end.

    That is the next byte, the end of the connection, of the maker, or of the world.
    """

    feed: str  # stream | reference
    market_id: str
    since: float


@attrs.frozen(kw_only=True)
class StoodStill(Entry):
    """The maker's process runs again after it did not: paused, suspended, or busy in one step."""

    seconds: float
    asleep: bool = False  # the whole machine: the loop's clock stood still as well


# -- the maker, by probes at its doors ----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Tripped(Entry):
    """Quotes are pulled."""

    reason: str  # desk.deadman.Reason's name
    detail: str
    recoverable: bool
    latched: bool


@attrs.frozen(kw_only=True)
class Rearmed(Entry):
    """Writes may begin again after a recoverable trip."""


@attrs.frozen(kw_only=True)
class Signalled(Entry):
    """A stop signal was delivered to the maker."""

    number: int
    resting: int  # orders of ours at that moment
    healthy: bool  # no fault was under way, nor any ladder's outcome unknown


@attrs.frozen(kw_only=True)
class Raised(Entry):
    """A task of the maker's raised an error planted by the schedule."""

    where: str  # the task
    text: str  # of the error, to be found again in `Ended.causes`


@attrs.frozen(kw_only=True)
class Intended(Entry):
    """A ladder's intent was put into the journal."""

    quote_id: str


@attrs.frozen(kw_only=True)
class JournalLost(Entry):
    """The journal could no longer be written."""


@attrs.frozen(kw_only=True)
class KillFileWritten(Entry):
    """Somebody, or the maker itself, latched the account."""

    by: str  # MAKER, or "somebody"


@attrs.frozen(kw_only=True)
class Armed(Entry):
    """The guard allowed this run to quote."""


@attrs.frozen(kw_only=True)
class Reloaded(Entry):
    """The maker took other parameters, or another key: these terms hold from here on."""

    terms: Terms | None = None  # None: not known, which the world sees to
    key_id: str = ""  # of the key in use now, where it is another one


@attrs.frozen(kw_only=True)
class Reported(Entry):
    """The guard told what came of a reload."""

    ok: bool
    sentence: str


@attrs.frozen(kw_only=True)
class Died(Entry):
    """The maker's process is gone, or was killed: nothing of it runs any more."""

    why: str
    hang_began_at: float | None = None  # it hung since then, before its guard killed it


@attrs.frozen(kw_only=True)
class GuardGone(Entry):
    """The guard's process is gone."""


@attrs.frozen(kw_only=True)
class GuardPulled(Entry):
    """The guard ended its work."""

    verified_empty: bool


@attrs.frozen(kw_only=True)
class Ended(Entry):
    """The maker ended by itself. `code` is its own, before the guard finished anything."""

    code: int
    reason: str
    verified_empty: bool
    unwound_seconds: float  # from cancelling quoting to the end of the last task but the cleanup
    causes: tuple[str, ...] = ()  # the errors planted whose text the result or the log names


@attrs.frozen(kw_only=True)
class Exited(Entry):
    """The whole run is over, guard included. `code` is what the user sees."""

    code: int
    incident: bool  # an incident record was left


# -- judged by comparison -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Compared(Entry):
    """Nothing was on its way: the maker's books against the exchange's. `differences` is empty when they agree."""

    market_id: str
    differences: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Counted(Entry):
    """What the world holds, sampled while it is quiet."""

    tasks: int
    connections: int
    cycles: int  # ladders answered so far


@attrs.frozen(kw_only=True)
class SecretSeen(Entry):
    """The key's text stood where it must not."""

    where: str


# -- the storm ----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Quoting(Entry):
    """Every market has its first ladder; faults are timed from here."""


@attrs.frozen(kw_only=True)
class FaultBegan(Entry):
    """A fault is in force from here on."""

    index: int  # in the schedule
    row: str  # F1 … F52
    name: str
    resting: int  # orders of ours at that moment


@attrs.frozen(kw_only=True)
class FaultBit(Entry):
    """A fault changed something."""

    index: int
    name: str
    request: int | None = None  # that it happened to


@attrs.frozen(kw_only=True)
class FaultEnded(Entry):
    """A fault is over."""

    index: int
    name: str


@attrs.frozen(kw_only=True)
class QuietBegan(Entry):
    """No fault is in force any more, and none will be."""


@attrs.frozen(kw_only=True)
class WorldEnded(Entry):
    """The last entry. `stuck` names what did not end."""

    stuck: str = ""


Kind = TypeVar("Kind", bound=Entry)


@attrs.define
class Record:
    """The entries of one storm, and what the checkers need to know of its configuration."""

    terms: Terms
    entries: list[Entry] = attrs.field(factory=list)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)

    def of(self, kind: type[Kind]) -> Iterator[Kind]:
        """Yield the entries of one kind, in order."""
        return (entry for entry in self.entries if isinstance(entry, kind))


@attrs.frozen(kw_only=True)
class MarketTerms:
    """One market's grid and limits."""

    tick: Decimal
    lot: Decimal
    position_limit: Decimal
    order_size_max: Decimal
    order_value_max: Decimal
    collar_bps: Decimal
    basis_bps_max: Decimal = Decimal(60)  # index and reference may be as far apart
    sources: tuple[str, ...] = ("reference",)  # the reference feeds it is priced by
    sources_min: int = 1  # so many of them must be fresh


@attrs.frozen(kw_only=True)
class Terms:
    """What was promised: the configuration's numbers that the checkers judge by. Seconds unless said."""

    markets: dict[str, MarketTerms]
    value_max: Decimal
    tail_seconds: float  # the guard's
    give_up_seconds: float
    hang_seconds_max: float
    reference_stale_seconds_max: float
    stream_fresh_seconds_max: float
    stream_silent_seconds_max: float
    halt_seconds_max: float
    write_delay_seconds_max: float  # the longest a ladder may be on its way
    reserve: int  # order-path requests that quoting must leave
    connect_seconds_max: float = 3.0
    requests_per_minute: int = 0  # of the exchange's limiter; 0: what is left is not judged
    throttle_faults: bool = False  # the schedule answers 429 of its own accord, or takes tokens away
