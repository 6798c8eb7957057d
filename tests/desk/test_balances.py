"""Balances read in passing: funding is seen as it is paid, a late fill is none, one wrong reading changes nothing."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest

from maker.desk.account import FILL_REPORT_SECONDS_MAX
from maker.desk.balances import READ_SECONDS, SPECK, Balances, nearest
from maker.desk.breakers import Lost
from maker.desk.deadman import Reason, Trip
from maker.desk.events import AccountRead, BalanceRead, MarketStats, ReferenceHeard, StreamHeard
from maker.desk.profit import Attribution
from maker.desk.units import Side

from .scripted import BTC, ETH, VENUE, Desk, a_fill, at_position, dec, holding, market

START = dec("10000")
SETTLED = FILL_REPORT_SECONDS_MAX + 0.1
STATS = MarketStats(BTC, dec("50000"), dec("50000"), dec("0"))


def passes(desk: Desk, seconds: float) -> Trip | None:
    """Time, and every feed heard at the end of it."""
    desk.now += seconds
    trip = desk.apply(ReferenceHeard(VENUE))
    for each in desk.engine.markets:
        trip = trip or desk.apply(StreamHeard(each))
    mark = desk.market().worth.mark or dec("50000")
    return desk.apply(attrs.evolve(STATS, mark=mark, index=mark)) or trip


def told(desk: Desk, balance: Decimal | str) -> Trip | None:
    """A balance read in passing, and what follows from it once it is settled."""
    stated = Decimal(balance)
    return desk.apply(BalanceRead(stated, stated, stated)) or passes(desk, SETTLED)


def test_row_16_an_hour_of_funding_breaks_a_loss_limit_while_nothing_pulls() -> None:
    """100 lots pay 25 every five minutes: 100 is the most to be lost, and the fifth payment is one too many."""
    desk, balance, trips = holding(100), START, list[Trip]()
    for number in range(360):
        balance -= 25 if number % 30 == 0 else 0
        trip = told(desk, balance) or passes(desk, 10.0 - SETTLED)
        trips += [trip] if trip else []
        if trip:
            break
        assert balance - START <= desk.engine.equity_change() <= balance - START + 25, "a read later at the latest"
        assert desk.engine.attribution() == Attribution(funding=desk.engine.equity_change())
    assert [trip.reason for trip in trips] == [Reason.DRAWDOWN]
    assert balance == START - 125
    assert desk.engine.alarms == {}


def test_one_wrong_reading_changes_nothing() -> None:
    """Neither a loss that latches nor a best moment to fall from; nor two, one too low and one too high."""
    desk = holding(100)
    for balance in ("10000", "2", "10000", "90000", "10000", "2", "90000", "10000", "10000"):
        assert told(desk, balance) is None
        assert desk.engine.funding_paid() == 0
    kept = desk.engine.losses.snapshot()
    assert kept is not None
    assert kept.fallen == 0


def test_of_two_readings_the_nearer_to_what_is_booked_counts() -> None:
    desk = holding(100)
    for balance, paid in (("9990", 0), ("9970", 10), ("9960", 30), ("9990", 30), ("9990", 10), ("10000", 10)):
        told(desk, balance)
        assert desk.engine.funding_paid() == paid, balance
    assert desk.engine.attribution().funding == -10


@pytest.mark.parametrize("late", [True, False])
def test_a_fill_on_either_side_of_a_reading_is_no_funding(late: bool) -> None:
    """The balance has its fee, and its event comes later; or it came before, and the balance was read earlier still."""
    desk, balance = holding(0), START
    for number in range(1, 20):
        fill, held = a_fill(f"t{number}", Side.BUY, 10), (at_position(10 * number),)
        fee = dec("0.05")
        if not late:
            assert desk.delta(fills=(fill,), positions=held) is None
            passes(desk, READ_SECONDS - 0.1)
        balance -= fee if late else 0
        assert desk.apply(BalanceRead(balance, balance, balance)) is None
        passes(desk, FILL_REPORT_SECONDS_MAX - 0.1)
        if late:
            assert desk.delta(fills=(fill,), positions=held) is None
        passes(desk, SETTLED)
        balance -= 0 if late else fee
        assert desk.engine.funding_paid() == 0
        passes(desk, 10.0)


def test_funding_is_seen_among_fills() -> None:
    """One falls into each reading's moment: what is certain is booked all the same."""
    desk, balance = holding(0), START
    for number in range(1, 15):
        fill = a_fill(f"t{number}", Side.BUY if number % 2 else Side.SELL, 10)
        balance -= dec("0.05")
        desk.apply(BalanceRead(balance - 5, balance, balance))
        desk.delta(fills=(fill,), positions=(at_position(10 * (number % 2)),))
        passes(desk, SETTLED)
        assert desk.engine.funding_paid() == (0 if number == 1 else 5), number
        passes(desk, 10.0)
    for _ in range(2):
        told(desk, balance - 5)
        passes(desk, 5.0)
    assert desk.engine.funding_paid() == 5


