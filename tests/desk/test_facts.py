"""What each fact changes, told through the engine's doors: streams, outcomes of ladders, positions."""

from __future__ import annotations

import contextlib

import attrs
import pytest

from maker.desk.deadman import Reason, Trip
from maker.desk.events import (
    AccountRead,
    LadderPlaced,
    LadderUnknown,
    LadderUnsent,
    MarketStats,
    OpenOrdersRead,
    PlaceLadder,
    ReadAccount,
    ReadEmpty,
    ReadOrders,
    ReferenceHeard,
    SpecRead,
    StreamHeard,
    Wait,
)
from maker.desk.facts import OLD_SECONDS, POSITION_READ_SECONDS, POSITION_REREAD_SECONDS
from maker.desk.setbacks import MARGIN_REFUSALS_MAX, MARKET_HOLD_SECONDS
from maker.desk.units import Side
from maker.errors import StreamBroken, StreamFault

from .scripted import (
    ALL_MARKETS,
    BTC,
    ETH,
    FAIR_TICKS,
    START,
    START_MS,
    VENUE,
    Desk,
    a_fill,
    at_position,
    dec,
    lots_of,
    market,
    quoted,
    resting,
    spec,
    told,
    why_not,
)

# -- streams


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


def test_a_snapshot_older_than_what_was_heard_is_refused() -> None:
    """F24: a site behind the others answers the reconnection; what it shows is over."""
    desk = Desk.ready()
    desk.delta()
    desk.lost()
    desk.stream_ms -= 10_000
    with pytest.raises(StreamBroken, match="older than"):
        desk.snapshot()
    assert not desk.market().live
    desk.stream_ms += 20_000
    desk.snapshot()
    assert desk.market().live


def test_an_exchange_that_set_its_clock_back_is_believed_after_a_while() -> None:
    """L2: refusing for ever would be an outage of our own making."""
    desk = Desk.ready()
    desk.lost()
    desk.stream_ms -= 3_600_000
    desk.now += OLD_SECONDS + 1
    desk.snapshot()
    assert desk.market().live


def test_row_16_an_event_far_ahead_is_a_broken_stream_and_nothing_of_it_is_booked() -> None:
    """F24: one stamp in microseconds would end the day, and none would begin again: no daily loss could be seen."""
    desk = Desk.ready(limits=attrs.evolve(ALL_MARKETS, daily_loss_max=dec("150"), drawdown_max=dec("100000")))
    desk.delta(fills=(a_fill("t1", Side.BUY, 100),), positions=(at_position(100),))
    desk.stats("48600")
    before = desk.engine.exchange_ms
    with pytest.raises(StreamBroken, match="malformed: an event of") as broken:
        desk.delta(fills=(a_fill("t2", Side.BUY, 1),), engine_ms=START_MS * 1000)
    assert broken.value.fault is StreamFault.MALFORMED
    assert not desk.market().live
    assert (desk.engine.exchange_ms, desk.market().account.fills) == (before, 1)
    desk.stats("48490")
    trip = desk.apply(MarketStats(BTC, dec("48490"), dec("48490"), dec("0")))
    assert trip is not None
    assert trip.reason is Reason.DAILY_LOSS


@pytest.mark.parametrize(("ahead_ms", "believed"), [(0, True), (1, False)])
def test_an_event_may_be_ahead_by_as_much_as_a_snapshot_may_be_old(ahead_ms: int, believed: bool) -> None:
    """By what the stream told last and the time since: an hour without an event is no step of a clock."""
    desk = Desk.ready()
    told_ms = desk.market().engine_ms
    desk.later(3_600)
    latest_ms = told_ms + 3_600_000 + int(OLD_SECONDS * 1000)
    with contextlib.nullcontext() if believed else pytest.raises(StreamBroken):
        desk.delta(engine_ms=latest_ms + ahead_ms)
    assert desk.market().live == believed


def test_the_first_event_is_held_against_this_machines_clock() -> None:
    """Nothing was told before it. Later on that clock may allow more: ours stood still with a virtual machine."""
    desk = Desk.of()
    desk.baseline()
    desk.engine.unix_ahead_seconds = START_MS / 1000 - START
    desk.stream_ms = START_MS + 3_600_000
    with pytest.raises(StreamBroken):
        desk.snapshot()
    assert desk.engine.exchange_ms is None
    desk.engine.unix_ahead_seconds += 3_600
    desk.snapshot()
    assert desk.market().live


def test_a_market_whose_stream_stays_down_does_not_trip_the_others_again_and_again() -> None:
    """L2: BTC is pulled once when ETH's stream breaks; it is quoted again while ETH is still away."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.quote()
    desk.quote()
    assert desk.lost(ETH) is not None
    desk.pulled()
    for _ in range(40):
        desk.now += 1
        desk.apply(ReferenceHeard(VENUE))
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


def test_an_unknown_outcome_is_pulled_for_even_when_nothing_seems_to_rest() -> None:
    """S12: the ladder in flight was empty, or fills seem to have used it up: what lands late is pulled all the same."""
    desk = quoted()
    names = list(desk.market().account.resting.items())
    desk.apply(ReadEmpty())
    assert not desk.engine.exposed
    assert names
    trip = desk.apply(LadderUnknown(BTC, "q", "time-out"))
    assert trip is not None
    assert trip.reason is Reason.OUTCOME_UNKNOWN
    assert isinstance(desk.decide(), Wait)
    desk.pulled()
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
    pytest.fail(
        f"an hour without a whole ladder: {desk.said(desk.decide())},"
        f" {desk.market().setbacks.refusals.size_factor} of the size"
    )


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
    assert desk.market().setbacks.failures == 0, "a halted market is no order error"
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


@pytest.mark.parametrize("read_back", [False, True])
@pytest.mark.parametrize("name", ["human-1", "mk2-00000007-1", None, "", "mk-earlier-1"])
def test_row_15_a_fill_of_an_order_that_is_not_ours_stops_for_a_person(name: str | None, read_back: bool) -> None:
    """F35: a liquidation or somebody else, told as a trade, explains its position. One without a name may be ours."""
    desk = quoted()
    fill, held = a_fill("t1", Side.SELL, 7, client_order_id=name), (at_position(-7),)
    trip = desk.apply(AccountRead(held, (fill,), dec("10000"), dec("9000"))) if read_back else None
    trip = trip or desk.delta(fills=(fill,), positions=held)
    assert desk.market().account.explained
    if name not in ("human-1", "mk2-00000007-1"):
        assert trip is None
        return
    assert trip is not None
    assert (trip.reason, trip.reason.latched) == (Reason.OVERFILLED, True)
    assert trip.detail == f"BTC-PERP: 0.007 of order {name}, which is not ours, trade t1"
    assert isinstance(desk.decide(), Wait)


def test_trades_of_others_from_before_the_start_and_after_the_end_are_no_reason_to_stop() -> None:
    """What `flatten` or a person did is known when a run begins; positions closed after a loss are its last act."""
    desk = Desk.of()
    old = a_fill("old", Side.BUY, 30, client_order_id="human-1")
    desk.baseline(old, positions=(at_position(30),))
    assert desk.snapshot(fills=(old,), positions=(at_position(30),)) is None
    desk.stats()
    desk.reference()
    desk.quote()
    assert desk.engine.trip(Reason.DRAWDOWN, "") is not None
    closed = a_fill("closed", Side.SELL, 30, client_order_id="close-1")
    assert desk.delta(fills=(closed,), positions=(at_position(0),)) is None
    assert desk.engine.holding is not None
    assert desk.engine.holding.reason is Reason.DRAWDOWN


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
