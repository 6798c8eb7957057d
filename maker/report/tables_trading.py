"""Tables of what was earned: profit by day and market, fills, markouts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from maker.desk.units import BPS, exact
from maker.report import quoting
from maker.report.fills import Flow
from maker.report.profit import Money, summed
from maker.report.quoting import Uptime
from maker.report.table import Column, Kind, Table, Value
from maker.report.whole import Report

ALL: Final = "all"
TOTAL: Final = "total"


def profit(report: Report) -> Table:
    """Profit by day and market, and what made it."""
    days, flows, uptimes = report.profit.by_day(), report.fills.days, report.quoting.by_day()
    keys = sorted({*days, *flows, *uptimes})
    rows = [money_row(*key, days.get(key), flows.get(key), uptimes.get(key)) for key in keys]
    markets = list(dict.fromkeys(market for _, market in keys))
    summed_up: list[str] = []
    if len(keys) > 1:
        summed_up = [*markets, ALL] if 1 < len(markets) < len(keys) else [ALL]
    for market in summed_up:
        mine = [key for key in keys if market in (ALL, key[1])]
        made = [days[key] for key in mine if key in days]
        flow = added([flows[key] for key in mine if key in flows])
        uptime = quoting.added([uptimes[key] for key in mine if key in uptimes])
        rows.append(money_row(TOTAL, market, summed(made) if made else None, flow, uptime))
    columns = (
        Column("day", "day", Kind.DAY),
        Column("market", "market"),
        Column("profit_quote", "profit", Kind.AMOUNT),
        Column("spread_quote", "spread", Kind.AMOUNT),
        Column("inventory_quote", "inventory", Kind.AMOUNT),
        Column("spread_and_inventory_quote", "both", Kind.AMOUNT),
        Column("fees_quote", "fees", Kind.AMOUNT),
        Column("funding_quote", "funding", Kind.AMOUNT),
        Column("residual_quote", "residual", Kind.AMOUNT),
        Column("fills", "fills", Kind.COUNT),
        Column("volume_quote", "volume", Kind.VOLUME),
        Column("two_sided", "two-sided", Kind.SHARE),
    )
    note = (
        "Quote currency; days in UTC; costs are negative. profit = spread + inventory + fees + funding"
        + (" + both where they are told together" if report.profit.total.untold else "")
        + (" + residual" if report.profit.total.residual else "")
        + ", exact before it is rounded here. Funding is the account's, shown with its first market; live an estimate."
    )
    table = Table("profit", "Profit by day and market", columns, rows, note, len(summed_up))
    return table.without_empty("spread_and_inventory_quote", "residual_quote")


def money_row(
    day: int | str, market: str, money: Money | None, flow: Flow | None, uptime: Uptime | None
) -> tuple[Value, ...]:
    made: tuple[Value, ...] = (None,) * 7
    if money is not None:
        apart = bool(not money.untold or money.spread or money.inventory)
        made = (
            money.profit,
            money.spread if apart else None,
            money.inventory if apart else None,
            money.untold or None,
            money.fees,
            money.funding,
            money.residual or None,
        )
    flow = flow or Flow()
    both = Fraction(uptime.both, uptime.told) if uptime is not None and uptime.told else None
    return day, market, *made, flow.fills, flow.volume, both


def added(flows: Sequence[Flow]) -> Flow:
    """Only what the table of profit shows of them."""
    with exact():
        return Flow(fills=sum(one.fills for one in flows), volume=sum((one.volume for one in flows), Decimal(0)))


# -- fills ---------------------------------------------------------------------------------------------------------


def fills(report: Report) -> Table:
    """Fills by market."""
    rows: list[tuple[Value, ...]] = []
    for market, flow in sorted(report.fills.markets.items()):
        known = flow.makers + flow.takers
        edge = None if not flow.edge_volume else float(flow.edge) / float(flow.edge_volume) * BPS
        rows.append(
            (
                market,
                flow.fills,
                flow.buys,
                flow.fills - flow.buys,
                flow.volume,
                flow.fees.copy_negate(),
                Fraction(flow.makers, known) if known else None,
                edge,
            )
        )
    columns = (
        Column("market", "market"),
        Column("fills", "fills", Kind.COUNT),
        Column("buys", "buys", Kind.COUNT),
        Column("sells", "sells", Kind.COUNT),
        Column("volume_quote", "volume", Kind.VOLUME),
        Column("fees_quote", "fees", Kind.AMOUNT),
        Column("maker_share", "as maker", Kind.SHARE),
        Column("edge_bps", "edge, bp", Kind.BPS),
    )
    note = "edge: how much better than fair value we were filled, over the volume whose fair value is known."
    return Table("fills_by_market", "Fills", columns, rows, note)


def markouts(report: Report) -> Table:
    """Mean markouts by market, side and level."""
    horizons = report.fills.horizons
    rows: list[tuple[Value, ...]] = []
    for key, many in sorted(report.fills.levels.items(), key=lambda one: (one[0][0], one[0][1].value, one[0][2])):
        market, side, level = key
        tallies = [report.fills.markouts.get((*key, horizon)) for horizon in horizons]
        means = [None if tally is None else tally.bps_mean for tally in tallies]
        sums = [None if tally is None or not tally.count else tally.quote for tally in tallies]
        known = [0 if tally is None else tally.count for tally in tallies]
        rows.append((market, side.value, level or None, many, *means, *sums, *known))
    columns = (
        Column("market", "market"),
        Column("side", "side"),
        Column("level", "level", Kind.COUNT),
        Column("fills", "fills", Kind.COUNT),
        *(Column(f"markout_{horizon:g}s_bps", f"{horizon:g} s, bp", Kind.BPS) for horizon in horizons),
        *(Column(f"markout_{horizon:g}s_quote", f"{horizon:g} s", Kind.AMOUNT, detail=True) for horizon in horizons),
        *(Column(f"markout_{horizon:g}s_fills", f"of {horizon:g} s", Kind.COUNT, detail=True) for horizon in horizons),
    )
    note = (
        "Means over fills, against the fair value so long after; positive is good for us; before fees. Level 1 is the "
        "innermost; - is not known."
    )
    return Table("markouts", "Markouts by side and level", columns, rows, note)
