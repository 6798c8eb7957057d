"""All that the desk knows: its markets, its budget, its money, and whether it holds back after a trip.

Holding goes round: `trip` begins it, `read_empty` books that the exchange was read back empty, an account read clears
what was due, and `resume` lets go; after a reason that ends the run it never does. Nothing is decided here: what a fact
changes is in `maker.desk.facts`, what follows from all of it in `maker.desk.engine`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import attrs

from maker.desk.account import FILL_REPORT_SECONDS_MAX
from maker.desk.allocation import TokenPrice
from maker.desk.balances import Balances
from maker.desk.breakers import Losses
from maker.desk.budget import Budget
from maker.desk.deadman import Reason, Trip
from maker.desk.events import AccountRead, BalanceRead, Fill, OrderSeen
from maker.desk.fair import FairValueEstimator
from maker.desk.identity import Identity
from maker.desk.margin import Allowed, Margin, MarginSettings, Reading, stake, worst_lots
from maker.desk.market import CycleSettings, MarketDesk, MarketSettings
from maker.desk.pricing import Pricing
from maker.desk.profit import Attribution, BookedFill, FundingBook, summed
from maker.desk.risk import WHOLE, AccountLimits
from maker.desk.units import exact

TRANSFER_TOLD = Decimal(1)  # quote: what is moved beyond any funding is told from here on; less may be a rounded fee


@attrs.define
class DeskState:
    """All markets, the budget, the money, and the trip it holds after."""

    identity: Identity
    cycle: CycleSettings
    account_limits: AccountLimits
    budget: Budget
    margin_settings: MarginSettings
    markets: dict[str, MarketDesk] = attrs.field(factory=dict)
    holding: Trip | None = None
    seen_resting: str = ""  # while pulled: orders that a read beside the halt has shown ...
    seen_after: float | None = None  # ... after this read back, as `Panic.emptied_at`
    emptied: bool = False  # since `holding` began, the exchange was read back empty
    account_read_due: str = "the account has not been read yet"  # empty: not due
    account_read_after: float = 0.0  # our clock: not before this, while reads are repeated
    listing_due: bool = False  # an order was refused in a way that the listing may explain: read it, and fees, now
    unvalued: str = ""  # why no loss limit can be judged, once that has lasted too long to quote any market
    exchange_ms: int | None = None  # the exchange's clock, as its streams told it
    unix_ahead_seconds: float | None = None  # this machine's unix time less our clock; None: nobody has told it
    losses: Losses = attrs.field(init=False)
    margin: Margin = attrs.field(init=False)
    balance: Decimal | None = None  # perps bucket, as last read in passing
    balance_read: Decimal | None = None  # as last booked: read with positions and trades, or told apart from fills
    balance_explained: Decimal = Decimal(0)  # its change since the start as our own fills explain it
    available: Decimal | None = None
    balance_start: Decimal | None = None
    paid_in: Decimal = Decimal(0)  # since then, quote: in no profit
    funding: FundingBook = attrs.field(factory=FundingBook)
    balances: Balances = attrs.field(factory=Balances)
    alarms: dict[str, str] = attrs.field(factory=dict)  # a market, or "account" -> the first sum that did not add up
    beside: dict[str, str] = attrs.field(factory=dict)  # somebody did on the account -> its sentence
    fact_at: float = 0.0  # our clock: the last fact
    new_fills: list[BookedFill] = attrs.field(factory=list)  # not yet taken by `take_booked`
    notes: list[str] = attrs.field(factory=list)  # sentences for the log, taken by `take_notes`
    ladders_placed: int = 0
    quoting_since: float | None = None  # our clock: the first ladder of the run left
    token_price: TokenPrice = attrs.field(factory=TokenPrice)

    def __attrs_post_init__(self) -> None:
        self.losses = Losses(self.account_limits)
        self.margin = Margin(self.margin_settings)

    def add_market(self, settings: MarketSettings) -> None:
        """Add a market before the first fact."""
        spec = settings.account.spec
        fair = FairValueEstimator(spec.grid, settings.fair, settings.volatility)
        pricing = Pricing(spec.grid, settings.model_name, settings.model, settings.intensity)
        one = MarketDesk(settings.account, fair, settings.ladder, settings.limits, pricing, funding=settings.funding)
        self.markets[spec.market_id] = one

    def baseline(self, read: AccountRead, now: float) -> None:
        """The account as found at the start: its old trades are known, its position is where we begin."""
        for fill in read.fills:
            if fill.market_id in self.markets:
                self.markets[fill.market_id].account.trade_ids.is_new(fill.trade_id)
        for market in self.markets.values():
            market.account.positions_whole(read.positions)
            market.account.position_summed_lots = market.account.position_lots
            market.account.position_start_lots = market.account.position_lots
            market.account.entry_start = market.account.entry_price
            market.worth.attribution.begin(market.account.position_lots)
        self.balance_start = read.balance
        self.money_read(read, now)
        self.funding.begin(read.balance)
        self.explain(now)
        self.balances.agree(now)
        self.account_read_due = ""

    def strays(self, orders: Iterable[OrderSeen]) -> set[str]:
        """Of orders that a read shows, the names of ours that no market knows."""
        names = {order.client_order_id for order in orders if self.identity.is_ours(order.client_order_id)}
        accounts = [market.account for market in self.markets.values()]
        return {name for name in names if name is not None and not any(one.knows(name) for one in accounts)}

    def look_elsewhere(self, read: AccountRead) -> None:
        """Say once a run that somebody trades beside us: a start refuses such a position, and no limit counts it."""
        if read.elsewhere:
            named = ", ".join(f"{market_id} {size:f}" for market_id, size in read.elsewhere)
            sentence = f"positions in markets that are not configured ({named[:200]}) are in no limit"
            self.beside.setdefault("positions elsewhere", f"{sentence}, and the next start is refused")

    # -- holding back

    @property
    def exposed(self) -> bool:
        """Whether anything of ours rests or may rest."""
        return any(market.account.exposed for market in self.markets.values())

    def trip(self, reason: Reason, detail: str, *, exposed: bool | None = None) -> Trip | None:
        """Start holding. None when it holds already, or when nothing of ours rests: there is nothing to pull.

        A reason that ends the run needs nothing resting, and is told though the quotes are being pulled already; so is
        one that survives a restart (S21) though the run is ending for another: nobody may start after it unseen.
        """
        final = not reason.recoverable
        if self.holding is not None and reason.weight <= self.holding.reason.weight:
            return None
        if not final and not (self.exposed if exposed is None else exposed):
            return None
        self.holding = Trip(reason, detail)
        self.emptied = False
        self.account_read_due = self.account_read_due or "quotes were pulled"
        return self.holding

    def read_empty(self) -> None:
        self.emptied = True
        for market in self.markets.values():
            market.account.nothing_rests()
            market.quoted = market.sent = market.looked = market.waits_since = None
            market.orders_known = True

    def resume(self) -> None:
        """The pull is verified and the account read back: quote again as soon as every input is consistent."""
        assert self.emptied, "resumed before the exchange was read back empty"
        assert not self.account_read_due, "resumed before the account was read back"
        if self.holding is None or self.holding.reason.recoverable:
            self.holding = None
        self.emptied = False

    def ramp(self, now: float) -> Decimal:
        """The share of the position caps that holds now: small until the first ladder is `ramp_seconds` old."""
        limits, since = self.account_limits, self.quoting_since
        over = not limits.ramp_seconds or (since is not None and now - since >= limits.ramp_seconds)
        return WHOLE if over else limits.ramp_ratio

    # -- margin

    def money_read(self, read: AccountRead | BalanceRead, now: float) -> None:
        """Take balance and margin as the exchange states them; what is quoted follows at the next decision."""
        self.balance, self.available = read.balance, read.available
        with exact():
            reckoned = read.balance + sum((market.worth.unrealized for market in self.markets.values()), Decimal(0))
        equity = reckoned if read.equity is None else read.equity
        stakes = {name: stake(market.account, self.lot_margin(market, now)) for name, market in self.markets.items()}
        before = self.margin.step, self.margin.factor
        for market in self.markets.values():
            market.looked = None  # what was built on another balance says nothing
        self.notes.extend(self.margin.read(Reading(read.available, equity, stakes, now)))
        if before != (self.margin.step, self.margin.factor):
            for market in self.markets.values():
                market.disturbed = "margin headroom"

    def lot_margin(self, market: MarketDesk, now: float) -> Decimal:
        """Initial margin of one lot of a market, in quote currency."""
        return market.lot_margin(self.margin_settings.margin_ratio, self.margin_settings.preview_seconds, now)

    def allowed(self, market: MarketDesk, now: float) -> Allowed:
        """What margin allows a market beside the worst case of all others."""
        needs = sum(
            (
                self.margin.need(other.market_id, self.lot_margin(other, now), worst_lots(other.account))
                for other in self.markets.values()
                if other is not market
            ),
            Decimal(0),
        )
        return self.margin.allowed(market.market_id, self.lot_margin(market, now), needs, now)

    # -- balances

    def explain(self, now: float) -> None:
        """Note what fills explain of the balance, after what may have changed a position, cash or an entry price."""
        markets = self.markets.values()
        with exact():
            held = sum((market.worth.value for market in markets), Decimal(0))
            explained = sum((market.worth.balance_change for market in markets), Decimal(0))
        self.balances.explain(explained if self.all_explained else None, held, now)

    @property
    def all_explained(self) -> bool:
        """Whether in every market the fills we know add up to the position."""
        return all(market.account.explained for market in self.markets.values())

    def settle_balance(self, now: float) -> None:
        """Book what a balance read in passing shows, once every stream has told the fills that it may contain.

        Not while a whole read is due: what was traded may have gone untold.
        """
        waiting = self.balances.waiting
        if self.account_read_due or self.balance_start is None:
            self.balances.forget()
        elif waiting is not None and self.told_since(waiting.read_at):
            received = self.balances.settle(self.balance_start, self.funding.received)
            if received is not None:
                with exact():
                    explained = waiting.balance - self.balance_start - received
                self.book_balance(waiting.balance, explained, now)

    def told_since(self, at: float) -> bool:
        """Whether no stream can still tell a fill of before a moment; nothing rests where one is down."""
        heard_from = at + FILL_REPORT_SECONDS_MAX
        return all(
            market.heard_at is not None and market.heard_at >= heard_from if market.live else not market.account.exposed
            for market in self.markets.values()
        )

    def book_balance(self, balance: Decimal, explained: Decimal, now: float) -> None:
        """Book what fills do not explain: as funding, but for what comes in beyond any funding. What goes out beyond it
        stays a loss, and is said once a run.
        """
        self.balance_read, self.balance_explained = balance, explained
        self.funding.read(balance, explained)
        if not self.all_explained:
            return  # it is read again; until then it says nothing
        moved = self.balances.transferred(self.funding.unjudged(), now)
        if moved > 0:
            with exact():
                self.paid_in += moved
            self.losses.paid_in(moved)
        if moved >= TRANSFER_TOLD:
            self.notes.append(f"{moved:.2f} came in beyond any funding: money paid in is no profit")
        elif moved <= -TRANSFER_TOLD:
            gone = (
                f"{-moved:.2f} went out that neither fills nor any funding explain: a withdrawal, or a fee not booked"
            )
            self.beside.setdefault("money gone", f"{gone}; it counts as lost, and is shown as funding")
        self.balances.agree(now)

    # -- money and messages

    def take_booked(self) -> list[BookedFill]:
        """Fills booked since the last call, with what was known then."""
        taken, self.new_fills = self.new_fills, []
        return taken

    def take_fills(self) -> list[Fill]:
        """The same, for whoever needs no more than the fills."""
        return [booked.fill for booked in self.take_booked()]

    def take_notes(self) -> list[str]:
        """Sentences for the log since the last call."""
        taken, self.notes = self.notes, []
        return taken

    def funding_paid(self) -> Decimal:
        """Funding since the start, in quote currency, negative when received: what the last balance booked shows that
        our own fills do not explain, less what was paid in. OCX documents no funding record, so money taken out, and
        anything else unexplained, shows here too.

        balance = cash + sum(position * entry price), so this is exact whenever the exchange's arithmetic is.
        """
        if self.balance_read is None or self.balance_start is None:
            return Decimal(0)
        with exact():
            return self.balance_start + self.paid_in - self.balance_read + self.balance_explained

    def equity_change(self) -> Decimal:
        """Profit since the start in quote currency: fees and funding included, positions at mark."""
        with exact():
            return sum((market.worth.equity_change for market in self.markets.values()), -self.funding_paid())

    def equity_range(self, now: float) -> tuple[Decimal, Decimal]:
        """The same, the least and the most that it can be by marks that nothing confirms and those before them."""
        doubts = [market.worth.doubt(market.fair, now) for market in self.markets.values()]
        with exact():
            least = sum((doubt for doubt in doubts if doubt < 0), self.equity_change())
            return least, least + sum((abs(doubt) for doubt in doubts), Decimal(0))

    def equity_start(self) -> Decimal:
        """The account's equity when the run began, in quote currency: balance, and positions at their first mark. With
        what was paid in since, for that is no profit.
        """
        with exact():
            start = self.paid_in if self.balance_start is None else self.balance_start + self.paid_in
            return sum((market.worth.unrealized_start for market in self.markets.values()), start)

    # -- where it came from

    def attributions(self) -> dict[str, Attribution]:
        """What made the profit of each market that has a mark; the first one shows the account's funding."""
        with exact():
            funding = self.funding.received - self.paid_in
        made: dict[str, Attribution] = {}
        for market_id, market in self.markets.items():
            if market.worth.mark is not None:
                made[market_id] = market.worth.attribution.attribution(funding)
                funding = Decimal(0)
        return made

    def attribution(self) -> Attribution:
        """What made the profit of the account."""
        return summed(self.attributions().values())

    def audit(self) -> None:
        """Compare both books of the profit. What differs is said once a run, in `alarms`; nothing is pulled for it."""
        for market_id, market in self.markets.items():
            wrong = market.worth.does_not_add_up()
            if wrong:
                self.alarms.setdefault(market_id, wrong)
        with exact():
            stated, learnt = self.funding_paid(), self.paid_in - self.funding.received
        if stated != learnt:
            read = f"funding summed read by read is {learnt:f}, balances say {stated:f}"
            self.alarms.setdefault("account", f"the profit does not add up: {read}")

    def look(self, now: float) -> None:
        """Settle markouts and balances that are due, by what was known until now: before a fact changes it."""
        if self.balances.due(now):
            self.settle_balance(now)
        for market in self.markets.values():
            if market.worth.markouts.due_at <= now:
                market.worth.markouts.look(self.fact_at, now, market.fair_subticks)
        self.fact_at = now
