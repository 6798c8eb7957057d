"""`alert-test CONF`: one test alert to each target, and what came of it. It needs no run and changes nothing."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.app.config import load
from maker.edge.lane import NotSent
from maker.errors import ConfigError, ExitCode, OutcomeUnknown
from maker.monitor.alerting import sender
from maker.monitor.catalogue import Alert
from maker.monitor.delivery import SEND_SECONDS_MAX, Told
from maker.monitor.messages import Sender, body
from maker.monitor.outbox import SENTENCES
from maker.monitor.standing import Notice
from maker.monitor.targets import targets

WAIT_SECONDS_MAX: Final = 15.0  # a target that asks to wait for less is asked again, once

EPILOG: Final = """
Each target is told at the same time, once; whatever its severity_min. Nothing of an address or a token is shown.

exit codes: 0 every target took it; 1 one did not; 2 usage; 78 the configuration, or there is no target in it.
"""


@attrs.frozen
class Outcome:
    """What came of one target."""

    target: str
    kind: str
    delivered: bool
    sentence: str
    seconds: float


def main(argv: list[str], wall: Callable[[], float] = time.time) -> int:
    """Tell every target; return 0, 1 where one could not be told, 2 for wrong words, 78 for the configuration."""
    words = parser().parse_args(argv)
    try:
        config = load(words.configuration)
        told = targets(config.alerts, os.environ)
        if not told:
            raise ConfigError("alerts.targets", "has none.", "Add an [alerts.targets.NAME]; conf/paper.toml shows how.")
    except ConfigError as wrong:
        reason = f"configuration: {wrong}"
        say(json.dumps({"reason": reason, "exit_code": int(ExitCode.REFUSED_TO_START)}) if words.json else reason)
        return ExitCode.REFUSED_TO_START
    outcomes = trio.run(try_all, told, sender(config), wall)
    failed = [one for one in outcomes if not one.delivered]
    code = ExitCode.FAILURES_FOUND if failed else ExitCode.CLEAN
    reason = f"{len(outcomes) - len(failed)} of {len(outcomes)} targets were told"
    if words.json:
        rows = [attrs.asdict(one) for one in outcomes]
        say(json.dumps({"reason": reason, "exit_code": int(code), "targets": rows}))
    else:
        for one in outcomes:
            verdict = "told  " if one.delivered else "FAILED"
            say(f"{verdict}  {one.target} ({one.kind}): {one.sentence} ({one.seconds:.1f} s)")
        say(reason)
    return code


async def try_all(told: Sequence[Told], who: Sender, wall: Callable[[], float]) -> list[Outcome]:
    """Tell all targets side by side; return what came of each, in their order."""
    outcomes: dict[str, Outcome] = {}
    now, epoch = wall(), secrets.token_hex(4)
    row = Alert.TEST.value
    sentence = "this is a test: alerts of this configuration arrive here"
    notice = Notice(f"{epoch}-1", Alert.TEST.label, "", "test", row.severity, sentence, row.todo, now, now)

    async def one_target(one: Told) -> None:
        outcomes[one.wants.name] = await try_one(one, body(notice, who, one.wants.kind, one.wants.chat), wall)

    async with trio.open_nursery() as nursery:
        for one in told:
            nursery.start_soon(one_target, one)
    return [outcomes[one.wants.name] for one in told]


async def try_one(one: Told, message: bytes, wall: Callable[[], float]) -> Outcome:
    """Tell one target, a second time if it asks to be asked again soon."""
    began = trio.current_time()
    delivered, sentence = False, ""
    for attempt in (1, 2):
        wait_seconds: float | None = None
        sentence = f"no answer within {SEND_SECONDS_MAX:.0f} s"
        with trio.move_on_after(SEND_SECONDS_MAX):
            try:
                reply = await one.door.send(message, wall())
            except (NotSent, OutcomeUnknown) as problem:
                sentence = str(problem)
            else:
                delivered, wait_seconds = reply.is_taken, reply.wait_seconds
                said = "it took the message" if delivered else SENTENCES.get(reply.status, "it refused the message")
                sentence = f"answered {reply.status}: {said}"
        if delivered or attempt == 2 or wait_seconds is None or wait_seconds > WAIT_SECONDS_MAX:
            break
        await trio.sleep(wait_seconds)
    return Outcome(one.wants.name, one.wants.kind.value, delivered, sentence, trio.current_time() - began)


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="run.py alert-test",
        description="Send one test alert to each target of a configuration, and say what came of it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("configuration", type=Path, help="its [alerts.targets] are told")
    words.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return words
