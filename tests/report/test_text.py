"""The report on a terminal, to the letter."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs

from maker.edge import records
from maker.report.since import DAY_MS
from maker.report.table import Column, Kind, Table
from maker.report.text import ROWS_MAX, TEXT_CHARACTERS_MAX, lines, text
from tests.report.journals import NOON, Told, a_run, reported
from tests.report.test_fills import detail_row, fill_row
from tests.report.test_halts import end, ladder, pulled, pulling
from tests.report.test_profit import rows_of
from tests.report.test_quoting import row

D = Decimal
GOLDEN = Path(__file__).parent / "golden.txt"


def a_story() -> list[Told]:
    """A run over midnight in two markets, with all that a report tells of, and one before it that was killed."""
    midnight = NOON + DAY_MS // 2
    before = [
        *rows_of(NOON - 7_200_000, "A", [D("1.5"), D("-0.25"), D("-0.125"), D(0)]),
        records.StateChange(NOON - 7_199_000, "maker", "note", "A: risk refused a ladder"),
    ]
    rows: list[records.Row] = [
        records.StateChange(NOON, "A", "not quoting", "2 reference feeds are needed: alpha has no price for A-USD"),
        row(NOON, None, None),
        row(NOON, None, None, "B"),
        records.StateChange(NOON + 500, "A", "quoting", "both sides are quoted"),
        ladder(1),
        row(NOON + 1_000, "19999", "20001"),
        fill_row("t1", NOON + 2_000, client_order_id="mk-1"),
        detail_row("t1", NOON + 2_040),
        records.Markout(NOON + 3_040, "A", "t1", 1.0, D("0.5"), D("25")),
        records.Markout(NOON + 7_040, "A", "t1", 5.0, D("-0.25"), D("-12.5")),
        records.Markout(NOON + 32_040, "A", "t1", 30.0, None, None),
        *rows_of(NOON + 5_000, "A", [D("1.25"), D("-0.5"), D("-0.02"), D(0)]),
        records.RequestsSpent(NOON + 5_000, 2, 0, 120),
        pulling(3600, "a market's event stream broke: A gap: 7 after 5"),
        row(NOON + 3_600_000, None, None),
        pulled(3600.25),
        ladder(3601.5),
        row(NOON + 3_601_500, "19990", "20010"),
        ladder(3602, "refused"),
        records.LadderOutcome(NOON + 3_603_000, "q9", "B", "unknown", "no answer in time", None),
        row(midnight - 1_000, "19990", "20010"),
        *rows_of(midnight - 1_000, "A", [D("2.5"), D("-1"), D("-0.03"), D("0.004")]),
        records.RequestsSpent(midnight - 1_000, 30, 1, 120),
        fill_row("t2", midnight + 1_000, market="B", side="sell", client_order_id="mk-2"),
        detail_row("t2", midnight + 1_100, market="B", level=2, fair_price_quote=None),
        *rows_of(midnight + 5_000, "B", [D("-1200.5"), D(0), D("0.01"), D(0)]),
        *rows_of(midnight + 5_000, "A", [D("2.5"), D("-1"), D("-0.03"), D("0.004")]),
        records.RequestsSpent(midnight + 5_000, 31, 1, 120),
        pulling(43_210, "stopped as asked: SIGTERM"),
        row(NOON + 43_210_000, None, None),
        end(43_210.5),
    ]
    return [Told(a_run("5f0c2a7be1d94c33", NOON - 7_205_000), before), Told(a_run("ca8798d3539b35ce"), rows)]


def test_the_text_is_the_golden_one() -> None:
    """Whoever changes what people read sees it here. The file is written anew by hand, from what this test shows."""
    shown = text(reported(a_story())) + "\n"
    assert shown == GOLDEN.read_text(encoding="utf-8"), shown


def test_lines_fit_a_wide_terminal() -> None:
    assert max(map(len, GOLDEN.read_text(encoding="utf-8").splitlines())) <= 160


def test_nothing_of_a_stranger_s_words_moves_the_cursor_or_the_columns() -> None:
    """A sentence of the exchange stands in a halt's cause: no escape, no line of its own, and no more than fits."""
    sentence = "an unexpected error: \x1b[2J\nINJECTED\u202e " + "x" * 500
    shown = text(reported([Told(a_run(), [ladder(0), pulling(1, sentence), end(2)])]))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\nINJECTED" not in shown
    assert all(len(line) < 3 * TEXT_CHARACTERS_MAX for line in shown.splitlines())


def test_the_most_important_rows_come_first_and_the_rest_is_counted() -> None:
    columns = (Column("a", "a", Kind.COUNT), Column("b", "b", Kind.COUNT, detail=True))
    table = Table("t", "Title", columns, [(number, number) for number in range(ROWS_MAX + 3)])
    assert len(lines(table)) == 2 + ROWS_MAX + 3
    short = lines(attrs.evolve(table, most_important_first=True).shown())
    assert short[0] == "Title"
    assert short[2].split() == ["0"]
    assert short[-1] == "  and 3 more: --csv has all of them"
    assert lines(attrs.evolve(table, rows=[])) == ["Title: none"]
