"""A wallet's key: its address and signatures against two other implementations, and that it is never shown."""

from __future__ import annotations

import json
import sys
import traceback
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maker.edge import wallet
from maker.edge.wallet import WalletKey
from maker.errors import ConfigError
from maker.paper import ethereum
from tests.golden import signatures
from tests.support import wallets

ROWS: list[dict[str, str]] = json.loads(signatures.FILE.read_text(encoding="utf-8"))


def test_there_are_signatures_of_each_text_and_key() -> None:
    assert {row["key"] for row in ROWS} == set(signatures.keys())
    assert {row["text"] for row in ROWS} == set(signatures.TEXTS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['key'][:6]} {row['text'][:8]!r}" for row in ROWS])
def test_signatures_are_those_of_another_implementation(row: dict[str, str]) -> None:
    """Deterministic nonces (RFC 6979) make them equal to the last bit; the practice exchange finds the same signer."""
    with WalletKey.of(row["key"]) as key:
        assert key.address() == row["address"]
        assert key.sign(row["text"]) == row["signature"]
    assert ethereum.signer(row["text"], row["signature"]) == row["address"]


@given(key=st.integers(1, signatures.ORDER - 1), text=st.text(max_size=300))
@settings(max_examples=20)
def test_any_signature_leads_back_to_its_wallet(key: int, text: str) -> None:
    """Signed by libsecp256k1 and PyCryptodome, recovered by plain integers of our own."""
    with WalletKey.of(f"{key:064x}") as held:
        assert ethereum.signer(text, held.sign(text)) == held.address()


def test_known_accounts() -> None:
    """Two of the addresses that Hardhat and Foundry publish for their test mnemonic."""
    for key, address in ((wallets.KEY, wallets.ADDRESS), (wallets.OTHER_KEY, wallets.OTHER_ADDRESS)):
        for spelling in (key, key.upper(), f"0x{key}", f"  0x{key}\n"):
            with WalletKey.of(spelling) as held:
                assert held.address() == address


@pytest.mark.parametrize(
    "text", ["", "0x", "hello", wallets.KEY[:-1], wallets.KEY + "0", wallets.KEY[:-1] + "g", "0X" + wallets.KEY]
)
def test_what_is_no_key_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits") as refused:
        WalletKey.of(text)
    shown = "".join(traceback.format_exception(refused.value))
    assert len(text) < 5 or text not in shown


@pytest.mark.parametrize("number", [0, signatures.ORDER, 2**256 - 1])
@pytest.mark.parametrize("use", ["address", "sign"])
def test_a_number_that_is_no_key_of_the_curve(number: int, use: str) -> None:
    with WalletKey.of(f"{number:064x}") as key:
        call = key.address if use == "address" else partial(key.sign, "x")
        with pytest.raises(ValueError, match="curve's order") as refused:
            call()
    assert f"{number:064x}" not in "".join(traceback.format_exception(refused.value))


def test_a_key_is_forgotten_at_the_end() -> None:
    """Overwritten, also after an error; a forgotten key signs nothing."""
    with WalletKey.of(wallets.KEY) as key:
        secret = key.secret
    assert secret == bytes(32)
    with pytest.raises(ValueError, match="no private key"):
        key.sign("x")
    failing = WalletKey.of(wallets.KEY)
    with pytest.raises(RuntimeError), failing:
        raise RuntimeError
    assert failing.secret == bytes(32)


def test_a_key_shows_itself_nowhere() -> None:
    """Not by repr, str or format, not among the variables that a verbose traceback prints."""
    with WalletKey.of(wallets.KEY) as key:
        for shown in (repr(key), str(key), f"{key}", repr([key])):
            assert wallets.KEY[:16] not in shown
        try:
            raise RuntimeError(key)
        except RuntimeError as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            assert wallets.KEY[:16] not in "".join(told.format())


def test_without_the_extra_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(wallet, "FOLDER", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "coincurve", None)
    with pytest.raises(ConfigError, match=r"run\.py keys list CONF"):
        wallet.make_importable()


def test_the_extra_is_found_where_run_py_puts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Its folder comes last on the path, so that nothing in it takes another package's place; and only once."""
    monkeypatch.setattr(wallet, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = [*sys.path]
    wallet.make_importable()
    wallet.make_importable()
    assert sys.path == [*before, str(tmp_path)]
