"""Leaning towards the side that funding pays: its sign, its bounds, and no lean where none is wanted."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import MarketStats
from maker.desk.funding import NO_LEAN, FundingSettings, target_lots
from maker.desk.units import Side

from .scripted import BTC, Desk, at_position, dec, thorough, told

LIMIT_LOTS = 200
LEAN = FundingSettings(dec("0.3"), dec("0.0001"))
rates = st.decimals(min_value="-0.0025", max_value="0.0025", places=7)  # OCX caps a period at 25 bp


@pytest.mark.parametrize(
    ("rate", "lots"),
    [("0", 0), ("0.0001", 0), ("-0.0001", 0), ("0.00015", -30), ("0.0002", -60), ("0.0025", -60), ("-0.00015", 30)],
)
def test_the_lean_grows_in_a_line_to_twice_the_least_rate(rate: str, lots: int) -> None:
    """Positive: longs pay shorts, so the target is short."""
    assert target_lots(dec(rate), LIMIT_LOTS, LEAN) == lots


def test_no_lean_is_the_default_and_an_unknown_rate_is_no_lean() -> None:
    assert target_lots(dec("0.0025"), LIMIT_LOTS, NO_LEAN) == 0
    assert target_lots(None, LIMIT_LOTS, LEAN) == 0
    assert Desk.ready().market().target_lots() == 0


@given(
    rates,
    rates,
    st.decimals(min_value=0, max_value=1, places=3),
    st.decimals(min_value=0, max_value="0.001", places=5),
    st.integers(1, 5_000),
)
@thorough
def test_the_lean_is_bounded_monotone_and_as_large_the_other_way(
    rate: Decimal, other: Decimal, ratio: Decimal, least: Decimal, limit: int
) -> None:
    settings = FundingSettings(ratio, least)
    target = target_lots(rate, limit, settings)
    assert abs(target) <= limit * ratio
    assert target * rate <= 0, "never towards the side that pays"
    assert target_lots(-rate, limit, settings) == -target
    low, high = sorted((rate, other))
    assert target_lots(low, limit, settings) >= target_lots(high, limit, settings)


def test_the_target_follows_the_rate_that_is_polled() -> None:
    desk = Desk.ready()
    each = desk.market()
    each.funding = LEAN
    assert each.target_lots() == 0
    desk.apply(MarketStats(BTC, dec("50000"), dec("50000"), dec("0.0002")))
    assert each.target_lots() == -60
    desk.apply(MarketStats(BTC, dec("50000"), dec("50000"), None))
    assert each.target_lots() == 0, "no rate is stated: none is known"
    assert desk.place().orders


def test_the_ladder_is_skewed_against_what_the_position_is_beyond_the_target() -> None:
    """At the target it stands as if flat; flat, it leans: offers nearer than bids where longs pay."""
    flat = Desk.ready()
    straight = told(flat.place())
    desk = Desk.ready()
    desk.market().funding = LEAN
    desk.apply(MarketStats(BTC, dec("50000"), dec("50000"), dec("0.0002")))
    leaning = desk.place()
    assert told(leaning) != straight
    lower = {order.client_order_id: order.ticks for order in leaning.orders}
    assert all(ticks < order.ticks for ticks, order in zip(lower.values(), Desk.ready().place().orders, strict=True)), (
        "short is wanted: both sides lower, so that we sell sooner"
    )
    held = Desk.of()
    held.baseline(positions=(at_position(-60),))
    held.snapshot(positions=(at_position(-60),))
    held.stats()
    held.reference()
    held.market().funding = LEAN
    held.apply(MarketStats(BTC, dec("50000"), dec("50000"), dec("0.0002")))
    assert [order.ticks for order in held.place().orders] == [order.ticks for order in Desk.ready().place().orders]


def test_a_lean_never_brings_a_position_beyond_what_a_model_knows() -> None:
    """The position a model is told stays inside the limit, and a position at the limit is told as it is."""
    for lots in (-200, -199, -150, 0, 150, 199, 200):
        desk = Desk.of()
        held = (at_position(lots),) if lots else ()
        desk.baseline(positions=held)
        desk.snapshot(positions=held)
        desk.stats()
        desk.reference()
        desk.market().funding = FundingSettings(dec("0.5"), dec("0.0001"))
        desk.apply(MarketStats(BTC, dec("50000"), dec("50000"), dec("0.0025")))
        action = desk.place()
        bought = sum(order.lots for order in action.orders if order.side is Side.BUY)
        sold = sum(order.lots for order in action.orders if order.side is Side.SELL)
        assert lots + bought <= LIMIT_LOTS
        assert lots - sold >= -LIMIT_LOTS
