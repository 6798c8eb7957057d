"""README's page "From nothing to live": every command of it is run, as written, with the practice exchange as OCX.

What stands in for the world: the four values that the page asks for; an editor that fills the configuration in as a
person would, for an exchange on this machine; `sudo`, `systemctl` and `scp` of tests/support/services.py, which put
the machine's folders below one of the test's; and packages that are there already.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import trio

from maker.drills import processes
from maker.drills.processes import now_ms, start_venue
from tests.live.support import PROJECT
from tests.support.services import (
    BARE,
    make_machine,
    make_services,
    make_template,
    services_environment,
    snapshot,
)
from tests.support.wallets import KEY

HEADING = "## From nothing to live\n"
SECOND = "# on the second host\n"
SECONDS_MAX = 280.0  # on a machine that does other things; below a minute on a quiet one
START_SECONDS_MAX = 90.0

EDITOR = '''#!{python}
"""A person who fills in the configuration: an exchange and prices on this machine, and short waits."""
import re, sys

path = sys.argv[1]
text = open(path).read()
for pattern, line in {{
    r"^base_url = .*$": 'base_url = "{url}"',
    r"^key_env = .*$": 'key_file = "~/.config/maker/key"',
    r'^# key_file = "~/.config/maker/watch-key".*$': 'key_file = "~/.config/maker/watch-key"',
    r"^venue = .*$": 'url = "{reference_url}/any"',
    r'symbol = "[^"]+"': 'symbol = "BTC-USD"',
    r"^ramp_seconds = .*$": "ramp_seconds = 1.0",
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 1.0",
    r"^tail_seconds = .*$": "tail_seconds = 1.0",
}}.items():
    text, count = re.subn(pattern, line, text, flags=re.MULTILINE)
    assert count, pattern
open(path, "w").write(text)
'''


def page() -> str:
    text = (PROJECT / "README.md").read_text()
    section = text[text.index(HEADING) + len(HEADING) :]
    return section[: section.index("\n## ")]


def blocks() -> list[str]:
    """The page's blocks of commands, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)


def script(values: dict[str, str], before: dict[str, str]) -> str:
    """Return the page as one shell program: its first block is the reader's, what is on the second host is there.

    `before` names what happens elsewhere in the meantime, before the block that has those words.
    """
    first, *rest = blocks()
    asked = re.findall(r"^([A-Z_]+)=", first, re.MULTILINE)
    assert asked == list(values), "the page asks for these, and nothing else"
    parts = ["set -eux", *(f"{name}={value!r}" for name, value in values.items())]
    for block in rest:
        parts += [doing for words, doing in before.items() if words in block]
        there = 'cd "$SECOND_HOME"; export MACHINE_ROOT="$SECOND_HOME" HOME="$SECOND_HOME" PLANT=no'
        parts.append(f"(\n{there}\n{block})" if block.startswith(SECOND) else block)
    return "\n".join(parts)


def type_in(text: str, environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run a shell program as a person would, and return its exit code and all that was shown; 124: time was up."""
    with subprocess.Popen(
        ["bash", "-c", text],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, _ = shell.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            said, _ = shell.communicate()
            return 124, said
    return shell.returncode, said


def test_the_page_has_the_whole_way() -> None:
    """Each of the commands that one needs on the way is on it, and no block of another kind hides one."""
    text = "".join(blocks())
    for words in (
        "keys create", "run.py check", "run.py drill", "run.py run", "run.py report", "run.py cancel-all",
        "upgrade.sh", "maker.service", "maker-watch.service", "journald@maker.conf", "maker.tmpfiles.conf",
    ):  # fmt: skip
        assert words in text, words
    assert page().count("```") == 2 * len(blocks())


def test_every_command_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder to live quotes with a key made through a wallet, an upgrade, a second host, and a stop."""
    monkeypatch.setattr(processes, "START_SECONDS_MAX", START_SECONDS_MAX)
    (tmp_path / "venue").mkdir()
    host, second, person = (tmp_path / name for name in ("host", "second", "person"))
    for machine in (host, second):
        make_machine(machine)
    person.mkdir()
    make_services(tmp_path / "bin")
    repository = snapshot(tmp_path)
    wallet = person / "wallet"
    wallet.write_text(KEY)
    wallet.chmod(0o600)
    values = {"REPOSITORY": str(repository), "WALLET": str(wallet), "HOST": "127.0.0.1", "SECOND_HOST": "127.0.0.1"}

    async def scene() -> None:
        venue = await start_venue(tmp_path / "venue")
        editor = tmp_path / "bin" / "editor"
        words = {"python": BARE, "url": venue.url, "reference_url": f"ws://127.0.0.1:{venue.reference_port}"}
        editor.write_text(EDITOR.format(**words))
        editor.chmod(0o755)
        environment = services_environment(
            tmp_path / "bin",
            make_template(tmp_path),
            host,
            HOME=str(person),
            EDITOR=str(editor),
            SECOND_HOME=str(second),
        )
        git = f"git -C {repository} -c user.name=test -c user.email=test@example.invalid -c commit.gpgsign=false"
        days_later = f"until test -e {host}/var/lib/maker/journal.sqlite; do sleep 0.2; done"
        newer = f"{git} commit --quiet --allow-empty --message newer"
        text = script(values, {"upgrade.sh": f"{days_later}\n{newer}"})
        try:
            began = now_ms()
            code, said = await trio.to_thread.run_sync(type_in, text, environment, person)
            assert code == 0, said[-4000:]
            assert said.count("exit code 0") >= 2, "the practice run, and five seconds of live quotes"
            assert "nothing stands against a start" in said
            assert "maker runs in version" in said
            assert "Nothing rests on the account" in said
            assert KEY not in said
            venue.record.refresh()
            users = {line["userId"] for line in venue.record.placed(began)}
            assert len(users) == 1, "one account, the wallet's"
            assert venue.record.resting() == {}
            watched = (second / "units/maker-watch/log").read_text()
            assert '"event": "reading"' in watched
            assert "pulling" not in watched
            assert not (second / "opt/maker/.venv").exists()
            head = ["git", "-C", str(host / "opt/maker"), "log", "-1", "--format=%s"]
            assert subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip() == "newer"
        finally:
            for pid in tmp_path.glob("*/units/*/pid"):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(pid.read_text()), signal.SIGTERM)
            venue.process.kill()

    trio.run(scene)
