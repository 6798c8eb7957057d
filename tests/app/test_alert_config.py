"""[alerts]: strict, explained in conf/, and never a place for a secret."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker.app.alert_config import Alerts, Kind, Severity, Target, alerts
from maker.app.config import check
from maker.drills.configuration import prepare
from maker.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
SECRET = "https://hooks.example/services/T0CANARY"
SLACK = {"kind": "slack", "url_env": "X"}
TELEGRAM = {"kind": "telegram", "chat": "1", "token_env": "X"}
TOKEN = "123456789:AAcanary_canary_canary_canary_c"


def one(**target: Any) -> dict[str, Any]:
    return {"alerts": {"targets": {"ops": target}}}


def refused(tree: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        alerts(tree)
    return caught.value


def test_without_the_table_nobody_is_told() -> None:
    assert alerts({}) == Alerts()
    assert Alerts().targets == {}


@pytest.mark.parametrize("name", ["paper.toml", "live.example.toml"])
def test_the_example_says_what_the_code_takes_for_granted(name: str) -> None:
    """Every key stands there, as it is without the table."""
    tree = tomllib.loads((CONF / name).read_text(), parse_float=Decimal)
    assert alerts(tree) == Alerts()
    assert set(tree["alerts"]) == {field.name for field in attrs.fields(Alerts)} - {"targets"}


def test_every_key_of_a_target_is_explained() -> None:
    text = (CONF / "paper.toml").read_text()
    part = text[text.index("# [alerts.targets.ops]") : text.index("[market.BTC-PERP]")]
    explained = set(re.findall(r"^# ([a-z_]+) = ", part, re.MULTILINE))
    assert explained == {field.name for field in attrs.fields(Target)} - {"name"}
    assert all(f'"{kind.value}"' in part for kind in Kind)
    assert all(f'"{severity.value}"' in part for severity in Severity)


def test_the_examples_targets_are_targets() -> None:
    """What is commented out in conf/live.example.toml is read as it stands."""
    text = (CONF / "live.example.toml").read_text()
    part = text[text.index("# [alerts.targets.ops]") : text.index("[market.BTC-PERP]")]
    found = alerts(tomllib.loads("\n".join(line.removeprefix("#").strip() for line in part.splitlines())))
    assert [(target.kind, target.severity_min) for target in found.targets.values()] == [
        (Kind.SLACK, Severity.WARNING),
        (Kind.TELEGRAM, Severity.CRITICAL),
    ]


def test_a_target_is_read() -> None:
    found = alerts(one(kind="webhook", url_env="HOOK", token_file="~/token", severity_min="critical")).targets["ops"]
    assert found == Target("ops", Kind.WEBHOOK, Severity.CRITICAL, url_env="HOOK", token_file="~/token")
    assert found.takes(Severity.CRITICAL)
    assert not found.takes(Severity.WARNING)


@pytest.mark.parametrize(
    ("tree", "field", "part"),
    [
        ({"alerts": {"dayly": 1}}, "alerts.dayly", "Known here"),
        ({"alerts": {"daily_sumary_at": "06:00"}}, "alerts.daily_sumary_at", "daily_summary_at"),
        ({"alerts": {"daily_summary_at": "6:00"}}, "alerts.daily_summary_at", "no time of day"),
        ({"alerts": {"daily_summary_at": "24:00"}}, "alerts.daily_summary_at", "no time of day"),
        ({"alerts": {"quiet_from": "22:00"}}, "alerts.quiet_to", "no span"),
        ({"alerts": {"quiet_from": "22:00", "quiet_to": "22:00"}}, "alerts.quiet_to", "no span"),
        ({"alerts": {"not_quoting_seconds": 0}}, "alerts.not_quoting_seconds", "1 or more"),
        ({"alerts": {"feed_down_seconds": "60"}}, "alerts.feed_down_seconds", "a number"),
        ({"alerts": {"loss_near_ratio": 1}}, "alerts.loss_near_ratio", "below 1"),
        ({"alerts": {"disk_free_gib_min": -1}}, "alerts.disk_free_gib_min", "negative"),
        ({"alerts": {"targets": {f"t{n}": SLACK for n in range(9)}}}, "alerts.targets", "8"),
        ({"alerts": {"targets": {"Ops!": SLACK}}}, "alerts.targets", "a-z"),
        (one(kind="pager", url_env="X"), "alerts.targets.ops.kind", "'webhook'"),
        (one(kind="slack"), "alerts.targets.ops.url_env", "missing"),
        (one(kind="slack", url_env="X", url_file="y"), "alerts.targets.ops.url_env", "both"),
        (one(kind="slack", url_env="X", token_env="Y"), "alerts.targets.ops.token_env", "not for this kind"),
        (one(kind="slack", url_env="X", chat="1"), "alerts.targets.ops.chat", "telegram alone"),
        (one(kind="telegram", token_env="X"), "alerts.targets.ops.chat", "missing"),
        (one(kind="telegram", chat="1"), "alerts.targets.ops.token_env", "missing"),
        (one(**TELEGRAM, url_env="Y"), "alerts.targets.ops.url_env", "not for a telegram"),
        (one(**TELEGRAM, api_url="http://far.example"), "alerts.targets.ops.api_url", "https"),
        (one(kind="slack", url="x"), "alerts.targets.ops.url", "url_env"),
        (one(kind="slack", url_env="X", severity_min="bad"), "alerts.targets.ops.severity_min", "'critical'"),
        (one(kind="slack", url_env="X", ca_file="/nowhere.pem"), "alerts.targets.ops.ca_file", "PEM"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tree: dict[str, Any], field: str, part: str) -> None:
    wrong = refused(tree)
    assert wrong.field == field
    assert part in f"{wrong.problem} {wrong.fix}"


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "slack", "url": SECRET},
        {"kind": "slack", "url_env": SECRET},
        {"kind": "slack", "url_file": SECRET},
        {"kind": "telegram", "chat": "1", "token": TOKEN},
        {"kind": "telegram", "chat": "1", "token_env": TOKEN},
        {"kind": "telegram", "chat": "1", "token_file": TOKEN},
    ],
)
def test_a_secret_where_its_place_belongs_is_refused_and_not_repeated(target: dict[str, str]) -> None:
    wrong = refused(one(**target))
    assert "CANARY" not in str(wrong).upper().replace("TEST_ALERT", "")


def test_a_drill_tells_nobody() -> None:
    """The user's targets are not in what a drill runs with."""
    assert "alerts" not in prepare(CONF / "paper.toml").tree
    tree = tomllib.loads((CONF / "paper.toml").read_text(), parse_float=Decimal)
    assert check(tree).alerts == Alerts()
