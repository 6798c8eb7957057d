"""Risk: each limit refuses by itself, nothing else makes an ApprovedLadder, and the worst case holds throughout."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maker.desk.account import FILL_REPORT_SECONDS_MAX, MarketAccount
from maker.desk.events import Fill, LevelOrder, PlacedOrder
from maker.desk.fair import FairValue
from maker.desk.ladder import Ladder, Level
from maker.desk.risk import (
    AccountLimits,
    ApprovedLadder,
    Limits,
    Refused,
    Surroundings,
    approve,
    cap_lots,
    room_lots,
)
from maker.desk.units import SUBTICKS, Side

from .scripted import (
    ALL_MARKETS,
    BTC,
    FAIR_TICKS,
    LIMITS,
    START,
    START_MS,
    a_fill,
    at_position,
    dec,
    fair_at,
    quick,
    resting,
    spec,
    thorough,
)

ALONE = Surroundings(
    best_bid_of_others=None,
    best_ask_of_others=None,
    other_markets_value=Decimal(0),
    index_subticks=FAIR_TICKS * SUBTICKS,
    earlier_subticks=None,
)
LIMIT = 200  # lots, of LIMITS
OPEN_MAX = 400  # lots, of LIMITS
BIDS = (Level(499_750, 10), Level(499_650, 10))
ASKS = (Level(500_250, 10), Level(500_350, 10))
GOOD = Ladder(BIDS, ASKS)


def an_account(position: int = 0, *, lots_min: int = 1, low: int = 1, high: int = 10**6) -> MarketAccount:
    account = MarketAccount(spec(lots_min=lots_min, band=(low, high)))
    account.position_lots = account.position_summed_lots = position
    return account


def verdict(
    ladder: Ladder,
    *,
    account: MarketAccount | None = None,
    fair: FairValue | None = None,
    limits: Limits = LIMITS,
    all_markets: AccountLimits = ALL_MARKETS,
    around: Surroundings = ALONE,
) -> str:
    """Empty when approved, else the reason."""
    answer = approve(ladder, account or an_account(), fair or fair_at(), limits, all_markets, around)
    if isinstance(answer, Refused):
        assert answer.reason
        return answer.reason
    assert answer.ladder == ladder
    return ""


def bid(*levels: tuple[int, int]) -> Ladder:
    return Ladder(tuple(Level(*level) for level in levels), ())


def ask(*levels: tuple[int, int]) -> Ladder:
    return Ladder((), tuple(Level(*level) for level in levels))


def test_a_good_ladder_and_an_empty_one_pass() -> None:
    assert verdict(GOOD) == ""
    assert verdict(Ladder((), ())) == ""


# -- each line of `approve` by itself: refused, and one step inside it approved


@pytest.mark.parametrize(("ask_ticks", "refused"), [(499_750, True), (499_749, True), (499_751, False)])
def test_own_bid_below_own_ask(ask_ticks: int, refused: bool) -> None:
    """S8, row 17: no crossed ladder, no self-trade."""
    assert ("own best bid" in verdict(Ladder(BIDS, (Level(ask_ticks, 10),)))) is refused


@pytest.mark.parametrize(("best", "refused"), [(499_750, True), (499_700, True), (499_751, False)])
def test_a_bid_below_other_peoples_ask(best: int, refused: bool) -> None:
    """S8: post-only never crosses the book the decision saw."""
    assert ("bid would cross" in verdict(GOOD, around=attrs.evolve(ALONE, best_ask_of_others=best))) is refused


@pytest.mark.parametrize(("best", "refused"), [(500_250, True), (500_300, True), (500_249, False)])
def test_an_ask_above_other_peoples_bid(best: int, refused: bool) -> None:
    assert ("ask would cross" in verdict(GOOD, around=attrs.evolve(ALONE, best_bid_of_others=best))) is refused


@pytest.mark.parametrize(("lots", "refused"), [(0, True), (-5, True), (4, True), (5, False)])
def test_the_minimum_size(lots: int, refused: bool) -> None:
    """S8: 0 < size, and never below the market's minimum."""
    assert ("minimum" in verdict(bid((499_750, lots)), account=an_account(lots_min=5))) is refused


