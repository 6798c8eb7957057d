"""Everything that is answered over HTTP, path by path, and that many pages cost the journal one read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio

from maker.edge.http_messages import EventStreamResponse, Response
from maker.monitor import history, manners, pages
from maker.monitor.board import Board
from maker.monitor.kill import Killer
from maker.monitor.observation import Findings, Life, Observation
from maker.monitor.server import KEPT_MAX, Server, limits
from maker.monitor.view import About, view
from tests.monitor.observed import NOW, an_observation, asked
from tests.monitor.test_history import AT, BTC, DAY
from tests.report.journals import Told, a_run, in_file


def a_server(folder: Path, seen: Observation | None = None) -> Server:
    killer = Killer(folder, "main", lambda *_line: None)
    killer.make_token()
    journal = in_file(folder / "journal.sqlite", [Told(a_run(), DAY)])
    names = manners.names("127.0.0.1", "")
    server = Server(pages.load(), names, Board(2), killer, journal, seen, wall=lambda: AT + 30)
    server.board.post(b"{}")
    return server


async def answer(server: Server, path: str, method: str = "GET", **words: Any) -> Response:
    found = await server.handle(asked(path, method, **words))
    assert isinstance(found, Response)
    return found


async def test_the_page_and_its_files(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    page = await answer(server, "/")
    assert page.status == 200
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert "Content-Security-Policy" in dict(page.headers)
    assert (await answer(server, "/nothing.html")).status == 404
    assert (await answer(server, "/../../../../etc/passwd")).status == 404
    assert (await answer(server, "/", "POST")).status == 405
    assert (await answer(server, "/", host="evil.example")).status == 421


@pytest.mark.parametrize("path", ["/events", "/history", "/fills", "/kill", "/metrics", "/healthz", "/"])
async def test_no_path_answers_to_another_name_or_origin(tmp_path: Path, path: str) -> None:
    server = a_server(tmp_path, an_observation())
    for method in ("GET", "POST", "OPTIONS"):
        assert (await answer(server, path, method, host="evil.example")).status == 421
        assert (await answer(server, path, method, origin="http://evil.example")).status == 403
    assert server.board.clients == 0


async def test_events_have_places_for_so_many(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    for _ in range(2):
        assert isinstance(await server.handle(asked("/events")), EventStreamResponse)
    assert (await answer(server, "/events")).status == 503


async def test_health_and_metrics(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    assert (await answer(server, "/healthz")).status == 503
    assert (await answer(server, "/metrics")).status == 503
    server.seen = an_observation()
    assert (await answer(server, "/healthz")).body == b"quoting: BTC-PERP is quoted\n"
    assert (await answer(server, "/healthz")).status == 200
    server.seen = an_observation(maker=Life.GONE)
    gone = await answer(server, "/healthz")
    assert (gone.status, gone.body) == (503, b"the maker is gone\n")
    server.findings = Findings(alerts=({"name": "a"},))
    scraped = await answer(server, "/metrics")
    assert b"maker_alerts_standing 1.0" in scraped.body
    assert dict(scraped.headers)["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_history_and_fills(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    told = msgspec.json.decode((await answer(server, "/history?seconds=60")).body)
    assert told["markets"][BTC]["fair"] == [[AT + 1, 50000.05]]
    fills = msgspec.json.decode((await answer(server, "/fills?limit=1")).body)
    assert [one["trade_id"] for one in fills["fills"]] == ["t2"]
    fills = msgspec.json.decode((await answer(server, f"/fills?market={BTC}")).body)
    assert [one["trade_id"] for one in fills["fills"]] == ["t1"]
    for wrong in ("/history?seconds=0", "/history?seconds=86401", "/history?seconds=x", "/fills?limit=1001"):
        assert (await answer(server, wrong)).status == 400
    (tmp_path / "journal.sqlite").unlink()
    lost = await answer(server, "/history?seconds=61")
    assert (lost.status, b"no run has begun" in lost.body) == (503, True)


async def test_two_hundred_pages_cost_the_journal_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked at once for the same, one reads and all are answered; another question is another read."""
    server = a_server(tmp_path)
    read: list[int] = []
    original = history.history

    def counting(path: Path, seconds: int, now: float) -> dict[str, Any]:
        read.append(seconds)
        return original(path, seconds, now)

    monkeypatch.setattr(history, "history", counting)
    bodies: list[bytes] = []

    async def ask() -> None:
        bodies.append((await answer(server, "/history?seconds=60")).body)

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(ask)
    assert read == [60]
    assert len(set(bodies)) == 1
    assert len(bodies) == 200
    await answer(server, "/history?seconds=61")
    assert read == [60, 61]
    for seconds in range(100, 100 + 2 * KEPT_MAX):
        await answer(server, f"/history?seconds={seconds}")
    assert len(server.kept) <= KEPT_MAX


async def test_the_kill_button_is_behind_the_same_door(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    token = server.killer.token
    words: dict[str, Any] = {
        "body": b'{"confirm": "main"}',
        "content_type": "application/json",
        "authorization": f"Bearer {token}",
    }
    assert (await answer(server, "/kill", **words)).status == 405, "a GET acts on nothing"
    assert (await answer(server, "/kill", "POST", **words, host="evil.example")).status == 421
    assert (await answer(server, "/kill", "POST", **words, origin="http://evil.example")).status == 403
    assert not (tmp_path / "kill").exists()
    assert (await answer(server, "/kill", "POST", **words)).status == 200
    assert (tmp_path / "kill").exists()


def test_the_limits_leave_room_beside_the_pages() -> None:
    assert limits(200).connections_max > 200
    assert limits(200).body_bytes_max < 10_000


def test_a_view_is_one_line_with_all_that_the_page_needs() -> None:
    about = About("0.1.0", "read", NOW - 5)
    findings = Findings({"ok": True}, ({"name": "a"},))
    line = view(an_observation(latched="because"), findings, about, 3)
    assert b"\n" not in line
    told = json.loads(line)
    assert set(told) >= {"state", "state_age_seconds", "maker", "guard", "latched", "audit", "alerts", "monitor"}
    assert (told["maker"], told["guard"], told["latched"]) == ("alive", "alive", "because")
    assert told["state"]["markets"][0]["quotes"][0] == {"side": "buy", "price": "49995.0", "size": "0.02"}
    assert told["audit"] == {"ok": True}
    assert told["monitor"] == {"version": "0.1.0", "key": "read", "started_at": NOW - 5, "clients": 3, "ends": False}
    nothing = attrs.evolve(an_observation(), state=None, state_age_seconds=None)
    assert json.loads(view(nothing, Findings(), about, 0))["state"] is None
