"""A small file that outlives us: newest text, whole or not at all, and nobody waits for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maker.edge import lasting
from maker.edge.lasting import DirectFile, LastingFile

CLOSE_SECONDS = 10.0


@pytest.mark.parametrize("kind", [LastingFile, DirectFile])
def test_the_newest_text_is_there_at_the_end(kind: Callable[[Path], LastingFile], tmp_path: Path) -> None:
    file = kind(tmp_path / "kept")
    for number in range(100):
        file.put(f"text {number}")
    assert file.close(CLOSE_SECONDS)
    assert (tmp_path / "kept").read_text() == "text 99"
    assert os.listdir(tmp_path) == ["kept"], "nothing unfinished is left"


@pytest.mark.parametrize("kind", [LastingFile, DirectFile])
def test_nothing_put_writes_nothing(kind: Callable[[Path], LastingFile], tmp_path: Path) -> None:
    """What an earlier run left is not wiped out."""
    (tmp_path / "kept").write_text("of before")
    assert kind(tmp_path / "kept").close(CLOSE_SECONDS)
    assert (tmp_path / "kept").read_text() == "of before"


@pytest.mark.parametrize("kind", [LastingFile, DirectFile])
def test_a_file_that_cannot_be_written_is_said_and_the_next_text_is_tried(
    kind: Callable[[Path], LastingFile], tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    file = kind(folder / "kept")
    file.put("one")
    deadline = time.monotonic() + CLOSE_SECONDS
    while not file.failed and time.monotonic() < deadline:
        time.sleep(0.001)
    assert file.failed == "kept cannot be written: No such file or directory"
    folder.mkdir()
    file.put("two")
    assert file.close(CLOSE_SECONDS)
    assert (folder / "kept").read_text() == "two"


def test_a_disk_that_stands_still_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H17, S10: neither `put` nor, beyond its deadline, `close`; what was put meanwhile is one text, not a queue."""
    goes_on, written = threading.Event(), list[str]()

    def slow(_path: Path, text: str) -> str:
        goes_on.wait()
        written.append(text)
        return ""

    monkeypatch.setattr(lasting, "write_whole", slow)
    file = LastingFile(tmp_path / "kept")
    for number in range(1000):
        file.put(str(number))
    assert not file.close(0.01)
    assert written == []
    goes_on.set()
    file.writer.join(CLOSE_SECONDS)
    assert written[-1] == "999"
    assert len(written) <= 2


def test_a_crash_while_writing_leaves_the_text_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S16: the file is moved into place when its text is on the disk, not before."""
    file = DirectFile(tmp_path / "kept")
    file.put("one")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    file.put("two")
    assert file.failed == "kept cannot be written: No space left on device"
    assert (tmp_path / "kept").read_text() == "one"
