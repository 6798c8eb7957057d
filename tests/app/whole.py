"""A whole run in virtual time: the supervisor's own nurseries against the scripted site, with feeds played by hand."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import random
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import pytest
import trio

from maker.app import startup, supervisor
from maker.app.budget_file import BUDGET_FILE, spell
from maker.app.config import Config, load, read
from maker.app.feeds import Inlet, Streams
from maker.app.halt import Switch
from maker.app.host import Host
from maker.app.live_teller import Teller
from maker.app.panic import Panic
from maker.app.references import Venue
from maker.app.result import Result, conclude
from maker.app.source import Reading
from maker.app.supervisor import Options, run_nurseries
from maker.app.watches import PANIC, Pulse
from maker.app.wiring import Route, Run, link_to_guard
from maker.desk.budget import Left
from maker.desk.deadman import Trip
from maker.desk.events import (
    Fill,
    PositionSeen,
    ReferenceHeard,
    ReferenceQuote,
    StreamDelta,
    StreamHeard,
    StreamLost,
    StreamSnapshot,
)
from maker.desk.identity import Identity
from maker.edge.endpoint import Endpoint
from maker.edge.lane import Connection
from maker.edge.lasting import DirectFile
from maker.errors import StreamBroken, StreamFault
from maker.launch import latch
from maker.launch.key import Key, digest
from maker.wire import ocx
from tests.app.site import KEY, MARKET, STATS, Seen, Site, Told, a_recorder, saying
from tests.desk.scripted import BTC, FAIR_TICKS, START, START_MS, spec

PAPER: Final = Path(__file__).parents[2] / "conf" / "paper.toml"
LOADED = load(PAPER, "http://ocx.test", "ws://ocx.test")
ADDRESSES: Final = ((socket.AF_INET, ("192.0.2.1", 80)),)
FEED_SECONDS: Final = 0.2
WALL: Final = 1_700_000_000.0
RELOAD_SECONDS_MAX: Final = 60.0


def config(state_folder: Path, market: dict[str, Any] | None = None, account: dict[str, Any] | None = None) -> Config:
    """The practice configuration for one market, with other limits."""
    one = LOADED.markets[BTC]
    one = attrs.evolve(one, limits=attrs.evolve(one.limits, **(market or {})))
    limits = attrs.evolve(LOADED.limits, **(account or {}))
    return attrs.evolve(LOADED, markets={BTC: one}, limits=limits, state_folder=state_folder)


@attrs.frozen
class Pulled:
    """One trip as it was."""

    at: float
    request: int  # so many requests the exchange had seen before
    trip: Trip
    bytes_left: bool  # the unscoped cancel-all had left when it returned
    latched_before: bool  # the kill file was there when it began


@attrs.define
class SeenSwitch(Switch):
    """The real switch, noting what was true in the very step of each trip."""

    folder: Path = Path()
    requests: list[Seen] = attrs.field(factory=list)
    seen: list[Pulled] = attrs.field(factory=list)

    def trip(self, trip: Trip) -> None:
        latched_before = latch.read(self.folder) is not None
        was_latched = self.latched
        Switch.trip(self, trip)
        if not was_latched:
            fired = self.panic.fired
            assert fired is not None, "no panic lane was warm"
            sent = bytes(fired.connection.sent)  # type: ignore[union-attr]
            left = sent.rpartition(b"POST ")[2].startswith(ocx.CANCEL_ALL.encode() + b" HTTP/1.1\r\n")
            left = left and sent.endswith(b"\r\n\r\n{}")
            self.seen.append(Pulled(trio.current_time(), len(self.requests), trip, left, latched_before))
        elif not trip.reason.recoverable:
            self.seen.append(Pulled(trio.current_time(), len(self.requests), trip, True, latched_before))


@attrs.define
class Shelf:
    """Where a reload finds its configuration and its key."""

    config: Config
    tree: dict[str, Any] = attrs.field(factory=lambda: read(PAPER))
    kept: Key = attrs.field(factory=lambda: Key(KEY, "ocx_kid_1", "trade", math.inf))
    problem: Exception | None = None  # with reading it
    seconds: float = 0.0  # that reading takes

    async def read(self) -> Reading:
        await trio.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        return Reading(self.tree, self.config, "c0ffee")

    async def key(self, _config: Config) -> Key:
        await trio.lowlevel.checkpoint()
        return self.kept

    def put(self, path: str, value: object, **rooms: dict[str, Any]) -> None:
        """Change one key of the file, and what it means: rooms of the market, by name, with other values."""
        self.tree = copy.deepcopy(self.tree)
        *tables, last = path.split(".")
        inner = self.tree
        for table in tables:
            inner = inner[table]
        inner[last] = value
        one = self.config.markets[BTC]
        made = {name: attrs.evolve(getattr(one, name), **more) for name, more in rooms.items()}
        self.config = attrs.evolve(self.config, markets={BTC: attrs.evolve(one, **made)})


@attrs.frozen
class SiteEndpoint(Endpoint):
    """The exchange's place: a dial leads to the scripted site."""

    site: Site = attrs.field(kw_only=True)

    async def dial(self) -> Connection:
        return await self.site.dial()


