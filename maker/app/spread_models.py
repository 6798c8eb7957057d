"""A name and a table of parameters -> a spread model, of the house or the user's own. Every error is a ConfigError."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import attrs

from maker.app import own_model
from maker.app.model_trial import PLACES, Unfit, trial
from maker.app.values import build, known, nearest
from maker.desk.avellaneda_stoikov import RISK_AVERSION_FIX
from maker.desk.models import MODELS
from maker.desk.spread import Situation, SpreadModel
from maker.errors import ConfigError

LIKENESS_MIN: Final = 0.5  # names of models are short: of "gtfl" only half is in the order of "glft"


def make(name: str, given: Mapping[str, Any], folder: Path, named_at: str, table: str) -> SpreadModel:
    """Build the model called `name`; `named_at` and `table` are the keys of name and parameters, for errors.

    A name with a colon is the user's own, `file.py:Class`, the file relative to `folder`. Raises ConfigError.
    """
    if ":" in name:
        return own_model.make(name, given, folder, named_at, table)
    if name not in MODELS:
        fix = nearest(name, MODELS, f"There are {', '.join(MODELS)}, and your own as file.py:Class.", LIKENESS_MIN)
        raise ConfigError(named_at, f"{name!r} is no model.", fix)
    kind = MODELS[name]
    known(given, [field.name for field in attrs.fields(kind.make)], table)
    try:
        model = cast("SpreadModel", build(kind.make, given, table))
    except ValueError as wrong:
        raise own_model.config_error(wrong, table) from wrong
    try:
        trial(model, PLACES)
    except Unfit as unfit:
        raise beyond_floats(model, unfit, table) from unfit
    return model


def beyond_floats(model: SpreadModel, unfit: Unfit, table: str) -> ConfigError:
    """Name what takes a model of the house beyond what floats can hold: its risk aversion, where it has one."""
    risk_aversion = getattr(model, "risk_aversion", None)
    if risk_aversion is None:
        return ConfigError(table, f"{unfit}.", "Write numbers nearer to those of conf/paper.toml.")
    problem = f"is {risk_aversion:g}, with which the model {unfit}."
    return ConfigError(f"{table}.risk_aversion", problem, RISK_AVERSION_FIX)


def reads(name: str) -> tuple[str, ...]:
    """Name what a model looks at, so that a configuration may be asked for it; of a user's own model everything."""
    return MODELS[name].reads if name in MODELS else tuple(field.name for field in attrs.fields(Situation))
