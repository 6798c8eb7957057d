"""The monitor's tasks: it hears the maker, asks the exchange, looks at the processes, and shows what comes of it.

    signals             the first ends it
      services          of the rules: they end when their work is done, within a moment
        hearing         the maker's datagrams, the latest only
        exchange        reads with a key that may only read
        server          the page, and everything else over HTTP
        looking         once a second, and at once when the maker's state changes: observe, judge, show

Nothing here is awaited by anybody of the run. What fails is said and tried again; the disk of its folder may be full.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Final, NoReturn

import attrs
import structlog
import trio

from maker.app.config import Config
from maker.edge.datagrams import Receiver
from maker.edge.http_listener import serve_tcp
from maker.edge.lane import boot_seconds
from maker.launch import latch
from maker.launch.running import MONITOR_SOCKET
from maker.monitor import manners
from maker.monitor.exchange import ExchangeReader
from maker.monitor.lookout import DELIVER_SECONDS_MAX, Lookout
from maker.monitor.observation import Observation
from maker.monitor.processes import Processes, began, run_fields
from maker.monitor.server import Server, limits
from maker.monitor.status_line import status_line
from maker.monitor.terminal_line import TerminalLine
from maker.monitor.view import About, view
from maker.wire import live

LOOK_SECONDS: Final = 1.0  # between two looks while nothing changes
LOOK_SECONDS_MIN: Final = 0.1  # ... and while everything does
LISTEN_AGAIN_SECONDS: Final = 5.0  # after the socket could not be made: a full disk, most likely
OWNER_GONE_SECONDS: Final = 60.0  # a monitor outlives a killed guard for so long: somebody has to tell of it
TERMINAL_SECONDS_MAX: Final = 0.3  # to take the line away at the end
PAGES_SECONDS_MAX: Final = 0.3  # for the last view to reach the pages; one that takes longer reads too slowly


@attrs.define
class Monitor:
    """One monitor's parts, and what it knows."""

    config: Config
    about: About
    server: Server
    exchange: ExchangeReader
    lookout: Lookout
    processes: Processes
    log: structlog.typing.FilteringBoundLogger
    terminal: TerminalLine | None = None
    owner_pid: int | None = None  # of the run that started us; None: a person did
    wall: Callable[[], float] = time.time
    boot: Callable[[], float] = boot_seconds
    state: live.State | None = None
    owner_began: str | None = None
    owner_gone_at: float | None = None  # boot clock
    woken: trio.Event = attrs.field(factory=trio.Event)
    ending: trio.Event = attrs.field(factory=trio.Event)
    said: dict[str, str] = attrs.field(factory=dict)  # what was last said of a trouble, each once

    # -- hearing ------------------------------------------------------------------------------------------------------

    async def hear(self) -> NoReturn:
        """Take what the maker tells, until cancelled."""
        path = self.config.state_folder / MONITOR_SOCKET
        while True:
            try:
                receiver = Receiver(path)
            except OSError as problem:
                self.say_once("hearing", f"nothing can be heard from the maker: {path}: {problem}")
                await trio.sleep(LISTEN_AGAIN_SECONDS)
                continue
            try:
                while True:
                    self.heard(await receiver.receive_latest(live.DATAGRAM_BYTES_MAX + 1))
            finally:
                receiver.close()

    def heard(self, data: bytes) -> None:
        """Take one datagram; what is none of ours is said once and counts for nothing."""
        try:
            state = live.decode(data)
        except ValueError as wrong:
            self.say_once("hearing", f"a datagram that is no state: {wrong}")
            return
        before, self.state = self.state, state
        if before is None or outline(before) != outline(state):
            self.woken.set()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def look_on(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            self.woken = trio.Event()
            self.look()
            if self.is_orphaned():
                self.log.info("ending", sentence="the run that this monitor belongs to is over")
                self.ending.set()
            await trio.sleep(LOOK_SECONDS_MIN)
            with trio.move_on_after(LOOK_SECONDS - LOOK_SECONDS_MIN):
                await self.woken.wait()

    def look(self) -> None:
        """Observe, judge, show."""
        seen = self.observe()
        findings = self.lookout.judge(seen)
        self.server.seen, self.server.findings = seen, findings
        clients, ends = self.server.board.clients, self.ending.is_set()
        self.server.board.post(view(seen, findings, self.about, clients, ends=ends))
        if self.terminal is not None:
            self.terminal.draw(status_line(seen, self.terminal.columns, self.boot()))

    def observe(self) -> Observation:
        """Everything that is seen now."""
        maker, guard = self.processes.look()
        state = self.state
        return Observation(
            now=self.wall(),
            state=state,
            state_age_seconds=None if state is None else max(0.0, self.boot() - state.boot_seconds),
            maker=maker,
            guard=guard,
            latched=latch.read(self.config.state_folder) or "",
            run_id="" if state is None else state.run_id,
            exchange=self.exchange.seen,
            key_scope=self.about.key,
        )

    def is_orphaned(self) -> bool:
        """Whether the run that started us is over and nobody needs to be told of it any more."""
        if self.owner_pid is None:
            return False
        if self.owner_began is None:
            self.owner_began = began(self.owner_pid) or "gone"
        if began(self.owner_pid) == self.owner_began:
            return False
        now = self.boot()
        self.owner_gone_at = now if self.owner_gone_at is None else self.owner_gone_at
        guard = run_fields(self.config.state_folder).get("guard_pid")
        is_followed = isinstance(guard, int) and guard != self.owner_pid and began(guard) is not None
        return is_followed or now - self.owner_gone_at >= OWNER_GONE_SECONDS

    # -- saying -------------------------------------------------------------------------------------------------------

    def say_once(self, what: str, sentence: str) -> None:
        """Say a trouble in the log, until it is another one."""
        if self.said.get(what) != sentence:
            self.said[what] = sentence
            self.log.warning(what, sentence=sentence)

    def report(self, sentence: str, error: BaseException) -> None:
        """What the HTTP server could not serve."""
        self.log.error("not served", sentence=f"{sentence}: {error!r}")

    # -- all of it ----------------------------------------------------------------------------------------------------

    async def run(self, signals: AsyncIterator[int], ready: Callable[[int], object]) -> None:
        """Look on until a signal comes or the run's end; `ready` is told the port. Raises OSError: no such address."""
        own = self.config.monitor
        async with trio.open_nursery() as everything:
            everything.start_soon(self.end_at_signal, signals)
            async with trio.open_nursery() as services:
                for service in self.lookout.services:
                    services.start_soon(service, self.ending)
                async with trio.open_nursery() as nursery:
                    self.look()
                    nursery.start_soon(self.hear)
                    nursery.start_soon(self.exchange.run)
                    port = await nursery.start(self.serve)
                    ready(port)
                    nursery.start_soon(self.look_on)
                    self.log.info("ready", sentence=f"the status page is served on {own.address}, port {port}")
                    await self.ending.wait()
                    self.look()  # the last word of the run, for those who still have to deliver it
                    with trio.move_on_after(PAGES_SECONDS_MAX):
                        await self.server.board.wait_sent()
                    nursery.cancel_scope.cancel(reason="the monitor ends")
                services.cancel_scope.deadline = trio.current_time() + DELIVER_SECONDS_MAX
            everything.cancel_scope.cancel(reason="the monitor has ended")

    async def serve(self, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        own = self.config.monitor
        await serve_tcp(
            own.port,
            self.server.handle,
            report=self.report,
            host=own.address,
            limits=limits(own.clients_max),
            refusal=manners.refused,
            task_status=task_status,
        )

    async def end_at_signal(self, signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            self.ending.set()

    def close(self) -> None:
        """Take away what only served while we were there."""
        self.server.killer.remove_token()
        if self.terminal is not None:
            self.terminal.end(TERMINAL_SECONDS_MAX)


def outline(state: live.State) -> tuple[object, ...]:
    """What of a state must be seen at once when it is another."""
    markets = tuple((one.market_id, one.state) for one in state.markets)
    return state.run_id, state.state, state.reason, state.verified_empty_at, markets
