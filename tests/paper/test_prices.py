"""The reference path: one seed one history, calibrated, jumping, clustered, exact to restore."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tracemalloc
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.paper.prices import (
    BASIS_BPS_MAX,
    HISTORY_STEPS,
    JUMP_BPS_MAX,
    LOOKAHEAD_STEPS,
    PATH_PRESETS,
    SIZE_HOLD_STEPS,
    STEPS_PER_MINUTE,
    STEPS_PER_SECOND,
    ReferencePath,
    seeded,
)

ROOT = Path(__file__).resolve().parents[2]
HOURS = 10
MEASURED_VOLATILITY_BPS = {"quiet": 0.8, "normal": 1.5, "busy": 5.3}


def bitcoin(preset: str = "normal", seed: int = 1) -> ReferencePath:
    return ReferencePath("BTC-USD", Decimal(60_000), preset, seed)


def history_digest(seed: int = 7, steps: int = 400) -> str:
    """Return a fingerprint of everything a path shows over its first steps."""
    path = bitcoin("busy", seed)
    seen = []
    for _ in range(steps):
        path.advance()
        seen.append(f"{path.price(path.step)} {path.index(path.step)} {path.quote(path.step)}")
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


@cache
def minute_moves_bps(preset: str) -> list[float]:
    path = bitcoin(preset)
    moves, last = [], path.price(0)
    for _ in range(HOURS * 60):
        for _ in range(STEPS_PER_MINUTE):
            path.advance()
        price = path.price(path.step)
        moves.append(float(price / last - 1) * 1e4)
        last = price
    return moves


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_one_seed_is_one_history_in_every_process(hash_seed: str) -> None:
    """Neither the process nor PYTHONHASHSEED changes a path."""
    program = "from tests.paper.test_prices import history_digest; print(history_digest())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert other.returncode == 0, other.stderr
    assert other.stdout.strip() == history_digest()


def test_another_seed_symbol_or_preset_is_another_history() -> None:
    paths = [
        bitcoin(),
        bitcoin(seed=2),
        bitcoin("busy"),
        ReferencePath("ETH-USD", Decimal(60_000), "normal", 1),
    ]
    futures = {tuple(path.price(step) for step in range(LOOKAHEAD_STEPS)) for path in paths}
    assert len(futures) == len(paths)


@pytest.mark.parametrize("preset", PATH_PRESETS)
def test_one_minute_volatility_is_the_measured_one(preset: str) -> None:
    """Ten simulated hours come within 15 % of the preset's standard deviation of one-minute returns."""
    assert PATH_PRESETS[preset].volatility_bps == MEASURED_VOLATILITY_BPS[preset]
    assert statistics.pstdev(minute_moves_bps(preset)) == pytest.approx(MEASURED_VOLATILITY_BPS[preset], rel=0.15)


def test_volatility_does_not_depend_on_the_price() -> None:
    """A market a million times cheaper moves by the same basis points, to the digit: the grid follows the price."""
    dear, cheap = bitcoin(), ReferencePath("BTC-USD", Decimal("0.06"), "normal", 1)
    for _ in range(2 * STEPS_PER_MINUTE):
        dear.advance()
        cheap.advance()
        assert dear.price(dear.step) == cheap.price(cheap.step) * 1_000_000


def test_large_minutes_come_too_often_for_a_normal_law() -> None:
    """Ten hours hold a minute beyond four standard deviations, which a plain random walk shows once in 260 hours."""
    for preset in PATH_PRESETS:
        moves = minute_moves_bps(preset)
        assert max(abs(move) for move in moves) > 4 * statistics.pstdev(moves)


def test_volatility_clusters() -> None:
    """How restless one minute is tells how restless the next will be, which in a plain random walk it does not."""
    path = bitcoin(seed=2)
    restless, last = [], path.price(0)
    for _ in range(4 * 60):
        total = 0.0
        for _ in range(60):
            for _ in range(STEPS_PER_SECOND):
                path.advance()
            price = path.price(path.step)
            total += abs(float(price / last - 1))
            last = price
        restless.append(total)
    shuffled = restless.copy()
    seeded("shuffle", 1).shuffle(shuffled)
    assert statistics.correlation(restless[:-1], restless[1:]) > 0.6
    assert statistics.correlation(restless[:-3], restless[3:]) > 0.2
    assert abs(statistics.correlation(shuffled[:-1], shuffled[1:])) < 0.15
    assert max(restless) > 2.5 * min(restless)


