"""One storm as data: which faults, when and how hard. Drawn from a seed, kept as JSON, made smaller by leaving out.

A schedule says everything that is chosen: performing it twice gives the same history. `at` counts seconds from the
moment at which every market is quoted.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Fault:
    """One fault."""

    row: str  # of the catalogue: "F5"
    name: str  # of its class: "reset_after_effect"
    at: float  # seconds
    seconds: float = 0.0  # how long it stays in force; 0: it happens once
    numbers: dict[str, float] = attrs.field(factory=dict)  # its parameters, by name with unit
    words: dict[str, str] = attrs.field(factory=dict)  # its parameters that are no numbers

    @property
    def ends_at(self) -> float:
        return self.at + self.seconds


@attrs.frozen(kw_only=True)
class Schedule:
    """One storm."""

    seed: int  # of everything that is not drawn here: prices, traders, latencies, jitter
    markets: int  # so many of the configuration's, in its order
    step_ms: int  # of the exchange: how fast the world goes
    faults: tuple[Fault, ...]
    ending: str = "signal"  # how the run is ended, once it is quiet and quoting: "signal" | "time_up" | "kill_file"
    stop_at: float | None = None  # told to stop then, in the middle of the storm; None: when it is over


def as_fields(schedule: Schedule) -> dict[str, object]:
    """Return a schedule as JSON-able values."""
    return attrs.asdict(schedule)


def from_fields(fields: dict[str, object]) -> Schedule:
    """Return the schedule of `as_fields`. Raises TypeError, KeyError for what is none."""
    given = dict(fields)
    faults = given.pop("faults")
    assert isinstance(faults, list | tuple), "faults are a list"
    return Schedule(faults=tuple(Fault(**one) for one in faults), **given)  # type: ignore[arg-type]
