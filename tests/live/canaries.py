"""A world in which every secret is a canary: who has which, who repeats them to us, and all that is left behind.

    secret                        belongs into
    the wallet's key              a file of mode 0600, and nothing else
    API keys: trade, another      each a file of mode 0600; one is shown once, by `keys create` without --out
    trade key, read key
    sessions' tokens              nothing: they are told by the exchange and learnt here on their way
    a webhook's URL               a file of mode 0600; another's: an environment variable
    a bearer token, a bot's       each a file of mode 0600
    the kill button's token       `monitor.token` in the state folder, as long as the monitor runs

The environment is no leak where a person put the secret there; whatever is kept in a file must not be in one either.
The exchange answers with what it was sent, credential first, as JSON, as a page, and as no HTTP at all; so do the
targets of alerts. Words are looked at while everything runs: those of every process of this machine.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import trio

from maker.drills.processes import VenueProcess, start_venue
from maker.drills.proxy import Link, Proxy, answer
from maker.drills.stage import forget_account
from maker.launch import key, lock
from maker.launch.settings import parent_settings
from tests.live.desk import Desk
from tests.live.stage import live_conf
from tests.live.support import KEY_ENV
from tests.support.canary import leaks_in, leaks_in_words, leaks_of_process, leaks_under

SLACK_ENV: Final = "CANARY_SLACK_URL"
VENUE_WORDS: Final = ("--session-wanted", "both", "--session-seconds", "300", "--requests-per-minute", "1200")
LOOK_SECONDS: Final = 1.0  # between two looks at everybody's words; those of a command are looked at all the time
HOOK_BYTES_MAX: Final = 64 * 1024
SESSION: Final = re.compile(rb"astra_session=(eyJ[\w.-]+)")
CREDENTIAL: Final = re.compile(rb"^(?:x-api-key|authorization): *([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
TARGETS: Final = """
[alerts.targets.hook]
kind = "webhook"
url_file = "{folder}/hook"
token_file = "{folder}/bearer"
[alerts.targets.slack]
kind = "slack"
url_env = "{slack}"
[alerts.targets.phone]
kind = "telegram"
token_file = "{folder}/bot"
chat = "-1001234567890"
api_url = "{url}"

