"""Everything cancelled, then every position closed: the work behind `flatten`.

The same halt as everywhere else comes first (unscoped, hedged, read back twice), then `positions/close` and, for what
that leaves, one immediate-or-cancel, reduce-only order at a price no further from the book than the collar. None of
these can open a position: each only reduces, so one that was sent and not answered may be sent again. Then comes the
tail: a ladder that a dead maker had on its way may still land, and even fill. Whatever is sent for that, the last word
is the exchange read back empty.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Final

import attrs
import trio

from maker.app.config import Config
from maker.app.halt import HaltReport, Switch, halt
from maker.app.reading import AccountReader
from maker.desk.budget import Budget, Spend
from maker.desk.deadman import Reason, Trip
from maker.desk.events import MarketSpec
from maker.desk.units import BPS, Side, decimal_exact
from maker.edge.answer import Answer
from maker.edge.lane import Lane, NotSent
from maker.errors import ConfigError, ExitCode, OcxError, OutcomeUnknown, Unauthorized
from maker.wire import limits, ocx, reads

LISTING_SECONDS_MAX: Final = 10.0  # a listing that does not come is done without
POSITIONS_SECONDS_MAX: Final = 30.0  # one that does not come leaves us blind
CLOSE_SECONDS_MAX: Final = 60.0  # a rate limit's whole window: the closing orders share it with the quotes before them
CALL_SECONDS_MAX: Final = 3.0  # one order, connecting included
PAUSE_SECONDS_MIN: Final = 0.25  # between two rounds, doubled up to the next: a thin book needs time to fill again
PAUSE_SECONDS_MAX: Final = 4.0
COLLAR_BPS: Final = Decimal(100)  # of a market that the configuration does not quote
BOOK_DEPTH: Final = "25"


@attrs.define
class Outcome:
    """What it came to."""

    reason: str = "nothing was done"
    exit_code: ExitCode = ExitCode.UNVERIFIED
    verified_empty: bool = False
    open_orders: int | None = None  # None: never read
    position: dict[str, str] = attrs.field(factory=dict)  # what is left: market -> signed base units
    closed: dict[str, str] = attrs.field(factory=dict)  # what was there at first, of the markets asked for
    flat: bool = False  # in the markets asked for, when last looked
    latched: bool = False


class Stopped(Exception):
    """The command cannot do its work: exit code and sentence."""

    def __init__(self, exit_code: ExitCode, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code, self.sentence = exit_code, sentence


@attrs.define
class Flattening:
    """One run of the command; `wanted` empty means every market."""

    config: Config
    wanted: frozenset[str]
    reader: AccountReader
    lane: Lane  # of the closing orders: the panic lanes carry cancel-all alone
    switch: Switch
    tell: Callable[[str], None]
    outcome: Outcome
    specs: dict[str, MarketSpec] = attrs.field(factory=dict)
    budget: Budget | None = None  # of the order path, where something is to be kept for cancels; None: nobody quotes
    heard: Callable[[Answer], None] = lambda _answer: None  # rate-limit headers are seen here too
    by_session: Callable[[], Awaitable[Lane]] | None = None  # another lane, for orders that are refused to the key
    sent: int = 0  # closing orders that left, or may have
    denied: int = 0  # the status of an order-path answer that did not accept our key
    pulling: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Pull, close, watch the tail. Raises Stopped; `outcome` says how far it came."""
        self.switch.panic.on_answer = self.on_answer
        self.switch.trip(Trip(Reason.STOP_ASKED, "flatten"))
        began = trio.current_time()
        await self.pull(0.0)
        self.tell(f"Cancelled; nothing rests after {trio.current_time() - began:.1f} s.")
        await self.list_markets()
        first = await self.close_all()
        self.outcome.closed = texts(first)
        self.outcome.flat = not await self.positions()
        tail_seconds = max(0.0, began + self.config.guard.tail_seconds - trio.current_time())
        self.tell(f"Looking on for {tail_seconds:.0f} s: a ladder may still be on its way.")
        self.switch.unknown_write_at = self.switch.clock()
        await self.pull(tail_seconds)
        sent = self.sent
        await self.close_all()  # a late ladder may have filled
        if self.sent > sent:  # since it was read back empty
            await self.pull(0.0)
        left = await self.positions()
        self.outcome.position, self.outcome.flat = texts(left), not left
        if left:
            self.outcome.reason = f"Nothing rests on the account, but STILL OPEN: {listed(left)}."
            self.outcome.exit_code = ExitCode.FAILED_EMPTY
        else:
            scope = ", ".join(sorted(self.wanted)) or "everywhere"
            self.outcome.reason = (
                f"Nothing rests on the account, and it is flat ({scope}); closed {listed(first) or 0}."
            )
            self.outcome.exit_code = ExitCode.CLEAN

    async def pull(self, tail_seconds: float) -> None:
        """The one halt, bounded. Raises Stopped."""
        report = HaltReport()
        with trio.move_on_after(self.config.guard.give_up_seconds) as self.pulling:
            await halt(self.switch, tail_seconds, report)
        self.outcome.verified_empty, self.outcome.open_orders = report.verified_empty, report.open_orders
        if self.denied:
            raise Stopped(ExitCode.CREDENTIALS, denied_sentence(f"cancel-all was answered {self.denied}"))
        if not report.verified_empty:
            rest = "nothing could be read back" if report.open_orders is None else f"{report.open_orders} orders rest"
            raise Stopped(ExitCode.UNVERIFIED, f"NOT VERIFIED, QUOTES MAY REST after {report.seconds:.0f} s: {rest}")

    def on_answer(self, answer: Answer) -> None:
        """A key that is not accepted ends it: nothing but a better key helps."""
        if answer.status in (401, 403):
            self.denied = answer.status
            self.pulling.cancel(reason="the key is not accepted")

    async def list_markets(self) -> None:
        """Learn the grids; without them only `positions/close` is left to us. Raises Stopped for an unknown market."""
        rows = None
        with trio.move_on_after(LISTING_SECONDS_MAX):
            rows = await self.reader.get(ocx.MARKETS, reads.markets)
        if rows is None:
            self.tell("The markets could not be read: closing without them.")
            return
        unknown = sorted(self.wanted - set(rows))
        if unknown:
            raise Stopped(
                ExitCode.REFUSED_TO_START,
                f"no quotes rest, but NO POSITION WAS CLOSED: the exchange lists no market {', '.join(unknown)}; it "
                f"lists {', '.join(sorted(rows))}",
            )
        for market_id, row in rows.items():
            with contextlib.suppress(ValueError):  # a grid that makes no sense: as if it were not listed
                self.specs[market_id] = reads.market_spec(market_id, row, Decimal(0), Decimal(0))  # fees play no part

    async def close_all(self) -> dict[str, Decimal]:
        """Close until flat or time is up, and return what there was at first. Raises Stopped."""
        first = left = await self.positions()
        pause = PAUSE_SECONDS_MIN
        with trio.move_on_after(CLOSE_SECONDS_MAX):
            while left:
                for market_id in left:
                    pause = max(pause, await self.close(market_id))
                left = await self.positions()
                for market_id, amount in left.items():
                    pause = max(pause, await self.reduce(market_id, amount))
                left = await self.positions() if left else left
                if left:
                    self.tell(f"Still open: {listed(left)}; again in {pause:.1f} s.")
                    await trio.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
        return first

    async def positions(self) -> dict[str, Decimal]:
        """What is open in the markets asked for, signed base units. Raises Stopped."""
        seen: dict[str, Decimal] | None = None
        try:
            with trio.move_on_after(POSITIONS_SECONDS_MAX):
                seen = await self.reader.get(ocx.POSITIONS, open_positions)
        except Unauthorized as error:
            raise Stopped(ExitCode.CREDENTIALS, denied_sentence(f"reading positions: {error}")) from error
        if seen is None:
            raise Stopped(ExitCode.UNVERIFIED, "no quotes rest, but positions could not be read: THEY MAY BE OPEN")
        return {market_id: amount for market_id, amount in seen.items() if not self.wanted or market_id in self.wanted}

    async def close(self, market_id: str) -> float:
        """`positions/close`, whole; return how long the exchange wants us to wait."""
        return await self.send(market_id, ocx.POSITIONS_CLOSE, ocx.encode(ocx.CloseRequest(market_id=market_id)))

    async def reduce(self, market_id: str, amount: Decimal) -> float:
        """One reduce-only order at a collared price, for what `positions/close` left; return as `close`."""
        spec = self.specs.get(market_id)
        if spec is None:
            return 0.0
        market = self.config.markets.get(market_id)
        collar_bps = COLLAR_BPS if market is None else market.limits.collar_bps
        try:
            parse = partial(ocx.decode, shape=ocx.OrderBook)
            book = await self.reader.get_once(f"{ocx.ORDERBOOK}/{market_id}", parse, {"depth": BOOK_DEPTH})
            ticks = collared_ticks(spec, book, amount, collar_bps)
        except (OcxError, ValueError) as problem:
            self.tell(f"{market_id}: the book cannot be read: {problem}")
            return 0.0
        if ticks is None:
            self.tell(f"{market_id}: nobody is in the book on the side we need.")
            return 0.0
        order = ocx.OrderRequest(
            market_id=market_id,
            side=(Side.SELL if amount > 0 else Side.BUY).value,
            quantity=ocx.fixed(abs(amount)),
            price=spec.grid.price.text(ticks),
            client_order_id=f"{self.config.order_prefix}-f{secrets.token_hex(8)}",
            time_in_force="ioc",
            reduce_only=True,
        )
        return await self.send(market_id, ocx.ORDERS, ocx.encode(order))

    async def send(self, market_id: str, path: str, body: bytes) -> float:
        """Send one reducing order; positions are read afterwards, so its outcome is not looked at but told."""
        answer = None
        if self.budget is not None:
            now = self.switch.clock()
            wait = self.budget.wait_seconds(now, Spend.REDUCE)
            if wait > 0:  # what is left of it is cancel-all's
                return wait
            self.budget.spend(now)
        try:
            self.sent += 1
            with trio.move_on_after(CALL_SECONDS_MAX):
                answer = await self.lane.call("POST", path, body)
        except (NotSent, OutcomeUnknown) as problem:
            self.tell(f"{market_id}: {problem}")
        if answer is not None:
            self.heard(answer)
        if answer is None or 200 <= answer.status < 300:
            return 0.0
        wait = limits.wait_seconds(answer.headers, answer.body, time.time()) if answer.status == 429 else 0.0
        refused = ocx.refusal(answer.status, answer.body, wait)
        if isinstance(refused, Unauthorized):
            await self.take_over(market_id, refused)
            return await self.send(market_id, path, body)  # known not applied
        self.tell(f"{market_id}: {refused}")
        return wait

    async def take_over(self, market_id: str, refused: Unauthorized) -> None:
        """Go on by a session, where a wallet stands by and it was not refused already. Raises Stopped."""
        if self.by_session is None:
            raise Stopped(ExitCode.CREDENTIALS, denied_sentence(f"closing {market_id}: {refused}"))
        by_session, self.by_session = self.by_session, None
        try:
            lane = await by_session()
        except (OcxError, ConfigError) as error:
            raise Stopped(ExitCode.CREDENTIALS, denied_sentence(f"closing {market_id}: {refused}; {error}")) from error
        self.tell(f"{market_id}: {refused}; closing by a session from here on")
        self.lane.close()
        self.lane = lane


