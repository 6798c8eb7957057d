"""One tree of errors. The type says whose fault it was, and what may be assumed afterwards.

MakerError
├── ConfigError                 ours: the configuration; names the field and the fix
├── StartRefused                ours: nothing was placed; the sentence says why (foreign orders, no such market, …)
├── StreamBroken                theirs: a stream can no longer be trusted; close, pull quotes, start from a snapshot
└── OcxError                    the exchange's answer to one call
    ├── Refused                 known NOT applied (4xx other than those below)
    ├── Throttled               known not applied; wait `seconds`
    ├── Unauthorized            401/403, or a revoked key: never spin
    └── OutcomeUnknown          sent and not answered (or answered in garbage, or 5xx): never retried
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Process exit codes; part of the command line's contract."""

    CLEAN = 0  # stopped as asked and the exchange read back empty
    FAILURES_FOUND = 1  # a drill, simulation or check found failures
    USAGE = 2
    FAILED_EMPTY = 70  # failed, but the exchange was read back empty
    UNVERIFIED = 75  # could not verify: quotes may rest
    CREDENTIALS = 77
    REFUSED_TO_START = 78  # configuration, latch, lock, foreign orders: the sentence says which


class MakerError(Exception):
    """Root of everything this program raises on purpose."""


class ConfigError(MakerError):
    """A configuration that must not run: `field` is its dotted name, `problem` and `fix` are sentences."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem} {fix}")
        self.field = field
        self.problem = problem
        self.fix = fix


class StartRefused(MakerError):
    """The program must not start; nothing was placed and nothing cancelled. `problem` and `fix` are sentences."""

    def __init__(self, problem: str, exit_code: ExitCode = ExitCode.REFUSED_TO_START, *, fix: str = "") -> None:
        self.sentence = f"{problem} {fix}".rstrip()
        super().__init__(self.sentence)
        self.problem = problem
        self.fix = fix
        self.exit_code = exit_code


class StreamFault(enum.Enum):
    """Why a stream can no longer be trusted."""

    GAP = "gap"  # a number was skipped, repeated out of order, or a delta came before the snapshot
    SILENT = "silent"  # neither data nor heartbeat within 1.5 heartbeats
    MALFORMED = "malformed"  # not the protocol: bad JSON, missing field, crossed book, oversized line
    CLOSED = "closed"  # end of stream, reset, refused, or the exchange said `event: error`


class StreamBroken(MakerError):
    """A stream that must be closed: pull its market's quotes and start again from a new snapshot."""

    def __init__(self, fault: StreamFault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


class OcxError(MakerError):
    """The exchange did not do what a call asked."""


class Refused(OcxError):
    """The call is known not to have been applied: HTTP `status`, the exchange's `code` and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class Throttled(OcxError):
    """429: known not applied; nothing but waiting helps. `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rate limited for {seconds:.3f} s")
        self.seconds = seconds


class Unauthorized(OcxError):
    """401 or 403, or 409 for a revoked key: credentials, scope or address not accepted."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class OutcomeUnknown(OcxError):
    """A write left and no trustworthy answer came: it may or may not have been applied."""
