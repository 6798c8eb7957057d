"""One market: why it is not quoted, what its worst case is worth, and what a new listing changes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from maker.desk.events import LadderUnsent, PlaceLadder, SpecRead
from maker.desk.market import GridChanged
from maker.desk.units import Side

from .scripted import BTC, CYCLE, FAIR_TICKS, VENUE, Desk, a_fill, at_position, quoted, spec

# -- holding back


def test_each_reason_not_to_quote_has_its_sentence() -> None:
    """In the order in which they matter."""
    desk = Desk.ready()
    each = desk.market()
    assert each.not_quoting(CYCLE, desk.now) == ""
    each.unexplained_since = desk.now
    sentences = [each.not_quoting(CYCLE, desk.now)]
    each.setbacks.hold(desk.now, "it was told to")
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.burst.frozen_until = desk.now + 1
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.jumps.frozen_until = desk.now + 1
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.fair.lost(VENUE)
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.orders_known = False
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.heard_at = desk.now - CYCLE.stream_fresh_seconds_max - 0.1
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.live = False
    sentences.append(each.not_quoting(CYCLE, desk.now))
    each.halt(desk.now)
    sentences.append(each.not_quoting(CYCLE, desk.now))
    words = ["disagree", "it was told to", "traded too much", "jumped", "no price", "not known", "not been heard"]
    words += ["waiting for a new snapshot", "has halted this market"]
    assert all(word in sentence for word, sentence in zip(words, sentences, strict=True)), sentences


def test_a_hold_ends() -> None:
    desk = Desk.ready()
    desk.market().setbacks.hold(desk.now, "it was told to", 1.5)
    assert desk.market().not_quoting(CYCLE, desk.now + 1.4)
    assert not desk.market().not_quoting(CYCLE, desk.now + 1.5)


# -- what became of a ladder


def on_its_way() -> tuple[Desk, PlaceLadder]:
    """A desk whose second ladder has left and is not answered yet."""
    desk = quoted()
    desk.later(1)
    desk.reference(FAIR_TICKS + 60)
    return desk, desk.place()


def hit(desk: Desk, client_order_id: str, ticks: int) -> None:
    """Somebody takes one whole bid."""
    fill = a_fill("t1", Side.BUY, 10, ticks=ticks, client_order_id=client_order_id)
    assert desk.delta(fills=(fill,), positions=(at_position(10),)) is None


def test_a_fill_told_before_its_ladders_answer_makes_a_replace_due() -> None:
    """F23: the answer says what was placed, not that all of it still rests."""
    desk, action = on_its_way()
    bid = next(order for order in action.orders if order.side is Side.BUY)
    hit(desk, bid.client_order_id, bid.ticks)
    assert desk.placed(action) is None
    desk.later(0.5)
    assert desk.place().why == "filled"


def test_a_fill_of_the_old_ladder_while_the_new_one_is_on_its_way_makes_a_replace_due() -> None:
    """The new one was built for the position before."""
    desk, action = on_its_way()
    old = next(order for order in desk.market().account.resting.values() if order.side is Side.BUY)
    hit(desk, old.client_order_id, old.ticks)
    assert desk.placed(action) is None
    desk.later(0.5)
    assert desk.place().why == "filled"


def test_what_was_wrong_with_what_rests_is_still_wrong_when_its_replacement_was_not_placed() -> None:
    desk = quoted()
    bid = next(iter(desk.market().account.resting.values()))
    hit(desk, bid.client_order_id, bid.ticks)
    desk.later(1)
    action = desk.place()
    assert action.why == "filled"
    assert desk.apply(LadderUnsent(BTC, action.quote_id, "reset")) is None
    desk.later(2)
    assert desk.place().why == "filled"


def test_a_replace_puts_right_what_was_wrong_when_it_left() -> None:
    desk = quoted()
    bid = next(iter(desk.market().account.resting.values()))
    hit(desk, bid.client_order_id, bid.ticks)
    desk.later(1)
    assert desk.quote().why == "filled"
    desk.later(2)
    assert not isinstance(desk.decide(), PlaceLadder)


# -- worth


def test_the_worst_case_has_a_value_with_and_without_a_price() -> None:
    """Position 20 and 30 lots bid: 50 lots, 2500 at 50000; without a fair value the mark stands in, else the entry."""
    desk = Desk.of()
    desk.baseline(positions=(at_position(20),))
    each = desk.market()
    assert each.worst_value(desk.now) == 1000
    desk.snapshot(positions=(at_position(20),))
    desk.stats("50000", mark="50100")
    assert each.worst_value(desk.now) == 1002
    desk.reference()
    assert each.worst_value(desk.now) == 1000
    desk.quote()
    assert each.worst_value(desk.now) == 2500
    desk.later(5, alive=False)
    assert each.worst_value(desk.now) == 2505


def test_the_worst_case_of_a_short_position_counts_too() -> None:
    desk = Desk.of()
    desk.baseline(positions=(at_position(-20),))
    assert desk.market().worst_value(desk.now) == 1000


# -- a new listing


def test_new_bands_and_fees_are_taken() -> None:
    desk = Desk.ready()
    assert desk.apply(SpecRead(spec(band=(499_700, 500_300), maker_fee_bps="2"))) is None
    action = desk.place()
    assert all(499_700 <= order.ticks <= 500_300 for order in action.orders)
    assert action.orders


def test_the_same_grid_written_otherwise_is_the_same_grid() -> None:
    """0.10 is 0.1: no reason to end the run."""
    desk = Desk.ready()
    assert desk.apply(SpecRead(spec(tick="0.10", lot="0.0010"))) is None
    assert isinstance(desk.market().account.spec.grid.price.step, Decimal)


@pytest.mark.parametrize(("tick", "lot"), [("0.5", "0.001"), ("0.1", "0.01")])
def test_another_grid_ends_the_run(tick: str, lot: str) -> None:
    """Every integer we hold would mean another price."""
    desk = Desk.ready()
    with pytest.raises(GridChanged, match=BTC):
        desk.apply(SpecRead(spec(tick=tick, lot=lot)))
