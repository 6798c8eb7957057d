"""Guéant, Lehalle and Fernandez-Tapia 2013: optimal quotes under an inventory limit, exact and in closed form.

Math. Financ. Econ. 7:477-507 (arXiv 1105.3115), with quotes of size Delta as in Guéant 2017 (arXiv 1605.01862), whose
equations 4.6 and 4.7 are the closed form here (xi = gamma; Delta = 1 gives 2013). The market is that of Avellaneda and
Stoikov; inventory is q = n Delta with |n| <= Q, and at n = Q no bid is quoted, at n = -Q no ask. With

    C     = (1 + gamma Delta / k)^-(1 + k / (gamma Delta))
    alpha = k gamma sigma^2 Delta / 2          eta = A C
    M     = alpha n^2 on the diagonal, -eta beside it, n = -Q..Q
    v     = exp(-M tau) (1, ..., 1)            tau: seconds to the horizon

    bid(n) = fill margin + 1/k ln(v_n / v_n+1)     ask(n) = fill margin + 1/k ln(v_n / v_n-1)

(fill margin: `1 / (gamma Delta) ln(1 + gamma Delta / k)`). Far from the limit and for a long horizon ln v falls with
the square of n, which is the closed form: with `R = sqrt(gamma sigma^2 / (2 k A Delta C))` a bid is
margin + (2q + Delta) / 2 R, an ask margin - (2q - Delta) / 2 R. It drifts from the exact one at high volatility and
near the limit.

Put s(n + 1/2) = ln(v_n / v_n+1): a bid is margin + s(n + 1/2) / k, an ask margin - s(n - 1/2) / k. As v is even, s is
odd. As ln v is concave (exp(-M tau) is a limit of convolutions with, and multiplications by, log-concave sequences), s
rises with n: longer never quotes higher. Inventory between two multiples of Delta reads s off the line between its
neighbours.

How v is computed. ln v needs every v_n to have its own relative accuracy, though v_Q may be 1e-200 of v_0, so neither
eigenvectors nor rational approximations will do. Up to a factor all entries of `exp(-M h)` are sums of positive terms:
its Taylor series for a small h, squared again and again, has no subtraction anywhere, hence neither cancellation nor
a sign. Even symmetry halves the matrix, symmetry halves the work again. Q = 30 takes 4 ms, 20 at the edge of sense.

A long horizon leaves the eigenvector of M's lowest eigenvalue, whose ratios are a continued fraction from the limit
inward: half a millisecond, and exact to a millionth from SETTLED_MIN on. As that work grows with Q and the squaring
with its cube, a limit of more than LOTS_MAX quotes always gets it, or where that is less the skew of a market without
fills (`alpha tau (2n + 1)`) plus the pull of the limit alone. Either is as much as the exact solution or more, by up to
two fifths, and beside the limit by up to 1 / k: where the horizon is short it leans towards less inventory.

A table depends on alpha tau, eta tau and Q alone and not on k, fair value or volatility by themselves. Both are rounded
to steps of `step_ratio` and the tables remembered, so that a price that moves costs no table. Two per cent move a skew
by one per cent at most.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from operator import mul
from typing import Final

import attrs

from maker.desk.avellaneda_stoikov import RISK_AVERSION_FIX, fill_margin
from maker.desk.spread import Situation, Spread, above_zero

TABLES_MAX: Final = 1024  # remembered: 1.5 MB at Q = 30, 13 at 400
STEP_RATIO_MAX: Final = 0.5
LOTS_MAX: Final = 35  # Q of a table for a short horizon: 6 ms; its work grows with the cube
QUOTES_MAX: Final = 400  # Q of any table: 5 ms; beyond it the last line goes on
SETTLED_MIN: Final = 40.0  # 4 sqrt(alpha eta) tau: twenty relaxations at least, mostly forty, and exp(-20) is left
HALVINGS: Final = 60  # of an interval: beyond a float's last digit
EXPONENT_MAX: Final = 0.5  # of the Taylor series: TAYLOR_TERMS leave a relative 1e-11
TAYLOR_TERMS: Final = 10
APPLIED_DOUBLINGS: Final = 4  # the last squarings cost more than 16 products with a vector
RELAXATIONS_MAX: Final = 40.0  # after so many nothing changes any more: exp(-40) is below a float's last digit
ATTRACTION_MAX: Final = 1e9  # alpha tau: beyond it no quote is where a price could be; bounds the work
VANISHED: Final = 1e-290  # of v_0: from here on floats lose digits
SLOPE_MAX: Final = 700.0  # of ln v from one quote to the next, where even v_1 has vanished
EVEN_FRACTION: Final = 1e-9  # inventory_max / size = 19.9999999999 means 20


@attrs.frozen
class GlftExact:
    """The exact solution."""

    risk_aversion: float  # gamma, per quote currency
    horizon_seconds: float  # tau of a rolling horizon; a finite one counts down in the situation's seconds_left
    rolling: bool = True
    step_ratio: float = 0.02  # of the remembered tables; 0 rounds nothing

    def __attrs_post_init__(self) -> None:
        above_zero(self, "risk_aversion", RISK_AVERSION_FIX)
        above_zero(self, "horizon_seconds", "Try 600.")
        if not 0 <= self.step_ratio <= STEP_RATIO_MAX:
            raise ValueError(f"step_ratio: is {self.step_ratio} and must be 0 to {STEP_RATIO_MAX}. Try 0.02.")

    def spread(self, situation: Situation) -> Spread:
        """Quote from the table; no bid from `inventory_max` on (in whole quotes), no ask from its opposite on."""
        seconds = self.horizon_seconds if self.rolling else situation.seconds_left
        size, decay = situation.size, situation.fill_decay
        attraction = decay * self.risk_aversion * situation.volatility**2 * size / 2 * seconds  # alpha tau
        spreading = situation.fill_rate * hit_share(self.risk_aversion, size, decay) * seconds  # eta tau
        lots_max = min(whole_lots(situation), QUOTES_MAX)
        table = slopes(rounded(attraction, self.step_ratio), rounded(spreading, self.step_ratio), lots_max)
        lots = situation.inventory / size
        above, below = slope_at(table, lots + 0.5), slope_at(table, lots - 0.5)
        return quoted(self.risk_aversion, situation, above / decay, below / decay)


@attrs.frozen
class GlftClosed:
    """The closed form: no horizon, and the skew is a line."""

    risk_aversion: float  # gamma, per quote currency

    def __attrs_post_init__(self) -> None:
        above_zero(self, "risk_aversion", RISK_AVERSION_FIX)

    def spread(self, situation: Situation) -> Spread:
        """Compute equations 4.6 and 4.7 of Guéant 2017; sides as `GlftExact`."""
        size, decay = situation.size, situation.fill_decay
        hits = situation.fill_rate * hit_share(self.risk_aversion, size, decay)
        slope = situation.volatility * math.sqrt(self.risk_aversion / (2 * decay * size * hits))  # R
        above = (situation.inventory + size / 2) * slope
        below = (situation.inventory - size / 2) * slope
        return quoted(self.risk_aversion, situation, above, below)


def quoted(risk_aversion: float, situation: Situation, above: float, below: float) -> Spread:
    """Give `bid = margin + above` and `ask = margin - below`, distances from fair value, as reservation and halves."""
    half = fill_margin(risk_aversion, situation.size, situation.fill_decay) + (above - below) / 2
    lots, lots_max = situation.inventory / situation.size, whole_lots(situation)
    return Spread(
        reservation=situation.fair - (above + below) / 2,
        bid=half if lots < lots_max - EVEN_FRACTION else None,
        ask=half if lots > EVEN_FRACTION - lots_max else None,
    )


def whole_lots(situation: Situation) -> int:
    """Count the quotes that fit into `inventory_max`: Q. Where not even one does, one: sizes are the risk room's."""
    return max(1, math.floor(situation.inventory_max / situation.size + EVEN_FRACTION))


