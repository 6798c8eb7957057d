"""What comes in from the exchange: one event stream a market, and the polls. Each reconnects by itself.

A feed hands its facts straight to the engine, in the same thread and without an await between; when the engine says
that quotes must be pulled, the switch is tripped there and then. A feed that breaks says so first, then reconnects.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Final, NoReturn, Protocol, TypeVar

import attrs
import trio

from maker.app.halt import Switch
from maker.app.record import NUMBERS, Recorder
from maker.desk.deadman import Reason, Trip
from maker.desk.engine import Engine
from maker.desk.events import BalanceRead, Event, FeesRead, MarketSpec, SpecRead, StreamHeard, StreamLost
from maker.edge.client import Client
from maker.errors import OutcomeUnknown, StreamBroken, StreamFault, Unauthorized
from maker.wire import ocx, reads
from maker.wire.stream import MarketStream

CONNECT_SECONDS_MAX: Final = 5.0  # to the whole of the first snapshot
BACKOFF_SECONDS_MIN: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 15.0  # at most 11 connections in any minute, jitter included (L5)
BACKOFF_RESET_SECONDS: Final = 60.0  # a connection that lived this long was a good one; less would let one flap
STATS_SECONDS: Final = 1.0  # between two polls of mark and index
BALANCE_SECONDS: Final = 10.0
LISTING_SECONDS: Final = 60.0  # between two reads of the listing: bands move with the index, fees with our volume
LISTING_WAITING_SECONDS: Final = 5.0  # ... while a market is halted or outside its band: the listing says when not
READ_SECONDS_MAX: Final = 3.0  # one poll
REASON_CHARACTERS_MAX: Final = 300  # of why a poll failed, for the log
FAILURE_AGAIN_SECONDS: Final = 600.0  # after so long without it the same failure is a new one, and is told again

Row = TypeVar("Row")


class Door(Protocol):
    """Where one connection's facts go."""

    def deliver(self, event: Event) -> None:
        """Take a fact. May raise StreamBroken, which ends the connection."""


@attrs.define
class Inlet:
    """The one door for facts while quoting: engine, then switch, then the quoter's wake-up, without an await."""

    engine: Engine
    switch: Switch
    recorder: Recorder
    now: Callable[[], float]  # seconds of CLOCK_BOOTTIME
    wake: Callable[[], None]
    leave: Callable[[Trip], None] = lambda _trip: None  # for a reason that ends the run
    unsteady: Callable[[], tuple[Reason, str] | None] = lambda: None  # why nothing may be taken for fresh

    def deliver(self, event: Event) -> None:
        """Book a fact and pull quotes if it asks for that. Raises StreamBroken for an impossible book."""
        now = self.now()
        trip = self.engine.apply(event, now)
        if trip is not None:
            self.pull(trip)
        if not isinstance(event, StreamHeard):
            self.wake()
        self.recorder.after(event, trip)

    def pull(self, trip: Trip) -> None:
        """Pull, and leave where the reason ends the run. Nothing comes before the cancel-all."""
        self.switch.trip(trip)
        if not trip.reason.recoverable:
            self.leave(trip)

    def watch(self) -> bool:
        """Look at the clocks, and let the engine; say whether quotes are being pulled for what was seen.

        After a pause they are pulled whatever rests: what waited in the sockets meanwhile looks fresh and is not.
        """
        seen = self.unsteady()
        trip = self.engine.trip(*seen, exposed=True) if seen is not None else self.engine.watch(self.now())
        if trip is None:
            return False
        self.pull(trip)
        self.recorder.tripped(trip)
        return True

    def pull_for(self, reason: Reason, detail: str) -> None:
        """Pull for a reason that no fact carries, if anything rests."""
        trip = self.engine.trip(reason, detail)
        if trip is not None:
            self.pull(trip)
            self.recorder.tripped(trip)


@attrs.define
class Backoff:
    """Pauses between connections: exponential, capped, jittered; short again after a good connection."""

    random: random.Random
    pause_seconds: float = 0.0

    def next_pause(self, lived_seconds: float) -> float:
        """Seconds to wait before the next connection; jitter takes up to half of it off."""
        if lived_seconds >= BACKOFF_RESET_SECONDS:
            self.pause_seconds = 0.0
        self.pause_seconds = min(max(BACKOFF_SECONDS_MIN, self.pause_seconds * 2), BACKOFF_SECONDS_MAX)
        return self.pause_seconds * (0.5 + self.random.random() / 2)


