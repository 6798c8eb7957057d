"""`python -m maker`: `run` becomes the lean parent process, the red button is as lean, the rest is the application's.

The parent must stay small, so nothing but the standard library is imported on its way. Only this room writes a run's
result to stdout.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__" and sys.argv[1:2] in ([], ["run"], ["--json"]):
    # The guard. A stop signal waits from here on until it is listened to (maker.launch.parent.catch_signals): for an
    # empty handler it would be lost, and to a container's first process, while it has none, it is not even sent.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT))

import contextlib
import importlib
import io
import json
import os
import re
import traceback
from pathlib import Path
from typing import NoReturn

from maker.guard.exchange import NoAnswer, within
from maker.guard.watch import STOP_SIGNALS
from maker.launch import parent, report, settings
from maker.launch.reloading import RELOAD_SIGNAL

DEFAULT_CONFIGURATION = settings.PROJECT_FOLDER / "conf" / "paper.toml"
PRINT_SECONDS_MAX = 5.0  # for a reader of stdout that is busy; one that is gone for good must not hold the exit
USAGE = "usage: run [CONF] [--for 30s|5m|1h] [--no-status] [--json]"
SECONDS_IN = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")


class UsageError(Exception):
    """Words that this command does not know; the message is one sentence."""


def main(argv: list[str]) -> int:
    """Run one command and return its exit code. Without a command: `run conf/paper.toml`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that its encoding lacks must not cost the exit code
            stream.reconfigure(errors="backslashreplace")
    if not argv or argv[0] in ("run", "--json"):
        return run(argv[1:] if argv[:1] == ["run"] else argv)
    if argv[0] == "drill":
        from maker.drills import command

        return command.main(argv[1:])
    if argv[0] == "simulate":
        from maker.storms import command as storms

        return storms.main(argv[1:])
    if argv[0] == "compare":
        from maker.compare import command as comparison

        return comparison.main(argv[1:])
    if argv[0] == "report":
        from maker.report import command as reporting

        return reporting.main(argv[1:])
    if argv[0] == "monitor":
        from maker.monitor import command as monitoring

        return monitoring.main(argv[1:])
    if argv[0] == "alert-test":
        from maker.monitor import alert_test

        return alert_test.main(argv[1:])
    if argv[0] == "tell":
        from maker.monitor import tell

        return tell.main(argv[1:])
    if argv[0] == "check":
        from maker.preflight import command as preflight

        return preflight.main(argv[1:])
    if argv[0] == "watch":
        from maker.watcher import command as watching

        return watching.main(argv[1:])
    if argv[0] == "reload":
        from maker.launch import reload_command

        return reload_command.main(argv[1:])
    if argv[0] in ("cancel-all", "clear"):
        from maker.launch import buttons

        return buttons.main(argv)
    if argv[0] == "flatten" and not {"-h", "--help"} & set(argv):
        from maker.launch import buttons

        buttons.ahead_of_flatten(argv[1:])
        try:
            importlib.import_module("maker.app.cli")
        except ImportError as problem:
            return buttons.flatten_without_packages(problem, argv[1:])
    from maker.app import cli

    return cli.main(argv)


def run(words: list[str]) -> int:
    """Run the bot under its parent process and return the exit code. stdout gets the result, last."""
    if "--help" in words or "-h" in words:
        print(USAGE)
        return report.CLEAN
    for number in (*STOP_SIGNALS, RELOAD_SIGNAL):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            # Before and after the parent listens: a signal while the result is being printed must not lose it.
            signal.signal(number, lambda _number, _frame: None)
    try:
        configuration, for_seconds = parse(words)
        ended = parent.run(configuration, for_seconds, draws_status="--no-status" not in words)
    except UsageError as problem:
        ended = report.without_maker(report.USAGE, f"{problem} {USAGE}")
    except Exception as problem:  # noqa: BLE001 - the top of this process: a bug of ours ends it, and is no clean end
        traceback.print_exc()
        ended = report.without_maker(report.UNVERIFIED, f"the parent process failed, quotes may rest: {problem!r}")
    # JSON in ASCII: what another encoding lacks would be spelled in a way that JSON has not.
    text = json.dumps(ended.fields) if "--json" in words else report.for_people(ended)
    # Nobody reads our stdout, or its pipe is full: the exit code still tells, and in time (H16).
    with contextlib.suppress(OSError, NoAnswer), within(PRINT_SECONDS_MAX):
        print(text, flush=True)
    return ended.exit_code


def parse(words: list[str]) -> tuple[Path, float | None]:
    """Return the configuration's path and for how many seconds to run (None: until stopped). Raises UsageError."""
    configuration: Path | None = None
    for_seconds: float | None = None
    rest = iter(words)
    for word in rest:
        if word in ("--json", "--no-status"):
            continue
        if word == "--for" or word.startswith("--for="):
            for_seconds = duration_seconds(word[6:] if "=" in word else next(rest, ""))
        elif word.startswith("-"):
            raise UsageError(f"unknown option {word}.")
        elif configuration is not None:
            raise UsageError(f"one configuration at a time, and {word} is the second.")
        else:
            configuration = Path(word)
    return configuration or DEFAULT_CONFIGURATION, for_seconds


def duration_seconds(text: str) -> float:
    """Return the seconds that `30`, `30s`, `1.5m`, `1h` or `2d` mean; more than 0. Raises UsageError."""
    match = DURATION.fullmatch(text)
    seconds = float(match[1]) * SECONDS_IN[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"a duration looks like 30s, 5m or 1h and is more than nothing, not {text!r}.")
    return seconds


def leave(code: int) -> NoReturn:
    """End this process with an exit code that nothing can change any more.

    The interpreter's own shutdown puts default signal handlers back and flushes streams once more: one more Ctrl-C, a
    reader that has gone or a pipe that is full would change a code that was earned, or hold it back.
    """
    for stream in (sys.stdout, sys.stderr):
        # Not a stream at all: we were started with it closed.
        with contextlib.suppress(AttributeError, OSError, ValueError, NoAnswer), within(PRINT_SECONDS_MAX):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
