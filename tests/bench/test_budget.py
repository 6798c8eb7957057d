"""The request budget is well spent: an hour of twenty markets here, a day of it by `python -m tests.bench.budget`."""

from __future__ import annotations

from maker.desk.engine import Engine
from tests.bench import budget as bench


def test_an_hour_of_twenty_markets_on_the_standard_tier() -> None:
    """S9, checklist 3: no 429, the reserve never spent, 90 % of the rest used, no quote too old, and 30 % saved."""
    found = bench.measure(hours=1.0, seed=1)
    assert found["broken"] == []


def test_each_policy_sees_the_same_prices() -> None:
    """The comparison is one of policies and of nothing else."""
    runs = [bench.Simulation.of(kind, 5, 3) for kind in (Engine, bench.InTurn)]
    for one in runs:
        one.run(60.0)
    first, second = ([(place.price, place.value, place.half_bps) for place in one.places.values()] for one in runs)
    assert first == second
