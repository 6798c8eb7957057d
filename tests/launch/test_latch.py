"""The kill file: S21, and the first cause stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from maker.launch import latch

LOOK_SECONDS_MAX = 5.0  # reached only by a test that fails


def test_what_is_written_is_read_until_cleared(tmp_path: Path) -> None:
    """S21: it holds until somebody clears it."""
    assert latch.read(tmp_path) is None
    latch.write(tmp_path, "loss", "the day's loss limit was reached")
    said = latch.read(tmp_path)
    assert said is not None
    assert said.startswith("the day's loss limit was reached (loss, 2")
    assert latch.clear(tmp_path) == said
    assert latch.read(tmp_path) is None
    assert latch.clear(tmp_path) is None


def test_the_first_cause_stays(tmp_path: Path) -> None:
    """A later reason does not hide what happened first, and no half file is left behind."""
    latch.write(tmp_path, "loss", "first")
    latch.write(tmp_path, "command", "second")
    assert "first" in (latch.read(tmp_path) or "")
    assert [path.name for path in tmp_path.iterdir()] == [latch.KILL_FILE]


@pytest.mark.parametrize("content", [b"", b"stop!", b"{}", b"[]", b'{"sentence": 1}', b"\xff" * 9999])
def test_anything_there_counts(tmp_path: Path, content: bytes) -> None:
    """`touch kill` is enough, and so is garbage."""
    (tmp_path / latch.KILL_FILE).write_bytes(content)
    assert latch.read(tmp_path) == latch.BY_HAND


def test_unreadable_counts(tmp_path: Path) -> None:
    """What cannot be read is no permission to quote."""
    (tmp_path / latch.KILL_FILE).mkdir()
    assert "cannot be read" in (latch.read(tmp_path) or "")


@pytest.mark.parametrize("has_writer", [False, True])
def test_a_pipe_of_that_name_counts_and_holds_up_nobody(tmp_path: Path, has_writer: bool) -> None:
    """Whoever looks has more to do than to wait for someone to write into it."""
    path = tmp_path / latch.KILL_FILE
    os.mkfifo(path)
    said: list[str | None] = []
    looking = threading.Thread(target=lambda: said.append(latch.read(tmp_path)), daemon=True)
    writer = os.open(path, os.O_RDWR) if has_writer else None
    looking.start()
    looking.join(LOOK_SECONDS_MAX)
    assert said == [latch.BY_HAND]
    if writer is not None:
        os.close(writer)
    assert latch.clear(tmp_path) == latch.BY_HAND
    assert latch.read(tmp_path) is None


def test_a_link_to_nowhere_counts(tmp_path: Path) -> None:
    """Somebody put it there."""
    (tmp_path / latch.KILL_FILE).symlink_to(tmp_path / "nowhere")
    assert latch.read(tmp_path) == latch.BY_HAND
    latch.clear(tmp_path)
    assert latch.read(tmp_path) is None
