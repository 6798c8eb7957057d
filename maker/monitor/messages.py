"""How each kind of target wants a notice spelled: pure, and bounded in length.

A sentence may quote the exchange, a venue or an operator: nothing in it may ring everybody's phone, become a link or
break a line. Each target's own marks are escaped, mentions are off where there is a switch for them, control and
formatting characters are taken out everywhere.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from maker.app.alert_config import Kind
from maker.monitor.standing import Notice

SLACK_CHARACTERS_MAX: Final = 3_000  # 40,000 are cut by Slack, 4,000 are its advice
DISCORD_CHARACTERS_MAX: Final = 2_000  # documented: longer is refused
TELEGRAM_UNITS_MAX: Final = 4_096  # documented, of UTF-16; longer is refused
WEBHOOK_CHARACTERS_MAX: Final = 4_000
DISCORD_MARKS: Final = re.compile(r"([\\`*_~|<>#\[\]:-])")
DISCORD_NO_EMBEDS: Final = 4  # flag SUPPRESS_EMBEDS: no previews of links
UNSEEN: Final = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))  # controls, direction marks, line separators
ELLIPSIS: Final = "…"
HEADS: Final = {
    "begins": "{severity}",
    "worse": "{severity}, worse",
    "reminder": "{severity}, still",
    "ends": "over",
    "happens": "{severity}",
    "test": "test",
}


@attrs.frozen
class Sender:
    """Who tells."""

    account: str
    host: str
    mode: str  # paper | live

    @property
    def signature(self) -> str:
        return f"{self.account}@{self.host} ({self.mode})"


def body(notice: Notice, sender: Sender, kind: Kind, chat: str = "") -> bytes:
    """Spell a notice as a target of this kind takes it."""
    told = text(notice, sender)
    spelled: dict[str, Any]
    match kind:
        case Kind.WEBHOOK:
            spelled = generic(notice, sender, fitted(told, WEBHOOK_CHARACTERS_MAX))
        case Kind.SLACK:
            spelled = {
                "text": fitted(told, SLACK_CHARACTERS_MAX, slack_escaped),
                "mrkdwn": False,
                "unfurl_links": False,
                "unfurl_media": False,
            }
        case Kind.DISCORD:
            spelled = {
                "content": fitted(told, DISCORD_CHARACTERS_MAX, discord_escaped),
                "allowed_mentions": {"parse": []},
                "flags": DISCORD_NO_EMBEDS,
            }
        case Kind.TELEGRAM:  # without a parse mode: nothing in it is a mark
            spelled = {
                "chat_id": chat,
                "text": fitted(told, TELEGRAM_UNITS_MAX, measure=utf16_units),
                "link_preview_options": {"is_disabled": True},
            }
    return json.dumps(spelled, ensure_ascii=True, allow_nan=False).encode("ascii")


def text(notice: Notice, sender: Sender) -> str:
    """A notice for people: what, whose, what was seen, what to do."""
    head = HEADS[notice.phase].format(severity=notice.severity.value.upper())
    about = f"{notice.name} {notice.subject}".rstrip()
    lines = [f"[{head}] {about} · {sender.signature}", notice.sentence]
    if notice.todo:
        lines.append(f"What to do: {notice.todo}")
    return "\n".join(clean(line) for line in lines)


def generic(notice: Notice, sender: Sender, told: str) -> dict[str, Any]:
    """Our own JSON; a receiver may tell repeats by `id`, and pairs a beginning with its end by `name` and `subject`."""
    return {
        "version": 1,
        "id": notice.notice_id,
        "name": notice.name,
        "subject": clean(notice.subject),
        "phase": notice.phase,
        "severity": notice.severity.value,
        "account": sender.account,
        "host": sender.host,
        "mode": sender.mode,
        "sentence": clean(notice.sentence),
        "what_to_do": notice.todo,
        "at": iso(notice.at),
        "since": iso(notice.since),
        "text": told,
    }


def iso(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(line: str) -> str:
    """One line of visible characters."""
    return "".join(" " if unicodedata.category(letter) in UNSEEN else letter for letter in line)


def slack_escaped(told: str) -> str:
    """Slack's three control characters, as its documentation asks: links and mentions are made of them."""
    return told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def discord_escaped(told: str) -> str:
    return DISCORD_MARKS.sub(r"\\\1", told)


def utf16_units(told: str) -> int:
    return len(told.encode("utf-16-le", "surrogatepass")) // 2


def same(told: str) -> str:
    return told


def fitted(told: str, length_max: int, escape: Callable[[str], str] = same, measure: Callable[[str], int] = len) -> str:
    """Escape a text, cut so that what comes out is short enough; an escape is never cut in two."""
    escaped = escape(told)
    while measure(escaped) > length_max:
        told = told[: min(len(told) - 2, length_max)]
        escaped = escape(told + ELLIPSIS)
        told += ELLIPSIS
    return escaped
