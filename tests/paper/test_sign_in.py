"""The practice exchange's sign-in and key desk: each refusal, limits of memory, restarts, streams, the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from maker.edge.session import iso
from maker.paper import sign_in
from maker.paper.deeds import Deed, do
from maker.paper.marketplace import Marketplace
from maker.paper.sign_in import NONCE_SECONDS, SignInDesk
from maker.paper.spelling import Refused
from maker.paper.state import USERS_MAX, ExchangeSettings
from maker.paper.state_file import replay
from maker.paper.switches import Switches
from maker.paper.venue import VenueSettings
from maker.wire import ocx
from maker.wire.siwe import SignIn
from tests.golden.transcript import START_MS
from tests.paper.venue_kit import VenueClient, known_entropy, record_lines, running_venue
from tests.support.wallets import ADDRESS, KEY, OTHER_ADDRESS, OTHER_KEY, message, signed

NOW = START_MS
SECOND = 1000


def desk(seconds: int = 600) -> SignInDesk:
    return SignInDesk(known_entropy(), seconds, 1)


def asked(nonce: str, **more: Any) -> SignIn:
    """A message issued now, good for five minutes."""
    times = {"issued_at": iso(NOW / 1000), "expires_at": iso(NOW / 1000 + 300)}
    return message(nonce, **{**times, **more})


def refused(code: str, status: int, call: Callable[[], object]) -> None:
    with pytest.raises(Refused) as caught:
        call()
    assert (caught.value.code, caught.value.status) == (code, status)


# -- the desk -----------------------------------------------------------------------------------------------------


def test_a_good_message_proves_its_address() -> None:
    at = desk()
    text = asked(at.issue(ADDRESS, NOW)).text()
    assert at.check(text, signed(text), "venue", NOW) == ADDRESS


def test_an_address_may_be_asked_for_in_small_letters_but_is_signed_in_capitals() -> None:
    at = desk()
    text = asked(at.issue(ADDRESS.lower(), NOW)).text()
    assert at.check(text, signed(text), "venue", NOW) == ADDRESS
    text = asked(at.issue(ADDRESS, NOW), address=ADDRESS.lower()).text()
    refused("INVALID_SIGNATURE", 401, lambda: at.check(text, signed(text), "venue", NOW))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"domain": "evil.test"}, "INVALID_DOMAIN"),
        ({"uri": "http://evil.test/venue"}, "INVALID_URI"),
        ({"uri": "urn:venue"}, "INVALID_URI"),
        ({"chain_id": 5}, "INVALID_CHAIN"),
        ({"expires_at": None}, "MESSAGE_EXPIRED"),
        ({"expires_at": iso(NOW / 1000)}, "MESSAGE_EXPIRED"),
        ({"issued_at": iso(NOW / 1000 + 61)}, "MESSAGE_EXPIRED"),
        ({"not_before": iso(NOW / 1000 + 1)}, "MESSAGE_EXPIRED"),
        ({"address": OTHER_ADDRESS}, "INVALID_NONCE"),
    ],
)
def test_each_field_counts(more: dict[str, Any], code: str) -> None:
    at = desk()
    text = asked(at.issue(ADDRESS, NOW), **more).text()
    refused(code, 401, lambda: at.check(text, signed(text), "venue", NOW))


def test_the_signature_must_be_of_this_very_text_by_this_very_wallet() -> None:
    for spoil in (
        lambda text, signature: (text, signed(text, OTHER_KEY)),
        lambda text, signature: (text, signed(text + " ")),
        lambda text, signature: (text, signature[:-2] + ("1c" if signature.endswith("1b") else "1b")),
        lambda text, signature: (text, ""),
    ):
        at = desk()
        text = asked(at.issue(ADDRESS, NOW)).text()
        spoilt, signature = spoil(text, signed(text))
        refused("INVALID_SIGNATURE", 401, partial(at.check, spoilt, signature, "venue", NOW))


def test_a_nonce_is_good_once_and_for_five_minutes() -> None:
    """Once even where the first use failed; not at all if it was never issued."""
    at = desk()
    text = asked(at.issue(ADDRESS, NOW)).text()
    refused("INVALID_SIGNATURE", 401, lambda: at.check(text, signed(text, OTHER_KEY), "venue", NOW))
    refused("INVALID_NONCE", 401, lambda: at.check(text, signed(text), "venue", NOW))
    late = NOW + NONCE_SECONDS * SECOND
    text = asked(at.issue(ADDRESS, NOW), expires_at=iso(NOW / 1000 + 900)).text()
    refused("INVALID_NONCE", 401, lambda: at.check(text, signed(text), "venue", late))
    text = asked(at.issue(ADDRESS, NOW), expires_at=iso(NOW / 1000 + 900)).text()
    assert at.check(text, signed(text), "venue", late - 1) == ADDRESS
    text = asked("neverissued").text()
    refused("INVALID_NONCE", 401, lambda: at.check(text, signed(text), "venue", NOW))
    refused("INVALID_MESSAGE", 400, lambda: at.check("words", "0x", "venue", NOW))


@pytest.mark.parametrize("address", ["", "0x12", ADDRESS[2:], ADDRESS + "0", "0x" + "g" * 40])
def test_no_nonce_for_what_is_no_address(address: str) -> None:
    refused("INVALID_ADDRESS", 400, lambda: desk().issue(address, NOW))


def test_a_session_lasts_until_it_ends() -> None:
    at = desk(seconds=600)
    token = at.open("user", ADDRESS, NOW)
    found = at.find(token, NOW + 600 * SECOND - 1)
    assert found is not None
    assert found.user_id == "user"
    assert at.find(token, NOW + 600 * SECOND) is None
    assert at.find(token + "x", NOW) is None
    at.close(token)
    at.close(token)
    assert at.find(token, NOW) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest nonce and session make room; what has ended by age is dropped first. No token is kept."""
    monkeypatch.setattr(sign_in, "NONCES_MAX", 3)
    monkeypatch.setattr(sign_in, "SESSIONS_MAX", 3)
    at = desk()
    nonces = [at.issue(ADDRESS, NOW) for _ in range(4)]
    assert list(at.nonces) == nonces[1:]
    tokens = [at.open("user", ADDRESS, NOW) for _ in range(4)]
    assert [at.find(token, NOW) is not None for token in tokens] == [False, True, True, True]
    assert not any(token in str(at) for token in tokens)
    at.open("user", ADDRESS, NOW + 600 * SECOND)
    assert (len(at.nonces), len(at.sessions)) == (0, 1)


