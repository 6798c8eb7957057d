"""A monitor that plays and a browser that looks: what every test of the page in a browser begins with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio

from tests.monitor.page.browser import Browser, Page, connected, program
from tests.monitor.page.server import Played, serve

LOOKS: Final = Path(__file__).with_name("looks.js").read_text()
FRESH: Final = "document.getElementById('link').textContent === 'live'"

needs_browser = pytest.mark.skipif(
    program() is None, reason="there is no Chromium on this machine (Debian: apt-get install chromium)"
)


@attrs.frozen
class Scene:
    """A monitor that plays, and a browser."""

    played: Played
    browser: Browser
    url: str

    async def page(self, width: int = 1280, address: str = "") -> Page:
        """Open the page and wait for its first view."""
        page = await self.browser.page(self.url + address, width=width)
        await page.wait(FRESH)
        return page

    def clean(self, page: Page) -> None:
        """Nothing went wrong in it, and it asked nobody but the monitor."""
        assert page.problems == []
        assert page.urls
        assert [url for url in page.urls if not url.startswith(self.url)] == []


@contextlib.asynccontextmanager
async def scene(address: str, scenario: str = "quoting", seconds: float = 0.5) -> AsyncIterator[Scene]:
    played = Played(scenario=scenario, seconds=seconds)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, played)
        async with connected(address) as browser:
            yield Scene(played, browser, f"http://127.0.0.1:{port}/")
        nursery.cancel_scope.cancel(reason="the test is over")
