"""One run: its parts, how they are wired together, and how it is left.

Whatever is a reason to leave comes through `Run.leave`, which pulls first (latch and cancel-all, synchronously) and
only then cancels quoting; the unwinding is the supervisor's. Nothing here starts a task.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NoReturn

import attrs
import trio

from maker.app import key_proof, startup
from maker.app.budget_file import BudgetKeeper
from maker.app.causes import describe, reason_of
from maker.app.config import Config
from maker.app.feeds import Streams
from maker.app.halt import HaltReport, Switch
from maker.app.host import THIS_MACHINE, Host
from maker.app.key_expiry import KeyExpiry
from maker.app.key_proof import Proof
from maker.app.link import GuardLink
from maker.app.losses import Keeper
from maker.app.panic import Panic
from maker.app.record import Recorder
from maker.app.reload import Prepared, Reloader
from maker.app.routes import Routes
from maker.app.watches import PANIC, Pulse, Skew
from maker.desk.deadman import Trip
from maker.desk.engine import Engine
from maker.desk.events import StreamLost
from maker.desk.identity import Identity
from maker.desk.parameters import take
from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.edge.endpoint import Endpoint, resolve
from maker.edge.lane import Connection, Lane
from maker.edge.session import Session, Standby
from maker.errors import StreamFault
from maker.launch import latch
from maker.launch.key import Key
from maker.wire import limits, ocx

RESOLVE_SECONDS: Final = 60.0  # between two look-ups of the exchange's name
CLOSE_SECONDS_MAX: Final = 1.0  # of a client that is needed no more
OTHER_ACCOUNT: Final = "what it reads shows none of the orders that rest: it is a key of another account, it seems"


@attrs.define
class Route:
    """Where the exchange is: looked up ahead and again from time to time, never on the way of a request (H12)."""

    base_url: str
    endpoint: Endpoint
    resolve: Callable[..., Awaitable[Endpoint]] = resolve

    async def dial(self) -> Connection:
        """Connect to where it is now. Raises NotSent."""
        return await self.endpoint.dial()

    async def keep_resolved(self) -> NoReturn:
        """Follow the name to new addresses; a look-up that fails or hangs keeps the last good ones."""
        while True:
            await trio.sleep(RESOLVE_SECONDS)
            self.endpoint = await self.resolve(self.base_url, last_good=self.endpoint)


@attrs.define
class Run:
    """One run's parts, wired together."""

    config: Config
    recorder: Recorder
    engine: Engine
    switch: Switch
    client: Client
    route: Route
    quoting_lane: Lane
    quoting: trio.CancelScope
    rng: random.Random
    link: GuardLink | None = None
    armed: bool = False  # from here on orders of ours may rest: every way out pulls
    halted: trio.Event = attrs.field(factory=trio.Event)  # the last halt is over
    stop: Trip | None = None  # the first reason to leave
    report: HaltReport = attrs.field(factory=HaltReport)
    closed: str = ""  # what became of positions on the way out, as a sentence; empty: they were left alone
    pulse: Pulse = attrs.field(factory=Pulse)
    skew: Skew = attrs.field(factory=Skew)
    host: Host = THIS_MACHINE
    losses: Keeper | None = None  # None: nothing was quoted, so nothing can have been lost
    budget_keeper: BudgetKeeper | None = None  # None: it has not begun
    expiry: KeyExpiry | None = None  # None: nobody looks at how long the key is good
    on_key: Callable[[Key], object] = lambda _key: None  # told of another key, once it is in use
    session: Session | None = None  # None: no wallet stands by
    streams: Streams = attrs.field(factory=Streams)
    reloader: Reloader | None = None  # None: nobody can ask for a reload

    def leave(self, trip: Trip) -> None:
        """Leave: pull at once, then unwind from the innermost scope. The first reason is the one reported."""
        if self.armed:
            self.switch.trip(trip)
        if self.stop is None:
            self.stop = trip
            self.recorder.tripped(trip)
        self.quoting.cancel(reason=trip.sentence)
        if self.armed and trip.reason.latched:
            self.latch(trip)

    def keep(self, now: float) -> None:
        """Put down what outlives the run, and look whether its key does; tell the desk what this machine's time is."""
        self.engine.unix_ahead_seconds = self.pulse.wall() - now
        if self.expiry is not None:
            self.expiry.look()
        for keeper in (self.losses, self.budget_keeper):
            if keeper is not None:
                keeper.look(now)

    # -- other parameters, another key

    async def prove(self, secret: str) -> Proof:
        """Prove a key by a read and by a cancel that finds nothing, on connections of its own.

        One of another account would read that account empty, and nobody would pull what rests on ours: so the read must
        show something of what rests before and after it. While nothing does, that is not known.
        """
        headers = {ocx.KEY_HEADER: secret}
        client = Client(self.config.exchange.base_url, headers, self.route.endpoint.tls, dial=self.route.dial)
        lane = lane_of(self.route, "proof", headers, self.host)
        try:
            before = self.resting_names()
            proof = await key_proof.by_read(client)
            if not proof.good:
                return proof
            stayed = before & self.resting_names()
            if stayed and not any(one.client_order_id in stayed for one in proof.orders):
                return Proof(False, False, OTHER_ACCOUNT)
            self.engine.budget.cancel_spent(self.pulse.boot())
            proof = await key_proof.by_cancel(lane, self.engine.identity.client_order_id(), self.pulse.wall)
            if proof.wait_seconds is not None:  # it holds for the account, so for ladders too
                self.engine.budget.throttled(proof.wait_seconds, self.pulse.boot())
            return proof
        finally:
            lane.close()
            with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
                await client.aclose()

    def resting_names(self) -> set[str]:
        """The clientOrderIds of what rests, as far as its answers came."""
        return {name for market in self.engine.markets.values() for name in market.account.resting}

    def apply(self, change: Prepared) -> Trip | None:
        """Take other parameters, and another key, in this one call. A Trip: quotes must be pulled for it.

        To be called between two turns of the quoting cycle; with another key, while nothing rests.
        """
        now = self.pulse.boot()
        if change.new_key is not None:
            assert not self.engine.exposed, "a key is changed while nothing rests"
            self.use_key(change.new_key)
        self.config = change.reading.config
        return take(self.engine, change.parameters, now) or self.engine.broken(now)

    def use_key(self, another: Key) -> None:
        """Use another key wherever one is used; event streams, which were opened with the old one, are opened anew."""
        headers = {ocx.KEY_HEADER: another.secret}
        self.client.headers = headers
        self.quoting_lane.use(headers)
        self.switch.panic.use(headers)
        if self.expiry is not None:
            self.expiry.another(another.expires_at)
        self.on_key(another)
        for market_id in self.engine.markets:
            lost = StreamLost(market_id, StreamFault.CLOSED, "it is opened anew, with another key")
            trip = self.engine.apply(lost, self.pulse.boot())
            assert trip is None, "nothing rests, so nothing is pulled"
        self.streams.reopen()

    def latch(self, trip: Trip) -> None:
        """Leave word for whoever starts next; the cancel-all has left, and a full disk changes nothing else."""
        try:
            latch.write(self.config.state_folder, trip.reason.name.lower(), trip.sentence)
        except OSError as error:
            self.recorder.warning("not latched", f"the kill file cannot be written ({error}): {trip.sentence}")

    async def guarded(self, service: Callable[[], Awaitable[object]]) -> None:
        """Run a service; its error pulls every quote before anything unwinds."""
        try:
            await service()
        except trio.Cancelled:
            raise
        except BaseException as error:
            if not isinstance(error, BaseExceptionGroup) or error.split(trio.Cancelled)[1] is not None:
                leaving = self.stop is not None
                self.leave(Trip(reason_of(error), describe(error)))
                if leaving:  # another error in the halt that follows would take this one's place in the result
                    self.recorder.warning("failed", f"while leaving: {describe(error)}")
            raise

    async def watched(self, service: Callable[[], Awaitable[object]]) -> None:
        """Run a watcher. Its error would end heartbeat, warm lanes and signals: it is held until the halt is over."""
        try:
            await self.guarded(service)
        except trio.Cancelled:
            raise
        except BaseException:
            if self.armed:
                with trio.CancelScope(shield=True):  # for as long as the halt may take, which has its own deadline
                    await self.halted.wait()
            raise

    def on_answer(self, answer: Answer) -> None:
        """Learn the rate limit from an answer of the order path: a proxy's 5xx states its own, if any."""
        seen = limits.seen(answer.headers, self.pulse.wall()) if limits.teaches(answer.status) else None
        if seen is not None:
            self.engine.apply(seen, self.pulse.boot())
        skewed = self.skew.seen(answer.headers, self.pulse.wall())
        if skewed is not None:
            self.leave(skewed)
        if self.skew.warning:
            self.recorder.state("clock", "skewed", self.skew.warning)


