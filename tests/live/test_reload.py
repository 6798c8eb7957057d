"""`reload` with real processes: another key and another spread while it quotes, the old key revoked, and then a kill.

Against a practice exchange in another process, by the commands that users type.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import trio

from maker.drills.processes import cleaned, start_maker, start_venue
from maker.launch import key
from tests.live.desk import Desk, desk_at
from tests.live.support import KEY_ENV
from tests.support.canary import leaks_under

SECONDS_MAX = 40.0  # of a step that takes two on an idle machine
RAMP = {r"^ramp_seconds = .*$": "ramp_seconds = 0.5"}


async def another_key(desk: Desk) -> key.Key:
    """Make a key by command and put its file in the old one's place, as the README says."""
    new_file = desk.folder / "key.new"
    words = ("--scope", "trade", "--ip", "127.0.0.1", "--days", "30", "--out", str(new_file))
    made = await desk.keys("create", *words)
    assert (made["exit_code"], made["proved"]) == (0, True), made
    new_file.rename(desk.key_file)
    kept = key.read("", str(desk.key_file), {})
    desk.secrets.append(kept.secret)
    return kept


def replace_line(conf: Path, pattern: str, line: str) -> None:
    """Change the first line of a configuration that fits."""
    text, count = re.subn(pattern, line, conf.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, pattern
    conf.write_text(text)


def test_another_key_while_it_quotes_and_then_a_kill(tmp_path: Path) -> None:
    """The key is proved and swapped, the old one revoked, quoting goes on; killed then, the guard pulls with the new.

    In between, a reload that would loosen a limit changes nothing and names the key and the fix; `keys revoke` spares
    the key in use, and not the one that was.
    """

    async def scene() -> None:
        venue = await start_venue(tmp_path)
        desk = desk_at(tmp_path / "desk", venue, replace=RAMP)
        try:
            old = await another_key(desk)
            environment = {KEY_ENV: None}
            maker = start_maker(desk.folder, desk.conf, record=venue.record, environment=environment)
            with cleaned(maker):
                await maker.quoting(seconds=SECONDS_MAX)
                new = await another_key(desk)
                assert old.key_id != new.key_id
                replace_line(desk.conf, r"^half_spread_bps = .*$", "half_spread_bps = 2.6")

                reloaded = await desk.command("reload", str(desk.conf))
                assert reloaded["exit_code"] == 0, (reloaded, maker.log[-3000:])
                assert "models.fixed.half_spread_bps from 2.0 to 2.6" in reloaded["reason"]
                assert (
                    f"The old key {old.key_id} is used by nobody here any more: it may be revoked now."
                    in reloaded["reason"]
                )
                assert reloaded["key_id"] == new.key_id
                said: dict[str, Any] = json.loads((desk.folder / "run.json").read_text())
                assert (said["key_id"], said["next_key_id"]) == (new.key_id, None)
                assert said["config_sha256"] == reloaded["config_sha256"]

                replace_line(desk.conf, r"^drawdown_max = .*$", "drawdown_max = 999999")
                refused = await desk.command("reload", str(desk.conf))
                assert refused["exit_code"] == 1
                assert "limits.drawdown_max: would be loosened from 2000 to 999999" in refused["reason"]
                assert json.loads((desk.folder / "run.json").read_text())["config_sha256"] == said["config_sha256"]

                spared = await desk.keys("revoke", new.key_id)
                assert spared["exit_code"] == 78
                assert "a run on this machine quotes with this key" in spared["reason"]
                revoked = await desk.keys("revoke", old.key_id, "--anyway")  # it was used a moment ago
                assert revoked["exit_code"] == 0, revoked

                venue.record.refresh()
                since = venue.record.placed()[-1]["t"]
                await maker.quoting(since, seconds=SECONDS_MAX)
                assert not maker.process.ended

                maker.signal_maker(signal.SIGKILL)
                await maker.process.wait(SECONDS_MAX)
                result = maker.result
                assert (result["exit_code"], result["verified_empty"]) == (70, True), (result, maker.log[-2000:])
                venue.record.refresh()
                assert venue.record.resting() == {}
                assert desk.leaks == []
                but = [desk.wallet, desk.key_file]
                assert leaks_under(tmp_path, desk.secrets, but=but) == []
                for secret in (old.secret, new.secret):
                    assert secret not in maker.log
        finally:
            venue.process.kill()

    trio.run(scene)


def test_without_a_run_there_is_nobody_to_ask(tmp_path: Path) -> None:
    """It says so and ends with 78; also where a run was killed and left its file, whose number means nobody now."""

    async def scene() -> None:
        venue = await start_venue(tmp_path)
        with contextlib.ExitStack() as stack:
            stack.callback(venue.process.kill)
            desk = desk_at(tmp_path / "desk", venue)
            none = await desk.command("reload", str(desk.conf))
            assert none["exit_code"] == 78
            assert "No maker runs with this configuration" in none["reason"]
            # The number is that of a process which is no maker: the signal would end it.
            (desk.folder / "run.json").write_text(json.dumps({"guard_pid": 1}))
            stale = await desk.command("reload", str(desk.conf))
            assert stale["exit_code"] == 78
            sleeper = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(sleeper.kill)
            (desk.folder / "run.json").write_text(json.dumps({"guard_pid": sleeper.pid}))
            stale = await desk.command("reload", str(desk.conf))
            assert stale["exit_code"] == 78
            assert sleeper.poll() is None, "a process that is no maker is left alone"

    trio.run(scene)
