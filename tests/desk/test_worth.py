"""One market's worth: cash, position at mark, and what of it the exchange's balance shows."""

from __future__ import annotations

import attrs

from maker.desk.events import BalanceRead, ReferenceLost
from maker.desk.units import Side, exact

from .scripted import VENUE, Desk, a_fill, at_position, dec


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
