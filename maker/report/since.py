"""From when on: `--since` in words, as a moment of UTC. Nothing here reads a clock: `now_ms` is an argument."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

DAY_MS: Final = 86_400_000
UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw])", re.ASCII)
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
CLOCK: Final = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
FORMS: Final = (
    "a date (2026-11-28), a time (2026-11-28T14:30, or 14:30: the last time it was that), both in UTC, "
    "or how long ago (90m, 24h, 7d)"
)


class WrongSince(Exception):
    """Words that name no moment, or one that has not come; the message is one sentence."""


def since_ms(text: str, now_ms: int) -> int:
    """Return the moment that words name, in milliseconds of UTC since 1970. Raises WrongSince."""
    try:
        found = moment_ms(text, now_ms)
    except (ValueError, OverflowError) as wrong:  # the 30th of February, the year 0
        raise WrongSince(f"--since {text!r} names no moment ({wrong}): it takes {FORMS}.") from None
    if found is None:
        raise WrongSince(f"--since {text!r} is not understood: it takes {FORMS}.")
    if found >= now_ms:
        raise WrongSince(f"--since {text!r} lies in the future: it is {as_text(now_ms)} UTC now.")
    return max(0, found)


def moment_ms(text: str, now_ms: int) -> int | None:
    """The moment, future ones included; None: in no form we know. Raises ValueError, OverflowError."""
    if match := DURATION.fullmatch(text):
        length_ms = round(float(match[1]) * UNITS_MS[match[2]])
        if length_ms <= 0:
            raise ValueError("a length of time is more than nothing")
        return now_ms - length_ms
    if DATE.fullmatch(text):
        return unix_ms(datetime.combine(date.fromisoformat(text), time(), UTC))
    if MOMENT.fullmatch(text):
        moment = datetime.fromisoformat(text)
        return unix_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    if CLOCK.fullmatch(text):
        today = datetime.fromtimestamp(now_ms // 1000, UTC).date()
        at_ms = unix_ms(datetime.combine(today, time.fromisoformat(text), UTC))
        return at_ms if at_ms < now_ms else at_ms - DAY_MS
    return None


def unix_ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def as_text(at_ms: int) -> str:
    """A moment to the second, as `2026-11-28 14:30:05`; out of the calendar's range as a number."""
    try:
        return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def day_text(at_ms: int) -> str:
    """The day of UTC, as `2026-11-28`."""
    return as_text(at_ms).partition(" ")[0]