def test_a_position_without_its_fill_makes_a_reading_say_nothing() -> None:
    """It explains half of what happened: a balance of that moment is not compared with it."""
    desk = holding(0)
    for number in range(1, 4):
        desk.delta(fills=(a_fill(f"t{number}", Side.BUY, 10),))
        told(desk, START - number)
        desk.delta(positions=(at_position(10 * number),))
        assert desk.engine.funding_paid() == 0
        passes(desk, 1.0)


def test_a_reading_waits_for_the_stream_and_is_dropped_when_the_account_must_be_read() -> None:
    """A stream that says nothing may still tell a fill; one that broke may have missed it."""
    desk = holding(10)
    for _ in range(2):
        desk.apply(BalanceRead(START - 5, START, START))
        for _ in range(5):
            desk.now += 3.0
            desk.stats()
            assert desk.engine.balances.waiting is not None
        passes(desk, 1.0)
        assert desk.engine.balances.waiting is None
    assert desk.engine.funding_paid() == 5
    desk.lost()
    for _ in range(3):
        told(desk, START - 9)
    assert desk.engine.balances.waiting is None
    assert desk.engine.funding_paid() == 5
    desk.apply(AccountRead((at_position(10),), (), START - 7, START))
    assert desk.engine.funding_paid() == 7
    for _ in range(2):
        told(desk, START - 8)
    assert desk.engine.funding_paid() == 8, "nothing rests on what is down, so nothing of it can be filled"


def test_a_reading_from_before_an_account_read_does_not_undo_it() -> None:
    desk = holding(100)
    told(desk, START)
    desk.apply(BalanceRead(START, START, START))
    desk.apply(AccountRead((at_position(100),), (), START - 20, START))
    told(desk, START)
    assert desk.engine.funding_paid() == 20


@pytest.mark.parametrize("whole", [True, False])
def test_row_16_a_deposit_buys_no_allowance(whole: bool) -> None:
    """90 of 100 are lost; 5000 are paid in, and 10 more may be lost, however it is learnt. Funding does count."""
    desk = holding(100)
    trip = None
    for price in ("49500", "49100"):
        desk.now += 1
        desk.reference(int(price) * 10)
        desk.stats(price)
    for deposit in (0, 10, 5010):
        balance = START + deposit
        for _ in range(2):
            if whole:
                trip = trip or desk.apply(AccountRead((at_position(100),), (), balance, balance))
            trip = trip or told(desk, balance)
    assert trip is None
    assert desk.engine.attribution().funding == -desk.engine.funding_paid() == 10
    assert desk.engine.equity_change() == desk.engine.attribution().total == -80
    assert desk.engine.alarms == {}
    kept = desk.engine.losses.snapshot()
    assert kept is not None
    assert kept.equity == START + 5000 - 80
    assert (kept.fallen, kept.today) == (Decimal(80), Decimal(80)), "10 of it is funding"
    assert ["5000.00 came in beyond any funding" in note for note in desk.engine.take_notes()].count(True) == 1


def test_row_16_a_deposit_before_the_first_judgement_hides_nothing_of_the_run_before() -> None:
    """That one ended with 40 more than this one finds; 5000 come in before there is a mark to judge by."""
    desk = Desk.of()
    desk.engine.losses.restore(Lost(START + 40, Decimal(0), None, Decimal(0)))
    held = (at_position(1),)
    desk.baseline(positions=held)
    assert desk.apply(AccountRead(held, (), START + 5000, START)) is None
    assert desk.engine.losses.snapshot() is None
    desk.snapshot(positions=held)
    desk.stats()
    desk.reference()
    assert passes(desk, 1.0) is None
    kept = desk.engine.losses.snapshot()
    assert kept is not None
    assert (kept.equity, kept.fallen) == (START + 5000, Decimal(40))


