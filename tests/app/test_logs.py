"""Logs: one line each, secrets cut out, oldest dropped and counted, and never a moment of the loop's time."""

from __future__ import annotations

import json
import logging
import os
import pty
import time
import warnings
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import structlog

from maker.app import logs

WAIT_SECONDS_MAX = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe in place of stderr; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    reader, writer = os.pipe()
    yield reader, writer
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    os.close(reader)
    os.close(writer)


def lines_in(reader: int) -> list[dict[str, Any]]:
    """Return what the pipe holds."""
    os.set_blocking(reader, False)
    content = b""
    try:
        while chunk := os.read(reader, 1 << 16):
            content += chunk
    except BlockingIOError:
        pass
    return [json.loads(line) for line in content.splitlines()]


def fill(writer: int) -> int:
    """Fill a pipe to the brim and return how many bytes that took."""
    os.set_blocking(writer, False)
    count = 0
    try:
        while True:
            count += os.write(writer, b"x")
    except BlockingIOError:
        os.set_blocking(writer, True)
    return count


def test_a_line_is_json_with_time_level_process_and_sentence(pipe: tuple[int, int]) -> None:
    writer = logs.configure("maker", descriptor=pipe[1])
    structlog.get_logger().info("quoting", sentence="Everything is fresh.", market="BTC-PERP", price=Decimal("1.50"))
    assert writer.flush(WAIT_SECONDS_MAX)
    (line,) = lines_in(pipe[0])
    stamp = line.pop("time")
    assert (len(stamp), stamp[10], stamp[-1]) == (24, "T", "Z")
    assert line == {
        "event": "quoting",
        "level": "info",
        "process": "maker",
        "market": "BTC-PERP",
        "sentence": "Everything is fresh.",
        "price": "1.50",
    }


def test_debug_lines_are_not_written_and_exceptions_are(pipe: tuple[int, int]) -> None:
    writer = logs.configure("maker", descriptor=pipe[1])
    log = structlog.get_logger()
    log.debug("nothing")
    try:
        raise ValueError("the cause")
    except ValueError:
        log.exception("failed", sentence="It failed.")
    assert writer.flush(WAIT_SECONDS_MAX)
    (line,) = lines_in(pipe[0])
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: the cause")


