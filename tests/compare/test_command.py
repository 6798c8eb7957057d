"""The command as users give it: its words, what it prints, its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker import __main__ as program
from maker.app import cli
from maker.compare import command
from maker.compare.command import Played, problems
from maker.compare.match import Match
from maker.compare.result import Pair
from maker.compare.variants import AS_WRITTEN, UNSKEWED
from maker.errors import ExitCode
from maker.storms.workers import Failure
from tests.compare.scenes import CONFIGURATION, a_pair, as_written, match, retold

PROJECT = Path(__file__).parents[2]
LIVE = PROJECT / "conf" / "live.example.toml"


def scripted() -> Callable[[Match], Pair]:
    """A worker that has played everything already; seed 3 is one that it cannot."""
    return play_nothing


def play_nothing(one: Match) -> Pair:
    if one.seed == 3:
        raise ArithmeticError("no such luck")
    result = attrs.evolve(as_written(0, 60), model=one.model, seed=one.seed, drawn=f"seed {one.seed}")
    counterpart = attrs.evolve(result, model="fixed") if one.model == AS_WRITTEN else None
    return Pair(result, counterpart, 2)


def compare(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, dict[str, Any]]:
    """Give the command; return exit code, what people read, and the object in the last line."""
    code = program.main(["compare", *words, "--json"])
    lines = capsys.readouterr().out.splitlines()
    said = json.loads(lines[-1])
    assert said["exit_code"] == code
    assert lines[-2] == said["reason"]
    return code, "\n".join(lines[:-1]), said


def test_a_comparison_from_the_words_to_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The real thing, in a worker of its own: two models, one seed, three minutes."""
    words = (str(CONFIGURATION), "--days", "0.002", "--seeds", "4", "--jobs", "1")
    code, text, said = compare(capsys, *words)
    assert code == ExitCode.CLEAN
    assert said["reason"] == "2 matches, every profit explained to the last digit"
    assert "BTC-PERP, busy market, 0.002 days, seeds 4 to 4: as-written, unskewed" in text
    assert "money: USDC" in text
    assert "as-written: a tighter band than the fixed one on" in text
    assert [row["model"]["model"] for row in said["pairs"]] == [AS_WRITTEN, UNSKEWED]
    assert {row["model"]["seconds"] for row in said["pairs"]} == {173}
    assert said["problems"] == []


def test_models_market_and_preset_can_be_chosen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "builder", scripted)
    words = ("--models", UNSKEWED, "--market", "ETH-PERP", "--seeds", "0:3", "--jobs", "2")
    code, text, said = compare(capsys, str(CONFIGURATION), *words, "--preset", "quiet")
    assert code == ExitCode.CLEAN
    assert "ETH-PERP, quiet market, 3 days, seeds 0 to 2: unskewed" in text
    assert [(row["model"]["model"], row["model"]["seed"]) for row in said["pairs"]] == [(UNSKEWED, n) for n in range(3)]
    _, text, _ = compare(capsys, str(LIVE), "--seeds", "0")
    assert "BTC-PERP, normal market" in text, "a live configuration says nothing of a market: the usual one"


def test_a_match_that_came_to_nothing_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "builder", scripted)
    code, text, said = compare(capsys, str(CONFIGURATION), "--seeds", "2:4", "--jobs", "1")
    assert code == ExitCode.FAILURES_FOUND
    assert said["problems"] == [
        f"{name} on seed 3: crashed: ArithmeticError: no such luck" for name in (AS_WRITTEN, UNSKEWED)
    ]
    assert len(said["pairs"]) == 2
    assert "money: USDC" in text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["conf/paper.toml", "--models", "glft"], 2, "no model is called glft; there are: as-written, unskewed"),
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


def test_what_is_not_sound_is_said() -> None:
    """Models of a seed that met different markets, a counterpart of another width, a stop before the end."""
    pair = a_pair()
    one = match()
    assert problems([one], Played(1, [pair])) == []
    other = retold(pair, drawn="another market")
    assert problems([one], Played(1, [other])) == ["the models of seeds [0] did not meet the same market"]
    wider = retold(pair, quotes=attrs.evolve(pair.model.quotes, half_spread_bps=9.0))
    assert problems([one], Played(1, [wider])) == ["no fixed half-spread met that of as-written on seed 0"]
    assert problems([one, one], Played(2, [pair])) == ["stopped before the end: 1 of 2 matches were not played"]
    failed = Played(1, [], [(one, Failure("hung"))])
    assert problems([one], failed) == ["as-written on seed 0: hung"]


def test_told_to_stop_it_shows_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is played when the wish to stop is there at once, and no worker is left."""
    monkeypatch.setattr(command, "builder", scripted)
    played = command.play_all([match(seed=seed) for seed in range(4)], 1, lambda: False)
    assert played.pairs == []
    assert played.size == 4


def test_a_line_of_progress() -> None:
    begun = Played(10)
    assert begun.line() == "[                    ] 0/10 matches  0 simulated h/min  ? left"
    pair = retold(a_pair(), seconds=3600)
    half = Played(10, [pair] * 4, [(match(), Failure("hung"))], seconds=120.0)
    assert half.line() == "[##########          ] 5/10 matches  4 simulated h/min, 1 FAILED  2 min 00 s left"
    assert len(half.line()) <= 100


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
    assert partial(scripted)()(match(UNSKEWED)).fixed is None
