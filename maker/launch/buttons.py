"""The red button and its release: `cancel-all` latches and pulls all there is, `clear` takes the latch off again.

Both need the standard library and the configuration, and nothing that may be broken when they are needed: no packages,
no maker, no guard, whatever state those are in. cancel-all writes the kill file first, so that nothing quotes behind
its back; then it cancels, reads back, and goes on through the tail, because a ladder that a dead maker had on its way
may still land. It says at once when nothing rests; what it ends with holds after the tail too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from maker.guard.exchange import READ_GAP_SECONDS, Exchange, NoAnswer, Refused, pull, seconds_now
from maker.launch import latch, running, sparing
from maker.launch.account import REFUSED, Account, Stopped, account, load
from maker.launch.lock import CRASHES

CLEAN, USAGE, UNVERIFIED, CREDENTIALS = 0, 2, 75, 77  # as maker.errors.ExitCode
LOOK_UP_PAUSE_SECONDS = 1.0  # between two look-ups of a name that has no address
DENIED_MAX = 3  # refusals for the key's sake in a row: a fourth would not be answered otherwise
DENIED_PAUSE_SECONDS = 0.5

USAGES = {
    "cancel-all": "usage: cancel-all CONF [--no-latch] [--key-file FILE] [--after EXIT_STATUS] [--json]",
    "clear": "usage: clear CONF [--json]",
}


class Words(NamedTuple):
    """A command's words."""

    configuration: Path
    with_latch: bool
    key_file: str  # instead of the configuration's, which may be there only while a service runs; "" for that one
    after: str | None  # the exit status of the run before, as a service says it; None: by hand


class PracticeExchange(Exchange):
    """The practice exchange ends with its run, which the kill file ends: nobody need be asked in vain then."""

    practice: running.Practice | None = None

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """As Exchange's. Raises Stopped too: it has ended, and nothing rests any more."""
        if self.practice is not None and self.practice.has_ended:
            raise Stopped(CLEAN, "The practice exchange has ended with its run, and whatever rested on it.")
        return super().call(method, path, body)


def main(argv: list[str]) -> int:
    """Run `cancel-all` or `clear` and return the exit code; stdout gets what it came to, last."""
    name, words = argv[0], argv[1:]
    if "--help" in words or "-h" in words:
        sys.stdout.write(USAGES[name] + "\n")
        return CLEAN
    if name == "cancel-all":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is gone must not end it: quotes may rest
    commands: dict[str, Callable[[Words], dict[str, Any]]] = {"cancel-all": cancel_all, "clear": clear}
    try:
        fields = commands[name](parse(name, words))
    except Stopped as stopped:
        fields = {"reason": stopped.sentence, "exit_code": stopped.exit_code}
    except KeyboardInterrupt:
        fields = {"reason": "interrupted before it was verified: QUOTES MAY REST", "exit_code": UNVERIFIED}
    except Exception as problem:  # noqa: BLE001 - the top of this process: a bug of ours ends it, and is no clean end
        traceback.print_exc()
        fields = {"reason": f"failed ({problem!r}): QUOTES MAY REST", "exit_code": UNVERIFIED}
    if name == "cancel-all":
        fields = {"reason": "", "exit_code": UNVERIFIED, "verified_empty": False, "open_orders": None} | fields
    with contextlib.suppress(OSError):  # nobody reads our stdout any more: the exit code still tells
        sys.stdout.write((json.dumps(fields, ensure_ascii=False) if "--json" in words else fields["reason"]) + "\n")
        sys.stdout.flush()
    return int(fields["exit_code"])


