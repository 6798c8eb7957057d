"""What the scenes share: names of the practice exchange, and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
READ_KEY: Final = "ocx_sk_paper_read"
KEY_ENV: Final = "MAKER_TEST_KEY"
MARKETS: Final = ("BTC-PERP", "ETH-PERP")
SIZE_MIN: Final = {"BTC-PERP": "0.001", "ETH-PERP": "0.01"}

measured: dict[str, float] = {}  # milliseconds by what they are of; shown after the tests


def measure(what: str, milliseconds: float) -> float:
    """Note the longest of a measured time, and return this one."""
    measured[what] = max(milliseconds, measured.get(what, 0.0))
    return milliseconds
