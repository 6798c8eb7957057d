"""The page's files: nothing inline, nothing from outside, all that is named is there, uPlot as its package has it."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

import pytest

from tests.monitor.page.server import PAGE, TYPES

LINES_MAX = 300
LETTERS_MAX = 140  # of a line of a script
UPLOT = {  # sha256 of the files of uPlot 1.6.32 as its npm package has them, in dist/ and LICENSE
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
FILES = sorted(path.name for path in PAGE.iterdir() if path.is_file())
OURS = [name for name in FILES if name not in UPLOT]
SCRIPTS = [name for name in OURS if name.endswith(".js")]
INDEX = (PAGE / "index.html").read_text()
VOID = {"meta", "link", "input", "path", "circle", "use"}
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, not an address: nothing is ever loaded from it


class Elements(HTMLParser):
    """Every element with its attributes; elements that are open when another is closed are an error."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def elements() -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(INDEX)
    parser.close()
    assert parser.open == []
    return parser.found


def test_uplot_is_as_its_package_has_it_and_its_licence_is_beside() -> None:
    for name, digest in UPLOT.items():
        assert hashlib.sha256((PAGE / name).read_bytes()).hexdigest() == digest, name
    assert "Permission is hereby granted, free of charge" in (PAGE / "uPlot.LICENSE.txt").read_text()


def test_nothing_is_inline() -> None:
    """The policy `default-src 'self'` forbids it, and a browser would only leave it out."""
    for tag, attributes in elements():
        assert tag not in {"style", "base", "iframe", "object", "embed", "img"}, tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        assert tag != "script" or attributes.get("src"), attributes
    for _, _, content in re.findall(r"(<script\b)([^>]*)>([^<]*)</script>", INDEX):
        assert content.strip() == ""


def test_all_that_is_named_is_there() -> None:
    """Files that the index loads, modules that import each other, and icons that a level picks."""
    named = {
        attributes.get("src") or attributes.get("href") for tag, attributes in elements() if tag in {"script", "link"}
    }
    assert None not in named
    for script in SCRIPTS:
        named |= {one.removeprefix("./") for one in re.findall(r'from "([^"]+)"', (PAGE / script).read_text())}
    levels = re.search(r"LEVELS = \[([^\]]+)\]", (PAGE / "words.js").read_text())
    assert levels is not None
    named |= {f"icon-{level}.svg" for level in re.findall(r'"(\w+)"', levels[1])}
    assert named <= set(FILES)
    assert set(FILES) - named == {"index.html", "uPlot.LICENSE.txt"}  # and no file that nobody needs


@pytest.mark.parametrize("name", OURS)
def test_no_file_knows_an_address(name: str) -> None:
    text = (PAGE / name).read_text().replace(NAMESPACE, "")
    assert re.findall(r"(?i)\b[a-z][a-z0-9+.-]*://|(?<![:\w])//[a-z0-9]|url\(|@import|data:image", text) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_never_becomes_markup_and_nothing_is_stored(name: str) -> None:
    text = (PAGE / name).read_text()
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []
    assert re.findall(r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.", text) == []


@pytest.mark.parametrize("name", OURS)
def test_rooms_are_short(name: str) -> None:
    lines = (PAGE / name).read_text().splitlines()
    assert len(lines) <= LINES_MAX
    if name.endswith(".js"):
        assert [line for line in lines if len(line) > LETTERS_MAX] == []


def test_every_kind_of_file_has_a_type() -> None:
    assert {name[name.rindex(".") :] for name in FILES} <= set(TYPES)


def test_ids_are_unique_and_what_a_script_asks_for_is_there() -> None:
    ids = [attributes["id"] for _, attributes in elements() if "id" in attributes]
    assert len(ids) == len(set(ids))
    for script in SCRIPTS:
        assert set(re.findall(r'byId\("([^"]+)"\)', (PAGE / script).read_text())) <= set(ids), script


def test_what_is_labelled_and_described_is_there() -> None:
    """Names for people who do not see: every reference leads somewhere, every field has a label."""
    found = elements()
    ids = {attributes["id"] for _, attributes in found if "id" in attributes}
    for _, attributes in found:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set((attributes.get(name) or "").split()) <= ids, attributes
    labelled = {attributes["for"] for tag, attributes in found if tag == "label"}
    assert {attributes["id"] for tag, attributes in found if tag == "input"} == labelled


def test_colours_are_named_alike_for_light_and_dark() -> None:
    """What has a colour by day has one by night."""
    style = (PAGE / "style.css").read_text()
    blocks = re.findall(r":root \{([^}]*)\}", style)
    assert len(blocks) == 2
    light, dark = (set(re.findall(r"(--[\w-]+):", block)) for block in blocks)
    assert light == dark
    used = set(re.findall(r"var\((--[\w-]+)\)", style)) - {"--tone", "--tone-ground", "--ink-on"}
    assert used <= light
    for script in SCRIPTS:
        assert set(re.findall(r'"(--[\w-]+)"', (PAGE / script).read_text())) <= light, script
    assert light - used <= {"--grid"} | set(re.findall(r'"(--[\w-]+)"', (PAGE / "charts.js").read_text()))
