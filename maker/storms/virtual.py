"""Trio in virtual time, one seed one history: the clock jumps to the next thing due, and nothing is left to chance.

What a run would draw from outside is swapped while it lasts: Trio's scheduler (two private switches of its own, which
pytest-trio uses as well), `os.urandom` (WebSocket masks and nonces), the module-level `random`, httpcore's look at the
time (how long an idle connection is kept), and `trio.open_tcp_stream`, by which trio-websocket connects; for speed
alone, Trio's two sleeps, which wake at the same times here and cost less. There are no threads, no sockets and no names
in such a run: a thread's wall time and a clock that jumps exclude each other.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import importlib
import math
import random
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, NoReturn, TypeVar

import trio
from trio._core._run import GLOBAL_RUN_CONTEXT

SWITCHES: Final = (  # module, name: each must be there, or a seed would silently no longer be one history
    ("trio._core._run", "_ALLOW_DETERMINISTIC_SCHEDULING"),
    ("trio._core._run", "_r"),
    ("httpcore._async.http11", "time"),
    ("trio", "open_tcp_stream"),
    ("trio", "sleep"),
    ("trio", "sleep_until"),
    ("os", "urandom"),
)

NEVER_SECONDS: Final = 999_999_999.0  # longer than any wait for the outside, which never comes

Value = TypeVar("Value")


class NotDeterministic(AssertionError):
    """A library no longer has the switch by which its choices are taken from a seed."""


async def no_network(*_where: object, **_how: object) -> NoReturn:
    raise OSError("there is no network in virtual time")


class Alarm:
    """One task that stands until a time, which may be changed meanwhile, or until somebody wakes it.

    The same as `move_on_at(…)` around `sleep_forever()`, at a third of its cost: a cancel scope is made, entered,
    expired and left for every wait, and most of what a storm does is waiting.
    """

    __slots__ = ("at", "task")

    def __init__(self) -> None:
        self.at = math.inf
        self.task: trio.lowlevel.Task | None = None

    async def wait(self, at: float = math.inf) -> None:
        """Stand until then. Raises Cancelled."""
        self.task = trio.lowlevel.current_task()
        self.move(at)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def move(self, at: float) -> None:
        """Let it stand until then instead."""
        self.at = at
        if at < math.inf:
            storm_clock().set(self)

    def ring(self) -> None:
        """Wake who stands here, if anybody does."""
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None


class StormClock(trio.abc.Clock):
    """A clock that stands while anything can run, and then is at the next thing due: a deadline, or an alarm."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, int, Alarm]] = []  # a heap; alarms that were moved or rung since are still in it
        self.set_before = 0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Jump: Trio asks how long it may wait for the outside only when no task can run."""
        runner = GLOBAL_RUN_CONTEXT.runner
        if runner.entry_queue.size() or runner.waiting_for_idle:
            return NEVER_SECONDS  # a generator's end or a test's `wait_all_tasks_blocked` comes first
        due = self.due
        while due:
            at, _, alarm = due[0]
            if alarm.task is not None and alarm.at == at:
                deadline = min(deadline, at)
                break
            heapq.heappop(due)
        if deadline == math.inf:
            return NEVER_SECONDS  # nothing will ever happen again
        self.move_to(deadline)
        return 0.0

    def jump(self, seconds: float) -> None:
        """Let so much time pass at once, though tasks could run."""
        self.move_to(self.now + seconds)

    def move_to(self, now: float) -> None:
        """Let it be that time, unless it is later already, and ring what is due."""
        self.now = now = max(now, self.now)
        due = self.due
        while due and due[0][0] <= now:
            at, _, alarm = heapq.heappop(due)
            if alarm.at == at:
                alarm.ring()

    def set(self, alarm: Alarm) -> None:
        """Take an alarm into account, at the time it says now."""
        self.set_before += 1
        heapq.heappush(self.due, (alarm.at, self.set_before, alarm))


under_way: list[StormClock] = []  # one, while a storm is under way: asked for at every wait


def storm_clock() -> StormClock:
    """Return the clock of the storm that is under way."""
    assert under_way, "there is no storm"
    return under_way[-1]


async def sleep_until(deadline: float) -> None:
    """As `trio.sleep_until`, at a third of its cost."""
    if math.isnan(deadline):
        raise ValueError("deadline must not be NaN")
    if deadline <= storm_clock().now:
        await trio.lowlevel.checkpoint()
    else:
        await Alarm().wait(deadline)


async def sleep(seconds: float) -> None:
    """As `trio.sleep`, at a third of its cost."""
    if seconds < 0:
        raise ValueError("`seconds` must be non-negative")
    await sleep_until(storm_clock().now + seconds)


class NoOutside:
    """What Trio asks for news of its sockets: there is none but of its own entry queue, and asking is a system call."""

    def __init__(self, runner: Any) -> None:
        self.asked, self.queue = runner.io_manager, runner.entry_queue

    def get_events(self, timeout: float) -> Any:
        return self.asked.get_events(timeout) if timeout or self.queue.size() else []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.asked, name)


Connect = Callable[..., Awaitable[trio.abc.Stream]]


def run_virtual(main: Callable[[], Awaitable[Value]], seed: int, connect: Connect = no_network) -> Value:
    """Run `main` to its end in virtual time and return its value. Raises NotDeterministic, and what `main` raises.

    `connect(host, port)` is what `trio.open_tcp_stream` is meanwhile.
    """

    async def run() -> Value:
        runner = GLOBAL_RUN_CONTEXT.runner
        runner.io_manager = NoOutside(runner)  # type: ignore[assignment]  # it has the one method that is asked
        return await main()

    clock = StormClock()
    with chosen(seed, connect):
        under_way.append(clock)
        try:
            return trio.run(run, clock=clock)
        finally:
            under_way.remove(clock)


@contextlib.contextmanager
def chosen(seed: int, connect: Connect = no_network) -> Iterator[None]:
    """Take every choice from a seed while this lasts, and put everything back."""
    found = [(importlib.import_module(module), name) for module, name in SWITCHES]
    for module, name in found:
        if not hasattr(module, name):
            raise NotDeterministic(f"{module.__name__} has no {name} any more: find what took its place")
    before: list[Any] = [getattr(module, name) for module, name in found]
    scheduler, bytes_of = random.Random(f"scheduler:{seed}"), random.Random(f"urandom:{seed}")
    idle = SimpleNamespace(monotonic=trio.current_time)
    after: list[Any] = [True, scheduler, idle, connect, sleep, sleep_until, bytes_of.randbytes]
    state = random.getstate()
    collecting = gc.isenabled()
    try:
        for (module, name), value in zip(found, after, strict=True):
            setattr(module, name, value)
        random.seed(seed)
        gc.disable()  # a collector that comes round ends generators, and so moves tasks, when it pleases
        yield
    finally:
        for (module, name), value in zip(found, before, strict=True):
            setattr(module, name, value)
        random.setstate(state)
        if collecting:
            gc.enable()
