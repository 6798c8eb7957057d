"""The configuration: the example loads exactly, and each way to be wrong refuses to start, naming the field."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.app.alert_config import Alerts
from maker.app.config import Config, Exchange, Paper, api_key, check, load, own_key
from maker.app.monitor_config import Monitor
from maker.app.reference_config import Reference
from maker.app.source import Files
from maker.desk.fair import PriceFrom
from maker.edge.session import Terms
from maker.errors import ConfigError
from maker.launch.key import PAPER_KEY
from maker.launch.settings import CONFIGURATION_BYTES_MAX
from maker.wire.references import venues
from maker.wire.references.described import Described

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "conf" / "paper.toml"
CANARY = "ocx_sk_canary_0123456789"
Tree = dict[str, Any]
Change = Callable[[Tree], None]


def paper_tree() -> Tree:
    return tomllib.loads(PAPER.read_text(), parse_float=Decimal)


def live_tree(**exchange: Any) -> Tree:
    tree = paper_tree()
    del tree["paper"]
    tree["mode"] = "live"
    tree["exchange"] = {"base_url": "https://api.example", "key_env": "OCX_KEY", **exchange}
    for one in tree["reference"].values():
        one["url"] = "wss://reference.example"
    return tree


def put(path: str, value: Any) -> Change:
    """Set one value; the last dot separates the table from its key."""

    def change(tree: Tree) -> None:
        table, _, key = path.rpartition(".")
        find(tree, table)[key] = value

    return change


def drop(path: str) -> Change:
    def change(tree: Tree) -> None:
        table, _, key = path.rpartition(".")
        del find(tree, table)[key]

    return change


def find(tree: Tree, path: str) -> Tree:
    for name in path.split(".") if path else ():
        tree = tree[name]
    return tree


def refused(tree: Tree, *changes: Change) -> ConfigError:
    """What `check` says of a changed tree; the tree itself must be sound."""
    check(copy.deepcopy(tree))
    for change in changes:
        change(tree)
    with pytest.raises(ConfigError) as caught:
        check(tree)
    return caught.value


# -- what loads ---------------------------------------------------------------------------------------------------


def test_the_practice_configuration_loads() -> None:
    config = load(PAPER, "http://127.0.0.1:8787", "ws://127.0.0.1:8788")
    assert config.mode == "paper"
    assert config.exchange == Exchange("http://127.0.0.1:8787")
    assert config.references["alpha"].url == "ws://127.0.0.1:8788/alpha"
    assert sorted(config.markets) == ["BTC-PERP", "ETH-PERP"]
    assert config.state_folder == ROOT / "state"
    assert config.paper is not None
    assert config.paper.preset == "busy"
    assert api_key(config, {}) == PAPER_KEY


def test_numbers_are_the_decimals_written() -> None:
    """0.1 is Decimal("0.1"), not the float nearest to it; a whole number in a money field is a Decimal too."""
    config = load(PAPER)
    market = config.markets["BTC-PERP"]
    assert str(market.limits.order_size_max) == "0.1"
    assert str(market.ladder.level_size) == "0.02"
    assert str(config.cycle.requote_bps) == "0.8"
    assert market.limits.order_value_max == Decimal(10000)
    money = [
        *attrs.asdict(market.ladder).values(),
        *(value for name, value in attrs.asdict(market.limits).items() if not name.endswith("_seconds")),
        market.fair.basis_bps_max,
        *(value for name, value in attrs.asdict(config.limits).items() if not name.endswith("_seconds")),
    ]
    assert all(type(value) in (Decimal, int) for value in money)
    assert type(market.limits.order_value_max) is Decimal
    assert type(market.ladder.levels) is int
    assert market.fair.price_from is PriceFrom.MID
    assert type(market.fair.sources["alpha"].stale_seconds_max) is float


def test_one_key_serves_two_rooms() -> None:
    """The ladder and the risk limits cannot disagree on the position limit."""
    market = load(PAPER).markets["ETH-PERP"]
    assert market.ladder.position_limit == market.limits.position_limit == Decimal(6)


def test_a_live_configuration_loads() -> None:
    config = check(live_tree())
    assert config.exchange == Exchange("https://api.example", key_env="OCX_KEY")
    assert config.paper is None
    assert config.references["alpha"].url == "wss://reference.example"


@pytest.mark.parametrize("place", ["http://127.0.0.1:8787", "http://localhost:1/v1", "http://[::1]:9"])
def test_plain_text_to_this_machine_may_be(place: str) -> None:
    assert check(live_tree(base_url=place)).exchange.base_url == place


# -- relations: each broken once ----------------------------------------------------------------------------------

BTC = "market.BTC-PERP"
BROKEN: list[tuple[str, Any]] = [
    ("cycle.requote_bps", 0),
    ("cycle.requote_bps", Decimal(-1)),
    ("cycle.requote_seconds_min", 0),
    ("cycle.quote_age_seconds_max", Decimal("0.3")),  # not above requote_seconds_min
    ("budget.reserve_ratio", 0),
    ("budget.reserve_ratio", 1),
    ("budget.requests_per_minute", 100_001),
    ("budget.requests_per_minute", 48),  # 24 are kept for cancels at least
    ("budget.reduce_ratio", -1),
    ("budget.reduce_ratio", Decimal("0.8")),  # with a reserve of 0.2 nothing is left
    ("cycle.quote_age_seconds_max", Decimal("1.33")),  # two markets, 90 requests a minute
    ("budget.burst", 0),
    ("limits.value_max", 0),
    ("limits.drawdown_max", 0),
    ("limits.daily_loss_max", -1),
    ("limits.headroom_warn_ratio", 1),
    ("limits.headroom_shrink_ratio", Decimal("0.5")),  # not below the step before it
    ("limits.headroom_reduce_only_ratio", Decimal("0.4")),
    ("limits.headroom_flatten_ratio", Decimal("0.2")),
    ("limits.headroom_flatten_ratio", 0),
    ("limits.margin_reserve_ratio", 1),
    ("limits.margin_reserve_ratio", Decimal("-0.1")),
    ("limits.margin_ratio", 0),
    ("limits.margin_ratio", Decimal("1.1")),
    ("limits.balance_stale_seconds_max", 13),  # read each 10 s, and that may take 3
    ("limits.preview_seconds", Decimal("4.9")),
    ("limits.preview_seconds", -1),
    ("limits.flatten", "always"),
    ("reference.alpha.silent_seconds_max", 0),
    ("halt.write_seconds_max", 0),
    ("halt.settle_seconds_max", 0),
    ("halt.tail_seconds_max", -1),
    ("halt.halt_seconds_max", 9),  # the tail of 8 and a settle of 1 just do not fit
    ("foreign_orders", "keep"),
    ("watch.poll_seconds", Decimal("0.9")),
    ("watch.poll_seconds", 61),
    ("watch.margin_seconds", Decimal("8.9")),  # a poll of 5 s, and two calls of 2
    ("guard.hang_seconds_max", Decimal("0.99")),
    ("guard.tail_seconds", Decimal("3.9")),  # a ladder may be 4 s on its way
    ("guard.give_up_seconds", 8),
    ("guard.crashes_max", 0),
    ("guard.crash_window_seconds", 0),
    ("guard.write_delay_seconds_max", 0),
    ("paper.preset", "wild"),
    (f"{BTC}.levels", 0),
    (f"{BTC}.levels", 21),
    (f"{BTC}.models.fixed.half_spread_bps", 0),
    (f"{BTC}.model", "fixd"),
    (f"{BTC}.model", ""),
    (f"{BTC}.step_growth", Decimal("0.5")),
    (f"{BTC}.widen_bps", -1),
    (f"{BTC}.fill_rate_per_second", 0),
    (f"{BTC}.fill_decay_per_bp", 0),
    (f"{BTC}.fill_memory_count", 10),
    (f"{BTC}.level_step_bps", 0),
    (f"{BTC}.level_size", 0),
    (f"{BTC}.position_limit", 0),
    (f"{BTC}.position_limit", Decimal("0.039")),  # two ladders of 0.02 do not fit
    (f"{BTC}.edge_bps_min", -1),
    (f"{BTC}.models.fixed.skew_bps", -1),
    (f"{BTC}.size_growth", Decimal("0.99")),
    (f"{BTC}.position_soft_ratio", 1),
    (f"{BTC}.funding_lean_ratio", Decimal("0.51")),  # beyond position_soft_ratio
    (f"{BTC}.funding_lean_ratio", -1),
    (f"{BTC}.funding_rate_min", -1),
    (f"{BTC}.position_soft_ratio", Decimal("-0.1")),
    (f"{BTC}.order_size_max", Decimal("0.039")),  # the outermost level is 0.02 * 1.25 ** 3 = 0.0390625
    (f"{BTC}.order_value_max", 0),
    (f"{BTC}.burst_size_max", Decimal("0.2")),  # both sides of the ladder are 0.230625
    (f"{BTC}.burst_seconds", 0),
    (f"{BTC}.open_size_max", Decimal("0.2306")),
    (f"{BTC}.position_value_max", 0),
    (f"{BTC}.position_value_max", 9999),  # an order may be worth 10000
    (f"{BTC}.index_collar_bps", 12),
    (f"{BTC}.window_collar_bps", 12),
    (f"{BTC}.window_seconds", 601),
    (f"{BTC}.jump_bps", 0),
    (f"{BTC}.jump_seconds", 0),
    (f"{BTC}.jump_seconds", 21),  # the window is 20
    (f"{BTC}.jump_confirm_seconds", 0),
    (f"{BTC}.jump_confirm_seconds", 601),
    (f"{BTC}.burst_value_max", 0),
    (f"{BTC}.burst_fills_max", 7),  # four levels, twice
    (f"{BTC}.burst_freeze_seconds", -1),
    ("limits.ramp_seconds", -1),
    ("limits.ramp_ratio", 0),
    ("limits.ramp_ratio", Decimal("1.01")),
    (f"{BTC}.collar_bps", 12),  # as far as the skewed ladder reaches: 2 + 1.5 * 4 + 4
    (f"{BTC}.sources.alpha.stale_seconds_max", 0),
    (f"{BTC}.sources.alpha.stale_seconds_max", 11),
    (f"{BTC}.sources.alpha.unchanged_seconds_max", 1.9),
    (f"{BTC}.index_stale_seconds_max", 16),
    (f"{BTC}.outlier_bps_max", 501),
    (f"{BTC}.basis_bps_max", 501),
    (f"{BTC}.mark_index_bps_max", 501),
    (f"{BTC}.sources.alpha.weight", 0),
    (f"{BTC}.sources.alpha.symbol", ""),
    (f"{BTC}.sources_min", 0),
    (f"{BTC}.sources_min", 4),
    (f"{BTC}.outlier_bps_max", 0),
    (f"{BTC}.index_weight", -1),
    (f"{BTC}.volatility_grid_seconds", 0),
    (f"{BTC}.volatility_half_life_seconds", 1),  # not above the grid
    (f"{BTC}.volatility_samples_min", 0),
    (f"{BTC}.volatility_bps_min", 0),
    (f"{BTC}.index_stale_seconds_max", 0),
    (f"{BTC}.basis_half_life_seconds", 0),
    (f"{BTC}.basis_bps_max", 0),
    (f"{BTC}.mark_index_bps_max", 0),
    ("order_prefix", "m"),
    ("order_prefix", "MK"),
    ("order_prefix", "ninechars"),
    ("order_prefix", "m-k"),
    ("order_prefix", "mk\n"),
    ("mode", "simulate"),
    ("account", ""),
    ("state_folder", ""),
    ("paper.references", 3),
    ("paper.references.beta", 3),
    ("paper.references.beta.offset_bps", "2"),
    ("paper.references.beta.offset_bps", 1001),
    ("paper.references.beta.wander_bps", -1),
    ("paper.references.beta.lag_seconds", Decimal("2.01")),
    ("paper.references.beta.dies_per_hour", 121),
    ("paper.references.beta.dead_seconds", 0),
    ("paper.references.beta.dead_way", "loud"),
]


@pytest.mark.parametrize(("field", "value"), BROKEN, ids=[f"{field}={value!r}" for field, value in BROKEN])
def test_each_relation_refuses_and_names_its_field(field: str, value: Any) -> None:
    error = refused(paper_tree(), put(field, value))
    assert error.field == field
    assert str(error).startswith(f"{field}: ")
    assert error.problem


@pytest.mark.parametrize(
    ("edge", "collar", "value", "fix"),
    [
        (100, "collar_bps", 60, "Raise the collar or lower edge_bps_min."),
        (100, "index_collar_bps", 80, "Raise the collar or lower edge_bps_min."),
        (54, "collar_bps", 60, "Raise the collar or lower edge_bps_min."),  # four levels 1.5 bp apart and one to spare
        (6, "collar_bps", 12, "Raise the collar or narrow the ladder."),  # no further out than half-spread and skew
    ],
)
def test_a_collar_within_the_least_edge_is_refused(edge: int, collar: str, value: int, fix: str) -> None:
    """Such a ladder has no level that is ever sent: the edge holds all of it out, whatever the model says."""
    tree = paper_tree()
    tree["market"]["BTC-PERP"] |= {"collar_bps": 400, "index_collar_bps": 400, "window_collar_bps": 400}
    error = refused(tree, put(f"{BTC}.edge_bps_min", edge), put(f"{BTC}.{collar}", value))
    assert (error.field, error.fix) == (f"{BTC}.{collar}", fix)
    assert ("edge_bps_min" in error.problem) == ("edge_bps_min" in fix)


@pytest.mark.parametrize("model", ["fixed", "volatility", "avellaneda_stoikov", "glft", "glft_closed"])
def test_a_collar_is_beyond_the_least_edge_of_any_model(model: str) -> None:
    tree = paper_tree()
    tree["market"]["BTC-PERP"] |= {"model": model, "edge_bps_min": Decimal("53.9")}
    check(copy.deepcopy(tree))
    assert refused(tree, put(f"{BTC}.edge_bps_min", 54)).field == f"{BTC}.collar_bps"


@pytest.mark.parametrize(
    ("given", "name", "most"),
    [
        ({"burst": 200}, "burst", 90),  # of 120 there are 24 for cancels, and 6 for what two markets need at least
        ({"burst": 96}, "burst", 90),
        ({"reserve_ratio": Decimal("0.99")}, "reserve_ratio", 0.9),
        ({"reserve_ratio": Decimal("0.95"), "reduce_ratio": 0}, "reserve_ratio", 0.9),
        ({"reserve_ratio": Decimal("0.6"), "burst": 48}, "reserve_ratio", 0.55),
        ({"requests_per_minute": 49, "burst": 25}, "burst", 19),
    ],
)
def test_requests_of_which_none_is_left_name_what_takes_them(given: Tree, name: str, most: float) -> None:
    """And what it may be at most, which then loads."""
    tree = paper_tree()
    tree["budget"] |= given
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert (caught.value.field, caught.value.fix) == (f"budget.{name}", f"It may be at most {most}.")
    put(f"budget.{name}", most if name == "burst" else Decimal(str(most)))(tree)
    check(tree)


def test_an_age_that_nothing_can_be_refreshed_for() -> None:
    """Whatever the age asks for, the key that leaves nothing is named first, and then the age."""
    tree = paper_tree()
    tree["cycle"] |= {"requote_seconds_min": Decimal("1e-310"), "quote_age_seconds_max": Decimal("2e-310")}
    tree["budget"]["burst"] = 200
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert (caught.value.field, caught.value.fix) == ("budget.burst", "It may be at most 1.")
    put("budget.burst", 1)(tree)
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert caught.value.field == "cycle.quote_age_seconds_max"


JUST_RIGHT: list[tuple[str, Any]] = [
    ("paper.references.gamma.lag_seconds", 2),
    ("paper.references.gamma.dies_per_hour", 60),
    ("paper.references.gamma.offset_bps", -1000),
    ("limits.headroom_warn_ratio", Decimal("0.99")),
    ("limits.headroom_flatten_ratio", Decimal("0.19")),
    ("limits.margin_reserve_ratio", 0),
    ("limits.margin_ratio", 1),
    ("limits.balance_stale_seconds_max", Decimal("13.1")),
    ("limits.preview_seconds", 0),
    ("limits.preview_seconds", 5),
    ("limits.flatten", "halt"),
    (f"{BTC}.funding_lean_ratio", Decimal("0.5")),
    (f"{BTC}.funding_rate_min", 0),
    ("cycle.quote_age_seconds_max", Decimal("1.34")),
    ("budget.requests_per_minute", 49),
    ("budget.reduce_ratio", 0),
    ("budget.burst", 1),
    ("halt.halt_seconds_max", Decimal("9.01")),
    ("foreign_orders", "cancel"),
    ("guard.hang_seconds_max", 1),
    ("guard.tail_seconds", 4),
    ("guard.give_up_seconds", Decimal("8.01")),
    ("guard.crashes_max", 1),
    (f"{BTC}.levels", 1),
    (f"{BTC}.position_limit", Decimal("0.04")),
    (f"{BTC}.edge_bps_min", 0),
    (f"{BTC}.models.fixed.skew_bps", 0),
    (f"{BTC}.size_growth", 1),
    (f"{BTC}.position_soft_ratio", 0),
    (f"{BTC}.order_size_max", Decimal("0.0390625")),
    (f"{BTC}.collar_bps", Decimal("12.01")),
    (f"{BTC}.burst_size_max", Decimal("0.230625")),
    (f"{BTC}.open_size_max", Decimal("0.230625")),
    (f"{BTC}.position_value_max", 10000),
    (f"{BTC}.index_collar_bps", Decimal("12.01")),
    (f"{BTC}.window_collar_bps", Decimal("12.01")),
    (f"{BTC}.window_seconds", 5),
    (f"{BTC}.jump_seconds", 20),
    (f"{BTC}.burst_fills_max", 8),
    (f"{BTC}.burst_freeze_seconds", 0),
    ("limits.ramp_seconds", 0),
    ("limits.ramp_ratio", 1),
    ("order_prefix", "mk345678"),
]


@pytest.mark.parametrize(("field", "value"), JUST_RIGHT, ids=[f"{field}={value!r}" for field, value in JUST_RIGHT])
def test_just_inside_each_relation_loads(field: str, value: Any) -> None:
    tree = paper_tree()
    put(field, value)(tree)
    check(tree)


def test_a_practice_venue_that_no_feed_listens_to_refuses() -> None:
    """A misspelled name would be a plain venue, and nobody would know."""
    error = refused(paper_tree(), put("paper.references.betta", {}))
    assert error.field == "paper.references.betta"
    assert "beta" in error.fix


@pytest.mark.parametrize(
    ("name", "url"), [("alpha", "ws://127.0.0.1:8788/alpha"), ("a/b c", "ws://127.0.0.1:8788/a%2Fb%20c")]
)
def test_each_feed_has_its_own_path_on_the_practice_exchange(name: str, url: str) -> None:
    tree = paper_tree()
    tree["reference"] = {**tree["reference"], name: tree["reference"]["alpha"]}
    assert check(tree, "http://127.0.0.1:8787", "ws://127.0.0.1:8788/").references[name].url == url


def test_no_market_refuses() -> None:
    assert refused(paper_tree(), put("market", {})).field == "market"


# -- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("accounts", "account"),
        ("markt", "market"),
        ("halt.tail_second_max", "tail_seconds_max"),
        ("budget.requests_per_second", "requests_per_minute"),
        ("paper.seeds", "seed"),
        ("paper.references.beta.offset", "offset_bps"),
        (f"{BTC}.models.fixed.half_spread", "half_spread_bps"),
        (f"{BTC}.colar_bps", "collar_bps"),
        ("reference.beta.silent_seconds", "silent_seconds_max"),
        ("cycle.requote_bp", "requote_bps"),
        ("limits.value", "value_max"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(written: str, meant: str) -> None:
    error = refused(paper_tree(), put(written, 1))
    assert (error.field, error.fix) == (written, f"Did you mean {meant}?")


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("gtfl", "Did you mean glft?"),
        ("zzz", "There: fixed, volatility, avellaneda_stoikov, glft, glft_closed."),
        ("wide.py:Wide", f'Add [{BTC}.models."wide.py:Wide"]; there: fixed, volatility, avellaneda_stoikov, glft, '
                         "glft_closed."),
    ],
)  # fmt: skip
def test_a_model_without_a_table_is_answered_with_what_to_write(model: str, fix: str) -> None:
    """What it says to add is TOML; a misspelled name is taken for the one that was meant."""
    error = refused(paper_tree(), put(f"{BTC}.model", model))
    assert (error.field, error.problem, error.fix) == (f"{BTC}.model", f"{model!r} has no table.", fix)
    added = re.search(r"\[.*\]", error.fix)
    assert added is None or tomllib.loads(added[0]) == {"market": {"BTC-PERP": {"models": {model: {}}}}}


def test_a_market_is_quoted_too_where_it_has_to_be() -> None:
    tree = paper_tree()
    tree["market"]["BTC/USDC"] = {**tree["market"]["BTC-PERP"], "models": {}}
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert caught.value.fix == 'Add [market."BTC/USDC".models.fixed]; there: none.'


def test_a_models_table_that_is_wrong_is_named_itself() -> None:
    """Whether it quotes or not: nothing is wrong with `model`."""
    tree = paper_tree()
    tree["market"]["BTC-PERP"]["models"]["gone.py:Wide"] = {}
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert caught.value.field == f'{BTC}.models."gone.py:Wide"'
    assert caught.value.problem.startswith("there is no file ")


def test_an_unknown_key_like_no_other_lists_them() -> None:
    error = refused(paper_tree(), put("halt.zzz", 1))
    assert error.field == "halt.zzz"
    assert "tail_seconds_max" in error.fix


@pytest.mark.parametrize(
    ("mode", "table"), [("paper", "exchange"), ("live", "paper")], ids=["exchange in paper", "paper in live"]
)
def test_a_table_of_the_other_mode_is_checked_too(mode: str, table: str) -> None:
    """No key is read by nobody: a misspelled one refuses wherever it stands."""
    tree = paper_tree() if mode == "paper" else live_tree()
    tree[table] = {"nonsense": 1}
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert caught.value.field.startswith(table)


LEAVES = [
    name if not isinstance(value, dict) else f"{name}.{key}"
    for name, value in paper_tree().items()
    if name != "market"
    for key in (value if isinstance(value, dict) else [""])
] + [f"{BTC}.{key}" for key in paper_tree()["market"]["BTC-PERP"]]
OPTIONAL = {f"paper.{field.name}" for field in attrs.fields(Paper) if field.default is not attrs.NOTHING}
OPTIONAL |= {f"{BTC}.fill_prior_count", f"{BTC}.fill_memory_count"}  # have defaults
OPTIONAL |= {f"reference.{name}" for name in paper_tree()["reference"]}  # names of the user's own
OPTIONAL |= {"budget.reduce_ratio"}
OPTIONAL |= {f"alerts.{field.name}" for field in attrs.fields(Alerts)}  # without them nobody is told
OPTIONAL |= {f"monitor.{field.name}" for field in attrs.fields(Monitor)}  # the whole table may be left out


@pytest.mark.parametrize("field", sorted({leaf.rstrip(".") for leaf in LEAVES} - OPTIONAL))
def test_a_missing_key_is_named(field: str) -> None:
    error = refused(paper_tree(), drop(field))
    assert error.field == field


@pytest.mark.parametrize("table", ["paper", "reference", "cycle", "budget", "limits", "halt", "guard", "market"])
def test_a_missing_table_is_named(table: str) -> None:
    assert refused(paper_tree(), drop(table)).field == table
    assert refused(paper_tree(), put(table, 7)).field == table


def test_a_watcher_has_defaults_and_one_place_for_its_key() -> None:
    """[watch] may be left out: whoever has no second host need not know of it."""
    assert check(live_tree()).watch is not None
    tree = live_tree()
    del tree["watch"]
    assert check(tree).watch is None
    tree["watch"] = {"poll_seconds": 5, "margin_seconds": 15, "key_env": "A", "key_file": "b"}
    with pytest.raises(ConfigError, match="two places to find the key"):
        check(tree)


def test_a_market_that_is_no_table_is_named() -> None:
    assert refused(paper_tree(), put(BTC, 7)).field == BTC


# -- types --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (f"{BTC}.level_size", "0.02"),
        (f"{BTC}.level_size", True),
        (f"{BTC}.level_size", Decimal("NaN")),
        (f"{BTC}.level_size", Decimal("Infinity")),
        (f"{BTC}.level_size", [Decimal("0.02")]),
        (f"{BTC}.levels", Decimal(4)),
        (f"{BTC}.levels", Decimal("4.5")),
        (f"{BTC}.levels", True),
        (f"{BTC}.sources.alpha.stale_seconds_max", "2"),
        (f"{BTC}.sources.alpha.stale_seconds_max", Decimal("Infinity")),
        (f"{BTC}.sources.alpha.stale_seconds_max", False),
        (f"{BTC}.price_from", "last"),
        (f"{BTC}.price_from", 1),
        (f"{BTC}.price_from", ["mid"]),
        (f"{BTC}.sources.alpha.symbol", 5),
        ("halt.tail_seconds_max", {}),
        ("budget.burst", Decimal("6.0")),
        ("paper.seed", "1"),
        ("mode", 1),
        ("account", 1),
        ("order_prefix", ["mk"]),
        ("state_folder", 1),
    ],
    ids=str,
)
def test_a_wrong_type_is_named(field: str, value: Any) -> None:
    assert refused(paper_tree(), put(field, value)).field == field


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        (f"{BTC}.level_size", Decimal("1e15"), "is 1E+15. Write a number below 1,000,000,000,000,000."),
        (f"{BTC}.level_size", -(10**15), "is -1000000000000000. Write a number above -1,000,000,000,000,000."),
        (f"{BTC}.levels", 10**9, "is 1000000000. Write a whole number below 1,000,000,000."),
        (f"{BTC}.jump_seconds", Decimal("1e9"),
         "is 1E+9. Write a number of seconds or a ratio below 1,000,000,000."),
        (f"{BTC}.level_size", Decimal("Infinity"), "is Infinity. Write a number."),
        (f"{BTC}.level_size", "", "is empty. Write a number."),
        (f"{BTC}.level_size", " ", "is empty. Write a number."),
    ],
)  # fmt: skip
def test_a_number_that_is_none_or_too_large_is_told_so(field: str, value: Any, sentence: str) -> None:
    assert str(refused(paper_tree(), put(field, value))) == f"{field}: {sentence}"


def test_sizes_of_a_cheap_token() -> None:
    """Thousands of millions of it are a position as any other."""
    tree = paper_tree()
    market = tree["market"]["BTC-PERP"]
    for name in ("level_size", "position_limit", "order_size_max", "open_size_max", "burst_size_max"):
        market[name] *= 10**12
    read = check(tree).markets["BTC-PERP"]
    assert read.ladder.level_size == Decimal("2e10")
    assert read.limits.position_limit == market["position_limit"] > 10**9


NUMBERS = [f"{BTC}.{key}" for key, value in paper_tree()["market"]["BTC-PERP"].items() if not isinstance(value, str)]
NUMBERS += ["cycle.requote_bps", "halt.halt_seconds_max", "budget.requests_per_minute", "limits.value_max"]
HOSTILE = [10**400, -(10**400), *map(Decimal, ("1e400", "1e999999", "-1e999999", "1e9999999", "1e-999999")), 0]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:12])
def test_a_hostile_number_is_refused_or_meant(field: str, value: Any) -> None:
    """ConfigError or a configuration, and no infinite patience in it."""
    tree = paper_tree()
    put(field, value)(tree)
    try:
        config = check(tree)
    except ConfigError:
        return
    market = config.markets["BTC-PERP"]
    for number in (*attrs.asdict(market.fair).values(), *attrs.asdict(config.halt).values()):
        assert not isinstance(number, float) or number < 1e9


@settings(max_examples=150)
@given(st.data())
def test_any_value_anywhere(data: st.DataObject) -> None:
    """A configuration or ConfigError, nothing else."""
    tree = paper_tree() if data.draw(st.booleans()) else live_tree()
    for _ in range(data.draw(st.integers(1, 2))):
        table = data.draw(st.sampled_from([name for name, value in tree.items() if isinstance(value, dict)]))
        owner = tree[table]
        if table == "market" and isinstance(owner.get("BTC-PERP"), dict):
            owner = owner["BTC-PERP"]
        key = data.draw(st.sampled_from([*owner, "more"]))
        owner[key] = data.draw(
            st.one_of(
                st.booleans(),
                st.integers(-(10**20), 10**20),
                st.decimals(allow_nan=True, allow_infinity=True),
                st.text(max_size=8),
                st.just({}),
                st.lists(st.integers(), max_size=2),
            )
        )
    try:
        assert isinstance(check(tree), Config)
    except ConfigError:
        return


# -- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (None, "Give the path of a TOML file."),
        (b"#" * (CONFIGURATION_BYTES_MAX + 1), "Give the path of a TOML file."),
        (b"a = 1\nmode = \n", "Mend that line."),
        (b"a = [1", "Mend it: TOML, in UTF-8."),
        (b"a = '\xff'", "Mend it: TOML, in UTF-8."),
    ],
    ids=["missing", "huge", "line", "end", "utf-8"],
)
@pytest.mark.parametrize("read", [load, lambda path: Files(path).now()], ids=["start", "reload"])
def test_a_file_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, fix: str, read: Callable[[Path], object]
) -> None:
    """Another path is the answer only where there is no such file; a mistake in it is mended in it."""
    path = tmp_path / "some.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.fix == fix


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert caught.value.fix == "Give the path of a TOML file."


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/state", "a\0b"])
def test_a_state_folder_that_cannot_be(folder: str) -> None:
    assert refused(paper_tree(), put("state_folder", folder)).field == "state_folder"


# -- the exchange and its key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://192.168.0.4:80",
        "ftp://api.example",
        "api.example",
        "https://",
        "",
        "https:api.example",
        "https://[::1",
    ],
)
def test_an_exchange_that_is_not_encrypted_or_nowhere(url: str) -> None:
    error = refused(live_tree(), put("exchange.base_url", url))
    assert error.field == "exchange.base_url"


@pytest.mark.parametrize("url", ["ws://reference.example", "https://reference.example", "wss://", "", "wss://[::1"])
def test_a_reference_that_is_not_encrypted_or_nowhere(url: str) -> None:
    assert refused(live_tree(), put("reference.alpha.url", url)).field == "reference.alpha.url"


NO_ADDRESSES = [  # the library that looks a host up, or asks for a path, has errors of its own for each
    "://stream..binance.example/ws",
    "://.binance.example",
    f"://{'a' * 64}.example",
    f"://{'a' * 64}@binance.example",
    "://stream binance.example",
    "://stream\0.example",
    "://binance.example:999999/ws",
    "://binance.example:-1",
    "://binance.example:x",
    "://binance.example:0",
    "://binance.example/w\u00fc",
    "://binance.example/?w=\u00fc",
]


@pytest.mark.parametrize("rest", NO_ADDRESSES)
@pytest.mark.parametrize("field", ["reference.alpha.url", "exchange.base_url"])
def test_a_typo_in_an_address_is_refused_when_it_is_read(field: str, rest: str) -> None:
    """It is named with the reason, and no library meets it at run time."""
    url = f"{'https' if field == 'exchange.base_url' else 'wss'}{rest}"
    error = refused(live_tree(), put(field, url))
    assert (error.field, f"is {url!r}: " in error.problem) == (field, True), error


@pytest.mark.parametrize(
    "url",
    [
        "wss://b\u00fccher.example/ws",
        "wss://binance.example.:65535/ws",
        "wss://[::1]:1/?a=1",
        f"wss://{'a' * 63}.example/{'a' * 99}",
        "wss://{symbol}.example/{symbol}",
    ],
)
def test_an_address_that_can_be_asked_for_loads(url: str) -> None:
    tree = live_tree()
    put("reference.alpha.url", url)(tree)
    assert check(tree).references["alpha"].url == url


DESCRIBED = {"subscribe": "{symbol}", "symbol": "s", "bid": "b.0", "bid_size": "B", "ask": "a.0", "ask_size": "A"}


def json_tree() -> Tree:
    tree = live_tree()
    tree["reference"]["alpha"] |= {"venue": "json", "described": dict(DESCRIBED)}
    return tree


@pytest.mark.parametrize("venue", sorted(set(venues.BUILT) - {venues.PRACTICE}))
def test_a_public_venue_needs_no_address(venue: str) -> None:
    tree = live_tree()
    tree["reference"]["alpha"] = {"silent_seconds_max": 5, "venue": venue}
    for market in tree["market"].values():
        market["sources"]["alpha"]["stale_seconds_max"] = 3
    found = check(tree).references["alpha"]
    assert found == Reference(5.0, venues.default_url(venue), venue=venue)
    put("reference.alpha.url", "wss://other.example")(tree)
    assert check(tree).references["alpha"].url == "wss://other.example"


def test_a_source_is_not_stale_between_two_answers_to_our_pings() -> None:
    """OKX is asked each 2 s for a sign of life: with a limit of 2 s each answer that is a little late would pull."""
    tree = live_tree()
    tree["reference"]["alpha"] = {"silent_seconds_max": 5, "venue": "okx"}
    for market in tree["market"].values():
        market["sources"]["alpha"]["stale_seconds_max"] = 3
    place = f"{BTC}.sources.alpha.stale_seconds_max"
    check(tree)
    assert refused(tree, put(place, Decimal("2.9"))).field == place


def test_a_described_feed() -> None:
    """Its words are what the adapter gets; an address it must have."""
    found = check(json_tree()).references["alpha"]
    assert found.described == Described(**DESCRIBED)
    assert venues.adapter(found.venue, "alpha", ("X",), found.described).opening() == ("X",)
    assert refused(json_tree(), put("reference.alpha.url", "")).field == "reference.alpha.url"
    tree = json_tree()
    put("reference.alpha.described.stated_at", "data.0.ts")(tree)
    timed = check(tree).references["alpha"].described
    assert timed == Described(**DESCRIBED, stated_at="data.0.ts")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("error", "error.0.message"),
        ("error", ""),
        ("alive", "data.type=heartbeat"),
        ("alive", "type="),
        ("alive", "pong"),
        ("alive", "..."),
        ("alive", '{"type":"pong","of":"..="}'),
        ("alive", '["..="]'),
    ],
)
def test_what_a_described_feed_may_say(name: str, text: str) -> None:
    """Only a path is judged as one: a whole message is whatever the venue sends."""
    tree = json_tree()
    put(f"reference.alpha.described.{name}", text)(tree)
    assert check(tree).references["alpha"].described == Described(**DESCRIBED, **{name: text})


def test_practice_speaks_the_practice_feed() -> None:
    """A venue's parser never meets the practice exchange's messages, nor practice a real venue's prices."""
    for tree in (json_tree(), live_tree()):
        found = check(tree, "http://127.0.0.1:1", "ws://127.0.0.1:2").references["alpha"]
        assert found == Reference(5.0, "ws://127.0.0.1:2/alpha")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("venue", "binanse"),
        ("venue", ""),
        ("venue", 7),
        ("described", DESCRIBED),
        ("described", "x"),
        ("described.bod", "x"),
        ("described.bid", ""),
        ("described.bid", "data..b"),
        ("described.ask_size", 7),
        ("described.stated_at", "data..ts"),
        ("described.stated_at", 7),
        ("described.error", "error..message"),
        ("described.error", "."),
        ("described.alive", "data..type=heartbeat"),
        ("described.alive", "=heartbeat"),
        ("silent_seconds_max", 2),
    ],
)
def test_a_venue_that_cannot_be_spoken_to(path: str, value: Any) -> None:
    """Field and fix are named."""
    tree = json_tree() if "." in path else live_tree()
    if path == "silent_seconds_max":
        put("reference.alpha.venue", "okx")(tree)
        for market in tree["market"].values():
            market["sources"]["alpha"]["stale_seconds_max"] = 3
    error = refused(tree, put(f"reference.alpha.{path}", value))
    assert error.field == f"reference.alpha.{path}"
    assert error.fix


