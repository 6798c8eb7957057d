"""conf/deploy/upgrade.sh against a bot that quotes: its quotes are never left, whatever becomes of the upgrade.

The service manager is a stand-in (tests/support/services.py) that runs the unit's own command lines as real processes;
the repository, the practice exchange, the bot, its guard and the script are the real ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from maker.drills import processes
from maker.drills.processes import TRADE_KEY, VenueProcess, now_ms, start_venue, until
from tests.live.stage import live_conf
from tests.support.services import (
    commit,
    make_machine,
    make_services,
    make_template,
    services_environment,
    snapshot,
)
from tests.test_deploy import CREDENTIAL, DEPLOY, SHORT

SCRIPT = DEPLOY / "upgrade.sh"
SECONDS_MAX = 120.0  # of one upgrade, on a busy machine; 15 on a quiet one
QUOTED_SECONDS_MAX = 60.0


@attrs.define(eq=False)
class Machine:
    """A machine's folders below one of the test's, with a bot installed as the unit's first lines say."""

    root: Path
    venue: VenueProcess
    environment: dict[str, str]
    repository: Path
    said: str = ""

    @property
    def folder(self) -> Path:
        return self.root / "opt/maker"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/maker"

    @property
    def version(self) -> str:
        words = ["git", "-C", str(self.folder), "describe", "--tags", "--exact-match"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    @property
    def pid(self) -> int:
        return int((self.root / "units/maker/pid").read_text())

    @property
    def is_active(self) -> bool:
        return (
            subprocess.run(
                [self.root / "bin/systemctl", "is-active", "maker"], env=self.environment, check=False
            ).returncode
            == 0
        )

    def systemctl(self, verb: str) -> None:
        subprocess.run([self.root / "bin/systemctl", verb, "maker"], env=self.environment, check=True)

    async def upgrade(self, *words: str, **more: str) -> int:
        """Run the script that is installed, and return its exit code."""
        command = ["sh", str(self.folder / "conf/deploy/upgrade.sh"), *words]
        ended = await trio.to_thread.run_sync(
            partial(
                subprocess.run,
                command,
                env=self.environment | more,
                cwd="/",
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
            )
        )
        self.said = ended.stderr
        assert ended.stdout == ""
        return int(ended.returncode)

    async def quoting(self, since: float) -> None:
        def look() -> bool:
            self.venue.record.refresh()
            return len({(line["marketId"], line["side"]) for line in self.venue.record.placed(since)}) == 4

        await until(look, QUOTED_SECONDS_MAX, f"quotes; {(self.root / 'units/maker/log').read_text()[-2000:]}")

    def change(self, version: str, path: str = "README.md", text: str = "\n") -> None:
        """Release another version, with something appended to a file."""
        with (self.repository / path).open("a") as file:
            file.write(text)
        commit(self.repository, version)

    def take_back(self, path: str) -> None:
        """Undo what the last version changed there."""
        subprocess.run(["git", "-C", self.repository, "checkout", "--quiet", "first", "--", path], check=True)

    def clean_up(self) -> None:
        for unit in (self.root / "units").glob("*"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((unit / "pid").read_text()), signal.SIGTERM)


def install(root: Path, venue: VenueProcess) -> Machine:
    """Install as the unit's first lines say, from a repository that holds this working copy."""
    make_services(root / "bin")
    make_machine(root)
    repository = snapshot(root)
    environment = services_environment(
        root / "bin",
        make_template(root),
        root,
        MAKER_FOLDER=str(root / "opt/maker"),
        MAKER_CONF=str(root / "etc/maker/live.toml"),
        MAKER_KEY=str(root / "etc/maker/ocx-key"),
        MAKER_STATE=str(root / "var/lib/maker"),
        MAKER_SETTLE_SECONDS="3",
    )
    subprocess.run(["git", "clone", "--quiet", repository, root / "opt/maker"], check=True, env=environment)
    (root / "etc/maker").mkdir()
    key, conf = root / "etc/maker/ocx-key", root / "etc/maker/live.toml"
    key.write_text(TRADE_KEY + "\n")
    key.chmod(0o600)
    text = live_conf(root / "var/lib/maker", venue.port, venue.reference_port, replace=SHORT).read_text()
    (root / "var/lib/maker/run.toml").unlink()
    text, count = re.subn(r"^key_env = .*$", CREDENTIAL, text, flags=re.MULTILINE)
    assert count == 1
    conf.write_text(text.replace('"/run/', f'"{root}/run/'))
    shutil.copy(DEPLOY / "maker.service", root / "etc/systemd/system/maker.service")
    return Machine(root, venue, environment, repository)


@contextlib.contextmanager
def installed(root: Path, venue: VenueProcess) -> Iterator[Machine]:
    machine = install(root, venue)
    try:
        yield machine
    finally:
        machine.clean_up()


def test_the_script_is_sound() -> None:
    """By the shell itself, and by shellcheck where it is installed."""
    subprocess.run(["sh", "-n", SCRIPT], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not on this machine")
    ended = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    "words", [[], ["--now"], ["--new-journal", "--now"], ["v1", "v2"], [""], ["v1", "--new-journal"]]
)
def test_words_that_are_not_known(words: list[str]) -> None:
    """Nothing is touched: not even git is asked."""
    environment = {"PATH": "/nowhere", "MAKER_FOLDER": "/nowhere"}
    ended = subprocess.run(["/bin/sh", SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "usage: upgrade.sh [--new-journal] [VERSION]" in ended.stderr


def test_upgrades_never_leave_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good version; one that fails its check; one that does not start; a stop that proves nothing; a new journal."""
    monkeypatch.setattr(processes, "START_SECONDS_MAX", QUOTED_SECONDS_MAX)

    async def scene() -> None:
        (tmp_path / "venue").mkdir()
        venue = await start_venue(tmp_path / "venue")
        try:
            with installed(tmp_path, venue) as machine:
                await good_and_bad_versions(machine)
        finally:
            venue.process.kill()

    trio.run(scene)


async def good_and_bad_versions(machine: Machine) -> None:
    record = machine.venue.record
    machine.systemctl("start")
    await machine.quoting(0.0)

    machine.change("second")
    at, before = now_ms(), machine.pid
    assert await machine.upgrade("second") == 0, machine.said
    assert (machine.version, machine.is_active) == ("second", True)
    assert machine.pid != before
    assert "maker runs in version" in machine.said
    await machine.quoting(at)
    gap = record.emptied_at(at)
    assert gap is not None, "at some moment between stop and start nothing rested"
    assert record.resting(gap) == {}

    before = machine.pid
    machine.change("broken", "maker/app/quoter.py", "\nnonsense nonsense\n")
    assert await machine.upgrade("broken") == 1
    assert "does not pass" in machine.said
    assert (machine.version, machine.pid, machine.is_active) == ("second", before, True), "it was never stopped"
    assert not (machine.root / "opt/maker.next").exists()
    machine.take_back("maker/app/quoter.py")

    assert await machine.upgrade("no-such-version") == 1
    assert machine.pid == before

    machine.change("dies", "maker/launch/parent.py", "\n\ndef run(*_words):\n    raise SystemExit(70)\n")
    at = now_ms()
    assert await machine.upgrade("dies") == 1, machine.said
    assert (machine.version, machine.is_active) == ("second", True)
    assert "putting the old one back" in machine.said
    await machine.quoting(at)

    assert await machine.upgrade("first", CODE="75", WITHOUT_STOP_POST="1") == 75, machine.said
    assert "QUOTES MAY REST" in machine.said
    assert (machine.version, machine.is_active) == ("second", False), "it goes no further"

    at = now_ms()
    assert await machine.upgrade("--new-journal") == 0, machine.said
    assert "Nothing rests on the account" in machine.said, "no run ended by itself: proven by cancel-all"
    archives = list(machine.state.glob("archive-*"))
    assert len(archives) == 1
    assert (archives[0] / "journal.sqlite").stat().st_size > 0
    assert (machine.state / "journal.sqlite").exists()
    await machine.quoting(at)
    machine.systemctl("stop")
    record.refresh()
    assert record.resting() == {}
