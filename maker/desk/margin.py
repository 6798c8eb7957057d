"""Margin: how much of the account is free, and what that allows.

*Headroom* is the share of equity that would be free if nothing of ours rested: our quotes can be pulled in a moment,
positions cannot. The exchange states what is free with our quotes in it, and not by which rule, so it is estimated
twice and the smaller estimate counts:

    available + margin of what rests        too large where we take margin to cost more than it does
    equity - margin of our positions        too large where we take it to cost less

Both use one ratio of margin to value, learnt from previews or else configured. Whichever way that ratio is wrong, one
of the two is on the safe side, so headroom is never overstated for it.

Steps go downward at once and upward only with something to spare (`RELEASE`), so that they do not flap: *warn*, a note;
*shrink*, each side's whole size falls in a line, outer levels first, to nothing at *reduce only*, where exits alone are
left; *flatten* ends the run, and its row in `deadman` lets the configuration say that positions are closed then.

The gate: what is free beyond a reserve bounds the worst case of the whole account. Of one market only one side can be
filled in one movement of its price, so the larger side counts; markets add up, for nothing says that they net.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs

from maker.desk.account import MarketAccount
from maker.desk.ladder import Ladder
from maker.desk.units import Side

RELEASE: Final = Decimal("1.1")  # of a step's ratio: headroom above this leaves the step
FLATTEN_READINGS: Final = 2  # in a row: nobody is sold out for one figure that a site got wrong
FACTOR_PARTS: Final = 64  # sizes change in steps of this part: no reading of the balance moves a quote for nothing
BALANCE_READ_SECONDS_MAX: Final = 13.0  # between two balances while all is well: asked each 10 s, answered within 3


class FlattenPolicy(enum.Enum):
    """What becomes of positions after a loss limit or the flatten step stopped the run."""

    NEVER = "never"  # they stay, for a person
    HALT = "halt"  # closed on the way out, once the exchange was read back empty


@attrs.frozen
class MarginSettings:
    """Of the whole account, in [limits]; the ratios are of equity, descending from warn to flatten."""

    headroom_warn_ratio: Decimal
    headroom_shrink_ratio: Decimal  # below: sizes shrink ...
    headroom_reduce_only_ratio: Decimal  # ... to nothing here; below: exits alone
    headroom_flatten_ratio: Decimal  # below, twice in a row: pull, and stop for a person
    margin_reserve_ratio: Decimal  # never spent on quotes
    margin_ratio: Decimal  # initial margin to value of an order, until a preview teaches it
    balance_stale_seconds_max: float  # older than this, nothing is added
    preview_seconds: float  # between two previews of a market's innermost orders; 0: never
    flatten: FlattenPolicy


class Step(enum.IntEnum):
    """How short margin is."""

    AMPLE = 0
    WARN = 1
    SHRINK = 2
    REDUCE_ONLY = 3
    FLATTEN = 4


@attrs.frozen
class Stake:
    """One market's part in the account's margin when its balance was read."""

    lot_margin: Decimal  # quote: what a lot takes
    position_lots: int  # unsigned; of two statements the smaller
    adding_lots: int  # by which the worst position is larger if what rests fills


@attrs.frozen
class Reading:
    """The account's money as the exchange stated it; quote currency."""

    available: Decimal
    equity: Decimal
    stakes: Mapping[str, Stake]
    at: float  # our clock

    @property
    def headroom(self) -> Decimal:
        """Share of equity that is free without our quotes, at most 1; below 0 when positions alone take too much."""
        if self.equity <= 0:
            return Decimal(0)
        held = sum((stake.lot_margin * stake.adding_lots for stake in self.stakes.values()), Decimal(0))
        standing = sum((stake.lot_margin * stake.position_lots for stake in self.stakes.values()), Decimal(0))
        return min(Decimal(1), min(self.available + held, self.equity - standing) / self.equity)


@attrs.frozen
class Allowed:
    """What margin allows one market now."""

    factor: Fraction = Fraction(1)  # of a side's whole size
    lots_max: int | None = None  # of the worst position, unsigned; None: not bounded
    reducing_only: bool = False
    why: str = ""  # reducing only: the sentence for a market that has nothing to reduce


