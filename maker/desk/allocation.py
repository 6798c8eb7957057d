"""Which market the next request goes to, and whether any is worth it now.

A quote that the price has left behind costs, each second, about

    cost rate = move since quoted / half-spread * size at risk      (quote currency: who takes it earns the difference)

and a request sets the move back to nothing. For a price without drift the cost of a market that is requoted whenever it
has moved by b is, a second, `rate(b) / 3` and a request each `b² / sigma²` seconds. With requests at a price p each,
the best b is where

    worth(b) = rate(b) * b² / (6 sigma²) = p

so `worth` (quote currency times seconds: what a request saves) is the index by which markets compare: it is the Whittle
index of this restless bandit (Whittle 1988, J. Appl. Prob. 25A; for a Brownian motion with linear cost the two lines
above are the whole proof). The cost rate alone would give every request to whoever moves most, where it lasts least.

The price p is found, not chosen: it rises while the bucket is less than half full and falls while it is fuller, so that
spending meets the refill, and a small gain waits when a larger one is likely. A full bucket is lost if it is not used:
there everything that is due is worth a request.

Age comes before worth: each market has a deadline. As long as every deadline can still be met after one more request
for something else, worth decides; otherwise the earliest deadline does (EDF: if any order meets them all, this does).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from maker.desk.budget import Spend
from maker.desk.ladder import Ladder
from maker.desk.units import SUBTICKS, Side

PRICE_MIN: Final = 1.0  # quote currency seconds: nobody would wait for less
PRICE_MAX: Final = 1e12
PRICE_STEP_PER_SECOND: Final = 0.2  # of its logarithm, with an empty bucket half of it upward; found by `bench/budget`
FULL_TOKENS: Final = 0.5  # this near to a full bucket the next token would be lost
PRICE_GAP_SECONDS_MAX: Final = 5.0  # a longer time unasked counts as this


@attrs.frozen
class Shape:
    """What a ladder looked like when it was made, for judging it later without building another."""

    fair: int  # subticks
    half_spread: float  # subticks: innermost levels to their middle, else to fair value
    bid_value: float  # quote currency
    ask_value: float

    @classmethod
    def of(cls, ladder: Ladder, fair: int, lot_value: float) -> Shape:
        """Describe a ladder around a fair value; `lot_value`: one lot at that value."""
        bid, ask = (side[0].ticks * SUBTICKS if side else None for side in (ladder.bids, ladder.asks))
        if bid is not None and ask is not None:
            half = (ask - bid) / 2
        else:
            half = abs((bid if bid is not None else ask if ask is not None else fair) - fair)
        values = (ladder.lots(side) * lot_value for side in Side)
        return cls(fair, max(float(half), float(SUBTICKS)), *values)


@attrs.frozen
class Looked:
    """What the last ladder built for a market was built of, and how far it was from the one that rests."""

    at: float
    fair: int  # subticks
    position_lots: int
    moved: float  # relative to the price; infinite: a side comes or goes
    blocked: bool = False  # it must not be sent, or there was none


@attrs.frozen
class Stale:
    """One market that a request may be spent on, judged without building its ladder."""

    market_id: str
    spend: Spend  # as far as can be told
    deadline: float  # our clock
    cost_rate: float = 0.0  # quote currency
    worth: float = 0.0  # quote currency seconds
    must: bool = False  # whatever it is worth: it is too old, or something other than the price is wrong with it
    look: bool = False  # its ladder should be built, for a request seems due
    look_due: bool = False  # ... or because nobody has looked for a while
    idle: bool = False  # at the last look there was nothing to send


@attrs.define
class TokenPrice:
    """What a request must be worth, so that spending meets the refill."""

    value: float = PRICE_MIN  # quote currency seconds
    at: float | None = None  # our clock

    def affords(self, worth: float, tokens: float, burst: int) -> bool:
        """Whether so much is worth a request with so many tokens left."""
        return worth >= self.value or tokens >= burst - FULL_TOKENS

    def move(self, tokens: float, burst: int, now: float) -> None:
        """Let the price follow the bucket."""
        if self.at is not None:
            elapsed = min(max(0.0, now - self.at), PRICE_GAP_SECONDS_MAX)
            step = PRICE_STEP_PER_SECOND * (0.5 - max(0.0, tokens) / burst) * elapsed
            self.value = min(PRICE_MAX, max(PRICE_MIN, self.value * math.exp(step)))
        self.at = now


def worth_of(cost_rate: float, moved: float, sigma: float, seconds_max: float) -> float:
    """What a request saves, in quote currency seconds; formula above.

    `moved` is relative to the price, `sigma` the standard deviation of its relative return over one second; nothing
    stands for longer than `seconds_max`, how still the market may be.
    """
    if moved <= 0:
        return 0.0
    variance = sigma * sigma
    seconds = moved * moved / (6 * variance) if variance > 0 else seconds_max
    return cost_rate * min(seconds, seconds_max)


def endangered(deadlines: Sequence[float], capacity: Callable[[float], float]) -> bool:
    """Whether a request for anything but the earliest deadline could cost one of them. `deadlines` are sorted.

    `capacity`: requests that may leave from now until then.
    """
    return any(count > capacity(deadline) - 1 for count, deadline in enumerate(deadlines, 1))


def spend_of(wanted: Ladder, resting: Ladder | None, position_lots: int) -> Spend:
    """What a ladder is for. It reduces when it only exits, only removes, or leaves less on the side that adds."""
    if wanted.reduce_only is not None or wanted.empty:
        return Spend.REDUCE
    if resting is None:
        return Spend.ADD
    adding = Side.BUY if position_lots > 0 else Side.SELL
    if position_lots and wanted.lots(adding) < resting.lots(adding):
        return Spend.REDUCE
    return Spend.REPRICE
