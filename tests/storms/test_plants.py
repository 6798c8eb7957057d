"""Planted bugs: each small defect, put into a copy of the maker, is found by the invariant that is named for it.

A campaign without a violation says something only if the same campaign turns red for a maker that is broken. The storms
repeated here were found by `python -m tests.bench.plants`, which searches from the first seed on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from maker.storms.invariants import INVARIANTS
from tests.storms.plants import FOUND, PLANTS, PROJECT, performed, planted

SIDE_BY_SIDE: Final = 2
SEEDS_MAX: Final = 500  # a bug that takes more of them is not found in practice ...
LATE: Final = {"the guard has no tail": 700}  # ... but for this one, which since the last histories takes 616
PLANTS_MIN: Final = 34
RECORDED: Final[dict[str, Any]] = json.loads(FOUND.read_text(encoding="utf-8"))

Told = dict[str, Any]


@pytest.fixture(scope="module")
def outcome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Told]]:
    """Perform the storms of the selected tests side by side; each test then asks for its own."""

    def one(folder: Path, name: str) -> tuple[Path, Told]:
        planted(folder, PLANTS[name].edits)
        return folder, next(performed(folder, [RECORDED[name]["schedule"]], PLANTS[name].finders))

    names = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        storms: dict[str, Future[tuple[Path, Told]]] = {
            name: pool.submit(one, tmp_path_factory.mktemp("plant"), name) for name in names
        }
    return lambda name: storms[name].result()


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found_by_its_invariant(
    name: str, outcome: Callable[[str], tuple[Path, Told]], record_property: Callable[[str, object], None]
) -> None:
    """By a violation, not by a crash."""
    _, told = outcome(name)
    seen = [violation for violation, _at, _sentence in told["violations"]]
    # The report of a test run ends with a table of these: tests/conftest.py.
    record_property(
        "planted", (name, " ".join(sorted(set(seen) & set(PLANTS[name].finders))), RECORDED[name]["seed"] + 1)
    )
    assert set(seen) & set(PLANTS[name].finders), f"{seen or 'no violation'} {told['crashed']}"
    assert told["crashed"] == ""


def test_the_same_storms_are_green_without(tmp_path: Path) -> None:
    """Else a plant would be found for what is wrong anyway."""
    storms = {json.dumps(one["schedule"], sort_keys=True): one["schedule"] for one in RECORDED.values()}
    told = list(performed(planted(tmp_path, ()), storms.values(), ()))
    assert len(told) == len(storms)
    assert [one for one in told if one["violations"] or one["crashed"]] == []


def test_every_plant_is_recorded_and_was_found_soon() -> None:
    """The table is whole, and names invariants that there are."""
    assert list(RECORDED) == list(PLANTS)
    assert len(PLANTS) >= PLANTS_MIN
    for name, plant in PLANTS.items():
        assert set(plant.finders) <= set(INVARIANTS), name
        assert RECORDED[name]["finder"] in plant.finders
        assert 0 <= RECORDED[name]["seed"] < LATE.get(name, SEEDS_MAX)


def test_a_plant_that_does_not_apply_is_told(tmp_path: Path) -> None:
    """A text that is gone, or stands there twice, is no plant."""
    edit = PLANTS["the last halt has no shield"].edits[0]
    with pytest.raises(AssertionError, match="no longer says this once"):
        planted(tmp_path / "twice", [edit, edit])


def test_the_copy_is_what_is_performed(tmp_path: Path) -> None:
    """The runner takes the maker in its folder, never the one beside these tests."""
    folder = planted(tmp_path, ())
    path = folder / "maker" / "storms" / "catalogue.py"
    path.write_text("raise SystemExit(7)\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="ended with code 7"):
        list(performed(folder, [0], ()))
    assert (PROJECT / "maker" / "storms" / "catalogue.py").stat().st_size > 100