@attrs.define(eq=False)
class World:
    """One run and everything around it."""

    site: Site
    told: Told
    run: Run
    switch: SeenSwitch
    signals: trio.MemorySendChannel[int]
    guard: socket.socket  # the guard's end of the link; it answers every heartbeat
    folder: Path
    shelf: Shelf
    answers: list[dict[str, Any]] = attrs.field(factory=list)  # to reloads, as the guard hears them
    inlet: Inlet | None = None
    ticks: int = FAIR_TICKS  # reference, index and mark stand here
    wild: bool = False  # the price jumps, so that each turn places a ladder
    reference_on: bool = True
    stream_on: bool = True
    bug: Exception | None = None  # raised by the reference feed
    ahead: list[float] = attrs.field(factory=lambda: [0.0, 0.0, 0.0])  # of boot, monotonic and wall clock
    stream_ms: int = START_MS
    ended: trio.Event = attrs.field(factory=trio.Event)
    result: Result | None = None

    # -- facts

    @property
    def door(self) -> Inlet:
        assert self.inlet is not None, "nothing is fed yet"
        return self.inlet

    def snapshot(self, positions: tuple[PositionSeen, ...] = ()) -> None:
        self.stream_ms += 100
        book = ((self.ticks - 20, 100),), ((self.ticks + 20, 100),)
        self.door.deliver(StreamSnapshot(BTC, self.stream_ms, *book, (), positions))

    def delta(self, *fills: Fill, positions: tuple[PositionSeen, ...] = ()) -> None:
        self.stream_ms += 100
        self.door.deliver(StreamDelta(BTC, self.stream_ms, (), (), fills, positions, ()))

    def lose_stream(self) -> None:
        self.door.deliver(StreamLost(BTC, StreamFault.CLOSED, "reset"))

    def price(self, ticks: int, mark_ticks: int | None = None) -> None:
        """Move everything a price is made of, in one step."""
        self.ticks = ticks
        price = spec().grid.price
        mark, index = price.text(ticks if mark_ticks is None else mark_ticks), price.text(ticks)
        self.site.usual[ocx.MARKET_STATS] = saying({**STATS, "markPrice": mark, "indexPrice": index})

    def listing(self, status: str) -> None:
        self.site.usual[ocx.MARKETS] = saying([{**MARKET, "tradingStatus": status}])

    def pass_unseen(self, boot: float, monotonic: float, wall: float) -> None:
        """Let clocks move while no task runs."""
        self.ahead = [was + more for was, more in zip(self.ahead, (boot, monotonic, wall), strict=True)]

    # -- the feeds, as the supervisor starts them

    async def feed_market(self, _client: object, _spec: object, inlet: Inlet, *rest: object) -> NoReturn:
        self.inlet = inlet
        streams = rest[-1]
        assert isinstance(streams, Streams)
        while True:
            self.snapshot()
            with streams.open(BTC):
                await self.feed_stream(inlet)

    async def feed_stream(self, inlet: Inlet) -> NoReturn:
        while True:
            await trio.sleep(FEED_SECONDS)
            try:
                if self.stream_on:
                    inlet.deliver(StreamHeard(BTC))
            except StreamBroken as broken:
                inlet.deliver(StreamLost(BTC, broken.fault, broken.detail))
                self.snapshot()

    async def feed_reference(self, venue: Venue, inlet: Inlet, *_rest: object) -> NoReturn:
        price = spec().grid.price
        flip = False
        while True:
            if self.bug is not None:
                raise self.bug
            if self.reference_on:
                flip = self.wild and not flip
                at = price.value(self.ticks + 100 * flip)
                one, tick = price.value(1000), price.value(1)
                inlet.deliver(ReferenceQuote(venue.source, "BTC-USD", at - tick, one, at + tick, one))
                inlet.deliver(ReferenceHeard(venue.source))
            await trio.sleep(FEED_SECONDS)

    # -- what came of it

    def ladders(self, since: float = 0.0) -> list[Seen]:
        return [seen for seen in self.site.seen(ocx.QUOTES_BULK) if seen.at > since]

    async def until_quoted(self, since: float = 0.0) -> None:
        """Wait until a ladder that came after `since` rests."""
        while not (self.ladders(since) and self.site.resting and not self.switch.latched):
            if self.ended.is_set():
                raise AssertionError(f"it ended: {self.result}")
            await trio.sleep(0.05)
        await trio.testing.wait_all_tasks_blocked()

    def ask(self, key_digest: str | None = None) -> None:
        """Ask for a reload as the guard does; the digest is that of the key on the shelf, or another."""
        told = digest(self.shelf.kept.secret) if key_digest is None else key_digest
        self.guard.send(json.dumps({"reload": len(self.answers) + 1, "key_digest": told}).encode())

    async def reload(self, key_digest: str | None = None) -> dict[str, Any]:
        """Ask for a reload, and wait for what came of it."""
        number = len(self.answers) + 1
        self.ask(key_digest)
        with trio.fail_after(RELOAD_SECONDS_MAX):
            while len(self.answers) < number:
                await trio.sleep(0.05)
        return self.answers[-1]

    def heal(self) -> None:
        """Whatever was wrong outside is over."""
        self.reference_on = self.stream_on = True
        self.wild = False
        self.site.scripts.clear()
        self.listing("active")
        self.price(FAIR_TICKS + 30)  # a refused ladder is never sent again as it was
        for market in self.run.engine.markets.values():
            if not market.live and not market.resnapshot_due and not market.halted:
                self.snapshot()


