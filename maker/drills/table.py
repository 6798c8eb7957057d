"""Every drill, in the order in which they are done: the timed ones one after the other, then the slow ones together."""

from __future__ import annotations

import shutil
from typing import Final

from maker.drills import deaths, links
from maker.drills.scene import Drill


def openssl_missing() -> str:
    """Why there can be no TLS here, if so."""
    return "" if shutil.which("openssl") else "the command openssl is not installed"


TLS: Final = ("sigterm", "kill_9", "cancel_all_lost_answer")  # again, over TLS

PLAIN: Final = (
    Drill("sigterm", deaths.sigterm),
    Drill("double_sigint", deaths.double_sigint),
    Drill("sighup", deaths.sighup),
    Drill("kill_9", deaths.kill_9),
    Drill("hang", deaths.hang),
    Drill("resume_stale", deaths.resume_stale),
    Drill("guard_killed", deaths.guard_killed),
    Drill("both_killed_then_restart", deaths.both_killed_then_restart),
    Drill("unhandled_error", deaths.unhandled_error, planted="error"),
    Drill("blocked_stdout", deaths.blocked_stdout, deaf=True),
    Drill("journal_disk_full", deaths.journal_disk_full),
    Drill("no_free_descriptors", deaths.no_free_descriptors),
    Drill("dns_dead", links.dns_dead, planted="dns"),
    Drill("feed_stale", links.feed_stale),
    Drill("feed_cut", links.feed_cut),
    Drill("stream_silent", links.stream_silent, alone=False),
    Drill("stream_gap", links.stream_gap),
    Drill("order_errors", links.order_errors),
    Drill("late_ladder", links.late_ladder, alone=False),
    Drill("cancel_all_429", links.cancel_all_429, alone=False),
    Drill("cancel_all_5xx", links.cancel_all_5xx, alone=False),
    Drill("cancel_all_lost_answer", links.cancel_all_lost_answer, alone=False),
    Drill("venue_down_then_back", links.venue_down_then_back, alone=False, keeps_state=True),
)
BY_NAME: Final = {drill.name: drill for drill in PLAIN} | {
    f"{drill.name}_tls": drill.over_tls(openssl_missing) for drill in PLAIN if drill.name in TLS
}
