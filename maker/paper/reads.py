"""Every call that changes nothing: market data, account reads, preview.

Each takes the exchange, the question and the time, and returns what is to be encoded; refusals are raised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from maker.paper import spelling
from maker.paper.exchange import Exchange
from maker.paper.market import FEE_TIER
from maker.paper.money import plain
from maker.paper.spelling import Refused, read_body
from maker.wire import ocx

DEPTH_DEFAULT: Final = 25  # documented
DEPTH_MAX: Final = 250  # the deepest any documented stream goes; for the read itself ASSUMED
ROWS_DEFAULT: Final = 100  # trades and candles. ASSUMED, as is the parameter's name, `limit`
TRADES_MAX: Final = 1_000
CANDLES_MAX: Final = 1_000
INTERVALS_MS: Final = {  # of candles. ASSUMED, as is the parameter's name, `interval`
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
INTEGER: Final = re.compile(r"[0-9]{1,9}")
BOOLEANS: Final = {"true": True, "false": False}


@attrs.frozen
class Question:
    """One read."""

    exchange: Exchange
    argument: str  # the last part of the path where it names something
    query: Mapping[str, str]
    body: bytes
    user_id: str | None  # who asks, where a key came with it
    now_ms: int

    @property
    def user(self) -> str:
        """Return who asks, on a call that needs a key."""
        assert self.user_id is not None, "the route asks for a key"
        return self.user_id


def integer(query: Mapping[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    """Read a whole number within limits; raises Refused 400."""
    text = query.get(name)
    if text is None:
        return default
    value = int(text) if INTEGER.fullmatch(text) else None
    if value is None or not lowest <= value <= highest:
        raise Refused(400, "INVALID_PARAMETER", f"{name} must be a whole number from {lowest} to {highest}")
    return value


def boolean(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read true or false; raises Refused 400."""
    value = BOOLEANS.get(query.get(name, str(default).lower()))
    if value is None:
        raise Refused(400, "INVALID_PARAMETER", f"{name} must be true or false")
    return value


def required_market(query: Mapping[str, str]) -> str:
    """Read the market a call needs; raises Refused 400 where none is named."""
    market_id = query.get("marketId")
    if not market_id:
        raise Refused(400, "INVALID_PARAMETER", "marketId is missing")
    return market_id


def markets(ask: Question) -> object:
    older_fields = ask.exchange.settings.switches.older_market_fields
    return [spelling.market(row, older_fields=older_fields) for row in ask.exchange.listings()]


def orderbook(ask: Question) -> object:
    depth = integer(ask.query, "depth", DEPTH_DEFAULT, 1, DEPTH_MAX)
    sequence = ask.exchange.book_sequence(ask.argument)
    bids, asks = ask.exchange.book_levels(ask.argument, depth)
    return ocx.OrderBook(
        market_id=ask.argument,
        sequence=sequence,
        bids=[(plain(price), plain(size)) for price, size in bids],
        asks=[(plain(price), plain(size)) for price, size in asks],
        timestamp=spelling.iso(ask.now_ms),
    )


def market_stats(ask: Question) -> object:
    """One market's where it is named, else all markets'."""
    market_id = ask.query.get("marketId")
    if market_id is not None:
        return spelling.statistics(ask.exchange.statistics(market_id, ask.now_ms))
    return [spelling.statistics(ask.exchange.statistics(each, ask.now_ms)) for each in ask.exchange.market_ids()]


def fees(ask: Question) -> object:
    tiers = [spelling.fee_tier(row) for row in ask.exchange.fee_tiers()]
    return ocx.Fees(tiers=tiers, current=None if ask.user_id is None else FEE_TIER)


def trades(ask: Question) -> object:
    """Our own with a key, of one market where it is named; else one market's tape. ASSUMED: newest first."""
    limit = integer(ask.query, "limit", ROWS_DEFAULT, 1, TRADES_MAX)
    market_id = ask.query.get("marketId")
    if ask.user_id is None:
        tape = ask.exchange.market_trades(required_market(ask.query), limit=limit)
        return [spelling.public_trade(row) for row in reversed(tape)]
    if market_id is not None:
        ask.exchange.index(market_id)  # an unknown one is refused
    name_orders = ask.exchange.settings.switches.trades_name_orders
    own = ask.exchange.own_trades(ask.user_id, market_id=market_id, limit=limit)
    return [spelling.own_trade(row, name_orders=name_orders) for row in reversed(own)]


def ohlc(ask: Question) -> object:
    """Candles, oldest first; a time without trades has none."""
    interval = ask.query.get("interval", "1m")
    if interval not in INTERVALS_MS:
        raise Refused(400, "INVALID_PARAMETER", f"interval must be one of {', '.join(INTERVALS_MS)}")
    limit = integer(ask.query, "limit", ROWS_DEFAULT, 1, CANDLES_MAX)
    rows = ask.exchange.candles(required_market(ask.query), interval_ms=INTERVALS_MS[interval], limit=limit)
    return [spelling.candle(row) for row in rows]


def preview(ask: Question) -> object:
    request = spelling.order_request(read_body(ask.body, ocx.OrderRequest))
    return spelling.preview(ask.exchange.preview(ask.user, request, ask.now_ms))


def open_orders(ask: Question) -> object:
    rows = ask.exchange.open_orders(ask.user, ask.query.get("marketId"))
    return ocx.OpenOrders(orders=[spelling.order(row) for row in rows])


def positions(ask: Question) -> object:
    """ASSUMED: open ones, and the lately closed ones too with openOnly=false."""
    open_only = boolean(ask.query, "openOnly", default=True)
    market_id = ask.query.get("marketId")
    if market_id is not None:
        ask.exchange.index(market_id)  # an unknown one is refused
    rows = ask.exchange.positions(ask.user, market_id=market_id, open_only=open_only)
    return [spelling.position(row) for row in rows]


def balances(ask: Question) -> object:
    """ASSUMED: the bucket that perps trading draws on."""
    rows = ask.exchange.balances(ask.user)
    return ocx.Balances(balances=[spelling.balance(row) for row in rows if row.bucket == "perps"])


def wallet_balance(ask: Question) -> object:
    return ocx.Balances(balances=[spelling.balance(row) for row in ask.exchange.balances(ask.user)])


Read = Callable[[Question], object]
