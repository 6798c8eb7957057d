"""Signed in and out against the practice exchange, which checks signatures by arithmetic of its own."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

import pytest
import trio
import trio.testing

from maker.edge import api_keys, session
from maker.edge.answer import Answer
from maker.edge.client import Client
from maker.edge.session import Session, Standby, Terms
from maker.errors import ConfigError, OutcomeUnknown, Refused, StreamBroken, Throttled, Unauthorized
from maker.paper.switches import Switches
from maker.paper.venue import VenueSettings
from maker.wire import access, ocx, siwe
from tests.support.office import TERMS, URL, Office, open_office, wall
from tests.support.wallets import ADDRESS, KEY, OTHER_ADDRESS, OTHER_KEY, HeldWallet
from tests.support.wires import MemoryExchange, Script, answer_bytes, answering

PAPER_KEY = {"x-api-key": "ocx_sk_paper_trade"}
READS = [ocx.POSITIONS, ocx.BALANCES, ocx.TRADES]
TRADE = ocx.ApiKeyRequest(name="bot", scope="trade", allowed_ips=[], expires_in_days=30)


async def who(office: Office, made: Session) -> int:
    """The status that a read gets with this session's token."""
    assert made.current is not None
    return (await office.client({"authorization": f"Bearer {made.current.token}"}).get(ocx.ORDERS)).status


async def test_a_wallet_signs_in_makes_a_key_and_signs_out(autojump_clock: trio.testing.MockClock) -> None:
    """The whole of it: the key works for orders, is listed, is revoked; the session is gone afterwards."""
    async with open_office() as office:
        made = office.session()
        with pytest.raises(Unauthorized, match="nobody is signed in"):
            await api_keys.listed(made)
        await made.sign_in()
        assert made.address == ADDRESS
        key = await api_keys.created(made, TRADE)
        bot = office.client({"x-api-key": key.secret})
        assert (await bot.get(ocx.ORDERS)).status == 200
        (row,) = await api_keys.listed(made)
        assert (row.key_id, row.scope, row.status, row.allowed_ips) == (key.key_id, "trade", "active", ())
        assert row.expires_at == pytest.approx(wall() + 30 * 86_400, abs=1)
        await api_keys.revoked(made, key.key_id)
        assert (await api_keys.listed(made))[0].status == "revoked"
        assert (await bot.get(ocx.ORDERS)).status == 409
        with pytest.raises(Refused, match="KEY_NOT_FOUND"):
            await api_keys.revoked(made, "ocx_kid_of_nobody")
        token = made.current.token if made.current is not None else ""
        assert await made.sign_out() is True
        assert made.current is None
        assert (await office.client({"authorization": f"Bearer {token}"}).get(ocx.ORDERS)).status == 401


async def test_the_message_is_what_was_promised(autojump_clock: trio.testing.MockClock) -> None:
    """Domain, URI, chain and expiry stand in it; times are the exchange's although our clock is an hour wrong."""
    async with open_office() as office:
        texts: list[str] = []

        class Listening(HeldWallet):
            def sign(self, text: str) -> str:
                texts.append(text)
                return HeldWallet.sign(self, text)

        await office.session(Listening(), wall=lambda: wall() + 3600.0).sign_in()
        message = siwe.parse(texts[0])
        assert (message.domain, message.uri, message.chain_id, message.address) == ("venue", URL, 1, ADDRESS)
        issued = siwe.moment_ms(message.issued_at) / 1000
        assert issued == pytest.approx(wall(), abs=1)
        assert message.expiration_time is not None
        assert siwe.moment_ms(message.expiration_time) / 1000 - issued == session.MESSAGE_SECONDS


