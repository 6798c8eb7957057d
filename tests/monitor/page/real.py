"""The page of a real run, in a real browser, in a network of their own that has nothing but loopback.

    .venv/bin/python -m tests.monitor.page.real [--seconds 40] [--keep FOLDER]

What a person does: look at it on a desktop and on a phone, by day and by night, while it quotes; press the kill button;
read what came of it. Pictures are kept in the folder, `--seconds` lets it quote for so long before they are taken. Ends
with a traceback where anything is not as it must be. From such a network nobody else can be reached: whatever asked for
another host would fail, and be seen to.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from maker.drills.processes import MakerRun, NotSeen, cleaned, start_maker
from maker.errors import ExitCode
from maker.launch import latch
from tests.live.looking import READY_SECONDS_MAX, quoting
from tests.live.stage import paper_conf
from tests.live.support import PROJECT
from tests.live.test_stop import check_order, check_result
from tests.monitor.page.browser import Page, connected, program, started
from tests.monitor.page.scenes import FRESH, LOOKS

DESKTOP: Final = 1280
PHONE: Final = 390
HEIGHT: Final = 844
RUN_WORDS: Final = ("--for", "300s")  # should we be killed, nothing of ours runs on for ever
TRIES_MAX: Final = 4  # of a start
NO_NETWORK: Final = "a network of its own takes root, or user namespaces, and the command unshare"
PRESSED: Final = "the kill button of the status page was pressed, from 127.0.0.1"

SET_FLAGS: Final = 0x8914  # SIOCSIFFLAGS, linux/sockios.h
UP: Final = 0x1  # IFF_UP, linux/if.h

QUOTES: Final = "document.documentElement.dataset.level === 'good'"
DRAWN: Final = (
    "document.querySelectorAll('#event-list li').length > 1"
    "&& [...document.querySelectorAll('.plot canvas')].every((canvas) => canvas.width > 0)"
)
FIGURE: Final = (
    "[...document.querySelectorAll('#market-figures .pair')].find((one) => one.innerText.startsWith({}))"
    ".querySelector('dd').innerText"
)
ALL_DONE: Final = "[...document.querySelectorAll('#kill-follow li')].every((step) => step.dataset.done === 'yes')"
OF_ITS_END: Final = re.compile(r"Failed to load resource: net::ERR_\w+ \(([^)]*)\)")  # the monitor is gone


# -- a network of its own


def own_network() -> list[str] | None:
    """The words before a command that give it a network of its own; None: this machine gives us none."""
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which(words[0]) and not subprocess.run([*words, "true"], capture_output=True).returncode:
            return words
    return None


def lift_loopback() -> None:
    """Switch loopback on, which a new network has and does not use yet, and prove that it has nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


# -- what a person does


def entry() -> Sequence[str]:
    """What starts the bot: run.py where its environment is the one we run in, else what it becomes.

    Elsewhere it would have to make that environment first, for which there is no network here.
    """
    made = PROJECT / ".venv"
    return ("run.py",) if sys.prefix == str(made) and (made / "made").exists() else ("-m", "maker")