def test_a_size_is_positive_even_without_a_minimum() -> None:
    assert "minimum" in verdict(bid((499_750, 0)), account=an_account(lots_min=0))


@pytest.mark.parametrize(("lots", "refused"), [(51, True), (50, False)])
def test_the_largest_order(lots: int, refused: bool) -> None:
    """Row 1: order_size_max is 0.050."""
    assert ("order_size_max" in verdict(ask((500_250, lots)))) is refused


@pytest.mark.parametrize(("value_max", "refused"), [("499.749", True), ("499.75", False)])
def test_the_most_valuable_order(value_max: str, refused: bool) -> None:
    """Row 1: 10 lots at 499750 ticks are 499.75."""
    limits = attrs.evolve(LIMITS, order_value_max=dec(value_max))
    assert ("order_value_max" in verdict(bid((499_750, 10)), limits=limits)) is refused


@pytest.mark.parametrize(
    ("low", "high", "refused"), [(499_651, 10**6, True), (1, 500_349, True), (499_650, 500_350, False)]
)
def test_the_band(low: int, high: int, refused: bool) -> None:
    assert ("band" in verdict(GOOD, account=an_account(low=low, high=high))) is refused


@pytest.mark.parametrize("ladder", [bid((495_000, 1)), ask((505_000, 1))])
def test_the_collar(ladder: Ladder) -> None:
    """Row 2, S8: 100 bp around fair is 5000 ticks: at it approved, a tick further refused, on both sides."""
    assert verdict(ladder) == ""
    outward = -1 if ladder.bids else 1
    level = (ladder.bids or ladder.asks)[0]
    moved = (Level(level.ticks + outward, 1),)
    assert "collar" in verdict(Ladder(moved, ()) if ladder.bids else Ladder((), moved))


@pytest.mark.parametrize(("index_ticks", "refused"), [(492_499, True), (492_500, False), (None, True)])
def test_row_2_the_collar_around_the_exchanges_index(index_ticks: int | None, refused: bool) -> None:
    """S8: 150 bp above an index of 492500 are 499887: the bids fit, and fair value alone is not believed."""
    index = None if index_ticks is None else index_ticks * SUBTICKS
    limits = attrs.evolve(LIMITS, index_collar_bps=dec("152.3"))  # 500000.7
    ladder = bid((500_000, 1))
    around = attrs.evolve(ALONE, index_subticks=index)
    assert ("the exchange's index" in verdict(ladder, limits=limits, around=around)) is refused


@pytest.mark.parametrize(("earlier_ticks", "refused"), [(480_768, True), (480_770, False), (None, False)])
def test_row_2_the_collar_over_a_window(earlier_ticks: int | None, refused: bool) -> None:
    """A price 400 bp from the fair value of 20 s ago is refused, however near it is to the fair value of now."""
    earlier = None if earlier_ticks is None else earlier_ticks * SUBTICKS
    reason = verdict(bid((500_000, 1)), around=attrs.evolve(ALONE, earlier_subticks=earlier))
    assert ("fair value of 20 s ago" in reason) is refused


def test_a_price_through_fair_is_held_by_the_collar_too() -> None:
    assert "collar" in verdict(bid((505_001, 1)))
    assert "collar" in verdict(ask((494_999, 1)))


@pytest.mark.parametrize(
    "ladder",
    [
        bid((499_650, 1), (499_750, 1)),
        bid((499_650, 1), (499_650, 1)),
        ask((500_350, 1), (500_250, 1)),
        ask((500_250, 1), (500_250, 1)),
    ],
)
def test_levels_go_outward(ladder: Ladder) -> None:
    assert "outward" in verdict(ladder)


