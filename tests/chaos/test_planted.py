"""The protections taken out one by one, each in a copy of the project: a test that is named here turns red for it.

A test that stays green without what it is about proves nothing. Two more plants run as control arms of the campaigns:
one cancel-all (`kill`) and a watchdog alone (`pause`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.live.support import PROJECT

SIDE_BY_SIDE: Final = 2
HANGS_SECONDS: Final = 15  # what never ends is ended by then, and that is red too; the tests named take less than one
RUN_SECONDS_MAX: Final = 300.0
OUTPUT_CHARACTERS: Final = 3000  # of a run, shown where it is not as it should be
COPIED: Final = ("maker", "tests", "conf", "pyproject.toml", "run.py", "README.md")
GREEN, RED = 0, 1  # pytest's exit codes; the others mean that no test was found or run
FAILED, HUNG = "\nFAILED ", "Timeout (0:00:"  # what pytest and the fault handler say


class Plant(NamedTuple):
    """One change of the source, and the test that must not bear it."""

    file: str
    before: str
    after: str
    test: str
    never_ends: bool = False  # it may turn red by running into HANGS_SECONDS


HALT: Final = "maker/app/halt.py"
WIRING: Final = "maker/app/wiring.py"
GUARD: Final = "maker/guard/exchange.py"
OF_HALT: Final = "tests/app/test_halt.py::"
OF_GUARD: Final = "tests/guard/test_exchange.py::"
FIRST: Final = "tests/chaos/test_cancel_first.py::"
SHIELDED: Final = "with trio.move_on_after(halt_seconds_max, shield=True):"

PLANTS: Final = {
    "shield removed": Plant(
        HALT,
        SHIELDED,
        "with trio.move_on_after(halt_seconds_max):",
        OF_HALT + "test_the_halt_runs_inside_a_cancelled_scope",
    ),
    "deadline removed": Plant(
        HALT,
        SHIELDED,
        "with trio.CancelScope(shield=True):",
        OF_HALT + "test_a_deadline_leaves_a_truthful_report_of_a_silent_exchange",
        never_ends=True,
    ),
    "journal before cancel-all": Plant(
        WIRING,
        "        if self.armed:\n            self.switch.trip(trip)\n        if self.stop is None:\n",
        "        self.recorder.tripped(trip)\n        if self.armed:\n            self.switch.trip(trip)\n"
        "        if self.stop is None:\n",
        FIRST + "test_no_disk_is_needed_to_pull[leave]",
    ),
    "journal before cancel-all, for a fact": Plant(
        "maker/app/feeds.py",
        "        trip = self.engine.apply(event, now)\n",
        "        trip = self.engine.apply(event, now)\n        self.recorder.after(event, trip)\n",
        FIRST + "test_no_disk_is_needed_to_pull[lost]",
    ),
    "latch forgotten": Plant(
        HALT,
        "        self.tripped = trip\n",
        "",
        OF_HALT + "test_no_write_begins_after_a_trip",
    ),
    "read-back skipped": Plant(
        HALT,
        "while not await panic.verified_empty():",
        "while False:",
        OF_HALT + "test_a_halt_in_a_healthy_world",
    ),
    "read-back skipped by the guard": Plant(
        GUARD,
        "left = yield from reading_back()\n            if not left:",
        "left = 0\n            if not left:",
        OF_GUARD + "test_cancel_all_first_then_two_empty_reads",
    ),
    "one cancel-all only": Plant(
        HALT,
        "for at in tail(switch, tail_seconds_max, began):",
        "for at in list[float]():",
        OF_HALT + "test_a_ladder_that_lands_in_the_tail_is_pulled",
    ),
    "one cancel-all only, by the guard": Plant(
        GUARD,
        "due = [at for at in TAIL_SECONDS if at < tail_seconds] + [tail_seconds]",
        "due = [0.0]",
        OF_GUARD + "test_a_tail_repeats_the_cancel_all_and_nothing_is_verified_before_its_end",
    ),
    "watchdog instead of inline freshness": Plant(
        "maker/desk/fair.py",
        "self.age(now) <= self.settings.stale_seconds_max",
        "True",
        "tests/desk/test_engine.py::test_no_ladder_is_ever_made_of_stale_inputs",
    ),
    "signal cancels the root": Plant(
        WIRING,
        "        self.quoting.cancel(reason=trip.sentence)",
        "        trio.lowlevel.current_root_task().child_nurseries[0].cancel_scope.cancel(reason=trip.sentence)",
        "tests/app/test_wiring.py::test_leaving_pulls_in_the_same_step_and_cancels_quoting",
    ),
    "guard as child": Plant(  # whoever kills the one with its process group kills the other
        "maker/launch/start.py",
        "start_new_session=True, env=environment",
        "env=environment",
        "tests/launch/test_parent.py::test_children_have_sessions_of_their_own",
    ),
    "cancel-all through the quoting lane": Plant(
        WIRING,
        'lane("quoting"), trio.CancelScope(), rng, host=host)\n',
        "lanes[0], trio.CancelScope(), rng, host=host)\n    switch.panic.lanes = (lanes[0], lanes[0])\n",
        FIRST + "test_a_ladder_on_its_way_holds_up_no_cancel_all",
    ),
}


def copied(folder: Path) -> Path:
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def run(folder: Path, *tests: str) -> tuple[int, str]:
    """Run tests of a copy, with the copy's program."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-o", f"faulthandler_timeout={HANGS_SECONDS}", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    return done.returncode, done.stdout + done.stderr


def planted(folder: Path, plant: Plant) -> tuple[int, str]:
    path = copied(folder) / plant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(plant.before) == 1, f"{plant.file} no longer says this once: {plant.before!r}"
    path.write_text(text.replace(plant.before, plant.after), encoding="utf-8")
    return run(folder, plant.test)


@pytest.fixture(scope="module")
def outcome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[int, str]]:
    """Run the plants of the selected tests side by side; each test then asks for its own."""
    names = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = {name: pool.submit(planted, tmp_path_factory.mktemp("planted"), PLANTS[name]) for name in names}
    return lambda name: runs[name].result()


@pytest.mark.parametrize("name", PLANTS)
def test_a_protection_taken_out_turns_a_test_red(name: str, outcome: Callable[[str], tuple[int, str]]) -> None:
    code, output = outcome(name)
    assert code == RED, f"{PLANTS[name].test} bears it: {output[-OUTPUT_CHARACTERS:]}"
    assert FAILED in output or (PLANTS[name].never_ends and HUNG in output)


def test_an_untouched_copy_is_green(tmp_path: Path) -> None:
    """Else the ones above would be red for being copies."""
    code, output = run(copied(tmp_path), *{plant.test for plant in PLANTS.values()})
    assert code == GREEN, output[-OUTPUT_CHARACTERS:]
