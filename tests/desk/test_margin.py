"""Margin: headroom never overstated, sizes that follow it, and what may be sent beside all else."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.app import feeds
from maker.desk import margin
from maker.desk.account import MarketAccount
from maker.desk.deadman import Reason
from maker.desk.events import BalanceRead, PlaceLadder, Wait
from maker.desk.ladder import Ladder, Level
from maker.desk.margin import (
    FACTOR_PARTS,
    RELEASE,
    Allowed,
    Margin,
    Reading,
    Stake,
    Step,
    exits,
    refusal,
    side_room,
    size_factor,
    step_of,
    whole_lots,
    worst_lots,
)
from maker.desk.units import Side

from .scripted import (
    BTC,
    ETH,
    MARGIN,
    START,
    Desk,
    a_fill,
    at_position,
    dec,
    holding,
    lots_of,
    market,
    quick,
    quoted,
    spec,
    thorough,
    told,
    why_not,
)

ratios = st.decimals(min_value=Decimal("-0.5"), max_value=1, places=4)
MARGIN_A_LOT = dec("2.5")  # 5 % of 0.001 at 50000


def reading(headroom: Decimal | str, *, at: float = START, equity: str = "10000") -> Reading:
    """Positions nothing, orders nothing: so much of the equity is free."""
    return Reading(dec(equity) * Decimal(headroom), dec(equity), {BTC: Stake(MARGIN_A_LOT, 0, 0)}, at)


# -- headroom


@given(
    true_ratio=st.decimals(min_value="0.001", max_value="0.5", places=3),
    ours=st.decimals(min_value="0.001", max_value="0.5", places=3),
    positions=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    resting=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    equity=st.integers(1, 100_000),
)
@thorough
def test_headroom_is_never_overstated_whichever_way_the_ratio_is_wrong(
    true_ratio: Decimal,
    ours: Decimal,
    positions: tuple[int, int],
    resting: tuple[int, int],
    equity: int,
) -> None:
    """Checklist 8: the exchange takes one ratio and we another: our estimate stays at or below the truth."""
    value = dec("50")  # of a lot
    taken = sum((true_ratio * value * (held + more) for held, more in zip(positions, resting, strict=True)), Decimal(0))
    stakes = {
        name: Stake(ours * value, held, more) for name, held, more in zip((BTC, ETH), positions, resting, strict=True)
    }
    truth = 1 - true_ratio * value * sum(positions) / equity
    assert Reading(equity - taken, Decimal(equity), stakes, START).headroom <= truth + Decimal("1e-20")


def test_our_own_quotes_do_not_count_against_headroom_and_positions_do() -> None:
    """Equity 10000; 1000 lots rest, 400 are held, 2.5 of margin each: 6500 are free, and 9000 without the quotes."""
    seen = Reading(dec("6500"), dec("10000"), {BTC: Stake(MARGIN_A_LOT, 400, 1000)}, START)
    assert seen.headroom == dec("0.9")


@pytest.mark.parametrize("equity", ["0", "-1"])
def test_an_account_without_equity_has_no_headroom(equity: str) -> None:
    assert Reading(dec("0"), dec(equity), {}, START).headroom == 0


# -- steps


@pytest.mark.parametrize(
    ("headroom", "step"),
    [
        ("1", Step.AMPLE),
        ("0.5", Step.AMPLE),
        ("0.4999", Step.WARN),
        ("0.4", Step.WARN),
        ("0.3999", Step.SHRINK),
        ("0.2", Step.SHRINK),
        ("0.1999", Step.REDUCE_ONLY),
        ("0.1", Step.REDUCE_ONLY),
        ("0.0999", Step.FLATTEN),
        ("-1", Step.FLATTEN),
    ],
)
def test_each_step_begins_at_its_ratio(headroom: str, step: Step) -> None:
    assert step_of(dec(headroom), Step.AMPLE, MARGIN) is step


@given(st.lists(ratios, min_size=2, max_size=30))
@quick
def test_a_step_is_left_only_with_something_to_spare(seen: list[Decimal]) -> None:
    """Downward at once, upward only above RELEASE times its ratio: a headroom that trembles moves no step."""
    ratio = {
        Step.WARN: MARGIN.headroom_warn_ratio,
        Step.SHRINK: MARGIN.headroom_shrink_ratio,
        Step.REDUCE_ONLY: MARGIN.headroom_reduce_only_ratio,
        Step.FLATTEN: MARGIN.headroom_flatten_ratio,
    }
    step = Step.AMPLE
    for headroom in seen:
        after = step_of(headroom, step, MARGIN)
        assert after >= step_of(headroom, Step.AMPLE, MARGIN), "never gentler than the headroom itself asks for"
        if after < step:
            assert headroom >= ratio[step] * RELEASE
        step = after


@given(ratios, ratios)
@thorough
def test_sizes_shrink_monotonously_with_headroom(one: Decimal, other: Decimal) -> None:
    """From 1 at the shrink step to 0 at the reduce-only step; less headroom never means more size."""
    low, high = sorted((one, other))
    assert 0 <= size_factor(low, MARGIN) <= size_factor(high, MARGIN) <= 1
    if low >= MARGIN.headroom_shrink_ratio:
        assert size_factor(low, MARGIN) == 1
    if low <= MARGIN.headroom_reduce_only_ratio:
        assert size_factor(low, MARGIN) == 0


def test_sizes_fall_in_a_line_and_in_steps() -> None:
    assert size_factor(dec("0.3"), MARGIN) == Fraction(1, 2)
    assert size_factor(dec("0.25"), MARGIN) == Fraction(1, 4)
    assert size_factor(dec("0.3001"), MARGIN) == Fraction(1, 2), f"not smaller steps than 1/{FACTOR_PARTS}"


def test_a_change_of_step_is_told_once() -> None:
    account = Margin(MARGIN)
    assert account.read(reading("0.9")) == []
    (note,) = account.read(reading("0.45"))
    assert note == "margin headroom is 45.0 % of equity: below headroom_warn_ratio"
    assert account.read(reading("0.46")) == []
    (note,) = account.read(reading("0.9"))
    assert note == "margin headroom is 90.0 % of equity: sizes are whole"


def test_the_last_step_takes_two_readings_in_a_row() -> None:
    """One figure that a site got wrong sells nobody out: until the next only exits are left, and that comes at once."""
    account = Margin(MARGIN)
    account.read(reading("0.01"))
    assert (account.step, account.lost, account.read_due) == (Step.REDUCE_ONLY, "", True)
    account.read(reading("0.9"))
    assert (account.step, account.low_readings) == (Step.AMPLE, 0)
    account.read(reading("0.01"))
    account.read(reading("0.01"))
    assert account.step is Step.FLATTEN
    assert account.lost == "1.0 % of equity is free, headroom_flatten_ratio is 10.0 %"


# -- the gate


@given(
    free=st.decimals(min_value=-100, max_value=100_000, places=5),
    lot=st.decimals(min_value="0.00001", max_value=100, places=5),
)
@quick
def test_lots_fit_exactly_and_one_more_does_not(free: Decimal, lot: Decimal) -> None:
    lots = whole_lots(free, lot)
    assert lots * lot <= max(Decimal(0), free)
    assert (lots + 1) * lot > free


def test_without_a_price_nothing_fits() -> None:
    assert whole_lots(dec("100"), dec("0")) == 0


@given(
    headroom=st.decimals(min_value="0.2", max_value=1, places=3),
    equity=st.integers(10, 5_000),
    start=st.tuples(st.integers(-150, 150), st.integers(-150, 150)),
    turns=st.lists(st.tuples(st.sampled_from((BTC, ETH)), st.integers(-40, 40)), max_size=8),
)
@thorough
def test_the_sum_over_all_markets_fits_whatever_was_placed_before(
    headroom: Decimal, equity: int, start: tuple[int, int], turns: list[tuple[str, int]]
) -> None:
    """S7, checklist 7 and 8: each new ladder, with all that rests beside it, fits into what is free less the reserve.

    Replaced ladders still count, as they may still fill; only what positions alone take may be more.
    """
    desk = Desk.of(market(BTC), market(ETH))
    held = [at_position(lots, market_id=name) for name, lots in zip((BTC, ETH), start, strict=True) if lots]
    desk.baseline(positions=tuple(held))
    for name in (BTC, ETH):
        desk.snapshot(name, positions=tuple(one for one in held if one.market_id == name))
        desk.stats(market_id=name)
        desk.reference(market_id=name)
    desk.balance(str(headroom * equity), str(equity))
    account = desk.engine.margin
    for name, move in turns:
        desk.now += 0.3
        desk.reference(500_000 + 100 * move, market_id=name)
        desk.delta(name)
        action = desk.decide()
        if not isinstance(action, PlaceLadder):
            continue
        assert account.reading is not None
        needs = {
            each.market_id: account.need(
                each.market_id, desk.engine.lot_margin(each, desk.now), worst_lots(each.account)
            )
            for each in desk.engine.markets.values()
        }
        free = account.reading.equity * (account.reading.headroom - MARGIN.margin_reserve_ratio)
        adding = [order for order in action.orders if not order.reduce_only]
        if adding:
            assert needs[action.market_id] <= max(Decimal(0), free - sum(needs.values()) + needs[action.market_id])
        desk.placed(action)


def test_outer_levels_go_first() -> None:
    """Checklist 8: room for 16 lots a side, two ladders counted: 10 and 6 of three levels of 10."""
    desk = Desk.ready()
    # 33 lots at 2.5 = 82.5 beyond a reserve of 100; each ladder takes at most half, for it will be replaced.
    account = desk.engine.margin
    account.read(attrs.evolve(reading("0.1825", equity="1000"), at=desk.now))
    account.step, account.factor = Step.AMPLE, Fraction(1)
    assert told(desk.decide()) == "place BTC-PERP (nothing rests): buy 10@499749 6@499649 | sell 10@500251 6@500351"


def test_half_the_headroom_between_the_steps_is_half_the_size() -> None:
    desk = Desk.ready()
    desk.balance("3000", "10000")
    action = desk.place()
    assert told(action) == "place BTC-PERP (nothing rests): buy 10@499749 5@499649 | sell 10@500251 5@500351"


def test_the_side_that_reduces_keeps_its_size() -> None:
    """Long 40: asks up to 40 reduce; of what they would add beyond it the shrunk size is left."""
    desk = holding(40)
    desk.balance("2500", "10000")
    action = desk.place()
    assert lots_of(action, Side.SELL) == 30
    assert lots_of(action, Side.BUY) == 7


@given(
    position=st.integers(-200, 200),
    headroom=st.decimals(min_value="-0.2", max_value=1, places=3),
    less=st.decimals(min_value="-0.2", max_value=1, places=3),
)
@thorough
def test_less_headroom_never_means_a_larger_ladder(position: int, headroom: Decimal, less: Decimal) -> None:
    """Checklist 8: on either side, wherever the position is."""
    low, high = sorted((headroom, less))
    sizes = []
    for each in (low, high):
        desk = holding(position)
        account = desk.engine.margin
        account.reading = None
        account.step = Step.AMPLE
        account.read(attrs.evolve(reading(each), stakes={BTC: Stake(MARGIN_A_LOT, abs(position), 0)}))
        action = desk.decide()
        sizes.append([lots_of(action, side) if isinstance(action, PlaceLadder) else 0 for side in Side])
    adding = [index for index, side in enumerate(Side) if side.sign * position >= 0]
    for index in adding:
        assert sizes[0][index] <= sizes[1][index]


def test_below_reduce_only_exits_alone_are_left() -> None:
    """PRICING's third step: the reducing side, reduce-only, never more than the position."""
    desk = holding(15)
    desk.balance("1500", "10000")
    action = desk.place()
    assert told(action) == "place BTC-PERP (nothing rests) reduce-only: sell 10@500214 5@500314"
    assert {order.reduce_only for order in action.orders} == {True}


