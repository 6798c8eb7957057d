"""One-minute candles of a market's trades, a day of them, and what the 24-hour statistics read from them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import attrs

from maker.paper.rejection import Rejection

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
CANDLES_MAX: Final = 1441  # minutes: a day and the one under way


@attrs.frozen(kw_only=True)
class Candle:
    """Trades of one interval; a minute without trades has none."""

    start_ms: int  # unix milliseconds, a multiple of the interval
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal  # base units
    trades: int


@attrs.define
class CandleTape:
    """The last day of one market, minute by minute."""

    minutes: deque[Candle] = attrs.field(factory=lambda: deque(maxlen=CANDLES_MAX))

    def add(self, price: Decimal, quantity: Decimal, now_ms: int) -> None:
        """Count one trade."""
        start_ms = now_ms - now_ms % MINUTE_MS
        last = self.minutes[-1] if self.minutes else None
        trade = Candle(start_ms=start_ms, open=price, high=price, low=price, close=price, volume=quantity, trades=1)
        if last is not None and last.start_ms >= start_ms:
            self.minutes[-1] = _join((last, trade), last.start_ms)
        else:
            self.minutes.append(trade)

    def before(self, closes: Sequence[Decimal], now_ms: int) -> None:
        """Begin with prices of the minutes before now, oldest first, in which nobody traded here."""
        assert not self.minutes, "a tape begins once"
        start_ms = now_ms - now_ms % MINUTE_MS - len(closes) * MINUTE_MS
        for minute, (last, close) in enumerate(itertools.pairwise([closes[0], *closes])):
            self.minutes.append(
                Candle(
                    start_ms=start_ms + minute * MINUTE_MS,
                    open=last,
                    high=max(last, close),
                    low=min(last, close),
                    close=close,
                    volume=Decimal(0),
                    trades=0,
                )
            )

    def last_day(self, now_ms: int) -> Candle | None:
        """Return the last 24 hours as one candle, to the minute; None without a trade."""
        recent = [candle for candle in self.minutes if candle.start_ms + MINUTE_MS > now_ms - DAY_MS]
        return _join(recent, recent[0].start_ms) if recent else None

    def intervals(self, interval_ms: int, limit: int) -> tuple[Candle, ...]:
        """Return the last `limit` candles of whole minutes each, oldest first; raises Rejection INVALID_PARAMETER."""
        if interval_ms < MINUTE_MS or interval_ms % MINUTE_MS or interval_ms > DAY_MS:
            raise Rejection("INVALID_PARAMETER", "a candle lasts whole minutes, up to a day")
        if not 1 <= limit <= CANDLES_MAX:
            raise Rejection("INVALID_PARAMETER", f"between 1 and {CANDLES_MAX} candles may be asked for")
        groups: dict[int, list[Candle]] = {}
        for candle in self.minutes:
            groups.setdefault(candle.start_ms - candle.start_ms % interval_ms, []).append(candle)
        return tuple(_join(group, start_ms) for start_ms, group in groups.items())[-limit:]


def _join(candles: Iterable[Candle], start_ms: int) -> Candle:
    parts = tuple(candles)
    return Candle(
        start_ms=start_ms,
        open=parts[0].open,
        high=max(part.high for part in parts),
        low=min(part.low for part in parts),
        close=parts[-1].close,
        volume=sum((part.volume for part in parts), Decimal(0)),
        trades=sum(part.trades for part in parts),
    )
