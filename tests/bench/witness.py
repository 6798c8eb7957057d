"""Judge a run from the practice exchange's record alone; imports nothing of maker.

    python3 tests/bench/witness.py state/venue-record.jsonl [--json]

Prints fills, answers 429, how long both sides of every quoted market rested within NEAR_BPS of the book's mid after the
first quote, what rests at the end, and the times around the last cancel-all. Exit code 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

NEAR_BPS = Decimal(10)
TWO_SIDED_SHARE_MIN = 0.95
FILLS_MIN = 10
SIZE_MIN = {"BTC-PERP": Decimal("0.001"), "ETH-PERP": Decimal("0.01"), "SOL-PERP": Decimal("0.1")}


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a record; the last line of a killed venue may be cut short."""
    rows = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(text))
        except ValueError:
            break
    return rows


class Replay:
    """What rests, at which mid, as the record goes on."""

    def __init__(self) -> None:
        self.resting: dict[str, dict[str, Any]] = {}
        self.mids: dict[str, Decimal] = {}
        self.quoted: set[str] = set()
        self.two_sided: dict[str, float] = {}
        self.observed: dict[str, float] = {}
        self.last_at: float | None = None

    def elapse(self, now: float) -> None:
        """Credit the time since the last line to what rested then."""
        if self.last_at is not None and now > self.last_at:
            for market in self.quoted:
                span = now - self.last_at
                self.observed[market] = self.observed.get(market, 0.0) + span
                if all(self.near(market, side) for side in ("buy", "sell")):
                    self.two_sided[market] = self.two_sided.get(market, 0.0) + span
        self.last_at = now

    def near(self, market: str, side: str) -> bool:
        mid = self.mids.get(market)
        return mid is not None and any(
            row["marketId"] == market
            and row["side"] == side
            and Decimal(row["remaining"]) >= SIZE_MIN[market]
            and abs(Decimal(row["price"]) - mid) <= mid * NEAR_BPS / 10_000
            for row in self.resting.values()
        )

    def take(self, row: dict[str, Any]) -> None:
        self.elapse(row["mono"])
        if row["kind"] == "order":
            if Decimal(row["remaining"]) > 0 and row["action"] != "removed":
                self.resting[row["orderId"]] = row
                self.quoted.add(row["marketId"])
            else:
                self.resting.pop(row["orderId"], None)
        elif row["kind"] == "sample" and row["mid"] is not None:
            self.mids[row["marketId"]] = Decimal(row["mid"])


def judge(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Work the figures out. Time counts from a market's first quote to the last cancel-all."""
    cancels = [row for row in rows if row["kind"] == "request" and row.get("path") == "/perps/orders/cancel-all"]
    ends_at = cancels[-1]["mono"] if cancels else rows[-1]["mono"]
    replay = Replay()
    fills = 0
    position: dict[str, Decimal] = {}
    shares: dict[str, float] = {}
    user = next((row["userId"] for row in rows if row["kind"] == "order"), None)
    for row in rows:
        if row["mono"] > ends_at and not shares:
            shares = {market: replay.two_sided.get(market, 0.0) / replay.observed[market] for market in replay.observed}
        replay.take(row)
        if row["kind"] == "trade" and user in (row["makerUserId"], row["takerUserId"]):
            fills += 1
            bought = row["takerSide"] == ("buy" if row["takerUserId"] == user else "sell")
            signed = Decimal(row["quantity"]) * (1 if bought else -1)
            position[row["marketId"]] = position.get(row["marketId"], Decimal(0)) + signed
    observed = dict(replay.observed)
    shares = shares or {market: replay.two_sided.get(market, 0.0) / observed[market] for market in observed}
    return {
        "fills": fills,
        "position": {market: str(size) for market, size in sorted(position.items())},
        "answers_429": sum(1 for row in rows if row["kind"] == "request" and row.get("status") == 429),
        "two_sided_share": {market: round(share, 4) for market, share in sorted(shares.items())},
        "quoted_seconds": {market: round(seconds, 1) for market, seconds in sorted(observed.items())},
        "resting_at_the_end": len(replay.resting),
        "ladders": sum(
            1
            for row in rows
            if row["kind"] == "request" and row["phase"] == "begin" and row["path"] == "/perps/quotes/bulk"
        ),
    }


def main() -> int:
    words = argparse.ArgumentParser(description="judge a run from the practice exchange's record")
    words.add_argument("record", type=Path)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    found = judge(lines(given.record))
    broken = []
    if found["fills"] <= FILLS_MIN:
        broken.append(f"not more than {FILLS_MIN} fills")
    if found["answers_429"]:
        broken.append("answers 429")
    if found["resting_at_the_end"]:
        broken.append("orders rest at the end")
    broken += [
        f"{market} two-sided for only {share:.1%}"
        for market, share in found["two_sided_share"].items()
        if share <= TWO_SIDED_SHARE_MIN
    ]
    found["broken"] = broken
    sys.stdout.write((json.dumps(found) if given.json else json.dumps(found, indent=1)) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