# The last run ended long ago.
RESTED = Left(WALL - 600.0, 120, 120, WALL - 540.0, 0.0, 1.0, 6.0, closed=True, learned=None, configured=120)


@contextlib.asynccontextmanager
async def running(
    settings: Config,
    monkeypatch: pytest.MonkeyPatch,
    *,
    for_seconds: float = float("inf"),
    left: Left | None = RESTED,
    teller: Teller | None = None,
) -> AsyncIterator[World]:
    """Start a run; `World.ended` is set once it has concluded. `left` of the request budget by the last one."""
    async with trio.open_nursery() as nursery:
        site = Site(nursery)
        told = a_recorder()
        settings.state_folder.mkdir(parents=True, exist_ok=True)
        if left is not None:
            (settings.state_folder / BUDGET_FILE).write_text(spell(left))
        panic = Panic((site.lane("panic-1"), site.lane("panic-2")))
        switch = SeenSwitch(panic, settings.halt.settle_seconds_max, folder=settings.state_folder, requests=site.log)
        engine = startup.make_engine(settings, Identity.of("mk", 7))
        told.recorder.engine = engine
        guard_end, our_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        send, receive = trio.open_memory_channel[int](8)
        lane, scope = site.lane("quoting"), trio.CancelScope()
        route = Route("http://ocx.test", SiteEndpoint("ocx.test", 80, None, "", ADDRESSES, site=site))
        parts = (settings, told.recorder, engine, switch, site.client(), route, lane, scope, random.Random(0))
        # files are written when put: a thread of an ended run would still write into a folder that the next one reads
        run = Run(*parts, host=Host(lasting=DirectFile))
        run.link = link_to_guard(run, our_end.detach())
        shelf = Shelf(settings)
        run.reloader = supervisor.reloads(run, run.link, shelf, shelf.tree, KEY)
        world = World(site, told, run, switch, send, guard_end, settings.state_folder, shelf)
        world.price(FAIR_TICKS)
        world.listing("active")

        def clock(number: int, base: float) -> float:
            return base + trio.current_time() + world.ahead[number]

        run.pulse = Pulse(partial(clock, 0, START), partial(clock, 1, START), partial(clock, 2, WALL))
        switch.clock = run.pulse.boot  # one clock, as in life
        panic.on_answer = run.on_answer
        panic.on_warmed = partial(run.pulse.check_in, PANIC)
        monkeypatch.setattr(supervisor, "run_market_stream", world.feed_market)
        monkeypatch.setattr(supervisor, "run_reference", world.feed_reference)

        async def whole() -> None:
            error: Exception | None = None
            try:
                await run_nurseries(run, Options(for_seconds, teller=teller), receive)
            except Exception as problem:
                error = problem
            world.result = conclude(run, error)
            world.ended.set()

        nursery.start_soon(whole)
        nursery.start_soon(arm, guard_end, world.answers)
        try:
            yield world
        finally:
            nursery.cancel_scope.cancel(reason="the test is over")
            for lane in (*panic.lanes, run.quoting_lane):
                lane.close()
            await run.client.aclose()
            for end in (guard_end, run.link.raw):
                end.close()


async def arm(guard_end: socket.socket, answers: list[dict[str, Any]]) -> None:
    """Be the guard: answer every heartbeat, and hear what came of reloads, until the test closes this end."""
    guard_end.setblocking(False)
    while guard_end.fileno() >= 0:
        with contextlib.suppress(OSError):
            said = json.loads(guard_end.recv(4096))
            if "reloaded" in said:
                answers.append(said)
            else:
                guard_end.send(json.dumps({"armed": said["epoch"]}).encode())
        await trio.sleep(0.05)


def http_date(unix: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(unix))