# -- over HTTP ----------------------------------------------------------------------------------------------------


async def session_of(client: VenueClient, key: str = KEY, address: str = ADDRESS) -> dict[str, str]:
    """Sign a wallet in and return the header that proves it."""
    nonce = (await client.call("POST", ocx.AUTH_NONCE, {"walletAddress": address})).json["nonce"]
    now = START_MS / 1000 + trio.current_time()
    text = message(nonce, iso(now), iso(now + 300), address=address).text()
    answer = await client.call("POST", ocx.AUTH_SIWE, {"message": text, "signature": signed(text, key)})
    assert answer.status == 200, answer.body
    token = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    return {"Authorization": f"Bearer {token}"}


def wanted(**more: Any) -> dict[str, Any]:
    return {"name": "bot", "scope": "trade", "allowedIps": [], "expiresInDays": 30, **more}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"scope": "admin"}, "INVALID_SCOPE"),
        ({"name": ""}, "INVALID_NAME"),
        ({"name": "x" * 65}, "INVALID_NAME"),
        ({"name": "a\nb"}, "INVALID_NAME"),
        ({"allowedIps": ["10.0.0.0/8"]}, "INVALID_ADDRESS"),
        ({"allowedIps": ["ocx.test"]}, "INVALID_ADDRESS"),
        ({"allowedIps": ["10.0.0.1"] * 51}, "INVALID_ADDRESS"),
        ({"expiresInDays": 0}, "INVALID_EXPIRY"),
        ({"expiresInDays": 3651}, "INVALID_EXPIRY"),
        ({"expiresInDays": 1.5}, "INVALID_BODY"),
        ({"allowedIps": None}, "INVALID_BODY"),
    ],
)
async def test_what_makes_no_key(more: dict[str, Any], code: str, autojump_clock: trio.testing.MockClock) -> None:
    async with running_venue() as client:
        session = await session_of(client)
        answer = await client.post(ocx.API_KEYS, wanted(**more), session)
        assert (answer.status, answer.code) == (400, code)
        assert (await client.get(ocx.API_KEYS, session)).json == {"keys": []}


