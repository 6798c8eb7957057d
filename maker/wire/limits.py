"""What the exchange says about its rate limit: how long to wait after a 429, and what is left of the budget.

OCX documents `Retry-After` (seconds), `retryAfterMs` in the body, and `X-RateLimit-Limit`, `-Remaining`, `-Reset`, the
unit of the last not at all. A number `v` there is therefore told by its size: under 1e8 seconds from now, under 1e11
unix seconds, under 1e14 unix milliseconds, else unix microseconds. Instants are measured against the answer's own
`Date`, so that our clock may be wrong.

A value that is not in its grammar is ignored, never an error. Where a proxy has joined repeated fields with commas, the
most cautious one counts. Nothing here waits: deadlines are the caller's, and jitter is `maker.desk.budget`'s.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from typing import Final

from maker.desk.events import BudgetSeen
from maker.wire import ocx

WAIT_SECONDS_MAX: Final = 120.0  # two of OCX's windows; asked for more, we wait this and ask again
WAIT_SECONDS_DEFAULT: Final = 1.0  # a 429 without a usable hint; whoever repeats it backs off from here
WINDOW_SECONDS: Final = 60.0  # documented: requests "a minute"; used when the reset is not stated
VALUE_CHARACTERS_MAX: Final = 256  # a longer field value is noise
BODY_BYTES_MAX: Final = 16 * 1024  # an error body is some hundred bytes

NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
COUNT: Final = re.compile(r"[0-9]{1,9}")
STRUCTURED_RESET: Final = re.compile(r";\s*t\s*=\s*([0-9]+)")  # RateLimit: "default";r=0;t=9 (IETF draft)
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
HTTP_DATES: Final = (  # RFC 9110 5.6.7: a sender writes the first, a recipient must read all three
    re.compile(rf"[A-Za-z]{{3}}, (?P<day>[0-9]{{2}}) (?P<month>[A-Za-z]{{3}}) (?P<year>[0-9]{{4}}) {TIME} GMT"),
    re.compile(rf"[A-Za-z]{{6,9}}, (?P<day>[0-9]{{2}})-(?P<month>[A-Za-z]{{3}})-(?P<year>[0-9]{{2}}) {TIME} GMT"),
    re.compile(rf"[A-Za-z]{{3}} (?P<month>[A-Za-z]{{3}}) (?P<day>[ 0-9][0-9]) {TIME} (?P<year>[0-9]{{4}})"),
)


def wait_seconds(headers: Mapping[str, str], body: bytes | None, now_unix: float) -> float:
    """Return how long a 429 asks us to wait, from 0 to WAIT_SECONDS_MAX; WAIT_SECONDS_DEFAULT where it does not say.

    `headers` have lowercased names; `now_unix` (our clock) counts only where the answer carries no `Date`. Retry-After
    and the body come before any reset field (RFC 6585 4).
    """
    now = answered_at(headers, now_unix)
    wait = retry_after(headers.get("retry-after", ""), now)
    exact = retry_after_body(body)
    if wait is None:
        wait = exact
    elif exact is not None:
        # The header can only say whole seconds: where it is the body's figure rounded up, the body is meant.
        wait = exact if math.ceil(exact) == wait else max(wait, exact)
    if wait is None:
        wait = reset(headers, now)
    if wait is None:
        wait = WAIT_SECONDS_DEFAULT
    return min(wait, WAIT_SECONDS_MAX)


def teaches(status: int) -> bool:
    """Whether an answer is the order path's own: done or refused. Others may be of whoever stands before it."""
    return 200 <= status < 300 or 400 <= status < 500


def seen(headers: Mapping[str, str], now_unix: float) -> BudgetSeen | None:
    """Return the budget an answer states, None unless it states both limit and remaining.

    A reset that is missing or unreadable counts as a whole window, the cautious reading.
    """
    limits = counts(headers.get("x-ratelimit-limit", ""))
    remainings = counts(headers.get("x-ratelimit-remaining", ""))
    if not limits or not remainings:
        return None
    limit = min(limits)
    reset_seconds = reset(headers, answered_at(headers, now_unix))
    return BudgetSeen(
        limit=limit,
        remaining=min(limit, *remainings),
        reset_seconds=WINDOW_SECONDS if reset_seconds is None else min(reset_seconds, WAIT_SECONDS_MAX),
    )


def answered_at(headers: Mapping[str, str], now_unix: float) -> float:
    """Return the instant of the answer in unix seconds: its `Date`, else `now_unix`."""
    stated = http_date(headers.get("date", ""), now_unix)
    return now_unix if stated is None else stated


def retry_after(value: str, now: float) -> float | None:
    """Read Retry-After: seconds (fractions too, which real servers send) or a date; from now, at least 0."""
    at = http_date(value.strip(), now)
    if at is not None:
        return max(0.0, at - now)
    waits = [float(part) for part in parts(value) if NUMBER.fullmatch(part)]
    return max(waits, default=None)


def retry_after_body(body: bytes | None) -> float | None:
    """Read `retryAfterMs` of an error body, in seconds."""
    if not body or len(body) > BODY_BYTES_MAX:
        return None
    try:
        milliseconds = ocx.decode(body, ocx.ErrorBody).retry_after_ms
    except (ValueError, RecursionError):
        return None
    return None if milliseconds is None or milliseconds < 0 else min(milliseconds, 10**9) / 1000


def reset(headers: Mapping[str, str], now: float) -> float | None:
    """Read X-RateLimit-Reset, else the IETF draft's RateLimit, as seconds from now, at least 0."""
    value = headers.get("x-ratelimit-reset", "")
    waits = [wait for wait in (one_reset(part, now) for part in parts(value)) if wait is not None]
    structured = headers.get("ratelimit", "")
    if not waits and len(structured) <= VALUE_CHARACTERS_MAX:
        waits = [float(seconds) for seconds in STRUCTURED_RESET.findall(structured)]
    return max(waits, default=None)


def one_reset(text: str, now: float) -> float | None:
    if NUMBER.fullmatch(text):
        value = float(text)
        if value < 1e8:
            return value
        unix = value if value < 1e11 else value / 1e3 if value < 1e14 else value / 1e6
        return max(0.0, unix - now)
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    return max(0.0, at.timestamp() - now)


def parts(value: str) -> list[str]:
    """Split a field that may be a list, each part without its parameters; nothing of one that is too long."""
    if len(value) > VALUE_CHARACTERS_MAX:
        return []
    return [part.partition(";")[0].strip() for part in value.split(",")]


def counts(value: str) -> list[int]:
    return [int(part) for part in parts(value) if COUNT.fullmatch(part)]


def http_date(text: str, now: float) -> float | None:
    """Read an HTTP date in any of its three forms as unix seconds; None when it is none.

    A two-digit year more than 50 years ahead of `now` is of the century before (RFC 9110 5.6.7).
    """
    if len(text) > VALUE_CHARACTERS_MAX:
        return None
    match = next((match for form in HTTP_DATES if (match := form.fullmatch(text))), None)
    if match is None or match["month"] not in MONTHS:
        return None
    year = int(match["year"])
    try:
        if len(match["year"]) == 2:
            this_year = datetime.datetime.fromtimestamp(now, datetime.UTC).year
            year += this_year - this_year % 100
            if year > this_year + 50:
                year -= 100
        second = min(int(match["second"]), 59)  # a leap second is legal, and beyond datetime
        at = datetime.datetime(
            year,
            MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            second,
            tzinfo=datetime.UTC,
        )
    except (ValueError, OverflowError, OSError):
        return None
    return at.timestamp()
