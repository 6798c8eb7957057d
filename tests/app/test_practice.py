"""The practice exchange's command: its words, its configuration, its record."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker.app import practice
from maker.app.practice import begin_record, parser, venue_settings
from maker.errors import ConfigError
from maker.paper.reference_venues import ReferenceVenue
from maker.paper.switches import Switches
from maker.paper.venue import VenueSettings

CONF = Path(__file__).parents[2] / "conf" / "paper.toml"


def settings_of(*words: str) -> VenueSettings:
    return venue_settings(parser().parse_args(list(words)))


def test_without_words_it_is_busy_on_the_usual_port() -> None:
    wanted = settings_of()
    assert (wanted.host, wanted.port, wanted.seed, wanted.preset) == ("127.0.0.1", 8787, 1, "busy")
    assert (wanted.record, wanted.state) == (None, None)
    assert wanted == VenueSettings()


def test_words_win_over_the_configuration(tmp_path: Path) -> None:
    conf = tmp_path / "paper.toml"
    text = CONF.read_text().replace('state_folder = "state"', f'state_folder = "{tmp_path}"')
    conf.write_text(text + '\n[paper.switches]\nmargin_refusal = "partial"\nolder_market_fields = false\n')
    told = settings_of("--conf", str(conf))
    assert (told.port, told.preset, told.rate_limit_per_minute) == (0, "busy", 120)
    assert told.record == tmp_path / "venue-record.jsonl"
    assert (told.switches.margin_refusal, told.switches.older_market_fields) == ("partial", False)
    words = ["--port", "9", "--seed", "7", "--preset", "quiet", "--requests-per-minute", "60", "--record", "r"]
    over = settings_of("--conf", str(conf), *words, "--margin-refusal", "atomic", "--older-market-fields", "true")
    assert (over.port, over.seed, over.preset, over.rate_limit_per_minute) == (9, 7, "quiet", 60)
    assert over.record == Path("r")
    assert (over.switches.margin_refusal, over.switches.older_market_fields) == ("atomic", True)


def test_the_life_of_a_session_may_be_short() -> None:
    assert settings_of("--session-seconds", "60").session_seconds == 60


@pytest.mark.parametrize(
    "words",
    [
        ("--margin-refusal", "sometimes"),
        ("--conf", "/nowhere.toml"),
        ("--session-seconds", "0"),
        ("--session-seconds", "99999999"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(words: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError):
        settings_of(*words)


@pytest.mark.parametrize("switch", attrs.fields(Switches), ids=lambda switch: switch.name)
def test_the_help_lists_every_position_of_a_switch(switch: Any) -> None:
    """Read off the validator that refuses all others, so that no list can fall behind; the help names the default."""
    known = ("true", "false") if isinstance(switch.default, bool) else switch.validator.options
    told = " ".join(parser().format_help().split())
    flag = "--" + switch.name.replace("_", "-")
    default = str(switch.default).lower()
    assert f"{flag} {{{','.join(known)}}} undocumented behaviour (default {default})" in told
    for position in known:
        said = getattr(settings_of(flag, position).switches, switch.name)
        assert str(said).lower() == position


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_new_history_begins_a_new_record(goes_on: bool, tmp_path: Path) -> None:
    record, state = tmp_path / "record.jsonl", tmp_path / "state.jsonl"
    before = tmp_path / "record.jsonl.before"
    begin_record(VenueSettings(record=record, state=state))  # nothing is there yet: nothing happens
    assert list(tmp_path.iterdir()) == []
    record.write_text("old")
    before.write_text("older")
    if goes_on:
        state.write_text("state")
    begin_record(VenueSettings(record=record, state=state))
    assert record.exists() == goes_on
    assert before.read_text() == ("older" if goes_on else "old")


def test_reference_venues_are_read_from_both(tmp_path: Path) -> None:
    """[paper.references] of a configuration; a word of the same name takes the whole venue's place."""
    told = {each.name: each for each in settings_of("--conf", str(CONF)).references}
    assert {name: str(each.offset_bps) for name, each in told.items()} == {"beta": "2.5", "gamma": "-1.5"}
    words = ("--reference", "beta:lag_seconds=0.5,dead_way=closed", "--reference", "delta:offset_bps=-3")
    over = {each.name: each for each in settings_of("--conf", str(CONF), *words).references}
    assert over == {
        "beta": ReferenceVenue(name="beta", lag_seconds=0.5, dead_way="closed"),
        "gamma": told["gamma"],
        "delta": ReferenceVenue(name="delta", offset_bps=Decimal(-3)),
    }


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("", "--reference"),
        (":offset_bps=1", "--reference"),
        ("beta:offset_bps", "--reference"),
        ("beta", "--reference"),
        ("beta=offset_bps=1", "--reference"),
        ("beta:offset_bps=1,offset_bps=1", "paper.references.beta.offset_bps"),
        ("beta:offset=1", "paper.references.beta.offset"),
        ("beta:name=gamma", "paper.references.beta.name"),
        ("beta:offset_bps=much", "paper.references.beta.offset_bps"),
        ("beta:wander_bps=nan", "paper.references.beta.wander_bps"),
        ("beta:dead_way=1", "paper.references.beta.dead_way"),
        ("beta:lag_seconds=3", "paper.references.beta.lag_seconds"),
    ],
)
def test_a_reference_venue_that_cannot_be_is_refused_by_its_field(word: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of("--reference", word)
    assert caught.value.field == field
    assert caught.value.fix


def test_an_orphan_outlives_the_longest_tail() -> None:
    """S1: late cancel-alls still find an exchange."""
    assert practice.ORPHAN_SECONDS > 60 + 15
