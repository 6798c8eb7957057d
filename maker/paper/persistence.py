"""The exchange's state as JSON and back: everything, ids, sequences, rate windows and funding ledgers included.

Decimals are written as strings in fixed decimal. Books are written as order ids in their queue order, and orders once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import attrs

from maker.paper.accounts import Account, Position
from maker.paper.candles import Candle
from maker.paper.identifiers import UlidSource
from maker.paper.keys import KeyRecord, KeyRing
from maker.paper.money import plain
from maker.paper.orders import (
    BulkResult,
    FundingRecord,
    LiquidationRecord,
    MarketTrade,
    Order,
    OrderRecord,
    OwnTrade,
    PositionRecord,
)
from maker.paper.registry import IdMemory, OrderRegistry
from maker.paper.state import ChangeSink, ExchangeSettings, ExchangeState, Market

VERSION: Final = 2  # of the written form; another one is refused

T = TypeVar("T")


def dump_state(state: ExchangeState) -> dict[str, object]:
    """Return the whole state as JSON-able values."""
    return {
        "version": VERSION,
        "seed": state.settings.seed,
        "idCounter": state.ids.counter,
        "userId": state.user_id,
        "markets": {market_id: _dump_market(market) for market_id, market in state.markets.items()},
        "accounts": [_dump_account(account) for account in state.accounts.values()],
        "registries": {user_id: _dump_registry(registry) for user_id, registry in state.registries.items()},
        "windows": {user_id: [window.started_ms, window.used] for user_id, window in state.windows.items()},
        "keys": {digest: _pack(record) for digest, record in state.keys.by_digest.items()},
        "wallets": state.wallets,
    }


def load_state(settings: ExchangeSettings, dump: Mapping[str, Any], on_change: ChangeSink | None) -> ExchangeState:
    """Rebuild a state; raises ValueError when it was written by another version, seed or list of markets."""
    if dump.get("version") != VERSION:
        raise ValueError(f"state of version {dump.get('version')}, this exchange reads {VERSION}")
    if dump["seed"] != settings.seed:
        raise ValueError(f"state of seed {dump['seed']}, this exchange has {settings.seed}")
    specs = {spec.market_id: spec for spec in settings.markets}
    if set(dump["markets"]) != set(specs):
        raise ValueError("state of other markets than this exchange lists")
    state = ExchangeState(
        settings=settings,
        ids=UlidSource(seed=settings.seed, counter=dump["idCounter"]),
        user_id=dump["userId"],
        on_change=on_change,
        keys=KeyRing({digest: _unpack(KeyRecord, record) for digest, record in dump["keys"].items()}),
        wallets=dict(dump.get("wallets", {})),  # none in what was written before there was sign-in
    )
    for record in dump["accounts"]:
        account = state.open_account(record["userId"], record["kind"])
        _load_account(account, record)
    orders: dict[str, Order] = {}
    for user_id, written in dump["registries"].items():
        registry = state.registries[user_id] = _load_registry(written)
        orders.update(registry.open)
    for market_id, written in dump["markets"].items():
        state.markets[market_id] = _load_market(settings, market_id, written, orders)
    for user_id, (started_ms, used) in dump["windows"].items():
        state.windows[user_id].started_ms = started_ms
        state.windows[user_id].used = used
    return state


def _dump_market(market: Market) -> dict[str, object]:
    return {
        "index": plain(market.index),
        "nextFundingMs": market.next_funding_ms,
        "halted": market.halted,
        "sequence": market.book.sequence,
        "queue": [
            order_id
            for half in (market.book.bids, market.book.asks)
            for price in half.prices
            for order_id in half.levels[price].orders
        ],
        "tradeCount": market.trade_count,
        "tape": _pack_all(market.tape),
        "candles": _pack_all(market.candles.minutes),
        "last": None if market.last is None else plain(market.last),
    }


def _load_market(
    settings: ExchangeSettings, market_id: str, written: Mapping[str, Any], orders: Mapping[str, Order]
) -> Market:
    market = Market(
        spec=next(spec for spec in settings.markets if spec.market_id == market_id),
        index=Decimal(written["index"]),
        next_funding_ms=written["nextFundingMs"],
        halted=written["halted"],
        trade_count=written["tradeCount"],
        last=None if written["last"] is None else Decimal(written["last"]),
    )
    for order_id in written["queue"]:
        market.book.add(orders[order_id])
    market.book.sequence = written["sequence"]
    market.tape.extend(_unpack(MarketTrade, each) for each in written["tape"])
    market.candles.minutes.extend(_unpack(Candle, each) for each in written["candles"])
    return market


def _dump_account(account: Account) -> dict[str, object]:
    return {
        "userId": account.user_id,
        "kind": account.kind,
        "deposited": plain(account.deposited),
        "traded": plain(account.traded),
        "feesPaid": plain(account.fees_paid),
        "fundingPaid": plain(account.funding_paid),
        "buckets": {name: plain(amount) for name, amount in account.buckets.items()},
        "positions": _pack_all(account.positions.values()),
        "positionsVersion": account.positions_version,
        "closed": _pack_all(account.closed),
        "tradeCount": account.trade_count,
        "trades": _pack_all(account.trades),
        "funding": _pack_all(account.funding),
        "liquidations": _pack_all(account.liquidations),
        "volumeByDay": {str(day): plain(value) for day, value in account.volume_by_day.items()},
    }


def _load_account(account: Account, written: Mapping[str, Any]) -> None:
    account.deposited = Decimal(written["deposited"])
    account.traded = Decimal(written["traded"])
    account.fees_paid = Decimal(written["feesPaid"])
    account.funding_paid = Decimal(written["fundingPaid"])
    account.buckets = {name: Decimal(amount) for name, amount in written["buckets"].items()}
    account.positions = {each["market_id"]: _unpack(Position, each) for each in written["positions"]}
    account.positions_version = written["positionsVersion"]
    account.closed.extend(_unpack(PositionRecord, each) for each in written["closed"])
    account.trade_count = written["tradeCount"]
    account.trades.extend(_unpack(OwnTrade, each) for each in written["trades"])
    account.funding.extend(_unpack(FundingRecord, each) for each in written["funding"])
    account.liquidations.extend(_unpack(LiquidationRecord, each) for each in written["liquidations"])
    account.volume_by_day = {int(day): Decimal(value) for day, value in written["volumeByDay"].items()}


def _dump_registry(registry: OrderRegistry) -> dict[str, object]:
    return {
        "open": _pack_all(registry.open.values()),
        "finished": _pack_all(registry.finished.values()),
        "clientOrderIds": " ".join(registry.client_order_ids.order),  # one string: many ids, none with a space
        "quoteIds": " ".join(registry.quote_ids.order),
        "answers": [
            {
                "marketId": answer.market_id,
                "quoteId": answer.quote_id,
                "orders": _pack_all(answer.orders),
                "cancelled": _pack_all(answer.cancelled),
            }
            for answer in registry.answers.values()
        ],
    }


def _load_registry(written: Mapping[str, Any]) -> OrderRegistry:
    registry = OrderRegistry()
    for each in written["open"]:
        registry.rest(_unpack(Order, each))
    registry.finished = {each["order_id"]: _unpack(OrderRecord, each) for each in written["finished"]}
    _load_ids(registry.client_order_ids, written["clientOrderIds"])
    _load_ids(registry.quote_ids, written["quoteIds"])
    for each in written["answers"]:
        registry.answer(
            BulkResult(
                market_id=each["marketId"],
                quote_id=each["quoteId"],
                orders=tuple(_unpack(OrderRecord, order) for order in each["orders"]),
                cancelled=tuple(_unpack(OrderRecord, order) for order in each["cancelled"]),
            )
        )
    return registry


def _load_ids(memory: IdMemory, text: str) -> None:
    memory.order = deque(text.split())
    memory.known = set(memory.order)


def _pack(value: Any) -> dict[str, object]:
    """Write an attrs object field by field, decimals as strings."""
    packed: dict[str, object] = {}
    for name in value.__slots__:
        if name != "__weakref__":
            field = getattr(value, name)
            if isinstance(field, Decimal):
                field = plain(field)
            packed[name] = list(field) if isinstance(field, tuple) else field
    return packed


def _pack_all(values: Iterable[object]) -> list[dict[str, object]]:
    return [_pack(value) for value in values]


def _unpack(cls: type[T], written: Mapping[str, Any]) -> T:
    """Rebuild an attrs object; which fields are decimals its annotations say."""
    values: dict[str, Any] = {}
    for field in attrs.fields(cls):  # type: ignore[arg-type]  # every class given here is an attrs class
        value = written[field.name]
        if value is not None and str(field.type).startswith("Decimal"):
            value = Decimal(value)
        elif isinstance(value, list):
            value = tuple(value)  # JSON has no tuples
        values[field.name] = value
    return cls(**values)