@pytest.mark.parametrize(("side", "position"), [(Side.BUY, 185), (Side.SELL, -185)])
def test_the_position_limit_counts_the_ladder(side: Side, position: int) -> None:
    """S7: 185 and 16 are above 200, 185 and 15 are at it."""
    level = {Side.BUY: bid, Side.SELL: ask}[side]
    ticks = 499_750 if side is Side.BUY else 500_250
    assert "above the limit" in verdict(level((ticks, 16)), account=an_account(position))
    assert verdict(level((ticks, 15)), account=an_account(position)) == ""


@pytest.mark.parametrize("place", ["pending", "resting", "superseded"])
def test_the_position_limit_counts_what_may_still_fill(place: str) -> None:
    """S7, row 5: an order counts from when it leaves until it is known to be gone."""
    account = an_account(100)
    account.begin("q1", [LevelOrder("a", Side.BUY, 499_750, 90, reduce_only=False)])
    if place != "pending":
        account.placed((PlacedOrder("a", None, resting=True),), START_MS, START)
    if place == "superseded":
        account.begin("q2", [])
        account.placed((), START_MS, START)
    assert "above the limit" in verdict(bid((499_750, 11)), account=account)
    assert verdict(bid((499_750, 10)), account=account) == ""


def test_of_two_positions_the_worse_counts() -> None:
    account = an_account(185)
    account.position_summed_lots = 0
    assert "above the limit" in verdict(bid((499_750, 16)), account=account)
    account.position_lots, account.position_summed_lots = 0, 185
    assert "above the limit" in verdict(bid((499_750, 16)), account=account)


def test_a_position_beyond_the_limit_still_lets_the_other_side_reduce() -> None:
    """Beyond the limit nothing adds; what reduces passes, reduce-only or not."""
    account = an_account(205)
    assert "above the limit" in verdict(bid((499_750, 1)), account=account)
    assert verdict(ask((500_250, 10)), account=account) == ""
    assert verdict(attrs.evolve(ask((500_250, 50)), reduce_only=Side.SELL), account=account) == ""


@pytest.mark.parametrize(
    ("position", "side", "refused"),
    [
        (12, Side.SELL, False),
        (11, Side.SELL, True),
        (-12, Side.BUY, False),
        (-11, Side.BUY, True),
        (0, Side.BUY, True),
        (12, Side.BUY, True),
    ],
)
def test_reduce_only_never_adds_up_to_more_than_the_position(position: int, side: Side, refused: bool) -> None:
    ladder = bid((499_750, 6), (499_650, 6)) if side is Side.BUY else ask((500_250, 6), (500_350, 6))
    reason = verdict(attrs.evolve(ladder, reduce_only=side), account=an_account(position))
    assert ("more than the position" in reason) is refused


def test_the_account_value_cap_counts_the_other_markets() -> None:
    """Row 7: 20 lots at 50000 are 1000; with 29000 elsewhere it fits 30000, with a cent more it does not."""
    assert verdict(GOOD, around=attrs.evolve(ALONE, other_markets_value=dec("29000"))) == ""
    assert "value_max" in verdict(GOOD, around=attrs.evolve(ALONE, other_markets_value=dec("29000.01")))


def test_the_account_value_cap_counts_the_position() -> None:
    """150 lots are 7500, and 20 more 8500."""
    cap = attrs.evolve(ALL_MARKETS, value_max=dec("8500"))
    assert verdict(GOOD, account=an_account(150), all_markets=cap) == ""
    assert "value_max" in verdict(
        GOOD, account=an_account(150), all_markets=attrs.evolve(ALL_MARKETS, value_max=dec("8499.99"))
    )


@pytest.mark.parametrize("position", [150, -150])
def test_above_the_value_cap_what_only_reduces_still_passes(position: int) -> None:
    """The price rose or another market grew: the way down must stay open, with nothing on the side that adds."""
    ladder = ask((500_250, 10)) if position > 0 else bid((499_750, 10))
    assert (
        verdict(ladder, account=an_account(position), all_markets=attrs.evolve(ALL_MARKETS, value_max=dec("7000")))
        == ""
    )


