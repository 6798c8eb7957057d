"""A wallet's key: an address, and `personal_sign` (EIP-191) over secp256k1. The only file that imports the extra.

    with WalletKey.of(text) as key:
        signature = key.sign("words")

The curve is libsecp256k1's through coincurve (constant time, deterministic nonces of RFC 6979, low s); Keccak-256 is
PyCryptodome's. `run.py keys` puts both into a folder of `.venv` that nothing else looks into, so they are imported when
a wallet is used and not before. A key is never shown: not by `repr`, not in an error. Python cannot promise to wipe
memory; what can be overwritten is, at the end of the `with`, and nothing keeps a reference.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from maker.errors import ConfigError

FOLDER: Final = Path(sys.prefix) / "wallet"  # as run.py has it
KEY_BYTES: Final = 32
PREAMBLE: Final = b"\x19Ethereum Signed Message:\n"  # EIP-191, version 0x45: then the length in decimal, then the text
RECOVERY_BASE: Final = 27  # v as wallets write it
HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")


def make_importable() -> None:
    """Let the extra be found where run.py put it. Raises ConfigError where it is not installed."""
    if FOLDER.is_dir() and str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # last: nothing there can take the place of a pinned package
    try:
        import coincurve  # noqa: F401 - only whether it is there
        from Crypto.Hash import keccak  # noqa: F401
    except ImportError:
        fix = "Run `python3 run.py keys list CONF` once: it installs them."
        raise ConfigError("wallet", "needs two packages that are not installed.", fix) from None


def keccak256(data: bytes) -> bytes:
    """Return the hash that Ethereum uses: Keccak as submitted, not SHA-3, which pads otherwise."""
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()


def checksummed(address: bytes) -> str:
    """Return the text of 20 bytes with EIP-55's capitals: a letter is capital where the text's hash says so."""
    text = address.hex()
    marks = keccak256(text.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(mark, 16) >= 8 else letter for letter, mark in zip(text, marks, strict=False)
    )


class WalletKey:
    """One private key, until the end of its `with`."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytearray) -> None:
        self.secret = secret

    @classmethod
    def of(cls, text: str) -> WalletKey:
        """Read 64 hexadecimal digits, with or without 0x. Raises ValueError, which does not show them."""
        digits = text.strip().removeprefix("0x")
        if len(digits) != 2 * KEY_BYTES or not HEXADECIMAL.issuperset(digits):
            raise ValueError("is no private key: 64 hexadecimal digits, with or without 0x")
        return cls(bytearray.fromhex(digits))

    def __repr__(self) -> str:
        return "<WalletKey>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def forget(self) -> None:
        """Overwrite the key; it signs no more."""
        self.secret[:] = bytes(len(self.secret))

    def address(self) -> str:
        """Return the address with EIP-55's capitals. Raises ValueError for a number that is no key of the curve."""
        from coincurve import PublicKey

        try:
            public = PublicKey.from_secret(bytes(self.secret)).format(compressed=False)
        except ValueError:
            raise ValueError("is no private key: zero, or beyond the curve's order") from None
        return checksummed(keccak256(public[1:])[-20:])

    def sign(self, text: str) -> str:
        """Return the personal_sign of a text: 0x and r, s, v in hexadecimal. Raises ValueError as `address`."""
        from coincurve import PrivateKey

        data = text.encode()
        digest = keccak256(PREAMBLE + str(len(data)).encode() + data)
        try:
            signed = PrivateKey(bytes(self.secret)).sign_recoverable(digest, hasher=None)
        except ValueError:
            raise ValueError("is no private key: zero, or beyond the curve's order") from None
        return "0x" + (signed[:-1] + bytes([signed[-1] + RECOVERY_BASE])).hex()
