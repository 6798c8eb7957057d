"""One browser for all tests of the page: each has a profile of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitor.page.browser import program, started


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """Where the browser's DevTools listen."""
    path = program()
    assert path is not None, "tests that ask for a browser are marked `needs_browser`"
    with started(path) as found:
        yield found
