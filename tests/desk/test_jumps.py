"""Jumps: what is one, over which time, what confirms the new level, and what the window's collar looks back at."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.jumps import SLOTS_A_JUMP, Jumps

from .scripted import LIMITS, dec, thorough

SETTINGS = attrs.evolve(LIMITS, jump_bps=dec("40"), jump_seconds=5.0, jump_confirm_seconds=3.0, window_seconds=20.0)
SLOT_SECONDS = 5.0 / SLOTS_A_JUMP


def followed(*values: tuple[float, int]) -> tuple[Jumps, list[bool]]:
    jumps = Jumps(SETTINGS)
    return jumps, [bool(jumps.seen(subticks, at)) for at, subticks in values]


@pytest.mark.parametrize(("to", "jumped"), [(1_004_000, False), (1_004_001, True), (996_000, False), (995_999, True)])
def test_row_2_a_move_beyond_the_limit_at_once_is_a_jump(to: int, jumped: bool) -> None:
    """40 bp of 1000000 are 4000."""
    assert followed((0.0, 1_000_000), (1.0, to))[1] == [False, jumped]


def test_row_2_a_value_holds_until_the_next_one() -> None:
    """A feed that says nothing for a minute and then another price has moved at once."""
    assert followed((0.0, 1_000_000), (60.0, 1_004_001))[1] == [False, True]


def test_row_2_a_slow_move_is_no_jump_and_a_fast_one_in_steps_is() -> None:
    slow = [(float(second), 1_000_000 + 700 * second) for second in range(60)]
    assert not any(followed(*slow)[1])
    fast = [(float(second), 1_000_000 + 1_000 * second) for second in range(6)]
    assert followed(*fast)[1] == [False] * 5 + [True]


def test_row_2_the_furthest_value_counts_not_the_first() -> None:
    assert followed((0.0, 1_000_000), (1.0, 997_000), (2.0, 1_001_000))[1] == [False, False, True]


def test_row_2_what_is_awaited_is_said_and_ends() -> None:
    jumps, _ = followed((0.0, 1_000_000), (1.0, 1_010_000), (3.9, 1_013_000))
    assert jumps.frozen(3.9) == (
        "its fair value jumped (+100.0 bp within 5 s, jump_bps is 40); "
        "waiting until the new level has held for 3 s, 0 s to go"
    )
    assert jumps.frozen(4.0) == ""


def test_row_2_a_level_that_does_not_hold_is_confirmed_where_it_ends() -> None:
    """A spike that goes and returns; and one that goes on."""
    jumps, jumped = followed((0.0, 1_000_000), (1.0, 1_010_000), (2.0, 1_000_000))
    assert jumped == [False, True, True]
    assert jumps.frozen(4.9)
    assert not jumps.frozen(5.0)
    jumps, jumped = followed((0.0, 1_000_000), (1.0, 1_010_000), (3.0, 1_020_000))
    assert jumped == [False, True, True]
    assert jumps.frozen(5.9)
    assert not jumps.frozen(6.0)


def test_row_2_once_confirmed_the_old_level_is_no_jump_away_any_more() -> None:
    """Confirmed after 3 s, and within 5 s of the old level: a small step is a small step; a return is a jump."""
    jumps, jumped = followed((0.0, 1_000_000), (1.0, 1_010_000), (4.0, 1_011_000))
    assert jumped == [False, True, False]
    assert jumps.seen(1_000_000, 4.1)


def test_row_2_the_window_looks_back_at_what_was_held_then() -> None:
    jumps = Jumps(SETTINGS)
    assert jumps.earlier(0.0) is None
    for at, subticks in ((0.0, 1_000_000), (7.0, 1_001_000), (30.0, 1_002_000)):
        jumps.seen(subticks, at)
    assert jumps.earlier(19.0) == 1_001_000, "the first is forgotten once a later one has held for the whole window"
    assert jumps.earlier(49.9) == 1_001_000
    assert jumps.earlier(50.0) == 1_002_000
    assert jumps.earlier(500.0) == 1_002_000


def test_row_2_a_market_followed_for_less_than_the_window_is_held_to_its_first_value() -> None:
    jumps, _ = followed((0.0, 1_000_000), (1.0, 1_001_000))
    assert jumps.earlier(1.0) == 1_000_000


def test_memory_does_not_grow_with_how_often_a_venue_speaks() -> None:
    """S23: a thousand quotes a second for a minute."""
    jumps = Jumps(SETTINGS)
    for step in range(60_000):
        jumps.seen(1_000_000 + step % 7, step / 1000)
    assert len(jumps.slots) <= 20.0 / SLOT_SECONDS + 2


steps = st.lists(st.tuples(st.sampled_from([0.01, 0.1, 0.5, 2.0, 6.0]), st.integers(-5_000, 5_000)), max_size=40)


def moved_beyond(values: Sequence[tuple[float, int]], seconds: float) -> bool:
    """Whether the last value is beyond the limit from any that was held within so many seconds, by the definition."""
    at, last = values[-1]
    ends = [one for one, _ in values[1:]] + [at + 1]
    held = [value for (_, value), end in zip(values, ends, strict=True) if end > at - seconds]
    return any(abs(last - value) * 10_000 > 40 * value for value in held)


@given(steps)
@thorough
def test_row_2_the_first_jump_is_found_when_it_is_one_and_not_otherwise(script: list[tuple[float, int]]) -> None:
    """Against the definition, value by value; slots may only make the time a little longer, never shorter."""
    jumps, at, price = Jumps(SETTINGS), 0.0, 1_000_000
    values = [(at, price)]
    jumps.seen(price, at)
    for seconds, move in script:
        at, price = at + seconds, price + move
        values.append((at, price))
        if jumps.seen(price, at):
            assert moved_beyond(values, 5.0 + SLOT_SECONDS + 1e-6)
            return
        assert not moved_beyond(values, 5.0 - 1e-6)
