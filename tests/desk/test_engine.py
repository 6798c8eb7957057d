"""The engine, as scripts: facts in, decision or trip out; and then any script, with a decision at any time."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.deadman import Reason, Trip
from maker.desk.engine import POSITION_READ_SECONDS, POSITION_REREAD_SECONDS
from maker.desk.events import (
    AccountRead,
    BalanceRead,
    LadderPlaced,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    OpenOrdersRead,
    PlaceLadder,
    ReadAccount,
    ReadEmpty,
    ReadOrders,
    ReferenceHeard,
    ReferenceLost,
    ReferenceQuote,
    SpecRead,
    StreamHeard,
    Wait,
)
from maker.desk.market import MARGIN_REFUSALS_MAX, MARKET_HOLD_SECONDS
from maker.desk.units import Side
from maker.errors import StreamBroken

from .scripted import (
    ALL_MARKETS,
    BTC,
    BUDGET,
    CYCLE,
    ETH,
    FAIR_TICKS,
    LADDER,
    LIMITS,
    START,
    Desk,
    a_fill,
    at_position,
    dec,
    lots_of,
    market,
    resting,
    spec,
    thorough,
    told,
)

FIRST = "buy 10@499749 10@499649 10@499549 | sell 10@500251 10@500351 10@500451"  # 5, 7, 9 bp
LIMIT = 200


def why_not(desk: Desk, market_id: str = BTC) -> str:
    return dict(desk.engine.states(desk.now))[market_id]


# -- from the start to the first ladder


def test_from_the_start_to_the_first_ladder() -> None:
    """Every input that is missing has its sentence, and only the last one makes the ladder."""
    desk = Desk.of()
    assert told(desk.decide()) == "read account (the account has not been read yet)"
    desk.baseline()
    assert told(desk.decide()) == "wait 1"
    assert "not sent a snapshot" in why_not(desk)
    desk.snapshot()
    assert told(desk.decide()) == "wait 1"
    assert "no price for BTC" in why_not(desk)
    desk.reference()
    assert told(desk.decide()) == "wait 1"
    assert "index" in why_not(desk)
    desk.stats()
    assert why_not(desk) == ""
    assert told(desk.decide()) == f"place BTC-PERP (nothing rests): {FIRST}"


def test_the_trades_before_the_start_are_not_ours_to_count_again() -> None:
    """The baseline knows them, and the position is where we begin: no profit, no fill, nothing unexplained."""
    desk = Desk.of()
    old = a_fill("old", Side.BUY, 30)
    desk.baseline(old, positions=(at_position(30),))
    desk.snapshot(fills=(old,), positions=(at_position(30),))
    desk.stats()
    desk.reference()
    account = desk.market().account
    assert (account.position_lots, account.fills) == (30, 0)
    assert account.cash == 0
    assert desk.engine.equity_change() == 0
    assert isinstance(desk.decide(), PlaceLadder)


def test_two_markets_are_quoted_one_after_the_other() -> None:
    desk = Desk.ready(market(BTC), market(ETH))
    assert {desk.quote().market_id for _ in range(2)} == {BTC, ETH}
    action = desk.decide()
    assert isinstance(action, Wait)
    assert action.seconds == pytest.approx(0.25, abs=0.01)


def test_names_are_never_given_twice() -> None:
    """S12: a quoteId is never sent twice, nor a clientOrderId."""
    desk = Desk.ready()
    quote_ids, names = set[str](), set[str]()
    for step in range(30):
        desk.later(0.7)
        desk.reference(FAIR_TICKS + step % 2 * 200)
        action = desk.quote()
        desk.delta()
        assert action.quote_id not in quote_ids
        assert not names & {order.client_order_id for order in action.orders}
        quote_ids.add(action.quote_id)
        names.update(order.client_order_id for order in action.orders)


# -- when a replace is due


def quoted() -> Desk:
    """A desk whose first ladder rests and has been seen in the stream."""
    desk = Desk.ready()
    desk.quote()
    desk.delta()
    return desk


def test_a_small_move_does_not_requote_and_a_large_one_does() -> None:
    """1 bp is 50 ticks."""
    desk = quoted()
    desk.later(1)
    desk.reference(FAIR_TICKS + 45)
    assert told(desk.decide()) == "wait 1"
    desk.reference(FAIR_TICKS + 55)
    assert told(desk.decide()).startswith("place BTC-PERP (price moved): buy 10@499803")


def test_age_makes_a_replace_due() -> None:
    desk = quoted()
    desk.later(9.9)
    assert told(desk.decide()) == "wait 1"
    desk.later(0.2)
    assert told(desk.decide()) == f"place BTC-PERP (age): {FIRST}"


def test_a_fill_makes_a_replace_due_and_both_sides_move_down() -> None:
    """Ten of two hundred bought: half a basis point of skew, 25 ticks."""
    desk = quoted()
    bid = next(iter(desk.market().account.resting))
    desk.later(1)
    fill = a_fill("t1", Side.BUY, 10, ticks=499_749, client_order_id=bid)
    desk.delta(fills=(fill,), positions=(at_position(10),))
    assert told(desk.decide()) == (
        "place BTC-PERP (filled): buy 10@499724 10@499624 10@499524 | sell 10@500226 10@500326 10@500426"
    )
    assert desk.engine.take_fills() == [fill]
    assert desk.engine.take_fills() == []


def test_the_same_fill_again_is_counted_once_and_disturbs_nothing() -> None:
    """S5: fills are unique by trade id."""
    desk = quoted()
    fill = a_fill("t1", Side.BUY, 10, client_order_id=next(iter(desk.market().account.resting)))
    desk.delta(fills=(fill,), positions=(at_position(10),))
    desk.later(1)
    desk.quote()
    desk.delta(fills=(fill,))
    desk.later(1)
    assert told(desk.decide()) == "wait 1"
    assert desk.market().account.position_summed_lots == 10
    assert desk.engine.take_fills() == [fill]


def test_two_replaces_of_a_market_keep_their_distance() -> None:
    desk = quoted()
    desk.later(0.1)
    desk.reference(FAIR_TICKS + 500)
    action = desk.decide()
    assert isinstance(action, Wait)
    assert action.seconds == pytest.approx(0.15, abs=0.01)
    desk.later(0.2)
    assert "price moved" in told(desk.decide())


def test_the_token_goes_where_the_price_moved_most() -> None:
    desk = Desk.ready(market(BTC), market(ETH))
    desk.quote()
    desk.quote()
    desk.delta(BTC)
    desk.delta(ETH)
    desk.later(1)
    desk.reference(FAIR_TICKS + 60, market_id=BTC)
    desk.reference(FAIR_TICKS + 300, market_id=ETH)
    assert desk.place().market_id == ETH


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
    assert told(desk.decide()).endswith("sell 10@500301 10@500351 10@500451")


# -- the budget


def test_an_empty_budget_waits_and_says_how_long() -> None:
    """S9: at the reserve nothing but cancels."""
    desk = Desk.ready()
    desk.budget_seen(24, reset_seconds=0.6)
    action = desk.decide()
    assert isinstance(action, Wait)
    assert action.seconds == pytest.approx(0.6, abs=0.01)
    desk.later(0.61)
    assert isinstance(desk.decide(), PlaceLadder)


def test_a_throttled_ladder_was_not_placed_and_comes_again_under_a_new_name() -> None:
    desk = Desk.ready()
    action = desk.place()
    assert desk.apply(LadderThrottled(BTC, action.quote_id, 3.0)) is None
    assert not desk.engine.exposed
    assert isinstance(desk.decide(), Wait)
    again = desk.decide()
    while not isinstance(again, PlaceLadder) and desk.now < START + 90:
        desk.later(1)
        again = desk.decide()
    assert desk.now >= START + 3
    assert isinstance(again, PlaceLadder)
    assert again.quote_id != action.quote_id


def test_waiting_as_told_always_gets_there() -> None:
    """A wait shorter than the clock can show would spin for ever, in virtual time without end."""
    tight = attrs.evolve(CYCLE, requote_seconds_min=0.7)
    for digits in range(100):
        desk = Desk.ready(cycle=tight, budget=attrs.evolve(BUDGET, requests_per_minute=97, burst=1))
        desk.now += digits / 7
        desk.later(0)
        desk.quote()
        desk.delta()
        desk.now += digits / 2003
        desk.reference(FAIR_TICKS + 300)
        action = desk.decide()
        for _ in range(8):
            if not isinstance(action, Wait):
                break
            assert desk.now + action.seconds > desk.now, f"a wait of {action.seconds} s does not move the clock"
            desk.now += action.seconds
            desk.later(0)
            action = desk.decide()
        assert isinstance(action, PlaceLadder)


# -- streams


def test_a_stream_lost_while_quotes_rest_is_a_trip_and_quoting_resumes_only_when_all_is_read_back() -> None:
    """F16, S24: pull; read empty; read the account; a new snapshot; then, and not before, a new ladder."""
    desk = quoted()
    trip = desk.lost()
    assert trip is not None
    assert trip.reason is Reason.STREAM_BROKEN
    assert trip.sentence == "a market's event stream broke: BTC-PERP closed: reset"
    assert told(desk.decide()) == "wait 1"
    assert why_not(desk).startswith("quotes were pulled: ")
    with pytest.raises(AssertionError, match="read back empty"):
        desk.engine.resume()
    desk.apply(ReadEmpty())
    with pytest.raises(AssertionError, match="account"):
        desk.engine.resume()
    desk.account_read()
    desk.engine.resume()
    assert told(desk.decide()) == "wait 1"
    assert "waiting for a new snapshot" in why_not(desk)
    desk.snapshot()
    assert told(desk.decide()) == f"place BTC-PERP (nothing rests): {FIRST}"


def test_a_stream_lost_while_nothing_rests_is_no_trip_but_the_account_is_read_back() -> None:
    """S5: fills may have been missed all the same."""
    desk = Desk.ready()
    assert desk.lost() is None
    assert told(desk.decide()) == "read account (the stream of BTC-PERP broke)"
    desk.account_read(a_fill("missed", Side.BUY, 4), positions=(at_position(4),))
    assert told(desk.decide()) == "wait 1"
    desk.snapshot(positions=(at_position(4),))
    assert isinstance(desk.decide(), PlaceLadder)
    assert desk.market().account.position_summed_lots == 4


def test_a_ladder_in_flight_is_exposure() -> None:
    """Lost between sending and the answer: whatever was sent may rest."""
    desk = Desk.ready()
    desk.place()
    assert desk.lost() is not None


def test_a_trip_comes_once() -> None:
    desk = quoted()
    assert desk.lost() is not None
    assert desk.lost() is None
    assert desk.apply(ReferenceLost("reset")) is None
    desk.later(60, alive=False)
    assert desk.watch() is None


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        (((FAIR_TICKS + 30, 1),), ()),
        (((FAIR_TICKS - 30, -1),), ()),
        ((), ((0, 1), (FAIR_TICKS + 20, 0))),
    ],
    ids=["crossed", "negative", "worthless"],
)
def test_an_impossible_book_is_not_quoted_for_another_moment(
    bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...]
) -> None:
    """F25: the same step that finds it ends the market's being live; the caller then reports the stream lost."""
    desk = quoted()
    desk.later(1)
    desk.reference(FAIR_TICKS + 500)
    with pytest.raises(StreamBroken):
        desk.delta(bids=bids, asks=asks)
    assert not desk.market().live
    assert told(desk.decide()) == "wait 1"
    assert desk.lost() is not None


