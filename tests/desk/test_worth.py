"""One market's worth: cash, position at mark, and what of it the exchange's balance shows."""

from __future__ import annotations

import attrs
import pytest

from maker.desk.events import BalanceRead, ReferenceLost
from maker.desk.units import Side, exact
from maker.desk.worth import VALUED_SECONDS

from .scripted import VENUE, Desk, a_fill, at_position, dec, holding


def test_the_balance_change_of_fills_is_realised_profit_less_fees() -> None:
    """Bought 10 at 50000, sold 4 at 50500: 0.004 * 500 realised, less both fees; the rest is held at entry."""
    desk = Desk.ready()
    desk.delta(
        fills=(a_fill("t1", Side.BUY, 10), a_fill("t2", Side.SELL, 4, ticks=505_000)),
        positions=(attrs.evolve(at_position(6), entry_price=dec("50000")),),
    )
    fees = dec("0.05") + dec("0.0202")
    assert desk.market().worth.balance_change == 2 - fees
    assert desk.market().position_text == "0.006"


def test_a_price_of_many_digits_is_not_rounded() -> None:
    """An entry price is an average: the exchange may state it with more digits than a Decimal usually keeps."""
    entry = dec("50000.12345678901234567890123456789")
    desk = Desk.of()
    desk.baseline(positions=(attrs.evolve(at_position(1_000), entry_price=entry),))
    desk.stats()
    found = desk.market().worth.unrealized, desk.market().worth.unrealized_start
    desk.engine.money_read(BalanceRead(dec("10000"), dec("9000"), None), desk.now)
    reading = desk.engine.margin.reading
    assert reading is not None
    with exact():
        assert found == (50_000 - entry, 50_000 - entry)
        assert reading.equity == 60_000 - entry


# -- whether it can be judged


def test_what_is_worth_something_is_judged_by_a_mark_that_we_would_quote_by() -> None:
    """An old one, or one far from its index, is none; without a position none is needed."""
    desk = Desk.ready()
    desk.stats()
    each = desk.market()
    assert each.worth.known(each.fair, desk.now + 3600)
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    assert each.worth.known(each.fair, desk.now)
    assert each.worth.known(each.fair, desk.now + each.fair.settings.index_stale_seconds_max)
    assert not each.worth.known(each.fair, desk.now + each.fair.settings.index_stale_seconds_max + 0.1)
    desk.stats("50000", mark="50501")
    assert not each.worth.known(each.fair, desk.now)
    desk.stats("50000", mark="50500")
    assert each.worth.known(each.fair, desk.now)


def test_nothing_is_judged_by_half_of_the_news_or_before_there_is_a_mark() -> None:
    desk = Desk.of()
    desk.baseline(positions=(at_position(10),))
    each = desk.market()
    assert not each.worth.known(each.fair, desk.now), "what it was worth at the start is not known"
    desk.snapshot(positions=(at_position(10),))
    desk.stats()
    assert not each.worth.known(each.fair, desk.now), "one mark alone, that no venue confirms"
    desk.reference()
    assert each.worth.known(each.fair, desk.now)
    desk.apply(ReferenceLost(VENUE, "reset"))
    desk.stats()
    assert each.worth.known(each.fair, desk.now), "two in a row"
    desk.delta(positions=(at_position(20),))
    assert not each.worth.known(each.fair, desk.now)


# -- the most that it can be


def most(desk: Desk) -> object:
    return desk.market().worth.most(desk.market().fair, desk.market().limits, desk.now)


@pytest.mark.parametrize(("sign", "mark", "index"), [(1, "49000", "49800"), (-1, "51000", "50200")])
def test_the_most_that_a_position_can_be_worth_is_by_the_best_of_its_prices(sign: int, mark: str, index: str) -> None:
    """0.1 either side: at first the sure price, then the venue's, then mark and index of the last two readings."""
    desk = Desk.of()
    desk.baseline(positions=(at_position(100 * sign),))
    desk.snapshot(positions=(at_position(100 * sign),))
    desk.reference()
    desk.stats()
    assert most(desk) == 0
    desk.stats()
    desk.stats(index, mark=mark)
    desk.stats(index, mark=mark)
    desk.now += VALUED_SECONDS
    assert most(desk) == 0, "the sure price"
    desk.now += 0.1
    desk.reference(500_000 - 1_000 * sign)
    assert most(desk) == -10, "the venue's"
    desk.apply(ReferenceLost(VENUE, "reset"))
    assert most(desk) == -20, "the index"
    desk.stats(mark, mark=index)
    assert most(desk) == -20, "the mark"
    desk.stats(mark, mark=str(int(mark) - 1_000 * sign))
    assert most(desk) == -20, "the mark before"
    assert desk.market().worth.equity_change == -200, "which is what the books say"


@pytest.mark.parametrize("sign", [1, -1])
def test_an_old_price_may_have_moved_as_fast_as_no_jump_does(sign: int) -> None:
    """300 bp in each 5 s begun: 150 of 5000 each, but no price is below nothing."""
    desk = holding(100 * sign)
    desk.stats()
    desk.apply(ReferenceLost(VENUE, "reset"))
    desk.now += 10
    assert most(desk) == 0, "not old yet"
    for seconds, moves in ((0.5, 3), (4.0, 3), (0.5, 4), (570.0, 118)):
        desk.now += seconds
        assert most(desk) == min(150 * moves, 5_000 if sign < 0 else 150 * moves)


def test_what_is_known_can_be_no_more_than_the_reading_before_says() -> None:
    desk = holding(100)
    desk.apply(ReferenceLost(VENUE, "reset"))
    desk.stats("49000")
    assert most(desk) == 0
    desk.stats("49000")
    assert most(desk) == -100
    desk.stats("50000")
    assert most(desk) == 0


def test_a_flat_market_has_a_sure_price_for_the_fill_that_comes_when_it_has_none_any_more() -> None:
    desk = Desk.ready()
    desk.stats()
    desk.stats("50000", mark="51000")
    desk.delta(fills=(a_fill("t1", Side.BUY, 100),), positions=(at_position(100),))
    assert not desk.market().worth.known(desk.market().fair, desk.now)
    assert most(desk) == 100 - dec("0.5"), "the mark, less the fee"


def test_nothing_says_what_a_position_can_be_worth_before_it_had_a_sure_price() -> None:
    desk = Desk.of()
    desk.baseline()
    desk.snapshot()
    desk.delta(fills=(a_fill("t1", Side.BUY, 100),), positions=(at_position(100),))
    assert most(desk) is None
    for _ in range(3):
        desk.stats("50000", mark="51000")
        assert most(desk) is None
    desk.stats()
    assert most(desk) is not None
