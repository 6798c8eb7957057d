"""Reloads and another key amid faults: no ladder breaks the limits that hold, and somebody can always pull."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from maker.app import reload_rules
from maker.app.config import load
from maker.app.relations import relations
from maker.desk import parameters
from maker.desk.market import MarketDesk
from maker.errors import ConfigError
from maker.launch.reloading import Keys
from maker.storms import record as r
from maker.storms.catalogue import draw
from maker.storms.outcome import Outcome
from maker.storms.reloads import FACTORS, RELOADS_FROM, WHATS, scaled, tree_of, with_reloads
from maker.storms.schedule import Fault, Schedule
from maker.storms.world import perform

CONFIG: Final = load(Path(__file__).parents[2] / "conf" / "paper.toml", "http://ocx.test", "ws://ocx.test")
RELOADED_AT: Final = 1.0
AFTER_RAMP: Final = CONFIG.limits.ramp_seconds + 2.0  # the caps are whole, and so are ladders
DRAWN: Final = 6  # storms of a test run; a night's work has thousands


def reload(what: str, at: float = RELOADED_AT, factor: str = "0.5") -> Fault:
    return Fault(row="F51", name="reload", at=at, words={"what": what, "factor": factor, "bps": "6"})


def storm(*faults: Fault, seed: int = 8) -> tuple[Outcome, r.Record]:
    ordered = tuple(sorted(faults, key=lambda fault: fault.at))
    return perform(CONFIG, Schedule(seed=seed, markets=2, step_ms=500, faults=ordered))


def reports(record: r.Record) -> list[bool]:
    return [entry.ok for entry in record.of(r.Reported)]


def trips(record: r.Record) -> list[str]:
    return [entry.reason for entry in record.of(r.Tripped)]


@pytest.mark.parametrize(
    ("what", "ok", "pulled"),
    [
        ("spread", True, []),
        ("limits", True, ["LIMITS_LOWERED"]),
        ("looser", False, []),
        ("broken", False, []),
        ("key", True, ["KEY_CHANGED"]),
        ("key_revoking", True, ["KEY_CHANGED"]),
        ("key_for_reading", False, []),
    ],
)
def test_each_kind_in_fair_weather(what: str, ok: bool, pulled: list[str]) -> None:
    """Taken or refused as it must be, pulled for no other reason, quoting afterwards, ended clean."""
    assert what in WHATS
    outcome, record = storm(reload(what))
    assert (outcome.violations, outcome.void, outcome.crashed) == ((), "", "")
    assert reports(record) == [ok]
    assert trips(record) == [*pulled, "STOP_ASKED"]
    assert [entry.code for entry in record.of(r.Exited)] == [0]
    reloaded = list(record.of(r.Reloaded))
    assert len(reloaded) == int(ok)
    if what == "limits":
        (entry,) = reloaded
        assert entry.terms is not None
        assert entry.terms.markets["BTC-PERP"].position_limit * 2 == record.terms.markets["BTC-PERP"].position_limit
        assert outcome.checked["S7"] > len([one for one in record.of(r.Left) if one.quotes]), "judged at the reload too"


@pytest.mark.parametrize("after_seconds", [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.2])
@pytest.mark.parametrize("who", ["kill_maker", "kill_guard"])
def test_whoever_dies_while_the_key_is_changed_somebody_pulls(who: str, after_seconds: float) -> None:
    """S1, S3, L4, L6: before the proof, in it, while it is pulled, just swapped, just told, the old one revoked."""
    outcome, record = storm(reload("key_revoking"), Fault(row="F45", name=who, at=RELOADED_AT + after_seconds))
    assert (outcome.violations, outcome.crashed) == ((), "")
    assert list(record.of(r.Exited))


def test_drawn_among_other_faults() -> None:
    """A few of the storms of seeds with reloads; each has one at least."""
    seen = 0
    for seed in range(RELOADS_FROM, RELOADS_FROM + DRAWN):
        outcome, record = perform(CONFIG, draw(seed, len(CONFIG.markets)))
        assert (outcome.violations, outcome.crashed) == ((), ""), seed
        seen += len(reports(record))
    assert seen >= DRAWN // 2


@pytest.mark.parametrize("seed", [1_000_163, 1_000_873])
def test_seed_a_key_that_is_throttled_while_it_is_proved_is_waited_for(seed: int) -> None:
    """S9: the cancel that proves a key was answered 429, and ladders left before the wait it asked for was over."""
    outcome, record = perform(CONFIG, draw(seed, len(CONFIG.markets)))
    assert outcome.violations == ()
    assert "reload" in {fault.name for fault in draw(seed, len(CONFIG.markets)).faults}
    assert reports(record), "nothing was reloaded"


def test_the_storms_of_other_seeds_are_what_they_were() -> None:
    """Nothing is drawn for them, and nothing of theirs from the stream of reloads."""
    for seed in range(200):
        assert not any(fault.name == "reload" for fault in draw(seed, 2).faults)
    here, other = RELOADS_FROM + 5, RELOADS_FROM + 6
    assert with_reloads(here, ()) == with_reloads(here, ()) != with_reloads(other, ())
    alone = tuple(fault for fault in draw(here, 2).faults if fault.name != "reload")
    assert draw(here, 2).faults == with_reloads(here, alone)


def test_the_same_seed_is_the_same_history() -> None:
    """S22: threads and clocks of reloads are the world's too."""
    faults = (reload("key_revoking"), reload("limits", at=2.5))
    assert storm(*faults)[0].digest == storm(*faults)[0].digest


