"""The judge: what one run earned and where it came from, out of the exchange's record alone.

Every fill is valued at the exchange's index of its moment, the price that no quote of ours can move:

    spread captured = sum of side x (index - price) x size      what the quotes earned when they were hit
    inventory       = sum of position x change of index         what holding the position earned afterwards
    profit          = spread captured + inventory - fees - funding + position x (mark - index) at the end

and the left side is the exchange's own equity less the deposit. Money is Decimal and the two sides agree to the last
digit, or the run is void (`Unexplained`). The maker's own books are never asked.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import attrs

from maker.compare.history import KINDS, MARKOUT_SECONDS, Path
from maker.compare.result import Inventory, Markout, Money, Quotes, Result
from maker.desk.units import BPS
from maker.paper.accounts import Account
from maker.paper.exchange import Exchange
from maker.paper.money import ZERO, exactly
from maker.paper.orders import SIGN, OwnTrade

OWN: Final = "own"  # fills that no taker made: a quote of ours that took. Post-only: there should be none


class Unexplained(Exception):
    """The parts do not add up to what the exchange says: nothing of this run may be believed."""


@attrs.frozen
class Hit:
    """One fill, for the markouts."""

    second: int
    sign: int  # +1: we bought
    price: float
    value: float  # quote units
    kind: str


@attrs.define(eq=False)
class Ledger:
    """Watches one user of one market of an exchange."""

    exchange: Exchange
    market_id: str
    path: Path
    deposit: Decimal
    spread: Decimal = ZERO
    inventory: Decimal = ZERO
    fees: Decimal = ZERO
    position: Decimal = ZERO
    index: Decimal = attrs.field(init=False)  # of the last fill
    trade_index: int = 0
    hits: list[Hit] = attrs.field(factory=list)
    held: Counter[int] = attrs.field(factory=Counter)  # seconds by signed lots
    lots: int = 0
    cash: float = 0.0  # quote units since the start, fees and funding paid
    peak: float = 0.0
    drawdown: float = 0.0
    book_sequence: int = -1
    half_spread: float | None = None  # quote units, of what rests; None: not on both sides
    half_spread_sum_bps: float = 0.0
    two_sided_seconds: int = 0
    quoted_seconds: int = 0
    any_side: bool = False
    seconds: int = 0
    requests: int = 0
    ladders: int = 0
    pulls: Counter[str] = attrs.field(factory=Counter)  # by reason
    digest: Any = attrs.field(factory=hashlib.sha256)  # of what happened
    drawn: Any = attrs.field(init=False)  # of what was drawn whatever happened
    user: str = attrs.field(init=False)
    account: Account = attrs.field(init=False)
    step_size: Decimal = attrs.field(init=False)  # base units
    lot: float = attrs.field(init=False)  # the same
    grid: float = attrs.field(init=False)  # of the path, quote units

    def __attrs_post_init__(self) -> None:
        self.index = self.exchange.index(self.market_id)
        self.user = self.exchange.user_id
        self.account = self.exchange.state.accounts[self.user]
        spec = self.exchange.state.markets[self.market_id].spec
        self.step_size = spec.step_size
        self.lot = float(spec.step_size)
        self.grid = float(self.path.grid)
        self.drawn = hashlib.sha256(repr((self.path.reference, self.path.index, self.path.regime)).encode())

    # -- what happens

    def look(self, kind: str) -> bool:
        """Book the fills that came of what has just been done; say whether there were any."""
        if self.account.trade_count == self.trade_index:
            return False
        for trade in self.exchange.own_trades(self.user, since_index=self.trade_index):
            self.fill(trade, kind)
        self.trade_index = self.account.trade_count
        return True

    @exactly
    def fill(self, trade: OwnTrade, kind: str) -> None:
        """Book one fill at the index of now."""
        index = self.exchange.index(self.market_id)
        signed = SIGN[trade.side] * trade.quantity
        self.spread += signed * (index - trade.price)
        self.inventory += self.position * (index - self.index)
        self.fees += trade.fee
        self.index = index
        self.position += signed
        self.lots = int(self.position / self.step_size)
        self.cash = float(self.account.cash() - self.deposit)
        value = trade.price * trade.quantity
        sign = 1 if signed > 0 else -1
        self.hits.append(Hit(self.seconds, sign, float(trade.price), float(value), kind))
        self.digest.update(f"fill {trade.created_ms} {trade.side} {trade.price} {trade.quantity} {kind}\n".encode())

    def sent(self, what: str, at_ms: int) -> None:
        """A request of the order path reached the exchange."""
        self.requests += 1
        self.digest.update(f"{what} {at_ms}\n".encode())

    def pulled(self, reason: str, at_ms: int) -> None:
        """The maker pulled its quotes."""
        self.pulls[reason] += 1
        self.digest.update(f"pull {reason} {at_ms}\n".encode())

    def funded(self) -> None:
        """Funding may have been exchanged."""
        self.cash = float(self.account.cash() - self.deposit)

    def sample(self) -> None:
        """Look at position, worth and quotes: once a second, just before the price moves on."""
        index = self.path.index[self.seconds] * self.grid
        self.seconds += 1
        self.held[self.lots] += 1
        equity = self.cash + self.lots * self.lot * index
        self.peak = max(self.peak, equity)
        self.drawdown = max(self.drawdown, self.peak - equity)
        sequence = self.exchange.book_sequence(self.market_id)
        if sequence != self.book_sequence:
            self.book_sequence = sequence
            self.look_at_quotes()
        if self.half_spread is not None:
            self.two_sided_seconds += 1
            self.half_spread_sum_bps += self.half_spread / index * BPS
        self.quoted_seconds += self.any_side

    def look_at_quotes(self) -> None:
        """Half of what lies between our best bid and our best ask."""
        bid: Decimal | None = None
        ask: Decimal | None = None
        for order in self.exchange.state.registries[self.user].open.values():
            if order.side == "buy":
                bid = order.price if bid is None or order.price > bid else bid
            else:
                ask = order.price if ask is None or order.price < ask else ask
        self.any_side = bid is not None or ask is not None
        self.half_spread = None if bid is None or ask is None else float(ask - bid) / 2

    # -- the judgement

    @exactly
    def money(self) -> Money:
        """The profit and its parts as of now. Raises Unexplained where they do not add up."""
        index = self.exchange.index(self.market_id)
        profit = self.exchange.equity(self.user) - self.deposit
        money = Money(
            profit=profit,
            spread=self.spread,
            inventory=self.inventory + self.position * (index - self.index),
            fees=self.fees,
            funding=self.account.funding_paid,
            mark_gap=self.position * (self.exchange.mark(self.market_id) - index),
        )
        parts = money.spread + money.inventory - money.fees - money.funding + money.mark_gap
        if parts != profit or self.position != self.account.quantity(self.market_id):
            raise Unexplained(f"equity changed by {profit}, the parts add up to {parts}")
        return money

    def result(self, model: str, seed: int, limit: Decimal) -> Result:
        """All that is known of a run that is over. `limit`: of the position, base units. Raises Unexplained."""
        seconds = max(1, self.seconds)
        lots = sum(lots * times for lots, times in self.held.items()) / seconds
        variance = sum((held - lots) ** 2 * times for held, times in self.held.items()) / seconds
        limit_lots = float(limit / self.step_size)
        money = self.money()
        self.digest.update(f"end {money.profit} {self.requests}\n".encode())
        return Result(
            model=model,
            seed=seed,
            seconds=self.seconds,
            money=money,
            drawdown=self.drawdown,
            inventory=Inventory(
                mean=lots * self.lot,
                deviation=variance**0.5 * self.lot,
                low=quantile(self.held, 0.05) * self.lot,
                high=quantile(self.held, 0.95) * self.lot,
                limit=limit_lots * self.lot,
            ),
            quotes=Quotes(
                half_spread_bps=self.half_spread_sum_bps / max(1, self.two_sided_seconds),
                two_sided_share=self.two_sided_seconds / seconds,
                quoted_share=self.quoted_seconds / seconds,
                requests=self.requests,
                ladders=self.ladders,
                pulls=tuple(sorted(self.pulls.items())),
            ),
            fills=tuple((kind, sum(hit.kind == kind for hit in self.hits)) for kind in KINDS),
            volume=sum(hit.value for hit in self.hits),
            markouts=tuple(markout(self.hits, self.path, later, "") for later in MARKOUT_SECONDS),
            markouts_informed=tuple(markout(self.hits, self.path, later, "informed") for later in MARKOUT_SECONDS),
            digest=self.digest.hexdigest(),
            drawn=self.drawn.hexdigest(),
        )


def quantile(held: Counter[int], share: float) -> int:
    """The position in lots below or at which so much of the time was spent."""
    wanted, passed = share * sum(held.values()), 0
    for lots, times in sorted(held.items()):
        passed += times
        if passed >= wanted:
            return lots
    return 0


def markout(hits: list[Hit], path: Path, later: int, kind: str) -> Markout:
    """Mean over value of side x (index so many seconds later - price), basis points of the price; positive: earned."""
    grid = float(path.grid)
    value = gained = 0.0
    for hit in hits:
        if kind in ("", hit.kind):
            value += hit.value
            gained += hit.sign * (path.index[hit.second + later] * grid / hit.price - 1) * hit.value
    return Markout(later, gained / value * BPS if value else None)
