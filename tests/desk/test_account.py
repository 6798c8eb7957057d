"""The account: fills once, wherever their order is; what may fill is never counted too small; cash exact."""

from __future__ import annotations

from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk import account as account_room
from maker.desk.account import FILL_REPORT_SECONDS_MAX, MarketAccount, Origin, TradeIds
from maker.desk.events import Fill, LevelOrder, Liquidity, PlacedOrder
from maker.desk.units import BPS, Side

from .scripted import BTC, ETH, START, START_MS, a_fill, at_position, quick, resting, spec

BID, ASK = 499_750, 500_250


def fresh() -> MarketAccount:
    return MarketAccount(spec())


def level(name: str, side: Side = Side.BUY, lots: int = 10, ticks: int | None = None) -> LevelOrder:
    return LevelOrder(
        name, side, ticks if ticks is not None else (BID if side is Side.BUY else ASK), lots, reduce_only=False
    )


def rests(*names: str) -> tuple[PlacedOrder, ...]:
    return tuple(PlacedOrder(name, f"id-{name}", resting=True) for name in names)


def with_ladder(*levels: LevelOrder, quote_id: str = "q1", effect_ms: int | None = START_MS) -> MarketAccount:
    """An account whose one ladder rests."""
    account = fresh()
    replace(account, *levels, quote_id=quote_id, effect_ms=effect_ms)
    return account


def replace(
    account: MarketAccount,
    *levels: LevelOrder,
    quote_id: str = "q2",
    effect_ms: int | None = START_MS,
    now: float = START,
) -> None:
    account.begin(quote_id, levels)
    assert account.placed(rests(*(order.client_order_id for order in levels)), effect_ms, now)


# -- where an order comes from


def test_each_side_counts_its_levels_from_the_inside() -> None:
    """Best level first is 1; a fill finds its place by clientOrderId, by order id, by side and price, or not at all."""
    account = with_ladder(
        level("b1", ticks=BID),
        level("b2", ticks=BID - 10),
        level("a1", Side.SELL),
        level("a2", Side.SELL, ticks=ASK + 10),
    )
    found = {name: account.origin(a_fill(client_order_id=name)) for name in ("b1", "b2", "a1", "a2")}
    assert found == {"b1": Origin("q1", 1), "b2": Origin("q1", 2), "a1": Origin("q1", 1), "a2": Origin("q1", 2)}
    assert account.origin(a_fill(order_id="id-a2")) == Origin("q1", 2)
    assert account.origin(a_fill(ticks=BID - 10)) == Origin("q1", 2)
    assert account.origin(a_fill(ticks=BID - 20)) == Origin()
    assert account.origin(a_fill(client_order_id="nobody")) == Origin()


def test_a_place_in_a_ladder_is_remembered_when_the_order_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: of an order that rests no more too; but not for ever, S23."""
    monkeypatch.setattr(account_room, "ORDERS_REMEMBERED", 3)
    account = with_ladder(level("a"), level("b"))
    account.nothing_rests()
    assert account.origin(a_fill(client_order_id="b")) == Origin("q1", 2)
    replace(account, level("c"), level("d"))
    assert account.origin(a_fill(client_order_id="a")) == Origin()
    assert account.origin(a_fill(client_order_id="d")) == Origin("q2", 2)
    assert len(account.origins) == len(account.asked) == 3


# -- fills


@pytest.mark.parametrize("place", ["pending", "resting", "superseded"])
def test_a_fill_counts_once_wherever_its_order_is(place: str) -> None:
    """F23: before its ladder's answer, while it rests, or reported after its replacement: once, and off its order."""
    account = fresh()
    account.begin("q1", [level("a", lots=10)])
    if place != "pending":
        account.placed(rests("a"), START_MS, START)
    if place == "superseded":
        account.begin("q2", [])
        account.placed((), START_MS + 5, START)
    fill = a_fill("t1", Side.BUY, 4, ticks=BID, client_order_id="a")
    assert account.fill(fill)
    assert not account.fill(fill)
    assert account.position_summed_lots == 4
    assert account.may_fill_lots(Side.BUY) == 6
    assert getattr(account, place)["a"].lots == 6
    assert (account.fills, account.duplicate_fills) == (1, 1)


