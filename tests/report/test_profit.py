"""Profit taken apart: whatever runs wrote and wherever the window begins, the parts add up to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.units import exact
from maker.edge import records
from maker.report import reading
from maker.report.profit import Money, Profit, read_profit, summed
from maker.report.runs import Runs, Window
from maker.report.since import DAY_MS
from tests.desk.scripted import quick
from tests.report.journals import NOON, Told, a_run, in_memory, windows

ZERO = Decimal(0)
amounts = st.decimals(-1_000_000, 1_000_000, places=12)
PARTS = ("spread", "inventory", "fees", "funding")


def rows_of(at_ms: int, market: str, sums: Sequence[Decimal], residual: Decimal = ZERO) -> list[records.Row]:
    """The two rows that the maker writes of one moment; `sums`: spread, inventory, fees, funding since the start."""
    spread, inventory, fees, funding = sums
    with exact():
        equity = spread + inventory + fees + funding + residual
        cash = equity - 2 * Decimal(50_000) - fees - funding
        return [
            records.Profit(at_ms, market, Decimal(2), Decimal(50_000), cash, -fees, -funding, equity),
            records.Attribution(at_ms, market, spread, inventory, fees, funding, equity, residual, 0),
        ]


def profit_of(told: Sequence[Told], since_ms: int | None = None, version: int = 3) -> tuple[Profit, Window]:
    reader = in_memory(told, version)
    runs = Runs.read(reader)
    begin = min((run.started_ms for run in runs.by_id.values()), default=0) if since_ms is None else since_ms
    reader.since_ms = since_ms or 0
    window = Window.of(begin, max(begin, reader.last_at_ms()) + 1)
    try:
        return read_profit(reader, window, runs), window
    finally:
        reader.connection.close()


@st.composite
def journals(draw: st.DrawFn, back_ms: int = 1) -> list[Told]:
    """Runs one after the other, each with samples of one to three markets, some of them hours apart.

    `back_ms`: by which the clock may be set between two samples.
    """
    found: list[Told] = []
    at = NOON
    for number in range(draw(st.integers(0, 4))):
        at += draw(st.integers(0, 2 * DAY_MS))
        run = a_run(f"run-{number}", at)
        rows: list[records.Row] = []
        markets = draw(st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=3, unique=True))
        for _ in range(draw(st.integers(0, 8))):
            at += draw(st.sampled_from([1, 4_999, 5_000, 61_000, 3_600_000, DAY_MS, 3 * DAY_MS, back_ms]))
            for market in markets:
                if draw(st.integers(0, 9)):  # a market without a mark is not in a sample
                    sums = [draw(amounts) for _ in range(4)]
                    rows += rows_of(at, market, sums, draw(st.sampled_from([ZERO, Decimal("0.5")])))
        found.append(Told(run, rows))
    return found


def plainly(told: Sequence[Told], since_ms: int) -> dict[tuple[int, str], list[Decimal]]:
    """The same without SQL, pages, buckets or look-ups: (day, market) -> spread, inventory, fees, funding, profit."""
    days: dict[tuple[int, str], list[Decimal]] = {}
    for one in told:
        for market in ("A", "B", "C"):
            rows = [row for row in one.rows if isinstance(row, records.Attribution) and row.market == market]
            before = records.Attribution(0, market, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, 0)
            for earlier, row in pairwise([before, *rows]):
                if row.at_unix_ms < since_ms:
                    continue
                made = days.setdefault((row.at_unix_ms // DAY_MS * DAY_MS, market), [ZERO] * 5)
                for at, name in enumerate((*PARTS, "equity")):
                    with exact():
                        made[at] += getattr(row, f"{name}_quote") - getattr(earlier, f"{name}_quote")
    return days


@quick
@given(journals(), st.data(), st.sampled_from([1, 2, 5, 10_000]))
def test_it_is_what_a_plain_reckoning_finds(told: list[Told], data: st.DataObject, page: int) -> None:
    """Any runs, any window, any size of page: each day of each market, each part, to the last digit."""
    since = data.draw(windows(told))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE_ROWS", page)
        patch.setattr(reading, "STRIDE_ROWS", page)
        profit, window = profit_of(told, since)
    expected = plainly(told, window.since_ms)
    found = {key: [*(getattr(made, name) for name in PARTS), made.profit] for key, made in profit.by_day().items()}
    assert found == dict(sorted(expected.items()))
    with exact():
        total = sum((made[-1] for made in expected.values()), ZERO)
    assert profit.total.profit == total
    curve = profit.curve(None)
    assert (curve[-1][1] if curve else ZERO) == total
    assert summed(profit.of_market(market) for market in profit.markets) == profit.total


@quick
@given(journals(back_ms=-7_200_000), st.sampled_from([1, 3, 10_000]))
def test_a_clock_that_was_set_back_loses_nothing(told: list[Told], page: int) -> None:
    """Which day a step belongs to may be said otherwise then; what was made is the same to the last digit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE_ROWS", page)
        profit, _ = profit_of(told, 0)
    expected = plainly(told, 0)
    with exact():
        for at, name in enumerate(PARTS):
            assert getattr(profit.total, name) == sum((made[at] for made in expected.values()), ZERO)
    assert {market for _, market in expected} == set(profit.markets)


