"""What may change while the maker runs: every key of a configuration is decided, by name and direction."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker.app import reload_rules
from maker.app.config import Cycle
from maker.app.reload_rules import Change, Rule, changes, leaves, rule_of
from maker.desk.budget import BudgetSettings
from maker.desk.fair import FairSettings, SourceSettings
from maker.desk.funding import FundingSettings
from maker.desk.intensity import IntensitySettings
from maker.desk.ladder import LadderSettings
from maker.desk.margin import MarginSettings
from maker.desk.risk import AccountLimits, Limits
from maker.desk.volatility import VolatilitySettings
from maker.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
BTC = "market.BTC-PERP"
ROOMS = (FairSettings, VolatilitySettings, IntensitySettings, LadderSettings, Limits, FundingSettings)


def names(*kinds: type) -> set[str]:
    return {field.name for kind in kinds for field in attrs.fields(kind)}


def paper() -> dict[str, Any]:
    return tomllib.loads((CONF / "paper.toml").read_text(encoding="utf-8"), parse_float=Decimal)


def put(tree: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with one key set; None takes it away."""
    made = copy.deepcopy(tree)
    *tables, name = path.split(".")
    inner = made
    for one in tables:
        inner = inner.setdefault(one, {})
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return made


def test_every_key_is_decided() -> None:
    """A parameter that is added to a room must be thought about here, and one that went must go here too."""
    assert set(reload_rules.CYCLE) == names(Cycle)
    assert set(reload_rules.BUDGET) == names(BudgetSettings)
    assert set(reload_rules.LIMITS) == names(AccountLimits, MarginSettings)
    assert set(reload_rules.SOURCE) == names(SourceSettings)
    assert set(reload_rules.MARKET) == {*names(*ROOMS), "model"} - {"sources"}


def test_no_limit_has_a_default() -> None:
    """A limit that a file may leave out could be loosened by leaving it out: its direction would not be seen."""
    for rules, kinds in (
        (reload_rules.CYCLE, (Cycle,)),
        (reload_rules.BUDGET, (BudgetSettings,)),
        (reload_rules.LIMITS, (AccountLimits, MarginSettings)),
        (reload_rules.SOURCE, (SourceSettings,)),
        (reload_rules.MARKET, ROOMS),
    ):
        for field in (field for kind in kinds for field in attrs.fields(kind)):
            if rules.get(field.name) in (Rule.LOWER, Rule.HIGHER):
                assert field.default is attrs.NOTHING, field.name


def moved(value: Any, *, up: bool) -> Any:
    return value * 2 + 1 if up else Decimal(value) / 2


def directed() -> Iterator[tuple[str, bool]]:
    """Every key of the example that has a direction; True: upwards is tighter."""
    for path, _ in leaves(paper()):
        rule = rule_of(path)
        if rule in (Rule.LOWER, Rule.HIGHER):
            yield ".".join(path), rule is Rule.HIGHER


@pytest.mark.parametrize(("path", "up"), list(directed()))
def test_a_limit_only_becomes_tighter(path: str, up: bool) -> None:
    """Each one of the example: the tighter value is a change, the looser one is refused, with its key and a fix."""
    tree = paper()
    old = {".".join(one): value for one, value in leaves(tree)}[path]
    (change,) = changes(tree, put(tree, path, moved(old, up=up)))
    assert change.key == path
    with pytest.raises(ConfigError) as wrong:
        changes(tree, put(tree, path, moved(old, up=not up)))
    assert wrong.value.field == path
    assert "loosened" in str(wrong.value)
    assert "Stop the maker and start it" in wrong.value.fix


def test_for_ever_is_the_longest_freeze() -> None:
    """0 seconds of freeze mean until a person clears it: to get there is tighter, to leave it is looser."""
    tree = paper()
    path = f"{BTC}.burst_freeze_seconds"
    until_cleared = put(tree, path, 0)
    assert changes(tree, until_cleared) == (Change(path, "20.0", "0"),)
    with pytest.raises(ConfigError, match="loosened"):
        changes(until_cleared, tree)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cycle.requote_bps", Decimal("1.5")),
        ("budget.reduce_ratio", None),
        (f"{BTC}.levels", 3),
        (f"{BTC}.level_size", Decimal("0.03")),
        (f"{BTC}.model", "volatility"),
        (f"{BTC}.models.fixed.half_spread_bps", Decimal(3)),
        (f"{BTC}.models.another", {"half_spread_bps": 1}),
        (f"{BTC}.models.glft", None),
        (f"{BTC}.position_soft_ratio", Decimal("0.4")),
        (f"{BTC}.volatility_half_life_seconds", Decimal(60)),
    ],
)
def test_what_shapes_quotes_may_be_anything(path: str, value: object) -> None:
    tree = paper()
    assert all(one.key.startswith(path) for one in changes(tree, put(tree, path, value)))
    assert changes(tree, put(tree, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mode", "live"),
        ("account", "other"),
        ("order_prefix", "zz"),
        ("foreign_orders", "cancel"),
        ("state_folder", "elsewhere"),
        ("exchange", {"base_url": "https://other"}),
        ("reference.alpha.silent_seconds_max", Decimal(9)),
        ("reference.delta", {"silent_seconds_max": 5}),
        ("market.SOL-PERP", {"levels": 1}),
        ("market.ETH-PERP", None),
        (f"{BTC}.sources.alpha.symbol", "ETH"),
        (f"{BTC}.sources.alpha", None),
        (f"{BTC}.window_seconds", Decimal(30)),
        ("budget.requests_per_minute", 1200),
        ("limits.flatten", "halt"),
        ("limits.ramp_ratio", Decimal("0.05")),
        ("halt.tail_seconds_max", Decimal(9)),
        ("guard.hang_seconds_max", Decimal(2)),
        ("paper.seed", 2),
        ("a_key_of_tomorrow", 1),
    ],
)
def test_what_a_run_is_made_of_needs_another_start(path: str, value: object) -> None:
    """It names the key and says what to do; whatever the table does not know is among it."""
    tree = paper()
    with pytest.raises(ConfigError) as wrong:
        changes(tree, put(tree, path, value))
    assert wrong.value.field.startswith(path)
    assert "a running maker does not take" in wrong.value.problem


def test_two_spellings_of_a_number_are_no_change() -> None:
    tree = paper()
    assert changes(tree, tree) == ()
    assert changes(tree, put(tree, "limits.value_max", Decimal("60000.0"))) == ()
    assert changes(tree, put(tree, "limits.value_max", 6 * 10**4)) == ()


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), ("a", "a"), (True, "true"), (Decimal("1E+2"), "100"), (3, "3"), ([1], "[1]")]
)
def test_values_are_told_as_a_file_might_have_them(value: object, text: str | None) -> None:
    assert reload_rules.spelled(value) == text


def test_a_truth_is_no_number() -> None:
    """`true` in place of 1 is a change: what checks the file decides whether it may stand there."""
    is_number: Callable[[object], bool] = reload_rules.is_number
    assert is_number(1)
    assert not is_number(True)
    assert not is_number("1")