def test_partial_fills_take_an_order_down_to_nothing() -> None:
    account = with_ladder(level("a", lots=10))
    for index, (lots, left) in enumerate([(3, 7), (3, 4), (4, 0)]):
        assert account.fill(a_fill(f"t{index}", Side.BUY, lots, client_order_id="a"))
        assert account.may_fill_lots(Side.BUY) == left
    assert not account.exposed
    assert account.position_summed_lots == 10


def test_a_fill_before_the_answer_is_not_resurrected_by_it() -> None:
    """F23: the stream is faster than the answer, which still says the filled order rests."""
    account = fresh()
    account.begin("q1", [level("a", lots=10), level("b", lots=10, ticks=BID - 1)])
    account.fill(a_fill("t1", Side.BUY, 10, client_order_id="a"))
    account.fill(a_fill("t2", Side.BUY, 3, client_order_id="b"))
    account.placed(rests("a", "b"), START_MS, START)
    assert account.may_fill_lots(Side.BUY) == 7
    assert set(account.resting) == {"b"}


def test_a_fill_is_matched_by_order_id_where_it_names_no_client_order_id() -> None:
    account = with_ladder(level("a"), level("b"))
    account.fill(a_fill("t1", Side.BUY, 10, ticks=BID, order_id="id-b"))
    assert set(account.resting) == {"a"}


def test_a_fill_without_any_id_is_matched_by_side_and_price() -> None:
    account = with_ladder(level("a"), level("b", ticks=BID - 5), level("c", Side.SELL))
    account.fill(a_fill("t1", Side.BUY, 10, ticks=BID - 5))
    assert set(account.resting) == {"a", "c"}


def test_a_fill_without_ids_is_never_taken_off_the_wrong_order_so_that_less_counts() -> None:
    """S7: old and new order at one price, the old one filled and named nothing. The new one still rests and counts."""
    account = with_ladder(level("old", lots=10))
    replace(account, level("new", lots=10), effect_ms=START_MS + 50)
    account.fill(a_fill("t1", Side.BUY, 10, ticks=BID))  # from before the replace, reported after its answer
    account.heard(START_MS + 100, START + 0.1)
    assert account.may_fill_lots(Side.BUY) == 10
    assert account.exposed


@pytest.mark.parametrize("names", [True, False])
def test_a_fill_without_ids_that_is_told_late_is_not_the_new_ladders(names: bool) -> None:
    """S7, F23, core seeds 5795 and 36792: the stream had passed the replace, and only then told of an older fill."""
    account = with_ladder(level("old", lots=10))
    account.begin("q2", [level("new", lots=10)])
    account.placed(rests("new") if names else None, START_MS + 50, START)
    account.heard(START_MS + 100, START + 0.1)
    assert not account.superseded
    account.fill(attrs.evolve(a_fill("t1", Side.BUY, 4, ticks=BID), at_ms=START_MS + 49))
    assert account.may_fill_lots(Side.BUY) == 10
    account.fill(attrs.evolve(a_fill("t2", Side.BUY, 4, ticks=BID), at_ms=START_MS + 50))
    assert account.may_fill_lots(Side.BUY) == 6


def test_a_fill_without_ids_that_is_told_early_is_not_the_old_ladders() -> None:
    """S6, core seed 38620: both at one price, the fill later than the replace. What it left does not count on."""
    account = with_ladder(level("old", lots=10))
    replace(account, level("new", lots=10), effect_ms=START_MS + 50)
    account.fill(attrs.evolve(a_fill("t1", Side.BUY, 4, ticks=BID), at_ms=START_MS + 51))
    assert account.resting["new"].lots == 6
    assert account.superseded["old"].lots == 10
    account.fill(attrs.evolve(a_fill("t2", Side.BUY, 4, ticks=BID), at_ms=START_MS + 50))
    assert account.superseded["old"].lots == 6, "of that very millisecond: the older one, which counts less long"


