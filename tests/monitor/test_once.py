"""What happens once: a stop, another limit, other fees, the daily summary; and what the monitor sees beside the run."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from maker.app.alert_config import Severity
from maker.edge.journal import SqliteJournal
from maker.edge.records import Run
from maker.monitor import summary
from maker.monitor.catalogue import Alert
from maker.monitor.changes import SETTLED_SECONDS, Change, Changes
from maker.monitor.surroundings import LOOK_SECONDS, Surveyor
from maker.report.profit import Money
from maker.wire import live
from tests.monitor.scenes import market, state


def looked(changes: Changes, said: live.State, now: float) -> list[Change]:
    return list(changes.look(said, said, now))


def with_limit(limit: int) -> live.State:
    return state(0, budget=live.Budget(limit=limit, left=1, reserve=1, spent=0, throttled=0))


def test_a_stop_is_told_once_a_run() -> None:
    changes = Changes()
    ended = state(5, state="ending", reason="stop_asked", sentence="stopped as asked", verified_empty_at=1.8e9 + 5)
    assert list(changes.look(ended, None, 5)) == [(Alert.STOPPED, "stopped as asked", Severity.INFO)]
    assert list(changes.look(ended, None, 6)) == []
    again = attrs.asdict(changes)
    assert list(Changes.of(again).look(ended, None, 7)) == []


@pytest.mark.parametrize("more", [{"reason": "drawdown"}, {"verified_empty_at": None}, {"state": "pulling"}])
def test_what_is_no_such_stop(more: dict[str, object]) -> None:
    usual = {"state": "ending", "reason": "stop_asked", "verified_empty_at": 1.8e9 + 5}
    assert list(Changes().look(state(5, **{**usual, **more}), None, 5)) == []


def test_another_limit_is_told_once_it_stays() -> None:
    """Not the first that is known, not one that comes and goes."""
    changes = Changes()
    assert looked(changes, with_limit(120), 0) == []
    assert looked(changes, with_limit(60), 10) == []
    assert looked(changes, with_limit(120), 20) == []
    assert looked(changes, with_limit(60), 30) == []
    assert looked(changes, with_limit(60), 30 + SETTLED_SECONDS - 1) == []
    sentence = "the exchange allows 60 order requests a minute; it was 120"
    assert looked(changes, with_limit(60), 30 + SETTLED_SECONDS) == [
        (Alert.RATE_LIMIT_CHANGED, sentence, Severity.WARNING)
    ]
    looked(changes, with_limit(1_200), 200)
    (told,) = looked(changes, with_limit(1_200), 200 + SETTLED_SECONDS)
    assert told[2] is Severity.INFO


def test_other_fees_are_told_by_market() -> None:
    changes, told = Changes(), list[Change]()
    for now, fee in ((0, "-0.5"), (10, "1"), (10 + SETTLED_SECONDS, "1")):
        told = looked(changes, state(0, markets=(market(maker_fee_bps=fee, taker_fee_bps="5"),)), now)
    sentence = "BTC-PERP: fees are maker 1 bps, taker 5 bps; they were maker -0.5 bps, taker 5 bps"
    assert told == [(Alert.FEES_CHANGED, sentence, Severity.WARNING)]


# -- the daily summary ---------------------------------------------------------------------------------------------

DAY = 1_799_971_200.0  # 2027-01-15 00:00 UTC
HOUR = 3_600.0


@pytest.mark.parametrize(
    ("clock", "told_at", "now", "due"),
    [
        ("06:00", DAY - HOUR, DAY + 5.9 * HOUR, None),
        ("06:00", DAY - HOUR, DAY + 6 * HOUR, DAY + 6 * HOUR),
        ("06:00", DAY + 6 * HOUR, DAY + 6.1 * HOUR, None),
        ("06:00", DAY - HOUR, DAY + 11.9 * HOUR, DAY + 6 * HOUR),  # it was down at six
        ("06:00", DAY - HOUR, DAY + 12.1 * HOUR, None),  # and for too long
        ("06:00", DAY + 6 * HOUR, DAY + 30 * HOUR, DAY + 30 * HOUR),
        ("23:30", DAY - 48 * HOUR, DAY + HOUR, DAY - 0.5 * HOUR),
        ("", DAY - HOUR, DAY + 6 * HOUR, None),
    ],
)
def test_when_a_summary_is_due(clock: str, told_at: float, now: float, due: float | None) -> None:
    assert summary.due(clock, told_at, now) == due


async def test_a_summary_is_read_from_the_journal(tmp_path: Path) -> None:
    """As far as there is one; else why there is none."""
    assert "the journal cannot be read" in await summary.of_journal(tmp_path)(DAY)
    started = Run("r", round((DAY - HOUR) * 1_000), "paper", "a", "0" * 64, "0")
    kept = SqliteJournal(tmp_path / "journal.sqlite", started)
    kept.close(5.0)
    assert (await summary.of_journal(tmp_path)(DAY)).startswith("0")


def test_what_made_the_profit_is_told() -> None:
    assert summary.made(Money()) == ""
    total = Money(Decimal("12.5"), Decimal("-3"), Decimal("-1.25"), Decimal(0))
    assert summary.made(total).startswith("; made of spread +12.5")
    assert "fees -1.25" in summary.made(total)


# -- disk and journal ----------------------------------------------------------------------------------------------


def test_disk_and_journal_are_looked_at_now_and_then(tmp_path: Path) -> None:
    now = [1_000.0]
    surveyor = Surveyor(tmp_path, lambda: now[0])
    first = surveyor.look()
    assert first.journal_age_seconds is None
    assert first.disk_free_bytes is not None
    (tmp_path / "journal.sqlite").write_bytes(b"")
    os.utime(tmp_path / "journal.sqlite", (900, 900))
    assert surveyor.look().journal_age_seconds is None
    now[0] += LOOK_SECONDS
    assert surveyor.look().journal_age_seconds == 110.0
    (tmp_path / "journal.sqlite-wal").write_bytes(b"")
    os.utime(tmp_path / "journal.sqlite-wal", (1_000, 1_000))
    now[0] += LOOK_SECONDS
    assert surveyor.look().journal_age_seconds == 20.0


def test_a_folder_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    seen = Surveyor(tmp_path / "none", lambda: 0.0).look()
    assert (seen.disk_free_bytes, seen.journal_age_seconds) == (None, None)
