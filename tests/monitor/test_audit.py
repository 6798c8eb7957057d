"""The audit: silent through every healthy history, loud in every broken one, and within its bounds."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.desk.events import OrderSeen
from maker.monitor.audit import GONE_SECONDS, Audit, Audited, Terms
from maker.monitor.catalogue import Alert
from maker.monitor.observation import ExchangeSeen, Life, Observation, PositionHeld
from tests.monitor.histories import T0, TERMS, History
from tests.monitor.scenes import CONFIG, market, observation, order, state

UNATTENDED, UNKNOWN = Alert.QUOTES_UNATTENDED, Alert.UNKNOWN_ORDERS
BROKEN = {  # what breaks -> the alerts that say so, and within how many seconds one must be there
    "orphan": ((UNKNOWN, UNATTENDED), 120.0),  # the maker may be pulled for most of it
    "twin": ((UNKNOWN, UNATTENDED), 120.0),
    "killed": ((UNATTENDED,), GONE_SECONDS + 20),
    "latched": ((UNATTENDED,), TERMS.pulled_seconds + 20),
    "silent": ((UNATTENDED,), TERMS.silent_seconds + 20),
    "stuck": ((UNATTENDED,), TERMS.pulled_seconds + TERMS.placed_seconds + 25),
    "missed fill": ((Alert.POSITION_DIFFERS,), 100.0),
    "vanish": ((Alert.MISSING_ORDERS,), 60.0),
    "foreign": ((Alert.FOREIGN_ORDERS,), 30.0),
}


def played(history: History, seconds: float) -> list[tuple[float, Audited]]:
    audit = Audit(TERMS)
    return [(seen.now - T0, audit.look(seen)) for seen in history.play(seconds)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), busy=st.sampled_from([0.2, 1.0, 4.0]))
def test_a_healthy_history_has_no_finding(seed: int, busy: float) -> None:
    """Ladders, fills and pulls with every delay that the bounds allow, lost states, slow and failing reads."""
    for moment, audited in played(History(seed, busy), 240):
        assert audited.findings == (), f"{moment:.1f} s"


@pytest.mark.parametrize("breaks", BROKEN)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), busy=st.sampled_from([0.2, 1.0]))
def test_a_broken_history_is_found_in_time(breaks: str, seed: int, busy: float) -> None:
    """And for what it is; nothing is said before it breaks."""
    alerts, within = BROKEN[breaks]
    history = History(seed, busy, breaks, break_at=60.0)
    found = [(moment, one.alert) for moment, seen in played(history, 60 + within) for one in seen.findings]
    assert all(moment >= 60 for moment, _ in found)
    assert {one for _, one in found} & set(alerts)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_audit_gives_nonsense_no_chance_to_raise(seed: int) -> None:
    """Observations in any order, of any moment, with anything missing: it returns."""
    seen = list(History(seed, breaks="killed", break_at=20).play(40))
    chance = History(seed).chance
    chance.shuffle(seen)
    audit = Audit(TERMS)
    for one in seen:
        audit.look(attrs.evolve(one, now=one.now + chance.choice((-100, 0, 0, 5)), run_id=chance.choice(("", "r"))))


# -- each bound by itself ------------------------------------------------------------------------------------------


def reads(audit: Audit, *seen: Observation) -> Audited:
    audited = None
    for one in seen:
        audited = audit.look(one)
    assert audited is not None
    return audited


def rests(asked_at: float, *orders: OrderSeen) -> ExchangeSeen:
    return ExchangeSeen(orders, T0 + asked_at, (), T0 + asked_at)


def test_a_death_is_given_the_time_its_guard_needs() -> None:
    """A read within it shows what the guard is about to cancel."""
    audit = Audit(TERMS)
    dead = observation(100, maker=Life.GONE, state=state(99), exchange=rests(99, order()))
    assert audit.look(dead).findings == ()
    early = observation(104, maker=Life.GONE, state=state(99), exchange=rests(100 + GONE_SECONDS - 1, order()))
    assert audit.look(early).findings == ()
    late = observation(106, maker=Life.GONE, state=state(99), exchange=rests(100 + GONE_SECONDS, order()))
    found = audit.look(late).findings
    assert [one.alert for one in found] == [Alert.QUOTES_UNATTENDED]
    assert found[0].sentence == "1 order (1 in BTC-PERP) of ours rest while the maker is gone (its guard lives)"


def test_what_rests_is_no_longer_unattended_once_it_is_gone() -> None:
    audit = Audit(TERMS)
    audit.look(observation(100, maker=Life.GONE, state=state(99), exchange=rests(99, order())))
    seen = observation(110, maker=Life.GONE, state=state(99), exchange=rests(109, order()))
    assert audit.look(seen).findings
    empty = observation(114, maker=Life.GONE, state=state(99), exchange=rests(113))
    assert audit.look(empty).findings == ()


def test_orders_of_others_are_not_ours() -> None:
    """A dead maker and somebody else's orders: foreign, not unattended."""
    audit = Audit(TERMS)
    theirs = order(client="xx-e-1")
    found = reads(
        audit,
        *(
            observation(moment, maker=Life.GONE, state=state(99), exchange=rests(moment, theirs))
            for moment in (100, 106, 112)
        ),
    )
    assert [one.alert for one in found.findings] == [Alert.FOREIGN_ORDERS]


