"""The reference path: what the rest of the world pays, one seed one history.

A random walk whose volatility clusters: three regimes (calm, active, storm) last minutes and differ in volatility,
and jumps arrive as a Poisson process, so that a quoter meets quiet stretches, busy ones, and moves that no quote could
have been pulled in front of. The path is made LOOKAHEAD_STEPS before it is shown, because part of the other traders is
informed: they act on the reference's next move.

The exchange's index is the reference times a slowly mean-reverting basis (another underlying, another clearing house),
so that quoting the reference alone is seen to be wrong by a few basis points.

Random draws are floats; the path itself is a whole number of grid units, so that prices are exact and a snapshot
restores them exactly.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import random
import struct
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Final, TypeVar

import attrs

PREHISTORY_MINUTES: Final = 60
STEP_MS: Final = 50  # one step of the practice exchange, ms: the fastest cadence of a book stream
STEPS_PER_SECOND: Final = 1000 // STEP_MS
STEPS_PER_MINUTE: Final = 60 * STEPS_PER_SECOND
LOOKAHEAD_STEPS: Final = 40  # 2 s: how far informed traders may see
HISTORY_STEPS: Final = 40  # 2 s: how late a delayed reference feed may be
WINDOW_STEPS: Final = LOOKAHEAD_STEPS + 1 + HISTORY_STEPS  # all that is ever kept
SNAPSHOT_VERSION: Final = 1

GRID_DIGITS: Final = 7  # a price has eight significant digits: one step of the calmest path is then some 50 grid units
TICK_DIGITS: Final = 5  # the reference venue's own tick: 0.1 at 60,000, 0.01 at 3,000, never more than 0.1 bp
JUMP_BPS_MAX: Final = 69.0  # the largest move in 60 s on the recordings; no single jump exceeds it
JUMP_SIGMAS_MIN: Final = 0.7  # in one-minute standard deviations: a smaller one is no jump
JUMP_SIGMAS_SCALE: Final = 0.7  # mean of the exponential part above the minimum
BASIS_UPDATE_STEPS: Final = STEPS_PER_SECOND  # once a second: it is slow, more draws would buy nothing
BASIS_HALF_LIFE_SECONDS: Final = 600.0
BASIS_SPREAD_BPS: Final = 1.0  # stationary standard deviation around its mean
BASIS_MEAN_BPS_MAX: Final = 2.0  # the mean is drawn from the seed within ± this
BASIS_BPS_MAX: Final = 6.0  # clamp
SIZE_HOLD_STEPS: Final = 10  # the reference's best sizes are redrawn twice a second
SIZE_NOTIONAL_MIN: Final = 20_000.0  # quote currency at the reference's best price, log-uniform between these two
SIZE_NOTIONAL_MAX: Final = 400_000.0

NO_SHIFT: Final = Decimal(0)

_BPS: Final = 1e-4
_RANDOM_WORDS: Final = struct.Struct("<625I")  # the Mersenne Twister's state as `random.Random.getstate` gives it


Value = TypeVar("Value")


@attrs.frozen
class Regime:
    """Hold one state of the volatility: how strong, how long, what follows, and the reference's spread in it."""

    volatility_multiple: float  # before normalisation over all regimes
    dwell_seconds_mean: float
    next_weights: tuple[float, ...]  # probability of each regime after this one
    spread_bps: float  # between the reference's best bid and ask, before rounding outwards to its tick


# Time shares: 57 %, 38 %, 5 %. In the "normal" preset that makes 0.7, 1.8 and 4.1 bp a minute, close to what the same
# recordings show for their quiet half and their busiest tenth.
REGIMES: Final = (
    Regime(volatility_multiple=0.5, dwell_seconds_mean=360.0, next_weights=(0.0, 1.0, 0.0), spread_bps=0.2),
    Regime(volatility_multiple=1.3, dwell_seconds_mean=180.0, next_weights=(0.75, 0.0, 0.25), spread_bps=0.4),
    Regime(volatility_multiple=3.0, dwell_seconds_mean=90.0, next_weights=(0.0, 1.0, 0.0), spread_bps=0.7),
)


