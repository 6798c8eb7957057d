"""What is made of the tries."""

from __future__ import annotations

from tests.bench.onlookers import Tried, table


def test_a_ratio_is_taken_within_its_round() -> None:
    """A machine that is ten times slower in one round changes no ratio; what has nobody beside it has none."""
    done = [
        Tried(number, "sigterm", arm, milliseconds * slower, slower == 1)
        for number, slower in enumerate((1, 10, 1))
        for arm, milliseconds in (("alone", 4.0), ("pages", 5.0))
    ]
    done.append(Tried(3, "sigterm", "pages", 500.0, False))
    assert [line.split() for line in table(done)] == [
        ["until", "nothing", "rests,", "ms", "arm", "tries", "late", "median", "least", "most", "ratio"],
        ["sigterm", "alone", "3", "1", "4.0", "4.0", "40.0"],
        ["sigterm", "pages", "4", "2", "27.5", "5.0", "500.0", "1.25"],
        ["all", "alone", "3", "1"],
        ["all", "pages", "4", "2", "1.25"],
    ]
