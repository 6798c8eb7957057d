"""What a run ends with: the maker's own result, or what must be assumed without one."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from maker.guard.exchange import Pulled
from maker.guard.watch import Ended

CLEAN = 0
USAGE = 2
FAILED_EMPTY = 70
UNVERIFIED = 75  # could not verify: quotes may rest
CREDENTIALS = 77
REFUSED_TO_START = 78


SECONDS_MAX = 1e12  # of this machine's clock: more is no moment of it


class Report(NamedTuple):
    """One run's end: `fields` is the JSON object for stdout, always with at least the documented keys."""

    exit_code: int
    fields: dict[str, Any]


def without_maker(exit_code: int, reason: str) -> Report:
    """Return the report of a run that has no result of the maker: nothing is verified, nothing is known to be done."""
    fields = {
        "reason": reason,
        "exit_code": exit_code,
        "verified_empty": False,
        "open_orders": None,  # unknown: nobody read them
        "quotes_sent": 0,
        "fills": 0,
        "position": {},
        "pnl": None,
        "attribution": {},
        "halts": 0,
    }
    return Report(exit_code, fields)


class Told(NamedTuple):
    """What the maker said of its own end, apart from what the public gets to see."""

    report: Report
    may_have_placed: bool
    unknown_write_at: float  # begin of the last write whose answer nobody saw, seconds of BOOTTIME; 0: there is none
    exit_code_if_empty: int  # instead of 75, should the exchange be read back empty after all


def from_maker(result: bytes, maker_exit_code: int) -> Told | str:
    """Return what the maker reported if it can be believed, else why not.

    It is believed when it is one JSON object whose exit code is the one that the process really ended with: a maker
    that was killed after its last word has not finished what it said.
    """
    how = f"was killed by signal {-maker_exit_code}" if maker_exit_code < 0 else f"ended with code {maker_exit_code}"
    try:
        fields = json.loads(result)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("position", {}), dict):
        return f"the maker ended without a report (it {how})"
    if fields.get("exit_code") != maker_exit_code:
        return f"the maker reported exit code {fields.get('exit_code')} but {how}"
    unknown_at = fields.pop("unknown_write_at", None)
    unknown_at = unknown_at if isinstance(unknown_at, int | float) else 0.0
    if not abs(unknown_at) < SECONDS_MAX:  # a NaN is not, either
        return f"the maker reported a last write at {str(unknown_at)[:20]} s"
    placed = fields.pop("may_have_placed", True) is not False
    if_empty = fields.pop("exit_code_if_empty", None)
    if_empty = if_empty if isinstance(if_empty, int) else FAILED_EMPTY
    known = without_maker(maker_exit_code, "no reason given").fields | fields
    return Told(Report(maker_exit_code, known), placed, unknown_at, if_empty)


class Verdict(NamedTuple):
    """What follows from a maker's end."""

    report: Report  # the run's, as long as nobody pulled
    pulls: bool  # something may rest, or still land
    tail_seconds: float  # of that pull
    exit_code_if_empty: int  # of that pull, should it read back empty
    is_death: bool  # no end that can be believed


def judge(ended: Ended, maker_exit_code: int, guard_tail_seconds: float, now: float) -> Verdict:
    """Believe a maker that proved its end; for any other, what may rest must be pulled."""
    told = (
        f"the maker was killed: {ended.killed_for}" if ended.killed_for else from_maker(ended.result, maker_exit_code)
    )
    if isinstance(told, str):
        tail_seconds = guard_tail_seconds if ended.armed else 0.0
        return Verdict(without_maker(UNVERIFIED, told), True, tail_seconds, FAILED_EMPTY, True)
    # The maker knows of every write: only what it saw no answer to can still land.
    tail_seconds = max(0.0, told.unknown_write_at + guard_tail_seconds - now)
    proven = told.report.fields["verified_empty"] and not tail_seconds
    pulls = not proven and ended.armed and told.may_have_placed
    return Verdict(told.report, pulls, tail_seconds, told.exit_code_if_empty, False)


def after_pull(verdict: Verdict, pulled: Pulled, seconds: float) -> tuple[Report, str]:
    """Return the report brought up to what the guard did and saw in so many seconds, and the sentence that says it."""
    code = verdict.exit_code_if_empty if pulled.verified_empty else UNVERIFIED
    sentence = (
        f"the guard cancelled everything ({pulled.cancels} times acknowledged) and read back empty in {seconds:.1f} s"
        if pulled.verified_empty
        else f"the guard could not read the exchange back empty in {seconds:.0f} s ({pulled.trouble}): QUOTES MAY REST"
    )
    proven = {"exit_code": code, "verified_empty": pulled.verified_empty, "open_orders": pulled.open_orders}
    fields = verdict.report.fields
    return Report(code, fields | proven | {"reason": f"{fields['reason']}; {sentence}"}), sentence


def for_people(report: Report) -> str:
    """Return a summary of a few lines."""
    fields = report.fields
    if report.exit_code in (USAGE, CREDENTIALS, REFUSED_TO_START) and not report.fields["verified_empty"]:
        return f"Not started: {fields['reason']}"
    empty = "read back empty" if fields["verified_empty"] else "NOT verified empty: quotes may rest"
    position = ", ".join(f"{market} {size}" for market, size in fields["position"].items()) or "none"
    return (
        f"Stopped: {fields['reason']}. The exchange was {empty} (exit code {report.exit_code}).\n"
        f"Quotes sent {fields['quotes_sent']}, fills {fields['fills']}, halts {fields['halts']}.\n"
        f"Position: {position}. Profit and loss: {fields['pnl']}."
    )
