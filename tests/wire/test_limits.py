"""Rate-limit fields in every form seen, and hostile ones."""

from __future__ import annotations

import json
import math
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.events import BudgetSeen
from maker.wire.limits import WAIT_SECONDS_DEFAULT, WAIT_SECONDS_MAX, WINDOW_SECONDS, seen, teaches, wait_seconds

VECTORS = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "vectors" / "ratelimit_headers.json"

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
NOW = 1_767_225_600.0  # the same instant


def test_the_published_vectors() -> None:
    """Every case of the shared vectors, our clock wrong by what the case says."""
    if not VECTORS.exists():
        pytest.skip("the shared vectors are not beside this repository")
    document = json.loads(VECTORS.read_text())
    assert len(document["cases"]) > 20
    words = {"default": WAIT_SECONDS_DEFAULT, "cap": WAIT_SECONDS_MAX, "either 1.5 or default": 1.5}
    for case in document["cases"]:
        headers = {name.lower(): value for name, value in case["headers"].items()}
        now = document["meta"]["now_epoch"] + float(headers.pop("_local_clock_offset_s", "0"))
        expected = case["expect_wait_s"]
        expected = words[expected] if isinstance(expected, str) else expected
        assert wait_seconds(headers, None, now) == pytest.approx(expected), case["name"]


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        # Retry-After
        ({"retry-after": "7"}, None, 7),
        ({"retry-after": "0"}, None, 0),
        ({"retry-after": " 7 "}, None, 7),
        ({"retry-after": "1.5"}, None, 1.5),
        ({"retry-after": "3, 5"}, None, 5),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, None, 30),
        ({"retry-after": "Thursday, 01-Jan-26 00:00:30 GMT"}, None, 30),
        ({"retry-after": "Thu Jan  1 00:00:30 2026"}, None, 30),
        ({"retry-after": "Wed, 31 Dec 2025 23:59:30 GMT"}, None, 0),
        ({"retry-after": "Thursday, 01-Jan-99 00:00:30 GMT"}, None, 0),  # 1999, not 2099
        ({"retry-after": "Thu, 01 Jan 2026 00:00:60 GMT"}, None, 59),
        ({"retry-after": "-5"}, None, WAIT_SECONDS_DEFAULT),
        ({"retry-after": "soon"}, None, WAIT_SECONDS_DEFAULT),
        ({"retry-after": "٣"}, None, WAIT_SECONDS_DEFAULT),  # a digit, but no ASCII digit
        ({"retry-after": "1e3"}, None, WAIT_SECONDS_DEFAULT),
        ({"retry-after": "nan"}, None, WAIT_SECONDS_DEFAULT),
        ({"retry-after": "Thu, 31 Feb 2026 00:00:30 GMT"}, None, WAIT_SECONDS_DEFAULT),
        ({"retry-after": "9" * 200}, None, WAIT_SECONDS_MAX),
        ({"retry-after": "9" * 9999}, None, WAIT_SECONDS_DEFAULT),
        ({}, None, WAIT_SECONDS_DEFAULT),
        # the body
        ({}, b'{"error":"RATE_LIMITED","retryAfterMs":250}', 0.25),
        ({"retry-after": "1"}, b'{"error":"RATE_LIMITED","retryAfterMs":250}', 0.25),  # 0.25 rounded up is 1
        ({"retry-after": "1"}, b'{"error":"RATE_LIMITED","retryAfterMs":2500}', 2.5),
        ({"retry-after": "4"}, b'{"error":"RATE_LIMITED","retryAfterMs":2500}', 4),
        ({"retry-after": "4"}, b'{"error":"RATE_LIMITED","retryAfterMs":-1}', 4),
        ({"retry-after": "4"}, b'{"error":"RATE_LIMITED","retryAfterMs":"x"}', 4),
        ({"retry-after": "4"}, b"<html>", 4),
        ({"retry-after": "4"}, b'{"error":"X","details":' + b"[" * 15_000, 4),
        ({"retry-after": "4"}, b'{"error":"\xff"}', 4),
        ({}, b'{"error":"RATE_LIMITED","retryAfterMs":123456789012345678901234567890}', WAIT_SECONDS_MAX),
        ({}, b'{"error":"RATE_LIMITED","retryAfterMs":999999999999}', WAIT_SECONDS_MAX),
        ({"x-ratelimit-reset": "9"}, b'{"error":"RATE_LIMITED","retryAfterMs":250}', 0.25),
        # reset
        ({"x-ratelimit-reset": "12"}, None, 12),
        ({"x-ratelimit-reset": "1767225612"}, None, 12),
        ({"x-ratelimit-reset": "1767225612.25"}, None, 12.25),
        ({"x-ratelimit-reset": "1767225612000"}, None, 12),
        ({"x-ratelimit-reset": "1767225612000000"}, None, 12),
        ({"x-ratelimit-reset": "2026-01-01T00:00:12Z"}, None, 12),
        ({"x-ratelimit-reset": "2026-01-01T01:00:12+01:00"}, None, 12),
        ({"x-ratelimit-reset": "2026-01-01T00:00:12"}, None, 12),
        ({"x-ratelimit-reset": "1767225000"}, None, 0),
        ({"x-ratelimit-reset": "9, 12"}, None, 12),
        ({"x-ratelimit-reset": "junk"}, None, WAIT_SECONDS_DEFAULT),
        ({"x-ratelimit-reset": "99999999"}, None, WAIT_SECONDS_MAX),
        ({"retry-after": "3", "x-ratelimit-reset": "12"}, None, 3),
        ({"retry-after": "junk", "x-ratelimit-reset": "12"}, None, 12),
        ({"ratelimit": '"default";r=0;t=9'}, None, 9),
        ({"ratelimit": '"a";r=5;t=2, "b";r=0;t=40'}, None, 40),
    ],
)
@pytest.mark.parametrize("clock_offset_seconds", [0, 600, -600])
def test_how_long_a_429_asks_us_to_wait(
    headers: dict[str, str], body: bytes | None, seconds: float, clock_offset_seconds: float
) -> None:
    """The answer's own Date is what instants are measured against, however wrong our clock."""
    assert wait_seconds({"date": DATE, **headers}, body, NOW + clock_offset_seconds) == pytest.approx(seconds)


