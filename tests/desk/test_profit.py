"""Profit: two books that agree to the last digit whatever happens, and markouts of the right moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk import profit as room
from maker.desk.account import MarketAccount, Origin
from maker.desk.engine import Engine
from maker.desk.events import (
    AccountRead,
    Fill,
    Liquidity,
    MarketSpec,
    MarketStats,
    PositionSeen,
    ReadEmpty,
    SpecRead,
)
from maker.desk.market import MarketDesk
from maker.desk.profit import (
    GRACE_SECONDS,
    HORIZONS_SECONDS,
    AttributionBook,
    BookedFill,
    FundingBook,
    Markout,
    Markouts,
    rounded,
    summed,
)
from maker.desk.units import SUBTICKS, Side, exact

from .scripted import BTC, ETH, FAIR_TICKS, START, Desk, a_fill, at_position, dec, market, quick, quoted, spec, thorough

GRID = spec().grid


def agree(engine: Engine) -> None:
    """The invariant: market by market and for the account, exactly."""
    unexplained = Decimal(0)
    with exact():
        for each in engine.markets.values():
            if each.worth.mark is None:
                return
            unexplained += each.worth.unexplained_value
            assert each.worth.equity_change == each.worth.attribution.attribution().total + each.worth.unexplained_value
        assert engine.equity_change() == engine.attribution().total + unexplained
        assert engine.attribution().funding == -engine.funding_paid()
    assert engine.alarms == {}


# -- the sum


LONG = st.decimals("0.0001", "99999999", allow_nan=False, allow_infinity=False, places=20)  # as texts of a venue may be
FEES = st.decimals("-5", "25", allow_nan=False, allow_infinity=False, places=7)
MARKETS = st.sampled_from([BTC, ETH])
FILL = st.tuples(
    st.just("fill"),
    MARKETS,
    st.sampled_from(Side),
    st.integers(1, 10**9),
    st.integers(1, 10**6),
    st.sampled_from(Liquidity),
    st.booleans(),
)
HAPPENINGS = st.lists(
    st.one_of(
        FILL,
        FILL,
        st.tuples(st.just("flip"), MARKETS, st.integers(1, 10**6)),
        st.tuples(st.just("mark"), MARKETS, LONG),
        st.tuples(st.just("fair"), MARKETS, st.integers(FAIR_TICKS - 900, FAIR_TICKS + 900)),
        st.tuples(st.just("silence"), st.floats(0.1, 30.0)),
        st.tuples(st.just("funding"), LONG, LONG),
        st.tuples(st.just("fees"), MARKETS, FEES, FEES),
        st.tuples(st.just("stated"), MARKETS, st.integers(-(10**6), 10**6), LONG),
    ),
    max_size=40,
)


@attrs.define
class Story:
    """An engine to which anything happens: trips do not matter here, books do."""

    desk: Desk
    trades: int = 0

    @property
    def engine(self) -> Engine:
        return self.desk.engine

    def stated(self, market_id: str, lots: int, entry: Decimal = Decimal(50_000)) -> tuple[PositionSeen, ...]:
        """The exchange states this position: under another id whenever it changes sides."""
        return (PositionSeen(market_id, f"{market_id} {lots > 0}", lots, entry, Decimal(0)),)

    def fill(self, market_id: str, side: Side, ticks: int, lots: int, liquidity: Liquidity, late: bool) -> None:
        """A fill with its position; or the position follows later, or never."""
        self.trades += 1
        fill = a_fill(f"t{self.trades}", side, lots, ticks=ticks, market_id=market_id, liquidity=liquidity)
        account = self.desk.market(market_id).account
        summed_lots = account.position_summed_lots + side.sign * lots
        positions = () if late else self.stated(market_id, summed_lots)
        removed = () if late else tuple(set(account.held) - {seen.position_id for seen in positions})
        self.desk.delta(market_id, fills=(fill,), positions=positions, removed=removed)
        if not late:
            assert account.position_lots == summed_lots

    def happen(self, what: tuple[object, ...]) -> None:
        match what:
            case ("fill", str(market_id), Side() as side, int(ticks), int(lots), Liquidity() as liquidity, bool(late)):
                self.fill(market_id, side, ticks, lots, liquidity, late)
            case ("flip", str(market_id), int(lots)):
                summed_lots = self.desk.market(market_id).account.position_summed_lots
                side = Side.SELL if summed_lots > 0 else Side.BUY
                self.fill(market_id, side, FAIR_TICKS, abs(summed_lots) + lots, Liquidity.TAKER, late=False)
            case ("mark", str(market_id), Decimal() as mark):
                self.desk.apply(MarketStats(market_id, mark, Decimal(50_000), Decimal(0)))
            case ("fair", str(market_id), int(ticks)):
                self.desk.apply(MarketStats(market_id, Decimal(50_000), Decimal(50_000), Decimal(0)))
                self.desk.reference(ticks, market_id=market_id)
            case ("silence", float(seconds)):
                self.desk.now += seconds
            case ("funding", Decimal() as balance, Decimal() as entry):
                positions = tuple(
                    position
                    for market_id, each in self.engine.markets.items()
                    for position in self.stated(market_id, each.account.position_summed_lots, entry)
                )
                self.desk.apply(AccountRead(positions, (), balance, balance))
            case ("fees", str(market_id), Decimal() as maker, Decimal() as taker):
                listing = self.desk.market(market_id).account.spec
                self.desk.apply(SpecRead(attrs.evolve(listing, maker_fee_bps=maker, taker_fee_bps=taker)))
            case ("stated", str(market_id), int(lots), Decimal() as entry):
                self.desk.delta(market_id, positions=self.stated(market_id, lots, entry))
            case _:
                raise AssertionError(what)


def a_story(tick: str, lot: str, start: tuple[int, int]) -> Story:
    listings = [spec(name, tick=tick, lot=lot) for name in (BTC, ETH)]
    desk = Desk.of(*(market(each.market_id, market_spec=each) for each in listings))
    positions = tuple(
        at_position(lots, market_id=each.market_id, position_id=f"{each.market_id} {lots > 0}")
        for each, lots in zip(listings, start, strict=True)
        if lots
    )
    desk.baseline(positions=positions)
    for each in listings:
        desk.snapshot(each.market_id, positions=positions)
    return Story(desk)


@thorough
@given(
    happenings=HAPPENINGS,
    tick=st.sampled_from(["0.1", "0.00000001", "250"]),
    lot=st.sampled_from(["0.001", "0.0000000001", "10"]),
    start=st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6)),
)
def test_the_parts_are_the_change_of_equity_whatever_happens(
    happenings: list[tuple[object, ...]], tick: str, lot: str, start: tuple[int, int]
) -> None:
    """Spread + inventory + fees + funding = change of equity, to the last digit of figures with any number of digits.

    Fills with and without fair value, before the first mark too, told before their position or without; flips;
    funding; changed fees; positions that no fill explains.
    """
    story = a_story(tick, lot, start)
    for what in happenings:
        story.happen(what)
        agree(story.engine)


@quick
@given(
    fills=st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, 10**6), st.integers(1, 99)), min_size=1, max_size=20
    ),
    marks=st.lists(LONG, min_size=1, max_size=20),
    fairs=st.lists(st.none() | st.integers(1, 10**12), min_size=1, max_size=20),
)
def test_each_part_is_what_its_name_says(
    fills: list[tuple[Side, int, int]], marks: list[Decimal], fairs: list[int | None]
) -> None:
    """Reckoned once more from the whole story in fractions: each part, not only their sum."""
    book, listing = AttributionBook(GRID), spec()
    book.begin(7)
    spread = inventory = fees = Fraction(0)
    position, mark = Fraction(7, 1000), Fraction(0)
    for index in range(max(len(fills), len(marks), len(fairs))):
        if index < len(marks):
            new = Fraction(marks[index])
            inventory += position * (new - mark) if index else 0
            mark = new
            book.marked(marks[index])
        if index < len(fills):
            side, ticks, lots = fills[index]
            fair = fairs[index] if index < len(fairs) else None
            book.filled(BookedFill(a_fill(f"t{index}", side, lots, ticks=ticks), fair_subticks=fair), listing)
            size, price = Fraction(side.sign * lots, 1000), Fraction(ticks, 10)
            fair_price = mark if fair is None else Fraction(fair, 10 * SUBTICKS)
            spread += size * (fair_price - price)
            inventory += size * (mark - fair_price)
            fees -= abs(size) * price / 10_000
            position += size
    made = book.attribution()
    assert [Fraction(part) for part in (made.spread, made.inventory, made.fees)] == [spread, inventory, fees]
    known = sum(fair is not None for fair in fairs[: len(fills)])
    assert made.fills_at_mark == len(fills) - known


def test_a_round_trip_in_round_figures() -> None:
    """Bought 10 at 49975 with fair value and mark at 50000: 0.25 of spread, less a fee of 0.049975. The mark falls by
    100: an inventory of -1. Sold at 49925 with fair value 49900: 0.25 again.
    """
    desk = quoted()
    desk.delta(fills=(a_fill("t1", Side.BUY, 10, ticks=499_750),), positions=(at_position(10),))
    assert desk.engine.attribution() == room.Attribution(dec("0.25"), dec("0"), dec("-0.049975"))
    desk.stats("50000", mark="49900")
    assert desk.engine.attribution().inventory == -1
    desk.reference(499_000)
    desk.delta(fills=(a_fill("t2", Side.SELL, 10, ticks=499_250),), removed=("p1",))
    made = desk.engine.attribution()
    assert (made.spread, made.inventory, made.fees) == (dec("0.50"), dec("-1"), dec("-0.0999"))
    assert made.total == desk.engine.equity_change() == dec("-0.5999")
    assert made.fills_at_mark == 0


def test_without_a_fair_value_the_spread_is_taken_against_the_mark_and_counted() -> None:
    desk = quoted()
    desk.stats("50000", mark="50010")
    desk.later(5.0, alive=False)
    desk.delta(fills=(a_fill("t1", Side.BUY, 10, ticks=500_000),), positions=(at_position(10),))
    made = desk.engine.attribution()
    assert made == room.Attribution(dec("0.1"), dec("0"), dec("-0.05"), fills_at_mark=1)
    agree(desk.engine)


def test_a_fill_from_before_the_first_mark_waits_for_it() -> None:
    """Bought at 49900 before any mark: nothing can be said; the first mark, 50000, is what it is taken against."""
    desk = Desk.of()
    desk.baseline()
    desk.snapshot(fills=(a_fill("t1", Side.BUY, 10, ticks=499_000),), positions=(at_position(10),))
    assert desk.engine.attributions() == {}
    desk.stats("50000")
    made = desk.engine.attribution()
    assert made == room.Attribution(dec("1"), dec("0"), dec("-0.0499"), fills_at_mark=1)
    agree(desk.engine)


def test_funding_is_shown_once_and_stays_an_estimate_until_a_read() -> None:
    """With the first market that has a mark; two reads, 0.30 and 0.20 more: paid is negative."""
    desk = Desk.ready(market(BTC), market(ETH))
    desk.apply(AccountRead((), (), dec("9999.70"), dec("9000")))
    assert desk.engine.attribution().funding == dec("-0.30")
    desk.apply(AccountRead((), (), dec("9999.50"), dec("9000")))
    made = desk.engine.attributions()
    assert (made[BTC].funding, made[ETH].funding) == (dec("-0.50"), dec("0"))
    agree(desk.engine)


def test_an_account_is_the_sum_of_its_markets() -> None:
    one = room.Attribution(dec("1"), dec("2"), dec("-3"), dec("4"), 5)
    assert summed([]) == room.Attribution()
    assert summed([one, one, one]) == room.Attribution(dec("3"), dec("6"), dec("-9"), dec("12"), 15)


def test_the_digits_of_the_caller_do_not_matter() -> None:
    """Whoever computes in six digits gets the same sum."""
    desk = quoted()
    with localcontext() as context:
        context.prec = 6
        desk.delta(fills=(a_fill("t1", Side.BUY, 10, ticks=499_751),), positions=(at_position(10),))
        desk.stats("50000", mark="50000.123456789")
        agree(desk.engine)
    agree(desk.engine)


# -- the alarm

Plant = Callable[[pytest.MonkeyPatch], None]


def drop_a_fill(patch: pytest.MonkeyPatch) -> None:
    whole = AttributionBook.filled

    def forgetful(book: AttributionBook, booked: BookedFill, listing: MarketSpec) -> None:
        if booked.fill.trade_id != "t1":
            whole(book, booked, listing)

    patch.setattr(AttributionBook, "filled", forgetful)


def drop_a_mark(patch: pytest.MonkeyPatch) -> None:
    whole = AttributionBook.marked

    def forgetful(book: AttributionBook, mark: Decimal) -> None:
        if mark != 50_100:
            whole(book, mark)

    patch.setattr(AttributionBook, "marked", forgetful)


def misbook_cash(patch: pytest.MonkeyPatch) -> None:
    whole = MarketAccount.fill

    def careless(account: MarketAccount, fill: Fill) -> bool:
        booked = whole(account, fill)
        account.cash -= Decimal("1E-20") if booked else 0
        return booked

    patch.setattr(MarketAccount, "fill", careless)


def forget_the_position_found(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AttributionBook, "begin", lambda _book, _lots: None)


@pytest.mark.parametrize(
    ("plant", "residual"),
    [
        (drop_a_fill, "0.1990249"),  # 10 lots bought 24.9 below the mark, less the fee of 1 bp
        (drop_a_mark, "1.5"),  # 15 lots, 100 up
        (misbook_cash, "-0.00000000000000000001"),
        (forget_the_position_found, "0.5"),  # 5 lots, 100 up
    ],
)
def test_a_planted_error_in_one_book_is_an_alarm_and_no_pull(
    plant: Plant, residual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once with its figures, whatever follows; quoting goes on, for money is not at stake but our knowledge."""
    plant(monkeypatch)
    desk = Desk.of()
    desk.baseline(positions=(at_position(5),))
    desk.snapshot(positions=(at_position(5),))
    desk.stats()
    desk.reference()
    desk.quote()
    assert desk.delta(fills=(a_fill("t1", Side.BUY, 10, ticks=499_751),), positions=(at_position(15),)) is None
    desk.stats("50000", mark="50100")
    [(scope, sentence)] = desk.engine.alarms.items()
    assert scope == BTC
    assert sentence.startswith("the profit does not add up: spread ")
    figure = re.search(r": (\S+) comes from nowhere$", sentence)
    assert figure is not None
    assert dec(figure[1]) == dec(residual)
    desk.stats("50000", mark="50200")
    assert desk.engine.alarms == {BTC: sentence}
    assert desk.engine.holding is None


