"""How old an order is by two clocks that were never compared: no young order is old, and no old one stays young."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.desk.identity import Identity
from maker.guard.exchange import NoAnswer
from maker.watcher.ages import FORGET_SECONDS, Ages, http_seconds, unix_seconds
from tests.watcher.scripted import BOUNDS, World

UNIX = 1_800_000_000  # the exchange's clock when ours is 0


def row(name: str, made: float | None = None) -> dict[str, Any]:
    """An open order, made at this time of our clock."""
    text = {} if made is None else {"createdAt": formatted(UNIX + made)}
    return {"clientOrderId": name, "marketId": "BTC-PERP", **text}


def formatted(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def date(at: float) -> str:
    return formatdate(int(UNIX + at), usegmt=True)


def test_ours_are_told_as_the_maker_tells_them() -> None:
    identity = Identity.of("mk", 12345)
    ages = Ages("mk")
    for name in (identity.client_order_id(), "mk-", "mk", "mkx-1", "xmk-1", "", None):
        assert ages.is_ours(name) == identity.is_ours(name), name
    assert not ages.is_ours(7)


def test_by_our_clock_alone_it_ages_from_first_sight() -> None:
    ages = Ages("mk")
    ages.saw([row("mk-1")], 10.0, 10.5, "")
    assert ages.oldest(10.5) == 0
    ages.saw([row("mk-1"), row("mk-2")], 15.0, 15.5, "")
    assert [round(ages.age(one, 20.5), 1) for one in ages.orders.values()] == [10.0, 5.0]
    assert [one.name for one in ages.older(7.0, 20.5)] == ["mk-1"]
    assert ages.older(10.0, 20.5) == []


def test_by_the_exchanges_clock_from_the_first_read_on() -> None:
    ages = Ages("mk")
    ages.saw([row("mk-1", made=-200.0)], 10.0, 10.0, date(10.0))
    assert ages.oldest(10.0) == pytest.approx(210.0, abs=1)
    assert ages.oldest(20.0) == pytest.approx(220.0, abs=1), "it goes on ageing between two reads"


def test_the_exchanges_clock_is_believed_within_what_was_seen() -> None:
    """Nothing is older than the read that did not show it, nor younger than the reads that did."""
    ages = Ages("mk")
    ages.saw([], 10.0, 10.1, date(10.0))
    ages.saw([row("mk-1", made=-5000.0)], 15.0, 15.1, date(15.0))
    assert ages.oldest(15.1) == pytest.approx(5.1)
    ages = Ages("mk")
    for at in (10.0, 15.0, 20.0):
        ages.saw([row("mk-2", made=5000.0)], at, at + 0.1, date(at))
    assert ages.oldest(75.1) == pytest.approx(65.0)


def test_what_the_clocks_are_apart_is_learnt() -> None:
    """Also where reads were out for a while, so that what was seen bounds nothing."""
    ages = Ages("mk")
    ages.saw([], 0.0, 0.0, date(100.0))  # Date is 100 s ahead of createdAt
    ages.saw([row("mk-1", made=4.0)], 5.0, 5.0, date(105.0))
    assert ages.ahead == pytest.approx(96.0, abs=1)
    ages.saw([row("mk-2", made=498.0)], 500.0, 500.0, date(600.0))
    assert ages.oldest(500.0) == pytest.approx(6.0, abs=1), "not 102"


def test_a_name_that_was_missing_for_a_moment_is_no_new_order() -> None:
    """A reader of the exchange's that lags hides an order now and then: it ages all the same."""
    ages = Ages("mk")
    for at in range(0, 100, 5):
        ages.saw([row("mk-1")] if at % 10 == 0 else [], float(at), float(at), "")
    ages.saw([row("mk-1")], 100.0, 100.0, "")
    assert ages.oldest(100.0) == 100.0
    ages.saw([], 101.0, 101.0, "")
    ages.saw([], 101.0 + FORGET_SECONDS, 101.0 + FORGET_SECONDS, "")
    assert ages.missing == {}, "and what is gone for good is forgotten"


def test_what_is_kept_is_bounded() -> None:
    """A busy maker for a day: no more is remembered than what rests and what went lately."""
    ages = Ages("mk")
    for at in range(0, 86_400, 60):
        ages.saw([row(f"mk-{at}-{number}") for number in range(8)], float(at), float(at), "")
        assert len(ages.orders) + len(ages.missing) <= 8 * 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T06:58:39.250Z", 1795330719.25),
        ("2026-11-22T07:58:39.250+01:00", 1795330719.25),
        ("2026-11-22T06:58:39.250", 1795330719.25),
        ("yesterday", None),
        ("", None),
        (1795330719, None),
        (None, None),
        (True, None),
    ],
)
def test_a_rest_time(text: object, seconds: float | None) -> None:
    assert unix_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "Fri, 99 Zzz 2027 08:16:40 GMT", "1795330719"])
