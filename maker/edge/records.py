"""The journal's rows and its schema, version by version.

Tables are append-only and every row carries its run. Columns say their units: `_unix_ms` milliseconds of UTC since
1970, `_quote` an amount or price in quote currency, `_base` a size in base currency, `_seconds`. Money is decimal
text, exact.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import ClassVar

import attrs


def unix_ms() -> int:
    """Now, as rows carry it: for people, never for an age or a deadline."""
    return time.time_ns() // 1_000_000


@attrs.frozen
class Fill:
    """One execution of our own."""

    table: ClassVar[str] = "fills"
    at_unix_ms: int
    market: str
    trade_id: str
    order_id: str
    client_order_id: str
    side: str  # buy | sell
    price_quote: Decimal
    size_base: Decimal
    fee_quote: Decimal  # negative: a rebate


@attrs.frozen
class FillDetail:
    """What was known when a fill was booked; `trade_id` leads to its row in `fills`."""

    table: ClassVar[str] = "fill_details"
    at_unix_ms: int  # of the booking: later than the fill's own time by as much as it was told late
    market: str
    trade_id: str
    quote_id: str  # the ladder its order came with; empty: not known
    level: int  # of that ladder's side, 1 innermost; 0: not known
    liquidity: str  # maker | taker
    fair_price_quote: Decimal | None  # None: there was none, and the spread is taken against the mark
    mark_price_quote: Decimal | None


@attrs.frozen
class Markout:
    """What a fill was worth at the fair value so long after it was booked; positive is good for us."""

    table: ClassVar[str] = "markouts"
    at_unix_ms: int  # when it was reckoned; the fair value is that of the horizon
    market: str
    trade_id: str
    horizon_seconds: float
    markout_quote: Decimal | None  # before fees; None: there was no fair value
    markout_bps: Decimal | None  # of the fill's price, to 0.0001


@attrs.frozen
class LadderIntent:
    """A ladder about to be sent: put before its first byte leaves."""

    table: ClassVar[str] = "ladders"
    at_unix_ms: int
    quote_id: str
    market: str
    fair_price_quote: Decimal
    position_base: Decimal
    levels_json: bytes  # the orders exactly as they go out


@attrs.frozen
class LadderOutcome:
    """What became of a ladder."""

    table: ClassVar[str] = "ladder_outcomes"
    at_unix_ms: int
    quote_id: str
    market: str
    outcome: str  # applied | refused | throttled | unauthorized | unknown
    detail: str
    answer_seconds: float | None  # from the first byte sent to the answer; None: none came


@attrs.frozen
class StateChange:
    """A change of what we do, and the sentence that says why."""

    table: ClassVar[str] = "states"
    at_unix_ms: int
    scope: str  # a market, or "maker"
    state: str
    sentence: str


@attrs.frozen
class PositionSeen:
    """Our position in one market, when it changed."""

    table: ClassVar[str] = "positions"
    at_unix_ms: int
    market: str
    position_base: Decimal  # negative: short
    source: str  # stream | read


@attrs.frozen
class Profit:
    """Where one market stands since this run began; equity = cash + position x mark price - fees - funding."""

    table: ClassVar[str] = "profit"
    at_unix_ms: int
    market: str
    position_base: Decimal
    mark_price_quote: Decimal
    cash_quote: Decimal
    fees_quote: Decimal
    funding_quote: Decimal  # paid; negative: received
    equity_quote: Decimal


@attrs.frozen
class Attribution:
    """What made one market's equity since this run began: equity = spread + inventory + fees + funding + residual.

    Gains are positive, costs negative, paid fees and funding too. The residual is nothing but the worth of a position
    that the exchange has told before its fills; any other is an alarm in `states`.
    """

    table: ClassVar[str] = "attribution"
    at_unix_ms: int
    market: str
    spread_quote: Decimal
    inventory_quote: Decimal
    fees_quote: Decimal
    funding_quote: Decimal  # of the account, with its first market; live an estimate
    equity_quote: Decimal
    residual_quote: Decimal
    fills_at_mark: int  # whose spread was taken against the mark, for there was no fair value


@attrs.frozen
class QuotesSeen:
    """Our innermost quotes in one market as far as we know: when they changed, and again every minute."""

    table: ClassVar[str] = "quotes"
    at_unix_ms: int
    market: str
    bid_price_quote: Decimal | None  # None: nothing of ours rests on that side, or it is being pulled
    ask_price_quote: Decimal | None


@attrs.frozen
class RequestsSpent:
    """Order-path requests since this run began, ladders and cancels; the guard's and a red button's are not ours."""

    table: ClassVar[str] = "requests"
    at_unix_ms: int
    spent: int
    throttles: int  # answers 429
    limit_per_minute: int  # as the exchange last stated it


@attrs.frozen
class Reload:
    """The configuration was read again while the maker ran: taken, or refused with nothing changed."""

    table: ClassVar[str] = "reloads"
    at_unix_ms: int
    applied: bool
    config_sha256: str  # of the file that holds from here on; empty where it was refused
    sentence: str


@attrs.frozen
class ReloadChange:
    """One key that a reload changed; its time leads to its row in `reloads`. Values are as the file has them."""

    table: ClassVar[str] = "reload_changes"
    at_unix_ms: int
    key: str  # dotted: market.BTC-PERP.level_size
    old: str | None  # None: it was not there
    new: str | None


@attrs.frozen
class Run:
    """One start of the maker; the first row of a run.

    No seed is in it: chance comes from the operating system, but for the jitter of the pace, whose seed is the epoch in
    the names of a run's orders.
    """

    table: ClassVar[str] = "runs"
    run_id: str
    started_at_unix_ms: int
    mode: str  # paper | live
    account: str
    config_sha256: str
    version: str
    order_prefix: str = ""  # with which the name of each order begins; empty: of before schema 5
    models: str = ""  # BTC-PERP glft, ETH-PERP wide.py:Wide; a later one is in `reload_changes`


@attrs.frozen
class RunEnd:
    """How a run ended; missing after a kill."""

    table: ClassVar[str] = "run_ends"
    at_unix_ms: int
    reason: str
    exit_code: int
    verified_empty: bool


Row = (
    Fill
    | FillDetail
    | Markout
    | LadderIntent
    | LadderOutcome
    | StateChange
    | PositionSeen
    | Profit
    | Attribution
    | QuotesSeen
    | RequestsSpent
    | Reload
    | ReloadChange
    | RunEnd
)

# One entry a schema version, applied in order; a released entry is never changed, the next version is a new entry.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE runs (run_id TEXT PRIMARY KEY, started_at_unix_ms INTEGER NOT NULL, mode TEXT NOT NULL,"
        " account TEXT NOT NULL, config_sha256 TEXT NOT NULL, version TEXT NOT NULL)",
        "CREATE TABLE run_ends (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " reason TEXT NOT NULL, exit_code INTEGER NOT NULL, verified_empty INTEGER NOT NULL)",
        "CREATE TABLE fills (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL, market TEXT NOT NULL,"
        " trade_id TEXT NOT NULL, order_id TEXT NOT NULL, client_order_id TEXT NOT NULL, side TEXT NOT NULL,"
        " price_quote TEXT NOT NULL, size_base TEXT NOT NULL, fee_quote TEXT NOT NULL)",
        "CREATE INDEX fills_by_time ON fills (at_unix_ms)",
        "CREATE TABLE ladders (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " quote_id TEXT NOT NULL, market TEXT NOT NULL, fair_price_quote TEXT NOT NULL, position_base TEXT NOT NULL,"
        " levels_json TEXT NOT NULL)",
        "CREATE INDEX ladders_by_time ON ladders (at_unix_ms)",
        "CREATE TABLE ladder_outcomes (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " quote_id TEXT NOT NULL, market TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL,"
        " answer_seconds REAL)",
        "CREATE INDEX ladder_outcomes_by_quote ON ladder_outcomes (quote_id)",
        "CREATE TABLE states (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL, scope TEXT NOT NULL,"
        " state TEXT NOT NULL, sentence TEXT NOT NULL)",
        "CREATE TABLE positions (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " market TEXT NOT NULL, position_base TEXT NOT NULL, source TEXT NOT NULL)",
        "CREATE TABLE profit (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL, market TEXT NOT NULL,"
        " position_base TEXT NOT NULL, mark_price_quote TEXT NOT NULL, cash_quote TEXT NOT NULL,"
        " fees_quote TEXT NOT NULL, funding_quote TEXT NOT NULL, equity_quote TEXT NOT NULL)",
        "CREATE INDEX profit_by_time ON profit (at_unix_ms)",
    ),
    (
        "CREATE TABLE fill_details (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " market TEXT NOT NULL, trade_id TEXT NOT NULL, quote_id TEXT NOT NULL, level INTEGER NOT NULL,"
        " liquidity TEXT NOT NULL, fair_price_quote TEXT, mark_price_quote TEXT)",
        "CREATE INDEX fill_details_by_trade ON fill_details (trade_id)",
        "CREATE TABLE markouts (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " market TEXT NOT NULL, trade_id TEXT NOT NULL, horizon_seconds REAL NOT NULL, markout_quote TEXT,"
        " markout_bps TEXT)",
        "CREATE INDEX markouts_by_trade ON markouts (trade_id)",
        "CREATE TABLE attribution (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " market TEXT NOT NULL, spread_quote TEXT NOT NULL, inventory_quote TEXT NOT NULL, fees_quote TEXT NOT NULL,"
        " funding_quote TEXT NOT NULL, equity_quote TEXT NOT NULL, residual_quote TEXT NOT NULL,"
        " fills_at_mark INTEGER NOT NULL)",
        "CREATE INDEX attribution_by_time ON attribution (at_unix_ms)",
    ),
    (
        "CREATE TABLE quotes (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL, market TEXT NOT NULL,"
        " bid_price_quote TEXT, ask_price_quote TEXT)",
        "CREATE TABLE requests (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " spent INTEGER NOT NULL, throttles INTEGER NOT NULL, limit_per_minute INTEGER NOT NULL)",
    ),
    (
        "CREATE TABLE reloads (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " applied INTEGER NOT NULL, config_sha256 TEXT NOT NULL, sentence TEXT NOT NULL)",
        "CREATE TABLE reload_changes (run_id TEXT NOT NULL REFERENCES runs, at_unix_ms INTEGER NOT NULL,"
        " key TEXT NOT NULL, old TEXT, new TEXT)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN order_prefix TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN models TEXT NOT NULL DEFAULT ''",
    ),
)
