"""From when on: dates, times and lengths of time, and a sentence for everything else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.report.since import DAY_MS, FORMS, WrongSince, as_text, day_text, since_ms
from tests.desk.scripted import quick

NOW = datetime(2026, 11, 28, 9, 12, 30, 500_000, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("90m", NOW - timedelta(minutes=90)),
        ("45s", NOW - timedelta(seconds=45)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("0.001s", NOW - timedelta(milliseconds=1)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-11-28", datetime(2026, 11, 28, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2026-11-27T22:30", datetime(2026, 11, 27, 22, 30, tzinfo=UTC)),
        ("2026-11-27 22:30:15", datetime(2026, 11, 27, 22, 30, 15, tzinfo=UTC)),
        ("2026-11-27T22:30Z", datetime(2026, 11, 27, 22, 30, tzinfo=UTC)),
        ("2026-11-28T00:30+02:00", datetime(2026, 11, 27, 22, 30, tzinfo=UTC)),
        ("03:00", datetime(2026, 11, 28, 3, tzinfo=UTC)),
        ("09:12:30", datetime(2026, 11, 28, 9, 12, 30, tzinfo=UTC)),
        ("09:12:31", datetime(2026, 11, 27, 9, 12, 31, tzinfo=UTC)),
        ("22:00", datetime(2026, 11, 27, 22, tzinfo=UTC)),
        ("999999999h", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_words_mean(words: str, meant: datetime) -> None:
    """Everything is UTC; a time without a date is the last time it was that; nothing is before 1970."""
    assert since_ms(words, NOW_MS) == round(meant.timestamp() * 1000)


@pytest.mark.parametrize(
    "words",
    [
        *("", "yesterday", "24", "24 h", "-24h", "+24h", "24H", "h", "1e3s", "0.0001s", "１２h", "1_0h", "nan", "inf"),
        *("2026-11", "26-11-28", "2026/11/28", "28.11.2026", "2026-11-28T", "2026-11-28T9:00", "9:00", "2026-11-28T09"),
        *("2026-11-27T22:30z", "2026-11-27T22:30+0200", "2026-W48-6", "20261128", "2026-11-27\t22:30", "24h\n"),
    ],
)
def test_words_of_no_form_are_a_sentence_that_tells_the_forms(words: str) -> None:
    with pytest.raises(WrongSince) as wrong:
        since_ms(words, NOW_MS)
    assert str(wrong.value) == f"--since {words!r} is not understood: it takes {FORMS}."


@pytest.mark.parametrize(
    "words",
    ["2026-02-30", "2026-13-01", "0000-01-01", "25:00", "12:60", "2026-11-27T24:30", "2026-11-27T10:00+25:00", "0h"],
)
def test_moments_that_do_not_exist_are_a_sentence_that_says_why(words: str) -> None:
    with pytest.raises(WrongSince, match="names no moment"):
        since_ms(words, NOW_MS)


@pytest.mark.parametrize("words", ["2026-11-29", "2026-11-28T09:12:31", "9999-12-31"])
def test_the_future_is_refused_with_the_time_it_is(words: str) -> None:
    with pytest.raises(WrongSince, match="lies in the future: it is 2026-11-28 09:12:30 UTC now"):
        since_ms(words, NOW_MS)


@quick
@given(st.text(max_size=30))
def test_any_words_are_a_moment_of_the_past_or_one_sentence(words: str) -> None:
    try:
        found, sentence = since_ms(words, NOW_MS), "--since is fine."
    except WrongSince as wrong:
        found, sentence = 0, str(wrong)
    assert 0 <= found < NOW_MS
    assert sentence.startswith("--since ")
    assert sentence.endswith(".")


@quick
@given(st.integers(0, 253_402_300_799_999))
def test_a_moment_as_text_is_read_back(at_ms: int) -> None:
    """To the second; and its day begins at a whole number of days."""
    moment = datetime.strptime(as_text(at_ms), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert round(moment.timestamp()) == at_ms // 1000
    assert day_text(at_ms) == day_text(at_ms // DAY_MS * DAY_MS) == as_text(at_ms)[:10]


def test_a_moment_out_of_the_calendar_is_a_number() -> None:
    assert as_text(10**18) == "1000000000000000000 ms"
