"""`compare CONF`: the configuration's models in one market, days of it, on the same seeds, and what came of it.

Nothing leaves this machine and no key is read. A losing result is a result: the exit code says whether the comparison
is sound, not whether anybody earned.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from maker.app import config as configuration
from maker.app.config import Config
from maker.compare import table
from maker.compare.match import SPREAD_TOLERANCE, Match, play_pair
from maker.compare.result import Pair
from maker.compare.variants import market_of, variants
from maker.errors import ConfigError, ExitCode
from maker.paper.market import MarketSpec
from maker.paper.prices import PATH_PRESETS
from maker.storms.command import interruptible, positive, say, seeds
from maker.storms.progress import BAR_CHARACTERS, Progress, duration
from maker.storms.workers import CannotWork, Failure, perform_all

DAYS: Final = 3.0
DAYS_MAX: Final = 60.0
SEEDS: Final = "0:5"
PRESET: Final = "normal"  # where the configuration has no [paper] to say
SECONDS_A_DAY_MAX: Final = 3_000.0  # of real time, for a pair and its probes: thirty times what it takes
SECONDS_MIN: Final = 300.0

EPILOG: Final = f"""
The market is a simulation, and its takers are the practice exchange's: noise takers who pay the spread, takers at the
touch, and informed ones who know the reference two seconds ahead and take every quote that will be wrong. Every model
of a seed meets the same prices and the same takers. The maker is the real one from the facts to the ladders: engine,
limits, request budget; the exchange is the practice exchange with its rate limit. Loss limits are lifted, so that a
loss is seen whole.

Each model with skew is held against a fixed half-spread without skew whose mean quoted half-spread is the same within
{SPREAD_TOLERANCE:.0%}: does it hold its position in a tighter band? What is printed is what came out.