def test_funding_that_is_missed_in_one_read_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk.ready()
    with monkeypatch.context() as patch:
        patch.setattr(FundingBook, "read", lambda _book, _balance, _explained: None)
        desk.apply(AccountRead((), (), dec("9999"), dec("9000")))
    assert desk.engine.alarms == {
        "account": "the profit does not add up: funding summed read by read is 0, balances say 1.000"
    }


def test_a_position_told_before_its_fill_is_no_error_of_the_books() -> None:
    """The residual is its worth, until the fill comes; for one that stays unexplained the desk has its own way."""
    desk = quoted()
    desk.delta(positions=(at_position(10),))
    each = desk.market()
    assert each.worth.unexplained_value == 500
    assert each.worth.equity_change - each.worth.attribution.attribution().total == 500
    assert desk.engine.alarms == {}
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),))
    assert each.worth.unexplained_value == 0
    agree(desk.engine)


# -- markouts


def booked(
    at: float = START,
    side: Side = Side.BUY,
    *,
    ticks: int = FAIR_TICKS,
    lots: int = 10,
    level: int = 1,
    name: str = "t",
) -> BookedFill:
    return BookedFill(a_fill(name, side, lots, ticks=ticks), at, "q1", level, FAIR_TICKS * SUBTICKS, Decimal(50_000))


