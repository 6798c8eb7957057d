"""Balances read in passing: what of them no fill explains is funding, or money that was moved.

A balance is what was paid in, what was realised, less fees and funding: no mark is in it, and it changes only with a
fill, with funding and with a transfer. What fills explain is known exactly, but not at which moment a balance was read:
within READ_SECONDS before its answer, while fills may be told for FILL_REPORT_SECONDS_MAX after it. So a balance waits
that long, and it may belong to each state of our books within that time; what it leaves unexplained is then not one
figure but a range, one figure wide where nothing was traded. A whole account read, made while nothing rests, needs none
of this.

Of what the last two reads allow, the nearest to what is booked counts. A single wrong reading changes nothing, a fill
told late is no funding, and whatever is booked is never more than what has changed. That errs for a moment, and never
for long: what is booked is the whole of what is unexplained since the start, not a sum of differences.

The exchange caps funding. What comes in beyond that is money paid in: no profit, and no new allowance to lose. What
goes out beyond it counts as lost, for it may be: a withdrawal looks like a liquidation. It is told, for a fee that is
not booked looks like that too, and stays among the funding in what made the profit.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.account import FILL_REPORT_SECONDS_MAX
from maker.desk.units import exact

READ_SECONDS: Final = 3.0  # how long ago a balance can have been read when its answer comes: as long as a poll may take
STEPS_MAX: Final = 1_000  # states of our books within such a time: 40 a second, through a stream's whole silence
SPECK: Final = Decimal("1e-9")  # quote: average entry prices are rounded; no funding is as small
# Of the exchange, documented: so much of a position's value, so often. Its listing may say otherwise by then: twice.
FUNDING_RATE_MAX: Final = Decimal("0.0025")
FUNDING_SECONDS: Final = 300.0
FUNDING_GENEROSITY: Final = 2


@attrs.frozen
class Step:
    """What fills explain of the balance's change since the start, from a moment on."""

    at: float  # our clock
    explained: Decimal | None  # quote; None: a fill and its position have not both been told


@attrs.frozen
class Waiting:
    """A balance whose moment is not over yet."""

    balance: Decimal
    read_at: float  # our clock: its answer came


@attrs.define
class Balances:
    """What may be made of the balances of one account."""

    steps: deque[Step] = attrs.field(factory=lambda: deque(maxlen=STEPS_MAX))
    waiting: Waiting | None = None  # one at a time: the next poll comes soon enough
    last: tuple[Decimal, Decimal] | None = None  # the range of the read before: received since the start, quote
    agreed_at: float = 0.0  # our clock: a read showed what is booked
    held: Decimal = Decimal(0)  # quote: what positions are worth, either side
    most_held: Decimal = Decimal(0)  # ... at most, since then

    def explain(self, explained: Decimal | None, held: Decimal, now: float) -> None:
        """Take what fills explain from now on, and what the positions are worth; after whatever may change either."""
        self.held, self.most_held = held, max(self.most_held, held)
        if not self.steps or self.steps[-1].explained != explained:
            self.steps.append(Step(now, explained))
        needed = (now if self.waiting is None else self.waiting.read_at) - READ_SECONDS
        while len(self.steps) > 1 and self.steps[1].at <= needed:
            self.steps.popleft()

    def read(self, balance: Decimal, now: float) -> None:
        """Take a balance read in passing."""
        if self.waiting is None:
            self.waiting = Waiting(balance, now)

    def due(self, now: float) -> bool:
        """Whether a balance has waited as long as it must."""
        return self.waiting is not None and now >= self.waiting.read_at + FILL_REPORT_SECONDS_MAX

    def read_whole(self, received: Decimal) -> None:
        """A whole account read was booked: what was read in passing before it says nothing more."""
        self.waiting, self.last = None, (received, received)

    def forget(self) -> None:
        """Drop the balance that waits: what was traded meanwhile is not known."""
        self.waiting = None

    def settle(self, start: Decimal, received: Decimal) -> Decimal | None:
        """What was received since the start, by the balance that waited; None where nothing new is to be booked."""
        waiting, self.waiting = self.waiting, None
        assert waiting is not None, "asked before a balance was due"
        found = self.range_of(waiting, start)
        if found is None:
            return None
        last, self.last = self.last, found
        if abs(nearest(received, *found) - received) <= SPECK:
            self.agree(waiting.read_at - READ_SECONDS)
            return None
        if last is None:
            return None
        confirmed = nearest(received, min(found[0], last[0]), max(found[1], last[1]))
        return None if abs(confirmed - received) <= SPECK else confirmed

    def range_of(self, waiting: Waiting, start: Decimal) -> tuple[Decimal, Decimal] | None:
        """What a balance leaves unexplained, least and most; None where one of its moments is not explained."""
        since = waiting.read_at - READ_SECONDS
        ends = [step.at for step in self.steps][1:]
        within = [step for step, end in zip(self.steps, [*ends, None], strict=True) if end is None or end > since]
        figures: list[Decimal] = []
        with exact():
            for step in within:
                if step.explained is None:
                    return None
                figures.append(waiting.balance - start - step.explained)
        return (min(figures), max(figures)) if figures else None

    def agree(self, at: float) -> None:
        """A read showed what is booked: from here on funding may come anew."""
        self.agreed_at, self.most_held = at, self.held

    def transferred(self, change: Decimal, now: float) -> Decimal:
        """A change of what was received that no funding can be, or 0; negative: it went out. Whole: how much funding is
        in it is not known.
        """
        periods = int(max(0.0, now - self.agreed_at) // FUNDING_SECONDS) + 1
        with exact():
            most = FUNDING_GENEROSITY * FUNDING_RATE_MAX * periods * self.most_held
        return change if abs(change) > most else Decimal(0)


def nearest(value: Decimal, least: Decimal, most: Decimal) -> Decimal:
    """Of a range, the nearest to a value."""
    return max(least, min(most, value))
