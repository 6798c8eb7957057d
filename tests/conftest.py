"""What holds for every test."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A shell that starts us in the background has us ignore some signals, and so would every process we start: a maker that
# is told to stop would not hear it. (Under nohup a run is meant to be like that; a test of it says so itself.)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)

# In CI the same examples every time, so that a change is judged by what it changed; elsewhere new ones at each run.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
