"""A few simulated minutes for tests: the paper configuration, its ladder changed as a test needs it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import attrs

from maker.app import config as configuration
from maker.app.config import Config
from maker.compare.match import Match, play, play_pair
from maker.compare.result import Pair, Result
from maker.compare.variants import AS_WRITTEN, market_of, variants, with_ladder

CONFIGURATION = Path(__file__).parents[2] / "conf" / "paper.toml"
MARKET = "BTC-PERP"


@cache
def loaded() -> Config:
    return configuration.load(CONFIGURATION)


def match(model: str = AS_WRITTEN, *, seed: int = 0, seconds: int = 600, preset: str = "busy", **ladder: Any) -> Match:
    """A run of a variant of the paper configuration, these fields of its ladder changed."""
    found = dict(variants(loaded(), MARKET))[model]
    if ladder:
        found = with_ladder(found, MARKET, **ladder)
    return Match(model, found, market_of(loaded(), MARKET), preset, seed, seconds)


@cache
def as_written(seed: int = 0, seconds: int = 600) -> Result:
    """The configuration as it stands."""
    return play(match(seed=seed, seconds=seconds))


@cache
def a_pair(seed: int = 0, seconds: int = 1200) -> Pair:
    return play_pair(match(seed=seed, seconds=seconds))


def retold(pair: Pair, **changes: Any) -> Pair:
    """A pair whose model has these fields changed."""
    return attrs.evolve(pair, model=attrs.evolve(pair.model, **changes))