exit codes: 0 everything was played and judged; 1 something was not; 2 usage; 78 the configuration is refused.
"""


def main(argv: list[str]) -> int:
    """Compare; return 0 when all was played and judged, 1 when not, 2 for wrong words, 78 for a wrong configuration."""
    words = parser().parse_args(argv)
    said: dict[str, Any] = {}

    def ended(reason: str, code: ExitCode) -> int:
        say(reason)
        if words.json:
            say(json.dumps({"reason": reason, "exit_code": int(code), **said}))
        return code

    try:
        loaded = configuration.load(words.configuration)
        spec = market_of(loaded, words.market)
        models = variants(loaded, spec.market_id)
    except ConfigError as wrong:
        return ended(f"configuration: {wrong}", ExitCode.REFUSED_TO_START)
    chosen = words.models or [name for name, _ in models]
    if unknown := [name for name in chosen if name not in dict(models)]:
        known = ", ".join(name for name, _ in models)
        return ended(f"no model is called {unknown[0]}; there are: {known}", ExitCode.USAGE)
    matches = drawn_up(words, loaded, spec, {name: one for name, one in models if name in chosen})
    say(
        f"{spec.market_id}, {matches[0].preset} market, {words.days:g} days, seeds {words.seeds.start} to "
        f"{words.seeds.stop - 1}: {', '.join(dict.fromkeys(one.model for one in matches))}"
    )
    try:
        with interruptible() as stopped:
            played = play_all(matches, words.jobs, lambda: not stopped())
    except CannotWork as cannot:
        sys.stderr.write(cannot.detail)
        return ended(f"nothing could be played: {cannot}", ExitCode.FAILURES_FOUND)
    pairs = played.pairs
    say(table.tables(pairs, spec.base, spec.quote))
    say(f"\nplayed {played.hours:.1f} simulated hours in {duration(played.seconds)}, {played.pace:.0f} h a minute")
    said.update(pairs=table.as_object(pairs), seconds=round(played.seconds, 1), simulated_hours=round(played.hours, 2))
    wrong_ones = problems(matches, played)
    said["problems"] = wrong_ones
    if wrong_ones:
        return ended("; ".join(wrong_ones), ExitCode.FAILURES_FOUND)
    return ended(f"{len(pairs)} matches, every profit explained to the last digit", ExitCode.CLEAN)


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="run.py compare",
        description="Compare the models of your configuration in days of simulated market.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("configuration", type=Path, help="of either mode; it speaks to nobody")
    words.add_argument("--market", default="", metavar="ID", help="one of the configured (the first)")
    words.add_argument("--days", type=days, default=DAYS, metavar="D", help=f"simulated, a run ({DAYS:g})")
    words.add_argument("--seeds", type=seeds, default=seeds(SEEDS), metavar="A:B", help=f"from A to before B ({SEEDS})")
    words.add_argument("--models", type=names, default=[], metavar="a,b", help="only these (every one with a table)")
    words.add_argument("--preset", choices=sorted(PATH_PRESETS), help=f"the market (that of [paper], or {PRESET})")
    words.add_argument(
        "--jobs", type=positive, metavar="N", default=len(os.sched_getaffinity(0)), help="processes (every core)"
    )
    words.add_argument("--json", action="store_true", help="end with one JSON object that has a row a match")
    return words


def days(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= DAYS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of days above 0 and at most {DAYS_MAX:g}")
    return found


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def drawn_up(words: argparse.Namespace, loaded: Config, spec: MarketSpec, models: dict[str, Config]) -> Sequence[Match]:
    """Every model on every seed; seeds first, so that whoever stops it has all models of some."""
    preset = words.preset or (PRESET if loaded.paper is None else loaded.paper.preset)
    seconds = max(1, round(words.days * 86_400))
    return [Match(name, one, spec, preset, seed, seconds) for seed in words.seeds for name, one in models.items()]


@attrs.define
class Played:
    """What has been played so far."""

    size: int
    pairs: list[Pair] = attrs.field(factory=list)
    failures: list[tuple[Match, Failure]] = attrs.field(factory=list)
    seconds: float = 0.0  # of real time

    @property
    def hours(self) -> float:
        """Simulated, probes not counted."""
        return sum((1 + (pair.fixed is not None)) * pair.model.seconds for pair in self.pairs) / 3600

    @property
    def pace(self) -> float:
        """Simulated hours a minute."""
        return 60 * self.hours / self.seconds if self.seconds else 0.0

    def line(self) -> str:
        """How far it is, in at most a hundred characters."""
        done = len(self.pairs) + len(self.failures)
        bar = "#" * int(done / self.size * BAR_CHARACTERS)
        left = duration((self.size - done) * self.seconds / done if done else float("nan"))
        failed = f", {len(self.failures)} FAILED" if self.failures else ""
        return (
            f"[{bar:{BAR_CHARACTERS}}] {done}/{self.size} matches  {self.pace:.0f} simulated h/min{failed}  {left} left"
        )


def play_all(matches: Sequence[Match], processes: int, going_on: Callable[[], bool]) -> Played:
    """Play every match on so many processes. Raises CannotWork."""
    played, progress, began = Played(len(matches)), Progress(sys.stderr), time.monotonic()
    shown_at = -progress.interval_seconds

    def done(match: Match, outcome: Pair | Failure) -> None:
        if isinstance(outcome, Failure):
            played.failures.append((match, outcome))
        else:
            played.pairs.append(outcome)

    def still() -> bool:
        nonlocal shown_at
        played.seconds = time.monotonic() - began
        if played.seconds - shown_at >= progress.interval_seconds:
            shown_at = played.seconds
            progress.put(played.line())
        return going_on()

    seconds_max = max(SECONDS_MIN, matches[0].seconds / 86_400 * SECONDS_A_DAY_MAX)
    perform_all(builder, matches, processes=processes, seconds_max=seconds_max, done=done, going_on=still)
    played.seconds = time.monotonic() - began
    progress.put(played.line())
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    order = {(match.model, match.seed): number for number, match in enumerate(matches)}
    played.pairs.sort(key=lambda pair: order[pair.model.model, pair.model.seed])
    return played


def builder() -> Callable[[Match], Pair]:
    """What a worker does."""
    return play_pair


def problems(matches: Sequence[Match], played: Played) -> list[str]:
    """What keeps the comparison from being sound, sentence by sentence."""
    found = []
    for match, failure in played.failures:
        found.append(f"{match.model} on seed {match.seed}: {failure.sentence}")
    missing = len(matches) - len(played.pairs) - len(played.failures)
    if missing:
        found.append(f"stopped before the end: {missing} of {len(matches)} matches were not played")
    drawn: dict[int, set[str]] = {}
    for pair in played.pairs:
        drawn.setdefault(pair.model.seed, set()).update(
            one.drawn for one in (pair.model, pair.fixed) if one is not None
        )
    unequal = [seed for seed, prints in drawn.items() if len(prints) > 1]
    if unequal:
        found.append(f"the models of seeds {unequal} did not meet the same market")
    unmatched = [f"{pair.model.model} on seed {pair.model.seed}" for pair in played.pairs if not table.is_matched(pair)]
    if unmatched:
        found.append(f"no fixed half-spread met that of {', '.join(unmatched)}")
    return found
