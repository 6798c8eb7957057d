"""The values that go into and come out of the practice exchange's order path.

Requests hold what a client sent, numbers already parsed into decimals, words unchecked: the exchange checks them.
Records are frozen snapshots: a later change of the order does not change them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

from maker.paper.money import ZERO, ratio

SIDES: Final = ("buy", "sell")
TYPES: Final = ("limit", "market")
TIMES_IN_FORCE: Final = ("gtc", "ioc", "fok")
MARGIN_MODES: Final = ("isolated", "cross")
OPPOSITE: Final = {"buy": "sell", "sell": "buy"}
SIGN: Final = {"buy": Decimal(1), "sell": Decimal(-1)}


@attrs.frozen(kw_only=True)
class OrderRequest:
    """One order as a client asks for it."""

    market_id: str
    side: str  # buy | sell
    type: str = "limit"  # limit | market
    quantity: Decimal  # base units
    price: Decimal | None = None  # quote units; needed for limit, ignored for market
    time_in_force: str = "gtc"  # gtc | ioc | fok; a market order is never left resting, whatever it says here
    post_only: bool = False
    reduce_only: bool = False
    margin_mode: str = "cross"  # isolated | cross; kept for cancel-all's scope, margined alike
    client_order_id: str | None = None
    stop_price: Decimal | None = None  # any of these three: 422 CONDITIONAL_ORDERS_UNSUPPORTED
    take_profit_price: Decimal | None = None
    stop_loss_price: Decimal | None = None


@attrs.frozen(kw_only=True)
class QuoteLevel:
    """One level of a bulk: an order request without its market, always a limit order."""

    side: str
    price: Decimal
    quantity: Decimal
    client_order_id: str | None = None
    time_in_force: str = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    margin_mode: str = "cross"


@attrs.frozen(kw_only=True)
class BulkRequest:
    """A ladder for one market; with `cancel_all` it replaces all our resting quotes there in one operation."""

    market_id: str
    quote_id: str
    cancel_all: bool
    quotes: tuple[QuoteLevel, ...]


@attrs.frozen(kw_only=True)
class CancelScope:
    """Which orders a cancel-all takes; all None: everything. Several given: orders that match every one."""

    market_id: str | None = None
    quote_id: str | None = None
    client_order_id: str | None = None
    margin_mode: str | None = None


@attrs.frozen(kw_only=True)
class OrderRecord:
    """An order as it stood when the call returned."""

    order_id: str  # ULID; "" for a level that was rejected and never became an order
    client_order_id: str | None
    quote_id: str | None
    user_id: str
    market_id: str
    side: str
    type: str
    price: Decimal | None  # None for a market order
    quantity: Decimal  # total, filled part included
    filled: Decimal
    remaining: Decimal  # what rests; zero once the order is no longer open
    average_price: Decimal | None  # of the filled part, 28 digits; None while nothing is filled
    time_in_force: str
    post_only: bool
    reduce_only: bool
    margin_mode: str
    status: str  # open | filled | cancelled | rejected; a partly filled resting order is open
    reason: str | None  # why it is no longer open: see Order.reason; for rejected, the code
    message: str | None  # for rejected: the sentence
    created_ms: int
    updated_ms: int


@attrs.frozen(kw_only=True)
class BulkResult:
    """What a bulk did: one record per level, in the given order, and the orders it took away."""

    market_id: str
    quote_id: str
    orders: tuple[OrderRecord, ...]
    cancelled: tuple[OrderRecord, ...]
    replayed: bool = False  # True: the quoteId was seen before, this is the first answer again, nothing happened


@attrs.frozen(kw_only=True)
class CancelAllResult:
    """The orders a cancel-all took away, or would take away."""

    orders: tuple[OrderRecord, ...]


@attrs.frozen(kw_only=True)
class PreviewResult:
    """What an order would cost; nothing was done."""

    notional: Decimal  # quote units
    margin_required: Decimal  # quote units on top of the margin in use
    estimated_fee: Decimal  # quote units; negative: a rebate
    fee_bps: Decimal
    fee_role: str  # maker | taker
    approved: bool
    reason: str | None  # the code it would be refused with
    volume_30d: Decimal  # quote units traded in the last thirty days


@attrs.frozen(kw_only=True)
class MarketTrade:
    """One trade on the public tape."""

    trade_id: str
    index: int  # 1, 2, 3 … per market
    market_id: str
    side: str  # the taker's
    price: Decimal
    quantity: Decimal
    created_ms: int


@attrs.frozen(kw_only=True)
class OwnTrade:
    """One side of a trade, as its owner sees it."""

    trade_id: str
    index: int  # 1, 2, 3 … per user
    market_id: str
    side: str  # the owner's
    price: Decimal
    quantity: Decimal
    liquidity: str  # maker | taker
    fee: Decimal  # quote units; negative: a rebate
    order_id: str
    client_order_id: str | None
    created_ms: int


@attrs.frozen(kw_only=True)
class PositionRecord:
    """A user's position in one market; a flip through zero closes one id and opens another."""

    position_id: str
    user_id: str
    market_id: str
    side: str  # buy: long, sell: short; of a closed position, what it was
    quantity: Decimal  # base units, never negative; zero when closed
    entry_price: Decimal  # average, 28 digits
    realized_pnl: Decimal  # quote units, before fees and funding
    status: str  # open | closed
    opened_ms: int
    updated_ms: int
    version: int  # the user's positions_version at the last change of this position


