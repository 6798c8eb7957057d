"""What the service's stop command does after a start in vain: ours goes, what is not ours stays (H28)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from maker.launch import sparing
from maker.launch.lock import STATE_LOCK, Lock
from tests.support.venue_script import Request, Say, ScriptedExchange, order

from .test_buttons import KEY, KEY_ENV, conf, press

OURS, OTHERS = [order(), order("ETH-PERP", 2)], [order("SOL-PERP", 3, prefix="hand")]


@pytest.fixture(autouse=True)
def the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


@pytest.fixture
def exchange() -> Iterator[ScriptedExchange]:
    with ScriptedExchange([*OURS, *OTHERS]) as found:
        yield found


def stop(capsys: pytest.CaptureFixture[str], path: Path, after: str) -> dict[str, object]:
    """The unit's own words."""
    return press(capsys, "cancel-all", str(path), "--no-latch", "--after", after)


def test_ours_goes_by_name_and_theirs_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    """The start that was refused for their sake would be followed by the very cancel-all that it refused."""
    said = stop(capsys, conf(tmp_path, exchange.url), "78")
    assert said["exit_code"] == 78, "it is not empty, and 0 says so"
    assert "Nothing of ours rests" in str(said["reason"])
    assert "1 orders of others" in str(said["reason"])
    assert exchange.resting == OTHERS
    assert not [one for one in exchange.cancels if one.is_unscoped]
    assert [one.path for one in exchange.requests[-2:]] == [exchange.reads[0].path] * 2


@pytest.mark.parametrize("after", ["0", "70", "75", "77", "KILL", "ABRT", ""])
def test_after_any_other_end_everything_goes_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange, after: str
) -> None:
    """S1: a maker that ran may have left anything anywhere, and nothing is read first."""
    assert stop(capsys, conf(tmp_path, exchange.url), after)["exit_code"] == 0
    assert exchange.requests[0].is_unscoped
    assert exchange.resting == []


@pytest.mark.parametrize("after", ["75", "KILL", ""])
@pytest.mark.parametrize("started", [True, False])
def test_what_counts_is_whether_a_maker_was_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange, after: str, started: bool
) -> None:
    """A start that found no exchange ends with 75: when there is one again, orders of others are not its business."""
    last = Lock(tmp_path / STATE_LOCK)
    last.describe(ending=False, started=started)
    os.close(last.descriptor)
    said = stop(capsys, conf(tmp_path, exchange.url, state="."), after)
    assert said["exit_code"] == (0 if started else 78)
    assert exchange.resting == ([] if started else OTHERS)


def test_by_hand_it_takes_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    """The red button asks nobody, whatever was started."""
    last = Lock(tmp_path / STATE_LOCK)
    last.describe(ending=False, started=False)
    os.close(last.descriptor)
    assert press(capsys, "cancel-all", str(conf(tmp_path, exchange.url, state=".")), "--no-latch")["exit_code"] == 0
    assert exchange.resting == []


def test_where_nobody_elses_rest_everything_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    """A start that a latch refused leaves nothing of an earlier run behind."""
    exchange.resting = list(OURS)
    said = stop(capsys, conf(tmp_path, exchange.url), "78")
    assert (said["exit_code"], said["verified_empty"], exchange.resting) == (0, True, [])
    assert any(one.is_unscoped for one in exchange.cancels)


def test_where_the_configuration_takes_theirs_they_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    path = conf(tmp_path, exchange.url)
    path.write_text(path.read_text().replace('foreign_orders = "refuse"', 'foreign_orders = "cancel"'))
    assert stop(capsys, path, "78")["exit_code"] == 0
    assert exchange.resting == []


def test_what_nobody_can_read_goes_after_a_while(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotes of ours left alone are worse than an order of somebody else's that has to be placed again."""
    monkeypatch.setattr(sparing, "READS_SECONDS_MAX", 0.3)
    exchange.script = lambda request: Say(503) if request.method == "GET" and not exchange.cancels else None
    assert stop(capsys, conf(tmp_path, exchange.url, give_up="6"), "78")["exit_code"] == 0
    assert exchange.resting == []
    assert exchange.cancels[0].at - exchange.requests[0].at < 3.0


def test_silence_is_no_reason_to_take_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: a host that is up before its network. Where no read is answered, no cancel would be."""
    monkeypatch.setattr(sparing, "READS_SECONDS_MAX", 0.0)
    exchange.script = lambda _request: Say(drop=True) if len(exchange.requests) < 4 else None
    assert stop(capsys, conf(tmp_path, exchange.url, give_up="10"), "78")["exit_code"] == 78
    assert exchange.resting == OTHERS


def test_what_nobody_ever_read_may_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    exchange.script = lambda _request: Say(drop=True)
    said = stop(capsys, conf(tmp_path, exchange.url, give_up="1.5"), "78")
    assert said["exit_code"] == 75
    assert "QUOTES MAY REST: nothing could be read" in str(said["reason"])


def test_a_refused_cancel_is_tried_again_when_it_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F26; and a list that was read once is not forgotten for a read that fails: theirs stays."""
    monkeypatch.setattr(sparing, "READS_SECONDS_MAX", 0.0)
    answers: list[Say | None] = [None, Say(429, b'{"retryAfterMs": 700}'), Say(500)]

    def script(_request: Request) -> Say | None:
        return answers.pop(0) if answers else None

    exchange.script = script
    assert stop(capsys, conf(tmp_path, exchange.url, give_up="10"), "78")["exit_code"] == 78
    assert exchange.resting == OTHERS
    assert exchange.requests[2].at - exchange.requests[1].at >= 0.7


def test_what_cannot_be_cancelled_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    exchange.script = lambda request: Say(500) if request.method == "POST" else None
    said = stop(capsys, conf(tmp_path, exchange.url, give_up="1.5"), "78")
    assert said["exit_code"] == 75
    assert "QUOTES MAY REST: 2 of ours do" in str(said["reason"])


def test_one_that_cannot_be_cancelled_holds_up_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    stuck = OURS[0]["clientOrderId"]
    exchange.script = lambda request: Say(404) if request.body == {"clientOrderId": stuck} else None
    said = stop(capsys, conf(tmp_path, exchange.url, give_up="1.5"), "78")
    assert said["exit_code"] == 75
    assert "1 of ours do (POST /perps/orders/cancel-all was answered 404)" in str(said["reason"])
    assert exchange.resting == [OURS[0], *OTHERS]


def test_another_run_at_work_is_left_in_peace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    """F50: a second start is refused, and its stop command would pull for ten minutes what the first one quotes."""
    path = conf(tmp_path, exchange.url)
    (tmp_path / "state").mkdir()
    held = Lock(tmp_path / "state" / STATE_LOCK)
    assert held.attempt()
    held.describe(ending=False, started=True)
    said = stop(capsys, path, "78")
    assert said["exit_code"] == 78
    assert "another run is at work" in str(said["reason"])
    assert exchange.requests == []
    held.path.write_text('{"pid": 0}')  # whoever was to look after it is gone: a maker whose guard was killed
    assert stop(capsys, path, "78")["exit_code"] == 78
    assert exchange.resting == OTHERS
    os.close(held.descriptor)


def test_a_configuration_that_nobody_can_read_further_spares_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exchange: ScriptedExchange
) -> None:
    """Without an order prefix nothing is known to be ours."""
    path = conf(tmp_path, exchange.url)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("order_prefix")))
    assert stop(capsys, path, "78")["exit_code"] == 0
    assert exchange.resting == []
