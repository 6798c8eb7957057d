"""What is given for self-hosting: every directive is there, fits the configuration, and the stop command really works.

Not run here: a systemd that starts the unit, and a container engine that builds and runs the image. What can be run
without them is: systemd's own check of the unit, and the unit's very command lines.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import trio

from maker.drills.processes import TRADE_KEY, VenueProcess, start_venue
from maker.launch.lock import LOCK_FOLDERS
from tests.live.stage import live_conf
from tests.live.support import PROJECT

DEPLOY = PROJECT / "conf" / "deploy"
UNIT, CONTAINER, COMPOSE = DEPLOY / "maker.service", DEPLOY / "Containerfile", DEPLOY / "compose.yaml"
MAKER_STOP_SECONDS = 30.0  # what guard and maker need besides reaching the exchange
EXPLAINED_MAX = 4  # directives under one comment
EXPOSURE_MAX = 2.5  # by `systemd-analyze security`: 10 is no sandbox, 1.7 what the unit has
CREDENTIAL = 'key_file = "/run/credentials/maker.service/ocx-key"'  # what the unit's header says to write
SHORT = {  # nothing is on its way for long here
    r"^tail_seconds = .*$": "tail_seconds = 1.0",
    r"^write_delay_seconds_max = .*$": "write_delay_seconds_max = 1.0",
}


def guard() -> dict[str, float]:
    read: dict[str, float] = tomllib.loads((PROJECT / "conf" / "live.example.toml").read_text())["guard"]
    return read


def directives(path: Path = UNIT) -> dict[str, list[str]]:
    """A unit's assignments by name; the same name in two sections would be a mistake of ours."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#;[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def yaml_lines() -> dict[str, str]:
    """The compose file as `path: value`; a list's items get their number. Reads what that file uses of YAML."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    items: dict[str, int] = {}
    for line in COMPOSE.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        while path and path[-1][0] >= indent:
            path.pop()
        above = ".".join(name for _, name in path)
        if text.startswith("- "):
            items[above] = items.get(above, -1) + 1
            found[f"{above}.{items[above]}"] = text[2:].strip('"')
            continue
        name, _, value = text.partition(":")
        path.append((indent, name))
        found[".".join(one for _, one in path)] = value.strip().strip('"')
    return found


def items(of: str) -> list[str]:
    return [value for name, value in yaml_lines().items() if re.fullmatch(re.escape(of) + r"\.\d+", name)]


def seconds(text: str) -> float:
    """A time as both files write it."""
    match = re.fullmatch(r"(\d+)(m|s|)", text)
    assert match, text
    return float(match[1]) * (60 if match[2] == "m" else 1)


# -- the unit


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "exec"),
        ("KillMode", "mixed"),  # the guard is told first; the rest is killed only after it
        ("KillSignal", "SIGTERM"),
        ("Restart", "on-failure"),
        ("OOMPolicy", "continue"),  # a maker killed for memory must not take the guard down
        ("LoadCredential", "ocx-key:/etc/maker/ocx-key"),
        ("User", "maker"),
        ("Group", "maker"),
        ("UMask", "0077"),
        ("StateDirectory", "maker"),
        ("StateDirectoryMode", "0700"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("RestrictNamespaces", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("RestrictRealtime", "yes"),
        ("LockPersonality", "yes"),
        ("SystemCallFilter", "@system-service"),
        ("SystemCallErrorNumber", "EPERM"),  # not a kill: a maker that is killed leaves quotes
        ("SystemCallArchitectures", "native"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelLogs", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectProc", "invisible"),
        ("LimitCORE", "0"),
        ("WantedBy", "multi-user.target"),
    ],
)
def test_the_unit_says(name: str, value: str) -> None:
    assert directives()[name] == [value]


def test_the_unit_gives_the_guard_its_time() -> None:
    """It is not killed while it still tries to reach the exchange; nor is the command after it."""
    needed = guard()["give_up_seconds"] + MAKER_STOP_SECONDS
    assert float(directives()["TimeoutStopSec"][0]) > needed


def test_the_unit_starts_again_only_where_that_helps() -> None:
    """Another key or configuration needs a person; after 75 quotes may rest, and nobody else looks after them."""
    found = directives()
    assert set(found["RestartPreventExitStatus"][0].split()) == {"2", "77", "78"}
    assert int(found["StartLimitBurst"][0]) <= 30
    assert int(found["StartLimitIntervalSec"][0]) >= guard()["crash_window_seconds"]
    assert float(found["RestartSec"][0]) * int(found["StartLimitBurst"][0]) < int(found["StartLimitIntervalSec"][0])


def test_the_unit_never_tires_of_an_exchange_that_is_down() -> None:
    """A host is up before its network, or an outage lasts: each start is followed by a cancel-all that does not end."""
    found = directives()
    seconds = float(found["RestartSec"][0]) + 120.0
    assert guard()["give_up_seconds"] >= 120.0
    assert int(found["StartLimitBurst"][0]) > float(found["StartLimitIntervalSec"][0]) / seconds + 1


def test_the_kernel_is_told_to_spare_the_guard() -> None:
    """Lowered here for all of the service; the guard raises the maker's own."""
    assert -900 <= int(directives()["OOMScoreAdjust"][0]) < 0


