"""What systemd is told, by a datagram: ready, alive, stopping. Where nobody asked for it, nothing happens.

The protocol is sd_notify(3): assignments, a line each, to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"
SOCKET = "NOTIFY_SOCKET"


def notify(environment: Mapping[str, str], *assignments: str) -> None:
    """Send assignments, or nothing if that would block or fails: whoever watches must not depend on being watched."""
    address = environment.get(SOCKET, "")
    if not address:
        return
    address = f"\0{address[1:]}" if address.startswith("@") else address  # an abstract socket
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(False)
        datagrams.sendto("\n".join(assignments).encode(), address)


def status(sentence: str) -> str:
    """Return the assignment for the line that `systemctl status` shows."""
    return f"STATUS={' '.join(sentence.split())}"
