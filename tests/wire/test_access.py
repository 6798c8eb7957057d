"""Answers about sign-in and keys: nonce, session, keys; whole and garbage."""

from __future__ import annotations

import base64
import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.wire import access, ocx
from tests.golden import transcript

NOW = 1_000_000.0


def jwt(claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2lnbmF0dXJl"


def test_transcripts_are_read() -> None:
    """What the practice exchange is held to: a nonce, a session of seven days, two keys, one of them pinned."""
    pairs = transcript.exchanges(transcript.FOLDER / "sign_in.txt")
    good = {request.first: answer for request, answer in reversed(pairs) if answer.first == "200"}
    assert len(access.nonce(good["POST /auth/nonce"].body.encode())) == 24
    cookie = good["POST /auth/siwe"].header("set-cookie") or ""
    session = access.session({"set-cookie": cookie}, NOW)
    assert session.ends_at == transcript.START_MS // 1000 + ocx.SESSION_SECONDS
    assert access.new_key(good["POST /perps/me/api-keys"].body.encode()).key_id.startswith("ocx_kid_")
    bot, monitor = access.keys(good["GET /perps/me/api-keys"].body.encode())
    assert (bot.scope, bot.allowed_ips, bot.status) == ("trade", ("192.0.2.1",), "active")
    assert bot.expires_at == transcript.START_MS / 1000 + 30 * 86_400
    assert (monitor.scope, monitor.allowed_ips, monitor.expires_at) == ("read", (), None)


@pytest.mark.parametrize(
    ("cookie", "token", "ends_at"),
    [
        ("astra_session=abc", "abc", NOW + 7 * 86_400),
        ("astra_session=abc; Max-Age=60; HttpOnly", "abc", NOW + 60),
        ("astra_session=abc; max-age=60", "abc", NOW + 60),
        ('astra_session="abc"; Path=/', "abc", NOW + 7 * 86_400),
        ("a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT, astra_session=abc; Max-Age=5, b=2; Max-Age=9", "abc", NOW + 5),
        ("astra_session=abc; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=9", "abc", NOW + 7 * 86_400),
        (f"astra_session={jwt({'exp': 2_000_000})}; Max-Age=5", jwt({"exp": 2_000_000}), 2_000_000.0),
        (f"astra_session={jwt({'exp': 'soon'})}; Max-Age=5", jwt({"exp": "soon"}), NOW + 5),
        (f"astra_session={jwt({'exp': 10**400})}; Max-Age=5", jwt({"exp": 10**400}), NOW + 5),
        (f"astra_session={jwt({'exp': math.inf})}; Max-Age=5", jwt({"exp": math.inf}), NOW + 5),
        (f"astra_session={jwt({'exp': True})}; Max-Age=5", jwt({"exp": True}), NOW + 5),
        (f"astra_session={jwt([1])}", jwt([1]), NOW + 7 * 86_400),
        ("astra_session=a.!.c", "a.!.c", NOW + 7 * 86_400),
    ],
)
def test_a_session_ends_when_token_or_cookie_say(cookie: str, token: str, ends_at: float) -> None:
    found = access.session({"set-cookie": cookie}, NOW)
    assert (found.token, found.ends_at) == (token, ends_at)
    assert token not in repr(found)


@pytest.mark.parametrize("cookie", ["", "other=x", "my_astra_session=x", "astra_session=", "astra_session=a\u00e9b"])
def test_no_session(cookie: str) -> None:
    with pytest.raises(ValueError, match=r"cookie|header"):
        access.session({"set-cookie": cookie} if cookie else {}, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"id":"ocx_kid_1","secret":"sk_live_1"}',
        b'{"id":"ocx_kid_1","secret":"ocx_sk_a b"}',
        b'{"id":"../orders","secret":"ocx_sk_1"}',
        b'{"id":"","secret":"ocx_sk_1"}',
    ],
)
def test_no_new_key(body: bytes) -> None:
    """A secret that could not be one, or an id that would be another path, is refused and not repeated."""
    with pytest.raises(ValueError, match=r".") as refused:
        access.new_key(body)
    assert "ocx_sk_" not in str(refused.value)


def test_a_new_key_keeps_its_secret_to_itself() -> None:
    made = access.new_key(b'{"id":"ocx_kid_1","secret":"ocx_sk_canary","message":"m"}')
    assert (made.key_id, made.secret) == ("ocx_kid_1", "ocx_sk_canary")
    assert "canary" not in repr(made)


@pytest.mark.parametrize("nonce", ["", "short12", "a-b-c-d-e", "a" * 129, "abcdefg\u00fc"])
def test_no_nonce(nonce: str) -> None:
    with pytest.raises(ValueError, match="EIP-4361"):
        access.nonce(json.dumps({"nonce": nonce}).encode())


def test_a_row_says_as_little_as_it_must() -> None:
    (row,) = access.keys(b'{"keys":[{"id":"k1","name":"n","scope":"READ","status":"ACTIVE"}]}')
    assert (row.scope, row.status, row.allowed_ips, row.expires_at, row.last_used_at) == (
        "read",
        "active",
        (),
        None,
        None,
    )


@given(
    st.binary(max_size=100) | st.sampled_from([b'{"keys":[{"id":"a"}]}', b'{"keys":[{"id":"a/b","name":""}]}', b"[]"])
)
def test_garbage_is_a_value_error(body: bytes) -> None:
    for read in (access.nonce, access.new_key, access.keys):
        with pytest.raises(ValueError, match=r".|^$"):
            read(body)


@given(st.text(max_size=100))
def test_any_cookie_is_a_session_or_a_value_error(cookie: str) -> None:
    with contextlib.suppress(ValueError):
        assert access.session({"set-cookie": f"astra_session={cookie}"}, NOW).token
