"""A spread model tried by the very path that quotes, before anything is placed: what would end a run refuses a start.

A market's price is not known when a configuration is read, so the places are two of our own: a dear market as A and k
usually are, and a cheap one as thin as learning may ever make them. A model of the user's own, which may be made for
one price, is tried in the first alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.fair import FairValue
from maker.desk.intensity import IntensitySettings
from maker.desk.pricing import Pricing, horizon_seconds
from maker.desk.spread import SpreadModel
from maker.desk.units import SUBTICKS, Grid

SIGMAS: Final = (0.0, 0.00002, 0.005)  # relative, a root second: dead, a usual floor, and a crash
SHARES: Final = (0, 3, -8, 8, -12, 12)  # inventory in eighths of the limit: a position found at a start may be beyond
HORIZON_SECONDS_MAX: Final = 1e9  # whose end is tried


@attrs.frozen
class Place:
    """A market to try a model in."""

    grid: Grid
    ticks: int  # fair value
    level_lots: int
    limit_lots: int
    intensity: IntensitySettings

    def moments(self, model: SpreadModel) -> Iterator[tuple[FairValue, int, int]]:
        """Fair value, inventory in lots and the exchange's time: a horizon's first moment, and its last."""
        ends_ms = max(0, int(min(horizon_seconds(model), HORIZON_SECONDS_MAX) * 1000) - 1)
        for sigma in SIGMAS:
            fair = FairValue(self.ticks * SUBTICKS, 0, 0.0, sigma)
            for share in SHARES:
                yield fair, self.limit_lots * share // 8, 0
                yield fair, self.limit_lots * share // 8, ends_ms


DEAR: Final = Place(Grid.of(Decimal("0.1"), Decimal("0.001")), 600_000, 20, 400, IntensitySettings(0.08, 1.0))
CHEAP: Final = Place(Grid.of(Decimal("0.0001"), Decimal(1)), 1_000, 10_000, 200_000, IntensitySettings(0.001, 10.0))
PLACES: Final = (DEAR, CHEAP)


class Unfit(Exception):
    """What a model did not survive, in one line without a full stop."""


def trial(model: SpreadModel, places: Sequence[Place]) -> None:
    """Have a model quote at the edges of everything it may be shown. Raises Unfit."""
    for place in places:
        pricing = Pricing(place.grid, "tried", model, place.intensity)
        try:
            for fair, lots, exchange_ms in place.moments(model):
                pricing.quote(fair, lots, place.level_lots, place.limit_lots, exchange_ms)
        except (Exception, SystemExit) as error:  # of whatever kind: while quoting it would end the run
            where = "" if pricing.shown is None else f" on {pricing.shown}"
            raise Unfit(f"fails{where}: {told(error)}") from error


def told(error: Exception | SystemExit) -> str:
    """Name an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
