"""The order path's rate limit: a fixed window per user, over all the user's keys."""

from __future__ import annotations

from typing import Final

import attrs

from maker.paper.rejection import Rejection

WINDOW_MS: Final = 60_000  # documented: requests a minute
LIMIT_DEFAULT: Final = 120  # documented standard tier, order-path requests a window


@attrs.frozen(kw_only=True)
class RateState:
    """What the rate-limit headers say."""

    limit: int
    remaining: int
    reset_ms: int  # unix milliseconds at which the window ends


@attrs.define
class RateWindow:
    """Count one user's order-path requests.

    A window opens with the first request after the last one ended, and lasts a minute. Every request counts, whether
    it is then accepted or refused; only a request refused for the limit itself does not.
    """

    limit: int
    started_ms: int = 0
    used: int = 0

    def state(self, now_ms: int) -> RateState:
        """Tell the window as of now, without counting."""
        if now_ms >= self.started_ms + WINDOW_MS:
            return RateState(limit=self.limit, remaining=self.limit, reset_ms=now_ms + WINDOW_MS)
        remaining = max(0, self.limit - self.used)  # a loaded window may be fuller than a lower limit allows
        return RateState(limit=self.limit, remaining=remaining, reset_ms=self.started_ms + WINDOW_MS)

    def charge(self, now_ms: int) -> RateState:
        """Count one request and tell what is left; raises Rejection RATE_LIMITED where nothing was."""
        if now_ms >= self.started_ms + WINDOW_MS:
            self.started_ms = now_ms
            self.used = 0
        if self.used >= self.limit:
            wait_ms = self.started_ms + WINDOW_MS - now_ms
            raise Rejection("RATE_LIMITED", f"{self.limit} order requests a minute", retry_after_ms=wait_ms)
        self.used += 1
        return self.state(now_ms)


def reset_header(state: RateState, now_ms: int, unit: str) -> str:
    """Spell `X-RateLimit-Reset` in the unit of the switch `rate_limit_reset`, never too early."""
    if unit == "seconds":
        return str(max(0, -(-(state.reset_ms - now_ms) // 1000)))
    if unit == "unix":
        return str(-(-state.reset_ms // 1000))
    if unit == "unix_ms":
        return str(state.reset_ms)
    raise ValueError(f"unknown unit {unit!r}")
