"""Reading the practice exchange: markets, accounts, and what the streams need to see what changed.

Nothing here changes anything. Trades have an index, books a sequence, positions a version: a poller keeps the last
number it saw and asks for what came after.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from itertools import islice
from typing import Final, TypeVar

from maker.paper import singles
from maker.paper.accounts import BUCKETS, Account
from maker.paper.candles import MINUTE_MS, Candle
from maker.paper.margin import initial_margin
from maker.paper.market import FEE_TIER, FeeTier, MarketListing, MarketStatistics, funding_rate
from maker.paper.money import ZERO, exactly
from maker.paper.orders import (
    BalanceRecord,
    CancelScope,
    FundingRecord,
    LiquidationRecord,
    MarketTrade,
    OrderRecord,
    OwnTrade,
    PositionRecord,
)
from maker.paper.state import ExchangeState, open_interest

ASSET: Final = "USDC"  # what all four buckets hold

Row = TypeVar("Row", MarketTrade, OwnTrade)


class ExchangeViews:
    """The reads of an exchange."""

    state: ExchangeState

    # Reading markets. Each raises Rejection 404 for an unknown one.

    def market_ids(self) -> tuple[str, ...]:
        """List the markets' ids."""
        return tuple(self.state.markets)

    def listings(self) -> tuple[MarketListing, ...]:
        """List the markets with their fixed facts and what they are now."""
        return tuple(self.listing(market_id) for market_id in self.state.markets)

    @exactly
    def listing(self, market_id: str) -> MarketListing:
        """Return one market's fixed facts and what it is now."""
        market = self.state.market(market_id)
        status = "halted" if market.halted else "trading"
        return MarketListing(
            spec=market.spec,
            mark_price=market.mark(),
            trading_status=status if market.spec.tradable else "closed",
            price_band_low=market.band[0],
            price_band_high=market.band[1],
        )

    @exactly
    def statistics(self, market_id: str, now_ms: int) -> MarketStatistics:
        """Return a market's numbers of the last 24 hours and of now."""
        market = self.state.market(market_id)
        day = market.candles.last_day(now_ms)
        return MarketStatistics(
            market_id=market_id,
            mark=market.mark(),
            index=market.index,
            last=market.last,
            high_24h=None if day is None else day.high,
            low_24h=None if day is None else day.low,
            volume_24h=ZERO if day is None else day.volume,
            change_24h=None if day is None else day.close - day.open,
            open_interest=open_interest(self.state, market_id),
            funding_rate=funding_rate(market.spec, market.mark(), market.index),
            next_funding_ms=market.next_funding_ms,
        )

    def fee_tiers(self) -> tuple[FeeTier, ...]:
        """List the fees: one standard tier for everybody, a row for each pair of fees that markets have."""
        rows: dict[tuple[Decimal, Decimal], list[str]] = {}
        for spec in self.state.settings.markets:
            rows.setdefault((spec.maker_fee_bps, spec.taker_fee_bps), []).append(spec.market_id)
        return tuple(
            FeeTier(tier=FEE_TIER, volume_min=ZERO, maker_fee_bps=maker, taker_fee_bps=taker, market_ids=tuple(names))
            for (maker, taker), names in rows.items()
        )

    @exactly
    def mark(self, market_id: str) -> Decimal:
        """Return the mark price."""
        return self.state.market(market_id).mark()

    def index(self, market_id: str) -> Decimal:
        """Return the index price."""
        return self.state.market(market_id).index

    def best(self, market_id: str) -> tuple[Decimal | None, Decimal | None]:
        """Return the best bid and ask, None where a side is empty."""
        book = self.state.market(market_id).book
        return book.bids.best(), book.asks.best()

    def book_sequence(self, market_id: str) -> int:
        """Return the number of changes of the book so far."""
        return self.state.market(market_id).book.sequence

    def book_levels(
        self, market_id: str, depth: int
    ) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Return up to `depth` bids and asks, best first, as (price, size)."""
        book = self.state.market(market_id).book
        return book.bids.top(depth), book.asks.top(depth)

    def trade_count(self, market_id: str) -> int:
        """Return the index of the newest trade, 0 before the first."""
        return self.state.market(market_id).trade_count

    def market_trades(self, market_id: str, *, since_index: int = 0, limit: int = 100) -> tuple[MarketTrade, ...]:
        """Return the newest `limit` trades with a higher index than `since_index`, oldest first."""
        return _newest(self.state.market(market_id).tape, since_index, limit)

    @exactly
    def candles(self, market_id: str, *, interval_ms: int = MINUTE_MS, limit: int = 100) -> tuple[Candle, ...]:
        """Return the last candles of whole minutes each, oldest first; a time without trades has none."""
        return self.state.market(market_id).candles.intervals(interval_ms, limit)

    # Reading accounts.

    @exactly
    def open_orders(self, user_id: str, market_id: str | None = None) -> tuple[OrderRecord, ...]:
        """List resting orders, oldest first."""
        self._user(user_id)
        orders = singles.find_cancel_all(self.state, user_id, CancelScope(market_id=market_id))
        return tuple(order.record() for order in orders)

    @exactly
    def order(self, user_id: str, order_id: str) -> OrderRecord:
        """Return an open or lately finished order; raises Rejection ORDER_NOT_FOUND."""
        self._user(user_id)
        registry = self.state.registries[user_id]
        finished = registry.finished.get(order_id)
        return registry.find_open(order_id).record() if finished is None else finished

    def own_trade_count(self, user_id: str) -> int:
        """Return the index of the user's newest trade, 0 before the first."""
        return self._user(user_id).trade_count

    def own_trades(
        self, user_id: str, *, since_index: int = 0, market_id: str | None = None, limit: int = 1000
    ) -> tuple[OwnTrade, ...]:
        """Return the newest `limit` own trades with a higher index than `since_index`, oldest first.

        The last `OWN_TRADES_MAX` are kept: a reader further behind sees a gap in the index.
        """
        trades = _newest(self._user(user_id).trades, since_index, None if market_id else limit)
        return tuple(each for each in trades if market_id in (None, each.market_id))[-limit:]

    def positions_version(self, user_id: str) -> int:
        """Return a number that grows by one with each change of any position."""
        return self._user(user_id).positions_version

    def positions(
        self, user_id: str, *, since_version: int = 0, market_id: str | None = None, open_only: bool = False
    ) -> tuple[PositionRecord, ...]:
        """List positions that changed after `since_version`: lately closed ones first, then the open ones."""
        account = self._user(user_id)
        records = [] if open_only else list(account.closed)
        records += [account.record(position) for position in account.positions.values()]
        return tuple(
            record for record in records if record.version > since_version and market_id in (None, record.market_id)
        )

    @exactly
    def balances(self, user_id: str) -> tuple[BalanceRecord, ...]:
        """Return the four buckets; OCX documents neither read's shape: ASSUMED.

        In perps, equity = balance + unrealised profit = deposits + cash flows + positions at the mark, exactly.
        """
        account = self._user(user_id)
        marks = self.state.marks()
        equity = account.equity(marks)
        unrealized = account.unrealized(marks)
        margin = initial_margin(self.state.exposures(user_id))
        perps = BalanceRecord(
            bucket="perps",
            asset=ASSET,
            balance=equity - unrealized,
            available=max(ZERO, equity - margin),
            equity=equity,
            unrealized_pnl=unrealized,
            margin_used=margin,
        )
        return tuple(
            perps
            if bucket == "perps"
            else BalanceRecord(
                bucket=bucket,
                asset=ASSET,
                balance=account.buckets[bucket],
                available=account.buckets[bucket],
                equity=account.buckets[bucket],
                unrealized_pnl=ZERO,
                margin_used=ZERO,
            )
            for bucket in BUCKETS
        )

    @exactly
    def equity(self, user_id: str) -> Decimal:
        """Return the perps bucket's money with positions at the mark."""
        return self._user(user_id).equity(self.state.marks())

    def funding_history(self, user_id: str) -> tuple[FundingRecord, ...]:
        """List the user's last funding payments, oldest first."""
        return tuple(self._user(user_id).funding)

    def liquidations(self, user_id: str) -> tuple[LiquidationRecord, ...]:
        """List the positions that were taken over, oldest first."""
        return tuple(self._user(user_id).liquidations)

    @exactly
    def volume_30d(self, user_id: str, now_ms: int) -> Decimal:
        """Return the value traded in the last thirty days, quote units."""
        return self._user(user_id).volume(now_ms)

    def _user(self, user_id: str) -> Account:
        account = self.state.accounts[user_id]
        if account.kind != "user":
            raise ValueError(f"{user_id} is not a user")
        return account


def _newest(rows: deque[Row], since_index: int, limit: int | None) -> tuple[Row, ...]:
    """Take rows from the newest back to an index or a number of them, and return them oldest first."""
    taken: list[Row] = []
    for row in islice(reversed(rows), limit):
        if row.index <= since_index:
            break
        taken.append(row)
    taken.reverse()
    return tuple(taken)
