"""Leaning towards the side that funding pays, as far as a configuration wants that; by default not at all.

OCX exchanges funding every five minutes; where the rate is positive longs pay shorts. A position held for it is still a
position, with all its risk, so the lean is a small, bounded target: the ladder's skew works against `position - target`
instead of `position`, and no limit knows of it. From `funding_rate_min` on the lean grows in a line, and is whole at
twice that rate: a step would turn the ladder over each time the rate crosses it.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs


@attrs.frozen
class FundingSettings:
    """Of one market."""

    funding_lean_ratio: Decimal  # of position_limit, at most; 0: no lean
    funding_rate_min: Decimal  # fraction of value a period, either sign: where the lean begins


NO_LEAN: Final = FundingSettings(Decimal(0), Decimal(1))


def target_lots(funding_rate: Decimal | None, limit_lots: int, settings: FundingSettings) -> int:
    """The position to lean towards, signed lots, short where the rate is positive; rounded towards flat.

    `funding_rate` is the fraction of value that longs pay shorts a period; None, not known, is no lean.
    """
    ratio, least = Fraction(settings.funding_lean_ratio), Fraction(settings.funding_rate_min)
    if funding_rate is None or not ratio or abs(funding_rate) <= least:
        return 0
    part = min(Fraction(1), (abs(Fraction(funding_rate)) - least) / least) if least else Fraction(1)
    lots = int(limit_lots * ratio * part)
    return -lots if funding_rate > 0 else lots