def test_jumps_happen_at_their_rate_and_are_limited() -> None:
    """Single steps of at least 0.7 minute standard deviations come about six times a busy hour, in both directions."""
    path = bitcoin("busy", seed=3)
    jumps, last = [], path.price(0)
    for _ in range(HOURS * 60 * STEPS_PER_MINUTE):
        path.advance()
        price = path.price(path.step)
        move = float(price / last - 1) * 1e4
        last = price
        if abs(move) > 3.0:  # 12 standard deviations of a step in the worst regime, and less than the smallest jump
            jumps.append(move)
    assert 40 <= len(jumps) <= 80
    assert min(jumps) < -4 < 4 < max(jumps)
    assert max(abs(jump) for jump in jumps) <= JUMP_BPS_MAX + 2


def test_what_was_seen_ahead_is_what_comes() -> None:
    """A price seen LOOKAHEAD_STEPS before its time, and HISTORY_STEPS after it, is the same price."""
    path = bitcoin()
    ahead: list[Decimal] = []
    for _ in range(3 * (LOOKAHEAD_STEPS + HISTORY_STEPS)):
        ahead.append(path.price(path.step + LOOKAHEAD_STEPS))
        seen_then = path.step - LOOKAHEAD_STEPS
        if seen_then >= 0:
            assert path.price(path.step) == ahead[seen_then]
        late = path.step - HISTORY_STEPS - LOOKAHEAD_STEPS
        if late >= 0:
            assert path.price(path.step - HISTORY_STEPS) == ahead[late]
        path.advance()


def test_nothing_outside_the_window_is_answered() -> None:
    path = bitcoin()
    with pytest.raises(IndexError, match="step -1"):
        path.price(-1)
    for _ in range(HISTORY_STEPS + 1):
        path.advance()
    for step in (0, path.step + LOOKAHEAD_STEPS + 1):
        with pytest.raises(IndexError, match=f"step {step} "):
            path.price(step)
        with pytest.raises(IndexError):
            path.index(step)
        with pytest.raises(IndexError):
            path.quote(step)
    assert path.price(1) > 0


def test_asking_changes_nothing() -> None:
    """Two paths of one seed stay together, however often one of them is asked."""
    asked, left_alone = bitcoin(), bitcoin()
    for _ in range(200):
        for step in range(asked.step, asked.step + LOOKAHEAD_STEPS, 7):
            asked.quote(step)
            asked.index(step)
        asked.advance()
        left_alone.advance()
    assert asked.snapshot() == left_alone.snapshot()


@settings(max_examples=40, deadline=None)
@given(
    start=st.decimals(Decimal("0.001"), Decimal(500_000), places=3),
    seed=st.integers(0, 2**32),
    steps=st.integers(0, 100),
)
def test_the_reference_quote_is_narrow_two_sided_and_on_its_tick(start: Decimal, seed: int, steps: int) -> None:
    """Best bid and ask lie around the price, at least 0.2 and at most 1 bp apart, with sizes, at every price level."""
    path = ReferencePath("X-USD", start, "busy", seed)
    tick = Decimal(1).scaleb(start.adjusted() - 5)
    for _ in range(steps):
        path.advance()
    quote, price = path.quote(path.step), path.price(path.step)
    assert quote.bid < price < quote.ask
    # A price may have slipped below the power of ten it started from: there a tick is a whole 0.1 bp and a little more.
    assert Decimal("0.2") <= (quote.ask - quote.bid) / price * 10_000 <= Decimal("1.0")
    assert quote.bid % tick == 0 == quote.ask % tick
    assert quote.bid_size > 0 < quote.ask_size


