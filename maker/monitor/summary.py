"""The daily summary: the last day in one sentence, from the journal, once a day at a time of UTC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from maker.monitor.delivery import minute_of
from maker.report import words
from maker.report.command import JOURNAL_FILE, read
from maker.report.profit import Money
from maker.report.reading import Unreadable
from maker.report.whole import Report

DAY_SECONDS: Final = 86_400
LATE_SECONDS_MAX: Final = 6 * 3_600.0  # a monitor that was down at the time tells it up to so much later
PARTS: Final = ("spread", "inventory", "fees", "funding")

Summarize = Callable[[float], Awaitable[str]]  # of the day before a moment, unix seconds


def due(clock: str, told_at: float, now: float) -> float | None:
    """Return the moment whose summary is due at `now`, None if there is none; all unix seconds.

    `told_at` is the moment of the last one that was told. `clock` is hh:mm of UTC, empty for never.
    """
    if not clock:
        return None
    seconds = minute_of(clock) * 60
    moment = (now - seconds) // DAY_SECONDS * DAY_SECONDS + seconds
    return moment if told_at < moment and now - moment <= LATE_SECONDS_MAX else None


def of_journal(state_folder: Path) -> Summarize:
    """Summarize by a state folder's journal: a thread reads it, for its last day takes seconds when it is large."""

    async def summarize(until: float) -> str:
        def look() -> str:
            until_ms = round(until * 1_000)
            try:
                return sentence(read(state_folder / JOURNAL_FILE, until_ms - DAY_SECONDS * 1_000, until_ms, None))
            except Unreadable as problem:
                return f"the journal cannot be read: {problem}"

        return await trio.to_thread.run_sync(look, abandon_on_cancel=True)

    return summarize


def sentence(report: Report) -> str:
    """Say what a day brought."""
    return f"{report.sentence.removesuffix('.')}{made(report.profit.total)}"


def made(total: Money) -> str:
    """What profit was made of."""
    values = [getattr(total, name) for name in PARTS]
    if not any(values):
        return ""
    decimals = words.decimals_for(values)
    told = ", ".join(f"{name} {words.amount(one, decimals)}" for name, one in zip(PARTS, values, strict=True))
    return f"; made of {told}"
