"""Signatures by a third hand: eth-account's of a few texts and keys, in `signatures.json` beside this file.

eth-account is no test dependency: it brings 73 MB in 24 packages, and wants an older PyCryptodome than ours. To make
the file anew, in an environment of its own:

    pip install eth-account==0.14.0 && python tests/golden/signatures.py > tests/golden/signatures.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_suffix(".json")
ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # of the curve
TEXTS: Final = (
    "",
    "hello",
    "größer als ein Byte: \u20ac \U0001f511",
    "a line\nand another",
    "x" * 1000,  # several blocks of the hash, and a length of four digits
    "service.org wants you to sign in with your Ethereum account:\n0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\n\n"
    "URI: https://service.org/login\nVersion: 1\nChain ID: 1\nNonce: 32891757\nIssued At: 2021-09-30T16:25:24Z",
)


def keys() -> list[str]:
    """Return private keys that guard nothing: the least, the greatest, and sixteen in between."""
    between = [hashlib.sha256(f"golden {number}".encode()).hexdigest() for number in range(16)]
    return [f"{1:064x}", f"{ORDER - 1:064x}", *between]


def main() -> None:
    from eth_account import Account
    from eth_account.messages import encode_defunct

    rows = []
    for number, key in enumerate(keys()):
        account = Account.from_key("0x" + key)
        for text in TEXTS if number < 3 else [TEXTS[number % len(TEXTS)]]:
            signature = account.sign_message(encode_defunct(text=text)).signature
            rows.append({"key": key, "address": account.address, "text": text, "signature": "0x" + signature.hex()})
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