def wire(config: Config, key: str, route: Route, recorder: Recorder, host: Host = THIS_MACHINE) -> Run:
    """Make the rooms' parts and put them together."""
    rng = host.random()
    headers = {ocx.KEY_HEADER: key}
    endpoint = route.endpoint
    lane = partial(lane_of, route, headers=headers, host=host)
    identity = Identity.of(config.order_prefix, rng.getrandbits(64))
    engine = startup.make_engine(config, identity)
    engine.budget.jitter = random.Random(identity.epoch).random  # of its own: no other draw moves with it
    engine.unix_ahead_seconds = host.wall() - host.boot()
    recorder.engine = engine
    lanes = lane("panic-1"), lane("panic-2")
    routes = Routes(lanes[0].build, tuple(config.markets), partial(may_rest, engine), identity.quote_id)
    panic = Panic(lanes, budget=engine.budget, routes=routes, clock=host.boot, wall=host.wall)
    switch = Switch(panic, config.halt.settle_seconds_max, clock=host.boot)
    session = stand_by(config, endpoint.tls, route.dial, host.wall)
    standby = None if session is None else Standby(session, partial(recorder.state, "account", "session"))
    client = Client(config.exchange.base_url, headers, endpoint.tls, dial=route.dial, standby=standby)
    run = Run(config, recorder, engine, switch, client, route, lane("quoting"), trio.CancelScope(), rng, host=host)
    run.session = session
    run.pulse = Pulse(host.boot, host.monotonic, host.wall)
    switch.panic.on_answer = run.on_answer
    switch.panic.on_warmed = partial(run.pulse.check_in, PANIC)
    return run


