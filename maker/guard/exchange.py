"""What the guard says to the exchange: cancel-all and "what rests", each on a fresh connection with a total deadline.

Blocking sockets, one thread, an alarm: an answer that drips, a handshake that hangs or a peer that is gone all end at
the deadline. Addresses are looked up ahead (H12). `pull` repeats until the exchange reads empty, or time is up.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

ORDERS, CANCEL_ALL, BULK = "/perps/orders", "/perps/orders/cancel-all", "/perps/quotes/bulk"  # as maker.wire.ocx
GONE = frozenset({"filled", "cancelled", "canceled", "rejected", "expired"})  # ASSUMED: a row may state its end
CALL_SECONDS_MAX = 2.0  # connecting and the whole answer; more is repeated on a new connection
CONNECT_SECONDS_MAX = 1.0  # one address; then the next
LOOK_UP_SECONDS_MAX = 3.0
ANSWER_BYTES_MAX = 1 << 22  # ten thousand open orders
TAIL_SECONDS = (0.0, 0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # when to cancel again: a ladder may land late
READ_GAP_SECONDS = 0.3  # between the two empty reads
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.1, 2.0  # after trouble, doubled from one to the other


class NoAnswer(Exception):
    """Nothing to be believed came back: the call may or may not have had its effect."""

    status = 0
    wait_seconds = 0.0


class Refused(NoAnswer):
    """An answer that is no acknowledgement; `wait_seconds` is what the exchange asks for."""

    def __init__(self, what: str, status: int, wait_seconds: float) -> None:
        super().__init__(f"{what} was answered {status}")
        self.status, self.wait_seconds = status, wait_seconds


class Pulled(NamedTuple):
    """How far `pull` came."""

    verified_empty: bool
    open_orders: int | None  # by the last read; None: never read
    cancels: int  # acknowledged
    trouble: str  # the last one; "" when there was none


class Exchange:
    """One account at one address. Neither the key nor a request is ever shown."""

    def __init__(self, base_url: str, key: str, ca_file: str = "") -> None:
        parts = urlsplit(base_url)
        self.host, self.path = parts.hostname or "", parts.path.rstrip("/")
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.tls = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
        self.headers = {"x-api-key": key, "content-type": "application/json", "connection": "close"}
        self.addresses: list[tuple[Any, ...]] = []

    def look_up(self, wait_seconds: float = LOOK_UP_SECONDS_MAX) -> bool:
        """Look the name up in a thread that may hang, and say whether there is an address; the last good ones stay."""

        def run() -> None:
            with contextlib.suppress(OSError, UnicodeError):
                self.addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM) or self.addresses

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(wait_seconds)
        return bool(self.addresses)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Make one call on a fresh connection and return the body of its 2xx. Raises NoAnswer, Refused among it."""
        text = None if body is None else json.dumps(body)
        try:
            with within(CALL_SECONDS_MAX), contextlib.ExitStack() as stack:
                connection = http.client.HTTPConnection(self.host, self.port)
                connection.sock = stack.enter_context(self.connect())
                connection.request(method, self.path + path, text, self.headers)
                with connection.getresponse() as answer:
                    content = answer.read(ANSWER_BYTES_MAX)
                if 200 <= answer.status < 300:
                    return content
                raise Refused(f"{method} {path}", answer.status, asked_to_wait(answer.headers, content))
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise NoAnswer(f"{type(problem).__name__}: {problem}") from None

    def connect(self) -> socket.socket:
        """Connect to the first address that takes us. Raises OSError."""
        problem: OSError = OSError(f"no address for {self.host} is known")
        for family, kind, protocol, _name, address in self.addresses:
            raw = socket.socket(family, kind, protocol)
            try:
                raw.settimeout(CONNECT_SECONDS_MAX)
                raw.connect(address)
                raw.settimeout(None)  # from here on the alarm is the deadline: a timeout would be one a read
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self.tls.wrap_socket(raw, server_hostname=self.host) if self.tls else raw
            except OSError as error:
                raw.close()
                problem = error
            except BaseException:
                raw.close()
                raise
        raise problem

    def cancel_all(self, scope: dict[str, str] | None = None) -> None:
        """Cancel everything, or one scope: returns when acknowledged. Raises NoAnswer."""
        self.call("POST", CANCEL_ALL, scope or {})

    def open_orders(self) -> list[dict[str, Any]]:
        """Return what rests on the whole account. Raises NoAnswer for anything but a list that can be believed."""
        try:
            found = json.loads(self.call("GET", ORDERS))
        except (ValueError, RecursionError):
            found = None
        rows = found.get("orders") if isinstance(found, dict) else found
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NoAnswer("open orders were answered with no list of them")
        return [row for row in rows if str(row.get("status", "")).lower() not in GONE]

    def other_routes(self) -> bool:
        """Cancel by market, then by order, then with empty ladders, as long as something rests; say if one worked.

        For an exchange that refuses the unscoped cancel-all or does not follow it. Raises NoAnswer for the reads.
        """
        worked = False
        for route in ("marketId", "clientOrderId", BULK):
            field = "marketId" if route == BULK else route
            for value in sorted({str(row[field]) for row in self.open_orders() if row.get(field)}):
                with contextlib.suppress(NoAnswer):
                    if route == BULK:  # ASSUMED: an atomic replace by nothing takes all quotes of the market
                        ladder = {"quoteId": f"guard-{os.urandom(8).hex()}", "cancelAll": True, "quotes": []}
                        self.call("POST", BULK, {field: value, **ladder})
                    else:
                        self.cancel_all({field: value})
                    worked = True
        return worked


