#!/usr/bin/env python3
"""Start maker on a machine that has only Python: make `.venv` once from the pinned requirements, then become maker.

`python3 run.py [COMMAND ...]`   the same as `.venv/bin/python -m maker [COMMAND ...]`
`python3 run.py test [ARGS ...]` installs the test tools too, then runs pytest
`python3 run.py keys …`          installs what a wallet needs too, into a folder of its own: `.venv/wallet`
`python3 run.py cancel-all|clear|reload …`  runs as it stands: they work without `.venv`, network or a free disk

Standard library only. The environment is finished when, and only when, `.venv/made` says what it was made from; that
file is written last, so an interrupted start leaves no marker and the next one begins again. `.venv.lock` is held
exclusively while the environment changes and shared for as long as anything started from here runs in it, so that
nobody rebuilds it under a maker that is quoting. What `keys` needs is beside it and not in it, so that a new key can be
made, its tools installed, while a maker runs; a maker looks there only if its configuration names a wallet.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from typing import NoReturn

OLDEST_PYTHON = (3, 11)
REFUSED = 78  # the documented exit code for "refused to start"
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCK = os.path.join(ROOT, ".venv.lock")

INSTALL_SECONDS_MAX = 900  # one pip run: a slow line still makes it, a hung one does not hold us for ever
VENV_SECONDS_MAX = 120  # `python -m venv` takes 3 s; an overloaded machine twenty times that
WAIT_SECONDS_MAX = 1000  # for another start that is making the environment: a little more than one install
BUSY_SECONDS_MAX = 3.0  # two first starts that race let go within milliseconds; whoever holds on is running
POLL_SECONDS = 0.1

# Two processes, one of tests that wait most of their time, one of tests that reckon: see tests/conftest.py.
EVERYTHING = ("-n", "2", "--dist", "loadscope")
PIP_SOCKET_SECONDS = 20  # per attempt, so that "no network" is said within a minute

# How this machine reaches its package index is the machine's business; where and how pip installs is ours.
PIP_SETTINGS_KEPT = {
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_TRUSTED_HOST",
}
# PYTHONPATH could put other code before the pinned packages; PYTHONOPTIMIZE would strip the assertions we rely on.
PYTHON_SETTINGS_DROPPED = ("PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONPATH")


class CannotStart(Exception):
    """The environment cannot be made; the message is one sentence that says why and what to do."""


class Requirements:
    """One pinned list, and the marker that says the environment, or a folder beside it, holds exactly it."""

    def __init__(self, file_name: str, marker_name: str, folder: str = "") -> None:
        self.path = os.path.join(ROOT, file_name)
        self.marker = os.path.join(VENV, marker_name)
        self.folder = folder  # where it is installed instead of in the environment; "" for the latter

    def stamp(self) -> str:
        """Return what the marker must hold: the list's hash, the interpreter behind `.venv`, the folder's place.

        A system upgrade that moves `python3` to another version changes the second line, a moved clone the third.
        """
        try:
            with open(self.path, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
        except OSError as problem:
            raise CannotStart(f"cannot read {self.path} ({problem.strerror}): fetch a complete copy.") from None
        return f"{digest}\n{os.path.realpath(PYTHON)}\n{ROOT}\n"

    def is_installed(self) -> bool:
        """Say whether `.venv` was made completely from this list, by an interpreter that is still there."""
        try:
            with open(self.marker, encoding="utf-8") as file:
                found = file.read()
        except OSError:
            return False
        return found == self.stamp() and os.access(PYTHON, os.X_OK) and os.path.isdir(self.folder or VENV)

    def write_marker(self) -> None:
        """Write the marker last, and only once everything before it is on the disk."""
        os.sync()
        unfinished = self.marker + ".part"
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(self.stamp())
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, self.marker)


NEED_NO_PACKAGES = ("cancel-all", "clear", "watch", "reload")  # the standard library is enough, and may be all there is

RUN = Requirements("requirements.txt", "made")
TEST = Requirements("requirements-test.txt", "made-test")
WALLET = Requirements("requirements-wallet.txt", "made-wallet", os.path.join(VENV, "wallet"))  # as maker.edge.wallet
WALLET_LOCK = os.path.join(VENV, "wallet.lock")


def say(words: str) -> None:
    """Tell progress on stderr; stdout is for results."""
    print(words, file=sys.stderr, flush=True)


def child_environment() -> dict[str, str]:
    """Return our environment less what would change which code runs."""
    kept = {name: value for name, value in os.environ.items() if name not in PYTHON_SETTINGS_DROPPED}
    kept["PYTHONSAFEPATH"] = "1"  # a folder named maker in the current directory is not us
    return kept


def pip_environment() -> dict[str, str]:
    """Return the environment for pip: how to reach an index stays, where and how to install does not."""
    return {
        name: value
        for name, value in child_environment().items()
        if not name.startswith("PIP_") or name in PIP_SETTINGS_KEPT
    }


def make_ready(wanted: list[Requirements]) -> None:
    """Return when `.venv` holds the wanted lists, with the lock held shared. Raises CannotStart with a sentence."""
    lock = open_lock()
    if not try_lock(lock, fcntl.LOCK_SH) or not all(one.is_installed() for one in wanted):
        change_alone(lock, wanted)
    os.set_inheritable(lock, True)  # across exec: the lock lives as long as what runs in the environment


def open_lock() -> int:
    try:
        return os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise CannotStart(f"cannot write in {ROOT} ({problem.strerror}): the environment is made there.") from None


def try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def change_alone(lock: int, wanted: list[Requirements]) -> None:
    """Make the environment while nobody else runs in it or makes it."""
    import time

    for one in wanted:
        one.stamp()  # an incomplete copy is said before anything is changed
    started = time.monotonic()
    shared_since: float | None = None  # since when have others held it shared: they run, and will not let go
    told = False
    while not try_lock(lock, fcntl.LOCK_EX):
        now = time.monotonic()
        if try_lock(lock, fcntl.LOCK_SH):
            if all(one.is_installed() for one in wanted):
                return
            shared_since = now if shared_since is None else shared_since
            if now - shared_since > BUSY_SECONDS_MAX:
                raise CannotStart("the environment must be changed while another run is using it: stop that one first.")
        else:
            shared_since = None
            if not told:
                say("Another start is making the environment; waiting for it.")
                told = True
        if now - started > WAIT_SECONDS_MAX:
            raise CannotStart(f"another start has held {LOCK} for {WAIT_SECONDS_MAX} s: stop it, then start again.")
        # Only looked at, and let go while we sleep: two that wait, each holding it shared, would wait for each other.
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(POLL_SECONDS)
    if not RUN.is_installed():
        make_environment(lock)
    for one in wanted:
        if not one.is_installed():
            install(one, lock)
    fcntl.flock(lock, fcntl.LOCK_SH)


def make_environment(lock: int) -> None:
    """Make an empty virtual environment that finds the package `maker` beside this file."""
    import importlib.util
    import shutil

    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise CannotStart("this Python has no venv or ensurepip: install it (Debian: apt-get install python3-venv).")
    say("First start: making .venv from the pinned packages (needs the network, once) ...")
    try:
        if os.path.lexists(RUN.marker):
            os.unlink(RUN.marker)  # first of all: from here on the old environment is not whole
        if os.path.lexists(VENV):
            shutil.rmtree(VENV)
        code, output = run_child([sys.executable, "-m", "venv", VENV], lock, VENV_SECONDS_MAX)
        if code != 0:
            raise CannotStart(f"`{sys.executable} -m venv` failed: {last_words(output)}")
        site_packages = os.path.join(VENV, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
        with open(os.path.join(site_packages, "maker-here.pth"), "w", encoding="utf-8") as file:
            file.write(ROOT + "\n")
    except OSError as problem:
        raise CannotStart(f"cannot make {VENV}: {problem}.") from None


def add_wallet() -> None:
    """Return when the wallet's packages are in their folder; the environment is held shared, and stays as it is.

    Raises CannotStart. Whoever else adds them meanwhile is waited for.
    """
    import shutil

    if WALLET.is_installed():
        return
    try:
        lock = os.open(WALLET_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise CannotStart(f"cannot write in {VENV} ({problem.strerror}): what a wallet needs goes there.") from None
    fcntl.flock(lock, fcntl.LOCK_EX)  # of an install, which is bounded; a signal ends the wait
    if not WALLET.is_installed():
        say("First use of a wallet: installing what signs for it (needs the network, once) ...")
        shutil.rmtree(WALLET.folder, ignore_errors=True)  # of an older list, or half of one
        install(WALLET, lock)
    os.close(lock)


def install(requirements: Requirements, lock: int) -> None:
    """Install one pinned list and set its marker. Every file's hash is checked; nothing is compiled."""
    command = [PYTHON, "-m", "pip", "install", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-user"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--no-color"]
    command += ["--retries=2", f"--timeout={PIP_SOCKET_SECONDS}", "-r", requirements.path]
    command += [f"--target={requirements.folder}"] if requirements.folder else []
    code, output = run_child(command, lock, INSTALL_SECONDS_MAX)
    if code != 0:
        raise CannotStart(explain_pip(output))
    try:
        requirements.write_marker()
    except OSError as problem:
        raise CannotStart(f"cannot write {requirements.marker}: {problem}.") from None


