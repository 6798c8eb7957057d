"""What a comparison says, in words and as JSON: money, inventory, flow, and the claim about skew seed by seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import attrs

from maker.compare.counterpart import SPREAD_TOLERANCE
from maker.compare.result import NEVER_BOTH_SIDES, NOTHING_QUOTED, Pair, Result

NAME_CHARACTERS: Final = 20
COUNTERPART: Final = "= fixed, no skew"
MONEY: Final = ("profit", "±", "worst", "spread", "inventory", "fees", "funding", "at mark", "drawdown")
FLOW: Final = ("fills", "noise", "touch", "informed", "1 s", "5 s", "30 s", "60 s", "inf. 5 s")

SILENCES: Final = {NOTHING_QUOTED: "nothing", NEVER_BOTH_SIDES: "one side"}  # and what stands in a cell for it
QUOTED: Final = "that quoted on both sides "


@attrs.frozen
class Row:
    """One line: a model, or the counterpart of the model above, over all seeds."""

    name: str
    results: tuple[Result, ...]

    def mean(self, values: Sequence[float]) -> float:
        return sum(values) / len(values)

    @property
    def profits(self) -> list[float]:
        return [float(one.money.profit) for one in self.results]

    @property
    def error(self) -> float:
        """Standard error of the mean profit over seeds; NaN of one seed."""
        count, mean = len(self.profits), self.mean(self.profits)
        if count < 2:
            return math.nan
        return math.sqrt(sum((one - mean) ** 2 for one in self.profits) / (count - 1) / count)


def rows(pairs: Sequence[Pair]) -> list[Row]:
    """A row for each model and one for its counterpart, models in the order they were given."""
    found: list[Row] = []
    for name in dict.fromkeys(pair.model.model for pair in pairs):
        its = sorted((pair for pair in pairs if pair.model.model == name), key=lambda pair: pair.model.seed)
        found.append(Row(name, tuple(pair.model for pair in its)))
        fixed = tuple(pair.fixed for pair in its if pair.fixed is not None)
        if fixed:
            every = COUNTERPART if len(fixed) == len(its) else f"= fixed, {len(fixed)}/{len(its)} seeds"
            found.append(Row(every, fixed))
    return found


def tables(pairs: Sequence[Pair], base: str, quote: str) -> str:
    """Everything for people. `base`, `quote`: the units' names."""
    if not pairs:
        return "nothing was played to its end"
    all_rows = rows(pairs)
    one = pairs[0].model
    hours = one.seconds / 3600
    seeds = len({pair.model.seed for pair in pairs})
    limit = f"{one.inventory.limit:g} {base}"
    parts = [
        f"money: {quote} in {hours:g} h, mean of {seeds} seeds; profit = spread + inventory - fees - funding + at mark",
        heading(MONEY),
        *(line(row.name, money(row)) for row in all_rows),
        "",
        f"inventory: limit {limit}, rms: root mean square around zero; quotes: half-spread is the mean",
        heading(inventory_names(base)),
        *(line(row.name, inventory(row)) for row in all_rows),
        "",
        "flow: fills a run by kind of taker; markouts in bp, positive is earned; inf.: of informed takers alone",
        heading(FLOW),
        *(line(row.name, flow(row)) for row in all_rows),
        "",
        *claims(pairs, base, quote),
    ]
    return "\n".join(parts)


def heading(names: Sequence[str]) -> str:
    return line("", names)


def line(name: str, cells: Sequence[str]) -> str:
    return f"  {name[:NAME_CHARACTERS]:{NAME_CHARACTERS}}" + "".join(f"{cell:>11}" for cell in cells)


def money(row: Row) -> list[str]:
    parts = [one.money for one in row.results]
    error = "-" if math.isnan(row.error) else f"{row.error:.1f}"
    columns = ([float(getattr(one, name)) for one in parts] for name in ("spread", "inventory", "fees", "funding"))
    return [
        f"{row.mean(row.profits):+.1f}",
        error,
        f"{min(row.profits):+.1f}",
        *(f"{row.mean(column):+.1f}" for column in columns),
        f"{row.mean([float(one.mark_gap) for one in parts]):+.1f}",
        f"{max(one.drawdown for one in row.results):.1f}",
    ]