EVERYTHING: Final = Allowed()


def step_of(headroom: Decimal, before: Step, settings: MarginSettings) -> Step:
    """The step at this headroom; a step that holds is left only above `RELEASE` times its ratio."""
    ratios = {
        Step.WARN: settings.headroom_warn_ratio,
        Step.SHRINK: settings.headroom_shrink_ratio,
        Step.REDUCE_ONLY: settings.headroom_reduce_only_ratio,
        Step.FLATTEN: settings.headroom_flatten_ratio,
    }
    found = Step.AMPLE
    for step, ratio in ratios.items():
        if headroom < (ratio * RELEASE if before >= step else ratio):
            found = step
    return found


def size_factor(headroom: Decimal, settings: MarginSettings) -> Fraction:
    """How much of its size a side keeps: 1 from the shrink step up, in a line down to 0 at the reduce-only step."""
    nothing, whole = Fraction(settings.headroom_reduce_only_ratio), Fraction(settings.headroom_shrink_ratio)
    part = (Fraction(headroom) - nothing) / (whole - nothing)
    return Fraction(int(max(Fraction(0), min(Fraction(1), part)) * FACTOR_PARTS), FACTOR_PARTS)


@attrs.define
class Margin:
    """The account's margin: the last reading, the step it led to, and what follows for each market."""

    settings: MarginSettings
    reading: Reading | None = None
    headroom: Decimal = Decimal(0)  # of the reading
    step: Step = Step.AMPLE
    factor: Fraction = Fraction(1)
    low_readings: int = 0  # in a row, below the flatten step
    read_due: bool = False  # what we know is in doubt: read the balance at the next turn

    def read(self, reading: Reading) -> list[str]:
        """Take a reading. Returns sentences for the log when the step is another one."""
        self.reading, self.read_due = reading, False
        headroom, before = reading.headroom, self.step
        self.headroom = headroom
        step = step_of(headroom, before, self.settings)
        self.low_readings = self.low_readings + 1 if step is Step.FLATTEN else 0
        if step is Step.FLATTEN and self.low_readings < FLATTEN_READINGS:
            step, self.read_due = Step.REDUCE_ONLY, True
        self.step = step
        self.factor = Fraction(0) if step >= Step.REDUCE_ONLY else size_factor(headroom, self.settings)
        return [] if step is before else [f"{self.sentence}: {CONSEQUENCE[step]}"]

    def take(self, settings: MarginSettings) -> list[str]:
        """Take other settings, and judge the last reading by them: it counts as no further one. Returns as `read`."""
        self.settings = settings
        if self.reading is None:
            return []
        self.low_readings = max(0, self.low_readings - 1)
        return self.read(self.reading)

    @property
    def sentence(self) -> str:
        return f"margin headroom is {self.headroom * 100:.1f} % of equity"

    def refused(self) -> None:
        """The exchange refused margin that we took to be there."""
        self.read_due = True

    def need(self, market_id: str, lot_margin: Decimal, worst_lots: int) -> Decimal:
        """Margin in quote that a market may come to take beyond its position as read; `worst_lots` unsigned."""
        stake = None if self.reading is None else self.reading.stakes.get(market_id)
        return lot_margin * max(0, worst_lots - (0 if stake is None else stake.position_lots))

    def allowed(self, market_id: str, lot_margin: Decimal, needs_of_others: Decimal, now: float) -> Allowed:
        """What one market may do. `needs_of_others`: the `need` of every other market, summed, in quote."""
        reading = self.reading
        if reading is None or now - reading.at > self.settings.balance_stale_seconds_max:
            age = "" if reading is None else f" for {now - reading.at:.0f} s"
            why = f"the balance has not been read{age}: only what reduces a position is quoted"
            return Allowed(Fraction(0), reducing_only=True, why=why)
        if self.step >= Step.REDUCE_ONLY:
            why = f"{self.sentence}: {CONSEQUENCE[Step.REDUCE_ONLY]}"
            return Allowed(Fraction(0), reducing_only=True, why=why)
        stake = reading.stakes.get(market_id)
        free = reading.equity * (self.headroom - self.settings.margin_reserve_ratio) - needs_of_others
        lots_max = (0 if stake is None else stake.position_lots) + whole_lots(free, lot_margin)
        return Allowed(self.factor, lots_max)

    @property
    def lost(self) -> str:
        """Why the run must end for want of margin; empty while it need not."""
        if self.step < Step.FLATTEN:
            return ""
        return f"{self.headroom * 100:.1f} % of equity is free, headroom_flatten_ratio is " + (
            f"{self.settings.headroom_flatten_ratio * 100:.1f} %"
        )


