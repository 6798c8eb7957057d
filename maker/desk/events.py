"""The facts that may reach the desk and the actions it may order: no behaviour beyond reading a field.

Prices are ticks, sizes lots (see `units`), positions signed lots (+ long). `*_ms` are the exchange's unix milliseconds.
Ages never come from these: every fact is applied with our own `now`, seconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import attrs

from maker.desk.units import Grid, Side
from maker.errors import StreamFault

Levels = tuple[tuple[int, int], ...]  # (ticks, lots); in a delta lots 0 means the level is gone


class Liquidity(enum.Enum):
    """Which side of a trade we were."""

    MAKER = "maker"
    TAKER = "taker"


@attrs.frozen
class MarketSpec:
    """What the exchange says of one market: grid, minimum, price band (None where it states none) and our fees."""

    market_id: str
    grid: Grid
    lots_min: int  # 0: it states none
    band_low_ticks: int | None
    band_high_ticks: int | None
    maker_fee_bps: Decimal  # negative: a rebate
    taker_fee_bps: Decimal

    def fee_bps(self, liquidity: Liquidity) -> Decimal:
        """What a fill costs in basis points of its value."""
        return self.maker_fee_bps if liquidity is Liquidity.MAKER else self.taker_fee_bps


# -- facts from an OCX stream -------------------------------------------------------------------------------------


@attrs.frozen
class Fill:
    """One trade of ours; unique by `trade_id`. The ids of its order may be missing (not documented)."""

    market_id: str
    trade_id: str
    side: Side
    ticks: int
    lots: int
    liquidity: Liquidity
    at_ms: int
    order_id: str | None = None
    client_order_id: str | None = None


@attrs.frozen
class PositionSeen:
    """A position as the exchange holds it: authoritative."""

    market_id: str
    position_id: str
    lots: int  # signed
    entry_price: Decimal  # quote per base, the exchange's average
    realized: Decimal  # quote


@attrs.frozen
class StreamSnapshot:
    """The first event of a connection: everything before it is void."""

    market_id: str
    engine_ms: int
    bids: Levels  # best first
    asks: Levels
    fills: tuple[Fill, ...]  # recent ones; many are known already
    positions: tuple[PositionSeen, ...]


@attrs.frozen
class StreamDelta:
    """What changed since the event before it."""

    market_id: str
    engine_ms: int
    bids: Levels
    asks: Levels
    fills: tuple[Fill, ...]
    positions: tuple[PositionSeen, ...]
    removed_position_ids: tuple[str, ...]


@attrs.frozen
class StreamHeard:
    """Bytes came, if only a heartbeat."""

    market_id: str


@attrs.frozen
class StreamLost:
    """The stream can no longer be trusted; its market's state is void until the next snapshot."""

    market_id: str
    fault: StreamFault
    detail: str


# -- facts from a reference feed ----------------------------------------------------------------------------------


@attrs.frozen
class ReferenceQuote:
    """Best bid and ask at a reference venue, in its own prices."""

    source: str  # the name of its [reference.NAME]
    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    # When the venue made this quote, or sent it where that is all it says: unix seconds of its own clock, which may be
    # wrong. None: not stated. Not compared: the same prices at another time are the same quote.
    stated_at: float | None = attrs.field(default=None, eq=False)


@attrs.frozen
class ReferenceHeard:
    """A reference feed is alive though no price changed."""

    source: str


@attrs.frozen
class ReferenceLost:
    """A reference feed is down: what it said counts for nothing."""

    source: str
    detail: str


# -- facts read back by REST --------------------------------------------------------------------------------------


@attrs.frozen
class OrderSeen:
    """An order resting at the exchange."""

    market_id: str
    order_id: str
    client_order_id: str | None
    side: Side
    price: Decimal
    remaining: Decimal


@attrs.frozen
class OpenOrdersRead:
    """All orders of the account resting at the exchange, read while no write of ours was in flight."""

    orders: tuple[OrderSeen, ...]


@attrs.frozen
class AccountRead:
    """Positions, own trades and balance read while nothing of ours rested or was in flight."""

    positions: tuple[PositionSeen, ...]
    fills: tuple[Fill, ...]
    balance: Decimal  # perps bucket, quote: deposits + realised - fees - funding
    available: Decimal  # free margin, quote: equity less the initial margin of positions and of what rests
    equity: Decimal | None = None  # quote, balance and unrealized profit at mark; None: not stated
    elsewhere: tuple[tuple[str, Decimal], ...] = ()  # open in markets that are not ours: signed base units


@attrs.frozen
class BalanceRead:
    """A balance read in passing."""

    balance: Decimal
    available: Decimal
    equity: Decimal | None = None  # None: not stated


@attrs.frozen
class PreviewRead:
    """What the exchange says that an order would take, were it placed; nothing was."""

    market_id: str
    side: Side
    notional: Decimal  # quote
    margin_required: Decimal  # quote, beside all that rests and is held already
    fee_bps: Decimal  # negative: a rebate
    liquidity: Liquidity  # whether it would make or take
    volume_30d: Decimal | None  # quote, of the account: what its fee tier goes by; None: it was not told


