"""The whole program in virtual time: the real maker, real HTTP bytes, the practice exchange, one seed.

    outcome, record = perform(config, schedule)

One `trio.run`: the maker as its supervisor starts it, on a machine of ours (`machine`), its guard (`warden`), and the
exchange behind wires and weather (`site`, `weather`). When every market is quoted the storm begins; when it is over
the world is quiet until the maker quotes again, is told to stop, and whoever must pull has pulled. Then the record is
judged.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.app import supervisor
from maker.app.config import STREAM_FRESH_SECONDS, STREAM_SILENT_SECONDS, Config
from maker.app.result import Result
from maker.edge.journal import MemoryJournal
from maker.edge.records import Run as RunRow
from maker.guard import latch
from maker.paper.accounts import Account
from maker.paper.keys import PAPER_TRADE_SECRET
from maker.paper.market import default_markets
from maker.paper.venue import VenueSettings
from maker.storms import record as r
from maker.storms.happenings import Happenings
from maker.storms.invariants import judge
from maker.storms.machine import Clocks, Machine, ProbedRecorder, a_recorder
from maker.storms.outcome import Outcome
from maker.storms.reached import reached
from maker.storms.schedule import Schedule
from maker.storms.site import REFERENCE, Site
from maker.storms.virtual import run_virtual
from maker.storms.warden import Warden
from maker.storms.weather import READ, Active, Weather
from maker.storms.wires import ClientStream

RESERVE_MIN: Final = 22  # requests for cancels, and two a market: reckoned here, not asked of the maker (S9)
LOOK_SECONDS: Final = 0.2  # of the world at itself
QUOTING_SECONDS_MAX: Final = 60.0  # to the first ladder everywhere; a start has thirty for each of its parts
QUIET_SECONDS_MIN: Final = 2.0  # quoting again, before it is told to stop
QUIET_SECONDS_MAX: Final = 62.0  # L2 gives it sixty
END_SECONDS_MAX: Final = 700.0  # from there to the end of everything, the guard's ten minutes included
SETTLED_SECONDS: Final = 0.8  # nothing happened on our account for so long: all news of it has arrived
COMPARE_SECONDS: Final = 0.5
CLEARED_SECONDS: Final = 3.0  # of quiet: by then nobody else quotes what was right before the storm
LADDERS_MIN: Final = 10  # of a storm that counts
WARM_LADDERS: Final = 9  # before the storm begins
SIMULATED_SECONDS_MIN: Final = 20.0  # of every world, even where the maker ended early
SWELL_SECONDS: Final = (0.4, 0.8)  # between two small moves of the price; three times as long after some ladders
SWELL_BPS: Final = (0.8, 2.0)
PULLING: Final = ("cancel_all", "orders")  # requests that are made when quotes are pulled
MOMENT_SECONDS: Final = 0.01  # between two things that a storm does: each is felt before the next
PROVOKE_SECONDS: Final = 2.0  # a fault of theirs waits so long for a pull to come by itself
RESTING_SECONDS_MAX: Final = 1.5  # a fault waits so long for quotes that it may meet
ONCE_SECONDS_MAX: Final = 6.0  # a fault that waits for its moment waits no longer
CUSTOMER_SECONDS: Final = (1.0, 3.0)  # between two customers who take from us
ONE_WAY_SECONDS: Final = (0.4, 1.0)  # ... while all of them take the same side


def perform(config: Config, schedule: Schedule) -> tuple[Outcome, r.Record]:
    """Perform one storm and judge it."""
    folder = Path(tempfile.mkdtemp(prefix="maker-storm-"))
    try:
        world = World(narrowed(config, schedule.markets, folder), schedule)
        run_virtual(world.run, schedule.seed, world.connect)
        return world.outcome(), world.record
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def narrowed(config: Config, markets: int, folder: Path) -> Config:
    """The configuration for its first so many markets, at addresses that are nowhere."""
    chosen = dict(list(config.markets.items())[:markets])
    return attrs.evolve(
        config,
        markets=chosen,
        state_folder=folder,
        exchange=attrs.evolve(config.exchange, base_url="http://ocx.test", ca_file=""),
        reference=attrs.evolve(config.reference, url="ws://reference.test", ca_file=""),
    )


def terms_of(config: Config, schedule: Schedule) -> r.Terms:
    """What the checkers judge by."""
    specs = {spec.market_id: spec for spec in default_markets()}
    limit = config.budget.requests_per_minute
    markets = {
        market_id: r.MarketTerms(
            tick=specs[market_id].tick_size,
            lot=specs[market_id].step_size,
            position_limit=one.limits.position_limit,
            order_size_max=one.limits.order_size_max,
            order_value_max=one.limits.order_value_max,
            collar_bps=one.limits.collar_bps,
            basis_bps_max=one.fair.basis_bps_max,
        )
        for market_id, one in config.markets.items()
    }
    return r.Terms(
        markets=markets,
        value_max=config.limits.value_max,
        tail_seconds=config.guard.tail_seconds,
        give_up_seconds=config.guard.give_up_seconds,
        hang_seconds_max=config.guard.hang_seconds_max,
        reference_stale_seconds_max=max(one.fair.stale_seconds_max for one in config.markets.values()),
        stream_fresh_seconds_max=STREAM_FRESH_SECONDS,
        stream_silent_seconds_max=STREAM_SILENT_SECONDS,
        halt_seconds_max=config.halt.halt_seconds_max,
        write_delay_seconds_max=config.guard.write_delay_seconds_max,
        reserve=max(RESERVE_MIN + 2 * len(config.markets), round(limit * config.budget.reserve_ratio)),
        requests_per_minute=config.budget.requests_per_minute,
        throttle_faults=any(fault.name in ("throttled", "tokens_taken") for fault in schedule.faults),
    )


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

    def __attrs_post_init__(self) -> None:
        self.record = r.Record(terms_of(self.config, self.schedule))
        late = min(self.config.guard.write_delay_seconds_max, self.config.halt.tail_seconds_max)
        self.weather = Weather(self.schedule, self.record, f"{self.config.order_prefix}-", late)
        self.journal = MemoryJournal(RunRow("storm", 0, "paper", "storm", "0", "0"))
        self.recorder = a_recorder(self.note, self.journal)

    def note(self, entry: r.Entry) -> None:
        """Note what the maker says of itself; a dead process says nothing."""
        if self.dead:
            return
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
                PAPER_TRADE_SECRET,
                guard.tail_seconds,
                guard.give_up_seconds,
                guard.hang_seconds_max,
                self.schedule.seed,
                self.killed,
                self.signalled,
            )
            self.happenings = Happenings(self)
            nursery.start_soon(self.site.venue.keeper.run_steps)
            nursery.start_soon(self.maker)
            nursery.start_soon(self.customers)
            nursery.start_soon(self.swell)
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
        if not self.happenings.kill_file and latch.read(self.config.state_folder) is not None:
            self.record.add(r.KillFileWritten(at=at, by=r.MAKER))
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
            self.count()
            await self.storm()
            if not self.over:
                await self.quiet()
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
        self.look_for_secrets()

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

    async def storm(self) -> None:
        """Let each fault begin and end at its time."""
        began = trio.current_time()
        moments: list[tuple[float, int, str]] = []
        for index, fault in enumerate(self.schedule.faults):
            moments.append((fault.at, index, "begin"))
            moments.append((fault.ends_at if fault.seconds else fault.at + ONCE_SECONDS_MAX, index, "end"))
            if not fault.seconds and fault.words.get("target") in PULLING:
                moments.append((fault.at + PROVOKE_SECONDS, index, "provoke"))
        if self.schedule.stop_at is not None:
            moments.append((self.schedule.stop_at, -1, "stop"))
        in_force: dict[int, Active] = {}
        for at, index, what in sorted(moments):
            await trio.sleep_until(max(trio.current_time() + MOMENT_SECONDS, began + at))
            if self.over and not self.weather.active:
                break
            if what == "stop":
                self.tell_to_end()
            elif what == "provoke":
                waits = in_force.get(index) in self.weather.active
                if waits and self.site.feed is not None and not self.pulling:
                    self.weather.reset(self.site.feed)  # something must be pulled, or this fault has no chance
            elif what == "begin" and not self.over:
                await self.until(lambda: bool(self.site.orders), RESTING_SECONDS_MAX)
                in_force[index] = self.weather.begin(index, self.schedule.faults[index])
                self.happenings.begin(in_force[index])
            elif index in in_force:
                self.happenings.finish(in_force[index])
                self.weather.end(in_force[index])
            if not self.weather.active and all(one in in_force for one in range(len(self.schedule.faults))):
                break  # the last one has bitten
        for active in in_force.values():
            if active in self.weather.active:
                self.happenings.finish(active)
                self.weather.end(active)
        self.record.add(r.QuietBegan(at=trio.current_time()))

    async def quiet(self) -> None:
        """Wait until it quotes again everywhere, comparing both sides meanwhile."""
        began = trio.current_time()
        before = dict(self.site.ladders)
        quoted_at: float | None = None
        compare_at = began
        while trio.current_time() < began + QUIET_SECONDS_MAX and not self.over:
            await trio.sleep(LOOK_SECONDS)
            now = trio.current_time()
            if now >= compare_at:
                compare_at = now + COMPARE_SECONDS
                self.compare()
                if quoted_at is None and now >= began + CLEARED_SECONDS:
                    self.happenings.clear_the_books()
                if quoted_at is not None and now >= quoted_at + 1.0:
                    self.count()
            again = all(self.site.ladders.get(one, 0) > before.get(one, 0) for one in self.config.markets)
            if quoted_at is None and again and self.site.orders:
                quoted_at = now
            heard = all((link.heard_at or 0.0) >= began for link in self.site.stream_of.values())  # or connected anew
            enough = heard and now >= SIMULATED_SECONDS_MIN - 1.0 and sum(self.site.ladders.values()) >= LADDERS_MIN
            if quoted_at is not None and now >= quoted_at + QUIET_SECONDS_MIN and enough:
                break
        self.compare(always=True)

    async def customers(self) -> None:
        """Somebody takes from our quotes now and then, so that fills happen in every storm."""
        rng = random.Random(f"customers:{self.schedule.seed}")
        await self.quoted.wait()
        while not self.over:
            one_way = next((active for active in self.weather.active if active.name == "one_way"), None)
            await trio.sleep(rng.uniform(*(CUSTOMER_SECONDS if one_way is None else ONE_WAY_SECONDS)))
            market_id = rng.choice(list(self.config.markets))
            if one_way is not None and one_way in self.weather.active:  # F34: everybody wants the same, and all of it
                if self.happenings.sweep(market_id, one_way.word("side")):
                    self.weather.bite(one_way)
                continue
            side = rng.choice(("buy", "sell"))
            self.happenings.take(market_id, side, Decimal(rng.choice(("0.3", "0.5", "1"))))

    async def swell(self) -> None:
        """Prices move a little all the time, so that there is always something to replace."""
        rng = random.Random(f"swell:{self.schedule.seed}")
        await self.quoted.wait()
        while not self.over:
            enough = sum(self.site.ladders.values()) >= LADDERS_MIN
            await trio.sleep(rng.uniform(*SWELL_SECONDS) * (1 + 2 * enough))
            for around in self.site.venue.keeper.place.surroundings.values():
                around.path.jump(rng.choice((-1.0, 1.0)) * rng.uniform(*SWELL_BPS))

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

    # -- judging

    def compare(self, *, always: bool = False) -> None:
        """Compare the maker's books with the exchange's where nothing is on its way (S6)."""
        site, engine, now = self.site, self.recorder.engine, trio.current_time()
        settled = now - site.touched_at >= SETTLED_SECONDS and not site.is_under_way()
        if (
            self.over
            or self.pulling
            or self.weather.active
            or engine.holding is not None
            or engine.account_read_due
            or not settled
        ):
            return
        account: Account = site.exchange.state.accounts[site.user_id]
        for market_id, market in engine.markets.items():
            stream = site.stream_of.get(market_id)
            if not market.live or stream is None or not stream.sound or stream.down.swallows:
                continue  # the news is still on its way, or will never come
            if market.account.pending:
                continue  # a ladder was performed, and its answer is on its way
            grid, ours = market.account.spec.grid, market.account
            differences = []
            position = grid.size.value(ours.position_lots)
            if position != account.quantity(market_id):
                differences.append(f"position {position}, the exchange has {account.quantity(market_id)}")
            resting = {
                str(row.client_order_id): (row.price, row.remaining)
                for row in site.exchange.open_orders(site.user_id, market_id)
                if str(row.client_order_id).startswith(self.weather.prefix)
            }
            believed = {
                order.client_order_id: (grid.price.value(order.ticks), grid.size.value(order.lots))
                for order in ours.resting.values()
            }
            if market.orders_known and believed != resting:
                differences.append(f"orders {believed}, the exchange has {resting}")
            self.record.add(r.Compared(at=now, market_id=market_id, differences=tuple(differences)))

    def count(self) -> None:
        """Count what must not grow, once everything is connected again (S23)."""
        site, now = self.site, trio.current_time()
        if self.over or self.pulling:
            return  # its tasks are ending, or its feeds begin anew
        cycles = sum(site.ladders.values())
        # Idle connections of reads are kept for the next ones: as many as there were reads at once, and bounded.
        kept = [link for link in site.links.values() if link.target != READ]
        open_links = sum(link.client is not None and not link.client.closed for link in kept)
        tasks = len(self.happenings.maker_tasks())
        self.record.add(r.Counted(at=now, tasks=tasks, connections=open_links, cycles=cycles))

    def look_for_secrets(self) -> None:
        """The key's text must stand nowhere (S18)."""
        secret = PAPER_TRADE_SECRET
        at = trio.current_time()
        for where, texts in (("log", self.recorder.lines), ("journal", [repr(row) for row in self.journal.rows])):
            if any(secret in text for text in texts):
                self.record.add(r.SecretSeen(at=at, where=where))

    def outcome(self) -> Outcome:
        """What came of it."""
        violations, checked = judge(self.record)
        ladders = sum(self.site.ladders.values())
        bites: dict[str, int] = {}
        while_resting = False
        for entry in self.record.entries:
            if isinstance(entry, r.FaultBit):
                bites[entry.name] = bites.get(entry.name, 0) + 1
            while_resting = while_resting or (isinstance(entry, r.FaultBegan) and entry.resting > 0)
        void = self.void
        if not void and ladders < LADDERS_MIN:
            void = f"only {ladders} ladders"
        if not void and not self.site.trades:
            void = "no fill"
        if not void and self.schedule.faults and not (while_resting and bites):
            void = "no fault met resting quotes"
        return Outcome(
            schedule=self.schedule,
            digest=digest(self.record),
            violations=tuple(violations),
            void=void,
            simulated_seconds=self.ended_at,
            ladders=ladders,
            fills=self.site.trades,
            faults=bites,
            reached=reached(self.record),
            checked=checked,
            crashed="\n".join(self.weather.troubles),
        )


def is_pull(entry: r.Entry) -> bool:
    """Whether an entry is a cancel-all of the maker's leaving, or what became of it in that instant."""
    return isinstance(entry, r.Lost | r.FaultBit | r.FaultEnded) or (
        isinstance(entry, r.Left) and entry.owner == r.MAKER and entry.is_cancel_all
    )


def digest(record: r.Record) -> str:
    """A hash of everything that happened, in order."""
    hashed = hashlib.blake2b(digest_size=16)
    for entry in record.entries:
        hashed.update(repr(entry).encode())
    return hashed.hexdigest()
