"""The nurseries, the way in and every way out. Order of shutdown is order of nesting.

    signals             open around everything, cleanup included: a second Ctrl-C must not break the halt
      watchers          signals, the parent, the clock, the journal; panic lanes kept warm
        feeds           one stream a market, the reference feed, the polls
          quoting       start-up, then the quoting cycle; the ONLY scope a signal cancels
            finally     halt, shielded and with a deadline

An error in any task trips the switch first (latch and cancel-all, synchronously) and unwinds afterwards.
"""

from __future__ import annotations

import gc
import math
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, NoReturn

import attrs
import trio

from maker.app import startup
from maker.app.config import Config, trusted
from maker.app.feeds import run_market_stream, run_polls, run_reference
from maker.app.halt import HaltReport, Switch, last_halt
from maker.app.link import GuardLink
from maker.app.panic import Panic
from maker.app.quoter import Quoter
from maker.app.reading import AccountReader
from maker.app.record import Recorder
from maker.app.routes import Routes
from maker.app.watches import PANIC, QUOTING, Pulse, Skew, Watch, measure_lag
from maker.desk import facts
from maker.desk.deadman import Reason, Trip
from maker.desk.engine import Engine
from maker.desk.identity import Identity
from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.edge.endpoint import Endpoint, resolve
from maker.edge.lane import Connection, Lane
from maker.errors import ExitCode, MakerError, StartRefused, Unauthorized
from maker.guard import latch
from maker.wire import limits, ocx

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
RESOLVE_SECONDS: Final = 60.0  # between two look-ups of the exchange's name
RESOLVE_SECONDS_MAX: Final = 5.0  # for the first one
START_SECONDS_MAX: Final = 30.0  # listing, account and sweep: a start that takes longer has no healthy exchange
PNL_DECIMALS: Final = 8  # in the result; entry prices carry 28 digits, and nobody wants to read them
FINAL_READ_SECONDS_MAX: Final = 2.0  # of the account, after the halt, for the report's figures


@attrs.define
class Result:
    """What a run ends with; the README explains the fields."""

    reason: str = "not started"
    exit_code: int = ExitCode.REFUSED_TO_START
    verified_empty: bool = False
    open_orders: int | None = None  # None: never read back
    quotes_sent: int = 0
    fills: int = 0
    position: dict[str, str] = attrs.field(factory=dict)  # market -> signed base units
    pnl: str = "0"  # quote: change of equity at mark, fees and funding included
    halts: int = 0
    # For the guard, which takes them out of the result:
    may_have_placed: bool = False
    unknown_write_at: float | None = None  # the begin of the last write of unknown outcome; seconds of BOOTTIME
    exit_code_if_empty: int = ExitCode.FAILED_EMPTY  # instead of 75, should it read the exchange back empty after all


@attrs.frozen
class Options:
    """What the command line adds to the configuration."""

    for_seconds: float = math.inf
    guard_fd: int | None = None  # the link to the guard; None: there is none, and nobody has to allow quoting


@attrs.define
class Route:
    """Where the exchange is: looked up ahead and again from time to time, never on the way of a request (H12)."""

    base_url: str
    endpoint: Endpoint

    async def dial(self) -> Connection:
        """Connect to where it is now. Raises NotSent."""
        return await self.endpoint.dial()

    async def keep_resolved(self) -> NoReturn:
        """Follow the name to new addresses; a look-up that fails or hangs keeps the last good ones."""
        while True:
            await trio.sleep(RESOLVE_SECONDS)
            self.endpoint = await resolve(self.base_url, last_good=self.endpoint)


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
    stop: Trip | None = None  # the first reason to leave
    report: HaltReport = attrs.field(factory=HaltReport)
    pulse: Pulse = attrs.field(factory=Pulse)
    skew: Skew = attrs.field(factory=Skew)

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
                self.leave(Trip(reason_of(error), describe(error)))
            raise

    def on_answer(self, answer: Answer) -> None:
        """Learn the rate limit from any answer of the order path."""
        seen = limits.seen(answer.headers, time.time())
        if seen is not None:
            self.engine.apply(seen, self.pulse.boot())
        skewed = self.skew.seen(answer.headers, self.pulse.wall())
        if skewed is not None:
            self.leave(skewed)
        if self.skew.warning:
            self.recorder.state("clock", "skewed", self.skew.warning)


def first_cause(error: BaseException) -> BaseException:
    """The first leaf of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = (error.split(trio.Cancelled)[1] or error).exceptions[0]
    return error


def reason_of(error: BaseException) -> Reason:
    """The row of the dead-man's table an error belongs to."""
    return Reason.CREDENTIALS if isinstance(first_cause(error), Unauthorized) else Reason.UNHANDLED_ERROR


