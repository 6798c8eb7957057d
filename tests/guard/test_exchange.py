"""What the guard says to the exchange: total deadlines, the tail, other routes, and empty only when read so twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from maker.guard import exchange as room
from maker.guard.exchange import Exchange, NoAnswer, pull
from maker.wire import ocx
from tests.support.venue_script import BULK, CANCEL_ALL, ORDERS, Request, Say, ScriptedExchange, order

KEY = "ocx_sk_canary_guard"
GIVE_UP_SECONDS = 20.0  # reached only by a test that fails


@pytest.fixture
def venue() -> Iterator[ScriptedExchange]:
    with ScriptedExchange() as one:
        yield one


def speaking_to(venue: ScriptedExchange) -> Exchange:
    exchange = Exchange(venue.url, KEY)
    assert exchange.look_up()
    return exchange


def pulled(venue: ScriptedExchange, tail_seconds: float = 0.0, give_up_seconds: float = GIVE_UP_SECONDS) -> room.Pulled:
    return pull(speaking_to(venue), tail_seconds, give_up_seconds, bool)


def test_it_spells_as_the_maker_does() -> None:
    """Two rooms spell the exchange's calls, since the guard imports nothing; they must not drift."""
    assert (room.ORDERS, room.CANCEL_ALL, room.BULK) == (ocx.ORDERS, ocx.CANCEL_ALL, ocx.QUOTES_BULK)


def test_cancel_all_first_then_two_empty_reads(venue: ScriptedExchange) -> None:
    """S3: unscoped cancel-all, acknowledged, then two reads at least 250 ms apart, both after it."""
    venue.resting = [order(number=1), order("ETH-PERP", 2)]
    seen = pulled(venue)
    assert (seen.verified_empty, seen.open_orders, seen.cancels, seen.trouble) == (True, 0, 1, "")
    assert venue.requests[0].is_unscoped
    assert [(one.method, one.path) for one in venue.requests[1:]] == [("GET", ORDERS)] * 2
    assert venue.reads[1].at - venue.reads[0].at >= 0.25
    assert venue.requests[0].headers["x-api-key"] == KEY


def test_a_tail_repeats_the_cancel_all_and_nothing_is_verified_before_its_end(venue: ScriptedExchange) -> None:
    """S1, H24: a ladder that lands after the first cancel-all is taken by a later one."""
    landed = threading.Timer(0.6, lambda: venue.resting.append(order(number=9)))
    landed.start()
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    seen = pulled(venue, tail_seconds=1.5)
    assert (seen.verified_empty, seen.cancels) == (True, 4)
    assert [round(one.at - began, 1) for one in venue.cancels] == pytest.approx([0.0, 0.25, 1.0, 1.5], abs=0.15)
    assert min(one.at for one in venue.reads) - began >= 1.5
    landed.join()


def test_an_order_seen_by_the_second_read_is_pulled_too(venue: ScriptedExchange) -> None:
    """One empty read proves nothing."""

    def late(request: Request) -> Say | None:
        if len(venue.reads) == 1 and request.path == ORDERS:
            venue.resting.append(order(number=3))
            return Say(body=b"[]")
        return None

    venue.script = late
    seen = pulled(venue)
    assert seen.verified_empty
    assert venue.resting == []
    assert len(venue.cancels) >= 2


@pytest.mark.parametrize(
    "trouble",
    [
        Say(503, b"<html>"),
        Say(500),
        Say(429, b'{"retryAfterMs": 300}'),
        Say(429, b"", ("Retry-After: 0.3",)),
        Say(401),
        Say(403),
        Say(drop=True),
        Say(drop=True, applies=True),
        Say(301, b"", ("Location: /x",)),
    ],
    ids=str,
)
def test_trouble_with_the_cancel_all_itself_is_survived(venue: ScriptedExchange, trouble: Say) -> None:
    """F4, F5, F26, F27, F29, F31 on the cancel-all: repeated until acknowledged, then read back."""
    venue.resting = [order(number=1)]
    venue.script = lambda request: trouble if request.is_unscoped and len(venue.cancels) <= 3 else None
    seen = pulled(venue)
    assert seen.verified_empty
    assert venue.resting == []
    assert seen.trouble


def test_at_429_nothing_but_waiting(venue: ScriptedExchange) -> None:
    """H26: no other route is tried while throttled, and the wait is obeyed."""
    venue.resting = [order(number=1)]
    throttled = Say(429, b'{"retryAfterMs": 700}')
    venue.script = lambda request: throttled if len(venue.requests) <= 1 else None
    assert pulled(venue).verified_empty
    assert all(one.is_unscoped for one in venue.cancels)
    assert venue.cancels[1].at - venue.cancels[0].at >= 0.7


def test_an_unscoped_one_that_is_refused_for_good_has_other_routes(venue: ScriptedExchange) -> None:
    """By market: acknowledged, and read back empty."""
    venue.resting = [order(number=1), order("ETH-PERP", 2)]
    venue.script = lambda request: Say(403) if request.is_unscoped else None
    assert pulled(venue).verified_empty
    assert {one.body["marketId"] for one in venue.cancels if one.body} == {"BTC-PERP", "ETH-PERP"}


