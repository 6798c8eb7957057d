"""The other traders: calibrated takers, really informed ones, and a thin book that follows the index."""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections import Counter
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.paper.prices import LOOKAHEAD_STEPS, PATH_PRESETS, STEPS_PER_MINUTE, STEPS_PER_SECOND, ReferencePath
from maker.paper.traders import (
    CROWD_PRESETS,
    FARTHEST_BPS,
    LEVELS,
    NEAREST_BPS,
    STEP_SECONDS,
    TAKE_NOTIONAL_MAX,
    Crowd,
    CrowdOrder,
    CrowdView,
)

ROOT = Path(__file__).resolve().parents[2]
TICK, STEP, MINIMUM = Decimal("0.5"), Decimal("0.0001"), Decimal("0.0001")
INDEX = Decimal(60_000)
CALM = CrowdView(INDEX - 1, INDEX + 1, INDEX, INDEX, INDEX)  # nothing is about to move
HOUR_STEPS = 60 * STEPS_PER_MINUTE


def bitcoin(preset: str = "normal", seed: int = 1, *, informed_per_second: float | None = None) -> Crowd:
    return Crowd(
        "BTC-PERP",
        preset,
        seed,
        tick=TICK,
        step=STEP,
        minimum=MINIMUM,
        informed_per_second=informed_per_second,
    )


@cache
def hour_of_market_orders(preset: str) -> list[tuple[int, CrowdOrder]]:
    """Return one hour of takes around a mid of 60,000 that stands still, on a grid too fine to matter."""
    crowd = Crowd("BTC-PERP", preset, 5, tick=Decimal("0.001"), step=Decimal("1e-8"), minimum=Decimal("1e-8"))
    return [(n, order) for n in range(HOUR_STEPS) for order in crowd.step(n, CALM) if order.kind == "take"]


class NaiveBook:
    """Match the crowd against itself the slow way: a dictionary of quotes, searched from the start each time."""

    def __init__(self) -> None:
        self.quotes: dict[str, CrowdOrder] = {}
        self.fills: list[tuple[CrowdOrder, Decimal]] = []  # taker and price

    def best(self, side: str) -> Decimal | None:
        prices = [quote.price for quote in self.quotes.values() if quote.side == side]
        return (max(prices) if side == "buy" else min(prices)) if prices else None

    def apply(self, order: CrowdOrder) -> None:
        if order.kind == "cancel":
            self.quotes.pop(order.tag, None)
        elif order.kind == "quote":
            best_bid, best_ask = self.best("buy"), self.best("sell")
            if order.side == "buy":
                assert best_ask is None or order.price < best_ask
            else:
                assert best_bid is None or order.price > best_bid
            assert order.tag not in self.quotes
            self.quotes[order.tag] = order
        else:
            self.take(order)

    def take(self, order: CrowdOrder) -> None:
        left = order.quantity
        other = "sell" if order.side == "buy" else "buy"
        while left > 0 and (price := self.best(other)) is not None:
            if price > order.price if order.side == "buy" else price < order.price:
                break
            quote = next(quote for quote in self.quotes.values() if quote.side == other and quote.price == price)
            traded = min(left, quote.quantity)
            left -= traded
            self.fills.append((order, price))
            if traded == quote.quantity:
                del self.quotes[quote.tag]
            else:
                self.quotes[quote.tag] = attrs.evolve(quote, quantity=quote.quantity - traded)

    def view(self, path: ReferencePath, n: int) -> CrowdView:
        return CrowdView(
            self.best("buy"), self.best("sell"), path.index(n), path.price(n), path.price(n + LOOKAHEAD_STEPS)
        )


