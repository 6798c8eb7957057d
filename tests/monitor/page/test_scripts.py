"""The page's reckoning under node, and the syntax of every script. Skipped where there is no node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.monitor.page.server import PAGE

HERE = Path(__file__).parent
NODE = shutil.which("node")
SECONDS_MAX = 120  # a busy machine has taken 6
ROOMS = sorted(path.name for path in HERE.glob("*.test.mjs"))
SCRIPTS = sorted(path.name for path in PAGE.glob("*.js"))

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node on this machine")


def node(*words: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run([NODE, *words], capture_output=True, text=True, timeout=SECONDS_MAX)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's scripts, told to be modules as the page tells it, beside the tests of them."""
    for path in (*PAGE.glob("*.js"), *HERE.glob("*.test.mjs")):
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


@pytest.mark.parametrize("room", ROOMS)
def test_rooms(folder: Path, room: str) -> None:
    """What a room's own tests say: see the file."""
    ended = node("--test", str(folder / room))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "# pass 0" not in ended.stdout


def test_a_room_that_fails_is_seen(folder: Path) -> None:
    (folder / "broken.test.mjs").write_text(
        'import test from "node:test"; test("no", () => { throw new Error("no"); });'
    )
    assert node("--test", str(folder / "broken.test.mjs")).returncode != 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_syntax(folder: Path, script: str) -> None:
    """Every script is read without an error, ours as modules."""
    ended = node("--check", str(folder / script))
    assert ended.returncode == 0, ended.stderr
