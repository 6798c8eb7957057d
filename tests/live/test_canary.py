"""S18: no secret is in anything that a run leaves behind, shows or says; and one that is would be found.

One practice exchange, every kind of secret, three runs of the maker that meet what makes them talk: an exchange that
refuses with what it was sent, one that is gone, targets of alerts that fail, a reload with another key, kill -9, an
unhandled error, a key that is refused. Their files, what they and every command said, all answers of the monitor, and
the words of every process are looked through. Then another run, each of whose processes shows a secret in its way.
"""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import trio

from maker.drills import processes, scene
from maker.drills.command import perform
from maker.drills.configuration import prepare
from maker.drills.processes import TRADE_KEY, MakerRun, cleaned, now_ms, start_maker, until
from maker.drills.record import BULK, CANCEL_ALL, ORDERS
from maker.drills.table import BY_NAME
from maker.monitor import pages
from tests.live.canaries import LOOK_SECONDS, World, as_it_came, as_json, as_page, as_state, world
from tests.live.looking import monitored
from tests.live.support import PROJECT
from tests.support.canary import leaks_in, leaks_in_words, leaks_under

STEP_SECONDS_MAX = 90.0  # of a step that takes two on an idle machine
SCENE_SECONDS_MAX = 280.0  # it takes 40 where little else runs; less than what ends a hung test
LIES = 14  # that the scene has the exchange tell
EVENTS_SECONDS = 1.5  # of the page's events: one is sent each second
CUT_SECONDS = 0.5
HOST = "HTTP/1.1\r\nHost: localhost"


@attrs.define
class Outcome:
    """What became of the scene."""

    leaks: list[str] = attrs.field(factory=list)
    secrets: dict[str, str] = attrs.field(factory=dict, repr=False)
    exit_codes: dict[str, int] = attrs.field(factory=dict)
    logs: str = attrs.field(default="", repr=False)  # of the three runs
    answers: int = 0  # of the monitor's
    lies_told: int = 0  # by the exchange
    asked: bytes = attrs.field(default=b"", repr=False)  # of the targets of alerts
    told: bytes = attrs.field(default=b"", repr=False)  # to them, without the heads
    exchange_state: bytes = attrs.field(default=b"", repr=False)


# -- the scene ------------------------------------------------------------------------------------------------------


async def looked_at(on: World, maker: MakerRun) -> None:
    """Ask the monitor for everything it has, and for what it must refuse; look at the processes."""
    url = await monitored(maker)
    token_file = on.desk.folder / "monitor.token"
    token = on.secrets["the kill button's token"] = token_file.read_text().strip()
    on.belongs.append(token_file)
    for path in ("/", *pages.load(), "/metrics", "/healthz", "/history?seconds=60", "/fills", "/nothing"):
        assert (await on.ask(url, f"GET {path} {HOST}")).startswith(b"HTTP/1.1 ")
    await on.ask(url, f"GET /events {HOST}", seconds=EVENTS_SECONDS)
    kind, wrong = "Content-Type: application/json", on.secrets["the trade key"]
    for head in (
        f"POST /kill {HOST}\r\n{kind}\r\nAuthorization: Bearer {wrong}",  # somebody takes one for the other
        f"POST /kill {HOST}\r\n{kind}\r\nAuthorization: Bearer {token}",  # not confirmed
        f"POST /kill {HOST}\r\n{kind}\r\nAuthorization Bearer {token}",
        f"GET /kill?token={token} {HOST}",
    ):
        await on.ask(url, head, b'{"confirm": "somebody else"}')
    on.look_at(*(as_state(on.desk.folder)[name] for name in ("guard_pid", "maker_pid", "monitor_pid")))


async def back(maker: MakerRun) -> None:
    """Wait until every market is quoted again."""
    await maker.quoting(now_ms(), seconds=STEP_SECONDS_MAX)