def history_digest(seed: int = 7, steps: int = 2_000) -> str:
    """Return a fingerprint of all orders of a crowd that trades with itself."""
    path, crowd, book = ReferencePath("BTC-USD", INDEX, "busy", seed), bitcoin("busy", seed), NaiveBook()
    lines = []
    for n in range(steps):
        for order in crowd.step(n, book.view(path, n)):
            book.apply(order)
            lines.append(f"{n} {order}")
        path.advance()
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_one_seed_is_one_history_in_every_process(hash_seed: str) -> None:
    """Neither the process nor PYTHONHASHSEED changes what the crowd does."""
    program = "from tests.paper.test_traders import history_digest; print(history_digest())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert other.returncode == 0, other.stderr
    assert other.stdout.strip() == history_digest()


def test_another_seed_market_or_preset_is_another_crowd() -> None:
    crowds = [
        bitcoin(),
        bitcoin(seed=2),
        bitcoin("busy"),
        Crowd("ETH-PERP", "normal", 1, tick=TICK, step=STEP, minimum=MINIMUM),
    ]
    assert len({tuple(crowd.step(0, CALM)) for crowd in crowds}) == len(crowds)


def test_the_presets_are_the_measured_ones() -> None:
    """A, k and market orders a minute of the recordings; every path preset has its crowd."""
    table = {
        name: (numbers.intensity_per_second, numbers.decay_per_bp, numbers.market_orders_per_minute)
        for name, numbers in CROWD_PRESETS.items()
    }
    assert table == {"quiet": (0.049, 2.29, 48), "normal": (0.082, 1.00, 59), "busy": (0.353, 0.85, 108)}
    assert CROWD_PRESETS.keys() == PATH_PRESETS.keys()
    assert all(0 < numbers.noise_share < 1 for numbers in CROWD_PRESETS.values())


@pytest.mark.parametrize("preset", CROWD_PRESETS)
def test_market_orders_a_minute_are_the_measured_ones(preset: str) -> None:
    """An hour of noise and touch takers: within 10 % of the table, and the two sides alike."""
    orders = hour_of_market_orders(preset)
    assert len(orders) / 60 == pytest.approx(CROWD_PRESETS[preset].market_orders_per_minute, rel=0.10)
    buys = sum(order.side == "buy" for _, order in orders)
    assert buys / len(orders) == pytest.approx(0.5, abs=0.03)
    assert {order.trader for _, order in orders} == {"noise", "touch"}


@pytest.mark.parametrize("preset", CROWD_PRESETS)
def test_arrivals_cluster(preset: str) -> None:
    """The time between market orders varies 2.5 times as much as its mean; a Poisson clock's would vary once."""
    steps = [n for n, _ in hour_of_market_orders(preset)]
    gaps = [later - now for now, later in pairwise(steps)]
    assert statistics.pstdev(gaps) / statistics.fmean(gaps) == pytest.approx(2.5, rel=0.12)


@pytest.mark.parametrize("preset", CROWD_PRESETS)
def test_a_quote_is_reached_at_the_measured_rate_of_its_distance(preset: str) -> None:
    """Log intensity against distance, regressed as for a model's calibration, gives back k and A."""
    numbers = CROWD_PRESETS[preset]
    reaches = [abs(float(order.price / INDEX - 1)) * 1e4 for _, order in hour_of_market_orders(preset)]
    distances = [0.3 + share * 1.7 / numbers.decay_per_bp for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]  # past the touch
    intensities = [sum(reach >= distance for reach in reaches) / 2 / 3600 for distance in distances]  # per side
    slope, intercept = statistics.linear_regression(distances, [math.log(value) for value in intensities])
    assert -slope == pytest.approx(numbers.decay_per_bp, rel=0.12)
    assert math.exp(intercept) == pytest.approx(numbers.intensity_per_second, rel=0.2)


@pytest.mark.parametrize("preset", CROWD_PRESETS)
def test_touch_takers_reach_nothing_but_the_touch(preset: str) -> None:
    """Most market orders take only what rests within a fraction of a basis point of mid."""
    touch = [order for _, order in hour_of_market_orders(preset) if order.trader == "touch"]
    reaches = [abs(float(order.price / INDEX - 1)) * 1e4 for order in touch]
    assert len(touch) > len(hour_of_market_orders(preset)) / 2
    assert statistics.fmean(reaches) == pytest.approx(0.05, rel=0.1)
    assert max(reaches) < 1.0


