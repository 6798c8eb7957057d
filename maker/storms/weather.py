"""What is between the maker and the exchange while a storm lasts: every wire and every answer asks here.

A fault in force is an `Active`; each door below looks whether one of them concerns it, lets it bite, and notes that it
did. In fair weather bytes only take a few milliseconds. What a fault does to the exchange or to the maker's machine is
in `maker.storms.happenings`; which faults there are, and how they are drawn, in `maker.storms.catalogue`.
"""

from __future__ import annotations

import errno
import json
import math
import random
import re
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from maker.edge.http_messages import Response
from maker.storms import record as r
from maker.storms.answers import JSON, answer_instead, spoiled_answer, throttle_seconds
from maker.storms.schedule import Fault, Schedule
from maker.storms.wires import Link
from maker.wire import ocx

if TYPE_CHECKING:
    from maker.storms.site import Site

LATENCY_SECONDS_MIN: Final = 0.0004
LATENCY_SECONDS_MORE: Final = 0.002  # one way, at most that much more
PIECES_MAX: Final = 64  # of one send that is sliced or drips
SLOW_MEDIAN_SECONDS: Final = 0.03
SLOW_PATH_SHARE: Final = 0.05  # of requests take ...
SLOW_PATH_TIMES: Final = 20.0  # ... so many times as long
EVENT_SEQ: Final = re.compile(rb'"eventSeq":(\d+)')
EVENT_ID: Final = re.compile(rb'"eventId":"')

# What a request is, for a fault that chooses.
LADDER, CANCEL_ALL, ORDERS, READ, STREAM = "ladder", "cancel_all", "orders", "read", "stream"
ANY: Final = "any"

# What reading an event means.
SNAPSHOT, DELTA, HEARTBEAT, DUPLICATE, ENDED = "snapshot", "delta", "heartbeat", "duplicate", "ended"
EMPTY: Final = "empty"  # a snapshot that shows no book


def target_of(left: r.Left) -> str:
    """What a request is."""
    if left.path == ocx.CANCEL_ALL:
        return CANCEL_ALL
    if left.path == ocx.QUOTES_BULK:
        return LADDER if left.quotes else CANCEL_ALL
    if left.path == ocx.ORDERS:
        return ORDERS
    return STREAM if left.path == ocx.STREAM_EVENTS else READ


@attrs.define(eq=False)
class Active:
    """One fault in force."""

    index: int
    fault: Fault
    left: float  # so many times it may still bite
    state: dict[str, Any] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        return self.fault.name

    def number(self, name: str) -> float:
        return self.fault.numbers[name]

    def word(self, name: str, default: str = ANY) -> str:
        return self.fault.words.get(name, default)

    def aims_at(self, target: str) -> bool:
        return self.word("target") in (ANY, target)


@attrs.frozen
class Change:
    """What becomes of one answer."""

    name: str
    instead: Response | None = None  # nothing is performed, and this is answered
    after: Callable[[Response], Response] = lambda answer: answer
    wait_seconds: float | None = None  # what a 429 asks for; None: it does not say


