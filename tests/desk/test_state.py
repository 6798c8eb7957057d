"""What the desk knows: where it begins, when it holds and lets go, what it has earned."""

from __future__ import annotations

import attrs
import pytest

from maker.desk.deadman import Reason
from maker.desk.events import AccountRead, BalanceRead, PlaceLadder, ReadEmpty, ReferenceLost
from maker.desk.units import Side

from .scripted import FIRST, VENUE, Desk, a_fill, at_position, dec, quoted, resting, told, why_not

# -- the start


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


def test_a_name_of_ours_is_known_from_before_its_ladder_leaves_until_its_order_is_gone() -> None:
    """In flight, resting, replaced and not yet passed by the stream, filled: no stray. Names of others never are."""
    desk = Desk.ready()

    def strays(*names: str) -> set[str]:
        return desk.engine.strays(resting([(name, Side.BUY, 1, 1) for name in names]).orders)

    ladder = desk.place()
    names = [order.client_order_id for order in ladder.orders]
    assert strays(*names) == set()
    desk.placed(ladder)
    assert strays(*names, "theirs") == set()
    assert strays(*names, "mk-earlier-1") == {"mk-earlier-1"}
    first, *others = ladder.orders
    filled = a_fill("t1", first.side, first.lots, client_order_id=first.client_order_id)
    desk.delta(fills=(filled,), positions=(at_position(first.side.sign * first.lots),))
    desk.later(10)
    desk.quote()
    assert strays(*names) == set()
    desk.delta()
    assert strays(*names) == {order.client_order_id for order in others}


# -- holding back


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


def test_a_ladder_in_flight_is_exposure() -> None:
    """Lost between sending and the answer: whatever was sent may rest."""
    desk = Desk.ready()
    desk.place()
    assert desk.lost() is not None


def test_a_trip_comes_once() -> None:
    desk = quoted()
    assert desk.lost() is not None
    assert desk.lost() is None
    assert desk.apply(ReferenceLost(VENUE, "reset")) is None
    desk.later(60, alive=False)
    assert desk.watch() is None


@pytest.mark.parametrize(
    ("first", "then", "told_too"),
    [
        (Reason.STREAM_BROKEN, Reason.POSITION_LIMIT, True),
        (Reason.STREAM_BROKEN, Reason.DRAWDOWN, True),
        (Reason.POSITION_LIMIT, Reason.DRAWDOWN, True),
        (Reason.POSITION_LIMIT, Reason.JOURNAL_LOST, False),
        (Reason.POSITION_LIMIT, Reason.STREAM_BROKEN, False),
        (Reason.DRAWDOWN, Reason.POSITION_LIMIT, False),
        (Reason.DRAWDOWN, Reason.OVERFILLED, False),
    ],
)
def test_s21_a_reason_that_asks_for_more_is_told_while_it_holds(first: Reason, then: Reason, told_too: bool) -> None:
    """S21: one that survives a restart is not lost because the run was ending already."""
    desk = quoted()
    assert desk.engine.trip(first, "") is not None
    assert (desk.engine.trip(then, "") is not None) == told_too
    assert desk.engine.holding is not None
    assert desk.engine.holding.reason is (then if told_too else first)


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
