"""kill -9 at random moments, in the size that a suite can bear; `tests/bench/campaign.py kill` plays more."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.chaos import kill
from tests.chaos.conftest import Show

KILLS: Final = 16  # a sixtieth of a campaign
TIMED: Final = 4
LANES: Final = 6  # most of a lane's time is a tail, in which nothing happens


async def test_nothing_rests_after_the_tail_whatever_was_on_its_way(tmp_path: Path, seed: int, show: Show) -> None:
    """S1, H24, H25: no orphan with the tail, ladders caught on their way, and orphans where the tail is taken out."""
    tries = await kill.kills(tmp_path, KILLS, seed, lanes=LANES)
    show("kill -9, ladders late", kill.figures(tries.done))
    assert kill.broken(tries) == []


async def test_a_killed_maker_is_cancelled_for_at_once(tmp_path: Path, seed: int, show: Show) -> None:
    """L4: the guard's cancel-all reaches the exchange within a tenth of a second of the kill, mostly."""
    tries = await kill.timed_kills(tmp_path, TIMED, seed)
    seen = kill.figures(tries.done)
    show("kill -9, one after the other", seen)
    assert kill.unsafe(tries) == []
    assert seen["p50 ms"] <= kill.CANCELLED_MS_MAX
