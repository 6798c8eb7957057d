"""`run.py` on a machine with only Python: made once, repaired when interrupted, refused in one sentence.

Each test starts a copy of run.py in a folder of its own, with a requirements file of one tiny package that lies in a
local folder: no network, and a real virtual environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

import run as bootstrap

ROOT = Path(__file__).resolve().parents[1]
WAIT_SECONDS_MAX = 60.0
PROGRAM = """
import json, os, sys
import tiny
print(json.dumps({"argv": sys.argv[1:], "prefix": sys.prefix, "cwd": os.getcwd(), "tiny": tiny.__file__,
                  "safe": sys.flags.safe_path, "optimize": sys.flags.optimize}))
"""


class Clone:
    """A folder that looks like a fresh clone, and an index folder with one wheel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.index = folder / "index"
        (self.folder / "maker").mkdir(parents=True)
        self.index.mkdir()
        shutil.copy(ROOT / "run.py", self.folder)
        (self.folder / "maker" / "__init__.py").touch()
        (self.folder / "maker" / "__main__.py").write_text(PROGRAM)
        self.pin("requirements.txt", "tiny", make_wheel(self.index, "tiny"))

    def pin(self, file_name: str, package: str, sha256: str) -> None:
        (self.folder / file_name).write_text(f"{package}==1.0 \\\n    --hash=sha256:{sha256}\n")

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        clean = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index)}
        return subprocess.Popen(
            [sys.executable, str(self.folder / "run.py"), *words],
            cwd="/",
            env={**clean, **index, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*words, **environment)
        output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
        return process.returncode, output, errors

    def refused(self, *words: str, **environment: str) -> str:
        """Run, see it refused in one sentence and one JSON line, and return the sentence."""
        code, output, errors = self.run(*words, "--json", **environment)
        assert code == 78, errors
        said = json.loads(output)
        assert said["exit_code"] == 78
        assert errors.splitlines()[-1] == said["reason"]
        sentences = [line for line in errors.splitlines() if not line.startswith("First start")]
        assert len(sentences) == 1
        return str(said["reason"])


def make_wheel(index: Path, name: str) -> str:
    """Write a wheel with one empty module and return its SHA-256."""
    path = index / f"{name}-1.0-py3-none-any.whl"
    information = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", f"{name}.py,,\n{information}/METADATA,,\n{information}/WHEEL,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose environment is finished."""
    clone = Clone(tmp_path_factory.mktemp("made"))
    code, _, errors = clone.run()
    assert code == 0, errors
    assert errors.startswith("First start")
    return clone


def test_the_program_gets_its_words_in_its_own_environment(made: Clone) -> None:
    """From any folder, with its arguments; what could put other code before the pinned packages is dropped."""
    code, output, errors = made.run("check", "conf.toml", PYTHONPATH="/nowhere", PYTHONOPTIMIZE="2")
    said = json.loads(output)
    assert (code, errors) == (0, "")
    assert said["argv"] == ["check", "conf.toml"]
    assert said["prefix"] == str(made.folder / ".venv")
    assert (said["cwd"], said["safe"], said["optimize"]) == ("/", True, 0)
    assert said["tiny"].startswith(str(made.folder / ".venv"))


def test_a_later_start_asks_nobody(made: Clone) -> None:
    """With the marker in place neither pip nor the index is touched: a broken index changes nothing."""
    before = (made.folder / ".venv" / "made").stat().st_mtime_ns
    code, _, errors = made.run(PIP_FIND_LINKS="/nowhere")
    assert (code, errors) == (0, "")
    assert (made.folder / ".venv" / "made").stat().st_mtime_ns == before


def test_it_is_not_rebuilt_under_a_running_maker(made: Clone) -> None:
    """Requirements that changed while something runs in the environment: refused, and the environment is untouched."""
    with (made.folder / ".venv.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as every start holds it for as long as it runs
        requirements = made.folder / "requirements.txt"
        original = requirements.read_text()
        requirements.write_text(original + "\n# changed\n")
        try:
            assert "another run is using it" in made.refused()
        finally:
            requirements.write_text(original)
    assert made.run()[0] == 0


def test_the_lock_is_held_for_as_long_as_the_program_runs(made: Clone) -> None:
    program = made.folder / "maker" / "__main__.py"
    program.write_text("import sys; print('ready', flush=True); sys.stdin.read()")
    process = subprocess.Popen(
        [sys.executable, str(made.folder / "run.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with (made.folder / ".venv.lock").open() as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.communicate(b"")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        program.write_text(PROGRAM)


def test_an_interrupted_first_start_repairs_itself(clone: Clone) -> None:
    """kill -9 in the middle leaves no marker; the next start makes everything again; so does a start after changes."""
    first = clone.start()
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not (clone.folder / ".venv" / "pyvenv.cfg").exists():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.002)
    first.kill()
    first.communicate()
    assert not (clone.folder / ".venv" / "made").exists()
    code, output, errors = clone.run("again")
    assert (code, json.loads(output)["argv"]) == (0, ["again"])
    assert "First start" in errors
    (clone.folder / ".venv" / "bin" / "python").unlink()  # as when the system's Python was removed
    assert clone.run()[0] == 0


def test_two_first_starts_make_it_once(clone: Clone) -> None:
    """Started together: both end well, one made it and the other waited or found it made."""
    processes = [clone.start(str(number)) for number in range(2)]
    ended = [process.communicate(timeout=WAIT_SECONDS_MAX) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert sum(errors.count("First start") for _, errors in ended) == 1


def test_sigterm_during_the_first_start_is_one_sentence(clone: Clone) -> None:
    process = clone.start("--json")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("First start")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert process.returncode == 78
    assert json.loads(output)["reason"] == errors.strip()
    assert "the next start goes on from here" in errors
    assert not (clone.folder / ".venv" / "made").exists()


def test_a_wrong_or_missing_hash_and_a_missing_package_are_one_sentence_each(clone: Clone) -> None:
    """Nothing is started; the sentence names the package; once mended the same folder works."""
    right = (clone.folder / "requirements.txt").read_text()
    clone.pin("requirements.txt", "tiny", "0" * 64)
    sentence = clone.refused()
    assert "tiny==1.0" in sentence
    assert "does not have the hash pinned" in sentence
    clone.pin("requirements.txt", "absent", "0" * 64)
    sentence = clone.refused()
    assert "absent==1.0 could not be fetched: is the network" in sentence
    (clone.folder / "requirements.txt").write_text("tiny==1.0\n")
    assert "Hashes are required" in clone.refused()
    (clone.folder / "requirements.txt").unlink()
    assert "cannot read" in clone.refused()
    (clone.folder / "requirements.txt").write_text(right)
    assert clone.run()[0] == 0


def test_pips_settings_of_the_machine_do_no_harm(clone: Clone) -> None:
    """A machine whose pip is told where to install, or not to use wheels, still gets its environment."""
    environment = {"PIP_USER": "1", "PIP_TARGET": "/nowhere", "PIP_NO_BINARY": ":all:", "PIP_REQUIRE_VIRTUALENV": "1"}
    code, output, errors = clone.run(**environment)
    assert code == 0, errors
    assert json.loads(output)["tiny"].startswith(str(clone.folder / ".venv"))


def test_the_test_command_installs_its_tools_and_translates_the_exit_code(clone: Clone) -> None:
    """`test` adds its own pinned list, runs pytest, and with --json ends with one JSON line; 1: failed, 2: usage."""
    clone.pin("requirements-test.txt", "pytest", make_wheel(clone.index, "pytest"))
    assert clone.run("test")[0] == 0  # the stand-in for pytest is an empty module
    site_packages = next((clone.folder / ".venv" / "lib").iterdir()) / "site-packages"
    stand_in = "import sys; print('1 passed in 0.01s'); sys.exit(int(sys.argv[1]))"
    (site_packages / "pytest.py").write_text(stand_in)
    for pytest_code, exit_code in ((0, 0), (1, 1), (2, 1), (4, 2), (5, 1)):
        code, output, _ = clone.run("test", str(pytest_code), "--json")
        assert code == exit_code
        said = json.loads(output)
        assert (said["exit_code"], said["summary"]) == (exit_code, "1 passed in 0.01s")
        assert clone.run("test", str(pytest_code))[:2] == (exit_code, "1 passed in 0.01s\n")


def test_keys_add_what_a_wallet_needs_beside_the_environment(clone: Clone) -> None:
    """Once, from its own pinned list, in a folder that no other command looks into; also while something runs."""
    wallet = make_wheel(clone.index, "purse")
    clone.pin("requirements-wallet.txt", "purse", wallet)
    assert clone.run("keys", "--help")[0] == 0
    folder = clone.folder / ".venv" / "wallet"
    assert not folder.exists()
    with (clone.folder / ".venv.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a running maker holds it: the environment itself may not change
        code, _, errors = clone.run("keys", "list", "conf.toml")
        assert (code, errors.count("First use of a wallet")) == (0, 1)
        assert (folder / "purse.py").exists()
        assert clone.run("keys", "list", "conf.toml", PIP_FIND_LINKS="/nowhere")[2] == ""
    site_packages = next((clone.folder / ".venv" / "lib").iterdir()) / "site-packages"
    assert not (site_packages / "purse.py").exists()
    (clone.folder / ".venv" / "made-wallet").write_text("of another list")
    (folder / "left.py").touch()
    assert "First use of a wallet" in clone.run("keys", "list", "conf.toml")[2]
    assert sorted(path.name for path in folder.glob("*.py")) == ["purse.py"]
    shutil.rmtree(folder)
    assert "First use of a wallet" in clone.run("keys", "list", "conf.toml")[2]
    clone.pin("requirements-wallet.txt", "purse", "0" * 64)
    assert "does not have the hash pinned" in clone.run("keys", "list", "conf.toml", "--json")[2]
    assert clone.run("run")[0] == 0, "a wallet that cannot be installed is no reason not to run"


def test_two_first_uses_of_a_wallet_install_it_once(clone: Clone) -> None:
    clone.pin("requirements-wallet.txt", "purse", make_wheel(clone.index, "purse"))
    assert clone.run()[0] == 0
    processes = [clone.start("keys", str(number)) for number in range(2)]
    ended = [process.communicate(timeout=WAIT_SECONDS_MAX) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert sum(errors.count("First use of a wallet") for _, errors in ended) == 1


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError': /somewhere/trio/\n"
            "ERROR: Could not find a version that satisfies the requirement trio==0.35.0 (from versions: none)\n"
            "ERROR: No matching distribution found for trio==0.35.0\n",
            "trio==0.35.0 could not be fetched: is the network (or this machine's package index) reachable?",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement msgspec==0.22.0 (from versions: 0.20.0)\n"
            "ERROR: No matching distribution found for msgspec==0.22.0\n",
            f"msgspec==0.22.0 has no build for this machine and Python {sys.version_info[0]}.{sys.version_info[1]}.",
        ),
        ("ERROR: Could not install packages: [Errno 28] No space left on device\n", "the disk is full: make room"),
        ("something\nERROR: the cause\n  more\n", "pip failed: ERROR: the cause"),
        ("", "pip failed: it said nothing"),
    ],
)
def test_pips_words_become_one_sentence(output: str, sentence: str) -> None:
    assert bootstrap.explain_pip(output).startswith(sentence)


def test_an_old_python_is_refused_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "OLDEST_PYTHON", (99, 0))
    assert bootstrap.main(["run", "--json"]) == 78
    said = capsys.readouterr()
    assert "Python 3.11 or newer is needed" in said.err
    assert json.loads(said.out)["exit_code"] == 78


def test_a_python_without_ensurepip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian ships Python without it: one sentence that names the package, before anything is removed or made."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    monkeypatch.setattr(bootstrap, "VENV", "/nowhere")
    with pytest.raises(bootstrap.CannotStart, match="apt-get install python3-venv"):
        bootstrap.make_environment(-1)


@pytest.mark.parametrize(
    ("file_name", "entries_min"),
    [("requirements.txt", 16), ("requirements-test.txt", 16), ("requirements-wallet.txt", 2)],
)
def test_every_requirement_is_pinned_by_hash_and_names_no_index(file_name: str, entries_min: int) -> None:
    """One version each, hashes for every platform's file, and no address or path of a machine."""
    text = (ROOT / file_name).read_text()
    assert "://" not in text
    assert "/" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) >= entries_min
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==[0-9][^ ]* (; .* )?\\\n", entry), entry
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", entry)) >= 2, entry


def pinned(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_test_list_contains_the_other_lists() -> None:
    """Testing runs the very versions that run, and that sign."""
    run_lines, wallet_lines = pinned("requirements.txt"), pinned("requirements-wallet.txt")
    assert (run_lines | wallet_lines).items() <= pinned("requirements-test.txt").items()


def test_the_wallets_list_is_the_extra_and_all_it_needs() -> None:
    """Its packages need no others, so that what is in their folder is what the list says."""
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extra = {re.split(r"[<>=]", one)[0] for one in tree["project"]["optional-dependencies"]["wallet"]}
    assert set(pinned("requirements-wallet.txt")) == extra
    for name in extra:
        assert not [one for one in importlib.metadata.requires(name) or [] if "extra ==" not in one]
