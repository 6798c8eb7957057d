"""Which of the account's keys is ours, and what its dates say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maker.preflight.api_key import KeyTold, expiry, ours, told_of
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
    seen = told_of(keys({"id": "a"}, {"id": "b"}), WALL)
    assert seen.own is None
    assert "several keys are active" in expiry(seen, WALL).said


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
