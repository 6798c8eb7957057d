"""Mode paper: the practice exchange of a run that goes on, or one of the check's own that changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from maker.errors import ExitCode
from maker.launch import start
from maker.launch.settings import ParentSettings
from maker.preflight import local, practice
from maker.preflight.practice import Venue
from maker.preflight.verdict import Verdict
from tests.preflight.test_local import a_conf

URL, REFERENCE_URL = "http://127.0.0.1:9", "ws://127.0.0.1:10"


class Started:
    """What a practice exchange was started with, and what its words led to."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.port: int | None = None
        self.files: dict[str, str] = {}

    def __call__(
        self, wanted: ParentSettings, _signals: int, _stack: contextlib.ExitStack, words: Sequence[str] = ()
    ) -> Any:
        self.words, self.port = list(words), wanted.venue_port
        folder = Path(self.value("--record")).parent
        self.files = {path.name: path.read_text() for path in folder.iterdir()}
        return start.Venue(None, URL, REFERENCE_URL)  # type: ignore[arg-type]  # nobody looks at its process

    def value(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    found = Started()
    monkeypatch.setattr(start, "start_venue", found)
    return found


def find(path: Path) -> tuple[Venue, Any]:
    venue, found = Venue(), local.configured(path)
    with contextlib.ExitStack() as stack:
        return venue, venue.find(found.config, found.parent, stack)


def test_that_of_a_run_is_taken(tmp_path: Path, started: Started) -> None:
    path = a_conf(tmp_path)
    (tmp_path / "state").mkdir()
    status = {"venue_url": URL, "venue_pid": os.getpid(), "reference_url": REFERENCE_URL}
    (tmp_path / "state" / "run.json").write_text(json.dumps(status))
    venue, finding = find(path)
    assert (finding.verdict, "The one of the run that goes on" in finding.said) == (Verdict.OK, True)
    assert (venue.url, venue.reference_url) == (URL, REFERENCE_URL)
    assert started.words == []


def test_one_of_its_own_takes_free_ports_and_keeps_its_own_record(tmp_path: Path, started: Started) -> None:
    """Whatever the configuration fixes: a run that comes meanwhile finds its ports and its last record as they were."""
    path = a_conf(tmp_path, ("\nport = 0 ", "\nport = 8787 "), ("reference_port = 0", "reference_port = 8788"))
    venue, finding = find(path)
    assert (finding.verdict, "started for this check" in finding.said) == (Verdict.OK, True)
    assert (venue.url, venue.reference_url) == (URL, REFERENCE_URL)
    assert (started.port, started.value("--reference-port")) == (0, "0")
    record = Path(started.value("--record"))
    assert not record.is_relative_to(tmp_path)
    assert not record.parent.exists(), "its folder went with the check"
    assert "--state" not in started.words
    assert not (tmp_path / "state").exists()


def test_the_account_that_the_next_run_finds_is_copied(tmp_path: Path, started: Started) -> None:
    """Checkpoint and logs; the files themselves are left alone, and so are others beside them."""
    path = a_conf(tmp_path, ('state = "" ', 'state = "venue.json" '))
    folder = tmp_path / "state"
    folder.mkdir()
    kept = {"venue.json": "{}", "venue.json.4.log": "a", "venue.json.5.log": "b"}
    for name, text in (*kept.items(), ("venue.json.lock", ""), ("journal.sqlite", "")):
        (folder / name).write_text(text)
    before = {name.name: name.read_text() for name in folder.iterdir()}
    find(path)
    assert started.files == kept
    assert Path(started.value("--state")).name == "venue.json"
    assert {name.name: name.read_text() for name in folder.iterdir()} == before


def test_a_first_run_has_no_state_yet(tmp_path: Path, started: Started) -> None:
    find(a_conf(tmp_path, ('state = "" ', 'state = "venue.json" ')))
    assert started.files == {}
    assert "--state" in started.words


def test_one_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_words: object) -> Any:
        raise start.Refusal("the practice exchange was not ready after 10 s.")

    monkeypatch.setattr(start, "start_venue", refuses)
    venue, finding = find(a_conf(tmp_path))
    assert (finding.verdict, finding.exit_code) == (Verdict.FAILED, ExitCode.REFUSED_TO_START)
    assert finding.said == "The practice exchange was not ready after 10 s."
    assert "stderr" in finding.fix
    assert (venue.url, venue.reference_url) == ("", "")


def test_its_state_is_where_the_venue_looks() -> None:
    """Names of files that the practice exchange gives; a change there must not pass by here unseen."""
    from maker.paper.state_file import StateFile

    assert StateFile(Path("x/venue.json")).log_path(7).name == "venue.json.7.log"
    assert practice.FREE_PORT == 0
