"""The table of reasons to pull every quote, and whether the program may quote again by itself afterwards.

A recoverable reason pulls everything (unscoped, before anything else), verifies, waits until every input is consistent
and quotes again. Any other ends the run through the halt, with its exit code.
"""

from __future__ import annotations

import enum

import attrs

from maker.errors import ExitCode


@attrs.frozen
class Row:
    """One reason: the sentence is for the operator; `exit_code` is None where the run goes on."""

    sentence: str
    exit_code: ExitCode | None = None


class Reason(enum.Enum):
    """Why quotes are pulled."""

    REFERENCE_STALE = Row("the reference feed is stale or down")
    STREAM_BROKEN = Row("a market's event stream broke")
    STREAM_SILENT = Row("a market's event stream is silent, without even a heartbeat")
    NO_FAIR_VALUE = Row("there is no fair value to quote around")
    OUTCOME_UNKNOWN = Row("a ladder was sent and no answer to trust came back")
    ORDERS_FAILING = Row("order calls failed repeatedly")
    QUOTES_TOO_OLD = Row("quotes rest that could not be replaced in time")
    MARKET_HALTED = Row("the exchange has halted a market")
    ORDERS_DISAGREE = Row("an order rests that we do not know")
    POSITION_UNEXPLAINED = Row("the position changed and no fill of ours explains it")
    STOP_ASKED = Row("stopped as asked", ExitCode.CLEAN)
    TIME_UP = Row("the time asked for is over", ExitCode.CLEAN)
    OWNER_GONE = Row("the parent process is gone", ExitCode.FAILED_EMPTY)
    JOURNAL_LOST = Row("the journal can no longer be written", ExitCode.FAILED_EMPTY)
    CREDENTIALS = Row("the exchange does not accept our credentials", ExitCode.CREDENTIALS)
    UNHANDLED_ERROR = Row("an unexpected error", ExitCode.FAILED_EMPTY)

    @property
    def sentence(self) -> str:
        return self.value.sentence

    @property
    def recoverable(self) -> bool:
        return self.value.exit_code is None


@attrs.frozen
class Trip:
    """One pull: the reason and what was seen."""

    reason: Reason
    detail: str

    @property
    def sentence(self) -> str:
        return f"{self.reason.sentence}: {self.detail}" if self.detail else self.reason.sentence
