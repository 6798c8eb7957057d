"""What is the matter, by one observation: conditions that hold, and alerts of which nothing can be told.

A condition that is not listed does not hold, unless its alert is listed as unknown: a monitor that has just started, or
a maker that is gone, must not end an alert that only a quoting maker can end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import attrs

from maker.app.alert_config import Severity
from maker.desk.deadman import Reason
from maker.monitor.audit import SLACK_SECONDS, Audited, Terms
from maker.monitor.catalogue import Alert
from maker.monitor.observation import Life, Observation
from maker.monitor.sightings import QUOTING, number
from maker.wire.live import State

if TYPE_CHECKING:
    from maker.app.config import Config

DAY_SECONDS: Final = 86_400.0
KEY_DAYS: Final = (14, 3, 1)  # told at each; the last is critical
JOURNAL_SECONDS_MAX: Final = 60.0  # profit is written every 5 s while a maker quotes
BLIND_SECONDS: Final = 60.0  # without a read that went well
GIB: Final = 1 << 30
DISK_CRITICAL: Final = 0.1  # of what is worth a warning
ASKED: Final = (Reason.STOP_ASKED, Reason.TIME_UP)
LOSSES: Final = (Reason.DRAWDOWN, Reason.DAILY_LOSS)
MARGIN_STEPS: Final = ("ample", "warn", "shrink", "reduce only", "flatten")
BY_EXCHANGE: Final = frozenset(
    (
        Alert.QUOTES_UNATTENDED,
        Alert.UNKNOWN_ORDERS,
        Alert.MISSING_ORDERS,
        Alert.FOREIGN_ORDERS,
        Alert.POSITION_DIFFERS,
    )
)
BY_STATE: Final = frozenset(
    (Alert.NOT_QUOTING, Alert.FEED_DOWN, Alert.LOSS_LIMIT_NEAR, Alert.MARGIN_STEP, Alert.KEY_EXPIRES)
)
BY_QUOTING: Final = frozenset((Alert.HALTED, Alert.MAKER_GONE, Alert.LOSS_LIMIT))  # only quotes end these


@attrs.frozen
class Condition:
    """Something that holds now. One that holds already is told again when its severity or its rank has risen."""

    alert: Alert
    subject: str  # of which market, feed or target; empty: of all
    sentence: str
    severity: Severity
    rank: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        return self.alert.label, self.subject


@attrs.frozen
class Surroundings:
    """What the monitor sees beside the run itself."""

    disk_free_bytes: int | None = None  # of the state folder; None: cannot be told
    journal_age_seconds: float | None = None  # since anything was written to it; None: cannot be told
    targets_failing: Mapping[str, str] = attrs.field(factory=dict)  # name -> why nobody can be told there


@attrs.frozen
class Seen:
    """What the matter is."""

    conditions: tuple[Condition, ...]
    unknown: frozenset[Alert]


@attrs.frozen
class Bounds:
    """From when on a thing is worth an alert."""

    silent_seconds: float
    pulled_seconds: float
    loss_near_ratio: float
    disk_free_bytes_min: float

    @classmethod
    def of(cls, config: Config) -> Bounds:
        """Take them from a configuration."""
        terms = Terms.of(config)
        told = config.alerts
        return cls(terms.silent_seconds, terms.pulled_seconds, told.loss_near_ratio, told.disk_free_gib_min * GIB)


def conditions(seen: Observation, audited: Audited, around: Surroundings, bounds: Bounds) -> Seen:
    """Say what is the matter."""
    fresh = fresh_state(seen, bounds)
    found = [Condition(one.alert, one.subject, one.sentence, one.alert.value.severity) for one in audited.findings]
    unknown: set[Alert] = set()
    if audited.is_blind:
        unknown |= BY_EXCHANGE
    if fresh is None:
        unknown |= BY_STATE | {Alert.JOURNAL_STUCK}
    if fresh is None or fresh.state != QUOTING:
        unknown |= BY_QUOTING
    found += verified(seen, audited, bounds)
    found += processes(seen, bounds)
    if seen.maker is not Life.ALIVE:
        unknown |= {Alert.GUARD_GONE, Alert.MAKER_SILENT}
    if (seen.maker is Life.UNKNOWN or seen.state is None) and (audited.is_blind or audited.orders_ours):
        unknown.add(Alert.CANNOT_VERIFY)
    found += blind(seen)
    if fresh is not None:
        found += quoting(fresh, seen.now)
        found += money(fresh, bounds)
        found += key(fresh, seen.now)
    found += standing_on(fresh, around, bounds)
    held = {one.alert for one in found}
    return Seen(tuple(found), frozenset(unknown - held))


def fresh_state(seen: Observation, bounds: Bounds) -> State | None:
    """The maker's word, if it is one of now."""
    age = seen.state_age_seconds
    return seen.state if age is not None and age <= bounds.silent_seconds and seen.maker is not Life.GONE else None


