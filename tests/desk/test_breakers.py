"""Losses and bursts: what counts, from when, and what is no loss though it looks like one."""

from __future__ import annotations

import attrs
import pytest

from maker.desk.breakers import DAY_MS, Burst, Losses, Lost
from maker.desk.deadman import Reason
from maker.desk.events import MarketStats, ReferenceQuote
from maker.desk.units import Side
from maker.desk.worth import VALUED_SECONDS

from .scripted import ALL_MARKETS, BTC, ETH, FAIR_TICKS, START_MS, VENUE, Desk, a_fill, at_position, dec, market, spec
from .scripted import LIMITS as LIMITS_OF_MARKET

LIMITS = attrs.evolve(ALL_MARKETS, drawdown_max=dec("100"), daily_loss_max=dec("150"))


def verdicts(*profits: str, day_ms: tuple[int, ...] = ()) -> list[Reason | None]:
    losses = Losses(LIMITS)
    told = []
    for step, profit in enumerate(profits):
        found = losses.judge(dec(profit), day_ms[step] if day_ms else START_MS)
        told.append(None if found is None else found[0])
    return told


def test_row_16_a_drawdown_is_counted_from_the_best_moment() -> None:
    """Not from the start: what was earned this morning is lost as well."""
    assert verdicts("0", "500", "400", "399.99") == [None, None, None, Reason.DRAWDOWN]
    assert verdicts("-100", "-100.01") == [None, Reason.DRAWDOWN]
    assert verdicts("0", "90", "0", "90", "0") == [None] * 5


def test_row_16_a_day_begins_where_the_last_one_ended() -> None:
    """The exchange's days; slow losses that the drawdown forgives when a best moment lies between."""
    patient = attrs.evolve(LIMITS, drawdown_max=dec("1000"))
    losses = Losses(patient)
    assert losses.judge(dec("0"), None) is None, "before the exchange has told the time, since the start"
    assert losses.judge(dec("-150"), START_MS) is None
    assert losses.judge(dec("-150"), START_MS + DAY_MS) is None
    assert losses.judge(dec("-300"), START_MS + DAY_MS) is None
    assert losses.judge(dec("-300"), START_MS) is None, "its clock does not go back"
    found = losses.judge(dec("-300.01"), START_MS + DAY_MS)
    assert found is not None
    assert found[0] is Reason.DAILY_LOSS
    assert found[1] == "150.01 lost, daily_loss_max is 150"


# -- money moved


