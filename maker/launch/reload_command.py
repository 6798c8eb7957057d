"""`reload CONF`: has the running maker read its configuration and its key again, and says what came of it.

The run is found by `run.json` in the state folder; its parent process is sent SIGUSR1, through a descriptor that cannot
come to mean another process, and `run.json` tells the end. Exit codes: 0 what was read is in force · 1 nothing was
changed, or it is not known what came of it (the sentence says which) · 2 usage · 78 no maker runs with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from maker.guard.exchange import seconds_now
from maker.launch import settings
from maker.launch.reloading import ANSWER_SECONDS_MAX, READING_SECONDS_MAX, RELOAD_SIGNAL
from maker.launch.report import CLEAN, REFUSED_TO_START
from maker.launch.running import RUN_FILE, RUN_FILE_BYTES_MAX

FAILED = 1  # as maker.errors.ExitCode.FAILURES_FOUND
LOOK_SECONDS = 0.05
WAIT_SECONDS_MAX = 2 * (ANSWER_SECONDS_MAX + READING_SECONDS_MAX)  # another reload may be under way before ours begins


class NoRun(Exception):
    """There is nobody to ask; the message is one sentence."""


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="reload", description="have the running maker read its configuration again")
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--json", action="store_true", help="the result as one JSON object, last on stdout")
    words = parser.parse_args(argv)
    try:
        code, fields = reload(words.configuration)
    except (settings.SettingsError, NoRun) as problem:
        code, fields = REFUSED_TO_START, {"reason": str(problem)}
    fields["exit_code"] = code
    text = json.dumps(fields, ensure_ascii=False) if words.json else str(fields["reason"])
    with contextlib.suppress(OSError):
        print(text, file=sys.stdout if words.json or code == CLEAN else sys.stderr, flush=True)
    return code


def reload(configuration: Path) -> tuple[int, dict[str, Any]]:
    """Ask, and wait for what comes of it: exit code, and the fields for people. Raises SettingsError, NoRun."""
    folder = settings.state_folder(settings.load(configuration))
    said = run_of(folder)
    with contextlib.ExitStack() as stack:
        guard = guard_of(said, folder, configuration)
        stack.callback(os.close, guard)
        asked_at = seconds_now()
        signal.pidfd_send_signal(guard, RELOAD_SIGNAL)
        while seconds_now() < asked_at + WAIT_SECONDS_MAX:
            ended = bool(select.select([guard], [], [], LOOK_SECONDS)[0])
            with contextlib.suppress(NoRun):
                said = run_of(folder)
                told = said.get("reload")
                if isinstance(told, dict) and float(told["began"]) >= asked_at:
                    more = {name: said.get(name) for name in ("config_sha256", "key_id")}
                    return CLEAN if told["ok"] is True else FAILED, {"reason": sentence(str(told["sentence"])), **more}
            if ended:
                return FAILED, {"reason": "The run has ended meanwhile; what it reloaded before that, its log says."}
    return FAILED, {"reason": f"Not known what came of it: no answer within {WAIT_SECONDS_MAX:g} s. Look at its log."}


def run_of(folder: Path) -> dict[str, Any]:
    """Return what the run in a state folder says of itself. Raises NoRun."""
    with contextlib.suppress(OSError, ValueError):
        with (folder / RUN_FILE).open("rb") as file:
            said = json.loads(file.read(RUN_FILE_BYTES_MAX))
        if isinstance(said, dict):
            return said
    raise NoRun(f"No maker runs with this configuration (by {folder / RUN_FILE}): a start reads it anyway.")


def guard_of(said: dict[str, Any], folder: Path, configuration: Path) -> int:
    """Return a descriptor of the run's parent process. Raises NoRun where it is gone, or not ours to ask."""
    pid = said.get("guard_pid")
    gone = NoRun(f"The run that {folder / RUN_FILE} names has ended without saying so: a start reads {configuration}.")
    if not isinstance(pid, int) or pid <= 0:
        raise gone
    try:
        descriptor = os.pidfd_open(pid)
        # Opened first, asked who it is then: the number of a process that died may be somebody else's by now, whom the
        # signal would end.
        if b"maker" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.close(descriptor)
            raise gone
        signal.pidfd_send_signal(descriptor, 0)
    except PermissionError:
        raise NoRun(f"Process {pid} is another user's: reload as the user that it runs as.") from None
    except OSError:
        raise gone from None
    return descriptor


def sentence(text: str) -> str:
    """Make a sentence of what may begin in small letters and end without a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
