"""Which models are compared: one market each, loss limits lifted, everything else as written."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import attrs
import pytest

from maker.compare.variants import UNLIMITED, UNSKEWED, fixed, market_of, one_source, skews, variants, with_market
from maker.desk.models import MODELS as HOUSE
from maker.desk.spread import Fixed, Situation, Spread, SpreadModel, Volatility
from maker.errors import ConfigError
from tests.compare.scenes import CONFIGURATION, MARKET, MODELS, loaded


@pytest.mark.parametrize("market_id", ["BTC-PERP", "ETH-PERP"])
def test_every_model_of_the_configuration_is_compared(market_id: str) -> None:
    """Each table is a variant, in the file's order, that quotes with the very model; the house's are all there."""
    tables = tomllib.loads(CONFIGURATION.read_text())["market"][market_id]["models"]
    found = variants(loaded(), market_id)
    assert [name for name, _ in found] == list(tables)
    assert set(MODELS) == set(tables) == set(HOUSE)
    for name, one in found:
        assert one.markets[market_id].spread_model is loaded().markets[market_id].models[name]
        assert type(one.markets[market_id].spread_model) is HOUSE[name].make


def test_only_the_loss_limits_are_lifted() -> None:
    config = loaded()
    for name, one in variants(config, MARKET):
        assert list(one.markets) == [MARKET]
        assert one.limits.drawdown_max == one.limits.daily_loss_max == UNLIMITED
        assert one.limits.value_max == config.limits.value_max
        fair = one.markets[MARKET].fair
        assert one.markets[MARKET] == attrs.evolve(config.markets[MARKET], model=name, fair=fair)
        assert (one.budget, one.cycle) == (config.budget, config.cycle)
        assert skews(one, market_of(config, MARKET)), "all of this configuration do"


def test_one_source_stands_for_all() -> None:
    """All would tell the same price at once: the weightiest stays, as patient as the least patient, and is enough."""
    written = loaded().markets[MARKET].fair
    quick = attrs.evolve(written.sources["gamma"], stale_seconds_max=1.25)
    sources = {"beta": written.sources["beta"], "alpha": written.sources["alpha"], "gamma": quick}
    found = one_source(attrs.evolve(written, sources=sources))
    assert written.sources_min == 2
    alone = attrs.evolve(written.sources["alpha"], stale_seconds_max=1.25)
    assert found == attrs.evolve(written, sources={"alpha": alone}, sources_min=1)
    for _, one in variants(loaded(), MARKET):
        assert one.markets[MARKET].fair == one_source(written)


class Leaning:
    """A model of a user's own that widens a side by what is held, from half the limit on, and never moves its price."""

    def __init__(self, lean: float) -> None:
        self.lean = lean

    def spread(self, situation: Situation) -> Spread:
        held = max(0.0, situation.inventory / situation.inventory_max - 0.5)
        half = situation.fair * 2e-4
        return Spread(situation.fair, half * (1 + self.lean * held), half)


NO_SKEW = Decimal(0)


@pytest.mark.parametrize(
    ("model", "does"),
    [
        (Fixed(Decimal(2), Decimal("0.1")), True),
        (Fixed(Decimal(2), NO_SKEW), False),
        (Volatility(Decimal(2), Decimal(1), 10.0, Decimal(1)), True),
        (Volatility(Decimal(2), Decimal(1), 10.0, NO_SKEW), False),
        (Leaning(0.1), True),
        (Leaning(0.0), False),
    ],
)
def test_a_model_skews_whose_answer_depends_on_the_position(model: SpreadModel, does: bool) -> None:
    """It is asked, whatever it is called and whoever wrote it."""
    mine = with_market(loaded(), MARKET, model="mine", models={"mine": model})
    assert skews(mine, market_of(loaded(), MARKET)) is does


def test_a_counterpart_has_this_half_spread_and_no_skew() -> None:
    found = fixed(loaded(), MARKET, Decimal("2.75")).markets[MARKET]
    model = Fixed(half_spread_bps=Decimal("2.75"), skew_bps=Decimal(0))
    assert found == attrs.evolve(loaded().markets[MARKET], model=UNSKEWED, models={UNSKEWED: model})
    assert found.spread_model == model
    assert UNSKEWED not in HOUSE, "its name is no model's"
    least = fixed(loaded(), MARKET, Decimal(0))
    assert not skews(least, market_of(loaded(), MARKET)), "a half-spread of nothing is a very small one"


def test_the_market_is_one_that_can_be_played() -> None:
    assert market_of(loaded()).market_id == "BTC-PERP"
    assert market_of(loaded(), "ETH-PERP").market_id == "ETH-PERP"
    with pytest.raises(ConfigError, match="DOGE-PERP: is not configured"):
        market_of(loaded(), "DOGE-PERP")
    elsewhere = attrs.evolve(loaded(), markets={"DOGE-PERP": loaded().markets[MARKET]})
    for name in ("", "DOGE-PERP"):
        with pytest.raises(ConfigError, match="none of these markets is on the practice exchange"):
            market_of(elsewhere, name)