@pytest.mark.parametrize("name", sorted(DESCRIBED))
def test_a_description_is_whole(name: str) -> None:
    assert refused(json_tree(), drop(f"reference.alpha.described.{name}")).field == f"reference.alpha.described.{name}"
    assert refused(json_tree(), drop("reference.alpha.described")).field == "reference.alpha.described"


@pytest.mark.parametrize("places", [{"key_env": ""}, {"key_file": "/etc/key"}], ids=["neither", "both"])
def test_a_key_is_in_one_place(places: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(live_tree(**places))
    assert caught.value.field == "exchange"


SECRET_PLACES: list[Change] = [
    put("exchange.key_env", CANARY),
    put("exchange.key_file", CANARY),
    put("exchange.base_url", f"https://{CANARY}@api.example"),
    put("exchange.key", CANARY),
    put("account", CANARY),
    put("mode", CANARY),
    put("order_prefix", CANARY),
    put("key", CANARY),
    put("reference.alpha.url", f"wss://reference.example/?key={CANARY}"),
    put(f"{BTC}.sources.beta.symbol", CANARY),
    put(f"{BTC}.level_size", CANARY),
    put(f"{BTC}.level_size", [CANARY]),
    put("halt.tail_seconds_max", {"key": CANARY}),
    put("halt.tail_seconds_max", [{"key": CANARY}]),
    put("state_folder", f"/tmp/{CANARY}"),
]


@pytest.mark.parametrize("change", SECRET_PLACES, ids=range(len(SECRET_PLACES)))
def test_a_key_in_the_file_is_refused_and_never_repeated(change: Change) -> None:
    """S18: whatever is wrong with the file, the sentence that says so does not hold the key."""
    error = refused(live_tree(), change)
    for told in (str(error), repr(error), error.field, error.problem, error.fix):
        assert CANARY not in told


@pytest.mark.parametrize("spelling", ["ab" * 32, "0x" + "ab" * 32, " 0X".lower() + "AB" * 32 + " "])
@pytest.mark.parametrize("place", ["exchange.wallet_file", "account", "state_folder"])
def test_a_wallets_key_in_the_file_is_refused_and_never_repeated(spelling: str, place: str) -> None:
    error = refused(live_tree(), put(place, spelling))
    assert "private key" in error.problem
    for told in (str(error), repr(error), error.field, error.problem, error.fix):
        assert "abab" not in told.lower()


def test_what_a_wallet_signs_for_is_checked_at_the_start() -> None:
    """The defaults are the address's own; what EIP-4361 cannot say names its key."""
    given = {"sign_in_domain": "app.test", "sign_in_uri": "https://app.test/x", "chain_id": 5, "wallet_file": "w"}
    assert check(live_tree(**given)).exchange.terms() == Terms("app.test", "https://app.test/x", 5)
    assert check(live_tree()).exchange.wallet() is None
    for field, value in (("sign_in_domain", "a b"), ("sign_in_uri", "nowhere"), ("chain_id", -1)):
        assert refused(live_tree(), put(f"exchange.{field}", value)).field == f"exchange.{field}"


def test_notes_beside_a_key_come_with_it() -> None:
    config = check(live_tree())
    told = own_key(config, {"OCX_KEY": f"{CANARY}\n# scope: trade\n# expires: never\n"})
    assert (told.secret, told.scope, told.expires_at) == (CANARY, "trade", float("inf"))
    assert CANARY not in repr(told)


def test_the_key_from_the_environment() -> None:
    config = check(live_tree())
    assert api_key(config, {"OCX_KEY": f" {CANARY}\n"}) == CANARY
    assert CANARY not in repr(config)


@pytest.mark.parametrize("value", [None, "", "  ", "secret", f"{CANARY} {CANARY}", f"{CANARY}é", f"x{CANARY}"])
def test_no_key_in_the_environment(value: str | None) -> None:
    environment = {} if value is None else {"OCX_KEY": value}
    with pytest.raises(ConfigError) as caught:
        api_key(check(live_tree()), environment)
    assert caught.value.field == "exchange.key_env"
    assert "OCX_KEY" in str(caught.value)
    assert not value or not value.strip() or value.strip() not in str(caught.value)


def key_file(path: Path, content: bytes, mode: int) -> Config:
    path.write_bytes(content)
    path.chmod(mode)
    return check(live_tree(key_env="", key_file=str(path)))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_ours_alone(tmp_path: Path, mode: int) -> None:
    assert api_key(key_file(tmp_path / "key", f"{CANARY}\n".encode(), mode), {}) == CANARY


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o666, 0o610, 0o1600 | 0o4])
def test_a_key_file_that_others_may_touch(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigError) as caught:
        api_key(key_file(path, CANARY.encode(), mode), {})
    assert caught.value.field == "exchange.key_file"
    assert f"chmod 600 {path}" in caught.value.fix
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"secret", b"ocx_sk_a\nocx_sk_b", b"ocx_sk_\xff\xfe", b"\0" * 600])
def test_a_key_file_without_a_key(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        api_key(key_file(tmp_path / "key", content, 0o600), {})
    assert caught.value.field == "exchange.key_file"


@pytest.mark.parametrize("name", ["none", ".", "~nobody-of-this-name/key", "a\0b"])
def test_a_key_file_that_is_none(tmp_path: Path, name: str) -> None:
    place = name if name.startswith("~") else os.path.join(tmp_path, name)
    with pytest.raises(ConfigError) as caught:
        api_key(check(live_tree(key_env="", key_file=place)), {})
    assert caught.value.field == "exchange.key_file"
