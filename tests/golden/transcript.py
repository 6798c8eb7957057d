"""Read and write the transcripts beside this file.

    # a comment: what the next lines show
    ! wait 0.5                                 something the script does to the exchange; see the venue's golden test
    > GET /perps/orders                        a request: its first line,
    > x-api-key: ocx_sk_paper_read             headers,
    >                                          an empty line,
    > {"marketId":"BTC-PERP"}                  and a body, literally, in one line, where it has one
    < 200                                      its answer: the status,
    < X-RateLimit-Remaining: 119               headers (those the exchange itself decides; not Date or lengths),
    <
    < {"orders":[]}                            and the body
    ~ id: 2                                    what an open event stream then says; "~" alone ends an event

An event stream's answer has no body: all that it says follows in "~" lines, in its place among the other lines.
Transcripts are written with seed 1, the preset "still", and a clock that begins at START_MS and moves only by `wait`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

FOLDER: Final = Path(__file__).parent
START_MS: Final = 1_795_330_719_250  # 2026-11-22T06:58:39.250Z
MARKS: Final = ("#", "!", ">", "<", "~")


@attrs.define
class Message:
    """One request or answer: its first line, headers and body."""

    first: str
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: str = ""

    def header(self, name: str) -> str | None:
        """Return a header by name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@attrs.define
class Block:
    """Lines with the same mark: a comment, a directive, a request, an answer, or a stream's words."""

    mark: str
    lines: list[str]

    def message(self) -> Message:
        """Read a request or an answer."""
        message = Message(self.lines[0])
        for number, line in enumerate(self.lines[1:], 1):
            if not line:
                message.body = "\n".join(self.lines[number + 1 :])
                break
            name, _, value = line.partition(": ")
            message.headers.append((name, value))
        return message

    @property
    def stream_bytes(self) -> bytes:
        """Return the bytes of a stream's words."""
        return "".join(f"{line}\n" for line in self.lines).encode()


def message_lines(message: Message) -> list[str]:
    """Write a request or an answer."""
    lines = [message.first, *(f"{name}: {value}" for name, value in message.headers)]
    return [*lines, "", message.body] if message.body else lines


def read(path: Path) -> list[Block]:
    """Read a transcript; raises ValueError where a line has no mark."""
    blocks: list[Block] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        mark, text = line[:1], line[2:]
        if not mark:
            blocks.append(Block("", []))  # a blank line keeps two blocks of one mark apart
        elif mark not in MARKS:
            raise ValueError(f"{path.name}: no mark before {line!r}")
        elif blocks and blocks[-1].mark == mark and mark != "!":
            blocks[-1].lines.append(text)
        else:
            blocks.append(Block(mark, [text]))
    return [block for block in blocks if block.mark]


def write(path: Path, blocks: list[Block]) -> None:
    """Write a transcript."""
    parts = []
    previous = ""
    for block in blocks:
        if previous and (block.mark == "#" or (block.mark in ">!" and previous in "<~")):
            parts.append("")
        parts += [f"{block.mark} {line}".rstrip() for line in block.lines]
        previous = block.mark
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def exchanges(path: Path) -> list[tuple[Message, Message]]:
    """Return a transcript's requests with their answers, for whoever only reads them."""
    found: list[tuple[Message, Message]] = []
    request: Message | None = None
    for block in read(path):
        if block.mark == ">":
            request = block.message()
        elif block.mark == "<":
            assert request is not None, "an answer follows its request"
            found.append((request, block.message()))
    return found


def streams(path: Path) -> list[bytes]:
    """Return all that each event stream of a transcript says, for whoever only reads it."""
    found: list[bytes] = []
    for block in read(path):
        if block.mark == ">" and block.lines[0].startswith("GET ") and "stream" in block.lines[0]:
            found.append(b"")
        elif block.mark == "~":
            found[-1] += block.stream_bytes
    return found
