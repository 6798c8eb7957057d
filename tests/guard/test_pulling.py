"""The guard's pulling, step by step and by hand: no socket, no sleep, and a clock that only the pauses move."""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs
import pytest

from maker.guard.exchange import (
    ASKED_SECONDS_MAX,
    BULK,
    CALL_SECONDS_MAX,
    CANCEL_ALL,
    LAST_TRY_SECONDS,
    LATE_SECONDS_MAX,
    ORDERS,
    READ_GAP_SECONDS,
    Call,
    NoAnswer,
    Pulled,
    Refused,
    Steps,
    believed,
    pulling,
)

ANSWER_SECONDS = 0.01  # each call takes so long
EVERYTHING = Call("POST", CANCEL_ALL, {})
READ = Call("GET", ORDERS)
GIVE_UP_SECONDS = 30.0
STEPS_MAX = 1000  # of a pulling that does not end

Answer = bytes | NoAnswer


@attrs.define
class ByHand:
    """Carries steps out in virtual time; `answers` says what comes back."""

    answers: Callable[[Call], Answer]
    away: dict[int, float] = attrs.field(factory=dict)  # seconds that a step takes longer, for nobody is there
    at: float = 1000.0
    steps: list[tuple[float, Call | float]] = attrs.field(factory=list)
    first_after: list[int] = attrs.field(factory=list)  # steps done when `first` was called

    def pull(self, tail_seconds: float = 0.0, give_up_seconds: float = GIVE_UP_SECONDS) -> Pulled:
        def first() -> None:
            self.first_after.append(len(self.steps))

        steps = pulling(tail_seconds, give_up_seconds, first, lambda: self.at, lambda count: b"\x07" * count)
        return self.carry_out(steps)

    def carry_out(self, steps: Steps[Pulled]) -> Pulled:
        try:
            step = next(steps)
            while len(self.steps) < STEPS_MAX:
                self.steps.append((self.at, step))
                self.at += ANSWER_SECONDS if isinstance(step, Call) else step
                self.at += self.away.get(len(self.steps), 0.0)
                answer = self.answers(step) if isinstance(step, Call) else b""
                step = steps.throw(answer) if isinstance(answer, NoAnswer) else steps.send(answer)
        except StopIteration as end:
            came_to: Pulled = end.value
            return came_to
        raise AssertionError("it does not end")

    @property
    def calls(self) -> list[Call]:
        return [step for _, step in self.steps if isinstance(step, Call)]

    def at_of(self, call: Call) -> list[float]:
        """When a call was made, in seconds since the first step."""
        return [at - self.steps[0][0] for at, step in self.steps if step == call]


def healthy(call: Call) -> Answer:
    return b"[]" if call == READ else b"{}"


def rows(*orders: tuple[str, str]) -> bytes:
    return json.dumps([{"marketId": market, "clientOrderId": name} for market, name in orders]).encode()


def scoped_only(resting: set[str], once: dict[str, Answer]) -> Callable[[Call], Answer]:
    """403 to the unscoped cancel-all; a market's is answered by `once`, the first time, and else takes it away."""

    def answer(call: Call) -> Answer:
        if call == READ:
            return rows(*((market, "") for market in sorted(resting)))
        market = (call.body or {}).get("marketId")
        if market is None:
            return Refused("cancel-all", 403, 0.0)
        if market in once:
            return once.pop(market)
        resting.discard(market)
        return b"{}"

    return answer


def test_acknowledged_and_empty() -> None:
    """S3: the unscoped cancel-all, then two reads, a moment apart, and nothing else."""
    hand = ByHand(healthy)
    assert hand.pull() == Pulled(True, 0, 1, "")
    assert [step for _, step in hand.steps] == [EVERYTHING, READ, READ_GAP_SECONDS, READ]
    assert hand.first_after == [1]


def test_the_tail_is_kept_to_the_moment_and_read_only_at_its_end() -> None:
    """S1, H24: an unknown write may land until the tail's end."""
    hand = ByHand(healthy)
    assert hand.pull(tail_seconds=20.0) == Pulled(True, 0, 8, "")
    assert hand.at_of(EVERYTHING) == pytest.approx([0.0, 0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0])
    assert min(hand.at_of(READ)) >= 20.0
    assert hand.first_after == [1]


def test_at_429_the_wait_is_obeyed_and_nothing_else_is_tried() -> None:
    """H26, F26: other routes would only be throttled too."""
    refusals: list[Answer] = [Refused("cancel-all", 429, 0.7)]
    hand = ByHand(lambda call: refusals.pop() if refusals else healthy(call))
    assert hand.pull() == Pulled(True, 0, 1, "cancel-all was answered 429")
    assert [step for _, step in hand.steps] == [EVERYTHING, 0.7, EVERYTHING, READ, READ_GAP_SECONDS, READ]
    assert hand.first_after == [1]


