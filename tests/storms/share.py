"""How much of the long lists a test run performs: a share that fits its time, all of it with MAKER_THOROUGH=1."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, TypeVar

THOROUGH: Final = bool(os.environ.get("MAKER_THOROUGH"))

Item = TypeVar("Item")


def share(items: Iterable[Item], one_in: int) -> list[Item]:
    """Every so-manieth of them, or all."""
    return list(items) if THOROUGH else list(items)[::one_in]