def subticks(ticks: int) -> int:
    return ticks * SUBTICKS


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_positive_is_good_for_us(side: Side, sign: int) -> None:
    """Fair value 25 above the fill, size 0.010: 0.25 and 5 bp of 50000, gained by a buyer, lost by a seller."""
    markouts = Markouts(GRID)
    markouts.add(booked(side=side))
    markouts.look(START, START + 1.0, lambda _at: subticks(FAIR_TICKS + 250))
    [one] = markouts.take()
    assert (one.horizon_seconds, one.quote, one.bps) == (1.0, sign * dec("0.25"), sign * dec("5"))
    assert markouts.take() == []


def test_each_fill_has_one_markout_a_horizon_by_side_and_level() -> None:
    """Through the engine: the level is that of the ladder the order came with, the innermost being 1."""
    desk = quoted()
    orders = {(order.side, order.ticks): order.client_order_id for order in desk.market().account.resting.values()}
    second_bid = orders[Side.BUY, 499_649]
    fill = a_fill("t1", Side.BUY, 10, ticks=499_649, client_order_id=second_bid)
    desk.delta(fills=(fill,), positions=(at_position(10),))
    for _ in range(130):
        desk.later(0.5)
        desk.reference(500_000)
    figures = desk.market().worth.markouts.statistics()
    assert [(one.side, one.level, one.horizon_seconds) for one in figures] == [
        (Side.BUY, 2, horizon) for horizon in HORIZONS_SECONDS
    ]
    for one in figures:
        assert (one.count, one.missing, one.quote) == (1, 0, dec("35.1") * dec("0.010"))
        assert one.bps_mean == rounded(Fraction(351 * 10_000, 499_649))
    assert [one.booked.fill for one in desk.market().worth.markouts.take()] == [fill] * 4
    assert desk.market().worth.markouts.due_at == float("inf")