def asked_to_wait(headers: Message, body: bytes) -> float:
    """Return the seconds a refusal asks for, by Retry-After or `retryAfterMs`; 0 when it does not say."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return max(0.0, float(json.loads(body).get("retryAfterMs")) / 1000)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, float(headers.get("retry-after") or ""))
    return 0.0


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound what blocks, in total. Main thread only; raises NoAnswer where it blocks."""

    def late(_number: int, _frame: object) -> NoReturn:
        raise NoAnswer(f"no whole answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def pull(exchange: Exchange, tail_seconds: float, give_up_seconds: float, first: Callable[[], object]) -> Pulled:
    """Cancel everything, again through the tail, until two reads are empty after it; give up when time is up.

    A write whose answer nobody saw may land late, so empty reads before the tail's end prove nothing. `first` is
    called once, after the first attempt: whatever else there is to do comes behind it.
    """
    began = seconds_now()
    due = [at for at in TAIL_SECONDS if at < tail_seconds] + [tail_seconds]
    left: int | None = None
    cancels, pause, trouble = 0, PAUSE_SECONDS_MIN, ""
    while (elapsed := seconds_now() - began) < give_up_seconds:
        if due and elapsed < due[0]:
            time.sleep(min(due[0], give_up_seconds) - elapsed)
            continue
        asked_seconds = 0.0
        try:
            if due:
                exchange.cancel_all()
                cancels, due, pause = cancels + 1, [at for at in due if at > elapsed], PAUSE_SECONDS_MIN
                first()
                first = bool
                continue
            left = read_back(exchange)
            if not left:
                return Pulled(True, 0, cancels, trouble)
            trouble = f"{left} orders rest after an acknowledged cancel-all"
            exchange.other_routes()
            due = [elapsed]
        except NoAnswer as problem:
            trouble, asked_seconds = str(problem), problem.wait_seconds
            if problem.status not in (0, 429):  # it answers, but not to this; at 429 only waiting helps
                with contextlib.suppress(NoAnswer):
                    if exchange.other_routes():
                        cancels, due = cancels + 1, [at for at in due if at > elapsed]
        first()
        first = bool
        time.sleep(max(0.0, min(max(pause, asked_seconds), began + give_up_seconds - seconds_now())))
        pause = min(pause * 2, PAUSE_SECONDS_MAX)
    return Pulled(False, left, cancels, trouble)


def read_back(exchange: Exchange) -> int:
    """Return how many orders rest; 0 only when two reads, a moment apart, both say so. Raises NoAnswer."""
    left = len(exchange.open_orders())
    if not left:
        time.sleep(READ_GAP_SECONDS)
        left = len(exchange.open_orders())
    return left


def seconds_now() -> float:
    """Return seconds on the clock that also counts suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
