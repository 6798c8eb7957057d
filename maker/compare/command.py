"""`compare CONF`: the configuration's models in one market, days of it, on the same seeds, and what came of it.

Nothing leaves this machine and no key is read. A losing result is a result: the exit code says whether the comparison
is sound, not whether anybody earned.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from maker.app import config as configuration
from maker.app.config import Config
from maker.compare import table
from maker.compare.counterpart import SPREAD_TOLERANCE
from maker.compare.match import Match
from maker.compare.variants import market_of, variants
from maker.compare.waves import play_all, problems
from maker.errors import ConfigError, ExitCode
from maker.paper.market import MarketSpec
from maker.paper.prices import PATH_PRESETS
from maker.storms.command import interruptible, positive, say, seeds
from maker.storms.progress import duration
from maker.storms.workers import CannotWork

DAYS: Final = 3.0
DAYS_MAX: Final = 60.0
SEEDS: Final = "0:5"
PRESET: Final = "normal"  # where the configuration has no [paper] to say

EPILOG: Final = f"""
The market is a simulation, and its takers are the practice exchange's: noise takers who pay the spread, takers at the
touch, and informed ones who know the reference two seconds ahead and take every quote that will be wrong. Every model
of a seed meets the same prices and the same takers. The maker is the real one from the facts to the ladders: engine,
limits, request budget; the exchange is the practice exchange with its rate limit. Loss limits are lifted, so that a
loss is seen whole.

Each model that skews (asked, its answer depends on the position) is held against a fixed half-spread without skew whose
mean quoted half-spread is the same within {SPREAD_TOLERANCE:.0%}: does it hold its position in a tighter band around
zero? Models of a seed that quote about as wide are held against the same one. What is printed is what came out.

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
    wrong_ones = problems(played)
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
