"""The faults there are in virtual time, by their rows in the catalogue, and how a storm of them is drawn from a seed.

Rows that cannot exist in virtual time, and where real processes test them: `ELSEWHERE`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import attrs

from maker.storms.answers import THROTTLE_FORMS
from maker.storms.reloads import RELOADS_FROM, with_reloads
from maker.storms.schedule import Fault, Schedule

Rng = random.Random


@attrs.frozen
class FaultClass:
    """One kind of fault: its row, how often it is drawn, and its parameters."""

    row: str
    name: str
    draw: Callable[[Rng], dict[str, object]]  # of `seconds`, `numbers` and `words`
    weight: float = 1.0  # how likely, against the others
    ends_run: bool = False  # the maker is to end by it: it makes the rest of a storm short


def lasting(low: float, high: float, **words: tuple[str, ...]) -> Callable[[Rng], dict[str, object]]:
    """In force for a while."""
    return lambda rng: {"seconds": rng.uniform(low, high), "words": chosen(rng, words)}


def once(times_max: int = 1, **words: tuple[str, ...]) -> Callable[[Rng], dict[str, object]]:
    """As often as drawn, at the next chances."""
    return lambda rng: {"numbers": {"times": float(rng.randint(1, times_max))}, "words": chosen(rng, words)}


def with_number(
    base: Callable[[Rng], dict[str, object]], **draws: Callable[[Rng], float]
) -> Callable[[Rng], dict[str, object]]:
    """Add drawn numbers."""

    def draw(rng: Rng) -> dict[str, object]:
        fields = base(rng)
        numbers = dict(fields.get("numbers", {}))  # type: ignore[call-overload]
        return fields | {"numbers": numbers | {name: one(rng) for name, one in draws.items()}}

    return draw


def chosen(rng: Rng, words: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: rng.choice(choices) for name, choices in words.items()}


def log_uniform(low: float, high: float) -> Callable[[Rng], float]:
    return lambda rng: low * (high / low) ** rng.random()


def one_of(*values: float) -> Callable[[Rng], float]:
    return lambda rng: rng.choice(values)


ORDER_PATH: Final = ("ladder", "cancel_all", "ladder", "cancel_all", "orders", "read", "any")
FEEDS: Final = ("stream", "reference", "any")
PORTS: Final = ("http", "reference", "any")
FORMS: Final = ("json", "html", "empty")

CLASSES: Final = (
    # the wire
    FaultClass("F1", "connect_refused", lasting(0.2, 8, target=PORTS)),
    FaultClass(
        "F1", "exchange_gone", lambda _rng: {"seconds": 660.0, "words": {"target": "http"}}, 0.06, ends_run=True
    ),
    FaultClass("F2", "connect_black_hole", lasting(0.2, 8, target=PORTS)),
    FaultClass("F4", "reset_before", once(3, target=ORDER_PATH), 1.5),
    FaultClass("F5", "reset_after", once(3, target=ORDER_PATH), 1.5),
    FaultClass("F6", "slow_requests", lasting(2, 10), 1.5),
    FaultClass(
        "F7",
        "late_connection",
        with_number(lasting(1, 8), of_three=one_of(0, 1, 2), delay_seconds=log_uniform(0.05, 4)),
        1.5,
    ),
    FaultClass("F8", "half_open", once(2, target=(*ORDER_PATH, "stream"))),
    FaultClass("F9", "slow_close", once(2, target=ORDER_PATH)),
    FaultClass("F10", "sliced", with_number(lasting(0.5, 3), gap_seconds=log_uniform(0.0005, 0.05))),
    FaultClass("F11", "drip", with_number(lasting(1, 5), gap_seconds=log_uniform(0.01, 1))),
    FaultClass("F12", "narrow", with_number(lasting(1, 6), bytes_per_second=log_uniform(2_000, 200_000))),
    FaultClass("F13", "truncated", once(2, target=ORDER_PATH)),
    FaultClass("F13", "stream_truncated", once(2)),
    FaultClass("F14", "corrupted", once(2, target=ORDER_PATH)),
    FaultClass("F14", "stream_corrupted", once(2)),
    FaultClass("F15", "keep_alive_closed", once(5, target=ORDER_PATH)),
    # the feeds
    FaultClass("F16", "feed_ended", once(1, target=FEEDS, form=("reset", "end"))),
    FaultClass("F17", "feed_silent", lasting(1, 8, target=("reference", "reference", "stream"))),
    FaultClass("F17", "stream_silent", lasting(24, 26, target=("stream",), form=("nothing", "mumble")), 0.5),
    FaultClass("F18", "heartbeats_only", lasting(2, 20)),
    FaultClass("F19", "heartbeat_forms", lasting(1, 6)),
    FaultClass("F20", "gap", once(2)),
    FaultClass("F21", "duplicate", once(5)),
    FaultClass("F22", "regress", once(1)),
    FaultClass("F23", "late_answers", with_number(lasting(1, 6), delay_seconds=log_uniform(0.05, 2))),
    FaultClass("F24", "snapshot_lost", once(1)),
    FaultClass("F24", "snapshot_crossed", once(2)),
    FaultClass("F24", "snapshot_empty", once(2)),
    FaultClass("F24", "snapshot_stale", once(1)),
    FaultClass(
        "F24",
        "stream_refused",
        with_number(lasting(0.5, 6, form=FORMS, target=("stream",)), status=one_of(404, 500, 503)),
    ),
    FaultClass("F25", "bad_delta", once(1, form=("negative", "crossed"))),
    # answers
    FaultClass(
        "F26",
        "throttled",
        with_number(once(3, target=ORDER_PATH, form=tuple(THROTTLE_FORMS)), wait_seconds=log_uniform(0.5, 8)),
        2.0,
    ),
    FaultClass("F26", "tokens_taken", with_number(once(1), requests=log_uniform(10, 120))),
    FaultClass(
        "F27", "unauthorized", with_number(once(2, target=ORDER_PATH), status=one_of(401, 403)), 1.0, ends_run=True
    ),
    FaultClass("F28", "margin_refused", once(4, target=("ladder",)), 1.5),
    FaultClass("F28", "margin_refused_after_cancel", once(2, target=("ladder",))),
    FaultClass(
        "F28", "refused", with_number(once(3, target=("ladder", "cancel_all")), status=one_of(400, 404, 409, 422))
    ),
    FaultClass(
        "F29",
        "server_error",
        with_number(lasting(0.3, 5, target=ORDER_PATH, form=FORMS), status=one_of(500, 502, 503, 504)),
        1.5,
    ),
    FaultClass(
        "F29",
        "server_error_after",
        with_number(once(3, target=ORDER_PATH, form=FORMS), status=one_of(500, 502, 503, 504)),
        1.5,
    ),
    FaultClass("F29", "unanswered", once(2, target=ORDER_PATH)),
    FaultClass("F30", "fewer_orders_named", once(2, target=("ladder",))),
    FaultClass("F30", "cancel_without_effect", once(2, target=("cancel_all",))),
    FaultClass(
        "F31", "odd_answer", once(2, target=ORDER_PATH, form=("redirect", "moved", "huge_headers", "html_200", "cut"))
    ),
    FaultClass(
        "F31", "odd_answer_after", once(2, target=ORDER_PATH, form=("redirect", "huge_headers", "html_200", "cut"))
    ),
    # the exchange
    FaultClass("F32", "maintenance", lasting(1, 10)),
    FaultClass("F32", "maintenance_refuses", lasting(0.5, 6, target=("ladder", "cancel_all", "any"))),
    FaultClass("F33", "jump", lambda rng: {"numbers": {"bps": rng.choice((-1, 1)) * rng.uniform(5, 300)}}),
    FaultClass("F33", "crash", lambda rng: {"numbers": {"bps": rng.choice((-1, 1)) * rng.uniform(500, 3000)}}, 0.5),
    FaultClass("F33", "index_apart", lambda rng: {"numbers": {"bps": rng.choice((-1, 1)) * rng.uniform(20, 200)}}),
    FaultClass("F34", "sweep", once(1, side=("buy", "sell", "both"))),
    FaultClass("F34", "one_way", lasting(3, 9, side=("buy", "sell")), 0.7),
    FaultClass(
        "F35",
        "foreign_position",
        with_number(once(1, side=("buy", "sell")), minima=one_of(1, 5, 20)),
        0.5,
        ends_run=True,
    ),
    FaultClass("F35", "foreign_order", once(1), 0.5),
    FaultClass("F35", "taken_over", lambda rng: {}, 0.5, ends_run=True),
    # the machine and its processes
    FaultClass(
        "F36", "wall_jump", lambda rng: {"numbers": {"jump_seconds": rng.choice((-3600, -262, -3, 3, 262, 3600))}}
    ),
    FaultClass("F37", "pause", lambda rng: {"numbers": {"still_seconds": log_uniform(0.1, 2.4)(rng)}}, 1.5),
    FaultClass(
        "F37", "pause", lambda rng: {"numbers": {"still_seconds": log_uniform(3, 120)(rng)}}, 0.5, ends_run=True
    ),
    FaultClass(
        "F38", "suspend", lambda rng: {"numbers": {"sleep_seconds": log_uniform(3, 28_800)(rng)}}, 1.0, ends_run=True
    ),
    FaultClass("F41", "journal_lost", lambda rng: {}, 0.5, ends_run=True),
    FaultClass("F43", "no_descriptors", lasting(0.2, 5)),
    FaultClass(
        "F44",
        "signals",
        lambda rng: {"numbers": {"count": float(rng.randint(1, 5)), "first": float(rng.randint(0, 3))}},
        0.7,
        ends_run=True,
    ),
    FaultClass("F44", "signals_unheard", lambda rng: {}, 0.3, ends_run=True),
    FaultClass("F52", "link_cut", once(1, form=("both", "half")), 0.4, ends_run=True),
    FaultClass("F45", "kill_maker", lambda rng: {}, 0.7, ends_run=True),
    FaultClass("F45", "kill_guard", lambda rng: {}, 0.5, ends_run=True),
    FaultClass("F47", "raised", lambda rng: {"numbers": {"which": rng.random()}}, 1.0, ends_run=True),
    FaultClass("F47", "kill_file", lambda rng: {}, 0.4, ends_run=True),
)

ELSEWHERE: Final = {
    "F3": "TLS does not exist on in-memory wires: tests/edge/test_endpoint.py, drills over TLS",
    "F39": "in one loop a starved processor is a pause (F37): tests/chaos/test_pause.py",
    "F40": "there are no names to look up: tests/edge/test_endpoint.py, the drill dns_dead",
    "F42": "the log's thread and its pipe are real: tests/app/test_logs.py, the drill blocked_stdout",
    "F46": "to the maker the kernel's kill is kill -9 (F45); systemd's part: tests/test_deploy.py",
    "F48": "every step in turn: tests/storms/test_steps.py",
    "F49": "there is no channel between two tasks that could fill",
    "F50": "locks are files between processes: tests/live/test_refusals.py",
    "F51": f"drawn apart, for seeds from {RELOADS_FROM} on: maker.storms.reloads, tests/storms/test_reloads.py",
}

FAULTS_MAX: Final = 8
SWARM_SHARE: Final = 0.5  # of the classes are switched off ...
SWARM_SEEDS: Final = 2  # ... in every so-manieth seed
STORM_SECONDS: Final = 12.0  # faults begin within this
STEPS_MS: Final = (200, 400, 500, 500, 500, 500)


def draw(seed: int, markets: int, *, swarm: bool = True) -> Schedule:
    """Draw a storm: one to eight faults, half of them overlapping another."""
    rng = random.Random(f"storm:{seed}")
    classes = list(CLASSES)
    if swarm and seed % SWARM_SEEDS:
        classes = [one for one in classes if rng.random() >= SWARM_SHARE] or list(CLASSES)
    faults: list[Fault] = []
    at = rng.uniform(0.5, 2.0)
    for _ in range(rng.randint(1, FAULTS_MAX)):
        one = rng.choices(classes, [each.weight for each in classes])[0]
        if one.ends_run and any(ends_run(fault) for fault in faults):
            continue
        fields = one.draw(rng)
        if one.ends_run:
            begins = STORM_SECONDS * rng.uniform(0.3, 1.0)
        elif faults and rng.random() < 0.5:
            last = faults[-1]
            begins = min(last.at + rng.random() * max(last.seconds, 0.2), STORM_SECONDS)
        else:
            begins = at
        at = min(max(at, begins + float(fields.get("seconds", 0.0) or 0.0)) + rng.uniform(0.1, 2.0), STORM_SECONDS)  # type: ignore[arg-type]
        faults.append(Fault(row=one.row, name=one.name, at=round(begins, 4), **fields))  # type: ignore[arg-type]
    return Schedule(
        seed=seed,
        markets=min(markets, rng.choice((1, 1, 2))),
        step_ms=rng.choice(STEPS_MS),
        faults=with_reloads(seed, tuple(sorted(faults, key=lambda fault: fault.at))),
        ending=rng.choice(("signal", "signal", "signal", "kill_file")),
        stop_at=rng.uniform(3.0, STORM_SECONDS) if rng.random() < 0.15 else None,
    )


def ends_run(fault: Fault) -> bool:
    """Whether a fault's class is one that ends the run."""
    return any(one.ends_run for one in CLASSES if one.name == fault.name)
