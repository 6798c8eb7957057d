"""What margin the limits may come to take, over several markets."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import attrs
import pytest

from maker.app.config import Config
from maker.app.startup import add_markets, make_engine
from maker.desk.engine import Engine
from maker.desk.events import Liquidity, PreviewRead
from maker.desk.identity import Identity
from maker.desk.units import Side
from maker.preflight.account import margin_at_limits
from tests.app.whole import LOADED
from tests.desk.scripted import BTC, ETH, spec

MARKS = {BTC: Decimal(50_000), ETH: Decimal(2_500)}  # position_limit 0.4 BTC, 20,000; 6 ETH, 15,000


def an_engine(config: Config, ratios: Mapping[str, str]) -> Engine:
    """Both markets at their marks; previews have taught these ratios of margin to value."""
    engine = make_engine(config, Identity.of("mk", 7))
    add_markets(engine, config, {name: attrs.evolve(spec(), market_id=name) for name in MARKS})
    for name, market in engine.markets.items():
        market.worth.marked(MARKS[name])
        if name in ratios:
            margin = 1000 * Decimal(ratios[name])
            zero = Decimal(0)
            market.previewed(PreviewRead(name, Side.BUY, Decimal(1000), margin, zero, Liquidity.MAKER, zero), 0.0)
    return engine


@pytest.mark.parametrize(
    ("value_max", "ratios", "margin"),
    [
        ("60000", {}, "3500"),  # the configured ratio, 0.1, of both
        ("60000", {BTC: "0.05", ETH: "0.2"}, "4000"),
        ("20000", {BTC: "0.05", ETH: "0.2"}, "3250"),  # all of ETH, and 5,000 of BTC: whichever needs most comes first
        ("10000", {BTC: "0.05", ETH: "0.2"}, "2000"),
        ("0.01", {}, "0.001"),
    ],
)
def test_margin_at_the_limits(value_max: str, ratios: Mapping[str, str], margin: str) -> None:
    config = attrs.evolve(LOADED, limits=attrs.evolve(LOADED.limits, value_max=Decimal(value_max)))
    assert margin_at_limits(an_engine(config, ratios), config, 0.0) == Decimal(margin)


def test_the_value_of_a_position_is_capped_too() -> None:
    one = LOADED.markets[BTC]
    capped = attrs.evolve(one, limits=attrs.evolve(one.limits, position_value_max=Decimal(8_000)))
    config = attrs.evolve(LOADED, markets={**LOADED.markets, BTC: capped})
    assert margin_at_limits(an_engine(config, {}), config, 0.0) == Decimal(2_300)
