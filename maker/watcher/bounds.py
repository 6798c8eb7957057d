"""How old a working maker lets an order of its own become, and how a watcher looks: both from the configuration.

An order is as old as the ladder that it came with, since each ladder replaces its market's whole last one. Summed up
from the moment at which the exchange made it, each line at its worst:

    [halt] write_seconds_max            its ladder's answer comes so much later; the maker's clock starts with that
    [cycle] quote_age_seconds_max       it is replaced by then, or else pulled at QUOTE_AGE_PULL times this
    [guard] hang_seconds_max            the maker hangs just before that: its guard waits so long, then pulls
    [halt] halt_seconds_max             how long a pull may take, each way of sending it tried

A ladder that was late on the wire may land after the cancel-all that was to take it; then it is older only by the
longest pause between two cancel-alls of the tail (32 to 60 s), which stands in place of the first two where it is
longer. What is left out on purpose: an exchange that does not answer a maker's cancel-all, or answers 429 to it. Then
nobody has pulled, and whoever else can should try.

So the bound is

    max(write_seconds_max + QUOTE_AGE_PULL · quote_age_seconds_max, longest pause of the tail)
        + hang_seconds_max + halt_seconds_max

and `margin_seconds` comes on top: for the loops that look only so often, and for what a watcher cannot know of an age,
which is at most the time between two of its reads.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any, NamedTuple

from maker.guard.exchange import CALL_SECONDS_MAX, TAIL_SECONDS
from maker.launch.settings import NUMBER_MAX, SettingsError

QUOTE_AGE_PULL = 1.5  # as maker.desk.engine: a maker pulls what has become older than this many times its age
POLL_SECONDS, POLL_SECONDS_MIN, POLL_SECONDS_MAX = 5.0, 1.0, 60.0  # without [watch]; a read costs no order request
MARGIN_SECONDS = 15.0  # without [watch]
KEYS = ("margin_seconds", "poll_seconds", "key_env", "key_file")  # of [watch]


class Bounds(NamedTuple):
    """How old, in seconds, and how often it is looked."""

    rest_seconds_max: float  # an order of a working maker is never older
    margin_seconds: float
    poll_seconds: float

    @property
    def age_seconds_max(self) -> float:
        """An order of ours that is older has been left by its maker."""
        return self.rest_seconds_max + self.margin_seconds

    @property
    def pulled_seconds_max(self) -> float:
        """The promise: an order's age when the cancel-all leaves, with an exchange that answers, without its clock."""
        return self.age_seconds_max + 2 * (self.poll_seconds + CALL_SECONDS_MAX)


def bounds(tree: dict[str, Any]) -> Bounds:
    """Return a loaded configuration's. Raises SettingsError naming the key and the fix."""
    watch = tree.get("watch", {"poll_seconds": POLL_SECONDS, "margin_seconds": MARGIN_SECONDS})
    if not isinstance(watch, dict):
        raise SettingsError("watch must be a table: conf/live.example.toml explains it.")
    for name in watch:
        if name not in KEYS:
            raise SettingsError(f"watch.{name} is not known: [watch] has {', '.join(KEYS)}.")
    poll = number(watch, "watch", "poll_seconds")
    if not POLL_SECONDS_MIN <= poll <= POLL_SECONDS_MAX:
        raise SettingsError(
            f"watch.poll_seconds must be from {POLL_SECONDS_MIN:g} to {POLL_SECONDS_MAX:g}. Try {POLL_SECONDS:g}."
        )
    margin = number(watch, "watch", "margin_seconds")
    if margin < poll + 2 * CALL_SECONDS_MAX:
        raise SettingsError(
            f"watch.margin_seconds must be at least poll_seconds and {2 * CALL_SECONDS_MAX:g} s more: an age is not "
            f"known better. Write {poll + 2 * CALL_SECONDS_MAX:g}, or look more often."
        )
    halt, guard = (tree.get(name) for name in ("halt", "guard"))
    replaced = number(halt, "halt", "write_seconds_max")
    replaced += QUOTE_AGE_PULL * number(tree.get("cycle"), "cycle", "quote_age_seconds_max")
    landed = tail_pause_seconds_max(number(guard, "guard", "tail_seconds"))
    pulled = number(guard, "guard", "hang_seconds_max") + number(halt, "halt", "halt_seconds_max")
    return Bounds(max(replaced, landed) + pulled, margin, poll)


def tail_pause_seconds_max(tail_seconds: float) -> float:
    """Return the longest pause between two cancel-alls of the guard's tail."""
    at = [*(one for one in TAIL_SECONDS if one < tail_seconds), tail_seconds]
    return max((later - earlier for earlier, later in itertools.pairwise(at)), default=0.0)


def number(table: Any, name: str, key: str) -> float:
    """Return a number above 0. Raises SettingsError."""
    found = table.get(key) if isinstance(table, dict) else None
    if not isinstance(found, int | float | Decimal) or isinstance(found, bool) or not 0 < found < NUMBER_MAX:
        raise SettingsError(f"{name}.{key} must be a number of seconds above 0: conf/paper.toml explains every key.")
    return float(found)
