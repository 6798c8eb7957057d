"""From an observation to a webhook that received it, over real HTTP in memory and virtual time; and over restarts."""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.app.alert_config import Alerts, Kind, Target
from maker.edge.lasting import DirectFile
from maker.edge.notice import Post, address
from maker.errors import ConfigError
from maker.monitor.alerting import KEEP_SECONDS, STATE_FILE, Alerting, open_alerting
from maker.monitor.conditions import Surroundings
from maker.monitor.delivery import Delivery, Told
from maker.monitor.observation import ExchangeSeen, Life, Observation
from maker.monitor.targets import targets
from tests.monitor.doors import T0, WHO, Door, told, wall
from tests.monitor.scenes import CONFIG, market, observation, order, state
from tests.support.canary import leaks_in, leaks_under
from tests.support.wires import MemoryExchange, answer_bytes, read_request

SECRET = "T0CANARY0123456789"
URL = f"https://hooks-{SECRET}.example/services/{SECRET}"
TOKEN = f"123456789:AA{SECRET}{SECRET}"


async def no_summary(_until: float) -> str:
    return "nothing has happened"


def alerting(
    folder: Path,
    *doors: Told,
    summarize: Callable[[float], Awaitable[str]] = no_summary,
    told_of: Alerts | None = None,
    around: Surroundings | None = None,
) -> Alerting:
    """One that tells `doors`, in virtual time, with its file in `folder`; what an earlier one kept is taken up."""
    config = attrs.evolve(CONFIG, state_folder=folder, alerts=told_of or Alerts())
    made = open_alerting(config, "conf/paper.toml", {}, DirectFile(folder / STATE_FILE), wall)
    made.delivery = Delivery(doors, WHO, wall, jitter=lambda: 1.0)
    made.summarize = summarize
    made.look_around = lambda: around or Surroundings()
    return made


def seen_now(**more: Any) -> Observation:
    """What is seen at the present moment of virtual time."""
    now = wall() - T0
    said = more.pop("said", {"markets": (market(),)})
    read = ExchangeSeen((), wall() - 0.5, (), wall() - 0.5)
    return observation(now, **{"state": state(now, **said), "exchange": read, **more})


async def look_for(
    made: Alerting, seconds: int, seen: Callable[[], Observation], ending: trio.Event | None = None
) -> None:
    """Look once a second, and deliver beside it; cancelled at the end unless `ending` is given, which is then set."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run, trio.Event() if ending is None else ending)
            for _ in range(seconds):
                made(seen())
                await trio.sleep(1)
            if ending is None:
                scope.cancel(reason="the test is over")
            else:
                ending.set()


def dead() -> Observation:
    """A maker that is gone, with an order of ours."""
    rests = ExchangeSeen((order(),), wall() - 0.5, (), wall() - 0.5)
    return attrs.evolve(seen_now(exchange=rests), maker=Life.GONE)


async def test_from_an_observation_to_a_webhook(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Real HTTP: refused, reset, told to wait, and in the end received; critical first, whatever came before it."""
    received: list[dict[str, Any]] = []
    answers = [answer_bytes(503), answer_bytes(429, b"", "Retry-After: 2"), answer_bytes(200)]

    async def hook(stream: trio.abc.Stream) -> None:
        request = await read_request(stream)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.startswith(b"HTTP/1.1 200"):
            received.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        target = MemoryExchange(nursery, ConnectionRefusedError(111, "Connection refused"), hook)
        post = Post(address(URL), None, dial=target.dial)
        made = alerting(tmp_path, Told(Target("ops", Kind.WEBHOOK, url_env="X"), post))
        await look_for(made, 40, dead)
        nursery.cancel_scope.cancel()
    assert [one["name"] for one in received] == ["maker_gone", "quotes_unattended"]
    assert received[1]["severity"] == "critical"
    assert "cancel-all conf/paper.toml` now" in received[1]["what_to_do"]
    assert (received[1]["account"], received[1]["host"]) == ("desk-1", "host7")


