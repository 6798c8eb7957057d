"""Reference venues that disagree, lag and die: each a function of seed and step, and of nothing else."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.paper.marketplace import Marketplace
from maker.paper.prices import HISTORY_STEPS, STEP_MS, STEPS_PER_SECOND
from maker.paper.reference_venues import (
    CLOSED,
    DEAD_RATIO_MAX,
    LAG_SECONDS_MAX,
    WANDER_BPS_MAX,
    WAVE_HEIGHT,
    WAVE_SECONDS,
    ReferenceVenue,
)
from maker.paper.state import ExchangeSettings

SYMBOL = "BTC-USD"


def venue(**habits: Any) -> ReferenceVenue:
    return ReferenceVenue(name="beta", **habits)


def opened(seed: int = 3, step_ms: int = STEP_MS) -> Marketplace:
    return Marketplace(ExchangeSettings(seed=seed), preset="busy", start_ms=0, step_ms=step_ms)


def mid(place: Marketplace, each: ReferenceVenue | None = None) -> Decimal:
    shown = place.reference_quotes(each)[SYMBOL]
    return (shown.bid + shown.ask) / 2


def stepped(place: Marketplace, steps: int) -> Marketplace:
    for _ in range(steps):
        place.step()
    return place


# -- disagreeing


@pytest.mark.parametrize("bps", ["2.5", "-1.5", "400"])
def test_a_venue_disagrees_by_a_constant(bps: str) -> None:
    """Both sides move by as much, to the tick, and stand on the tick."""
    place = opened()
    for _ in range(50):
        place.step()
        plain, moved = place.reference_quotes()[SYMBOL], place.reference_quotes(venue(offset_bps=Decimal(bps)))[SYMBOL]
        for before, after in ((plain.bid, moved.bid), (plain.ask, moved.ask)):
            assert abs(after - before * (1 + Decimal(bps) / 10_000)) <= Decimal("0.2")
            assert after % Decimal("0.1") == 0
        assert moved.bid < moved.ask


def test_without_habits_it_tells_the_very_price() -> None:
    place = stepped(opened(), 50)
    assert place.reference_quotes(venue()) == place.reference_quotes()


def test_it_wanders_slowly_and_as_much_as_it_says() -> None:
    """Over many hours: mean near 0, the standard deviation that is written; never more than a twentieth a second."""
    wanders = venue(wander_bps=2.0)
    seen = [float(wanders.shift_bps(SYMBOL, 1, seconds)) for seconds in range(200_000)]
    assert abs(statistics.fmean(seen)) < 0.05
    assert statistics.pstdev(seen) == pytest.approx(2.0, rel=0.05)
    assert max(abs(after - before) for before, after in itertools.pairwise(seen)) < 2.0 / 10
    assert max(map(abs, seen)) <= 2.0 * WAVE_HEIGHT * len(WAVE_SECONDS)


def test_seed_venue_and_symbol_each_make_another_wander() -> None:
    shifts = {
        ReferenceVenue(name=name, wander_bps=1.0).shift_bps(symbol, seed, 100.0)
        for name in ("beta", "gamma")
        for symbol in ("BTC-USD", "ETH-USD")
        for seed in (1, 2)
    }
    assert len(shifts) == 8


@given(seconds=st.floats(0, 1e9), seed=st.integers(0, 2**64), wander=st.floats(0, WANDER_BPS_MAX))
def test_a_price_stays_a_price(seconds: float, seed: int, wander: float) -> None:
    shift = venue(wander_bps=wander, offset_bps=Decimal(-1000)).shift_bps(SYMBOL, seed, seconds)
    assert Decimal(-1500) < shift < Decimal(-500)


def test_the_exchanges_seed_is_the_venues() -> None:
    """Another seed is another history of the venue too."""
    wanders = venue(wander_bps=50.0)
    ratios = [mid(place, wanders) / mid(place) for place in (opened(3), opened(4))]
    assert abs(ratios[0] - ratios[1]) > Decimal("0.0001")
    shift = wanders.shift_bps(SYMBOL, 3, 0.0) / 10_000
    assert abs(ratios[0] - 1 - shift) < Decimal("0.00001")


# -- lagging


@pytest.mark.parametrize("lag_seconds", [0.05, 0.2, 1.0, LAG_SECONDS_MAX])
def test_a_venue_tells_what_was(lag_seconds: float) -> None:
    """Against the quotes that were seen then; before there is so much history, the first."""
    place, late, seen = opened(), venue(lag_seconds=lag_seconds), []
    steps = round(lag_seconds * STEPS_PER_SECOND)
    for number in range(3 * HISTORY_STEPS):
        seen.append(place.reference_quotes())
        assert place.reference_quotes(late) == seen[max(0, number - steps)]
        place.step()
    assert len({str(one) for one in seen}) > HISTORY_STEPS, "a path that stands would prove nothing"


def test_a_jump_is_told_late() -> None:
    """News reaches the slow venue only after its lag."""
    place, late = stepped(opened(), 100), venue(lag_seconds=0.5)
    before = mid(place, late)
    for around in place.surroundings.values():
        around.path.jump(200.0)
    assert mid(place) / mid(place, late) > Decimal("1.01")
    for _ in range(9):
        place.step()
        assert abs(mid(place, late) / before - 1) < Decimal("0.005")
    assert mid(stepped(place, 1), late) / before > Decimal("1.01")


def test_a_slow_market_lags_by_as_many_seconds() -> None:
    assert venue(lag_seconds=1.0).lag_steps() == 20
    assert venue(lag_seconds=1.0).lag_steps(1000) == 1
    assert venue(lag_seconds=2.0).lag_steps(1) == HISTORY_STEPS, "no more than is remembered"
    place = stepped(opened(step_ms=1), 100)
    place.reference_quotes(venue(lag_seconds=2.0))


# -- dying


@pytest.mark.parametrize(("rate", "dead_seconds"), [(2.0, 30.0), (60.0, 5.0), (120.0, 15.0), (0.5, 3600.0)])
def test_it_dies_as_often_as_it_says_and_comes_back(rate: float, dead_seconds: float) -> None:
    """Counted second by second over many stretches, deaths that touch counted as one."""
    dies = venue(dies_per_hour=rate, dead_seconds=dead_seconds)
    stretches = 200
    seconds = int(stretches * 3600 / rate)
    step = max(1, seconds // 100_000)
    dead = [dies.is_dead(5, second) for second in range(0, seconds, step)]
    overlap = 0.2  # of all dead time: two deaths in a row
    expected = rate * dead_seconds / 3600
    assert expected * (1 - overlap) <= statistics.fmean(dead) <= expected * 1.05
    assert not all(dead)
    begun = sum(now and not before for before, now in itertools.pairwise(dead))
    assert stretches * 0.6 <= begun <= stretches


def test_it_is_dead_for_so_long_and_not_longer() -> None:
    dies = venue(dies_per_hour=1.0, dead_seconds=30.0)
    (began,) = dies.deaths(5, 100.0)
    assert 0 <= began < 3600
    assert [dies.is_dead(5, began + after) for after in (-0.01, 0.0, 29.9, 30.0)] == [False, True, True, False]


def test_a_death_outlasts_its_stretch() -> None:
    """One that begins at the end of a stretch is still going on in the next."""
    dies = venue(dies_per_hour=120.0, dead_seconds=15.0)
    crossing = [
        began
        for number in range(100)
        for began in [max(dies.deaths(1, number * 30.0 + 29.9))]
        if began + 14 > (number + 1) * 30
    ]
    assert crossing
    assert all(dies.is_dead(1, began + 14.0) for began in crossing)


def test_seed_and_venue_each_make_another_history_of_deaths() -> None:
    """Venues that always died together would leave a maker no other source, whatever it does."""
    deaths = {
        began
        for name in ("beta", "gamma")
        for seed in (1, 2)
        for began in ReferenceVenue(name=name, dies_per_hour=1.0).deaths(seed, 0.0)
    }
    assert len(deaths) == 4


def test_without_a_rate_it_lives() -> None:
    assert not any(venue().is_dead(1, second) for second in range(100_000))


# -- one history


def test_asking_changes_nothing() -> None:
    """S23: a venue's habits move neither the path, nor the index, nor the other traders, nor each other."""
    habits = venue(offset_bps=Decimal(5), wander_bps=3.0, lag_seconds=1.0, dies_per_hour=60.0, dead_seconds=5.0)
    asked, left_alone = opened(), opened()
    for _ in range(200):
        asked.reference_quotes(habits)
        asked.is_dead(habits)
        asked.step()
        left_alone.step()
    assert asked.snapshot() == left_alone.snapshot()
    assert asked.reference_quotes(habits) == left_alone.reference_quotes(habits)