def test_order_sizes_are_log_normal_and_limited() -> None:
    """Median and spread of the log sizes are the measured ones, and no order exceeds the limit."""
    orders = [order for preset in CROWD_PRESETS for _, order in hour_of_market_orders(preset)]
    notionals = [float(order.quantity * order.price) for order in orders]
    logs = sorted(math.log(notional) for notional in notionals)
    assert statistics.median(logs) == pytest.approx(5.64, abs=0.1)
    assert statistics.pstdev(logs) == pytest.approx(1.84, rel=0.05)
    assert 0.9 * TAKE_NOTIONAL_MAX < max(notionals) <= TAKE_NOTIONAL_MAX * 1.0001


def test_informed_takers_rest_while_nothing_is_wrong() -> None:
    """A book that will still be right after the reference's next move is left alone by them."""
    crowd = bitcoin(informed_per_second=1e6)
    cost = INDEX * Decimal("0.5") / 10_000
    ahead = INDEX + 1 + cost  # the ask at INDEX + 1 will be a bargain by less than the cost of taking it
    just_right = attrs.evolve(CALM, reference_ahead=ahead)
    one_sided = CrowdView(None, None, INDEX, INDEX, INDEX * 2)
    for n in range(100):
        orders = crowd.step(n, just_right if n % 2 else one_sided)
        assert all(order.trader != "informed" for order in orders)


@pytest.mark.parametrize(("move", "side", "limit"), [("12", "buy", "60008.5"), ("-12", "sell", "59991")])
def test_informed_takers_take_up_to_the_last_good_price(move: str, side: str, limit: str) -> None:
    """With the reference about to move by 2 bp they take that side at once, to the future index less 0.5 bp of cost."""
    crowd = bitcoin(informed_per_second=1e6)
    orders = crowd.step(0, attrs.evolve(CALM, reference_ahead=INDEX + Decimal(move)))
    informed = [order for order in orders if order.trader == "informed"]
    assert orders[0] in informed  # faster than everybody else
    # 60,012 less 3.0006, and 59,988 plus 2.9994, rounded to the tick that is still worth it.
    assert [(order.kind, order.side, order.price) for order in informed] == [("take", side, Decimal(limit))]


def test_informed_takers_see_the_index_through_the_basis() -> None:
    """The reference stands 1 % above the index and does not move: nothing is wrong, and nothing is taken."""
    crowd = bitcoin(informed_per_second=1e6)
    view = attrs.evolve(CALM, reference=INDEX * Decimal("1.01"), reference_ahead=INDEX * Decimal("1.01"))
    assert all(order.trader != "informed" for n in range(20) for order in crowd.step(n, view))


@pytest.mark.parametrize("preset", CROWD_PRESETS)
def test_the_informed_come_at_the_preset_rate(preset: str) -> None:
    """While a wrong quote rests, they hit it as often as the preset says; an override of 0 means never."""
    wrong = attrs.evolve(CALM, reference_ahead=INDEX * Decimal("1.001"))
    steps = 6_000
    crowd, without = bitcoin(preset), bitcoin(preset, informed_per_second=0)
    hits = sum(order.trader == "informed" for n in range(steps) for order in crowd.step(n, wrong))
    expected = steps * (1 - math.exp(-CROWD_PRESETS[preset].informed_per_second * STEP_SECONDS))
    assert hits == pytest.approx(expected, rel=0.2)
    assert not any(order.trader == "informed" for n in range(1_000) for order in without.step(n, wrong))


