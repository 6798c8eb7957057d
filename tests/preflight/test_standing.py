"""What earlier runs left: kill file, crash marks, locks."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from maker.errors import ExitCode
from maker.launch import latch
from maker.launch import lock as locks
from maker.launch.lock import CRASHES, Lock, is_held
from maker.launch.settings import ParentSettings, parent_settings
from maker.preflight import standing
from maker.preflight.verdict import Verdict
from tests.preflight.scripted import live_example
from tests.preflight.test_local import a_conf


@pytest.fixture
def wanted(tmp_path: Path) -> ParentSettings:
    """A practice configuration whose state folder is there."""
    (tmp_path / "state").mkdir()
    return parent_settings(a_conf(tmp_path))


def test_nothing_was_left(wanted: ParentSettings) -> None:
    assert standing.latch(wanted).verdict is Verdict.OK
    assert standing.lock(wanted).verdict is Verdict.OK
    assert list(wanted.state_folder.iterdir()) == []


def test_a_kill_file_refuses_with_the_command_that_clears_it(wanted: ParentSettings) -> None:
    latch.write(wanted.state_folder, "drawdown", "lost too much")
    found = standing.latch(wanted)
    assert (found.verdict, found.exit_code) == (Verdict.FAILED, ExitCode.REFUSED_TO_START)
    assert "lost too much (drawdown, " in found.said
    assert found.fix == f"See why, then: python3 run.py clear {wanted.configuration}"


@pytest.mark.parametrize(("deaths", "words"), [(1, "does not wait for it"), (2, "waits 2 s"), (5, "waits 16 s")])
def test_deaths_make_the_next_start_wait(deaths: int, words: str, wanted: ParentSettings) -> None:
    (wanted.state_folder / CRASHES).write_text(f"{time.time():.3f}\n" * deaths)
    found = standing.latch(wanted)
    assert (found.verdict, words in found.said) == (Verdict.WARNING, True)
    assert f"died {deaths} times" in found.said
    assert "3 deaths within 600 s latch" in found.fix


def test_deaths_of_long_ago_do_not_count(wanted: ParentSettings) -> None:
    (wanted.state_folder / CRASHES).write_text(f"{time.time() - 601:.3f}\n" * 9)
    assert standing.latch(wanted).verdict is Verdict.OK


# -- locks --------------------------------------------------------------------------------------------------------


def test_a_run_on_this_state_folder_is_a_warning(wanted: ParentSettings) -> None:
    held = Lock(wanted.state_folder / "maker.lock")
    assert held.attempt()
    found = standing.lock(wanted)
    assert (found.verdict, "A maker runs on this state folder" in found.said) == (Verdict.WARNING, True)
    os.close(held.descriptor)
    assert standing.lock(wanted).verdict is Verdict.OK


def test_another_maker_on_the_account_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its state folder: the lock is the machine's."""
    monkeypatch.setattr(locks, "LOCK_FOLDERS", (str(tmp_path / "first"), str(tmp_path)))
    wanted = parent_settings(live_example(tmp_path, "https://ocx.test"))
    assert standing.lock(wanted).verdict is Verdict.OK
    held = locks.account_lock(wanted)
    assert held.attempt()
    found = standing.lock(wanted)
    assert (found.verdict, found.exit_code) == (Verdict.FAILED, ExitCode.REFUSED_TO_START)
    assert "'main-sub-1'" in found.said
    os.close(held.descriptor)


def test_looking_takes_no_lock_from_anybody(tmp_path: Path) -> None:
    """Nor does it make a file where there is none."""
    path = tmp_path / "maker.lock"
    assert not is_held(path)
    assert not path.exists()
    path.write_text("")
    assert not is_held(path)
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert is_held(path)
    os.close(descriptor)
