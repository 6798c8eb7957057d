"""One drill's scene: set, faulted, judged from the exchange's record, and brought to its end.

    fault    what the drill does, and how long it took until no quotes rested: timed, some of it alone on the machine
    end      told to stop unless it ends by itself; exit code, result and record must agree, and nothing may rest

A finding says what was measured; what is wrong is said in one sentence, the first one counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.drills.configuration import KEY_ENV, Addresses, DrillConfiguration
from maker.drills.processes import TRADE_KEY, Environment, MakerRun, NotSeen, now_ms, until
from maker.drills.record import Call, Record
from maker.drills.stage import Stage, staged
from maker.errors import MakerError

QUOTE_SECONDS_MAX: Final = 20.0  # from the command to a ladder on either side of every market; 2 s on an idle machine
SEEN_SECONDS_MAX: Final = 10.0  # beyond a limit: a figure is worth more than "not in time"
LASTS_SECONDS: Final = 3.0  # of a fault that lasts: recovering and quoting again takes less than two
OVERTAKE_MS: Final = 20.0  # two connections: a ladder sent before the cancel-all may be seen this much after it
RUN_WORDS: Final = ("--for", "180s")  # longer than any drill: should we be killed, nothing of ours runs on for ever
END_SECONDS_MAX: Final = 60.0  # of a whole run's end, the guard's own tail included

PIPE_BYTES: Final = 65_536  # an ordinary pipe's: enough for the log of a start

CLEAN: Final = 0
FAILED_EMPTY: Final = 70


class DrillFailed(MakerError):
    """What was found wrong, in one sentence."""


class NotQuoting(NotSeen):
    """The configuration does not come to quoting on the practice exchange: nothing can be drilled."""


@attrs.frozen
class Finding:
    """What a drill measured, and how its run is to end."""

    no_quotes_ms: float  # from the fault until nothing rested
    value_ms: float  # what the limit is for
    limit_ms: float
    what: str = "no quotes"  # … and what it is
    ends_with: int | None = None  # the exit code it ends with by itself; None: it runs on and is told to stop
    lasts_from: float | None = None  # the fault goes on: since this unix millisecond nothing may be placed


@attrs.define
class Pipe:
    """Somewhere for a process to write to, which nobody reads until told to."""

    reader: int
    writer: int

    @classmethod
    def opened(cls, stack: contextlib.ExitStack) -> Pipe:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return cls(reader, writer)

    def fill(self) -> None:
        """Leave no room for one more byte."""
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b" ")
        os.set_blocking(self.writer, True)

    def drain(self) -> bytes:
        """Take what is there."""
        os.set_blocking(self.reader, False)
        taken = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.reader, PIPE_BYTES):
                taken += piece
        return taken


@attrs.define(eq=False)
class Scene:
    """A stage with this drill's configuration on it."""

    stage: Stage
    settings: DrillConfiguration
    environment: Environment  # of the maker
    venue_words: Sequence[str]  # of the exchange
    trigger: Path  # a planted failure happens once it is there
    pipes: tuple[Pipe, Pipe] | None = None  # stdout and stderr, where nobody reads them

    @property
    def maker(self) -> MakerRun:
        return self.stage.maker

    @property
    def record(self) -> Record:
        return self.stage.venue.record

    # -- judged from the record

    async def first_cancel(self, since: float, seconds_max: float) -> Call:
        """Wait for the first cancel-all from then on."""

        def look() -> Call | None:
            self.record.refresh()
            return next(iter(self.record.cancels(since)), None)

        return await until(look, seconds_max + SEEN_SECONDS_MAX, "a cancel-all at the exchange")

    async def no_quotes(self, since: float, seconds_max: float) -> float:
        """Wait until nothing rests, and return the milliseconds from `since` on."""

        def look() -> float | None:
            self.record.refresh()
            return self.record.emptied_at(since)

        return await until(look, seconds_max + SEEN_SECONDS_MAX, "nothing rests at the exchange") - since

    async def pulled(
        self, since: float, limit_ms: float, *, ends_with: int | None = None, lasts: bool = False
    ) -> Finding:
        """Find how long quotes rested, by the limit; where the fault lasts, none may come back while it does."""

        def look() -> float | None:
            self.record.refresh()
            return self.record.pulled_at(since)

        seconds_max = limit_ms / 1000 + SEEN_SECONDS_MAX
        rested = await until(look, seconds_max, "a cancel-all, and nothing that rests") - since
        lasts_from = since + rested + OVERTAKE_MS if lasts else None
        return Finding(rested, rested, limit_ms, ends_with=ends_with, lasts_from=lasts_from)

    async def left(self, since: float, limit_ms: float, code: int = CLEAN) -> Finding:
        """Find how long it took until the run had ended, verified: no quotes, and the exit code."""
        ended = await self.ended()
        if ended != code:
            raise DrillFailed(f"the exit code was {ended} instead of {code}: {self.reason}")
        took = now_ms() - since
        return Finding(await self.no_quotes(since, 0.0), took, limit_ms, f"exit {code}, verified", ends_with=code)

    def must_rest(self) -> None:
        """Raise where nothing rests: a drill without quotes proves nothing."""
        self.record.refresh()
        if not self.record.resting():
            raise DrillFailed("nothing rested when the fault came: nothing was proved")

    @property
    def reason(self) -> str:
        """Why the run says that it ended."""
        with contextlib.suppress(NotSeen, ValueError, KeyError):
            return str(self.maker.result["reason"])
        return "it gave no reason"

    # -- the end

    async def ended(self) -> int:
        """Wait for the end of the run, its guard's tail included, and return the exit code."""
        return await self.maker.process.wait(END_SECONDS_MAX)

    async def end(self, finding: Finding) -> None:
        """Bring the run to its end. Raises DrillFailed where exit code, result and record are not as they must be."""
        if finding.lasts_from is not None:
            await trio.sleep(LASTS_SECONDS)
            self.record.refresh()
            if self.record.placed(finding.lasts_from):
                raise DrillFailed("new quotes were placed while the fault lasted")
        if finding.ends_with is None:
            self.maker.process.send(signal.SIGTERM)
        expected = CLEAN if finding.ends_with is None else finding.ends_with
        code = await self.ended()
        await until(lambda: self.maker.has_ended("maker_pid"), END_SECONDS_MAX, "the end of the maker")
        self.record.refresh()
        if resting := self.record.resting():
            raise DrillFailed(f"{len(resting)} orders rest at the end, by the exchange's record")
        if code != expected:
            raise DrillFailed(f"the exit code was {code} instead of {expected}: {self.reason}")
        if code in (CLEAN, FAILED_EMPTY) and self.maker.result["verified_empty"] is not True:
            raise DrillFailed(f"exit {code}, and the result does not say that it was read back empty")