def test_informed_flow_is_adverse_and_noise_is_not() -> None:
    """Against quotes 2 bp from the index, informed takers gain within two seconds and noise takers lose."""
    path = ReferencePath("BTC-USD", INDEX, "busy", 1)
    crowd = bitcoin("busy", 1)
    half = Decimal(2) / 10_000
    entries: list[tuple[int, str, int, Decimal]] = []  # step, trader, sign of the taker, price
    gains: dict[tuple[str, int], list[float]] = {}
    for n in range(45 * STEPS_PER_MINUTE):
        index = path.index(n)
        for later in (STEPS_PER_SECOND, LOOKAHEAD_STEPS):
            for at, trader, sign, price in entries:
                if at + later == n:
                    gains.setdefault((trader, later), []).append(sign * float(index / price - 1) * 1e4)
        entries = [entry for entry in entries if entry[0] + LOOKAHEAD_STEPS > n]
        bid, ask = index * (1 - half), index * (1 + half)
        for order in crowd.step(n, CrowdView(bid, ask, index, path.price(n), path.price(n + LOOKAHEAD_STEPS))):
            if order.kind == "take" and order.side == "buy" and order.price >= ask:
                entries.append((n, order.trader, 1, ask))
            elif order.kind == "take" and order.side == "sell" and order.price <= bid:
                entries.append((n, order.trader, -1, bid))
        path.advance()
    informed, noise = gains["informed", LOOKAHEAD_STEPS], gains["noise", LOOKAHEAD_STEPS]
    assert len(informed) > 30 < len(noise)
    assert statistics.fmean(informed) > 0.5  # bp: their cost, at the end of what they saw
    # At one second half of the move is still to come: they are already better off than noise by a basis point.
    assert statistics.fmean(gains["informed", STEPS_PER_SECOND]) > statistics.fmean(noise) + 1
    assert statistics.fmean(noise) == pytest.approx(-2.0, abs=0.4)  # they pay the half-spread, and know nothing


@pytest.mark.parametrize("preset", CROWD_PRESETS)
def test_the_background_book_is_thin_two_sided_and_follows(preset: str) -> None:
    """Without us, and trading with itself, a market keeps two sides, a mid near the index, and few orders a second."""
    path, crowd, book = ReferencePath("BTC-USD", INDEX, preset, 3), bitcoin(preset, 3), NaiveBook()
    minutes, kinds = 8, Counter[str]()
    deviations, depths = [], []
    for n in range(minutes * STEPS_PER_MINUTE):
        view = book.view(path, n)
        if n > 0:
            assert view.best_bid is not None
            assert view.best_ask is not None
            assert view.best_bid < view.best_ask
            deviations.append(abs(float(view.mid() / view.index - 1)) * 1e4)
            depths.append(len(book.quotes))
        for order in crowd.step(n, view):
            kinds[order.kind] += 1
            book.apply(order)
        path.advance()
    assert statistics.fmean(deviations) < 1.5
    assert max(deviations) < 15
    assert max(depths) <= 2 * LEVELS
    assert statistics.fmean(depths) > 2 * LEVELS - 1
    assert 0.5 < (kinds["quote"] - 2 * LEVELS) / minutes / 60 < 3


def test_the_first_step_puts_a_whole_ladder_around_the_index() -> None:
    """Eight quotes a side between 5 and 40 bp, less the jitter, growing outwards, and none of them crosses."""
    empty = CrowdView(None, None, INDEX, INDEX, INDEX)
    quotes = [order for order in bitcoin().step(0, empty) if order.kind == "quote"]
    for side, sign in (("buy", -1), ("sell", 1)):
        own = [quote for quote in quotes if quote.side == side]
        distances = [sign * float(quote.price / INDEX - 1) * 1e4 for quote in own]
        assert len(own) == LEVELS
        assert 0.9 * NEAREST_BPS <= min(distances) <= 1.12 * NEAREST_BPS
        assert 0.89 * FARTHEST_BPS <= max(distances) <= 1.12 * FARTHEST_BPS
        assert all(999 < quote.quantity * quote.price < 18_100 for quote in own)


