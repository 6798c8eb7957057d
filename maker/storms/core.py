"""The core world: engine and practice exchange on an event heap, one seed, one history, much more of simulated time.

No Trio, no HTTP, no sockets. What is real: the engine, the wire's rooms (ladders, answers, reads, streams, limits), the
exchange with its margin gate, rate limit and switches. What is played small: the app's rooms (`core_maker`), the market
and the wires (`core_venue`). It looks at sequence handling, accounting, worst case, budget and refusals: S5 to S9, S11,
S12 and S19. How the program stops is the full world's business.
"""

from __future__ import annotations

import gc
import random
import traceback
from decimal import Decimal
from functools import partial
from typing import Final

import attrs

from maker.app.config import Config
from maker.app.market_config import Market
from maker.desk.units import BPS
from maker.paper.market import MarketSpec, default_markets
from maker.paper.ratelimit import LIMIT_DEFAULT
from maker.paper.switches import (
    BULK_ANSWERS,
    CANCEL_ALL_ANSWERS,
    ERROR_BODIES,
    LEVEL_REFUSALS,
    MARGIN_REFUSALS,
    RATE_LIMIT_RESETS,
    REPEATED_QUOTE_IDS,
    Switches,
)
from maker.storms import core_trouble
from maker.storms.core_checks import Judge
from maker.storms.core_faults import SMALL_DEPOSIT, THROTTLES, Faults, InForce, draw
from maker.storms.core_heap import START_SECONDS, Heap
from maker.storms.core_maker import Maker
from maker.storms.core_market import make_place
from maker.storms.core_venue import Venue
from maker.storms.outcome import Outcome
from maker.storms.schedule import Schedule

LADDERS_MIN: Final = 10  # applied, or the schedule proves nothing
LEVELS: Final = (1, 1, 1, 2, 2, 100)  # a side, at most: what each level does is the same, and costs the same
QUOTED_SECONDS: Final = 30.0  # L2: a market whose last ladder is no older is quoted, whatever has been filled of it
RESERVE_MIN: Final = 24  # requests kept for cancels whatever the configuration says, as it promises
DEPOSIT: Final = Decimal(100_000)
SAFETY_CHECKS: Final = ("S5", "S6", "S7", "S8", "S9", "S11", "S12", "S19")


@attrs.define(eq=False)
class Core:
    """Both sides and the storm between them."""

    heap: Heap
    faults: Faults
    judge: Judge
    venue: Venue
    maker: Maker

    def bitten(self, one: InForce) -> None:
        self.judge.note(f"bit {one.index} {one.fault.name}")
        if not self.judge.faulty_while_resting:
            open_orders = self.venue.exchange.state.registries[self.venue.user].open
            self.judge.faulty_while_resting = bool(open_orders)

    def begin(self, index: int) -> None:
        one = self.faults.begin(index)
        fault = one.fault
        self.judge.note(f"begins {index} {fault.name}")
        core_trouble.begin(self.venue, one)
        if fault.name == "reference_silent":
            settings = self.maker.config
            fairs = [market.fair for market in settings.markets.values()]
            stale = min(source.stale_seconds_max for fair in fairs for source in fair.sources.values())
            if fault.seconds > stale:
                self.heap.after(stale + 0.01, self.maker.look)
            silent = max(one.silent_seconds_max for one in settings.references.values())
            if fault.seconds > silent:
                self.heap.after(silent, self.maker.reference_lost)
        if fault.seconds > 0:
            self.heap.after(fault.seconds, partial(self.end, one))
        else:
            self.end(one)

    def end(self, one: InForce) -> None:
        self.judge.note(f"ends {one.index} {one.fault.name}")
        core_trouble.end(self.venue, one)

    def play(self, until_ms: int) -> None:
        for index, fault in enumerate(self.faults.schedule.faults):
            self.heap.after(fault.at, partial(self.begin, index))
        venue, maker, judge = self.venue, self.maker, self.judge
        while self.heap.step(until_ms):
            if judge.due and maker.idle and venue.quiet():
                judge.compare()

    def recovered(self) -> None:
        """L2: nothing was faulty for long enough: every market is quoted again, and nothing is held back."""
        if self.faults.holds(SMALL_DEPOSIT):
            return
        for market_id in self.venue.market_ids:
            if self.judge.about[market_id].refused is not None:
                continue  # S11: never again unchanged, so nothing is owed before a price moves
            since = self.heap.now - self.judge.about[market_id].applied_at
            quoted = bool(self.venue.ours(market_id)) or since < QUOTED_SECONDS  # it may just have been filled whole
            if not quoted and self.is_stranded(market_id):
                continue
            self.judge.hold("L2", quoted, f"{market_id} is not quoted at the end: {self.why()}")

    def is_stranded(self, market_id: str) -> bool:
        """Whether others quote, or are seen to quote, what was right before a jump: no post-only ladder is near then.

        Seen: the event that told of the jump was lost, and where nothing moves since, no later number shows the gap.
        """
        index, collar = self.venue.exchange.index(market_id), self.maker.config.markets[market_id].limits.collar_bps
        books = [self.venue.exchange.best(market_id)]
        if any(fault.name == "stream_gap" for fault in self.faults.schedule.faults):
            market = self.maker.engine.markets[market_id]
            price = market.account.spec.grid.price
            bid, ask = (None if one is None else price.value(one) for one in market.book.best_of_others({}, {}))
            books.append((bid, ask))
        away = index * collar / BPS
        return any(
            (bid is not None and bid > index + away) or (ask is not None and ask < index - away) for bid, ask in books
        )

    def why(self) -> str:
        maker = self.maker
        if maker.tripped is not None:
            return maker.tripped.sentence
        return "; ".join(sentence for _, sentence in maker.engine.states(self.heap.now)) or "nothing is said"


