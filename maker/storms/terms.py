"""A user's configuration made small enough for one storm, and what the checkers judge by."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from maker.app.config import STREAM_FRESH_SECONDS, STREAM_SILENT_SECONDS, Config
from maker.paper.market import default_markets
from maker.storms import record as r
from maker.storms.schedule import Schedule

RESERVE_MIN: Final = 24  # requests for cancels: reckoned here, not asked of the maker (S9)


def narrowed(config: Config, markets: int, folder: Path) -> Config:
    """The configuration for its first so many markets, at addresses that are nowhere."""
    chosen = dict(list(config.markets.items())[:markets])
    return attrs.evolve(
        config,
        markets=chosen,
        state_folder=folder,
        exchange=attrs.evolve(config.exchange, base_url="http://ocx.test", ca_file=""),
        references={
            name: attrs.evolve(one, url=f"ws://reference.test/{name}", ca_file="")
            for name, one in config.references.items()
        },
    )


def terms_of(config: Config, schedule: Schedule) -> r.Terms:
    """What the checkers judge by."""
    specs = {spec.market_id: spec for spec in default_markets()}
    limit = config.budget.requests_per_minute
    markets = {
        market_id: r.MarketTerms(
            tick=specs[market_id].tick_size,
            lot=specs[market_id].step_size,
            position_limit=one.limits.position_limit,
            order_size_max=one.limits.order_size_max,
            order_value_max=one.limits.order_value_max,
            collar_bps=one.limits.collar_bps,
            basis_bps_max=one.fair.basis_bps_max,
            sources=tuple(one.fair.sources),
            sources_min=one.fair.sources_min,
        )
        for market_id, one in config.markets.items()
    }
    return r.Terms(
        markets=markets,
        value_max=config.limits.value_max,
        tail_seconds=config.guard.tail_seconds,
        give_up_seconds=config.guard.give_up_seconds,
        hang_seconds_max=config.guard.hang_seconds_max,
        reference_stale_seconds_max=max(
            source.stale_seconds_max for one in config.markets.values() for source in one.fair.sources.values()
        ),
        stream_fresh_seconds_max=STREAM_FRESH_SECONDS,
        stream_silent_seconds_max=STREAM_SILENT_SECONDS,
        halt_seconds_max=config.halt.halt_seconds_max,
        write_delay_seconds_max=config.guard.write_delay_seconds_max,
        reserve=max(RESERVE_MIN, round(limit * config.budget.reserve_ratio)),
        requests_per_minute=config.budget.requests_per_minute,
        throttle_faults=any(fault.name in ("throttled", "tokens_taken") for fault in schedule.faults),
    )
