"""What a run has lost, kept for the next one: a restart must not hand out the loss limits anew.

One small file in the state folder, written every few seconds and at the end, removed by `clear`. A practice exchange
that keeps nothing (`[paper] state = ""`) opens a new account with each run, so there nothing is carried over. What
counts, and what of money that was moved between two runs, is told in `maker.desk.breakers`.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import attrs

from maker.app.config import Config
from maker.app.record import Recorder
from maker.desk.breakers import Losses, Lost
from maker.edge.lasting import Lasting
from maker.errors import StartRefused
from maker.launch.running import LOSSES_FILE

KEEP_SECONDS: Final = 2.0  # between two looks: all that a kill -9 may lose, and the next start sees it in the equity
CLOSE_SECONDS_MAX: Final = 0.5  # for the last text, when the run is over
FILE_BYTES_MAX: Final = 4096  # ours has 150


def restore(config: Config, losses: Losses) -> None:
    """Begin with what earlier runs have lost. Raises StartRefused when that cannot be read."""
    if config.paper is not None and not config.paper.state:
        return
    path = config.state_folder / LOSSES_FILE
    try:
        with open(path, "rb") as file:
            losses.restore(parse(file.read(FILE_BYTES_MAX)))
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, InvalidOperation) as problem:
        unread = f"What earlier runs have lost cannot be read from {path} ({problem!r})."
        raise StartRefused(unread, fix="Look at it, and say `clear` to count losses anew.") from problem


def parse(data: bytes) -> Lost:
    """Read the file's text. Raises ValueError, KeyError, TypeError or InvalidOperation for anything else."""
    fields: dict[str, Any] = json.loads(data)
    day = fields["day"]
    if day is not None and type(day) is not int:
        raise ValueError(f"day is {day!r}")
    equity, fallen, today = (amount(fields[name]) for name in ("equity", "fallen", "today"))
    if fallen < 0:
        raise ValueError(f"fallen is {fallen}")
    return Lost(equity, fallen, day, today)


def amount(text: object) -> Decimal:
    """Read one amount. Raises ValueError or InvalidOperation."""
    if not isinstance(text, str) or not (read := Decimal(text)).is_finite():
        raise ValueError(f"{text!r} is no amount")
    return read


def spell(lost: Lost) -> str:
    """Write the file's text."""
    return json.dumps(
        {name: str(value) if isinstance(value, Decimal) else value for name, value in attrs.asdict(lost).items()}
    )


@attrs.define
class Keeper:
    """Keeps the losses of one run while it runs."""

    losses: Losses
    file: Lasting
    recorder: Recorder
    kept: Lost | None = None  # as last put
    kept_at: float = -KEEP_SECONDS  # our clock

    def look(self, now: float) -> None:
        """Put what was lost into its file, now and then. A file that cannot be written is said, once."""
        if now - self.kept_at < KEEP_SECONDS:
            return
        self.kept_at = now
        self.keep()
        if self.file.failed:
            self.recorder.state("losses", "not kept", f"{self.file.failed}: a restart would not know what was lost")

    def keep(self) -> None:
        counted = self.losses.snapshot()
        if counted is not None and counted != self.kept:
            self.kept = counted
            self.file.put(spell(counted))

    def close(self) -> None:
        """Put the last of it. Holds the loop for a moment at most: the run is over."""
        self.keep()
        self.file.close(CLOSE_SECONDS_MAX)