@attrs.define(eq=False)
class Weather:
    """The faults in force."""

    schedule: Schedule
    record: r.Record
    prefix: str  # of the maker's clientOrderIds
    slow_seconds_max: float  # no delay beyond what the configuration believes possible
    rng: random.Random = attrs.field(init=False)
    site: Site = attrs.field(init=False)
    active: list[Active] = attrs.field(factory=list)
    slept_seconds: float = 0.0  # that the exchange's clock is ahead of the loop's, for the machine slept
    snapshots: dict[str, bytes] = attrs.field(factory=dict)  # the first one of each market
    later: set[str] = attrs.field(factory=set)  # markets of which a change later than that was read
    troubles: list[str] = attrs.field(factory=list)  # errors of the simulation's own

    def __attrs_post_init__(self) -> None:
        self.rng = random.Random(f"weather:{self.schedule.seed}")

    def crashed(self, what: str, message: str, error: BaseException) -> None:
        """The simulation itself failed."""
        self.troubles.append(f"{what}: {message}: {''.join(traceback.format_exception(error))}")

    # -- faults in force

    def begin(self, index: int, fault: Fault) -> Active:
        active = Active(index, fault, fault.numbers.get("times", math.inf if fault.seconds else 1.0))
        self.record.add(
            r.FaultBegan(
                at=trio.current_time(), index=index, row=fault.row, name=fault.name, resting=len(self.site.orders)
            )
        )
        self.active.append(active)
        return active

    def end(self, active: Active) -> None:
        if active in self.active:
            self.active.remove(active)
            self.record.add(r.FaultEnded(at=trio.current_time(), index=active.index, name=active.name))

    def bite(self, active: Active, request: int | None = None) -> None:
        """Note that a fault changed something; it is over when it has bitten as often as it may."""
        self.record.add(r.FaultBit(at=trio.current_time(), index=active.index, name=active.name, request=request))
        active.left -= 1
        if active.left <= 0:
            self.end(active)

    def first(self, target: str, *names: str) -> Active | None:
        """The first fault of these names that aims at this."""
        for active in self.active:
            if active.name in names and active.aims_at(target):
                return active
        return None

    # -- dialling

    def dial_seconds(self) -> float:
        return LATENCY_SECONDS_MIN + self.rng.random() * LATENCY_SECONDS_MORE

    async def dialling(self, owner: str, port: str) -> None:
        """Let somebody connect, or not. Raises OSError; may take for ever."""
        active = self.first(port, "connect_refused", "connect_black_hole", "no_descriptors", "exchange_gone")
        if active is None or (owner == r.GUARD and active.name == "no_descriptors"):
            return
        self.bite(active)
        if active.name in ("connect_refused", "exchange_gone"):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if active.name == "no_descriptors":
            raise OSError(errno.EMFILE, "Too many open files")
        await trio.sleep_forever()

    def dialled(self, link: Link) -> None:
        """A connection is there."""
        active = self.first(link.port, "feed_silent") if self.active else None
        if active is not None and active.fault.seconds and link.port == "reference":
            self.bite(active)
            link.swallow()

    # -- bytes on their way

    def latency(self, link: Link, direction: str, data: bytes) -> list[tuple[float, bytes]]:
        """How long bytes take, and in which pieces."""
        seconds = LATENCY_SECONDS_MIN + self.rng.random() * LATENCY_SECONDS_MORE
        if link.doom:
            return self.doomed(link, direction, data, seconds)
        if not self.active:
            return [(seconds, data)]
        return self.rough(link, direction, data, seconds)

    def doomed(self, link: Link, direction: str, data: bytes, seconds: float) -> list[tuple[float, bytes]]:
        """What becomes of a connection that a fault has chosen."""
        doom, wanted = link.doom, "up" if link.doom == "before" else "down"
        if direction != wanted:
            return [(seconds, data)]
        link.doom = ""
        if doom == "before":
            link.up.swallow()
            self.site.start_soon(self.reset_later, link, seconds)
            return []
        if doom == "answer":
            self.reset(link)
            return []
        if doom == "half_close":
            link.down.put(data, seconds)
            link.down.put(b"", seconds)
            return []
        if doom == "truncate":
            link.down.put(data[: max(1, int(len(data) * self.rng.random()))], seconds)
            link.down.marks.clear()
            link.down.put(b"", seconds)
            link.down.mark(lambda: self.site.seen.broken(link, link.market_id, "malformed"))
            return []
        assert doom == "corrupt", doom
        spoilt = bytearray(data)
        start, end = 0, len(data)
        if link.market_id:  # within the JSON, its first byte included: what it spoils is seen when it is read
            start, end = data.find(b"data: ") + len(b"data: "), data.rfind(b"}") + 1
            spoilt[start] |= 0x80
        for _ in range(1 + int(self.rng.random() * 16)):
            spoilt[start + int(self.rng.random() * (end - start))] |= 0x80  # no text has it: never another number
        if link.market_id:
            link.down.mark(lambda: self.site.seen.broken(link, link.market_id, "malformed"))
        return [(seconds, bytes(spoilt))]

    def rough(self, link: Link, direction: str, data: bytes, seconds: float) -> list[tuple[float, bytes]]:
        pieces = [(seconds, data)]
        for active in list(self.active):
            match active.name:
                case "slow_requests" if direction == "up" and link.port == "http":
                    slow = self.rng.lognormvariate(math.log(SLOW_MEDIAN_SECONDS), 1.0)
                    if self.rng.random() < SLOW_PATH_SHARE:
                        slow *= SLOW_PATH_TIMES
                    pieces = [(at + min(slow, self.slow_seconds_max), data) for at, data in pieces]
                    self.bite(active)
                case "late_connection" if direction == "up" and link.number % 3 == int(active.number("of_three")):
                    late = min(active.number("delay_seconds"), self.slow_seconds_max)
                    pieces = [(at + late, data) for at, data in pieces]
                    self.bite(active)
                case "late_ladders" if direction == "up" and link.target == LADDER:
                    pieces = [(at + active.number("delay_seconds"), data) for at, data in pieces]
                    self.bite(active)
                case "late_answers" if direction == "down" and link.target == LADDER:
                    pieces = [(at + active.number("delay_seconds"), data) for at, data in pieces]
                    self.bite(active)
                case "narrow":
                    pieces = [(at + len(data) / active.number("bytes_per_second"), data) for at, data in pieces]
                    self.bite(active)
                case "sliced" if len(data) > 1 and len(pieces) == 1:
                    pieces = self.slices(data, seconds, 1 + int(self.rng.random() * 64), active.number("gap_seconds"))
                    self.bite(active)
                case "drip" if direction == "down" and link.target in (LADDER, CANCEL_ALL, ORDERS) and len(data) > 1:
                    pieces = self.slices(data, seconds, 1, active.number("gap_seconds"))
                    self.bite(active)
                case _:
                    pass
        return pieces

    def slices(self, data: bytes, seconds: float, size: int, gap: float) -> list[tuple[float, bytes]]:
        """Cut into pieces; what is long is cut at its beginning only."""
        starts = range(0, min(len(data), size * PIECES_MAX), size)
        cut = [(seconds + gap * at, data[start : start + size]) for at, start in enumerate(starts)]
        return [*cut, (seconds + gap * len(cut), data[starts[-1] + size :])] if starts[-1] + size < len(data) else cut

    async def reset_later(self, link: Link, seconds: float) -> None:
        await trio.sleep(seconds)
        self.reset(link)

    def reset(self, link: Link) -> None:
        """Break a connection for both."""
        link.reset()
        self.site.seen.cut(link)

    # -- requests

    def left(self, link: Link, left: r.Left) -> None:
        """A request is leaving its client."""
        if not self.active:
            return
        target = target_of(left)
        active = self.first(target, "reset_before", "half_open")
        if active is not None:
            self.bite(active, left.request)
            if active.name == "reset_before":
                link.doom = "before"
            else:
                link.swallow()

    async def arriving(self, link: Link, left: r.Left) -> Change | None:
        """A request is about to be performed. May take a while, for ever included."""
        link.target = target = target_of(left)
        if not self.active:
            return None
        active = self.first(target, "reset_after", "slow_close", "truncated", "corrupted")
        if active is not None and target != STREAM:
            self.bite(active, left.request)
            dooms = {
                "reset_after": "answer",
                "slow_close": "half_close",
                "truncated": "truncate",
                "corrupted": "corrupt",
            }
            link.doom = dooms[active.name]
            return None
        active = self.first(target, "unanswered")
        if active is not None:
            self.bite(active, left.request)
            self.site.lose(left.request, "nobody looks at it")
            await trio.sleep_forever()
        active = self.first(target, *INSTEAD)
        if active is not None:
            if active.name == "margin_refused_after_cancel":
                self.site.cancel_ours(left.market_id)
            self.bite(active, left.request)
            unix_seconds = self.site.clock().unix_seconds
            says = active.name == "throttled" and active.word("form") not in ("silent", "nonsense")
            wait_seconds = throttle_seconds(active) if says else None
            return Change(active.name, answer_instead(active, unix_seconds), wait_seconds=wait_seconds)
        active = self.first(target, "cancel_without_effect")
        if active is not None and left.is_cancel_all:
            self.bite(active, left.request)
            return Change(active.name, instead=Response(200, JSON, b'{"cancelled":0}'))
        active = self.first(target, *AFTER)
        if active is not None:
            self.bite(active, left.request)
            return Change(active.name, after=lambda answer: spoiled_answer(active, answer))
        return None

    # -- events of a stream

    def event(self, link: Link, market_id: str, data: bytes) -> list[tuple[bytes, str]]:
        """What is sent for one event, and what reading it means."""
        meaning = HEARTBEAT if data[:1] == b":" else meaning_of(data)
        if link.mumbles:
            return [(b"x", HEARTBEAT)]
        if meaning == SNAPSHOT:
            self.snapshots.setdefault(market_id, data)
        if link.missed and meaning == DELTA:
            meaning, link.missed = link.missed, ""
        if not self.active:
            return [(data, meaning)]
        active = self.first(STREAM, "heartbeat_forms")
        if active is not None:
            self.bite(active)
            form = (b": heartbeat\n\n", b":heartbeat\r\n\r\n", b":\n\n", b":heartbeat\n")[int(self.rng.random() * 4)]
            return [(form + data, meaning)]
        if meaning == SNAPSHOT:
            active = self.first(STREAM, "snapshot_lost", "snapshot_crossed", "snapshot_empty", "snapshot_stale")
            earlier = self.snapshots[market_id]
            if active is None or (active.name == "snapshot_stale" and market_id not in self.later):
                return [(data, meaning)]
            self.bite(active)
            if active.name == "snapshot_stale":
                return [(earlier, "stale")]
            if active.name == "snapshot_lost":
                return []  # the maker must not quote on what follows: S4 and S5 see that there was no snapshot
            return [(rewritten(data, active.name), "crossed" if active.name == "snapshot_crossed" else EMPTY)]
        if meaning != DELTA:
            return [(data, meaning)]
        active = self.first(STREAM, "gap", "duplicate", "regress", "bad_delta", "stream_corrupted", "stream_truncated")
        if active is None:
            return [(data, meaning)]
        self.bite(active)
        match active.name:
            case "gap":
                link.missed = "gap"
                return []
            case "duplicate":
                return [(data, DELTA), (data, DUPLICATE)]
            case "regress":
                return [(regressed(data), "regress")]
            case "bad_delta":
                wrong = active.word("form", "negative")
                return [(rewritten(data, wrong), "crossed" if wrong == "crossed" else "malformed")]
            case "stream_corrupted":
                link.doom = "corrupt"
            case _:
                link.doom = "truncate"
        return [(data, DELTA)]


