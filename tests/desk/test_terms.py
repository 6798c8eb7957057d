"""What previews teach: margin per value, fees, and when to ask again."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import FeesRead, Liquidity, PreviewOrder, PreviewRead, SpecRead
from maker.desk.ladder import Ladder
from maker.desk.terms import PREVIEW_GAP_SECONDS, TEACHES_INTERVALS, Terms
from maker.desk.units import Side

from .scripted import (
    BTC,
    ETH,
    FAIR_TICKS,
    MARGIN,
    START,
    Desk,
    a_fill,
    at_position,
    dec,
    market,
    quick,
    quoted,
    spec,
)

SECONDS = 60.0
LIMIT_LOTS = 200
ASKING = attrs.evolve(MARGIN, preview_seconds=SECONDS)


def said(
    margin: str = "60",
    *,
    side: Side = Side.BUY,
    fee_bps: str = "1",
    liquidity: Liquidity = Liquidity.MAKER,
    notional: str = "1000",
) -> PreviewRead:
    return PreviewRead(BTC, side, dec(notional), dec(margin), dec(fee_bps), liquidity, dec("123456"))


# -- when to ask


def test_never_means_never() -> None:
    assert not Terms().due(0, LIMIT_LOTS, 0.0, START)


def test_at_first_and_then_each_interval() -> None:
    terms = Terms()
    assert terms.due(0, LIMIT_LOTS, SECONDS, START)
    terms.asked_at = START
    assert not terms.due(0, LIMIT_LOTS, SECONDS, START + SECONDS - 0.1)
    assert terms.due(0, LIMIT_LOTS, SECONDS, START + SECONDS)


@pytest.mark.parametrize(
    ("before", "after", "soon"),
    [(0, 1, True), (1, 0, True), (5, -5, True), (10, 59, False), (10, 60, True), (10, 11, False), (0, 0, False)],
)
def test_soon_after_the_position_turned_or_moved_far(before: int, after: int, soon: bool) -> None:
    """Another side, or a quarter of the limit of 200; never sooner than the gap."""
    terms = Terms(asked_at=START, asked_position_lots=before)
    assert terms.due(after, LIMIT_LOTS, SECONDS, START + PREVIEW_GAP_SECONDS) == soon
    assert not terms.due(after, LIMIT_LOTS, SECONDS, START + PREVIEW_GAP_SECONDS - 0.1)


def test_soon_after_margin_was_refused() -> None:
    """S11: what we took margin to cost is not what it costs."""
    desk = Desk.ready(margin=ASKING)
    desk.quote()
    assert desk.engine.previews_due(desk.now)
    desk.later(10)
    desk.reference(FAIR_TICKS + 100)
    assert desk.engine.previews_due(desk.now) == ()
    desk.refused(desk.place(), "INSUFFICIENT_MARGIN")
    assert desk.engine.previews_due(desk.now)


# -- what to ask


def test_the_innermost_of_each_side_is_asked_about_once() -> None:
    desk = Desk.ready(margin=ASKING)
    assert desk.engine.previews_due(desk.now) == (), "nothing is quoted yet"
    desk.quote()
    assert desk.engine.previews_due(desk.now) == (
        PreviewOrder(BTC, Side.BUY, 499_749, 10),
        PreviewOrder(BTC, Side.SELL, 500_251, 10),
    )
    assert desk.engine.previews_due(desk.now) == ()


def test_an_order_that_only_reduces_is_not_asked_about() -> None:
    """It takes no margin whatever margin costs, and would teach a ratio of nothing."""
    desk = quoted()
    account = desk.market().account
    account.position_lots = account.position_summed_lots = 10
    ladder = desk.market().quoted
    assert ladder is not None
    assert [asked.side for asked in Terms().ask(account, ladder, START)] == [Side.BUY]
    account.position_lots = -9
    assert [asked.side for asked in Terms().ask(account, ladder, START)] == [Side.BUY, Side.SELL]


def test_an_empty_ladder_is_nothing_to_ask_about() -> None:
    """And it does not use the turn up: the next ladder is asked about at once."""
    desk = Desk.ready(margin=ASKING)
    desk.quote()
    ladder = desk.market().quoted
    desk.market().quoted = Ladder((), ())
    assert desk.engine.previews_due(desk.now) == ()
    desk.market().quoted = ladder
    assert len(desk.engine.previews_due(desk.now)) == 2


def test_nothing_is_asked_while_quotes_are_pulled() -> None:
    desk = Desk.ready(margin=ASKING)
    desk.quote()
    desk.lost()
    assert desk.engine.previews_due(desk.now) == ()


# -- margin


def test_the_larger_side_teaches_until_it_is_old() -> None:
    """A bid that nets against resting asks takes less than it would alone: the ask's ratio is the one that tells."""
    terms = Terms()
    assert terms.margin_ratio(dec("0.1"), SECONDS, START) == dec("0.1")
    terms.learn(said("20", side=Side.BUY), dec("1"), START)
    terms.learn(said("60", side=Side.SELL), dec("1"), START + 1)
    assert terms.margin_ratio(dec("0.1"), SECONDS, START + 1) == dec("0.06")
    last = START + TEACHES_INTERVALS * SECONDS
    assert terms.margin_ratio(dec("0.1"), SECONDS, last + 0.5) == dec("0.06")
    assert terms.margin_ratio(dec("0.1"), SECONDS, last + 1.5) == dec("0.1")