@pytest.mark.parametrize("lots", [4, 10], ids=["partly", "whole"])
@pytest.mark.parametrize("names", [True, False])
def test_a_fill_without_ids_that_is_told_before_its_ladders_answer_is_not_the_old_ones(names: bool, lots: int) -> None:
    """S6, core seed 56738: the answer says that the old one was gone by then. What it filled must not count on."""
    account = with_ladder(level("old", lots=10))
    account.begin("q2", [level("new", lots=10)])
    account.fill(attrs.evolve(a_fill("t1", Side.BUY, lots, ticks=BID), at_ms=START_MS + 51))
    assert account.may_fill_lots(Side.BUY) == 20 - lots, "not known yet whose it was"
    account.placed(rests("new") if names else None, START_MS + 50, START)
    assert (account.resting["new"].lots if lots < 10 else len(account.resting)) == 10 - lots
    assert account.superseded["old"].lots == 10, "what may still be told of it"
    account.heard(START_MS + 100, START + 0.1)
    assert account.may_fill_lots(Side.BUY) == 10 - lots


def test_a_fill_without_ids_from_before_the_replace_is_the_old_ones_whenever_it_is_told() -> None:
    """S7: told while the new one was on its way, and older than what it replaced."""
    account = with_ladder(level("old", lots=10))
    account.begin("q2", [level("new", lots=10)])
    account.fill(attrs.evolve(a_fill("t1", Side.BUY, 4, ticks=BID), at_ms=START_MS + 50))
    account.placed(rests("new"), START_MS + 50, START)
    assert (account.superseded["old"].lots, account.resting["new"].lots) == (6, 10)


def test_what_a_refused_ladder_did_not_get_stays_off_the_old_one() -> None:
    """S7: nothing replaced it, so that the fill was its own; the next answer takes nothing back."""
    account = with_ladder(level("old", lots=10))
    account.begin("q2", [level("refused", lots=10)])
    account.fill(attrs.evolve(a_fill("t1", Side.BUY, 4, ticks=BID), at_ms=START_MS + 51))
    account.not_placed()
    assert account.may_fill_lots(Side.BUY) == 6
    account.begin("q3", [level("new", lots=10)])
    account.placed(rests("new"), START_MS + 50, START)
    assert (account.superseded["old"].lots, account.resting["new"].lots) == (6, 10)


def test_a_read_that_crossed_with_a_fill_does_not_bring_it_back() -> None:
    """S6, core seed 47940: read before the fill, answered after it was told by its order's name."""
    account = with_ladder(level("a", lots=10))
    account.fill(a_fill("t1", Side.BUY, 4, ticks=BID, client_order_id="a"))
    account.orders_read(resting([("a", Side.BUY, BID, 10)]), START)
    assert account.resting["a"].lots == 6
    account.heard(None, START + FILL_REPORT_SECONDS_MAX)
    assert account.resting["a"].lots == 6


def test_a_read_that_shows_more_than_a_guess_left_is_believed() -> None:
    """S7: the fill named no order, so it may have been another's."""
    account = with_ladder(level("a", lots=10))
    account.fill(a_fill("t1", Side.BUY, 4, ticks=BID))
    account.orders_read(resting([("a", Side.BUY, BID, 10)]), START)
    assert account.resting["a"].lots == 10


def test_a_fill_of_an_order_we_do_not_know_moves_the_position_only() -> None:
    account = with_ladder(level("a"))
    account.fill(a_fill("t1", Side.BUY, 5, ticks=BID, client_order_id="somebody"))
    assert account.may_fill_lots(Side.BUY) == 10
    assert account.position_summed_lots == 5


def test_trade_ids_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_room, "TRADE_IDS_MAX", 3)
    ids = TradeIds()
    assert all(ids.is_new(each) for each in "abcd")
    assert len(ids.known) == len(ids.order) == 3
    assert not ids.is_new("b")
    assert ids.is_new("a")