async def test_two_wallets_are_two_accounts_and_one_wallet_is_one(autojump_clock: trio.testing.MockClock) -> None:
    async with open_office() as office:
        exchange = office.venue.venue.keeper.place.exchange
        for wallet in (HeldWallet(), HeldWallet(OTHER_KEY), HeldWallet()):
            await office.session(wallet).sign_in()
        one, other = exchange.wallet_user(ADDRESS), exchange.wallet_user(OTHER_ADDRESS)
        assert len({one, other, exchange.user_id}) == 3
        assert exchange.user_ids() == (exchange.user_id, one, other)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (Terms("evil.test", URL, 1), "INVALID_DOMAIN"),
        (Terms("venue", "http://evil.test", 1), "INVALID_URI"),
        (Terms("venue", URL, 5), "INVALID_CHAIN"),
    ],
)
async def test_a_message_for_somewhere_else_is_refused(
    terms: Terms, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_office() as office:
        made = office.session(terms=terms)
        with pytest.raises(Unauthorized, match=code):
            await made.sign_in()
        assert made.current is None


async def test_a_signature_by_another_wallet_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with open_office() as office:

        class Posing(HeldWallet):
            def address(self) -> str:
                return OTHER_ADDRESS

        with pytest.raises(Unauthorized, match="INVALID_SIGNATURE"):
            await office.session(Posing()).sign_in()


async def test_it_is_renewed_at_half_its_life(autojump_clock: trio.testing.MockClock) -> None:
    """Not before; what was begun with the old one goes on until it ends; the end revokes both."""
    async with open_office(VenueSettings(preset="still", session_seconds=400)) as office:
        wallet = HeldWallet()
        made = office.session(wallet)
        await made.sign_in()
        first = made.current
        told: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.keep, told.append)
            await trio.sleep(195)
            assert (made.current, wallet.signatures) == (first, 1)
            await trio.sleep(40)
            assert (wallet.signatures, told) == (2, [])
            assert made.current != first
            assert await who(office, made) == 200
            assert first is not None
            old = office.client({"authorization": f"Bearer {first.token}"})
            assert (await old.get(ocx.ORDERS)).status == 200
            assert await made.sign_out() is True
            assert (await old.get(ocx.ORDERS)).status == 401
            await trio.sleep(500)
            assert wallet.signatures == 2
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("ahead", [-86_400.0, 86_400.0])
async def test_a_clock_of_ours_that_is_wrong_by_a_day_renews_in_time_all_the_same(
    ahead: float, autojump_clock: trio.testing.MockClock
) -> None:
    """By how long the session lasts on the exchange's clock: neither in a spin nor too late."""
    async with open_office(VenueSettings(preset="still", session_seconds=400)) as office:
        wallet = HeldWallet()
        made = office.session(wallet, wall=lambda: wall() + ahead)
        await made.sign_in()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.keep, list[str]().append)
            await trio.sleep(195)
            assert wallet.signatures == 1
            await trio.sleep(15)
            assert wallet.signatures == 2
            nursery.cancel_scope.cancel()


async def test_a_session_that_has_ended_already_is_not_renewed_in_a_spin(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        cookie = "Set-Cookie: astra_session=token; Max-Age=0"
        made = await scripted(nursery, *[NONCE, answer_bytes(200, SIGNED, cookie)] * 20)
        made.wall = trio.current_time
        wallet = made.wallet
        assert isinstance(wallet, HeldWallet)
        await made.sign_in()
        nursery.start_soon(made.keep, list[str]().append)
        await trio.sleep(31)
        assert 2 <= wallet.signatures <= 1 + 31 / session.RENEW_SECONDS_MIN
        nursery.cancel_scope.cancel()


async def test_a_renewal_that_fails_is_told_and_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    """Half of what is left later: well before the end, and never in a spin."""
    async with open_office(VenueSettings(preset="still", session_seconds=400)) as office:

        class Moody(HeldWallet):
            broken = False

            def sign(self, text: str) -> str:
                if self.broken:
                    raise ConfigError("exchange.wallet_file", "cannot be read.", "Look.")
                return HeldWallet.sign(self, text)

        wallet = Moody()
        made = office.session(wallet)
        await made.sign_in()
        told: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.keep, told.append)
            wallet.broken = True
            await trio.sleep(235)
            assert len(told) == 1
            assert "could not be renewed" in told[0]
            wallet.broken = False
            await trio.sleep(125)
            assert wallet.signatures == 2
            assert await who(office, made) == 200
            nursery.cancel_scope.cancel()


# -- answers that make no sense -----------------------------------------------------------------------------------


async def scripted(nursery: trio.Nursery, *answers: bytes) -> Session:
    script: Script = answering(*answers)
    return Session(Client(URL, {}, None, dial=MemoryExchange(nursery, script).dial), HeldWallet(), TERMS)


