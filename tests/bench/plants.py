"""`python -m tests.bench.plants [--only TEXT] [--seeds 0:500] [--likely] [--json] [--record]`: are all plants found?

Each plant is searched with the seeds a user would give, one after the other, until one of the invariants named for it
fires in a storm that is green without it. `--likely` skips the seeds whose storms have none of the faults that the
plant takes: the same seed is found, sooner. `--record` writes what was found for the tests to repeat. Ends with 1 if a
plant was not found.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from maker.app.config import load
from maker.storms import catalogue
from tests.storms.plants import CONF, FOUND, PLANTS, STOP, Plant, performed, planted

MARKETS = len(load(CONF, "http://ocx.test", "ws://ocx.test").markets)


def main() -> int:
    words = argparse.ArgumentParser(description="is every planted bug found?")
    words.add_argument("--only", default="", help="plants whose name contains this")
    words.add_argument("--seeds", default="0:500", help="FROM:TO")
    words.add_argument("--likely", action="store_true", help="skip storms without the faults that the plant takes")
    words.add_argument("--missing", action="store_true", help="only plants that nothing is recorded of")
    words.add_argument("--json", action="store_true")
    words.add_argument("--record", action="store_true", help=f"write {FOUND.name}")
    given = words.parse_args()
    first, after = map(int, given.seeds.split(":"))
    found: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    chosen = [name for name in PLANTS if given.only in name and not (given.missing and name in found)]
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="plants-") as folder:
        sound = planted(Path(folder) / "sound", ())
        for name in chosen:
            began = time.monotonic()
            seeds = [seed for seed in range(first, after) if not given.likely or likely(PLANTS[name], seed)]
            one = search(Path(folder) / f"plant-{len(table)}", PLANTS[name], seeds, sound)
            table[name] = one
            took = f"{time.monotonic() - began:.0f} s"
            if one["seed"] is None:
                line = f"NOT FOUND in {one['storms']} storms; seen: {one['others'] or 'nothing'}"
            else:
                line = f"{one['finder']:<4} seed {one['seed']:>3} in {one['storms']:>3} storms: {one['sentence'][:110]}"
            sys.stderr.write(f"{name:<48} {line} ({took})\n")
            if given.record and one["seed"] is not None:
                found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
                found[name] = {key: one[key] for key in ("finder", "seed", "storms", "schedule")}
                kept = {each: found[each] for each in PLANTS if each in found}
                FOUND.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if given.json:
        sys.stdout.write(json.dumps(table) + "\n")
    else:
        for name, one in table.items():
            sys.stdout.write(f"{name:<48} {one['finder'] or '-':<4} {one['seeds'] or 'not found'}\n")
    return 0 if all(one["seed"] is not None for one in table.values()) else 1


def likely(plant: Plant, seed: int) -> bool:
    """Whether a seed's storm has one of the faults that a plant takes."""
    if not plant.provoked_by:
        return True
    schedule = catalogue.draw(seed, MARKETS)
    if STOP in plant.provoked_by and schedule.stop_at is not None:
        return True
    return any(fault.name in plant.provoked_by for fault in schedule.faults)


def search(folder: Path, plant: Plant, seeds: list[int], sound: Path) -> dict[str, Any]:
    """Find the first seed that shows a plant and is green without it."""
    planted(folder, plant.edits, sound)
    others: dict[str, int] = {}
    storms, left = 0, list(seeds)
    while left:
        hit: dict[str, Any] | None = None
        for said in performed(folder, left, plant.finders):
            storms += 1
            left = left[1:]
            hit = None
            for finder, _at, sentence in said["violations"]:
                if finder in plant.finders:
                    hit = hit or {"finder": finder, "sentence": sentence, **said}
                else:
                    others[finder] = others.get(finder, 0) + 1
            if said["crashed"]:
                others["crash"] = others.get("crash", 0) + 1
                others.setdefault("crash:" + said["crashed"][-160:], 1)
        if hit is None:
            break
        without = next(performed(sound, [hit["seed"]], ()))
        if not without["violations"] and not without["crashed"]:
            where = {"seed": hit["seed"], "finder": hit["finder"], "sentence": hit["sentence"]}
            took = hit["seed"] - seeds[0] + 1
            return {**where, "schedule": hit["schedule"], "storms": storms, "seeds": took, "others": others}
        sys.stderr.write(
            f"seed {hit['seed']} is red without it: {without['violations'][:2]} {without['crashed'][-300:]}\n"
        )
    return {"seed": None, "finder": None, "seeds": None, "storms": storms, "others": others}


if __name__ == "__main__":
    raise SystemExit(main())
