"""The venue's record: what really happened, written by the exchange's side, from which others may judge a client.

One JSON object a line. Every line has `t` (unix milliseconds, three decimals), `mono` (seconds of CLOCK_BOOTTIME, which
never runs backwards) and `kind`; amounts are strings in fixed decimal. Lines stand in the order in which they were
written. Kinds:

    start    seed, preset, resumed (from a state file), and `resting`: users' orders that rest already
    stop     the venue ends in an orderly way
    shift    laterMs: the venue stood still too long to catch up, and all coming steps were put off
    request  a request's life, told apart by `phase`, under one number `request`:
               begin  first byte seen (`t`, so a begin may be older than the line above it), method, path, query,
                      peer; headT: when the head was complete
               apply  its effect, in order with the changes it caused: status, keyId, userId and, for calls that
                      change something, the body as text. Never a header, so never a secret
               ack    the kernel has taken the answer. A request without an ack was not answered
               end    an event stream is over
    order    a change of a user's resting order: action (placed, reduced, removed), reason (filled, cancelled,
             replaced, modified, reduce_only, liquidated), remaining after it; `request` when one caused it
    trade    a trade with a user in it
    funding, liquidation, transfer   as the exchange reports them, with nowMs, its own time
    sample   a market's bid, ask, mid, mark and index, when one changed, at most every SAMPLE_STEPS steps

Lines are handed to the kernel by the end of every request's effect and of every step, so that they survive the death of
the process, and nothing waits for a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from maker.edge.http_messages import Moment, Request

SAMPLE_STEPS: Final = 2  # of 50 ms: ten samples a second
LINES_MAX: Final = 1_000  # held before they are written whatever happens; a step of many fills makes some hundred
FILE_MODE: Final = 0o644


def timestamp(moment: Moment) -> dict[str, object]:
    """Return the two times every line begins with."""
    return {"t": round(moment.unix_seconds * 1000, 3), "mono": round(moment.boot_seconds, 6)}


class Witness:
    """Write the record, or nothing where no path is given. One writer: lines are never interleaved."""

    def __init__(self, path: Path | None, clock: Callable[[], Moment]) -> None:
        """Open the file for appending; raises OSError."""
        self._clock = clock
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        self._requests = 0
        self._cause: int | None = None  # the request under way, so that its changes name it
        self._samples: dict[str, tuple[str | None, ...]] = {}

    @property
    def is_writing(self) -> bool:
        """Tell whether there is a record at all."""
        return self._file is not None

    def write(self, kind: str, moment: Moment | None = None, /, **facts: object) -> None:
        """Add one line, of now unless a moment is given."""
        if self._file is None:
            return
        line = timestamp(moment or self._clock()) | {"kind": kind} | facts
        self._lines.append(self._encode(line) + b"\n")
        if len(self._lines) >= LINES_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand all lines to the kernel; raises OSError where it does not take them."""
        if self._file is None or not self._lines:
            return
        data = b"".join(self._lines)
        self._lines.clear()
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def begin(self, request: Request) -> int:
        """Note a request and return its number."""
        self._requests += 1
        self.write(
            "request",
            request.began,
            phase="begin",
            request=self._requests,
            method=request.method,
            path=request.path,
            query=dict(request.query),
            peer=request.peer,
            headT=round(request.head_read.unix_seconds * 1000, 3),
        )
        return self._requests

    def apply(self, number: int, status: int, **facts: object) -> None:
        """Note what a request did."""
        self.write("request", phase="apply", request=number, status=status, **facts)

    def ack(self, number: int) -> None:
        """Note that an answer left."""
        self.write("request", phase="ack", request=number)
        self.flush()

    def end(self, number: int) -> None:
        """Note that an event stream is over."""
        self.write("request", phase="end", request=number)
        self.flush()

    def cause(self, number: int | None) -> None:
        """Name the request that causes the changes to come; None for none."""
        self._cause = number

    def change(self, facts: dict[str, object]) -> None:
        """Take one change from the exchange."""
        if self._cause is not None:
            facts = facts | {"request": self._cause}
        self.write(str(facts["kind"]), **{name: value for name, value in facts.items() if name != "kind"})

    def sample(self, market_id: str, **prices: str | None) -> None:
        """Note a market's prices if any of them changed since the last sample."""
        values = tuple(prices.values())
        if self._samples.get(market_id) != values:
            self._samples[market_id] = values
            self.write("sample", marketId=market_id, **prices)
