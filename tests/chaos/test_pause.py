"""SIGSTOP and SIGCONT, in the size that a suite can bear; `tests/bench/campaign.py pause` plays more."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.chaos import pause
from tests.chaos.conftest import Show

PAUSES: Final = 10  # two makers, one of them of the control arm


async def test_nothing_is_sent_on_a_stale_book_after_waking(tmp_path: Path, seed: int, show: Show) -> None:
    """S4, H21: what comes first is a cancel-all or fits the price of then; with a watchdog alone it is stale once."""
    tries = await pause.pauses(tmp_path, PAUSES, seed, lanes=2, control_every=2, until_shown=True)
    show("SIGSTOP and SIGCONT", pause.figures(tries.done))
    assert pause.broken(tries) == []
