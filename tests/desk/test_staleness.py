"""A market judged without building its ladder, and the engine's choice among markets that follows from it."""

from __future__ import annotations

import math
import random

import attrs
import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from maker.desk import wanting
from maker.desk.budget import Spend
from maker.desk.engine import LOOKS_MAX, Engine
from maker.desk.events import PlaceLadder, Wait
from maker.desk.ladder import Ladder, Level
from maker.desk.market import MarketDesk
from maker.desk.staleness import DISTURBED_SECONDS_MAX, LATE_SECONDS, LOOK_SECONDS, judge, saw, urgency
from maker.desk.units import Side

from .scripted import (
    ALL_MARKETS,
    BTC,
    BUDGET,
    CYCLE,
    ETH,
    FAIR_TICKS,
    LIMITS,
    MARGIN,
    START,
    Desk,
    a_fill,
    as_it_is,
    at_position,
    dec,
    market,
    quick,
    quoted,
    told,
    why_not,
)

NAMES = tuple(f"M{number:02}-PERP" for number in range(12))


def count_builds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Markets whose ladder is built from here on."""
    built: list[str] = []
    real = Engine.want

    def want(self: Engine, each: MarketDesk, now: float) -> object:
        built.append(each.market_id)
        return real(self, each, now)

    monkeypatch.setattr(Engine, "want", want)
    return built


# -- one market


def test_a_market_that_stands_still_is_built_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = quoted()
    built = count_builds(desk, monkeypatch)
    for _ in range(80):
        desk.later(0.1, money=False)
        desk.reference(FAIR_TICKS + 20)
        desk.decide()
    assert 6 <= len(built) <= 9


def test_a_price_of_others_that_moves_is_seen_within_a_second() -> None:
    """The fair value stands still, and somebody's bid now holds our ask away."""
    desk = quoted()
    desk.later(1.0)
    desk.decide()
    desk.delta(asks=((FAIR_TICKS + 20, 0), (501_500, 1)), bids=((500_400, 1),))
    desk.later(LOOK_SECONDS)
    assert told(desk.decide()).startswith("place BTC-PERP (price moved)")


def test_its_worth_and_what_it_costs() -> None:
    """A move of 4 bp at a half-spread of 5: eight tenths of the 1,500 at risk."""
    desk = quoted()
    desk.later(1.0)
    desk.reference(FAIR_TICKS + 200)
    one = judge(desk.market(), CYCLE, desk.now)
    assert one.spend is Spend.REPRICE
    assert one.cost_rate == pytest.approx(0.8 * 1500, rel=0.01)
    assert one.worth > 0
    assert one.deadline == desk.market().quoted_at + CYCLE.quote_age_seconds_max - LATE_SECONDS
    assert one.look
    desk.reference(FAIR_TICKS + 40)
    one = judge(desk.market(), CYCLE, desk.now)
    assert one.worth == 0, "not due"


def test_a_fill_makes_it_due_soon_whatever_it_is_worth() -> None:
    desk = quoted()
    bid = next(iter(desk.market().account.resting))
    desk.later(1.0)
    desk.delta(fills=(a_fill("t1", Side.BUY, 10, ticks=499_749, client_order_id=bid),), positions=(at_position(10),))
    one = judge(desk.market(), CYCLE, desk.now)
    assert one.must
    assert one.deadline == desk.now + DISTURBED_SECONDS_MAX
    desk.later(0.5)
    assert judge(desk.market(), CYCLE, desk.now).deadline == one.deadline, "it does not begin to wait anew"


def test_a_ladder_that_may_not_be_sent_hurries_nobody() -> None:
    """Its deadline passes, and the next request still goes where it is worth most."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.quote()
    desk.quote()
    btc = desk.market(BTC)
    desk.later(1.0)
    desk.decide()
    saw(btc, btc.quoted, desk.now, blocked=True)
    assert judge(btc, CYCLE, desk.now).deadline == math.inf
    desk.reference(FAIR_TICKS + 30, market_id=BTC)
    assert judge(btc, CYCLE, desk.now).deadline < math.inf, "it may be another one now"


def test_a_side_that_must_come_or_go_is_due_whatever_it_is_worth() -> None:
    """S24: found at a look, it does not wait until a request is cheap."""
    desk = quoted()
    desk.later(1.0)
    each = desk.market()
    assert each.quoted is not None
    saw(each, attrs.evolve(each.quoted, bids=()), desk.now)
    assert judge(each, CYCLE, desk.now).must


def test_markets_with_nothing_to_send_are_built_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However their prices move: what was not to be sent just now is likely not to be sent yet."""
    desk = Desk.ready(*(market(name) for name in NAMES))
    for each in desk.engine.markets.values():
        saw(each, None, desk.now, blocked=True)
        each.refused = None
    built = count_builds(desk, monkeypatch)
    monkeypatch.setattr(wanting, "want", lambda *_words: None)
    for name in NAMES:
        desk.reference(FAIR_TICKS + 100, market_id=name)
    assert isinstance(desk.decide(), Wait)
    assert len(built) == LOOKS_MAX


