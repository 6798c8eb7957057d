"""What happened lately, out of the journal, as the page draws it. Times are unix seconds; prices and money numbers.

Charts need no exact figures, so these are floats; what must add up is in the live state, and in `report`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from maker.desk.profit import HORIZONS_SECONDS
from maker.monitor.journal_reads import Row, Short, short
from maker.monitor.thinning import POINTS_MAX, Point, thinned

SECONDS_DEFAULT: Final = 900
SECONDS_MAX: Final = 86_400
FILLS_DEFAULT: Final = 100
FILLS_MAX: Final = 1_000
MARKOUT_SECONDS: Final = 5.0  # the horizon that a fill on the chart is told with; one of desk.profit's
assert MARKOUT_SECONDS in HORIZONS_SECONDS

Series = list[Point]


def number(text: str | None) -> float | None:
    """A decimal text of the journal as a chart needs it."""
    return None if text is None else float(text)


def history(path: Path, seconds: int, now: float) -> dict[str, Any]:
    """The last so many seconds before `now` (unix seconds). Raises Unreadable."""
    since_ms = int((now - seconds) * 1000)
    with short(path) as journal:
        fair = by_market(
            (market, (at / 1000, float(price)))
            for at, market, price in journal.rows("ladders", "at_unix_ms, market, fair_price_quote", since_ms)
        )
        quotes = by_market(
            (market, (at / 1000, number(bid), number(ask)))
            for at, market, bid, ask in journal.rows(
                "quotes", "at_unix_ms, market, bid_price_quote, ask_price_quote", since_ms
            )
        )
        position = by_market(position_rows(journal, since_ms))
        profit = by_market(map(profit_row, journal.rows("attribution", PROFIT_COLUMNS, since_ms)))
        fills = by_market(fill_rows(journal, since_ms))
        answers = [
            (at / 1000, seconds)
            for at, seconds in journal.rows(
                "ladder_outcomes", "at_unix_ms, answer_seconds", since_ms, "AND answer_seconds IS NOT NULL"
            )
        ]
        states = [
            (at / 1000, scope, state, sentence)
            for at, scope, state, sentence in journal.rows("states", "at_unix_ms, scope, state, sentence", since_ms)
        ]
    names = sorted({*fair, *quotes, *position, *profit, *fills})
    return {
        "seconds": seconds,
        "markets": {
            name: {
                "fair": thinned(fair.get(name, [])),
                "quotes": thinned(quotes.get(name, []), low=1, high=2),
                "fills": fills.get(name, [])[-POINTS_MAX:],
                "position": thinned(position.get(name, [])),
                "profit": thinned(profit.get(name, [])),
            }
            for name in names
        },
        "answers": thinned(answers),
        "states": states[-POINTS_MAX:],
    }


def by_market(rows: Iterable[tuple[str, Point]]) -> dict[str, Series]:
    """Points sorted out by their market."""
    found: dict[str, Series] = {}
    for market, point in rows:
        found.setdefault(market, []).append(point)
    return found


def position_rows(journal: Short, since_ms: int) -> Iterable[tuple[str, Point]]:
    """Positions as they changed, and what was held when the window began."""
    columns = "at_unix_ms, market, position_base"
    held = {market: float(base) for _, market, base in journal.before("positions", columns, since_ms)}
    for market, base in held.items():
        yield market, (since_ms / 1000, base)
    for at, market, base in journal.rows("positions", columns, since_ms):
        yield market, (at / 1000, float(base))


PROFIT_COLUMNS: Final = "at_unix_ms, market, equity_quote, spread_quote, inventory_quote, fees_quote, funding_quote"


def profit_row(row: Row) -> tuple[str, Point]:
    """One market's profit since its run began, and what made it."""
    at, market, *amounts = row
    return market, (at / 1000, *map(float, amounts))


def fill_rows(journal: Short, since_ms: int) -> Iterable[tuple[str, Point]]:
    """Fills, each with its markout at MARKOUT_SECONDS; None: it is not known yet, or there was no fair value."""
    markouts = {
        (market, trade_id): number(bps)
        for market, trade_id, bps in journal.rows(
            "markouts",
            "market, trade_id, markout_bps",
            since_ms,
            "AND horizon_seconds = :horizon",
            horizon=MARKOUT_SECONDS,
        )
    }
    columns = "at_unix_ms, market, trade_id, side, price_quote, size_base"
    for at, market, trade_id, side, price, size in journal.rows("fills", columns, since_ms):
        yield market, (at / 1000, side, float(price), float(size), markouts.get((market, trade_id)))


# -- fills, one by one ----------------------------------------------------------------------------------------------


FILL_COLUMNS: Final = "at_unix_ms, run_id, market, trade_id, side, price_quote, size_base, fee_quote"
FILL_NAMES: Final = ("at", "run_id", "market", "trade_id", "side", "price", "size", "fee")
DETAIL_NAMES: Final = ("level", "liquidity", "fair", "mark")


def fills(path: Path, market: str | None, limit: int) -> list[dict[str, Any]]:
    """The latest fills, newest first; texts are the journal's. `markouts`: by horizon in seconds, None: not known.

    Raises Unreadable.
    """
    with short(path) as journal:
        where, parameters = ("AND market = :market", {"market": market}) if market else ("", {})
        rows = journal.latest("fills", FILL_COLUMNS, limit, where, **parameters)
        found = [{**dict(zip(FILL_NAMES, row, strict=True)), "at": row[0] / 1000} for row in rows]
        wanted = json.dumps([row["trade_id"] for row in found])
        details = {
            (name, trade): dict(zip(DETAIL_NAMES, rest, strict=True))
            for name, trade, *rest in among(
                journal,
                "fill_details",
                "market, trade_id, level, liquidity, fair_price_quote, mark_price_quote",
                wanted,
            )
        }
        markouts: dict[tuple[str, str], dict[str, Any]] = {}
        for name, trade, horizon, quote, bps in among(
            journal, "markouts", "market, trade_id, horizon_seconds, markout_quote, markout_bps", wanted
        ):
            known = None if quote is None else {"quote": quote, "bps": bps}
            markouts.setdefault((name, trade), {})[f"{horizon:g}"] = known
    nothing = dict.fromkeys(DETAIL_NAMES)
    return [
        {
            **row,
            **details.get((row["market"], row["trade_id"]), nothing),
            "markouts": {
                f"{horizon:g}": markouts.get((row["market"], row["trade_id"]), {}).get(f"{horizon:g}")
                for horizon in HORIZONS_SECONDS
            },
        }
        for row in found
    ]


def among(journal: Short, table: str, columns: str, trade_ids: str) -> list[Row]:
    """Rows of these trades, by the table's index."""
    if table not in journal.tables:
        return []
    query = f"SELECT {columns} FROM {table} WHERE trade_id IN (SELECT value FROM json_each(:trade_ids))"  # noqa: S608
    return journal.all(query, trade_ids=trade_ids)
