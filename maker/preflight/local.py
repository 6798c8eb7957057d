"""What needs nobody else: configuration, key, state folder, journal, disk, descriptors. Nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import secrets
from pathlib import Path
from typing import Final

import attrs

from maker.app.config import Config, load
from maker.edge.client import CONNECTIONS_MAX
from maker.edge.journal import refuse_unusable
from maker.errors import ConfigError, ExitCode
from maker.launch import key, settings
from maker.launch.settings import ParentSettings
from maker.preflight.verdict import Finding, failed, ok, sentence, warning

MEGABYTE: Final = 1_000_000
# A journal of two markets at the standard tier takes 3 kB/s, 250 MB a day; a practice exchange's record 50 MB an hour.
DISK_BYTES_MIN: Final = 250 * MEGABYTE  # a day of it: nobody may be back in time
DISK_BYTES_WARN: Final = 2000 * MEGABYTE  # a week
INODES_MIN: Final = 100  # a run makes a dozen files, and one for each incident
# What a maker holds: three lanes, up to eight reads, journal, link, locks, signals, look-ups; for each stream, while it
# connects anew, an old connection beside the new one. Quoting two markets by three feeds it holds 24.
DESCRIPTORS_FIXED: Final = 32 + CONNECTIONS_MAX
DESCRIPTORS_EACH: Final = 2
DESCRIPTORS_SPARE: Final = 2  # times what is needed: below, something else may eat them up


@attrs.frozen
class Configured:
    """A configuration that both who read it accept."""

    config: Config
    parent: ParentSettings


def configured(path: Path) -> Configured:
    """Read a configuration as maker and parent read it. Raises ConfigError."""
    config = load(path)
    try:
        return Configured(config, settings.parent_settings(path))
    except settings.SettingsError as error:
        raise ConfigError(str(path), f"the parent process refuses it: {error}", "Mend that line.") from error


def configuration(found: Configured) -> Finding:
    """What it is about."""
    config = found.config
    markets, feeds = ", ".join(config.markets), ", ".join(config.references)
    return ok(f"Mode {config.mode}, account {config.account!r}; markets {markets}; reference feeds {feeds}.")


def fit_key(found: Configured, ours: key.Key, unix_seconds: float) -> Finding:
    """Whether a start would take the key, by what is noted beside it."""
    if found.config.mode == "paper":
        return ok("The practice exchange's own, which is no secret.")
    parent = found.parent
    try:
        key.refuse_scope(ours, parent.configuration)
        needed_seconds = key.seconds_needed(parent.guard.give_up_seconds, parent.guard.tail_seconds)
        key.refuse_short_life(ours, needed_seconds, unix_seconds, parent.configuration)
    except key.Unfit as unfit:
        return failed(sentence(unfit.problem), unfit.fix, ExitCode.CREDENTIALS)
    exchange = found.config.exchange
    name = f"{ours.key_id} is" if ours.key_id else "It is"
    private = ", and nobody else may read it" if exchange.key_file else ""
    return ok(f"{name} in {exchange.key_env or exchange.key_file}{private}.")


def state_folder(folder: Path) -> Finding:
    """Whether a run could keep there what it keeps: files brought to the disk, replaced and linked. Raises OSError."""
    user = user_name()
    if not folder.exists():
        above = next(parent for parent in folder.parents if parent.exists())
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return ok(f"{folder} is not there yet; the first start of {user} makes it.")
        fix = f"Make it, and give it to the user that the bot runs as (here: {user})."
        return failed(f"{folder} is not there, and {user} cannot make it.", fix, ExitCode.REFUSED_TO_START)
    try:
        write_as_a_run_does(folder)
    except OSError as error:
        fix = f"Give it to the user that the bot runs as (here: {user}), on a file system that can link files."
        said = f"{folder} cannot be written: {error.strerror}."
        return failed(said, fix, ExitCode.REFUSED_TO_START)
    return ok(f"{folder} is writable for {user}.")


def write_as_a_run_does(folder: Path) -> None:
    """Write a file, bring it to the disk, link it as a kill file is, replace it. Raises OSError; leaves nothing."""
    first, second = (folder / f".check-{secrets.token_hex(8)}" for _ in range(2))
    try:
        with first.open("x", encoding="ascii") as file:
            file.write("check\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(first, second)
        first.replace(second)
    finally:
        for path in (first, second):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def user_name() -> str:
    """Who we are: a check by another user than the bot's says little of folders."""
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"user {os.geteuid()}"


def journal(folder: Path) -> Finding:
    """Whether a run could go on with the journal. Raises StartRefused."""
    path = folder / "journal.sqlite"
    there = path.exists()
    refuse_unusable(path)
    return ok(f"{path} can be gone on with." if there else "There is none yet.")


def disk(folder: Path) -> Finding:
    """Whether there is room for what a run writes. Raises OSError."""
    at = next(path for path in (folder, *folder.parents) if path.exists())
    said = os.statvfs(at)
    free = said.f_bavail * said.f_frsize
    room = f"{free / MEGABYTE:,.0f} MB are free at {at}"
    fix = "Make room: a journal takes some 250 MB a day, and one that cannot be written ends the run."
    if free < DISK_BYTES_MIN or (said.f_files and said.f_favail < INODES_MIN):
        files = "" if free < DISK_BYTES_MIN else f", but only {said.f_favail} more files"
        return failed(f"{room}{files}.", fix)
    return ok(f"{room}.") if free >= DISK_BYTES_WARN else warning(f"{room}.", fix)


def descriptors(config: Config) -> Finding:
    """Whether the maker, started from here, may hold as many descriptors as it comes to need."""
    needed = DESCRIPTORS_FIXED + DESCRIPTORS_EACH * (len(config.markets) + len(config.references))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return ok(f"Unlimited; up to {needed} are needed.")
    said = f"{limit} may be open, up to {needed} are needed."
    fix = f"Raise it: `ulimit -n {max(1024, DESCRIPTORS_SPARE * needed)}`, or LimitNOFILE of the service."
    if limit < needed:
        return failed(said, fix)
    return ok(said) if limit >= DESCRIPTORS_SPARE * needed else warning(said, fix)