@attrs.define
class Streams:
    """The event streams that are open, by market: opened with one key, they are opened anew for another."""

    scopes: dict[str, trio.CancelScope] = attrs.field(factory=dict)

    @contextmanager
    def open(self, market_id: str) -> Iterator[trio.CancelScope]:
        """Around one connection; it is left when `reopen` is called."""
        with trio.CancelScope() as scope:
            self.scopes[market_id] = scope
            try:
                yield scope
            finally:
                del self.scopes[market_id]

    def reopen(self) -> None:
        """Leave every connection; each is made anew at once. Whoever calls says StreamLost."""
        for scope in self.scopes.values():
            scope.cancel(reason="the key is another one")


async def run_market_stream(
    client: Client,
    spec: MarketSpec,
    inlet: Inlet,
    rng: random.Random,
    silent_seconds_max: float,
    streams: Streams | None = None,
) -> NoReturn:
    """Keep one market's event stream: book, our fills, our positions. It is among `streams`, to be opened anew."""
    backoff, streams = Backoff(rng), Streams() if streams is None else streams
    while True:
        began = trio.current_time()
        params = stream_params(spec.market_id)
        with streams.open(spec.market_id) as scope:
            try:
                await follow_market(client, params, MarketStream(spec), inlet, silent_seconds_max)
            except StreamBroken as broken:
                inlet.deliver(StreamLost(spec.market_id, broken.fault, broken.detail))
        if scope.cancelled_caught:
            continue
        await trio.sleep(backoff.next_pause(trio.current_time() - began))


def stream_params(market_id: str) -> dict[str, str]:
    """What is asked of a market's event stream: the documented depth, at its fastest cadence."""
    return {"marketId": market_id, "depth": "25", "intervalMs": str(ocx.EVENTS_INTERVAL_MS_MIN)}


async def follow_market(
    client: Client, params: Mapping[str, str], stream: MarketStream, inlet: Door, silent_seconds_max: float
) -> NoReturn:
    """One connection, until it breaks. Raises StreamBroken, or Unauthorized."""
    with broken_if_silent(CONNECT_SECONDS_MAX) as scope:
        async with client.stream(ocx.STREAM_EVENTS, params) as source:
            if source.status in (401, 403):
                raise Unauthorized(source.status, "", f"the event stream of {params['marketId']} was refused")
            if source.status != 200:
                raise StreamBroken(StreamFault.CLOSED, f"answer {source.status}")
            try:
                while True:
                    data = await source.receive_some()
                    if not data:
                        raise StreamBroken(StreamFault.CLOSED, "the exchange ended the stream")
                    for event in stream.feed(data):  # bytes that make no whole one are no sign of life
                        scope.deadline = trio.current_time() + silent_seconds_max
                        inlet.deliver(event)
            except StreamBroken as broken:  # said before the connection is closed: that takes its time
                inlet.deliver(StreamLost(stream.spec.market_id, broken.fault, broken.detail))
                raise
    raise AssertionError("left a connection without a reason")


@contextmanager
def broken_if_silent(seconds: float) -> Iterator[trio.CancelScope]:
    """A deadline that its user moves on; running into it is StreamBroken(SILENT)."""
    with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
        yield scope
    if scope.cancelled_caught:
        raise StreamBroken(StreamFault.SILENT, "neither data nor heartbeat")


