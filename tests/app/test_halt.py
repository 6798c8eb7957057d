"""The halt against a scripted exchange in virtual time: what it sent, when, and what it may claim afterwards.

Every judgement is made from the exchange's own log, never from what the halt says of itself.
"""

from __future__ import annotations

import builtins
import contextlib
import itertools
import json
import logging
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from maker.app import panic as room
from maker.app.config import load
from maker.app.halt import TAIL_SECONDS, HaltReport, Latched, Switch, halt, last_halt
from maker.app.panic import Panic
from maker.app.routes import Routes
from maker.app.startup import sweep
from maker.app.watches import PANIC, WITHIN_SECONDS
from maker.app.wiring import Route as Place
from maker.app.wiring import wire
from maker.desk.budget import RESERVE_CALLS, SCOPED_ORDERS_MAX, TAIL_CALLS, Budget
from maker.desk.deadman import Reason, Trip
from maker.edge.answer import Answer
from maker.edge.endpoint import resolve
from maker.edge.lane import Lane, LaneState
from maker.errors import OutcomeUnknown
from maker.wire import ocx
from tests.app.site import a_recorder
from tests.desk.scripted import BUDGET
from tests.support.wires import (
    MemoryConnection,
    ServerEnd,
    answer_bytes,
    cancelled_at_wait,
    loopback,
    play,
    read_request,
)

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

KEY = "ocx_sk_canary_0123456789"
HALT_SECONDS_MAX = 15.0
HEALED_AT = 120.0
SETTLE_SECONDS_MAX = 1.0
TAIL_SECONDS_MAX = 8.0
AT_ONCE = 0.05  # S10: the first byte of a cancel-all, plus at most one connect
BROKEN = Trip(Reason.STREAM_BROKEN, "BTC-PERP")
STOPPED = Trip(Reason.STOP_ASKED, "SIGTERM")
MARKETS = ("BTC-PERP", "ETH-PERP")
CANCEL_ALL = (
    b"POST /perps/orders/cancel-all HTTP/1.1\r\nhost: ocx.test\r\nx-api-key: " + KEY.encode() + b"\r\n"
    b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
)


# -- the exchange -------------------------------------------------------------------------------------------------


@attrs.define
class Request:
    """One request as the exchange saw it; times are of the virtual clock."""

    path: str
    lane: str
    began: float
    answered: float = float("inf")  # the last byte left
    scope: str = ""  # of a cancel: "" everything, a market, a clientOrderId, or "ladder" and a market
    status: int = 0
    listed: int | None = None  # open orders in the answer to a read


@attrs.define(eq=False)
class Exchange:
    """Rests orders, cancels them, lists them; each answer may be scripted, the usual one follows.

    An order rests on BTC-PERP, or on the market after its @.
    """

    resting: list[str] = attrs.field(factory=list)
    log: list[Request] = attrs.field(factory=list)
    quote_ids: list[str] = attrs.field(factory=list)
    cancels: deque[Behaviour] = attrs.field(factory=deque)
    reads: deque[Behaviour] = attrs.field(factory=deque)
    always_cancel: Behaviour | None = None  # what follows the scripted ones, where not the usual
    always_read: Behaviour | None = None
    by_market: Behaviour | None = None  # and of the other routes
    by_order: Behaviour | None = None
    by_ladder: Behaviour | None = None

    async def serve(self, lane: str, stream: trio.abc.Stream) -> None:
        while True:
            raw = await read_request(stream)
            method, path = (part.decode() for part in raw.split(b" ", 2)[:2])
            assert f"x-api-key: {KEY}".encode() in raw
            request = Request(path, lane, trio.current_time())
            self.log.append(request)
            script: deque[Behaviour] = deque()
            match method, path, json.loads(raw.partition(b"\r\n\r\n")[2] or b"null"):
                case "GET", ocx.ORDERS, None:
                    script, usual = self.reads, self.always_read or listing
                case "POST", ocx.CANCEL_ALL, {"marketId": market, **rest} if not rest:
                    request.scope, usual = market, self.by_market or applied
                case "POST", ocx.CANCEL_ALL, {"clientOrderId": name, **rest} if not rest:
                    request.scope, usual = name, self.by_order or applied
                case "POST", ocx.QUOTES_BULK, {"marketId": market, "cancelAll": True, "quotes": [], "quoteId": quote}:
                    assert quote not in self.quote_ids, "S12: a quoteId is never sent twice"
                    self.quote_ids.append(quote)
                    request.scope, usual = f"ladder {market}", self.by_ladder or applied
                case _:
                    assert raw == CANCEL_ALL
                    script, usual = self.cancels, self.always_cancel or applied
            await (script.popleft() if script else usual)(self, request, stream)

    async def answer(self, request: Request, stream: trio.abc.Stream, status: int, body: bytes) -> None:
        request.status = status
        await stream.send_all(answer_bytes(status, body))
        request.answered = trio.current_time()

    def take(self, scope: str) -> None:
        """Cancel what a scope names."""
        market = scope.removeprefix("ladder ")
        if scope:
            self.resting[:] = [name for name in self.resting if f"mk-{name}" != scope and market_of(name) != market]
        else:
            self.resting.clear()

    def list_body(self) -> bytes:
        rows = ",".join(
            f'{{"id":"{name}","marketId":"{market_of(name)}","clientOrderId":"mk-{name}","side":"buy","price":"1","quantity":"1",'
            f'"remainingQuantity":"1","status":"open"}}'
            for name in self.resting
        )
        return f'{{"orders":[{rows}]}}'.encode()

    @property
    def cancel_alls(self) -> list[Request]:
        """The unscoped ones."""
        return [request for request in self.log if request.path == ocx.CANCEL_ALL and not request.scope]

    @property
    def order_path(self) -> list[Request]:
        """All that costs a request."""
        return [request for request in self.log if request.path != ocx.ORDERS]

    @property
    def scopes(self) -> list[str]:
        """What each cancel named, in the order of sending; the repeats of one in a row once."""
        return [scope for scope, _ in itertools.groupby(request.scope for request in self.order_path)]

    @property
    def began_at(self) -> list[float]:
        """When each cancel-all began, to a millisecond."""
        return [round(request.began, 3) for request in self.cancel_alls]

    @property
    def order_reads(self) -> list[Request]:
        return [request for request in self.log if request.path == ocx.ORDERS]


def market_of(name: str) -> str:
    return name.partition("@")[2] or "BTC-PERP"


Behaviour = Callable[[Exchange, Request, trio.abc.Stream], Awaitable[None]]


