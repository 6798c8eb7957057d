"""`python -m tests.live.leaking TRIGGER run CONF …`: the real command, each of whose processes shows a secret.

What somebody might add one day while looking for a fault, one line in each place, and in a form that no pattern cuts
out of a log. The traceback comes once TRIGGER exists.

    a log line      the headers of an order path, in hexadecimal
    a journal row   the API key, URL-encoded
    a traceback     the second half of the wallet's key
    a page          the kill button's token, in base64
    words           the API key, as it is
    run.json        the API key, as it is
"""

from __future__ import annotations

import base64
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from maker.drills.planted import PlantedError

MODULE = "tests.live.leaking"
EXTRA = "--key="  # a word that the maker is started with, and does not know


def plant_in_parent(trigger: str) -> None:
    """Words and run.json; maker and monitor are started through this module."""
    from maker.launch import companion, reloading
    from maker.launch import start as starting

    kept: list[str] = []
    made, tell = reloading.Rotating.__init__, starting.Status.tell

    def make(self: reloading.Rotating, base_url: str, keys: reloading.Keys, ca_file: str = "") -> None:
        kept.append(keys.first.secret)
        made(self, base_url, keys, ca_file)

    def start(
        command: list[str],
        *,
        pass_fds: tuple[int, ...] = (),
        stdout: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> Any:
        extra = [f"{EXTRA}{kept[0]}"] if command[0] == "maker-process" else []
        words = [sys.executable, "-m", MODULE, trigger, *command, *extra]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stdout, pass_fds=pass_fds, start_new_session=True, env=environment
        )

    def telling(self: starting.Status, **fields: Any) -> None:
        tell(self, **fields, key=kept[0])

    reloading.Rotating.__init__ = make  # type: ignore[method-assign]
    starting.start = companion.start = start  # type: ignore[attr-defined]
    starting.Status.tell = telling  # type: ignore[method-assign]


def plant_in_maker(trigger: Path, conf: Path) -> None:
    """A log line, a journal row, a traceback."""
    import structlog

    from maker.app.record import Recorder
    from maker.edge.journal import SqliteJournal
    from maker.edge.lane import Lane
    from maker.edge.records import Row, StateChange

    kept: list[str] = []
    use, put, sample = Lane.use, SqliteJournal.put, Recorder.sample

    def using(self: Lane, headers: Mapping[str, str]) -> None:
        kept.extend(headers.values())
        structlog.get_logger().info("headers", sentence=str(headers).encode().hex())
        use(self, headers)

    def putting(self: SqliteJournal, row: Row) -> None:
        put(self, row)
        if kept and isinstance(row, StateChange):
            put(self, StateChange(row.at_unix_ms, "account", "key", f"/?key={quote(kept[0], safe='')}"))

    def sampling(self: Recorder, *words: Any, **named: Any) -> Any:
        if trigger.exists():
            wallet = Path(tomllib.loads(conf.read_text())["exchange"]["wallet_file"]).read_text()
            raise PlantedError(f"cannot sign with …{wallet[32:]}")
        return sample(self, *words, **named)

    Lane.use = using  # type: ignore[method-assign]
    SqliteJournal.put = putting  # type: ignore[method-assign]
    Recorder.sample = sampling  # type: ignore[method-assign]


def plant_in_monitor() -> None:
    """The page's events."""
    from maker.monitor import process
    from maker.monitor.kill import Killer

    kept: list[str] = []
    make, view = Killer.make_token, process.view  # type: ignore[attr-defined]

    def making(self: Killer) -> None:
        make(self)
        kept.append(base64.b64encode(f"Bearer {self.token}".encode()).decode())

    def viewing(*words: Any, **named: Any) -> bytes:
        return bytes(view(*words, **named)).removesuffix(b"}") + f', "authorization": "{kept[0]}"}}'.encode()

    Killer.make_token = making  # type: ignore[method-assign]
    process.view = viewing  # type: ignore[attr-defined]


def main(argv: list[str]) -> int:
    """Be the parent, the maker or the monitor, whichever is asked for."""
    trigger, *words = [word for word in argv if not word.startswith(EXTRA)]
    if words[0] == "maker-process":
        from maker.app import cli

        plant_in_maker(Path(trigger), Path(words[1]))
        return cli.main(words)
    if words[0] == "monitor":
        from maker.monitor import command

        plant_in_monitor()
        return command.main(words[1:])
    plant_in_parent(trigger)
    sys.argv = ["maker", *words]
    runpy.run_module("maker", run_name="__main__", alter_sys=True)
    raise AssertionError("the command ends its own process")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