async def quoted_reloaded_and_killed(on: World) -> int:
    """Faults while it quotes, another key, and kill -9, to whose guard the exchange lies too."""
    desk = on.desk
    on.faults.put(f"GET {ORDERS} ", as_page(502), holding=on.secrets["the monitor's read key"])
    maker = start_maker(desk.folder, desk.conf, record=on.venue.record, environment=desk.environment)
    with cleaned(maker):
        await maker.quoting(seconds=STEP_SECONDS_MAX)
        await looked_at(on, maker)
        on.faults.put(f"POST {BULK}", as_json(422), as_json(500), as_it_came)
        on.faults.put(f"POST {CANCEL_ALL}", as_json(503))
        on.faults.put("GET /perps/market-stats", as_page(502), as_it_came)
        await until(lambda: not on.faults.left, STEP_SECONDS_MAX, f"all faults; left: {len(on.faults.left)}")
        on.exchange.cut()
        await trio.sleep(CUT_SECONDS)
        on.faults.put("GET /perps/stream", as_page(503))
        on.exchange.mend()
        await back(maker)
        assert (await desk.command("alert-test", str(desk.conf)))["exit_code"] == 1
        await on.make_key("another trade key", "trade", "key.new")
        (desk.folder / "key.new").rename(desk.folder / "key")
        reloaded = await desk.command("reload", str(desk.conf))
        assert reloaded["exit_code"] == 0, (reloaded, maker.log[-3000:])
        await back(maker)
        await looked_at(on, maker)
        on.look()  # the journal's write-ahead log, run.json and the kill button's token are there
        on.faults.put(f"POST {CANCEL_ALL}", as_it_came, as_json(401), as_json(429))
        maker.signal_maker(signal.SIGKILL)
        code = await maker.process.wait(STEP_SECONDS_MAX)
        assert not on.faults.left, "the guard met them all"
    on.look()  # the next run takes up the log that the killed one left
    return code


async def ended_by(on: World, *entry: str) -> int:
    """Quote until it ends by itself."""
    desk = on.desk
    more: dict[str, Any] = {"entry": entry} if entry else {}
    maker = start_maker(desk.folder, desk.conf, record=on.venue.record, environment=desk.environment, **more)
    with cleaned(maker):
        return await maker.process.wait(STEP_SECONDS_MAX)


async def everything(folder: Path) -> Outcome:
    """Three runs, and what came of them."""
    outcome = Outcome()
    async with world(folder) as on:
        desk = on.desk
        await on.make_key("a key that was shown", "read")
        assert (await desk.keys("list"))["exit_code"] == 0
        checked = await desk.command("check", str(desk.conf))
        assert checked["exit_code"] == 0, checked
        codes = outcome.exit_codes
        codes["killed"] = await quoted_reloaded_and_killed(on)
        desk.conf.write_text(desk.conf.read_text().replace("enabled = true", "enabled = false"))
        codes["unhandled error"] = await ended_by(on, "-m", "tests.live.planted", "ladder")
        on.faults.put(f"POST {BULK}", as_json(401))
        codes["refused"] = await ended_by(on)
        html, tables = desk.folder / "report.html", desk.folder / "tables"
        on.faults.put(f"POST {CANCEL_ALL}", as_it_came, as_json(503))
        assert (await desk.command("cancel-all", str(desk.conf), "--no-latch"))["exit_code"] == 0
        words = (str(desk.conf), "--html", str(html), "--csv", str(tables))
        assert (await desk.command("report", *words))["exit_code"] == 0
        outcome.logs = "".join(path.read_text() for path in desk.folder.glob("maker-*.err"))
        outcome.asked, outcome.told = b"".join(on.hook.received), on.hook.told
        outcome.answers, outcome.lies_told = on.answers, on.exchange.lies_told
        on.note(leaks_in("an alert", outcome.told, on.secrets))
        outcome.secrets = on.secrets
    on.look()  # with what the exchange has written at its end
    outcome.leaks = [*on.seen, *desk.leaks]
    outcome.exchange_state = (folder / "venue-state.json").read_bytes()
    return outcome


async def planted(folder: Path) -> list[str]:
    """Every leak that is found of a run each of whose processes shows a secret in its own way."""
    async with world(folder) as on:
        desk, trigger = on.desk, folder / "trigger"
        entry = ("-m", "tests.live.leaking", str(trigger))
        maker = start_maker(desk.folder, desk.conf, record=on.venue.record, environment=desk.environment, entry=entry)
        with cleaned(maker):
            await maker.quoting(seconds=STEP_SECONDS_MAX)
            url = await monitored(maker)
            token_file = desk.folder / "monitor.token"
            on.keep("the kill button's token", token_file.read_text().strip())
            on.belongs.append(token_file)
            for path in ("/healthz", "/events"):
                await on.ask(url, f"GET {path} {HOST}", seconds=EVENTS_SECONDS)
            on.note(leaks_in_words(on.secrets))
            on.look()  # run.json is there
            trigger.touch()
            await maker.process.wait(STEP_SECONDS_MAX)
        on.look()
        return list(on.seen)


T = TypeVar("T")


