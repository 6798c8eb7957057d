"""Which of the account's keys is ours, and what its dates say."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from maker.launch.key import Key
from maker.preflight.api_key import KeyTold, expiry, ours, pins, scope, told_of
from maker.preflight.verdict import Verdict
from maker.wire import access
from tests.app.whole import WALL
from tests.preflight.scripted import OWN_KEY

JUST_NOW, LONG_AGO = "2023-11-14T22:13:19.000Z", "2023-11-14T20:00:00.000Z"  # the wall clock is 22:13:20


def keys(*rows: dict[str, Any]) -> tuple[access.KeySeen, ...]:
    return access.keys(msgspec.json.encode({"keys": [{**OWN_KEY, **row} for row in rows]}))


@pytest.mark.parametrize(
    ("rows", "own"),
    [
        ([], None),
        ([{"id": "a", "lastUsedAt": None}], "a"),
        ([{"id": "a", "status": "revoked"}], None),
        ([{"id": "a", "status": "expired"}, {"id": "b", "lastUsedAt": LONG_AGO}], "b"),
        ([{"id": "a", "lastUsedAt": LONG_AGO}, {"id": "b"}], "b"),
        ([{"id": "a", "lastUsedAt": None}, {"id": "b"}], "b"),
        ([{"id": "a"}, {"id": "b"}], None),
        ([{"id": "a", "lastUsedAt": LONG_AGO}, {"id": "b", "lastUsedAt": LONG_AGO}], None),
    ],
)
def test_ours_is_the_only_active_one_or_the_only_one_just_used(rows: list[dict[str, Any]], own: str | None) -> None:
    """Another bot's key that is used in the same moment leaves it open: a wrong guess would be worse than none."""
    found = ours(keys(*({"lastUsedAt": JUST_NOW, **row} for row in rows)), WALL)
    assert (found.key_id if found else None) == own


def test_several_keys_are_said() -> None:
    seen = told_of(Key("s"), keys({"id": "a"}, {"id": "b"}), WALL)
    assert seen.own is None
    assert "several keys are active" in expiry(seen, WALL).said


def test_the_id_that_is_noted_says_which_is_ours() -> None:
    """However many there are, and none of another's is taken for it."""
    seen = told_of(Key("s", "b"), keys({"id": "a"}, {"id": "b", "scope": "read"}), WALL)
    assert seen.own is not None
    assert seen.own.key_id == "b"
    assert scope(seen).verdict is Verdict.FAILED
    gone = told_of(Key("s", "c"), keys({"id": "a"}), WALL)
    assert gone.own is None
    assert "no key c" in pins(gone).said


def test_what_is_noted_stands_in_for_what_is_not_told() -> None:
    noted = KeyTold(Key("s", "a", "trade", WALL + 30 * 86_400.0, ("203.0.113.7",)), untold="nobody says")
    for judged, words in (
        (expiry(noted, WALL), "in 30.0 days"),
        (pins(noted), "pinned to 203.0.113.7"),
        (scope(noted), "may trade"),
    ):
        assert judged.verdict is Verdict.OK
        assert words in judged.said
        assert "by what its file says" in judged.said
    unbound = KeyTold(Key("s", "a", "trade", math.inf, ()), untold="nobody says")
    assert expiry(unbound, WALL).verdict is pins(unbound).verdict is Verdict.WARNING
    bare = KeyTold(Key("s"), untold="nobody says")
    assert expiry(bare, WALL).verdict is pins(bare).verdict is scope(bare).verdict is Verdict.UNKNOWN
    told = KeyTold(Key("s", "a", "trade", math.inf, ()), own=keys({"id": "a", "scope": "read"})[0])
    assert scope(told).verdict is Verdict.FAILED, "what the exchange says wins"


@pytest.mark.parametrize(
    ("expires", "verdict"),
    [("2023-11-28T22:13:19.000Z", Verdict.WARNING), ("2023-11-28T22:13:21.000Z", Verdict.OK)],
)
def test_two_weeks_before_its_end_a_key_is_warned_of(expires: str, verdict: Verdict) -> None:
    assert expiry(KeyTold(own=keys({"expiresAt": expires})[0]), WALL).verdict is verdict


@pytest.mark.parametrize("body", [b"{}", b'{"keys": [{}]}', b"[]", b"{", b'{"keys": [{"id": 1}]}'])
def test_another_form_of_list_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        access.keys(body)


@pytest.mark.parametrize("row", [{"lastUsedAt": "yesterday"}, {"expiresAt": "2024-01-01"}, {"id": "../x"}, {"id": ""}])
def test_what_is_no_time_or_id_is_a_value_error(row: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        keys(row)
