"""`python -m maker.drills.planted WHAT TRIGGER run CONF …`: the real command, whose maker fails once TRIGGER exists.

The parent is the real one, but for the module it starts as the maker: this one, which plants the failure and then calls
the real command. Only drills load it; production code has no switch for any of this. The moment of the failure is
written into TRIGGER, in unix milliseconds.
"""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

HANG_SECONDS: Final = 600.0  # of a name look-up that never answers: longer than any drill


class PlantedError(Exception):
    """What a task dies of."""


def enter(module: str, own_words: int, plant: Callable[..., None], argv: list[str]) -> int:
    """Be the parent or the maker, whichever is asked for; `module` is started as the maker, with its own words first.

    In the parent nothing is planted.
    """
    own, words = argv[:own_words], argv[own_words:]
    if words[0] == "maker-process":
        from maker.app import cli

        plant(*own)
        return cli.main(words)
    from maker.launch import start as starting

    def start(
        command: list[str],
        *,
        pass_fds: tuple[int, ...] = (),
        stdout: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> Any:
        """Start what the parent starts, the maker through the module."""
        through = [module, *own] if command[0] == "maker-process" else ["maker"]
        words = [sys.executable, "-m", *through, *command]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stdout, pass_fds=pass_fds, start_new_session=True, env=environment
        )

    starting.start = start
    sys.argv = ["maker", *words]
    runpy.run_module("maker", run_name="__main__", alter_sys=True)
    raise AssertionError("the command ends its own process")


def plant(what: str, trigger: str) -> None:
    """Make something fail from the moment in which the trigger's file is there."""
    from maker.wire.stream import MarketStream

    match what:
        case "error":  # a market stream's task, in the middle of a delta
            MarketStream.feed = failing(MarketStream.feed, Path(trigger))  # type: ignore[method-assign]
        case "dns":
            socket.getaddrinfo = hanging(socket.getaddrinfo, Path(trigger))
        case _:
            raise AssertionError(what)


def failing(original: Callable[..., Any], trigger: Path) -> Callable[..., Any]:
    """Raise at the first call after the trigger."""

    def wrapper(*words: Any, **named: Any) -> Any:
        if trigger.exists():
            note(trigger)
            raise PlantedError("planted by a drill")
        return original(*words, **named)

    return wrapper


def hanging(original: Callable[..., Any], trigger: Path) -> Callable[..., Any]:
    """Never answer a look-up of a name after the trigger; a literal address needs no name service."""

    def wrapper(*words: Any, **named: Any) -> Any:
        flags = named.get("flags", words[5] if len(words) > 5 else 0)
        if trigger.exists() and not flags & socket.AI_NUMERICHOST:
            note(trigger)
            time.sleep(HANG_SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "planted by a drill")
        return original(*words, **named)

    return wrapper


def note(trigger: Path) -> None:
    """Write when it was, the first time."""
    if not trigger.stat().st_size:
        unfinished = trigger.with_name(f"{trigger.name}.{os.getpid()}")
        unfinished.write_text(repr(time.time() * 1000))
        unfinished.rename(trigger)


if __name__ == "__main__":
    raise SystemExit(enter("maker.drills.planted", 2, plant, sys.argv[1:]))
