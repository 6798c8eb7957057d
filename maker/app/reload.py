"""A reload: the configuration read again, and another key taken up, while quotes go on.

Our guard asks for it over the link, and names the digest of the key that it has read itself; it holds that key beside
the one in use before it asks, so that whichever of them the exchange still takes, somebody can pull. Then, in order:

    read       the file, checked whole, compared with what is in force (`reload_rules`)
    prove      another key: by a read, and by a cancel that finds nothing, on connections of their own
    apply      between two turns of the quoting cycle, in one synchronous call: parameters, key, and what rests
    answer     the guard puts the new key first; only its answer to people says that the old one may be revoked

Until `apply` nothing has changed, and whatever goes wrong leaves it so. A key is changed while nothing rests: quotes
are pulled with the old one and read back empty, since event streams have to be opened anew anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, Protocol

import attrs
import trio

from maker.app import key_proof, startup
from maker.app.config import Config
from maker.app.link import Answer, Asked
from maker.app.reload_rules import Change, changes
from maker.app.source import Reading, Source
from maker.desk.engine import Engine
from maker.desk.parameters import MarketParameters, Parameters
from maker.errors import ConfigError, StartRefused
from maker.launch import key

PREPARE_SECONDS_MAX: Final = 30.0  # to read, and to prove a key
PROOFS_MAX: Final = 3  # tries, where the exchange gave no answer to believe
PROOF_PAUSE_SECONDS: Final = 1.0
CHANGES_TOLD: Final = 8  # of them in a sentence; the journal has all
APPLY_SECONDS_MAX: Final = 20.0  # for the quoting cycle to come by; a pull of several rounds may hold it for longer


class NotReloaded(Exception):
    """Nothing was changed; the message is one sentence, or two, with what to do."""


@attrs.define
class Prepared:
    """A change that is ready: what `apply` does is all that is left. Done once, or withdrawn."""

    parameters: Parameters
    changes: tuple[Change, ...]
    reading: Reading
    new_key: key.Key | None  # None: the key stays
    pulled: str = ""  # why quotes were pulled for it, as a sentence; empty: they were not
    done: trio.Event = attrs.field(factory=trio.Event)

    @property
    def sentence(self) -> str:
        """Say what is another now."""
        told = [f"{one.key} from {one.old} to {one.new}" for one in self.changes[:CHANGES_TOLD]]
        told += [f"{len(self.changes) - CHANGES_TOLD} more"] if len(self.changes) > CHANGES_TOLD else []
        said = f"changed: {', '.join(told)}" if told else "the configuration says what is in force"
        key_id = "" if self.new_key is None else self.new_key.key_id or "whose file does not name it"
        return said + (f"; in use is the key {key_id}" if key_id else "") + (f"; {self.pulled}" if self.pulled else "")


class Prover(Protocol):
    """What proves a key from here, on connections of its own (`maker.app.wiring.Run`)."""

    async def prove(self, secret: str) -> key_proof.Proof:
        """Prove a key by a read and by a cancel that finds nothing."""


@attrs.define
class Reloader:
    """One run's reloads, one at a time."""

    source: Source
    config: Config  # in force
    tree: Mapping[str, Any] = attrs.field(repr=False)  # the same, as its file had it
    secret: str = attrs.field(repr=False)  # in use
    prover: Prover
    engine: Engine
    refused: Callable[[str], None]  # told why nothing was changed
    answer: Callable[[Answer], None]
    hand_over: Callable[[Prepared], None] = lambda _change: None  # to the quoting cycle, to apply between two turns
    withdraw: Callable[[Prepared], bool] = lambda _change: True  # take it back; False: it was applied
    due: Asked | None = None
    woken: trio.Event = attrs.field(factory=trio.Event)

    def ask(self, asked: Asked) -> None:
        """Reload as soon as the one under way is done; the last one asked for counts."""
        self.due = asked
        self.woken.set()

    async def run(self) -> NoReturn:
        """Do what is asked for, until cancelled."""
        while True:
            await self.woken.wait()
            self.woken = trio.Event()
            asked, self.due = self.due, None
            if asked is not None:
                self.answer(await self.reload(asked))

    async def reload(self, asked: Asked) -> Answer:
        """Reload, and say what came of it."""
        try:
            prepared = await self.ready(asked)
            self.hand_over(prepared)
            with trio.move_on_after(APPLY_SECONDS_MAX):
                await prepared.done.wait()
            if self.withdraw(prepared):
                raise NotReloaded("the quoting cycle did not come by, for quotes are being pulled: reload again later.")
        except (ConfigError, StartRefused, NotReloaded) as problem:
            sentence = f"nothing was changed: {problem}"
            self.refused(sentence)
            return Answer(asked.number, False, sentence)
        reading, changed = prepared.reading, prepared.new_key
        self.config, self.tree = reading.config, reading.tree
        self.secret = self.secret if changed is None else changed.secret
        key_id = "" if changed is None else changed.key_id
        return Answer(asked.number, True, prepared.sentence, reading.sha256, key_id)

    async def ready(self, asked: Asked) -> Prepared:
        """Read, check and prove, within its time. Raises ConfigError, StartRefused or NotReloaded, and nothing else."""
        try:
            with trio.move_on_after(PREPARE_SECONDS_MAX):
                return await self.prepare(await self.source.read(), asked)
        except (ConfigError, StartRefused, NotReloaded):
            raise
        except (Exception, SystemExit) as error:  # a model of the user's own is code, which may say that too
            # It ends this reload. Nothing has changed yet, so that a run in good order need not end for what was tried.
            raise NotReloaded(f"an error of our own in reading or proving it ({type(error).__name__}).") from error
        raise NotReloaded(f"configuration and key could not be read and proved in {PREPARE_SECONDS_MAX:g} s.")

    async def prepare(self, reading: Reading, asked: Asked) -> Prepared:
        """Compare, check and prove. Raises ConfigError, StartRefused or NotReloaded: nothing is to be changed."""
        changed = changes(self.tree, reading.tree)
        for market_id, one in reading.config.markets.items():
            startup.refuse_small(self.engine.markets[market_id].account.spec, one.ladder.level_size)
        found = await self.source.key(reading.config)
        if asked.key_digest and key.digest(found.secret) != asked.key_digest:
            raise NotReloaded("the key's file was changed while it was read: reload again.")
        another = found if found.secret != self.secret else None
        if another is not None:
            await self.prove(another)
        return Prepared(parameters_of(reading.config, changed, self.engine), changed, reading, another)

    async def prove(self, another: key.Key) -> None:
        """Prove another key. Raises NotReloaded."""
        proof = await self.prover.prove(another.secret)
        for _ in range(PROOFS_MAX - 1):
            if proof.good or proof.refused or proof.wait_seconds is not None:
                break
            await trio.sleep(PROOF_PAUSE_SECONDS)
            proof = await self.prover.prove(another.secret)
        if proof.good:
            return
        name = another.key_id or "in the key's file"
        raise NotReloaded(f"the key {name} is not proved, {proof.sentence}. The one in use stays: do not revoke it.")


def parameters_of(config: Config, changed: Iterable[Change], engine: Engine) -> Parameters:
    """Return what a configuration says of everything that may change.

    A model is made anew only where its name or its table is another: one of the user's own may remember things.
    """
    other_models = {
        market_id
        for market_id in config.markets
        for one in changed
        if one.key == f"market.{market_id}.model" or one.key.startswith(f"market.{market_id}.models.")
    }
    return Parameters(
        cycle=config.cycle,
        budget=config.budget,
        limits=config.limits,
        margin=config.margin,
        markets={
            market_id: MarketParameters(
                fair=one.fair,
                volatility=one.volatility,
                intensity=one.intensity,
                ladder=one.ladder,
                limits=one.limits,
                funding=one.funding,
                model=one.spread_model if market_id in other_models else engine.markets[market_id].pricing.model,
                model_name=one.model,
            )
            for market_id, one in config.markets.items()
        },
    )
