"""A world in which a blow falls at a chosen step of the maker's: a cancellation of the whole, or an error in one task.

A step is one run of one of its tasks, from one wait to the next; an instrument of Trio's counts those of every task
that descends from the maker's. One seed is one history, so step 1,234 is the same line of code in every run. There

    cancel   the whole maker is cancelled from outside, before that step: what pulls its quotes are its own shields;
    raise    an error comes up in the task that made the step, at the wait it has come to; where that wait cannot be
             broken off, in the next task whose can.

Afterwards the world goes on until the maker has ended, its guard has concluded and every ladder that left has arrived
or is lost. What is left then is judged in `steps`.
"""

from __future__ import annotations

import contextlib
import traceback
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, NoReturn

import attrs
import outcome
import trio
from trio._core._run import GLOBAL_RUN_CONTEXT

from maker.app import supervisor
from maker.paper.keys import PAPER_TRADE_SECRET
from maker.storms import record as r
from maker.storms.happenings import Planted, is_kept_by_library
from maker.storms.scenes import LOOK_SECONDS
from maker.storms.world import END_SECONDS_MAX, QUOTING_SECONDS_MAX, World

CANCEL: Final = "cancel"
RAISE: Final = "raise"
CRASHED: Final = 1  # exit code of an interpreter that ends with a traceback
CUSTOMER_SECONDS: Final = 0.45  # between two customers: in a short world there are fills too
FLOOR: Final = Path(__file__).parent
HOUSE: Final = FLOOR.parent


@attrs.frozen
class Blow:
    """What falls, and at which step at the earliest."""

    step: int
    kind: str  # CANCEL or RAISE


@attrs.frozen
class Struck:
    """A blow that fell."""

    at: float  # virtual seconds
    step: int
    kind: str
    where: str  # task and line
    ladders_flying: int  # that had left and had not arrived
    in_halt: bool = False  # an error within the last halt itself: from there on it is the guard's
    in_take_down: bool = False  # after the verified end
    in_library: bool = False  # an error where trio-websocket reads, opens or closes: to the maker, a connection lost

    @property
    def text(self) -> str:
        """Of an error: what is looked for in the result and in the log."""
        return f"planted-at-step-{self.step}-of-this-run"


