"""The engine, as scripts: facts in, decision or trip out; and then any script, with a decision at any time."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maker.desk import wanting
from maker.desk.consensus import Combine
from maker.desk.deadman import Reason, Trip
from maker.desk.engine import WORTH_SECONDS_MAX
from maker.desk.events import (
    LadderThrottled,
    MarketStats,
    PlaceLadder,
    ReadAccount,
    ReadOrders,
    ReferenceHeard,
    ReferenceLost,
    ReferenceQuote,
    SpecRead,
    StreamHeard,
    Wait,
)
from maker.desk.fair import SourceSettings
from maker.desk.ladder import Ladder, Level
from maker.desk.setbacks import MARGIN_REFUSALS_MAX
from maker.desk.units import Side

from .scripted import (
    ALL_MARKETS,
    BTC,
    BUDGET,
    CYCLE,
    ETH,
    FAIR_TICKS,
    FIRST,
    LADDER,
    LIMITS,
    START,
    VENUE,
    Desk,
    a_fill,
    as_it_is,
    at_position,
    dec,
    lots_of,
    market,
    quoted,
    spec,
    thorough,
    told,
    why_not,
)

LIMIT = 200
STATS = MarketStats(BTC, dec("50000"), dec("50000"), dec("0"))


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
    assert "index" in why_not(desk)
    desk.reference()
    assert told(desk.decide()) == "wait 1"
    assert "index" in why_not(desk)
    desk.stats()
    assert why_not(desk) == ""
    assert told(desk.decide()) == f"place BTC-PERP (nothing rests): {FIRST}"


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
    action = desk.decide()
    assert isinstance(action, Wait)
    assert action.seconds == pytest.approx(0.05, abs=0.01), "as long as it may be old"
    desk.later(action.seconds)
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


def sentences(desk: Desk, seconds: int) -> list[str]:
    """What is said of the market, once a second, until a ladder leaves and is placed."""
    said: list[str] = []
    for _ in range(seconds):
        action = desk.decide()
        said.append(dict(desk.engine.states(desk.now))[BTC])
        if isinstance(action, PlaceLadder):
            assert desk.placed(action) is None
            desk.decide()
            return [*said, dict(desk.engine.states(desk.now))[BTC]]
        desk.later(1.0)
    raise AssertionError(f"no ladder within {seconds} s: {said}")


def test_a_market_that_only_waits_for_a_request_says_so_and_no_longer() -> None:
    """A 429 that asks for 120 s: two minutes without quotes had no sentence."""
    desk = Desk.ready()
    assert desk.apply(LadderThrottled(BTC, desk.place().quote_id, 120.0)) is None
    said = sentences(desk, 130)
    assert said[0] == "waiting 122 s for the request budget: a 429 is obeyed"
    assert all(said[:-2])
    assert said[-2:] == ["", ""]


def test_what_keeps_the_requests_from_a_market_is_said() -> None:
    desk = Desk.ready()
    desk.budget_seen(24, reset_seconds=5.0)
    assert sentences(desk, 10)[0] == (
        "waiting 6 s for the request budget: what is left of this window is kept for cancels and exits"
    )
    desk = Desk.ready()
    desk.budget_seen(4, limit=20, reset_seconds=5.0)
    assert sentences(desk, 10)[0].endswith("for the request budget: the exchange states 20 a minute")
    assert any("too few to quote with" in note for note in desk.engine.take_notes())
    desk = Desk.ready()
    desk.engine.budget.recall(None, desk.now, 1e9)
    assert sentences(desk, 70)[0].endswith("what was spent before this start is not known")
    desk = Desk.ready()
    desk.engine.budget.refill(desk.now)
    desk.engine.budget.tokens = 0.0
    assert sentences(desk, 10)[0] == "waiting 1 s for the request budget: they are spent evenly"


def test_a_quoted_market_that_waits_says_nothing_and_a_better_reason_stays() -> None:
    desk = quoted()
    desk.reference(FAIR_TICKS + 500)
    desk.budget_seen(24, reset_seconds=30.0)
    desk.later(1.0)
    assert isinstance(desk.decide(), Wait)
    assert dict(desk.engine.states(desk.now))[BTC] == ""
    desk = Desk.ready()
    desk.budget_seen(24, reset_seconds=30.0)
    desk.engine.tell_wait(desk.market(), 30.0, desk.now)
    assert desk.market().nothing.startswith("waiting 30 s")
    desk.engine.tell_wait(desk.market(), 0.0, desk.now)
    assert desk.market().nothing == ""
    desk.market().nothing = "something else"
    desk.engine.tell_wait(desk.market(), 30.0, desk.now)
    assert desk.market().nothing == "something else"


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
    trip = desk.apply(ReferenceLost(VENUE, "reset"))
    assert trip is not None
    assert trip.reason is Reason.REFERENCE_STALE


def test_a_crossed_reference_is_a_trip() -> None:
    desk = quoted()
    assert desk.apply(ReferenceQuote(VENUE, "BTC", dec("50001"), dec("1"), dec("50000"), dec("1"))) is None
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.NO_FAIR_VALUE


def test_mark_and_index_apart_are_a_trip() -> None:
    desk = quoted()
    desk.stats("50000", mark="51000")
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.NO_FAIR_VALUE


def holding_both(eth_lots: int) -> Desk:
    """A hundred lots of BTC and some of ETH, both priced; BTC alone is quoted, for ETH's stream is down."""
    held = {BTC: at_position(100)}
    if eth_lots:
        held[ETH] = at_position(eth_lots, market_id=ETH, position_id="p2")
    desk = Desk.of(market(BTC), market(ETH), limits=attrs.evolve(ALL_MARKETS, drawdown_max=dec("10")))
    desk.baseline(positions=tuple(held.values()))
    desk.snapshot(BTC, positions=(held[BTC],))
    for market_id in (BTC, ETH):
        desk.stats(market_id=market_id)
        desk.reference(market_id=market_id)
    assert desk.quote().market_id == BTC
    return desk


