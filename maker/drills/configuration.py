"""A user's configuration, made safe to drill with: what it says about quoting stays, whom it speaks to does not.

No packet may leave the machine and no key of the user's may be read, whatever the configuration says. So nothing is
searched for and taken out: a text is KEPT only under a name known to hold no address, no path and no secret, and every
other text is dropped. Numbers and switches stay as they are, but for the tail after an unknown outcome, which is
shortened so that a drill does not take longer than anybody waits; the drills say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

from maker.app import config
from maker.app.reference_config import practice_url
from maker.errors import ConfigError
from maker.paper.market import default_markets

KEY_ENV: Final = "MAKER_DRILL_KEY"  # holds the practice exchange's published key
TAIL_SECONDS: Final = 4.0  # long enough for five cancel-alls of a tail: at 0, 0.25, 1, 2 and 4 s
TEXTS_KEPT: Final = frozenset({"order_prefix", "price_from", "combine", "foreign_orders", "model", "flatten"})
REPLACED: Final = frozenset({"mode", "account", "state_folder", "exchange", "reference", "paper", "monitor", "alerts"})
SHORTENED: Final = (("halt", "tail_seconds_max"), ("guard", "tail_seconds"), ("guard", "write_delay_seconds_max"))

# Nobody looks on, unless that is what is measured; drills side by side are told apart by their folders.
NOBODY: Final[Mapping[str, Any]] = {"enabled": False}

Tree = dict[str, Any]


@attrs.frozen
class Addresses:
    """Where a drill's exchange and reference feed are: on this machine."""

    exchange_url: str
    reference_url: str
    ca_file: str = ""  # of the practice exchange's own authority, where it speaks TLS


@attrs.frozen
class DrillConfiguration:
    """A user's configuration without its addresses; `write` gives it those of one drill."""

    tree: Tree
    venue_words: tuple[str, ...]  # what the practice exchange must know of it
    key_env: str  # of the user's: taken out of the environment by name, never looked at
    stale_seconds_max: float  # of the most patient market
    hang_seconds_max: float
    halt_seconds_max: float
    tail_seconds: float  # the longest of what was shortened
    notes: tuple[str, ...]  # what was changed, a sentence each
    monitor: Mapping[str, Any] = NOBODY  # who looks on

    def write(self, folder: Path, addresses: Addresses) -> Path:
        """Write it for one drill into its folder, and return the file. Raises ConfigError if it no longer checks."""
        secure = {"ca_file": addresses.ca_file} if addresses.ca_file else {}
        tree = {
            **self.tree,
            "mode": "live",
            "account": f"drill-{folder.parent.name}-{folder.name}",  # a bot that runs beside keeps its lock
            "state_folder": str(folder),
            "exchange": {"base_url": addresses.exchange_url, "key_env": KEY_ENV, **secure},
            "reference": references(self.tree["reference"], addresses.reference_url, secure),
            "monitor": dict(self.monitor),
        }
        config.check(tree)
        path = folder / "drill.toml"
        path.write_text(toml(tree), encoding="utf-8")
        return path


def prepare(path: Path, *, shorten: bool = True) -> DrillConfiguration:
    """Read a user's configuration and take out whom it speaks to. Raises ConfigError.

    Where waiting costs nothing, in virtual time, nothing need be shortened.
    """
    tree = config.read(path)
    checked = config.check(tree, folder=path.parent)
    kept = harmless({name: value for name, value in tree.items() if name not in REPLACED})
    kept["reference"] = harmless(tree["reference"])
    notes = ["addresses, keys, account name and state folder are replaced: nothing leaves this machine"]
    listed = {spec.market_id: spec for spec in default_markets() if spec.tradable}
    for name in [name for name in kept["market"] if name not in listed]:
        del kept["market"][name]
        notes.append(f"market.{name} is left out: the practice exchange does not list it")
    if not kept["market"]:
        problem = f"has none that the practice exchange lists: {', '.join(listed)}."
        raise ConfigError("market", problem, "Drill with a configuration for one of these.")
    for name, market in kept["market"].items():
        own_model_beside(path, market)
        for source in market["sources"].values():
            source["symbol"] = f"{listed[name].base}-USD"
    if shorten:
        notes += shorten_tails(kept)
    return DrillConfiguration(
        tree=kept,
        venue_words=venue_words(tree),
        key_env=checked.exchange.key_env,
        stale_seconds_max=float(
            max(
                source.stale_seconds_max
                for name in kept["market"]
                for source in checked.markets[name].fair.sources.values()
            )
        ),
        hang_seconds_max=float(checked.guard.hang_seconds_max),
        halt_seconds_max=float(checked.halt.halt_seconds_max),
        tail_seconds=float(max(kept[table][key] for table, key in SHORTENED)),
        notes=tuple(notes),
    )


def own_model_beside(path: Path, market: Tree) -> None:
    """Name a model of the user's own by its whole path: the drill's configuration stands elsewhere."""
    for name in [name for name in market["models"] if ":" in name]:
        whole = str((path.parent / name).resolve())
        market["models"][whole] = market["models"].pop(name)
        market["model"] = whole if market["model"] == name else market["model"]


def references(tree: Tree, url: str, secure: Mapping[str, str]) -> Tree:
    """Each reference feed of a user's, at the practice exchange's address, in its language (no `venue`)."""
    return {
        name: {
            **{key: value for key, value in one.items() if key != "described"},
            "url": practice_url(url, name),
            **secure,
        }
        for name, one in tree.items()
    }


def harmless(tree: Mapping[str, Any]) -> Tree:
    """Keep numbers, switches, and texts under names known to be neither address nor path nor secret."""
    kept: Tree = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            kept[key] = harmless(value)
        elif isinstance(value, bool | int | float | Decimal) or (isinstance(value, str) and key in TEXTS_KEPT):
            kept[key] = value
    return kept


def shorten_tails(tree: Tree) -> list[str]:
    """Shorten what is longer than the drills wait, and say so."""
    notes = []
    for table, key in SHORTENED:
        seconds = tree[table][key]
        if seconds > TAIL_SECONDS:
            tree[table][key] = Decimal(str(TAIL_SECONDS))
            notes.append(f"{table}.{key} is {TAIL_SECONDS:g} s instead of {seconds:g} s, to fit the time")
    return notes


def venue_words(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """What the practice exchange is started with: the account's rate limit, and how [paper.switches] want it."""
    words = ["--requests-per-minute", str(int(tree["budget"]["requests_per_minute"]))]
    for name, value in tree.get("paper", {}).get("switches", {}).items():
        words += [f"--{name.replace('_', '-')}", str(value).lower() if isinstance(value, bool) else str(value)]
    return tuple(words)


# -- TOML ---------------------------------------------------------------------------------------------------------


def toml(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Spell a tree of tables, texts, numbers and switches; the standard library only reads TOML."""
    lines = [f"{quoted(key)} = {scalar(value)}" for key, value in tree.items() if not isinstance(value, Mapping)]
    header = [f"[{'.'.join(map(quoted, path))}]"] if path else []
    tables = [toml(value, (*path, key)) for key, value in tree.items() if isinstance(value, Mapping)]
    return "\n".join([*header, *lines, "", *tables])


def quoted(text: str) -> str:
    """A TOML basic string is a JSON string, but that it knows no surrogates and escapes DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    assert isinstance(value, int | float | Decimal), value
    return str(value)
