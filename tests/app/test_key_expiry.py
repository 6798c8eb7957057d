"""How long a key is good: said once a day in its last two weeks; quoting stops while it can still pull."""

from __future__ import annotations

import math
from itertools import pairwise

import attrs
import pytest

from maker.app.key_expiry import DAY_SECONDS, LOOK_SECONDS, WARN_DAYS, KeyExpiry
from maker.desk.deadman import Reason, Trip
from maker.edge.journal import MemoryJournal
from maker.edge.records import StateChange
from maker.launch import key
from tests.app.site import Told, a_recorder

NEEDED = 720.0


@attrs.define
class Scene:
    """A key that expires at zero, looked at from before."""

    now: float
    told: Told = attrs.field(factory=a_recorder)
    left: list[Trip] = attrs.field(factory=list)
    expiry: KeyExpiry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.expiry = KeyExpiry(0.0, NEEDED, self.told.recorder, lambda: self.now, self.left.append)

    def at(self, now: float) -> int:
        """Look at a time, and return how many lines have been told by then."""
        self.now = now
        self.expiry.look()
        return sum("expires" in str(line) for line in self.told.lines)


@pytest.mark.parametrize("expires_at", [None, math.inf])
def test_what_never_ends_or_is_not_known_is_not_spoken_of(expires_at: float | None) -> None:
    scene = Scene(1e9)
    scene.expiry.expires_at = expires_at
    assert scene.at(2e9) == 0
    assert scene.left == []


def test_a_line_a_day_in_the_last_two_weeks() -> None:
    """The first is a change of state, which the journal keeps; each says the days that are left."""
    scene = Scene(-30 * DAY_SECONDS)
    assert scene.at(-WARN_DAYS * DAY_SECONDS - 1) == 0
    told = [scene.at(-hours * 3600.0) for hours in range(24 * WARN_DAYS - 1, 0, -1)]
    assert told[0] == 1
    assert told[-1] == WARN_DAYS
    assert all(after - before in (0, 1) for before, after in pairwise(told))
    assert told[24] - told[0] == 1
    journal = scene.told.recorder.journal
    assert isinstance(journal, MemoryJournal)
    changes = [row for row in journal.rows if isinstance(row, StateChange) and row.scope == "key"]
    assert len(changes) == 1
    assert "expires in 14.0 days" in changes[0].sentence
    assert scene.left == []


def test_a_run_that_starts_late_is_told_at_once() -> None:
    assert Scene(0.0).at(-3600.0) == 1


def test_it_leaves_while_the_guard_could_still_pull() -> None:
    """Not a look before, and from then on."""
    scene = Scene(0.0)
    scene.at(-NEEDED - LOOK_SECONDS)
    assert scene.left == []
    scene.at(-NEEDED + 0.001)
    (trip,) = scene.left
    assert trip.reason is Reason.KEY_EXPIRES
    assert "in 12 min" in trip.sentence
    assert "keys create" in trip.sentence


def test_looks_are_far_apart_but_a_clock_set_back_is_looked_at_again() -> None:
    scene = Scene(0.0)
    scene.at(-2 * NEEDED)
    scene.at(-2 * NEEDED + LOOK_SECONDS / 2)
    assert scene.expiry.looked_at == -2 * NEEDED
    scene.at(-3 * NEEDED)
    assert scene.expiry.looked_at == -3 * NEEDED


def test_what_is_needed_is_what_the_guard_may_take() -> None:
    scene = Scene(0.0)
    made = KeyExpiry.of(5.0, 600.0, 60.0, scene.told.recorder, lambda: 0.0, scene.left.append)
    assert made.needed_seconds == 600.0 + 60.0 + key.SPARE_SECONDS
