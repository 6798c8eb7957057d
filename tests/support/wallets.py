"""Wallets for tests: published private keys that own nothing, and their way through a sign-in."""

from __future__ import annotations

from typing import Any, Final

import attrs

from maker.edge.wallet import WalletKey
from maker.wire.siwe import SignIn

# The first two accounts of the test mnemonic that Hardhat and Foundry publish; the addresses are theirs too.
KEY: Final = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OTHER_KEY: Final = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
OTHER_ADDRESS: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def message(nonce: str, issued_at: str, expires_at: str | None, host: str = "venue", **more: Any) -> SignIn:
    """Return what a client of `host` would sign, but for what `more` says."""
    usual: dict[str, Any] = {
        "domain": host,
        "address": ADDRESS,
        "uri": f"http://{host}",
        "chain_id": 1,
        "nonce": nonce,
        "issued_at": issued_at,
        "expiration_time": expires_at,
    }
    return SignIn(**{**usual, **more})


def signed(text: str, key: str = KEY) -> str:
    """Return a text's personal_sign."""
    with WalletKey.of(key) as wallet:
        return wallet.sign(text)


@attrs.define
class HeldWallet:
    """A wallet that keeps its key, for tests alone; counts its signatures."""

    key: str = attrs.field(default=KEY, repr=False)
    signatures: int = 0

    def address(self) -> str:
        with WalletKey.of(self.key) as wallet:
            return wallet.address()

    def sign(self, text: str) -> str:
        self.signatures += 1
        return signed(text, self.key)