def a_second(desk: Desk, price: int, *markets: str) -> Trip | None:
    """A second in which BTC is quoted as it should be, everything heard, and the index of these markets read."""
    action = desk.decide()
    if isinstance(action, PlaceLadder):
        desk.placed(action)
    desk.now += 1
    trips = [desk.apply(ReferenceHeard(VENUE)), desk.apply(StreamHeard(BTC))]
    desk.reference(price * 10)
    trips += [desk.apply(MarketStats(one, dec(str(price)), dec(str(price)), dec("0"))) for one in markets]
    desk.balance()
    trips.append(desk.watch())
    return next((trip for trip in trips if trip is not None), None)


def test_a_position_of_unknown_worth_pulls_every_market_for_no_loss_can_be_judged() -> None:
    """S7: with ETH's index stale the account lost what it would in BTC, quoted on, and no limit was looked at."""
    desk = holding_both(1)
    stale = desk.engine.markets[ETH].fair.settings.index_stale_seconds_max
    trips = [a_second(desk, 50_000, BTC) for _ in range(int(stale + WORTH_SECONDS_MAX) + 2)]
    assert trips[: int(stale)] == [None] * int(stale)
    (trip,) = filter(None, trips)
    assert trip.reason is Reason.NO_FAIR_VALUE
    assert ETH in trip.detail
    desk.pulled()
    assert "losses cannot be judged" in why_not(desk)
    for _ in range(20):
        a_second(desk, 50_000, BTC)
        assert not isinstance(desk.decide(), PlaceLadder)
    a_second(desk, 50_000, BTC, ETH)
    assert not why_not(desk)


def test_a_loss_is_judged_again_as_soon_as_it_can_be() -> None:
    """ETH's index is 13 s old: 0.06 of it may have gained 270 meanwhile, BTC lost 100."""
    desk = holding_both(60)
    for _ in range(12):
        a_second(desk, 50_000, BTC)
    assert a_second(desk, 49_000, BTC) is None
    trip = a_second(desk, 49_000, BTC, ETH)
    assert trip is not None
    assert trip.reason is Reason.DRAWDOWN


def test_a_market_without_a_position_needs_no_price_for_losses_to_be_judged() -> None:
    desk = holding_both(0)
    for _ in range(30):
        assert a_second(desk, 50_000, BTC) is None
        assert not why_not(desk)


def test_a_market_without_a_price_and_without_quotes_does_not_trip_the_others() -> None:
    desk = Desk.ready(market(BTC))
    desk.engine.add_market(market(ETH))
    desk.quote()
    desk.later(0.5)
    assert desk.watch() is None


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