def test_below_reduce_only_a_flat_account_is_pulled_and_says_why() -> None:
    desk = quoted()
    desk.balance("1500", "10000")
    desk.now += 0.3
    action = desk.place()
    assert action.orders == ()
    desk.placed(action)
    desk.delta()
    desk.later(0.3, alive=False)
    assert isinstance(desk.decide(), Wait)
    assert why_not(desk) == "margin headroom is 15.8 % of equity: only what reduces a position is quoted"


def test_a_balance_out_of_date_adds_nothing_until_it_is_read() -> None:
    """Margin of a minute ago is no margin: exits alone, with the sentence; then whole again."""
    desk = quoted()
    for _ in range(46):
        desk.later(1, money=False)
        desk.reference()
    action = desk.place()
    assert action.orders == ()
    desk.placed(action)
    desk.delta()
    desk.now += 0.3
    assert isinstance(desk.decide(), Wait)
    assert "the balance has not been read for 4" in why_not(desk)
    desk.balance()
    assert lots_of(desk.place()) == 60


def test_the_balance_is_out_of_date_only_after_a_failed_poll() -> None:
    """What relations ask for follows from how often the balance is read."""
    assert margin.BALANCE_READ_SECONDS_MAX == feeds.BALANCE_SECONDS + feeds.READ_SECONDS_MAX