def reason_of(state: State) -> Reason | None:
    """The row of the dead-man table that a state names, by name or by sentence; None: none that we know.

    How a run ends is in its sentence: a stop that comes while quotes are pulled anyway pulls nothing, so that the last
    pull had another reason.
    """
    said = [one for one in Reason if state.state == "ending" and state.sentence.startswith(one.sentence)]
    if said:
        return max(said, key=lambda one: len(one.sentence))
    return next((one for one in Reason if state.reason.lower() in (one.name.lower(), one.sentence.lower())), None)


def ended_as_asked(state: State) -> bool:
    """Whether the last word of a maker is an end that was asked for, with nothing left."""
    return state.state == "ending" and reason_of(state) in ASKED and is_verified(state)


def is_verified(state: State) -> bool:
    """Whether the exchange was read back empty after the last pull, and nothing was quoted since."""
    at = state.verified_empty_at
    return state.state != QUOTING and at is not None and at >= (state.pulled_at or 0.0)


# -- whether it runs ----------------------------------------------------------------------------------------------


def processes(seen: Observation, bounds: Bounds) -> Iterator[Condition]:
    """Whether maker and guard live, and why not."""
    state, reason = seen.state, None if seen.state is None else reason_of(seen.state)
    ended = state is not None and state.state == "ending"
    if reason in LOSSES and (ended or seen.maker is Life.GONE or seen.latched):
        assert state is not None, "it has a reason"
        subject = "drawdown" if reason is Reason.DRAWDOWN else "day"
        yield Condition(Alert.LOSS_LIMIT, subject, state.sentence, Severity.CRITICAL)
    if seen.latched:
        yield Condition(Alert.HALTED, "", f"latched: {seen.latched}", Severity.CRITICAL, rank=1)
    elif state is not None and ended and reason not in ASKED:
        yield Condition(Alert.HALTED, "", f"ended: {state.sentence}", Severity.CRITICAL)
    if seen.maker is Life.GONE and state is not None and not ended:
        sentence = f"the maker is gone; its last word was: {state.state} ({state.sentence})"
        yield Condition(Alert.MAKER_GONE, "", sentence, Severity.CRITICAL)
    if seen.maker is not Life.ALIVE:
        return
    if seen.guard is Life.GONE:
        yield Condition(Alert.GUARD_GONE, "", "the guard is gone and the maker still lives", Severity.CRITICAL)
    age = seen.state_age_seconds
    if age is not None and age > bounds.silent_seconds:
        sentence = f"the maker lives and has said nothing for {age:.0f} s"
        yield Condition(Alert.MAKER_SILENT, "", sentence, Severity.WARNING)


def verified(seen: Observation, audited: Audited, bounds: Bounds) -> Iterator[Condition]:
    """Whether somebody could read back that nothing rests, where quotes were pulled or the maker died."""
    state = seen.state
    if state is None or is_verified(state) or seen.maker is Life.UNKNOWN:
        return
    if seen.maker is Life.GONE:
        shows_empty = audited.read_at is not None and audited.orders_ours == 0 and not audited.is_blind
        if shows_empty and audited.read_at is not None and audited.read_at > state.sent_at + SLACK_SECONDS:
            return
        sentence = f"the maker is gone, and nobody has read back that nothing rests{why(seen)}"
        yield Condition(Alert.CANNOT_VERIFY, "", sentence, Severity.CRITICAL)
    elif state.state in ("pulling", "ending"):
        seconds = seen.now - state.state_at
        if seconds > bounds.pulled_seconds:
            sentence = f"quotes were pulled {seconds:.0f} s ago ({state.sentence}), and nothing says that none rests"
            yield Condition(Alert.CANNOT_VERIFY, "", sentence, Severity.CRITICAL)


def blind(seen: Observation) -> Iterator[Condition]:
    """Whether the exchange can be read while a maker runs."""
    if seen.maker is not Life.ALIVE:
        return
    read_at = seen.exchange.orders_at
    if seen.key_scope == "none":
        yield Condition(Alert.AUDIT_BLIND, "", "the monitor has no key to read with", Severity.WARNING)
    elif seen.exchange.why_not and (read_at is None or seen.now - read_at > BLIND_SECONDS):
        yield Condition(Alert.AUDIT_BLIND, "", f"the exchange cannot be read{why(seen)}", Severity.WARNING)