def test_a_date_that_is_none(text: str) -> None:
    assert http_seconds(text) is None


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["clientOrderId", "createdAt", "marketId"]), st.text() | st.none() | st.integers()
        )
    ),
    st.text(),
)
def test_whatever_rows_say_is_taken(rows: list[dict[str, Any]], told: str) -> None:
    ages = Ages("mk")
    ages.saw(rows, 0.0, 1.0, told)
    assert ages.oldest(2.0) >= 0
    assert len(ages.orders) + ages.foreign <= len(rows)


# -- a healthy maker's history


@st.composite
def histories(draw: st.DrawFn, latest: float) -> list[tuple[float, float]]:
    """Ladders by the cycle's rules, (placed, gone), with none resting for longer than a working maker allows.

    Replaced at once, replaced late, pulled with a pause (a trip, a restart, a reload, the guard after a hang), or by
    the last moment that the configuration allows.
    """
    at, history = draw(st.floats(0, 30)), []
    for _ in range(draw(st.integers(1, 12))):
        rests = draw(st.one_of(st.floats(0.3, 30), st.floats(30, latest), st.just(latest)))
        history.append((at, at + rests))
        at += rests + draw(st.one_of(st.just(0.0), st.floats(0, 60)))
    return history


def play(world: World, history: list[tuple[float, float]], outages: list[tuple[float, float]], began: float) -> None:
    """Let a history happen while the watcher looks; some of its reads are lost."""
    ladders = [(f"mk-{number}-{side}", placed, gone) for number, (placed, gone) in enumerate(history) for side in "ab"]

    def now_rests() -> None:
        at = world.now - began
        world.resting = {name: (began + placed, "BTC-PERP") for name, placed, gone in ladders if placed <= at < gone}

    def fault(_call: object) -> Exception | None:
        now_rests()
        at = world.now - began
        return NoAnswer("out") if any(start <= at < end for start, end in outages) else None

    world.during, world.fault = now_rests, fault
    world.run(max(gone for _, gone in history) + 20)


OUTAGES = st.lists(
    st.tuples(st.floats(40, 400), st.floats(0, 200)).map(lambda one: (one[0], one[0] + one[1])), max_size=3
)
SKEWS = st.sampled_from([0.0, -3600.0, -90.0, -2.0, 2.0, 20.0, 90.0, 3600.0])


@settings(max_examples=120, deadline=None)
@given(histories(BOUNDS.rest_seconds_max), OUTAGES, SKEWS, st.booleans(), st.booleans(), st.floats(0, 1))
def test_a_healthy_maker_is_never_pulled(
    history: list[tuple[float, float]],
    outages: list[tuple[float, float]],
    skew: float,
    stamps: bool,
    dates: bool,
    chance: float,
) -> None:
    """Quoting, tripping, restarting, hanging: within the bound nothing triggers, whatever any clock says.

    The watcher has seen the exchange's clocks contradict its own first, where they do: a first read has no other clock.
    """
    world = World(skew=skew, stamps=stamps, dates=dates, random=chance)
    world.run(6.0)
    world.place("mk-first")
    world.run(6.0)
    play(world, history, outages, world.now)
    assert world.cancels == [], world.lines


@settings(max_examples=60, deadline=None)
@given(histories(BOUNDS.rest_seconds_max), SKEWS, st.booleans(), st.booleans())
def test_a_dead_maker_always_is(history: list[tuple[float, float]], skew: float, stamps: bool, dates: bool) -> None:
    """After any healthy history the last ladder stays: it is cancelled once, in time, and never before it is old."""
    world = World(skew=skew, stamps=stamps, dates=dates)
    world.run(6.0)
    world.place("mk-first")
    world.run(6.0)
    began = world.now
    play(world, history, [], began)
    assert world.cancels == []
    placed = world.now
    world.during, world.fault = lambda: None, lambda _call: None
    world.resting = {}
    world.place("mk-last")
    world.run(BOUNDS.pulled_seconds_max + 10)
    assert len(world.unscoped) == 1
    assert BOUNDS.rest_seconds_max < world.unscoped[0] - placed <= BOUNDS.pulled_seconds_max
    assert world.resting == {}
