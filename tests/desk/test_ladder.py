"""The ladder: outward, uncrossed, away from fair, both sides down when long, and what the limit leaves of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import MarketSpec
from maker.desk.ladder import (
    Ladder,
    LadderInputs,
    LadderSettings,
    Level,
    build,
    lean,
    level_sizes,
    moved_bps,
)
from maker.desk.units import BPS, SUBTICKS, Side

from .scripted import LADDER, dec, fair_at, spec, thorough

PLENTY = 10**9  # lots: room that never binds
LIMIT = 200  # lots, of LADDER

FIVE_BPS = 250 * SUBTICKS  # of fair value, the half-spread below and above it

WHOLE = LadderInputs(
    fair=fair_at(),
    reservation_subticks=fair_at().subticks,
    half_bid_subticks=FIVE_BPS,
    half_ask_subticks=FIVE_BPS,
    position_lots=0,
    best_bid_of_others=None,
    best_ask_of_others=None,
    room_bid_lots=PLENTY,
    room_ask_lots=PLENTY,
    size_factor=Fraction(1),
)


def bps(least: str, most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(dec(least), dec(most), places=2)


settings_of_ladders = st.builds(
    LadderSettings,
    levels=st.integers(1, 5),
    level_step_bps=bps("0", "10"),
    step_growth=st.sampled_from([dec("1"), dec("1.5"), dec("2")]),
    level_size=st.decimals(dec("0.001"), dec("0.050"), places=4),
    size_growth=st.sampled_from([dec("1"), dec("0.7"), dec("1.5")]),
    edge_bps_min=bps("0", "5"),
    position_limit=st.just(LADDER.position_limit),
    position_soft_ratio=st.sampled_from([dec("0"), dec("0.5"), dec("0.9")]),
    widen_bps=st.sampled_from([dec("0"), dec("7.5")]),
)
specs = st.builds(
    spec,
    lots_min=st.integers(1, 20),
    maker_fee_bps=st.sampled_from(["-1.5", "0", "2.25"]),
)
positions = st.integers(-300, 300)
fairs = st.builds(
    lambda subticks, half_width: attrs.evolve(fair_at(), subticks=subticks, half_width_subticks=half_width),
    st.integers(2_000 * SUBTICKS, 900_000 * SUBTICKS),
    st.integers(0, 20 * SUBTICKS),
)


@st.composite
def inputs(draw: st.DrawFn) -> LadderInputs:
    """Anything the market may look like, and anything a model may say, quotes through fair value included."""
    fair = draw(fairs)
    away = st.integers(-300 * SUBTICKS, 3_000 * SUBTICKS)
    near = st.none() | st.integers(-200, 200).map(lambda offset: fair.subticks // SUBTICKS + offset)
    bid, ask = draw(near), draw(near)
    if bid is not None and ask is not None and bid >= ask:
        bid, ask = (ask, bid) if bid > ask else (None, ask)
    return LadderInputs(
        fair=fair,
        reservation_subticks=fair.subticks + draw(st.integers(-500 * SUBTICKS, 500 * SUBTICKS)),
        half_bid_subticks=draw(st.none() | away),
        half_ask_subticks=draw(st.none() | away),
        position_lots=draw(positions),
        best_bid_of_others=bid,
        best_ask_of_others=ask,
        room_bid_lots=draw(st.integers(0, 150)),
        room_ask_lots=draw(st.integers(0, 150)),
        size_factor=draw(st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(1, 8)])),
    )


def reserved(seen: LadderInputs, lots: int) -> int:
    return seen.fair.subticks - lots * SUBTICKS


def every(check: Callable[[MarketSpec, LadderSettings, LadderInputs, Ladder], None]) -> Callable[[], None]:
    """Make a check of any ladder a property test."""

    @given(specs, settings_of_ladders, inputs())
    @thorough
    def test(market: MarketSpec, settings: LadderSettings, given_inputs: LadderInputs) -> None:
        check(market, settings, given_inputs, build(market, settings, given_inputs))

    return test


def outward_and_uncrossed(_spec: MarketSpec, _settings: LadderSettings, seen: LadderInputs, ladder: Ladder) -> None:
    bids, asks = [level.ticks for level in ladder.bids], [level.ticks for level in ladder.asks]
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    if bids and asks:
        assert bids[0] < asks[0]
    if bids and seen.best_ask_of_others is not None:
        assert bids[0] < seen.best_ask_of_others
    if asks and seen.best_bid_of_others is not None:
        assert asks[0] > seen.best_bid_of_others


test_a_ladder_is_strictly_outward_and_crosses_nothing = every(outward_and_uncrossed)  # S8, F33


def edge_after_fees(market: MarketSpec, settings: LadderSettings, seen: LadderInputs, ladder: Ladder) -> None:
    fair = Fraction(seen.fair.subticks)
    edge = fair * max(Fraction(0), Fraction(settings.edge_bps_min + market.maker_fee_bps)) / BPS
    for side in Side:
        for level in ladder.side(side):
            assert side.sign * (fair - level.ticks * SUBTICKS) >= edge


test_no_level_is_nearer_to_fair_than_edge_and_fee = every(edge_after_fees)  # a rebate counts, but never through fair


def within_room(market: MarketSpec, _settings: LadderSettings, seen: LadderInputs, ladder: Ladder) -> None:
    assert ladder.lots(Side.BUY) <= seen.room_bid_lots
    assert ladder.lots(Side.SELL) <= seen.room_ask_lots
    assert all(level.lots >= market.lots_min for side in Side for level in ladder.side(side))


test_a_side_never_takes_more_than_its_room_nor_a_level_less_than_the_minimum = every(within_room)


def exits_only(_spec: MarketSpec, _settings: LadderSettings, seen: LadderInputs, ladder: Ladder) -> None:
    position = seen.position_lots
    if abs(position) >= LIMIT:
        adding = Side.BUY if position > 0 else Side.SELL
        assert ladder.reduce_only is adding.opposite
        assert ladder.side(adding) == ()
        assert ladder.lots(adding.opposite) <= abs(position)
    else:
        assert ladder.reduce_only is None


test_at_and_beyond_the_limit_only_exits_are_left = every(exits_only)


@given(specs, settings_of_ladders, inputs(), positions)
@thorough
def test_both_sides_move_down_when_longer_and_up_when_shorter(
    market: MarketSpec, settings: LadderSettings, seen: LadderInputs, other: int
) -> None:
    """Every level, weakly, whatever clamps it: the longer position's is never the higher.

    The model's own part of it is tested with each model: here a reservation price that falls with the position.
    """
    long, short = sorted((seen.position_lots, other), reverse=True)
    room = attrs.evolve(seen, room_bid_lots=PLENTY, room_ask_lots=PLENTY, half_bid_subticks=0, half_ask_subticks=0)
    longer, shorter = (
        build(market, settings, attrs.evolve(room, position_lots=lots, reservation_subticks=reserved(room, lots)))
        for lots in (long, short)
    )
    for side in Side:
        for low, high in zip(longer.side(side), shorter.side(side), strict=False):
            assert low.ticks <= high.ticks


@given(settings_of_ladders, st.integers(0, 299), st.integers(0, 299), st.sampled_from(Side))
@thorough
def test_the_adding_side_shrinks_with_the_position_and_the_reducing_side_keeps_its_size(
    settings: LadderSettings, one: int, other: int, adding: Side
) -> None:
    smaller, larger = (
        build(spec(), settings, attrs.evolve(WHOLE, position_lots=adding.sign * size)) for size in sorted((one, other))
    )
    flat = build(spec(), settings, WHOLE)
    pairs = zip(larger.side(adding), smaller.side(adding), strict=False)
    assert all(high.lots <= low.lots for high, low in pairs)
    assert len(larger.side(adding)) <= len(smaller.side(adding))
    for size, ladder in zip(sorted((one, other)), (smaller, larger), strict=True):
        if size < LIMIT:
            kept = [level.lots for level in ladder.side(adding.opposite)]
            assert kept == [level.lots for level in flat.side(adding.opposite)]
        if size <= LIMIT * settings.position_soft_ratio:
            assert [level.lots for level in ladder.side(adding)] == [level.lots for level in flat.side(adding)]


@given(settings_of_ladders, inputs())
@thorough
def test_levels_outside_the_band_are_absent_and_never_moved_into_it(
    settings: LadderSettings, seen: LadderInputs
) -> None:
    """PRICING, grid and bands: dropped, never clamped."""
    middle = seen.fair.subticks // SUBTICKS
    low, high = middle - middle // 1000, middle + middle // 2000
    ladder = build(spec(band=(low, high)), settings, seen)
    unbounded = build(spec(), settings, seen)
    for side in Side:
        assert all(low <= level.ticks <= high for level in ladder.side(side))
        assert set(ladder.side(side)) <= set(unbounded.side(side))


def test_a_price_is_at_least_one_tick() -> None:
    """Fair value of three ticks: the lower levels would be at or below zero."""
    wide = attrs.evolve(LADDER, level_step_bps=dec("3000"))
    three = attrs.evolve(WHOLE, fair=fair_at(3), reservation_subticks=3 * SUBTICKS, half_bid_subticks=SUBTICKS * 3 // 2)
    ladder = build(spec(), wide, three)
    assert [level.ticks for level in ladder.bids] == [1]


# -- figures a reader can check


def prices(ladder: Ladder) -> tuple[list[int], list[int]]:
    return [level.ticks for level in ladder.bids], [level.ticks for level in ladder.asks]


def test_flat() -> None:
    """5 bp is 250 ticks, 2 bp is 100."""
    assert prices(build(spec(), LADDER, WHOLE)) == ([499_750, 499_650, 499_550], [500_250, 500_350, 500_450])


def test_a_reservation_price_below_fair_moves_both_sides_down() -> None:
    """5 bp, 250 ticks; the ask stops at the edge of 1 bp plus 1 bp of fee, and the others keep their steps from it."""
    ladder = build(spec(), LADDER, attrs.evolve(WHOLE, reservation_subticks=499_750 * SUBTICKS))
    assert prices(ladder) == ([499_500, 499_400, 499_300], [500_100, 500_200, 500_300])


def test_between_ticks_a_bid_goes_down_and_an_ask_up() -> None:
    fair = fair_at(Fraction(2_000_001, 4))
    seen = attrs.evolve(WHOLE, fair=fair, reservation_subticks=fair.subticks)
    flat_spread = attrs.evolve(LADDER, levels=1)
    assert prices(build(spec(), flat_spread, seen)) == ([499_750], [500_251])


def test_uncertainty_widens() -> None:
    ladder = build(spec(), attrs.evolve(LADDER, levels=1), attrs.evolve(WHOLE, fair=fair_at(half_width_ticks=7)))
    assert prices(ladder) == ([499_743], [500_257])


def test_others_inside_push_the_ladder_outward_without_stacking_levels() -> None:
    """Somebody offers 499600: the best bid stands below it, and the others their steps below that."""
    ladder = build(spec(), LADDER, attrs.evolve(WHOLE, best_ask_of_others=499_600))
    assert prices(ladder)[0] == [499_599, 499_499, 499_399]


def test_without_a_step_levels_stand_on_neighbouring_ticks() -> None:
    ladder = build(spec(), attrs.evolve(LADDER, level_step_bps=dec("0")), WHOLE)
    assert prices(ladder)[0] == [499_750, 499_749, 499_748]


def test_exits_beyond_the_limit_keep_their_size_up_to_the_position() -> None:
    ladder = build(spec(), attrs.evolve(LADDER, level_size=dec("0.090")), attrs.evolve(WHOLE, position_lots=-205))
    assert ladder.asks == ()
    assert [level.lots for level in ladder.bids] == [90, 90, 25]
    assert ladder.reduce_only is Side.BUY


@pytest.mark.parametrize(
    ("position", "factor", "widened"),
    [
        (0, Fraction(1), (1, 0)),
        (100, Fraction(1), (1, 0)),
        (125, Fraction(3, 4), (1, Fraction(1, 2))),
        (150, Fraction(1, 2), (1, 1)),
        (175, Fraction(1, 4), (Fraction(1, 2), 1)),
        (199, Fraction(1, 100), (Fraction(1, 50), 1)),
        (200, Fraction(0), (0, 1)),
        (250, Fraction(0), (0, 1)),
    ],
)
def test_shrink_is_a_line_from_the_soft_limit_to_the_limit(
    position: int, factor: Fraction, widened: tuple[Fraction, Fraction]
) -> None:
    """At once, or after it has widened halfway."""
    assert lean(position, LIMIT, LADDER) == (factor, Fraction(0))
    assert lean(position, LIMIT, attrs.evolve(LADDER, widen_bps=dec("3"))) == widened


def test_the_adding_side_widens_before_it_shrinks() -> None:
    """3 bp, 150 ticks, halfway to the limit; the other side stays where it is."""
    widening = attrs.evolve(LADDER, levels=1, widen_bps=dec("3"))
    ladder = build(spec(), widening, attrs.evolve(WHOLE, position_lots=150))
    assert (ladder.bids, ladder.asks) == ((Level(499_600, 10),), (Level(500_250, 10),))


def test_steps_may_grow() -> None:
    """2 bp, then 4, then 8: 100, 200 and 400 ticks."""
    growing = attrs.evolve(LADDER, levels=4, step_growth=dec("2"))
    assert prices(build(spec(), growing, WHOLE))[0] == [499_750, 499_650, 499_450, 499_050]


def test_a_rebate_counts_towards_the_edge_but_buys_no_quote_through_fair() -> None:
    """1 bp of edge and 0.6 of rebate: 0.4 bp, 20 ticks. With 3 bp of rebate fair value itself."""
    near = attrs.evolve(WHOLE, half_bid_subticks=-FIVE_BPS, half_ask_subticks=-FIVE_BPS)
    one = attrs.evolve(LADDER, levels=1)
    assert prices(build(spec(maker_fee_bps="-0.6"), one, near)) == ([499_980], [500_020])
    assert prices(build(spec(maker_fee_bps="-3"), one, near)) == ([500_000], [500_001])


def test_a_side_that_the_model_does_not_quote_is_empty_but_an_exit_is_placed() -> None:
    seen = attrs.evolve(WHOLE, half_bid_subticks=None, half_ask_subticks=None)
    assert build(spec(), LADDER, seen).empty
    ladder = build(spec(), LADDER, attrs.evolve(seen, position_lots=-205))
    assert ladder.reduce_only is Side.BUY
    assert ladder.bids[0].ticks == 499_900, "at the edge of 1 bp plus 1 bp of fee"


def test_sizes_grow_and_the_outer_levels_go_first_when_room_is_short() -> None:
    growing = attrs.evolve(LADDER, size_growth=dec("1.5"))
    assert level_sizes(spec(), growing, Fraction(1), PLENTY) == [10, 15, 22]
    assert level_sizes(spec(), growing, Fraction(1), 27) == [10, 15, 2]
    assert level_sizes(spec(lots_min=3), growing, Fraction(1), 27) == [10, 15]
    assert level_sizes(spec(), growing, Fraction(1), 0) == []


def test_a_margin_refusal_makes_every_size_smaller_also_where_room_decides() -> None:
    """S11: sizes strictly smaller. Room for 4 of 10 lots: half of it next time, not 4 again."""
    short = attrs.evolve(WHOLE, room_bid_lots=4, room_ask_lots=4)
    before = build(spec(), LADDER, short)
    after = build(spec(), LADDER, attrs.evolve(short, size_factor=Fraction(1, 2)))
    for side in Side:
        assert before.lots(side) == 4
        assert after.lots(side) < before.lots(side)


# -- how far a ladder has moved


def test_the_move_is_that_of_the_innermost_levels() -> None:
    one = Ladder((Level(10_000, 1), Level(9_000, 1)), (Level(20_000, 1),))
    assert moved_bps(one, one) == 0
    assert moved_bps(one, Ladder((Level(10_003, 1),), (Level(20_000, 5),))) == 3
    assert moved_bps(one, Ladder((Level(10_000, 1),), (Level(20_008, 1),))) == 4


def test_a_side_come_or_gone_is_an_infinite_move() -> None:
    one = Ladder((Level(10_000, 1),), ())
    assert moved_bps(one, Ladder((), ())) == Decimal("Infinity")
    assert moved_bps(Ladder((), ()), one) == Decimal("Infinity")
    assert moved_bps(Ladder((), ()), Ladder((), ())) == 0