def test_the_account_lock_is_shared_with_other_bots() -> None:
    """In a private /tmp or a read-only /run/lock each service would hold a lock of its own."""
    assert LOCK_FOLDERS[0] in directives()["ReadWritePaths"][0].split()
    assert f"{LOCK_FOLDERS[0]}:{LOCK_FOLDERS[0]}" in items("services.maker.volumes")


def test_the_unit_says_where_its_credential_is() -> None:
    """The name in LoadCredential is the one that the header tells people to write into the configuration."""
    name = directives()["LoadCredential"][0].partition(":")[0]
    assert CREDENTIAL in UNIT.read_text()
    assert CREDENTIAL.endswith(f'/{UNIT.name}/{name}"')


def test_the_key_is_in_no_environment() -> None:
    for path in (UNIT, CONTAINER, COMPOSE):
        text = path.read_text()
        assert "ocx_sk_" not in text, path
        assert "EnvironmentFile" not in text, path
        assert "env_file" not in text, path
    assert all("KEY" not in words for words in directives()["Environment"])


def test_every_directive_of_the_unit_is_explained() -> None:
    """A comment stands above each few of them: nobody should have to guess why."""
    since_comment = EXPLAINED_MAX  # none yet
    for line in UNIT.read_text().split("[Service]")[1].split("[Install]")[0].splitlines():
        since_comment = 0 if line.startswith("#") else since_comment + bool(line)
        assert since_comment <= EXPLAINED_MAX, f"nothing near explains {line}"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    copy = tmp_path / "maker.service"
    text = UNIT.read_text().replace("/opt/maker/.venv/bin/python", sys.executable)
    copy.write_text(text.replace("/usr/bin/python3", sys.executable).replace("/opt/maker", str(PROJECT)))
    ended = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (0, ""), ended.stderr


