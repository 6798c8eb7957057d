"""Order-path requests: a scarce budget, learned from headers, with a reserve that only cancels may spend.

The exchange counts a window per user over all keys; cancel-all counts too, so a quoting loop that spends the last one
has disarmed its own dead-man switch. We spend evenly: a bucket fills at what the window leaves beyond the reserve, and
besides, nothing is sent when the exchange's own count is at the reserve.
"""

from __future__ import annotations

import attrs

WINDOW_SECONDS = 60.0  # documented: requests a minute
TAIL_CALLS = 12  # cancel-alls of one full tail (0, 0.25, 1 … 60 s), one over a write, and two hedges
SCOPED_ORDERS_MAX = 10  # orders cancelled one by one in a round of scoped routes: the rest have their turn in the next
PACE_AFTER_THROTTLE = 0.5
WAIT_MARGIN_SECONDS = 0.001  # a clock of floats must move, and be past the moment
PACE_RECOVERY_SECONDS = 60.0  # from half the pace back to all of it


def reserve_calls(markets: int) -> int:
    """The least reserve: one full tail and one round of scoped routes (each market twice, some orders by name)."""
    return TAIL_CALLS + 2 * markets + SCOPED_ORDERS_MAX


@attrs.frozen
class BudgetSettings:
    """Requests a minute until the exchange states its own limit."""

    requests_per_minute: int
    reserve_ratio: float  # of the limit, kept for cancels
    burst: int  # requests that may be spent at once after a quiet time


@attrs.define
class Budget:
    """Requests left, as far as we know."""

    settings: BudgetSettings
    markets: int = 1  # ours: a round of scoped cancels visits each
    limit: int = 0
    remaining: int = 0
    window_ends_at: float = 0.0  # our clock
    tokens: float = 0.0
    filled_at: float | None = None
    throttled_until: float = 0.0
    throttles: int = 0
    pace: float = 1.0  # share of the even pace we allow ourselves
    spent: int = 0

    def __attrs_post_init__(self) -> None:
        self.limit = self.remaining = self.settings.requests_per_minute
        self.tokens = float(self.settings.burst)

    @property
    def reserve(self) -> int:
        """Requests only cancels may spend."""
        return max(reserve_calls(self.markets), round(self.limit * self.settings.reserve_ratio))

    @property
    def tokens_per_second(self) -> float:
        return max(0, self.limit - self.reserve) / WINDOW_SECONDS * self.pace

    def seen(self, limit: int, remaining: int, reset_seconds: float, now: float) -> None:
        """Believe what the exchange says of its own window."""
        self.limit = limit
        self.remaining = remaining
        self.window_ends_at = now + reset_seconds

    def throttled(self, seconds: float, now: float) -> None:
        """429: wait as told, then at half the pace, recovering slowly."""
        self.throttles += 1
        self.throttled_until = max(self.throttled_until, now + seconds)
        self.pace = max(0.05, self.pace * PACE_AFTER_THROTTLE)
        self.tokens = 0.0
        self.remaining = 0
        self.window_ends_at = max(self.window_ends_at, now + seconds)

    def refill(self, now: float) -> None:
        """Bring the bucket and the window up to now."""
        if self.filled_at is not None:
            elapsed = max(0.0, now - self.filled_at)
            self.pace = min(1.0, self.pace + elapsed / PACE_RECOVERY_SECONDS * (1 - PACE_AFTER_THROTTLE))
            self.tokens = min(float(self.settings.burst), self.tokens + elapsed * self.tokens_per_second)
        self.filled_at = now
        if now >= self.window_ends_at:
            self.remaining = self.limit
            self.window_ends_at = now + WINDOW_SECONDS

    def wait_seconds(self, now: float) -> float:
        """Seconds until quoting may send its next request; 0: now."""
        self.refill(now)
        wait = max(0.0, self.throttled_until - now)
        if self.remaining <= self.reserve:
            wait = max(wait, self.window_ends_at - now)
        if self.tokens < 1:
            wait = max(wait, (1 - self.tokens) / max(self.tokens_per_second, 1e-3))
        return wait + WAIT_MARGIN_SECONDS if wait > 0 else 0.0

    def spend(self, now: float) -> None:
        """A quoting request leaves."""
        self.cancel_spent(now)
        self.tokens -= 1

    def cancel_spent(self, now: float) -> None:
        """A request of the reserve leaves (or was counted by `spend`). Counted before its answer says so."""
        self.refill(now)
        self.remaining = max(0, self.remaining - 1)
        self.spent += 1
