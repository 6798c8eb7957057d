"""A desk with round figures and the facts to feed it: BTC-PERP near 50000 on ticks of 0.1 and lots of 0.001.

One basis point there is 50 ticks. `told` writes an action as one line, so that a test reads as facts in, decision out.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs
from hypothesis import HealthCheck, settings

from maker.desk.account import MarketAccount
from maker.desk.budget import Budget, BudgetSettings
from maker.desk.consensus import Combine
from maker.desk.deadman import Trip
from maker.desk.engine import Engine
from maker.desk.events import (
    AccountRead,
    Action,
    BalanceRead,
    BudgetSeen,
    Event,
    Fill,
    LadderPlaced,
    LadderRefused,
    LadderUnknown,
    Levels,
    Liquidity,
    MarketSpec,
    MarketStats,
    OpenOrdersRead,
    OrderSeen,
    PlacedOrder,
    PlaceLadder,
    PositionSeen,
    ReadAccount,
    ReadEmpty,
    ReadOrders,
    ReferenceHeard,
    ReferenceQuote,
    StreamDelta,
    StreamHeard,
    StreamLost,
    StreamSnapshot,
)
from maker.desk.fair import FairSettings, FairValue, PriceFrom, SourceSettings
from maker.desk.identity import Identity
from maker.desk.intensity import IntensitySettings
from maker.desk.ladder import Ladder, LadderSettings
from maker.desk.margin import FlattenPolicy, MarginSettings
from maker.desk.market import CycleSettings, MarketDesk, MarketSettings
from maker.desk.pricing import Pricing
from maker.desk.risk import AccountLimits, Limits
from maker.desk.spread import Fixed
from maker.desk.units import SUBTICKS, Grid, Side
from maker.desk.volatility import VolatilitySettings
from maker.errors import StreamFault

BTC: Final = "BTC-PERP"
ETH: Final = "ETH-PERP"
VENUE: Final = "venue"  # the name of the reference feed
START: Final = 100_000.0  # our clock when a script begins: CLOCK_BOOTTIME of a machine up for a day
START_MS: Final = 1_700_000_000_000  # the exchange's clock at the same moment
FAIR_TICKS: Final = 500_000
FIRST: Final = "buy 10@499749 10@499649 10@499549 | sell 10@500251 10@500351 10@500451"  # 5, 7, 9 bp

# No deadline: the two cores are shared. No database: a failure prints its own example.
quick = settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(quick, max_examples=300)


def dec(text: str) -> Decimal:
    return Decimal(text)


def spec(
    market_id: str = BTC,
    *,
    tick: str = "0.1",
    lot: str = "0.001",
    lots_min: int = 1,
    band: tuple[int | None, int | None] = (None, None),
    maker_fee_bps: str = "1",
    taker_fee_bps: str = "5",
) -> MarketSpec:
    return MarketSpec(
        market_id, Grid.of(dec(tick), dec(lot)), lots_min, band[0], band[1], dec(maker_fee_bps), dec(taker_fee_bps)
    )


FAIR: Final = FairSettings(
    sources={VENUE: SourceSettings("BTC", 2.0)},
    sources_min=1,
    combine=Combine.MEDIAN,
    outlier_bps_max=dec("20"),
    price_from=PriceFrom.MID,
    index_weight=dec("0"),
    index_stale_seconds_max=10.0,
    basis_half_life_seconds=300.0,
    basis_bps_max=dec("50"),
    mark_index_bps_max=dec("100"),
)
VOLATILITY: Final = VolatilitySettings(
    volatility_grid_seconds=1.0,
    volatility_half_life_seconds=60.0,
    volatility_samples_min=5,
    volatility_bps_min=dec("0.001"),  # next to nothing: a figure in a test is that of the quote, whatever its age
)
LADDER: Final = LadderSettings(
    levels=3,
    level_step_bps=dec("2"),
    step_growth=dec("1"),
    level_size=dec("0.010"),
    size_growth=dec("1"),
    edge_bps_min=dec("1"),
    position_limit=dec("0.200"),
    position_soft_ratio=dec("0.5"),
    widen_bps=dec("0"),
)
MODEL: Final = Fixed(half_spread_bps=dec("5"), skew_bps=dec("10"))
INTENSITY: Final = IntensitySettings(fill_rate_per_second=0.1, fill_decay_per_bp=1.0)
LIMITS: Final = Limits(
    position_limit=dec("0.200"),
    order_size_max=dec("0.050"),
    order_value_max=dec("5000"),
    open_size_max=dec("0.400"),
    position_value_max=dec("30000"),
    collar_bps=dec("100"),
    index_collar_bps=dec("150"),
    window_collar_bps=dec("400"),
    window_seconds=20.0,
    jump_bps=dec("300"),
    jump_seconds=5.0,
    jump_confirm_seconds=5.0,
    burst_size_max=dec("0.300"),
    burst_value_max=dec("100000"),
    burst_seconds=10.0,
    burst_freeze_seconds=0.0,
    burst_fills_max=40,
)
ALL_MARKETS: Final = AccountLimits(
    value_max=dec("30000"),
    drawdown_max=dec("100"),
    daily_loss_max=dec("150"),
    ramp_seconds=0.0,
    ramp_ratio=dec("0.1"),
)
MARGIN: Final = MarginSettings(
    headroom_warn_ratio=dec("0.5"),
    headroom_shrink_ratio=dec("0.4"),
    headroom_reduce_only_ratio=dec("0.2"),
    headroom_flatten_ratio=dec("0.1"),
    margin_reserve_ratio=dec("0.1"),
    margin_ratio=dec("0.05"),
    balance_stale_seconds_max=45.0,
    preview_seconds=0.0,
    flatten=FlattenPolicy.NEVER,
)
CYCLE: Final = CycleSettings(
    requote_bps=dec("1"),
    requote_seconds_min=0.25,
    quote_age_seconds_max=10.0,
    stream_silent_seconds_max=22.5,
    stream_fresh_seconds_max=20.0,
)
FLAT: Final = tuple((60.0 * minute, dec("50000")) for minute in range(20))  # closing prices of a dead market
BUDGET: Final = BudgetSettings(requests_per_minute=120, reserve_ratio=0.2, burst=10)


def as_it_is(ladder: Ladder, *_: object) -> Ladder:
    """In place of `wanting.acceptable`: what was built goes to risk with what risk does not take."""
    return ladder


def fair_at(ticks: int | Fraction = FAIR_TICKS, half_width_ticks: int = 0) -> FairValue:
    return FairValue(int(ticks * SUBTICKS), half_width_ticks * SUBTICKS, 0.0)


def market(market_id: str = BTC, *, market_spec: MarketSpec | None = None) -> MarketSettings:
    source = attrs.evolve(FAIR.sources[VENUE], symbol=market_id.split("-", maxsplit=1)[0])
    fair = attrs.evolve(FAIR, sources={VENUE: source})
    rooms = (fair, VOLATILITY, LADDER, LIMITS, MODEL, "fixed", INTENSITY)
    return MarketSettings(MarketAccount(market_spec or spec(market_id)), *rooms)


def pricing() -> Pricing:
    return Pricing(spec().grid, "fixed", MODEL, INTENSITY)


def a_fill(
    trade_id: str = "t1",
    side: Side = Side.BUY,
    lots: int = 1,
    *,
    ticks: int = FAIR_TICKS,
    market_id: str = BTC,
    liquidity: Liquidity = Liquidity.MAKER,
    order_id: str | None = None,
    client_order_id: str | None = None,
) -> Fill:
    return Fill(market_id, trade_id, side, ticks, lots, liquidity, START_MS, order_id, client_order_id)


def at_position(lots: int, *, market_id: str = BTC, position_id: str = "p1") -> PositionSeen:
    return PositionSeen(market_id, position_id, lots, dec("50000") if lots else dec("0"), dec("0"))


def resting(orders: Iterable[tuple[str, Side, int, int]], market_id: str = BTC) -> OpenOrdersRead:
    """An orders read of (clientOrderId, side, ticks, lots) on the standard grid."""
    grid = spec().grid
    return OpenOrdersRead(
        tuple(
            OrderSeen(market_id, f"id-{name}", name, side, grid.price.value(ticks), grid.size.value(lots))
            for name, side, ticks, lots in orders
        )
    )


@attrs.define
class Desk:
    """An engine with its own clock, driven by hand."""

    engine: Engine
    now: float = START
    stream_ms: int = START_MS

    @classmethod
    def of(
        cls,
        *settings: MarketSettings,
        cycle: CycleSettings = CYCLE,
        limits: AccountLimits = ALL_MARKETS,
        budget: BudgetSettings = BUDGET,
        margin: MarginSettings = MARGIN,
    ) -> Desk:
        engine = Engine(Identity.of("mk", 7), cycle, limits, Budget(budget), margin)
        for each in settings or (market(),):
            engine.add_market(each)
        for each_market in engine.markets.values():
            assert each_market.fair.volatility.warm_up(FLAT, FLAT[-1][0])
        return cls(engine)

    @classmethod
    def ready(
        cls,
        *settings: MarketSettings,
        cycle: CycleSettings = CYCLE,
        limits: AccountLimits = ALL_MARKETS,
        budget: BudgetSettings = BUDGET,
        margin: MarginSettings = MARGIN,
    ) -> Desk:
        """A desk that has everything it needs to quote."""
        desk = cls.of(*settings, cycle=cycle, limits=limits, budget=budget, margin=margin)
        desk.baseline()
        for market_id in desk.engine.markets:
            desk.snapshot(market_id)
            desk.stats(market_id=market_id)
            desk.reference(market_id=market_id)
        return desk

    def market(self, market_id: str = BTC) -> MarketDesk:
        return self.engine.markets[market_id]

    # -- facts

    def apply(self, event: Event) -> Trip | None:
        return self.engine.apply(event, self.now)

    def later(self, seconds: float, *, alive: bool = True, money: bool = True) -> None:
        """Let time pass; `alive`: every feed is heard at the end of it, index and (`money`) balance are read again."""
        self.now += seconds
        if alive:
            assert self.apply(ReferenceHeard(VENUE)) is None
            for market_id, each in self.engine.markets.items():
                assert self.apply(StreamHeard(market_id)) is None
                if each.worth.mark is not None:
                    self.stats(market_id=market_id)
            if self.engine.balance is not None and money:
                self.balance()

    def baseline(self, *fills: Fill, positions: tuple[PositionSeen, ...] = ()) -> None:
        self.engine.baseline(AccountRead(positions, fills, dec("10000"), dec("9000")), self.now)

    def account_read(self, *fills: Fill, positions: tuple[PositionSeen, ...] = ()) -> None:
        assert self.apply(AccountRead(positions, fills, dec("10000"), dec("9000"))) is None

    def balance(self, available: str = "9000", equity: str = "10000") -> Trip | None:
        """The balance read again; the margin it states leaves everything as it is."""
        return self.apply(BalanceRead(self.engine.balance or dec(equity), dec(available), dec(equity)))

    def snapshot(
        self,
        market_id: str = BTC,
        *,
        bids: Levels = ((FAIR_TICKS - 20, 100),),
        asks: Levels = ((FAIR_TICKS + 20, 100),),
        fills: tuple[Fill, ...] = (),
        positions: tuple[PositionSeen, ...] = (),
    ) -> Trip | None:
        self.stream_ms += 100
        return self.apply(StreamSnapshot(market_id, self.stream_ms, bids, asks, fills, positions))

    def delta(
        self,
        market_id: str = BTC,
        *,
        bids: Levels = (),
        asks: Levels = (),
        fills: tuple[Fill, ...] = (),
        positions: tuple[PositionSeen, ...] = (),
        removed: tuple[str, ...] = (),
        engine_ms: int | None = None,
    ) -> Trip | None:
        self.stream_ms += 100
        stated = self.stream_ms if engine_ms is None else engine_ms
        return self.apply(StreamDelta(market_id, stated, bids, asks, fills, positions, removed))

    def lost(self, market_id: str = BTC) -> Trip | None:
        return self.apply(StreamLost(market_id, StreamFault.CLOSED, "reset"))

    def reference(self, ticks: int = FAIR_TICKS, *, market_id: str = BTC) -> None:
        price = spec().grid.price.value(ticks)
        symbol = market_id.split("-", maxsplit=1)[0]
        quote = ReferenceQuote(VENUE, symbol, price - dec("0.1"), dec("1"), price + dec("0.1"), dec("1"))
        assert self.apply(quote) is None

    def stats(self, index: str = "50000", *, mark: str | None = None, market_id: str = BTC) -> None:
        assert self.apply(MarketStats(market_id, dec(mark or index), dec(index), dec("0"))) is None

    # -- decisions and their outcomes

    def decide(self) -> Action:
        return self.engine.decide(self.now)

    def watch(self) -> Trip | None:
        return self.engine.watch(self.now)

    def place(self) -> PlaceLadder:
        """The next decision, which must be a ladder."""
        action = self.decide()
        assert isinstance(action, PlaceLadder), self.said(action)
        return action

    def said(self, action: Action) -> str:
        return f"{told(action)}; {dict(self.engine.states(self.now))}"

    def placed(self, action: PlaceLadder, *, codes: dict[str, str] | None = None, named: bool = True) -> Trip | None:
        """The exchange took the ladder; `codes` by clientOrderId for levels it refused."""
        orders = tuple(
            PlacedOrder(
                order.client_order_id,
                f"id-{order.client_order_id}",
                order.client_order_id not in (codes or {}),
                (codes or {}).get(order.client_order_id),
            )
            for order in action.orders
        )
        self.stream_ms += 1
        effect_ms = self.stream_ms if named else None
        return self.apply(LadderPlaced(action.market_id, action.quote_id, orders if named else None, effect_ms))

    def quote(self) -> PlaceLadder:
        """Place the next ladder, successfully."""
        action = self.place()
        assert self.placed(action) is None
        return action

    def refused(self, action: PlaceLadder, code: str, status: int = 422) -> Trip | None:
        return self.apply(LadderRefused(action.market_id, action.quote_id, status, code, "as scripted"))

    def unknown(self, action: PlaceLadder) -> Trip | None:
        return self.apply(LadderUnknown(action.market_id, action.quote_id, "time-out"))

    def still_resting(self) -> None:
        """Answer an orders read with exactly what the desk thinks rests, in all markets."""
        known = [(name, each.account.resting.values()) for name, each in self.engine.markets.items()]
        reads = [resting([(o.client_order_id, o.side, o.ticks, o.lots) for o in own], name) for name, own in known]
        assert self.apply(OpenOrdersRead(tuple(order for read in reads for order in read.orders))) is None

    def budget_seen(self, remaining: int, *, limit: int = 120, reset_seconds: float = 30.0) -> None:
        assert self.apply(BudgetSeen(limit, remaining, reset_seconds)) is None

    def pulled(self) -> None:
        """What the halt reports after a trip: empty, read back, go on."""
        assert self.apply(ReadEmpty()) is None
        self.account_read(
            *(),
            positions=tuple(
                at_position(each.account.position_lots, market_id=market_id)
                for market_id, each in self.engine.markets.items()
                if each.account.position_lots
            ),
        )
        self.engine.resume()


def quoted() -> Desk:
    """A desk whose first ladder rests and has been seen in the stream."""
    desk = Desk.ready()
    desk.quote()
    desk.delta()
    return desk


def holding(position: int) -> Desk:
    """A desk that has this position, explained, and could quote."""
    desk = Desk.of()
    held = (at_position(position),) if position else ()
    desk.baseline(positions=held)
    desk.snapshot(positions=held)
    desk.stats()
    desk.reference()
    return desk


def why_not(desk: Desk, market_id: str = BTC) -> str:
    """Why a market is not quoted; empty while it is."""
    return dict(desk.engine.states(desk.now))[market_id]


def told(action: Action) -> str:
    """An action as one line."""
    match action:
        case PlaceLadder():
            sides = " | ".join(
                f"{side.value} "
                + " ".join(f"{order.lots}@{order.ticks}" for order in action.orders if order.side is side)
                for side in Side
                if any(order.side is side for order in action.orders)
            )
            only = " reduce-only" if any(order.reduce_only for order in action.orders) else ""
            return f"place {action.market_id} ({action.why}){only}: {sides or 'nothing'}"
        case ReadOrders():
            return f"read orders ({action.why})"
        case ReadAccount():
            return f"read account ({action.why})"
        case _:
            return f"wait {action.seconds:g}"


def lots_of(action: PlaceLadder, side: Side | None = None) -> int:
    """All lots of a ladder, or of one side of it."""
    return sum(order.lots for order in action.orders if side in (None, order.side))
