"""Every OCX spelling, in and out: paths, headers, bodies, stream payloads, error codes. The only room that knows them.

The maker and the practice exchange both speak through these structs, so a wrong guess is one change here. We write the
form of the current documentation site and read the older one too. What neither site documents is marked ASSUMED.
Numbers are strings of fixed decimals both ways; `fixed` writes one and `maker.desk.units.decimal_exact` reads one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import msgspec

from maker.errors import OutcomeUnknown, Refused, Throttled, Unauthorized
from maker.wire.redaction import without_secrets

# -- paths --------------------------------------------------------------------------------------------------------

MARKETS: Final = "/perps/markets"
ORDERBOOK: Final = "/perps/orderbook"  # /{marketId}?depth=
MARKET_STATS: Final = "/perps/market-stats"
FEES: Final = "/perps/fees"
TRADES: Final = "/perps/trades"  # public with ?marketId=; our own with a key. ASSUMED: a key alone means our own
OHLC: Final = "/perps/ohlc"
PREVIEW: Final = "/perps/orders/preview"
QUOTES_BULK: Final = "/perps/quotes/bulk"
QUOTES: Final = "/perps/quotes"
ORDERS: Final = "/perps/orders"  # POST one; ASSUMED: GET lists the open ones
CANCEL_ALL: Final = "/perps/orders/cancel-all"
POSITIONS_CLOSE: Final = "/perps/positions/close"
POSITIONS: Final = "/perps/positions"
BALANCES: Final = "/perps/balances"
WALLET_BALANCE: Final = "/wallet/balance"
WALLET_TRANSFER: Final = "/wallet/transfer"
API_KEYS: Final = "/perps/me/api-keys"
AUTH_NONCE: Final = "/auth/nonce"
AUTH_SIWE: Final = "/auth/siwe"
AUTH_LOGOUT: Final = "/auth/logout"
STREAM_BOOK: Final = "/perps/book-stream"
STREAM_EVENTS: Final = "/perps/stream/events"
STREAM_USER: Final = "/perps/stream/user"

# -- headers and fixed numbers ------------------------------------------------------------------------------------

KEY_HEADER: Final = "x-api-key"
KEY_PREFIX: Final = "ocx_sk_"
BODY_SHOWN_BYTES_MAX: Final = 4096  # of a refusal that is none of OCX's: looked through for secrets, then cut short
SESSION_COOKIE: Final = "astra_session"  # holds a JWT, which is a bearer token too
SESSION_SECONDS: Final = 7 * 86_400  # documented life of a session
CHAIN_ID: Final = 1  # ASSUMED: Ethereum's main network; `[exchange] chain_id` says otherwise
LIMIT_HEADER: Final = "X-RateLimit-Limit"
REMAINING_HEADER: Final = "X-RateLimit-Remaining"
RESET_HEADER: Final = "X-RateLimit-Reset"
HEARTBEAT_SECONDS: Final = 15.0  # documented: "about every 15 s" on an idle stream
EVENTS_INTERVAL_MS_MIN: Final = 100  # fastest documented cadence of /perps/stream/events

# -- error codes we act on ----------------------------------------------------------------------------------------

INSUFFICIENT_MARGIN: Final = "INSUFFICIENT_MARGIN"
POST_ONLY_WOULD_CROSS: Final = "POST_ONLY_WOULD_CROSS"
DUPLICATE_CLIENT_ORDER_ID: Final = "DUPLICATE_CLIENT_ORDER_ID"  # ASSUMED spelling
MARKET_HALTED: Final = "MARKET_HALTED"  # ASSUMED spelling
KEY_EXPIRED: Final = "KEY_EXPIRED"  # ASSUMED spelling, this one and the next three; the status alone is documented
KEY_REVOKED: Final = "KEY_REVOKED"
IP_NOT_ALLOWED: Final = "IP_NOT_ALLOWED"
INSUFFICIENT_SCOPE: Final = "INSUFFICIENT_SCOPE"


# -- states we act on, in lower case ------------------------------------------------------------------------------

ENDED: Final = frozenset({"rejected", "cancelled", "canceled", "expired"})  # of an order; any word unknown may rest
CLOSED: Final = "closed"  # of a position


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """A JSON object: camelCase names, unknown fields ignored, missing ones refused unless defaulted."""


# -- market data --------------------------------------------------------------------------------------------------


class Market(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One row of GET /perps/markets: the current site's fields, then the older one's (which may be absent)."""

    id: str | None = None
    symbol: str | None = None
    market_type: str | None = None  # spot | perp | future
    base_symbol: str | None = None
    quote_symbol: str | None = None
    mark_price: str | None = None
    price_decimals: int | None = None
    size_decimals: int | None = None
    expiry: str | None = None
    index_market_id: str | None = None
    # older site
    market_id: str | None = None
    base: str | None = None
    quote: str | None = None
    type: str | None = None
    trading_status: str | None = None  # ASSUMED values: "active", "halted"
    tick_size: str | None = None
    step_size: str | None = None
    min_quantity: str | None = None
    price_band_low: str | None = None
    price_band_high: str | None = None
    taker_fee_bps: str | float | None = None  # ASSUMED a string; numbers are read too
    maker_fee_bps: str | float | None = None
    funding_interval_ms: int | None = None
    funding_max_rate_bps: str | float | None = None


