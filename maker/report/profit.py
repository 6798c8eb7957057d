"""Profit and what made it, by market and moment, exact to the last digit.

Each run writes sums since its own start every few seconds. What was made in between is the difference of two rows, and
belongs to the moment of the later one: so everything adds up, whatever the clock did, and a day ends with the last row
before midnight. Of a run that began before the window, the last row before the window is where counting begins.

Journals of before attribution have profit, fees and funding; their spread and inventory were not told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.units import exact
from maker.report.reading import Reader, Row, exact_amount, text, whole
from maker.report.runs import Runs, Window
from maker.report.since import DAY_MS

ZERO: Final = Decimal(0)
ATTRIBUTION: Final = "spread_quote, inventory_quote, fees_quote, funding_quote, equity_quote, fills_at_mark"
PROFIT: Final = "fees_quote, funding_quote, equity_quote, position_base, mark_price_quote"
# The last row of each market in each bucket; rows before the window stand apart, for what they are subtracted from.
LAST_ROWS: Final = (
    "SELECT max(rowid), run_id, market, at_unix_ms, {columns} FROM {table} WHERE rowid BETWEEN :low AND :high "
    "GROUP BY run_id, market, at_unix_ms / :bucket, at_unix_ms >= :since ORDER BY 1"
)


@attrs.frozen
class Money:
    """What changed equity, quote currency: gains positive, costs negative, so that they simply add."""

    spread: Decimal = ZERO
    inventory: Decimal = ZERO
    fees: Decimal = ZERO  # negative: paid
    funding: Decimal = ZERO  # negative: paid
    untold: Decimal = ZERO  # spread and inventory together, where they were not told apart
    residual: Decimal = ZERO  # the worth of positions that were told before their fills

    @property
    def profit(self) -> Decimal:
        """The change of equity: all of it."""
        with exact():
            return self.spread + self.inventory + self.fees + self.funding + self.untold + self.residual

    def __add__(self, other: Money) -> Money:
        with exact():
            return Money(*(one + two for one, two in zip(attrs.astuple(self), attrs.astuple(other), strict=True)))

    def __sub__(self, other: Money) -> Money:
        with exact():
            return Money(*(one - two for one, two in zip(attrs.astuple(self), attrs.astuple(other), strict=True)))


def summed(parts: Iterable[Money]) -> Money:
    return sum(parts, Money())


@attrs.frozen
class Standing:
    """A run's sums in one market since it began, as one row has them."""

    money: Money = attrs.field(factory=Money)
    fills_at_mark: int = 0
    held: tuple[Decimal, Decimal] | None = None  # position, base; mark, quote


@attrs.frozen
class Step:
    """A row in the window, and the one before it."""

    run_id: str
    market: str
    at_ms: int
    now: Standing
    before: Standing

    @property
    def made(self) -> Money:
        return self.now.money - self.before.money


@attrs.define
class Profit:
    """What was made in each bucket of each market, and where positions and marks then stood."""

    made: dict[tuple[str, int], Money] = attrs.field(factory=dict)  # (market, bucket)
    held: dict[tuple[str, int], tuple[Decimal, Decimal]] = attrs.field(factory=dict)  # position, base; mark, quote
    fills_at_mark: int = 0  # whose spread was taken against the mark, for there was no fair value
    told_until_ms: dict[str, int] = attrs.field(factory=dict)  # run -> its last row in the window

    def book(self, step: Step, window: Window) -> None:
        """Add what was made between two rows."""
        key = step.market, window.bucket(step.at_ms)
        self.made[key] = self.made.get(key, Money()) + step.made
        self.told_until_ms[step.run_id] = max(step.at_ms, self.told_until_ms.get(step.run_id, 0))

    @property
    def total(self) -> Money:
        return summed(self.made.values())

    @property
    def markets(self) -> list[str]:
        return sorted({market for market, _ in self.made})

    def of_market(self, market: str) -> Money:
        return summed(made for (name, _), made in self.made.items() if name == market)

    def by_day(self) -> dict[tuple[int, str], Money]:
        """(begin of the day in ms of UTC, market) -> what was made, oldest first."""
        days: dict[tuple[int, str], Money] = {}
        for (market, bucket), made in self.made.items():
            key = bucket // DAY_MS * DAY_MS, market
            days[key] = days.get(key, Money()) + made
        return dict(sorted(days.items()))

    def curve(self, market: str | None) -> list[tuple[int, Decimal]]:
        """(bucket, profit since the window began) of a market, or of all."""
        steps: dict[int, Money] = {}
        for (name, bucket), made in self.made.items():
            if market in (None, name):
                steps[bucket] = steps.get(bucket, Money()) + made
        total, found = Money(), []
        for bucket in sorted(steps):
            total += steps[bucket]
            found.append((bucket, total.profit))
        return found


def read_profit(reader: Reader, window: Window, runs: Runs) -> Profit:
    """Read what each run made within the window. Raises Unreadable."""
    profit = Profit()
    told_apart: set[str] = set()
    for step in steps(reader, window, runs, "attribution", ATTRIBUTION, attributed):
        told_apart.add(step.run_id)
        profit.fills_at_mark += step.now.fills_at_mark - step.before.fills_at_mark
        profit.book(step, window)
    for step in steps(reader, window, runs, "profit", PROFIT, plain):
        if step.now.held is not None:
            profit.held[step.market, window.bucket(step.at_ms)] = step.now.held
        if step.run_id not in told_apart:
            profit.book(step, window)
    return profit


def steps(
    reader: Reader, window: Window, runs: Runs, table: str, columns: str, standing: Callable[[Row], Standing]
) -> Iterator[Step]:
    """Yield each step of a table's sums within the window, in the order of writing. Raises Unreadable."""
    latest: dict[tuple[str, str], Standing] = {}
    query = LAST_ROWS.format(columns=columns, table=table)
    for page in reader.pages(table, query, bucket=window.bucket_ms):
        for _, run_id, market, at_ms, *values in page:
            runs.seen(run_id, at_ms, table)
            key = run_id, text(market, table)
            if key not in latest:
                earlier = reader.before(table, columns, run_id, market)
                latest[key] = Standing() if earlier is None else standing(earlier)
            before, latest[key] = latest[key], standing(tuple(values))
            if at_ms >= window.since_ms:
                yield Step(run_id, market, at_ms, latest[key], before)


def attributed(row: Row) -> Standing:
    """Read a row of `attribution`: the residual is what of equity the parts do not make. Raises Unreadable."""
    *parts, fills_at_mark = row
    spread, inventory, fees, funding, equity = (exact_amount(part, "attribution") for part in parts)
    with exact():
        residual = equity - (spread + inventory + fees + funding)
    return Standing(Money(spread, inventory, fees, funding, residual=residual), whole(fills_at_mark, "attribution"))


def plain(row: Row) -> Standing:
    """Read a row of `profit`, whose fees and funding are positive when paid. Raises Unreadable."""
    fees, funding, equity, position, mark = (exact_amount(part, "profit") for part in row)
    with exact():
        money = Money(fees=-fees, funding=-funding, untold=equity + fees + funding)
    return Standing(money, held=(position, mark))
