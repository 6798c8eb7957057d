"""What this machine has of systemd: `systemctl` and `sudo` as commands of a folder, for scripts that call them.

The service's own command lines are run as real processes, with this machine's places put in, and stopped as systemd
does: SIGTERM to the main process, its end awaited, then ExecStopPost. What is not here: sandbox, restarts, boot.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from maker.launch.settings import PROJECT_FOLDER

BARE: Final = str(getattr(sys, "_base_executable", sys.executable))  # the machine's own Python, without packages
NOT_COPIED: Final = (".git", ".venv", ".venv.lock", "state", "state-*", "__pycache__", ".*_cache", ".hypothesis")
PLACES: Final = ("/opt/maker", "/etc/maker", "/etc/systemd", "/etc/tmpfiles.d", "/var/lib/maker", "/run/credentials")

SYSTEMCTL: Final = '''#!{python}
"""systemctl, as far as scripts of ours need it; one state folder a unit."""
import json, os, pathlib, shlex, signal, subprocess, sys, time

root = pathlib.Path(os.environ["MACHINE_ROOT"])
words = [word for word in sys.argv[1:] if not word.startswith("-")]
options = [word for word in sys.argv[1:] if word.startswith("-")]
with (root / "systemctl.log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")

def place(word):
    for prefix in {places!r}:
        if word.startswith(prefix):
            return str(root) + word
    return {{"/usr/bin/python3": {python!r}}}.get(word, word)

def unit_lines(unit, name):
    text = pathlib.Path(place(f"/etc/systemd/system/{{unit}}.service")).read_text()
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(name + "=")]

def command(unit, name):
    return [[place(word) for word in shlex.split(line.lstrip("+"))] for line in unit_lines(unit, name)]

def environment(unit):
    pairs = (pair.split("=", 1) for line in unit_lines(unit, "Environment") for pair in line.split())
    return {{"PATH": os.environ["PATH"], "HOME": "/", **dict(pairs)}}

def state(unit):
    return root / "units" / unit

def active(unit):
    return (state(unit) / "pid").exists() and not (state(unit) / "code").exists()

WATCH = """
import json, os, pathlib, subprocess, sys
folder, words = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
with (folder / "log").open("ab") as log:
    main = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
(folder / "pid.part").write_text(str(main.pid))
os.rename(folder / "pid.part", folder / "pid")
code = main.wait()
(folder / "code.part").write_text(str(code))
os.rename(folder / "code.part", folder / "code")
"""

def start(unit):
    folder = state(unit)
    folder.mkdir(parents=True, exist_ok=True)
    if active(unit):
        return
    for name in ("pid", "code"):
        (folder / name).unlink(missing_ok=True)
    for line in unit_lines(unit, "LoadCredential"):
        name, _, source = line.partition(":")
        kept = pathlib.Path(place(f"/run/credentials/{{unit}}.service")) / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        kept.write_bytes(pathlib.Path(place(source)).read_bytes())
        kept.chmod(0o400)
    words = json.dumps(command(unit, "ExecStart")[0])
    subprocess.Popen(
        [sys.executable, "-c", WATCH, str(folder), words], env=environment(unit), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    while not (folder / "pid").exists():
        time.sleep(0.02)

def stop(unit):
    if not active(unit):
        return
    folder = state(unit)
    os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    while not (folder / "code").exists():
        time.sleep(0.02)
    for words in command(unit, "ExecStopPost"):
        if not os.environ.get("WITHOUT_STOP_POST"):
            subprocess.run(words, env=environment(unit), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def show(unit, name):
    code = state(unit) / "code"
    said = os.environ.get("CODE") or (code.read_text() if code.exists() else "0")
    ended = (state(unit) / "code").exists()
    values = {{"ExecMainCode": ("1" if int(said) >= 0 else "2") if ended else "0", "ExecMainStatus": said.lstrip("-")}}
    print(values[name])

verb, *units = words
unit = units[-1].removesuffix(".service") if units else ""
if verb == "start" or (verb == "enable" and "--now" in options):
    start(unit)
elif verb == "stop":
    stop(unit)
elif verb == "is-active":
    raise SystemExit(0 if active(unit) else 3)
elif verb == "show":
    show(unit, units[0])
elif verb == "status":
    print("active" if active(unit) else "inactive")
elif verb != "daemon-reload":
    raise SystemExit(f"this systemctl knows no {{verb}}")
'''

SUDO: Final = '''#!{python}
"""sudo, for a test: no other user, and the machine's folders are those of the test."""
import os, sys

