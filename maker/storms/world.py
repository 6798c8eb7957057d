"""The whole program in virtual time: the real maker, real HTTP bytes, the practice exchange, one seed.

    outcome, record = perform(config, schedule)

One `trio.run`: the maker as its supervisor starts it, on a machine of ours (`machine`), its guard (`warden`), and the
exchange behind wires and weather (`site`, `weather`). When every market is quoted the storm begins; when it is over
the world is quiet until the maker quotes again, is told to stop, and whoever must pull has pulled. Then the record is
judged.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.app import supervisor
from maker.app.config import Config
from maker.app.result import Result
from maker.edge.journal import MemoryJournal
from maker.edge.records import Run as RunRow
from maker.launch import latch
from maker.launch.key import Key
from maker.launch.reloading import Keys
from maker.paper.keys import PAPER_TRADE_SECRET
from maker.paper.market import default_markets
from maker.paper.venue import VenueSettings
from maker.storms import audit, scenes
from maker.storms import record as r
from maker.storms.happenings import Happenings
from maker.storms.machine import Clocks, Machine, ProbedRecorder, a_recorder
from maker.storms.outcome import Outcome
from maker.storms.reloads import Reloads, Shelf
from maker.storms.scenes import LOOK_SECONDS, SIMULATED_SECONDS_MIN
from maker.storms.schedule import Schedule
from maker.storms.sight import REFERENCE
from maker.storms.site import Site
from maker.storms.terms import narrowed, terms_of
from maker.storms.virtual import run_virtual
from maker.storms.warden import Warden
from maker.storms.weather import Weather
from maker.storms.wires import ClientStream

QUOTING_SECONDS_MAX: Final = 60.0  # to the first ladder everywhere; a start has thirty for each of its parts
END_SECONDS_MAX: Final = 700.0  # from there to the end of everything, the guard's ten minutes included
WARM_LADDERS: Final = 9  # before the storm begins
MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder in it is our own, with a name that nobody can foresee


def perform(config: Config, schedule: Schedule) -> tuple[Outcome, r.Record]:
    """Perform one storm and judge it."""
    with state_folder() as folder:
        world = World(narrowed(config, schedule.markets, folder), schedule)
        run_virtual(world.run, schedule.seed, world.connect)
        return audit.outcome(world), world.record


@contextlib.contextmanager
def state_folder() -> Iterator[Path]:
    """A maker's state folder for one world: in memory where Linux offers it, as a disk takes longer than the storm."""
    folder = Path(tempfile.mkdtemp(prefix="maker-storm-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@attrs.define(eq=False)
class World:
    """One storm under way."""

    config: Config
    schedule: Schedule
    record: r.Record = attrs.field(init=False)
    weather: Weather = attrs.field(init=False)
    site: Site = attrs.field(init=False)
    machine: Machine = attrs.field(init=False)
    recorder: ProbedRecorder = attrs.field(init=False)
    journal: MemoryJournal = attrs.field(init=False)
    warden: Warden = attrs.field(init=False)
    happenings: Happenings = attrs.field(init=False)
    clocks: Clocks = attrs.field(factory=Clocks)
    process: trio.CancelScope = attrs.field(factory=trio.CancelScope)  # the maker's
    dead: bool = False
    deaf: bool = False  # the maker hears no signal
    unwound: float = 0.0  # seconds from the last answer of the halt to the end of all other tasks
    pulling: bool = False  # the maker has tripped, and not been armed again
    quoted: trio.Event = attrs.field(factory=trio.Event)
    void: str = ""
    ended_at: float = 0.0
    shelf: Shelf | None = None  # None: nothing is reloaded in this storm
    reloads: Reloads = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.record = r.Record(terms_of(self.config, self.schedule))
        late = self.config.guard.write_delay_seconds_max
        self.weather = Weather(self.schedule, self.record, f"{self.config.order_prefix}-", late)
        self.journal = MemoryJournal(RunRow("storm", 0, "paper", "storm", "0", "0"))
        self.recorder = a_recorder(self.note, self.journal)
        self.reloads = Reloads(self)
        if any(fault.name == "reload" for fault in self.schedule.faults):
            self.shelf = Shelf(self.config, Key(PAPER_TRADE_SECRET, "ocx_kid_storm_0", "trade", math.inf))

    def note(self, entry: r.Entry) -> None:
        """Note what the maker says of itself; a dead process says nothing."""
        if self.dead:
            return
        if isinstance(entry, r.Reloaded):
            assert self.shelf is not None, "nobody reloads without it"
            entry = attrs.evolve(entry, terms=terms_of(self.shelf.read_last, self.schedule))
        if isinstance(entry, r.Tripped | r.Rearmed):
            self.pulling = isinstance(entry, r.Tripped)
        entries, place = self.record.entries, len(self.record.entries)
        if isinstance(entry, r.Tripped):
            # The trip is one block: latch, then send. Its probe comes after both, the promise begins with it.
            while place and (before := entries[place - 1]).at == entry.at and is_pull(before):
                place -= 1
        entries.insert(place, entry)

    # -- the parts

    async def run(self) -> None:
        """Everything, from the first byte to the last."""
        async with trio.open_nursery() as nursery:
            settings = VenueSettings(
                seed=self.schedule.seed,
                preset="busy",
                step_ms=self.schedule.step_ms,
                rate_limit_per_minute=self.config.budget.requests_per_minute,
                markets=tuple(spec for spec in default_markets() if spec.market_id in self.config.markets),
            )
            self.site = Site.open(nursery.start_soon, self.weather, self.record, self.clocks.exchange, settings)
            self.machine = Machine(self.site, self.schedule.seed, self.clocks)
            self.machine.link.said = self.link_said
            guard = self.config.guard
            self.warden = Warden(
                self.site,
                self.clocks,
                self.machine.guard_link,
                self.config.state_folder,
                Keys(Key(PAPER_TRADE_SECRET, "ocx_kid_storm_0", "trade", math.inf)),
                guard.tail_seconds,
                guard.give_up_seconds,
                guard.hang_seconds_max,
                self.schedule.seed,
                self.killed,
                self.signalled,
            )
            self.warden.shelf = self.shelf
            self.happenings = Happenings(self)
            self.warden.reported = self.reloads.reported
            nursery.start_soon(self.site.venue.keeper.run_steps)
            nursery.start_soon(self.maker)
            nursery.start_soon(self.customers)
            nursery.start_soon(scenes.swell, self)
            nursery.start_soon(self.warden.run)
            with trio.move_on_after(QUOTING_SECONDS_MAX + 2 * END_SECONDS_MAX) as limit:
                await self.direct()
            stuck = "the world did not end" if limit.cancelled_caught else ""
            self.ended_at = trio.current_time()
            self.record.add(r.WorldEnded(at=self.ended_at, stuck=stuck))
            self.dead = True
            nursery.cancel_scope.cancel(reason="the world has ended")

    async def connect(self, _host: str, _port: int) -> trio.abc.Stream:
        """Connect to the reference feed, the only one that does it this way."""
        return ClientStream(await self.site.dial(r.MAKER, REFERENCE))

    async def maker(self) -> None:
        """The maker's process, to its end."""
        self.happenings.maker = trio.lowlevel.current_task()
        try:
            with self.process:
                options, host = supervisor.Options(guard_fd=0), self.machine.host()
                if self.shelf is not None:
                    options = attrs.evolve(options, source=self.shelf, tree=self.shelf.tree)
                result = await supervisor.run(self.config, PAPER_TRADE_SECRET, options, self.recorder, host)
                if not self.dead:
                    self.finished(result)
        except* Exception:
            if not self.dead:  # what a killed process raises while its remains are cleared away is nobody's
                raise

    def link_said(self, beat: bytes) -> None:
        """The first beat that says "ending" leaves when all tasks but the last have ended: how long that took (S14)."""
        if self.unwound == 0.0 and b'"ending": true' in beat:
            self.unwound = trio.current_time() - self.site.last_got_at

    def finished(self, result: Result) -> None:
        """The maker has ended by itself; its guard reads what it wrote."""
        at = trio.current_time()
        text = [*self.recorder.lines, result.reason]
        written = any(True for _ in self.record.of(r.KillFileWritten))
        if not written and latch.read(self.config.state_folder) is not None:
            self.record.add(r.KillFileWritten(at=at, by=r.MAKER))
        causes = tuple(one for one in self.happenings.planted if any(one in line for line in text))
        self.record.add(
            r.Ended(
                at=at,
                code=int(result.exit_code),
                reason=result.reason,
                verified_empty=result.verified_empty,
                unwound_seconds=self.unwound if result.verified_empty else 0.0,
                causes=causes,
            )
        )
        self.dead = True
        self.warden.result = json.dumps(attrs.asdict(result)).encode()
        self.warden.exit_code = int(result.exit_code)
        self.gone()

    def killed(self, why: str) -> None:
        """The maker's process is gone, whatever it was doing."""
        if not self.warden.ended.is_set():
            hang = self.happenings.frozen_at
            self.record.add(r.Died(at=trio.current_time(), why=why, hang_began_at=hang))
            self.dead = True
            self.gone()
            self.process.cancel(reason="killed")

    def guard_gone(self) -> None:
        """The guard's process is gone: the maker sees the end of the link, and nobody will finish anything."""
        self.record.add(r.GuardGone(at=trio.current_time()))
        self.warden.alive = False
        self.machine.guard_link.close()

    def gone(self) -> None:
        """The maker's process has ended: its sockets are closed by the kernel, its guard sees it by the pidfd."""
        self.site.die(r.MAKER)
        self.machine.link.frozen = False
        self.machine.link.close()
        self.warden.ended.set()
        self.machine.guard_link.stir()

    def signalled(self, number: int) -> None:
        """A signal reaches the maker's process."""
        if self.warden.ended.is_set() or self.happenings.frozen_at is not None or self.deaf:
            return
        healthy = not (self.weather.active or self.site.in_flight or self.pulling) and self.is_quoting()
        self.note(r.Signalled(at=trio.current_time(), number=number, resting=len(self.site.orders), healthy=healthy))
        with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
            self.machine.told.send_nowait(number)

    # -- the story

    async def direct(self) -> None:
        """Wait for quotes, let the storm pass, wait for quotes again, end it, see it to its end."""
        await self.until(self.is_quoting, QUOTING_SECONDS_MAX)
        if not self.is_quoting():
            self.void = "it never quoted"
        else:
            self.record.add(r.Quoting(at=trio.current_time()))
            self.quoted.set()
            await self.until(lambda: sum(self.site.ladders.values()) >= WARM_LADDERS, QUOTING_SECONDS_MAX)
            audit.count(self)
            await scenes.storm(self)
            if not self.over:
                await scenes.quiet(self)
        if not self.over:
            await self.end()
        await self.until(self.warden.done.is_set, END_SECONDS_MAX)
        if not self.warden.done.is_set():
            self.void = self.void or "the guard did not end"
        while (  # noqa: ASYNC110 - a look at the world costs nothing in virtual time
            self.site.in_flight and trio.current_time() < QUOTING_SECONDS_MAX + 2 * END_SECONDS_MAX
        ):
            await trio.sleep(LOOK_SECONDS)
        await trio.sleep_until(max(trio.current_time(), SIMULATED_SECONDS_MIN))
        audit.look_for_secrets(self)

    @property
    def over(self) -> bool:
        """Whether the maker's process has ended."""
        return self.warden.ended.is_set()

    def is_quoting(self) -> bool:
        """Whether every market has had a ladder applied, and something rests."""
        return bool(self.site.orders) and all(market_id in self.site.ladders for market_id in self.config.markets)

    async def until(self, condition: Callable[[], bool], seconds_max: float) -> None:
        """Wait for a condition; no longer than so much, nor (but for the guard's end) than the maker lives."""
        ends_at = trio.current_time() + seconds_max
        for_guard = condition == self.warden.done.is_set
        while not condition() and (for_guard or not self.over) and trio.current_time() < ends_at:  # noqa: ASYNC110 - as above
            await trio.sleep(LOOK_SECONDS)

    async def customers(self) -> None:
        """Somebody takes from our quotes now and then."""
        await scenes.customers(self)

    async def end(self) -> None:
        """End it, and wait for that."""
        self.tell_to_end()
        await self.until(lambda: self.over, END_SECONDS_MAX)

    def tell_to_end(self) -> None:
        """Tell it the way the schedule says."""
        if self.schedule.ending == "kill_file":
            self.happenings.write_kill_file()
        else:
            self.warden.signals.append(15)
            self.machine.guard_link.stir()


def is_pull(entry: r.Entry) -> bool:
    """Whether an entry is a cancel-all of the maker's leaving, or what became of it in that instant."""
    return isinstance(entry, r.Lost | r.FaultBit | r.FaultEnded) or (
        isinstance(entry, r.Left) and entry.owner == r.MAKER and entry.is_cancel_all
    )
