"""The matrix: in a healthy world each check says what it saw; each failure, provoked once, fails its own check alone.

What builds on a failed check is not made, says for which, and does not count as passed. All in virtual time.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio
import trio.testing

from maker.errors import ExitCode
from maker.preflight.api_key import CREDENTIALS, EXPIRY, PINS, SCOPE
from maker.preflight.sequence import ALL_SECONDS_MAX
from maker.preflight.setting import EXCHANGE, KEY, LISTING, MARGIN, PRACTICE, TLS
from maker.preflight.verdict import Verdict, exit_code
from maker.wire import ocx
from tests.app.site import reset, silent
from tests.app.test_feeds import stream_event, streaming
from tests.desk.scripted import BTC
from tests.preflight.provoked import (
    ALPHA,
    BETA,
    CLOCK,
    DATED,
    ELSEWHERE,
    FEES,
    FOREIGN,
    GAMMA,
    GRID,
    LOSSES,
    MARKET,
    OF_ACCOUNT,
    OF_EXCHANGE,
    RATE,
    STREAM,
    Change,
    behaving,
    both,
    dated,
    feed_that,
    hung,
    left_by_losses,
    market_with,
    no_such_name,
    only_one_side,
    positions,
    priced_at,
    refuses,
    resting,
    restless,
    set_to,
    stating,
    telling,
    thrice_silent,
    usual,
)
from tests.preflight.scripted import LISTED, a_key, a_scene, balances, examined

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

HEALTHY: Final = {
    EXCHANGE: "takes connections (192.0.2.1)",
    TLS: "None: the exchange is on this machine.",
    LISTING: "Markets listed: 1.",
    CREDENTIALS: "The exchange knows the key ocx_kid_1 ('maker').",
    EXPIRY: "It expires in 199.1 days, on 2024-06-01 00:00 UTC.",
    PINS: "It is pinned to 192.0.2.9; we are seen as 192.0.2.9.",
    SCOPE: "It may trade.",
    CLOCK: "differs from the exchange's by -0.5 s",
    MARKET: "A perpetual, active; its mark is 50000.0.",
    FEES: "Our tier: maker -0.5 bp (a rebate), taker 3 bp.",
    GRID: "Tick 0.1, size step 0.001, at least 0.001. level_step_bps is 75.0 ticks.",
    STREAM: "Its event stream begins with a snapshot of the book.",
    RATE: "The exchange states 120 requests a minute (100 left), budget.requests_per_minute is 120.",
    MARGIN: "Of an equity of 10000.00, 90.0 % are free; with every market at its limit 88.0 % would be.",
    LOSSES: "Nothing is counted from earlier runs.",
    FOREIGN: "None, and none of ours rests.",
    ELSEWHERE: "None in a market that is not configured.",
    ALPHA: "tells BTC-USD 50000.",
    BETA: "tells BTC-USD 50000.",
    GAMMA: "tells BTC-USD 50000.",
}
RATE_FIELDS: Final = ("X-RateLimit-Limit: 120", "X-RateLimit-Remaining: 100", "X-RateLimit-Reset: 30")


async def test_each_line_of_a_healthy_world(autojump_clock: Clock, tmp_path: Path) -> None:
    """Every check passes and says what it saw; only reads were sent, and within a blink."""
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        stating(*RATE_FIELDS)(scene)
        rows = await examined(scene)
        assert {name: row.finding.verdict for name, row in rows.items()} == dict.fromkeys(rows, Verdict.OK)
        said = {name: rows[name].finding.said for name in HEALTHY}
        assert {name: said[name] for name, words in HEALTHY.items() if words not in said[name]} == {}
        assert set(rows) - {"configuration", KEY, PRACTICE} == set(HEALTHY)
        assert exit_code(rows.values()) == ExitCode.CLEAN
        asked = {(seen.method, seen.path) for seen in scene.site.log}
        assert {path for method, path in asked if method != "GET"} == {ocx.PREVIEW}
        assert trio.current_time() < 1.0
        nursery.cancel_scope.cancel()


# -- failures -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Failure:
    """What is provoked, the check that fails, what it says, what is not made for it, and the exit code."""

    name: str
    provoke: Change
    words: tuple[str, ...]
    not_made: frozenset[str] = frozenset()
    code: ExitCode = ExitCode.FAILURES_FOUND


REFUSED, BAD_KEY = ExitCode.REFUSED_TO_START, ExitCode.CREDENTIALS
KEYLESS: Final = frozenset({PINS, SCOPE} | OF_ACCOUNT)
FAILURES: Final = {
    "the name is unknown": Failure(
        EXCHANGE,
        set_to(resolve=no_such_name),
        ("Name or service not known", "exchange.base_url"),
        frozenset({TLS} | OF_EXCHANGE),
        REFUSED,
    ),
    "the name service hangs": Failure(
        EXCHANGE, set_to(resolve=hung), ("It did not end within 10 s.",), frozenset({TLS} | OF_EXCHANGE), REFUSED
    ),
    "nobody listens": Failure(
        EXCHANGE,
        set_to(place={"refuses": "192.0.2.1: [Errno 111] Connection refused"}),
        ("Connection refused", "exchange.base_url"),
        frozenset({TLS} | OF_EXCHANGE),
        REFUSED,
    ),
    "a certificate of nobody we trust": Failure(
        TLS,
        set_to(place={"tls": object(), "distrusts": "192.0.2.1: certificate verify failed"}),
        ("certificate verify failed", "exchange.ca_file"),
        frozenset(OF_EXCHANGE),
        REFUSED,
    ),
    "a website, and no exchange": Failure(
        LISTING,
        usual(ocx.MARKETS, b"<html>"),
        ("The answer makes no sense",),
        frozenset({MARKET, GRID, STREAM, FEES, MARGIN, LOSSES}),
        REFUSED,
    ),
    "listing 503": Failure(
        LISTING,
        usual(ocx.MARKETS, {"error": "UPSTREAM"}, 503),
        ("503 UPSTREAM", "then check again"),
        frozenset({MARKET, GRID, STREAM, FEES, MARGIN, LOSSES}),
        REFUSED,
    ),
    "the key is unknown": Failure(
        CREDENTIALS,
        usual(ocx.BALANCES, {"error": "KEY_UNKNOWN"}, 401),
        ("401 KEY_UNKNOWN", "Is this the key"),
        frozenset({EXPIRY} | KEYLESS),
        BAD_KEY,
    ),
    "the key was revoked": Failure(
        CREDENTIALS,
        usual(ocx.BALANCES, {"error": "Conflict", "code": "KEY_REVOKED"}, 409),
        ("409 KEY_REVOKED", "put a new key in its place"),
        frozenset({EXPIRY} | KEYLESS),
        BAD_KEY,
    ),
    "a 403 that nobody has a name for": Failure(
        CREDENTIALS,
        usual(ocx.BALANCES, {"error": "FORBIDDEN"}, 403),
        ("403 FORBIDDEN",),
        frozenset({EXPIRY} | KEYLESS),
        BAD_KEY,
    ),
    "an address that knows no accounts": Failure(
        CREDENTIALS,
        usual(ocx.BALANCES, {"error": "NOT_FOUND"}, 404),
        ("404 NOT_FOUND", "See whether the exchange works"),
        frozenset({EXPIRY} | KEYLESS),
        REFUSED,
    ),
    "account reads are never answered": Failure(
        CREDENTIALS,
        behaving(ocx.BALANCES, silent),
        ("was not answered within 3",),
        frozenset({EXPIRY} | KEYLESS),
        REFUSED,
    ),
    "account reads are cut off": Failure(
        CREDENTIALS, behaving(ocx.BALANCES, reset), ("/perps/balances",), frozenset({EXPIRY} | KEYLESS), REFUSED
    ),
    "the key has expired": Failure(
        EXPIRY,
        usual(ocx.BALANCES, {"error": "KEY_EXPIRED"}, 401),
        ("has expired", "keys create"),
        KEYLESS,
        BAD_KEY,
    ),
    "the key is pinned elsewhere": Failure(
        PINS,
        usual(ocx.BALANCES, {"error": "IP_NOT_ALLOWED"}, 403),
        ("this machine's address", "Pin the address"),
        frozenset({EXPIRY, SCOPE} | OF_ACCOUNT),
        BAD_KEY,
    ),
    "a key that may only read": Failure(
        SCOPE,
        usual(ocx.API_KEYS, a_key(scope="read")),
        ("may read and not trade", "--scope trade"),
        frozenset(OF_ACCOUNT),
        BAD_KEY,
    ),
    "a key that may not even read": Failure(
        SCOPE,
        usual(ocx.BALANCES, {"error": "INSUFFICIENT_SCOPE"}, 403),
        ("cannot quote", "keys create"),
        frozenset({EXPIRY, PINS} | OF_ACCOUNT),
        BAD_KEY,
    ),
    "our clock is ahead": Failure(CLOCK, dated(7.0), ("ours differs by +6.5 s", "time service")),
    "our clock is behind": Failure(CLOCK, dated(-600.0), ("ours differs by -600.5 s", "time service")),
    "no answer to tell the time by": Failure(CLOCK, thrice_silent, ("was not answered within 3",)),
    "no such market": Failure(
        MARKET,
        usual(ocx.MARKETS, [{**LISTED, "id": "ETH-PERP"}]),
        ("lists no such market", "It lists ETH-PERP."),
        frozenset({GRID, STREAM, FEES, MARGIN, LOSSES}),
        REFUSED,
    ),
    "a market that is halted": Failure(
        MARKET,
        usual(ocx.MARKETS, [{**LISTED, "tradingStatus": "halted"}]),
        ("it is halted", "Try again later."),
        frozenset({GRID, STREAM, FEES, MARGIN, LOSSES}),
        REFUSED,
    ),
    "a ramp without room for a ladder": Failure(
        GRID,
        market_with("limits", position_limit=Decimal("0.005")),
        ("position_limit 0.005 times limits.ramp_ratio 0.1 is below 0.002", "Raise it or the ratio."),
        frozenset({STREAM, MARGIN, LOSSES}),
        REFUSED,
    ),
    "a market of another kind": Failure(
        MARKET,
        usual(ocx.MARKETS, [{**LISTED, "marketType": "spot"}]),
        ("of type 'spot'", "Remove it."),
        frozenset({GRID, STREAM, FEES, MARGIN, LOSSES}),
        REFUSED,
    ),
    "no tick size": Failure(
        GRID,
        usual(ocx.MARKETS, [{**LISTED, "tickSize": None}]),
        ("neither tickSize nor decimals",),
        frozenset({STREAM, MARGIN, LOSSES}),
        REFUSED,
    ),
    "levels below the minimum": Failure(
        GRID,
        usual(ocx.MARKETS, [{**LISTED, "minQuantity": "0.5"}]),
        ("below the exchange's minimum", "Raise it."),
        frozenset({STREAM, MARGIN, LOSSES}),
        REFUSED,
    ),
    "orders that may be worth too little": Failure(
        GRID,
        market_with("limits", order_value_max=Decimal(49)),
        ("least order is worth 50.00 at the mark, order_value_max is 49: nothing is ever sent. Raise it.",),
        frozenset({STREAM, MARGIN, LOSSES}),
    ),
    "a burst of less than a level": Failure(
        GRID,
        market_with("limits", burst_value_max=Decimal(1900), burst_freeze_seconds=0.0),
        (
            "both sides, is worth 11500 at the mark, burst_value_max is 1900: a market that fills one level would stop "
            "us for a person. Raise it to several ladders.",
        ),
        frozenset({STREAM, MARGIN, LOSSES}),
    ),
    "a burst of less than a ladder": Failure(
        GRID,
        market_with("limits", burst_value_max=Decimal(11499)),
        ("a market that sweeps it once would stop its quotes for 20 s. Raise it",),
        frozenset({STREAM, MARGIN, LOSSES}),
    ),
    "a stream that wants a session": Failure(
        STREAM, usual(ocx.STREAM_EVENTS, {"error": "NO"}, 401), ("event stream of BTC-PERP was refused",), code=BAD_KEY
    ),
    "a stream that never begins": Failure(
        STREAM, behaving(ocx.STREAM_EVENTS, streaming()), ("Silent: neither data nor heartbeat",)
    ),
    "a stream of heartbeats": Failure(
        STREAM, behaving(ocx.STREAM_EVENTS, streaming(b":heartbeat\n\n")), ("within 10 s",)
    ),
    "a stream that makes no sense": Failure(
        STREAM,
        behaving(ocx.STREAM_EVENTS, streaming(stream_event("delta", 1, marketId=BTC))),
        ("Gap: delta 1 came before the snapshot.",),
    ),
    "fees are forbidden": Failure(FEES, usual(ocx.FEES, {"error": "NO"}, 403), ("403 NO",), code=BAD_KEY),
    "a smaller tier than configured": Failure(
        RATE,
        stating("X-RateLimit-Limit: 60", "X-RateLimit-Remaining: 60"),
        ("states 60 requests", "Write 60"),
    ),
    "margin is short already": Failure(
        MARGIN,
        usual(ocx.BALANCES, balances(available="3000")),
        ("30.0 % are free (sizes shrink)", "Deposit"),
        frozenset({LOSSES}),
    ),
    "margin does not carry the limits": Failure(
        MARGIN,
        usual(ocx.BALANCES, balances(balance="1400", equity="1400", available="1400")),
        ("at its limit 14.3 % would be (only what reduces a position is quoted)", "lower position_limit"),
        frozenset({LOSSES}),
    ),
    "no money": Failure(
        MARGIN,
        usual(ocx.BALANCES, balances(balance="0", equity="0", available="0")),
        ("no equity", "Deposit"),
        frozenset({LOSSES}),
    ),
    "positions that never hold still": Failure(
        MARGIN, behaving(ocx.POSITIONS, restless), ("It did not end within 10 s.",), frozenset({LOSSES}), REFUSED
    ),
    "a loss limit is used up": Failure(
        LOSSES,
        left_by_losses("2500"),
        ("2500.00 below its best, drawdown_max is 2000", "`clear`"),
    ),
    "losses cannot be read": Failure(LOSSES, left_by_losses("much"), ("cannot be read", "`clear`"), code=REFUSED),
    "somebody else's order": Failure(
        FOREIGN, resting("other-1"), ("1 orders on the account are not ours", "sub-account of its own"), code=REFUSED
    ),
    "an order without a name": Failure(FOREIGN, resting(None), ("are not ours (BTC-PERP o1)",), code=REFUSED),
    "a position that no limit counts": Failure(
        ELSEWHERE,
        positions({"marketId": "ETH-PERP", "quantity": "100"}, {"marketId": BTC, "quantity": "0.01"}),
        ("positions in markets that are not configured (ETH-PERP 100): no limit", "Configure the market, close"),
        code=REFUSED,
    ),
    "a feed that refuses": Failure(BETA, feed_that(refuses), ("No price of BTC-USD", "no such symbol", "sources.beta")),
    "a feed that hangs": Failure(BETA, feed_that(hung), ("nothing of it within 10 s",)),
    "a feed of another market": Failure(
        BETA,
        feed_that(telling("3002.95", "3002.96")),
        (
            "BTC-USD is 3002.955, the index of BTC-PERP 50000.0: 9399.4 bp apart, basis_bps_max is 60.",
            "Check symbol in market.BTC-PERP.sources.beta",
        ),
    ),
    "a feed a little too far off": Failure(
        BETA, feed_that(telling("50300", "50301")), ("BTC-USD is 50300.5", "60.1 bp apart, basis_bps_max is 60.")
    ),
    "a feed of another market, and an index of nothing": Failure(
        BETA,
        both(feed_that(telling("3002.95", "3002.96")), usual(ocx.MARKET_STATS, priced_at("50000", "0"), 200, DATED)),
        ("BTC-USD is 3002.955, the mark of BTC-PERP 50000.0: 9399.4 bp apart",),
    ),
    "a feed whose sides are swapped": Failure(
        BETA, feed_that(telling("50001", "49999")), ("No price of BTC-USD from", "bid is above ask.")
    ),
    "a feed with one side": Failure(BETA, feed_that(only_one_side), ("No price of BTC-USD",)),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_each_failure_fails_its_own_check(what: str, autojump_clock: Clock, tmp_path: Path) -> None:
    """The one check fails, with what to do; what builds on it is not made; every other passes; the code is run's."""
    expected = FAILURES[what]
    async with trio.open_nursery() as nursery:
        scene = a_scene(nursery, tmp_path)
        expected.provoke(scene)
        rows = await examined(scene)
        found = rows[expected.name].finding
        assert found.verdict is Verdict.FAILED, rows[expected.name].line
        assert found.fix
        for words in expected.words:
            assert words in scene.text(expected.name), scene.text(expected.name)
        others = {name: row.finding.verdict for name, row in rows.items() if name != expected.name}
        assert {name for name, verdict in others.items() if verdict is Verdict.NOT_MADE} == expected.not_made
        assert [name for name, verdict in others.items() if verdict is Verdict.FAILED] == []
        assert exit_code(rows.values()) == expected.code
        for name in expected.not_made:
            assert rows[name].finding.said.startswith("Not made: ")
        changing = {seen.path for seen in scene.site.log if seen.method != "GET"}
        assert changing <= {ocx.PREVIEW}
        assert trio.current_time() <= ALL_SECONDS_MAX
        nursery.cancel_scope.cancel()
