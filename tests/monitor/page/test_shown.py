"""What the page shows, in a real browser: live, in place, readable, and old where it is old."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest

from tests.monitor.page.scenarios import SCENARIOS
from tests.monitor.page.scenes import LOOKS, needs_browser, scene
from tests.monitor.page.views import ACCOUNT, MARKUP

pytestmark = needs_browser

LEVELS: Final = {  # how each scenario is to be taken; the rest is good
    "not_quoting": "warn", "pulling": "warn", "starting": "quiet", "no_data": "quiet", "maker_silent": "bad",
    "maker_gone": "bad", "quotes_unattended": "bad", "latched": "bad", "losing": "bad", "hostile": "bad",
}  # fmt: skip


async def test_a_new_view_is_seen_in_place(address: str) -> None:
    """Figures, title and icon follow, in the elements that were there, and focus stays where it was."""
    async with scene(address) as told:
        page = await told.page()
        await page.wait("document.querySelectorAll('#market-list li').length === 2")
        await page.evaluate(
            "window.row = document.querySelector('#market-list li'); window.row.querySelector('button').focus();"
            "window.was = document.activeElement"
        )
        fair = await page.text("#market-figures dd")
        await page.wait(f"document.querySelector('#market-figures dd').innerText !== {json.dumps(fair)}")
        assert await page.evaluate("document.title") == f"● Quoting · {ACCOUNT} · maker"
        told.played.scenario = "pulling"
        await page.wait("document.title.startsWith('▲ Pulling')")
        assert await page.evaluate("document.getElementById('icon').getAttribute('href')") == "icon-warn.svg"
        assert await page.text("#headline") == "Too few reference feeds are fresh to price by."
        assert await page.text("#polite") == "Pulling: Too few reference feeds are fresh to price by."
        told.played.scenario = "latched"
        await page.wait("document.title.startsWith('✖ Alarm')")
        assert (await page.text("#assertive")).startswith("Alarm: Latched")
        assert await page.evaluate(
            "document.activeElement === window.was && window.row === document.querySelector('#market-list li')"
        )
        told.clean(page)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_scenario_is_readable_at_every_width(address: str, scenario: str) -> None:
    """By day and night, on a phone and a desktop: contrast, nothing out of the window, nothing on the console."""
    async with scene(address, scenario) as told:
        page = await told.page(360)
        level = LEVELS.get(scenario, "good")
        await page.wait(f"document.documentElement.dataset.level === {json.dumps(level)}")
        if scenario != "no_data":
            await page.wait(
                "!document.getElementById('figures').hidden && document.querySelector('.plot canvas').width > 0"
            )
            await page.wait("document.querySelector('#history-note').textContent.startsWith('Times')")
        for width in (360, 800, 1280):
            await page.size(width, 800)
            for dark in (False, True):
                await page.scheme(dark=dark)
                found = await page.evaluate(LOOKS)
                assert found == {"pale": [], "out": []}, (width, dark)
        told.clean(page)


async def test_a_pale_text_and_a_wide_one_would_be_found(address: str) -> None:
    """The test above can fail."""
    async with scene(address) as told:
        page = await told.page(360)
        await page.wait("document.querySelectorAll('#market-list li').length === 2")
        await page.evaluate(
            "document.documentElement.style.setProperty('--soft', '#8a949f');"
            "document.getElementById('money-h').style.width = '500px'"
        )
        found = await page.evaluate(LOOKS)
        assert any("bar" in one or "name" in one or "DT" in one for one in found["pale"])
        assert found["out"]


async def test_what_others_wrote_is_text(address: str) -> None:
    """Markup in any sentence or name is shown as it stands, and does nothing."""
    async with scene(address, "hostile") as told:
        page = await told.page()
        await page.wait(f"document.getElementById('market-name').textContent === {json.dumps(MARKUP)}")
        assert await page.text("#headline") == f"{MARKUP}."
        assert await page.evaluate("document.querySelectorAll('img, main b').length") == 0
        assert await page.evaluate("document.title") != "taken"
        told.clean(page)


async def test_old_figures_look_old_and_the_rest_does_not(address: str) -> None:
    """A dead maker's figures are hatched and say their age; what the monitor itself sees is not."""
    async with scene(address, "quotes_unattended") as told:
        page = await told.page()
        await page.wait("document.documentElement.dataset.old === 'maker'")
        assert re.search(r" (4[7-9]|5[0-9]) s ago", await page.text("#old-words")), "47 s, and what the test took"
        hatched = "getComputedStyle(document.getElementById('{}').closest('.card')).backgroundImage !== 'none'"
        assert await page.evaluate(hatched.format("money-h")) is True
        assert await page.evaluate(hatched.format("safety-h")) is False
        assert "not sent: the alert path fails" in await page.text("#alerts")
        told.clean(page)


async def test_nothing_known_is_a_dash(address: str) -> None:
    """A maker that has only begun has no profit of 0, and no position's worth of 0."""
    async with scene(address, "starting") as told:
        page = await told.page()
        await page.wait("document.getElementById('money-total').textContent === '–'")
        assert await page.text("#equity") == "–"
        assert await page.text("#requests-left") == "–"
        told.clean(page)


async def test_a_quiet_second_costs_little(address: str) -> None:
    """Twenty markets, drawn at each view: what changed is written, no element is made or taken away."""
    async with scene(address, "twenty_markets") as told:
        page = await told.page()
        await page.wait(
            "document.querySelector('#history-note').textContent.startsWith('Times')"
            "&& document.querySelectorAll('#fill-list tr').length > 5"
        )
        await page.evaluate(
            "window.made = []; new MutationObserver((all) => {"
            "for (const one of all) for (const node of [...one.addedNodes, ...one.removedNodes])"
            "if (node.nodeType === 1) window.made.push(node.tagName + ' ' + one.target.id) })"
            ".observe(document.querySelector('main'), {childList: true, subtree: true})"
        )
        clock = await page.text("#clock")
        await page.wait(f"document.getElementById('clock').innerText !== {json.dumps(clock)}")
        clock = await page.text("#clock")
        await page.wait(f"document.getElementById('clock').innerText !== {json.dumps(clock)}")
        assert await page.evaluate("window.made") == []
        told.clean(page)
