"""Jobs on several processes: every one is answered, whatever becomes of the worker that had it."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from maker.storms import workers
from maker.storms.workers import CannotWork, Failure, perform_all
from tests.storms import scripted


def performed(jobs: range, processes: int, seconds_max: float = 30.0) -> dict[int, int | Failure]:
    results: dict[int, int | Failure] = {}

    def done(job: int, result: int | Failure) -> None:
        assert job not in results, "answered twice"
        results[job] = result

    perform_all(scripted.squares, jobs, processes=processes, seconds_max=seconds_max, done=done, going_on=lambda: True)
    assert multiprocessing.active_children() == []
    return results


def test_no_job_is_lost() -> None:
    """One hangs, one kills its worker, one raises: each is named with its reason, and all the others are done."""
    results = performed(range(40), 2, seconds_max=1.0)
    assert sorted(results) == list(range(40))
    failures = {job: result for job, result in results.items() if isinstance(result, Failure)}
    assert sorted(failures) == [scripted.HANGS, scripted.DIES, scripted.RAISES]
    assert failures[scripted.HANGS].sentence == "hung: it did not end within 1 s"
    assert "in perform" in failures[scripted.HANGS].detail, "where it stood"
    assert failures[scripted.DIES].sentence == "its process died with code -9"
    assert failures[scripted.RAISES].sentence == "crashed: ValueError: unlucky"
    assert "Traceback" in failures[scripted.RAISES].detail
    assert all(results[job] == job * job for job in results if job not in failures)


def test_a_worker_whose_watchdog_is_still_is_ended_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped cannot end itself: whoever waits does it."""
    monkeypatch.setattr(workers, "STILL_SECONDS", 0.0)
    results: dict[int, int | Failure] = {}
    perform_all(
        scripted.stopped,
        [1],
        processes=1,
        seconds_max=1.0,
        done=lambda job, result: results.update({job: result}),
        going_on=lambda: True,
    )
    assert isinstance(results[1], Failure)
    assert results[1].sentence.startswith("hung")


def test_workers_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many jobs another process goes on."""
    monkeypatch.setattr(workers, "JOBS_A_WORKER", 3)
    pids: dict[int, int | Failure] = {}
    perform_all(
        scripted.process_ids,
        range(9),
        processes=1,
        seconds_max=30.0,
        done=lambda job, result: pids.update({job: result}),
        going_on=lambda: True,
    )
    assert len(pids) == 9
    assert 3 <= len(set(pids.values())) <= 9
    assert os.getpid() not in pids.values()


def test_told_to_stop_it_leaves_nobody_behind() -> None:
    """What was done is known, and no process is left."""
    results: list[int] = []
    perform_all(
        scripted.squares,
        range(1_000_000),
        processes=2,
        seconds_max=30.0,
        done=lambda job, _result: results.append(job),
        going_on=lambda: not results,
    )
    assert 1 <= len(results) < 1_000_000
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("build", "why"), [(scripted.broken, "no such world"), (scripted.gone, "code 3")])
def test_a_worker_that_cannot_begin_is_said(build: workers.Build[int, int], why: str) -> None:
    """Nothing is tried again and again: no storm can be performed, and the reason is in the message."""
    began = time.monotonic()
    with pytest.raises(CannotWork, match=why):
        perform_all(build, range(9), processes=2, seconds_max=30.0, done=lambda *_answer: None, going_on=lambda: True)
    assert time.monotonic() - began < workers.START_SECONDS_MAX
    assert multiprocessing.active_children() == []