def test_quotes_do_not_outlive_their_age_while_risk_refuses_every_new_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that the ladder is not built to fit: what rests was approved at another price."""
    monkeypatch.setattr(wanting, "acceptable", as_it_is)
    limits = attrs.evolve(LIMITS, order_value_max=dec("500.46"))
    desk = Desk.ready(attrs.evolve(market(), limits=limits))
    desk.quote()
    desk.delta()
    desk.later(1)
    desk.stats("50100")
    desk.reference(FAIR_TICKS + 1000)
    assert isinstance(desk.decide(), Wait)
    assert any("order_value_max" in note for note in desk.engine.take_notes())
    assert not too_old(desk, 2 * CYCLE.quote_age_seconds_max + 1)


@pytest.mark.parametrize("moved", [-300, 300])
def test_what_fair_value_has_passed_is_pulled_while_nothing_may_replace_it(
    monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """Risk refuses every new ladder while the old one, 2.5 bp from where fair value was, is 3.5 bp through it."""
    desk = quoted()
    desk.delta()
    monkeypatch.setattr(wanting, "acceptable", lambda *_: Ladder((), (Level(1, 1),)))
    desk.later(1)
    desk.reference(FAIR_TICKS + moved // 2)
    assert isinstance(desk.decide(), Wait)
    assert desk.watch() is None, "on hold, and fair value has not come so far"
    desk.reference(FAIR_TICKS + moved)
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.QUOTES_TOO_OLD
    assert f"a {'buy' if moved < 0 else 'sell'} at" in trip.detail
    assert "risk refused its ladder" in trip.detail


@pytest.mark.parametrize("moved", [-300, 300])
def test_what_fair_value_has_passed_is_pulled_while_a_request_is_long_in_coming(moved: int) -> None:
    """S9: a 429 that asks for a minute leaves nothing to replace it with, and the reserve is there to pull."""
    desk = quoted()
    desk.delta()
    desk.later(1)
    desk.reference(FAIR_TICKS + moved // 2)
    desk.apply(LadderThrottled(BTC, desk.place().quote_id, 60.0))
    assert desk.watch() is None, "fair value has not come so far"
    desk.reference(FAIR_TICKS + moved)
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.QUOTES_TOO_OLD
    assert f"a {'buy' if moved < 0 else 'sell'} at" in trip.detail
    assert "for the request budget: a 429 is obeyed" in trip.detail


def test_what_fair_value_has_passed_waits_for_a_request_that_is_near() -> None:
    """A pull is everybody's: for a second or two the market waits for its turn."""
    desk = quoted()
    desk.delta()
    desk.later(1)
    desk.reference(FAIR_TICKS + 150)
    desk.apply(LadderThrottled(BTC, desk.place().quote_id, 3.0))
    desk.budget_seen(60)
    desk.reference(FAIR_TICKS + 300)
    assert desk.watch() is None
    assert isinstance(desk.decide(), Wait)
    desk.later(4)
    desk.reference(FAIR_TICKS + 300)
    assert isinstance(desk.decide(), PlaceLadder)


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


# -- caps, ramp, jumps


def test_row_22_a_run_begins_with_a_share_of_its_caps_and_ends_the_ramp_by_its_first_ladder() -> None:
    """A tenth of 200 lots is 20: a level of 10 a side, beside the one that replaces it. Waiting before is no ramp."""
    slow = attrs.evolve(ALL_MARKETS, ramp_seconds=60.0)
    desk = Desk.ready(limits=slow)
    desk.later(100)
    desk.reference()
    assert told(desk.quote()) == "place BTC-PERP (nothing rests): buy 10@499749 | sell 10@500251"
    desk.delta()
    for _ in range(5):
        desk.later(11.9)
        desk.reference()
        assert lots_of(desk.quote()) == 20, why_not(desk)
        desk.delta()
    desk.later(11.9)
    desk.reference()
    assert told(desk.quote()) == f"place BTC-PERP (age): {FIRST}"


def jumpy(**changes: object) -> Desk:
    """Two markets that freeze at 40 bp within 5 s, both quoted."""
    limits = attrs.evolve(LIMITS, jump_bps=dec("40"), **changes)  # type: ignore[arg-type]
    desk = Desk.ready(*(attrs.evolve(market(one), limits=limits) for one in (BTC, ETH)))
    for one in (desk.quote(), desk.quote()):
        desk.delta(one.market_id)
    return desk


def quote_at(ticks: int, symbol: str = "BTC") -> ReferenceQuote:
    price = spec().grid.price.value(ticks)
    return ReferenceQuote(VENUE, symbol, price - dec("0.1"), dec("1"), price + dec("0.1"), dec("1"))


