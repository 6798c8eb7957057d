"""Which models are compared, as configurations: one market, one model each. The only seam between models and judge.

The account's loss limits are lifted: a comparison wants to see the whole loss. One reference source stands for all, for
here they would tell the same price at the same moment. Everything else is as the user wrote it, position limits,
collar, budget and bursts included.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import attrs

from maker.app.config import Config
from maker.desk.fair import FairSettings, FairValue
from maker.desk.pricing import Pricing
from maker.desk.spread import Fixed
from maker.desk.units import SUBTICKS, Grid
from maker.errors import ConfigError
from maker.paper.market import MarketSpec, default_markets

PROBED_SHARES: Final = 4  # inventories either side, up to the limit, at which a model is asked whether it skews
PROBED_SIGMAS: Final = (0.00005, 0.0005)  # relative, a root second: a quiet market and a wild one
UNLIMITED: Final = Decimal(10) ** 12  # quote units
UNSKEWED: Final = "unskewed"  # the counterpart's name: no model of a configuration can have it
HALF_SPREAD_DIGITS: Final = Decimal("0.0001")  # of a basis point: the calibration's own grid


def market_of(config: Config, market_id: str = "") -> MarketSpec:
    """The market to compare in: the named one, else the first that the practice exchange trades. Raises ConfigError."""
    specs = {spec.market_id: spec for spec in default_markets() if spec.tradable}
    if market_id and market_id not in config.markets:
        raise ConfigError(f"market.{market_id}", "is not configured.", f"There are: {', '.join(config.markets)}.")
    for name in [market_id] if market_id else config.markets:
        if name in specs:
            return specs[name]
    problem = "none of these markets is on the practice exchange."
    raise ConfigError("market", problem, f"It trades {', '.join(specs)}.")


def variants(config: Config, market_id: str) -> list[tuple[str, Config]]:
    """The models by name, each as the configuration of this one market."""
    one = alone(config, market_id)
    return [(name, with_market(one, market_id, model=name)) for name in one.markets[market_id].models]


def skews(config: Config, spec: MarketSpec) -> bool:
    """Whether a model's answer depends on the inventory, whatever it is called: it is asked, as when it quotes."""
    market = config.markets[spec.market_id]
    grid = Grid.of(spec.tick_size, spec.step_size)
    level, limit = (grid.size.count_down(size) for size in (market.ladder.level_size, market.ladder.position_limit))
    pricing = Pricing(grid, market.model, market.spread_model, market.intensity)
    subticks = int(spec.index_start / spec.tick_size * SUBTICKS)
    for sigma in PROBED_SIGMAS:
        fair = FairValue(subticks, 0, 0.0, sigma)
        lots = (limit * share // PROBED_SHARES for share in range(-PROBED_SHARES, PROBED_SHARES + 1))
        if len({pricing.quote(fair, one, level, limit, 0) for one in lots}) > 1:
            return True
    return False


def fixed(config: Config, market_id: str, half_spread_bps: Decimal) -> Config:
    """The counterpart of a model: a fixed half-spread around fair value, whatever the position."""
    model = Fixed(half_spread_bps=max(HALF_SPREAD_DIGITS, half_spread_bps), skew_bps=Decimal(0))
    return with_market(config, market_id, model=UNSKEWED, models={UNSKEWED: model})


def alone(config: Config, market_id: str) -> Config:
    """The configuration with this one market and no loss limit."""
    limits = attrs.evolve(config.limits, drawdown_max=UNLIMITED, daily_loss_max=UNLIMITED)
    market = config.markets[market_id]
    return attrs.evolve(config, markets={market_id: attrs.evolve(market, fair=one_source(market.fair))}, limits=limits)


def one_source(fair: FairSettings) -> FairSettings:
    """One for all sources: the comparison's reference would tell each of them the same, at the same moment."""
    name, source = max(fair.sources.items(), key=lambda named: named[1].weight)
    patience = min(one.stale_seconds_max for one in fair.sources.values())
    return attrs.evolve(fair, sources={name: attrs.evolve(source, stale_seconds_max=patience)}, sources_min=1)


def with_market(config: Config, market_id: str, **changes: Any) -> Config:
    """The configuration with these fields of its market changed."""
    return attrs.evolve(config, markets={market_id: attrs.evolve(config.markets[market_id], **changes)})
