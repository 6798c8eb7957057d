"""A folder with the real parent process and, in place of the application, a script: what the parent must cope with."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import maker
from tests.support.venue_script import ScriptedExchange

KEY = "ocx_sk_canary_scripted"
REAL = Path(maker.__file__).parent
WAIT_SECONDS_MAX = 20.0  # a start takes 0.6 s; a busy machine far longer

# Each behaviour is a function of the same name. What the script learns it writes as files into the current directory.
SCRIPT = """
import json, os, signal, socket, sys, threading, time
from pathlib import Path

STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def value(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def report(exit_code, **more):
    fields = {"reason": "as scripted", "exit_code": exit_code, "verified_empty": exit_code == 0, "open_orders": 0}
    os.write(int(value("--result-fd")), json.dumps({**fields, **more}).encode())
    return exit_code


def wait_for(name):
    while not Path(name).exists():
        time.sleep(0.005)


def main(argv):
    conf = Path(argv[1] if argv[0] == "maker-process" else value("--conf")).read_text()
    Path(f"pid_of_{argv[0]}").write_text(str(os.getpid()))
    Path(f"blocked_of_{argv[0]}").write_text(json.dumps(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))))
    behaviour = [line.split('"')[1] for line in conf.splitlines() if line.startswith("behaviour")][0]
    venue = [line.split('"')[1] for line in conf.splitlines() if line.startswith("venue_behaviour")]
    return globals()[argv[0].replace("-", "_")](venue[0] if argv[0] == "venue" and venue else behaviour)


def venue(behaviour):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Path("venue_argv").write_text(json.dumps(sys.argv))
    if behaviour == "venue_ends":
        return 1
    if behaviour == "venue_babbles":
        print("hello", flush=True)
    elif behaviour != "venue_silent":
        url = Path("venue_url").read_text()
        where = {"venue_url": url, "reference_url": "ws://127.0.0.1:2", "pid": os.getpid()}
        print(json.dumps(where), flush=True)
    signal.sigwait({signal.SIGTERM})
    Path("venue_stopped").touch()
    return 0


def beat(link, **more):
    fields = {"epoch": "e1", "in_flight": 1, "last_write": None, "ending": False, **more}
    link.send(json.dumps(fields).encode())


def beating(link):
    while True:
        beat(link)
        time.sleep(0.1)