def test_a_ladder_that_does_not_fit_is_refused_whoever_built_it() -> None:
    account = MarketAccount(spec())
    ladder = Ladder((Level(499_749, 10),), (Level(500_251, 10),))
    assert refusal(ladder, account, Allowed(lots_max=10)) == ""
    assert refusal(ladder, account, Allowed(lots_max=9)) == "worst case 10 lots on the buy side, margin is there for 9"
    assert refusal(ladder, account, Allowed(reducing_only=True)) == "only reduce-only orders may be sent"
    account.position_lots = account.position_summed_lots = 20
    only = exits(ladder, account)
    assert only == Ladder((), (Level(500_251, 10),), reduce_only=Side.SELL)
    assert refusal(only, account, Allowed(lots_max=0, reducing_only=True)) == ""
    assert refusal(ladder, account, Allowed(lots_max=0)).startswith("worst case 30 lots on the buy side")


@given(
    position=st.integers(-100, 100),
    lots_max=st.none() | st.integers(0, 100),
    factor=st.integers(0, FACTOR_PARTS),
    reducing_only=st.booleans(),
    room=st.integers(0, 60),
)
@thorough
def test_room_always_passes_the_check_that_follows(
    position: int, lots_max: int | None, factor: int, reducing_only: bool, room: int
) -> None:
    account = MarketAccount(spec(), position_lots=position, position_summed_lots=position)
    allowed = Allowed(Fraction(factor, FACTOR_PARTS), lots_max, reducing_only)
    sizes = {side: side_room(account, side, allowed, 30, room) for side in Side}
    sides = {side: (Level(1 if side is Side.BUY else 9, lots),) if lots else () for side, lots in sizes.items()}
    ladder = Ladder(sides[Side.BUY], sides[Side.SELL])
    if reducing_only:
        ladder = exits(ladder, account)
        assert ladder.lots(Side.BUY) + ladder.lots(Side.SELL) <= abs(position)
    assert refusal(ladder, account, allowed) == ""


