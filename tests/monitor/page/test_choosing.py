"""What can be chosen on the page, with the keyboard, in a real browser."""

from __future__ import annotations

from tests.monitor.page.scenes import needs_browser, scene

pytestmark = needs_browser


async def test_markets_and_ranges_are_chosen_by_keyboard_and_stay_in_the_address(address: str) -> None:
    async with scene(address, "twenty_markets") as told:
        page = await told.page()
        await page.wait("document.querySelectorAll('#market-list li').length === 20")
        await page.evaluate("document.querySelectorAll('#market-list button.name')[4].focus()")
        await page.press("Enter")
        await page.wait("document.getElementById('market-name').textContent === 'DOGE-PERP'")
        await page.wait("document.getElementById('fills-note').textContent.endsWith('of DOGE-PERP')")
        await page.evaluate("document.querySelector('#ranges input:checked').focus()")
        await page.press("ArrowRight")
        await page.wait("location.hash === '#market=DOGE-PERP&range=7200'")
        again = await told.page(address="#market=DOGE-PERP&range=7200")
        await again.wait("document.getElementById('market-name').textContent === 'DOGE-PERP'")
        assert await again.evaluate("document.querySelector('#ranges input:checked').value") == "7200"
        seconds = {one.query["seconds"] for one in told.played.asked if one.path == "/history"}
        assert seconds == {"1800", "7200"}
        told.clean(page)
        told.clean(again)


async def test_charts_tell_their_figures_to_the_keyboard(address: str) -> None:
    async with scene(address) as told:
        page = await told.page()
        await page.wait("document.querySelector('.chart.price .legend').innerText.match(/fair [0-9]/)")
        await page.evaluate("document.querySelector('.chart.price .plot').focus()")
        for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
            await page.press(key)
        said = await page.evaluate("document.querySelector('.chart.price .unseen').textContent")
        assert " UTC: fair 5" in said or " UTC: fair 6" in said
        assert "our bid" in said
        label = await page.evaluate("document.querySelector('.chart.price .plot').getAttribute('aria-label')")
        assert label.startswith("Price, our innermost quotes and fills: between ")
        told.clean(page)
