"""Every drill that was promised exists, once, and says what it is."""

from __future__ import annotations

import os

import pytest

from maker.drills import table
from maker.drills.table import BY_NAME

PROMISED = """
    feed_stale feed_cut stream_silent stream_gap order_errors sigterm double_sigint sighup unhandled_error kill_9 hang
    resume_stale guard_killed both_killed_then_restart blocked_stdout journal_disk_full no_free_descriptors dns_dead
    late_ladder cancel_all_429 cancel_all_5xx cancel_all_lost_answer venue_down_then_back
    sigterm_tls kill_9_tls cancel_all_lost_answer_tls
""".split()  # noqa: SIM905 - a list of words


def test_every_promised_drill_exists() -> None:
    assert sorted(BY_NAME) == sorted(PROMISED)
    assert [drill.name for drill in BY_NAME.values()] == list(BY_NAME)


def test_each_does_something_of_its_own_and_says_what() -> None:
    plain = [drill for drill in BY_NAME.values() if not drill.tls]
    assert len({drill.fault for drill in plain}) == len(plain)
    assert all(drill.fault.__doc__ for drill in plain)


def test_over_tls_it_is_the_same_drill() -> None:
    for name in table.TLS:
        plain, secure = BY_NAME[name], BY_NAME[f"{name}_tls"]
        assert (secure.fault, secure.alone, secure.tls, plain.tls) == (plain.fault, plain.alone, True, False)


@pytest.mark.parametrize("name", ["kill_9", "hang", "sigterm", "feed_cut", "guard_killed"])
def test_what_is_timed_tightly_is_alone(name: str) -> None:
    assert BY_NAME[name].alone


def test_without_openssl_tls_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert "openssl" in BY_NAME["sigterm_tls"].needs()
    assert not BY_NAME["sigterm"].needs()