def test_an_impossible_snapshot_leaves_the_market_as_it_was_not_live() -> None:
    desk = Desk.ready()
    with pytest.raises(StreamBroken):
        desk.snapshot(bids=((FAIR_TICKS + 30, 1),))
    assert told(desk.decide()) == "wait 1"


def test_a_silent_stream_is_a_trip_within_one_and_a_half_heartbeats() -> None:
    """L1, F17: 20 s without a byte: no new ladder; 22.5 s: pulled."""
    desk = quoted()
    while desk.now < START + 22.4:
        desk.now += 0.8
        desk.reference(FAIR_TICKS + 500)
        desk.stats()
        assert desk.watch() is None
        if isinstance(action := desk.decide(), PlaceLadder):
            assert desk.now - START <= 20
            desk.placed(action)
    desk.now = START + 22.6
    desk.reference()
    desk.stats()
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.STREAM_SILENT
    assert not desk.market().live


def test_a_stream_that_only_heartbeats_is_alive() -> None:
    """F18: a quiet book is fresh."""
    desk = quoted()
    for _ in range(30):
        desk.later(1.5)
        assert desk.watch() is None
        if isinstance(action := desk.decide(), PlaceLadder):
            assert action.why == "age"
            desk.placed(action)
    assert desk.now - desk.market().quoted_at <= CYCLE.quote_age_seconds_max


