"""The red button against an exchange that refuses, lies and is late; and the release of the latch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maker.launch import account, buttons, latch
from maker.launch.lock import CRASHES
from maker.launch.running import LOSSES_FILE
from maker.launch.settings import PROJECT_FOLDER
from tests.support.venue_script import CANCEL_ALL, ORDERS, Request, Say, ScriptedExchange, order

KEY = "ocx_sk_canary_0123456789"
KEY_ENV = "MAKER_TEST_KEY"
LATE_SECONDS = 0.8  # after the first cancel-all and two empty reads, 0.3 s apart; before the tail's end


def conf(folder: Path, url: str, *, tail: str = "0.3", give_up: str = "3", state: str = "state") -> Path:
    """The live example, at our address and with a short tail."""
    text = (PROJECT_FOLDER / "conf" / "live.example.toml").read_text()
    for pattern, line in {
        r"^base_url = .*$": f'base_url = "{url}"',
        r"^key_env = .*$": f'key_env = "{KEY_ENV}"',
        r"^state_folder = .*$": f'state_folder = "{folder / state}"',
        r"^tail_seconds = .*$": f"tail_seconds = {tail}",
        r"^give_up_seconds = .*$": f"give_up_seconds = {give_up}",
    }.items():
        text, count = re.subn(pattern, line, text, flags=re.MULTILINE)
        assert count, pattern
    path = folder / "live.toml"
    path.write_text(text)
    return path


def press(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Press a button in this process; nothing that it says holds the key, and a hang-up ends us as before."""
    before = signal.getsignal(signal.SIGHUP)
    try:
        code = buttons.main([*words, "--json"])
    finally:
        signal.signal(signal.SIGHUP, before)
    shown = capsys.readouterr()
    assert KEY not in shown.out + shown.err
    said: dict[str, Any] = json.loads(shown.out)
    assert said["exit_code"] == code
    return said


@pytest.fixture(autouse=True)
def the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


@pytest.fixture(autouse=True)
def the_hang_up() -> Iterator[None]:
    """A button decides for its process what a terminal that is gone means; this one is ours."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_latched_before_the_first_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control 9 of the risk layer: a maker must not quote again behind the cancel-all."""
    latched: list[bool] = []

    def look(_request: Request) -> Say | None:
        latched.append((tmp_path / "state" / latch.KILL_FILE).exists())
        return None

    with ScriptedExchange([order(), order("ETH-PERP", 2)], look) as exchange:
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url)))
        assert (said["exit_code"], said["verified_empty"], said["open_orders"], said["latched"]) == (0, True, 0, True)
        assert exchange.resting == []
        assert exchange.requests[0].is_unscoped, "first of all, and everything"
        assert exchange.requests[0].headers["x-api-key"] == KEY
    assert latched
    assert all(latched)
    assert "clear" in said["reason"]


def test_a_terminal_that_is_gone_does_not_end_it(tmp_path: Path) -> None:
    """S1: an ssh session breaks as the network does that the exchange is behind: its shell and its terminal go."""
    ours, theirs = os.openpty()
    open_terminal = 'exec "$@" <>"$0" >&0 2>&1'  # a new session's first becomes the one that is told when it goes
    with ScriptedExchange([order()]) as exchange:

        def hang_up(_request: Request) -> Say | None:
            if len(exchange.requests) == 1:
                os.close(ours)
            return Say(503) if len(exchange.requests) <= 2 else None

        exchange.script = hang_up
        words = [sys.executable, "-m", "maker", "cancel-all", str(conf(tmp_path, exchange.url, give_up="20"))]
        pressed = subprocess.Popen(
            ["sh", "-c", open_terminal, os.ttyname(theirs), *words], cwd=PROJECT_FOLDER, start_new_session=True
        )
        os.close(theirs)
        assert pressed.wait(30) == 0
        assert exchange.resting == []


def test_to_clear_a_latch_is_ended_as_any_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(signal, "signal", lambda *words: told.append(words))
    assert buttons.main(["clear", str(conf(tmp_path, "https://api.ocx.global"))]) == 0
    assert told == []


