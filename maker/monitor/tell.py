"""`tell CONF`: tells people what comes on stdin, for whoever has no monitor; started by its owner, not by hand.

That is the second host's watcher, and a start that came to no maker. A line is a JSON object, `name` an alert's of the
catalogue, `severity` and `sentence`:

    {"name": "start_refused", "severity": "critical", "sentence": "exit code 75: …"}

Of the configuration only account, mode and [alerts] are read: what is wrong elsewhere may be what is to be told. The
bot's key is none of its business. Its owner blocks the stop signals: it ends when stdin does, once all is told that can
be within END_SECONDS_MAX. Exit codes: 0 somebody was told of each line, or nobody wants to know; 1 not so; 2 usage; 78
nobody is to be told.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import trio

from maker.app import alert_config
from maker.app.alert_config import Severity
from maker.errors import ConfigError, ExitCode
from maker.launch import settings
from maker.launch.start import log
from maker.launch.telling import SENTENCE_CHARACTERS_MAX
from maker.monitor.behind import stay_behind
from maker.monitor.catalogue import BY_LABEL, Alert
from maker.monitor.delivery import Delivery, Quiet
from maker.monitor.messages import Sender
from maker.monitor.standing import Notice
from maker.monitor.targets import reachable
from maker.wire.redaction import without_secrets

END_SECONDS_MAX: Final = 20.0  # after the end of stdin: one try that hangs, and another
LOOK_SECONDS: Final = 0.05  # between two looks whether all is told, at the end
TROUBLE_LOOK_SECONDS: Final = 5.0  # between two looks whether a target is in trouble
LINE_BYTES_MAX: Final = 1 << 16  # a line has 4096 at the most; more without an end is none of ours
READ_BYTES: Final = 1 << 16
CREDENTIALS_FOLDER: Final = Path("/run/credentials")  # systemd's, with a folder for each unit
OWN_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"

Read = Callable[[], Awaitable[bytes]]  # empty at the end


async def read_stdin() -> bytes:
    return await trio.to_thread.run_sync(os.read, 0, READ_BYTES, abandon_on_cancel=True)


def main(argv: list[str], read: Read = read_stdin) -> int:
    """Tell whatever comes until there is no more, and return the exit code."""
    if len(argv) != 1:
        say("usage", "tell CONF: lines of JSON come on stdin.")
        return ExitCode.USAGE
    stay_behind()
    configuration = Path(argv[0])
    try:
        delivery = a_delivery(settings.load(configuration, parse_float=Decimal), os.environ)
    except settings.SettingsError as wrong:
        say("nobody is told", str(wrong))
        return ExitCode.REFUSED_TO_START
    for name, why in delivery.broken.items():
        say("not to be told", f"{name}: {why}")
    if not delivery.targets:
        say("nobody is told", "no [alerts.targets] can be reached.")
        return ExitCode.REFUSED_TO_START
    untold = trio.run(tell, delivery, read, str(configuration))
    return ExitCode.FAILURES_FOUND if untold else ExitCode.CLEAN


def say(event: str, sentence: str) -> None:
    log(event, sentence, level="warning", process="tell")


async def tell(delivery: Delivery, read: Read, configuration: str) -> int:
    """Tell each line until the end; return of how many nobody was told who wants to know."""
    epoch, told = secrets.token_hex(4), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delivery.run, trio.Event())
        nursery.start_soon(tell_trouble, delivery)
        async for line in lines(read):
            try:
                one = notice(line, f"{epoch}-{len(told) + 1}", configuration, delivery.wall())
            except (ValueError, KeyError, TypeError, RecursionError) as problem:
                say("no line", f"a line that is none is left out: {type(problem).__name__}.")
                continue
            told.append(one.notice_id)
            delivery.put(one)
        ends_at = trio.current_time() + END_SECONDS_MAX
        while has_work(delivery, ends_at) and trio.current_time() < ends_at:  # noqa: ASYNC110 - a moment, at the end
            await trio.sleep(LOOK_SECONDS)
        nursery.cancel_scope.cancel(reason="everything is told that can be told now")
    untold = sum(bool(delivery.results(name)) and not delivery.is_delivered(name) for name in told)
    if untold:
        why = "; ".join(f"{name}: {problem}" for name, problem in problems(delivery).items())
        say("not told", f"nobody was told of {untold} of {len(told)} alerts ({why}).")
    return untold


def has_work(delivery: Delivery, until: float) -> bool:
    """Whether a notice is on its way, or may leave by then: what failed is tried again, what is held back is not."""
    return any(one.is_sending or one.outbox.wakes_at(trio.current_time()) <= until for one in delivery.targets)


def problems(delivery: Delivery) -> dict[str, str]:
    return {one.wants.name: one.outbox.problem for one in delivery.targets if one.outbox.problem}


async def tell_trouble(delivery: Delivery) -> NoReturn:
    """Say in the log which targets are in trouble, once each: nobody else may hear of it."""
    known: dict[str, str] = {}
    while True:
        failing = delivery.failing()
        for name in failing.keys() - known.keys() - delivery.broken.keys():
            say("alert path fails", f"{name}: {failing[name]}")
        known = failing
        await trio.sleep(TROUBLE_LOOK_SECONDS)


async def lines(read: Read) -> AsyncIterator[bytes]:
    """Each line that comes; one that is too long is cut in two, and so is none."""
    left = b""
    while chunk := await read():
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(left) > LINE_BYTES_MAX:
            left = b""
    if left:
        yield left


def notice(line: bytes, notice_id: str, configuration: str, now: float) -> Notice:
    """Read one line. Raises ValueError, KeyError, TypeError, RecursionError."""
    said: Any = json.loads(line)
    alert, severity = BY_LABEL[said["name"]], Severity(said["severity"])
    sentence = without_secrets(str(said["sentence"]))[:SENTENCE_CHARACTERS_MAX]
    phase, todo = "happens", alert.value.todo.replace("CONF", configuration)
    if alert is Alert.WATCH_AGAIN:
        phase, todo = "ends", ""
    return Notice(notice_id, alert.label, "", phase, severity, sentence, todo, now, now)


# -- whom


def a_delivery(tree: Mapping[str, Any], environment: Mapping[str, str]) -> Delivery:
    """Make what tells the targets that can be reached, whatever is wrong with the others."""
    wanted, wrong = whom(tree)
    own = environment.get(OWN_CREDENTIALS, "")
    wanted = attrs.evolve(wanted, targets={name: by_own(one, own) for name, one in wanted.targets.items()})
    targets, broken = reachable(wanted, environment)
    who = Sender(str(tree.get("account", "")), socket.gethostname(), str(tree.get("mode", "")))
    return Delivery(targets, who, time.time, Quiet.of(wanted), broken={**wrong, **broken})


def whom(tree: Mapping[str, Any]) -> tuple[alert_config.Alerts, dict[str, str]]:
    """Read [alerts]; a mistake in it costs no target that is right. Return these, and what is wrong with which."""
    try:
        return alert_config.alerts(tree), {}
    except ConfigError as problem:
        wrong = {"alerts": str(problem)}
    table = tree.get("alerts")
    tables = table.get("targets") if isinstance(table, dict) else None
    found: dict[str, alert_config.Target] = {}
    for name, given in tables.items() if isinstance(tables, dict) else ():
        with contextlib.suppress(ConfigError, AttributeError, TypeError):
            found[name] = alert_config.target(name, given)
    return alert_config.Alerts(targets=found), wrong


def by_own(target: alert_config.Target, own: str) -> alert_config.Target:
    """Look in this unit's own folder of credentials for what another unit's is named for: both hosts have one file."""

    def moved(path: str) -> str:
        is_credential = own and len(Path(path).parts) > 1 and Path(path).parent.parent == CREDENTIALS_FOLDER
        return str(Path(own) / Path(path).name) if is_credential else path

    return attrs.evolve(target, url_file=moved(target.url_file), token_file=moved(target.token_file))
