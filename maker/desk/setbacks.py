"""How one market answers what goes wrong with its ladders: it waits, and asks for less.

A failure makes it wait twice as long as the one before, and so does a ladder of which nothing is accepted. A refusal
for want of margin halves the next ladder, three in a row hold the market, and its size comes back slowly (S11). Where a
level may have been too small, the next ladders have none as small, for a while. What rests meanwhile rests on: a pull
is the caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Final

import attrs

from maker.desk.ladder import Ladder
from maker.desk.units import Side

MARKET_HOLD_SECONDS: Final = 30.0  # a market the exchange halted, or refuses repeatedly, for margin or at all
PLACE_FAILURES_MAX: Final = 3  # in a row, then what rests is pulled
FAILURE_BACKOFF_SECONDS: Final = 0.5  # doubled with each failure in a row
LEAST_SECONDS: Final = 60.0  # orders of a size that may be too small are left out; then tried, and twice as long again
LEAST_SECONDS_MAX: Final = 3600.0
MARGIN_REFUSALS_MAX: Final = 3  # in a row, then the market is held
MARGIN_STEP: Final = Fraction(1, 2)  # each refusal leaves this much of the size
MARGIN_RECOVERY_SECONDS: Final = 60.0  # without a refusal, then the size doubles back towards whole


def backoff_seconds(in_row: int) -> float:
    """How long to wait after so many failures in a row."""
    return float(min(MARKET_HOLD_SECONDS, FAILURE_BACKOFF_SECONDS * 2 ** min(in_row, 10)))


@attrs.define
class Refusals:
    """How one market answers INSUFFICIENT_MARGIN: smaller each time, held after three in a row, slowly back (S11)."""

    in_row: int = 0
    at: float = 0.0  # our clock: of the last one, or of the last step back
    size_factor: Fraction = Fraction(1)
    lots: Mapping[Side, int] | None = None  # of the ladder that was refused; None: one was accepted since

    def refused(self, ladder: Ladder, now: float) -> bool:
        """De-risk: the next ladder is smaller. True when it was one too many in a row.

        Smaller than this one: where room has grown since, a smaller share of it may be more than was refused.
        """
        self.in_row += 1
        self.at = now
        self.size_factor *= MARGIN_STEP
        self.lots = {side: ladder.lots(side) for side in Side}
        if self.in_row < MARGIN_REFUSALS_MAX:
            return False
        self.in_row = 0
        return True

    def accepted(self, now: float) -> None:
        """A ladder was accepted."""
        self.in_row, self.lots = 0, None
        self.recover(now)

    def recover(self, now: float) -> None:
        """After a while without refusals the size grows back a step."""
        if self.size_factor < 1 and now - self.at > MARGIN_RECOVERY_SECONDS:
            self.size_factor = min(Fraction(1), self.size_factor / MARGIN_STEP)
            self.at, self.lots = now, None

    def room(self, side: Side, room_lots: int) -> int:
        """Lots a side may have before `size_factor` shrinks them to at most a step of what was refused."""
        return room_lots if self.lots is None else min(room_lots, int(self.lots[side] * MARGIN_STEP / self.size_factor))


@attrs.define
class LeastSize:
    """The least size of an order, learned: a listing need not state one, and one order too small costs its ladder.

    A size that was accepted is large enough, and so is a whole level's: who configured that one answers for it.
    """

    accepted: int | None = None  # lots: the smallest that was accepted
    learned: int = 0  # lots
    until: float = 0.0  # our clock: nothing smaller is sent before
    seconds: float = LEAST_SECONDS  # how long the next one will be believed: another reason may pass

    def lots(self, now: float) -> int:
        """Nothing smaller is sent; 0: nothing is known."""
        return self.learned if now < self.until else 0

    def placed(self, ladder: Ladder) -> None:
        """All of a ladder was accepted. Of exits that proves nothing: an exchange may let the last of a position go."""
        if not ladder.reduce_only:
            sizes = ladder.sizes if self.accepted is None else (self.accepted, *ladder.sizes)
            self.accepted = min(sizes, default=None)

    def refused(self, smallest_lots: int, whole_lots: int, now: float) -> bool:
        """Orders were refused for a reason we do not know. True when it may be the size of the smallest.

        `whole_lots` is what is configured for a level. Then the next ladder has none as small: first none of less than
        twice the size, then none that is not known to be large enough.
        """
        enough = whole_lots if self.accepted is None else min(whole_lots, self.accepted)
        if smallest_lots >= enough:
            return False
        self.learned = enough if self.lots(now) else min(enough, 2 * smallest_lots)
        self.until, self.seconds = now + self.seconds, min(2 * self.seconds, LEAST_SECONDS_MAX)
        return True


@attrs.define
class Setbacks:
    """One market's."""

    hold_until: float = 0.0  # our clock: nothing new is quoted before
    hold_sentence: str = ""
    failures: int = 0  # in a row
    partly: int = 0  # ladders in a row of which levels were refused
    refusals: Refusals = attrs.field(factory=Refusals)  # of its margin
    least: LeastSize = attrs.field(factory=LeastSize)

    def hold(self, now: float, sentence: str, seconds: float = MARKET_HOLD_SECONDS) -> None:
        """Quote nothing new here for a while, and never for less than is left of another; what rests stays."""
        if now + seconds >= self.hold_until:
            self.hold_until = now + seconds
            self.hold_sentence = sentence

    def held(self, now: float) -> str:
        """Why nothing new is quoted, as a sentence; empty when something may be."""
        if now < self.hold_until:
            return f"{self.hold_sentence}; trying again in {self.hold_until - now:.0f} s"
        return ""

    def failed(self, detail: str, now: float, *, refused: bool = False) -> bool:
        """A ladder failed: back off. True when it was one too many in a row.

        What was refused is refused again until something changes: the pauses go on to grow. A wire heals at once.
        """
        self.failures += 1
        self.hold(now, f"its last ladder failed ({detail})", backoff_seconds(self.failures))
        if self.failures % PLACE_FAILURES_MAX:
            return False
        if not refused:
            self.failures = 0
        return True

    def levels_refused(self, codes: Collection[str], now: float, *, nothing_rests: bool) -> None:
        """Levels of a ladder were refused. Where nothing of it rests, the next one waits, longer each time."""
        self.partly += 1
        if nothing_rests and self.partly > 1:
            sentence = f"all of its last ladder was refused ({', '.join(sorted(codes))})"
            self.hold(now, sentence, backoff_seconds(self.partly - 1))

    def margin_refused(self, ladder: Ladder, now: float) -> None:
        """De-risk: the next ladder is smaller; after one too many in a row there is none for a while."""
        if self.refusals.refused(ladder, now):
            self.hold(now, "its margin was refused repeatedly")