def test_a_reduce_only_side_does_not_excuse_the_other_one_from_the_value_cap() -> None:
    """Long 20 with exits for 20, and bids for 20 beside them: the bids add, so the cap counts."""
    ladder = attrs.evolve(GOOD, reduce_only=Side.SELL)
    assert "value_max" in verdict(
        ladder, account=an_account(20), all_markets=attrs.evolve(ALL_MARKETS, value_max=dec("1999"))
    )


@pytest.mark.parametrize("place", ["pending", "resting", "superseded"])
def test_row_1_the_open_size_of_a_side_counts_what_may_still_fill(place: str) -> None:
    """What rests, is in flight, or was replaced and is not known to be gone, and the new ladder, on one side."""
    limits = attrs.evolve(LIMITS, open_size_max=dec("0.060"))
    account = an_account(-100)
    account.begin("q1", [LevelOrder("a", Side.BUY, 499_750, 50, reduce_only=False)])
    if place != "pending":
        account.placed((PlacedOrder("a", None, resting=True),), START_MS, START)
    if place == "superseded":
        account.begin("q2", [])
        account.placed((), START_MS, START)
    assert "open_size_max" in verdict(bid((499_750, 11)), account=account, limits=limits)
    assert verdict(bid((499_750, 10)), account=account, limits=limits) == ""
    assert verdict(ask((500_250, 50)), account=account, limits=limits) == "", "the other side has its own"
    only = attrs.evolve(bid((499_750, 11)), reduce_only=Side.BUY)
    assert "open_size_max" in verdict(only, account=account, limits=limits), "exits are orders too"


@pytest.mark.parametrize(("side", "position"), [(Side.BUY, 100), (Side.SELL, -100)])
def test_row_1_the_value_of_a_markets_worst_case(side: Side, position: int) -> None:
    """110 lots at 50000 are 5500."""
    ladder = bid((499_750, 10)) if side is Side.BUY else ask((500_250, 10))
    other = ask((500_250, 10)) if side is Side.BUY else bid((499_750, 10))
    tight = attrs.evolve(LIMITS, position_value_max=dec("5499.99"))
    assert "position_value_max" in verdict(ladder, account=an_account(position), limits=tight)
    assert (
        verdict(ladder, account=an_account(position), limits=attrs.evolve(tight, position_value_max=dec("5500"))) == ""
    )
    assert verdict(other, account=an_account(position), limits=tight) == "", "the way down stays open"


def test_row_22_the_ramp_holds_what_adds_and_never_what_reduces() -> None:
    """A tenth of 200 lots, of 30000 of the market, and of 30000 of the account."""
    early = attrs.evolve(ALONE, ramp=dec("0.1"))
    assert verdict(bid((499_750, 20)), around=early) == ""
    assert "above the limit of 20" in verdict(bid((499_750, 21)), around=early)
    rich = attrs.evolve(LIMITS, position_value_max=dec("9999.99"))
    assert "position_value_max" in verdict(bid((499_750, 20)), limits=rich, around=early)
    crowded = attrs.evolve(early, other_markets_value=dec("2500"))
    assert "value_max" in verdict(bid((499_750, 11)), around=crowded)
    assert verdict(ask((500_250, 50)), account=an_account(50), around=early) == ""
    assert verdict(attrs.evolve(ask((500_250, 50)), reduce_only=Side.SELL), account=an_account(205), around=early) == ""
    assert "above the limit" in verdict(ask((500_250, 50)), account=an_account(29), around=early), "it would add 21"


# -- whatever the account, approved means within every limit

lots_of_orders = st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 150)), max_size=3)
levels_of_a_side = st.lists(st.integers(1, 150), max_size=3)
values = st.sampled_from(["1000", "5000", "8000", "20000", "30000"])