def ahead_of_flatten(words: list[str]) -> None:
    """Latch and cancel once before `flatten` imports what it needs, which takes a second, or fails; it repeats both.

    Says nothing and decides nothing: whatever goes wrong here, `flatten` meets too, and reports.
    """
    given = [word for word in words if not word.startswith("-")]
    key_file = words[words.index("--key-file") + 1] if "--key-file" in words[:-1] else ""
    with contextlib.suppress(Stopped, NoAnswer, StopIteration):
        tree, folder = load(Path(next(word for word in given if word != key_file)))
        if tree.get("mode") == "paper":
            return  # the practice exchange ends with the run that the latch ends: there would be nothing to flatten
        write_latch(folder, "flatten was asked for by command")
        found(account(tree, folder, key_file), seconds_now()).cancel_all()


def flatten_without_packages(problem: ImportError, words: list[str]) -> int:
    """Say that no position was closed, and what to do; return the exit code."""
    reason = (
        f"NO POSITION WAS CLOSED, AND QUOTES MAY REST: the packages are broken ({problem}). One cancel-all was sent; "
        "`cancel-all` needs no packages and reads back. Close positions on the exchange's own page."
    )
    sys.stdout.write((json.dumps({"reason": reason, "exit_code": UNVERIFIED}) if "--json" in words else reason) + "\n")
    return UNVERIFIED


def parse(name: str, words: list[str]) -> Words:
    """Read a command's words. Raises Stopped."""
    configurations: list[str] = []
    with_latch, key_file = True, ""
    after: str | None = None
    rest = iter(words)
    for word in rest:
        if word == "--json":
            continue
        if word == "--no-latch" and name == "cancel-all":
            with_latch = False
        elif word == "--key-file" and name == "cancel-all":
            key_file = next(rest, "")
            if not key_file or key_file.startswith("-"):
                raise Stopped(USAGE, f"--key-file needs a path. {USAGES[name]}")
        elif word == "--after" and name == "cancel-all":
            after = next(rest, "")
        elif word.startswith("-"):
            raise Stopped(USAGE, f"unknown option {word}. {USAGES[name]}")
        else:
            configurations.append(word)
    if len(configurations) != 1:
        raise Stopped(USAGE, f"one configuration is needed, not {len(configurations)}. {USAGES[name]}")
    return Words(Path(configurations[0]), with_latch, key_file, after)


# -- cancel-all ---------------------------------------------------------------------------------------------------


def cancel_all(words: Words) -> dict[str, Any]:
    """Latch, cancel, read back, watch the tail. Raises Stopped."""
    began = seconds_now()
    tree, folder = load(words.configuration)
    start_in_vain = sparing.after_a_start(words.configuration, words.after)
    unlatched = write_latch(folder, "cancel-all was asked for by command") if words.with_latch else ""
    ours = account(tree, folder, words.key_file)
    if ours.warning:
        say(f"Warning, the key is used all the same: {ours.warning}")
    exchange = found(ours, began + ours.give_up_seconds)
    if start_in_vain is not None:
        sparing.spare(exchange, start_in_vain, began + ours.give_up_seconds)
    first_pull(exchange, ours, began)
    left_seconds = max(READ_GAP_SECONDS, began + ours.give_up_seconds - seconds_now())
    pulled = pull(exchange, min(ours.tail_seconds, left_seconds / 2), left_seconds, bool)
    fields: dict[str, Any] = {
        "verified_empty": pulled.verified_empty,
        "open_orders": pulled.open_orders,
        "cancels": pulled.cancels,
        "latched": latch.read(folder) is not None,
    }
    if not pulled.verified_empty:
        rest = "nothing could be read back" if pulled.open_orders is None else f"{pulled.open_orders} orders rest"
        lasted = f"{seconds_now() - began:.0f} s"
        fields["reason"] = f"NOT VERIFIED, QUOTES MAY REST after {lasted}: {rest}; {pulled.trouble}."
        return fields | {"exit_code": UNVERIFIED}
    fields["reason"] = f"Nothing rests on the account, read back twice after {seconds_now() - began:.1f} s."
    if unlatched:
        fields["reason"] += f" BUT NOT LATCHED, a running maker may quote again: {unlatched}."
        return fields | {"exit_code": UNVERIFIED}
    if fields["latched"]:
        fields["reason"] += f" Nothing quotes or starts until: python3 run.py clear {words.configuration}"
    return fields | {"exit_code": CLEAN}


