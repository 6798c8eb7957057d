"""Start the real programs, wait for what they do, and leave nothing behind.

Everything is told from outside: exit codes, result lines, `run.json`, signals, and the practice exchange's record.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import trio

from maker.app import authority
from maker.drills.record import Record
from maker.errors import MakerError
from maker.launch import settings

TRADE_KEY: Final = "ocx_sk_paper_trade"  # every practice exchange knows it: it is no secret

POLL_SECONDS: Final = 0.02  # between two looks at a condition
START_SECONDS_MAX: Final = 15.0  # from the command to the first quote; 1 s on an idle machine
END_SECONDS_MAX: Final = 40.0  # the parent kills a maker that takes longer than 30 s

T = TypeVar("T")
Environment = Mapping[str, str | None]  # to add to ours; None takes a name away, without a look at its value


class NotSeen(MakerError):
    """What was waited for did not come; the message says what, and what the log said meanwhile."""


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
            raise NotSeen(f"not within {seconds:g} s: {what}")
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
        environment: Environment | None = None,
        *,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Process:
        """Start `python WORDS` in the project's folder and a session of its own; descriptors instead of the files."""
        out, err = folder / f"{name}.out", folder / f"{name}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            popen = subprocess.Popen(
                [sys.executable, *words],
                cwd=settings.PROJECT_FOLDER,
                stdin=subprocess.DEVNULL,
                stdout=out_file if stdout is None else stdout,
                stderr=err_file if stderr is None else stderr,
                start_new_session=True,
                env=changed(os.environ, environment or {}),
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


def changed(environment: Mapping[str, str], changes: Environment) -> dict[str, str]:
    """An environment with some names taken away and others added."""
    kept = {name: value for name, value in environment.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


@attrs.define(eq=False)
class VenueProcess:
    """A practice exchange of our own."""

    process: Process
    port: int
    reference_port: int
    record: Record
    ca_file: str = ""  # of its authority, where it speaks TLS

    def tls(self) -> tuple[ssl.SSLContext, ssl.SSLContext] | tuple[None, None]:
        """What somebody in front of it shows to a client, and trusts in it; None: plain."""
        if not self.ca_file:
            return None, None
        shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        shown.load_cert_chain(Path(self.ca_file).with_name(authority.SERVER_FILE))
        return shown, ssl.create_default_context(cafile=self.ca_file)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: Mapping[str, object], key: str = TRADE_KEY) -> Any:
        """Make one call as somebody else with a key of the account; raises urllib.error.HTTPError."""
        request = urllib.request.Request(  # noqa: S310 - http on this machine
            self.url + path,
            json.dumps(body).encode(),
            {"content-type": "application/json", "x-api-key": key},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())


async def start_venue(
    folder: Path, *words: str, port: int = 0, reference_port: int = 0, environment: Environment | None = None
) -> VenueProcess:
    """Start a venue that records into the folder, and wait until it listens."""
    path = folder / "venue-record.jsonl"
    words = ("-m", "maker", "venue", "--port", str(port), "--reference-port", str(reference_port), *words)
    process = Process.start([*words, "--record", str(path)], folder, f"venue-{time.monotonic_ns()}", environment)

    def ready() -> Any:
        text = process.out.read_text()
        if process.ended:
            raise NotSeen(f"the practice exchange ended: {process.log()[-2000:]}")
        return json.loads(text) if text.endswith("\n") else None

    try:
        said = await until(ready, START_SECONDS_MAX, "the venue's ready line")
    except BaseException:
        process.kill()
        raise
    bound, reference_bound = (int(said[name].rpartition(":")[2]) for name in ("venue_url", "reference_url"))
    return VenueProcess(process, bound, reference_bound, Record(path), said.get("ca_file", ""))


@attrs.define(eq=False)
class MakerRun:
    """`run CONF --json`: the parent, and what it started."""

    process: Process
    folder: Path
    conf: Path
    record: Record
    descriptors: dict[str, int] = attrs.field(factory=dict)  # pidfds: they never mean another process
    status: dict[str, Any] = attrs.field(factory=dict)  # run.json as last seen

    @property
    def result(self) -> dict[str, Any]:
        """The last line on stdout."""
        lines = self.process.out.read_text().splitlines()
        if not lines:
            raise NotSeen(f"nothing on stdout; the log: {self.process.log()[-3000:]}")
        read: dict[str, Any] = json.loads(lines[-1])
        return read

    @property
    def log(self) -> str:
        return self.process.log()

    async def started(self) -> dict[str, Any]:
        """Wait for run.json of this run."""

        def look() -> dict[str, Any] | None:
            if self.process.ended:
                raise NotSeen(f"it ended: {self.process.out.read_text()} {self.log[-3000:]}")
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
        """Wait until every market has a two-sided ladder placed after `since`; return when that was."""
        await self.started()
        markets = settings.load(self.conf)["market"]

        def look() -> float | None:
            self.record.refresh()
            sides = {(line["marketId"], line["side"]): line["t"] for line in reversed(self.record.placed(since))}
            return max(sides.values()) if len(sides) == 2 * len(markets) else None

        return await until(look, seconds, f"every market quoted; the maker's log: {self.log[-3000:]}")

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
            for name in ("maker_pid", "venue_pid", "monitor_pid"):
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
    environment: Environment | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> MakerRun:
    """Start `run`; without a record given, its own practice exchange's."""
    name = f"maker-{time.monotonic_ns()}"
    command = [*entry, "run", str(conf), "--json", *words]
    process = Process.start(command, folder, name, environment, stdout=stdout, stderr=stderr)
    return MakerRun(process, folder, conf, record or Record(folder / "venue-record.jsonl"))


@contextlib.contextmanager
def cleaned(maker: MakerRun) -> Iterator[MakerRun]:
    """End a maker and all it started on leaving."""
    try:
        yield maker
    finally:
        maker.clean_up()
