"""The exchange's own word against the maker's: what rests unattended, unknown, or not at all, and what we hold.

Reads and states are of different moments, and ladders are replaced several times a second, so that two snapshots laid
side by side nearly always differ in a healthy run. A difference counts only where the moments prove it:

unattended   a read asked for at r shows orders of ours, and at r nobody had been at work for longer than a pull may
             take: the maker's process was gone before r and is still gone afterwards; or the kill file stood; or it was
             silent; or its state, sent after r, says that it has not been quoting since before r.
unknown      one and the same order is in two reads, so it rested all the time between them; a state of the quoting
             maker from in between, later than the first read by all the time that an answer may take, has no quote at
             its price. Twice, by different states. Where two rest at one price and one is known, the older is not.
missing      a state says that its ladder has rested since before a read was asked for, and still says so later than
             the answer by all the time that a fill or a replacement may take to be told; the read shows no order at
             one of its prices. Twice.
position     no fill and no change of position is told by any state from before a read until later than its answer by
             the time a fill may take: then the read must show that position. Twice. Where a market never stands still
             so long, it counts that every read of a minute lies on the same side of all that was told around it, by
             more than the largest step between two states.
foreign      an order that is not ours by its name is in reads that are further apart than a moment.

So each verdict rests on a bound of `Terms` and on nothing else; a run in which these hold gives no finding, however it
trades. The bounds come from the configuration where it has them. What cannot be told is neither well nor wrong: then
what stood before stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import attrs

from maker.monitor.catalogue import Alert
from maker.monitor.holdings import Holdings
from maker.monitor.observation import Life, Observation
from maker.monitor.sightings import QUOTING, Level, OrdersRead, Said, Sightings

if TYPE_CHECKING:
    from maker.app.config import Config

CONFIRMATIONS: Final = 2  # by different reads: one would be enough if every bound held always
TOLD_SECONDS: Final = 3.0  # a fill is told by the stream within a second; as much again for a busy machine, twice
GONE_SECONDS: Final = 5.0  # after a death the guard's cancel-all was measured at 0.1 s, 0.5 at load 15
SLACK_SECONDS: Final = 1.0  # beside a configured bound: observations are a second apart
START_SECONDS: Final = 60.0  # a start sweeps within a second; before that it may wait for an old run's tail
SILENT_SECONDS_MIN: Final = 10.0
READ_FRESH_SECONDS: Final = 30.0  # an older read tells nothing any more
FOREIGN_SECONDS: Final = 10.0
STARTING: Final = "starting"


@attrs.frozen
class Terms:
    """The bounds, in seconds, and whose orders are ours."""

    order_prefix: str
    placed_seconds: float  # from an order's effect at the exchange until the maker knows of it, or has pulled
    pulled_seconds: float  # from a pull until nothing rests
    silent_seconds: float  # without a state: longer than a maker may hang before its guard kills it
    told_seconds: float = TOLD_SECONDS
    gone_seconds: float = GONE_SECONDS
    start_seconds: float = START_SECONDS

    @classmethod
    def of(cls, config: Config) -> Terms:
        """Take them from a configuration."""
        return cls(
            order_prefix=config.order_prefix,
            placed_seconds=config.halt.write_seconds_max + SLACK_SECONDS,
            pulled_seconds=config.halt.halt_seconds_max + SLACK_SECONDS,
            silent_seconds=max(SILENT_SECONDS_MIN, 3 * config.guard.hang_seconds_max),
        )


@attrs.frozen
class Finding:
    """One difference: a sentence says what was seen."""

    alert: Alert
    subject: str
    sentence: str


@attrs.frozen
class Audited:
    """What an audit says at one moment."""

    findings: tuple[Finding, ...]
    is_blind: bool  # nothing was read lately: what is not found is not known to be well
    orders_ours: int | None
    orders_foreign: int | None
    read_at: float | None  # unix seconds
    unattended_why: str  # nobody is at work on our orders, and why; empty: the maker is

    def as_json(self) -> dict[str, object] | None:
        """For the page; None: nothing was read yet, so nothing can be said."""
        if self.read_at is None:
            return None
        told = [one.sentence for one in self.findings]
        return {
            "agrees": not self.findings,
            "sentence": "; ".join(told) or f"{self.orders_ours} orders of ours rest, and the maker knows them",
            "at": self.read_at,
            "orders_ours": self.orders_ours,
            "orders_foreign": self.orders_foreign,
            "unattended_why": self.unattended_why,
            "findings": [
                {"name": one.alert.label, "subject": one.subject, "sentence": one.sentence} for one in self.findings
            ],
        }


@attrs.define
class Tracked:
    """One order of ours through the reads that show it."""

    level: Level
    known_after: float  # it rested at this moment
    doubts: int = 0
    doubted_by: float = 0.0  # the moment of the state that did not know it


@attrs.define
class Absent:
    """One market's quotes that do not rest."""

    judged_read: float = 0.0
    doubts: int = 0
    levels: tuple[Level, ...] = ()


