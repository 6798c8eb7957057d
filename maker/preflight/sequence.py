"""Checks one after another: each has a deadline, all together have one, and what builds on a failure is not made."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from maker.errors import (
    ConfigError,
    ExitCode,
    MakerError,
    OcxError,
    Refused,
    StartRefused,
    StreamBroken,
    Throttled,
    Unauthorized,
)
from maker.guard.exchange import NoAnswer, within
from maker.preflight.verdict import Finding, Row, failed, not_made, sentence, shown

CHECK_SECONDS_MAX: Final = 10.0  # one check: three reads that time out, as often as a start would try in that time
ALL_SECONDS_MAX: Final = 60.0  # all of them; a healthy exchange takes two or three

KEY_FIX: Final = "Look at `python3 run.py keys list CONF`: it must be active, of scope trade, and good from here."
REACH_FIX: Final = "See whether the exchange works and this machine reaches it, then check again."
SLOW_FIX: Final = "See what holds it up: the network, the other side, or this machine's disk; then check again."


@attrs.define
class Sequence:
    """The checks so far. `tell` gets each row as it is known."""

    tell: Callable[[Row], None]
    clock: Callable[[], float] = time.monotonic  # seconds; in virtual time Trio's
    secret: str = attrs.field(default="", repr=False)  # cut out of whatever is shown
    rows: list[Row] = attrs.field(factory=list)
    ends_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ends_at = self.clock() + ALL_SECONDS_MAX

    def note(self, name: str, finding: Finding) -> None:
        """Add a check that was made."""
        row = shown(Row(name, finding), self.secret)
        self.rows.append(row)
        self.tell(row)

    def not_made(self, why: str, *names: str) -> None:
        """Add checks that cannot be made."""
        for name in names:
            self.note(name, not_made(why))

    def barred(self, needs: tuple[str, ...]) -> str:
        """Why a check that builds on these cannot be made; empty when it can."""
        standing = {row.name: row.finding.verdict.passes for row in self.rows}
        for name in needs:
            assert name in standing, f"{name} comes first"
            if not standing[name]:
                return f"{name} did not pass"
        return "" if self.clock() < self.ends_at else f"the time for all checks, {ALL_SECONDS_MAX:.0f} s, was over"

    def seconds(self) -> float:
        """How long the next check may take."""
        return max(0.0, min(CHECK_SECONDS_MAX, self.ends_at - self.clock()))

    def make(self, name: str, check: Callable[[], Finding], *needs: str) -> bool:
        """Make a check that may block; main thread only. Say whether it passed."""
        if why := self.barred(needs):
            self.not_made(why, name)
            return False
        seconds = self.seconds()
        try:
            with within(seconds):
                finding = check()
        except (NoAnswer, OSError, MakerError) as error:
            finding = finding_of(error)
        self.note(name, finding)
        return finding.verdict.passes

    async def wait(self, name: str, check: Callable[[], Awaitable[Finding]], *needs: str, refuses: bool = True) -> bool:
        """Make a check that waits for others. Say whether it passed. `refuses`: `run` would not start without it."""
        if why := self.barred(needs):
            self.not_made(why, name)
            return False
        finding = await bounded(check, self.seconds())
        if finding.exit_code is ExitCode.REFUSED_TO_START and not refuses:
            finding = attrs.evolve(finding, exit_code=ExitCode.FAILURES_FOUND)
        self.note(name, finding)
        return finding.verdict.passes


async def bounded(check: Callable[[], Awaitable[Finding]], seconds: float) -> Finding:
    """What a check found within so many seconds; its errors are findings too."""
    with trio.move_on_after(seconds):
        try:
            return await check()
        except (OSError, MakerError, ValueError) as error:
            return finding_of(error)
    return failed(f"It did not end within {seconds:.3g} s.", SLOW_FIX, ExitCode.REFUSED_TO_START)


def finding_of(error: Exception) -> Finding:
    """What an error means for a start."""
    refused = ExitCode.REFUSED_TO_START
    match error:
        case ConfigError():
            return failed(
                f"{error.field}: {error.problem}", error.fix or "conf/paper.toml explains every key.", refused
            )
        case StartRefused():
            return failed(error.problem, error.fix or "Mend that, then check again.", error.exit_code)
        case Unauthorized():
            return failed(sentence(f"the exchange answers {error}"), KEY_FIX, ExitCode.CREDENTIALS)
        case Refused():
            return failed(sentence(f"the exchange answers {error}"), REACH_FIX, refused)
        case Throttled():
            return failed(f"The exchange answers 429 and asks us to wait {error.seconds:g} s.", "Wait for it.", refused)
        case OcxError() | StreamBroken():
            return failed(sentence(error), REACH_FIX, refused)
        case NoAnswer():
            return failed(sentence(error), SLOW_FIX, refused)
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            return failed(f"{error.strerror or error}{where}.", "Mend that, then check again.", refused)
        case _:
            return failed(sentence(f"the answer makes no sense: {error}"), REACH_FIX, refused)
