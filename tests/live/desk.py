"""A user's folder with a wallet in it, and the commands that are run there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from maker.drills.processes import MakerRun, Process, VenueProcess, cleaned, start_maker, until
from maker.drills.record import Record
from tests.live.stage import live_conf
from tests.live.support import KEY_ENV
from tests.support.canary import leaks_of_process
from tests.support.wallets import KEY

COMMAND_SECONDS_MAX: Final = 60.0  # it takes 1 s on an idle machine, `check` 3
RUN_SECONDS_MAX: Final = 60.0


class Desk:
    """A folder with a wallet, a configuration and whatever is left by commands."""

    def __init__(self, folder: Path, conf: Path) -> None:
        self.folder, self.conf = folder, conf
        self.wallet, self.key_file = folder / "wallet", folder / "key"
        self.wallet.write_text(KEY)
        self.wallet.chmod(0o600)
        self.secrets = [KEY]
        self.environment: dict[str, str | None] = {KEY_ENV: None}
        self.leaks: list[str] = []
        self.commands = 0

    async def keys(self, action: str, *words: str) -> dict[str, Any]:
        """Run a `keys` command to its end."""
        return await self.command("keys", action, str(self.conf), *words, "--wallet-file", str(self.wallet))

    async def command(self, *words: str) -> dict[str, Any]:
        """Run a command to its end, looking at its words and environment all the time; return what it said."""
        self.commands += 1
        name = f"{words[0]}-{self.commands}"
        process = Process.start(["-m", "maker", *words, "--json"], self.folder, name, self.environment)

        def ended() -> bool:
            self.leaks += leaks_of_process(process.popen.pid, self.secrets)
            return process.ended

        try:
            await until(ended, COMMAND_SECONDS_MAX, f"the end of {name}")
        finally:
            process.kill()
        said: dict[str, Any] = json.loads(process.out.read_text().splitlines()[-1])
        assert said["exit_code"] == process.popen.returncode
        return said

    async def run(
        self, *words: str, record: Record | None = None, look: Callable[[MakerRun], None] = lambda _run: None
    ) -> MakerRun:
        """Run the maker to its end."""
        with cleaned(start_maker(self.folder, self.conf, *words, record=record, environment=self.environment)) as maker:

            def ended() -> bool:
                for pid in (maker.process.popen.pid, maker.status.get("maker_pid")):
                    self.leaks += leaks_of_process(pid, self.secrets) if pid else []
                look(maker)
                return maker.process.ended

            await until(ended, RUN_SECONDS_MAX, f"the end of the run; its log: {maker.log[-2000:]}")
            return maker


def desk_at(folder: Path, venue: VenueProcess, *, exchange: str = "", replace: Mapping[str, str] = {}) -> Desk:
    """Make a desk for an exchange that runs; `exchange` is more of that section of its configuration."""
    folder.mkdir(exist_ok=True)
    places = {f'key_env = "{KEY_ENV}"': f'key_file = "{folder / "key"}"\n{exchange}', **replace}
    return Desk(folder, live_conf(folder, venue.port, venue.reference_port, replace=places))
