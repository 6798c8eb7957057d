"""The fire drill before a start: what an earlier run left is swept by the guard's own means, before anything is placed.

It proves key and route: a guard that cannot cancel now could not cancel when it matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

from maker.guard.exchange import ASKED_SECONDS_MAX, Exchange, NoAnswer, follow, pull, reading_back, seconds_now
from maker.launch import key, report
from maker.launch.settings import ParentSettings
from maker.launch.sparing import cancel_ours, is_ours
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
                refuse_beside(foreign, len(rows) - len(foreign), exchange, wanted, gives_up_at)
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


def refuse_beside(
    foreign: list[dict[str, Any]], ours_count: int, exchange: Exchange, wanted: ParentSettings, give_up_at: float
) -> NoReturn:
    """Pull what is ours by name, if any rests, and refuse to start beside orders of others. Raises Refusal."""
    named = ", ".join(f"{row.get('marketId')} {row.get('clientOrderId') or row.get('id')}" for row in foreign)
    why = (
        f"{len(foreign)} orders on the account are not ours ({named[:200]}): cancel-all would wipe them. "
        "Give the bot a sub-account of its own, or cancel them yourself."
    )
    if ours_count:
        spared = cancel_ours(exchange, wanted.order_prefix, give_up_at)
        if spared is None or spared.ours != 0:
            raise Refusal(f"{why} Ours that rest too could not be pulled by name: {MAY_REST}", report.UNVERIFIED)
        why += " Ours that rested too were pulled by name."
    raise Refusal(why)