Fault = Callable[[Scene], Awaitable[Finding]]


@attrs.frozen
class Drill:
    """One row of the table."""

    name: str
    fault: Fault
    alone: bool = True  # timed: nothing else starts or measures meanwhile
    tls: bool = False
    planted: str = ""  # what the maker is made to fail of, by `planted`
    deaf: bool = False  # nobody reads stdout and stderr
    keeps_state: bool = False  # the exchange survives a restart
    needs: Callable[[], str] = lambda: ""  # why it cannot be done here, else nothing

    def over_tls(self, needs: Callable[[], str]) -> Drill:
        """The same drill where the exchange speaks TLS."""
        return attrs.evolve(self, name=f"{self.name}_tls", tls=True, needs=needs)


@contextlib.asynccontextmanager
async def set_scene(folder: Path, drill: Drill, settings: DrillConfiguration) -> AsyncIterator[Scene]:
    """Start exchange, proxies and maker, and wait until every market is quoted. Raises NotQuoting."""
    trigger = folder / "trigger"
    entry: Sequence[str] = (
        ("-m", "maker.drills.planted", drill.planted, str(trigger)) if drill.planted else ("-m", "maker")
    )
    words = [*settings.venue_words, "--owner-pid", str(os.getpid())]
    words += ["--state", str(folder / "venue-state.json")] if drill.keeps_state else []
    words += ["--tls-folder", str(folder / "tls")] if drill.tls else []
    environment: Environment = {**({settings.key_env: None} if settings.key_env else {}), KEY_ENV: TRADE_KEY}
    configure = partial(write, folder, drill, settings)
    with contextlib.ExitStack() as stack:
        pipes = (Pipe.opened(stack), Pipe.opened(stack)) if drill.deaf else None
        stdout, stderr = (pipe.writer for pipe in pipes) if pipes else (None, None)
        async with staged(
            folder,
            configure,
            *words,
            environment=environment,
            maker_words=RUN_WORDS,
            entry=entry,
            stdout=stdout,
            stderr=stderr,
        ) as stage:
            try:
                await stage.maker.quoting(seconds=QUOTE_SECONDS_MAX)
            except NotSeen as error:
                raise NotQuoting(str(error)) from error
            yield Scene(stage, settings, environment, words, trigger, pipes)


def write(folder: Path, drill: Drill, settings: DrillConfiguration, exchange_port: int, reference_port: int) -> Path:
    """Write the drill's configuration: the proxies' addresses, by name where names are what is drilled."""
    secure, host = "s" if drill.tls else "", "localhost" if drill.planted == "dns" else "127.0.0.1"
    ca_file = str(folder / "tls" / "authority.pem") if drill.tls else ""
    exchange_url, reference_url = f"http{secure}://{host}:{exchange_port}", f"ws{secure}://127.0.0.1:{reference_port}"
    return settings.write(folder, Addresses(exchange_url, reference_url, ca_file))
