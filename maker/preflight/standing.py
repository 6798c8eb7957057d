"""What earlier runs left behind: kill file, crash marks, losses, and locks that somebody still holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from maker.app import losses as losses_file
from maker.app.config import Config
from maker.desk.breakers import Losses
from maker.errors import ExitCode
from maker.launch import latch as kill_file
from maker.launch import lock as locks
from maker.launch.settings import ParentSettings
from maker.preflight.verdict import Finding, failed, ok, warning

SPENT_RATIO: Final = Decimal("0.5")  # of a loss limit: from here on a start has little left to lose


def latch(wanted: ParentSettings) -> Finding:
    """Whether a start would be refused, or made to wait, for what happened before."""
    said = kill_file.read(wanted.state_folder)
    clear = f"python3 run.py clear {wanted.configuration}"
    if said is not None:
        fix = f"See why, then: {clear}"
        return failed(f"Latched: {said}.", fix, ExitCode.REFUSED_TO_START)
    window = wanted.guard.crash_window_seconds
    deaths = locks.crashes(wanted.state_folder, window)
    if not deaths:
        return ok("No kill file, and no death of a maker lately.")
    pause = locks.backoff_seconds(wanted.state_folder, window)
    waits = f"the next start waits {pause:g} s" if pause else "the next start does not wait for it"
    fix = f"See the incident files; {wanted.guard.crashes_max:g} deaths within {window:g} s latch."
    return warning(f"The maker died {deaths} times within {window:g} s: {waits}.", fix)


def lock(wanted: ParentSettings) -> Finding:
    """Whether another run keeps a start from its locks. Raises OSError."""
    if locks.is_held(wanted.state_folder / locks.STATE_LOCK):
        said = "A maker runs on this state folder: what follows is seen beside it, and a second start is refused."
        return warning(said, "Nothing need be done if that is meant.")
    if not wanted.is_paper and any(locks.is_held(path) for path in locks.account_paths(wanted)):
        said = f"Another maker on this machine, with another state folder, holds the account {wanted.account!r}."
        return failed(said, "Stop it, or give this one a sub-account of its own.", ExitCode.REFUSED_TO_START)
    return ok("Nobody holds the locks of this state folder and account.")


def losses(config: Config, equity: Decimal, unix_seconds: float) -> Finding:
    """What of the loss limits earlier runs have used up, with the account as it is. Raises StartRefused.

    A start would count exactly this at its first look. `equity` in quote currency.
    """
    counted = Losses(config.limits)
    losses_file.restore(config, counted)
    if counted.before is None:
        return ok("Nothing is counted from earlier runs.")
    stops = counted.judge(Decimal(0), int(unix_seconds * 1000), equity)
    if stops is not None:
        fix = "See why. `clear` counts losses anew; money taken out between two runs counts as lost."
        return failed(f"A start would stop at once: {stops[1]}.", fix)
    lost = counted.snapshot()
    assert lost is not None, "judged"
    limits = config.limits
    said = (
        f"Lost so far {max(Decimal(0), lost.fallen):.2f} of drawdown_max {limits.drawdown_max} and "
        f"{max(Decimal(0), lost.today):.2f} of daily_loss_max {limits.daily_loss_max}."
    )
    if lost.fallen > SPENT_RATIO * limits.drawdown_max or lost.today > SPENT_RATIO * limits.daily_loss_max:
        return warning(said, "Little is left to lose before a run stops for a person.")
    return ok(said)
