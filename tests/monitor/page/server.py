"""A monitor that plays made-up views to the page: for tests, and for whoever works on the page.

    .venv/bin/python -m tests.monitor.page.server [--port 8790] [SCENARIO]

It serves the page's own files as the monitor does, with the policy that the page must live under.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.edge.http_listener import serve_tcp
from maker.edge.http_messages import Answer, EventStreamResponse, Request, Response, Send
from maker.wire import live
from tests.monitor.page.scenarios import SCENARIOS
from tests.monitor.page.views import (
    ACCOUNT,
    BTC,
    ETH,
    HUGE,
    TINY,
    Listed,
    View,
    fills,
    history,
    state,
    twenty,
    view,
)

PAGE: Final = Path(__file__).resolve().parents[3] / "maker" / "monitor" / "page"
POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
TOKEN: Final = "a-token-of-the-test"
WALKS: Final[dict[str, list[Listed]]] = {"one_market": [BTC], "twenty_markets": twenty(), "huge_and_tiny": [HUGE, TINY]}


@attrs.define
class Played:
    """What is played and what was asked. All of it may be changed while it is served."""

    scenario: str = "quoting"
    seconds: float = 1.0  # between two views
    silent: bool = False  # the stream stays open and says nothing
    broken: bool = False  # every request but those for files is answered 503
    garbage: bool = False  # what comes is no view
    hold: trio.Event | None = None  # a kill is answered once this is set
    killed_at: float | None = None  # unix seconds
    asked: list[Request] = attrs.field(factory=list)
    streams: int = 0  # open now
    streams_most: int = 0
    change: Callable[[View], None] | None = None  # a last word on each view
    wake: trio.Event = attrs.field(factory=trio.Event)

    def view(self) -> View:
        """What is told now."""
        now = time.time()
        told = SCENARIOS[self.scenario](now)
        if self.killed_at is not None:
            at = self.killed_at
            gone = state(
                (BTC, ETH),
                now,
                state="ending",
                sentence="killed; read back empty",
                pulled_at=at + 0.01,
                verified_empty_at=at + 0.6,
            )
            told = view(gone, now, latched="the kill button, by 127.0.0.1")
        if self.change is not None:
            self.change(told)
        return told

    def state(self) -> live.State | None:
        told = SCENARIOS[self.scenario](time.time())["state"]
        return None if told is None else live.decode(json.dumps(told).encode())

    def end_streams(self) -> None:
        """Close every open stream, as a monitor that ends does."""
        self.wake.set()
        self.wake = trio.Event()

    async def tell(self, send: Send) -> None:
        """Send views until told to end."""
        self.streams += 1
        self.streams_most = max(self.streams_most, self.streams)
        wake = self.wake
        try:
            while not wake.is_set():
                if self.garbage:
                    await send(b"event: view\ndata: {{{\n\n")
                elif not self.silent:
                    await send(b"event: view\ndata: " + json.dumps(self.view()).encode() + b"\n\n")
                with trio.move_on_after(self.seconds):
                    await wake.wait()
        finally:
            self.streams -= 1

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path == "/events" and request.method == "GET" and not self.broken:
            return EventStreamResponse(self.tell)
        if request.method == "POST" and request.path == "/kill" and not self.broken:
            if self.hold is not None:
                await self.hold.wait()
            return self.kill(request)
        name = "index.html" if request.path == "/" else request.path.removeprefix("/")
        path = PAGE / name
        if request.method in {"GET", "HEAD"} and path.parent == PAGE and path.is_file():
            return answered(200, path.read_bytes(), TYPES[path.suffix])
        if self.broken:
            return told(503, {"sentence": "broken for a test"})
        if request.path == "/history":
            listed = WALKS.get(self.scenario, [BTC, ETH])
            seconds = float(request.query["seconds"])
            known = self.state()
            if known is not None:
                listed = listed[: len(known.markets)]
            return told(200, history(known, listed, time.time(), seconds))
        if request.path == "/fills":
            return told(200, fills(self.state(), request.query["market"], time.time(), int(request.query["limit"])))
        return told(404, {"sentence": "no such thing"})

    def kill(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return told(401, {"sentence": "This is not the token: nothing was done."})
        if json.loads(request.body) != {"confirm": ACCOUNT}:
            return told(409, {"sentence": f"The account is {ACCOUNT}: nothing was done."})
        self.killed_at = time.time()
        return told(200, {"sentence": "The kill file is written: guard and maker obey it"})


def answered(status: int, body: bytes, kind: str) -> Response:
    headers = (
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    )
    return Response(status, headers, body)


def told(status: int, value: View) -> Response:
    return answered(status, json.dumps(value).encode(), "application/json")


def failed(sentence: str, error: BaseException) -> None:
    raise AssertionError(sentence) from error


async def serve(played: Played, port: int = 0, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the page until cancelled; the port is the started value."""
    await serve_tcp(port, played.answer, report=failed, task_status=task_status)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the monitor's page with made-up views.")
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("scenario", nargs="?", default="quoting", choices=sorted(SCENARIOS))
    chosen = parser.parse_args()
    sys.stderr.write(
        f"http://127.0.0.1:{chosen.port}/ shows {chosen.scenario}; the token is {TOKEN}, the account {ACCOUNT}\n"
    )
    trio.run(functools.partial(serve, Played(scenario=chosen.scenario), chosen.port))


if __name__ == "__main__":
    main()
