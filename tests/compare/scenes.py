"""A few simulated minutes for tests: a model of the paper configuration, changed as a test needs it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import attrs

from maker.app import config as configuration
from maker.app.config import Config
from maker.compare.counterpart import find_counterpart, grouped
from maker.compare.match import Match, play
from maker.compare.result import Pair, Result
from maker.compare.variants import market_of, variants, with_market
from maker.desk.ladder import LadderSettings

CONFIGURATION = Path(__file__).parents[2] / "conf" / "paper.toml"
MARKET = "BTC-PERP"
MODELS = ("fixed", "volatility", "avellaneda_stoikov", "glft", "glft_closed")  # of that configuration


@cache
def loaded() -> Config:
    return configuration.load(CONFIGURATION)


def changed(config: Config, **changes: Any) -> Config:
    """The configuration with these fields changed: of its ladder, or else of the model that quotes."""
    market = config.markets[MARKET]
    of_ladder = {name: value for name, value in changes.items() if name in attrs.fields_dict(LadderSettings)}
    of_model = {name: value for name, value in changes.items() if name not in of_ladder}
    model = attrs.evolve(market.spread_model, **of_model)  # type: ignore[misc]  # a model of the house is an attrs class
    ladder = attrs.evolve(market.ladder, **of_ladder)
    return with_market(config, MARKET, ladder=ladder, models={**market.models, market.model: model})


def match(model: str = "fixed", *, seed: int = 0, seconds: int = 600, preset: str = "busy", **changes: Any) -> Match:
    """A run of a model of the paper configuration, these fields of the model or its ladder changed."""
    found = changed(dict(variants(loaded(), MARKET))[model], **changes)
    return Match(model, found, market_of(loaded(), MARKET), preset, seed, seconds)


@cache
def as_written(seed: int = 0, seconds: int = 600, model: str = "fixed") -> Result:
    """A model as the configuration has it."""
    return play(match(model, seed=seed, seconds=seconds))


@cache
def a_pair(seed: int = 0, seconds: int = 1200) -> Pair:
    """A model and the counterpart that it shares with nobody."""
    one, model = match(seed=seed, seconds=seconds), as_written(seed, seconds)
    [group] = grouped([(one, model)])
    found = find_counterpart(group)
    return Pair(model, found.result, found.runs)


def quoting(one: Match, half_spread_bps: float) -> Result:
    """What a match would come to that quoted so wide; its money and market are a short run's."""
    result = as_written(0, 60)
    quotes = attrs.evolve(result.quotes, half_spread_bps=half_spread_bps)
    drawn = f"seed {one.seed}"
    return attrs.evolve(result, model=one.model, seed=one.seed, seconds=one.seconds, quotes=quotes, drawn=drawn)
