"""Giving way: whoever only looks on, or only tells, comes after those who have quotes out."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

NICENESS: Final = 5  # the maker comes first wherever the two want the same processor
OOM_SCORE: Final = "1000"  # when memory runs out, the first to be taken


def stay_behind() -> None:
    """Give way to the maker, for the processor and for memory; as far as this machine lets us."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
