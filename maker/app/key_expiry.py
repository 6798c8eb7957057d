"""How long the API key is still good: said in good time, once a day; and quotes pulled while it can still pull them.

After its expiry nobody cancels with it, so the run leaves while the guard would still have the whole of its time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs

from maker.app.record import Recorder
from maker.desk.deadman import Reason, Trip
from maker.launch import key

WARN_DAYS: Final = 14  # from here on, once a day: a key is made in minutes, by a person who may be away for a week
DAY_SECONDS: Final = 86_400.0
LOOK_SECONDS: Final = 10.0  # between two looks; at once when the wall clock is set back


@attrs.define
class KeyExpiry:
    """One run's key; times are unix seconds."""

    expires_at: float | None  # infinity: never; None: not known
    needed_seconds: float  # of its life, while anything may rest
    recorder: Recorder
    wall: Callable[[], float]
    leave: Callable[[Trip], None]
    looked_at: float = -math.inf
    days_told: int = WARN_DAYS  # told of so many whole days being left, or not yet

    @classmethod
    def of(
        cls,
        expires_at: float | None,
        give_up_seconds: float,
        tail_seconds: float,
        recorder: Recorder,
        wall: Callable[[], float],
        leave: Callable[[Trip], None],
    ) -> KeyExpiry:
        """Know a key; the seconds are the guard's."""
        return cls(expires_at, key.seconds_needed(give_up_seconds, tail_seconds), recorder, wall, leave)

    def another(self, expires_at: float | None) -> None:
        """Know another key from now on: nothing was told of it yet."""
        self.expires_at, self.looked_at, self.days_told = expires_at, -math.inf, WARN_DAYS
        self.recorder.told.pop("key", None)

    def look(self) -> None:
        """Warn, or leave, if it is time. Called often, and cheap."""
        now = self.wall()
        if self.expires_at is None or 0 <= now - self.looked_at < LOOK_SECONDS:
            return
        self.looked_at = now
        left_seconds = self.expires_at - now
        if left_seconds < self.needed_seconds:
            minutes = max(0.0, left_seconds / 60)
            self.leave(Trip(Reason.KEY_EXPIRES, f"in {minutes:.0f} min; `keys create` makes a new one"))
        elif left_seconds < self.days_told * DAY_SECONDS:
            self.days_told = math.ceil(left_seconds / DAY_SECONDS) - 1
            self.warn(left_seconds)

    def warn(self, left_seconds: float) -> None:
        """Say how long is left: the first time as a change of state, for the journal, then as a line a day."""
        sentence = (
            f"the API key expires in {left_seconds / DAY_SECONDS:.1f} days, and quoting stops "
            f"{self.needed_seconds / 60:.0f} min before; `keys create` makes a new one"
        )
        if "key" in self.recorder.told:
            self.recorder.warning("key expires", sentence)
        else:
            self.recorder.state("key", "key expires", sentence, alarming=True)