def test_row_16_money_paid_in_is_neither_a_best_moment_nor_a_loss_made_good() -> None:
    """It is in `equity_start`: the profit does not know it."""
    losses = Losses(LIMITS)
    for profit in ("10", "-80"):
        assert losses.judge(dec(profit), START_MS, dec("1000")) is None
    losses.paid_in(dec("5000"))
    assert losses.nearest(dec("-1000"), dec("1000"), dec("6000")) == dec("-80"), "where it stands now"
    assert losses.judge(dec("-80"), START_MS, dec("6000")) is None
    assert losses.snapshot() == Lost(dec("5920"), dec("90"), START_MS // DAY_MS, dec("80"))
    found = losses.judge(dec("-90.01"), START_MS, dec("6000"))
    assert found is not None
    assert found[0] is Reason.DRAWDOWN


def test_row_16_money_paid_in_before_the_first_judgement_hides_no_loss_between_two_runs() -> None:
    losses = next_run(Lost(dec("1000"), fallen=dec("30"), day=START_MS // DAY_MS, today=dec("0")))
    losses.paid_in(dec("500"))
    assert losses.nearest(dec("-1000"), dec("1000"), dec("1490")) == dec("10")
    assert losses.judge(dec("0"), START_MS, dec("1490")) is None
    kept = losses.snapshot()
    assert kept is not None
    assert (kept.fallen, kept.today) == (dec("40"), dec("10"))


# -- over restarts


def next_run(before: Lost | None) -> Losses:
    losses = Losses(LIMITS)
    if before is not None:
        losses.restore(before)
    return losses


def test_s21_row_16_a_restart_loop_loses_no_more_than_the_limit() -> None:
    """S21: each run loses 40 and dies: the third one is stopped, not the hundredth."""
    before: Lost | None = None
    equity = dec("1000")
    for number in range(3):
        losses = next_run(before)
        assert losses.judge(dec("0"), START_MS, equity) is None
        found = losses.judge(dec("-40"), START_MS, equity)
        assert (found is not None) == (number == 2)
        before, equity = losses.snapshot(), equity - 40
    assert before == Lost(dec("880"), dec("120"), START_MS // DAY_MS, dec("120"))
    again = next_run(before).judge(dec("0"), START_MS, equity)
    assert again is not None, "and a start without `clear` changes nothing"


def test_row_16_what_falls_between_two_runs_counts_and_what_rises_does_not() -> None:
    """Money taken out counts as lost, as it does within a run; a deposit buys no new allowance."""
    before = Lost(dec("1000"), fallen=dec("30"), day=START_MS // DAY_MS, today=dec("-20"))
    losses = next_run(before)
    assert losses.judge(dec("0"), START_MS, dec("5000")) is None
    assert losses.snapshot() == attrs.evolve(before, equity=dec("5000"))
    losses = next_run(before)
    assert losses.judge(dec("0"), START_MS, dec("930")) is None
    assert losses.snapshot() == attrs.evolve(before, equity=dec("930"), fallen=dec("100"), today=dec("50"))
    assert next_run(before).judge(dec("0"), START_MS, dec("929.99")) is not None


def test_row_16_a_new_day_begins_anew_after_a_restart_and_the_drawdown_does_not() -> None:
    before = Lost(dec("1000"), fallen=dec("90"), day=START_MS // DAY_MS, today=dec("140"))
    losses = next_run(before)
    assert losses.judge(dec("-5"), None, dec("1000")) is None, "before the exchange has told the time it is that day"
    assert losses.judge(dec("-8"), START_MS + DAY_MS, dec("1000")) is None
    kept = losses.snapshot()
    assert kept == Lost(dec("992"), dec("98"), START_MS // DAY_MS + 1, dec("0"))


def test_nothing_is_kept_before_anything_was_judged() -> None:
    """Else a run that dies at its start would wipe out what was lost before it."""
    losses = next_run(Lost(dec("1000"), dec("90"), 1, dec("90")))
    assert losses.snapshot() is None


def test_the_equity_of_a_start_is_balance_and_position_at_its_first_mark() -> None:
    """10000 in the balance; long 0.1 from 50000, marked at 50100, is 10 more."""
    desk = Desk.of()
    desk.baseline(positions=(at_position(100),))
    desk.snapshot(positions=(at_position(100),))
    desk.reference()
    assert desk.engine.losses.snapshot() is None, "without a mark nothing is known"
    desk.stats("50100")
    desk.stats("50050")
    kept = desk.engine.losses.snapshot()
    assert kept is not None
    assert (kept.equity, kept.fallen) == (dec("10005"), dec("5"))


def long_desk() -> Desk:
    """Long 0.1, bought at fair."""
    desk = Desk.ready(limits=attrs.evolve(ALL_MARKETS, drawdown_max=dec("10")))
    assert desk.delta(fills=(a_fill("t1", Side.BUY, 100),), positions=(at_position(100),)) is None
    return desk


@pytest.mark.parametrize("exposed", [True, False])
def test_row_16_a_loss_stops_for_a_person_whether_anything_rests_or_not(exposed: bool) -> None:
    desk = long_desk()
    if exposed:
        desk.quote()
    trip = desk.apply(attrs.evolve(stats(), mark=dec("49890"), index=dec("49890")))
    assert trip is not None
    assert trip.reason is Reason.DRAWDOWN
    assert desk.apply(attrs.evolve(stats(), mark=dec("49890"), index=dec("49890"))) is None, "told once"
    assert desk.engine.holding is trip


def stats() -> MarketStats:
    return MarketStats(BTC, dec("50000"), dec("50000"), dec("0"))


def test_row_16_a_mark_we_would_not_quote_by_is_no_loss() -> None:
    """A single mark far from its index is a fault of the exchange, and pulls as that. A person need not be woken."""
    desk = long_desk()
    assert desk.apply(attrs.evolve(stats(), mark=dec("40000"))) is None
    desk.now += 11
    assert desk.delta(fills=(a_fill("t2", Side.SELL, 1),), positions=(at_position(99),)) is None, "nor is an old one"


def test_row_16_a_position_told_before_its_fill_is_no_profit_to_lose_again() -> None:
    """Half of the news would show 5000 won, and then 5000 lost."""
    desk = Desk.ready(limits=attrs.evolve(ALL_MARKETS, drawdown_max=dec("10")))
    assert desk.delta(positions=(at_position(100),)) is None
    desk.stats()
    assert desk.engine.losses.peak == 0
    assert desk.delta(fills=(a_fill("t1", Side.BUY, 100),)) is None


def readings(desk: Desk, *prices: str) -> list[Reason | None]:
    """What each reading of mark and index, both at the same price, is told to be."""
    trips = [desk.apply(attrs.evolve(stats(), mark=dec(price), index=dec(price))) for price in prices]
    return [None if trip is None else trip.reason for trip in trips]


def test_row_16_one_wrong_row_is_no_loss() -> None:
    """Mark and index come in one row: other venues stand where they stood, and nothing is sold for it."""
    desk = long_desk()
    assert readings(desk, "5000", "50000", "5000", "50000", "50000") == [None] * 5
    assert desk.delta(fills=(a_fill("t2", Side.SELL, 1),), positions=(at_position(99),)) is None
    assert desk.engine.losses.peak == 0


def test_row_16_one_wrong_row_is_no_best_moment() -> None:
    """Else the way back from it would be a loss."""
    desk = long_desk()
    assert readings(desk, "500000", "50000", "50000") == [None] * 3
    assert desk.engine.losses.peak == 0


def test_row_16_news_between_two_readings_confirms_nothing() -> None:
    """The stream goes on: the same wrong row is judged again and again, and is still one."""
    desk = long_desk()
    assert readings(desk, "5000") == [None]
    for number in range(3):
        fills = (a_fill(f"s{number}", Side.SELL, 1, ticks=FAIR_TICKS),)
        assert desk.delta(fills=fills, positions=(at_position(99 - number),)) is None
    assert readings(desk, "50000") == [None]


@pytest.mark.parametrize("prices", [("45000", "45000"), ("45000", "40000"), ("45000", "49000")])
def test_row_16_a_crash_that_no_venue_confirms_is_a_loss_with_the_next_reading(prices: tuple[str, str]) -> None:
    """The references are silent, or slower: a second is all they can cost."""
    assert readings(long_desk(), *prices) == [None, Reason.DRAWDOWN]


def test_row_16_a_crash_that_the_venues_confirm_is_a_loss_at_once() -> None:
    desk = long_desk()
    desk.reference(450_000)
    assert readings(desk, "45000") == [Reason.DRAWDOWN]


def test_row_16_a_new_run_does_not_begin_with_a_wrong_row() -> None:
    """Long 0.1 from an earlier run, with 10000 in the balance: one row at 5000 is no fall between the two."""
    desk = Desk.of(limits=attrs.evolve(ALL_MARKETS, drawdown_max=dec("10")))
    desk.engine.losses.restore(Lost(dec("10000"), fallen=dec("5"), day=None, today=dec("0")))
    desk.baseline(positions=(at_position(100),))
    desk.snapshot(positions=(at_position(100),))
    assert readings(desk, "5000", "50000", "50000", "50000") == [None] * 4
    kept = desk.engine.losses.snapshot()
    assert kept == Lost(dec("10000"), dec("5"), START_MS // DAY_MS, dec("0"))


# -- losses that are certain though some position cannot be valued


def two_markets(eth_lots: int, btc_lots: int = 150) -> Desk:
    """Both positions from before, each market priced once by mark, index and venue; drawdown_max is 100."""
    held = {BTC: at_position(btc_lots, position_id="b"), ETH: at_position(eth_lots, market_id=ETH, position_id="e")}
    desk = Desk.of(market(BTC), market(ETH))
    desk.baseline(positions=tuple(held.values()))
    for market_id, position in held.items():
        desk.snapshot(market_id, positions=(position,))
        desk.reference(market_id=market_id)
        for _ in range(2):
            desk.stats(market_id=market_id)
    return desk


def told(desk: Desk, market_id: str, mark: str, index: str | None = None) -> Reason | None:
    """What one reading is told to be, a second after the one before."""
    desk.now += 1
    trip = desk.apply(MarketStats(market_id, dec(mark), dec(index or mark), dec("0")))
    return None if trip is None else trip.reason


def falls(desk: Desk, seconds: int, *, mark: str = "50600", index: str = "50000") -> list[Reason]:
    """BTC falls by 50 a second, venue and all, and ETH's mark and index are apart."""
    trips = []
    for second in range(1, seconds + 1):
        price = dec("50000") - 50 * second
        desk.apply(ReferenceQuote(VENUE, "BTC", price - dec("0.1"), dec("1"), price + dec("0.1"), dec("1")))
        trips += [told(desk, BTC, str(price)), told(desk, ETH, mark, index)]
    return [trip for trip in trips if trip is not None]


def test_row_16_a_certain_loss_is_one_though_another_position_cannot_be_valued() -> None:
    """0.15 BTC lose 7.5 a second; 0.001 ETH, whatever it is worth, cannot make that good."""
    desk = two_markets(1)
    assert falls(desk, 13) == []
    assert falls(desk, 14) == [Reason.DRAWDOWN]
    assert desk.engine.holding is not None
    assert desk.engine.holding.reason.latched
    assert desk.engine.holding.detail == "at least 104.40 below its best, drawdown_max is 100"


@pytest.mark.parametrize(("eth_lots", "mark"), [(200, "50600"), (-200, "49400")])
def test_row_16_a_loss_that_the_other_position_may_make_good_is_none(eth_lots: int, mark: str) -> None:
    """0.2 ETH gain 120 by the mark and nothing by the index: BTC's 150 are no certain loss; the next one is."""
    desk = two_markets(eth_lots)
    assert falls(desk, 20, mark=mark) == []
    assert falls(desk, 30, mark=mark) == [Reason.DRAWDOWN]


def test_row_16_an_estimate_is_no_best_moment_and_begins_no_day() -> None:
    """By its mark ETH gained 2000 for a while; that nobody confirmed, so it is nothing to lose."""
    desk = two_markets(200)
    before = attrs.evolve(desk.engine.losses)
    assert before.counted is not None
    desk.engine.exchange_ms = START_MS + DAY_MS
    assert [told(desk, ETH, "60000", "50000") for _ in range(3)] == [None] * 3
    assert desk.engine.losses == before
    assert told(desk, ETH, "50000") is None
    assert desk.engine.losses.peak == before.peak == 0
    assert desk.engine.losses.day == START_MS // DAY_MS + 1, "surely valued: now a day may begin"


def test_row_16_one_wrong_row_is_no_loss_while_another_position_cannot_be_valued() -> None:
    desk = two_markets(1)
    for _ in range(8):
        assert told(desk, ETH, "50600", "50000") is None
        assert [told(desk, BTC, price) for price in ("5000", "50000")] == [None] * 2
    assert [told(desk, BTC, "5000") for _ in range(2)] == [None, Reason.DRAWDOWN], "two in a row are a crash"


def test_row_16_one_wrong_row_of_the_position_that_cannot_be_valued_is_no_loss() -> None:
    desk = two_markets(200)
    for _ in range(8):
        assert [told(desk, ETH, *row) for row in (("50600", "50000"), ("5000", "5100"))] == [None] * 2
        assert told(desk, ETH, "5000", "50000") is None


def test_row_16_a_crash_in_which_mark_and_index_part_is_a_loss_once_the_last_sure_price_is_old() -> None:
    """Both have fallen by a tenth, the venue is silent; the index is the better one, and loses 800."""
    desk = two_markets(200)
    rows = 1 + int(VALUED_SECONDS)
    desk.now += desk.market(ETH).fair.sources[VENUE].settings.stale_seconds_max
    desk.stats(market_id=BTC)
    desk.stats(market_id=ETH)
    assert [told(desk, ETH, "45000", "46000") for _ in range(rows)] == [None] * (rows - 1) + [Reason.DRAWDOWN]
    assert desk.engine.holding is not None
    assert desk.engine.holding.detail.startswith("at least 800.00 below")


def test_row_16_a_venue_that_says_otherwise_is_believed_where_mark_and_index_part() -> None:
    desk = two_markets(200)
    for price in ("45000", "44000"):
        for _ in range(8):
            desk.reference(market_id=ETH)
            assert told(desk, ETH, price, "46000") is None


def test_row_16_a_position_that_never_had_a_sure_price_lets_nothing_be_judged() -> None:
    """From the start its mark and index are apart: neither is where a loss could be counted from."""
    held = at_position(150, position_id="b"), at_position(1, market_id=ETH, position_id="e")
    desk = Desk.of(market(BTC), market(ETH))
    desk.baseline(positions=held)
    for one in held:
        desk.snapshot(one.market_id, positions=(one,))
    assert falls(desk, 60) == []
    assert desk.engine.losses.snapshot() is None
    assert two_markets(1).market(ETH).worth.valued == 50_000, "else"


def test_row_16_half_of_the_news_of_a_position_lets_nothing_be_judged() -> None:
    """Its fill is not told yet: neither cash nor position is what it was."""
    desk = two_markets(1)
    assert desk.delta(ETH, positions=(at_position(-100, market_id=ETH, position_id="e"),)) is None
    assert falls(desk, 30) == []


def test_row_16_what_is_certain_is_judged_by_the_same_limits_and_noted_nowhere() -> None:
    losses = Losses(LIMITS)
    assert losses.certain(dec("-1000"), START_MS) is None, "nothing was judged yet"
    assert losses.judge(dec("60"), START_MS) is None
    before = attrs.evolve(losses)
    assert losses.certain(dec("-40"), START_MS) is None
    found = losses.certain(dec("-40.01"), START_MS)
    assert found == (Reason.DRAWDOWN, "at least 100.01 below its best, drawdown_max is 100")
    assert losses.certain(dec("1000"), START_MS + DAY_MS) is None
    assert losses == before


def test_row_16_where_a_day_has_begun_unseen_its_loss_is_not_known() -> None:
    """It may have been lost yesterday; below the best moment it is all the same."""
    losses = Losses(attrs.evolve(LIMITS, drawdown_max=dec("1000")))
    assert losses.judge(dec("0"), START_MS) is None
    for exchange_ms in (None, START_MS):
        found = losses.certain(dec("-151"), exchange_ms)
        assert found == (Reason.DAILY_LOSS, "at least 151.00 lost, daily_loss_max is 150")
    assert losses.certain(dec("-151"), START_MS + DAY_MS) is None
    found = losses.certain(dec("-1001"), START_MS + DAY_MS)
    assert found is not None
    assert found[0] is Reason.DRAWDOWN


# -- bursts


def a_burst(**changes: object) -> Burst:
    limits = attrs.evolve(LIMITS_OF_MARKET, burst_size_max=dec("0.1"), **changes)  # type: ignore[arg-type]
    return Burst(spec().grid, limits)


def filled(burst: Burst, lots: int, at_ms: int, side: Side = Side.BUY, *, told_ms: int | None = None) -> bool:
    """Whether a fill is one too many; told at `told_ms` by both clocks, else at once."""
    told_ms = at_ms if told_ms is None else told_ms
    burst.add(attrs.evolve(a_fill("t", side, lots), at_ms=at_ms), told_ms, told_ms / 1000)
    return burst.exceeded(told_ms / 1000) is not None


def test_row_4_a_burst_is_what_was_traded_within_its_interval() -> None:
    burst = a_burst()
    assert not filled(burst, 60, 0)
    assert not filled(burst, 40, 9_999)
    assert filled(burst, 1, 9_999)
    assert not filled(burst, 1, 10_000), "the first one is an interval away"
    assert not filled(burst, 58, 10_001)
    assert filled(burst, 1, 10_001)


def test_row_4_old_fills_told_late_and_out_of_order_are_no_burst() -> None:
    """After a reconnection a minute of fills comes in one read: they were traded a minute apart."""
    burst = a_burst()
    assert not any(filled(burst, 60, at_ms, told_ms=61_000) for at_ms in (60_000, 0, 40_000, 20_000))
    assert burst.lots == 60


def test_row_4_a_burst_told_late_is_one_all_the_same() -> None:
    """A stream was away for a minute: what was traded at its beginning, within a moment, is counted."""
    burst = a_burst()
    assert not filled(burst, 60, 0, told_ms=60_000)
    assert filled(burst, 60, 1_000, told_ms=60_000)


@pytest.mark.parametrize("ahead_ms", [3_600_000, 10**15])
def test_row_4_a_fill_stamped_ahead_blinds_nobody(ahead_ms: int) -> None:
    """It is counted as of when it was told; those that follow count as well."""
    burst = a_burst()
    assert not filled(burst, 60, ahead_ms, told_ms=0)
    assert not filled(burst, 40, 9_000)
    assert filled(burst, 1, 9_999)
    assert not filled(burst, 59, 10_001), "the first one is an interval away"


def test_row_4_an_exchange_that_sets_its_clock_back_blinds_nobody() -> None:
    """By our clock nothing is kept for longer than an interval; until then what came before the step counts."""
    burst = a_burst()

    def an_hour_earlier(lots: int, now: float) -> bool:
        burst.add(attrs.evolve(a_fill("t", Side.BUY, lots), at_ms=round(now * 1000)), round(now * 1000), 3_600 + now)
        return burst.exceeded(3_600 + now) is not None

    assert not filled(burst, 60, 3_600_000)
    assert not an_hour_earlier(40, 1.0)
    assert an_hour_earlier(1, 2.0)
    assert not an_hour_earlier(59, 10.0), "the first one is an interval away"
    assert an_hour_earlier(1, 10.5)


def test_row_4_fills_of_an_interval_ago_break_no_limit_that_is_tightened_since() -> None:
    """A reload hours after the last fill: what it says holds for what is traded by now."""
    burst = a_burst()
    assert not filled(burst, 60, 0)
    burst.limits = attrs.evolve(burst.limits, burst_size_max=dec("0.05"))
    assert burst.exceeded(9.9) is not None
    assert burst.exceeded(10.0) is None

    desk = Desk.ready()
    assert desk.delta(fills=(a_fill("t1", Side.BUY, 60),), positions=(at_position(60),)) is None
    desk.market().limits = desk.market().burst.limits = burst.limits
    desk.now += 10.0
    desk.stats()
    desk.market().burst.add(attrs.evolve(a_fill("t2", Side.BUY, 51), at_ms=START_MS + 10_000), None, desk.now)
    assert [reason for reason, _ in desk.market().broken(desk.now)] == [Reason.REPEATED_EXECUTION]


def test_row_4_a_fill_stamped_ahead_switches_no_breaker_off() -> None:
    """The first of thirty says that it was traded in an hour."""
    desk = Desk.ready(attrs.evolve(market(), limits=attrs.evolve(market().limits, burst_fills_max=5)))
    trip = None
    for number in range(6):
        ahead_ms = 3_600_000 if number == 0 else number
        fill = attrs.evolve(a_fill(f"t{number}", Side.BUY, 1), at_ms=START_MS + ahead_ms)
        trip = desk.delta(fills=(fill,), positions=(at_position(number + 1),))
        assert (trip is not None) == (number == 5)
    assert trip is not None
    assert trip.reason is Reason.REPEATED_EXECUTION


def test_row_4_value_counts_beside_size() -> None:
    """20 lots at 50000 are 1000."""
    burst = a_burst(burst_value_max=dec("1000"))
    assert not filled(burst, 10, 0)
    assert not filled(burst, 10, 0, Side.SELL)
    assert filled(burst, 1, 0)
    assert burst.exceeded(0.0) == (
        Reason.REPEATED_EXECUTION,
        "a value of 1050.00 within 10 s, burst_value_max is 1000",
    )


def test_row_4_fills_are_counted_by_side_and_always_wait_for_a_person() -> None:
    """RTS 6 15(3): N fills a side, however small and whatever the freeze."""
    burst = a_burst(burst_fills_max=5, burst_freeze_seconds=20.0)
    for side in Side:
        assert not any(filled(burst, 1, number, side) for number in range(5))
    assert filled(burst, 1, 6)
    found = burst.exceeded(0.006)
    assert found == (Reason.REPEATED_EXECUTION, "6 fills on the buy side within 10 s, burst_fills_max is 5")
    assert found[0].latched


def test_row_4_a_frozen_market_counts_anew_and_thaws() -> None:
    burst = a_burst(burst_freeze_seconds=20.0)
    assert filled(burst, 101, 0)
    found = burst.exceeded(0.0)
    assert found is not None
    assert found[0] is Reason.BURST
    burst.freeze(found[1], 100.0)
    assert burst.exceeded(100.0) is None
    assert burst.frozen(119.0) == (
        "it traded too much (0.101 within 10 s, burst_size_max is 0.1); frozen for another 1 s"
    )
    assert burst.frozen(120.0) == ""
    assert not filled(burst, 100, 1)


def test_row_4_both_sides_count() -> None:
    """Deribit's market-maker protection: bought and sold back in a moment is traded all the same."""
    desk = Desk.ready(attrs.evolve(market(), limits=attrs.evolve(market().limits, burst_size_max=dec("0.03"))))
    for number, side in enumerate((Side.BUY, Side.SELL, Side.BUY)):
        assert (
            desk.delta(fills=(a_fill(f"t{number}", side, 10),), positions=(at_position(10 * (number % 2 == 0)),))
            is None
        )
    trip = desk.delta(fills=(a_fill("t9", Side.SELL, 1),), positions=(at_position(9),))
    assert trip is not None
    assert trip.reason is Reason.REPEATED_EXECUTION
    assert trip.detail == "BTC-PERP: 0.031 within 10 s, burst_size_max is 0.03"


def test_row_4_a_burst_hides_no_loss() -> None:
    """One fact may be both: a freeze goes by itself, a loss does not, so the loss is what is told."""
    limits = attrs.evolve(market().limits, burst_size_max=dec("0.03"), burst_freeze_seconds=20.0)
    desk = Desk.ready(attrs.evolve(market(), limits=limits), limits=attrs.evolve(ALL_MARKETS, drawdown_max=dec("10")))
    desk.quote()
    fill = a_fill("t1", Side.BUY, 100, ticks=FAIR_TICKS + 2000)
    trip = desk.delta(fills=(fill,), positions=(at_position(100),))
    assert trip is not None
    assert trip.reason is Reason.DRAWDOWN


def test_s21_a_position_beyond_its_limit_hides_no_burst_of_another_market() -> None:
    """S21: the first ends the run and may start again; the fills that come while it ends are for a person."""
    limits = attrs.evolve(market().limits, burst_fills_max=3)
    desk = Desk.ready(*(attrs.evolve(market(name), limits=limits) for name in (BTC, ETH)))
    trip = desk.delta(fills=(a_fill("b1", Side.BUY, 250),), positions=(at_position(250),))
    assert trip is not None
    assert trip.reason is Reason.POSITION_LIMIT
    for number in range(4):
        fills = (a_fill(f"e{number}", Side.BUY, 1, market_id=ETH),)
        trip = desk.delta(ETH, fills=fills, positions=(at_position(number + 1, market_id=ETH),))
        assert (trip is not None) == (number == 3)
    assert trip is not None
    assert trip.reason is Reason.REPEATED_EXECUTION


# -- what was filled against what was asked


def test_row_15_a_double_fill_stops_for_a_person_and_a_partial_one_does_not() -> None:
    """Knight, 2012: filled again and again against one order. Also when the order was replaced meanwhile."""
    desk = Desk.ready()
    order = desk.quote().orders[0]
    name, side = order.client_order_id, order.side
    sign = side.sign
    assert desk.delta(fills=(a_fill("t1", side, 4, client_order_id=name),), positions=(at_position(4 * sign),)) is None
    desk.later(1)
    desk.reference(FAIR_TICKS + 300)
    desk.quote()
    assert desk.delta(fills=(a_fill("t2", side, 6, client_order_id=name),), positions=(at_position(10 * sign),)) is None
    trip = desk.delta(fills=(a_fill("t3", side, 1, client_order_id=name),), positions=(at_position(11 * sign),))
    assert trip is not None
    assert trip.reason is Reason.OVERFILLED
    assert trip.detail == f"BTC-PERP: 0.001 beyond order {name}, trade t3"


def test_row_15_the_same_trade_told_again_is_no_double_fill() -> None:
    desk = Desk.ready()
    order = desk.quote().orders[0]
    fill = a_fill("t1", order.side, order.lots, client_order_id=order.client_order_id)
    for _ in range(3):
        assert desk.delta(fills=(fill,), positions=(at_position(order.lots * order.side.sign),)) is None


def test_a_position_found_beyond_its_limit_may_be_worked_off_and_not_grown() -> None:
    """The limit was lowered between two runs."""
    desk = Desk.of()
    desk.baseline(positions=(at_position(300),))
    assert desk.snapshot(positions=(at_position(300),)) is None
    assert desk.delta(fills=(a_fill("t1", Side.SELL, 50),), positions=(at_position(250),)) is None
    assert desk.delta(fills=(a_fill("t2", Side.BUY, 50),), positions=(at_position(300),)) is None
    trip = desk.delta(fills=(a_fill("t3", Side.BUY, 1),), positions=(at_position(301),))
    assert trip is not None
    assert trip.reason is Reason.POSITION_LIMIT
    assert trip.detail == "BTC-PERP: 0.301, allowed are 0.300"
