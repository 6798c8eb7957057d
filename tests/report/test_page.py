"""The HTML file: whole, strict, safe, without anything from outside, and usable without eyes or a mouse."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import attrs
import pytest

from maker.edge import records
from maker.report.page import LONG, ROWS_MAX, page
from maker.report.style import STYLE
from maker.report.tables import tables
from tests.report.journals import NOON, Told, a_run, reported
from tests.report.test_halts import end, ladder, pulled, pulling
from tests.report.test_text import a_story
from tests.report.test_whole import market, report

VOID = {"meta", "br", "img", "link", "input", "hr"}


@cache
def pages() -> list[str]:
    return [page(reported(a_story())), page(report()), page(reported([])), page(reported(market().told, version=1))]


def tree(text: str) -> Element:
    """The page as a strict parser reads it: every element closed, every attribute quoted, nothing out of its place."""
    doctype, _, rest = text.partition("\n")
    assert doctype == "<!DOCTYPE html>"
    return ElementTree.fromstring(rest)


class Strict(HTMLParser):
    """The page as HTML: elements that are open when another is closed are an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        assert tag in VOID or "svg" in self.open, f"<{tag}/> is no end in HTML"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("at", range(4))
def test_it_is_well_formed_in_both_grammars(at: int) -> None:
    tree(pages()[at])
    parser = Strict()
    parser.feed(pages()[at])
    parser.close()
    assert parser.open == []
    assert [tag for tag, _ in parser.seen][:2] == ["html", "head"]


@pytest.mark.parametrize("at", range(4))
def test_nothing_comes_from_outside_and_nothing_can(at: int) -> None:
    """No address of any scheme, no element that loads or runs, no style that does; and a policy that forbids it all."""
    text = pages()[at]
    assert re.findall(r"(?i)\b[a-z][a-z0-9+.-]*://", text) == []
    assert re.findall(r"(?i)url\(|@import|javascript:|data:", text) == []
    for element in tree(text).iter():
        assert element.tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "input", "base", "use"}
        assert not {name for name in element.attrib if name.startswith("on") or name in {"src", "style", "srcset"}}
        assert element.get("href", "#content") == "#content"
    [policy] = [one.get("content") for one in tree(text).iter("meta") if one.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("at", range(4))
def test_it_can_be_read_by_ear_and_by_keyboard(at: int) -> None:
    """Every id once and every reference to one that is there; titles, headings in order, tables with headings."""
    root = tree(pages()[at])
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        for name in (element.get("aria-labelledby") or "").split():
            assert name in ids
    assert root.get("lang") == "en"
    assert root.findtext("head/title")
    levels = [int(one.tag[1]) for one in root.iter() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for svg in root.iter("svg"):
        assert svg.get("role") == "img"
        assert (svg.findtext("title") or "").strip()
        assert (svg.findtext("desc") or "").strip()
    for region in root.iter("div"):
        if "scroll" in (region.get("class") or "").split():
            assert (region.get("role"), region.get("tabindex")) == ("region", "0")
    for table in root.iter("table"):
        widths = {len(list(row)) for row in table.iter("tr")}
        assert len(widths) == 1
        heads = [cell for row in table.findall("thead/tr") for cell in row]
        assert all(cell.get("scope") == "col" for cell in heads)
        assert all(row[0].get("scope") == "row" for row in table.findall("tbody/tr"))


def test_a_phone_and_the_dark_are_thought_of() -> None:
    metas = {one.get("name"): one.get("content") for one in tree(pages()[0]).iter("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "prefers-color-scheme:dark" in STYLE
    assert "overflow-x:auto" in STYLE


EVIL = "an unexpected error: </td><script>alert(1)</script>&<!--\x00\x1b\ud800" + "y" * 300


def test_words_of_others_stay_words() -> None:
    """The exchange's own sentences stand in halts: markup, half an escape, a NUL, a surrogate, and too much of it."""
    rows: list[records.Row] = [
        ladder(0),
        pulling(1, EVIL.replace("\ud800", "")),
        pulled(1.5),
        records.StateChange(NOON + 1600, "<b>A</b>", "not quoting", "<i onload='x'>"),
        end(2),
    ]
    run = attrs.evolve(a_run(), account="<script>", mode='"paper"')
    text = page(reported([Told(run, rows)]))
    root = tree(text)
    assert list(root.iter("script")) == []
    assert list(root.iter("b")) == []
    cells = [cell.text for cell in root.iter("td")]
    assert EVIL.replace("\x00", "?").replace("\x1b", "?").replace("\ud800", "") in cells
    assert "<i onload='x'>" in cells


def test_every_table_and_every_kind_of_picture_is_there() -> None:
    root = tree(pages()[1])
    shown = {(one.get("aria-labelledby") or "").removesuffix("-t") for one in root.iter("div") if one.get("role")}
    assert shown == {table.key for table in tables(report()) if table.rows}
    captions = [one.text for one in root.iter("figcaption")]
    assert captions == [
        "Profit and what made it",
        "Price and our fills",
        "Inventory",
        "Time at each spread, bp",
        "Markouts, bp",
        "What rested",
        "Requests a minute",
        "Time to a ladder's answer, ms",
    ]
    story = [one.text for one in tree(pages()[0]).iter("figcaption")]
    assert {"Profit by market", "Profit by day"} <= set(story)


def test_a_page_of_thousands_of_halts_stays_a_page() -> None:
    rows: list[records.Row] = []
    for at in range(3000):
        rows += [pulling(at, "a market's event stream broke: A"), pulled(at + 0.5), ladder(at + 0.75)]
    text = page(reported([Told(a_run(), [*rows, end(4000)])]))
    assert len(text) < 300_000
    assert f"{3000 - ROWS_MAX:,} more are in the files that --csv writes." in text
    assert LONG < 64
    tree(text)


def test_the_figures_that_matter_most_come_first() -> None:
    told = report()
    root = tree(pages()[1])
    tiles = {one.findtext("dt"): one.findtext("dd") for one in root.iter("div") if one.get("class") == "tile"}
    assert tiles["Unasked halts"] == "1"
    assert tiles["Fills"] == str(told.fills.markets["BTC-PERP"].fills)
    [lead] = [one.text for one in root.iter("p") if one.get("class") == "lead"]
    assert lead == told.sentence


def colours(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9]+):(#[0-9a-f]+)", text))


def luminance(colour: str) -> float:
    """Relative, as WCAG 2.1 has it."""
    digits = colour[1:] if len(colour) == 7 else "".join(one * 2 for one in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_everything_stands_out_from_its_ground(dark: bool) -> None:
    """WCAG 2.1: text 4.5 to 1, lines and areas 3 to 1, by day and by night, on the page and on its cards."""
    light, _, night = STYLE.partition("@media (prefers-color-scheme:dark)")
    named = colours(light) | (colours(night) if dark else {})
    for ground in ("ground", "card"):
        for name, least in [
            *((text, 4.5) for text in ("ink", "soft", "good", "bad")),
            *((f"s{at}", 3.0) for at in range(7)),
        ]:
            high, low = sorted((luminance(named[name]), luminance(named[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, f"{name} on {ground}"