def test_reference_sizes_are_held_for_a_while_then_change() -> None:
    path = bitcoin()
    sizes = [path.quote(step).bid_size * path.price(step) for step in range(3 * SIZE_HOLD_STEPS)]
    blocks = [sizes[start : start + SIZE_HOLD_STEPS] for start in range(0, len(sizes), SIZE_HOLD_STEPS)]
    for block in blocks:
        assert max(block) - min(block) < 60  # USD: nothing but the price and the size's rounding moves within a block
    assert len({round(block[0], -3) for block in blocks}) == len(blocks)
    assert all(19_000 < size < 401_000 for size in sizes)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_index_keeps_a_slow_limited_basis(seed: int) -> None:
    """Index over reference stays within its clamp, wanders by about a basis point, and hardly moves in a second."""
    path = bitcoin(seed=seed)
    basis = []
    for _ in range(2 * 3600):
        for _ in range(STEPS_PER_SECOND):
            path.advance()
        basis.append(float(path.index(path.step) / path.price(path.step) - 1) * 1e4)
    assert max(abs(value) for value in basis) <= BASIS_BPS_MAX + 0.01
    assert 0.3 < statistics.pstdev(basis) < 2.0
    assert statistics.pstdev(later - now for now, later in itertools.pairwise(basis)) < 0.1


def test_the_basis_returns_to_a_mean_of_its_own() -> None:
    """Over seeds the mean basis differs and takes both signs, within ± 2 bp of drawing."""
    means = [bitcoin(seed=seed).snapshot()["basis_mean_bps"] for seed in range(20)]
    assert all(isinstance(mean, float) and -2 <= mean <= 2 for mean in means)
    assert min(map(str, means)).startswith("-")
    assert len(set(means)) == len(means)


@pytest.mark.parametrize("steps", [0, 1, 57, 5_000])
def test_a_restored_path_has_the_same_past_and_future(steps: int) -> None:
    """A snapshot that went through JSON continues exactly, window and random state included."""
    path = bitcoin("busy")
    for _ in range(steps):
        path.advance()
    twin = ReferencePath.restore(json.loads(json.dumps(path.snapshot())))
    for step in range(max(0, steps - HISTORY_STEPS), steps + LOOKAHEAD_STEPS + 1):
        assert twin.price(step) == path.price(step)
        assert twin.index(step) == path.index(step)
    for _ in range(3_000):
        path.advance()
        twin.advance()
    assert twin.snapshot() == path.snapshot()


def test_a_damaged_snapshot_is_refused() -> None:
    """Each field that is missing or of another kind is a ValueError, nothing else."""
    good = json.loads(json.dumps(bitcoin().snapshot()))
    ReferencePath.restore(good)
    for name in good:
        for wrong in (None, [], "x", -1, [["x"]]):
            if type(wrong) is type(good[name]) and name in {"symbol", "seed", "regime_steps_left", "jump_steps_left"}:
                continue  # another value of the right kind: another path, not a damaged one
            with pytest.raises(ValueError):
                ReferencePath.restore({**good, name: wrong})
    for points in (good["points"][1:], [*good["points"][:-1], [1, 1, 3]], [*good["points"][:-1], [1, 1]]):
        with pytest.raises(ValueError, match="snapshot"):
            ReferencePath.restore({**good, "points": points})
    for state in (["", None], ["!", None], [good["random"][0], "x"], [good["random"][0]]):
        with pytest.raises(ValueError):
            ReferencePath.restore({**good, "random": state})


def test_memory_does_not_grow() -> None:
    """After the window is full, 10,000 steps leave nothing behind."""
    path = bitcoin()
    for _ in range(200):
        path.advance()
    size = len(json.dumps(path.snapshot()))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(10_000):
        path.advance()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 40_000  # bytes: the window itself, whose points were replaced, and nothing that adds up
    assert abs(len(json.dumps(path.snapshot())) - size) < 200


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_a_start_price_must_be_positive(price: str) -> None:
    with pytest.raises(ValueError, match="BTC-USD must be positive"):
        ReferencePath("BTC-USD", Decimal(price), "normal", 1)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="'wild': one of quiet, normal, busy"):
        bitcoin("wild")
