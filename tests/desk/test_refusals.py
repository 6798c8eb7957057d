"""Refused for what was asked: the next ladder is another or waits, and one market's trouble is not everybody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import attrs
import pytest

from maker.desk.deadman import Reason, Trip
from maker.desk.events import LadderUnsent, MarketSpec, OpenOrdersRead, PlaceLadder, ReadOrders, SpecRead, Wait
from maker.desk.setbacks import LEAST_SECONDS, MARKET_HOLD_SECONDS, PLACE_FAILURES_MAX

from .scripted import BTC, ETH, FAIR_TICKS, START, Desk, dec, market, spec, why_not

NO_MINIMUM: Final = spec(lots_min=0)  # as the newer listing has it
UNKNOWN_CODE: Final = "IN_NO_DOCUMENT"
CROSSING: Final = "POST_ONLY_WOULD_CROSS"

Answer = Callable[[Desk, PlaceLadder], Trip | None]


def refusing(code: str, status: int = 422) -> Answer:
    return lambda desk, action: desk.refused(action, code, status)


def dropping(code: str, levels: slice) -> Answer:
    """Applied, but for these levels."""
    return lambda desk, action: desk.placed(
        action, codes={order.client_order_id: code for order in action.orders[levels]}
    )


ALL: Final = slice(None)
LAST: Final = slice(-1, None)


def played(answer: Answer, minutes: int = 10) -> tuple[Desk, Counter[str], list[Trip]]:
    """Two markets with moving prices; the ladders of one are answered so, those of the other are taken."""
    desk = Desk.ready(market(BTC), market(ETH))
    ladders, trips = Counter[str](), list[Trip]()
    for step in range(minutes * 120):
        desk.later(0.5)
        for market_id in (BTC, ETH):
            desk.reference(FAIR_TICKS + step % 7 * 60, market_id=market_id)
            desk.delta(market_id)
        trip = desk.watch()
        action = desk.decide()
        while trip is None and not isinstance(action, Wait):
            if isinstance(action, PlaceLadder):
                ladders[action.market_id] += 1
                trip = answer(desk, action) if action.market_id == BTC else desk.placed(action)
                desk.delta(action.market_id)
            else:
                assert isinstance(action, ReadOrders)
                desk.still_resting()
            action = desk.decide()
        if trip is not None:
            trips.append(trip)
            desk.pulled()
    return desk, ladders, trips


# -- a market whose ladders are never taken


@pytest.mark.parametrize(
    "answer",
    [
        refusing("OFF_TICK"),
        refusing(CROSSING),
        refusing("MARKET_NOT_FOUND", 404),
        refusing("INSUFFICIENT_BUCKET", 400),
        dropping("OFF_TICK", ALL),
        dropping(CROSSING, ALL),
    ],
)
def test_a_market_that_is_always_refused_asks_ever_more_rarely_and_costs_the_other_nothing(answer: Answer) -> None:
    """Its pauses grow to half a minute; of the market that is taken nothing is ever pulled."""
    desk, ladders, trips = played(answer)
    assert trips == []
    assert 600 / MARKET_HOLD_SECONDS - 3 < ladders[BTC] < 600 / MARKET_HOLD_SECONDS + 8
    assert ladders[ETH] > 300
    assert desk.market(ETH).account.resting
    assert "refused" in why_not(desk) or "failed" in why_not(desk), "and it says so"


def test_what_rests_is_pulled_after_so_many_refusals_in_a_row() -> None:
    """The old ladder of that very market rests on: it is left alone by now."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.placed(desk.place())
    desk.placed(desk.place())
    trips: list[Trip | None] = []
    while len(trips) < PLACE_FAILURES_MAX:
        desk.later(1)
        desk.delta(BTC)
        desk.delta(ETH)
        desk.reference(FAIR_TICKS - 20 * int(desk.now - START), market_id=BTC)
        action = desk.decide()
        if isinstance(action, ReadOrders):
            desk.still_resting()
        elif isinstance(action, PlaceLadder):
            assert action.market_id == BTC
            trips.append(desk.refused(action, "OFF_TICK"))
    assert trips[:-1] == [None] * (PLACE_FAILURES_MAX - 1)
    assert trips[-1] is not None
    assert trips[-1].reason is Reason.ORDERS_FAILING


def test_a_wire_that_fails_one_market_pulls_what_rests_in_another() -> None:
    """A refusal is one market's matter; a wire that fails three times in a row is everybody's."""
    _, _, trips = played(lambda desk, action: desk.apply(LadderUnsent(BTC, action.quote_id, "reset")), minutes=1)
    assert {trip.reason for trip in trips} == {Reason.ORDERS_FAILING}


def test_one_level_that_is_always_refused_leaves_the_pace_as_it_is() -> None:
    """What the exchange takes of the ladder rests: no reason to ask again before the price moves."""
    _, usual, _ = played(lambda desk, action: desk.placed(action))
    desk, ladders, trips = played(dropping("PRICE_OUT_OF_BAND", LAST))
    assert trips == []
    assert ladders == usual
    assert desk.market().account.resting


def test_levels_that_are_taken_again_end_the_pauses() -> None:
    desk = Desk.ready()
    for codes in (CROSSING, CROSSING, None, CROSSING):
        desk.later(10)
        desk.delta()
        desk.reference(FAIR_TICKS + int(desk.now - START))
        action = desk.place()
        desk.placed(action, codes={order.client_order_id: codes for order in action.orders} if codes else {})
    assert desk.market().setbacks.partly == 1


# -- halted


