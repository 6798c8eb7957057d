"""What a check comes to, for people and for programs."""

from __future__ import annotations

import pytest

from maker.errors import ExitCode
from maker.preflight.verdict import (
    Row,
    Verdict,
    exit_code,
    failed,
    not_made,
    ok,
    sentence,
    shown,
    summary,
    unknown,
    warning,
)

KEY = "ocx_sk_canary_0123456789"
FINE = Row("disk", ok("Room."))
REFUSES = Row("latch", failed("Latched.", "Clear it.", ExitCode.REFUSED_TO_START))
NO_KEY = Row("scope", failed("It may read.", "Mint one.", ExitCode.CREDENTIALS))
WRONG = Row("clock", failed("It is off.", "Set it."))
SKIPPED = Row("losses", not_made("margin did not pass"))
WARNED = Row("expiry", warning("It never expires.", "Mint one."))
UNTOLD = Row("fees", unknown("Not told.", "Look."))


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], ExitCode.CLEAN),
        ([FINE, WARNED, UNTOLD], ExitCode.CLEAN),
        ([FINE, WRONG], ExitCode.FAILURES_FOUND),
        ([FINE, SKIPPED], ExitCode.FAILURES_FOUND),
        ([WRONG, REFUSES, NO_KEY], ExitCode.REFUSED_TO_START),
        ([SKIPPED, NO_KEY, REFUSES], ExitCode.CREDENTIALS),
    ],
)
def test_the_exit_code_is_the_first_refusals(rows: list[Row], code: ExitCode) -> None:
    """77 or 78 where a start would be refused, whatever else failed; what was not made is no pass."""
    assert exit_code(rows) is code


def test_a_line_says_what_to_do() -> None:
    assert WRONG.line == "FAILED    clock                 It is off. Set it."
    assert FINE.line == "ok        disk                  Room."
    assert SKIPPED.line == "not made  losses                Not made: margin did not pass."


def test_a_row_for_programs() -> None:
    assert NO_KEY.fields == {
        "name": "scope",
        "verdict": "failed",
        "found": "It may read.",
        "fix": "Mint one.",
        "exit_code": 77,
    }
    assert (UNTOLD.fields["verdict"], UNTOLD.fields["exit_code"]) == ("not told", 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([FINE, FINE], "Of 2 checks 2 ok; nothing stands against a start."),
        (
            [FINE, WARNED, UNTOLD],
            "Of 3 checks 1 ok, 1 with a warning, 1 that nobody told; nothing stands against a start.",
        ),
        (
            [FINE, WRONG, SKIPPED],
            "Of 3 checks 1 ok, 1 failed, 1 not made; a start would not be refused for it, but should wait.",
        ),
        ([REFUSES], "Of 1 checks 1 failed; a start would be refused."),
    ],
)
def test_all_of_them_in_a_sentence(rows: list[Row], said: str) -> None:
    assert summary(rows) == said


def test_a_failure_without_a_fix_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        failed("It is off.", "")


def test_passing_is_spelled_out() -> None:
    passes = {verdict: verdict.passes for verdict in Verdict}
    assert passes == {
        Verdict.OK: True,
        Verdict.WARNING: True,
        Verdict.UNKNOWN: True,
        Verdict.FAILED: False,
        Verdict.NOT_MADE: False,
    }


@pytest.mark.parametrize("echo", [KEY, f"'{KEY}'", f"Bearer {KEY}, again", KEY[:12], "ocx_sk_of_somebody_else"])
def test_no_key_is_shown_whoever_echoed_it(echo: str) -> None:
    row = shown(Row("listing", failed(f"It says {echo}.", f"Look at {echo}.")), KEY)
    assert "[a key]" in row.line
    assert "ocx_sk_" not in row.line


def test_a_key_of_another_form_is_cut_out_too() -> None:
    assert "abc" not in shown(Row("key", ok("abc and abcabc")), "abc").line


def test_a_row_is_one_line_and_moves_no_cursor() -> None:
    row = shown(Row("listing", ok("a\nb\r\x1b[2Jc\u2028d" + "e" * 5000)), "")
    assert row.line.isprintable()
    assert len(row.line) < 600


@pytest.mark.parametrize(
    ("said", "whole"), [("it is off", "It is off."), ("Off.", "Off."), ("off:", "Off."), ("", "Str.")]
)
def test_words_become_a_sentence(said: str, whole: str) -> None:
    assert sentence(said) == whole