def test_a_market_whose_stream_stays_down_does_not_trip_the_others_again_and_again() -> None:
    """L2: BTC is pulled once when ETH's stream breaks; it is quoted again while ETH is still away."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.quote()
    desk.quote()
    assert desk.lost(ETH) is not None
    desk.pulled()
    for _ in range(40):
        desk.now += 1
        desk.apply(ReferenceHeard())
        desk.apply(StreamHeard(BTC))
        desk.stats(market_id=BTC)
        desk.stats(market_id=ETH)
        assert desk.watch() is None
        assert desk.lost(ETH) is None, "a vain reconnection"
        if isinstance(action := desk.decide(), PlaceLadder):
            assert action.market_id == BTC
            desk.placed(action)
            desk.delta(BTC)
    assert desk.market(BTC).account.resting


# -- the reference feed and the index


def test_a_stale_reference_is_a_trip_by_the_passing_of_time() -> None:
    """S4, L1: nothing is decided on a price older than 2 s, and what rests is pulled."""
    desk = quoted()
    desk.later(1.9, alive=False)
    assert desk.watch() is None
    desk.later(0.2, alive=False)
    assert isinstance(desk.decide(), Wait)
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.REFERENCE_STALE
    assert "silent for 2.1 s" in trip.detail


def test_a_stale_reference_while_nothing_rests_is_no_trip() -> None:
    desk = Desk.ready()
    desk.later(5, alive=False)
    assert desk.watch() is None
    assert isinstance(desk.decide(), Wait)


def test_a_lost_reference_is_a_trip_at_once() -> None:
    desk = quoted()
    trip = desk.apply(ReferenceLost("reset"))
    assert trip is not None
    assert trip.reason is Reason.REFERENCE_STALE


def test_a_crossed_reference_is_a_trip() -> None:
    desk = quoted()
    assert desk.apply(ReferenceQuote("BTC", dec("50001"), dec("1"), dec("50000"), dec("1"))) is None
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.NO_FAIR_VALUE


def test_mark_and_index_apart_are_a_trip() -> None:
    desk = quoted()
    desk.stats("50000", mark="51000")
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.NO_FAIR_VALUE


def test_a_market_without_a_price_and_without_quotes_does_not_trip_the_others() -> None:
    desk = Desk.ready(market(BTC))
    desk.engine.add_market(market(ETH))
    desk.quote()
    desk.later(0.5)
    assert desk.watch() is None


# -- outcomes


def test_an_unknown_outcome_is_a_trip_and_the_next_ladder_has_a_new_name() -> None:
    """S12: cancel-all and a read, then a new ladder under a new quoteId; the unanswered one counts until then."""
    desk = Desk.ready()
    action = desk.place()
    trip = desk.unknown(action)
    assert trip is not None
    assert trip.reason is Reason.OUTCOME_UNKNOWN
    assert action.quote_id in trip.detail
    assert desk.market().account.may_fill_lots(Side.BUY) == 30
    assert isinstance(desk.decide(), Wait)
    desk.pulled()
    again = desk.place()
    assert again.quote_id != action.quote_id
    assert not {order.client_order_id for order in again.orders} & {order.client_order_id for order in action.orders}


def test_an_unknown_outcome_of_a_pull_is_read_back_even_when_nothing_seems_to_rest() -> None:
    """The ladder in flight was empty and the old one filled meanwhile: no trip, but nothing is quoted unread."""
    desk = quoted()
    names = list(desk.market().account.resting.items())
    desk.apply(ReadEmpty())
    assert not desk.engine.exposed
    assert names
    assert desk.apply(LadderUnknown(BTC, "q", "time-out")) is None
    assert isinstance(desk.decide(), ReadAccount)
    desk.account_read()
    assert isinstance(desk.decide(), ReadOrders)
    desk.apply(OpenOrdersRead(()))
    assert isinstance(desk.decide(), PlaceLadder)


def test_margin_refused_whole_makes_the_next_ladder_smaller_after_a_read() -> None:
    """S11, F28: what rests is not known until it is read; then strictly smaller."""
    desk = Desk.ready()
    action = desk.place()
    assert desk.refused(action, "INSUFFICIENT_MARGIN") is None
    assert isinstance(desk.decide(), ReadOrders)
    assert "not known" in why_not(desk)
    desk.apply(OpenOrdersRead(()))
    assert told(desk.decide()) == (
        "place BTC-PERP (nothing rests): buy 5@499749 5@499649 5@499549 | sell 5@500251 5@500351 5@500451"
    )
    assert any("margin refused" in note for note in desk.engine.take_notes())


def test_after_three_margin_refusals_the_market_is_held_and_another_goes_on() -> None:
    """S11: at most three tries, each strictly smaller."""
    desk = Desk.ready(market(BTC), market(ETH))
    sizes = []
    for _ in range(MARGIN_REFUSALS_MAX):
        action = desk.place()
        assert action.market_id == BTC
        sizes.append(lots_of(action))
        desk.refused(action, "INSUFFICIENT_MARGIN")
        desk.apply(OpenOrdersRead(()))
    assert sizes == sorted(set(sizes), reverse=True)
    assert "margin was refused repeatedly" in why_not(desk)
    assert desk.quote().market_id == ETH
    for _ in range(int(MARKET_HOLD_SECONDS) - 1):
        desk.later(1)
        if isinstance(other := desk.decide(), PlaceLadder):
            assert other.market_id == ETH
            desk.placed(other)
            desk.delta(ETH)
    desk.later(2)
    assert why_not(desk) == ""


def test_an_identical_ladder_is_never_sent_again_after_a_refusal() -> None:
    """S11: refused for something else than margin: the same again would be refused again."""
    desk = Desk.ready()
    desk.refused(desk.place(), "PRICE_OUT_OF_BAND", 422)
    desk.apply(OpenOrdersRead(()))
    for _ in range(20):
        desk.later(1)
        assert isinstance(desk.decide(), Wait)
    desk.reference(FAIR_TICKS + 10)
    assert isinstance(desk.decide(), PlaceLadder)


@pytest.mark.parametrize("position", [0, 120, 160, 199, -160])
def test_after_a_margin_refusal_every_side_is_strictly_smaller_wherever_the_position_is(position: int) -> None:
    """S11: also where room decides the size, and though the price has moved since."""
    desk = Desk.of(market())
    desk.baseline(positions=(at_position(position),) if position else ())
    desk.snapshot(positions=(at_position(position),) if position else ())
    desk.stats()
    desk.reference()
    action = desk.place()
    desk.refused(action, "INSUFFICIENT_MARGIN")
    desk.apply(OpenOrdersRead(()))
    desk.later(1)
    desk.reference(FAIR_TICKS + 10)
    again = desk.decide()
    if isinstance(again, PlaceLadder):
        for side in Side:
            assert lots_of(again, side) < lots_of(action, side) or lots_of(again, side) == 0


def test_size_comes_back_after_margin_was_refused_however_small_it_had_become() -> None:
    """L2: five refusals leave less than one lot of ten. An hour later the account has margin again."""
    desk = Desk.ready()
    for _ in range(5):
        for _ in range(60):
            desk.later(1)
            if isinstance(action := desk.decide(), PlaceLadder):
                desk.refused(action, "INSUFFICIENT_MARGIN")
                desk.apply(OpenOrdersRead(()))
                break
    for _ in range(3600):
        desk.later(1)
        if isinstance(action := desk.decide(), PlaceLadder):
            desk.placed(action)
            desk.delta()
            if lots_of(action) == 60:
                return
    pytest.fail(f"an hour without a whole ladder: {desk.said(desk.decide())}, {desk.market().size_factor} of the size")


def test_levels_refused_one_by_one_do_not_rest_and_the_same_ladder_is_not_repeated() -> None:
    """F28, F30: post-only would cross: the rest rests; nothing is booked for the refused one."""
    desk = Desk.ready()
    action = desk.place()
    crossing = action.orders[0].client_order_id
    assert desk.placed(action, codes={crossing: "POST_ONLY_WOULD_CROSS"}) is None
    desk.delta()
    assert crossing not in desk.market().account.resting
    assert desk.market().account.may_fill_lots(Side.BUY) == 20
    desk.later(1)
    assert isinstance(desk.decide(), Wait), "the identical ladder again"
    desk.reference(FAIR_TICKS + 5)
    assert "levels were refused" in told(desk.decide())


def test_a_level_refused_for_margin_makes_the_next_ladder_smaller() -> None:
    desk = Desk.ready()
    action = desk.place()
    desk.placed(action, codes={action.orders[-1].client_order_id: "INSUFFICIENT_MARGIN"})
    desk.delta()
    desk.later(1)
    assert lots_of(desk.place()) == 30


def test_a_duplicate_name_inside_an_answer_is_read_back() -> None:
    """ocx-api: a duplicate was already applied, so the order may rest whatever the level's answer says."""
    desk = Desk.ready()
    action = desk.place()
    desk.placed(action, codes={action.orders[0].client_order_id: "DUPLICATE_CLIENT_ORDER_ID"})
    assert isinstance(desk.decide(), ReadOrders)