@st.composite
def accounts(draw: st.DrawFn) -> MarketAccount:
    """Any position, told and summed, with orders superseded, resting and in flight."""
    account = an_account()
    account.position_lots, account.position_summed_lots = draw(st.integers(-250, 250)), draw(st.integers(-250, 250))
    if draw(st.booleans()):
        account.position_summed_lots = account.position_lots
    for quote_id in ("gone", "resting", "sent"):
        levels = draw(lots_of_orders)
        account.begin(
            quote_id,
            [
                LevelOrder(f"{quote_id}{n}", side, FAIR_TICKS - side.sign * (100 + n), lots, reduce_only=False)
                for n, (side, lots) in enumerate(levels)
            ],
        )
        if quote_id != "sent":
            placed = tuple(PlacedOrder(f"{quote_id}{n}", None, resting=True) for n in range(len(levels)))
            account.placed(placed, START_MS, START)
    return account


@given(
    account=accounts(),
    sizes=st.tuples(levels_of_a_side, levels_of_a_side),
    only=st.sampled_from([None, None, Side.BUY, Side.SELL]),
    caps=st.tuples(values, values, values),
    open_max=st.sampled_from([50, 150, 300, OPEN_MAX]),
    ramp=st.sampled_from(["0.1", "0.5", "1"]),
)
@thorough
def test_s7_rows_5_and_7_approved_means_within_every_cap_and_refused_means_beyond_one(
    account: MarketAccount,
    sizes: tuple[list[int], list[int]],
    only: Side | None,
    caps: tuple[str, str, str],
    open_max: int,
    ramp: str,
) -> None:
    """S7: reckoned again from the orders themselves, in another way: per side, market and account, size and value."""
    limits = attrs.evolve(
        LIMITS,
        order_size_max=dec("1"),
        order_value_max=dec("100000"),
        open_size_max=dec("0.001") * open_max,
        position_value_max=dec(caps[0]),
    )
    all_markets = attrs.evolve(ALL_MARKETS, value_max=dec(caps[1]))
    around = attrs.evolve(ALONE, other_markets_value=dec(caps[2]) / 2, ramp=dec(ramp))
    ladder = Ladder(
        tuple(Level(499_000 - n, lots) for n, lots in enumerate(sizes[0])),
        tuple(Level(501_000 + n, lots) for n, lots in enumerate(sizes[1])),
        reduce_only=only,
    )
    approved = verdict(ladder, account=account, limits=limits, all_markets=all_markets, around=around) == ""

    within = True
    everything = [*account.superseded.values(), *account.resting.values(), *account.pending.values()]
    for side in Side:
        new = sum(level.lots for level in ladder.side(side))
        if not new:
            continue
        open_lots = new + sum(order.lots for order in everything if order.side is side)
        within = within and open_lots <= open_max
        if only is side:
            within = within and new <= max(0, -side.sign * account.position_lots)
            continue
        for position in (account.position_lots, account.position_summed_lots):
            worst = side.sign * position + open_lots
            if worst > 0:
                within = within and worst <= LIMIT * dec(ramp)
                within = within and worst * 50 <= dec(caps[0]) * dec(ramp)
                within = within and worst * 50 + dec(caps[2]) / 2 <= dec(caps[1]) * dec(ramp)
    assert approved == within


@given(account=accounts(), caps=st.tuples(values, values, values), ramp=st.sampled_from(["0.1", "0.5", "1"]))
@thorough
def test_s7_what_fits_the_room_is_approved_and_so_is_its_replacement(
    account: MarketAccount, caps: tuple[str, str, str], ramp: str
) -> None:
    """A ladder of all the room is within every cap; so is the next one beside it, should all of the first be open."""
    limits = attrs.evolve(
        LIMITS, order_size_max=dec("1"), order_value_max=dec("100000"), position_value_max=dec(caps[0])
    )
    all_markets = attrs.evolve(ALL_MARKETS, value_max=dec(caps[1]))
    around = attrs.evolve(ALONE, other_markets_value=dec(caps[2]) / 2, ramp=dec(ramp))
    account.not_placed()
    for turn in range(3):
        cap = cap_lots(account, fair_at(), limits, all_markets, around)
        orders = [
            LevelOrder(f"{side.value}{turn}", side, FAIR_TICKS - side.sign * 1000, lots, reduce_only=False)
            for side in Side
            if (lots := room_lots(account, limits, side, cap))
        ]
        sides = {side: tuple(Level(one.ticks, one.lots) for one in orders if one.side is side) for side in Side}
        ladder = Ladder(sides[Side.BUY], sides[Side.SELL])
        assert verdict(ladder, account=account, limits=limits, all_markets=all_markets, around=around) == ""
        account.begin(f"q{turn}", orders)
        names = tuple(PlacedOrder(order.client_order_id, None, resting=True) for order in orders)
        account.placed(names, START_MS, START)