def hit_share(risk_aversion: float, size: float, fill_decay: float) -> float:
    """Compute C of the room's theory, from 1 / e (bold) to 0 (timid)."""
    timidity = risk_aversion * size / fill_decay
    return math.exp(-(1 + 1 / timidity) * math.log1p(timidity))


def rounded(value: float, step_ratio: float) -> float:
    """Round to a power of 1 + step_ratio; unchanged where one of them is 0."""
    if value <= 0 or step_ratio == 0:
        return value
    step = math.log1p(step_ratio)
    return math.exp(round(math.log(value) / step) * step)


def slope_at(table: tuple[float, ...], lots: float) -> float:
    """Read s off the line between its neighbours; the outermost line goes on."""
    place = abs(lots) - 0.5  # the table begins at 1/2, and its image at -1/2
    index = min(max(math.floor(place), -1), len(table) - 2)
    low = -table[0] if index < 0 else table[index]
    high = table[index + 1]
    return math.copysign(low + (high - low) * (place - index), lots)


@lru_cache(maxsize=TABLES_MAX)
def slopes(attraction: float, spreading: float, lots_max: int) -> tuple[float, ...]:
    """Compute s(n + 1/2) = `ln(v_n / v_n+1)` for n = 0, ..., Q - 1; alpha tau and eta tau given."""
    if 4 * math.sqrt(attraction) * math.sqrt(spreading) >= SETTLED_MIN:
        return settled(attraction / spreading, lots_max)
    if lots_max > LOTS_MAX:
        early = [attraction * (2 * n + 1) + wall for n, wall in enumerate(settled(0.0, lots_max))]
        late = settled(attraction / spreading, lots_max) if spreading > 0 else (SLOPE_MAX,) * lots_max
        return tuple(map(min, early, late))
    wait = 2 * spreading * (math.cos(math.pi / (2 * lots_max + 2)) - math.cos(3 * math.pi / (2 * lots_max + 2)))
    if wait > RELAXATIONS_MAX:  # of the slowest even motion between two walls; attraction only makes it faster
        attraction, spreading = attraction * RELAXATIONS_MAX / wait, spreading * RELAXATIONS_MAX / wait
    weights = propagated(min(attraction, ATTRACTION_MAX), spreading, lots_max)
    found: list[float] = []
    for inner, outer in pairwise(weights):
        if outer > VANISHED * weights[0]:
            found.append(math.log(inner / outer))
        else:
            found.append(found[-1] if found else SLOPE_MAX)
    return tuple(found)