def describe(error: BaseException) -> str:
    """The first cause in one line."""
    cause = first_cause(error)
    if isinstance(cause, trio.TooSlowError):
        within = f"within {START_SECONDS_MAX:.0f} s of the start"
        return f"the exchange could not be found, read and swept {within}; the log says what failed"
    return str(cause) if isinstance(cause, MakerError) else f"{type(cause).__name__}: {cause}"


async def run(config: Config, key: str, options: Options, recorder: Recorder) -> Result:
    """Quote until told to stop, or until something breaks; say how it ended. Raises nothing but cancellation."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        # The parent starts us with these blocked, so that one that came while we were importing waits until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        wired: Run | None = None
        error: BaseException | None = None
        try:
            with trio.fail_after(RESOLVE_SECONDS_MAX):
                url, trusts = config.exchange.base_url, trusted("exchange.ca_file", config.exchange.ca_file)
                route = Route(url, await resolve(url, trusts))
            wired = wire(config, key, route, recorder)
            if options.guard_fd is not None:
                wired.link = link_to_guard(wired, options.guard_fd)
            await run_nurseries(wired, options, signals)
        except Exception as problem:  # noqa: BLE001 - the top of this process: it ends here, and says why
            error = problem
            recorder.crashed(problem)
        if wired is None:
            return Result(reason=f"the exchange cannot be found: {describe(error)}" if error else "not started")
        if wired.link is not None:
            wired.link.send(ending=True)
        await take_down(wired)
        return conclude(wired, error)


def wire(config: Config, key: str, route: Route, recorder: Recorder) -> Run:
    """Make the rooms' parts and put them together."""
    rng = random.SystemRandom()
    headers = {ocx.KEY_HEADER: key}
    endpoint = route.endpoint

    def lane(name: str) -> Lane:
        return Lane(name, route.dial, endpoint.host_header, headers, base_path=endpoint.base_path)

    identity = Identity.of(config.order_prefix, rng.getrandbits(64))
    engine = startup.make_engine(config, identity)
    recorder.engine = engine
    lanes = lane("panic-1"), lane("panic-2")
    routes = Routes(lanes[0].build, tuple(config.markets), partial(may_rest, engine), identity.quote_id)
    switch = Switch(Panic(lanes, budget=engine.budget, routes=routes), config.halt.settle_seconds_max)
    client = Client(config.exchange.base_url, headers, endpoint.tls, dial=route.dial)
    run = Run(config, recorder, engine, switch, client, route, lane("quoting"), trio.CancelScope(), rng)
    switch.panic.on_answer = run.on_answer
    switch.panic.on_warmed = partial(run.pulse.check_in, PANIC)
    return run


def link_to_guard(run: Run, descriptor: int) -> GuardLink:
    """Take up the link; heartbeats are held back while quoting goes on and something that must run does not."""

    def writes() -> tuple[int, float | None]:
        return int(run.switch.write_scope is not None), run.quoting_lane.last_request_at

    return GuardLink.over(descriptor, run.engine.identity.epoch, writes, lambda: run.pulse.healthy(run.pulse.boot()))


def may_rest(engine: Engine) -> list[str]:
    """The clientOrderIds of all that may rest, should the exchange not tell."""
    accounts = [market.account for market in engine.markets.values()]
    return [name for account in accounts for name in (*account.pending, *account.resting)]


async def run_nurseries(run: Run, options: Options, signals: AsyncIterator[int]) -> None:
    """Watchers around feeds around quoting around the halt."""
    config, engine, switch, client, rng = run.config, run.engine, run.switch, run.client, run.rng
    async with trio.open_nursery() as watchers:
        watchers.start_soon(run.guarded, partial(receive_signals, signals, run))
        watchers.start_soon(run.guarded, partial(measure_lag, run.pulse))
        watchers.start_soon(run.guarded, switch.panic.keep_warm)
        watchers.start_soon(run.guarded, run.route.keep_resolved)
        if run.link is not None:
            watchers.start_soon(run.guarded, run.link.beat)
            watchers.start_soon(run.guarded, partial(watch_guard, run.link, run))
        async with trio.open_nursery() as feeds:
            with run.quoting:
                reader = AccountReader(client, {}, partial(run.recorder.state, "account", "waiting"))
                startup.refuse_latched(config.state_folder)
                with trio.fail_after(START_SECONDS_MAX):
                    specs = await startup.read_markets(reader, config)
                    await startup.refuse_foreign(reader, engine.identity)
                    await startup.sweep(switch.panic)
                    startup.add_markets(engine, config, specs)
                    reader.grids = {market_id: spec.grid for market_id, spec in specs.items()}
                    engine.baseline(await reader.whole())
                    if run.link is not None:
                        await run.link.armed.wait()  # S20: nothing is placed before somebody would pull it for us
                gc.collect()
                gc.freeze()  # what is loaded by now stays: later collections need not walk it, and stall us less
                run.armed = True
                try:
                    lane, recorder = run.quoting_lane, run.recorder
                    parts = (engine, switch, lane, reader, recorder, specs, config.halt, rng, run.on_answer)
                    quoter = Quoter(*parts, now=run.pulse.boot, pulse=run.pulse, leave=run.leave)
                    inlet = quoter.inlet
                    watch = Watch(inlet, run.pulse, recorder, config.state_folder, run.leave)
                    silent = config.cycle.stream_silent_seconds_max
                    for spec in specs.values():
                        feeds.start_soon(run.guarded, partial(run_market_stream, client, spec, inlet, rng, silent))
                    symbols = sorted({one.fair.reference_symbol for one in config.markets.values()})
                    url, silent = config.reference.url, config.reference.silent_seconds_max
                    trusts = trusted("reference.ca_file", config.reference.ca_file)
                    feeds.start_soon(run.guarded, partial(run_reference, url, symbols, inlet, rng, silent, trusts))
                    feeds.start_soon(run.guarded, partial(run_polls, client, specs, inlet))
                    feeds.start_soon(run.guarded, partial(watch.run, options.for_seconds))
                    run.pulse.unsteady()  # what the start took is no pause
                    await run.guarded(quoter.run)
                finally:
                    run.pulse.check_in(QUOTING, config.halt.halt_seconds_max + 1.0)
                    await last_halt(switch, config.halt.tail_seconds_max, config.halt.halt_seconds_max, run.report)
            feeds.cancel_scope.cancel(reason="quoting has ended")
        watchers.cancel_scope.cancel(reason="quoting has ended")


