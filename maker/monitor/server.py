"""What the monitor answers over HTTP. Only `POST /kill` acts; everything else is read.

    GET  /          the page, and its files
    GET  /events    views as server-sent events, the latest only
    GET  /history   what the charts draw, ?seconds=
    GET  /fills     the latest fills, ?market= and ?limit=
    POST /kill      pulls every quote, with the token
    GET  /metrics   for Prometheus
    GET  /healthz   200 while it quotes, or was asked to stop; else 503, each with its sentence

Journal questions are asked one at a time, in a thread, and an answer serves everybody for a moment: two hundred pages
that are opened at once cost the journal one read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
import trio

from maker.edge.http_messages import Answer, Limits, Request, Response, error_response
from maker.monitor import history, manners, metrics
from maker.monitor.board import Board
from maker.monitor.health import health
from maker.monitor.journal_reads import Unreadable
from maker.monitor.kill import Killer
from maker.monitor.observation import Findings, Observation
from maker.monitor.pages import File

KEPT_SECONDS: Final = 2.0  # for which an answer out of the journal serves
KEPT_MAX: Final = 16  # different questions within that time
JOURNAL_SECONDS_MAX: Final = 8.0  # for one answer, waiting for others included
SPARE_CONNECTIONS: Final = 64  # beside the pages' event streams: for everything that is asked once
JSON: Final = ("Content-Type", "application/json")
TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
READ: Final = frozenset({"GET", "HEAD"})
ALLOWED: Final = {
    "/events": frozenset({"GET"}),
    "/history": READ,
    "/fills": READ,
    "/kill": frozenset({"POST"}),
    "/metrics": READ,
    "/healthz": READ,
}


def limits(clients_max: int) -> Limits:
    """What one connection may use."""
    return Limits(
        head_bytes_max=8 * 1024,
        body_bytes_max=1024,  # of the kill button, the only one that has any
        query_fields_max=8,
        head_seconds_max=5.0,
        idle_seconds_max=30.0,
        request_seconds_max=10.0,
        write_seconds_max=5.0,
        connections_max=clients_max + SPARE_CONNECTIONS,
    )


@attrs.define
class Server:
    """Everything that is answered with; `seen` and `findings` are the latest."""

    files: Mapping[str, File]
    names: frozenset[str]  # ours, as a Host header has them
    board: Board
    killer: Killer
    journal: Path
    seen: Observation | None = None
    findings: Findings = attrs.field(factory=Findings)
    wall: Callable[[], float] = time.time
    kept: dict[tuple[str, ...], tuple[float, bytes]] = attrs.field(factory=dict)  # when, on the loop's clock; answer
    asking: trio.Lock = attrs.field(factory=trio.Lock)

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        file = self.files.get(request.path)
        allowed = READ if file is not None else ALLOWED.get(request.path, frozenset())
        refused = manners.refusal(request, self.names, allowed)
        if refused is not None:
            return manners.mannered(refused)
        if file is not None:
            return manners.mannered(file.answer(request))
        return manners.mannered(await self.answer(request))

    async def answer(self, request: Request) -> Answer:
        match request.path:
            case "/events":
                return self.board.open()
            case "/kill":
                return await self.killer.answer(request)
            case "/metrics":
                return self.metrics()
            case "/healthz":
                return self.health()
            case _:
                return await self.ask_journal(request)

    def metrics(self) -> Response:
        if self.seen is None:
            return NOTHING_YET
        alerts = len(self.findings.alerts)
        body = metrics.text(self.seen, clients=self.board.clients, alerts=alerts)
        return Response(200, (("Content-Type", metrics.CONTENT_TYPE),), body)

    def health(self) -> Response:
        if self.seen is None:
            return NOTHING_YET
        is_well, sentence = health(self.seen)
        return Response(200 if is_well else 503, (TEXT,), f"{sentence}\n".encode())

    async def ask_journal(self, request: Request) -> Response:
        """Answer out of the journal, or out of the last answer to the same question."""
        try:
            question, read = self.question(request)
        except ValueError as wrong:
            return error_response(400, str(wrong))
        with trio.move_on_after(JOURNAL_SECONDS_MAX):
            async with self.asking:
                at, body = self.kept.get(question, (-KEPT_SECONDS, b""))
                if trio.current_time() - at >= KEPT_SECONDS:
                    try:
                        body = msgspec.json.encode(await trio.to_thread.run_sync(read, abandon_on_cancel=True))
                    except Unreadable as problem:
                        return error_response(503, str(problem))
                    self.keep(question, body)
            return Response(200, (JSON,), body)
        return error_response(503, f"the journal was not read within {JOURNAL_SECONDS_MAX:g} s")

    def question(self, request: Request) -> tuple[tuple[str, ...], Callable[[], Any]]:
        """What is asked of the journal, and what reads it. Raises ValueError."""
        if request.path == "/history":
            seconds = manners.number(request.query, "seconds", history.SECONDS_DEFAULT, history.SECONDS_MAX)
            return ("history", str(seconds)), partial(history.history, self.journal, seconds, self.wall())
        limit = manners.number(request.query, "limit", history.FILLS_DEFAULT, history.FILLS_MAX)
        market = request.query.get("market") or None
        read = partial(history.fills, self.journal, market, limit)
        return ("fills", market or "", str(limit)), lambda: {"fills": read()}

    def keep(self, question: tuple[str, ...], body: bytes) -> None:
        now = trio.current_time()
        self.kept = {asked: one for asked, one in self.kept.items() if now - one[0] < KEPT_SECONDS}
        if len(self.kept) < KEPT_MAX:
            self.kept[question] = (now, body)


NOTHING_YET: Final = error_response(503, "the monitor has just begun: nothing has been seen yet")
