"""Where a wallet's key comes from: a private file, read anew for each use, or a person at a terminal. Never a word.

The key is used inside a `with` and forgotten at its end; no object here keeps one but `TypedWallet`, until `forget`.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs

from maker.edge import wallet
from maker.edge.session import Terms
from maker.edge.wallet import WalletKey
from maker.errors import ConfigError
from maker.launch import key
from maker.wire.siwe import SignIn

DEFAULT_PORTS: Final = {"https": 443, "http": 80}
TERMINAL: Final = "/dev/tty"
FIX: Final = "It holds 64 hexadecimal digits, with or without 0x, and nothing else."


@attrs.frozen
class FileWallet:
    """A wallet whose key is in a file that nobody else can read; the file is opened for each use."""

    path: Path
    field: str  # its name in errors: a configuration's key, or an option

    def open(self) -> WalletKey:
        """Read the key. Raises ConfigError, which does not show it."""
        wallet.make_importable()
        try:
            return WalletKey.of(key.read_private(self.path, self.field))
        except key.NoKey as problem:
            raise ConfigError(problem.field, problem.problem, problem.fix) from None
        except ValueError as problem:
            raise ConfigError(self.field, f"{problem}.", FIX) from None

    def address(self) -> str:
        """Return the address. Raises ConfigError."""
        with self.open() as opened:
            return used(self.field, opened.address)

    def sign(self, text: str) -> str:
        """Return the personal_sign of a text. Raises ConfigError."""
        with self.open() as opened:
            return used(self.field, lambda: opened.sign(text))


@attrs.frozen
class TypedWallet:
    """A wallet whose key a person has typed; kept until `forget`."""

    held: WalletKey
    field: str = "the wallet's key"

    def address(self) -> str:
        """Return the address. Raises ConfigError."""
        return used(self.field, self.held.address)

    def sign(self, text: str) -> str:
        """Return the personal_sign of a text. Raises ConfigError."""
        return used(self.field, lambda: self.held.sign(text))

    def forget(self) -> None:
        """Overwrite the key."""
        self.held.forget()


def used(field: str, use: Callable[[], str]) -> str:
    """Return what a use of the key gives; a number that is no key of the curve is a ConfigError."""
    try:
        return use()
    except ValueError as problem:
        raise ConfigError(field, f"{problem}.", FIX) from None


def typed() -> TypedWallet:
    """Ask for the key at the terminal, without showing what is typed. Raises ConfigError where there is none."""
    wallet.make_importable()
    try:
        terminal = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        problem = "is asked for at a terminal, and there is none."
        raise ConfigError("the wallet's key", problem, "Put it into a file of mode 0600: --wallet-file FILE.") from None
    os.close(terminal)  # getpass opens it again; without one it would show what is typed
    try:
        return TypedWallet(WalletKey.of(getpass.getpass("Private key of the wallet (not shown): ")))
    except ValueError as problem:
        raise ConfigError("the wallet's key", f"{problem}.", FIX) from None


def terms(base_url: str, domain: str, uri: str, chain_id: int) -> Terms:
    """Return what a wallet signs for; "" for domain and URI mean those of the address. Raises ConfigError.

    ASSUMED: OCX wants its API's own address there; `[exchange] sign_in_domain`, `sign_in_uri` and `chain_id` say
    otherwise.
    """
    parts = urlsplit(base_url)
    authority = parts.netloc.rpartition("@")[2].removesuffix(f":{DEFAULT_PORTS.get(parts.scheme)}")
    found = Terms(domain or authority, uri or base_url.rstrip("/"), chain_id)
    address, nonce, issued_at = "0x" + "0" * 40, "0" * 8, "2026-01-01T00:00:00Z"
    try:
        SignIn(domain=found.domain, uri=found.uri, chain_id=chain_id, address=address, nonce=nonce, issued_at=issued_at)
    except ValueError as problem:
        name = {"chain_id": "chain_id", "uri": "sign_in_uri"}.get(str(problem).partition(":")[0], "sign_in_domain")
        raise ConfigError(f"exchange.{name}", f"cannot be signed for ({problem}).", "See EIP-4361.") from None
    return found
