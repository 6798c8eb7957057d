"""What one check came to, as a line for people and a row for programs; and what all of them come to."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final

import attrs

from maker.errors import ExitCode
from maker.wire.redaction import KEY_REDACTED, without_secrets

TEXT_CHARACTERS_MAX: Final = 500  # of what is shown of a check: it may quote what somebody else sent
REDACTED: Final = "[a key]"


class Verdict(enum.Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # a start would go on; a person should know
    UNKNOWN = "not told"  # nobody here can tell: the exchange does not say
    FAILED = "FAILED"
    NOT_MADE = "not made"  # an earlier one failed, or time was up: that is no pass

    @property
    def passes(self) -> bool:
        """Whether what builds on it may be checked, and a start be tried."""
        return self in (Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN)


@attrs.frozen
class Finding:
    """What a check found. `said` and `fix` are sentences; a failed one always has a fix."""

    verdict: Verdict
    said: str
    fix: str = ""
    exit_code: ExitCode = ExitCode.CLEAN  # of a failed one: 77 or 78, if `run` would be refused for this; else 1


def sentence(said: object) -> str:
    """Words as a sentence: a capital first, a full stop last."""
    text = str(said).strip().rstrip(".:") or type(said).__name__
    return f"{text[0].upper()}{text[1:]}."


def ok(said: str) -> Finding:
    return Finding(Verdict.OK, said)


def warning(said: str, fix: str) -> Finding:
    return Finding(Verdict.WARNING, said, fix)


def unknown(said: str, fix: str) -> Finding:
    return Finding(Verdict.UNKNOWN, said, fix)


def failed(said: str, fix: str, exit_code: ExitCode = ExitCode.FAILURES_FOUND) -> Finding:
    assert fix, "whoever reads of a failure wants to know what to do"
    return Finding(Verdict.FAILED, said, fix, exit_code)


def not_made(why: str) -> Finding:
    return Finding(Verdict.NOT_MADE, f"Not made: {why}.", exit_code=ExitCode.FAILURES_FOUND)


@attrs.frozen
class Row:
    """One check with its finding."""

    name: str
    finding: Finding

    @property
    def line(self) -> str:
        """One line for people."""
        found = self.finding
        return f"{found.verdict.value:8}  {self.name:20}  {found.said} {found.fix}".rstrip()

    @property
    def fields(self) -> dict[str, Any]:
        """One row of the JSON object."""
        found = self.finding
        return {
            "name": self.name,
            "verdict": found.verdict.value.lower(),
            "found": found.said,
            "fix": found.fix,
            "exit_code": int(found.exit_code),
        }


def shown(row: Row, secret: str) -> Row:
    """A row fit for a terminal: on one line, without control characters, and without the key, whoever echoed it."""
    found = row.finding
    return Row(row.name, attrs.evolve(found, said=harmless(found.said, secret), fix=harmless(found.fix, secret)))


def harmless(text: str, secret: str) -> str:
    if secret:
        text = text.replace(secret, REDACTED)
    text = without_secrets(text).replace(KEY_REDACTED, REDACTED)  # also a part of one, and another one
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[:TEXT_CHARACTERS_MAX]} …"


def exit_code(rows: Iterable[Row]) -> ExitCode:
    """77 or 78 where `run` would be refused, by the first check that says so; else 1 for any that did not pass."""
    codes = [row.finding.exit_code for row in rows if not row.finding.verdict.passes]
    refusals = [code for code in codes if code is not ExitCode.FAILURES_FOUND]
    return [*refusals, *codes, ExitCode.CLEAN][0]


def summary(rows: list[Row]) -> str:
    """One sentence on all of it."""
    code = exit_code(rows)
    counts = {verdict: sum(row.finding.verdict is verdict for row in rows) for verdict in Verdict}
    words = {
        Verdict.OK: "ok",
        Verdict.WARNING: "with a warning",
        Verdict.UNKNOWN: "that nobody told",
        Verdict.FAILED: "failed",
        Verdict.NOT_MADE: "not made",
    }
    parts = ", ".join(f"{counts[verdict]} {words[verdict]}" for verdict in Verdict if counts[verdict])
    ends = {
        ExitCode.CLEAN: "nothing stands against a start",
        ExitCode.FAILURES_FOUND: "a start would not be refused for it, but should wait",
    }
    return f"Of {len(rows)} checks {parts}; {ends.get(code, 'a start would be refused')}."
