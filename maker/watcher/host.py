"""Whoever carries the watcher's steps out: one thread, blocking sockets with total deadlines.

It takes no lock, writes no file, and never looks at the first host. Before each call and every few seconds of a pause
systemd hears that it is alive; a pause ends when a signal says stop.
"""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from maker.guard.exchange import Exchange, follow, seconds_now
from maker.launch import key
from maker.launch.account import Stopped
from maker.launch.start import log
from maker.watcher.bounds import Bounds
from maker.watcher.notify import ALIVE, READY, notify, status
from maker.watcher.steps import UNVERIFIED, Ended, Say, Watcher

BEAT_SECONDS = 10.0  # systemd hears of us at least so often; a call takes two at most, a look-up three
LOOK_UP_SECONDS = 60.0  # between two look-ups of the exchange's name, in a thread that may hang
BUG_SECONDS = 10.0  # before beginning anew after an error of our own
KEY_HEADER = "x-api-key"


class Wanted(NamedTuple):
    """What is to be watched. Its key is never shown."""

    bounds: Bounds
    prefix: str
    exchange: Exchange
    read_key: Callable[[], key.Key]  # from its place, where it may be replaced. Raises NoKey


def say(event: str, sentence: str, *, level: str = "info") -> None:
    """Tell one line on stderr."""
    log(event, sentence, level=level, process="watch")


class Beside(Protocol):
    """What else is done in pauses; none of it waits or raises."""

    def act(self) -> None:
        """Do what is due."""

    def accepted(self) -> None:
        """The start is over: something was read."""


class Host:
    """Whoever watches: `wait` waits so many seconds, or until told to stop and then returns True."""

    def __init__(
        self,
        wanted: Wanted,
        wait: Callable[[float], bool],
        environment: Mapping[str, str],
        *,
        now: Callable[[], float] = seconds_now,
        say: Say = say,
        beside: Beside | None = None,
    ) -> None:
        self.wanted, self.wait, self.environment, self.now, self.say = wanted, wait, environment, now, say
        self.beside = beside
        self.is_told = self.is_accepted = False
        self.looked_up_at = float("-inf")
        self.watcher = self.new_watcher()

    def new_watcher(self) -> Watcher:
        """Return one that knows nothing yet."""
        exchange = self.wanted.exchange
        return Watcher(
            self.wanted.bounds,
            self.wanted.prefix,
            now=self.now,
            random=random.random,
            random_bytes=os.urandom,
            date=lambda: exchange.date,
            told=lambda: self.is_told,
            say=self.say,
            renew=self.renew,
        )

    def watch(self) -> Ended:
        """Watch until told to stop. Raises Stopped for a key that is no good at the start, or the end of practice.

        A bug of ours ends one watcher, never the watching: the next one begins with nothing that the last one knew.
        """
        self.say("watching", self.promise())
        while True:
            try:
                return follow(self.watcher.run(), self.call, self.pause)
            except Stopped:
                raise
            except Exception as problem:  # noqa: BLE001 - it ends this watcher; ending the process would leave nobody
                traceback.print_exc()
                if self.is_told:
                    return Ended(UNVERIFIED, f"Stopped as asked, by an error of our own: {problem!r}.")
                self.say("FAILED", f"NOBODY WATCHES: {problem!r}; beginning anew in {BUG_SECONDS:g} s.", level="error")
            accepted, self.watcher = self.watcher.accepted, self.new_watcher()
            self.watcher.accepted = accepted  # the start is over
            self.pause(BUG_SECONDS)

    def promise(self) -> str:
        """Say what is watched for, and within which time."""
        bounds = self.wanted.bounds
        return (
            f"Orders named {self.wanted.prefix}-… are looked at each {bounds.poll_seconds:g} s; one that is older than "
            f"{bounds.age_seconds_max:g} s ({bounds.rest_seconds_max:g} s by the configuration, and a margin of "
            f"{bounds.margin_seconds:g} s) has been left by its maker: then everything on the account is cancelled, "
            f"before it is {bounds.pulled_seconds_max:g} s old."
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Make one call, with the exchange's name looked up lately. Raises NoAnswer, and Stopped at practice's end."""
        notify(self.environment, ALIVE)
        exchange = self.wanted.exchange
        if not exchange.addresses:
            exchange.look_up()
        elif self.now() - self.looked_up_at > LOOK_UP_SECONDS:
            exchange.look_up(0.0)  # the last good one stays
        else:
            return exchange.call(method, path, body)
        self.looked_up_at = self.now()
        return exchange.call(method, path, body)

    def pause(self, seconds: float) -> None:
        """Wait, telling systemd that we are ready and alive; being told to stop ends it, and every later one."""
        ends_at = self.now() + seconds
        while True:
            self.tend()
            sentence = self.watcher.sentence()
            notify(self.environment, READY, ALIVE, status(sentence))
            left = ends_at - self.now()
            if self.is_told or left <= 0:
                return
            self.is_told = self.wait(min(left, BEAT_SECONDS))

    def tend(self) -> None:
        """Do what else there is to do: in a pause, and so never between what is seen and what is cancelled."""
        if self.beside is None:
            return
        if self.watcher.accepted and not self.is_accepted:
            self.is_accepted = True
            self.beside.accepted()
        self.beside.act()

    def renew(self) -> bool:
        """Read the key from its place; say whether it is another one than that in use."""
        try:
            secret = self.wanted.read_key().secret
        except key.NoKey as problem:
            self.say("no key", f"{problem}", level="error")
            return False
        headers = self.wanted.exchange.headers
        before, headers[KEY_HEADER] = headers[KEY_HEADER], secret
        return secret != before
