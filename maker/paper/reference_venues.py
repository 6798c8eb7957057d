"""Reference venues that disagree, lag and die: what each tells of the one reference path.

A venue's price is the path's of `lag_seconds` ago, moved by `offset_bps` and by a slow wander: a sum of sine waves
whose phases are hashed from seed, venue and symbol. Its deaths are hashed likewise, one in each stretch of an hour /
`dies_per_hour`. So all of it is a function of the step alone: there is no state to save, asking or not asking changes
nothing, and one seed is one history of every venue.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import attrs

from maker.paper.prices import HISTORY_STEPS, STEP_MS, STEPS_PER_SECOND

LAG_SECONDS_MAX: Final = HISTORY_STEPS / STEPS_PER_SECOND  # the path forgets what is older
OFFSET_BPS_MAX: Final = 1_000  # 10 %: further away no feed is taken for the same market
WANDER_BPS_MAX: Final = 100  # at most 2.8 times as much from its mean, and still a price
DIES_PER_HOUR_MAX: Final = 120  # every half minute
DEAD_RATIO_MAX: Final = 0.5  # of all time
WAVE_SECONDS: Final = (97.0, 163.0, 293.0, 557.0, 1_103.0, 2_141.0)  # periods: primes, so that it hardly repeats
WAVE_HEIGHT: Final = math.sqrt(2 / len(WAVE_SECONDS))  # of each, for a standard deviation of 1
SILENT: Final = "silent"  # connections stay open and are told nothing, no heartbeat either
CLOSED: Final = "closed"  # connections are closed, and new ones too
DEAD_WAYS: Final = (SILENT, CLOSED)


@attrs.frozen(kw_only=True)
class ReferenceVenue:
    """How one venue differs from the path. Raises ValueError that names the field, the problem and the fix."""

    name: str  # the path of its URL
    offset_bps: Decimal = Decimal(0)  # above the others; below if negative
    wander_bps: float = 0.0  # standard deviation of a slow movement around that
    lag_seconds: float = 0.0  # how old the prices are that it tells
    dies_per_hour: float = 0.0  # how often it is dead, on average
    dead_seconds: float = 30.0  # ... for so long
    dead_way: str = SILENT  # one of DEAD_WAYS

    def __attrs_post_init__(self) -> None:
        for field, least, most in (
            ("offset_bps", -OFFSET_BPS_MAX, OFFSET_BPS_MAX),
            ("wander_bps", 0, WANDER_BPS_MAX),
            ("lag_seconds", 0, LAG_SECONDS_MAX),
            ("dies_per_hour", 0, DIES_PER_HOUR_MAX),
        ):
            value = getattr(self, field)
            if not least <= value <= most:  # neither is NaN
                raise ValueError(f"{field}: is {value}. Write {least:g} to {most:g}.")
        if not self.dead_seconds > 0:
            raise ValueError(f"dead_seconds: is {self.dead_seconds}. Write a number above 0.")
        if self.dies_per_hour * self.dead_seconds > 3600 * DEAD_RATIO_MAX:
            most = 3600 * DEAD_RATIO_MAX / self.dies_per_hour
            raise ValueError(
                f"dead_seconds: is {self.dead_seconds:g}, dead more than half of all time. "
                f"Write at most {most:g} with dies_per_hour = {self.dies_per_hour:g}."
            )
        if self.dead_way not in DEAD_WAYS:
            raise ValueError(f"dead_way: is {self.dead_way!r}. Write one of {', '.join(DEAD_WAYS)}.")

    def lag_steps(self, step_ms: int = STEP_MS) -> int:
        """Return how many steps late its prices are, never more than the path remembers."""
        return min(round(self.lag_seconds * 1000 / step_ms), HISTORY_STEPS)

    def shift_bps(self, symbol: str, seed: int, seconds: float) -> Decimal:
        """Return how far its price is from the path's, at this many seconds of history."""
        if not self.wander_bps:
            return self.offset_bps
        waves = zip(WAVE_SECONDS, phases(self.name, symbol, seed), strict=True)
        height = sum(math.sin(2 * math.pi * (seconds / period + phase)) for period, phase in waves)
        return self.offset_bps + Decimal(f"{self.wander_bps * WAVE_HEIGHT * height:.6f}")

    def is_dead(self, seed: int, seconds: float) -> bool:
        """Say whether it is dead at this many seconds of history."""
        return any(began <= seconds < began + self.dead_seconds for began in self.deaths(seed, seconds))

    def deaths(self, seed: int, seconds: float) -> Iterator[float]:
        """Tell when it dies in this stretch and in the one before, seconds of history: none lasts longer than one."""
        if not self.dies_per_hour:
            return
        stretch_seconds = 3600 / self.dies_per_hour
        number = math.floor(seconds / stretch_seconds)
        for each in range(max(0, number - 1), number + 1):
            yield (each + share(f"death:{self.name}:{seed}:{each}")) * stretch_seconds


@functools.cache
def phases(name: str, symbol: str, seed: int) -> tuple[float, ...]:
    """Return where in its period each wave begins, from 0 to 1."""
    return tuple(share(f"wander:{name}:{symbol}:{seed}:{number}") for number in range(len(WAVE_SECONDS)))


def share(text: str) -> float:
    """Return a number from 0 to 1 that depends on the text alone, in every process."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
