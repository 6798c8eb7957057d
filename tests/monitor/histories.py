"""Histories of a run as a monitor sees it: ladders, fills, pulls, reads and states, each with delays of their own.

The exchange has the truth; the maker learns of it late, within the bounds that the audit rests on; reads take their
time and fail, states get lost. One seed, one history. What `break_at` breaks is broken from then on.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.events import OrderSeen
from maker.desk.units import Side
from maker.monitor.audit import Terms
from maker.monitor.observation import ExchangeSeen, Life, Observation, PositionHeld
from maker.wire import live

T0: Final = 1_800_000_000.0
MARKETS: Final = ("BTC-PERP", "ETH-PERP")
TERMS: Final = Terms("mk", placed_seconds=4.0, pulled_seconds=15.0, silent_seconds=10.0)
WRITE_SECONDS: Final = 3.0  # effect to answer, at most
FILL_SECONDS: Final = 2.5  # effect to told, at most
LEVELS: Final = (("buy", 99), ("buy", 98), ("sell", 101), ("sell", 102))


@attrs.frozen
class Order:
    name: str
    market: str
    side: str
    price: int
    ours: bool = True

    def seen(self) -> OrderSeen:
        owner = "mk" if self.ours else "xx"
        side = Side(self.side)
        return OrderSeen(self.market, self.name, f"{owner}-e-{self.name}", side, Decimal(self.price), Decimal(1))


@attrs.define
class History:
    """One run; `play` yields what the monitor observes, second by second."""

    seed: int
    busy: float = 1.0  # how often ladders are replaced and filled
    breaks: str = ""
    break_at: float = 60.0
    chance: random.Random = attrs.field(init=False)
    now: float = 0.0
    resting: dict[str, Order] = attrs.field(factory=dict)  # the exchange's truth
    position: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(MARKETS, 0))
    believed: dict[str, dict[str, Order]] = attrs.field(factory=lambda: {one: {} for one in MARKETS})
    believed_position: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(MARKETS, 0))
    fills: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(MARKETS, 0))
    told_gone: set[str] = attrs.field(factory=set)
    accepted_at: dict[str, float] = attrs.field(factory=dict)
    state: str = "quoting"
    state_at: float = 0.0
    pulls: int = 0
    in_flight: dict[str, bool] = attrs.field(factory=lambda: dict.fromkeys(MARKETS, False))
    heard: live.State | None = None
    exchange: ExchangeSeen = attrs.field(factory=lambda: ExchangeSeen(why_not="not yet"))
    maker: Life = Life.ALIVE
    latched: str = ""
    numbers: Iterator[int] = attrs.field(factory=itertools.count)
    agenda: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def at(self, seconds: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (self.now + seconds, next(self.numbers), deed))

    def broken(self, *names: str) -> bool:
        return self.breaks in names and self.now >= self.break_at

    def play(self, seconds: float) -> Iterator[Observation]:
        for market in MARKETS:
            self.at(0.1, lambda market=market: self.replace(market))  # type: ignore[misc]
        for deed in (self.fill, self.say, self.read):
            self.at(0.2, deed)
        self.at(self.chance.uniform(20, 60), self.pull)
        self.at(self.break_at, self.break_it)
        look_at = 0.0
        while look_at < seconds:
            look_at += self.chance.uniform(0.2, 1.2)
            while self.agenda and self.agenda[0][0] <= look_at:
                self.now, _, deed = heapq.heappop(self.agenda)
                deed()
            self.now = look_at
            heard = self.heard
            yield Observation(
                now=T0 + look_at,
                state=heard,
                state_age_seconds=None if heard is None else T0 + look_at - heard.sent_at,
                maker=self.maker,
                guard=Life.ALIVE,
                latched=self.latched,
                run_id="" if heard is None else heard.run_id,
                exchange=self.exchange,
                key_scope="read",
            )

    # -- the maker -------------------------------------------------------------------------------------------------

    def is_dead(self) -> bool:
        return self.maker is Life.GONE

    def replace(self, market: str) -> None:
        """Send a ladder: it replaces the old one at the exchange, and is answered later."""
        lasts = self.chance.choice((self.chance.uniform(0.3, 2.0), self.chance.uniform(5, 25)))
        if self.broken("vanish") and market == MARKETS[0]:
            return
        self.at(lasts / self.busy, lambda: self.replace(market))
        if self.state == "pulling" or self.is_dead() or self.in_flight[market]:
            return
        self.in_flight[market] = True
        shift = self.chance.randint(-1, 1)  # prices come back again and again
        ladder = [Order(str(next(self.numbers)), market, side, price + shift) for side, price in LEVELS]
        pulls = self.pulls
        way = self.chance.uniform(0, 0.5)

        def effect() -> None:
            if self.is_dead():
                return
            for name in [one.name for one in self.resting.values() if one.market == market and one.ours]:
                if not name.startswith("orphan"):
                    del self.resting[name]
            if pulls == self.pulls:
                self.resting |= {one.name: one for one in ladder}

        def answer() -> None:
            self.in_flight[market] = False
            if pulls == self.pulls and not self.is_dead():
                self.believed[market] = {one.name: one for one in ladder if one.name not in self.told_gone}
                self.accepted_at[market] = self.now
                if self.state == "not quoting":
                    self.enter("quoting")

        self.at(way, effect)
        self.at(way + self.chance.uniform(0, WRITE_SECONDS), answer)

    def pull(self) -> None:
        """Pull everything, and quote again after a while."""
        self.at(self.chance.uniform(30, 90), self.pull)
        if self.state == "pulling" or self.is_dead() or self.broken("vanish"):
            return
        self.pulls += 1
        number = self.pulls
        self.enter("pulling")

        def effect() -> None:
            if not self.is_dead():
                self.resting = {
                    name: one for name, one in self.resting.items() if not one.ours or name.startswith("orphan")
                }

        def verified() -> None:
            if number != self.pulls:
                return
            self.believed = {one: {} for one in MARKETS}
            self.enter("not quoting")

        seconds = self.chance.uniform(0.1, 5.0)
        self.at(seconds, effect)
        self.at(seconds + 1.0, effect)  # a ladder that landed late
        self.at(seconds + 1.5, verified)

    def enter(self, state: str) -> None:
        if not self.is_dead():
            self.state, self.state_at = state, self.now

    def fill(self) -> None:
        """An order is taken whole; the maker is told later."""
        self.at(self.chance.expovariate(0.4 * self.busy), self.fill)
        if not self.resting:
            return
        one = self.chance.choice(sorted(self.resting.values(), key=lambda one: one.name))
        if not one.ours or one.name.startswith("orphan"):
            return
        del self.resting[one.name]
        change = 1 if one.side == "buy" else -1
        self.position[one.market] += change

        def told() -> None:
            self.told_gone.add(one.name)
            self.believed[one.market].pop(one.name, None)
            self.believed_position[one.market] += change
            self.fills[one.market] += 1

        self.at(self.chance.uniform(0, FILL_SECONDS), told)

    def say(self) -> None:
        """Send a state, which may get lost."""
        self.at(self.chance.choice((0.5, 0.5, 0.5, 2.0)), self.say)
        if self.is_dead() or self.broken("silent") or (self.heard is not None and self.chance.random() < 0.2):
            return
        markets = [
            live.Market(
                market_id=market,
                state="quoting",
                sentence="",
                tick="1",
                quotes=tuple(
                    live.Quote(side=one.side, price=f"{one.price}.0", size="1")
                    for one in self.believed[market].values()
                ),
                quotes_age_seconds=self.now - self.accepted_at[market] if self.believed[market] else None,
                position=str(self.believed_position[market]),
                fills=self.fills[market],
                stream="live",
            )
            for market in MARKETS
        ]
        self.heard = live.State(
            sequence=next(self.numbers),
            sent_at=T0 + self.now,
            run_id="r",
            started_at=T0,
            mode="paper",
            account_name="a",
            state=self.state,
            sentence="because",
            state_at=T0 + self.state_at,
            markets=tuple(markets),
        )

    # -- the monitor's reads ---------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read the account: it is true at some moment on the way, and known at the end of it."""
        self.at(self.chance.choice((0.5, 0.5, 3.0)), self.read)
        asked = T0 + self.now
        way = self.chance.choice((self.chance.uniform(0, 0.1), self.chance.uniform(0, 1.2)))
        if self.chance.random() < 0.1:
            self.exchange = attrs.evolve(self.exchange, why_not="no answer")
            return

        def snapshot() -> None:
            orders = tuple(one.seen() for one in self.resting.values())
            held = tuple(PositionHeld(market, Decimal(size), None) for market, size in self.position.items() if size)

            def answer() -> None:
                self.exchange = ExchangeSeen(orders, asked, held, asked)

            self.at(way, answer)

        self.at(way, snapshot)

    # -- what breaks -----------------------------------------------------------------------------------------------

    def break_it(self) -> None:
        """Break what is to be broken. An order called `orphan` is taken by nobody and pulled by nothing."""
        match self.breaks:
            case "orphan":
                self.leave("buy", 50)
            case "twin":
                self.leave("buy", 99)  # where ladders rest, too
            case "foreign":
                self.resting["foreign"] = Order("foreign", MARKETS[0], "buy", 90, ours=False)
            case "killed":
                self.maker = Life.GONE
                self.leave("buy", 99)
            case "latched":
                self.latched = "somebody pressed the button"
                self.leave("buy", 99)
            case "silent":
                self.leave("buy", 99)
            case "stuck":
                self.pulls += 1
                self.enter("pulling")
                self.leave("buy", 99)
            case "missed fill":
                self.position[MARKETS[0]] += 40
            case "vanish":
                self.pulls += 1  # whatever is on its way counts no more
                self.enter("quoting")
                for name in [one.name for one in self.resting.values() if one.market == MARKETS[0]]:
                    del self.resting[name]
                self.believed[MARKETS[0]] = {"x": Order("x", MARKETS[0], "buy", 99)}
                self.accepted_at[MARKETS[0]] = self.now
            case _:
                assert not self.breaks, self.breaks

    def leave(self, side: str, price: int) -> None:
        self.resting["orphan"] = Order("orphan", MARKETS[0], side, price)