def test_row_2_a_jump_pulls_and_freezes_its_market_until_the_new_level_has_held() -> None:
    """41 bp at once: everything is pulled, the other market quotes again, this one after five seconds of 41 bp."""
    desk = jumpy()
    trip = desk.apply(quote_at(502_050))
    assert trip is not None
    assert trip.sentence == (
        "the fair value jumped, and the new level is not confirmed yet: BTC-PERP: +41.0 bp within 5 s, jump_bps is 40"
    )
    desk.pulled()
    assert desk.place().market_id == ETH
    assert why_not(desk, BTC) == (
        "its fair value jumped (+41.0 bp within 5 s, jump_bps is 40); "
        "waiting until the new level has held for 5 s, 5 s to go"
    )
    desk.later(4.9)
    desk.apply(quote_at(502_060))
    assert "fair value jumped" in why_not(desk, BTC)
    desk.later(0.2)
    desk.apply(quote_at(502_060))
    assert why_not(desk, BTC) == ""


def test_row_2_a_jump_of_a_market_that_is_not_quoted_pulls_nobody() -> None:
    """It freezes all the same; the other market's quotes stay."""
    limits = attrs.evolve(LIMITS, jump_bps=dec("40"))
    desk = Desk.ready(*(attrs.evolve(market(one), limits=limits) for one in (BTC, ETH)))
    first, other = desk.quote().market_id, {BTC: ETH, ETH: BTC}
    assert desk.apply(quote_at(502_050, other[first].removesuffix("-PERP"))) is None
    assert "fair value jumped" in why_not(desk, other[first])
    assert why_not(desk, first) == ""
    assert desk.engine.exposed


def test_row_2_a_jump_told_while_quotes_are_pulled_freezes_all_the_same() -> None:
    desk = jumpy()
    assert desk.lost(BTC) is not None
    assert desk.apply(quote_at(502_050)) is None
    desk.pulled()
    desk.snapshot(BTC)
    assert "fair value jumped" in why_not(desk, BTC)


def test_row_2_the_index_may_jump_too() -> None:
    """Fair value is reference and basis, and the basis follows the index: here at once."""
    limits = attrs.evolve(LIMITS, jump_bps=dec("40"))
    one = market()
    desk = Desk.ready(attrs.evolve(one, limits=limits, fair=attrs.evolve(one.fair, basis_half_life_seconds=0.001)))
    desk.quote()
    desk.now += 1.0
    trip = desk.apply(attrs.evolve(STATS, index=dec("50230"), mark=dec("50230")))
    assert trip is not None
    assert trip.reason is Reason.PRICE_JUMP


def test_row_2_a_source_that_falls_silent_may_move_the_price_by_the_mere_passing_of_time() -> None:
    """Two sources, one of them 20 bp up; when it is left out for its age the mean is 10 bp lower at once."""
    one = market()
    fair = attrs.evolve(
        one.fair,
        sources={VENUE: SourceSettings("BTC", 10.0), "other": SourceSettings("BTC", 2.0)},
        combine=Combine.MEAN,
        outlier_bps_max=dec("50"),
    )
    desk = Desk.ready(attrs.evolve(one, fair=fair, limits=attrs.evolve(LIMITS, jump_bps=dec("9"), jump_seconds=1.5)))
    desk.apply(attrs.evolve(quote_at(FAIR_TICKS), source="other"))
    for step in range(5):
        desk.now += 1.0
        assert desk.apply(attrs.evolve(quote_at(FAIR_TICKS + 200 * (step + 1)), source="other")) is None
    desk.quote()
    desk.now += 2.1
    trip = desk.watch()
    assert trip is not None
    assert trip.reason is Reason.PRICE_JUMP


def test_row_4_a_burst_pulls_freezes_and_quotes_again_by_itself() -> None:
    """Deribit's frozen time."""
    limits = attrs.evolve(LIMITS, burst_size_max=dec("0.03"), burst_freeze_seconds=20.0)
    desk = Desk.ready(*(attrs.evolve(market(one), limits=limits) for one in (BTC, ETH)))
    for one in (desk.quote(), desk.quote()):
        desk.delta(one.market_id)
    trip = desk.delta(fills=(a_fill("t1", Side.BUY, 31),), positions=(at_position(31),))
    assert trip is not None
    assert trip.reason is Reason.BURST
    assert trip.reason.recoverable
    desk.pulled()
    assert desk.place().market_id == ETH
    assert why_not(desk, BTC) == (
        "it traded too much (0.031 within 10 s, burst_size_max is 0.03); frozen for another 20 s"
    )
    desk.later(20.1)
    desk.reference()
    assert why_not(desk, BTC) == ""


# -- S24: while in doubt, only what reduces

doubts = st.lists(
    st.tuples(
        st.sampled_from(
            ["quote", "lost", "snapshot", "unknown", "refused", "unnamed", "read", "halted", "trip", "pulled", "final"]
        ),
        st.sampled_from([0.0, 0.3, 1.1, 31.0]),
    ),
    max_size=20,
)


