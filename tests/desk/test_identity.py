"""Names of our orders: never twice, short enough, and ours by their prefix only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.identity import Identity, base36

from .scripted import quick


@given(st.from_regex(r"[a-z0-9]{2,8}", fullmatch=True), st.integers(0, 2**128), st.integers(0, 10**12))
@quick
def test_names_fit_and_are_ours(prefix: str, bits: int, before: int) -> None:
    """At most 32 ASCII characters after a trillion orders; recognised by this run and the next, by no other prefix."""
    identity = Identity.of(prefix, bits)
    identity.orders = identity.quotes = before
    for name in (identity.client_order_id(), identity.quote_id()):
        assert len(name) <= 32
        assert name.isascii()
        assert identity.is_ours(name)
        assert Identity.of(prefix, bits + 1).is_ours(name)
        assert not Identity.of(prefix + "x" if len(prefix) < 8 else prefix[:-1], bits).is_ours(name)


def test_no_name_is_given_twice() -> None:
    identity = Identity.of("mk", 1)
    names = [identity.client_order_id() for _ in range(2_000)]
    quotes = [identity.quote_id() for _ in range(2_000)]
    assert len(set(names)) == len(set(quotes)) == 2_000


def test_two_starts_share_no_name() -> None:
    one, two = Identity.of("mk", 1), Identity.of("mk", 2)
    assert not {one.client_order_id() for _ in range(100)} & {two.client_order_id() for _ in range(100)}


@pytest.mark.parametrize("prefix", ["", "a", "abcdefghi", "AB", "a-b", "aé", "a b", "ab\n"])
def test_a_bad_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Identity.of(prefix, 1)


def test_strangers_are_not_ours() -> None:
    identity = Identity.of("mk", 1)
    for name in (None, "", "mk", "mkt-1-1", "xmk-1", "MK-1-1"):
        assert not identity.is_ours(name)


@given(st.integers(0, 10**15))
@quick
def test_base_36_is_what_int_reads(number: int) -> None:
    assert int(base36(number), 36) == number
    assert base36(number).islower() or base36(number).isdigit()
