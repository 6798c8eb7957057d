"""What a market is: its grid, bands, fees and funding, and the markets the practice exchange lists.

Also the two prices everybody asks about: the band around the index, and the mark.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.paper.money import BASIS_POINTS, grid_down, grid_up, ratio, round_to

MARKET_TYPES: Final = ("spot", "perp", "future")

FUNDING_INTERVAL_MS: Final = 300_000  # documented: every five minutes
FUNDING_RATE_MAX_BPS: Final = Decimal(25)  # documented cap a period
FUNDING_RATE_QUANTUM: Final = Decimal("0.0000000001")  # the rate is rounded to ten decimals, then payments are exact
PRICE_BAND_FRACTION: Final = Decimal("0.05")  # ours: five per cent either side of the index
MARK_SPREAD_MAX_BPS: Final = Decimal(50)  # ours: a book wider than this is not healthy
MARK_DISTANCE_MAX_BPS: Final = Decimal(100)  # ours: a mid further than this from the index is not near it
TAKER_FEE_BPS: Final = Decimal(5)
MAKER_FEE_BPS: Final = Decimal("-0.5")  # negative: a rebate
MINIMUM_STEPS: Final = 10  # ours: the smallest order; more than one step, or nobody could ever be under it
FEE_TIER: Final = "standard"  # the only one: fees do not depend on volume here
HALF: Final = Decimal("0.5")


def _positive(_: object, attribute: attrs.Attribute[Decimal], value: Decimal) -> None:
    if not (value.is_finite() and value > 0):
        raise ValueError(f"{attribute.name} must be positive, not {value}")


@attrs.frozen(kw_only=True)
class MarketSpec:
    """A market's fixed facts; raises ValueError where they make no sense."""

    market_id: str  # BTC-PERP, BTC-USDC-2027-06-25, BTC-USDC-SPOT
    market_type: str = attrs.field(validator=attrs.validators.in_(MARKET_TYPES))
    base: str  # the underlying: margin nets within it
    quote: str = "USDC"
    tick_size: Decimal = attrs.field(validator=_positive)  # quote units
    step_size: Decimal = attrs.field(validator=_positive)  # base units
    quantity_min: Decimal = attrs.field(validator=_positive)  # base units
    quantity_max: Decimal = attrs.field(validator=_positive)  # base units an order
    index_start: Decimal = attrs.field(validator=_positive)  # the index until set_index is called
    tradable: bool = True  # False: listed, every order refused
    expiry: str | None = None  # dated futures: YYYY-MM-DD
    index_market_id: str | None = None
    taker_fee_bps: Decimal = TAKER_FEE_BPS
    maker_fee_bps: Decimal = MAKER_FEE_BPS
    funding_interval_ms: int = FUNDING_INTERVAL_MS
    funding_rate_max_bps: Decimal = FUNDING_RATE_MAX_BPS

    def __attrs_post_init__(self) -> None:
        for value in (self.quantity_min, self.quantity_max):
            if value % self.step_size:
                raise ValueError(f"{self.market_id}: {value} is not a multiple of the step {self.step_size}")
        if self.quantity_min > self.quantity_max:
            raise ValueError(f"{self.market_id}: the minimum is above the maximum")

    @property
    def price_decimals(self) -> int:
        """Decimals a price is shown with."""
        return _decimals(self.tick_size)

    @property
    def size_decimals(self) -> int:
        """Decimals a size is shown with."""
        return _decimals(self.step_size)


@attrs.frozen(kw_only=True)
class MarketListing:
    """A market as `GET /perps/markets` tells it now."""

    spec: MarketSpec
    mark_price: Decimal
    trading_status: str  # trading | halted | closed (listed, not tradable); spelling ASSUMED
    price_band_low: Decimal
    price_band_high: Decimal


