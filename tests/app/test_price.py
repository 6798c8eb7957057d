"""`price`: numbers of the papers from the command line, and clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maker import __main__
from maker.app import price
from maker.errors import ExitCode

PROJECT = Path(__file__).parents[2]
PAPERS_TEXT = (
    "avellaneda_stoikov risk_aversion=0.1 horizon_seconds=1 rolling=false fair=100 inventory=1 volatility=2 size=1 "
    "seconds_left=1 fill_decay=1.5"
)
GLFT_TEXT = (
    "risk_aversion=0.01 fair=100 inventory=5 volatility=.3 size=1 inventory_max=30 seconds_left=600 fill_rate=0.9 "
    "fill_decay=3e-1"
)
FIXED_TEXT = "fixed half_spread_bps=2 skew_bps=4 fair=60000 inventory=0.1 inventory_max=0.4"
OWN_TEXT = "fair=100 inventory=0 volatility=1 size=1 inventory_max=9 seconds_left=1 fill_rate=1"
PAPERS, GLFT = PAPERS_TEXT.split(), GLFT_TEXT.split()


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert price.main([*words, "--json"]) == ExitCode.CLEAN
    last = capsys.readouterr().out.splitlines()[-1]
    found = json.loads(last)
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the sentence, the same on stderr and in the object."""
    assert price.main([*words, "--json"]) == ExitCode.USAGE
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert answer["exit_code"] == ExitCode.USAGE
    assert shown.err == f"price: {answer['reason']}\n"
    assert isinstance(answer["reason"], str)
    return answer["reason"]


def test_the_papers_quote(capsys: pytest.CaptureFixture[str]) -> None:
    """One unit long at t = 0: r = 99.6, spread 1.690770."""
    found = told(capsys, *PAPERS)
    assert found["reservation"] == pytest.approx(99.6)
    assert found["bid_offset"] + found["ask_offset"] == pytest.approx(1.690770, abs=5e-7)
    assert (found["model"], found["exit_code"]) == ("avellaneda_stoikov", 0)


def test_a_person_reads_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert price.main(PAPERS) == ExitCode.CLEAN
    assert capsys.readouterr().out == (
        "ask               100.445385   0.445385 above fair (+44.539 bp)\n"
        "reservation        99.600000   0.400000 below fair (-40.000 bp)\n"
        "bid                98.754615   1.245385 below fair (-124.539 bp)\n"
    )


def test_the_exact_numbers_are_not_those_of_a_rounded_table(capsys: pytest.CaptureFixture[str]) -> None:
    """GLFT at q = 5: 3.653479 and 2.972522 exact, 3.652244 and 2.973586 closed; step_ratio rounds."""
    exact = told(capsys, "glft", "horizon_seconds=600", *GLFT)
    assert (exact["bid_offset"], exact["ask_offset"]) == pytest.approx((3.653479, 2.972522), abs=5e-6)
    closed = told(capsys, "glft_closed", *GLFT)
    assert (closed["bid_offset"], closed["ask_offset"]) == pytest.approx((3.652244, 2.973586), abs=5e-6)
    rounded = told(capsys, "glft", "horizon_seconds=600", "step_ratio=0.02", *GLFT)
    assert rounded["bid_offset"] != pytest.approx(3.653479, abs=5e-6)


def test_a_side_at_the_limit_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    full = [word if not word.startswith("inventory=") else "inventory=30" for word in GLFT]
    assert told(capsys, "glft_closed", *full)["bid_price"] is None
    assert price.main(["glft_closed", *full]) == ExitCode.CLEAN
    assert "bid                     none   at the inventory's limit" in capsys.readouterr().out


def test_a_model_is_asked_for_only_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, *FIXED_TEXT.split())
    assert (found["bid_offset"], found["ask_offset"]) == pytest.approx((18.0, 6.0))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "name a model (fixed, volatility, avellaneda_stoikov, glft, glft_closed, file.py:Class) or `table`; "
             "--help tells the rest."),
        ("mine", "MODEL: 'mine' is no model. There are fixed, volatility, avellaneda_stoikov, glft, glft_closed, and "
                 "your own as file.py:Class."),
        ("gtfl", "MODEL: 'gtfl' is no model. Did you mean glft?"),
        ("fixed half_spread_bps=2 fair=1", "fixed needs skew_bps, inventory, inventory_max as well."),
        ("fixed half_spread_bps=2 skew_bps=0 fair=1 inventory=0 inventory_max=1 skev_bps=1",
         "fixed.skev_bps: is not a known key. Did you mean skew_bps?"),
        ("fixed half_spread_bps=2 skew_bps=0 fair=-1 inventory=0 inventory_max=1",
         "fair: is -1.0. It must be above 0."),
        ("fixed half_spread_bps=0 skew_bps=0 fair=1 inventory=0 inventory_max=1",
         "fixed.half_spread_bps: is 0 and must be above 0. Try 2."),
        ("fixed half_spread_bps", "'half_spread_bps' is not key=value."),
        ("fixed fair=1 fair=2", "fair is given twice."),
        ("fixed half_spread_bps=2 skew_bps=0 fair=much inventory=0 inventory_max=1",
         "fair must be a number, not 'much'."),
        ("fixed half_spread_bps=NaN", "half_spread_bps must be a finite number, not NaN."),
        ("table --gamma x", "argument --gamma: invalid float value: 'x'."),
        ("table --gamma -1", "risk_aversion: is -1.0 and must be above 0. Small is bold: try what makes gamma * "
                             "sigma^2 * horizon * inventory a few basis points."),
        ("table --paths 1", "--paths must be 2 to 1,000,000, not 1."),
        ("table 3", "unknown word 3; a table takes --gamma, --paths and --seed."),
        ("none.py:Model fair=1", f"MODEL: there is no file {Path('none.py').resolve()}. "
                                 'Write it as "file.py:Class", the file beside the configuration; for `price`, in the '
                                 "current directory."),
    ],
)  # fmt: skip
def test_wrong_words_are_a_sentence(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *words.split()) == sentence


