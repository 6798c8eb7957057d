"""The report for programs: exact, every row once, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import errno
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from maker.desk.units import exact
from maker.edge import records
from maker.report.files import (
    FILL_COLUMNS,
    CannotWrite,
    FillFile,
    as_csv,
    as_object,
    cell,
    folder_made,
    replacing,
    write_tables,
)
from maker.report.fills import Fill
from maker.report.tables import tables
from tests.report.journals import NOON, Told, a_run, reported
from tests.report.test_fills import detail_row, fill_row
from tests.report.test_text import a_story
from tests.report.test_whole import market, report


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_is_a_file_and_its_money_adds_up_exactly(tmp_path: Path) -> None:
    """Added by a stranger, the days of profit are the profit to the last digit; no row is a sum of others."""
    paths = write_tables(report(), folder_made(tmp_path / "new" / "folder"))
    assert [path.stem for path in paths] == [table.key for table in tables(report())]
    days = rows_of(tmp_path / "new" / "folder" / "profit.csv")
    total = report().profit.total
    parts = ("spread", "inventory", "fees", "funding")
    with exact():
        assert sum(Decimal(row["profit_quote"]) for row in days) == total.profit
        for name in parts:
            assert sum(Decimal(row[f"{name}_quote"]) for row in days) == getattr(total, name)
        for row in days:
            assert sum(Decimal(row[f"{name}_quote"]) for name in parts) == Decimal(row["profit_quote"])
    story = reported(a_story())
    write_tables(story, tmp_path)
    assert {row["day"] for row in rows_of(tmp_path / "profit.csv")} == {"2026-11-28", "2026-11-29"}
    assert {row["market"] for row in rows_of(tmp_path / "ladders.csv")} == {"A", "B"}


def test_every_fill_is_a_row_with_all_that_is_known(tmp_path: Path) -> None:
    fills: list[Fill] = []
    path = tmp_path / "fills.csv"
    with replacing(path) as file:
        writer = FillFile(file)
        reported(market().told, fills=fills)
        for fill in fills:
            writer.add(fill)
    rows = rows_of(path)
    assert len(rows) == len(fills) > 50
    for row, fill in zip(rows, fills, strict=True):
        assert (Decimal(row["price_quote"]), Decimal(row["size_base"]), row["trade_id"]) == (
            fill.price,
            fill.size,
            fill.trade_id,
        )
        for horizon, (quote, bps) in fill.markouts.items():
            assert row[f"markout_{horizon:g}s_quote"] == ("" if quote is None else f"{quote:f}")
            assert row[f"markout_{horizon:g}s_bps"] == ("" if bps is None else f"{bps:f}")
        assert row["at"].endswith("Z")
    assert list(rows[0]) == list(FILL_COLUMNS)


def test_what_is_not_known_is_an_empty_cell(tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    with replacing(path) as file:
        writer = FillFile(file)
        fills: list[Fill] = []
        reported([Told(a_run(), [fill_row("t1"), detail_row("t1")])], version=1, fills=fills)
        writer.add(fills[0])
    [row] = rows_of(path)
    assert {name for name, value in row.items() if not value} == {
        *(name for name in FILL_COLUMNS if name.startswith("markout")),
        *("booked_at", "liquidity", "level", "fair_price_quote", "mark_price_quote", "quote_id"),
    }
    assert row["at"] == "2026-11-28T12:00:00.000Z"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_text_of_a_stranger_is_a_formula(text: str) -> None:
    """A trade's id or a sentence of the exchange opens as the text that it is; numbers stay numbers."""
    assert cell(text) == f"'{text}"
    assert cell(Decimal("-1.50")) == "-1.50"
    assert cell(-3) == "-3"
    assert cell("a=b") == "a=b"


def test_the_object_has_the_same_figures_and_is_plain_json() -> None:
    found = json.loads(json.dumps(as_object(report())))
    total = report().profit.total
    assert Decimal(found["total"]["profit_quote"]) == total.profit
    parts = [Decimal(value) for name, value in found["total"].items() if name != "profit_quote"]
    with exact():
        assert sum(parts) == total.profit
    assert set(found["tables"]) == {table.key for table in tables(report())}
    for table in tables(report()):
        kept = [",".join(column.key for column in table.columns)]
        assert as_csv(table).splitlines()[0] == kept[0]
        assert len(found["tables"][table.key]) == len(table.rows) - table.totals
    assert found["tables"]["markouts"][0].keys() >= {"markout_1s_quote", "markout_1s_bps", "markout_1s_fills"}
    assert found["tables"]["halts"][0]["at"].endswith("Z")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of the old report never sees half a new one, and a full disk leaves the old."""
    path = tmp_path / "report.html"
    with replacing(path) as file:
        file.write("old")

    def full(*_words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CannotWrite, match=r"report\.html cannot be written: No space left on device"):
        write_new(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def write_new(path: Path) -> None:
    with replacing(path) as file:
        file.write("new")


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot be made"):
        folder_made(tmp_path / "file" / "folder")
    with pytest.raises(CannotWrite, match="cannot be written"):
        write_new(tmp_path / "nowhere" / "report.html")


def test_a_sentence_with_commas_and_quotes_is_one_cell(tmp_path: Path) -> None:
    sentence = 'an unexpected error: "a, b"\nand more'
    rows = [records.StateChange(NOON, "maker", "pulling", sentence)]
    write_tables(reported([Told(a_run(), rows)]), tmp_path)
    assert [row["sentence"] for row in rows_of(tmp_path / "halts.csv")] == [sentence]
