"""Which models are compared: one market each, loss limits lifted, everything else as written."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest

from maker.compare.variants import AS_WRITTEN, UNLIMITED, UNSKEWED, fixed, is_fixed, market_of, variants, with_ladder
from maker.errors import ConfigError
from tests.compare.scenes import MARKET, loaded


def test_only_the_loss_limits_are_lifted() -> None:
    config = loaded()
    for name, one in variants(config, MARKET):
        assert list(one.markets) == [MARKET]
        assert one.limits.drawdown_max == one.limits.daily_loss_max == UNLIMITED
        assert one.limits.value_max == config.limits.value_max
        assert one.markets[MARKET].limits == config.markets[MARKET].limits
        assert (one.budget, one.cycle) == (config.budget, config.cycle)
        assert is_fixed(one, MARKET) is (name == UNSKEWED)
    assert dict(variants(config, MARKET))[AS_WRITTEN].markets[MARKET] == config.markets[MARKET]


def test_without_skew_there_is_one_model() -> None:
    plain = with_ladder(loaded(), MARKET, skew_bps=Decimal(0))
    assert [name for name, _ in variants(plain, MARKET)] == [UNSKEWED]


def test_a_counterpart_has_this_half_spread_and_no_skew() -> None:
    found = fixed(loaded(), MARKET, Decimal("2.75")).markets[MARKET].ladder
    expected = attrs.evolve(loaded().markets[MARKET].ladder, half_spread_bps=Decimal("2.75"), skew_bps=Decimal(0))
    assert found == expected
    assert fixed(loaded(), MARKET, Decimal(0)).markets[MARKET].ladder.half_spread_bps > 0


def test_the_market_is_one_that_can_be_played() -> None:
    assert market_of(loaded()).market_id == "BTC-PERP"
    assert market_of(loaded(), "ETH-PERP").market_id == "ETH-PERP"
    with pytest.raises(ConfigError, match="DOGE-PERP: is not configured"):
        market_of(loaded(), "DOGE-PERP")
    elsewhere = attrs.evolve(loaded(), markets={"DOGE-PERP": loaded().markets[MARKET]})
    for name in ("", "DOGE-PERP"):
        with pytest.raises(ConfigError, match="none of these markets is on the practice exchange"):
            market_of(elsewhere, name)