# -- the last step


def test_too_little_headroom_with_a_position_stops_for_a_person() -> None:
    """Checklist 8 and 16: pulled, latched, and its row lets positions be closed."""
    desk = holding(40)
    desk.quote()
    assert desk.balance("500", "10000") is None
    trip = desk.balance("500", "10000")
    assert trip is not None
    assert trip.reason is Reason.MARGIN_HEADROOM
    assert trip.reason.latched
    assert trip.reason.value.closes


def test_without_a_position_nothing_can_be_lost_and_nothing_ends() -> None:
    desk = Desk.ready()
    assert [desk.balance("0", "0") for _ in range(3)] == [None, None, None]
    assert isinstance(desk.decide(), Wait)


def test_equity_that_is_not_stated_is_balance_and_unrealised_profit() -> None:
    desk = holding(40)
    desk.stats("51000")
    desk.reference(510_000)
    desk.apply(BalanceRead(dec("10000"), dec("9000")))
    assert desk.engine.margin.reading is not None
    assert desk.engine.margin.reading.equity == 10_040


def test_a_fill_since_the_reading_takes_its_margin() -> None:
    """What was filled after the balance was read is not in it: it counts as if it still had to be paid for."""
    desk = Desk.ready()
    desk.balance("10000", "10000")
    each = desk.market()
    before = desk.engine.allowed(each, desk.now).lots_max
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    assert desk.engine.allowed(each, desk.now).lots_max == before
    assert before is not None
    assert desk.engine.margin.need(BTC, MARGIN_A_LOT, worst_lots(each.account)) == 10 * MARGIN_A_LOT
