"""`python -m tests.live.planted WHAT run CONF …`: the real command, with one function of the maker made to fail.

The parent is the real one, but for the module it starts as the maker: this one, which plants the failure and then calls
the real command. Production code has no switch for it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

AFTER_CALLS: Final = 6  # healthy calls of the planted function, so that quotes rest when it fails


class PlantedError(Exception):
    """What a task dies of."""


def failing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let some calls pass, then raise."""
    calls = 0

    def wrapper(*words: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > AFTER_CALLS:
            raise PlantedError("planted")
        return original(*words, **named)

    return wrapper


def plant(what: str) -> None:
    """Make one function fail, each in another task."""
    from maker.app.panic import Panic
    from maker.app.quoter import Quoter
    from maker.app.reading import AccountReader
    from maker.app.record import Recorder
    from maker.app.supervisor import Run
    from maker.wire import reads, reference
    from maker.wire.stream import MarketStream

    match what:
        case "poll":  # a feed's task
            reads.market_stats = failing(reads.market_stats)
        case "stream":  # a market stream's task, in the middle of a delta
            MarketStream.feed = failing(MarketStream.feed)  # type: ignore[method-assign]
        case "reference":
            reference.parse = failing(reference.parse)
        case "ladder":  # the quoting cycle, with a ladder's answer just read: its outcome is then not known
            Quoter.outcome = failing(Quoter.outcome)  # type: ignore[method-assign]
        case "clock":  # a watcher among the feeds
            Recorder.sample = failing(Recorder.sample)  # type: ignore[method-assign]
        case "signals":  # a watcher: the signal that should stop the run breaks its receiver
            Run.leave = once_broken(Run.leave)  # type: ignore[method-assign]
        case "final read":  # after the halt: the report's figures, best effort
            AccountReader.whole = failing_soon(AccountReader.whole)  # type: ignore[method-assign]
        case "warm":  # the outermost watcher
            Panic.keep_warm = failing_later(Panic.keep_warm)  # type: ignore[method-assign]
        case _:
            raise AssertionError(what)


def once_broken(original: Callable[..., Any]) -> Callable[..., Any]:
    """Raise at the first call."""
    calls = 0

    def wrapper(*words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise PlantedError("planted")
        return original(*words)

    return wrapper


def failing_soon(original: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the read of the start, fail at every later one."""
    calls = 0

    async def wrapper(*words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise PlantedError("planted")
        return await original(*words)

    return wrapper


def failing_later(original: Callable[..., Any]) -> Callable[..., Any]:
    """Run for a while, then fail."""

    async def wrapper(*words: Any) -> Any:
        import trio

        with trio.move_on_after(2.0):
            await original(*words)
        raise PlantedError("planted")

    return wrapper


def start(command: list[str], *, pass_fds: tuple[int, ...] = (), stdout: int = subprocess.DEVNULL) -> Any:
    """Start what the parent starts, the maker through this module."""
    module = ["tests.live.planted", sys.argv[1]] if command[0] == "maker-process" else ["maker"]
    words = [sys.executable, "-m", *module, *command]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, pass_fds=pass_fds, start_new_session=True)


def main() -> int:
    """Be the parent or the maker, whichever is asked for."""
    what, *words = sys.argv[1:]
    if words[0] == "maker-process":
        from maker.app import cli

        plant(what)
        return cli.main(words)
    from maker import __main__
    from maker.guard import parent

    parent.start = start
    return __main__.main(words)


if __name__ == "__main__":
    raise SystemExit(main())
