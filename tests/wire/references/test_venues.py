"""Each venue by name: what it needs, and what all of them promise."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from maker.desk.events import ReferenceHeard, ReferenceQuote
from maker.wire.references import venues
from maker.wire.references.adapter import PING_SECONDS, REASON_CHARACTERS_MAX
from maker.wire.references.described import Described
from tests.wire.references.torture import survives_anything

DESCRIBED = Described("{symbol}", "s", "b", "bs", "a", "as")
ROOMS = Path(venues.__file__).parent
BBO = '{"type":"bbo","symbol":"BTC-USD","bid":"50000.1","bidSize":"0.1","ask":"50000.2","askSize":"3"}'


@pytest.mark.parametrize("venue", venues.VENUES)
def test_every_venue_can_be_made(venue: str) -> None:
    """A new one each time: what one connection learnt is void on the next."""
    described = DESCRIBED if venue == venues.JSON else None
    one, other = (venues.adapter(venue, "main", ("BTC",), described) for _ in range(2))
    assert one is not other
    assert one.source == "main"
    assert one.symbols == ("BTC",)
    assert one.opening()
    assert one.ping_seconds == PING_SECONDS
    assert one.address("wss://x.example") == "wss://x.example"


@pytest.mark.parametrize("venue", venues.VENUES)
def test_public_addresses_are_encrypted(venue: str) -> None:
    url = venues.default_url(venue)
    assert (url == "") == (venue in {venues.PRACTICE, venues.JSON})
    assert not url or urlsplit(url).scheme == "wss"


def test_every_room_is_reachable() -> None:
    """A venue's room that nobody can name would be dead."""
    rooms = {path.stem for path in ROOMS.glob("*.py")} - {"__init__", "adapter", "exact", "venues"}
    assert rooms == {kind.__module__.rpartition(".")[2] for kind in venues.BUILT.values()} | {"described"}


def test_the_practice_feed() -> None:
    """The same words as before, by the same interface."""
    adapter = venues.adapter(venues.PRACTICE, "alpha", ("BTC-USD",))
    assert adapter.opening() == ('{"op":"subscribe","symbols":["BTC-USD"]}',)
    quote = ReferenceQuote("alpha", "BTC-USD", Decimal("50000.1"), Decimal("0.1"), Decimal("50000.2"), Decimal(3))
    assert adapter.parse(BBO) == (quote,)
    assert adapter.parse('{"type":"heartbeat"}') == (ReferenceHeard("alpha"),)
    survives_anything(lambda: venues.adapter(venues.PRACTICE, "alpha", ("BTC-USD",)), BBO)


def test_a_venues_words_are_bounded_and_cannot_play_with_a_terminal() -> None:
    broken = venues.adapter("okx", "main", ("BTC",)).refused("\x1b[2J" + "x" * 10_000)
    assert "\x1b" not in str(broken)
    assert len(str(broken)) < 2 * REASON_CHARACTERS_MAX
