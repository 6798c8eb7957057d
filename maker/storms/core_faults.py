"""The faults of the core world: what may happen to a ladder, an answer, a stream or a market, drawn from a seed.

A fault is in force from `at` for `seconds`; meanwhile it bites up to `times` of the things it is about, each with
probability `chance`. Half of a schedule's faults begin while another is in force; its last part is quiet.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import attrs

from maker.storms.schedule import Fault, Schedule

QUIET_SECONDS: Final = 90.0  # at the end of every schedule: a full pause after flapping, and quoting again within 60 s
FIRST_AT: Final = 12.0  # both markets are quoted by then
FAULTS_MAX: Final = 8
OVERLAP: Final = 0.5  # of the faults begin within another
SMALL_DEPOSIT: Final = "small_deposit"  # in force for the whole schedule: the margin gate is met again and again

# name: (row, longest and shortest time in force, times it bites at most). Seconds; 0: it happens at once, once.
CATALOGUE: Final[dict[str, tuple[str, float, float, int]]] = {
    "ladder_lost": ("F4", 30.0, 90.0, 3),
    "answer_lost": ("F5", 30.0, 90.0, 3),
    "ladder_late": ("F6", 30.0, 90.0, 3),
    "answer_late": ("F6", 30.0, 90.0, 4),
    "answer_broken": ("F13", 30.0, 90.0, 2),
    "answer_partial": ("F30", 30.0, 90.0, 3),
    "server_error_before": ("F29", 30.0, 90.0, 3),
    "server_error_after": ("F29", 30.0, 90.0, 3),
    "refused": ("F29", 30.0, 90.0, 4),
    "margin_squeeze": ("F28", 5.0, 60.0, 6),
    "throttled": ("F26", 30.0, 90.0, 4),
    "tokens_taken": ("F26", 0.0, 0.0, 1),
    "cancel_all_fails": ("F26", 2.0, 15.0, 6),
    "reads_fail": ("F29", 2.0, 15.0, 8),
    "stream_gap": ("F20", 30.0, 60.0, 1),
    "stream_duplicate": ("F21", 30.0, 60.0, 3),
    "stream_regress": ("F22", 30.0, 60.0, 1),
    "old_events": ("F21", 20.0, 30.0, 2),
    "fills_reordered": ("F23", 20.0, 90.0, 8),
    "delta_first": ("F24", 10.0, 30.0, 2),
    "snapshot_crossed": ("F24", 10.0, 30.0, 2),
    "snapshot_old": ("F24", 10.0, 30.0, 2),
    "stream_closed": ("F16", 0.5, 20.0, 99),
    "stream_silent": ("F17", 5.0, 60.0, 99),
    "stream_heartbeats": ("F18", 10.0, 60.0, 99),
    "reference_silent": ("F17", 1.0, 20.0, 99),
    "market_halted": ("F32", 2.0, 60.0, 99),
    "index_jump": ("F33", 0.0, 0.0, 1),
    "fill_burst": ("F34", 0.0, 0.0, 1),
    "foreign_trade": ("F35", 0.0, 0.0, 1),
    "foreign_position": ("F35", 0.0, 0.0, 1),
}
WEIGHTS: Final = {"foreign_position": 0.4, "stream_silent": 0.6, "stream_heartbeats": 0.6}  # slow ones; others: 1
THROTTLES: Final = frozenset({"throttled", "tokens_taken", "cancel_all_fails"})  # after these a 429 proves nothing


def draw(seed: int, minutes: float, markets_max: int) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(f"core faults {seed}")
    markets = 1 if markets_max < 2 or rng.random() < 0.75 else 2
    ends_at = minutes * 60 - QUIET_SECONDS
    faults: list[Fault] = []
    if rng.random() < 0.12:
        row = Fault(
            row="F28", name=SMALL_DEPOSIT, at=0.0, seconds=minutes * 60, numbers={"deposit": drawn_deposit(rng)}
        )
        faults.append(row)
    names = list(CATALOGUE)
    weights = [WEIGHTS.get(name, 1.0) for name in names]
    while len(faults) < rng.randint(1, FAULTS_MAX):
        (name,) = rng.choices(names, weights)
        row_id, shortest, longest, times = CATALOGUE[name]
        seconds = rng.uniform(shortest, longest)
        at = rng.uniform(FIRST_AT, max(FIRST_AT, ends_at - seconds))
        others = [fault for fault in faults if fault.name != SMALL_DEPOSIT]
        if others and rng.random() < OVERLAP:
            other = rng.choice(others)
            at = min(other.at + rng.uniform(0.0, max(2.0, other.seconds)), max(FIRST_AT, ends_at - seconds))
        faults.append(
            Fault(
                row=row_id,
                name=name,
                at=at,
                seconds=seconds,
                numbers={
                    "times": float(rng.randint(1, times)),
                    "chance": rng.choice((0.5, 1.0)),
                    "market": float(rng.randrange(markets)),
                    "size": rng.random(),  # how hard, each in its own unit
                    "side": rng.choice((-1.0, 1.0)),
                },
                words={"way": rng.choice(("first", "second", "third"))},
            )
        )
    return Schedule(seed=seed, markets=markets, step_ms=0, faults=tuple(faults), ending="time_up")


def drawn_deposit(rng: random.Random) -> float:
    """Quote units: from what hardly carries a ladder to what carries a few."""
    return float(round(rng.uniform(250, 2500)))


@attrs.define(eq=False)
class InForce:
    """One fault while it is in force."""

    index: int
    fault: Fault
    left: int  # times it may still bite

    def number(self, name: str) -> float:
        return self.fault.numbers.get(name, 0.0)

    @property
    def size(self) -> float:
        return self.number("size")


@attrs.define(eq=False)
class Faults:
    """The faults in force, and how often each has bitten."""

    schedule: Schedule
    market_ids: tuple[str, ...]
    rng: random.Random
    on_bite: Callable[[InForce], None] = lambda _one: None
    in_force: dict[str, list[InForce]] = attrs.field(factory=dict)
    bitten: dict[str, int] = attrs.field(factory=dict)

    def begin(self, index: int) -> InForce:
        fault = self.schedule.faults[index]
        one = InForce(index, fault, int(fault.numbers.get("times", 1)))
        self.in_force.setdefault(fault.name, []).append(one)
        return one

    def end(self, one: InForce) -> None:
        self.in_force[one.fault.name].remove(one)

    def market(self, one: InForce) -> str:
        return self.market_ids[int(one.number("market")) % len(self.market_ids)]

    def count(self, one: InForce) -> None:
        self.bitten[one.fault.name] = self.bitten.get(one.fault.name, 0) + 1
        self.on_bite(one)

    def bite(self, name: str, market_id: str = "") -> InForce | None:
        """Whether a fault of this name happens to what is at hand."""
        for one in self.in_force.get(name, ()):
            if market_id and self.market(one) != market_id:
                continue
            if one.left > 0 and self.rng.random() < one.number("chance"):
                one.left -= 1
                self.count(one)
                return one
        return None

    def holds(self, name: str, market_id: str = "") -> bool:
        """Whether one of this name is in force, for a market where one is named."""
        return any(not market_id or self.market(one) == market_id for one in self.in_force.get(name, ()))