@attrs.frozen
class PathPreset:
    """Hold how restless a path is."""

    volatility_bps: float  # standard deviation of one-minute log returns, jumps included, basis points
    jumps_per_hour: float


# Volatility as measured on recordings of a mid-size BTC perp venue, 57 h: its quiet half, all of it, its busiest tenth.
# The jump rates are our own choice: they make 8, 12 and 25 % of the variance.
PATH_PRESETS: Final[Mapping[str, PathPreset]] = {
    "quiet": PathPreset(volatility_bps=0.8, jumps_per_hour=2.0),
    "normal": PathPreset(volatility_bps=1.5, jumps_per_hour=3.0),
    "busy": PathPreset(volatility_bps=5.3, jumps_per_hour=6.0),
}


@attrs.frozen
class ReferenceQuote:
    """Hold the reference venue's best bid and ask: prices in quote currency, sizes in base."""

    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal


@attrs.frozen
class _Point:
    price_units: int
    index_units: int
    regime: int


def seeded(name: str, seed: int) -> random.Random:
    """Return a generator that depends on `name` and `seed` alone, in every process and under every PYTHONHASHSEED."""
    return random.Random(int.from_bytes(hashlib.blake2b(f"{name}:{seed}".encode(), digest_size=16).digest()))


def pack_random(generator: random.Random) -> list[str | float | None]:
    """Return a generator's state as a short JSON-able list: 3.4 kB, where the bare list of words takes 6.9 kB."""
    _, words, gauss_next = generator.getstate()
    return [base64.b64encode(_RANDOM_WORDS.pack(*words)).decode(), gauss_next]


def unpack_random(state: object) -> random.Random:
    """Return the generator that `pack_random` packed; raise ValueError for anything else."""
    match state:
        case [str() as words, (float() | None) as gauss_next]:
            generator = random.Random()
            try:
                generator.setstate((3, _RANDOM_WORDS.unpack(base64.b64decode(words, validate=True)), gauss_next))
            except struct.error as error:
                raise ValueError(f"a generator's state has the wrong length: {error}") from error
            return generator
        case _:
            raise ValueError("snapshot: 'random' is not the state of a generator")


def read_field(state: Mapping[str, object], name: str, kind: type[Value]) -> Value:
    """Return one field of a snapshot; raise ValueError if it is absent or of another kind."""
    value = state.get(name)
    if not isinstance(value, kind):
        sentence = f"snapshot: {name!r} must be {kind.__name__}, not {type(value).__name__}"
        raise ValueError(sentence)  # noqa: TRY004 - a bad snapshot is a bad value, whatever is wrong inside it
    return value


def prehistory(spec_symbol: str, start_price: Decimal, preset: str, seed: int) -> list[Decimal]:
    """Return closing prices of the minutes before a path starts, oldest first, as restless as its preset says.

    Drawn backwards from the start price by a generator of its own: the path itself is the same without it.
    """
    generator = seeded(f"prehistory:{spec_symbol}:{preset}", seed)
    sigma, grid = PATH_PRESETS[preset].volatility_bps * _BPS, Decimal(1).scaleb(start_price.adjusted() - TICK_DIGITS)
    closes, price = [start_price], float(start_price)
    while len(closes) < PREHISTORY_MINUTES:
        price *= math.exp(generator.gauss(0.0, sigma))
        closes.append(round(Decimal(price) / grid) * grid)
    return closes[::-1]