fills = st.builds(
    a_fill,
    trade_id=st.sampled_from([f"t{index}" for index in range(12)]),
    side=st.sampled_from(Side),
    lots=st.integers(1, 40),
    ticks=st.integers(1, 900_000),
    liquidity=st.sampled_from(Liquidity),
    client_order_id=st.sampled_from([None, "a", "b"]),
)


@given(
    st.lists(fills, max_size=20),
    st.decimals(-2, 10, places=3).map(str),
    st.decimals(0, 12, places=3).map(str),
)
@quick
def test_cash_fees_and_position_are_exact(sequence: list[Fill], maker_fee_bps: str, taker_fee_bps: str) -> None:
    """Cash = -sum(sign * price * size) - fees, to the last digit, each trade id once; a rebate is a negative fee."""
    account = MarketAccount(spec(maker_fee_bps=maker_fee_bps, taker_fee_bps=taker_fee_bps))
    once: dict[str, Fill] = {}
    for fill in sequence:
        assert account.fill(fill) == (fill.trade_id not in once)
        once.setdefault(fill.trade_id, fill)
    cash = fees = volume = Fraction(0)
    for fill in once.values():
        value = Fraction(fill.ticks, 10) * Fraction(fill.lots, 1000)
        fee = value * Fraction(maker_fee_bps if fill.liquidity is Liquidity.MAKER else taker_fee_bps) / BPS
        cash -= fill.side.sign * value + fee
        fees += fee
        volume += value
    assert (Fraction(account.cash), Fraction(account.fees), Fraction(account.volume)) == (cash, fees, volume)
    assert account.position_summed_lots == sum(fill.side.sign * fill.lots for fill in once.values())
    assert (account.fills, account.duplicate_fills) == (len(once), len(sequence) - len(once))


# -- ladders and what they supersede


def test_a_ladder_counts_from_the_moment_it_leaves() -> None:
    """S7: in flight it may fill already, and counts beside the one it is to replace."""
    account = with_ladder(level("a", lots=10))
    account.begin("q2", [level("b", lots=7), level("c", Side.SELL, lots=3)])
    assert account.may_fill_lots(Side.BUY) == 17
    assert account.may_fill_lots(Side.SELL) == 3
    assert account.exposed


def test_one_write_in_flight_a_market() -> None:
    """A second ladder while one is unanswered is a fault of ours."""
    account = fresh()
    account.begin("q1", [level("a")])
    with pytest.raises(AssertionError, match="in flight"):
        account.begin("q2", [level("b")])


def test_a_superseded_ladder_counts_until_the_stream_has_passed_the_replace() -> None:
    """S7, PRICING: an event from before the effect, or from the very same millisecond, proves nothing."""
    account = with_ladder(level("a", lots=10))
    replace(account, level("b", lots=7), effect_ms=START_MS + 50)
    for engine_ms, counted in [(START_MS + 49, 17), (START_MS + 50, 17), (START_MS + 51, 7)]:
        account.heard(engine_ms, START + 0.1)
        assert account.may_fill_lots(Side.BUY) == counted


def test_a_late_stream_does_not_make_a_superseded_ladder_forgotten() -> None:
    """S7, F6: two seconds of latency. The event that comes now says itself that it is from before the replace."""
    account = with_ladder(level("a", lots=10))
    replace(account, level("b", lots=7), effect_ms=START_MS + 50)
    account.heard(START_MS + 10, START + 2.0)
    assert account.may_fill_lots(Side.BUY) == 17
    assert account.fill(a_fill("t1", Side.BUY, 10, client_order_id="a"))
    assert account.worst_position_lots(Side.BUY) == 17


def test_without_a_stated_time_a_superseded_ladder_counts_for_the_assumed_delay() -> None:
    """The exchange named no moment of effect: what is heard a second later has reported what came before."""
    account = with_ladder(level("a", lots=10))
    replace(account, level("b", lots=7), effect_ms=None)
    account.heard(START_MS + 10_000, START + FILL_REPORT_SECONDS_MAX - 0.01)
    assert account.may_fill_lots(Side.BUY) == 17
    account.heard(START_MS + 10_000, START + FILL_REPORT_SECONDS_MAX)
    assert account.may_fill_lots(Side.BUY) == 7