def test_an_answer_without_names_is_read_back_before_anything_else() -> None:
    desk = Desk.ready()
    action = desk.place()
    assert desk.placed(action, named=False) is None
    assert told(desk.decide()) == "read orders (BTC-PERP)"
    desk.still_resting()
    desk.delta()
    desk.later(1)
    assert told(desk.decide()) == "wait 1"
    assert len(desk.market().account.resting) == 6


def test_a_read_that_shows_less_than_the_ladder_makes_a_replace_due() -> None:
    desk = Desk.ready()
    action = desk.place()
    desk.placed(action, named=False)
    order = action.orders[0]
    desk.apply(resting([(order.client_order_id, order.side, order.ticks, order.lots)]))
    desk.later(2)
    desk.delta()
    assert "what rests is not the ladder we placed" in told(desk.decide())


def test_a_strange_order_is_a_trip_even_when_nothing_of_ours_rests() -> None:
    desk = Desk.ready()
    trip = desk.apply(resting([("stranger", Side.BUY, 499_000, 1)]))
    assert trip is not None
    assert trip.reason is Reason.ORDERS_DISAGREE
    assert trip.detail == "BTC-PERP stranger"


def test_a_strange_order_on_a_market_we_do_not_quote_is_a_trip_too() -> None:
    """Cancel-all and margin are the whole account's: an order anywhere that we do not know is not ours to ignore."""
    desk = quoted()
    own = desk.market().account.resting.values()
    known = resting([(order.client_order_id, order.side, order.ticks, order.lots) for order in own])
    strange = resting([("stranger", Side.BUY, 499_000, 1)], market_id="SOL-PERP")
    trip = desk.apply(OpenOrdersRead(known.orders + strange.orders))
    assert trip is not None
    assert trip.reason is Reason.ORDERS_DISAGREE