@quick
@given(journals())
def test_of_an_old_journal_profit_fees_and_funding_are_told(told: list[Told]) -> None:
    """Before attribution: the same profit, and what is left beside fees and funding stays one figure."""
    new, _ = profit_of(told)
    old, _ = profit_of(told, version=1)
    assert old.total.profit == new.total.profit
    assert (old.total.fees, old.total.funding) == (new.total.fees, new.total.funding)
    with exact():
        assert old.total.untold == new.total.spread + new.total.inventory + new.total.residual
    assert (old.total.spread, old.total.inventory, new.total.untold) == (ZERO, ZERO, ZERO)


def test_runs_of_before_and_after_attribution_add_up() -> None:
    """A file that was migrated between two runs: each run is told as far as it wrote."""
    old = rows_of(NOON, "A", [Decimal(3), Decimal(4), Decimal(-1), ZERO])[:1]
    new = rows_of(NOON + 10_000, "A", [Decimal(5), Decimal(-2), Decimal(-1), Decimal("0.25")])
    profit, _ = profit_of([Told(a_run("old"), old), Told(a_run("new", NOON + 5_000), new)])
    assert profit.total == Money(Decimal(5), Decimal(-2), Decimal(-2), Decimal("0.25"), untold=Decimal(7))
    assert profit.total.profit == Decimal("8.25")


def test_a_market_silent_for_days_is_counted_from_its_last_row_before_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It had no mark for a week: what it had made by then was made before the window."""
    monkeypatch.setattr(reading, "STRIDE_ROWS", 1)
    sums = [Decimal(100), ZERO, ZERO, ZERO]
    rows = rows_of(NOON, "A", sums)
    for day in range(1, 8):
        rows += rows_of(NOON + day * DAY_MS, "B", sums)
    rows += rows_of(NOON + 8 * DAY_MS, "A", [Decimal(101), ZERO, ZERO, ZERO])
    profit, _ = profit_of([Told(a_run(), rows)], NOON + 7 * DAY_MS + 1)
    assert profit.total.profit == 1


@pytest.mark.parametrize(("since", "made"), [(-1, 9), (0, 9), (1, 8), (1_500, 4), (2_000, 4), (2_001, 0)])
def test_a_window_that_begins_within_a_bucket_has_only_what_came_after(since: int, made: int) -> None:
    """Three rows within five seconds: those before the window are what is subtracted."""
    rows: list[records.Row] = []
    for at, spread in ((0, 1), (1_000, 5), (2_000, 9)):
        rows += rows_of(NOON + at, "A", [Decimal(spread), ZERO, ZERO, ZERO])
    profit, window = profit_of([Told(a_run(), rows)], NOON + since)
    assert window.bucket_ms == 5_000
    assert profit.total.profit == made


def test_positions_and_marks_are_those_at_the_end_of_each_bucket() -> None:
    rows = [
        records.Profit(NOON + at, "A", Decimal(at), Decimal(50_000 + at), ZERO, ZERO, ZERO, ZERO)
        for at in (0, 4_000, 4_999, 5_000)
    ]
    profit, window = profit_of([Told(a_run(), rows)])
    assert window.bucket_ms == 5_000
    assert profit.held == {
        ("A", NOON): (Decimal(4_999), Decimal(54_999)),
        ("A", NOON + 5_000): (Decimal(5_000), Decimal(55_000)),
    }


def test_fills_taken_against_the_mark_are_counted_within_the_window() -> None:
    rows: list[records.Row] = []
    for at, many in ((0, 2), (10_000, 2), (20_000, 5)):
        rows.append(records.Attribution(NOON + at, "A", ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, many))
    assert profit_of([Told(a_run(), rows)])[0].fills_at_mark == 5
    assert profit_of([Told(a_run(), rows)], NOON + 5_000)[0].fills_at_mark == 3


def test_sums_of_forty_digits_stay_exact() -> None:
    tiny = Decimal("0." + "0" * 38 + "1")
    rows = rows_of(NOON, "A", [Decimal("1E+9"), tiny, -tiny, tiny])
    rows += rows_of(NOON + 5_000, "A", [Decimal("1E+9") + 1, ZERO, ZERO, ZERO])
    assert profit_of([Told(a_run(), rows)])[0].total.profit == 1_000_000_001
    first, _ = profit_of([Told(a_run(), rows[:2])])
    with exact():
        assert first.total.profit == Decimal("1E+9") + tiny
    old, _ = profit_of([Told(a_run(), rows[:2])], version=1)
    with exact():
        assert (old.total.fees, old.total.untold) == (-tiny, Decimal("1E+9") + tiny)
