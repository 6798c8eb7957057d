"""What happens once: a run that ended as asked, another rate limit, other fees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import attrs

from maker.app.alert_config import Severity
from maker.monitor.catalogue import Alert
from maker.monitor.conditions import ended_as_asked
from maker.wire.live import State

SETTLED_SECONDS: Final = 60.0  # another value must be stated for so long: one answer that errs is no change

Change = tuple[Alert, str, Severity]


@attrs.define
class Watched:
    """A value that the exchange states, as it was last told, and another one that may come to stay."""

    told: str = ""  # empty: never known
    other: str = ""
    other_since: float = 0.0

    def settle(self, value: str, now: float) -> str:
        """Take a value up; return the one it replaces once it has come to stay, empty otherwise."""
        if not self.told:
            self.told = value
        if value == self.told:
            self.other = ""
            return ""
        if value != self.other or now < self.other_since:
            self.other, self.other_since = value, now
        if now - self.other_since < SETTLED_SECONDS:
            return ""
        before, self.told, self.other = self.told, value, ""
        return before


@attrs.define
class Changes:
    """What was told of; kept over a restart."""

    stopped_run: str = ""
    limit: Watched = attrs.field(factory=Watched)
    fees: dict[str, Watched] = attrs.field(factory=dict)  # by market

    @classmethod
    def of(cls, kept: object) -> Changes:
        """Read what was kept. Raises ValueError, TypeError, KeyError."""
        if not isinstance(kept, dict) or not isinstance(kept["fees"], dict):
            raise TypeError("no changes")
        fees = {str(name): watched(one) for name, one in kept["fees"].items()}
        return cls(str(kept["stopped_run"]), watched(kept["limit"]), fees)

    def look(self, last: State | None, fresh: State | None, now: float) -> Iterator[Change]:
        """Say what has changed, by the maker's last word and (None: there is none) its present one."""
        if last is not None and last.run_id != self.stopped_run and ended_as_asked(last):
            self.stopped_run = last.run_id
            yield Alert.STOPPED, last.sentence, Severity.INFO
        if fresh is None:
            return
        if fresh.budget is not None:
            before = self.limit.settle(str(fresh.budget.limit), now)
            if before:
                is_lower = fresh.budget.limit < float(before)
                sentence = f"the exchange allows {fresh.budget.limit} order requests a minute; it was {before}"
                yield Alert.RATE_LIMIT_CHANGED, sentence, Severity.WARNING if is_lower else Severity.INFO
        for market in fresh.markets:
            if market.maker_fee_bps is None or market.taker_fee_bps is None:
                continue
            now_stated = f"maker {market.maker_fee_bps} bps, taker {market.taker_fee_bps} bps"
            before = self.fees.setdefault(market.market_id, Watched()).settle(now_stated, now)
            if before:
                sentence = f"{market.market_id}: fees are {now_stated}; they were {before}"
                yield Alert.FEES_CHANGED, sentence, Severity.WARNING


def watched(kept: object) -> Watched:
    """Read one value. Raises ValueError, TypeError, KeyError."""
    if not isinstance(kept, dict):
        raise TypeError("no value")
    since = float(kept["other_since"])
    if not math.isfinite(since):
        raise ValueError("no moment")
    return Watched(str(kept["told"]), str(kept["other"]), since)
