"""The [market.ID] tables, their keys shared out among the rooms that want them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from maker.app import own_model
from maker.app import spread_models as spread_model_rooms
from maker.app.values import build, known, nearest, shared, spelled, table, text
from maker.desk.fair import FairSettings, SourceSettings
from maker.desk.funding import FundingSettings
from maker.desk.intensity import IntensitySettings
from maker.desk.ladder import LadderSettings
from maker.desk.models import MODELS
from maker.desk.risk import Limits
from maker.desk.spread import SpreadModel
from maker.desk.volatility import VolatilitySettings
from maker.errors import ConfigError


@attrs.frozen
class Market:
    """One market's parameters, by room."""

    fair: FairSettings
    volatility: VolatilitySettings
    intensity: IntensitySettings
    ladder: LadderSettings
    limits: Limits
    funding: FundingSettings
    model: str  # the name of the one that quotes
    models: Mapping[str, SpreadModel]  # all that are configured, so that one line switches

    @property
    def spread_model(self) -> SpreadModel:
        return self.models[self.model]


def market(tables: Mapping[str, Any], name: str, folder: Path) -> Market:
    """One [market.NAME] table, its keys shared out among the rooms."""
    path = f"market.{name}"
    given = dict(table(tables, name, "market"))
    model = text(given, "model", path)
    models = spread_models(given, path, folder)
    if model not in models:
        fix = f"Add [market.{spelled(name)}.models.{spelled(model)}]; there: {', '.join(models) or 'none'}."
        if model not in MODELS and ":" not in model:
            there = f"There: {', '.join(models) or 'none'}."
            fix = nearest(model, [*models, *MODELS], there, spread_model_rooms.LIKENESS_MIN)
        raise ConfigError(f"{path}.model", f"{model!r} has no table.", fix)
    del given["model"], given["models"]
    rooms = (FairSettings, VolatilitySettings, IntensitySettings, LadderSettings, Limits, FundingSettings)
    parts = shared(given, path, *rooms)
    return Market(
        fair=fair(parts[FairSettings], path),
        volatility=build(VolatilitySettings, parts[VolatilitySettings], path),
        intensity=intensity(parts[IntensitySettings], path),
        ladder=build(LadderSettings, parts[LadderSettings], path),
        limits=build(Limits, parts[Limits], path),
        funding=build(FundingSettings, parts[FundingSettings], path),
        model=model,
        models=models,
    )


def spread_models(given: Mapping[str, Any], path: str, folder: Path) -> dict[str, SpreadModel]:
    """Every model of a market that has a table, whether it quotes or not. Raises ConfigError."""
    tables = table(given, "models", path)
    models: dict[str, SpreadModel] = {}
    for name in tables:
        where = f"{path}.models.{spelled(name)}"  # of a model that does not quote too: the fault is this table's
        models[name] = spread_model_rooms.make(name, table(tables, name, f"{path}.models"), folder, where, where)
    return models


def intensity(given: dict[str, Any], path: str) -> IntensitySettings:
    """Build A and k with what learning them takes."""
    try:
        return build(IntensitySettings, given, path)
    except ValueError as wrong:
        raise own_model.config_error(wrong, path) from wrong


def fair(given: dict[str, Any], path: str) -> FairSettings:
    """The keys of fair value, with a table for each source."""
    tables = table(given, "sources", path)
    names = [field.name for field in attrs.fields(SourceSettings)]
    sources: dict[str, SourceSettings] = {}
    for name in tables:
        one = table(tables, name, f"{path}.sources")
        known(one, names, f"{path}.sources.{name}")
        sources[name] = build(SourceSettings, one, f"{path}.sources.{name}")
    return build(FairSettings, {**given, "sources": sources}, path)