def test_a_refusal_for_another_reason_backs_off_and_reads_back() -> None:
    desk = Desk.ready()
    assert desk.refused(desk.place(), "INVALID_PRICE", 400) is None
    assert isinstance(desk.decide(), ReadOrders)
    desk.apply(OpenOrdersRead(()))
    desk.reference(FAIR_TICKS + 10)
    assert isinstance(desk.decide(), Wait)
    assert "400 INVALID_PRICE" in why_not(desk)
    desk.later(1.01)
    assert isinstance(desk.decide(), PlaceLadder)


def test_the_old_ladder_survives_a_refusal_where_the_exchange_kept_it() -> None:
    """F28: refused whole; the read says the old one still rests: it counts, and is ours."""
    desk = quoted()
    desk.later(1)
    desk.reference(FAIR_TICKS + 200)
    before = dict(desk.market().account.resting)
    desk.refused(desk.place(), "INSUFFICIENT_MARGIN")
    desk.still_resting()
    assert desk.market().account.resting == before
    assert desk.engine.exposed
    assert lots_of(desk.place()) == 30


def test_three_ladders_that_never_left_are_a_trip_while_something_rests() -> None:
    desk = quoted()
    trips = []
    for step in range(3):
        action = desk.decide()
        while not isinstance(action, PlaceLadder) and desk.now < START + 14:
            desk.later(1)
            desk.reference(FAIR_TICKS + 200 * (step + 1))
            action = desk.decide()
        assert isinstance(action, PlaceLadder)
        trips.append(desk.apply(LadderUnsent(BTC, action.quote_id, "connection refused")))
        assert not desk.market().account.pending
    assert trips[:2] == [None, None]
    assert trips[2] is not None
    assert trips[2].reason is Reason.ORDERS_FAILING


def test_ladders_that_never_left_are_no_trip_while_nothing_rests_but_ever_rarer() -> None:
    desk = Desk.ready()
    sent = []
    while desk.now < START + 60:
        desk.later(0.5)
        if isinstance(action := desk.decide(), PlaceLadder):
            sent.append(desk.now)
            assert desk.apply(LadderUnsent(BTC, action.quote_id, "connection refused")) is None
    assert len(sent) < 30


def test_a_halted_market_is_pulled_and_held() -> None:
    """F32."""
    desk = quoted()
    desk.later(1)
    desk.reference(FAIR_TICKS + 200)
    trip = desk.refused(desk.place(), "MARKET_HALTED", 409)
    assert trip is not None
    assert trip.reason is Reason.MARKET_HALTED
    desk.pulled()
    assert "halted" in why_not(desk)
    assert isinstance(desk.decide(), Wait)
    desk.later(MARKET_HOLD_SECONDS + 0.1)
    desk.reference(FAIR_TICKS + 210)
    assert isinstance(desk.decide(), Wait), "only its listing says when it trades again"
    assert desk.market().failures == 0, "a halted market is no order error"
    assert desk.apply(SpecRead(spec(), active=True)) is None
    assert "waiting for a new snapshot" in why_not(desk)
    with pytest.raises(StreamBroken, match="starting again from a snapshot"):
        desk.delta()
    assert desk.lost() is None
    desk.account_read()
    desk.snapshot()
    desk.reference(FAIR_TICKS + 220)
    assert isinstance(desk.decide(), PlaceLadder)


