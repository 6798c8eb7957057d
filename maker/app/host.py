"""What the maker takes from the machine it runs on: time, chance, names, sockets, signals, memory, a file.

A run in virtual time has another one; nothing else of the maker is different there.
"""

from __future__ import annotations

import contextlib
import gc
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from maker.edge.endpoint import Endpoint, resolve
from maker.edge.lane import boot_seconds
from maker.edge.lasting import Lasting, LastingFile

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

Clock = Callable[[], float]  # seconds


@contextlib.contextmanager
def stop_signals() -> Iterator[AsyncIterator[int]]:
    """Receive stop signals; the parent starts us with these blocked, so that one that came early waits until here."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        yield signals


def settle_memory() -> None:
    """What is loaded by now stays: later collections need not walk it, and stall us less."""
    gc.collect()
    gc.freeze()


def open_link(descriptor: int) -> socket.socket:
    """Take over the descriptor that the guard passed us."""
    raw = socket.socket(fileno=descriptor)
    raw.setblocking(False)
    return raw


@attrs.frozen(kw_only=True)
class Host:
    """One machine; the defaults are the real one."""

    boot: Clock = boot_seconds  # CLOCK_BOOTTIME
    monotonic: Clock = time.monotonic  # stands still in suspend
    wall: Clock = time.time
    random: Callable[[], random.Random] = random.SystemRandom
    resolve: Callable[..., Awaitable[Endpoint]] = resolve
    signals: Callable[[], contextlib.AbstractContextManager[AsyncIterator[int]]] = stop_signals
    settle_memory: Callable[[], None] = settle_memory
    open_link: Callable[[int], Any] = open_link  # to the guard; with `send`, `recv` and `close` as a socket has them
    lasting: Callable[[Path], Lasting] = LastingFile  # a small file that outlives us
    link_readable: Callable[[Any], Awaitable[None]] = trio.lowlevel.wait_readable


THIS_MACHINE: Final = Host()