async def applied(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
    exchange.take(request.scope)
    await exchange.answer(request, stream, 200, b'{"cancelled":1}')


async def listing(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
    request.listed = len(exchange.resting)
    await exchange.answer(request, stream, 200, exchange.list_body())


async def ineffective(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
    """Says yes, does nothing."""
    await exchange.answer(request, stream, 200, b'{"cancelled":0}')


async def silent(_exchange: Exchange, _request: Request, _stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


async def reset(_exchange: Exchange, _request: Request, stream: trio.abc.Stream) -> None:
    assert isinstance(stream, ServerEnd)
    stream.reset()
    await trio.sleep_forever()


async def applied_and_reset(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
    exchange.take(request.scope)
    await reset(exchange, request, stream)


async def ended(_exchange: Exchange, _request: Request, stream: trio.abc.Stream) -> None:
    await stream.aclose()
    await trio.sleep_forever()


async def dripping(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
    """H10: applied, but the answer comes a byte every 200 ms."""
    if request.path != ocx.ORDERS:
        exchange.take(request.scope)
    for byte in answer_bytes(200, b'{"cancelled":1}'):
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.2)


def bytes_of(raw: bytes) -> Behaviour:
    async def behave(_exchange: Exchange, _request: Request, stream: trio.abc.Stream) -> None:
        await stream.send_all(raw)

    return behave


def refusing(status: int, body: bytes = b'{"error":"X","message":"no"}') -> Behaviour:
    async def behave(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
        await exchange.answer(request, stream, status, body)

    return behave


def throttling(seconds: float, field: str = "Retry-After") -> Behaviour:
    async def behave(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
        request.status = 429
        body = b'{"error":"RATE_LIMITED","retryAfterMs":%d}' % (seconds * 1000) if field == "retryAfterMs" else b""
        await stream.send_all(answer_bytes(429, body, *([f"Retry-After: {seconds:.0f}"] if not body else [])))
        request.answered = trio.current_time()

    return behave


def after(seconds: float, then: Behaviour) -> Behaviour:
    async def behave(exchange: Exchange, request: Request, stream: trio.abc.Stream) -> None:
        await trio.sleep(seconds)
        await then(exchange, request, stream)

    return behave


@attrs.define(eq=False)
class Route:
    """How one lane gets there."""

    name: str
    exchange: Exchange
    nursery: trio.Nursery
    down: bool = False  # refuses
    dial_seconds: float = 0.0
    connections: list[MemoryConnection] = attrs.field(factory=list)

    async def dial(self) -> MemoryConnection:
        await trio.sleep(self.dial_seconds)
        if self.down:
            raise ConnectionRefusedError(111, "Connection refused")
        connection = MemoryConnection()
        self.connections.append(connection)
        self.nursery.start_soon(play, partial(self.exchange.serve, self.name), connection.server)
        return connection

    @property
    def sent(self) -> bytes:
        return b"".join(bytes(connection.sent) for connection in self.connections)


@attrs.define(eq=False)
class World:
    exchange: Exchange
    routes: tuple[Route, Route]
    panic: Panic
    switch: Switch
    nursery: trio.Nursery
    answers: list[Answer] = attrs.field(factory=list)

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        return self.panic.lanes

    async def warm(self) -> None:
        for lane in self.lanes:
            await lane.connect()

    async def occupy(self, lane: Lane) -> None:
        """Have a read under way on a lane that is never answered."""
        self.exchange.reads.append(silent)
        self.nursery.start_soon(hanging_read, lane)
        await trio.testing.wait_all_tasks_blocked()
        assert lane.state is LaneState.SENT

    async def hang_warm_read(self) -> None:
        """Keep the lanes warm; the first such read, on the first lane, is never answered."""
        self.exchange.reads.append(silent)
        self.nursery.start_soon(self.panic.keep_warm)
        await trio.testing.wait_all_tasks_blocked()
        assert self.lanes[0].state is LaneState.SENT

    def lose_a_write(self) -> None:
        """A write was begun at this moment, and no answer came."""
        with self.switch.writing(1.0):
            self.switch.answer_lost()

    async def halt(self, tail_seconds_max: float = TAIL_SECONDS_MAX) -> HaltReport:
        """As every way out does it."""
        began, report = trio.current_time(), HaltReport()
        await last_halt(self.switch, tail_seconds_max, HALT_SECONDS_MAX, report)
        assert trio.current_time() - began < HALT_SECONDS_MAX + 0.1, "H1: a shield without a deadline"
        return report

    async def heal(self) -> None:
        """After all that is scripted here: so that a halt without a deadline ends, and fails its test."""
        await trio.sleep(HEALED_AT)
        exchange = self.exchange
        exchange.always_cancel = exchange.by_market = exchange.by_order = exchange.by_ladder = None
        exchange.always_read = None
        exchange.cancels.clear()
        exchange.reads.clear()
        for route in self.routes:
            route.down = False


async def hanging_read(lane: Lane) -> None:
    with trio.move_on_after(room.WARM_READ_SECONDS_MAX), contextlib.suppress(OutcomeUnknown):
        await lane.call("GET", ocx.ORDERS)


@contextlib.asynccontextmanager
async def a_world(*resting: str, warm: bool = True) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        exchange = Exchange(list(resting))
        routes = (Route("one", exchange, nursery), Route("two", exchange, nursery))
        first, second = (
            Lane(route.name, route.dial, "ocx.test", {"x-api-key": KEY}, clock=trio.current_time) for route in routes
        )
        quote_ids = (f"mk-q{number}" for number in itertools.count())
        others = Routes(first.build, MARKETS, new_quote_id=partial(next, quote_ids))
        panic = Panic((first, second), budget=Budget(BUDGET), clock=trio.current_time, routes=others)
        switch = Switch(panic, SETTLE_SECONDS_MAX, clock=trio.current_time)
        world = World(exchange, routes, panic, switch, nursery)
        panic.on_answer = world.answers.append
        nursery.start_soon(world.heal)
        if warm:
            await world.warm()
        yield world
        panic.close()
        nursery.cancel_scope.cancel()
    assert all(connection.closed for route in routes for connection in route.connections)


def proved_empty(exchange: Exchange, writes_ended_at: float = 0.0) -> bool:
    """S3: an acknowledged cancel-all begun after the last write, then two empty reads 250 ms apart, and now nothing."""
    acknowledged = [
        c
        for c in exchange.order_path
        if 200 <= c.status < 300 and c.answered < float("inf") and c.began >= writes_ended_at
    ]
    answered = [read for read in exchange.order_reads if read.listed is not None and read.answered < float("inf")]
    if not acknowledged or len(answered) < 2:
        return False
    one, two = answered[-2:]
    return (
        one.listed == two.listed == 0
        and two.began - one.answered >= 0.25 - 1e-9
        and one.began >= max(cancel.answered for cancel in acknowledged)
        and not exchange.resting
    )


# -- the trip -----------------------------------------------------------------------------------------------------


async def test_fire_sends_without_an_await(autojump_clock: Clock) -> None:
    """The bytes are on the first warm lane when fire returns, prebuilt, whole, and nowhere else."""
    async with a_world("a") as world:
        assert world.panic.request == CANCEL_ALL
        assert world.panic.fire() is True
        assert (world.routes[0].sent, world.routes[1].sent) == (CANCEL_ALL, b"")
        assert world.panic.fired is world.lanes[0]
        assert world.panic.cancels_sent == 1
        assert world.exchange.log == []  # nobody else has run yet


async def test_fire_takes_the_other_lane_when_the_first_is_busy(autojump_clock: Clock) -> None:
    async with a_world() as world:
        await world.occupy(world.lanes[0])
        assert world.panic.fire() is True
        assert world.routes[1].sent == CANCEL_ALL
        assert world.panic.fired is world.lanes[1]


@pytest.mark.parametrize("how", ["ended", "reset", "closed", "takes nothing"])
async def test_fire_takes_the_other_lane_when_the_first_is_dead(how: str, autojump_clock: Clock) -> None:
    """H9: a keep-alive connection the exchange has closed is no warm lane."""
    async with a_world() as world:
        connection = world.routes[0].connections[0]
        match how:
            case "ended":
                connection.ended = True
            case "reset":
                connection.server.reset()
            case "closed":
                world.lanes[0].close()
            case _:
                connection.takes = 0
        assert world.panic.fire() is True
        assert (world.routes[0].sent, world.routes[1].sent) == (b"", CANCEL_ALL)


async def test_fire_is_false_when_no_lane_is_warm_and_the_halt_dials(autojump_clock: Clock) -> None:
    """S10: at most one connect later the cancel-all is there."""
    async with a_world("a", warm=False) as world:
        world.routes[0].dial_seconds = 0.03
        assert world.panic.fire() is False
        assert (world.panic.fired, world.panic.cancels_sent) == (None, 0)
        world.switch.trip(BROKEN)
        assert world.switch.tripped is BROKEN
        report = await world.halt()
        assert world.exchange.began_at == [0.03]
        assert report.verified_empty
        assert proved_empty(world.exchange)


async def test_a_trip_latches_fires_and_wakes_at_once(autojump_clock: Clock) -> None:
    async with a_world("a") as world:
        woken: list[Trip | None] = []
        world.switch.wake = lambda: woken.append(world.switch.tripped)
        await trio.sleep(3.5)
        world.switch.trip(BROKEN)
        assert world.routes[0].sent == CANCEL_ALL
        assert woken == [BROKEN]
        assert (world.switch.trips, world.switch.fired_at) == (1, trio.current_time())


async def test_the_latch_is_set_before_the_bytes_leave(monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock) -> None:
    """S2: should sending fail in any way, no write begins all the same."""
    async with a_world() as world:

        def failing() -> bool:
            assert world.switch.tripped is BROKEN
            raise RuntimeError

        monkeypatch.setattr(Panic, "fire", lambda _panic: failing())
        with pytest.raises(RuntimeError):
            world.switch.trip(BROKEN)
        assert world.switch.tripped is BROKEN


async def test_the_first_trip_wins(autojump_clock: Clock) -> None:
    """Later ones neither fire again nor change what is reported."""
    async with a_world() as world:
        world.switch.trip(BROKEN)
        first = world.switch.fired_at
        await trio.sleep(1)
        world.switch.trip(Trip(Reason.REFERENCE_STALE, ""))
        assert world.switch.tripped is BROKEN
        assert (world.switch.trips, world.switch.fired_at) == (1, first)
        assert world.exchange.began_at == [0.0]


async def test_a_trip_that_ends_the_run_is_never_rearmed(autojump_clock: Clock) -> None:
    """S2, S21: asked to stop while a recoverable pull was going on, no write may begin when that pull is over."""
    async with a_world() as world:
        world.switch.trip(BROKEN)
        world.switch.trip(STOPPED)
        assert (await world.halt()).verified_empty
        world.switch.rearm()
        with pytest.raises(Latched), world.switch.writing(1.0):
            pass


# -- the latch ----------------------------------------------------------------------------------------------------


async def test_no_write_begins_after_a_trip(autojump_clock: Clock) -> None:
    async with a_world() as world:
        world.switch.trip(BROKEN)
        ran = False
        with pytest.raises(Latched, match="event stream broke"), world.switch.writing(1.0):
            ran = True
        assert not ran
        assert world.switch.write_scope is None
        assert not world.switch.write_over_trip


async def test_writes_begin_again_only_when_rearmed(autojump_clock: Clock) -> None:
    """And the traces of the trip are gone: the next halt runs no tail of this one."""
    async with a_world() as world:
        with world.switch.writing(1.0):
            world.switch.trip(BROKEN)
            world.switch.answer_lost()
        await world.halt()
        with pytest.raises(Latched), world.switch.writing(1.0):
            pass
        world.switch.rearm()
        with world.switch.writing(1.0) as scope:
            assert world.switch.write_scope is scope
        assert not world.switch.write_over_trip
        world.switch.trip(STOPPED)
        assert world.switch.trips == 2
        assert (await world.halt()).seconds < 0.5


async def write(world: World, seconds: float, seconds_max: float) -> float:
    """One write that would take `seconds`; return when it was over."""
    with world.switch.writing(seconds_max):
        await trio.sleep(seconds)
    return trio.current_time()


@pytest.mark.parametrize(
    ("trip_at", "over_at"),
    [(0.5, 1.5), (2.5, 3.0), (None, 3.0)],
    ids=["shortened to the settle time", "its own deadline was nearer", "no trip"],
)
async def test_a_trip_shortens_the_write_under_way(
    trip_at: float | None, over_at: float, autojump_clock: Clock
) -> None:
    async with a_world() as world:
        if trip_at is not None:
            world.nursery.start_soon(trip_later, world, trip_at)
        assert await write(world, 100.0, 3.0) == pytest.approx(over_at)
        assert world.switch.write_over_trip is (trip_at is not None)
        assert world.switch.write_scope is None


async def trip_later(world: World, seconds: float) -> None:
    await trio.sleep(seconds)
    world.switch.trip(BROKEN)


async def test_a_write_is_given_up_never_abandoned(autojump_clock: Clock) -> None:
    """Cancelled from outside it goes on to its own end; only its deadline cuts it short."""
    async with a_world() as world:
        over_at = 0.0
        with trio.CancelScope() as scope:
            scope.cancel()
            over_at = await write(world, 0.7, 3.0)
        assert over_at == pytest.approx(0.7)


async def test_a_write_that_fails_leaves_no_scope_behind(autojump_clock: Clock) -> None:
    async with a_world() as world:
        with pytest.raises(KeyError), world.switch.writing(1.0):
            raise KeyError
        world.switch.trip(BROKEN)
        assert not world.switch.write_over_trip


# -- cancel-all acknowledged --------------------------------------------------------------------------------------


async def test_a_halt_in_a_healthy_world(autojump_clock: Clock) -> None:
    """L3: one cancel-all, at once; two reads; well under two seconds; every answer seen."""
    async with a_world("a", "b") as world:
        world.switch.trip(STOPPED)
        report = await world.halt()
        assert attrs.asdict(report) == {
            "verified_empty": True,
            "open_orders": 0,
            "cancels_sent": 1,
            "seconds": pytest.approx(0.25),
            "unknown_write_at": None,
        }
        assert world.exchange.began_at == [0.0]
        assert proved_empty(world.exchange)
        assert [answer.status for answer in world.answers] == [200]


async def test_a_halt_without_a_trip_sends_all_the_same(autojump_clock: Clock) -> None:
    async with a_world("a") as world:
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at == [0.0]


@pytest.mark.parametrize("busy", [False, True], ids=["fired on the first", "fired on the second"])
async def test_the_hedge(busy: bool, autojump_clock: Clock) -> None:
    """H10: no answer for half a second: the same on the other lane; its acknowledgement is enough."""
    async with a_world("a") as world:
        if busy:
            world.routes[0].connections[0].ended = True
        world.exchange.cancels.append(silent)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert world.exchange.began_at == [0.0, 0.5]
        lanes = [request.lane for request in world.exchange.cancel_alls]
        assert lanes == (["two", "one"] if busy else ["one", "two"])
        assert report.verified_empty
        assert proved_empty(world.exchange)


async def test_no_hedge_for_an_answer_in_time(autojump_clock: Clock) -> None:
    async with a_world("a") as world:
        world.exchange.cancels.append(after(0.49, applied))
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at == [0.0]


async def test_the_slow_first_may_still_win(autojump_clock: Clock) -> None:
    """The hedge hangs, the fired one is answered after all: that is an acknowledgement."""
    async with a_world("a") as world:
        world.exchange.cancels.extend([after(0.9, applied), silent])
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert world.exchange.began_at == [0.0, 0.5]
        assert report.seconds == pytest.approx(0.9 + 0.25)


ANSWERS: dict[str, Behaviour] = {
    "429": refusing(429, b'{"error":"RATE_LIMITED","retryAfterMs":900}'),
    "401": refusing(401),
    "403": refusing(403, b""),
    "409": refusing(409),
    "500": refusing(500),
    "502 page": refusing(502, b"<html>Bad Gateway</html>"),
    "301": refusing(301, b""),
    "reset": reset,
    "applied, then reset": applied_and_reset,
    "ended": ended,
    "silent": silent,
    "dripping": dripping,
    "not HTTP": bytes_of(b"\0\1\2 garbage \r\n\r\n"),
    "cut short": bytes_of(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "endless head": bytes_of(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "early hints for ever": bytes_of(b"HTTP/1.1 103 Early\r\n\r\n" * 50),
}


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("name", ANSWERS)
async def test_any_answer_to_the_cancel_all_is_survived(name: str, times: int, autojump_clock: Clock) -> None:
    """F26, F27, F29, F30, F31: refused, broken, hung, so many times over: tried again until acknowledged."""
    async with a_world("a") as world:
        world.exchange.cancels.extend([ANSWERS[name]] * times)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert report.verified_empty, report
        assert proved_empty(world.exchange)
        assert len(world.exchange.cancel_alls) >= min(times, 2)
        assert report.cancels_sent == len(world.exchange.order_path)


@pytest.mark.parametrize("name", ANSWERS)
async def test_only_a_success_acknowledges(name: str, autojump_clock: Clock) -> None:
    """S3: also where nothing rests and the reads alone would look clean."""
    async with a_world() as world:
        world.exchange.cancels.extend([ANSWERS[name]] * 2)
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert proved_empty(world.exchange)


async def test_one_attempt_has_an_end(autojump_clock: Clock) -> None:
    """Both lanes hang: the next round begins after the attempts' own time, not with the halt's."""
    async with a_world("a") as world:
        world.exchange.cancels.extend([silent, silent])
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at == [0.0, 0.5, pytest.approx(3.6)]


async def test_pauses_between_rounds_grow_to_a_limit(autojump_clock: Clock) -> None:
    """A storm of refusals is not answered by one."""
    async with a_world("a") as world:
        world.exchange.always_cancel = world.exchange.by_market = refusing(500)
        world.exchange.by_order = world.exchange.by_ladder = refusing(500)
        await world.halt()
        began = world.exchange.began_at
        pauses = [round(then - now, 3) for now, then in zip(began[1::2], began[2::2], strict=False)]
        routes = 0.3  # after each second round: a tenth after each of the three
        assert pauses[:6] == [0.1, 0.2 + routes, 0.4, 0.8 + routes, 1.6, 2.0 + routes]
        assert set(pauses[5:]) == {2.0, 2.0 + routes}


@pytest.mark.parametrize("how", [reset, ended, refusing(500)], ids=["reset", "ended", "500"])
async def test_a_fired_cancel_all_that_fails_is_repeated_at_once(how: Behaviour, autojump_clock: Clock) -> None:
    """H9: a recycled keep-alive connection costs a moment, not the time of a hedge."""
    async with a_world("a") as world:
        world.exchange.cancels.append(how)
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at[1] <= 0.1 + AT_ONCE


async def test_a_refused_route_does_not_hold_up_the_other(autojump_clock: Clock) -> None:
    """S10: the first lane cannot connect, the second can: it does at once."""
    async with a_world("a", warm=False) as world:
        world.routes[0].down = True
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at[0] <= AT_ONCE


async def test_a_warm_read_under_way_does_not_hold_up_a_halt(autojump_clock: Clock) -> None:
    """S10: no queueing behind another request. The one lane reads, the other is cold: it dials at once."""
    async with a_world("a", warm=False) as world:
        await world.lanes[0].connect()
        await world.hang_warm_read()
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at[0] <= AT_ONCE


async def test_a_warm_read_under_way_does_not_cost_the_hedge(autojump_clock: Clock) -> None:
    """H10: the exchange answers nothing; the read that keeps the other lane warm ends within its second."""
    async with a_world("a") as world:
        await world.hang_warm_read()
        world.exchange.cancels.append(silent)
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at[1] <= room.WARM_READ_SECONDS_MAX + 0.1 + AT_ONCE


# -- the other routes ---------------------------------------------------------------------------------------------


async def never(_exchange: Exchange, _request: Request, stream: trio.abc.Stream) -> None:
    """An answer of a byte each 200 ms to what is not done: it is whole long after everybody has given up."""
    for byte in answer_bytes(200, b"{}"):
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.2)


TROUBLES: dict[str, Behaviour] = {
    "400": refusing(400),
    "401": refusing(401),
    "403": refusing(403),
    "409": refusing(409),
    "500": refusing(500),
    "503 page": refusing(503, b"<html>Unavailable</html>"),
    "301": refusing(301, b""),
    "reset": reset,
    "silent": silent,
    "dripping": never,
    "not HTTP": bytes_of(b"<html>\r\n\r\n"),
}
LEAVES_A_ROUTE = set(TROUBLES) - {"400", "409"}  # a plain refusal of one request says nothing of the next


@pytest.mark.parametrize("broken", [1, 2, 3], ids=["unscoped", "by market too", "by order too"])
@pytest.mark.parametrize("name", TROUBLES)
async def test_a_cancel_all_that_is_never_acknowledged_has_other_routes(
    name: str, broken: int, autojump_clock: Clock
) -> None:
    """H26, H27, H10: by market, then by name, then an empty ladder, within one halt's time whatever the trouble."""
    async with a_world("a", "b@ETH-PERP") as world:
        exchange, trouble = world.exchange, TROUBLES[name]
        exchange.always_cancel = trouble
        expected = ["", "BTC-PERP", "ETH-PERP"]
        if broken > 1:
            exchange.by_market = trouble
            expected = ["", "BTC-PERP", *([] if name in LEAVES_A_ROUTE else ["ETH-PERP"]), "mk-a", "mk-b@ETH-PERP"]
        if broken > 2:
            exchange.by_order = trouble
            expected = [one for one in expected if name not in LEAVES_A_ROUTE or one != "mk-b@ETH-PERP"]
            expected += ["ladder BTC-PERP", "ladder ETH-PERP"]
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert exchange.scopes == expected
        assert len(exchange.cancel_alls) == 2 * room.UNSCOPED_ROUNDS
        assert report.verified_empty
        assert proved_empty(exchange)


@pytest.mark.parametrize("back_at", [0.31 + 0.1 * tenths for tenths in range(40)])
async def test_what_could_not_be_sent_says_nothing_against_the_unscoped_cancel_all(
    back_at: float, autojump_clock: Clock
) -> None:
    """Storm seed 4808: nothing could be dialled for seconds; orders were then cancelled singly, never everything."""
    async with a_world("a", "b", warm=False) as world:
        for route in world.routes:
            route.down = True

        async def come_back() -> None:
            await trio.sleep(back_at)
            for route in world.routes:
                route.down = False

        world.nursery.start_soon(come_back)
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.scopes == [""]
        assert proved_empty(world.exchange)


async def test_scoped_cancels_are_one_attempt_each_unless_nothing_is_answered(autojump_clock: Clock) -> None:
    """H26: a refusal is not asked for twice; silence is hedged on the other lane."""
    async with a_world("a") as world:
        exchange = world.exchange
        exchange.always_cancel, exchange.by_market, exchange.by_order = refusing(500), refusing(404), silent
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        by_market = [request for request in exchange.order_path if request.scope in MARKETS]
        assert [request.scope for request in by_market] == list(MARKETS)
        first, second = (request for request in exchange.order_path if request.scope == "mk-a")
        assert first.lane != second.lane
        assert second.began - first.began == pytest.approx(room.HEDGE_SECONDS)


async def test_a_cancel_all_acknowledged_in_vain_has_other_routes(autojump_clock: Clock) -> None:
    """F30: yes, says the exchange, and the orders rest. Unscoped stays first in every round."""
    async with a_world("a", "b@ETH-PERP") as world:
        exchange = world.exchange
        exchange.always_cancel = exchange.by_market = exchange.by_order = ineffective
        world.switch.trip(BROKEN)
        report = await world.halt()
        by_name = ["mk-a", "mk-b@ETH-PERP"]
        assert exchange.scopes == ["", *MARKETS, *by_name, *(f"ladder {market}" for market in MARKETS)]
        assert [request.scope for request in exchange.order_path[:3]] == ["", "", ""]
        assert report.verified_empty
        assert proved_empty(exchange)


async def test_the_first_route_that_empties_the_book_is_the_last_one_tried(autojump_clock: Clock) -> None:
    async with a_world("a") as world:
        world.exchange.always_cancel = ineffective
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.scopes == ["", *MARKETS]


async def test_orders_on_a_market_that_is_not_ours_are_reached(autojump_clock: Clock) -> None:
    """The read back names them: by market in the round after, by name at once."""
    async with a_world("x@SOL-PERP") as world:
        world.exchange.always_cancel = refusing(500)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert report.verified_empty
        assert world.exchange.scopes == ["", *MARKETS, "mk-x@SOL-PERP"]


async def test_what_may_rest_is_named_when_no_read_tells(autojump_clock: Clock) -> None:
    """And is no proof: it takes an acknowledged route that covers everything, and the reads."""
    async with a_world("a") as world:
        exchange = world.exchange
        world.panic.routes.may_rest = lambda: ["mk-a", "mk-gone"]
        exchange.always_cancel = exchange.by_market = refusing(500)
        exchange.reads.extend([refusing(500)] * 4)
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert exchange.scopes == ["", "BTC-PERP", "mk-a", "mk-gone", "ladder BTC-PERP", "ladder ETH-PERP"]


async def test_when_every_route_is_closed_the_report_says_what_rests(autojump_clock: Clock) -> None:
    """Bounded, unscoped first in each round, and no claim."""
    async with a_world("a") as world:
        exchange = world.exchange
        exchange.always_cancel = exchange.by_market = exchange.by_order = exchange.by_ladder = refusing(503)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert (report.verified_empty, report.open_orders) == (False, 1)
        assert exchange.scopes[:8] == ["", "BTC-PERP", "mk-a", "ladder BTC-PERP"] * 2
        assert len(exchange.order_path) <= 40


async def test_a_route_that_worked_comes_next_in_the_tail(autojump_clock: Clock) -> None:
    """Later cancels of the same halt try the unscoped one once, and then do not wait for what is known to fail."""
    async with a_world("a") as world:
        world.exchange.always_cancel = refusing(500)
        world.lose_a_write()
        world.switch.trip(BROKEN)
        assert (await world.halt(2.0)).verified_empty
        assert world.exchange.scopes == ["", *MARKETS] * 4  # 0, 0.25, 1 and 2 s
        unscoped = [len(list(group)) for scope, group in itertools.groupby(r.scope for r in world.exchange.order_path) if not scope]  # fmt: skip  # noqa: E501
        assert unscoped == [4, 2, 2, 2]


async def test_a_forbidden_cancel_all_comes_again_by_fresh_connections_and_never_spins(autojump_clock: Clock) -> None:
    """H27, F27: the other lane, then new connections, then the other routes, with pauses."""
    async with a_world("a") as world:
        exchange = world.exchange
        exchange.always_cancel = exchange.by_market = exchange.by_order = exchange.by_ladder = refusing(401)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert not report.verified_empty
        assert [request.lane for request in exchange.cancel_alls[:4]] == ["one", "two"] * 2
        assert all(len(route.connections) >= 4 for route in world.routes)
        for second in range(int(HALT_SECONDS_MAX)):
            assert sum(second <= request.began < second + 1 for request in exchange.order_path) <= 12
        assert len(exchange.order_path) <= 40


# -- 429: only waiting helps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["Retry-After", "retryAfterMs"])
async def test_a_throttled_cancel_all_waits_as_told(field: str, autojump_clock: Clock) -> None:
    """H26, S9: no hedge, no scoped route and no second try before its time; quoting is held back as well."""
    async with a_world("a") as world:
        world.exchange.cancels.extend([throttling(2.0, field)] * 3)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert world.exchange.began_at == [0, 2, 4, 6]
        assert world.exchange.scopes == [""]
        assert report.verified_empty
        assert world.panic.budget is not None
        assert (world.panic.budget.throttles, world.panic.budget.throttled_until) == (3, 6.0)


async def test_no_scoped_route_is_spent_on_a_429(autojump_clock: Clock) -> None:
    """H26: however often it is throttled."""
    async with a_world("a") as world:
        world.exchange.always_cancel = throttling(0.5, "retryAfterMs")
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert not report.verified_empty
        assert world.exchange.scopes == [""]
        assert len(world.exchange.order_path) <= HALT_SECONDS_MAX / 0.5


async def test_a_429_on_a_scoped_route_ends_the_round(autojump_clock: Clock) -> None:
    """H26: wait as told, then everything again, unscoped first."""
    async with a_world("a") as world:
        world.exchange.cancels.extend([refusing(500)] * 4)
        world.exchange.by_market = throttling(3.0)
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.scopes == ["", "BTC-PERP", ""]
        assert world.exchange.began_at[-1] == pytest.approx(3.1)


async def test_a_wait_beyond_the_deadline_leaves_time_for_one_last_try(autojump_clock: Clock) -> None:
    """H26: Retry-After is obeyed only within the deadline, for what it says may be wrong."""
    async with a_world("a") as world:
        world.exchange.cancels.append(throttling(60.0))
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert world.exchange.began_at == [0, HALT_SECONDS_MAX - room.LAST_TRY_SECONDS]
        assert report.verified_empty
        assert proved_empty(world.exchange)


async def test_one_last_try_is_one(autojump_clock: Clock) -> None:
    async with a_world("a") as world:
        world.exchange.always_cancel = throttling(60.0)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert len(world.exchange.order_path) == 2
        assert not report.verified_empty
        assert report.seconds == pytest.approx(HALT_SECONDS_MAX)


async def test_a_tail_that_a_429_held_up_makes_up_for_nothing(autojump_clock: Clock) -> None:
    """Moments that passed meanwhile are covered by the cancel-all that came after them: no request is spent on them."""
    async with a_world() as world:
        world.exchange.cancels.extend([applied, throttling(3.0)])
        world.lose_a_write()
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        assert world.exchange.began_at == [0, 0.25, 3.25, 4, 8]


# -- the budget ---------------------------------------------------------------------------------------------------


async def test_every_cancel_counts_before_its_answer(autojump_clock: Clock) -> None:
    """S9: the fired one in the same step; each hedge, repeat and scoped one as it leaves; reads never."""
    async with a_world("a") as world:
        budget = world.panic.budget
        assert budget is not None
        world.exchange.cancels.extend([silent, after(0.2, refusing(500)), refusing(500), refusing(401)])
        world.switch.trip(BROKEN)
        assert (budget.spent, budget.remaining) == (1, 119)
        report = await world.halt()
        assert budget.spent == len(world.exchange.order_path) == report.cancels_sent == 6
        assert budget.remaining == 120 - 6


async def test_what_never_left_is_not_counted(autojump_clock: Clock) -> None:
    async with a_world(warm=False) as world:
        for route in world.routes:
            route.down = True
        world.switch.trip(BROKEN)
        await world.halt()
        assert world.panic.budget is not None
        assert world.panic.budget.spent == 0


async def test_the_reserve_covers_a_tail_and_a_market_s_round_of_scoped_routes(autojump_clock: Clock) -> None:
    """H26: the whole tail after a write over the trip, and every route for as many orders as may be named at once.

    A second market's two calls are beyond it: see `maker.desk.budget` for what is given up.
    """
    async with a_world(*(f"o{number}" for number in range(30))) as world:
        world.lose_a_write()
        world.switch.trip(BROKEN)
        world.switch.write_over_trip = True
        await halt(world.switch, TAIL_SECONDS[-1], HaltReport())
        tail = len(world.exchange.order_path)
        assert len(TAIL_SECONDS) + 2 == tail <= TAIL_CALLS
    async with a_world(*(f"o{number}" for number in range(30))) as world:
        world.exchange.by_market = world.exchange.by_order = world.exchange.by_ladder = refusing(404)
        await world.panic.read_back()
        await world.panic.other_routes()
        names = [request.scope for request in world.exchange.order_path][len(MARKETS) : -len(MARKETS)]
        assert names == [f"mk-o{number}" for number in range(SCOPED_ORDERS_MAX)]
        assert len(world.exchange.order_path) - 2 * (len(MARKETS) - 1) <= RESERVE_CALLS - TAIL_CALLS
        await world.panic.other_routes()  # the others have their turn
        assert world.exchange.scopes.index("mk-o10") > world.exchange.scopes.index("mk-o9")
        assert "mk-o19" in world.exchange.scopes


# -- settle and tail ----------------------------------------------------------------------------------------------


async def test_a_write_over_the_trip_is_followed_by_another_cancel_all(autojump_clock: Clock) -> None:
    """S3, F7: a ladder on its way when the first cancel-all left may have landed behind it."""
    async with a_world("old") as world:
        world.nursery.start_soon(trip_later, world, 0.1)
        ended_at = await write(world, 0.3, 3.0)
        world.exchange.resting.append("late")
        report = await world.halt()
        assert world.exchange.began_at == [0.1, 0.3]
        assert report.verified_empty
        assert [read.listed for read in world.exchange.order_reads] == [0, 0]
        assert proved_empty(world.exchange, writes_ended_at=ended_at)


TAILS = {
    8.0: [0, 0.25, 1, 2, 4, 8],
    2.0: [0, 0.25, 1, 2],
    3.0: [0, 0.25, 1, 2, 3],
    0.1: [0, 0.1],
}


@pytest.mark.parametrize("seconds", TAILS)
async def test_the_tail_after_an_unknown_outcome(seconds: float, autojump_clock: Clock) -> None:
    """S12: pulled again and again until nothing can arrive any more; only then read back."""
    async with a_world() as world:
        world.lose_a_write()
        world.switch.trip(BROKEN)
        report = await world.halt(seconds)
        assert world.exchange.began_at == TAILS[seconds]
        assert world.exchange.order_reads[0].began >= seconds
        assert report.verified_empty
        assert report.seconds == pytest.approx(seconds + 0.25)


async def test_the_tail_is_measured_from_the_write(autojump_clock: Clock) -> None:
    """H24, S15: it ends when the write of unknown outcome is as old as is believed possible, not later."""
    async with a_world() as world:
        world.lose_a_write()
        await trio.sleep(3.0)
        world.switch.trip(BROKEN)
        report = await world.halt(8.0)
        assert world.exchange.began_at == [3, 3.25, 4, 5, 7, 8]
        assert report.verified_empty
        assert report.unknown_write_at == 0.0


async def test_a_write_older_than_the_tail_needs_none_and_is_told_all_the_same(autojump_clock: Clock) -> None:
    """S1: whoever believes in a longer tail than ours, the parent, can finish it."""
    async with a_world() as world:
        world.lose_a_write()
        await trio.sleep(8.0)
        world.switch.trip(BROKEN)
        report = await world.halt(8.0)
        assert world.exchange.began_at == [8]
        assert report.unknown_write_at == 0.0
        world.switch.rearm()
        await write(world, 0.1, 3.0)
        world.switch.trip(STOPPED)
        assert (await world.halt()).unknown_write_at == 0.0


async def test_it_is_the_last_write_of_unknown_outcome_that_counts(autojump_clock: Clock) -> None:
    """By its begin; one that was answered since changes nothing."""
    async with a_world() as world:
        world.lose_a_write()
        await trio.sleep(1.0)
        with world.switch.writing(3.0):
            await trio.sleep(0.5)
            world.switch.answer_lost()
        await write(world, 0.5, 3.0)
        world.exchange.always_cancel = world.exchange.by_market = silent
        world.exchange.by_order = world.exchange.by_ladder = silent
        world.switch.trip(STOPPED)
        report = await world.halt()
        assert (report.verified_empty, report.unknown_write_at) == (False, 1.0)


async def test_the_longest_tail(autojump_clock: Clock) -> None:
    """The whole table where somebody believes a minute possible."""
    async with a_world() as world:
        world.lose_a_write()
        await halt(world.switch, 60.0, HaltReport())
        assert world.exchange.began_at == [0, 0.25, 1, 2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize("landed_at", [0.1, 0.3, 1.5, 3.9, 7.9])
async def test_a_ladder_that_lands_in_the_tail_is_pulled(landed_at: float, autojump_clock: Clock) -> None:
    """F6, H24: as long after as is believed possible."""
    async with a_world() as world:
        world.lose_a_write()
        world.switch.trip(BROKEN)
        world.nursery.start_soon(land, world, landed_at)
        assert (await world.halt()).verified_empty
        assert proved_empty(world.exchange, writes_ended_at=landed_at)


async def land(world: World, at: float) -> None:
    await trio.sleep(at)
    world.exchange.resting.append("late")


async def test_each_cancel_all_of_the_tail_is_acknowledged(autojump_clock: Clock) -> None:
    """One that is refused is repeated, and the tail goes on by the clock."""
    async with a_world() as world:
        world.exchange.cancels.extend([applied, throttling(0.3, "retryAfterMs"), refusing(500)])
        world.lose_a_write()
        world.switch.trip(BROKEN)
        assert (await world.halt()).verified_empty
        acknowledged = [round(c.began, 3) for c in world.exchange.cancel_alls if c.status == 200]
        assert acknowledged[0] == 0
        assert 0.25 < acknowledged[1] <= 1.0
        assert acknowledged[2:] == [1, 2, 4, 8]


async def test_no_tail_without_need(autojump_clock: Clock) -> None:
    """A write whose answer came cannot land later."""
    async with a_world() as world:
        await write(world, 0.1, 3.0)
        world.switch.trip(STOPPED)
        assert (await world.halt()).seconds < 0.5
        assert len(world.exchange.cancel_alls) == 1


# -- read back ----------------------------------------------------------------------------------------------------


async def test_an_order_that_stays_is_cancelled_until_it_is_gone(autojump_clock: Clock) -> None:
    """F30: the exchange says yes and one order is left."""
    async with a_world("stays") as world:
        world.exchange.cancels.append(ineffective)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert report.verified_empty
        assert world.exchange.scopes == [""]
        assert len(world.exchange.cancel_alls) == 2
        assert [read.listed for read in world.exchange.order_reads] == [1, 0, 0]
        assert proved_empty(world.exchange)


async def test_an_order_that_shows_up_between_the_reads(autojump_clock: Clock) -> None:
    """One empty read proves nothing."""
    async with a_world() as world:
        world.switch.trip(BROKEN)
        world.nursery.start_soon(land, world, 0.1)
        assert (await world.halt()).verified_empty
        assert [read.listed for read in world.exchange.order_reads] == [0, 1, 0, 0]
        assert len(world.exchange.cancel_alls) == 2
        assert proved_empty(world.exchange)


@pytest.mark.parametrize("trouble", [silent, never, after(2.0, listing)], ids=["silent", "dripping", "slow"])
@pytest.mark.parametrize("place", [0, 1], ids=["the first read", "the second read"])
async def test_a_read_is_hedged_too(place: int, trouble: Behaviour, autojump_clock: Clock) -> None:
    """S3, H10: half a second, then the other lane; the two that count are 250 ms apart, after the acknowledgement."""
    async with a_world("a") as world:
        world.exchange.cancels.extend([silent, after(0.3, applied)])  # the hedge is acknowledged, the fired one never
        world.exchange.reads.extend([*[listing] * place, trouble])
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert report.seconds == pytest.approx(0.8 + 0.5 + 0.25)
        assert proved_empty(world.exchange)


async def test_a_cancel_all_that_is_acknowledged_late_makes_both_reads_late(autojump_clock: Clock) -> None:
    """S3: an order seen in between is cancelled, and both reads come after that acknowledgement, on new connections."""
    async with a_world() as world:
        world.exchange.cancels.extend([applied, reset, reset, after(0.4, applied)])
        world.switch.trip(BROKEN)
        world.nursery.start_soon(land, world, 0.1)
        assert (await world.halt()).verified_empty
        last = world.exchange.cancel_alls[-1]
        assert all(read.began >= last.answered for read in world.exchange.order_reads[-2:])
        assert len(world.routes[0].connections) > 1
        assert proved_empty(world.exchange)


DEEP = b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
UNREADABLE: dict[str, Behaviour] = {
    **ANSWERS,
    "empty": refusing(200, b""),
    "no JSON": refusing(200, b"<html>"),
    "null": refusing(200, b"null"),
    "no orders": refusing(200, b"{}"),
    "another shape": refusing(200, b'{"orders":[{"id":1}]}'),
    "no content": refusing(204, b""),
    "deeply nested": refusing(200, DEEP),
    "an error that lists nothing": refusing(500, b'{"orders":[]}'),
    "a redirect that lists nothing": refusing(302, b"[]"),
}


@pytest.mark.parametrize("place", [0, 1], ids=["the first read", "the second read"])
@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_read_that_cannot_be_believed_is_no_proof(name: str, place: int, autojump_clock: Clock) -> None:
    """Whatever comes instead of a list, two good empty reads are made."""
    async with a_world("a") as world:
        world.exchange.reads.extend([*[listing] * place, *[UNREADABLE[name]] * 3])
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert report.verified_empty
        assert proved_empty(world.exchange)


@pytest.mark.parametrize("status", ["new", "pending_cancel", "OPEN"])
async def test_an_order_in_a_state_we_do_not_know_is_an_order(status: str, autojump_clock: Clock) -> None:
    """S3: what the exchange lists as its own word for resting is never read as nothing."""
    async with a_world() as world:
        row = b'[{"id":"a","marketId":"BTC-PERP","side":"buy","quantity":"1","remainingQuantity":"1","status":"%s"}]'
        world.exchange.always_read = refusing(200, row % status.encode())
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert not report.verified_empty
        assert report.open_orders == 1


async def test_reads_take_the_other_lane_when_one_is_busy(autojump_clock: Clock) -> None:
    async with a_world() as world:
        world.switch.trip(BROKEN)
        await world.panic.cancel_all()
        await world.occupy(world.lanes[0])
        assert await world.panic.read_back() == 0
        assert world.exchange.order_reads[-1].lane == "two"


async def test_no_lane_to_read_on_is_no_answer(autojump_clock: Clock) -> None:
    async with a_world(warm=False) as world:
        for route in world.routes:
            route.down = True
        assert await world.panic.read_back() is None
        assert world.panic.resting is None


# -- the deadline, and what is claimed ----------------------------------------------------------------------------


async def test_a_deadline_leaves_a_truthful_report_of_a_silent_exchange(autojump_clock: Clock) -> None:
    """H1, S15: shielded, and not for ever."""
    async with a_world("a") as world:
        world.exchange.always_cancel = world.exchange.by_market = silent
        world.exchange.by_order = world.exchange.by_ladder = world.exchange.always_read = silent
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert (report.verified_empty, report.open_orders) == (False, None)
        assert report.cancels_sent == len(world.exchange.order_path) >= 4
        assert report.seconds == pytest.approx(HALT_SECONDS_MAX)
        assert trio.current_time() == pytest.approx(HALT_SECONDS_MAX)


async def test_a_deadline_leaves_a_truthful_report_of_an_order_that_stays(autojump_clock: Clock) -> None:
    async with a_world("a", "b") as world:
        world.exchange.always_cancel = world.exchange.by_market = ineffective
        world.exchange.by_order = world.exchange.by_ladder = ineffective
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert (report.verified_empty, report.open_orders) == (False, 2)
        assert report.cancels_sent == len(world.exchange.order_path)


async def test_a_deadline_leaves_a_truthful_report_when_there_is_no_route(autojump_clock: Clock) -> None:
    """What never left is not reported as sent."""
    async with a_world("a", warm=False) as world:
        for route in world.routes:
            route.down = True
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert (report.verified_empty, report.open_orders, report.cancels_sent) == (False, None, 0)


async def test_what_an_earlier_halt_read_is_not_reported_again(autojump_clock: Clock) -> None:
    """Read empty once, then quoted again, then a halt that gets no answer: nobody knows what rests."""
    async with a_world("a") as world:
        world.switch.trip(BROKEN)
        assert (await world.halt()).open_orders == 0
        world.switch.rearm()
        world.exchange.resting.append("b")
        world.exchange.always_cancel = world.exchange.always_read = world.exchange.by_market = silent
        world.switch.trip(STOPPED)
        report = await world.halt()
        assert (report.verified_empty, report.open_orders) == (False, None)


async def test_the_halt_runs_inside_a_cancelled_scope(autojump_clock: Clock) -> None:
    """H1: as it does on every way out."""
    async with a_world("a") as world:
        report = HaltReport()
        with trio.CancelScope() as scope:
            scope.cancel()
            world.switch.trip(STOPPED)
            await last_halt(world.switch, TAIL_SECONDS_MAX, HALT_SECONDS_MAX, report)
        assert report.verified_empty
        assert proved_empty(world.exchange)


@pytest.mark.parametrize("unknown", [False, True], ids=["plain", "with a tail"])
async def test_cancelled_at_any_await_it_claims_nothing_and_can_be_repeated(
    unknown: bool, autojump_clock: Clock
) -> None:
    """S15 at every step: the report is true, no answer is left unread on a lane, the next halt proves it empty."""
    wait = 0
    while True:
        async with a_world("a") as world:
            world.exchange.cancels.extend([after(0.6, ineffective), after(0.2, ineffective)])
            if unknown:
                world.lose_a_write()
            world.switch.trip(BROKEN)
            report = HaltReport()
            cut = await cancelled_at_wait(wait, partial(halt, world.switch, 2.0, report))
            assert report.verified_empty <= proved_empty(world.exchange)
            assert cut or report.verified_empty
            assert all(lane.state is not LaneState.SENT or lane is world.panic.fired for lane in world.lanes)
            assert (await world.halt()).verified_empty
            assert proved_empty(world.exchange)
        wait += 1
        if not cut:
            break
    assert wait > 8


@pytest.mark.parametrize("seconds", [step * 0.11 for step in range(40)])
async def test_cut_short_at_any_moment_it_claims_nothing_and_can_be_repeated(
    seconds: float, autojump_clock: Clock
) -> None:
    """S15: as above, in the middle of attempts, hedges, routes and reads."""
    async with a_world("a", "b@ETH-PERP") as world:
        world.exchange.cancels.extend([after(0.6, refusing(500)), *[after(0.3, refusing(403))] * 4])
        world.exchange.by_market, world.exchange.reads = after(0.4, refusing(503)), deque([after(0.7, listing)] * 3)
        world.lose_a_write()
        world.switch.trip(BROKEN)
        report = HaltReport()
        with trio.move_on_after(seconds) as cut:
            await halt(world.switch, 2.0, report)
        assert report.verified_empty <= proved_empty(world.exchange)
        assert report.unknown_write_at == 0.0
        assert cut.cancelled_caught or report.verified_empty
        assert all(lane.state is not LaneState.SENT or lane is world.panic.fired for lane in world.lanes)
        assert (await world.halt()).verified_empty
        assert proved_empty(world.exchange)


async def test_an_error_of_our_own_bookkeeping_comes_after_the_proof(autojump_clock: Clock) -> None:
    """H6, S14: figures are no reason to leave quotes resting; the error is not lost."""
    async with a_world("a") as world:

        def broken(_answer: Answer) -> None:
            raise ZeroDivisionError

        world.panic.on_answer = broken
        world.switch.trip(BROKEN)
        report = HaltReport()
        with pytest.raises(ZeroDivisionError):
            await last_halt(world.switch, TAIL_SECONDS_MAX, HALT_SECONDS_MAX, report)
        assert report.verified_empty
        assert proved_empty(world.exchange)


async def test_a_deadline_does_not_replace_the_reason_to_leave(autojump_clock: Clock) -> None:
    """H2: giving up is reported, not raised: the first cause goes on."""
    async with a_world("a") as world:
        world.exchange.always_cancel = world.exchange.by_market = silent
        world.exchange.by_order = world.exchange.by_ladder = silent
        report = HaltReport()
        with pytest.raises(KeyError):  # noqa: PT012 - the way out is the point
            try:
                raise KeyError
            finally:
                await last_halt(world.switch, TAIL_SECONDS_MAX, 3.0, report)
        assert not report.verified_empty
        assert report.seconds == pytest.approx(3.0)


# -- what a halt must not need ------------------------------------------------------------------------------------

CONFIG = load(Path(__file__).parents[2] / "conf" / "paper.toml", "http://127.0.0.1:1", "ws://127.0.0.1:1")


@attrs.define(eq=False)
class Small:
    """An exchange on real sockets that ends the first connection on which a cancel-all comes."""

    resting: int = 2
    log: list[str] = attrs.field(factory=list)

    async def serve(self, stream: trio.abc.Stream) -> None:
        while True:
            path = (await read_request(stream)).split(b" ", 2)[1].decode()
            self.log.append(path)
            if path == ocx.CANCEL_ALL:
                if self.log.count(path) == 1:
                    return
                self.resting = 0
            row = b'{"id":"a","marketId":"BTC-PERP","side":"buy","quantity":"1","status":"open"}'
            await stream.send_all(answer_bytes(200, b"[" + b",".join([row] * self.resting) + b"]"))


def forbid(patch: pytest.MonkeyPatch, used: list[str], place: object, name: str) -> None:
    def forbidden(*_words: object, **_named: object) -> None:
        used.append(name)
        raise RuntimeError(name)

    patch.setattr(place, name, forbidden)


async def test_no_thread_no_look_up_no_log_and_no_journal_between_trip_and_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S10, H6, H12, H13: as the supervisor wires it, over real sockets, one of them lost and dialled anew meanwhile."""
    exchange, used = Small(), list[str]()
    async with loopback(exchange.serve) as address:
        told = a_recorder()
        route = Place(url := f"http://127.0.0.1:{address.port}", await resolve(url))
        run = wire(CONFIG, KEY, route, told.recorder)
        panic = run.switch.panic
        try:
            for lane in panic.lanes:
                await lane.connect()
            # Tools of pytest and of this test may use them before and after, nobody in between.
            with monkeypatch.context() as patch:
                for place, name in (
                    (trio.to_thread, "run_sync"),
                    (trio.lowlevel, "start_thread_soon"),
                    (threading.Thread, "start"),
                    (socket, "getaddrinfo"),
                    (socket, "gethostbyname"),
                    (trio.socket, "getaddrinfo"),
                    (logging.Logger, "handle"),
                    (told.recorder.log, "info"),
                    (told.recorder.log, "warning"),
                    (told.recorder.log, "error"),
                    (told.journal, "put"),
                    (builtins, "open"),
                    (builtins, "print"),
                ):
                    forbid(patch, used, place, name)
                run.switch.trip(STOPPED)
                await last_halt(run.switch, TAIL_SECONDS_MAX, HALT_SECONDS_MAX, run.report)
        finally:
            panic.close()
            run.quoting_lane.close()
            await run.client.aclose()
        assert run.report.verified_empty
        assert used == []
        assert told.lines == []
        assert exchange.log == [ocx.CANCEL_ALL, ocx.CANCEL_ALL, ocx.ORDERS, ocx.ORDERS]
        assert panic.lanes[0].connects + panic.lanes[1].connects >= 3


# -- warm lanes ---------------------------------------------------------------------------------------------------


async def test_the_lanes_are_kept_warm_in_turn(autojump_clock: Clock) -> None:
    """One authenticated read each time, never two at once."""
    async with a_world(warm=False) as world:
        world.exchange.always_read = after(0.9, listing)
        with trio.move_on_after(11.9):
            await world.panic.keep_warm()
        reads = world.exchange.order_reads
        assert [read.lane for read in reads] == ["one", "two", "one", "two"]
        assert all(then.began >= now.answered for now, then in itertools.pairwise(reads))
        gaps = [then.began - now.answered for now, then in itertools.pairwise(reads)]
        assert gaps == [pytest.approx(room.WARM_SECONDS / 2)] * 3
        assert [len(route.connections) for route in world.routes] == [1, 1]
        assert not world.exchange.cancel_alls


async def test_one_lane_is_idle_at_every_moment(autojump_clock: Clock) -> None:
    """Once both are warm, a cancel-all can be fired at any time, whatever the other lane is doing."""
    async with a_world() as world:
        world.exchange.always_read = after(0.9, listing)
        world.nursery.start_soon(world.panic.keep_warm)
        for _ in range(120):
            await trio.sleep(0.1)
            assert any(lane.ready for lane in world.lanes)
        assert {read.lane for read in world.exchange.order_reads} == {"one", "two"}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_keeping_warm_survives_any_answer(name: str, autojump_clock: Clock) -> None:
    """A lane that fails is dialled again at its next turn; nothing of it reaches the caller."""
    async with a_world(warm=False) as world:
        world.exchange.reads.extend([UNREADABLE[name]] * 4)
        with trio.move_on_after(25):
            await world.panic.keep_warm()
            pytest.fail("returned")
        assert all(lane.ready for lane in world.lanes)


async def test_keeping_warm_survives_a_route_that_is_down(autojump_clock: Clock) -> None:
    async with a_world(warm=False) as world:
        for route in world.routes:
            route.down = True
        world.nursery.start_soon(world.panic.keep_warm)
        await trio.sleep(20)
        for route in world.routes:
            route.down = False
        await trio.sleep(6)
        assert all(lane.ready for lane in world.lanes)


async def test_a_hung_warm_read_is_given_up_and_the_lane_dialled_again(autojump_clock: Clock) -> None:
    """H10: half-open connections are found before they are needed."""
    async with a_world() as world:
        world.exchange.reads.append(silent)
        world.nursery.start_soon(world.panic.keep_warm)
        await trio.sleep(room.WARM_READ_SECONDS_MAX + 0.01)
        assert world.lanes[0].state is LaneState.CLOSED
        assert world.lanes[1].ready
        await trio.sleep(room.WARM_SECONDS + 1)
        assert world.lanes[0].ready
        assert len(world.routes[0].connections) == 2


async def test_keeping_warm_never_disturbs_a_fired_cancel_all(autojump_clock: Clock) -> None:
    """The answer to what was fired is the halt's to read, however long it takes to come for it."""
    async with a_world("a") as world:
        world.nursery.start_soon(world.panic.keep_warm)
        await trio.sleep(0.1)
        world.switch.trip(BROKEN)
        assert world.panic.fired is world.lanes[0]
        await trio.sleep(4 * room.WARM_SECONDS)
        assert world.lanes[0].state is LaneState.SENT
        assert len(world.routes[0].connections) == 1
        report = await world.halt()
        assert len(world.exchange.cancel_alls) == 1
        assert (report.cancels_sent, report.verified_empty) == (1, True)


@pytest.mark.parametrize("tripped_at", [0.0, 0.05, 0.45, 2.45, 2.55, 4.95, 5.05, 7.6])
async def test_a_halt_beside_the_warm_reads(tripped_at: float, autojump_clock: Clock) -> None:
    """Whenever it comes, the two share the lanes without getting in each other's way."""
    async with a_world("a") as world:
        world.exchange.always_read = after(0.1, listing)
        world.nursery.start_soon(world.panic.keep_warm)
        await trio.sleep(tripped_at)
        world.switch.trip(BROKEN)
        report = await world.halt()
        assert report.verified_empty
        assert report.seconds < 2.0
        assert world.exchange.cancel_alls[0].began == pytest.approx(tripped_at)


def warmed(world: World, resting: list[str]) -> list[float]:
    """Keep the lanes warm while these rest; the list gets each time that a watcher hears all is well."""
    heard: list[float] = []
    world.panic.on_warmed = lambda: heard.append(trio.current_time())
    world.panic.routes.may_rest = lambda: resting
    world.nursery.start_soon(world.panic.keep_warm)
    return heard


@pytest.mark.parametrize("how", ["no connection", "silent", 401, 429, 503])
async def test_a_way_to_pull_that_stays_unproven_is_no_longer_vouched_for(
    how: str | int, autojump_clock: Clock
) -> None:
    """SAFETY 5: heartbeats are held back then, and the guard pulls; a proof is an order read that is answered 200."""
    async with a_world() as world:
        await trio.sleep(HEALED_AT + 1)
        heard = warmed(world, ["mk-1"])
        await trio.sleep(10)
        failed_at = trio.current_time()
        world.exchange.always_read = refusing(how) if isinstance(how, int) else silent
        for route in world.routes:
            route.down = how == "no connection"
            if route.down:
                world.panic.close()
        await trio.sleep(300)
        assert failed_at + room.PROOF_SECONDS_MAX - room.WARM_SECONDS <= heard[-1]
        assert heard[-1] <= failed_at + room.PROOF_SECONDS_MAX
        world.exchange.always_read = None
        for route in world.routes:
            route.down = False
        mended_at = trio.current_time()
        await trio.sleep(room.WARM_SECONDS)
        assert heard[-1] > mended_at


@pytest.mark.parametrize(
    ("rests", "seconds", "proof"),
    [(True, 66.0, ""), (False, 3600.0, ""), (True, 300.0, "read back"), (True, 300.0, "cancel-all")],
    ids=["a minute of 429", "an hour with nothing resting", "read back by halts", "pulled by halts"],
)
async def test_what_the_run_rides_out_is_vouched_for(
    rests: bool, seconds: float, proof: str, autojump_clock: Clock
) -> None:
    """A throttled minute, any outage with nothing resting, and halts that prove the lanes themselves."""
    async with a_world() as world:
        await trio.sleep(HEALED_AT + 1)
        heard = warmed(world, ["mk-1"] if rests else [])
        await trio.sleep(10)
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            world.exchange.always_read = None
            if proof == "read back":
                assert await world.panic.read_back() == 0
            if proof == "cancel-all":
                await world.panic.cancel_all()
            world.exchange.always_read = refusing(429)
            await trio.sleep(33)
        assert max(then - now for now, then in itertools.pairwise(heard)) < WITHIN_SECONDS[PANIC]


async def test_a_pull_that_stays_in_vain_is_left_to_the_guard(autojump_clock: Clock) -> None:
    """F1, S1: what ails this process, no free descriptor or a bad route, need not ail the guard's.

    An outage is ridden out for as long as the guard would try, and half as long again.
    """
    async with a_world() as world:
        await trio.sleep(HEALED_AT + 1)
        heard = warmed(world, ["mk-1"])
        for lap in range(2):
            for route in world.routes:
                route.down = True
            world.panic.close()
            failed_at = trio.current_time()
            with trio.move_on_after(2_000):
                await world.panic.cancel_all()
            assert max(then - now for now, then in itertools.pairwise(one for one in heard if one >= failed_at)) < 10
            ends_at = failed_at + room.PULL_SECONDS_MAX + room.PROOF_SECONDS_MAX
            assert ends_at - 2 * room.WARM_SECONDS <= heard[-1] <= ends_at, lap
            for route in world.routes:
                route.down = False
            await world.panic.cancel_all()
            assert await world.panic.verified_empty()
            heard.clear()
            await trio.sleep(10)


# -- the sweep at the start ---------------------------------------------------------------------------------------


async def test_the_sweep_beside_the_warm_reads(autojump_clock: Clock) -> None:
    """The first warm read may still be under way when the start comes to sweep: no reason not to start."""
    async with a_world("left over") as world:
        await world.hang_warm_read()
        with trio.fail_after(5):
            await sweep(world.panic)
        assert proved_empty(world.exchange)


async def test_the_sweep_outlives_an_unanswered_call(autojump_clock: Clock) -> None:
    """One hung connection must not use up the whole time a start has."""
    async with a_world("left over") as world:
        world.exchange.cancels.append(silent)
        with trio.move_on_after(10):
            await sweep(world.panic)
        assert proved_empty(world.exchange)


async def test_a_throttled_sweep_waits_as_told(autojump_clock: Clock) -> None:
    """H26: a start is no reason to spend more requests on a 429, and each one counts."""
    async with a_world("left over") as world:
        world.exchange.cancels.extend([throttling(3.0)] * 2)
        await sweep(world.panic)
        assert world.exchange.began_at == [0, 3, 6]
        assert world.panic.budget is not None
        assert world.panic.budget.spent == world.panic.cancels_sent == 3
        assert proved_empty(world.exchange)
