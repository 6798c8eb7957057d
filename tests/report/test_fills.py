"""Fills and markouts added up: whatever was filled, whatever of it is known, and wherever the window begins."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.profit import HORIZONS_SECONDS
from maker.desk.units import Side, exact
from maker.edge import records
from maker.edge.journal import write_batch
from maker.report import reading
from maker.report.fills import Fill, Flow
from maker.report.since import DAY_MS
from maker.report.whole import gather
from tests.desk.scripted import quick
from tests.report.journals import NOON, Told, a_run, fill_in, in_memory, reported, windows
from tests.report.test_profit import rows_of

D = Decimal
prices = st.decimals(1, 100_000, places=2)


def fill_row(trade_id: str, at_ms: int = NOON, **changes: Any) -> records.Fill:
    values = {
        "at_unix_ms": at_ms,
        "market": "A",
        "trade_id": trade_id,
        "order_id": f"order of {trade_id}",
        "client_order_id": f"mk-{trade_id}",
        "side": "buy",
        "price_quote": D(100),
        "size_base": D(2),
        "fee_quote": D("0.02"),
    }
    return records.Fill(**{**values, **changes})


def detail_row(trade_id: str, at_ms: int = NOON, **changes: Any) -> records.FillDetail:
    values = {
        "at_unix_ms": at_ms,
        "market": "A",
        "trade_id": trade_id,
        "quote_id": "q1",
        "level": 1,
        "liquidity": "maker",
        "fair_price_quote": D("100.5"),
        "mark_price_quote": D(100),
    }
    return records.FillDetail(**{**values, **changes})


@st.composite
def journals(draw: st.DrawFn) -> list[Told]:
    """Fills of two runs, two markets, both sides and some levels; details and markouts come later, or never."""
    found = []
    at = NOON
    for run_id in ("one", "two"):
        rows: list[Any] = []
        late: list[Any] = []
        started = at
        for number in range(draw(st.integers(0, 12))):
            at += draw(st.sampled_from([0, 40, 900, 70_000, DAY_MS]))
            trade_id, market = f"t{number}", draw(st.sampled_from(["A", "B"]))
            side, price = draw(st.sampled_from(["buy", "sell"])), draw(prices)
            size = draw(st.decimals("0.001", 5, places=3))
            rows.append(fill_row(trade_id, at, market=market, side=side, price_quote=price, size_base=size))
            if draw(st.integers(0, 4)):
                fair = draw(st.none() | prices)
                level = draw(st.integers(0, 3))
                rows.append(
                    detail_row(
                        trade_id, at + 40, market=market, level=level, fair_price_quote=fair, mark_price_quote=D(1)
                    )
                )
            for horizon in HORIZONS_SECONDS:
                kind = draw(st.integers(0, 3))
                quote = None if kind == 1 else draw(st.decimals(-10, 10, places=6))
                bps = None if kind == 1 else draw(st.decimals(-10, 10, places=4))
                if kind:
                    late.append(records.Markout(at + round(horizon * 1000), market, trade_id, horizon, quote, bps))
            if draw(st.booleans()):
                rows, late = rows + late, []
        found.append(Told(a_run(run_id, started), rows + late))
    return found


def plainly(told: list[Told], since_ms: int) -> list[tuple[records.Fill, records.FillDetail | None, dict[float, Any]]]:
    """The fills of the window with what is known of each, by looking through all rows for each of them."""
    found = []
    for one in told:
        for fill in one.rows:
            if isinstance(fill, records.Fill) and fill.at_unix_ms >= since_ms:
                mine = [
                    row
                    for row in one.rows
                    if getattr(row, "trade_id", "") == fill.trade_id and getattr(row, "market", "") == fill.market
                ]
                details = [row for row in mine if isinstance(row, records.FillDetail)]
                markouts = {row.horizon_seconds: row for row in mine if isinstance(row, records.Markout)}
                found.append((fill, details[0] if details else None, markouts))
    return found


@quick
@given(journals(), st.sampled_from([1, 3, 10_000]), st.data())
def test_they_are_what_a_plain_reckoning_finds(told: list[Told], page: int, data: st.DataObject) -> None:
    """Counts, volumes, edges; and each market's, side's and level's markouts, those without a fair value apart."""
    fills: list[Fill] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE_ROWS", page)
        report = reported(told, data.draw(windows(told)), fills=fills)
    expected = plainly(told, report.window.since_ms)
    assert [(one.trade_id, one.price, one.level) for one in fills] == [
        (fill.trade_id, fill.price_quote, 0 if detail is None else detail.level) for fill, detail, _ in expected
    ]
    flows: dict[str, Flow] = {}
    counts: dict[Any, int] = {}
    tallies: dict[Any, list[Any]] = {}
    for fill, detail, markouts in expected:
        flow = flows.setdefault(fill.market, Flow())
        side, level = Side(fill.side), 0 if detail is None else detail.level
        flow.fills += 1
        flow.buys += side is Side.BUY
        flow.makers += detail is not None
        with exact():
            flow.volume += fill.price_quote * fill.size_base
            flow.fees += fill.fee_quote
            if detail is not None and detail.fair_price_quote is not None:
                flow.edge += side.sign * fill.size_base * (detail.fair_price_quote - fill.price_quote)
                flow.edge_volume += fill.price_quote * fill.size_base
        key = fill.market, side, level
        counts[key] = counts.get(key, 0) + 1
        for horizon, row in markouts.items():
            tallies.setdefault((*key, horizon), []).append(row)
    assert report.fills.markets == flows
    assert report.fills.levels == counts
    assert set(report.fills.markouts) == set(tallies)
    for key, rows in tallies.items():
        tally = report.fills.markouts[key]
        known = [row for row in rows if row.markout_quote is not None]
        assert (tally.count, tally.missing) == (len(known), len(rows) - len(known))
        assert tally.quote == sum((row.markout_quote for row in known), D(0))
        if known:
            mean = sum((Fraction(row.markout_bps) for row in known), Fraction(0)) / len(known)
            assert tally.bps_mean is not None
            assert abs(Fraction(tally.bps_mean) - mean) <= Fraction(1, 20_000)
    spots = report.fills.spots
    with exact():
        assert sum((one.value for one in spots.values()), D(0)) == sum((one.volume for one in flows.values()), D(0))


