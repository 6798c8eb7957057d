"""The checkers of ladders and their answers in the core world: S7, S8, S9, S11, S12 and S19.

Judged by the bytes that left, by what the exchange did with them, and by the answers that arrived.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from maker.app.market_config import Market
from maker.desk.engine import Engine
from maker.desk.events import MarketSpec
from maker.desk.units import Side
from maker.paper.exchange import Exchange
from maker.paper.order_path import Outcome
from maker.storms.core_heap import Heap
from maker.storms.outcome import Violation
from maker.wire import limits, ocx

VIOLATIONS_MAX: Final = 20  # of a schedule: the first ones say it
NUMBER: Final = re.compile(rb'"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"')
AMOUNTS: Final = re.compile(rb'"(price|quantity)":("[^"]*"|[^,}\]]*)')
BPS: Final = Decimal(10_000)
REMEMBERED: Final = 512  # events of a connection that a repetition is told by
MARGIN: Final = "INSUFFICIENT_MARGIN"
TRIES_MAX: Final = 3  # ladders in a row that margin may refuse
MARGIN_SECONDS: Final = 60.0  # after this long without a refusal the size may grow back, to what was refused then
AFTER_TRIES_SECONDS: Final = 10.0  # without a ladder on that market then
RESTARTED: Final = "the market was halted"  # why the maker itself gives a sound stream up: what it said is void
REFUSED_STATUSES: Final = frozenset({"rejected", "cancelled", "expired"})
READ_SECONDS: Final = 1.2  # an order read is believed once the stream was heard so long after it


@attrs.frozen
class Told:
    """One stream event as the exchange sent it."""

    connection: int
    market_id: str
    name: str
    sequence: int
    event_id: str
    sound: bool  # its book can be true
    best_bid: Decimal | None  # of the others, in the exchange's book when it was sent
    best_ask: Decimal | None


@attrs.define(eq=False)
class Line:
    """One connection as far as its events have arrived."""

    sequence: int = 0  # of the last that counts; 0: no snapshot yet
    broken: bool = False
    seen: deque[tuple[int, str]] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))


@attrs.define(eq=False)
class Sent:
    """One ladder as it left."""

    number: int
    market_id: str
    quote_id: str
    levels: tuple[tuple[str, str, str], ...]  # side, price, quantity: the texts
    adding: dict[str, Decimal]  # base units that may enlarge the position, by side
    position: Decimal
    at: float  # seconds


@attrs.define(eq=False)
class About:
    """What is owed on one market."""

    sound: bool = False  # a snapshot of the newest connection was taken, and nothing broke it since
    best_bid: Decimal | None = None  # of others, as last told
    best_ask: Decimal | None = None
    index: Decimal | None = None  # as last told
    reference: Decimal | None = None
    refused: Sent | None = None  # the last ladder, if it was refused
    margin: bool = False  # ... for margin
    margin_row: int = 0
    held_until: float = 0.0
    read_owed: float | None = None  # seconds: a read of the orders must have been made after this
    applied_at: float = 0.0  # the last ladder
    halted: bool = False  # by the exchange, since its stream began: the maker takes what the stream says for void
    displaced: bool = False  # the maker may not know the position: somebody else changed it, or a fill's event was lost


@attrs.define(eq=False)
class OrderChecks:
    """The part of the oracle that judges ladders and their answers; and what all of it notes and counts."""

    heap: Heap
    market_ids: tuple[str, ...]
    value_max: Decimal
    reserve: int
    throttle_faults: bool
    exchange: Exchange = attrs.field(init=False)
    engine: Engine | None = None
    specs: Mapping[str, MarketSpec] = attrs.field(factory=dict)
    violations: list[Violation] = attrs.field(factory=list)
    checked: dict[str, int] = attrs.field(factory=dict)
    digest: Any = attrs.field(factory=lambda: hashlib.blake2b(digest_size=16))
    about: dict[str, About] = attrs.field(init=False)
    lines: dict[int, Line] = attrs.field(factory=dict)
    on_way: dict[int, Sent] = attrs.field(factory=dict)  # ladders that may yet be applied
    sent: dict[int, Sent] = attrs.field(factory=dict)  # ladders not yet answered or given up
    quote_ids: set[str] = attrs.field(factory=set)
    last_ladder_ms: int = -1
    last_cancel_ms: int = -1
    cancel_owed: bool = False  # an unknown outcome: cancel-all, then a read, before the next ladder
    cancel_acked_ms: int | None = None
    read_ms: int = -1
    told_remaining: int | None = None
    told_until: float = 0.0
    retry_at: float = 0.0
    trades_booked: set[str] = attrs.field(factory=set)
    trades_before: int = 0
    cash_before: Decimal = Decimal(0)
    moved: bool = False  # a position changed without a trade, since this run began
    accepted: int = 0  # ladders whose answer said so, since this run began
    ladders: int = 0
    compared_at: tuple[int, ...] = ()
    faulty_while_resting: bool = False

    def __attrs_post_init__(self) -> None:
        self.about = {market_id: About() for market_id in self.market_ids}

    # -- notes

    def note(self, text: str) -> None:
        """One line of the history: the digest is of these."""
        self.digest.update(f"{self.heap.ms} {text}\n".encode())

    def found(self, name: str, sentence: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(name, self.heap.ms / 1000, sentence))
            self.note(f"{name} {sentence}")

    def hold(self, name: str, holds: bool, sentence: str) -> None:
        """Something was to be judged."""
        self.checked[name] = self.checked.get(name, 0) + 1
        if not holds:
            self.found(name, sentence)

    # -- a run

    def began(self, run: int, engine: Engine, specs: Mapping[str, MarketSpec]) -> None:
        """A new run starts from the account as it is."""
        self.note(f"run {run}")
        self.engine, self.specs = engine, specs
        account = self.exchange.state.accounts[self.exchange.user_id]
        self.cash_before = account.traded - account.fees_paid
        self.trades_before = account.trade_count
        self.trades_booked.clear()
        self.moved, self.accepted, self.compared_at = False, 0, ()
        for about in self.about.values():
            about.refused, about.margin_row, about.held_until, about.read_owed = None, 0, 0.0, None
            about.sound, about.displaced = False, False
            about.index = about.reference = None
        self.cancel_owed = False

    # -- the order path

    def left(self, number: int, market_id: str, body: bytes, settings: Market) -> None:
        """A ladder leaves: everything that must hold before, and everything about its orders."""
        self.note(f"left {body!r}")
        now, about = self.heap.now, self.about[market_id]
        request = ocx.decode(body, ocx.BulkRequest)
        self.exact(body)
        self.hold("S12", request.quote_id not in self.quote_ids, f"quoteId {request.quote_id} was sent before")
        self.quote_ids.add(request.quote_id)
        if self.cancel_owed:
            self.hold("S12", False, "a ladder after an unknown outcome, without cancel-all and a read between")
        self.hold("S5", about.sound, f"a ladder on {market_id} though its stream is not sound")
        if self.told_remaining is not None and now < self.told_until:
            holds = self.told_remaining > self.reserve
            self.hold("S9", holds, f"begun with {self.told_remaining} requests left, the reserve is {self.reserve}")
        self.hold("S9", now >= self.retry_at, f"begun {self.retry_at - now:.3f} s before a 429's retry time")
        if self.told_remaining is not None:
            self.told_remaining -= 1
        owed = about.read_owed
        self.hold("S11", owed is None, f"a ladder on {market_id} after a failed one, without reading its orders")
        self.hold("S11", now >= about.held_until, f"a fourth ladder after {TRIES_MAX} that margin refused")
        sent = self.parse(number, request)
        self.smaller(about, sent, settings)
        self.sane(request, settings, about)
        self.on_way[number] = self.sent[number] = sent
        self.last_ladder_ms = self.heap.ms
        self.worst(market_id, settings)

    def exact(self, body: bytes) -> None:
        """S19: the texts themselves; that they are the amounts meant is judged by the grid, in `sane`."""
        for name, text in AMOUNTS.findall(body):
            wrong = NUMBER.fullmatch(text) is None
            self.hold("S19", not wrong, f"{name.decode()} on the wire is {text.decode()}" if wrong else "")

    def parse(self, number: int, request: ocx.BulkRequest) -> Sent:
        adding = {"buy": Decimal(0), "sell": Decimal(0)}
        for quote in request.quotes:
            if not quote.reduce_only:
                adding[quote.side] += Decimal(quote.quantity)
        levels = tuple((quote.side, quote.price, quote.quantity) for quote in request.quotes)
        position = self.exchange.state.accounts[self.exchange.user_id].quantity(request.market_id)
        return Sent(number, request.market_id, request.quote_id, levels, adding, position, self.heap.now)

    def smaller(self, about: About, sent: Sent, settings: Market) -> None:
        """S11: never the refused ladder again; after a margin refusal a smaller one."""
        refused, about.refused = about.refused, None
        if refused is None:
            return
        self.hold("S11", sent.levels != refused.levels, f"the refused ladder {refused.quote_id} again, unchanged")
        soon = sent.at - refused.at <= MARGIN_SECONDS
        if about.margin and soon and sent.position == refused.position:
            before, after = sum(refused.adding.values()), sum(sent.adding.values())
            holds = after < before or after == 0
            self.hold("S11", holds, f"{after} after margin refused {before} on {sent.market_id}")

    def sane(self, request: ocx.BulkRequest, settings: Market, about: About) -> None:
        """S8, order by order; and S19: each text is the amount that the grid has there."""
        spec = self.exchange.state.markets[request.market_id].spec
        limits_ = settings.limits
        away = limits_.collar_bps + settings.fair.basis_bps_max
        places = (-spec.price_decimals, -spec.size_decimals)
        bases = [base for base in (about.index, about.reference) if base is not None]
        best: dict[str, Decimal] = {}
        for quote in request.quotes:
            price, quantity = Decimal(quote.price), Decimal(quote.quantity)
            wrong = ""
            if price % spec.tick_size or price <= 0:
                wrong = "price off the tick"
            elif quantity % spec.step_size or not 0 < quantity <= limits_.order_size_max:
                wrong = "size off the step, or beyond order_size_max"
            elif price * quantity > limits_.order_value_max:
                wrong = "value beyond order_value_max"
            elif not quote.post_only:
                wrong = "not post-only"
            elif any(abs(price - base) * BPS > away * base for base in bases):
                wrong = f"outside the collar around {' and '.join(map(str, bases))}"
            self.hold("S8", not wrong, wrong and f"{quote.side} {quote.price} x {quote.quantity}: {wrong}")
            if (price.as_tuple().exponent, quantity.as_tuple().exponent) != places:
                self.found("S19", f"{quote.price} x {quote.quantity} are not the amounts of the grid as it writes them")
            pick = max if quote.side == "buy" else min
            best[quote.side] = pick(price, best.get(quote.side, price))
        bid, ask = best.get("buy"), best.get("sell")
        if bid is not None and ask is not None:
            self.hold("S8", bid < ask, f"own bid {bid} is not below own ask {ask}")
        if bid is not None and about.best_ask is not None:
            self.hold("S8", bid < about.best_ask, f"bid {bid} crosses the book at {about.best_ask}")
        if ask is not None and about.best_bid is not None:
            self.hold("S8", ask > about.best_bid, f"ask {ask} crosses the book at {about.best_bid}")

    def worst(self, market_id: str, settings: Market) -> None:
        """S7: position, all that rests and every ladder that may yet be applied, against the limit and value_max."""
        if any(about.displaced for about in self.about.values()):
            return
        total = Decimal(0)
        for each in self.market_ids:
            position = self.exchange.state.accounts[self.exchange.user_id].quantity(each)
            largest = Decimal(0)
            for side in Side:
                adding = self.may_add(each, side.value)
                worst = side.sign * position + adding
                if each == market_id and adding:
                    limit = max(settings.limits.position_limit, side.sign * position)
                    self.hold(
                        "S7", worst <= limit, f"{market_id} {side.value}: worst case {worst}, the limit is {limit}"
                    )
                if adding or worst > 0:
                    largest = max(largest, worst)
            index = self.about[each].index
            total += largest * (index or Decimal(0))
        adds = any(self.may_add(market_id, side.value) for side in Side)
        if adds:
            holds = total * (1 - settings.fair.basis_bps_max / BPS) <= self.value_max
            self.hold("S7", holds, f"worst case over all markets is {total:.0f}, value_max is {self.value_max}")

    def may_add(self, market_id: str, side: str) -> Decimal:
        """Base units of one side that may still fill and enlarge the position, wherever their ladders are."""
        resting = self.exchange.state.registries[self.exchange.user_id].open.values()
        total = sum(
            (o.remaining for o in resting if o.market_id == market_id and o.side == side and not o.reduce_only),
            Decimal(0),
        )
        return total + sum((s.adding[side] for s in self.on_way.values() if s.market_id == market_id), Decimal(0))

    def lost(self, number: int) -> None:
        """A ladder can no longer have an effect."""
        self.note(f"lost {number}")
        self.on_way.pop(number, None)

    def applied(self, number: int, status: int, length: int) -> None:
        """The exchange performed a ladder."""
        self.note(f"applied {number} {status} {length}")
        sent = self.on_way.pop(number)
        self.ladders += status == 200
        if status == 200:
            self.about[sent.market_id].applied_at = self.heap.now
        if not self.throttle_faults:
            self.hold("S9", status != 429, "the exchange answered 429 though no fault was about its limit")
        open_ids = {
            order.quote_id
            for order in self.exchange.state.registries[self.exchange.user_id].open.values()
            if order.market_id == sent.market_id
        }
        self.hold("S12", len(open_ids) <= 1, f"{len(open_ids)} ladders rest on {sent.market_id} at once")

    def answered(self, outcome: Outcome) -> None:
        """An answer of the order path reached the maker: what it says of the limit counts from here on."""
        self.note(f"answer {outcome.status} {outcome.body!r}")
        headers = {name.lower(): value for name, value in outcome.headers}
        if ocx.REMAINING_HEADER.lower() in headers:
            seen = limits.seen(headers, self.heap.unix_ms / 1000)
            assert seen is not None, "the exchange states its limit"
            self.told_remaining, self.told_until = seen.remaining, self.heap.now + seen.reset_seconds
        if outcome.status == 429:
            wait = limits.wait_seconds(headers, outcome.body, self.heap.unix_ms / 1000)
            self.retry_at = max(self.retry_at, self.heap.now + wait)

    def got(self, number: int, outcome: Outcome | None) -> None:
        """A ladder's answer came, or was given up."""
        sent = self.sent.pop(number)
        about, now = self.about[sent.market_id], self.heap.now
        codes: list[str] = []
        readable = False
        if outcome is not None and outcome.status == 200:
            try:
                answer = ocx.decode(outcome.body, ocx.BulkAnswer)
                readable = True
                codes = [o.code or o.status for o in answer.orders or () if o.status in REFUSED_STATUSES]
            except ValueError:
                pass
        status = 0 if outcome is None else outcome.status
        if status == 429:
            return
        if readable:
            self.accepted += 1
            about.read_owed = None
        elif 400 <= status < 500:
            assert outcome is not None
            error = ocx.decode(outcome.body, ocx.ErrorBody)
            codes = [error.code or error.error]
            about.read_owed = now
            about.halted = (
                about.halted or ocx.MARKET_HALTED in codes
            )  # until the next stream: what this one says is void
        else:
            about.read_owed, self.cancel_owed, self.cancel_acked_ms = now, True, None
            self.note(f"unknown {number}")
            return
        about.refused = sent if codes else None
        about.margin = MARGIN in codes
        if about.margin:
            about.margin_row += 1
            if about.margin_row == TRIES_MAX:
                about.margin_row, about.held_until = 0, now + AFTER_TRIES_SECONDS
        elif readable:
            about.margin_row = 0

    def booked_as_placed(self, count: int) -> None:
        """S11: a refusal is never booked as success."""
        self.hold("S11", count == self.accepted, f"{count} ladders booked as placed, {self.accepted} were accepted")

    def cancel_left(self) -> None:
        self.note("cancel-all left")
        self.last_cancel_ms = self.heap.ms
        if self.told_remaining is not None:
            self.told_remaining -= 1

    def cancel_acknowledged(self) -> None:
        if self.cancel_owed:
            self.cancel_acked_ms = self.heap.ms

    def orders_read(self, at_ms: int) -> None:
        """A read of the open orders reached the maker; made at the exchange at `at_ms`."""
        self.read_ms = self.heap.ms
        if self.cancel_owed and self.cancel_acked_ms is not None and at_ms >= self.cancel_acked_ms:
            self.cancel_owed = False
        for about in self.about.values():
            if about.read_owed is not None and self.heap.now >= about.read_owed:
                about.read_owed = None

    def read_empty(self) -> None:
        """The maker says that nothing of its rests: S12 would hold a ladder that lands now against it."""
        self.note("read empty")
        rest = len(self.exchange.state.registries[self.exchange.user_id].open)
        self.hold("S12", rest == 0 and not self.on_way, f"said to be empty: {rest} rest, {len(self.on_way)} may land")
