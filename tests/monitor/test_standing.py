"""Which alerts stand: each told once, worse told again, reminders grow apart, flapping is told less and less."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.app.alert_config import Severity
from maker.launch.telling import REMIND_SECONDS, REMIND_SECONDS_MAX
from maker.monitor.catalogue import Alert
from maker.monitor.conditions import Condition, Seen
from maker.monitor.standing import (
    CLEAR_SECONDS_MAX,
    RECORDS_MAX,
    Notice,
    Standing,
)

T0 = 1_800_000_000.0
WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL


def holds(alert: Alert, subject: str = "", severity: Severity | None = None, rank: float = 0.0) -> Condition:
    return Condition(alert, subject, f"{alert.label} is so", severity or alert.value.severity, rank)


def seen(*conditions: Condition, unknown: frozenset[Alert] = frozenset()) -> Seen:
    return Seen(conditions, unknown)


NOTHING = seen()


def standing() -> Standing:
    return Standing("conf/live.toml", "epoch", {Alert.NOT_QUOTING: 120.0, Alert.FEED_DOWN: 60.0})


def stepped(made: Standing, *spans: tuple[float, Seen], begin: float = 0.0) -> list[tuple[float, Notice]]:
    """Step each second through spans of time; return what was told, with when."""
    told, at = [], begin
    for seconds, matter in spans:
        until = at + seconds
        while at < until:
            told += [(at, one) for one in made.step(matter, T0 + at)]
            at += 1
    return told


def phases(told: list[tuple[float, Notice]]) -> list[tuple[float, str, str]]:
    return [(at, one.name, one.phase) for at, one in told]


def test_a_monitor_that_has_only_begun_alerts_nobody_of_having_read_nothing() -> None:
    """Each start begins with that; an exchange that stays unread is told of all the same."""
    unread = seen(holds(Alert.AUDIT_BLIND))
    assert stepped(standing(), (10, unread), (200, NOTHING)) == []
    assert phases(stepped(standing(), (30, unread))) == [(15, "audit_blind", "begins")]


def test_a_condition_is_told_once_and_its_end_once() -> None:
    told = stepped(standing(), (50, seen(holds(Alert.FOREIGN_ORDERS))), (200, NOTHING))
    assert phases(told) == [(0, "foreign_orders", "begins"), (110, "foreign_orders", "ends")]
    assert told[1][1].sentence == "over after 110 s; it was: foreign_orders is so"
    assert told[1][1].severity is WARNING
    assert told[1][1].todo == ""


def test_what_to_do_names_the_configuration() -> None:
    ((_, notice),) = stepped(standing(), (1, seen(holds(Alert.QUOTES_UNATTENDED))))
    assert "`python3 run.py cancel-all conf/live.toml` now" in notice.todo
    assert "CONF" not in notice.todo


def test_it_must_hold_for_its_time() -> None:
    """And a flicker is never told."""
    down = seen(holds(Alert.FEED_DOWN, "references"))
    assert stepped(standing(), (60, down), (100, NOTHING)) == []
    assert phases(stepped(standing(), (61, down))) == [(60, "feed_down", "begins")]
    flicker = [(10.0, down), (20.0, NOTHING)] * 60
    assert stepped(standing(), *flicker) == []


def test_what_holds_for_most_of_the_time_is_told_in_the_end() -> None:
    """Down for 50 s, up for 1, again and again: no single span reaches the bound."""
    down = seen(holds(Alert.FEED_DOWN, "references"))
    told = stepped(standing(), *[(50.0, down), (1.0, NOTHING)] * 4)
    assert [one.phase for _, one in told] == ["begins"]


def test_only_what_is_critical_is_reminded_of_and_less_and_less() -> None:
    critical = stepped(standing(), (10_000, seen(holds(Alert.QUOTES_UNATTENDED))))
    assert [at for at, _ in critical] == [0, 300, 900, 2_100, 4_500, 9_300]
    assert {one.phase for _, one in critical[1:]} == {"reminder"}
    gaps = [later - sooner for (sooner, _), (later, _) in itertools.pairwise(critical[1:])]
    assert gaps[0] == 2 * REMIND_SECONDS
    assert max(gaps) <= REMIND_SECONDS_MAX
    assert len(stepped(standing(), (2_000, seen(holds(Alert.FOREIGN_ORDERS))))) == 1


def test_worse_is_told_at_once_and_better_is_not() -> None:
    steps = [seen(holds(Alert.MARGIN_STEP, severity=severity, rank=rank)) for severity, rank in
             ((WARNING, 1.0), (WARNING, 2.0), (CRITICAL, 3.0), (WARNING, 1.0), (CRITICAL, 3.0))]  # fmt: skip
    told = stepped(standing(), *[(20.0, one) for one in steps])
    assert phases(told) == [
        (5, "margin_step", "begins"),
        (20, "margin_step", "worse"),
        (40, "margin_step", "worse"),
    ]


def test_flapping_is_told_less_and_less() -> None:
    """Gone for a bit more than its time, again and again: each end takes twice as long to believe."""
    there = seen(holds(Alert.FOREIGN_ORDERS))
    told = stepped(standing(), *[(10.0, there), (70.0, NOTHING)] * 60)
    assert [one.phase for _, one in told] == ["begins", "ends", "begins"]
    begun = [at for at, one in told if one.phase == "begins"]
    assert begun == [0, 80]
    calm = stepped(standing(), *[(10.0, there), (70.0, NOTHING)] * 3, (CLEAR_SECONDS_MAX, NOTHING))
    assert calm[-1][1].phase == "ends"


def test_after_a_calm_hour_it_is_as_new() -> None:
    there = seen(holds(Alert.FOREIGN_ORDERS))
    made = standing()
    stepped(made, (10, there), (4_000, NOTHING))
    assert made.records == {}


def test_what_explains_it_hides_it() -> None:
    """One incident, one alert: the loss limit says why it halted; what it hid is told once it is over."""
    both = seen(holds(Alert.LOSS_LIMIT, "day"), holds(Alert.HALTED))
    assert [one.name for _, one in stepped(standing(), (10, both))] == ["loss_limit"]
    told = stepped(standing(), (10, both), (200, seen(holds(Alert.HALTED))))
    assert [(one.name, one.phase) for _, one in told] == [
        ("loss_limit", "begins"), ("resumed", "ends"), ("halted", "begins"),
    ]  # fmt: skip


def test_what_was_told_and_is_hidden_later_ends_silently() -> None:
    halted, gone = holds(Alert.HALTED), holds(Alert.MAKER_GONE)
    told = stepped(standing(), (10, seen(gone)), (10, seen(gone, halted)), (200, seen(halted)))
    assert [(one.name, one.phase) for _, one in told] == [("maker_gone", "begins"), ("halted", "begins")]


def test_quotes_again_are_told_once_whatever_has_ended() -> None:
    """`resumed`, with how long there were none."""
    made = standing()
    out = seen(holds(Alert.MAKER_GONE))
    told = stepped(made, (100, out), (200, NOTHING))
    assert phases(told) == [(3, "maker_gone", "begins"), (160, "resumed", "ends")]
    assert told[-1][1].sentence == "quotes rest again after 3 min; it was: maker_gone is so"
    assert told[-1][1].severity is CRITICAL


def test_what_is_not_known_stays_as_it_is() -> None:
    """Neither ended nor told again, for as long as it lasts."""
    unknown = seen(unknown=frozenset([Alert.FOREIGN_ORDERS]))
    made = standing()
    told = stepped(made, (10, seen(holds(Alert.FOREIGN_ORDERS))), (500, unknown), (30, NOTHING))
    assert len(told) == 1
    assert stepped(made, (60, NOTHING), begin=540)[0][1].phase == "ends"


def test_the_worse_of_two_conditions_of_one_name_counts() -> None:
    told = stepped(standing(), (10, seen(holds(Alert.MARGIN_STEP), holds(Alert.MARGIN_STEP, severity=CRITICAL))))
    assert [one.severity for _, one in told] == [CRITICAL]


def test_the_worst_is_told_first() -> None:
    told = stepped(standing(), (1, seen(holds(Alert.FOREIGN_ORDERS), holds(Alert.POSITION_DIFFERS))))
    assert [one.name for _, one in told] == ["position_differs", "foreign_orders"]


def test_records_are_bounded() -> None:
    made = standing()
    made.step(seen(*(holds(Alert.FOREIGN_ORDERS, str(number)) for number in range(3 * RECORDS_MAX))), T0)
    assert len(made.records) == RECORDS_MAX


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    made = standing()
    stepped(made, (10, seen(holds(Alert.QUOTES_UNATTENDED))), begin=100_000)
    told = stepped(made, (400, seen(holds(Alert.QUOTES_UNATTENDED))))
    assert [one.phase for _, one in told] == ["reminder"]


# -- over a restart ------------------------------------------------------------------------------------------------


def restarted(made: Standing, at: float) -> Standing:
    again = Standing("conf/live.toml", "other", made.raise_seconds)
    again.load(json.loads(json.dumps(made.dump())), T0 + at)
    return again


def test_a_restart_repeats_nothing_that_arrived() -> None:
    there = seen(holds(Alert.FOREIGN_ORDERS))
    made = standing()
    ((_, first),) = stepped(made, (10, there))
    made.delivered(first.notice_id, is_delivered=True)
    again = restarted(made, 20)
    assert stepped(again, (100, there), begin=20) == []
    assert phases(stepped(again, (100, NOTHING), begin=120)) == [(180, "foreign_orders", "ends")]


@pytest.mark.parametrize("is_delivered", [False, None])
def test_what_may_not_have_arrived_is_told_again(is_delivered: bool | None) -> None:
    there = seen(holds(Alert.NOT_QUOTING))
    made = standing()
    first = stepped(made, (130, there))[0][1]
    made.delivered(first.notice_id, is_delivered=is_delivered)
    told = stepped(restarted(made, 140), (5, there), begin=140)
    assert phases(told) == [(140, "not_quoting", "begins")]
    assert told[0][1].notice_id != first.notice_id


def test_what_ended_while_nobody_looked_is_told() -> None:
    made = standing()
    ((_, first),) = stepped(made, (10, seen(holds(Alert.FOREIGN_ORDERS))))
    made.delivered(first.notice_id, is_delivered=True)
    told = stepped(restarted(made, 5_000), (70, NOTHING), begin=5_000)
    assert phases(told) == [(5_060, "foreign_orders", "ends")]


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(["halted", "warning"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    st.data(),
)
def test_a_file_that_is_none_of_ours_is_refused_whole(garbage: Any, data: st.DataObject) -> None:
    made = standing()
    stepped(made, (10, seen(holds(Alert.FOREIGN_ORDERS), holds(Alert.HALTED))))
    rows = made.dump()
    row = data.draw(st.sampled_from(rows))
    row[data.draw(st.sampled_from(sorted(row)))] = garbage
    again = standing()
    for kept in (rows, garbage):
        try:
            again.load(kept, T0)
        except ValueError:
            assert again.records == {}
        again.step(NOTHING, T0)
        again.records.clear()


# -- every history -------------------------------------------------------------------------------------------------

SOME = (Alert.FOREIGN_ORDERS, Alert.FEED_DOWN, Alert.HALTED, Alert.MAKER_GONE, Alert.POSITION_DIFFERS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1, 200), st.sets(st.sampled_from(SOME)), st.sets(st.sampled_from(SOME)), st.booleans()),
        max_size=6,
    )
)
def test_every_history_is_told_in_order(spans: list[tuple[float, set[Alert], set[Alert], bool]]) -> None:
    """Of each alert: a beginning, then worse or reminders, then an end; what holds long enough is never kept silent."""
    made, at, open_since = standing(), 0.0, dict[str, float]()
    for seconds, there, unknown, restarts in spans:
        if restarts:
            for record in made.records.values():
                made.delivered(record.notice_id, is_delivered=True)
            made = restarted(made, at)
        matter = seen(*(holds(one) for one in there), unknown=frozenset(unknown - there))
        for moment, notice in stepped(made, (seconds, matter), begin=at):
            if notice.phase == "begins":
                assert notice.name not in open_since
                open_since[notice.name] = moment
            elif notice.phase == "ends":
                open_since.pop(notice.name, None)
            else:
                assert notice.name in open_since
        at += seconds + 1
        stands = {record.alert for record in made.records.values() if record.is_standing}
        open_since = {name: since for name, since in open_since.items() if name in {one.label for one in stands}}
        if seconds > 125:
            for alert in there:
                assert alert in stands or made.is_hidden(alert)