def test_background_quotes_catch_up_with_a_jump() -> None:
    """The index jumps by 50 bp: for a moment nobody follows, three seconds later nearly every quote has."""
    crowd, book = bitcoin(informed_per_second=0), NaiveBook()
    jumped = INDEX * Decimal("1.005")
    near: list[int] = []
    for n in range(200):
        index = INDEX if n < 100 else jumped
        for order in crowd.step(n, CrowdView(book.best("buy"), book.best("sell"), index, index, index)):
            book.apply(order)
        near.append(sum(abs(quote.price / jumped - 1) < Decimal("0.0045") for quote in book.quotes.values()))
    assert near[101] <= LEVELS + 1  # 5 to 40 bp above the old index is 10 to 45 bp below the new one
    mid = (Decimal(book.best("buy") or 0) + Decimal(book.best("sell") or 0)) / 2
    assert abs(mid / jumped - 1) < Decimal("0.0003")
    assert near[160] >= 2 * LEVELS - 2


def test_a_filled_background_quote_comes_back_and_its_cancel_is_harmless() -> None:
    """All bids are swept: a best bid is back within seconds and the rest within a minute, each under a new tag."""
    crowd, book = bitcoin(), NaiveBook()
    swept: set[str] = set()
    for n in range(100 + STEPS_PER_MINUTE):
        if n == 160:
            assert (book.best("buy") or 0) > INDEX * Decimal("0.999")
        if n == 100:
            swept = {tag for tag, quote in book.quotes.items() if quote.side == "buy"}
            assert len(swept) == LEVELS
            for tag in swept:
                del book.quotes[tag]
        for order in crowd.step(n, CrowdView(book.best("buy"), book.best("sell"), INDEX, INDEX, INDEX)):
            book.apply(order)
    bids = {tag for tag, quote in book.quotes.items() if quote.side == "buy"}
    assert len(bids) == LEVELS
    assert not bids & swept


@settings(max_examples=40, deadline=None)
@given(
    tick=st.sampled_from(["0.5", "0.05", "0.01", "1", "2.5", "0.0001"]),
    step=st.sampled_from(["0.0001", "0.001", "0.1", "1"]),
    minimum_steps=st.integers(1, 50),
    price=st.decimals(Decimal("0.5"), Decimal(200_000), places=2),
    seed=st.integers(0, 2**32),
    moves=st.lists(st.integers(-30, 30), min_size=5, max_size=60),
)
def test_every_order_is_on_the_market_s_grid(
    tick: str, step: str, minimum_steps: int, price: Decimal, seed: int, moves: list[int]
) -> None:
    """Whatever the grid and the path: positive prices on tick, quantities on step and at least the minimum."""
    grid_tick, grid_step = Decimal(tick), Decimal(step)
    crowd = Crowd("X", "busy", seed, tick=grid_tick, step=grid_step, minimum=minimum_steps * grid_step)
    book = NaiveBook()
    for n, move in enumerate(moves):
        index = price * (1 + Decimal(move) / 10_000)
        ahead = price * (1 + Decimal(moves[min(n + 1, len(moves) - 1)]) / 10_000)
        for order in crowd.step(n, CrowdView(book.best("buy"), book.best("sell"), index, index, ahead)):
            assert order.price > 0
            assert order.price % grid_tick == 0
            assert order.quantity % grid_step == 0
            assert order.quantity >= minimum_steps * grid_step
            book.apply(order)


def test_tags_are_new_and_cancels_name_their_quote() -> None:
    """No tag is given twice; a cancel repeats its quote, which was not cancelled before."""
    crowd, open_quotes, seen = bitcoin("busy"), dict[str, CrowdOrder](), set[str]()
    for n in range(4_000):
        for order in crowd.step(n, CALM):
            if order.kind == "cancel":
                assert attrs.evolve(order, kind="quote") == open_quotes.pop(order.tag)
                continue
            assert order.tag not in seen
            assert order.tag.isascii()
            assert len(order.tag) <= 20
            seen.add(order.tag)
            if order.kind == "quote":
                open_quotes[order.tag] = order
    assert len(open_quotes) == 2 * LEVELS


