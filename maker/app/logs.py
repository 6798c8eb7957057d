"""Logs: one line of JSON each on stderr (a short readable one on a terminal), never in the loop's way.

A line is encoded where it is logged and put into a bounded queue; a daemon thread writes it. When nobody reads stderr
the thread waits and the queue drops its OLDEST lines: what just happened matters more. The next line that gets through
is preceded by one that says how many were dropped. API keys and sessions' tokens are cut out of the finished line,
wherever they stood.
"""

from __future__ import annotations

import collections
import logging
import os
import re
import select
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import msgspec
import structlog

from maker.launch.terminal import ERASE, can_draw
from maker.wire import redaction

QUEUE_LINES_MAX: Final = 4096  # a minute of the loudest trouble seen; with the next limit at most 64 MiB, usually 1
LINE_BYTES_MAX: Final = 16_384  # a traceback fits; a whole order book does not belong in a log
SECRET: Final = re.compile(redaction.KEY.pattern.encode())
TOKEN: Final = re.compile(redaction.TOKEN.pattern.encode())
SHOWN_FIRST: Final = ("time", "level", "event", "process", "market", "sentence")

EventFields = MutableMapping[str, Any]


class LogWriter:
    """The queue and its thread. `put` from any thread; nothing here ever raises or waits, but `flush`."""

    def __init__(self, descriptor: int, encode: Callable[[EventFields], bytes]) -> None:
        self.descriptor = descriptor
        self.encode = encode
        self.lines: collections.deque[bytes] = collections.deque(maxlen=QUEUE_LINES_MAX)
        self.lines_put = 0
        self.lines_written = 0
        self.lines_dropped = 0  # lost by the queue, or written to a stderr that is closed
        self.is_writing = False
        self.changed = threading.Condition()  # held for moments only, never while writing
        threading.Thread(target=self.write_for_ever, name="logs", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Queue one finished line, at the cost of the oldest when the queue is full."""
        with self.changed:
            self.lines_put += 1
            self.lines.append(line)
            self.changed.notify_all()

    def flush(self, deadline_seconds: float) -> bool:
        """Wait until everything has been written, for at most so long; return whether it has. Holds the caller."""
        with self.changed:
            return self.changed.wait_for(lambda: not self.lines and not self.is_writing, deadline_seconds)

    def write_for_ever(self) -> None:
        """Write what comes, for as long as the process lives. The thread's whole life."""
        reported = 0
        while True:
            with self.changed:
                self.is_writing = False
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.lines)
                self.is_writing = True
                line = self.lines.popleft()
                self.lines_dropped = self.lines_put - self.lines_written - len(self.lines) - 1
            if self.lines_dropped > reported:
                line = self.dropped_line(self.lines_dropped - reported) + line
            if self.write(line):
                self.lines_written += 1
                reported = self.lines_dropped

    def dropped_line(self, count: int) -> bytes:
        sentence = f"{count} log lines were dropped, because nobody read them fast enough."
        return self.encode({"event": "log lines dropped", "level": "warning", "dropped": count, "sentence": sentence})

    def write(self, line: bytes) -> bool:
        """Write a whole line, waiting as long as it takes; return False when there is nobody left to write to."""
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # someone who shares the terminal made it non-blocking
                select.select([], [self.descriptor], [])
            except OSError:
                return False
        return True


class LineLogger:
    """What structlog calls with a finished line, by any level's name."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = self.msg = put


class ToWriter(logging.Handler):
    """Sends what libraries log through the standard library the same way: their lines must not block us either."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__(logging.WARNING)
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"event": record.name, "level": record.levelname.lower(), "sentence": record.getMessage()}
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        self.writer.put(self.writer.encode(fields))


def configure(process: str, *, descriptor: int = 2) -> LogWriter:
    """Send structlog's lines, other libraries' warnings and Python's own to `descriptor`; return the writer to flush.

    `process` names this process in every line (maker, venue, …). Call once, before anything is logged.
    """
    render = render_line if os.isatty(descriptor) else render_json
    erase = ERASE.encode() if can_draw(descriptor) else b""  # a line with the state may stand there

    def encode(fields: EventFields) -> bytes:
        return erase + finish(render({"time": now_text(), **fields, "process": process}))

    def render_event(_logger: object, _method: str, fields: EventFields) -> bytes:
        return encode(fields)

    writer = LogWriter(descriptor, encode)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, render_event],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_names: LineLogger(writer.put),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[ToWriter(writer)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=False)  # else the next line does nothing where the old printer was put back
    logging.captureWarnings(capture=True)
    return writer


def finish(line: bytes) -> bytes:
    """Cut secrets and excess out of a rendered line, and end it."""
    if b"ocx_sk_" in line:
        line = SECRET.sub(redaction.KEY_REDACTED.encode(), line)
    if b"eyJ" in line:
        line = TOKEN.sub(redaction.TOKEN_REDACTED.encode(), line)
    if len(line) > LINE_BYTES_MAX:
        head = line[:200].decode(errors="replace")
        line = JSON.encode({"event": "log line too long", "level": "warning", "line_bytes": len(line), "head": head})
    return line + b"\n"


def as_text(value: object) -> str:
    """Return what msgspec cannot encode as text: our own values, paths, exceptions."""
    return str(value)


JSON: Final = msgspec.json.Encoder(enc_hook=as_text)


def render_json(fields: EventFields) -> bytes:
    try:
        return JSON.encode(fields)
    except (TypeError, ValueError, msgspec.MsgspecError):  # a key that is no text, a lone surrogate: say it anyhow
        return JSON.encode({str(name): ascii(value) for name, value in fields.items()})


def render_line(fields: EventFields) -> bytes:
    """Return a line for people: time, event, market, the sentence, then whatever else there is."""
    market = f" {fields['market']}" if "market" in fields else ""
    sentence = f": {fields['sentence']}" if "sentence" in fields else ""
    rest = "".join(f" {name}={value}" for name, value in fields.items() if name not in SHOWN_FIRST)
    level = "" if fields.get("level") == "info" else f" {str(fields.get('level', '')).upper()}"
    line = f"{str(fields.get('time', ''))[11:23]} {fields['process']}{level} {fields['event']}{market}{sentence}{rest}"
    return line.encode(errors="backslashreplace")


def now_text() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    if seconds != second_text.seconds:
        second_text.seconds, second_text.text = seconds, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{second_text.text}.{nanoseconds // 1_000_000:03d}Z"


class SecondText:
    """The text of the current second: formatting it for every line would cost more than the line."""

    seconds = -1
    text = ""


second_text: Final = SecondText()
