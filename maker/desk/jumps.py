"""Where one market's fair value has been lately: the collar over a window, and the freeze after a jump.

A price may be wrong at its source, and every check against that price alone would pass. So two things look back. The
collar over a window refuses prices too far from the fair value of a while ago (`risk.outside_collars`). And a move of
more than `jump_bps` within `jump_seconds` freezes the market: it is pulled, and not quoted before the new level has
held within `jump_bps` of itself for `jump_confirm_seconds`. A move away from the level that is being confirmed, back
included, is a new jump: a spike that goes and returns is confirmed where it ends.

Fair value is a step function here: what was last seen holds until the next is. It is kept in slots of equal length,
the lowest and the highest of each, so that neither memory nor work grows with how often a venue speaks.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from maker.desk.fair import beyond
from maker.desk.risk import Limits
from maker.desk.units import BPS

SLOTS_A_JUMP: Final = 32  # slots in `jump_seconds`: a move is looked for over at most a slot more than that


@attrs.define
class Slot:
    """Fair values seen within one slot of time; subticks."""

    began: float  # our clock
    low: int
    high: int
    last: int


@attrs.define
class Jumps:
    """Follows one market's fair value; `now` is our clock, seconds."""

    limits: Limits
    slots: deque[Slot] = attrs.field(factory=deque)  # oldest first; the first one may have begun long ago
    level: int | None = None  # subticks: what must hold; None: nothing is to be confirmed
    level_at: float = 0.0  # when that level was reached: what was before it is no longer moved away from
    frozen_until: float = 0.0  # it is confirmed then, unless it moves again
    jumped: str = ""  # the move, for the sentence

    def seen(self, subticks: int, now: float) -> str:
        """Take the fair value as it is now. The sentence of a jump when this is one, else empty."""
        if self.slots and self.slots[-1].last == subticks:
            return ""  # no move, so no jump that was not one before
        limits = self.limits
        confirming = self.level is not None and now < self.frozen_until
        if not confirming:
            self.level = None
        furthest = self.level if self.level is not None else self.furthest(subticks, now)
        if not beyond(subticks, furthest, limits.jump_bps):
            self.keep(subticks, now, new=False)
            return ""
        self.keep(subticks, now, new=True)
        self.level, self.level_at = subticks, now
        self.frozen_until = now + limits.jump_confirm_seconds
        moved = (subticks - furthest) * BPS / furthest
        self.jumped = f"{moved:+.1f} bp within {limits.jump_seconds:g} s, jump_bps is {limits.jump_bps}"
        return self.jumped

    @property
    def slot_seconds(self) -> float:
        return self.limits.jump_seconds / SLOTS_A_JUMP

    def keep(self, subticks: int, now: float, *, new: bool) -> None:
        """Put it into its slot; forget what is older than both windows, but for the value that held before them."""
        slot = self.slots[-1] if self.slots else None
        if slot is None or new or now >= slot.began + self.slot_seconds:
            self.slots.append(Slot(now, subticks, subticks, subticks))
        else:
            slot.low, slot.high, slot.last = min(slot.low, subticks), max(slot.high, subticks), subticks
        oldest = now - max(self.limits.window_seconds, self.limits.jump_seconds)
        while len(self.slots) > 1 and self.slots[1].began <= oldest:
            self.slots.popleft()

    def furthest(self, subticks: int, now: float) -> int:
        """The value held within `jump_seconds`, and since the last jump, that is furthest from this one."""
        since = now - self.limits.jump_seconds
        low = high = subticks
        for slot in reversed(self.slots):
            if slot.began < self.level_at:
                break
            whole = slot.began + self.slot_seconds > since  # else only what it ended with was held since
            low, high = min(low, slot.low if whole else slot.last), max(high, slot.high if whole else slot.last)
            if slot.began <= since:
                break
        return low if subticks - low > high - subticks else high

    def earlier(self, now: float) -> int | None:
        """Fair value `window_seconds` ago, in subticks; of a market not followed for so long, the first. None: none."""
        then = now - self.limits.window_seconds
        known: int | None = None
        for slot in self.slots:
            if known is not None and slot.began > then:
                break
            known = slot.last
        return known

    def frozen(self, now: float) -> str:
        """Why the market is frozen, as a sentence that says what is awaited; empty when it is not."""
        if now >= self.frozen_until:
            return ""
        return (
            f"its fair value jumped ({self.jumped}); waiting until the new level has held for "
            f"{self.limits.jump_confirm_seconds:g} s, {self.frozen_until - now:.0f} s to go"
        )
