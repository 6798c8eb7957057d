"""One feed: it passes when each of its symbols has a price with two sides."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from maker.app.feeds import Door
from maker.app.references import Venue
from maker.errors import StreamBroken, StreamFault
from maker.preflight.references import Listener, feed
from maker.preflight.setting import Ways
from maker.preflight.verdict import Finding, Verdict
from maker.wire.references.described import Described
from tests.preflight.scripted import a_price

Clock = trio.testing.MockClock
VENUE = Venue("alpha", "wss://venue.test", ("BTC", "ETH"), 5.0)


async def told(*steps: tuple[str, str] | float | StreamBroken, venue: Venue = VENUE) -> Finding:
    """What comes of a feed that tells these symbols with these bids, waits, and breaks."""

    async def follow(venue: Venue, door: Door) -> None:
        for step in steps:
            match step:
                case StreamBroken():
                    raise step
                case float():
                    await trio.sleep(step)
                case (symbol, bid):
                    door.deliver(a_price(venue.source, symbol, bid))
        await trio.sleep_forever()

    return await feed(venue, Listener(frozenset(venue.symbols)), Ways(follow_reference=follow), 10.0)


async def test_both_symbols(autojump_clock: Clock) -> None:
    found = await told(("BTC", "49999"), 3.0, ("ETH", "49997"), 3.0)
    assert (found.verdict, found.said) == (Verdict.OK, "wss://venue.test tells BTC 50000, ETH 49999.")
    assert trio.current_time() == pytest.approx(3.0), "it is not listened to for longer than needed"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("BTC", "49999")], "No price of ETH from wss://venue.test: nothing of it within 10 s."),
        ([("BTC", "49999"), ("ETH", "0")], "No price of ETH"),
        ([("BTC", "1"), ("ETH", "50001")], "No price of ETH"),
        ([], "No price of BTC, ETH"),
        (
            [("ETH", "1"), StreamBroken(StreamFault.CLOSED, "gone")],
            "No price of BTC from wss://venue.test: closed: gone.",
        ),
        ([11.0, ("BTC", "1"), ("ETH", "1")], "No price of BTC, ETH"),
    ],
)
async def test_a_symbol_without_a_price(
    steps: list[tuple[str, str] | float | StreamBroken], words: str, autojump_clock: Clock
) -> None:
    """Its name is said, and why."""
    found = await told(*steps)
    assert (found.verdict, words in found.said) == (Verdict.FAILED, True), found
    assert "sources.alpha" in found.fix


async def test_a_feed_that_breaks_after_all_was_told(autojump_clock: Clock) -> None:
    """It has a price: that is what was asked."""
    found = await told(("BTC", "1"), ("ETH", "1"), StreamBroken(StreamFault.CLOSED, "gone"))
    assert found.verdict is Verdict.OK


async def test_a_bid_above_its_ask_is_no_price(autojump_clock: Clock) -> None:
    """A run takes none from it either; of a feed that the configuration describes it is said what is likely wrong."""
    found = await told(("BTC", "1"), ("ETH", "50002"))
    assert (found.verdict, found.said) == (Verdict.FAILED, "No price of ETH from wss://venue.test: bid is above ask.")
    words = Described(subscribe="", symbol="s", bid="a", bid_size="B", ask="b", ask_size="A")
    found = await told(("BTC", "1"), ("ETH", "50002"), venue=attrs.evolve(VENUE, venue="json", described=words))
    assert (found.verdict, found.fix) == (Verdict.FAILED, "Are described.bid and described.ask swapped?")


async def test_a_bid_above_its_ask_for_a_moment(autojump_clock: Clock) -> None:
    """It is waited for a price, and what was crossed meanwhile is not said where another symbol has none."""
    found = await told(("BTC", "50002"), ("ETH", "1"), 1.0, ("BTC", "1"))
    assert found.verdict is Verdict.OK
    found = await told(("BTC", "50002"), ("BTC", "1"))
    assert (found.verdict, "No price of ETH" in found.said, "above" in found.said) == (Verdict.FAILED, True, False)
    found = await told(("BTC", "1"), ("ETH", "50002"), StreamBroken(StreamFault.CLOSED, "gone"))
    assert (found.verdict, "closed: gone" in found.said) == (Verdict.FAILED, True)