def test_an_idle_stream_lets_go_of_the_superseded_ladder_by_its_heartbeat() -> None:
    account = with_ladder(level("a", lots=10))
    replace(account, effect_ms=START_MS + 50)
    account.heard(None, START + 0.5)
    assert account.may_fill_lots(Side.BUY) == 10
    account.heard(None, START + 15)
    assert account.may_fill_lots(Side.BUY) == 0


def test_a_superseded_ladder_counts_but_is_not_exposure() -> None:
    """Nothing rests any more, so there is nothing to pull; it may still turn out to have filled."""
    account = with_ladder(level("a", lots=10))
    replace(account, effect_ms=START_MS + 50)
    assert not account.exposed
    assert account.worst_position_lots(Side.BUY) == 10


def test_an_answer_without_names_leaves_all_of_it_resting_and_asks_for_a_read() -> None:
    account = fresh()
    account.begin("q1", [level("a"), level("b")])
    assert account.placed(None, None, START) is False
    assert set(account.resting) == {"a", "b"}
    assert not account.pending


def test_an_answer_that_names_some_levels_only_asks_for_a_read() -> None:
    """F30: three of twenty accepted by name; the rest is taken to rest until it is read."""
    account = fresh()
    account.begin("q1", [level("a"), level("b")])
    assert account.placed(rests("a"), START_MS, START) is False
    assert set(account.resting) == {"a", "b"}


def test_refused_levels_do_not_rest_and_filled_ones_still_count() -> None:
    account = fresh()
    account.begin("q1", [level("a"), level("b"), level("c")])
    answer = (
        PlacedOrder("a", None, resting=False, code="POST_ONLY_WOULD_CROSS"),
        PlacedOrder("b", "id-b", resting=False),
        PlacedOrder("c", "id-c", resting=True),
    )
    assert account.placed(answer, START_MS + 50, START)
    assert set(account.resting) == {"c"}
    assert account.may_fill_lots(Side.BUY) == 20, "b has filled and is not reported yet"
    account.fill(a_fill("t1", Side.BUY, 10, order_id="id-b"))
    assert account.worst_position_lots(Side.BUY) == 20


def test_a_ladder_known_not_placed_leaves_the_old_one_as_it_was() -> None:
    account = with_ladder(level("a", lots=10))
    account.begin("q2", [level("b", lots=7)])
    account.not_placed()
    assert set(account.resting) == {"a"}
    assert account.may_fill_lots(Side.BUY) == 10


def test_verified_empty_means_nothing_may_fill() -> None:
    account = with_ladder(level("a"))
    replace(account, level("b"))
    account.begin("q3", [level("c")])
    account.nothing_rests()
    assert account.may_fill_lots(Side.BUY) == 0
    assert not account.exposed


# -- reads


def test_an_orders_read_is_believed() -> None:
    """What it does not name is gone (and may have filled); what it names rests, an old one included."""
    account = with_ladder(level("old"))
    replace(account, level("a"), level("b", ticks=BID - 1))
    assert account.orders_read(resting([("a", Side.BUY, BID, 10), ("old", Side.BUY, BID, 10)]), START) == ()
    assert set(account.resting) == {"a", "old"}
    assert set(account.superseded) == {"b"}
    assert account.may_fill_lots(Side.BUY) == 30
    account.heard(None, START + FILL_REPORT_SECONDS_MAX)
    assert account.may_fill_lots(Side.BUY) == 20


def test_an_orders_read_returns_what_we_never_placed() -> None:
    account = with_ladder(level("a"))
    unknown = account.orders_read(resting([("a", Side.BUY, BID, 10), ("x", Side.SELL, ASK, 1)]), START)
    assert [order.client_order_id for order in unknown] == ["x"]


def test_an_orders_read_of_another_market_says_nothing_of_this_one() -> None:
    account = with_ladder(level("a"))
    assert account.orders_read(resting([("z", Side.BUY, BID, 10)], market_id=ETH), START) == ()
    assert not account.resting