INSTEAD: Final = (
    "throttled",
    "unauthorized",
    "margin_refused",
    "margin_refused_after_cancel",
    "refused",
    "server_error",
    "odd_answer",
    "stream_refused",
    "maintenance_refuses",
)
AFTER: Final = (
    "server_error_after",
    "fewer_orders_named",
    "odd_answer_after",
    "keep_alive_closed",
)


def meaning_of(data: bytes) -> str:
    if b"event: snapshot\n" in data[:80]:
        return SNAPSHOT
    return ENDED if b"event: error\n" in data[:80] else DELTA


def regressed(data: bytes) -> bytes:
    """The same event under an earlier number, as after a restart of the exchange."""
    return EVENT_ID.sub(b'"eventId":"again_', EVENT_SEQ.sub(b'"eventSeq":1', data))


def rewritten(data: bytes, form: str) -> bytes:
    """An event whose book says what cannot be."""
    head, _, rest = data.partition(b"data: ")
    fields = json.loads(rest)
    book = fields["payload"].get("book") or {"marketId": fields["payload"].get("marketId"), "sequence": 0}
    bids, asks = book.setdefault("bids", []), book.setdefault("asks", [])
    if form == "snapshot_empty":
        bids.clear()
        asks.clear()
    elif form == "negative":
        bids.append({"price": (bids + asks)[0]["price"] if bids + asks else "1", "size": "-1", "total": "1"})
    else:
        top = max([float(level["price"]) for level in bids + asks], default=1.0)
        bids.insert(0, {"price": f"{math.ceil(top * 2)}", "size": "1", "total": "1"})
    fields["payload"]["book"] = book
    return head + b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"