def test_systemd_finds_little_exposed(tmp_path: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=yes", f"--threshold={round(EXPOSURE_MAX * 10)}", str(UNIT)]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    if "unrecognized option" in ended.stderr:
        pytest.skip("this systemd-analyze has no offline check")
    assert ended.returncode == 0, ended.stdout[-300:] + ended.stderr


def command(name: str, folder: Path, conf: Path) -> list[str]:
    """A command line of the unit, with this machine's places put in."""
    (line,) = directives()[name]
    words = shlex.split(line.lstrip("+"))
    assert words[0].startswith("/"), "systemd looks nothing up"
    bare = getattr(sys, "_base_executable", sys.executable)
    places = {
        "/usr/bin/python3": bare,
        "/opt/maker/.venv/bin/python": sys.executable,
        "/opt/maker/run.py": str(PROJECT / "run.py"),
        "/etc/maker/live.toml": str(conf),
        "/etc/maker/ocx-key": str(folder / "ocx-key"),
        "${EXIT_STATUS}": "KILL",  # systemd's word for a guard that was killed
    }
    assert [word for word in words if word.startswith("/") and word not in places] == []
    return [places.get(word, word) for word in words]


def environment() -> dict[str, str]:
    """What the unit gives its commands, and nothing of ours."""
    pairs = (pair.split("=", 1) for words in directives()["Environment"] for pair in words.split())
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", **dict(pairs)}


def rest_something(venue: VenueProcess) -> None:
    """Leave a ladder, as a maker that was killed does."""
    with urllib.request.urlopen(f"{venue.url}/perps/orderbook/BTC-PERP?depth=25", timeout=5) as answer:
        best = float(json.loads(answer.read())["bids"][0][0])
    for step in range(1, 4):
        order = {"marketId": "BTC-PERP", "side": "buy", "price": str(int(best * (1 - step / 200))), "quantity": "0.1"}
        venue.post("/perps/orders", order)
    venue.record.refresh()
    assert len(venue.record.resting()) == 3


async def test_the_stop_command_leaves_nothing(tmp_path: Path) -> None:
    """ExecStopPost's own words, against a venue where quotes rest: none does afterwards, and nothing is latched."""
    venue = await start_venue(tmp_path)
    try:
        conf = live_conf(tmp_path, venue.port, venue.reference_port, replace=SHORT)
        text, count = re.subn(r"^key_env = .*$", CREDENTIAL, conf.read_text(), flags=re.MULTILINE)
        assert count == 1
        conf.write_text(text)
        key = tmp_path / "ocx-key"
        key.write_text(TRADE_KEY + "\n")
        key.chmod(0o600)
        rest_something(venue)
        words = command("ExecStopPost", tmp_path, conf)
        ended = await trio.to_thread.run_sync(
            partial(subprocess.run, words, env=environment(), cwd="/", capture_output=True, text=True, timeout=30)
        )
        assert ended.returncode == 0, ended.stderr
        assert "Nothing rests" in ended.stdout
        assert TRADE_KEY not in ended.stdout + ended.stderr
        venue.record.refresh()
        assert venue.record.resting() == {}
        assert not (tmp_path / "kill").exists(), "a stop must not need a person before the next start"
    finally:
        venue.process.kill()


async def test_the_start_command_starts_the_guard(tmp_path: Path) -> None:
    """ExecStart's own words: the guard itself, which sweeps, and refuses what is latched for good."""
    venue = await start_venue(tmp_path)
    try:
        (tmp_path / "kill").touch()
        key = tmp_path / "ocx-key"
        key.write_text(TRADE_KEY + "\n")
        key.chmod(0o600)
        kept = {r"^key_env = .*$": f'key_file = "{key}"'}
        conf = live_conf(tmp_path, venue.port, venue.reference_port, replace={**SHORT, **kept})
        words = command("ExecStart", tmp_path, conf)
        ended = await trio.to_thread.run_sync(
            partial(subprocess.run, words, env=environment(), cwd="/", capture_output=True, text=True, timeout=30)
        )
        assert ended.returncode == 78, ended.stderr
        assert "kill file" in ended.stdout
        assert str(ended.returncode) in directives()["RestartPreventExitStatus"][0].split()
        venue.record.refresh()
        assert venue.record.cancels(), "it swept first"
    finally:
        venue.process.kill()


# -- the container


def test_the_image_starts_the_guard_and_nothing_before_it() -> None:
    """Exec form: a shell as the first process would swallow SIGTERM."""
    text = CONTAINER.read_text()
    assert 'ENTRYPOINT ["/opt/maker/.venv/bin/python", "-m", "maker"]' in text
    assert 'CMD ["run", "/etc/maker/live.toml"]' in text
    assert text.index("USER 10001:10001") < text.index("ENTRYPOINT")
    assert "STOPSIGNAL SIGTERM" in text
    assert "PYTHONSAFEPATH=1" in text
    assert yaml_lines()["services.maker.init"] == "false"


def test_the_image_is_made_from_the_pinned_list_and_holds_no_secret() -> None:
    text = CONTAINER.read_text()
    assert 'RUN ["python3", "run.py", "run", "--help"]' in text, "run.py checks every hash"
    assert "pip install" not in text
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    allowed = set(" ".join(copied).split())
    kept = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert kept[1] == "*"
    assert {line[1:] for line in kept if line.startswith("!")} == allowed
    assert all((PROJECT / name).exists() for name in allowed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "10001:10001"),
        ("stop_signal", "SIGTERM"),
        ("restart", "unless-stopped"),
        ("read_only", "true"),
        ("ulimits.core", "0"),
        ("build.dockerfile", "conf/deploy/Containerfile"),
    ],
)
def test_the_container_says(name: str, value: str) -> None:
    assert yaml_lines()[f"services.maker.{name}"] == value


def test_the_container_has_no_rights_and_writes_only_its_state() -> None:
    assert items("services.maker.cap_drop") == ["ALL"]
    assert items("services.maker.security_opt") == ["no-new-privileges:true"]
    assert [one.split(":")[0] for one in items("services.maker.tmpfs")] == ["/tmp"]
    assert "state:/var/lib/maker" in items("services.maker.volumes")
    assert "./live.toml:/etc/maker/live.toml:ro" in items("services.maker.volumes")
    assert items("services.maker.secrets") == ["ocx_key"]
    assert yaml_lines()["secrets.ocx_key.file"] == "./ocx-key"
    assert int(yaml_lines()["services.maker.oom_score_adj"]) < 0


def test_the_container_gives_the_guard_its_time() -> None:
    assert seconds(yaml_lines()["services.maker.stop_grace_period"]) > guard()["give_up_seconds"] + MAKER_STOP_SECONDS
