"""Whether a key is good, proved by using it: a read of what rests, and a cancel that finds nothing.

For a key that was just made, and for one that is about to take another's place: neither call changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from maker.desk.events import OrderSeen
from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.edge.lane import Lane, NotSent
from maker.errors import OutcomeUnknown, Refused, Unauthorized
from maker.wire import limits, ocx, reads

PROOF_SECONDS_MAX: Final = 5.0  # one call, connecting included


@attrs.frozen
class Proof:
    """What came of it. Neither good nor refused: it is not known, try again."""

    good: bool
    refused: bool  # the exchange said so: no use in trying again from here
    sentence: str
    orders: tuple[OrderSeen, ...] = attrs.field(default=(), repr=False)  # what rests, by a read
    wait_seconds: float | None = None  # asked for by a 429; None: it was none


async def by_read(client: Client) -> Proof:
    """Prove that the key a client carries may read the account from here."""
    answer = None
    with trio.move_on_after(PROOF_SECONDS_MAX):
        try:
            answer = await client.get(ocx.ORDERS)
        except OutcomeUnknown as error:
            return Proof(False, False, f"it could not be tried: {error}")
    proof = judged(answer, "reads the account")
    if proof.good:
        assert answer is not None, "nothing good comes of no answer"
        try:
            return attrs.evolve(proof, orders=reads.open_orders(answer.body))
        except ValueError as error:
            return Proof(False, False, f"what it reads makes no sense: {error}")
    return proof


async def by_cancel(lane: Lane, unused_name: str, wall: Callable[[], float]) -> Proof:
    """Prove that the key a lane carries may cancel, and so trade: cancel what has a clientOrderId that none ever had.

    One request of the order path; whoever counts them must be told, of `wait_seconds` too. `wall` is in unix seconds.
    """
    answer = None
    body = ocx.encode(ocx.CancelAllRequest(client_order_id=unused_name))
    with trio.move_on_after(PROOF_SECONDS_MAX):
        try:
            answer = await lane.call("POST", ocx.CANCEL_ALL, body)
        except (NotSent, OutcomeUnknown) as error:
            return Proof(False, False, f"it could not be tried: {error}")
    proof = judged(answer, "may cancel")
    if answer is not None and answer.status == 429:
        proof = attrs.evolve(proof, wait_seconds=limits.wait_seconds(answer.headers, answer.body, wall()))
    return proof


def judged(answer: Answer | None, what: str) -> Proof:
    """Say what an answer proves; a revoked key is answered 409."""
    if answer is None:
        return Proof(False, False, f"it could not be tried: no answer within {PROOF_SECONDS_MAX:g} s")
    if 200 <= answer.status < 300:
        return Proof(True, False, f"it {what} from here")
    error = ocx.refusal(answer.status, answer.body, 0.0)
    refused = isinstance(error, Unauthorized) or (isinstance(error, Refused) and answer.status == 409)
    return Proof(False, refused, f"the exchange answers {error}")
