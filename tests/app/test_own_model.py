"""A user's own model: found beside the configuration, made with its keys, tried; whatever is wrong is a sentence."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from maker.app.spread_models import make
from maker.desk.spread import Situation, SpreadModel
from maker.errors import ConfigError

FLAT = Situation(60_000.0, 0.0, 0.0, 0.02, 0.4, 3600.0, 0.08, 1 / 6)
README = Path(__file__).parents[2] / "README.md"
PLAIN = """
from maker.desk.spread import Spread

class Wide:
    def __init__(self, bps, skew=0.0):
        if bps <= 0:
            raise ValueError("bps: must be above 0. Try 5.")
        self.bps, self.skew = bps, skew

    def spread(self, situation):
        half = situation.fair * self.bps / 10_000
        return Spread(situation.fair - self.skew * situation.inventory, half, half)
"""
TYPED = """
from __future__ import annotations
from decimal import Decimal
import attrs
from maker.desk.spread import Situation, Spread

@attrs.frozen
class Typed:
    half_bps: Decimal
    lean: float = 0.5

    def spread(self, situation: Situation) -> Spread:
        half = situation.fair * float(self.half_bps) / 10_000
        return Spread(situation.fair, half, None if situation.inventory < 0 else half)
"""
FIXED_AT = """
from decimal import Decimal
from maker.desk.spread import Spread

class Wide:
    {}

    def spread(self, one):
        return Spread(one.fair, {})
"""
ODD = """
import attrs
from maker.desk.spread import Spread

@attrs.define
class Odd:
    _bps: float = attrs.field()
    levels: list[float] = attrs.field()
    untyped = attrs.field()
    deep: dict = attrs.field(factory=dict)
    none: float | None = attrs.field(default=None)
    kept: list[float] = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.kept = [0.5 * one for one in self.levels]

    def spread(self, one):
        half = self._bps + sum(self.kept) + self.untyped + (self.none or 0.0)
        half += sum(self.deep.get("a", [{}])[0].values())
        return Spread(one.fair, half, half)
"""
HEAD = "from maker.desk.spread import Spread\nclass Wide:\n"


def own(folder: Path, text: str, name: str = "wide.py:Wide", given: dict[str, Any] | None = None) -> SpreadModel:
    (folder / "wide.py").write_text(text)
    return make(name, given or {}, folder, "market.X.model", "market.X.models.wide")


def test_a_plain_class_gets_its_keys_as_keyword_arguments(tmp_path: Path) -> None:
    model = own(tmp_path, PLAIN, given={"bps": Decimal("2.5")})
    assert model.spread(FLAT).bid == pytest.approx(15.0)


def test_it_is_made_again_in_another_process(tmp_path: Path) -> None:
    """Two markets' models, of a file imported twice, each with its own parameters; whatever they hold inside."""
    holding = PLAIN.replace("self.bps, self.skew = bps, skew", "self.bps, self.skew, self.odd = bps, skew, lambda: 0")
    models = [own(tmp_path, holding, given={"bps": Decimal(bps)}) for bps in ("2.5", "4")]
    models.append(
        own(
            tmp_path,
            holding + TYPED.replace("from __future__ import annotations\n", ""),
            "wide.py:Typed",
            {"half_bps": 3},
        )
    )
    program = (
        "import pickle, sys; from maker.desk.spread import Situation\n"
        f"print(*(model.spread({FLAT}).bid for model in pickle.load(sys.stdin.buffer)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(models),
        env={**os.environ, "PYTHONPATH": str(README.parent)},
        cwd=tmp_path.parent,
        capture_output=True,
        check=True,
    )
    assert [float(bid) for bid in ended.stdout.split()] == pytest.approx([15.0, 24.0, 18.0])


def test_an_attrs_class_gets_them_as_its_types(tmp_path: Path) -> None:
    model = own(tmp_path, TYPED, "wide.py:Typed", {"half_bps": 3})
    assert model.spread(FLAT).ask == pytest.approx(18.0)
    assert vars_of(model) == {"half_bps": Decimal("3"), "lean": 0.5}


