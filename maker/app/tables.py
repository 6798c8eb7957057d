"""The tables of Avellaneda and Stoikov 2008 again (Quantitative Finance 8(3), pp. 222-223), with the house's own model.

s = 100, T = 1, sigma = 2, dt = 0.005, q0 = 0, k = 1.5, A = 140; gamma 0.1 in table 1, 0.01 in table 2, 1 in table 3. At
each step either quote is hit with probability lambda dt, both may be; then the mid moves by sigma sqrt(dt) up or down.
The *inventory* strategy quotes what the model says; the *symmetric* one the average spread of the first, around the
mid: same width, no skew. They live through the same prices with fills of their own. Profit is cash plus the inventory
at the last mid.

lambda dt is the paper's, and here up to 0.7 and beyond: `1 - exp(-lambda dt)`, right as it is, gives other tables.
"""

from __future__ import annotations

import math
import random
import statistics
from typing import Final

import attrs

from maker.desk.avellaneda_stoikov import AvellanedaStoikov
from maker.desk.spread import Situation, SpreadModel

MID: Final = 100.0
SECONDS: Final = 1.0  # T
STEP_SECONDS: Final = 0.005  # dt
STEPS: Final = 200
VOLATILITY: Final = 2.0
FILL_DECAY: Final = 1.5  # k
FILL_RATE: Final = 140.0  # A
INVENTORY_MAX: Final = 1000.0  # the paper knows no limit, and 200 steps cannot reach this one
# By gamma: average spread, then of either strategy profit's mean and deviation and final inventory's. As published.
PUBLISHED: Final = {
    0.1: (1.49, (65.0, 6.6, 0.08, 2.9), (68.4, 12.7, 0.26, 8.4)),
    0.01: (1.35, (68.6, 8.7, 0.12, 5.1), (68.8, 12.8, 0.09, 8.7)),
    1.0: (3.02, (31.4, 5.0, 0.02, 1.7), (44.0, 11.0, 0.00, 5.1)),
}


@attrs.frozen
class Row:
    """One strategy over all paths; quote currency and units of base."""

    average_spread: float
    profit_mean: float
    profit_deviation: float
    final_inventory_mean: float
    final_inventory_deviation: float


@attrs.frozen
class Table:
    inventory: Row
    symmetric: Row


@attrs.define
class Trader:
    """One strategy on one path."""

    cash: float = 0.0
    inventory: int = 0

    def step(self, mid: float, below: float, above: float, chance: random.Random) -> None:
        """Quote at these distances for one step and take what comes."""
        if chance.random() < FILL_RATE * math.exp(-FILL_DECAY * below) * STEP_SECONDS:
            self.inventory += 1
            self.cash -= mid - below
        if chance.random() < FILL_RATE * math.exp(-FILL_DECAY * above) * STEP_SECONDS:
            self.inventory -= 1
            self.cash += mid + above


def simulate(gamma: float, paths: int, seed: int) -> Table:
    """Walk `paths` prices with both strategies: five thousand paths a second. The same words give the same table."""
    chance = random.Random(seed)
    quotes = Quotes(AvellanedaStoikov(risk_aversion=gamma, horizon_seconds=SECONDS, rolling=False))
    average = sum(sum(quotes.offsets(step, 0)) for step in range(STEPS)) / STEPS  # the same at any inventory
    move = VOLATILITY * math.sqrt(STEP_SECONDS)
    ends: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])
    for _ in range(paths):
        mid, skewed, even = MID, Trader(), Trader()
        for step in range(STEPS):
            skewed.step(mid, *quotes.offsets(step, skewed.inventory), chance)
            even.step(mid, average / 2, average / 2, chance)
            mid += move if chance.random() < 0.5 else -move
        for found, trader in zip(ends, (skewed, even), strict=True):
            found.append((trader.cash + trader.inventory * mid, trader.inventory))
    inventory, symmetric = (row(average, found) for found in ends)
    return Table(inventory, symmetric)


def row(average_spread: float, ends: list[tuple[float, int]]) -> Row:
    """Sum up the paths' profits and final inventories."""
    profits, inventories = zip(*ends, strict=True)
    return Row(
        average_spread=average_spread,
        profit_mean=statistics.fmean(profits),
        profit_deviation=statistics.stdev(profits),
        final_inventory_mean=statistics.fmean(inventories),
        final_inventory_deviation=statistics.stdev(inventories),
    )


@attrs.define
class Quotes:
    """A model's offsets by step and inventory, asked for once each: they do not depend on the price."""

    model: SpreadModel
    known: dict[tuple[int, int], tuple[float, float]] = attrs.field(factory=dict)

    def offsets(self, step: int, inventory: int) -> tuple[float, float]:
        """Return the distances of bid and ask from the mid, the first below it, the second above."""
        found = self.known.get((step, inventory))
        if found is None:
            spread = self.model.spread(
                Situation(
                    fair=MID,
                    inventory=float(inventory),
                    volatility=VOLATILITY,
                    size=1.0,
                    inventory_max=INVENTORY_MAX,
                    seconds_left=SECONDS - step * STEP_SECONDS,
                    fill_rate=FILL_RATE,
                    fill_decay=FILL_DECAY,
                )
            )
            assert spread.bid_price is not None, "this model always quotes both sides"
            assert spread.ask_price is not None
            found = self.known[step, inventory] = (MID - spread.bid_price, spread.ask_price - MID)
        return found
