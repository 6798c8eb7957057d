"""The command: the key it takes and those it refuses, one monitor a folder, and how it is refused a port."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
import structlog

from maker.app.config import Config, check, load
from maker.errors import ConfigError, StartRefused
from maker.launch.key import Key, Unfit, spell
from maker.launch.reloading import RELOAD_SIGNAL
from maker.monitor import command
from maker.monitor.server import SPARE_CONNECTIONS
from tests.app.test_config import live_tree

PROJECT = Path(__file__).parents[2]
CONF = Path("conf/live.toml")
SECRET = "ocx_sk_canary_monitor"
WAIT_SECONDS_MAX = 30.0


def a_config(**monitor: object) -> Config:
    tree = live_tree()
    tree["monitor"] = monitor
    return check(tree)


def a_key_file(folder: Path, scope: str) -> Path:
    path = folder / "key"
    path.write_text(spell(Key(SECRET, "ocx_kid_m", scope), "monitor") if scope else SECRET)
    path.chmod(0o600)
    return path


def test_a_read_key_is_taken_from_its_file_or_variable(tmp_path: Path) -> None:
    found = command.own_key(a_config(key_file=str(a_key_file(tmp_path, "read"))), {}, CONF)
    assert (found.secret, found.scope) == (SECRET, "read")
    found = command.own_key(a_config(key_env="READ_KEY"), {"READ_KEY": SECRET}, CONF)
    assert (found.secret, found.scope) == (SECRET, ""), "nothing is known of it, and the exchange decides"


def test_a_trade_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Least privilege: whoever only looks must not be able to trade, unless somebody wrote that down."""
    path = str(a_key_file(tmp_path, "trade"))
    with pytest.raises(Unfit) as refused:
        command.own_key(a_config(key_file=path), {}, CONF)
    assert "scope 'trade'" in str(refused.value)
    assert "keys create conf/live.toml --scope read" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert command.own_key(a_config(key_file=path, trade_key_allowed=True), {}, CONF).scope == "trade"


def test_without_a_key_it_has_none_and_in_practice_the_published_one() -> None:
    assert command.own_key(a_config(), {"OCX_KEY": SECRET}, CONF).secret == ""
    assert command.own_key(load(PROJECT / "conf" / "paper.toml"), {}, CONF).scope == "read"


@pytest.mark.parametrize("words", [{"key_env": "READ_KEY"}, {"key_file": "/nowhere/key"}])
def test_a_key_that_is_not_there_names_its_own_place(words: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"monitor.{next(iter(words))}"):
        command.own_key(a_config(**words), {}, CONF)


def test_one_monitor_a_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits a moment, for the one before may be ending, and then says who is there."""
    monkeypatch.setattr(command, "LOCK_SECONDS_MAX", 0.0)
    with contextlib.ExitStack() as stack:
        command.hold_lock(tmp_path, stack)
        with contextlib.ExitStack() as other, pytest.raises(StartRefused, match=f"process {os.getpid()}"):
            command.hold_lock(tmp_path, other)
    with contextlib.ExitStack() as stack:
        command.hold_lock(tmp_path, stack)


def paper(folder: Path, port: int = 0) -> Path:
    text = (PROJECT / "conf" / "paper.toml").read_text()
    text = text.replace('state_folder = "state"', f'state_folder = "{folder}"')
    head, own = text.split("[monitor]")
    path = folder / "conf.toml"
    path.write_text(f"{head}[monitor]{own.replace('port = 0', f'port = {port}', 1)}")
    return path


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        conf = paper(tmp_path, taken.getsockname()[1])
        words = command.Words(conf, json=False, owner_pid=None, status=False)
        log = structlog.wrap_logger(None, processors=[lambda *_w: ""])
        with contextlib.ExitStack() as stack, pytest.raises(StartRefused, match="give each a port of its own"):
            command.look_on(words, log, stack)
    assert not (tmp_path / "monitor.token").exists()


def test_the_command_as_a_process(tmp_path: Path) -> None:
    """By hand, without a run: it says where the page is, ends at a signal with 0, leaves its lock and what it told."""
    conf = paper(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "maker", "monitor", str(conf), "--json"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OCX_API_KEY": SECRET},
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["monitor_url"].startswith("http://127.0.0.1:")
        assert Path(told["token_file"]).read_text().strip()
        token = Path(told["token_file"]).read_text().strip()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert json.loads(out) == {"reason": "stopped as asked", "exit_code": 0}
    assert process.returncode == 0
    assert token.encode() not in out + err
    assert sorted(os.listdir(tmp_path)) == ["alerts.json", "conf.toml", "monitor.lock"]


def test_many_pages_have_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit is raised as far as needed and allowed, and never lowered."""
    limits = [(64, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _what: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _what, wanted: limits.append(wanted))
    command.allow_descriptors(256)
    assert limits[-1] == (256 + SPARE_CONNECTIONS + command.SPARE_DESCRIPTORS, 4096)
    command.allow_descriptors(10)
    assert len(limits) == 2
    limits.append((64, 100))
    command.allow_descriptors(256)
    assert limits[-1] == (100, 100)


def test_a_signal_to_reload_stays_blocked_and_no_other() -> None:
    """`systemctl kill -s USR1` sends it to every process of the service, and means the run's parent."""
    masks: list[set[int]] = []

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with contextlib.suppress(SystemExit):
            command.main(["--no-such-word"])
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    thread = threading.Thread(target=begin)  # each has a mask of its own
    thread.start()
    thread.join()
    assert masks == [{RELOAD_SIGNAL}]


def test_words() -> None:
    given = command.parse(["a.toml", "--owner-pid", "7", "--status"])
    assert given == command.Words(Path("a.toml"), json=False, owner_pid=7, status=True)
    with pytest.raises(SystemExit):
        command.parse([])


def test_an_address_that_is_not_local_is_known() -> None:
    config = a_config(address="0.0.0.0")
    assert not config.monitor.is_local
    assert attrs.evolve(config.monitor, address="::1").is_local
