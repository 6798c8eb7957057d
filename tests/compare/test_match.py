"""Runs: one history a seed, pairs that meet the same market, money that adds up, and takers who know more than we."""

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
from maker.compare.match import SPREAD_TOLERANCE, Match, play, play_pair
from maker.compare.result import Result
from maker.compare.variants import UNSKEWED
from maker.desk.spread import Fixed
from tests.compare.scenes import MARKET, MODELS, a_pair, as_written, match

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


def test_a_counterpart_quotes_as_wide_and_has_no_skew() -> None:
    pair = a_pair()
    assert pair.fixed is not None
    assert pair.fixed.model == UNSKEWED
    assert abs(pair.spread_ratio - 1) <= SPREAD_TOLERANCE
    assert pair.fixed.drawn == pair.model.drawn
    assert pair.fixed.digest != pair.model.digest
    assert pair.runs >= 2


def test_a_counterpart_that_missed_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder adds 1 bp in the probe's hour and 1.5 over the whole: 4 is asked, then 3, then 2.5, which makes 4."""
    asked: list[tuple[float, int]] = []

    def play_wider(one: Match) -> Result:
        half_spread_bps = 4.0
        if one.model == UNSKEWED:
            model = one.config.markets[MARKET].spread_model
            assert isinstance(model, Fixed)
            parameter = float(model.half_spread_bps)
            asked.append((parameter, one.seconds))
            half_spread_bps = parameter + (1.0 if one.seconds == rooms.PROBE_SECONDS else 1.5)
        return quoting(one.model, half_spread_bps)

    monkeypatch.setattr(rooms, "play", play_wider)
    whole = 2 * rooms.PROBE_SECONDS
    pair = play_pair(match(seconds=whole))
    assert asked == [(4.0, rooms.PROBE_SECONDS), (3.0, whole), (2.5, whole)]
    assert (pair.runs, pair.spread_ratio) == (3, 1.0)


def test_a_counterpart_that_cannot_meet_the_spread_is_handed_over_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two corrections it is for the table to say that nothing was judged."""
    monkeypatch.setattr(rooms, "play", lambda one: quoting(one.model, 9.0 if one.model == UNSKEWED else 4.0))
    missed = play_pair(match(seconds=60))
    assert missed.spread_ratio == 9 / 4
    assert missed.runs == 2 + rooms.CORRECTIONS_MAX


def quoting(model: str, half_spread_bps: float) -> Result:
    """A result that quoted so wide."""
    result = as_written()
    return attrs.evolve(result, model=model, quotes=attrs.evolve(result.quotes, half_spread_bps=half_spread_bps))


def test_what_is_fixed_itself_has_no_counterpart() -> None:
    pair = play_pair(match(seconds=60, skew_bps=Decimal(0)))
    assert pair.fixed is None
    assert not pair.is_tighter


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
