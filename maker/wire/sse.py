"""Server-Sent Events, both ways: bytes in any chunking to events and comments, and an event to its bytes.

The reading side follows the WHATWG HTML standard, section 9.2.6, with two differences that a trading client needs:

- comments come out as values, because the exchange's only heartbeat is a comment;
- a line and an event have a largest size, because an endless line would otherwise fill the memory. Beyond it the
  stream is broken: what is lost cannot be known, so the caller closes it and starts from a new snapshot.

Lines are cut in bytes, before decoding: only CR, LF and CRLF end a line, so that U+2028 and its relatives stay inside
the data.
"""

from __future__ import annotations

import attrs

from maker.errors import StreamBroken, StreamFault

LINE_BYTES_MAX = 1 << 20
"""Largest line. A snapshot of 250 levels a side with trades and positions is about 30 kB: thirty times that is none."""

EVENT_BYTES_MAX = 4 << 20
"""Largest sum of one event's data lines, for the same reason; four lines of the largest size."""

RETRY_DIGITS_MAX = 32
"""Digits of a retry value we read: Python refuses to convert thousands of them, and no one waits 10**32 ms."""

FORBIDDEN_IN_NAME = frozenset("\r\n\0")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@attrs.frozen
class ServerSentEvent:
    """One dispatched event."""

    event: str  # "message" where the stream named none
    data: str  # data lines joined by a newline
    last_event_id: str  # the id in force at this event; an event without an id of its own repeats the one before
    retry: int | None  # reconnection time in force, milliseconds; unbounded: whoever waits by it clamps it


@attrs.frozen
class Comment:
    """One comment line without its colon and one space after it: a heartbeat, or padding."""

    text: str


class EventStreamParser:
    """Parse one connection's event stream, fed in pieces of any size.

    Once `feed` has raised, the parser stays broken and raises the same again: nothing after an overlong line can be
    trusted.
    """

    def __init__(self) -> None:
        self._rest = bytearray()  # bytes of the line that has not ended yet; at most LINE_BYTES_MAX
        self._after_cr = False  # the last byte so far was a CR: an LF that follows belongs to it
        self._at_start = True  # no line has ended yet: a byte order mark may lead the first one
        self._event = ""
        self._data: list[str] = []
        self._data_bytes = 0  # at most EVENT_BYTES_MAX; a line end counts one, so that empty lines are limited too
        self._last_event_id = ""
        self._retry: int | None = None
        self._broken: str | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent | Comment]:
        """Take the next bytes and return what they complete, in order.

        Raises StreamBroken (MALFORMED) for a line or an event beyond its limit.
        """
        if self._broken is not None:
            raise StreamBroken(StreamFault.MALFORMED, self._broken)
        if not data:
            return []
        # A CR ends its line at once, so that an event is not held back until the next byte shows whether an LF follows.
        if self._after_cr:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        unfinished = lines.pop()
        if lines:
            lines[0] = self._finish_first(lines[0])
        self._rest += unfinished
        if len(self._rest) > LINE_BYTES_MAX:
            raise self._break(f"a line is longer than {LINE_BYTES_MAX} bytes")
        return self._take(lines)

    def _finish_first(self, end: bytes) -> bytes:
        """Return the first finished line whole: what was held back, plus its end from this chunk."""
        if self._rest:
            end = bytes(self._rest) + end
            self._rest.clear()
        if self._at_start:
            self._at_start = False
            end = end.removeprefix(BYTE_ORDER_MARK)
        return end

    def _take(self, lines: list[bytes]) -> list[ServerSentEvent | Comment]:
        """Interpret finished lines."""
        found: list[ServerSentEvent | Comment] = []
        for line in lines:
            if not line:
                if self._data:
                    text = self._data[0] if len(self._data) == 1 else "\n".join(self._data)
                    found.append(ServerSentEvent(self._event or "message", text, self._last_event_id, self._retry))
                    self._data = []
                    self._data_bytes = 0
                self._event = ""
                continue
            if len(line) > LINE_BYTES_MAX:
                raise self._break(f"a line is longer than {LINE_BYTES_MAX} bytes")
            name, _, raw = line.partition(b":")
            if raw.startswith(b" "):
                raw = raw[1:]
            if name == b"data":
                self._data_bytes += len(raw) + 1
                if self._data_bytes > EVENT_BYTES_MAX:
                    raise self._break(f"an event is longer than {EVENT_BYTES_MAX} bytes")
                self._data.append(raw.decode("utf-8", "replace"))
            elif name == b"event":
                self._event = raw.decode("utf-8", "replace")
            elif name == b"id":
                if b"\0" not in raw:
                    self._last_event_id = raw.decode("utf-8", "replace")
            elif not name:
                found.append(Comment(raw.decode("utf-8", "replace")))
            elif name == b"retry":
                self._set_retry(raw)
        return found

    def _set_retry(self, raw: bytes) -> None:
        """Set the reconnection time if the value is ASCII digits only; `bytes.isdigit` knows no others."""
        if raw.isdigit() and len(raw) <= RETRY_DIGITS_MAX:
            self._retry = int(raw)

    def _break(self, reason: str) -> StreamBroken:
        """Latch the parser broken, free what it holds, and return the error to raise."""
        self._broken = reason
        self._rest.clear()
        self._data = []
        return StreamBroken(StreamFault.MALFORMED, reason)


def encode(event: str, data: str, event_id: str | None = None) -> bytes:
    """Return one event's bytes. A line end inside the data becomes a further data line.

    The event's name and id are ours: a line end in them would let one event forge another, so it is an assertion.
    """
    assert not set(event) & FORBIDDEN_IN_NAME, "a line end in an event's name"
    assert event_id is None or not set(event_id) & FORBIDDEN_IN_NAME, "a line end or NUL in an event's id"
    head = f"event: {event}\n" if event_id is None else f"id: {event_id}\nevent: {event}\n"
    body = data.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\ndata: ")
    return f"{head}data: {body}\n\n".encode()


def encode_comment(text: str) -> bytes:
    """Return one comment's bytes, ended by a blank line as a heartbeat is. A line end in it is an assertion."""
    assert not set(text) & FORBIDDEN_IN_NAME, "a line end in a comment"
    return f":{text}\n\n".encode()
