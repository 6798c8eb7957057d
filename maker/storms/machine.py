"""The maker's machine in the storm: its clocks, its signals, its link to the guard, its chance; all by hand."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import attrs
import structlog
import trio

from maker.app.host import Host
from maker.app.record import Recorder
from maker.app.reload_rules import Change
from maker.desk.deadman import Trip
from maker.desk.events import PlaceLadder
from maker.edge.endpoint import Endpoint
from maker.edge.http_messages import Moment
from maker.edge.journal import MemoryJournal
from maker.edge.lane import Connection, NotSent
from maker.edge.lasting import DirectFile
from maker.storms import record as r
from maker.storms.site import HTTP, Site

BOOT_SECONDS: Final = 1_000.0  # on the machine's clock when the world begins
UNIX_SECONDS: Final = 1_790_000_000.0
SIGNALS_MAX: Final = 16  # not yet taken


@attrs.define
class Clocks:
    """The machine's clocks, and the exchange's. Seconds."""

    slept: float = 0.0  # suspended: BOOTTIME goes on, MONOTONIC stands still
    set_wrong: float = 0.0  # by which the machine's wall clock is wrong

    def boot(self) -> float:
        return BOOT_SECONDS + trio.current_time() + self.slept

    def monotonic(self) -> float:
        return BOOT_SECONDS + trio.current_time()

    def wall(self) -> float:
        return UNIX_SECONDS + trio.current_time() + self.slept + self.set_wrong

    def exchange(self) -> Moment:
        """The exchange's own, which nobody sets or stops."""
        passed = trio.current_time() + self.slept
        return Moment(UNIX_SECONDS + passed, BOOT_SECONDS + passed)


@attrs.define(eq=False)
class Port:
    """One end of the link between guard and maker: whole messages, as a socket of the kind SEQPACKET."""

    peer: Port | None = None
    inbox: deque[bytes] = attrs.field(factory=deque)
    closed: bool = False
    frozen: bool = False  # its process stands still
    shut: bool = False  # its sending side alone is closed: the peer reads the end
    stirred: trio.Event = attrs.field(factory=trio.Event)
    said: Callable[[bytes], None] = lambda _data: None  # told of each message

    def send(self, data: bytes) -> int:
        assert self.peer is not None
        if self.closed or self.peer.closed or self.shut:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if self.frozen:
            raise BlockingIOError(errno.EAGAIN, "its process stands still")
        self.said(data)
        self.peer.inbox.append(data)
        self.peer.stir()
        return len(data)

    def recv(self, _bytes_max: int) -> bytes:
        """Return the next message, b"" at the end; raise BlockingIOError where there is none yet."""
        assert self.peer is not None
        if self.inbox:
            return self.inbox.popleft()
        if self.closed or self.peer.closed or self.peer.shut:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing yet")

    def close(self) -> None:
        self.closed = True
        self.stir()
        if self.peer is not None:
            self.peer.stir()

    def stir(self) -> None:
        self.stirred.set()
        self.stirred = trio.Event()

    async def readable(self) -> None:
        """Return when a message, or the end, is there."""
        assert self.peer is not None
        while not (self.inbox or self.closed or self.peer.closed or self.peer.shut):
            await self.stirred.wait()
        await trio.lowlevel.checkpoint()

    @classmethod
    def pair(cls) -> tuple[Port, Port]:
        one, other = cls(), cls()
        one.peer, other.peer = other, one
        return one, other


@attrs.frozen
class StormEndpoint(Endpoint):
    """The exchange's place: a dial leads into the site."""

    site: Site = attrs.field(kw_only=True)

    async def dial(self) -> Connection:
        try:
            return await self.site.dial(r.MAKER, HTTP)
        except OSError as error:
            raise NotSent(f"cannot connect to {self.host}: {error}") from error


@attrs.define(eq=False)
class Machine:
    """Everything the maker asks its machine for."""

    site: Site
    seed: int
    clocks: Clocks
    told: trio.MemorySendChannel[int] = attrs.field(init=False)
    signals: trio.MemoryReceiveChannel[int] = attrs.field(init=False)
    link: Port = attrs.field(init=False)  # the maker's end
    guard_link: Port = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.told, self.signals = trio.open_memory_channel[int](SIGNALS_MAX)
        self.link, self.guard_link = Port.pair()

    async def resolve(self, base_url: str, _tls: object = None, *, last_good: Endpoint | None = None) -> Endpoint:
        await trio.lowlevel.checkpoint()
        if last_good is not None:
            return last_good
        address = ((socket.AF_INET, ("192.0.2.1", 80)),)
        return StormEndpoint(base_url.partition("://")[2], 80, None, "", address, site=self.site)

    @contextlib.contextmanager
    def receive_signals(self) -> Iterator[AsyncIterator[int]]:
        yield self.signals

    def host(self) -> Host:
        """What is handed to the supervisor."""
        return Host(
            boot=self.clocks.boot,
            monotonic=self.clocks.monotonic,
            wall=self.clocks.wall,
            random=lambda: random.Random(f"maker:{self.seed}"),
            resolve=self.resolve,
            signals=self.receive_signals,
            settle_memory=lambda: None,  # a thousand worlds in one process: nothing of them may stay
            open_link=lambda _descriptor: self.link,
            lasting=DirectFile,
            link_readable=Port.readable,
        )


@attrs.define
class ProbedRecorder(Recorder):
    """The maker's own recorder, whose doors are also the oracle's probes. What a dead process says is not heard."""

    note: Callable[[r.Entry], None] = lambda _entry: None
    lines: list[str] = attrs.field(factory=list)

    def tripped(self, trip: Trip) -> None:
        reason = trip.reason
        self.note(
            r.Tripped(
                at=trio.current_time(),
                reason=reason.name,
                detail=trip.detail,
                recoverable=reason.recoverable,
                latched=reason.latched,
            )
        )
        Recorder.tripped(self, trip)

    def reloaded(self, sha256: str, changed: Sequence[Change], sentence: str) -> None:
        self.note(r.Reloaded(at=trio.current_time()))
        Recorder.reloaded(self, sha256, changed, sentence)

    def info(self, event: str, sentence: str, **fields: object) -> None:
        if event == "resumed":
            self.note(r.Rearmed(at=trio.current_time()))
        Recorder.info(self, event, sentence, **fields)

    def ladder_intended(self, action: PlaceLadder) -> None:
        if self.journal.lost is None:
            self.note(r.Intended(at=trio.current_time(), quote_id=action.quote_id))
        Recorder.ladder_intended(self, action)

    def vitals(self, now: float) -> None:
        """What this process uses is the simulation's."""


def a_recorder(note: Callable[[r.Entry], None], journal: MemoryJournal) -> ProbedRecorder:
    """A recorder whose log is a list of lines."""
    lines: list[str] = []

    def keep(_logger: object, level: str, fields: Any) -> Any:
        if isinstance(error := fields.get("exc_info"), BaseException):  # as the real log has it
            fields["exc_info"] = "".join(traceback.format_exception(error))
        lines.append(
            f"{trio.current_time():.3f} {level} " + " ".join(f"{name}={value}" for name, value in fields.items())
        )
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0))
    return ProbedRecorder(log, journal, note=note, lines=lines)
