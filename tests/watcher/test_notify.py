"""What systemd is told: datagrams by its protocol, and silence where nobody asked or nobody listens."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from maker.watcher.notify import ALIVE, READY, SOCKET, notify, status


@pytest.mark.parametrize("abstract", [False, True])
def test_assignments_arrive_a_line_each(abstract: bool, tmp_path: Path) -> None:
    """At a path, and at an abstract address, which is spelled with an @."""
    name = f"@maker-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name[1:]}" if abstract else name)
        listener.setblocking(False)
        notify({SOCKET: name}, READY, ALIVE, status("all\nis  well"))
        assert listener.recv(4096) == b"READY=1\nWATCHDOG=1\nSTATUS=all is well"


def test_nobody_asked_or_nobody_listens(tmp_path: Path) -> None:
    notify({}, READY)
    notify({SOCKET: str(tmp_path / "gone")}, READY)
    notify({SOCKET: "x" * 300}, READY)


def test_a_full_queue_holds_nobody(tmp_path: Path) -> None:
    """A systemd that does not read: the watcher goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        for _ in range(2000):
            notify({SOCKET: str(tmp_path / "notify")}, ALIVE)