def inventory_names(base: str) -> list[str]:
    """The columns of `inventory`."""
    positions = [f"{name}, {base}" for name in ("mean", "dev.", "rms")]
    quantiles = [f"{name}, {base}" for name in ("5 %", "95 %")]
    return [*positions, "rms/limit", *quantiles, "half, bp", "two-sided", "req./min", "pulls"]


def inventory(row: Row) -> list[str]:
    held, quotes = [one.inventory for one in row.results], [one.quotes for one in row.results]
    minutes = [one.seconds / 60 for one in row.results]
    halves = [one.half_spread_bps for one in quotes if not one.silence]
    return [
        f"{row.mean([one.mean for one in held]):+.4f}",
        f"{row.mean([one.deviation for one in held]):.4f}",
        f"{row.mean([one.root_mean_square for one in held]):.4f}",
        f"{row.mean([one.share for one in held]):.1%}",
        f"{row.mean([one.low for one in held]):+.4f}",
        f"{row.mean([one.high for one in held]):+.4f}",
        f"{row.mean(halves):.3f}" if halves else "-",
        f"{row.mean([one.two_sided_share for one in quotes]):.1%}",
        f"{row.mean([one.requests / time for one, time in zip(quotes, minutes, strict=True)]):.1f}",
        f"{row.mean([sum(count for _, count in one.pulls) for one in quotes]):.1f}",
    ]


def flow(row: Row) -> list[str]:
    kinds = [dict(one.fills) for one in row.results]
    cells = [f"{row.mean([one.fill_count for one in row.results]):.0f}"]
    cells += [f"{row.mean([one[kind] for one in kinds]):.0f}" for kind in kinds[0]]
    cells += [markout([one.markouts[at].bps for one in row.results]) for at in range(len(row.results[0].markouts))]
    return [*cells, markout([one.markouts_informed[1].bps for one in row.results])]


def markout(values: Sequence[float | None]) -> str:
    known = [one for one in values if one is not None]
    return f"{sum(known) / len(known):+.2f}" if known else "-"


# -- the claim ----------------------------------------------------------------------------------------------------


def is_matched(pair: Pair) -> bool:
    """Whether there is a counterpart that quoted the model's half-spread closely enough to be held against it."""
    return pair.fixed is not None and abs(pair.spread_ratio - 1) <= SPREAD_TOLERANCE


def silences(pairs: Sequence[Pair]) -> str:
    """Say of how many seeds a model left nothing to judge, and why; empty where it quoted both sides on all."""
    found = Counter(pair.model.quotes.silence for pair in pairs)
    return "; ".join(f"it {silence} on {found[silence]}" for silence in SILENCES if found[silence])


def claims(pairs: Sequence[Pair], base: str, quote: str) -> list[str]:
    """The claim that skew holds the position in a tighter band, judged on every seed."""
    held = {pair.model.model for pair in pairs if pair.fixed is not None or pair.missing}
    skewed = [pair for pair in pairs if pair.model.model in held]
    silent = [pair for pair in pairs if pair.model.model not in held and pair.model.quotes.silence]
    quiet = [
        f"  {name}: {silences(its)} of {len(its)} seeds: there is nothing to judge" for name, its in by_model(silent)
    ]
    if not skewed:
        return [f"no model of these {QUOTED if silent else ''}is skewed: nothing to hold against a fixed one", *quiet]
    lines = [
        f"each skewed model against a fixed one without skew at the same mean half-spread (within "
        f"{SPREAD_TOLERANCE:.0%}), same path, same takers; profit in {quote}",
        "tighter: a smaller rms, and no further a reach, which is the farther of the 5 % and 95 % quantiles from zero",
    ]
    names = pair_names(base)
    for name, its in by_model(skewed):
        lines += [heading(names), *(line(name, pair_cells(pair)) for pair in its), verdict(name, its), ""]
    return [*lines, *quiet] if quiet else lines[:-1]


