"""Reloads as the parent process conducts them: who holds which key at every moment, and what is said at the end.

    IDLE     --asked-->     READING   the key's file is read and, where it holds another key, that key is tried
    READING  --found-->     ASKED     the maker is asked; from here on both keys are held, the one in use first
    READING  --problem-->   IDLE      nothing was changed
    ASKED    --taken-->     IDLE      the new key is first, the old one is kept beside it: it may be revoked
    ASKED    --refused-->   IDLE      the new key is forgotten
    ASKED    --no answer--> IDLE      both keys are kept, the old one first, and neither may be revoked

An answer that comes after all settles what was left open; until one does, no third key is taken: one of the two would
have to be let go. Asked again before the end, it begins again after it. There is no moment at which nobody could pull:

    before ASKED            the maker and we use the old key, and the new one by nobody
    in ASKED                the maker may use either; we hold both, and a call that is refused to one goes by the other
    after `taken`           the maker uses the new one, and so do we; only now anybody is told to revoke the old one
    whoever dies meanwhile  the maker: we pull, with whichever is still taken; we: the maker sees it and pulls with its
                            own; both: the next start reads the new key from its file

Nothing here waits, reads a clock or touches a file: `Rotating` and `maker.launch.watching` have those.
"""

from __future__ import annotations

import enum
import json
import signal
from typing import Any, NamedTuple

from maker.guard.exchange import Exchange, Refused
from maker.launch import key

RELOAD_SIGNAL = signal.SIGUSR1  # not SIGHUP: a terminal that is gone must pull, not read a file
READING_SECONDS_MAX = 15.0  # to read a file, and to try a key
ANSWER_SECONDS_MAX = 60.0  # after those; the maker has 30 s to read and prove, 20 s for its quoting cycle to come by
NEITHER = "which of two keys the maker uses is not known: both are held, revoke NEITHER, and reload again"
DENIED = (401, 403, 409)  # as a key is refused; a revoked one with 409


class State(enum.Enum):
    """What is under way."""

    IDLE = "idle"
    READING = "reading"
    ASKED = "asked"


class Report(NamedTuple):
    """What came of one reload; times are seconds of CLOCK_BOOTTIME, for whoever asked to know which is meant."""

    began: float
    ended: float
    ok: bool
    sentence: str
    sha256: str  # of the configuration that is in force; "" where nothing was changed


class Doubt(NamedTuple):
    """A reload of which nobody knows whether the maker took its key."""

    number: int
    asked_for: key.Key
    before: key.Key | None  # the key that the maker used until then; None: that was not known either


class Keys:
    """The keys that we can pull with, in the order in which they are tried."""

    def __init__(self, ours: key.Key) -> None:
        self.held = [ours]

    @property
    def first(self) -> key.Key:
        """The one that the maker quotes with, as far as we know."""
        return self.held[0]

    def has(self, another: key.Key) -> bool:
        """Whether it is one of them."""
        return any(one.secret == another.secret for one in self.held)

    def add(self, another: key.Key) -> None:
        """Hold another one beside the first; one that was kept from before is let go."""
        if not self.has(another):
            self.held = [self.first, another]

    def settle(self, used: key.Key) -> None:
        """The maker uses this one of them; another stays behind it."""
        self.held.sort(key=lambda one: one.secret != used.secret)

    def forget(self) -> None:
        """The second one is of no use."""
        del self.held[1:]