def first_pull(exchange: Exchange, ours: Account, began: float) -> None:
    """Cancel and look, once, and say what was seen: whoever pressed the button waits for that and not for the tail.

    Raises Stopped for a key that is not accepted; any other trouble is left to `pull`, which repeats.
    """
    for attempt in range(1, DENIED_MAX + 1):
        try:
            exchange.cancel_all()
            rests = len(exchange.open_orders())
        except Refused as refused:
            if refused.status not in (401, 403):
                say(f"{refused}: trying again and by other routes, for up to {ours.give_up_seconds:g} s.")
                return
            if attempt == DENIED_MAX:
                raise Stopped(
                    CREDENTIALS,
                    f"QUOTES MAY REST: {refused}; the key must have the scope 'trade', be used from a pinned address "
                    "and be neither expired nor revoked.",
                ) from None
            time.sleep(DENIED_PAUSE_SECONDS)
        except NoAnswer as problem:
            say(f"{problem}: trying again for up to {ours.give_up_seconds:g} s.")
            return
        else:
            seen = f"Cancelled; {rests or 'no'} orders rest after {seconds_now() - began:.1f} s."
            say(f"{seen} Looking on for {ours.tail_seconds:g} s: a ladder may still be on its way.")
            return


def found(ours: Account, deadline: float) -> Exchange:
    """Return the exchange with its addresses looked up, however long that takes. Raises Stopped."""
    try:
        ca_file = os.path.expanduser(ours.ca_file)
        exchange = PracticeExchange(ours.base_url, ours.key, ca_file)
    except OSError as problem:  # ssl.SSLError among it
        raise Stopped(REFUSED, f"NOTHING WAS CANCELLED, quotes may rest: exchange.ca_file: {problem}") from None
    exchange.practice = ours.practice
    while not exchange.look_up():
        if seconds_now() >= deadline:
            raise Stopped(UNVERIFIED, f"QUOTES MAY REST: no address for {exchange.host} could be found.")
        say(f"no address for {exchange.host} is found: trying again for up to {ours.give_up_seconds:g} s.")
        time.sleep(LOOK_UP_PAUSE_SECONDS)
    return exchange


def write_latch(folder: Path, sentence: str) -> str:
    """Write the kill file, and return why that was not possible; "" when it was. Pulling goes on either way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        latch.write(folder, "command", sentence)
    except OSError as problem:
        why = f"the kill file cannot be written in {folder} ({problem.strerror})"
        say(f"NOT LATCHED: {why}.")
        return why
    return ""


# -- clear --------------------------------------------------------------------------------------------------------


FORGOTTEN = {CRASHES: "the marks of earlier crashes", running.LOSSES_FILE: "the losses counted so far"}


def clear(words: Words) -> dict[str, Any]:
    """Remove kill file, crash marks and counted losses, and say what the kill file said. Raises Stopped."""
    _, folder = load(words.configuration)
    try:
        said = latch.clear(folder)
        marks = [what for name, what in FORGOTTEN.items() if (folder / name).exists()]
        for name in FORGOTTEN:
            (folder / name).unlink(missing_ok=True)
    except OSError as problem:
        raise Stopped(REFUSED, f"The latch in {folder} cannot be removed: {problem.strerror}.") from None
    if said is None and not marks:
        reason = f"Nothing to clear in {folder}."
    else:
        cleared = ", and ".join([*([said] if said is not None else []), *marks])
        reason = f"Cleared: {cleared}. The next start may quote again."
    return {"reason": reason, "exit_code": CLEAN, "said": said}


def say(sentence: str) -> None:
    """Tell progress on stderr; stdout is for the result."""
    with contextlib.suppress(OSError):
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()
