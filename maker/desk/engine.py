"""The desk as one machine: facts in, decisions out. The only room that sees its siblings together.

`apply(fact, now)` books a fact and returns a Trip when quotes must be pulled for it; `watch(now)` does the same for the
mere passing of time; `decide(now)` returns the next thing to do. All three are synchronous. Whoever gets a Trip pulls
first (see `maker.app.halt`) and then reports `ReadEmpty` and `AccountRead`, after which the engine may quote again.

A market is quoted only while nothing below holds; each has its sentence, which is what the log says:
holding after a trip · account not read back · stream not live · open orders not known · no fair value · market on hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import attrs

from maker.desk.breakers import Losses
from maker.desk.budget import Budget
from maker.desk.deadman import Reason, Trip
from maker.desk.events import (
    AccountRead,
    Action,
    BalanceRead,
    BudgetSeen,
    Event,
    Fill,
    LadderPlaced,
    LadderRefused,
    LadderThrottled,
    LadderUnknown,
    LadderUnsent,
    LevelOrder,
    MarketStats,
    OpenOrdersRead,
    PlaceLadder,
    ReadAccount,
    ReadEmpty,
    ReadOrders,
    ReferenceHeard,
    ReferenceLost,
    ReferenceQuote,
    SpecRead,
    StreamDelta,
    StreamHeard,
    StreamLost,
    StreamSnapshot,
    Wait,
)
from maker.desk.fair import FairValue, FairValueEstimator, NoFair
from maker.desk.identity import Identity
from maker.desk.market import MARGIN_CODE, CycleSettings, MarketDesk, MarketSettings
from maker.desk.risk import AccountLimits, ApprovedLadder, Refused, beyond_limit
from maker.desk.units import Side
from maker.errors import StreamBroken, StreamFault

HALTED_CODE = "MARKET_HALTED"
RISK_HOLD_SECONDS = 1.0  # between two looks at a ladder that risk refused
QUOTE_AGE_PULL = 1.5  # of the age at which a ladder is to be replaced: then it is pulled instead
WAIT_SECONDS_MIN = 0.001  # a clock of floats must move
WAIT_SECONDS_MAX = 1.0  # decide is asked at least this often, whatever happens
POSITION_GRACE_SECONDS = 2.0  # a fill and its position change may come in different events
POSITION_READ_SECONDS = 2.0  # ... and in different reads: an account read again after this still does not explain it
POSITION_REREAD_SECONDS = 0.5  # between two of those reads


@attrs.define
class Engine:
    """All markets, the budget and the state of the switch."""

    identity: Identity
    cycle: CycleSettings
    account_limits: AccountLimits
    budget: Budget
    markets: dict[str, MarketDesk] = attrs.field(factory=dict)
    holding: Trip | None = None
    emptied: bool = False  # since `holding` began, the exchange was read back empty
    account_read_due: str = "the account has not been read yet"  # empty: not due
    account_read_after: float = 0.0  # our clock: not before this, while reads are repeated
    exchange_ms: int | None = None  # the exchange's clock, as its streams told it
    losses: Losses = attrs.field(init=False)
    balance: Decimal | None = None  # perps bucket, as last read in passing
    balance_read: Decimal | None = None  # as last read together with positions and trades
    balance_explained: Decimal = Decimal(0)  # its change since the start as our own fills explain it
    available: Decimal | None = None
    balance_start: Decimal | None = None
    new_fills: list[Fill] = attrs.field(factory=list)  # booked and not yet taken by `take_fills`
    notes: list[str] = attrs.field(factory=list)  # sentences for the log, taken by `take_notes`
    ladders_placed: int = 0

    def __attrs_post_init__(self) -> None:
        self.losses = Losses(self.account_limits)

    def add_market(self, settings: MarketSettings) -> None:
        """Add a market before the first fact."""
        spec = settings.account.spec
        fair = FairValueEstimator(spec.grid, settings.fair)
        self.markets[spec.market_id] = MarketDesk(settings.account, fair, settings.ladder, settings.limits)

    # -- facts

    def apply(self, event: Event, now: float) -> Trip | None:
        """Book one fact. A Trip: pull every quote, before anything else. Raises StreamBroken for an impossible book."""
        trip = self.book(event, now)
        match event:
            case StreamDelta(fills=(), positions=(), removed_position_ids=()):
                return trip  # the book alone, many times a second
            case StreamDelta() | StreamSnapshot() | MarketStats() | AccountRead():
                return self.broken(now) or trip
            case _:
                return trip

    def book(self, event: Event, now: float) -> Trip | None:
        match event:
            case StreamDelta() | StreamSnapshot():
                return self.stream_event(self.markets[event.market_id], event, now)
            case StreamHeard():
                market = self.markets[event.market_id]
                start_again(market)
                market.heard_at = now
                market.account.heard(None, now)
            case StreamLost():
                return self.stream_lost(self.markets[event.market_id], event)
            case ReferenceQuote():
                for market in self.markets.values():
                    if market.fair.settings.reference_symbol == event.symbol:
                        market.fair.quote(event, now)
            case ReferenceHeard():
                for market in self.markets.values():
                    market.fair.heard(now)
            case ReferenceLost():
                for market in self.markets.values():
                    market.fair.lost()
                return self.trip(Reason.REFERENCE_STALE, event.detail)
            case MarketStats():
                market = self.markets[event.market_id]
                market.fair.stats(event, now)
                market.marked(event.mark)
            case SpecRead():
                return self.listed(event, now)
            case BudgetSeen():
                self.budget.seen(event.limit, event.remaining, event.reset_seconds, now)
            case OpenOrdersRead():
                return self.orders_read(event, now)
            case AccountRead():
                return self.account_read(event, now)
            case BalanceRead():
                self.balance, self.available = event.balance, event.available
            case ReadEmpty():
                self.read_empty()
            case _:
                return self.outcome(event, now)
        return None

    def stream_event(self, market: MarketDesk, event: StreamSnapshot | StreamDelta, now: float) -> Trip | None:
        market.heard_at = now
        account = market.account
        if isinstance(event, StreamDelta):
            start_again(market)
        if isinstance(event, StreamDelta) and not market.live:
            raise StreamBroken(StreamFault.GAP, "a change came while a snapshot is due")
        try:
            if isinstance(event, StreamSnapshot):
                market.book.load(event.bids, event.asks)
            else:
                market.book.apply(event.bids, event.asks)
        except Exception:
            market.live = False  # in the same step as the discovery; whoever feeds us then says StreamLost
            raise
        for fill in event.fills:
            self.book_fill(market, fill)
        if isinstance(event, StreamSnapshot):
            account.positions_whole(event.positions)
            market.live, market.lost, market.resnapshot_due = True, False, False
        else:
            for seen in event.positions:
                account.position(seen)
            account.positions_removed(event.removed_position_ids)
        account.heard(event.engine_ms, now)
        self.exchange_ms = max(self.exchange_ms or 0, event.engine_ms)
        if account.explained:
            market.unexplained_since = market.unexplained_read_at = None
        elif market.unexplained_since is None:
            market.unexplained_since = now
        return None

    def stream_lost(self, market: MarketDesk, event: StreamLost) -> Trip | None:
        """Pull for a stream that broke; not again for each vain reconnection, while others are quoted."""
        market.live, market.lost_detail = False, f"its stream broke ({event.fault.value}: {event.detail})"
        if market.lost and not market.account.exposed:
            return None
        market.lost = True
        self.account_read_due = f"the stream of {event.market_id} broke"
        return self.trip(Reason.STREAM_BROKEN, f"{event.market_id} {event.fault.value}: {event.detail}")

    def book_fill(self, market: MarketDesk, fill: Fill) -> None:
        if market.account.fill(fill):
            market.disturbed = "filled"
            market.burst.add(fill)
            self.new_fills.append(fill)

    def orders_read(self, read: OpenOrdersRead, now: float) -> Trip | None:
        """Believe what rests. An order we do not know is pulled with everything else."""
        strange = [order for order in read.orders if order.market_id not in self.markets]
        strangers = [f"{order.market_id} {order.client_order_id or order.order_id}" for order in strange]
        for market in self.markets.values():
            before = set(market.account.resting)
            unknown = market.account.orders_read(read, now)
            strangers.extend(f"{order.market_id} {order.client_order_id or order.order_id}" for order in unknown)
            market.orders_known = True
            if set(market.account.resting) != before:
                market.disturbed = "what rests is not the ladder we placed"
        if strangers:
            return self.trip(Reason.ORDERS_DISAGREE, ", ".join(strangers[:3]), exposed=True)
        return None

    def account_read(self, read: AccountRead, now: float) -> Trip | None:
        """Take a complete read of positions, trades and balance, made while nothing of ours rested.

        A position that it does not explain is read again, for trades may be told later than positions; one that stays
        unexplained was changed by a liquidation or by somebody else, and a person must look.
        """
        for fill in read.fills:
            if fill.market_id in self.markets:
                self.book_fill(self.markets[fill.market_id], fill)
        self.account_read_due = ""
        trip: Trip | None = None
        for market in self.markets.values():
            account = market.account
            account.positions_whole(read.positions)
            if account.explained:
                market.unexplained_since = market.unexplained_read_at = None
                continue
            size = account.spec.grid.size
            detail = f"{market.market_id}: position {size.text(account.position_lots)}, our fills say "
            detail += size.text(account.position_summed_lots)
            if market.unexplained_read_at is None:
                market.unexplained_read_at = now
            elif now - market.unexplained_read_at >= POSITION_READ_SECONDS:
                trip = trip or self.trip(Reason.POSITION_UNEXPLAINED, detail)
            self.account_read_due = f"{detail}; reading it again"
            self.account_read_after = now + POSITION_REREAD_SECONDS
        self.balance, self.available = read.balance, read.available
        self.balance_read = read.balance
        self.balance_explained = sum((market.balance_change for market in self.markets.values()), Decimal(0))
        return trip

    def listed(self, event: SpecRead, now: float) -> Trip | None:
        """Take a listing read again: bands, fees, and whether the market trades."""
        market = self.markets[event.spec.market_id]
        market.relisted(event.spec)
        if event.active:
            market.trading_again()
            return None
        market.halt(now)
        return self.trip(Reason.MARKET_HALTED, f"{market.market_id}, as its listing says")

    def baseline(self, read: AccountRead) -> None:
        """The account as found at the start: its old trades are known, its position is where we begin."""
        for fill in read.fills:
            if fill.market_id in self.markets:
                self.markets[fill.market_id].account.trade_ids.is_new(fill.trade_id)
        for market in self.markets.values():
            market.account.positions_whole(read.positions)
            market.account.position_summed_lots = market.account.position_lots
            market.account.position_start_lots = market.account.position_lots
            market.account.entry_start = market.account.entry_price
        self.balance, self.available = read.balance, read.available
        self.balance_start = read.balance
        self.account_read_due = ""

    def read_empty(self) -> None:
        self.emptied = True
        for market in self.markets.values():
            market.account.nothing_rests()
            market.quoted = market.sent = None
            market.orders_known = True

    def resume(self) -> None:
        """The pull is verified and the account read back: quote again as soon as every input is consistent."""
        assert self.emptied, "resumed before the exchange was read back empty"
        assert not self.account_read_due, "resumed before the account was read back"
        if self.holding is None or self.holding.reason.recoverable:
            self.holding = None
        self.emptied = False

    # -- outcomes of our own ladders

    def outcome(self, event: Event, now: float) -> Trip | None:
        match event:
            case LadderPlaced():
                self.ladders_placed += 1
                market = self.markets[event.market_id]
                return self.margin(market, market.ladder_placed(event, now))
            case LadderRefused():
                return self.refusal(self.markets[event.market_id], event, now)
            case LadderThrottled():
                self.budget.throttled(event.seconds, now)
                self.markets[event.market_id].ladder_unsent()
                return None
            case LadderUnsent():
                market = self.markets[event.market_id]
                market.ladder_unsent()
                return self.failure(market, event.detail, now)
            case LadderUnknown():
                market = self.markets[event.market_id]
                market.orders_known = False
                self.account_read_due = f"the outcome of a ladder on {event.market_id} is unknown"
                return self.trip(Reason.OUTCOME_UNKNOWN, f"{event.market_id} {event.quote_id}: {event.detail}")
            case _:
                raise AssertionError(f"no such fact: {event!r}")

    def refusal(self, market: MarketDesk, event: LadderRefused, now: float) -> Trip | None:
        """Refused whole. Whether the old ladder still rests is not documented: read it back."""
        market.ladder_refused()
        if event.code == MARGIN_CODE:
            return self.margin(market, [market.margin_refused(now)])
        if event.code == HALTED_CODE:
            market.halt(now)
            return self.trip(Reason.MARKET_HALTED, event.market_id)
        return self.failure(market, f"{event.status} {event.code} {event.message}", now)

    def margin(self, market: MarketDesk, notes: list[str]) -> Trip | None:
        """Say that margin was refused; repeatedly: pull, for what rests stands on margin that is not there."""
        self.notes.extend(notes)
        if notes and not market.margin_refusals:  # it has just begun to be held
            return self.trip(Reason.MARGIN_REFUSED, market.market_id)
        return None

    def failure(self, market: MarketDesk, detail: str, now: float) -> Trip | None:
        if market.failed(detail, now):
            return self.trip(Reason.ORDERS_FAILING, f"{market.market_id} {detail}")
        return None

    # -- the switch

    @property
    def exposed(self) -> bool:
        """Whether anything of ours rests or may rest."""
        return any(market.account.exposed for market in self.markets.values())

    def trip(self, reason: Reason, detail: str, *, exposed: bool | None = None) -> Trip | None:
        """Start holding. None when it holds already, or when nothing of ours rests: there is nothing to pull.

        A reason that ends the run needs nothing resting, and is told though the quotes are being pulled already.
        """
        final = not reason.recoverable
        if self.holding is not None and not (final and self.holding.reason.recoverable):
            return None
        if not final and not (self.exposed if exposed is None else exposed):
            return None
        self.holding = Trip(reason, detail)
        self.emptied = False
        self.account_read_due = self.account_read_due or "quotes were pulled"
        return self.holding

    def broken(self, now: float) -> Trip | None:
        """The limits on money and positions that no decision may have broken, after a fact that could show it."""
        for market in self.markets.values():
            account = market.account
            if account.overfilled:
                return self.trip(Reason.OVERFILLED, f"{market.market_id}: {account.overfilled}")
            if market.burst.exceeded:
                size = account.spec.grid.size.text(market.burst.lots)
                return self.trip(
                    Reason.REPEATED_EXECUTION, f"{market.market_id}: {size} within {market.burst.seconds:g} s"
                )
            beyond = beyond_limit(account, market.limits)
            if beyond:
                return self.trip(Reason.POSITION_LIMIT, f"{market.market_id}: {beyond}")
        if all(market.worth_known(now) for market in self.markets.values()):
            lost = self.losses.judge(self.equity_change(), self.exchange_ms)
            if lost is not None:
                return self.trip(*lost)
        return None

    def watch(self, now: float) -> Trip | None:
        """What the passing of time alone makes unsafe, while anything rests."""
        if not self.exposed or self.holding is not None:
            return None
        if self.account_read_due:
            return self.trip(Reason.ORDERS_DISAGREE, f"orders rest though {self.account_read_due}")
        for market in self.markets.values():
            watched = market.live or market.account.exposed
            if watched and market.heard_at is not None and now - market.heard_at > self.cycle.stream_silent_seconds_max:
                market.live, market.lost, market.lost_detail = False, True, "its stream fell silent"
                return self.trip(Reason.STREAM_SILENT, market.market_id)
            fair = market.fair.value(now)
            if isinstance(fair, NoFair) and market.account.exposed:
                stale = market.fair.fresh_for_seconds(now) < 0
                reason = Reason.REFERENCE_STALE if stale else Reason.NO_FAIR_VALUE
                return self.trip(reason, f"{market.market_id}: {fair.reason}")
            if market.account.resting and now - market.quoted_at > QUOTE_AGE_PULL * self.cycle.quote_age_seconds_max:
                return self.trip(Reason.QUOTES_TOO_OLD, market.market_id)
            since = market.unexplained_since
            if since is not None and now - since > POSITION_GRACE_SECONDS:
                return self.trip(Reason.POSITION_DISAGREES, market.market_id)
        return None

    # -- decisions

    def not_quoting(self, market: MarketDesk, now: float) -> str:
        """Why this market is not quoted now, as a sentence; empty when it may be."""
        if self.holding is not None:
            return f"quotes were pulled: {self.holding.sentence}"
        if self.account_read_due:
            return f"the account must be read back: {self.account_read_due}"
        return market.not_quoting(self.cycle, now)

    def decide(self, now: float) -> Action:
        """The next thing to do. A PlaceLadder must be sent at once: freshness was checked at this `now`."""
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
        wait = WAIT_SECONDS_MAX
        best: tuple[float, MarketDesk, ApprovedLadder, str] | None = None
        for market in self.markets.values():
            if self.not_quoting(market, now):
                continue
            resting_seconds = now - market.quoted_at
            if market.quoted is not None and resting_seconds < self.cycle.requote_seconds_min:
                wait = min(wait, self.cycle.requote_seconds_min - resting_seconds + WAIT_SECONDS_MIN)
                continue
            approved = self.want(market, now)
            if approved is None or approved.ladder == market.refused:
                continue
            urgency, why = market.urgency(approved.ladder, self.cycle, now)
            if urgency >= 1 and (best is None or urgency > best[0]):
                best = (urgency, market, approved, why)
        if best is None:
            return Wait(wait)
        budget_wait = self.budget.wait_seconds(now)
        if budget_wait > 0:
            return Wait(min(wait, budget_wait))
        _, market, approved, why = best
        return self.begin(market, approved, why, now)

    def want(self, market: MarketDesk, now: float) -> ApprovedLadder | None:
        """The approved ladder of a market; a refusal of risk is noted and holds the market for a moment."""
        others = sum((other.worst_value(now) for other in self.markets.values() if other is not market), Decimal(0))
        wanted = market.want(self.account_limits, others, now)
        if isinstance(wanted, Refused):
            self.notes.append(f"{market.market_id}: risk refused a ladder: {wanted.reason}")
            market.hold(now, f"risk refused its ladder ({wanted.reason})", RISK_HOLD_SECONDS)
            return None
        return wanted

    def begin(self, market: MarketDesk, approved: ApprovedLadder, why: str, now: float) -> PlaceLadder:
        """Book a ladder as in flight and name its levels. From here on it counts."""
        ladder = approved.ladder
        quote_id = self.identity.quote_id()
        orders = tuple(
            LevelOrder(self.identity.client_order_id(), side, level.ticks, level.lots, ladder.reduce_only is side)
            for side in Side
            for level in ladder.side(side)
        )
        market.account.begin(quote_id, orders)
        market.sent = ladder
        self.budget.spend(now)
        fair = market.fair.value(now)
        assert isinstance(fair, FairValue), "decided at the same now"
        return PlaceLadder(market.market_id, quote_id, orders, why, fair.subticks)

    # -- what others may read

    def take_fills(self) -> list[Fill]:
        """Fills booked since the last call."""
        taken, self.new_fills = self.new_fills, []
        return taken

    def take_notes(self) -> list[str]:
        """Sentences for the log since the last call."""
        taken, self.notes = self.notes, []
        return taken

    def states(self, now: float) -> Iterator[tuple[str, str]]:
        """Each market with its sentence, empty while it is quoted."""
        for market in self.markets.values():
            yield market.market_id, self.not_quoting(market, now)

    def funding_paid(self) -> Decimal:
        """Funding since the start, in quote currency, negative when received: what the last account read shows that our
        own fills do not explain. OCX documents no funding record, so anything else unexplained would show here too.

        balance = cash + sum(position * entry price), so this is exact whenever the exchange's arithmetic is.
        """
        if self.balance_read is None or self.balance_start is None:
            return Decimal(0)
        return self.balance_start - self.balance_read + self.balance_explained

    def equity_change(self) -> Decimal:
        """Profit since the start in quote currency: fees and funding included, positions at mark."""
        return sum((market.equity_change for market in self.markets.values()), -self.funding_paid())


def start_again(market: MarketDesk) -> None:
    """Raises StreamBroken where a market's stream goes on though what it said is void: its feed connects anew."""
    if market.resnapshot_due:
        market.resnapshot_due = False
        raise StreamBroken(StreamFault.CLOSED, "the market was halted: starting again from a snapshot")
