"""Start the real programs, wait for what they do, and leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import trio

from tests.live.record import Record

PROJECT: Final = Path(__file__).resolve().parents[2]
TRADE_KEY: Final = "ocx_sk_paper_trade"
READ_KEY: Final = "ocx_sk_paper_read"
KEY_ENV: Final = "MAKER_TEST_KEY"
MARKETS: Final = ("BTC-PERP", "ETH-PERP")
SIZE_MIN: Final = {"BTC-PERP": "0.001", "ETH-PERP": "0.01"}

POLL_SECONDS: Final = 0.02  # between two looks at a condition
START_SECONDS_MAX: Final = 15.0  # from the command to the first quote; 1 s on an idle machine
END_SECONDS_MAX: Final = 40.0  # the parent kills a maker that takes longer than 30 s

T = TypeVar("T")
measured: dict[str, float] = {}  # milliseconds by what they are of; shown after the tests


def measure(what: str, milliseconds: float) -> float:
    """Note the longest of a measured time, and return this one."""
    measured[what] = max(milliseconds, measured.get(what, 0.0))
    return milliseconds


def now_ms() -> float:
    """Unix milliseconds, as in the record: same machine, same clock."""
    return time.time() * 1000


async def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """Look until the condition gives something true, and return that; fail after so many seconds."""
    deadline = trio.current_time() + seconds
    while True:
        found = condition()
        if found:
            return found
        if trio.current_time() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        await trio.sleep(POLL_SECONDS)


# -- processes


@attrs.define(eq=False)
class Process:
    """One started process; its output goes to files, so that no pipe can hold it."""

    popen: subprocess.Popen[bytes]
    out: Path
    err: Path

    @classmethod
    def start(
        cls,
        words: Sequence[str],
        folder: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
        *,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Process:
        """Start `python WORDS` in the project's folder and a session of its own; descriptors instead of the files."""
        out, err = folder / f"{name}.out", folder / f"{name}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            popen = subprocess.Popen(
                [sys.executable, *words],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=out_file if stdout is None else stdout,
                stderr=err_file if stderr is None else stderr,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        return cls(popen, out, err)

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    async def wait(self, seconds: float = END_SECONDS_MAX) -> int:
        """Wait for the end and return the exit code."""
        await until(lambda: self.ended, seconds, f"the end of process {self.popen.pid}; its log: {self.log()[-2000:]}")
        return self.popen.returncode

    def log(self) -> str:
        return self.err.read_text(errors="replace")

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@attrs.define(eq=False)
class VenueProcess:
    """A practice exchange of our own."""

    process: Process
    port: int
    reference_port: int
    record: Record

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: Mapping[str, object], key: str = TRADE_KEY) -> Any:
        """Make one call as somebody else with a key of the account; raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"content-type": "application/json", "x-api-key": key},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())


async def start_venue(folder: Path, *words: str, port: int = 0, reference_port: int = 0) -> VenueProcess:
    """Start a venue that records into the folder, and wait until it listens."""
    path = folder / "venue-record.jsonl"
    words = ("-m", "maker", "venue", "--port", str(port), "--reference-port", str(reference_port), *words)
    process = Process.start([*words, "--record", str(path)], folder, f"venue-{time.monotonic_ns()}")

    def ready() -> Any:
        text = process.out.read_text()
        assert not process.ended, process.log()
        return json.loads(text) if text.endswith("\n") else None

    said = await until(ready, START_SECONDS_MAX, "the venue's ready line")
    bound, reference_bound = (int(said[name].rpartition(":")[2]) for name in ("venue_url", "reference_url"))
    return VenueProcess(process, bound, reference_bound, Record(path))


@attrs.define(eq=False)
class MakerRun:
    """`run CONF --json`: the parent, and what it started."""

    process: Process
    folder: Path
    record: Record
    descriptors: dict[str, int] = attrs.field(factory=dict)  # pidfds: they never mean another process
    status: dict[str, Any] = attrs.field(factory=dict)  # run.json as last seen

    @property
    def result(self) -> dict[str, Any]:
        """The last line on stdout."""
        lines = self.process.out.read_text().splitlines()
        assert lines, f"nothing on stdout; the log: {self.process.log()[-3000:]}"
        read: dict[str, Any] = json.loads(lines[-1])
        return read

    @property
    def log(self) -> str:
        return self.process.log()

    async def started(self) -> dict[str, Any]:
        """Wait for run.json of this run."""

        def look() -> dict[str, Any] | None:
            assert not self.process.ended, f"ended: {self.process.out.read_text()} {self.log[-3000:]}"
            with contextlib.suppress(OSError, ValueError):
                self.status = json.loads((self.folder / "run.json").read_text())
            return self.status if self.status.get("guard_pid") == self.process.popen.pid else None

        status = await until(look, START_SECONDS_MAX, "run.json")
        for name in ("maker_pid", "venue_pid"):
            if status[name] is not None:
                with contextlib.suppress(ProcessLookupError):
                    self.descriptors[name] = os.pidfd_open(status[name])
        return status

    async def quoting(self, since: float = 0.0, seconds: float = START_SECONDS_MAX) -> float:
        """Wait until both markets have a two-sided ladder placed after `since`; return when that was."""
        await self.started()

        def look() -> float | None:
            self.record.refresh()
            sides = {(line["marketId"], line["side"]): line["t"] for line in reversed(self.record.placed(since))}
            return max(sides.values()) if len(sides) == 2 * len(MARKETS) else None

        return await until(look, seconds, f"both markets quoted; the maker's log: {self.log[-3000:]}")

    def signal_maker(self, number: int) -> None:
        signal.pidfd_send_signal(self.descriptors["maker_pid"], number)

    def has_ended(self, name: str) -> bool:
        """Whether the process behind a name of run.json has ended."""
        try:
            signal.pidfd_send_signal(self.descriptors[name], 0)
        except ProcessLookupError:
            return True
        return False

    def clean_up(self) -> None:
        """End everything this run started, whatever state it is in."""
        with contextlib.suppress(OSError, ValueError):  # a run that was never waited for
            status = json.loads((self.folder / "run.json").read_text())
            for name in ("maker_pid", "venue_pid"):
                if status["guard_pid"] == self.process.popen.pid and status[name] and name not in self.descriptors:
                    self.descriptors[name] = os.pidfd_open(status[name])
        self.process.kill()
        for descriptor in self.descriptors.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
        self.descriptors.clear()


def start_maker(
    folder: Path,
    conf: Path,
    *words: str,
    record: Record | None = None,
    entry: Sequence[str] = ("-m", "maker"),
    environment: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> MakerRun:
    """Start `run`; without a record given, its own practice exchange's."""
    name = f"maker-{time.monotonic_ns()}"
    command = [*entry, "run", str(conf), "--json", *words]
    process = Process.start(command, folder, name, environment, stdout=stdout, stderr=stderr)
    return MakerRun(process, folder, record or Record(folder / "venue-record.jsonl"))


@contextlib.contextmanager
def cleaned(maker: MakerRun) -> Iterator[MakerRun]:
    """End a maker and all it started on leaving."""
    try:
        yield maker
    finally:
        maker.clean_up()
