"""The guard in virtual time: its decisions are the real ones (`maker.guard`, `maker.launch.report`), its hands are not.

It watches the maker by the link, passes signals on, kills what must be killed, and afterwards pulls on fresh
connections of its own until the exchange reads empty, as the parent process does.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import h11
import trio

from maker.errors import ExitCode
from maker.guard import exchange as guard
from maker.guard.watch import Judge
from maker.launch import latch, report
from maker.launch.reloading import DENIED, Keys, Reloading, Report, State
from maker.storms import record as r
from maker.storms.machine import Clocks, Port
from maker.storms.reloads import Shelf
from maker.storms.site import HTTP, Site
from maker.storms.wires import ClientEnd

PIDFD_SECONDS: Final = 0.001  # to notice a death, and to get going


@attrs.define(eq=False)
class Warden:
    """One run's guard."""

    site: Site
    clocks: Clocks
    link: Port
    folder: Path
    keys: Keys
    tail_seconds: float
    give_up_seconds: float
    hang_seconds_max: float
    seed: int
    kill: Callable[[str], None]  # the maker's process, for this reason
    deliver: Callable[[int], None]  # a signal to the maker
    judge: Judge = attrs.field(init=False)
    shelf: Shelf | None = None  # where the key is read again; None: nobody asks for a reload
    reloading: Reloading = attrs.field(init=False)
    reload_asked: bool = False  # by a signal
    reported: Callable[[Report], None] = lambda _report: None  # told what came of a reload
    told: Report | None = None
    ended: trio.Event = attrs.field(factory=trio.Event)  # the maker's process is gone
    result: bytes = b""
    exit_code: int = -9
    killed_for: str = ""
    alive: bool = True
    signals: list[int] = attrs.field(factory=list)  # told to the parent process, to be passed on
    done: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.reloading = Reloading(self.keys)

    async def run(self) -> None:
        """Watch, then finish what the maker could not."""
        self.judge = Judge(self.hang_seconds_max, self.clocks.boot())
        slept = self.clocks.slept
        while not self.ended.is_set():
            if not self.alive:
                await self.ended.wait()  # nobody is left to watch, or to pull
                if self.exit_code != ExitCode.UNVERIFIED:  # else the unit's ExecStopPost is left, which is not here
                    self.site.record.add(r.Exited(at=trio.current_time(), code=self.exit_code, incident=False))
                self.done.set()
                return
            self.hear()
            now = self.clocks.boot()
            trouble = self.judge.trouble(now, self.clocks.slept - slept)
            if trouble:
                self.killed_for = trouble
                self.kill(trouble)
                break
            told, self.signals = self.signals, []
            for number in self.judge.told(told, latch.read(self.folder) is not None, now):
                self.deliver(number)
            if self.shelf is not None:
                self.tend(self.shelf)
            with trio.move_on_after(self.judge.look_seconds(self.clocks.boot())):
                await self.link.stirred.wait()
        await trio.sleep(PIDFD_SECONDS)
        await self.conclude()
        self.done.set()

    def hear(self) -> None:
        """Take every heartbeat that is there, and answer it."""
        try:
            while data := self.link.recv(4096):
                if self.shelf is not None and self.reloading.answered(data, self.clocks.boot()):
                    continue
                first = not self.judge.beat
                answer = self.judge.heard(data, self.clocks.boot())
                if answer:
                    if first:
                        self.site.record.add(r.Armed(at=trio.current_time()))
                    self.link.send(answer)
        except BlockingIOError:
            return
        except OSError:
            pass
        self.judge.hung_up(self.clocks.boot())

    def tend(self, shelf: Shelf) -> None:
        """Go on with a reload, as `maker.launch.conductor` does."""
        now = self.clocks.boot()
        if self.reload_asked or self.reloading.again:
            self.reload_asked = False
            if self.reloading.asked(now):
                self.site.start_soon(self.try_key, shelf, self.reloading.number)
        self.reloading.look(now)
        report = self.reloading.report
        if report is not None and report is not self.told:
            self.told = report
            self.site.record.add(r.Reported(at=trio.current_time(), ok=report.ok, sentence=report.sentence))
            self.reported(report)

    async def try_key(self, shelf: Shelf, number: int) -> None:
        """Read the key, try another one by one read, and ask the maker."""
        kept, problem = shelf.kept, ""
        if kept.secret != self.keys.first.secret:
            try:
                await self.call_with(kept.secret, guard.Call("GET", guard.ORDERS))
            except guard.NoAnswer as error:
                problem = str(error)
        if self.reloading.state is not State.READING or self.reloading.number != number or self.ended.is_set():
            return
        problem = problem or self.reloading.unfit(kept)
        if problem:
            self.reloading.problem(problem, self.clocks.boot())
        else:
            with contextlib.suppress(OSError):
                self.link.send(self.reloading.found(kept))
        self.link.stir()

    async def conclude(self) -> None:
        """Pull what a maker may have left that did not prove its end."""
        ended = self.judge.ended(self.result, self.killed_for)
        verdict = report.judge(ended, self.exit_code, self.tail_seconds, self.clocks.boot())
        code = verdict.report.exit_code
        if verdict.pulls:
            began = self.clocks.boot()
            pulled = await self.pull(verdict.tail_seconds)
            self.site.record.add(r.GuardPulled(at=trio.current_time(), verified_empty=pulled.verified_empty))
            code = report.after_pull(verdict, pulled, self.clocks.boot() - began)[0].exit_code
        self.site.record.add(r.Exited(at=trio.current_time(), code=code, incident=verdict.pulls))

    async def pull(self, tail_seconds: float) -> guard.Pulled:
        """Carry out the guard's steps."""
        rng = random.Random(f"guard:{self.seed}")
        steps = guard.pulling(tail_seconds, self.give_up_seconds, bool, self.clocks.boot, rng.randbytes)
        try:
            step = next(steps)
            while True:
                if isinstance(step, guard.Call):
                    try:
                        body = await self.call(step)
                    except guard.NoAnswer as problem:
                        step = steps.throw(problem)
                    else:
                        step = steps.send(body)
                else:
                    await trio.sleep(step)
                    step = next(steps)
        except StopIteration as last:
            pulled = last.value
            assert isinstance(pulled, guard.Pulled), "the steps end with how far they came"
            return pulled

    async def call(self, step: guard.Call) -> bytes:
        """Make one call, by whichever key is not refused: as `maker.launch.reloading.Rotating`. Raises NoAnswer."""
        *others, last = list(self.keys.held)
        for one in others:
            try:
                return await self.call_with(one.secret, step)
            except guard.Refused as problem:
                if problem.status not in DENIED:
                    raise
        return await self.call_with(last.secret, step)

    async def call_with(self, secret: str, step: guard.Call) -> bytes:
        """Make one call on a fresh connection. Raises NoAnswer."""
        what = f"{step.method} {step.path}"
        with trio.move_on_after(guard.CALL_SECONDS_MAX):
            try:
                status, headers, content = await self.ask(secret, step)
            except (OSError, trio.BrokenResourceError, h11.ProtocolError) as problem:
                raise guard.NoAnswer(f"{type(problem).__name__}: {problem}") from None
            return guard.believed(what, status, headers.get("retry-after", ""), content)
        raise guard.NoAnswer(f"no whole answer within {guard.CALL_SECONDS_MAX:g} s")

    async def ask(self, secret: str, step: guard.Call) -> tuple[int, dict[str, str], bytes]:
        """Ask on a connection of its own, and take the whole answer. Raises OSError, h11.ProtocolError."""
        connecting = trio.current_time() + guard.CONNECT_SECONDS_MAX
        with trio.CancelScope(deadline=connecting) as scope:
            end = await self.site.dial(r.GUARD, HTTP)
            scope.deadline = float("inf")
            try:
                return await self.answer(end, secret, step)
            finally:
                end.close()
        raise OSError("no connection in time")

    async def answer(self, end: ClientEnd, secret: str, step: guard.Call) -> tuple[int, dict[str, str], bytes]:
        body = b"" if step.body is None else json.dumps(step.body).encode()
        lines = [
            f"{step.method} {step.path} HTTP/1.1",
            "host: ocx.test",
            f"x-api-key: {secret}",
            "content-type: application/json",
            "connection: close",
            f"content-length: {len(body)}",
        ]
        if not end.send_nowait("\r\n".join(lines).encode() + b"\r\n\r\n" + body):
            raise OSError("the connection took no byte")
        parser, content = h11.Connection(h11.CLIENT), bytearray()
        parser.send(h11.Request(method=step.method, target=step.path, headers=[("host", "ocx.test")]))
        parser.send(h11.EndOfMessage())
        status, headers = 0, dict[str, str]()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await end.receive_some())
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                return status, headers, bytes(content)
