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
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import attrs
import trio

from tests.chaos import kill, pause, signals


class Campaign(NamedTuple):
    """One kind: what plays it, what its tries show, what they break."""

    play: Callable[..., Awaitable[Any]]
    figures: Callable[[Any], dict[str, Any]]
    broken: Callable[[Any], list[str]]


CAMPAIGNS = {
    "kill": Campaign(kill.kills, kill.figures, kill.broken),
    "timed": Campaign(kill.timed_kills, kill.figures, kill.slow),
    "pause": Campaign(pause.pauses, pause.figures, pause.broken),
    "signals": Campaign(signals.stops, signals.figures, signals.broken),
}


def main() -> int:
    words = argparse.ArgumentParser(description="chaos at any size")
    words.add_argument("what", choices=CAMPAIGNS)
    words.add_argument("--count", type=int, required=True)
    words.add_argument("--lanes", type=int, default=4, help="side by side; two cores carry four (timed: always one)")
    words.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    words.add_argument("--each", type=Path, help="append a line for every try to this file")
    given = words.parse_args()
    campaign = CAMPAIGNS[given.what]

    def each(result: object) -> None:
        if given.each is not None:
            line = {"unmade": result} if isinstance(result, str) else attrs.asdict(cast(Any, result))
            with given.each.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with us
    sys.stderr.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        play = partial(campaign.play, Path(folder), given.count, given.seed, progress=each)
        tries = trio.run(play if given.what == "timed" else partial(play, lanes=given.lanes))
    broken = campaign.broken(tries)
    load = [round(one, 1) for one in os.getloadavg()]
    figures = {"seed": given.seed, **campaign.figures(tries.done), "load at the end": load, "broken": broken}
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
