"""`price`: what a spread model would quote, and the papers' tables again; without exchange, key or configuration."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import attrs

from maker.app import model_trial, own_model, spread_models, tables
from maker.desk.models import MODELS
from maker.desk.pricing import asked
from maker.desk.spread import Situation, Spread
from maker.errors import ConfigError, ExitCode

PATHS_MAX: Final = 1_000_000  # three minutes
UNREAD: Final = 1.0  # what a model does not look at
SITUATION: Final = tuple(field.name for field in attrs.fields(Situation))

HELP: Final = """usage: run.py price MODEL key=value ... [--json]
       run.py price table [--gamma G] [--paths N] [--seed S] [--json]

The first prints a model's reservation price and its quotes for one situation. Keys are the model's parameters and what
it looks at: fair, inventory, volatility (quote currency per root second), size, inventory_max, seconds_left, fill_rate
(A, per second at fair value), fill_decay (k, per quote currency); a parameter of such a name gets the same value. MODEL
is one of {models}
or your own as file.py:Class, the file in the current directory.

The second simulates the tables of Avellaneda and Stoikov 2008 (gamma 0.1, 0.01 and 1 are published).

  run.py price avellaneda_stoikov risk_aversion=0.1 horizon_seconds=1 rolling=false \\
      fair=100 inventory=1 volatility=2 size=1 seconds_left=1 fill_decay=1.5
  run.py price table --gamma 0.1 --paths 1000 --seed 1

exit codes: 0, or 2 for words that make no sense
"""


class UsageError(Exception):
    """Words that the command does not know, or too few; the message is one sentence."""


def main(argv: list[str]) -> int:
    """Print a quote or a table and return the exit code."""
    if "--help" in argv or "-h" in argv:
        sys.stdout.write(HELP.format(models=", ".join(MODELS)))
        return ExitCode.CLEAN
    words = [word for word in argv if word != "--json"]
    as_json = len(words) < len(argv)
    try:
        if not words:
            raise UsageError(f"name a model ({', '.join(MODELS)}, file.py:Class) or `table`; --help tells the rest.")
        lines, found = table(words[1:]) if words[0] == "table" else quote(words[0], words[1:])
    except (UsageError, ConfigError, ValueError, ArithmeticError) as wrong:  # a situation refuses with a ValueError
        sys.stderr.write(f"price: {wrong}\n")
        if as_json:
            sys.stdout.write(json.dumps({"reason": str(wrong), "exit_code": int(ExitCode.USAGE)}) + "\n")
        return ExitCode.USAGE
    sys.stdout.write("\n".join(lines) + "\n")
    if as_json:
        sys.stdout.write(json.dumps({**found, "exit_code": int(ExitCode.CLEAN)}) + "\n")
    return ExitCode.CLEAN


# -- one quote ----------------------------------------------------------------------------------------------------


def quote(name: str, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the lines and the object that tell a model's answer. Raises UsageError, ConfigError or ValueError."""
    given = pairs(words)
    own = own_model.parameters(own_model.load(name, Path(), "MODEL")) if ":" in name else ()
    parameters = {key: value for key, value in given.items() if key not in SITUATION or key in own}
    if name == "glft":
        parameters.setdefault("step_ratio", 0)  # the exact numbers, not those of the nearest remembered table
    wanted = [*required(name), *spread_models.reads(name)]
    missing = [key for key in wanted if key not in given]
    if name in MODELS and missing:
        raise UsageError(f"{name} needs {', '.join(missing)} as well.")
    model = spread_models.make(name, parameters, Path(), "MODEL", name)
    if missing:
        raise UsageError(f"{name} needs {', '.join(missing)} as well.")
    situation = Situation(**{key: number(key, given[key]) if key in given else UNREAD for key in SITUATION})
    try:
        spread = asked(model, situation)
    except Exception as error:  # of whatever kind: it was tried in another situation
        raise UsageError(f"{name} fails on {situation}: {model_trial.told(error)}.") from error
    found = {
        "model": name,
        "fair": situation.fair,
        "reservation": spread.reservation,
        "bid_price": spread.bid_price,
        "ask_price": spread.ask_price,
        "bid_offset": None if spread.bid_price is None else situation.fair - spread.bid_price,
        "ask_offset": None if spread.ask_price is None else spread.ask_price - situation.fair,
    }
    return told(spread, situation.fair), found


