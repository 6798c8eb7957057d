"""What previews teach of one market: how much margin an order takes, and what fee it pays.

A preview is asked for the innermost order of each side that adds to the position: now and then, and soon after
something that changes its answer (the position turned or moved far, margin was refused). Nothing waits for it: without
previews margin is reckoned by the configured ratio. Fees are read again with the listing too, which says less of one
order than a preview of it does: for as long as previews are answered, they alone tell.

Margin required is what an order takes *beside* all that rests. Where it nets against that, it takes less than it would
alone, or nothing: of the two sides the larger ratio is the one that tells. A fee that differs from the one before may
not be in force yet, or not any more: until it was heard twice the edge uses the worse of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.account import MarketAccount
from maker.desk.events import FeesRead, Liquidity, PreviewOrder, PreviewRead
from maker.desk.ladder import Ladder
from maker.desk.units import Side

PREVIEW_GAP_SECONDS: Final = 5.0  # between two askings, whatever changes
MOVED_RATIO: Final = Decimal("0.25")  # of position_limit: a position that moved this far has another margin
TEACHES_INTERVALS: Final = 3  # an answer older than this many intervals teaches nothing any more


@attrs.define
class Terms:
    """Margin and fees of one market as last previewed."""

    ratios: dict[Side, tuple[Decimal, float]] = attrs.field(factory=dict)  # margin to value, and our clock
    fees: dict[Liquidity, tuple[Decimal, Decimal]] = attrs.field(factory=dict)  # basis points: as heard before, and now
    previewed_at: dict[Liquidity, float] = attrs.field(factory=dict)  # our clock: when a preview last told its fee
    volume_30d: Decimal | None = None  # quote, of the account
    asked_at: float | None = None
    asked_position_lots: int = 0
    asked_again: bool = False  # something happened that changes the answer

    def due(self, position_lots: int, limit_lots: int, seconds: float, now: float) -> bool:
        """Whether to ask now. `seconds`: the interval; 0 means never."""
        if seconds <= 0:
            return False
        if self.asked_at is None:
            return True
        age = now - self.asked_at
        if age < PREVIEW_GAP_SECONDS:
            return False
        before = self.asked_position_lots
        turned = (before > 0, before < 0) != (position_lots > 0, position_lots < 0)
        moved = abs(position_lots - before) >= limit_lots * MOVED_RATIO
        return age >= seconds or self.asked_again or turned or moved

    def ask(self, account: MarketAccount, quoted: Ladder, now: float) -> tuple[PreviewOrder, ...]:
        """The orders to ask about, noting that they were: the innermost of each side, unless it only reduces."""
        self.asked_at, self.asked_position_lots, self.asked_again = now, account.position_lots, False
        return tuple(
            PreviewOrder(account.spec.market_id, side, level.ticks, level.lots)
            for side in Side
            for level in quoted.side(side)[:1]
            if level.lots > -side.sign * account.position_lots
        )

    def learn(self, read: PreviewRead, listed: Decimal, now: float) -> str:
        """Take an answer; `listed` as for `fee_bps`. Returns a sentence for the log when the fee is another one.

        A margin that is larger than the order's own value makes no sense and teaches nothing.
        """
        if 0 < read.margin_required <= read.notional:
            self.ratios[read.side] = (read.margin_required / read.notional, now)
        elif read.margin_required == 0:
            self.ratios.pop(read.side, None)
        self.volume_30d = read.volume_30d
        self.previewed_at[read.liquidity] = now
        changed = self.heard_fee(read.liquidity, read.fee_bps, listed)
        volume = "" if read.volume_30d is None else f"; volume of 30 days {read.volume_30d:.0f}"
        return f"{read.market_id}: {changed}{volume}" if changed else ""

    def read(self, read: FeesRead, listed: Mapping[Liquidity, Decimal], seconds: float, now: float) -> str:
        """Take fees read with the listing; `seconds` as for `due`. Returns what changed as a sentence, or empty."""
        stated = {Liquidity.MAKER: read.maker_fee_bps, Liquidity.TAKER: read.taker_fee_bps}
        asked = {one: now - self.previewed_at.get(one, -math.inf) <= TEACHES_INTERVALS * seconds for one in stated}
        changed = [self.heard_fee(one, fee, listed[one]) for one, fee in stated.items() if not asked[one]]
        told = "; ".join(one for one in changed if one)
        return f"{read.market_id}: {told}" if told else ""

    def heard_fee(self, liquidity: Liquidity, fee_bps: Decimal, listed: Decimal) -> str:
        """Remember a fee and the one before it. Returns what changed, empty if nothing did."""
        before = self.fee_bps(liquidity, listed)
        self.fees[liquidity] = (before, fee_bps)
        return "" if before == fee_bps else f"the {liquidity.value} fee is now {fee_bps} bp, it was {before} bp"

    def margin_ratio(self, otherwise: Decimal, seconds: float, now: float) -> Decimal:
        """Initial margin to value of an order: the larger of what the sides lately taught, else the configured one."""
        taught = [ratio for ratio, at in self.ratios.values() if now - at <= TEACHES_INTERVALS * seconds]
        return max(taught, default=otherwise)

    def fee_bps(self, liquidity: Liquidity, listed: Decimal) -> Decimal:
        """What a fill costs now, in basis points of its value; `listed`: what the market's listing says."""
        heard = self.fees.get(liquidity)
        return listed if heard is None else heard[1]

    def worst_fee_bps(self, liquidity: Liquidity, listed: Decimal) -> Decimal:
        """The worse of the fee before and the fee now, for the edge."""
        heard = self.fees.get(liquidity)
        return listed if heard is None else max(heard)