@pytest.mark.parametrize("works", ["clientOrderId", BULK])
def test_an_acknowledged_cancel_all_without_effect_has_other_routes(venue: ScriptedExchange, works: str) -> None:
    """F30: acknowledged and nothing happened: by market, by order, then an empty ladder, in that order."""
    venue.resting = [order(number=1), order(number=2)]

    def deaf(request: Request) -> Say | None:
        if request.path == CANCEL_ALL and works not in request.body:
            return Say()
        return None

    venue.script = deaf
    assert pulled(venue).verified_empty
    kinds = ["unscoped" if one.is_unscoped else next(iter(one.body)) for one in venue.cancels]
    assert kinds[:2] == ["unscoped", "marketId"]
    assert "clientOrderId" in kinds
    assert bool(venue.calls("POST", BULK)) == (works == BULK)
    for one in venue.calls("POST", BULK):
        assert (one.body["cancelAll"], one.body["quotes"]) == (True, [])


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"orders": 1}', b"[1]", b"null", b"[" * 100_000], ids=repr)
def test_an_answer_that_is_no_list_proves_nothing(venue: ScriptedExchange, body: bytes) -> None:
    """F29, F30: 200 with garbage is not empty."""
    venue.script = lambda request: Say(body=body) if request.path == ORDERS else None
    seen = pulled(venue, give_up_seconds=0.4)
    assert (seen.verified_empty, seen.open_orders) == (False, None)


def test_an_answer_that_drips_is_given_up_in_total(venue: ScriptedExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """H10, F11: each byte comes in time, the answer does not."""
    monkeypatch.setattr(room, "CALL_SECONDS_MAX", 0.4)
    venue.script = lambda request: Say(drip_seconds=0.1) if len(venue.requests) == 1 else None
    began = time.monotonic()
    assert pulled(venue).verified_empty
    assert time.monotonic() - began < 3.0
    assert len(venue.cancels) == 2


def test_a_silent_exchange_is_given_up_in_time(venue: ScriptedExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """F8: no answer ever: not verified, and said so when the time is up."""
    monkeypatch.setattr(room, "CALL_SECONDS_MAX", 0.2)
    venue.script = lambda _request: Say(hang=True)
    began = time.monotonic()
    seen = pulled(venue, give_up_seconds=1.5)
    assert (seen.verified_empty, seen.cancels) == (False, 0)
    assert 1.4 <= time.monotonic() - began <= 2.5
    assert "within" in seen.trouble


def test_what_comes_first_comes_after_one_attempt(venue: ScriptedExchange) -> None:
    """H6: whatever else there is to do (an incident file, a hung disk) waits behind the first cancel-all."""
    seen: list[int] = []
    pull(speaking_to(venue), 0.3, GIVE_UP_SECONDS, lambda: seen.append(len(venue.cancels)))
    assert seen == [1]


def test_a_refused_connection_is_no_answer() -> None:
    with ScriptedExchange() as gone:
        exchange = speaking_to(gone)
    with pytest.raises(NoAnswer, match="refused"):
        exchange.cancel_all()


def test_the_key_is_never_shown(venue: ScriptedExchange) -> None:
    """S18: not in an error, not in a repr."""
    exchange = speaking_to(venue)
    venue.script = lambda _request: Say(401)
    with pytest.raises(NoAnswer) as caught:
        exchange.cancel_all()
    assert KEY not in f"{caught.value!r} {exchange!r} {caught.value}"


@pytest.mark.parametrize("line", [f"x-api-key: {KEY}", f"HTTP/1.1 {KEY} no", f"HTTP/{KEY} 200 OK"])
def test_the_key_is_not_shown_where_it_is_echoed_instead_of_an_answer(line: str) -> None:
    """S18: http.client quotes the line that it cannot read; the error's words go into incident files."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(f"{line}\r\n\r\n".encode())

        threading.Thread(target=echo).start()
        exchange = Exchange(f"http://127.0.0.1:{server.getsockname()[1]}", KEY)
        assert exchange.look_up()
        with pytest.raises(NoAnswer, match=r"not HTTP/1\.1") as caught:
            exchange.cancel_all()
        assert KEY not in f"{caught.value!r} {caught.value}"


def test_a_look_up_that_hangs_holds_nobody_and_keeps_the_last_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """H12, F40."""
    exchange = Exchange("http://127.0.0.1:9", KEY)
    assert exchange.look_up()
    before = exchange.addresses
    hung = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_words, **_more: hung.wait(5.0) and [])
    began = time.monotonic()
    assert exchange.look_up(0.1)
    assert time.monotonic() - began < 1.0
    assert exchange.addresses == before
    hung.set()


def test_without_an_alarm_a_silent_exchange_is_given_up_all_the_same(venue: ScriptedExchange) -> None:
    """For a thread, which has none: it would hang for ever on a peer that is gone."""
    venue.script = lambda _request: Say(hang=True)
    exchange = speaking_to(venue)
    exchange.silent_seconds_max = 0.2
    answers: list[str] = []

    def ask() -> None:
        try:
            exchange.attempt("GET", ORDERS)
        except NoAnswer as problem:
            answers.append(str(problem))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(GIVE_UP_SECONDS)
    assert answers == ["TimeoutError: timed out"]