def test_a_429_that_asks_for_more_time_than_there_is_gets_a_last_try() -> None:
    """H26: it may have asked for too much, and whoever gives up has nothing to lose."""
    throttled = [True]
    hand = ByHand(lambda call: Refused("cancel-all", 429, 60.0) if throttled and call == EVERYTHING else healthy(call))
    assert hand.pull() == Pulled(False, None, 0, "cancel-all was answered 429")
    assert hand.at_of(EVERYTHING) == pytest.approx([0.0, GIVE_UP_SECONDS - LAST_TRY_SECONDS])
    assert hand.at - 1000.0 == pytest.approx(GIVE_UP_SECONDS)


def test_no_exchange_sends_the_guard_to_sleep() -> None:
    """H26, S1: a pause of a day, or one in milliseconds that is taken for seconds, is one of a window."""
    refusals: list[Answer] = [Refused("cancel-all", 429, 86_400.0)]
    hand = ByHand(lambda call: refusals.pop() if refusals else healthy(call))
    assert hand.pull(give_up_seconds=600.0).verified_empty
    assert hand.at_of(EVERYTHING) == pytest.approx([0.0, ASKED_SECONDS_MAX], abs=0.1)


def test_other_routes_stop_at_a_429_and_wait_as_it_asks() -> None:
    """H26, F26: the rest of them would only be throttled too, and each would cost another request."""
    resting = {"BTC-PERP", "ETH-PERP", "SOL-PERP"}
    hand = ByHand(scoped_only(resting, {"ETH-PERP": Refused("cancel-all", 429, 7.0)}))
    assert (hand.pull().verified_empty, resting) == (True, set())
    markets = [(call.body or {}).get("marketId", "") if call.method == "POST" else None for call in hand.calls]
    assert markets[:5] == ["", None, "BTC-PERP", "ETH-PERP", ""], "nothing between the 429 and the next round"
    assert next(step for _, step in hand.steps if not isinstance(step, Call)) == 7.0


def test_silence_is_asked_again_and_less_and_less_often() -> None:
    """F8, S1: no other route without a sign of life; given up in time, with the truth about it."""
    hand = ByHand(lambda _call: NoAnswer("silence"))
    assert hand.pull(give_up_seconds=10.0) == Pulled(False, None, 0, "silence")
    assert set(map(str, hand.calls)) == {str(EVERYTHING)}
    pauses = [step for _, step in hand.steps if not isinstance(step, Call)]
    assert pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert hand.at - 1000.0 == pytest.approx(10.0)


@pytest.mark.parametrize("works", ["marketId", "clientOrderId", BULK])
def test_what_rests_after_an_acknowledged_cancel_all_goes_by_other_routes(works: str) -> None:
    """F30: by market, by order, with empty ladders; the first that works ends it."""
    resting = [("BTC-PERP", "mm-1"), ("ETH-PERP", "mm-2")]

    def deaf(call: Call) -> Answer:
        if call == READ:
            return rows(*resting)
        body = call.body or {}
        if works == call.path or (call.path == CANCEL_ALL and works in body):
            key, place = ("clientOrderId", 1) if works == "clientOrderId" else ("marketId", 0)
            resting[:] = [row for row in resting if row[place] != body[key]]
        return b"{}"

    hand = ByHand(deaf)
    seen = hand.pull()
    assert (seen.verified_empty, seen.open_orders) == (True, 0)
    assert seen.trouble == "2 orders rest after an acknowledged cancel-all"
    kinds = [CANCEL_ALL if call == EVERYTHING else next(iter(call.body or {"read": 0})) for call in hand.calls]
    routes = [kind for kind in kinds if kind not in (CANCEL_ALL, "read")]
    per_route = {"marketId": 2, "clientOrderId": 4, BULK: 6}[works]
    assert routes == ["marketId"] * 2 + ["clientOrderId"] * min(2, per_route - 2) + ["marketId"] * max(0, per_route - 4)
    ladders = [call.body for call in hand.calls if call.path == BULK]
    assert len(ladders) == (2 if works == BULK else 0)
    for ladder in ladders:
        assert ladder is not None
        assert (ladder["quoteId"], ladder["cancelAll"], ladder["quotes"]) == ("guard-" + "07" * 8, True, [])
    last_cancel = max(at for at, step in hand.steps if step == EVERYTHING)
    assert [step for at, step in hand.steps if at > last_cancel] == [READ, READ_GAP_SECONDS, READ]


