"""Mode paper: whom the checks ask. The practice exchange of a run that goes on, or one of their own.

One of their own is started as `run` starts it, on free ports, and ends with the checks. It keeps its record in a folder
of its own and goes on from a COPY of the state file: neither the record of the last run nor the account that the next
one finds is changed by a check.
"""

from __future__ import annotations

import contextlib
import glob
import shutil
import tempfile
from pathlib import Path
from typing import Final

from maker.app.config import Config
from maker.errors import ExitCode
from maker.launch import running, start
from maker.launch.settings import ParentSettings
from maker.preflight.rehearsal import nothing_to_read
from maker.preflight.verdict import Finding, failed, ok, sentence

FREE_PORT: Final = 0


class Venue:
    """Where the practice exchange is, once it is found."""

    url = ""
    reference_url = ""

    def find(self, config: Config, wanted: ParentSettings, stack: contextlib.ExitStack) -> Finding:
        """Take the one of a run that goes on, else start one that ends with `stack`."""
        practice = running.practice(wanted.state_folder)
        if practice is not None:
            self.url, self.reference_url = practice.url, practice.reference_url
            return ok(f"The one of the run that goes on: {self.url}.")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maker-check-")))
        words = ["--reference-port", str(FREE_PORT), "--record", str(folder / "record.jsonl")]
        assert config.paper is not None, "mode paper has the table"
        if config.paper.state:
            words += ["--state", str(copied_state(wanted.state_folder / config.paper.state, folder))]
        try:
            signals = nothing_to_read(stack)  # Ctrl-C ends us as ever, and the practice exchange with us
            venue = start.start_venue(wanted._replace(venue_port=FREE_PORT), signals, stack, words)
        except start.Refusal as refusal:
            return failed(sentence(refusal), "See what it says on stderr.", ExitCode(refusal.exit_code))
        self.url, self.reference_url = venue.venue_url, venue.reference_url
        return ok("None runs: one was started for this check, and ends with it.")


def copied_state(path: Path, folder: Path) -> Path:
    """Copy a practice exchange's state, checkpoint and logs, and return where to. Raises OSError."""
    for name in (str(path), *glob.glob(f"{glob.escape(str(path))}.[0-9]*.log")):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(name, folder)
    return folder / path.name
