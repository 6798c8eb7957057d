"""EIP-4361's text, out and in: official vectors, vectors of our own, and garbage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.wire import siwe
from maker.wire.siwe import SignIn, moment_ms, parse

VECTORS: Final = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "siwe"
ADDRESS: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
LEAST: Final = SignIn(
    domain="api.ocx.test",
    address=ADDRESS,
    uri="https://api.ocx.test",
    chain_id=1,
    nonce="abcDEF12",
    issued_at="2026-11-22T06:58:39.250Z",
)
WHOLE: Final = attrs.evolve(
    LEAST,
    scheme="https",
    domain="user@[2001:db8::1]:8443",
    statement="I accept: https://ocx.test/terms?a=b",
    expiration_time="2026-11-22T07:03:39Z",
    not_before="2026-11-22T06:58:39+01:30",
    request_id="some-id:1",
    resources=("ipfs://Qme7ss3ARVgxv6rXqVPiikMJ8u2NLgmgszg13pYrDKEoiu", "urn:isbn:0451450523"),
)
WHOLE_TEXT: Final = """\
https://user@[2001:db8::1]:8443 wants you to sign in with your Ethereum account:
0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266

I accept: https://ocx.test/terms?a=b

URI: https://api.ocx.test
Version: 1
Chain ID: 1
Nonce: abcDEF12
Issued At: 2026-11-22T06:58:39.250Z
Expiration Time: 2026-11-22T07:03:39Z
Not Before: 2026-11-22T06:58:39+01:30
Request ID: some-id:1
Resources:
- ipfs://Qme7ss3ARVgxv6rXqVPiikMJ8u2NLgmgszg13pYrDKEoiu
- urn:isbn:0451450523"""
LEAST_TEXT: Final = """\
api.ocx.test wants you to sign in with your Ethereum account:
0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266


URI: https://api.ocx.test
Version: 1
Chain ID: 1
Nonce: abcDEF12
Issued At: 2026-11-22T06:58:39.250Z"""
NAMES: Final = {
    "chainId": "chain_id",
    "issuedAt": "issued_at",
    "expirationTime": "expiration_time",
    "notBefore": "not_before",
    "requestId": "request_id",
}


def official(name: str) -> dict[str, Any]:
    path = VECTORS / name
    if not path.exists():
        pytest.skip("the official vectors are kept beside the project, and are not here")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fields_of(vector: dict[str, Any]) -> dict[str, Any]:
    """A vector's fields under our names, less what is no field of the message."""
    fields = {NAMES.get(name, name): value for name, value in vector.items()}
    if "resources" in fields:
        fields["resources"] = tuple(fields["resources"])
    return {name: fields[name] for name in fields if name not in ("version", "signature", "time")}


def test_official_vectors_both_ways() -> None:
    """Each message is built from its fields, and read into them."""
    vectors = official("parsing_positive.json")
    assert len(vectors) >= 19
    for name, vector in vectors.items():
        built = SignIn(**fields_of(vector["fields"]))
        assert built.text() == vector["message"], name
        assert parse(vector["message"]) == built, name
        assert vector["fields"]["version"] == siwe.VERSION


@pytest.mark.parametrize(("message", "text"), [(LEAST, LEAST_TEXT), (WHOLE, WHOLE_TEXT)], ids=["least", "whole"])
def test_golden_both_ways(message: SignIn, text: str) -> None:
    assert message.text() == text
    assert parse(text) == message