@attrs.define
class Audit:
    """The state of an audit; `look` is called with each observation, in order."""

    terms: Terms
    sightings: Sightings = attrs.field(init=False)
    holdings: Holdings = attrs.field(init=False)
    ours: dict[str, Tracked] = attrs.field(factory=dict)
    foreign: dict[str, float] = attrs.field(factory=dict)  # since when each is seen
    absent: dict[str, Absent] = attrs.field(factory=dict)
    run_id: str = ""
    unattended_kind: str = ""
    unattended_since: float = 0.0
    judged_orders: float = 0.0  # the last read that was taken up
    judged_state: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.sightings = Sightings(self.terms.order_prefix)
        self.holdings = Holdings(self.terms.told_seconds)

    def look(self, seen: Observation) -> Audited:
        """Take an observation up and say what differs."""
        if not self.sightings.take(seen):
            self.ours, self.foreign, self.absent = {}, {}, {}
            self.holdings = Holdings(self.terms.told_seconds)
        if seen.run_id != self.run_id:  # another maker's word begins with what it read at its start
            self.run_id, self.absent = seen.run_id, {}
            self.holdings = Holdings(self.terms.told_seconds)
        last = self.sightings.orders[-1] if self.sightings.orders else None
        if last is not None and last.asked_at != self.judged_orders:
            self.judged_orders = last.asked_at
            self.follow_orders(last)
        newest = self.sightings.states[-1] if self.sightings.states else None
        if newest is not None and newest.at != self.judged_state:
            self.judged_state = newest.at
            self.follow_ladder(newest)
        self.holdings.follow(self.sightings)
        is_blind = last is None or seen.now - last.answered_at > READ_FRESH_SECONDS
        why, unattended = self.unattended(seen)
        findings: list[Finding] = []
        if last is not None and not is_blind:
            findings += unattended
            unknown = [one.level for one in self.ours.values() if one.doubts >= CONFIRMATIONS]
            if unknown:
                sentence = f"{counted(unknown)} of ours rest that the maker does not know of"
                findings.append(Finding(Alert.UNKNOWN_ORDERS, "", sentence))
            others = [
                last.foreign[name] for name, since in self.foreign.items() if last.asked_at - since >= FOREIGN_SECONDS
            ]
            if others:
                sentence = f"{counted(others)} of somebody else's rest on the account"
                findings.append(Finding(Alert.FOREIGN_ORDERS, "", sentence))
            for market_id, absent in sorted(self.absent.items()):
                if absent.doubts >= CONFIRMATIONS:
                    sentence = f"the maker believes in {counted(absent.levels)} that the exchange does not show"
                    findings.append(Finding(Alert.MISSING_ORDERS, market_id, sentence))
        for market_id, sentence in self.holdings.differing():
            findings.append(Finding(Alert.POSITION_DIFFERS, market_id, sentence))
        return Audited(
            tuple(findings),
            is_blind,
            None if last is None else len(last.ours),
            None if last is None else len(last.foreign),
            None if last is None else last.asked_at,
            why,
        )

    # -- what rests ------------------------------------------------------------------------------------------------

    def follow_orders(self, read: OrdersRead) -> None:
        """Take up a new read: what rests since when, and does the maker know?"""
        self.ours = {name: self.ours.get(name) or Tracked(level, read.answered_at) for name, level in read.ours.items()}
        self.foreign = {name: self.foreign.get(name, read.asked_at) for name in read.foreign}
        said = self.sightings.said_by(read.asked_at)
        if said is None:
            return
        resting: dict[Level, list[Tracked]] = {}
        for one in self.ours.values():
            if one.known_after + self.terms.placed_seconds <= said.at:  # else the maker may not know it yet
                resting.setdefault(one.level, []).append(one)
        for level, there in resting.items():
            there.sort(key=lambda one: one.known_after)
            excess = len(there) - said.quotes[level]
            for place, one in enumerate(there):
                if place >= excess:
                    one.doubts = 0
                elif said.at > one.doubted_by:
                    one.doubts, one.doubted_by = one.doubts + 1, said.at

    def follow_ladder(self, said: Said) -> None:
        """Take up a new word of the maker's: does what it believes in rest?"""
        if not said.is_quoting:
            self.absent = {}
            return
        late = max(self.terms.told_seconds, self.terms.placed_seconds)  # of the news of a fill, or of a replacement
        read = next((one for one in reversed(self.sightings.orders) if one.answered_at + late <= said.at), None)
        if read is None:
            return
        there = Counter(read.ours.values())
        for market_id, accepted_at in said.accepted_at.items():
            absent = self.absent.setdefault(market_id, Absent())
            if absent.doubts >= CONFIRMATIONS and accepted_at > absent.judged_read:
                absent.doubts = 0  # what was missed has been replaced since
            if accepted_at <= read.asked_at and absent.judged_read != read.asked_at:
                absent.judged_read = read.asked_at
                missing = [one for one in said.quotes if one.market_id == market_id and said.quotes[one] > there[one]]
                absent.levels = tuple(missing)
                absent.doubts = absent.doubts + 1 if missing else 0
        for market_id in [one for one in self.absent if one not in said.accepted_at]:
            del self.absent[market_id]

    # -- who is at work --------------------------------------------------------------------------------------------

    def unattended(self, seen: Observation) -> tuple[str, list[Finding]]:
        """Say why nobody is at work on our orders, empty if somebody is; and whether any rest all the same."""
        kind, why = idle(seen, self.terms)
        if kind != self.unattended_kind:
            self.unattended_kind, self.unattended_since = kind, seen.now
        if not kind:
            return "", []
        since, proven_until = self.unattended_since, seen.now
        state = seen.state
        if kind in (STARTING, "pulled") and state is not None:
            since = state.state_at  # a state that was left meanwhile would have begun later
            proven_until = state.sent_at - self.terms.placed_seconds  # what was just placed may not be said yet
        grace_seconds = {
            "gone": self.terms.gone_seconds,
            "latched": self.terms.pulled_seconds,
            "silent": 0.0,  # it has lasted already
            "nobody": self.terms.start_seconds,
            "pulled": self.terms.pulled_seconds,
            STARTING: self.terms.start_seconds,
        }[kind]
        read = next((one for one in reversed(self.sightings.orders) if one.answered_at <= proven_until), None)
        if read is None or not read.ours or read.asked_at < since + grace_seconds:
            return why, []
        return why, [Finding(Alert.QUOTES_UNATTENDED, "", f"{counted(read.ours.values())} of ours rest while {why}")]


