"""Show seeds and figures after the tests: what a campaign saw, and how to see it again."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

shown: list[str] = []
Show = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def seed() -> int:
    """A new seed at each run, or the one of MAKER_CHAOS_SEED."""
    return int(os.environ.get("MAKER_CHAOS_SEED") or random.SystemRandom().getrandbits(32))


@pytest.fixture
def show(seed: int) -> Show:
    """Keep figures for the end of the run."""

    def keep(what: str, figures: dict[str, Any]) -> None:
        shown.append(f"{what} (MAKER_CHAOS_SEED={seed}): {json.dumps(figures)}")

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if shown:
        terminalreporter.section("chaos")
        for line in shown:
            terminalreporter.write_line(line)