@attrs.frozen
class Visit:
    """A run, and the page of it."""

    maker: MakerRun
    url: str
    page: Page
    pictures: Path

    async def shown(self, width: int) -> None:
        """Load it on so wide a screen, and wait until it shows that the maker quotes, with its charts drawn."""
        await self.page.size(width, HEIGHT)
        await self.page.call("Page.navigate", url=self.url)
        await self.page.wait(f"innerWidth === {width} && {FRESH} && {QUOTES}", READY_SECONDS_MAX)
        await self.page.wait(DRAWN)

    async def follows(self) -> None:
        """Figures change in the page that was opened, and it is not loaded anew for that."""
        await self.page.evaluate("window.opened = true")
        for name in ("Fair value", "Quotes"):
            figure = FIGURE.format(json.dumps(name))
            before = await self.page.evaluate(figure)
            assert before
            await self.page.wait(f"{figure} !== {json.dumps(before)}")
        assert await self.page.evaluate("window.opened && performance.getEntriesByType('navigation').length") == 1

    async def readable(self, name: str) -> None:
        """Contrast, and nothing out of the window, by day and by night; with a picture of each."""
        for scheme in ("light", "dark"):
            await self.page.scheme(dark=scheme == "dark")
            looks = await self.page.evaluate(LOOKS)
            assert looks == {"pale": [], "out": []}, (name, scheme, looks)
            await self.page.screenshot(self.pictures / f"{name}_{scheme}.png")

    async def killed(self) -> None:
        """Press the button, give the token out of its file and the account's name, and see each step of it done."""
        await self.page.click("#kill-open")
        await self.page.wait("document.activeElement.id === 'kill-token'")
        await self.page.write((self.maker.folder / "monitor.token").read_text().strip())
        await self.page.press("Tab")
        await self.page.write("paper")
        await self.page.press("Enter")
        await self.page.wait(ALL_DONE)
        assert "The exchange was read back empty at " in await self.page.text("#kill-follow")
        await self.page.screenshot(self.pictures / f"kill_{PHONE}.png", whole=False)

    async def ended(self) -> None:
        """The run ended as the exchange's record has it: pulled, read back empty, latched."""
        await self.maker.process.wait()
        record = self.maker.record
        check_order(record, (self.maker.folder / latch.KILL_FILE).stat().st_mtime * 1000)
        assert PRESSED in check_result(self.maker, record, 0)["reason"]
        assert PRESSED in (latch.read(self.maker.folder) or "")

    async def says_so(self) -> None:
        """What the page says last, and goes on saying now that nobody tells it anything."""
        ended = "document.getElementById('headline').textContent.startsWith('The run has ended, and the exchange was')"
        await self.page.wait(ended)
        await self.page.wait("document.getElementById('since').textContent.includes('the monitor ended with its run')")
        headline = await self.page.text("#headline")
        assert "was read back empty at " in headline
        assert f"Latched until somebody has looked: {PRESSED}, at " in headline
        assert await self.page.text("#link") == "not live"
        await self.page.press("Escape")
        for width in (PHONE, DESKTOP):
            await self.page.size(width, HEIGHT)
            await self.page.wait(f"innerWidth === {width}")
            await self.readable(f"killed_{width}")

    def met_nothing_but_its_end(self) -> None:
        """The console has nothing but what was asked of a monitor that was gone: the stream, or a read under way."""
        unmet = [OF_ITS_END.fullmatch(one) for one in self.page.problems]
        assert all(one and one[1].startswith(self.url) for one in unmet), self.page.problems

    def asked_nobody_else(self) -> None:
        others = [url for url in self.page.urls if not url.startswith(self.url)]
        assert self.page.urls
        assert others == [], others


@contextlib.asynccontextmanager
async def a_run(folder: Path) -> AsyncIterator[tuple[MakerRun, str]]:
    """Start a run, and wait until it quotes; the run, and where its page is. Raises NotSeen.

    On a machine so busy that the practice exchange is not there within ten seconds, a run refuses to start: once more.
    """
    conf = paper_conf(folder, monitored=True)
    for tries_left in reversed(range(TRIES_MAX)):
        with cleaned(start_maker(folder, conf, *RUN_WORDS, entry=entry())) as maker:
            try:
                url = await quoting(maker)
            except NotSeen:
                if not tries_left or maker.process.popen.poll() != ExitCode.REFUSED_TO_START:
                    raise
                continue
            yield maker, url
            return


async def play(address: str, folder: Path, pictures: Path, seconds: float) -> None:
    """All of it. Raises AssertionError, NotSeen."""
    async with connected(address) as browser:
        async with a_run(folder) as (maker, url):
            visit = Visit(maker, url, await browser.page("about:blank"), pictures)
            began = trio.current_time()
            await visit.shown(DESKTOP)
            await visit.follows()
            await trio.sleep_until(began + seconds)
            for width in (DESKTOP, PHONE):
                await visit.shown(width)
                await visit.readable(f"quoting_{width}")
            assert visit.page.problems == [], visit.page.problems
            await visit.killed()
            await visit.ended()
            await visit.says_so()
            visit.met_nothing_but_its_end()
            visit.asked_nobody_else()


def main() -> None:
    words = argparse.ArgumentParser(description="the page of a real run, in a real browser, with loopback alone")
    words.add_argument("--seconds", type=float, default=0.0, help="let it quote for so long before pictures are taken")
    words.add_argument("--keep", type=Path, help="folder for the pictures (default: none are kept)")
    words.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the network is our own
    given = words.parse_args()
    browser = program()
    if browser is None:
        raise SystemExit("there is no Chromium on this machine (Debian: apt-get install chromium)")
    if not given.inside:
        network = own_network()
        if network is None:
            raise SystemExit(NO_NETWORK)
        os.execvp(network[0], [*network, sys.executable, "-m", "tests.monitor.page.real", "--inside", *sys.argv[1:]])
    lift_loopback()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with us
    with tempfile.TemporaryDirectory(prefix="maker-page-") as folder, started(browser) as address:
        pictures = given.keep or Path(folder)
        pictures.mkdir(parents=True, exist_ok=True)
        trio.run(play, address, Path(folder), pictures, given.seconds)


if __name__ == "__main__":
    main()
