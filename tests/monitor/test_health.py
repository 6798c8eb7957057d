"""/healthz is about quoting: each way not to, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest

from maker.monitor.health import STALE_SECONDS_MAX, health
from maker.monitor.observation import Life
from tests.monitor.observed import a_state, an_observation


@pytest.mark.parametrize(
    ("changes", "is_well", "words"),
    [
        ({}, True, "quoting: BTC-PERP is quoted"),
        ({"state_age_seconds": STALE_SECONDS_MAX}, True, "quoting"),
        ({"state_age_seconds": STALE_SECONDS_MAX + 0.1}, False, "has told nothing for 3.1 s"),
        ({"maker": Life.GONE}, False, "the maker is gone"),
        ({"maker": Life.UNKNOWN}, False, "no run is known"),
        ({"guard": Life.GONE}, True, "quoting"),
        ({"state": None, "state_age_seconds": None}, False, "told nothing yet"),
        ({"latched": "three deaths"}, False, "latched: three deaths"),
        ({"state": a_state(state="not quoting", sentence="BTC-PERP: no index")}, False, "not quoting: BTC-PERP: no"),
        ({"state": a_state(state="pulling", reason="stream_broken")}, False, "pulling"),
        ({"state": a_state(state="starting")}, False, "starting"),
        ({"state": a_state(state="ending", reason="stop_asked", sentence="SIGTERM")}, True, "ending: SIGTERM"),
        ({"state": a_state(state="ending", reason="time_up")}, True, "ending"),
        ({"state": a_state(state="ending", reason="drawdown")}, False, "ending"),
        ({"state": a_state(state="ending", reason="killed")}, False, "ending"),
    ],
)
def test_only_quoting_is_healthy(changes: dict[str, Any], is_well: bool, words: str) -> None:
    found, sentence = health(an_observation(**changes))
    assert found is is_well
    assert words in sentence
