"""Who signed a text: the address behind a `personal_sign`, reckoned in plain integers.

Written from the standards (FIPS 202 for the permutation, SEC 1 section 4.1.6 for recovery, SEC 2 for the curve, EIP-191
and EIP-55) and sharing nothing with the wallet's side, which uses libraries: a slip of either is seen by the other.
Nothing here is secret, so nothing needs constant time. It takes some 20 ms, which a sign-in may.
"""

from __future__ import annotations

import re
from typing import Final

# -- Keccak-256 ---------------------------------------------------------------------------------------------------

RATE_BYTES: Final = 136  # 1600 bits less twice the 256 of the digest
MASK: Final = (1 << 64) - 1


def round_constants() -> list[int]:
    """Return the 24 constants of step iota, by its shift register (FIPS 202, algorithm 5)."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


ROUND_CONSTANTS: Final = round_constants()


def turn(lane: int, by: int) -> int:
    """Rotate 64 bits to the left."""
    return ((lane << by) | (lane >> (64 - by))) & MASK


def permute(lanes: list[int]) -> list[int]:
    """Keccak-f[1600] on 25 lanes, lane (x, y) at x + 5 y."""
    for constant in ROUND_CONSTANTS:
        parity = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        lanes = [lanes[i] ^ parity[(i + 4) % 5] ^ turn(parity[(i + 1) % 5], 1) for i in range(25)]  # theta
        moved = lanes[:1] * 25
        x, y = 1, 0
        for step in range(24):  # rho and pi
            target = y, (2 * x + 3 * y) % 5
            moved[target[0] + 5 * target[1]] = turn(lanes[x + 5 * y], (step + 1) * (step + 2) // 2 % 64)
            x, y = target
        lanes = [
            moved[i] ^ (~moved[i // 5 * 5 + (i + 1) % 5] & MASK & moved[i // 5 * 5 + (i + 2) % 5]) for i in range(25)
        ]  # chi
        lanes[0] ^= constant
    return lanes


def sponge(data: bytes, padding: int) -> bytes:
    """Return the 256-bit digest; `padding` is the byte after the data: 0x01 Keccak's, 0x06 that of SHA-3."""
    padded = bytearray(data) + bytes([padding]) + bytes(-(len(data) + 1) % RATE_BYTES)
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), RATE_BYTES):
        for i in range(RATE_BYTES // 8):
            lanes[i] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        lanes = permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def keccak(data: bytes) -> bytes:
    """Return Keccak-256, as Ethereum has it."""
    return sponge(data, 0x01)


# -- secp256k1 ----------------------------------------------------------------------------------------------------

P: Final = 2**256 - 2**32 - 977  # the field: y² = x³ + 7
N: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # the group's order
G: Final = (
    0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798,
    0x483ADA77_26A3C465_5DA4FBFC_0E1108A8_FD17B448_A6855419_9C47D08F_FB10D4B8,
)
Point = tuple[int, int, int]  # Jacobian: x / z², y / z³; z = 0 is the point at infinity
INFINITY: Final = (0, 1, 0)


def double(point: Point) -> Point:
    x, y, z = point
    square = y * y % P
    s, m = 4 * x * square % P, 3 * x * x % P
    new_x = (m * m - 2 * s) % P
    return new_x, (m * (s - new_x) - 8 * square * square) % P, 2 * y * z % P


def add(one: Point, other: Point) -> Point:
    if not one[2] or not other[2]:
        return other if not one[2] else one
    square, other_square = one[2] * one[2] % P, other[2] * other[2] % P
    u, v = one[0] * other_square % P, other[0] * square % P
    s, t = one[1] * other_square * other[2] % P, other[1] * square * one[2] % P
    if u == v:
        return double(one) if s == t else INFINITY
    h, r = (v - u) % P, (t - s) % P
    cube, middle = h * h * h % P, u * h * h % P
    x = (r * r - cube - 2 * middle) % P
    return x, (r * (middle - x) - s * cube) % P, h * one[2] * other[2] % P


def multiply(point: Point, times: int) -> Point:
    result = INFINITY
    for bit in f"{times:b}":
        result = double(result)
        if bit == "1":
            result = add(result, point)
    return result


def recover(digest: bytes, r: int, s: int, parity: int) -> tuple[int, int] | None:
    """Return the public key behind a signature (SEC 1, 4.1.6, with R's x equal to r); None where there is none.

    An x beyond the group's order, which a wallet meets once in 2¹²⁷ signatures, is not looked for.
    """
    if not (0 < r < N and 0 < s < N):
        return None
    square = (pow(r, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    if y & 1 != parity:
        y = P - y
    inverse = pow(r, -1, N)
    e = int.from_bytes(digest, "big")
    x, y, z = add(multiply((*G, 1), -e * inverse % N), multiply((r, y, 1), s * inverse % N))
    if not z:
        return None
    unit = pow(z, -1, P)
    return x * unit * unit % P, y * unit**3 % P


# -- what a sign-in needs -----------------------------------------------------------------------------------------

SIGNATURE: Final = re.compile(r"0x([0-9a-fA-F]{64})([0-9a-fA-F]{64})([0-9a-fA-F]{2})")
PARITY_OF_V: Final = {27: 0, 28: 1, 0: 0, 1: 1}  # wallets write the former, some hardware the latter


def capitalised(address: bytes) -> str:
    """Return an address as EIP-55 writes it."""
    low = address.hex()
    marks = int.from_bytes(keccak(low.encode())[:20], "big")
    return "0x" + "".join(low[i].upper() if marks >> (4 * (39 - i)) & 8 else low[i] for i in range(40))


def signer(text: str, signature: str) -> str | None:
    """Return the address that made a `personal_sign` of a text; None where nobody can have made it.

    A high s, which anyone could make of another's signature, is refused as wallets' libraries do (EIP-2).
    """
    parts = SIGNATURE.fullmatch(signature)
    if parts is None:
        return None
    r, s, v = (int(part, 16) for part in parts.groups())
    if v not in PARITY_OF_V or s > N // 2:
        return None
    data = text.encode()
    key = recover(keccak(b"\x19Ethereum Signed Message:\n%d%s" % (len(data), data)), r, s, PARITY_OF_V[v])
    if key is None:
        return None
    return capitalised(keccak(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[12:])
