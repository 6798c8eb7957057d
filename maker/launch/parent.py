"""One run, from its locks to its last word. This process is the maker's guard.

    locks        the state folder's, and a live account's: one writer
    fire drill   read what rests (orders of others stop here: ours go by name), cancel-all, read back empty: proves key
                 and route before anything is placed (maker.launch.fire_drill)
    kill file    refuses; so do too many deaths in a short time: what an earlier run left is swept all the same
    maker        started, armed at its first heartbeat, watched to its end (maker.guard.watch, maker.launch.watching)
    monitor      started once the maker runs, ended when all else is done, and never waited for (maker.launch.companion)
    pull         for a maker that died, was killed, could not verify, or left a write unanswered: cancel-all and read
                 back through the tail, until empty or time is up (maker.guard.exchange)
    told         last of all, people of a start that came to no maker (maker.launch.refusals)

What the maker inherits: `--result-fd`, where it writes one JSON object at its end; `--guard-fd`, the link to us, whose
end tells it that we are gone; and the locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from maker.guard.exchange import Exchange, pull, seconds_now
from maker.guard.watch import STOP_SIGNALS, Ended
from maker.launch import key, latch, lock, report, settings
from maker.launch.companion import Companion
from maker.launch.conductor import Conductor
from maker.launch.fire_drill import fire_drill
from maker.launch.lock import Lock
from maker.launch.refusals import Refusals
from maker.launch.reloading import RELOAD_SIGNAL, Keys, Rotating
from maker.launch.running import RUN_FILE
from maker.launch.start import Refusal, Status, Venue, end, killed, log, pidfd, start_maker, start_venue, write_status
from maker.launch.terminal import can_draw
from maker.launch.threads import in_thread
from maker.launch.watching import Watch, read_available

MAKER_STOP_SECONDS_MAX = 20.0  # an error of our own: it still gets the time to pull its quotes
START_SECONDS_MAX = 60.0  # what `--for` does not count: loading markets, reconciling
INCIDENTS = "incidents"  # folder in the state folder: a file for each death, for people
INCIDENT_SECONDS_MAX = 2.0  # for its last write: the disk may hang, and the exit code must not wait for it


def run(configuration: Path, for_seconds: float | None, *, draws_status: bool = True) -> report.Report:
    """Run the bot to its end and return how it ended; a refusal to start is such an end, and no exception."""
    refusals = Refusals(configuration)
    ended = run_to_its_end(configuration, for_seconds, refusals, draws_status=draws_status)
    if refusals.are_told(ended):
        try:
            with contextlib.ExitStack() as stack:
                refusals.tell(ended, partial(told, catch_signals(stack)))
        except Exception as problem:  # noqa: BLE001 - the run has ended: how is not for this to change
            log("not told", f"nobody could be told of this start: {problem!r}.")
    return ended


def run_to_its_end(
    configuration: Path, for_seconds: float | None, refusals: Refusals, *, draws_status: bool
) -> report.Report:
    """Run the bot and return how it ended, with everything else done and undone."""
    try:
        with contextlib.ExitStack() as stack:
            wanted = settings.parent_settings(configuration)
            return run_in(wanted, for_seconds, stack, refusals, draws_status=draws_status)
    except key.Unfit as problem:
        log("refused", str(problem))
        return report.without_maker(report.CREDENTIALS, str(problem))
    except (settings.SettingsError, Refusal, lock.Taken, key.NoKey) as problem:
        log("refused", str(problem))
        return report.without_maker(getattr(problem, "exit_code", report.REFUSED_TO_START), str(problem))


def run_in(
    wanted: settings.ParentSettings,
    for_seconds: float | None,
    stack: contextlib.ExitStack,
    refusals: Refusals,
    *,
    draws_status: bool,
) -> report.Report:
    """Run with all that must be undone on `stack`: undone in the reverse order, whatever happens."""
    signals = catch_signals(stack)
    locks = hold_locks(wanted, signals, stack)
    if wanted.is_paper:
        refuse_latched(wanted, signals)
    venue = start_venue(wanted, signals, stack) if wanted.is_paper else None
    ours = key.Key(key.PAPER_KEY) if wanted.is_paper else key.read(wanted.key_env, wanted.key_file, os.environ)
    key.refuse_scope(ours, wanted.configuration)
    try:
        exchange = Rotating(venue.venue_url if venue else wanted.base_url, Keys(ours), wanted.ca_file)
    except OSError as problem:  # ssl.SSLError among them
        raise Refusal(f"exchange.ca_file {wanted.ca_file} cannot be used: {problem}.") from None
    fire_drill(exchange, wanted, lambda seconds: told(signals, seconds))
    # Only now: latched, or with a key in its last minutes, it still sweeps what an earlier run left.
    if not wanted.is_paper:
        refuse_latched(wanted, signals)
    needed_seconds = key.seconds_needed(wanted.guard.give_up_seconds, wanted.guard.tail_seconds)
    key.refuse_short_life(ours, needed_seconds, time.time(), wanted.configuration)
    read = hashlib.sha256(settings.content_of(wanted.configuration)).hexdigest()
    result_reader, result_writer = os.pipe2(os.O_CLOEXEC)
    link, makers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stack.callback(os.close, result_reader)
    stack.callback(link.close)
    os.set_blocking(result_reader, False)
    link.setblocking(False)
    command = ["maker-process", str(wanted.configuration)]
    command += ["--result-fd", str(result_writer), "--guard-fd", str(makers_end.fileno())]
    command += [] if for_seconds is None else ["--for", f"{for_seconds:.3f}s"]
    command += [] if venue is None else ["--venue-url", venue.venue_url, "--reference-url", venue.reference_url]
    for one in locks:
        one.describe(ending=False)
    maker = start_maker(command, (result_writer, makers_end.fileno(), *(one.descriptor for one in locks)))
    stack.callback(end, maker, MAKER_STOP_SECONDS_MAX)
    os.close(result_writer)
    makers_end.close()
    log("started", f"the maker runs as process {maker.pid}.")
    status = write_status(wanted.state_folder / RUN_FILE, maker, venue, ours.key_id, read, stack)
    if wanted.monitor.enabled:
        companion = a_companion(wanted, status, draws_status=draws_status)
        stack.callback(companion.end)
        stack.callback(end, maker, MAKER_STOP_SECONDS_MAX)  # once more: an error of our own waits for no monitor first
        companion.begin()
    watch = Watch(pidfd(maker, stack), link, signals, result_reader, wanted.state_folder, wanted.guard.hang_seconds_max)
    if for_seconds is not None:
        watch.judge.stop_at = seconds_now() + for_seconds + START_SECONDS_MAX
    watch.routine, watch.say = lambda: routine(exchange, venue), log
    conductor = Conductor(wanted, exchange, link.send, status, log)
    watch.reload, watch.tend, watch.takes = conductor.asked, conductor.look, conductor.heard
    watch.armed = lambda: refusals.maker_beats(wanted.state_folder)
    beside: list[Callable[[], object]] = [partial(one.describe, ending=True) for one in locks]
    try:
        ended = watch.run()
        verdict = report.judge(ended, killed(maker, 0.0), wanted.guard.tail_seconds, seconds_now())
    except Exception as problem:  # noqa: BLE001 - a bug of ours ends the maker, and its quotes are pulled as ever
        beside.append(partial(traceback.print_exception, problem))
        ended = watch.kill(f"its guard failed ({problem!r})")
        verdict = report.judge(ended, killed(maker, 0.0), wanted.guard.tail_seconds, seconds_now())
    return conclude(wanted, exchange, ended, verdict, maker.pid, beside)


def a_companion(wanted: settings.ParentSettings, status: Status, *, draws_status: bool) -> Companion:
    """The monitor of this run, not yet started. What may trade is no business of its."""
    words = ["monitor", str(wanted.configuration), "--owner-pid", str(os.getpid())]
    words += ["--status"] if draws_status and wanted.monitor.status and can_draw(2) else []
    hidden = wanted.key_env if wanted.key_env != wanted.monitor.key_env else ""
    environment = {name: value for name, value in os.environ.items() if name != hidden}
    return Companion(words, environment, lambda fields: status.tell(**fields))


def catch_signals(stack: contextlib.ExitStack) -> int:
    """Turn signals into bytes in a pipe, so that one poll waits for everything, and return its reader.

    Stop signals that were blocked until now (maker.__main__) are in it.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer, warn_on_full_buffer=False))
    for number in (*STOP_SIGNALS, RELOAD_SIGNAL):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            stack.callback(signal.signal, number, signal.signal(number, lambda _number, _frame: None))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    return reader