def test_a_restart_goes_on_with_the_same_habits() -> None:
    """Nothing of them is saved, and nothing need be: told late across the restart too."""
    habits = venue(wander_bps=3.0, lag_seconds=1.0, dies_per_hour=60.0, dead_seconds=5.0)
    place = stepped(opened(), 100)
    again = Marketplace.restore(ExchangeSettings(seed=3), place.snapshot(), preset="busy")
    for _ in range(200):
        assert again.reference_quotes(habits) == place.reference_quotes(habits)
        assert again.is_dead(habits) == place.is_dead(habits)
        again.step()
        place.step()


def test_another_process_tells_the_same() -> None:
    """Whatever PYTHONHASHSEED is."""
    asked = (
        "from maker.paper.reference_venues import ReferenceVenue as V; v = V(name='beta', wander_bps=1.0, "
        "dies_per_hour=1.0); print(v.shift_bps('BTC-USD', 7, 55.0), *v.deaths(7, 4000.0))"
    )
    here = venue(wander_bps=1.0, dies_per_hour=1.0)
    expected = " ".join(map(str, (here.shift_bps(SYMBOL, 7, 55.0), *here.deaths(7, 4000.0))))
    for hash_seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", asked],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        )
        assert found.stdout.strip() == expected


# -- refusing


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset_bps", Decimal(1001)),
        ("offset_bps", Decimal(-1001)),
        ("wander_bps", -0.1),
        ("wander_bps", float("nan")),
        ("wander_bps", 101.0),
        ("lag_seconds", -0.1),
        ("lag_seconds", 2.1),
        ("dies_per_hour", -1.0),
        ("dies_per_hour", 121.0),
        ("dead_seconds", 0.0),
        ("dead_seconds", float("nan")),
        ("dead_way", "loudly"),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: is .*\. Write "):
        venue(**{field: value})


def test_dead_most_of_the_time_is_refused() -> None:
    venue(dies_per_hour=60.0, dead_seconds=60 * DEAD_RATIO_MAX, dead_way=CLOSED)
    with pytest.raises(ValueError, match=r"^dead_seconds: is 31, .*Write at most 30 with dies_per_hour = 60\."):
        venue(dies_per_hour=60.0, dead_seconds=31.0)