NONCE = answer_bytes(200, b'{"nonce":"abcdefgh"}')
SIGNED = b'{"userId":"u","walletAddress":"w"}'


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([answer_bytes(200, b"[]")], OutcomeUnknown),
        ([answer_bytes(200, b'{"nonce":"a b"}')], OutcomeUnknown),
        ([answer_bytes(503, b"x")], OutcomeUnknown),
        ([answer_bytes(400, b'{"error":"INVALID_ADDRESS"}')], Refused),
        ([answer_bytes(429, b"{}", "Retry-After: 3")], Throttled),
        ([NONCE, answer_bytes(200, SIGNED)], OutcomeUnknown),
        ([NONCE, answer_bytes(200, SIGNED, "Set-Cookie: other=x")], OutcomeUnknown),
        ([NONCE, answer_bytes(401, b'{"error":"INVALID_SIGNATURE"}')], Unauthorized),
    ],
)
async def test_each_answer_has_its_error(answers: list[bytes], error: type[Exception]) -> None:
    async with trio.open_nursery() as nursery:
        made = await scripted(nursery, *answers)
        with pytest.raises(error):
            await made.sign_in()
        assert made.current is None
        await made.client.aclose()
        nursery.cancel_scope.cancel()


async def test_an_answer_that_does_not_come(autojump_clock: trio.testing.MockClock) -> None:
    async def hang(_stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        made = Session(Client(URL, {}, None, dial=MemoryExchange(nursery, hang).dial), HeldWallet(), TERMS)
        with pytest.raises(OutcomeUnknown, match="not answered within 5 s"):
            await made.sign_in()
        assert trio.current_time() == pytest.approx(session.CALL_SECONDS_MAX)
        nursery.cancel_scope.cancel()


async def test_the_end_signs_out_also_while_everything_unwinds(autojump_clock: trio.testing.MockClock) -> None:
    """Behind a shield: whoever is cancelled leaves no session behind."""
    async with open_office() as office:
        made = office.session()
        await made.sign_in()
        token = made.current.token if made.current is not None else ""
        confirmed = False
        with trio.CancelScope() as scope:
            scope.cancel()
            confirmed = await made.end()
        assert confirmed
        assert (await office.client({"authorization": f"Bearer {token}"}).get(ocx.ORDERS)).status == 401


async def test_the_end_waits_for_nobody_for_long(autojump_clock: trio.testing.MockClock) -> None:
    async def hang(_stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        made = Session(Client(URL, {}, None, dial=MemoryExchange(nursery, hang).dial), HeldWallet(), TERMS)
        made.begun = [access.Session("token", 1e12)]
        assert await made.end() is False
        assert trio.current_time() == pytest.approx(session.END_SECONDS_MAX)
        nursery.cancel_scope.cancel()


async def test_signing_out_of_an_exchange_that_is_away_claims_nothing() -> None:
    async with trio.open_nursery() as nursery:
        cookie = "Set-Cookie: astra_session=token; Path=/"
        made = await scripted(nursery, NONCE, answer_bytes(200, SIGNED, cookie), answer_bytes(503))
        await made.sign_in()
        assert await made.sign_out() is False
        assert (made.current, made.begun) == (None, [])
        await made.client.aclose()
        nursery.cancel_scope.cancel()


async def test_nothing_secret_is_shown(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the wallet's key, not the token, not a new secret: by repr, in errors, in libraries' logs."""
    caplog.set_level(logging.DEBUG)
    async with open_office() as office:
        made = office.session()
        await made.sign_in()
        key = await api_keys.created(made, TRADE)
        shown = [repr(made), repr(made.current), repr(key), repr(Standby(made)), str(made)]
        try:
            await api_keys.revoked(made, "ocx_kid_of_nobody")
        except Refused as error:
            shown += ["".join(traceback.format_exception(error))]
        shown += [record.getMessage() for record in caplog.records]
        assert made.current is not None
        assert made.current.token.encode() in office.sent
        for secret in (KEY[:16], made.current.token, key.secret):
            assert not any(secret in one for one in shown)
        assert KEY[:16].encode() not in office.sent


def test_a_new_keys_answer_does_not_show_its_secret() -> None:
    body = json.dumps({"id": "ocx_kid_1", "secret": "ocx_sk_canary"}).encode()
    assert "canary" not in repr(ocx.decode(body, ocx.ApiKeyCreated))


# -- reads that the key is refused --------------------------------------------------------------------------------


def settings(wanted: str) -> VenueSettings:
    return VenueSettings(preset="still", switches=Switches(session_wanted=wanted))


async def standing_by(office: Office, wallet: HeldWallet | None = None) -> tuple[Client, Standby, list[str]]:
    told: list[str] = []
    standby = Standby(office.session(wallet), told.append)
    return office.client(PAPER_KEY, standby), standby, told


async def test_the_key_is_tried_first_and_only_what_it_is_refused_goes_by_the_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_office(settings("reads")) as office:
        wallet = HeldWallet()
        client, standby, told = await standing_by(office, wallet)
        assert (await client.get(ocx.ORDERS)).status == 200
        assert wallet.signatures == 0
        for path in READS * 2:
            assert (await client.get(path)).status == 200
        assert wallet.signatures == 1
        assert standby.paths == set(READS)
        assert len(told) == len(READS)
        assert (await client.get(ocx.ORDERS)).status == 200
        last = bytes(office.network.connections[0].sent).rpartition(b"GET /perps/orders ")[2]
        assert b"x-api-key" in last
        assert b"Bearer" not in last
        token = bytes(office.sent).rpartition(b"GET /perps/trades ")[2].partition(b"\r\n\r\n")[0]
        assert b"Bearer" in token
        assert b"x-api-key" not in token


async def test_a_stream_that_the_key_is_refused_goes_by_the_session(autojump_clock: trio.testing.MockClock) -> None:
    """And ends, with a reason, when the session does."""
    async with open_office(settings("reads")) as office:
        client, standby, _ = await standing_by(office)
        async with client.stream(ocx.STREAM_EVENTS, {"marketId": "BTC-PERP"}) as events:
            assert events.status == 200
            assert b"snapshot" in await events.receive_some()
            await standby.session.sign_out()
            with trio.fail_after(30):
                assert b"SESSION_ENDED" in await events.receive_some()
        assert office.network.open_connections <= 3


async def test_a_preview_that_is_refused_signs_nobody_in(autojump_clock: trio.testing.MockClock) -> None:
    """Its answer is worth less than that, and quoting goes on without."""
    async with open_office() as office:
        wallet = HeldWallet()
        client = office.client({"x-api-key": "ocx_sk_unknown"}, Standby(office.session(wallet)))
        assert (await client.ask(ocx.PREVIEW, b"{}")).status == 401
        assert wallet.signatures == 0


async def test_without_a_session_a_refusal_is_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with open_office(settings("reads")) as office:
        client = office.client(PAPER_KEY)
        assert (await client.get(ocx.POSITIONS)).status == 403
        async with client.stream(ocx.STREAM_EVENTS, {"marketId": "BTC-PERP"}) as events:
            assert events.status == 403


async def test_a_session_that_ended_meanwhile_is_begun_again_but_not_in_a_spin(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_office(settings("reads")) as office:
        wallet = HeldWallet()
        client, standby, _ = await standing_by(office, wallet)
        assert (await client.get(ocx.POSITIONS)).status == 200
        office.venue.venue.routes.office.desk.sessions.clear()
        assert (await client.get(ocx.POSITIONS)).status == 401
        assert wallet.signatures == 1
        await trio.sleep(session.AGAIN_SECONDS_MIN)
        assert (await client.get(ocx.POSITIONS)).status == 200
        assert wallet.signatures == 2
        assert standby.session.current is not None


async def test_many_reads_at_once_sign_in_once(autojump_clock: trio.testing.MockClock) -> None:
    async with open_office(settings("reads")) as office:
        wallet = HeldWallet()
        client, _, _ = await standing_by(office, wallet)
        statuses: list[int] = []

        async def read(path: str) -> None:
            statuses.append((await client.get(path)).status)

        async with trio.open_nursery() as nursery:
            for path in READS * 3:
                nursery.start_soon(read, path)
        assert statuses == [200] * 3 * len(READS)
        assert wallet.signatures == 1


async def test_several_streams_at_once_sign_in_once(autojump_clock: trio.testing.MockClock) -> None:
    """One a market, all of one path, all refused before the first has signed in."""
    async with open_office(settings("reads")) as office:
        wallet = HeldWallet()
        client, _, _ = await standing_by(office, wallet)
        statuses: list[int] = []

        async def follow(market_id: str) -> None:
            async with client.stream(ocx.STREAM_EVENTS, {"marketId": market_id}) as events:
                statuses.append(events.status)

        async with trio.open_nursery() as nursery:
            for market_id in ("BTC-PERP", "ETH-PERP", "SOL-PERP"):
                nursery.start_soon(follow, market_id)
        assert statuses == [200] * 3
        assert wallet.signatures == 1


@pytest.mark.parametrize(
    ("broken", "error", "stream_error"),
    [
        (ConfigError("wallet", "cannot be read.", "Look."), Unauthorized, Unauthorized),
        (Refused(400, "INVALID_ADDRESS", ""), OutcomeUnknown, StreamBroken),
        (Throttled(3.0), OutcomeUnknown, StreamBroken),
        (OutcomeUnknown("lost"), OutcomeUnknown, StreamBroken),
        (Unauthorized(401, "INVALID_SIGNATURE", ""), Unauthorized, Unauthorized),
    ],
)
async def test_a_sign_in_that_fails_is_what_the_readers_expect(
    broken: Exception, error: type[Exception], stream_error: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """Nobody may sign in: an Unauthorized, which ends a run. Nobody answers: as a read without an answer."""
    async with open_office(settings("reads")) as office:

        class Broken(HeldWallet):
            def address(self) -> str:
                raise broken

        client, _, _ = await standing_by(office, Broken())
        with pytest.raises(error):
            await client.get(ocx.POSITIONS)
        await trio.sleep(session.AGAIN_SECONDS_MIN)
        with pytest.raises(stream_error):
            async with client.stream(ocx.STREAM_EVENTS, {"marketId": "BTC-PERP"}):
                pytest.fail("it was opened")


async def test_a_sign_in_that_a_deadline_cut_short_is_tried_by_the_next_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A read's deadline is over before a slow exchange has signed us in: that is no refusal, and ends no run."""
    async with open_office(settings("reads")) as office:
        client, standby, _ = await standing_by(office)
        call, seconds = standby.session.client.administer, [4.0, 0.0, 0.0]

        async def slow(*words: Any) -> Answer:
            await trio.sleep(seconds.pop(0))
            return await call(*words)

        standby.session.client.administer = slow  # type: ignore[method-assign, assignment]
        with trio.move_on_after(3.0) as deadline:
            await client.get(ocx.POSITIONS)
        assert deadline.cancelled_caught
        assert (await client.get(ocx.POSITIONS)).status == 200


async def test_a_sign_in_that_is_put_off_is_no_refusal_meanwhile(autojump_clock: trio.testing.MockClock) -> None:
    """429 to a sign-in: until it is tried again, reads have no answer, and nobody asks the exchange."""
    async with open_office(settings("reads")) as office:

        class PutOff(HeldWallet):
            tries = 0

            def address(self) -> str:
                self.tries += 1
                if self.tries == 1:
                    raise Throttled(3.0)
                return super().address()

        wallet = PutOff()
        client, _, _ = await standing_by(office, wallet)
        for _ in range(3):
            with pytest.raises(OutcomeUnknown, match="rate limited"):
                await client.get(ocx.POSITIONS)
        assert wallet.tries == 1
        await trio.sleep(session.AGAIN_SECONDS_MIN)
        assert (await client.get(ocx.POSITIONS)).status == 200


@pytest.mark.parametrize("path", [ocx.ORDERS, ocx.QUOTES_BULK, ocx.CANCEL_ALL, ocx.API_KEYS + "/a/b", "/auth/nonce/x"])
async def test_no_order_goes_by_the_office(path: str) -> None:
    async with trio.open_nursery() as nursery:
        client: Any = Client(URL, {}, None, dial=MemoryExchange(nursery, answering(answer_bytes())).dial)
        with pytest.raises(AssertionError, match="no business of a session"):
            await client.administer("POST", path, b"{}", "token")
        nursery.cancel_scope.cancel()
