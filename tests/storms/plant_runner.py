"""Perform storms with whichever `maker` PYTHONPATH leads to: what a planted copy is searched with. Run as a script.

One JSON object is read from stdin: `conf` (a file), `storms` (schedules, or seeds to be drawn), `finders` (names of
invariants). One line is written for each storm; after the first in which one of the finders fired there is none.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

STORM_SECONDS_MAX = 12.0  # of processor time, ten times the longest sound one: a plant may spin without ever ending


TOO_LONG = 3  # exit code: the storm at hand was given up, and those after it were not begun


def too_long(_number: int, _frame: object) -> NoReturn:
    """Give up at once: an error would have to find its way out of an event loop that may be what spins."""
    os._exit(TOO_LONG)


def perform(config: Any, storm: Any) -> dict[str, Any]:
    """Perform one storm and say what came of it."""
    from maker.storms import catalogue, world
    from maker.storms.schedule import as_fields, from_fields

    schedule = catalogue.draw(storm, len(config.markets)) if isinstance(storm, int) else from_fields(storm)
    signal.setitimer(signal.ITIMER_PROF, STORM_SECONDS_MAX)
    try:
        outcome, record = world.perform(config, schedule)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return {"seed": schedule.seed, "violations": [], "void": "", "crashed": repr(error)[:2000]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    return {
        "seed": schedule.seed,
        "violations": [[one.name, one.at, one.sentence] for one in outcome.violations],
        "void": outcome.void,
        "crashed": outcome.crashed[:2000],
        "entries": len(record.entries),
        "schedule": as_fields(schedule),
    }


def main() -> None:
    asked = json.load(sys.stdin)
    from maker.app.config import load

    signal.signal(signal.SIGPROF, too_long)
    config = load(Path(asked["conf"]), "http://ocx.test", "ws://ocx.test")
    for storm in asked["storms"]:
        said = perform(config, storm)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        if any(name in asked["finders"] for name, _at, _sentence in said["violations"]):
            return


if __name__ == "__main__":
    main()