@attrs.define(eq=False, repr=False)
class Striker(trio.abc.Instrument):
    """Counts the maker's steps and lets the blows fall."""

    blows: deque[Blow]
    world: SteppedWorld = attrs.field(init=False)
    steps: int = 0
    ours: dict[trio.lowlevel.Task, bool] = attrs.field(factory=dict)
    struck: list[Struck] = attrs.field(factory=list)

    def is_ours(self, task: trio.lowlevel.Task) -> bool:
        """Whether it is the maker's task, or descends from it."""
        found = self.ours.get(task)
        if found is None:
            nursery = task.parent_nursery
            found = self.ours[task] = nursery is not None and self.is_ours(nursery.parent_task)
        return found

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.is_ours(task):
            self.steps += 1
            if self.blows and self.blows[0].kind == CANCEL and self.steps >= self.blows[0].step:
                with self.told():
                    self.note(task, self.blows.popleft())
                    self.world.process.cancel(reason="a blow from outside")

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        blows = self.blows
        if blows and blows[0].kind == RAISE and self.steps >= blows[0].step and self.is_ours(task) and breakable(task):
            with self.told():
                struck = self.note(task, blows.popleft())
                self.world.happenings.planted.append(struck.text)
                if not struck.in_library:  # else to the maker it is a lost connection, and the run goes on
                    self.world.note(r.Raised(at=struck.at, where=task.name, text=struck.text))
                strike(task, struck.text)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """A mistake of our own is the simulation's: Trio would only switch its instrument off."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.world.weather.crashed("a blow", "missed", error)

    def note(self, task: trio.lowlevel.Task, blow: Blow) -> Struck:
        frames = [frame for frame, _line in task.iter_await_frames()]
        files = [Path(frame.f_code.co_filename) for frame in frames]
        lines = [
            f"{file.stem}.{frame.f_code.co_name}:{frame.f_lineno}"
            for frame, file in zip(frames, files, strict=True)
            if HOUSE in file.parents and FLOOR not in file.parents
        ]
        top = [frame.f_code.co_name for frame, _line in self.world.happenings.maker.iter_await_frames()]
        is_main = task is self.world.happenings.maker
        struck = Struck(
            at=trio.current_time(),
            step=self.steps,
            kind=blow.kind,
            where=f"{task.name.rpartition('.')[2]} at {lines[-1] if lines else 'a line that is not ours'}",
            ladders_flying=len(self.world.site.in_flight),
            in_halt=blow.kind == RAISE and "last_halt" in top and (is_main or task.name.endswith("attempt")),
            in_take_down="take_down" in top,
            in_library=blow.kind == RAISE and is_kept_by_library(task),
        )
        self.struck.append(struck)
        return struck


def breakable(task: trio.lowlevel.Task) -> bool:
    """Whether an error can come up where the task now waits: at a wait that can be broken off, or that just was."""
    return task._abort_func is not None or was_cancelled(task)


def was_cancelled(task: trio.lowlevel.Task) -> bool:
    """Whether its wait was broken off at once, for it is cancelled."""
    next_send = task._next_send
    return isinstance(next_send, outcome.Error) and isinstance(next_send.error, trio.Cancelled)


def strike(task: trio.lowlevel.Task, text: str) -> None:
    """Have the error come up there."""

    def raise_planted() -> NoReturn:
        raise Planted(text)

    if task._abort_func is not None:
        task._attempt_abort(raise_planted)
    else:
        task._next_send = outcome.capture(raise_planted)


@attrs.define(eq=False, kw_only=True)
class SteppedWorld(World):
    """One short world: to the quotes, on for a while, to its end."""

    striker: Striker
    seconds: float  # from the first ladders everywhere to the signal
    quoting_step: int = 0  # every market was quoted
    ending_step: int = 0  # the signal was sent
    ended_step: int = 0  # the maker was gone
    gone_at: float = 0.0  # virtual seconds
    left_resting: int | None = None  # orders of ours when the maker was gone; None: it never was
    left_flying: int = 0  # ladders on their way then
    left_tasks: tuple[str, ...] = ()  # of the maker's that outlived it
    crash: str = ""  # what came out of the maker's main function instead of a result

    async def run(self) -> None:
        self.striker.world = self
        trio.lowlevel.add_instrument(self.striker)
        await super().run()

    async def maker(self) -> None:
        """The maker's process; cancelled or crashed, it ends without a word to its guard."""
        task = self.happenings.maker = trio.lowlevel.current_task()
        self.striker.ours[task] = True
        result = None
        try:
            with self.process:
                options, host = supervisor.Options(guard_fd=0), self.machine.host()
                result = await supervisor.run(self.config, PAPER_TRADE_SECRET, options, self.recorder, host)
        except* Exception as errors:  # noqa: BLE001 - the top of the process: an interpreter ends like this
            self.crash = "".join(traceback.format_exception(errors))
        if self.dead:
            return
        tasks = GLOBAL_RUN_CONTEXT.runner.tasks
        left = [one for one in tasks if one is not task and self.striker.is_ours(one)]
        self.left_tasks = tuple(sorted(one.name for one in left))
        if result is not None:
            self.finished(result)
            return
        self.record.add(r.Died(at=trio.current_time(), why=self.crash or "cancelled from outside"))
        self.dead = True
        self.warden.exit_code = CRASHED
        self.gone()

    def gone(self) -> None:
        if self.left_resting is None:
            self.left_resting, self.left_flying = len(self.site.orders), len(self.site.in_flight)
            self.ended_step, self.gone_at = self.striker.steps, trio.current_time()
        super().gone()

    async def direct(self) -> None:
        """Wait for quotes, let faults begin, tell it to stop, see it to its end."""
        await self.until(self.is_quoting, QUOTING_SECONDS_MAX)
        self.quoting_step, began = self.striker.steps, trio.current_time()
        if not self.over:
            self.record.add(r.Quoting(at=began))
            self.quoted.set()
            for index, fault in enumerate(self.schedule.faults):  # one that lasts, lasts to the end
                await trio.sleep_until(began + fault.at)
                self.happenings.begin(self.weather.begin(index, fault))
            await self.until(lambda: trio.current_time() >= began + self.seconds, self.seconds + 1.0)
        self.ending_step = self.striker.steps
        if not self.over:
            await self.end()
        await self.until(self.warden.done.is_set, END_SECONDS_MAX)
        with trio.move_on_after(END_SECONDS_MAX):
            while self.site.in_flight:  # noqa: ASYNC110 - whoever applies or loses a ladder tells nobody of it
                await trio.sleep(LOOK_SECONDS)

    async def customers(self) -> None:
        """Somebody takes from our quotes, on both sides in turn."""
        await self.quoted.wait()
        for turn in range(1000):
            await trio.sleep(CUSTOMER_SECONDS)
            for market_id in self.config.markets:
                self.happenings.take(market_id, ("buy", "sell")[turn % 2], Decimal("0.5"))
