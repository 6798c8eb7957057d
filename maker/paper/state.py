"""The practice exchange's state, and the few questions every part of it asks.

The rooms around it (admission, execution, bulk, upkeep) are plain functions on an `ExchangeState`; `exchange` is
their front door and `persistence` writes the state down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from typing import Final

import attrs

from maker.paper.accounts import Account
from maker.paper.candles import CandleTape
from maker.paper.identifiers import UlidSource
from maker.paper.keys import KeyRing
from maker.paper.margin import Exposure, initial_margin
from maker.paper.market import MarketSpec, default_markets, mark_price, price_band
from maker.paper.matching import OrderBook
from maker.paper.money import ZERO, is_ordinary, plain
from maker.paper.orders import MarketTrade, Order
from maker.paper.ratelimit import LIMIT_DEFAULT, RateWindow
from maker.paper.registry import OrderRegistry
from maker.paper.rejection import Rejection
from maker.paper.switches import Switches

MARKET_TRADES_MAX: Final = 1_000  # trades a market on the public tape
USERS_MAX: Final = 100  # people practising on one exchange; each is a few tens of megabytes at the limits
CROWD_ACCOUNTS_MAX: Final = 100
INSURANCE: Final = "insurance"  # the account that takes over liquidated positions

ChangeSink = Callable[[dict[str, object]], None]
Want = tuple[str, str, Decimal, Decimal]  # market, side, price, quantity of an order that may increase a position


@attrs.frozen(kw_only=True)
class ExchangeSettings:
    """What an exchange is made with; a dump is loaded under the same markets and seed."""

    seed: int = 1
    markets: tuple[MarketSpec, ...] = attrs.field(factory=default_markets)
    switches: Switches = attrs.field(factory=Switches)
    rate_limit_per_minute: int = attrs.field(default=LIMIT_DEFAULT, validator=attrs.validators.ge(1))
    perps_deposit: Decimal = Decimal(100_000)  # quote units in the paper user's perps bucket at the start
    wallet_deposit: Decimal = Decimal(100_000)

    def __attrs_post_init__(self) -> None:
        if not self.markets or len({spec.market_id for spec in self.markets}) != len(self.markets):
            raise ValueError("an exchange lists at least one market, each once")
        for amount in (self.perps_deposit, self.wallet_deposit):
            if not is_ordinary(amount) or amount < 0:
                raise ValueError(f"a deposit cannot be {amount}")


@attrs.define(eq=False)
class Market:
    """One market as it is now."""

    spec: MarketSpec
    index: Decimal
    next_funding_ms: int
    halted: bool = False
    book: OrderBook = attrs.field(factory=OrderBook)
    trade_count: int = 0
    tape: deque[MarketTrade] = attrs.field(factory=lambda: deque(maxlen=MARKET_TRADES_MAX))
    candles: CandleTape = attrs.field(factory=CandleTape)
    last: Decimal | None = None  # price of the last trade
    band: tuple[Decimal, Decimal] = attrs.field(init=False)  # lowest and highest price an order may have

    def __attrs_post_init__(self) -> None:
        self.set_index(self.index)

    def set_index(self, index: Decimal) -> None:
        """Move the index and the price band with it."""
        self.index = index
        self.band = price_band(index, self.spec.tick_size)

    def mark(self) -> Decimal:
        """Return the mark price now."""
        return mark_price(self.index, self.book.bids.best(), self.book.asks.best())


class Marks(Mapping[str, Decimal]):
    """The marks of all markets by id, worked out when asked for."""

    def __init__(self, markets: Mapping[str, Market]) -> None:
        self._markets = markets

    def __getitem__(self, market_id: str) -> Decimal:
        return self._markets[market_id].mark()

    def __iter__(self) -> Iterator[str]:
        return iter(self._markets)

    def __len__(self) -> int:
        return len(self._markets)


@attrs.define(eq=False)
class ExchangeState:
    """Everything the exchange knows."""

    settings: ExchangeSettings
    ids: UlidSource
    user_id: str = ""  # the paper user
    on_change: ChangeSink | None = None
    markets: dict[str, Market] = attrs.field(factory=dict)
    accounts: dict[str, Account] = attrs.field(factory=dict)
    registries: dict[str, OrderRegistry] = attrs.field(factory=dict)
    windows: dict[str, RateWindow] = attrs.field(factory=dict)  # users only
    keys: KeyRing = attrs.field(factory=KeyRing)
    wallets: dict[str, str] = attrs.field(factory=dict)  # user by the address that signs in

    def open_account(self, user_id: str, kind: str) -> Account:
        """Add an account; raises ValueError when the exchange is full."""
        limit = USERS_MAX if kind == "user" else CROWD_ACCOUNTS_MAX
        if user_id in self.accounts or sum(each.kind == kind for each in self.accounts.values()) >= limit:
            raise ValueError(f"no room for another {kind} account {user_id}")
        account = self.accounts[user_id] = Account(user_id=user_id, kind=kind)
        self.registries[user_id] = OrderRegistry()
        if kind == "user":
            self.windows[user_id] = RateWindow(limit=self.settings.rate_limit_per_minute)
        return account

    def market(self, market_id: str) -> Market:
        """Return a market; raises Rejection MARKET_NOT_FOUND."""
        market = self.markets.get(market_id)
        if market is None:
            raise Rejection("MARKET_NOT_FOUND", "no such market")
        return market

    def marks(self) -> Marks:
        """Return the marks by market."""
        return Marks(self.markets)

    def exposures(self, user_id: str, wanted: Collection[Want] = (), without: Collection[str] = ()) -> list[Exposure]:
        """Gather positions, open orders that may increase them, and `wanted` orders, by market.

        Reduce-only orders are left out: they can only bring a position nearer to zero, which no scenario's worst
        case contains. `without` names open orders to leave out.
        """
        found: dict[str, Exposure] = {}

        def at(market_id: str) -> Exposure:
            exposure = found.get(market_id)
            if exposure is None:
                market = self.markets[market_id]
                exposure = found[market_id] = Exposure(underlying=market.spec.base, mark=market.mark())
            return exposure

        for market_id, position in self.accounts[user_id].positions.items():
            at(market_id).position = position.quantity
        for order in self.registries[user_id].open.values():
            if not order.reduce_only and order.order_id not in without:
                at(order.market_id).add_order(order.side, order.price, order.remaining)
        for market_id, side, price, quantity in wanted:
            at(market_id).add_order(side, price, quantity)
        return list(found.values())

    def check_margin(self, user_id: str, wanted: Collection[Want], without: Collection[str] = ()) -> None:
        """Raise Rejection INSUFFICIENT_MARGIN unless equity covers everything with the wanted orders added.

        Nothing wanted that could increase a position: nothing to check.
        """
        if not wanted:
            return
        needed = initial_margin(self.exposures(user_id, wanted, without))
        equity = self.accounts[user_id].equity(self.marks())
        if equity < needed:
            raise Rejection("INSUFFICIENT_MARGIN", f"needs {plain(needed)}, equity is {plain(equity)}")

    def report(self, kind: str, now_ms: int, **facts: object) -> None:
        """Tell the witness of a change: every amount a string, times unix milliseconds."""
        if self.on_change is None:
            return
        change: dict[str, object] = {"kind": kind, "nowMs": now_ms}
        for name, value in facts.items():
            change[name] = plain(value) if isinstance(value, Decimal) else value
        self.on_change(change)

    def report_order(self, action: str, order: Order, reason: str | None, now_ms: int) -> None:
        """Tell the witness of a change of a user's resting order: placed, reduced or removed."""
        if self.on_change is None or order.user_id not in self.windows:
            return
        self.report(
            "order",
            now_ms,
            action=action,
            reason=reason,
            userId=order.user_id,
            marketId=order.market_id,
            orderId=order.order_id,
            clientOrderId=order.client_order_id,
            quoteId=order.quote_id,
            side=order.side,
            price=order.price,
            quantity=order.quantity,
            remaining=order.remaining,
            reduceOnly=order.reduce_only,
        )


def reducible(state: ExchangeState, user_id: str, market_id: str, side: str, without: Collection[str] = ()) -> Decimal:
    """Return how much a new reduce-only order of `side` may have."""
    position = state.accounts[user_id].quantity(market_id)
    return state.registries[user_id].reducible(market_id, side, position, frozenset(without))


def open_interest(state: ExchangeState, market_id: str) -> Decimal:
    """Return the sum of all long positions, which the shorts equal."""
    return sum((max(ZERO, account.quantity(market_id)) for account in state.accounts.values()), ZERO)