def test_beyond_its_limit_a_market_reduces() -> None:
    desk = Desk.of()
    desk.baseline(positions=(at_position(200),))
    desk.snapshot(positions=(at_position(200),))
    desk.stats()
    desk.reference()
    assert judge(desk.market(), CYCLE, desk.now).spend is Spend.REDUCE


# -- with the ladder at hand


def test_urgency_grows_with_the_move_and_with_age() -> None:
    desk = Desk.ready()
    action = desk.quote()
    each = desk.market()
    assert each.quoted is not None
    moved = Ladder(tuple(Level(level.ticks + 75, level.lots) for level in each.quoted.bids), each.quoted.asks)
    urge, why = urgency(each, moved, CYCLE, desk.now)
    assert why == "price moved"
    assert urge == pytest.approx(1.5, abs=0.01)
    urge, why = urgency(each, each.quoted, CYCLE, desk.now + 5)
    assert why == "age"
    assert urge == pytest.approx(0.5)
    assert urgency(each, Ladder((), each.quoted.asks), CYCLE, desk.now)[0] == float("inf")
    assert action.why == "nothing rests"


def test_a_disturbed_ladder_is_always_due() -> None:
    desk = Desk.ready()
    desk.quote()
    each = desk.market()
    assert each.quoted is not None
    each.disturbed = "filled"
    urge, why = urgency(each, each.quoted, CYCLE, desk.now)
    assert urge >= 1
    assert why == "filled"


# -- the choice


def test_of_two_equal_moves_the_one_with_more_at_risk_is_replaced_first() -> None:
    small = market(BTC)
    small = attrs.evolve(small, ladder=attrs.evolve(small.ladder, level_size=dec("0.001")))
    desk = Desk.ready(small, market(ETH))
    desk.quote()
    desk.quote()
    desk.later(1)
    for market_id in (BTC, ETH):
        desk.reference(FAIR_TICKS + 150, market_id=market_id)
    action = desk.place()
    assert action.market_id == ETH
    assert action.quote_value is not None
    assert action.quote_value.spend == "reprice"
    assert action.quote_value.worth > 0
    assert action.quote_value.age_seconds == 1
    assert "reprice: 1.0 s old, at risk " in str(action.quote_value)


def test_what_rests_is_repriced_before_a_market_is_added() -> None:
    """PRICING: cancel > reduce > reprice > add; without anything due the other is added at once."""
    desk = Desk.ready(market(BTC), market(ETH))
    first = desk.quote().market_id
    other = ETH if first == BTC else BTC
    desk.later(1)
    desk.reference(FAIR_TICKS + 150, market_id=first)
    assert desk.quote().market_id == first
    assert desk.quote().market_id == other


def test_an_exit_goes_before_a_worthier_reprice() -> None:
    """PRICING: cancel > reduce > reprice > add, though the exit's price has hardly moved."""
    desk = Desk.of(market(BTC), market(ETH))
    desk.baseline(positions=(at_position(200),))
    for market_id in (BTC, ETH):
        desk.snapshot(market_id, positions=(at_position(200),) if market_id == BTC else ())
        desk.stats(market_id=market_id)
        desk.reference(market_id=market_id)
    assert {desk.quote().market_id for _ in range(2)} == {BTC, ETH}
    desk.later(1)
    desk.reference(FAIR_TICKS + 60, market_id=BTC)
    desk.reference(FAIR_TICKS + 400, market_id=ETH)
    assert [desk.quote().market_id for _ in range(2)] == [BTC, ETH]