def open_positions(body: bytes) -> dict[str, Decimal]:
    """Every open position, of whatever market, in signed base units. Raises ValueError."""
    found: dict[str, Decimal] = {}
    for row, amount in reads.open_positions(body):
        found[row.market_id] = found.get(row.market_id, Decimal(0)) + amount
    return found


def collared_ticks(spec: MarketSpec, book: ocx.OrderBook, amount: Decimal, collar_bps: Decimal) -> int | None:
    """The worst price at which to get rid of `amount`: the best opposite one less the collar, inside the band.

    None: nobody is there. Raises ValueError for a book that makes no sense.
    """
    levels = book.bids if amount > 0 else book.asks
    if not levels:
        return None
    best, price = decimal_exact(levels[0][0]), spec.grid.price
    if best <= 0:
        raise ValueError(f"a best price of {best}")
    if amount > 0:
        ticks = price.count_up(best * (BPS - collar_bps) / BPS)
        return ticks if spec.band_low_ticks is None else max(ticks, spec.band_low_ticks)
    ticks = price.count_down(best * (BPS + collar_bps) / BPS)
    return ticks if spec.band_high_ticks is None else min(ticks, spec.band_high_ticks)


def texts(position: Mapping[str, Decimal]) -> dict[str, str]:
    return {market_id: ocx.fixed(amount) for market_id, amount in position.items()}


def listed(position: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{market_id} {ocx.fixed(amount)}" for market_id, amount in position.items())


def denied_sentence(what: str) -> str:
    return (
        f"NOT DONE, quotes may rest and positions be open: {what}. The key must have the scope 'trade', be used from a "
        "pinned address and be neither expired nor revoked"
    )