@attrs.frozen(kw_only=True)
class BalanceRecord:
    """One bucket of a user's money."""

    bucket: str  # wallet | perps | options | spot
    asset: str
    balance: Decimal  # perps: equity less unrealised profit
    available: Decimal  # what may be transferred away: never negative
    equity: Decimal
    unrealized_pnl: Decimal
    margin_used: Decimal  # initial margin of positions and open orders


@attrs.frozen(kw_only=True)
class FundingRecord:
    """One funding payment of one account in one market."""

    user_id: str
    market_id: str
    rate: Decimal  # fraction of value
    position: Decimal  # signed base units
    mark: Decimal
    paid: Decimal  # quote units; negative: received
    at_ms: int


@attrs.frozen(kw_only=True)
class LiquidationRecord:
    """One position taken over by the insurance account; no trade shows it."""

    user_id: str
    market_id: str
    position: Decimal  # signed base units before
    mark: Decimal
    equity: Decimal  # before
    maintenance: Decimal  # before
    at_ms: int


@attrs.define(eq=False)
class Order:
    """A live order inside the exchange; outside it is only ever seen as an `OrderRecord`."""

    order_id: str
    client_order_id: str | None
    quote_id: str | None
    user_id: str
    market_id: str
    side: str
    type: str
    price: Decimal  # a market order's is the edge of the price band
    quantity: Decimal
    remaining: Decimal
    time_in_force: str
    post_only: bool
    reduce_only: bool
    margin_mode: str
    created_ms: int
    updated_ms: int
    filled_value: Decimal = ZERO  # sum of price x quantity over its fills
    filled: Decimal = ZERO
    status: str = "open"
    # cancelled | replaced | expired (ioc, fok or market remainder) | self_trade | reduce_only | liquidated | modified
    reason: str | None = None

    def record(self) -> OrderRecord:
        """Take a frozen snapshot."""
        return OrderRecord(
            order_id=self.order_id,
            client_order_id=self.client_order_id,
            quote_id=self.quote_id,
            user_id=self.user_id,
            market_id=self.market_id,
            side=self.side,
            type=self.type,
            price=self.price if self.type == "limit" else None,
            quantity=self.quantity,
            filled=self.filled,
            remaining=self.remaining if self.status == "open" else ZERO,
            average_price=ratio(self.filled_value, self.filled) if self.filled else None,
            time_in_force=self.time_in_force,
            post_only=self.post_only,
            reduce_only=self.reduce_only,
            margin_mode=self.margin_mode,
            status=self.status,
            reason=self.reason,
            message=None,
            created_ms=self.created_ms,
            updated_ms=self.updated_ms,
        )