def test_row_3_at_the_share_of_what_reduces_only_exits_go_out() -> None:
    """S9, S24: 26 left of 120: a market that only moved waits, one at its limit sends its exit."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.quote()
    desk.quote()
    desk.later(1)
    desk.budget_seen(26, reset_seconds=59.0)
    desk.reference(FAIR_TICKS + 150, market_id=ETH)
    assert isinstance(desk.decide(), Wait)
    bids = [order.client_order_id for order in desk.market(BTC).account.resting.values() if order.side is Side.BUY]
    fill = a_fill("t1", Side.BUY, 200, ticks=499_749)
    desk.delta(BTC, positions=(at_position(200),))
    desk.market(BTC).account.fill(fill)
    desk.market(BTC).unexplained_since = None
    desk.market(BTC).disturbed = "filled"
    assert bids
    action = desk.place()
    assert action.market_id == BTC
    assert all(order.reduce_only for order in action.orders)
    assert action.quote_value is not None
    assert action.quote_value.spend == "reduce"
    desk.placed(action)
    desk.budget_seen(24, reset_seconds=59.0)
    desk.later(1)
    desk.market(BTC).disturbed = "filled"
    assert isinstance(desk.decide(), Wait), "the reserve is for cancels"


def test_a_small_gain_waits_when_requests_are_dear() -> None:
    """Pacing: what is not worth its request now is judged again, and goes out once the price has fallen."""
    desk = quoted()
    desk.engine.budget.tokens = 5.0
    desk.engine.token_price.value = 1e9
    desk.later(1)
    desk.reference(FAIR_TICKS + 60)
    action = desk.decide()
    assert isinstance(action, Wait)
    assert action.seconds <= 0.25
    while not isinstance(action, PlaceLadder):
        assert desk.now - START < CYCLE.quote_age_seconds_max + 0.1, "no price keeps a ladder beyond its age"
        desk.later(0.25)
        desk.reference(FAIR_TICKS + 60)
        action = desk.decide()
    assert action.why in ("price moved", "age")


@given(st.integers(0, 10**6), st.sampled_from([8, 12]))
@hypothesis_settings(quick, max_examples=5, phases=(Phase.generate,))  # a counterexample is a seed: nothing to shrink
def test_none_starves_while_one_market_is_wild(seed: int, count: int) -> None:
    """`quote_age_seconds_max` holds for every market as far as the budget allows at all, and the reserve is left alone.

    Twelve markets of ten seconds need 72 of the 96 requests a minute; a third of them jump all the time.
    """
    rng = random.Random(seed)
    names = NAMES[:count]
    desk = Desk.ready(*(market(name) for name in names))
    ticks = dict.fromkeys(names, FAIR_TICKS)
    left, ends_at, oldest = 120, desk.now + 60.0, 0.0
    while desk.now < START + 75:
        desk.later(0.25)
        for name in names[::3]:
            ticks[name] = FAIR_TICKS + rng.randrange(-400, 400)
            desk.reference(ticks[name], market_id=name)
        while isinstance(action := desk.decide(), PlaceLadder):
            if desk.now >= ends_at:
                left, ends_at = 120, desk.now + 60.0
            left -= 1
            assert left >= 24, "quoting spent of the reserve"
            desk.placed(action)
            desk.budget_seen(left, reset_seconds=ends_at - desk.now)
        assert desk.watch() is None
        for name in names:
            each = desk.market(name)
            if each.quoted is not None:
                oldest = max(oldest, desk.now - each.quoted_at)
    assert all(desk.market(name).quoted is not None for name in names)
    assert oldest <= CYCLE.quote_age_seconds_max + 0.25


@pytest.mark.parametrize("exits", [2, 3])
def test_none_starves_while_others_reduce(exits: int) -> None:
    """Exits run ahead of the bucket by their share and would keep it empty: they give way to an overdue quote."""
    rng = random.Random(1)
    names = NAMES[:4]
    open_wide = attrs.evolve(LIMITS, position_value_max=dec("1e9"))
    desk = Desk.of(
        *(attrs.evolve(market(name), limits=open_wide) for name in names),
        limits=attrs.evolve(ALL_MARKETS, value_max=dec("1e9"), drawdown_max=dec("1e9"), daily_loss_max=dec("1e9")),
        cycle=attrs.evolve(CYCLE, requote_bps=dec("0.8"), requote_seconds_min=0.3, quote_age_seconds_max=20.0),
        budget=attrs.evolve(BUDGET, burst=6),
        margin=attrs.evolve(MARGIN, margin_ratio=dec("0.0001")),
    )
    held = tuple(at_position(200, market_id=name, position_id=name) for name in names[:exits])
    desk.baseline(positions=held)
    for name in names:
        desk.snapshot(name, positions=tuple(one for one in held if one.market_id == name))
        desk.stats(market_id=name)
        desk.reference(market_id=name)
    ticks = dict.fromkeys(names, FAIR_TICKS)
    left, ends_at, oldest = 120, desk.now + 60.0, 0.0
    while desk.now < START + 70:
        desk.later(0.25)
        for name in names[:exits]:
            ticks[name] = max(FAIR_TICKS - 1500, min(FAIR_TICKS + 1500, ticks[name] + int(rng.gauss(0, 100))))
            desk.reference(ticks[name], market_id=name)
        while isinstance(action := desk.decide(), PlaceLadder):
            if desk.now >= ends_at:
                left, ends_at = 120, desk.now + 60.0
            left -= 1
            assert left >= 24, "quoting spent of the reserve"
            desk.placed(action)
            desk.delta(action.market_id)
            desk.budget_seen(left, reset_seconds=ends_at - desk.now)
        assert desk.watch() is None
        oldest = max(oldest, *(desk.now - desk.market(name).quoted_at for name in names))
    assert all(desk.market(name).account.position_lots == 200 for name in names[:exits])
    assert oldest <= 20.5


def test_risk_that_refuses_one_market_does_not_hurry_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A market without room asks for a look each second, never for a request."""
    monkeypatch.setattr(wanting, "acceptable", as_it_is)
    nothing = market(BTC)
    nothing = attrs.evolve(nothing, limits=attrs.evolve(LIMITS, order_size_max=dec("0.009")))
    desk = Desk.ready(nothing, market(ETH), budget=attrs.evolve(BUDGET, burst=6))
    for _ in range(200):
        desk.later(0.25)
        if isinstance(action := desk.decide(), PlaceLadder):
            assert action.market_id == ETH
            assert action.why in ("nothing rests", "age")
            desk.placed(action)
    assert why_not(desk, ETH) == ""
    assert desk.engine.ladders_placed <= 200 * 0.25 / (CYCLE.quote_age_seconds_max - 1) + 1