def run_core(config: Config, seed: int, minutes: float = 10.0) -> Outcome:
    """One seed, one history."""
    markets = [spec for spec in default_markets() if spec.tradable and spec.market_id in config.markets]
    return perform(config, draw(seed, minutes, len(markets)), minutes)


def perform(config: Config, schedule: Schedule, minutes: float) -> Outcome:
    """Play a schedule; the same one gives the same history."""
    specs = {spec.market_id: spec for spec in default_markets() if spec.tradable}
    known = [market_id for market_id in config.markets if market_id in specs][: schedule.markets]
    if not known:
        return outcome_of(schedule, None, minutes, void="the practice exchange has none of the configured markets")
    levels = random.Random(f"core levels {schedule.seed}").choice(LEVELS)
    chosen = attrs.evolve(
        config, markets={market_id: thinner(config.markets[market_id], levels) for market_id in known}
    )
    core = make(chosen, schedule, minutes, tuple(specs[market_id] for market_id in known))
    crashed = ""
    collects = gc.isenabled()
    gc.disable()  # a world is one great cycle: it is collected once, whole, when it is over
    try:
        core.play(round(minutes * 60_000))
        core.recovered()
    except Exception:  # noqa: BLE001 - whatever broke, the seed that did it is what must be told
        crashed = traceback.format_exc()
    finally:
        if collects:
            gc.enable()
    return outcome_of(schedule, core, minutes, crashed=crashed)


def thinner(market: Market, levels: int) -> Market:
    """The market's parameters with a ladder of so many levels at most."""
    ladder = attrs.evolve(market.ladder, levels=min(levels, market.ladder.levels))
    return attrs.evolve(market, ladder=ladder)


def make(config: Config, schedule: Schedule, minutes: float, specs: tuple[MarketSpec, ...]) -> Core:
    """Both sides, before anything happens."""
    seed = schedule.seed
    rng = random.Random(f"core world {seed}")
    switches = drawn_switches(rng)
    heap = Heap()
    names = tuple(spec.market_id for spec in specs)
    small = next((fault for fault in schedule.faults if fault.name == SMALL_DEPOSIT), None)
    deposit = DEPOSIT if small is None else Decimal(int(small.numbers["deposit"]))
    place = make_place(specs, seed, switches, deposit)
    throttles = any(fault.name in THROTTLES for fault in schedule.faults)
    reserve = max(RESERVE_MIN, round(LIMIT_DEFAULT * config.budget.reserve_ratio))
    judge = Judge(heap, names, config.limits.value_max, reserve, throttles)
    judge.exchange = place.exchange
    faults = Faults(schedule, names, random.Random(f"core bites {seed}"))
    venue = Venue(
        heap,
        faults,
        judge,
        place,
        names,
        random.Random(f"core net {seed}"),
        random.Random(f"core flow {seed}"),
        open_only=rng.random() < 0.5,
    )
    maker = Maker(config, heap, venue, faults, judge, random.Random(f"core maker {seed}"))
    core = Core(heap, faults, judge, venue, maker)
    faults.on_bite = core.bitten
    return core


def drawn_switches(rng: random.Random) -> Switches:
    """What OCX does not document, in any of its positions; half the time each in its first."""

    def position(positions: tuple[str, ...]) -> str:
        return positions[0] if rng.random() < 0.5 else rng.choice(positions)

    return Switches(
        margin_refusal=rng.choice(MARGIN_REFUSALS),
        level_refusal=position(LEVEL_REFUSALS),
        repeated_quote_id=position(REPEATED_QUOTE_IDS),
        cancel_all_answer=position(CANCEL_ALL_ANSWERS),
        bulk_answer=position(BULK_ANSWERS),
        error_body=position(ERROR_BODIES),
        rate_limit_reset=position(RATE_LIMIT_RESETS),
        older_market_fields=rng.random() < 0.7,
        trades_name_orders=rng.random() < 0.8,
    )


def outcome_of(schedule: Schedule, core: Core | None, minutes: float, *, void: str = "", crashed: str = "") -> Outcome:
    """What came of it, and whether it counts."""
    if core is None:
        return Outcome(
            schedule=schedule,
            digest="",
            violations=(),
            void=void,
            simulated_seconds=0.0,
            ladders=0,
            fills=0,
            faults={},
            reached=frozenset(),
            checked={},
        )
    judge = core.judge
    fills = core.venue.exchange.own_trade_count(core.venue.user)
    bitten = dict(core.faults.bitten)
    if core.faults.schedule.faults and core.faults.schedule.faults[0].name == SMALL_DEPOSIT:
        bitten[SMALL_DEPOSIT] = 1
        judge.faulty_while_resting = judge.faulty_while_resting or judge.ladders > 0
    if judge.ladders < LADDERS_MIN:
        void = f"only {judge.ladders} ladders were applied"
    elif fills == 0:
        void = "nothing was filled"
    elif not judge.faulty_while_resting:
        void = "no fault while quotes rested"
    judge.note(f"end {judge.ladders} {fills}")
    return Outcome(
        schedule=schedule,
        digest=judge.digest.hexdigest(),
        violations=tuple(judge.violations),
        void=void,
        simulated_seconds=(core.heap.now - START_SECONDS),
        ladders=judge.ladders,
        fills=fills,
        faults=bitten,
        reached=frozenset(f"trip_{name}" for name in core.maker.trips),
        checked=dict(judge.checked),
        crashed=crashed,
    )
