"""What a campaign must have met at least once, as far as one storm shows it."""

from __future__ import annotations

from maker.storms import record as r


def reached(record: r.Record) -> frozenset[str]:
    """The marks of one storm."""
    return frozenset()