def idle(seen: Observation, terms: Terms) -> tuple[str, str]:
    """Say in which way nobody is at work on our orders, and in words; both empty: the maker is."""
    if seen.maker is Life.GONE:
        guard = {Life.ALIVE: "its guard lives", Life.GONE: "its guard too", Life.UNKNOWN: "nothing is known of a guard"}
        return "gone", f"the maker is gone ({guard[seen.guard]})"
    if seen.latched:
        return "latched", f"everything should have stopped: {seen.latched}"
    age = seen.state_age_seconds
    if seen.state is None or age is None or age > terms.silent_seconds:
        if seen.maker is Life.UNKNOWN:
            return "nobody", "no maker is known to run"
        since = "" if age is None else f" for {age:.0f} s"
        return ("silent" if age is not None else "nobody"), f"the maker has not been heard{since}"
    if seen.state.state == QUOTING:
        return "", ""
    if seen.state.state == STARTING:
        return STARTING, "the maker is still starting"
    return "pulled", f"the maker says that it does not quote ({seen.state.sentence})"


def counted(levels: Iterable[Level]) -> str:
    """Say how many orders there are, and where."""
    places = Counter(level.market_id for level in levels)
    total = sum(places.values())
    where = ", ".join(f"{count} in {market_id}" for market_id, count in sorted(places.items()))
    return f"{total} order{'s' if total != 1 else ''} ({where})"
