"""Messages: each target's spelling, escaped, without mentions, short enough, with account and host."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.app.alert_config import Kind, Severity
from maker.monitor.messages import (
    DISCORD_CHARACTERS_MAX,
    SLACK_CHARACTERS_MAX,
    TELEGRAM_UNITS_MAX,
    WEBHOOK_CHARACTERS_MAX,
    Sender,
    body,
    utf16_units,
)
from maker.monitor.standing import Notice

WHO = Sender("desk-1", "host7", "live")
NOTICE = Notice(
    "e-1", "halted", "BTC-PERP", "begins", Severity.CRITICAL, "it <stopped> & *why*", "`say` so", 1_800_000_000.5, 1.8e9
)


def spelled(kind: Kind, notice: Notice = NOTICE) -> dict[str, Any]:
    found = json.loads(body(notice, WHO, kind, "-100"))
    assert isinstance(found, dict)
    return found


def test_a_webhook_gets_all_of_it() -> None:
    assert spelled(Kind.WEBHOOK) == {
        "version": 1,
        "id": "e-1",
        "name": "halted",
        "subject": "BTC-PERP",
        "phase": "begins",
        "severity": "critical",
        "account": "desk-1",
        "host": "host7",
        "mode": "live",
        "sentence": "it <stopped> & *why*",
        "what_to_do": "`say` so",
        "at": "2027-01-15T08:00:00.500Z",
        "since": "2027-01-15T08:00:00.000Z",
        "text": "[CRITICAL] halted BTC-PERP · desk-1@host7 (live)\nit <stopped> & *why*\nWhat to do: `say` so",
    }


def test_slack_is_escaped_and_unmarked() -> None:
    found = spelled(Kind.SLACK)
    assert found["text"].splitlines()[1] == "it &lt;stopped&gt; &amp; *why*"
    assert (found["mrkdwn"], found["unfurl_links"], found["unfurl_media"]) == (False, False, False)


def test_discord_mentions_nobody() -> None:
    found = spelled(Kind.DISCORD)
    assert found["allowed_mentions"] == {"parse": []}
    assert found["content"].splitlines()[1] == r"it \<stopped\> & \*why\*"


def test_telegram_parses_nothing() -> None:
    found = spelled(Kind.TELEGRAM)
    assert "parse_mode" not in found
    assert found["chat_id"] == "-100"
    assert found["text"].splitlines()[1] == "it <stopped> & *why*"


@pytest.mark.parametrize(
    ("phase", "head"),
    [("worse", "[CRITICAL, worse]"), ("reminder", "[CRITICAL, still]"), ("ends", "[over]"), ("test", "[test]")],
)
def test_the_phase_is_told(phase: str, head: str) -> None:
    assert spelled(Kind.TELEGRAM, attrs.evolve(NOTICE, phase=phase))["text"].startswith(head)


LENGTHS = {
    Kind.WEBHOOK: ("text", WEBHOOK_CHARACTERS_MAX, len),
    Kind.SLACK: ("text", SLACK_CHARACTERS_MAX, len),
    Kind.DISCORD: ("content", DISCORD_CHARACTERS_MAX, len),
    Kind.TELEGRAM: ("text", TELEGRAM_UNITS_MAX, utf16_units),
}


@given(st.text(max_size=600) | st.text("<&>*_`|\\@#", max_size=600).map(lambda text: text * 4), st.sampled_from(Kind))
def test_whatever_a_sentence_holds_the_message_is_whole(sentence: str, kind: Kind) -> None:
    """ASCII JSON, within the target's length, a line a line, nothing hidden; and no escape is cut in two."""
    notice = attrs.evolve(NOTICE, sentence=sentence, todo=sentence)
    raw = body(notice, WHO, kind, "1")
    assert raw.isascii()
    field, length_max, measure = LENGTHS[kind]
    text = json.loads(raw)[field]
    assert measure(text) <= length_max
    assert len(text.split("\n")) <= 3
    assert not any(letter in text for letter in "\r\x00\u202e\u2028")
    if kind is Kind.SLACK:
        assert "<" not in text
        assert ">" not in text
        assert text.count("&") == text.count("&amp;") + text.count("&lt;") + text.count("&gt;")
    if kind is Kind.DISCORD:
        assert not any(text[at] in "*_`<" and text[at - 1] != "\\" for at in range(len(text)))


def test_direction_marks_and_line_ends_are_taken_out() -> None:
    notice = attrs.evolve(NOTICE, sentence="a\u202eb\nc\u2028d\x00e\ud800f")
    assert spelled(Kind.WEBHOOK, notice)["sentence"] == "a b c d e f"
