"""`python -m tests.live.planted WHAT run CONF …`: the real command, with one function of the maker made to fail.

As `maker.drills.planted`, in more places of the maker. Production code has no switch for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from maker.drills.planted import PlantedError, enter

AFTER_CALLS: Final = 6  # healthy calls of the planted function, so that quotes rest when it fails


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
    from maker.app.wiring import Run
    from maker.wire import reads
    from maker.wire.references.practice import Practice
    from maker.wire.stream import MarketStream

    match what:
        case "poll":  # a feed's task
            reads.market_stats = failing(reads.market_stats)
        case "stream":  # a market stream's task, in the middle of a delta
            MarketStream.feed = failing(MarketStream.feed)  # type: ignore[method-assign]
        case "reference":
            Practice.parse = failing(Practice.parse)  # type: ignore[method-assign]
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


if __name__ == "__main__":
    raise SystemExit(enter("tests.live.planted", 1, plant, sys.argv[1:]))