def run_child(command: list[str], lock: int, seconds_max: float) -> tuple[int, str]:
    """Run a command to its end and return its exit code and everything it said.

    The child inherits the lock: if we are killed, it stays taken until the orphan has ended too.
    """
    import subprocess

    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=pip_environment(),
        pass_fds=(lock,),
        text=True,
        errors="replace",
    )
    try:
        output, _ = child.communicate(timeout=seconds_max)
    except subprocess.TimeoutExpired:
        raise CannotStart(f"`{' '.join(command[1:4])}` did not end within {seconds_max} s: start again.") from None
    finally:
        if child.poll() is None:  # a time-out or a signal: no half-dead installer stays behind
            child.kill()
            child.wait()
    return child.returncode, output


def explain_pip(output: str) -> str:
    """Turn pip's many lines into one sentence that names the package and what to do."""
    import re

    if "DO NOT MATCH THE HASHES" in output:
        found = re.search(r"^\s+([A-Za-z0-9._-]+==\S+) from ", output, re.MULTILINE)
        package = found[1] if found else "a package"
        return (
            f"the downloaded file of {package} does not have the hash pinned in the requirements: "
            "nothing was started; check which package index this machine uses."
        )
    found = re.search(r"No matching distribution found for (\S+)", output)
    if found:
        unreachable = re.search(r"(WARNING: Retrying|Could not fetch URL|Failed to establish|NewConnection)", output)
        if unreachable or "(from versions: none)" in output:
            return f"{found[1]} could not be fetched: is the network (or this machine's package index) reachable?"
        return f"{found[1]} has no build for this machine and Python {sys.version_info[0]}.{sys.version_info[1]}."
    if "No space left on device" in output:
        return "the disk is full: make room, then start again."
    return f"pip failed: {last_words(output)}"


