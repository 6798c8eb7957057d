"""What the guard says to the exchange: cancel-all and "what rests", each on a fresh connection with a total deadline.

`pulling`, and what it is made of, decides in steps: generators that neither call, wait nor look at a clock. `follow`
carries them out by blocking sockets and an alarm, which ends whatever hangs. Addresses are looked up ahead (H12).
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
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

ORDERS, CANCEL_ALL, BULK = "/perps/orders", "/perps/orders/cancel-all", "/perps/quotes/bulk"  # as maker.wire.ocx
GONE = frozenset({"filled", "cancelled", "canceled", "rejected", "expired"})  # ASSUMED: a row may state its end
CALL_SECONDS_MAX = 2.0  # connecting and the whole answer; more is repeated on a new connection
CONNECT_SECONDS_MAX = 1.0  # one address; then the next
LOOK_UP_SECONDS_MAX = 3.0
LOOK_UP_GAP_SECONDS = 10.0  # at least, before a call without an answer looks up again: a look-up may keep its thread
ANSWER_BYTES_MAX = 1 << 22  # ten thousand open orders
TAIL_SECONDS = (0.0, 0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # when to cancel again: a ladder may land late
READ_GAP_SECONDS = 0.3  # between the two empty reads
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.1, 2.0  # after trouble, doubled from one to the other
ASKED_SECONDS_MAX = 60.0  # an exchange may ask for a longer pause, but a window of its rate limit is no longer
LATE_SECONDS_MAX = 0.1  # of a pause on a busy machine, or of a call with each of two keys; more was slept through
LAST_TRY_SECONDS = 2.0  # before it gives up, whatever pause was asked for

Value = TypeVar("Value")


class Call(NamedTuple):
    """One call to be made."""

    method: str
    path: str
    body: dict[str, Any] | None = None


# Whoever carries steps out makes the calls and sends each one's body in, or throws its NoAnswer; a number is a pause.
Steps = Generator[Call | float, bytes, Value]


class NoAnswer(Exception):
    """Nothing to be believed came back: the call may or may not have had its effect."""

    status, wait_seconds = 0, 0.0


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
        self.first: tuple[Any, ...] = ()  # the one of them that the next call begins with
        self.after_this: tuple[Any, ...] = ()  # the one after an address that took us and has not answered yet
        self.looked_up_at = float("-inf")  # when the last look-up began, whoever wanted it
        self.date = ""  # the exchange's clock at its last answer, as HTTP spells it
        self.silent_seconds_max: float | None = None  # of each read, for `attempt`; `call` has an alarm for all of them

    def look_up(self, wait_seconds: float = LOOK_UP_SECONDS_MAX) -> bool:
        """Look the name up in a thread that may hang, and say whether there is an address; the last good ones stay."""

        def run() -> None:
            with contextlib.suppress(OSError, UnicodeError):
                self.addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM) or self.addresses

        self.looked_up_at = seconds_now()
        with contextlib.suppress(RuntimeError):  # no thread is to be had now
            (thread := threading.Thread(target=run, daemon=True)).start()
            thread.join(wait_seconds)
        return bool(self.addresses)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Make one call on a fresh connection and return the body of its 2xx. Raises NoAnswer, Refused among it."""
        try:
            with within(CALL_SECONDS_MAX):
                return self.attempt(method, path, body)
        except NoAnswer as problem:
            if not problem.status and seconds_now() - self.looked_up_at >= LOOK_UP_GAP_SECONDS:
                self.look_up(0.0)  # it may be at another address by now: for a later call, and nobody waits for it
            raise

    def attempt(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """As `call`, without its alarm, which only the main thread has. Raises NoAnswer."""
        try:
            with contextlib.closing(http.client.HTTPConnection(self.host, self.port)) as connection:
                connection.sock = self.connect()
                connection.request(method, self.path + path, None if body is None else json.dumps(body), self.headers)
                with connection.getresponse() as answer:
                    content = answer.read(ANSWER_BYTES_MAX)
                self.after_this = ()
                self.date = answer.headers.get("date") or ""
                return believed(f"{method} {path}", answer.status, answer.headers.get("retry-after") or "", content)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            said = problem if isinstance(problem, OSError) else "not HTTP/1.1"  # http.client quotes what may echo us
            raise NoAnswer(f"{type(problem).__name__}: {said}") from None

    def connect(self) -> socket.socket:
        """Connect to an address: the last that took us and answered is the first, else the next. Raises OSError."""
        problem = OSError(f"no address for {self.host} is known")
        self.first, self.after_this = self.after_this or self.first, ()
        known = self.addresses  # a look-up may replace the list meanwhile, but changes none
        at = known.index(self.first) if self.first in known else 0
        for number in range(at, at + len(known)):
            address = known[number % len(known)]
            self.first = known[(number + 1) % len(known)]  # should the alarm end this, the next call begins further on
            try:
                connection = self.dial(*address)
            except OSError as error:
                problem = error
            else:
                self.first, self.after_this = address, self.first
                return connection
        raise problem

    def dial(self, family: int, kind: int, protocol: int, _name: str, address: Any) -> socket.socket:
        """Connect to one address, as `getaddrinfo` spells it. Raises OSError."""
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout(CONNECT_SECONDS_MAX)
            raw.connect(address)
            raw.settimeout(self.silent_seconds_max)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.tls.wrap_socket(raw, server_hostname=self.host) if self.tls else raw
        except BaseException:
            raw.close()
            raise

    def cancel_all(self) -> None:
        """Cancel everything: returns when acknowledged. Raises NoAnswer."""
        self.call("POST", CANCEL_ALL, {})

    def open_orders(self) -> list[dict[str, Any]]:
        """Return what rests on the whole account. Raises NoAnswer."""
        return follow(reading(), self.call, time.sleep)


def follow(steps: Steps[Value], call: Callable[..., bytes], pause: Callable[[float], object]) -> Value:
    """Carry steps out, here and now, and return what they come to. Raises what they raise."""
    try:
        step = next(steps)
        while True:
            if not isinstance(step, Call):
                pause(step)
                step = next(steps)
                continue
            try:
                content = call(*step)
            except NoAnswer as problem:
                step = steps.throw(problem)
            else:
                step = steps.send(content)
    except StopIteration as end:
        return cast("Value", end.value)


def believed(what: str, status: int, retry_after: str, content: bytes) -> bytes:
    """Return the body of a 2xx. Raises Refused, with the wait that `retryAfterMs` or else the header asks for."""
    if 200 <= status < 300:
        return content
    wait_seconds = 0.0
    with contextlib.suppress(ValueError):
        wait_seconds = max(0.0, float(retry_after))
    with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        wait_seconds = max(0.0, float(json.loads(content).get("retryAfterMs")) / 1000)
    raise Refused(what, status, wait_seconds)


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
    """Do all of `pulling`, here and now."""
    return follow(pulling(tail_seconds, give_up_seconds, first, seconds_now, os.urandom), exchange.call, time.sleep)


def pulling(
    tail_seconds: float,
    give_up_seconds: float,
    first: Callable[[], object],
    now: Callable[[], float],
    random: Callable[[int], bytes],
) -> Steps[Pulled]:
    """Cancel everything, again through the tail, until two reads are empty after it; give up when time is up.

    A write whose answer nobody saw may land late, so empty reads before the tail's end prove nothing. `first` is
    called once, after the first attempt: whatever else there is to do comes behind it. Time in which nobody was there
    (suspended, stopped) counts neither for the tail nor for giving up: what this machine holds may land after waking.
    """
    began = now()

    def attended(step: Call | float) -> Steps[bytes]:
        """Take a step, and leave out by how much it took longer than it may."""
        nonlocal began
        asked_at, seconds_max = now(), LATE_SECONDS_MAX + (2 * CALL_SECONDS_MAX if isinstance(step, Call) else step)
        try:
            return (yield step)
        finally:
            began += max(0.0, now() - asked_at - seconds_max)

    due = [at for at in TAIL_SECONDS if at < tail_seconds] + [tail_seconds]
    left: int | None = None
    cancels, pause, trouble = 0, PAUSE_SECONDS_MIN, ""
    while (elapsed := now() - began) < give_up_seconds:
        if due and elapsed < due[0]:
            yield from attended(min(due[0], give_up_seconds) - elapsed)
            continue
        asked_seconds = 0.0
        try:
            if due:
                yield from attended(Call("POST", CANCEL_ALL, {}))
                cancels, due, pause = cancels + 1, [at for at in due if at > elapsed], PAUSE_SECONDS_MIN
                first()
                first = bool
                continue
            left = yield from reading_back()
            if not left:
                return Pulled(True, 0, cancels, trouble)
            trouble = f"{left} orders rest after an acknowledged cancel-all"
            yield from other_routes(random)
            due = [elapsed]
        except NoAnswer as problem:
            trouble, asked_seconds = str(problem), problem.wait_seconds
            if problem.status not in (0, 429):  # it answers, but not to this; at 429 only waiting helps
                try:
                    if (yield from other_routes(random)):
                        cancels, due = cancels + 1, [at for at in due if at > elapsed]
                except NoAnswer as other:
                    asked_seconds = other.wait_seconds
        first()
        first = bool
        time_left, wait = began + give_up_seconds - now(), max(pause, min(asked_seconds, ASKED_SECONDS_MAX))
        if wait >= time_left > LAST_TRY_SECONDS:
            wait = time_left - LAST_TRY_SECONDS
        yield from attended(max(0.0, min(wait, time_left)))
        pause = min(pause * 2, PAUSE_SECONDS_MAX)
    return Pulled(False, left, cancels, trouble)


def reading() -> Steps[list[dict[str, Any]]]:
    """Return what rests on the whole account. Raises NoAnswer for anything but a list that can be believed."""
    content = yield Call("GET", ORDERS)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    rows = found.get("orders") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NoAnswer("open orders were answered with no list of them")
    return [row for row in rows if str(row.get("status", "")).lower() not in GONE]


def reading_back() -> Steps[int]:
    """Return how many orders rest; 0 only when two reads, a moment apart, both say so. Raises NoAnswer."""
    left = len((yield from reading()))
    if not left:
        yield READ_GAP_SECONDS
        left = len((yield from reading()))
    return left


def other_routes(random: Callable[[int], bytes]) -> Steps[bool]:
    """Cancel by market, then by order, then with empty ladders, as long as something rests; say if one worked.

    For an exchange that refuses the unscoped cancel-all or does not follow it. Raises NoAnswer for the reads, and for
    the first of them that is answered 429: the others would fare no better, and it says how long to wait.
    """
    worked = False
    for path, field in ((CANCEL_ALL, "marketId"), (CANCEL_ALL, "clientOrderId"), (BULK, "marketId")):
        rows = yield from reading()
        for value in sorted({str(row[field]) for row in rows if row.get(field)}):
            body: dict[str, Any] = {field: value}
            if path == BULK:  # ASSUMED: an atomic replace by nothing takes all quotes of the market
                body |= {"quoteId": f"guard-{random(8).hex()}", "cancelAll": True, "quotes": []}
            try:
                yield Call("POST", path, body)
            except NoAnswer as problem:
                if problem.status == 429:
                    raise
            else:
                worked = True
    return worked


def seconds_now() -> float:
    """Return seconds on the clock that also counts suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