def test_an_attrs_class_gets_them_under_its_arguments_names_and_floats_in_whatever_else_it_wants(
    tmp_path: Path,
) -> None:
    """`_bps` is its argument `bps`, and `kept` is none; a list or a table holds floats, not our exact decimals."""
    given: dict[str, Any] = {"bps": 1, "levels": [Decimal("0.5"), 2], "untyped": Decimal("0.25")}
    assert own(tmp_path, ODD, "wide.py:Odd", given).spread(FLAT).bid == 1 + 1.25 + 0.25
    given |= {"deep": {"a": [{"b": Decimal("0.5")}]}, "none": Decimal("0.5")}
    assert own(tmp_path, ODD, "wide.py:Odd", given).spread(FLAT).bid == 1 + 1.25 + 0.25 + 1


def test_a_plain_class_gets_floats_at_any_depth(tmp_path: Path) -> None:
    text = PLAIN.replace("if bps <= 0", "bps = bps[0]['x']\n        if bps <= 0")
    assert own(tmp_path, text, given={"bps": [{"x": Decimal("2.5")}]}).spread(FLAT).bid == pytest.approx(15.0)


def vars_of(model: object) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("half_bps", "lean")}


def test_the_readmes_example_works(tmp_path: Path) -> None:
    """As it stands there: what a reader copies must run."""
    section = README.read_text(encoding="utf-8").partition("## Spread models")[2]
    code, table = (section.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "toml"))
    market = tomllib.loads(table)["market"]["BTC-PERP"]
    model = own(tmp_path, code, market["model"], market["models"][market["model"]])
    assert model.spread(attrs.evolve(FLAT, volatility=1.5)).ask == pytest.approx(12.0 + 1.5)


