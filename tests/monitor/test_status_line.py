"""The line on the terminal: what it says, what it leaves off, and that it is never mangled or in the way."""

from __future__ import annotations

import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from fcntl import ioctl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.monitor.observation import Life
from maker.monitor.status_line import COLUMNS_MIN, TURN_SECONDS, status_line
from maker.monitor.terminal_line import TerminalLine
from tests.monitor.observed import a_market, a_state, an_observation

WAIT_SECONDS_MAX = 10.0


def test_one_market_whole() -> None:
    assert status_line(an_observation(), 120, 0.0) == "quoting · BTC-PERP 50000.05 49995.0/50005.0 pos -0.12 +12.34"


def test_a_market_that_is_not_quoted() -> None:
    one = a_market(quotes=(), fair=None, position="0.000", profit=None)
    line = status_line(an_observation(state=a_state(state="not quoting", markets=(one,))), 120, 0.0)
    assert line == "not quoting · BTC-PERP no fair value -/- pos 0.000"


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"maker": Life.GONE}, "maker gone"),
        ({"state": None, "state_age_seconds": None}, "starting"),
        ({"state_age_seconds": 4.2}, "silent for 4 s"),
        ({"latched": "x"}, "latched"),
        ({"state": a_state(state="pulling")}, "pulling"),
    ],
)
def test_what_is_wrong_comes_first(changes: dict[str, object], begins: str) -> None:
    assert status_line(an_observation(**changes), 120, 0.0).startswith(begins)


def test_markets_take_turns_where_they_do_not_fit() -> None:
    """Within one round each is shown, and how many of them are quoted; on a wide terminal all are, side by side."""
    names = [f"M{number}-PERP" for number in range(5)]
    state = a_state(
        markets=tuple(a_market(name, state="quoting" if name != "M3-PERP" else "not quoting") for name in names)
    )
    lines = [status_line(an_observation(state=state), 100, turn * TURN_SECONDS) for turn in range(5)]
    assert [next(name for name in names if name in line) for line in lines] == names
    assert all("4/5 quoted" in line for line in lines)
    assert all("all +12.34" in line for line in lines)
    wide = status_line(an_observation(state=state), 400, 0.0)
    assert all(name in wide for name in names)
    assert "4/5" not in wide


@given(st.integers(1, 400), st.floats(0, 1e6), st.integers(1, 30), st.text(min_size=1, max_size=20))
def test_it_always_fits_and_is_always_one_line(columns: int, seconds: float, markets: int, name: str) -> None:
    """Shorter than the terminal, so that it never wraps; without a control character, whatever a market is called."""
    state = a_state(markets=tuple(a_market(f"{name}{number}") for number in range(markets)))
    line = status_line(an_observation(state=state), columns, seconds)
    assert len(line) < max(COLUMNS_MIN, columns)
    assert line.isprintable()


# -- drawing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal's both ends, the first for whoever looks at it."""
    reader, descriptor = pty.openpty()
    yield reader, descriptor
    for one in (reader, descriptor):
        os.close(one)


def seen_on(reader: int, until: bytes) -> bytes:
    text = b""
    while until not in text:
        assert select.select([reader], [], [], WAIT_SECONDS_MAX)[0], f"only {text!r} came"
        text += os.read(reader, 4096)
    return text


def test_a_line_is_drawn_in_place_and_taken_away(terminal: tuple[int, int]) -> None:
    """Each drawing begins the line anew and erases the rest of it; none ends it."""
    reader, descriptor = terminal
    line = TerminalLine(descriptor)
    line.draw("quoting")
    text = seen_on(reader, b"quoting")
    line.draw("pulling")
    text += seen_on(reader, b"pulling")
    assert line.end(WAIT_SECONDS_MAX)
    text += seen_on(reader, b"\x1b[K") if not text.endswith(b"\x1b[K") else b""
    assert text == b"\r\x1b[Kquoting\r\x1b[Kpulling\r\x1b[K"
    assert b"\n" not in text


def test_its_width_is_the_terminals(terminal: tuple[int, int]) -> None:
    reader, descriptor = terminal
    line = TerminalLine(descriptor)
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 133, 0, 0))
    assert line.columns == 133
    assert line.end(WAIT_SECONDS_MAX)
    assert seen_on(reader, b"\x1b[K")


def test_a_terminal_that_stands_still_holds_nobody(terminal: tuple[int, int]) -> None:
    """Ctrl-S: a thousand lines are drawn without waiting, the end waits no longer than it says, and only the latest
    line comes once the terminal goes on.
    """
    reader, descriptor = terminal
    termios.tcflow(descriptor, termios.TCOOFF)
    line = TerminalLine(descriptor)
    for number in range(1000):
        line.draw(f"line {number} ")
    assert not line.end(0.05)
    termios.tcflow(descriptor, termios.TCOON)
    text = seen_on(reader, b"\x1b[K")
    with line.changed:
        assert line.changed.wait_for(lambda: line.line is None and not line.is_writing, WAIT_SECONDS_MAX)
    while select.select([reader], [], [], 0.0)[0]:
        text += os.read(reader, 4096)
    assert text.count(b"line ") <= 1, "what nobody could see is not drawn later"
    assert text.endswith(b"\x1b[K")