async def test_the_page_shows_what_stands_and_whether_it_arrived(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    made = alerting(tmp_path, told("ops", Door()))
    await look_for(made, 20, dead)
    findings = made(dead())
    assert findings.audit is not None
    assert findings.audit["agrees"] is False
    worst = findings.alerts[0]
    assert (worst["name"], worst["severity"], worst["delivered"]) == ("quotes_unattended", "critical", True)
    assert worst["targets"] == {"ops": True}
    json.dumps([findings.audit, *findings.alerts])


async def test_a_path_that_fails_is_shown_and_told_elsewhere(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    from maker.edge.notice import Reply

    phone = Door()
    made = alerting(tmp_path, told("ops", Door([Reply(404, None)])), told("phone", phone))
    await look_for(made, 40, lambda: attrs.evolve(seen_now(), latched="pressed"))
    rows = {(row["name"], row["subject"]): row for row in made(seen_now()).alerts}
    assert rows["alert_path_fails", "ops"]["sentence"] == (
        "ops cannot be told: answers 404: there is nothing at its address any more"
    )
    assert rows["halted", ""]["targets"] == {"ops": None, "phone": True}
    assert phone.names == ["halted", "alert_path_fails"]


async def test_a_restart_repeats_nothing_and_forgets_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """What arrived is not told again; what did not is; what ends is told by whoever sees it end."""
    door = Door()
    await look_for(alerting(tmp_path, told("ops", door)), 20, lambda: attrs.evolve(seen_now(), latched="pressed"))
    await look_for(alerting(tmp_path, told("ops", door)), 20, lambda: attrs.evolve(seen_now(), latched="pressed"))
    assert door.names == ["halted"]
    await look_for(alerting(tmp_path, told("ops", door)), 90, seen_now)
    assert door.names == ["halted", "resumed"]
    assert [message["phase"] for _, message in door.told] == ["begins", "ends"]


async def test_a_broken_file_tells_everything_anew(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    made = alerting(tmp_path, told("ops", door))
    for garbage in ("", "{", "[]", '{"version":1}', '{"version":1,"changes":{},"standing":[],"summary_told_at":"x"}'):
        (tmp_path / STATE_FILE).write_text(garbage)
        made = alerting(tmp_path, told("ops", door))
        assert made.standing.records == {}
    await look_for(made, 5, lambda: attrs.evolve(seen_now(), latched="pressed"))
    assert door.names == ["halted"]


async def test_the_last_look_is_still_delivered(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The monitor ends with its run: how that ended goes out, and is kept."""
    door = Door([1.0])
    made, ending = alerting(tmp_path, told("ops", door)), trio.Event()
    halted = {"state": "ending", "reason": "drawdown", "sentence": "too much", "verified_empty_at": T0}
    await look_for(made, 1, lambda: seen_now(said=halted), ending)
    assert door.names == ["loss_limit"]
    kept = json.loads((tmp_path / STATE_FILE).read_text())
    assert kept["standing"][0]["is_delivered"] is True


async def test_its_file_is_written_now_and_then(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A sentence that changes each second must not cost a write to the disk each second."""
    made = alerting(tmp_path, told("ops", Door()))
    writes: list[str] = []

    class Counted(DirectFile):
        def put(self, text: str) -> None:
            writes.append(text)
            super().put(text)

    made.kept = Counted(tmp_path / STATE_FILE)
    await look_for(made, 100, lambda: seen_now(said={"markets": (market(state="not quoting", sentence=f"{wall()}"),)}))
    assert len(writes) <= 100 / KEEP_SECONDS + 2


async def test_a_file_that_cannot_be_written_is_shown(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    made = alerting(tmp_path, told("ops", Door()))
    made.kept = DirectFile(tmp_path / "gone" / STATE_FILE)
    await look_for(made, 3, seen_now)
    assert [row["subject"] for row in made(seen_now()).alerts] == [STATE_FILE]


async def test_the_daily_summary_is_told_once_a_day(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """It is 08:00; at 09:00, and again a day later, by the same monitor or another."""
    asked: list[float] = []

    async def summarize(until: float) -> str:
        asked.append(until - T0)
        return "12.5 in 24 h"

    door, at_nine = Door(), Alerts(daily_summary_at="09:00")
    for _ in range(2):
        made = alerting(tmp_path, told("ops", door), summarize=summarize, told_of=at_nine)
        with trio.move_on_after(13 * 3_600):
            await made.run(trio.Event())
    assert asked == [3_600, 3_600 + 86_400]
    assert door.names == ["daily_summary"] * 2
    assert door.told[0][1]["sentence"] == "12.5 in 24 h"


async def test_no_secret_gets_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not into files, what is shown, or errors: with URL and token, every answer, and none."""
    secrets = {"HOOK": URL, "BOT": TOKEN, "BEARER": SECRET}
    wanted = {
        "hook": Target("hook", Kind.WEBHOOK, url_env="HOOK", token_env="BEARER"),
        "slack": Target("slack", Kind.SLACK, url_env="HOOK"),
        "bot": Target("bot", Kind.TELEGRAM, token_env="BOT", chat="1"),
    }
    config = attrs.evolve(CONFIG, state_folder=tmp_path, alerts=Alerts(targets=wanted))
    made = open_alerting(config, "conf/paper.toml", secrets, DirectFile(tmp_path / STATE_FILE), wall)
    shown = [repr(made), repr(made.delivery), str(attrs.asdict(config.alerts))]

    async def refused() -> Any:
        raise OSError(111, f"Connection refused: {URL} {TOKEN}")

    for one in made.delivery.targets:
        assert isinstance(one.door, Post)
        one.door.dial = refused
    made(attrs.evolve(seen_now(), latched="pressed"))
    with trio.move_on_after(0.2):
        await made.run(trio.Event())
    shown += [
        repr(made(seen_now())),
        str(made.delivery.failing()),
        *(one.outbox.problem for one in made.delivery.targets),
    ]
    for name, value in secrets.items():
        for bad in (f"{value}\x00", f"{value}\nX: y", f"{value}\u202e", ""):
            with pytest.raises(ConfigError) as caught:
                targets(config.alerts, {**secrets, name: bad})
            shown += ["".join(traceback.format_exception(caught.value, chain=True))]
    captured = capfd.readouterr()
    assert leaks_in("what is shown", "\n".join([*shown, captured.out, captured.err]).encode(), [SECRET]) == []
    assert leaks_under(tmp_path, [SECRET]) == []
    assert leaks_in("a planted leak", f"x{SECRET}".encode(), [SECRET]) != []


async def test_a_target_whose_secret_is_missing_costs_nothing_else(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    wanted = {
        "gone": Target("gone", Kind.SLACK, url_env="NOT_SET"),
        "there": Target("there", Kind.SLACK, url_env="HOOK"),
    }
    config = attrs.evolve(CONFIG, state_folder=tmp_path, alerts=Alerts(targets=wanted))
    made = open_alerting(config, "conf/paper.toml", {"HOOK": URL}, DirectFile(tmp_path / STATE_FILE), wall)
    assert [one.wants.name for one in made.delivery.targets] == ["there"]
    (row,) = made(seen_now()).alerts
    assert (row["name"], row["subject"]) == ("alert_path_fails", "gone")
    assert "alerts.targets.gone.url_env" in str(row["sentence"])


# -- where the secrets are -----------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment_or_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "hook"
    path.write_text(f"{URL}\n")
    path.chmod(0o600)
    by_file = Alerts(targets={"a": Target("a", Kind.SLACK, url_file=str(path))})
    (one,) = targets(by_file, {})
    assert isinstance(one.door, Post)
    assert one.door.where == address(URL)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"alerts\.targets\.a\.url_file: others may read it\. Run chmod 600"):
        targets(by_file, {})
    by_name = Alerts(targets={"a": Target("a", Kind.SLACK, url_env="HOOK")})
    with pytest.raises(ConfigError, match=r"alerts\.targets\.a\.url_env: .* Set the environment variable HOOK\."):
        targets(by_name, {})


def test_a_telegram_and_a_bearer_token_go_where_they_belong() -> None:
    wanted = Alerts(
        targets={
            "bot": Target("bot", Kind.TELEGRAM, token_env="BOT", chat="1"),
            "hook": Target("hook", Kind.WEBHOOK, url_env="HOOK", token_env="BEARER"),
        }
    )
    bot, hook = targets(wanted, {"BOT": "1:abc", "HOOK": "https://host.example/x", "BEARER": "t"})
    assert isinstance(bot.door, Post)
    assert isinstance(hook.door, Post)
    assert (bot.door.where.base_url, bot.door.where.target) == ("https://api.telegram.org", "/bot1:abc/sendMessage")
    assert bot.door.headers == {}
    assert hook.door.headers == {"authorization": "Bearer t"}
