"""What came of one storm, small enough to be handed from process to process."""

from __future__ import annotations

import attrs

from maker.storms.schedule import Schedule


@attrs.frozen
class Violation:
    """An invariant that did not hold."""

    name: str  # S1 … S24, L1 … L7
    at: float  # virtual seconds
    sentence: str


@attrs.frozen(kw_only=True)
class Outcome:
    """One storm's end."""

    schedule: Schedule
    digest: str  # of the record: the same seed gives the same
    violations: tuple[Violation, ...]
    void: str  # why it does not count; empty: it does
    simulated_seconds: float
    ladders: int  # applied
    fills: int
    faults: dict[str, int]  # by name: how often each bit
    reached: frozenset[str]  # what must be met in a campaign: "cancel_all_429", "exit_75", "trip_STREAM_BROKEN", …
    checked: dict[str, int]  # by invariant: how often it had something to judge
    crashed: str = ""  # an error of the simulation's own, with its traceback: never counted as a violation