def test_of_an_old_journal_fills_are_told_without_what_it_lacks() -> None:
    rows: list[records.Row] = [
        fill_row("t1"),
        detail_row("t1"),
        records.Markout(NOON + 1000, "A", "t1", 1.0, D(1), D(2)),
    ]
    report = reported([Told(a_run(), rows)], version=1)
    flow = report.fills.markets["A"]
    assert (flow.fills, flow.volume, flow.makers, flow.takers, flow.edge_volume) == (1, D(200), 0, 0, D(0))
    assert report.fills.levels == {("A", Side.BUY, 0): 1}
    assert report.fills.markouts == {}
    assert report.fills.delays == {}


def test_markouts_of_another_run_or_market_are_not_taken() -> None:
    """A trade's id is its exchange's to give: in another market it may be the same."""
    other = records.Markout(NOON + 1000, "B", "t1", 1.0, D(9), D(9))
    same = records.Markout(NOON + 1000, "A", "t1", 1.0, D(1), D(2))
    rows: list[records.Row] = [fill_row("t1"), detail_row("t1"), other]
    runs = [Told(a_run("one"), rows), Told(a_run("two"), [same, fill_row("t1"), detail_row("t1", level=2)])]
    tallies = reported(runs).fills.markouts
    assert [(key, tally.bps) for key, tally in tallies.items()] == [(("A", Side.BUY, 2, 1.0), D(2))]


def test_what_was_written_after_the_reading_began_is_not_seen() -> None:
    """Not even through a join: a fill's markout that comes while we read belongs to the next report."""
    run = a_run()
    reader = in_memory([Told(run, [fill_row("t1")])])
    later: list[records.Row] = [detail_row("t1"), records.Markout(NOON + 1000, "A", "t1", 1.0, D(1), D(2))]
    fill_in(reader.connection, [Told(a_run("later"), [])])
    write_batch(reader.connection, run.run_id, later)
    report = gather(reader, None, NOON + DAY_MS)
    assert report.fills.levels == {("A", Side.BUY, 0): 1}
    assert report.fills.markouts == {}
    assert [one.run_id for one in report.runs] == ["run-1"]
    reader.connection.close()


def test_delays_and_spots() -> None:
    rows: list[records.Row] = [
        fill_row("t1", NOON, price_quote=D(100), size_base=D(1)),
        detail_row("t1", NOON + 250),
        fill_row("t2", NOON + 10, price_quote=D(103), size_base=D(2)),
        detail_row("t2", NOON + 5),
        fill_row("t3", NOON + 10, side="sell", price_quote=D(104), size_base=D(2)),
        records.StateChange(NOON + 1000, "A", "quoting", ""),
    ]
    fills = reported([Told(a_run(), rows)]).fills
    assert fills.delays == {"A": [0.25, -0.005]}
    assert fills.spots["A", NOON, Side.BUY].price == 102.0
    assert fills.spots["A", NOON, Side.SELL].price == 104.0


def test_fills_after_the_last_row_of_profit_are_counted() -> None:
    """A killed run: what they made is in no figure, and that is said."""
    sums = [D(1), D(0), D(0), D(0)]
    rows: list[records.Row] = [fill_row("t1"), detail_row("t1", NOON + 1), *rows_of(NOON + 5000, "A", sums)]
    rows += [fill_row("t2", NOON + 4000), detail_row("t2", NOON + 5001)]
    report = reported([Told(a_run(), rows)])
    assert report.fills.after_profit == 1
    assert (
        "1 fill came after the last row of profit of a run: what they made is in no figure of profit." in report.notes
    )
