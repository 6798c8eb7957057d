"""One market's spread model at work: what it is shown, what it answers, and what our own fills teach about A and k.

The model sees floats; its answer comes back as whole subticks, half-spreads rounded outward. A finite horizon ends and
begins anew by the exchange's clock, at multiples of its length since 1970, so that a restart does not begin it again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from maker.desk.account import OwnOrder
from maker.desk.events import Fill
from maker.desk.fair import FairValue
from maker.desk.intensity import Intensity, IntensitySettings
from maker.desk.spread import Situation, Spread, SpreadModel
from maker.desk.units import BPS, SUBTICKS, Grid

HORIZON_SECONDS: Final = 3600.0  # of a model that names none
REST_SECONDS_MIN: Final = 1.0  # between two looks at what rests: a quote's exposure is summed, not followed
REST_SECONDS_MAX: Final = 60.0  # longer than this between two looks: nothing was quoted meanwhile, or nobody looked
HIT_ORDERS_MAX: Final = 1_000  # remembered, so that an order hit in parts counts once


@attrs.frozen
class Quoted:
    """A model's answer in subticks; None: no quote on that side."""

    reservation_subticks: int
    half_bid_subticks: int | None
    half_ask_subticks: int | None


def horizon_seconds(model: SpreadModel) -> float:
    """Say how long a model's horizon is. Raises ValueError or TypeError for what is no length."""
    named = getattr(model, "horizon_seconds", HORIZON_SECONDS)
    seconds = float(named)
    if not 0 < seconds < math.inf:
        raise ValueError(f"its horizon_seconds is {named}, and must be a number above 0")
    return seconds


def answered(answer: object) -> Spread:
    """Take a model's answer for what it should be: a Decimal would fail further on. Raises TypeError."""
    if not isinstance(answer, Spread):
        raise TypeError(f"it answers {answer!r:.80}, and must return a maker.desk.spread.Spread")
    for name, value in (("reservation", answer.reservation), ("bid", answer.bid), ("ask", answer.ask)):
        is_number = isinstance(value, float | int)  # of a user's own model the types say nothing
        if not is_number and (value is not None or name == "reservation"):
            raise TypeError(f"its {name} is a {type(value).__name__}, and must be a float")
    return answer


def asked(model: SpreadModel, situation: Situation) -> Spread:
    """Have a model answer. Raises what it raises; a RuntimeError where it would end this program, which pulls first."""
    try:
        return answered(model.spread(situation))
    except SystemExit as error:
        raise RuntimeError(f"it asks to end the program: SystemExit({error})") from error


@attrs.define
class Pricing:
    """One market's."""

    grid: Grid
    name: str  # of the model, as the configuration has it
    model: SpreadModel
    intensity_settings: IntensitySettings
    intensity: Intensity = attrs.field(init=False)
    looked_at: float | None = None  # our clock, at what rested
    hit: deque[str] = attrs.field(factory=lambda: deque(maxlen=HIT_ORDERS_MAX))  # clientOrderIds
    shown: Situation | None = None  # the last situation, for people

    def __attrs_post_init__(self) -> None:
        self.intensity = Intensity(self.intensity_settings)

    def quote(self, fair: FairValue, inventory_lots: int, level_lots: int, limit_lots: int, exchange_ms: int) -> Quoted:
        """Ask the model. `inventory_lots` is signed, relative to the position we want; the time is the exchange's."""
        step, tick = float(self.grid.size.step), float(self.grid.price.step) / SUBTICKS
        price = fair.subticks * tick
        known = self.intensity.statistics()
        horizon = horizon_seconds(self.model)
        self.shown = Situation(
            fair=price,
            inventory=inventory_lots * step,
            volatility=fair.sigma * price,
            size=max(1, level_lots) * step,
            inventory_max=max(1, limit_lots) * step,
            seconds_left=horizon - exchange_ms / 1000 % horizon,
            fill_rate=known.fill_rate_per_second,
            fill_decay=known.fill_decay(price),
        )
        spread = asked(self.model, self.shown)
        half_bid, half_ask = (None if half is None else math.ceil(half / tick) for half in (spread.bid, spread.ask))
        return Quoted(round(spread.reservation / tick), half_bid, half_ask)

    # -- what fills teach

    def rested(self, fair: FairValue, resting: Iterable[OwnOrder], now: float) -> None:
        """Count how long what rests has rested where it does, a second and more at a time."""
        if self.looked_at is None:
            self.looked_at = now
        elapsed = now - self.looked_at
        if elapsed < REST_SECONDS_MIN:
            return
        self.looked_at = now
        if elapsed <= REST_SECONDS_MAX:
            for order in resting:
                distance = order.side.sign * (fair.subticks - order.ticks * SUBTICKS) * BPS / fair.subticks
                self.intensity.rested(order.side, distance, elapsed)

    def filled(self, fair: FairValue, fill: Fill) -> None:
        """Count an order that was hit: once, however many parts it is filled in, where its name is told."""
        if fill.client_order_id is not None:
            if fill.client_order_id in self.hit:
                return
            self.hit.append(fill.client_order_id)
        distance = fill.side.sign * (fair.subticks - fill.ticks * SUBTICKS) * BPS / fair.subticks
        self.intensity.filled(fill.side, distance)

    @property
    def sentence(self) -> str:
        """What is used now, for the log."""
        known = self.intensity.statistics()
        estimate = (
            f"A {known.fill_rate_per_second:.4g} a second, k {known.fill_decay_per_bp:.4g} a bp, from "
            f"{known.fills_bought + known.fills_sold:.0f} fills and {known.seconds:.0f} s of quotes, the configured "
            f"ones counting for {known.prior_ratio:.0%}"
        )
        if self.shown is None:
            return f"model {self.name}; {estimate}"
        minute_bps = self.shown.volatility / self.shown.fair * math.sqrt(60) * BPS
        return f"model {self.name}; volatility {minute_bps:.2f} bp a minute; {estimate}"