# -- the seal


def test_only_approve_makes_an_approved_ladder() -> None:
    """What must be checked has a type only the check can make."""
    for seal in (None, object(), True, "approved"):
        with pytest.raises(AssertionError, match="only risk"):
            ApprovedLadder(GOOD, seal=seal)
    with pytest.raises(TypeError):
        ApprovedLadder(GOOD)  # type: ignore[call-arg]


def test_an_approved_ladder_cannot_be_changed() -> None:
    approved = approve(GOOD, an_account(), fair_at(), LIMITS, ALL_MARKETS, ALONE)
    assert isinstance(approved, ApprovedLadder)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        approved.ladder = Ladder((), ())  # type: ignore[misc]
    with pytest.raises((AssertionError, TypeError)):
        attrs.evolve(approved, ladder=bid((1, 10**6)))


def test_limits_cannot_be_raised_while_running() -> None:
    """Row 28: no setter, for none of them."""
    for limits in (LIMITS, ALL_MARKETS):
        for field in attrs.fields(type(limits)):
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(limits, field.name, dec("1000"))


# -- room


def test_room_is_half_of_what_is_left_so_that_a_ladder_and_its_replacement_fit() -> None:
    account = an_account(40)
    assert room_lots(account, LIMITS, Side.BUY, LIMIT) == 80
    assert room_lots(account, LIMITS, Side.SELL, LIMIT) == 120
    account.begin("q1", [LevelOrder("a", Side.BUY, 499_750, 80, reduce_only=False)])
    assert room_lots(account, LIMITS, Side.BUY, LIMIT) == 80
    account.placed((PlacedOrder("a", None, resting=True),), START_MS, START)
    account.begin("q2", [LevelOrder("b", Side.BUY, 499_750, 80, reduce_only=False)])
    assert room_lots(account, LIMITS, Side.BUY, LIMIT) == 0


def test_there_is_no_negative_room() -> None:
    assert room_lots(an_account(300), LIMITS, Side.BUY, LIMIT) == 0
    assert room_lots(an_account(-300), LIMITS, Side.SELL, LIMIT) == 0


def test_row_1_room_is_half_of_the_open_size_too() -> None:
    limits = attrs.evolve(LIMITS, open_size_max=dec("0.060"))
    account = an_account()
    assert room_lots(account, limits, Side.BUY, LIMIT) == 30
    account.begin("q1", [LevelOrder("a", Side.BUY, 499_750, 40, reduce_only=False)])
    assert room_lots(account, limits, Side.BUY, LIMIT) == 20
    assert room_lots(account, limits, Side.SELL, LIMIT) == 30


def test_the_cap_is_the_tightest_of_size_value_and_what_the_account_has_left() -> None:
    """A lot is worth 50."""

    def cap(value_max: str, others: str, position_value_max: str, ramp: str = "1") -> int:
        return cap_lots(
            an_account(),
            fair_at(),
            attrs.evolve(LIMITS, position_value_max=dec(position_value_max)),
            attrs.evolve(ALL_MARKETS, value_max=dec(value_max)),
            attrs.evolve(ALONE, other_markets_value=dec(others), ramp=dec(ramp)),
        )

    assert cap("30000", "0", "30000") == LIMIT
    assert cap("30000", "0", "5049.99") == 100
    assert cap("30000", "27500", "30000") == 50
    assert cap("30000", "30000", "30000") == cap("30000", "40000", "30000") == 0
    assert cap("30000", "0", "30000", "0.1") == 20
    assert cap("30000", "2500", "30000", "0.1") == 10