class OrderBook(Wire, frozen=True, kw_only=True):
    """GET /perps/orderbook/{marketId}: levels are [price, size], best first."""

    market_id: str
    sequence: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    timestamp: str


class MarketStats(Wire, frozen=True, kw_only=True):
    """One market of GET /perps/market-stats. ASSUMED names for mark and index; the rest is the older site's.

    ASSUMED: a market without funding, as a dated future is, states no rate, or null, or an empty text.
    """

    market_id: str
    mark_price: str
    index_price: str
    funding_rate: str | None = None
    next_funding_at: str | None = None
    open_interest: str | None = None
    last: str | None = None
    high24h: str | None = msgspec.field(default=None, name="high24h")
    low24h: str | None = msgspec.field(default=None, name="low24h")
    volume24h: str | None = msgspec.field(default=None, name="volume24h")
    change24h: str | None = msgspec.field(default=None, name="change24h")


class MarketOf(Wire, frozen=True, kw_only=True):
    """Whose a row is, whatever else is odd about it."""

    market_id: str


class FeeTier(Wire, frozen=True, kw_only=True):
    """One tier of GET /perps/fees. ASSUMED shape throughout."""

    tier: str
    min_volume30d: str | float | None = msgspec.field(default=None, name="minVolume30d")
    maker_fee_bps: str | float  # ASSUMED a string; numbers are read too, as in the listing
    taker_fee_bps: str | float


class Fees(Wire, frozen=True, kw_only=True):
    """GET /perps/fees. ASSUMED: `current` names our tier when the call carries a key."""

    tiers: list[FeeTier]
    current: str | None = None


class PublicTrade(Wire, frozen=True, kw_only=True):
    """One row of GET /perps/trades?marketId= without a key."""

    id: str
    market_id: str
    side: str  # the taker's
    price: str
    quantity: str
    created_at: str


class Candle(Wire, frozen=True, kw_only=True):
    """One row of GET /perps/ohlc. ASSUMED shape."""

    time: str
    open: str
    high: str
    low: str
    close: str
    volume: str


# -- orders -------------------------------------------------------------------------------------------------------


