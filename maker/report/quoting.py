"""How long our quotes rested on both sides, and how far apart: what the maker itself knew to rest, row by row.

A row of `quotes` holds from its moment to the next one of its market, the last of a run until the run's end. Journals
of before schema 3 have none: of their runs nothing is told. That a quote rested while its maker was dead is not known
to any row; the guard's log tells when it was pulled.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Final

import attrs

from maker.desk.units import BPS, exact
from maker.report.reading import Reader, amount_or_none, text
from maker.report.runs import Runs, Window
from maker.report.since import DAY_MS

# Basis points of the middle between our innermost bid and ask: each class reaches from one bound to below the next.
SPREAD_BOUNDS_BPS: Final = tuple(Decimal(bound) for bound in (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100))
QUOTES: Final = (
    "SELECT run_id, at_unix_ms, market, bid_price_quote, ask_price_quote FROM quotes "
    "WHERE rowid BETWEEN :low AND :high ORDER BY rowid"
)


class Rest(enum.Enum):
    """What rests in a market."""

    BOTH = "both sides"
    ONE = "one side"
    NOTHING = "nothing"


@attrs.frozen
class Quoted:
    """Our innermost quotes, quote currency; None: nothing rests on that side."""

    at_ms: int
    bid: Decimal | None
    ask: Decimal | None

    @property
    def rest(self) -> Rest:
        sides = (self.bid is not None) + (self.ask is not None)
        return (Rest.NOTHING, Rest.ONE, Rest.BOTH)[sides]

    @property
    def spread_class(self) -> int:
        """The index of the first bound above the spread; both sides must rest."""
        assert self.bid is not None, "both sides rest"
        assert self.ask is not None, "both sides rest"
        with exact():
            apart, twice_middle = (self.ask - self.bid) * 2 * BPS, self.ask + self.bid
            below = (index for index, bound in enumerate(SPREAD_BOUNDS_BPS) if apart < bound * twice_middle)
            return next(below, len(SPREAD_BOUNDS_BPS))

    @property
    def spread_bps(self) -> float:
        """Ask less bid in basis points of the middle; both sides must rest."""
        assert self.bid is not None, "both sides rest"
        assert self.ask is not None, "both sides rest"
        middle = float(self.ask + self.bid) / 2
        return float(self.ask - self.bid) / middle * BPS if middle else 0.0


@attrs.define
class Uptime:
    """Milliseconds by what rested."""

    both: int = 0
    one: int = 0
    nothing: int = 0

    @property
    def told(self) -> int:
        """Of which it is known what rested."""
        return self.both + self.one + self.nothing

    def add(self, rest: Rest, length_ms: int) -> None:
        match rest:
            case Rest.BOTH:
                self.both += length_ms
            case Rest.ONE:
                self.one += length_ms
            case Rest.NOTHING:
                self.nothing += length_ms


@attrs.define
class Quoting:
    """What rested in each bucket of each market, and how far apart."""

    uptime: dict[tuple[str, int], Uptime] = attrs.field(factory=dict)  # (market, bucket)
    spreads: dict[str, list[int]] = attrs.field(factory=dict)  # market -> milliseconds in each class
    spread_sums: dict[str, float] = attrs.field(factory=dict)  # market -> basis points times milliseconds

    @property
    def markets(self) -> list[str]:
        return sorted({market for market, _ in self.uptime})

    def of_market(self, market: str) -> Uptime:
        return added([one for (name, _), one in self.uptime.items() if name == market])

    def by_day(self) -> dict[tuple[int, str], Uptime]:
        """(begin of the day in ms of UTC, market) -> what rested, oldest first."""
        days: dict[tuple[int, str], list[Uptime]] = {}
        for (market, bucket), one in self.uptime.items():
            days.setdefault((bucket // DAY_MS * DAY_MS, market), []).append(one)
        return {key: added(days[key]) for key in sorted(days)}

    def spread_bps(self, market: str) -> float | None:
        """Mean over the time that both sides rested; None: never."""
        both = self.of_market(market).both
        return self.spread_sums[market] / both if both else None

    def hold(self, market: str, quoted: Quoted, end_ms: int, window: Window) -> None:
        """Book that quotes rested until a moment."""
        rest, inside = quoted.rest, 0
        for bucket, length_ms in window.pieces(quoted.at_ms, end_ms):
            self.uptime.setdefault((market, bucket), Uptime()).add(rest, length_ms)
            inside += length_ms
        if rest is Rest.BOTH and inside:
            classes = self.spreads.setdefault(market, [0] * (len(SPREAD_BOUNDS_BPS) + 1))
            classes[quoted.spread_class] += inside
            self.spread_sums[market] = self.spread_sums.get(market, 0.0) + quoted.spread_bps * inside


def added(parts: list[Uptime]) -> Uptime:
    return Uptime(sum(one.both for one in parts), sum(one.one for one in parts), sum(one.nothing for one in parts))


@attrs.define
class Unfinished:
    """What has been read, and the quotes of each run and market that hold until its end, which is not known yet."""

    quoting: Quoting
    open: dict[tuple[str, str], Quoted]  # (run, market)

    def finish(self, runs: Runs, window: Window) -> Quoting:
        """Let the last quotes of each run hold until its end. To be called when all tables have been read."""
        for (run_id, market), quoted in self.open.items():
            self.quoting.hold(market, quoted, runs.by_id[run_id].last_ms, window)
        return self.quoting


def read_quotes(reader: Reader, window: Window, runs: Runs) -> Unfinished:
    """Read what rested. Raises Unreadable."""
    found = Unfinished(Quoting(), {})
    for page in reader.pages("quotes", QUOTES):
        for run_id, at_ms, market, bid, ask in page:
            run = runs.seen(run_id, at_ms, "quotes")
            run.rows["quotes"] = run.rows.get("quotes", 0) + 1
            key = run_id, text(market, "quotes")
            if key in found.open:
                found.quoting.hold(market, found.open[key], at_ms, window)
            found.open[key] = Quoted(at_ms, amount_or_none(bid, "quotes"), amount_or_none(ask, "quotes"))
    return found
