"""A smaller storm that breaks the same invariant: faults left out by halves, then one by one, then shortened.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002) over the list of
faults: what remains cannot lose any one of them. Then what is left is made shorter and simpler while the invariant
still breaks. A candidate counts only if the invariant of the same name is broken: another violation, or a crash of the
simulation, is another finding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs

from maker.storms.campaign import Performer
from maker.storms.outcome import Outcome, Violation
from maker.storms.schedule import Fault, Schedule, as_fields

TRIES_MAX: Final = 150  # performances: eight faults take thirty to leave out and some fifty to shorten
SECONDS_KEPT: Final = 0.1  # nothing is shortened below this


@attrs.frozen
class Shrunk:
    """What came of shrinking."""

    schedule: Schedule
    violation: Violation  # of the smaller storm
    tries: int


def shrink(outcome: Outcome, name: str, perform: Performer, tries_max: int = TRIES_MAX) -> Shrunk:
    """Return the smallest storm found in which `name` is broken: at worst the one that is given."""
    violation = next(one for one in outcome.violations if one.name == name)
    trial = Trial(perform, name, outcome.schedule, violation, tries_max)
    leave_out(trial)
    shorten(trial)
    return Shrunk(trial.best, trial.violation, trial.tries)


@attrs.define
class Trial:
    """The smallest storm so far, and what has been tried."""

    perform: Performer
    name: str
    best: Schedule
    violation: Violation
    tries_max: int
    tries: int = 0
    seen: set[str] = attrs.field(factory=set)  # only asked whether it holds one

    def breaks(self, candidate: Schedule) -> bool:
        """Perform a candidate that was not tried before, and keep it if the invariant breaks in it too."""
        text = repr(as_fields(candidate))
        if text in self.seen or candidate == self.best or self.tries >= self.tries_max:
            return False
        self.seen.add(text)
        self.tries += 1
        outcome = self.perform(candidate)
        found = [one for one in outcome.violations if one.name == self.name]
        if outcome.crashed or not found:
            return False
        self.best, self.violation = candidate, found[0]
        return True


def leave_out(trial: Trial) -> None:
    """Leave out faults: halves first, then smaller parts, until not one of them can go."""
    if trial.breaks(attrs.evolve(trial.best, faults=())):
        return
    size = math.ceil(len(trial.best.faults) / 2)
    while size >= 1:
        smaller = False
        start = 0
        while start < len(trial.best.faults):
            faults = trial.best.faults
            if trial.breaks(attrs.evolve(trial.best, faults=faults[:start] + faults[start + size :])):
                smaller = True  # what followed has moved to `start`
            else:
                start += size
        if size == 1 and not smaller:
            return
        size = max(1, size // 2)


def shorten(trial: Trial) -> None:
    """Shorten and simplify what remains, each step as long as the invariant still breaks."""
    if trial.best.markets > 1:
        trial.breaks(attrs.evolve(trial.best, markets=1))
    if trial.best.stop_at is not None:
        trial.breaks(attrs.evolve(trial.best, stop_at=None))
    for index in range(len(trial.best.faults)):
        for change in (half_as_long, rounded):
            while trial.breaks(changed(trial.best, index, change)):
                pass
    while trial.breaks(earlier(trial.best)):
        pass


def changed(schedule: Schedule, index: int, change: Callable[[Fault], Fault]) -> Schedule:
    """Change one fault."""
    faults = list(schedule.faults)
    faults[index] = change(faults[index])
    return attrs.evolve(schedule, faults=tuple(faults))


def half_as_long(fault: Fault) -> Fault:
    """Half as long in force, down to the shortest; a fault that happens once stays as it is."""
    seconds = round(fault.seconds / 2, 3)
    return attrs.evolve(fault, seconds=seconds) if seconds >= SECONDS_KEPT else fault


def rounded(fault: Fault) -> Fault:
    """The same on whole tenths of seconds: easier to read."""
    return attrs.evolve(fault, at=round(fault.at, 1), seconds=round(fault.seconds, 1))


def earlier(schedule: Schedule) -> Schedule:
    """Everything earlier by half of the time before the first fault, the distances kept."""
    first = min((fault.at for fault in schedule.faults), default=0.0)
    if first < SECONDS_KEPT:
        return schedule
    faults = tuple(attrs.evolve(fault, at=round(fault.at - first / 2, 6)) for fault in schedule.faults)
    return attrs.evolve(schedule, faults=faults)
