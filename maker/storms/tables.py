"""A campaign's end in words and as JSON: faults met, invariants judged, figures, and what a green is worth."""

from __future__ import annotations

from typing import Any, Final

from maker.storms.campaign import Tally
from maker.storms.findings import Finding
from maker.storms.progress import a_minute, duration
from maker.storms.requirements import RARE_FROM
from maker.storms.schedule import as_fields

FAILURES_SHOWN_MAX: Final = 10
VOID_SHOWN_MAX: Final = 5


def violations_by_name(tally: Tally) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _seed, one in tally.violations:
        counts[one.name] = counts.get(one.name, 0) + 1
    return counts


def faults(tally: Tally) -> list[dict[str, Any]]:
    """One row a class of faults: those that the campaign needs, then any others that bit."""
    rows = {**tally.needs.faults, **{name: "" for name in sorted(tally.bites) if name not in tally.needs.faults}}
    return [
        {"row": row, "name": name, "bites": tally.bites[name], "storms": tally.bitten[name]}
        for name, row in rows.items()
    ]


def invariants(tally: Tally) -> list[dict[str, Any]]:
    """One row an invariant."""
    broken = violations_by_name(tally)
    names = {**tally.needs.invariants, **{name: "" for name in broken if name not in tally.needs.invariants}}
    return [
        {"name": name, "statement": what, "judged": tally.checked[name], "violations": broken.get(name, 0)}
        for name, what in names.items()
    ]


def figures(tally: Tally) -> dict[str, Any]:
    """The campaign in numbers."""
    return {
        "storms": tally.done,
        "void": tally.void.total(),
        "counted": tally.counted,
        "failed": len(tally.failures),
        "storms_a_minute": round(a_minute(tally.done, tally), 1),
        "simulated_hours": round(tally.simulated_seconds / 3600, 3),
        "simulated_hours_a_minute": round(a_minute(tally.simulated_seconds / 3600, tally), 3),
        "seconds": round(tally.seconds, 1),
        "ladders": tally.ladders,
        "fills": tally.fills,
        "performed_twice": tally.repeated,
        "hash_of_hashes": tally.hash_of_hashes,
    }


def tables(tally: Tally) -> str:
    """Everything for people."""
    parts = ["faults met", *fault_lines(tally), "", "invariants", *invariant_lines(tally), ""]
    parts += [*figure_lines(tally), "", *required_lines(tally), *failure_lines(tally)]
    return "\n".join(parts)


def fault_lines(tally: Tally) -> list[str]:
    lines = [f"  {'row':4} {'name':28} {'bit':>8} {'in storms':>10}"]
    lines += [f"  {one['row']:4} {one['name']:28} {one['bites']:8} {one['storms']:10}" for one in faults(tally)]
    return lines if len(lines) > 1 else ["  none"]


def invariant_lines(tally: Tally) -> list[str]:
    lines = [f"  {'':4} {'judged':>9} {'violations':>10}  statement"]
    lines += [
        f"  {one['name']:4} {one['judged']:9} {one['violations']:10}  {one['statement']}" for one in invariants(tally)
    ]
    return lines


def figure_lines(tally: Tally) -> list[str]:
    said = figures(tally)
    void = "; ".join(f"{times} x {why}" for why, times in tally.void.most_common(VOID_SHOWN_MAX))
    return [
        f"storms           {said['storms']} of {tally.size} in {duration(tally.seconds)}, "
        f"{said['storms_a_minute']:g} a minute; {said['void']} void{f' ({void})' if void else ''}",
        f"simulated        {said['simulated_hours']:g} h, {said['simulated_hours_a_minute']:g} h a minute",
        f"exchange time    {duration(tally.simulated_seconds)}: {said['ladders']} ladders, {said['fills']} fills",
        f"performed twice  {said['performed_twice']}",
        f"hash of hashes   {said['hash_of_hashes']}",
    ]


def required_lines(tally: Tally) -> list[str]:
    """What must have been met: what is missing one by one, the rest as a count."""
    judged = tally.requirements()
    needed = [one for one in judged if one.required]
    lines = [f"required: {sum(one.met for one in needed)} of {len(needed)} met"]
    lines += [f"  NOT MET  {one.name}: {one.sentence}" for one in tally.unmet]
    others = [one for one in judged if not one.required]
    if others:
        missing = [one.name for one in others if not one.met]
        named = f"; not met: {', '.join(missing)}" if missing else ""
        few = tally.size < tally.needs.required_from
        why = f"below {tally.needs.required_from if few else RARE_FROM} storms"
        lines.append(f"  not required {why}: {len(others) - len(missing)} of {len(others)} met{named}")
    return lines


def failure_lines(tally: Tally) -> list[str]:
    """Storms that came to nothing: each with its seed, the first with where it was."""
    failed = sorted(tally.failures.items())
    if not failed:
        return []
    lines = ["", "storms that came to nothing"]
    lines += [f"  seed {seed}: {failure.sentence}" for seed, failure in failed[:FAILURES_SHOWN_MAX]]
    if len(failed) > FAILURES_SHOWN_MAX:
        lines.append(f"  … and {len(failed) - FAILURES_SHOWN_MAX} more, all with --json")
    return [*lines, *(f"    {line}" for line in failed[0][1].detail.splitlines())]


def as_object(tally: Tally, findings: list[Finding], files: dict[int, str]) -> dict[str, Any]:
    """Everything for programs: a row a violation."""
    small = {one.seed: one for one in findings}
    return {
        "figures": figures(tally),
        "faults": faults(tally),
        "invariants": invariants(tally),
        "required": [
            {"name": one.name, "sentence": one.sentence, "met": one.met, "required": one.required}
            for one in tally.requirements()
        ],
        "violations": [
            {
                "seed": seed,
                "name": one.name,
                "at": one.at,
                "sentence": one.sentence,
                "file": files.get(seed, ""),
                "schedule": as_fields(small[seed].schedule if seed in small else tally.violated[seed].schedule),
            }
            for seed, one in tally.violations
        ],
        "failures": [
            {"seed": seed, "sentence": one.sentence, "detail": one.detail}
            for seed, one in sorted(tally.failures.items())
        ],
    }