def maker_process(behaviour):
    Path("maker_argv").write_text(json.dumps(sys.argv))
    link = socket.socket(fileno=int(value("--guard-fd")))
    if behaviour.startswith("armed:"):  # beats, and is allowed to quote, before it behaves
        behaviour = behaviour.partition(":")[2]
        beat(link)
        Path("armed").write_bytes(link.recv(4096))
        if behaviour != "silent":
            threading.Thread(target=beating, args=(link,), daemon=True).start()
    if behaviour == "reports":
        return report(0, quotes_sent=7, position={"BTC-PERP": "0.5"}, argv=sys.argv)
    if behaviour == "waits":
        Path("maker_ready").touch()
        return report(0, signal=int(signal.sigwait(STOPS)))
    if behaviour == "slow_to_import":  # the stop signals come blocked; whoever opens its receiver late still gets them
        Path("maker_ready").touch()
        wait_for("go")
        got = []
        for number in STOPS:
            signal.signal(number, lambda number, _frame: got.append(int(number)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return report(0, signals=got)
    if behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "killed_after_report":
        report(0, quotes_sent=7)
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "garbage":
        os.write(int(value("--result-fd")), b'{"exit_code": 0')
        return 0
    if behaviour == "fails":
        return report(70, reason="a task failed")
    if behaviour == "fails in letters":
        return report(70, reason="caf\\u00e9 \\u2026 \\udc80")
    if behaviour == "large":
        return report(0, reason="x" * 300_000)
    if behaviour == "unverified":
        return report(75, verified_empty=False, open_orders=3, exit_code_if_empty=0)
    if behaviour == "unknown":
        return report(0, unknown_write_at=time.clock_gettime(time.CLOCK_BOOTTIME) - 0.2, exit_code_if_empty=0)
    if behaviour == "unknown long ago":
        return report(0, unknown_write_at=1.0)
    if behaviour == "babbles":
        link.send(b"hello")
        time.sleep(3600)
    if behaviour == "changes":
        beat(link, epoch="e2")
        time.sleep(3600)
    if behaviour == "hangs up":
        link.shutdown(socket.SHUT_RDWR)
        time.sleep(3600)
    if behaviour == "silent":
        Path("maker_ready").touch()
        time.sleep(3600)
    if behaviour == "hangs":
        Path("maker_ready").touch()
        time.sleep(3600)
    if behaviour == "orphan":  # sees the parent's death by the end of file, and takes its time
        Path("maker_ready").touch()
        assert link.recv(1) == b""
        Path("owner_gone").touch()
        wait_for("go")
        return report(0)
    raise SystemExit(f"no such behaviour: {behaviour}")
"""


MONITOR = """
import json, os, signal, sys, time
from pathlib import Path


def main(words):
    before = Path("monitor_begun").read_text() if Path("monitor_begun").exists() else ""
    Path("monitor_begun").write_text(before + "x")
    Path("pid_of_monitor").write_text(str(os.getpid()))
    Path("monitor_argv").write_text(json.dumps(sys.argv))
    Path("monitor_environment").write_text(json.dumps(dict(os.environ)))
    blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    signal.signal(signal.SIGTERM, lambda *_: None)
    if {behaviour!r} == "hangs":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    if {behaviour!r} in ("dies", "refuses"):
        return {{"dies": 1, "refuses": 78}}[{behaviour!r}]
    print(json.dumps({{"monitor_url": "http://127.0.0.1:3/", "token_file": "/state/monitor.token"}}), flush=True)
    Path("monitor_ready").write_text(json.dumps(blocked))
    if {behaviour!r} == "hangs":
        time.sleep(3600)
    signal.pause()
    Path("monitor_stopped").touch()
    return 0
"""


GUARD: dict[str, object] = {
    "hang_seconds_max": 1.0,
    "tail_seconds": 0.6,
    "give_up_seconds": 5.0,
    "crashes_max": 3,
    "crash_window_seconds": 60.0,
}


class ScriptedRun:
    """One `python -m maker run` in a folder of its own, with a scripted venue and maker."""

    def __init__(
        self,
        folder: Path,
        behaviour: str,
        exchange: ScriptedExchange,
        *,
        mode: str = "paper",
        venue: str = "",
        monitor: str = "",
        changes: Mapping[str, object] = {},
    ) -> None:
        self.folder, self.exchange = folder, exchange
        for name in ("guard", "launch"):
            shutil.copytree(REAL / name, folder / "maker" / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("__init__.py", "__main__.py"):
            shutil.copy(REAL / name, folder / "maker" / name)
        (folder / "maker" / "app").mkdir()
        (folder / "maker" / "app" / "cli.py").write_text(SCRIPT)
        lines = [f'mode = "{mode}"', 'state_folder = "state"', f'behaviour = "{behaviour}"']
        lines += [f'venue_behaviour = "{venue}"'] if venue else []
        lines += ['account = "scripted"', 'order_prefix = "mk"', 'foreign_orders = "refuse"']
        guard = {**GUARD, **{name: value for name, value in changes.items() if name in GUARD}}
        lines = [line for line in lines if line.partition(" ")[0] not in changes]
        lines += [f'{name} = "{value}"' for name, value in changes.items() if name not in GUARD]
        lines += ["[guard]", *(f"{name} = {value}" for name, value in guard.items())]
        lines += ["[monitor]", f"enabled = {str(bool(monitor)).lower()}"]
        (folder / "maker" / "monitor").mkdir()
        (folder / "maker" / "monitor" / "command.py").write_text(MONITOR.format(behaviour=monitor))
        lines += ["[exchange]", f'base_url = "{exchange.url}"', 'key_env = "SCRIPTED_KEY"'] if mode == "live" else []
        (folder / "venue_url").write_text(exchange.url)
        (folder / "conf.toml").write_text("\n".join(lines) + "\n")

        self.key = KEY
        self.started: list[subprocess.Popen[bytes]] = []

    def clean_up(self) -> None:
        """End what a test left running, on purpose or by failing."""
        for process in self.started:
            process.kill()
        for file in self.folder.glob("pid_of_*"):
            pid = int(file.read_text())
            if is_alive(pid) and str(self.folder) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def start(
        self, *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, limits: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start the run; `limits` is Python that shortens the parent's named limits."""
        program = ["-m", "maker"]
        if limits:
            lines = [
                "import sys",
                "from maker import __main__ as command",
                "from maker.guard import watch",
                "from maker.launch import companion, fire_drill, lock, parent, report, start",
                limits,
            ]
            program = ["-c", "\n".join([*lines, "command.leave(command.main(sys.argv[1:]))"])]
        process = subprocess.Popen(
            [sys.executable, *program, "run", "conf.toml", "--json", *words],
            cwd=self.folder,
            env=self.environment(),
            stdout=stdout,
            stderr=stderr,
        )
        self.started.append(process)
        return process

    def environment(self) -> dict[str, str]:
        """Ours, but for what would find another `maker` than the one in the folder: `run.py` keeps the folder out."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        return {**kept, "PYTHONPATH": str(self.folder), "SCRIPTED_KEY": self.key}

    def status(self) -> dict[str, Any]:
        """Return run.json once the run has written it and the maker is ready."""
        self.wait_for("maker_ready")
        self.wait_for("state/run.json")
        found: dict[str, Any] = json.loads((self.folder / "state" / "run.json").read_text())
        return found

    def wait_for(self, name: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, f"{name} did not appear"
            select.select([], [], [], 0.002)


Scripted = Callable[..., ScriptedRun]


def finish(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any]]:
    """Wait for a run's end and return its exit code and the JSON object in the last line of stdout."""
    output, errors = process.communicate(timeout=WAIT_SECONDS_MAX)
    lines = output.splitlines()
    assert lines, errors
    return process.returncode, json.loads(lines[-1])


def is_alive(pid: int) -> bool:
    """Say whether a process that is not our child still runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