@pytest.mark.parametrize("steps", [0, 1, 777])
def test_a_restored_crowd_has_the_same_future(steps: int) -> None:
    """A snapshot that went through JSON continues with the very same orders."""
    path, crowd, book = ReferencePath("BTC-USD", INDEX, "busy", 2), bitcoin("busy", 2), NaiveBook()
    for n in range(steps):
        for order in crowd.step(n, book.view(path, n)):
            book.apply(order)
        path.advance()
    twin = Crowd.restore(json.loads(json.dumps(crowd.snapshot())))
    for n in range(steps, steps + 1_000):
        view = book.view(path, n)
        orders = crowd.step(n, view)
        assert twin.step(n, view) == orders
        for order in orders:
            book.apply(order)
        path.advance()
    assert twin.snapshot() == crowd.snapshot()


def test_an_override_of_the_informed_survives_a_snapshot() -> None:
    wrong = attrs.evolve(CALM, reference_ahead=INDEX * Decimal("1.001"))
    crowd = Crowd.restore(bitcoin(informed_per_second=0).snapshot())
    assert not any(order.trader == "informed" for n in range(1_000) for order in crowd.step(n, wrong))


def test_a_damaged_snapshot_is_refused() -> None:
    """Each field that is missing or of another kind is a ValueError, nothing else."""
    crowd = bitcoin()
    crowd.step(0, CALM)
    good = json.loads(json.dumps(crowd.snapshot()))
    Crowd.restore(good)
    for name in good:
        if name != "market_id":  # any text is a market's name
            with pytest.raises(ValueError):
                Crowd.restore({**good, name: "x"})
        for wrong in (None, {"x": 1}):
            if name == "seen_index" and wrong is None:
                continue  # a crowd before its first step
            with pytest.raises(ValueError):
                Crowd.restore({**good, name: wrong})
    for quotes in (good["quotes"][1:], [*good["quotes"][1:], "x"], [*good["quotes"][1:], ["1", "y", "b1"]]):
        with pytest.raises(ValueError, match="snapshot"):
            Crowd.restore({**good, "quotes": quotes})


def test_steps_come_one_by_one() -> None:
    """A step left out or repeated would be another history: refused, and the crowd goes on with the right one."""
    crowd = bitcoin()
    with pytest.raises(ValueError, match="step 1 of BTC-PERP after step -1"):
        crowd.step(1, CALM)
    crowd.step(0, CALM)
    with pytest.raises(ValueError, match="step 0 of BTC-PERP after step 0"):
        crowd.step(0, CALM)
    assert isinstance(crowd.step(1, CALM), list)


def test_memory_does_not_grow() -> None:
    """4,000 steps leave nothing behind."""
    crowd = bitcoin("busy")
    for n in range(200):
        crowd.step(n, CALM)
    size = len(json.dumps(crowd.snapshot()))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(200, 4_200):
        crowd.step(n, CALM)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000  # bytes: sixteen quotes, replaced
    assert abs(len(json.dumps(crowd.snapshot())) - size) < 200


@pytest.mark.parametrize(
    ("tick", "step", "minimum"),
    [("0", "1", "1"), ("1", "-1", "1"), ("1", "1", "NaN"), ("1", "0.2", "0.3"), ("Infinity", "1", "1")],
)
def test_a_bad_grid_is_refused(tick: str, step: str, minimum: str) -> None:
    with pytest.raises(ValueError, match="X: tick"):
        Crowd("X", "normal", 1, tick=Decimal(tick), step=Decimal(step), minimum=Decimal(minimum))


def test_an_unknown_preset_or_a_negative_intensity_is_named() -> None:
    with pytest.raises(ValueError, match="'wild': one of quiet, normal, busy"):
        bitcoin("wild")
    for intensity in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="informed_per_second must be 0 or more"):
            bitcoin(informed_per_second=intensity)
