"""The page's files: what is served, as what, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from maker.monitor import pages
from tests.monitor.observed import asked


def test_the_page_is_there_and_whole() -> None:
    """Every file in the folder is served, or has an ending that is none of a page's."""
    files = pages.load()
    assert files["/"].kind == "text/html; charset=utf-8"
    assert files["/"] is files["/index.html"]
    there = {path for path in pages.FOLDER.rglob("*") if path.is_file()}
    assert {f"/{path.relative_to(pages.FOLDER).as_posix()}" for path in there} == set(files) - {"/"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vendor").mkdir()
    for name in ("index.html", "app.js", "style.css", "vendor/chart.js", "LICENCE.txt", "notes.md", "key.pem"):
        (tmp_path / name).write_text(f"this is {name}")
    return tmp_path


def test_kinds_are_fixed_and_other_files_are_not_served(folder: Path) -> None:
    files = pages.load(folder)
    assert set(files) == {"/", "/index.html", "/app.js", "/style.css", "/vendor/chart.js", "/LICENCE.txt"}
    assert files["/app.js"].kind == "text/javascript; charset=utf-8"
    assert files["/style.css"].kind == "text/css; charset=utf-8"
    assert files["/vendor/chart.js"].body == b"this is vendor/chart.js"


def test_a_browser_that_has_it_already_is_told_so(folder: Path) -> None:
    """By a tag that is another one when the file is."""
    files = pages.load(folder)
    first = files["/app.js"].answer(asked("/app.js"))
    tag = dict(first.headers)["ETag"]
    assert (first.status, first.body) == (200, b"this is app.js")
    again = files["/app.js"].answer(asked("/app.js", if_none_match=f'"x", {tag}'))
    assert (again.status, again.body) == (304, b"")
    (folder / "app.js").write_text("another")
    assert pages.load(folder)["/app.js"].answer(asked("/app.js", if_none_match=tag)).status == 200
