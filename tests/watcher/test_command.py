"""`watch` as it is typed: words, configuration, whose key, exit codes, and that the standard library is enough."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from maker.launch.settings import PROJECT_FOLDER
from maker.watcher import command
from maker.watcher.host import Host
from tests.support.venue_script import CANCEL_ALL, Request, Say, ScriptedExchange, order

KEY, OTHER = "ocx_sk_canary_0123456789", "ocx_sk_canary_9876543210"
KEY_ENV = "MAKER_TEST_KEY"
SECONDS_MAX = 30.0


def conf(folder: Path, url: str, *pairs: tuple[str, str]) -> Path:
    """The live example, at our address, with these replacements."""
    text = (PROJECT_FOLDER / "conf" / "live.example.toml").read_text()
    places = [(r"^base_url = .*$", f'base_url = "{url}"'), (r"^key_env = .*$", f'key_env = "{KEY_ENV}"')]
    places.append((r"^state_folder = .*$", f'state_folder = "{folder / "state"}"'))
    for pattern, line in (*places, *pairs):
        text, count = re.subn(pattern, lambda _match, line=line: line, text, flags=re.MULTILINE)  # type: ignore[misc]
        assert count, pattern
    path = folder / "live.toml"
    path.write_text(text)
    return path


def key_file(folder: Path, name: str, secret: str, mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(secret + "\n")
    path.chmod(mode)
    return path


def watch(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Watch in this process; nothing that it says holds a key."""
    code = command.main([*words, "--json"])
    shown = capsys.readouterr()
    assert KEY not in shown.out + shown.err
    assert OTHER not in shown.out + shown.err
    said: dict[str, Any] = json.loads(shown.out)
    assert said["exit_code"] == code
    return said


def stop_after_first_read(request: Request) -> Say | None:
    """Tell this process to stop, as a person at the terminal would."""
    if request.path != CANCEL_ALL:
        os.kill(os.getpid(), signal.SIGTERM)
    return None


@pytest.fixture(autouse=True)
def the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_after_a_last_look(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedExchange([order()]) as exchange:
        exchange.script = lambda one: os.kill(os.getpid(), number) if len(exchange.requests) == 1 else None
        said = watch(capsys, str(conf(tmp_path, exchange.url)))
        assert (said["exit_code"], said["orders_of_ours"], said["pulls"]) == (0, 1, 0)
        assert len(exchange.reads) == said["reads"] == 2
        assert exchange.resting
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler), "as before"


