"""How far a campaign is, on stderr: one line redrawn on a terminal, now and then a plain line anywhere else."""

from __future__ import annotations

import math
from typing import Final, TextIO

import attrs

from maker.storms.campaign import Tally

REDRAW_SECONDS: Final = 0.2  # on a terminal: more often nobody can read
LINE_SECONDS: Final = 30.0  # elsewhere: two lines a minute do not fill a log
BAR_CHARACTERS: Final = 20


@attrs.define
class Progress:
    """Draws no more often than anybody can read."""

    out: TextIO
    drawn_at: float = -math.inf  # in the campaign's own seconds
    told: set[int] = attrs.field(factory=set)  # seeds of broken and failed storms that have had their line

    @property
    def interval_seconds(self) -> float:
        return REDRAW_SECONDS if self.out.isatty() else LINE_SECONDS

    def show(self, tally: Tally) -> None:
        """Say what is new at once, and how far it is when it is time to."""
        new = sorted((tally.violated.keys() | tally.failures.keys()) - self.told)
        if tally.seconds - self.drawn_at < self.interval_seconds and not new:
            return
        self.drawn_at = tally.seconds
        self.told.update(new)
        for seed in new:
            self.put(trouble(tally, seed))
            if self.out.isatty():
                self.out.write("\n")
        self.put(line(tally))

    def put(self, text: str) -> None:
        self.out.write(f"\r{text}\x1b[K" if self.out.isatty() else f"{text}\n")
        self.out.flush()

    def end(self, tally: Tally) -> None:
        """Leave the last state standing."""
        self.put(line(tally))
        if self.out.isatty():
            self.out.write("\n")
            self.out.flush()


def trouble(tally: Tally, seed: int) -> str:
    """What one seed showed: enough to perform it again while the others go on."""
    if seed in tally.failures:
        return f"seed {seed}: {tally.failures[seed].sentence}"
    first, *more = tally.violated[seed].violations
    others = f" (and {len(more)} more)" if more else ""
    return f"seed {seed}: {first.name} at {first.at:.3f} s: {first.sentence}{others}"


def line(tally: Tally) -> str:
    """One line of at most a hundred characters."""
    share = tally.done / max(1, tally.size)
    bar = "#" * int(share * BAR_CHARACTERS)
    left = (tally.size - tally.done) * tally.seconds / tally.done if tally.done else math.nan
    failed = f", {len(tally.failures)} FAILED" if tally.failures else ""
    return (
        f"[{bar:{BAR_CHARACTERS}}] {tally.done}/{tally.size}  {a_minute(tally.done, tally):.0f}/min"
        f"  {a_minute(tally.simulated_seconds / 3600, tally):.1f} simulated h/min"
        f"  {len(tally.violations)} violations{failed}  {duration(left)} left"
    )


def a_minute(amount: float, tally: Tally) -> float:
    return 60 * amount / tally.seconds if tally.seconds else 0.0


def duration(seconds: float) -> str:
    """Short, for people."""
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
