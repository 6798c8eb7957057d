"""The desk as one machine: facts in, decisions out. The only room that sees its siblings together.

`apply(fact, now)` books a fact and returns a Trip when quotes must be pulled for it; `watch(now)` does the same for the
mere passing of time; `decide(now)` returns the next thing to do. All three are synchronous. Whoever gets a Trip pulls
first (see `maker.app.halt`) and then reports `ReadEmpty` and `AccountRead`, after which the engine may quote again.

A market is quoted only while nothing below holds; each has its sentence, which is what the log says:
holding after a trip · account not read back · a position of unknown worth, in whichever market · market halted · stream
not live, or not heard · open orders not known · no fair value · frozen after a jump or a burst · market on hold ·
position and fills disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial

import attrs

from maker.desk import facts, wanting
from maker.desk.allocation import Shape, Stale, endangered, spend_of
from maker.desk.budget import Spend
from maker.desk.deadman import Reason, Trip
from maker.desk.events import (
    AccountRead,
    Action,
    Event,
    LevelOrder,
    MarketStats,
    PlaceLadder,
    PreviewOrder,
    QuoteValue,
    ReadAccount,
    ReadOrders,
    ReferenceQuote,
    StreamDelta,
    StreamSnapshot,
    Wait,
)
from maker.desk.fair import FairValue, NoFair
from maker.desk.market import MarketDesk
from maker.desk.risk import ApprovedLadder, Refused
from maker.desk.staleness import judge, saw, urgency
from maker.desk.state import DeskState
from maker.desk.units import SUBTICKS, Side, exact

RISK_HOLD_SECONDS = 1.0  # between two looks at a ladder that risk refused
QUOTE_AGE_PULL = 1.5  # of the age at which a ladder is to be replaced: then it is pulled instead
WAIT_SECONDS_MIN = 0.001  # a clock of floats must move
WAIT_SECONDS_MAX = 1.0  # decide is asked at least this often, whatever happens
LOOKS_MAX = 2  # ladders built in one decision only to see whether anything but the fair value has changed
PATIENCE_SECONDS = 0.25  # after which a ladder not worth its request is judged again: the price of one falls slowly
POSITION_GRACE_SECONDS = 2.0  # a fill and its position change may come in different events
WAITING = "waiting"  # the first word of a market's sentence while only a request is missing
PASSED_SECONDS_MAX = 5.0  # an order that fair value has passed waits so long for a request, or everything is pulled
GIVE_WAY_SECONDS_MAX = 10.0  # what reduces lets a quote that would be too old go first, if its request comes this soon
WORTH_SECONDS_MAX = 5.0  # a position of unknown worth: so long no loss limit can be judged, of the whole account


@attrs.define
class Engine(DeskState):
    """What the desk knows, with its three doors: `apply`, `watch` and `decide`."""

    # -- what must be pulled for

    def apply(self, event: Event, now: float) -> Trip | None:
        """Book one fact. A Trip: pull every quote, before anything else. Raises StreamBroken for an impossible book."""
        self.look(now)
        trip = facts.book(self, event, now)
        match event:
            case StreamDelta(fills=(), positions=(), removed_position_ids=()):
                return trip  # the book alone, many times a second
            case MarketStats():
                self.audit()
                jumped = self.jumped([self.markets[event.market_id]], now)  # followed whatever else is wrong
                return self.broken(now) or trip or jumped
            case StreamDelta() | StreamSnapshot() | AccountRead():
                self.audit()
                return self.broken(now) or trip
            case ReferenceQuote():
                priced = [one for one in self.markets.values() if one.fair.follows(event)]
                return self.jumped(priced, now) or trip
            case _:
                return trip

    def broken(self, now: float) -> Trip | None:
        """The limits on money and positions that no decision may have broken, after a fact that could show it.

        All of them, also once one is broken: a latched reason among them is owed to whoever starts next.
        """
        pulled: Trip | None = None
        for market in self.markets.values():
            for reason, what in market.broken(now):
                pulled = self.trip(reason, f"{market.market_id}: {what}") or pulled
                if reason is Reason.BURST:
                    market.burst.freeze(what, now)  # also where nothing is left to pull
            market.worth.follow(market.fair, now)
        lost = self.lost(now)
        if lost is not None:
            pulled = self.trip(*lost) or pulled
        return pulled

    def lost(self, now: float) -> tuple[Reason, str] | None:
        """Judge losses: surely where every position can be valued, else only those that are certain all the same."""
        if all(market.worth.known(market.fair, now) for market in self.markets.values()):
            start = self.equity_start()
            profit = self.losses.nearest(*self.equity_range(now), start)
            return self.losses.judge(profit, self.exchange_ms, start)
        with exact():
            most = -self.funding_paid()
            for market in self.markets.values():
                change = market.worth.most(market.fair, market.limits, now)
                if change is None:
                    return None
                most += change
        return self.losses.certain(most, self.exchange_ms)

    def jumped(self, markets: Iterable[MarketDesk], now: float) -> Trip | None:
        """Follow the fair values that a fact may have moved; a jump pulls where its market is quoted."""
        trip: Trip | None = None
        for market in markets:
            jumped = market.follow_fair(now)
            if jumped and market.account.exposed:
                trip = trip or self.trip(Reason.PRICE_JUMP, f"{market.market_id}: {jumped}")
        return trip

    def watch(self, now: float) -> Trip | None:
        """What the passing of time alone makes unsafe, while anything rests."""
        self.follow_worth(now)
        jumped = self.jumped(self.markets.values(), now)  # a source that falls silent moves a price as well
        if jumped is not None:
            return jumped
        if not self.exposed or self.holding is not None:
            return None
        if self.account_read_due:
            return self.trip(Reason.ORDERS_DISAGREE, f"orders rest though {self.account_read_due}")
        if self.unvalued:
            return self.trip(Reason.NO_FAIR_VALUE, self.unvalued)
        for market in self.markets.values():
            watched = market.live or market.account.exposed
            if watched and market.heard_at is not None and now - market.heard_at > self.cycle.stream_silent_seconds_max:
                market.live, market.lost, market.lost_detail = False, True, "its stream fell silent"
                return self.trip(Reason.STREAM_SILENT, market.market_id)
            fair = market.fair.value(now)
            if isinstance(fair, NoFair) and market.account.exposed:
                reason = Reason.REFERENCE_STALE if fair.stale else Reason.NO_FAIR_VALUE
                return self.trip(reason, f"{market.market_id}: {fair.reason}")
            if market.account.resting and now - market.quoted_at > QUOTE_AGE_PULL * self.cycle.quote_age_seconds_max:
                return self.trip(Reason.QUOTES_TOO_OLD, market.market_id)
            crossed = market.passed(fair) if isinstance(fair, FairValue) else ""
            stays = self.why_it_stays(market, now) if crossed else ""
            if stays:
                return self.trip(Reason.QUOTES_TOO_OLD, f"{market.market_id}: {crossed}, and {stays}")
            since = market.unexplained_since
            if since is not None and now - since > POSITION_GRACE_SECONDS:
                return self.trip(Reason.POSITION_DISAGREES, market.market_id)
        return None

    def why_it_stays(self, market: MarketDesk, now: float) -> str:
        """Why what rests in a market cannot be replaced soon; empty: it can be."""
        exits = market.quoted is not None and market.quoted.reduce_only is not None
        seconds = self.budget.wait_seconds(now, Spend.REDUCE if exits else Spend.REPRICE)
        if seconds > PASSED_SECONDS_MAX:
            return f"{WAITING} {math.ceil(seconds)} s for the request budget: {self.budget.why_waiting(now)}"
        return market.setbacks.held(now)

    def follow_worth(self, now: float) -> None:
        """Note whether loss limits can be judged: once in each look at the clock, for all markets."""
        self.unvalued = ""
        for name, market in self.markets.items():
            if market.worth.known(market.fair, now):
                market.unvalued_since = None
            elif market.unvalued_since is None:
                market.unvalued_since = now
            elif now - market.unvalued_since > WORTH_SECONDS_MAX:
                self.unvalued = f"what the position in {name} is worth is not known: losses cannot be judged"

    # -- decisions

    def not_quoting(self, market: MarketDesk, now: float) -> str:
        """Why this market is not quoted now, as a sentence; empty when it may be."""
        if self.holding is not None:
            return f"quotes were pulled: {self.holding.sentence}"
        if self.account_read_due:
            return f"the account must be read back: {self.account_read_due}"
        if self.unvalued:
            return self.unvalued
        return market.not_quoting(self.cycle, now)

    def decide(self, now: float) -> Action:
        """The next thing to do. A PlaceLadder must be sent at once: freshness was checked at this `now`."""
        self.follow_worth(now)
        if self.holding is not None:
            return Wait(WAIT_SECONDS_MAX)
        for market in self.markets.values():
            since = market.unexplained_since
            if since is not None and now - since > POSITION_GRACE_SECONDS and not self.exposed:
                self.account_read_due = self.account_read_due or f"the position of {market.market_id} is unexplained"
        if self.account_read_due and not self.exposed:
            if now < self.account_read_after:
                return Wait(min(WAIT_SECONDS_MAX, self.account_read_after - now + WAIT_SECONDS_MIN))
            return ReadAccount(self.account_read_due)
        for market in self.markets.values():
            if not market.orders_known:
                return ReadOrders(market.market_id)
        return self.allocate(now)

    def allocate(self, now: float) -> PlaceLadder | Wait:
        """Spend the next request where it is worth most, or say how long to wait for one that is worth it."""
        budget = self.budget
        token_wait = {spend: budget.wait_seconds(now, spend) for spend in (Spend.REDUCE, Spend.REPRICE)}
        self.notes.extend(budget.take_note())
        self.token_price.move(budget.tokens, budget.settings.burst, now)
        wait, stale, deadlines = WAIT_SECONDS_MAX, list[Stale](), list[float]()
        for market in self.markets.values():
            if self.not_quoting(market, now):
                market.waits_since = None
                continue
            one = judge(market, self.cycle, now)
            if one.deadline < math.inf:
                deadlines.append(one.deadline)
            resting_seconds = now - market.quoted_at
            if market.quoted is not None and resting_seconds < self.cycle.requote_seconds_min:
                wait = min(wait, self.cycle.requote_seconds_min - resting_seconds + WAIT_SECONDS_MIN)
                continue
            stale.append(one)
            if one.deadline > now:
                wait = min(wait, one.deadline - now + WAIT_SECONDS_MIN)
        deadlines.sort()
        hurry = bool(deadlines) and self.hurry(deadlines, now)
        ordinary = token_wait[Spend.REPRICE]
        given_way = dict.fromkeys(token_wait, ordinary) if hurry and ordinary <= GIVE_WAY_SECONDS_MAX else token_wait
        looks = LOOKS_MAX
        for one in self.in_order(stale, hurry=hurry):
            first = hurry and one.deadline == deadlines[0]
            early = first or now >= one.deadline
            waits = token_wait if first else given_way
            if not (one.look or one.look_due or early):
                continue
            least = waits[Spend.REDUCE if one.must or one.spend is Spend.REDUCE else Spend.REPRICE]
            likely = least == 0 and (one.must or early or self.affords(one.worth))
            if not likely:
                due = one.worth > 0 or one.must or early
                wait = min(wait, (least or PATIENCE_SECONDS) if due else WAIT_SECONDS_MAX)
                if not one.look_due:
                    continue
            if not likely or one.idle:  # the ladder itself may know better than the fair value
                if looks == 0:
                    continue
                looks -= 1
            action = self.attempt(self.markets[one.market_id], waits, early=early, now=now)
            if isinstance(action, PlaceLadder):
                return action
            wait = min(wait, action)
        for one in stale:
            least = token_wait[Spend.REDUCE if one.spend is Spend.REDUCE else Spend.REPRICE]
            self.tell_wait(self.markets[one.market_id], least, now)
        return Wait(wait)

    def tell_wait(self, market: MarketDesk, seconds: float, now: float) -> None:
        """Say of a market where nothing rests that it waits for a request; any other reason is the better one."""
        if market.nothing and not market.nothing.startswith(WAITING):
            return
        market.nothing = ""
        if seconds > 0 and not market.account.exposed:
            why = self.budget.why_waiting(now)
            market.nothing = f"{WAITING} {math.ceil(seconds)} s for the request budget: {why}"

    def attempt(
        self, market: MarketDesk, token_wait: Mapping[Spend, float], *, early: bool, now: float
    ) -> PlaceLadder | float:
        """Build a market's ladder and begin it, if it is due and worth its request; else seconds to the next look."""
        approved = self.want(market, now)
        blocked = approved is None or approved.ladder == market.refused
        saw(market, None if approved is None else approved.ladder, now, blocked=blocked)
        if approved is None:
            return WAIT_SECONDS_MAX
        if blocked:
            market.nothing = "the exchange refused this very ladder; the next follows when it is another"
            return WAIT_SECONDS_MAX
        urge, why = urgency(market, approved.ladder, self.cycle, now)
        if urge < 1 and not early:
            return WAIT_SECONDS_MAX
        resting = market.quoted if market.account.resting else None
        spend = spend_of(approved.ladder, resting, market.account.position_lots)
        if (seconds := token_wait[Spend.REDUCE if spend is Spend.REDUCE else Spend.REPRICE]) > 0:
            return seconds
        one = judge(market, self.cycle, now)  # once more: the ladder may have moved for another reason than fair value
        if not (early or one.must or spend is not Spend.REPRICE or self.affords(one.worth)):
            return PATIENCE_SECONDS
        age = now - market.quoted_at if resting is not None else 0.0
        price = self.token_price.value
        value = QuoteValue(spend.name.lower(), one.cost_rate, one.worth, price, age, self.budget.tokens)
        return self.begin(market, approved, why, now, value)

    def affords(self, worth: float) -> bool:
        """Whether so much is worth one of the requests left."""
        return worth > 0 and self.token_price.affords(worth, self.budget.tokens, self.budget.settings.burst)

    def hurry(self, deadlines: list[float], now: float) -> bool:
        """Whether the next request must go to the earliest of these, which are sorted."""
        return deadlines[0] <= now or endangered(deadlines, partial(self.budget.capacity, now=now))

    @staticmethod
    def in_order(stale: list[Stale], *, hurry: bool) -> list[Stale]:
        """Who may spend first: in a hurry, by deadline; else what reduces; then by worth what rests; then the rest."""
        if hurry:
            return sorted(stale, key=lambda one: one.deadline)
        return sorted(stale, key=lambda one: (one.spend, -one.worth, one.deadline))

    def want(self, market: MarketDesk, now: float) -> ApprovedLadder | None:
        """The approved ladder of a market; a refusal of risk is noted and holds the market for a moment."""
        others = sum((other.worst_value(now) for other in self.markets.values() if other is not market), Decimal(0))
        wanted = wanting.want(market, self.account_limits, others, self.ramp(now), now, self.allowed(market, now))
        if isinstance(wanted, Refused):
            self.notes.append(f"{market.market_id}: risk refused a ladder: {wanted.reason}")
            market.setbacks.hold(now, f"risk refused its ladder ({wanted.reason})", RISK_HOLD_SECONDS)
            return None
        return wanted

    def begin(
        self, market: MarketDesk, approved: ApprovedLadder, why: str, now: float, value: QuoteValue | None = None
    ) -> PlaceLadder:
        """Book a ladder as in flight and name its levels. From here on it counts."""
        ladder = approved.ladder
        quote_id = self.identity.quote_id()
        orders = tuple(
            LevelOrder(self.identity.client_order_id(), side, level.ticks, level.lots, ladder.reduce_only is side)
            for side in Side
            for level in ladder.side(side)
        )
        market.account.begin(quote_id, orders)
        if self.quoting_since is None:
            self.quoting_since = now
        self.budget.spend(now)
        fair = market.fair.value(now)
        assert isinstance(fair, FairValue), "decided at the same now"
        lot_value = float(market.account.spec.grid.notional(1, 1)) * fair.subticks / SUBTICKS
        market.ladder_begun(ladder, Shape.of(ladder, fair.subticks, lot_value))
        return PlaceLadder(market.market_id, quote_id, orders, why, fair.subticks, value)

    def previews_due(self, now: float) -> tuple[PreviewOrder, ...]:
        """Orders to ask the exchange about, beside all else; each is named once."""
        asked: list[PreviewOrder] = []
        for market in self.markets.values() if self.holding is None else ():
            quoted, position_lots = market.quoted, market.account.position_lots
            if quoted is None or quoted.empty:
                continue
            if market.terms.due(position_lots, market.limit_lots, self.margin_settings.preview_seconds, now):
                asked.extend(market.terms.ask(market.account, quoted, now))
        return tuple(asked)

    def states(self, now: float) -> Iterator[tuple[str, str]]:
        """Each market with its sentence, empty while it is quoted."""
        for market in self.markets.values():
            yield market.market_id, self.not_quoting(market, now) or market.nothing
