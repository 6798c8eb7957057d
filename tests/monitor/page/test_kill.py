"""The red button in a real browser: with the keyboard, with a wrong token, and when nobody answers."""

from __future__ import annotations

import json

import trio

from tests.monitor.page.scenes import LOOKS, needs_browser, scene
from tests.monitor.page.server import TOKEN
from tests.monitor.page.views import ACCOUNT

pytestmark = needs_browser


async def test_the_kill_works_by_keyboard_alone(address: str) -> None:
    """From the top: two tabs, a wrong token, a wrong name, the right ones; what came of it, and no trace of a token."""
    async with scene(address) as told:
        page = await told.page(360)
        await page.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "kill-open"
        await page.press("Enter")
        await page.wait("document.getElementById('kill').open && document.activeElement.id === 'kill-token'")
        await page.press("Enter")
        await page.wait(
            "document.getElementById('kill-outcome').textContent === 'Nothing was sent: the token is missing.'"
        )
        await page.write("wrong")
        await page.press("Tab")
        await page.write("papier")
        await page.press("Enter")
        await page.wait(
            "document.getElementById('kill-outcome').textContent === 'Nothing was sent: type paper to confirm.'"
        )
        assert [one for one in told.played.asked if one.path == "/kill"] == []
        await page.write(ACCOUNT)  # what was there is selected
        await page.press("Enter")
        await page.wait(
            "document.getElementById('kill-outcome').textContent === 'This is not the token: nothing was done.'"
        )
        assert await page.evaluate(
            "[document.activeElement.id, document.activeElement.getAttribute('aria-invalid')]"
        ) == ["kill-token", "true"]
        assert told.played.killed_at is None
        assert (await page.evaluate(LOOKS)) == {"pale": [], "out": []}
        await page.write(TOKEN)
        await page.press("Tab")
        await page.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "kill-cancel"
        await page.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "kill-send"
        await page.press("Enter")
        await page.wait("document.getElementById('kill-outcome').textContent.startsWith('The kill file is written')")
        await page.wait(
            "[...document.querySelectorAll('#kill-follow li')].every((step) => step.dataset.done === 'yes')"
        )
        assert "The exchange was read back empty at" in await page.text("#kill-follow")
        assert await page.evaluate("document.activeElement.id") == "kill-cancel"
        assert (await page.evaluate(LOOKS)) == {"pale": [], "out": []}
        await page.press("Enter")
        await page.wait("!document.getElementById('kill').open")
        assert (await page.text("#headline")).startswith("Latched until somebody has looked")
        sent = [one for one in told.played.asked if one.path == "/kill"]
        assert [one.headers["authorization"] for one in sent] == ["Bearer wrong", f"Bearer {TOKEN}"]
        assert [json.loads(one.body) for one in sent] == [{"confirm": ACCOUNT}] * 2
        assert all("cookie" not in one.headers and "referer" not in one.headers for one in sent)
        left = await page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href,"
            "document.documentElement.outerHTML,"
            "[...document.querySelectorAll('input')].map((field) => field.value)])"
        )
        assert TOKEN not in left
        assert [one for one in page.problems if "401" not in one] == []


async def test_closing_the_dialog_forgets_the_token(address: str) -> None:
    async with scene(address) as told:
        page = await told.page()
        await page.evaluate("document.getElementById('kill-open').click()")
        await page.write(TOKEN)
        assert await page.evaluate("document.getElementById('kill-token').value") == TOKEN
        await page.press("Escape")
        await page.wait("!document.getElementById('kill').open && document.getElementById('kill-token').value === ''")
        told.clean(page)


async def test_a_kill_that_nobody_answers_is_not_called_done(address: str) -> None:
    """The monitor is gone at that moment: the page says that it does not know, and what else can be done."""
    async with scene(address) as told:
        page = await told.page()
        await page.evaluate(
            "document.getElementById('kill-open').click(); window.fetch = () => Promise.reject(new TypeError('failed'))"
        )
        await page.write(TOKEN)
        await page.press("Tab")
        await page.write(ACCOUNT)
        await page.press("Enter")
        await page.wait(
            "document.getElementById('kill-outcome').textContent.startsWith('It is not known whether it was done')"
        )
        assert "cancel-all" in await page.text("#kill-outcome")
        assert await page.evaluate("document.getElementById('kill-follow').hidden")


async def test_a_second_enter_sends_no_second_kill(address: str) -> None:
    """While the first is on its way, the button is off and says so."""
    async with scene(address) as told:
        told.played.hold = trio.Event()
        page = await told.page()
        await page.evaluate("document.getElementById('kill-open').click()")
        await page.write(TOKEN)
        await page.press("Tab")
        await page.write(ACCOUNT)
        for _ in range(3):
            await page.press("Enter")
        await page.wait("document.getElementById('kill-outcome').textContent === 'Sending…'")
        assert await page.evaluate("document.getElementById('kill-send').getAttribute('aria-disabled')") == "true"
        told.played.hold.set()
        await page.wait("document.getElementById('kill-outcome').textContent.startsWith('The kill file is written')")
        assert len([one for one in told.played.asked if one.path == "/kill"]) == 1
