"""Threads for what may hang: a disk, the exchange. Whoever watches the maker waits for none, and can do without."""

from __future__ import annotations

import threading
from collections.abc import Callable

from maker.launch.start import log


def in_thread(run: Callable[[], object]) -> threading.Thread | None:
    """Run something in a thread of its own; None: none is to be had now, and it is left undone.

    A limit of tasks or memory, used up by whoever shares it, must not end the one who watches.
    """
    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
    except RuntimeError as problem:
        log("no thread", f"something is left undone: {problem}.", level="warning")
        return None
    return thread
