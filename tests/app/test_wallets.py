"""Where a wallet's key comes from: a private file, or a person; and what it signs for."""

from __future__ import annotations

import traceback
from pathlib import Path

import attrs
import pytest

from maker.app import wallets
from maker.app.config import Exchange
from maker.app.wallets import FileWallet, TypedWallet, terms
from maker.edge.session import Terms
from maker.edge.wallet import WalletKey
from maker.errors import ConfigError
from tests.support.wallets import ADDRESS, KEY, OTHER_ADDRESS, OTHER_KEY, signed


def wallet_file(folder: Path, content: str = KEY, mode: int = 0o600) -> FileWallet:
    path = folder / "wallet"
    path.write_text(content)
    path.chmod(mode)
    return FileWallet(path, "--wallet-file")


def test_a_private_file_signs_and_is_read_anew_each_time(tmp_path: Path) -> None:
    wallet = wallet_file(tmp_path, f"0x{KEY}\n")
    assert (wallet.address(), wallet.sign("x")) == (ADDRESS, signed("x"))
    wallet.path.write_text(OTHER_KEY)
    assert wallet.address() == OTHER_ADDRESS
    wallet.path.unlink()
    with pytest.raises(ConfigError, match=r"^--wallet-file: cannot be read: No such file"):
        wallet.sign("x")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=r"others may read it\. Run chmod 600"):
        wallet_file(tmp_path, mode=mode).address()


@pytest.mark.parametrize("content", ["", "words", KEY + KEY, KEY[:-1], "0" * 64, "f" * 64])
@pytest.mark.parametrize("use", ["address", "sign"])
def test_a_file_without_a_key_is_refused_and_not_repeated(tmp_path: Path, content: str, use: str) -> None:
    wallet = wallet_file(tmp_path, content)
    with pytest.raises(ConfigError, match=r"--wallet-file: is no private key") as refused:
        wallet.address() if use == "address" else wallet.sign("x")
    assert len(content) < 6 or content not in "".join(traceback.format_exception(refused.value))


def test_a_typed_key_signs_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wallets, "TERMINAL", str(tmp_path / "terminal"))
    (tmp_path / "terminal").touch()
    monkeypatch.setattr("getpass.getpass", lambda _prompt: f" 0x{KEY} ")
    wallet = wallets.typed()
    assert (wallet.address(), wallet.sign("x")) == (ADDRESS, signed("x"))
    assert KEY[:16] not in repr(wallet)
    wallet.forget()
    with pytest.raises(ConfigError, match="no private key"):
        wallet.sign("x")


@pytest.mark.parametrize("typed", ["", "hello", KEY[:-1]])
def test_what_is_typed_wrongly_is_not_repeated(typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wallets, "TERMINAL", str(tmp_path / "terminal"))
    (tmp_path / "terminal").touch()
    monkeypatch.setattr("getpass.getpass", lambda _prompt: typed)
    with pytest.raises(ConfigError, match="no private key") as refused:
        wallets.typed()
    assert not typed or typed not in "".join(traceback.format_exception(refused.value))


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """getpass alone would read stdin, and show what is typed there."""
    monkeypatch.setattr(wallets, "TERMINAL", str(tmp_path / "none"))
    monkeypatch.setattr("getpass.getpass", lambda _prompt: pytest.fail("it asked"))
    with pytest.raises(ConfigError, match=r"--wallet-file FILE"):
        wallets.typed()


def test_a_typed_key_that_is_none_of_the_curve() -> None:
    with pytest.raises(ConfigError, match="no private key"):
        TypedWallet(WalletKey.of("0" * 64)).address()


# -- what is signed for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "domain", "uri"),
    [
        ("https://api.ocx.global", "api.ocx.global", "https://api.ocx.global"),
        ("https://api.ocx.global:443/v1/", "api.ocx.global", "https://api.ocx.global:443/v1"),
        ("http://127.0.0.1:8787", "127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://[::1]:80", "[::1]", "http://[::1]:80"),
    ],
)
def test_the_exchanges_own_address_is_signed_for(url: str, domain: str, uri: str) -> None:
    """The domain is what a client's Host header says."""
    assert terms(url, "", "", 1) == Terms(domain, uri, 1)
    assert Exchange(base_url=url).terms() == Terms(domain, uri, 1)


def test_the_configuration_may_say_otherwise() -> None:
    exchange = Exchange("https://api.test", sign_in_domain="app.test", sign_in_uri="https://app.test/login", chain_id=5)
    assert exchange.terms() == Terms("app.test", "https://app.test/login", 5)
    assert exchange.wallet() is None
    wallet = attrs.evolve(exchange, wallet_file="~/w").wallet()
    assert wallet is not None
    assert (str(wallet.path), wallet.field) == ("~/w", "exchange.wallet_file")


@pytest.mark.parametrize(
    ("domain", "uri", "chain_id", "field"),
    [
        ("a b", "", 1, "sign_in_domain"),
        ("", "login", 1, "sign_in_uri"),
        ("", "https://a b", 1, "sign_in_uri"),
        ("", "", -1, "chain_id"),
    ],
)
def test_what_cannot_be_signed_for_names_its_key(domain: str, uri: str, chain_id: int, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^exchange\.{field}: cannot be signed for"):
        terms("https://api.test", domain, uri, chain_id)
