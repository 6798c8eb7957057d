"""The ladder one market should have, and what is said when there is none."""

from __future__ import annotations

from decimal import Decimal

import attrs
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import MarketSpec, PlaceLadder, SpecRead, Wait
from maker.desk.market import MarketSettings
from maker.desk.spread import Situation, Spread
from maker.desk.units import Side

from .scripted import (
    ALL_MARKETS,
    FAIR_TICKS,
    LIMITS,
    MODEL,
    Desk,
    at_position,
    dec,
    lots_of,
    market,
    quick,
    spec,
    told,
    why_not,
)

LIMIT = 200  # lots


# -- other people's prices


def test_own_orders_are_taken_out_of_the_book_before_the_crossing_check() -> None:
    """The replace removes them first: a jump down places asks where our own bids stand."""
    desk = Desk.ready()
    own = desk.quote()
    ours = {side: tuple((order.ticks, order.lots) for order in own.orders if order.side is side) for side in Side}
    desk.delta(bids=(*ours[Side.BUY], (FAIR_TICKS - 20, 0), (498_000, 5)), asks=ours[Side.SELL])
    desk.later(1)
    desk.stats("49900")
    desk.reference(499_000)
    replacing = desk.place()
    asks = [order.ticks for order in replacing.orders if order.side is Side.SELL]
    assert min(asks) < max(order.ticks for order in own.orders if order.side is Side.BUY)


def test_other_peoples_bid_holds_the_asks_above_it() -> None:
    desk = Desk.ready()
    desk.delta(asks=((FAIR_TICKS + 20, 0), (501_000, 1)), bids=((500_300, 1),))
    assert told(desk.decide()).endswith("sell 10@500301 10@500401 10@500501")


# -- caps and the ramp


def test_a_value_cap_makes_the_ladder_smaller_and_refuses_nothing() -> None:
    """30 lots of 50 each fit 1501; half of them is a ladder. A dearer lot leaves room for fewer."""
    desk = Desk.ready(limits=attrs.evolve(ALL_MARKETS, value_max=dec("1501")))
    assert told(desk.place()) == "place BTC-PERP (nothing rests): buy 10@499749 5@499649 | sell 10@500251 5@500351"
    assert desk.engine.take_notes() == []


def test_row_22_exits_keep_their_size_through_the_ramp() -> None:
    """Beyond the limit from the start: the exits are whole levels; within it, what reduces is no less than without."""
    for position, asks in ((LIMIT, "10@"), (100, "10@")):
        desk = Desk.of(limits=attrs.evolve(ALL_MARKETS, ramp_seconds=60.0))
        desk.baseline(positions=(at_position(position),))
        desk.snapshot(positions=(at_position(position),))
        desk.stats()
        desk.reference()
        action = desk.place()
        assert {order.side for order in action.orders} == {Side.SELL}
        assert told(action).count(asks) == 3
        assert all(order.reduce_only for order in action.orders) == (position == LIMIT)


def test_row_22_no_ramp_is_for_exits_beyond_the_limit() -> None:
    """150 of 200 in one ladder: with a tenth of the cap, half of what is left would be 110."""
    one = market()
    large = attrs.evolve(one, ladder=attrs.evolve(one.ladder, level_size=dec("0.050")))
    desk = Desk.of(large, limits=attrs.evolve(ALL_MARKETS, ramp_seconds=60.0))
    desk.baseline(positions=(at_position(LIMIT),))
    desk.snapshot(positions=(at_position(LIMIT),))
    desk.stats()
    desk.reference()
    assert lots_of(desk.place()) == 150


def test_row_22_a_ramp_without_room_for_the_smallest_level_says_so() -> None:
    desk = Desk.ready(market(market_spec=spec(lots_min=11)), limits=attrs.evolve(ALL_MARKETS, ramp_seconds=60.0))
    assert isinstance(desk.decide(), Wait)
    assert why_not(desk).endswith(
        "leave model fixed no room for a single level on either side; caps are at 0.1 of themselves until "
        "ramp_seconds after a first ladder; raise ramp_ratio if none fits"
    )
    assert "just begun" not in why_not(desk), "nothing has, and it might never"


# -- what one order may be


def test_a_level_outside_a_collar_costs_that_level_alone() -> None:
    """The bounds of LIMITS at 6 bp: of levels at 5, 7 and 9 bp a side one is left, and nothing is refused."""
    limits = attrs.evolve(LIMITS, collar_bps=dec("6"))
    desk = Desk.ready(attrs.evolve(market(), limits=limits))
    assert told(desk.place()) == "place BTC-PERP (nothing rests): buy 10@499749 | sell 10@500251"
    assert desk.engine.take_notes() == []


def test_an_inventory_that_skews_one_side_out_of_the_collar_is_worked_off_by_the_other() -> None:
    """A position of +150 of 200 moves both sides down by 7.5 bp: all bids are beyond 12 bp, asks stop at the edge."""
    limits = attrs.evolve(LIMITS, collar_bps=dec("12"))
    desk = Desk.of(attrs.evolve(market(), limits=limits))
    desk.baseline(positions=(at_position(150),))
    desk.snapshot(positions=(at_position(150),))
    desk.stats()
    desk.reference()
    placed = desk.place()
    assert {order.side for order in placed.orders} == {Side.SELL}
    assert len(placed.orders) == 3
    assert desk.engine.take_notes() == []


