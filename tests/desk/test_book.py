"""The book against a naive dictionary, and what it must refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.desk.book import LEVELS_MAX, Book
from maker.desk.events import Levels
from maker.errors import StreamBroken, StreamFault

from .scripted import thorough

ticks = st.integers(1, 30)
changes = st.lists(st.tuples(ticks, st.integers(0, 5)), max_size=6).map(tuple)
hostile_changes = st.lists(st.tuples(st.integers(-1, 30), st.integers(-1, 5)), max_size=4).map(tuple)


def best_first(side: dict[int, int], *, bids: bool) -> Levels:
    return tuple(sorted(side.items(), reverse=bids))


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Levels, Levels]:
    """A book that can be true."""
    middle = draw(st.integers(2, 29))
    sizes = st.integers(1, 5)
    bids = draw(st.dictionaries(st.integers(1, middle - 1), sizes, max_size=8))
    asks = draw(st.dictionaries(st.integers(middle, 30), sizes, max_size=8))
    return best_first(bids, bids=True), best_first(asks, bids=False)


class Naive:
    """The same book with nothing remembered."""

    def __init__(self, bids: Levels, asks: Levels) -> None:
        self.bids, self.asks = dict(bids), dict(asks)

    def apply(self, bids: Levels, asks: Levels) -> bool:
        """Whether what comes out can be true."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, lots in levels:
                if lots < 0:
                    return False
                side.pop(price, None)
                if lots:
                    side[price] = lots
        return self.possible()

    def possible(self) -> bool:
        crossed = bool(self.bids and self.asks) and max(self.bids) >= min(self.asks)
        return not crossed and min([*self.bids, *self.asks], default=1) > 0


@given(
    snapshots(),
    st.lists(st.tuples(st.one_of(changes, hostile_changes), st.one_of(changes, hostile_changes)), max_size=12),
)
@thorough
def test_deltas_against_a_naive_dictionary(start: tuple[Levels, Levels], deltas: list[tuple[Levels, Levels]]) -> None:
    """F25: equal level by level and at the best after every delta; the impossible is refused at once."""
    book, naive = Book(), Naive(*start)
    book.load(*start)
    for bids, asks in deltas:
        if not naive.apply(bids, asks):
            with pytest.raises(StreamBroken) as caught:
                book.apply(bids, asks)
            assert caught.value.fault is StreamFault.MALFORMED
            book.load(*start)  # reloading is the way back
            assert (dict(start[0]), dict(start[1])) == (book.bids, book.asks)
            return
        book.apply(bids, asks)
        assert (book.bids, book.asks) == (naive.bids, naive.asks)
        assert book.best_bid == max(naive.bids, default=None)
        assert book.best_ask == min(naive.asks, default=None)


@given(*[st.lists(st.tuples(st.integers(-1, 12), st.integers(-1, 3)), max_size=4).map(tuple)] * 2)
@thorough
def test_a_snapshot_is_taken_exactly_when_it_can_be_true(bids: Levels, asks: Levels) -> None:
    """F24: best first, strictly sorted, positive sizes and prices, not crossed; anything else breaks the stream."""
    sides = ((bids, True), (asks, False))
    well_formed = all(
        [price for price, _ in side] == sorted({price for price, _ in side}, reverse=reverse)
        and all(lots > 0 for _, lots in side)
        for side, reverse in sides
    )
    book = Book()
    if well_formed and Naive(bids, asks).possible():
        book.load(bids, asks)
        assert (book.bids, book.asks) == (dict(bids), dict(asks))
        assert book.best_bid == (bids[0][0] if bids else None)
        assert book.best_ask == (asks[0][0] if asks else None)
    else:
        with pytest.raises(StreamBroken) as caught:
            book.load(bids, asks)
        assert caught.value.fault is StreamFault.MALFORMED


@given(snapshots(), *[st.dictionaries(ticks, st.integers(1, 6), max_size=6)] * 2)
@thorough
def test_best_of_others_against_brute_force(
    start: tuple[Levels, Levels], own_bids: dict[int, int], own_asks: dict[int, int]
) -> None:
    """The best price at which more rests than our own lots, over every level of the book."""
    book = Book()
    book.load(*start)
    others_bids = [price for price, lots in start[0] if lots - own_bids.get(price, 0) > 0]
    others_asks = [price for price, lots in start[1] if lots - own_asks.get(price, 0) > 0]
    assert book.best_of_others(own_bids, own_asks) == (max(others_bids, default=None), min(others_asks, default=None))


def test_the_best_walks_when_it_is_removed() -> None:
    """bid 9 8 7, remove 9 and 8 and one never seen: 7 is best; remove it: none."""
    book = Book()
    book.load(((9, 1), (8, 1), (7, 1)), ((11, 1),))
    book.apply(((9, 0), (3, 0), (8, 0)), ())
    assert [book.best_bid, book.best_ask] == [7, 11]
    book.apply(((7, 0),), ((11, 0),))
    assert [book.best_bid, book.best_ask] == [None, None]


def test_a_level_moving_through_the_other_side_within_one_delta_is_no_crossing() -> None:
    """The market moved up: only what stands after the whole delta counts."""
    book = Book()
    book.load(((9, 1),), ((10, 1),))
    book.apply(((11, 1),), ((10, 0), (12, 1)))
    assert (book.best_bid, book.best_ask) == (11, 12)


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_runaway_feed_is_refused(side: str) -> None:
    """A book deeper than any stream serves is a fault, not memory."""
    deep = tuple((price, 1) for price in range(1, LEVELS_MAX + 1))
    book = Book()
    if side == "bids":
        book.load(tuple(reversed(deep)), ())
        more: tuple[Levels, Levels] = ((LEVELS_MAX + 1, 1),), ()
    else:
        book.load((), deep)
        more = (), ((LEVELS_MAX + 1, 1),)
    with pytest.raises(StreamBroken, match="levels"):
        book.apply(*more)
