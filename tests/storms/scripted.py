"""Storms that end as a test wants, by their seed: everything at the top, so that a worker process finds it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

HANGS = 5
DIES = 9
RAISES = 13


def squares() -> Callable[[int], int]:
    """Squares, but that three numbers end otherwise."""

    def perform(number: int) -> int:
        if number == HANGS:
            time.sleep(60)
        if number == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == RAISES:
            raise ValueError("unlucky")
        return number * number

    return perform


def broken() -> Callable[[int], int]:
    raise RuntimeError("no such world")


def gone() -> Callable[[int], int]:
    os._exit(3)


def stopped() -> Callable[[int], int]:
    def perform(_number: int) -> int:
        os.kill(os.getpid(), signal.SIGSTOP)
        return 0

    return perform


def process_ids() -> Callable[[int], int]:
    return lambda _number: os.getpid()
