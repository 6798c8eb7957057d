"""`keys create|list|revoke`: API keys made, shown and revoked through a session that the account's wallet signs.

The wallet's key is used for the one signature and forgotten before anything else happens; the session is revoked at the
end, whatever that is. A new secret is written straight into a file of mode 0600 that was not there, or shown once.
Nothing here logs.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import trio

from maker.app import config, key_words, wallets
from maker.app.addresses import trusted
from maker.app.causes import describe, first_cause
from maker.app.config import Exchange
from maker.app.credentials import refuse_secrets
from maker.app.key_making import NewFile, create, own_row
from maker.app.key_telling import Outcome, Undone, say, table, told
from maker.app.key_words import UsageError, Words
from maker.edge import api_keys
from maker.edge.client import Client
from maker.edge.endpoint import Endpoint, resolve
from maker.edge.lane import NotSent
from maker.edge.session import Session, Wallet
from maker.errors import ConfigError, ExitCode, StartRefused, Unauthorized
from maker.launch import running
from maker.wire.access import KeySeen

RESOLVE_SECONDS_MAX: Final = 10.0
SIGN_OUT_SECONDS_MAX: Final = 5.0
IN_USE_SECONDS: Final = 120.0  # a maker reads the account every few seconds: a key used so lately is in use ...
PROVED_SECONDS: Final = 3.0  # ... unless that was right after it was made: `create` tries what it makes
LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def main(argv: list[str]) -> int:
    """Run one command and return its exit code; stdout gets what it came to, last."""
    as_json = "--json" in argv
    try:
        outcome = run(key_words.parse(argv, None if as_json else key_words.terminal()))
    except UsageError as wrong:
        outcome = Outcome(str(wrong), ExitCode.USAGE)
    except ConfigError as wrong:
        outcome = Outcome(str(wrong), ExitCode.REFUSED_TO_START)
    except StartRefused as refused:
        outcome = Outcome(refused.sentence, refused.exit_code)
    except BaseException as error:  # noqa: BLE001 - the top of this process: Ctrl-C or a bug of ours, no clean end
        outcome = failed(error)
    text = json.dumps({"reason": outcome.reason, "exit_code": int(outcome.exit_code), **outcome.fields})
    with contextlib.suppress(OSError):  # nobody reads our stdout any more: the exit code still tells
        sys.stdout.write("\n".join([text] if as_json else [*outcome.lines, outcome.reason]) + "\n")
        sys.stdout.flush()
    return outcome.exit_code


def failed(error: BaseException) -> Outcome:
    """Say what an error means, in one sentence and without a traceback: it might show what was held."""
    cause = first_cause(error)
    if isinstance(cause, SystemExit):  # of the words' parser, which has said what it disliked
        raise cause
    if isinstance(cause, KeyboardInterrupt):
        return Outcome("interrupted: `keys list` shows what was done by then.", ExitCode.FAILURES_FOUND)
    if isinstance(cause, ConfigError):
        return Outcome(str(cause), ExitCode.REFUSED_TO_START)
    if isinstance(cause, Unauthorized):
        return Outcome(f"the exchange does not accept this wallet or its session: {cause}.", ExitCode.CREDENTIALS)
    sentence = str(cause) if isinstance(cause, Undone) else f"not done: {describe(error)}"
    return Outcome(f"{sentence}.", ExitCode.FAILURES_FOUND)


def run(words: Words) -> Outcome:
    """Do what the words say. Raises ConfigError, StartRefused, Undone, OcxError."""
    tree = config.read(words.configuration)
    folder = config.state_folder(tree)
    exchange = address_of(tree, folder)
    if words.wanted is not None:
        for sentence in key_words.warnings(words.wanted, is_local=urlsplit(exchange.base_url).hostname in LOCAL):
            say(f"WARNING: {sentence}")
    actions = {"create": make, "list": show, "revoke": revoke}
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(NewFile.made(words.out)) if words.out else None
        desk = Desk(words, exchange, folder, file)
        wallet = the_wallet(words)
        if isinstance(wallet, wallets.TypedWallet):
            stack.callback(wallet.forget)
        return trio.run(signed_in, desk, wallet, actions[words.action])


def address_of(tree: dict[str, Any], folder: Path) -> Exchange:
    """Return where the exchange is and what a wallet signs there; of the rest of the file nothing is looked at.

    Raises ConfigError, or StartRefused where no practice exchange runs.
    """
    refuse_secrets(tree, "")
    practice = running.practice(folder) if tree.get("mode") == "paper" else None
    if tree.get("mode") == "paper" and practice is None:
        raise StartRefused(running.none_runs(folder))
    return config.exchange(tree, str(tree.get("mode")), practice.url if practice is not None else "")


def the_wallet(words: Words) -> Wallet:
    """Return what signs. Raises ConfigError."""
    if words.wallet_file:
        return wallets.FileWallet(Path(words.wallet_file), "--wallet-file")
    return wallets.typed()


@attrs.frozen
class Desk:
    """What a command works with."""

    words: Words
    exchange: Exchange
    folder: Path  # the state folder
    file: NewFile | None  # for a new secret; None: it is shown
    wall: Callable[[], float] = time.time  # unix seconds

    def client(self, endpoint: Endpoint, headers: dict[str, str]) -> Client:
        return Client(self.exchange.base_url, headers, endpoint.tls, dial=endpoint.dial)

    def show(self, secret: str) -> None:
        """Show a new secret, at once: whatever comes after it may be interrupted. With --json it is in the object."""
        if not self.words.as_json:
            sys.stdout.write(f"The secret, shown this once:\n{secret}\n")
            sys.stdout.flush()


async def signed_in(desk: Desk, wallet: Wallet, act: Callable[[Session, Desk], Awaitable[Outcome]]) -> Outcome:
    """Sign in, forget the wallet's key, act, and revoke the session. Raises what `run` does."""
    trusts = trusted("exchange.ca_file", desk.exchange.ca_file)
    try:
        with trio.fail_after(RESOLVE_SECONDS_MAX):
            endpoint = await resolve(desk.exchange.base_url, trusts)
    except NotSent as problem:
        raise Undone(f"the exchange cannot be found: {problem}") from None
    except trio.TooSlowError:
        raise Undone(f"the exchange cannot be found: no look-up within {RESOLVE_SECONDS_MAX:g} s") from None
    client = desk.client(endpoint, {})
    session = Session(client, wallet, desk.exchange.terms(), desk.wall)
    try:
        await session.sign_in()
        if isinstance(wallet, wallets.TypedWallet):
            wallet.forget()
        say(f"Signed in as {session.address}.")
        return await act(session, desk)
    finally:
        if not await session.end(SIGN_OUT_SECONDS_MAX):
            say("WARNING: the session could not be revoked; it ends by itself within days.")


