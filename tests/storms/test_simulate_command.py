"""The command as users give it: its words, what it prints, the files it leaves, its exit codes."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker import __main__ as program
from maker.app import cli, config
from maker.app.config import Config
from maker.app.market_config import Market
from maker.errors import ExitCode
from maker.storms import command, findings, progress, wiring
from maker.storms.campaign import Build, Tally
from maker.storms.outcome import Outcome, Violation
from maker.storms.progress import Progress
from maker.storms.record import Record
from maker.storms.requirements import Needs
from maker.storms.schedule import Schedule, from_fields
from maker.storms.workers import Failure
from tests.storms import scripted
from tests.storms.scripted import NEEDS, SMALL, outcome, schedule

PROJECT = Path(__file__).parents[2]
CANARY = "ocx_sk_canary"

Simulate = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration of the user's, with a state folder of its own."""
    text = (PROJECT / "conf" / "live.example.toml").read_text()
    assert '"state-live"' in text
    path = tmp_path / "live.toml"
    path.write_text(text.replace('"state-live"', f'"{tmp_path / "state"}"'))
    return path


@pytest.fixture
def simulate(conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Simulate:
    """Give the command with scripted storms; return exit code, what people read, and the object in the last line."""

    def given(build: Build, *words: str, needs: Needs = NEEDS) -> tuple[int, str, dict[str, Any]]:
        monkeypatch.setattr(command, "wired", lambda *_words: (build, needs))
        code = program.main(["simulate", str(conf), *words, "--jobs", "2", "--json"])
        lines = capsys.readouterr().out.splitlines()
        said = json.loads(lines[-1])
        assert said["exit_code"] == code
        assert lines[-2] == said["reason"]
        return code, "\n".join(lines[:-1]), said

    return given


def test_a_sound_campaign(simulate: Simulate, tmp_path: Path) -> None:
    """Exit 0; the tables say what was met and judged; nothing is left behind; twice gives the same hash."""
    code, text, said = simulate(scripted.sound, "--seeds", "10:130")
    assert code == 0, text
    assert said["reason"] == "120 storms, no violation"
    assert said["faults"][1] == {"row": "F5", "name": "reset", "bites": 120, "storms": 120}
    assert said["invariants"][0] == {"name": "S1", "statement": "no orphan", "judged": 360, "violations": 0}
    assert said["violations"] == said["failures"] == []
    figures = said["figures"]
    assert (figures["storms"], figures["void"], figures["simulated_hours"]) == (120, 0, 1.2)
    assert figures["performed_twice"] == 2
    for row in (
        r"F5 +reset +120 +120",
        r"S1 +360 +0 +no orphan",
        r"exchange time +1 h 12 min: 2400 ladders, 240 fills",
    ):
        assert re.search(row, text)
    assert figures["hash_of_hashes"] in text
    assert "not required below 1000 storms: 8 of 8 met" in text
    assert not (tmp_path / "state").exists()
    assert simulate(scripted.sound, "--seeds", "10:130")[2]["figures"]["hash_of_hashes"] == figures["hash_of_hashes"]
    assert simulate(scripted.sound, "--seeds", "11:131")[2]["figures"]["hash_of_hashes"] != figures["hash_of_hashes"]


def test_a_violation(simulate: Simulate, tmp_path: Path) -> None:
    """Exit 1; a row each; a page each, the first one printed too, with a smaller storm that breaks the same again."""
    code, text, said = simulate(scripted.breaking, "--seeds", "0:3")
    assert code == 1
    assert said["reason"] == "3 violations in 3 storms"
    assert [(row["seed"], row["name"], row["at"]) for row in said["violations"]] == [(n, "S2", 7.5) for n in range(3)]
    for row in said["violations"]:
        page = Path(row["file"])
        assert page == tmp_path / "state" / "storms" / f"seed-{row['seed']}.txt"
        small = from_fields(json.loads(page.with_suffix(".json").read_text()))
        assert small == from_fields(row["schedule"])
        assert [fault.name for fault in small.faults] == ["reset", "gap"]
        assert scripted.breaks(small).violations
        body = page.read_text()
        for part in (
            ">>> S2: a ladder left after the trip",
            "3 faults drawn, 2 left",
            f"--schedule {page.with_suffix('.json')}",
        ):
            assert part in body
        assert (body.strip() in text) == (row["seed"] == 0)
    code, text, said = simulate(scripted.breaking, "--schedule", str(tmp_path / "state" / "storms" / "seed-1.json"))
    assert code == 1
    assert ">>> S2" in text
    assert [row["seed"] for row in said["violations"]] == [1]


def test_a_violation_without_a_record(simulate: Simulate, conf: Path) -> None:
    """What keeps no record is said with the words that perform it again."""
    code, text, said = simulate(scripted.core, "--seeds", "4", "--core", "--minutes", "20")
    assert code == 1
    assert f"again: python run.py simulate {conf} --core --minutes 20 --seeds 4" in text
    assert Path(said["violations"][0]["file"]).exists()


def test_a_history_that_differs_is_a_violation(simulate: Simulate) -> None:
    """S22 in the table, in a row, and in the exit code."""
    code, _text, said = simulate(scripted.forgetful, "--seeds", "0:3")
    assert (code, [row["name"] for row in said["violations"]]) == (1, ["S22"])
    assert said["invariants"][2]["violations"] == 1


def test_a_storm_is_known_by_what_it_broke_itself() -> None:
    """Its earliest violation; a history that differs, which no single storm shows, only if there is nothing else."""
    twice, late, early = (Violation(name, at, "") for name, at in (("S22", 1.0), ("S3", 9.0), ("S4", 5.0)))
    assert findings.first(outcome(schedule(0), violations=(twice, late, early))) == early
    assert findings.first(outcome(schedule(0), violations=(twice,))) == twice


def test_what_was_not_met_fails(simulate: Simulate) -> None:
    """A campaign large enough that never met what it is for ends with 1 and says what is missing."""
    needs = attrs.evolve(SMALL, marks={**SMALL.marks, "cancel_all_429": "a cancel-all itself was throttled"})
    code, text, said = simulate(scripted.sound, "--seeds", "0:3", needs=needs)
    assert code == 1
    assert said["reason"] == "not met: cancel_all_429"
    assert "NOT MET  cancel_all_429: a cancel-all itself was throttled" in text
    assert [row["name"] for row in said["required"] if not row["met"]] == ["cancel_all_429"]


def test_a_class_that_is_switched_off_is_not_missed(simulate: Simulate) -> None:
    """`--without` takes it out of what is required; a name that is none is a usage error."""
    needs = attrs.evolve(SMALL, faults={**SMALL.faults, "earthquake": "F99"})
    assert simulate(scripted.sound, "--seeds", "0:3", needs=needs)[0] == 1
    assert simulate(scripted.sound, "--seeds", "0:3", "--without", "earthquake", needs=needs)[0] == 0
    code, _text, said = simulate(scripted.sound, "--seeds", "0:3", "--without", "flood", needs=needs)
    assert code == 2
    assert said["reason"].startswith("no class of faults is called flood; there are: refuse, ")


def test_storms_that_come_to_nothing_are_said(simulate: Simulate) -> None:
    """With seed and reason, the first with where it was; exit 1."""
    code, text, said = simulate(scripted.mishaps, "--seeds", "8:15")
    assert code == 1
    assert said["reason"] == "2 storms came to nothing"
    assert [row["seed"] for row in said["failures"]] == [scripted.DIES, scripted.RAISES]
    assert "seed 9: its process died with code -9" in text
    assert "seed 13: crashed: ValueError: unlucky" in text
    assert "Traceback" in said["failures"][1]["detail"]


def test_no_world_is_a_sentence(simulate: Simulate) -> None:
    code, _text, said = simulate(scripted.broken, "--seeds", "0:3")
    assert code == 1
    assert said["reason"].startswith(
        "no storm could be performed: a worker could not begin: RuntimeError('no such world')"
    )


def test_one_storm_can_be_looked_at(simulate: Simulate, tmp_path: Path) -> None:
    """`--trace` shows what happened though nothing is wrong; a single schedule need not even count."""
    code, text, _said = simulate(scripted.sound, "--seeds", "17", "--trace")
    assert code == 0
    assert "FAULT 0 begins: F5 reset" in text
    path = tmp_path / "calm.json"
    path.write_text(json.dumps(attrs.asdict(schedule(1, "gap"))))
    for words, shown in (((), False), (("--trace",), True)):
        code, text, said = simulate(scripted.quiet, "--schedule", str(path), *words, needs=SMALL)
        assert ("FAULT 0 begins" in text) is shown
        assert code == 1, "it is as small a campaign as there is, and this one requires everything"
        assert "something_counts" not in said["reason"]
        assert simulate(scripted.quiet, "--schedule", str(path), *words)[0] == 0


@pytest.mark.parametrize("text", ["", "[]", '{"faults": 3}', '{"faults": []}', '{"faults": [{"x": 1}], "seed": 1}'])
def test_what_is_no_schedule_is_a_sentence(text: str, simulate: Simulate, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    code, _text, said = simulate(scripted.sound, "--schedule", str(path))
    assert code == 2
    assert said["reason"].startswith(f"{path} holds no schedule: ")


def test_a_schedule_for_more_markets_is_a_sentence(simulate: Simulate, tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text(json.dumps(attrs.asdict(attrs.evolve(schedule(1), markets=2))))
    code, _text, said = simulate(scripted.sound, "--schedule", str(path))
    assert (code, "needs 2 markets, and the configuration has 1" in said["reason"]) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ["--seeds", "0:9", "--trace"],
        ["--seeds", "0:9", "--minutes", "3"],
        ["--seeds", "0:9", "--core", "--minutes", "0"],
        ["--seeds", "0:9", "--core", "--no-swarm"],
        ["--schedule", "x.json", "--core"],
    ],
)
def test_words_that_contradict_each_other(words: list[str], simulate: Simulate) -> None:
    assert simulate(scripted.sound, *words)[0] == 2


@pytest.mark.parametrize("words", [[], ["--seeds", "9:9"], ["--seeds", "-1"], ["--seeds", "a:b"], ["--jobs", "0"]])
def test_words_that_mean_nothing(words: list[str], conf: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([str(conf), *words])
    assert ended.value.code == 2


def test_a_broken_configuration_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.toml").write_text('mode = "live"\n')
    for name in ("broken.toml", "missing.toml"):
        assert command.main([str(tmp_path / name), "--seeds", "1", "--json"]) == 78
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["reason"].startswith("configuration: ")


@pytest.mark.parametrize("name", ["paper.toml", "live.example.toml"])
def test_the_configuration_speaks_to_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are the user's, tails included; its addresses in no net; what is found goes to its state folder.

    What its reference venues call a market becomes what the practice exchange's do.
    """
    monkeypatch.setenv("OCX_API_KEY", CANARY)
    path = PROJECT / "conf" / name
    ready, folder, notes = wiring.prepared(path)
    theirs = config.load(path)
    urls = {one.url for one in ready.references.values()}
    assert (ready.exchange.base_url, *urls) == wiring.ADDRESSES
    symbols = {name: f"{name.removesuffix('-PERP')}-USD" for name in theirs.markets}
    markets = {name: renamed(market, symbols[name]) for name, market in theirs.markets.items()}
    assert (ready.markets, ready.guard, ready.halt, ready.limits, ready.budget, ready.cycle) == (
        markets, theirs.guard, theirs.halt, theirs.limits, theirs.budget, theirs.cycle,
    )  # fmt: skip
    assert not ready.state_folder.exists()
    assert folder == theirs.state_folder / "storms"
    again = pickle.loads(pickle.dumps(ready))
    assert again == ready, "a worker is given it whole"
    for told in (repr(ready), *notes):
        assert CANARY not in told
        assert "api.ocx.global" not in told
        assert "OCX_API_KEY" not in told


def renamed(market: Market, symbol: str) -> Market:
    """The market with this name at each of its reference venues."""
    sources = {name: attrs.evolve(source, symbol=symbol) for name, source in market.fair.sources.items()}
    return attrs.evolve(market, fair=attrs.evolve(market.fair, sources=sources))


def test_a_model_of_the_users_own_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands beside the configuration, wherever the word is given, and the workers can make it."""
    (tmp_path / "wide.py").write_text(
        "from maker.desk.spread import Spread\n"
        "class Wide:\n"
        "    def __init__(self, bps):\n"
        "        self.bps = bps\n"
        "    def spread(self, situation):\n"
        "        half = situation.fair * self.bps / 10_000\n"
        "        return Spread(situation.fair, half, half)\n"
    )
    text = (PROJECT / "conf" / "paper.toml").read_text()
    table = '[market.BTC-PERP.models."wide.py:Wide"]\nbps = 3\n'
    path = tmp_path / "own.toml"
    path.write_text(text.replace('model = "fixed"', 'model = "wide.py:Wide"', 1) + table)
    monkeypatch.chdir(PROJECT)
    ready = wiring.prepared(path)[0]
    again = pickle.loads(pickle.dumps(ready))
    assert type(again.markets["BTC-PERP"].spread_model).__name__ == "Wide"
    assert command.main([str(path), "--core", "--seeds", "1", "--minutes", "2", "--jobs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["exit_code"] == 0


@pytest.mark.parametrize("swarm", [True, False])
def test_a_seed_is_drawn_and_performed_with_the_configuration(swarm: bool) -> None:
    """For as many markets as it has, in swarm mode or not, without what was switched off."""
    ready = wiring.prepared(PROJECT / "conf" / "paper.toml")[0]
    drawn: list[tuple[int, int, bool]] = []

    def draw(seed: int, markets: int, *, swarm: bool) -> Schedule:
        drawn.append((seed, markets, swarm))
        return schedule(seed)

    def perform(configuration: Config, given: Schedule) -> tuple[Outcome, Record]:
        assert configuration is ready
        return outcome(given), scripted.record()

    performers = wiring.drawn_and_performed(ready, draw, perform, swarm, frozenset({"gap", "earthquake"}))
    assert [fault.name for fault in performers.storm(7).schedule.faults] == ["refuse", "reset"]
    assert drawn == [(7, 2, swarm)]
    assert performers.again is not None
    assert performers.again(schedule(7))[0].schedule == schedule(7), "a given schedule is performed as it stands"


def test_it_is_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Help tells what a newcomer needs; whoever errs is told that it is there."""
    with pytest.raises(SystemExit) as ended:
        program.main(["simulate", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in ("--seeds", "--schedule", "exit codes", "seed-N.txt", "hash of hashes", "examples"):
        assert word in text
    assert cli.main(["simulat"]) == ExitCode.USAGE
    assert "simulate" in capsys.readouterr().err
    assert "run.py simulate CONF" in (PROJECT / "README.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_says_what_is_known(number: signal.Signals, conf: Path, tmp_path: Path) -> None:
    """In the middle: within a moment no worker is left; what was found by then is printed; and it is 1."""
    script = (
        "import sys; from maker.storms import command; from tests.storms import scripted;"
        "command.wired = lambda *_words: (scripted.endless, scripted.NEEDS); sys.exit(command.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", script, str(conf), "--seeds", "0:100000", "--jobs", "2", "--json"]
    own = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=PROJECT, env=own, start_new_session=True, stdout=pipe, stderr=pipe, text=True
    ) as simulation:
        assert simulation.stderr is not None
        while "1 violations" not in (line := simulation.stderr.readline()):
            assert line, "it ended"
        began = time.monotonic()
        os.killpg(simulation.pid, number)
        out, err = simulation.communicate(timeout=20)
    said = json.loads(out.splitlines()[-1])
    assert time.monotonic() - began < 10
    assert simulation.returncode == said["exit_code"] == 1
    assert re.match(r"stopped after \d+ of 100000 storms; 1 violations in 1 storms", said["reason"])
    assert said["violations"][0]["seed"] == 0
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("maker-storms-*"))
    while group_exists(simulation.pid):  # the standard library's own helper ends just after us
        assert time.monotonic() - began < 15
        time.sleep(0.02)


def group_exists(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


# -- progress -----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("out", "written"), [(Terminal(), 5), (io.StringIO(), 1)])
def test_progress_is_not_too_much(out: io.StringIO, written: int) -> None:
    """One line redrawn five times a second on a terminal, a plain line now and then elsewhere."""
    shown = Progress(out)
    tally = Tally(NEEDS, 1000)
    for hundredth in range(100):
        tally.add(hundredth, outcome(schedule(hundredth)))
        tally.seconds = hundredth / 100
        shown.show(tally)
    text = out.getvalue()
    assert text.count("/1000") == written
    assert ("\n" in text) is not out.isatty()
    assert text.count("\r") == (written if out.isatty() else 0)


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()])
def test_a_violation_is_said_at_once_with_its_seed(out: io.StringIO) -> None:
    """Once, on a line that stays: a night's campaign need not end before somebody looks."""
    shown = Progress(out)
    tally = Tally(NEEDS, 100)
    broken = scripted.breaks(schedule(4))
    bad: dict[int, Outcome | Failure] = {4: broken, 6: Failure("it hung")}
    for seed in range(10):
        tally.add(seed, bad.get(seed, outcome(schedule(seed))))
        tally.seconds = 0.01 + seed / 100
        shown.show(tally)
    lines = re.split(r"[\r\n]+", out.getvalue().replace("\x1b[K", ""))
    said = [one for one in lines if one.startswith("seed")]
    first = broken.violations[0]
    assert said == [f"seed 4: {first.name} at {first.at:.3f} s: {first.sentence}", "seed 6: it hung"]
    assert out.getvalue().count("/100") == 3


def test_a_line_of_progress() -> None:
    tally = Tally(NEEDS, 100)
    for seed in range(50):
        tally.add(seed, outcome(schedule(seed)))
    tally.seconds = 30.0
    assert progress.line(tally) == (
        "[##########          ] 50/100  100/min  1.0 simulated h/min  0 violations  30 s left"
    )
    assert progress.duration(3725) == "1 h 02 min"
    assert progress.duration(95) == "1 min 35 s"