@attrs.frozen(kw_only=True)
class MarketStatistics:
    """A market's numbers of the last 24 hours and of now."""

    market_id: str
    mark: Decimal
    index: Decimal
    last: Decimal | None  # None: never traded
    high_24h: Decimal | None
    low_24h: Decimal | None
    volume_24h: Decimal  # base units
    change_24h: Decimal | None  # last less the first price of the 24 hours, quote units
    open_interest: Decimal  # base units: the sum of all long positions
    funding_rate: Decimal  # what would be exchanged now, a fraction of value a period
    next_funding_ms: int  # unix milliseconds


@attrs.frozen(kw_only=True)
class FeeTier:
    """One row of the fee schedule."""

    tier: str
    volume_min: Decimal  # quote units traded in thirty days from which it holds
    maker_fee_bps: Decimal  # negative: a rebate
    taker_fee_bps: Decimal
    market_ids: tuple[str, ...]  # where it holds


def price_band(index: Decimal, tick: Decimal) -> tuple[Decimal, Decimal]:
    """Return the lowest and highest price an order may have, on the tick, inside the band around the index."""
    low = grid_up(index * (1 - PRICE_BAND_FRACTION), tick)
    return max(low, tick), grid_down(index * (1 + PRICE_BAND_FRACTION), tick)


def mark_price(index: Decimal, best_bid: Decimal | None, best_ask: Decimal | None) -> Decimal:
    """Return the book's mid while the book is healthy and near the index, else the index.

    OCX says so in words; the two limits are ours. Comparisons multiply instead of dividing, so nothing is rounded.
    """
    if best_bid is None or best_ask is None:
        return index
    mid = (best_bid + best_ask) * HALF
    if best_ask - best_bid > mid * MARK_SPREAD_MAX_BPS * BASIS_POINTS:
        return index
    if abs(mid - index) > index * MARK_DISTANCE_MAX_BPS * BASIS_POINTS:
        return index
    return mid


def funding_rate(spec: MarketSpec, mark: Decimal, index: Decimal) -> Decimal:
    """Return the fraction of value that longs pay shorts a period: (mark - index) / index, capped.

    OCX documents the interval, the sign and the cap; the formula is our own, the simplest with that sign. Only
    perpetuals have funding.
    """
    if spec.market_type != "perp":
        return Decimal(0)
    cap = spec.funding_rate_max_bps * BASIS_POINTS
    return min(max(round_to(ratio(mark - index, index), FUNDING_RATE_QUANTUM), -cap), cap)


def default_markets(
    *, taker_fee_bps: Decimal = TAKER_FEE_BPS, maker_fee_bps: Decimal = MAKER_FEE_BPS
) -> tuple[MarketSpec, ...]:
    """Return the markets of a practice exchange: three perpetuals, and a future and a spot market listed only."""

    def spec(
        market_id: str, kind: str, tick: str, step: str, quantity_max: str, index: str, **more: object
    ) -> MarketSpec:
        return MarketSpec(
            market_id=market_id,
            market_type=kind,
            base=market_id.split("-", maxsplit=1)[0],
            tick_size=Decimal(tick),
            step_size=Decimal(step),
            quantity_min=MINIMUM_STEPS * Decimal(step),
            quantity_max=Decimal(quantity_max),
            index_start=Decimal(index),
            taker_fee_bps=taker_fee_bps,
            maker_fee_bps=maker_fee_bps,
            tradable=kind == "perp",
            **more,  # type: ignore[arg-type]  # expiry only, a string
        )

    # Every tick is a power of ten, so that a client who is shown only the decimals derives the same grid from them.
    return (
        spec("BTC-PERP", "perp", "0.1", "0.0001", "100", "60000"),
        spec("ETH-PERP", "perp", "0.01", "0.001", "2000", "3000"),
        spec("SOL-PERP", "perp", "0.001", "0.01", "50000", "150"),
        spec("BTC-USDC-2027-06-25", "future", "0.1", "0.0001", "100", "61000", expiry="2027-06-25"),
        spec("BTC-USDC-SPOT", "spot", "0.01", "0.00001", "100", "60000"),
    )


def _decimals(grid: Decimal) -> int:
    exponent = grid.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