@functools.cache
def time_shares() -> tuple[float, ...]:
    """Return the share of time spent in each regime."""
    visits = [1.0 / len(REGIMES)] * len(REGIMES)
    for _ in range(200):  # only halfway each time: the chain alternates, and would never settle otherwise
        stepped = [
            sum(visits[j] * REGIMES[j].next_weights[i] for j in range(len(REGIMES))) for i in range(len(REGIMES))
        ]
        visits = [(old + new) / 2 for old, new in zip(visits, stepped, strict=True)]
    seconds = [visit * regime.dwell_seconds_mean for visit, regime in zip(visits, REGIMES, strict=True)]
    return tuple(part / sum(seconds) for part in seconds)


def step_sigmas(preset: PathPreset) -> tuple[float, ...]:
    """Return the standard deviation of one step's diffusion in each regime, as a fraction of the price.

    Jumps come on top of it: with them a minute has the preset's volatility.
    """
    # Second moment of a jump in minute sigmas: E(m + X)² with X exponential of mean b is m² + 2mb + 2b².
    jump_square = JUMP_SIGMAS_MIN**2 + 2 * JUMP_SIGMAS_MIN * JUMP_SIGMAS_SCALE + 2 * JUMP_SIGMAS_SCALE**2
    diffusion_share = 1.0 - preset.jumps_per_hour / 60.0 * jump_square
    assert 0.0 < diffusion_share < 1.0
    squares = [regime.volatility_multiple**2 for regime in REGIMES]
    mean_square = sum(share * square for share, square in zip(time_shares(), squares, strict=True))
    sigma = preset.volatility_bps * _BPS * math.sqrt(diffusion_share / STEPS_PER_MINUTE / mean_square)
    return tuple(sigma * regime.volatility_multiple for regime in REGIMES)


def draw_jump(preset: PathPreset, generator: random.Random) -> float:
    """Draw one jump, a signed fraction of the price."""
    sigma = preset.volatility_bps * _BPS
    size = sigma * (JUMP_SIGMAS_MIN + generator.expovariate(1.0 / JUMP_SIGMAS_SCALE))
    return generator.choice((-1.0, 1.0)) * min(size, JUMP_BPS_MAX * _BPS)


