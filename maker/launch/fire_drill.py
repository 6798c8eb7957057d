"""The fire drill before a start: what an earlier run left is swept by the guard's own means, before anything is placed.

It proves key and route: a guard that cannot cancel now could not cancel when it matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maker.guard.exchange import ASKED_SECONDS_MAX, Exchange, NoAnswer, follow, pull, reading_back, seconds_now
from maker.launch import key, report
from maker.launch.settings import ParentSettings
from maker.launch.sparing import is_ours
from maker.launch.start import Refusal, log

DRILL_SECONDS_MAX = 30.0  # to read, sweep and read back: an exchange that takes longer is not to be quoted on
PAUSE_SECONDS = 0.2
MAY_REST = "Nothing was placed; quotes that an earlier run left may rest."


def fire_drill(exchange: Exchange, wanted: ParentSettings, stopped: Callable[[float], bool]) -> None:
    """Prove key and route by sweeping what an earlier run left; stop beside foreign orders. Raises Refusal.

    `stopped` waits so many seconds and says whether a stop signal came meanwhile. Where nothing can be swept, what an
    earlier run left may rest: that is worth another start, and has its code.
    """
    gives_up_at, has_waited = seconds_now() + DRILL_SECONDS_MAX, False
    if not exchange.look_up():
        raise Refusal(f"the exchange cannot be found: no address for {exchange.host}. {MAY_REST}", report.UNVERIFIED)
    while True:
        has_read = False
        try:
            rows = exchange.open_orders()
            foreign = [row for row in rows if not is_ours(row, wanted.order_prefix)]
            has_read = True
            if foreign and not wanted.cancels_foreign:
                raise Refusal(describe_foreign(foreign, len(rows) - len(foreign), wanted.configuration))
            exchange.cancel_all()
            if not follow(reading_back(), exchange.call, time.sleep):
                return
            break
        except NoAnswer as problem:
            if problem.status in (401, 403) or (problem.status == 409 and not has_read):
                sentence = key.denied_sentence(problem.status, read_before=has_read, configuration=wanted.configuration)
                raise Refusal(sentence, report.CREDENTIALS) from None
            wait_seconds = max(PAUSE_SECONDS, min(problem.wait_seconds, ASKED_SECONDS_MAX))
            if problem.status == 429 and not has_waited:  # a run that died may have used its requests up
                gives_up_at, has_waited = gives_up_at + wait_seconds, True
                log("waiting", f"{problem}: trying again in {wait_seconds:.0f} s.")
            if seconds_now() + wait_seconds >= gives_up_at:
                why = f"the exchange could not be read and swept within {DRILL_SECONDS_MAX:g} s ({problem})."
                raise Refusal(f"{why} {MAY_REST}", report.UNVERIFIED) from None
            if stopped(wait_seconds):
                why = "stopped by a signal before the exchange could be swept."
                raise Refusal(f"{why} {MAY_REST}", report.UNVERIFIED) from None
    swept = pull(exchange, 0.0, max(1.0, gives_up_at - seconds_now()), bool)
    if not swept.verified_empty:
        why = f"what rests on the account could not be swept ({swept.trouble})."
        raise Refusal(f"{why} {MAY_REST}", report.UNVERIFIED)


def describe_foreign(foreign: list[dict[str, Any]], ours_count: int, configuration: Path) -> str:
    """Say why no start is possible, and how what is ours, if any of it rests, is pulled without the rest."""
    named = ", ".join(f"{row.get('marketId')} {row.get('clientOrderId') or row.get('id')}" for row in foreign)
    said = (
        f"{len(foreign)} orders on the account are not ours ({named[:200]}): cancel-all would wipe them. "
        "Give the bot a sub-account of its own, or cancel them yourself."
    )
    if ours_count:
        alone = f"`python3 run.py cancel-all {configuration} --after 78` pulls those alone."
        said += f" {ours_count} OF OURS REST TOO: {alone}"
    return said
