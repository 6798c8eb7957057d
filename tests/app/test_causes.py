"""Which of a group of errors counts, and how it is said."""

from __future__ import annotations

import trio

from maker.app import startup
from maker.app.causes import describe, first_cause, reason_of
from maker.desk.deadman import Reason
from maker.errors import MakerError, Refused
from tests.app.runs import BUG, FORBIDDEN, GROUP


def test_a_group_is_told_by_its_first_leaf() -> None:
    """H5: exceptions come grouped."""
    assert first_cause(GROUP) is FORBIDDEN
    assert reason_of(GROUP) is Reason.CREDENTIALS
    assert reason_of(BUG) is Reason.UNHANDLED_ERROR
    assert describe(GROUP).startswith(f"{FORBIDDEN}; `keys list` shows")
    assert describe(BUG) == "ZeroDivisionError: a bug"
    assert f"{startup.START_SECONDS_MAX:.0f} s" in describe(trio.TooSlowError())
    assert issubclass(Refused, MakerError)


def test_no_cause_shows_a_key() -> None:
    """S18: libraries quote what they were given; what a run says last goes to stdout, journal, page and incidents."""
    said = describe(ValueError("Illegal header value b'ocx_sk_canary_0123456789'"))
    assert said == "ValueError: Illegal header value b'ocx_sk_[redacted]'"
