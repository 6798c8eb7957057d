"""Trio in virtual time, one seed one history: the clock jumps to the next thing due, and nothing is left to chance.

What a run would draw from outside is swapped while it lasts: Trio's scheduler (two private switches of its own, which
pytest-trio uses as well), `os.urandom` (WebSocket masks and nonces), the module-level `random`, httpcore's look at the
time (how long an idle connection is kept), and `trio.open_tcp_stream`, by which trio-websocket connects. There are no
threads, no sockets and no names in such a run: a thread's wall time and a clock that jumps exclude each other.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import random
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, NoReturn, TypeVar

import trio
import trio.testing
from trio._core._run import GLOBAL_RUN_CONTEXT

SWITCHES: Final = (  # module, name: each must be there, or a seed would silently no longer be one history
    ("trio._core._run", "_ALLOW_DETERMINISTIC_SCHEDULING"),
    ("trio._core._run", "_r"),
    ("httpcore._async.http11", "time"),
    ("trio", "open_tcp_stream"),
    ("os", "urandom"),
)

NEVER_SECONDS: Final = 999_999_999.0  # longer than any wait for the outside, which never comes

Value = TypeVar("Value")


class NotDeterministic(AssertionError):
    """A library no longer has the switch by which its choices are taken from a seed."""


async def no_network(*_where: object, **_how: object) -> NoReturn:
    raise OSError("there is no network in virtual time")


def storm_clock() -> trio.testing.MockClock:
    """Trio's own clock for tests, without its way through real time: a run asks it some ten thousand times a second.

    The class may not be inherited from, so its doors are replaced on the one we make.
    """
    clock: Any = trio.testing.MockClock(autojump_threshold=0)

    def autojump() -> None:
        due = GLOBAL_RUN_CONTEXT.runner.deadlines.next_deadline()
        if clock._virtual_base < due < math.inf:
            clock._virtual_base = due

    clock.current_time = lambda: clock._virtual_base
    clock.deadline_to_sleep_time = lambda deadline: 0.0 if deadline <= clock._virtual_base else NEVER_SECONDS
    clock._autojump = autojump
    made: trio.testing.MockClock = clock
    return made


Connect = Callable[..., Awaitable[trio.abc.Stream]]


def run_virtual(main: Callable[[], Awaitable[Value]], seed: int, connect: Connect = no_network) -> Value:
    """Run `main` to its end in virtual time and return its value. Raises NotDeterministic, and what `main` raises.

    `connect(host, port)` is what `trio.open_tcp_stream` is meanwhile.
    """
    with chosen(seed, connect):
        return trio.run(main, clock=storm_clock())


@contextlib.contextmanager
def chosen(seed: int, connect: Connect = no_network) -> Iterator[None]:
    """Take every choice from a seed while this lasts, and put everything back."""
    found = [(importlib.import_module(module), name) for module, name in SWITCHES]
    for module, name in found:
        if not hasattr(module, name):
            raise NotDeterministic(f"{module.__name__} has no {name} any more: find what took its place")
    before: list[Any] = [getattr(module, name) for module, name in found]
    scheduler, bytes_of = random.Random(f"scheduler:{seed}"), random.Random(f"urandom:{seed}")
    after: list[Any] = [True, scheduler, SimpleNamespace(monotonic=trio.current_time), connect, bytes_of.randbytes]
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