def test_the_moment_is_the_horizon_however_late_we_look() -> None:
    """Nothing is heard for 1.9 s, then a fact that changes the price: the markout is by what was known at 1 s."""
    desk = quoted()
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    desk.now += 0.9
    desk.reference(500_100)
    desk.now += 1.0
    desk.reference(500_400)
    [one] = desk.market().worth.markouts.take()
    assert (one.horizon_seconds, one.quote) == (1.0, dec("0.1"))


def test_a_fact_at_the_very_moment_comes_after_it() -> None:
    desk = quoted()
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    desk.now += 1.0
    desk.reference(500_400)
    [one] = desk.market().worth.markouts.take()
    assert one.quote == 0


@pytest.mark.parametrize(("late_by", "found"), [(0.5, True), (GRACE_SECONDS, True), (GRACE_SECONDS + 0.01, False)])
def test_a_fair_value_that_comes_back_within_a_second_still_counts(late_by: float, found: bool) -> None:
    markouts = Markouts(GRID, horizons_seconds=(5.0,))
    markouts.add(booked())
    due = START + 5.0
    markouts.look(START, due + 0.1, lambda _at: None)
    markouts.look(due + 0.1, due + late_by, lambda _at: None)
    markouts.look(due + late_by, due + 9.0, lambda _at: subticks(FAIR_TICKS))
    [one] = markouts.take()
    assert (one.quote is not None) == found
    [figures] = markouts.statistics()
    assert (figures.count, figures.missing) == ((1, 0) if found else (0, 1))
    assert (figures.bps_mean is None) == (not found)