def test_told_to_stop_while_nothing_answers_is_75(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedExchange() as exchange:
        exchange.script = lambda one: stop_after_first_read(one) or Say(503)
        said = watch(capsys, str(conf(tmp_path, exchange.url)))
    assert (said["exit_code"], said["orders_of_ours"]) == (75, None)
    assert "QUOTES MAY REST" in said["reason"]


def test_no_good_key_at_the_start_is_77(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the exchange after three tries; or known beforehand, by the notes beside it, to be one that reads."""
    monkeypatch.setattr(Host, "pause", lambda _self, _seconds: None)
    with ScriptedExchange([order()], lambda _one: Say(401)) as exchange:
        path = conf(tmp_path, exchange.url)
        assert watch(capsys, str(path))["exit_code"] == 77
        assert len(exchange.requests) == 3
        noted = key_file(tmp_path, "noted", f"{KEY}\n# id: ocx_kid_1\n# scope: read")
        said = watch(capsys, str(path), "--key-file", str(noted))
        assert said["exit_code"] == 77
        assert "scope 'read'" in said["reason"]
        assert len(exchange.requests) == 3


def test_whose_key_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--key-file, or else [watch]'s, or else [exchange]'s: one file serves both hosts."""
    used: list[str] = []

    def note(request: Request) -> Say | None:
        used.append(request.headers["x-api-key"])
        return stop_after_first_read(request)

    own = key_file(tmp_path, "own", OTHER)
    with ScriptedExchange([], note) as exchange:
        plain = str(conf(tmp_path, exchange.url))
        watch(capsys, plain)
        watch(capsys, plain, "--key-file", str(own))
        watched = str(conf(tmp_path, exchange.url, (r"^\[watch\].*$", f'[watch]\nkey_file = "{own}"')))
        monkeypatch.delenv(KEY_ENV)
        watch(capsys, watched)
        by_name = str(conf(tmp_path, exchange.url, (r"^\[watch\].*$", '[watch]\nkey_env = "MAKER_WATCH_KEY"')))
        monkeypatch.setenv("MAKER_WATCH_KEY", OTHER)
        watch(capsys, by_name)
    assert used == [secret for secret in (KEY, OTHER, OTHER, OTHER) for _ in range(3)], "a look, the proof, a last look"


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ((r"^key_env = .*$", 'key_env = "MAKER_NO_SUCH_KEY"'), "exchange.key_env"),
        ((r"^\[watch\].*$", '[watch]\nkey_file = "/nowhere/key"'), "watch.key_file: cannot be read"),
        ((r"^base_url = .*$", 'base_url = "http://api.ocx.global"'), "exchange.base_url"),
        ((r"^# ca_file = .*$", 'ca_file = "/nowhere.pem"'), "exchange.ca_file"),
        ((r"^poll_seconds = .*$", "poll_seconds = 0"), "watch.poll_seconds"),
        ((r"^order_prefix = .*$", "order_prefix = 7"), "order_prefix"),
        ((r"^mode = .*$", 'mode = "test"'), "mode must be"),
        ((r"^mode = .*$", 'mode = "paper"'), "No practice exchange is running"),
        ((r"^mode = .*$", "mode = "), "not valid TOML"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_78(
    pair: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = conf(tmp_path, "https://api.ocx.global", pair)
    ended = watch(capsys, str(path))
    assert ended["exit_code"] == 78
    assert said in ended["reason"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = conf(tmp_path, "https://api.ocx.global")
    ended = watch(capsys, str(path), "--key-file", str(key_file(tmp_path, "key", KEY, 0o644)))
    assert ended["exit_code"] == 78
    assert "chmod 600" in ended["reason"]


@pytest.mark.parametrize(
    "words",
    [[], ["a.toml", "b.toml"], ["a.toml", "--fast"], ["a.toml", "--key-file"], ["a.toml", "--key-file", "--json"]],
)
def test_words_that_are_not_known_are_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ended = watch(capsys, *words)
    assert ended["exit_code"] == 2
    assert command.USAGE_LINE in ended["reason"]


def test_help_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    assert capsys.readouterr().out == command.USAGE_LINE + "\n"


def test_a_mistake_elsewhere_keeps_nobody_from_watching(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedExchange([], stop_after_first_read) as exchange:
        path = conf(tmp_path, exchange.url, (r"^levels = 3.*$", 'levels = "three"'))
        assert watch(capsys, str(path))["exit_code"] == 0


def test_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No lock, no state folder: it may run beside a maker, and twice."""
    with ScriptedExchange([], stop_after_first_read) as exchange:
        path = conf(tmp_path, exchange.url)
        watch(capsys, str(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_bare_python_is_enough(tmp_path: Path) -> None:
    """By the command as it is typed, without packages: it pulls, logs JSON lines, and ends as told."""
    bare = getattr(sys, "_base_executable", sys.executable)
    old = order() | {"createdAt": "2020-01-01T00:00:00.000Z"}
    dated = ("Date: Sat, 28 Nov 2026 12:00:00 GMT",)
    pulled = threading.Event()
    with ScriptedExchange([old]) as exchange:

        def date(request: Request) -> Say | None:
            if request.method == "GET":
                if len(exchange.reads) >= 3:
                    pulled.set()
                return Say(200, json.dumps(exchange.resting).encode(), dated)
            return None

        exchange.script = date
        words = [bare, "-I", str(PROJECT_FOLDER / "run.py"), "watch", str(conf(tmp_path, exchange.url)), "--json"]
        environment = {"PATH": os.environ["PATH"], KEY_ENV: KEY}
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path, text=True
        ) as process:
            try:
                assert pulled.wait(SECONDS_MAX)
                process.send_signal(signal.SIGTERM)
                out, log = process.communicate(timeout=SECONDS_MAX)
            finally:
                process.kill()
        said = json.loads(out)
        assert (process.returncode, said["pulls"], exchange.resting) == (0, 1, [])
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["event"] for line in lines] == ["watching", "reading", "pulling", "pulled", "stopped"]
    assert {line["process"] for line in lines} == {"watch"}
    assert KEY not in out + log


def test_the_standard_library_is_enough() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import maker.watcher.command; "
        "print([name for name in sys.modules if name.split('.')[0] not in sys.stdlib_module_names])"
    )
    words = [sys.executable, "-I", "-S", "-c", program, str(PROJECT_FOLDER)]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    loaded = set(json.loads(ended.stdout.replace("'", '"'))) - {"__main__"}
    assert {name.split(".")[0] for name in loaded} == {"maker"}
    assert {name.split(".")[1] for name in loaded if name.count(".")} == {"guard", "launch", "watcher"}
