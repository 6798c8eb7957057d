"""Ladders, latencies and requests: counted once each, by the minute and the day."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.edge import records
from maker.report import reading
from maker.report.ladders import MINUTE_MS, PERCENTILES, Latency, percentile
from maker.report.since import DAY_MS
from tests.desk.scripted import quick
from tests.report.journals import NOON, Told, a_run, reported, windows

OUTCOMES = ("applied", "refused", "throttled", "unknown", "unsent")


@quick
@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.integers(1, 100))
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    """Nearest rank, by its definition."""
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(one <= found for one in values) * 100 >= percent * len(values)
    assert sum(one < found for one in values) * 100 < percent * len(values)


def test_percentiles_of_few() -> None:
    assert percentile([], 50) is None
    assert Latency.of([]) == Latency(0, (None,) * len(PERCENTILES))
    assert Latency.of([3.0, 1.0, 2.0]) == Latency(3, (2.0, 3.0, 3.0, 3.0))
    assert Latency.of(number / 100 for number in range(1, 101)).percentiles == (0.5, 0.9, 0.99, 1.0)


@st.composite
def outcomes(draw: st.DrawFn) -> list[Told]:
    found, at = [], NOON
    for run_id in ("one", "two"):
        rows, started = [], at
        for number in range(draw(st.integers(0, 15))):
            at += draw(st.sampled_from([1, 500, 60_000, DAY_MS]))
            outcome = draw(st.sampled_from(OUTCOMES))
            seconds = draw(st.floats(0, 3)) if outcome in OUTCOMES[:3] else None
            market = draw(st.sampled_from(["A", "B"]))
            rows.append(records.LadderOutcome(at, f"{run_id}{number}", market, outcome, "", seconds))
        found.append(Told(a_run(run_id, started), rows))
    return found


@quick
@given(outcomes(), st.sampled_from([1, 4, 10_000]), st.data())
def test_every_ladder_of_the_window_is_counted_once(told: list[Told], page: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE_ROWS", page)
        report = reported(told, data.draw(windows(told)))
    rows = [row for one in told for row in one.rows if isinstance(row, records.LadderOutcome)]
    rows = [row for row in rows if row.at_unix_ms >= report.window.since_ms]
    for market in ("A", "B"):
        mine = [row for row in rows if row.market == market]
        assert [report.ladders.count(outcome, market) for outcome in OUTCOMES] == [
            sum(row.outcome == outcome for row in mine) for outcome in OUTCOMES
        ]
        assert list(report.ladders.seconds.get(market, [])) == [
            row.answer_seconds for row in mine if row.answer_seconds is not None
        ]
    assert report.ladders.count(None) == len(rows)
    assert report.ladders.count("applied") == sum(row.outcome == "applied" for row in rows)


@st.composite
def spending(draw: st.DrawFn) -> list[Told]:
    """Runs, each counting from nothing; some rows are within a minute, some days apart."""
    found, at = [], NOON
    for run_id in ("one", "two", "three"):
        rows, started, spent, throttles = [], at, 0, 0
        for _ in range(draw(st.integers(0, 8))):
            at += draw(st.sampled_from([5_000, 20_000, 3 * MINUTE_MS, DAY_MS, 3 * DAY_MS]))
            rows.append(records.RequestsSpent(at, spent, throttles, draw(st.sampled_from([120, 600]))))
            spent += draw(st.integers(0, 30))
            throttles += draw(st.integers(0, 1))
        found.append(Told(a_run(run_id, started), rows))
    return found


@quick
@given(spending(), st.sampled_from([1, 2, 10_000]), st.data())
def test_requests_are_what_was_spent_between_two_rows(told: list[Told], page: int, data: st.DataObject) -> None:
    """Each row's requests belong to its minute; what was spent before the window is left out, however long before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE_ROWS", page)
        patch.setattr(reading, "STRIDE_ROWS", page)
        report = reported(told, data.draw(windows(told)))
    minutes: dict[int, int] = {}
    throttles, limit = 0, None
    for one in told:
        for before, row in pairwise([records.RequestsSpent(0, 0, 0, 0), *one.rows]):
            assert isinstance(before, records.RequestsSpent)
            assert isinstance(row, records.RequestsSpent)
            if row.at_unix_ms >= report.window.since_ms:
                minute = row.at_unix_ms // MINUTE_MS * MINUTE_MS
                minutes[minute] = minutes.get(minute, 0) + row.spent - before.spent
                throttles += row.throttles - before.throttles
                limit = row.limit_per_minute
    requests = report.requests
    assert requests.minutes == minutes
    assert (requests.throttles, requests.limit_per_minute) == (throttles, limit)
    assert requests.total == sum(minutes.values()) == sum(requests.by_day().values())