async def receive_signals(signals: AsyncIterator[int], run: Run) -> None:
    """Each signal means the same: leave. Those after the first find the halt under way and change nothing."""
    async for number in signals:
        run.leave(Trip(Reason.STOP_ASKED, signal.Signals(number).name))


async def watch_guard(link: GuardLink, run: Run) -> None:
    """Leave when the guard is gone: nobody would pull our quotes if we died too."""
    await link.listen()
    run.leave(Trip(Reason.OWNER_GONE, ""))


async def take_down(run: Run) -> None:
    """After the halt: read the account once more for the report, then close what is open. Best effort, bounded."""
    with trio.move_on_after(FINAL_READ_SECONDS_MAX, shield=True):
        try:
            if run.report.verified_empty:
                grids = {market_id: market.account.spec.grid for market_id, market in run.engine.markets.items()}
                read = await AccountReader(run.client, grids).whole()
                facts.account_read(run.engine, read, run.pulse.boot())
                run.recorder.after(read, None)
                run.recorder.profit()
        except Exception as error:  # noqa: BLE001 - the figures are worth less than the verified end they would lose
            run.recorder.warning("no final read", f"the account could not be read for the report: {error!r}")
    run.quoting_lane.close()
    run.switch.panic.close()
    with trio.move_on_after(1.0, shield=True):
        await run.client.aclose()


def conclude(run: Run, error: BaseException | None) -> Result:
    """The result: 0 only when stopped as asked AND read back empty; 75 whenever quotes may rest."""
    engine, report = run.engine, run.report
    result = Result(
        verified_empty=report.verified_empty,
        open_orders=report.open_orders,
        quotes_sent=engine.ladders_placed,
        fills=sum(market.account.fills for market in engine.markets.values()),
        position={market_id: market.position_text for market_id, market in engine.markets.items()},
        pnl=ocx.fixed(round(engine.equity_change(), PNL_DECIMALS)),
        halts=run.switch.trips,
        may_have_placed=run.armed,
        unknown_write_at=report.unknown_write_at,
    )
    if run.stop is not None:
        result.reason = run.stop.sentence
        code = run.stop.reason.value.exit_code
    else:
        result.reason = describe(error) if error is not None else "ended without a reason"
        code = None
    cause = first_cause(error) if error is not None else None
    if not run.armed:
        result.exit_code = ExitCode.REFUSED_TO_START
        if isinstance(cause, StartRefused):
            result.exit_code = cause.exit_code
        elif isinstance(cause, Unauthorized):
            result.exit_code = ExitCode.CREDENTIALS
        if cause is None:
            result.reason += " before anything was placed"
    elif not report.verified_empty:
        result.exit_code = ExitCode.UNVERIFIED
        result.exit_code_if_empty = ExitCode.FAILED_EMPTY if code is None or error is not None else code
        result.reason += "; the exchange could not be read back empty: quotes may rest"
    else:
        result.exit_code = ExitCode.FAILED_EMPTY if code is None else code
        if error is not None and result.exit_code == ExitCode.CLEAN:
            result.exit_code = ExitCode.FAILED_EMPTY  # it was stopping as asked when it failed
            result.reason += f"; then {describe(error)}"
        if isinstance(cause, StartRefused):
            result.reason, result.exit_code = cause.sentence, cause.exit_code
    return result
