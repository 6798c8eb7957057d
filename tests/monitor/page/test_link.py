"""The page's link to the monitor, in a real browser: its loss is loud, and tabs share it."""

from __future__ import annotations

import json

from tests.monitor.page.scenes import needs_browser, scene

pytestmark = needs_browser


async def test_a_lost_monitor_is_loud_and_its_return_is_seen(address: str) -> None:
    """Silence on an open stream and a closed stream alike; ages go on, charts stand still."""
    async with scene(address) as told:
        page = await told.page()
        told.played.silent = True
        await page.wait(
            "document.documentElement.dataset.level === 'lost' && document.documentElement.dataset.old === 'link'"
        )
        assert (await page.evaluate("document.title")).startswith("⊘ No link")
        assert await page.text("#link") == "not live"
        assert (await page.text("#assertive")).startswith("No link: Nothing below is live")
        assert (await page.text("#headline")).startswith("Nothing below is live: the monitor was last heard at ")
        assert "Last known: Quoting 2 of 2 markets." in await page.text("#more")
        before = await page.text("#old-words")
        await page.wait(f"document.getElementById('old-words').innerText !== {json.dumps(before)}")
        told.played.silent = False
        await page.wait("document.documentElement.dataset.level === 'good' && !document.documentElement.dataset.old")
        told.played.broken = True
        told.played.end_streams()
        await page.wait("document.getElementById('since').innerText.includes('the monitor cannot be reached')")
        await page.wait("document.documentElement.dataset.level === 'lost'")
        told.played.broken = False
        await page.wait("document.documentElement.dataset.level === 'good'")
        assert [one for one in page.problems if "503" not in one and "ERR_" not in one] == []


async def test_a_view_that_cannot_be_read_is_no_view(address: str) -> None:
    async with scene(address) as told:
        told.played.garbage = True
        page = await told.browser.page(told.url)
        await page.wait("document.documentElement.dataset.level === 'lost'")
        assert "cannot be read" in await page.text("#headline")
        told.played.garbage = False
        await page.wait("document.documentElement.dataset.level === 'good'")
        told.clean(page)


async def test_tabs_share_one_stream_and_the_next_takes_over(address: str) -> None:
    """Eight tabs are more than a browser's connections to one address; each is live, and a kill gets through."""
    async with scene(address) as told:
        pages = [await told.page() for _ in range(8)]
        assert told.played.streams_most == 1
        await pages[0].close()
        told.played.scenario = "pulling"
        for page in pages[1:]:
            await page.wait("document.documentElement.dataset.level === 'warn'")
        assert told.played.streams == 1
        assert await pages[-1].evaluate("fetch('kill', {method: 'POST'}).then((answer) => answer.status)") == 401


async def test_history_that_cannot_be_read_is_said(address: str) -> None:
    async with scene(address) as told:
        page = await told.page()
        await page.evaluate("window.fetch = () => Promise.reject(new Error('no journal'))")
        await page.evaluate("document.querySelector('#ranges input[value=\"300\"]').click()")
        await page.wait("document.getElementById('history-note').textContent === 'History cannot be read: no journal.'")


async def test_a_hidden_tab_draws_nothing_but_its_title_follows(address: str) -> None:
    async with scene(address) as told:
        page = await told.page()
        await page.wait("document.querySelector('#history-note').textContent.startsWith('Times')")
        hide = (
            "Object.defineProperty(document, 'hidden', {{ configurable: true, value: {} }});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await page.evaluate(hide.format("true"))
        await page.evaluate(
            "window.drawn = 0; const draw = CanvasRenderingContext2D.prototype.stroke;"
            "CanvasRenderingContext2D.prototype.stroke ="
            " function (...all) { window.drawn += 1; return draw.apply(this, all) };"
            "window.asked = performance.getEntriesByType('resource').length"
        )
        told.played.scenario = "not_quoting"
        await page.wait("document.title.startsWith('▲ Not quoting')")
        assert await page.evaluate("window.drawn") == 0
        assert await page.text("#markets-count") == "2 of 2 quoting"
        await page.evaluate(hide.format("false"))
        await page.wait("document.getElementById('markets-count').innerText === '0 of 2 quoting' && window.drawn > 0")
        told.clean(page)
