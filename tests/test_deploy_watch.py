"""What is given for the second host: the watcher's unit and container, and what bounds what grows on either host."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest

from maker.app.alert_config import TARGETS_MAX
from maker.launch.parent import INCIDENTS
from maker.watcher.host import BEAT_SECONDS
from maker.watcher.steps import LAST_LOOKS
from maker.watcher.teller import STOP_SECONDS_MAX
from tests.live.support import PROJECT
from tests.test_deploy import DEPLOY, EXPLAINED_MAX, EXPOSURE_MAX, UNIT, directives

WATCH_UNIT, WATCH_COMPOSE = DEPLOY / "maker-watch.service", DEPLOY / "compose.watch.yaml"
JOURNALD, TMPFILES = DEPLOY / "journald@maker.conf", DEPLOY / "maker.tmpfiles.conf"
CALL_BEATS = 6.0  # seconds between two calls at the most: two looked up and made, each in its time
SHARED = [  # what hardens one unit hardens the other
    "LimitCORE",
    "UMask",
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    "PrivateDevices",
    "NoNewPrivileges",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "RestrictSUIDSGID",
    "LockPersonality",
    "RestrictRealtime",
    "RestrictNamespaces",
    "MemoryDenyWriteExecute",
    "RestrictAddressFamilies",
    "SystemCallFilter",
    "SystemCallErrorNumber",
    "SystemCallArchitectures",
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectControlGroups",
    "ProtectClock",
    "ProtectHostname",
    "ProtectProc",
    "LogNamespace",
    "Environment",
    "WantedBy",
    "KillSignal",
    "OOMScoreAdjust",
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("Restart", "always"),
        ("StartLimitIntervalSec", "0"),  # never given up
        ("DynamicUser", "yes"),
        ("RuntimeDirectory", "maker-watch"),  # what was told of refused starts ...
        ("RuntimeDirectoryPreserve", "restart"),  # ... outlives each of them
        ("OOMPolicy", "continue"),  # what tells alerts is taken, and not the watcher with it
        ("KillMode", "mixed"),  # it may still have to tell of the last look
        ("LoadCredential", "ocx-key:/etc/maker/ocx-watch-key"),
    ],
)
def test_the_watchers_unit_says(name: str, value: str) -> None:
    assert directives(WATCH_UNIT)[name] == [value]


@pytest.mark.parametrize("name", SHARED)
def test_it_is_as_hard_as_the_makers(name: str) -> None:
    assert directives(WATCH_UNIT)[name] == directives(UNIT)[name]


def test_systemd_waits_longer_than_the_watcher_is_silent() -> None:
    """It says that it lives before each call and each ten seconds of a pause."""
    assert float(directives(WATCH_UNIT)["WatchdogSec"][0]) > 2 * (BEAT_SECONDS + CALL_BEATS)


def test_it_gets_the_time_for_a_last_look() -> None:
    assert float(directives(WATCH_UNIT)["TimeoutStopSec"][0]) > LAST_LOOKS * 4 * CALL_BEATS + STOP_SECONDS_MAX


def test_what_tells_alerts_has_room_beside_it() -> None:
    """25 MB and eight tasks of its own; what tells, with eight targets: 60 MB, and a thread for each name."""
    (memory,), (tasks,) = directives(WATCH_UNIT)["MemoryMax"], directives(WATCH_UNIT)["TasksMax"]
    assert int(memory.removesuffix("M")) >= 2 * (25 + 60)
    assert int(tasks) >= 2 * (8 + 2 + TARGETS_MAX)
    assert values("mem_limit") == values("memswap_limit") == [memory.lower()]
    assert values("pids_limit") == [tasks]


def test_a_targets_secret_is_shown_how_to_be_given() -> None:
    """In the unit's words, in the folder that the process looks in whichever unit's the configuration names."""
    text = WATCH_UNIT.read_text()
    assert "# LoadCredential=alerts-url:/etc/maker/alerts-url" in text
    assert 'url_file = "/run/credentials/maker.service/alerts-url"' in text


def test_it_stays_down_only_for_a_person() -> None:
    """Usage and configuration; never for 75, a key that is refused just now, an error, a signal or a watchdog."""
    assert set(directives(WATCH_UNIT)["RestartPreventExitStatus"][0].split()) == {"2", "78"}
    assert float(directives(WATCH_UNIT)["RestartSec"][0]) >= 30.0, "a key that stays refused is asked for seldom"


def test_both_files_say_where_its_credential_is() -> None:
    """The header's words for the configuration, and the unit's name for it."""
    text = WATCH_UNIT.read_text()
    assert f'[watch] key_file = "/run/credentials/{WATCH_UNIT.name}/ocx-key"' in text
    assert '[watch] key_file = "/run/secrets/ocx_watch_key"' in WATCH_COMPOSE.read_text()


def test_no_key_and_no_variable() -> None:
    for path in (WATCH_UNIT, WATCH_COMPOSE):
        text = path.read_text()
        assert "ocx_sk_" not in text
        assert "EnvironmentFile" not in text
        assert "env_file" not in text


def test_every_directive_is_explained() -> None:
    since_comment = EXPLAINED_MAX
    for line in WATCH_UNIT.read_text().split("[Service]")[1].split("[Install]")[0].splitlines():
        since_comment = 0 if line.startswith("#") else since_comment + bool(line)
        assert since_comment <= EXPLAINED_MAX, f"nothing near explains {line}"


def test_its_command_is_one_that_needs_no_packages() -> None:
    """The unit's own words, by a bare Python in an empty environment: they get as far as the configuration."""
    (line,) = directives(WATCH_UNIT)["ExecStart"]
    words = shlex.split(line)
    assert words[:3] == ["/usr/bin/python3", "/opt/maker/run.py", "watch"]
    bare = getattr(sys, "_base_executable", sys.executable)
    pairs = (pair.split("=", 1) for pair in directives(WATCH_UNIT)["Environment"][0].split())
    ended = subprocess.run(
        [bare, "-S", str(PROJECT / "run.py"), *words[2:]],
        env={"PATH": "/usr/bin", **dict(pairs)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 78, ended.stderr
    assert "cannot read the configuration /etc/maker/live.toml" in ended.stdout


def test_systemd_accepts_it(tmp_path: os.PathLike[str]) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    copy = os.path.join(tmp_path, WATCH_UNIT.name)
    text = WATCH_UNIT.read_text().replace("/usr/bin/python3", sys.executable).replace("/opt/maker", str(PROJECT))
    with open(copy, "w") as file:
        file.write(text)
    ended = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (0, ""), ended.stderr


def test_systemd_finds_little_exposed() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    words = ["systemd-analyze", "security", "--offline=yes", f"--threshold={round(EXPOSURE_MAX * 10)}", str(WATCH_UNIT)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    if "unrecognized option" in ended.stderr:
        pytest.skip("this systemd-analyze has no offline check")
    assert ended.returncode == 0, ended.stdout[-300:] + ended.stderr


# -- the container


def values(name: str) -> list[str]:
    """What the compose file says under a name, wherever."""
    return re.findall(rf'^\s*{name}:\s*"?(.*?)"?$', WATCH_COMPOSE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("command", '["watch", "/etc/maker/live.toml"]'),
        ("image", "maker"),
        ("dockerfile", "conf/deploy/Containerfile"),
        ("user", "10001:10001"),
        ("read_only", "true"),
        ("restart", "unless-stopped"),
        ("stop_signal", "SIGTERM"),
        ("init", "false"),
        ("core", "0"),
        ("max-size", "50m"),
    ],
)
def test_the_watchers_container_says(name: str, value: str) -> None:
    assert values(name) == [value]


def test_it_is_the_makers_image_and_writes_nothing() -> None:
    """One image serves both hosts; the makers' compose file has all that this one says of it, and more."""
    text = WATCH_COMPOSE.read_text()
    assert "state:" not in text
    assert "- ALL" in text
    assert "no-new-privileges:true" in text
    makers = (DEPLOY / "compose.yaml").read_text()
    for line in ("    image: maker", "      dockerfile: conf/deploy/Containerfile", '        max-file: "5"'):
        assert line in text
        assert line in makers


# -- what grows


def test_the_journal_of_both_units_is_bounded() -> None:
    """Every line goes to a namespace of its own, whose configuration has the name that systemd looks for."""
    (namespace,) = set(directives(UNIT)["LogNamespace"]) & set(directives(WATCH_UNIT)["LogNamespace"])
    assert JOURNALD.name == f"journald@{namespace}.conf"
    read = configparser.ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(JOURNALD.read_text())
    assert set(read["Journal"]) == {"Storage", "SystemMaxUse", "SystemKeepFree", "MaxRetentionSec"}
    for unit in (UNIT, WATCH_UNIT):
        assert f"conf/deploy/{JOURNALD.name} /etc/systemd/" in unit.read_text(), "its first lines install it"


def test_incidents_are_the_only_thing_that_is_removed() -> None:
    """In the folder that the parent writes them to, below the unit's state folder."""
    lines = [line for line in TMPFILES.read_text().splitlines() if line and not line.startswith("#")]
    (line,) = lines
    assert line.split() == ["e", f"/var/lib/{directives()['StateDirectory'][0]}/{INCIDENTS}", "-", "-", "-", "365d"]
    assert f"conf/deploy/{TMPFILES.name} /etc/tmpfiles.d/maker.conf" in UNIT.read_text()


def test_the_tmpfiles_line_is_one(tmp_path: os.PathLike[str]) -> None:
    """By systemd's own reading, where it is installed: an old file goes, a new one and the journal stay."""
    if shutil.which("systemd-tmpfiles") is None:
        pytest.skip("systemd-tmpfiles is not on this machine")
    folder = os.path.join(tmp_path, "var/lib/maker")
    os.makedirs(os.path.join(folder, INCIDENTS))
    for name, age_days in ((f"{INCIDENTS}/old.json", 400), (f"{INCIDENTS}/new.json", 3), ("journal.sqlite", 400)):
        path = os.path.join(folder, name)
        subprocess.run(["touch", "-d", f"-{age_days} days", path], check=True)
    words = ["systemd-tmpfiles", "--clean", f"--root={tmp_path}", str(TMPFILES)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Unknown" not in ended.stderr
    assert os.path.exists(os.path.join(folder, "journal.sqlite"))
    assert os.path.exists(os.path.join(folder, INCIDENTS, "new.json"))


def test_both_hosts_read_one_file() -> None:
    """The example's [watch] is in the file that the maker reads too: it must not refuse it."""
    tree = tomllib.loads((PROJECT / "conf" / "live.example.toml").read_text())
    assert tree["watch"]["poll_seconds"] > 0
