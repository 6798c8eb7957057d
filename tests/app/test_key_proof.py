"""A key proved by a read, and by a cancel that finds nothing, against the practice exchange."""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing

from maker.app import key_proof
from maker.edge.client import Client
from maker.edge.lane import Lane, NotSent
from maker.wire import ocx
from tests.support.office import URL, Office, open_office
from tests.support.wires import MemoryExchange, Script, answer_bytes, answering

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

TRADE, READ = "ocx_sk_paper_trade", "ocx_sk_paper_read"


def lane(network: MemoryExchange, key: str) -> Lane:
    return Lane("proof", network.dial, "venue", {"x-api-key": key})


async def both(office: Office, key: str) -> tuple[key_proof.Proof, key_proof.Proof]:
    read = await key_proof.by_read(office.client({"x-api-key": key}))
    own = lane(office.network, key)
    cancel = await key_proof.by_cancel(own, "mk-never-used", time.time)
    own.close()
    return read, cancel


async def test_scopes_are_told_apart(autojump_clock: Clock) -> None:
    async with open_office() as office:
        read, cancel = await both(office, TRADE)
        assert (read.good, cancel.good, read.refused, cancel.refused) == (True, True, False, False)
        read, cancel = await both(office, READ)
        assert (read.good, cancel.good, cancel.refused) == (True, False, True)
        assert "INSUFFICIENT_SCOPE" in cancel.sentence
        for proof in await both(office, "ocx_sk_unknown"):
            assert (proof.good, proof.refused) == (False, True)
            assert "KEY_UNKNOWN" in proof.sentence


async def test_a_revoked_key_is_refused(autojump_clock: Clock) -> None:
    async with open_office() as office:
        exchange = office.venue.venue.keeper.place.exchange
        record = exchange.lookup(TRADE)
        assert record is not None
        exchange.revoke_key(record.key_id, office.venue.venue.keeper.now_ms())
        for proof in await both(office, TRADE):
            assert (proof.good, proof.refused) == (False, True)
            assert "KEY_REVOKED" in proof.sentence


async def test_the_proof_changes_nothing(autojump_clock: Clock) -> None:
    """What rests goes on resting; it costs one request of the order path."""
    async with open_office() as office:
        order = {"marketId": "BTC-PERP", "side": "buy", "type": "limit", "price": "59000", "quantity": "0.01"}
        assert (await office.venue.post(ocx.ORDERS, {**order, "clientOrderId": "mk-1"})).status == 200
        exchange = office.venue.venue.keeper.place.exchange
        left = exchange.rate_state(exchange.user_id, office.venue.venue.keeper.now_ms()).remaining
        assert all(proof.good for proof in await both(office, TRADE))
        assert len(exchange.open_orders(exchange.user_id)) == 1
        assert exchange.rate_state(exchange.user_id, office.venue.venue.keeper.now_ms()).remaining == left - 1


async def hang(_stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (hang, "no answer within 5 s"),
        (answering(answer_bytes(503)), "answers"),
        (answering(b"garbage"), "could not be tried"),
        (NotSent("no route"), "could not be tried"),
        (answering(answer_bytes(500, b"<html>")), "answers"),
        (answering(answer_bytes(429, b"{}")), "rate limited"),
    ],
)
async def test_an_exchange_in_trouble_proves_nothing(
    script: Script | Exception, words: str, autojump_clock: Clock
) -> None:
    """Neither good nor refused: try again."""
    async with trio.open_nursery() as nursery:
        network = MemoryExchange(nursery, script)
        client = Client(URL, {"x-api-key": TRADE}, None, dial=network.dial)
        own = lane(network, TRADE)
        for proof in (await key_proof.by_read(client), await key_proof.by_cancel(own, "mk-never-used", time.time)):
            assert (proof.good, proof.refused) == (False, False)
            assert words in proof.sentence
        await client.aclose()
        own.close()
        nursery.cancel_scope.cancel()


async def test_a_read_that_makes_no_sense_proves_nothing(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery:
        network = MemoryExchange(nursery, answering(answer_bytes(200, b'{"hello":1}')))
        client = Client(URL, {"x-api-key": TRADE}, None, dial=network.dial)
        proof = await key_proof.by_read(client)
        assert (proof.good, proof.refused) == (False, False)
        assert "makes no sense" in proof.sentence
        await client.aclose()
        nursery.cancel_scope.cancel()