def required(name: str) -> list[str]:
    """Name the parameters of a model of the house that have no default; of a user's own its loader tells."""
    if name not in MODELS:
        return []
    return [field.name for field in attrs.fields(MODELS[name].make) if field.default is attrs.NOTHING]


def told(spread: Spread, fair: float) -> list[str]:
    """Spell a spread for a person: prices, and how far each is from fair value."""
    lines = []
    for name, price in (("ask", spread.ask_price), ("reservation", spread.reservation), ("bid", spread.bid_price)):
        if price is None:
            lines.append(f"{name:<12}{'none':>16}   at the inventory's limit")
        else:
            away = price - fair
            where = f"{abs(away):.6f} {'above' if away >= 0 else 'below'} fair ({away / fair * 10_000:+.3f} bp)"
            lines.append(f"{name:<12}{price:>16.6f}   {where}")
    return lines


def pairs(words: list[str]) -> dict[str, Any]:
    """Read key=value words. Raises UsageError."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"{word!r} is not key=value.")
        if key in found:
            raise UsageError(f"{key} is given twice.")
        found[key] = value_of(key, text)
    return found


def value_of(key: str, text: str) -> Any:
    """Read one value: a number, true or false; anything else is a text. Raises UsageError."""
    if text in ("true", "false"):
        return text == "true"
    with contextlib.suppress(ValueError):
        return int(text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value.is_finite():
        raise UsageError(f"{key} must be a finite number, not {text}.")
    return value


def number(key: str, value: Any) -> float:
    """Take a number of the situation. Raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise UsageError(f"{key} must be a number, not {value!r}.")
    return float(value)


# -- the papers' tables -------------------------------------------------------------------------------------------


def table(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the lines and the object of one simulated table. Raises UsageError."""
    parser = argparse.ArgumentParser(prog="run.py price table", add_help=False, exit_on_error=False)
    parser.add_argument("--gamma", type=float, default=0.1)
    parser.add_argument("--paths", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    try:
        said, unknown = parser.parse_known_args(words)
    except argparse.ArgumentError as wrong:
        raise UsageError(f"{wrong}.") from None
    if unknown:
        raise UsageError(f"unknown word {unknown[0]}; a table takes --gamma, --paths and --seed.")
    if not 2 <= said.paths <= PATHS_MAX:
        raise UsageError(f"--paths must be 2 to {PATHS_MAX:,}, not {said.paths}.")
    found = tables.simulate(said.gamma, said.paths, said.seed)
    lines = [
        f"Avellaneda and Stoikov 2008, gamma {said.gamma:g}, {said.paths:,} paths, seed {said.seed}",
        f"{'strategy':<22}{'spread':>8}{'profit':>9}{'sd':>8}{'final q':>9}{'sd':>8}",
    ]
    rows = {"inventory": found.inventory, "symmetric": found.symmetric}
    published = tables.PUBLISHED.get(said.gamma)
    for index, (name, row) in enumerate(rows.items()):
        lines.append(line(name, attrs.astuple(row)))
        if published is not None:
            lines.append(line("  as published", (published[0], *published[1 + index])))  # type: ignore[misc]
    return lines, {"gamma": said.gamma, "paths": said.paths, "seed": said.seed, **as_objects(rows)}


def line(name: str, values: tuple[float, ...]) -> str:
    spread, profit, profit_deviation, inventory, inventory_deviation = values
    return f"{name:<22}{spread:>8.2f}{profit:>9.2f}{profit_deviation:>8.2f}{inventory:>9.2f}{inventory_deviation:>8.2f}"


def as_objects(rows: Mapping[str, tables.Row]) -> dict[str, Any]:
    return {name: attrs.asdict(row) for name, row in rows.items()}
