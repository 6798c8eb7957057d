"""The nurseries, the way in and every way out. Order of shutdown is order of nesting.

    signals             open around everything, cleanup included: a second Ctrl-C must not break the halt
      watchers          signals, the parent, the clock, the journal; panic lanes kept warm; whoever looks on is told
        feeds           one stream a market, the reference feed, the polls
          quoting       start-up, then the quoting cycle; the ONLY scope a signal cancels
            finally     halt, shielded and with a deadline; then positions, where the configuration says so

An error in any task trips the switch first (latch and cancel-all, synchronously) and unwinds afterwards.
"""

from __future__ import annotations

import math
import signal
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final

import attrs
import trio

from maker.app import budget_file, losses, startup
from maker.app.addresses import trusted
from maker.app.causes import describe
from maker.app.close_out import close_positions
from maker.app.config import Config
from maker.app.feeds import run_market_stream, run_polls
from maker.app.halt import last_halt
from maker.app.host import THIS_MACHINE, Host
from maker.app.key_expiry import KeyExpiry
from maker.app.link import GuardLink
from maker.app.live_teller import Teller
from maker.app.losses import Keeper
from maker.app.previews import run_previews
from maker.app.quoter import Quoter
from maker.app.reading import AccountReader
from maker.app.record import Recorder
from maker.app.references import Venue, run_reference
from maker.app.reload import Reloader
from maker.app.result import Result, conclude
from maker.app.source import Source
from maker.app.watches import Watch, measure_lag
from maker.app.wiring import Route, Run, link_to_guard, wire
from maker.desk import facts
from maker.desk.deadman import Reason, Trip
from maker.launch.running import LOSSES_FILE

RESOLVE_SECONDS_MAX: Final = 5.0  # for the first look-up of the exchange's name
FINAL_READ_SECONDS_MAX: Final = 2.0  # of the account, after the halt, for the report's figures


@attrs.frozen
class Options:
    """What the command line adds to the configuration, and what is known of the key."""

    for_seconds: float = math.inf
    guard_fd: int | None = None  # the link to the guard; None: there is none, and nobody has to allow quoting
    key_expires_at: float | None = None  # unix seconds, infinity: never; None: not known
    teller: Teller | None = None  # tells whoever looks on; None: nobody is told
    source: Source | None = None  # of configuration and key, to be read again; None: nobody asks for that
    tree: Mapping[str, Any] = attrs.field(factory=dict, repr=False)  # the configuration as its file had it


async def run(config: Config, key: str, options: Options, recorder: Recorder, host: Host = THIS_MACHINE) -> Result:
    """Quote until told to stop, or until something breaks; say how it ended. Raises nothing but cancellation."""
    with host.signals() as signals:
        wired: Run | None = None
        error: BaseException | None = None
        try:
            with trio.fail_after(RESOLVE_SECONDS_MAX):
                url, trusts = config.exchange.base_url, trusted("exchange.ca_file", config.exchange.ca_file)
                route = Route(url, await host.resolve(url, trusts), host.resolve)
            wired = wire(config, key, route, recorder, host)
            if options.guard_fd is not None:
                wired.link = link_to_guard(wired, options.guard_fd)
                if options.source is not None:
                    wired.reloader = reloads(wired, wired.link, options.source, options.tree, key)
            times = (config.guard.give_up_seconds, config.guard.tail_seconds)
            wired.expiry = KeyExpiry.of(options.key_expires_at, *times, recorder, host.wall, wired.leave)
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


