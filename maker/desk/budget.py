"""Order-path requests: a scarce budget, learned from headers, with a reserve that only cancels may spend.

The exchange counts a window per user over all keys; cancel-all counts too, so a quoting loop that spends the last one
has disarmed its own dead-man switch. We spend evenly: a bucket fills at what the window leaves beyond the reserve, more
slowly after a burst, so that something is left to its end; and nothing is sent when the exchange's own count is at the
reserve.

    cancel   > reduce                > reprice, add
    reserve    a share of the window   the rest

`reduce` is a ladder that takes risk away. A share of the window is its own: ordinary ladders leave it alone, and it may
run ahead of the bucket by as much. What of it nobody has needed is given back evenly as the window runs out.

The reserve is the larger of `reserve_ratio` and RESERVE_CALLS, whatever the number of markets: one full tail, and a
dozen scoped calls for an exchange that refuses the unscoped cancel-all. What is given up with many markets: where the
window has no more left than the reserve, the exchange refuses cancel-all for everything, AND more orders or markets are
to be cancelled one by one than that, the rest of them waits for the next window, that is for less than a minute. A
reserve for three rounds of twenty markets would be half of the standard tier, spent never.

A stated limit that leaves nothing beside that reserve may be a mistake, or a proxy's; and as nothing leaves any more,
no answer would put it right. So of a limit that small RESERVE_CALLS takes half at most, for exits and slow quotes; it
is believed for a window; then the last believable one is tried again, and it is never handed to the next run.

Two makers that wait for the same reset would wake in the same instant: each is late by a share of JITTER_SECONDS_MAX.

After a restart what an earlier run left counts (`Left`, `recall`), on the wall clock, for CLOCK_BOOTTIME may have begun
anew. Whatever could have been spent since that was written counts as spent; the next answer's headers say what was.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

import attrs

WINDOW_SECONDS = 60.0  # documented: requests a minute
TAIL_CALLS = 12  # cancel-alls of one full tail (0, 0.25, 1 … 60 s), one over a write, and two hedges
SCOPED_ORDERS_MAX = 10  # orders cancelled one by one in a round of scoped routes: the rest have their turn in the next
SCOPED_CALLS = SCOPED_ORDERS_MAX + 2  # one round of the scoped routes for one market: itself, orders, an empty ladder
RESERVE_CALLS = TAIL_CALLS + SCOPED_CALLS  # the least reserve
PACE_AFTER_THROTTLE = 0.5
PACE_MIN = 0.05
WAIT_MARGIN_SECONDS = 0.001  # a clock of floats must move, and be past the moment
PACE_RECOVERY_SECONDS = 60.0  # from half the pace back to all of it
LIMIT_MAX = 100_000  # requests a minute: a hundred times the tiers that are spoken of; more is a mistake
JITTER_SECONDS_MAX = 0.5  # after a reset or a Retry-After; under 1 % of a window
NOTE_SECONDS = 600.0  # between two lines on limits too small: whoever states others in turn would fill the log
LEFT_SECONDS_MAX = 120.0  # two windows: a wait or a window's end further ahead was written by another clock


class Spend(enum.IntEnum):
    """What a request is for, the most important first."""

    CANCEL = 0
    REDUCE = 1  # a ladder that takes risk away
    REPRICE = 2  # a ladder in the place of one that rests
    ADD = 3  # a ladder where nothing rests


@attrs.frozen
class BudgetSettings:
    """Requests a minute until the exchange states its own limit, and who may spend them."""

    requests_per_minute: int
    reserve_ratio: float  # of the limit, kept for cancels
    burst: int  # requests that may be spent at once after a quiet time
    reduce_ratio: float = 0.05  # of the limit, kept for ladders that take risk away

    def reserve(self, limit: int) -> int:
        """Requests of a window that only cancels may spend."""
        return max(min(RESERVE_CALLS, math.ceil(limit / 2)), round(limit * self.reserve_ratio))

    def believable(self, limit: int) -> bool:
        """Whether ladders could leave beside a whole reserve."""
        return limit > max(RESERVE_CALLS, round(limit * self.reserve_ratio))

    def reduce_share(self, limit: int) -> float:
        """Requests of a window, beside the reserve, for ladders that take risk away."""
        return max(0.0, min(limit * self.reduce_ratio, limit - self.reserve(limit) - 1.0))

    def tokens_per_second(self, limit: int) -> float:
        """The even pace."""
        return max(0, limit - self.reserve(limit)) / WINDOW_SECONDS


@attrs.frozen
class Left:
    """What a run leaves to the next one; times in unix seconds."""

    at: float  # when this was true
    limit: int
    remaining: int
    window_ends_at: float
    throttled_until: float
    pace: float
    tokens: float
    closed: bool  # nothing was sent after it
    learned: int | None  # the limit that answers stated; None: `limit` is the configuration's, or was doubted
    configured: int  # requests_per_minute, which it corrects; with another one it says nothing


def no_jitter() -> float:
    return 0.0


@attrs.define
class Budget:
    """Requests left, as far as we know."""

    settings: BudgetSettings
    limit: int = 0
    remaining: int = 0
    window_ends_at: float = 0.0  # our clock
    tokens: float = 0.0
    filled_at: float | None = None
    throttled_until: float = 0.0
    throttles: int = 0
    pace: float = 1.0  # share of the even pace we allow ourselves
    spent: int = 0
    assumed: bool = False  # since a restart no answer has said what is left: the worst is assumed
    learned: int | None = None  # the last believable limit that an answer stated
    doubted_until: float | None = None  # `limit` is believed until then, too small though it is; None: it is not
    note: str = ""  # a sentence for the log, taken by `take_note`
    noted_at: float = -math.inf
    jitter: Callable[[], float] = no_jitter  # from 0 to below 1
    late: float = 0.0  # seconds after this window's end, were nothing left of it but the reserve
    held_until: float = 0.0  # the end of the last such window, and that late

    def __attrs_post_init__(self) -> None:
        self.limit = self.remaining = self.settings.requests_per_minute
        self.tokens = float(self.settings.burst)

    @property
    def reserve(self) -> int:
        """Requests only cancels may spend."""
        return self.settings.reserve(self.limit)

    @property
    def reduce_share(self) -> float:
        """Requests of a window that only cancels and ladders that reduce may spend, while the window is whole."""
        return self.settings.reduce_share(self.limit)

    @property
    def tokens_per_second(self) -> float:
        return self.settings.tokens_per_second(self.limit) * self.pace

    @property
    def trusted(self) -> int:
        """The limit to count with where none is stated, or one that cannot be believed for long."""
        return self.learned or self.settings.requests_per_minute

    def seen(self, limit: int, remaining: int, reset_seconds: float, now: float) -> None:
        """Believe what the exchange says of its own window."""
        self.limit = min(limit, LIMIT_MAX)
        self.remaining = min(remaining, self.limit)
        self.window_ends_at = now + reset_seconds
        if self.settings.believable(self.limit):
            self.learned, self.doubted_until = self.limit, None
        else:
            self.doubt(max(reset_seconds, WINDOW_SECONDS), now)
        if self.assumed:  # the first answer since the restart: no need to assume any more
            self.assumed = False
            self.refill(now)
            self.tokens = max(self.tokens, float(min(self.settings.burst, max(0, remaining - self.reserve))))

    def doubt(self, seconds: float, now: float) -> None:
        """Believe a limit that is too small to quote with for so long, and say so now and then."""
        self.doubted_until = now + seconds + self.draw()
        if now - self.noted_at >= NOTE_SECONDS:
            self.noted_at = now
            self.note = (
                f"the exchange states {self.limit} requests a minute, too few to quote with: believed for "
                f"{seconds:.0f} s, then {self.trusted} is tried again"
            )

    def take_note(self) -> list[str]:
        """What the log should say since the last call: a sentence, or none."""
        taken, self.note = self.note, ""
        return [taken] if taken else []

    def throttled(self, seconds: float, now: float) -> None:
        """429: wait as told, then at half the pace, recovering slowly.

        One that comes while we wait for an earlier one answers a cancel, which does not wait: it says nothing new of
        the pace.
        """
        self.throttles += 1
        if now >= self.throttled_until:
            self.pace = max(PACE_MIN, self.pace * PACE_AFTER_THROTTLE)
        self.throttled_until = max(self.throttled_until, now + seconds + self.draw())
        self.tokens = min(self.tokens, 0.0)
        self.remaining = 0
        self.window_ends_at = max(self.window_ends_at, now + seconds)

    def draw(self) -> float:
        """Seconds to be late by."""
        return JITTER_SECONDS_MAX * self.jitter()

    def refill(self, now: float) -> None:
        """Bring the bucket and the window up to now."""
        if self.filled_at is not None:
            elapsed = max(0.0, now - self.filled_at)
            self.pace = recovered(self.pace, elapsed)
            filled = self.filling(self.filled_at, now)
            self.tokens = min(float(self.settings.burst), self.tokens + filled)
        self.filled_at = now
        if now >= self.window_ends_at and self.remaining - self.reserve < 1:
            self.held_until = self.window_ends_at + self.late
        if self.doubted_until is not None and now >= self.doubted_until:
            used = self.limit - self.remaining  # in this window, whatever its limit is held to be
            self.limit, self.doubted_until = self.trusted, None
            self.remaining = max(0, self.limit - used)
        if now >= self.window_ends_at:
            self.remaining = self.limit
            self.window_ends_at = now + WINDOW_SECONDS
            self.late = self.draw()

    def filling(self, since: float, until: float) -> float:
        """Tokens that come in between: evenly over what the window has left, never faster than the even pace."""
        even, within = self.tokens_per_second, max(0.0, min(until, self.window_ends_at) - since)
        left = max(0, self.remaining - self.reserve) / max(self.window_ends_at - since, 1e-3)
        return within * min(even, left) + max(0.0, until - max(since, self.window_ends_at)) * even

    def wait_seconds(self, now: float, spend: Spend = Spend.REPRICE) -> float:
        """Seconds until a ladder of this kind may leave; 0: now."""
        self.refill(now)
        stopped = max(0.0, self.throttled_until - now, self.held_until - now)
        wait, free, window_left = stopped, self.remaining - self.reserve, self.window_ends_at - now
        share = self.reduce_share
        ahead = share if spend is Spend.REDUCE else 0.0
        if free < 1:
            wait = max(wait, window_left + self.late)
        elif spend is not Spend.REDUCE and share > 0:  # until so much of the share is given back that one is left
            wait = max(wait, window_left - free * WINDOW_SECONDS / share)
        short = 1 - ahead - self.tokens
        if short > 0:
            wait = max(wait, self.filled_in(short, now))
        if self.doubted_until is not None:  # then all of this is another question
            wait = min(wait, max(stopped, self.doubted_until - now))
        return wait + WAIT_MARGIN_SECONDS if wait > 0 else 0.0

    def why_waiting(self, now: float) -> str:
        """Why an ordinary ladder must wait, as a sentence's end."""
        if now < self.throttled_until:
            return "a 429 is obeyed"
        if self.doubted_until is not None:
            return f"the exchange states {self.limit} a minute"
        if self.remaining - self.reserve - self.reduce_share < 1:
            if self.assumed:
                return "what was spent before this start is not known"
            return "what is left of this window is kept for cancels and exits"
        return "they are spent evenly"

    def filled_in(self, tokens: float, now: float) -> float:
        """Seconds until so many tokens have come in."""
        window_left, even = max(0.0, self.window_ends_at - now), max(self.tokens_per_second, 1e-3)
        in_window = self.filling(now, self.window_ends_at)
        if tokens <= in_window:
            return tokens / in_window * window_left
        return window_left + (tokens - in_window) / even

    def capacity(self, until: float, now: float) -> float:
        """Ordinary ladders that may leave from now to a moment, as far as we know; the window's end renews it."""
        wait = max(0.0, self.throttled_until - now, self.held_until - now)
        by_pace = self.tokens + self.filling(now, max(now, until))
        if until < now + wait:
            return 0.0
        return by_pace if until >= self.window_ends_at else min(by_pace, float(self.remaining - self.reserve))

    def spend(self, now: float) -> None:
        """A ladder leaves."""
        self.cancel_spent(now)
        self.tokens -= 1

    def cancel_spent(self, now: float) -> None:
        """A request of the reserve leaves (or was counted by `spend`). Counted before its answer says so."""
        self.refill(now)
        self.remaining = max(0, self.remaining - 1)
        self.spent += 1

    # -- from one run to the next

    def left(self, now: float, unix_seconds: float, *, closed: bool = False) -> Left:
        """What the next run should know, were this one to end now."""
        self.refill(now)
        offset = unix_seconds - now
        return Left(
            at=unix_seconds,
            limit=self.limit,
            remaining=self.remaining,
            window_ends_at=self.window_ends_at + offset,
            throttled_until=self.throttled_until + offset,
            pace=self.pace,
            tokens=self.tokens,
            closed=closed,
            learned=self.learned,
            configured=self.settings.requests_per_minute,
        )

    def recall(self, left: Left | None, now: float, unix_seconds: float) -> None:
        """Take up what an earlier run left; None where nobody can say.

        The worst is assumed until an answer says better: that whoever was killed had first spent what it could, and
        that its guard cancelled through a whole tail. Where nothing can be read, all of a window that began just now.
        A limit that was learned is known as long as the configuration that it corrects is the same.
        """
        self.assumed = True
        self.filled_at, self.tokens = now, 0.0
        self.remaining, self.window_ends_at, self.late = 0, now + WINDOW_SECONDS, self.draw()
        if left is None:
            return
        if left.configured == self.settings.requests_per_minute:
            self.learned = left.learned
        self.limit = self.trusted
        elapsed = unix_seconds - left.at
        self.pace = recovered(left.pace, max(0.0, elapsed))
        self.throttled_until = now + min(max(0.0, left.throttled_until - unix_seconds), LEFT_SECONDS_MAX)
        if elapsed < 0:
            return  # the clock was set back: nobody can say what has been spent since
        spent = TAIL_CALLS
        if left.closed:
            self.tokens = max(0.0, left.tokens)
        else:
            most = max(left.limit, self.limit)  # whoever was killed spent by the limit it knew
            even, share = self.settings.tokens_per_second(most), self.settings.reduce_share(most)
            spent += math.ceil(max(0.0, left.tokens) + share + elapsed * even)
        window_left = left.window_ends_at - unix_seconds
        if 0 < window_left <= LEFT_SECONDS_MAX:
            used = left.limit - left.remaining  # the window is the same, whatever its limit is held to be
            self.remaining = max(0, min(left.remaining, self.limit - used) - spent)
            self.window_ends_at = now + window_left
        else:
            self.remaining = max(0, self.limit - spent)


def recovered(pace: float, seconds: float) -> float:
    """The pace after so long without a 429."""
    return min(1.0, pace + seconds / PACE_RECOVERY_SECONDS * (1 - PACE_AFTER_THROTTLE))
