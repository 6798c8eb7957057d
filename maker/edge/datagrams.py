"""Latest-only datagrams between two processes of one machine: a Unix socket that nobody need be listening on.

The sender never waits and is never told: a full buffer, nobody there, a socket that went away are all the same nothing.
The receiver takes whatever has come and keeps the last. Its socket is a file of mode 0600 from the moment it can be
found, and takes the place of one that an earlier receiver left.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

import trio

ADDRESS_BYTES_MAX: Final = 107  # of a Unix socket's path in Linux; a longer one is reached through its folder
RECEIVE_BUFFER_BYTES: Final = 1 << 20


class Address:
    """A socket's path as the kernel takes it, however long it is. Raises OSError when its folder cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.folder: int | None = None
        self.text = str(path)
        if len(os.fsencode(self.text)) > ADDRESS_BYTES_MAX:
            self.folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.text = f"/proc/self/fd/{self.folder}/{path.name}"

    def close(self) -> None:
        if self.folder is not None:
            os.close(self.folder)
            self.folder = None


class Sender:
    """Sends datagrams to a path. Raises OSError when it cannot be made; afterwards nothing."""

    def __init__(self, path: Path) -> None:
        self.address = Address(path)
        try:
            self.raw = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:
            self.address.close()
            raise
        self.raw.setblocking(False)

    def send_nowait(self, data: bytes) -> bool:
        """Send, if that can be done at once; say whether it was taken."""
        try:
            self.raw.sendto(data, self.address.text)
        except OSError:  # nobody there, or has enough to read, or larger than this machine's sockets carry
            return False
        return True

    def close(self) -> None:
        self.raw.close()
        self.address.close()


class Receiver:
    """Receives datagrams at a path. Raises OSError when it cannot listen there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.raw.setblocking(False)
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        address: Address | None = None
        try:
            address = Address(unfinished)
            unfinished.unlink(missing_ok=True)
            self.raw.bind(address.text)
            unfinished.chmod(0o600)
            self.inode = unfinished.stat().st_ino
            unfinished.rename(path)  # whoever finds it finds it closed to others
        except OSError:
            self.raw.close()
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        finally:
            if address is not None:
                address.close()

    async def receive_latest(self, bytes_max: int) -> bytes:
        """Wait for a datagram, and return the last of those that have come."""
        while True:
            await trio.lowlevel.wait_readable(self.raw)
            data = self.latest_nowait(bytes_max)
            if data is not None:
                return data

    def latest_nowait(self, bytes_max: int) -> bytes | None:
        """Return the last of what has come, cut to so many bytes; None: nothing has."""
        latest: bytes | None = None
        with contextlib.suppress(BlockingIOError):
            while True:
                latest = self.raw.recv(bytes_max)
        return latest

    def close(self) -> None:
        """Stop listening; the file goes too, unless another receiver has taken its place."""
        self.raw.close()
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()