def by_model(pairs: Sequence[Pair]) -> list[tuple[str, list[Pair]]]:
    """The pairs of each model, models in the order they were given, seeds in theirs."""
    found: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.model.seed):
        found.setdefault(pair.model.model, []).append(pair)
    return [(name, found[name]) for name in dict.fromkeys(pair.model.model for pair in pairs)]


def pair_names(base: str) -> list[str]:
    """The columns of `pair_cells`: each figure of the model, and the same of its fixed counterpart."""
    figures_named = ("half, bp", f"rms, {base}", f"reach, {base}", "profit")
    return ["seed", *(name for figure in figures_named for name in (figure, "fixed")), "tighter"]


def pair_cells(pair: Pair) -> list[str]:
    ours = figures(pair.model)
    theirs = ["-"] * len(ours) if pair.fixed is None else figures(pair.fixed)
    cells = [cell for both in zip(ours, theirs, strict=True) for cell in both]
    return [f"{pair.model.seed}", *cells, judgement(pair)]


def judgement(pair: Pair) -> str:
    if pair.missing:
        return "missing"
    if pair.model.quotes.silence:
        return SILENCES[pair.model.quotes.silence]
    return ("yes" if pair.is_tighter else "NO") if is_matched(pair) else "not judged"


def figures(result: Result) -> list[str]:
    """What of a model stands beside the same of its counterpart."""
    return [
        "-" if result.quotes.silence else f"{result.quotes.half_spread_bps:.3f}",
        f"{result.inventory.root_mean_square:.4f}",
        f"{result.inventory.reach:.4f}",
        f"{result.money.profit:+.1f}",
    ]


def verdict(name: str, pairs: Sequence[Pair]) -> str:
    """One sentence for a model, whichever way it went."""
    matched = [pair for pair in pairs if is_matched(pair)]
    tighter = [pair for pair in matched if pair.is_tighter]
    richer = [pair for pair in matched if pair.fixed is not None and pair.model.money.profit > pair.fixed.money.profit]
    sentence = (
        f"  {name}: a tighter band around zero than the fixed one on {len(tighter)} of {len(matched)} seeds, "
        f"more profit on {len(richer)}"
    )
    missing = sum(pair.missing for pair in pairs)
    missed = sum(pair.fixed is not None and not is_matched(pair) for pair in pairs)
    if missed:
        sentence += f"; on {missed} no fixed half-spread met the model's, which are not judged"
    if missing:
        sentence += f"; on {missing} its counterpart is missing"
    if silent := silences(pairs):
        sentence += f"; {silent}"
    return sentence


def as_object(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Everything for programs: one row a model and seed, with its counterpart."""
    return [
        {
            "model": result_fields(pair.model),
            "fixed": None if pair.fixed is None else result_fields(pair.fixed),
            "runs": pair.runs,
            "missing": pair.missing,
            "matched": is_matched(pair) if pair.fixed is not None or pair.missing else None,
            "tighter": pair.is_tighter if pair.fixed is not None and is_matched(pair) else None,
        }
        for pair in pairs
    ]


def result_fields(result: Result) -> dict[str, Any]:
    fields = attrs.asdict(result)
    fields["money"] = {name: f"{value:f}" for name, value in fields["money"].items()}
    for name in ("fills",):
        fields[name] = dict(fields[name])
    held = result.inventory
    fields["inventory"].update(root_mean_square=held.root_mean_square, reach=held.reach)
    fields["quotes"]["pulls"] = dict(fields["quotes"]["pulls"])
    for name in ("markouts", "markouts_informed"):
        fields[name] = {str(one["seconds"]): one["bps"] for one in fields[name]}
    return fields
