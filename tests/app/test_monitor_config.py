"""The [monitor] table: what it may be left out of, and each way to be wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker.app.config import check
from maker.app.monitor_config import CLIENTS_MAX, Monitor
from maker.drills.configuration import Addresses, prepare
from maker.errors import ConfigError
from maker.launch.settings import MonitorSettings, SettingsError, parent_settings
from tests.app.test_config import PAPER, live_tree, paper_tree

ROOT = Path(__file__).parents[2]
NAMES = {field.name for field in attrs.fields(Monitor)}


def test_without_the_table_everything_is_at_its_default() -> None:
    tree = paper_tree()
    del tree["monitor"]
    assert check(tree).monitor == Monitor()
    assert Monitor().is_local
    assert not Monitor().has_key


@pytest.mark.parametrize("name", ["paper.toml", "live.example.toml"])
def test_the_files_name_every_key_and_explain_it(name: str) -> None:
    """Given or as a comment, each with a word on what it is; what stands in the practice file is the default."""
    text = (ROOT / "conf" / name).read_text()
    own = text.split("\n[monitor]")[1].split("\n[")[0]
    lines = {line.lstrip("# ").partition(" =")[0]: line for line in own.splitlines() if " = " in line}
    assert set(lines) == NAMES
    if name == "paper.toml":
        assert all(" # " in line for line in lines.values())
        given = tomllib.loads(text)["monitor"]
        assert {key: getattr(Monitor(), key) for key in given} == given


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"adress": "127.0.0.1"}, "monitor.adress"),
        ({"enabled": "yes"}, "monitor.enabled"),
        ({"address": "localhost"}, "monitor.address"),
        ({"address": ""}, "monitor.address"),
        ({"port": -1}, "monitor.port"),
        ({"port": 65_536}, "monitor.port"),
        ({"port": "80"}, "monitor.port"),
        ({"clients_max": 0}, "monitor.clients_max"),
        ({"clients_max": CLIENTS_MAX + 1}, "monitor.clients_max"),
        ({"host_name": "https://bot.example"}, "monitor.host_name"),
        ({"host_name": "bot.example:80"}, "monitor.host_name"),
        ({"key_env": "A", "key_file": "b"}, "monitor"),
        ({"key_env": "OCX_KEY"}, "monitor.key_env"),
        ({"key_file": "ocx_sk_secret"}, "monitor.key_file"),
    ],
)
def test_what_is_wrong_is_refused_by_name(changes: Mapping[str, Any], field: str) -> None:
    tree = live_tree()
    tree["monitor"] = dict(changes)
    with pytest.raises(ConfigError) as refused:
        check(tree)
    assert refused.value.field == field


def test_the_bots_own_key_is_refused_unless_somebody_wrote_that_it_may_be() -> None:
    tree = live_tree()
    tree["monitor"] = {"key_env": "OCX_KEY", "trade_key_allowed": True}
    assert check(tree).monitor.key_env == "OCX_KEY"


def test_the_parent_reads_its_switches_for_itself(tmp_path: Path) -> None:
    """On where nothing is said; and refused, with a sentence, where what is said is none."""
    text = PAPER.read_text()
    path = tmp_path / "conf.toml"
    path.write_text(text)
    assert parent_settings(path).monitor == MonitorSettings(enabled=True, status=True, key_env="")
    head, own = text.split("[monitor]")
    path.write_text(f"{head}[monitor]{own.replace('enabled = true', 'enabled = false', 1)}")
    assert not parent_settings(path).monitor.enabled
    path.write_text(f"{head}[monitor]{own.replace('status = true', 'status = 1', 1)}")
    with pytest.raises(SettingsError, match=r"monitor\.status must be true or false"):
        parent_settings(path)
    path.write_text("monitor = 7\n" + text.replace("[monitor]", "[elsewhere]"))
    with pytest.raises(SettingsError, match="monitor is no table"):
        parent_settings(path)


def test_drills_have_no_monitor_and_none_of_its_addresses(tmp_path: Path) -> None:
    """No packet may leave the machine: nothing of the table comes along."""
    path = tmp_path / "conf.toml"
    text = PAPER.read_text().replace('host_name = ""', 'host_name = "bot.example"')
    path.write_text(text)
    written = prepare(path).write(tmp_path, Addresses("http://127.0.0.1:1", "ws://127.0.0.1:2")).read_text()
    assert tomllib.loads(written)["monitor"] == {"enabled": False}
