"""What rested, for how long and how far apart: to the millisecond, whatever the rows."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.edge import records
from maker.report import reading
from maker.report.quoting import SPREAD_BOUNDS_BPS, Quoted, Rest, Uptime
from maker.report.since import DAY_MS
from tests.desk.scripted import quick
from tests.report.journals import NOON, Told, a_run, reported, windows

D = Decimal
sides = st.none() | st.decimals(90, 110, places=2)


def row(at_ms: int, bid: str | None, ask: str | None, market: str = "A") -> records.QuotesSeen:
    return records.QuotesSeen(at_ms, market, None if bid is None else D(bid), None if ask is None else D(ask))


def end(at_ms: int) -> records.RunEnd:
    return records.RunEnd(at_ms, "stopped as asked", 0, verified_empty=True)


@st.composite
def journals(draw: st.DrawFn) -> list[Told]:
    """Runs of which some end, some are torn; their rows a moment or hours apart, but a minute at most before an end."""
    found = []
    at = NOON
    for number in range(draw(st.integers(0, 3))):
        at += draw(st.integers(0, DAY_MS))
        run, rows = a_run(f"run-{number}", at), list[records.QuotesSeen | records.RunEnd]()
        for _ in range(draw(st.integers(0, 10))):
            at += draw(st.sampled_from([0, 1, 999, 60_000, 3_600_000]))
            bid, ask = draw(sides), draw(sides)
            rows.append(records.QuotesSeen(at, draw(st.sampled_from(["A", "B"])), bid, ask))
        if draw(st.booleans()):
            at += draw(st.integers(0, 60_000))
            rows.append(end(at))
        found.append(Told(run, rows))
    return found


def plainly(told: list[Told], since_ms: int) -> dict[tuple[int, str], dict[Rest, int]]:
    """Every interval cut at the window's begin and at midnights, one by one."""
    found: dict[tuple[int, str], dict[Rest, int]] = {}
    for one in told:
        last = max([one.run.started_at_unix_ms, *(row.at_unix_ms for row in one.rows)])
        for market in ("A", "B"):
            rows = [each for each in one.rows if isinstance(each, records.QuotesSeen) and each.market == market]
            ends = [*(each.at_unix_ms for each in rows[1:]), last]
            for each, end_ms in zip(rows, ends, strict=False):
                rest = [Rest.NOTHING, Rest.ONE, Rest.BOTH][
                    (each.bid_price_quote is not None) + (each.ask_price_quote is not None)
                ]
                at = max(each.at_unix_ms, since_ms)
                while at < end_ms:
                    until = min(end_ms, (at // DAY_MS + 1) * DAY_MS)
                    day = found.setdefault((at // DAY_MS * DAY_MS, market), {})
                    day[rest] = day.get(rest, 0) + until - at
                    at = until
    return found


@quick
@given(journals(), st.sampled_from([1, 3, 10_000]), st.data())
def test_it_is_what_a_plain_reckoning_finds(told: list[Told], page: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE_ROWS", page)
        report = reported(told, data.draw(windows(told)))
    expected = plainly(told, report.window.since_ms)
    found = {
        key: {
            rest: length
            for rest, length in ((Rest.BOTH, one.both), (Rest.ONE, one.one), (Rest.NOTHING, one.nothing))
            if length
        }
        for key, one in report.quoting.by_day().items()
    }
    assert found == dict(sorted(expected.items()))
    for market in report.quoting.markets:
        both = report.quoting.of_market(market).both
        assert sum(report.quoting.spreads.get(market, [])) == both


@quick
@given(st.decimals("0.01", 100, places=4), st.decimals("0.0001", 1, places=4))
def test_a_spread_is_in_its_class_exactly(bid: Decimal, apart: Decimal) -> None:
    """By fractions: no spread falls on the wrong side of a bound for a float's sake."""
    quoted = Quoted(0, bid, bid + apart)
    exactly = Fraction(apart) * 10_000 * 2 / (Fraction(bid) * 2 + Fraction(apart))
    below = [bound for bound in SPREAD_BOUNDS_BPS if Fraction(bound) <= exactly]
    assert quoted.spread_class == len(below)
    assert abs(quoted.spread_bps - float(exactly)) < 1e-6 * float(exactly)


def test_a_spread_on_a_bound_belongs_above_it() -> None:
    assert Quoted(0, D(19999), D(20001)).spread_class == SPREAD_BOUNDS_BPS.index(D(1)) + 1
    assert Quoted(0, D("19999.5"), D("20001.5")).spread_class == SPREAD_BOUNDS_BPS.index(D(1))
    assert Quoted(0, D(1), D(3)).spread_class == len(SPREAD_BOUNDS_BPS)


def test_the_mean_spread_is_over_the_time_that_both_rested() -> None:
    rows: list[records.Row] = [
        row(NOON, None, None),
        row(NOON + 1000, "19999", "20001"),  # 1 bp for 3 s
        row(NOON + 4000, "19999", None),
        row(NOON + 5000, "19990", "20010"),  # 10 bp for 1 s
        end(NOON + 6000),
    ]
    quoting = reported([Told(a_run(), rows)]).quoting
    assert quoting.of_market("A") == Uptime(both=4000, one=1000, nothing=1000)
    assert quoting.spread_bps("A") == pytest.approx(3.25)


def test_the_quotes_of_before_the_window_hold_when_it_begins() -> None:
    """Rows come again every minute, so the day that is read before the window tells what rested."""
    rows: list[records.Row] = [row(NOON + at * 60_000, "19999", "20001") for at in range(3000)]
    since = NOON + 2000 * 60_000 + 30_000
    quoting = reported([Told(a_run(), [*rows, end(NOON + 3000 * 60_000)])], since).quoting
    assert quoting.of_market("A") == Uptime(both=1000 * 60_000 - 30_000)


def test_the_last_quotes_hold_to_the_end_of_their_run_or_its_last_sign_of_life() -> None:
    """Of whatever table it was: a killed maker quoted as long as it wrote."""
    rows: list[records.Row] = [row(NOON, "19999", "20001"), records.StateChange(NOON + 7000, "maker", "note", "")]
    assert reported([Told(a_run(), rows)]).quoting.of_market("A").both == 7000
    rows.append(records.RequestsSpent(NOON + 8000, 1, 0, 120))
    assert reported([Told(a_run(), rows)]).quoting.of_market("A").both == 8000
    assert reported([Told(a_run(), [*rows, end(NOON + 9000)])]).quoting.of_market("A").both == 9000


def test_of_an_old_journal_nothing_is_told_and_that_is_said() -> None:
    ladder = records.LadderOutcome(NOON + 1000, "q1", "A", "applied", "", 0.01)
    report = reported([Told(a_run(), [ladder])], version=2)
    assert report.quoting.markets == []
    assert (
        "What rested and how many requests it took was not recorded in 1 run of before schema 3: uptime, spreads and "
        "requests leave them out." in report.notes
    )