def test_a_fill_the_read_shows_and_the_stream_has_not_reported_still_counts() -> None:
    """S7: ten rested, the read shows three: seven have filled unreported. Before and after the report: ten at worst."""
    account = with_ladder(level("a", lots=10))
    account.orders_read(resting([("a", Side.BUY, BID, 3)]), START)
    assert account.worst_position_lots(Side.BUY) == 10
    account.fill(a_fill("t1", Side.BUY, 7, client_order_id="a"))
    assert account.worst_position_lots(Side.BUY) == 10


def test_an_order_that_filled_while_it_was_being_read_is_not_a_stranger() -> None:
    """The read left the exchange before the fill, the stream was faster: our own finished order is known."""
    account = with_ladder(level("a", lots=10))
    account.fill(a_fill("t1", Side.BUY, 10, client_order_id="a"))
    assert account.orders_read(resting([("a", Side.BUY, BID, 10)]), START) == ()


# -- positions


def test_the_exchange_states_the_position() -> None:
    account = fresh()
    account.position(at_position(7))
    assert (account.position_lots, account.explained) == (7, False)
    account.fill(a_fill("t1", Side.BUY, 7))
    assert account.explained


def test_a_removed_position_is_flat_and_a_strange_id_changes_nothing() -> None:
    account = fresh()
    account.position(at_position(7))
    account.positions_removed(["of another market"])
    assert account.position_lots == 7
    account.positions_removed(["p1"])
    assert account.position_lots == 0
    assert account.entry_price == 0


@pytest.mark.parametrize("together", [True, False])
def test_removing_the_old_position_does_not_flatten_the_new_one(together: bool) -> None:
    """S6: long p1 is closed and short p2 opened; the removal of p1 comes with p2 or after it."""
    account = fresh()
    account.position(at_position(7, position_id="p1"))
    if not together:
        account.position(at_position(0, position_id="p1"))
    account.position(at_position(-5, position_id="p2"))
    account.positions_removed(["p1"])
    assert account.position_lots == -5


def test_a_whole_statement_flattens_what_it_does_not_name() -> None:
    account = fresh()
    account.position(at_position(7))
    account.positions_whole([at_position(9, market_id=ETH, position_id="p9")])
    assert account.position_lots == 0
    account.positions_whole([at_position(-3, market_id=BTC)])
    assert account.position_lots == -3


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(0, 30), st.integers(0, 30))
@quick
def test_of_two_statements_of_the_position_the_worse_counts(stated: int, summed: int, buys: int, sells: int) -> None:
    account = with_ladder(level("b", lots=buys), level("s", Side.SELL, lots=sells))
    account.position_lots, account.position_summed_lots = stated, summed
    assert account.worst_position_lots(Side.BUY) == max(stated, summed) + buys
    assert account.worst_position_lots(Side.SELL) == min(stated, summed) - sells


def test_own_levels_sum_what_the_book_may_show_of_us() -> None:
    account = with_ladder(level("a", lots=10))
    replace(account, level("b", lots=7), level("c", lots=2, ticks=BID - 1))
    account.begin("q3", [level("d", lots=1)])
    assert account.own_levels(Side.BUY) == {BID: 18, BID - 1: 2}
    assert account.own_levels(Side.SELL) == {}


def test_the_innermost_order_of_each_side_that_rests() -> None:
    """Neither one in flight nor one that was replaced counts; a side without any has none."""
    account = with_ladder(
        level("b1"), level("b2", ticks=BID - 5), level("a1", Side.SELL), level("a2", Side.SELL, ticks=ASK + 5)
    )
    assert (account.innermost(Side.BUY), account.innermost(Side.SELL)) == (BID, ASK)
    account.begin("q2", (level("b3", ticks=BID + 7),))
    assert account.innermost(Side.BUY) == BID
    assert account.placed(rests("b3"), START_MS, START)
    assert (account.innermost(Side.BUY), account.innermost(Side.SELL)) == (BID + 7, None)
    account.nothing_rests()
    assert account.innermost(Side.BUY) is None
