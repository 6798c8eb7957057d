"""The short worlds in which every step is struck in turn: one thing goes on in each, under fair weather otherwise.

Steps count in a window of each: from the start to the first ladders, from there to the signal, or from there to the
end. The configuration is the user's, but for the waits after an unknown outcome: they are shortened, as are the delays
that make one, so that a world lasts three seconds and not thirty.
"""

from __future__ import annotations

from typing import Final

import attrs

from maker.app.config import Config
from maker.storms.schedule import Fault

TAIL_SECONDS: Final = 1.0  # after an unknown outcome; above every delay below
SETTLE_SECONDS: Final = 0.3  # below the delay of a late ladder: once quotes are pulled, its outcome becomes unknown
DELAY_SECONDS: Final = 0.5
LASTING_SECONDS: Final = 60.0  # longer than any of these worlds

START, QUOTING, ENDING = "start", "quoting", "ending"


@attrs.frozen(kw_only=True)
class Scenario:
    """One short world, and its window: the steps at which blows fall."""

    name: str
    window: str  # START: to the first ladders; QUOTING: from there to the signal; ENDING: from there to the end
    seconds: float  # from the first ladders to the signal
    faults: tuple[Fault, ...] = ()
    markets: int = 1
    step_ms: int = 200


def once(row: str, name: str, at: float, status: float = 0.0, **words: str) -> Fault:
    return Fault(row=row, name=name, at=at, numbers={"times": 1.0, "status": status}, words=words)


def late(row: str, name: str) -> Fault:
    return Fault(row=row, name=name, at=0.0, seconds=LASTING_SECONDS, numbers={"delay_seconds": DELAY_SECONDS})


RESETS: Final = (
    once("F16", "feed_ended", 0.1, target="stream", form="reset"),
    once("F16", "feed_ended", 1.2, target="reference", form="end"),
)
LATE_LADDERS: Final = (late("F7", "late_ladders"),)
LATE_ANSWERS: Final = (late("F23", "late_answers"),)
FAILED: Final = (once("F29", "server_error_after", 0.0, 502.0, target="ladder", form="html"),)

SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario(name="start", window=START, seconds=0.0),
        Scenario(name="steady", window=QUOTING, seconds=1.6),
        Scenario(name="two markets", window=QUOTING, seconds=1.0, markets=2),
        Scenario(name="reconnect", window=QUOTING, seconds=2.6, faults=RESETS),
        Scenario(name="late answers", window=QUOTING, seconds=1.6, faults=LATE_ANSWERS),
        Scenario(name="late ladders", window=QUOTING, seconds=1.6, faults=LATE_LADDERS),  # land after the cancel-all
        Scenario(name="read back", window=QUOTING, seconds=2.8, faults=FAILED),
        Scenario(name="halt", window=ENDING, seconds=0.6),
        Scenario(name="halt in flight", window=ENDING, seconds=0.8, faults=LATE_LADDERS),
    )
}


def shortened(config: Config) -> Config:
    """The configuration with short waits after an unknown outcome."""
    halt = attrs.evolve(config.halt, tail_seconds_max=TAIL_SECONDS, settle_seconds_max=SETTLE_SECONDS)
    guard = attrs.evolve(config.guard, tail_seconds=TAIL_SECONDS, write_delay_seconds_max=TAIL_SECONDS)
    return attrs.evolve(config, halt=halt, guard=guard)