async def run_nurseries(run: Run, options: Options, signals: AsyncIterator[int]) -> None:
    """Watchers around feeds around quoting around the halt."""
    config, engine, switch, client, rng = run.config, run.engine, run.switch, run.client, run.rng
    async with trio.open_nursery() as watchers:
        watchers.start_soon(run.watched, partial(receive_signals, signals, run))
        watchers.start_soon(run.watched, partial(measure_lag, run.pulse))
        watchers.start_soon(run.watched, switch.panic.keep_warm)
        watchers.start_soon(run.watched, run.route.keep_resolved)
        if options.teller is not None:
            run.on_key = options.teller.use
            watchers.start_soon(options.teller.run, run)  # not watched: quotes are not pulled for what it cannot tell
        if run.session is not None:
            tell = partial(run.recorder.state, "account", "session", alarming=True)
            watchers.start_soon(run.watched, partial(run.session.keep, tell))
        if run.link is not None:
            watchers.start_soon(run.watched, run.link.beat)
            watchers.start_soon(run.watched, partial(watch_guard, run.link, run))
        async with trio.open_nursery() as feeds:
            with run.quoting:
                reader = AccountReader(client, {}, partial(run.recorder.state, "account", "waiting"))
                startup.refuse_latched(config.state_folder)
                losses.restore(config, engine.losses)
                now, wall = run.pulse.boot(), run.pulse.wall
                budget_file.recall(config.state_folder, engine.budget, run.recorder, now, wall())
                kept = run.host.lasting(config.state_folder / budget_file.BUDGET_FILE)
                run.budget_keeper = budget_file.BudgetKeeper(engine.budget, kept, run.recorder, wall)
                with trio.fail_after(startup.START_SECONDS_MAX):
                    specs = await startup.read_markets(reader, config)
                    if config.foreign_orders == "refuse":
                        await startup.refuse_foreign(reader, engine.identity)
                    await startup.sweep(switch.panic)
                    startup.add_markets(engine, config, specs)
                    reader.grids = {market_id: spec.grid for market_id, spec in specs.items()}
                    read = await reader.whole()
                    startup.refuse_elsewhere(read.elsewhere)  # swept: nothing of ours rests
                    engine.baseline(read, run.pulse.boot())
                    await startup.warm_up(reader, engine, wall())
                    if run.link is not None:
                        await run.link.armed.wait()  # S20: nothing is placed before somebody would pull it for us
                run.host.settle_memory()
                run.armed = True
                try:
                    lane, recorder = run.quoting_lane, run.recorder
                    parts = (engine, switch, lane, reader, recorder, specs, config.recoverable_halt, rng, run.on_answer)
                    quoter = Quoter(*parts, now=run.pulse.boot, pulse=run.pulse, leave=run.leave, apply=run.apply)
                    inlet = quoter.inlet
                    switch.panic.on_orders = quoter.look_for_strangers
                    run.losses = Keeper(engine.losses, run.host.lasting(config.state_folder / LOSSES_FILE), recorder)
                    watch = Watch(inlet, run.pulse, recorder, config.state_folder, run.leave, run.keep)
                    silent = config.cycle.stream_silent_seconds_max
                    for spec in specs.values():
                        stream = (client, spec, inlet, rng, silent, run.streams)
                        feeds.start_soon(run.guarded, partial(run_market_stream, *stream))
                    for venue in reference_venues(config):
                        feeds.start_soon(run.guarded, partial(run_reference, venue, inlet, rng))
                    feeds.start_soon(run.guarded, partial(run_polls, client, specs, inlet))
                    feeds.start_soon(run.guarded, partial(run_previews, client, specs, inlet))
                    feeds.start_soon(run.guarded, partial(watch.run, options.for_seconds))
                    if run.reloader is not None:
                        run.reloader.hand_over, run.reloader.withdraw = quoter.hand_over, quoter.withdraw
                        feeds.start_soon(run.guarded, run.reloader.run)
                    run.pulse.unsteady()  # what the start took is no pause
                    await run.guarded(quoter.run)
                finally:
                    run.pulse.only_halting(config.halt.halt_seconds_max + 1.0)
                    try:
                        began = trio.current_time()
                        await last_halt(switch, config.halt.tail_seconds_max, config.halt.halt_seconds_max, run.report)
                        await close_positions(run, began + config.halt.halt_seconds_max)
                    finally:
                        run.halted.set()
            feeds.cancel_scope.cancel(reason="quoting has ended")
        watchers.cancel_scope.cancel(reason="quoting has ended")


def reloads(run: Run, link: GuardLink, source: Source, tree: Mapping[str, Any], secret: str) -> Reloader:
    """What reloads when the guard asks; asked before quoting begins, it waits for that."""
    reloader = Reloader(source, run.config, tree, secret, run, run.engine, run.recorder.not_reloaded, link.tell)
    link.on_reload = reloader.ask
    return reloader


def reference_venues(config: Config) -> list[Venue]:
    """Each reference feed that a market names, and what is asked of it; in a fixed order. Raises ConfigError."""
    found: list[Venue] = []
    for name, one in config.references.items():
        sources = [market.fair.sources[name] for market in config.markets.values() if name in market.fair.sources]
        if sources:
            symbols = tuple(sorted({source.symbol for source in sources}))
            trusts = trusted(f"reference.{name}.ca_file", one.ca_file)
            found.append(Venue(name, one.url, symbols, one.silent_seconds_max, one.venue, one.described, trusts))
    return found


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
    if run.losses is not None:
        run.losses.close()
    if run.budget_keeper is not None:
        run.budget_keeper.close(run.pulse.boot())
    run.quoting_lane.close()
    run.switch.panic.close()
    if run.session is not None:
        await run.session.end()
    with trio.move_on_after(1.0, shield=True):
        await run.client.aclose()
