"""The page against the real thing: a run of the bot, its monitor, a browser, and a network with loopback alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.live.support import PROJECT
from tests.monitor.page.real import NO_NETWORK, own_network
from tests.monitor.page.scenes import needs_browser

KEEP_ENV: Final = "MAKER_PAGE_PICTURES"  # names a folder for the pictures, should somebody want to look at them
SECONDS_MAX: Final = 360.0  # it takes 15 s on an idle machine

pytestmark = needs_browser


@pytest.mark.skipif(own_network() is None, reason=NO_NETWORK)
def test_a_person_looks_at_a_run_and_stops_it(tmp_path: Path) -> None:
    """Quoting is shown and followed at both widths, by day and night; no other host is asked; the kill button works.

    And the page says at last, in its sentence, that the exchange was read back empty and why nothing starts.
    """
    words = ["-m", "tests.monitor.page.real", "--keep", os.environ.get(KEEP_ENV) or str(tmp_path / "pictures")]
    with subprocess.Popen([sys.executable, *words], cwd=PROJECT, stderr=subprocess.PIPE, text=True) as visit:
        try:
            _, said = visit.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            visit.terminate()  # and what it started ends with it
            raise
    assert visit.returncode == 0, said[-6000:]
