"""The table of reasons to pull every quote: when each fires, and what the program may do by itself afterwards.

A recoverable reason pulls everything (unscoped, before anything else), verifies, waits until every input is consistent
and quotes again without a person. Any other ends the run through the halt, with its exit code. A latched one writes the
kill file too, once the cancel-all has left: nothing quotes and nothing starts until a person has looked and cleared it.

A threshold says where its number lives: a constant as `room.NAME`, or a configuration key as `[table] key`.
"""

from __future__ import annotations

import enum

import attrs

from maker.errors import ExitCode

AT_ONCE = ()  # no number: the thing itself is the reason


@attrs.frozen
class Row:
    """One reason: the sentence is for the operator; `exit_code` is None where the run goes on."""

    sentence: str
    thresholds: tuple[str, ...]
    exit_code: ExitCode | None = None
    latched: bool = False  # survives a restart: refused until a person clears it
    closes: bool = False  # positions are closed on the way out, where `[limits] flatten` says so


class Reason(enum.Enum):
    """Why quotes are pulled."""

    # what we price by
    REFERENCE_STALE = Row(
        "too few reference feeds are fresh to price by", ("[source] stale_seconds_max", "[market] sources_min")
    )
    NO_FAIR_VALUE = Row(
        "there is no fair value to quote around",
        (
            "[market] index_stale_seconds_max",
            "[market] basis_bps_max",
            "[market] mark_index_bps_max",
            "maker.desk.engine.WORTH_SECONDS_MAX",
        ),
    )
    PRICE_JUMP = Row(
        "the fair value jumped, and the new level is not confirmed yet",
        ("[market] jump_bps", "[market] jump_seconds", "[market] jump_confirm_seconds"),
    )
    STREAM_BROKEN = Row("a market's event stream broke", AT_ONCE)
    STREAM_SILENT = Row(
        "a market's event stream is silent, without even a heartbeat", ("maker.app.config.STREAM_SILENT_SECONDS",)
    )
    # our orders
    OUTCOME_UNKNOWN = Row("a ladder was sent and no answer to trust came back", ("[halt] write_seconds_max",))
    ORDERS_FAILING = Row(
        "order calls failed repeatedly", ("maker.desk.setbacks.PLACE_FAILURES_MAX", "maker.app.quoter.FAILURES_MAX")
    )
    QUOTES_TOO_OLD = Row(
        "quotes rest that could not be replaced in time",
        ("[cycle] quote_age_seconds_max", "maker.desk.engine.QUOTE_AGE_PULL", "maker.desk.engine.PASSED_SECONDS_MAX"),
    )
    MARGIN_REFUSED = Row("margin was refused repeatedly", ("maker.desk.setbacks.MARGIN_REFUSALS_MAX",))
    MARKET_HALTED = Row("the exchange has halted a market", AT_ONCE)
    ORDERS_DISAGREE = Row("an order rests that we do not know", AT_ONCE)
    # our position and our money
    POSITION_DISAGREES = Row(
        "the position changed and no fill of ours explains it yet", ("maker.desk.engine.POSITION_GRACE_SECONDS",)
    )
    POSITION_UNEXPLAINED = Row(
        "the account was read back, and still no fill of ours explains its position: a liquidation, or somebody else",
        ("maker.desk.facts.POSITION_READ_SECONDS",),
        ExitCode.FAILED_EMPTY,
        latched=True,
    )
    OVERFILLED = Row("more was filled than we ever asked for", AT_ONCE, ExitCode.FAILED_EMPTY, latched=True)
    POSITION_LIMIT = Row("the position is beyond its limit", ("[market] position_limit",), ExitCode.FAILED_EMPTY)
    BURST = Row(
        "more was filled in a short time than a market may trade, and it is frozen",
        ("[market] burst_size_max", "[market] burst_value_max", "[market] burst_seconds"),
    )
    REPEATED_EXECUTION = Row(
        "more was filled in a short time than a market may trade before a person looks",
        (
            "[market] burst_fills_max",
            "[market] burst_size_max",
            "[market] burst_value_max",
            "[market] burst_seconds",
        ),
        ExitCode.FAILED_EMPTY,
        latched=True,
    )
    DRAWDOWN = Row(
        "the account has lost too much since its best moment",
        ("[limits] drawdown_max",),
        ExitCode.FAILED_EMPTY,
        latched=True,
        closes=True,
    )
    DAILY_LOSS = Row(
        "the account has lost too much today",
        ("[limits] daily_loss_max",),
        ExitCode.FAILED_EMPTY,
        latched=True,
        closes=True,
    )
    MARGIN_HEADROOM = Row(
        "positions leave too little margin free",
        ("[limits] headroom_flatten_ratio", "maker.desk.margin.FLATTEN_READINGS"),
        ExitCode.FAILED_EMPTY,
        latched=True,
        closes=True,
    )
    # this process and this machine
    LOOP_LAG = Row("this process stood still", ("maker.app.watches.LAG_SECONDS_MAX",))
    SUSPENDED = Row("this machine was suspended", ("maker.app.watches.SUSPEND_SECONDS_MAX",))
    CLOCK_JUMPED = Row("this machine's clock was set to another time", ("maker.app.watches.CLOCK_JUMP_SECONDS_MAX",))
    CLOCK_SKEW = Row(
        "this machine's clock is not the exchange's",
        ("maker.app.watches.SKEW_SECONDS_MAX", "maker.app.watches.SKEW_ANSWERS"),
        ExitCode.FAILED_EMPTY,
    )
    JOURNAL_LOST = Row("the journal can no longer be written", AT_ONCE, ExitCode.FAILED_EMPTY)
    CREDENTIALS = Row("the exchange does not accept our credentials", AT_ONCE, ExitCode.CREDENTIALS)
    KEY_EXPIRES = Row(
        "the API key expires soon, and nobody could pull with it after that",
        ("[guard] give_up_seconds", "[guard] tail_seconds", "maker.launch.key.SPARE_SECONDS"),
        ExitCode.CREDENTIALS,
    )
    UNHANDLED_ERROR = Row("an unexpected error", AT_ONCE, ExitCode.FAILED_EMPTY)
    OWNER_GONE = Row("the guard, our parent process, is gone", AT_ONCE, ExitCode.FAILED_EMPTY)
    # people
    LIMITS_LOWERED = Row("a limit was lowered below what rests", AT_ONCE)
    KEY_CHANGED = Row("the API key is changed, which is done while nothing rests", AT_ONCE)
    STOP_ASKED = Row("stopped as asked", AT_ONCE, ExitCode.CLEAN)
    TIME_UP = Row("the time asked for is over", AT_ONCE, ExitCode.CLEAN)
    KILLED = Row(
        "the kill file says stop", ("maker.app.watches.WATCH_SECONDS",), ExitCode.CLEAN, latched=True
    )  # it is latched already: whoever wrote the file did it

    @property
    def sentence(self) -> str:
        return self.value.sentence

    @property
    def recoverable(self) -> bool:
        return self.value.exit_code is None

    @property
    def latched(self) -> bool:
        return self.value.latched

    @property
    def weight(self) -> int:
        """Which reason is told while quotes are pulled for another: one that asks for more."""
        return 0 if self.recoverable else 2 if self.latched else 1


@attrs.frozen
class Trip:
    """One pull: the reason and what was seen."""

    reason: Reason
    detail: str

    @property
    def sentence(self) -> str:
        return f"{self.reason.sentence}: {self.detail}" if self.detail else self.reason.sentence