CONSEQUENCE: Final = {
    Step.AMPLE: "sizes are whole",
    Step.WARN: "below headroom_warn_ratio",
    Step.SHRINK: "sizes shrink",
    Step.REDUCE_ONLY: "only what reduces a position is quoted",
    Step.FLATTEN: "quotes are pulled for good",
}


def whole_lots(free: Decimal, lot_margin: Decimal) -> int:
    """Lots whose margin fits into what is free, exactly; 0 where a lot's margin is not known."""
    if free <= 0 or lot_margin <= 0:
        return 0
    (free_n, free_d), (lot_n, lot_d) = free.as_integer_ratio(), lot_margin.as_integer_ratio()
    return free_n * lot_d // (free_d * lot_n)


def worst_lots(account: MarketAccount) -> int:
    """Largest position, unsigned, that one side can come to when all of it fills."""
    return max(0, *(side.sign * account.worst_position_lots(side) for side in Side))


def stake(account: MarketAccount, lot_margin: Decimal) -> Stake:
    """A market's part in the reading that has just come. What was on its way when it was made is taken not to rest."""
    position = account.position_lots
    counted = [order for order in account.resting.values() if not order.reduce_only]  # those others take no margin
    worst = max(side.sign * position + sum(one.lots for one in counted if one.side is side) for side in Side)
    return Stake(lot_margin, min(abs(position), abs(account.position_summed_lots)), max(0, worst - abs(position)))


def side_room(account: MarketAccount, side: Side, allowed: Allowed, ladder_lots: int, room_lots: int) -> int:
    """Lots that one side's new ladder may have, of `room_lots` that the position limit leaves it.

    `ladder_lots` is the side's whole size. What brings the position nearer to zero is not shrunk. Like the position
    limit, each ladder takes at most half of what is left, so that it and the one that replaces it both fit.
    """
    reducing = max(0, -side.sign * account.position_lots)
    if allowed.reducing_only:
        return min(room_lots, reducing)
    if allowed.factor < 1:
        room_lots = min(room_lots, reducing + int(ladder_lots * allowed.factor))
    if allowed.lots_max is None:
        return room_lots
    positions = account.position_lots, account.position_summed_lots
    lots_max = max(allowed.lots_max, *(abs(lots) for lots in positions))
    left = lots_max - max(side.sign * lots for lots in positions)
    return max(0, min(room_lots, left - account.may_fill_lots(side), left // 2))


def exits(ladder: Ladder, account: MarketAccount) -> Ladder:
    """The reducing side of a ladder alone, reduce-only; empty without a position."""
    if not account.position_lots:
        return Ladder((), ())
    side = Side.SELL if account.position_lots > 0 else Side.BUY
    return Ladder(ladder.bids if side is Side.BUY else (), ladder.asks if side is Side.SELL else (), reduce_only=side)


def refusal(ladder: Ladder, account: MarketAccount, allowed: Allowed) -> str:
    """Why a ladder must not be sent for want of margin; empty when it may. Trusts nothing that built the ladder."""
    for side in Side:
        lots = ladder.lots(side)
        if not lots or ladder.reduce_only is side:
            continue
        if allowed.reducing_only:
            return "only reduce-only orders may be sent"
        if allowed.lots_max is None:
            continue
        worst = side.sign * account.worst_position_lots(side) + lots
        lots_max = max(allowed.lots_max, abs(account.position_lots), abs(account.position_summed_lots))
        if worst > lots_max:
            return f"worst case {worst} lots on the {side.value} side, margin is there for {lots_max}"
    return ""