# -- S7 under everything that may happen to orders


SHARES = st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(0), Fraction(11, 10)])


class WorstCase(RuleBasedStateMachine):
    """An account beside a small truth: the exchange, its stream (late, in order), and answers (late, or of any form).

    The truth counts what S7 counts: position, what rests, and what is on the way and may still be applied.
    """

    def __init__(self) -> None:
        super().__init__()
        self.account = an_account()
        self.now, self.exchange_ms = START, START_MS
        self.position = 0
        self.rests: dict[str, tuple[Side, int, int]] = {}  # by name: side, ticks, lots
        self.on_the_way: tuple[LevelOrder, ...] | None = None
        self.applied: tuple[PlacedOrder, ...] | None = None  # the answer, on its way back
        self.applied_ms = 0
        self.stream: deque[tuple[int, Fill | None, int | None]] = deque()  # engine time, fill, position
        self.stream_at: deque[float] = deque()
        self.unstated_at: list[float] = []  # when the exchange told us something without saying as of when
        self.names = 0
        self.with_ids = True

    @initialize(position=st.sampled_from([0, 60, -150]), with_ids=st.booleans())
    def begin(self, position: int, with_ids: bool) -> None:
        self.position = position
        self.with_ids = with_ids
        self.account.position_lots = self.account.position_summed_lots = position

    def emit(self, fill: Fill | None, position: int | None) -> None:
        self.stream.append((self.exchange_ms, fill, position))
        self.stream_at.append(self.now)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.6, 3.0]))
    def time_passes(self, seconds: float) -> None:
        due = [at for at in self.unstated_at if self.now + seconds >= at + FILL_REPORT_SECONDS_MAX]
        while due and self.stream and self.stream_at[0] <= due[-1]:  # the assumption the account names
            self.stream_delivers()
        del self.unstated_at[: len(due)]  # each holds of its own: a later read gives the one before no more time
        self.now += seconds
        self.exchange_ms += int(seconds * 1000)

    @precondition(lambda self: self.on_the_way is None and self.applied is None)
    @rule(share=SHARES, stacked=st.booleans())
    def send(self, share: Fraction, stacked: bool) -> None:
        """Ask for a share of what fits, or for more; risk says whether it may leave."""
        limits = attrs.evolve(LIMITS, order_size_max=dec("1"), order_value_max=dec("100000"))
        buy = max(0, int(share * (LIMIT - self.account.worst_position_lots(Side.BUY))))
        sell = max(0, int(share * (LIMIT + self.account.worst_position_lots(Side.SELL))))
        offset = 0 if stacked else self.names
        ladder = Ladder(
            (Level(499_000 - offset, buy),) if buy else (), (Level(501_000 + offset, sell),) if sell else ()
        )
        if isinstance(approve(ladder, self.account, fair_at(), limits, ALL_MARKETS, ALONE), Refused):
            return
        orders = []
        for side in Side:
            for level in ladder.side(side):
                self.names += 1
                orders.append(LevelOrder(f"o{self.names}", side, level.ticks, level.lots, reduce_only=False))
        self.account.begin(f"q{self.names}", orders)
        self.on_the_way = tuple(orders)

    @precondition(lambda self: self.on_the_way is None and self.applied is None)
    @rule(form=st.sampled_from(["whole", "whole", "no time", "no names"]), share=SHARES, stacked=st.booleans())
    def replace(self, form: str, share: Fraction, stacked: bool) -> None:
        """A whole replace at once."""
        self.send(share=share, stacked=stacked)
        if self.on_the_way is not None:
            self.arrives(accepted=True, at_once=False)
            self.answered(form=form)

    @precondition(lambda self: self.on_the_way is not None)
    @rule(accepted=st.booleans(), at_once=st.booleans())
    def arrives(self, accepted: bool, at_once: bool) -> None:
        """The exchange applies the replace, or refuses it and says so."""
        orders, self.on_the_way = self.on_the_way, None
        assert orders is not None
        if not accepted:
            self.account.not_placed()
            return
        self.exchange_ms += 1
        self.rests = {order.client_order_id: (order.side, order.ticks, order.lots) for order in orders}
        answer = []
        for order in orders:
            name = order.client_order_id
            if at_once and order.side is Side.BUY:
                self.trade(name, order.lots)
            answer.append(PlacedOrder(name, f"id-{name}", resting=name in self.rests))
        self.applied, self.applied_ms = tuple(answer), self.exchange_ms

    @precondition(lambda self: self.applied is not None)
    @rule(form=st.sampled_from(["whole", "whole", "no time", "no names"]))
    def answered(self, form: str) -> None:
        answer, self.applied = self.applied, None
        effect_ms = None if form == "no time" else self.applied_ms
        if form != "whole":
            self.unstated_at.append(self.now)  # only the assumed delay is left to go by
        complete = self.account.placed(None if form == "no names" else answer, effect_ms, self.now)
        assert complete or form == "no names"
        if not complete:
            self.read()

    def trade(self, name: str, lots: int) -> None:
        side, ticks, open_lots = self.rests.pop(name)
        lots = min(lots, open_lots)
        if open_lots > lots:
            self.rests[name] = (side, ticks, open_lots - lots)
        self.position += side.sign * lots
        self.names += 1
        fill = a_fill(f"t{self.names}", side, lots, ticks=ticks, client_order_id=name if self.with_ids else None)
        self.emit(attrs.evolve(fill, at_ms=self.exchange_ms), None)
        self.emit(None, self.position)

    @precondition(lambda self: self.rests)
    @rule(data=st.data(), lots=st.sampled_from([1, 30, LIMIT]))
    def fills(self, data: st.DataObject, lots: int) -> None:
        self.exchange_ms += 1
        self.trade(data.draw(st.sampled_from(sorted(self.rests))), lots)

    @rule()
    def book_changes(self) -> None:
        self.exchange_ms += 1
        self.emit(None, None)

    @precondition(lambda self: self.stream)
    @rule()
    def stream_delivers(self) -> None:
        engine_ms, fill, position = self.stream.popleft()
        self.stream_at.popleft()
        if fill is not None:
            self.account.fill(fill)
        if position is not None:
            if position:
                self.account.position(at_position(position))
            else:
                self.account.positions_removed(["p1"])
        self.account.heard(engine_ms, self.now)

    @precondition(lambda self: self.on_the_way is None and self.applied is None)
    @rule()
    def read(self) -> None:
        """What rests is read back; the stream may be behind it, by no more than the assumed delay."""
        self.unstated_at.append(self.now)
        read = resting([(name, *details) for name, details in self.rests.items()])
        if self.with_ids:  # without ids a finished order cannot be told from another one
            assert self.account.orders_read(read, self.now) == ()
        else:
            self.account.orders_read(read, self.now)

    @invariant()
    def the_worst_case_holds(self) -> None:
        """S7: |position + own open + possibly to be applied| <= limit, per side, in truth."""
        for side in Side:
            may = sum(lots for its, _, lots in self.rests.values() if its is side)
            may += sum(order.lots for order in self.on_the_way or () if order.side is side)
            assert not may or side.sign * self.position + may <= LIMIT, f"{side}: {self.position} and {may} more"

    @invariant()
    def what_rests_is_known_to_rest(self) -> None:
        """A resting order we do not count as exposure would be left alone by a trip."""
        if self.rests:
            assert self.account.exposed


WorstCase.TestCase.settings = settings(quick, max_examples=300, stateful_step_count=40)
TestWorstCase = WorstCase.TestCase


def test_the_market_of_the_machine_is_the_market_of_the_figures() -> None:
    """The figures above lean on these two."""
    assert an_account().spec.market_id == BTC
    assert an_account().spec.grid.size.count_down(LIMITS.position_limit) == LIMIT
