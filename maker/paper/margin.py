"""Portfolio margin by scenarios: the worst loss of positions and of whatever open orders may still become.

For each underlying the price moves by eight shifts, in a calm and in a stressed volatility regime: sixteen
scenarios. In each, every market of that underlying loses

    loss(s) = -s·mark·position + max(0, -s·mark·bids + entry_bids) + max(0, s·mark·asks + entry_asks)

where `bids` and `asks` are the sizes of its open orders and `entry` what filling them at their prices would lose
against the mark at once (never negative). Orders on a side are taken as filled where that makes the loss worse. The
initial margin of an underlying is its worst scenario, never below zero, and underlyings add up: nothing nets between
them. Markets of one underlying net, scenario by scenario.

OCX documents "16 price/vol scenarios per underlying" and no numbers: shifts, regimes and the maintenance fraction
are ours (ASSUMED). Perpetuals and futures have no volatility of their own, so a regime only scales the shifts.
Isolated and cross margin are reckoned alike. Fees are not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import attrs

from maker.paper.money import ZERO

PRICE_SHIFTS: Final = tuple(Decimal(shift) for shift in ("-4", "-3", "-2", "-1", "1", "2", "3", "4"))  # per cent
REGIMES: Final = (Decimal("0.01"), Decimal("0.015"))  # calm, stressed: what one unit of shift is, as a fraction
SCENARIOS: Final = tuple(shift * regime for regime in REGIMES for shift in PRICE_SHIFTS)
# A loss is convex in the move, a sum of losses too: none in between is worse than the worse of these two.
OUTERMOST: Final = (min(SCENARIOS), max(SCENARIOS))
MAINTENANCE_FRACTION: Final = Decimal("0.5")  # of the positions' initial margin


@attrs.define
class Exposure:
    """What one user has at stake in one market."""

    underlying: str
    mark: Decimal
    position: Decimal = ZERO  # signed base units
    bids: Decimal = ZERO  # base units
    asks: Decimal = ZERO
    entry_bids: Decimal = ZERO  # quote units: what filling all bids would lose against the mark
    entry_asks: Decimal = ZERO

    def add_order(self, side: str, price: Decimal, quantity: Decimal) -> None:
        """Count an open order that may increase the position."""
        if side == "buy":
            self.bids += quantity
            self.entry_bids += max(ZERO, price - self.mark) * quantity
        else:
            self.asks += quantity
            self.entry_asks += max(ZERO, self.mark - price) * quantity

    def loss(self, scenario: Decimal) -> Decimal:
        """Return the loss in one scenario, in quote units; negative: a gain."""
        move = scenario * self.mark
        lost = -move * self.position
        bids = self.entry_bids - move * self.bids
        asks = self.entry_asks + move * self.asks
        return lost + max(ZERO, bids) + max(ZERO, asks)


def initial_margin(exposures: Iterable[Exposure]) -> Decimal:
    """Return what equity must cover, in quote units."""
    underlyings: dict[str, list[Exposure]] = {}
    for exposure in exposures:
        underlyings.setdefault(exposure.underlying, []).append(exposure)
    total = ZERO
    for group in underlyings.values():
        total += max(ZERO, *(sum((each.loss(scenario) for each in group), ZERO) for scenario in OUTERMOST))
    return total


def maintenance_margin(exposures: Iterable[Exposure]) -> Decimal:
    """Return the equity below which positions are liquidated, in quote units; open orders do not count."""
    positions = [Exposure(underlying=each.underlying, mark=each.mark, position=each.position) for each in exposures]
    return initial_margin(positions) * MAINTENANCE_FRACTION
