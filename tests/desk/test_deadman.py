"""The table of reasons: which let the program go on, with which code the others end, and where their numbers live.

That each row really fires, and what follows, is in tests/app/test_triggers.py, which is parametrised over this table.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from maker.desk.deadman import Reason, Trip
from maker.errors import ExitCode

ENDS = {
    Reason.STOP_ASKED: ExitCode.CLEAN,
    Reason.TIME_UP: ExitCode.CLEAN,
    Reason.KILLED: ExitCode.CLEAN,
    Reason.OWNER_GONE: ExitCode.FAILED_EMPTY,
    Reason.JOURNAL_LOST: ExitCode.FAILED_EMPTY,
    Reason.CREDENTIALS: ExitCode.CREDENTIALS,
    Reason.KEY_EXPIRES: ExitCode.CREDENTIALS,
    Reason.UNHANDLED_ERROR: ExitCode.FAILED_EMPTY,
    Reason.CLOCK_SKEW: ExitCode.FAILED_EMPTY,
    Reason.POSITION_LIMIT: ExitCode.FAILED_EMPTY,
    Reason.POSITION_UNEXPLAINED: ExitCode.FAILED_EMPTY,
    Reason.OVERFILLED: ExitCode.FAILED_EMPTY,
    Reason.REPEATED_EXECUTION: ExitCode.FAILED_EMPTY,
    Reason.DRAWDOWN: ExitCode.FAILED_EMPTY,
    Reason.DAILY_LOSS: ExitCode.FAILED_EMPTY,
    Reason.MARGIN_HEADROOM: ExitCode.FAILED_EMPTY,
}
LATCHED = {
    Reason.KILLED,
    Reason.POSITION_UNEXPLAINED,
    Reason.OVERFILLED,
    Reason.REPEATED_EXECUTION,
    Reason.DRAWDOWN,
    Reason.DAILY_LOSS,
    Reason.MARGIN_HEADROOM,
}
CLOSES = {Reason.DRAWDOWN, Reason.DAILY_LOSS, Reason.MARGIN_HEADROOM}  # positions, where the configuration says so
CONF = tomllib.loads((Path(__file__).parents[2] / "conf" / "paper.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_decided_here_too(reason: Reason) -> None:
    """What ends the program ends it with this code; everything else pulls the quotes and goes on. S21: the latched."""
    assert reason.value.exit_code == ENDS.get(reason)
    assert reason.recoverable == (reason not in ENDS)
    assert reason.latched == (reason in LATCHED)
    assert reason.value.closes == (reason in CLOSES)
    assert not reason.value.closes or reason.latched, "nobody is sold out by a run that starts again by itself"
    assert not (reason.latched and reason.recoverable), "what goes on by itself cannot wait for a person"


@pytest.mark.parametrize("reason", Reason)
def test_every_threshold_is_where_the_table_says(reason: Reason) -> None:
    """A constant of a room, or a key of the configuration: a number that moved takes its row along."""
    for threshold in reason.value.thresholds:
        if threshold.startswith("["):
            table, key = threshold[1:].split("] ")
            market = CONF["market"]["BTC-PERP"]
            place = {"market": market, "source": market["sources"]["alpha"]}.get(table) or CONF[table]
            assert place[key] > 0
        else:
            room, name = threshold.rsplit(".", 1)
            assert getattr(importlib.import_module(room), name) > 0


def test_sentences_are_there_and_different() -> None:
    """Equal rows would make two reasons one (an enum aliases equal values)."""
    assert len({reason.sentence for reason in Reason}) == len(Reason.__members__) == len(list(Reason))


def test_a_trip_says_what_was_seen() -> None:
    assert Trip(Reason.STREAM_BROKEN, "BTC-PERP closed: reset").sentence == (
        "a market's event stream broke: BTC-PERP closed: reset"
    )
    assert Trip(Reason.STOP_ASKED, "").sentence == "stopped as asked"