async def test_a_key_does_what_it_was_made_for(autojump_clock: trio.testing.MockClock) -> None:
    """Scope, pins (in any spelling of the address) and expiry hold on the wire; the wallet's own money is traded."""
    async with running_venue() as client:
        session = await session_of(client)
        more = {"allowedIps": ["192.0.2.1", "2001:DB8:0:0:0:0:0:1"], "expiresInDays": 1}
        secret = (await client.post(ocx.API_KEYS, wanted(**more), session)).json["secret"]
        key = {"x-api-key": secret}
        order = {"marketId": "BTC-PERP", "side": "buy", "type": "limit", "price": "59000", "quantity": "0.01"}
        assert (await client.post(ocx.ORDERS, order, key)).status == 200
        assert len((await client.get(ocx.ORDERS, key)).json["orders"]) == 1
        paper = {"x-api-key": "ocx_sk_paper_read"}
        assert (await client.get(ocx.ORDERS, paper)).json == {"orders": []}
        assert (await client.call("GET", ocx.ORDERS, b"", key, "2001:db8::1")).status == 200
        assert (await client.call("GET", ocx.ORDERS, b"", key, "192.0.2.2")).code == "IP_NOT_ALLOWED"
        assert (await client.get(ocx.BALANCES, key)).json["balances"][0]["balance"] == "100000"
        reader = (await client.post(ocx.API_KEYS, wanted(scope="read"), session)).json["secret"]
        assert (await client.get(ocx.ORDERS, {"x-api-key": reader})).status == 200
        assert (await client.post(ocx.CANCEL_ALL, {}, {"x-api-key": reader})).code == "INSUFFICIENT_SCOPE"


