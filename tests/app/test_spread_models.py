"""From the words of a configuration to a model: every wrong one is named, with what to write instead."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from maker.app.model_trial import PLACES
from maker.app.spread_models import make, reads
from maker.desk.avellaneda_stoikov import AvellanedaStoikov
from maker.desk.glft import GlftClosed, GlftExact
from maker.desk.models import MODELS
from maker.desk.pricing import Pricing
from maker.desk.spread import Fixed, Situation, SpreadModel, Volatility
from maker.errors import ConfigError

WORDS: dict[str, dict[str, Any]] = {
    "fixed": {"half_spread_bps": Decimal("2.5"), "skew_bps": 4},
    "volatility": {"half_spread_bps_min": 1, "sigmas": Decimal("1.5"), "horizon_seconds": 20, "skew_bps": 4},
    "avellaneda_stoikov": {"risk_aversion": Decimal("0.1"), "horizon_seconds": 60, "rolling": False},
    "glft": {"risk_aversion": Decimal("0.1"), "horizon_seconds": 600},
    "glft_closed": {"risk_aversion": Decimal("0.1")},
}
MADE = {
    "fixed": Fixed(Decimal("2.5"), Decimal("4")),
    "volatility": Volatility(Decimal("1"), Decimal("1.5"), 20.0, Decimal("4")),
    "avellaneda_stoikov": AvellanedaStoikov(0.1, 60.0, rolling=False),
    "glft": GlftExact(0.1, 600.0, rolling=True, step_ratio=0.02),
    "glft_closed": GlftClosed(0.1),
}


def made(name: str, given: dict[str, Any]) -> object:
    return make(name, given, Path(), "market.X.model", f"market.X.models.{name}")


@pytest.mark.parametrize("name", MODELS)
def test_each_name_makes_its_model(name: str) -> None:
    assert made(name, WORDS[name]) == MADE[name]


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("fixed", {"half_spred_bps": 1},
         "market.X.models.fixed.half_spred_bps: is not a known key. Did you mean half_spread_bps?"),
        ("fixed", {"half_spread_bps": "2"}, "market.X.models.fixed.half_spread_bps: is 2. Write a number."),
        ("fixed", {"half_spread_bps": 0}, "market.X.models.fixed.half_spread_bps: is 0 and must be above 0. Try 2."),
        ("fixed", {"skew_bps": Decimal("-0.5")},
         "market.X.models.fixed.skew_bps: is -0.5 and must not be negative. 0 quotes the same at any inventory."),
        ("glft", {"rolling": 1}, "market.X.models.glft.rolling: is 1. Write true or false."),
        ("glft", {"horizon_seconds": 0}, "market.X.models.glft.horizon_seconds: is 0.0 and must be above 0. Try 600."),
        ("glft", {"step_ratio": True},
         "market.X.models.glft.step_ratio: is True. Write a number of seconds or a ratio."),
    ],
)  # fmt: skip
def test_a_wrong_word_is_named_with_its_fix(name: str, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        made(name, WORDS[name] | change)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("name", "tiny"),
    [("glft_closed", "1e-310"), ("glft_closed", "2e-307"), ("glft", "1e-323"), ("avellaneda_stoikov", "1e-323")],
)
def test_a_risk_aversion_that_floats_cannot_hold_refuses_before_anything_is_quoted(name: str, tiny: str) -> None:
    """It is above 0 and yet nothing can be divided by it: no start, instead of a run that ends with its first quote."""
    with pytest.raises(ConfigError) as refused:
        made(name, WORDS[name] | {"risk_aversion": Decimal(tiny)})
    assert refused.value.field == f"market.X.models.{name}.risk_aversion"
    assert refused.value.problem.startswith(f"is {float(tiny):g}, with which the model fails on Situation(")
    assert "bold" in refused.value.fix


@pytest.mark.parametrize("name", ["glft_closed", "glft", "avellaneda_stoikov"])
@pytest.mark.parametrize("exponent", [-200, -12, -3, 0, 3, 8])
def test_whatever_loads_quotes_in_any_market(name: str, exponent: int) -> None:
    """A timid or a bold number, however absurd, is the user's business."""
    model = made(name, WORDS[name] | {"risk_aversion": Decimal(10) ** exponent})
    for place in PLACES:
        pricing = Pricing(place.grid, name, cast("SpreadModel", model), place.intensity)
        for fair, lots, exchange_ms in place.moments(pricing.model):
            pricing.quote(fair, lots, place.level_lots, place.limit_lots, exchange_ms + 777)


def test_a_number_beyond_all_floats_is_named_too() -> None:
    with pytest.raises(ConfigError, match=r"^market\.X\.models\.glft\.risk_aversion: "):
        made("glft", WORDS["glft"] | {"risk_aversion": Decimal("1e300")})


def test_a_missing_word_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^market\.X\.models\.glft\.risk_aversion: is missing\."):
        made("glft", {"horizon_seconds": 600})


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"^market\.X\.model: 'mine' is no model\. There are fixed, volatility,"):
        made("mine", {})
    with pytest.raises(
        ConfigError, match=r"^market\.X\.model: 'avelaneda' is no model\. Did you mean avellaneda_stoikov\?"
    ):
        made("avelaneda", {})


def test_what_a_model_reads() -> None:
    """A configuration is asked for fill_rate and fill_decay only where the model looks at them; own models see all."""
    assert "fill_rate" not in reads("fixed")
    assert "fill_decay" in reads("glft")
    assert set(reads("mine.py:Mine")) == {field.name for field in attrs.fields(Situation)}
