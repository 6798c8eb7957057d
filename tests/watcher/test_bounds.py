"""How old a working maker lets an order become: what the sentence in the configuration comes to."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from maker.app.halt import TAIL_SECONDS as MAKERS_TAIL
from maker.desk import engine
from maker.guard.exchange import CALL_SECONDS_MAX, TAIL_SECONDS
from maker.launch.settings import PROJECT_FOLDER, SettingsError
from maker.watcher.bounds import KEYS, MARGIN_SECONDS, POLL_SECONDS, QUOTE_AGE_PULL, Bounds, bounds

CONF = Path(PROJECT_FOLDER) / "conf"


def tree(name: str = "live.example.toml") -> dict[str, Any]:
    return tomllib.loads((CONF / name).read_text())


def test_it_reckons_as_the_engine_does() -> None:
    """Two rooms know at which age a maker pulls, since the watcher imports no package; they must not drift."""
    assert QUOTE_AGE_PULL == engine.QUOTE_AGE_PULL


def test_the_longest_pause_of_a_makers_own_tail_is_no_longer_than_the_guards() -> None:
    """Whose tail it is does not matter for a late ladder: the guard's is the bound."""
    assert max(b - a for a, b in pairwise((0.0, *MAKERS_TAIL))) <= max(b - a for a, b in pairwise(TAIL_SECONDS))


@pytest.mark.parametrize(("name", "rest"), [("live.example.toml", 65.0), ("paper.toml", 50.0)])
def test_what_the_examples_come_to(name: str, rest: float) -> None:
    """3 + 1.5 · 30 + 3 + 14 and 3 + 1.5 · 20 + 3 + 14; the margin and the two polls come on top."""
    found = bounds(tree(name))
    assert found == Bounds(rest, 15.0, 5.0)
    assert found.age_seconds_max == rest + 15
    assert found.pulled_seconds_max == rest + 15 + 2 * (5 + CALL_SECONDS_MAX)


def test_each_time_of_the_derivation_counts() -> None:
    before = bounds(tree()).rest_seconds_max
    for table, key, factor in (
        ("cycle", "quote_age_seconds_max", QUOTE_AGE_PULL),
        ("halt", "write_seconds_max", 1.0),
        ("halt", "halt_seconds_max", 1.0),
        ("guard", "hang_seconds_max", 1.0),
    ):
        changed = tree()
        changed[table][key] += 10
        assert bounds(changed).rest_seconds_max == before + 10 * factor, key


def test_a_late_ladder_rests_as_long_as_the_longest_pause_of_the_tail() -> None:
    """With quotes that live for two seconds only, what lands late is older than any ladder."""
    changed = tree()
    changed["cycle"]["quote_age_seconds_max"] = 2.0
    assert bounds(changed).rest_seconds_max == (60 - 32) + 3 + 14
    changed["guard"]["tail_seconds"] = 1.5
    assert bounds(changed).rest_seconds_max == 3 + 1.5 * 2 + 3 + 14


def test_defaults_and_exact_decimals() -> None:
    """[watch] may be left out; whoever checks the file reads it with decimals."""
    text = (CONF / "live.example.toml").read_text()
    exact = tomllib.loads(text, parse_float=Decimal)
    assert bounds(exact) == bounds(tree())
    del exact["watch"]
    assert bounds(exact) == Bounds(65.0, MARGIN_SECONDS, POLL_SECONDS)


@pytest.mark.parametrize("name", ["live.example.toml", "paper.toml"])
def test_the_examples_hold_the_keys_it_knows(name: str) -> None:
    text = (CONF / name).read_text()
    section = text[text.index("[watch]") : text.index("[market.BTC-PERP]")]
    assert set(tree(name)["watch"]) == {"margin_seconds", "poll_seconds"}
    assert all(key in section for key in KEYS) or name == "paper.toml"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"watch": 7}, "watch must be a table"),
        ({"watch": {"poll_secs": 1}}, "watch.poll_secs is not known"),
        ({"watch": {"poll_seconds": 0.5, "margin_seconds": 15}}, "watch.poll_seconds must be from 1 to 60"),
        ({"watch": {"poll_seconds": 61, "margin_seconds": 99}}, "watch.poll_seconds must be from 1 to 60"),
        ({"watch": {"poll_seconds": 5, "margin_seconds": 8.9}}, "watch.margin_seconds must be at least"),
        ({"watch": {"poll_seconds": 5}}, "watch.margin_seconds must be a number"),
        ({"watch": {"poll_seconds": "5", "margin_seconds": 15}}, "watch.poll_seconds must be a number"),
        ({"watch": {"poll_seconds": True, "margin_seconds": 15}}, "watch.poll_seconds must be a number"),
        ({"watch": {"poll_seconds": float("nan"), "margin_seconds": 15}}, "watch.poll_seconds must be a number"),
        ({"cycle": {}}, "cycle.quote_age_seconds_max must be a number"),
        ({"halt": 1}, "halt.write_seconds_max must be a number"),
        ({"guard": {"tail_seconds": 60, "hang_seconds_max": -3}}, "guard.hang_seconds_max must be a number"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        bounds(tree() | change)
