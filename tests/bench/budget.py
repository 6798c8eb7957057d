"""`python -m tests.bench.budget [--hours 24] [--seed 1] [--markets 20] [--json]`: is the request budget well spent?

Twenty markets on OCX's standard tier of 120 order-path requests a minute, for a simulated day: the real Engine with its
Budget and its allocation, told prices and outcomes by hand, against the practice exchange's own limiter. Beside it, on
the same prices, the same Engine that serves whatever is due in turn: same thresholds, reserve, tokens and ages.

Prices are random walks in the logarithm without drift; the seed draws each market's volatility (1.5 to 13.4
bp a minute, average and largest of a recording of a mid-size venue over 57 hours), its half-spread, and the value that
rests a side (1,000 to 100,000 in quote currency, as between a main market and a small one). Nothing is filled. What a
stale quote costs is reckoned here and asked of nobody: the sum over time of move since quoted / half-spread * value.

Prints a table, or --json, and exits with 1 where a bound is broken: no 429; quoting never leaves less than the reserve;
at least 90 % of the requests beyond the reserve are used; no quote is older than allowed; and the sum is at least 30 %
below that of taking turns. One decision takes less than a millisecond of processor time on average. A day takes
some twenty minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import statistics
import sys
import time
from decimal import Decimal
from typing import Any, Final

import attrs

from maker.desk.budget import WINDOW_SECONDS, Budget, BudgetSettings, Spend
from maker.desk.engine import WAIT_SECONDS_MAX, WAIT_SECONDS_MIN, Engine
from maker.desk.events import (
    AccountRead,
    BudgetSeen,
    LadderPlaced,
    LadderThrottled,
    MarketSpec,
    MarketStats,
    PlacedOrder,
    PlaceLadder,
    ReferenceQuote,
    StreamHeard,
    StreamSnapshot,
    Wait,
)
from maker.desk.fair import SourceSettings
from maker.desk.identity import Identity
from maker.desk.market import CycleSettings, MarketSettings
from maker.desk.spread import Fixed
from maker.desk.staleness import judge
from maker.desk.units import Grid
from maker.paper.ratelimit import RateWindow
from maker.paper.rejection import Rejection
from tests.desk import scripted

USED_SHARE_MIN: Final = 0.9  # of the requests beyond the reserve
SAVED_SHARE_MIN: Final = 0.3  # of what stale quotes cost when markets take turns
DECIDE_SECONDS_MAX: Final = 0.001  # on average, with twenty markets
LATE_SECONDS_MAX: Final = 1.0  # beyond the age allowed: two steps of this simulation

STEP_SECONDS: Final = 0.5
STEPS_A_STATS: Final = 16  # eight seconds: an index may be ten seconds old
MINUTE_BPS: Final = (1.5, 13.4)  # one-minute volatility: average and largest of a recording of 57 hours
HALF_SPREADS_BPS: Final = (2, 3, 4, 6, 8)
VALUES: Final = (1_000.0, 100_000.0)  # quote currency a side
PRICE: Final = 10_000.0
TICK, LOT, FREE = Decimal("0.01"), Decimal("0.00001"), Decimal(0)
GRID: Final = Grid.of(TICK, LOT)
SOURCE: Final = "bench"
START: Final = 100_000.0
START_MS: Final = 1_700_000_000_000

# The thresholds of conf/paper.toml, the age of conf/live.example.toml.
CYCLE: Final = CycleSettings(
    requote_bps=Decimal("0.8"),
    requote_seconds_min=0.3,
    quote_age_seconds_max=30.0,
    stream_silent_seconds_max=22.5,
    stream_fresh_seconds_max=20.0,
)
BUDGET: Final = BudgetSettings(requests_per_minute=120, reserve_ratio=0.2, burst=6)
HUGE: Final = Decimal(10**9)
PLENTY: Final = attrs.evolve(scripted.MARGIN, balance_stale_seconds_max=1e9)
ALL_MARKETS: Final = attrs.evolve(scripted.ALL_MARKETS, value_max=HUGE, drawdown_max=HUGE, daily_loss_max=HUGE)


@attrs.define
class Place:
    """One market of the simulation."""

    market_id: str
    sigma: float  # of a step's return
    half_bps: float
    value: float  # quote currency a side
    price: float = PRICE
    quoted_price: float | None = None
    quoted_at: float = START

    def settings(self) -> MarketSettings:
        """The tests' round figures, but for what is drawn."""
        round_one = scripted.market(
            self.market_id, market_spec=MarketSpec(self.market_id, GRID, 1, None, None, FREE, FREE)
        )
        size = GRID.size.value(round(self.value / PRICE / float(LOT)))
        return attrs.evolve(
            round_one,
            volatility=attrs.evolve(
                scripted.VOLATILITY, volatility_half_life_seconds=120.0, volatility_bps_min=Decimal(1)
            ),
            model=Fixed(half_spread_bps=Decimal(self.half_bps), skew_bps=Decimal(4)),
            ladder=attrs.evolve(scripted.LADDER, levels=1, level_size=size, position_limit=10 * size),
            fair=attrs.evolve(round_one.fair, sources=self.sources, basis_bps_max=Decimal(5000)),
            limits=attrs.evolve(
                scripted.LIMITS,
                position_limit=10 * size,
                order_size_max=10 * size,
                open_size_max=100 * size,
                order_value_max=HUGE,
                position_value_max=HUGE,
                burst_size_max=100 * size,
                burst_value_max=HUGE,
            ),
        )

    @property
    def sources(self) -> dict[str, SourceSettings]:
        return {SOURCE: SourceSettings(self.market_id, 2.0)}


