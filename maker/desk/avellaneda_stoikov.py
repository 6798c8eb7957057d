"""Avellaneda and Stoikov 2008 (Quantitative Finance 8(3):217-224): one reservation price, one spread, a horizon.

Fair value moves as `dS = sigma dW`, a quote at distance delta is hit with intensity `A exp(-k delta)`, and whoever
quotes dislikes risk by gamma (exponential utility). With tau seconds left, inventory q and quotes of size Delta:

    reservation  r = s - q gamma sigma^2 tau
    spread       gamma Delta sigma^2 tau + 2 / (gamma Delta) ln(1 + gamma Delta / k)      half of it either side of r

The paper trades one unit at a time: Delta = 1. With Delta it is the same with amounts counted in quotes: one quote's
worth of risk is gamma Delta. (Open implementations differ from the paper: sigma for sigma^2, q as a ratio, tau held
still. Not this one; its tables are reproduced by `price table`.)

At the end of a finite horizon the skew is gone, so the position is carried at no price: right for a session that ends,
wrong for one that never does. There a rolling horizon keeps tau at `horizon_seconds` for good.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from maker.desk.spread import Situation, Spread, above_zero

RISK_AVERSION_FIX: Final = "Small is bold: try what makes gamma * sigma^2 * horizon * inventory a few basis points."


@attrs.frozen
class AvellanedaStoikov:
    """The model; A of the situation plays no part in it."""

    risk_aversion: float  # gamma, per quote currency
    horizon_seconds: float  # tau of a rolling horizon; a finite one counts down in the situation's seconds_left
    rolling: bool = True

    def __attrs_post_init__(self) -> None:
        above_zero(self, "risk_aversion", RISK_AVERSION_FIX)
        above_zero(self, "horizon_seconds", "Try 60.")

    def spread(self, situation: Situation) -> Spread:
        """Compute equations 29 and 30 of the paper; both sides are always quoted."""
        seconds = self.horizon_seconds if self.rolling else situation.seconds_left
        carried = self.risk_aversion * situation.volatility**2 * seconds  # quote currency per base unit squared
        half = carried * situation.size / 2 + fill_margin(self.risk_aversion, situation.size, situation.fill_decay)
        return Spread(situation.fair - situation.inventory * carried, half, half)


def fill_margin(risk_aversion: float, size: float, fill_decay: float) -> float:
    """Compute `1 / (gamma Delta) ln(1 + gamma Delta / k)`: what each side asks without inventory or time."""
    boldness = risk_aversion * size / fill_decay
    return math.log1p(boldness) / boldness / fill_decay  # 1 / k for gamma towards 0, exactly