def test_a_folder_beside_the_configuration_will_do(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one.py").write_text(PLAIN)
    model = make("models/one.py:Wide", {"bps": 1}, tmp_path, "market.X.model", "table")
    assert model.spread(FLAT).reservation == pytest.approx(60_000)


def test_two_files_of_one_name_are_two_models(tmp_path: Path) -> None:
    """The second is not the first again, as an import by name would have it."""
    for name, bps in (("a", "self.bps"), ("b", "2 * self.bps")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.py").write_text(PLAIN.replace("* self.bps", f"* {bps}"))
    first, second = (
        make("one.py:Wide", {"bps": 1}, tmp_path / name, "market.X.model", "table").spread(FLAT) for name in ("a", "b")
    )
    assert (first.bid, second.bid) == pytest.approx((6.0, 12.0))


@pytest.mark.parametrize(
    ("name", "text", "given", "field", "problem"),
    [
        ("wide:Wide", PLAIN, {}, "market.X.model", "names no class in a Python file"),
        ("wide.py:", PLAIN, {}, "market.X.model", "names no class in a Python file"),
        ("none.py:Wide", PLAIN, {}, "market.X.model", "there is no file "),
        ("wide.py:Wade", PLAIN, {}, "market.X.model", "has no class Wade"),
        ("wide.py:Spread", "Spread = 3", {}, "market.X.model", "has no class Spread"),
        ("wide.py:Wide", "class Wide: pass", {}, "market.X.model", "has no method `spread`"),
        ("wide.py:Wide", "class Wide:\n    spread = 3", {}, "market.X.model", "has no method `spread`"),
        ("wide.py:Wide", "class Wide(:", {}, "market.X.model", "cannot be imported: SyntaxError"),
        ("wide.py:Wide", "import nowhere_to_be_found", {}, "market.X.model", "cannot be imported: ModuleNotFoundError"),
        ("wide.py:Wide", PLAIN + "import sys; sys.exit()", {}, "market.X.model", "cannot be imported: SystemExit."),
        ("wide.py:Wide", PLAIN + "raise SystemExit(3)", {}, "market.X.model", "cannot be imported: SystemExit: 3."),
        ("wide.py:Wide", PLAIN.replace("if bps <= 0:", "if bps:").replace("ValueError(", "SystemExit("),
         {"bps": 1}, "market.X.models.wide", "cannot be made: SystemExit: bps: must be above 0."),
        ("wide.py:Wide", HEAD + "    def spread(self, one): raise SystemExit(3)", {}, "market.X.model",
         "RuntimeError: it asks to end the program: SystemExit(3)."),
        ("wide.py:Wide", "import sys\n" + FIXED_AT.format("horizon_seconds = property(sys.exit)", "1.0, 1.0"), {},
         "market.X.model", "wide.py:Wide fails: SystemExit: <"),
        ("wide.py:Wide", PLAIN, {}, "market.X.models.wide.bps", "is missing"),
        ("wide.py:Wide", PLAIN, {"bps": 1, "skev": 1}, "market.X.models.wide.skev", "is not a known key"),
        ("wide.py:Wide", PLAIN, {"bps": 0}, "market.X.models.wide.bps", "must be above 0."),
        ("wide.py:Wide", PLAIN.replace("bps: ", ""), {"bps": 0}, "market.X.models.wide", "is refused by the model"),
        ("wide.py:Wide", PLAIN, {"bps": "x"}, "market.X.models.wide", "cannot be made: TypeError"),
        ("wide.py:Typed", TYPED, {"half_bps": "x"}, "market.X.models.wide.half_bps", "is x"),
        ("wide.py:Typed", TYPED, {}, "market.X.models.wide.half_bps", "is missing"),
        ("wide.py:Odd", ODD, {"kept": 1, "levels": [], "bps": 1, "untyped": 1}, "market.X.models.wide.kept",
         "is not a known key"),
        ("wide.py:Odd", ODD, {"levels": [], "untyped": 1}, "market.X.models.wide.bps", "is missing"),
        ("wide.py:Wide", HEAD + "    def spread(self): ...", {}, "market.X.model",
         "wide.py:Wide fails on Situation(fair=60000.0"),
        ("wide.py:Wide", HEAD + "    def spread(self, one): return 1 / one.volatility", {}, "market.X.model",
         "ZeroDivisionError"),
        ("wide.py:Wide", HEAD + "    def spread(self, one): return 3", {}, "market.X.model",
         "it answers 3, and must return a maker.desk.spread.Spread"),
        ("wide.py:Wide", HEAD + "    def spread(self, one): return Spread(1.0, float('nan'), 1.0)", {},
         "market.X.model", "finite"),
        ("wide.py:Wide", FIXED_AT.format("horizon_seconds = 0", "1.0, 1.0"), {}, "market.X.model",
         "wide.py:Wide fails: ValueError: its horizon_seconds is 0, and must be a number above 0"),
        ("wide.py:Wide", FIXED_AT.format("horizon_seconds = -5.0", "1.0, 1.0"), {}, "market.X.model", "is -5.0, and"),
        ("wide.py:Wide", FIXED_AT.format("horizon_seconds = float('nan')", "1.0, 1.0"), {}, "market.X.model", "is nan"),
        ("wide.py:Wide", FIXED_AT.format("horizon_seconds = None", "1.0, 1.0"), {}, "market.X.model", "TypeError"),
        ("wide.py:Wide", FIXED_AT.format("", "Decimal(1), 1.0"), {}, "market.X.model", "its bid is a Decimal"),
        ("wide.py:Wide", FIXED_AT.format("", "1.0, Decimal(1)"), {}, "market.X.model", "its ask is a Decimal"),
        ("wide.py:Wide", FIXED_AT.format("", "1.0, 1e308"), {}, "market.X.model", "OverflowError"),
        ("wide.py:Wide", FIXED_AT.format("", "1.0, 1 / (0.4 - one.inventory)"), {}, "market.X.model", "inventory=0.4"),
        ("wide.py:Wide", FIXED_AT.format("", "1 / (0.6 + one.inventory), 1.0"), {}, "market.X.model", "inventory=-0.6"),
        ("wide.py:Wide", FIXED_AT.format("", "1 / max(0, one.seconds_left - 0.01), 1.0"), {}, "market.X.model",
         "ZeroDivisionError"),
        ("wide.py:Wide", FIXED_AT.format("", "1.0, 1 / max(0, 100 - one.volatility)"), {}, "market.X.model",
         "volatility=300.0"),
        ("wide.py:Wide", FIXED_AT.format("", "1.0, 1.0").replace("one.fair", "None"), {}, "market.X.model",
         "its reservation is a NoneType"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_placed(
    tmp_path: Path, name: str, text: str, given: dict[str, Any], field: str, problem: str
) -> None:
    """Checklist 23: no code path that a configuration reaches fails for the first time while quoting."""
    with pytest.raises(ConfigError) as refused:
        own(tmp_path, text, name, given)
    assert refused.value.field == field
    assert problem in refused.value.problem
    assert refused.value.fix


@pytest.mark.parametrize(
    "text", [PLAIN + "raise KeyboardInterrupt", HEAD + "    def spread(self, one): raise KeyboardInterrupt"]
)
def test_ctrl_c_meanwhile_is_still_ctrl_c(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        own(tmp_path, text)