def test_no_maker_that_is_known_of_is_as_bad_as_a_dead_one() -> None:
    """After a reboot nobody runs, and orders may rest: told once a start has had its time."""
    audit = Audit(TERMS)
    moments = range(100, 170, 3)
    audited = [
        audit.look(observation(at, maker=Life.UNKNOWN, state=None, exchange=rests(at, order()))) for at in moments
    ]
    assert audited[0].findings == ()
    assert [one.alert for one in audited[-1].findings] == [Alert.QUOTES_UNATTENDED]


def test_an_old_read_is_no_finding_and_says_that_nothing_is_known() -> None:
    audit = Audit(TERMS)
    for moment in (100, 110):
        audit.look(observation(moment, maker=Life.GONE, state=state(99), exchange=rests(moment, order())))
    blind = None
    for moment in range(112, 145, 3):
        blind = audit.look(observation(moment, maker=Life.GONE, state=state(99), exchange=rests(110, order())))
    assert blind is not None
    assert blind.is_blind
    assert blind.findings == ()


def test_a_clock_that_is_set_begins_the_audit_anew() -> None:
    """Times from before say nothing about times from after it."""
    audit = Audit(TERMS)
    audit.look(observation(100, state=state(100), exchange=rests(99.5, order())))
    audit.look(observation(101, state=state(101), exchange=rests(99.5, order())))
    audit.look(observation(5_000, state=state(5_000), exchange=rests(4_999, order())))
    assert audit.sightings.orders[0].asked_at == T0 + 4_999
    assert len(audit.sightings.states) == 1


def test_a_position_in_a_market_that_never_stands_still_is_compared_all_the_same() -> None:
    """A minute of reads on one side of everything that was told: no quiet moment is needed."""
    audit = Audit(TERMS)
    audited = []
    held = (PositionHeld("BTC-PERP", Decimal(50), None),)
    for second in range(150):
        asked_at = T0 + 99.5 + second
        told = market(position=str(second % 3), fills=second)
        said = state(100 + second, markets=(told,))
        exchange = ExchangeSeen((), asked_at, held, asked_at)
        audited.append(audit.look(observation(100 + second, state=said, exchange=exchange)))
    at = next(second for second, one in enumerate(audited) if one.findings)
    assert 60 <= at <= 75
    assert audited[-1].findings[0].alert is Alert.POSITION_DIFFERS
    assert "the exchange states a position of 50" in audited[-1].findings[0].sentence


def test_the_page_is_told_what_was_compared() -> None:
    audit = Audit(TERMS)
    assert audit.look(observation(100, state=state(100))).as_json() is None
    seen = observation(101, state=state(101), exchange=rests(100.5, order()))
    told = audit.look(seen).as_json()
    assert told is not None
    assert (told["agrees"], told["at"], told["orders_ours"]) == (True, T0 + 100.5, 1)
    assert told["sentence"] == "1 orders of ours rest, and the maker knows them"


def test_bounds_are_the_configurations() -> None:
    terms = Terms.of(CONFIG)
    assert (terms.placed_seconds, terms.pulled_seconds) == (4.0, 15.0)
    assert terms.silent_seconds == 10.0
    assert terms.silent_seconds > CONFIG.guard.hang_seconds_max
    assert terms.order_prefix == CONFIG.order_prefix