class InTurn(Engine):
    """The engine with another choice among markets: whatever is due, one after the other."""

    turn = 0

    def allocate(self, now: float) -> PlaceLadder | Wait:
        wait = self.budget.wait_seconds(now)
        if wait > 0:
            return Wait(wait)
        self.token_price.value = 0.0  # a request costs nothing
        token_wait = {Spend.REDUCE: 0.0, Spend.REPRICE: 0.0}
        markets = list(self.markets.values())
        for index in range(self.turn, self.turn + len(markets)):
            market = markets[index % len(markets)]
            if self.not_quoting(market, now):
                continue
            if market.quoted is not None and now - market.quoted_at < self.cycle.requote_seconds_min:
                continue
            one = judge(market, self.cycle, now)
            early = now >= one.deadline
            if not (one.look or one.look_due or early):
                continue
            action = self.attempt(market, token_wait, early=early, now=now)
            if isinstance(action, PlaceLadder):
                self.turn = (index + 1) % len(markets)
                return action
        return Wait(WAIT_SECONDS_MAX)


@attrs.define
class Simulation:
    """One policy through all the time asked for."""

    engine: Engine
    places: dict[str, Place]
    random: random.Random
    limiter: RateWindow
    now: float = START
    cost: float = 0.0  # quote currency seconds, in half-spreads
    sent: int = 0
    throttled: int = 0
    spare_min: int = 10**9  # left after a request, beyond the reserve
    oldest_seconds: float = 0.0
    decide_seconds: list[float] = attrs.field(factory=list)
    steps: int = 0

    @classmethod
    def of(cls, kind: type[Engine], markets: int, seed: int, budget: BudgetSettings = BUDGET) -> Simulation:
        """The same seed gives every policy the same markets and prices."""
        draw = random.Random(f"markets {seed}")
        engine = kind(Identity.of("mk", seed), CYCLE, ALL_MARKETS, Budget(budget), PLENTY)
        places: dict[str, Place] = {}
        for number in range(markets):
            minute_bps = math.exp(draw.uniform(*map(math.log, MINUTE_BPS)))
            place = Place(
                f"M{number:02}-PERP",
                minute_bps / 10_000 * math.sqrt(STEP_SECONDS / WINDOW_SECONDS),
                draw.choice(HALF_SPREADS_BPS),
                math.exp(draw.uniform(*map(math.log, VALUES))),
            )
            places[place.market_id] = place
            engine.add_market(place.settings())
            minute = draw.gauss
            closes = [(0.0, Decimal(PRICE))]
            for index in range(60):
                moved = float(closes[-1][1]) * math.exp(minute(0, minute_bps / 10_000))
                closes.append((60.0 * (index + 1), Decimal(round(moved, 2))))
            engine.markets[place.market_id].fair.volatility.warm_up(closes, closes[-1][0])
        engine.baseline(AccountRead((), (), HUGE, HUGE), START)
        found = cls(engine, places, random.Random(f"prices {seed}"), RateWindow(budget.requests_per_minute))
        for market_id in places:
            engine.apply(StreamSnapshot(market_id, START_MS, (), (), (), ()), START)
        return found

    @property
    def now_ms(self) -> int:
        return START_MS + round((self.now - START) * 1000)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        while self.now < until - STEP_SECONDS / 2:
            self.step()

    def step(self) -> None:
        """New prices, then decisions until there is nothing to do, then what the rest costs until the next step."""
        self.prices()
        for _ in range(len(self.places) + 1):
            began = time.thread_time()
            action = self.engine.decide(self.now)
            self.decide_seconds.append(time.thread_time() - began)
            if not isinstance(action, PlaceLadder):
                assert isinstance(action, Wait), action
                assert action.seconds >= WAIT_SECONDS_MIN
                break
            self.place(action)
        for place in self.places.values():
            if place.quoted_price is not None:
                moved_bps = abs(place.price / place.quoted_price - 1) * 10_000
                self.cost += moved_bps / place.half_bps * place.value * STEP_SECONDS
                self.oldest_seconds = max(self.oldest_seconds, self.now - place.quoted_at)
        self.now += STEP_SECONDS
        self.steps += 1

    def prices(self) -> None:
        apply, now = self.engine.apply, self.now
        one = Decimal(1)
        for place in self.places.values():
            place.price *= math.exp(self.random.gauss(0, place.sigma))
            mid = Decimal(round(place.price, 2))
            apply(ReferenceQuote(SOURCE, place.market_id, mid - TICK, one, mid + TICK, one), now)
            if self.steps % STEPS_A_STATS == 0:
                apply(MarketStats(place.market_id, mid, mid, Decimal(0)), now)
                apply(StreamHeard(place.market_id), now)

    def place(self, action: PlaceLadder) -> None:
        """The exchange's answer, at once."""
        try:
            state = self.limiter.charge(self.now_ms)
        except Rejection as refused:
            self.throttled += 1
            seconds = (refused.retry_after_ms or 0) / 1000
            self.engine.apply(LadderThrottled(action.market_id, action.quote_id, seconds), self.now)
            return
        self.sent += 1
        self.spare_min = min(self.spare_min, state.remaining - self.engine.budget.reserve)
        left = (state.reset_ms - self.now_ms) / 1000
        self.engine.apply(BudgetSeen(state.limit, state.remaining, left), self.now)
        orders = tuple(PlacedOrder(one.client_order_id, one.client_order_id, True) for one in action.orders)
        self.engine.apply(LadderPlaced(action.market_id, action.quote_id, orders, self.now_ms), self.now)
        self.engine.apply(StreamHeard(action.market_id), self.now)
        place = self.places[action.market_id]
        place.quoted_price, place.quoted_at = place.price, self.now

    def figures(self) -> dict[str, Any]:
        budget = self.engine.budget
        spendable = (budget.limit - budget.reserve) * (self.now - START) / WINDOW_SECONDS
        timed = sorted(self.decide_seconds)
        return {
            "cost": self.cost,
            "sent": self.sent,
            "used": self.sent / spendable,
            "throttled": self.throttled,
            "spare_min": self.spare_min,
            "oldest_seconds": self.oldest_seconds,
            "decide_us_mean": 1e6 * statistics.fmean(timed),
            "decide_us_p99": 1e6 * timed[len(timed) * 99 // 100],
        }


def measure(hours: float, seed: int, markets: int = 20) -> dict[str, Any]:
    """Both policies on the same prices: their figures, what is saved, and which bounds are broken."""
    tables: dict[str, Any] = {}
    for name, kind in (("by worth", Engine), ("in turn", InTurn)):
        simulation = Simulation.of(kind, markets, seed)
        simulation.run(hours * 3600)
        tables[name] = simulation.figures()
    ours, turns = tables["by worth"], tables["in turn"]
    saved = 1 - ours["cost"] / turns["cost"]
    broken = [
        said
        for said, holds in {
            "the exchange answered 429": ours["throttled"] == 0,
            "quoting spent of the reserve": ours["spare_min"] >= 0,
            f"less than {USED_SHARE_MIN:.0%} of the spendable requests were used": ours["used"] >= USED_SHARE_MIN,
            "a quote grew too old": ours["oldest_seconds"] <= CYCLE.quote_age_seconds_max + LATE_SECONDS_MAX,
            f"less than {SAVED_SHARE_MIN:.0%} was saved": saved >= SAVED_SHARE_MIN,
        }.items()
        if not holds
    ]
    return {"hours": hours, "seed": seed, "markets": markets, **tables, "saved": saved, "broken": broken}


def main() -> int:
    words = argparse.ArgumentParser(description="is the request budget well spent?")
    words.add_argument("--hours", type=float, default=24.0)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--markets", type=int, default=20)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    gc.freeze()
    found = measure(given.hours, given.seed, given.markets)
    if found["by worth"]["decide_us_mean"] > 1e6 * DECIDE_SECONDS_MAX:
        found["broken"].append("a decision takes too long")
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 1 if found["broken"] else 0
    names = ("cost", "sent", "used", "throttled", "spare_min", "oldest_seconds", "decide_us_mean", "decide_us_p99")
    sys.stdout.write(f"{'':<16}{'by worth':>20}{'in turn':>20}\n")
    for name in names:
        row = (found["by worth"][name], found["in turn"][name])
        sys.stdout.write(f"{name:<16}" + "".join(f"{one:>20,.3f}" for one in row) + "\n")
    sys.stdout.write(f"saved {found['saved']:.1%} of what stale quotes cost when markets take turns\n")
    for said in found["broken"]:
        sys.stdout.write(f"BROKEN: {said}\n")
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
