"""Faults that none of our code injects: packets dropped or reset by the kernel, answers made up by HAProxy.

Both stand between the maker and the practice exchange, and where the tool or the right to use it is missing the tests
say so and are skipped. Netfilter's rules live in a network namespace of the scene's own: the machine's are not touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import attrs

from maker.drills.processes import until

CLONE_NEWNET: Final = 0x40000000
COMMAND_SECONDS_MAX: Final = 10.0  # each returns at once
READY_SECONDS_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 4096
LIBC: Final = ctypes.CDLL(None, use_errno=True)
DROP: Final = ("DROP",)  # not a byte passes, and nobody is told
RESET: Final = ("REJECT", "--reject-with", "tcp-reset")


def told(*words: str) -> None:
    """Run a tool of the system; raises CalledProcessError."""
    subprocess.run(words, check=True, capture_output=True, timeout=COMMAND_SECONDS_MAX)


def why_no_netfilter() -> str:
    """Why packets cannot be dropped here; "": they can."""
    for tool in ("ip", "iptables"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        with own_network(), dropped(1, DROP):
            return ""
    except (OSError, subprocess.SubprocessError) as problem:
        return f"no network namespace with rules of its own: {problem}"


def why_no_haproxy() -> str:
    """Why no HAProxy can stand in between; "": it can."""
    return "" if shutil.which("haproxy") else "haproxy is not installed"


# -- packets


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Have what is started here see a loopback of its own and nothing else. Raises OSError without the right to."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        checked(LIBC.unshare(CLONE_NEWNET))
        try:
            told("ip", "link", "set", "lo", "up")
            yield
        finally:
            checked(LIBC.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


def checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def dropped(port: int, verdict: tuple[str, ...]) -> Iterator[None]:
    """Let no packet to or from a port pass for a while."""
    rules = [("INPUT", "-p", "tcp", side, str(port), "-j", *verdict) for side in ("--dport", "--sport")]
    for rule in rules:
        told("iptables", "-I", *rule)
    try:
        yield
    finally:
        for rule in rules:
            told("iptables", "-D", *rule)


# -- answers

CONFIGURATION: Final = """
global
    stats socket {folder}/admin level admin
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend exchange
    bind 127.0.0.1:{port}
    acl throttled path -f {folder}/429
    acl unavailable path -f {folder}/503
    http-request return status 429 content-type application/json hdr retry-after 1 string {{}} if throttled
    http-request return status 503 content-type text/html string <h1>No</h1> if unavailable
    default_backend venue
backend venue
    server venue 127.0.0.1:{venue_port}
"""


@attrs.define(eq=False)
class HaProxy:
    """A running HAProxy before the practice exchange."""

    folder: Path
    port: int
    popen: subprocess.Popen[bytes]

    def ask(self, command: str) -> str:
        """Tell it something while it runs; raises OSError."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(COMMAND_SECONDS_MAX)
            admin.connect(str(self.folder / "admin"))
            admin.sendall(command.encode() + b"\n")
            return admin.recv(ANSWER_BYTES_MAX).decode()

    @contextlib.contextmanager
    def answering(self, status: int, path: str) -> Iterator[None]:
        """Answer a path itself, for a while."""
        refused = self.ask(f"add acl {self.folder}/{status} {path}").strip()
        assert not refused, refused
        try:
            yield
        finally:
            self.ask(f"clear acl {self.folder}/{status}")


@contextlib.asynccontextmanager
async def haproxy(folder: Path, venue_port: int) -> AsyncIterator[HaProxy]:
    """Start one, and end it on leaving."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for status in (429, 503):
        (folder / str(status)).touch()
    conf = folder / "haproxy.cfg"
    conf.write_text(CONFIGURATION.format(folder=folder, port=port, venue_port=venue_port))
    with (folder / "haproxy.log").open("wb") as log:
        popen = subprocess.Popen(["haproxy", "-db", "-f", str(conf)], stdout=log, stderr=log)
    try:
        proxy = HaProxy(folder, port, popen)

        def ready() -> bool:
            assert popen.poll() is None, (folder / "haproxy.log").read_text()
            with contextlib.suppress(OSError):
                return bool(proxy.ask("show info"))
            return False

        await until(ready, READY_SECONDS_MAX, "HAProxy listens")
        yield proxy
    finally:
        popen.kill()
        popen.wait()
