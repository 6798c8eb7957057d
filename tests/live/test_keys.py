"""Keys by the commands that users type, against a practice exchange in another process; and that nothing leaks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trio

from maker.drills.processes import MakerRun, start_venue
from maker.launch import key, settings
from tests.live.desk import COMMAND_SECONDS_MAX, desk_at
from tests.live.support import PROJECT
from tests.support.canary import leaks_in, leaks_under
from tests.support.wallets import ADDRESS, KEY

QUOTED_SECONDS = 3.0
LEFT_SECONDS = 12.0  # of a key's life beyond what the guard may need: it is looked at every ten seconds
ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # what stdin is becomes /dev/tty
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_from_a_wallet_to_quotes_and_back(tmp_path: Path) -> None:
    """A key is made into its file, quotes, is listed, is spared while in use, is revoked; then it is refused."""

    async def scene() -> None:
        venue = await start_venue(tmp_path)
        try:
            desk = desk_at(tmp_path / "desk", venue)
            made = await desk.keys(
                "create", "--scope", "trade", "--ip", "127.0.0.1", "--days", "30", "--out", str(desk.key_file)
            )
            assert (made["exit_code"], made["proved"]) == (0, True), made
            kept = key.read("", str(desk.key_file), {})
            desk.secrets.append(kept.secret)
            assert desk.key_file.stat().st_mode & 0o777 == 0o600
            seen: list[Any] = []

            def look(run: MakerRun) -> None:
                path = run.folder / "run.json"
                if path.exists() and not seen:
                    run.status = json.loads(path.read_text())
                    seen.append(run.status["key_id"])

            result = (await desk.run("--for", f"{QUOTED_SECONDS:g}s", look=look)).result
            assert (result["exit_code"], result["verified_empty"]) == (0, True), result
            assert result["quotes_sent"] > 0
            assert seen == [kept.key_id]
            listed = await desk.keys("list")
            (row,) = listed["keys"]
            assert (row["id"], row["status"], row["days_left"]) == (kept.key_id, "active", 30.0)
            spared = await desk.keys("revoke", kept.key_id)
            assert spared["exit_code"] == 78
            assert "from 127.0.0.1" in spared["reason"]
            assert (await desk.keys("revoke", kept.key_id, "--anyway"))["exit_code"] == 0
            refused = (await desk.run()).result
            assert refused["exit_code"] == 77
            assert "was revoked" in refused["reason"]
            desk.key_file.unlink()
            read = await desk.keys("create", "--scope", "read", "--any-ip", "--days", "1", "--out", str(desk.key_file))
            desk.secrets.append(key.read("", str(desk.key_file), {}).secret)
            assert read["exit_code"] == 0
            refused = (await desk.run()).result
            assert refused["exit_code"] == 77
            assert "scope 'read'" in refused["reason"]
            assert "--scope trade" in refused["reason"]
            assert desk.leaks == []
            assert leaks_under(tmp_path, desk.secrets, but=[desk.wallet, desk.key_file]) == []
            venue.record.refresh()
            users = {line["userId"] for line in venue.record.placed()}
            assert len(users) == 1, "all of it was the wallet's own account"
            assert venue.record.resting() == {}
        finally:
            venue.process.kill()

    trio.run(scene)


def test_a_session_stands_by_where_the_key_is_refused(tmp_path: Path) -> None:
    """Positions, balances, trades and streams go by it; it is renewed at half its life, and revoked at the end."""

    async def scene() -> None:
        venue = await start_venue(tmp_path, "--session-wanted", "both", "--session-seconds", "8")
        try:
            folder = tmp_path / "desk"
            desk = desk_at(folder, venue, exchange=f'wallet_file = "{folder / "wallet"}"')
            made = await desk.keys("create", "--scope", "trade", "--any-ip", "--days", "1", "--out", str(desk.key_file))
            assert made["exit_code"] == 0
            desk.secrets.append(key.read("", str(desk.key_file), {}).secret)
            checked = await desk.command("check", str(desk.conf))
            assert checked["exit_code"] == 0, checked
            by_name = {row["name"]: row for row in checked["checks"]}
            assert made["key"]["id"] in by_name["credentials"]["found"], "its session may ask which key is ours"
            assert by_name["scope"]["verdict"] == "ok"
            result = (await desk.run("--for", "12s")).result
            assert (result["exit_code"], result["verified_empty"]) == (0, True), result
            assert result["quotes_sent"] > 0
            lines = [json.loads(line) for line in (tmp_path / "venue-record.jsonl").read_text().splitlines()]
            paths = [line["path"] for line in lines if line.get("phase") == "begin"]
            before = 2  # `create` and `check`, once each
            signed_in, signed_out = paths.count("/auth/siwe") - before, paths.count("/auth/logout") - before
            assert signed_in >= 3, "renewed every four seconds"
            assert signed_out >= 2, "those that had not ended by age are revoked"
            assert desk.leaks == []
            assert leaks_under(tmp_path, desk.secrets, but=[desk.wallet, desk.key_file]) == []
        finally:
            venue.process.kill()

    trio.run(scene)


def test_without_a_wallet_a_refused_read_is_a_sentence(tmp_path: Path) -> None:
    async def scene() -> None:
        venue = await start_venue(tmp_path, "--session-wanted", "reads")
        try:
            desk = desk_at(tmp_path / "desk", venue)
            desk.key_file.write_text("ocx_sk_paper_trade")
            desk.key_file.chmod(0o600)
            result = (await desk.run()).result
            assert result["exit_code"] == 77, result
            assert "SESSION_REQUIRED" in result["reason"]
            assert "wallet_file" in result["reason"]
        finally:
            venue.process.kill()

    trio.run(scene)


def test_a_run_leaves_while_its_key_can_still_pull(tmp_path: Path) -> None:
    """By what its file says: it quotes, and some seconds later it has pulled, is read back empty, and says why."""

    async def scene() -> None:
        venue = await start_venue(tmp_path)
        try:
            desk = desk_at(tmp_path / "desk", venue)
            guard = settings.load(desk.conf)["guard"]
            needed = key.seconds_needed(guard["give_up_seconds"], guard["tail_seconds"])
            ends_soon = key.Key("ocx_sk_paper_trade", "ocx_kid_1", "trade", time.time() + needed + LEFT_SECONDS)
            desk.key_file.write_text(key.spell(ends_soon, "bot"))
            desk.key_file.chmod(0o600)
            result = (await desk.run()).result
            assert (result["exit_code"], result["verified_empty"]) == (77, True), result
            assert "expires soon" in result["reason"]
            assert result["quotes_sent"] > 0
            again = (await desk.run()).result
            assert again["exit_code"] == 77
            assert "expires in" in again["reason"]
            assert again["quotes_sent"] == 0
        finally:
            venue.process.kill()

    trio.run(scene)


def test_at_a_terminal_it_asks_and_does_not_show_the_wallets_key(tmp_path: Path) -> None:
    """Questions and warnings on stderr, the result on stdout, what is typed as a key nowhere."""

    async def scene() -> None:
        venue = await start_venue(tmp_path)
        ours, theirs = pty.openpty()
        try:
            desk = desk_at(tmp_path / "desk", venue)
            words = [sys.executable, "-c", ON_TERMINAL, "-m", "maker", "keys", "create", str(desk.conf), "--any-ip"]
            with subprocess.Popen(
                words,
                cwd=PROJECT,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=theirs,
                start_new_session=True,
            ) as process:
                screen = b""

                async def answer(question: bytes, line: str) -> None:
                    nonlocal screen
                    while question not in screen:
                        await trio.lowlevel.wait_readable(ours)
                        screen += os.read(ours, 65536)
                    os.write(ours, line.encode() + b"\n")

                with trio.fail_after(COMMAND_SECONDS_MAX):
                    await answer(b"Scope", "trade")
                    await answer(b"Days until", "")
                    await answer(b"Write the secret", str(desk.key_file))
                    await answer(b"Private key of the wallet", KEY)
                    while b"Signed in as" not in screen:
                        await trio.lowlevel.wait_readable(ours)
                        screen += os.read(ours, 65536)
                out, _ = await trio.to_thread.run_sync(process.communicate)
            assert process.returncode == 0, screen
            assert screen.count(b"WARNING: no pinned address") == screen.count(b"WARNING: no expiry") == 1
            assert ADDRESS.encode() in screen
            kept = key.read("", str(desk.key_file), {})
            assert kept.key_id.encode() in out
            assert leaks_in("screen", screen + out, [KEY, kept.secret]) == []
        finally:
            os.close(ours)
            os.close(theirs)
            venue.process.kill()

    trio.run(scene)