@pytest.mark.parametrize(("margin", "notional"), [("0", "1000"), ("-5", "1000"), ("1001", "1000"), ("1", "0")])
def test_what_makes_no_sense_teaches_nothing(margin: str, notional: str) -> None:
    terms = Terms()
    terms.learn(said(margin, notional=notional), dec("1"), START)
    assert terms.margin_ratio(dec("0.1"), SECONDS, START) == dec("0.1")


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(-10, 1_200)), max_size=12))
@quick
def test_a_ratio_is_always_one(seen: list[tuple[Side, int]]) -> None:
    terms = Terms()
    for side, margin in seen:
        terms.learn(said(str(margin), side=side), dec("1"), START)
    assert 0 < terms.margin_ratio(dec("0.1"), SECONDS, START) <= 1


def test_what_was_taught_decides_how_much_fits() -> None:
    """Checklist 8: twice the margin a lot, half the lots."""
    desk = Desk.ready(margin=ASKING)
    desk.quote()
    each = desk.market()
    before = desk.engine.allowed(each, desk.now).lots_max
    assert desk.apply(attrs.evolve(said("100"), notional=dec("1000"))) is None
    after = desk.engine.allowed(each, desk.now).lots_max
    assert before is not None
    assert after is not None
    assert after == before // 2


# -- fees


def innermost(desk: Desk) -> int:
    """The innermost bid of a ladder that stands as near to fair value as the edge lets it."""
    each = desk.market()
    each.ladder_settings = attrs.evolve(each.ladder_settings, edge_bps_min=dec("10"))
    desk.later(10)
    desk.reference()
    action = desk.place()
    desk.placed(action)
    desk.delta()
    return action.orders[0].ticks


def test_the_edge_takes_the_worse_of_old_and_new_fee() -> None:
    """PRICING, grid and bands: 10 bp of edge and 1 bp of fee stand off 550 ticks; a fee of 3 bp stands off 650."""
    desk = Desk.ready()
    assert innermost(desk) == FAIR_TICKS - 550
    desk.apply(said(fee_bps="3"))
    assert innermost(desk) == FAIR_TICKS - 650
    assert desk.engine.take_notes() == ["BTC-PERP: the maker fee is now 3 bp, it was 1 bp; volume of 30 days 123456"]
    desk.apply(said(fee_bps="2"))
    assert innermost(desk) == FAIR_TICKS - 650, "the old one may still be in force"
    desk.apply(said(fee_bps="2"))
    assert innermost(desk) == FAIR_TICKS - 600, "heard twice"


def test_a_listing_does_not_bring_the_old_fee_back() -> None:
    """The listing poll states the fees of the start; fills are booked at what a preview said since."""
    desk = Desk.ready()
    desk.apply(said(fee_bps="2"))
    desk.apply(said(fee_bps="7", liquidity=Liquidity.TAKER))
    desk.apply(SpecRead(spec()))
    told = desk.market().account.spec
    assert (told.maker_fee_bps, told.taker_fee_bps) == (dec("2"), dec("7"))
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    assert desk.market().account.fees == Decimal("0.1")


def test_another_market_learns_nothing() -> None:
    desk = Desk.ready(market(BTC), market(ETH))
    desk.apply(said(fee_bps="2"))
    assert desk.market(ETH).account.spec.maker_fee_bps == 1
    assert desk.market(ETH).terms == Terms()


# -- fees read with the listing


def test_a_fee_that_is_another_now_moves_the_edge_without_any_preview() -> None:
    """10 bp of edge and 6 of fee stand off 800 ticks; and the worse of old and new, until it was read twice."""
    desk = Desk.ready()
    assert innermost(desk) == FAIR_TICKS - 550
    desk.apply(FeesRead(BTC, dec("6"), dec("9")))
    assert desk.engine.take_notes() == [
        "BTC-PERP: the maker fee is now 6 bp, it was 1 bp; the taker fee is now 9 bp, it was 5 bp"
    ]
    assert innermost(desk) == FAIR_TICKS - 800
    desk.apply(FeesRead(BTC, dec("-1"), dec("5")))
    assert innermost(desk) == FAIR_TICKS - 800
    desk.apply(FeesRead(BTC, dec("-1"), dec("5")))
    assert innermost(desk) == FAIR_TICKS - 450, "a rebate"
    told = desk.market().account.spec
    assert (told.maker_fee_bps, told.taker_fee_bps) == (dec("-1"), dec("5"))


def test_a_preview_of_an_order_of_ours_tells_more_than_the_list() -> None:
    desk = Desk.ready(margin=ASKING)
    desk.apply(said(fee_bps="3"))
    desk.apply(FeesRead(BTC, dec("1"), dec("8")))
    told = desk.market().account.spec
    assert (told.maker_fee_bps, told.taker_fee_bps) == (dec("3"), dec("8"))
    desk.now += TEACHES_INTERVALS * SECONDS + 1
    desk.apply(FeesRead(BTC, dec("1"), dec("8")))
    assert desk.market().account.spec.maker_fee_bps == 1


def test_an_order_refused_with_400_has_the_listing_read_again() -> None:
    """PRICING: a grid, a band or a fee may have changed."""
    desk = Desk.ready()
    assert not desk.engine.listing_due
    desk.refused(desk.place(), "INVALID_PRICE", 400)
    assert desk.engine.listing_due