def test_keys_never_reach_the_log(pipe: tuple[int, int]) -> None:
    """A key is cut out of sentences, fields, nested values, names, exceptions and other libraries' lines."""
    canary = "ocx_sk_live_0123456789abcdefABCDEF-_"
    writer = logs.configure("maker", descriptor=pipe[1])
    log = structlog.get_logger()
    log.info(f"event {canary}", sentence=f"used {canary}, and failed", nested={"headers": [("x-api-key", canary)]})
    log.info("name", **{canary: 1})
    try:
        raise ValueError(f"Bearer {canary}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("header %r", {"x-api-key": canary})
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMDEyMzQ1Njc4OSJ9.c2lnbmF0dXJl-0123456789"
    log.info("session", sentence=f"Bearer {token} was refused")
    assert writer.flush(WAIT_SECONDS_MAX)
    found = lines_in(pipe[0])
    assert len(found) == 5
    assert found[-1]["sentence"] == "Bearer eyJ[redacted] was refused"
    assert "c2ln" not in json.dumps(found)
    assert "0123456789" not in json.dumps(found)
    assert found[0]["sentence"] == "used ocx_sk_[redacted], and failed"
    assert found[0]["nested"] == {"headers": [["x-api-key", "ocx_sk_[redacted]"]]}


def test_libraries_and_warnings_come_through_the_same_queue(pipe: tuple[int, int]) -> None:
    """Also where somebody has put the printer of warnings back since they were captured before: pytest does."""
    printer = warnings.showwarning
    logs.configure("venue", descriptor=pipe[1])
    warnings.showwarning = printer
    writer = logs.configure("venue", descriptor=pipe[1])
    logging.getLogger("trio-websocket").warning("peer %s", "gone")
    logging.getLogger("httpx").info("too chatty")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old spelling", DeprecationWarning, stacklevel=1)
    assert writer.flush(WAIT_SECONDS_MAX)
    first, second = lines_in(pipe[0])
    assert (first["event"], first["sentence"], first["process"]) == ("trio-websocket", "peer gone", "venue")
    assert (second["event"], second["level"]) == ("py.warnings", "warning")
    assert "old spelling" in second["sentence"]


def test_a_full_stderr_costs_no_time_and_drops_the_oldest(pipe: tuple[int, int]) -> None:
    """Nobody reads: logging goes on at memory speed; once read, the newest lines are there and the loss is counted."""
    reader, descriptor = pipe
    filled = fill(descriptor)
    writer = logs.configure("maker", descriptor=descriptor)
    log = structlog.get_logger()
    total = logs.QUEUE_LINES_MAX + 1_000
    slowest = 0.0
    for number in range(total):
        before = time.thread_time()
        log.info("tick", number=number)
        slowest = max(slowest, time.thread_time() - before)
    assert slowest < 0.05
    assert not writer.flush(0.01)
    content = b""
    while content.count(b"\n") < logs.QUEUE_LINES_MAX + 1:
        content += os.read(reader, 1 << 16)
    assert writer.flush(WAIT_SECONDS_MAX)
    found = [json.loads(line) for line in content[filled:].splitlines()] + lines_in(reader)
    numbers = [line["number"] for line in found if line["event"] == "tick"]
    dropped = sum(line["dropped"] for line in found if line["event"] == "log lines dropped")
    assert numbers[-logs.QUEUE_LINES_MAX :] == list(range(total - logs.QUEUE_LINES_MAX, total))
    assert numbers == sorted(set(numbers))
    assert len(numbers) + dropped == total
    assert dropped == writer.lines_dropped > 0


def test_a_closed_stderr_is_nobodys_trouble() -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    writer = logs.LogWriter(descriptor, logs.render_json)
    writer.put(b"one\n")
    writer.put(b"two\n")
    assert writer.flush(WAIT_SECONDS_MAX)
    assert writer.lines_written == 0
    os.close(descriptor)


def test_a_non_blocking_stderr_gets_whole_lines(pipe: tuple[int, int]) -> None:
    """Someone who shares the pipe made it non-blocking: a line larger than its room is still written whole."""
    reader, descriptor = pipe
    os.set_blocking(descriptor, False)
    writer = logs.LogWriter(descriptor, logs.render_json)
    line = b"y" * 300_000 + b"\n"
    writer.put(line)
    content = b""
    while len(content) < len(line):
        content += os.read(reader, 1 << 16)
    assert content == line
    assert writer.flush(WAIT_SECONDS_MAX)


def test_no_line_is_larger_than_the_limit(pipe: tuple[int, int]) -> None:
    writer = logs.configure("maker", descriptor=pipe[1])
    structlog.get_logger().info("book", levels="x" * logs.LINE_BYTES_MAX)
    assert writer.flush(WAIT_SECONDS_MAX)
    (line,) = lines_in(pipe[0])
    assert line["event"] == "log line too long"
    assert line["line_bytes"] > logs.LINE_BYTES_MAX


def test_whatever_is_logged_becomes_a_line(pipe: tuple[int, int]) -> None:
    """A lone surrogate, a key that is no text, a value of a strange class: logging never raises."""
    writer = logs.configure("maker", descriptor=pipe[1])
    log = structlog.get_logger()
    log.info("odd", value="\ud800")
    log.info("odd", value={(1, 2): object()})
    log.info("odd", value={1, 2}, error=OSError(2, "gone"))
    assert writer.flush(WAIT_SECONDS_MAX)
    assert [line["event"].strip("'") for line in lines_in(pipe[0])] == ["odd"] * 3


def test_a_terminal_gets_a_short_line(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Time of day, process, event, market and sentence, then the rest; the level only when it matters."""
    monkeypatch.setenv("TERM", "dumb")
    reader, descriptor = pty.openpty()
    writer = logs.configure("maker", descriptor=descriptor)
    log = structlog.get_logger()
    log.info("quoting", sentence="All is fresh.", market="BTC-PERP", levels=4)
    log.warning("halt", key="ocx_sk_secret_1")
    assert writer.flush(WAIT_SECONDS_MAX)
    text = b""
    while text.count(b"\n") < 2:  # a terminal hands over what was written when it comes to it
        text += os.read(reader, 4096)
    first, second = text.decode().splitlines()
    assert first[12:] == " maker quoting BTC-PERP: All is fresh. levels=4"
    assert second[12:] == " maker WARNING halt key=ocx_sk_[redacted]"
    os.close(reader)
    os.close(descriptor)


def test_a_line_takes_the_place_of_the_status_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal that can redraw, each line erases what is drawn there, in the same write; on a pipe none does."""
    monkeypatch.setenv("TERM", "xterm")
    reader, descriptor = pty.openpty()
    writer = logs.configure("maker", descriptor=descriptor)
    os.write(descriptor, b"a line that is redrawn in place")
    structlog.get_logger().info("quoting", sentence="All is fresh.")
    assert writer.flush(WAIT_SECONDS_MAX)
    text = b""
    while text.count(b"\n") < 1:
        text += os.read(reader, 4096)
    assert text.startswith(b"a line that is redrawn in place\r\x1b[K")
    assert text.endswith(b"All is fresh.\r\n")
    assert text.count(b"\x1b") == 1
    os.close(reader)
    os.close(descriptor)
