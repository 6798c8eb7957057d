"""Runs: one history a seed, models that meet the same market, money that adds up, and takers who know more than we."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker.compare import match as rooms
from maker.compare.history import KINDS, arrivals
from maker.compare.match import play
from tests.compare.scenes import MARKET, MODELS, as_written, match

ROOT = Path(__file__).parents[2]


def test_one_seed_is_one_history_in_any_process() -> None:
    """The same digest under other hash seeds; another seed, another digest."""
    program = "from tests.compare.scenes import as_written; print(as_written().digest, as_written().drawn)"
    for hash_seed in ("0", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert ended.stdout.split() == [as_written().digest, as_written().drawn]
    assert as_written(1).digest != as_written(0).digest


def test_two_models_of_a_seed_meet_the_same_market() -> None:
    """Path and arrivals do not depend on what is quoted, be it tight, wide, or nothing at all."""
    tight = play(match(half_spread_bps=Decimal(1)))
    wide = play(match(half_spread_bps=Decimal(30)))
    assert wide.fill_count < tight.fill_count
    assert {tight.drawn, wide.drawn, *(as_written(model=name).drawn for name in MODELS)} == {as_written().drawn}
    assert as_written(1).drawn != as_written().drawn


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("seconds", [240, 700])
def test_the_parts_of_the_profit_add_up(seed: int, seconds: int) -> None:
    """To the last digit, with a position left and funding exchanged (every 300 s)."""
    result = as_written(seed, seconds)
    money = result.money
    assert money.profit == money.spread + money.inventory - money.fees - money.funding + money.mark_gap
    assert result.fill_count > 0
    assert float(money.fees) == pytest.approx(-result.volume / 20_000), "a rebate of half a basis point"
    if seconds > 300:
        assert money.funding != 0
    assert money.spread > 0


def test_informed_takers_cost_money(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote without half-spread has lost after five seconds and more; a wide one earns; so does it without them."""
    unskewed: dict[str, Any] = {"skew_bps": Decimal(0), "seconds": 1200}
    nothing = {**unskewed, "half_spread_bps": Decimal("0.01"), "edge_bps_min": Decimal(0), "levels": 1}
    near = play(match(**nothing))
    far = play(match(**unskewed, half_spread_bps=Decimal(3)))
    assert near.markouts_informed[1].bps is not None
    assert near.markouts_informed[1].bps < 0
    assert all(after.bps is not None and after.bps < 0 for after in near.markouts[1:])
    assert all(after.bps is not None and after.bps > 0 for after in far.markouts)
    assert near.markouts[1].bps is not None
    assert dict(near.fills)["informed"] > 10 * dict(far.fills)["informed"]
    # The same quotes without the informed: what was lost was lost to them.
    monkeypatch.setattr(rooms, "arrivals", lambda market_id, preset, seed: arrivals(market_id, preset, seed, 0.0))
    spared = play(match(**nothing))
    assert dict(spared.fills)["informed"] == 0
    assert spared.markouts[1].bps is not None
    assert spared.markouts[1].bps > 0 > near.markouts[1].bps


def test_a_wrong_quote_is_taken_by_those_who_know_before_the_price_moves() -> None:
    """Fills by informed takers have moved against us two seconds later, on average by more than their cost."""
    result = as_written(seconds=1200)
    one_second, five_seconds = result.markouts_informed[0].bps, result.markouts_informed[1].bps
    assert one_second is not None
    assert five_seconds is not None
    assert five_seconds < one_second
    assert five_seconds < -0.5
    assert result.markouts[1].bps is not None
    assert five_seconds < result.markouts[1].bps


def test_what_rests_is_measured() -> None:
    """Half-spread, requests and shares of time are plausible for the ladder configured: 2 bp, one ladder in 20 s."""
    result = as_written()
    quotes = result.quotes
    assert 2.0 <= quotes.half_spread_bps <= 2.6
    assert quotes.two_sided_share > 0.95
    assert quotes.quoted_share >= quotes.two_sided_share
    assert result.seconds / 20 <= quotes.ladders <= quotes.requests
    assert quotes.pulls == ()
    assert [kind for kind, _ in result.fills] == list(KINDS)
    assert abs(result.inventory.low) <= result.inventory.limit
    assert result.inventory.low <= result.inventory.mean <= result.inventory.high
    assert result.drawdown >= 0


def test_the_request_limit_is_the_exchanges() -> None:
    """A market that jumps about on a budget for little: never more than the exchange allows in a minute."""
    result = play(match(seconds=900, seed=2))
    assert result.quotes.requests <= 120 * (900 / 60 + 1)
    assert result.quotes.requests > 900 / 20


def test_a_stop_that_asks_for_a_person_is_counted_and_the_run_goes_on() -> None:
    """A burst beyond the configuration's limit pulls, a person comes after five minutes, and quoting begins anew."""
    one = match(seconds=1500)
    market = one.config.markets[MARKET]
    limits = attrs.evolve(market.limits, burst_size_max=Decimal("0.02"), burst_freeze_seconds=0.0)
    nervous = attrs.evolve(one, config=attrs.evolve(one.config, markets={MARKET: attrs.evolve(market, limits=limits)}))
    result = play(nervous)
    pulls = dict(result.quotes.pulls)
    assert pulls["REPEATED_EXECUTION"] >= 2
    assert 0 < result.quotes.quoted_share < 0.8
    assert result.quotes.requests > result.quotes.ladders


def test_a_market_that_is_not_quoted_earns_nothing() -> None:
    """Where fair value is never good enough, nothing rests and nothing is lost."""
    one = match(seconds=120)
    market = one.config.markets[MARKET]
    fair = attrs.evolve(market.fair, basis_bps_max=Decimal("0.0001"))
    result = play(attrs.evolve(one, config=attrs.evolve(one.config, markets={MARKET: attrs.evolve(market, fair=fair)})))
    assert result.fill_count == 0
    assert result.money.profit == 0
    assert result.markouts[0].bps is None