def lane_of(route: Route, name: str, headers: Mapping[str, str], host: Host) -> Lane:
    """A lane to the exchange; not connected yet."""
    there = route.endpoint
    return Lane(name, route.dial, there.host_header, headers, base_path=there.base_path, clock=host.boot)


def stand_by(
    config: Config,
    tls: ssl.SSLContext | None,
    dial: Callable[[], Awaitable[Connection]],
    wall: Callable[[], float] = time.time,
) -> Session | None:
    """The session for what the exchange refuses to the key; nobody is signed in yet. None: no wallet is configured."""
    wallet = config.exchange.wallet()
    if wallet is None:
        return None
    client = Client(config.exchange.base_url, {}, tls, dial=dial)
    return Session(client, wallet, config.exchange.terms(), wall)


async def lane_by_session(session: Session, endpoint: Endpoint, dial: Callable[[], Awaitable[Connection]]) -> Lane:
    """A lane for single orders that are refused to the key. Raises OcxError or ConfigError when nobody can sign in."""
    return Lane("session", dial, endpoint.host_header, await session.ready(), base_path=endpoint.base_path)


def link_to_guard(run: Run, descriptor: int) -> GuardLink:
    """Take up the link; heartbeats are held back while quoting goes on and something that must run does not."""

    def writes() -> tuple[int, float | None]:
        return int(run.switch.write_scope is not None), run.quoting_lane.last_request_at

    raw, epoch = run.host.open_link(descriptor), run.engine.identity.epoch
    return GuardLink(raw, epoch, writes, lambda: run.pulse.healthy(run.pulse.boot()), run.host.link_readable)


def may_rest(engine: Engine) -> list[str]:
    """The clientOrderIds of all that may rest, should the exchange not tell."""
    accounts = [market.account for market in engine.markets.values()]
    return [name for account in accounts for name in (*account.pending, *account.resting)]
