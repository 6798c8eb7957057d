"""The configurations that scenes use, and the stage with one of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from maker.drills import stage
from maker.drills.processes import TRADE_KEY
from maker.drills.proxy import Chooser
from maker.drills.stage import Stage
from tests.live.support import KEY_ENV, PROJECT

PAPER_CONF: Final = PROJECT / "conf" / "paper.toml"
GIVE_UP_SOON: Final = {r"^give_up_seconds = .*$": "give_up_seconds = 10.0"}  # a little more than the tail


def paper_conf(folder: Path, *, replace: Mapping[str, str] = {}, extra: str = "", monitored: bool = False) -> Path:
    """Write the project's practice configuration with its state in the folder; `replace` by regular expression.

    A monitor is started beside the maker only where it is what a scene is about: it takes a second of a processor.
    """
    text = PAPER_CONF.read_text()
    looked_at = {r"^enabled = true(?=.*starts it)": f"enabled = {str(monitored).lower()}"}
    wanted = {r"^state_folder = .*$": f'state_folder = "{folder}"', **looked_at, **replace}
    for pattern, line in wanted.items():
        text, count = re.subn(pattern, lambda _match, line=line: line, text, flags=re.MULTILINE)  # type: ignore[misc]
        assert count, f"conf/paper.toml has nothing like {pattern}"
    path = folder / "run.toml"
    path.write_text(text + extra)
    return path


def live_conf(folder: Path, http_port: int, reference_port: int, *, replace: Mapping[str, str] = {}) -> Path:
    """Write a configuration for an exchange that runs elsewhere: what a user of OCX writes, with local addresses."""
    live = {
        r'^mode = "paper".*$': 'mode = "live"',
        r"^\[paper\](.|\n)*?(?=^\[reference\.)": f'[exchange]\nbase_url = "http://127.0.0.1:{http_port}"\n'
        f'key_env = "{KEY_ENV}"\n\n',
        **{
            rf"^\[reference\.{name}\].*$": f'[reference.{name}]\nurl = "ws://127.0.0.1:{reference_port}/{name}"'
            for name in ("alpha", "beta", "gamma")
        },
    }
    return paper_conf(folder, replace={**live, **replace})


@contextlib.asynccontextmanager
async def staged(
    folder: Path, *venue_words: str, hold: Chooser | None = None, replace: Mapping[str, str] = {}
) -> AsyncIterator[Stage]:
    """Set a stage with a live configuration."""
    configure = partial(live_conf, folder, replace=replace)
    environment = {KEY_ENV: TRADE_KEY}
    async with stage.staged(folder, configure, *venue_words, environment=environment, hold=hold) as ready:
        yield ready