def test_what_a_storm_writes_is_what_a_file_may_say() -> None:
    """Smaller limits pass the rules and the relations by their own names, larger ones do not."""
    old = tree_of(CONFIG)
    assert set(old["market"]["BTC-PERP"]) - {"models"} <= set(reload_rules.MARKET)
    steps = {"BTC-PERP": Decimal("0.001"), "ETH-PERP": Decimal("0.01")}
    for factor in FACTORS:
        smaller = scaled(CONFIG, Decimal(factor), steps)
        relations(smaller)
        assert reload_rules.changes(old, tree_of(smaller))
        with pytest.raises(ConfigError, match="loosened"):
            reload_rules.changes(tree_of(smaller), old)


# -- planted: what these storms are for is found


def test_planted_what_rests_beyond_a_lowered_limit_is_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "resting_beyond", lambda *_words: "")
    monkeypatch.setattr(parameters, "adds", lambda *_words: False)
    outcome, _record = storm(reload("limits", at=AFTER_RAMP, factor="0.25"))
    assert any(one.name == "S7" and "nothing pulled" in one.sentence for one in outcome.violations)


def test_planted_a_limit_whose_copy_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    take_market = parameters.take_market

    def forgetful(market: MarketDesk, new: parameters.MarketParameters) -> bool:
        limits, ladder = market.limits, market.ladder_settings
        changed = take_market(market, new)
        market.limits, market.ladder_settings = limits, ladder
        return changed

    monkeypatch.setattr(parameters, "take_market", forgetful)
    outcome, _record = storm(reload("limits", at=AFTER_RAMP, factor="0.25"))
    assert {"S7", "S8"} & {one.name for one in outcome.violations}


def test_planted_a_guard_that_forgets_the_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one is revoked, the maker dies: what rests is pulled by nobody."""
    monkeypatch.setattr(Keys, "add", lambda _self, _another: None)
    monkeypatch.setattr(Keys, "settle", lambda self, _used: self.held.append(self.held[0]))
    outcome, record = storm(reload("key_revoking"), Fault(row="F45", name="kill_maker", at=RELOADED_AT + 4.0))
    assert outcome.violations or [entry.code for entry in record.of(r.Exited)] == [75]