def test_without_a_fair_value_the_markout_is_missing_and_counted() -> None:
    """The reference falls silent with the fill: the 1 s markout has a price not yet stale, the later ones have none."""
    desk = quoted()
    desk.delta(fills=(a_fill("t1", Side.BUY, 10),), positions=(at_position(10),))
    desk.now += 100.0
    desk.delta()
    figures = desk.market().worth.markouts.statistics()
    assert [(one.horizon_seconds, one.count, one.missing) for one in figures] == [
        (1.0, 1, 0),
        (5.0, 0, 1),
        (30.0, 0, 1),
        (60.0, 0, 1),
    ]
    assert [(one.quote, one.bps) for one in desk.market().worth.markouts.take()][1:] == [(None, None)] * 3


TIMES = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=40).map(sorted)


@thorough
@given(
    fills=TIMES,
    facts=st.lists(st.tuples(st.floats(0.0, 200.0), st.none() | st.integers(1, 10**6)), max_size=40).map(
        lambda facts: sorted(facts, key=lambda fact: fact[0])
    ),
    fresh_seconds=st.floats(0.1, 50.0),
)
def test_markouts_are_those_of_a_story_told_at_once(
    fills: list[float], facts: list[tuple[float, int | None]], fresh_seconds: float
) -> None:
    """Against a reckoning with the whole story before it: at the horizon, else the first that follows within a second.

    Each fact tells a fair value that holds until the next one or until it is stale, or that there is none.
    """

    def held(at: float, *, told: list[tuple[float, int | None]]) -> int | None:
        """What was known just before a moment; or from the fact at it on, when it is in `told`."""
        if not told or told[-1][1] is None or at - told[-1][0] > fresh_seconds:
            return None
        return told[-1][1]

    def expected(due: float) -> int | None:
        before = [fact for fact in facts if fact[0] < due]
        known = held(due, told=before)
        if known is not None:
            return known
        return next((fair for at, fair in facts if due <= at <= due + GRACE_SECONDS and fair is not None), None)

    markouts = Markouts(GRID)
    last: tuple[float, int | None] = (0.0, None)
    happenings = [(at, 1, fair) for at, fair in facts] + [(at, 0, None) for at in fills]
    since = 0.0
    for at, is_fact, fair in [*sorted(happenings, key=lambda each: each[:2]), (1_000.0, 1, None)]:
        if markouts.due_at <= at:
            markouts.look(since, at, partial(held, told=[last]))
        since = at
        if is_fact:
            last = (at, fair)
        else:
            markouts.add(booked(at, name=f"{at}"))
    taken = markouts.take()
    assert len(taken) == len(fills) * len(HORIZONS_SECONDS)
    for one in taken:
        fair = expected(one.booked.booked_at + one.horizon_seconds)
        assert one == room.marked_out(GRID, one.booked, one.horizon_seconds, None if fair is None else fair)
    figures = markouts.statistics()
    assert sum(one.count + one.missing for one in figures) == len(taken)
    assert sum(one.missing for one in figures) == sum(one.quote is None for one in taken)