def test_a_listing_that_says_halted_pulls_before_any_order_is_refused() -> None:
    """F32: and a heartbeat of the old stream is as little a snapshot as a change is."""
    desk = quoted()
    trip = desk.apply(SpecRead(spec(), active=False))
    assert trip is not None
    assert trip.reason is Reason.MARKET_HALTED
    desk.pulled()
    assert desk.apply(SpecRead(spec(), active=False)) is None, "nothing rests: nothing to pull"
    desk.apply(SpecRead(spec(), active=True))
    with pytest.raises(StreamBroken):
        desk.apply(StreamHeard(BTC))


def test_a_listing_that_says_what_it_always_said_changes_nothing() -> None:
    desk = quoted()
    desk.apply(SpecRead(spec(), active=True))
    desk.delta()
    assert desk.market().live
    assert why_not(desk) == ""


# -- quotes never rest on a price we do not stand by


def too_old(desk: Desk, seconds: float) -> bool:
    """Let time pass with a moving price; whether quotes still rest unmoved and untripped at the end."""
    for step in range(int(seconds * 2)):
        desk.later(0.5)
        desk.reference(FAIR_TICKS + 20 * step)
        if desk.watch() is not None:
            return False
        if isinstance(action := desk.decide(), PlaceLadder):
            if not action.orders:
                desk.placed(action)
            return False
        if isinstance(action, ReadOrders):
            desk.still_resting()
    return True


def test_quotes_do_not_outlive_their_age_while_their_market_is_held_for_margin() -> None:
    """The exchange keeps the old ladder on a refusal: it stands on margin that is not there, and is pulled at once."""
    desk = quoted()
    trips = []
    for step in range(MARGIN_REFUSALS_MAX):
        desk.later(1)
        desk.reference(FAIR_TICKS + 200 * (step + 1))
        trips.append(desk.refused(desk.place(), "INSUFFICIENT_MARGIN"))
        desk.still_resting()
    assert trips[:-1] == [None, None]
    assert trips[-1] is not None
    assert trips[-1].reason is Reason.MARGIN_REFUSED
    desk.pulled()
    assert "margin was refused repeatedly" in why_not(desk), "the market is held as well"


def test_quotes_do_not_outlive_their_age_while_risk_refuses_every_new_ladder() -> None:
    """A cap is hit (here: other markets grew): what rests was approved at another price."""
    desk = Desk.ready(limits=attrs.evolve(ALL_MARKETS, value_max=dec("1501")))
    desk.quote()
    desk.delta()
    desk.later(1)
    desk.stats("50100")
    desk.reference(FAIR_TICKS + 1000)
    assert isinstance(desk.decide(), Wait)
    assert any("value_max" in note for note in desk.engine.take_notes())
    assert not too_old(desk, 2 * CYCLE.quote_age_seconds_max + 1)


def test_quotes_do_not_outlive_their_age_while_the_budget_is_empty() -> None:
    """The reserve is there for this: pull rather than leave a price of half a minute ago."""
    desk = quoted()
    desk.budget_seen(24, reset_seconds=55.0)
    assert not too_old(desk, 2 * CYCLE.quote_age_seconds_max + 1)


def test_quotes_do_not_outlive_their_age_while_orders_cannot_be_read() -> None:
    """The reads fail for ever; every market waits for them with its old prices in the book."""
    desk = Desk.ready()
    desk.placed(desk.place(), named=False)
    for _ in range(int(2 * CYCLE.quote_age_seconds_max + 1)):
        desk.later(1)
        assert isinstance(desk.decide(), (ReadOrders, Wait))
        if desk.watch() is not None:
            return
    pytest.fail("what rests is not known, nothing new is sent, and nobody pulls it")


# -- positions


def test_a_position_no_fill_explains_is_a_trip_after_the_grace() -> None:
    """F35, row 15: first nothing new is sent, then what rests is pulled."""
    desk = quoted()
    desk.delta(positions=(at_position(7),))
    assert "disagree" in why_not(desk)
    assert desk.watch() is None
    desk.later(1)
    assert isinstance(desk.decide(), Wait)
    assert desk.watch() is None
    desk.later(1.1)
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.POSITION_DISAGREES
    assert desk.apply(ReadEmpty()) is None
    desk.account_read(a_fill("late", Side.BUY, 7), positions=(at_position(7),))  # the read tells what the stream lost
    desk.engine.resume()
    desk.delta()
    assert desk.market().account.explained
    assert isinstance(desk.decide(), PlaceLadder)