QUOTED = [("snapshot", 0.0), ("quote", 0.0)]
AND_LATER = [("quote", 31.0), ("quote", 1.1)]


@given(doubts, st.sampled_from([0, 30, LIMIT, -LIMIT - 5]))
@example([*QUOTED, ("halted", 0.3), ("pulled", 0.3), *AND_LATER], 0)
@example([*QUOTED, ("lost", 0.3), ("pulled", 0.3), *AND_LATER], 0)
@example([*QUOTED, ("unknown", 11.0), *AND_LATER], 0)
@example([*QUOTED, ("unnamed", 11.0), *AND_LATER], 30)
@example([*QUOTED, ("refused", 11.0), *AND_LATER], -LIMIT - 5)
@example([*QUOTED, ("final", 0.3), ("pulled", 0.3), *AND_LATER], 30)
@thorough
def test_s24_nothing_but_reads_while_resync_unknown_or_halted_and_only_exits_beyond_the_limit(
    script: list[tuple[str, float]], position: int
) -> None:
    """S24: for any order of doubts: what is decided meanwhile is a read, a wait, or orders that only reduce."""
    positions = (at_position(position),) if position else ()
    desk = Desk.of()
    desk.baseline(positions=positions)
    live, known, trading, holding, over = False, True, True, False, False
    desk.stats()
    desk.reference()

    for what, elapsed in script:
        desk.later(elapsed)
        desk.reference()
        action = desk.decide()
        if isinstance(action, PlaceLadder):
            assert live, "RESYNC"
            assert known, "UNKNOWN"
            assert trading, "the exchange has halted it"
            assert not holding, "quotes are being pulled"
            assert not over, "the run has ended"
            assert all(order.lots > 0 for order in action.orders)
            if abs(position) >= LIMIT:
                assert all(order.reduce_only for order in action.orders)
                assert {order.side.sign for order in action.orders} == {-1 if position > 0 else 1}
                assert lots_of(action) <= abs(position)
            match what:
                case "unknown":
                    holding = desk.unknown(action) is not None or holding
                    known = False
                case "refused":
                    desk.refused(action, "INVALID_PRICE", 400)
                    known = False
                case "unnamed":
                    desk.placed(action, named=False)
                    known = False
                case _:
                    desk.placed(action)
        match what:
            case "lost" if live:
                holding = desk.lost() is not None or holding
                live = False
            case "snapshot" if not live and trading:
                desk.snapshot(positions=positions)
                live = True
            case "read" if not known and not holding and isinstance(desk.decide(), ReadOrders):
                desk.still_resting()
                known = True
            case "halted" if trading:
                holding = desk.apply(SpecRead(spec(), active=False)) is not None or holding
                trading = False
            case "trip":
                holding = desk.engine.trip(Reason.LOOP_LAG, "as scripted") is not None or holding
            case "final":
                desk.engine.trip(Reason.DRAWDOWN, "as scripted")
                holding = over = True
            case "pulled" if holding or not known:
                desk.pulled()
                holding, known = False, True
            case _:
                pass


# -- what risk refuses


def test_a_risk_refusal_is_said_and_the_market_waits_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanting, "acceptable", as_it_is)
    limits = attrs.evolve(LIMITS, order_size_max=dec("0.009"))
    desk = Desk.ready(attrs.evolve(market(), limits=limits))
    assert isinstance(desk.decide(), Wait)
    assert desk.engine.take_notes() == ["BTC-PERP: risk refused a ladder: size 0.010 is above order_size_max"]
    assert isinstance(desk.decide(), Wait)
    assert desk.engine.take_notes() == [], "asked again at once, it says nothing"


def test_a_ladder_that_was_refused_is_not_sent_again_and_that_is_said() -> None:
    desk = Desk.ready()
    assert desk.refused(desk.place(), "INVALID_PRICE", 400) is None
    desk.still_resting()
    desk.later(2.0)
    assert isinstance(desk.decide(), Wait)
    assert "refused this very ladder" in why_not(desk)
    desk.reference(FAIR_TICKS + 100)
    assert isinstance(desk.decide(), PlaceLadder)
    assert why_not(desk) == ""


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
                desk.apply(ReferenceHeard(VENUE))
                heard["reference"] = desk.now
            case "crossed":
                desk.apply(ReferenceQuote(VENUE, "BTC", dec("2"), dec("1"), dec("1"), dec("1")))
                heard["reference"], priced = desk.now, False
            case "feed lost":
                trip = desk.apply(ReferenceLost(VENUE, "reset"))
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
