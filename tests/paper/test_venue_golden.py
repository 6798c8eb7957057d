"""The venue against literal transcripts of requests and answers; MAKER_WRITE_GOLDEN=1 writes them anew, for review."""

from __future__ import annotations

import difflib
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from maker.paper.switches import Switches
from maker.paper.venue import VenueSettings
from tests.golden import transcript
from tests.golden.transcript import Block, Message
from tests.paper.venue_kit import OpenStream, VenueClient, running_venue

FILES = sorted(transcript.FOLDER.glob("*.txt"))
UNTOLD = {"date", "content-length", "content-type", "cache-control", "connection", "transfer-encoding"}


def settings_of(blocks: list[Block]) -> VenueSettings:
    """Read the switches a transcript names at its top."""
    switches: dict[str, Any] = {}
    limit = 120
    for block in blocks:
        if block.mark == "!" and block.lines[0].startswith("switch "):
            name, value = block.lines[0].split()[1:]
            switches[name] = {"true": True, "false": False}.get(value, value)
        if block.mark == "!" and block.lines[0].startswith("limit "):
            limit = int(block.lines[0].split()[1])
    return VenueSettings(preset="still", switches=Switches(**switches), rate_limit_per_minute=limit)


async def direct(client: VenueClient, words: list[str]) -> None:
    """Do what a directive says: switch and limit (at the start), wait, crowd, index, halt, resume, revoke."""
    exchange = client.venue.keeper.place.exchange
    match words:
        case ["switch", _, _] | ["limit", _]:
            pass
        case ["wait", seconds]:
            await trio.sleep(float(seconds))
        case ["crowd", side, market_id, price, quantity, *more]:
            client.crowd(side, market_id, price, quantity, *more)
        case ["index", market_id, price]:
            exchange.set_index(market_id, Decimal(price))
        case ["halt", market_id]:
            exchange.halt_market(market_id)
        case ["resume", market_id]:
            exchange.resume_market(market_id)
        case ["revoke", scope]:
            record = next(each for each in exchange.keys(exchange.user_id) if each.scope == scope)
            assert exchange.revoke_key(record.key_id, client.venue.keeper.now_ms())
        case _:
            raise ValueError(f"no such directive: {words}")


async def play(blocks: list[Block]) -> list[Block]:
    """Play a transcript's requests and directives, and return it with the answers that came."""
    played: list[Block] = []
    open_stream: OpenStream | None = None
    async with running_venue(settings_of(blocks)) as client:
        for block in blocks:
            if block.mark in ("<", "~"):
                continue
            played.append(block)
            if block.mark == "!":
                await direct(client, block.lines[0].split())
            if block.mark == ">":
                if open_stream is not None and is_stream(block.message()):
                    await open_stream.close()
                    open_stream = None
                open_stream = await ask(client, block.message(), played) or open_stream
            if open_stream is not None:
                await listen(open_stream, played)
        if open_stream is not None:
            await open_stream.close()
    return played


def is_stream(request: Message) -> bool:
    return request.first.startswith("GET ") and "stream" in request.first


async def ask(client: VenueClient, request: Message, played: list[Block]) -> OpenStream | None:
    """Send one request and add its answer; return the event stream if it is one."""
    method, target = request.first.split(" ")
    headers = dict(request.headers)
    stream = None
    if is_stream(request):
        stream = await client.stream(target, headers)
        status, answered, body = stream.status, stream.headers, ""
        if status != 200:
            body, stream = (await stream.receive()).decode(), None
    else:
        answer = await client.call(method, target, request.body.encode(), headers)
        status, answered, body = answer.status, answer.headers, answer.body.decode()
    told = [(name, value) for name, value in answered.items() if name not in UNTOLD]
    played.append(Block("<", transcript.message_lines(Message(str(status), told, body))))
    return stream


async def listen(stream: OpenStream, played: list[Block]) -> None:
    """Add what a stream has said by now."""
    said = b""
    with trio.move_on_after(0.001):
        while piece := await stream.receive():
            said += piece
    if said:
        lines = said.decode().removesuffix("\n").split("\n")
        played.append(Block("~", lines))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
async def test_transcript(path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Every request of the transcript gets literally the answer that is written there."""
    blocks = transcript.read(path)
    played = await play(blocks)
    if os.environ.get("MAKER_WRITE_GOLDEN"):
        transcript.write(path, played)
        pytest.skip("written, not checked: read the difference")
    difference = list(difflib.unified_diff(lines(blocks), lines(played), "written", "answered", n=3, lineterm=""))
    assert not difference, "\n".join(difference)


def lines(blocks: list[Block]) -> list[str]:
    return [f"{block.mark} {line}" for block in blocks for line in block.lines]


def test_there_are_transcripts() -> None:
    """The files are where the tests look for them."""
    assert {"account", "bulk", "market_data", "orders", "refusals", "streams"} <= {path.stem for path in FILES}