def settled(attraction: float, lots_max: int) -> tuple[float, ...]:
    """Compute the slopes for tau towards infinity; alpha / eta given.

    With r_n = v_n / v_n-1 and l the lowest eigenvalue over eta, row n of `M v = l v` reads
    `r_n = 1 / (alpha / eta n^2 - l - r_n+1)`, with r beyond the limit 0, and row 0 reads `-l = 2 r_1`. Put in something
    below l, and all r are positive and 2 r_1 is less than its negative.
    """
    low, high = -2.0, 0.0  # of the lowest eigenvalue: attraction only raises it, and v_0 alone has 0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        ratios = settled_ratios(attraction, lots_max, middle)
        if ratios and 2 * ratios[-1] < -middle:
            low = middle
        else:
            high = middle
    ratios = settled_ratios(attraction, lots_max, low)
    return tuple(min(SLOPE_MAX, max(0.0, -math.log(ratio))) if ratio > 0 else SLOPE_MAX for ratio in reversed(ratios))


def settled_ratios(attraction: float, lots_max: int, eigenvalue: float) -> list[float]:
    """Compute r_Q, ..., r_1; nothing where one would not be positive: the eigenvalue is above the lowest one."""
    ratios: list[float] = []
    ratio = 0.0
    for n in range(lots_max, 0, -1):
        rest = attraction * n * n - eigenvalue - ratio
        if rest <= 0:
            return []
        ratio = 1 / rest
        ratios.append(ratio)
    return ratios


def propagated(attraction: float, spreading: float, nodes: int) -> list[float]:
    """Compute v_0, ..., v_nodes up to a factor; every one to nine digits, however small."""
    exponent = attraction * nodes**2 + 2 * spreading
    doublings = max(0, math.ceil(math.log2(exponent / EXPONENT_MAX))) if exponent > 0 else 0
    # In the basis e_0, (e_n + e_-n) / sqrt(2) the even half of M is symmetric; a multiple of 1 makes it positive.
    parts = 2.0**-doublings
    diagonal = [attraction * (nodes**2 - n**2) * parts for n in range(nodes + 1)]
    beside = [spreading * parts * (math.sqrt(2) if n == 0 else 1.0) for n in range(nodes)]
    matrix = exponential(diagonal, beside)
    for _ in range(doublings - APPLIED_DOUBLINGS):
        matrix = squared(matrix)
    vector = [1.0] + [math.sqrt(2)] * nodes
    for _ in range(2 ** min(doublings, APPLIED_DOUBLINGS)):
        vector = [sum(map(mul, row, vector)) for row in matrix]
        vector = [value / vector[0] for value in vector]
    return [vector[0]] + [value / math.sqrt(2) for value in vector[1:]]


def exponential(diagonal: list[float], beside: list[float]) -> list[list[float]]:
    """Sum the Taylor series of a small symmetric tridiagonal matrix without negative entries, row by row."""
    size = len(diagonal)
    low, high = [0.0, *beside], [*beside, 0.0]
    rows: list[list[float]] = []
    for index in range(size):
        total, term = [0.0] * size, [0.0] * size
        total[index] = term[index] = 1.0
        for order in range(1, TAYLOR_TERMS + 1):
            first, last = max(0, index - order), min(size - 1, index + order)
            padded = [0.0, *term, 0.0]  # a term reaches one further than the one before
            for n in range(first, last + 1):
                term[n] = (low[n] * padded[n] + diagonal[n] * padded[n + 1] + high[n] * padded[n + 2]) / order
                total[n] += term[n]
        rows.append(total)
    return rows


def squared(matrix: list[list[float]]) -> list[list[float]]:
    """Square a symmetric matrix, divided by its first entry lest it grow out of all floats."""
    upper = [[sum(map(mul, row, other)) for other in matrix[index:]] for index, row in enumerate(matrix)]
    first = upper[0][0]
    upper = [[value / first for value in row] for row in upper]
    size = len(upper)
    return [[upper[n][index - n] for n in range(index)] + upper[index] for index in range(size)]
