"""A drill's configuration: quotes as the user's, but speaks to nobody of theirs and reads no key of theirs."""

from __future__ import annotations

import json
import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maker.app import config
from maker.drills.configuration import KEY_ENV, SHORTENED, TAIL_SECONDS, Addresses, harmless, prepare, toml
from maker.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
HERE = Addresses("http://127.0.0.1:1111", "ws://127.0.0.1:2222")
CANARIES = ("api.ocx.global", "reference.example", "OCX_API_KEY", "main-sub-1", "state-live", "/nowhere/key")


def texts(tree: object) -> list[str]:
    """Every text in a tree, names included."""
    if isinstance(tree, dict):
        return [text for key, value in tree.items() for text in (key, *texts(value))]
    return [tree] if isinstance(tree, str) else []


def live(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The example for OCX, changed."""
    text = (CONF / "live.example.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "live.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["paper.toml", "live.example.toml"])
def test_quoting_stays_as_the_user_wants_it(name: str, tmp_path: Path) -> None:
    """Every number of the user's is there but the tail, and the result checks as a configuration of its own."""
    before = tomllib.loads((CONF / name).read_text())
    written = prepare(CONF / name).write(tmp_path, HERE)
    after = tomllib.loads(written.read_text())
    config.load(written)
    for table, key in SHORTENED:
        before[table][key] = min(before[table][key], TAIL_SECONDS)
    for market_id, market in before["market"].items():
        for source in market["sources"].values():
            source["symbol"] = f"{market_id.partition('-')[0]}-USD"  # as the practice exchange calls it
    assert after["market"] == before["market"]
    for table in ("cycle", "budget", "limits", "halt", "guard"):
        assert after[table] == before[table]
    names = set(before["reference"])
    assert set(after["reference"]) == names
    for one in names:
        assert after["reference"][one]["silent_seconds_max"] == before["reference"][one]["silent_seconds_max"]
    assert after["order_prefix"] == before["order_prefix"]


def test_nothing_of_whom_the_user_speaks_to_remains(tmp_path: Path) -> None:
    """S18: neither address nor account, key's name, key's file or state folder."""
    key_file = ('key_env = "OCX_API_KEY"', 'key_file = "/nowhere/key" #')
    for conf in (live(tmp_path), live(tmp_path, key_file)):
        after = tomllib.loads(prepare(conf).write(tmp_path, HERE).read_text())
        for canary in CANARIES:
            assert not [text for text in texts(after) if canary in text]
        urls = [text for text in texts(after) if "://" in text]
        assert {urlsplit(url).hostname for url in urls} == {"127.0.0.1"}
        assert after["exchange"]["key_env"] == KEY_ENV


@pytest.mark.parametrize(
    "speech",
    [
        'venue = "binance-usdm"',
        'venue = "json"\nurl = "wss://feed.example"\n'
        'described = { subscribe = "", symbol = "s", bid = "b", bid_size = "B", ask = "a", ask_size = "A" }',
    ],
)
def test_every_feed_becomes_the_practice_exchanges(speech: str, tmp_path: Path) -> None:
    """Its words too: a venue's parser would take the practice feed for garbage."""
    conf = live(tmp_path, ('venue = "binance-usdm"', speech))
    found = config.load(prepare(conf).write(tmp_path, HERE)).references["binance"]
    assert (found.venue, found.described) == ("practice", None)
    assert found.url == f"{HERE.reference_url}/binance"


def test_nobody_looks_on_unless_a_measurement_wants_somebody_to(tmp_path: Path) -> None:
    prepared = prepare(CONF / "paper.toml")
    assert not config.load(prepared.write(tmp_path, HERE)).monitor.enabled
    looked_at = attrs.evolve(prepared, monitor={"enabled": True, "key_env": "ANY_READ_KEY"})
    assert config.load(looked_at.write(tmp_path, HERE)).monitor.key_env == "ANY_READ_KEY"


def test_a_key_file_is_never_opened(tmp_path: Path) -> None:
    """S18: reading this one would wait for ever."""
    os.mkfifo(tmp_path / "key", 0o600)
    conf = live(tmp_path, ('key_env = "OCX_API_KEY"', f'key_file = "{tmp_path / "key"}" #'))
    prepare(conf).write(tmp_path, HERE)


def test_a_key_in_the_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        prepare(live(tmp_path, ('account = "main-sub-1"', 'account = "ocx_sk_secret"')))
    assert "ocx_sk_secret" not in str(refused.value)


def test_what_a_later_table_holds_is_dropped() -> None:
    """A text is kept only under a name known to hold no address: whatever is added later is not."""
    tree = {
        "order_prefix": "mk",
        "alerts": {"webhook": "https://hooks.example/1", "deep": {"host": "evil.example", "port": 1, "on": True}},
        "hosts": ["evil.example"],
    }
    assert harmless(tree) == {"order_prefix": "mk", "alerts": {"deep": {"port": 1, "on": True}}}


def test_markets_the_practice_exchange_does_not_list_are_left_out(tmp_path: Path) -> None:
    text = (CONF / "live.example.toml").read_text()
    other = text[text.index("[market.BTC-PERP]") :].replace("BTC-PERP", "DOGE-PERP")
    path = tmp_path / "two.toml"
    path.write_text(text + "\n" + other)
    prepared = prepare(path)
    assert list(prepared.tree["market"]) == ["BTC-PERP"]
    assert any("DOGE-PERP is left out" in note for note in prepared.notes)
    path.write_text(text.replace("BTC-PERP", "DOGE-PERP"))
    with pytest.raises(ConfigError, match="practice exchange lists"):
        prepare(path)


def test_what_was_shortened_is_said(tmp_path: Path) -> None:
    """A longer tail is shortened and said; a shorter one is the user's own."""
    assert "halt.tail_seconds_max is 4 s instead of 10.0 s, to fit the time" in prepare(live(tmp_path)).notes
    short = prepare(live(tmp_path, ("tail_seconds_max = 10.0", "tail_seconds_max = 2.5")))
    assert short.tree["halt"]["tail_seconds_max"] == Decimal("2.5")
    assert not any("halt" in note for note in short.notes)


def test_an_account_of_its_own(tmp_path: Path) -> None:
    """The lock of a bot that runs beside is never taken: each drill's account and state folder are its own."""
    prepared = prepare(CONF / "paper.toml")
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written.append(tomllib.loads(prepared.write(tmp_path / name, HERE).read_text()))
    assert len({tree["account"] for tree in written} | {"paper"}) == 3
    assert [Path(tree["state_folder"]).name for tree in written] == ["one", "two"]


def test_the_practice_exchange_knows_the_limit_and_the_switches(tmp_path: Path) -> None:
    path = tmp_path / "paper.toml"
    text = (CONF / "paper.toml").read_text()
    path.write_text(text + '\n[paper.switches]\nbulk_answer = "ack"\ntrades_name_orders = false\n')
    words = prepare(path).venue_words
    assert words == ("--requests-per-minute", "120", "--bulk-answer", "ack", "--trades-name-orders", "false")


words = st.text(max_size=6)
scalars = st.booleans() | st.integers() | words | st.decimals(allow_nan=False, allow_infinity=False)
flat = st.dictionaries(words, scalars, max_size=3)
trees = st.dictionaries(words, scalars | flat | st.dictionaries(words, scalars | flat, max_size=3), max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(trees)
def test_toml_reads_back(tree: dict[str, Any]) -> None:
    """What is spelled is read back alike by the standard library."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value

    assert plain(tomllib.loads(toml(tree), parse_float=Decimal)) == plain(tree), json.dumps(str(tree))
