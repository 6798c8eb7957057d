"""The table of reasons: which let the program go on, and with which code the others end."""

from __future__ import annotations

import pytest

from maker.desk.deadman import Reason, Trip
from maker.errors import ExitCode

ENDS = {
    Reason.STOP_ASKED: ExitCode.CLEAN,
    Reason.TIME_UP: ExitCode.CLEAN,
    Reason.OWNER_GONE: ExitCode.FAILED_EMPTY,
    Reason.JOURNAL_LOST: ExitCode.FAILED_EMPTY,
    Reason.CREDENTIALS: ExitCode.CREDENTIALS,
    Reason.UNHANDLED_ERROR: ExitCode.FAILED_EMPTY,
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_decided_here_too(reason: Reason) -> None:
    """What ends the program ends it with this code; everything else pulls the quotes and goes on."""
    assert reason.value.exit_code == ENDS.get(reason)
    assert reason.recoverable == (reason not in ENDS)


def test_sentences_are_there_and_different() -> None:
    """Equal rows would make two reasons one (an enum aliases equal values)."""
    assert len({reason.sentence for reason in Reason}) == len(Reason.__members__) == len(list(Reason))


def test_a_trip_says_what_was_seen() -> None:
    assert Trip(Reason.STREAM_BROKEN, "BTC-PERP closed: reset").sentence == (
        "a market's event stream broke: BTC-PERP closed: reset"
    )
    assert Trip(Reason.STOP_ASKED, "").sentence == "stopped as asked"