def told(signals: int, wait_seconds: float = 0.0) -> bool:
    """Whether a stop signal came, within so long. The alarms of our own calls come by the same pipe, and are none."""
    ends_at = seconds_now() + wait_seconds
    while True:
        if any(number in STOP_SIGNALS for number in read_available(signals)):
            return True
        left = ends_at - seconds_now()
        if left <= 0:
            return False
        select.select([signals], [], [], left)


def hold_locks(wanted: settings.ParentSettings, signals: int, stack: contextlib.ExitStack) -> list[Lock]:
    """Create the state folder and hold every lock of this run. Raises Refusal or Taken."""
    folder = wanted.state_folder
    held: list[Lock] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        asked = [(Lock(folder / lock.STATE_LOCK), f"in {folder}")]
        if not wanted.is_paper:  # a practice account belongs to its state folder
            asked.append((lock.account_lock(wanted), f"on the account {wanted.account!r} on this machine"))
        for one, _ in asked:
            stack.callback(os.close, one.descriptor)
        for one, what in asked:
            give_up = wanted.guard.give_up_seconds + wanted.guard.tail_seconds
            one.hold(what, give_up, lambda: told(signals), lambda sentence: log("waiting", sentence))
            held.append(one)
    except OSError as problem:
        raise Refusal(f"cannot use the state folder {folder}: {problem.strerror}.") from None
    return held


