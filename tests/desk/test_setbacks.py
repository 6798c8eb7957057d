"""Setbacks: a market that failed waits longer, one whose margin was refused asks for less (S11)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import OpenOrdersRead, PlaceLadder
from maker.desk.ladder import Ladder, Level
from maker.desk.setbacks import (
    FAILURE_BACKOFF_SECONDS,
    LEAST_SECONDS,
    LEAST_SECONDS_MAX,
    MARGIN_RECOVERY_SECONDS,
    MARGIN_REFUSALS_MAX,
    MARKET_HOLD_SECONDS,
    PLACE_FAILURES_MAX,
    LeastSize,
    Refusals,
    Setbacks,
)
from maker.desk.units import Side

from .scripted import START, holding, lots_of, quick, why_not

LADDER = Ladder((Level(499_990, 10),), (Level(500_010, 5), Level(500_020, 15)))

# -- the least size


@given(st.integers(1, 60), st.integers(1, 40), st.lists(st.integers(1, 60), max_size=30))
@quick
def test_two_refusals_at_most_teach_the_least_size(least: int, whole: int, wanted: list[int]) -> None:
    """Whatever minimum the exchange keeps to itself: the third refusal and those of a whole level are failures."""
    each = LeastSize()
    taught = 0
    for lots in wanted:
        sent = max(each.lots(START), min(lots, whole))
        if sent >= least:
            each.placed(Ladder((Level(499_990, sent),), ()))
            continue
        if each.refused(sent, whole, START):
            taught += 1
            assert sent < each.lots(START) <= whole
        else:
            assert sent == whole
    assert taught <= 2


def test_a_refusal_of_what_was_accepted_before_is_not_one_of_size() -> None:
    each = LeastSize()
    each.placed(LADDER)
    each.placed(Ladder((Level(499_990, 15),), ()))
    assert not each.refused(5, 20, START)
    assert each.refused(4, 20, START)
    assert each.lots(START) == 5


def test_twice_the_size_first_then_what_is_known_to_be_enough() -> None:
    each = LeastSize()
    for smallest, then in ((1, 2), (2, 40)):
        assert each.refused(smallest, 40, START)
        assert each.lots(START) == then
    assert not each.refused(40, 40, START)


def test_a_least_size_is_believed_for_a_while_and_twice_as_long_when_it_was_right() -> None:
    each, now = LeastSize(), START
    for seconds in (LEAST_SECONDS, 2 * LEAST_SECONDS, 4 * LEAST_SECONDS):
        assert each.refused(5, 20, now)
        assert each.lots(now + seconds - 1) == 10
        now += seconds
        assert each.lots(now) == 0
    for _ in range(20):
        assert each.refused(5, 20, now)
        now = each.until
    assert each.seconds == LEAST_SECONDS_MAX


def test_exits_that_were_accepted_prove_no_size() -> None:
    """An exchange may let the last of a position go, however little it is."""
    each = LeastSize()
    each.placed(Ladder((Level(499_990, 1),), (), reduce_only=Side.BUY))
    each.placed(Ladder((), ()))
    assert each.accepted is None
    assert each.refused(1, 20, START)


# -- failures


def test_failures_double_the_pause_and_the_third_in_a_row_is_one_too_many() -> None:
    each = Setbacks()
    pauses = []
    for _ in range(PLACE_FAILURES_MAX - 1):
        assert not each.failed("reset", START)
        pauses.append(each.hold_until - START)
    assert pauses == [FAILURE_BACKOFF_SECONDS * 2, FAILURE_BACKOFF_SECONDS * 4]
    assert each.failed("reset", START)
    assert each.hold_until > START
    assert not each.failed("reset", START), "the count starts again"


def test_each_margin_refusal_halves_the_size_and_the_third_holds() -> None:
    """S11."""
    each = Setbacks()
    for number in range(1, MARGIN_REFUSALS_MAX):
        each.margin_refused(LADDER, START)
        assert each.refusals.size_factor == Fraction(1, 2**number)
        assert each.hold_until == 0
    each.margin_refused(LADDER, START)
    assert each.hold_until == START + MARKET_HOLD_SECONDS


def test_a_short_hold_does_not_end_a_long_one() -> None:
    """S11: a ladder that fails late must not bring a market back whose margin was refused, or that was halted."""
    each = Setbacks()
    each.hold(START, "its margin was refused repeatedly")
    assert not each.failed("reset", START + 1)
    assert each.hold_until == START + MARKET_HOLD_SECONDS
    assert each.held(START + 10).startswith("its margin was refused repeatedly")
    each.hold(START + 1, "the exchange had halted this market")
    assert each.hold_until == START + 1 + MARKET_HOLD_SECONDS


# -- refusals


def test_each_refusal_halves_the_size_and_the_third_in_a_row_is_one_too_many() -> None:
    """S11."""
    each = Refusals()
    assert [each.refused(LADDER, START) for _ in range(MARGIN_REFUSALS_MAX)] == [False, False, True]
    assert each.size_factor == Fraction(1, 8)
    assert not each.refused(LADDER, START), "the count starts again"


def test_size_comes_back_one_step_at_a_time_and_only_after_a_while() -> None:
    each = Refusals()
    each.refused(LADDER, START)
    each.refused(LADDER, START)
    each.accepted(START + 1)
    assert (each.size_factor, each.in_row) == (Fraction(1, 4), 0)
    each.accepted(START + MARGIN_RECOVERY_SECONDS + 1)
    assert each.size_factor == Fraction(1, 2)
    each.accepted(START + MARGIN_RECOVERY_SECONDS + 2)
    assert each.size_factor == Fraction(1, 2)
    each.accepted(START + 2 * MARGIN_RECOVERY_SECONDS + 2)
    assert each.size_factor == 1


def test_what_was_refused_bounds_a_side_until_a_ladder_is_accepted_or_a_while_has_passed() -> None:
    """S11, core seed 48055: room grew between refusal and next ladder, and half of it was more than was refused."""
    each = Refusals()
    assert each.room(Side.BUY, 500) == 500
    each.refused(LADDER, START)
    assert [each.room(side, 500) for side in Side] == [10, 20]
    assert each.room(Side.SELL, 7) == 7
    each.accepted(START + 1)
    assert each.room(Side.BUY, 500) == 500
    each.refused(LADDER, START + 2)
    assert each.size_factor == Fraction(1, 4)
    assert [each.room(side, 500) / 4 for side in Side] == [5, 10], "a half of what was refused, whatever went before"
    each.recover(START + 2 + MARGIN_RECOVERY_SECONDS)
    assert each.room(Side.BUY, 500) == 20
    each.recover(START + 3 + MARGIN_RECOVERY_SECONDS)
    assert each.room(Side.BUY, 500) == 500


@given(
    position=st.integers(-199, 199),
    headrooms=st.lists(st.decimals(min_value="0.15", max_value=1, places=3), min_size=3, max_size=3),
    moves=st.lists(st.integers(-30, 30), min_size=3, max_size=3),
)
@quick
def test_s11_a_refused_ladder_is_never_repeated_and_the_next_is_smaller(
    position: int, headrooms: list[Decimal], moves: list[int]
) -> None:
    """S11: whatever headroom says each time, wherever price and position are; three refusals hold the market."""
    desk = holding(position)
    refused: list[PlaceLadder] = []
    for move, headroom in zip(moves, headrooms, strict=True):
        desk.balance(str(headroom * 10_000), "10000")
        action = desk.decide()
        if not isinstance(action, PlaceLadder) or all(order.reduce_only for order in action.orders):
            return
        for before in refused:
            assert [(one.side, one.ticks, one.lots) for one in before.orders] != [
                (one.side, one.ticks, one.lots) for one in action.orders
            ]
            for side in Side:
                assert lots_of(action, side) < lots_of(before, side) or not lots_of(action, side)
        refused.append(action)
        desk.refused(action, "INSUFFICIENT_MARGIN")
        assert desk.engine.margin.read_due, "what we took to be free is not: read it again"
        desk.apply(OpenOrdersRead(()))
        desk.now += 0.3
        desk.reference(500_000 + move)
    assert "margin was refused repeatedly" in why_not(desk)
