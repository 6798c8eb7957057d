"""Threads for what may hang: run beside us, or left undone and said."""

from __future__ import annotations

import json
import threading

import pytest

from maker.launch.threads import in_thread

WAIT_SECONDS_MAX = 20.0


def test_it_runs_beside_us() -> None:
    done = threading.Event()
    thread = in_thread(done.set)
    assert thread is not None
    thread.join(WAIT_SECONDS_MAX)
    assert done.is_set()
    assert thread.daemon, "one that hangs holds no exit"


def test_where_none_is_to_be_had_it_is_left_undone_and_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    assert in_thread(done.set) is None
    assert not done.is_set()
    assert json.loads(capfd.readouterr().err)["event"] == "no thread"