def refuse_latched(wanted: settings.ParentSettings, signals: int) -> None:
    """Refuse while the kill file is there; after deaths wait, longer each time. Raises Refusal."""
    why = latch.read(wanted.state_folder)
    if why is not None:
        raise Refusal(f"latched: {why}. When a person has looked: python run.py clear {wanted.configuration}")
    pause = lock.backoff_seconds(wanted.state_folder, wanted.guard.crash_window_seconds)
    if pause:
        log("waiting", f"the maker died repeatedly: starting again in {pause:g} s.")
    if told(signals, pause):
        raise Refusal("stopped by a signal before anything was placed.")


def routine(exchange: Exchange, venue: Venue | None) -> None:
    """Once a minute: follow the exchange's name, without waiting for it, and look after the practice exchange."""
    exchange.look_up(0.0)
    if venue is not None and venue.process.poll() is not None:
        log("venue gone", "the practice exchange has ended while the maker runs.")


# -- the end --------------------------------------------------------------------------------------------------------


def conclude(
    wanted: settings.ParentSettings,
    exchange: Exchange,
    ended: Ended,
    verdict: report.Verdict,
    maker_pid: int,
    beside: list[Callable[[], object]],
) -> report.Report:
    """Pull what a maker may have left that did not prove its end, and say how far that came.

    `beside` is what else there is to do; disk and log may hang, so that nothing of it comes before a cancel-all (S10).
    """
    if not verdict.pulls:
        in_threads(beside)
        return verdict.report
    reason = verdict.report.fields["reason"]
    said = partial(log, "pulling", f"{reason}; cancelling everything until the exchange reads empty.")
    incident = Incident(wanted, reason, ended, maker_pid, [said, *beside], is_death=verdict.is_death)
    began = seconds_now()
    pulled = pull(exchange, verdict.tail_seconds, wanted.guard.give_up_seconds, incident.open)
    last, sentence = report.after_pull(verdict, pulled, seconds_now() - began)
    log("pulled" if pulled.verified_empty else "NOT VERIFIED", sentence)
    incident.close(sentence, last.exit_code)
    return last


def in_threads(beside: list[Callable[[], object]]) -> None:
    """Do each in a thread of its own: one that hangs holds up no other."""
    for one in beside:
        in_thread(one)


class Incident:
    """A file for people about one pull of ours; written beside it in threads that may hang, and never before it."""

    def __init__(
        self,
        wanted: settings.ParentSettings,
        reason: str,
        ended: Ended,
        maker_pid: int,
        beside: list[Callable[[], object]],
        *,
        is_death: bool,
    ) -> None:
        self.wanted, self.beside, self.is_death = wanted, beside, is_death
        now = datetime.now(UTC)
        self.path = wanted.state_folder / INCIDENTS / f"{now:%Y%m%dT%H%M%S.%f}Z-{maker_pid}.json"
        beat_age = {"seconds_since_last_write": None}
        if ended.last_beat.get("last_write") is not None:
            beat_age = {"seconds_since_last_write": round(seconds_now() - ended.last_beat["last_write"], 3)}
        self.fields: dict[str, Any] = {
            "at": now.isoformat(timespec="milliseconds"),
            "what": reason,
            "maker_pid": maker_pid,
            "epoch": ended.last_beat.get("epoch"),
            "writes_in_flight": ended.last_beat.get("in_flight"),
            **beat_age,
            "outcome": "pulling",
        }

    def open(self) -> None:
        """Note it, and count it if it was a death, while the pulling goes on; and whatever else there is to do."""
        self.thread = in_thread(self.begin)
        in_threads(self.beside)

    def begin(self) -> None:
        if self.is_death:
            with contextlib.suppress(OSError):
                lock.crashed(self.wanted.state_folder, self.wanted)
        self.write()

    def close(self, outcome: str, exit_code: int) -> None:
        """Note how it ended."""
        if self.thread is not None:
            self.thread.join(INCIDENT_SECONDS_MAX)
        self.fields |= {"outcome": outcome, "exit_code": exit_code, "ended_at": time.time()}
        last = in_thread(self.write if self.thread is not None else self.begin)
        if last is not None:
            last.join(INCIDENT_SECONDS_MAX)

    def write(self) -> None:
        try:
            self.path.parent.mkdir(exist_ok=True)
            unfinished = self.path.with_suffix(".part")
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(json.dumps(self.fields, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self.path)
        except OSError as problem:
            log("no incident file", f"cannot write {self.path}: {problem.strerror}.")
