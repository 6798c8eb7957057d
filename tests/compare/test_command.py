"""The command as users give it: its words, what it prints, its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker import __main__ as program
from maker.app import cli
from maker.compare import waves
from maker.compare.counterpart import Counterpart, Group
from maker.compare.match import Match
from maker.compare.result import Result
from maker.compare.variants import UNSKEWED
from maker.errors import ExitCode
from tests.compare.scenes import CONFIGURATION, MODELS, quoting

PROJECT = Path(__file__).parents[2]
LIVE = PROJECT / "conf" / "live.example.toml"


def player() -> Callable[[Match], Result]:
    """A worker of the first wave that has played everything already; seed 3 is one that it cannot."""
    return play_nothing


def play_nothing(one: Match) -> Result:
    if one.seed == 3:
        raise ArithmeticError("no such luck")
    return quoting(one, 2.5)


def finder() -> Callable[[Group], Counterpart]:
    """A worker of the second."""
    return find_at_once


def find_at_once(group: Group) -> Counterpart:
    return Counterpart(quoting(attrs.evolve(group.match, model=UNSKEWED), group.middle), 2, group.match.seconds)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers as ever, that have nothing to do."""
    monkeypatch.setattr(waves, "player", player)
    monkeypatch.setattr(waves, "finder", finder)


def compare(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, dict[str, Any]]:
    """Give the command; return exit code, what people read, and the object in the last line."""
    code = program.main(["compare", *words, "--json"])
    lines = capsys.readouterr().out.splitlines()
    said = json.loads(lines[-1])
    assert said["exit_code"] == code
    assert lines[-2] == said["reason"]
    return code, "\n".join(lines[:-1]), said


def test_a_comparison_from_the_words_to_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The real thing, in a worker of its own: every model, one seed, three minutes."""
    words = (str(CONFIGURATION), "--days", "0.002", "--seeds", "4", "--jobs", "1")
    code, text, said = compare(capsys, *words)
    assert code == ExitCode.CLEAN
    assert said["reason"] == "5 matches, every profit explained to the last digit"
    assert "BTC-PERP, busy market, 0.002 days, seeds 4 to 4: " + ", ".join(MODELS) in text
    assert "money: USDC" in text
    for name in MODELS:
        assert f"{name}: a tighter band around zero than the fixed one on" in text
    assert tuple(row["model"]["model"] for row in said["pairs"]) == MODELS
    assert {row["model"]["seconds"] for row in said["pairs"]} == {173}
    assert said["problems"] == []


OWN = """
from decimal import Decimal
import attrs
from maker.desk.spread import Spread

@attrs.frozen
class Mine:
    bps: Decimal
    way: str = "up"

    def spread(self, situation):
        half = situation.fair * float(self.bps) / 10_000
        return Spread(situation.fair, half, half)

class Plain:
    def __init__(self, bps):
        self.half = lambda fair: fair * bps / 10_000  # nothing that could be sent to another process

    def spread(self, situation):
        return Spread(situation.fair, self.half(situation.fair), self.half(situation.fair))
"""
OWN_TABLES = """
[market.BTC-PERP.models."mine.py:Mine"]
bps = 2.5
way = "down"

[market.BTC-PERP.models."mine.py:Plain"]
bps = 2.5
"""


def test_models_of_the_users_own_are_compared_in_the_workers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two classes of one file beside the configuration, with the same figures: the same history to the last digit.

    The word is given from another folder than the configuration's, and the workers know no module of that name.
    """
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "own.toml").write_text(CONFIGURATION.read_text() + OWN_TABLES)
    monkeypatch.chdir(PROJECT)
    words = (str(tmp_path / "own.toml"), "--days", "0.002", "--seeds", "4", "--jobs", "1")
    code, _, said = compare(capsys, *words, "--models", "mine.py:Mine,mine.py:Plain")
    assert (code, said["problems"]) == (ExitCode.CLEAN, [])
    mine, plain = (row["model"] for row in said["pairs"])
    assert (mine["model"], plain["model"]) == ("mine.py:Mine", "mine.py:Plain")
    assert mine["digest"] == plain["digest"]
    assert mine["quotes"]["half_spread_bps"] > 2.4


@pytest.mark.usefixtures("scripted")
def test_models_market_and_preset_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--models", "glft,volatility", "--market", "ETH-PERP", "--seeds", "0:3", "--jobs", "2")
    code, text, said = compare(capsys, str(CONFIGURATION), *words, "--preset", "quiet")
    assert code == ExitCode.CLEAN
    assert "ETH-PERP, quiet market, 3 days, seeds 0 to 2: volatility, glft" in text
    played = [(row["model"]["seed"], row["model"]["model"]) for row in said["pairs"]]
    assert played == [(seed, name) for seed in range(3) for name in ("volatility", "glft")]
    _, text, _ = compare(capsys, str(LIVE), "--seeds", "0")
    assert "BTC-PERP, normal market" in text, "a live configuration says nothing of a market: the usual one"


@pytest.mark.usefixtures("scripted")
def test_a_match_that_came_to_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = compare(capsys, str(CONFIGURATION), "--models", "fixed,glft", "--seeds", "2:4", "--jobs", "1")
    assert code == ExitCode.FAILURES_FOUND
    assert said["problems"] == [
        f"{name} on seed 3: crashed: ArithmeticError: no such luck" for name in ("fixed", "glft")
    ]
    assert len(said["pairs"]) == 2
    assert "money: USDC" in text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["conf/paper.toml", "--models", "glft,gltf"], 2, f"no model is called gltf; there are: {', '.join(MODELS)}"),
        (["conf/paper.toml", "--market", "DOGE-PERP"], 78, "configuration: market.DOGE-PERP: is not configured."),
        (["conf/none.toml"], 78, "configuration:"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(
    words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    ended, text, _ = compare(capsys, *words)
    assert ended == code
    assert text.startswith(sentence)


@pytest.mark.parametrize(
    "words", [["--days", "0"], ["--days", "x"], ["--days", "61"], ["--seeds", "3:1"], ["--jobs", "0"]]
)
def test_words_that_mean_nothing(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["compare", "conf/paper.toml", *words])
    assert ended.value.code == ExitCode.USAGE


def test_it_is_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Help tells what a newcomer needs; whoever errs is told that it is there."""
    with pytest.raises(SystemExit) as ended:
        program.main(["compare", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in ("--days", "--seeds", "--models", "--preset", "exit codes", "informed"):
        assert word in text
    assert cli.main(["compair"]) == ExitCode.USAGE
    assert "compare" in capsys.readouterr().err
    assert "run.py compare CONF" in (PROJECT / "README.md").read_text()
