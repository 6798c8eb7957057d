"""Long series made short: any series, and what must still be seen of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maker.monitor.thinning import POINTS_MAX, thinned

VALUES = st.none() | st.floats(-1e6, 1e6)
SERIES = st.lists(st.tuples(VALUES, VALUES), max_size=300)


@given(SERIES, st.integers(5, 60))
def test_few_points_in_their_order_with_ends_and_extremes(
    values: list[tuple[float | None, float | None]], most: int
) -> None:
    points = [(at, *pair) for at, pair in enumerate(values)]
    kept = thinned(points, low=1, high=2, points_max=most)
    assert len(kept) <= max(most, 0)
    assert [point[0] for point in kept] == sorted({point[0] for point in kept}), "in order, each once"
    assert set(kept) <= set(points)
    if points:
        assert kept[0] == points[0]
        assert kept[-1] == points[-1]
        lows = [point[1] for point in points if point[1] is not None]
        highs = [point[2] for point in points if point[2] is not None]
        assert not lows or min(lows) in [point[1] for point in kept]
        assert not highs or max(highs) in [point[2] for point in kept]
        assert any(None in point for point in points) == any(None in point for point in kept)


def test_a_short_series_is_left_as_it_is() -> None:
    points = [(at, float(at)) for at in range(POINTS_MAX)]
    assert thinned(points) == points
    assert thinned([]) == []


def test_a_spike_in_a_day_is_still_there() -> None:
    points = [(float(at), 1.0) for at in range(86_400)]
    points[40_000] = (40_000.0, 9.0)
    points[40_001] = (40_001.0, -9.0)
    kept = thinned(points)
    assert len(kept) <= POINTS_MAX
    assert (40_000.0, 9.0) in kept
    assert (40_001.0, -9.0) in kept