def test_row_14_a_position_that_the_account_read_does_not_explain_stops_for_a_person() -> None:
    """F35: trades may be told later than positions, so it is read again first; then it is somebody else, or worse."""
    desk = quoted()
    desk.delta(positions=(at_position(7),))
    desk.later(2.1)
    assert desk.watch() is not None
    desk.apply(ReadEmpty())
    trips: list[Trip | None] = []
    began = desk.now
    while not any(trips) and desk.now < began + 10:
        trips.append(desk.apply(AccountRead((at_position(7),), (), dec("10000"), dec("9000"))))
        assert desk.engine.account_read_due
        desk.later(POSITION_REREAD_SECONDS)
    assert len(trips) > 2
    assert trips[-1] is not None
    assert trips[-1].reason is Reason.POSITION_UNEXPLAINED
    assert trips[-1].reason.latched
    assert trips[-1].detail == "BTC-PERP: position 0.007, our fills say 0.000"
    assert isinstance(desk.decide(), Wait)


def test_a_fill_and_its_position_in_two_events_are_explained_in_time() -> None:
    desk = quoted()
    fill = a_fill("t1", Side.BUY, 7, client_order_id=next(iter(desk.market().account.resting)))
    desk.delta(positions=(at_position(7),))
    desk.later(1)
    desk.delta(fills=(fill,))
    desk.later(2)
    assert desk.watch() is None
    assert why_not(desk) == ""


@pytest.mark.parametrize("explained", [True, False])
def test_a_position_nothing_explains_while_nothing_rests_is_read_back(explained: bool) -> None:
    """L2, F35: nothing of ours rests, so there is nothing to pull, but somebody has to ask; not as fast as it can."""
    desk = Desk.ready()
    desk.delta(positions=(at_position(-7),))
    fills = (a_fill("late", Side.SELL, 7),)
    reads = 0
    for _ in range(600):
        desk.later(0.1)
        assert desk.watch() is None
        match desk.decide():
            case ReadAccount():
                reads += 1
                told_at_last = fills if explained and reads == 2 else ()
                trip = desk.apply(AccountRead((at_position(-7),), told_at_last, dec("10000"), dec("9000")))
                if trip is not None:
                    assert not explained
                    assert trip.reason is Reason.POSITION_UNEXPLAINED
                    assert reads <= 2 + POSITION_READ_SECONDS / POSITION_REREAD_SECONDS
                    return
            case PlaceLadder():
                assert explained
                return
            case _:
                pass
    pytest.fail(f"a minute later: {desk.said(desk.decide())}")


def test_a_fill_of_another_market_is_not_booked_to_this_one_by_a_read() -> None:
    desk = Desk.ready()
    desk.lost()
    desk.account_read(
        a_fill("t1", Side.BUY, 3, market_id="SOL-PERP"), positions=(at_position(3, market_id="SOL-PERP"),)
    )
    assert desk.market().account.position_lots == desk.market().account.position_summed_lots == 0


def test_an_unexplained_position_is_not_quoted_around() -> None:
    desk = Desk.ready()
    desk.lost()
    desk.account_read(positions=(at_position(5),))
    assert isinstance(desk.decide(), Wait)
    assert "position 0.005, our fills say 0.000; reading it again" in why_not(desk)


def test_at_the_limit_only_reduce_only_exits_are_sent() -> None:
    """S24: and they say so to the exchange."""
    desk = Desk.of()
    desk.baseline(positions=(at_position(LIMIT),))
    desk.snapshot(positions=(at_position(LIMIT),))
    desk.stats()
    desk.reference()
    action = desk.place()
    assert {order.side for order in action.orders} == {Side.SELL}
    assert all(order.reduce_only for order in action.orders)


def test_an_old_order_found_resting_while_a_stream_broke_is_pulled() -> None:
    """The pull was answered before its effect, then the stream broke with nothing to pull, then the read found it."""
    desk = quoted()
    account = desk.market().account
    old = [(order.client_order_id, order.side, order.ticks, order.lots) for order in account.resting.values()]
    account.begin("pull", [])
    desk.apply(LadderPlaced(BTC, "pull", None, None))
    assert isinstance(desk.decide(), ReadOrders)
    assert desk.lost() is None
    trip = desk.apply(resting(old)) or desk.watch()
    assert trip is not None, f"it rests, nothing is quoted and nothing pulls it: {desk.said(desk.decide())}"


# -- money and messages


def test_profit_is_cash_and_position_at_mark() -> None:
    """Bought 10 at 49975.0 for 499.75 and a fee of 1 bp; worth 500 at a mark of 50000, a unit less at 49900."""
    desk = quoted()
    desk.delta(fills=(a_fill("t1", Side.BUY, 10, ticks=499_750),), positions=(at_position(10),))
    assert desk.engine.equity_change() == dec("500") - dec("499.75") - dec("0.049975")
    desk.stats("50000", mark="49900")
    assert desk.engine.equity_change() == dec("499") - dec("499.75") - dec("0.049975")


def test_the_position_found_at_the_start_earns_from_the_first_mark_on() -> None:
    """Long 10 from before: the mark goes from 50000 to 50100, one unit of profit and no fill."""
    desk = Desk.of()
    desk.baseline(positions=(at_position(10),))
    desk.stats("50000")
    desk.stats("50000", mark="50100")
    assert desk.engine.equity_change() == 1


def test_funding_is_what_the_balance_shows_and_our_fills_do_not() -> None:
    """Bought 10 at 50000 for a fee of 0.05; the balance fell by 0.35: 0.30 of funding, and profit counts it."""
    desk = quoted()
    fill = a_fill("t1", Side.BUY, 10)
    held = attrs.evolve(at_position(10), entry_price=dec("50000"))
    desk.delta(fills=(fill,), positions=(held,))
    desk.lost()
    desk.apply(ReadEmpty())
    assert desk.apply(AccountRead((held,), (fill,), dec("9999.65"), dec("9000"))) is None
    assert desk.engine.funding_paid() == dec("0.30")
    assert desk.engine.equity_change() == dec("-0.35")