# -- the commands -------------------------------------------------------------------------------------------------


async def make(session: Session, desk: Desk) -> Outcome:
    """Make a key. Raises OcxError, Undone."""
    assert desk.words.wanted is not None, "the words of `create` say what is wanted"
    return await create(session, desk.words.wanted, desk.file, desk.show)


async def show(session: Session, _desk: Desk) -> Outcome:
    """List the keys. Raises OcxError, ValueError."""
    rows = await api_keys.listed(session)
    active, now = sum(row.status == "active" for row in rows), session.wall()
    reason = f"{len(rows)} keys, {active} of them active."
    return Outcome(reason, lines=table(rows, now), fields={"keys": [told(row, now) for row in rows]})


async def revoke(session: Session, desk: Desk) -> Outcome:
    """Revoke one key, unless something runs with it, and read back that it is.

    Raises OcxError, StartRefused, Undone.
    """
    key_id = desk.words.key_id
    row = next((row for row in await api_keys.listed(session) if row.key_id == key_id), None)
    if row is None:
        raise Undone(f"the account has no key {key_id}: `keys list` shows them")
    in_use = why_in_use(row, running.keys_in_use(desk.folder) or (), session.wall())
    if row.status == "active" and in_use and not desk.words.anyway:
        raise StartRefused(
            f"not revoked: {in_use}. What it has resting could be pulled by nobody: stop it first, or let it take "
            "another key. With --anyway it is revoked all the same."
        )
    await api_keys.revoked(session, key_id)
    row = await own_row(session, key_id)
    if row is not None and row.status == "active":
        raise Undone(f"the exchange accepted it, and still lists {key_id} as active")
    return Outcome(
        f"Revoked the key {key_id}.", fields={"key": {"id": key_id} if row is None else told(row, session.wall())}
    )


def why_in_use(row: KeySeen, used_here: tuple[str, ...], now: float) -> str:
    """Say what speaks for a key being in use at `now`, unix seconds; "" when nothing does."""
    if row.key_id in used_here:
        return "a run on this machine quotes with this key"
    if row.last_used_at is None or now - row.last_used_at >= IN_USE_SECONDS:
        return ""
    if row.created_at is not None and row.last_used_at - row.created_at < PROVED_SECONDS:
        return ""
    ago_seconds = max(0.0, now - row.last_used_at)
    return f"this key was used {ago_seconds:.0f} s ago, from {row.last_used_ip or 'an address that is not told'}"