@quick
@given(
    side=st.sampled_from(Side),
    ticks=st.integers(1, 10**12),
    lots=st.integers(1, 10**9),
    fair=st.integers(0, 10**30),
)
def test_a_markout_is_exact_in_money_and_rounded_in_basis_points(side: Side, ticks: int, lots: int, fair: int) -> None:
    one = room.marked_out(GRID, booked(side=side, ticks=ticks, lots=lots), 1.0, fair)
    assert one.quote is not None
    assert one.bps is not None
    better = side.sign * (Fraction(fair, SUBTICKS) - ticks)
    assert Fraction(one.quote) == better * lots / 10_000
    assert abs(Fraction(one.bps) - better / ticks * 10_000) <= Fraction(1, 20_000)


def test_the_mean_is_over_fills_and_the_sum_over_money() -> None:
    markouts = Markouts(GRID, horizons_seconds=(1.0,))
    for lots, fair in ((10, FAIR_TICKS + 250), (30, FAIR_TICKS - 50), (10, FAIR_TICKS)):
        markouts.add(booked(lots=lots))
        markouts.look(START, START + 1.0, lambda _at, fair=fair: subticks(fair))  # type: ignore[misc]
    [figures] = markouts.statistics()
    assert (figures.count, figures.quote) == (3, dec("0.25") - dec("0.15"))
    assert figures.bps_mean == dec("1.3333")  # (5 - 1 + 0) / 3


def test_a_fill_at_no_price_has_no_markout() -> None:
    assert room.marked_out(GRID, booked(ticks=0), 1.0, subticks(FAIR_TICKS)) == Markout(
        booked(ticks=0), 1.0, None, None
    )


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S23: of too many fills that wait the oldest is missing; of markouts that nobody takes the oldest are dropped."""
    monkeypatch.setattr(room, "WAITING_FILLS_MAX", 3)
    markouts = Markouts(GRID)
    for number in range(5):
        markouts.add(booked(START + number / 10, name=f"t{number}"))
    assert [len(waiting) for waiting in markouts.waiting] == [3] * 4
    assert [one.booked.fill.trade_id for one in markouts.take()] == ["t0"] * 4 + ["t1"] * 4
    assert {(one.count, one.missing) for one in markouts.statistics()} == {(0, 2)}
    assert markouts.untaken.maxlen == room.UNTAKEN_MAX


# -- what is known with each fill


def test_a_booked_fill_knows_its_ladder_and_its_moment() -> None:
    desk = quoted()
    order = next(iter(desk.market().account.resting.values()))
    fill = a_fill("t1", order.side, 4, ticks=order.ticks, client_order_id=order.client_order_id)
    desk.delta(fills=(fill,), positions=(at_position(4),))
    [one] = desk.engine.take_booked()
    assert one == BookedFill(fill, desk.now, order.quote_id, 1, subticks(FAIR_TICKS), dec("50000"))
    assert desk.engine.take_booked() == []


def test_a_fill_learnt_from_a_read_is_booked_like_any_other() -> None:
    """Its order is forgotten as resting, its place in the ladder is not."""
    desk = quoted()
    orders = list(desk.market().account.resting.values())
    desk.lost()
    desk.apply(ReadEmpty())
    fill = a_fill("t1", Side.SELL, 10, ticks=orders[-1].ticks, client_order_id=orders[-1].client_order_id)
    desk.apply(AccountRead((at_position(-10),), (fill,), dec("10000"), dec("9000")))
    [one] = desk.engine.take_booked()
    assert (one.level, one.quote_id) == (3, orders[-1].quote_id)
    stranger = a_fill("t2", Side.SELL, 10, client_order_id="somebody-else")
    desk.apply(AccountRead((at_position(-20),), (stranger,), dec("10000"), dec("9000")))
    [other] = desk.engine.take_booked()
    assert (other.level, other.quote_id) == (0, "")
    assert desk.market().account.origin(a_fill("t3")) == Origin()


def test_a_desk_has_its_books_from_the_start() -> None:
    each = Desk.of().market()
    assert isinstance(each, MarketDesk)
    assert each.worth.does_not_add_up() == ""
    assert each.worth.markouts.statistics() == ()
