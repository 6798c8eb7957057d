"""Positions as the exchange states them against what the maker was told: see `audit` for when a difference counts."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Final

import attrs

from maker.monitor.sightings import PositionsRead, Said, Sightings

PROOFS: Final = 2  # reads that contradict a position which stood still around them
ASIDE_SECONDS: Final = 60.0  # every read of so long on one side of all that was told around it
ZERO: Final = Decimal(0)


@attrs.define
class Held:
    """One market."""

    proofs: int = 0
    aside_since: float | None = None  # since when every read is on one side
    side: int = 0  # of the reads: +1 above, -1 below
    differs: bool = False
    sentence: str = ""


@attrs.define
class Holdings:
    """The comparison so far; `follow` is called after each observation."""

    told_seconds: float  # from a fill until the maker was told
    markets: dict[str, Held] = attrs.field(factory=dict)
    judged: float = 0.0  # the last read that was compared

    def follow(self, sightings: Sightings) -> None:
        """Compare every read around which enough was said."""
        if not sightings.states:
            return
        for read in sightings.positions:
            if read.asked_at > self.judged and sightings.states[-1].at >= read.answered_at + self.told_seconds:
                self.judged = read.asked_at
                self.compare(read, sightings)

    def compare(self, read: PositionsRead, sightings: Sightings) -> None:
        around = [one for one in sightings.states if one.at >= read.asked_at]
        until = read.answered_at + self.told_seconds
        before = [one for one in sightings.states if one.at < read.asked_at]
        if not before:
            return
        inside = [before[-1], *(one for one in around if one.at < until)]
        inside.append(next(one for one in around if one.at >= until))
        for market_id in inside[-1].positions:
            held = self.markets.setdefault(market_id, Held())
            judge(held, read, market_id, inside)
        for market_id in [one for one in self.markets if one not in inside[-1].positions]:
            del self.markets[market_id]

    def differing(self) -> list[tuple[str, str]]:
        """The markets that differ, each with a sentence."""
        return [(market_id, held.sentence) for market_id, held in sorted(self.markets.items()) if held.differs]


def judge(held: Held, read: PositionsRead, market_id: str, states: list[Said]) -> None:
    """Compare one read with what was told from before it until after it."""
    told = [one.positions[market_id] for one in states if market_id in one.positions]
    stated = read.base.get(market_id, ZERO)
    bases = [base for base, _ in told]
    low, high = min(bases), max(bases)
    stood_still = len(set(told)) == 1 and len(told) == len(states)
    step = max((abs(one - other) for one, other in itertools.pairwise(bases)), default=ZERO)
    side = 1 if stated > high + step else -1 if stated < low - step else 0
    if not side:
        held.aside_since = None
        if stood_still or held.differs:
            held.proofs, held.differs = 0, False
        return
    if held.aside_since is None or side != held.side:
        held.aside_since, held.side = read.asked_at, side
    held.proofs += stood_still
    lasted = read.asked_at - held.aside_since
    if held.proofs >= PROOFS or lasted >= ASIDE_SECONDS:
        held.differs = True
        held.sentence = f"the exchange states a position of {stated}, the maker believes in {bases[-1]}"