def test_two_reads_a_moment_apart_come_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedExchange([order()]) as exchange:
        press(capsys, "cancel-all", str(conf(tmp_path, exchange.url)))
        first, second = exchange.requests[-2:]
        assert first.path == second.path == ORDERS
        assert second.at - first.at >= 0.25
        assert exchange.cancels[-1].at < first.at


def test_a_ladder_that_lands_during_the_tail_is_cancelled_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S1, H24: a dead maker's last ladder may land after the first cancel-all, and after two empty reads."""
    with ScriptedExchange([order()]) as exchange:
        # Looked up when it lands: each cancel-all leaves a new list.
        late = threading.Timer(LATE_SECONDS, lambda: exchange.resting.append(order(number=9)))

        def send_late(_request: Request) -> Say | None:
            if len(exchange.requests) == 1:
                late.start()
            return None

        exchange.script = send_late
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url, tail="1.5", give_up="6")))
        late.join()
        assert said["exit_code"] == 0
        assert exchange.resting == [], "it landed after the last cancel-all"


def test_a_button_that_does_not_latch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedExchange([order()]) as exchange:
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url)), "--no-latch")
        assert (said["exit_code"], said["latched"], exchange.resting) == (0, False, [])
    assert not (tmp_path / "state" / latch.KILL_FILE).exists()


def test_a_latch_that_cannot_be_written_is_no_clean_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """H6, H17: it pulls all the same, and says that a running maker may quote again."""
    (tmp_path / "state").write_text("a file where the folder should be")
    with ScriptedExchange([order()]) as exchange:
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url)))
        assert (said["exit_code"], said["verified_empty"], exchange.resting) == (75, True, [])
    assert "NOT LATCHED" in said["reason"]


def test_what_rests_on_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F30: an acknowledged cancel-all proves nothing; what is read back does."""

    def lie(request: Request) -> Say | None:
        return Say() if request.method == "POST" else None

    with ScriptedExchange([order(), order(number=2)], lie) as exchange:
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url, give_up="2")))
    assert (said["exit_code"], said["verified_empty"], said["open_orders"]) == (75, False, 2)
    assert "QUOTES MAY REST" in said["reason"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_ends_it_soon(
    status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F27: never spin; nothing but a better key helps."""

    def refuse(_request: Request) -> Say | None:
        return Say(status)

    with ScriptedExchange([order()], refuse) as exchange:
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url, give_up="60")))
        assert (said["exit_code"], said["verified_empty"], said["open_orders"]) == (77, False, None)
        assert len(exchange.cancels) == buttons.DENIED_MAX
        assert (tmp_path / "state" / latch.KILL_FILE).exists()
    assert "QUOTES MAY REST" in said["reason"]