async def run_polls(client: Client, specs: Mapping[str, MarketSpec], inlet: Inlet) -> NoReturn:
    """Poll what no stream carries: mark and index, the balance, the listing. A failed poll is tried at the next turn.

    What goes stale for want of a poll stops quoting by its own age, not from here; why it failed is logged.
    """
    balance_at = listing_at = trio.current_time()
    failures = Failures(inlet.recorder)
    while True:
        began = trio.current_time()
        for market_id in specs:
            read, failed = partial(reads.market_stats, market_id=market_id), failures.of(ocx.MARKET_STATS, market_id)
            for row in await poll(client, ocx.MARKET_STATS, {"marketId": market_id}, read, failed):
                if row.market_id in specs:  # a site that ignores the parameter answers all markets
                    inlet.deliver(row)
        if began >= balance_at or inlet.engine.margin.read_due:
            balance_at = began + BALANCE_SECONDS
            for balance in await poll(client, ocx.BALANCES, None, balances, failures.of(ocx.BALANCES)):
                inlet.deliver(balance)
        markets = inlet.engine.markets.values()
        waiting = inlet.engine.listing_due or any(market.halted or market.outside_band for market in markets)
        if began >= listing_at + (LISTING_WAITING_SECONDS if waiting else LISTING_SECONDS):
            listing_at, inlet.engine.listing_due = began, False
            tiers = await poll(client, ocx.FEES, None, own_tier, failures.of(ocx.FEES), needed=False)
            relist = partial(relisted, specs=specs, tiers=tiers)
            for listed in await poll(client, ocx.MARKETS, None, relist, failures.of(ocx.MARKETS)):
                inlet.deliver(listed)
        await trio.sleep_until(began + STATS_SECONDS)


def balances(body: bytes) -> tuple[BalanceRead, ...]:
    return (reads.balance(body),)


def own_tier(body: bytes) -> tuple[tuple[Decimal, Decimal] | None]:
    """Our maker and taker fee in basis points; a None where the exchange does not say which tier is ours."""
    return (reads.fee_tier(body),)


def relisted(
    body: bytes, specs: Mapping[str, MarketSpec], tiers: Sequence[tuple[Decimal, Decimal] | None] = ()
) -> tuple[SpecRead | FeesRead, ...]:
    """Our markets as the listing has them now, and what they cost; `tiers` is empty where fees could not be read.

    Where no tier is ours the listing's own fees hold, as at a start; where it states none, those that were known.
    """
    rows = reads.markets(body)
    found: list[SpecRead | FeesRead] = []
    for market_id, spec in specs.items():
        if market_id not in rows:
            continue
        row = rows[market_id]
        listed = reads.market_spec(market_id, row, spec.maker_fee_bps, spec.taker_fee_bps)
        found.append(SpecRead(listed, reads.is_active(row)))
        for tier in tiers:
            maker, taker = tier or map(reads.optional_decimal, (row.maker_fee_bps, row.taker_fee_bps))
            if maker is not None and taker is not None:
                found.append(FeesRead(market_id, maker, taker))
    return tuple(found)


@attrs.define
class Failures:
    """What was told of polls that fail: of each kind the first, and each other reason, not the same every second."""

    recorder: Recorder
    last: dict[str, tuple[str, float]] = attrs.field(factory=dict)  # by kind: reason without figures, and when

    def of(self, path: str, market_id: str = "") -> Callable[[str], None]:
        """Whom to tell why a poll of this kind failed."""
        return partial(self.failed, f"{path} of {market_id}" if market_id else path)

    def failed(self, kind: str, reason: str) -> None:
        """Log it, unless that was the last that was told of this kind and it never stopped for long."""
        key, now = NUMBERS.sub("#", reason), trio.current_time()
        told, at = self.last.get(kind, ("", now))
        self.last[kind] = key, now
        if key != told or now - at > FAILURE_AGAIN_SECONDS:
            sentence = f"{kind} cannot be read: {reason}. It is tried again at each turn; this is told once."
            self.recorder.warning("read failed", sentence)


async def poll(
    client: Client,
    path: str,
    params: Mapping[str, str] | None,
    parse: Callable[[bytes], tuple[Row, ...]],
    failed: Callable[[str], None] = lambda _reason: None,
    *,
    needed: bool = True,
) -> tuple[Row, ...]:
    """One read; empty when it failed, and `failed` is told why. Raises Unauthorized where the run cannot do without."""
    reason = f"no answer within {READ_SECONDS_MAX:g} s"
    with trio.move_on_after(READ_SECONDS_MAX):
        try:
            answer = await client.get(path, params)
            if answer.status == 200:
                return parse(answer.body)
            refused = ocx.refusal(answer.status, answer.body, 0.0)
            if needed and isinstance(refused, Unauthorized):
                raise Unauthorized(answer.status, refused.code, f"{path} was refused")
            reason = f"answer {answer.status}"
        except (OutcomeUnknown, ValueError) as error:
            reason = str(error)[:REASON_CHARACTERS_MAX]
    failed(reason)
    return ()