def test_absurd_numbers_are_a_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond all floats: no traceback."""
    words = [word if not word.startswith("volatility=") else "volatility=1e200" for word in PAPERS]
    assert refused(capsys, *words)


def test_an_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parameters by their names; it may look at the whole situation, so all of it is asked for."""
    (tmp_path / "mine.py").write_text(
        "from maker.desk.spread import Spread\n"
        "class Mine:\n"
        "    def __init__(self, half): self.half = half\n"
        "    def spread(self, situation): return Spread(situation.fair, self.half, self.half)\n"
    )
    monkeypatch.chdir(tmp_path)
    rest = OWN_TEXT.split()
    assert refused(capsys, "mine.py:Mine", "half=0.5", *rest) == "mine.py:Mine needs fill_decay as well."
    assert told(capsys, "mine.py:Mine", "half=0.5", "fill_decay=1", *rest)["bid_price"] == 99.5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1 / (situation.fair - 100)", "ZeroDivisionError: float division by zero"),
        ("{}[situation.fair] if situation.fair == 100 else MADE", "KeyError: 100.0"),
        ("exit(3) if situation.fair == 100 else MADE", "RuntimeError: it asks to end the program: SystemExit(3)"),
        ("None if situation.fair == 100 else MADE",
         "TypeError: it answers None, and must return a maker.desk.spread.Spread"),
        ("Spread(1.0, 'x', None) if situation.fair == 100 else MADE", "TypeError: must be real number, not str"),
        ("Spread(1.0, Decimal(1), None) if situation.fair == 100 else MADE",
         "TypeError: its bid is a Decimal, and must be a float"),
    ],
)  # fmt: skip
def test_an_own_model_that_fails_here_alone_is_a_sentence(
    answer: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the trial did not show it may be asked here: no traceback, and the same words."""
    (tmp_path / "mine.py").write_text(
        "from decimal import Decimal\n"
        "from maker.desk.spread import Spread\n"
        "MADE = Spread(1.0, 1.0, 1.0)\n"
        "def exit(code): raise SystemExit(code)\n"
        "class Mine:\n"
        f"    def spread(self, situation): one = {answer}; return one if one is None or type(one) is Spread else MADE\n"
    )
    monkeypatch.chdir(tmp_path)
    sentence = refused(capsys, "mine.py:Mine", "fill_decay=1", *OWN_TEXT.split())
    assert sentence.startswith("mine.py:Mine fails on Situation(fair=100.0, inventory=0.0, ")
    assert sentence.endswith(f": {said}.")


@pytest.mark.parametrize(
    ("decorator", "text"), [("", "def __init__(self, size): self.size = size"), ("@attrs.frozen", "size: float")]
)
def test_an_own_models_parameter_may_be_called_as_the_situation_is(
    decorator: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One word, and both get it: here it is half the spread as well."""
    (tmp_path / "mine.py").write_text(
        "import attrs\n"
        "from maker.desk.spread import Spread\n"
        f"{decorator}\n"
        "class Mine:\n"
        f"    {text}\n"
        "    def spread(self, situation): return Spread(situation.fair, self.size, situation.size)\n"
    )
    monkeypatch.chdir(tmp_path)
    words = OWN_TEXT.replace(" size=1 ", " size=0.5 ").split()
    found = told(capsys, "mine.py:Mine", "fill_decay=1", *words)
    assert (found["bid_price"], found["ask_price"]) == (99.5, 100.5)


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "table", "--gamma", "1", "--paths", "300", "--seed", "5")
    assert found["inventory"]["profit_mean"] == pytest.approx(31.4, abs=1.5)
    assert found["symmetric"]["final_inventory_deviation"] == pytest.approx(5.1, rel=0.2)
    assert price.main(["table", "--paths", "20"]) == ExitCode.CLEAN
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Avellaneda and Stoikov 2008, gamma 0.1, 20 paths, seed 1"
    assert lines[3] == "  as published            1.49    65.00    6.60     0.08    2.90"
    assert price.main(["table", "--gamma", "0.5", "--paths", "2"]) == ExitCode.CLEAN
    assert "published" not in capsys.readouterr().out


def test_help_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert price.main(["--help"]) == ExitCode.CLEAN
    shown = capsys.readouterr().out
    assert "one of fixed, volatility, avellaneda_stoikov, glft, glft_closed" in shown
    assert "the file in the current directory" in shown


def test_it_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Through the front door, and as a process."""
    assert __main__.main(["price", *PAPERS]) == ExitCode.CLEAN
    shown = capsys.readouterr().out
    ended = subprocess.run(
        [sys.executable, "-m", "maker", "price", *PAPERS], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, shown, "")