@pytest.mark.parametrize("answer", [Say(503), Say(drop=True), Say(429, headers=("retry-after: 1",))])
def test_trouble_at_first_is_repeated(answer: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F26, F29: on the cancel-all itself."""
    with ScriptedExchange([order()]) as exchange:
        exchange.script = lambda request: answer if request.path == CANCEL_ALL and len(exchange.cancels) <= 2 else None
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url, give_up="8")))
        assert (said["exit_code"], exchange.resting) == (0, [])


def test_another_key_file_is_used_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential of a service is there only while the service runs; whoever cancels then names the file itself."""
    monkeypatch.delenv(KEY_ENV)
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    with ScriptedExchange([order()]) as exchange:
        configuration = str(conf(tmp_path, exchange.url))
        assert press(capsys, "cancel-all", configuration)["exit_code"] == 78
        assert exchange.requests == []
        assert press(capsys, "cancel-all", configuration, "--key-file", str(path))["exit_code"] == 0
        assert exchange.resting == []


@pytest.mark.parametrize(
    "url",
    ["http://api.ocx.global", "ftp://127.0.0.1", "https://", "https://a:b@c", "127.0.0.1:1", "https://h:99999", ""],
)
def test_the_key_goes_nowhere_in_plain_text(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = press(capsys, "cancel-all", str(conf(tmp_path, url)))
    assert said["exit_code"] == 78
    assert "NOTHING WAS CANCELLED" in said["reason"]
    assert (tmp_path / "state" / latch.KILL_FILE).exists(), "what can be done is done"


def test_a_mistake_elsewhere_in_the_configuration_keeps_nobody_from_cancelling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedExchange([order()]) as exchange:
        path = conf(tmp_path, exchange.url)
        path.write_text(path.read_text().replace("levels = 3", 'levels = "three"') + "\n[nonsense]\n")
        assert press(capsys, "cancel-all", str(path))["exit_code"] == 0
        assert exchange.resting == []


@pytest.mark.parametrize("given", ["-1", '"long"', "true", "0"])
def test_broken_times_fall_back_to_long_ones(given: str, tmp_path: Path) -> None:
    path = conf(tmp_path, "https://api.ocx.global", tail=given, give_up=given)
    tree, folder = account.load(path)
    found = account.account(tree, folder, "")
    assert (found.tail_seconds, found.give_up_seconds) == (account.TAIL_SECONDS, account.GIVE_UP_SECONDS)


def test_a_configuration_that_cannot_be_read_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["cancel-all", str(tmp_path / "none.toml")], ["clear", str(tmp_path / "none.toml")]):
        said = press(capsys, *words)
        assert said["exit_code"] == 78
        assert "none.toml" in said["reason"]


@pytest.mark.parametrize(
    "words",
    [
        ["cancel-all"],
        ["cancel-all", "a.toml", "b.toml"],
        ["cancel-all", "a.toml", "--nolatch"],
        ["cancel-all", "a.toml", "--key-file"],
        ["clear"],
        ["clear", "a.toml", "--no-latch"],
    ],
)
def test_words_that_are_not_known_are_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = press(capsys, *words)
    assert said["exit_code"] == 2
    assert "usage: " in said["reason"]


def test_clear_says_what_the_latch_said_and_takes_the_crash_marks_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = conf(tmp_path, "https://api.ocx.global")
    folder = tmp_path / "state"
    folder.mkdir()
    assert press(capsys, "clear", str(path))["reason"].startswith("Nothing to clear")
    latch.write(folder, "loss", "the loss of the day reached its limit")
    (folder / CRASHES).write_text("1.0\n")
    said = press(capsys, "clear", str(path))
    assert said["exit_code"] == 0
    assert "the loss of the day reached its limit (loss, " in said["reason"]
    assert list(folder.iterdir()) == []
    (folder / CRASHES).write_text("1.0\n")
    assert press(capsys, "clear", str(path))["reason"].startswith("Cleared: the marks of earlier crashes")
    assert list(folder.iterdir()) == []
    (folder / LOSSES_FILE).write_text("{}")
    (folder / CRASHES).write_text("1.0\n")
    said = press(capsys, "clear", str(path))["reason"]
    assert said.startswith("Cleared: the marks of earlier crashes, and the losses counted so far. ")
    assert list(folder.iterdir()) == []


def test_a_bug_of_ours_is_no_clean_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(buttons, "pull", broken)
    with ScriptedExchange() as exchange:
        said = press(capsys, "cancel-all", str(conf(tmp_path, exchange.url)))
    assert said["exit_code"] == 75
    assert "QUOTES MAY REST" in said["reason"]


def test_the_standard_library_is_enough() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import maker.launch.buttons; "
        "print([name for name in sys.modules if name.split('.')[0] not in sys.stdlib_module_names])"
    )
    words = [sys.executable, "-I", "-S", "-c", program, str(PROJECT_FOLDER)]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(ended.stdout.replace("'", '"'))}
    assert loaded <= {"maker", "__main__"}


def test_flatten_latches_and_cancels_before_it_needs_a_package(tmp_path: Path) -> None:
    """Its packages may be broken: what needs none of them is done by then."""
    program = "import sys; from maker.__main__ import main; sys.exit(main(sys.argv[1:]))"
    with ScriptedExchange([order()]) as exchange:
        words = [sys.executable, "-S", "-c", program, "flatten", str(conf(tmp_path, exchange.url)), "BTC-PERP"]
        environment = {"PYTHONPATH": str(PROJECT_FOLDER), KEY_ENV: KEY}
        ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=30)
        assert ended.returncode == 75, ended.stderr
        assert "No module named" in ended.stdout, "this Python must have no packages"
        assert "QUOTES MAY REST" in ended.stdout
        assert exchange.resting == []
        assert exchange.requests[0].is_unscoped
    assert "flatten was asked for by command" in (tmp_path / "state" / latch.KILL_FILE).read_text()
