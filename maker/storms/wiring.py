"""What a campaign performs: a user's configuration made harmless, and the simulations that take it.

The simulations are imported where they are used: a worker imports only the one that it performs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from maker.app import config
from maker.app.config import Config
from maker.drills.configuration import KEY_ENV, prepare, references
from maker.storms import catalogue
from maker.storms.campaign import Build, Performers
from maker.storms.outcome import Outcome
from maker.storms.record import Record
from maker.storms.requirements import Needs, needs_of_core, needs_of_world
from maker.storms.schedule import Schedule, from_fields

ADDRESSES: Final = ("http://ocx.test", "ws://ocx.test")  # of the world's exchange and reference feed: names in no net
STATE_FOLDER: Final = Path("/nonexistent/state")  # of the world's maker: it writes nothing, and sees no kill file


class UsageError(Exception):
    """Words or a file that this command cannot use; the message is one sentence."""


def prepared(path: Path) -> tuple[Config, Path, Sequence[str]]:
    """Return a user's configuration with nobody of theirs to speak to, a folder for what is found, and notes.

    Raises ConfigError.
    """
    folder = config.load(path).state_folder / "storms"
    safe = prepare(path, shorten=False)
    exchange_url, reference_url = ADDRESSES
    encrypted = (exchange_url.replace("http:", "https:"), reference_url.replace("ws:", "wss:"))
    tree = {
        **safe.tree,
        "mode": "live",
        "account": "storms",
        "state_folder": str(STATE_FOLDER),
        "exchange": {"base_url": encrypted[0], "key_env": KEY_ENV},
        "reference": references(safe.tree["reference"], encrypted[1], {}),
    }
    checked = config.check(tree)
    plain = attrs.evolve(
        checked,
        exchange=attrs.evolve(checked.exchange, base_url=exchange_url),
        references={name: attrs.evolve(one, url=reference_url) for name, one in checked.references.items()},
    )
    return plain, folder, safe.notes


def wired(ready: Config, core: bool, minutes: float, swarm: bool, without: frozenset[str]) -> tuple[Build, Needs]:
    """Return how a worker performs storms, and what a campaign of them must meet."""
    if core:
        return partial(core_of, ready, minutes), needs_of_core()
    rows = {one.name: one.row for one in catalogue.CLASSES}
    return partial(world_of, ready, swarm, without), needs_of_world(rows)


def world_of(ready: Config, swarm: bool, without: frozenset[str]) -> Performers:
    """The whole program, in the worker that performs it."""
    from maker.storms import world

    return drawn_and_performed(ready, catalogue.draw, world.perform, swarm, without)


def drawn_and_performed(
    ready: Config,
    draw: Callable[..., Schedule],
    perform: Callable[[Config, Schedule], tuple[Outcome, Record]],
    swarm: bool,
    without: frozenset[str],
) -> Performers:
    """Draw a seed's storm, leave out what was switched off, and perform it."""

    def storm(seed: int) -> Outcome:
        drawn = draw(seed, len(ready.markets), swarm=swarm)
        kept = tuple(fault for fault in drawn.faults if fault.name not in without)
        return perform(ready, attrs.evolve(drawn, faults=kept))[0]

    return Performers(storm, partial(perform, ready))


def core_of(ready: Config, minutes: float) -> Performers:
    """Engine and exchange alone, in the worker that performs them."""
    from maker.storms.core import run_core

    return Performers(lambda seed: run_core(ready, seed, minutes))


def read_schedule(path: Path, markets: int) -> Schedule:
    """Read a schedule from a file. Raises UsageError."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fields, dict) or not isinstance(fields.get("faults"), list):
            raise TypeError("it has no list of faults")
        schedule = from_fields(fields)
    except (OSError, ValueError, TypeError, KeyError) as wrong:
        raise UsageError(f"{path} holds no schedule: {wrong}") from wrong
    if not 1 <= schedule.markets <= markets:
        raise UsageError(f"{path} needs {schedule.markets} markets, and the configuration has {markets} to simulate")
    return schedule
