"""The chaos tests at any size: real makers killed, stopped or told to stop at random moments, judged by the record.

    python3 run.py test --collect-only -q      (once: makes the environment)
    .venv/bin/python tests/bench/campaign.py kill|timed|pause|signals --count N [--lanes 4] [--seed S] [--each FILE]

kill     kill -9 while ladders are late on their way; every CONTROL_EVERYth of a control arm without a tail
timed    kill -9, one after the other: the time to the first cancel-all, to be run on a quiet machine
pause    SIGSTOP, the reference moves, SIGCONT; every CONTROL_EVERYth of a control arm with a watchdog alone
signals  one to five stop signals at random moments

Prints the figures as JSON and exits with 1 if anything that must hold did not. `--each` keeps a line for every try.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import attrs
import trio

from tests.chaos import kill, pause, signals


def play(what: str, folder: Path, count: int, lanes: int, seed: int, each: Callable[[object], None]) -> Any:
    """Run one campaign and return its tries and how to judge them."""
    match what:
        case "kill":
            return trio.run(partial(kill.kills, folder, count, seed, lanes=lanes, progress=each)), kill
        case "timed":
            return trio.run(partial(kill.timed_kills, folder, count, seed, progress=each)), kill
        case "pause":
            return trio.run(partial(pause.pauses, folder, count, seed, lanes=lanes, progress=each)), pause
        case "signals":
            return trio.run(partial(signals.stops, folder, count, seed, lanes=lanes, progress=each)), signals
        case _:
            raise AssertionError(what)


def main() -> int:
    words = argparse.ArgumentParser(description="chaos at any size")
    words.add_argument("what", choices=("kill", "timed", "pause", "signals"))
    words.add_argument("--count", type=int, required=True)
    words.add_argument("--lanes", type=int, default=4, help="side by side; two cores carry four")
    words.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    words.add_argument("--each", type=Path, help="append a line for every try to this file")
    given = words.parse_args()

    def each(result: object) -> None:
        if given.each is not None:
            line = {"unmade": result} if isinstance(result, str) else attrs.asdict(cast(Any, result))
            with given.each.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    sys.stderr.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        tries, room = play(given.what, Path(folder), given.count, given.lanes, given.seed, each)
    broken = room.broken(tries)
    load = [round(one, 1) for one in os.getloadavg()]
    figures = {"seed": given.seed, **room.figures(tries.done), "load at the end": load, "broken": broken}
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
