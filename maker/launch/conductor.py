"""Conducts reloads for the parent process: `Reloading` decides, here are its hands. Nothing here holds the watch.

The key's file is read and a new key tried in a thread, and `run.json` is written in threads: disk and exchange may
hang, and whoever watches the maker must not.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from maker.guard.exchange import CALL_SECONDS_MAX, ORDERS, Exchange, NoAnswer, seconds_now
from maker.launch import key
from maker.launch.reloading import Reloading, Rotating, State
from maker.launch.settings import ParentSettings
from maker.launch.start import Status
from maker.launch.threads import in_thread


class Conductor:
    """One run's reloads, as its watch sees them."""

    def __init__(
        self,
        wanted: ParentSettings,
        exchange: Rotating,
        send: Callable[[bytes], object],
        status: Status,
        say: Callable[[str, str], object],
    ) -> None:
        self.wanted, self.exchange, self.send, self.say = wanted, exchange, send, say
        self.reloading = Reloading(exchange.keys)
        self.told_status = Amended(status)
        self.trial: Trial | None = None
        self.told = self.reloading.report

    def asked(self) -> None:
        """Somebody asks for a reload."""
        is_idle = self.reloading.state is State.IDLE
        if is_idle and self.trial is not None and not self.trial.is_over:
            self.reloading.again = False
            self.say("reload", "the last one still waits for disk or exchange: nothing is asked again.")
            return
        if self.reloading.asked(seconds_now()):
            self.say("reload", "configuration and key are read again.")
            self.trial = Trial(self.wanted, self.exchange, self.told_status)

    def heard(self, data: bytes) -> bool:
        """Take a message of the maker's; False: it is none about a reload."""
        return self.reloading.answered(data, seconds_now())

    def look(self) -> None:
        """Go on with what has come up. Called often, and cheap."""
        now, trial = seconds_now(), self.trial
        if self.reloading.state is State.READING and trial is not None and trial.is_over:
            problem = trial.problem or self.reloading.unfit(trial.kept)
            if problem:
                self.reloading.problem(problem, now)
            else:
                self.ask_maker(self.reloading.found(trial.kept))
        self.reloading.look(now)
        report = self.reloading.report
        if report is not self.told and report is not None:
            self.told = report
            self.say("reloaded" if report.ok else "not reloaded", f"{report.sentence}.".replace("..", "."))
            second = self.reloading.second
            self.told_status.amend(
                reload={
                    "began": report.began,
                    "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "ok": report.ok,
                    "sentence": report.sentence,
                },
                key_id=self.exchange.keys.first.key_id or None,
                next_key_id=second.key_id if second is not None else None,
                **({"config_sha256": report.sha256} if report.ok else {}),
            )
        if self.reloading.again and self.reloading.state is State.IDLE:
            self.asked()

    def ask_maker(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, or will not hear: the watch sees to the one, time to the other
            self.send(message)


class Trial:
    """The key's file read, and the key that it holds tried by one read where it is another one; in a thread."""

    def __init__(self, wanted: ParentSettings, exchange: Rotating, status: Amended) -> None:
        self.wanted, self.exchange, self.status = wanted, exchange, status
        self.kept: key.Key | None = None  # None: keys are not kept in a file, and stay what they are
        self.problem = "the key could not be read"  # as long as nobody knows better; "" once all is well
        self.thread = in_thread(self.run)
        if self.thread is None:
            self.problem = "there is no thread to be had for it now"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.thread is None or not self.thread.is_alive()

    def run(self) -> None:
        """Read and try."""
        wanted = self.wanted
        try:
            if wanted.is_paper or not wanted.key_file:
                self.problem = ""
                return
            kept = key.read("", wanted.key_file, {})
            if kept.secret != self.exchange.keys.first.secret:
                key.refuse_scope(kept, wanted.configuration)
                needed_seconds = key.seconds_needed(wanted.guard.give_up_seconds, wanted.guard.tail_seconds)
                key.refuse_short_life(kept, needed_seconds, time.time(), wanted.configuration)
                self.prove(kept)
                self.status.amend(next_key_id=kept.key_id or None)
            self.kept, self.problem = kept, ""
        except (key.NoKey, key.Unfit) as problem:
            self.problem = str(problem)
        except NoAnswer as problem:
            stays = "The one in use stays: do not revoke it"
            self.problem = f"the new key was tried with a read, and {problem}. {stays}"

    def prove(self, kept: key.Key) -> None:
        """Make one read with a key, as we would pull with it. Raises NoAnswer."""
        tried = Exchange("", kept.secret)
        tried.host, tried.port, tried.path = self.exchange.host, self.exchange.port, self.exchange.path
        tried.tls, tried.addresses = self.exchange.tls, self.exchange.addresses
        tried.silent_seconds_max = CALL_SECONDS_MAX  # else a peer that is gone keeps us, and every later reload
        tried.attempt("GET", ORDERS)


class Amended:
    """What a reload has `run.json` say, in threads: the disk may hang. The last amendment is the one that stays."""

    def __init__(self, status: Status) -> None:
        self.status, self.changes = status, dict[str, object]()
        self.telling = threading.Lock()

    def amend(self, **changes: object) -> None:
        """Have the file say other things too; never waits."""
        self.changes |= changes
        in_thread(self.tell)

    def tell(self) -> None:
        with self.telling:  # whoever comes last tells what is known then
            self.status.tell(**self.changes.copy())
