"""What the service's stop command spares after a start that came to nothing: `cancel-all CONF --after EXIT_STATUS`.

A start beside orders of others is refused so that cancel-all does not take them, and one beside another run because
that run looks after its own. The stop command follows every end of the service: one in which no maker was started must
not take the former, nor fight with the latter; nor may it leave ours, which an earlier run may have had resting.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from maker.guard.exchange import (
    ASKED_SECONDS_MAX,
    CANCEL_ALL,
    READ_GAP_SECONDS,
    Exchange,
    NoAnswer,
    seconds_now,
)
from maker.launch import lock, settings
from maker.launch.account import REFUSED, Stopped

UNVERIFIED = 75  # as maker.errors.ExitCode
READS_SECONDS_MAX = 30.0  # of answers without a list to be believed: then everything goes, as after any other end
PAUSE_SECONDS = 0.5  # between two rounds


class Spared(NamedTuple):
    """How far it came."""

    ours: int | None  # still rest, by the last read; None: nothing could be read
    others: int
    trouble: str  # the last one; "" when there was none


def after_a_start(configuration: Path, after: str | None) -> settings.ParentSettings | None:
    """Return what a start was asked for that came to no maker; None: there was one, or nobody can tell.

    `after` is the exit status of the run before; None: nobody says that there was one. Raises Stopped where another run
    is at work.
    """
    if after is None:
        return None
    with contextlib.suppress(settings.SettingsError, OSError):
        wanted = settings.parent_settings(configuration)
        state_lock = wanted.state_folder / lock.STATE_LOCK
        if after != str(REFUSED) and lock.holder(state_lock).get("started") is not False:
            return None
        for path in (state_lock, *(() if wanted.is_paper else lock.account_paths(wanted))):
            if lock.is_held(path) and lock.alive(lock.holder(path).get("pid")):
                raise Stopped(REFUSED, "NOTHING WAS CANCELLED: another run is at work, and looks after what rests.")
        return wanted
    return None


def spare(exchange: Exchange, wanted: settings.ParentSettings, give_up_at: float) -> None:
    """Cancel ours alone, where orders of others rest and are to be spared. Raises Stopped: there is no more to do."""
    if wanted.cancels_foreign or (spared := cancel_ours(exchange, wanted.order_prefix, give_up_at)) is None:
        return
    beside = f"{spared.others} orders of others rest and were left alone"
    if spared.ours is None:
        raise Stopped(UNVERIFIED, f"QUOTES MAY REST: nothing could be read ({spared.trouble}).")
    if spared.ours:
        raise Stopped(UNVERIFIED, f"QUOTES MAY REST: {spared.ours} of ours do ({spared.trouble or beside}).")
    raise Stopped(REFUSED, f"Nothing of ours rests, read back twice; {beside}: `cancel-all` without --after takes all.")


def is_ours(row: dict[str, Any], prefix: str) -> bool:
    """Whether an open order carries our prefix."""
    return str(row.get("clientOrderId") or "").startswith(f"{prefix}-")


def cancel_ours(exchange: Exchange, prefix: str, give_up_at: float) -> Spared | None:
    """Cancel ours by name until two reads, a moment apart, show none; give up at a moment of `seconds_now`.

    None: nobody else's rest, the exchange answers and nothing can be read, or the key is not accepted; cancelling
    everything is what is left.
    """
    gives_way_at, proofs = math.inf, 0
    left = Spared(None, 0, "")
    while seconds_now() < give_up_at:
        pause, trouble = PAUSE_SECONDS, ""
        try:
            rows = exchange.open_orders()
            ours = [row for row in rows if is_ours(row, prefix)]
            if len(ours) == len(rows):
                return None
            left = Spared(len(ours), len(rows) - len(ours), left.trouble)
            proofs = 0 if ours else proofs + 1
            if proofs == 2:
                return left
            pause = PAUSE_SECONDS if ours else READ_GAP_SECONDS
            for row in ours:
                try:
                    exchange.call("POST", CANCEL_ALL, {"clientOrderId": row["clientOrderId"]})
                except NoAnswer as problem:
                    if problem.status in (0, 429):
                        raise  # the others would fare no better
                    trouble = str(problem)
        except NoAnswer as problem:
            if problem.status in (401, 403):
                return None
            trouble, pause = str(problem), max(pause, min(problem.wait_seconds, ASKED_SECONDS_MAX))
            if left.ours is None and problem.status not in (0, 429):  # where it is silent, no cancel would do better
                gives_way_at = min(gives_way_at, seconds_now() + READS_SECONDS_MAX)
                if seconds_now() >= gives_way_at:
                    return None
        left = left._replace(trouble=trouble or left.trouble)
        time.sleep(max(0.0, min(pause, give_up_at - seconds_now())))
    return left
