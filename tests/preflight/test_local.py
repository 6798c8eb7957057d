"""Configuration, key, state folder, journal, disk and descriptors: each well, and each failing once."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from maker.app.config import own_key
from maker.edge.journal import SqliteJournal
from maker.edge.records import Run
from maker.errors import ConfigError, ExitCode, StartRefused
from maker.launch.key import Key
from maker.preflight import command, local
from maker.preflight.sequence import Sequence
from maker.preflight.verdict import Verdict, ok
from tests.app.whole import LOADED
from tests.preflight.scripted import live_example

PAPER: Final = Path(__file__).parents[2] / "conf" / "paper.toml"
KEY: Final = "ocx_sk_canary_0123456789"


def a_conf(folder: Path, *pairs: tuple[str, str]) -> Path:
    text = PAPER.read_text().replace('state_folder = "state"', f'state_folder = "{folder / "state"}"')
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = folder / "conf.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("level_size = 0.02", "level_sise = 0.02"), ("market.BTC-PERP.level_sise", "Did you mean level_size?")),
        (
            ("quote_age_seconds_max = 20.0", 'quote_age_seconds_max = "20 s"'),
            ("cycle.quote_age_seconds_max", "a number of seconds"),
        ),
        (("levels = 4 ", "levels = 40 "), ("market.BTC-PERP.levels: must be 1 to 20.", "Try 4.")),
        (
            ("tail_seconds = 8.0 ", "tail_seconds = 3.0 "),
            ("guard.tail_seconds: must be at least guard.write_delay", "Try 60"),
        ),
        (("crashes_max = 3 ", "crashes_max = 3.5 "), ("guard.crashes_max: is 3.5.", "a whole number")),
        (("[budget]", "[budget"), ("not valid TOML",)),
        (('mode = "paper"', 'mode = "dream"'), ("mode: is 'dream'.", '"paper" or "live"')),
    ],
)
def test_a_configuration_that_must_not_run(pair: tuple[str, str], words: tuple[str, ...], tmp_path: Path) -> None:
    """It fails with the field and the fix, and no other check is made: their names are there all the same."""
    sequence = Sequence(lambda _row: None)
    command.check_all(command.Words(a_conf(tmp_path, pair)), sequence)
    first, *others = sequence.rows
    assert (first.name, first.finding.verdict) == ("configuration", Verdict.FAILED)
    assert first.finding.exit_code is ExitCode.REFUSED_TO_START
    for word in words:
        assert word in first.line
    assert [row.name for row in others] == list(command.FOLLOWING)
    assert {row.finding.said for row in others} == {"Not made: configuration did not pass."}


def test_no_configuration_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        local.configured(tmp_path / "nowhere.toml")


def test_a_configuration_that_only_the_parent_refuses(tmp_path: Path) -> None:
    path = live_example(tmp_path, "https://me:secret@ocx.test")
    with pytest.raises(ConfigError, match="the parent process refuses it"):
        local.configured(path)


def test_a_good_configuration_says_what_it_is_about(tmp_path: Path) -> None:
    found = local.configuration(local.configured(a_conf(tmp_path)))
    assert found.verdict is Verdict.OK
    assert found.said == (
        "Mode paper, account 'paper'; markets BTC-PERP, ETH-PERP; reference feeds alpha, beta, gamma."
    )


# -- key ----------------------------------------------------------------------------------------------------------


def test_the_key_and_where_it_is(tmp_path: Path) -> None:
    wanted = local.configured(live_example(tmp_path, "https://ocx.test"))
    found = own_key(wanted.config, {"MAKER_TEST_KEY": KEY})
    assert found.secret == KEY
    finding = local.fit_key(wanted, found, 0.0)
    assert (finding.verdict, finding.said) == (Verdict.OK, "It is in MAKER_TEST_KEY.")


@pytest.mark.parametrize(
    ("held", "mode", "words"),
    [
        (KEY, 0o644, ("others may read it", "chmod 600")),
        (None, 0o600, ("cannot be read", "Check")),
        ("not a key", 0o600, ("holds no API key", "one word")),
        (f"{KEY} {KEY}", 0o600, ("holds no API key",)),
    ],
)
def test_a_key_that_cannot_be_used(held: str | None, mode: int, words: tuple[str, ...], tmp_path: Path) -> None:
    """--key-file wins over the configuration's; as in `run` it is the configuration's trouble: 78."""
    path = tmp_path / "key"
    if held is not None:
        path.write_text(held)
        path.chmod(mode)
    wanted = command.with_key_file(local.configured(live_example(tmp_path, "https://ocx.test")), str(path))
    sequence = Sequence(lambda _row: None)
    sequence.make("key", lambda: ok(repr(own_key(wanted.config, {"MAKER_TEST_KEY": KEY}))))
    line = sequence.rows[0].line
    assert sequence.rows[0].finding.exit_code is ExitCode.REFUSED_TO_START
    for word in words:
        assert word in line
    assert KEY not in line


def test_a_key_file_that_is_well_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    wanted = command.with_key_file(local.configured(live_example(tmp_path, "https://ocx.test")), str(path))
    found = own_key(wanted.config, {})
    assert found.secret == KEY
    assert "nobody else may read it" in local.fit_key(wanted, found, 0.0).said


@pytest.mark.parametrize(
    ("noted", "words"),
    [
        (Key(KEY, "ocx_kid_1", "read"), ("scope 'read'", "keys create")),
        (Key(KEY, "ocx_kid_1", "trade", 1_000_500.0), ("expires in 8 min", "keys create")),
        (Key(KEY, "ocx_kid_1", "trade", 999_999.0), ("has expired", "keys create")),
    ],
)
def test_a_key_that_a_start_would_refuse_by_its_notes(noted: Key, words: tuple[str, ...], tmp_path: Path) -> None:
    wanted = local.configured(live_example(tmp_path, "https://ocx.test"))
    finding = local.fit_key(wanted, noted, 1_000_000.0)
    assert (finding.verdict, finding.exit_code) == (Verdict.FAILED, ExitCode.CREDENTIALS)
    for word in words:
        assert word in f"{finding.said} {finding.fix}"


def test_a_key_that_is_noted_as_good_is_named(tmp_path: Path) -> None:
    wanted = local.configured(live_example(tmp_path, "https://ocx.test"))
    finding = local.fit_key(wanted, Key(KEY, "ocx_kid_1", "trade", 1_001_000.0), 1_000_000.0)
    assert (finding.verdict, finding.said) == (Verdict.OK, "ocx_kid_1 is in MAKER_TEST_KEY.")


# -- state folder -------------------------------------------------------------------------------------------------


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    found = local.state_folder(tmp_path)
    assert found.verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = local.state_folder(tmp_path / "a" / "b")
    assert (found.verdict, "the first start of user" in found.said) == (Verdict.OK, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_its_place(below: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    found = local.state_folder(tmp_path / "taken" / below)
    assert (found.verdict, found.exit_code) == (Verdict.FAILED, ExitCode.REFUSED_TO_START)
    assert "Give it to the user" in found.fix or "give it to the user" in found.fix


@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_a_disk_that_takes_no_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of it fails, nothing stays behind."""

    def fail(*_words: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    found = local.state_folder(tmp_path)
    assert (found.verdict, "No space left on device" in found.said) == (Verdict.FAILED, True)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


# -- journal ------------------------------------------------------------------------------------------------------


def test_a_journal_that_a_run_left(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert local.journal(tmp_path).said == "There is none yet."
    assert not path.exists()
    SqliteJournal(path, Run("r", 0, "paper", "paper", "0", "0")).close(5.0)
    before = path.read_bytes()
    assert local.journal(tmp_path).said.endswith("can be gone on with.")
    assert path.read_bytes() == before


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()


def garbage(path: Path) -> None:
    path.write_text("somebody's notes\n" * 100)


@pytest.mark.parametrize(("make", "words"), [(newer, "a newer maker"), (garbage, "cannot be used")])
def test_a_journal_that_is_no_use(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    make(tmp_path / "journal.sqlite")
    with pytest.raises(StartRefused) as caught:
        local.journal(tmp_path)
    assert words in caught.value.problem
    assert "ove it away" in caught.value.fix


# -- disk and descriptors -----------------------------------------------------------------------------------------


@attrs.frozen
class Disk:
    f_bavail: int
    f_frsize: int = 4096
    f_files: int = 1_000_000
    f_favail: int = 500_000


@pytest.mark.parametrize(
    ("disk", "verdict", "words"),
    [
        (Disk(10_000_000), Verdict.OK, "40,960 MB are free"),
        (Disk(100_000), Verdict.WARNING, "410 MB are free"),
        (Disk(10_000), Verdict.FAILED, "41 MB are free"),
        (Disk(10_000_000, f_favail=3), Verdict.FAILED, "only 3 more files"),
        (Disk(10_000_000, f_files=0, f_favail=0), Verdict.OK, "40,960 MB"),
    ],
)
def test_room_on_the_disk(
    disk: Any, verdict: Verdict, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the nearest folder that is there; a file system that counts no files has no limit of them."""
    asked: list[Path] = []

    def statvfs(path: Path) -> Any:
        asked.append(path)
        return disk

    monkeypatch.setattr(os, "statvfs", statvfs)
    found = local.disk(tmp_path / "not" / "there")
    assert (found.verdict, words in found.said) == (verdict, True), found
    assert asked == [tmp_path]
    assert found.exit_code in (ExitCode.CLEAN, ExitCode.FAILURES_FOUND)


def test_the_real_disk_is_asked(tmp_path: Path) -> None:
    assert f"MB are free at {tmp_path}." in local.disk(tmp_path).said


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (resource.RLIM_INFINITY, Verdict.OK),
        (4096, Verdict.OK),
        (99, Verdict.WARNING),
        (49, Verdict.FAILED),
    ],
)
def test_descriptors(limit: int, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two markets and three feeds come to need fifty at most."""
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, limit))
    found = local.descriptors(LOADED)
    assert (found.verdict, "50 are needed" in found.said) == (verdict, True)
    assert verdict is Verdict.OK or "ulimit -n 1024" in found.fix
