"""The practice exchange's own reckoning of who signed: the standard library, official vectors, tampering."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.paper import ethereum
from maker.wire.siwe import SignIn
from tests.golden import signatures

VECTORS: Final = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "siwe" / "verification_positive.json"
ROW: Final = json.loads(signatures.FILE.read_text(encoding="utf-8"))[7]


@given(st.binary(max_size=600))
def test_the_sponge_is_the_standard_librarys(data: bytes) -> None:
    """With SHA-3's padding it must be hashlib's SHA3-256: Keccak-256 differs from it by that one byte."""
    assert ethereum.sponge(data, 0x06) == hashlib.sha3_256(data).digest()


@pytest.mark.parametrize("size", [0, 1, 134, 135, 136, 137, 271, 272, 273])
def test_the_sponge_around_a_block(size: int) -> None:
    assert ethereum.sponge(bytes(size), 0x06) == hashlib.sha3_256(bytes(size)).digest()


def test_keccak_of_nothing() -> None:
    """The figure that every account without code carries (Yellow Paper, KEC of the empty sequence)."""
    assert ethereum.keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize(
    "address",
    [  # EIP-55's own examples
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_capitals(address: str) -> None:
    assert ethereum.capitalised(bytes.fromhex(address[2:])) == address


def test_the_curve() -> None:
    """G is on it and of order N; arithmetic with the point at infinity holds."""
    x, y = ethereum.G
    assert (y * y - x**3 - 7) % ethereum.P == 0
    one = (x, y, 1)
    assert ethereum.multiply(one, ethereum.N)[2] == 0
    assert ethereum.add(one, ethereum.INFINITY) == ethereum.add(ethereum.INFINITY, one) == one
    assert ethereum.add(one, (x, ethereum.P - y, 1)) == ethereum.INFINITY
    assert ethereum.add(one, one) == ethereum.double(one)


def test_official_signatures() -> None:
    """Made by other people's wallets; one has the recovery byte of hardware, 0 or 1."""
    if not VECTORS.exists():
        pytest.skip("the official vectors are kept beside the project, and are not here")
    for name, vector in json.loads(VECTORS.read_text(encoding="utf-8")).items():
        message = SignIn(
            domain=vector["domain"],
            address=vector["address"],
            statement=vector.get("statement"),
            uri=vector["uri"],
            chain_id=vector["chainId"],
            nonce=vector["nonce"],
            issued_at=vector["issuedAt"],
            expiration_time=vector.get("expirationTime"),
            not_before=vector.get("notBefore"),
        )
        assert ethereum.signer(message.text(), vector["signature"]) == vector["address"], name


def spelled(r: int, s: int, v: int) -> str:
    return f"0x{r:064x}{s:064x}{v:02x}"


def parts() -> tuple[int, int, int]:
    words = ethereum.SIGNATURE.fullmatch(ROW["signature"])
    assert words is not None
    r, s, v = (int(word, 16) for word in words.groups())
    return r, s, v


def test_nobody_else_signed_it() -> None:
    """Another text, another r, s or v is another signer, or nobody; the mirrored s is refused as malleable."""
    r, s, v = parts()
    text, address = ROW["text"], ROW["address"]
    assert ethereum.signer(text, spelled(r, s, v)) == address
    assert ethereum.signer(text, spelled(r, s, v - 27)) == address
    assert ethereum.signer(text + " ", spelled(r, s, v)) not in (address, None)
    assert ethereum.signer(text, spelled(r, s, 55 - v)) != address
    assert ethereum.signer(text, spelled(r, s ^ 1, v)) != address
    assert ethereum.signer(text, spelled(r, ethereum.N - s, 55 - v)) is None


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0x",
        "0x" + "00" * 65,
        "0x" + "11" * 64,
        "0x" + "11" * 66,
        spelled(ethereum.N, 1, 27),
        spelled(1, 0, 27),
        spelled(5, 1, 27),  # no point of the curve has this x
        spelled(1, 1, 29),
        spelled(1, 1, 2),
        "xx" + "11" * 65,
    ],
)
def test_what_nobody_signed(signature: str) -> None:
    assert ethereum.signer("text", signature) is None


def test_a_signature_that_leads_to_no_point() -> None:
    """r = G's x, s = e: then s R - e G is the point at infinity, which is nobody's key."""
    digest = (12345).to_bytes(32, "big")
    assert ethereum.recover(digest, ethereum.G[0], 12345, ethereum.G[1] & 1) is None


@given(st.binary(min_size=65, max_size=65))
@settings(max_examples=20)
def test_garbage_is_nobodys_or_somebodys(data: bytes) -> None:
    found = ethereum.signer("text", "0x" + data.hex())
    assert found is None or len(found) == 42