class Quote(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One level of a ladder in POST /perps/quotes/bulk."""

    side: str
    price: str
    quantity: str
    client_order_id: str | None = None
    time_in_force: str | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    margin_mode: str | None = None


class BulkRequest(Wire, frozen=True, kw_only=True):
    """POST /perps/quotes/bulk; with cancelAll it replaces all our quotes on the market. ASSUMED: `quotes`."""

    market_id: str
    quote_id: str
    cancel_all: bool = False
    quotes: list[Quote]


class QuotesRequest(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """POST /perps/quotes: one bid and one ask. ASSUMED shape."""

    market_id: str
    quote_id: str | None = None
    bid: Quote | None = None
    ask: Quote | None = None


class OrderRequest(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """POST /perps/orders. Preview is asked with the five fields of `PreviewRequest`."""

    market_id: str
    side: str
    quantity: str
    type: str = "limit"
    price: str | None = None
    client_order_id: str | None = None
    time_in_force: str | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    margin_mode: str | None = None
    stop_price: str | None = None
    take_profit_price: str | None = None
    stop_loss_price: str | None = None


class ModifyRequest(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """POST /perps/orders/{id}/modify. ASSUMED: either field may be left out."""

    price: str | None = None
    quantity: str | None = None


class CancelAllRequest(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """POST /perps/orders/cancel-all: an empty object means everything, all markets."""

    market_id: str | None = None
    quote_id: str | None = None
    client_order_id: str | None = None
    margin_mode: str | None = None


class CloseRequest(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """POST /perps/positions/close. ASSUMED: quantity left out closes it whole."""

    market_id: str
    quantity: str | None = None


class PreviewRequest(Wire, frozen=True, kw_only=True):
    """POST /perps/orders/preview."""

    market_id: str
    side: str
    type: str
    price: str
    quantity: str


class PreviewAnswer(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of POST /perps/orders/preview. What we have no need of may be missing."""

    notional: str
    margin_required: str
    est_fee: str | None = None
    fee_bps: str
    fee_role: str
    approved: bool | None = None
    rolling30d_volume: str | None = msgspec.field(default=None, name="rolling30dVolume")  # ASSUMED name
    reason: str | None = None


class OrderState(Wire, frozen=True, kw_only=True):
    """An order: row of GET /perps/orders, and one level of a bulk answer. ASSUMED shape.

    status: open | partially_filled | filled | cancelled (or canceled) | rejected. `quantity` is the original size.
    """

    id: str | None = None  # None for a rejected level
    market_id: str
    client_order_id: str | None = None
    quote_id: str | None = None
    side: str
    type: str = "limit"
    price: str | None = None
    quantity: str
    filled_quantity: str = "0"
    remaining_quantity: str | None = None  # not stated: `quantity`
    status: str
    time_in_force: str = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    margin_mode: str = "cross"
    code: str | None = None  # why a level was rejected or cancelled
    created_at: str | None = None


class BulkAnswer(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of quotes/bulk and quotes. ASSUMED: everything but the ids may be missing."""

    market_id: str
    quote_id: str | None = None
    cancelled: int | None = None  # how many of the old ladder went
    orders: list[OrderState] | None = None
    engine_ts: int | None = None  # when it took effect, unix ms


class BulkLevel(Wire, frozen=True, kw_only=True):
    """One level of a bulk answer, as far as we read it. ASSUMED: why it was refused stands under one of two names."""

    id: str | None = None
    client_order_id: str | None = None
    status: str
    code: str | None = None
    reason: str | None = None  # as preview names it


class BulkTold(Wire, frozen=True, kw_only=True):
    """Answer of quotes/bulk, as far as we read it; a bare array of levels is read too."""

    market_id: str | None = None
    quote_id: str | None = None
    orders: list[BulkLevel] | None = None
    engine_ts: int | None = None
    error: Any = None  # as in a refusal


class CancelAllAnswer(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of cancel-all. ASSUMED shape; we believe only what we read back."""

    cancelled: int | None = None


class OpenOrders(Wire, frozen=True, kw_only=True):
    """GET /perps/orders. ASSUMED an object; a bare array is read too."""

    orders: list[OrderState]


# -- account ------------------------------------------------------------------------------------------------------


class PositionRow(Wire, frozen=True, kw_only=True):
    """A position as it is read: row of GET /perps/positions and upsert in the streams. `quantity` is unsigned.

    ASSUMED: a flat one may state any side or none, and no entry price.
    """

    id: str
    market_id: str
    side: str | None = None  # buy is long
    quantity: str
    entry_price: str | None = None
    realized_pnl: str | None = None
    status: str  # ASSUMED values: open | closed


class Position(PositionRow, frozen=True, kw_only=True):
    """A position with everything that is documented of it."""

    side: str
    entry_price: str
    realized_pnl: str


class OwnTrade(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """A trade of ours: row of GET /perps/trades with a key, and in the streams. ASSUMED: that it names its order."""

    id: str
    market_id: str
    side: str
    price: str
    quantity: str
    liquidity: str
    created_at: str
    order_id: str | None = None
    client_order_id: str | None = None


class Balance(Wire, frozen=True, kw_only=True):
    """One bucket of GET /perps/balances and /wallet/balance. ASSUMED shape.

    balance = deposits + realised profit - fees - funding; equity = balance + unrealised profit at mark.
    """

    bucket: str  # wallet | perps | options | spot
    asset: str | None = None
    balance: str
    available: str
    equity: str
    unrealized_pnl: str | None = None
    margin_used: str | None = None


class Balances(Wire, frozen=True, kw_only=True):
    balances: list[Balance]


class BalanceRows(Wire, frozen=True, kw_only=True):
    """`Balances`, each row to be read by itself."""

    balances: list[msgspec.Raw]


class BucketOf(Wire, frozen=True, kw_only=True):
    """Of which bucket a row is, whatever else is odd about it."""

    bucket: str


class TransferRequest(Wire, frozen=True, kw_only=True):
    """POST /wallet/transfer between buckets."""

    from_: str = msgspec.field(name="from")
    to: str
    amount: str


# -- sign-in and keys ---------------------------------------------------------------------------------------------


class NonceRequest(Wire, frozen=True, kw_only=True):
    """POST /auth/nonce."""

    wallet_address: str  # ASSUMED: with EIP-55's capitals, as in the message


class NonceAnswer(Wire, frozen=True, kw_only=True):
    """Answer of POST /auth/nonce: good once, and for a short time."""

    nonce: str


class SignInRequest(Wire, frozen=True, kw_only=True):
    """POST /auth/siwe: an EIP-4361 text and its personal_sign. ASSUMED: 0x and 65 bytes of hexadecimal, v 27 or 28."""

    message: str
    signature: str

    def __repr__(self) -> str:
        return f"SignInRequest(message={self.message!r})"  # whoever has both may sign in, once


class SignInAnswer(Wire, frozen=True, kw_only=True):
    """Answer of POST /auth/siwe; the session itself comes as a cookie beside it."""

    user_id: str
    wallet_address: str


class ApiKeyRequest(Wire, frozen=True, kw_only=True):
    """POST /perps/me/api-keys. ASSUMED: no addresses means any, null days mean for ever, single addresses only."""

    name: str
    scope: str  # read | trade
    allowed_ips: list[str]
    expires_in_days: int | None


class ApiKeyCreated(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of POST /perps/me/api-keys: the secret is in this one answer only."""

    id: str
    secret: str
    message: str | None = None

    def __repr__(self) -> str:
        return f"ApiKeyCreated(id={self.id!r})"


class ApiKey(Wire, frozen=True, kw_only=True):
    """One row of GET /perps/me/api-keys. DELETE /perps/me/api-keys/{id} revokes it; any 2xx. ASSUMED which are null."""

    id: str
    name: str
    scope: str
    allowed_ips: list[str] = []
    expires_at: str | None = None
    created_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None
    last_used_ip: str | None = None
    status: str  # active | expired | revoked


class ApiKeys(Wire, frozen=True, kw_only=True):
    """GET /perps/me/api-keys: all of the account's, never a secret."""

    keys: list[ApiKey]


# -- streams ------------------------------------------------------------------------------------------------------


class Level(Wire, frozen=True, kw_only=True):
    """A book level in a stream; size "0" means gone. ASSUMED: `total` is the size from the best level to here."""

    price: str
    size: str
    total: str = "0"


class StreamBook(Wire, frozen=True, kw_only=True):
    """The book part of a stream payload: whole in a snapshot, changed levels in a delta. ASSUMED nesting."""

    market_id: str
    sequence: int
    bids: list[Level]
    asks: list[Level]


class StreamPayload(Wire, frozen=True, kw_only=True):
    """`PerpStreamSnapshot` and `PerpStreamDelta`. ASSUMED: `trades` are our own on an authenticated stream.

    A snapshot has every part its stream carries, a delta those that changed.
    """

    market_id: str | msgspec.UnsetType | None = msgspec.UNSET
    book: StreamBook | msgspec.UnsetType | None = msgspec.UNSET
    trades: list[OwnTrade] | msgspec.UnsetType = msgspec.UNSET
    positions: Sequence[PositionRow] | msgspec.UnsetType = msgspec.UNSET
    removed_ids: list[str] | msgspec.UnsetType = msgspec.UNSET


class Envelope(Wire, frozen=True, kw_only=True):
    """One stream event's data."""

    event_id: str
    event_type: str
    event_seq: int
    engine_ts: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # unix ms; beyond a counter's range it is no time
    source_ts: int | None = None
    payload: StreamPayload


class Numbered(Wire, frozen=True, kw_only=True):
    """What every stream event has, of a kind we know or not."""

    event_id: str
    event_seq: int


class StreamError(Wire, frozen=True, kw_only=True):
    """Data of `event: error`. ASSUMED: without an envelope."""

    code: str
    message: str
    retryable: bool = True


# -- errors -------------------------------------------------------------------------------------------------------


class ErrorBody(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Current site: {error: CODE, message}. Older: {error: Family, code: CODE, message, details?}."""

    error: str
    message: str | None = None
    code: str | None = None
    retry_after_ms: int | float | None = None


def fixed(number: Decimal) -> str:
    """Write a Decimal as fixed text, never with an exponent, zero never negative."""
    if not number.is_finite():
        raise ValueError(f"only finite numbers go out, not {number}")
    return format(number, "f") if number else format(abs(number), "f")


T = TypeVar("T")
encode = msgspec.json.Encoder().encode
DECODERS: Final[dict[object, msgspec.json.Decoder[Any]]] = {}


def decode(body: bytes, shape: type[T]) -> T:
    """Read a JSON body of the given shape; raise `ValueError` (msgspec's message names the path) when it is not one."""
    read: T = decode_union(body, shape)
    return read


def decode_union(body: bytes, shape: object) -> Any:
    """As `decode`, for a union of shapes, which is no `type`."""
    decoder = DECODERS.get(shape)
    if decoder is None:
        decoder = DECODERS[shape] = msgspec.json.Decoder(shape)
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def refusal(status: int, body: bytes, wait_seconds: float) -> Refused | Throttled | Unauthorized | OutcomeUnknown:
    """Turn an answer that is no success into the error to raise: by status first, then by code.

    A key that was revoked is answered 409, and is as little use as an unknown one.

    `wait_seconds` is what the headers ask for (see `maker.wire.limits`); used for 429 only. A 5xx, a redirect or any
    other status leaves the outcome unknown; reads may simply be tried again, writes may not. So does a 408: a server
    sends it to a connection that was idle for too long, and it may cross with our request and answer nothing. What the
    answer says may echo our credential: no secret of its stays in the error.
    """
    try:
        parsed = decode(body, ErrorBody)
        code, message = without_secrets(parsed.code or parsed.error), without_secrets(parsed.message or "")
    except ValueError:
        code, message = "", without_secrets(body[:BODY_SHOWN_BYTES_MAX].decode("ascii", "replace"))[:80]
    if status == 429:
        return Throttled(wait_seconds)
    if status in (401, 403) or (status == 409 and code == KEY_REVOKED):
        return Unauthorized(status, code, message)
    if 400 <= status < 500 and status != 408:
        return Refused(status, code, message)
    return OutcomeUnknown(f"answer {status} {code} {message}".rstrip())
