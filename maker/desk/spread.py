"""The interface of the spread models, and the two that need no theory.

A model looks at one `Situation` and answers with a `Spread`: a reservation price, and how far below and above it the
innermost bid and ask belong. That is all a model does. Levels, sizes, rounding to ticks, the least edge, post-only and
every limit are the ladder's and the risk room's business, so a model may well answer with a quote on the wrong side of
fair value: nothing it says can pass them.

Prices, offsets and sizes are floats here and nowhere else in the desk: what becomes an order is an integer again.

* `Fixed`: the same half-spread always, in basis points of fair value.
* `Volatility`: `max(half_spread_bps_min, sigmas * volatility * sqrt(horizon_seconds))`: as far as the price may move
  before the quote is next looked at.

Both move the reservation price against the inventory, in a line: `fair - inventory / inventory_max * skew_bps`.
The models from the literature have rooms of their own: `avellaneda_stoikov` and `glft`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Protocol

import attrs

from maker.desk.units import BPS


@attrs.frozen
class Situation:
    """All that a model may look at. ValueError for what is no situation: a NaN must not come out as a price."""

    fair: float  # quote currency per base unit
    inventory: float  # base units, signed, relative to the position we want to have
    volatility: float  # quote currency per base unit and square root of a second
    size: float  # base units of the innermost level: Delta in Guéant 2017, 1 in the older papers
    inventory_max: float  # base units, either side
    seconds_left: float  # of a finite horizon
    fill_rate: float  # per second: how often a quote at fair value would be hit; A of the papers
    fill_decay: float  # per quote currency: the rate falls by e for each 1 / fill_decay further out; k of the papers

    def __attrs_post_init__(self) -> None:
        for name in ("fair", "size", "inventory_max", "fill_rate", "fill_decay"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: is {getattr(self, name)}. It must be above 0.")
        for name in ("volatility", "seconds_left"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: is {getattr(self, name)}. It must be 0 or more.")
        if not math.isfinite(self.inventory):
            raise ValueError(f"inventory: is {self.inventory}. It must be a number.")


@attrs.frozen
class Spread:
    """A model's answer, in quote currency. A half-spread may be negative; None: no quote on that side."""

    reservation: float  # price
    bid: float | None  # below the reservation price
    ask: float | None  # above it

    def __attrs_post_init__(self) -> None:
        for name in ("reservation", "bid", "ask"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: is {value}. A model must answer with finite numbers.")

    @property
    def bid_price(self) -> float | None:
        """Price of the innermost bid before any bound."""
        return None if self.bid is None else self.reservation - self.bid

    @property
    def ask_price(self) -> float | None:
        """Price of the innermost ask before any bound."""
        return None if self.ask is None else self.reservation + self.ask


class SpreadModel(Protocol):
    """One method: whoever has it is a spread model. The same situation must give the same answer."""

    def spread(self, situation: Situation) -> Spread: ...


@attrs.frozen
class Fixed:
    """The same half-spread always."""

    half_spread_bps: Decimal  # of fair value
    skew_bps: Decimal  # at inventory_max

    def __attrs_post_init__(self) -> None:
        above_zero(self, "half_spread_bps", "Try 2.")
        not_negative(self, "skew_bps", "0 quotes the same at any inventory.")

    def spread(self, situation: Situation) -> Spread:
        """Quote both sides at `half_spread_bps` from the reservation price."""
        half = situation.fair * float(self.half_spread_bps) / BPS
        return Spread(skewed(situation, self.skew_bps), half, half)


@attrs.frozen
class Volatility:
    """Wider when the price moves more."""

    half_spread_bps_min: Decimal  # of fair value, in quiet times
    sigmas: Decimal  # standard deviations of what fair value moves within the horizon
    horizon_seconds: float  # about as long as a quote rests
    skew_bps: Decimal  # at inventory_max

    def __attrs_post_init__(self) -> None:
        above_zero(self, "half_spread_bps_min", "Try 1.")
        not_negative(self, "sigmas", "Try 1; 0 leaves half_spread_bps_min alone.")
        above_zero(self, "horizon_seconds", "Try 20, or cycle.quote_age_seconds_max.")
        not_negative(self, "skew_bps", "0 quotes the same at any inventory.")

    def spread(self, situation: Situation) -> Spread:
        """Quote both sides at the larger of the least half-spread and `sigmas * volatility * sqrt(horizon)`."""
        least = situation.fair * float(self.half_spread_bps_min) / BPS
        half = max(least, float(self.sigmas) * situation.volatility * math.sqrt(self.horizon_seconds))
        return Spread(skewed(situation, self.skew_bps), half, half)


def skewed(situation: Situation, skew_bps: Decimal) -> float:
    """Fair value moved against the inventory: by `skew_bps` of itself when inventory_max is held."""
    ratio = situation.inventory / situation.inventory_max
    return situation.fair * (1 - ratio * float(skew_bps) / BPS)


def above_zero(model: object, field: str, fix: str) -> None:
    """Raise a ValueError that names field and fix unless the parameter is a number above 0."""
    value = getattr(model, field)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{field}: is {value} and must be above 0. {fix}")


def not_negative(model: object, field: str, fix: str) -> None:
    """Raise a ValueError that names field and fix unless the parameter is 0 or more."""
    value = getattr(model, field)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{field}: is {value} and must not be negative. {fix}")
