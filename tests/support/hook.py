"""A webhook on loopback that keeps what it is told, and answers as it is asked to."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VARIABLE = "MAKER_TEST_HOOK"
TARGET = f'[alerts.targets.ops]\nkind = "webhook"\nurl_env = "{VARIABLE}"\n'


class Hook:
    """`told` is each message's JSON; `statuses` are answered in turn, then 200; `hangs`: nothing is answered."""

    def __init__(self, *statuses: int, hangs: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.at: list[float] = []
        left, released = list(statuses), threading.Event()
        self.released = released

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805 - `self` is the hook
                body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
                self.at.append(time.monotonic())
                self.told.append(body)
                if hangs:
                    released.wait(60.0)
                handler.send_response(left.pop(0) if left else 200)
                handler.end_headers()

            def log_message(handler, format: str, *args: Any) -> None:  # noqa: A002, N805 - its parent's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/canary"

    def __enter__(self) -> Hook:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def names(self) -> list[str]:
        return [one["name"] for one in self.told]

    def wait(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so much was told."""
        deadline = time.monotonic() + seconds
        while len(self.told) < count:
            assert time.monotonic() < deadline, self.told
            time.sleep(0.01)