def test_a_market_halted_level_by_level_is_halted() -> None:
    """F32: nothing of it rests then, and the other market is no part of it."""
    desk, ladders, trips = played(dropping("MARKET_HALTED", ALL), minutes=1)
    assert desk.market().halted
    assert (ladders[BTC], trips) == (1, [])


def test_a_halt_while_nothing_of_that_market_rests_pulls_nothing_of_the_other() -> None:
    """F32: where the listing does not say what trades, a halted market is tried every half minute."""

    def halted(desk: Desk, action: PlaceLadder) -> Trip | None:
        trip = desk.refused(action, "MARKET_HALTED", 409)
        assert desk.apply(SpecRead(spec(), active=True)) is None
        desk.market().resnapshot_due = False
        desk.snapshot(BTC)
        return trip

    desk, ladders, trips = played(halted)
    assert trips == []
    assert 600 / MARKET_HOLD_SECONDS - 2 < ladders[BTC] < 600 / MARKET_HOLD_SECONDS + 2
    assert desk.market(ETH).account.resting
    assert desk.apply(SpecRead(spec(), active=False)) is None


# -- sizes


def with_a_small_level(market_spec: MarketSpec) -> Desk:
    """Each side has room for half of what the limit leaves: levels of 10 and 5."""
    one, limit = market(market_spec=market_spec), dec("0.030")
    limits, ladder = attrs.evolve(one.limits, position_limit=limit), attrs.evolve(one.ladder, position_limit=limit)
    return Desk.ready(attrs.evolve(one, limits=limits, ladder=ladder))


def sizes_of(action: PlaceLadder) -> list[int]:
    return sorted({order.lots for order in action.orders})


def test_an_order_refused_for_its_size_where_no_minimum_is_stated_is_not_as_small_again() -> None:
    """The next ladder is another one: no failure, nothing is on hold, and what rests is replaced at once."""
    desk = with_a_small_level(NO_MINIMUM)
    action = desk.place()
    assert sizes_of(action) == [5, 10]
    assert desk.refused(action, UNKNOWN_CODE) is None
    (note,) = desk.engine.take_notes()
    assert note.endswith("states no minimum size, and refused an order of 0.005: none below 0.010 is sent for 60 s")
    assert isinstance(desk.decide(), ReadOrders)
    desk.apply(OpenOrdersRead(()))
    again = desk.place()
    assert sizes_of(again) == [10]
    assert desk.market().setbacks.failures == 0
    assert desk.refused(again, UNKNOWN_CODE) is None
    assert desk.engine.take_notes() == []
    assert desk.market().setbacks.failures == 1, "a whole level's size is not why"


@pytest.mark.parametrize(
    ("market_spec", "code", "status"),
    [
        (spec(), UNKNOWN_CODE, 422),
        (NO_MINIMUM, CROSSING, 422),
        (NO_MINIMUM, UNKNOWN_CODE, 404),
        (NO_MINIMUM, UNKNOWN_CODE, 409),
    ],
)
def test_no_size_is_learned_where_it_cannot_be_why(market_spec: MarketSpec, code: str, status: int) -> None:
    """A minimum is stated, the code has another meaning, or the status has."""
    desk = with_a_small_level(market_spec)
    desk.refused(desk.place(), code, status)
    assert desk.market().setbacks.failures == 1
    assert desk.market().lots_min(desk.now) == market_spec.lots_min


def test_one_level_refused_for_its_size_is_left_out() -> None:
    """The rest rests. A code that we know teaches nothing."""
    for code, sizes in ((UNKNOWN_CODE, [10]), (CROSSING, [5, 10])):
        desk = with_a_small_level(NO_MINIMUM)
        action = desk.place()
        desk.placed(action, codes={order.client_order_id: code for order in action.orders if order.lots == 5})
        desk.delta()
        desk.later(1)
        desk.reference(FAIR_TICKS + 5)
        assert sizes_of(desk.place()) == sizes


def test_an_answer_without_names_proves_no_size() -> None:
    """Levels may have been left out of what it applied."""
    desk = with_a_small_level(NO_MINIMUM)
    desk.placed(desk.place(), named=False)
    assert desk.market().setbacks.least.accepted is None


def test_a_wrong_suspicion_passes() -> None:
    """An order may be worth 6 of 10 lots: all is below a whole level then, and it says why nothing is quoted."""
    one = market(market_spec=NO_MINIMUM)
    desk = Desk.ready(attrs.evolve(one, limits=attrs.evolve(one.limits, order_value_max=dec("300.6"))))
    action = desk.place()
    assert sizes_of(action) == [6]
    desk.refused(action, "MARKET_NOT_TRADABLE")
    desk.apply(OpenOrdersRead(()))
    assert isinstance(desk.decide(), Wait)
    assert why_not(desk) == "the exchange refused an order for what may be its size: for now none below 0.010 is sent"
    desk.later(LEAST_SECONDS - 1)
    assert isinstance(desk.decide(), Wait)
    desk.later(1)
    desk.reference(FAIR_TICKS + 5)
    assert sizes_of(desk.place()) == [6]


def test_a_whole_level_is_tried_whatever_was_learned() -> None:
    desk = with_a_small_level(NO_MINIMUM)
    desk.refused(desk.place(), UNKNOWN_CODE)
    one = desk.market()
    assert one.lots_min(desk.now) == 10
    one.relisted(spec(lots_min=12))
    assert one.lots_min(desk.now) == 12, "the listing's own, where it states one"
    one.ladder_settings = attrs.evolve(one.ladder_settings, level_size=dec("0.008"))
    one.relisted(NO_MINIMUM)
    assert one.lots_min(desk.now) == 8