def test_a_refusal_for_good_is_gone_around_and_a_refused_route_too() -> None:
    """F27, F29: 403 on the unscoped one, and 500 once on a market's: all is pulled, and the trouble is told."""
    resting = {"BTC-PERP", "ETH-PERP"}
    hand = ByHand(scoped_only(resting, {"BTC-PERP": Refused("cancel-all", 500, 0.0)}))
    seen = hand.pull()
    assert (seen.verified_empty, resting) == (True, set())
    asked = [call.body["marketId"] for call in hand.calls if call.body]
    assert asked[:2] == ["BTC-PERP", "ETH-PERP"]
    assert seen.trouble == "cancel-all was answered 403"


def test_it_gives_up_in_time_and_says_what_it_last_read() -> None:
    """S1: orders that nothing takes away are counted, not talked away."""
    hand = ByHand(lambda call: rows(("BTC-PERP", "mm-1")) if call == READ else b"{}")
    seen = hand.pull(give_up_seconds=5.0)
    assert (seen.verified_empty, seen.open_orders) == (False, 1)
    assert seen.cancels >= 3
    assert 5.0 <= hand.at - 1000.0 <= 5.0 + 10 * ANSWER_SECONDS


@pytest.mark.parametrize("number", [1, 2, 9, 10])
def test_time_that_was_slept_through_is_no_time_of_trying(number: int) -> None:
    """S1: suspended or stopped for an hour, in a call or a pause, it tries on after waking as long as it would have."""
    whole, slept = (ByHand(lambda _call: NoAnswer("silence"), away) for away in ({}, {number: 3600.0}))
    assert whole.pull() == slept.pull() == Pulled(False, None, 0, "silence")
    assert len(whole.calls) - 2 <= len(slept.calls) <= len(whole.calls)
    in_call = ANSWER_SECONDS if isinstance(slept.steps[number - 1][1], float) else 2 * CALL_SECONDS_MAX
    awake = slept.at - 1000.0 - 3600.0
    assert GIVE_UP_SECONDS - in_call - 2 * LATE_SECONDS_MAX <= awake <= GIVE_UP_SECONDS + ANSWER_SECONDS


def test_what_succeeds_only_after_waking_is_pulled() -> None:
    """The network was gone with the machine: after an hour there is still time for the first call that gets through."""
    hand = ByHand(lambda call: healthy(call) if hand.at > 4000.0 else NoAnswer("silence"), {2: 3600.0})
    assert hand.pull() == Pulled(True, 0, 1, "silence")


@pytest.mark.parametrize("number", [2, 4, 6])
def test_a_tail_that_was_slept_through_is_kept_after_waking(number: int) -> None:
    """S1, H24: it cancels at once, and again as long as what this machine held back may land."""
    hand = ByHand(healthy, {number: 3600.0})
    assert hand.pull(tail_seconds=8.0).verified_empty
    (asked_at, pause), (woken_at, step) = hand.steps[number - 1 : number + 1]
    assert not isinstance(pause, Call)
    assert step == EVERYTHING
    left_seconds = hand.steps[0][0] + 8.0 - asked_at - pause
    last = max(at for at, step in hand.steps if step == EVERYTHING)
    assert last - woken_at == pytest.approx(left_seconds, abs=2 * LATE_SECONDS_MAX)
    assert min(hand.at_of(READ)) >= 3600.0 + 8.0 - LATE_SECONDS_MAX


def test_lateness_that_a_busy_machine_has_is_time_all_the_same() -> None:
    """It gives up in time where each pause ends a moment late and each call takes what it may."""
    hand = ByHand(lambda _call: NoAnswer("silence"), {})
    hand.away = {number: 3.9 if number % 2 else 0.09 for number in range(1, STEPS_MAX)}
    assert not hand.pull().verified_empty
    assert hand.at - 1000.0 <= GIVE_UP_SECONDS + 4.0


@pytest.mark.parametrize(
    ("retry_after", "content", "seconds"),
    [
        ("", b"", 0.0),
        ("3", b"<html>", 3.0),
        ("3", b'{"retryAfterMs": 700}', 0.7),
        ("3", b'{"retryAfterMs": null}', 3.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", b"[]", 0.0),
        ("-1", b'{"retryAfterMs": -5}', 0.0),
        ("nan", b'{"retryAfterMs": NaN}', 0.0),
        ("", b'{"retryAfterMs": 1' + b"0" * 400 + b"}", 0.0),
        ("2", b"[" * 100_000, 2.0),
    ],
    ids=range(9),
)
def test_a_refusal_of_any_make_is_a_refusal(retry_after: str, content: bytes, seconds: float) -> None:
    """F26, F29: whatever stands in it, the guard lives on and knows how long it was asked to wait."""
    with pytest.raises(Refused) as caught:
        believed("cancel-all", 429, retry_after, content)
    assert (caught.value.status, caught.value.wait_seconds) == (429, seconds)


def test_a_2xx_is_its_body() -> None:
    assert believed("cancel-all", 204, "9", b"") == b""
