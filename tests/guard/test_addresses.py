"""Where the guard finds the exchange: which of its addresses it dials first, and when it looks the name up again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from maker.guard import exchange as room
from maker.guard.exchange import Exchange, NoAnswer, Refused, pull
from tests.support.venue_script import Say, ScriptedExchange

KEY = "ocx_sk_canary_guard"
GIVE_UP_SECONDS = 8.0  # reached only by a test that fails

Address = tuple[Any, ...]


def row(address: Any) -> Address:
    """An address as a look-up gives it."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)


NOBODY = row(("127.0.0.1", 9))  # it refuses


@pytest.fixture
def venue() -> Iterator[ScriptedExchange]:
    with ScriptedExchange() as one:
        yield one


@pytest.fixture
def black_hole() -> Iterator[Address]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield row(server.getsockname())


def test_an_address_behind_two_black_holes_is_reached(
    venue: ScriptedExchange, black_hole: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H10, F40: a call ends before the third of them is tried, so the next one begins there, and so do all further."""
    monkeypatch.setattr(room, "CONNECT_SECONDS_MAX", 0.5)
    monkeypatch.setattr(room, "CALL_SECONDS_MAX", 0.9)
    exchange = Exchange(venue.url, KEY)
    assert exchange.look_up()
    (good,) = exchange.addresses
    exchange.addresses = [black_hole, (*black_hole[:3], "another", black_hole[4]), good]
    with pytest.raises(NoAnswer, match="within"):
        exchange.cancel_all()
    for _ in range(3):
        exchange.cancel_all()
        assert exchange.first == good


def test_an_address_that_takes_us_and_never_answers_is_not_kept(
    venue: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H10, F8: half of a cluster is dead behind its doors. An answer, whatever it says, keeps its address."""
    monkeypatch.setattr(room, "CALL_SECONDS_MAX", 0.3)
    with ScriptedExchange(script=lambda _request: Say(hang=True)) as mute:
        exchange = Exchange(venue.url, KEY)
        good, deaf = (row(("127.0.0.1", int(one.url.rpartition(":")[2]))) for one in (venue, mute))
        exchange.addresses = [deaf, good]
        with pytest.raises(NoAnswer, match="within"):
            exchange.cancel_all()
        exchange.cancel_all()
        venue.script = lambda _request: Say(503)
        with pytest.raises(Refused):
            exchange.cancel_all()
        assert exchange.first == good
        assert len(mute.requests) == 1


class Dialling(Exchange):
    """Notes which addresses it dials; `answers` says what comes of it."""

    def __init__(self, *names: str) -> None:
        super().__init__("http://127.0.0.1:9", KEY)
        self.addresses = rows(*names)
        self.dialled = ""
        self.answers: Callable[[str], socket.socket] = refuse

    def dial(self, family: int, kind: int, protocol: int, _name: str, address: Any) -> socket.socket:
        self.dialled += address[0]
        return self.answers(address[0])

    def dials(self) -> str:
        """The addresses that one call dials, in order; whoever takes it answers."""
        self.dialled = ""
        with contextlib.suppress(OSError, NoAnswer):
            self.connect().close()
            self.after_this = ()
        return self.dialled


def rows(*names: str) -> list[Address]:
    return [row((name, 443)) for name in names]


def refuse(name: str) -> socket.socket:
    raise ConnectionRefusedError(111, f"{name} refuses")


def take(_name: str) -> socket.socket:
    return socket.socket()


def test_it_begins_with_the_last_that_took_us_and_else_with_the_next() -> None:
    """As the maker does; all of them are tried, wherever it begins."""

    def late(name: str) -> socket.socket:
        if name == "b":
            raise NoAnswer("the alarm")
        return refuse(name)

    exchange = Dialling("a", "b", "c")
    assert exchange.dials() == "abc"
    exchange.answers = late
    assert exchange.dials() == "ab"
    assert exchange.dials() == "cab"
    exchange.answers = take
    assert (exchange.dials(), exchange.dials()) == ("c", "c")
    exchange.answers = refuse
    assert exchange.dials() == "cab"


def test_addresses_may_be_replaced_at_any_time() -> None:
    """By a look-up in its thread: in another order, fewer, others, or in the middle of connecting."""
    exchange = Dialling("a", "b", "c")
    exchange.answers = lambda name: take(name) if name == "c" else refuse(name)
    assert exchange.dials() == "abc"
    exchange.addresses = rows("c", "a", "b")
    assert exchange.dials() == "c"
    exchange.addresses = rows("b", "c")
    assert exchange.dials() == "c"
    exchange.addresses = rows("e", "f")
    assert exchange.dials() == "ef"

    def replaced(name: str) -> socket.socket:
        exchange.addresses = rows("g")
        return refuse(name)

    exchange.answers = replaced
    assert exchange.dials() == "ef"
    assert exchange.dials() == "g"
    exchange.addresses = []
    assert exchange.dials() == ""


def test_an_address_of_a_kind_that_this_machine_does_not_have_is_passed_over(venue: ScriptedExchange) -> None:
    """No IPv6 in the kernel: its sockets cannot even be made."""
    exchange = Exchange(venue.url, KEY)
    assert exchange.look_up()
    exchange.addresses = [(99, *exchange.addresses[0][1:]), *exchange.addresses]
    exchange.cancel_all()


@attrs.define
class Resolver:
    """Answers look-ups with `found`, and counts them."""

    found: list[Address]
    count: int = 0

    def look_up(self, *_words: object, **_more: object) -> list[Address]:
        self.count += 1
        return self.found


class Patient(Exchange):
    """Waits for each look-up, so that it can be counted."""

    def look_up(self, _wait_seconds: float = GIVE_UP_SECONDS) -> bool:
        return super().look_up(GIVE_UP_SECONDS)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """At first it finds an address at which nobody listens."""
    one = Resolver([NOBODY])
    monkeypatch.setattr("socket.getaddrinfo", one.look_up)
    return one


def test_an_exchange_that_moved_is_found_by_whoever_pulls(venue: ScriptedExchange, resolver: Resolver) -> None:
    """F40, S1: it failed over to another address during the outage; nobody but the failing calls looks it up."""
    exchange = Exchange(venue.url, KEY)
    exchange.addresses = [NOBODY]
    resolver.found = [row(venue.server.server_address)]
    assert pull(exchange, 0.0, GIVE_UP_SECONDS, bool).verified_empty
    assert resolver.count == 1


def test_failing_calls_look_up_now_and_then(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each: a look-up that hangs keeps its thread. One that somebody else began counts too."""
    now = 1000.0
    monkeypatch.setattr(room, "seconds_now", lambda: now)
    exchange = Patient("http://there.test", KEY)
    counts = []
    assert exchange.look_up()
    for at in (1000.0, 1009.9, 1010.0, 1010.1, 1019.9, 1020.0):
        now = at
        with pytest.raises(NoAnswer, match="refused"):
            exchange.cancel_all()
        counts.append(resolver.count)
    assert counts == [1, 1, 2, 2, 2, 3]


def test_whoever_is_answered_looks_nothing_up(venue: ScriptedExchange, resolver: Resolver) -> None:
    """A refusal comes from the right place."""
    exchange = Patient(venue.url, KEY)
    exchange.addresses = [row(venue.server.server_address)]
    exchange.cancel_all()
    venue.script = lambda _request: Say(503)
    with pytest.raises(Refused):
        exchange.cancel_all()
    assert resolver.count == 0


def test_without_a_thread_for_it_a_call_fails_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of tasks, used up by others, must not end whoever pulls; nor is it tried at each call then."""
    started: list[threading.Thread] = []

    def start(self: threading.Thread) -> None:
        started.append(self)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    exchange = Exchange("http://there.test", KEY)
    exchange.addresses = [NOBODY]
    for _ in range(3):
        with pytest.raises(NoAnswer, match="refused"):
            exchange.cancel_all()
    assert len(started) == 1
    assert exchange.addresses == [NOBODY]


def test_a_failing_call_does_not_wait_for_a_look_up_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """H12: the resolver hangs in the same outage."""
    hung = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_words, **_more: hung.wait(GIVE_UP_SECONDS) and [])
    exchange = Exchange("http://there.test", KEY)
    exchange.addresses = [NOBODY]
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="refused"):
        exchange.cancel_all()
    assert time.monotonic() - began < GIVE_UP_SECONDS / 4
    hung.set()
