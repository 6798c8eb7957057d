"""A terminal that all processes of a run write to: whole lines above, and below them one that is redrawn in place.

That one is the monitor's: nothing that matters waits where it is drawn. Whoever else writes a line to the same terminal
takes it away first, in the same write, so that neither is ever mangled; it is drawn again soon.
"""

from __future__ import annotations

import os

ERASE = "\r\x1b[K"  # back to the line's begin, and everything from there on gone


def can_draw(descriptor: int) -> bool:
    """Whether a line can be redrawn there: a terminal that knows how."""
    return os.isatty(descriptor) and os.environ.get("TERM", "dumb") != "dumb"