"""


# -- those who repeat what they were told ---------------------------------------------------------------------------


def credential(request: bytes) -> str:
    found = CREDENTIAL.search(request)
    return found[1].decode() if found else "none"


def as_json(status: int) -> Callable[[bytes], bytes]:
    """Refuse as OCX does, in words that hold all of the request."""

    def reply(request: bytes) -> bytes:
        sent = credential(request)
        body = {"error": f"NO_{sent}", "code": f"DENIED {sent}", "message": f"{sent} in {request.decode('latin-1')}"}
        return answer(status, json.dumps(body).encode(), f"X-Echo: {sent}", "Retry-After: 1")

    return reply


def as_page(status: int) -> Callable[[bytes], bytes]:
    """Refuse as a proxy in front of an exchange does."""
    return lambda request: answer(status, b"<html>%s %s" % (credential(request).encode(), request), kind="text/html")


def as_it_came(request: bytes) -> bytes:
    """Send back what came, the credential first: it is no HTTP."""
    return b"%s %s" % (credential(request).encode(), request)


@attrs.define
class Faults:
    """What requests are answered instead of by the exchange: in turn, by how they begin and what they hold."""

    left: list[tuple[bytes, bytes, Callable[[bytes], bytes]]] = attrs.field(factory=list)

    def put(self, beginning: str, *replies: Callable[[bytes], bytes], holding: str = "") -> None:
        self.left += [(beginning.encode(), holding.encode(), reply) for reply in replies]

    def __call__(self, request: bytes) -> bytes | None:
        for place, (beginning, holding, reply) in enumerate(self.left):
            if request.startswith(beginning) and holding in request:
                del self.left[place]
                return reply(request)
        return None


@attrs.define(eq=False)
class Hook:
    """Where alerts go: refused with what was sent, or not answered at all, in turn."""

    port: int = 0
    received: list[bytes] = attrs.field(factory=list)

    @property
    def told(self) -> bytes:
        """What alerts say; where they go, and with which token, stands in the heads."""
        return b"\n".join(request.partition(b"\r\n\r\n")[2] for request in self.received)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        await trio.serve_listeners(self.serve, [listener], task_status=task_status)  # type: ignore[arg-type]

    async def serve(self, stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async with stream:
                request = bytes(await stream.receive_some(HOOK_BYTES_MAX))  # a notice leaves in one piece
                self.received.append(request)
                replies = (as_json(500), as_page(404), as_it_came, as_json(429))
                await stream.send_all(replies[len(self.received) % len(replies)](request))


# -- the world ------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class World:
    """One practice exchange, a desk with all secrets there are, and what was seen of them."""

    folder: Path
    venue: VenueProcess
    exchange: Proxy
    hook: Hook
    desk: Desk
    faults: Faults = attrs.field(factory=Faults)
    secrets: dict[str, str] = attrs.field(factory=dict)  # what it is called -> the secret
    belongs: list[Path] = attrs.field(factory=list)  # files that hold one and may
    seen: dict[str, None] = attrs.field(factory=dict)  # leaks, each once
    answers: int = 0  # of the monitor

    def keep(self, called: str, secret: str, file_name: str = "", text: str = "") -> None:
        """Know a secret; with a file's name, put it there, as that text, for its owner alone."""
        self.secrets[called] = secret
        if file_name:
            path = self.desk.folder / file_name
            path.touch(0o600)
            path.write_text(text or secret)
            self.belongs.append(path)
            self.desk.secrets.append(secret)  # what is in a file is in no environment

    def learn(self, _link: Link, piece: bytes) -> bool:
        """Take every session's token from what the exchange sends; nothing is lost."""
        for found in SESSION.findall(piece):
            if found.decode() not in self.secrets.values():
                self.secrets[f"session {len(self.secrets)}"] = found.decode()
        return False

    async def make_key(self, called: str, scope: str, file_name: str = "") -> str:
        """Make a key by command, into a file or shown once, and return its id."""
        words = ["--scope", scope, "--ip", "127.0.0.1", "--days", "30"]
        path = self.desk.folder / file_name
        made = await self.desk.keys("create", *words, *(["--out", str(path)] if file_name else []))
        assert made["exit_code"] == 0, made
        if file_name:
            self.belongs.append(path)
            self.secrets[called] = key.read("", str(path), {}).secret
            self.desk.secrets.append(self.secrets[called])
        else:
            self.secrets[called] = made["secret"]
            self.belongs.append(self.desk.folder / f"keys-{self.desk.commands}.out")
        return str(made["key"]["id"])

    # -- looking

    def note(self, leaks: list[str]) -> None:
        self.seen |= dict.fromkeys(leaks)

    def look(self) -> None:
        """Look through everything that is on the disk now, the account's lock among the machine's own included."""
        self.note(leaks_under(self.folder, self.secrets, but=self.belongs))
        for path in lock.account_paths(parent_settings(self.desk.conf)):
            self.note(leaks_in(str(path), path.read_bytes(), self.secrets) if path.exists() else [])

    def look_at(self, *pids: int | None) -> None:
        """Look at the words and environment of processes that run."""
        for pid in pids:
            self.note(leaks_of_process(pid, self.desk.secrets) if pid else [])

    async def look_at_words(self) -> None:
        """Look at everybody's words, until cancelled."""
        while True:
            self.note(leaks_in_words(self.secrets))
            await trio.sleep(LOOK_SECONDS)

    async def ask(self, url: str, head: str, body: bytes = b"", seconds: float = 30.0) -> bytes:
        """Ask the monitor, look at the whole answer, and return it; an endless one for so many seconds."""
        place, whole = urlsplit(url), b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        request = f"{head}\r\nConnection: close\r\n{length}\r\n".encode("latin-1") + body
        with trio.move_on_after(seconds), contextlib.suppress(trio.BrokenResourceError):
            async with await trio.open_tcp_stream(str(place.hostname), place.port or 80) as stream:
                await stream.send_all(request)
                async for piece in stream:
                    whole += bytes(piece)
        self.answers += 1
        self.note(leaks_in(f"the monitor's answer to {head.split()[1].partition('?')[0]}", whole, self.secrets))
        return whole


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Start an exchange and make every secret; at the end the exchange is told to stop, and has written its state."""
    state = folder / "venue-state.json"
    venue = await start_venue(folder, *VENUE_WORDS, "--state", str(state))
    try:
        async with trio.open_nursery() as nursery:
            exchange, reference, hook = Proxy(venue.port), Proxy(venue.reference_port), Hook()
            for service in (exchange.run, reference.run, hook.run):
                await nursery.start(service)
            made = World(folder, venue, exchange, hook, a_desk(folder / "desk", exchange.port, reference.port, hook))
            exchange.lie, exchange.loses = made.faults, made.learn
            make_secrets(made)
            nursery.start_soon(made.look_at_words)
            await made.make_key("the trade key", "trade", "key")
            await made.make_key("the monitor's read key", "read", "read-key")
            yield made
            nursery.cancel_scope.cancel(reason="the scene is over")
        venue.process.popen.terminate()
        await venue.process.wait()
        forget_account(made.desk.conf)
    finally:
        venue.process.kill()


def a_desk(folder: Path, http_port: int, reference_port: int, hook: Hook) -> Desk:
    """A user's folder; its state folder is the same one."""
    folder.mkdir()
    targets = TARGETS.format(folder=folder, slack=SLACK_ENV, url=f"http://127.0.0.1:{hook.port}")
    replace = {
        f'key_env = "{KEY_ENV}"': f'key_file = "{folder}/key"\nwallet_file = "{folder}/wallet"',
        r"^enabled = true(?=.*starts it)": "enabled = true",
        r'^# key_file = "~/.config/maker/read".*$': f'key_file = "{folder}/read-key"',
        r"^(?=\[watch\])": targets,
        r"^ramp_seconds = .*$": "ramp_seconds = 0.5",
        r"^not_quoting_seconds = .*$": "not_quoting_seconds = 1.0",
        r"^tail_seconds_max = .*$": "tail_seconds_max = 1.0",
        r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 1.0",
        r"^tail_seconds = .*$": "tail_seconds = 1.0",
    }
    return Desk(folder, live_conf(folder, http_port, reference_port, replace=replace))


def make_secrets(made: World) -> None:
    """Make those that are not told by the exchange."""
    made.desk.secrets.clear()
    url = f"http://127.0.0.1:{made.hook.port}"
    made.keep("the wallet's key", secrets.token_hex(32), "wallet")
    path, bot = secrets.token_hex(20), f"123456:{secrets.token_urlsafe(30)}"
    made.keep("the webhook's path", path, "hook", f"{url}/hooks/{path}")
    made.keep("the bearer token", secrets.token_hex(20), "bearer")
    made.keep("the bot's token", bot, "bot")
    slack = secrets.token_hex(20)
    made.keep("Slack's path", slack)
    made.desk.environment[SLACK_ENV] = f"{url}/services/{slack}"


def as_state(folder: Path) -> dict[str, Any]:
    """Read run.json."""
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found
