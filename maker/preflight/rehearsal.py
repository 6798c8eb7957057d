"""Whether the guard could do its work here: see a maker's heartbeats, kill it when it hangs, see it dead; and reach the
exchange by its own means, which are not the maker's.

The watch is the real one (`maker.launch.watching`, `maker.guard.watch`). In a maker's place is a process that beats
once and then stands still. What a machine may lack for it: pidfds (a kernel before 5.3, a strict sandbox), a socket
that keeps messages apart, room for one more process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from maker.desk.identity import Identity
from maker.errors import ExitCode
from maker.guard.exchange import Exchange, NoAnswer, seconds_now
from maker.guard.watch import Ended
from maker.launch import start
from maker.launch.settings import ParentSettings
from maker.launch.watching import Watch
from maker.preflight.verdict import Finding, failed, ok

NO_FOLDER: Final = Path("/nonexistent")
HANG_SECONDS: Final = 0.3  # of the rehearsal: a maker that does not beat for so long is killed
BEGIN_SECONDS_MAX: Final = 5.0  # for a bare interpreter, which takes 20 ms to say its first word
UNABLE: Final = "Nobody would pull the quotes of a maker that dies here: see that this machine, or its sandbox, allows "
STANDS_STILL: Final = """
import json, socket, sys, time
link = socket.socket(fileno=int(sys.argv[1]))
link.send(json.dumps({"epoch": "rehearsal", "in_flight": 0, "last_write": None, "ending": False}).encode())
link.recv(4096)
time.sleep(3600)
"""


def guard() -> Finding:
    """Watch a process that hangs, to its end."""
    began = seconds_now()
    try:
        ended = rehearse()
    except OSError as problem:
        said = f"A process cannot be watched here: {problem.strerror or problem}."
        return failed(said, f"{UNABLE}pidfds, sockets of its own, and one more process.", ExitCode.REFUSED_TO_START)
    if not ended.armed:
        said = f"A process was started and did not speak within {BEGIN_SECONDS_MAX:g} s."
        return failed(said, f"{UNABLE}processes to begin in time.", ExitCode.REFUSED_TO_START)
    if not ended.killed_for:
        said = "A process that was to hang ended by itself."
        return failed(said, f"{UNABLE}processes to live.", ExitCode.REFUSED_TO_START)
    took = seconds_now() - began
    return ok(f"It watched a process that hangs, killed it and saw it dead, in {took:.1f} s.")


def rehearse() -> Ended:
    """Start one, watch it, and return how it ended. Raises OSError. A kill file that is there is no business of it."""
    with contextlib.ExitStack() as stack:
        link, others_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(link.close)
        stack.callback(others_end.close)
        link.setblocking(False)
        silent = [nothing_to_read(stack) for _ in range(2)]  # no signal to pass on, and no last word
        command = [sys.executable, "-I", "-S", "-c", STANDS_STILL, str(others_end.fileno())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(others_end.fileno(),),
            start_new_session=True,
        )
        stack.callback(start.end, process, 0.0)
        watch = Watch(start.pidfd(process, stack), link, silent[0], silent[1], NO_FOLDER, HANG_SECONDS)
        watch.judge.end_within(BEGIN_SECONDS_MAX, "it did not begin in time", seconds_now())
        return watch.run()


def nothing_to_read(stack: contextlib.ExitStack) -> int:
    """Return a pipe's end at which nothing ever comes."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    return reader


def route(wanted: ParentSettings, base_url: str, key: str) -> Finding:
    """Read what rests, as the guard would after a maker's death. Raises NoAnswer, OSError."""
    exchange = Exchange(base_url, key, wanted.ca_file)
    if not exchange.look_up():
        raise NoAnswer(f"no address for {exchange.host} is found")
    identity = Identity.of(wanted.order_prefix, 0)
    of_ours = sum(identity.is_ours(row.get("clientOrderId")) for row in exchange.open_orders())
    return ok(f"It reads the account by its own means; orders of ours that rest: {of_ours}.")
