"""An exchange for whoever speaks to it with blocking sockets: a thread on loopback that records and does as told."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import attrs

ORDERS, CANCEL_ALL, BULK = "/perps/orders", "/perps/orders/cancel-all", "/perps/quotes/bulk"
HEAD_BYTES_MAX = 1 << 16


class Request(NamedTuple):
    """One request as it arrived."""

    at: float  # seconds of CLOCK_BOOTTIME
    method: str
    path: str
    body: Any
    headers: Mapping[str, str]

    @property
    def is_unscoped(self) -> bool:
        return (self.method, self.path, self.body) == ("POST", CANCEL_ALL, {})


class Say(NamedTuple):
    """An answer to give instead of the true one."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[str, ...] = ()
    drip_seconds: float = 0.0  # a byte each so often
    drop: bool = False  # no answer at all
    hang: bool = False  # nor an end
    applies: bool = False  # the call has its effect all the same


Script = Callable[[Request], Say | None]


@attrs.define(eq=False)
class ScriptedExchange:
    """`with ScriptedExchange() as exchange`: `exchange.url`; `resting` is what rests, `script` may lie."""

    resting: list[dict[str, Any]] = attrs.field(factory=list)
    script: Script = lambda _request: None
    requests: list[Request] = attrs.field(factory=list)
    ended: threading.Event = attrs.field(factory=threading.Event)
    server: socketserver.ThreadingTCPServer = attrs.field(init=False)

    def __enter__(self) -> ScriptedExchange:
        exchange = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                exchange.serve(self)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def calls(self, method: str, path: str) -> list[Request]:
        return [one for one in self.requests if (one.method, one.path) == (method, path)]

    @property
    def cancels(self) -> list[Request]:
        return self.calls("POST", CANCEL_ALL)

    @property
    def reads(self) -> list[Request]:
        return self.calls("GET", ORDERS)

    def serve(self, handler: socketserver.StreamRequestHandler) -> None:
        """One connection, one request."""
        lines: list[str] = []
        while (line := handler.rfile.readline(HEAD_BYTES_MAX).strip()) or not lines:
            if not line:
                return
            lines.append(line.decode())
        method, path, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines[1:])}
        length = int(headers.get("content-length", "0"))
        body = json.loads(handler.rfile.read(length)) if length else None
        request = Request(time.clock_gettime(time.CLOCK_BOOTTIME), method, path, body, headers)
        self.requests.append(request)
        said = self.script(request)
        if said is None or said.applies:
            truth = self.apply(request)
            said = said or truth
        if said.hang:
            self.ended.wait()
        if said.drop or said.hang:
            return
        head = [f"HTTP/1.1 {said.status} Said", f"Content-Length: {len(said.body)}", *said.headers]
        answer = "\r\n".join(head).encode() + b"\r\n\r\n" + said.body
        try:
            if not said.drip_seconds:
                handler.wfile.write(answer)
                return
            for byte in answer:
                handler.wfile.write(bytes([byte]))
                if self.ended.wait(said.drip_seconds):
                    return
        except OSError:  # whoever asked has given up
            return

    def apply(self, request: Request) -> Say:
        """What a healthy exchange does and answers."""
        if (request.method, request.path) == ("GET", ORDERS):
            return Say(body=json.dumps(self.resting).encode())
        scope = request.body if request.path == CANCEL_ALL else {"marketId": request.body["marketId"]}
        gone = [row for row in self.resting if all(row.get(name) == value for name, value in scope.items())]
        self.resting = [row for row in self.resting if row not in gone]
        return Say(body=json.dumps({"cancelled": len(gone)}).encode())


def order(market: str = "BTC-PERP", number: int = 1, prefix: str = "mk") -> dict[str, Any]:
    """One open order as the exchange lists it."""
    return {"id": f"01O{number}", "clientOrderId": f"{prefix}-e-{number}", "marketId": market, "status": "open"}
