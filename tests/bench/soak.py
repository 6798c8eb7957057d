"""Quote for a long time on a raised request limit and watch what the maker's process uses.

    python3 tests/bench/soak.py [--minutes 30] [--keep DIR]

Both markets of conf/paper.toml, at least REPLACES_PER_SECOND_MIN ladders a second together. Judged from the maker's own
`vitals` lines after the first SETTLE_MINUTES: resident memory must not grow by more than SLOPE_MB_PER_10_MINUTES_MAX,
descriptors and tasks must stay within SPREAD_MAX of each other. Exit code 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
REPLACES_PER_SECOND_MIN = 1.0
SETTLE_MINUTES = 5
SLOPE_MB_PER_10_MINUTES_MAX = 1.0
SPREAD_MAX = 2
LIMIT_PER_MINUTE = 600
CHANGES = {
    "requests_per_minute = 120": f"requests_per_minute = {LIMIT_PER_MINUTE}",
    "requote_bps = 0.8": "requote_bps = 0.2",
    "quote_age_seconds_max = 20.0": "quote_age_seconds_max = 1.5",
    'record = "venue-record.jsonl"': 'record = ""',
}


def configuration(folder: Path) -> Path:
    """conf/paper.toml on a raised limit, with its state in `folder`."""
    text = (PROJECT / "conf" / "paper.toml").read_text(encoding="utf-8")
    for before, after in {**CHANGES, 'state_folder = "state"': f'state_folder = "{folder}"'}.items():
        if before not in text:
            raise SystemExit(f"conf/paper.toml no longer says {before!r}: adapt the soak")
        text = text.replace(before, after)
    path = folder / "soak.toml"
    path.write_text(text, encoding="utf-8")
    return path


def slope_per_10_minutes(vitals: list[dict[str, Any]]) -> float:
    """Least-squares slope of resident memory, MB per 10 minutes; the lines are a minute apart."""
    fit = statistics.linear_regression(range(len(vitals)), [row["resident_bytes"] / 1e6 for row in vitals])
    return fit.slope * 10


def main() -> int:
    words = argparse.ArgumentParser(description="watch memory, descriptors and tasks over a long run")
    words.add_argument("--minutes", type=float, default=30.0)
    words.add_argument("--keep", type=Path, help="folder for state and log (default: a temporary one)")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "soak.log").open("w+b") as log:
            command = ["run", str(configuration(folder)), "--for", f"{given.minutes:g}m", "--json"]
            ended = subprocess.run(
                [sys.executable, "run.py", *command], cwd=PROJECT, stdout=subprocess.PIPE, stderr=log
            )
            log.seek(0)
            lines = [json.loads(line) for line in log.read().decode().splitlines() if line.startswith("{")]
    result = json.loads(ended.stdout.splitlines()[-1])
    vitals = [line for line in lines if line.get("event") == "vitals"][SETTLE_MINUTES:]
    spread = {
        name: max(row[name] for row in vitals) - min(row[name] for row in vitals) for name in ("descriptors", "tasks")
    }
    found = {
        "minutes": given.minutes,
        "exit_code": ended.returncode,
        "verified_empty": result["verified_empty"],
        "replaces_per_second": round(result["quotes_sent"] / given.minutes / 60, 3),
        "fills": result["fills"],
        "halts": result["halts"],
        "resident_mb": [round(row["resident_bytes"] / 1e6, 2) for row in vitals],
        "slope_mb_per_10_minutes": round(slope_per_10_minutes(vitals), 3),
        "descriptors_spread": spread["descriptors"],
        "tasks_spread": spread["tasks"],
        "lines_dropped": sum(1 for line in lines if "dropped" in str(line.get("event", ""))),
    }
    broken = [
        name
        for name, holds in {
            "exit code": ended.returncode == 0 and result["verified_empty"],
            "pace": found["replaces_per_second"] >= REPLACES_PER_SECOND_MIN,
            "memory": found["slope_mb_per_10_minutes"] <= SLOPE_MB_PER_10_MINUTES_MAX,
            "descriptors": spread["descriptors"] <= SPREAD_MAX,
            "tasks": spread["tasks"] <= SPREAD_MAX,
        }.items()
        if not holds
    ]
    sys.stdout.write(json.dumps({**found, "broken": broken}, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