def test_without_a_date_our_own_clock_counts() -> None:
    for date in ({}, {"date": "yesterday"}, {"date": "Thu, 99 Jan 2026 00:00:00 GMT"}):
        assert wait_seconds({"x-ratelimit-reset": "1767225612", **date}, None, NOW + 2) == pytest.approx(10)


@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        (("120", "119", "60"), BudgetSeen(120, 119, 60.0)),
        (("120", "0", "1767225612"), BudgetSeen(120, 0, 12.0)),
        (("120", "0", "1767225612000"), BudgetSeen(120, 0, 12.0)),
        (("100, 100;w=60", "7, 3", "9, 8"), BudgetSeen(100, 3, 9.0)),
        (("120", "500", "1"), BudgetSeen(120, 120, 1.0)),
        (("120", "5", "never"), BudgetSeen(120, 5, WINDOW_SECONDS)),
        (("120", "5", None), BudgetSeen(120, 5, WINDOW_SECONDS)),
        (("120", "5", "99999999"), BudgetSeen(120, 5, WAIT_SECONDS_MAX)),
        ((None, "5", "1"), None),
        (("120", None, "1"), None),
        (("120", "-1", "1"), None),
        (("1.5", "1", "1"), None),
        (("9" * 30, "1", "1"), None),
    ],
)
def test_the_budget_as_an_answer_states_it(
    headers: tuple[str | None, str | None, str | None], budget: BudgetSeen | None
) -> None:
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    given_headers = {name: value for name, value in zip(names, headers, strict=True) if value is not None}
    assert seen({"date": DATE, **given_headers}, NOW) == budget


FIELDS = ("date", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit")
FRAGMENTS = [
    "Thu, 01 Jan 2026 00:00:00 GMT",
    "Thu Jan  1 00:00:30 2026",
    "9" * 400,
    "-",
    ";",
    ",",
    "t=",
    ".",
    "Z",
    "W01",
]
VALUES = st.lists(
    st.sampled_from(FRAGMENTS) | st.text(max_size=12) | st.from_regex(r"[0-9:T+-]{1,26}"), max_size=4
).map("".join)


@given(
    headers=st.dictionaries(st.sampled_from(FIELDS), VALUES),
    body=st.none() | st.binary(max_size=60) | st.integers().map(lambda n: b'{"error":"","retryAfterMs":%d}' % n),
    now=st.floats(allow_nan=False, allow_infinity=False) | st.just(NOW),
)
def test_nothing_the_exchange_sends_raises_or_makes_us_wait_beyond_the_cap(
    headers: dict[str, str], body: bytes | None, now: float
) -> None:
    wait = wait_seconds(headers, body, now)
    assert 0 <= wait <= WAIT_SECONDS_MAX
    assert math.isfinite(wait)
    budget = seen(headers, now)
    if budget is not None:
        assert 0 <= budget.remaining <= budget.limit
        assert 0 <= budget.reset_seconds <= WAIT_SECONDS_MAX


def test_only_the_order_paths_own_answers_teach() -> None:
    """A proxy's 5xx may state a limit of its own; a refusal, a 429 among them, is the exchange's."""
    assert [status for status in (200, 201, 301, 401, 409, 422, 429, 500, 502, 503) if not teaches(status)] == [
        301, 500, 502, 503,
    ]  # fmt: skip