@attrs.frozen
class MarketStats:
    """Mark, index and funding of one market. The mark follows the book we quote in: never a fair value."""

    market_id: str
    mark: Decimal
    index: Decimal
    funding_rate: Decimal | None  # fraction of value that longs pay shorts a period; None: not stated, or none is paid


@attrs.frozen
class SpecRead:
    """A market's listing, read again: bands and fees may have changed; a changed grid ends the run."""

    spec: MarketSpec
    active: bool = True  # it trades


@attrs.frozen
class FeesRead:
    """What fills in a market cost, read again: our tier, or what the listing says where no tier is ours."""

    market_id: str
    maker_fee_bps: Decimal  # negative: a rebate
    taker_fee_bps: Decimal


# -- outcomes of our own calls ------------------------------------------------------------------------------------


@attrs.frozen
class PlacedOrder:
    """What became of one level of a ladder."""

    client_order_id: str
    order_id: str | None
    resting: bool
    code: str | None = None  # why it does not rest, where the exchange said so


@attrs.frozen
class LadderPlaced:
    """The replace was applied. `orders` is None when the answer did not name them."""

    market_id: str
    quote_id: str
    orders: tuple[PlacedOrder, ...] | None
    engine_ms: int | None

    @property
    def codes(self) -> dict[str, str]:
        """Why levels do not rest, by clientOrderId."""
        return {order.client_order_id: order.code for order in self.orders or () if order.code is not None}


@attrs.frozen
class LadderRefused:
    """The ladder was not placed. Whether the old one still rests is not documented."""

    market_id: str
    quote_id: str
    status: int
    code: str
    message: str


@attrs.frozen
class LadderThrottled:
    """429: nothing was applied."""

    market_id: str
    quote_id: str
    seconds: float


@attrs.frozen
class LadderUnsent:
    """The request never left: nothing was applied."""

    market_id: str
    quote_id: str
    detail: str


@attrs.frozen
class LadderUnknown:
    """Sent, and no answer to trust."""

    market_id: str
    quote_id: str
    detail: str


@attrs.frozen
class BudgetSeen:
    """The order path's rate limit as the last answer stated it."""

    limit: int
    remaining: int
    reset_seconds: float


@attrs.frozen
class ReadEmpty:
    """Verified: after the last write was answered or written off, cancel-all, then no order of ours rests."""


Event = (
    StreamSnapshot
    | StreamDelta
    | StreamHeard
    | StreamLost
    | ReferenceQuote
    | ReferenceHeard
    | ReferenceLost
    | OpenOrdersRead
    | AccountRead
    | BalanceRead
    | PreviewRead
    | MarketStats
    | SpecRead
    | FeesRead
    | LadderPlaced
    | LadderRefused
    | LadderThrottled
    | LadderUnsent
    | LadderUnknown
    | BudgetSeen
    | ReadEmpty
)


# -- actions ------------------------------------------------------------------------------------------------------


@attrs.frozen
class LevelOrder:
    """One level of a ladder as it will be sent."""

    client_order_id: str
    side: Side
    ticks: int
    lots: int
    reduce_only: bool


@attrs.frozen
class QuoteValue:
    """Why a request is spent here and now; see `maker.desk.allocation`."""

    spend: str  # reduce, reprice or add
    cost_rate: float  # quote currency: what the old ladder costs, each second
    worth: float  # quote currency seconds
    price: float  # quote currency seconds: what a request had to be worth
    age_seconds: float  # of the ladder that is replaced; 0: nothing rests
    tokens: float  # before this one was spent

    def __str__(self) -> str:
        return (
            f"{self.spend}: {self.age_seconds:.1f} s old, at risk {self.cost_rate:.4g}, worth {self.worth:.4g}, "
            f"price {self.price:.4g}, {self.tokens:.1f} tokens"
        )


@attrs.frozen
class PlaceLadder:
    """Replace all our quotes on a market by these, in one request. May be empty: then it only removes."""

    market_id: str
    quote_id: str
    orders: tuple[LevelOrder, ...]
    why: str  # what made it due, for the log and the journal
    fair_subticks: int = 0  # the fair value it stands around
    quote_value: QuoteValue | None = None  # why this market now


@attrs.frozen
class PreviewOrder:
    """An order to ask about, never to place."""

    market_id: str
    side: Side
    ticks: int
    lots: int


@attrs.frozen
class ReadOrders:
    """Read the open orders back: what rests is not known."""

    why: str


@attrs.frozen
class ReadAccount:
    """Read positions, own trades and balances back before quoting."""

    why: str


@attrs.frozen
class Wait:
    """Nothing to do before `seconds` have passed or a fact arrives."""

    seconds: float


Action = PlaceLadder | ReadOrders | ReadAccount | Wait