def test_a_balance_read_in_passing_is_not_taken_for_funding() -> None:
    """It was read at another moment than the fills it contains."""
    desk = quoted()
    desk.apply(BalanceRead(dec("9000"), dec("9000")))
    assert desk.engine.funding_paid() == 0


def test_balances_are_taken_as_read() -> None:
    desk = Desk.ready()
    desk.apply(BalanceRead(dec("11"), dec("12")))
    assert (desk.engine.balance, desk.engine.available, desk.engine.balance_start) == (
        dec("11"),
        dec("12"),
        dec("10000"),
    )
    desk.apply(AccountRead((), (), dec("13"), dec("14")))
    assert (desk.engine.balance, desk.engine.available) == (dec("13"), dec("14"))


def test_a_risk_refusal_is_said_and_the_market_waits_a_moment() -> None:
    limits = attrs.evolve(LIMITS, order_size_max=dec("0.009"))
    desk = Desk.ready(attrs.evolve(market(), limits=limits))
    assert isinstance(desk.decide(), Wait)
    assert desk.engine.take_notes() == ["BTC-PERP: risk refused a ladder: size 0.010 is above order_size_max"]
    assert isinstance(desk.decide(), Wait)
    assert desk.engine.take_notes() == [], "asked again at once, it says nothing"


# -- S4: freshness where the ladder is made

scripts = st.lists(
    st.tuples(
        st.sampled_from(
            ["quote", "heard", "stats", "heartbeat", "delta", "snapshot", "lost", "feed lost", "crossed", "place"]
        ),
        st.sampled_from([0.0, 0.3, 1.0, 1.9, 6.0]),
    ),
    max_size=25,
)


@given(scripts, st.one_of(st.sampled_from([0.0, 0.5, 2.0, 2.1, 10.1, 20.0, 20.1]), st.floats(0, 100)))
@thorough
def test_no_ladder_is_ever_made_of_stale_inputs(script: list[tuple[str, float]], after: float) -> None:
    """S4, H21: for any facts and any `now` of the decision, also one long after the last fact (a paused process)."""
    desk = Desk.ready()
    heard = {"reference": START, "index": START, "stream": START}
    priced = live = True

    def check(action: object) -> None:
        if isinstance(action, PlaceLadder):
            assert priced
            assert live
            assert desk.engine.holding is None
            assert desk.now - heard["reference"] <= 2.0
            assert desk.now - heard["index"] <= 10.0
            assert desk.now - heard["stream"] <= 20.0

    for what, elapsed in script:
        desk.now += elapsed
        trip = None
        match what:
            case "quote":
                desk.reference()
                heard["reference"], priced = desk.now, True
            case "heard":
                desk.apply(ReferenceHeard())
                heard["reference"] = desk.now
            case "crossed":
                desk.apply(ReferenceQuote("BTC", dec("2"), dec("1"), dec("1"), dec("1")))
                heard["reference"], priced = desk.now, False
            case "feed lost":
                trip = desk.apply(ReferenceLost("reset"))
                priced = False
            case "stats":
                desk.stats()
                heard["index"] = desk.now
            case "heartbeat":
                desk.apply(StreamHeard(BTC))
                heard["stream"] = desk.now
            case "delta" if live:
                desk.delta()
                heard["stream"] = desk.now
            case "snapshot" if not live:
                desk.snapshot()
                heard["stream"], live = desk.now, True
            case "lost" if live:
                trip = desk.lost()
                live = False
            case "place":
                action = desk.decide()
                check(action)
                match action:
                    case PlaceLadder():
                        desk.placed(action)
                    case ReadAccount():
                        desk.account_read()
                    case _:
                        pass
            case _:
                pass
        trip = trip or desk.watch()
        if trip is not None:
            live = live and trip.reason is not Reason.STREAM_SILENT
            desk.pulled()
    desk.now += after
    check(desk.decide())


def test_the_reserve_is_untouched_after_ten_minutes_of_a_wild_market() -> None:
    """S9, with the exchange's windows counted here and stated in every answer."""
    desk = Desk.ready()
    left, ends_at = 120, desk.now + 60.0
    lowest = left
    while desk.now < START + 600:
        desk.later(0.2)
        desk.reference(FAIR_TICKS + (300 if int(desk.now * 5) % 2 else 0))
        if desk.now >= ends_at:
            left, ends_at = 120, desk.now + 60
        if isinstance(action := desk.decide(), PlaceLadder):
            left -= 1
            lowest = min(lowest, left)
            desk.placed(action)
            desk.delta()
            desk.budget_seen(left, reset_seconds=ends_at - desk.now)
    assert lowest >= round(BUDGET.requests_per_minute * BUDGET.reserve_ratio)
    assert lowest < 60, "the test is no test when the market is not wild enough"


def test_the_figures_of_these_scripts() -> None:
    """What the scripts lean on."""
    assert spec().grid.size.count_down(LADDER.position_limit) == LIMIT
    assert Decimal(50_000) == spec().grid.price.value(FAIR_TICKS)