def test_row_16_what_goes_out_is_lost() -> None:
    """A withdrawal looks like a liquidation."""
    desk = holding(0)
    assert told(desk, START - 101) is None
    trip = told(desk, START - 101)
    assert trip is not None
    assert trip.reason is Reason.DRAWDOWN


@pytest.mark.parametrize("whole", [True, False])
def test_row_16_what_no_funding_can_be_is_told_once_and_counts_as_lost(whole: bool) -> None:
    """Of 5000 held 25 a period may be paid. The 30 and 46 after it are a loss, no money moved, no new allowance."""
    desk = holding(100)
    beside, trips = list[dict[str, str]](), list[Trip]()
    for out in (25, 55, 101):
        for _ in range(2):
            read = AccountRead((at_position(100),), (), START - out, START)
            trips += [trip for trip in (desk.apply(read) if whole else None, told(desk, START - out)) if trip]
        beside.append(dict(desk.engine.beside))
    gone = "30.00 went out that neither fills nor any funding explain: a withdrawal, or a fee not booked; "
    said = {"money gone": gone + "it counts as lost, and is shown as funding"}
    assert beside == [{}, said, said]
    assert [trip.reason for trip in trips] == [Reason.DRAWDOWN]
    assert desk.engine.paid_in == 0
    assert desk.engine.attribution().funding == desk.engine.equity_change() == -101


def test_a_rounded_fee_is_not_told() -> None:
    """Below TRANSFER_TOLD, while flat; it counts all the same."""
    desk = holding(0)
    for _ in range(2):
        told(desk, START - dec("0.99"))
    assert (desk.engine.beside, desk.engine.equity_change()) == ({}, dec("-0.99"))


def test_row_16_a_read_that_explains_no_position_pays_nothing_in() -> None:
    """The trades of a position come a moment after it: what the first read seems to say was never received."""
    desk = holding(0)
    desk.delta(positions=(at_position(-100),))
    for fills in ((), (a_fill("t1", Side.SELL, 100),)):
        desk.apply(AccountRead((at_position(-100),), fills, START - dec("0.5"), START))
    passes(desk, 1.0)
    kept = desk.engine.losses.snapshot()
    assert kept is not None
    assert (kept.fallen, desk.engine.funding_paid()) == (dec("0.5"), dec("0"))


def test_the_bound_grows_with_time_and_with_the_largest_position_since_a_read_agreed() -> None:
    """5000 held: 25 a period is twice what may be paid, a period more for each five minutes."""
    balances = Balances()
    balances.explain(dec("0"), dec("5000"), 0.0)
    balances.explain(dec("1"), dec("0"), 1.0)
    assert balances.transferred(dec("25"), 299.0) == 0
    assert balances.transferred(dec("25.01"), 299.0) == dec("25.01")
    assert balances.transferred(dec("50"), 300.0) == 0
    assert balances.transferred(dec("-25"), 1.0) == 0
    assert balances.transferred(dec("-25.01"), 1.0) == dec("-25.01")
    balances.agree(300.0)
    assert balances.transferred(dec("1"), 301.0) == 1, "flat since"


def test_states_of_the_books_are_kept_no_longer_than_a_reading_may_need_them() -> None:
    balances = Balances()
    for number in range(100):
        balances.explain(Decimal(number), Decimal(0), float(number))
    assert [step.at for step in balances.steps] == [96.0, 97.0, 98.0, 99.0]
    balances.read(dec("0"), 99.0)
    for number in range(100, 110):
        balances.explain(Decimal(number), Decimal(0), float(number))
    assert balances.steps[0].at == 96.0
    assert balances.settle(dec("0"), dec("0")) is None, "the first is believed when the second agrees"
    assert balances.last == (dec("-109"), dec("-96"))
    assert nearest(dec("-100"), *balances.last) == -100


def test_the_rounding_of_entry_prices_is_no_funding() -> None:
    desk = holding(10)
    for _ in range(3):
        told(desk, START - SPECK)
    assert desk.engine.funding_paid() == 0


def test_two_markets_share_one_balance() -> None:
    """A fill in the one is seen beside funding in the other; a balance waits for both streams."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.delta(ETH, fills=(a_fill("t1", Side.BUY, 10, market_id=ETH),), positions=(at_position(10, market_id=ETH),))
    for _ in range(2):
        passes(desk, 10.0)
        told(desk, START - dec("3.05"))
    assert desk.engine.funding_paid() == 3
