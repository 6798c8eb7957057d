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


STUB = """#!/bin/sh
# git, systemctl, python3 or sleep: notes what it was asked, and answers as the test says.
name=$(basename "$0")
echo "$name $*" >> "$NOTES"
case "$name $*" in
*"status --porcelain"*) ;;
*"rev-parse HEAD") echo old ;;
*"rev-parse --verify"*) echo new ;;
*"rev-parse --short"*) echo short ;;
"systemctl is-active"*)
    count=$(grep -c is-active "$NOTES")
    case " $ACTIVE " in *" $count "*) exit 0 ;; *) exit 3 ;; esac ;;
*ExecMainStatus*) echo "$STATUS" ;;
*ExecMainCode*) echo "$HOW" ;;
"python3 "*" check "*) exit "$CHECK" ;;
"python3 "*" cancel-all "*) exit "$CANCEL" ;;
esac
"""
ASKED = {"ACTIVE": "1 2", "STATUS": "0", "HOW": "1", "CHECK": "0", "CANCEL": "0"}  # which looks find it active, …


def rehearsed(tmp_path: Path, *words: str, **answers: str) -> tuple[int, str, list[str]]:
    """Run the script with every command it calls played; its exit code, its lines, and what it asked in order."""
    for name in ("git", "systemctl", "python3", "sleep"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    notes = tmp_path / "notes"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NOTES": str(notes), "MAKER_FOLDER": str(tmp_path / "maker")}
    environment |= {"MAKER_STATE": str(tmp_path), **ASKED, **answers}
    ended = subprocess.run(["/bin/sh", SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr, notes.read_text().splitlines()


def asked(notes: list[str], words: str) -> list[int]:
    """Where in the order something was asked."""
    return [at for at, line in enumerate(notes) if words in line]


@pytest.mark.parametrize("status", ["0", "70"])
def test_a_proven_stop_goes_on(status: str, tmp_path: Path) -> None:
    """Checked before it is stopped, changed only after that, and started last; nothing is cancelled a second time."""
    code, _, notes = rehearsed(tmp_path, "v2", STATUS=status)
    assert code == 0
    (check,), (stop,), (checkout,), (start,) = (
        asked(notes, words) for words in (" check ", "systemctl stop", "checkout", "systemctl start")
    )
    assert check < stop < checkout < start
    assert asked(notes, "cancel-all") == []


def test_a_stop_that_ends_with_75_ends_it(tmp_path: Path) -> None:
    code, said, notes = rehearsed(tmp_path, "v2", STATUS="75")
    assert code == 75
    assert "QUOTES MAY REST" in said
    assert asked(notes, "checkout") == asked(notes, "systemctl start") == []


@pytest.mark.parametrize(
    "answers",
    [
        {"HOW": "2", "STATUS": "9"},  # killed
        {"HOW": "2", "STATUS": "0"},  # whatever it was, no exit code
        {"STATUS": "77"},
        {"STATUS": "78"},
        {"ACTIVE": "2"},  # no bot ran: its last code is of another day
        {"HOW": "", "STATUS": ""},
    ],
    ids=str,
)
def test_a_stop_that_proves_nothing_is_proven_by_cancel_all(answers: dict[str, str], tmp_path: Path) -> None:
    """Cancelled and read back by another command: it goes on only with 0."""
    code, _, notes = rehearsed(tmp_path, "v2", **answers)
    assert code == 0
    (cancel,), (checkout,) = asked(notes, "cancel-all"), asked(notes, "checkout")
    assert asked(notes, "systemctl stop")[0] < cancel < checkout
    assert "--no-latch" in notes[cancel]
    (tmp_path / "notes").unlink()
    code, said, notes = rehearsed(tmp_path, "v2", **answers, CANCEL="75")
    assert code == 75
    assert "QUOTES MAY REST" in said
    assert asked(notes, "checkout") == asked(notes, "systemctl start") == []


@pytest.mark.parametrize("check", ["1", "77", "78"])
def test_a_version_that_does_not_pass_stops_nothing(check: str, tmp_path: Path) -> None:
    code, _, notes = rehearsed(tmp_path, "v2", CHECK=check)
    assert code == 1
    assert asked(notes, "systemctl") == []
    assert asked(notes, "checkout") == []
    assert asked(notes, "worktree remove")[-1] > asked(notes, " check ")[0]


def test_a_version_that_does_not_run_is_taken_back(tmp_path: Path) -> None:
    """Active before, not after the start, and again with the old version: nothing rests in between, proven."""
    code, said, notes = rehearsed(tmp_path, "v2", ACTIVE="1 4")
    assert code == 1
    assert [notes[at].split()[-1] for at in asked(notes, "checkout")] == ["new", "old"]
    assert len(asked(notes, "cancel-all")) == 1
    assert "runs in the old version" in said
    (tmp_path / "notes").unlink()
    code, said, _ = rehearsed(tmp_path, "v2", ACTIVE="1")
    assert code == 1
    assert "is stopped, nothing rests" in said


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
    await machine.quoting(at)
    assert (machine.state / "journal.sqlite").exists()
    machine.systemctl("stop")
    record.refresh()
    assert record.resting() == {}