class Reloading:
    """One run's reloads. `now` is in seconds of CLOCK_BOOTTIME."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.state = State.IDLE
        self.number = 0
        self.began = self.until = 0.0
        self.again = False
        self.candidate: key.Key | None = None  # the key that the maker is asked to take; None: it stays
        self.uncertain = False  # which of the keys held the maker uses
        self.doubt: Doubt | None = None  # the last reload that was to change the key and stayed without an answer
        self.report: Report | None = None  # of the last one that ended

    def asked(self, now: float) -> bool:
        """Somebody asks for a reload. True: read the key, and say what was found; False: one is under way."""
        if self.state is not State.IDLE:
            self.again = True
            return False
        self.state, self.began, self.until, self.again = State.READING, now, now + READING_SECONDS_MAX, False
        self.number += 1
        return True

    def unfit(self, kept: key.Key | None) -> str:
        """Why a key that was read and tried is not to be taken now, as a sentence; "" when it is."""
        if self.doubt is None or kept is None or self.keys.has(kept):
            return ""
        names = " and ".join(one.key_id or "one without an id" for one in self.keys.held)
        return (
            f"an earlier reload stayed without an answer, so the maker uses one of two keys ({names}), and neither can "
            "be let go for a third. Put one of the two into the key's file and reload, or stop the maker and start it"
        )

    def found(self, kept: key.Key | None) -> bytes:
        """The key's file was read, and the key tried where it is another one. Returns what to tell the maker.

        None: keys are not kept in a file, so that there can be no other one. Ask `unfit` before.
        """
        assert self.state is State.READING, "nothing was to be read"
        assert not self.unfit(kept), "a key that may be in use would be let go"
        self.state, self.until = State.ASKED, self.until + ANSWER_SECONDS_MAX
        changes = kept is not None and (self.uncertain or kept.secret != self.keys.first.secret)
        self.candidate = kept if changes else None
        if self.candidate is not None:
            self.keys.add(self.candidate)
            self.uncertain = True
        digest = "" if kept is None else key.digest(kept.secret)
        return json.dumps({"reload": self.number, "key_digest": digest}).encode()

    def problem(self, sentence: str, now: float) -> None:
        """The key's file could not be read, or its key not be used."""
        assert self.state is State.READING, "nothing was to be read"
        self.end(False, f"nothing was changed: {sentence}", "", now)

    def answered(self, data: bytes, now: float) -> bool:
        """Take a message of the maker's; False: it is no answer to anything that was asked."""
        said = answer_of(data)
        if said is None or not 0 < said["reloaded"] <= self.number:
            return False
        if self.state is not State.ASKED or said["reloaded"] != self.number:
            self.late(said, now)  # no babble, for which a maker that quotes in good order would be killed
            return True
        sentence = said["sentence"]
        if self.candidate is not None and said["ok"]:
            sentence += self.settled(self.candidate)
        elif self.candidate is not None and self.doubt is None:
            self.keys.forget()
            self.uncertain = False
        elif self.uncertain:
            sentence += f"; {NEITHER}"
        self.end(said["ok"], sentence, said["sha256"] if said["ok"] else "", now)
        return True

    def late(self, said: dict[str, Any], now: float) -> None:
        """Take an answer to a reload that was given up: what it says of the keys is true all the same."""
        if self.doubt is None or self.doubt.number != said["reloaded"]:
            return
        used = self.doubt.asked_for if said["ok"] else self.doubt.before
        if used is None:
            return
        more = self.settled(used)
        if self.state is State.IDLE:
            self.end(said["ok"], f"{said['sentence']} (answered late){more}", said["sha256"] if said["ok"] else "", now)
        else:
            self.uncertain = self.candidate is not None  # as before: the next one is under way

    def settled(self, used: key.Key) -> str:
        """Know which key the maker uses, and return what people are to know of the other one."""
        self.keys.settle(used)
        self.uncertain, self.doubt = False, None
        other = self.keys.held[1].key_id
        return f". The old key {f'{other} ' if other else ''}is used by nobody here any more: it may be revoked now"

    def look(self, now: float) -> None:
        """End what takes too long."""
        if self.state is State.IDLE or now < self.until:
            return
        if self.state is State.READING:
            self.problem(f"the key's file and the exchange did not answer within {READING_SECONDS_MAX:g} s", now)
            return
        sentence = f"the maker did not say within {ANSWER_SECONDS_MAX:g} s what came of it"
        if self.candidate is not None:
            before = self.keys.first if self.doubt is None else None
            self.doubt = Doubt(self.number, self.candidate, before)
        self.end(False, f"{sentence}; {NEITHER}" if self.uncertain else sentence, "", now)

    def end(self, ok: bool, sentence: str, sha256: str, now: float) -> None:
        """Report, and be ready for the next one."""
        self.report = Report(self.began, now, ok, sentence, sha256)
        self.state, self.candidate = State.IDLE, None

    @property
    def second(self) -> key.Key | None:
        """The key that may be in use too; None: it is certain which one is."""
        return self.keys.held[1] if self.uncertain else None


def answer_of(data: bytes) -> dict[str, Any] | None:
    """Read an answer to a reload; None: it is something else."""
    try:
        said = json.loads(data)
        return {
            "reloaded": int(said["reloaded"]),
            "ok": said["ok"] is True,
            "sentence": str(said["sentence"]),
            "sha256": str(said["sha256"]),
        }
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


class Rotating(Exchange):
    """The guard's exchange, which tries the keys in turn: what is refused to one goes by the next."""

    def __init__(self, base_url: str, keys: Keys, ca_file: str = "") -> None:
        super().__init__(base_url, keys.first.secret, ca_file)
        self.keys = keys

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """As `Exchange.call`, of which it makes as many as there are keys that are refused. Raises NoAnswer."""
        *others, last = list(self.keys.held)
        for one in others:
            self.headers["x-api-key"] = one.secret
            try:
                return super().call(method, path, body)
            except Refused as problem:
                if problem.status not in DENIED:
                    raise
        self.headers["x-api-key"] = last.secret
        return super().call(method, path, body)
