"""Jobs on every core, none of them lost: a worker that dies, hangs or raises is reported with the job it had.

Processes are spawned, not forked: each begins with nothing of ours but what it is given, and with a hash seed of its
own, so that a result which depends on the order of a set shows. Each builds what it works with once, is then handed
jobs a few at a time, and answers them one by one; so whoever waits knows which job a silent worker is at. A worker
that stands still is ended by its own watchdog, which says where it stood even if nobody waits for it any more.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import signal
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs

CHUNK_MAX: Final = 8  # jobs handed out at once: few enough that no worker has a heap when the others have none
JOBS_A_WORKER: Final = 2_000  # then it is renewed: whatever a storm leaves behind does not grow without end
LOOK_SECONDS: Final = 0.2  # between two looks at the clock and at the wish to stop
START_SECONDS_MAX: Final = 120.0  # to import the application on an overloaded machine; it takes one
UNHEARD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STILL_SECONDS: Final = 10.0  # given to a worker's own watchdog before it is ended from outside
END_SECONDS_MAX: Final = 5.0  # for a killed process to be gone
DETAIL_CHARACTERS_MAX: Final = 4_000  # of a traceback: its end, where the cause is

Job = TypeVar("Job")
Result = TypeVar("Result")
Build = Callable[[], Callable[[Job], Result]]  # called once in each worker; can be pickled


@attrs.frozen
class Failure:
    """A job that came to nothing. The sentence says why, the detail where."""

    sentence: str
    detail: str = ""


class CannotWork(Exception):
    """No worker can be started; the message says why, `detail` where."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


def perform_all(
    build: Build[Job, Result],
    jobs: Iterable[Job],
    *,
    processes: int,
    seconds_max: float,
    done: Callable[[Job, Result | Failure], None],
    going_on: Callable[[], bool],
) -> None:
    """Perform every job, in any order, and return when all are done or `going_on`, asked again and again, says no.

    `seconds_max` is one job's share of real time. Raises CannotWork; in every case no worker is left behind.
    """
    waiting = deque(jobs)
    workers: list[Worker[Job, Result]] = []
    with tempfile.TemporaryDirectory(prefix="maker-storms-") as folder:
        try:
            while going_on() and (waiting or any(worker.jobs for worker in workers)):
                while len(workers) < min(processes, len(waiting)):
                    workers.append(Worker(build, seconds_max, Path(folder)))
                for worker in workers:
                    if worker.ready and not worker.jobs and waiting and worker.given < JOBS_A_WORKER:
                        share = max(1, min(CHUNK_MAX, len(waiting) // (2 * processes)))
                        worker.give([waiting.popleft() for _ in range(min(share, len(waiting)))])
                spoke = connection.wait([worker.pipe for worker in workers], LOOK_SECONDS)
                for worker in list(workers):
                    if worker.hear(done) if worker.pipe in spoke else not worker.overdue():
                        if worker.jobs or worker.given < JOBS_A_WORKER:
                            continue
                        worker.kill()  # it has done its part
                    else:
                        waiting.extendleft(reversed(worker.end(done)))
                    workers.remove(worker)
        finally:
            for worker in workers:
                worker.kill()


@attrs.define(eq=False)
class Worker(Generic[Job, Result]):
    """One process, and what it has been given and has not answered."""

    build: Build[Job, Result]
    seconds_max: float
    folder: Path
    ready: bool = False
    given: int = 0
    jobs: deque[Job] = attrs.field(factory=deque)  # the first is the one it is at
    pipe: Connection[Any, Any] = attrs.field(init=False)
    process: SpawnProcess = attrs.field(init=False)
    stood: Path = attrs.field(init=False)  # where its watchdog writes
    since: float = attrs.field(factory=time.monotonic)  # it last gave a sign of life

    def __attrs_post_init__(self) -> None:
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            self.stood = Path(file.name)
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, self.build, self.seconds_max, self.stood), daemon=True
        )
        with deaf():
            self.process.start()
        theirs.close()

    def give(self, jobs: list[Job]) -> None:
        self.jobs.extend(jobs)
        self.given += len(jobs)
        self.since = time.monotonic()
        try:
            self.pipe.send(jobs)
        except OSError:
            return  # it is dead: the end of its pipe is heard next

    def hear(self, done: Callable[[Job, Result | Failure], None]) -> bool:
        """Take one answer; False: it is dead. Raises CannotWork."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            return False
        self.since = time.monotonic()
        if self.ready:
            done(self.jobs.popleft(), answer)
        elif isinstance(answer, Failure):
            raise CannotWork(answer.sentence, answer.detail)
        self.ready = True
        return True

    def overdue(self) -> bool:
        """Whether it neither worked nor ended itself in time."""
        if self.ready and not self.jobs:
            return False
        seconds_max = self.seconds_max + STILL_SECONDS if self.ready else START_SECONDS_MAX
        return time.monotonic() - self.since > seconds_max

    def end(self, done: Callable[[Job, Result | Failure], None]) -> list[Job]:
        """Report the job it was at, and return those it never began. Raises CannotWork for one that never worked."""
        late = self.overdue()
        if not late:
            self.process.join(END_SECONDS_MAX)  # its pipe has ended before it has
        code = self.process.exitcode
        self.kill()
        if not self.ready:
            how = f"did not start within {START_SECONDS_MAX:g} s" if late else f"ended with code {code} at its start"
            raise CannotWork(f"a worker {how}")
        if not self.jobs:
            return []
        stood = self.stood.read_text(errors="replace")
        if late or stood:
            failure = Failure(f"hung: it did not end within {self.seconds_max:g} s", stood[-DETAIL_CHARACTERS_MAX:])
        else:
            failure = Failure(f"its process died with code {code}")
        done(self.jobs.popleft(), failure)
        return list(self.jobs)

    def kill(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join(END_SECONDS_MAX)


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Start processes that hear no signal but SIGKILL, from their first instruction on.

    A terminal's Ctrl-C is sent to the whole group; who waits for the workers decides what it means for them.
    """
    resource_tracker.ensure_running()  # the standard library's helper, started with the first: it would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(pipe: Connection[Any, Any], build: Build[Job, Result], seconds_max: float, stood: Path) -> None:
    """Be a worker until nobody wants anything any more."""
    try:
        work = build()
    except Exception as error:  # noqa: BLE001 - the top of a process: it ends, and says why
        pipe.send(Failure(f"a worker could not begin: {error!r}", traceback.format_exc()[-DETAIL_CHARACTERS_MAX:]))
        return
    with stood.open("w", encoding="utf-8") as file:
        try:
            pipe.send(None)
            while True:
                for job in pipe.recv():
                    faulthandler.dump_traceback_later(seconds_max, exit=True, file=file)
                    answer = performed(work, job)
                    faulthandler.cancel_dump_traceback_later()
                    pipe.send(answer)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # nobody waits for us any more


def performed(work: Callable[[Job], Result], job: Job) -> Result | Failure:
    try:
        return work(job)
    except Exception as error:  # noqa: BLE001 - the top of one job: it has failed, the others go on
        detail = traceback.format_exc()[-DETAIL_CHARACTERS_MAX:]
        return Failure(f"crashed: {type(error).__name__}: {str(error)[:200]}", detail)
