"""What holds for every test."""

from __future__ import annotations

import os
import signal
from typing import Any, Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Folders and files whose tests wait for nothing.
RECKONING: Final = ("app", "bench", "compare", "desk", "edge", "paper", "report", "storms", "wire")
RECKONING_FILES: Final = ("test_bootstrap.py", "test_engine_exchange.py", "test_floors.py")
KINDS: Final[set[bool]] = set()  # that this process has met

# A shell that starts us in the background has us ignore some signals, and so would every process we start: a maker that
# is told to stop would not hear it. (Under nohup a run is meant to be like that; a test of it says so itself.)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)

# In CI the same examples every time, so that a change is judged by what it changed; elsewhere new ones at each run. No
# example is failed for having been slow: a run beside others is.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


# A whole run has two processes: one for what waits most of its time for real clocks and processes, one for what reckons
# and gives way to it. Each goes in order, so that no two tests ever share a port, a folder or a measurement.


def reckons(nodeid: str) -> bool:
    """Whether a test only reckons: it cares for no clock, and for nobody beside it."""
    return nodeid.partition("::")[0].split("/")[1] in (*RECKONING, *RECKONING_FILES)


class Two(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each kind of test to one process, whole."""

    def _split_scope(self, nodeid: str) -> str:
        return "reckoning" if reckons(nodeid) else "waiting"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Two:
    return Two(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not hasattr(item.config, "workerinput"):
        return  # no part of a whole run
    KINDS.add(reckons(item.nodeid))
    assert len(KINDS) == 1, "both kinds of test in one process: they would disturb each other, and fixtures run twice"
    if reckons(item.nodeid) and os.nice(0) == 0:
        os.nice(10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table of planted bugs: which invariant found each, and how many storms that took."""
    done = [report for reports in terminalreporter.stats.values() for report in reports]
    rows = [row for report in done for key, row in getattr(report, "user_properties", ()) if key == "planted"]
    if rows:
        terminalreporter.section("planted bugs", sep="-")
        for name, finders, seeds in sorted({tuple(row) for row in rows}):
            terminalreporter.write_line(f"{seeds:4} storms   {finders or 'NOT FOUND':12} {name}")
