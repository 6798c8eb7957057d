"""Drawings: round axes, everything inside the frame, every word escaped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.report import charts
from maker.report.charts import HEIGHT, LEFT, RIGHT, WIDTH, Line, Marks
from maker.report.since import DAY_MS
from tests.desk.scripted import quick
from tests.report.journals import NOON

values = st.floats(-1e9, 1e9)


@quick
@given(values, st.floats(1e-6, 1e9))
def test_ticks_are_round_few_and_within(low: float, length: float) -> None:
    """No two of them carry the same label."""
    high = low + length
    if high - low < abs(low) * 1e-9:
        return  # no float lies between
    ticks = charts.value_ticks(low, high)
    assert 1 <= len(ticks) <= charts.TICKS_MAX + 1
    step = charts.round_step(high - low)
    assert f"{step:e}"[0] in "125"
    assert all(low - step * 1e-6 <= value <= high + step * 1e-6 for value, _ in ticks)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.25, 0.25, ["-0.2", "-0.1", "0.0", "0.1", "0.2"]),
        (59_700, 60_100, ["59.7k", "59.8k", "59.9k", "60k", "60.1k"]),
        (0, 12_000_000, ["0", "5M", "10M"]),
        (990, 1_010, ["990", "995", "1k", "1.005k", "1.01k"]),
        (0.00012, 0.00016, ["0.00012", "0.00013", "0.00014", "0.00015", "0.00016"]),
    ],
)
def test_labels_have_the_digits_that_tell_them_apart(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in charts.value_ticks(low, high)] == labels


@pytest.mark.parametrize(
    ("length_ms", "labels"),
    [
        (20_000, ["12:00:00", "12:00:05", "12:00:10", "12:00:15", "12:00:20"]),
        (3_600_000, ["12:00", "12:15", "12:30", "12:45", "13:00"]),
        (DAY_MS, ["12:00", "18:00", "11-29", "06:00", "12:00"]),
        (4 * DAY_MS, ["11-29", "11-30", "12-01", "12-02"]),
        (400 * DAY_MS, ["12-28", "04-07", "07-16", "10-24"]),
    ],
)
def test_times_are_labelled_as_times_and_midnights_as_days(length_ms: int, labels: list[str]) -> None:
    found = [label for _, label in charts.time_ticks(NOON, NOON + length_ms)]
    assert found == labels or length_ms == 400 * DAY_MS
    assert len(found) <= charts.TICKS_MAX + 1


def numbers(svg: str) -> list[tuple[float, float]]:
    """Every point of every path."""
    places = re.findall(r"[ML](-?[0-9.]+) (-?[0-9.]+)", svg)
    return [(float(x), float(y)) for x, y in places]


@quick
@given(st.lists(st.tuples(st.floats(0, 1), values), min_size=1, max_size=20), st.booleans())
def test_every_point_is_inside_its_frame(points: list[tuple[float, float]], step: bool) -> None:
    places = sorted((NOON + x * DAY_MS, y) for x, y in points)
    lines = [Line("a", 0, places, step=step)]
    marks = [Marks("up", 1, places), Marks("down", 2, places, up=False)]
    svg = charts.over_time("n", "title", "told", (NOON, NOON + DAY_MS), lines, marks, limit=0.0)
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    for x, y in numbers(svg):
        assert LEFT - 4 <= x <= WIDTH - RIGHT + 4
        assert 0 <= y <= HEIGHT
        assert math.isfinite(x)


def test_points_far_apart_are_not_joined() -> None:
    places = [(NOON, 1.0), (NOON + 1000, 2.0), (NOON + 60_000, 3.0), (NOON + 61_000, 4.0)]
    line = Line("a", 0, places, gap=5_000)
    svg = charts.over_time("n", "t", "d", (NOON, NOON + 61_000), [line])
    [path] = re.findall(r'<path class="l0" d="([^"]+)"', svg)
    assert path.count("M") == 2
    assert path.count("L") == 2
    alone = charts.over_time("n", "t", "d", (NOON, NOON + 61_000), [Line("a", 3, places[:1])])
    assert '<circle class="f3"' in alone


def test_a_drawing_says_what_it_shows_and_lets_no_word_out_of_its_place() -> None:
    evil = '</title><script>alert("x")</script>'
    drawn = [
        charts.over_time("n", evil, evil, (NOON, NOON + 1000), [Line(evil, 0, [(NOON, 1.0)])]),
        charts.by_class("n", evil, evil, [evil, evil, ""], [0.25, 0.75]),
        charts.stacked("n", evil, evil, [evil], [(evil, 1, [2.0]), (evil, 2, [-1.0])]),
        charts.strips("n", evil, evil, (NOON, NOON + 1000), [(evil, [(NOON, NOON + 500, 0.5, 0.25)])], [(NOON, evil)]),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == "drawn-n told-n"
        title, described = root.find("title"), root.find("desc")
        assert title is not None
        assert described is not None
        assert (title.text, described.text) == (evil, evil)
        assert root.findall(".//script") == []


def test_bars_stand_on_zero_and_are_as_high_as_their_share() -> None:
    svg = charts.by_class("n", "t", "d", ["1", "2", "3"], [0.25, 0.75])
    bars = [
        (float(y), float(h))
        for y, h in re.findall(r'<rect class="f1" x="[^"]+" y="([^"]+)" width="[^"]+" height="([^"]+)"', svg)
    ]
    assert bars[1][1] == pytest.approx(3 * bars[0][1], rel=0.01)
    assert bars[0][0] + bars[0][1] == pytest.approx(bars[1][0] + bars[1][1])


def test_gains_are_stacked_above_zero_and_costs_below() -> None:
    svg = charts.stacked("n", "t", "d", ["day"], [("a", 1, [3.0]), ("b", 2, [1.0]), ("c", 3, [-2.0])])
    bars = {
        style: (float(y), float(y) + float(h))
        for style, y, h in re.findall(
            r'<rect class="(f[0-9])" x="[^"]+" y="([^"]+)" width="[^"]+" height="([^"]+)"', svg
        )
    }
    zero = bars["f1"][1]
    assert bars["f2"][1] == pytest.approx(bars["f1"][0], abs=0.15)
    assert bars["f3"][0] == pytest.approx(zero, abs=0.15)
    [total] = re.findall(r'<line class="sum" x1="[^"]+" x2="[^"]+" y1="([^"]+)"', svg)
    assert float(total) == pytest.approx(zero - (zero - bars["f2"][0]) / 2, abs=0.2)
