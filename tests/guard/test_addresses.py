"""Where the guard finds the exchange: which of its addresses it dials first, and when it looks the name up again."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maker.guard import exchange as room
from maker.guard.exchange import Exchange, NoAnswer
from tests.support.venue_script import ScriptedExchange

KEY = "ocx_sk_canary_guard"

Address = tuple[Any, ...]


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


def row(address: tuple[str, int]) -> Address:
    """An address as a look-up gives it."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)


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
        """The addresses that one attempt to connect dials, in order."""
        self.dialled = ""
        with contextlib.suppress(OSError, NoAnswer):
            self.connect().close()
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
