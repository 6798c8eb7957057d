"""The interface of the spread models, the two plain ones, and what holds for every model of the house."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.avellaneda_stoikov import AvellanedaStoikov
from maker.desk.glft import GlftClosed, GlftExact
from maker.desk.models import MODELS
from maker.desk.spread import Fixed, Situation, Spread, SpreadModel, Volatility

from .scripted import dec, thorough
from .situations import below_and_above, bitcoin, magnitudes, never_higher, ratios, risk_aversions, situations

FIXED = Fixed(half_spread_bps=dec("2"), skew_bps=dec("4"))
SPREADING = Volatility(half_spread_bps_min=dec("1"), sigmas=dec("1.5"), horizon_seconds=25.0, skew_bps=dec("4"))
EXAMPLES: dict[str, SpreadModel] = {
    "fixed": FIXED,
    "volatility": SPREADING,
    "avellaneda_stoikov": AvellanedaStoikov(0.1, 60.0, rolling=False),
    "glft": GlftExact(0.1, 600.0, rolling=False, step_ratio=0.0),
    "glft_closed": GlftClosed(0.1),
}

bps = st.decimals(dec("0.01"), dec("200"), places=2)
models = st.one_of(
    st.builds(Fixed, half_spread_bps=bps, skew_bps=bps),
    st.builds(Volatility, half_spread_bps_min=bps, sigmas=bps, horizon_seconds=magnitudes(-1, 4), skew_bps=bps),
    st.builds(AvellanedaStoikov, risk_aversions, magnitudes(-3, 5), rolling=st.booleans()),
    st.builds(GlftExact, risk_aversions, magnitudes(-3, 5), rolling=st.booleans(), step_ratio=st.just(0.02)),
    st.builds(GlftClosed, risk_aversions),
)


# -- the plain two ------------------------------------------------------------------------------------------------


def test_fixed_is_basis_points_of_fair_value() -> None:
    """2 bp of 60,000 are 12; a quarter of the limit moves both by a quarter of 4 bp."""
    assert FIXED.spread(bitcoin()) == Spread(60_000.0, 12.0, 12.0)
    assert below_and_above(FIXED.spread(bitcoin(0.1)), 60_000.0) == pytest.approx((18.0, 6.0))
    assert below_and_above(FIXED.spread(bitcoin(-0.1)), 60_000.0) == pytest.approx((6.0, 18.0))


def test_volatility_widens_with_the_root_of_the_horizon() -> None:
    """1.5 standard deviations of 1.55 a root second over 25 s; never below the least."""
    assert SPREADING.spread(bitcoin()).bid == pytest.approx(1.5 * 1.55 * 5)
    calm = attrs.evolve(bitcoin(), volatility=0.0)
    assert SPREADING.spread(calm).ask == pytest.approx(6.0)
    assert SPREADING.spread(attrs.evolve(calm, inventory=0.4)).reservation == pytest.approx(60_000 - 24)


# -- every model --------------------------------------------------------------------------------------------------


@given(model=models, situation=situations())
@thorough
def test_answers_are_finite(model: SpreadModel, situation: Situation) -> None:
    """Whatever the market: numbers, and a quote on one side at least."""
    spread = model.spread(situation)  # not finite: it would not have been made
    assert math.isfinite(spread.reservation)
    assert spread.bid is not None or spread.ask is not None


@given(model=models, situation=situations(), other=ratios)
@thorough
def test_a_longer_inventory_never_raises_a_quote(model: SpreadModel, situation: Situation, other: float) -> None:
    """The direction of the skew, checklist 7: what we hold too much of is never bid for more eagerly."""
    against = attrs.evolve(situation, inventory=other * situation.inventory_max)
    less, more = sorted((situation, against), key=lambda one: one.inventory)
    never_higher(model, less, more)


@given(model=models, situation=situations())
@thorough
def test_short_is_the_mirror_of_long(model: SpreadModel, situation: Situation) -> None:
    """No model prefers a side."""
    long, short = model.spread(situation), model.spread(attrs.evolve(situation, inventory=-situation.inventory))
    close = 1e-9 * (situation.fair + abs(long.reservation))
    assert short.reservation - situation.fair == pytest.approx(situation.fair - long.reservation, abs=close)
    assert short.bid == (None if long.ask is None else pytest.approx(long.ask, abs=close))
    assert short.ask == (None if long.bid is None else pytest.approx(long.bid, abs=close))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_reads_what_it_says_and_nothing_else(name: str) -> None:
    """`reads` decides which keys a configuration must have: a field too few would price with a filler."""
    model, base = EXAMPLES[name], bitcoin(0.3)  # beyond seven tenths of the limit: the bid goes
    assert isinstance(model, MODELS[name].make)
    read = {
        field.name
        for field in attrs.fields(Situation)
        if model.spread(attrs.evolve(base, **{field.name: 0.7 * getattr(base, field.name)})) != model.spread(base)
    }
    assert read == set(MODELS[name].reads)


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field", "text", "sentence"),
    [
        (Fixed, "half_spread_bps", "0", "is 0 and must be above 0. Try 2."),
        (Fixed, "skew_bps", "-1", "is -1 and must not be negative. 0 quotes the same at any inventory."),
        (Volatility, "half_spread_bps_min", "NaN", "is NaN and must be above 0. Try 1."),
        (Volatility, "sigmas", "-1", "is -1 and must not be negative. Try 1; 0 leaves half_spread_bps_min alone."),
        (Volatility, "horizon_seconds", "0", "is 0 and must be above 0. Try 20, or cycle.quote_age_seconds_max."),
        (Volatility, "skew_bps", "-1", "is -1 and must not be negative. 0 quotes the same at any inventory."),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_with_its_fix(make: Any, field: str, text: str, sentence: str) -> None:
    good = {parameter.name: dec("1") for parameter in attrs.fields(make)}
    with pytest.raises(ValueError, match="must") as refused:
        make(**good | {field: Decimal(text)})
    assert str(refused.value) == f"{field}: {sentence}"


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(Situation)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_no_situation_of_nonsense(field: str, value: float) -> None:
    """A NaN or a negative price is refused by name before any model can turn it into a quote."""
    meant = (field == "inventory" and math.isfinite(value)) or (field in {"volatility", "seconds_left"} and value == 0)
    if meant:
        assert getattr(attrs.evolve(bitcoin(), **{field: value}), field) == value
        return
    with pytest.raises(ValueError, match=f"{field}: is "):
        attrs.evolve(bitcoin(), **{field: value})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_spread_of_nonsense(value: float) -> None:
    """Whatever model answers with it, ours or a user's."""
    for given_back in ((value, 1.0, 1.0), (1.0, value, None), (1.0, None, value)):
        with pytest.raises(ValueError, match="finite"):
            Spread(*given_back)
    assert Spread(100.0, None, 1.0).bid_price is None
    assert Spread(100.0, 1.0, None).ask_price is None