def play_once(story: Callable[[Path], Awaitable[T]], folder: Path) -> T:
    """Play a scene once, for all tests that look at a part of it."""

    async def within() -> T:
        with trio.fail_after(SCENE_SECONDS_MAX):
            return await story(folder)

    return trio.run(within)


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """How fast anything is does not matter here: a machine that is busy takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "START_SECONDS_MAX", STEP_SECONDS_MAX)
        patch.setattr(scene, "QUOTE_SECONDS_MAX", STEP_SECONDS_MAX)
        yield


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return play_once(everything, tmp_path_factory.mktemp("canary"))


@pytest.fixture(scope="module")
def leaks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return play_once(planted, tmp_path_factory.mktemp("leaking"))


# -- what must hold -------------------------------------------------------------------------------------------------


def test_nothing_of_a_run_shows_a_secret(outcome: Outcome) -> None:
    """Journal, write-ahead log, run.json, incidents, logs, results, reports, pages, alerts, words, configuration."""
    assert not outcome.leaks, "\n".join(outcome.leaks)


def test_all_of_it_happened(outcome: Outcome) -> None:
    """Else the silence would prove nothing: runs ended so, sessions and alerts were told, tracebacks written."""
    assert outcome.exit_codes == {"killed": 70, "unhandled error": 70, "refused": 77}
    assert [name for name in outcome.secrets if name.startswith("session ")]
    for name in ("the webhook's path", "the bearer token", "the bot's token", "Slack's path"):
        assert outcome.secrets[name].encode() in outcome.asked, name
    assert b"test" in outcome.told
    for said in ("ocx_sk_[redacted]", "401", "Traceback", "PlantedError"):
        assert said in outcome.logs, said
    assert outcome.lies_told >= LIES
    assert outcome.answers > 50


def test_the_exchange_keeps_digests_alone(outcome: Outcome) -> None:
    """Its files were looked through with the others; what it knows a key by is its digest."""
    for name in ("the trade key", "another trade key", "the monitor's read key", "a key that was shown"):
        assert hashlib.sha256(outcome.secrets[name].encode()).hexdigest().encode() in outcome.exchange_state


@pytest.mark.parametrize(
    ("secret", "place"),
    [
        ("the trade key", r"/maker-\d+\.err"),  # a log line
        ("the trade key", r"/journal\.sqlite(-wal)?"),  # a journal row
        ("the wallet's key", r"/maker-\d+\.err"),  # a traceback
        ("the wallet's key", r"/maker-\d+\.out"),  # ... and the run's last word, which says why it ended
        ("the wallet's key", r"/alerts\.json"),  # ... and what is told of it
        ("the kill button's token", "the monitor's answer to /events"),  # a page
        ("the trade key", r"cmdline of \d+"),  # words
        ("the trade key", r"/run\.json"),
    ],
)
def test_a_planted_leak_is_found(secret: str, place: str, leaks: list[str]) -> None:
    found = [leak for leak in leaks if re.fullmatch(rf"{secret} is in .*{place}", leak)]
    assert found, "\n".join(leaks)


async def test_what_drills_leave_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's own secrets, wherever they are kept, nor the key that a drill quotes with."""
    folder = tmp_path / "drills"
    folder.mkdir()
    canaries = {name: f"{name}_canary_0123456789abcdef" for name in ("ocx_sk", "ocx_sk_read", "hook")}
    monkeypatch.setenv("OCX_API_KEY", canaries["ocx_sk"])
    (tmp_path / "read").write_text(canaries["ocx_sk_read"])
    monkeypatch.setenv("MAKER_ALERT_URL", f"https://hooks.test/{canaries['hook']}")
    conf = tmp_path / "live.toml"
    text = (PROJECT / "conf" / "live.example.toml").read_text()
    text = re.sub(r'(?m)^# key_file = "~/.config/maker/read".*$', f'key_file = "{tmp_path / "read"}"', text)
    conf.write_text(f'{text}\n[alerts.targets.ops]\nkind = "webhook"\nurl_env = "MAKER_ALERT_URL"\n')
    wanted, seen = {**canaries, "the drill's key": TRADE_KEY}, dict[str, None]()
    settings = prepare(conf)
    async with trio.open_nursery() as nursery:

        async def look_at_words() -> None:
            while True:
                seen.update(dict.fromkeys(leaks_in_words(wanted)))
                await trio.sleep(LOOK_SECONDS)

        nursery.start_soon(look_at_words)
        for name in ("kill_9", "unhandled_error"):
            row = await perform(BY_NAME[name], settings, folder, lambda: None)
            assert row.no_quotes_ms is not None, row  # how fast it was is no matter of ours
            assert list((folder / name).glob("journal.sqlite*"))
        nursery.cancel_scope.cancel()
    assert [*seen, *leaks_under(folder, wanted)] == []