def test_an_order_that_would_be_worth_too_much_is_made_smaller() -> None:
    """10 lots at 50000 are 500; 9 are what 480 leaves room for. Below the exchange's minimum it is left out."""
    limits = attrs.evolve(LIMITS, order_value_max=dec("480"), order_size_max=dec("0.009"))
    desk = Desk.ready(attrs.evolve(market(), limits=limits))
    assert {order.lots for order in desk.place().orders} == {9}
    least = Desk.ready(attrs.evolve(market(market_spec=spec(lots_min=10)), limits=limits))
    assert isinstance(least.decide(), Wait)


@given(
    st.integers(-LIMIT, LIMIT),
    st.integers(-200, 200),
    st.tuples(st.integers(1, 60), st.integers(1, 80), st.integers(1, 80)),
    st.tuples(st.integers(1, 40), st.integers(0, 60), st.integers(0, 20)),
    st.tuples(st.integers(50, 700), st.integers(1, 50)),
)
@quick
def test_risk_never_refuses_what_was_built(
    position: int, moved: int, collars: tuple[int, int, int], shape: tuple[int, int, int], largest: tuple[int, int]
) -> None:
    """Whatever collars, sizes, skew and position: levels are left out one by one, and nothing stops the market."""
    (collar, index, window), (half, skew, step), (value, size) = collars, shape, largest
    one = market()
    rooms = attrs.evolve(
        one,
        model=attrs.evolve(MODEL, half_spread_bps=Decimal(half), skew_bps=Decimal(skew)),
        ladder=attrs.evolve(one.ladder, level_step_bps=Decimal(step)),
        limits=attrs.evolve(
            LIMITS,
            collar_bps=Decimal(collar),
            index_collar_bps=Decimal(index),
            window_collar_bps=Decimal(window),
            order_value_max=Decimal(value),
            order_size_max=Decimal(size).scaleb(-3),
        ),
    )
    desk = Desk.of(rooms)
    found = (at_position(position),) if position else ()
    desk.baseline(positions=found)
    desk.snapshot(positions=found)
    desk.stats()
    desk.reference()
    for _ in range(2):
        action = desk.decide()
        assert not [note for note in desk.engine.take_notes() if "refused" in note]
        if isinstance(action, PlaceLadder):
            desk.placed(action)
        desk.later(1)
        desk.reference(FAIR_TICKS + moved)


# -- nothing to send


def test_a_fair_value_outside_the_exchanges_band_is_said_until_the_listing_has_another() -> None:
    """Storm seed 1676: after a crash nothing was quoted for a minute, and nobody said why."""
    band = (FAIR_TICKS + 1000, FAIR_TICKS + 2000)
    desk = Desk.ready(market(market_spec=spec(band=band)))
    assert isinstance(desk.decide(), Wait)
    assert why_not(desk) == (
        "fair value 50000.0 is outside the exchange's price band (50100.0 to 50200.0) for model fixed; "
        "reading the listing again"
    )
    desk.apply(SpecRead(spec(), active=True))
    assert isinstance(desk.decide(), PlaceLadder)
    assert why_not(desk) == ""


def test_limits_that_leave_no_room_for_a_level_are_said() -> None:
    desk = Desk.ready(market(market_spec=spec(lots_min=1000)))
    assert isinstance(desk.decide(), Wait)
    assert why_not(desk) == "limits and margin leave model fixed no room for a single level on either side"


@attrs.define
class Says:
    """A model of a user's own that quotes these sides, so far from fair value."""

    bid: float | None
    ask: float | None

    def spread(self, situation: Situation) -> Spread:
        return Spread(situation.fair, self.bid, self.ask)


def says(bid: float | None, ask: float | None, market_spec: MarketSpec | None = None) -> MarketSettings:
    return attrs.evolve(market(market_spec=market_spec), model=Says(bid, ask), model_name="mine.py:Mine")


def test_a_model_without_a_price_is_named_before_limits_and_band() -> None:
    """Whatever limits and band would say: there is nothing that they could hold back."""
    outside = (FAIR_TICKS + 1000, FAIR_TICKS + 2000)
    for market_spec in (spec(), spec(lots_min=1000), spec(band=outside)):
        desk = Desk.ready(says(None, None, market_spec))
        assert isinstance(desk.decide(), Wait)
        assert why_not(desk) == "model mine.py:Mine gives no price on either side"


def test_a_side_without_room_is_told_from_one_without_a_price() -> None:
    """At the soft end of the limit nothing is left for the buying side, and the model quotes no other."""
    desk = Desk.of(says(25.0, None))
    desk.baseline(positions=(at_position(LIMIT - 1),))
    desk.snapshot(positions=(at_position(LIMIT - 1),))
    desk.stats()
    desk.reference()
    assert isinstance(desk.decide(), Wait)
    assert why_not(desk) == (
        "limits and margin leave model mine.py:Mine no room for a single level on the only side that it prices"
    )


def test_sizes_are_asked_for_before_the_band() -> None:
    band = (FAIR_TICKS + 1000, FAIR_TICKS + 2000)
    desk = Desk.ready(market(market_spec=spec(lots_min=1000, band=band)))
    assert isinstance(desk.decide(), Wait)
    assert "no room for a single level" in why_not(desk)


def test_quotes_that_nothing_would_take_are_laid_to_the_model() -> None:
    """Room and fair value are fine: it is the model that quotes where no collar and no band has a place."""
    for far in (40_000.0, 60_000.0):  # below zero, too
        desk = Desk.ready(says(far, far))
        assert isinstance(desk.decide(), Wait)
        assert why_not(desk).startswith("of model mine.py:Mine no level is inside band and collars")