class ReferencePath:
    """Walk one symbol's reference price and its index, in steps of STEP_MS."""

    def __init__(self, symbol: str, start_price: Decimal, preset: str, seed: int) -> None:
        """Start at step 0; raise ValueError for an unknown preset or a price that is not positive."""
        if preset not in PATH_PRESETS:
            raise ValueError(f"unknown preset {preset!r}: one of {', '.join(PATH_PRESETS)}")
        if not (start_price.is_finite() and start_price > 0):
            raise ValueError(f"the start price of {symbol} must be positive, not {start_price}")
        self.symbol = symbol
        self.preset = preset
        self.seed = seed
        self.start_price = start_price
        self._configure()
        self._random = seeded(f"path:{symbol}:{preset}", seed)
        self._step = 0
        self._regime = self._random.choices(range(len(REGIMES)), time_shares())[0]
        self._regime_steps_left = self._draw_steps(REGIMES[self._regime].dwell_seconds_mean)
        self._jump_steps_left = self._draw_steps(self._jump_seconds_mean)
        self._basis_mean_bps = self._random.uniform(-BASIS_MEAN_BPS_MAX, BASIS_MEAN_BPS_MAX)
        self._basis_bps = self._basis_mean_bps
        self._units = round(start_price / self._grid)
        self._made = 0  # the last step that has a point
        self._points = [self._here()] * WINDOW_STEPS  # step s stands at s modulo WINDOW_STEPS
        while self._made < LOOKAHEAD_STEPS:
            self._make()

    def _configure(self) -> None:
        """Derive what follows from symbol, start price and preset, and is therefore in no snapshot."""
        preset = PATH_PRESETS[self.preset]
        magnitude = self.start_price.adjusted()
        self._grid = Decimal(1).scaleb(magnitude - GRID_DIGITS)
        self._tick = Decimal(1).scaleb(magnitude - TICK_DIGITS)
        self._size_step = Decimal(1).scaleb(-max(magnitude, 0))
        self._jump_seconds_mean = 3600.0 / preset.jumps_per_hour
        self._step_sigmas = step_sigmas(preset)
        seconds = BASIS_UPDATE_STEPS / STEPS_PER_SECOND
        self._basis_keep = 0.5 ** (seconds / BASIS_HALF_LIFE_SECONDS)
        self._basis_noise_bps = BASIS_SPREAD_BPS * math.sqrt(1.0 - self._basis_keep**2)

    @property
    def step(self) -> int:
        """Return the current step; the exchange's present."""
        return self._step

    def advance(self) -> None:
        """Move the present on by one step."""
        self._step += 1
        self._make()

    def jump(self, bps: float, *, basis_bps: float = 0.0) -> None:
        """Move everything from the present on by so much at once: news that no trader saw coming.

        `basis_bps` moves the index alone, until LOOKAHEAD_STEPS from now.
        """
        for step in range(self._step, self._made + 1):
            point = self._points[step % WINDOW_STEPS]
            price_units = max(1, point.price_units + round(point.price_units * bps * _BPS))
            index_units = max(1, point.index_units + round(point.index_units * (bps + basis_bps) * _BPS))
            self._points[step % WINDOW_STEPS] = _Point(price_units, index_units, point.regime)
        self._units = self._points[self._made % WINDOW_STEPS].price_units

    def price(self, step: int) -> Decimal:
        """Return the reference's mid; raise IndexError if `step` is below 0 or outside the window around the present.

        The window: HISTORY_STEPS back, LOOKAHEAD_STEPS ahead.
        """
        return self._point(step).price_units * self._grid

    def index(self, step: int) -> Decimal:
        """Return the exchange's index, reference times (1 + basis): same fine grid and same window as `price`."""
        return self._point(step).index_units * self._grid

    def quote(self, step: int, shift_bps: Decimal = NO_SHIFT) -> ReferenceQuote:
        """Return a reference venue's best bid and ask around `price(step)`: 0.2 to 1 bp wide, wider in a storm.

        `shift_bps` is how far above that the venue is.
        """
        point = self._point(step)
        mid = point.price_units * self._grid
        if shift_bps:
            mid += mid * shift_bps / 10_000
        half = mid * Decimal(str(REGIMES[point.regime].spread_bps)) / 20_000
        bid = ((mid - half) / self._tick).to_integral_value(ROUND_FLOOR) * self._tick
        ask = ((mid + half) / self._tick).to_integral_value(ROUND_CEILING) * self._tick
        # Hashed, not drawn: asking for a quote, or not asking, must not change the path.
        block = f"{self.symbol}:{self.seed}:{step // SIZE_HOLD_STEPS}".encode()
        digest = hashlib.blake2b(block, digest_size=8).digest()
        return ReferenceQuote(bid, self._size(digest[:4], mid), ask, self._size(digest[4:], mid))

    def snapshot(self) -> dict[str, object]:
        """Return the whole state as JSON-able values; `restore` continues with the same future."""
        points = [self._points[step % WINDOW_STEPS] for step in range(self._oldest(), self._made + 1)]
        return {
            "version": SNAPSHOT_VERSION,
            "symbol": self.symbol,
            "preset": self.preset,
            "seed": self.seed,
            "start_price": str(self.start_price),
            "step": self._step,
            "regime": self._regime,
            "regime_steps_left": self._regime_steps_left,
            "jump_steps_left": self._jump_steps_left,
            "basis_mean_bps": self._basis_mean_bps,
            "basis_bps": self._basis_bps,
            "points": [[point.price_units, point.index_units, point.regime] for point in points],
            "random": pack_random(self._random),
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> ReferencePath:
        """Return the path that `snapshot` described; raise ValueError if `state` is not such a snapshot."""
        if state.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"snapshot: version {state.get('version')!r} of a path is not {SNAPSHOT_VERSION}")
        try:
            start_price = Decimal(read_field(state, "start_price", str))
        except InvalidOperation as error:
            raise ValueError("snapshot: 'start_price' is not a number") from error
        symbol, preset = read_field(state, "symbol", str), read_field(state, "preset", str)
        path = cls(symbol, start_price, preset, read_field(state, "seed", int))
        path._step = read_field(state, "step", int)
        path._made = path._step + LOOKAHEAD_STEPS
        path._regime = read_field(state, "regime", int)
        path._regime_steps_left = read_field(state, "regime_steps_left", int)
        path._jump_steps_left = read_field(state, "jump_steps_left", int)
        path._basis_mean_bps = read_field(state, "basis_mean_bps", float)
        path._basis_bps = read_field(state, "basis_bps", float)
        path._random = unpack_random(state.get("random"))
        points = read_field(state, "points", list)
        if path._step < 0 or len(points) != path._made + 1 - path._oldest():
            raise ValueError(f"snapshot: {len(points)} points do not fit step {path._step}")
        for step, point in enumerate(points, path._oldest()):
            match point:
                case [int() as price_units, int() as index_units, int() as regime] if 0 <= regime < len(REGIMES):
                    path._points[step % WINDOW_STEPS] = _Point(price_units, index_units, regime)
                case _:
                    raise ValueError(f"snapshot: not a point of the path: {point!r}")
        newest = path._points[path._made % WINDOW_STEPS]
        path._units = newest.price_units
        if path._regime != newest.regime:
            raise ValueError("snapshot: 'regime' is not the newest point's")
        return path

    def _oldest(self) -> int:
        return max(0, self._step - HISTORY_STEPS)

    def _point(self, step: int) -> _Point:
        if not self._oldest() <= step <= self._step + LOOKAHEAD_STEPS:
            raise IndexError(f"step {step} is outside {self._oldest()}…{self._step + LOOKAHEAD_STEPS}")
        return self._points[step % WINDOW_STEPS]

    def _here(self) -> _Point:
        return _Point(self._units, self._units + round(self._units * self._basis_bps * _BPS), self._regime)

    def _make(self) -> None:
        """Make the next point: regime, diffusion, jump, basis: in another order a seed is another path."""
        self._made += 1
        self._regime_steps_left -= 1
        if self._regime_steps_left == 0:
            self._regime = self._random.choices(range(len(REGIMES)), REGIMES[self._regime].next_weights)[0]
            self._regime_steps_left = self._draw_steps(REGIMES[self._regime].dwell_seconds_mean)
        move = self._random.gauss(0.0, self._step_sigmas[self._regime])
        self._jump_steps_left -= 1
        if self._jump_steps_left == 0:
            move += draw_jump(PATH_PRESETS[self.preset], self._random)
            self._jump_steps_left = self._draw_steps(self._jump_seconds_mean)
        # At least one unit: after any number of years a price is still a price.
        self._units = max(1, self._units + round(self._units * move))
        if self._made % BASIS_UPDATE_STEPS == 0:
            distance = (self._basis_bps - self._basis_mean_bps) * self._basis_keep
            basis = self._basis_mean_bps + distance + self._random.gauss(0.0, self._basis_noise_bps)
            self._basis_bps = min(max(basis, -BASIS_BPS_MAX), BASIS_BPS_MAX)
        self._points[self._made % WINDOW_STEPS] = self._here()

    def _draw_steps(self, seconds_mean: float) -> int:
        """Draw an exponential waiting time, in whole steps, at least one."""
        return max(1, round(self._random.expovariate(1.0 / seconds_mean) * STEPS_PER_SECOND))

    def _size(self, digest: bytes, mid: Decimal) -> Decimal:
        share = int.from_bytes(digest) / 2 ** (8 * len(digest))
        notional = SIZE_NOTIONAL_MIN * (SIZE_NOTIONAL_MAX / SIZE_NOTIONAL_MIN) ** share
        return (Decimal(notional) / mid).quantize(self._size_step)