async def test_nobody_touches_anothers_keys(autojump_clock: trio.testing.MockClock) -> None:
    async with running_venue() as client:
        mine = await session_of(client)
        other = await session_of(client, OTHER_KEY, OTHER_ADDRESS)
        made = (await client.post(ocx.API_KEYS, wanted(), mine)).json
        assert (await client.get(ocx.API_KEYS, other)).json == {"keys": []}
        assert (await client.call("DELETE", f"{ocx.API_KEYS}/{made['id']}", b"", other)).code == "KEY_NOT_FOUND"
        assert (await client.get(ocx.ORDERS, {"x-api-key": made["secret"]})).status == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "UNAUTHENTICATED"),
        ({"Authorization": "Bearer nonsense"}, 401, "SESSION_ENDED"),
        ({"Authorization": "Basic eDp5"}, 401, "KEY_UNKNOWN"),
        ({"Authorization": "Bearer "}, 401, "KEY_UNKNOWN"),
        ({"Authorization": "Bearer ocx_sk_none"}, 401, "KEY_UNKNOWN"),
        ({"Authorization": "Bearer nonsense", "x-api-key": "ocx_sk_paper_read"}, 401, "SESSION_ENDED"),
        ({"Cookie": "astra_session=nonsense"}, 401, "SESSION_ENDED"),
        ({"Cookie": "other=1"}, 401, "UNAUTHENTICATED"),
        ({"Cookie": "astra_session=nonsense", "x-api-key": "ocx_sk_paper_read"}, 200, ""),
        ({"Authorization": "bearer ocx_sk_paper_read", "Cookie": "astra_session=nonsense"}, 200, ""),
    ],
)
async def test_which_credential_counts(
    headers: dict[str, str], status: int, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    """An Authorization header wins over everything, a key over a cookie."""
    async with running_venue() as client:
        answer = await client.get(ocx.ORDERS, headers)
        assert answer.status == status
        assert not code or answer.code == code


@pytest.mark.parametrize("wants", ["never", "reads", "singles", "both"])
async def test_what_wants_a_session(wants: str, autojump_clock: trio.testing.MockClock) -> None:
    """Each position of the switch: a key is refused what it names and nothing else; a session never is."""
    reads = [ocx.POSITIONS, ocx.BALANCES, ocx.TRADES, ocx.WALLET_BALANCE]
    singles = [ocx.ORDERS, f"{ocx.ORDERS}/x/cancel", f"{ocx.ORDERS}/x/modify", ocx.POSITIONS_CLOSE]
    never = [("GET", ocx.ORDERS), ("POST", ocx.CANCEL_ALL), ("POST", ocx.QUOTES_BULK), ("GET", ocx.FEES)]
    expected = {("GET", path): wants in ("reads", "both") for path in reads}
    expected |= {("POST", path): wants in ("singles", "both") for path in singles}
    expected |= dict.fromkeys(never, False)
    async with running_venue(VenueSettings(preset="still", switches=Switches(session_wanted=wants))) as client:
        session = await session_of(client)
        for (method, path), is_refused in expected.items():
            by_key = await client.call(method, path, {}, {"x-api-key": "ocx_sk_paper_trade"})
            assert (by_key.status == 403) == is_refused, path
            assert not is_refused or by_key.code == "SESSION_REQUIRED"
            assert (await client.call(method, path, {}, session)).status != 403
        anybody = await client.get(f"{ocx.TRADES}?marketId=BTC-PERP")
        assert anybody.status == 200


async def test_a_stream_ends_with_its_session(autojump_clock: trio.testing.MockClock) -> None:
    async with running_venue(VenueSettings(preset="still", session_seconds=60)) as client:
        stream = await client.stream(ocx.STREAM_USER, await session_of(client))
        assert "payload" in await stream.next_json()
        ended = [await stream.next() for _ in range(4)][-1]
        while "SESSION_ENDED" not in str(ended):
            ended = await stream.next()
        assert 60 <= trio.current_time() <= 61
        await stream.close()


async def test_a_restart_keeps_keys_and_accounts_and_forgets_sessions(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """From the log alone, as after a kill, and from a checkpoint; the log holds no secret."""
    settings = VenueSettings(preset="still", state=tmp_path / "state")
    async with running_venue(settings) as client:
        session = await session_of(client)
        made = [(await client.post(ocx.API_KEYS, wanted(name=name), session)).json for name in "ab"]
        await client.call("DELETE", f"{ocx.API_KEYS}/{made[1]['id']}", b"", session)
        listed = (await client.get(ocx.API_KEYS, session)).body
        log = client.venue.keeper.state
        assert log is not None
        written = log.log_path(log.generation).read_text()
        assert '"deed"' in written
        assert not any(one["secret"] in written for one in made)
        replayed = Marketplace(settings.exchange(), preset="still", start_ms=client.venue.keeper.place.start_ms)
        for line in written.splitlines():
            if "deed" in json.loads(line):
                replay(replayed, json.loads(line))
        original = client.venue.keeper.place.exchange
        assert [attrs.astuple(row)[:8] for row in replayed.exchange.keys(original.wallet_user(ADDRESS) or "")] == [
            attrs.astuple(row)[:8] for row in original.keys(original.wallet_user(ADDRESS) or "")
        ]
    async with running_venue(settings) as client:
        assert (await client.get(ocx.API_KEYS, session)).code == "SESSION_ENDED"
        assert (await client.get(ocx.ORDERS, {"x-api-key": made[0]["secret"]})).status == 200
        assert (await client.get(ocx.ORDERS, {"x-api-key": made[1]["secret"]})).code == "KEY_REVOKED"
        again = json.loads((await client.get(ocx.API_KEYS, await session_of(client))).body)
        before = json.loads(listed)
        for rows in (again, before):
            for row in rows["keys"]:
                row.pop("lastUsedAt"), row.pop("lastUsedIp")
        assert again == before


async def test_a_full_exchange_says_so_and_goes_on(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Also from its log: what had no room then has none when it happens again."""
    settings = VenueSettings(preset="still", state=tmp_path / "state")
    async with running_venue(settings) as client:
        exchange = client.venue.keeper.place.exchange
        while len(exchange.user_ids()) < USERS_MAX:
            exchange.open_wallet(f"0x{len(exchange.user_ids()):040x}", START_MS)
        nonce = (await client.call("POST", ocx.AUTH_NONCE, {"walletAddress": ADDRESS})).json["nonce"]
        text = message(nonce, iso(START_MS / 1000), iso(START_MS / 1000 + 300)).text()
        answer = await client.call("POST", ocx.AUTH_SIWE, {"message": text, "signature": signed(text)})
        assert (answer.status, answer.code) == (503, "NO_ROOM")
        replay(client.venue.keeper.place, {"deed": ["wallet", START_MS, {"address": ADDRESS}]})
    async with running_venue(settings) as client:
        assert len(client.venue.keeper.place.exchange.user_ids()) == USERS_MAX


def test_an_unknown_deed_is_refused() -> None:
    place = Marketplace(ExchangeSettings(), preset="still", start_ms=START_MS)
    with pytest.raises(ValueError, match="no such deed"):
        do(place, Deed("gift", START_MS, {}))


async def test_the_record_names_the_caller_and_never_a_secret(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    record = tmp_path / "record"
    async with running_venue(VenueSettings(preset="still", record=record)) as client:
        session = await session_of(client)
        made = (await client.post(ocx.API_KEYS, wanted(), session)).json
        await client.post(ocx.CANCEL_ALL, {}, session)
        await client.post(ocx.CANCEL_ALL, {}, {"x-api-key": made["secret"]})
    applied = [line for line in record_lines(record) if line.get("phase") == "apply" and "keyId" in line]
    assert [line["keyId"] for line in applied] == ["session", made["id"]]
    assert len({line["userId"] for line in applied}) == 1
    written = record.read_text()
    for secret in (made["secret"], session["Authorization"].split()[1], "signature"):
        assert secret not in written


async def test_over_tls_the_cookie_is_for_tls_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with running_venue() as client:
        office = client.venue.routes.office
        assert "Secure" not in office.cookie("t", 1)[1]
        office.is_secure = True
        assert office.cookie("t", 1)[1].endswith("; Secure")