def test_an_empty_list_of_resources_is_not_none() -> None:
    empty = attrs.evolve(LEAST, resources=())
    assert empty.text() == LEAST_TEXT + "\nResources:"
    assert parse(empty.text()) == empty
    assert parse(LEAST_TEXT).resources is None


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("api.ocx.test wants", " wants", "domain"),
        ("api.ocx.test wants", "a b wants", "domain"),
        ("api.ocx.test wants", "[::1 wants", "domain"),
        ("api.ocx.test wants", "[::zz] wants", "domain"),
        ("api.ocx.test wants", "host:99999 wants", "domain"),
        ("api.ocx.test wants", "1http://host wants", "scheme"),
        ("sign in with your Ethereum account:", "sign in with your Ethereum account", "domain"),
        ("0xf39F", "0xf39", "address"),
        ("0xf39F", "f39F", "address"),
        (f"{ADDRESS}\n\n\n", f"{ADDRESS}\n\n", "statement"),
        (f"{ADDRESS}\n\n\n", f"{ADDRESS}\n\n\n\n", "URI"),
        (f"{ADDRESS}\n\n\n", f"{ADDRESS}\n\nf\u00fcr\n\n", "statement"),
        (f"{ADDRESS}\n\n\n", f"{ADDRESS}\n\ntwo\nlines\n\n", "statement"),
        ("URI: https://api.ocx.test", "URI: not_a_uri", "uri"),
        ("URI: https://api.ocx.test", "URI: https://api.ocx.test/a b", "uri"),
        ("URI: https://api.ocx.test", "URI: https://api.ocx.test/%zz", "uri"),
        ("URI: https://api.ocx.test\nVersion: 1", "Version: 1\nURI: https://api.ocx.test", "URI"),
        ("Version: 1", "Version: 2", "Version"),
        ("Version: 1\n", "", "Version"),
        ("Chain ID: 1", "Chain ID: ?", "Chain ID"),
        ("Chain ID: 1", "Chain ID: \u0661", "Chain ID"),
        ("Chain ID: 1", "Chain ID: 01", "message"),
        ("Nonce: abcDEF12", "Nonce: abcDEF1", "nonce"),
        ("Nonce: abcDEF12", "Nonce: abcDEF-12", "nonce"),
        ("2026-11-22T06:58:39.250Z", "2026-02-31T06:58:39.250Z", "issued_at"),
        ("2026-11-22T06:58:39.250Z", "2026-11-22T06:58:60Z", "issued_at"),
        ("2026-11-22T06:58:39.250Z", "2026-11-22T06:58:39.250", "issued_at"),
        ("2026-11-22T06:58:39.250Z", "2026-11-22 06:58:39Z", "issued_at"),
        ("2026-11-22T06:58:39.250Z", "20261122T065839Z", "issued_at"),
        ("2026-11-22T06:58:39.250Z", "Wed Oct 05 2011 16:48:00 GMT+0200 (CEST)", "issued_at"),
        ("39.250Z", "39.250Z\nExpiration Time: 2022-02-31T00:00:00Z", "expiration_time"),
        ("39.250Z", "39.250Z\nNot Before: soon", "not_before"),
        ("39.250Z", "39.250Z\nNot Before: 2026-01-01T00:00:00Z\nExpiration Time: 2026-01-01T00:00:00Z", "message"),
        ("39.250Z", "39.250Z\nRequest ID: a b", "request_id"),
        ("39.250Z", "39.250Z\nRequest ID: a\nRequest ID: b", "message"),
        ("39.250Z", "39.250Z\nResources:\n- https://a.test - https://b.test", "resources"),
        ("39.250Z", "39.250Z\nResources:\n- https://a.test\n- _none_", "resources"),
        ("39.250Z", "39.250Z\nResources:\nhttps://a.test", "Resources"),
        ("39.250Z", "39.250Z\n", "message"),
        ("\n", "\r\n", "domain"),
    ],
)
def test_what_is_no_message_names_its_field(old: str, new: str, field: str) -> None:
    assert old in LEAST_TEXT
    with pytest.raises(ValueError, match=f"^{field}: "):
        parse(LEAST_TEXT.replace(old, new))


def test_a_message_has_a_length() -> None:
    with pytest.raises(ValueError, match="longer"):
        parse(LEAST_TEXT + "x" * siwe.TEXT_CHARACTERS_MAX)


def test_every_prefix_is_no_message_or_one_without_its_last_fields() -> None:
    """Cut anywhere, a message is refused or is one that says less: the grammar ends where a field does."""
    for cut in range(len(WHOLE_TEXT)):
        text = WHOLE_TEXT[:cut]
        try:
            read = parse(text)
        except ValueError:
            continue
        assert read.text() == text
        assert text.startswith(WHOLE_TEXT.partition("\nIssued At: ")[0] + "\nIssued At: 2026-11-22T06:58:39.250Z")


WORDS = st.text(st.sampled_from("abcXYZ019-._~!$&'()*+,;=:@ /?#[]"), min_size=1, max_size=40)


@given(
    statement=st.none() | WORDS,
    nonce=st.text(st.sampled_from("abcXYZ019"), min_size=8, max_size=40),
    chain_id=st.integers(0, 10**20),
    request_id=st.none() | st.text(st.sampled_from("abc019-._~!$&'()*+,;=:@"), max_size=20),
    resources=st.none() | st.lists(st.sampled_from(["https://a.test/x?y#z", "urn:a:b", "mailto:a@b"]), max_size=3),
)
def test_whatever_is_built_is_read_again(
    statement: str | None, nonce: str, chain_id: int, request_id: str | None, resources: list[str] | None
) -> None:
    message = attrs.evolve(
        LEAST,
        statement=statement,
        nonce=nonce,
        chain_id=chain_id,
        request_id=request_id,
        resources=None if resources is None else tuple(resources),
    )
    assert parse(message.text()) == message


@given(st.text(max_size=200) | st.text(st.sampled_from(WHOLE_TEXT), max_size=400))
def test_garbage_is_our_error_or_a_message(text: str) -> None:
    try:
        assert parse(text).text() == text
    except ValueError as problem:
        assert text not in str(problem) or len(text) < 12  # noqa: PT017 - nothing that came from outside is repeated


def test_moments() -> None:
    """Offsets and fractions count; letters may be small, as RFC 3339 has it."""
    assert moment_ms("1970-01-01T00:00:01Z") == 1000
    assert moment_ms("1970-01-01t00:00:01.2509z") == 1251
    assert moment_ms("1970-01-01T01:30:00+01:30") == 0
    with pytest.raises(ValueError, match=r"^expiry: "):
        moment_ms("1970-13-01T00:00:00Z", "expiry")