def last_words(output: str) -> str:
    """Return the last line that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "Error"))]
    return (errors or lines or ["it said nothing"])[-1]


def run_tests(arguments: list[str]) -> int:
    """Run pytest and return 0 when all is well, 2 for a usage error, 1 otherwise.

    With --json pytest speaks on stderr, and stdout gets one JSON line with its closing line.
    """
    import json
    import signal
    import subprocess

    as_json = "--json" in arguments
    chosen = [argument for argument in arguments if argument != "--json"]
    command = [PYTHON, "-m", "pytest", *(chosen or EVERYTHING)]
    closing = ""
    with subprocess.Popen(
        command, cwd=ROOT, env=child_environment(), stdout=subprocess.PIPE if as_json else None
    ) as child:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)  # a terminal's Ctrl-C reaches pytest by itself
        signal.signal(signal.SIGTERM, lambda _number, _frame: child.terminate())
        for line in child.stdout or ():
            text = line.decode(errors="replace").rstrip()
            closing = text or closing
            say(text)
    exit_code = {0: 0, 4: 2}.get(child.returncode, 1)
    if as_json:
        reason = {0: "all tests passed", 2: "pytest did not accept its arguments"}.get(exit_code, "tests failed")
        print(json.dumps({"reason": reason, "exit_code": exit_code, "summary": closing}), flush=True)
    return exit_code


def refuse(sentence: str, as_json: bool) -> int:
    say(f"maker cannot start: {sentence}")
    if as_json:
        import json

        print(json.dumps({"reason": f"maker cannot start: {sentence}", "exit_code": REFUSED}), flush=True)
    return REFUSED


def stop_on_signal(number: int, _frame: object) -> NoReturn:
    raise CannotStart(f"stopped by signal {number} before it was ready: the next start goes on from here.")


def main(arguments: list[str]) -> int:
    """Make the environment ready, then become maker, or run the tests: returns only if there is nothing to become."""
    as_json = "--json" in arguments
    if sys.version_info < OLDEST_PYTHON:
        return refuse(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}.", as_json)
    if arguments[:1] and arguments[0] in NEED_NO_PACKAGES:
        environment = {**child_environment(), "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1"}
        os.execve(sys.executable, [sys.executable, "-m", "maker", *arguments], environment)  # noqa: S606 - no shell
    import signal

    testing = arguments[:1] == ["test"]
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in stops}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup and the like stay in force
                signal.signal(number, stop_on_signal)
        make_ready([RUN, TEST] if testing else [RUN])
        if arguments[:1] == ["keys"] and not {"-h", "--help"} & set(arguments):
            add_wallet()
        for number, handler in before.items():
            signal.signal(number, handler)
    except CannotStart as problem:
        return refuse(str(problem), as_json)
    if not testing:
        os.execve(PYTHON, [PYTHON, "-m", "maker", *arguments], child_environment())  # noqa: S606 - no shell is meant
    return run_tests(arguments[1:])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
