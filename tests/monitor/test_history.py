"""What the charts draw, out of a journal with a known day in it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from maker.edge import records
from maker.monitor import history
from maker.monitor.journal_reads import Unreadable
from maker.monitor.thinning import POINTS_MAX
from tests.report.journals import NOON, Told, a_run, in_file

BTC, ETH = "BTC-PERP", "ETH-PERP"
AT = NOON / 1000


def dec(text: str) -> Decimal:
    return Decimal(text)


def a_fill(number: int, market: str = BTC, at_ms: int = NOON) -> list[records.Row]:
    name = f"t{number}"
    return [
        records.Fill(at_ms, market, name, "o", "c", "buy", dec("50000.1"), dec("0.02"), dec("-0.1")),
        records.FillDetail(at_ms, market, name, "q1", 2, "maker", dec("50002.5"), dec("50001")),
    ]


DAY = [
    records.PositionSeen(NOON - 3_600_000, BTC, dec("0.5"), "read"),
    records.LadderIntent(NOON + 1000, "q1", BTC, dec("50000.05"), dec("0.5"), b"[]"),
    records.LadderOutcome(NOON + 1010, "q1", BTC, "applied", "", 0.004),
    records.LadderOutcome(NOON + 1020, "q2", BTC, "unknown", "", None),
    records.QuotesSeen(NOON + 1030, BTC, dec("49995.0"), None),
    records.PositionSeen(NOON + 2000, BTC, dec("0.52"), "stream"),
    *a_fill(1, at_ms=NOON + 2000),
    *a_fill(2, ETH, at_ms=NOON + 2500),
    records.Markout(NOON + 3000, BTC, "t1", 1.0, dec("0.05"), dec("1.2")),
    records.Markout(NOON + 7000, BTC, "t1", 5.0, dec("-0.05"), dec("-0.7")),
    records.Markout(NOON + 7000, ETH, "t2", 5.0, None, None),
    records.StateChange(NOON + 8000, BTC, "not quoting", "no index"),
    records.Attribution(
        NOON + 9000, BTC, dec("1"), dec("-0.5"), dec("0.1"), dec("0"), dec("0.6"), dec("0"), 0
    ),
]  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return in_file(tmp_path / "journal.sqlite", [Told(a_run(), DAY)])


def test_a_window_as_the_page_gets_it(journal: Path) -> None:
    """Each series with its times in unix seconds; the position also as it was when the window began."""
    found = history.history(journal, 60, AT + 30)
    btc = found["markets"][BTC]
    assert btc["fair"] == [(AT + 1, 50000.05)]
    assert btc["quotes"] == [(AT + 1.03, 49995.0, None)]
    assert btc["position"] == [(AT - 30, 0.5), (AT + 2, 0.52)]
    assert btc["fills"] == [(AT + 2, "buy", 50000.1, 0.02, -0.7)]
    assert btc["profit"] == [(AT + 9, 0.6, 1.0, -0.5, 0.1, 0.0)]
    assert found["markets"][ETH]["fills"] == [(AT + 2.5, "buy", 50000.1, 0.02, None)]
    assert found["answers"] == [(AT + 1.01, 0.004)]
    assert found["states"] == [(AT + 8, BTC, "not quoting", "no index")]
    assert msgspec.json.decode(msgspec.json.encode(found))["seconds"] == 60


def test_a_window_that_saw_nothing(journal: Path) -> None:
    found = history.history(journal, 10, AT + 10_000)
    assert found["markets"] == {
        BTC: {"fair": [], "quotes": [], "fills": [], "position": [(AT + 9990, 0.52)], "profit": []}
    }
    assert found["answers"] == found["states"] == []


def test_long_windows_come_thinned(tmp_path: Path) -> None:
    rows = [
        records.LadderIntent(NOON + 100 * number, "q", BTC, dec(str(50_000 + number % 97)), dec("0"), b"[]")
        for number in range(5000)
    ]
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), rows)])
    fair = history.history(path, 600, AT + 500)["markets"][BTC]["fair"]
    assert len(fair) <= POINTS_MAX
    assert {min(price for _, price in fair), max(price for _, price in fair)} == {50_000.0, 50_096.0}


def test_fills_one_by_one_with_all_their_markouts(journal: Path) -> None:
    """Newest first, texts as the journal has them; a horizon not reached is None, as is one without a fair value."""
    eth, btc = history.fills(journal, None, 10)
    assert btc == {
        "at": AT + 2,
        "run_id": "run-1",
        "market": BTC,
        "trade_id": "t1",
        "side": "buy",
        "price": "50000.1",
        "size": "0.02",
        "fee": "-0.1",
        "level": 2,
        "liquidity": "maker",
        "fair": "50002.5",
        "mark": "50001",
        "markouts": {
            "1": {"quote": "0.05", "bps": "1.2"},
            "5": {"quote": "-0.05", "bps": "-0.7"},
            "30": None,
            "60": None,
        },
    }
    assert eth["markouts"] == {"1": None, "5": None, "30": None, "60": None}
    assert [one["market"] for one in history.fills(journal, ETH, 10)] == [ETH]
    assert len(history.fills(journal, None, 1)) == 1
    assert history.fills(journal, "NO-SUCH", 10) == []


def test_a_journal_of_the_first_schema_has_fills_without_details(tmp_path: Path) -> None:
    path = in_file(tmp_path / "journal.sqlite", [Told(a_run(), DAY)], version=1)
    (one,) = history.fills(path, BTC, 5)
    assert (one["price"], one["level"], one["markouts"]["5"]) == ("50000.1", None, None)
    assert history.history(path, 60, AT + 30)["markets"][BTC]["profit"] == []


def test_without_a_journal_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no run has begun"):
        history.history(tmp_path / "journal.sqlite", 60, AT)