def why(seen: Observation) -> str:
    return f": {seen.exchange.why_not}" if seen.exchange.why_not else ""


def quoting(state: State, now: float) -> Iterator[Condition]:
    """Whether there are quotes, and what they are made of."""
    if state.state in ("starting", "pulling", "not quoting"):
        minutes = max(0.0, now - state.state_at) / 60
        yield Condition(Alert.NOT_QUOTING, "", f"no quotes for {minutes:.0f} min: {state.sentence}", Severity.WARNING)
    elif state.state == QUOTING:
        for market in state.markets:
            if market.state == "not quoting":
                yield Condition(Alert.NOT_QUOTING, market.market_id, market.sentence, Severity.WARNING)
    feeds = {one.name: f"{one.name} {one.state}" for one in state.feeds if one.state != "live"}
    streams = {one.market_id: one.market_id for one in state.markets if one.stream != "live"}
    for subject, down, total in (("references", feeds, len(state.feeds)), ("streams", streams, len(state.markets))):
        if down:
            sentence = f"{len(down)} of {total} {subject} are not live: {', '.join(down.values())}"
            yield Condition(Alert.FEED_DOWN, subject, sentence, Severity.WARNING, len(down))


# -- money and the key --------------------------------------------------------------------------------------------


def money(state: State, bounds: Bounds) -> Iterator[Condition]:
    """How near the account is to its limits."""
    account = state.account
    for subject, lost, limit in (
        ("drawdown", account.drawdown, account.drawdown_max),
        ("day", account.loss_today, account.loss_day_max),
    ):
        used = ratio(lost, limit)
        sentence = f"{'drawdown' if subject == 'drawdown' else 'loss today'} {lost} of {limit} ({used:.0%})"
        if used >= 1:
            yield Condition(Alert.LOSS_LIMIT, subject, sentence, Severity.CRITICAL)
        elif used >= bounds.loss_near_ratio:
            yield Condition(Alert.LOSS_LIMIT_NEAR, subject, sentence, Severity.WARNING)
    step = MARGIN_STEPS.index(account.margin_step) if account.margin_step in MARGIN_STEPS else 0
    if step:
        headroom = "" if account.headroom is None else f", headroom {account.headroom:.0%} of equity"
        severity = Severity.CRITICAL if account.margin_step in MARGIN_STEPS[3:] else Severity.WARNING
        yield Condition(Alert.MARGIN_STEP, "", f"margin step: {account.margin_step}{headroom}", severity, step)


def ratio(lost: str | None, limit: str | None) -> float:
    """How much of a limit is used; 0 where it is not known."""
    used, most = number(lost or ""), number(limit or "")
    return float(used / most) if used is not None and most is not None and most > Decimal(0) else 0.0


def key(state: State, now: float) -> Iterator[Condition]:
    """How long the key is good for."""
    expires_at = state.key.expires_at
    if expires_at is None or not math.isfinite(expires_at):
        return
    days = (expires_at - now) / DAY_SECONDS
    passed = [limit for limit in KEY_DAYS if days <= limit]
    if passed:
        severity = Severity.CRITICAL if passed[-1] == KEY_DAYS[-1] else Severity.WARNING
        left = f"in {days:.1f} days" if days > 1 else f"in {max(0.0, days * 24):.0f} hours"
        yield Condition(Alert.KEY_EXPIRES, state.key.key_id, f"the API key expires {left}", severity, len(passed))


# -- what we stand on ---------------------------------------------------------------------------------------------


def standing_on(state: State | None, around: Surroundings, bounds: Bounds) -> Iterator[Condition]:
    """Disk, journal, and the ways to tell anybody."""
    free = around.disk_free_bytes
    if free is not None and free < bounds.disk_free_bytes_min:
        critical = free < DISK_CRITICAL * bounds.disk_free_bytes_min
        severity = Severity.CRITICAL if critical else Severity.WARNING
        yield Condition(Alert.DISK_NEARLY_FULL, "", f"{free / GIB:.2f} GiB are free for the state folder", severity)
    age = around.journal_age_seconds
    if state is not None and state.state == QUOTING and age is not None and age > JOURNAL_SECONDS_MAX:
        yield Condition(Alert.JOURNAL_STUCK, "", f"nothing was written for {age:.0f} s", Severity.WARNING)
    for name, problem in around.targets_failing.items():
        yield Condition(Alert.ALERT_PATH_FAILS, name, f"{name} cannot be told: {problem}", Severity.WARNING)
