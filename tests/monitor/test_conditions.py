"""What the matter is: each alert when its condition holds, and only then; unknown where nothing can be told."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from maker.app.alert_config import Severity
from maker.desk.deadman import Reason
from maker.monitor.audit import Audit, Audited
from maker.monitor.catalogue import Alert
from maker.monitor.conditions import Bounds, Condition, Seen, Surroundings, conditions
from maker.monitor.observation import ExchangeSeen, Life, Observation
from maker.wire import live
from tests.monitor.histories import T0, TERMS
from tests.monitor.scenes import CONFIG, market, observation, order, state

BOUNDS = Bounds.of(CONFIG)
DAY = 86_400.0
WELL = Surroundings(disk_free_bytes=1 << 40, journal_age_seconds=1.0)
READ = ExchangeSeen((), T0 + 99, (), T0 + 99)


def judged(seen: Observation, around: Surroundings = WELL, audited: Audited | None = None) -> Seen:
    return conditions(seen, audited or Audit(TERMS).look(seen), around, BOUNDS)


def found(seen: Observation, around: Surroundings = WELL) -> dict[Alert, Condition]:
    return {one.alert: one for one in judged(seen, around).conditions}


def at_100(**more: Any) -> Observation:
    """Seen 100 s after T0, of a maker that quotes, but for what is said of its state."""
    outer = {name: more.pop(name) for name in ("maker", "guard", "latched", "exchange", "key_scope") if name in more}
    return observation(100, state=state(100, **more), **{"exchange": READ, **outer})


def test_where_all_is_well_nothing_is_the_matter() -> None:
    seen = judged(at_100(markets=(market(),), feeds=(live.Feed(name="alpha", state="live"),)))
    assert seen.conditions == ()
    assert seen.unknown == frozenset()


def test_nothing_heard_is_nothing_known() -> None:
    """A monitor that has just started ends no alert."""
    seen = judged(observation(100, maker=Life.UNKNOWN, guard=Life.UNKNOWN))
    assert seen.conditions == ()
    told_by_nobody = set(Alert) - seen.unknown - {one for one in Alert if one.value.happens_once}
    assert told_by_nobody == {Alert.AUDIT_BLIND, Alert.DISK_NEARLY_FULL, Alert.ALERT_PATH_FAILS}


# -- whether it runs -----------------------------------------------------------------------------------------------


def test_a_latch_is_a_halt_whoever_lives() -> None:
    assert found(at_100(latched="drawdown: too much"))[Alert.HALTED].sentence == "latched: drawdown: too much"


@pytest.mark.parametrize("reason", [one for one in Reason if one not in (Reason.STOP_ASKED, Reason.TIME_UP)])
def test_an_end_that_nobody_asked_for_is_a_halt(reason: Reason) -> None:
    """Named as in the kill file, or by its sentence."""
    for name in (reason.name.lower(), reason.sentence):
        seen = at_100(maker=Life.GONE, state="ending", sentence="so", reason=name, verified_empty_at=T0 + 99)
        assert found(seen)[Alert.HALTED].severity is Severity.CRITICAL
        assert Alert.MAKER_GONE not in found(seen)


@pytest.mark.parametrize("reason", ["stop_asked", "time_up"])
def test_an_end_that_was_asked_for_is_none(reason: str) -> None:
    seen = at_100(maker=Life.GONE, guard=Life.GONE, state="ending", reason=reason, verified_empty_at=T0 + 100)
    assert found(seen) == {}


def test_a_stop_while_quotes_are_pulled_anyway_is_no_halt() -> None:
    """The last pull was for a feed; the end was asked for, and its sentence says so."""
    ended = {"state": "ending", "reason": "reference_stale", "verified_empty_at": T0 + 100}
    assert found(at_100(sentence="stopped as asked; read back empty", **ended)) == {}
    unasked = "this machine's clock is not the exchange's: 9 s; read back empty"
    assert Alert.HALTED in found(at_100(sentence=unasked, **ended))


def test_only_quotes_end_a_halt() -> None:
    """A latch that was cleared, a maker that starts: not yet."""
    for said in ("starting", "pulling", "not quoting", "ending"):
        assert Alert.HALTED in judged(at_100(state=said, reason="stop_asked")).unknown
    assert Alert.HALTED not in judged(at_100()).unknown


def test_a_death_is_told_with_the_last_word() -> None:
    gone = found(at_100(maker=Life.GONE, sentence="all is well"))[Alert.MAKER_GONE]
    assert gone.sentence == "the maker is gone; its last word was: quoting (all is well)"


def test_a_guard_that_is_gone() -> None:
    assert Alert.GUARD_GONE in found(at_100(guard=Life.GONE))
    assert Alert.GUARD_GONE not in found(at_100(guard=Life.UNKNOWN))
    assert Alert.GUARD_GONE not in found(at_100(guard=Life.GONE, maker=Life.GONE))


def test_a_maker_that_says_nothing() -> None:
    silent = attrs.evolve(at_100(), state_age_seconds=BOUNDS.silent_seconds + 1)
    assert Alert.MAKER_SILENT in found(silent)
    assert Alert.NOT_QUOTING in judged(silent).unknown
    assert Alert.MAKER_SILENT not in found(attrs.evolve(at_100(), state_age_seconds=BOUNDS.silent_seconds))


# -- whether anybody could verify ----------------------------------------------------------------------------------


def test_a_death_that_nobody_has_read_back_after() -> None:
    """Even where an earlier pull had been verified: it quoted since."""
    seen = at_100(maker=Life.GONE, pulled_at=T0 + 10, verified_empty_at=T0 + 11, exchange=ExchangeSeen(why_not="down"))
    assert found(seen)[Alert.CANNOT_VERIFY].sentence.endswith("nobody has read back that nothing rests: down")


def test_the_monitors_own_read_verifies() -> None:
    dead = at_100(maker=Life.GONE)
    after = ExchangeSeen((), T0 + 102, (), T0 + 102)
    assert Alert.CANNOT_VERIFY not in found(attrs.evolve(dead, now=T0 + 103, exchange=after))
    rests = ExchangeSeen((order(),), T0 + 102, (), T0 + 102)
    assert Alert.CANNOT_VERIFY in found(attrs.evolve(dead, now=T0 + 103, exchange=rests))
    before = ExchangeSeen((), T0 + 99, (), T0 + 99)
    assert Alert.CANNOT_VERIFY in found(attrs.evolve(dead, now=T0 + 103, exchange=before))


@pytest.mark.parametrize("said", ["pulling", "ending"])
def test_a_pull_that_takes_too_long(said: str) -> None:
    since = T0 + 100 - BOUNDS.pulled_seconds
    pulled = {"state": said, "pulled_at": T0 + 50, "sentence": "so"}
    assert Alert.CANNOT_VERIFY in found(at_100(state_at=since - 1, **pulled))
    assert Alert.CANNOT_VERIFY not in found(at_100(state_at=since, **pulled))
    assert Alert.CANNOT_VERIFY not in found(at_100(state_at=since - 1, verified_empty_at=T0 + 51, **pulled))


def test_a_monitor_that_cannot_read() -> None:
    assert Alert.AUDIT_BLIND in found(at_100(key_scope="none"))
    failing = ExchangeSeen((), T0 + 30, (), T0 + 30, why_not="answers 500")
    assert found(at_100(exchange=failing))[Alert.AUDIT_BLIND].sentence == "the exchange cannot be read: answers 500"
    lately = ExchangeSeen((), T0 + 60, (), T0 + 60, why_not="answers 500")
    assert Alert.AUDIT_BLIND not in found(at_100(exchange=lately))
    assert Alert.QUOTES_UNATTENDED in judged(at_100(exchange=failing)).unknown


# -- quotes and feeds ----------------------------------------------------------------------------------------------


def test_no_quotes_at_all_or_in_one_market() -> None:
    out = found(at_100(state="not quoting", sentence="feeds", state_at=T0 - 200))[Alert.NOT_QUOTING]
    assert (out.subject, out.sentence) == ("", "no quotes for 5 min: feeds")
    one = found(at_100(markets=(market(), market("ETH-PERP", state="not quoting", sentence="frozen"))))
    assert (one[Alert.NOT_QUOTING].subject, one[Alert.NOT_QUOTING].sentence) == ("ETH-PERP", "frozen")


def test_feeds_and_streams_are_one_alert_each() -> None:
    feeds = tuple(live.Feed(name=name, state=how) for name, how in (("a", "live"), ("b", "stale"), ("c", "down")))
    seen = judged(at_100(feeds=feeds, markets=(market(stream="down"), market("ETH-PERP"))))
    told = [(one.subject, one.sentence, one.rank) for one in seen.conditions]
    assert told == [
        ("references", "2 of 3 references are not live: b stale, c down", 2),
        ("streams", "1 of 2 streams are not live: BTC-PERP", 1),
    ]


# -- money and the key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "alert"),
    [("69.9", None), ("70", Alert.LOSS_LIMIT_NEAR), ("99.9", Alert.LOSS_LIMIT_NEAR), ("100", Alert.LOSS_LIMIT)],
)
def test_a_loss_limit_near_and_reached(lost: str, alert: Alert | None) -> None:
    for subject, account in (
        ("drawdown", live.Account(drawdown=lost, drawdown_max="100")),
        ("day", live.Account(loss_today=lost, loss_day_max="100")),
    ):
        seen = judged(at_100(account=account)).conditions
        assert [(one.alert, one.subject) for one in seen] == ([(alert, subject)] if alert else [])


def test_a_loss_limit_that_ended_the_run() -> None:
    seen = at_100(state="ending", reason="daily_loss", sentence="too much", verified_empty_at=T0 + 99)
    assert found(seen)[Alert.LOSS_LIMIT].subject == "day"


@pytest.mark.parametrize(
    ("step", "severity"),
    [
        ("ample", None),
        ("warn", Severity.WARNING),
        ("shrink", Severity.WARNING),
        ("reduce only", Severity.CRITICAL),
        ("flatten", Severity.CRITICAL),
    ],
)
def test_margin_steps(step: str, severity: Severity | None) -> None:
    one = found(at_100(account=live.Account(margin_step=step, headroom=0.3))).get(Alert.MARGIN_STEP)
    assert (None if one is None else one.severity) is severity
    assert one is None or one.sentence == f"margin step: {step}, headroom 30% of equity"


@pytest.mark.parametrize(
    ("days", "rank", "severity"),
    [(15, None, None), (14, 1, Severity.WARNING), (3, 2, Severity.WARNING), (1, 3, Severity.CRITICAL)],
)
def test_a_key_that_expires(days: float, rank: int | None, severity: Severity | None) -> None:
    seen = at_100(key=live.Key(key_id="ocx_kid_1", expires_at=T0 + 100 + days * DAY))
    one = found(seen).get(Alert.KEY_EXPIRES)
    assert (None if one is None else (one.rank, one.severity)) == (None if rank is None else (rank, severity))


# -- what we stand on ----------------------------------------------------------------------------------------------


def test_disk_journal_and_targets() -> None:
    nearly = attrs.evolve(WELL, disk_free_bytes=(2 << 30) - 1)
    assert found(at_100(), nearly)[Alert.DISK_NEARLY_FULL].severity is Severity.WARNING
    full = attrs.evolve(WELL, disk_free_bytes=1 << 20)
    assert found(at_100(), full)[Alert.DISK_NEARLY_FULL].severity is Severity.CRITICAL
    stuck = attrs.evolve(WELL, journal_age_seconds=61.0)
    assert Alert.JOURNAL_STUCK in found(at_100(), stuck)
    assert Alert.JOURNAL_STUCK not in found(at_100(state="not quoting"), stuck)
    failing = attrs.evolve(WELL, targets_failing={"ops": "answers 404"})
    assert found(at_100(), failing)[Alert.ALERT_PATH_FAILS].sentence == "ops cannot be told: answers 404"