def place(word):
    for prefix in {places!r}:
        word = word.replace(prefix, os.environ["MACHINE_ROOT"] + prefix)
    return word

words = [place(word) for word in sys.argv[1:]]
if words[0] == "useradd":
    raise SystemExit(0)
root = os.environ["MACHINE_ROOT"]
os.environ.update(
    MAKER_FOLDER=root + "/opt/maker",
    MAKER_CONF=root + "/etc/maker/live.toml",
    MAKER_KEY=root + "/etc/maker/ocx-key",
    MAKER_STATE=root + "/var/lib/maker",
    MAKER_SETTLE_SECONDS="3",
)
os.execvp(words[0], words)
'''

SCP: Final = '''#!{python}
"""scp, for a test: to the home of the other machine, whose folders are below that."""
import os, pathlib, shutil, sys

root, home = os.environ["MACHINE_ROOT"], os.environ["SECOND_HOME"]
for word in sys.argv[1:-1]:
    if not word.startswith("/etc/"):
        shutil.copy(word, home)
        continue
    source = pathlib.Path(root + word)
    (pathlib.Path(home) / source.name).write_text(source.read_text().replace(root, home))
'''


def make_services(folder: Path) -> None:
    """Write the commands into a folder, for PATH; MACHINE_ROOT says below which folder a machine's own ones are."""
    folder.mkdir(parents=True)
    words = {"python": BARE, "places": PLACES}
    for name, text in (("systemctl", SYSTEMCTL), ("sudo", SUDO), ("scp", SCP)):
        path = folder / name
        path.write_text(text.format(**words))
        path.chmod(0o755)
    (folder / "python3").symlink_to(BARE)


def make_machine(root: Path) -> None:
    """Make a machine's folders: those that are there before anything is installed."""
    for place in ("opt", "etc/systemd/system", "etc/tmpfiles.d", "var/lib/maker", "run/credentials"):
        (root / place).mkdir(parents=True)


PLANT: Final = """
import pathlib, runpy, subprocess, sys
folder, packages = pathlib.Path(sys.argv[1]), sys.argv[2]
subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
run = runpy.run_path(str(folder / "run.py"), run_name="run")
for one in (run["RUN"], run["WALLET"]):
    pathlib.Path(one.marker).write_text(one.stamp())
site = next((folder / ".venv" / "lib").iterdir()) / "site-packages"
(site / "maker-here.pth").write_text(f"{folder}\\n{packages}\\n")
(folder / ".venv" / "wallet").symlink_to(packages)
"""


def make_template(root: Path) -> Path:
    """Return a folder for GIT_TEMPLATE_DIR: whatever is cloned gets our packages, unless PLANT is no.

    That is what a first start does with a network (tests/test_bootstrap.py has that), here within a second.
    """
    script, folder = root / "plant.py", root / "template"
    script.write_text(PLANT)
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    hook = folder / "hooks/post-checkout"
    hook.parent.mkdir(parents=True)
    hook.write_text(f'#!/bin/sh\n[ -d "$PWD/.venv" ] || [ "$PLANT" = no ] || {BARE} {script} "$PWD" {packages}\n')
    hook.chmod(0o755)
    return folder


def snapshot(root: Path) -> Path:
    """Return a repository that holds this working copy as one commit, whatever is committed in it: for clones."""
    path = root / "repository"
    shutil.copytree(PROJECT_FOLDER, path, ignore=shutil.ignore_patterns(*NOT_COPIED))
    commit(path, "first", init=True)
    return path


def commit(repository: Path, message: str, *, init: bool = False) -> str:
    """Commit all that is there, and tag it by its message."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
    git = ["git", "-C", str(repository), *who]
    if init:
        subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    for words in (["add", "--all", "--force"], ["commit", "--quiet", "--message", message], ["tag", message]):
        subprocess.run([*git, *words], check=True)
    return message


def services_environment(commands: Path, template: Path, machine: Path, **more: str) -> dict[str, str]:
    """The environment of a person, or a script, at a machine with these commands."""
    kept = {"PATH": f"{commands}:{os.environ['PATH']}", "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}
    places = {"MACHINE_ROOT": str(machine), "GIT_TEMPLATE_DIR": str(template), "HOME": str(machine)}
    return kept | places | more
