"""What `keys` says: how a command ended, keys for people and for programs. Times are unix seconds."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from maker.errors import ExitCode, MakerError
from maker.wire.access import KeySeen

DAY_SECONDS: Final = 86_400.0


@attrs.define
class Outcome:
    """What it came to: one sentence, further lines for people, further fields for programs."""

    reason: str
    exit_code: ExitCode = ExitCode.CLEAN
    lines: list[str] = attrs.field(factory=list)
    fields: dict[str, Any] = attrs.field(factory=dict, repr=False)  # may hold a new secret


class Undone(MakerError):
    """It was not done, or nobody knows whether; the message is one sentence."""


def days_left(row: KeySeen, now: float) -> float | None:
    """The days a key is still good for; None: for ever."""
    return None if row.expires_at is None else max(0.0, round((row.expires_at - now) / DAY_SECONDS, 1))


def day(moment: float | None) -> str:
    return "never" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}Z"


def described(row: KeySeen, now: float) -> str:
    """One key in a few words."""
    ends = (
        "never expires" if row.expires_at is None else f"expires {day(row.expires_at)}, in {days_left(row, now)} days"
    )
    return f"scope {row.scope}, from {' '.join(row.allowed_ips) or 'any address'}, {ends}"


def told(row: KeySeen, now: float) -> dict[str, Any]:
    """One key for programs."""
    return {
        "id": row.key_id,
        "name": row.name,
        "scope": row.scope,
        "status": row.status,
        "allowed_ips": list(row.allowed_ips),
        "expires_at": row.expires_at,
        "days_left": days_left(row, now),
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
        "last_used_ip": row.last_used_ip,
    }


def table(rows: tuple[KeySeen, ...], now: float) -> list[str]:
    """All keys for people, a line each."""
    cells = [("ID", "NAME", "SCOPE", "STATUS", "DAYS LEFT", "ADDRESSES", "LAST USED")]
    for row in rows:
        left = "ever" if row.expires_at is None else f"{days_left(row, now)}"
        used = "never" if row.last_used_at is None else f"{day(row.last_used_at)} {row.last_used_ip or ''}"
        name = "".join(letter if letter.isprintable() else "?" for letter in row.name)
        cells.append((row.key_id, name, row.scope, row.status, left, " ".join(row.allowed_ips) or "any", used))
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def say(sentence: str) -> None:
    """Tell progress on stderr; stdout is for the result."""
    with contextlib.suppress(OSError):
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()
