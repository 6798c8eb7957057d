"""The kill button: the token, the confirmation, and everything that must not press it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import trio
import trio.testing

from maker.edge.http_messages import Response
from maker.launch import latch
from maker.monitor.kill import TOKEN_FILE, WRONG_AT_ONCE_MAX, WRONG_SECONDS, Killer
from tests.monitor.observed import asked

Clock = trio.testing.MockClock
CONFIRMED = b'{"confirm": "main"}'
JSON = "application/json"


class Said:
    """A kill button and what it says to the log."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[tuple[str, str]] = []
        self.killer = Killer(folder, "main", lambda *line: self.lines.append(line))
        self.killer.make_token()
        self.token = (folder / TOKEN_FILE).read_text().strip()

    async def press(self, token: str | None = None, body: bytes = CONFIRMED, kind: str = JSON) -> Response:
        given = {} if token == "" else {"authorization": f"Bearer {self.token if token is None else token}"}
        return await self.killer.answer(asked("/kill", "POST", body=body, content_type=kind, peer="10.0.0.9", **given))


async def test_the_button_writes_the_kill_file_with_who_and_when(tmp_path: Path) -> None:
    said = Said(tmp_path)
    answer = await said.press()
    told = json.loads(answer.body)
    assert (answer.status, told["done"]) == (200, True)
    why = latch.read(tmp_path)
    assert why is not None
    assert why == told["sentence"]
    assert "pressed, from 10.0.0.9 (monitor, 20" in why
    assert said.lines[-1][0] == "kill file"


async def test_threads_that_hang_elsewhere_leave_it_one(tmp_path: Path) -> None:
    """A name that cannot be looked up and a journal that cannot be read: just then it is pressed."""
    said = Said(tmp_path)
    limiter = trio.to_thread.current_default_thread_limiter()
    hanging = [object() for _ in range(int(limiter.available_tokens))]
    for one in hanging:
        limiter.acquire_on_behalf_of_nowait(one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(said.press)
        with trio.move_on_after(5.0):
            while latch.read(tmp_path) is None:
                await trio.sleep(0.01)
        written = latch.read(tmp_path)
        for one in hanging:
            limiter.release_on_behalf_of(one)
    assert written is not None


async def test_the_first_cause_stays(tmp_path: Path) -> None:
    """A button that is pressed twice, or after a loss limit, is answered with what stands in the file."""
    said = Said(tmp_path)
    latch.write(tmp_path, "drawdown", "it lost too much")
    answer = await said.press()
    assert answer.status == 200
    assert "it lost too much" in json.loads(answer.body)["sentence"]


@pytest.mark.parametrize("token", ["", "wrong", "{token}x", "{short}", "{TOKEN}"])
async def test_a_wrong_token_is_answered_late_and_does_nothing(
    tmp_path: Path, autojump_clock: Clock, token: str
) -> None:
    said = Said(tmp_path)
    given = token.format(token=said.token, short=said.token[:-1], TOKEN=said.token.swapcase())
    began = trio.current_time()
    answer = await said.press(given)
    assert trio.current_time() - began == WRONG_SECONDS
    assert answer.status == 401
    assert latch.read(tmp_path) is None
    assert said.killer.wrong == 1
    assert not any(said.token in line for _, line in said.lines)
    assert not any(given in line for _, line in said.lines if len(given) > 10), "what was tried is not shown either"


async def test_other_spellings_of_the_header_are_no_token(tmp_path: Path, autojump_clock: Clock) -> None:
    said = Said(tmp_path)
    for header in (said.token, f"Basic {said.token}", "Bearer", "bearer ", "\udcff"):
        request = asked("/kill", "POST", body=CONFIRMED, content_type=JSON, authorization=header)
        assert (await said.killer.answer(request)).status == 401
    assert latch.read(tmp_path) is None


async def test_who_tries_many_is_turned_away_and_the_owner_is_not_held_up(tmp_path: Path, mock_clock: Clock) -> None:
    """A flood of wrong tokens: few wait at a time, and the right one is answered at once beside them."""
    said = Said(tmp_path)
    statuses: list[int] = []

    async def guess() -> None:
        statuses.append((await said.press("guess")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(guess)
        await trio.testing.wait_all_tasks_blocked()
        assert statuses == [429] * (100 - WRONG_AT_ONCE_MAX)
        assert (await said.press()).status == 200
        assert 401 not in statuses, "it waited for them"
        mock_clock.jump(WRONG_SECONDS)
    assert statuses.count(401) == WRONG_AT_ONCE_MAX


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (CONFIRMED, "text/plain", 415),
        (CONFIRMED, "", 415),
        (CONFIRMED, "application/x-www-form-urlencoded", 415),
        (b"", JSON, 400),
        (b"{}", JSON, 400),
        (b"null", JSON, 400),
        (b'{"confirm": 7}', JSON, 400),
        (b'{"confirm": "main", "more": 1}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b'{"confirm": "Main"}', JSON, 409),
        (b'{"confirm": ""}', JSON, 409),
    ],
)
async def test_what_is_not_confirmed_does_nothing(tmp_path: Path, body: bytes, kind: str, status: int) -> None:
    said = Said(tmp_path)
    answer = await said.press(body=body, kind=kind)
    assert answer.status == status
    assert json.loads(answer.body)["done"] is False
    assert latch.read(tmp_path) is None


async def test_a_full_disk_is_said_and_where_to_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(tmp_path)

    def full(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(latch, "write", full)
    answer = await said.press()
    assert answer.status == 500
    assert "NOT DONE" in json.loads(answer.body)["sentence"]
    assert "cancel-all" in json.loads(answer.body)["sentence"]


async def test_a_browser_that_leaves_changes_nothing(tmp_path: Path) -> None:
    """Cancelled in the very moment: the file is written all the same."""
    said = Said(tmp_path)
    with trio.CancelScope() as scope:
        scope.cancel(reason="the client is gone")
        await said.press()
    assert latch.read(tmp_path) is not None


def test_the_token_is_private_new_at_each_start_and_gone_afterwards(tmp_path: Path) -> None:
    first, second = Said(tmp_path), Said(tmp_path)
    assert first.token != second.token
    assert len(second.token) >= 43
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [TOKEN_FILE]
    second.killer.remove_token()
    assert os.listdir(tmp_path) == []


async def test_without_a_token_nobody_can_press(tmp_path: Path) -> None:
    """A folder that takes no file: the button is off, for an empty token too."""
    killer = Killer(tmp_path / "gone", "main", lambda *_line: None)
    with pytest.raises(OSError):
        killer.make_token()
    for header in ("Bearer ", ""):
        request = asked("/kill", "POST", body=CONFIRMED, content_type=JSON, authorization=header)
        assert (await killer.answer(request)).status == 503
